from pathlib import Path

import pandas as pd
import pytest
from conftest import SAMPLE

from cia_bench.errors import AnnotationError, ConfigError
from cia_bench.files import sha256_of
from cia_bench.sources import ACTION_COLUMNS, OPTIONAL_COLUMNS, epic, read_actions, seconds, tenths

HINT = "; mend it, or leave out such rows with --skip-bad-rows"


def test_timestamps_become_seconds_without_rounding():
    read = seconds(pd.Series(["00:00:01.56", "01:02:03.4", "10:00:00"]))
    assert read.tolist() == [1.56, 3723.4, 36000.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.56",
        "00:60:00.0",
        "00:00:60",
        "00:00:-1",
        "00:00:1",
        "a",
        "00:00:01.5x",
        "00:00:01.5\n",
        "00:00:1e1",
        "9999:00:00",
        "٠٠:٠٠:٠١",
    ],
)
def test_other_texts_are_no_time(text):
    assert seconds(pd.Series([text])).isna().all()


def test_ids_round_to_a_tenth_as_numpy_does():
    # halves go to the even neighbour: 1.25 down, 1.35 up
    assert tenths(pd.Series([1.56, 2.45, 1.25, 1.35, 0.0, 1652.04])).tolist() == [
        "1.6",
        "2.4",
        "1.2",
        "1.4",
        "0.0",
        "1652.0",
    ]


def write_epic(folder: Path, rows: list[tuple], validation: list[tuple] = ()) -> Path:
    """Write annotation files with rows of narration, video, start, stop, verb and noun classes (7;8)."""
    folder.mkdir()
    header = (
        "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,"
        "stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
    )
    for split, part in (("train", rows), ("validation", validation)):
        lines = [
            f'{number},{video[:3]},{video},0,{start},{stop},0,1,"{verb}, then",{verb},3,x,{str(nouns).split(";")[0]},'
            f'"[\'x\']","[{str(nouns).replace(";", ", ")}]"'
            for number, video, start, stop, verb, nouns in part
        ]
        (folder / f"EPIC_100_{split}.csv").write_text("\n".join([header, *lines]) + "\n")
    (folder / "EPIC_100_noun_classes.csv").write_text("id,key,instances,category\n7,board:chopping,\"['board']\",x\n")
    (folder / "EPIC_100_verb_classes.csv").write_text("id,key,instances,category\n3,put,\"['put-down', 'put']\",x\n")
    (folder / "EPIC_100_video_info.csv").write_text("video_id,duration,fps,resolution\nP01_11,62.5,50.0,1920x1080\n")
    return folder


def test_a_row_becomes_one_action(tmp_path):
    folder = write_epic(tmp_path / "a", [("P01_11_1", "P01_11", "00:00:01.56", "00:01:02.45", "put-down", 7)])
    frame = read_actions("epic", folder).frame
    assert tuple(frame.columns) == (*ACTION_COLUMNS, *OPTIONAL_COLUMNS)
    assert frame.iloc[0].to_dict() == {
        "clip_id": "P01/videos/P01_11_1.6_62.4",
        "video": "P01/videos/P01_11.MP4",
        "start_s": 1.56,
        "stop_s": 62.45,
        "verb": "put-down",
        "noun": "board:chopping",
        "text": "put-down, then",
        "split": "train",
        "subject": "P01",
        "verb_class": "put",
        "duration_s": 62.5,
        "several_objects": False,
    }


def test_several_objects_and_the_length_of_a_video_are_told_where_they_are_known(tmp_path):
    rows = [
        ("P01_11_1", "P01_11", "00:00:01.00", "00:00:02.00", "put-down", "7;8"),
        ("P01_12_2", "P01_12", "00:00:01.00", "00:00:02.00", "put-down", "7"),
    ]
    frame = read_actions("epic", write_epic(tmp_path / "a", rows)).frame
    assert frame.several_objects.tolist() == [True, False]
    assert frame.duration_s.isna().tolist() == [False, True]  # the owner's list lacks P01_12


def test_a_clip_id_names_its_interval_again():
    assert epic.interval("P01/videos/P01_11_1.6_62.4") == ("P01/videos/P01_11.MP4", 1.6, 62.4)


def test_the_ids_of_a_build_name_the_intervals_they_were_made_of(annotations):
    for row in read_actions("epic", annotations).frame.itertuples():
        video, start_s, stop_s = epic.interval(row.clip_id)
        assert video == row.video
        assert (start_s, stop_s) == pytest.approx((row.start_s, row.stop_s), abs=0.0500001)


