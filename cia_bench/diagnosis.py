"""Say where a model fails: in which groups and verb pairs, on clips with which hazard, and on which clips most often.

Accuracies are fractions, and those of the result's protocol: balanced where labels count equally. Intervals come from
the draws of subjects or videos that a source's mean has, but a group's, which is Wilson's.
"""

import numpy as np
import pandas as pd

from cia_bench.build import Data
from cia_bench.errors import ResultError, some
from cia_bench.hazards import CLIP_HAZARDS
from cia_bench.protocols import EvaluationSettings, settings_of
from cia_bench.results import Result
from cia_bench.scoring import DISCOVERY, score_source
from cia_bench.statistics import balanced_interval, expanded_level, percentile_interval, resample_difference

KEY = ["group_id", "clip_id"]
WRONG_COLUMNS = [
    *("clip_id", "source", "video", "times_wrong", "times_scored"),
    *("group_id", "label", "prediction", "score"),  # of its worst answer
    "hazards",  # names, separated by blanks
]


def by_group(result: Result, data: Data) -> pd.DataFrame:
    """A row a group, the best first: source, group_id, forward, reverse, noun, n, accuracy, low, high, constant, p.

    `low` and `high` are its interval, of balanced accuracy from the intervals of both labels; `p` is adjusted for all
    groups of the result, NaN where there is no test, and `above_chance` says whether p finds it so. Raises ResultError
    if a group is not in the data.
    """
    settings = settings_of(result.record)
    groups = result.groups
    names = data.groups.set_index("group_id")[["forward", "reverse", "noun"]]
    unknown = groups.group_id[~groups.group_id.isin(names.index)]
    if len(unknown):
        raise ResultError(f"the result is of other data, which has the group {some(unknown.tolist())}")
    frame = groups[["source", "group_id", "n", "accuracy", "constant"]].copy()
    frame["low"], frame["high"] = zip(*groups.interval, strict=True)
    if settings.rules.balanced:
        counted = {group_id: _of_labels(rows) for group_id, rows in result.predictions.groupby("group_id")}
        ends = [balanced_interval(*counted[group_id], settings.level) for group_id in frame.group_id]
        frame["accuracy"], frame["constant"] = groups.balanced_accuracy, 0.5
        frame["low"], frame["high"] = zip(*ends, strict=True)
    adjusted = groups.get("test_p_adjusted", pd.Series(np.nan, groups.index))
    frame["p"] = adjusted.astype(float)
    frame["above_chance"] = frame.p <= DISCOVERY
    frame = frame.join(names, on="group_id")
    return frame.sort_values(["accuracy", "group_id"], ascending=[False, True], ignore_index=True)


def _of_labels(rows: pd.DataFrame) -> tuple[tuple[int, int], tuple[int, int]]:
    """Right answers and clips of each label."""
    right = (rows.prediction == rows.label).groupby(rows.label)
    return tuple(right.sum().tolist()), tuple(right.size().tolist())


def by_verb_pair(result: Result, data: Data) -> pd.DataFrame:
    """A row a source's verb pair, the best first: its mean accuracy over groups, and how many of them there are.

    Columns source, verb_pair, groups, n (clips), accuracy, low and high (a single group's own; NaN where all draws
    are the same), constant, tested (groups) and above_chance (of these, adjusted for all groups of the result). Raises
    ResultError if a group is not in the data.
    """
    settings = settings_of(result.record)
    groups = by_group(result, data)
    groups["verb_pair"] = [" / ".join(sorted(pair)) for pair in zip(groups.forward, groups.reverse, strict=True)]
    rows = []
    for (source, pair), part in groups.groupby(["source", "verb_pair"]):
        predictions = result.predictions[result.predictions.group_id.isin(part.group_id)]
        score = score_source(source, predictions, settings).record
        low, high = score["interval"] or (np.nan, np.nan)
        if len(part) == 1:
            low, high = part.low.iloc[0], part.high.iloc[0]
        elif low == high:
            low = high = np.nan
        rows.append(
            {
                "source": source,
                "verb_pair": pair,
                "groups": len(part),
                "n": score["clips"],
                "accuracy": score["accuracy"],
                "low": low,
                "high": high,
                "constant": score["constant"]["accuracy"],
                "tested": int(part.p.notna().sum()),
                "above_chance": int(part.above_chance.sum()),
            }
        )
    frame = pd.DataFrame(rows)
    return frame.sort_values(["accuracy", "source", "verb_pair"], ascending=[False, True, True], ignore_index=True)


