"""Which results a table has, and in what order: filters, sorting, and published numbers beside measured ones."""

from dataclasses import replace
from pathlib import Path

from cia_bench.errors import ConfigError
from cia_bench.leaderboard.columns import columns_of
from cia_bench.leaderboard.published import PROTOCOL, SOURCES, published_rows, standard_rows
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.terms import CLASSES, HEADINGS
from cia_bench.protocols import PROTOCOLS


def choose(
    results: list[tuple[Path, dict]],
    protocol: str | None = None,
    max_parameters: int | None = None,
    max_dim: int | None = None,
) -> list[tuple[Path, dict]]:
    """The results of a protocol whose models are small enough; one of unknown size is not known to be.

    Raises ConfigError for an unknown protocol, and if no result is left.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {protocol!r}; choose from {', '.join(sorted(PROTOCOLS))}")

    def fits(record: dict) -> bool:
        model, limits = record["model"], {"parameters": max_parameters, "dim": max_dim}
        small = all(limit is None or (model[name] or 0) <= limit for name, limit in limits.items())
        known = max_parameters is None or model["parameters"] is not None
        return small and known and protocol in (None, record["protocol"]["name"])

    kept = [(folder, record) for folder, record in results if fits(record)]
    if not kept:
        raise ConfigError(f"none of the {len(results)} results is of that protocol and size")
    return kept


def sort_rows(ranking: Ranking, name: str) -> Ranking:
    """The ranking with its models in the order of a column: words by letters, ranks and ties from 1, largest first.

    Models that have nothing there come last; ranks stay what they are. Raises ConfigError for an unknown column.
    """
    columns = {column.name.replace(" ", "-"): column for column in columns_of(ranking)}
    if name == "model":
        return replace(ranking, rows=sorted(ranking.rows, key=lambda row: (_part(row), row.model)))
    if name not in columns:
        raise ConfigError(f"no column {name!r} to sort by; choose from model, {', '.join(columns)}")
    column = columns[name]
    falls = not column.words and column.best_first == "descending"
    have = sorted((row for row in ranking.rows if column.value(row) is not None), key=column.value, reverse=falls)
    lack = [row for row in ranking.rows if column.value(row) is None]
    return replace(ranking, rows=sorted([*have, *lack], key=_part))


def _part(row: Row) -> int:
    """Models, the constant answer, and what stands apart below it."""
    return 1 if row.constant else 0


def with_published(rankings: list[Ranking], among: bool = False) -> list[Ranking]:
    """Rankings with the published numbers: below those of the same sources, whole, and protocol, and in no other.

    Of standard benchmarks, below those of the same kind of task, whole, and the same kind of probe.

    With `among` they stand among the measured rows by their mean, without a rank; raises ConfigError if there is no
    such ranking.
    """
    published = [_published(ranking) for ranking in rankings]
    if among and not any(published):
        raise ConfigError(
            f"published numbers are means over {', '.join(SOURCES)} by protocol {PROTOCOL}, or of the standard "
            f"benchmarks {', '.join(HEADINGS)}; no table here is of these"
        )
    return [_with(one, rows, among) if rows else one for one, rows in zip(rankings, published, strict=True)]


def _published(ranking: Ranking) -> list[Row]:
    """What was published of what a ranking is of; none of a part of it."""
    if ranking.part:
        return []
    if ranking.task is not None:
        ((name, source),) = ranking.sources.items()
        whole = source["classes"] == CLASSES.get(ranking.task)
        return standard_rows(ranking.task, ranking.probe, name) if whole else []
    alike = tuple(sorted(ranking.sources)) == SOURCES and ranking.protocol_name == PROTOCOL
    return published_rows() if alike else []


def _with(ranking: Ranking, published: list[Row], among: bool) -> Ranking:
    if not among:
        return replace(ranking, rows=[*ranking.rows, *published])
    models = [row for row in ranking.rows if not row.constant]
    models = sorted([*models, *published], key=lambda row: -row.mean["accuracy"] if row.mean else 0)
    return replace(ranking, rows=[*models, *(row for row in ranking.rows if row.constant)])