@pytest.mark.parametrize(
    "clip_id",
    [
        "",
        "P01_11_1.6_2.4",
        "P01/videos/P02_11_1.6_2.4",
        "P01/videos/P01_11_1.6",
        "P01/videos/P01_11_1_2",
        "P01/videos/P01_11_1.6_2.4\n",
        "P01/videos/P01_11_1.6_2.45",
        "P01/videos/P01_11_-1.6_2.4",
        "../P01/videos/P01_11_1.6_2.4",
        "P01/videos/P01_١١_1.6_2.4",
    ],
)
def test_other_ids_name_no_interval(clip_id):
    with pytest.raises(ValueError, match="is not like P01/videos/P01_11_1.6_2.4"):
        epic.interval(clip_id)


def test_one_id_is_one_interval_the_first(tmp_path):
    rows = [
        ("P01_11_1", "P01_11", "00:00:01.52", "00:00:03.00", "open", 7),
        ("P01_11_2", "P01_11", "00:00:01.48", "00:00:03.04", "wash", 7),
        ("P01_12_3", "P01_12", "00:00:01.52", "00:00:03.00", "open", 7),
    ]
    actions = read_actions("epic", write_epic(tmp_path / "a", rows))
    assert actions.frame.start_s.tolist() == [1.52, 1.52, 1.52]
    assert actions.frame.stop_s.tolist() == [3.0, 3.0, 3.0]
    assert actions.merged == ["P01/videos/P01_11_1.5_3.0"]


BROKEN_ROWS = {
    ",P04,": (",P4,", "participant_id 'P4' is not like P01"),
    "P04_01,": ("P04-01,", "video_id 'P04-01' is not like P01_11"),
    ",P04,P04_01": (",P05,P04_01", "video 'P04_01' is not of 'P05'"),
    "00:00:03.68": ("3.68", "start_timestamp '3.68' is not like 00:00:01.56"),
    "00:00:06.84": ("nan", "stop_timestamp 'nan' is not like 00:00:02.45"),
    "00:00:06.84,": ("00:00:03.68,", "it stops ('00:00:03.68') before it starts ('00:00:03.68')"),
    ",turn-on,": (",,", "the verb is empty"),
    ",0,['tap']": (",77,['tap']", "noun_class '77' is not in EPIC_100_noun_classes.csv"),
    ",6,tap": (",66,tap", "verb_class '66' is not in EPIC_100_verb_classes.csv"),
    "00:00:03.68,": ("00:00:1e0,", "start_timestamp '00:00:1e0' is not like 00:00:01.56"),
    ":03.68": (":-3.68", "start_timestamp '00:00:-3.68' is not like 00:00:01.56"),
    ":06.84": (":inf", "stop_timestamp '00:00:inf' is not like 00:00:02.45"),
    "P04,P04_01": ("P04,../P04", "video_id '../P04' is not like P01_11"),
    "04,P04_01": ("04,/P04_01", "video_id '/P04_01' is not like P01_11"),
    "4,P04_01": ("4,P04_٠١", "video_id 'P04_٠١' is not like P01_11"),
    "4_01,": ("4_01\0,", "video_id 'P04_01\\x00' is not like P01_11"),
    "P04_01_0,": ("P04_01_0\0,", "narration 'P04_01_0\\x00': the id is not like P01_11_7"),
    "P04_01_0": ("P03_01_0", "narration 'P03_01_0': it stands in an earlier row too"),
}


def broken_line(lines: list[str]) -> int:
    return next(number for number, line in enumerate(lines) if line.startswith("P04_01_0,"))


