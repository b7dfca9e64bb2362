import threading
import time

import pytest

from edge.runtime.ahead import Ahead


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


def until(holds, seconds=5.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)
