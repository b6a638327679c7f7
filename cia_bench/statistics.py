"""Intervals for accuracies, their differences and ranks: Wilson's, and by bootstrap draws that models share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt
from statistics import NormalDist

import numpy as np
from scipy.special import ndtr, stdtrit

ROUNDING = 1e-12  # two accuracies, as fractions, closer than this are of equally many right answers
AT_ONCE = 4_000_000  # numbers in memory, of draws times clusters or draws times models and groups


def in_percent(value: float, interval: Sequence[float] | None, sign: str = "") -> str:
    """A fraction with its interval, as `57.6 [54.4, 60.5]`; without brackets if it has none. `sign` may be +."""
    ends = "" if not interval else f" [{', '.join(f'{100 * end:{sign}.1f}' for end in interval)}]"
    return f"{100 * value:{sign}.1f}{ends}"


def mean_draws(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """The mean of sources' bootstrap values, (..., B), which are independent; None if a source has none."""
    return None if any(part is None for part in parts) else np.mean(parts, axis=0)


def wilson_interval(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion, as fractions, without continuity correction (Wilson 1927, JASA 22)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = correct / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def balanced_interval(correct: tuple[int, int], n: tuple[int, int], level: float = 0.95) -> tuple[float, float]:
    """An interval for the mean of two proportions, such as balanced accuracy, from Wilson's of each, as fractions.

    Their distances to the proportions are squared and added (Newcombe 1998, Statistics in Medicine 17, method 10).
    """
    shares = [right / total for right, total in zip(correct, n, strict=True)]
    ends = [wilson_interval(right, total, level) for right, total in zip(correct, n, strict=True)]
    below, above = (
        sqrt(sum((share - end[side]) ** 2 for share, end in zip(shares, ends, strict=True))) for side in (0, 1)
    )
    return (sum(shares) - below) / 2, (sum(shares) + above) / 2


@dataclass(frozen=True)
class _Counted:
    """Right answers and clips of each group, of the clusters alone that have clips in it: most have few groups."""

    who: list[np.ndarray]  # the clusters of each of G groups, (K,)
    right: list[np.ndarray]  # their right answers, (..., K)
    total: list[np.ndarray]  # and clips, (K,)
    clusters: int  # C
    balanced: bool = False  # the groups are the labels 0 and 1 of each group in turn

    @property
    def models(self) -> tuple[int, ...]:
        return self.right[0].shape[:-1]


def resample_group_mean(
    correct: np.ndarray,
    groups: np.ndarray,
    clusters: np.ndarray,
    draws: int,
    generator: np.random.Generator,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Bootstrap the mean over groups of the accuracy within each group: the value of each draw, (..., draws).

    `correct` (..., N) is 1 for a right answer, 0 for a wrong one; leading axes, such as models that answered the same
    clips, share the draws, so that the difference of two of them is paired. `groups` and `clusters` (N,) are the
    numbers 0..G-1 and 0..C-1 of each clip's group and cluster (subject or video). Groups stay fixed; each draw takes C
    clusters with replacement, once for all groups together, so that a person in several groups counts in all of them.
    A group that a draw leaves without clips is left out of that draw's mean. The draws speak of other subjects in
    these groups (Field & Welsh 2007, JRSS B 69).

    With `labels` (N,), 0 or 1, accuracy is balanced: the mean of that on each of a group's two labels. A group is then
    left out of a draw that has clips of one label alone; should all be, what is there counts.
    """
    drawn = _draw_accuracies(_count_parts(correct, groups, clusters, labels), draws, generator)
    return np.concatenate([_mean_of_all(*one) for one in drawn], axis=-1)


def mean_over_groups(correct: np.ndarray, groups: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """What resample_group_mean draws values of: the mean over groups of the accuracy within each, (..., N) -> (...)."""
    counted = _count_parts(correct, groups, np.zeros_like(groups), labels)
    return _mean_of_all(*_group_accuracies(np.ones((1, 1)), counted))[..., 0]


def _count_parts(correct: np.ndarray, groups: np.ndarray, clusters: np.ndarray, labels: np.ndarray | None) -> _Counted:
    """Counts of each group, or of each label of each group."""
    G = int(groups.max()) + 1
    if labels is None:
        return _count(correct, groups, clusters, G)
    return replace(_count(correct, 2 * groups + labels, clusters, 2 * G), balanced=True)


def _draw_accuracies(
    counted: _Counted, draws: int, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What _group_accuracies gives of each draw of clusters, some draws at a time."""
    return (_group_accuracies(weights, counted) for weights in _draw_clusters(counted, draws, generator))


def _group_accuracies(weights: np.ndarray, counted: _Counted) -> tuple[np.ndarray, np.ndarray]:
    """Each group's accuracy in draws (C, count), (G, ..., count), and where it has one, (G, count)."""
    accuracy, n = _accuracies(weights, counted)
    return _both_labels(accuracy, n > 0) if counted.balanced else (accuracy, n > 0)


def _mean_of_all(accuracy: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The mean over the groups that have an accuracy, (..., count); the others' becomes 0."""
    if not present.all():
        accuracy *= present.reshape(len(present), *[1] * (accuracy.ndim - 2), -1)
    return accuracy.sum(axis=0) / present.sum(axis=0)


def _both_labels(accuracy: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Balanced accuracy of groups, (G, ..., count), from that of their labels, (2 G, ..., count); which have both."""
    has = present.reshape(-1, 2, present.shape[1])
    both = has.all(axis=1)
    none = ~both.any(axis=0)
    labels = np.maximum(has.sum(axis=1), 1)
    of_groups = accuracy[::2] + accuracy[1::2]
    of_groups /= labels.reshape(len(labels), *[1] * (accuracy.ndim - 2), -1)
    return of_groups, both | (none & has.any(axis=1))


def resample_both(
    correct: np.ndarray,
    groups: np.ndarray,
    clusters: np.ndarray,
    draws: int,
    generator: np.random.Generator,
    labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What resample_group_mean gives, and the same where each draw also takes groups: of other subjects *and* groups.

    Of the groups that a draw's clusters leave with clips, as many as there are of them are taken with replacement. This
    is the pigeonhole bootstrap of crossed factors (Owen 2007, Annals of Applied Statistics 1). No bootstrap of them is
    exact; this one is too wide rather than too narrow: it counts the variance of single clips three times.
    """
    of_groups = generator.spawn(1)[0]
    drawn = _draw_accuracies(_count_parts(correct, groups, clusters, labels), draws, generator)
    means = [(_mean_of_all(*one), _mean_of_drawn(*one, of_groups)) for one in drawn]
    fixed, over_groups = (np.concatenate(parts, axis=-1) for parts in zip(*means, strict=True))
    return fixed, over_groups


def _mean_of_drawn(accuracy: np.ndarray, present: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The mean over as many groups as have clips, taken with replacement among these."""
    left = present.sum(axis=0)  # at least one: every cluster has clips
    times = generator.multinomial(left, (present / left).T)  # (count, G); 0 where no clip is left
    return np.einsum("g...d,dg->...d", accuracy, times) / left


def _count(correct: np.ndarray, groups: np.ndarray, clusters: np.ndarray, G: int) -> _Counted:
    who, right, total = [], [], []
    for g in range(G):
        mine = np.flatnonzero(groups == g)
        mine = mine[np.argsort(clusters[mine], kind="stable")]
        names, starts = np.unique(clusters[mine], return_index=True)
        who.append(names)
        right.append(np.add.reduceat(correct[..., mine], starts, axis=-1) if len(mine) else correct[..., :0])
        total.append(np.diff(starts, append=len(mine)).astype(float))
    return _Counted(who, right, total, int(clusters.max()) + 1)


def resample_difference(
    correct: np.ndarray,
    marked: np.ndarray,
    strata: np.ndarray,
    clusters: np.ndarray,
    draws: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Bootstrap the accuracy of marked clips minus that of others of the same stratum: the value of each draw, (<= B,).

    `correct` and `marked` (N,) are 0 or 1, `strata` and `clusters` (N,) the numbers 0..S-1 and 0..C-1. The differences
    of the strata are averaged with Mantel and Haenszel's weights, n m / (n + m) for n marked clips and m others
    (Greenland & Robins 1985, Biometrics 41). Clusters are drawn as for resample_group_mean; a draw that leaves no
    stratum with both kinds is left out.
    """
    counted = _count(correct, 2 * strata + marked, clusters, 2 * (int(strata.max()) + 1))
    drawn = []
    for weights in _draw_clusters(counted, draws, generator):
        accuracy, n = _accuracies(weights, counted)
        others, marks = n[::2], n[1::2]
        weight = others * marks / np.maximum(others + marks, 1)
        compared = weight.sum(axis=0) > 0
        difference = ((accuracy[1::2] - accuracy[::2]) * weight)[:, compared]
        drawn.append(difference.sum(axis=0) / weight[:, compared].sum(axis=0))
    return np.concatenate(drawn)


def _draw_clusters(counted: _Counted, draws: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each draw takes each cluster, (C, count), some draws at a time so that memory stays small."""
    C = counted.clusters
    step = max(1, AT_ONCE // max(C, prod(counted.models) * len(counted.who)))
    for first in range(0, draws, step):
        count = min(step, draws - first)
        picks = generator.integers(C, size=(count, C)) + C * np.arange(count)[:, None]
        times = np.bincount(picks.ravel(), minlength=count * C).reshape(count, C)
        yield np.ascontiguousarray(times.T, dtype=float)


def _accuracies(weights: np.ndarray, counted: _Counted) -> tuple[np.ndarray, np.ndarray]:
    """Each group's accuracy in each draw, (G, ..., count), 0 where it has no clip; its clips in it, (G, count)."""
    G, count = len(counted.who), weights.shape[1]
    n, accuracy = np.empty((G, count)), np.empty((G, *counted.models, count))
    for g, (who, right, total) in enumerate(zip(counted.who, counted.right, counted.total, strict=True)):
        taken = weights[who]
        n[g] = total @ taken
        np.divide(right @ taken, np.where(n[g] > 0, n[g], 1), out=accuracy[g])
    return accuracy, n


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The central share `level` of bootstrap values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def expanded_level(level: float, clusters: int) -> float:
    """The level at which a percentile interval of draws of so few clusters covers the truth at about `level`.

    Draws of C clusters scatter too little, by sqrt((C - 1) / C), and their percentiles are a normal's, not those of
    Student's t with C - 1 degrees of freedom (expanded percentile interval, Hesterberg 2015, American Statistician 69).
    Raises ValueError for fewer than 2 clusters.
    """
    if clusters < 2:
        raise ValueError(f"{clusters} cluster; an interval needs at least 2")
    t = stdtrit(clusters - 1, (1 + level) / 2)
    return float(2 * ndtr(t * sqrt(clusters / (clusters - 1))) - 1)


def difference_interval(draws_a: np.ndarray, draws_b: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of accuracy a minus accuracy b, as fractions, from paired draws, (B,) each."""
    return percentile_interval(paired_differences(draws_a, draws_b), level)


def paired_differences(draws_a: np.ndarray, draws_b: np.ndarray) -> np.ndarray:
    """a minus b, (B,), exactly 0 where they differ by rounding; raises ValueError if they can't be paired."""
    if draws_a.shape != draws_b.shape or draws_a.ndim != 1 or not len(draws_a):
        raise ValueError(f"draws of shapes {draws_a.shape} and {draws_b.shape} can't be paired; both must be (B,)")
    differences = draws_a - draws_b
    return np.where(np.abs(differences) < ROUNDING, 0.0, differences)


def rank_intervals(draws: np.ndarray, level: float = 0.95) -> np.ndarray:
    """The lowest and the highest rank of each of M models, whole numbers, (M, 2), from paired draws, (M, B).

    Rank 1 is the best. A draw's rank is 1 plus the number of models that are better in it, so that models which tie
    share the best of their ranks: it stays a whole number, and 1 means that no model was better. The ends are ranks
    that were drawn; between them lies at least the share `level` of the draws. Each interval is for its model alone,
    not for all at once (Goldstein & Spiegelhalter 1996, JRSS A 159).
    """
    ranks = np.array([1 + (draws > one + ROUNDING).sum(axis=0) for one in draws])
    ends = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=1, method="inverted_cdf")
    return ends.T.astype(int)
