"""Model against model: one bootstrap for all models of a table, so that each difference is of the same draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from cia_bench.scoring import TOP, to_resample
from cia_bench.significance import expanded_p, holm, rarer_side, share_p, tie_groups
from cia_bench.statistics import (
    ROUNDING,
    expanded_level,
    mean_draws,
    mean_over_groups,
    percentile_interval,
    rank_intervals,
    resample_group_mean,
)

MOST_DRAWS = 100_000
SMALLEST_DEVIATION = 1e-6  # of a difference: draws that hardly differ from each other tell nothing of a tail
MOST_WORK, FEWEST_DRAWS = 160_000_000, 1_000  # draws times pairs of models, twice; but not fewer than these


@dataclass(frozen=True)
class Drawn:
    """Accuracies of M answers, as fractions, and bootstrap draws that the answers share."""

    accuracy: np.ndarray  # (M,)
    draws: np.ndarray | None  # (M, B); None: one subject or video alone says nothing of how others would differ
    clusters: int  # subjects or videos that were resampled

    def first(self, count: int) -> "Drawn":
        return Drawn(self.accuracy[:count], None if self.draws is None else self.draws[:count], self.clusters)

    def interval(self, answer: int, level: float) -> list[float] | None:
        if self.draws is None:
            return None
        return list(percentile_interval(self.draws[answer], expanded_level(level, self.clusters)))

    def score(self, answer: int, level: float) -> dict:
        """A score as a result's record has it."""
        return {"accuracy": float(self.accuracy[answer]), "interval": self.interval(answer, level)}


def how_many_draws(asked: int, models: int) -> int:
    """How many draws all pairs of so many models can be compared on in a second or so: those asked for, or fewer."""
    return min(asked, MOST_DRAWS, max(FEWEST_DRAWS, MOST_WORK // models**2))


def draw_source(source: str, clips: pd.DataFrame, answers: np.ndarray, balanced: bool, draws: int, seed: int) -> Drawn:
    """Score answers (M, N) on a source's clips (columns of tables.PREDICTIONS), with scoring.score_source's draws."""
    right = answers == clips.label.to_numpy(int)
    inputs = to_resample(source, clips, right, balanced, draws, seed)
    accuracy = mean_over_groups(inputs["correct"], inputs["groups"], inputs["labels"])
    count = int(inputs["clusters"].max()) + 1
    return Drawn(accuracy, None if count == 1 else resample_group_mean(**inputs), count)


def draw_of_classes(
    source: str, clips: pd.DataFrame, predictions: np.ndarray, places: np.ndarray, draws: int, seed: int
) -> dict[str, Drawn]:
    """Of a standard benchmark's answers: `top5` accuracy, and `per_class`, accuracy as the mean over classes.

    `predictions` and `places` (M, N) are as in tables.CLASS_PREDICTIONS; both are averaged over splits, with the draws
    of draw_source.
    """
    in_top = np.where(places <= TOP, clips.label.to_numpy(), -1)
    a_class_each = clips.assign(group_id=clips.group_id + "/" + clips.label.astype(str))
    return {
        "top5": draw_source(source, clips, in_top, False, draws, seed),
        "per_class": draw_source(source, a_class_each, predictions, False, draws, seed),
    }


def mean_of_sources(parts: Sequence[Drawn]) -> Drawn:
    """The mean over sources, whose draws are independent of each other and pair as they stand (mean_over_sources)."""
    accuracy = np.mean([part.accuracy for part in parts], axis=0)
    return Drawn(accuracy, mean_draws([part.draws for part in parts]), min(part.clusters for part in parts))


@dataclass(frozen=True)
class Standing:
    """Where each of M models stands among them."""

    ranks: np.ndarray  # (M, 2), lowest and highest
    p_adjusted: np.ndarray  # (M, M), that two models differ, for all pairs together (Holm)
    ties: list[int]  # (M,), see significance.tie_groups


def stand(drawn: Drawn, level: float) -> Standing:
    """Rank models with draws; two differ if their adjusted p is at most 1 - level."""
    M = len(drawn.accuracy)
    upper = np.triu_indices(M, 1)
    adjusted = np.ones((M, M))
    if M > 1:
        adjusted[upper] = adjusted.T[upper] = holm(_all_pairs(drawn)[upper])
    order = np.argsort(-drawn.accuracy, kind="stable")
    sorted_ties = tie_groups(drawn.accuracy[order], adjusted[np.ix_(order, order)] <= 1 - level + ROUNDING)
    ties = [tie for _, tie in sorted(zip(order, sorted_ties, strict=True))]
    return Standing(rank_intervals(drawn.draws, expanded_level(level, drawn.clusters)), adjusted, ties)


def _all_pairs(drawn: Drawn) -> np.ndarray:
    """p of each pair of models, in the upper triangle of (M, M)."""
    p = np.ones((len(drawn.draws),) * 2)
    covariance = np.cov(drawn.draws, bias=True)
    mean, variance = drawn.draws.mean(axis=1), np.diag(covariance)
    for one, draws in enumerate(drawn.draws[:-1]):
        rest = slice(one + 1, None)
        spread = np.sqrt(np.maximum(variance[rest] + variance[one] - 2 * covariance[one, rest], 0))
        p[one, rest] = _p(drawn.draws[rest] - draws, mean[rest] - mean[one], spread, drawn.clusters)
    return p


def _p(differences: np.ndarray, mean: np.ndarray, deviation: np.ndarray, clusters: int) -> np.ndarray:
    """p that two models differ, (P,), from paired draws of their difference, (P, B), with their mean and deviation.

    It is significance.difference_p, made larger by expanded_p for few clusters. Where no draw lies on the other side of
    0, that says only that p is below 2 / (B + 1), which can't be significant among many pairs: there it is the tail of
    the normal with the draws' mean and deviation, if that is smaller.
    """
    rarer = rarer_side(differences)
    p = share_p(rarer, differences.shape[1])
    tail = np.maximum(2 * ndtr(-np.abs(mean) / np.maximum(deviation, SMALLEST_DEVIATION)), np.finfo(float).tiny)
    p = np.where((rarer == 0) & (deviation > SMALLEST_DEVIATION), np.minimum(p, tail), p)
    return expanded_p(p, clusters)


def differences(drawn: Drawn, a: Sequence[int], b: Sequence[int], level: float) -> list[dict]:
    """Accuracy of models a minus that of models b, pair by pair: difference, its interval and p."""
    values = drawn.draws[list(a)] - drawn.draws[list(b)]
    values[np.abs(values) < ROUNDING] = 0
    wide = expanded_level(level, drawn.clusters)
    ends = np.quantile(values, [(1 - wide) / 2, (1 + wide) / 2], axis=1).T
    means = drawn.accuracy[list(a)] - drawn.accuracy[list(b)]
    p = _p(values, values.mean(axis=1), values.std(axis=1), drawn.clusters)
    return [
        {"difference": float(mean), "interval": (float(low), float(high)), "p": float(p)}
        for mean, (low, high), p in zip(means, ends, p, strict=True)
    ]
