"""Mine candidates: actions of a source + lexicon -> chiral groups that could be, with their clips.

A group is two opposite phrases times a noun. The published groups are made as published; all others by the lexicon:
two phrases of the source oppose if one becomes the other by swapping terms. Where nouns are free text, there is also a
group of each phrase pair over all nouns that are frequent on both sides, as the published ones are.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd

from cia_bench.errors import ConfigError
from cia_bench.hazards import (
    CLIP_HAZARDS,
    GROUP_HAZARDS,
    KEEP_OUT,
    action_flags,
    bit,
    group_hazards,
    names_both,
    names_of,
)
from cia_bench.lexicon import (
    PUBLISHED_LIST,
    Lexicon,
    Opposition,
    PublishedGroup,
    noun_categories,
    plain_noun,
)
from cia_bench.tables import COUNTS, SPLITS

ANY = "any"  # the noun of a group over all frequent nouns
JOIN = " | "  # between several phrases that are one side of a group
OF_CLASS = "*"  # ends the name of a verb class, which stands for all its verbs


@dataclass(frozen=True)
class MiningSettings:
    """How many clips make a candidate. Published groups are kept below these."""

    min_train_clips: int = 5  # of each action
    min_validation_clips: int = 2  # of each action
    min_phrase_clips: int = 10  # training clips of each action with a noun phrase, for it to join a group of any noun

    def __post_init__(self):
        low = [f"{name} {value}" for name, value in vars(self).items() if value < 1]
        if low:
            raise ConfigError(f"{low[0]} is too low; a group needs at least 1 clip")


SplitLabel = Callable[[str], tuple[str, str | None]]


def as_it_is(label: str) -> tuple[str, str | None]:
    """A published label as verb phrase, its noun told elsewhere."""
    return label, None


@dataclass(frozen=True)
class Mined:
    """Candidate groups with their clips."""

    candidates: pd.DataFrame  # columns of tables.CANDIDATES
    members: (
        pd.DataFrame
    )  # group (position in candidates), row (position in actions), label, marks (hazard bits); each clip once
    contradictory: pd.DataFrame  # group_id, clip_id: narrated under both labels of the group
    actions: pd.DataFrame
    source: str

    def clips(self, groups: pd.Series) -> pd.DataFrame:
        """The clips of some candidates (by group_id) in the columns of tables.CLIPS, but for strict_split."""
        positions = np.flatnonzero(self.candidates.group_id.isin(groups))
        members = self.members[self.members.group.isin(positions)]
        columns = ["clip_id", "video", "start_s", "stop_s", "verb", "noun", "text", "split", "subject"]
        clips = self.actions[columns].iloc[members.row.to_numpy()].reset_index(drop=True)
        return clips.assign(
            group_id=self.candidates.group_id.to_numpy()[members.group.to_numpy()],
            source=self.source,
            label=members.label.to_numpy(np.int8),
            hazards=pd.Series(names_of(members.marks), dtype=object),
        )


def mine(
    source: str,
    actions: pd.DataFrame,
    published: Sequence[PublishedGroup] = (),
    lexicon: Lexicon | None = None,
    settings: MiningSettings | None = None,
    split_label: SplitLabel = as_it_is,
    free_nouns: bool = False,
) -> Mined:
    """Find the candidates among `actions` (columns sources.ACTION_COLUMNS and OPTIONAL_COLUMNS).

    `split_label` takes verb and noun out of a published label. Rows that share a clip id within a group count once,
    with the label of the first, as in the published lists.
    """
    miner = _Miner(source, actions, lexicon or Lexicon(), settings or MiningSettings(), free_nouns)
    groups = [miner.published_group(group, split_label) for group in published]
    groups += miner.new_groups(groups)
    return miner.result(groups)


@dataclass(frozen=True)
class _Group:
    """A group as it is to be looked for: cells of phrase and noun, each side's."""

    forward: tuple[str, ...]  # phrases
    reverse: tuple[str, ...]
    noun: str  # what it is called
    nouns: tuple[str, ...]  # which are meant, as written or, for groups of a category, plain
    row: str
    published_id: str | None = None
    confirmed: bool = True

    def name(self, source: str) -> str:
        return group_name(source, self.forward[0], self.reverse[0], self.noun)

    def is_about(self, opposition: Opposition) -> bool:
        return self.has_labels_of(opposition) or self.has_labels_of(opposition.turned())

    def has_labels_of(self, opposition: Opposition) -> bool:
        return opposition.forward in self.forward and opposition.reverse in self.reverse


@dataclass(frozen=True)
class PublishedName:
    """What a published group is called in our tables."""

    group_id: str
    forward: str
    reverse: str
    noun: str
    lexicon_row: str


