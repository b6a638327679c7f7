"""README's commands for more videos than one process should embed, on a few videos and a model without weights."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import snapshot
from test_extract import write_video
from test_readme import block

from cia_bench.store import read_store

VIDEOS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(VIDEOS):
        write_video(tmp_path / "kinetics" / f"class {number % 3}" / f"{number}.mp4", seed=number)
    return tmp_path


def run(commands: str, cwd: Path, **environment: str) -> str:
    """Run a block of the README with `pixels` in place of its model."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e"],
        input=commands.replace("dinov2-small-reg", "pixels"),
        cwd=cwd,
        env={**os.environ, **environment, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_eight_processes_fill_one_store_that_is_read_as_one(folder):
    run(block("sh node"), folder)
    parts = sorted(path.name for path in (folder / "cia-embeddings").glob("shard-*"))
    assert parts == [f"shard-{index}-of-8" for index in range(1, 9)]
    run("cia extract --model dinov2-small-reg --videos kinetics --dtype float16 --out whole", folder)
    parted, whole = (read_store(folder / name, "pixels") for name in ("cia-embeddings", "whole"))
    assert parted.clips.equals(whole.clips) and (parted.embeddings == whole.embeddings).all()
    assert f"0 new embeddings, {VIDEOS} kept" in run("cia extract --model dinov2-small-reg --videos kinetics", folder)


def test_a_job_of_the_slurm_array_embeds_its_part(folder):
    (command,) = re.findall(r"'(cia extract .*)'", block("sh slurm"))
    jobs = int(re.search(r"--array=1-(\d+)", block("sh slurm"))[1])
    output = run(command, folder, SLURM_ARRAY_TASK_ID=str(jobs))
    assert f"pixels: 1 new embeddings, 0 kept, in cia-embeddings/shard-{jobs}-of-{jobs}/pixels" in output


def test_ray_fills_the_store_that_one_process_fills(folder):
    run(block("sh ray"), folder)
    run("cia extract --model dinov2-small-reg --videos kinetics --dtype float16 --out alone", folder)
    assert snapshot(folder / "cia-embeddings") == snapshot(folder / "alone")
