"""The columns of a ranking: what each shows, and by what it sorts."""

from collections.abc import Callable
from dataclasses import dataclass

from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.statistics import in_percent


@dataclass(frozen=True)
class Column:
    """`value` is what rows sort by, None where a row has none; `text` is what is shown of a row that has a value."""

    name: str
    value: Callable[[Row], object]
    text: Callable[[Row], str]
    says: str  # what it is, in a sentence
    score: str | None = None  # the source whose accuracy it is, or `mean`
    words: bool = False  # text that is long and sorts by letters
    best_first: str = "descending"  # the direction in which a click sorts first


def columns_of(ranking: Ranking) -> list[Column]:
    """The columns beside the model's name of which any row has a value."""
    scores = [*ranking.sources, "mean"] if len(ranking.sources) > 1 else [*ranking.sources]
    columns = [RANK, TIES, *(_score(name, ranking) for name in scores), *REST]
    rows = [row for row in ranking.rows if not row.constant]
    return [column for column in columns if any(column.value(row) is not None for row in rows)]


def score_of(row: Row, name: str) -> dict | None:
    """The score of a source, or of `mean`."""
    return row.mean if name == "mean" else row.scores.get(name)


def size(count: int) -> str:
    """A number of parameters in words."""
    return f"{count / 1e6:,.1f}M" if count >= 100_000 else f"{count:,}"


def _score(name: str, ranking: Ranking) -> Column:
    def text(row: Row) -> str:
        score = score_of(row, name)
        return in_percent(score["accuracy"], score["interval"])

    def value(row: Row) -> float | None:
        score = score_of(row, name)
        return None if score is None else score["accuracy"]

    of = "mean over sources" if name == "mean" else f"on {name}"
    return Column(name, value, text, f"{ranking.metric} {of}, in percent with its interval", score=name)


def _control(name: str, field: str, says: str) -> Column:
    def value(row: Row) -> float | None:
        control = getattr(row, field)
        return None if control is None else control["value"]

    return Column(name, value, lambda row: in_percent(**getattr(row, field)), says)


def _rate(name: str, field: str, says: str) -> Column:
    def value(row: Row) -> float | None:
        score = getattr(row, field)
        return None if score is None else score["accuracy"]

    def text(row: Row) -> str:
        score = getattr(row, field)
        return in_percent(score["accuracy"], score["interval"])

    return Column(name, value, text, says)


def _plain(name: str, field: str, says: str, form: str = "{:,}", **more) -> Column:
    return Column(name, lambda row: getattr(row, field), lambda row: form.format(getattr(row, field)), says, **more)


def _coverage(row: Row) -> float | None:
    return min(row.coverage.values()) if row.coverage else None


def _saw(row: Row) -> str | None:
    return None if row.saw is None else ", ".join(f"{source} {what}" for source, what in row.saw.items()) or "nothing"


RANK = Column(
    "rank",
    lambda row: row.rank_interval and row.rank_interval[0],
    lambda row: "–".join(map(str, dict.fromkeys(row.rank_interval))),
    "the ranks that the model can have, given the intervals of differences",
    best_first="ascending",
)
TIES = _plain("ties", "tie_group", "rows of one number can't be told from the first of them", best_first="ascending")
REST = [
    _rate("top-5", "top5", "share of videos whose class is among the five likeliest by the probe's scores, in percent"),
    _rate("per class", "per_class", "the mean over classes of the accuracy on the videos of each, in percent"),
    _control("gain", "gain", "accuracy above the order-blind mean of the same encoder, in points"),
    _control("flip rate", "flip_rate", "share of clips whose answer turns when they are played backwards, in percent"),
    Column(
        "parameters",
        lambda row: row.parameters,
        lambda row: size(row.parameters),
        "parameters of encoder and summary",
    ),
    _plain("embedding", "dim", "numbers in an embedding"),
    _plain("frames", "frames", "frames of a clip that the model takes"),
    _plain("clips/s", "clips_per_s", "clips embedded a second, where it was measured", "{:,.1f}"),
    Column(
        "coverage",
        _coverage,
        lambda row: f"{100 * _coverage(row):.1f}",
        "share of the clips that could be embedded, in percent, of the source and split that has fewest",
    ),
    Column("trained on", _saw, _saw, "what of the benchmark's sources the model saw in training", words=True),
    _plain("encoder", "encoder", "what gives vectors to a clip or its frames", "{}", words=True),
]
