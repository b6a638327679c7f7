"""The same clips through this machine and through Ray give the same store, whatever happens on the way."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import refusal, run_cia, snapshot
from test_extract import PAIRS, make_source, spoil
from test_workers import assert_soon, lives

from cia_bench.decoding import Job
from cia_bench.demo import save_random_dinov2
from cia_bench.encoders import FrameSpec, describe, load_encoder
from cia_bench.engines import Batch
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.extract import ExtractionSettings, extract
from cia_bench.store import read_store
from cia_bench.tables import read_embeddings

ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'cia-bench[ray]'")
from ray.cluster_utils import Cluster  # noqa: E402

from cia_bench.ray_engine import Actors, Recipe, cut_tasks, place_actors  # noqa: E402

CIA = Path(sys.executable).parent / "cia"
SLOW, DINOV2 = "plug_in.encoders:Slow", "dinov2-small-reg"
PLUG_IN = """
import logging, os, time
from cia_bench.encoders import Encoder, FrameSpec

class Slow(Encoder):
    frames = FrameSpec(count=3, size=8)
    def embed(self, frames):
        time.sleep(0.2)  # so that a test can kill it before the end
        return frames.mean(axis=(2, 3), dtype="float32")

class Few(Slow):
    def embed(self, frames):
        logging.getLogger("cia_bench.plug_in").warning("few of %d", len(frames))
        return super().embed(frames)[:1]

class Dies(Slow):
    def embed(self, frames):
        os._exit(1)
"""
COMMAND = ["extract", "--batch-size", "2", "--out"]
MODELS = ["--model", "pixels", "--model", SLOW]
AND_DINOV2 = ["--model", DINOV2, "--weights", f"{DINOV2}=weights"]
RAY = ["--engine", "ray"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the command is typed: 24 clips in cia-data, three of them undecodable, weights and a module of models."""
    folder = tmp_path_factory.mktemp("ray")
    for source in PAIRS:
        make_source(folder / "cia-data" / source)
    spoil(folder / "cia-data")
    save_random_dinov2(folder / "weights")
    (folder / "plug_in").mkdir()
    (folder / "plug_in" / "encoders.py").write_text(PLUG_IN)
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path) -> Path:
    """The store that this machine leaves."""
    run = run_cia(*COMMAND, "local", *MODELS, *AND_DINOV2, cwd=folder)
    assert run.returncode == 0, run.stderr
    return folder / "local"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes, each with a CPU and what Ray takes for a GPU; torch still finds the CPU alone."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1})
    cluster.add_node(num_cpus=1, num_gpus=1)
    yield cluster
    cluster.shutdown()


def assert_same(store: Path, expected: Path) -> None:
    """The models of `store` have the same files as in `expected`, of the same bytes."""
    wanted = {name: content for name, content in snapshot(expected).items() if (store / name.split("/")[0]).exists()}
    found = snapshot(store)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name] and not is_rounded(name)] == []
    for name in filter(is_rounded, wanted):
        (_, one), (_, other) = (read_embeddings(folder / name) for folder in (store, expected))
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert len(read_store(store, "pixels").clips) == 21 and len(read_store(store, "pixels").failures) == 3


def is_rounded(name: str) -> bool:
    """Whether the last digits in a file depend on the number of threads."""
    return name.startswith(DINOV2) and name.endswith(("-00000.parquet", "-00001.parquet"))


# a cluster of others


def test_ray_leaves_the_store_that_this_machine_leaves_and_the_cluster_as_it_was(folder, expected, cluster):
    run = run_cia(*COMMAND, "two-nodes", *MODELS, *AND_DINOV2, *RAY, cwd=folder, RAY_ADDRESS=cluster.address)
    assert run.returncode == 0, run.stderr
    assert f"{SLOW}: 21 new embeddings, 0 kept, in two-nodes/{SLOW.replace(':', '_')}" in run.stdout
    assert_same(folder / "two-nodes", expected)
    nodes = cluster.list_all_nodes()
    assert len(nodes) == 2 and not any(node.dead_processes() for node in nodes)


def test_an_error_in_an_actor_is_one_line_and_what_is_logged_there_is_seen(folder, cluster):
    command = [*COMMAND, "few", "--model", "plug_in.encoders:Few", *RAY]
    run = run_cia(*command, cwd=folder, RAY_ADDRESS=cluster.address)
    assert run.returncode == 1
    lines = [line for line in run.stderr.splitlines() if not line.startswith(("[", "extract "))]
    assert lines[-2:] == [
        "few of 2",
        "Error: plug_in.encoders:Few gave float32 (1, 3, 3) for 2 clips of 3 frames, not (2, 3, D) or (2, D)",
    ], run.stderr


def test_a_model_that_kills_its_actor_ends_the_run(folder, cluster):
    run = run_cia(*COMMAND, "dies", "--model", "plug_in.encoders:Dies", *RAY, cwd=folder, RAY_ADDRESS=cluster.address)
    assert run.returncode == 1
    assert "Error: the process that embeds died 3 times on the clips from cia-data/epic/videos/P01/" in run.stderr


