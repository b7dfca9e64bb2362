"""A process that runs the front door again and again, for `test_hostile.py`.

Each line of stdin is a command's arguments, as JSON; each line of stdout says what came of it.
"""

import faulthandler
import json
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from edge.cli import main


def serve(folder: Path) -> None:
    """Run the commands; `folder` is where they might leave something."""
    replies, kept = os.fdopen(os.dup(1), "w"), [os.memfd_create(name) for name in ("out", "err")]
    faulthandler.enable(os.dup(2))
    known = {*folder.rglob("*"), folder / "home/choices.json"}
    for line in sys.stdin:
        for number, file in enumerate(kept, 1):
            os.lseek(file, 0, os.SEEK_SET)
            os.truncate(file, 0)
            os.dup2(file, number)
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is this command's
        status = run(json.loads(line))
        peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        out, err = (os.pread(file, 1 << 24, 0).decode(errors="replace") for file in kept)
        left = sorted(str(path) for path in {*folder.rglob("*")} - known)
        reply = {"status": status, "out": out, "err": err, "peak_mb": int(peak[1]) / 1024}
        print(json.dumps(reply | {"left": left}), file=replies, flush=True)


def run(arguments: list[str]) -> Any:
    """Run one command as a process of its own would; return its exit status."""
    sys.argv = ["edge", *arguments]
    status: Any = 0
    try:
        main()
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        status = 1
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
