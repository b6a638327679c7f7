"""What several tests share: the invented EPIC sample, a build of it, the real annotations where they are."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cia_bench.files import alone, read_json, write_json

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for a shell's background job: the commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
REPOSITORY = Path(__file__).parent.parent
SAMPLE = REPOSITORY / "tests" / "data" / "epic"
SHARED = REPOSITORY.parent / "shared"


def run_cia(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    """Run the installed command as a user would, and return what it printed."""
    command = [Path(sys.executable).parent / "cia", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)


def refusal(*arguments: object, cwd: Path | None = None, **environment: str) -> str:
    """Run the command, expect that it refuses as it should, and return the one line that says why."""
    run = run_cia(*arguments, cwd=cwd, **environment)
    assert run.returncode == 1, run.stdout + run.stderr
    assert run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1, run.stderr
    return run.stderr.strip()


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def untimed(metrics: bytes) -> list[dict]:
    """The epochs of a training's metrics, without the time that each took."""
    return [{**json.loads(line), "seconds": None, "videos_per_s": None} for line in metrics.splitlines()]


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """A copy of the invented EPIC annotations that a test may damage."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "annotations"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder of its own, which leaves no trace in what Python can import."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "my_models"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def one_thread():
    """Of torch, for models so small that they only wait for a second one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cia_bench.build import build

    data = tmp_path_factory.mktemp("sample") / "cia-data"
    build("epic", SAMPLE, data)
    return data


@pytest.fixture
def data(shared_build: Path, tmp_path: Path) -> Path:
    """A build of the invented sample that a test may damage."""
    return Path(shutil.copytree(shared_build, tmp_path / "cia-data"))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal of EPIC may be written."""
    return tmp_path / "epic.jsonl"


@pytest.fixture
def embeddings(data: Path) -> pd.DataFrame:
    """Random vectors for all clips of `data`, eight numbers each."""
    from cia_bench import read_data

    clip_ids = read_data(data).clips.clip_id.drop_duplicates().tolist()
    vectors = np.random.default_rng(0).standard_normal((len(clip_ids), 8)).astype(np.float32)
    return pd.DataFrame({"clip_id": clip_ids, "embedding": list(vectors)})


@pytest.fixture(scope="session")
def reported(shared_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `cia eval --report` scored random.npz on the sample; what it printed is in `printed`."""
    from cia_bench import read_data

    folder = tmp_path_factory.mktemp("reported")
    shutil.copytree(shared_build, folder / "cia-data")
    ids = np.array(sorted(set(read_data(shared_build).clips.clip_id)))
    np.savez(folder / "random.npz", ids=ids, vectors=np.random.default_rng(0).standard_normal((len(ids), 8)))
    run = run_cia("eval", "--embeddings", "random.npz", "--report", cwd=folder)
    assert run.returncode == 0, run.stderr
    (folder / "printed").write_text(run.stdout)
    return folder


@pytest.fixture(scope="session")
def epic100() -> Path:
    """The real EPIC-KITCHENS-100 annotations; the training file is a stand-in of 29,023 real rows."""
    folder = SHARED / "data" / "epic100"
    if not folder.is_dir():
        pytest.skip("the real EPIC annotations are not beside this checkout (../shared/data/epic100)")
    return folder


@dataclass(frozen=True)
class Demo:
    """A run of `cia demo --size tiny`; tests read its folder and never write there."""

    folder: Path
    output: str
    progress: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # the workers of one run share a demo
    root, said = root / "demo", root / "demo" / "said.json"
    root.mkdir(exist_ok=True)
    with alone(root, when_busy=lambda: None):
        if not said.exists():
            run = run_cia("demo", "--size", "tiny", cwd=root)
            assert run.returncode == 0, run.stderr
            write_json(said, {"output": run.stdout, "progress": run.stderr})
    return Demo(root / "cia-demo", **read_json(said))


@pytest.fixture
def place(demo, tmp_path) -> Path:
    """A folder with a copy of the demo's data, store and checkpoint under their default names."""
    for name in ("cia-data", "cia-embeddings", "lift-pixels"):
        shutil.copytree(demo.folder / name, tmp_path / name)
    return tmp_path


def first_validation_clip(place: Path) -> tuple[str, Path]:
    clips = pd.read_parquet(place / "cia-data" / "synthetic" / "clips.parquet")
    clip = clips[clips.split == "validation"].iloc[5]
    return clip.clip_id, place / "cia-data" / "synthetic" / "videos" / clip.video
