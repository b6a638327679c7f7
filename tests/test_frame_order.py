import hashlib

import numpy as np
import pytest

from cia_bench.baselines.summaries import RandomFrame
from cia_bench.errors import ConfigError
from cia_bench.extract import ExtractionSettings
from cia_bench.frame_order import ORDERS, TAKES


@pytest.mark.parametrize("T", range(2, 17))
def test_subsets_have_both_ends_in_order_and_are_as_even_as_whole_numbers_allow(T):
    for count in (2, 4, 8):
        if count > T:
            continue
        times = TAKES[f"frames_{count}"]("any", T)
        assert len(times) == count and (times[0], times[-1]) == (0, T - 1) and (np.diff(times) > 0).all()
        assert np.abs(times - np.linspace(0, T - 1, count)).max() <= 0.5
    assert TAKES["frames_4"]("any", 16).tolist() == [0, 5, 10, 15]


def test_single_frames_are_the_ends_the_middle_and_the_one_that_the_summary_draws():
    named = {
        T: [TAKES[f"{name}_frame"]("a", T).tolist() for name in ("first", "middle", "last")] for T in (1, 2, 5, 16)
    }
    assert named == {1: [[0], [0], [0]], 2: [[0], [0], [1]], 5: [[0], [2], [4]], 16: [[0], [7], [15]]}
    sequences = np.tile(np.arange(16.0)[None, :, None], (3, 1, 1))
    ids = ["a", "b", "P01/videos/ü"]
    drawn = [int.from_bytes(hashlib.sha256(one.encode()).digest()[:8], "big") % 16 for one in ids]
    assert drawn == RandomFrame()(sequences, ids).ravel().tolist() == [TAKES["random_frame"](one, 16)[0] for one in ids]


def test_frames_are_shuffled_by_the_clips_id_alone_each_clip_anew_and_every_order_as_often():
    plain = sorted((hashlib.sha256(f"{time} a/b".encode()).digest(), time) for time in range(8))
    assert TAKES["shuffled"]("a/b", 8).tolist() == [time for _, time in plain]
    counts = {}
    for number in range(6000):
        order = tuple(TAKES["shuffled"](f"clip-{number}", 3))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6 and min(counts.values()) > 850  # 1,000 each, and a deviation of 29
    assert TAKES["reversed"]("a", 4).tolist() == [3, 2, 1, 0] and TAKES["forward"]("a", 2).tolist() == [0, 1]


def test_an_unknown_order_is_refused():
    with pytest.raises(ConfigError, match="unknown order 'first_frame'; choose from forward, reversed, shuffled"):
        ExtractionSettings(order="first_frame")
    assert set(ORDERS) < set(TAKES)
