"""One training of LiFT: the loop over epochs and batches, what it writes as it goes, and how it goes on."""

import copy
import json
import logging
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from cia_bench import __version__
from cia_bench.baselines.lift.batches import Batches, mean_and_scale
from cia_bench.baselines.lift.checkpoint import FILE_NAME, save_lift
from cia_bench.baselines.lift.model import LiFT, has_short_attention, lift_loss, time_codes
from cia_bench.baselines.lift.resuming import (
    STATE_NAME,
    optimiser_tensors,
    read_about,
    read_state,
    restore_optimiser,
    save_state,
)
from cia_bench.baselines.lift.settings import LiFTSettings
from cia_bench.errors import TrainingError, some
from cia_bench.files import whole_file, write_json
from cia_bench.inference import is_out_of_memory
from cia_bench.precision import in_precision
from cia_bench.progress import Advance, Progress
from cia_bench.seen_clips import SeenClips
from cia_bench.store import TrainingSet

logger = logging.getLogger(__name__)

RECORD_NAME, METRICS_NAME = "training.json", "metrics.jsonl"
TERMS = ("loss", "reconstruction", "orthogonality")  # as lift_loss returns them
PATIENCE = 5  # epochs without a better held-out loss, after which the plateau schedule halves the learning rate
SAVING = 1 / 50  # of the time at most goes into saving where the training stands
COMPILER = ("torch._dynamo", "torch._inductor")  # whose errors the first step raises without Triton or a C compiler
MOST_UNREAD = 1000  # steps after which losses are looked at, at the latest


