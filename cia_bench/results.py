"""The result of scoring one model: its record, its predictions, and the folder that holds both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cia_bench.contamination import contamination_in_words
from cia_bench.controls.record import controls_frame, controls_in_words, controls_problem, gain_in_words
from cia_bench.coverage import COVERAGE, coverage_in_words, lowest_groups_in_words, shared_in_words
from cia_bench.errors import ResultError, TableError, printable
from cia_bench.files import folder_name, read_json, whole_files, write_json
from cia_bench.protocols import PROTOCOLS
from cia_bench.scoring import discoveries_in_words, group_mean, top5_mean
from cia_bench.statistics import in_percent
from cia_bench.tables import CLASS_PREDICTIONS, PREDICTIONS, Table

RESULT_FILE = "result.json"
PREDICTIONS_FILE = "predictions.parquet"
SUBMISSION_FILE = "submission.json"  # beside a result that `cia submission check` has seen
ROUNDING = 1e-9  # two accuracies closer than this are of the same answers
RESULT_FIELDS = ("model", "embeddings", "protocol", "statistics", "sources", "mean", "groups", "versions")


@dataclass(frozen=True)
class Result:
    """Scores of one model. Accuracies are fractions.

    `record` is what result.json holds. `predictions` has a row a scored clip (tables.PREDICTIONS, or
    CLASS_PREDICTIONS of a standard benchmark).
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

    @property
    def controls(self) -> pd.DataFrame:
        """The time controls, a row a control and source (see controls.record.controls_frame); empty without any."""
        return controls_frame(self.record.get("controls", {}))

    def __str__(self) -> str:
        """The scores in percent, one line a source and one for their mean."""
        model, protocol = self.record["model"], self.record["protocol"]["name"]
        title = f"{model['name']} ({model['dim']} numbers), {protocol} protocol"
        what = PROTOCOLS[protocol].metric
        lines = [f"{title}, {what} in percent with {100 * self.record['statistics']['level']:g}% interval:"]
        part = subset_in_words(self.record.get("subset"))
        lines += [f"  {part}"] if part else []
        for name, score in self.record["sources"].items():
            gain = gain_in_words(self.record, name)
            lines.append(f"  {name:<10} {_in_words(score, gain)}; {_counts_in_words(score)}")
            lines += [f"  {'':<10} {line}" for line in _classes_in_words(score)]
            missing = coverage_in_words(score)
            lines += [f"  {missing}"] if missing else []
            groups = [group for group in self.record["groups"] if group["source"] == name]
            lines += [f"    {line}" for line in lowest_groups_in_words(groups)]
            lines += [f"    {line}" for line in _unsettled_in_words(groups)]
            found = discoveries_in_words([group for group in groups if "test" in group])
            lines += [f"  {'':<10} {found}"] if found else []
            shared = shared_in_words(name, score.get("shared_vectors"))
            lines += [f"  {shared}"] if shared else []
        if len(self.record["sources"]) > 1:
            lines.append(f"  {'mean':<10} {_in_words(self.record['mean'], gain_in_words(self.record))}")
        lines += [f"  left out {source}: no embedding of its clips" for source in self.record["left_out_sources"]]
        split = PROTOCOLS[protocol].split
        lines += [
            f"  left out {group}: a label is missing on a side of {split}" for group in self.record["left_out_groups"]
        ]
        contamination = contamination_in_words(self.record.get("contamination"), list(self.record["sources"]))
        lines += [f"  {line}" for line in contamination]
        lines += controls_in_words(self.record["controls"]) if "controls" in self.record else []
        return "\n".join(printable(line) for line in lines)


def _counts_in_words(score: dict) -> str:
    """What a source's score is counted on: `16 groups, 1,290 clips`, or `3 splits, 11,213 videos of 101 classes`."""
    if "classes" not in score:
        return f"{score['groups']} groups, {score['clips']:,} clips"
    splits = f"{score['groups']} split{'s' * (score['groups'] > 1)}"
    return f"{splits}, {score['clips']:,} videos of {score['classes']} classes"


def _classes_in_words(score: dict) -> list[str]:
    names = {"top5": "top-5", "per_class": "mean of the classes"}
    return [f"{words} {percent(score[name])}" for name, words in names.items() if score.get(name)]


def _unsettled_in_words(groups: list[dict]) -> list[str]:
    """The splits whose probe was still on its way when its passes were spent."""
    unsettled = [group["group_id"] for group in groups if not group.get("converged", True)]
    return [f"{group_id}: the probe did not converge" for group_id in unsettled]


def subset_in_words(about: dict | None) -> str:
    """What a result was scored on, if not on everything: fit to end a title."""
    if about is None:
        return ""
    count = len(about["groups"])
    most = "" if about["max_clips"] is None else f", at most {about['max_clips']} clips of each on a side"
    return f"on a part of the data: {count} group{'s' * (count > 1)}{most}"


