import threading
import time

from cia_bench.review.strip_loader import StripLoader


class SlowStrips:
    """Strips whose loading waits until it is let go."""

    def __init__(self):
        self.begun, self.go = [], threading.Semaphore(0)

    def load(self, clip):
        self.begun.append(clip)
        self.go.acquire()
        return f"strip of {clip}"


def wait_for(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_strips_are_loaded_in_order_and_told():
    strips, told = SlowStrips(), []
    loader = StripLoader(strips, lambda clip, strip: told.append((clip, strip)))
    strips.go.release(2)
    loader.want(["a", "b"])
    wait_for(lambda: len(told) == 2)
    assert told == [("a", "strip of a"), ("b", "strip of b")]
    loader.close()


def test_what_is_no_longer_wanted_is_not_begun():
    strips, told = SlowStrips(), []
    loader = StripLoader(strips, lambda clip, strip: told.append(clip))
    loader.want(["a", "b"])
    wait_for(lambda: strips.begun == ["a"])
    for clips in (["c"], ["d"], ["e", "f"]):  # as fast as somebody scrolls
        loader.want(clips)
    strips.go.release(3)
    wait_for(lambda: len(told) == 3)
    assert strips.begun == told == ["a", "e", "f"]
    loader.close()


def test_a_closed_loader_begins_nothing_and_its_threads_end():
    strips = SlowStrips()
    before = set(threading.enumerate())
    loader = StripLoader(strips, lambda clip, strip: None, threads=2)
    loader.want(["a", "b", "c"])
    loader.close()
    wait_for(lambda: set(threading.enumerate()) <= before)
    assert strips.begun == []
