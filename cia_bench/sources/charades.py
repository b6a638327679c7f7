"""Charades: timed actions of 157 classes at home; the verb is the class with [something] for its object, the noun."""

import re

import numpy as np
import pandas as pd

from cia_bench.download import Download, Release
from cia_bench.sources import tenths
from cia_bench.sources.files import AnnotationFiles

SPLIT_FILES = {"train": "Charades_v1_train.csv", "validation": "Charades_v1_test.csv"}
CLASS_FILE = "Charades_v1_classes.txt"
FILES = (*SPLIT_FILES.values(), CLASS_FILE)
WHERE = "they are in Charades.zip, https://prior.allenai.org/projects/charades (academic licence)"
RELEASED = {  # SHA-256 of each file of the release
    "Charades_v1_train.csv": "59273c6dc2139ec7eb95b980fd26bc8529774b1ede0602f6ca90b546ed12f0fc",
    "Charades_v1_test.csv": "8b8b207b55fb95b949018027f69d83bd46cd844d15834f8f592ee8e7446173eb",
    "Charades_v1_classes.txt": "7b95127e60300d6a69849d161869eb3e9657fa320fc9e92b6f2c9403b49c1887",
}
RELEASE = Release(
    downloads=(
        Download(
            "https://ai2-public-datasets.s3-us-west-2.amazonaws.com/charades/Charades.zip",
            "c616913ef79c2ddde06d9c562eae57bb8901d459d7568a0d27bf09cbf33ae866",
            3_519_822,
            members=FILES,
        ),
    ),
    licence="Charades: for academic use only, https://prior.allenai.org/projects/data/charades/license.txt",
    citation="Sigurdsson et al., Hollywood in Homes, ECCV 2016, https://prior.allenai.org/projects/charades",
)
TIME = r"[0-9]{1,6}(?:\.[0-9]+)?"  # of seconds
ACTIONS = rf"(?:c[0-9]{{3}} {TIME} {TIME})(?:;c[0-9]{{3}} {TIME} {TIME})*"
NOBODY_ELSE = "someone"  # the noun of a class that names no object
OBJECT = re.compile(
    r"(?P<verb>[^ ]+(?: (?:on|off|up|at|in|with|through|onto|outside of|for and grabbing|from(?= a )))*"
    r"(?: something(?:/[^ ]+)* (?:on|in|with|from|of|into))?)"
    r" (?:(?:a|an|the|some|their) )?(?P<noun>(?!(?:a|from|to|up|somewhere)(?: |$))[^ ]+)(?P<rest>.*)"
)


def actions(files: AnnotationFiles) -> pd.DataFrame:
    """Read both splits, a row an action. Clip ids are the published ones: `YSKX3_12.1_16.6`, rounded to 0.1 s."""
    classes = _classes(files)
    splits = [_read_split(files, name, split, classes) for split, name in SPLIT_FILES.items()]
    videos = [set(frame.video) for frame in splits]
    both = sorted(videos[0] & videos[1])
    name = SPLIT_FILES["validation"]
    splits[1] = files.keep(name, splits[1], ~splits[1].video.isin(both), "video {video} is in " + FILES[0] + " too")
    return pd.concat(splits, ignore_index=True)


def interval(clip_id: str) -> tuple[str, float, float]:
    """Video, start and stop that a published clip id names; raises ValueError if it is none."""
    match = re.fullmatch(r"([A-Z0-9]{5})_([0-9]+\.[0-9])_([0-9]+\.[0-9])", clip_id)
    if not match:
        raise ValueError(f"{clip_id!r} is not like YSKX3_12.1_16.6")
    return f"{match[1]}.mp4", float(match[2]), float(match[3])


def phrase(label: str) -> tuple[str, str]:
    """Split a class into verb and noun: `Putting a bag somewhere` -> `putting [something] somewhere`, `bag`."""
    text = label.casefold()
    start = "someone is " if text.startswith("someone is ") else ""
    match = OBJECT.fullmatch(text.removeprefix(start))
    if not match:
        return text, NOBODY_ELSE
    return f"{start}{match['verb']} [something]{match['rest']}", _one(match["noun"])


