"""kill -9 at any moment leaves whole files, and the command run again ends with the bytes of an undisturbed run."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import SAMPLE, snapshot, untimed
from test_extract import write_video

CIA = Path(sys.executable).parent / "cia"


def run_whole(command: list[str], cwd: Path) -> float:
    """Run a command to its end; return how many seconds it took."""
    started = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - started


def run_and_kill(command: list[str], cwd: Path, wait_s: float, scratch: Path | None) -> bool:
    """Start a command and kill -9 it after `wait_s`, counted from when `scratch` appears; tell if it was killed."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while scratch and process.poll() is None and not scratch.exists():
        time.sleep(0.0005)
    time.sleep(wait_s)
    process.kill()
    return process.wait() == -signal.SIGKILL


def is_whole(path: Path) -> bool:
    if path.suffix == ".parquet":
        return pq.ParquetFile(path).read().num_rows > 0
    return path.read_text().endswith("}\n")


@pytest.mark.parametrize("stage", ["build", "eval"])
def test_a_killed_command_leaves_whole_files_and_runs_again(stage, tmp_path):
    build = [str(CIA), "build", "--source", "epic", "--annotations", str(SAMPLE)]
    run_whole(build, tmp_path)
    (tmp_path / "save.py").write_text(
        "import numpy as np, cia_bench\n"
        "ids = cia_bench.read_data('cia-data').clips.clip_id.unique()\n"
        "np.savez('e.npz', ids=np.array(ids, str), vectors=np.random.default_rng(0).standard_normal((len(ids), 64)))\n"
    )
    subprocess.run([sys.executable, "save.py"], cwd=tmp_path, check=True)
    command, out, scratch = {
        "build": (build, tmp_path / "cia-data", "epic/.part-build.json"),
        "eval": ([str(CIA), "eval", "--embeddings", "e.npz"], tmp_path / "cia-results", "e/.part-result.json"),
    }[stage]
    whole_s = run_whole(command, tmp_path)
    expected = snapshot(out)
    moments = random.Random(0)
    killed = {True: 0, False: 0}
    for number in range(30):
        shutil.rmtree(out)
        once_writing = number % 2 == 0
        wait_s = moments.uniform(0, 0.01 if once_writing else 0.9 * whole_s)
        killed[once_writing] += run_and_kill(command, tmp_path, wait_s, out / scratch if once_writing else None)
        left = [path for path in out.rglob("*") if path.is_file() and ".part-" not in str(path)]
        assert all(is_whole(path) for path in left)
        whole_s = run_whole(command, tmp_path)
        assert snapshot(out) == expected
    assert min(killed.values()) > 5, killed  # otherwise the moments tell nothing


PLUG_IN = """
import os
import time
from cia_bench.encoders import Encoder, FrameSpec

class Counted(Encoder):
    frames = FrameSpec(count=4, size=16)
    def embed(self, frames):
        with open(os.environ["EMBEDDED"], "a") as file:
            file.write(f"{len(frames)}\\n")
        time.sleep(0.05)  # a killed run should have something to lose
        return frames.mean(axis=(2, 3), dtype="float32")
"""
CLIPS, BATCH, KILLS = 300, 16, 30  # two shards; a batch is the command's default


def test_extraction_killed_anywhere_redoes_at_most_a_batch_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    for number in range(CLIPS):
        path = tmp_path / "videos" / f"{number % 7}" / f"{number}.mp4"
        write_video(path, seed=number, count=6)
        if number % 50 == 3:
            path.write_bytes(path.read_bytes()[:400])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "counted.py").write_text(PLUG_IN)
    monkeypatch.setenv("EMBEDDED", str(tmp_path / "embedded.txt"))
    command = [str(CIA), "extract", "--model", "mine.counted:Counted", "--model", "pixels", "--videos", "videos"]
    whole_s = run_whole(command, tmp_path)
    store = tmp_path / "cia-embeddings"
    expected = snapshot(store)
    good = sum(map(int, (tmp_path / "embedded.txt").read_text().split()))
    assert good == CLIPS - CLIPS // 50

    moments, killed, ends = random.Random(0), 0, 0
    while killed < KILLS:
        shutil.rmtree(store, ignore_errors=True)
        (tmp_path / "embedded.txt").write_text("")
        of_this_store = 0
        while killed < KILLS and run_and_kill(command, tmp_path, moments.uniform(0.3, 1) * whole_s, None):
            of_this_store, killed = of_this_store + 1, killed + 1
            left = [path for path in store.rglob("*.parquet") if not path.name.startswith(".")]
            assert all(is_whole(path) for path in left)
        run_whole(command, tmp_path)
        ends += 1
        assert snapshot(store) == expected
        embedded = sum(map(int, (tmp_path / "embedded.txt").read_text().split()))
        assert embedded <= good + of_this_store * BATCH
    assert ends > 3, ends  # otherwise most runs were killed before they did anything


def test_two_boards_written_at_once_do_not_disturb_each_other(tmp_path):
    run_whole([str(CIA), "build", "--source", "epic", "--annotations", str(SAMPLE)], tmp_path)
    ids = pq.ParquetFile(tmp_path / "cia-data" / "epic" / "clips.parquet").read().column("clip_id").unique().to_pylist()
    np.savez(tmp_path / "e.npz", ids=np.array(ids), vectors=np.eye(len(ids)))
    run_whole([str(CIA), "eval", "--embeddings", "e.npz"], tmp_path)
    forms = ["md", "csv", "table"]
    for _ in range(3):
        processes = [
            subprocess.Popen([str(CIA), "leaderboard", "--format", form, "--out", f"board.{form}"], cwd=tmp_path)
            for form in forms
        ]
        assert [process.wait() for process in processes] == [0, 0, 0]
        assert all("constant" in (tmp_path / f"board.{form}").read_text() for form in forms)
    assert not list(tmp_path.glob(".part-*"))


def test_a_demo_killed_at_fifteen_moments_ends_with_the_bytes_of_an_undisturbed_one(tmp_path):
    command = [str(CIA), "demo", "--size", "tiny", "--out", "cia-demo"]
    (tmp_path / "undisturbed").mkdir()
    whole_s = run_whole(command, tmp_path / "undisturbed")
    moments = random.Random(1)
    killed = 0
    for _ in range(15):
        killed += run_and_kill(command, tmp_path, moments.uniform(0.05, 0.35) * whole_s, None)
    run_whole(command, tmp_path)
    assert killed > 5
    expected, found = (
        {
            name: untimed(content) if name.endswith("metrics.jsonl") else content
            for name, content in snapshot(folder / "cia-demo").items()
        }
        for folder in (tmp_path / "undisturbed", tmp_path)
    )
    assert expected.keys() == found.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
