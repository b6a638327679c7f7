import pandas as pd

from cia_bench.lexicon import LexiconRow, published_rows
from cia_bench.mining import mine

FRIDGE = LexiconRow("list.csv:1", "open", "close", "fridge", "id1")
TAP = LexiconRow("list.csv:2", "turn-on", "turn-off", "tap", "id2")


def actions(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Rows of clip id, verb, noun and split."""
    frame = pd.DataFrame(rows, columns=["clip_id", "verb", "noun", "split"])
    return frame.assign(video="v.mp4", start_s=0.0, stop_s=1.0, text=frame.verb, subject="P01")


def test_the_published_list_ships_with_its_110_groups():
    sizes = {source: len(published_rows(source)) for source in ("ssv2", "epic", "charades")}
    assert sizes == {"ssv2": 16, "epic": 66, "charades": 28}
    fridge = next(row for row in published_rows("epic") if row.published_id == "dc3d5a64")
    assert fridge == LexiconRow("cia_v1_groups.csv:dc3d5a64", "open", "close", "fridge", "dc3d5a64")


def test_clips_are_the_rows_whose_verb_and_noun_match_exactly():
    rows = [
        ("a", "open", "fridge", "train"),
        ("b", "close", "fridge", "train"),
        ("c", "open", "door", "train"),  # another noun
        ("d", "open-up", "fridge", "train"),  # another verb
        ("e", "turn-on", "fridge", "train"),  # a pair that is not paired on this noun
        ("f", "turn-off", "tap", "validation"),
    ]
    mined = mine("epic", actions(*rows), [FRIDGE, TAP])
    found = mined.clips[["group_id", "clip_id", "label"]].values.tolist()
    assert found == [
        ["epic/open-close/fridge", "a", 1],
        ["epic/open-close/fridge", "b", 0],
        ["epic/turn-on-turn-off/tap", "f", 0],
    ]
    counts = mined.candidates.set_index("group_id")[
        ["train_forward", "train_reverse", "validation_forward", "validation_reverse"]
    ]
    assert counts.loc["epic/open-close/fridge"].tolist() == [1, 1, 0, 0]
    assert counts.loc["epic/turn-on-turn-off/tap"].tolist() == [0, 0, 0, 1]
    assert mined.candidates.lexicon_row.tolist() == ["list.csv:1", "list.csv:2"]


def test_a_clip_narrated_twice_counts_once_and_may_be_in_several_groups():
    rows = [
        ("a", "open", "fridge", "train"),
        ("a", "open", "fridge", "train"),
        ("a", "turn-on", "tap", "train"),
    ]
    clips = mine("epic", actions(*rows), [FRIDGE, TAP]).clips
    assert clips[["group_id", "clip_id"]].values.tolist() == [
        ["epic/open-close/fridge", "a"],
        ["epic/turn-on-turn-off/tap", "a"],
    ]


def test_a_clip_under_both_labels_keeps_the_first_and_is_listed():
    rows = [("a", "close", "fridge", "train"), ("a", "open", "fridge", "train"), ("b", "open", "fridge", "train")]
    mined = mine("epic", actions(*rows), [FRIDGE])
    assert mined.clips[["clip_id", "label"]].values.tolist() == [["a", 0], ["b", 1]]
    assert mined.contradictory.to_dict("records") == [{"group_id": "epic/open-close/fridge", "clip_id": "a"}]
