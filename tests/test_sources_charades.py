from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from invented import CHARADES_COLUMNS, charades_row, charades_rows, write_charades

from cia_bench.errors import AnnotationError
from cia_bench.files import sha256_of
from cia_bench.sources import charades, read_actions

TRAIN, TEST, CLASSES_FILE = "Charades_v1_train.csv", "Charades_v1_test.csv", "Charades_v1_classes.txt"
HINT = "; mend it, or leave out such rows with --skip-bad-rows"
CLASSES = [
    "c006 Closing a door",
    "c008 Opening a door",
    "c043 Taking a box from somewhere",
    "c044 Taking something from a box",
    "c148 Someone is dressing",
]


def write(folder: Path, *train: list[str], test: tuple = (), classes: list[str] = CLASSES) -> Path:
    return write_charades(folder, classes, list(train), list(test))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_charades(tmp_path, CLASSES, charades_rows(CLASSES, 6, 0, 4), charades_rows(CLASSES, 4, 6, 2))


def insert(folder: Path, name: str, line: str, row: int) -> None:
    """Put a line into a file as its row `row`, the header being row 1."""
    lines = (folder / name).read_text().splitlines(keepends=True)
    (folder / name).write_text("".join([*lines[: row - 1], line, *lines[row - 1 :]]), newline="")


def refused(folder: Path) -> str:
    with pytest.raises(AnnotationError) as error:
        read_actions("charades", folder)
    assert str(error.value).isprintable()
    return str(error.value)


def test_an_entry_becomes_one_action(tmp_path):
    folder = write(tmp_path, charades_row("YSKX3", "H0WW", "c043 12.06 16.55;c148 0.00 3.00", "33.75"))
    frame = read_actions("charades", folder).frame
    assert len(frame) == 2
    assert frame.drop(columns="verb_class").iloc[0].to_dict() == {
        "clip_id": "YSKX3_12.1_16.6",
        "video": "YSKX3.mp4",
        "start_s": 12.06,
        "stop_s": 16.55,
        "verb": "taking [something] from somewhere",
        "noun": "box",
        "text": "Taking a box from somewhere",
        "split": "train",
        "subject": "H0WW",
        "duration_s": 33.75,
        "several_objects": False,
    }
    assert frame.verb_class.isna().all()
    assert frame.iloc[1][["clip_id", "verb", "noun"]].tolist() == ["YSKX3_0.0_3.0", "someone is dressing", "someone"]


@pytest.mark.parametrize(
    ("action", "length", "clip_id"),
    [
        ("c006 0.25 0.35", "31.00", "AAAAA_0.2_0.4"),  # halves go to the even neighbour, as far as the float is half
        ("c006 1.05 2.5", "31.00", "AAAAA_1.0_2.5"),
        ("c006 0 12.99", "31.00", "AAAAA_0.0_13.0"),
        ("c006 007 8", "31.00", "AAAAA_7.0_8.0"),
        ("c006 11.90 32.00", "31.54", "AAAAA_11.9_31.5"),  # the id's end is cut to the length
        ("c006 11.90 32.00", "31", "AAAAA_11.9_31.0"),
    ],
)
def test_ids_are_as_published(action, length, clip_id, tmp_path):
    frame = read_actions("charades", write(tmp_path, charades_row("AAAAA", "S", action, length))).frame
    assert frame.clip_id.tolist() == [clip_id]
    assert frame.stop_s.tolist() == [float(action.split()[2])]  # which the interval keeps
    start_s, stop_s = (float(text) for text in action.split()[1:])
    numbers = [str(np.round(time, 1)) for time in (start_s, min(stop_s, float(length)))]
    assert clip_id == "AAAAA_" + "_".join(numbers)


def test_a_video_without_actions_gives_none(tmp_path):
    rows = [charades_row("AAAAA", "S", ""), charades_row("BBBBB", "S", "c006 1.0 2.0")]
    assert read_actions("charades", write(tmp_path, *rows)).frame.video.tolist() == ["BBBBB.mp4"]
    assert len(read_actions("charades", write(tmp_path, rows[0])).frame) == 0


