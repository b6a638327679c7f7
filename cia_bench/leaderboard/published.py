"""Numbers that others published on CiA: rows that are shown as reported, and were not measured here."""

import csv
from importlib.resources import files

from cia_bench.leaderboard.rows import Row

SOURCES = ("charades", "epic", "ssv2")  # of which published numbers are the mean
PROTOCOL = "paper"
FILE = "published.csv"  # accuracy in percent; empty: not published. Columns are those of the header


def published_rows() -> list[Row]:
    """The published rows, best first; one that has no number has a mean of None and stands last."""
    with (files("cia_bench.leaderboard") / FILE).open(encoding="utf-8", newline="") as file:
        rows = [_row(**line) for line in csv.DictReader(file)]
    return sorted(rows, key=lambda row: -row.mean["accuracy"] if row.mean else 0)


def _row(model: str, accuracy: str, parameters: str, dim: str, source: str) -> Row:
    return Row(
        model=model,
        scores={},
        mean={"accuracy": round(float(accuracy) / 100, 6), "interval": None} if accuracy else None,
        parameters=int(parameters) if parameters else None,
        dim=int(dim) if dim else None,
        reported=True,
        reported_by=source,
    )
