"""Verdicts in a spreadsheet: a CSV file with a row a candidate, and back into the journal.

The file is UTF-8 with a byte order mark: without one Excel takes it for the system's old code page, and LibreOffice and
pandas read it with one too. A cell that a spreadsheet would take for a formula gets an apostrophe in front, which
reading takes away again. The digest has a name in front, since Excel makes a number of one like 12345e6789012345.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cia_bench.errors import SpreadsheetError, some
from cia_bench.files import whole_files
from cia_bench.review.decisions import word_of
from cia_bench.review.journal import DECISIONS, Verdict, append, group_digest, now
from cia_bench.review.reviewed import Reviewed, in_words, last_words
from cia_bench.tables import COUNTS

ABOUT = ("group_id", "forward", "reverse", "noun", *COUNTS, "hazards", "lexicon_row", "risk", "digest")
ANSWERS = ("verdict", "swap", "reason")  # for the reviewer to fill in
COLUMNS = (*ABOUT, *ANSWERS, "others")
NEEDED = ("group_id", "digest", *ANSWERS)  # a row may end early, as Excel writes it, but not before these
SEPARATORS = ",;\t"  # Excel writes the second where the comma is the decimal sign
DIGEST = "sha256:"
FORMULA = re.compile(r"'*(\s*[=+\-@＝＋－＠]|[\t\r\n])")  # or what `to_cell` makes of one


@dataclass(frozen=True)
class Answer:
    """What a reviewer decides in one row."""

    verdict: str = ""  # one of DECISIONS, or empty
    swap: bool = False
    reason: str = ""  # of the verdict


@dataclass(frozen=True)
class Row:
    """An answer and what it is on."""

    number: int  # as a spreadsheet counts: the header is row 1
    group_id: str
    digest: str  # as journal.group_digest
    answer: Answer


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    lines: Counter  # how many of each kind of verdict went into the journal
    unkept: list[int]  # numbers of the rows whose reason was not kept, for there is no verdict beside it


def to_cell(text: str) -> str:
    """Text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    """The text that `to_cell` made the cell of, or that somebody typed."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def answer_of(lines: Sequence[Verdict], reviewer: str) -> Answer:
    """What a reviewer's lines on one group, which stand and fit, say in terms of a spreadsheet."""
    word = last_words(lines).get(reviewer)
    swap = word_of(lines, reviewer).is_swapped
    return Answer(word.verdict, swap, word.reason) if word else Answer(swap=swap)


# writing


def export_csv(reviewed: Reviewed, reviewer: str, path: Path) -> int:
    """Write the candidates that are ready for review or have verdicts, with this reviewer's answers; return how many.

    Raises SpreadsheetError if the file exists and differs, for answers may be in it, WriteError if it can't be written.
    """
    lines = reviewed.lines()
    candidates = reviewed.candidates
    shown = candidates[candidates.ready | candidates.group_id.isin(list(lines))]
    rows = [_cells_of(candidate, lines.get(candidate.group_id, []), reviewer) for candidate in shown.itertuples()]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(
        [COLUMNS, *rows]
    )  # lines end with CR LF, else Python 3.11 would not quote a CR in a cell
    content = text.getvalue().encode("utf-8-sig")
    if path.exists() and _read_bytes(path) != content:
        raise SpreadsheetError(f"{path} exists and may hold answers; import it and delete it, or choose another --out")
    with whole_files(path.parent, seal=path.name) as scratch:
        (scratch / path.name).write_bytes(content)
    return len(rows)


def _cells_of(candidate, lines: Sequence[Verdict], reviewer: str) -> list[str]:
    answer = answer_of(lines, reviewer)
    cells = {name: str(getattr(candidate, name)) for name in ABOUT if name != "digest"} | {
        "hazards": " ".join(candidate.hazards),
        "risk": f"{candidate.risk:.2f}",
        "digest": DIGEST + group_digest(candidate),
        "verdict": answer.verdict,
        "swap": "yes" if answer.swap else "",
        "reason": answer.reason,
        "others": _others(lines, reviewer),
    }
    return [to_cell(cells[name]) for name in COLUMNS]


def _others(lines: Sequence[Verdict], reviewer: str) -> str:
    """What the others decided, and this reviewer's final, for which there is no other column."""
    shown = [line for line in lines if line.reviewer != reviewer or line.verdict == "final"]
    said = {name: in_words(shown, name) for name in sorted({line.reviewer for line in shown})}
    return "; ".join(f"{name}: {words}" for name, words in said.items() if words)


# reading


def read_answers(path: Path, reviewed: Reviewed) -> list[Row]:
    """The rows of a spreadsheet, in any order of columns, separated by comma, semicolon or tab.

    Raises SpreadsheetError, with row and value, if a row is not on a candidate as it is now or says what can't be.
    """
    digests = {row.group_id: DIGEST + group_digest(row) for row in reviewed.candidates.itertuples()}
    rows: dict[str, Row] = {}
    for number, cells in _records(path):
        group_id = cells["group_id"]
        if group_id not in digests:
            raise _wrong(path, number, "group_id", group_id, f"which is no candidate of {reviewed.source}")
        if group_id in rows:
            raise _wrong(path, number, "group_id", group_id, f"as in row {rows[group_id].number}; keep one of them")
        if cells["digest"] != digests[group_id]:
            changed = f"not {digests[group_id]}: {group_id} has changed since the export; export it again"
            raise _wrong(path, number, "digest", cells["digest"], changed)
        digest = digests[group_id].removeprefix(DIGEST)
        rows[group_id] = Row(number, group_id, digest, _answer(path, number, cells))
    return list(rows.values())


