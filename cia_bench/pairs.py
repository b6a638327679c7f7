"""Which verb pairs a source's vocabulary holds, and which others it could hold."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from cia_bench.errors import printable
from cia_bench.hazards import NOT_CARRIED_OUT
from cia_bench.lexicon import PREFIXES, Lexicon, Opposition, noun_categories
from cia_bench.mining import all_oppositions, phrase_rows

EXAMPLES = 2  # clips of each side that a proposal shows


@dataclass(frozen=True)
class FoundPair:
    """Two opposite phrases of a source."""

    forward: str
    reverse: str
    row: str  # of the lexicon, or what of WordNet says so
    forward_clips: int
    reverse_clips: int
    examples: tuple[str, ...]  # clip ids with their texts


def found_pairs(actions: pd.DataFrame, lexicon: Lexicon | None = None) -> list[FoundPair]:
    """The opposite phrases among `actions` that hand-made and published rows of the lexicon find."""
    return _found(actions, [pair for pair in all_oppositions(actions, lexicon or Lexicon()) if pair.confirmed])


def propose(actions: pd.DataFrame, lexicon: Lexicon | None = None) -> list[FoundPair]:
    """Opposite phrases among `actions` that only WordNet or a prefix finds: to be read by somebody.

    They come from the table wordnet.csv, from prefixes, and from WordNet itself, all senses and synonyms of a verb, if
    nltk finds its corpus (see has_wordnet).
    """
    lexicon = lexicon or Lexicon()
    oppositions = all_oppositions(actions, lexicon)
    told = {frozenset((pair.forward, pair.reverse)) for pair in lexicon.oppositions(actions.verb.unique())}
    verbs = sorted(actions.verb.unique())
    more = (pair for pair in _by_wordnet(verbs, lexicon) if frozenset((pair.forward, pair.reverse)) not in told)
    proposals = [*(pair for pair in oppositions if not pair.confirmed), *more]
    real = [pair for pair in proposals if not NOT_CARRIED_OUT.search(f"{pair.forward} {pair.reverse}")]
    return _found(actions, real)


def _found(actions: pd.DataFrame, oppositions: Sequence[Opposition]) -> list[FoundPair]:
    """The oppositions with their clips, those with most clips on their smaller side first."""
    rows = phrase_rows(actions, {phrase for pair in oppositions for phrase in (pair.forward, pair.reverse)})
    none = rows.get("", [])
    found = []
    for pair in oppositions:
        sides = [rows.get(phrase, none) for phrase in (pair.forward, pair.reverse)]
        shown = [row for side in sides for row in side[:EXAMPLES]]
        examples = tuple(f"{actions.clip_id.iat[row]} ({actions.text.iat[row]})" for row in shown)
        found.append(FoundPair(pair.forward, pair.reverse, pair.row, len(sides[0]), len(sides[1]), examples))
    return sorted(found, key=lambda pair: (-min(pair.forward_clips, pair.reverse_clips), pair.forward, pair.reverse))


def has_wordnet() -> bool:
    """Whether nltk finds WordNet's corpus."""
    import nltk

    for name in ("corpora/wordnet", "corpora/wordnet.zip"):
        try:
            nltk.data.find(name)
        except LookupError:
            continue
        return True
    return False


def _by_wordnet(verbs: Iterable[str], lexicon: Lexicon) -> Iterator[Opposition]:
    """Verbs of one word that are antonyms in WordNet by any sense of the verb or of a synonym of it."""
    if not has_wordnet():
        return
    from nltk.corpus import wordnet

    single = {}
    for verb in verbs:
        head, _, rest = lexicon.normalise(verb).partition(" ")
        single.setdefault((head, rest), verb)
    for (head, rest), verb in single.items():
        senses: dict[str, str] = {}  # of each verb that opposes, the first that says so
        for synset in wordnet.synsets(head, pos=wordnet.VERB):
            for antonym in (antonym for lemma in synset.lemmas() for antonym in lemma.antonyms()):
                other = single.get((antonym.name().replace("_", " "), rest))
                if other and verb < other:
                    senses.setdefault(other, synset.name())
        yield from (Opposition(verb, other, f"WordNet, {sense}", False) for other, sense in senses.items())


def describe_lexicon() -> str:
    """All of the lexicon with its origin: a row a pair, then the prefixes and the noun categories."""
    pairs = Lexicon().pairs
    lines = [_columns("forward", "reverse", "kind", "origin")]
    for pair in pairs:
        lines.append(_columns(pair.forward, pair.reverse, pair.kind, f"{pair.origin} {pair.sense}".rstrip()))
    for prefixes in PREFIXES:
        forward, reverse = (f"{prefix}-<verb>" if prefix else "<verb>" for prefix in prefixes)
        lines.append(_columns(forward, reverse, "verb", "morphology"))
    counts = Counter(pair.origin for pair in pairs)
    lines.append(f"{len(pairs)} pairs: {', '.join(f'{count} {origin}' for origin, count in counts.items())}")
    phrases: dict[str, list[str]] = {}
    for (pair, phrase), category in noun_categories().items():
        phrases.setdefault(f"noun category {category} of {pair or 'all other pairs'}", []).append(phrase)
    lines += [f"{category}: {', '.join(those)}" for category, those in phrases.items()]
    return _text(lines)


def _columns(forward: str, reverse: str, kind: str, origin: str) -> str:
    return f"{forward:<28} {reverse:<28} {kind:<10} {origin}"


def describe_pairs(source: str, actions: pd.DataFrame) -> str:
    """The opposite phrases of a source with their clips and the row that finds them."""
    found = found_pairs(actions)
    lines = [f"{source}: {len(found)} pairs of phrases oppose"]
    return _text(lines + [_told(pair) for pair in found])


def describe_proposals(source: str, actions: pd.DataFrame) -> str:
    """The proposals for a source with example clips."""
    found = propose(actions)
    corpus = "with" if has_wordnet() else "without"
    lines = [f"{source}: {len(found)} proposals, {corpus} WordNet's corpus ($NLTK_DATA/corpora/wordnet)"]
    for pair in found:
        lines += [_told(pair), *(f"    {example}" for example in pair.examples)]
    return _text(lines)


def _told(pair: FoundPair) -> str:
    clips = f"{pair.forward_clips:,} and {pair.reverse_clips:,} clips"
    return f"  {pair.forward} / {pair.reverse}: {clips}, {pair.row}"


def _text(lines: list[str]) -> str:
    return "".join(f"{printable(line)}\n" for line in lines)
