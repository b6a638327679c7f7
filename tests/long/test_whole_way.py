"""From annotations or rendered videos to a leaderboard: commands one after the other, and `cia demo` twice."""

import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
from conftest import SAMPLE, first_validation_clip, refusal, run_cia, snapshot
from test_lift_released import NAME, random_model, their_content, write
from test_readme import block, run_session
from test_store import add_shard, description, failures_of

from cia_bench.baselines.lift import LiFTConfig
from cia_bench.baselines.lift.released import ORIGIN
from cia_bench.store_writing import open_folder


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


def test_the_whole_way_with_every_option(tmp_path):
    build = run_cia(
        "build", "--source", "epic", "--annotations", SAMPLE, "--out", "data", "--profile", "paper", cwd=tmp_path
    )
    assert build.stdout.startswith("epic, profile paper: 8 groups, 319 clips\ncandidates: 74, of which 74 ready")
    assert "\nleft out: epic/" in build.stdout and "\nstrict split: by subject, " in build.stdout
    assert "under both labels, kept with the first: P03/videos/P03_01_159.0_160.5\n" in build.stdout
    assert re.search(r"wrote data/epic, fingerprint [0-9a-f]{12}\n$", build.stdout)
    verify = run_cia("verify", "--data", "data", cwd=tmp_path)
    assert verify.stdout.startswith("data/epic is sound: 8 groups, 319 clips, fingerprint ")
    (tmp_path / "save.py").write_text(
        "import numpy as np, cia_bench\n"
        "clips = cia_bench.read_data('data').clips.drop_duplicates('clip_id')\n"
        "np.savez('e.npz', ids=clips.clip_id.to_numpy(str), vectors=np.c_[clips.label, 1 - clips.label])\n"
    )
    subprocess.run([sys.executable, "save.py"], cwd=tmp_path, check=True)
    options = (
        "--data",
        "data",
        "--source",
        "epic",
        "--embeddings",
        "e.npz",
        "--model",
        "x:y",
        "--parameters",
        5,
        "--out",
        "r",
    )
    scored = run_cia("eval", *options, cwd=tmp_path)
    assert "epic       100.0 [100.0, 100.0], a constant answer 52.9; 8 groups, 131" in scored.stdout
    assert scored.stdout.endswith("wrote r/x_y\n")
    for form in ("table", "md", "csv"):
        printed = run_cia("leaderboard", "--results", "r", "--format", form, cwd=tmp_path)
        assert (
            run_cia("leaderboard", "--results", "r", "--format", form, "--out", "board", cwd=tmp_path).returncode == 0
        )
        assert (tmp_path / "board").read_text() == printed.stdout
        assert "x:y" in printed.stdout and "constant" in printed.stdout
    assert (
        run_cia("leaderboard", "--results", "r", "--out", "new/board.csv", cwd=tmp_path).stdout
        == "wrote new/board.csv\n"
    )
    with (tmp_path / "new" / "board.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["x:y", "constant"]


def test_eval_with_a_model_alone_extracts_what_the_store_lacks(place):
    shutil.rmtree(place / "cia-embeddings")
    first = run_cia("eval", "--model", "pixels:concat", cwd=place)
    assert first.stdout.startswith("pixels: 280 new embeddings, 0 kept, in cia-embeddings/pixels\n"), first.stderr
    assert "pixels:concat (1728 numbers)" in first.stdout
    again = run_cia("eval", "--model", "pixels:mean", cwd=place)
    assert again.stdout.startswith("pixels: 0 new embeddings, 280 kept, in cia-embeddings/pixels\n")


def test_a_corrupt_clip_is_one_failure_and_changes_no_other_answer(place):
    run_cia("eval", "--model", "pixels:concat", cwd=place)
    predictions = place / "cia-results" / "pixels_concat" / "predictions.parquet"
    before = pd.read_parquet(predictions)
    shutil.rmtree(place / "cia-results")
    clip_id, video = first_validation_clip(place)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    run = run_cia("eval", "--model", "pixels:concat", cwd=place)
    assert run.returncode == 0, run.stderr
    assert "pixels: 0 new embeddings, 279 kept, in cia-embeddings/pixels\n" in run.stdout
    assert f"pixels: failed {clip_id}: " in run.stdout and video.name in run.stdout
    assert "coverage: 168 of 168 training rows and 111 of 112 validation rows; the other clips failed" in run.stdout
    failures = pd.read_parquet(place / "cia-embeddings" / "pixels" / "failures.parquet")
    assert failures.clip_id.tolist() == [clip_id]
    after = pd.read_parquet(predictions)
    pd.testing.assert_frame_equal(after, before[before.clip_id != clip_id].reset_index(drop=True))
    assert "coverage: 168 of 168 training rows and 111 of 112" in run_cia("leaderboard", cwd=place).stdout


def test_sources_without_videos_or_embeddings_are_left_out_and_named(place):
    run_cia("build", "--source", "epic", "--annotations", SAMPLE, cwd=place)
    extracted = run_cia("extract", "--model", "pixels", cwd=place)
    assert "left out epic: no folder with its videos at cia-data/epic/videos" in extracted.stderr
    scored = run_cia("eval", "--model", "pixels:mean", cwd=place, CIA_VIDEOS="elsewhere")
    assert "left out epic: no embedding of its clips" in scored.stdout, scored.stderr
    message = refusal("extract", "--model", "pixels", "--source", "epic", cwd=place, CIA_VIDEOS="elsewhere")
    assert "no folder with the videos of epic at cia-data/epic/videos or elsewhere/epic; give --videos DIR" in message


def test_the_checkpoint_of_lifts_authors_scores_as_it_is_and_converted(place):
    write(their_content(random_model(LiFTConfig())), place / NAME)
    run = run_cia("convert", "lift", NAME, "--out", "lift-released", cwd=place)
    said = "lift: 8,728,320 parameters in 4 layers, for 384 features a frame\nwrote lift-released\n"
    assert (run.stdout, run.stderr) == (said, "")
    clips = pd.read_parquet(place / "cia-data" / "synthetic" / "clips.parquet").drop_duplicates("clip_id")
    rows = clips[["clip_id", "video", "split"]].assign(key="k", times_s=[np.arange(16.0)] * len(clips), cut=False)
    vectors = np.random.default_rng(0).standard_normal((len(clips), 16, 384)).astype(np.float32)
    store = open_folder(place / "store", description("dinov2-small-reg", **ORIGIN["frames"]))
    add_shard(store, "synthetic", rows, vectors, failures_of(""))
    for weights, out in ((NAME, "a"), ("lift-released", "b")):
        options = ("--model", "lift", "--weights", f"lift={weights}", "--out", out, "--device", "cpu")
        run = run_cia("eval", "--embeddings", "store", *options, cwd=place)
        assert run.stdout.startswith("lift (768 numbers), paper protocol"), run.stderr
    one, other = (pd.read_parquet(place / out / "lift" / "predictions.parquet") for out in ("a", "b"))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_the_readmes_training_goes_into_the_readmes_score(place):
    shutil.rmtree(place / "lift-pixels")
    train, score = (line.split("#")[0].split()[1:] for line in block("sh train").splitlines())
    first = run_cia(*train, cwd=place, OMP_NUM_THREADS="1")  # a model this small only waits for a second thread
    assert first.stdout.startswith("lift: 151 clips, 17 held out; kept epoch "), first.stderr
    assert run_cia(*score, cwd=place).stdout.startswith("pixels: 0 new embeddings"), score
    again = run_cia(*train, cwd=place)
    assert again.stdout.startswith("lift: 151 clips") and again.stderr == ""  # it is done


def test_lift_is_trained_on_any_frame_encoder_and_is_for_that_alone(place):
    (place / "my_models").mkdir()
    (place / "my_models" / "colour.py").write_text(block("python model"))
    name, options = "my_models.colour:Colour", ("--device", "cpu", "--encoder")
    assert run_cia("extract", "--model", name, cwd=place).returncode == 0
    trained = run_cia("train", "lift", "--epochs", 5, "--out", "lift-colour", *options, name, cwd=place)
    assert trained.returncode == 0, trained.stderr
    scored = run_cia("eval", "--model", f"{name}:lift", "--weights", "lift=lift-colour", cwd=place)
    assert f"{name}:lift (16 numbers), paper protocol" in scored.stdout, scored.stderr  # 3 colours, 8 heads
    message = refusal("eval", "--model", "pixels:lift", "--weights", "lift=lift-colour", cwd=place)
    assert f"these weights of lift were trained on the sequences of {name}, not pixels; train others" in message
    (place / "my_models" / "colour.py").write_text(block("python model") + "# another one now\n")
    other = run_cia("eval", "--model", f"{name}:lift", "--weights", "lift=lift-colour", cwd=place)
    assert other.returncode == 1 and "its clips are embedded anew" in other.stderr
    assert f"trained on the sequences of {name} with other weights or frames; train others" in other.stderr


def test_the_readmes_strict_scores_are_those_of_the_real_files(epic100, tmp_path):
    session = block("sh strict").replace("cia eval --embeddings kitchen.npz\n", "")  # the strict one alone
    shown = block("text strict").partition("wrote cia-results/kitchen\n")[2]
    printed = run_session("cia build --source epic\n" + session, tmp_path, epic100)
    assert printed.endswith(shown)
