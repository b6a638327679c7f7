"""Score embeddings on chiral groups: embeddings + clips -> result."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.build import Data, read_data, versions
from cia_bench.combined import RAW, check_combination, name_with
from cia_bench.coverage import (
    COVERAGE,
    count_coverage,
    coverage_in_words,
    lowest_groups_in_words,
    refuse_low_coverage,
)
from cia_bench.embeddings import Embeddings, load_embeddings, load_model
from cia_bench.errors import (
    BuildError,
    ConfigError,
    EmbeddingError,
    ProbeError,
    ResultError,
    TableError,
    printable,
    some,
)
from cia_bench.files import folder_name, read_json, whole_files, write_json
from cia_bench.probes import build_probe
from cia_bench.statistics import percentile_interval, resample_group_mean, wilson_interval
from cia_bench.store import is_store
from cia_bench.tables import PREDICTIONS

RESULT_FILE = "result.json"
PREDICTIONS_FILE = "predictions.parquet"
ROUNDING = 1e-9  # two accuracies closer than this are of the same answers
RESULT_FIELDS = ("model", "embeddings", "protocol", "statistics", "sources", "mean", "groups", "versions")


@dataclass(frozen=True)
class EvaluationSettings:
    """How a score is made and how sure it is."""

    protocol: str = "paper"  # the sources' own splits, features as they are
    probe: str = "ridge"
    level: float = 0.95  # of every interval
    draws: int = 10_000  # bootstrap draws behind a mean's interval
    seed: int = 0
    min_coverage: float = 0.98  # share of a source's training rows, and of its validation rows, that are embedded

    def __post_init__(self):
        if self.protocol != "paper":
            raise ConfigError(f"unknown protocol {self.protocol!r}; choose from paper")
        build_probe(self.probe)
        if not 0 < self.level < 1:
            raise ConfigError(f"level is {self.level}; an interval needs a share between 0 and 1")
        if self.draws < 1:
            raise ConfigError(f"draws is {self.draws}; a bootstrap needs at least one")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it can't be negative")
        if not 0 <= self.min_coverage <= 1:
            raise ConfigError(f"min_coverage is {self.min_coverage}; it is a share, from 0 to 1")


@dataclass(frozen=True)
class Result:
    """Scores of one model. Accuracies are fractions.

    `record` is what result.json holds. `predictions` has a row a scored clip (tables.PREDICTIONS).
    """

    record: dict
    predictions: pd.DataFrame

    @property
    def groups(self) -> pd.DataFrame:
        """A row a chiral group: right answers, accuracy with Wilson interval, a constant answer's score, coverage."""
        return pd.json_normalize(self.record["groups"], sep="_")

    @property
    def sources(self) -> pd.DataFrame:
        """A row a source: mean accuracy over its groups with its interval, and the same for a constant answer."""
        rows = [{"source": name, **source} for name, source in self.record["sources"].items()]
        return pd.json_normalize(rows, sep="_")

    def __str__(self) -> str:
        """The scores in percent, one line a source and one for their mean."""
        model, protocol = self.record["model"], self.record["protocol"]["name"]
        title = f"{model['name']} ({model['dim']} numbers), {protocol} protocol"
        lines = [f"{title}, accuracy in percent with {100 * self.record['statistics']['level']:g}% interval:"]
        for name, score in self.record["sources"].items():
            lines.append(f"  {name:<10} {_in_words(score)}; {score['groups']} groups, {score['clips']:,} clips")
            missing = coverage_in_words(score)
            lines += [f"  {missing}"] if missing else []
            groups = [group for group in self.record["groups"] if group["source"] == name]
            lines += [f"    {line}" for line in lowest_groups_in_words(groups)]
        if len(self.record["sources"]) > 1:
            lines.append(f"  {'mean':<10} {_in_words(self.record['mean'])}")
        lines += [f"  left out {source}: no embedding of its clips" for source in self.record["left_out_sources"]]
        return "\n".join(printable(line) for line in lines)


