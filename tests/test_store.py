import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cia_bench.baselines.lift.settings import LiFTSettings
from cia_bench.baselines.lift.train import train
from cia_bench.embeddings import load_model, refuse_other_sequences
from cia_bench.errors import ConfigError, EmbeddingError, EncoderError, TableError
from cia_bench.shares import Share
from cia_bench.store import (
    encoder_folder,
    is_store,
    known_clips,
    made_by,
    read_failures,
    read_record,
    read_store,
    read_training,
    stored_encoders,
)
from cia_bench.store_writing import ShardWriter, open_folder
from cia_bench.tables import FAILURES, read_embeddings

FRAMES = {"count": 2, "size": 8, "short_side": None, "filter": "bicubic", "mean": None, "std": None, "layout": "THWC"}
FLOAT32 = {"precision": "float32"}


def description(encoder: str = "eye", weights: str | None = "w0", **frames) -> dict:
    return {"encoder": encoder, "parameters": 7, "weights_sha256": weights, "frames": {**FRAMES, **frames}, **FLOAT32}


def rows_of(ids: str, key: str = "k", split: str = "train") -> pd.DataFrame:
    """A row for each letter of `ids`."""
    return pd.DataFrame(
        [
            {"clip_id": name, "key": key, "video": f"{name}.mp4", "split": split, "times_s": [0.0, 0.5], "cut": False}
            for name in ids
        ]
    )


def failures_of(ids: str, key: str | None = "k") -> pd.DataFrame:
    rows = [{"clip_id": name, "stage": "decode", "reason": f"no {name}", "key": key} for name in ids]
    return pd.DataFrame(rows, columns=FAILURES.schema.names)


def sequences_of(ids: str, add: float = 0, T: int = 2) -> np.ndarray:
    """Each letter's vectors, (N, T, 2), told by its place in the alphabet."""
    return np.array([[[ord(name) - ord("a") + add, t] for t in range(T)] for name in ids], np.float32).reshape(-1, T, 2)


def add_shard(folder: Path, source: str, rows: pd.DataFrame, embeddings: np.ndarray, failures: pd.DataFrame) -> None:
    """Write a shard of one batch."""
    writer = ShardWriter(folder)
    writer.start(source, rows.clip_id)
    writer.add(rows, embeddings, failures)
    writer.finish()


def known_keys(folder: Path) -> dict[str, str | None]:
    return known_clips([folder], made_by(read_record(folder)))[0]


def add(folder: Path, ids: str, failed: str = "", source: str = "epic", plus: float = 0, **rows) -> None:
    add_shard(folder, source, rows_of(ids, **rows), sequences_of(ids, plus), failures_of(failed))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def eye(store: Path) -> Path:
    """The folder of the encoder eye."""
    return open_folder(store, description())


def values(store: Path, encoder: str = "eye", only=None) -> dict[str, float]:
    """The first number of each clip that the store has."""
    stored = read_store(store, encoder, only)
    assert len(stored.clips) == len(stored.embeddings)
    return dict(zip(stored.clips.clip_id, (float(one.flat[0]) for one in stored.embeddings), strict=True))


# shards


def test_clips_and_vectors_of_all_shards_stay_together(store, eye):
    add(eye, "dcb")
    add(eye, "fae", source="synthetic")
    stored = read_store(store, "eye")
    assert stored.clips.clip_id.tolist() == list("bcdaef")  # sorted within a shard
    np.testing.assert_array_equal(stored.embeddings, sequences_of("bcdaef"))
    assert stored.embeddings.dtype == np.float32
    assert stored.clips.video.tolist() == [f"{name}.mp4" for name in "bcdaef"]
    assert [list(times) for times in stored.clips.times_s] == [[0.0, 0.5]] * 6
    assert sorted(path.name for path in eye.iterdir()) == [
        "epic-00000.parquet",
        "store.json",
        "synthetic-00001.parquet",
    ]
    assert pq.read_schema(eye / "epic-00000.parquet").names == [
        *("clip_id", "embedding", "key", "made_by", "video", "split", "times_s", "cut")
    ]


