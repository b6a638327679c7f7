import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import SHARED, snapshot
from invented import SSV2_NEW, SSV2_OLD, ssv2_rows, write_ssv2

from cia_bench.errors import AnnotationError
from cia_bench.files import sha256_of
from cia_bench.sources import read_actions, ssv2

TRAIN = "something-something-v2-train.json"
VALIDATION = "something-something-v2-validation.json"
LABELS = "something-something-v2-labels.json"
HINT = "; mend it, or leave out such rows with --skip-bad-rows"
TEMPLATES = [
    "Closing [something]",
    "Opening [something]",
    "Putting [something] into [something]",
    "Taking [one of many similar things on the table]",
    "Stacking [number of] [something]",
    "[Something] falling like a rock",
    "Moving nothing",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_ssv2(tmp_path / "ssv2", TEMPLATES, 14, 14)


def rewrite(folder: Path, rows: list, name: str = TRAIN) -> None:
    (folder / name).write_text(json.dumps(rows))


def rows_of(folder: Path, name: str = TRAIN) -> list[dict]:
    return json.loads((folder / name).read_text())


def entry(clip_id: str, template: str, *placeholders: str, label: str = "closing it") -> dict:
    return {"id": clip_id, "label": label, "template": template, "placeholders": list(placeholders)}


def refused(folder: Path) -> str:
    with pytest.raises(AnnotationError) as error:
        read_actions("ssv2", folder)
    assert str(error.value).isprintable()
    return str(error.value)


def test_a_row_becomes_one_action(folder):
    rewrite(folder, [entry("74225", "Putting [something] into [something]", "red pot holder", "a box", label="text")])
    frame = read_actions("ssv2", folder).frame
    frame = frame[frame.split == "train"]
    row = frame.iloc[0]
    assert len(frame) == 1
    assert row[["start_s", "stop_s", "duration_s", "subject", "verb_class"]].isna().all()
    assert row.drop(["start_s", "stop_s", "duration_s", "subject", "verb_class"]).to_dict() == {
        "clip_id": "74225",
        "video": "74225.webm",
        "verb": "Putting [something] into [something]",
        "noun": "red pot holder",
        "text": "text",
        "split": "train",
        "several_objects": False,
    }


def test_every_row_is_kept_in_the_files_order(folder):
    frame = read_actions("ssv2", folder).frame
    expected = [*rows_of(folder), *rows_of(folder, VALIDATION)]
    assert frame.clip_id.tolist() == [row["id"] for row in expected]
    assert frame.verb.tolist() == [row["template"] for row in expected]
    assert frame.text.tolist() == [row["label"] for row in expected]
    assert frame.split.tolist() == ["train"] * 14 + ["validation"] * 14


def test_older_and_newer_names_and_the_labels_folder_itself_are_the_same_source(tmp_path):
    old = read_actions("ssv2", write_ssv2(tmp_path / "old", TEMPLATES, 30, 20, SSV2_OLD))
    new_folder = write_ssv2(tmp_path / "new", TEMPLATES, 30, 20, SSV2_NEW)
    assert sorted(snapshot(new_folder)) == ["labels/labels.json", "labels/train.json", "labels/validation.json"]
    for folder in (new_folder, new_folder / "labels"):
        new = read_actions("ssv2", folder)
        pd.testing.assert_frame_equal(new.frame, old.frame)
        assert new.inputs == old.inputs  # named as in the older download, so that a build is the same


def test_faults_name_the_file_that_is_there(tmp_path):
    folder = write_ssv2(tmp_path, TEMPLATES, 3, 3, SSV2_NEW)
    rewrite(folder, [3], "labels/train.json")
    assert f"{folder / 'labels' / 'train.json'} row 1: it is int, not an object" in refused(folder)


@pytest.mark.parametrize(
    ("template", "placeholders", "noun"),
    [
        ("Closing [something]", ["a door"], "a door"),
        ("Taking [one of many similar things on the table]", ["pen"], "pen"),
        ("Stacking [number of] [something]", ["two", "cups"], "two"),
        ("[Something] falling like a rock", ["stone"], "stone"),
        ("Moving nothing", [], "something"),
        ("Closing [something]", [""], "something"),
        ("Closing [something]", ["  "], "something"),
        ("Closing [something]", [" [box] "], "[box]"),
        ("Closing [something]", ["дверь 🚪"], "дверь 🚪"),
    ],
)
def test_the_noun_is_what_fills_the_first_bracket(template, placeholders, noun, folder):
    rewrite(folder, [entry("1000", template, *placeholders)])
    row = read_actions("ssv2", folder).frame.iloc[0]
    assert (row.verb, row.noun) == (template, noun)


@pytest.mark.parametrize(
    ("placeholder", "several"), [("a pen and a cup", True), ("pen, cup", True), ("sand", False), ("android", False)]
)
def test_a_placeholder_may_name_several_objects(placeholder, several, folder):
    rewrite(folder, [entry("1000", "Putting [something] into [something]", "x", placeholder)])
    assert read_actions("ssv2", folder).frame.several_objects[0] == several


@pytest.fixture(scope="session")
def real_templates() -> list[str]:
    path = SHARED / "reference" / "ssv2_templates.txt"
    if not path.is_file():
        pytest.skip("the list of real templates is not beside this checkout (../shared/reference)")
    return path.read_text().splitlines()


def test_all_real_templates_are_read(real_templates, tmp_path):
    assert len(real_templates) == 174
    frame = read_actions("ssv2", write_ssv2(tmp_path, real_templates, 174, 174)).frame
    assert set(frame.verb[frame.split == "train"]) == set(frame.verb[frame.split == "validation"])
    assert set(frame.verb) == set(real_templates)
    assert (frame.noun != "something").all()  # every real template has a bracket


def test_a_clip_id_names_its_video():
    assert ssv2.interval("138629") == ("138629.webm", None, None)


@pytest.mark.parametrize("clip_id", ["", "x", "1.5", "-1", "١٢", "12\n", "../1", "1/2", "²", "138629.webm"])
def test_other_ids_name_no_video(clip_id):
    with pytest.raises(ValueError, match="is not a number like 138629"):
        ssv2.interval(clip_id)


BAD_ROWS = [
    (3, "it is int, not an object"),
    (None, "it is NoneType, not an object"),
    ([["id", "1"]], "it is list, not an object"),
    ("text", "it is str, not an object"),
    ({}, "it lacks id, label, template, placeholders"),
    ({"id": "1000", "label": "x"}, "it lacks template, placeholders"),
    ({**entry("1000", "Moving nothing"), "id": 1000}, "id is 1000, not text"),
    ({**entry("1000", "Moving nothing"), "id": None}, "id is None, not text"),
    ({**entry("1000", "Moving nothing"), "id": float("nan")}, "id is nan, not text"),
    ({**entry("1000", "Moving nothing"), "label": ["x"]}, "label is ['x'], not text"),
    ({**entry("1000", "Moving nothing"), "label": "half \ud83d"}, r"label is 'half \ud83d', not text"),
    ({**entry("1000", "Moving nothing"), "template": {"a": 1}}, "template is {'a': 1}, not text"),
    ({**entry("1000", "Moving nothing"), "label": [0] * 500}, "label is [" + "0, " * 99 + "0,..., not text"),
    (entry("", "Moving nothing"), "id '' is not a number"),
    (entry("x", "Moving nothing"), "id 'x' is not a number"),
    (entry("../1", "Moving nothing"), "id '../1' is not a number"),
    (entry("/1", "Moving nothing"), "id '/1' is not a number"),
    (entry("1\0", "Moving nothing"), r"id '1\x00' is not a number"),
    (entry("1\n", "Moving nothing"), r"id '1\n' is not a number"),
    (entry("١٢", "Moving nothing"), "id '١٢' is not a number"),
    (entry("-1", "Moving nothing"), "id '-1' is not a number"),
    (entry("2", "Moving nothing"), "id '2' stands in an earlier row too"),
    (entry("1000", "Dancing"), "id '1000': template 'Dancing' is not in the labels file"),
    (entry("1000", ""), "id '1000': template '' is not in the labels file"),
    (entry("1000", "Closing [something", "x"), "template 'Closing [something' is not in the labels file"),
    (entry("1000", "Closing ]something[", "x"), "template 'Closing ]something[' is not in the labels file"),
    (entry("1000", "Closing [[something]]", "x", "y"), "template 'Closing [[something]]' is not in the labels file"),
    (entry("1000", "Closing something[]", "x"), "template 'Closing something[]' is not in the labels file"),
    (
        entry("1000", "Closing [something]"),
        "id '1000': placeholders [] do not fill the brackets of 'Closing [something]'",
    ),
    (
        entry("1000", "Closing [something]", "a", "b"),
        "placeholders ['a', 'b'] do not fill the brackets of 'Closing [something]'",
    ),
    (entry("1000", "Moving nothing", "a"), "placeholders ['a'] do not fill the brackets of 'Moving nothing'"),
    ({**entry("1000", "Closing [something]"), "placeholders": "a"}, "placeholders 'a' do not fill"),
    ({**entry("1000", "Closing [something]"), "placeholders": None}, "placeholders None do not fill"),
    ({**entry("1000", "Closing [something]"), "placeholders": {"0": "a"}}, "placeholders {'0': 'a'} do not fill"),
    ({**entry("1000", "Closing [something]"), "placeholders": [3]}, "placeholders [3] do not fill"),
    ({**entry("1000", "Closing [something]"), "placeholders": [None]}, "placeholders [None] do not fill"),
    ({**entry("1000", "Closing [something]"), "placeholders": [["a"]]}, "placeholders [['a']] do not fill"),
    (entry("1000", "Closing [something]", "\udfff"), r"placeholders ['\udfff'] do not fill"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_ROWS)
def test_a_bad_row_is_named_with_its_file_or_skipped(bad, message, folder):
    rows = rows_of(folder)
    expected = read_actions("ssv2", folder).frame
    rewrite(folder, [*rows[:5], bad, *rows[5:]])
    refusal = refused(folder)
    assert refusal.startswith(f"{folder / TRAIN} row 6: ") and message in refusal and refusal.endswith(HINT)
    skipping = read_actions("ssv2", folder, skip_bad_rows=True)
    assert [(fault["file"], fault["row"]) for fault in skipping.skipped] == [(TRAIN, 6)]
    assert message in skipping.skipped[0]["reason"]
    pd.testing.assert_frame_equal(skipping.frame, expected)


def test_a_clip_of_both_splits_is_refused_in_the_validation_file(folder):
    expected = read_actions("ssv2", folder).frame
    rows = rows_of(folder, VALIDATION)
    rewrite(folder, [*rows, entry("7", "Moving nothing")], VALIDATION)
    assert refused(folder) == f"{folder / VALIDATION} row 15: id '7' is in the training file too{HINT}"
    skipping = read_actions("ssv2", folder, skip_bad_rows=True)
    assert skipping.skipped == [{"file": VALIDATION, "row": 15, "reason": "id '7' is in the training file too"}]
    pd.testing.assert_frame_equal(skipping.frame, expected)


def test_all_bad_rows_are_listed_each_once(folder):
    rows = rows_of(folder)
    rewrite(folder, [None, *rows, {**rows[0], "template": "Dancing"}, rows[3]])
    skipped = read_actions("ssv2", folder, skip_bad_rows=True).skipped
    assert [(fault["row"], fault["reason"]) for fault in skipped] == [
        (1, "it is NoneType, not an object"),
        (16, "id '1' stands in an earlier row too"),
        (17, "id '4' stands in an earlier row too"),
    ]


def test_a_file_without_one_good_row_gives_no_action(folder):
    rewrite(folder, [None, 3, entry("x", "Moving nothing")])
    skipping = read_actions("ssv2", folder, skip_bad_rows=True)
    assert len(skipping.skipped) == 3 and set(skipping.frame.split) == {"validation"}
    rewrite(folder, [{**row, "placeholders": None} for row in rows_of(folder, VALIDATION)], VALIDATION)
    assert len(read_actions("ssv2", folder, skip_bad_rows=True).frame) == 0


BAD_FILES = [
    (b"", "can't be read as JSON: Expecting value"),
    (b"[]", "the list is empty"),
    (b"{}", "it is no JSON list"),
    (b"null", "it is no JSON list"),
    (b"3", "it is no JSON list"),
    (b'"text"', "it is no JSON list"),
    (b"\0" * 50, "can't be read as JSON"),
    (b"id,label\n1,x\n", "can't be read as JSON: Expecting value: line 1 column 1"),
    (b"[" * 100_000, "can't be read as JSON: maximum recursion depth exceeded"),
    (b"[" * 100_000 + b"]" * 100_000, "can't be read as JSON: maximum recursion depth exceeded"),
    (b'{"a":' * 100_000, "can't be read as JSON: maximum recursion depth exceeded"),
    (b"[" + b"9" * 5000 + b"]", "can't be read as JSON: Exceeds the limit"),
    ("[]".encode("utf-16"), "is not UTF-8 text: invalid start byte at byte 0, in line 1"),
    (b'[\n{"id": "\xe4"}]', "is not UTF-8 text: invalid continuation byte at byte 10, in line 2"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
@pytest.mark.parametrize("name", [TRAIN, VALIDATION, LABELS])
def test_a_file_of_the_wrong_kind_is_refused_even_when_skipping(name, content, message, folder):
    (folder / name).write_bytes(content)
    if name == LABELS and "list" in message:
        message = 'it is not like {"Closing something": "0", ...}'
    with pytest.raises(AnnotationError) as error:
        read_actions("ssv2", folder, skip_bad_rows=True)
    assert str(error.value).startswith(str(folder / name)) and message in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", [TRAIN, VALIDATION, LABELS])
def test_a_file_cut_anywhere_is_refused(name, folder):
    content = (folder / name).read_bytes()
    for length in range(0, len(content), 7):
        (folder / name).write_bytes(content[:length])
        assert str(folder / name) in refused(folder)


def test_nesting_that_is_read_can_be_told_too(folder):
    for depth in (10, 300, 900, 950, 970, 980, 990, 1000):
        rows = json.dumps([entry("1000", "Moving nothing")])
        (folder / TRAIN).write_text(rows.replace("[]", "[" * depth + "]" * depth))
        assert len(refused(folder)) < 1000


def test_labels_that_lack_a_template_refuse_its_first_row(folder):
    labels = rows_of(folder, LABELS)
    del labels["Opening something"]
    rewrite(folder, labels, LABELS)
    assert "train.json row 2: id '2': template 'Opening [something]' is not in the labels file" in refused(folder)


def test_missing_files_are_named_with_where_to_get_them(tmp_path):
    write_ssv2(tmp_path, TEMPLATES, 3, 3)
    (tmp_path / VALIDATION).unlink()
    assert f"annotation folder {tmp_path} lacks {VALIDATION}; sign in at https://" in refused(tmp_path)
    assert f"does not exist; it should hold {TRAIN}, {VALIDATION}, {LABELS}; sign in" in refused(tmp_path / "none")


def test_broken_rows_of_the_release_itself_are_skipped_without_being_asked_to(folder, monkeypatch):
    expected = read_actions("ssv2", folder).frame
    rewrite(folder, [*rows_of(folder), 3])
    monkeypatch.setattr(ssv2, "RELEASED", {TRAIN: sha256_of(folder / TRAIN)}, raising=False)
    actions = read_actions("ssv2", folder)
    assert actions.skipped == [{"file": TRAIN, "row": 15, "reason": "it is int, not an object"}]
    pd.testing.assert_frame_equal(actions.frame, expected)
    rewrite(folder, [3], VALIDATION)  # is none of the release's
    assert VALIDATION in refused(folder)


def test_the_invented_rows_are_as_the_owner_writes_them():
    row = ssv2_rows(["Putting [something] into [something]"], 1, 5, 0)[0]
    assert set(row) == {"id", "label", "template", "placeholders"} and row["id"] == "5"
    assert row["label"] == "putting {} into {}".format(*row["placeholders"])
