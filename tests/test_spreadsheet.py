import csv
import io
import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reviewing import CUP, DIGESTS, FRIDGE, ODD, reviewed, say

from cia_bench.errors import SpreadsheetError, WriteError
from cia_bench.review.journal import SHIPPED, read_journal
from cia_bench.review.spreadsheet import COLUMNS, export_csv, from_cell, import_csv, to_cell
from cia_bench.tables import COUNTS


@pytest.fixture
def sheet(tmp_path) -> Path:
    return tmp_path / "epic.csv"


def rows_of(sheet: Path) -> list[dict]:
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def write(sheet: Path, rows: list[dict], columns=COLUMNS, separator: str = ",", encoding: str = "utf-8-sig") -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    sheet.write_bytes(text.getvalue().encode(encoding))


def fill(sheet: Path, group: str, **cells: str) -> None:
    """Type into the row of a group, as a user does."""
    rows = rows_of(sheet)
    write(sheet, [{**row, **(cells if row["group_id"] == group else {})} for row in rows])


def new_lines(journal: Path, sheet: Path, reviewer: str = "ann") -> list[tuple]:
    """Import the sheet, and return what that added to the journal."""
    before = read_journal(journal)
    done = import_csv(sheet, reviewed(journal), reviewer)
    added = read_journal(journal)[len(before) :]
    assert done.lines == Counter(line.verdict for line in added)
    return [(line.group_id, line.verdict, line.reason) for line in added]


def test_an_export_has_a_row_a_candidate_that_is_ready_or_was_decided_on(journal, sheet):
    assert export_csv(reviewed(journal), "ann", sheet) == 2
    assert [row["group_id"] for row in rows_of(sheet)] == [FRIDGE, CUP]
    sheet.unlink()
    assert export_csv(reviewed(journal, say("reject", ODD)), "ann", sheet) == 3


def test_an_export_says_all_of_a_candidate_and_what_everybody_said(journal, sheet):
    lines = [say("accept", reason="opens"), say("swap"), say("reject", reviewer="ben", reason="dull", basis="video")]
    final = say("final", reviewer="ben", decision="accept")
    export_csv(reviewed(journal, *lines, final, shipped=(say("unsure", reviewer=SHIPPED),)), "ann", sheet)
    assert rows_of(sheet)[0] == {
        "group_id": FRIDGE,
        "forward": "open",
        "reverse": "close",
        "noun": "fridge",
        **dict.fromkeys(COUNTS, "5"),
        "hazards": "lopsided short",
        "lexicon_row": "pairs.csv:open/close",
        "risk": "2.25",
        "digest": f"sha256:{DIGESTS[FRIDGE]}",
        "verdict": "accept",
        "swap": "yes",
        "reason": "opens",
        "others": "ben: reject on video (dull), final accept; cia-bench: unsure on text",
    }
    sheet.unlink()
    export_csv(reviewed(journal, say("final", decision="reject")), "ann", sheet)
    assert "ann: final reject; ben" in rows_of(sheet)[0]["others"]


def test_an_export_opens_in_excel_as_utf_8_and_ends_its_lines_as_rfc_4180_says(journal, sheet):
    export_csv(reviewed(journal, say("accept", ODD)), "ann", sheet)
    content = sheet.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfgroup_id,") and content.count(b"\r\n") == 4 == content.count(b"\n")
    assert "Kühlschrank".encode() in content
    assert pd.read_csv(sheet).columns.tolist() == list(COLUMNS)


def test_an_export_keeps_a_file_that_holds_anything_else(journal, sheet):
    export_csv(reviewed(journal), "ann", sheet)
    export_csv(reviewed(journal), "ann", sheet)  # the same bytes: nothing is lost
    fill(sheet, CUP, verdict="accept")
    before = sheet.read_bytes()
    with pytest.raises(SpreadsheetError, match="epic.csv exists and may hold answers"):
        export_csv(reviewed(journal), "ann", sheet)
    assert sheet.read_bytes() == before


def test_importing_what_was_exported_adds_nothing(journal, sheet):
    said = [
        say("accept", reason='it\r\nopens, "well"; it\'s\tso'),
        say("swap"),
        say("reject", CUP),
        say("comment", reason="x"),
    ]
    export_csv(reviewed(journal, *said), "ann", sheet)
    assert new_lines(journal, sheet) == []
    other = journal.with_name("other.jsonl")
    import_csv(sheet, replace(reviewed(journal), journal=other), "ann")
    assert not other.exists(), "an import that adds nothing makes no journal"


