import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from invented import charades_row, charades_rows, write_charades, write_ssv2

from cia_bench.errors import ConfigError
from cia_bench.lexicon import Lexicon, PublishedGroup, published_groups
from cia_bench.mining import MiningSettings, all_oppositions, group_name, mine, slug
from cia_bench.sources import OPTIONAL_COLUMNS, load_source, read_actions
from cia_bench.tables import CANDIDATES, COUNTS

FRIDGE = PublishedGroup("id1", "open", "close", ("fridge",))
TAP = PublishedGroup("id2", "turn-on", "turn-off", ("tap",))
NOTHING = Lexicon([])


def actions(*rows: tuple, **columns) -> pd.DataFrame:
    """Rows of clip id, verb, noun and split."""
    frame = pd.DataFrame(rows, columns=["clip_id", "verb", "noun", "split"])
    frame = frame.assign(video=frame.clip_id + ".mp4", start_s=0.0, stop_s=1.0, text=frame.verb, subject="P01")
    return frame.assign(**{**OPTIONAL_COLUMNS, **columns})


def many(verb: str, noun: str, train: int = 5, validation: int = 2) -> list[tuple]:
    """So many clips of one action in each split."""
    counts = {"train": train, "validation": validation}
    return [(f"{verb}_{noun}_{split}_{n}", verb, noun, split) for split, count in counts.items() for n in range(count)]


def members(mined, group_id: str) -> dict[str, int]:
    clips = mined.clips(pd.Series([group_id]))
    return dict(zip(clips.clip_id, clips.label, strict=True))


def test_the_published_list_ships_with_its_110_groups():
    sizes = {source: len(published_groups(source)) for source in ("ssv2", "epic", "charades")}
    assert sizes == {"ssv2": 16, "epic": 66, "charades": 28}
    fridge = next(group for group in published_groups("epic") if group.published_id == "dc3d5a64")
    assert fridge == PublishedGroup("dc3d5a64", "open", "close", ("fridge",))


def test_clips_of_a_published_group_are_the_rows_whose_verb_and_noun_match_exactly():
    rows = [
        ("a", "open", "fridge", "train"),
        ("b", "close", "fridge", "train"),
        ("c", "open", "door", "train"),  # another noun
        ("d", "open-up", "fridge", "train"),  # another verb
        ("e", "turn-on", "fridge", "train"),  # a pair that is not paired on this noun
        ("f", "turn-off", "tap", "validation"),
    ]
    mined = mine("epic", actions(*rows), [FRIDGE, TAP], NOTHING)
    found = mined.clips(mined.candidates.group_id).sort_values(["group_id", "clip_id"])
    assert found[["group_id", "clip_id", "label"]].values.tolist() == [
        ["epic/open-close/fridge", "a", 1],
        ["epic/open-close/fridge", "b", 0],
        ["epic/turn-on-turn-off/tap", "f", 0],
    ]
    counts = mined.candidates.set_index("group_id")[list(COUNTS)]
    assert counts.loc["epic/open-close/fridge"].tolist() == [1, 1, 0, 0]
    assert counts.loc["epic/turn-on-turn-off/tap"].tolist() == [0, 0, 0, 1]
    assert mined.candidates.lexicon_row.tolist() == ["cia_v1_groups.csv:id1", "cia_v1_groups.csv:id2"]


def test_a_clip_narrated_twice_counts_once_and_may_be_in_several_groups():
    rows = [
        ("a", "open", "fridge", "train"),
        ("a", "open", "fridge", "train"),
        ("a", "turn-on", "tap", "train"),
    ]
    mined = mine("epic", actions(*rows), [FRIDGE, TAP], NOTHING)
    assert mined.clips(mined.candidates.group_id)[["group_id", "clip_id"]].values.tolist() == [
        ["epic/open-close/fridge", "a"],
        ["epic/turn-on-turn-off/tap", "a"],
    ]


def test_a_clip_under_both_labels_keeps_the_first_and_is_listed():
    rows = [("a", "close", "fridge", "train"), ("a", "open", "fridge", "train"), ("b", "open", "fridge", "train")]
    mined = mine("epic", actions(*rows), [FRIDGE], NOTHING)
    assert members(mined, "epic/open-close/fridge") == {"a": 0, "b": 1}
    assert mined.contradictory.to_dict("records") == [{"group_id": "epic/open-close/fridge", "clip_id": "a"}]


