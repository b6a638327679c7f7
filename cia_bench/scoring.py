"""Count scores from predictions: by group, by source and over sources, each with its interval."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cia_bench.protocols import EvaluationSettings
from cia_bench.significance import benjamini_hochberg, detectable_accuracy
from cia_bench.statistics import (
    expanded_level,
    mean_draws,
    percentile_interval,
    resample_both,
    wilson_interval,
)

DISCOVERY = 0.05  # false discovery rate at which a group counts as above chance
TOP = 5  # places that count as right in a top-5 accuracy
ALPHA, POWER = 0.05, 0.8  # of the smallest accuracy that a group would detect


@dataclass(frozen=True)
class SourceScore:
    """A source's score as a result's record has it, and the bootstrap that its intervals come from."""

    record: dict  # groups, clips, accuracy, interval, interval_over_groups, constant, resampled
    draws: np.ndarray | None  # bootstrap values of the mean over groups, of the probe
    constant_draws: np.ndarray | None  # and of the constant answer, from the same draws
    over_groups: np.ndarray | None  # those of the probe where groups are drawn too


def score_source(source: str, rows: pd.DataFrame, settings: EvaluationSettings) -> SourceScore:
    """Mean accuracy over groups, resampling subjects, or videos where the source does not name its subjects.

    `interval` holds for these groups, which stay fixed, and `interval_over_groups` for other ones of their kind: there
    groups are drawn too. `rows` are the source's predictions (columns of tables.PREDICTIONS). Where labels count
    equally, a group's accuracy is the mean of that on each of its labels, here and below.
    """
    answers = ("prediction", "constant")
    balanced = settings.rules.balanced
    scores = [group_mean(rows, answer, balanced) for answer in answers]
    right = np.stack([rows[answer] == rows.label for answer in answers])
    inputs = to_resample(source, rows, right, balanced, settings.draws, settings.seed)
    count = int(inputs["clusters"].max()) + 1
    draws, over_groups, group_count = [None, None], None, rows.group_id.nunique()
    if count > 1:  # one person or video alone says nothing of how others would differ
        drawn, with_groups = resample_both(**inputs)
        draws = list(drawn)
        over_groups = with_groups[0] if group_count > 1 else None  # one group alone: as one person
    of_probe, of_constant = (
        {"accuracy": score, "interval": interval_of(drawn, settings.level, count)}
        for score, drawn in zip(scores, draws, strict=True)
    )
    record = {
        "groups": group_count,
        "clips": len(rows),
        **of_probe,
        "interval_over_groups": interval_of(over_groups, settings.level, min(count, group_count)),
        "constant": of_constant,
        "resampled": {"unit": resampled_unit(rows), "count": count},
    }
    return SourceScore(record, *draws, over_groups)


def resampled_unit(rows: pd.DataFrame) -> str:
    """What is resampled of a source's predictions: subjects, or videos where the source does not name its subjects."""
    return "video" if rows.subject.isna().any() else "subject"


def to_resample(source: str, rows: pd.DataFrame, right: np.ndarray, balanced: bool, draws: int, seed: int) -> dict:
    """The arguments of a bootstrap (see resample_group_mean) of what is `right`, (A, N), in a source's predictions.

    A call with the same rows, draws and seed draws the same.
    """
    return {
        "correct": right.astype(float),
        "groups": pd.factorize(rows.group_id)[0],
        "clusters": pd.factorize(rows[resampled_unit(rows)], sort=True)[0],
        "draws": draws,
        "generator": np.random.default_rng([seed, *source.encode()]),
        "labels": rows.label.to_numpy(int) if balanced else None,
    }


def group_mean(rows: pd.DataFrame, answer: str, balanced: bool) -> float:
    """The accuracy of `answer`, a column of tables.PREDICTIONS, as a fraction, averaged over groups."""
    return float(group_accuracies(rows, rows[answer] == rows.label, balanced).mean())