@pytest.mark.parametrize("old", BROKEN_ROWS)
def test_a_broken_row_is_named_with_its_file(old, annotations):
    new, message = BROKEN_ROWS[old]
    path = annotations / "EPIC_100_train.csv"
    lines = path.read_text().splitlines()
    number = broken_line(lines)
    lines[number] = "P04_01_0,P04,P04_01,0,00:00:03.68,00:00:06.84,1,2,turn on tap,turn-on,6,tap,0,['tap'],[0]"
    lines[number] = lines[number].replace(old, new, 1)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(AnnotationError) as error:
        read_actions("epic", annotations)
    assert f"EPIC_100_train.csv row {number + 1}: " in str(error.value)
    assert str(error.value).endswith(message + HINT)
    skipping = read_actions("epic", annotations, skip_bad_rows=True)
    assert [(fault["file"], fault["row"]) for fault in skipping.skipped] == [(path.name, number + 1)]
    assert skipping.skipped[0]["reason"].endswith(message)
    del lines[number]
    path.write_text("\n".join(lines) + "\n")
    without = read_actions("epic", annotations)
    assert without.skipped == []
    pd.testing.assert_frame_equal(skipping.frame, without.frame)


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLE.iterdir()))
def test_what_a_spreadsheet_program_adds_changes_nothing(name, annotations):
    """A mark of byte order, ends of line of two characters, empty lines at the end."""
    before = read_actions("epic", annotations).frame
    path = annotations / name
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    pd.testing.assert_frame_equal(read_actions("epic", annotations).frame, before)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace(b",verb,", b",word,"), "lacks column verb; it has narration_id"),
        (lambda text: text[: text.index(b",open,", 9000)], "has 9 fields, the header 15"),
        (lambda text: text + b"P01_99_9,P01\n", "row 239: it has 2 fields, the header 15"),
        (lambda text: text + text.splitlines()[1] + b",more\n", "row 239: it has 16 fields, the header 15"),
        (lambda text: text + b'"never closed', "row 239 can't be read as CSV: unexpected end of data"),
        (lambda text: text.replace(b"open drawer", b"open dr\xe4wer"), "is not UTF-8 text"),
        (lambda text: text + b"x\xe4", "is not UTF-8 text: unexpected end of data at byte 26711, in line 239"),
        (lambda text: b'"' + text, "row 1 can't be read as CSV: "),
        (lambda text: b"", "lacks column narration_id"),
        (lambda text: b"\x00" * 100, "lacks column narration_id"),
        (lambda text: text.replace(b"\n", b"\n\n", 1), "row 2: it has 0 fields, the header 15"),
        (lambda text: text.decode().encode("utf-16"), "is not UTF-8 text: invalid start byte at byte 0, in line 1"),
        (lambda text: b"\n" + text, "lacks column narration_id"),
        (lambda text: text.replace(b",", b";"), "lacks column narration_id"),
        (lambda text: text + b"x" * 200_000, "row 239 can't be read as CSV: field larger than field limit"),
        (lambda text: b",".join(b"x" * 99 for _ in range(9999)) + b"\n", "xxxxx..."),
    ],
)
def test_a_damaged_file_is_named(damage, message, annotations):
    path = annotations / "EPIC_100_train.csv"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(AnnotationError) as error:
        read_actions("epic", annotations)
    assert message in str(error.value) and "EPIC_100_train.csv" in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x,cup,[],y", "id 'x' is not a number"),
        ("3,cup,[],y", "id '3' stands in an earlier row"),
        ("99,,[],y", "no key"),
    ],
)
def test_broken_noun_classes_are_named(line, message, annotations):
    with (annotations / "EPIC_100_noun_classes.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(AnnotationError, match=message):
        read_actions("epic", annotations)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("verb_classes", "x,cut,[],y", "row 10: id 'x' is not a number"),
        ("verb_classes", "3,cut,[],y", "row 10: id '3' stands in an earlier row"),
        ("verb_classes", "99,,[],y", "row 10: class '99' has no key"),
        ("noun_classes", "99,cup", "row 12: it has 2 fields, the header 4"),
        ("video_info", "P01_99,nan,50,x", "row 24: duration 'nan' of 'P01_99' is not a number of seconds"),
        ("video_info", "P01_99,-1.5,50,x", "row 24: duration '-1.5' of 'P01_99' is not a number"),
        ("video_info", "P01_99,1e9,50,x", "row 24: duration '1e9' of 'P01_99' is not a number"),
        ("video_info", f"P01_99,{'9' * 400},50,x", "row 24: duration '999"),
        ("video_info", "P01_01,1.5,50,x", "row 24: video_id 'P01_01' stands in an earlier row too"),
    ],
)
def test_broken_rows_of_the_small_files_are_named_or_skipped(name, line, message, annotations):
    whole = read_actions("epic", annotations).frame
    with (annotations / f"EPIC_100_{name}.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(AnnotationError, match=f"EPIC_100_{name}.csv {message}"):
        read_actions("epic", annotations)
    skipping = read_actions("epic", annotations, skip_bad_rows=True)
    assert len(skipping.skipped) == 1 and skipping.skipped[0]["file"] == f"EPIC_100_{name}.csv"
    pd.testing.assert_frame_equal(skipping.frame, whole)


def test_without_a_class_all_its_rows_are_skipped(annotations):
    path = annotations / "EPIC_100_noun_classes.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("3,")))
    whole = read_actions("epic", Path(__file__).parent / "data" / "epic").frame
    skipping = read_actions("epic", annotations, skip_bad_rows=True)
    assert len(skipping.skipped) == (whole.noun == "drawer").sum() > 0
    pd.testing.assert_frame_equal(skipping.frame, whole[whole.noun != "drawer"].reset_index(drop=True))
    path.write_text(lines[0])
    assert len(read_actions("epic", annotations, skip_bad_rows=True).frame) == 0


def test_a_row_counts_as_one_row_over_however_many_lines_it_goes(annotations):
    path = annotations / "EPIC_100_train.csv"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("open drawer", '"open\n\nthe\r\ndrawer"', 1)
    assert read_actions("epic", annotations).frame.text[0] == "open drawer"
    path.write_text("\n".join(lines) + "\n", newline="")
    assert read_actions("epic", annotations).frame.text[0] == "open\n\nthe\r\ndrawer"
    path.write_text("\n".join([*lines, "P01_99_9,P01"]) + "\n", newline="")
    with pytest.raises(AnnotationError, match="EPIC_100_train.csv row 239: it has 2 fields"):
        read_actions("epic", annotations)


def test_a_clip_of_both_splits_is_refused_in_the_validation_file(tmp_path):
    rows = [("P01_11_1", "P01_11", "00:00:01.00", "00:00:02.00", "open", 7)]
    other = [("P01_11_2", "P01_11", "00:00:03.00", "00:00:04.00", "open", 7), ("P01_12_3", *rows[0][1:])]
    folder = write_epic(tmp_path / "a", rows, other)
    with pytest.raises(AnnotationError) as error:
        read_actions("epic", folder)
    assert str(error.value).endswith(
        "EPIC_100_validation.csv row 3: clip 'P01/videos/P01_11_1.0_2.0' is in EPIC_100_train.csv too" + HINT
    )
    frame = read_actions("epic", folder, skip_bad_rows=True).frame
    assert frame.split.tolist() == ["train", "validation"]


def test_broken_rows_of_the_release_itself_are_skipped_without_being_asked_to(annotations, monkeypatch):
    path = annotations / "EPIC_100_train.csv"
    whole = read_actions("epic", annotations).frame
    path.write_text(path.read_text() + "P01_99_9,P01\n")
    monkeypatch.setitem(epic.RELEASED, path.name, sha256_of(path))
    actions = read_actions("epic", annotations)
    assert actions.skipped == [{"file": path.name, "row": 239, "reason": "it has 2 fields, the header 15"}]
    pd.testing.assert_frame_equal(actions.frame, whole)
    path.write_text(path.read_text() + "\n")  # no longer the release
    with pytest.raises(AnnotationError, match="row 239"):
        read_actions("epic", annotations)


def test_files_of_the_wrong_kind_are_refused_even_when_skipping(annotations):
    for content in (b"", b"\xff\xfe", b'a,b\n"', b"a,b\n1,2\n"):
        (annotations / "EPIC_100_validation.csv").write_bytes(content)
        with pytest.raises(AnnotationError, match="EPIC_100_validation.csv"):
            read_actions("epic", annotations, skip_bad_rows=True)


def test_the_bytes_of_all_files_are_told(annotations):
    inputs = read_actions("epic", annotations).inputs
    assert {entry["name"]: entry["sha256"] for entry in inputs} == {
        path.name: sha256_of(path) for path in annotations.iterdir()
    }


def test_missing_files_are_all_named_with_where_to_get_them(tmp_path):
    (tmp_path / "EPIC_100_train.csv").write_text("")
    with pytest.raises(AnnotationError) as error:
        read_actions("epic", tmp_path)
    for part in (
        "lacks EPIC_100_validation.csv, EPIC_100_noun_classes.csv, EPIC_100_verb_classes.csv, "
        "EPIC_100_video_info.csv; get them from",
        "github.com/epic-kitchens",
    ):
        assert part in str(error.value)
    with pytest.raises(AnnotationError, match="none does not exist; it should hold EPIC_100_train.csv"):
        read_actions("epic", tmp_path / "none")


def test_an_unknown_source_lists_the_known_ones(tmp_path):
    with pytest.raises(
        ConfigError, match="unknown source 'epik'; choose from charades, epic, ssv2, synthetic, or name"
    ):
        read_actions("epik", tmp_path)


def test_every_row_of_the_real_files_is_read(epic100):
    frame = read_actions("epic", epic100).frame
    assert frame.split.value_counts().to_dict() == {"train": 29023, "validation": 9668}
    assert "P01/videos/P01_11_1.6_2.4" in set(frame.clip_id[frame.text == "put down plate"])
    assert frame.duration_s.notna().all() and (frame.stop_s < frame.duration_s + 1).mean() > 0.99
    assert set(frame.verb_class[frame.verb == "pick-up"]) == {"take"}
    assert 0.05 < frame.several_objects.mean() < 0.3


def test_files_that_are_the_owners_own_are_known_by_their_digests(epic100):
    for name in set(epic.FILES) - {"EPIC_100_train.csv"}:  # which is a stand-in there
        assert sha256_of(epic100 / name) == epic.RELEASED[name]
        assert (epic100 / name).stat().st_size == epic.SIZES[name]
