"""What each format of a leaderboard holds: exact numbers, marks, and strangers' names as text."""

import csv
import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from importlib.resources import files

import pytest
from markdown_it import MarkdownIt
from test_leaderboard import HOSTILE, make_record, rankings_of

from cia_bench.controls import MEASURES
from cia_bench.errors import ResultError
from cia_bench.leaderboard.arranging import with_published
from cia_bench.leaderboard.export import FORMATS, export
from cia_bench.leaderboard.latex import latex
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Comparison, Ranking, rank, read_results
from cia_bench.leaderboard.text import markdown

CIA = {"charades": "c" * 64, "epic": "e" * 64, "ssv2": "s" * 64}
SPREADSHEET = ["\t=1+1", "\r=1", " =1+1", "＝1+1", "'=1", "''+1", "'text'"]
TEX = [
    r"\input{/etc/passwd}",
    r"\write18{ls}",
    "100% & #1_x^2 ~ {a}$b$",
    "^^41",
    "--- `quoted'' ?`",
    "]",
    "Ünïcode 模型",
]
WEB = [
    "![x](http://x/y.png)",
    "https://x.org www.x.org",
    "@somebody #12",
    "<!-- x",
    "&lt;",
    "    code",
    "1. one",
    "a\\|b",
]


@pytest.fixture
def ranking(tmp_path) -> Ranking:
    """Two models and a submission on all sources, with controls, ranks and a comparison."""
    controls = dict.fromkeys(MEASURES, {"reason": "not asked"}) | {
        "gain": {
            "sources": {name: {"value": 0.1, "interval": [0.05, 0.15]} for name in CIA},
            "mean": {"value": 0.1 / 3, "interval": [0.01, 0.0512345678901234]},
        },
        "flip_rate": {"reason": "no frame sequences"},
    }
    saw = {"model": {"name": "b", "saw": {"ssv2": "labels"}, "parameters": 86_000_000, "dim": 512, "clips_per_s": 12.5}}
    first = make_record("a", CIA, [0.7, 0.6123456789012345, 0.5], parameters=22_000_000)
    second = {**make_record("b", CIA, [0.7, 0.6, 0.45]), **saw}
    third = make_record("submitted", CIA, [0.6, 0.6, 0.3])
    first["controls"] = controls
    frames = {"frames": {"count": 16}}
    first["embeddings"] = {"parts": [{"encoder": "pixels", **frames}, {"encoder": "clip-b16", "frames": {"count": 8}}]}
    rankings_of(tmp_path, first, second, third)
    (tmp_path / "m2" / "submission.json").write_text('{"verified": false}')
    (found,) = rank(read_results([tmp_path / name for name in ("m0", "m1", "m2")]))
    placed = zip(found.rows, [(1, 2, 1), (1, 2, 1), (3, 3, 2)], strict=False)
    rows = [replace(row, rank_interval=place[:2], tie_group=place[2]) for row, place in placed]
    part = {"difference": 0.02, "interval": (-0.01, 0.05), "p": 0.2}
    pair = Comparison("a", "b", **part, p_adjusted=0.4, sources=dict.fromkeys(CIA, part), asked=True)
    return replace(found, rows=[*rows, found.rows[-1]], comparisons=[pair])


def with_name(ranking: Ranking, name: str) -> list[Ranking]:
    return [replace(ranking, rows=[replace(ranking.rows[0], model=name), *ranking.rows[1:]], notes=[f"{name}, epic"])]