def published_name(source: str, group: PublishedGroup, split_label: SplitLabel) -> PublishedName:
    """The name of a published group, its labels taken apart by `split_label`."""
    sides = [[split_label(label) for label in side.split(JOIN)] for side in (group.forward, group.reverse)]
    forward, reverse = (JOIN.join(verb for verb, _ in side) for side in sides)
    noun = group.nouns[0] if group.nouns else sides[0][0][1] or ANY
    name = group_name(source, sides[0][0][0], sides[1][0][0], noun)
    return PublishedName(name, forward, reverse, noun, f"{PUBLISHED_LIST}:{group.published_id}")


def group_name(source: str, forward: str, reverse: str, noun: str) -> str:
    """The id of a group."""
    return f"{source}/{slug(forward)}-{slug(reverse)}/{slug(noun)}"


def slug(phrase: str) -> str:
    """A phrase as part of a group id: `Closing [something]` -> `closing`; a noun class as it is."""
    return re.sub(r"[^\w:*]+", "-", phrase.casefold().replace("[something]", " ")).strip("-") or "something"


def _unique(names: list[str]) -> np.ndarray:
    """The names, of which the second of the same gets `~2` behind it, and so on."""
    numbers = pd.Series(names, dtype=object).groupby(names).cumcount() if names else []
    return np.array([f"{name}~{n + 1}" if n else name for name, n in zip(names, numbers, strict=True)], object)


def all_oppositions(actions: pd.DataFrame, lexicon: Lexicon) -> list[Opposition]:
    """The opposite phrases among actions: classes of verbs (open*), and verbs unless they are of two such classes."""
    verbs = actions[["verb", "verb_class"]].drop_duplicates()
    classes = {verb: set(part.dropna()) for verb, part in verbs.groupby("verb", sort=False).verb_class}
    of_classes = lexicon.oppositions(set().union(*classes.values()))
    told = {frozenset((pair.forward, pair.reverse)) for pair in of_classes if pair.confirmed}
    of_verbs = [
        pair
        for pair in lexicon.oppositions(classes)
        if not any(frozenset((one, other)) in told for one in classes[pair.forward] for other in classes[pair.reverse])
    ]
    of_classes = [
        replace(pair, forward=pair.forward + OF_CLASS, reverse=pair.reverse + OF_CLASS) for pair in of_classes
    ]
    return [*of_classes, *of_verbs]


def phrase_rows(actions: pd.DataFrame, phrases: set[str]) -> dict[str, np.ndarray]:
    """The positions of the actions of each of `phrases`, which are verbs or classes (open*)."""
    rows = {}
    for column, ending in (("verb", ""), ("verb_class", OF_CLASS)):
        codes, found = pd.factorize(actions[column])
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(found) + 1))
        for number, name in enumerate(found):
            if name + ending in phrases:
                rows[name + ending] = order[ends[number] : ends[number + 1]]
    return rows


