"""Annotation files of invented rows in exactly the layouts of Something-Something v2 and Charades."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

OBJECTS = (
    "pen;a pen;the pen;book;a book;bottle;a bottle;box;a box;door;a door;drawer;wallet;cup;a cup;paper;phone".split(";")
)
SSV2_OLD = "something-something-v2-{}.json"
SSV2_NEW = "labels/{}.json"


def ssv2_rows(templates: Sequence[str], count: int, first_id: int, seed: int) -> list[dict]:
    """Rows of all templates with each object in turn, one in ten with a rare object: strings only, as the owner has."""
    generator = np.random.default_rng(seed)
    chosen = generator.integers(0, len(OBJECTS), (count, 3))
    rare = generator.random(count) < 0.1
    rows = []
    for number in range(count):
        template = templates[number % len(templates)]
        objects = [OBJECTS[number // len(templates) % len(OBJECTS)], *(OBJECTS[place] for place in chosen[number])]
        if rare[number]:
            objects[0] = f"red pot holder {number}"
        filled = objects[: template.count("[")]
        parts = iter(filled)
        label = re.sub(r"\[[^\]]*\]", lambda _, parts=parts: next(parts), template).lower()
        rows.append({"id": str(first_id + number), "label": label, "template": template, "placeholders": filled})
    return rows


def write_ssv2(
    folder: Path, templates: Sequence[str], train: int, validation: int, names: str = SSV2_OLD, seed: int = 0
) -> Path:
    """Write train, validation and labels files of so many rows."""
    labels = {template.replace("[", "").replace("]", ""): str(number) for number, template in enumerate(templates)}
    contents = {
        "train": ssv2_rows(templates, train, 1, seed),
        "validation": ssv2_rows(templates, validation, 1 + train, seed + 1),
        "labels": labels,
    }
    for name, content in contents.items():
        path = folder / names.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


CHARADES_COLUMNS = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length".split(",")


def charades_row(video: str, subject: str, actions: str, length: str = "31.00") -> list[str]:
    script = 'A person, in the kitchen, says "no, thanks" and walks away.'
    return [video, subject, "Kitchen", "6", "7", "Yes", script, "box;door", script, actions, length]


def write_charades(folder: Path, classes: Sequence[str], train: list[list[str]], test: list[list[str]]) -> Path:
    """Write the files of Charades: `classes` are lines like `c000 Holding some clothes`, rows are charades_row's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Charades_v1_classes.txt").write_text("".join(f"{line}\n" for line in classes))
    for name, rows in (("train", train), ("test", test)):
        with (folder / f"Charades_v1_{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([CHARADES_COLUMNS, *rows])
    return folder


def charades_rows(classes: Sequence[str], videos: int, first: int, clips_a_class: int) -> list[list[str]]:
    """Videos in which every class is acted `clips_a_class` times, at times that do not overlap."""
    ids = [line.split(" ")[0] for line in classes]
    actions = [
        f"{ids[number % len(ids)]} {number // videos * 3 + 0.55:.2f} {number // videos * 3 + 2.45:.2f}"
        for number in range(clips_a_class * len(ids))
    ]
    length = f"{(len(actions) // videos + 1) * 3:.2f}"
    return [
        charades_row(_video_id(first + place), f"S{place % 7:03d}", ";".join(actions[place::videos]), length)
        for place in range(videos)
    ]


def _video_id(number: int) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "".join(letters[number // 36**place % 36] for place in range(4, -1, -1))
