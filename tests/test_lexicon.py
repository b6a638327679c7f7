import pytest

from cia_bench.lexicon import (
    CONFIRMED,
    KINDS,
    Lexicon,
    VerbPair,
    noun_categories,
    plain_noun,
    published_groups,
    read_pairs,
)


def pair(forward: str, reverse: str, kind: str = "verb", origin: str = "hand") -> VerbPair:
    return VerbPair(f"t.csv:{forward}/{reverse}", forward, reverse, kind, origin)


def found(phrases: list[str], *pairs: VerbPair) -> list[tuple]:
    oppositions = Lexicon(pairs).oppositions(phrases)
    return [(one.forward, one.reverse, one.row) for one in oppositions if one.confirmed]


def test_every_row_has_an_origin_and_a_kind_and_no_pair_stands_twice():
    pairs = read_pairs()
    assert {one.origin for one in pairs} == {"hand", "published", "wordnet"}
    assert {one.kind for one in pairs} == set(KINDS)
    hand = [frozenset((one.forward, one.reverse)) for one in pairs if one.origin in CONFIRMED]
    assert len(hand) == len(set(hand)) > 50
    assert all(len(terms) == 2 for terms in hand)
    assert len({one.row for one in pairs}) == len(pairs)


def test_the_hand_list_takes_the_place_of_wordnets_row():
    rows = {frozenset((one.forward, one.reverse)): one.origin for one in reversed(read_pairs())}
    assert rows[frozenset(("open", "close"))] == "hand"
    assert rows[frozenset(("push", "pull"))] == "wordnet"


def test_noun_categories_hold_the_published_phrase_lists():
    categories = noun_categories()
    for group in published_groups("ssv2"):
        for noun in group.nouns:
            assert categories["pairs.csv:open/close", plain_noun(noun)] == group.nouns[0]


def test_a_noun_loses_case_and_articles_but_never_all():
    assert [plain_noun(noun) for noun in ("A door", "the  Red pot", "a", "")] == ["door", "red pot", "a", ""]


@pytest.mark.parametrize(
    ("phrase", "normal"),
    [
        ("Putting [something] into [something]", "put [something] into [something]"),
        ("put-down", "put down"),
        ("Someone is dressing", "dress"),
        ("Closing a door", "close door"),
        ("Someone is going from standing to sitting", "go from stand to sit"),
        ("Taking [one of many similar things on the table]", "take [one of many similar things on the table]"),
        ("Digging [something] out, of [something]", "dig [something] out of [something]"),
        ("Frobbing [something]", "frobbing [something]"),  # a verb the lexicon does not know
    ],
)
def test_phrases_are_normalised_lightly(phrase, normal):
    assert Lexicon().normalise(phrase) == normal


def test_a_term_is_swapped_as_whole_words_only():
    up = pair("up", "down", "direction")
    assert found(["move up", "move down"], up) == [("move up", "move down", "t.csv:up/down")]
    assert found(["move upwards", "move downwards"], up) == []
    assert found(["put a cup", "put a cdown"], up) == []


def test_which_phrase_has_label_1_is_the_lexicons_word_not_the_alphabets():
    assert found(["a unfold", "a fold"], pair("fold", "unfold")) == [("a fold", "a unfold", "t.csv:fold/unfold")]
    assert found(["a unfold", "a fold"], pair("unfold", "fold")) == [("a unfold", "a fold", "t.csv:unfold/fold")]


def test_a_gap_keeps_the_words_between():
    row = pair("put … into", "pull … out of")
    assert found(["Putting [part] of it into [something]", "Pulling [part] of it out of [something]"], row)
    assert not found(["Putting [part] into [something]", "Pulling [something] out of [something]"], row)
    cover = pair("cover … with [something]", "uncover …")
    assert found(["Covering [something] with [something]", "Uncovering [something]"], cover)
    assert not found(["Covering [something]", "Uncovering [something]"], cover)


def test_a_verb_and_a_direction_may_be_swapped_together_but_two_verbs_not():
    take, out = pair("take", "put"), pair("into", "out of", "direction")
    phrases = ["put into", "take out of"]
    assert found(phrases, take, out) == [("put into", "take out of", "t.csv:take/put+into/out of")]
    assert not found(phrases, take) and not found(phrases, out)
    assert not found(["open put", "close take"], take, pair("open", "close"))
    assert not found(["up into", "down out of"], pair("up", "down", "direction"), out)


def test_a_direction_that_only_the_swap_of_the_verb_brings_in_is_not_swapped():
    up, down = pair("up", "down", "direction"), pair("increase", "turn down")
    assert found(["increase", "turn down"], up, down) == [("increase", "turn down", down.row)]
    assert not found(["increase", "turn up"], up, down)
    assert not found(["pick up", "set up"], up, pair("pick up", "set down"))
    assert not found(["pick [something] up", "set [something] up"], up, pair("pick … up", "set … down"))
    take = pair("take", "put")
    assert found(["put [something] down", "take [something] up"], up, take)


def test_a_whole_phrase_row_matches_nothing_longer():
    row = pair("stand on [something]", "sit in [something]", "phrase", "published")
    assert found(["Standing on [something]", "Sitting in [something]"], row)
    assert not found(["Standing on [something] now", "Sitting in [something] now"], row)


def test_one_row_beats_two_and_confirmed_beats_wordnet():
    rows = [pair("open", "shut", origin="wordnet"), pair("open", "shut")]
    assert [one.confirmed for one in Lexicon(rows).oppositions(["open", "shut"])] == [True]
    direct = pair("take out", "put in")
    both = [pair("take", "put"), pair("in", "out", "direction"), direct]
    assert found(["take out", "put in"], *both) == [("take out", "put in", direct.row)]


def test_wordnet_and_prefixes_only_propose():
    phrases = ["load", "unload", "assemble", "disassemble", "reseal", "unseal", "push", "pull", "it", "unit"]
    found = Lexicon([pair("pull", "push", origin="wordnet")]).oppositions(phrases)
    assert {(one.forward, one.reverse): one.confirmed for one in found} == {
        ("load", "unload"): False,
        ("assemble", "disassemble"): False,
        ("reseal", "unseal"): False,
        ("pull", "push"): False,
    }
    assert {one.row for one in found if one.forward == "reseal"} == {"morphology:re-/un-"}


def test_oppositions_do_not_depend_on_the_order_of_phrases():
    phrases = ["put-in", "take-out", "put", "take", "open", "close", "shut", "turn-on", "turn-off"]
    assert Lexicon().oppositions(phrases) == Lexicon().oppositions(reversed(phrases))
