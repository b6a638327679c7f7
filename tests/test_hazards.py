import csv

import numpy as np
import pandas as pd
import pytest

from cia_bench.hazards import (
    CLIP_HAZARDS,
    GROUP_HAZARDS,
    action_flags,
    bit,
    group_hazards,
    names_both,
    names_of,
)
from cia_bench.lexicon import Lexicon, VerbPair
from cia_bench.mining import MiningSettings, mine, phrase_rows
from cia_bench.sources import read_actions

ONE_CLIP_IS_ENOUGH = MiningSettings(1, 1, 1)
OPEN_CLOSE = VerbPair("test:open/close", "open", "close", "verb", "hand")


def actions(*rows: dict) -> pd.DataFrame:
    """Actions of one second in video v, of open and fridge, unless a row says otherwise."""
    usual = {
        "video": "v.mp4",
        "start_s": 0.0,
        "stop_s": 1.0,
        "verb": "open",
        "noun": "fridge",
        "split": "train",
        "subject": "P01",
        "verb_class": None,
        "duration_s": np.nan,
        "several_objects": False,
    }
    frame = pd.DataFrame([{"clip_id": f"c{n}", **usual, **row} for n, row in enumerate(rows)])
    if "text" not in frame.columns:
        frame["text"] = frame.verb + " " + frame.noun
    return frame


def opposite(frame: pd.DataFrame, *pairs: tuple[str, str]) -> list[tuple[np.ndarray, np.ndarray]]:
    verbs = frame.verb.to_numpy()
    return [(np.flatnonzero(verbs == one), np.flatnonzero(verbs == other)) for one, other in pairs]


def names(frame: pd.DataFrame, *pairs: tuple[str, str]) -> list[list[str]]:
    return names_of(pd.Series(action_flags(frame, opposite(frame, *pairs))))


def plain_overlaps(frame: pd.DataFrame, pairs: list[tuple[str, str]], same_noun: bool) -> list[bool]:
    """By two loops over all rows: whether each overlaps one of an opposite verb."""
    opposed = {pair for one, other in pairs for pair in ((one, other), (other, one))}
    rows = list(frame.itertuples())
    return [
        any(
            (a.verb, b.verb) in opposed
            and a.video == b.video
            and (a.noun == b.noun or not same_noun)
            and a.start_s < b.stop_s
            and b.start_s < a.stop_s  # never so for a time that is not there
            for b in rows
        )
        for a in rows
    ]


def random_actions(generator: np.random.Generator, count: int) -> pd.DataFrame:
    """Intervals on a coarse grid, so that many touch; some rows are whole files."""
    start = generator.integers(0, 12, count) / 10
    frame = pd.DataFrame(
        {
            "clip_id": [f"c{n}" for n in range(count)],
            "video": generator.choice(["a.mp4", "b.mp4", "c.mp4"], count),
            "start_s": start,
            "stop_s": start + generator.integers(1, 9, count) / 10,
            "verb": generator.choice(["open", "close", "take", "put", "wash"], count),
            "noun": generator.choice(["fridge", "door"], count),
            "split": generator.choice(["train", "validation"], count, p=[0.9, 0.1]),
            "duration_s": generator.choice([np.nan, 1.0, 1.5], count),
            "several_objects": generator.random(count) < 0.2,
        }
    )
    frame[["start_s", "stop_s"]] = frame[["start_s", "stop_s"]].round(1)
    frame.loc[generator.random(count) < 0.1, ["start_s", "stop_s"]] = np.nan
    return frame


def test_the_flags_of_actions_are_those_of_slow_loops():
    generator = np.random.default_rng(0)
    pairs = [("open", "close"), ("take", "put")]
    seen = set()
    for _ in range(100):
        frame = random_actions(generator, int(generator.integers(1, 30)))
        found = action_flags(frame, opposite(frame, *pairs))
        tenths = (frame[["start_s", "stop_s", "duration_s"]] * 10).round()
        rows = [tuple(row) for row in frame[["video", "start_s", "stop_s"]].astype(str).to_numpy()]
        splits = frame.groupby("video").split.agg(set)
        expected = {
            "overlaps_opposite": plain_overlaps(frame, pairs, False),
            "overlaps_opposite_same_noun": plain_overlaps(frame, pairs, True),
            "narrated_twice": [rows.count(row) > 1 for row in rows],
            "short": [stop - start < 5 for start, stop in zip(tenths.start_s, tenths.stop_s, strict=True)],
            "beyond_video": [stop > end for stop, end in zip(tenths.stop_s, tenths.duration_s, strict=True)],
            "several_objects": frame.several_objects.tolist(),
            "video_in_both_splits": [len(splits[video]) == 2 for video in frame.video],
        }
        for hazard, marks in expected.items():
            assert ((found & bit(hazard)) > 0).tolist() == marks, hazard
            seen |= {(hazard, mark) for mark in marks}
        assert not (found & (bit("both_labels") | bit("both_verbs"))).any()  # those are of a clip within a group
    assert len(seen) == 14  # each hazard was there and was not


