"""Work ahead: a stage of the pipeline in a thread of its own, one item before its consumer."""

import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

_THREAD = "edge ahead"


def still_working() -> bool:
    """Tell whether a thread outlives its use, as one does that waits for a device."""
    return any(thread.name == _THREAD for thread in threading.enumerate())


class Ahead(Generic[Item]):
    """An iterator whose items are made by a thread while those before them are used.

    Args:
        items: What to iterate; its exceptions are raised where the items are used.
        newest: An item that nobody took is replaced by the next one and counted; else the next
            one is begun once it was taken, so that no item waits for longer than it takes to use
            one.

    Attributes:
        dropped: Items that were replaced.
    """

    def __init__(self, items: Iterable[Item], *, newest: bool = False) -> None:
        self.dropped = 0
        self._newest = newest
        self._changed = threading.Condition()
        self._slot: list[Item] = []
        self._over = self._closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(
            target=self._make, args=(iter(items),), name=_THREAD, daemon=True
        )
        self._thread.start()

    def _make(self, items: Iterator[Item]) -> None:
        try:
            while self._wants_another():
                self._put(next(items))
        except StopIteration:
            pass
        except BaseException as failure:
            self._failure = failure
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _wants_another(self) -> bool:
        """Wait until an item is wanted; return False once none is any more."""
        with self._changed:
            while self._slot and not self._newest and not self._closed:
                self._changed.wait()
            return not self._closed

    def _put(self, item: Item) -> None:
        with self._changed:
            if not self._closed:
                self.dropped += len(self._slot)
                self._slot[:] = [item]
                self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        with self._changed:
            while not self._slot and not self._over and not self._closed:
                self._changed.wait()
            if self._slot:
                item = self._slot.pop()
                self._changed.notify_all()
                return item
        if self._failure is not None and not self._closed:
            raise self._failure
        raise StopIteration

    def close(self, patience_s: float | None = None) -> None:
        """Stop the thread.

        Args:
            patience_s: How long it may take to notice; None for as long as its last item takes.
        """
        with self._changed:
            self._closed = True
            self._slot.clear()
            self._changed.notify_all()
        self._thread.join(patience_s)
