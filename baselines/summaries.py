"""The summaries without weights: the mean of a clip's frame vectors, all of them side by side, or one of them."""

from collections.abc import Sequence

import numpy as np

from cia_bench.encoders import Summary
from cia_bench.frame_order import random_time


class Mean(Summary):
    """The mean over frames, blind to their order: (N, T, D) -> (N, D)."""

    def __call__(self, sequences: np.ndarray, clip_ids: Sequence[str]) -> np.ndarray:
        # sorted first: floating-point sums depend on the order, and this one must not
        return np.sort(sequences, axis=1).mean(axis=1, dtype=np.float64).astype(np.float32)


class Concat(Summary):
    """All frames' vectors side by side, in order: (N, T, D) -> (N, T * D)."""

    def __call__(self, sequences: np.ndarray, clip_ids: Sequence[str]) -> np.ndarray:
        return sequences.reshape(len(sequences), -1)


class FirstFrame(Summary):
    """The first frame's vector: (N, T, D) -> (N, D)."""

    def __call__(self, sequences: np.ndarray, clip_ids: Sequence[str]) -> np.ndarray:
        return sequences[:, 0]


class LastFrame(Summary):
    """The last frame's vector: (N, T, D) -> (N, D)."""

    def __call__(self, sequences: np.ndarray, clip_ids: Sequence[str]) -> np.ndarray:
        return sequences[:, -1]


class RandomFrame(Summary):
    """One frame's vector at a random time, which the clip's id decides: (N, T, D) -> (N, D)."""

    def __call__(self, sequences: np.ndarray, clip_ids: Sequence[str]) -> np.ndarray:
        N, T = sequences.shape[:2]
        return sequences[np.arange(N), [random_time(clip_id, T) for clip_id in clip_ids]]