def test_only_the_clips_that_are_named_are_read(store, eye):
    add(eye, "abc")
    add(eye, "def")
    assert values(store, only=["e", "b", "z"]) == {"b": 1, "e": 4}
    assert values(store, only=[]) == {}


def test_of_a_clip_extracted_again_the_later_shard_counts(store, eye):
    add(eye, "abc", source="synthetic")
    add(eye, "b", plus=10, source="epic", key="k2")  # before the first by name, after it by number
    assert values(store) == {"a": 0, "c": 2, "b": 11}
    assert known_keys(eye) == {"a": "k", "b": "k2", "c": "k"}
    (eye / "epic-00001.parquet").rename(eye / "epic-99999.parquet")
    add(eye, "b", plus=20)
    assert (eye / "epic-100000.parquet").exists()
    assert values(store)["b"] == 21


def test_a_half_written_shard_is_not_there(store, eye):
    add(eye, "ab")
    (eye / ".part-epic-00001.parquet").write_bytes((eye / "epic-00000.parquet").read_bytes()[:200])  # a killed run's
    assert values(store) == {"a": 0, "b": 1} and known_keys(eye) == {"a": "k", "b": "k"}
    add(eye, "c")
    assert values(store) == {"a": 0, "b": 1, "c": 2}
    assert not list(eye.glob(".part-*"))


def write_batches(folder: Path, *batches: str) -> ShardWriter:
    writer = ShardWriter(folder)
    writer.start("epic", "abcdef")
    for ids in batches:
        writer.add(rows_of(ids), sequences_of(ids), failures_of(""))
    return writer


def test_batches_are_read_before_they_are_joined_and_are_gone_after(store, eye):
    writer = write_batches(eye, "ab", "dc")
    batches = {path.name: path.read_bytes() for path in eye.glob("epic-*")}
    assert sorted(batches) == ["epic-00000.0000.parquet", "epic-00000.0001.parquet"]
    assert values(store) == {"a": 0, "b": 1, "c": 2, "d": 3}
    writer.finish()
    assert [path.name for path in eye.glob("epic-*")] == ["epic-00000.parquet"]
    whole = (eye / "epic-00000.parquet").read_bytes()

    (eye / "epic-00000.0001.parquet").write_bytes(batches["epic-00000.0001.parquet"])  # killed while it removed them
    assert values(store) == {"a": 0, "b": 1, "c": 2, "d": 3}
    write_batches(eye, "e").finish()
    assert sorted(path.name for path in eye.glob("epic-*")) == ["epic-00000.parquet", "epic-00001.parquet"]
    assert (eye / "epic-00000.parquet").read_bytes() == whole
    assert values(store) == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4}


def test_a_shard_is_gone_on_with_by_the_next_writer_and_ends_as_if_written_at_once(store, eye):
    write_batches(eye, "ab")
    write_batches(eye, "cd", "ef").finish()
    write_batches(open_folder(store, description("other")), "ab", "cd", "ef").finish()
    (parted,), (straight,) = (list((store / name).glob("*-*.parquet")) for name in ("eye", "other"))
    assert parted.read_bytes() == straight.read_bytes()


def test_shards_hold_half_precision_if_that_is_asked_for_and_are_read_as_float32(store):
    folder = open_folder(store, description(), "float16")
    add(folder, "ab")
    assert read_embeddings(folder / "epic-00000.parquet")[1].dtype == np.float16
    assert read_store(store, "eye").embeddings.dtype == np.float32


def test_damaged_shards_are_named(store, eye):
    add(eye, "ab")
    add_shard(eye, "epic", rows_of("c"), sequences_of("c", T=3), failures_of(""))
    with pytest.raises(EmbeddingError, match=r"epic-00001.parquet holds embeddings \(3, 2\), not \(2, 2\)"):
        read_store(store, "eye")
    (eye / "epic-00001.parquet").write_bytes(b"PAR1")
    for read in (lambda: read_store(store, "eye"), lambda: known_keys(eye)):
        with pytest.raises(TableError, match="epic-00001.parquet can't be read as Parquet"):
            read()
    pd.DataFrame({"clip_id": ["c"], "embedding": [[1.0]]}).to_parquet(eye / "epic-00001.parquet")
    with pytest.raises(
        TableError, match="epic-00001.parquet is no stored clips table: missing column key, made_by, video"
    ):
        read_store(store, "eye")


