import csv
import getpass
import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import run_cia, snapshot

from cia_bench.cli import main
from cia_bench.review.journal import SHIPPED, Verdict, append, clip_digest, group_digest, read_journal
from cia_bench.tables import CANDIDATE_CLIPS, CANDIDATES

NOON = "2026-01-01T12:00:00Z"


def cia(*arguments: object) -> str:
    """Run `cia verdicts ...` in this process, and return what it prints."""
    run = CliRunner().invoke(main, ["verdicts", *map(str, arguments)])
    assert run.exit_code == 0, run.output
    return run.stdout


def refusal(*arguments: object) -> str:
    """Run it, expect that it refuses as it should, and return the one line that says why."""
    run = CliRunner().invoke(main, ["verdicts", *map(str, arguments)])
    assert run.exit_code == 1 and run.stdout == "", run.output
    assert run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1, run.stderr
    return run.stderr.strip()


@pytest.fixture(autouse=True)
def in_the_folder_of_the_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)


@pytest.fixture
def two_sources(data: Path) -> Path:
    """A second build beside the first, whose groups are of another source only by their folder."""
    return Path(shutil.copytree(data / "epic", data / "kitchen"))


def say(data: Path, place: int, verdict: str, reviewer: str, **more) -> Verdict:
    """Put a verdict on the candidate at a place of the table into the journal of the build."""
    candidate = CANDIDATES.read(data / "epic" / "candidates.parquet").iloc[place]
    digest = group_digest(candidate)
    line = Verdict(candidate.group_id, verdict, reviewer, NOON, "text", **{"digest": digest, **more})
    append(data / "verdicts" / "epic.jsonl", [line])
    return line


