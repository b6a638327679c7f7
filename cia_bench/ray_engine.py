"""Take clips from their videos to embeddings, batch by batch, on a Ray cluster: one actor a device.

Only the driver, which is where the command was typed, writes to the store. All nodes must see the videos, weights and
modules at the paths they have there, and have cia-bench installed.
"""

import contextlib
import functools
import itertools
import logging
import os
import pickle
import socket
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cia_bench.encoders import choose_device, describe, load_encoder
from cia_bench.engines import Batch, Embedded, cores, embed_here
from cia_bench.errors import CiaError, ConfigError, EncoderError, WorkerError
from cia_bench.inference import Embedder

try:
    import ray
    import ray.data
    from ray.actor import ActorHandle
except ImportError as error:
    raise ConfigError(f"engine ray needs Ray ({error}); pip install 'cia-bench[ray]'") from error

TASK = 256  # clips that an actor gets at once: it decodes ahead within them
STORE_BYTES = 2**28  # of shared memory for a cluster of our own; what waits for the driver is a few batches a device
CONNECT_S = 10  # for a node of the cluster to take a connection
TRIES = 3  # of a task whose actor died: Ray starts another for good, as a node may be lost, but a crash comes again


@dataclass(frozen=True)
class Recipe:
    """What makes an encoder anew in an actor, and what it must be there."""

    weights: str | None
    precision: str
    batch_size: int
    described: dict  # by encoders.describe

    def embedder(self, device: str) -> Embedder:
        """Make it; raises EncoderError if weights, code or frames are other than those described."""
        name = self.described["encoder"]
        encoder = load_encoder(name, self.weights, device)
        found = describe(name, encoder)
        other = [key for key, value in self.described.items() if found[key] != value]
        if other:
            raise EncoderError(f"{name} has other {', '.join(other)} on {socket.gethostname()} than here")
        return Embedder(name, encoder, device, self.precision, self.batch_size)


@dataclass(frozen=True)
class Task:
    """Batches for one actor."""

    first: int  # the number of its first batch
    batches: list[Batch]
    seen: Path | None  # a video that is there for the driver

    def check_videos(self) -> None:
        """Raise ConfigError if this node does not see the videos, whose clips would all become failures."""
        if self.seen is not None and not self.seen.exists():
            raise ConfigError(f"{socket.gethostname()} does not see {self.seen}; all nodes must see the videos")


@ray.remote(num_cpus=0)
class _Tries:
    """Counts how often each task was begun, by the number of its first batch."""

    def __init__(self):
        self.begun = Counter()

    def begin(self, first: int) -> int:
        self.begun[first] += 1
        return self.begun[first]


@dataclass(frozen=True)
class _Answer:
    """What became of a batch, and what was logged meanwhile."""

    batch: int | None  # its number; None with an error
    outcome: dict[str, Embedded] | CiaError
    said: list[tuple[str, int, str]]  # logger, level, message


@dataclass(frozen=True)
class Actors:
    """How many actors there are, and what each has of the cluster."""

    count: int
    cpus: int
    gpus: int  # 1, or 0 where the device is no GPU


def embed_on_ray(
    batches: Iterable[Batch], recipes: Mapping[str, Recipe], device: str, workers: int | None
) -> Iterator[dict[str, Embedded]]:
    """Yield what each encoder gave for each batch, in order, as engines.embed_here does.

    The cluster is the one that this process is connected to, else that of RAY_ADDRESS, else one that is started on
    this machine and ends with the iterator: close it if it may not be read to its end. There is one actor a GPU where
    `device` is cuda, or auto and the cluster has any; else one a node, on all its CPUs. Each decodes in `workers`
    processes; None: its share of its node's CPUs.

    Raises ConfigError if there is no such cluster, it lacks GPUs, or a node does not see the videos, EncoderError if
    an encoder is another on a node, WorkerError if an actor dies TRIES times on the same clips, and what the encoders
    raise.
    """
    with _cluster():
        actors = place_actors([node["Resources"] for node in ray.nodes() if node["Alive"]], device)
        tasks = cut_tasks(list(batches), actors.count)
        with contextlib.closing(_answers(tasks, actors, recipes, device, workers or max(1, actors.cpus))) as answers:
            for number, answer in enumerate(answers):
                for name, level, message in answer.said:
                    logging.getLogger(name).log(level, message)
                if isinstance(answer.outcome, CiaError):
                    raise answer.outcome
                assert answer.batch == number, "Ray Data keeps the order of batches"
                yield answer.outcome


