"""What is said of rankings beside their numbers, the same in every format; not escaped for any."""

from cia_bench.leaderboard.rows import CONSTANT
from cia_bench.leaderboard.table import Comparison, Ranking
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
    facts = [
        f"{ranking.metric.capitalize()} in percent, mean over groups, with {100 * ranking.level:g}% interval.",
        f"{CONSTANT}: always the label that is more frequent in the group's training clips.",
    ]
    if any(row.rank_interval for row in ranking.rows):
        facts += [
            f"rank: from the best to the worst that the model has in the middle {100 * ranking.level:g}% of draws.",
            "ties: models of one number can't be told from the first of them "
            f"(all pairs, Holm, p above {1 - ranking.level:.2g}).",
        ]
    if any(row.reported for row in ranking.rows):
        facts.append(
            "reported: published, not measured here; on the authors' clips, within 0.3, without interval, test or rank."
        )
    if any(row.verified is False for row in ranking.rows):
        facts.append("unverified: submitted without embeddings, so that its scores could not be made again.")
    for name, source in ranking.sources.items():
        counts = f"{source['groups']} groups, {source['clips']:,} validation clips"
        facts.append(f"{name}: {counts}, fingerprint {source['fingerprint'][:12]}")
    return facts + ranking.notes


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
