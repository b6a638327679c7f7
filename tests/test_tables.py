import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cia_bench.errors import EmbeddingError, TableError
from cia_bench.tables import (
    CANDIDATES,
    CLIPS,
    FAILURES,
    GROUPS,
    PREDICTIONS,
    STORED,
    read_embeddings,
    write_embeddings,
)

GROUP = {
    "group_id": "toy/open-close/door",
    "source": "toy",
    "forward": "open",
    "reverse": "close",
    "noun": "door",
    "published_id": None,
    "train_forward": 2,
    "train_reverse": 2,
    "validation_forward": 1,
    "validation_reverse": 1,
}
CLIP = {
    "group_id": "toy/open-close/door",
    "clip_id": "a",
    "source": "toy",
    "video": "a.mp4",
    "start_s": 0.1 + 0.2,
    "stop_s": 1.0,
    "label": 1,
    "verb": "open",
    "noun": "door",
    "text": "opens the door, slowly\n",
    "split": "train",
    "strict_split": "validation",
    "subject": None,
    "hazards": ["short", "both verbs"],
}
ROWS = {
    "groups": (GROUPS, [{**GROUP, "status": "published"}]),
    "candidates": (
        CANDIDATES,
        [{**GROUP, "lexicon_row": "list.csv:1", "hazards": [], "risk": 0.1 + 0.2, "ready": True}],
    ),
    "clips": (CLIPS, [CLIP, {**CLIP, "clip_id": "b", "start_s": None, "stop_s": None, "subject": "P01"}]),
    "failures": (
        FAILURES,
        [
            {"clip_id": "a", "stage": "decode", "reason": "no frame", "key": "k"},
            {"clip_id": "b", "stage": "decode", "reason": "does not exist", "key": None},
        ],
    ),
    "stored": (
        STORED,
        [
            {
                **{"clip_id": "a", "key": "k", "made_by": "m", "video": "a.mp4", "split": "train"},
                **{"times_s": [0.0, 0.1 + 0.2], "cut": False},
            }
        ],
    ),
    "predictions": (
        PREDICTIONS,
        [
            {
                **{"group_id": "g", "clip_id": clip_id, "source": "toy", "video": "a.mp4", "subject": subject},
                **{"label": 1, "constant": 1, "prediction": 0, "score": -0.5},
            }
            for clip_id, subject in (("a", None), ("b", "P01"))
        ],
    ),
}


def same(value, expected) -> bool:
    if expected is None:
        return value is None or value != value
    if isinstance(expected, list):
        return list(value) == expected
    return value == expected


@pytest.mark.parametrize("name", ROWS)
def test_a_table_reads_back_exactly_what_was_written(name, tmp_path):
    table, rows = ROWS[name]
    table.write(tmp_path / "t.parquet", pd.DataFrame(rows))
    read = table.read(tmp_path / "t.parquet").to_dict("records")
    assert len(read) == len(rows)
    for found, expected in zip(read, rows, strict=True):
        assert list(found) == table.schema.names
        assert all(same(found[column], expected[column]) for column in expected), found


def test_identical_content_gives_identical_bytes_in_whatever_order(tmp_path):
    rows = [{**CLIP, "clip_id": clip_id} for clip_id in "abcdef"]
    forwards = pd.DataFrame(rows)
    backwards = forwards[::-1][list(reversed(forwards.columns))]
    CLIPS.write(tmp_path / "1", forwards)
    CLIPS.write(tmp_path / "2", backwards)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


WRITE_TWICE = """
import resource, sys
from pathlib import Path
import pandas as pd
from cia_bench.tables import FAILURES
ids = lambda n: [f"{i:09d}" for i in range(n)]
rows = lambda n: pd.DataFrame({"clip_id": ids(n), "stage": "decode", "reason": "none", "key": "k"})
FAILURES.write(Path(sys.argv[1]), rows(3))
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
try:
    FAILURES.write(Path(sys.argv[1]), rows(100_000))
except OSError as error:
    print(error.strerror or error)
"""


def test_a_writer_that_fails_on_the_disk_leaves_the_old_file(tmp_path):
    command = [sys.executable, "-c", WRITE_TWICE, tmp_path / "t.parquet"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "File too large" in run.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    assert len(FAILURES.read(tmp_path / "t.parquet")) == 3


def test_what_another_program_wrote_with_pandas_is_read(tmp_path):
    table, rows = ROWS["clips"]
    table.write(tmp_path / "ours.parquet", pd.DataFrame(rows))
    pd.read_parquet(tmp_path / "ours.parquet").to_parquet(tmp_path / "theirs.parquet", index=False)
    read = table.read(tmp_path / "theirs.parquet")
    assert table.to_arrow(read).equals(table.to_arrow(table.read(tmp_path / "ours.parquet")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns=["label", "video"]), "missing column video, label"),
        (lambda frame: frame.assign(extra=1), "unknown column extra"),
        (lambda frame: frame.assign(label=["one", "two"]), "label"),
        (lambda frame: frame.assign(split=[None, "train"]), "column split has 1 nulls"),
        (lambda frame: frame.assign(clip_id="a"), r"1 repeated group_id\+clip_id, the first"),
    ],
)
def test_a_writer_refuses_what_is_not_its_schema(change, message, tmp_path):
    with pytest.raises(TableError, match=message):
        CLIPS.write(tmp_path / "t.parquet", change(pd.DataFrame(ROWS["clips"][1])))
    assert not list(tmp_path.iterdir())