def test_new_groups_need_enough_clips_of_both_actions_in_both_splits():
    enough = [*many("fold", "towel"), *many("unfold", "towel")]
    mined = mine("toy", actions(*enough))
    assert mined.candidates.group_id.tolist() == ["toy/fold-unfold/towel"]
    assert mined.candidates.lexicon_row.tolist() == ["pairs.csv:fold/unfold"]
    assert mined.candidates[list(COUNTS)].values.tolist() == [[5, 5, 2, 2]]
    for place in range(len(enough)):
        assert not len(mine("toy", actions(*enough[:place], *enough[place + 1 :])).candidates)
    settings = MiningSettings(min_train_clips=6)
    assert not len(mine("toy", actions(*enough), settings=settings).candidates)
    settings = MiningSettings(min_train_clips=4, min_validation_clips=1)
    assert len(mine("toy", actions(*enough[1:-1]), settings=settings).candidates) == 1


def test_thresholds_below_one_are_refused():
    for name in ("min_train_clips", "min_validation_clips", "min_phrase_clips"):
        with pytest.raises(ConfigError, match=f"{name} 0 is too low"):
            MiningSettings(**{name: 0})


def test_a_published_group_is_not_found_again():
    rows = [*many("open", "fridge"), *many("close", "fridge"), *many("open", "door"), *many("close", "door")]
    mined = mine("epic", actions(*rows), [FRIDGE])
    found = dict(zip(mined.candidates.group_id, mined.candidates.lexicon_row, strict=True))
    assert found == {
        "epic/open-close/fridge": "cia_v1_groups.csv:id1",
        "epic/open-close/door": "pairs.csv:open/close",
    }


def test_verb_classes_stand_for_their_verbs_and_take_the_place_of_pairs_of_them():
    rows = [
        *many("pick-up", "plate", 3, 1),
        *many("grab", "plate", 2, 1),
        *many("put-down", "plate", 5, 2),
        *many("put-on", "plate"),  # opposes take-off, of other classes
        *many("take-off", "plate"),
    ]
    classes = {"pick-up": "take", "grab": "take", "put-down": "put", "put-on": "put", "take-off": "remove"}
    frame = actions(*rows)
    mined = mine("epic", frame.assign(verb_class=frame.verb.map(classes)))
    assert mined.candidates.group_id.tolist() == ["epic/take*-put*/plate", "epic/put-on-take-off/plate"]
    assert mined.candidates.lexicon_row.tolist() == ["pairs.csv:take/put", "pairs.csv:take/put+on/off"]
    taken = members(mined, "epic/take*-put*/plate")
    assert sum(taken.values()) == 7 and len(taken) == 21
    assert {frame.set_index("clip_id").verb[clip] for clip, label in taken.items() if label} == {"pick-up", "grab"}


def test_free_nouns_make_a_group_a_noun_and_one_of_all_that_are_frequent_on_both_sides():
    up, down = "Moving [something] up", "Moving [something] down"
    rows = [*many(up, "pen", 12), *many(down, "pen", 10), *many(up, "A pen", 4), *many(down, "the pen", 9)]
    rows += [*many(up, "cup", 9), *many(down, "cup", 12), *many(up, "red pot holder", 1)]
    mined = mine("ssv2", actions(*rows, start_s=None, stop_s=None), free_nouns=True)
    found = mined.candidates.set_index("noun")[list(COUNTS)]
    assert found.index.tolist() == ["cup", "pen", "any"]
    assert found.loc["pen"].tolist() == [16, 19, 4, 4]  # with and without article
    assert found.loc["any"].tolist() == [12, 10, 2, 2]  # phrases as written: cup has 9 on a side
    lower = mine("ssv2", actions(*rows), free_nouns=True, settings=MiningSettings(min_phrase_clips=9))
    assert lower.candidates.set_index("noun").loc["any", list(COUNTS)].tolist() == [21, 22, 4, 4]


