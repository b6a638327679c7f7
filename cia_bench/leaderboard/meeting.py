"""Results of one ranking meet: their scores on common clips, and the bootstrap that all of them share."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.comparison import Drawn, draw_of_classes, draw_source, how_many_draws, mean_of_sources
from cia_bench.leaderboard.common import Answers, has_predictions, in_words, read_answers
from cia_bench.leaderboard.rows import Row
from cia_bench.protocols import PROTOCOLS
from cia_bench.statistics import wilson_interval


@dataclass(frozen=True)
class Meeting:
    """M results on common clips, and the constant answer as the last of M + 1 answers.

    Without `answers` there was nothing to compare, or nothing to compare it by: scores stand as results have them.
    """

    answers: Answers | None
    sources: dict[str, Drawn]
    mean: Drawn | None  # over sources
    counted_again: bool  # scores are of fewer clips or sources than results have
    notes: list[str]
    of_classes: dict[str, Drawn] = field(default_factory=dict)  # top5 and per_class of the M, if counted again

    @property
    def can_compare(self) -> bool:
        return self.mean is not None and self.mean.draws is not None

    def counts(self, source: str, score: dict) -> dict[str, int]:
        """Groups and clips of a source that scores are of; those of a result's `score` if nothing was counted again."""
        if not self.counted_again:
            return {name: score[name] for name in ("groups", "clips")}
        clips = self.answers.clips[self.answers.clips.source == source]
        return {"groups": clips.group_id.nunique(), "clips": len(clips)}

    def counted(self, row: Row, place: int, level: float) -> Row:
        """The row of an answer with its scores on the common clips."""
        scores = {name: drawn.score(place, level) for name, drawn in self.sources.items()}
        if row.constant:
            return replace(row, scores=scores, mean=self.mean.score(place, level), groups=[])
        had = {name: drawn for name, drawn in self.of_classes.items() if getattr(row, name)}
        of_classes = {name: drawn.score(place, level) for name, drawn in had.items()}
        groups = _group_rows(self.answers, place, level)
        return replace(row, scores=scores, mean=self.mean.score(place, level), groups=groups, **of_classes)


def meet(results: list[tuple[Path, dict]], sources: list[str], speaker: int) -> Meeting:
    """Compare results on the clips of `sources` that all of them scored; `speaker` is whose constant answer counts.

    Raises ResultError as read_answers does.
    """
    records = [record for _, record in results]
    restricted = any(set(record["sources"]) != set(sources) for record in records)
    complete = all(map(_scored_all, records))
    if not restricted and (len(results) == 1 or complete):
        lacking = [folder for folder, _ in results if not has_predictions(folder)]
        if len(results) == 1 or lacking:
            why = f"no ranks and no ties: {lacking[0]} has no predictions.parquet" if len(results) > 1 else None
            return Meeting(None, {}, None, False, [why] if why else [])
    answers, lost = read_answers(results, sources)
    common = all(sum(record["sources"][name]["clips"] for name in sources) == len(answers.clips) for record in records)
    settings = records[speaker]["statistics"]
    balanced = PROTOCOLS[records[speaker]["protocol"]["name"]].balanced
    draws = how_many_draws(settings["draws"], len(results))
    stacked = np.concatenate([answers.predictions, answers.constants[[speaker]]])
    drawn = {}
    for name in sources:
        mine = (answers.clips.source == name).to_numpy()
        drawn[name] = draw_source(name, answers.clips[mine], stacked[:, mine], balanced, draws, settings["seed"])
    again = restricted or not common
    notes = in_words(records[speaker], sources, answers.clips, lost) if again else []
    if draws < settings["draws"]:
        notes.append(f"{len(results)} models: ranks and ties are of {draws:,} draws, not {settings['draws']:,}")
    if again and any("controls" in record for record in records):
        notes.append("gain and flip rate are of all clips that each model scored")
    of_classes = {}
    if again and answers.places is not None:  # of a standard benchmark, which is one source
        (source,) = sources
        shown = (answers.predictions, answers.places, draws, settings["seed"])
        of_classes = draw_of_classes(source, answers.clips, *shown)
    return Meeting(answers, drawn, mean_of_sources(list(drawn.values())), again, notes, of_classes)


def _scored_all(record: dict) -> bool:
    counts = (source["coverage"] for source in record["sources"].values())
    return all(count["scored_rows"] == count["validation_rows"] for count in counts)


def _group_rows(answers: Answers, place: int, level: float) -> list[dict]:
    """What can be said of each group on the common clips alone."""
    clips = answers.clips
    right = pd.Series(answers.predictions[place] == clips.label.to_numpy())
    counts = right.groupby([clips.source, clips.group_id]).agg(["size", "sum"])
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
