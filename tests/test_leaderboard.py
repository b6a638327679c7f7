import copy
import csv
import io
import json
import re

import pytest
from markdown_it import MarkdownIt

from cia_bench.errors import ConfigError, ResultError
from cia_bench.leaderboard.export import FORMATS, export
from cia_bench.leaderboard.table import rank, read_results

HOSTILE = [
    "=HYPERLINK(\"http://x\")",
    "+1+1",
    "-2",
    "@sum(a)",
    "a|b",
    "<script>alert(1)</script>",
    "[link](javascript:x) *bold* `code` &amp; $x$ # ~~no~~",
    "\x1b[31mred\x1b[0m",
    "[bold red]markup[/]",
    "two\nlines",
    "right\u202eleft",
]  # fmt: skip


def score(accuracy: float, half: float | None = 0.02) -> dict:
    return {"accuracy": accuracy, "interval": None if half is None else [accuracy - half, accuracy + half]}


FULL = {"train_rows": 9000, "learnt_rows": 9000, "validation_rows": 3096, "scored_rows": 3096}


def make_record(name: str, fingerprints: dict[str, str], accuracies: list[float], **model) -> dict:
    """A record with one accuracy a source; the constant answer scores 55 percent."""
    return {
        "model": {"name": name, "parameters": None, "dim": 768, **model},
        "embeddings": {},
        "protocol": {"name": "paper", "probe": {"name": "ridge", "alpha": 1.0}},
        "statistics": {"level": 0.95, "draws": 10, "seed": 0},
        "sources": {
            source: {
                "fingerprint": fingerprint,
                "groups": 65,
                "clips": 3096,
                **score(accuracy),
                "constant": score(0.55),
                "coverage": dict(FULL),
            }
            for (source, fingerprint), accuracy in zip(fingerprints.items(), accuracies, strict=True)
        },
        "mean": {**score(sum(accuracies) / len(accuracies)), "constant": score(0.55)},
        "groups": [],
        "versions": {},
    }


def save(folder, *records: dict):
    for number, record in enumerate(records):
        (folder / f"m{number}").mkdir(parents=True)
        (folder / f"m{number}" / "result.json").write_text(json.dumps(record))
    return folder


EPIC = {"epic": "e" * 64}
BOTH = {"epic": "e" * 64, "ssv2": "s" * 64}


def rankings_of(folder, *records: dict):
    return rank(read_results([save(folder, *records)]))


def test_rows_are_ranked_by_mean_with_the_constant_last(tmp_path):
    ranking = rankings_of(
        tmp_path,
        make_record("low", BOTH, [0.7, 0.5]),
        make_record("high", BOTH, [0.6, 0.8]),
        make_record("tie", BOTH, [0.8, 0.6]),
    )[0]
    assert [row.model for row in ranking.rows] == ["high", "tie", "low", "constant"]
    assert ranking.rows[0].scores["ssv2"]["accuracy"] == 0.8
    assert ranking.rows[-1].scores["epic"]["accuracy"] == 0.55


def test_other_fingerprints_protocols_and_sources_get_tables_of_their_own(tmp_path):
    other_protocol = make_record("d", EPIC, [0.7])
    other_protocol["protocol"]["name"] = "strict"
    other_level = make_record("e", EPIC, [0.7])
    other_level["statistics"]["level"] = 0.9
    rankings = rankings_of(
        tmp_path,
        make_record("a", EPIC, [0.7]),
        make_record("a2", EPIC, [0.6]),
        make_record("b", {"epic": "f" * 64}, [0.7]),
        make_record("c", BOTH, [0.7, 0.7]),
        other_protocol,
        other_level,
    )
    assert [[row.model for row in ranking.rows[:-1]] for ranking in rankings][0] == ["a", "a2"]
    assert sorted(len(ranking.rows) for ranking in rankings) == [2, 2, 2, 2, 3]
    for form in ("table", "md"):
        text = export(rankings, form)
        assert text.startswith("5 tables: these results are of different data or protocols and can't be ranked")
        assert text.count("constant") >= 5
    rows = list(csv.DictReader(io.StringIO(export(rankings, "csv"))))
    assert [row["table"] for row in rows if row["model"] == "constant"] == ["1", "2", "3", "4", "5"]
    only_epic = next(row for row in rows if row["model"] == "a")
    assert only_epic["ssv2"] == "" and only_epic["fingerprints"] == f"epic={'e' * 64}"


def test_csv_begins_with_what_the_paper_shows_in_percent(tmp_path):
    text = export(rankings_of(tmp_path, make_record("m", BOTH, [0.7, 0.5], parameters=22_000_000)), "csv")
    header, first, constant = csv.reader(io.StringIO(text))
    assert header[:6] == ["model", "parameters", "dim", "epic", "ssv2", "mean"]
    assert first[:6] == ["m", "22000000", "768", "70", "50", "60"]
    assert header[6:12] == ["epic_low", "epic_high", "ssv2_low", "ssv2_high", "mean_low", "mean_high"]
    assert [round(float(cell), 9) for cell in first[6:8]] == [68, 72]
    assert constant[:4] == ["constant", "", "", "55"]


def test_markdown_is_a_table_with_intervals(tmp_path):
    text = export(rankings_of(tmp_path, make_record("m", EPIC, [0.7], parameters=22_000_000)), "md")
    html = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", html)
    assert cells[:5] == ["model", "parameters", "embedding", "epic", "coverage"]
    assert cells[5:10] == ["m", "22.0M", "768", "70.0 [68.0, 72.0]", "100.0"]
    assert cells[10:] == ["constant", "", "", "55.0 [53.0, 57.0]", ""]
    assert "epic: 65 groups, 3,096 validation clips, fingerprint eeeeeeeeeeee" in html


