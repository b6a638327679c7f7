"""Files cut and flipped at random places are read right or refused in one line; nothing else comes out."""

import random
import shutil

import numpy as np
import pytest
from conftest import SAMPLE

from cia_bench.build import build, read_data
from cia_bench.embeddings import load_embeddings
from cia_bench.errors import CiaError
from cia_bench.evaluation import EvaluationSettings, evaluate
from cia_bench.tables import write_embeddings
from cia_bench.verify import verify


def damage(content: bytes, dice: random.Random) -> bytes:
    """Cut the end off, flip some bytes, or double a piece."""
    place = dice.randrange(len(content))
    kind = dice.choice(["cut", "flip", "double"])
    if kind == "cut":
        return content[:place]
    if kind == "double":
        return content[:place] + content[max(0, place - dice.randrange(1, 200)) :]
    flipped = bytearray(content)
    for _ in range(dice.randrange(1, 9)):
        flipped[dice.randrange(len(content))] = dice.randrange(256)
    return bytes(flipped)


def refused(action) -> bool:
    """Whether an action ends in our own one-line error; any other error is a bug and goes through."""
    try:
        action()
    except CiaError as error:
        assert str(error) and str(error).isprintable()
        return True
    return False


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLE.iterdir()))
def test_damaged_annotations_build_or_are_refused(name, tmp_path):
    dice = random.Random(name)
    refusals = 0
    for number in range(150):
        folder = tmp_path / str(number)
        shutil.copytree(SAMPLE, folder)
        (folder / name).write_bytes(damage((SAMPLE / name).read_bytes(), dice))
        out = folder / "data"
        if refused(lambda folder=folder, out=out: build("epic", folder, out)):
            refusals += 1
            assert not out.exists()
        else:
            assert verify(out) == []
        shutil.rmtree(folder)
    assert refusals > 50


@pytest.mark.parametrize("form", ["npz", "parquet", "npy"])
def test_damaged_embeddings_are_scored_only_if_they_are_whole(form, tmp_path):
    build("epic", SAMPLE, tmp_path / "data")
    data = read_data(tmp_path / "data")
    clip_ids = data.clips.clip_id.unique().tolist()
    vectors = np.random.default_rng(0).standard_normal((len(clip_ids), 4)).astype(np.float32)
    path = tmp_path / f"e.{form}"
    if form == "npz":
        np.savez(path, ids=np.array(clip_ids), vectors=vectors)
    elif form == "parquet":
        write_embeddings(path, clip_ids, vectors)
    else:
        path = tmp_path / "e" / "a.npy"
        path.parent.mkdir()
        np.save(path, vectors[0])
    good = path.read_bytes()
    dice = random.Random(form)
    refusals = 0
    for _ in range(300):
        path.write_bytes(damage(good, dice))
        if form == "npy":
            refusals += refused(lambda: load_embeddings(path.parent))
        else:
            refusals += refused(lambda: evaluate(path, data, settings=EvaluationSettings(draws=10)))
    assert refusals > 100


@pytest.mark.parametrize("name", ["groups.parquet", "clips.parquet", "candidates.parquet", "build.json"])
def test_a_damaged_build_is_told_or_reads_the_same(name, tmp_path):
    build("epic", SAMPLE, tmp_path / "data")
    path = tmp_path / "data" / "epic" / name
    good = path.read_bytes()
    expected = read_data(tmp_path / "data").fingerprint("epic")
    dice = random.Random(name)
    told = 0
    for _ in range(150):
        path.write_bytes(damage(good, dice))
        problems = verify(tmp_path / "data")
        assert all(line.isprintable() for line in problems)
        told += bool(problems)
        if not refused(lambda: read_data(tmp_path / "data")):
            assert read_data(tmp_path / "data").fingerprint("epic") == expected
    assert told > 50
