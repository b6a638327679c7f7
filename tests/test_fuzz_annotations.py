"""Annotation files changed in any way at all are read as documented, or refused in one line that names a file."""

import copy
import csv
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SAMPLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invented import charades_rows, write_charades, write_ssv2

from cia_bench.build import BuildSettings, build
from cia_bench.errors import AnnotationError, CiaError
from cia_bench.files import stays_inside
from cia_bench.sources import ACTION_COLUMNS, OPTIONAL_COLUMNS, load_source, read_actions
from cia_bench.sources.files import is_text
from cia_bench.verify import verify

TEMPLATES = ["Closing [something]", "Opening [something]", "Putting [something] into [something]", "Moving nothing"]
CLASSES = ["c006 Closing a door", "c008 Opening a door", "c148 Someone is dressing", "c155 Someone is undressing"]
fuzzed = settings(deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])

TIMES = ["nan", "-1.0", "inf", "1e3", "0", "00:00:01.00", "999:59:59.9", "9" * 400, "0.05", "1.0\n", "", "١٢", "12.25"]
IDS = [
    "..",
    "../x",
    "/abs",
    "a/../../b",
    "\0",
    "x\0",
    "AAAAA",
    "BAAAA",
    "1",
    "2",
    "P01",
    "P01_01",
    "P03_01_0",
    "0",
    "3",
]
TEXTS = [
    "open",
    "close",
    "pick-up",
    "put-down",
    "Closing [something",
    "Opening [something]",
    "c006 1.0 2.0;",
    "[]",
    " ",
]
MANY = [
    "c008 1 2;c006 1 2",
    "c006 2 1",
    "c999 0 1",
    "c006 1 99999",
    "c006 40.04 50.06;c155 40.04 50.06",
    "\u2028\x1b[2J",
]
cell_texts = st.sampled_from([*TIMES, *IDS, *TEXTS, *MANY]) | st.text(max_size=8) | st.floats().map(str)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | cell_texts | st.sampled_from(["\ud800", "a\udfff"])
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
places = st.integers(0, 10_000)


@st.composite
def edits(draw) -> tuple:
    """A change of a table: which, at which row and column, and what stands there then."""
    kind = draw(st.sampled_from(["cell", "cell", "cell", "row", "copy", "delete", "move", "shorten", "column"]))
    return kind, draw(places), draw(places), draw(places), draw(cell_texts), draw(values)


@st.composite
def damages(draw) -> tuple:
    """A change of a file's bytes."""
    kind = draw(st.sampled_from(["cut", "flip", "insert", "repeat", "encode"]))
    return kind, draw(places), draw(places), draw(st.binary(min_size=1, max_size=6))


changes = st.tuples(
    st.sampled_from(range(60)),  # which of the files: of at most five, each as likely
    st.lists(edits(), max_size=3),
    st.none() | st.none() | damages(),
)


def edit_csv(content: bytes, steps: list[tuple]) -> bytes:
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    for kind, one, other, column, text, _ in steps:
        here, there = one % max(len(rows), 1), other % max(len(rows), 1)
        if not rows or not rows[here]:
            break
        column %= len(rows[here])
        if kind == "cell":
            rows[here][column] = text
        elif kind == "row":
            rows[here] = [text] * len(rows[here])
        elif kind == "copy":  # of another row, but for one cell
            rows.insert(here, [*rows[there]])
            if rows[here]:
                rows[here][column % len(rows[here])] = text
        elif kind == "delete":
            del rows[here]
        elif kind == "move":
            rows[here], rows[there] = rows[there], rows[here]
        elif kind == "shorten":
            del rows[here][column]
        else:
            rows = [[*row[:column], *row[column + 1 :]] for row in rows]
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode("utf-8", "surrogatepass")


