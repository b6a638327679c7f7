"""Coverage: how many rows of a source or a group have an embedding, as counts and in words."""

import pandas as pd

from cia_bench.errors import EmbeddingError

COVERAGE = ("train_rows", "learnt_rows", "validation_rows", "scored_rows")
LOWEST = 3  # groups that are named


def count_coverage(clips: pd.DataFrame) -> dict[str, int]:
    """How many rows `clips` has of each split, and how many of them its column `embedded` marks: counts of COVERAGE."""
    counts, embedded = [], clips.embedded.to_numpy(bool)
    for split in ("train", "validation"):
        rows = clips.split.to_numpy(object) == split
        counts += [rows.sum(), (rows & embedded).sum()]
    return dict(zip(COVERAGE, map(int, counts), strict=True))


def _splits(coverage: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Embedded rows and all rows of each split."""
    train, learnt, validation, scored = (coverage[name] for name in COVERAGE)
    return {"training": (learnt, train), "validation": (scored, validation)}


def _share(embedded: int, rows: int) -> float:
    return embedded / rows if rows else 1.0


def _percent(embedded: int, rows: int) -> str:
    """A share in percent, rounded down: only what is whole reads as 100%."""
    return "100%" if embedded == rows else f"{1000 * embedded // rows / 10:.1f}%"


def is_complete(coverage: dict[str, int]) -> bool:
    return all(embedded == rows for embedded, rows in _splits(coverage).values())


def lowest_share(coverage: dict[str, int]) -> float:
    """The smaller of the shares of training rows and of validation rows that have an embedding."""
    return min(_share(*counts) for counts in _splits(coverage).values())


def refuse_low_coverage(place: str, source: str, coverage: dict[str, int], least: float, zeros: int = 0) -> None:
    """Raise EmbeddingError if a smaller share than `least` of a source's rows of a split has an embedding.

    `zeros` is how many embeddings don't count, being all zeros.
    """
    for split, (embedded, rows) in _splits(coverage).items():
        if _share(embedded, rows) < least:
            counts = f"{_percent(embedded, rows)} of the {split} rows of {source} ({embedded:,} of {rows:,})"
            why = "failures.parquet there says why clips failed: try them again with --retry-failed, mend their videos"
            if zeros:
                why = f"{zeros:,} embeddings there are all zeros, which count as failed: make them anew"
            raise EmbeddingError(
                f"{place} covers {counts}, less than --min-coverage {least}; {why}, or give a lower --min-coverage"
            )


def _counts_in_words(coverage: dict[str, int]) -> str:
    parts = (f"{embedded:,} of {rows:,} {split} rows" for split, (embedded, rows) in _splits(coverage).items())
    return " and ".join(parts)


def _shares_in_words(coverage: dict[str, int]) -> str:
    return " and ".join(_percent(*counts) for counts in _splits(coverage).values())


def coverage_in_words(score: dict) -> str:
    """What a source's score leaves out, or nothing if that is nothing."""
    coverage = score["coverage"]
    if is_complete(coverage):
        return ""
    counts, shares = _counts_in_words(coverage), _shares_in_words(coverage)
    return f"coverage: {counts}; the other clips failed to embed, which leaves {shares}"


def lowest_groups_in_words(groups: list[dict]) -> list[str]:
    """The groups with the lowest coverage, a line each, and how many more are not complete; none if all are."""
    partial = [group for group in groups if not is_complete(group["coverage"])]
    partial.sort(key=lambda group: (lowest_share(group["coverage"]), group["group_id"]))
    lines = [
        f"{group['group_id']}: {_counts_in_words(group['coverage'])}, {_shares_in_words(group['coverage'])}"
        for group in partial[:LOWEST]
    ]
    more = len(partial) - LOWEST
    return [*lines, f"{more} more {'group lacks' if more == 1 else 'groups lack'} clips"] if more > 0 else lines


def shared_in_words(name: str, shared: dict | None) -> str:
    """What a source's record says of clips that share their vector, or nothing."""
    if not shared or not shared["clips"]:
        return ""
    return (
        f"{name}: {shared['clips']:,} clips share their vector with two or more others, like {shared['example']}; if "
        "it stands in for clips that failed, put zeros there, which count as failed"
    )
