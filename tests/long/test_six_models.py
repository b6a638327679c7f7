"""Six models of transformers on the tiny synthetic benchmark, from videos to a leaderboard, by the commands."""

import json
import re
from pathlib import Path

import pytest
from conftest import refusal, run_cia
from tiny_models import kind_of, save_tiny

MODELS = {  # encoder and how it is summarised
    "dinov2-small": "concat",
    "clip-b16-projected": "mean",
    "siglip2-base": "concat",
    "videomae-base-ssv2": None,
    "vjepa2-large": None,
    "timesformer-k400": None,
}
SAW = {"videomae-base-ssv2": {"ssv2": "labels"}, "vjepa2-large": {"ssv2": "clips", "kinetics": "clips"}}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def name_of(encoder: str) -> str:
    return f"{encoder}:{MODELS[encoder]}" if MODELS[encoder] else encoder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the tiny benchmark, six checkpoints, and what the six encoders gave."""
    place = tmp_path_factory.mktemp("six")
    built = run_cia("build", "--source", "synthetic", "--size", "tiny", cwd=place)
    assert built.returncode == 0, built.stderr
    options = []
    for encoder in MODELS:
        save_tiny(kind_of(encoder), place / encoder)
        options += ["--model", name_of(encoder), "--weights", f"{encoder}={encoder}"]
    run = run_cia("extract", *options, "--device", "cpu", cwd=place, **ONE_THREAD)
    assert run.returncode == 0, run.stderr
    lines = [f"{encoder}: 280 new embeddings, 0 kept, in cia-embeddings/{encoder}" for encoder in MODELS]
    assert run.stdout.splitlines() == lines
    return place


def test_six_models_from_videos_to_a_leaderboard(place):
    for encoder in MODELS:
        options = ("--embeddings", "cia-embeddings", "--model", name_of(encoder))
        run = run_cia("eval", *options, cwd=place, **ONE_THREAD)
        assert run.returncode == 0, run.stderr
        (result,) = (place / "cia-results").glob(f"{encoder}*/result.json")
        record = json.loads(result.read_text())
        assert record["model"]["saw"] == record["embeddings"]["saw"]
        assert record["model"]["saw"] == SAW.get(encoder, {"kinetics": "labels"} if "k400" in encoder else {})
    board = run_cia("leaderboard", "--format", "csv", cwd=place)
    assert board.returncode == 0, board.stderr
    rows = {line.split(",")[0]: line for line in board.stdout.splitlines()}
    assert {name_of(encoder) for encoder in MODELS} <= rows.keys()


def test_a_frame_encoder_of_transformers_takes_lift_and_refuses_anothers(place):
    train = ("train", "lift", "--encoder", "dinov2-small", "--out", "lift", "--epochs", 2, "--device", "cpu")
    assert run_cia(*train, cwd=place, **ONE_THREAD).returncode == 0
    model = ("eval", "--embeddings", "cia-embeddings", "--model")
    run = run_cia(*model, "dinov2-small:lift", "--weights", "lift=lift", cwd=place, **ONE_THREAD)
    assert re.match(r"dinov2-small:lift \(\d+ numbers\), paper protocol", run.stdout), run.stderr
    refused = refusal(*model, "siglip2-base:lift", "--weights", "lift=lift", cwd=place, **ONE_THREAD)
    wanted = "these weights of lift were trained on the sequences of dinov2-small, not siglip2-base; train others"
    assert refused.endswith(wanted)


def test_a_video_model_joined_with_a_frame_model_saw_what_either_saw(place):
    name = "vjepa2-large+dinov2-small:concat"
    run = run_cia("eval", "--embeddings", "cia-embeddings", "--model", name, "--out", "both", cwd=place, **ONE_THREAD)
    assert run.returncode == 0, run.stderr
    (result,) = (place / "both").glob("*/result.json")
    assert json.loads(result.read_text())["model"]["saw"] == SAW["vjepa2-large"]


def test_eval_extracts_a_video_model_in_one_command(place):
    save_tiny("vivit", place / "vivit")
    options = ("--model", "vivit-k400", "--weights", "vivit-k400=vivit", "--device", "cpu")
    run = run_cia("eval", *options, cwd=place, **ONE_THREAD)
    assert run.returncode == 0, run.stderr
    assert "vivit-k400 (32 numbers), paper protocol" in run.stdout


def test_offline_and_without_weights_it_is_one_line_that_says_what_to_get(tmp_path, place):
    cache = {"HF_HOME": str(tmp_path), **ONE_THREAD}
    message = refusal("eval", "--model", "videomae-large", cwd=place, **cache)
    assert message.startswith("Error: can't get the weights MCG-NJU/videomae-large from the hub: ")
    page = "https://huggingface.co/MCG-NJU/videomae-large/tree/12da269a02d3e1fbbb7011e610e591fea8061dca"
    assert f"the weights from {page} into a folder, and give --weights MODEL=DIR" in message