def edit_json(content: bytes, steps: list[tuple]) -> bytes:
    rows = json.loads(content)
    if isinstance(rows, dict):  # the labels
        for kind, one, _, _, text, value in steps:
            name = [*rows, text][one % (len(rows) + 1)]
            if kind in ("delete", "move", "column"):
                rows.pop(name, None)
            else:
                rows[name] = value
        return json.dumps(rows).encode()
    for kind, one, other, column, text, value in steps:
        if not rows:
            break
        here, there = one % len(rows), other % len(rows)
        row = rows[here]
        if kind in ("cell", "shorten", "column") and isinstance(row, dict) and row:
            name = [*row][column % len(row)]
            if kind == "cell":
                row[name] = [value] if name == "placeholders" and one % 2 else text if one % 3 else value
            else:
                del row[name]
        elif kind == "row":
            rows[here] = value
        elif kind == "copy":
            rows.insert(here, copy.deepcopy(rows[there]))
            if isinstance(rows[here], dict):
                rows[here]["id"] = text
        elif kind == "delete":
            del rows[here]
        elif kind == "move":
            rows[here], rows[there] = rows[there], rows[here]
    return json.dumps(rows).encode()


def edit_lines(content: bytes, steps: list[tuple]) -> bytes:
    lines = content.decode().splitlines()
    for kind, one, other, _, text, _ in steps:
        if not lines:
            break
        here = one % len(lines)
        if kind in ("delete", "shorten"):
            del lines[here]
        elif kind == "copy":
            lines.insert(here, lines[other % len(lines)])
        else:
            lines[here] = f"c{other % 200:03d} {text}" if other % 2 else text
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def damage(content: bytes, step: tuple) -> bytes:
    kind, one, other, more = step
    here, there = one % (len(content) + 1), other % (len(content) + 1)
    if kind == "cut":
        return content[:here]
    if kind == "flip":
        return content[:here] + more + content[here + len(more) :]
    if kind == "insert":
        return content[:here] + more + content[here:]
    if kind == "repeat":
        return content[:here] + content[min(here, there) :]
    return content.decode("utf-8", "replace").encode(["utf-16", "latin-1", "utf-8-sig"][one % 3], "replace")


EDITORS = {".csv": edit_csv, ".json": edit_json, ".txt": edit_lines}


def changed(files: dict[str, bytes], change: tuple) -> dict[str, bytes]:
    which, steps, step = change
    name = sorted(files)[which % len(files)]
    content = EDITORS[Path(name).suffix](files[name], steps)
    return {**files, name: content if step is None else damage(content, step)}


