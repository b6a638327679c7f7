"""Standard benchmarks from videos to the leaderboard, by commands alone: the synthetic source as a task of classes."""

import json
import shutil

import pytest
from conftest import refusal, run_cia

from cia_bench.build import read_data


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with rendered videos, their embeddings, and a LiFT trained on them."""
    folder = tmp_path_factory.mktemp("tasks")
    assert run_cia("build", "--source", "synthetic", "--size", "tiny", cwd=folder).returncode == 0
    where = ("--task", "synthetic", "--device", "cpu")
    extracted = run_cia("extract", "--model", "pixels", *where, cwd=folder)
    assert extracted.stdout == "pixels: 280 new embeddings, 0 kept, in cia-embeddings/pixels\n", extracted.stderr
    trained = run_cia("train", "lift", "--epochs", 40, "--out", "lift", "--device", "cpu", cwd=folder)
    assert trained.returncode == 0, trained.stderr
    return folder


def test_what_lift_adds_to_the_mean_is_said_with_an_interval(place):
    models = ("--model", "pixels:mean", "--model", "pixels:concat", "--join", "pixels:lift")
    run = run_cia(
        *("eval", "--task", "synthetic", *models, "--weights", "lift=lift", "--out", "results", "--device", "cpu"),
        cwd=place,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("pixels: 0 new embeddings, 280 kept"), run.stdout
    names = ["pixels:lift", "pixels:mean", "pixels:mean+pixels:lift", "pixels:concat", "pixels:concat+pixels:lift"]
    records = {}
    for path in (place / "results" / "synthetic").glob("*/result.json"):
        record = json.loads(path.read_text())
        records[record["model"]["name"]] = record
    assert sorted(records) == sorted(names)
    accuracy = {name: record["mean"]["accuracy"] for name, record in records.items()}
    chance = records["pixels:mean"]["mean"]["constant"]["accuracy"]
    assert accuracy["pixels:concat"] > accuracy["pixels:mean"] + 0.2 > chance + 0.2  # the mean tells no direction
    assert accuracy["pixels:mean+pixels:lift"] > accuracy["pixels:mean"] + 0.1
    for base in ("pixels:mean", "pixels:concat"):
        difference = accuracy[f"{base}+pixels:lift"] - accuracy[base]
        assert f"{100 * difference:+.1f} [" in run.stdout, run.stdout
    board = run_cia("leaderboard", "--results", "results", "--format", "md", cwd=place)
    assert all(name.replace("_", "\\_") in board.stdout for name in names), board.stdout


def test_the_same_videos_in_a_folder_a_class_score_the_same(place):
    clips = read_data(place / "cia-data").clips.drop_duplicates("clip_id")
    for clip in clips.itertuples():
        target = place / "motions" / {"train": "train", "validation": "val"}[clip.split] / clip.verb
        target.mkdir(parents=True, exist_ok=True)
        name = clip.video.replace("/", "-")
        shutil.copy(place / "cia-data" / "synthetic" / "videos" / clip.video, target / name)
    (place / "motions" / "val" / clips.verb.iloc[0] / "broken.mp4").write_bytes(b"no video")
    options = ("--model", "pixels:concat", "--out", "from-folders", "--device", "cpu")
    task = ("--task", "folder", "--videos", "motions")
    run = run_cia("eval", *task, *options, cwd=place)
    assert run.returncode == 0, run.stderr
    assert "pixels: failed val/" in run.stdout and "coverage: " in run.stdout, run.stdout
    folders = json.loads((place / "from-folders" / "motions" / "pixels_concat" / "result.json").read_text())
    run_cia("eval", "--task", "synthetic", *options, cwd=place)
    by_name = json.loads((place / "from-folders" / "synthetic" / "pixels_concat" / "result.json").read_text())
    (here,), (there,) = folders["groups"], by_name["groups"]
    assert (here["n"], here["train_clips"]) == (there["n"], there["train_clips"])
    assert abs(here["accuracy"] - there["accuracy"]) < 0.1  # other names draw another tenth to choose by
    assert folders["sources"]["motions"]["coverage"]["validation_rows"] == here["n"] + 1


def test_ucf101s_split_files_are_scored_though_a_video_is_absent(place):
    clips = read_data(place / "cia-data").clips.drop_duplicates("clip_id")
    names = dict(
        zip(sorted(clips.verb.unique())[:4], ("ApplyLipstick", "BabyCrawling", "CliffDiving", "Drumming"), strict=True)
    )
    splits = place / "ucfTrainTestlist"
    splits.mkdir()
    lists = {f"{side}list{k:02d}.txt": [] for side in ("train", "test") for k in (1, 2, 3)}
    for index, (verb, name) in enumerate(names.items(), start=1):
        for number, clip in enumerate(clips[clips.verb == verb].itertuples()):
            recording, take = divmod(number, 2)
            video = f"{name}/v_{name}_g{recording + 1:02d}_c{take + 1:02d}.avi"
            (place / "UCF-101" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(place / "cia-data" / "synthetic" / "videos" / clip.video, place / "UCF-101" / video)
            for k in (1, 2, 3):
                scored = recording % 3 == k - 1
                lists[f"{'test' if scored else 'train'}list{k:02d}.txt"].append(video if scored else f"{video} {index}")
    for file, lines in lists.items():
        (splits / file).write_text("".join(f"{line}\n" for line in lines))
    classes = "".join(f"{index} {name}\r\n" for index, name in enumerate(names.values(), start=1))
    (splits / "classInd.txt").write_text(classes)
    (place / "UCF-101" / "Drumming" / "v_Drumming_g02_c01.avi").unlink()
    command = ("eval", "--task", "ucf101", "--splits", "ucfTrainTestlist", "--videos", "UCF-101", "--device", "cpu")
    command = (*command, "--model", "pixels:mean", "--model", "pixels:concat", "--out", "ucf")
    refused = run_cia(*command, cwd=place)
    assert refused.returncode == 1 and refused.stderr.splitlines()[-1].startswith("Error: cia-embeddings (pixels:mean)")
    assert "less than --min-coverage 0.98; failures.parquet there says why" in refused.stderr
    run = run_cia(*command, "--min-coverage", 0.9, cwd=place)
    assert run.returncode == 0, run.stderr
    assert "1 of the 40 videos of ucf101 are not in UCF-101" in run.stderr
    assert "; 3 splits, 39 videos of 4 classes" in run.stdout and "coverage: " in run.stdout, run.stdout
    record = json.loads((place / "ucf" / "ucf101" / "pixels_concat" / "result.json").read_text())
    assert [row["group_id"] for row in record["groups"]] == ["ucf101/1", "ucf101/2", "ucf101/3"]
    assert record["sources"]["ucf101"]["resampled"] == {"unit": "subject", "count": 20}
    (splits / "testlist02.txt").write_text("Surfing/v_Surfing_g01_c01.avi\n")
    line = refusal(*command, cwd=place)
    assert "testlist02.txt row 1: " in line and "Surfing" in line


def test_a_probe_of_frames_scores_a_frame_encoder(place):
    run = run_cia(
        *("eval", "--task", "synthetic", "--model", "pixels", "--probe", "attentive", "--out", "attentive"),
        *("--device", "cpu"),
        cwd=place,
    )
    assert run.returncode == 0, run.stderr
    record = json.loads((place / "attentive" / "synthetic" / "pixels" / "result.json").read_text())
    assert record["protocol"]["probe"]["name"] == "attentive"
    assert record["mean"]["accuracy"] > 3 * record["mean"]["constant"]["accuracy"]


def test_what_a_task_has_no_use_for_is_refused_in_a_line(place):
    task = ("eval", "--task", "synthetic", "--model", "pixels:mean")
    for option, name in (
        (("--controls",), "controls"),
        (("--source", "synthetic"), "source"),
        (("--groups", "x"), "groups"),
        (("--max-clips", 5), "max-clips"),
        (("--report",), "report"),
        (("--protocol", "strict"), "protocol"),
    ):
        assert f"--{name} is of chiral groups" in refusal(*task, *option, cwd=place)
    assert "--splits holds the split files" in refusal("eval", "--splits", "x", "--model", "pixels:mean", cwd=place)
    assert "unknown task 'ucf-101'; choose from " in refusal(
        "eval", "--task", "ucf-101", "--model", "pixels:mean", cwd=place
    )
    assert "unknown probe 'ridge'; choose from attentive, mlp, softmax" in refusal(*task, "--probe", "ridge", cwd=place)
    joined = ("eval", "--task", "synthetic", "--join", "pixels:mean")
    assert "--join pixels:mean joins other models with it" in refusal(*joined, cwd=place)
    vectors = place / "vectors.npz"
    vectors.write_bytes(b"")
    two = ("--model", "a", "--model", "b", "--embeddings", vectors)
    assert "holds one model's vectors" in refusal("eval", "--task", "synthetic", *two, cwd=place)
