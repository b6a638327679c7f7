"""The standard benchmarks side by side, in the published form: models by tasks, and what a joined part adds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cia_bench.combined import rests_of
from cia_bench.leaderboard.published import CHANCE, published_chance
from cia_bench.leaderboard.rows import CONSTANT, Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.terms import HEADINGS, place_of_probe, place_of_task, terms_of
from cia_bench.leaderboard.wording import averaged, counts
from cia_bench.statistics import in_percent


@dataclass(frozen=True)
class Column:
    """A task's ranking."""

    name: str  # as it is printed
    task: str  # its kind
    source: str  # what the ranking calls it
    table: int  # the ranking's number among all that are shown, from 1
    counts: str  # of splits, videos and classes, in words


@dataclass(frozen=True)
class Line:
    """A model in each column, None where it does not stand there. A score is {accuracy, interval}: fractions."""

    model: str
    scores: list[dict | None]
    base: str | None = None  # of a joined model: the model without its last part, or without another
    differences: list[dict | None] = field(default_factory=list)  # from the base: {difference, interval}
    reported: bool = False  # published, not measured here
    constant: bool = False  # not a model: the constant answer, or chance as it was published


@dataclass(frozen=True)
class Overview:
    """The tasks of one probe and interval level."""

    probe: str
    level: float
    metric: str
    averaged: str  # over what, as words that follow what scores are
    columns: list[Column]
    lines: list[Line]  # chance first; joined models below their base


def with_overviews(rankings: Sequence[Ranking]) -> list[Overview | Ranking]:
    """Rankings as they are, and before the first of a standard benchmark what sums these up."""
    first = next((place for place, ranking in enumerate(rankings) if ranking.task is not None), len(rankings))
    return [*rankings[:first], *overviews(rankings), *rankings[first:]]


def overviews(rankings: Sequence[Ranking]) -> list[Overview]:
    """An overview a probe and interval level that rankings of standard benchmarks have; none of other rankings."""
    alike: dict[tuple[str, float], list[tuple[int, Ranking]]] = {}
    for number, ranking in enumerate(rankings, start=1):
        if ranking.task is not None:
            alike.setdefault((ranking.probe, ranking.level), []).append((number, ranking))
    return [_overview(alike[key]) for key in sorted(alike, key=lambda key: (place_of_probe(key[0]), key[1]))]


def _overview(numbered: list[tuple[int, Ranking]]) -> Overview:
    numbered = sorted(numbered, key=lambda pair: place_of_task(pair[1].task, _source(pair[1])))
    tables = [ranking for _, ranking in numbered]
    return Overview(
        probe=tables[0].probe,
        level=tables[0].level,
        metric=tables[0].metric,
        averaged=next(filter(None, map(averaged, tables)), ""),
        columns=_columns(numbered),
        lines=[*_chance(tables), *_models(tables)],
    )


def _source(ranking: Ranking) -> str:
    return next(iter(ranking.sources))


def _columns(numbered: list[tuple[int, Ranking]]) -> list[Column]:
    """A column a ranking; of one task several may stand side by side, which are told apart by their numbers."""
    names = [HEADINGS.get(ranking.task, _source(ranking)) for _, ranking in numbered]
    return [
        Column(
            name=name if names.count(name) == 1 else f"{name} (table {number})",
            task=ranking.task,
            source=_source(ranking),
            table=number,
            counts=", ".join(
                [*counts(ranking.sources[_source(ranking)], terms_of(ranking.protocol_name)), ranking.part]
            ).removesuffix(", "),
        )
        for name, (number, ranking) in zip(names, numbered, strict=True)
    ]


def _chance(tables: list[Ranking]) -> list[Line]:
    constant = [next((row.mean for row in table.rows if row.constant), None) for table in tables]
    lines = [Line(CONSTANT, constant, constant=True)] if any(constant) else []
    said = [
        published_chance(table.task, table.probe) if any(row.reported for row in table.rows) else None
        for table in tables
    ]
    return lines + ([Line(CHANCE, said, reported=True, constant=True)] if any(said) else [])


def _models(tables: list[Ranking]) -> list[Line]:
    """Lines of models in the order of the tables, joined models below their base.

    What was published stands below what was measured, unless it stands among it in the tables.
    """
    found: dict[tuple[bool, str], list[Row | None]] = {}
    for place, table in enumerate(tables):
        for row in table.rows:
            if not row.constant:
                found.setdefault((row.reported, row.model), [None] * len(tables))[place] = row
    if any(table.rows[-1].reported for table in tables):
        found = dict(sorted(found.items(), key=lambda item: item[0][0]))
    bases = {(reported, name): _base(reported, name, found) for reported, name in found}
    lines: list[Line] = []
    for key in found:
        if bases[key] is None:
            lines += _block(key, found, bases, tables)
    return lines


def _base(reported: bool, name: str, found: dict) -> str | None:
    return next((rest for rest in rests_of(name) if (reported, rest) in found), None)


def _block(key: tuple[bool, str], found: dict, bases: dict, tables: list[Ranking]) -> list[Line]:
    """The line of a model, then those of models that it is the base of; each of these may be a base too."""
    (reported, name), rows = key, found[key]
    scores = [row and row.mean for row in rows]
    base = bases[key]
    differences = (
        [] if base is None else [_difference(*cell) for cell in zip(tables, found[reported, base], rows, strict=True)]
    )
    lines = [Line(name, scores, base, differences, reported)]
    for other, its_base in bases.items():
        if other[0] == reported and its_base == name:
            lines += _block(other, found, bases, tables)
    return lines


def _difference(table: Ranking, base: Row | None, joined: Row | None) -> dict | None:
    """What a joined model has above its base, with the paired interval where the table compares them."""
    if base is None or joined is None:
        return None
    if not joined.reported:
        for one in table.comparisons:
            if (one.a, one.b) == (joined.model, base.model):
                return {"difference": one.difference, "interval": list(one.interval)}
    return {"difference": joined.mean["accuracy"] - base.mean["accuracy"], "interval": None}


# in words, the same in every format; not escaped for any


def overview_title(overview: Overview) -> str:
    return f"Standard benchmarks: {overview.probe} probe"


def overview_notes(overview: Overview, with_intervals: bool = True) -> list[str]:
    """What the numbers are, one line a fact; scores may be shown without their intervals."""
    level = f"{100 * overview.level:g}% interval"
    scores = f"{overview.metric.capitalize()} in percent{overview.averaged}"
    facts = [f"{scores}, with {level}." if with_intervals else f"{scores}; each task's own table has the intervals."]
    if any(line.base for line in overview.lines):
        facts.append(f"minus: the difference from the model without its joined part, in points, with paired {level}.")
    if any(line.reported for line in overview.lines):
        facts.append("reported: published (arXiv 2509.08502), not measured here; without interval.")
    return facts + [f"{column.name}: {column.counts}" for column in overview.columns]


def name_of_line(line: Line) -> str:
    return f"{line.model} (reported)" if line.reported else line.model


def scores_in_words(line: Line) -> list[str]:
    """A cell a column, empty where there is no score; chance as it was published, to the hundredth of a percent."""
    if line.constant and line.reported:
        return ["" if score is None else f"{100 * score['accuracy']:.2f}" for score in line.scores]
    return ["" if score is None else in_percent(score["accuracy"], score["interval"]) for score in line.scores]


def differences_in_words(line: Line) -> list[str]:
    """A cell a column, empty where there is no difference; none at all of a model without a base."""
    return ["" if one is None else in_percent(one["difference"], one["interval"], "+") for one in line.differences]