def test_a_connection_that_is_there_is_used_and_kept_for_many_tasks_or_an_error(folder, expected, cluster, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("cia_bench.ray_engine.TASK", 2)  # clips: two actors take turns at twelve tasks
    settings = ExtractionSettings(batch_size=2, engine="ray")
    ray.init(cluster.address, log_to_driver=False)
    try:
        extract(["pixels"], Path("cia-data"), Path("tasks"), settings=settings)
        assert_same(Path("tasks"), expected)
        with pytest.raises(ConfigError, match="^torch has no device 'cuda': "):  # Ray has one, in its books
            extract(["pixels"], Path("cia-data"), Path("cuda"), device="cuda", settings=settings)
        assert ray.is_initialized() and len(ray.nodes()) == 2
    finally:
        ray.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_an_address_where_no_cluster_is_is_said_in_one_line(folder, address):
    line = refusal(*COMMAND, "none", "--model", "pixels", *RAY, cwd=folder, RAY_ADDRESS=address)
    assert line.startswith(f"Error: no Ray cluster answers at RAY_ADDRESS {address}: ")


# a cluster of our own


def descendants(pid: int) -> set[int]:
    """The processes below a process, but for Ray's two agents, which take a minute to see that their raylet is gone."""
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    children = {int(line.split()[0]) for line in listed.splitlines() if "agent" not in line.lower()}
    return children.union(*map(descendants, children))


def interrupt(folder: Path, store: Path, how: Callable[[subprocess.Popen], None]) -> set[int]:
    """Start the command, end it once it has written another batch of the slow model; return Ray's processes."""
    before = batches(store)
    process = subprocess.Popen(
        [CIA, *COMMAND, store, *MODELS, *RAY], cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert_soon(lambda: batches(store) - before or process.poll() is not None, "a batch is written", wait_s=100)
    started = descendants(process.pid)
    how(process)
    assert process.wait() != 0 and len(started) > 4
    return started


def batches(store: Path) -> set[str]:
    return {path.name for path in store.glob("plug_in*/*-[0-9]*.parquet")}


def test_a_run_that_is_ended_twice_leaves_no_process_and_goes_on_to_the_same_bytes(folder, expected, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    store = folder / "ended"
    started = interrupt(folder, store, lambda process: os.killpg(process.pid, signal.SIGINT))  # as a terminal does
    first = batches(store)
    started |= interrupt(folder, store, lambda process: process.kill())
    assert 0 < len(first) < len(batches(store)) < 8
    run = run_cia(*COMMAND, store, *MODELS, *RAY, cwd=folder)
    assert run.returncode == 0, run.stderr
    assert_same(store, expected)
    assert_soon(lambda: not any(map(lives, started)), f"some of {started} live on")


# where actors are placed, what they refuse, and how batches are shared among them


@pytest.mark.parametrize(
    ("device", "nodes", "actors"),
    [
        ("cpu", [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}], Actors(2, 8, 0)),
        ("cpu", [{"CPU": 0.0}, {"CPU": 4.0}, {"CPU": 9.0}], Actors(3, 4, 0)),
        ("auto", [{"CPU": 8.0}], Actors(1, 8, 0)),
        ("auto", [{"CPU": 4.0}, {"CPU": 64.0, "GPU": 8.0}], Actors(8, 8, 1)),
        ("cuda", [{"CPU": 64.0, "GPU": 8.0}, {"CPU": 6.0, "GPU": 1.0}], Actors(9, 6, 1)),
        ("cuda", [{"GPU": 1.0}], Actors(1, 0, 1)),
    ],
)
def test_there_is_an_actor_a_gpu_or_a_node_with_its_share_of_cpus(device, nodes, actors):
    assert place_actors(nodes, device) == actors


def test_a_cluster_without_the_device_is_refused():
    with pytest.raises(ConfigError, match="no GPU for device cuda; choose --device cpu"):
        place_actors([{"CPU": 4.0}], "cuda")
    with pytest.raises(ConfigError, match="no CPU"):
        place_actors([{"GPU": 4.0}], "cpu")


def test_a_node_that_does_not_see_the_videos_is_refused(tmp_path):
    job = Job(tmp_path / "there.mp4", None, None, (FrameSpec(),))
    (task,) = cut_tasks([Batch((job,), {"pixels": (0,)})], 1)
    task.check_videos()  # missing for the driver too: a failure
    job.path.touch()
    (task,) = cut_tasks([Batch((job,), {"pixels": (0,)})], 1)
    task.check_videos()
    job.path.unlink()
    with pytest.raises(ConfigError, match=f"does not see {job.path}; all nodes must see the videos"):
        task.check_videos()


def test_an_encoder_that_is_another_on_the_node_is_refused():
    described = describe("pixels", load_encoder("pixels"))
    assert Recipe(None, "float32", 2, described).embedder("cpu").name == "pixels"
    with pytest.raises(EncoderError, match="^pixels has other parameters on .* than here$"):
        Recipe(None, "float32", 2, {**described, "parameters": 5}).embedder("cpu")


def test_each_actor_gets_work_and_no_task_is_long():
    def cut(batches: int, actors: int) -> list[int]:
        job = Job(Path("none.mp4"), None, None, (FrameSpec(),))
        tasks = cut_tasks([Batch((job,) * 16, {"pixels": tuple(range(16))})] * batches, actors)
        assert [task.first for task in tasks] == [
            sum(len(task.batches) for task in tasks[:n]) for n in range(len(tasks))
        ]
        return [len(task.batches) for task in tasks]

    assert cut(40, 1) == [16, 16, 8]
    assert cut(8, 4) == [2, 2, 2, 2]
    assert cut(3, 8) == [1, 1, 1]
