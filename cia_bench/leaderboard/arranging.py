"""Which results a table has, and in what order: filters, sorting, and published numbers beside measured ones."""

from dataclasses import replace
from pathlib import Path

from cia_bench.errors import ConfigError
from cia_bench.leaderboard.columns import columns_of
from cia_bench.leaderboard.published import PROTOCOL, SOURCES, published_rows
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
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

    With `among` they stand among the measured rows by their mean, without a rank; raises ConfigError if there is no
    such ranking.
    """
    alike = [
        tuple(sorted(one.sources)) == SOURCES and one.protocol_name == PROTOCOL and not one.part for one in rankings
    ]
    if among and not any(alike):
        raise ConfigError(
            f"published numbers are means over {', '.join(SOURCES)} by protocol {PROTOCOL}; no table here is of these"
        )
    return [_with(one, among) if fits else one for one, fits in zip(rankings, alike, strict=True)]


def _with(ranking: Ranking, among: bool) -> Ranking:
    published = published_rows()
    if not among:
        return replace(ranking, rows=[*ranking.rows, *published])
    models = [row for row in ranking.rows if not row.constant]
    models = sorted([*models, *published], key=lambda row: -row.mean["accuracy"] if row.mean else 0)
    return replace(ranking, rows=[*models, *(row for row in ranking.rows if row.constant)])
