"""Put the results of one ranking on the validation clips that all of them scored."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cia_bench.errors import ResultError
from cia_bench.leaderboard.terms import terms_of
from cia_bench.protocols import PROTOCOLS
from cia_bench.results import PREDICTIONS_FILE, ROUNDING, predictions_table, read_predictions
from cia_bench.scoring import TOP
from cia_bench.statistics import mean_over_groups
from cia_bench.tables import CLASS_PREDICTIONS, PREDICTIONS, Table

KEY = list(PREDICTIONS.key)  # of each kind of predictions
OF_THE_CLIP = ["source", "video", "subject", "label"]  # columns that are the same whoever answers
ANSWERS = {PREDICTIONS.name: ["prediction", "constant"], CLASS_PREDICTIONS.name: ["prediction", "constant", "place"]}


@dataclass(frozen=True)
class Answers:
    """What M models answered on the N clips that all of them scored; a clip counts once in each of its groups."""

    clips: pd.DataFrame  # (N rows) columns KEY and OF_THE_CLIP
    predictions: np.ndarray  # (M, N), of whole numbers
    constants: np.ndarray  # (M, N), the constant answer, which depends on the clips that each could learn from
    places: np.ndarray | None  # (M, N), of the clip's class by the model's scores, from 1; None for chiral groups


@dataclass(frozen=True)
class _Layout:
    """The clips, in their order, of predictions that may be those of many models."""

    table: pa.Table
    clips: pd.DataFrame
    kept: np.ndarray  # places of `clips` in the table

    def of(self, sources: Iterable[str]) -> "_Layout":
        """This with the clips of these sources alone."""
        kept = np.flatnonzero(self.clips.source.isin(list(sources)))
        return _Layout(self.table, self.clips.iloc[kept], kept)


def has_predictions(folder: Path) -> bool:
    return (folder / PREDICTIONS_FILE).exists()


def read_answers(results: list[tuple[Path, dict]], sources: Iterable[str]) -> tuple[Answers, list[str]]:
    """The answers of results on common clips of sources, and the groups that some scored, but that have no such clip.

    Raises ResultError if predictions can't be read or don't fit their result or one another, or if a source has no
    common clip.
    """
    layouts: list[_Layout] = []
    which, columns = [], []
    kind = predictions_table(results[0][1])  # of one ranking all are of one kind
    for folder, record in results:
        table = _read_table(folder, kind)
        known = (n for n, layout in enumerate(layouts) if table is not None and layout.table.equals(table[0]))
        number = next(known, None)
        if number is None:  # the whole check, with its message
            rows = read_predictions(folder, record)
            layouts.append(_Layout(_arrow(rows, kind), rows[[*KEY, *OF_THE_CLIP]], np.arange(len(rows))))
            number, answers = len(layouts) - 1, rows[ANSWERS[kind.name]].to_numpy().T
        else:
            answers = table[1]
        which.append(number)
        columns.append(answers)
    for number, layout in enumerate(layouts):
        own = [place for place, one in enumerate(which) if one == number]
        _refuse_other_accuracies([results[place] for place in own], layout, np.array([columns[p] for p in own]))
    layouts = [layout.of(sources) for layout in layouts]
    columns = [one[:, layouts[number].kept] for number, one in zip(which, columns, strict=True)]
    keys = [pd.MultiIndex.from_frame(layout.clips[KEY]) for layout in layouts]
    common = reduce(lambda left, right: left[left.isin(right)], keys)
    places = [one.get_indexer(common) for one in keys]
    shared = [layout.clips.iloc[place].reset_index(drop=True) for layout, place in zip(layouts, places, strict=True)]
    _refuse_other_clips(shared, [results[which.index(number)][0] for number in range(len(layouts))])
    _refuse_empty_sources(results, sources, shared[0])
    answers = np.array([one[:, places[number]] for number, one in zip(which, columns, strict=True)])
    lost = set().union(*(layout.clips.group_id for layout in layouts)) - set(shared[0].group_id)
    predictions, constants, *places = answers.swapaxes(0, 1)
    return Answers(shared[0], predictions, constants, *(places or [None])), sorted(lost)


def _read_table(folder: Path, kind: Table) -> tuple[pa.Table, np.ndarray] | None:
    """What predictions say of clips, and the columns of ANSWERS, (A, N); None if not in the form that we write."""
    answers = ANSWERS[kind.name]
    columns = [*KEY, *OF_THE_CLIP, *answers]
    try:
        table = pq.ParquetFile(folder / PREDICTIONS_FILE).read(columns).replace_schema_metadata(None)
    except Exception:  # damaged bytes make pyarrow raise nearly anything; read_predictions says what is wrong
        return None
    if table.schema != _schema(columns, kind) or any(table.column(name).null_count for name in answers):
        return None
    return table.select([*KEY, *OF_THE_CLIP]), np.stack([table.column(name).to_numpy() for name in answers])


def _schema(columns: list[str], kind: Table) -> pa.Schema:
    return pa.schema([kind.schema.field(name) for name in columns])


def _arrow(rows: pd.DataFrame, kind: Table) -> pa.Table:
    table = pa.Table.from_pandas(rows, _schema([*KEY, *OF_THE_CLIP], kind), preserve_index=False)
    return table.replace_schema_metadata(None)


def _refuse_other_accuracies(results: list[tuple[Path, dict]], layout: _Layout, answers: np.ndarray) -> None:
    """Have results whose answers (M, A, N) give another accuracy than they say refused by the check of each alone."""
    balanced = PROTOCOLS[results[0][1]["protocol"]["name"]].balanced
    suspect = np.zeros(len(results), bool)
    for source, rows in layout.clips.groupby("source").indices.items():
        clips = layout.clips.iloc[rows]
        labels, groups = clips.label.to_numpy(int), pd.factorize(clips.group_id)[0]
        right = [answers[:, :2, rows] == labels, answers[:, 2:, rows] <= TOP]
        found = mean_over_groups(np.concatenate(right, axis=1).astype(float), groups, labels if balanced else None)
        said = [record["sources"].get(source) for _, record in results]
        suspect |= [
            one is None
            or len(clips) != one["clips"]
            or groups.max() + 1 != one["groups"]
            or max(abs(a - b) for a, b in zip(scores, _claimed(one), strict=False)) > ROUNDING / 2
            for one, scores in zip(said, found, strict=True)
        ]
    there = set(layout.clips.source.unique())
    suspect |= [not record["sources"].keys() <= there for _, record in results]
    for place in np.flatnonzero(suspect):
        read_predictions(*results[place])


def _claimed(score: dict) -> list[float]:
    """The accuracies of a source's ANSWERS that a record gives."""
    top5 = score.get("top5")
    return [score["accuracy"], score["constant"]["accuracy"], *([top5["accuracy"]] if top5 else [])]


