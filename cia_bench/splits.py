"""Split clips again so that no subject and no video is on both sides, and draw as many clips of each label."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cia_bench.tables import SPLITS

DRAWS = 300  # random splits, of which the best is kept
CLOSE = 0.05  # of the published size: how far from it is still near


@dataclass(frozen=True)
class StrictSplit:
    """The strict split of each clip row, and what it is."""

    splits: np.ndarray  # text, (rows,)
    kept_apart: str  # subject or video; "as published" if that has neither on both sides
    groups_without_a_label: list[str]  # on either side


def strict_split(clips: pd.DataFrame, source: str, seed: int) -> StrictSplit:
    """Split the rows of `clips` (tables.CLIPS, of one source) with no subject and no video on both sides.

    Where the published split is so already, it stays. Otherwise whole subjects (videos where there are none) are drawn
    for validation until it has as many rows as published, as nearly as whole subjects allow. Of DRAWS seeded draws,
    whatever the order of rows, the one is kept that is within CLOSE of the published size (or the nearest to that), in
    which fewest groups lose a label, and which is the nearest in size, in that order.
    """
    order = np.lexsort((clips.clip_id.to_numpy(str), clips.group_id.to_numpy(str)))
    strict = _strict_split(clips.iloc[order], source, seed)
    splits = np.empty_like(strict.splits)
    splits[order] = strict.splits
    return replace(strict, splits=splits)


def _strict_split(clips: pd.DataFrame, source: str, seed: int) -> StrictSplit:
    published = clips.split.to_numpy(str)
    is_validation = published == SPLITS[1]
    units = joined(clips)
    groups = pd.factorize(clips.group_id, sort=True)
    if not np.intersect1d(units[is_validation], units[~is_validation]).size:
        return StrictSplit(published, "as published", _without_a_label(clips, groups, is_validation))
    generator = np.random.default_rng([seed, *source.encode()])
    sizes, target = np.bincount(units), int(is_validation.sum())
    best, best_cost = is_validation, None
    for _ in range(DRAWS):
        order = generator.permutation(len(sizes))
        reached = np.cumsum(sizes[order])[: max(len(sizes) - 1, 1)]  # one at least stays for training
        count = int(np.argmin(np.abs(reached - target))) + 1
        chosen = np.isin(units, order[:count])
        off = abs(int(chosen.sum()) - target)
        cost = (max(off - CLOSE * target, 0), len(_without_a_label(clips, groups, chosen)), off)
        if best_cost is None or cost < best_cost:
            best, best_cost = chosen, cost
    unit = "video" if clips.subject.isna().all() else "subject"
    return StrictSplit(np.where(best, SPLITS[1], SPLITS[0]), unit, _without_a_label(clips, groups, best))


def joined(clips: pd.DataFrame) -> np.ndarray:
    """A number a row that rows share if a chain of common subjects and videos joins them."""
    videos, _ = pd.factorize(clips.video)
    subjects, names = pd.factorize(clips.subject)
    known = subjects >= 0
    size = (len(names) + videos.max() + 1) if len(clips) else 0
    links = coo_array((np.ones(known.sum()), (subjects[known], len(names) + videos[known])), shape=(size, size))
    return connected_components(links, directed=False)[1][len(names) + videos] if size else videos


def _without_a_label(clips: pd.DataFrame, groups: tuple[np.ndarray, pd.Index], is_validation: np.ndarray) -> list[str]:
    """The groups that lack clips of a label on a side."""
    codes, names = groups
    cells = np.bincount(codes * 4 + clips.label.to_numpy(int) * 2 + is_validation, minlength=4 * len(names))
    return names[(cells.reshape(-1, 4) == 0).any(axis=1)].tolist()


def balance(clips: pd.DataFrame, source: str, seed: int) -> pd.DataFrame:
    """Draw, in each group and split, as many clips of the more frequent label as there are of the other."""
    generator = np.random.default_rng([seed, *b"balance", *source.encode()])
    clips = clips.sort_values(["group_id", "split", "label", "clip_id"], ignore_index=True)
    place = clips.assign(draw=generator.random(len(clips))).groupby(["group_id", "split", "label"]).draw.rank("first")
    sizes = clips.groupby(["group_id", "split", "label"]).clip_id.transform("size")
    smaller = sizes.groupby([clips.group_id, clips.split]).transform("min")
    one_sided = clips.groupby(["group_id", "split"]).label.transform("nunique") < 2
    return clips[(place <= smaller) & ~one_sided]