def test_texts_with_commas_quotes_and_line_breaks_do_not_shift_rows(tmp_path):
    row = charades_row("AAAAA", "S", "c006 1.0 2.0")
    row[6] = 'says "no, no";\nleaves\r\n\n'
    folder = write(tmp_path, row, charades_row("BBBBB", "S", "c008 1.0 2.0"))
    assert (folder / TRAIN).read_text().count("\n") == 6
    assert read_actions("charades", folder).frame.clip_id.tolist() == ["AAAAA_1.0_2.0", "BBBBB_1.0_2.0"]
    write(tmp_path, row, charades_row("BBBBB", "S", "c008 2.0 1.0"))
    assert f"{TRAIN} row 3: action 'c008 2.0 1.0' of video 'BBBBB'" in refused(folder)


def test_a_phrase_is_the_class_with_its_object_taken_out():
    phrases = {
        "Holding a bag": ("holding [something]", "bag"),
        "Putting a bag somewhere": ("putting [something] somewhere", "bag"),
        "Taking a bag from somewhere": ("taking [something] from somewhere", "bag"),
        "Putting clothes somewhere": ("putting [something] somewhere", "clothes"),
        "Taking some clothes from somewhere": ("taking [something] from somewhere", "clothes"),
        "Putting a towel/s somewhere": ("putting [something] somewhere", "towel"),
        "Taking a towel/s from somewhere": ("taking [something] from somewhere", "towel"),
        "Tidying up a blanket/s": ("tidying up [something]", "blanket"),
        "Putting a dish/es somewhere": ("putting [something] somewhere", "dish"),
        "Taking a dish/es from somewhere": ("taking [something] from somewhere", "dish"),
        "Wash a dish/dishes": ("wash [something]", "dish"),
        "Holding a shoe/shoes": ("holding [something]", "shoe"),
        "Putting shoes somewhere": ("putting [something] somewhere", "shoe"),
        "Taking shoes from somewhere": ("taking [something] from somewhere", "shoe"),
        "Putting on shoe/shoes": ("putting on [something]", "shoe"),
        "Taking off some shoes": ("taking off [something]", "shoe"),
        "Holding a cup/glass/bottle of something": ("holding [something] of something", "cup/glass/bottle"),
        "Putting a cup/glass/bottle somewhere": ("putting [something] somewhere", "cup/glass/bottle"),
        "Taking a cup/glass/bottle from somewhere": ("taking [something] from somewhere", "cup/glass/bottle"),
        "Pouring something into a cup/glass/bottle": ("pouring something into [something]", "cup/glass/bottle"),
        "Taking a box from somewhere": ("taking [something] from somewhere", "box"),
        "Taking something from a box": ("taking something from [something]", "box"),
        "Opening a closet/cabinet": ("opening [something]", "closet/cabinet"),
        "Closing a closet/cabinet": ("closing [something]", "closet/cabinet"),
        "Turning on a light": ("turning on [something]", "light"),
        "Turning off a light": ("turning off [something]", "light"),
        "Putting their paper/notebook somewhere": ("putting [something] somewhere", "paper/notebook"),
        "Taking paper/notebook from somewhere": ("taking [something] from somewhere", "paper/notebook"),
        "Sitting in a chair": ("sitting in [something]", "chair"),
        "Putting groceries somewhere": ("putting [something] somewhere", "groceries"),
        "Putting something on a table": ("putting something on [something]", "table"),
        "Watching something/someone/themselves in a mirror": (
            "watching something/someone/themselves in [something]",
            "mirror",
        ),
        "Reaching for and grabbing a picture": ("reaching for and grabbing [something]", "picture"),
        "Someone is standing up from somewhere": ("someone is standing up from somewhere", "someone"),
        "Someone is going from standing to sitting": ("someone is going from standing to sitting", "someone"),
        "Someone is awakening somewhere": ("someone is awakening somewhere", "someone"),
        "Someone is awakening in bed": ("someone is awakening in [something]", "bed"),
        "Someone is holding a paper/notebook": ("someone is holding [something]", "paper/notebook"),
        "Someone is dressing": ("someone is dressing", "someone"),
        "Someone is undressing": ("someone is undressing", "someone"),
        "Someone is cooking something": ("someone is cooking [something]", "something"),
    }
    assert {label: charades.phrase(label) for label in phrases} == phrases


def test_opposite_classes_have_one_noun():
    for one, other in (
        ("Putting a dish/es somewhere", "Taking a dish/es from somewhere"),
        ("Putting on shoe/shoes", "Taking off some shoes"),
        ("Putting shoes somewhere", "Taking shoes from somewhere"),
        ("Putting some food somewhere", "Taking food from somewhere"),
        ("Putting their paper/notebook somewhere", "Taking paper/notebook from somewhere"),
        ("Putting clothes somewhere", "Taking some clothes from somewhere"),
    ):
        assert charades.phrase(one)[1] == charades.phrase(other)[1]


