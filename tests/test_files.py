import os

import pytest

from cia_bench.errors import WriteError
from cia_bench.files import sha256_of, whole_files, write_json


def test_files_appear_together_when_the_block_ends(tmp_path):
    folder = tmp_path / "new" / "folder"
    with whole_files(folder, seal="b") as scratch:
        (scratch / "a").write_text("1")
        (scratch / "b").write_text("2")
        assert not (folder / "a").exists()
    assert sorted(os.listdir(folder)) == ["a", "b"]


def test_a_failing_block_leaves_old_files_and_no_new_folder(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_text("before")
    for folder in ("old", "new/deep"):
        with pytest.raises(ZeroDivisionError), whole_files(tmp_path / folder, seal="a") as scratch:
            (scratch / "a").write_text("after")
            raise ZeroDivisionError
    assert (tmp_path / "old" / "a").read_text() == "before"
    assert os.listdir(tmp_path / "old") == ["a"]
    assert not (tmp_path / "new").exists()


def test_the_seal_moves_last(tmp_path, monkeypatch):
    moved = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (moved.append(new.name), real(old, new)))
    with whole_files(tmp_path, seal="a.json") as scratch:
        for name in ("a.json", "b", "c"):
            (scratch / name).write_text("")
    assert moved == ["b", "c", "a.json"]


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path):
    left = tmp_path / ".part-a"
    left.mkdir()
    (left / "half").write_text("half")
    with whole_files(tmp_path, seal="a") as scratch:
        (scratch / "a").write_text("whole")
    assert os.listdir(tmp_path) == ["a"]


def test_a_place_that_can_not_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WriteError, match=r"can't write to .*file/sub"),
        whole_files(tmp_path / "file" / "sub", seal="a"),
    ):
        pass


def test_json_refuses_what_json_does_not_have(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"accuracy": float("nan")})


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")
