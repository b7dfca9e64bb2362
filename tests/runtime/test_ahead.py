import threading
import time

import pytest

from edge.runtime.ahead import Ahead, SideBySide


def forever(event: threading.Event):
    """Yield numbers until told to stop, as a camera does."""
    number = 0
    while not event.is_set():
        yield number
        number += 1


def test_every_item_comes_in_order():
    ahead = Ahead(range(1000))
    assert list(ahead) == list(range(1000))
    assert ahead.dropped == 0


def test_one_item_is_made_while_the_one_before_is_used():
    made = []

    def items():
        for number in range(5):
            made.append(number)
            yield number

    ahead = Ahead(items())
    assert next(ahead) == 0
    until(lambda: made == [0, 1])
    # The second waits to be taken; the third would be old by the time that it is.
    time.sleep(0.02)
    assert made == [0, 1]
    assert list(ahead) == [1, 2, 3, 4]


def test_the_newest_item_wins_and_the_others_are_counted():
    go = threading.Event()

    def items():
        yield 0
        go.wait()
        yield from range(1, 100)

    ahead = Ahead(items(), newest=True)
    assert next(ahead) == 0
    go.set()
    until(lambda: ahead.dropped == 98)
    assert list(ahead) == [99]


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("broken")

    ahead = Ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_it_ends_while_its_thread_has_more():
    stop = threading.Event()
    ahead = Ahead(forever(stop))
    next(ahead)
    ahead.close()
    assert not ahead._thread.is_alive()
    assert list(ahead) == []


def test_it_ends_while_somebody_waits_for_an_item():
    hang = threading.Event()

    def items():
        hang.wait()
        yield 1

    ahead = Ahead(items())
    taken = []
    taker = threading.Thread(target=lambda: taken.extend(ahead))
    taker.start()
    # The thread itself waits for a device that gives nothing.
    ahead.close(0.05)
    assert ahead._thread.is_alive()
    taker.join(5)
    assert not taker.is_alive()
    assert taken == []
    hang.set()


def test_stages_in_a_row_end_from_the_last_one():
    stop = threading.Event()
    first = Ahead(forever(stop))
    second = Ahead(number * 2 for number in first)
    assert [next(second) for _ in range(3)] == [0, 2, 4]
    first.close()
    second.close()
    assert not first._thread.is_alive()
    assert not second._thread.is_alive()


def test_items_that_are_worked_on_at_once_come_in_their_order():
    first = threading.Event()

    def slow_first(number):
        if number == 0:
            first.wait(5)
        return number * number

    work = SideBySide(range(100), [slow_first] * 3)
    # The second was done long before the first, and waits for it.
    until(lambda: 1 in work._made)
    first.set()
    assert list(work) == [number * number for number in range(100)]


def test_all_threads_work_at_once_and_not_far_ahead():
    together = threading.Barrier(4)
    begun = []

    def work(number):
        begun.append(number)
        if number < 4:
            together.wait(5)
        return number

    items = SideBySide(range(100), [work] * 4)
    assert next(items) == 0
    until(lambda: len(begun) == 5)
    # Four that were not taken; a fifth of them would wait for nobody.
    time.sleep(0.02)
    assert len(begun) == 5
    assert list(items) == list(range(1, 100))


@pytest.mark.timeout(30)
def test_an_item_that_cannot_be_made_is_told_in_its_place():
    def work(number):
        time.sleep(0.001 * (5 - number))
        if number in (2, 3):
            raise ValueError("broken")
        return number

    items = SideBySide(range(100), [work] * 5)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="broken"):
        next(items)
    items.close()


def test_work_that_stops_an_iteration_is_an_error_and_no_end():
    items = SideBySide(range(5), [lambda number: next(iter([]))] * 2)
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(items)


@pytest.mark.timeout(30)
def test_items_that_break_off_are_told_after_those_before():
    def items():
        yield 0
        yield 1
        raise ValueError("broken")

    work = SideBySide(items(), [lambda number: number] * 2)
    assert [next(work), next(work)] == [0, 1]
    with pytest.raises(ValueError, match="broken"):
        next(work)


def test_it_ends_while_all_its_threads_work():
    stop = threading.Event()
    work = SideBySide(forever(stop), [lambda number: number] * 3)
    assert next(work) == 0
    work.close()
    assert not any(thread.is_alive() for thread in work._threads)
    assert list(work) == []


def until(holds, seconds=5.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)
