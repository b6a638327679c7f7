"""What a user runs to score models on videos: extract, train, eval, and what each says when it can't."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import first_validation_clip, snapshot
from test_extract import write_damaged_video

from cia_bench.cli import main


@pytest.fixture(scope="module")
def unchanged_place(demo, tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """Such a folder, and what is in it."""
    folder = tmp_path_factory.mktemp("unchanged")
    for name in ("cia-data", "cia-embeddings", "lift-pixels"):
        shutil.copytree(demo.folder / name, folder / name)
    return folder, snapshot(folder)


def test_a_mended_clip_is_scored_after_retry_failed(place, monkeypatch):
    monkeypatch.chdir(place)

    def cia(command: str):
        return CliRunner().invoke(main, command.split())  # in this process: torch is slow to import

    clip_id, video = first_validation_clip(place)
    whole = write_damaged_video(video)
    score = "eval --model pixels:concat --device cpu"
    refused = cia(f"{score} --min-coverage 0.995")
    assert refused.exit_code == 1, refused.output
    assert refused.stderr.splitlines()[-1] == (  # after the progress of extraction
        "Error: cia-embeddings (pixels:concat) covers 99.1% of the validation rows of synthetic (111 of 112), less "
        "than --min-coverage 0.995; failures.parquet there says why clips failed: try them again with --retry-failed, "
        "mend their videos, or give a lower --min-coverage"
    )
    assert not (place / "cia-results").exists()
    accepted = cia(f"{score} --min-coverage 0.99 --out partial")
    assert accepted.exit_code == 0 and "which leaves 100% and 99.1%\n    synthetic/" in accepted.stdout, accepted.output
    assert json.loads((place / "partial" / "pixels_concat" / "result.json").read_text())["min_coverage"] == 0.99

    left = f"pixels: 0 new embeddings, 279 kept, in cia-embeddings/pixels\npixels: failed {clip_id}: "
    still = cia("extract --model pixels --retry-failed")
    assert still.stdout.startswith(left) and "extract pixels: 1/1" in still.stderr
    video.write_bytes(whole)  # which nothing that is read of a video to know it again tells
    for command in ("extract --model pixels", f"{score} --min-coverage 0.99 --out partial"):
        known = cia(command)
        assert known.stdout.startswith(left) and known.stderr == "", known.output
    mended = cia(f"{score} --min-coverage 1 --retry-failed")
    assert mended.stdout.startswith("pixels: 1 new embeddings, 279 kept, in cia-embeddings/pixels\npixels:concat ")
    assert "failed" not in mended.stdout and "coverage" not in mended.stdout, mended.output
    assert not len(pd.read_parquet(place / "cia-embeddings" / "pixels" / "failures.parquet"))
    again = cia("extract --model pixels --retry-failed")
    assert again.stdout == "pixels: 0 new embeddings, 280 kept, in cia-embeddings/pixels\n"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("build --source synthetic --size huge", "unknown size 'huge'; choose from tiny, small, medium"),
        ("build --source synthetic --seed -1", "seed is -1; it can't be negative"),
        ("build --source synthetic --size tiny --seed 1", "holds another build (size tiny, seed 0, 14 groups"),
        (
            "build --source synthetic --annotations x",
            "synthetic has --out, --size and --seed; it has no annotation files",
        ),
        (
            "build --source synthetic --profile extended",
            "synthetic has --out, --size and --seed; it has no annotation files",
        ),
        ("build --source synthetic --balance", "synthetic has --out, --size and --seed; it has no annotation files"),
        ("build --source epic --annotations x --size tiny", "--size is for --source synthetic, not epic"),
        (
            "build --source kinetics --size tiny",
            "unknown source 'kinetics'; choose from charades, epic, ssv2, synthetic",
        ),
        ("extract --model sift", "unknown encoder 'sift'; cia models lists them all"),
        ("extract --model pixels --videos nowhere", "no folder with the videos of synthetic at nowhere"),
        ("extract --model pixels --weights pixels", "--weights 'pixels' is not like lift=DIR"),
        ("extract --model pixels --weights pixels=x", "Pixels has no weights to load from x"),
        ("extract --model pixels --weights clip=x", "weights of 'clip', which no model here has"),
        ("extract --model pixels --device tpu", "torch has no device 'tpu'"),
        ("extract --model dinov2-small-reg --weights dinov2-small-reg=none", "weights folder none does not exist"),
        ("extract --model dinov2-small-reg --weights dinov2-small-reg=lift-pixels", "lift-pixels/config.json can't be"),
        ("train hift --out x", "unknown trainer 'hift'; choose from lift"),
        ("train lift --out x", "embeddings of dinov2-small-reg, pixels; choose with --encoder"),
        ("train lift --out x --encoder clip", "cia-embeddings has no embeddings of clip; it has dinov2-small-reg, pix"),
        ("train lift --out x --encoder pixels --epochs 0", "epochs is 0; training needs at least 1"),
        ("train lift --out lift-pixels --encoder pixels", "lift-pixels holds a training with other settings"),
        ("train lift --out x --encoder pixels --recipe best", "unknown recipe 'best'; choose from scaled, paper"),
        ("train lift --out x --encoder pixels --no-standardise", "augment mixes clips of centred features; it needs"),
        ("train lift --out x --encoder pixels --precision int8", "unknown precision 'int8'; choose from float32"),
        ("train lift --out x --embeddings cia-data", "cia-data is no store of embeddings; cia extract --out cia-data"),
        ("eval", "what to score? give --model ENCODER:SUMMARY"),
        ("eval --model pixels", "pixels gives one vector a frame; give --model pixels:SUMMARY, like pixels:concat"),
        (
            "eval --model pixels:median",
            "unknown summary 'median'; choose from concat, first-frame, last-frame, lift, mean, random",
        ),
        ("eval --model lift", "the summary lift needs weights: train some with cia train lift --embeddings STORE"),
        ("eval --model pixels:lift", "the summary lift needs weights: train some with cia train lift"),
        ("eval --model pixels:lift --weights lift=cia-data", "there is no LiFT checkpoint cia-data/lift.safetensors"),
        ("eval --model pixels:lift --weights lift=a=b", "there is no LiFT checkpoint a=b"),
        ("eval --model a:b:c", "model 'a:b:c' is not like encoder:summary"),
        ("eval --embeddings cia-embeddings", "has embeddings of dinov2-small-reg, pixels; choose with --model"),
        ("eval --embeddings cia-embeddings --model pixels:mean --retry-failed", "--embeddings give it to cia extract"),
        ("eval --model pixels:mean --min-coverage 98", "min_coverage is 98.0; it is a share, from 0 to 1"),
        ("eval --embeddings cia-embeddings --model pixels:mean --videos x", "with --embeddings they are there already"),
        (
            "eval --embeddings cia-embeddings --model dinov2-small-reg:lift --weights lift=lift-pixels",
            "these weights of lift were trained on the sequences of pixels, not dinov2-small-reg; train others",
        ),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(unchanged_place, monkeypatch, command, expected):
    folder, before = unchanged_place
    monkeypatch.chdir(folder)
    run = CliRunner().invoke(main, command.split())  # in this process: torch is slow to import
    assert run.exit_code == 1 and run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1, run.output
    assert expected in run.stderr
    assert snapshot(folder) == before
