import csv
import json
import re
import shutil

import pytest
from conftest import refusal, snapshot

from cia_bench.encoders import load_encoder

ROWS = {
    "constant", "pixels:mean", "pixels:concat", "pixels:lift", "pixels:random-frame", "pixels:first-frame",
    "pixels:last-frame", "dinov2-random:mean", "dinov2-random:concat", "dinov2-random:lift",
}  # fmt: skip


@pytest.fixture(scope="session")
def board(demo) -> dict[str, dict]:
    with (demo.folder / "leaderboard.csv").open() as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def test_the_demo_ends_with_the_leaderboard_and_leaves_everything(demo, board):
    assert board.keys() == ROWS
    assert all(name in demo.output for name in ROWS)
    assert demo.output.endswith("wrote cia-demo\n")
    header = (demo.folder / "leaderboard.csv").read_text().splitlines()[0]
    assert header.startswith("model,parameters,dim,synthetic,mean,")
    assert "| pixels:lift |" in (demo.folder / "leaderboard.md").read_text()
    for place in (
        "cia-data/synthetic/clips.parquet",
        "cia-embeddings/pixels/store.json",
        "lift-pixels/lift.safetensors",
    ):
        assert (demo.folder / place).exists()


def test_even_the_tiny_demo_tells_order_from_chance(board):
    score = {name: float(row["synthetic"]) for name, row in board.items()}
    for name in ("pixels:mean", "pixels:random-frame", "dinov2-random:mean"):
        assert float(board[name]["synthetic_low"]) < 50 < float(board[name]["synthetic_high"])
    assert score["pixels:concat"] > 75 and score["pixels:lift"] > 75
    assert score["constant"] == 50


def test_lift_takes_a_quarter_of_concats_numbers_or_less_and_counts_its_parameters(board):
    assert int(board["pixels:lift"]["dim"]) * 4 <= int(board["pixels:concat"]["dim"])
    assert int(board["pixels:lift"]["parameters"]) > int(board["pixels:concat"]["parameters"]) == 0


def test_progress_says_clips_a_second_and_how_long(demo):
    assert "render synthetic: 280/280, " in demo.progress
    assert "extract pixels, dinov2-small-reg: 280/280, " in demo.progress and " clips/s, " in demo.progress
    assert "train lift: 9060/9060, " in demo.progress and "; epoch 60: loss " in demo.progress  # 151 clips
    lines = demo.progress.splitlines()
    assert demo.progress.count("\n") == len(lines)  # no bars
    assert all(re.match(r"(render|extract|train) [^:]+: \d+/\d+, ", line) for line in lines)  # no chatter of libraries


def test_a_demo_of_another_size_in_the_same_folder_is_refused(demo, tmp_path):
    folder = shutil.copytree(demo.folder, tmp_path / "cia-demo")
    before = snapshot(folder)
    message = refusal("demo", "--size", "small", "--out", folder)
    assert "synthetic holds another build (size tiny, seed 0, 14 groups" in message
    assert snapshot(folder) == before
    assert "unknown size 'huge'; choose from tiny, small, medium" in refusal("demo", "--size", "huge", cwd=tmp_path)


def test_the_random_dinov2_is_the_real_class_in_the_hubs_layout(demo):
    weights = demo.folder / "dinov2-random"
    assert json.loads((weights / "config.json").read_text())["architectures"] == ["Dinov2WithRegistersModel"]
    assert load_encoder("dinov2-small-reg", str(weights)).parameters == 139_520
