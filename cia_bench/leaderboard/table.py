"""Rank results: those that were scored on the same data in the same way, and only those, stand in one table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from cia_bench.combined import rests_of
from cia_bench.comparison import Standing, differences, stand
from cia_bench.coverage import coverage_in_words
from cia_bench.errors import ConfigError, ResultError
from cia_bench.leaderboard.common import name_of
from cia_bench.leaderboard.meeting import Meeting, meet
from cia_bench.leaderboard.rows import Row, constant_row, make_row
from cia_bench.leaderboard.terms import place_of_probe, place_of_task
from cia_bench.protocols import PROTOCOLS
from cia_bench.results import RESULT_FILE, ROUNDING, fingerprints, read_result, subset_in_words

KEPT = ("fingerprint", "classes")  # what a ranking says of a source as its results do


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on the clips that all models of a ranking scored."""

    a: str
    b: str
    difference: float  # of their means over sources, a minus b, as a fraction
    interval: tuple[float, float]
    p: float  # two-sided
    p_adjusted: float  # for all pairs of the ranking (Holm)
    sources: dict[str, dict]  # by source: difference, interval, p
    asked: bool  # for this pair, not only the next one down the table or the rest of a joined model


@dataclass(frozen=True)
class Ranking:
    """Comparable rows, best first, then the constant answer, then published numbers that stand apart."""

    protocol: str  # as words
    protocol_name: str  # of protocols.PROTOCOLS
    metric: str  # what a score is: accuracy, balanced accuracy or top-1 accuracy
    level: float  # of the intervals
    sources: dict[str, dict]  # by name: groups, clips, fingerprint, and of a standard benchmark, classes
    rows: list[Row]
    comparisons: list[Comparison]  # those that were asked for, else of each model with the next one; see _pairs
    notes: list[str]  # what scores leave out, a line each: on which clips models are compared, what each lacks
    part: str = ""  # of the data, as words: empty for all that was built
    task: str | None = None  # the kind of standard benchmark, like ucf101; None for chiral groups
    probe: str = ""  # its name