class _Miner:
    def __init__(self, source: str, actions: pd.DataFrame, lexicon: Lexicon, settings: MiningSettings, free: bool):
        self.source, self.actions, self.lexicon, self.settings, self.free = source, actions, lexicon, settings, free

    @cached_property
    def oppositions(self) -> list[Opposition]:
        return all_oppositions(self.actions, self.lexicon)

    @cached_property
    def phrases(self) -> pd.DataFrame:
        """Row, phrase and split of each action, once by its verb and once by its class; plain nouns beside the raw."""
        nouns = self.actions.noun.astype("category")
        plain = [plain_noun(noun) for noun in nouns.cat.categories] if self.free else nouns.cat.categories
        table = pd.DataFrame(
            {
                "row": np.arange(len(self.actions)),
                "phrase": self.actions.verb.astype("category"),
                "noun": nouns.cat.codes,
                "is_train": (self.actions.split == SPLITS[0]).to_numpy(bool),
            }
        )
        self.raw_nouns, self.plain_nouns = np.asarray(nouns.cat.categories, object), np.asarray(plain, object)
        with_class = self.actions.verb_class.notna().to_numpy(bool)
        if not with_class.any():
            return table
        again = table[with_class].assign(phrase=self.actions.verb_class[with_class] + OF_CLASS)
        table = pd.concat([table.astype({"phrase": "str"}), again.astype({"phrase": "str"})], ignore_index=True)
        return table.astype({"phrase": "category"})

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Train and validation clips of each phrase and noun."""
        together = self.phrases.groupby(["phrase", "noun"], observed=True, sort=True).is_train.agg(["sum", "size"])
        cells = together.reset_index()
        cells["train"], cells["validation"] = cells["sum"], cells["size"] - cells["sum"]
        cells["raw"], cells["plain"] = self.raw_nouns[cells.noun], self.plain_nouns[cells.noun]
        return cells[["phrase", "raw", "plain", "train", "validation"]].astype({"phrase": "str"})

    def published_group(self, group: PublishedGroup, split_label: SplitLabel) -> _Group:
        named = published_name(self.source, group, split_label)
        phrases = tuple(named.forward.split(JOIN)), tuple(named.reverse.split(JOIN))
        nouns = group.nouns or ((named.noun,) if named.noun != ANY else self._frequent(*phrases))
        return _Group(*phrases, named.noun, nouns, named.lexicon_row, group.published_id)

    @cached_property
    def _train_clips(self) -> dict[str, pd.Series]:
        """Training clips of each noun as written, by phrase."""
        return {phrase: part.set_index("raw").train for phrase, part in self.cells.groupby("phrase")}

    def _frequent(self, forward: Sequence[str], reverse: Sequence[str]) -> tuple[str, ...]:
        """The nouns that have enough training clips on both sides."""
        sides = []
        for phrases in (forward, reverse):
            parts = [self._train_clips[phrase] for phrase in phrases if phrase in self._train_clips]
            counts = pd.concat(parts).groupby(level=0).sum() if parts else pd.Series(dtype=int)
            sides.append(set(counts.index[counts >= self.settings.min_phrase_clips]))
        return tuple(sorted(sides[0] & sides[1]))

    def new_groups(self, published: Sequence[_Group]) -> list[_Group]:
        """The groups that the lexicon finds, where there are enough clips, and that are not published."""
        categories = noun_categories() if self.free else {}
        by_phrase = dict(tuple(self.cells.groupby("phrase")))
        groups = []
        for pair in self.oppositions:
            about_it = [group for group in published if group.is_about(pair)]
            known = {group.noun for group in about_it}
            if about_it and not about_it[0].has_labels_of(pair):
                pair = pair.turned()  # one pair of a source has its labels the same way round in all groups
            sides = [by_phrase[phrase] for phrase in (pair.forward, pair.reverse)]
            for noun, plain in self._shared_nouns(sides, pair.row, categories):
                if noun not in known:
                    groups.append(_Group((pair.forward,), (pair.reverse,), noun, plain, pair.row, None, pair.confirmed))
            if self.free and ANY not in known:
                nouns = self._frequent([pair.forward], [pair.reverse])
                if nouns:
                    groups.append(_Group((pair.forward,), (pair.reverse,), ANY, nouns, pair.row, None, pair.confirmed))
        return groups

    def _shared_nouns(self, sides: list[pd.DataFrame], row: str, categories: dict) -> list[tuple[str, tuple[str, ...]]]:
        """Nouns, or categories with their plain nouns, that have enough clips of both phrases in both splits."""
        counted, plain = [], {}
        for side in sides:
            names = [categories.get((row, noun), categories.get(("", noun), noun)) for noun in side.plain]
            for name, noun in zip(names, side.plain, strict=True):
                plain.setdefault(name, set()).add(noun)
            counts = side[["train", "validation"]].groupby(np.asarray(names, object)).sum()
            enough = counts.train >= self.settings.min_train_clips
            counted.append(set(counts.index[enough & (counts.validation >= self.settings.min_validation_clips)]))
        return [(name, tuple(sorted(plain[name]))) for name in sorted(counted[0] & counted[1])]

    def result(self, groups: list[_Group]) -> Mined:
        members = self._members(groups)
        clip_codes = pd.factorize(self.actions.clip_id)[0]
        members["clip"] = clip_codes[members.row]
        members = members.sort_values(["group", "row"], ignore_index=True)
        labels = members.groupby(["group", "clip"]).label.transform("nunique")
        both = (labels > 1).to_numpy()
        flags = action_flags(self.actions, self._opposite_rows(groups))[members.row]
        flags[both] |= bit("both_labels")
        flags[self._names_both(groups, members)] |= bit("both_verbs")
        members["marks"] = flags
        names = _unique([group.name(self.source) for group in groups])
        repeated = members.duplicated(["group", "clip"]).to_numpy()
        twice = members[both & ~repeated]
        contradictory = pd.DataFrame(
            {"group_id": names[twice.group], "clip_id": self.actions.clip_id.to_numpy()[twice.row]}, dtype="str"
        )
        members = members[~repeated][["group", "row", "label", "marks"]].reset_index(drop=True)
        candidates = self._candidates(groups, names, members)
        return Mined(candidates, members, contradictory, self.actions, self.source)

    def _members(self, groups: list[_Group]) -> pd.DataFrame:
        """The actions of each group with their labels, some perhaps twice."""
        cells = [
            (number, phrase, noun, label)
            for number, group in enumerate(groups)
            for phrases, label in ((group.forward, 1), (group.reverse, 0))
            for phrase in phrases
            for noun in group.nouns
        ]
        wanted = pd.DataFrame(cells, columns=["group", "phrase", "name", "label"])
        of_category = np.array([group.published_id is None and group.noun != ANY for group in groups], bool)
        used = self.phrases[self.phrases.phrase.isin(wanted.phrase.unique())].astype({"phrase": "str"})
        parts = []
        for nouns, by_category in ((self.raw_nouns, False), (self.plain_nouns, True)):
            part = wanted[of_category[wanted.group] == by_category]
            table = pd.DataFrame({"row": used.row, "phrase": used.phrase, "name": nouns[used.noun]})
            parts.append(table.merge(part, on=["phrase", "name"])[["group", "row", "label"]])
        members = pd.concat(parts, ignore_index=True)
        return members.astype({"group": np.int32, "row": np.int64, "label": np.int8})

    def _opposite_rows(self, groups: list[_Group]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The positions of the actions on each side of each opposition that is confirmed or published."""
        if self.actions.start_s.isna().all():
            return []  # whole files overlap nothing
        pairs = {(pair.forward, pair.reverse) for pair in self.oppositions if pair.confirmed}
        for group in groups:
            if group.published_id is not None:
                pairs.update(product(group.forward, group.reverse))
        rows = phrase_rows(self.actions, {phrase for pair in pairs for phrase in pair})
        return [(rows[one], rows[other]) for one, other in sorted(pairs) if one in rows and other in rows]

    def _names_both(self, groups: list[_Group], members: pd.DataFrame) -> np.ndarray:
        """Which members' texts name both actions of their group."""
        texts = self.actions.text.iloc[members.row].astype("category")
        words = np.array([" ".join(self.lexicon.normalise(text).split()) for text in texts.cat.categories], object)
        texts = pd.Series(words[texts.cat.codes], index=members.index)
        sides = [
            tuple(self.lexicon.normalise(phrase[0].removesuffix(OF_CLASS)) for phrase in (group.forward, group.reverse))
            for group in groups
        ]
        found = np.zeros(len(members), bool)
        pairs = pd.Series(pd.factorize(pd.Series(sides, dtype=object))[0], dtype=np.int64).to_numpy()[members.group]
        for _, part in texts.groupby(pairs):
            forward, reverse = sides[members.group[part.index[0]]]
            found[part.index] = names_both(part, forward, reverse)
        return found

    def _candidates(self, groups: list[_Group], names: np.ndarray, members: pd.DataFrame) -> pd.DataFrame:
        candidates = pd.DataFrame(
            {
                "group_id": names,
                "source": self.source,
                "forward": [JOIN.join(group.forward) for group in groups],
                "reverse": [JOIN.join(group.reverse) for group in groups],
                "noun": [group.noun for group in groups],
                "published_id": pd.Series([group.published_id for group in groups], dtype="str"),
                **count_clips(
                    members.group, self.actions.split.to_numpy()[members.row], members.label, range(len(groups))
                ),
                "lexicon_row": [group.row for group in groups],
            }
        )
        texts = ["group_id", "source", "forward", "reverse", "noun", "lexicon_row"]
        candidates = candidates.astype(dict.fromkeys(texts, "str"))  # of no candidates, too
        flags = members.marks.to_numpy()
        has = pd.DataFrame({name: (flags & bit(name)) > 0 for name in CLIP_HAZARDS})
        shares = has.groupby(members.group.to_numpy()).mean().reindex(range(len(groups)), fill_value=0)
        marked = pd.Series(flags > 0).groupby(members.group.to_numpy()).mean().reindex(range(len(groups)), fill_value=0)
        confirmed = pd.Series([group.confirmed for group in groups], dtype=bool)
        hazards = group_hazards(candidates, shares, confirmed)
        candidates["hazards"] = pd.Series(hazards, dtype=object)
        own = np.array([sum(name in GROUP_HAZARDS for name in found) for found in hazards], float)
        candidates["risk"] = own + marked.to_numpy(float)
        candidates["ready"] = np.array([not set(found) & set(KEEP_OUT) for found in hazards], bool)
        return candidates


def count_clips(groups, splits, labels, all_groups) -> dict[str, list[int]]:
    """For each count column of the groups table: how many clips each group has, given the clips' columns."""
    keys = pd.DataFrame({"group": np.asarray(groups), "split": np.asarray(splits), "label": np.asarray(labels)})
    sizes = keys.groupby(["group", "split", "label"]).size().to_dict()
    sides = [(split, label) for split in SPLITS for label in (1, 0)]  # the order of COUNTS
    return {
        column: [sizes.get((group, *side), 0) for group in all_groups]
        for column, side in zip(COUNTS, sides, strict=True)
    }