def _answer(path: Path, number: int, cells: Mapping[str, str]) -> Answer:
    verdict, swap = (cells[name].strip().lower() for name in ("verdict", "swap"))  # LibreOffice may write Accept
    if verdict not in ("", *DECISIONS):
        raise _wrong(path, number, "verdict", cells["verdict"], f"write {', '.join(DECISIONS)} or nothing")
    if swap not in ("", "yes"):
        raise _wrong(path, number, "swap", cells["swap"], "write yes or nothing")
    return Answer(verdict, swap == "yes", cells["reason"])


def _wrong(path: Path, number: int, column: str, value: str, why: str) -> SpreadsheetError:
    return SpreadsheetError(f"{path} row {number}: {column} is {value!r:.120}, {why}")


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row that is not empty: its number, and its texts by column."""
    header, *rows = _read_cells(path)
    columns = _columns(path, header)
    for number, cells in enumerate(rows, start=2):
        if not any(cells):
            continue
        if any(cells[len(columns) :]):
            raise SpreadsheetError(f"{path} row {number} has more cells than the {len(columns)} columns of row 1")
        lacking = [name for name in columns[len(cells) :] if name in NEEDED]
        if lacking:
            raise SpreadsheetError(f"{path} row {number} ends before {lacking[0]}; is the file cut off?")
        yield number, dict(zip(columns, map(from_cell, cells), strict=False))


def _columns(path: Path, header: list[str]) -> list[str]:
    columns = [name.strip() for name in header]
    while columns and not columns[-1]:
        columns.pop()
    problems = {
        "lacks column": [name for name in COLUMNS if name not in columns],
        "has an unknown column": [name for name in columns if name not in COLUMNS],
        "has twice the column": [name for name in COLUMNS if columns.count(name) > 1],
    }
    for problem, names in problems.items():
        if names:
            raise SpreadsheetError(f"{path} {problem} {some(names)}; an export has {', '.join(COLUMNS)}")
    return columns


def _read_cells(path: Path) -> list[list[str]]:
    content = _read_bytes(path)
    try:
        is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Excel's "Unicode text"
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpreadsheetError(f"{path} is no UTF-8 text; save it as CSV in UTF-8") from error
    separator = max(SEPARATORS, key=re.split(r"[\r\n]", text, maxsplit=1)[0].count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise SpreadsheetError(f"{path} can't be read as CSV: {error}") from error
    if not rows:
        raise SpreadsheetError(f"{path} is empty; make one with cia verdicts export")
    return rows


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpreadsheetError(f"{path} can't be read: {error.strerror}") from error


# into the journal


def import_csv(path: Path, reviewed: Reviewed, reviewer: str) -> Imported:
    """Add to the journal what a spreadsheet says otherwise than this reviewer's lines, all of it or nothing.

    An emptied verdict is taken back; a candidate without a row stays as it is. Raises SpreadsheetError, with row and
    value, for the first thing in the file that can't be, WriteError if the journal can't be written.
    """
    rows = read_answers(path, reviewed)
    time = now()
    fitting = reviewed.lines()
    lines: list[Verdict] = []
    for row in rows:
        standing = _own(reviewed.standing.on(row.group_id), reviewer)
        fits = _own(fitting.get(row.group_id, []), reviewer)
        if not row.answer.verdict and _final_after_word(standing, fits):
            first = f"but a final of {reviewer} came after it; take that back first, in cia review"
            raise _wrong(path, row.number, "verdict", "", first)
        lines += _changes(row, standing, fits, Verdict(row.group_id, "unsure", reviewer, time, "text", row.digest))
    if lines:
        append(reviewed.journal, lines)
    unkept = [row.number for row in rows if row.answer.reason and not row.answer.verdict]
    return Imported(Counter(line.verdict for line in lines), unkept)


def _own(lines: Sequence[Verdict], reviewer: str) -> list[Verdict]:
    return [line for line in lines if line.reviewer == reviewer]


def _changes(row: Row, standing: list[Verdict], fits: list[Verdict], blank: Verdict) -> list[Verdict]:
    """The lines that make a row's answer of what its reviewer said of the group, if anything.

    `standing` are that reviewer's lines on it, `fits` those of them that are not stale; `blank` has the fields of a new
    line. A new reason beside the old verdict keeps what that was given on.
    """
    answer, before = row.answer, answer_of(fits, blank.reviewer)
    lines = []
    if not answer.verdict and before.verdict:
        lines += _taken_back(standing, fits, blank)
    elif answer.verdict and (answer.verdict, answer.reason) != (before.verdict, before.reason):
        basis = last_words(fits)[blank.reviewer].basis if answer.verdict == before.verdict else blank.basis
        lines.append(replace(blank, verdict=answer.verdict, reason=answer.reason, basis=basis))
    if answer.swap != before.swap:
        lines.append(replace(blank, verdict="swap"))
    return lines


def _taken_back(standing: list[Verdict], fits: list[Verdict], blank: Verdict) -> list[Verdict]:
    """Retracts of the first word that fits and of all after it, then again what else was said there."""
    after = standing[_first_word(standing, fits) :]
    again = [line for line in after if line.verdict not in DECISIONS]
    return [replace(blank, verdict="retract")] * len(after) + again


def _first_word(standing: list[Verdict], fits: list[Verdict]) -> int:
    """The place of the first accept, reject or unsure that fits; the number of lines if there is none."""
    places = (place for place, line in enumerate(standing) if line.verdict in DECISIONS and line in fits)
    return next(places, len(standing))


def _final_after_word(standing: list[Verdict], fits: list[Verdict]) -> bool:
    """Whether a final would be moved behind others' finals, and so overrule them, if the words were taken back."""
    return any(line.verdict == "final" for line in standing[_first_word(standing, fits) :])
