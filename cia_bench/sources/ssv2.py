"""Something-Something v2: a video an action; the verb is the template, the noun what fills its first bracket."""

import re

import pandas as pd

from cia_bench.sources.files import AnnotationFiles, is_text

NAMES = {  # the older and the newer names of each file
    "train": ("something-something-v2-train.json", "labels/train.json", "train.json"),
    "validation": ("something-something-v2-validation.json", "labels/validation.json", "validation.json"),
}
LABEL_NAMES = ("something-something-v2-labels.json", "labels/labels.json", "labels.json")
FILES = (*NAMES.values(), LABEL_NAMES)
WHERE = (
    "sign in at https://www.qualcomm.com/developer/software/something-something-v-2-dataset and download the labels; "
    "the newer names labels/train.json, labels/validation.json and labels/labels.json work too"
)
FREE_NOUNS = True
TEMPLATE = re.compile(r"(?:[^\[\]]|\[[^\[\]]+\])+")  # each bracket is closed before the next opens
SOMETHING = "something"  # the noun of a template without a bracket


def actions(files: AnnotationFiles) -> pd.DataFrame:
    """Read both splits; a clip is a whole file, `<id>.webm`, and its id the published one."""
    known = _known_labels(files)
    splits = [_read_split(files, names[0], split, known) for split, names in NAMES.items()]
    both = set(splits[0].clip_id) & set(splits[1].clip_id)
    name = NAMES["validation"][0]
    splits[1] = files.keep(name, splits[1], ~splits[1].clip_id.isin(both), "id {clip_id} is in the training file too")
    return pd.concat(splits, ignore_index=True)


def interval(clip_id: str) -> tuple[str, None, None]:
    """The video that a published clip id names, a whole file; raises ValueError if it is none."""
    if not (clip_id.isascii() and clip_id.isdigit()):
        raise ValueError(f"{clip_id!r} is not a number like 138629")
    return f"{clip_id}.webm", None, None


def _known_labels(files: AnnotationFiles) -> set[str]:
    """The templates that the labels file lists, without brackets."""
    labels = files.json(LABEL_NAMES[0])
    if not isinstance(labels, dict) or not labels:
        files.refuse(LABEL_NAMES[0], 'it is not like {"Closing something": "0", ...}')
    return set(labels)


def _bare(template: str) -> str | None:
    """A template as the labels file has it, without its brackets; None if they are not in order."""
    return template.replace("[", "").replace("]", "") if TEMPLATE.fullmatch(template) else None


def _read_split(files: AnnotationFiles, name: str, split: str, known: set[str]) -> pd.DataFrame:
    texts = ("id", "label", "template")
    rows = files.json_list(name, (*texts, "placeholders"), texts)
    places = {template: template.count("[") for template in rows.template.unique()}
    listed = {template for template in places if _bare(template) in known}
    fit = [
        isinstance(filled, list) and len(filled) == places[template] and all(map(is_text, filled))
        for filled, template in zip(rows.placeholders, rows.template, strict=True)
    ]
    rows["fit"] = fit
    checks = {
        "id {id} is not a number": lambda: rows.id.str.fullmatch(r"[0-9]+"),
        "id {id} stands in an earlier row too": lambda: ~rows.id.duplicated(),
        "id {id}: template {template} is not in the labels file": lambda: rows.template.isin(listed),
        "id {id}: placeholders {placeholders} do not fill the brackets of {template}": lambda: rows.fit,
    }
    for expected, good in checks.items():
        rows = files.keep(name, rows, good(), expected)
    nouns = [filled[0] if filled else SOMETHING for filled in rows.placeholders]
    several = [any(" and " in part or "," in part for part in filled) for filled in rows.placeholders]
    return pd.DataFrame(
        {
            "clip_id": rows.id,
            "video": rows.id + ".webm",
            "start_s": float("nan"),
            "stop_s": float("nan"),
            "verb": rows.template,
            "noun": [noun.strip() or SOMETHING for noun in nouns],
            "text": rows.label,
            "split": split,
            "subject": None,
            "several_objects": several,
        }
    )