def test_an_import_adds_what_differs_and_importing_again_adds_nothing(journal, sheet):
    export_csv(reviewed(journal, say("accept"), say("reject", CUP, reason="dull")), "ann", sheet)
    fill(sheet, FRIDGE, verdict="reject", swap="yes", reason="both ways")
    assert new_lines(journal, sheet) == [(FRIDGE, "reject", "both ways"), (FRIDGE, "swap", "")]
    assert new_lines(journal, sheet) == []
    line = read_journal(journal)[-2]
    assert (line.reviewer, line.basis, line.digest) == ("ann", "text", DIGESTS[FRIDGE])
    assert reviewed(journal).decisions.groups[FRIDGE].swap
    fill(sheet, FRIDGE, swap="")
    assert new_lines(journal, sheet) == [(FRIDGE, "swap", "")]
    assert new_lines(journal, sheet) == []


def test_a_swap_needs_no_verdict(journal, sheet):
    export_csv(reviewed(journal), "ann", sheet)
    fill(sheet, CUP, swap="yes")
    assert new_lines(journal, sheet) == [(CUP, "swap", "")]
    assert new_lines(journal, sheet) == []


def test_an_emptied_verdict_is_taken_back_with_all_before_it(journal, sheet):
    others = [
        say("unsure", reviewer="ben"),
        say("retract", reviewer="ben"),
        say("comment", reviewer="ben", reason="hm"),
    ]
    export_csv(reviewed(journal, say("accept"), say("reject"), say("reject", CUP), *others), "ann", sheet)
    fill(sheet, FRIDGE, verdict="")
    assert [kind for _, kind, _ in new_lines(journal, sheet)] == ["retract", "retract"]
    assert reviewed(journal).decisions.groups[FRIDGE].status == "none"
    assert reviewed(journal).decisions.groups[CUP].status == "reject"
    assert new_lines(journal, sheet) == []


def test_what_else_was_said_after_an_emptied_verdict_stays(journal, sheet):
    kept = [say("comment", reason="why?"), say("swap", time="2026-01-02T12:00:00Z")]
    said = [say("swap"), say("accept"), kept[0], say("unsure"), kept[1], say("swap")]
    export_csv(reviewed(journal, *said), "ann", sheet)
    fill(sheet, FRIDGE, verdict="", reason="")
    assert [kind for _, kind, _ in new_lines(journal, sheet)] == ["retract"] * 5 + ["comment", "swap", "swap"]
    assert reviewed(journal).standing.on(FRIDGE) == [said[0], *kept, said[-1]]
    assert new_lines(journal, sheet) == []


def test_a_verdict_is_not_taken_back_from_under_a_final(journal, sheet):
    said = [say("accept"), say("final", decision="reject"), say("final", reviewer="ben", decision="accept")]
    export_csv(reviewed(journal, *said), "ann", sheet)
    fill(sheet, FRIDGE, verdict="")
    with pytest.raises(SpreadsheetError, match="epic.csv row 2: verdict is '', but a final of ann came after it; take"):
        new_lines(journal, sheet)
    assert read_journal(journal) == said


def test_a_stale_verdict_is_exported_as_none_and_stays_untouched(journal, sheet):
    stale = say("accept", digest="of old", reason="old")
    export_csv(reviewed(journal, stale), "ann", sheet)
    assert [row["verdict"] for row in rows_of(sheet)] == ["", ""]
    assert new_lines(journal, sheet) == []
    fill(sheet, FRIDGE, verdict="accept", reason="old")
    assert new_lines(journal, sheet) == [(FRIDGE, "accept", "old")]
    fill(sheet, FRIDGE, verdict="", reason="")
    assert new_lines(journal, sheet) == [(FRIDGE, "retract", "")]
    assert reviewed(journal).standing.on(FRIDGE) == [stale]


def test_a_new_reason_keeps_what_the_verdict_was_given_on_and_a_new_verdict_does_not(journal, sheet):
    export_csv(reviewed(journal, say("accept", basis="video"), say("unsure", CUP, basis="video")), "ann", sheet)
    fill(sheet, FRIDGE, reason="seen")
    fill(sheet, CUP, verdict="reject")
    new_lines(journal, sheet)
    assert [(line.verdict, line.basis) for line in read_journal(journal)[2:]] == [
        ("accept", "video"),
        ("reject", "text"),
    ]