# failures


def test_failures_stay_until_the_clip_is_extracted(store, eye):
    add(eye, "ab", failed="cd")
    assert read_failures(eye).clip_id.tolist() == ["c", "d"]
    assert known_keys(eye) == dict.fromkeys("abcd", "k")
    add(eye, "d", failed="e")
    assert read_failures(eye).reason.tolist() == ["no c", "no e"]
    assert values(store) == {"a": 0, "b": 1, "d": 3}
    add_shard(eye, "epic", rows_of("ce"), sequences_of("ce"), failures_of(""))
    assert not len(read_failures(eye)) and set(values(store)) == set("abcde")


def test_a_clip_that_fails_again_has_one_failure_with_the_new_reason(eye):
    add(eye, "a", failed="b")
    add_shard(eye, "epic", rows_of("a")[:0], sequences_of(""), failures_of("b", "k2").assign(reason="worse"))
    assert read_failures(eye).drop(columns="stage").to_dict("records") == [
        {"clip_id": "b", "reason": "worse", "key": "k2"}
    ]
    assert [path.name for path in eye.glob("epic-*")] == ["epic-00000.parquet"]  # nothing to write, no shard


def test_a_clip_that_fails_after_it_was_extracted_is_left_out(store, eye):
    add(eye, "abc")
    add_shard(eye, "epic", rows_of("a")[:0], sequences_of(""), failures_of("b", "k2"))
    assert values(store) == {"a": 0, "c": 2}
    assert known_keys(eye)["b"] == "k2"
    add(eye, "b", plus=5, key="k")
    assert values(store) == {"a": 0, "c": 2, "b": 6}


# the record


def test_a_folder_is_opened_again_for_the_same_weights_and_frames_and_told_of_others(store, eye, caplog):
    assert eye == store / "eye" == encoder_folder(store, "eye")
    before = (eye / "store.json").read_bytes()
    assert open_folder(store, {**description(), "parameters": 8}) == eye
    assert (eye / "store.json").read_bytes() == before
    for other, what in (
        (description(weights="w1"), "weights or code"),
        (description(weights=None), "weights or code"),
        (description(count=3), "frames"),
        (description(mean=[0.5, 0.5, 0.5]), "frames"),
        ({**description(), "precision": "bfloat16"}, "precision"),
        (description(weights="w1", filter="bilinear"), "weights or code, other frames"),
    ):
        assert open_folder(store, other) == eye
        assert caplog.messages == [f"{eye}: other {what} than before, so its clips are embedded anew"]
        caplog.clear()
        assert open_folder(store, other) == eye and not caplog.messages
        open_folder(store, description())
        caplog.clear()


def test_rows_that_other_weights_made_are_not_read_and_not_lost(store, eye):
    add(eye, "abc", failed="d")
    open_folder(store, description(weights="w1"))
    assert known_keys(eye) == {"d": "k"} and not len(read_store(store, "eye").clips)
    add(eye, "b", plus=7)
    assert values(store) == {"b": 8} and known_keys(eye) == {"b": "k", "d": "k"}
    open_folder(store, description())
    assert values(store) == {"a": 0, "b": 1, "c": 2}


def test_precisions_do_not_mix_and_what_names_none_is_float32(store, eye, caplog):
    add(eye, "abc")
    record = json.loads((eye / "store.json").read_text())
    del record["precision"]  # as an earlier version wrote it
    (eye / "store.json").write_text(json.dumps(record))
    assert known_keys(open_folder(store, description())) == dict.fromkeys("abc", "k")
    assert values(store) == {"a": 0, "b": 1, "c": 2} and not caplog.messages
    for plus, precision in enumerate(("float16", "bfloat16"), start=1):
        open_folder(store, {**description(), "precision": precision})
        assert known_keys(eye) == {}
        add(eye, "b", plus=plus)
        assert values(store) == {"b": 1 + plus}
        assert read_training(store).origin["precision"] == precision
    open_folder(store, description())
    assert values(store) == {"a": 0, "b": 1, "c": 2}


