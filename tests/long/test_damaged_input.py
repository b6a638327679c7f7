"""Files cut and flipped at random places are read right or refused in one line; nothing else comes out."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import test_fuzz_annotations as fuzz
from conftest import SAMPLE
from hypothesis import given, settings
from invented import charades_rows, write_charades, write_ssv2
from test_lift_released import NAME, SMALL, check_flipped_bits, random_model, same, their_content, write

from cia_bench.baselines.lift import load_lift
from cia_bench.build import BuildSettings, build, read_data
from cia_bench.embeddings import load_embeddings
from cia_bench.errors import CiaError
from cia_bench.evaluation import evaluate
from cia_bench.leaderboard.export import FORMATS, export
from cia_bench.leaderboard.table import rank, read_results
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import write_result
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


def count_refusals(source: str, good: Path, name: str, root: Path, settings: BuildSettings) -> int:
    """Build 150 times from the files in `good`, of which `name` is damaged; how many times that is refused."""
    dice = random.Random(name)
    refusals = 0
    for number in range(150):
        folder = root / str(number)
        shutil.copytree(good, folder)
        (folder / name).write_bytes(damage((good / name).read_bytes(), dice))
        out = folder / "data"
        if refused(lambda folder=folder, out=out: build(source, folder, out, settings)):
            refusals += 1
            assert not out.exists()
        else:
            assert verify(out) == []
        shutil.rmtree(folder)
    return refusals


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLE.iterdir()))
def test_damaged_annotations_build_or_are_refused(name, tmp_path):
    assert count_refusals("epic", SAMPLE, name, tmp_path, BuildSettings()) > 50


def write_invented(source: str, folder: Path) -> Path:
    """Files of which the paper profile makes a build."""
    if source == "ssv2":
        return write_ssv2(folder, fuzz.TEMPLATES, 300, 60)
    classes = ["c006 Closing a door", "c008 Opening a door", "c148 Someone is dressing", "c155 Someone is undressing"]
    return write_charades(folder, classes, charades_rows(classes, 20, 0, 30), charades_rows(classes, 10, 20, 10))


@pytest.mark.parametrize("skip_bad_rows", [False, True])
@pytest.mark.parametrize(
    ("source", "name"),
    [
        *(("ssv2", f"something-something-v2-{part}.json") for part in ("train", "validation", "labels")),
        *(("charades", f"Charades_v1_{part}") for part in ("train.csv", "test.csv", "classes.txt")),
    ],
)
def test_damaged_annotations_of_other_sources_build_or_are_refused(source, name, skip_bad_rows, tmp_path):
    good = write_invented(source, tmp_path / "good")
    assert build(source, good, tmp_path / "whole")["groups"] >= 1
    settings = BuildSettings(skip_bad_rows=skip_bad_rows)
    assert count_refusals(source, good, name, tmp_path, settings) > (10 if skip_bad_rows else 50)


valid = fuzz.valid


@given(change=fuzz.changes)
@settings(fuzz.fuzzed, max_examples=3000)
@pytest.mark.parametrize("source", ["ssv2", "charades", "epic"])
def test_thousands_of_changed_files_are_read_as_documented_or_refused(source, valid, change):
    fuzz.check_reading(source, fuzz.changed(valid[source], change))


@given(change=fuzz.changes, other=fuzz.changes)
@settings(fuzz.fuzzed, max_examples=300)
@pytest.mark.parametrize("skip_bad_rows", [False, True])
@pytest.mark.parametrize("source", ["ssv2", "charades", "epic"])
def test_hundreds_of_builds_of_changed_files_are_sound_or_leave_nothing(source, skip_bad_rows, valid, change, other):
    fuzz.check_building(source, skip_bad_rows, fuzz.changed(fuzz.changed(valid[source], (*change[:2], None)), other))


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
            refusals += refused(lambda: evaluate(path, data, settings=EvaluationSettings(draws=10, permutations=9)))
    assert refusals > 100


def test_a_damaged_result_is_ranked_or_refused(tmp_path):
    build("epic", SAMPLE, tmp_path / "data")
    data = read_data(tmp_path / "data")
    clip_ids = data.clips.clip_id.unique()
    frame = pd.DataFrame({"clip_id": clip_ids, "embedding": list(np.eye(len(clip_ids)))})
    folder = write_result(
        evaluate(frame, data, settings=EvaluationSettings(draws=10, permutations=9)), tmp_path / "results"
    )
    good = (folder / "result.json").read_bytes()
    dice = random.Random(0)
    refusals = 0
    for _ in range(1000):
        (folder / "result.json").write_bytes(damage(good, dice))
        for form in FORMATS:
            refusals += refused(lambda form=form: export(rank(read_results([folder])), form))
    assert refusals > 500

    def paths(value, path=()):
        """The place of every value inside a JSON value."""
        yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            yield from paths(inner, (*path, key))

    for *path, last in (path for path in paths(json.loads(good)) if path and path[0] != "groups"):
        for other in (None, "text", 7, -1.5, [], {}, [1, 2], True):
            record = json.loads(good)
            place = record
            for key in path:
                place = place[key]
            place[last] = other
            (folder / "result.json").write_text(json.dumps(record))
            for form in FORMATS:
                refused(lambda form=form: export(rank(read_results([folder])), form))


@pytest.mark.parametrize(
    "name", ["groups.parquet", "clips.parquet", "candidates.parquet", "candidate_clips.parquet", "build.json"]
)
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


def test_a_damaged_checkpoint_of_lifts_authors_is_refused_or_read_right(tmp_path):
    model = random_model(SMALL)
    path = write(their_content(model), tmp_path / NAME)
    whole, dice = path.read_bytes(), random.Random(3)
    assert 100 < check_flipped_bits(path, model, 800, seed=1) < 800
    for _ in range(400):
        path.write_bytes(damage(whole, dice))
        assert refused(lambda: load_lift(path)) or same(load_lift(path), model)
