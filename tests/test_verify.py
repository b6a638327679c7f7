import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cia_bench.errors import BuildError
from cia_bench.tables import CANDIDATE_CLIPS, CLIPS, GROUPS
from cia_bench.verify import verify


def change_clips(data, change) -> None:
    """Rewrite the clips of epic with pandas, past our own writer and its checks."""
    path = data / "epic" / "clips.parquet"
    change(CLIPS.read(path)).to_parquet(path, index=False)


def set_first(column, value):
    def change(clips: pd.DataFrame) -> pd.DataFrame:
        clips.loc[0, column] = value
        return clips

    return change


def test_a_sound_build_has_no_problem(data):
    assert verify(data) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (set_first("label", np.int8(2)), "clips.parquet: label is not 0 or 1: 'P0"),
        (set_first("split", "test"), "clips.parquet: split is not train or validation: 'P0"),
        (set_first("source", "ssv2"), "clips.parquet: source is not 'epic': 'P0"),
        (set_first("start_s", 1e9), "interval is not 0 <= start_s < stop_s, or null for a whole file: 'P"),
        (set_first("start_s", None), "interval is not 0 <= start_s < stop_s, or null for a whole file: 'P"),
        (set_first("start_s", -1.0), "interval is not 0 <= start_s < stop_s, or null for a whole file: 'P"),
        (set_first("stop_s", float("inf")), "interval is not 0 <= start_s < stop_s"),
        (set_first("video", "../../etc/passwd"), "video path leaves the video folder: 'P"),
        (set_first("video", "/etc/passwd"), "video path leaves the video folder: 'P"),
        (set_first("video", "P01/videos/../../../x"), "video path leaves the video folder: 'P"),
        (set_first("video", "C:\\x.mp4"), "video path leaves the video folder: 'P"),
        (set_first("video", "a\0b.mp4"), "video path leaves the video folder: 'P"),
        (set_first("video", ""), "video path leaves the video folder: 'P"),
        (set_first("group_id", "epic/open-close/moon"), "group_id that groups.parquet lacks: 'epic/open-close/moon'"),
        (lambda clips: pd.concat([clips, clips[:2]]), "clips.parquet: repeated group_id and clip_id: 'P"),
        (lambda clips: clips[1:], "says train_forward"),
        (lambda clips: clips[clips.label == 1], "has no reverse clip in train"),
        (lambda clips: clips.drop(columns="subject"), "no clips table: missing column subject"),
        (lambda clips: clips.assign(label=clips.label.astype(float)), "column label is double, not int8"),
    ],
)
def test_damage_is_found(change, problem, data):
    change_clips(data, change)
    problems = verify(data)
    assert any(problem in line for line in problems), problems
    assert all(line.isprintable() for line in problems)


@pytest.mark.parametrize("column", ["video", "start_s", "split"])
def test_one_clip_id_that_means_two_things_is_found(column, data):
    def change(clips):
        other = clips.loc[[0]].assign(group_id="epic/turn-on-turn-off/tap")
        other[column] = {"video": "other.MP4", "start_s": 0.001, "split": "validation"}[column]
        if column == "split":
            other[column] = {"train": "validation", "validation": "train"}[clips.split[0]]
        return pd.concat([clips, other])

    change_clips(data, change)
    assert any(f"one clip_id with different {column}: " in line for line in verify(data))


def test_the_clips_of_candidates_are_checked_too(data):
    path = data / "epic" / "candidate_clips.parquet"
    clips = CANDIDATE_CLIPS.read(path)
    label = clips.label.where(clips.index > 0, 2).astype(np.int8)
    for change, problem in (
        (clips[1:], "candidates.parquet: group 'epic/open*-close*/door' says"),
        (clips.assign(label=label), "candidate_clips.parquet: label is not 0 or 1: 'P0"),
        (clips.assign(group_id="x"), "candidate_clips.parquet: group_id that candidates.parquet lacks: 'x'"),
    ):
        change.to_parquet(path, index=False)
        assert any(problem in line for line in verify(data)), verify(data)
    path.unlink()
    assert verify(data) == [f"{path} does not exist"]


def test_everything_wrong_is_said_at_once(data):
    def change(clips):
        return set_first("video", "/x")(set_first("split", "test")(clips))

    change_clips(data, change)
    path = data / "epic" / "groups.parquet"
    groups = GROUPS.read(path)
    groups.loc[0, "train_forward"] += 1
    groups.to_parquet(path, index=False)
    (data / "epic" / "candidates.parquet").unlink()
    problems = "\n".join(verify(data))
    for part in (
        "video path",
        "split is not",
        "says train_forward",
        "candidates.parquet does not exist",
        "fingerprint",
    ):
        assert part in problems


def test_a_whole_file_has_null_times_and_is_sound(data):
    change_clips(data, lambda clips: clips.assign(start_s=np.nan, stop_s=np.nan))
    assert [line for line in verify(data) if "fingerprint is" not in line] == []


def test_a_wrong_record_or_none_is_a_problem(data):
    path = data / "epic" / "build.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "groups": 7, "fingerprint": "0" * 64}))
    problems = verify(data)
    assert len(problems) == 2 and "groups is 7, the tables have 8" in problems[0]
    path.unlink()
    assert len(verify(data)) == 1 and "build.json can't be read" in verify(data)[0]


def test_rewriting_the_parquet_bytes_alone_is_no_damage(data):
    path = data / "epic" / "clips.parquet"
    pq.write_table(pq.read_table(path), path, compression="none")
    assert verify(data) == []


def test_no_build_is_an_error(tmp_path):
    with pytest.raises(BuildError):
        verify(tmp_path)