def test_the_digest_of_what_made_a_row_stays_that_of_earlier_versions(eye):
    assert made_by(read_record(eye)) == "e62331f2e2dba8fe"  # as it was before records held a precision


def test_shares_of_other_shapes_are_named(store):
    clips = pd.DataFrame({"source": "epic", "clip_id": list("ab")})
    for index, T in ((1, 2), (2, 3)):
        share = Share(index, 2)
        writer = ShardWriter(open_folder(share.folder(store), description(), share=share.record(clips)))
        writer.start("epic", "ab")
        writer.add(rows_of("ab"[index - 1]), sequences_of("ab"[index - 1], T=T), failures_of(""))
        writer.end()
    with pytest.raises(EmbeddingError, match=r"shard-2-of-2/eye/epic-00000.parquet holds embeddings \(3, 2\), not"):
        read_store(store, "eye")


def test_names_that_share_a_folder_do_not_mix(store):
    folder = open_folder(store, description("mine.model:Net"))
    assert folder.name == "mine.model_Net"
    with pytest.raises(EmbeddingError, match="mine.model_Net holds embeddings of mine.model:Net, another encoder"):
        open_folder(store, description("mine.model_Net"))


def test_the_record_says_what_made_the_numbers(eye):
    record = json.loads((eye / "store.json").read_text())
    assert {name: record[name] for name in description()} == description()
    assert {"cia-bench", "python", "numpy", "av", "torch"} <= set(record["versions"])


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"encoder": "eye", "parameters": "7", "frames": {}}', "[" * 9999]
)
def test_a_damaged_record_is_named(content, store, eye):
    (eye / "store.json").write_text(content)
    for read in (lambda: read_store(store, "eye"), lambda: open_folder(store, description())):
        with pytest.raises(EmbeddingError, match="eye/store.json (can't be read|is no record of a store)"):
            read()


def test_what_is_no_store_is_said(store, tmp_path):
    assert not is_store(tmp_path)
    with pytest.raises(EmbeddingError, match="store is no store of embeddings; cia extract --out .*store makes one"):
        stored_encoders(store)
    open_folder(store, description())
    open_folder(store, description("ear"))
    assert is_store(store) and stored_encoders(store) == ["ear", "eye"]
    with pytest.raises(EmbeddingError, match="has no embeddings of nose; it has ear, eye"):
        read_store(store, "nose")


# what a trainer reads


def test_a_trainer_gets_the_training_clips_alone(store, eye):
    add(eye, "ab", split="train")
    add(eye, "cd", split="validation")
    add(eye, "e", split="train", failed="f")
    training = read_training(store)
    assert training.videos == ["a.mp4", "b.mp4", "e.mp4"]
    np.testing.assert_array_equal(training.sequences, sequences_of("abe"))
    assert {name: training.origin[name] for name in ("encoder", "weights_sha256", "frames")} == {
        name: description()[name] for name in ("encoder", "weights_sha256", "frames")
    }
    digest = training.origin["sequences_sha256"]
    assert read_training(store, "eye").origin["sequences_sha256"] == digest
    add(eye, "a", plus=0.5, split="train")
    assert read_training(store).origin["sequences_sha256"] != digest


def test_a_trainer_is_told_what_lacks(store, eye):
    with pytest.raises(EmbeddingError, match="has no training clip of eye"):
        read_training(store)
    add(eye, "ab", split="validation")
    with pytest.raises(EmbeddingError, match="has no training clip of eye"):
        read_training(store)
    add_shard(
        open_folder(store, description("film")), "epic", rows_of("a"), np.ones((1, 4), np.float32), failures_of("")
    )
    with pytest.raises(ConfigError, match="has embeddings of eye, film; choose with --encoder"):
        read_training(store)
    with pytest.raises(EmbeddingError, match="no frame sequences of film, which embeds whole clips"):
        read_training(store, "film")


# what a model of it is