def write(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """A small valid set of files of each source."""
    root = tmp_path_factory.mktemp("valid")
    folders = {
        "ssv2": write_ssv2(root / "ssv2", TEMPLATES, 40, 40),
        "charades": write_charades(
            root / "charades", CLASSES, charades_rows(CLASSES, 5, 0, 3), charades_rows(CLASSES, 5, 5, 3)
        ),
        "epic": SAMPLE,
    }
    read = {name: {path.name: path.read_bytes() for path in folder.iterdir()} for name, folder in folders.items()}
    for name in ("EPIC_100_train.csv", "EPIC_100_validation.csv"):  # fewer rows, so that each change has a chance
        read["epic"][name] = b"".join(read["epic"][name].splitlines(keepends=True)[:60])
    return read


def check_frame(frame: pd.DataFrame, source: str) -> None:
    assert tuple(frame.columns) == (*ACTION_COLUMNS, *OPTIONAL_COLUMNS)
    assert frame.split.isin(["train", "validation"]).all()
    assert frame.start_s.dtype == frame.stop_s.dtype == frame.duration_s.dtype == float
    assert frame.several_objects.dtype == bool
    is_whole = frame.start_s.isna() & frame.stop_s.isna()
    assert (is_whole | ((frame.start_s >= 0) & (frame.start_s < frame.stop_s) & np.isfinite(frame.stop_s))).all()
    assert is_whole.all() if source == "ssv2" else not is_whole.any()
    assert not np.isinf(frame.duration_s).any()
    for column in ("clip_id", "video", "verb", "noun", "text", "split"):
        assert frame[column].map(is_text).all()
    assert (frame[["clip_id", "video", "verb", "noun"]] != "").all(axis=None)
    assert (frame.groupby("clip_id")[["split", "video"]].nunique() == 1).all(axis=None)
    interval = load_source(source).interval
    for row in frame.itertuples():
        assert stays_inside(row.video) and stays_inside(row.clip_id)
        assert row.clip_id.isascii() and row.clip_id.isprintable()
        video, start_s, stop_s = interval(row.clip_id)
        assert video == row.video
        assert source == "ssv2" or 0 <= start_s < 4_000_000 and 0 <= stop_s < 4_000_000


def check_refusal(error: CiaError, folder: Path, files: dict[str, bytes]) -> None:
    assert str(error).isprintable() and len(str(error)) < 2000
    assert any(str(folder / name) in str(error) for name in files)


def check_reading(source: str, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = write(files, Path(root) / "annotations")
        frames = {}
        for skip_bad_rows in (False, True):
            try:
                actions = read_actions(source, folder, skip_bad_rows)
            except AnnotationError as error:
                check_refusal(error, folder, files)
                assert not skip_bad_rows or "--skip-bad-rows" not in str(error)
                continue
            check_frame(actions.frame, source)
            frames[skip_bad_rows] = actions.frame
            for fault in actions.skipped:
                assert fault["file"] in files and fault["row"] >= 1 and fault["reason"]
                assert "{" not in fault["reason"] or "{" in str(files[fault["file"]])
            assert skip_bad_rows or not actions.skipped
        if False in frames:  # what is good is read the same, whether or not bad rows would be skipped
            pd.testing.assert_frame_equal(frames[False], frames[True])


@given(change=changes)
@settings(fuzzed, max_examples=30)
@pytest.mark.parametrize("source", ["ssv2", "charades", "epic"])
def test_changed_files_are_read_as_documented_or_refused_in_one_line(source, valid, change):
    check_reading(source, changed(valid[source], change))


def check_building(source: str, skip_bad_rows: bool, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder, out = write(files, Path(root) / "annotations"), Path(root) / "out"
        try:
            build(source, folder, out, BuildSettings(min_phrase_clips=1, skip_bad_rows=skip_bad_rows))
        except CiaError as error:
            assert str(error).isprintable()
            assert not out.exists()
            return
        assert verify(out) == []


@given(change=changes, other=changes)
@settings(fuzzed, max_examples=4)
@pytest.mark.parametrize("skip_bad_rows", [False, True])
@pytest.mark.parametrize("source", ["ssv2", "charades", "epic"])
def test_a_build_of_changed_files_is_sound_or_leaves_nothing(source, skip_bad_rows, valid, change, other):
    check_building(source, skip_bad_rows, changed(changed(valid[source], (*change[:2], None)), other))


@pytest.mark.parametrize("source", ["ssv2", "charades", "epic"])
def test_the_unchanged_files_are_read_and_built(source, valid, tmp_path):
    check_reading(source, valid[source])
    folder = write(valid[source], tmp_path / "annotations")
    assert len(read_actions(source, folder).frame) > 20
    for profile in ("paper", "extended"):
        settings_of_profile = BuildSettings(profile=profile, min_phrase_clips=1)
        try:
            build(source, folder, tmp_path / profile, settings_of_profile)
        except CiaError:
            assert profile == "extended"  # no verdict may have accepted any of so few clips
            continue
        assert verify(tmp_path / profile) == []


def test_most_changes_are_felt(valid):
    """The fuzzing itself: some changes are refused, some are not, and all files are reached."""
    names, refusals, reads = set(), 0, 0

    @given(change=changes)
    @settings(fuzzed, max_examples=20)
    def look(number, change):
        nonlocal refusals, reads
        files = changed(valid["charades"], (number, *change[1:]))
        names.update(name for name in files if files[name] != valid["charades"][name])
        with tempfile.TemporaryDirectory() as root:
            try:
                read_actions("charades", write(files, Path(root) / "a"))
                reads += 1
            except AnnotationError:
                refusals += 1

    for number in range(len(valid["charades"])):
        look(number)
    assert names == set(valid["charades"]) and refusals > 10 and reads > 10
