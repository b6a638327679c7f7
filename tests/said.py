"""Verdicts on invented candidates, for tests of journals and of what they come to."""

import numpy as np
import pandas as pd

from cia_bench.review.journal import Verdict, clip_digest, group_digest

NOON = "2026-01-01T12:00:00Z"
GROUPS = pd.DataFrame(
    {
        "group_id": ["g", "h"],
        "source": "epic",
        "forward": ["open", "take"],
        "reverse": ["close", "put"],
        "noun": ["fridge", "cup"],
        "lexicon_row": ["pairs.csv:open/close", "pairs.csv:take/put"],
    }
)
DROPPABLE = pd.DataFrame(
    {
        "group_id": ["g", "g", "h"],
        "clip_id": ["c1", "c2", "c1"],
        "video": "v.mp4",
        "start_s": [0.5, np.nan, 0.5],
        "stop_s": [1.5, np.nan, 1.5],
        "verb": "open",
        "noun": "fridge",
        "text": "open fridge",
    }
)


def say(verdict: str, reviewer: str = "ann", group: str = "g", **more) -> Verdict:
    """A verdict on what stands in GROUPS and DROPPABLE now."""
    digest = group_digest(GROUPS.set_index("group_id", drop=False).loc[group])
    if more.get("clip_id"):
        clips = DROPPABLE[(DROPPABLE.group_id == group) & (DROPPABLE.clip_id == more["clip_id"])]
        digest = clip_digest(clips.iloc[0]) if len(clips) else "of a clip that is not there"
    return Verdict(
        **{"group_id": group, "reviewer": reviewer, "time": NOON, "basis": "text", "digest": digest, **more},
        verdict=verdict,
    )
