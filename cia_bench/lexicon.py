"""The lexicon of opposite verbs in verb_pairs/, and which action phrases of a source oppose by it."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files

PAIRS, WORDNET, NOUNS, PUBLISHED_LIST = "pairs.csv", "wordnet.csv", "nouns.csv", "cia_v1_groups.csv"
KINDS = ("verb", "direction", "phrase")
CONFIRMED = ("hand", "published")  # origins that somebody has read for the actions of video; the others are proposals
ARTICLES = {"a", "an", "the", "some", "their"}
GAP = "…"  # in a term: any words, which stay
PREFIXES = (("", "un"), ("", "dis"), ("re", "un"), ("re", "dis"))  # of opposite verbs: load/unload, reseal/unseal


@dataclass(frozen=True)
class PublishedGroup:
    """A chiral group of the published CiA as its list has it."""

    published_id: str
    forward: str  # the label of the clips with label 1; several, joined by " | ", are one
    reverse: str
    nouns: tuple[str, ...]  # none: all that are frequent on both sides


@dataclass(frozen=True)
class VerbPair:
    """Two opposite terms; phrases with the forward one have label 1."""

    row: str  # file:forward/reverse
    forward: str
    reverse: str
    kind: str  # one of KINDS
    origin: str  # hand, published or wordnet
    sense: str = ""  # of WordNet, the first in which the forward term has this antonym


@dataclass(frozen=True)
class Opposition:
    """Two phrases of a source that oppose, and what says so."""

    forward: str
    reverse: str
    row: str  # of the pair, or of the two pairs, that turn one into the other
    confirmed: bool

    def turned(self) -> "Opposition":
        """The same with the labels the other way round."""
        return replace(self, forward=self.reverse, reverse=self.forward)


def read_lexicon_text(name: str) -> str:
    """The text of a file of verb_pairs/."""
    return files("cia_bench.verb_pairs").joinpath(name).read_text(encoding="utf-8")


def _rows(name: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(read_lexicon_text(name).splitlines())


def published_groups(source: str) -> list[PublishedGroup]:
    """The published chiral groups of a source, in the published list's order (arXiv 2509.08502, released list)."""
    return [
        PublishedGroup(row["group_id"], row["label_1"], row["label_0"], tuple(filter(None, row["nouns"].split("; "))))
        for row in _rows(PUBLISHED_LIST)
        if row["source"] == source
    ]


def noun_categories() -> dict[tuple[str, str], str]:
    """The category of object phrases, by the row of the verb pair it is for (empty: all others) and the phrase.

    Phrases are as `plain_noun` gives them.
    """
    return {(row["pair"], row["phrase"]): row["category"] for row in _rows(NOUNS)}


def plain_noun(noun: str) -> str:
    """An object phrase without case and articles: `A door` -> `door`."""
    words = noun.casefold().split()
    return " ".join(word for word in words if word not in ARTICLES) or noun.casefold()


def read_pairs() -> list[VerbPair]:
    """The rows of pairs.csv, then those of WordNet's verb antonyms that it lacks, in the files' order."""
    pairs = [
        VerbPair(
            f"{PAIRS}:{row['forward']}/{row['reverse']}", row["forward"], row["reverse"], row["kind"], row["origin"]
        )
        for row in _rows(PAIRS)
    ]
    known = {frozenset((pair.forward, pair.reverse)) for pair in pairs}
    for row in _rows(WORDNET):  # a row a sense
        terms = frozenset((row["verb"], row["antonym"]))
        if terms not in known:
            known.add(terms)
            place = f"{WORDNET}:{row['verb']}/{row['antonym']}"
            pairs.append(VerbPair(place, row["verb"], row["antonym"], "verb", "wordnet", row["sense"]))
    return pairs


@dataclass(frozen=True)
class _Term:
    """One side of a verb pair, ready to be looked for in a phrase and swapped for the other."""

    pair: VerbPair
    is_forward: bool
    pattern: re.Pattern
    other: str

    def rest_of(self, phrase: str) -> str:
        """`phrase` without the term's own words."""
        return self.pattern.sub(lambda found: " ".join(found.groups()), phrase)

    def swapped_in(self, phrase: str) -> str | None:
        """`phrase` with the term turned into its opposite, or None if it does not hold it."""
        swapped, count = self.pattern.subn(self.other, phrase)
        return " ".join(swapped.split()) if count else None


def _term(pair: VerbPair, is_forward: bool, found: str, other: str) -> _Term:
    parts = [re.escape(part) for part in found.split(f" {GAP}")]
    gap = " (.+)" if parts[-1] == "" else " (.+?)"  # a gap at the end is all the rest
    pattern = gap.join(parts)
    return _Term(pair, is_forward, re.compile(rf"(?<!\S){pattern}(?!\S)"), other.replace(GAP, r"\1"))


