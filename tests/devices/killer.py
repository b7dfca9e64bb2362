"""Loaded by a board's Python as `sitecustomize`: it dies before it changes its disk.

Before which change says the file that EDGE_TEST_FAULT names: the N-th, or the first one with some
words; the starts of programs count as well. What was begun is written to a file beside it, a line
each.
"""

import os
import sys

CHANGES = {
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod",
    "shutil.copyfile", "subprocess.Popen", "fcntl.flock",
}  # fmt: skip


def watch(place: str) -> None:
    """Write down the changes, and die before the one that the file says."""
    with open(place) as file:  # noqa: PTH123 - the fewer modules, the better
        fatal = file.read()
    log = os.open(place + ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    count = 0

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        writes = event == "open" and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not writes and event not in CHANGES:
            return
        count += 1
        words = " ".join([event, *map(str, args)]).replace("\n", " ")
        os.write(log, f"{words}\n".encode())
        if fatal == str(count) or (not fatal.isdigit() and fatal and fatal in words):
            os.kill(os.getpid(), 9)

    sys.addaudithook(hook)


if "EDGE_TEST_FAULT" in os.environ and sys.flags.isolated:
    watch(os.environ["EDGE_TEST_FAULT"])
