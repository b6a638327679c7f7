"""Compare two builds group by group: which groups and clips only one has, and which labels differ."""

from dataclasses import dataclass

import pandas as pd

from cia_bench.build import Data


@dataclass(frozen=True)
class Diff:
    """How build A differs from build B in one source."""

    source: str
    only_a: list[str]  # group ids
    only_b: list[str]
    groups: pd.DataFrame  # a row a group of both: group_a, group_b, common, only_a, only_b, precision, recall, flipped

    @property
    def is_same(self) -> bool:
        exact = (self.groups.precision == 1) & (self.groups.recall == 1)
        return not self.only_a and not self.only_b and bool(exact.all()) and not self.groups.flipped.any()

    def lines(self, name_a: str, name_b: str) -> list[str]:
        """What to tell a user, a line a fact; groups that agree in all clips are counted only."""
        groups = self.groups
        lines = [f"{self.source}: {len(groups)} groups in both, {len(self.only_a)} only in {name_a}, "]
        lines[0] += f"{len(self.only_b)} only in {name_b}"
        lines += [f"  only in {name_a}: {group_id}" for group_id in self.only_a]
        lines += [f"  only in {name_b}: {group_id}" for group_id in self.only_b]
        if len(groups):
            lines.append(
                f"  clips of {name_a} against {name_b}, mean over groups: precision {groups.precision.mean():.3f}, "
                f"recall {groups.recall.mean():.3f}; {groups.common.sum():,} common, {groups.flipped.sum():,} with "
                "another label"
            )
        for row in groups[(groups.precision < 1) | (groups.recall < 1) | (groups.flipped > 0)].itertuples():
            lines.append(
                f"  {row.group_a}: precision {row.precision:.3f}, recall {row.recall:.3f}, {row.flipped:,} of "
                f"{row.common:,} common clips with another label"
            )
        return lines


def diff(a: Data, b: Data) -> list[Diff]:
    """Compare the sources that either build has, in order.

    Groups are matched by their published id, else by their two phrases, in whichever order, and noun. Of a group,
    precision is the share of A's clips that B has, recall the share of B's clips that A has; a clip in another split
    is another clip.
    """
    return [_diff_source(name, a.of(name), b.of(name)) for name in sorted({*a.source_names(), *b.source_names()})]


def _diff_source(source: str, a: Data, b: Data) -> Diff:
    matched = _match(a.groups, b.groups)
    of_a = dict(tuple(a.clips.groupby("group_id")))
    of_b = dict(tuple(b.clips.groupby("group_id")))
    rows = [_diff_group(one, other, of_a[one], of_b[other]) for one, other in matched]
    columns = ["group_a", "group_b", "common", "only_a", "only_b", "precision", "recall", "flipped"]
    return Diff(
        source,
        sorted(set(a.groups.group_id) - {one for one, _ in matched}),
        sorted(set(b.groups.group_id) - {other for _, other in matched}),
        pd.DataFrame(rows, columns=columns),
    )


def _match(a: pd.DataFrame, b: pd.DataFrame) -> list[tuple[str, str]]:
    by_id = {group.published_id: group.group_id for group in b.itertuples() if isinstance(group.published_id, str)}
    pairs = {
        group.group_id: by_id[group.published_id]
        for group in a.itertuples()
        if by_id.get(group.published_id) is not None
    }
    taken = set(pairs.values())
    by_phrase = {_phrases(group): group.group_id for group in b.itertuples() if group.group_id not in taken}
    for group in a.itertuples():
        if group.group_id not in pairs and _phrases(group) in by_phrase:
            pairs[group.group_id] = by_phrase.pop(_phrases(group))
    return sorted(pairs.items())


def _phrases(group) -> tuple[frozenset[str], str]:
    return frozenset((group.forward.casefold(), group.reverse.casefold())), group.noun.casefold()


def _diff_group(name_a: str, name_b: str, a: pd.DataFrame, b: pd.DataFrame) -> tuple:
    both = a.merge(b, on=["clip_id", "split"], suffixes=("_a", "_b"))
    common = len(both)
    flipped = int((both.label_a != both.label_b).sum())
    return name_a, name_b, common, len(a) - common, len(b) - common, common / len(a), common / len(b), flipped
