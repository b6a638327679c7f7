"""Train LiFT on feature sequences, from some hundred to some million, and go on where a killed training stopped.

The folder of a training holds `metrics.jsonl`, a line an epoch as it goes; `lift.safetensors`, the best weights so far;
`unfinished.safetensors`, to go on from; and in place of that at the end `training.json`, which says what was done.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch

from cia_bench.baselines.lift.batches import unusable_rows
from cia_bench.baselines.lift.checkpoint import FILE_NAME
from cia_bench.baselines.lift.resuming import STATE_NAME, read_about
from cia_bench.baselines.lift.run import RECORD_NAME, Run
from cia_bench.baselines.lift.settings import LiFTSettings, settings_for
from cia_bench.errors import TrainingError, WriteError, some
from cia_bench.files import alone, missing_folders, read_json, remove_empty
from cia_bench.precision import check_precision
from cia_bench.progress import Progress, silent
from cia_bench.store import TrainingSet


def train(
    training: TrainingSet,
    out: Path,
    settings: LiFTSettings | None = None,
    device: str = "cpu",
    progress: Progress = silent,
) -> dict:
    """Train LiFT on the sequences (N, T, D) of a training set into the folder `out`; return what `training.json` holds.

    A part of the videos is held out: its loss chooses the epoch whose weights are kept, and by the plateau schedule
    lowers the learning rate. No label is seen. The checkpoint repeats the set's origin. On a CPU the same seed and
    number of threads give the same weights to the bit, also after a kill and another call, which goes on from the last
    state on disk; the global random state is as before. What is finished is not trained again. `settings` are the
    published ones by default.

    As released, LiFT trains on features as they are; where their variance is far from 1 (0.01, say, or 1000), the
    velocity learns next to nothing. Then set `standardise`: the losses are those of standardised features, and the
    model that is written takes and draws the features as they are.

    Raises TrainingError, with nothing written, if the sequences are not (N, at least 2, D) finite numbers with an id
    and a video each and two videos in all, or if `out` holds another training or checkpoint; TrainingError too if a
    loss is no longer finite, or memory runs out; ConfigError for a precision that the device lacks; WriteError from the
    disk. What is on disk then stays and can be gone on with.
    """
    settings = settings or LiFTSettings()
    check_precision(settings.precision, device)
    _check(training)
    identity = json.loads(json.dumps({"settings": asdict(settings), "origin": training.origin}))
    _what_is_there(out, identity)  # before a lock file is left in another's folder
    with _only_training(out):
        finished = _what_is_there(out, identity)
        if finished is None:
            with _seeded(settings.seed, torch.device(device)):
                finished = Run(training, out, settings, torch.device(device), identity).finish(progress)
        return finished


def _check(training: TrainingSet) -> None:
    sequences, videos = training.sequences, training.videos
    if sequences.ndim != 3 or sequences.shape[1] < 2 or sequences.shape[2] < 1:
        raise TrainingError(f"LiFT trains on (clips, at least 2 frames, features), not on {sequences.shape}")
    if sequences.dtype not in (np.float16, np.float32):
        raise TrainingError(f"LiFT trains on float16 or float32 sequences, not on {sequences.dtype}")
    if not len(sequences) == len(videos) == len(training.clip_ids):
        raise TrainingError(
            f"there are {len(sequences)} sequences, the ids of {len(training.clip_ids)} clips and the videos of "
            f"{len(videos)}"
        )
    if len(set(videos)) < 2:
        raise TrainingError(
            f"{len(sequences)} clips of {len(set(videos))} video can't be trained on: one video is held out, "
            "so at least 2 are needed"
        )
    unusable = unusable_rows(sequences)
    if len(unusable):
        ids = [training.clip_ids[row] for row in unusable]
        raise TrainingError(f"NaN or infinite numbers in the sequence of {some(ids)}; extract again without them")


@contextmanager
def _only_training(out: Path) -> Iterator[None]:
    """Make the folder if need be, and keep others who train out of it; turn what the disk refuses into WriteError."""

    def refuse() -> NoReturn:
        raise TrainingError(f"another process trains into {out}; wait for its end, or choose another --out")

    missing = missing_folders(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with alone(out, refuse):
            yield
    except OSError as error:
        remove_empty(missing)
        raise WriteError(
            f"can't write to {error.filename or out}: {error.strerror or error}; what was there stays, run again to go "
            "on"
        ) from error


def _what_is_there(out: Path, identity: dict) -> dict | None:
    """The record of this training if `out` holds it finished, None if not; raises TrainingError for another's folder.

    `identity` has the settings and the origin, which make a training what it is.
    """
    record, state = out / RECORD_NAME, out / STATE_NAME
    found = None
    if record.exists():
        try:
            found = read_json(record, {"settings": dict, "origin": dict})
        except ValueError as error:
            raise TrainingError(f"{record} can't be read ({error}); delete {out} or choose another --out") from error
    elif state.exists():
        found = read_about(state)
    elif (out / FILE_NAME).exists():
        raise TrainingError(f"{out} holds a checkpoint that was not trained there; choose another --out")
    for name, ours in identity.items() if found else ():
        theirs = found.get(name) or {}
        other = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
        if other:
            raise TrainingError(
                f"{out} holds a training with other {name} ({', '.join(other)}); delete it or choose another --out"
            )
    return found if record.exists() else None


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what draws the first weights and the dropout; afterwards the global random state is as before."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(seed)
        yield


def train_from_store(
    training: TrainingSet, out: Path, device: str = "cpu", progress: Progress = silent, recipe: str = "scaled", **given
) -> str:
    """The trainer behind `cia train lift`: `given` are settings of LiFTSettings; returns what came of it in words."""
    settings = settings_for(len(training.sequences), training.sequences.shape[-1], recipe, device, **given)
    record = train(training, out, settings, device, progress)
    clips = f"{record['clips']['train']:,} clips, {record['clips']['held_out']:,} held out"
    best = record["best"]
    return f"{clips}; kept epoch {best['epoch']}, held-out loss {best['held_out']['loss']:.4f}"
