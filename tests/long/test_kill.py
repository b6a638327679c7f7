"""kill -9 at any moment leaves whole files, and the command run again ends with the bytes of an undisturbed run."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import SAMPLE, snapshot, untimed
from test_extract import write_video

CIA = Path(sys.executable).parent / "cia"
KILLED_CIA = Path(__file__).parent / "killed_cia.py"


def run_whole(command: list[str], cwd: Path) -> None:
    """Run a command to its end, which is a good one."""
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)


def run_and_kill(command: list[str], cwd: Path, reached: Callable[[], bool], wait_s: float) -> bool:
    """Start a command and kill -9 it `wait_s` after it has `reached` something; tell if it was killed."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not reached() and process.poll() is None:
        time.sleep(0.005)
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
    arguments, out = {
        "build": (build[1:], tmp_path / "cia-data"),
        "eval": (["eval", "--embeddings", "e.npz"], tmp_path / "cia-results"),
    }[stage]

    def run(kind: str, number: int, delay_s: float = 0) -> subprocess.CompletedProcess:
        how = [sys.executable, KILLED_CIA, out, kind, str(number), str(delay_s)]
        return subprocess.run([*how, *arguments], cwd=tmp_path, capture_output=True, text=True)

    shutil.rmtree(out, ignore_errors=True)
    whole = run("acts", 0)
    assert whole.returncode == 0, whole.stderr
    before_writing, writes = map(int, whole.stdout.splitlines()[-1].split())
    expected = snapshot(out)
    moments = random.Random(0)
    acts = [("acts", moments.randrange(1, before_writing)) for _ in range(5)]
    at_once = [(*moment, 0) for moment in [*acts, *(("writes", number) for number in range(1, writes + 1))]]
    later = [("writes", moments.randint(1, writes), moments.uniform(0, 0.01)) for _ in range(10)]
    gone_on_from = []
    for kind, number, delay_s in [*at_once, *later]:
        shutil.rmtree(out, ignore_errors=True)
        killed = run(kind, number, delay_s)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        left = {str(path): path.is_file() and path.read_bytes() for path in out.rglob("*")}
        assert kind == "writes" or not out.exists()
        assert all(is_whole(Path(path)) for path in left if left[path] is not False and ".part-" not in path)
        if left in gone_on_from:
            continue
        gone_on_from.append(left)
        run_whole([str(CIA), *arguments], tmp_path)
        assert snapshot(out) == expected
    assert len(gone_on_from) > 5  # nothing, scratch files of each kind, and some but not all under their names


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
CLIPS, BATCH, KILLS = 300, 16, 24  # two shards; a batch is the command's default


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
    noted = tmp_path / "embedded.txt"

    def batches() -> list[int]:
        return [int(clips) for clips in noted.read_text().split()]

    run_whole(command, tmp_path)
    store = tmp_path / "cia-embeddings"
    expected = snapshot(store)
    good = sum(batches())
    assert good == CLIPS - CLIPS // 50

    def kill_after(more: int, wait_s: float) -> bool:
        wanted = len(batches()) + more
        return run_and_kill(command, tmp_path, lambda: len(batches()) >= wanted, wait_s)

    moments, killed, ends = random.Random(0), 0, 0
    while killed < KILLS:
        shutil.rmtree(store, ignore_errors=True)
        noted.write_text("")
        of_this_store = 0
        while killed < KILLS and kill_after(moments.randrange(12), moments.uniform(0, 0.1)):
            of_this_store, killed = of_this_store + 1, killed + 1
            left = [path for path in store.rglob("*.parquet") if not path.name.startswith(".")]
            assert all(is_whole(path) for path in left)
        run_whole(command, tmp_path)
        ends += 1
        assert snapshot(store) == expected
        assert sum(batches()) <= good + of_this_store * BATCH
    assert ends > 3, ends  # otherwise few runs were killed after they had done something


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


STAGES = (  # what `cia demo` leaves one after the other
    "cia-data/synthetic/videos",
    "cia-data/synthetic/clips.parquet",
    "dinov2-random/config.json",
    "cia-embeddings/pixels/store.json",
    "cia-embeddings/dinov2-small-reg/store.json",
    "lift-pixels/metrics.jsonl",
    "cia-results/pixels_mean/result.json",
    "cia-results/pixels_last-frame/result.json",
    "lift-dinov2-random/metrics.jsonl",
    "cia-results/dinov2-random_lift/result.json",
)


def test_a_demo_killed_in_each_of_its_stages_ends_with_the_bytes_of_an_undisturbed_one(demo, tmp_path):
    command = [str(CIA), "demo", "--size", "tiny", "--out", "cia-demo"]
    moments, killed = random.Random(1), 0
    for stage in STAGES:
        path = tmp_path / "cia-demo" / stage
        if not path.exists():  # else the last kill came late
            killed += run_and_kill(command, tmp_path, path.exists, moments.uniform(0, 1))
    run_whole(command, tmp_path)
    assert killed > 5
    expected, found = (
        {
            name: untimed(content) if name.endswith("metrics.jsonl") else content
            for name, content in snapshot(folder).items()
        }
        for folder in (demo.folder, tmp_path / "cia-demo")
    )
    assert expected.keys() == found.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