def test_noun_categories_join_phrases_of_the_pair_they_are_for():
    parts = [many("Opening [something]", noun, 3, 1) for noun in ("gate", "a fridge")]
    parts += [many("Closing [something]", noun, 3, 1) for noun in ("door", "oven")]
    parts += [many("Moving [something] up", "fridge"), many("Moving [something] down", "door")]
    rows = [row for part in parts for row in part]
    mined = mine("ssv2", actions(*rows), free_nouns=True)
    assert mined.candidates.group_id.tolist() == ["ssv2/opening-closing/door"]
    assert mined.candidates[list(COUNTS)].values.tolist() == [[6, 6, 2, 2]]


def test_nouns_beside_the_published_phrase_lists_are_groups_of_their_own_with_the_published_labels():
    nouns = ("door", "a cupboard", "lunch box")
    rows = [row for noun in nouns for verb in ("Opening", "Closing") for row in many(f"{verb} [something]", noun)]
    candidates = mine("ssv2", actions(*rows), published_groups("ssv2"), free_nouns=True).candidates
    found = candidates[candidates[list(COUNTS)].gt(0).all(axis="columns")]
    ids = ["ssv2/closing-opening/door", "ssv2/closing-opening/cupboard", "ssv2/closing-opening/lunch-box"]
    assert found.group_id.tolist() == ids and set(found.forward) == {"Closing [something]"}


def test_published_phrase_lists_are_matched_as_written_whatever_their_counts():
    doors = PublishedGroup("d", "Closing [something]", "Opening [something]", ("door", "a door"))
    rows = [
        ("1", "Closing [something]", "door", "train"),
        ("2", "Opening [something]", "a door", "train"),
        ("3", "Opening [something]", "A door", "train"),  # not in the list
        ("4", "Closing [something]", "fridge", "train"),
    ]
    mined = mine("ssv2", actions(*rows), [doors], free_nouns=True)
    assert members(mined, "ssv2/closing-opening/door") == {"1": 1, "2": 0}


def test_several_published_labels_make_one_side():
    box = PublishedGroup(
        "b", "taking a box from somewhere | taking something from a box", "putting a box somewhere", ()
    )
    phrase = load_source("charades").phrase
    rows = [(str(n), *phrase(label), "train") for n, label in enumerate(
        ["Taking a box from somewhere", "Taking something from a box", "Putting a box somewhere", "Opening a box"]
    )]  # fmt: skip
    mined = mine("charades", actions(*rows), [box], NOTHING, split_label=phrase)
    assert mined.candidates.group_id.tolist() == ["charades/taking-from-somewhere-putting-somewhere/box"]
    assert members(mined, mined.candidates.group_id[0]) == {"0": 1, "1": 1, "2": 0}


def test_group_ids_are_plain_and_never_the_same():
    assert slug("Moving [something] away from [something]") == "moving-away-from"
    assert slug("board:chopping") == "board:chopping" and slug("[something]") == "something"
    assert (
        group_name("ssv2", "Opening [something]", "Closing [something]", "t-shirt!") == "ssv2/opening-closing/t-shirt"
    )
    first = PublishedGroup("1", "open", "close", ("a b",))
    second = PublishedGroup("2", "open", "close", ("a-b",))
    mined = mine("toy", actions(("x", "open", "a b", "train")), [first, second], NOTHING)
    assert mined.candidates.group_id.tolist() == ["toy/open-close/a-b", "toy/open-close/a-b~2"]


def test_candidates_are_rows_of_their_table_whatever_was_found(tmp_path):
    for frame in (actions(), actions(("a", "open", "door", "train"))):
        mined = mine("toy", frame)
        CANDIDATES.write(tmp_path / "c.parquet", mined.candidates)
        assert len(mined.clips(mined.candidates.group_id)) == 0


@pytest.fixture(scope="module")
def vocabularies() -> dict[str, list[str]]:
    """The phrases of SSv2's 174 templates and the lines of Charades' 157 classes."""
    names = {"ssv2": "ssv2_templates.txt", "charades": "charades_classes.txt"}
    places = {source: SHARED / "reference" / name for source, name in names.items()}
    if not all(place.is_file() for place in places.values()):
        pytest.skip("the label vocabularies are not beside this checkout (../shared/reference)")
    return {source: place.read_text().splitlines() for source, place in places.items()}