def test_json_is_what_its_schema_says_and_gives_every_number_again(ranking):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((files("cia_bench.leaderboard") / "leaderboard.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    board = json.loads(export(with_published([ranking], among=True), "json"))
    jsonschema.validate(board, schema)
    (found,) = board["rankings"]
    first = next(row for row in found["rows"] if row["model"] == "a")
    assert first["scores"] == ranking.rows[0].scores and first["mean"] == ranking.rows[0].mean
    assert first["gain"] == {"value": 0.1 / 3, "interval": [0.01, 0.0512345678901234]} and first["flip_rate"] is None
    assert (first["encoder"], first["frames"], first["rank_interval"]) == ("pixels+clip-b16", 16, [1, 2])
    assert found["comparisons"][0]["p_adjusted"] == 0.4
    fields = schema["$defs"]["row"]["properties"]
    assert fields.keys() == vars(ranking.rows[0]).keys() | {"status"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**board, "format": "another"}, schema)


def test_json_of_a_result_with_a_number_that_json_lacks_is_refused(ranking):
    group = {"group_id": "g", "source": "epic", "n": 5, "accuracy": 0.5, "interval": [0.2, 0.8], "p": float("nan")}
    broken = replace(ranking, rows=[replace(ranking.rows[0], groups=[group])])
    with pytest.raises(ResultError, match="the result of 'a' holds NaN or infinity"):
        export([broken], "json")


def test_csv_gives_every_number_again(ranking):
    rows = list(csv.DictReader(io.StringIO(export([ranking], "csv"))))
    by_name = {row["model"]: row for row in rows}
    first = by_name["a"]
    for row in ranking.rows:
        for name, score in (*row.scores.items(), ("mean", row.mean)):
            cells = [by_name[row.model][f"{name}{end}"] for end in ("", "_low", "_high")]
            assert [float(Decimal(cell) / 100) for cell in cells] == [score["accuracy"], *score["interval"]]
    assert float(Decimal(first["gain_high"]) / 100) == 0.0512345678901234 and first["flip_rate"] == ""
    assert (first["rank_low"], first["rank_high"], first["tie_group"], first["epic_coverage"]) == ("1", "2", "1", "100")
    assert (first["encoder"], first["frames"], first["saw"]) == ("pixels+clip-b16", "16", "")
    assert (by_name["b"]["saw"], by_name["b"]["clips_per_s"]) == ("ssv2=labels", "12.5")
    assert [row["status"] for row in rows] == ["scored here", "scored here", "unverified", "constant"]


def test_the_terminal_table_fits_and_says_what_is_unverified_and_which_differences_are_real(ranking):
    text = export([ranking], "table")
    lines = text.splitlines()
    assert max(len(line) for line in lines if line[0] in "│┏┡└├") <= 110
    assert re.search(r"┃ model +┃ params ┃ dim ┃ charades ┃ epic ┃ ssv2 ┃ +mean ┃ gain ┃ rank ┃ ties ┃", text)
    assert re.search(r"a +│ +22.0M │ +768 │ +70.0 │ +61.2 │ +50.0 │ 60.4 \[58.4, 62.4\] │ +3.3 │ +1–2 │ +1 │", text)
    assert "submitted (unverified)" in text and "unverified: submitted without embeddings" in text
    assert "a minus b, in points:\n  charades: +2.0 [-1.0, +5.0], p 0.2\n" in text
    assert "  mean: +2.0 [-1.0, +5.0], p 0.2, adjusted for all pairs of the table 0.4\n" in text


def test_markdown_has_all_columns_that_say_something(ranking):
    html = MarkdownIt("gfm-like", {"linkify": False}).render(export([ranking], "md"))
    names = re.findall(r"<th[^>]*>(.*?)</th>", html)
    shown = ["parameters", "embedding", "charades", "epic", "ssv2", "mean", "gain", "rank", "ties"]
    assert names == ["model", *shown, "frames", "clips/s", "coverage", "trained on", "encoder"]
    assert "3.3 [1.0, 5.1]" in html and "ssv2 labels" in html


def test_latex_has_the_best_in_bold_ties_as_letters_and_n_and_protocol_in_its_caption(ranking):
    text = export([ranking], "latex")
    caption = re.search(r"\\caption\{(.*)\}\n", text)[1]
    assert caption.startswith(
        "Accuracy in percent, protocol paper, ridge probe, mean over groups, on charades (n = 3,096"
    )
    rows = {line.split(" & ")[0]: line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if " & " in line}
    assert rows["model"][1:] == ["parameters", "embedding", "charades", "epic", "ssv2", "mean", "gain", "rank"]
    assert rows["a"][3:5] == [r"\textbf{70.0}", r"\textbf{61.2}"] and rows["b"][3:5] == [r"\textbf{70.0}", "60.0"]
    assert rows["a"][6] == r"\textbf{60.4} {\scriptsize {[}58.4, 62.4{]}}\textsuperscript{a}"
    assert rows["b"][6].endswith(r"\textsuperscript{a}") and r"submitted \emph{(unverified)}" in rows
    assert rows[r"submitted \emph{(unverified)}"][6].endswith(r"\textsuperscript{b}")
    assert rows["a"][8] == "1--2" and "textsuperscript" not in rows["constant"][6]
    assert all(len(row) == 9 for row in rows.values()) and text.count("{") == text.count("}")
    assert "booktabs" in text and text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")


def test_published_numbers_are_marked_in_every_format_and_have_no_rank(ranking):
    apart, among = with_published([ranking]), with_published([ranking], among=True)
    names = [row.model for row in apart[0].rows]
    assert names[:4] == ["a", "b", "submitted", "constant"] and names[4].startswith("LiFT") and len(names) == 14
    assert names[-1] == "Perception Encoder" and apart[0].rows[-1].mean is None
    among_names = [row.model for row in among[0].rows]
    assert among_names[:2] == names[4:6] and among_names.index("CTP") < among_names.index("a") < len(among_names) - 4
    assert among_names[-2:] == ["Perception Encoder", "constant"]
    for row in among[0].rows:
        assert not row.reported or (row.rank_interval is None and row.scores == {} and row.reported_by)
    for rankings in (apart, among):
        assert "CTP (reported)" in export(rankings, "table") and "reported: published, not" in export(rankings, "table")
        assert r"| CTP (reported) |" in export(rankings, "md")
        assert r"CTP \emph{(reported)} &" in export(rankings, "latex")
        rows = list(csv.DictReader(io.StringIO(export(rankings, "csv"))))
        assert {row["model"]: row["status"] for row in rows}["CTP"] == "reported"
        board = json.loads(export(rankings, "json"))["rankings"][0]["rows"]
        assert {row["model"]: row["status"] for row in board}["CTP"] == "reported"
        assert "reported" in export(rankings, "html")
    assert next(row for row in rows if row["model"] == "CTP")["mean"] == "67.1"
    part = replace(ranking, part="on a part of the data: 1 group")
    assert with_published([part]) == [part]


@pytest.mark.parametrize("name", [*HOSTILE, *SPREADSHEET, *TEX, *WEB])
def test_strangers_names_are_text_in_every_format(name, ranking):
    rankings = with_name(ranking, name)
    for form in set(FORMATS) - {"html"}:
        text = export(rankings, form)
        assert all(character.isprintable() or character == "\n" for character in text), form
    assert json.loads(export(rankings, "json"))["rankings"][0]["rows"][0]["model"] == name
    cell = next(csv.DictReader(io.StringIO(export(rankings, "csv"))))["model"]
    assert cell.strip(" ")[0] not in "=+-@＝\t\r" and "\n" not in cell
    if name.isprintable():
        assert (cell[1:] if cell.startswith("'") else cell) == name
    html = MarkdownIt("gfm-like", {"linkify": False}).render(export(rankings, "md"))
    assert len(re.findall(r"<td", html)) == 4 * 15
    assert not re.search(r"<(script|a|em|strong|code|s|img|ol|pre)\b|<!--", html)
    assert not re.search(r"https?://|www\.", html)
    line = next(line for line in export(rankings, "latex").splitlines() if "22.0M" in line)
    assert line.startswith(latex(name) + " & 22.0M & ")
    plain = re.sub(r"\\text[a-z]+\{\}|\\[{}$&#%_]|\{[-\[\]*]\}", "", latex(name))
    assert not re.search(r"[\\{}$&#%_^~`'\"<>|\[\]*-]", plain) and plain.isascii()


def test_what_github_would_link_or_notify_is_escaped_too():
    assert markdown("![a](b) @me #1 www.x.org") == r"\!\[a\](b) \@me \#1 www&#8203;.x.org"
    assert [markdown(text) for text in ("- a", "12. b", "12 c")] == [r"\- a", r"12\. b", "12 c"]


def test_a_row_of_a_submission_that_is_not_in_order_is_refused(tmp_path):
    rankings_of(tmp_path, make_record("m", {"epic": "e" * 64}, [0.7]))
    (tmp_path / "m0" / "submission.json").write_text('{"verified": "yes"}')
    with pytest.raises(ResultError, match="m0/submission.json can't be read: it lacks a proper verified"):
        rank(read_results([tmp_path]))


BROKEN = {
    "frames": ("embeddings", {"encoder": "x", "frames": {"count": "many"}}, "frames is 'many'"),
    "no frames": ("embeddings", {"encoder": "x"}, "KeyError 'frames'"),
    "controls": ("controls", {"gain": {"reason": "none"}}, "controls are gain, not order_blind"),
    "contamination": ("contamination", "much", "contamination is 'much'"),
    "a group": ("groups", [{"source": "epic", "group_id": 3, "n": 5}], "a group is 3 with 5 clips"),
    "accuracy": (
        "groups",
        [{"source": "epic", "group_id": "g", "n": 5, "accuracy": 1.5, "interval": [0, 1]}],
        "group 'g' has accuracy 1.5",
    ),
    "saw": ("model", {"name": "m", "dim": 4, "parameters": None, "saw": {"epic": 3}}, "saw is {'epic': 3}"),
    "speed": ("model", {"name": "m", "dim": 4, "parameters": None, "clips_per_s": -1}, "clips_per_s is -1"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_strangers_result_with_a_part_of_another_kind_is_one_line(broken, tmp_path):
    part, value, message = BROKEN[broken]
    with pytest.raises(ResultError) as caught:
        rankings_of(tmp_path, {**make_record("m", {"epic": "e" * 64}, [0.7]), part: value})
    assert f"m0/result.json is no result of cia eval: {message}" in str(caught.value)


def test_a_row_that_nothing_is_known_of_is_a_row_of_empty_cells(ranking):
    bare = [replace(ranking, rows=[Row("bare", {}, None), *ranking.rows])]
    assert re.search(r"│ bare +(│ +){9}│", export(bare, "table")), export(bare, "table")
    assert re.search(r"bare( &  ?){8}", export(bare, "latex"))