def _in_words(score: dict) -> str:
    reason = "" if score["interval"] else " [no interval: nothing to resample]"
    return f"{percent(score)}{reason}, a constant answer {100 * score['constant']['accuracy']:.1f}"


def percent(score: dict) -> str:
    """A score of a record, {accuracy, interval}, as in `57.6 [54.4, 60.5]`; without brackets if it has no interval."""
    interval = " [{:.1f}, {:.1f}]".format(*(100 * end for end in score["interval"])) if score["interval"] else ""
    return f"{100 * score['accuracy']:.1f}{interval}"


def evaluate(
    embeddings: Path | str | pd.DataFrame | Embeddings,
    data: Path | str | Data,
    model: str | None = None,
    parameters: int | None = None,
    sources: Iterable[str] = (),
    settings: EvaluationSettings | None = None,
    weights: Mapping[str, str] | None = None,
    device: str = "cpu",
    combine: str = RAW,
) -> Result:
    """Fit a probe on each group's training clips and score its validation clips (arXiv 2509.08502, linear probe).

    `embeddings` is a store, a file (see load_embeddings), a frame with columns clip_id and embedding, one vector a
    clip, or what load_model returns. `data` is a data folder or what `read_data` returns. `model` says which model of a
    store, with the `weights` of its summary, which runs on `device`, and `combine` how its parts are joined (see
    load_model); otherwise it names the model, by default after the file. `parameters` is its number of parameters.
    Without `sources`, all built sources that have any embedding are scored, the others are listed in the record. Clips
    that failed to embed in a store are left out, which the record's coverage tells by source and group; a source that
    lacks more than settings.min_coverage allows is refused.

    Raises EmbeddingError if embeddings are unreadable, repeated, not finite, of clips that are not in `data`, lacking
    for some clip of a scored source, or if too many of a source's clips failed; BuildError if the data is damaged or a
    group lacks a label; ProbeError if the numbers are too large to fit.
    """
    settings = settings or EvaluationSettings()
    everything = data if isinstance(data, Data) else read_data(data)
    loaded = _load(embeddings, model, weights or {}, device, combine, everything)
    name = loaded.origin["name"] if model is None else name_with(model, combine)
    parameters = loaded.parameters if parameters is None else parameters
    if not name.strip():
        raise ConfigError("the model's name is empty; give it one")
    if parameters is not None and parameters < 0:
        raise ConfigError(f"the model's number of parameters is {parameters}; it can't be negative")
    scored = _choose_sources(loaded, everything, list(sources))
    clips = everything.clips.assign(embedded=everything.clips.clip_id.isin(loaded.clip_ids))
    coverage = {source: count_coverage(clips[clips.source == source]) for source in scored}
    for source in scored:
        refuse_low_coverage(loaded.place, source, coverage[source], settings.min_coverage)
    predictions = pd.concat([_predict(loaded, everything.of(source), settings) for source in scored], ignore_index=True)
    parts = {source: score_source(source, predictions[predictions.source == source], settings) for source in scored}
    record = {
        "model": {
            "name": name,
            "parameters": parameters,
            "dim": loaded.vectors.shape[1],
            "saw": loaded.origin.get("saw"),  # see encoders.Card; None: not known
        },
        "embeddings": loaded.origin,
        "protocol": {
            "name": settings.protocol,
            "probe": {"name": settings.probe, **build_probe(settings.probe).describe()},
        },
        "statistics": {"level": settings.level, "draws": settings.draws, "seed": settings.seed},
        "min_coverage": settings.min_coverage,
        "sources": {
            source: {"fingerprint": everything.fingerprint(source), **part.record, "coverage": coverage[source]}
            for source, part in parts.items()
        },
        "left_out_sources": [source for source in everything.source_names() if source not in scored],
        "mean": mean_over_sources(list(parts.values()), settings.level),
        "groups": [
            row
            for source in scored
            for row in _group_rows(predictions[predictions.source == source], clips, settings.level)
        ],
        "versions": versions(),
    }
    return Result(record, predictions[PREDICTIONS.schema.names])