def test_both_of_two_opposite_actions_that_overlap_are_marked():
    apart = {"verb": "close", "start_s": 1.5, "stop_s": 2.0}
    inside = {"verb": "close", "start_s": 0.2, "stop_s": 0.8}
    frame = actions({}, inside, apart)
    marks = ["overlaps_opposite", "overlaps_opposite_same_noun"]
    assert names(frame, ("open", "close")) == [marks, marks, []]
    assert names(frame, ("close", "open")) == [marks, marks, []]


def test_touching_intervals_do_not_overlap():
    frame = actions({}, {"verb": "close", "start_s": 1.0, "stop_s": 2.0})
    assert names(frame, ("open", "close")) == [[], []]
    frame.loc[1, "start_s"] = 0.99
    assert all(names(frame, ("open", "close")))


def test_times_that_are_equal_on_paper_but_not_as_floats_touch():
    frame = actions({"stop_s": 0.1 + 0.2}, {"verb": "close", "start_s": 0.3, "stop_s": 1.0})
    assert frame.stop_s[0] > frame.start_s[1]
    assert names(frame, ("open", "close"))[1] == []


def test_an_opposite_action_in_another_video_overlaps_nothing():
    frame = actions({}, {"verb": "close", "video": "w.mp4"}, {"verb": "close", "start_s": 900_000.0, "stop_s": 2e6})
    assert names(frame, ("open", "close")) == [[], [], []]


def test_an_opposite_action_on_another_noun_marks_only_the_overlap_of_whatever_noun():
    frame = actions({}, {"verb": "close", "noun": "door"})
    assert names(frame, ("open", "close")) == [["overlaps_opposite", "narrated_twice"]] * 2


def test_whole_files_overlap_nothing():
    frame = actions({"start_s": np.nan, "stop_s": np.nan}, {"verb": "close", "start_s": np.nan, "stop_s": np.nan})
    assert names(frame.assign(video=["a", "b"]), ("open", "close")) == [[], []]
    beside = actions({"start_s": np.nan, "stop_s": np.nan}, {"verb": "close", "start_s": 0.0, "stop_s": 1.0})
    assert names(beside, ("open", "close")) == [[], []]


def test_an_action_of_no_opposite_verb_is_not_marked():
    assert names(actions({"verb": "wash"}, {"verb": "close", "stop_s": 2.0}), ("open", "close")) == [[], []]


def test_on_the_real_validation_file_434_of_3646_take_and_put_segments_overlap_the_opposite_class(epic100):
    frame = read_actions("epic", epic100).frame.query("split == 'validation'").reset_index(drop=True)
    rows = phrase_rows(frame, {"take*", "put*"})
    flags = action_flags(frame, [(rows["take*"], rows["put*"])])
    marked = (flags & bit("overlaps_opposite")) > 0
    assert len(rows["take*"]) + len(rows["put*"]) == 3646
    assert marked.sum() == marked[np.concatenate([rows["take*"], rows["put*"]])].sum() == 434

    overlapping = overlapping_by_loops(epic100 / "EPIC_100_validation.csv")
    assert len(overlapping) == 434
    assert sorted(frame.loc[marked, "clip_id"]) == sorted(overlapping)


