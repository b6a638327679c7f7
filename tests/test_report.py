import re
from pathlib import Path

import pandas as pd
import pytest
import test_pages
from answered import Answer, answered, made_vectors
from click.testing import CliRunner
from conftest import snapshot

from cia_bench import write_report, write_result
from cia_bench.build import Data
from cia_bench.cli import main
from cia_bench.errors import ResultError
from cia_bench.leaderboard.table import read_results
from cia_bench.review.clip_list import read_clip_list
from cia_bench.review.session import Session

DOOR, CUP = "epic/open-close/door", "epic/take-put/cup"
HOSTILE = "</title></svg><script>alert(1)</script> \"quoted\" 'twice' & \u202e\x1b[31m"


def made(noun: str = "door", clip: str = "clip"):
    """Groups of a result, with a hazard, wrong answers and this noun and beginning of clip ids."""
    groups = {f"epic/open-close/{noun}": [], CUP: []}
    for place in range(12):
        label, hazards = place % 2, ("short",) if place % 3 == 0 else ()
        answer = Answer(f"{clip} {place}", label, 1 - label if place % 4 == 0 else label, f"p{place % 5}", hazards)
        groups[f"epic/open-close/{noun}"].append(answer)
        groups[CUP].append(answer)
    return groups


def written(folder: Path, model: str = "by-hand", **names: str) -> tuple[Path, Path]:
    """The page and the list of such a result, in a folder of results."""
    groups = made(**names)
    result, data = answered(groups, model)
    return write_report(result, write_result(result, folder), made_vectors(groups, data), data)


class Seen(test_pages.Seen):
    """The tags of a page in order, without places where a line may break, and its text."""

    def handle_starttag(self, tag, attributes):
        if tag != "wbr":
            super().handle_starttag(tag, attributes)


def test_the_page_has_each_part_in_percent(tmp_path):
    page, _ = written(tmp_path)
    text = Seen(page.read_text(encoding="utf-8")).text
    assert page == tmp_path / "by-hand" / "report.html"
    for part in ("by-hand: where it fails", "Would more training clips help?", "Verb pairs", "Chiral groups"):
        assert part in text
    assert "close / open" in text and "epic/take-put/cup" in text and "lasts less than 0.5 s; 8 compared" in text
    assert re.search(r"75\.0 \[46\.8, 91\.1\]", text)  # Wilson's of 9 of 12
    assert "Of 24 answers, 3 clips that got a wrong one" in text and "2 of 2" in text


def test_hostile_names_are_text_and_nothing_else(tmp_path):
    page, wrong = written(tmp_path, HOSTILE, noun=HOSTILE.replace("/", "|"), clip=HOSTILE)
    plain, _ = written(tmp_path / "plain")
    content = page.read_text(encoding="utf-8")
    assert Seen(content).tags == Seen(plain.read_text(encoding="utf-8")).tags
    assert "<script>alert(1)" in Seen(content).text and "\u202e" not in content and "\x1b" not in content
    assert [clip[: len(HOSTILE)] for clip in read_clip_list(wrong)] == [HOSTILE] * 3


def test_a_page_without_wrong_clips_hazards_or_intervals_says_so(tmp_path):
    groups = {DOOR: [Answer("a", 0, 0, "one"), Answer("b", 1, 1, "one")]}
    result, data = answered(groups)
    page, wrong = write_report(result, tmp_path, made_vectors(groups, data), data)
    text = Seen(page.read_text(encoding="utf-8")).text
    assert "No clip was answered wrong." in text and "No scored clip has a hazard." in text
    assert ">nan" not in page.read_text(encoding="utf-8")
    assert wrong.read_text().startswith("clip_id,source,") and wrong.read_text().count("\n") == 1


def test_many_groups_are_shown_by_both_ends_and_all_in_numbers(tmp_path):
    groups = {
        f"epic/open-close/noun{n:02d}": [Answer(f"{n} {k}", k % 2, k % 2, f"{n} {k}") for k in range(2)]
        for n in range(30)
    }
    result, data = answered(groups)
    page, _ = write_report(result, tmp_path, made_vectors(groups, data), data)
    text = Seen(page.read_text(encoding="utf-8")).text
    assert "10 between" in text and text.count("noun05") == 2 and text.count("noun15") == 1


def test_written_again_the_files_are_the_same_bytes_and_a_longer_list_is_gone(tmp_path):
    page, wrong = written(tmp_path)
    first = snapshot(tmp_path)
    page.write_text("older"), wrong.write_text("clip_id\n" + "older\n" * 99)
    written(tmp_path)
    assert snapshot(tmp_path) == first


def test_a_result_of_other_data_gets_no_page(tmp_path):
    groups = made()
    result, data = answered(groups)
    other = Data(data.groups, data.clips.assign(text="other"))
    with pytest.raises(ResultError, match="other data of epic"):
        write_report(result, tmp_path / "new", made_vectors(groups, data), other)
    assert not (tmp_path / "new").exists()


def test_a_clip_id_that_looks_like_a_formula_comes_back_from_the_list(tmp_path):
    _, wrong = written(tmp_path, clip="=1+1")
    assert "\n'=1+1 " in wrong.read_text() and [clip[:5] for clip in read_clip_list(wrong)] == ["=1+1 "] * 3


# the command


def test_report_adds_two_files_and_says_how_to_look_at_the_clips(reported, tmp_path, monkeypatch):
    folder = Path("cia-results", "random")
    said = f"wrote {folder / 'report.html'}; to look at what is wrong: cia review --data cia-data --clips "
    assert (reported / "printed").read_text().splitlines()[-1] == f"{said}{folder / 'wrong_clips.csv'}"
    with_report = snapshot(reported / folder)
    monkeypatch.chdir(reported)
    plain = CliRunner().invoke(main, ["eval", "--embeddings", "random.npz", "--out", str(tmp_path)])
    assert plain.exit_code == 0 and "report.html" not in plain.output
    without = snapshot(tmp_path / "random")
    assert with_report.keys() - without.keys() == {"report.html", "wrong_clips.csv"}
    assert with_report | without == with_report
    assert [record["model"]["name"] for _, record in read_results([reported / "cia-results"])] == ["random"]


def test_the_list_is_what_was_answered_wrong_and_a_review_takes_it(reported):
    folder = reported / "cia-results" / "random"
    predictions = pd.read_parquet(folder / "predictions.parquet")
    wrong = set(predictions.clip_id[predictions.prediction != predictions.label])
    listed = read_clip_list(folder / "wrong_clips.csv")
    assert set(listed) == wrong and len(listed) == len(wrong)
    session = Session(reported / "cia-data", [], None, "ann", "risk", listed)
    shown = set().union(*(session.clips(item.group_id).clip_id for item in session.items))
    assert shown == wrong
