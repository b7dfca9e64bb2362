"""What may be changed while a run goes on."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge.runtime.controls import Running
from edge.runtime.outputs import Output
from edge.runtime.pipeline import Result
from edge.runtime.run import RunOptions, run


def asked(model: Path) -> RunOptions:
    return RunOptions(source=None, camera="0", demo=True, frames=10, model=str(model),
                      detector=None, runtime="litert")  # fmt: skip


def test_a_paused_run_waits_and_goes_on(small_model: Path) -> None:
    shown: list[int] = []

    class Pausing(Output):
        def begin(self, running: Running) -> None:
            self.controls = running.controls

        def show(self, result: Result) -> None:
            shown.append(result.frame.index)
            if result.frame.index == 3:
                self.controls.change({"paused": True})
                threading.Timer(0.2, self.go_on).start()
            elif result.frame.index == 4:
                self.went_on_before = self.went_on

        went_on = False

        def go_on(self) -> None:
            self.went_on = True
            self.controls.change({"paused": False})

    output = Pausing()
    run(asked(small_model), output, warn=pytest.fail)
    assert shown == list(range(10))
    assert output.went_on_before


@pytest.mark.parametrize("steady", [False, True])
def test_detector_and_thresholds_change_while_a_run_goes_on(
    small_model: Path, steady: bool
) -> None:
    told: list[list[tuple[str, ...]]] = []

    class Changing(Output):
        def begin(self, running: Running) -> None:
            self.controls = running.controls

        def show(self, result: Result) -> None:
            told.append([face.labels for face in result.faces])
            thresholds = {0: 0.0, 40: 1.0}.get(result.frame.index)
            if thresholds is not None:
                names = self.controls.state()["thresholds"]
                self.controls.change({"thresholds": dict.fromkeys(names, thresholds)})
            if result.frame.index == 60:
                self.controls.change({"detector": "blazeface-full"})

    warnings: list[str] = []
    options = replace(asked(small_model), frames=80, steady=steady)
    summary = run(options, Changing(), warn=warnings.append)
    assert all(labels == ("Smiling", "Male") for labels in told[39])
    # What holds is held on to, up to a margin.
    assert all(labels == (("Smiling",) if steady else ()) for labels in told[59])
    assert told[39]
    assert told[59]
    assert told[79]
    assert summary["detector"]["name"] == "blazeface-full"
    assert any("blazeface-full" in one for one in summary["warnings"])
