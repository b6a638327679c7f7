"""Numbers that others published: rows that are shown as reported, and were not measured here."""

import csv
from importlib.resources import files

from cia_bench.leaderboard.rows import Row

SOURCES = ("charades", "epic", "ssv2")  # of which published numbers are the mean
PROTOCOL = "paper"
FILE = "published.csv"  # accuracy in percent; empty: not published. Columns are those of the header
STANDARD_FILE = "published_standard.csv"  # top-1 accuracy in percent, of a task's kind and a probe
PROBES = {"softmax": "linear", "mlp": "non-linear", "attentive": "attentive"}  # ours, and what the authors call them
CHANCE = "chance"


def published_rows() -> list[Row]:
    """The rows published of CiA, best first; one that has no number has a mean of None and stands last."""
    rows = [_row(**line) for line in _lines(FILE)]
    return sorted(rows, key=lambda row: -row.mean["accuracy"] if row.mean else 0)


def standard_rows(task: str, probe: str, source: str) -> list[Row]:
    """The rows published of a kind of task with such a probe, best first; `source` is what rankings call the task."""
    rows = [_standard_row(line, source) for line in _standard_lines(task, probe) if line["model"] != CHANCE]
    return sorted(rows, key=lambda row: (-row.mean["accuracy"], row.model))


def published_chance(task: str, probe: str) -> dict | None:
    """The score of chance as it was published beside those of standard_rows; None if it was not."""
    lines = [line for line in _standard_lines(task, probe) if line["model"] == CHANCE]
    return _score(lines[0]["top1"]) if lines else None


def _standard_lines(task: str, probe: str) -> list[dict[str, str]]:
    return [line for line in _lines(STANDARD_FILE) if (line["task"], line["probe"]) == (task, PROBES.get(probe))]


def _lines(name: str) -> list[dict[str, str]]:
    with (files("cia_bench.leaderboard") / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _score(percent: str) -> dict:
    return {"accuracy": round(float(percent) / 100, 6), "interval": None}


def _standard_row(line: dict[str, str], source: str) -> Row:
    score = _score(line["top1"])
    return Row(line["model"], {source: score}, score, reported=True, reported_by=line["source"])


def _row(model: str, accuracy: str, parameters: str, dim: str, source: str) -> Row:
    return Row(
        model=model,
        scores={},
        mean=_score(accuracy) if accuracy else None,
        parameters=int(parameters) if parameters else None,
        dim=int(dim) if dim else None,
        reported=True,
        reported_by=source,
    )
