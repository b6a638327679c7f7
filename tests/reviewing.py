"""Invented candidates and a journal of verdicts on them, for tests of what reads both."""

from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.review.decisions import Standing, decide
from cia_bench.review.journal import Verdict, group_digest, read_journal
from cia_bench.review.reviewed import Reviewed
from cia_bench.tables import CANDIDATE_CLIPS, COUNTS

NOON = "2026-01-01T12:00:00Z"
CANDIDATES = pd.DataFrame(
    {
        "group_id": ["epic/open-close/fridge", "epic/take-put/cup", "epic/=take-put/Kühlschrank"],
        "source": "epic",
        "forward": ["open", "take", "=take"],
        "reverse": ["close", "put", "put"],
        "noun": ["fridge", "cup", "Kühlschrank"],
        "published_id": None,
        **dict.fromkeys(COUNTS, np.int32(5)),
        "lexicon_row": ["pairs.csv:open/close", "pairs.csv:take/put", "pairs.csv:take/put"],
        "hazards": [np.array(["lopsided", "short"], object), np.array([], object), np.array([], object)],
        "risk": [2.25, 0.0, 0.0],
        "ready": [True, True, False],
    }
)
FRIDGE, CUP, ODD = CANDIDATES.group_id
DIGESTS = {row.group_id: group_digest(row) for row in CANDIDATES.itertuples()}


def say(verdict: str, group: str = FRIDGE, reviewer: str = "ann", **more) -> Verdict:
    fields = {"time": NOON, "basis": "text", "digest": DIGESTS[group], **more}
    return Verdict(group_id=group, verdict=verdict, reviewer=reviewer, **fields)


def reviewed(journal: Path, *lines: Verdict, shipped: tuple[Verdict, ...] = ()) -> Reviewed:
    """What stands once `lines` are appended to a journal."""
    with journal.open("ab") as file:
        file.write(b"".join(line.line() for line in lines))
    own = read_journal(journal)
    decisions = decide(CANDIDATES, pd.DataFrame(columns=CANDIDATE_CLIPS.schema.names), shipped, own)
    return Reviewed("epic", CANDIDATES, journal, Standing([*shipped, *own]), decisions)
