"""Score a model again with fewer training clips: would more of them help?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.build import Data
from cia_bench.embeddings import Embeddings, load_embeddings
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings, settings_of
from cia_bench.results import Result
from cia_bench.scoring import SourceScore, score_source
from cia_bench.splits import joined
from cia_bench.statistics import difference_interval, expanded_level
from cia_bench.tables import SPLITS

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
FRONT = 2  # persons or videos, or clips, of each label that the smallest part has: folds need as many


def learning_curve(result: Result, embeddings: Path | str | pd.DataFrame | Embeddings, data: Data) -> pd.DataFrame:
    """A row a source and share of its training clips: mean accuracy over groups on the same validation clips.

    `embeddings` are those that `result` was scored with: a file, a frame, or what load_model returns. The parts of a
    group's training clips are nested and drawn by the result's seed; each has both labels, and by the strict protocol
    whole persons and videos. Columns source, share, train_clips (mean over groups), accuracy, low and high, its
    interval over subjects or videos as that of the whole (NaN where that has none), and gain, gain_low and gain_high
    over the share before, paired. How a part was drawn is in no interval. The last share, 1, is the result itself.

    Raises what evaluate raises.
    """
    settings = settings_of(result.record)
    loaded = embeddings if isinstance(embeddings, Embeddings) else load_embeddings(embeddings)
    clips = _learnt_from(result, loaded, data)
    needed = _shares_needed(clips, settings)
    sizes = [int((needed < share).sum()) for share in SHARES]
    rows, before = [], {}
    for share, size, following in zip(SHARES, sizes, [*sizes[1:], np.inf], strict=True):
        if size == following:  # so few clips that a smaller share takes no fewer
            continue
        one = result if share == SHARES[-1] else _refit(result, loaded, data, clips[needed < share], settings)
        for source, predictions in one.predictions.groupby("source"):
            score = score_source(source, predictions, settings)
            of_source = one.groups[one.groups.source == source]
            rows.append(
                {
                    "source": source,
                    "share": share,
                    "train_clips": float(of_source.train_clips.mean()),
                    **_point(score, before.get(source), settings.level),
                }
            )
            before[source] = score
    return pd.DataFrame(rows).sort_values(["source", "share"], ignore_index=True)


def _learnt_from(result: Result, embeddings: Embeddings, data: Data) -> pd.DataFrame:
    """The clips of the scored groups that are embedded, with `unit`: what a part has whole or not at all."""
    scored = [rows.assign(unit=joined(rows)) for _, rows in data.clips.groupby("source")]
    clips = pd.concat(scored, ignore_index=True)
    if settings_of(result.record).rules.split == "split":  # may have a person on both sides, so that clips are drawn
        clips["unit"] = np.arange(len(clips))
    kept = clips.group_id.isin(result.predictions.group_id) & clips.clip_id.isin(embeddings.clip_ids)
    return clips[kept]


def _shares_needed(clips: pd.DataFrame, settings: EvaluationSettings) -> np.ndarray:
    """The share of its group's training clips above which each clip is taken, (N,); -1 for validation clips."""
    needed = pd.Series(-1.0, clips.index)
    for group_id, train in clips[clips[settings.rules.split] == SPLITS[0]].groupby("group_id"):
        generator = np.random.default_rng([settings.seed, *group_id.encode()])
        needed[train.index] = nested_order(train.unit.to_numpy(), train.label.to_numpy(), generator)
    return needed.to_numpy()


def nested_order(units: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The share of all clips that lies before each clip once units are drawn in some order, (N,), each below 1.

    Clips of one unit have one share, so that those with a share below any s are whole units, about s of all clips. The
    first FRONT units of each label have share 0.
    """
    names, unit = np.unique(units, return_inverse=True)
    order = generator.permutation(len(names))
    front = [one for label in (0, 1) for one in order[np.isin(order, unit[labels == label])][:FRONT]]
    order = np.array([*dict.fromkeys(front), *order[~np.isin(order, front)]])
    sizes = np.bincount(unit)[order]
    before = np.empty(len(names))
    before[order] = (np.cumsum(sizes) - sizes) / len(units)
    before[front] = 0
    return before[unit]


def _refit(
    result: Result, embeddings: Embeddings, data: Data, clips: pd.DataFrame, settings: EvaluationSettings
) -> Result:
    """The result of the same evaluation of `clips` alone; its own tests and intervals are not needed."""
    kept = embeddings.clip_ids.isin(clips.clip_id)
    fewer = replace(embeddings, clip_ids=embeddings.clip_ids[kept], vectors=embeddings.vectors[kept])
    quick = replace(settings, permutations=0, draws=1)
    part = Data(data.groups[data.groups.group_id.isin(clips.group_id)], clips.drop(columns="unit"))
    return evaluate(fewer, part, result.record["model"]["name"], settings=quick)


def _point(score: SourceScore, before: SourceScore | None, level: float) -> dict:
    """What stands in a row of the curve."""
    low, high = score.record["interval"] or (np.nan, np.nan)
    gain = gain_low = gain_high = np.nan
    if before is not None:
        gain = score.record["accuracy"] - before.record["accuracy"]
        if score.draws is not None:
            widened = expanded_level(level, score.record["resampled"]["count"])
            gain_low, gain_high = difference_interval(score.draws, before.draws, widened)
    return {
        "accuracy": score.record["accuracy"],
        "low": low,
        "high": high,
        "gain": gain,
        "gain_low": gain_low,
        "gain_high": gain_high,
    }