def test_a_score_without_interval_and_a_small_model_are_shown_so(tmp_path):
    record = make_record("m", EPIC, [0.7], parameters=1234)
    record["mean"]["interval"] = record["sources"]["epic"]["interval"] = None
    text = export(rankings_of(tmp_path, record), "table")
    assert re.search(r"m +│ +1,234 │ +768 │ +70.0 │\n", text)
    assert list(csv.reader(io.StringIO(export(rank(read_results([tmp_path])), "csv"))))[1][4:9] == ["70", *[""] * 4]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_in_every_format(name, tmp_path):
    rankings = rankings_of(tmp_path, make_record(name, EPIC, [0.7]))
    for form in set(FORMATS) - {"html"}:
        text = export(rankings, form)
        assert all(character.isprintable() or character == "\n" for character in text), form
    cell = next(csv.DictReader(io.StringIO(export(rankings, "csv"))))["model"]
    assert cell[0] not in "=+-@＝" and cell.lstrip("'") == name.encode("unicode_escape").decode().replace(r"\\", "\\")
    html = MarkdownIt("gfm-like", {"linkify": False}).render(export(rankings, "md"))
    assert len(re.findall(r"<td", html)) == 8
    assert not re.search(r"<(script|a|em|strong|code|s)\b", html)
    table = export(rankings, "table")
    assert sum(line.startswith("│") for line in table.splitlines()) == 2


def test_a_long_name_pushes_no_number_off_the_table(tmp_path):
    text = export(rankings_of(tmp_path, make_record("m" * 300, EPIC, [0.7])), "table")
    assert "m" * 300 in text and text.count("70.0 [68.0, 72.0]") == 1 and "…" not in text


def test_two_results_of_one_name_on_the_same_data_are_refused(tmp_path):
    record = make_record("m", EPIC, [0.7])
    with pytest.raises(ResultError, match="m0 and .*m1 are both results of 'm' on the same data"):
        rankings_of(tmp_path, record, copy.deepcopy(record))


def test_a_folder_named_twice_counts_once(tmp_path):
    save(tmp_path, make_record("m", EPIC, [0.7]))
    assert len(read_results([tmp_path, tmp_path / "m0", tmp_path / "." / "m0"])) == 1


def test_a_constant_that_differs_on_the_same_clips_is_refused(tmp_path):
    changed = make_record("n", EPIC, [0.7])
    changed["sources"]["epic"]["constant"]["accuracy"] = 0.5
    with pytest.raises(ResultError, match="disagree on what a constant answer scores"):
        rankings_of(tmp_path, make_record("m", EPIC, [0.7]), changed)


def test_missing_or_empty_folders_and_wrong_formats_are_named(tmp_path):
    with pytest.raises(ResultError, match="none does not exist"):
        read_results([tmp_path / "none"])
    with pytest.raises(ResultError, match="holds no result; cia eval"):
        read_results([tmp_path])
    with pytest.raises(ConfigError, match="unknown format 'pdf'; choose from table, md, latex, csv, json, html"):
        export([], "pdf")


def test_incomplete_coverage_is_told_and_its_constant_may_differ(tmp_path):
    whole, partial = (make_record(name, {"epic": "a"}, [0.7]) for name in ("whole", "partial"))
    partial["sources"]["epic"]["constant"] = score(0.54)  # two training clips less may turn a group's majority
    partial["sources"]["epic"]["coverage"]["learnt_rows"] = 8998
    (ranking,) = rank(read_results([save(tmp_path, partial, whole)]))
    assert ranking.rows[-1].scores["epic"]["accuracy"] == 0.55  # of the clips that all could have learnt from
    again = copy.deepcopy(partial)  # as many clips are missing, but others
    again["model"]["name"] = "again"
    again["sources"]["epic"]["constant"] = score(0.53)
    assert len(rank([(tmp_path / "m0", partial), (tmp_path / "m2", again)])[0].rows) == 3
    told = "partial, epic, coverage: 8,998 of 9,000 training rows and 3,096 of 3,096 validation rows"
    for form in ("table", "md"):
        assert told in export([ranking], form) and "whole, epic" not in export([ranking], form)


def test_a_row_says_of_which_sources_a_trained_part_saw_clips_and_nothing_where_a_part_does_not_tell(tmp_path):
    def trained(seen: int, labels: bool = False, unknown: tuple = ()) -> dict:
        count = {"clips": 9, "seen_clips": seen, "videos": 9, "seen_videos": seen}
        splits = {"train": count, "validation": {**count, "seen_clips": 0}}
        parts = {"p:lift": {"labels": labels, "sources": {"epic": splits}}}
        return {"saw": {}, "unknown": list(unknown), "parts": parts}

    cases = [
        (trained(0), {}, {}),
        (trained(3), {}, {"epic": "clips"}),
        (trained(3), {"epic": "labels", "ssv2": "clips"}, {"epic": "labels", "ssv2": "clips"}),
        (trained(3, labels=True), {"epic": "clips"}, {"epic": "labels"}),
        (trained(0, unknown=("q:lift",)), {}, None),
        (None, {}, {}),
    ]
    for number, (contamination, saw, expected) in enumerate(cases):
        record = make_record(f"m{number}", {"epic": "e" * 64}, [0.7], saw=saw) | {"contamination": contamination}
        (ranking,) = rank(read_results([save(tmp_path / f"{number}", record)]))
        assert ranking.rows[0].saw == expected