def test_a_reason_beside_no_verdict_is_told_and_not_kept(journal, sheet):
    export_csv(reviewed(journal), "ann", sheet)
    fill(sheet, CUP, reason="dull")
    done = import_csv(sheet, reviewed(journal), "ann")
    assert (done.lines, done.unkept) == (Counter(), [3])


def test_a_reviewer_changes_only_what_is_the_reviewers_own(journal, sheet):
    export_csv(reviewed(journal, say("accept"), say("reject", reviewer="ben")), "eva", sheet)
    assert {row["verdict"] for row in rows_of(sheet)} == {""}
    fill(sheet, FRIDGE, verdict="unsure")
    assert new_lines(journal, sheet, "eva") == [(FRIDGE, "unsure", "")]
    assert [line.reviewer for line in read_journal(journal)] == ["ann", "ben", "eva"]


def test_a_candidate_without_a_row_stays_as_it_is(journal, sheet):
    export_csv(reviewed(journal, say("accept"), say("reject", CUP)), "ann", sheet)
    write(sheet, rows_of(sheet)[1:])
    assert new_lines(journal, sheet) == []


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_spreadsheets_save_is_read(journal, sheet, separator, encoding):
    export_csv(reviewed(journal, say("accept", ODD)), "ann", sheet)
    rows = [{**row, "verdict": "Accept ", "swap": "YES", "reason": "größer; a,b\tc"} for row in rows_of(sheet)]
    write(sheet, rows, COLUMNS[::-1], separator, encoding)
    reason = "größer; a,b\tc"
    assert new_lines(journal, sheet) == [
        *((group, kind, said) for group in (FRIDGE, CUP) for kind, said in (("accept", reason), ("swap", ""))),
        (ODD, "accept", reason),
        (ODD, "swap", ""),
    ]
    assert new_lines(journal, sheet) == []


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_any_end_of_line_and_empty_rows_and_cells_around_are_read(journal, sheet, end):
    export_csv(reviewed(journal), "ann", sheet)
    fill(sheet, FRIDGE, others=";" * 50)
    fill(sheet, CUP, verdict="accept")
    header, fridge, cup = sheet.read_text(encoding="utf-8-sig").splitlines()
    assert cup.endswith(",accept,,,")
    rows = [f"{header},,", "," * 20, "", f"{fridge},,", cup.removesuffix(","), ",,"]
    sheet.write_text(end.join(rows), newline="")
    assert new_lines(journal, sheet) == [(CUP, "accept", "")]
    sheet.write_text(end.join([header, fridge, cup.removesuffix(",,,")]), newline="")
    with pytest.raises(SpreadsheetError, match="row 3 ends before swap; is the file cut off"):
        new_lines(journal, sheet)


TEXTS = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\t=x",
    "\r=x",
    "\n",
    " =x",
    "'=x",
    "''=x",
    "'tis",
    "'",
    "＝1",
    "a\nb",
    'a"b',
    "a,b;c\td",
]
TEXTS += ["\x1b[31mred\x1b[0m", "\x00", "\x1c\x85\u2028", "\u202egnp", "Ünï😀", "", " ", "\ufeffx"]


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_survives_export_and_import_and_is_no_formula(text, journal, sheet):
    said = [say("accept", reason=text), say("reject", CUP, reviewer=text or "eva", reason=text)]
    export_csv(reviewed(journal, *said), "ann", sheet)
    assert rows_of(sheet)[0]["reason"] == to_cell(text)
    assert new_lines(journal, sheet) == []
    (cup,) = reviewed(journal).standing.on(CUP)
    assert cup == said[1]
    fill(sheet, CUP, verdict="unsure", reason=to_cell(text))
    assert new_lines(journal, sheet) == [(CUP, "unsure", text)]


