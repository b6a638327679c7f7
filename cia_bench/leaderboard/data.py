"""Write rankings as CSV or JSON, whose numbers are exact and whose columns and fields are documented."""

import csv
import io
import json
from dataclasses import asdict
from decimal import Decimal

from cia_bench.errors import ResultError, printable
from cia_bench.leaderboard.overview import overviews
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.wording import status

FORMAT = "cia-bench leaderboard 1"  # leaderboard.schema.json, beside this file, says what is in it
ABOUT = ("encoder", "frames", "clips_per_s")
FORMULA = "=+-@＝＋－＠"  # what a spreadsheet takes for the beginning of one


def as_json(rankings: list[Ranking]) -> str:
    """All that is known of each row, in fractions; see leaderboard.schema.json.

    Raises ResultError for a result with a number that JSON does not have, in what nothing else looks at.
    """
    for row in (row for ranking in rankings for row in ranking.rows):
        try:
            json.dumps([row.groups, row.contamination], allow_nan=False)
        except ValueError as error:
            raise ResultError(f"the result of {row.model!r} holds NaN or infinity: score it again") from error
    shown = {"rankings": list(map(_ranking, rankings)), "overviews": list(map(asdict, overviews(rankings)))}
    return json.dumps({"format": FORMAT, **shown}, allow_nan=False) + "\n"


def _ranking(ranking: Ranking) -> dict:
    rows = [{**vars(row), "status": status(row)} for row in ranking.rows]
    return {**vars(ranking), "rows": rows, "comparisons": [vars(one) for one in ranking.comparisons]}


def as_csv(rankings: list[Ranking]) -> str:
    """One row a model, scores and interval ends in percent; `table` numbers the rankings, which don't compare."""
    sources = sorted({source for ranking in rankings for source in ranking.sources})
    scored = [*sources, "mean"]
    ends = [f"{name}_{end}" for name in scored for end in ("low", "high")]
    triples = [f"{name}{end}" for name in ("top5", "per_class", "gain", "flip_rate") for end in ("", "_low", "_high")]
    covered = [f"{source}_coverage" for source in sources]
    ranks = ["rank_low", "rank_high", "tie_group"]
    ranked_by = ["table", "protocol", "fingerprints"]
    header = ["model", "parameters", "dim", *scored, *ends, *ABOUT, *triples, *ranks, *covered, "saw", "status"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, [*header, *ranked_by]))
    for number, ranking in enumerate(rankings, start=1):
        fingerprints = " ".join(f"{name}={source['fingerprint']}" for name, source in ranking.sources.items())
        for row in ranking.rows:
            scores = [row.scores.get(source) for source in sources] + [row.mean]
            accuracies = [None if score is None else _percent(score["accuracy"]) for score in scores]
            limits = [end for score in scores for end in _ends(score)]
            about = [getattr(row, name) for name in ABOUT]
            cells = [row.model, row.parameters, row.dim, *accuracies, *limits, *about]
            cells += [*_triple(row.top5, "accuracy"), *_triple(row.per_class, "accuracy")]
            cells += [*_triple(row.gain), *_triple(row.flip_rate), *(row.rank_interval or (None, None))]
            cells += [row.tie_group, *(_percent(row.coverage.get(source)) for source in sources), _saw(row)]
            cells += ["constant" if row.constant else status(row) or "scored here"]
            writer.writerow(map(_cell, [*cells, number, ranking.protocol, fingerprints]))
    return text.getvalue()


def _percent(fraction: float | None) -> Decimal | None:
    """A fraction times 100, to the last digit: divided by 100 it is the same number again."""
    return None if fraction is None else Decimal(repr(float(fraction))).scaleb(2)


def _ends(part: dict | None) -> list[Decimal | None]:
    return list(map(_percent, (part or {}).get("interval") or (None, None)))


def _triple(part: dict | None, name: str = "value") -> list[Decimal | None]:
    """A number of a row with the ends of its interval."""
    return [None, None, None] if part is None else [_percent(part[name]), *_ends(part)]


def _saw(row: Row) -> str | None:
    return None if row.saw is None else " ".join(f"{source}={what}" for source, what in row.saw.items()) or "nothing"


def _cell(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    """Text that no spreadsheet takes for a formula: what begins like one, or with an apostrophe, gets one in front."""
    text = printable(text)
    return f"'{text}" if text.lstrip(" '")[:1] in tuple(FORMULA) or text.startswith("'") else text
