"""From rendered videos to a leaderboard, command by command and by `cia demo` twice."""

import json
import re
import shutil

from conftest import run_cia, snapshot


def test_the_whole_way_command_by_command(tmp_path):
    built = run_cia("build", "--source", "synthetic", "--size", "tiny", "--seed", 3, "--out", "data", cwd=tmp_path)
    assert built.stdout.startswith("synthetic, size tiny, seed 3: 14 groups, 280 clips\n"), built.stderr
    assert run_cia("verify", "--data", "data", cwd=tmp_path).returncode == 0
    store = ("--out", "store", "--source", "synthetic", "--videos", "data/synthetic/videos", "--device", "cpu")
    extracted = run_cia(
        "extract", "--model", "pixels:lift", "--model", "pixels", "--data", "data", *store, cwd=tmp_path
    )
    assert extracted.stdout == "pixels: 280 new embeddings, 0 kept, in store/pixels\n", extracted.stderr
    options = ("--epochs", 2, "--batch-size", 16, "--learning-rate", 0.002, "--width", 24, "--seed", 5, "--standardise")
    where = ("--embeddings", "store", "--encoder", "pixels", "--out", "lift", "--device", "cpu")
    trained = run_cia("train", "lift", *where, *options, cwd=tmp_path)
    assert re.match(r"lift: 151 clips, 17 held out; kept epoch [12], held-out loss ", trained.stdout), trained.stderr
    settings = json.loads((tmp_path / "lift" / "training.json").read_text())["settings"]
    assert (settings["width"], settings["seed"], settings["standardise"]) == (24, 5, True)
    scored = run_cia(
        *("eval", "--data", "data", "--embeddings", "store", "--model", "pixels:lift", "--weights", "lift=lift"),
        *("--out", "results", "--device", "cpu"),
        cwd=tmp_path,
    )
    assert scored.stdout.startswith("pixels:lift (48 numbers), paper protocol"), scored.stderr
    assert "wrote results/pixels_lift" in scored.stdout
    assert "pixels:lift" in run_cia("leaderboard", "--results", "results", cwd=tmp_path).stdout


def test_a_second_demo_keeps_what_is_there_and_ends_the_same(demo, tmp_path):
    folder = shutil.copytree(demo.folder, tmp_path / "cia-demo")
    run = run_cia("demo", "--size", "tiny", cwd=tmp_path)
    assert run.returncode == 0 and run.stdout == demo.output and run.stderr == ""
    assert snapshot(folder) == snapshot(demo.folder)