def _load(
    embeddings, model: str | None, weights: Mapping[str, str], device: str, combine: str, data: Data
) -> Embeddings:
    check_combination(combine)
    ready = isinstance(embeddings, Embeddings | pd.DataFrame)
    if not ready and is_store(Path(embeddings)):
        return load_model(embeddings, model, weights, data.clips.clip_id.unique(), device, combine)
    if combine != RAW:
        raise ConfigError(f"combine {combine} is for the models of a store; embeddings of a file are what they are")
    if isinstance(embeddings, Embeddings):
        return embeddings
    if weights:
        raise ConfigError("weights are for the models of a store; the embeddings of a file are what they are")
    return load_embeddings(embeddings)


def _choose_sources(embeddings: Embeddings, data: Data, asked: list[str]) -> list[str]:
    """The sources to score; raises EmbeddingError unless each of their clips has an embedding or is known to fail."""
    unknown = [source for source in asked if source not in data.source_names()]
    if unknown:
        raise ConfigError(f"no source {unknown[0]!r} in the data; choose from {', '.join(data.source_names())}")
    if not len(data.clips):
        raise BuildError("the data has no clip to score")
    place, ids = embeddings.place, embeddings.clip_ids
    known = ids.isin(data.clips.clip_id)
    if not known.all():
        example = f"a clip id there looks like {data.clips.clip_id.iloc[0]!r}"
        raise EmbeddingError(f"{place}: the data has no clip {some(ids[~known].tolist())}; {example}")
    scored = []
    for source in asked or data.source_names():
        clips = pd.Index(data.of(source).clips.clip_id.unique())
        missing = clips[~clips.isin(ids)]
        untried = missing[~missing.isin(list(embeddings.failures))]
        if len(untried) == len(clips) and not asked:
            continue
        if len(untried):
            raise EmbeddingError(f"{place} lacks {some(untried.tolist())} of the {len(clips)} clips of {source}")
        scored.append(source)
    return sorted(set(scored))


def _predict(embeddings: Embeddings, data: Data, settings: EvaluationSettings) -> pd.DataFrame:
    """The validation clips of each group with the probe's answer and the train majority's; rows ordered by key."""
    columns = ["group_id", "clip_id", "source", "label", "split", "subject", "video"]
    clips = data.clips[columns].sort_values(["group_id", "clip_id"])
    clips = clips.assign(row=embeddings.clip_ids.get_indexer(clips.clip_id))
    answers = []
    for group_id, group in clips.groupby("group_id"):
        group = group[group.row >= 0]  # the others failed to embed: coverage tells
        train, validation = (group[group.split == split] for split in ("train", "validation"))
        for split, part in (("train", train), ("validation", validation)):
            absent = {0, 1} - set(part.label)
            if absent:
                why = "all of them failed to embed" if embeddings.failures else "cia verify says more"
                raise BuildError(f"group {group_id!r} has no clip of label {min(absent)} in {split}; {why}")
        try:
            probe = build_probe(settings.probe).fit(embeddings.vectors[train.row], train.label.to_numpy())
        except ProbeError as error:
            raise ProbeError(f"{embeddings.place}, group {group_id!r}: {error}") from error
        score = probe.decision_function(embeddings.vectors[validation.row])
        majority = int(2 * train.label.sum() > len(train))  # a tie answers 0, as scikit-learn's DummyClassifier does
        answers.append(
            validation.assign(
                score=score, prediction=(score > 0).astype(np.int8), constant=np.int8(majority), train=len(train)
            )
        )
    return pd.concat(answers)


@dataclass(frozen=True)
class SourceScore:
    """A source's score as a result's record has it, and the bootstrap that its intervals come from."""

    record: dict  # groups, clips, accuracy, interval, constant, resampled
    draws: np.ndarray | None  # bootstrap values of the mean over groups, of the probe
    constant_draws: np.ndarray | None  # and of the constant answer, from the same draws


