"""Standard benchmarks: split files as their owners write them, and videos in all folders they may lie in."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from answered import Answer, made_data
from invented import SSV2_NEW, write_ssv2

from cia_bench.clip_files import plain_clips, video_names
from cia_bench.errors import AnnotationError, BuildError, CiaError, ConfigError
from cia_bench.files import write_json
from cia_bench.sources import read_actions
from cia_bench.tables import CLIPS, GROUPS, TASK_CLIPS
from cia_bench.tasks import TASKS, Task, read_task


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files below a folder, each with the line ends that its text has."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return folder


def videos_at(folder: Path, *paths: str) -> Path:
    return write(folder, dict.fromkeys(paths, "video"))


def refused(kind: str, splits: Path | None, videos: Path | None, data: Path | None = None, error=CiaError) -> str:
    with pytest.raises(error) as refusal:
        read_task(kind, splits, videos, data)
    message = str(refusal.value)
    assert message.isprintable() and "--skip-bad-rows" not in message
    return message


def rows_of(task: Task, *columns: str) -> list[tuple]:
    """The rows of a task's clips, without missing values, after what every task must keep is checked."""
    clips = task.clips
    assert list(clips.columns) == TASK_CLIPS.schema.names and set(clips.source) == {task.name}
    pd.testing.assert_frame_equal(clips, clips.sort_values(["group_id", "clip_id"], ignore_index=True))
    table = clips.assign(class_name=[task.classes[label] for label in clips.label], label=clips.label.astype(int))
    return list(table[list(columns)].itertuples(index=False, name=None))


# Kinetics-400