def test_every_real_class_keeps_its_words(tmp_path):
    path = SHARED / "reference" / "charades_classes.txt"
    if not path.is_file():
        pytest.skip("the list of real classes is not beside this checkout (../shared/reference)")
    lines = path.read_text().splitlines()
    assert len(lines) == 157
    for line in lines:
        verb, noun = charades.phrase(line[5:])
        assert verb == verb.strip().casefold() and noun.strip() and " " not in noun
        assert verb.count("[something]") == (noun != "someone")
        if noun == "someone":
            assert verb == line[5:].casefold() and verb.startswith("someone is ")
            continue
        before, after = verb.split("[something]")
        assert line[5:].casefold().startswith(before) and line[5:].casefold().endswith(after)
        middle = line[5:].casefold()[len(before) : len(line) - 5 - len(after)]
        assert middle.split(" ")[-1].startswith(noun)
        assert middle.split(" ")[:-1] in ([], ["a"], ["the"], ["some"], ["their"])
    frame = read_actions("charades", write_charades(tmp_path, lines, charades_rows(lines, 9, 0, 2), [])).frame
    assert frame.text.value_counts().tolist() == [2] * 157


def test_a_clip_id_names_its_interval_again(folder):
    assert charades.interval("YSKX3_12.1_16.6") == ("YSKX3.mp4", 12.1, 16.6)
    for row in read_actions("charades", folder).frame.itertuples():
        video, start_s, stop_s = charades.interval(row.clip_id)
        assert video == row.video and (start_s, stop_s) == pytest.approx((row.start_s, row.stop_s), abs=0.0500001)


@pytest.mark.parametrize(
    "clip_id",
    ["", "YSKX3", "YSKX3_12.1", "YSKX_12.1_16.6", "yskx3_12.1_16.6", "YSKX3_12_16", "YSKX3_1.1_2.25", "YSKX3_-1.0_2.0"]
    + ["YSKX3_12.1_16.6\n", "../YSKX3_12.1_16.6", "YSKX3_١.1_2.0", "YSKX3_1.0_inf", "YSKX3_1.0_nan", "YSKX3_1e5_2.0"],
)
def test_other_ids_name_no_interval(clip_id):
    with pytest.raises(ValueError, match="is not like YSKX3_12.1_16.6"):
        charades.interval(clip_id)


LIKE = "of video 'ZZZZZ' are not like 'c092 11.90 21.20;c147 0.00 12.60'"
BAD_ROWS = [
    ("ZZZZZ,S,c006 2.0 1.0", "action 'c006 2.0 1.0' of video 'ZZZZZ' stops before it starts"),
    ("ZZZZZ,S,c006 2.0 2.0", "action 'c006 2.0 2.0' of video 'ZZZZZ' stops before it starts"),
    ("ZZZZZ,S,c006 31.0 32.0", "action 'c006 31.0 32.0' of video 'ZZZZZ' starts after its length '31.00'"),
    ("ZZZZZ,S,c999 1.0 2.0", f"action 'c999 1.0 2.0' of video 'ZZZZZ': its class is not in {CLASSES_FILE}"),
    ("ZZZZZ,S,c006 -1.0 2.0", f"actions 'c006 -1.0 2.0' {LIKE}"),
    ("ZZZZZ,S,c006 nan 2.0", f"actions 'c006 nan 2.0' {LIKE}"),
    ("ZZZZZ,S,c006 0.0 inf", f"actions 'c006 0.0 inf' {LIKE}"),
    ("ZZZZZ,S,c006 0.0 1e3", f"actions 'c006 0.0 1e3' {LIKE}"),
    ("ZZZZZ,S,c006 0.0 " + "9" * 9, f"actions 'c006 0.0 999999999' {LIKE}"),
    ("ZZZZZ,S,c006 0.0 " + "9" * 500, "actions 'c006 0.0 999"),
    ("ZZZZZ,S,c006 1,", "has 12 fields, the header 11"),
    ("ZZZZZ,S,c006 1.0", f"actions 'c006 1.0' {LIKE}"),
    ("ZZZZZ,S,c006 1.0 2.0 3.0", f"actions 'c006 1.0 2.0 3.0' {LIKE}"),
    ("ZZZZZ,S,c006 1.0 2.0;", f"actions 'c006 1.0 2.0;' {LIKE}"),
    ("ZZZZZ,S,c006  1.0 2.0", f"actions 'c006  1.0 2.0' {LIKE}"),
    ("ZZZZZ,S, ", f"actions ' ' {LIKE}"),
    ("ZZZZZ,S,c006 ١.0 2.0", f"actions 'c006 ١.0 2.0' {LIKE}"),
    ("ZZZZZ,S,c٠٠6 1.0 2.0", f"actions 'c٠٠6 1.0 2.0' {LIKE}"),
    ('ZZZZZ,S,"c006 1.0 2.0\n"', rf"actions 'c006 1.0 2.0\n' {LIKE}"),
    ("ZZZZ,S,c006 1.0 2.0", "id 'ZZZZ' is not like YSKX3"),
    ("zzzzz,S,c006 1.0 2.0", "id 'zzzzz' is not like YSKX3"),
    (",S,c006 1.0 2.0", "id '' is not like YSKX3"),
    ("../ZZ,S,c006 1.0 2.0", "id '../ZZ' is not like YSKX3"),
    ("/ZZZZ,S,c006 1.0 2.0", "id '/ZZZZ' is not like YSKX3"),
    ("ZZZZ\0,S,c006 1.0 2.0", r"id 'ZZZZ\x00' is not like YSKX3"),
    ("ZZZ١٢,S,c006 1.0 2.0", "id 'ZZZ١٢' is not like YSKX3"),
    ("AAAAA,S,c006 1.0 2.0", "id 'AAAAA' stands in an earlier row too"),
    ("ZZZZZ,,c006 1.0 2.0", "video 'ZZZZZ' has no subject"),
    ("ZZZZZ", "it has 1 fields, the header 11"),
    ("", "it has 0 fields, the header 11"),
]


