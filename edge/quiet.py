"""A terminal without what native libraries write while they are loaded or started."""

import atexit
import ctypes
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from edge.errors import EdgeError

# Two threads that swapped the descriptor at once would leave it swapped.
_lock = threading.RLock()


class Held:
    """What a block of `quiet` held back, once the block is left."""

    text = ""


@contextmanager
def quiet(*expected: type[Exception]) -> Iterator[Held]:
    """Hold back what is written to stderr, also by C++ code; show it only if the block fails.

    Args:
        expected: Failures that need no showing: the caller puts them into words.

    Yields:
        What was held back, to be read after the block, also when it failed.
    """
    held = Held()
    if sys.stderr is None:
        yield held
        return
    with _lock, tempfile.TemporaryFile() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        show = False
        try:
            yield held
        except Exception as error:
            show = not isinstance(error, (EdgeError, *expected))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            held.text = file.read().decode(errors="replace")
            if show:
                sys.stderr.write(held.text)


@contextmanager
def unprinted() -> Iterator[None]:
    """Drop what C code prints to stdout, which belongs to results."""
    if sys.stdout is None:
        yield
        return
    with _lock:
        _flush_stdout()
        kept = os.dup(1)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        try:
            yield
        finally:
            _flush_stdout()
            os.dup2(kept, 1)
            os.close(kept)


def _flush_stdout() -> None:
    """Empty Python's buffer and that of C, which else prints its own when the process ends."""
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)


def end_quietly() -> None:
    """Drop what native libraries write to stderr once the process has nothing more to say."""
    atexit.unregister(_drop_stderr)
    atexit.register(_drop_stderr)


def _drop_stderr() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
