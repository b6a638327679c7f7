"""Take a part of the data: some groups, or some clips of each, for a score in seconds."""

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from cia_bench.build import Data
from cia_bench.errors import BuildError, ConfigError
from cia_bench.tables import SPLITS


def subset(
    data: Data, groups: Iterable[str] = (), max_clips: int | None = None, seed: int = 0, split: str = "split"
) -> Data:
    """The groups of `data` that are named, all by default, and at most `max_clips` clips of each on either side.

    A name is a group's id, or parts of it between slashes (a source, a verb pair, a noun, `open-close/bag`); `*`, `?`
    and `[...]` stand for other characters in either. Several may be joined by commas. Of the clips, labels keep their
    proportion and at least one clip; which are drawn depends on `seed`, the group and its clips alone, so that all
    models get the same. `split` says what the sides are: a column of tables.CLIPS.

    The fingerprint of what is returned is its own, and its `subset` tells what was taken: None if that is everything.

    Raises ConfigError if a name fits no group, or fewer than 2 clips are asked for.
    """
    names = [name.strip() for listed in ([groups] if isinstance(groups, str) else groups) for name in listed.split(",")]
    if max_clips is not None and max_clips < len(SPLITS):
        raise ConfigError(f"max_clips is {max_clips}; a group needs a clip of each label on either side: 2 at least")
    if not len(data.clips):
        raise BuildError("the data has no clip to score")
    chosen = _chosen(data.groups.group_id, names) if names else np.ones(len(data.groups), bool)
    kept = data.groups[chosen]
    clips = data.clips[data.clips.group_id.isin(kept.group_id)]
    drawn = clips if max_clips is None else _drawn(clips, max_clips, seed, split)
    if len(kept) == len(data.groups) and len(drawn) == len(data.clips):
        return data
    before = data.subset or {}
    whole = before.get("of") or {source: data.fingerprint(source) for source in sorted(kept.source.unique())}
    most = min((count for count in (before.get("max_clips"), max_clips) if count is not None), default=None)
    drawn_by = seed if max_clips is not None else before.get("seed")
    about = {"groups": sorted(kept.group_id), "max_clips": most, "seed": drawn_by, "of": whole}
    return Data(kept.reset_index(drop=True), drawn.reset_index(drop=True), about)


def _chosen(group_ids: pd.Series, names: list[str]) -> np.ndarray:
    """Which groups some name fits; raises ConfigError for a name that fits none."""
    chosen = np.zeros(len(group_ids), bool)
    for name in names:
        fits = np.array([_fits(name, group_id) for group_id in group_ids])
        if not fits.any():
            known = {*group_ids, *(part for group_id in group_ids for part in group_id.split("/"))}
            alike = get_close_matches(name, sorted(known), n=3)
            hint = f"is it {' or '.join(alike)}?" if alike else f"an id looks like {group_ids.iloc[0]!r}"
            raise ConfigError(f"no group is called {name!r}; {hint}")
        chosen |= fits
    return chosen


def _fits(name: str, group_id: str) -> bool:
    parts = group_id.split("/")
    runs = ["/".join(parts[first:last]) for last in range(1, len(parts) + 1) for first in range(last)]
    return any(fnmatchcase(run, name) for run in runs)


def _drawn(clips: pd.DataFrame, most: int, seed: int, split: str) -> pd.DataFrame:
    """The rows of at most so many clips of each group and side."""
    kept = [_drawn_of_one(rows, most, seed, split) for _, rows in clips.groupby("group_id")]
    return clips.loc[np.sort(np.concatenate(kept))]


def _drawn_of_one(rows: pd.DataFrame, most: int, seed: int, split: str) -> np.ndarray:
    """The index of the rows that are drawn of one group."""
    ordered = rows.sort_values("clip_id")
    generator = np.random.default_rng([seed, *rows.group_id.iloc[0].encode()])
    ordered = ordered.assign(draw=generator.permutation(len(ordered)))
    kept = []
    for _, side in ordered.groupby(split):
        first = side[side.label == 1].sort_values("draw").index
        other = side[side.label == 0].sort_values("draw").index
        count = _count_of_first(len(first), len(other), most)
        kept += [first[:count], other[: most - count]]
    return np.concatenate(kept)


def _count_of_first(first: int, other: int, most: int) -> int:
    """How many of `most` clips have the first label, in proportion; at least one of each label that there is."""
    if first + other <= most:
        return first
    share = round(most * first / (first + other))
    return min(max(share, min(first, 1)), most - min(other, 1))
