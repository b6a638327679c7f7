"""Put the results of one ranking on the validation clips that all of them scored."""

from functools import reduce
from pathlib import Path

import pandas as pd

from cia_bench.errors import ResultError
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import read_predictions
from cia_bench.scoring import mean_over_sources, score_source
from cia_bench.statistics import wilson_interval
from cia_bench.tables import PREDICTIONS

KEY = list(PREDICTIONS.key)
OF_THE_CLIP = ["source", "video", "subject", "label"]  # columns that are the same whoever answers


def on_common_clips(results: list[tuple[Path, dict]]) -> tuple[list[dict], list[str]]:
    """The records of comparable results, and lines that say so if their scores are of fewer clips than they were.

    If all results scored the same validation clips, their records come back as they are. Otherwise every score is
    counted again from predictions.parquet on the clips that all scored, a group without any being left out for all,
    with the bootstrap that result.json tells of; such records' rows of groups have counts and accuracies alone. Each model keeps the probes that
    it was scored with: training clips that failed for one model alone can't be made equal without fitting again.

    Raises ResultError if predictions can't be read or don't fit their result or one another, or if a source has no
    common clip.
    """
    records = [record for _, record in results]
    if len(records) == 1 or all(map(_scored_all, records)):
        return records, []
    answers = [read_predictions(folder, record).set_index(KEY, drop=False) for folder, record in results]
    common = reduce(lambda keys, rows: keys[keys.isin(rows.index)], answers, answers[0].index)
    if all(len(rows) == len(common) for rows in answers):
        return records, []
    shared = [rows.loc[common].reset_index(drop=True) for rows in answers]
    _refuse_other_clips(results, shared)
    for source in records[0]["sources"]:
        if not (shared[0].source == source).any():
            raise ResultError(
                f"no validation clip of {source} was scored by all of {', '.join(name_of(one) for one in records)}; "
                "try what failed again with --retry-failed, or rank fewer results"
            )
    again = [_score_again(record, rows) for record, rows in zip(records, shared, strict=True)]
    return again, _in_words(records[0], shared[0], pd.concat(answers).group_id.unique())


def name_of(record: dict) -> str:
    return record["model"]["name"]


def _scored_all(record: dict) -> bool:
    counts = (source["coverage"] for source in record["sources"].values())
    return all(count["scored_rows"] == count["validation_rows"] for count in counts)


def _refuse_other_clips(results: list[tuple[Path, dict]], shared: list[pd.DataFrame]) -> None:
    """Raise ResultError if what is true of a clip, whoever answers, differs between two results."""
    first = shared[0][OF_THE_CLIP]
    for (folder, _), rows in zip(results, shared, strict=True):
        if not rows[OF_THE_CLIP].equals(first):
            raise ResultError(
                f"the predictions of {folder} and {results[0][0]} disagree on the label, video or subject of the same "
                "clips; one of them was changed by hand: score it again"
            )


def _score_again(record: dict, rows: pd.DataFrame) -> dict:
    """The record with the scores of these rows of its predictions, and without its rows of groups."""
    statistics = {name: record["statistics"][name] for name in ("level", "draws", "seed")}
    settings = EvaluationSettings(record["protocol"]["name"], record["protocol"]["probe"]["name"], **statistics)
    parts = {source: score_source(source, rows[rows.source == source], settings) for source in record["sources"]}
    sources = {source: {**record["sources"][source], **part.record} for source, part in parts.items()}
    mean = mean_over_sources(list(parts.values()), settings.level)
    return {**record, "sources": sources, "mean": mean, "groups": _group_rows(rows, settings.level)}


def _group_rows(rows: pd.DataFrame, level: float) -> list[dict]:
    """What can be said of each group on these rows alone."""
    counts = rows.assign(right=rows.prediction == rows.label).groupby(["source", "group_id"]).right.agg(["size", "sum"])
    return [
        {
            "group_id": group_id,
            "source": source,
            "n": n,
            "correct": correct,
            "accuracy": correct / n,
            "interval": list(wilson_interval(correct, n, level)),
        }
        for (source, group_id), n, correct in zip(counts.index, *(counts[c].tolist() for c in counts), strict=True)
    ]


def _in_words(record: dict, shared: pd.DataFrame, groups: list[str]) -> list[str]:
    """On how many clips of each source results are compared, and which groups are left out for all."""
    lines = []
    for source, score in record["sources"].items():
        clips, rows = (shared.source == source).sum(), score["coverage"]["validation_rows"]
        if clips < rows:
            lines.append(f"{source}: compared on the {clips:,} of {rows:,} validation clips that all have")
    lost = sorted(set(groups) - set(shared.group_id))
    return [*lines, *(f"{group_id}: left out for all, no validation clip that all have" for group_id in lost)]
