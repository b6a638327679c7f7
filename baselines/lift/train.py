"""Train LiFT on feature sequences, small enough to stay in memory.

Source: arXiv 2509.08502 and the code its authors released; the defaults are theirs, made for 240,000 videos. A few
hundred clips want a higher learning rate and smaller batches.
"""

import json
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cia_bench import __version__
from cia_bench.baselines.lift.checkpoint import FILE_NAME, save_lift
from cia_bench.baselines.lift.model import LiFT, LiFTConfig, lift_loss
from cia_bench.errors import ConfigError, TrainingError
from cia_bench.files import read_json, whole_files, write_json
from cia_bench.progress import Progress, silent
from cia_bench.store import TrainingSet

RECORD_NAME = "training.json"
TERMS = ("loss", "reconstruction", "orthogonality")  # as lift_loss returns them


@dataclass(frozen=True)
class LiFTSettings:
    """How to train; raises ConfigError for settings that make no sense."""

    width: int | None = None  # None: the number of features, rounded up to what the attention heads can share
    epochs: int = 459  # the released weights are from epoch 458, counted from 0
    batch_size: int = 128
    learning_rate: float = 1e-4
    weight_decay: float = 1e-5  # in the gradient
    held_out: float = 0.1  # fraction of the videos
    seed: int = 0
    standardise: bool = False  # True: train on centred features of unit variance; needed unless they are near that

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; training needs at least 1")
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"learning_rate is {self.learning_rate}; it must be a number above 0")
        if not 0 <= self.weight_decay < float("inf"):
            raise ConfigError(f"weight_decay is {self.weight_decay}; it must be a number of at least 0")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out is {self.held_out}; it must be a fraction between 0 and 1")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}; it must be from 0 to {2**32 - 1}")
        if self.width is not None:
            LiFTConfig(width=self.width)

    def config(self, feature_dim: int) -> LiFTConfig:
        """The model for sequences of `feature_dim` features."""
        heads = LiFTConfig.heads
        return LiFTConfig(feature_dim, self.width or -(-feature_dim // heads) * heads)


PUBLISHED = LiFTSettings()


def train(
    sequences: np.ndarray,
    videos: Sequence[str],
    out: Path,
    origin: dict,
    settings: LiFTSettings = PUBLISHED,
    device: str = "cpu",
    progress: Progress = silent,
) -> dict:
    """Train LiFT on sequences (N, T, D), and write `lift.safetensors` and `training.json` to the folder `out`.

    A part of the videos, clip i being of `videos[i]`, is held out: its loss lowers the learning rate and chooses the
    epoch whose weights are kept. No label is seen. `origin` says what the sequences are, in terms fit for JSON; the
    checkpoint repeats it. On a CPU the same seed and number of threads give the same weights to the bit, and the global
    random state is as before. Returns the record that `training.json` holds.

    As released, LiFT trains on features as they are; where their variance is far from 1 (0.01, say, or 1000), the
    velocity learns next to nothing. Then set `standardise`: the losses are those of standardised features, and the
    model that is written takes and draws the features as they are.

    Raises TrainingError, with nothing written, if the sequences are not (N, at least 2, D) finite numbers with a video
    each and two videos in all, if a loss is no longer finite, or if `out` holds a training with other settings or
    another origin.
    """
    _check(sequences, videos)
    _refuse_another(out, settings, origin)
    held_out = held_out_clips(videos, settings.held_out, settings.seed)
    with _seeded(settings.seed, torch.device(device)):
        model = LiFT(settings.config(sequences.shape[2])).to(device)
        to_fit, to_hold_out = (torch.from_numpy(sequences[part]).to(device) for part in (~held_out, held_out))
        if settings.standardise:
            mean, scale = _mean_and_scale(to_fit)
            to_fit, to_hold_out = ((part.float() - mean) / scale for part in (to_fit, to_hold_out))
        history = _fit(model, to_fit, to_hold_out, settings, progress)
        if settings.standardise:
            _take_raw_features(model, mean, scale)
    record = {
        "settings": asdict(settings),
        "origin": origin,
        "config": asdict(model.config),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "clips": {"train": len(to_fit), "held_out": len(to_hold_out)},
        "frames": sequences.shape[1],
        "best_epoch": min(history, key=lambda epoch: epoch["held_out"]["loss"])["epoch"],
        "epochs": history,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "cia_bench": __version__},
    }
    with whole_files(out, seal=RECORD_NAME) as scratch:
        save_lift(model, scratch / FILE_NAME, origin)
        write_json(scratch / RECORD_NAME, record)
    return record


def train_from_store(
    training: TrainingSet, out: Path, device: str = "cpu", progress: Progress = silent, **settings
) -> str:
    """The trainer behind `cia train lift`: `settings` are those of LiFTSettings; returns what came of it in words."""
    sequences, videos = training.sequences, training.videos
    record = train(sequences, videos, out, training.origin, LiFTSettings(**settings), device, progress)
    best = record["epochs"][record["best_epoch"] - 1]
    clips = f"{record['clips']['train']:,} clips, {record['clips']['held_out']:,} held out"
    return f"{clips}; kept epoch {record['best_epoch']}, held-out loss {best['held_out']['loss']:.4f}"


def held_out_clips(videos: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Which clips are held out, (N,) bool: all those of a random `fraction` of the videos, at least one, never all."""
    names, video_of_clip = np.unique(np.asarray(videos, dtype=str), return_inverse=True)
    count = min(max(1, round(fraction * len(names))), len(names) - 1)
    chosen = np.random.default_rng(seed).permutation(len(names))[:count]
    return np.isin(video_of_clip, chosen)


def _check(sequences: np.ndarray, videos: Sequence[str]) -> None:
    if sequences.ndim != 3 or sequences.shape[1] < 2 or sequences.shape[2] < 1:
        raise TrainingError(f"LiFT trains on (clips, at least 2 frames, features), not on {sequences.shape}")
    if sequences.dtype not in (np.float16, np.float32):
        raise TrainingError(f"LiFT trains on float16 or float32 sequences, not on {sequences.dtype}")
    if len(videos) != len(sequences):
        raise TrainingError(f"there are {len(sequences)} sequences but the videos of {len(videos)} clips")
    if len(set(videos)) < 2:
        raise TrainingError(
            f"{len(sequences)} clips of {len(set(videos))} video can't be trained on: one video is held out, "
            "so at least 2 are needed"
        )
    unusable = np.flatnonzero(~np.isfinite(sequences).all(axis=(1, 2)))
    if len(unusable):
        row = int(unusable[0])
        raise TrainingError(f"sequence {row}, of video {videos[row]}, holds a number that is not finite")


def _refuse_another(out: Path, settings: LiFTSettings, origin: dict) -> None:
    path = out / RECORD_NAME
    if not path.exists():
        return
    try:
        record = read_json(path)
        same = record["settings"] == asdict(settings) and record["origin"] == json.loads(json.dumps(origin))
    except (ValueError, KeyError):
        same = False
    if not same:
        raise TrainingError(
            f"{out} holds a training with other settings or another origin; delete it or choose another --out"
        )


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


def _mean_and_scale(sequences: Tensor) -> tuple[Tensor, float]:
    """The mean of each feature, (D,), and one scale for all: the root mean square of what is left, 1 if nothing is."""
    frames = sequences.flatten(0, 1).double()  # (N T, D)
    mean = frames.mean(dim=0)
    scale = (frames - mean).square().mean().sqrt().item()
    return mean.float(), scale or 1.0


@torch.no_grad()
def _take_raw_features(model: LiFT, mean: Tensor, scale: float) -> None:
    """Fold the standardisation into the first and the last linear map of a model trained on (x - mean) / scale."""
    first, last = model.encoder.input_proj, model.decoder.model[-1]
    first.weight /= scale
    first.bias -= first.weight @ mean
    last.weight *= scale
    last.bias.copy_(last.bias * scale + mean)


def _fit(model: LiFT, to_fit: Tensor, to_hold_out: Tensor, settings: LiFTSettings, progress: Progress) -> list[dict]:
    """Train the model on sequences (N, T, D), leave it with its best weights, and return what each epoch came to."""
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=5)
    order = torch.Generator().manual_seed(settings.seed)
    best, best_loss, history = {}, float("inf"), []
    with progress("train lift", settings.epochs, "epochs") as advance:
        for epoch in range(1, settings.epochs + 1):
            learning_rate = optimiser.param_groups[0]["lr"]
            batches = torch.randperm(len(to_fit), generator=order).to(to_fit.device).split(settings.batch_size)
            train_terms = _train_epoch(model, to_fit, batches, optimiser, epoch)
            held_out_terms = _evaluate(model, to_hold_out, settings.batch_size, epoch)
            schedule.step(held_out_terms["loss"])
            if held_out_terms["loss"] < best_loss:
                best_loss = held_out_terms["loss"]
                best = {key: tensor.clone() for key, tensor in model.state_dict().items()}
            history.append(
                {"epoch": epoch, "learning_rate": learning_rate, "train": train_terms, "held_out": held_out_terms}
            )
            advance(1)
    model.load_state_dict(best)
    return history


def _train_epoch(
    model: LiFT, sequences: Tensor, batches: Sequence[Tensor], optimiser: torch.optim.Optimizer, epoch: int
) -> dict[str, float]:
    """Step once on each batch of indices; return the mean of each loss term over the clips."""
    model.train()
    terms = []
    for batch in batches:
        x = sequences[batch].float()
        batch_terms = lift_loss(x, *model(x))
        optimiser.zero_grad()
        batch_terms[0].backward()
        optimiser.step()
        terms.append(torch.stack(batch_terms).detach())
    return _mean_terms(terms, batches, f"epoch {epoch}, step")


@torch.no_grad()
def _evaluate(model: LiFT, sequences: Tensor, batch_size: int, epoch: int) -> dict[str, float]:
    """The mean of each loss term over the clips, without dropout."""
    model.eval()
    batches = sequences.split(batch_size)
    terms = [torch.stack(lift_loss(x, *model(x))) for x in (batch.float() for batch in batches)]
    return _mean_terms(terms, batches, f"epoch {epoch}, held-out batch")


def _mean_terms(terms: list[Tensor], batches: Sequence[Tensor], place: str) -> dict[str, float]:
    """The mean of each term over clips, from its mean over each batch; raises TrainingError if one is not finite."""
    values = torch.stack(terms).double().cpu()  # (batches, terms), read once an epoch: a GPU need not wait at each step
    broken = (~values.isfinite()).any(dim=1).nonzero()
    if len(broken):
        step = int(broken[0]) + 1
        raise TrainingError(
            f"the loss is not finite at {place} {step}; try a lower learning rate or check the features"
        )
    sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
    return dict(zip(TERMS, (sizes @ values / sizes.sum()).tolist(), strict=True))
