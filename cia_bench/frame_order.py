"""Which frames of a clip are taken, and in which order: reversed, shuffled, one of them, or some."""

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np

from cia_bench.errors import ConfigError
from cia_bench.video import spread

FORWARD, REVERSED, SHUFFLED = "forward", "reversed", "shuffled"
ORDERS = (FORWARD, REVERSED, SHUFFLED)  # of all frames


def check_order(order: str) -> None:
    """Raise ConfigError unless there is such an order of all frames."""
    if order not in ORDERS:
        raise ConfigError(f"unknown order {order!r}; choose from {', '.join(ORDERS)}")


def _digest(clip_id: str, *more: int) -> bytes:
    return hashlib.sha256(" ".join([*map(str, more), clip_id]).encode("utf-8", "surrogatepass")).digest()


def shuffled(clip_id: str, T: int) -> np.ndarray:
    """A permutation of T frames, drawn anew for each clip: its id decides, whatever is drawn besides."""
    return np.array(sorted(range(T), key=lambda time: _digest(clip_id, time)))


def random_time(clip_id: str, T: int) -> int:
    """One of T frames, which the clip's id decides."""
    return int.from_bytes(_digest(clip_id)[:8], "big") % T


def _spread(count: int, clip_id: str, T: int) -> np.ndarray:
    return spread(np.arange(T), count)


TAKES: dict[str, Callable[[str, int], np.ndarray]] = {  # a clip's id and its number of frames -> which of them
    FORWARD: lambda clip_id, T: np.arange(T),
    REVERSED: lambda clip_id, T: np.arange(T)[::-1],
    SHUFFLED: shuffled,
    "first_frame": lambda clip_id, T: np.array([0]),
    "middle_frame": partial(_spread, 1),
    "last_frame": lambda clip_id, T: np.array([T - 1]),
    "random_frame": lambda clip_id, T: np.array([random_time(clip_id, T)]),
    "frames_2": partial(_spread, 2),
    "frames_4": partial(_spread, 4),
    "frames_8": partial(_spread, 8),
}
