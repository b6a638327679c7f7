"""Results of a store's models, packed with the vectors that a summary made, and verified."""

import json

import pytest
from click.testing import CliRunner
from conftest import first_validation_clip
from test_extract import write_damaged_video

from cia_bench.cli import main


def cia(*arguments: str):
    return CliRunner().invoke(main, arguments)  # in this process: torch is slow to import


@pytest.mark.parametrize(
    ("folder", "scored"),
    [
        ("pixels_lift", ("--model", "pixels:lift", "--weights", "lift=lift-pixels")),
        ("pixels_concat+pixels_mean__l2_", ("--model", "pixels:concat+pixels:mean", "--combine", "l2")),
        ("pixels", ("--model", "pixels", "--probe", "attentive")),
    ],
)
def test_what_a_store_scored_is_verified(folder, scored, place, monkeypatch):
    monkeypatch.chdir(place)
    run = cia("eval", "--embeddings", "cia-embeddings", *scored)
    assert run.exit_code == 0, run.output
    weights = scored[2:] if "--weights" in scored else ()
    packed = cia("submission", "pack", f"cia-results/{folder}", "--embeddings", "cia-embeddings", *weights)
    assert packed.exit_code == 0, packed.output
    checked = cia("submission", "check", f"cia-results/{folder}.zip", "--data", "cia-data", "--out", "board")
    assert checked.exit_code == 0, checked.output
    assert json.loads((place / "board" / folder / "submission.json").read_text())["verified"] is True


def test_a_store_with_a_clip_that_failed_is_verified_with_its_coverage(place, monkeypatch):
    monkeypatch.chdir(place)
    _, video = first_validation_clip(place)
    write_damaged_video(video)
    run = cia("eval", "--model", "pixels:concat", "--device", "cpu", "--min-coverage", "0.9")
    assert run.exit_code == 0, run.output
    assert cia("submission", "pack", "cia-results/pixels_concat", "--embeddings", "cia-embeddings").exit_code == 0
    checked = cia("submission", "check", "cia-results/pixels_concat.zip", "--data", "cia-data")
    assert "verified\n" in checked.output and "111 of 112 validation clips" in checked.output, checked.output
    refused = cia("submission", "check", "cia-results/pixels_concat.zip", "--min-coverage", "0.995")
    assert refused.exit_code == 1 and "less than --min-coverage 0.995" in refused.output