def _one(noun: str) -> str:
    """A noun in the form that all classes share: towel/s, dish/dishes, shoe/shoes and shoes lose their plural."""
    noun = re.sub(r"^(\w+)/(?:\1)?e?s$", r"\1", noun)
    return noun.removesuffix("s") if noun == "shoes" else noun


def _classes(files: AnnotationFiles) -> pd.DataFrame:
    """Text, verb and noun of each class, by its id."""
    lines = files.lines(CLASS_FILE)
    parts = lines.line.str.extract(r"^(c[0-9]{3}) (\S.*)$").set_axis(["id", "text"], axis="columns")
    lines = lines.assign(**parts)
    lines = files.keep(CLASS_FILE, lines, lines.id.notna(), "{line} is not like 'c000 Holding some clothes'")
    lines = files.keep(CLASS_FILE, lines, ~lines.id.duplicated(), "class {id} stands in an earlier row too")
    verb_noun = pd.DataFrame([phrase(text) for text in lines.text], columns=["verb", "noun"], index=lines.index)
    return lines.assign(**verb_noun).set_index("id")


def _read_split(files: AnnotationFiles, name: str, split: str, classes: pd.DataFrame) -> pd.DataFrame:
    rows = files.csv(name, ("id", "subject", "actions", "length"))
    checks = {
        "id {id} is not like YSKX3": lambda: rows.id.str.fullmatch(r"[A-Z0-9]{5}"),
        "id {id} stands in an earlier row too": lambda: ~rows.id.duplicated(),
        "video {id} has no subject": lambda: rows.subject != "",
        "length {length} of video {id} is no number of seconds": lambda: rows.length.str.fullmatch(TIME),
        "actions {actions} of video {id} are not like 'c092 11.90 21.20;c147 0.00 12.60'": lambda: (
            (rows.actions == "") | rows.actions.str.fullmatch(ACTIONS)
        ),
    }
    for expected, good in checks.items():
        rows = files.keep(name, rows, good(), expected)
    rows = rows[rows.actions != ""]
    rows = rows.assign(action=rows.actions.str.split(";")).explode("action")  # the file's row stays the index
    parts = rows.action.str.split(" ", expand=True).reindex(columns=range(3))
    rows = rows.assign(class_id=parts[0], start_s=parts[1].astype(float), stop_s=parts[2].astype(float))
    known = rows.class_id.isin(classes.index)
    rows = files.keep(name, rows, known, "action {action} of video {id}: its class is not in " + CLASS_FILE)
    lasting = rows.stop_s > rows.start_s
    rows = files.keep(name, rows, lasting, "action {action} of video {id} stops before it starts")
    rows = rows.assign(length_s=rows.length.astype(float))
    inside = rows.start_s < rows.length_s
    rows = files.keep(name, rows, inside, "action {action} of video {id} starts after its length {length}")
    return _as_actions(rows, split, classes)


def _as_actions(rows: pd.DataFrame, split: str, classes: pd.DataFrame) -> pd.DataFrame:
    """The ids cut an end to the video's length, as the published ones do; the interval keeps the annotated end."""
    cut_s = pd.Series(np.minimum(rows.stop_s, rows.length_s), index=rows.index)
    return pd.DataFrame(
        {
            "clip_id": rows.id + "_" + tenths(rows.start_s) + "_" + tenths(cut_s),
            "video": rows.id + ".mp4",
            "start_s": rows.start_s,
            "stop_s": rows.stop_s,
            "verb": rows.class_id.map(classes.verb),
            "noun": rows.class_id.map(classes.noun),
            "text": rows.class_id.map(classes.text),
            "split": split,
            "subject": rows.subject,
            "duration_s": rows.length_s,
        }
    )
