"""Child processes that measure: pinned, quiet, and ended with their parent."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

from edge.errors import EdgeError

_TIMEOUT_S = 7_200


def run_child(
    job: dict[str, Any], *, threads: int = 1, device: str = "cpu", python: str | None = None
) -> dict[str, Any]:
    """Run one job of `edge.benchmarks.worker` and return what it reports.

    Raises:
        EdgeError: As the worker raised it, or because it was stopped by a signal.
    """
    count = str(threads)
    environment = os.environ | {
        "OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count, "MKL_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count, "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "PYTHONHASHSEED": "0",
    }  # fmt: skip
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    # -P: an `edge` folder where the user stands is not the one that measures.
    command = [python or sys.executable, "-P", "-m", "edge.benchmarks.worker", str(os.getpid())]
    job = {"cores": []} | job
    # In a session of its own: Ctrl-C is the parent's to handle, which then ends the child.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=environment,
                             start_new_session=True)  # fmt: skip
    try:
        said, complaints = child.communicate(json.dumps(job), timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise EdgeError(
            f"a measurement took more than {_TIMEOUT_S} s", "ask for fewer --frames"
        ) from error
    finally:
        child.kill()
        child.wait()
    return _understood(child.returncode, said, complaints)


def _understood(status: int, said: str, complaints: str) -> dict[str, Any]:
    if status < 0:
        name = signal.Signals(-status).name
        raise EdgeError(
            f"the runtime was stopped by {name}",
            "see whether the memory suffices"
            if name == "SIGKILL"
            else "check that the file is whole; try another runtime",
        )
    try:
        report: dict[str, Any] = json.loads(said)
    except ValueError as error:
        # Not foreseen, so its traceback is worth showing; the other cases go on.
        sys.stderr.write(complaints)
        last = (complaints.strip().splitlines() or ["without a word"])[-1]
        raise EdgeError(f"the measurement failed: {last}", "try another runtime") from error
    if "error" in report:
        raise EdgeError(report["error"]["message"], report["error"]["hint"])
    return report