@contextlib.contextmanager
def _cluster() -> Iterator[None]:
    """Be connected to a cluster, quietly; one that others started goes on."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no report to Ray's makers
    address = os.environ.get("RAY_ADDRESS") or "local"
    own = {"num_cpus": cores(), "object_store_memory": STORE_BYTES, "include_dashboard": False}
    try:
        _knock(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(own if address == "local" else {}))
    except (OSError, ValueError) as error:
        why = f"{str(error).splitlines()[0]}; if it authenticates by token, set RAY_AUTH_MODE=token here too"
        raise ConfigError(f"no Ray cluster answers at RAY_ADDRESS {address}: {why}") from error
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # its log file keeps all
            handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError if nothing is at an address like host:port, which Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), CONNECT_S).close()


def place_actors(nodes: Sequence[Mapping[str, float]], device: str) -> Actors:
    """How to place actors on nodes with these resources; raises ConfigError if there is no GPU for cuda."""
    with_gpus = [(int(node["GPU"]), int(node.get("CPU", 0))) for node in nodes if node.get("GPU", 0) >= 1]
    if device.startswith("cuda") and not with_gpus:
        raise ConfigError(f"the Ray cluster has no GPU for device {device}; choose --device cpu")
    if with_gpus and (device == "auto" or device.startswith("cuda")):
        return Actors(sum(gpus for gpus, _ in with_gpus), min(cpus // gpus for gpus, cpus in with_gpus), 1)
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not cpus:
        raise ConfigError("the Ray cluster has no CPU")
    return Actors(sum(number // min(cpus) for number in cpus), min(cpus), 0)


def cut_tasks(batches: Sequence[Batch], actors: int) -> list[Task]:
    """The batches in tasks of about TASK clips, or fewer where each actor would get none."""
    clips = [len(batch.jobs) for batch in batches]
    most = min(TASK, -(-sum(clips) // actors))
    before = itertools.accumulate(clips, initial=0)
    grouped = itertools.groupby(zip(before, batches, strict=False), key=lambda pair: pair[0] // most)
    parts = [[batch for _, batch in group] for _, group in grouped]
    firsts = itertools.accumulate(map(len, parts), initial=0)
    return [Task(first, part, _seen(part)) for first, part in zip(firsts, parts, strict=False)]


def _seen(batches: Sequence[Batch]) -> Path | None:
    paths = (job.path for batch in batches for job in batch.jobs)
    return next((path for path in paths if path.is_file()), None)


def _answers(
    tasks: list[Task], actors: Actors, recipes: Mapping[str, Recipe], device: str, workers: int
) -> Iterator[_Answer]:
    """Run the tasks, and yield the answer to each batch in order."""
    rows = ray.data.from_items([{"task": pickle.dumps(task)} for task in tasks], override_num_blocks=len(tasks))
    context = rows.context
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # byte: each answer comes at once
    context.execution_options.preserve_order = True
    answers = rows.map_batches(
        _Actor,
        fn_constructor_args=(recipes, device, workers, Path.cwd(), _Tries.remote()),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=min(actors.count, len(tasks))),
        num_cpus=actors.cpus,
        num_gpus=actors.gpus,
    )
    tables = iter(answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
    with contextlib.closing(tables):
        for table in tables:
            for answer in table["answer"].to_pylist():
                yield pickle.loads(answer)


class _Actor:
    """Embeds batches on one device of the cluster."""

    def __init__(self, recipes: Mapping[str, Recipe], device: str, workers: int, folder: Path, tries: ActorHandle):
        self.recipes, self.device, self.workers, self.tries = recipes, device, workers, tries
        self.log = _Log()
        logging.getLogger("cia_bench").addHandler(self.log)
        vars(sys.modules["__main__"]).pop("__file__", None)  # Ray's program, which processes that decode would import
        if folder.is_dir():
            os.chdir(folder)  # relative paths and import paths mean what they mean for the driver

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """A task, pickled -> an answer a batch, each a table of its own, pickled; the last may be an error of ours."""
        (packed,) = table["task"].to_pylist()
        task = pickle.loads(packed)
        try:
            for number, embedded in enumerate(self._embed(task), task.first):
                yield self._answer(number, embedded)
        except CiaError as error:
            yield self._answer(None, error)

    @functools.cached_property
    def embedders(self) -> dict[str, Embedder]:
        device = choose_device(self.device)
        return {name: recipe.embedder(device) for name, recipe in self.recipes.items()}

    def _embed(self, task: Task) -> Iterator[dict[str, Embedded]]:
        if ray.get(self.tries.begin.remote(task.first)) > TRIES:
            first = task.batches[0].jobs[0].path
            raise WorkerError(f"the process that embeds died {TRIES} times on the clips from {first} on")
        task.check_videos()
        yield from embed_here(task.batches, self.embedders, self.workers)

    def _answer(self, number: int | None, outcome: dict[str, Embedded] | CiaError) -> pa.Table:
        packed = pickle.dumps(_Answer(number, outcome, self.log.take()))
        return pa.table({"answer": pa.array([packed], pa.large_binary())})


class _Log(logging.Handler):
    """Keeps what is logged until it is taken."""

    def __init__(self):
        super().__init__()
        self.said: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((record.name, record.levelno, record.getMessage()))

    def take(self) -> list[tuple[str, int, str]]:
        said, self.said = self.said, []
        return said
