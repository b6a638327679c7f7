"""What is said of rankings beside their numbers, the same in every format; not escaped for any."""

from cia_bench.leaderboard.rows import CONSTANT
from cia_bench.leaderboard.table import Comparison, Ranking
from cia_bench.leaderboard.terms import Terms, terms_of
from cia_bench.statistics import in_percent


def warning(rankings: list[Ranking]) -> list[str]:
    """That there are several tables, if so."""
    if len(rankings) == 1:
        return []
    return [f"{len(rankings)} tables: these results are of different data or protocols and can't be ranked together."]


def title(ranking: Ranking) -> str:
    return f"{', '.join(ranking.sources)}: {ranking.protocol}"


def notes(ranking: Ranking) -> list[str]:
    """What the numbers are, one line a fact."""
    terms = terms_of(ranking.protocol_name)
    facts = [
        f"{ranking.metric.capitalize()} in percent{averaged(ranking)}, with {100 * ranking.level:g}% interval.",
        f"{CONSTANT}: {terms.constant}.",
    ]
    if any(row.per_class for row in ranking.rows):
        facts.append("per class: the mean over classes of the accuracy on the videos of each.")
    if any(row.rank_interval for row in ranking.rows):
        facts += [
            f"rank: from the best to the worst that the model has in the middle {100 * ranking.level:g}% of draws.",
            "ties: models of one number can't be told from the first of them "
            f"(all pairs, Holm, p above {1 - ranking.level:.2g}).",
        ]
    if any(row.reported for row in ranking.rows):
        facts.append(f"reported: published, not measured here; {terms.reported}.")
    if any(row.verified is False for row in ranking.rows):
        facts.append("unverified: submitted without embeddings, so that its scores could not be made again.")
    for name, source in ranking.sources.items():
        facts.append(f"{name}: {', '.join(counts(source, terms))}, fingerprint {source['fingerprint'][:12]}")
    return facts + ranking.notes


def averaged(ranking: Ranking) -> str:
    """What scores are averaged over, to follow what they are; nothing where there is one split alone."""
    one = ranking.task is not None and all(source["groups"] == 1 for source in ranking.sources.values())
    return "" if one else f", mean over {terms_of(ranking.protocol_name).group}s"


def counts(source: dict, terms: Terms) -> list[str]:
    """How many groups and clips, or splits, videos and classes, a source of a ranking has."""
    classes = [f"{source['classes']:,} classes"] if "classes" in source else []
    return [terms.count(source["groups"], terms.group), terms.count(source["clips"], terms.clip), *classes]


def status(row) -> str:
    """What a reader must know of a row before its numbers; nothing of a result that was scored here."""
    if row.reported:
        return "reported"
    return {None: "", True: "verified", False: "unverified"}[row.verified]


def compared(comparison: Comparison) -> list[str]:
    """One model against another, a line a source and one for their mean."""
    lines = [f"{comparison.a} minus {comparison.b}, in points:"]
    parts = comparison.sources if len(comparison.sources) > 1 else {}
    lines += [f"  {name}: {_difference(**part)}" for name, part in parts.items()]
    whole = _difference(comparison.difference, comparison.interval, comparison.p)
    of = "mean" if parts else next(iter(comparison.sources))
    return [*lines, f"  {of}: {whole}, adjusted for all pairs of the table {_p(comparison.p_adjusted)}"]


def _difference(difference: float, interval: tuple[float, float], p: float) -> str:
    return f"{in_percent(difference, interval, '+')}, p {_p(p)}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.0001 else "below 0.0001"
