from pathlib import Path

import pandas as pd
import pytest

from cia_bench.errors import CiaError
from cia_bench.review.clip_list import read_clip_list

IDS = ["P01_1", "P02_2"]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "name, content",
    [
        ("clips.txt", b"P01_1\r\n\n  P02_2  "),
        ("clips", "\ufeffP01_1\nP02_2\n".encode()),
        ("clips.csv", b'split,clip_id\ntrain,P01_1\ntrain,"P02_2"\n'),
        ("clips.CSV", "\ufeffclip_id\r\nP01_1\r\nP02_2\r\n".encode()),
    ],
)
def test_a_list_of_clips_is_text_or_csv(tmp_path, name, content):
    assert read_clip_list(written(tmp_path / name, content)) == IDS


def test_a_list_of_clips_may_be_any_parquet_file_with_their_ids(tmp_path):
    pd.DataFrame({"other": [1, 2], "clip_id": IDS}).to_parquet(tmp_path / "clips.parquet")
    assert read_clip_list(tmp_path / "clips.parquet") == IDS


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("clips.txt", b"\n \n", "lists no clip"),
        ("clips.txt", b"P01_1\nP\xff\n", "line 2 is not UTF-8 text"),
        ("clips.csv", b"clip,split\nP01_1,train\n", "has no column clip_id; its columns are clip, split"),
        ("clips.csv", b"", "has no column clip_id"),
        ("clips.csv", b"split,clip_id\ntrain,P01_1\ntrain\n", "row 2: clip_id is None, no clip id"),
        ("clips.csv", b"clip_id,split\nP01_1,train\n ,train\n", "row 2: clip_id is ' ', no clip id"),
        ("clips.csv", b'clip_id\n"' + b"x" * 200_000, "line 2 is no CSV: field larger than field limit"),
        ("clips.parquet", b"PAR1", "clips.parquet"),
    ],
)
def test_a_broken_list_of_clips_is_refused_by_file_and_row(tmp_path, name, content, told):
    with pytest.raises(CiaError) as refused:
        read_clip_list(written(tmp_path / name, content))
    assert name in str(refused.value) and told in str(refused.value)


@pytest.mark.parametrize("values, told", [([1, 2], "row 1: clip_id is 1"), (["P01_1", None], "row 2: clip_id is None")])
def test_a_parquet_list_without_ids_is_refused_by_row(tmp_path, values, told):
    pd.DataFrame({"clip_id": values}).to_parquet(tmp_path / "clips.parquet")
    with pytest.raises(CiaError, match=told):
        read_clip_list(tmp_path / "clips.parquet")


def test_a_missing_list_of_clips_is_told(tmp_path):
    with pytest.raises(CiaError, match="nowhere.txt is no file"):
        read_clip_list(tmp_path / "nowhere.txt")
