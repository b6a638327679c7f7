"""LiFT trained for real: killed, on a full disk, with compiled steps; the weights are those of a plain training."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from test_kill import run_and_kill, run_whole
from test_store import add_shard, description, failures_of

from cia_bench.baselines.lift import load_lift, run
from cia_bench.baselines.lift.settings import LiFTSettings
from cia_bench.baselines.lift.train import train
from cia_bench.store import TrainingSet
from cia_bench.store_writing import open_folder

CIA = Path(sys.executable).parent / "cia"
N, T, D = 400, 8, 24


def sequences() -> np.ndarray:
    """Clips that drift in a direction of their own."""
    generator = np.random.default_rng(0)
    start, drift, noise = (generator.standard_normal((N, count, D)) for count in (1, 1, T))
    return (start + np.linspace(0, 1, T)[:, None] * drift + 0.1 * noise).astype(np.float32)


@pytest.fixture
def command(tmp_path, monkeypatch) -> list[str]:
    """Train on a store, some seconds, but for --out."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a model this small only waits for a second thread
    clip_ids = [f"v{i:04}" for i in range(N)]
    rows = pd.DataFrame({"clip_id": clip_ids, "key": "k", "video": clip_ids, "split": "train", "cut": False})
    rows["times_s"] = [[0.0] * T] * N
    add_shard(open_folder(tmp_path / "store", description(), "float16"), "epic", rows, sequences(), failures_of(""))
    options = ("--epochs", "60", "--batch-size", "32", "--learning-rate", "0.002", "--device", "cpu")
    return [str(CIA), "train", "lift", "--embeddings", str(tmp_path / "store"), *options, "--out"]


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("recipe", ["paper", "scaled"])
def test_a_killed_training_ends_with_the_weights_of_an_undisturbed_one(recipe, command, tmp_path):
    command = [*command[:-1], "--recipe", recipe, "--out"]
    run_whole([*command, "whole"], tmp_path)
    moments, out = random.Random(0), tmp_path / "out"
    for epoch in (2, 9, 18, 27, 36):

        def logged(epoch=epoch) -> bool:
            return len(lines_of(out / "metrics.jsonl")) >= epoch

        assert run_and_kill([*command, "out"], tmp_path, logged, moments.uniform(0, 0.2))
        assert (out / "unfinished.safetensors").exists() and not (out / "training.json").exists()
    # when the best so far is first written hangs on how long writing takes; at the end it is
    run_and_kill([*command, "out"], tmp_path, (out / "lift.safetensors").exists, 0)
    load_lift(out)
    run_whole([*command, "out"], tmp_path)
    files = ("lift.safetensors", "training.json")
    assert sorted(path.name for path in out.iterdir()) == sorted([".lock", "metrics.jsonl", *files])
    for name in files:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert [json.loads(line)["epoch"] for line in lines_of(out / "metrics.jsonl")] == list(range(1, 61))


def test_a_full_disk_stops_with_a_line_and_room_lets_it_go_on(command, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True).returncode:
        pytest.skip("this user may not mount a disk")
    try:
        run_whole([*command, "whole"], tmp_path)
        process = subprocess.Popen(
            [*command, str(disk / "out")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not (disk / "out" / "lift.safetensors").exists() and process.poll() is None:
            time.sleep(0.01)
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            while True:
                filler.write(bytes(65536))
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 1, said
        last = said.splitlines()[-1]
        assert last.startswith("Error: can't write to ") and "No space left on device; what was there stays" in last
        assert "Traceback" not in said
        (disk / "filler").unlink()
        run_whole([*command, str(disk / "out")], tmp_path)
        assert (disk / "out" / "lift.safetensors").read_bytes() == (
            tmp_path / "whole" / "lift.safetensors"
        ).read_bytes()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_compiled_steps_train_alike(tmp_path, monkeypatch):
    """Steps are compiled on GPUs alone; a CPU with a C++ compiler can show that they are the same."""
    ids = [f"v{i}" for i in range(N)]
    training, settings = (
        TrainingSet(sequences(), ids, ids, {}),
        LiFTSettings(dropout=0.0, epochs=4, learning_rate=0.001),
    )
    train(training, tmp_path / "plain", settings)
    compiled = []
    monkeypatch.setattr(run, "compiles", lambda device: compiled.append(device) or True)
    train(training, tmp_path / "compiled", settings)
    assert compiled
    with torch.no_grad():
        one, other = (load_lift(tmp_path / name)(torch.from_numpy(sequences())) for name in ("plain", "compiled"))
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


def test_without_a_compiler_steps_run_uncompiled_and_it_is_said(tmp_path, monkeypatch, caplog):
    ids = [f"v{i}" for i in range(N)]
    training, settings = TrainingSet(sequences(), ids, ids, {}), LiFTSettings(epochs=2)
    train(training, tmp_path / "plain", settings)
    monkeypatch.setattr(run, "compiles", lambda device: True)
    torch.compiler.reset()
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "/no/such/compiler"))
    train(training, tmp_path / "compiled", settings)
    assert caplog.text.count("steps run uncompiled, which is slower: ") == 1 and "/no/such/compiler" in caplog.text
    one, other = ((tmp_path / name / "lift.safetensors").read_bytes() for name in ("plain", "compiled"))
    assert one == other
