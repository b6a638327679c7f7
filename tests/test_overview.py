"""Results on standard benchmarks in the leaderboard: rankings of tasks, and the tasks side by side."""

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from made_up_rankings import make_published_like
from made_up_tasks import make_answers, score_answers, write_published_like, write_task
from markdown_it import MarkdownIt
from test_leaderboard import EPIC, HOSTILE, make_record, save
from test_leaderboard_formats import TEX
from test_leaderboard_html import Parsed

from cia_bench.errors import ConfigError, ResultError, SubmissionError
from cia_bench.leaderboard.arranging import with_published
from cia_bench.leaderboard.charts import CHARTS, draw_chart
from cia_bench.leaderboard.export import FORMATS, export
from cia_bench.leaderboard.overview import overviews
from cia_bench.leaderboard.published import published_chance, standard_rows
from cia_bench.leaderboard.table import rank, read_results
from cia_bench.results import read_result, write_result
from cia_bench.statistics import expanded_level
from cia_bench.submissions.pack import pack
from cia_bench.tables import CLASS_PREDICTIONS

TASKS = ["kinetics400", "ucf101", "hmdb51", "ssv2"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write_published_like(tmp_path_factory.mktemp("tasks") / "cia-results")


@pytest.fixture(scope="module")
def rankings(results):
    return rank(read_results([results]))


@pytest.fixture(scope="module")
def overview(rankings):
    (found,) = overviews(with_published(rankings))
    return found


def lines_of(overview) -> dict:
    return {(line.reported, line.model): line for line in overview.lines}


def percents(parts: list[dict | None], name: str = "accuracy") -> list[float | None]:
    return [None if part is None else round(100 * part[name], 1) for part in parts]


# rankings


def test_results_of_a_task_lie_one_folder_deeper_than_others_and_none_lies_deeper_still(tmp_path):
    write_task(tmp_path, "ucf101", {"a": [0.5], "b": [0.6]})
    save(tmp_path, make_record("chiral", EPIC, [0.7]))
    shutil.copytree(tmp_path / "ucf101" / "a", tmp_path / "ucf101" / "more" / "a")
    found = {
        path.relative_to(tmp_path).as_posix(): record["model"]["name"] for path, record in read_results([tmp_path])
    }
    assert found == {"m0": "chiral", "ucf101/a": "a", "ucf101/b": "b"}
    assert len(read_results([tmp_path / "ucf101"])) == 3 and len(read_results([tmp_path / "ucf101" / "b"])) == 1


def test_a_task_is_a_ranking_of_its_own_after_those_of_chiral_groups(results, tmp_path):
    save(tmp_path, make_record("chiral", EPIC, [0.7]))
    write_task(tmp_path, "ssv2", {"vjepa": [0.5]}, probe="attentive")
    write_task(tmp_path, "mine", {"vjepa": [0.5]}, classes=4)
    found = rank(read_results([results, tmp_path]))
    probes = [(ranking.task, ranking.probe) for ranking in found]
    softmax = [(task, "softmax") for task in [*TASKS, "mine"]]
    assert probes == [(None, "ridge"), *softmax, ("ssv2", "attentive")]
    ucf101 = found[2]
    assert [row.model for row in ucf101.rows] == [
        "vjepa+lift",
        "videomae+lift",
        "vjepa",
        "videomae",
        "lift",
        "constant",
    ]
    assert ucf101.metric == "top-1 accuracy" and ucf101.protocol == "protocol standard, softmax probe"
    counted = {"groups": 3, "clips": 360, "fingerprint": "u" * 64, "classes": 101}
    assert ucf101.sources == {"ucf101": counted}
    assert ucf101.rows[0].rank_interval[0] == ucf101.rows[0].tie_group == 1
    record = read_result(results / "ucf101" / "vjepa+lift")["sources"]["ucf101"]
    assert ucf101.rows[0].top5 == record["top5"] and ucf101.rows[0].per_class == record["per_class"]
    assert found[5].rows[0].top5 is None and found[5].rows[0].per_class  # of four classes


def pairs(ranking) -> list[tuple]:
    return [(pair.a, pair.b, pair.asked) for pair in ranking.comparisons]


def test_joined_models_are_compared_with_their_rests_whatever_else_is_asked_for(results, rankings, tmp_path):
    joined = [
        ("vjepa+lift", "vjepa", False),
        ("vjepa+lift", "lift", False),
        ("videomae+lift", "videomae", False),
        ("videomae+lift", "lift", False),
    ]
    assert [pairs(ranking) for ranking in rankings] == [joined] * 4
    (asked, *_) = rank(read_results([results]), compare=[("lift", "vjepa"), ("vjepa+lift", "vjepa")])
    assert pairs(asked) == [("lift", "vjepa", True), ("vjepa+lift", "vjepa", True), *joined[1:]]
    write_task(tmp_path, "ucf101", {"a+b (l2)": [0.6], "a": [0.5], "other": [0.4], "c+d": [0.3]})
    (normed,) = rank(read_results([tmp_path]))
    assert pairs(normed) == [("a+b (l2)", "a", False)]
    write_task(tmp_path / "plain", "ucf101", {"a": [0.5], "b": [0.6], "c+d": [0.4]})
    (plain,) = rank(read_results([tmp_path / "plain"]))
    assert pairs(plain) == [("b", "a", False), ("a", "c+d", False)]


def test_a_joined_models_difference_is_of_the_same_draws_of_people_as_a_plain_loop_has_them(results, rankings):
    joined, base = (
        CLASS_PREDICTIONS.read(results / "ucf101" / name / "predictions.parquet") for name in ("vjepa+lift", "vjepa")
    )
    gained = (joined.prediction == joined.label).astype(float) - (base.prediction == base.label).astype(float)
    rows = pd.DataFrame({"gained": gained, "group_id": joined.group_id, "subject": joined.subject})
    people = sorted(rows.subject.unique())
    by_person = {person: part for person, part in rows.groupby("subject")}
    generator = np.random.default_rng([0, *b"ucf101"])
    values = []
    for picked in generator.integers(len(people), size=(200, len(people))):
        drawn = pd.concat([by_person[people[number]] for number in picked])
        values.append(drawn.gained.groupby(drawn.group_id).mean().mean())
    level = expanded_level(0.95, len(people))
    comparison = rankings[1].comparisons[0]
    assert comparison.difference == pytest.approx(gained.groupby(joined.group_id).mean().mean())
    assert comparison.interval == pytest.approx(np.quantile(values, [(1 - level) / 2, (1 + level) / 2]), abs=1e-12)
    assert comparison.interval[0] > 0


def test_top_5_and_per_class_are_counted_again_on_common_videos(tmp_path):
    answers = {name: make_answers("ucf101", [share] * 2, 7, 84) for name, share in (("a", 0.4), ("b", 0.6))}
    kept = answers["b"][~answers["b"].clip_id.isin(["v0000", "v0007", "v0014", "v0001"])]
    for name, rows in (("a", answers["a"]), ("b", kept)):
        write_result(score_answers("ucf101", name, rows, 7, failed=168 - len(rows)), tmp_path / "ucf101")
    (ranking,) = rank(read_results([tmp_path]))
    assert ranking.notes[0] == "ucf101: compared on the 160 of 168 test videos that all have"
    row = next(row for row in ranking.rows if row.model == "a")
    common = answers["a"][answers["a"].clip_id.isin(kept.clip_id)]
    right = common.prediction == common.label
    top5 = [(part.place <= 5).mean() for _, part in common.groupby("group_id")]
    classes = [right[part.index].groupby(part.label).mean().mean() for _, part in common.groupby("group_id")]
    assert row.top5["accuracy"] == pytest.approx(np.mean(top5)) != row.mean["accuracy"]
    assert row.per_class["accuracy"] == pytest.approx(np.mean(classes))
    assert row.per_class["accuracy"] != pytest.approx(row.mean["accuracy"], abs=1e-6)
    for score in (row.top5, row.per_class):
        assert score["interval"][0] < score["accuracy"] < score["interval"][1]
    whole = read_result(tmp_path / "ucf101" / "a")["sources"]["ucf101"]
    assert row.top5["accuracy"] != pytest.approx(whole["top5"]["accuracy"], abs=1e-6)
    assert [group["n"] for group in row.groups] == [80, 80]
    other = next(row for row in ranking.rows if row.model == "b")
    recorded = read_result(tmp_path / "ucf101" / "b")["sources"]["ucf101"]
    for name in ("top5", "per_class"):  # of these videos anyway, and of the same draws
        assert vars(other)[name]["interval"] == pytest.approx(recorded[name]["interval"], abs=1e-12)


def test_a_place_changed_by_hand_is_refused(tmp_path):
    write_task(tmp_path, "ucf101", {"a": [0.5], "b": [0.6]})
    path = tmp_path / "ucf101" / "b" / "predictions.parquet"
    rows = CLASS_PREDICTIONS.read(path)
    CLASS_PREDICTIONS.write(path, rows.assign(place=rows.place.where(rows.place < 6, 5).astype(np.int16)))
    with pytest.raises(ResultError, match="column place gives a top-5 accuracy of 1.0000, not 0"):
        rank(read_results([tmp_path]))


BROKEN = {
    "no kind": (lambda record: record["task"].update(kind=3), "task.kind is 3"),
    "two sources": (lambda record: record["sources"].update(two=record["sources"]["ucf101"]), "it has 2 sources where"),
    "no classes": (lambda record: record["sources"]["ucf101"].update(classes=0), "classes is 0"),
    "top-5": (lambda record: record["sources"]["ucf101"]["top5"].update(accuracy=2), "top5 2 with interval"),
    "no per class": (lambda record: record["sources"]["ucf101"].pop("per_class"), "KeyError 'per_class'"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_result_of_a_task_that_is_not_in_order_is_refused_in_one_line(broken, tmp_path):
    damage, message = BROKEN[broken]
    path = write_task(tmp_path, "ucf101", {"a": [0.5]}) / "ucf101" / "a" / "result.json"
    record = json.loads(path.read_text())
    damage(record)
    path.write_text(json.dumps(record))
    with pytest.raises(ResultError) as caught:
        read_results([tmp_path])
    assert f"result.json is no result of cia eval: {message}" in str(caught.value)


# published numbers


def test_published_numbers_are_those_of_the_paper_by_task_and_probe():
    def published(task: str, probe: str) -> dict[str, float]:
        return {row.model: round(100 * row.mean["accuracy"], 1) for row in standard_rows(task, probe, task)}

    assert published("ucf101", "softmax") == {
        "V-JEPA ViT-L + LiFT": 92.6,
        "V-JEPA ViT-L": 91.3,
        "InternVid2.5 + LiFT": 90.3,
        "VideoMAE ViT-L + LiFT": 88.8,
        "InternVid2.5": 88.2,
        "LiFT": 86.6,
        "VideoMAE ViT-L": 83.6,
    }
    joined = {task: published(task, "softmax")["V-JEPA ViT-L + LiFT"] for task in TASKS}
    assert joined == {"kinetics400": 63.7, "ucf101": 92.6, "hmdb51": 78.0, "ssv2": 52.3}
    assert len(published("ssv2", "softmax")) == 7 + 2 * 4
    gains = {
        name: published("ssv2", "softmax")[f"{name} + LiFT"] - value
        for name, value in published("ssv2", "softmax").items()
        if "LiFT" not in name
    }
    assert {name: round(gain, 1) for name, gain in gains.items()} == {
        **{"V-JEPA ViT-L": 2.7, "V-JEPA ViT-H": 2.4, "InternVid2.5": 12.5},
        **{"VideoMAE ViT-S": 17.9, "VideoMAE ViT-B": 15.5, "VideoMAE ViT-L": 8.0, "VideoMAE ViT-H": 6.9},
    }
    assert [*published("ssv2", "mlp").values()] == [54.2, 51.7, 50.1, 43.9]
    assert [*published("ssv2", "attentive").values()] == [66.9, 65.9, 63.7, 61.5]
    assert published("ucf101", "mlp") == published("mine", "softmax") == published("ucf101", "ridge") == {}
    chance = [published_chance(task, "softmax")["accuracy"] for task in TASKS]
    assert chance == [0.0025, 0.0099, 0.0196, 0.0058] and published_chance("ssv2", "mlp") is None


def test_published_numbers_stand_below_their_task_or_with_reported_among_its_models(rankings):
    below, among = with_published(rankings)[1], with_published(rankings, among=True)[1]
    assert [row.model for row in below.rows[:7]] == [row.model for row in rankings[1].rows] + ["V-JEPA ViT-L + LiFT"]
    assert below.rows[6].scores == {"ucf101": {"accuracy": 0.926, "interval": None}}
    assert below.rows[6].reported_by == "arXiv 2509.08502" and len(below.rows) == 13
    assert [row.model for row in among.rows[6:9]] == ["VideoMAE ViT-L", "vjepa+lift", "videomae+lift"]
    part = replace(rankings[1], part="on a part of the data: 1 group")
    assert with_published([part]) == [part]
    with pytest.raises(ConfigError, match="or of the standard benchmarks kinetics400, ucf101, hmdb51, ssv2; no table"):
        with_published([replace(rankings[1], task="mine")], among=True)


# the tasks side by side


def test_tasks_stand_side_by_side_and_joined_models_below_their_base(rankings, overview):
    assert [column.name for column in overview.columns] == ["K400", "UCF101", "HMDB51", "SSv2"]
    assert [column.table for column in overview.columns] == [1, 2, 3, 4]
    assert overview.columns[1].counts == "3 splits, 360 test videos, 101 classes"
    names = [line.model for line in overview.lines]
    assert names[:7] == ["constant", "chance", "vjepa", "vjepa+lift", "videomae", "videomae+lift", "lift"]
    assert names[7:14] == [
        *("InternVid2.5", "InternVid2.5 + LiFT", "V-JEPA ViT-L", "V-JEPA ViT-L + LiFT"),
        *("LiFT", "VideoMAE ViT-L", "VideoMAE ViT-L + LiFT"),
    ]
    assert [line.reported for line in overview.lines] == [False, True, *[False] * 5, *[True] * (len(names) - 7)]
    lines = lines_of(overview)
    assert percents(lines[False, "vjepa"].scores) == [40.0, 50.0, 60.0, 70.8]
    measured = lines[False, "vjepa+lift"]
    assert measured.base == "vjepa" and lines[False, "lift"].base is None
    for cell, ranking in zip(measured.differences, rankings, strict=True):
        pair = ranking.comparisons[0]
        assert (pair.a, pair.b) == ("vjepa+lift", "vjepa")
        assert cell == {"difference": pair.difference, "interval": list(pair.interval)}
    reported = lines[True, "V-JEPA ViT-L + LiFT"]
    assert percents(reported.differences, "difference") == [3.9, 1.3, 1.9, 2.7]
    assert not any(cell["interval"] for cell in reported.differences)
    only = lines[True, "V-JEPA ViT-H + LiFT"]
    assert percents(only.scores) == [None, None, None, 53.9] and percents(only.differences, "difference")[3] == 2.4
    assert only.differences[:3] == [None, None, None]


def test_a_part_that_two_models_lack_or_that_stands_in_one_task_alone_leaves_an_empty_cell(tmp_path):
    write_task(tmp_path, "ucf101", {"a": [0.4], "a+b": [0.5], "a+b+c": [0.6]})
    write_task(tmp_path, "hmdb51", {"a+b": [0.5], "a+b+c": [0.7], "z+y": [0.3]})
    (found,) = overviews(rank(read_results([tmp_path])))
    lines = {line.model: line for line in found.lines}
    assert [*lines] == ["constant", "a", "a+b", "a+b+c", "z+y"]
    assert [lines[name].base for name in lines] == [None, None, "a", "a+b", None]
    assert percents(lines["a"].scores) == [40.0, None] and percents(lines["z+y"].scores) == [None, 30.0]
    assert percents(lines["a+b"].differences, "difference") == [10.0, None]
    assert percents(lines["a+b+c"].differences, "difference") == [10.0, 20.0]


def test_what_was_published_stands_below_all_models_or_among_them_as_in_the_tables(tmp_path):
    write_task(tmp_path, "ucf101", {"a": [0.4]})
    write_task(tmp_path, "hmdb51", {"b": [0.3], "b+c": [0.7]})
    found = rank(read_results([tmp_path]))
    (below,), (among,) = overviews(with_published(found)), overviews(with_published(found, among=True))
    assert [line.model for line in below.lines[2:6]] == ["a", "b", "b+c", "V-JEPA ViT-L"]
    assert [line.model for line in among.lines[-4:]] == ["VideoMAE ViT-L + LiFT", "a", "b", "b+c"]


def test_a_pair_that_was_asked_for_is_not_taken_for_the_difference_from_the_base(results, overview):
    asked = rank(read_results([results / "ucf101"]), compare=[("vjepa+lift", "lift"), ("vjepa", "vjepa+lift")])
    (found,) = overviews(asked)
    assert lines_of(found)[False, "vjepa+lift"].differences == lines_of(overview)[False, "vjepa+lift"].differences[1:2]


def test_without_predictions_a_difference_is_that_of_the_scores_and_has_no_interval(tmp_path):
    write_task(tmp_path, "ucf101", {"a": [0.4], "a+b": [0.5]})
    (tmp_path / "ucf101" / "a" / "predictions.parquet").unlink()
    (found,) = overviews(rank(read_results([tmp_path])))
    (cell,) = found.lines[-1].differences
    assert cell == {"difference": pytest.approx(0.1), "interval": None}
    assert "│   minus a │  +10.0 │" in export(rank(read_results([tmp_path])), "table")


def test_a_part_of_a_tasks_classes_has_no_published_numbers_beside_it(tmp_path):
    for classes, reported in ((101, True), (10, False)):
        folder = write_task(tmp_path / str(classes), "ucf101", {"vjepa": [0.5] * 3}, classes)
        (ranking,) = with_published(rank(read_results([folder])))
        assert any(row.reported for row in ranking.rows) == reported
        assert any(line.reported for line in overviews([ranking])[0].lines) == reported


def test_a_probe_has_an_overview_of_its_own_and_a_tasks_two_tables_are_told_apart(tmp_path):
    write_task(tmp_path / "one", "ucf101", {"a": [0.4]})
    write_task(tmp_path / "one", "ssv2", {"a": [0.4]}, probe="mlp")
    write_task(tmp_path / "two", "ucf101", {"a": [0.6]}, statistics={"level": 0.95, "draws": 9, "seed": 0})
    changed = tmp_path / "two" / "ucf101" / "a" / "result.json"
    changed.write_text(changed.read_text().replace("u" * 64, "v" * 64))
    found = overviews([make_published_like(), *rank(read_results([tmp_path / "one", tmp_path / "two"]))])
    assert [(one.probe, [column.name for column in one.columns]) for one in found] == [
        ("softmax", ["UCF101 (table 2)", "UCF101 (table 3)"]),
        ("mlp", ["SSv2"]),
    ]
    assert percents(found[0].lines[1].scores) == [40.0, 60.0]
    assert overviews([make_published_like()]) == []


# formats


@pytest.fixture(scope="module")
def board(rankings):
    """A board of chiral groups and of tasks, with what was published."""
    return with_published([make_published_like(), *rankings])


def test_the_terminal_and_markdown_sum_the_tasks_up_before_their_tables(board):
    text = export(board, "table")
    titles = [line for line in text.splitlines() if "protocol" in line and ":" in line and not line.startswith("│")][1:]
    order = [text.index(words) for words in ("protocol paper", "Standard benchmarks: softmax", "kinetics400: protocol")]
    assert order == sorted(order) and len(titles) == 5
    assert re.search(r"│   minus vjepa +│ \+6\.7 \[\+\d\.\d, \+\d+\.\d\] │ +\+6\.7 ", text)
    assert re.search(r"│ chance \(reported\) +│ +0\.25 │ +0\.99 │ +1\.96 │ +0\.58 │", text)
    assert re.search(
        r"│ model +┃ params ┃ +dim ┃ +ucf101 ┃ top-5 ┃ per class ┃ rank ┃ ties ┃", text.replace("┃ model", "│ model")
    )
    assert max(len(line) for line in text.splitlines() if line[:1] in "│┏┡└├") <= 125
    assert "Top-1 accuracy in percent, mean over splits, with 95% interval.\n" in text
    assert "constant: always the class that is most frequent among the split's training videos.\n" in text
    assert "ucf101: 3 splits, 360 test videos, 101 classes, fingerprint uuuuuuuuuuuu\n" in text
    assert "kinetics400: 1 split, 120 test videos, 400 classes, fingerprint" in text
    html = MarkdownIt("gfm-like", {"linkify": False}).render(export(board, "md"))
    summed = html[html.index("<h2>Standard") : html.index("<h2>kinetics400")]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", summed, re.DOTALL)]
    assert cells[0] == ["model", "K400", "UCF101", "HMDB51", "SSv2"] and {len(row) for row in cells} == {5}
    rows = {row[0]: row[1:] for row in cells}
    assert rows["V-JEPA ViT-L + LiFT (reported)"] == ["63.7", "92.6", "78.0", "52.3"]
    assert rows["minus V-JEPA ViT-L"] == ["+3.9", "+1.3", "+1.9", "+2.7"]
    assert re.fullmatch(r"56\.7 \[\d+\.\d, \d+\.\d\]", rows["vjepa+lift"][1])
    columns = re.findall(r"<th[^>]*>(.*?)</th>", html[html.index("<h2>ucf101") :])
    assert columns[:8] == ["model", "parameters", "embedding", "ucf101", "top-5", "per class", "rank", "ties"]


def test_latex_has_a_table_of_all_tasks_whose_best_measured_models_are_bold(board):
    text = export(board, "latex")
    summed = text[text.index("Standard benchmarks: softmax") :].partition(r"\end{table}")[0]
    rows = {
        line.split(" & ")[0]: line.removesuffix(r" \\").split(" & ") for line in summed.splitlines() if " & " in line
    }
    assert rows["model"] == ["model", "K400", "UCF101", "HMDB51", "SSv2"] and {len(row) for row in rows.values()} == {5}
    assert rows["vjepa+lift"][1:] == [rf"\textbf{{{value}}}" for value in ("46.7", "56.7", "66.7", "76.7")]
    assert rows[r"V{-}JEPA ViT{-}L + LiFT \emph{(reported)}"][1:] == ["63.7", "92.6", "78.0", "52.3"]
    assert rows[r"\quad minus vjepa"][2].startswith(r"{\scriptsize +6.7 {[}+")
    assert "with 95" not in summed.partition("minus")[0]
    of_ucf101 = text[text.index("on ucf101 (n = 360 test videos of 3 splits, 101 classes, fingerprint") :]
    assert "ucf101 & top{-}5 & per class & rank" in of_ucf101 and text.count("{") == text.count("}")


def test_json_has_the_overview_as_its_schema_says_and_csv_the_columns_of_classes(board, rankings):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((files("cia_bench.leaderboard") / "leaderboard.schema.json").read_text(encoding="utf-8"))
    written = json.loads(export(board, "json"))
    jsonschema.validate(written, schema)
    (found,) = written["overviews"]
    joined = next(line for line in found["lines"] if line["model"] == "vjepa+lift")
    assert joined["differences"][1]["difference"] == rankings[1].comparisons[0].difference
    assert written["rankings"][2]["task"] == "ucf101" and written["rankings"][0]["task"] is None
    row = rankings[1].rows[0]
    assert written["rankings"][2]["rows"][0]["top5"] == row.top5
    lines = list(csv.DictReader(io.StringIO(export(board, "csv"))))
    (line,) = [one for one in lines if one["model"] == "vjepa+lift" and one["table"] == "3"]
    assert float(line["top5"]) == pytest.approx(100 * row.top5["accuracy"])
    assert float(line["per_class_high"]) == pytest.approx(100 * row.per_class["interval"][1])
    assert lines[0]["top5"] == lines[0]["per_class_low"] == ""


def test_the_page_has_the_overview_and_its_charts_speak_of_splits(board):
    text = export(board, "html")
    page = Parsed(text)
    assert page.texts["h2"][:3] == [
        "epic, ssv2: protocol paper, ridge probe",
        "Standard benchmarks: softmax probe",
        "kinetics400: protocol standard, softmax probe",
    ]
    assert [len(page.of("section", id=name)) for name in ("overview-1", "ranking-1", "ranking-2", "ranking-5")] == [
        1
    ] * 4
    assert len(page.of("a", href="#overview-1")) == 1
    summed = Parsed(text[text.index('<section id="overview-1"') : text.index('<section id="ranking-2"')])
    assert summed.texts["th"][:8] == [
        "model",
        "K400",
        "UCF101",
        "HMDB51",
        "SSv2",
        "constant",
        "chance reported",
        "vjepa",
    ]
    assert summed.texts["th"][8:10] == ["vjepa+lift", "minus vjepa"] and "63.7" in summed.texts["td"]
    of_ucf101 = text[text.index('<section id="ranking-3"') : text.index('<section id="ranking-4"')]
    assert (
        "Splits and models" in of_ucf101 and "chiral" not in of_ucf101 and "The charts show top-1 accuracy" in of_ucf101
    )
    data = json.loads(re.search(r"^const DATA = (.*);$", text, re.MULTILINE)[1])
    assert [one["unit"] for one in data["rankings"]] == ["clips", *["videos"] * 4]
    assert [group["name"] for group in data["rankings"][2]["groups"]] == ["ucf101/1", "ucf101/2", "ucf101/3"]


@pytest.mark.parametrize("name", [*HOSTILE, *TEX, "</script><script>alert(1)</script>"])
def test_strangers_names_of_models_and_tasks_are_text_in_every_overview(name, tmp_path):
    (ranking,) = rank(read_results([write_task(tmp_path, "mine", {"a": [0.4], "a+b": [0.6]})]))
    source = {name: ranking.sources["mine"]}
    rows = [replace(row, model=row.model.replace("a", name) if row.measured else row.model) for row in ranking.rows]
    hostile = [
        replace(ranking, sources=source, rows=[replace(row, scores={name: row.mean}) for row in rows], comparisons=[])
    ]
    for form in set(FORMATS) - {"html"}:
        text = export(hostile, form)
        assert all(character.isprintable() or character == "\n" for character in text), form
    html = MarkdownIt("gfm-like", {"linkify": False}).render(export(hostile, "md"))
    assert not re.search(r"<(script|a|em|strong|code|s|img|ol|pre)\b|<!--", html)
    assert export(hostile, "latex").count(r"\begin{table}") == 2
    page = export(hostile, "html")
    assert page.count("</script") == 1 and not Parsed(page).of("a", href="javascript:x")
    assert json.loads(export(hostile, "json"))["overviews"][0]["columns"][0]["source"] == name


@pytest.mark.parametrize("kind", CHARTS)
def test_each_chart_draws_a_task(kind, board, tmp_path):
    draw_chart(kind, board[2:4], tmp_path / "c.svg")
    text = (tmp_path / "c.svg").read_text()
    assert "ucf101: protocol standard, softmax probe" in text and "over sources" not in text


def test_a_task_is_no_submission(results, tmp_path):
    folder = results / "ucf101" / "vjepa"
    with pytest.raises(
        SubmissionError, match="vjepa is a result on a standard benchmark; submissions are of chiral res"
    ):
        pack(folder, tmp_path / "s.zip")
    assert not (tmp_path / "s.zip").exists()
