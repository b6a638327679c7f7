"""Fit the probes of a submitted result again, on its embeddings and the checker's data."""

from dataclasses import replace

import numpy as np
import pandas as pd

from cia_bench.build import Data
from cia_bench.embeddings import Embeddings
from cia_bench.errors import SubmissionError
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings
from cia_bench.submissions.compare import compare
from cia_bench.submissions.recount import KEY

TOLERANCE = {"ridge": 1e-5}  # how far a decision value may be from that of another machine, as a share of its group's
IN_STEPS = 1e-2  # largest one; likewise of probes that are fitted in steps, which carry a rounding on
P = 0.01  # how far a permutation test's p may be: a rounding may break a tie


def tolerance_of(probe: str) -> float:
    """How far a decision value may be from that of another machine, as a share of the largest in its group."""
    return TOLERANCE.get(probe, IN_STEPS)


def fit_again(
    record: dict, predictions: pd.DataFrame, embeddings: Embeddings, data: Data, settings: EvaluationSettings
) -> None:
    """Raise SubmissionError unless probes fitted anew give the submitted decision values, within tolerance_of.

    Their signs, which are the predictions, are then the same unless a value is nearer to 0 than that. Constant answers,
    the number of training clips and the tests against chance are compared too. `predictions` are sorted by their key; a
    clip of the data without an embedding is taken to have failed. Raises what evaluate raises, too.
    """
    sources = sorted(record["sources"])
    clip_ids = data.clips.clip_id[data.clips.source.isin(sources)].unique()
    failures = dict.fromkeys(clip_ids[~np.isin(clip_ids, embeddings.clip_ids)], "it has no embedding")
    whole = replace(settings, min_coverage=0)  # coverage is compared with what was submitted, which was enough
    again = evaluate(replace(embeddings, failures=failures), data, "again", None, sources, whole)
    fitted = again.predictions.sort_values(KEY, ignore_index=True)
    if not fitted[KEY].equals(predictions[KEY]):
        raise SubmissionError("the embeddings are not of the clips that the predictions are of")
    if (fitted.constant != predictions.constant).any():
        group_id = predictions.group_id[fitted.constant != predictions.constant].iloc[0]
        raise SubmissionError(f"the constant answer of group {group_id!r} is not its training clips' majority")
    _refuse_difference(*(_training(one) for one in (again.record, record)))
    _refuse_other_scores(fitted, predictions, tolerance_of(settings.probe))
    _refuse_difference(*(_tests(one) for one in (again.record, record)))


def _training(record: dict) -> dict:
    """What a record says of each group's training clips."""
    return {"groups": [{name: row[name] for name in ("train_clips", "coverage")} for row in record["groups"]]}


def _tests(record: dict) -> dict:
    """What it says of each group's test against chance; the adjusted p follows from all of them."""
    return {"groups": [{"test": {name: row["test"][name] for name in ("name", "p")}} for row in record["groups"]]}


def _refuse_difference(fitted: dict, submitted: dict) -> None:
    difference = compare(fitted, submitted, P).difference
    if difference:
        raise SubmissionError(difference)


def _refuse_other_scores(fitted: pd.DataFrame, submitted: pd.DataFrame, tolerance: float) -> None:
    scale = fitted.score.abs().groupby(fitted.group_id).transform("max")
    off = (fitted.score - submitted.score).abs()
    share = (off / scale.where(scale > 0, 1)).to_numpy()
    worst = int(share.argmax())
    if share[worst] > tolerance:
        raise SubmissionError(
            f"fitted again, the probe of group {fitted.group_id[worst]!r} gives clip {fitted.clip_id[worst]!r} "
            f"{fitted.score[worst]:.6g}; submitted is {submitted.score[worst]:.6g}"
        )