def as_line(short: str) -> str:
    parts = short.split(",", 2)
    if len(parts) < 3:
        return short + "\n"
    video, subject, actions = parts
    return f'{video},{subject},Kitchen,6,7,Yes,"a, ""b""",box,d,{actions},31.00\n'


@pytest.mark.parametrize(("short", "message"), BAD_ROWS)
def test_a_bad_row_is_named_with_its_file_or_skipped(short, message, folder):
    expected = read_actions("charades", folder).frame
    insert(folder, TRAIN, as_line(short), 5)
    refusal = refused(folder)
    assert refusal.startswith(f"{folder / TRAIN} row 5: ") and message in refusal and refusal.endswith(HINT)
    skipping = read_actions("charades", folder, skip_bad_rows=True)
    assert [(fault["file"], fault["row"]) for fault in skipping.skipped] == [(TRAIN, 5)]
    assert message in skipping.skipped[0]["reason"]
    pd.testing.assert_frame_equal(skipping.frame, expected)


@pytest.mark.parametrize("length", ["", "x", "-3", "nan", "inf", "1e3", "٣١", "9" * 9])
def test_a_length_that_is_no_time_is_named(length, folder):
    insert(folder, TRAIN, f"ZZZZZ,S,a,a,a,a,a,a,a,c006 1.0 2.0,{length}\n", 2)
    assert f"{TRAIN} row 2: length '{length}' of video 'ZZZZZ' is no number of seconds" in refused(folder)


def test_of_a_row_only_the_bad_actions_are_skipped(tmp_path):
    actions = "c006 1.0 2.0;c999 1.0 2.0;c008 9.0 3.0;c008 3.0 4.0"
    folder = write(tmp_path, charades_row("AAAAA", "S", actions))
    actions = read_actions("charades", folder, skip_bad_rows=True)
    assert actions.frame.clip_id.tolist() == ["AAAAA_1.0_2.0", "AAAAA_3.0_4.0"]
    assert [(fault["row"], fault["reason"][:20]) for fault in actions.skipped] == [
        (2, "action 'c999 1.0 2.0"),
        (2, "action 'c008 9.0 3.0"),
    ]


