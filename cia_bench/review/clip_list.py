"""Read which clips are to be reviewed: a text file with an id a line, or a table with a column clip_id."""

import csv
import io
from pathlib import Path

from cia_bench.errors import ConfigError
from cia_bench.review.spreadsheet import from_cell
from cia_bench.tables import read_parquet

COLUMN = "clip_id"


def read_clip_list(path: Path) -> list[str]:
    """The clip ids in a file, in order: a .csv or .parquet with a column clip_id, else text with an id a line.

    Raises ConfigError, or TableError of a Parquet file, that names the file and the row that has no id.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is no file; --clips takes one with a clip id a line, or a table with {COLUMN}")
    readers = {".csv": _from_csv, ".parquet": _from_parquet}
    clip_ids = readers.get(path.suffix.lower(), _from_text)(path)
    if not clip_ids:
        raise ConfigError(f"{path} lists no clip")
    return clip_ids


def _from_text(path: Path) -> list[str]:
    return [line.strip() for line in _text(path).splitlines() if line.strip()]


def _from_csv(path: Path) -> list[str]:
    rows = csv.DictReader(io.StringIO(_text(path), newline=""))
    try:
        if COLUMN not in (rows.fieldnames or []):
            raise ConfigError(f"{path} has no column {COLUMN}; its columns are {', '.join(rows.fieldnames or [])}")
        return [from_cell(_filled(path, number, row[COLUMN])) for number, row in enumerate(rows, start=1)]
    except csv.Error as error:
        raise ConfigError(f"{path} line {rows.line_num + 1} is no CSV: {error}") from error


def _from_parquet(path: Path) -> list[str]:
    columns = read_parquet(path).to_pydict()
    if COLUMN not in columns:
        raise ConfigError(f"{path} has no column {COLUMN}; its columns are {', '.join(columns)}")
    return [_filled(path, number, value) for number, value in enumerate(columns[COLUMN], start=1)]


def _filled(path: Path, number: int, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{path} row {number}: {COLUMN} is {value!r}, no clip id")
    return value.strip()


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path} line {line} is not UTF-8 text") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
