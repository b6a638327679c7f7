"""Score LiFT on rendered videos: accuracy beside mean and concat, reconstruction beside a straight line, an ablation.

    python benchmarks/lift_quality.py [FOLDER]

All is made in FOLDER, or in a temporary one; a second run keeps what is there. Trainings run on one thread each, one a
core. `line` is the least-squares straight line of each feature over time, of each clip by itself: two values a feature,
which is what LiFT's two vectors hold. Reconstruction is LiFT's mean squared error over the line's, of features as they
are stored: on the videos held out of training, which look like those trained on, and on the build's validation clips,
which share no shape, background or colour with them. Of motions never seen, LiFT is trained twice, each time on the
clips of every other motion, and scored on the other half. Spreads are standard deviations over seeds, of videos and
training at once.
"""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed

from cia_bench.baselines.lift import load_lift
from cia_bench.baselines.lift.run import METRICS_NAME, held_out_clips
from cia_bench.baselines.lift.settings import LiFTSettings, settings_for
from cia_bench.baselines.lift.train import train
from cia_bench.build import Data, build_synthetic, read_data
from cia_bench.demo import save_random_dinov2
from cia_bench.evaluation import evaluate
from cia_bench.extract import extract
from cia_bench.protocols import EvaluationSettings
from cia_bench.store import TrainingSet, read_store, read_training

ENCODERS = {"pixels": "pixels", "dinov2-random": "dinov2-small-reg"}
SEEDS = {"small": 5, "medium": 5}
SMALL = {"layers": 2, "learning_rate": 3e-3, "batch_size": 32}  # in place of the recipe's, for stores as small as these
SETTINGS = {"small": {**SMALL, "epochs": 459}, "medium": {**SMALL, "epochs": 120}}  # about 8,000 steps
QUICK = {**SMALL, "epochs": 60}  # of the ablation, which trains 120 times


@dataclass(frozen=True, eq=False)
class Job:
    """One LiFT to train and score."""

    size: str
    encoder: str
    seed: int
    settings: dict  # over the recipe's
    width: float = 1.0  # over the default
    frames: int = 16
    half: int | None = None  # of the motions, to train on; the other is scored

    @property
    def name(self) -> str:
        given = "-".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.size}-{self.seed}/{self.encoder}/{given}-x{self.width}-{self.frames}-{self.half}"


@dataclass(frozen=True)
class Score:
    """Accuracies in percent, mean squared errors over the line's, and what they took."""

    numbers: int  # in the embedding
    accuracy: float
    static: float  # of z_s alone
    dynamic: float  # of z_d alone
    train: float
    held_out: float
    validation: float
    clips: int
    steps: int
    seconds: float  # of training
    beside: dict[str, tuple[int, float]] = field(default_factory=dict)  # numbers and accuracy of other summaries


def make_stores(folder: Path) -> None:
    """Render and extract each size and seed."""
    weights = folder / "dinov2-random"
    if not (weights / "config.json").exists():
        save_random_dinov2(weights)
    for size, seeds in SEEDS.items():
        for seed in range(seeds):
            place = folder / f"{size}-{seed}"
            build_synthetic(place / "data", size, seed)
            extract(
                list(ENCODERS.values()),
                place / "data",
                place / "store",
                weights={"dinov2-small-reg": str(weights)},
            )


def train_lift(training: TrainingSet, out: Path, job: Job) -> LiFTSettings:
    clips, _, D = training.sequences.shape
    settings = settings_for(clips, D, seed=job.seed, **job.settings)
    if job.width != 1:
        width = settings.config(D).width * job.width
        settings = replace(settings, width=settings.heads * round(width / settings.heads))
    train(training, out, settings)
    return settings


def line(x: np.ndarray) -> np.ndarray:
    """The least-squares straight line of each feature over time, (N, T, D) -> (N, T, D)."""
    T = x.shape[1]
    basis, _ = np.linalg.qr(np.stack([np.ones(T), np.arange(T)], axis=1))  # (T, 2)
    return np.einsum("tk,sk,nsd->ntd", basis, basis, x, optimize=True)