def overlapping_by_loops(path) -> list[str]:
    """The published clip ids of the segments of class take (0) or put (1) that overlap one of the other class."""
    videos: dict[str, tuple[list, list]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["verb_class"] in ("0", "1"):
                start, stop = (hundredths(row[name]) for name in ("start_timestamp", "stop_timestamp"))
                place = f"{row['participant_id']}/videos/{row['video_id']}"
                videos.setdefault(place, ([], []))[int(row["verb_class"])].append((start, stop))
    found = []
    for place, classes in videos.items():
        for here, there in (classes, classes[::-1]):
            for start, stop in here:
                if any(start < other_stop and other_start < stop for other_start, other_stop in there):
                    times = [str(np.round(time / 100, 1)) for time in (start, stop)]
                    found.append(f"{place}_{times[0]}_{times[1]}")
    return found


def hundredths(timestamp: str) -> int:
    hours, minutes, seconds = timestamp.split(":")
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 100)


@pytest.mark.parametrize("start, stop", [(1.0, 1.5), (99.8, 100.3), (1.8, 2.3), (0.2, 0.7), (3.6, 4.1), (7.0, 9.0)])
def test_half_a_second_is_not_short_however_the_times_are_rounded(start, stop):
    assert names(actions({"start_s": start, "stop_s": stop})) == [[]]


def test_less_than_half_a_second_is_short():
    assert names(actions({"stop_s": 0.49}, {"start_s": 99.8, "stop_s": 100.299})) == [["short"]] * 2


def test_a_whole_file_is_neither_short_nor_beyond_its_video():
    assert names(actions({"start_s": np.nan, "stop_s": np.nan, "duration_s": 0.1})) == [[]]


def test_an_action_that_ends_with_its_video_is_not_beyond_it():
    as_epic_adds_it_up = 60 + 8.21
    assert as_epic_adds_it_up > 68.21
    at_the_end = {"start_s": 60.0, "stop_s": as_epic_adds_it_up, "duration_s": 68.21}
    assert names(actions(at_the_end, {**at_the_end, "stop_s": 68.22}, {"duration_s": np.nan})) == [
        [],
        ["beyond_video"],
        [],
    ]


def test_an_interval_is_narrated_twice_whatever_was_done_in_it():
    frame = actions({}, {"verb": "wash", "noun": "cup"}, {"stop_s": 1.01}, {"video": "w.mp4"})
    assert names(frame) == [["narrated_twice"], ["narrated_twice"], [], []]


def test_every_action_of_a_video_in_both_splits_is_marked():
    frame = actions({}, {"split": "validation", "start_s": 3.0, "stop_s": 4.0}, {"video": "w.mp4"})
    assert names(frame) == [["video_in_both_splits"]] * 2 + [[]]


def test_no_actions_have_no_flags():
    assert action_flags(actions({}).iloc[:0], []).tolist() == []
    assert names_of(pd.Series([], dtype=np.int16)) == []


def test_names_and_bits_are_each_other_the_other_way_round():
    listed = list(CLIP_HAZARDS)
    every = pd.Series(np.arange(2 ** len(listed)), dtype=np.int16)
    found = names_of(every)
    assert [sum(bit(name) for name in part) for part in found] == every.tolist()
    assert all(part == sorted(part, key=listed.index) for part in found)


def test_all_flags_together_fit_the_column_that_holds_them():
    flags = action_flags(actions({}), [])
    assert sum(bit(name) for name in CLIP_HAZARDS) <= np.iinfo(flags.dtype).max
    assert not set(CLIP_HAZARDS) & set(GROUP_HAZARDS)  # both are listed in one column of a candidate


@pytest.mark.parametrize(
    "text, forward, reverse, expected",
    [
        ("open and close fridge", "open", "close", True),
        ("open fridge", "open", "close", False),
        ("close fridge", "open", "close", False),
        ("Opening, then closing the fridge", "open", "close", True),
        ("reopen and close fridge", "open", "close", False),
        ("turn on and off tap", "turn-on", "turn-off", True),
        ("turn on tap", "turn-on", "turn-off", False),
        ("turn-off and turn-on tap", "turn-on", "turn-off", True),
        ("put in and take out pan", "put-in", "take-out", True),
        ("put pan in", "put-in", "take-out", False),
        ("put away the take away box", "put-in", "take-out", False),
        ("push and push back chair", "push", "push back", False),  # no word is the forward phrase's alone
    ],
)
def test_a_text_names_both_verbs_if_it_has_the_words_by_which_they_differ(text, forward, reverse, expected):
    normalise = Lexicon().normalise
    texts = pd.Series([normalise(text), "stir soup"], index=[7, 3])
    for one, other in ((forward, reverse), (reverse, forward)):
        found = names_both(texts, normalise(one), normalise(other))
        assert found.tolist() == [expected, False] and found.index.tolist() == [7, 3]