def held_out_clips(videos: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Which clips are held out, (N,) bool: all those of a random `fraction` of the videos, at least one, never all."""
    names, video_of_clip = np.unique(np.asarray(videos, dtype=str), return_inverse=True)
    count = min(max(1, round(fraction * len(names))), len(names) - 1)
    chosen = np.random.default_rng(seed).permutation(len(names))[:count]
    return np.isin(video_of_clip, chosen)


class Run:
    """One training: what it learns, and where it stands."""

    def __init__(self, training: TrainingSet, out: Path, settings: LiFTSettings, device: torch.device, identity: dict):
        self.training, self.out, self.settings, self.device, self.identity = training, out, settings, device, identity
        held_out = held_out_clips(training.videos, settings.held_out, settings.seed)
        self.to_fit, self.to_hold_out = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        self.seen = SeenClips.of(training.clip_ids, training.videos)  # what is held out too: it chooses the epoch
        if settings.standardise:
            mean, self.scale = mean_and_scale(training.sequences, self.to_fit)
            self.mean = mean.to(device)
        self.batches = Batches(training.sequences, device)
        self.model = LiFT(settings.config(training.sequences.shape[2])).to(device)
        self.terms = Terms(self)
        self.optimiser = torch.optim.Adam(
            self.model.parameters(),
            settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=device.type in ("cpu", "cuda") or None,
        )
        self.steps_an_epoch = -(-len(self.to_fit) // settings.batch_size)
        self.epoch, self.step = 0, 0  # epochs done, and steps of the next one
        self.sums = np.zeros(len(TERMS))  # over the clips of those steps
        self.bad_epochs = 0  # one after the other
        self.best, self.best_epoch = {}, {}  # weights, and the line of metrics.jsonl
        self.save_from, self.saved_at = 0.0, ""

    def finish(self, progress: Progress) -> dict:
        """Train to the end, from the state on disk if there is one; return the record."""
        if (self.out / STATE_NAME).exists():
            self._restore()
        self._trim_metrics()
        left = (self.settings.epochs - self.epoch) * len(self.to_fit) - self.step * self.settings.batch_size
        with progress("train lift", left, "videos") as advance:
            while self.epoch < self.settings.epochs:
                self._train_epoch(advance)
        self._save_best()
        record = {
            **self.identity,
            "config": asdict(self.model.config),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "clips": {"train": len(self.to_fit), "held_out": len(self.to_hold_out)},
            "frames": self.training.sequences.shape[1],
            "best": self.best_epoch,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "cia_bench": __version__},
        }
        with whole_file(self.out / RECORD_NAME) as scratch:
            write_json(scratch, record)
        (self.out / STATE_NAME).unlink(missing_ok=True)
        return record

    def _train_epoch(self, advance: Advance) -> None:
        """Step once on each batch that is left of this epoch; then judge on what is held out."""
        started, first = time.monotonic(), self.step
        order = np.random.default_rng([self.settings.seed, self.epoch]).permutation(self.to_fit)
        batches = torch.from_numpy(order).split(self.settings.batch_size)
        unread = []  # losses of steps since they were last looked at: on a GPU a look waits for all that runs
        for x in self.batches.take(batches[self.step :]):
            rate = self._set_learning_rate()
            unread.append(self._take_step(x))
            self.step += 1
            done, due = self.step == len(batches), time.monotonic() >= self.save_from
            if done or due or len(unread) == MOST_UNREAD:
                self._read(unread, batches)
            if due and not done:
                self._check_weights(batches[self.step - 1])
                self._save()
            advance(len(x))
        terms = dict(zip(TERMS, (self.sums / len(self.to_fit)).tolist(), strict=True))
        held_out = self._held_out()
        self.epoch, self.step, self.sums = self.epoch + 1, 0, np.zeros(len(TERMS))
        line = {"epoch": self.epoch, "learning_rate": rate, "train": terms, "held_out": held_out}
        self._judge(line)
        seconds = time.monotonic() - started
        videos_per_s = sum(map(len, batches[first:])) / seconds
        self._log({**line, "seconds": round(seconds, 3), "videos_per_s": round(videos_per_s, 1)})
        said = {"loss": terms["loss"], "held out": held_out["loss"], **{name: terms[name] for name in TERMS[1:]}}
        advance(0, f"epoch {self.epoch}: " + ", ".join(f"{name} {value:.4f}" for name, value in said.items()))
        if time.monotonic() >= self.save_from and self.epoch < self.settings.epochs:
            self._save()

    def _set_learning_rate(self) -> float:
        (group,) = self.optimiser.param_groups
        if self.settings.schedule == "cosine":
            step = self.epoch * self.steps_an_epoch + self.step
            group["lr"] = self.settings.learning_rate_at(step, self.settings.epochs * self.steps_an_epoch)
        return group["lr"]

    def _take_step(self, x: Tensor) -> Tensor:
        """Move the weights by one batch (B, T, D) as stored; return the loss terms, still on the device."""
        self.model.train()
        try:
            drawn = draw_mixing(len(x), self.device) if self.settings.augment else ()
            self.optimiser.zero_grad()
            terms = self.terms(x, *drawn, whole=len(x) == self.settings.batch_size)
            terms[0].backward()
            self.optimiser.step()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"out of memory on {self.device} with batches of {self.settings.batch_size}; give a smaller "
                "--batch-size"
            ) from error
        return terms.detach().clone()  # the next step's may be written where these are

    def _read(self, unread: list[Tensor], batches: Sequence[Tensor]) -> None:
        """Add up the losses of the last steps; raises TrainingError if one is not finite."""
        first = self.step - len(unread)
        for step, terms in enumerate(torch.stack(unread).double().cpu().numpy(), first):
            if not np.isfinite(terms).all():
                self._stop(f"epoch {self.epoch + 1}, step {step + 1}", batches[step].numpy())
            self.sums = self.sums + len(batches[step]) * terms
        unread.clear()

    def _check_weights(self, batch: Tensor) -> None:
        """Raise TrainingError if the last step left a weight that is not finite, though its loss was."""
        if not torch.stack([parameter.isfinite().all() for parameter in self.model.parameters()]).all():
            self._stop(f"epoch {self.epoch + 1}, after step {self.step}", batch.numpy())

    def _stop(self, place: str, rows: np.ndarray) -> NoReturn:
        """Say at which clips the loss broke, those of the largest numbers first; metrics.jsonl names all."""
        largest = np.abs(self.training.sequences[rows].astype(np.float32)).max(axis=(1, 2))
        ids = [self.training.clip_ids[row] for row in rows[np.argsort(-largest, kind="stable")]]
        self._log({"not_finite_at": place, "clip_ids": ids})
        stays = f"; the state of {self.saved_at} stays in {self.out}" if self.saved_at else ""
        raise TrainingError(
            f"the loss is not finite at {place}, of clips {some(ids)}; try a lower --learning-rate, or look at their "
            f"features{stays}"
        )

    @torch.no_grad()
    def _held_out(self) -> dict[str, float]:
        """The mean of each loss term over the clips that are held out, without dropout."""
        self.model.eval()
        batches = torch.from_numpy(self.to_hold_out).split(self.settings.batch_size)
        sums = np.zeros(len(TERMS))
        for batch, x in zip(batches, self.batches.take(batches), strict=True):
            terms = self.terms(x, whole=False).double().cpu().numpy()
            if not np.isfinite(terms).all():
                self._stop(f"epoch {self.epoch + 1}, on what is held out", batch.numpy())
            sums += len(batch) * terms
        return dict(zip(TERMS, (sums / len(self.to_hold_out)).tolist(), strict=True))

    def _judge(self, line: dict) -> None:
        """Keep the weights if their held-out loss is the best; by the plateau schedule, halve a rate that is no use."""
        loss, best = line["held_out"]["loss"], self.best_epoch.get("held_out", {"loss": float("inf")})["loss"]
        self.bad_epochs = 0 if loss < best * (1 - 1e-4) else self.bad_epochs + 1
        if loss < best:
            self.best_epoch = line
            self.best = {key: tensor.clone() for key, tensor in self.model.state_dict().items()}
        if self.settings.schedule == "plateau" and self.bad_epochs > PATIENCE:
            self.optimiser.param_groups[0]["lr"] /= 2
            self.bad_epochs = 0

    def _save(self) -> None:
        """Write where the training stands, and the best weights so far."""
        started = time.monotonic()
        self._save_best()
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        tensors = {
            "model": self.model.state_dict(),
            "best": self.best,
            "optimiser": optimiser_tensors(self.optimiser),
            "random": random,
        }
        stands = {name: getattr(self, name) for name in ("epoch", "step", "bad_epochs", "best_epoch")}
        rate = self.optimiser.param_groups[0]["lr"]
        save_state(
            self.out / STATE_NAME, tensors, {**self.identity, **stands, "sums": self.sums.tolist(), "rate": rate}
        )
        self.saved_at = f"epoch {self.epoch + 1}, step {self.step}"
        self.save_from = time.monotonic() + (time.monotonic() - started) / SAVING

    def _restore(self) -> None:
        """Go on where the state on disk stands."""
        path = self.out / STATE_NAME
        about, tensors = read_about(path), read_state(path)
        try:
            self.model.load_state_dict(tensors["model"])
            restore_optimiser(self.optimiser, tensors["optimiser"])
            self.optimiser.param_groups[0]["lr"] = about["rate"]
            self.epoch, self.step = about["epoch"], about["step"]
            self.bad_epochs, self.best_epoch = about["bad_epochs"], about["best_epoch"]
            self.sums = np.array(about["sums"])
            self.best = {key: tensor.to(self.device) for key, tensor in tensors.get("best", {}).items()}
            torch.set_rng_state(tensors["random"]["cpu"])
            if "cuda" in tensors["random"] and self.device.type == "cuda":
                torch.cuda.set_rng_state(tensors["random"]["cuda"], self.device)
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(f"{path} can't be gone on with ({error}); delete it to begin anew") from error
        self.saved_at = f"epoch {self.epoch + 1}, step {self.step}"

    def _save_best(self) -> None:
        if not self.best:
            return
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.best)
        if self.settings.standardise:
            _take_raw_features(model, self.mean, self.scale)
        save_lift(model, self.out / FILE_NAME, self.training.origin, self.seen)

    def _trim_metrics(self) -> None:
        """Keep the lines of metrics.jsonl up to where the training stands."""
        path = self.out / METRICS_NAME
        kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[: self.epoch] if path.exists() else []
        with whole_file(path) as scratch:
            scratch.write_text("".join(kept), encoding="utf-8")

    def _log(self, line: dict) -> None:
        with (self.out / METRICS_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


class Terms:
    """The loss terms of a batch as stored; of whole ones by a compiled function where that is a GPU's."""

    def __init__(self, run: Run):
        self.run = run
        self.compiled = self._of
        if compiles(run.device):
            for function in (time_codes, has_short_attention):
                torch.compiler.assume_constant_result(function)  # else each step would work out the codes anew
            self.compiled = torch.compile(self._of, dynamic=False, mode="reduce-overhead")

    def __call__(self, x: Tensor, *drawn: Tensor, whole: bool) -> Tensor:
        """Sequences (B, T, D) as stored, mixed as drawn -> loss, reconstruction and orthogonality, (3,)."""
        with in_precision(self.run.settings.precision, str(self.run.device)):
            if not whole:
                return self._of(x, *drawn)
            try:
                return self.compiled(x, *drawn)
            except RuntimeError as error:
                if not type(error).__module__.startswith(COMPILER):
                    raise
                logger.warning("steps run uncompiled, which is slower: %s", " ".join(str(error).split()))
                self.compiled = self._of
                return self.compiled(x, *drawn)

    def _of(self, x: Tensor, *drawn: Tensor) -> Tensor:
        settings, x = self.run.settings, x.float()
        if settings.standardise:
            x = (x - self.run.mean) / self.run.scale
        if drawn:
            x = mixed(x, *drawn)
        x_hat, z_s, z_d = self.run.model(x)
        return torch.stack(lift_loss(x, x_hat.float(), z_s.float(), z_d.float(), settings.orthogonality))


def draw_mixing(count: int, device: torch.device | str) -> tuple[Tensor, Tensor, Tensor]:
    """What `mixed` is to do with so many sequences: which to play backwards, half of them, (B,) bool; an angle from 0
    to 90 degrees for each, in radians, (B,); and with which other each is mixed, (B,)."""
    backwards = torch.rand(count, device=device) < 0.5
    angle = torch.rand(count, device=device) * (math.pi / 2)
    return backwards, angle, torch.randperm(count, device=device)


def mixed(x: Tensor, backwards: Tensor, angle: Tensor, others: Tensor) -> Tensor:
    """Sequences (B, T, D) of centred features, some played backwards, each mixed with another of the batch.

    x_i becomes cos(a) x_i + sin(a) x_j, which keeps mean and variance.
    """
    x, angle = torch.where(backwards[:, None, None], x.flip(1), x), angle[:, None, None]
    return angle.cos() * x + angle.sin() * x[others]


def compiles(device: torch.device) -> bool:
    """Whether steps are compiled: on a CPU that takes longer than it saves."""
    return device.type == "cuda"


@torch.no_grad()
def _take_raw_features(model: LiFT, mean: Tensor, scale: float) -> None:
    """Fold the standardisation into the first and the last linear map of a model trained on (x - mean) / scale."""
    first, last = model.encoder.input_proj, model.decoder.model[-1]
    first.weight /= scale
    first.bias -= first.weight @ mean
    last.weight *= scale
    last.bias.copy_(last.bias * scale + mean)
