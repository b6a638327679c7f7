"""The lexicon of verb pairs, as it ships in verb_pairs/."""

import csv
from dataclasses import dataclass
from importlib.resources import files

PUBLISHED_LIST = "cia_v1_groups.csv"


@dataclass(frozen=True)
class LexiconRow:
    """Two opposite verbs and the nouns they are paired on; forward verbs have label 1."""

    origin: str  # file:row id
    forward: str
    reverse: str
    noun: str
    published_id: str | None  # None: not in the published CiA


def read_lexicon_text(name: str) -> str:
    """The text of a file of verb_pairs/."""
    return files("cia_bench.verb_pairs").joinpath(name).read_text(encoding="utf-8")


def published_rows(source: str) -> list[LexiconRow]:
    """The published chiral groups of a source, in the published list's order (arXiv 2509.08502, released list)."""
    rows = csv.DictReader(read_lexicon_text(PUBLISHED_LIST).splitlines())
    return [
        LexiconRow(f"{PUBLISHED_LIST}:{row['group_id']}", row["label_1"], row["label_0"], row["nouns"], row["group_id"])
        for row in rows
        if row["source"] == source
    ]