def test_a_reader_names_every_column_that_is_wrong(tmp_path):
    frame = pd.DataFrame([CLIP]).drop(columns="verb").assign(label="one", extra=2)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    with pytest.raises(TableError) as error:
        CLIPS.read(tmp_path / "t.parquet")
    for part in ("t.parquet", "missing column verb", "unknown column extra", "column label is", "not int8"):
        assert part in str(error.value)


def test_a_reader_refuses_nulls_where_none_belong(tmp_path):
    loose = pa.schema([field.with_nullable(True) for field in CLIPS.schema])
    pq.write_table(pa.Table.from_pylist([{**CLIP, "video": None}], loose), tmp_path / "t.parquet")
    with pytest.raises(TableError, match="column video has 1 nulls"):
        CLIPS.read(tmp_path / "t.parquet")


def test_a_missing_or_foreign_file_is_named(tmp_path):
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(TableError, match=r"none.parquet does not exist"):
        GROUPS.read(tmp_path / "none.parquet")
    with pytest.raises(TableError, match=r"text.parquet can't be read as Parquet"):
        GROUPS.read(tmp_path / "text.parquet")


@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 5)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_embeddings_read_back_exactly_sorted_by_id(shape, dtype, tmp_path):
    vectors = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    write_embeddings(tmp_path / "e.parquet", ["c", "a", "b"], vectors)
    clip_ids, read = read_embeddings(tmp_path / "e.parquet")
    assert clip_ids.tolist() == ["a", "b", "c"]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, vectors[[1, 2, 0]])


def test_anyone_can_read_embeddings_with_pandas(tmp_path):
    write_embeddings(tmp_path / "e.parquet", ["a", "b"], np.float32([[1, 2], [3, 4]]))
    frame = pd.read_parquet(tmp_path / "e.parquet")
    assert [list(vector) for vector in frame.embedding] == [[1, 2], [3, 4]]


def test_lists_of_a_fixed_size_are_read(tmp_path):
    lists = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0]), 2)
    pq.write_table(pa.table({"clip_id": ["b", "a"], "embedding": lists}), tmp_path / "e.parquet")
    np.testing.assert_array_equal(read_embeddings(tmp_path / "e.parquet")[1], [[1, 2], [3, 4]])


def test_a_null_among_numbers_is_nan(tmp_path):
    pd.DataFrame({"clip_id": ["a"], "embedding": [[1.0, None]]}).to_parquet(tmp_path / "e.parquet")
    np.testing.assert_array_equal(read_embeddings(tmp_path / "e.parquet")[1], [[1.0, np.nan]])


def test_embeddings_written_with_pandas_are_read(tmp_path):
    pd.DataFrame({"clip_id": ["b", "a"], "embedding": [[1.5, 2.5], [3.5, 4.5]], "note": ["x", "y"]}).to_parquet(
        tmp_path / "e.parquet"
    )
    clip_ids, vectors = read_embeddings(tmp_path / "e.parquet")
    assert clip_ids.tolist() == ["b", "a"]
    np.testing.assert_array_equal(vectors, [[1.5, 2.5], [3.5, 4.5]])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"id": ["a"], "embedding": [[1.0]]}, "missing column clip_id; its columns are id, embedding"),
        ({"clip_id": ["a", "b"], "embedding": [[1.0, 2.0], [3.0]]}, "embedding of 'b' has 1 numbers, that of 'a' 2"),
        ({"clip_id": ["a", "b"], "embedding": [[1.0], None]}, "column embedding has nulls"),
        ({"clip_id": ["a"], "embedding": ["text"]}, "not a tensor or a list of numbers"),
        ({"clip_id": ["a"], "embedding": [["text"]]}, "not only numbers"),
    ],
)
def test_embeddings_that_are_none_are_refused(frame, message, tmp_path):
    pd.DataFrame(frame).to_parquet(tmp_path / "e.parquet", index=False)
    with pytest.raises(EmbeddingError, match=message):
        read_embeddings(tmp_path / "e.parquet")


@pytest.mark.parametrize(
    ("clip_ids", "vectors"),
    [
        (["a"], np.zeros((1, 2))),
        (["a"], np.zeros(2, np.float32)),
        (["a", "a"], np.zeros((2, 2), np.float32)),
        (["a"], np.zeros((2, 2), np.float32)),
    ],
)
def test_a_writer_of_embeddings_refuses_other_shapes_types_and_ids(clip_ids, vectors, tmp_path):
    with pytest.raises(EmbeddingError):
        write_embeddings(tmp_path / "e.parquet", clip_ids, vectors)
    assert not list(tmp_path.iterdir())