def candidate(forward: str = "open", reverse: str = "close", counts: tuple = (10, 10, 10, 10)) -> dict:
    columns = ("train_forward", "train_reverse", "validation_forward", "validation_reverse")
    return {"forward": forward, "reverse": reverse, **dict(zip(columns, counts, strict=True))}


def hazards_of(*rows: dict, share: tuple[str, float] = ("short", 0.0), confirmed: bool = True) -> list[list[str]]:
    shares = pd.DataFrame(0.0, index=range(len(rows)), columns=list(CLIP_HAZARDS)).assign(**dict([share]))
    return group_hazards(pd.DataFrame(rows), shares, pd.Series([confirmed] * len(rows)))


@pytest.mark.parametrize("times", range(1, 60))
def test_a_group_is_lopsided_above_60_percent_and_not_at_it(times):
    at = (3 * times, 2 * times, 30, 20)
    above = (3 * times + 1, 2 * times, 30, 20)
    assert hazards_of(candidate(counts=at), candidate(counts=above)) == [[], ["lopsided"]]
    assert hazards_of(candidate(counts=(above[1], above[0], 20, 30))) == [["lopsided"]]


def test_ten_validation_clips_are_enough_and_nine_are_few():
    rows = [candidate(counts=(5, 5, 5, 5)), candidate(counts=(5, 5, 5, 4)), candidate(counts=(0, 0, 0, 0))]
    assert hazards_of(*rows) == [[], ["few_validation"], ["few_validation"]]


@pytest.mark.parametrize(
    "phrase",
    [
        "Pretending to open [something]",
        "Failing to put [something] into [something]",
        "Trying to bend [something] so nothing happens",
        "pretend to open",
        "fail to open",
        "try to open",
        "Putting [something] on the edge without letting it drop",
        "Tilting [something] until it falls off",
        "Pushing [something] but it rolls back",
        "Attaching [something] that doesn't stick",
    ],
)
def test_a_phrase_of_what_is_not_carried_out_marks_its_group(phrase):
    assert hazards_of(candidate(phrase), candidate("open", phrase)) == [["not_carried_out"]] * 2


@pytest.mark.parametrize("phrase", ["press button", "put within", "unfailingly open", "butter bread", "retry it"])
def test_a_word_that_only_looks_like_one_of_failing_marks_nothing(phrase):
    assert hazards_of(candidate(phrase)) == [[]]


def test_a_pair_that_nobody_has_read_marks_its_group():
    assert hazards_of(candidate(), confirmed=False) == [["proposed_pair"]]


