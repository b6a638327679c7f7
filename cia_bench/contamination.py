"""Contamination: which of the scored clips a trained part of the model saw, as counts and in words."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cia_bench.seen_clips import SeenClips
from cia_bench.tables import SPLITS


def count_contamination(
    clips: pd.DataFrame, saw: Mapping[str, str] | None, parts: Mapping[str, SeenClips | None] | None
) -> dict:
    """What a result's record says of contamination.

    `clips` are the rows that are scored and learnt from (columns source, split, clip_id and video). `saw` says which
    sources the model saw as a whole (encoders.Card), `parts` which clips each trained part saw; None: not known.

    `saw` is repeated. `unknown` names the parts of which nothing is known; it is None of embeddings whose model is not
    known itself. `parts` counts by part, source and split: clips, those seen, their videos, and those of which a clip
    was seen, with or without labels.
    """
    return {
        "saw": None if saw is None else dict(saw),
        "unknown": None if parts is None else [name for name, seen in parts.items() if seen is None],
        "parts": {
            name: {"labels": seen.labels, "sources": _by_source(clips, seen)}
            for name, seen in (parts or {}).items()
            if seen is not None
        },
    }


def _by_source(clips: pd.DataFrame, seen: SeenClips) -> dict:
    return {
        source: {split: _count(rows[rows.split == split], seen) for split in SPLITS}
        for source, rows in clips.groupby("source")
    }


def _count(rows: pd.DataFrame, seen: SeenClips) -> dict[str, int]:
    counts = {}
    for what, names, has in (
        ("clips", rows.clip_id.unique(), seen.has_clips),
        ("videos", rows.video.unique(), seen.has_videos),
    ):
        counts[what] = len(names)
        counts[f"seen_{what}"] = int(np.count_nonzero(has(names)))
    return counts


def contamination_in_words(contamination: dict | None, sources: list[str]) -> list[str]:
    """A line for each source that the model, or a part, saw something of, and one for what is not known."""
    if contamination is None:
        return []
    saw = contamination["saw"] or {}
    lines = [
        f"contamination: the model was trained on {source}, {_how(saw[source])}" for source in sources if source in saw
    ]
    for name, part in contamination["parts"].items():
        for source, splits in part["sources"].items():
            count = splits["validation"]
            if count["seen_videos"] or count["seen_clips"]:
                lines.append(
                    f"contamination: {name} was trained on {count['seen_clips']:,} of the {count['clips']:,} scored "
                    f"clips of {source}, and on clips of {count['seen_videos']:,} of their {count['videos']:,} videos, "
                    f"{_how('labels' if part['labels'] else 'clips')}"
                )
    unknown = contamination["unknown"] or []
    return [*lines, *(f"contamination: what {name} was trained on is not known" for name in unknown)]


def _how(saw: str) -> str:
    return "with labels" if saw == "labels" else "without labels"
