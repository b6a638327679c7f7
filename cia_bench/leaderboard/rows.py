"""A row of the leaderboard, made of a result."""

from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from cia_bench.coverage import lowest_share
from cia_bench.errors import ResultError
from cia_bench.files import read_json
from cia_bench.protocols import PROTOCOLS
from cia_bench.results import RESULT_FILE, SUBMISSION_FILE

CONSTANT = "constant"  # the row of an answer that is always the most frequent label of the training clips


@dataclass(frozen=True)
class Row:
    """One model, the constant answer, or a number that others published. None: not known, or there is none.

    A score is {accuracy, interval}, a control {value, interval}, as in a result's record: fractions.
    """

    model: str
    scores: dict[str, dict]  # by source; empty if only the mean was published
    mean: dict | None
    top5: dict | None = None  # of a standard benchmark: a score where one of the five likeliest classes is right
    per_class: dict | None = None  # likewise, the mean over classes
    encoder: str | None = None  # of a joined model: its encoders, joined by +
    frames: int | None = None  # of a clip, the most that any encoder takes
    parameters: int | None = None
    dim: int | None = None
    clips_per_s: float | None = None
    gain: dict | None = None  # accuracy minus that of the order-blind mean of the same encoder, mean over sources
    flip_rate: dict | None = None  # share of clips whose answer turns when they are played backwards, likewise
    rank_interval: tuple[int, int] | None = None  # lowest and highest rank among the measured rows
    tie_group: int | None = None  # 1 is the best; rows of one number can't be told from the first of them
    coverage: dict[str, float] = field(default_factory=dict)  # by source: embedded share of the worse covered split
    saw: dict[str, str] | None = None  # by source: labels or clips, that the model or a part of it was trained on
    contamination: dict | None = None  # which scored clips its trained parts may have seen, as in the record
    verified: bool | None = None  # of a submission: whether its scores were made again; None: scored here
    reported: bool = False  # a published number, not measured here
    reported_by: str | None = None  # where it was published, and how it was read
    constant: bool = False  # not a model: the constant answer
    groups: list[dict] = field(default_factory=list)  # a group each: group_id, source, n, accuracy, interval, ...

    @property
    def measured(self) -> bool:
        """Whether this is a model that was scored on the ranking's data, and so has a rank."""
        return not (self.reported or self.constant)


def make_row(record: dict, folder: Path) -> Row:
    """The row of a result in `folder`, without what comes of comparing it.

    Raises ResultError where the parts of the record that read_result does not look at are not what they should be.
    """
    verified = _verified(folder)
    try:
        row = _row(record, verified)
        problem = _problem(row)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"{type(error).__name__} {error}"
    if problem:
        raise ResultError(f"{folder / RESULT_FILE} is no result of cia eval: {problem}")
    return row


def _row(record: dict, verified: bool | None) -> Row:
    model, origins = record["model"], _origins(record)
    return Row(
        model=model["name"],
        scores={name: _score(source) for name, source in sorted(record["sources"].items())},
        mean=_score(record["mean"]),
        top5=_of_classes(record, "top5"),
        per_class=_of_classes(record, "per_class"),
        encoder="+".join(dict.fromkeys(origin["encoder"] for origin in origins)) or None,
        frames=max((origin["frames"]["count"] for origin in origins), default=None),
        parameters=model["parameters"],
        dim=model["dim"],
        clips_per_s=model.get("clips_per_s"),
        gain=_control(record, "gain"),
        flip_rate=_control(record, "flip_rate"),
        coverage={name: lowest_share(source["coverage"]) for name, source in sorted(record["sources"].items())},
        saw=_saw(record),
        contamination=record.get("contamination"),
        verified=verified,
        groups=[group for group in record["groups"] if group["source"] in record["sources"]],
    )


def constant_row(record: dict) -> Row:
    """The row of what a constant answer scores on a result's clips."""
    scores = {name: _score(source["constant"]) for name, source in sorted(record["sources"].items())}
    return Row(CONSTANT, scores, _score(record["mean"]["constant"]), constant=True)


def _score(score: dict) -> dict:
    return {"accuracy": score["accuracy"], "interval": score["interval"] or None}


def _of_classes(record: dict, name: str) -> dict | None:
    """A score of a standard benchmark, which is one source."""
    if not PROTOCOLS[record["protocol"]["name"]].classes:
        return None
    (source,) = record["sources"].values()
    return source[name] and _score(source[name])


def _origins(record: dict) -> list[dict]:
    """What made the embeddings of each part of a model; none of embeddings that came as a file."""
    origin = record["embeddings"]
    return [part for part in origin.get("parts", [origin]) if "encoder" in part]


def _saw(record: dict) -> dict[str, str] | None:
    """What the model saw as a whole, and the sources of which a trained part saw clips; None if that is not known."""
    saw, contamination = record["model"].get("saw"), record.get("contamination")
    if not isinstance(contamination, dict):
        return saw
    for part in contamination["parts"].values():
        for source, splits in part["sources"].items():
            if any(count["seen_clips"] for count in splits.values()):
                how = "labels" if part["labels"] else "clips"
                saw = {**(saw or {}), source: max(how, (saw or {}).get(source, how))}  # labels over clips
    return saw or None if contamination["unknown"] else saw


def _control(record: dict, name: str) -> dict | None:
    """A control's value over the record's sources; without an interval where it is of other sources than these."""
    control = (record.get("controls") or {}).get(name) or {}
    by_source = control.get("sources") or {}
    if not by_source or not record["sources"].keys() <= by_source.keys():
        return None
    if by_source.keys() == record["sources"].keys() and control.get("mean"):
        return {key: control["mean"][key] for key in ("value", "interval")}
    own = [by_source[source] for source in record["sources"]]
    return {
        "value": sum(one["value"] for one in own) / len(own),
        "interval": own[0]["interval"] if len(own) == 1 else None,
    }


def _problem(row: Row) -> str | None:
    """What in a row is not of its kind, or None."""
    kinds = {"frames": int, "clips_per_s": int | float, "saw": dict, "contamination": dict}
    for name, kind in kinds.items():
        if not isinstance(value := getattr(row, name), kind | None):
            return f"{name} is {value!r}"
    if not all(isinstance(part, str) for pair in (row.saw or {}).items() for part in pair):
        return f"saw is {row.saw!r}"
    if row.clips_per_s is not None and not 0 <= row.clips_per_s < inf:
        return f"clips_per_s is {row.clips_per_s!r}"
    for name in ("gain", "flip_rate"):
        control = getattr(row, name)
        if control and not all(-1 <= number <= 1 for number in (control["value"], *(control["interval"] or ()))):
            return f"{name} is {control!r}"
    for group in row.groups:
        if not isinstance(group["group_id"], str) or not isinstance(group["n"], int):
            return f"a group is {group['group_id']!r} with {group['n']!r} clips"
        low, high = group["interval"]
        if not 0 <= low <= high <= 1 or not 0 <= group["accuracy"] <= 1:
            return f"group {group['group_id']!r} has accuracy {group['accuracy']!r}, interval {group['interval']!r}"
    return None


def _verified(folder: Path) -> bool | None:
    path = folder / SUBMISSION_FILE
    if not path.exists():
        return None
    try:
        return read_json(path, {"verified": bool})["verified"]
    except ValueError as error:
        raise ResultError(f"{path} can't be read: {error}; cia submission check writes it anew") from error