def test_a_model_is_a_frame_encoder_with_a_summary(store, eye):
    add(eye, "ba", failed="c")
    model = load_model(store, "eye:concat")
    assert model.clip_ids.tolist() == ["a", "b"] and model.parameters == 7 and dict(model.failures) == {"c": "no c"}
    np.testing.assert_array_equal(model.vectors, [[0, 0, 0, 1], [1, 0, 1, 1]])
    np.testing.assert_array_equal(load_model(store, "eye:mean").vectors, [[0, 0.5], [1, 0.5]])
    assert model.origin["name"] == "eye:concat" and model.origin["encoder"] == "eye"
    assert model.origin["summary"] == {"name": "concat", "weights_sha256": None}
    for name in ("eye", None):
        with pytest.raises(ConfigError, match="eye gives one vector a frame; give --model eye:SUMMARY"):
            load_model(store, name)
    with pytest.raises(ConfigError, match="unknown summary 'sum'; choose from concat"):
        load_model(store, "eye:sum")
    with pytest.raises(ConfigError, match="'ear', which no model here has"):
        load_model(store, "eye:concat", {"ear": "x"})
    with pytest.raises(EmbeddingError, match=r"\(eye:mean\) has no embedding of the data's clips"):
        load_model(store, "eye:mean", only=["z"])


def test_a_model_is_a_video_encoder_without_a_summary(store):
    folder = open_folder(store, description("film"))
    add_shard(folder, "epic", rows_of("ab"), np.array([[1, 2], [3, 4]], np.float32), failures_of(""))
    for name in ("film", None):
        np.testing.assert_array_equal(load_model(store, name).vectors, [[1, 2], [3, 4]])
    assert load_model(store, None).origin["summary"] is None
    with pytest.raises(ConfigError, match="film gives one vector a clip; give --model film"):
        load_model(store, "film:mean")
    open_folder(store, description("eye"))
    with pytest.raises(ConfigError, match="has embeddings of eye, film; choose with --model"):
        load_model(store, None)


def test_lift_reads_only_sequences_like_those_it_was_trained_on(store, eye, tmp_path, one_thread):
    add(eye, "abcdefgh")
    training, weights = read_training(store), {"lift": str(tmp_path / "lift")}
    quick = LiFTSettings(width=8, epochs=1, batch_size=4, held_out=0.25)
    train(training, tmp_path / "lift", quick)
    model = load_model(store, "eye:lift", weights)
    assert model.vectors.shape == (8, 16) and model.origin["summary"]["weights_sha256"]
    assert model.parameters > 7
    with pytest.raises(ConfigError, match="the summary lift needs weights"):
        load_model(store, "eye:lift")
    for other, what in {
        "ear": "eye, not ear",
        "weights": "eye with other weights or frames",
        "size": "eye with other weights or frames",
    }.items():
        there = tmp_path / other
        settings = {"ear": {"encoder": "ear"}, "weights": {"weights": "w1"}, "size": {"size": 9}}[other]
        about = description(**settings)
        add(open_folder(there, about), "ab")
        with pytest.raises(EncoderError, match=f"these weights of lift were trained on the sequences of {what}; train"):
            load_model(there, f"{about['encoder']}:lift", weights)
    longer = open_folder(tmp_path / "longer", description(count=3))  # another number of frames is no other encoder
    add_shard(longer, "epic", rows_of("ab"), sequences_of("ab", T=3), failures_of(""))
    assert load_model(tmp_path / "longer", "eye:lift", weights).vectors.shape == (2, 16)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, None),
        ({"encoder": "eye"}, None),
        ({"encoder": "eye", "frames": {**FRAMES, "count": 5}}, None),
        ({"weights_sha256": "w0"}, None),
        ({"encoder": "ear"}, "of ear, not eye"),
        ({"encoder": None}, "of None, not eye"),
        ({"encoder": "eye", "weights_sha256": None}, "of eye with other weights or frames"),
        ({"weights_sha256": "w1"}, "of eye with other weights or frames"),
        ({"frames": {**FRAMES, "size": 9}}, "of eye with other weights or frames"),
        ({"frames": None}, "of eye with other weights or frames"),
    ],
)
def test_of_what_weights_were_trained_on_only_what_they_tell_is_compared(told, said):
    with pytest.raises(EncoderError, match=said) if said else nullcontext():
        refuse_other_sequences("lift", told, description())