@pytest.mark.parametrize("hazard", CLIP_HAZARDS)
def test_a_hazard_of_more_than_a_fifth_of_the_clips_marks_the_group(hazard):
    for clips in (5, 10, 35, 1000):
        assert hazards_of(candidate(), share=(hazard, (clips // 5) / clips)) == [[]]
        assert hazards_of(candidate(), share=(hazard, (clips // 5 + 1) / clips)) == [[hazard]]


def on_noun(noun: str, counts: tuple[int, int, int, int], few: int = 0, **marked: object) -> list[dict]:
    """Actions on one noun by label and split, each in its own video; `marked` columns are of the first `few`."""
    sides = [(verb, split) for split in ("train", "validation") for verb in ("open", "close")]
    rows = [
        {"verb": verb, "noun": noun, "split": split, "clip_id": f"{noun}/{verb}/{split}/{n}"}
        for (verb, split), count in zip(sides, counts, strict=True)
        for n in range(count)
    ]
    rows = [{**row, "video": f"{row['clip_id']}.mp4"} for row in rows]
    return [{**row, **(marked if number < few else {})} for number, row in enumerate(rows)]


def test_risk_is_the_number_of_group_hazards_and_the_share_of_marked_clips():
    rows = [
        *on_noun("a-sound", (5, 5, 5, 5)),
        *on_noun("b-fifth", (5, 5, 5, 5), few=4, stop_s=0.3),
        *on_noun("c-quarter", (5, 5, 5, 5), few=5, stop_s=0.3, several_objects=True),
        *on_noun("d-lopsided", (8, 5, 6, 4)),
        *on_noun("e-lopsided-few", (8, 2, 4, 4), few=9, duration_s=0.5),
    ]
    found = mine("epic", actions(*rows), [], Lexicon([OPEN_CLOSE]), ONE_CLIP_IS_ENOUGH).candidates
    table = found.assign(noun=found.noun.str[0]).set_index("noun")
    assert table.hazards.to_dict() == {
        "a": [],
        "b": [],
        "c": ["short", "several_objects"],
        "d": ["lopsided"],
        "e": ["lopsided", "few_validation", "beyond_video"],
    }
    assert table.risk.round(6).to_dict() == {"a": 0.0, "b": 0.2, "c": 0.25, "d": 1.0, "e": 2.5}
    assert table.ready.all()


def test_each_clip_carries_its_hazards_in_each_of_its_groups():
    text = ["open and close fridge", "close fridge", "open fridge", "close fridge", "close fridge"]
    frame = actions(
        {"start_s": 0.0, "stop_s": 2.0},
        {"verb": "close", "start_s": 1.0, "stop_s": 1.4},
        {"verb": "open", "split": "validation", "video": "w.mp4", "clip_id": "twice"},
        {"verb": "close", "split": "validation", "video": "w.mp4", "clip_id": "twice"},
        {"verb": "close", "split": "validation", "video": "x.mp4"},
    )
    mined = mine("epic", frame.assign(text=text), [], Lexicon([OPEN_CLOSE]), ONE_CLIP_IS_ENOUGH)
    clips = mined.clips(mined.candidates.group_id)
    overlap = ["overlaps_opposite", "overlaps_opposite_same_noun"]
    assert dict(zip(clips.clip_id, clips.hazards, strict=True)) == {
        "c0": [*overlap, "both_verbs"],
        "c1": [*overlap, "short"],
        "twice": [*overlap, "narrated_twice", "both_labels"],
        "c4": [],
    }
    assert mined.contradictory.to_dict("records") == [{"group_id": "epic/open-close/fridge", "clip_id": "twice"}]
    assert mined.candidates.risk.tolist() == [1 + 3 / 4]  # few_validation, and three of four clips


def test_a_group_of_verb_classes_is_marked_by_the_names_of_the_classes():
    rows = [
        {"verb": verb, "verb_class": verb_class, "split": split, "text": text, "noun": "cup"}
        for split in ("train", "validation")
        for verb, verb_class, text in (
            ("pick-up", "take", "take cup and put it down"),
            ("put-down", "put", "put cup"),
            ("take", "take", "take cup"),
        )
    ]
    frame = actions(*rows).assign(video=[f"{n}.mp4" for n in range(6)])
    mined = mine("epic", frame, [], Lexicon([VerbPair("t", "take", "put", "verb", "hand")]), ONE_CLIP_IS_ENOUGH)
    assert mined.candidates[["forward", "reverse"]].to_numpy().tolist() == [["take*", "put*"]]
    clips = mined.clips(mined.candidates.group_id)
    assert clips.hazards.tolist() == [["both_verbs"], [], []] * 2


def test_what_was_not_carried_out_or_only_proposed_is_not_ready_for_review():
    verbs = ("open", "close", "pretending to open", "pretending to close", "raise", "lower")
    rows = [
        {"verb": verb, "split": split, "video": f"{verb}{split}{n}.mp4"}
        for verb in verbs
        for split in ("train", "validation")
        for n in range(5)
    ]
    proposed = VerbPair("wordnet.csv:x", "raise", "lower", "verb", "wordnet")
    found = mine("epic", actions(*rows), [], Lexicon([OPEN_CLOSE, proposed]), ONE_CLIP_IS_ENOUGH).candidates
    assert dict(zip(found.forward, zip(found.hazards, found.risk, found.ready, strict=True), strict=True)) == {
        "open": ([], 0.0, True),
        "pretending to open": (["not_carried_out"], 1.0, False),
        "raise": (["proposed_pair"], 1.0, False),
    }


def test_no_candidates_have_no_hazards():
    mined = mine("epic", actions({}), [], Lexicon([OPEN_CLOSE]), ONE_CLIP_IS_ENOUGH)
    assert len(mined.candidates) == 0 and len(mined.clips(mined.candidates.group_id)) == 0
