"""Load the filmstrips that are wanted now, in threads: those wanted before and not begun are forgotten."""

import threading
import time
from collections.abc import Callable, Sequence

from cia_bench.review.strips import NoStrip, Strip, Strips

PAUSE_S = 0.08  # without another wish before the first strip is begun: who moves on quickly wants none


class StripLoader:
    """Threads that load strips. Close the strips to end what is being loaded."""

    def __init__(self, strips: Strips, tell: Callable[[object, Strip | NoStrip], None], threads: int = 1):
        """`tell` is called in a thread with each clip and its strip."""
        self._strips, self._tell = strips, tell
        self._changed = threading.Condition()
        self._wanted: list = []
        self._since = 0.0
        self._closed = False
        for _ in range(threads):
            threading.Thread(target=self._run, daemon=True).start()

    def want(self, clips: Sequence) -> None:
        """Load the strips of these clips and no others, the first first."""
        with self._changed:
            self._wanted, self._since = list(clips), time.monotonic()
            self._changed.notify_all()

    def close(self) -> None:
        """Begin no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while (clip := self._next()) is not None:
            self._tell(clip, self._strips.load(clip))

    def _next(self):
        """Wait for a clip to load; None once it is closed."""
        with self._changed:
            while not self._closed:
                rest = self._since + PAUSE_S - time.monotonic()
                if self._wanted and rest <= 0:
                    return self._wanted.pop(0)
                self._changed.wait(rest if self._wanted else None)
        return None
