"""Rank results: those that were scored on the same data in the same way, and only those, stand in one table."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from cia_bench.coverage import coverage_in_words
from cia_bench.errors import ResultError
from cia_bench.leaderboard.common import on_common_clips
from cia_bench.leaderboard.rows import Row, constant_row, make_row
from cia_bench.protocols import PROTOCOLS
from cia_bench.results import RESULT_FILE, ROUNDING, fingerprints, read_result


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on the clips that all models of a ranking scored."""

    a: str
    b: str
    difference: float  # of their means over sources, a minus b, as a fraction
    interval: tuple[float, float]
    p: float  # two-sided
    p_adjusted: float  # for all pairs of the ranking (Holm)
    sources: dict[str, dict] = field(default_factory=dict)  # by source: difference, interval, p


@dataclass(frozen=True)
class Ranking:
    """Comparable rows, best first, the constant answer last."""

    protocol: str  # as words
    metric: str  # what a score is: accuracy or balanced accuracy
    level: float  # of the intervals
    sources: dict[str, dict]  # by name: groups, clips, fingerprint
    rows: list[Row]
    comparisons: list[Comparison]  # of each model with the next one down the table, or those that were asked for
    notes: list[str]  # what scores leave out, a line each: on which clips models are compared, what each lacks


def read_results(folders: list[Path]) -> list[tuple[Path, dict]]:
    """The results in RESULTS folders, each with its own folder; a model's folder may be named itself.

    Raises ResultError if a folder does not exist or holds no result, or a result can't be read.
    """
    found = {}
    for folder in folders:
        if not folder.is_dir():
            raise ResultError(f"results folder {folder} does not exist; cia eval writes one")
        paths = (
            [folder]
            if (folder / RESULT_FILE).exists()
            else sorted(path.parent for path in folder.glob(f"*/{RESULT_FILE}"))
        )
        if not paths:
            raise ResultError(f"{folder} holds no result; cia eval --out {folder} writes one")
        found.update({path.resolve(): path for path in paths})
    return [(path, read_result(path)) for path in found.values()]


def rank(results: list[tuple[Path, dict]]) -> list[Ranking]:
    """Sort results into rankings by data fingerprints, protocol and interval level; the largest ranking first.

    Results of one ranking are compared on the validation clips that all of them scored (see on_common_clips).

    Raises ResultError if two comparable results have one name, or differ in what a constant answer scores, or as
    on_common_clips does.
    """
    comparable: dict[str, list[tuple[Path, dict]]] = {}
    for path, record in results:
        key = json.dumps([fingerprints(record), record["protocol"], record["statistics"]["level"]], sort_keys=True)
        comparable.setdefault(key, []).append((path, record))
    return [_ranking(comparable[key]) for key in sorted(comparable, key=lambda key: (-len(comparable[key]), key))]


def _ranking(results: list[tuple[Path, dict]]) -> Ranking:
    _refuse_conflicts(results)
    records, common = on_common_clips(results)
    record = max(records, key=_learnt_rows)  # its constant answer, which depends on the training clips, speaks for all
    folders = {record["model"]["name"]: folder for folder, record in results}
    rows = [make_row(one, folders[one["model"]["name"]]) for one in records]
    rows.sort(key=lambda row: (-row.mean["accuracy"], row.model))
    return Ranking(
        protocol=f"protocol {record['protocol']['name']}, {record['protocol']['probe']['name']} probe",
        metric="balanced accuracy" if PROTOCOLS[record["protocol"]["name"]].balanced else "accuracy",
        level=record["statistics"]["level"],
        sources={
            name: {key: source[key] for key in ("groups", "clips", "fingerprint")}
            for name, source in sorted(record["sources"].items())
        },
        rows=[*rows, constant_row(record)],
        comparisons=[],
        notes=[
            *common,
            *(
                f"{record['model']['name']}, {name}, {words}"
                for record in records
                for name, source in record["sources"].items()
                if (words := coverage_in_words(source))
            ),
        ],
    )


def _learnt_rows(record: dict) -> int:
    return sum(source["coverage"]["learnt_rows"] for source in record["sources"].values())


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