def ends(straight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where straight sequences (N, T, D) begin and how far they go, (N, D) each."""
    return straight[:, 0], straight[:, -1] - straight[:, 0]


def over_line(x: np.ndarray, drawn: np.ndarray) -> float:
    return float(np.square(drawn - x).mean() / np.square(line(x) - x).mean())


@torch.inference_mode()
def run_model(out: Path, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sequences (N, T, D) -> the sequences drawn anew, z_s (N, W) and z_d (N, W)."""
    model = load_lift(out)
    parts = [model(part) for part in torch.from_numpy(x).split(1024)]
    return tuple(torch.cat(part).numpy() for part in zip(*parts, strict=True))


def accuracy(vectors: np.ndarray, clip_ids: pd.Series, data: Data) -> float:
    """In percent, of the groups that `data` has."""
    kept = clip_ids.isin(data.clips.clip_id).to_numpy()
    embeddings = pd.DataFrame({"clip_id": clip_ids[kept].to_numpy(), "embedding": list(vectors[kept])})
    return (
        100
        * evaluate(embeddings, data, "x", settings=EvaluationSettings(draws=1, permutations=0)).record["mean"][
            "accuracy"
        ]
    )


def halves_of(data: Data, half: int | None) -> tuple[Data, Data]:
    """The groups whose clips LiFT learns from, and those it is scored on: all of them twice, or every other one."""
    if half is None:
        return data, data
    learnt = sorted(data.groups.group_id)[half::2]

    def only(keep: Callable[[pd.Series], pd.Series]) -> Data:
        return Data(*(table[keep(table.group_id.isin(learnt))] for table in (data.groups, data.clips)))

    return only(lambda chosen: chosen), only(lambda chosen: ~chosen)


def training_set(store: Path, encoder: str, clips: pd.DataFrame, times: np.ndarray) -> TrainingSet:
    """What `cia train lift` would learn from, but only some clips at some of the stored frames."""
    whole = read_training(store, encoder)
    rows = np.flatnonzero(np.isin(whole.clip_ids, clips.clip_id))
    return TrainingSet(
        np.ascontiguousarray(whole.sequences[rows][:, times]),
        [whole.clip_ids[row] for row in rows],
        [whole.videos[row] for row in rows],
        {**whole.origin, "clips": len(rows), "times": times.tolist()},
    )


def score(folder: Path, job: Job) -> Score:
    """Train one LiFT, unless it is there, and score it."""
    torch.set_num_threads(1)
    place, encoder = folder / f"{job.size}-{job.seed}", ENCODERS[job.encoder]
    stored = read_store(place / "store", encoder)
    times = np.linspace(0, stored.embeddings.shape[1] - 1, job.frames).round().astype(int)
    x, clip_ids = np.ascontiguousarray(stored.embeddings[:, times]), stored.clips.clip_id
    learnt, scored = halves_of(read_data(place / "data"), job.half)
    training = training_set(place / "store", encoder, learnt.clips, times)
    out = folder / "lift" / job.name
    settings = train_lift(training, out, job)
    drawn, z_s, z_d = run_model(out, x)

    held_out = held_out_clips(training.videos, settings.held_out, settings.seed)
    rows = pd.Index(clip_ids).get_indexer(training.clip_ids)
    is_new = (stored.clips.split == "validation").to_numpy() & clip_ids.isin(scored.clips.clip_id).to_numpy()
    parts = {"train": rows[~held_out], "held_out": rows[held_out], "validation": np.flatnonzero(is_new)}
    vectors = {"accuracy": np.concatenate([z_s, z_d], axis=1), "static": z_s, "dynamic": z_d}
    others = {"mean": x.mean(axis=1), "concat": x.reshape(len(x), -1), "line": np.concatenate(ends(line(x)), axis=1)}
    log = [json.loads(text) for text in (out / METRICS_NAME).read_text().splitlines()]
    return Score(
        numbers=vectors["accuracy"].shape[1],
        **{name: accuracy(vector, clip_ids, scored) for name, vector in vectors.items()},
        **{name: over_line(x[part], drawn[part]) for name, part in parts.items()},
        clips=len(training.sequences),
        steps=len(log) * -(-len(parts["train"]) // settings.batch_size),
        seconds=sum(epoch["seconds"] for epoch in log),
        beside={name: (other.shape[1], accuracy(other, clip_ids, scored)) for name, other in others.items()},
    )


def spread(values: list[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


UNCHANGED = "the settings above"
ABLATION = (
    (UNCHANGED, {}),
    ("lambda 0", {"settings": {"orthogonality": 0.0}}),
    ("lambda 1", {"settings": {"orthogonality": 1.0}}),
    ("a quarter of the width", {"width": 0.25}),
    ("half the width", {"width": 0.5}),
    ("twice the width", {"width": 2.0}),
    ("4 frames", {"frames": 4}),
    ("8 frames", {"frames": 8}),
    ("1 layer", {"settings": {"layers": 1}}),
    ("4 layers", {"settings": {"layers": 4}}),
    ("not augmented", {"settings": {"augment": False}}),
    ("not augmented, dropout 0.1", {"settings": {"augment": False, "dropout": 0.1}}),
)


def ablation_job(encoder: str, seed: int, change: dict) -> Job:
    return Job("small", encoder, seed, **{**change, "settings": {**QUICK, **change.get("settings", {})}})


def score_all(folder: Path, jobs: list[Job]) -> dict[Job, Score]:
    return dict(zip(jobs, Parallel(n_jobs=-1)(delayed(score)(folder, job) for job in jobs), strict=True))


def mean_score(scores: list[Score]) -> Score:
    """The mean over the two halves of the motions."""
    names = ("accuracy", "static", "dynamic", "train", "held_out", "validation", "seconds")
    beside = {
        name: (numbers, float(np.mean([one.beside[name][1] for one in scores])))
        for name, (numbers, _) in scores[0].beside.items()
    }
    means = {name: float(np.mean([getattr(one, name) for one in scores])) for name in names}
    return replace(scores[0], **means, beside=beside)


def report_quality(folder: Path, size: str) -> None:
    """Print accuracies and reconstruction by encoder, of motions that LiFT saw and of others."""
    seeds, settings = SEEDS[size], SETTINGS[size]
    for encoder in ENCODERS:
        for title, halves in (("all motions seen", (None,)), ("motions never seen", (0, 1))):
            jobs = [[Job(size, encoder, seed, settings, half=half) for half in halves] for seed in range(seeds)]
            scores = score_all(folder, [job for seed in jobs for job in seed])
            print(f"\n{size}, {encoder}, {title}, {seeds} seeds, {settings}")
            print_quality([mean_score([scores[job] for job in seed]) for seed in jobs])


def print_quality(scores: list[Score]) -> None:
    first, seconds = scores[0], np.mean([one.seconds for one in scores])
    print(f"  {first.clips:,} clips, {first.steps:,} steps, {seconds:.0f} s a training")
    print(f"  {'':8}{'numbers':>8}  accuracy in percent")
    for name, (numbers, _) in first.beside.items():
        print(f"  {name:8}{numbers:8,}  {spread([one.beside[name][1] for one in scores], 1)}")
    print(f"  {'lift':8}{first.numbers:8,}  {spread([one.accuracy for one in scores], 1)}")
    names = {"train": "clips trained on", "held_out": "held-out videos", "validation": "validation clips"}
    said = [f"{words} {spread([getattr(one, name) for one in scores], 2)}" for name, words in names.items()]
    print(f"  squared error over the line's: {', '.join(said)}", flush=True)


def report_ablation(folder: Path) -> None:
    """Print what each change does to accuracy and reconstruction."""
    seeds = range(SEEDS["small"])
    for encoder in ENCODERS:
        rows = {title: [ablation_job(encoder, seed, change) for seed in seeds] for title, change in ABLATION}
        scores = score_all(folder, [job for row in rows.values() for job in row])
        print(f"\nablation: small, {encoder}, {len(seeds)} seeds, {QUICK}")
        print(f"  {'':27}{'numbers':>8}  {'accuracy':13}squared error over the line's")
        print(f"  {'':37}{'in percent':13}{'held-out videos':17}validation clips")
        for title, row in rows.items():
            here = [scores[job] for job in row]
            errors = f"{spread([one.held_out for one in here], 2):17}{spread([one.validation for one in here], 2)}"
            print(f"  {title:27}{here[0].numbers:8,}  {spread([one.accuracy for one in here], 1):13}{errors}")
            if title == UNCHANGED:
                for name, half in (("z_s only", "static"), ("z_d only", "dynamic")):
                    accuracies = spread([getattr(one, half) for one in here], 1)
                    print(f"  {name:27}{here[0].numbers // 2:8,}  {accuracies}", flush=True)


def main() -> None:
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, torch {torch.__version__}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else made)
        make_stores(folder)
        report_quality(folder, "small")
        report_ablation(folder)
        report_quality(folder, "medium")


if __name__ == "__main__":
    main()