def score_source(source: str, rows: pd.DataFrame, settings: EvaluationSettings) -> SourceScore:
    """Mean accuracy over groups, resampling subjects, or videos where the source does not name its subjects.

    `rows` are the source's predictions (columns of tables.PREDICTIONS).
    """
    unit = "video" if rows.subject.isna().any() else "subject"
    clusters = pd.factorize(rows[unit], sort=True)[0]
    groups = pd.factorize(rows.group_id)[0]
    means, draws = {}, {}
    for answer in ("prediction", "constant"):
        means[answer] = group_mean(rows, answer)
        draws[answer] = None
        if clusters.max() > 0:  # one person or video alone says nothing of how others would differ
            correct = (rows[answer] == rows.label).to_numpy(float)
            generator = np.random.default_rng([settings.seed, *source.encode()])
            draws[answer] = resample_group_mean(correct, groups, clusters, settings.draws, generator)
    record = {
        "groups": rows.group_id.nunique(),
        "clips": len(rows),
        "accuracy": means["prediction"],
        "interval": _interval(draws["prediction"], settings.level),
        "constant": {"accuracy": means["constant"], "interval": _interval(draws["constant"], settings.level)},
        "resampled": {"unit": unit, "count": int(clusters.max()) + 1},
    }
    return SourceScore(record, draws["prediction"], draws["constant"])


def group_mean(rows: pd.DataFrame, answer: str) -> float:
    """The accuracy of `answer`, a column of tables.PREDICTIONS, as a fraction, averaged over groups."""
    return float((rows[answer] == rows.label).astype(float).groupby(rows.group_id).mean().mean())


def _interval(draws: np.ndarray | None, level: float) -> list[float] | None:
    return None if draws is None else list(percentile_interval(draws, level))


def mean_over_sources(parts: list[SourceScore], level: float) -> dict:
    """Mean over the scored sources; they share no subject, so their draws are independent and average as they stand."""

    def mean(records: list[dict], draws: list[np.ndarray | None]) -> dict:
        together = None if any(one is None for one in draws) else np.mean(draws, axis=0)
        return {
            "accuracy": float(np.mean([one["accuracy"] for one in records])),
            "interval": _interval(together, level),
        }

    records = [part.record for part in parts]
    constant = mean([one["constant"] for one in records], [part.constant_draws for part in parts])
    return {**mean(records, [part.draws for part in parts]), "constant": constant}


def _group_rows(predictions: pd.DataFrame, clips: pd.DataFrame, level: float) -> list[dict]:
    """A row a group for the record; `clips` says by its column `embedded` which of all clips have an embedding."""
    coverage = {group_id: count_coverage(group) for group_id, group in clips.groupby("group_id")}
    rows = []
    for group_id, group in predictions.groupby("group_id"):
        n, correct = len(group), int((group.prediction == group.label).sum())
        rows.append(
            {
                "group_id": group_id,
                "source": group.source.iloc[0],
                "train_clips": int(group.train.iloc[0]),
                "n": n,
                "correct": correct,
                "accuracy": correct / n,
                "interval": list(wilson_interval(correct, n, level)),
                "constant": float((group.constant == group.label).mean()),
                "coverage": coverage[group_id],
            }
        )
    return rows


def write_result(result: Result, results: Path) -> Path:
    """Write result.json and predictions.parquet into a folder of RESULTS named after the model; return that folder.

    Raises ResultError if the folder holds a result of other embeddings, data or protocol.
    """
    name = result.record["model"]["name"]
    folder = results / folder_name(name)
    if (folder / RESULT_FILE).exists() and _identity(read_result(folder)) != _identity(result.record):
        raise ResultError(f"{folder} holds another result; delete it, or give this one another name or another --out")
    with whole_files(folder, seal=RESULT_FILE) as scratch:
        PREDICTIONS.write(scratch / PREDICTIONS_FILE, result.predictions)
        write_json(scratch / RESULT_FILE, result.record)
    return folder


def _identity(record: dict) -> list:
    made_by = [record[part] for part in ("embeddings", "protocol", "statistics")]
    return [record["model"]["name"], *made_by, fingerprints(record)]


def fingerprints(record: dict) -> dict[str, str]:
    """The fingerprint of each source that a result stands on."""
    return {name: source["fingerprint"] for name, source in record["sources"].items()}