def mine_source(source: str, folder):
    module = load_source(source)
    label = getattr(module, "phrase", lambda text: (text, None))
    frame = read_actions(source, folder).frame
    return mine(source, frame, published_groups(source), split_label=label, free_nouns=source == "ssv2")


NEVER = ("pretend", "fail", "trying", "without", "until", "but ", "doesn't")


def test_ssv2s_templates_give_the_published_pairs_and_eight_more_and_nothing_pretended(vocabularies, tmp_path):
    write_ssv2(tmp_path, vocabularies["ssv2"], 174 * 17 * 14, 174 * 17 * 3)
    candidates = mine_source("ssv2", tmp_path).candidates
    ready = candidates[candidates.ready & (candidates[list(COUNTS)] > 0).all(axis="columns")]
    pairs = {frozenset(pair) for pair in zip(ready.forward, ready.reverse, strict=True)}
    published = {frozenset((group.forward, group.reverse)) for group in published_groups("ssv2")}
    assert len(published) == 11 and published <= pairs
    assert ready.published_id.notna().sum() == 16
    for pair in (
        ("Putting [something] into [something]", "Taking [something] out of [something]"),
        ("Pouring [something] into [something]", "Pouring [something] out of [something]"),
        ("Covering [something] with [something]", "Uncovering [something]"),
        ("Picking [something] up", "Putting [something] on a surface"),
        ("Plugging [something] into [something]", "Pulling [something] out of [something]"),
        ("Moving [something] closer to [something]", "Moving [something] away from [something]"),
        ("Burying [something] in [something]", "Digging [something] out of [something]"),
        ("Putting [something] behind [something]", "Pulling [something] from behind of [something]"),
    ):
        assert frozenset(pair) in pairs, pair
    phrases = " ".join(phrase for pair in pairs for phrase in pair).lower()
    assert not [word for word in NEVER if word in phrases]
    assert candidates.forward[~candidates.ready].str.contains("Pretending").any()  # found, and kept out


def test_charades_classes_give_all_published_groups_and_the_light(vocabularies, tmp_path):
    classes = vocabularies["charades"]
    write_charades(tmp_path, classes, charades_rows(classes, 80, 0, 12), charades_rows(classes, 40, 1000, 5))
    candidates = mine_source("charades", tmp_path).candidates
    ready = candidates[candidates.ready & (candidates[list(COUNTS)] > 0).all(axis="columns")]
    assert ready.published_id.notna().sum() == 28
    new = ready[ready.published_id.isna()]
    assert new.group_id.tolist() == ["charades/turning-on-turning-off/light"]
    # the lexicon finds the published pairs by itself too, but for the class that joins another
    found = {frozenset((pair.forward, pair.reverse)) for pair in all_oppositions(
        read_actions("charades", tmp_path).frame, Lexicon()) if pair.confirmed}  # fmt: skip
    for row in ready.itertuples():
        assert frozenset((row.forward.split(" | ")[0], row.reverse)) in found


def test_opposite_actions_of_a_published_group_are_marked_where_they_overlap_whatever_the_lexicon_says(
    vocabularies, tmp_path
):
    """Putting a box somewhere and taking something from a box oppose by the published list alone."""
    row = charades_row("AAAAA", "S", "c044 1.00 5.00;c042 2.00 6.00")
    mined = mine_source("charades", write_charades(tmp_path, vocabularies["charades"], [row], []))
    clips = mined.clips(mined.candidates.group_id)
    assert sorted(clips.text) == ["Putting a box somewhere", "Taking something from a box"]
    assert clips.hazards.map(lambda names: "overlaps_opposite" in names).all()


def test_the_real_epic_rows_hold_more_than_the_published_groups(epic100):
    mined = mine("epic", read_actions("epic", epic100).frame, published_groups("epic"))
    new = mined.candidates[mined.candidates.published_id.isna()]
    assert len(mined.candidates) - len(new) == 66 and len(new) > 100
    assert {"epic/take*-put*/plate", "epic/open*-close*/milk", "epic/turn-on*-turn-off*/hob"} <= set(new.group_id)
    sizes = np.minimum(new.train_forward, new.train_reverse)
    assert sizes.min() >= MiningSettings.min_train_clips
