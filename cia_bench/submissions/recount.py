"""Count all scores of a submitted result again, from its predictions and, where given, the checker's own data."""

import numpy as np
import pandas as pd

from cia_bench.build import Data
from cia_bench.coverage import COVERAGE
from cia_bench.errors import ConfigError, SubmissionError
from cia_bench.evaluation import without_a_label
from cia_bench.protocols import EvaluationSettings, settings_of
from cia_bench.scoring import group_rows, mean_over_sources, score_source
from cia_bench.significance import fisher_test
from cia_bench.tables import PREDICTIONS, SPLITS

MOST = {"draws": 10_000, "permutations": 10_000}  # what checking takes grows with these and the next two
GROUP_CLIPS = 10_000  # of one group
CELLS = 50_000_000  # groups of a source times its subjects or videos
OF_THE_CLIP = ["source", "video", "subject", "label"]  # columns that are the same whoever answers
KEY = list(PREDICTIONS.key)


def checked_settings(record: dict, min_coverage: float) -> EvaluationSettings:
    """The settings that a record says it was made by.

    Raises SubmissionError if there are none such, or if they would keep the checker busy for too long.
    """
    protocol, statistics = record["protocol"], record["statistics"]
    for name, most in MOST.items():
        given = statistics.get(name, 0)
        if not isinstance(given, int) or given > most:
            raise SubmissionError(f"statistics.{name} is {str(given)[:50]}; what is submitted has {most:,} at most")
    try:
        settings = settings_of(record | {"min_coverage": min_coverage})
    except ConfigError as error:
        raise SubmissionError(str(error)) from error
    if protocol != settings.describe_protocol():
        raise SubmissionError(
            f"protocol is {str(protocol)[:200]}; cia eval's, which alone is checked, is {settings.describe_protocol()}"
        )
    return settings


def recount(record: dict, predictions: pd.DataFrame, settings: EvaluationSettings, data: Data | None) -> dict:
    """The parts of a record that follow from its predictions: sources, mean and groups, as cia eval writes them.

    What training clips say (how many were learnt from, p of permutations) is taken from the record; how many rows there
    are is counted in `data`, if it is given.

    Raises SubmissionError if predictions contradict themselves, the record's groups, or `data`.
    """
    _refuse_strange_answers(record, predictions)
    _refuse_too_many(predictions)
    claims = _claims(record, predictions)
    left_out = {} if data is None else {"left_out_groups": _left_out(record, predictions, settings, data)}
    rows = _rows_of_groups(claims, predictions, settings, data)
    if data is not None:
        _refuse_other_majority(predictions, rows, _clips(record, settings, data))
    tests = {
        group_id: _test(claim["test"], predictions[predictions.group_id == group_id])
        for group_id, claim in claims.items()
    }
    learnt = predictions.group_id.map({group_id: counts["learnt_rows"] for group_id, counts in rows.items()})
    parts, sources = [], {}
    for source in sorted(record["sources"]):
        of_source = predictions[predictions.source == source]
        parts.append(score_source(source, of_source, settings))
        counts = [rows[group_id] for group_id in of_source.group_id.unique()]
        coverage = {name: sum(count[name] for count in counts) for name in COVERAGE}
        sources[source] = {**parts[-1].record, "coverage": coverage}
        if data is not None:
            sources[source]["fingerprint"] = data.fingerprint(source)
    return {
        "sources": sources,
        "mean": mean_over_sources(parts, settings.level),
        "groups": group_rows(predictions.assign(train=learnt), rows, tests, settings.level),
        **left_out,
    }


def _refuse_strange_answers(record: dict, predictions: pd.DataFrame) -> None:
    if set(predictions.source) != set(record["sources"]):
        raise SubmissionError("the sources of the predictions are not those of the result")
    for name in ("label", "constant", "prediction"):
        if not predictions[name].isin((0, 1)).all():
            raise SubmissionError(f"column {name} of the predictions has other values than 0 and 1")
    if not np.isfinite(predictions.score).all():
        raise SubmissionError("column score of the predictions has NaN or infinite numbers")
    if ((predictions.score > 0) != (predictions.prediction == 1)).any():
        raise SubmissionError("a prediction is not what its score says: 1 above 0, else 0")
    for name in ("constant", "source"):
        many = predictions.groupby("group_id")[name].nunique() > 1
        if many.any():
            raise SubmissionError(f"group {many.index[many][0]!r} has more than one {name} in the predictions")


def _refuse_too_many(predictions: pd.DataFrame) -> None:
    sizes = predictions.groupby("group_id").size()
    if sizes.max() > GROUP_CLIPS:
        largest = f"{sizes.idxmax()!r} has {sizes.max():,} clips"
        raise SubmissionError(f"group {largest}, more than the {GROUP_CLIPS:,} that are checked")
    for source, rows in predictions.groupby("source"):
        if rows.group_id.nunique() * rows.video.nunique() > CELLS:
            raise SubmissionError(f"{source!r} has more groups and videos than can be checked")


