"""Tests of whether a score is above chance or above another, and what they can detect."""

from collections.abc import Iterable
from math import comb, sqrt

import numpy as np
from scipy.special import gammaln, ndtri, stdtr, xlog1py, xlogy

from cia_bench.statistics import ROUNDING, paired_differences

SLACK = 1 + 1e-9  # a p that is alpha but for rounding is significant, as exact arithmetic says
PRECISION = 1e-4  # of a detectable accuracy


def fisher_test(predictions: np.ndarray, labels: np.ndarray) -> float:
    """One-sided p of Fisher's exact test that predictions agree with labels more than chance would have them.

    Both are (N,), 0 or 1. p is the chance that as many clips or more of label 1 are among those predicted 1, given how
    many there are of each, if predictions know nothing of the labels (Fisher 1935, JRSS 98). Computed in whole numbers.
    It is 1 for constant predictions. Clips are taken to be independent: where subjects or videos have several, use
    permute_labels. Raises ValueError if the arrays differ in shape or hold another number.
    """
    if predictions.shape != labels.shape or predictions.ndim != 1:
        raise ValueError(f"predictions {predictions.shape} and labels {labels.shape} must both be (N,)")
    for name, values in (("predictions", predictions), ("labels", labels)):
        if not np.isin(values, (0, 1)).all():
            raise ValueError(f"{name} must be 0 or 1")
    n, ones, chosen = len(labels), int(labels.sum()), int(predictions.sum())
    both = int(((predictions == 1) & (labels == 1)).sum())
    ways = sum(comb(ones, k) * comb(n - ones, chosen - k) for k in range(both, min(ones, chosen) + 1))
    return ways / comb(n, chosen)


def fisher_power(n0: int, n1: int, accuracy: float, alpha: float = 0.05) -> float:
    """The exact chance that fisher_test gives p <= alpha on n0 clips of label 0 and n1 of label 1.

    The probe is right on the share `accuracy` of each label, independently from clip to clip, so that the counts of
    clips predicted 1 are two binomials; the power is the sum of their joint probability over all significant tables.
    Raises ValueError if a count is negative, accuracy not in [0, 1] or alpha not in (0, 1).
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy is {accuracy}; it is a fraction, from 0 to 1")
    return _power(_significant(n0, n1, alpha), accuracy)


def detectable_accuracy(n0: int, n1: int, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The smallest true accuracy, on either label, at which fisher_power is at least `power`, rounded up within 1e-4.

    None if even a probe that is always right is not detected: there are too few clips. Raises ValueError as
    fisher_power does, or if power is not in (0, 1).
    """
    if not 0 < power < 1:
        raise ValueError(f"power is {power}; it is a share between 0 and 1")
    significant = _significant(n0, n1, alpha)
    low, high = 0.0, 1.0
    if _power(significant, high) < power:
        return None
    while high - low > PRECISION:  # power grows with accuracy: the test's significant tables form a corner
        middle = (low + high) / 2
        low, high = (low, middle) if _power(significant, middle) >= power else (middle, high)
    return high


def _significant(n0: int, n1: int, alpha: float) -> np.ndarray:
    """Which tables are significant, (n0 + 1, n1 + 1), by how many clips of label 0 and of label 1 are predicted 1."""
    if n0 < 0 or n1 < 0:
        raise ValueError(f"{n0} and {n1} clips; a count can't be negative")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; it is a share between 0 and 1")
    false, true = np.arange(n0 + 1)[:, None], np.arange(n1 + 1)
    p = np.exp(_log_comb(n0, false) + _log_comb(n1, true) - _log_comb(n0 + n1, false + true))  # of this table
    for k in range(n1 - 1, -1, -1):  # plus those with as many predicted 1 of which more have label 1
        p[1:, k] += p[:-1, k + 1]
    return p <= alpha * SLACK


def _power(significant: np.ndarray, accuracy: float) -> float:
    false, true = (count - 1 for count in significant.shape)
    return float(_binomial(false, 1 - accuracy) @ significant @ _binomial(true, accuracy))


def _binomial(n: int, share: float) -> np.ndarray:
    """The chance of each of 0..n successes."""
    k = np.arange(n + 1)
    return np.exp(_log_comb(n, k) + xlogy(k, share) + xlog1py(n - k, -share))