def fill(file: str, *answers: dict[str, str]) -> None:
    """Type answers into the first rows of a spreadsheet, and save it as a German Excel does."""
    with open(file, encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    for row, cells in zip(rows, answers, strict=False):
        row |= cells
    with open(file, "w", encoding="utf-8-sig", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def test_status_names_the_shipped_verdicts_of_a_build_without_a_journal(data):
    before = snapshot(data)
    output = cia("status")
    assert re.search(r"^cia-bench +(\d+ +){5}0 +0 +0 +0 +0 +\d+$", output, re.MULTILINE), output
    assert re.search(r"^candidates: (\d+), of which \1 ready for review$", output, re.MULTILINE)
    assert output == cia("status", "--source", "epic", "--data", data)
    assert snapshot(data) == before


def test_status_and_agreement_count_the_journal_of_the_data_or_the_one_given(data):
    for place, (ann, ben) in enumerate([("accept", "accept"), ("reject", "accept"), ("reject", "reject")]):
        say(data, place, ann, "ann")
        say(data, place, ben, "ben")
    status, agreement = cia("status"), cia("agreement")
    assert re.search(r"^ann +1 +2 +0 +3 +0", status, re.MULTILINE)
    assert re.search(r"^ben +2 +1 +0 +3 +0", status, re.MULTILINE)
    assert re.search(r"^of these: \d+ decided, \d+ undecided, 1 in conflict$", status, re.MULTILINE)
    # kappa: (2 / 3 - 4 / 9) / (1 - 4 / 9)
    assert re.search(r"^ann +ben +3 +66.7% +0.40 \[-0.43, 0.89\]$", agreement, re.MULTILINE), agreement
    assert re.search(
        r"^  epic/\S+: conflict, not settled\n    ann: reject on text\n    ben: acc", agreement, re.MULTILINE
    )
    (data / "verdicts" / "epic.jsonl").rename("mine.jsonl")
    assert (cia("status", "--verdicts", "mine.jsonl"), cia("agreement", "--verdicts", "mine.jsonl")) == (
        status,
        agreement,
    )
    assert "ann" not in cia("status") + cia("agreement")
    only = cia("status", "--verdicts", "mine.jsonl", "--reviewer", "ben")
    assert "\nben " in only and "\nann " not in only
    with_ours = cia("agreement", "--verdicts", "mine.jsonl", "--reviewer", SHIPPED)
    assert re.findall(r"^(ann|ben) +(\S+) .*%", with_ours, re.MULTILINE) == [("ann", SHIPPED), ("ben", SHIPPED)]


def test_a_dropped_clip_counts_and_one_that_is_gone_is_unknown(data):
    first = CANDIDATES.read(data / "epic" / "candidates.parquet").group_id[0]
    clip = CANDIDATE_CLIPS.read_where(data / "epic" / "candidate_clips.parquet", "group_id", [first]).iloc[0]
    say(data, 0, "drop", "ann", clip_id=clip.clip_id, digest=clip_digest(clip))
    say(data, 0, "drop", "ann", clip_id="gone")
    assert re.search(r"^ann +0 +0 +0 +0 +0 +0 +1 +0 +0 +0 +1$", cia("status"), re.MULTILINE)


def test_a_spreadsheet_goes_out_and_comes_back(data):
    assert re.fullmatch(
        r"wrote ann.csv: \d+ candidates of epic, for ann\n", cia("export", "--out", "ann.csv", "--reviewer", "ann")
    )
    journal = data / "verdicts" / "epic.jsonl"
    assert cia("import", "ann.csv", "--reviewer", "ann") == "ann, cia-data/verdicts/epic.jsonl: nothing new\n"
    assert not journal.exists()
    fill("ann.csv", {"verdict": "accept", "reason": "=opens"}, {"verdict": "reject", "swap": "yes"}, {"reason": "hm"})
    told = cia("import", "ann.csv", "--reviewer", "ann")
    assert told == (
        "row 4: the reason stands beside no verdict and was not kept\n"
        "ann, cia-data/verdicts/epic.jsonl: 1 accept, 1 reject, 1 swap\n"
    )
    assert [(line.verdict, line.reviewer, line.reason) for line in read_journal(journal)] == [
        *(("accept", "ann", "=opens"), ("reject", "ann", ""), ("swap", "ann", "")),
    ]
    assert cia("import", "ann.csv", "--reviewer", "ann").endswith("nothing new\n")
    assert re.search(r"^ann +1 +1 +0 +2 +0 +1 ", cia("status"), re.MULTILINE)
    cia("export", "--out", "again.csv", "--reviewer", "ann")
    assert "'=opens" in Path("again.csv").read_text(encoding="utf-8-sig")


def test_the_reviewer_is_who_is_logged_in_and_never_the_shipped_one(data):
    cia("export", "--out", "me.csv")
    fill("me.csv", {"verdict": "accept"})
    cia("import", "me.csv", "--verdicts", "mine.jsonl")
    assert [line.reviewer for line in read_journal(Path("mine.jsonl"))] == [getpass.getuser()]
    assert not (data / "verdicts").exists()
    assert f"reviewer is '{SHIPPED}'; give --reviewer NAME" in refusal(
        "export", "--out", "x.csv", "--reviewer", SHIPPED
    )
    assert f"reviewer is '{SHIPPED}'" in refusal("import", "me.csv", "--reviewer", SHIPPED)
    assert not Path("x.csv").exists()


def test_more_than_three_reasons_beside_no_verdict_are_counted(data):
    cia("export", "--out", "me.csv")
    fill("me.csv", *[{"reason": "hm"}] * 5)
    assert cia("import", "me.csv").splitlines()[2:4] == [
        "row 4: the reason stands beside no verdict and was not kept",
        "2 more rows have a reason beside no verdict",
    ]


def test_what_is_not_built_or_not_there_is_one_line(data, tmp_path):
    for command in (["status"], ["agreement"], ["export", "--out", "x.csv"], ["import", "x.csv"]):
        assert "none does not exist; make it with cia build" in refusal(*command, "--data", tmp_path / "none")
        assert "cia-data holds no build of 'ssv2'; it has epic" in refusal(*command, "--source", "ssv2")
    for command in (["status"], ["agreement"], ["export", "--out", "x.csv"]):
        assert "no.jsonl can't be read: No such file" in refusal(*command, "--verdicts", "no.jsonl")
    assert "x.csv can't be read: No such file or directory" in refusal("import", "x.csv")
    (data / "epic" / "candidates.parquet").unlink()
    assert "candidates.parquet does not exist" in refusal("status")


def test_of_several_sources_a_spreadsheet_needs_one(data, two_sources):
    for command in (["export", "--out", "x.csv"], ["import", "x.csv"]):
        assert "of one source; say which of epic, kitchen with --source" in refusal(*command)
    assert "--verdicts is one source's journal; say which of epic, kitchen" in refusal("status", "--verdicts", "x")
    assert cia("status").index("epic") < cia("status").index("kitchen")
    assert "kitchen" not in cia("status", "--source", "epic")
    cia("export", "--out", "x.csv", "--source", "epic")


def test_a_journal_of_another_source_is_refused_by_name(data):
    line = say(data, 0, "accept", "ann")
    other = Verdict("ssv2/fold-unfold/cloth", "accept", "ann", NOON, "text", line.digest)
    append(data / "verdicts" / "epic.jsonl", [other])
    for command in (["status"], ["agreement"], ["export", "--out", "x.csv"], ["import", "x.csv"]):
        assert "epic.jsonl line 2 is on ssv2/fold-unfold/cloth, which is no group of epic" in refusal(*command)


def test_a_broken_line_of_a_journal_is_refused_or_named_and_left_out(data):
    journal = data / "verdicts" / "epic.jsonl"
    say(data, 0, "accept", "ann")
    with journal.open("ab") as file:
        file.write(b'{"colour": 1}\n')
    say(data, 1, "accept", "ann")
    cia("export", "--out", "x.csv", "--skip-bad-rows")
    for command in (["status"], ["agreement"], ["export", "--out", "y.csv"], ["import", "x.csv"]):
        assert "epic.jsonl line 2 is no verdict" in refusal(*command)
        run = CliRunner().invoke(main, ["verdicts", *command, "--skip-bad-rows"])
        assert run.exit_code == 0, run.output
    assert re.search(r"^ann +2 ", cia("status", "--skip-bad-rows"), re.MULTILINE)


def test_what_a_journal_makes_us_warn_of_is_printable(data):
    say(data, 0, "accept", "ann")
    with (data / "verdicts" / "epic.jsonl").open("a") as file:
        file.write(json.dumps({**asdict(Verdict("g", "accept", "ann", NOON, "text", "d")), "\x1b[31m\n": 1}) + "\n")
    run = run_cia("verdicts", "status", "--skip-bad-rows")
    assert r"line 2 is no verdict: unknown field \x1b[31m\n; it was left out" in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_wrong_cell_is_one_printable_line_and_writes_nothing(data):
    cia("export", "--out", "x.csv")
    fill("x.csv", {"verdict": "accept"}, {"verdict": "\x1b[31mno"})
    before = snapshot(data.parent)
    message = refusal("import", "x.csv")
    assert r"x.csv row 3: verdict is '\x1b[31mno', write accept, reject, unsure or nothing" in message
    assert snapshot(data.parent) == before
    assert "x.csv exists and may hold answers; import it and delete it" in refusal("export", "--out", "x.csv")


def test_a_changed_candidate_is_refused_by_import_and_stale_in_status(data):
    say(data, 0, "accept", "ann")
    cia("export", "--out", "x.csv")
    path = data / "epic" / "candidates.parquet"
    candidates = CANDIDATES.read(path)
    candidates.loc[0, "lexicon_row"] = "other"
    CANDIDATES.write(path, candidates)
    assert re.search(
        r"x.csv row 2: digest is 'sha256:\w+', not sha256:\w+: epic/\S+ has changed since", refusal("import", "x.csv")
    )
    assert re.search(r"^ann +0 +0 +0 +0 +0 +0 +0 +0 +0 +1 +0$", cia("status"), re.MULTILINE)


def test_where_no_sheet_can_be_is_told(data):
    Path("file").touch()
    assert "can't write to file: " in refusal("export", "--out", "file/x.csv")
    assert "cia-data can't be read: Is a directory" in refusal("export", "--out", data.name)