def read_result(folder: Path) -> dict:
    """Read result.json in a model's folder; raises ResultError if it is missing or not a result."""
    path = Path(folder) / RESULT_FILE
    try:
        record = read_json(path)
    except ValueError as error:
        raise ResultError(f"{path} can't be read: {error}") from error
    problem = _record_problem(record)
    if problem:
        raise ResultError(f"{path} is no result of cia eval: {problem}")
    return record


def read_predictions(folder: Path, record: dict) -> pd.DataFrame:
    """Read predictions.parquet (columns of tables.PREDICTIONS) beside the result whose record this is.

    Raises ResultError if it can't be read or is not what the record's scores were counted from.
    """
    path = folder / PREDICTIONS_FILE
    try:
        predictions = PREDICTIONS.read(path)
    except TableError as error:
        raise ResultError(f"{error}; score {record['model']['name']!r} again") from error
    problem = _predictions_problem(predictions, record)
    if problem:
        raise ResultError(f"{path} does not fit {RESULT_FILE}: {problem}; score {record['model']['name']!r} again")
    return predictions


def _predictions_problem(predictions: pd.DataFrame, record: dict) -> str | None:
    """What in predictions contradicts the record's scores, or None."""
    if predictions.duplicated(list(PREDICTIONS.key)).any():
        return "a clip stands there twice in one group"
    strange = set(predictions.source) - set(record["sources"])
    if strange:
        return f"the result has no source {min(strange)!r}"
    for source, score in record["sources"].items():
        rows = predictions[predictions.source == source]
        counts = {"groups": rows.group_id.nunique(), "clips": len(rows)}
        for what, count in counts.items():
            if count != score[what]:
                return f"{source} has {count:,} {what}, not {score[what]:,}"
        expected = {"prediction": score["accuracy"], "constant": score["constant"]["accuracy"]}
        for answer, accuracy in expected.items():
            found = group_mean(rows, answer)
            if abs(found - accuracy) > ROUNDING:
                return f"{source}'s column {answer} gives an accuracy of {found:.4f}, not {accuracy:.4f}"
    return None


def _record_problem(record: dict) -> str | None:
    """What keeps `record` from being a result's, or None."""
    missing = [name for name in RESULT_FIELDS if name not in record]
    if missing:
        return f"it lacks {', '.join(missing)}"
    try:
        model, sources = record["model"], record["sources"]
        if not isinstance(model["name"], str) or not isinstance(model["dim"], int):
            return "model has no name or dim"
        if not isinstance(model["parameters"], int | None):
            return f"model.parameters is {model['parameters']!r}"
        if not isinstance(record["protocol"]["name"], str):
            return "protocol has no name"
        if not isinstance(record["protocol"]["probe"]["name"], str):
            return "protocol has no probe"
        if not _is_fraction(record["statistics"]["level"]):
            return f"statistics.level is {record['statistics']['level']!r}, no fraction"
        draws, seed = record["statistics"]["draws"], record["statistics"]["seed"]
        if not isinstance(draws, int) or not isinstance(seed, int) or draws < 1 or seed < 0:
            return f"statistics has {draws!r} draws with seed {seed!r}"
        if not sources:
            return "it has no source"
        for source in sources.values():
            kinds = {"fingerprint": str, "groups": int, "clips": int}
            if not all(isinstance(source[name], kind) for name, kind in kinds.items()):
                return "a source has no fingerprint, groups or clips"
            if not all(isinstance(source["coverage"][name], int) for name in COVERAGE):
                return "a source has no coverage"
        for score in (record["mean"], *sources.values()):
            for part in (score, score["constant"]):
                if not _is_score(part["accuracy"], part["interval"]):
                    return f"accuracy {part['accuracy']!r} with interval {part['interval']!r} is no fraction"
    except (KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__} {error}"
    return None


def _is_score(accuracy: object, interval: object) -> bool:
    numbers = [accuracy, *([] if interval is None else interval)]
    return len(numbers) in (1, 3) and all(map(_is_fraction, numbers))


def _is_fraction(number: object) -> bool:
    return isinstance(number, int | float) and 0 <= number <= 1