K400_TRAIN = """label,youtube_id,time_start,time_end,split
air drumming,--07WQ2iBlw,1,11,train
abseiling,_4YTwq0-73Y,120,130,train
"petting animal (not cat)",abcdefghijk,0,10,train
"""
K400_SCORED = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,-3B32lodo2M,59,69,val,0
"air drumming",_dbcJuKJQNs,40,50,val,1
"""
K400 = {"train.csv": K400_TRAIN, "val.csv": K400_SCORED}
K400_FILES = {
    "--07WQ2iBlw_000001_000011": "air drumming",
    "_4YTwq0-73Y_000120_000130": "abseiling",
    "abcdefghijk_000000_000010": "petting animal (not cat)",
    "-3B32lodo2M_000059_000069": "abseiling",
    "_dbcJuKJQNs_000040_000050": "air drumming",
}


@pytest.fixture
def k400(tmp_path: Path) -> Path:
    return write(tmp_path / "splits", K400)


@pytest.fixture
def k400_videos(tmp_path: Path) -> Path:
    return videos_at(tmp_path / "k400", *(f"{name}.mp4" for name in K400_FILES))


def test_kinetics_is_read_from_the_owners_csv(k400, k400_videos):
    task = read_task("kinetics400", k400, k400_videos)
    assert (task.name, task.kind, task.videos) == ("kinetics400", "kinetics400", k400_videos)
    assert task.classes == ("abseiling", "air drumming", "petting animal (not cat)")
    assert rows_of(task, "group_id", "clip_id", "video", "label", "split") == [
        ("kinetics400/1", "--07WQ2iBlw_000001_000011", "--07WQ2iBlw_000001_000011.mp4", 1, "train"),
        ("kinetics400/1", "-3B32lodo2M_000059_000069", "-3B32lodo2M_000059_000069.mp4", 0, "validation"),
        ("kinetics400/1", "_4YTwq0-73Y_000120_000130", "_4YTwq0-73Y_000120_000130.mp4", 0, "train"),
        ("kinetics400/1", "_dbcJuKJQNs_000040_000050", "_dbcJuKJQNs_000040_000050.mp4", 1, "validation"),
        ("kinetics400/1", "abcdefghijk_000000_000010", "abcdefghijk_000000_000010.mp4", 2, "train"),
    ]
    assert task.clips.subject.isna().all()


@pytest.mark.parametrize(
    ("train", "scored"),
    [
        ("train.csv", "validate.csv"),
        ("kinetics_train.csv", "kinetics_val.csv"),
        ("kinetics-400_train.csv", "kinetics-400_val.csv"),
    ],
)
def test_all_names_of_the_kinetics_files_are_one_task(train, scored, k400, k400_videos, tmp_path):
    named = write(tmp_path / "named", {train: K400_TRAIN, scored: K400_SCORED.replace("val", "validate")})
    expected = read_task("kinetics400", k400, k400_videos)
    task = read_task("kinetics400", named, k400_videos)
    pd.testing.assert_frame_equal(task.clips, expected.clips)
    assert task.fingerprint() == expected.fingerprint()


@pytest.mark.parametrize(
    "layout",
    [
        "{split}/{label}/{name}.mp4",
        "{folder}/{name}.mkv",
        "compress/{split}_256/{folder}/{name}.MP4",
        "{name}.webm",
    ],
)
def test_kinetics_videos_are_found_in_any_folder(layout, k400, tmp_path):
    splits = {"--07WQ2iBlw_000001_000011": "train"}
    paths = {
        name: layout.format(name=name, label=label, folder=label.replace(" ", "_"), split=splits.get(name, "val"))
        for name, label in K400_FILES.items()
    }
    task = read_task("kinetics400", k400, videos_at(tmp_path / "v", *paths.values()))
    assert dict(rows_of(task, "clip_id", "video")) == paths


BAD_KINETICS = [
    ("abseiling,#NAME?,59,69,val,0", "youtube_id '#NAME?' is not like '--07WQ2iBlw'"),
    ("abseiling,../../../ab,59,69,val,0", "youtube_id '../../../ab' is not like"),
    ("abseiling,abcdefghij1,5.5,69,val,0", "time_start '5.5' is no whole number of seconds"),
    ("abseiling,abcdefghij1,5,,val,0", "time_end '' is no whole number of seconds"),
    ("abseiling,abcdefghij1,5,15,test,0", "split 'test' is not validate"),
    ("abseiling,abcdefghij1,5,15", "it has 4 fields, the header 6"),
    ("zorbing,abcdefghij1,5,15,val,0", "class 'zorbing' is not in train.csv"),
    ("abseiling,-3B32lodo2M,59,69,val,0", "video '-3B32lodo2M_000059_000069' stands in an earlier row too"),
    ("abseiling,_4YTwq0-73Y,120,130,val,0", "video '_4YTwq0-73Y_000120_000130' is in train.csv too"),
]


@pytest.mark.parametrize(("row", "message"), BAD_KINETICS)
def test_a_bad_row_of_kinetics_is_named(row, message, k400, k400_videos):
    write(k400, {"val.csv": f"{K400_SCORED}{row}\n"})
    refusal = refused("kinetics400", k400, k400_videos, error=AnnotationError)
    assert refusal.startswith(f"{k400 / 'val.csv'} row 4: {message}") and refusal.endswith("; mend it")


def test_kinetics_files_that_are_missing_or_mixed_up_are_named(k400, k400_videos):
    write(k400, {"val.csv": K400_TRAIN})
    assert f"{k400 / 'val.csv'} row 2: split 'train' is not validate" in refused("kinetics400", k400, k400_videos)
    write(k400, {"val.csv": "youtube_id,time_start,time_end,split\n"})  # as a test.csv without labels
    assert "val.csv lacks column label; it has youtube_id" in refused("kinetics400", k400, k400_videos)
    (k400 / "val.csv").unlink()
    message = refused("kinetics400", k400, k400_videos)
    assert f"{k400} lacks validate.csv; get the annotations of Kinetics-400 as https://github.com/cvdf" in message


# UCF101

UCF = {
    "classInd.txt": "1 Archery\r\n2 HandstandPushups\r\n\r\n",
    "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\r\nArchery/v_Archery_g08_c02.avi 1\r\n"
    "HandstandPushups/v_HandStandPushups_g02_c01.avi 2\r\n",
    "testlist01.txt": "Archery/v_Archery_g01_c01.avi\r\nHandstandPushups/v_HandStandPushups_g01_c01.avi\r\n",
    "trainlist02.txt": "Archery/v_Archery_g01_c01.avi 1\nHandstandPushups/v_HandStandPushups_g01_c01.avi 2\n",
    "testlist02.txt": "Archery/v_Archery_g08_c01.avi\nHandstandPushups/v_HandStandPushups_g02_c01.avi\n",
    "trainlist03.txt": "Archery/v_Archery_g01_c01.avi 1\nHandstandPushups/v_HandStandPushups_g02_c01.avi 2",
    "testlist03.txt": "HandstandPushups/v_HandStandPushups_g01_c01.avi",
}
UCF_VIDEOS = [
    "Archery/v_Archery_g01_c01",
    "Archery/v_Archery_g08_c01",
    "Archery/v_Archery_g08_c02",
    "HandstandPushups/v_HandStandPushups_g01_c01",
    "HandstandPushups/v_HandStandPushups_g02_c01",
]


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    return write(tmp_path / "splits", UCF)


@pytest.fixture
def ucf_videos(tmp_path: Path) -> Path:
    return videos_at(tmp_path / "UCF-101", *(f"{name}.avi" for name in UCF_VIDEOS))


def test_ucf101_is_read_from_the_owners_lists(ucf, ucf_videos):
    task = read_task("ucf101", ucf, ucf_videos)
    assert task.classes == ("Archery", "HandstandPushups")
    assert rows_of(task, "group_id", "clip_id", "label", "split", "subject") == [
        ("ucf101/1", UCF_VIDEOS[0], 0, "validation", "Archery_g01"),
        ("ucf101/1", UCF_VIDEOS[1], 0, "train", "Archery_g08"),
        ("ucf101/1", UCF_VIDEOS[2], 0, "train", "Archery_g08"),
        ("ucf101/1", UCF_VIDEOS[3], 1, "validation", "HandstandPushups_g01"),
        ("ucf101/1", UCF_VIDEOS[4], 1, "train", "HandstandPushups_g02"),
        ("ucf101/2", UCF_VIDEOS[0], 0, "train", "Archery_g01"),
        ("ucf101/2", UCF_VIDEOS[1], 0, "validation", "Archery_g08"),
        ("ucf101/2", UCF_VIDEOS[3], 1, "train", "HandstandPushups_g01"),
        ("ucf101/2", UCF_VIDEOS[4], 1, "validation", "HandstandPushups_g02"),
        ("ucf101/3", UCF_VIDEOS[0], 0, "train", "Archery_g01"),
        ("ucf101/3", UCF_VIDEOS[3], 1, "validation", "HandstandPushups_g01"),
        ("ucf101/3", UCF_VIDEOS[4], 1, "train", "HandstandPushups_g02"),
    ]
    assert set(rows_of(task, "clip_id", "video")) == {(name, f"{name}.avi") for name in UCF_VIDEOS}


def test_lists_in_the_owners_own_folder_are_the_same_task(ucf, ucf_videos, tmp_path):
    write(tmp_path / "unpacked" / "ucfTrainTestlist", UCF)
    task = read_task("ucf101", tmp_path / "unpacked", ucf_videos)
    assert task.fingerprint() == read_task("ucf101", ucf, ucf_videos).fingerprint()


BAD_UCF = [
    ("classInd.txt", "1 Archery\nx HandstandPushups\n", 2, "number 'x' of class 'HandstandPushups' is no whole number"),
    ("classInd.txt", "1 Archery\n1.5 HandstandPushups\n", 2, "number '1.5' of class"),
    ("classInd.txt", "1 Archery\n-2 HandstandPushups\n", 2, "number '-2' of class"),
    ("classInd.txt", "1 Archery\n1 HandstandPushups\n", 2, "number '1' stands in an earlier row too"),
    ("classInd.txt", "1 Archery\n\n2 Archery\n", 3, "class 'Archery' stands in an earlier row too"),
    ("classInd.txt", "1 Archery\nHandstandPushups\n", 2, "'HandstandPushups' is not like '1 ApplyEyeMakeup'"),
    ("classInd.txt", "1 Archery\n2 Fencing\n", 3, "class 'HandstandPushups' is not in classInd.txt"),
    ("trainlist02.txt", "Archery/v_Archery_g01_c01.avi 2\n", 1, "class 'Archery' has another number than '2' in class"),
    (
        "trainlist02.txt",
        "Archery/v_Archery_g01_c01.avi\n",
        1,
        "is not like 'ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.av",
    ),
    ("testlist03.txt", "Archery/v_Archery_g01_c01.avi 1\n", 1, "is not like 'ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01"),
    ("testlist03.txt", "../v_Archery_g01_c01.avi\n", 1, "'../v_Archery_g01_c01.avi' is not like"),
    ("testlist03.txt", "Archery/../v_Archery_g01_c01.avi\n", 1, "is not like"),
    ("testlist03.txt", "Fencing/v_Fencing_g01_c01.avi\n", 1, "class 'Fencing' is not in classInd.txt"),
    ("testlist03.txt", f"{UCF_VIDEOS[3]}.avi\n" * 2, 2, f"video '{UCF_VIDEOS[3]}' stands in an earlier row too"),
    ("testlist03.txt", f"{UCF_VIDEOS[4]}.avi\n", 1, f"video '{UCF_VIDEOS[4]}' is in trainlist03.txt too"),
]


@pytest.mark.parametrize(("name", "text", "row", "message"), BAD_UCF)
def test_a_bad_line_of_ucf101_is_named(name, text, row, message, ucf, ucf_videos):
    write(ucf, {name: text})
    refusal = refused("ucf101", ucf, ucf_videos, error=AnnotationError)
    told = "trainlist01.txt" if row == 3 and "classInd.txt" in message else name  # in which what classInd lacks is
    assert refusal.startswith(f"{ucf / told} row {row}: ") and message in refusal and refusal.endswith("; mend it")


def test_numbers_of_classes_without_one_are_refused(ucf, ucf_videos):
    write(ucf, {"classInd.txt": "1 Archery\n3 HandstandPushups\n"})
    message = f"{ucf / 'classInd.txt'}: its 2 classes should have the numbers from 1 on; 2 is missing"
    assert refused("ucf101", ucf, ucf_videos) == message
    write(ucf, {"classInd.txt": "0 Archery\n1 HandstandPushups\n"})
    assert refused("ucf101", ucf, ucf_videos) == message


def test_a_class_that_a_split_does_not_teach_is_refused(ucf, ucf_videos):
    write(ucf, {"trainlist02.txt": "Archery/v_Archery_g01_c01.avi 1\n"})
    message = "class 'HandstandPushups' has no training video in split 2 of ucf101, so nothing can learn it"
    assert refused("ucf101", ucf, ucf_videos, error=AnnotationError) == message


def test_a_split_that_scores_nothing_and_a_single_class_are_refused(ucf, ucf_videos):
    write(ucf, {"testlist03.txt": "\n"})
    assert refused("ucf101", ucf, ucf_videos) == "split 3 of ucf101 has no video to score, only training videos"
    lists = {name: text.split("Handstand")[0] for name, text in UCF.items()}
    write(ucf, {**lists, "classInd.txt": "1 Archery\n"})
    assert refused("ucf101", ucf, ucf_videos) == "ucf101 needs 2 classes or more to tell apart, and has 1"
    write(ucf, dict.fromkeys(UCF, ""))
    assert refused("ucf101", ucf, ucf_videos) == "ucf101 needs 2 classes or more to tell apart, and has 0"


def test_missing_lists_are_named_with_where_to_get_them(ucf, ucf_videos, tmp_path):
    (ucf / "testlist02.txt").unlink()
    assert f"{ucf} lacks testlist02.txt; get the Train/Test Splits" in refused("ucf101", ucf, ucf_videos)
    message = refused("ucf101", tmp_path / "none", ucf_videos)
    assert "does not exist; it should hold classInd.txt, trainlist01.txt" in message and "crcv.ucf.edu" in message


# HMDB51

HMDB = {
    "catch_test_split1.txt": "Faith_catch_u_nm_np1_fr_med_10.avi 1 \nto_catch_balls_catch_f_nm_np1_ri_med_0.avi 2 \n"
    "#20_Rhythm_catch_u_nm_np1_fr_goo_0.avi 0 \n",
    "kick_ball_test_split1.txt": "kick_ball_kick_ball_f_cm_np1_ba_bad_0.avi 1 \nplain.avi 2 \n",
    "catch_test_split2.txt": "Faith_catch_u_nm_np1_fr_med_10.avi 2 \nto_catch_balls_catch_f_nm_np1_ri_med_0.avi 1 \n"
    "#20_Rhythm_catch_u_nm_np1_fr_goo_0.avi 1 \n",
    "kick_ball_test_split2.txt": "kick_ball_kick_ball_f_cm_np1_ba_bad_0.avi 2 \r\nplain.avi 1 \r\n",
    "catch_test_split3.txt": "Faith_catch_u_nm_np1_fr_med_10.avi 1 \nto_catch_balls_catch_f_nm_np1_ri_med_0.avi 0 \n",
    "kick_ball_test_split3.txt": "kick_ball_kick_ball_f_cm_np1_ba_bad_0.avi 2 \nplain.avi 1 \n",
}
FAITH, BALLS, RHYTHM, KICK, PLAIN = HMDB_VIDEOS = [
    "catch/Faith_catch_u_nm_np1_fr_med_10",
    "catch/to_catch_balls_catch_f_nm_np1_ri_med_0",
    "catch/#20_Rhythm_catch_u_nm_np1_fr_goo_0",
    "kick_ball/kick_ball_kick_ball_f_cm_np1_ba_bad_0",
    "kick_ball/plain",
]


@pytest.fixture
def hmdb(tmp_path: Path) -> Path:
    return write(tmp_path / "splits", HMDB)


@pytest.fixture
def hmdb_videos(tmp_path: Path) -> Path:
    return videos_at(tmp_path / "hmdb51_org", *(f"{name}.avi" for name in HMDB_VIDEOS))


def test_hmdb51_is_read_from_the_owners_lists(hmdb, hmdb_videos):
    task = read_task("hmdb51", hmdb, hmdb_videos)
    assert task.classes == ("catch", "kick_ball")
    assert rows_of(task, "group_id", "clip_id", "class_name", "split") == [
        ("hmdb51/1", FAITH, "catch", "train"),
        ("hmdb51/1", BALLS, "catch", "validation"),
        ("hmdb51/1", KICK, "kick_ball", "train"),
        ("hmdb51/1", PLAIN, "kick_ball", "validation"),
        ("hmdb51/2", RHYTHM, "catch", "train"),
        ("hmdb51/2", FAITH, "catch", "validation"),
        ("hmdb51/2", BALLS, "catch", "train"),
        ("hmdb51/2", KICK, "kick_ball", "validation"),
        ("hmdb51/2", PLAIN, "kick_ball", "train"),
        ("hmdb51/3", FAITH, "catch", "train"),
        ("hmdb51/3", KICK, "kick_ball", "validation"),
        ("hmdb51/3", PLAIN, "kick_ball", "train"),
    ]
    assert set(rows_of(task, "clip_id", "video", "subject")) == {
        (FAITH, f"{FAITH}.avi", "Faith"),
        (BALLS, f"{BALLS}.avi", "to_catch_balls"),
        (RHYTHM, f"{RHYTHM}.avi", "#20_Rhythm"),
        (KICK, f"{KICK}.avi", "kick_ball"),
        (PLAIN, f"{PLAIN}.avi", "plain"),
    }


def test_hmdb51_lists_in_the_owners_own_folder_are_the_same_task(hmdb, hmdb_videos, tmp_path):
    write(tmp_path / "unpacked" / "testTrainMulti_7030_splits", HMDB)
    task = read_task("hmdb51", tmp_path / "unpacked", hmdb_videos)
    assert task.fingerprint() == read_task("hmdb51", hmdb, hmdb_videos).fingerprint()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("plain.avi 2", "video 'kick_ball/plain' stands in an earlier row too"),
        ("more.avi 3", "'more.avi 3' is not like 'April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1'"),
        ("more.avi", "'more.avi' is not like"),
        ("../../more.avi 1", "'../../more.avi 1' is not like"),
        ("a\\b.avi 1", r"'a\\b.avi 1' is not like"),
    ],
)
def test_a_bad_line_of_hmdb51_is_named(line, message, hmdb, hmdb_videos):
    name = "kick_ball_test_split2.txt"
    write(hmdb, {name: f"{HMDB[name]}{line}\n"})
    refusal = refused("hmdb51", hmdb, hmdb_videos, error=AnnotationError)
    assert refusal.startswith(f"{hmdb / name} row 3: {message}") and refusal.endswith("; mend it")


def test_missing_lists_of_hmdb51_are_named(hmdb, hmdb_videos, tmp_path):
    (hmdb / "catch_test_split2.txt").unlink()
    assert f"{hmdb} lacks catch_test_split2.txt; get the splits" in refused("hmdb51", hmdb, hmdb_videos)
    (tmp_path / "empty").mkdir()
    message = refused("hmdb51", tmp_path / "empty", hmdb_videos)
    assert f"{tmp_path / 'empty'} lacks CLASS_test_split1.txt, CLASS_test_split2.txt" in message


def test_a_class_whose_videos_a_split_only_scores_is_refused(hmdb, hmdb_videos):
    write(hmdb, {"catch_test_split3.txt": "Faith_catch_u_nm_np1_fr_med_10.avi 2 \n"})
    assert "class 'catch' has no training video in split 3 of hmdb51" in refused("hmdb51", hmdb, hmdb_videos)


def test_a_name_that_two_classes_have_is_each_classs_own_file(hmdb, tmp_path):
    write(hmdb, {name: f"{text}same.avi 1\n" for name, text in HMDB.items()})
    videos = videos_at(tmp_path / "v", *(f"{name}.avi" for name in HMDB_VIDEOS), "Kick_ball/same.avi")
    clips = read_task("hmdb51", hmdb, videos).clips.set_index("clip_id").video
    assert set(clips["catch/same"]) == {"catch/same.avi"}  # is nowhere: the file of the other class is not taken for it
    assert set(clips["kick_ball/same"]) == {"Kick_ball/same.avi"}


# Something-Something v2

TEMPLATES = ["Closing [something]", "Opening [something]", "Putting [something] into [something]"]


@pytest.fixture
def ssv2_videos(tmp_path: Path) -> Path:
    return videos_at(tmp_path / "20bn", *(f"{number}.webm" for number in range(1, 11)))


@pytest.mark.parametrize("names", ["something-something-v2-{}.json", SSV2_NEW])
def test_ssv2_has_the_clips_of_the_source_and_the_owners_classes(names, ssv2_videos, tmp_path):
    splits = write_ssv2(tmp_path / "ssv2", TEMPLATES, 6, 4, names)
    labels = splits / names.format("labels")
    bare = ["Opening something", "Putting something into something", "Closing something"]
    labels.write_text(json.dumps({name: str(number) for number, name in enumerate(bare)}))
    task = read_task("ssv2", splits, ssv2_videos)
    assert task.classes == tuple(bare)
    actions = read_actions("ssv2", splits).frame.sort_values("clip_id")
    expected = list(actions[["clip_id", "video", "split"]].itertuples(index=False, name=None))
    assert rows_of(task, "clip_id", "video", "split") == expected
    classes = [template.replace("[", "").replace("]", "") for template in actions.verb]
    assert rows_of(task, "group_id", "class_name") == [("ssv2/1", name) for name in classes]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (["0", "1", "x"], " row 3: number 'x' of class 'Putting something into something' is no whole number; mend it"),
        (["0", "1", "1"], " row 3: number '1' stands in an earlier row too; mend it"),
        (["0", "1", "3"], ": its 3 classes should have the numbers from 0 on; 2 is missing"),
        (["1", "2", "3"], ": its 3 classes should have the numbers from 0 on; 0 is missing"),
        ([0, 1, 2.5], " row 3: number '2.5' of class"),
        ([0, 1, None], " row 3: number 'None' of class"),
        ([0, 1, ["2"]], " row 3: number \"['2']\" of class"),
    ],
)
def test_wrong_numbers_of_ssv2_classes_are_refused(numbers, message, ssv2_videos, tmp_path):
    splits = write_ssv2(tmp_path / "ssv2", TEMPLATES, 6, 4)
    path = splits / "something-something-v2-labels.json"
    path.write_text(json.dumps(dict(zip(json.loads(path.read_text()), numbers, strict=True))))
    assert refused("ssv2", splits, ssv2_videos, error=AnnotationError).startswith(f"{path}{message}")


def test_what_the_source_refuses_the_task_refuses_without_an_option_that_it_lacks(ssv2_videos, tmp_path):
    splits = write_ssv2(tmp_path / "ssv2", TEMPLATES, 6, 4)
    path = splits / "something-something-v2-train.json"
    path.write_text(json.dumps([3, *json.loads(path.read_text())]))
    assert refused("ssv2", splits, ssv2_videos) == f"{path} row 1: it is int, not an object; mend it"


def test_half_a_character_is_no_name_of_a_class(ssv2_videos, tmp_path):
    labels = write_ssv2(tmp_path / "ssv2", TEMPLATES, 6, 4) / "something-something-v2-labels.json"
    labels.write_text(labels.read_text().replace("}", ', "half \\ud800": "3"}'))
    assert r"'half \ud800' of ssv2 can't be the name of a class" in refused("ssv2", tmp_path / "ssv2", ssv2_videos)


# a folder

FOLDERS = ["train/run/a.mp4", "train/walk/b.avi", "train/walk/more/c.mp4", "val/run/a.mp4", "val/walk/d.WEBM"]


def test_a_folder_a_class_is_a_task_of_the_folders_name(tmp_path):
    videos = videos_at(tmp_path / "gym", *FOLDERS, "train/run/notes.txt", "train/.cache/x.mp4", "val/run/.x.mp4")
    task = read_task("folder", None, videos)
    assert (task.name, task.kind, task.classes) == ("gym", "folder", ("run", "walk"))
    assert rows_of(task, "group_id", "clip_id", "video", "class_name", "split") == [
        ("gym/1", "train/run/a.mp4", "train/run/a.mp4", "run", "train"),
        ("gym/1", "train/walk/b.avi", "train/walk/b.avi", "walk", "train"),
        ("gym/1", "train/walk/more/c.mp4", "train/walk/more/c.mp4", "walk", "train"),
        ("gym/1", "val/run/a.mp4", "val/run/a.mp4", "run", "validation"),
        ("gym/1", "val/walk/d.WEBM", "val/walk/d.WEBM", "walk", "validation"),
    ]


@pytest.mark.parametrize("name", ["validation", "val", "test"])
def test_what_is_scored_may_have_any_of_its_usual_names(name, tmp_path):
    videos = videos_at(tmp_path / "gym", *(path.replace("val/", f"{name}/") for path in FOLDERS))
    scored = [
        clip for clip, split in rows_of(read_task("folder", None, videos), "clip_id", "split") if split != "train"
    ]
    assert scored == [f"{name}/run/a.mp4", f"{name}/walk/d.WEBM"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["test/run/z.mp4"], "gym has val and test; say what is scored: --splits DIR with train.txt and test.txt"),
        (["train/sit/notes.txt"], "gym/train/sit holds no video: no file there ends in .3gp, .avi"),
        (["val/sit/.a.mp4"], "gym/val/sit holds no video"),
        (["val/sit/z.mp4"], "class 'sit' has no training video in split 1 of gym, so nothing can learn it"),
        (["train/z.mp4"], "gym/train holds 'z.mp4' beside the folders of its classes"),
        (["train/run/z\n.mp4"], r"the name of 'run/z\n.mp4' in"),
        (["train/ run/z.mp4"], "' run' of gym can't be the name of a class"),
    ],
)
def test_a_folder_that_is_not_clear_is_refused(more, message, tmp_path):
    assert message in refused("folder", None, videos_at(tmp_path / "gym", *FOLDERS, *more))


def test_a_folder_without_both_sides_is_refused(tmp_path):
    videos = videos_at(tmp_path / "gym", "train/run/a.mp4", "train/walk/b.mp4")
    message = "gym lacks train/ or one of validation/, val/, test/ with a folder a class; else give --splits DIR with"
    assert message in refused("folder", None, videos, error=ConfigError)
    assert "none lacks train/" in refused("folder", None, tmp_path / "none")


LISTED = {"train.txt": "run/a.mp4\nwalk/x y/b.avi\r\n\n", "test.txt": "walk/c.mp4\nrun/nowhere.mp4\n"}


@pytest.fixture
def gym(tmp_path: Path) -> Path:
    return videos_at(tmp_path / "gym", "run/a.mp4", "walk/x y/b.avi", "walk/c.mp4", "sit/d.mp4")


def test_lists_say_what_of_a_folder_is_learnt_and_scored(gym, tmp_path):
    task = read_task("folder", write(tmp_path / "splits", LISTED), gym)
    assert task.classes == ("run", "walk")
    assert rows_of(task, "clip_id", "video", "class_name", "split") == [
        ("run/a.mp4", "run/a.mp4", "run", "train"),
        ("run/nowhere.mp4", "run/nowhere.mp4", "run", "validation"),
        ("walk/c.mp4", "walk/c.mp4", "walk", "validation"),
        ("walk/x y/b.avi", "walk/x y/b.avi", "walk", "train"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("walk/c.mp4", "video 'walk/c.mp4' stands in an earlier row too"),
        ("run/a.mp4", "video 'run/a.mp4' is in train.txt too"),
        ("sit/d.mp4", "class 'sit' is not in train.txt"),
        ("walk/e.mp4 1", "'walk/e.mp4 1' does not end in one of .3gp, .avi"),
        ("e.mp4", "'e.mp4' is not like 'walk/a.mp4', a plain path below the folder of a class"),
        ("../walk/e.mp4", "'../walk/e.mp4' is not like"),
        ("/walk/e.mp4", "'/walk/e.mp4' is not like"),
        ("./walk/e.mp4", "'./walk/e.mp4' is not like"),
        ("walk//e.mp4", "'walk//e.mp4' is not like"),
        ("walk\\e.mp4", r"'walk\\e.mp4' is not like"),
    ],
)
def test_a_bad_line_of_a_list_is_named(line, message, gym, tmp_path):
    splits = write(tmp_path / "splits", {**LISTED, "test.txt": f"{LISTED['test.txt']}{line}\n"})
    refusal = refused("folder", splits, gym, error=AnnotationError)
    assert refusal.startswith(f"{splits / 'test.txt'} row 3: {message}") and refusal.endswith("; mend it")


def test_lists_whose_videos_lie_elsewhere_are_refused(gym, tmp_path):
    splits = write(tmp_path / "splits", LISTED)
    message = refused("folder", splits, videos_at(tmp_path / "other", "a.mp4"), error=ConfigError)
    assert message == (
        f"{tmp_path / 'other'} holds none of the 4 videos of other, like run/a.mp4; give the folder that holds them "
        "with --videos"
    )
    (splits / "test.txt").unlink()
    assert "lacks test.txt; each line of a list is a path like walk/a.mp4" in refused("folder", splits, gym)


@pytest.mark.parametrize("name", ["ucf101", "ssv2", "epic", "synthetic"])
def test_a_folder_does_not_pass_for_a_benchmark_of_its_name(name, tmp_path):
    message = refused("folder", None, videos_at(tmp_path / name, *FOLDERS), error=ConfigError)
    assert f"can't lie in a folder called {name!r}; rename {tmp_path / name}" in message


# synthetic


@pytest.fixture
def built(tmp_path: Path) -> Path:
    answers = [Answer(f"scored {label}", label, label, "somebody") for label in (0, 1)]
    data = made_data({"synthetic/open-close/door": answers, "synthetic/close-open/box": []})
    folder = tmp_path / "cia-data" / "synthetic"
    (folder / "videos").mkdir(parents=True)
    GROUPS.write(folder / "groups.parquet", data.groups)
    CLIPS.write(folder / "clips.parquet", data.clips)
    record = {"source": "synthetic", "settings": {}, "groups": 2, "clips": len(data.clips)}
    write_json(folder / "build.json", {**record, "fingerprint": data.fingerprint("synthetic")})
    return folder.parent


def test_the_verbs_of_the_synthetic_build_are_its_classes(built, tmp_path):
    task = read_task("synthetic", None, None, built)
    assert (task.name, task.classes, task.videos) == ("synthetic", ("close", "open"), built / "synthetic" / "videos")
    clips = CLIPS.read(built / "synthetic" / "clips.parquet").sort_values("clip_id")
    columns = ["clip_id", "video", "verb", "split", "subject"]
    expected = list(clips[columns].itertuples(index=False, name=None))
    assert rows_of(task, "clip_id", "video", "class_name", "split", "subject") == expected
    assert len(expected) == 10 and set(task.clips.group_id) == {"synthetic/1"}
    assert read_task("synthetic", None, tmp_path, built).videos == tmp_path


def test_synthetic_is_read_from_its_build_alone(built, tmp_path):
    assert "the task synthetic needs --data, the folder in which it was built" in refused("synthetic", None, None)
    assert "leave --splits away" in refused("synthetic", tmp_path, None, built)
    assert "does not exist; make it with cia build" in refused("synthetic", None, None, tmp_path / "none", BuildError)


# all tasks


def test_an_unknown_task_and_folders_that_are_not_given_are_refused(ucf, ucf_videos):
    assert refused("ucf-101", ucf, ucf_videos, error=ConfigError) == (
        "unknown task 'ucf-101'; choose from folder, hmdb51, kinetics400, ssv2, synthetic, ucf101"
    )
    for kind in ("hmdb51", "kinetics400", "ssv2", "ucf101"):
        message = refused(kind, None, ucf_videos, error=ConfigError)
        asked = f"the task {kind} needs --splits, or $CIA_ANNOTATIONS/{kind}, the folder with its owner's lists"
        assert message == f"{asked}: {TASKS[kind].WHERE}"
    message = refused("ucf101", ucf, None, error=ConfigError)
    assert message == "the task ucf101 needs --videos, or $CIA_VIDEOS/ucf101, the folder below which its videos are"
    assert "the task folder needs --videos, the folder in which" in refused("folder", None, None, error=ConfigError)


def test_folders_that_the_environment_names_are_taken(ucf, ucf_videos, tmp_path, monkeypatch):
    for variable, folder in (("CIA_ANNOTATIONS", ucf), ("CIA_VIDEOS", ucf_videos)):
        root = tmp_path / variable
        root.mkdir()
        (root / "ucf101").symlink_to(folder)
        monkeypatch.setenv(variable, str(root))
    found, given = read_task("ucf101", None, None), read_task("ucf101", ucf, ucf_videos)
    assert found.videos == tmp_path / "CIA_VIDEOS" / "ucf101"
    pd.testing.assert_frame_equal(found.clips, given.clips)


def test_videos_that_are_embedded_need_not_be_there(ucf, ucf_videos):
    embedded = read_task("ucf101", ucf, None, embedded=True)
    assert embedded.fingerprint() == read_task("ucf101", ucf, ucf_videos).fingerprint()


def test_a_name_that_is_there_twice_is_the_one_in_the_folder_of_its_class(k400, k400_videos):
    name = "_dbcJuKJQNs_000040_000050"
    videos_at(k400_videos, f"Air_Drumming/{name}.avi", f"other/{name}.mp4")
    videos = dict(rows_of(read_task("kinetics400", k400, k400_videos), "clip_id", "video"))
    assert videos[name] == f"Air_Drumming/{name}.avi"
    videos_at(k400_videos, f"val/air drumming/{name}.mp4")
    assert refused("kinetics400", k400, k400_videos, error=ConfigError) == (
        f"{k400_videos} has several files of video '{name}': 'Air_Drumming/{name}.avi' and "
        f"'val/air drumming/{name}.mp4'; keep one"
    )


def test_a_name_that_is_there_twice_elsewhere_is_refused(k400, k400_videos):
    videos_at(k400_videos, "b/-3B32lodo2M_000059_000069.mp4")
    message = refused("kinetics400", k400, k400_videos, error=ConfigError)
    assert "'-3B32lodo2M_000059_000069.mp4' and 'b/-3B32lodo2M_000059_000069.mp4'; keep one" in message


def test_a_video_that_is_nowhere_keeps_the_owners_path_and_is_told(k400, k400_videos, caplog):
    (k400_videos / "_dbcJuKJQNs_000040_000050.mp4").unlink()
    task = read_task("kinetics400", k400, k400_videos)
    assert "_dbcJuKJQNs_000040_000050.mp4" in set(task.clips.video) and len(task.clips) == 5
    assert caplog.messages == [f"1 of the 5 videos of kinetics400 are not in {k400_videos}"]


def test_a_folder_with_none_of_the_videos_is_refused(ucf, tmp_path):
    videos = videos_at(tmp_path / "other", "Archery/clip.avi", "v_Archery_g01_c01.txt")
    assert refused("ucf101", ucf, videos, error=ConfigError) == (
        f"{videos} holds none of the 5 videos of ucf101, like v_Archery_g01_c01.avi in any folder; give the folder "
        "that holds them with --videos"
    )
    assert f"{tmp_path / 'none'} can't be read: No such file" in refused("ucf101", ucf, tmp_path / "none")


def test_a_path_that_no_table_can_hold_is_refused(ucf, ucf_videos):
    os.rename(ucf_videos / "Archery", ucf_videos / "Arch\udce9ry")
    assert r"the name of 'Arch\udce9ry/v_Archery_g01_c01.avi'" in refused("ucf101", ucf, ucf_videos, error=ConfigError)


def test_linked_folders_are_looked_into_and_a_ring_of_links_ends(ucf, ucf_videos, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "linked").symlink_to(ucf_videos)
    for name in ("back", "again"):  # two: their ways back in would double with each step
        (ucf_videos / name).symlink_to(here)
    assert video_names(here) == [f"linked/{name}.avi" for name in UCF_VIDEOS]
    assert plain_clips(here).video.tolist() == video_names(here)
    videos = set(rows_of(read_task("ucf101", ucf, here), "video"))
    assert videos == {(f"linked/{name}.avi",) for name in UCF_VIDEOS}


def test_the_fingerprint_is_of_the_split_files_and_not_of_the_folders(ucf, ucf_videos, tmp_path):
    expected = read_task("ucf101", ucf, ucf_videos).fingerprint()
    assert len(bytes.fromhex(expected)) == 32
    elsewhere = videos_at(tmp_path / "flat", *(f"{Path(name).name}.mp4" for name in UCF_VIDEOS[1:]))
    assert read_task("ucf101", ucf, elsewhere).fingerprint() == expected
    pushups = UCF["trainlist03.txt"].splitlines()[1]
    changes = {
        "a video": {"trainlist03.txt": f"{UCF['trainlist03.txt']}\nArchery/v_Archery_g08_c01.avi 1"},
        "a side": {
            "trainlist03.txt": UCF["trainlist03.txt"].replace(pushups, f"{UCF['testlist03.txt']} 2"),
            "testlist03.txt": pushups.removesuffix(" 2"),
        },
    }
    found = {
        name: read_task("ucf101", write(tmp_path / name, {**UCF, **change}), ucf_videos).fingerprint()
        for name, change in changes.items()
    }
    assert len({expected, *found.values()}) == 3


def test_another_name_of_a_class_is_another_fingerprint(k400, k400_videos, tmp_path):
    named = write(tmp_path / "named", {name: text.replace("abseiling", "abseil") for name, text in K400.items()})
    tasks = [read_task("kinetics400", splits, k400_videos) for splits in (k400, named)]
    pd.testing.assert_frame_equal(tasks[0].clips, tasks[1].clips)
    assert tasks[0].fingerprint() != tasks[1].fingerprint()


def test_clips_to_embed_are_each_there_once_and_train_where_no_split_scores_them(ucf, ucf_videos):
    folders, table = read_task("ucf101", ucf, ucf_videos).to_embed()
    assert folders == {"ucf101": ucf_videos}
    assert table[["clip_id", "source", "video", "split"]].values.tolist() == [
        [name, "ucf101", f"{name}.avi", "train" if name == UCF_VIDEOS[2] else "validation"] for name in UCF_VIDEOS
    ]
    plain = plain_clips(ucf_videos)
    assert set(table.columns) == set(plain.columns)
    pd.testing.assert_frame_equal(table[["start_s", "stop_s"]], plain[["start_s", "stop_s"]])
