"""Score embeddings on a standard benchmark: embeddings + task -> result."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.build import versions
from cia_bench.combined import RAW, name_with
from cia_bench.comparison import draw_of_classes
from cia_bench.contamination import count_contamination
from cia_bench.coverage import count_coverage, refuse_low_coverage
from cia_bench.embedding_checks import ZEROS, refuse_one_vector, refuse_other_clips, shared_vectors, without_zeros
from cia_bench.embeddings import Embeddings
from cia_bench.encoders import choose_device
from cia_bench.errors import ConfigError, EmbeddingError, ProbeError
from cia_bench.evaluation import count_shared, describe_model, load_to_score, refuse_untried
from cia_bench.probes.class_choosing import fit_chosen_classes
from cia_bench.probes.rows import Rows
from cia_bench.progress import Progress, silent
from cia_bench.protocols import DRAWN, EvaluationSettings
from cia_bench.results import Result
from cia_bench.scoring import TOP, score_source
from cia_bench.splits import joined
from cia_bench.statistics import wilson_interval
from cia_bench.tables import CLASS_PREDICTIONS, SPLITS
from cia_bench.tasks.task import Task

SEEN = {"kinetics400": "kinetics"}  # kinds of task whose data encoders.SEEN calls otherwise


def evaluate_task(
    embeddings: Path | str | pd.DataFrame | tuple | Embeddings,
    task: Task,
    model: str | None = None,
    parameters: int | None = None,
    settings: EvaluationSettings | None = None,
    weights: Mapping[str, str] | None = None,
    device: str = "cpu",
    combine: str = RAW,
    progress: Progress = silent,
) -> Result:
    """Fit a probe of all classes on each split's training videos, and score those it is to be scored on.

    Arguments are those of evaluation.evaluate, with a task in place of data; the probe runs on `device`. The record's
    accuracy is top-1, averaged over the task's splits, `top5` (None of 5 classes or fewer) and `per_class`, the mean of
    the classes' accuracies, likewise. Intervals resample what videos were cut from, or videos where that is not known.

    Raises EmbeddingError as evaluate does; also if all training videos of a class, or all videos to score, failed;
    ProbeError if the numbers can't be fitted.
    """
    settings = settings or EvaluationSettings("standard", "softmax")
    if not settings.rules.classes:
        raise ConfigError(f"protocol {settings.protocol} is for chiral groups; a standard benchmark has its own")
    loaded = without_zeros(load_to_score(embeddings, model, weights or {}, device, combine, task, settings))
    about_model = describe_model(loaded, None if model is None else name_with(model, combine), parameters)
    refuse_other_clips(replace(loaded, stored=()), task.clips)  # its ids are the owner's, wherever files lie
    refuse_untried(loaded, task.name, task.clips.clip_id)
    row = loaded.clip_ids.get_indexer(task.clips.clip_id)
    clips = task.clips.assign(row=row, embedded=row >= 0, unit=joined(task.clips))
    coverage = count_coverage(clips)
    zeros = sum(reason == ZEROS for reason in loaded.failures.values())
    refuse_low_coverage(loaded.place, task.name, coverage, settings.min_coverage, zeros)
    refuse_one_vector(loaded, task.name, clips)
    groups = clips.groupby("group_id", sort=True)
    parts = [_score_split(task, rows, loaded, settings, device, progress) for _, rows in groups]
    predictions = pd.concat([rows for rows, _ in parts], ignore_index=True)
    source = {
        "fingerprint": task.fingerprint(),
        **_source_score(task, predictions, settings),
        "coverage": coverage,
        "shared_vectors": count_shared(clips, shared_vectors(loaded)),
    }
    saw = _as_of_task(task, loaded.origin.get("saw"))
    record = {
        "model": {**about_model, "saw": saw},
        "embeddings": loaded.origin,
        "task": {"kind": task.kind, "classes": list(task.classes)},
        "protocol": settings.describe_protocol(),
        "statistics": {name: getattr(settings, name) for name in DRAWN},
        "min_coverage": settings.min_coverage,
        "sources": {task.name: source},
        "contamination": count_contamination(clips, saw, loaded.saw),
        "left_out_sources": [],
        "left_out_groups": [],
        "mean": {name: source[name] for name in ("accuracy", "interval", "constant")},
        "groups": [about for _, about in parts],
        "versions": versions(),
    }
    return Result(record, predictions[CLASS_PREDICTIONS.schema.names])


def _as_of_task(task: Task, saw: dict | None) -> dict | None:
    """What a model saw (encoders.Card), with the task's data under the task's name."""
    called = SEEN.get(task.kind)
    return saw and {task.name if source == called else source: how for source, how in saw.items()}


def _score_split(
    task: Task, clips: pd.DataFrame, loaded: Embeddings, settings: EvaluationSettings, device: str, progress: Progress
) -> tuple[pd.DataFrame, dict]:
    """The predictions for a split's videos to score, and the row of it in the record."""
    group_id = clips.group_id.iloc[0]
    train, scored = (clips[clips.embedded & (clips.split == split)] for split in SPLITS)
    K = len(task.classes)
    counts = np.bincount(train.label, minlength=K)
    if not counts.all():
        lost = task.classes[int(counts.argmin())]
        raise EmbeddingError(f"{loaded.place}: all training videos of class {lost!r} in {group_id} failed to embed")
    if scored.empty:
        raise EmbeddingError(f"{loaded.place}: all videos to score of {group_id} failed to embed")
    chosen = choose_device(device)
    probe = settings.new_probe(chosen if chosen.startswith("cuda") else None)  # mps has no float64
    learnt, new = (Rows(loaded.vectors, part.row.to_numpy()) for part in (train, scored))
    labels, units = train.label.to_numpy(), train.unit.to_numpy()
    try:
        probe = fit_chosen_classes(probe, learnt, labels, units, K, settings.seed, _named(progress, group_id))
        scores = probe.scores(new)
    except ProbeError as error:
        raise ProbeError(f"{loaded.place}, {group_id}: {error}") from error
    label = scored.label.to_numpy()
    answers = {"constant": counts.argmax(), "prediction": scores.argmax(axis=1), "place": places(scores, label)}
    answers = {name: np.asarray(one).astype(np.int16) for name, one in answers.items()}
    predictions = scored.assign(**answers, video=scored.clip_id)  # the same for all, wherever their files lie
    right = predictions.prediction == label
    n, correct = len(right), int(right.sum())
    about = {
        "group_id": group_id,
        "source": task.name,
        "train_clips": len(train),
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "interval": list(wilson_interval(correct, n, settings.level)),
        "constant": float((predictions.constant == label).mean()),
        "top5": None if K <= TOP else float((predictions.place <= TOP).mean()),
        "per_class": float(right.groupby(label).mean().mean()),
        "chosen": {probe.regularisation: probe.chosen_},
        "held_out": probe.choice_.held_out,
        "passes": probe.evaluations_,
        "converged": getattr(probe, "converged_", True),  # a probe of a fixed number of steps just ends
        "coverage": count_coverage(clips),
    }
    return predictions, about


def _named(progress: Progress, group_id: str) -> Progress:
    return lambda label, total, unit: progress(f"{group_id}: {label}", total, unit)


def places(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The place of each clip's label among the classes, (N,), from scores (N, K): 1 where argmax finds it.

    Of classes with one score the first comes first, as for argmax.
    """
    own = scores[np.arange(len(labels)), labels][:, None]
    before = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < labels[:, None]))
    return before.sum(axis=1) + 1


def _source_score(task: Task, predictions: pd.DataFrame, settings: EvaluationSettings) -> dict:
    """What the record says of the task: its splits as groups, and top-1, top-5 and per-class accuracy."""
    score = score_source(task.name, predictions, settings).record
    del score["interval_over_groups"]  # other splits of the same videos are not other data
    answers = (predictions[name].to_numpy()[None] for name in ("prediction", "place"))
    drawn = draw_of_classes(task.name, predictions, *answers, settings.draws, settings.seed)
    of_classes = {name: one.score(0, settings.level) for name, one in drawn.items()}
    if len(task.classes) <= TOP:
        of_classes["top5"] = None
    return {**score, "classes": len(task.classes), **of_classes}