def by_hazard(result: Result, data: Data) -> pd.DataFrame:
    """A row a source's hazard that any scored clip has, accuracy with it and without: the most harmful first.

    A clip with the hazard is compared with those without it that have the same group and label, so that it tells
    nothing of which groups are hard. Columns source, hazard, n (clips that have it), compared (of these, with others to
    compare), accuracy_with and accuracy_without, weighted alike, their difference, and its interval low and high; NaN
    where there is nothing to compare, or too few subjects or videos for an interval, which stand last. Each interval is
    for its hazard alone. Raises ResultError if a clip is not in the data.
    """
    settings = settings_of(result.record)
    clips = _with_hazards(result.predictions, data)
    rows = []
    for source, part in clips.groupby("source"):
        unit = result.record["sources"][source]["resampled"]["unit"]
        for hazard in CLIP_HAZARDS:
            marked = part.hazards.map(lambda names, hazard=hazard: hazard in names).to_numpy(bool)
            if marked.any():
                compared = _compare(part.assign(marked=marked, cluster=part[unit]), source, settings)
                rows.append({"source": source, "hazard": hazard, "n": int(marked.sum()), **compared})
    columns = ["source", "hazard", "n", "compared", "accuracy_with", "accuracy_without", "difference", "low", "high"]
    frame = pd.DataFrame(rows, columns=columns)
    unsure = frame.low.isna()
    order = frame.assign(unsure=unsure).sort_values(["unsure", "difference", "source", "hazard"]).index
    return frame.loc[order].reset_index(drop=True)


def _with_hazards(predictions: pd.DataFrame, data: Data) -> pd.DataFrame:
    clips = predictions.merge(data.clips[[*KEY, "hazards"]], on=KEY, how="left", validate="many_to_one")
    lost = clips.hazards.isna()
    if lost.any():
        raise ResultError(f"the result is of other data, which has the clip {some(clips.clip_id[lost].tolist())}")
    return clips


def _compare(clips: pd.DataFrame, source: str, settings: EvaluationSettings) -> dict:
    """Accuracy of marked clips and of the others within strata of group and label, and their difference."""
    stratum = clips.groupby(["group_id", "label"]).ngroup()
    both = clips.marked.groupby(stratum).transform("nunique") == 2
    clips = clips.assign(stratum=stratum, right=clips.prediction == clips.label)[both]
    if clips.empty:
        nothing = dict.fromkeys(("accuracy_with", "accuracy_without", "difference", "low", "high"), np.nan)
        return {"compared": 0, **nothing}
    cells = clips.groupby(["stratum", "marked"]).right
    count, accuracy = cells.size().unstack(), cells.mean().unstack()
    weight = count[True] * count[False] / (count[True] + count[False])
    without, having = (float(np.average(accuracy[kind], weights=weight)) for kind in (False, True))
    fewest = int(clips.groupby("marked").cluster.nunique().min())
    low = high = np.nan
    if fewest > 1:
        numbers = [pd.factorize(clips[name])[0] for name in ("stratum", "cluster")]
        generator = np.random.default_rng([settings.seed, *source.encode()])
        right, marked = clips.right.to_numpy(float), clips.marked.to_numpy(int)
        draws = resample_difference(right, marked, *numbers, settings.draws, generator)
        low, high = percentile_interval(draws, expanded_level(settings.level, fewest))
    return {
        "compared": int(clips.marked.sum()),
        "accuracy_with": having,
        "accuracy_without": without,
        "difference": having - without,
        "low": low,
        "high": high,
    }


def wrong_clips(predictions: pd.DataFrame, data: Data) -> pd.DataFrame:
    """A row a clip that was answered wrong, the most often wrong first, then by how far from right it was.

    `predictions` are a result's, or those of several models one below the other. `times_wrong` and `times_scored` count
    the clip over groups (and models); group_id, label, prediction and score are of its worst answer, whose score lies
    the farthest on the wrong side of 0. Columns as in WRONG_COLUMNS. Raises ResultError if a clip is not in the data.
    """
    clips = _with_hazards(predictions, data)
    wrong = (clips.prediction != clips.label).astype(int)
    clips = clips.assign(
        times_wrong=wrong.groupby(clips.clip_id).transform("sum"),
        times_scored=wrong.groupby(clips.clip_id).transform("size"),
        distance=clips.score.abs(),
        hazards=clips.hazards.map(" ".join),
    )[wrong == 1]
    ordered = clips.sort_values(
        ["times_wrong", "distance", "clip_id", "group_id"], ascending=[False, False, True, True]
    )
    return ordered.drop_duplicates("clip_id")[WRONG_COLUMNS].reset_index(drop=True)
