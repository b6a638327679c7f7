"""Check an owner's lists of classes and videos row by row."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from cia_bench.sources.files import MEND, AnnotationFiles
from cia_bench.tables import SPLITS


def open_lists(folder: Path, names: Sequence[str | tuple[str, ...]], where: str) -> AnnotationFiles:
    """The files of these names, or their other names, in a folder; `where` tells somebody who lacks them.

    Raises AnnotationError if one is missing.
    """
    return AnnotationFiles(folder, SimpleNamespace(FILES=names, WHERE=where), advice=MEND)


def filled_lines(files: AnnotationFiles, name: str) -> pd.DataFrame:
    """The lines of a text file (column `line`) without spaces around them, and without empty ones."""
    lines = files.lines(name)
    lines["line"] = lines.line.str.strip()
    return lines[lines.line != ""]


def parsed_lines(files: AnnotationFiles, name: str, pattern: str, example: str) -> pd.DataFrame:
    """The lines of a text file with a column for each named group of `pattern`, which matches from end to end.

    Raises AnnotationError for the first line that it does not match; `example` is one that it does.
    """
    lines = filled_lines(files, name)
    parts = lines.line.str.extract(rf"\A(?:{pattern})\Z")
    return files.keep(name, lines.join(parts), parts.iloc[:, 0].notna(), f"{{line}} is not like {example!r}")


def class_names(files: AnnotationFiles, name: str, rows: pd.DataFrame, first: int) -> list[str]:
    """The classes by their numbers, which start at `first`, of rows with the text columns class_name and number.

    Raises AnnotationError for a number that is not whole, one or a name that stands there twice, and for a gap.
    """
    checks = {
        "number {number} of class {class_name} is no whole number": lambda: rows.number.str.fullmatch("[0-9]{1,4}"),
        "number {number} stands in an earlier row too": lambda: ~rows.number.astype(int).duplicated(),
        "class {class_name} stands in an earlier row too": lambda: ~rows.class_name.duplicated(),
    }
    for expected, good in checks.items():
        rows = files.keep(name, rows, good(), expected)
    by_number = dict(zip(rows.number.astype(int), rows.class_name, strict=True))
    expected = range(first, first + len(rows))
    missing = [number for number in expected if number not in by_number]
    if missing:
        files.refuse(name, f"its {len(rows)} classes should have the numbers from {first} on; {missing[0]} is missing")
    return [by_number[number] for number in expected]


def each_once(files: AnnotationFiles, name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one list; raises AnnotationError for a clip_id that it has twice."""
    return files.keep(name, rows, ~rows.clip_id.duplicated(), "video {clip_id} stands in an earlier row too")


def both_lists(
    files: AnnotationFiles, names: tuple[str, str], training: pd.DataFrame, scored: pd.DataFrame
) -> pd.DataFrame:
    """The rows of the two lists of a split, of the files `names`, one after the other, with a column `split`.

    Raises AnnotationError for a clip_id that stands twice in one list, or in both.
    """
    lists = [each_once(files, name, rows) for name, rows in zip(names, (training, scored), strict=True)]
    apart = ~lists[1].clip_id.isin(lists[0].clip_id)
    lists[1] = files.keep(names[1], lists[1], apart, f"video {{clip_id}} is in {files.path(names[0]).name} too")
    return pd.concat([rows.assign(split=split) for rows, split in zip(lists, SPLITS, strict=True)])
