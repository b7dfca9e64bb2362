"""Work ahead: stages of the pipeline in threads of their own, before their consumer."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_THREAD = "edge ahead"


def still_working() -> bool:
    """Tell whether a thread of ours outlives its use, as one does that waits for a device."""
    return any(thread.name.startswith("edge ") for thread in threading.enumerate())


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
        self.end()
        self._thread.join(patience_s)

    def end(self) -> None:
        """Have no more items, also for who waits for one; the thread may need a while to notice."""
        with self._changed:
            self._closed = True
            self._slot.clear()
            self._changed.notify_all()


class SideBySide(Generic[Item, Made]):
    """An iterator whose items are worked on several at a time, and come in their order.

    Args:
        items: What to work on; taken by one thread at a time.
        works: What each thread does with an item that it took. Exceptions, also those of `items`,
            are raised in the place of what they prevented.
    """

    def __init__(self, items: Iterable[Item], works: Sequence[Callable[[Item], Made]]) -> None:
        self._items = iter(items)
        self._taking = threading.Lock()
        self._changed = threading.Condition()
        self._made: dict[int, Made] = {}
        self._begun = self._used = 0
        # No more than are worked on: pictures are large.
        self._most = len(works)
        self._last: int | None = None
        self._failure: BaseException | None = None
        self._closed = False
        self._threads = [
            threading.Thread(target=self._make, args=(work,), name=_THREAD, daemon=True)
            for work in works
        ]
        for thread in self._threads:
            thread.start()

    def _make(self, work: Callable[[Item], Made]) -> None:
        number = 0
        try:
            while True:
                with self._taking:
                    if not self._wants_another():
                        return
                    number = self._begun
                    taken = list(islice(self._items, 1))
                    if not taken:
                        self._end(number, None)
                        return
                    self._begun += 1
                self._put(number, work(taken[0]))
        except StopIteration as failure:
            # Raised by `__next__`, it would be taken for the end.
            self._end(number, RuntimeError(f"an item raised {failure!r}"))
        except BaseException as failure:
            self._end(number, failure)

    def _wants_another(self) -> bool:
        """Wait until an item is wanted; return False once none is any more."""
        with self._changed:
            while self._begun - self._used >= self._most and self._goes_on():
                self._changed.wait()
            return self._goes_on()

    def _goes_on(self) -> bool:
        return not self._closed and self._last is None

    def _put(self, number: int, made: Made) -> None:
        with self._changed:
            self._made[number] = made
            self._changed.notify_all()

    def _end(self, number: int, failure: BaseException | None) -> None:
        """Let `number` be the first item that is not made, unless an earlier one was not."""
        with self._changed:
            if self._last is None or number < self._last:
                self._last, self._failure = number, failure
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Made]:
        return self

    def __next__(self) -> Made:
        with self._changed:
            while not self._closed and self._used not in self._made and self._used != self._last:
                self._changed.wait()
            if not self._closed and self._used in self._made:
                made = self._made.pop(self._used)
                self._used += 1
                self._changed.notify_all()
                return made
        if self._failure is not None and not self._closed:
            raise self._failure
        raise StopIteration

    def close(self, patience_s: float | None = None) -> None:
        """Stop the threads.

        Args:
            patience_s: How long each may take to notice; None for as long as its item takes.
        """
        self.end()
        for thread in self._threads:
            thread.join(patience_s)

    def end(self) -> None:
        """Have no more items, also for who waits for one; threads may need a while to notice."""
        with self._changed:
            self._closed = True
            self._made.clear()
            self._changed.notify_all()