def test_a_video_of_both_splits_is_refused_in_the_test_file(folder):
    expected = read_actions("charades", folder).frame
    insert(folder, TEST, as_line("AAAAA,S,c006 1.0 2.0"), 3)
    assert refused(folder) == f"{folder / TEST} row 3: video 'AAAAA.mp4' is in {TRAIN} too{HINT}"
    pd.testing.assert_frame_equal(read_actions("charades", folder, skip_bad_rows=True).frame, expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c01 Fixing a door", "'c01 Fixing a door' is not like 'c000 Holding some clothes'"),
        ("c010", "'c010' is not like"),
        ("c010 ", "'c010 ' is not like"),
        ("", "'' is not like"),
        ("c٠١٠ Fixing a door", "'c٠١٠ Fixing a door' is not like"),
        ("c006 Fixing a door", "class 'c006' stands in an earlier row too"),
    ],
)
def test_a_bad_class_is_named_or_skipped(line, message, folder):
    expected = read_actions("charades", folder).frame
    insert(folder, CLASSES_FILE, line + "\n", 3)
    assert f"{CLASSES_FILE} row 3: {message}" in refused(folder)
    skipping = read_actions("charades", folder, skip_bad_rows=True)
    assert [(fault["file"], fault["row"]) for fault in skipping.skipped] == [(CLASSES_FILE, 3)]
    pd.testing.assert_frame_equal(skipping.frame, expected)


@pytest.mark.parametrize("name", [TRAIN, TEST, CLASSES_FILE])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("é".encode("latin-1"), "is not UTF-8 text: unexpected end of data at byte 0, in line 1"),
        ("c000 Holding".encode("utf-16"), "is not UTF-8 text: invalid start byte at byte 0, in line 1"),
        (b"a\nb\nc\xff", "is not UTF-8 text: invalid start byte at byte 5, in line 3"),
    ],
)
def test_text_in_another_encoding_is_refused_even_when_skipping(name, content, message, folder):
    (folder / name).write_bytes(content)
    with pytest.raises(AnnotationError) as error:
        read_actions("charades", folder, skip_bad_rows=True)
    assert str(error.value) == f"{folder / name} {message}"


@pytest.mark.parametrize("column", ["id", "subject", "actions", "length"])
def test_a_missing_column_is_named_even_when_skipping(column, folder):
    text = (folder / TEST).read_text()
    assert CHARADES_COLUMNS.count(column) == 1
    header, rows = text.split("\n", 1)
    names = ["other" if name == column else name for name in header.split(",")]
    (folder / TEST).write_text(",".join(names) + "\n" + rows)
    with pytest.raises(AnnotationError, match=f"{TEST} lacks column {column}; it has "):
        read_actions("charades", folder, skip_bad_rows=True)


def test_a_file_cut_anywhere_is_refused_or_ends_earlier(folder):
    whole = read_actions("charades", folder).frame
    content = (folder / TRAIN).read_bytes()
    ends = 0
    for length in range(0, len(content), 11):
        (folder / TRAIN).write_bytes(content[:length])
        try:
            frame = read_actions("charades", folder).frame
        except AnnotationError as error:
            assert str(folder / TRAIN) in str(error) and str(error).isprintable()
            continue
        ends += 1  # between rows, or within the last field, a number
        train = frame[frame.split == "train"].drop(columns=["duration_s", "clip_id"])
        expected = whole[: len(train)].drop(columns=["duration_s", "clip_id"])
        pd.testing.assert_frame_equal(train, expected)
    assert ends < 10


def test_empty_files_are_refused(folder):
    for name in (TRAIN, TEST):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(b"")
        assert f"{folder / name} lacks column id, subject, actions, length; it has none" in refused(folder)
        (folder / name).write_bytes(content)
    (folder / CLASSES_FILE).write_bytes(b"")
    assert f"its class is not in {CLASSES_FILE}" in refused(folder)
    assert len(read_actions("charades", folder, skip_bad_rows=True).frame) == 0


def test_missing_files_are_named_with_where_to_get_them(folder):
    (folder / CLASSES_FILE).unlink()
    assert f"lacks {CLASSES_FILE}; they are in Charades.zip, https://prior.allenai.org" in refused(folder)


def test_broken_rows_of_the_release_itself_are_skipped_without_being_asked_to(folder, monkeypatch):
    expected = read_actions("charades", folder).frame
    insert(folder, TRAIN, as_line("ZZZZZ,S,c006 2.0 1.0"), 2)
    monkeypatch.setitem(charades.RELEASED, TRAIN, sha256_of(folder / TRAIN))
    actions = read_actions("charades", folder)
    assert [(fault["file"], fault["row"]) for fault in actions.skipped] == [(TRAIN, 2)]
    pd.testing.assert_frame_equal(actions.frame, expected)
    insert(folder, TEST, as_line("ZZZZY,S,c006 2.0 1.0"), 2)
    assert f"{TEST} row 2: " in refused(folder)