def read_results(folders: list[Path]) -> list[tuple[Path, dict]]:
    """The results in RESULTS folders, each with its own folder; a model's folder may be named itself.

    Results of standard benchmarks lie a folder deeper, RESULTS/<task>/<model>.

    Raises ResultError if a folder does not exist or holds no result, or a result can't be read.
    """
    found = {}
    for folder in folders:
        if not folder.is_dir():
            raise ResultError(f"results folder {folder} does not exist; cia eval writes one")
        paths = (
            [folder]
            if (folder / RESULT_FILE).exists()
            else sorted(path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{RESULT_FILE}"))
        )
        if not paths:
            raise ResultError(f"{folder} holds no result; cia eval --out {folder} writes one")
        found.update({path.resolve(): path for path in paths})
    return [(path, read_result(path)) for path in found.values()]


def rank(
    results: list[tuple[Path, dict]], sources: Sequence[str] = (), compare: Sequence[tuple[str, str]] = ()
) -> list[Ranking]:
    """Sort results into rankings by data fingerprints, protocol and interval level; the largest ranking first.

    A part of the data has fingerprints of its own. Rankings of standard benchmarks come after those of chiral groups,
    by probe and task.

    Results of one ranking are compared on the validation clips that all of them scored: ranks, ties and comparisons
    are of one bootstrap for all. If these are fewer than any scored, or with `sources`, of which results are then
    ranked on these alone, scores are counted again on them. `compare` asks for pairs of models by name. Each model
    keeps the probes that it was scored with: training clips that failed for one model alone can't be made equal
    without fitting again.

    Raises ResultError if two comparable results have one name, or differ in what a constant answer scores, or as
    read_answers does; ConfigError for a source that no result has, or a pair that stands in no ranking.
    """
    comparable: dict[str, list[tuple[Path, dict]]] = {}
    for path, record in _having(results, sources):
        of_data = fingerprints(_with(record, list(sources) or list(record["sources"])))
        key = json.dumps([of_data, record["protocol"], record["statistics"]["level"]], sort_keys=True)
        comparable.setdefault(key, []).append((path, record))
    keys = sorted(comparable, key=lambda key: (*_place(comparable[key][0][1]), -len(comparable[key]), key))
    _refuse_strangers([{name_of(one) for one in comparable[key]} for key in keys], compare)
    return [_ranking(comparable[key], sorted(json.loads(key)[0]), compare) for key in keys]


def _place(record: dict) -> tuple:
    """Where a result's ranking stands among those of other kinds."""
    if not PROTOCOLS[record["protocol"]["name"]].classes:
        return (0,)
    probe, kind = record["protocol"]["probe"]["name"], record["task"]["kind"]
    return 1, place_of_probe(probe), place_of_task(kind, next(iter(record["sources"])))


def _having(results: list[tuple[Path, dict]], sources: Sequence[str]) -> list[tuple[Path, dict]]:
    """The results that have all these sources; raises ConfigError if there is none."""
    known = {source for _, record in results for source in record["sources"]}
    unknown = sorted(set(sources) - known)
    if unknown:
        raise ConfigError(f"no result has source {unknown[0]!r}; they have {', '.join(sorted(known))}")
    kept = [(folder, record) for folder, record in results if set(sources) <= set(record["sources"])]
    if not kept and results:
        raise ConfigError(f"no result has all of {', '.join(sources)}")
    return kept


def _refuse_strangers(tables: list[set[str]], compare: Sequence[tuple[str, str]]) -> None:
    for pair in compare:
        for name in pair:
            if not any(name in names for names in tables):
                known = sorted(set().union(*tables))
                choices = known if len(known) <= 10 else get_close_matches(name, known) or known[:10]
                raise ConfigError(f"no result of {name!r} to compare; choose from {', '.join(choices)}")
        if pair[0] == pair[1]:
            raise ConfigError(f"{pair[0]!r} can't be compared with itself")
        if not any(set(pair) <= names for names in tables):
            raise ConfigError(f"{pair[0]!r} and {pair[1]!r} stand in different tables: they can't be compared")


def _ranking(results: list[tuple[Path, dict]], sources: list[str], compare: Sequence[tuple[str, str]]) -> Ranking:
    complete, results = results, [(folder, _with(record, sources)) for folder, record in results]
    _refuse_conflicts(results)
    speaker = max(results, key=_learnt_rows)  # its constant answer, which depends on the training clips, is the row
    record = speaker[1]
    rules, level = PROTOCOLS[record["protocol"]["name"]], record["statistics"]["level"]
    part = subset_in_words(record.get("subset"))
    meeting = meet(complete, sources, results.index(speaker))
    rows = [make_row(one, folder) for folder, one in results]
    constant = constant_row(record)
    if meeting.counted_again:
        rows = [meeting.counted(row, place, level) for place, row in enumerate(rows)]
        constant = meeting.counted(constant, len(rows), level)
    order = sorted(range(len(rows)), key=lambda place: (-rows[place].mean["accuracy"], rows[place].model))
    comparisons: list[Comparison] = []
    if meeting.can_compare:
        standing = stand(meeting.mean.first(len(rows)), level)
        for place, (low, high) in enumerate(standing.ranks.tolist()):
            rows[place] = replace(rows[place], rank_interval=(low, high), tie_group=standing.ties[place])
        names = [row.model for row in rows]
        asked = [(a, b) for a, b in compare if {a, b} <= set(names)]
        pairs = _pairs([names[place] for place in order], asked, rules.classes)
        comparisons = _comparisons(meeting, standing, names, pairs, level, asked)
    return Ranking(
        protocol=", ".join(filter(None, [_protocol_in_words(record), part])),
        part=part,
        protocol_name=record["protocol"]["name"],
        metric=rules.metric,
        level=level,
        sources={
            name: {**meeting.counts(name, source), **{key: source[key] for key in KEPT if key in source}}
            for name, source in sorted(record["sources"].items())
        },
        rows=[*(rows[place] for place in order), constant],
        comparisons=comparisons,
        notes=[*meeting.notes, *_gaps(results)],
        task=record["task"]["kind"] if rules.classes else None,
        probe=record["protocol"]["probe"]["name"],
    )


def _pairs(names: list[str], asked: list[tuple[str, str]], of_task: bool) -> list[tuple[str, str]]:
    """The pairs of models, best first, to compare: those asked for, else each with the next one down the table.

    Of a standard benchmark, each joined model with each model that is the rest of it without one part stands there
    whatever was asked for; where no model is such a rest, it is as of chiral groups.
    """
    joined = [(name, rest) for name in names for rest in rests_of(name) if of_task and rest in names]
    return list(dict.fromkeys([*asked, *joined])) or list(pairwise(names))


def _comparisons(
    meeting: Meeting,
    standing: Standing,
    names: list[str],
    pairs: list[tuple[str, str]],
    level: float,
    asked: list[tuple[str, str]],
) -> list[Comparison]:
    if not pairs:
        return []
    a, b = ([names.index(pair[side]) for pair in pairs] for side in (0, 1))
    by_source = {name: differences(drawn, a, b, level) for name, drawn in meeting.sources.items()}
    return [
        Comparison(
            *pairs[number],
            **mean,
            p_adjusted=float(standing.p_adjusted[one, other]),
            sources={name: found[number] for name, found in by_source.items()},
            asked=pairs[number] in asked,
        )
        for number, (one, other, mean) in enumerate(zip(a, b, differences(meeting.mean, a, b, level), strict=True))
    ]


def _gaps(results: list[tuple[Path, dict]]) -> list[str]:
    """What each result lacks, a line each."""
    return [
        f"{record['model']['name']}, {name}, {words}"
        for _, record in results
        for name, source in record["sources"].items()
        if (words := coverage_in_words(source))
    ]


def _with(record: dict, sources: list[str]) -> dict:
    """The record as if its result had these sources alone, but for the mean."""
    return {**record, "sources": {name: record["sources"][name] for name in sources}}


def _protocol_in_words(record: dict) -> str:
    return f"protocol {record['protocol']['name']}, {record['protocol']['probe']['name']} probe"


def _learnt_rows(result: tuple[Path, dict]) -> int:
    return sum(source["coverage"]["learnt_rows"] for source in result[1]["sources"].values())


def _refuse_conflicts(results: list[tuple[Path, dict]]) -> None:
    seen: dict[str, Path] = {}
    for path, record in results:
        name = record["model"]["name"]
        if name in seen:
            raise ResultError(f"{seen[name]} and {path} are both results of {name!r} on the same data; leave one out")
        seen[name] = path
    first_seen: dict[tuple, tuple[Path, float]] = {}
    for path, record in results:
        for source, score in record["sources"].items():
            answer = score["constant"]["accuracy"]  # depends on the clips alone
            first_path, expected = first_seen.setdefault((source, *score["coverage"].values()), (path, answer))
            if coverage_in_words(score) == "" and abs(answer - expected) > ROUNDING:
                raise ResultError(
                    f"{path} and {first_path} disagree on what a constant answer scores on the same clips of {source}; "
                    "one of them was changed by hand: score it again"
                )
