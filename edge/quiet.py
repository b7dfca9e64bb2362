"""A terminal without what native libraries write while they are loaded or started."""

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


@contextmanager
def quiet(*expected: type[Exception]) -> Iterator[None]:
    """Hold back what is written to stderr, also by C++ code; show it only if the block fails.

    Args:
        expected: Failures that need no showing: the caller puts them into words.
    """
    if sys.stderr is None:
        yield
        return
    with _lock, tempfile.TemporaryFile() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        said = b""
        try:
            yield
        except Exception as error:
            if not isinstance(error, (EdgeError, *expected)):
                held.seek(0)
                said = held.read()
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            sys.stderr.write(said.decode(errors="replace"))
