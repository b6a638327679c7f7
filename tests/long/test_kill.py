"""kill -9 at any moment leaves whole files, and the command run again ends with the bytes of an undisturbed run."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import SAMPLE, snapshot

CIA = Path(sys.executable).parent / "cia"


def run_until(seconds: float | None, command: list[str], cwd: Path) -> float:
    """Run a command, killing it after a time unless that is None; return how long it ran."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, stderr = process.communicate(timeout=seconds)
        assert process.returncode == 0, stderr
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return time.perf_counter() - started


def is_whole(path: Path) -> bool:
    if path.suffix == ".parquet":
        return pq.ParquetFile(path).read().num_rows > 0
    return path.read_text().endswith("}\n")


@pytest.mark.parametrize("stage", ["build", "eval"])
def test_a_killed_command_leaves_whole_files_and_runs_again(stage, tmp_path):
    build = [str(CIA), "build", "--source", "epic", "--annotations", str(SAMPLE)]
    run_until(None, build, tmp_path)
    (tmp_path / "save.py").write_text(
        "import numpy as np, cia_bench\n"
        "ids = cia_bench.read_data('cia-data').clips.clip_id.unique()\n"
        "np.savez('e.npz', ids=np.array(ids, str), vectors=np.random.default_rng(0).standard_normal((len(ids), 64)))\n"
    )
    subprocess.run([sys.executable, "save.py"], cwd=tmp_path, check=True)
    command, out = {
        "build": (build, tmp_path / "cia-data"),
        "eval": ([str(CIA), "eval", "--embeddings", "e.npz"], tmp_path / "cia-results"),
    }[stage]
    shutil.rmtree(tmp_path / "cia-results", ignore_errors=True)
    if stage == "build":
        shutil.rmtree(out)
    whole_s = run_until(None, command, tmp_path)
    expected = snapshot(out)
    moments = random.Random(0)
    interrupted = 0
    for _ in range(30):
        shutil.rmtree(out)
        run_until(moments.uniform(0.5, 1.0) * whole_s, command, tmp_path)
        left = [path for path in out.rglob("*") if path.is_file() and ".part-" not in str(path)]
        assert all(is_whole(path) for path in left)
        interrupted += snapshot(out) != expected
        run_until(None, command, tmp_path)
        assert snapshot(out) == expected
    assert interrupted > 5  # otherwise the moments tell nothing


def test_two_boards_written_at_once_do_not_disturb_each_other(tmp_path):
    run_until(None, [str(CIA), "build", "--source", "epic", "--annotations", str(SAMPLE)], tmp_path)
    ids = pq.ParquetFile(tmp_path / "cia-data" / "epic" / "clips.parquet").read().column("clip_id").unique().to_pylist()
    np.savez(tmp_path / "e.npz", ids=np.array(ids), vectors=np.eye(len(ids)))
    run_until(None, [str(CIA), "eval", "--embeddings", "e.npz"], tmp_path)
    forms = ["md", "csv", "table"]
    for _ in range(3):
        processes = [
            subprocess.Popen([str(CIA), "leaderboard", "--format", form, "--out", f"board.{form}"], cwd=tmp_path)
            for form in forms
        ]
        assert [process.wait() for process in processes] == [0, 0, 0]
        assert all("constant" in (tmp_path / f"board.{form}").read_text() for form in forms)
    assert not list(tmp_path.glob(".part-*"))
