"""Mine candidates: match a source's actions with the verb pairs of the lexicon."""

from dataclasses import dataclass

import pandas as pd

from cia_bench.lexicon import LexiconRow
from cia_bench.tables import COUNTS, SPLITS


@dataclass(frozen=True)
class Mined:
    """Candidate groups with their clips."""

    candidates: pd.DataFrame  # columns of tables.CANDIDATES
    clips: pd.DataFrame  # columns of tables.CLIPS, each (group_id, clip_id) once
    contradictory: pd.DataFrame  # group_id, clip_id: narrated under both labels of the group


def mine(source: str, actions: pd.DataFrame, lexicon: list[LexiconRow]) -> Mined:
    """Match the verb and noun of `actions` (sources.ACTION_COLUMNS) with lexicon rows, exactly as written.

    Rows that share a clip id within a group count once, with the label of the first, as in the published lists.
    """
    rows = pd.DataFrame([vars(row) for row in lexicon])
    rows["group_id"] = [f"{source}/{row.forward}-{row.reverse}/{row.noun}" for row in lexicon]
    sides = pd.concat(
        [
            rows[["group_id", "noun"]].assign(verb=rows.forward, label=1),
            rows[["group_id", "noun"]].assign(verb=rows.reverse, label=0),
        ]
    )
    ordered = actions.assign(order=range(len(actions)))
    matched = ordered.merge(sides, on=["verb", "noun"]).sort_values(["group_id", "order"])
    labels = matched.groupby(["group_id", "clip_id"]).label.nunique()
    clips = matched.drop_duplicates(["group_id", "clip_id"]).drop(columns="order")
    clips = clips.assign(source=source, hazards=[[] for _ in range(len(clips))])
    candidates = rows.rename(columns={"origin": "lexicon_row"}).assign(source=source, **_counts(clips, rows.group_id))
    candidates["hazards"] = [[] for _ in range(len(candidates))]
    return Mined(candidates, clips, labels[labels > 1].index.to_frame(index=False))


def _counts(clips: pd.DataFrame, group_ids: pd.Series) -> dict[str, list[int]]:
    """For each count column of the groups table: how many clips each group has."""
    sizes = clips.groupby(["group_id", "split", "label"]).size().to_dict()
    sides = [(split, label) for split in SPLITS for label in (1, 0)]  # the order of COUNTS
    return {
        column: [sizes.get((group_id, *side), 0) for group_id in group_ids]
        for column, side in zip(COUNTS, sides, strict=True)
    }
