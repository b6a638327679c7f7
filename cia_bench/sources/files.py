"""Read an owner's annotation files strictly: each fault is told with its file and row, or its row is left out."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NoReturn

import numpy as np
import pandas as pd

from cia_bench.errors import AnnotationError
from cia_bench.files import sha256_of

LONGEST_SHOWN = 300  # characters of a value that a message quotes
MEND = "mend it"  # what a refusal advises where rows can't be left out
MEND_OR_SKIP = f"{MEND}, or leave out such rows with --skip-bad-rows"


@dataclass(frozen=True)
class Fault:
    """A row that is not as its owner documents it."""

    file: str
    row: int  # the first line of a CSV or text, and the first entry of a JSON list, is row 1
    reason: str


class AnnotationFiles:
    """The annotation files of one source in a folder.

    A name in the module's FILES may be a tuple: other names that its owner gave the same file. Reading keeps file rows
    as the index of each frame, so that faults found later can be told. `advice` ends the refusal of a row.

    Raises AnnotationError if the folder or a file is missing.
    """

    def __init__(
        self,
        folder: Path,
        module: ModuleType | SimpleNamespace,
        skip_bad_rows: bool = False,
        advice: str = MEND_OR_SKIP,
    ):
        self.folder, self._skip, self._advice = folder, skip_bad_rows, advice
        self.opened: dict[str, Path] = {}
        self.skipped: list[Fault] = []
        self._released = dict(getattr(module, "RELEASED", {}))  # file name -> sha256 of the owner's release
        self._is_release: dict[str, bool] = {}
        missing = []
        for names in module.FILES:
            names = (names,) if isinstance(names, str) else names
            found = next((name for name in names if (folder / name).is_file()), None)
            if found is None:
                missing.append(names[0])
            else:
                self.opened[names[0]] = folder / found
        if missing:
            state = "lacks" if folder.is_dir() else "does not exist; it should hold"
            raise AnnotationError(f"annotation folder {folder} {state} {', '.join(missing)}; {module.WHERE}")

    def path(self, name: str) -> Path:
        """Where the file that FILES calls `name` first is."""
        return self.opened[name]

    def inputs(self) -> list[dict]:
        """Name and SHA-256 of each file."""
        return [{"name": name, "sha256": sha256_of(path)} for name, path in self.opened.items()]

    def header(self, name: str) -> list[str]:
        """The column names of a CSV."""
        try:
            return next(csv.reader(io.StringIO(self.text(name), newline="")), [])
        except csv.Error:
            return []  # reading the rows says what is wrong

    def text(self, name: str) -> str:
        """The content of a file; raises AnnotationError if it can't be read or is not UTF-8."""
        path = self.path(name)
        try:
            content = path.read_bytes()
            return content.decode("utf-8-sig")  # a mark of byte order is what Excel adds
        except OSError as error:
            raise AnnotationError(f"{path} can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            reason = f"{error.reason} at byte {error.start}, in line {line}"
            raise AnnotationError(f"{path} is not UTF-8 text: {reason}") from error

    def keep(self, name: str, frame: pd.DataFrame, good: pd.Series, expected: str) -> pd.DataFrame:
        """The rows of `frame`, read from the file `name`, where `good` holds.

        Others are refused with the first such row, or left out and listed. `expected` says how a row should be;
        `{column}` in it stands for that row's value.
        """
        broken = np.flatnonzero(~good.to_numpy(bool))
        if not len(broken):
            return frame
        for position in broken:
            values = {column: _shown(value) for column, value in frame.iloc[position].items()}
            self._fault(name, int(frame.index[position]), expected.format(**values))
        return frame[good.to_numpy(bool)]

    def _fault(self, name: str, row: int, reason: str) -> None:
        if not (self._skip or self._unmendable(name)):
            raise AnnotationError(f"{self.path(name)} row {row}: {reason}; {self._advice}")
        self.skipped.append(Fault(name, row, reason))

    def _unmendable(self, name: str) -> bool:
        """Whether a file is its owner's release to the byte."""
        if name not in self._is_release:
            self._is_release[name] = self._released.get(name) == sha256_of(self.path(name))
        return self._is_release[name]

    def refuse(self, name: str, problem: str) -> NoReturn:
        """Raise AnnotationError about a whole file."""
        raise AnnotationError(f"{self.path(name)}: {problem}")

    def csv(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
        """Read the named columns of a CSV with a header (row 1) as text, exactly as written; more columns are allowed.

        Raises AnnotationError if it is not UTF-8 CSV, lacks a column, or a row has other than the header's fields.
        """
        path = self.path(name)
        lines = csv.reader(io.StringIO(self.text(name).rstrip("\r\n"), newline=""), strict=True)
        number = 0  # rows read so far
        kept, rows = [], []
        try:
            header = next(lines, [])
            missing = [column for column in columns if column not in header]
            if missing:
                found = _short(", ".join(header)) or "none"
                raise AnnotationError(f"{path} lacks column {', '.join(missing)}; it has {found}")
            wanted = [header.index(column) for column in columns]
            number = 1
            for number, line in enumerate(lines, start=2):
                if len(line) != len(header):
                    self._fault(name, number, f"it has {len(line)} fields, the header {len(header)}")
                    continue
                kept.append([line[column] for column in wanted])
                rows.append(number)
        except csv.Error as error:
            raise AnnotationError(f"{path} row {number + 1} can't be read as CSV: {error}") from error
        return pd.DataFrame(kept, columns=list(columns), index=rows, dtype="str")

    def lines(self, name: str) -> pd.DataFrame:
        """Read a text file: column `line`, without line ends.

        Raises AnnotationError if it is not UTF-8.
        """
        lines = self.text(name).splitlines()
        return pd.DataFrame({"line": lines}, index=range(1, len(lines) + 1), dtype="str")

    def json(self, name: str) -> object:
        """Read a JSON file; raises AnnotationError if it is not UTF-8 JSON."""
        text = self.text(name)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise AnnotationError(f"{self.path(name)} can't be read as JSON: {error}") from error

    def json_list(self, name: str, columns: tuple[str, ...], texts: tuple[str, ...] | None = None) -> pd.DataFrame:
        """Read a JSON list of objects: the named columns, of which `texts` (default: all) hold text.

        Raises AnnotationError if it is no list, or an entry is no object, lacks a column or holds no text there.
        """
        content = self.json(name)
        if not isinstance(content, list):
            self.refuse(name, "it is no JSON list")
        if not content:
            self.refuse(name, "the list is empty")
        texts = columns if texts is None else texts
        kept, rows = [], []
        for number, entry in enumerate(content, start=1):
            problem = _entry_problem(entry, columns, texts)
            if problem:
                self._fault(name, number, problem)
                continue
            kept.append([entry[column] for column in columns])
            rows.append(number)
        return pd.DataFrame(kept, columns=list(columns), index=rows)


def _entry_problem(entry: object, columns: tuple[str, ...], texts: tuple[str, ...]) -> str | None:
    if not isinstance(entry, dict):
        return f"it is {type(entry).__name__}, not an object"
    missing = [column for column in columns if column not in entry]
    if missing:
        return f"it lacks {', '.join(missing)}"
    wrong = [column for column in texts if not is_text(entry[column])]
    return f"{wrong[0]} is {_shown(entry[wrong[0]])}, not text" if wrong else None


def is_text(value: object) -> bool:
    """Whether a value is text that a table can hold: JSON can spell half a character (\\ud800), which none can."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _shown(value: object) -> str:
    """A value as a message quotes it."""
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