class Lexicon:
    """Verb pairs, by default all that ship."""

    def __init__(self, pairs: Iterable[VerbPair] | None = None):
        self.pairs = read_pairs() if pairs is None else list(pairs)

    @cached_property
    def _terms(self) -> dict[str, list[_Term]]:
        """The terms by their first word, in the order of the pairs."""
        terms: dict[str, list[_Term]] = {}
        for pair in self.pairs:
            for is_forward in (True, False):
                sides = [self.normalise(term) for term in (pair.forward, pair.reverse)]
                found, other = sides if is_forward else sides[::-1]
                terms.setdefault(found.split()[0], []).append(_term(pair, is_forward, found, other))
        return terms

    @cached_property
    def _bases(self) -> dict[str, str]:
        """The base form of each gerund of a verb that a pair begins with."""
        bases: dict[str, str] = {}
        for pair in self.pairs:
            if pair.kind != "direction":
                for term in (pair.forward, pair.reverse):
                    verbs = [term.split()[0], *re.findall(r"and (\w+)", term)]
                    for verb in verbs:
                        for gerund in _gerunds(verb):
                            bases.setdefault(gerund, verb)
        return bases

    def normalise(self, phrase: str) -> str:
        """A phrase without case, hyphens, articles and `someone is`, its gerunds as base verbs; brackets stay whole."""
        text = phrase.casefold().replace("-", " ").removeprefix("someone is ")
        words = re.findall(r"\[[^\]]*\]|[^\s\[\],]+", text)
        return " ".join(self._bases.get(word, word) for word in words if word not in ARTICLES)

    def oppositions(self, phrases: Iterable[str]) -> list[Opposition]:
        """The pairs among `phrases` of which one becomes the other by swapping terms, each once, ordered by phrase.

        Terms are those of one pair, or of a verb and a direction (put into / take out of). Where several pairs say so,
        the first of one pair alone, by the order of the lexicon, is named.
        """
        by_normal: dict[str, list[str]] = {}
        for phrase in sorted(set(phrases)):
            by_normal.setdefault(self.normalise(phrase), []).append(phrase)
        found: dict[frozenset, tuple[int, Opposition]] = {}
        for normal, same in by_normal.items():
            for rank, swap in enumerate(self._swaps(normal)):
                for phrase, other in ((a, b) for a in same for b in by_normal.get(swap.phrase, []) if a != b):
                    forward, reverse = (phrase, other) if swap.is_forward else (other, phrase)
                    pair = frozenset((phrase, other))
                    if pair not in found or (rank, not swap.is_forward) < found[pair][0]:
                        opposition = Opposition(forward, reverse, swap.row, swap.confirmed)
                        found[pair] = ((rank, not swap.is_forward), opposition)
        return sorted((opposition for _, opposition in found.values()), key=lambda pair: (pair.forward, pair.reverse))

    def _swaps(self, phrase: str) -> list["_Swap"]:
        """What a normalised phrase becomes by swapping terms, the most certain first."""
        single, composed, proposed = [], [], []
        for term, swapped in self._swapped(phrase):
            confirmed = term.pair.origin in CONFIRMED
            (single if confirmed else proposed).append(_Swap(swapped, term.pair.row, term.is_forward, confirmed))
            if confirmed and term.pair.kind == "verb":
                rest = term.rest_of(phrase)  # so that no direction is turned that only the swap of the verb brought in
                for second, twice in self._swapped(swapped):
                    if second.pair.kind == "direction" and second.pattern.search(rest):
                        row = f"{term.pair.row}+{second.pair.forward}/{second.pair.reverse}"
                        composed.append(_Swap(twice, row, second.is_forward, True))  # put in, put on, turn on: label 1
        return [*single, *composed, *proposed, *_prefix_swaps(phrase)]

    def _swapped(self, phrase: str) -> Iterator[tuple[_Term, str]]:
        for word in dict.fromkeys(phrase.split()):
            for term in self._terms.get(word, []):
                if term.pair.kind == "phrase" and not term.pattern.fullmatch(phrase):
                    continue
                swapped = term.swapped_in(phrase)
                if swapped is not None and swapped != phrase:
                    yield term, swapped


@dataclass(frozen=True)
class _Swap:
    phrase: str  # what it becomes
    row: str
    is_forward: bool  # the phrase it was made from has label 1
    confirmed: bool


def _gerunds(verb: str) -> Iterator[str]:
    """The ways to write a verb's -ing form, right and wrong ones: putting, puting."""
    yield verb + "ing"
    if verb.endswith("ie"):
        yield verb[:-2] + "ying"
    elif verb.endswith("e"):
        yield verb[:-1] + "ing"
    if re.search(r"[aeiou][^aeiouwxy]$", verb):
        yield verb + verb[-1] + "ing"


def _prefix_swaps(phrase: str) -> Iterator[_Swap]:
    """What a phrase becomes if its verb loses or gets a prefix that means the opposite."""
    verb, _, rest = phrase.partition(" ")
    for done, undone in PREFIXES:
        for prefix, other, is_forward in ((done, undone, True), (undone, done, False)):
            if verb.startswith(prefix) and len(verb) > len(prefix) + 2:
                swapped = " ".join([other + verb.removeprefix(prefix), rest]).strip()
                yield _Swap(
                    swapped, f"morphology:{done}-/{undone}-" if done else f"morphology:{undone}-", is_forward, False
                )