def _log_comb(n: int, k: np.ndarray) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def permute_labels(
    labels: np.ndarray, clusters: np.ndarray, strata: np.ndarray, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Permute the labels of clips that are not independent, (draws, N); refit the probe to each for its null score.

    `labels`, `clusters` (subject or video) and `strata` (the side of the split) are (N,) whole numbers. In each
    stratum, labels are shuffled within each cluster, and clusters of equal size exchange their labels as a whole; all
    arrangements that this reaches are equally likely. Each stratum, and each size of cluster in it, keeps its labels.

    The null hypothesis is that labels have nothing to do with embeddings, although the clips of one cluster may look
    alike and may share a label more often than those of others. The test is exact if, given the embeddings, the labels
    of a cluster's clips are exchangeable, and so are the clusters of one size in one stratum (Winkler et al. 2015,
    NeuroImage 123: within-block and whole-block permutation). They are not where subjects are on both sides of the
    split, each with its own share of labels: a probe that only knows the person again then beats its permutations. To
    count that as null too, shuffle within clusters alone, by giving every cluster of every side a stratum of its own.
    A cluster of a size that no other has is only shuffled within; if it has one clip, that keeps its label.

    Raises ValueError if the arrays differ in shape.
    """
    if not labels.shape == clusters.shape == strata.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape}, clusters {clusters.shape}, strata {strata.shape} must all be (N,)")
    blocks, block_of, sizes = _unique_pairs(strata, clusters)
    kind_of = _unique_pairs(blocks[0], sizes)[1]  # blocks of one kind exchange their labels
    order = np.argsort(block_of, kind="stable")  # clips, block by block
    first = np.cumsum(sizes) - sizes
    place = np.argsort(order) - first[block_of]  # of a clip in its block
    source = _shuffle_within(kind_of, draws, generator)[:, block_of]  # the block whose labels each clip's block gets
    shuffled = labels[_shuffle_within(block_of, draws, generator)]
    return np.take_along_axis(shuffled, order[first[source] + place], axis=1)


def _unique_pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different pairs, (2, P), which of them each is, and how often each is there."""
    pairs, which, counts = np.unique(np.stack([a, b]), axis=1, return_inverse=True, return_counts=True)
    return pairs, which.reshape(-1), counts  # numpy 2.0 alone gives `which` two axes