def _claims(record: dict, predictions: pd.DataFrame) -> dict[str, dict]:
    """The record's rows of groups by id, as far as they are needed here."""
    try:
        claims = {row["group_id"]: row for row in record["groups"]}
        for row in claims.values():
            counts = [row["coverage"][name] for name in COVERAGE]
            p = row["test"]["p"]
            sound = all(type(count) is int and count >= 0 for count in counts) and counts[1] <= counts[0]
            if not sound or not isinstance(row["test"]["name"], str) or not (p is None or 0 <= p <= 1):
                raise SubmissionError(f"group {row['group_id']!r} has no proper coverage or test")
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__} {str(error)[:100]}"
        raise SubmissionError(f"a row of groups is not as cia eval writes it: {reason}") from error
    ids = sorted(set(predictions.group_id))
    if list(claims) != ids or len(record["groups"]) != len(ids):
        raise SubmissionError(f"the result has not one row for each of the {len(ids)} groups of the predictions")
    return claims


def _left_out(record: dict, predictions: pd.DataFrame, settings: EvaluationSettings, data: Data) -> list[str]:
    """The groups that the split leaves out.

    Raises SubmissionError unless predictions are of the data's validation clips, and of all the other groups.
    """
    for source, claim in sorted(record["sources"].items()):
        if source not in data.source_names():
            raise SubmissionError(f"the data has no source {source!r}, which the result is of; build it too")
        ours = data.fingerprint(source)
        if claim["fingerprint"] != ours:
            raise SubmissionError(
                f"{source} was scored on data of fingerprint {claim['fingerprint'][:12]!r}, yours has {ours[:12]!r}; "
                "build the same, or ask for a result on yours"
            )
    clips = _clips(record, settings, data)
    validation = clips[clips.split == SPLITS[1]].set_index(KEY)
    keys = pd.MultiIndex.from_frame(predictions[KEY])
    unknown = ~keys.isin(validation.index)
    if unknown.any():
        group_id, clip_id = keys[unknown][0]
        raise SubmissionError(f"the data has no validation clip {clip_id!r} in group {group_id!r}")
    found, wanted = predictions[OF_THE_CLIP], validation.loc[keys, OF_THE_CLIP].reset_index(drop=True)
    same = (found == wanted) | (found.isna() & wanted.isna())
    if not same.all(axis=None):
        row = int(np.flatnonzero(~same.all(axis=1))[0])
        name = same.columns[~same.iloc[row]][0]
        values = f"{found[name][row]} in the predictions, {wanted[name][row]} in the data"
        raise SubmissionError(f"clip {predictions.clip_id[row]!r} has {name} {values}")
    left_out = [] if settings.rules.split == "split" else without_a_label(clips)
    scorable, found = set(clips.group_id) - set(left_out), set(predictions.group_id)
    if scorable != found:
        group_id = min(scorable ^ found)
        what = "lack" if group_id in scorable else "should not have"
        raise SubmissionError(f"the predictions {what} group {group_id!r}, by {settings.rules.split} of the data")
    return left_out


def _clips(record: dict, settings: EvaluationSettings, data: Data) -> pd.DataFrame:
    """The data's rows of the result's sources, `split` being the protocol's."""
    columns = [*KEY, *OF_THE_CLIP, settings.rules.split]
    clips = data.clips.loc[data.clips.source.isin(list(record["sources"])), columns]
    return clips.rename(columns={settings.rules.split: "split"})


def _rows_of_groups(
    claims: dict[str, dict], predictions: pd.DataFrame, settings: EvaluationSettings, data: Data | None
) -> dict[str, dict]:
    """Each group's counts of coverage.COVERAGE."""
    scored = predictions.groupby("group_id").size()
    rows = {
        group_id: {**{name: claim["coverage"][name] for name in COVERAGE}, "scored_rows": int(scored[group_id])}
        for group_id, claim in claims.items()
    }
    if data is not None:
        sizes = data.clips.groupby(["group_id", settings.rules.split]).size()
        for group_id, counts in rows.items():
            counts["train_rows"], counts["validation_rows"] = (int(sizes[group_id, split]) for split in SPLITS)
    return rows


def _refuse_other_majority(predictions: pd.DataFrame, rows: dict[str, dict], clips: pd.DataFrame) -> None:
    """Raise SubmissionError unless constant answers are the training clips' majority, where none of these failed."""
    share = clips[clips.split == SPLITS[0]].groupby("group_id").label.mean()
    for group_id, constant in predictions.groupby("group_id").constant.first().items():
        complete = rows[group_id]["learnt_rows"] == rows[group_id]["train_rows"]
        if complete and constant != int(share[group_id] > 0.5):
            raise SubmissionError(f"the constant answer of group {group_id!r} is not its training clips' majority")


def _test(claim: dict, rows: pd.DataFrame) -> dict:
    """A group's test against chance: Fisher's counted again, another as it is claimed."""
    p = fisher_test(rows.prediction.to_numpy(), rows.label.to_numpy()) if claim["name"] == "fisher" else claim["p"]
    return {"name": claim["name"], "p": p}