def _refuse_other_clips(shared: list[pd.DataFrame], folders: list[Path]) -> None:
    """Raise ResultError if what is true of a clip, whoever answers, differs between two results."""
    for rows, folder in zip(shared, folders, strict=True):
        if not rows[OF_THE_CLIP].equals(shared[0][OF_THE_CLIP]):
            raise ResultError(
                f"the predictions of {folder} and {folders[0]} disagree on the label, video or subject of the same "
                "clips; one of them was changed by hand: score it again"
            )


def _refuse_empty_sources(results: list[tuple[Path, dict]], sources: Iterable[str], shared: pd.DataFrame) -> None:
    clip = terms_of(results[0][1]["protocol"]["name"]).clip
    for source in sources:
        if not (shared.source == source).any():
            raise ResultError(
                f"no {clip} of {source} was scored by all of {', '.join(name_of(one) for one in results)}; "
                "try what failed again with --retry-failed, or rank fewer results"
            )


def name_of(result: tuple[Path, dict]) -> str:
    return result[1]["model"]["name"]


def in_words(record: dict, sources: Iterable[str], shared: pd.DataFrame, lost: list[str]) -> list[str]:
    """On how many clips of each source results are compared, where that is not all, and groups left out for all."""
    lines, clip = [], terms_of(record["protocol"]["name"]).clip
    for source in sources:
        clips, rows = (shared.source == source).sum(), record["sources"][source]["coverage"]["validation_rows"]
        if clips < rows:
            lines.append(f"{source}: compared on the {clips:,} of {rows:,} {clip}s that all have")
    return [*lines, *(f"{group_id}: left out for all, no {clip} that all have" for group_id in lost)]