def top5_mean(rows: pd.DataFrame) -> float:
    """The share of rows (columns of tables.CLASS_PREDICTIONS) whose class is among the first five, as group_mean."""
    return float(group_accuracies(rows, rows.place <= TOP, balanced=False).mean())


def group_accuracies(rows: pd.DataFrame, right: pd.Series, balanced: bool) -> pd.Series:
    """Each group's accuracy, by its id, where `right` says how much of each row's answer is right, 0 to 1."""
    parts = right.astype(float).groupby([rows.group_id, rows.label] if balanced else rows.group_id).mean()
    return parts.groupby("group_id").mean()


def interval_of(draws: np.ndarray | None, level: float, clusters: int) -> list[float] | None:
    """The interval of bootstrap values of so many clusters, or None without any."""
    return None if draws is None else list(percentile_interval(draws, expanded_level(level, clusters)))


def mean_over_sources(parts: list[SourceScore], level: float) -> dict:
    """Mean over the scored sources; they share no subject, so their draws are independent and average as they stand.

    Its intervals are as wide as the source with the fewest subjects or videos, or groups, asks for.
    """
    fewest = min(part.record["resampled"]["count"] for part in parts)
    fewest_groups = min(fewest, *(part.record["groups"] for part in parts))

    def interval(draws: list[np.ndarray | None], count: int) -> list[float] | None:
        return interval_of(mean_draws(draws), level, count)

    records = [part.record for part in parts]
    return {
        "accuracy": float(np.mean([one["accuracy"] for one in records])),
        "interval": interval([part.draws for part in parts], fewest),
        "interval_over_groups": interval([part.over_groups for part in parts], fewest_groups),
        "constant": {
            "accuracy": float(np.mean([one["constant"]["accuracy"] for one in records])),
            "interval": interval([part.constant_draws for part in parts], fewest),
        },
    }


def group_rows(
    predictions: pd.DataFrame, coverage: dict[str, dict], tests: dict[str, dict], level: float
) -> list[dict]:
    """A row a group for the record.

    `coverage` has count_coverage's counts of each group, `tests` the name of a test against chance and its p, or None.
    """
    rows = []
    for group_id, group in predictions.groupby("group_id"):
        label = group.label.to_numpy()
        right = group.prediction.to_numpy() == label
        n, correct = len(group), int(right.sum())
        of_labels = [right[label == one] for one in (0, 1)]
        rows.append(
            {
                "group_id": group_id,
                "source": group.source.iloc[0],
                "train_clips": int(group.train.iloc[0]),
                "n": n,
                "correct": correct,
                "accuracy": correct / n,
                "interval": list(wilson_interval(correct, n, level)),
                "balanced_accuracy": float(np.mean([part.mean() for part in of_labels if len(part)])),
                "constant": float((group.constant.to_numpy() == label).mean()),
                "test": tests[group_id],
                "detectable": detectable_accuracy(*map(len, of_labels), ALPHA, POWER),
                "coverage": coverage[group_id],
            }
        )
    return _adjusted(rows)


def _adjusted(rows: list[dict]) -> list[dict]:
    """The rows with each p adjusted for all of them together (Benjamini-Hochberg)."""
    tested = [row for row in rows if row["test"]["p"] is not None]
    adjusted = benjamini_hochberg(np.array([row["test"]["p"] for row in tested])) if tested else []
    for row, p in zip(tested, adjusted, strict=True):
        row["test"] = {**row["test"], "p_adjusted": float(p)}
    return rows


def discoveries_in_words(rows: list[dict]) -> str:
    """How many of a source's groups are above chance, of those that could be tested; nothing if none could."""
    p = [row["test"]["p_adjusted"] for row in rows if row["test"]["p"] is not None]
    if not p:
        return ""
    found = sum(one <= DISCOVERY for one in p)
    return f"{found} of {len(p)} groups above chance, at a false discovery rate of {100 * DISCOVERY:.0f}%"