@example("'\t")
@given(st.text(alphabet=st.one_of(st.sampled_from("'=+-@ \t\r\n＝x"), st.characters(codec="utf-8"))))
def test_a_cell_is_never_a_formula_and_gives_its_text_back(text):
    cell = to_cell(text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@")) and not cell.startswith(("\t", "\r"))
    assert from_cell(cell) == text


@pytest.mark.parametrize("typed", ["=x", "-", "+1", "'tis so", "plain"])
def test_what_is_typed_without_an_apostrophe_in_front_is_kept(typed):
    assert from_cell(typed) == typed


WRONG = {
    "an unknown group": ({"group_id": "epic/x"}, "row 3: group_id is 'epic/x', which is no candidate of epic"),
    "another source's group": ({"group_id": "ssv2/a-b/c"}, "row 3: group_id is 'ssv2/a-b/c', which is no candidate of"),
    "a repeated group": (
        {"group_id": FRIDGE, "digest": f"sha256:{DIGESTS[FRIDGE]}"},
        "row 3: group_id is .* as in row 2",
    ),
    "a wrong word": ({"verdict": "maybe"}, "row 3: verdict is 'maybe', write accept, reject, unsure or nothing"),
    "a final": ({"verdict": "final"}, "row 3: verdict is 'final'"),
    "a wrong swap": ({"swap": "no"}, "row 3: swap is 'no', write yes or nothing"),
    "a stale digest": (
        {"digest": "sha256:0"},
        "row 3: digest is 'sha256:0', not sha256:.* has changed since the export",
    ),
    "a number for a digest": ({"digest": "1.2E+15"}, "row 3: digest is '1.2E.15', not sha256:"),
    "a control character": ({"verdict": "\x1b[31m"}, r"row 3: verdict is '\\x1b\[31m'"),
    "a huge cell": ({"verdict": "v" * 1000}, "row 3: verdict is 'v{119}, write accept"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_row_is_named_and_nothing_of_the_file_is_written(case, journal, sheet):
    cells, message = WRONG[case]
    export_csv(reviewed(journal, say("reject")), "ann", sheet)
    fill(sheet, FRIDGE, verdict="accept")
    fill(sheet, CUP, **cells)
    before = journal.read_bytes()
    with pytest.raises(SpreadsheetError, match=f"epic.csv {message}") as caught:
        import_csv(sheet, reviewed(journal), "ann")
    assert journal.read_bytes() == before and len(str(caught.value)) < 400


def test_wrong_columns_are_named(journal, sheet):
    export_csv(reviewed(journal), "ann", sheet)
    good = sheet.read_text(encoding="utf-8-sig")
    for old, new, message in [
        ("reason,", "", "lacks column 'reason'"),
        ("others", "others,notes,more", "has an unknown column 'notes' and 1 more"),
        ("others", "others,swap", "has twice the column 'swap'"),
        ("group_id,", "", "lacks column 'group_id'"),
    ]:
        sheet.write_text(good.replace(old, new, 1))
        with pytest.raises(SpreadsheetError, match=message):
            import_csv(sheet, reviewed(journal), "ann")


def test_what_is_no_such_file_is_told(journal, sheet):
    content = {
        "is empty": b"",
        "lacks column 'group_id' and 15 more": b"\n\n",
        "is no UTF-8 text": "größer".encode("cp1252"),
        "can't be read as CSV: unexpected end of data": f'{",".join(COLUMNS)}\r\n"{FRIDGE}'.encode(),
        "can't be read as CSV: field larger than field limit": f"{','.join(COLUMNS)}\r\n{'x' * 200_000}".encode(),
        "row 2 has more cells than the 16 columns": f"{','.join(COLUMNS)}\r\n{FRIDGE}{',x' * 16}".encode(),
        "row 2 ends before digest; is the file cut off": f"{','.join(COLUMNS)}\r\n{FRIDGE},open".encode(),
    }
    for message, these in content.items():
        sheet.write_bytes(these)
        with pytest.raises(SpreadsheetError, match=message):
            import_csv(sheet, reviewed(journal), "ann")
    sheet.unlink()
    with pytest.raises(SpreadsheetError, match="epic.csv can't be read: No such file"):
        import_csv(sheet, reviewed(journal), "ann")


def test_a_journal_that_can_not_be_written_is_told(journal, sheet, tmp_path):
    export_csv(reviewed(journal), "ann", sheet)
    fill(sheet, CUP, verdict="accept")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError):
        import_csv(sheet, replace(reviewed(journal), journal=tmp_path / "file" / "epic.jsonl"), "ann")


def test_a_journal_line_of_an_import_is_like_any_other(journal, sheet):
    export_csv(reviewed(journal), "ann", sheet)
    fill(sheet, CUP, verdict="accept", reason="it opens")
    import_csv(sheet, reviewed(journal), "ann")
    (line,) = read_journal(journal)
    assert line == say("accept", CUP, reason="it opens", time=line.time)
    assert set(json.loads(journal.read_text())) == {name for name, value in asdict(line).items() if value}
