from pathlib import Path

import pandas as pd
import pytest

from cia_bench.errors import AnnotationError, ConfigError
from cia_bench.sources import ACTION_COLUMNS, read_actions, seconds, tenths


def test_timestamps_become_seconds_without_rounding():
    read = seconds(pd.Series(["00:00:01.56", "01:02:03.4", "10:00:00"]))
    assert read.tolist() == [1.56, 3723.4, 36000.0]


@pytest.mark.parametrize(
    "text", ["", "1.56", "00:60:00.0", "00:00:60", "00:00:-1", "00:00:1", "a", "00:00:01.5x", "9999:00:00", "٠٠:٠٠:٠١"]
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


def write_epic(folder: Path, rows: list[tuple]) -> Path:
    """Write annotation files with rows of narration, video, start, stop, verb and noun class."""
    folder.mkdir()
    header = (
        "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,"
        "stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
    )
    lines = [
        f'{number},{video[:3]},{video},0,{start},{stop},0,1,"{verb}, then",{verb},3,x,{noun},"[\'x\']",[{noun}]'
        for number, video, start, stop, verb, noun in rows
    ]
    (folder / "EPIC_100_train.csv").write_text("\n".join([header, *lines]) + "\n")
    (folder / "EPIC_100_validation.csv").write_text(header + "\n")
    (folder / "EPIC_100_noun_classes.csv").write_text("id,key,instances,category\n7,board:chopping,\"['board']\",x\n")
    return folder


def test_a_row_becomes_one_action(tmp_path):
    folder = write_epic(tmp_path / "a", [("P01_11_1", "P01_11", "00:00:01.56", "00:01:02.45", "put-down", 7)])
    frame = read_actions("epic", folder).frame
    assert tuple(frame.columns) == ACTION_COLUMNS
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
    }


def test_one_id_is_one_interval_the_first(tmp_path):
    rows = [
        ("n1", "P01_11", "00:00:01.52", "00:00:03.00", "open", 7),
        ("n2", "P01_11", "00:00:01.48", "00:00:03.04", "wash", 7),
        ("n3", "P01_12", "00:00:01.52", "00:00:03.00", "open", 7),
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
    "P04_01_0": ("P03_01_0", "narration_id 'P03_01_0' stands in an earlier row too"),
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
    assert str(error.value).endswith(message)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace(b",verb,", b",word,"), "lacks column verb; it has narration_id"),
        (lambda text: text[: text.index(b",open,", 9000)], "has 9 fields, the header 15"),
        (lambda text: text + b"P01_99_9,P01\n", "row 239 has 2 fields, the header 15"),
        (lambda text: text + text.splitlines()[1] + b",more\n", "row 239 has 16 fields, the header 15"),
        (lambda text: text + b'"never closed', "row 239 can't be read as CSV: unexpected end of data"),
        (lambda text: text.replace(b"open drawer", b"open dr\xe4wer"), "is not UTF-8 text"),
        (lambda text: b"", "lacks column narration_id"),
        (lambda text: b"\x00" * 100, "lacks column narration_id"),
        (lambda text: text + b"\n", "row 239 has 0 fields, the header 15"),
    ],
)
def test_a_damaged_file_is_named(damage, message, annotations):
    path = annotations / "EPIC_100_train.csv"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(AnnotationError) as error:
        read_actions("epic", annotations)
    assert message in str(error.value) and "EPIC_100_train.csv" in str(error.value)


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


def test_missing_files_are_all_named_with_where_to_get_them(tmp_path):
    (tmp_path / "EPIC_100_train.csv").write_text("")
    with pytest.raises(AnnotationError) as error:
        read_actions("epic", tmp_path)
    for part in ("lacks EPIC_100_validation.csv, EPIC_100_noun_classes.csv", "github.com/epic-kitchens"):
        assert part in str(error.value)
    with pytest.raises(AnnotationError, match="none does not exist; it should hold EPIC_100_train.csv"):
        read_actions("epic", tmp_path / "none")


def test_an_unknown_source_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="unknown source 'epik'; choose from epic"):
        read_actions("epik", tmp_path)


def test_every_row_of_the_real_files_is_read(epic100):
    frame = read_actions("epic", epic100).frame
    assert frame.split.value_counts().to_dict() == {"train": 29023, "validation": 9668}
    assert "P01/videos/P01_11_1.6_2.4" in set(frame.clip_id[frame.text == "put down plate"])