def _shuffle_within(parts: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """For each of n places a place of its part, (draws, n); every order within each part is equally likely."""
    shuffled = np.argsort(parts + generator.random((draws, len(parts))), axis=1)  # part by part
    taken = np.empty_like(shuffled)
    taken[:, np.argsort(parts, kind="stable")] = shuffled
    return taken


def permutation_p(observed: float, permuted: np.ndarray) -> float:
    """One-sided p, (b + 1) / (m + 1), where b of the m permuted scores (m,) are at least as large as the observed one.

    The observed labels are one of the arrangements, so p is never 0 (Phipson & Smyth 2010, SAGMB 9). Scores within
    1e-12 are equal. Raises ValueError without any permuted score.
    """
    if permuted.ndim != 1 or not len(permuted):
        raise ValueError(f"permuted scores of shape {permuted.shape}; at least one is needed, (m,)")
    return float((np.count_nonzero(permuted >= observed - ROUNDING) + 1) / (len(permuted) + 1))


def sequential_p(observed: float, parts: Iterable[np.ndarray], enough: int) -> float:
    """permutation_p from parts of the permuted scores, (m,) each, that are asked for until the rest can't matter.

    Once `enough` scores are at least as large as the observed one, at the l-th score, p is enough / l and no more are
    computed; if that never happens, p is permutation_p's. This is as exact: under the null the chance of any p or a
    smaller one is that p (Besag & Clifford 1991, Biometrika 78). With `enough` from enough_for, both give the same p
    up to a level, and above it this one is coarser. Raises ValueError without any permuted score.
    """
    scores = np.empty(0)
    for part in parts:
        scores = np.concatenate([scores, part])
        as_large = np.flatnonzero(scores >= observed - ROUNDING)
        if len(as_large) >= enough:
            return float(enough / (as_large[enough - 1] + 1))
    return permutation_p(observed, scores)


def enough_for(level: float, permutations: int) -> int:
    """The fewest scores as large as the observed one after which sequential_p is above `level` wherever it stops."""
    return int(level * permutations * SLACK) + 1


def difference_p(draws_a: np.ndarray, draws_b: np.ndarray) -> float:
    """Two-sided bootstrap p that models a and b differ, from paired draws of their accuracies, (B,) each.

    Twice the smaller of the shares of draws in which the difference is not above and not below 0, each share counted
    as (count + 1) / (B + 1) so that p is never 0 (Davison & Hinkley 1997, section 4.4; it inverts the percentile
    interval); at most 1, which it is for equal models. Raises ValueError if the shapes differ.
    """
    return float(share_p(rarer_side(paired_differences(draws_a, draws_b)), len(draws_a)))


def rarer_side(differences: np.ndarray) -> np.ndarray:
    """In how many draws, (...), differences (..., B) are not above 0, or not below it, whichever is rarer."""
    not_above = np.count_nonzero(differences < ROUNDING, axis=-1)
    not_below = np.count_nonzero(differences > -ROUNDING, axis=-1)
    return np.minimum(not_above, not_below)


def share_p(rarer: np.ndarray, draws: int) -> np.ndarray:
    """difference_p, (...), where so many of the draws, (...), lie on the rarer side of 0."""
    return np.minimum(1, 2 * (rarer + 1) / (draws + 1))


def expanded_p(p: float | np.ndarray, clusters: int) -> float | np.ndarray:
    """difference_p from draws of so few clusters, made as much larger as statistics.expanded_level widens an interval.

    It is at most alpha where the interval at expanded_level(1 - alpha, clusters) leaves out 0. Raises ValueError for
    fewer than 2 clusters.
    """
    if clusters < 2:
        raise ValueError(f"{clusters} cluster; a test needs at least 2")
    return 2 * stdtr(clusters - 1, ndtri(p / 2) * sqrt((clusters - 1) / clusters))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """p-values (m,) adjusted so that those at most q have a false discovery rate of at most q (BH 1995, JRSS B 57).

    That holds for independent and for positively dependent tests (Benjamini & Yekutieli 2001, Annals of Statistics 29).
    Raises ValueError unless each p is in [0, 1].
    """
    _check_p(p)
    order = np.argsort(p)[::-1]  # the largest first
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum.accumulate(scaled)
    return adjusted


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (m,) adjusted so that any false one at most alpha has a chance of at most alpha, however dependent.

    Holm 1979, Scandinavian Journal of Statistics 6. Raises ValueError unless each p is in [0, 1].
    """
    _check_p(p)
    order = np.argsort(p)  # the smallest first
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def _check_p(p: np.ndarray) -> None:
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():  # NaN is neither
        raise ValueError("p-values must be (m,), each from 0 to 1")


def tie_groups(accuracies: np.ndarray, different: np.ndarray) -> list[int]:
    """Number the ties of a table sorted by accuracy: 1 for the best model and all that tie with it, and so on down.

    `accuracies` (M,); `different` (M, M) is True where two models differ significantly. Down the table, a model that is
    not different from the first of the group above belongs to it; another starts the next group. Models of equal
    accuracy enter as one, whatever their order: they belong to the group above if any of them is not different from
    any of its first. Two of one group may still differ from each other: only its first was asked.

    Raises ValueError if the accuracies are not sorted or `different` is not symmetric.
    """
    if (np.diff(accuracies) > ROUNDING).any():
        raise ValueError("accuracies must be sorted, best first")
    if different.shape != (len(accuracies),) * 2 or (different != different.T).any():
        raise ValueError(f"different must be ({len(accuracies)}, {len(accuracies)}) and symmetric")
    starts = np.flatnonzero(np.diff(accuracies, prepend=np.inf) < -ROUNDING)  # of models of equal accuracy
    numbers, first = [], None
    for equal in np.split(np.arange(len(accuracies)), starts[1:]):
        if first is None or different[np.ix_(first, equal)].all():
            first, number = equal, (numbers[-1] + 1 if numbers else 1)
        numbers += [number] * len(equal)
    return numbers
