"""Intervals for accuracies."""

from math import sqrt
from statistics import NormalDist

import numpy as np


def wilson_interval(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion, as fractions, without continuity correction (Wilson 1927, JASA 22)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = correct / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def resample_group_mean(
    correct: np.ndarray, groups: np.ndarray, clusters: np.ndarray, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Bootstrap the mean over groups of the accuracy within each group: the value of each draw, (draws,).

    `correct` (N,) is 1 for a right answer; `groups` and `clusters` (N,) are the numbers 0..G-1 and 0..C-1 of each
    clip's group and cluster (subject or video). Groups stay fixed; each draw takes C clusters with replacement, once
    for all groups together, so that a person in several groups counts in all of them. A group that a draw leaves
    without clips is left out of that draw's mean.
    """
    C, G = int(clusters.max()) + 1, int(groups.max()) + 1
    right, total = np.zeros((2, C, G))
    np.add.at(right, (clusters, groups), correct)
    np.add.at(total, (clusters, groups), 1)
    means = []
    step = max(1, 4_000_000 // C)  # draws at a time, so that memory does not grow with the number of clusters
    for first in range(0, draws, step):
        count = min(step, draws - first)
        picks = generator.integers(C, size=(count, C)) + C * np.arange(count)[:, None]
        weights = np.bincount(picks.ravel(), minlength=count * C).reshape(count, C).astype(float)  # (count, C)
        n = weights @ total  # (count, G)
        accuracy = np.divide(weights @ right, n, out=np.zeros_like(n), where=n > 0)
        means.append(accuracy.sum(axis=1) / (n > 0).sum(axis=1))
    return np.concatenate(means)


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The central share `level` of bootstrap values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