def _in_words(score: dict, gain: str) -> str:
    reason = "" if score["interval"] else " [no interval: nothing to resample]"
    return f"{percent(score)}{reason}{gain}, a constant answer {100 * score['constant']['accuracy']:.1f}"


def percent(score: dict) -> str:
    """A score of a record, {accuracy, interval}, as in `57.6 [54.4, 60.5]`; without brackets if it has no interval."""
    return in_percent(score["accuracy"], score["interval"])


def write_result(result: Result, results: Path, beside: Mapping[str, dict] | None = None) -> Path:
    """Write result.json and predictions.parquet into a folder of RESULTS named after the model; return that folder.

    `beside` are contents of further JSON files there, by name.

    Raises ResultError if the folder holds a result of other embeddings, data or protocol.
    """
    name = result.record["model"]["name"]
    folder = results / folder_name(name)
    if (folder / RESULT_FILE).exists() and _identity(read_result(folder)) != _identity(result.record):
        raise ResultError(f"{folder} holds another result; delete it, or give this one another name or another --out")
    with whole_files(folder, seal=RESULT_FILE) as scratch:
        predictions_table(result.record).write(scratch / PREDICTIONS_FILE, result.predictions)
        for file, content in (beside or {}).items():
            write_json(scratch / file, content)
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
    problem = record_problem(record)
    if problem:
        raise ResultError(f"{path} is no result of cia eval: {problem}")
    return record


def predictions_table(record: dict) -> Table:
    """What predictions of a result are, whose record this is."""
    return CLASS_PREDICTIONS if PROTOCOLS[record["protocol"]["name"]].classes else PREDICTIONS


def read_predictions(folder: Path, record: dict) -> pd.DataFrame:
    """Read predictions.parquet (columns of predictions_table) beside the result whose record this is.

    Raises ResultError if it can't be read or is not what the record's scores were counted from.
    """
    path = folder / PREDICTIONS_FILE
    try:
        predictions = predictions_table(record).read(path)
    except TableError as error:
        raise ResultError(f"{error}; score {record['model']['name']!r} again") from error
    problem = predictions_problem(predictions, record)
    if problem:
        raise ResultError(f"{path} does not fit {RESULT_FILE}: {problem}; score {record['model']['name']!r} again")
    return predictions


def predictions_problem(predictions: pd.DataFrame, record: dict) -> str | None:
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
            found = group_mean(rows, answer, PROTOCOLS[record["protocol"]["name"]].balanced)
            if abs(found - accuracy) > ROUNDING:
                return f"{source}'s column {answer} gives an accuracy of {found:.4f}, not {accuracy:.4f}"
        top5 = score.get("top5")
        if top5 and abs(top5_mean(rows) - top5["accuracy"]) > ROUNDING:
            found = top5_mean(rows)
            return f"{source}'s column place gives a top-5 accuracy of {found:.4f}, not {top5['accuracy']:.4f}"
    return None


def record_problem(record: dict) -> str | None:
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
        if record["protocol"]["name"] not in PROTOCOLS:
            return f"protocol.name is {record['protocol']['name']!r}"
        if not isinstance(record["protocol"]["probe"]["name"], str):
            return "protocol has no probe"
        if not _is_fraction(record["statistics"]["level"]):
            return f"statistics.level is {record['statistics']['level']!r}, no fraction"
        draws, seed = record["statistics"]["draws"], record["statistics"]["seed"]
        if not isinstance(draws, int) or not isinstance(seed, int) or draws < 1 or seed < 0:
            return f"statistics has {draws!r} draws with seed {seed!r}"
        part = record.get("subset")
        if part is not None and not (isinstance(part["groups"], list) and isinstance(part["max_clips"], int | None)):
            return "subset has no groups or max_clips"
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
        if PROTOCOLS[record["protocol"]["name"]].classes:
            return _standard_problem(record)
        if "controls" in record:
            return controls_problem(record["controls"], sources)
    except (KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__} {error}"
    return None


def _standard_problem(record: dict) -> str | None:
    """What keeps a record of a standard benchmark from being one, beside what every record has; or None."""
    if not isinstance(record["task"]["kind"], str):
        return f"task.kind is {record['task']['kind']!r}"
    if len(record["sources"]) != 1:
        return f"it has {len(record['sources'])} sources where a standard benchmark is one"
    (source,) = record["sources"].values()
    if not isinstance(source["classes"], int) or source["classes"] < 1:
        return f"classes is {source['classes']!r}"
    for name in ("top5", "per_class"):
        part = source[name]
        if part is None and name == "top5":
            continue  # of so few classes, nothing is outside
        if not _is_score(part["accuracy"], part["interval"]):
            return f"{name} {part['accuracy']!r} with interval {part['interval']!r} is no fraction"
    return None


def _is_score(accuracy: object, interval: object) -> bool:
    numbers = [accuracy, *([] if interval is None else interval)]
    return len(numbers) in (1, 3) and all(map(_is_fraction, numbers))


def _is_fraction(number: object) -> bool:
    return isinstance(number, int | float) and 0 <= number <= 1
