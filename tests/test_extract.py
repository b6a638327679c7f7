import json
import logging
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import refusal, run_cia, snapshot

from cia_bench.baselines.pixels import Pixels
from cia_bench.build import Data, read_data
from cia_bench.clip_files import DIGESTED, video_folders
from cia_bench.demo import save_random_dinov2
from cia_bench.embeddings import load_model
from cia_bench.errors import BuildError, ConfigError, EmbeddingError, EncoderError
from cia_bench.evaluation import evaluate
from cia_bench.extract import ExtractionSettings, extract
from cia_bench.protocols import EvaluationSettings
from cia_bench.shares import Share, parse_share
from cia_bench.store import read_store, read_training
from cia_bench.store_writing import locked
from cia_bench.tables import CLIPS, GROUPS
from cia_bench.video import read_frames

PAIRS = {"synthetic": [("open", "close"), ("fill", "empty")], "epic": [("take", "put")]}
EACH = {"train": 2, "validation": 2}  # clips of each label in a group
CORRUPT = "synthetic/fill/validation-1"


def write_video(path: Path, seed: int, count: int = 20, rate: int = 10) -> None:
    """A small video of noise: each frame is different."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "g": "5"})
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = 64, 48, "yuv420p", 1
        for image in images.repeat(16, axis=1).repeat(16, axis=2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def write_damaged_video(path: Path) -> bytes:
    """A video that can't be decoded where no digest of its head, middle and tail sees it; return what mends it."""
    write_video(path, seed=7, count=1200)
    whole, middle = path.read_bytes(), path.stat().st_size // 2
    first, last = DIGESTED + 1000, middle - DIGESTED // 2 - 1000
    assert last - first > 50_000
    path.write_bytes(whole[:first] + bytes(last - first) + whole[last:])
    return whole


def write_tables(folder: Path, groups: pd.DataFrame, clips: pd.DataFrame) -> None:
    """Write a build's tables and record."""
    folder.mkdir(parents=True, exist_ok=True)
    GROUPS.write(folder / "groups.parquet", groups)
    CLIPS.write(folder / "clips.parquet", clips)
    record = {"source": folder.name, "settings": {}, "groups": len(groups), "clips": int(clips.clip_id.nunique())}
    data = Data(GROUPS.read(folder / "groups.parquet"), CLIPS.read(folder / "clips.parquet"))
    (folder / "build.json").write_text(json.dumps({**record, "fingerprint": data.fingerprint(folder.name)}))


def change_clips(folder: Path, change) -> None:
    """Let `change` work on a build's clips, and write them again."""
    clips = CLIPS.read(folder / "clips.parquet")
    change(clips)
    write_tables(folder, GROUPS.read(folder / "groups.parquet"), clips)


def make_source(folder: Path) -> None:
    """A build: whole files in synthetic; in epic eight intervals of two videos."""
    source, groups, clips = folder.name, [], []
    for forward, reverse in PAIRS[source]:
        group_id = f"{source}/{forward}-{reverse}/box"
        counts = {f"{split}_{side}": each for split, each in EACH.items() for side in ("forward", "reverse")}
        group = {"group_id": group_id, "source": source, "forward": forward, "reverse": reverse, "noun": "box"}
        groups.append({**group, **counts, "published_id": None, "status": "made"})
        for split, each in EACH.items():
            for label, verb in enumerate((reverse, forward)):
                for number in range(each):
                    clip_id = f"{source}/{verb}/{split}-{number}"
                    whole = source == "synthetic"
                    start_s = None if whole else 0.25 * (2 * label + number)
                    clips.append(
                        {
                            **{"group_id": group_id, "clip_id": clip_id, "source": source, "label": label},
                            **{"video": f"{clip_id}.mp4" if whole else f"P01/{split}.mp4", "split": split},
                            "strict_split": split,
                            **{"start_s": start_s, "stop_s": None if whole else start_s + 0.75, "subject": None},
                            **{"verb": verb, "noun": "box", "text": f"{verb} box", "hazards": []},
                        }
                    )
    write_tables(folder, pd.DataFrame(groups), pd.DataFrame(clips))
    for seed, video in enumerate(sorted({clip["video"] for clip in clips})):
        write_video(folder / "videos" / video, seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp("made") / "data"
    for source in PAIRS:
        make_source(data / source)
    return data


@pytest.fixture(scope="module")
def undisturbed(made: Path, tmp_path_factory) -> Path:
    """The store of pixels that a run without any trouble leaves, with small shards."""
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    with pytest.MonkeyPatch.context() as patch:
        small_shards(patch)
        extract(["pixels"], made, store)
    return store


def small_shards(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("cia_bench.extract.SHARD", 5)
    patch.setattr("cia_bench.extract.BATCH", 2)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small shards, no videos from outside, and no trace of plug-ins in what Python can import."""
    small_shards(monkeypatch)
    monkeypatch.delenv("CIA_VIDEOS", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of the build and its videos that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def vectors_of(store: Path, encoder: str = "pixels") -> dict[str, bytes]:
    """The bytes of each clip's embedding."""
    stored = read_store(store, encoder)
    return {name: one.tobytes() for name, one in zip(stored.clips.clip_id, stored.embeddings, strict=True)}


def without(vectors: dict[str, bytes], *clip_ids: str) -> dict[str, bytes]:
    return {name: vector for name, vector in vectors.items() if name not in clip_ids}


class Asked:
    """A progress that notes how many clips each run was to embed, and can end one as Ctrl-C does."""

    def __init__(self, stop_after: int | None = None):
        self.labels, self.totals, self.done, self.stop_after = [], [], 0, stop_after

    @contextmanager
    def __call__(self, label: str, total: int, unit: str):
        self.labels.append(label)
        self.totals.append(total)
        yield self.advance

    def advance(self, count: int) -> None:
        self.done += count
        if self.stop_after is not None and self.done >= self.stop_after:
            raise KeyboardInterrupt


# what a store holds


def test_each_clip_is_embedded_from_its_own_frames(made, undisturbed):
    clips = read_data(made).clips
    stored = read_store(undisturbed, "pixels")
    assert stored.embeddings.shape == (24, 16, 108) and stored.embeddings.dtype == np.float32
    assert stored.clips.clip_id.tolist() == sorted(clips.clip_id)
    assert not len(stored.failures)
    for clip, embedding in zip(stored.clips.itertuples(), stored.embeddings, strict=True):
        row = clips[clips.clip_id == clip.clip_id].iloc[0]
        interval = (None, None) if np.isnan(row.start_s) else (row.start_s, row.stop_s)
        frames = read_frames(made / row.source / "videos" / row.video, *interval, 16)
        np.testing.assert_array_equal(embedding, Pixels().embed(Pixels.frames.crop(frames.images)[None])[0])
        np.testing.assert_array_equal(clip.times_s, frames.times_s)
        assert (clip.video, clip.split, clip.cut) == (row.video, row.split, False)


def test_clips_of_one_video_have_keys_of_their_own(undisturbed):
    assert read_store(undisturbed, "pixels").clips.key.is_unique


def test_shards_are_cut_by_source(undisturbed):
    rows = {path.name: pq.read_metadata(path).num_rows for path in (undisturbed / "pixels").glob("*.parquet")}
    names = [*(f"epic-{n:05d}.parquet" for n in range(2)), *(f"synthetic-{n:05d}.parquet" for n in range(2, 6))]
    assert rows == dict(zip(names, [5, 3, 5, 5, 5, 1], strict=True))


def test_an_interval_beyond_the_file_is_stored_as_cut(data, store):
    change_clips(data / "epic", lambda clips: clips.__setitem__("stop_s", clips.start_s + 1.5))
    extract(["pixels"], data, store)
    stored = read_store(store, "pixels").clips.set_index("clip_id")
    assert stored.cut["epic/take/train-1"] and not stored.cut["epic/put/train-0"]
    assert stored.times_s["epic/take/train-1"].max() == pytest.approx(1.9)


def test_a_clip_in_two_groups_is_embedded_once(data, store):
    clips = CLIPS.read(data / "epic" / "clips.parquet")
    groups = GROUPS.read(data / "epic" / "groups.parquet")
    twice = (clips.assign(group_id="epic/other/box"), groups.assign(group_id="epic/other/box"))
    write_tables(data / "epic", pd.concat([groups, twice[1]]), pd.concat([clips, twice[0]]))
    (done,) = extract(["pixels"], data, store, ["epic"])
    assert done.new == 8 and len(read_store(store, "pixels").clips) == 8


def test_only_the_clips_that_are_asked_for_are_embedded(made, store):
    wanted = sorted(read_data(made).clips.clip_id.unique())[1:3]
    (done,) = extract(["pixels:mean"], made, store, only=wanted)
    assert done.new == 2 and sorted(read_store(store, "pixels").clips.clip_id) == wanted


def test_models_of_one_encoder_share_one_extraction(made, store):
    asked = Asked()
    done = extract(["pixels:mean", "pixels:concat", "pixels"], made, store, ["epic"], progress=asked)
    assert [one.encoder for one in done] == ["pixels"] and asked.totals == [8] and asked.done == 8
    assert load_model(store, "pixels:mean").vectors.shape == (8, 108)
    assert load_model(store, "pixels:concat").vectors.shape == (8, 16 * 108)


def test_only_training_clips_are_given_to_a_trainer(made, undisturbed):
    clips = read_data(made).clips
    train = clips[clips.split == "train"].sort_values("clip_id")
    training = read_training(undisturbed)
    assert training.videos == train.video.tolist()
    assert [one.tobytes() for one in training.sequences] == [vectors_of(undisturbed)[name] for name in train.clip_id]


# again, and after a kill


def test_a_rerun_extracts_nothing_and_changes_no_byte(made, undisturbed, tmp_path):
    store = shutil.copytree(undisturbed, tmp_path / "store")
    asked = Asked()
    (done,) = extract(["pixels"], made, store, progress=asked)
    assert (done.new, done.kept, asked.totals) == (0, 24, [])
    assert snapshot(store) == snapshot(undisturbed)


def test_two_runs_give_the_same_bytes(made, undisturbed, store):
    (done,) = extract(["pixels"], made, store)
    assert (done.new, done.kept) == (24, 0)
    assert snapshot(store) == snapshot(undisturbed)


def spoil(data: Path) -> None:
    """Make three clips undecodable: the second of all, one in the middle, and one whose video is missing."""
    videos = data / "synthetic" / "videos" / "synthetic"
    (videos / "close" / "train-1.mp4").write_text("no video")
    path = videos / "fill" / "validation-1.mp4"
    path.write_bytes(path.read_bytes()[:1500])
    (videos / "empty" / "train-0.mp4").unlink()


@pytest.mark.parametrize("stop_after", [1, 5, 6, 9, 13, 20, 23])
def test_a_run_that_was_interrupted_ends_with_the_same_bytes(stop_after, data, store, tmp_path):
    spoil(data)
    extract(["pixels"], data, tmp_path / "whole")
    first, rest = Asked(stop_after), Asked()
    with pytest.raises(KeyboardInterrupt):
        extract(["pixels"], data, store, progress=first)
    assert stop_after <= first.done < stop_after + 2  # batches of two
    extract(["pixels"], data, store, progress=rest)
    assert rest.totals == [24 - first.done]
    assert snapshot(store) == snapshot(tmp_path / "whole")


def test_a_shard_that_was_left_in_batches_is_joined_when_nothing_else_is_to_do(made, undisturbed, store):
    with pytest.raises(KeyboardInterrupt):
        extract(["pixels"], made, store, ["epic"], progress=Asked(8))
    assert [path.name for path in (store / "pixels").glob("epic-00001.*")] != ["epic-00001.parquet"]
    asked = Asked()
    (done,) = extract(["pixels"], made, store, ["epic"], progress=asked)
    assert (done.new, done.kept, asked.totals) == (0, 8, [])
    extract(["pixels"], made, store)
    assert snapshot(store) == snapshot(undisturbed)


def test_what_was_left_in_batches_is_kept_when_other_clips_are_asked_for(made, undisturbed, store):
    with pytest.raises(KeyboardInterrupt):
        extract(["pixels"], made, store, progress=Asked(3))
    (done,) = extract(["pixels"], made, store, ["synthetic"])
    assert (done.new, done.kept) == (16, 0)
    rows = {path.name: pq.read_metadata(path).num_rows for path in (store / "pixels").glob("*-*.parquet")}
    assert rows["epic-00000.parquet"] == 4 and not [name for name in rows if name.count(".") > 1]
    (done,) = extract(["pixels"], made, store)
    assert (done.new, done.kept) == (4, 20) and vectors_of(store) == vectors_of(undisturbed)


@pytest.mark.parametrize("left", range(6))
def test_a_run_that_was_killed_before_a_shard_ends_with_the_same_bytes(left, data, store):
    spoil(data)
    extract(["pixels"], data, store)
    whole = snapshot(store)
    shards = sorted((store / "pixels").glob("*-[0-9]*.parquet"), key=lambda path: path.stem[-5:])
    for shard in shards[left:]:
        shard.unlink()  # failures are written before their shard, so all of them may be known
    (store / "pixels" / f".part-{shards[-1].name}").write_bytes(b"PAR1 half a shard")
    extract(["pixels"], data, store)
    (store / "pixels" / f".part-{shards[-1].name}").unlink(missing_ok=True)
    assert snapshot(store) == whole


def test_a_changed_video_is_extracted_again_and_only_that(data, undisturbed, tmp_path):
    store = Path(shutil.copytree(undisturbed, tmp_path / "store"))
    before = vectors_of(store)
    changed = "synthetic/open/train-1"
    write_video(data / "synthetic" / "videos" / f"{changed}.mp4", seed=99)
    (done,) = extract(["pixels"], data, store)
    assert (done.new, done.kept) == (1, 23)
    after = vectors_of(store)
    assert after[changed] != before[changed] and without(after, changed) == without(before, changed)
    shutil.rmtree(tmp_path / "store")
    extract(["pixels"], data, store)
    assert vectors_of(store) == after
    assert extract(["pixels"], data, store)[0].new == 0


def test_a_changed_interval_is_extracted_again_and_only_that(data, undisturbed, tmp_path):
    store = Path(shutil.copytree(undisturbed, tmp_path / "store"))
    before, changed = vectors_of(store), "epic/put/train-1"
    change_clips(data / "epic", lambda clips: clips.loc.__setitem__((clips.clip_id == changed, "stop_s"), 0.5))
    (done,) = extract(["pixels"], data, store)
    assert (done.new, done.kept) == (1, 23)
    after = vectors_of(store)
    assert after[changed] != before[changed] and without(after, changed) == without(before, changed)


# clips that can't be decoded


def test_clips_that_can_not_be_decoded_are_failures_until_repaired(made, data, undisturbed, store):
    spoil(data)
    bad = ["synthetic/close/train-1", "synthetic/empty/train-0", CORRUPT]
    asked = Asked()
    (done,) = extract(["pixels"], data, store, progress=asked)
    assert (done.new, done.kept, asked.done) == (21, 0, 24)
    failures = read_store(store, "pixels").failures
    assert failures.clip_id.tolist() == done.failures.clip_id.tolist() == bad
    assert failures.stage.tolist() == ["decode"] * 3
    for reason, (video, why) in zip(
        failures.reason,
        [("close/train-1", "can't be read as video"), ("empty/train-0", "No such file"), ("fill/validation-1", "")],
        strict=True,
    ):
        assert f"synthetic/{video}.mp4 " in reason and why in reason
    assert failures.key.isna().tolist() == [False, True, False]
    good = without(vectors_of(undisturbed), *bad)
    assert vectors_of(store) == good

    before, again = snapshot(store), Asked()
    (done,) = extract(["pixels"], data, store, progress=again)
    assert (done.new, done.kept, again.totals) == (0, 21, [])
    assert done.failures.clip_id.tolist() == bad and snapshot(store) == before

    for name in bad:
        shutil.copy(made / "synthetic" / "videos" / f"{name}.mp4", data / "synthetic" / "videos" / f"{name}.mp4")
    (done,) = extract(["pixels"], data, store)
    assert (done.new, done.kept, len(done.failures)) == (3, 21, 0)
    assert vectors_of(store) == vectors_of(undisturbed) and not len(read_store(store, "pixels").failures)


def test_known_failures_are_tried_again_when_asked_and_nothing_else_is(data, store, tmp_path):
    videos = data / "synthetic" / "videos"
    (videos / "synthetic/close/train-1.mp4").write_text("no video")
    whole = write_damaged_video(videos / f"{CORRUPT}.mp4")
    (done,) = extract(["pixels"], data, store)
    assert done.new == 22 and done.failures.clip_id.tolist() == ["synthetic/close/train-1", CORRUPT]
    (videos / f"{CORRUPT}.mp4").write_bytes(whole)

    for retry_failed, totals, counts, failed in (
        (False, [], (0, 22), 2),  # nothing tells that it was mended
        (True, [2], (1, 22), 1),
        (True, [1], (0, 23), 1),
        (False, [], (0, 23), 1),
    ):
        asked = Asked()
        (done,) = extract(["pixels"], data, store, progress=asked, retry_failed=retry_failed)
        assert (asked.totals, (done.new, done.kept), len(done.failures)) == (totals, counts, failed)
    assert read_store(store, "pixels").failures.clip_id.tolist() == ["synthetic/close/train-1"]

    first = store / "pixels" / "epic-00000.parquet"
    untried = pq.read_table(first).column("clip_id").to_pylist()
    first.unlink()
    asked = Asked()
    (done,) = extract(["pixels"], data, store, progress=asked, retry_failed=True)
    assert (asked.totals, done.new) == ([len(untried) + 1], len(untried))
    extract(["pixels"], data, tmp_path / "fresh")
    assert vectors_of(store) == vectors_of(tmp_path / "fresh")


def test_a_video_whose_decoding_does_not_end_is_a_failure(data, undisturbed, store, monkeypatch):
    monkeypatch.setattr("cia_bench.decoding.LIMIT_S", 2.0)
    path = data / "synthetic" / "videos" / f"{CORRUPT}.mp4"
    path.unlink()
    os.mkfifo(path)  # nobody writes to it
    (done,) = extract(["pixels"], data, store)
    assert done.new == 23 and done.failures.clip_id.tolist() == [CORRUPT]
    assert done.failures.reason.tolist() == [f"{path}: decoding took more than 2 s"]
    assert vectors_of(store) == without(vectors_of(undisturbed), CORRUPT)


STRANGE_NAMES = ["a video with spaces.mp4", "öffnen/打开 🎥.mp4", "50%d#?.mp4", "wrong.txt", "no_extension"]


def test_videos_of_strange_names_are_extracted(data, undisturbed, store):
    videos, clips = data / "synthetic" / "videos", CLIPS.read(data / "synthetic" / "clips.parquet")
    new_of = dict(zip(clips.video.unique(), STRANGE_NAMES, strict=False))
    for old, new in new_of.items():
        (videos / new).parent.mkdir(exist_ok=True)
        (videos / old).rename(videos / new)
    change_clips(data / "synthetic", lambda clips: clips.__setitem__("video", clips.video.replace(new_of)))
    (done,) = extract(["pixels"], data, store)
    assert done.new == 24 and vectors_of(store) == vectors_of(undisturbed)


def test_embeddings_outlive_their_videos(data, undisturbed, tmp_path):
    store = Path(shutil.copytree(undisturbed, tmp_path / "store"))
    for path in (data / "epic" / "videos").rglob("*.mp4"):
        path.unlink()
    (done,) = extract(["pixels"], data, store)
    assert (done.new, done.kept, len(done.failures)) == (0, 24, 0)
    assert snapshot(store) == snapshot(undisturbed)


def test_an_unknown_summary_or_encoder_is_refused_before_anything_is_extracted(made, store):
    for models in (["pixels:median"], ["pixels", "sift"]):
        with pytest.raises(ConfigError, match="unknown (summary 'median'|encoder 'sift')"):
            extract(models, made, store)
    assert not store.exists()


def test_an_edited_plug_in_is_another_model(made, store, write_encoder):
    name = write_encoder("frames.mean(axis=(2, 3)) / 255")
    extract([name], made, store)
    first = read_store(store, name).embeddings
    write_encoder("frames.mean(axis=(2, 3)) / 256")
    (done,) = extract([name], made, store)
    assert (done.new, done.kept) == (len(first), 0)
    assert np.allclose(read_store(store, name).embeddings * 256, first * 255)


def test_a_store_of_nothing_but_failures_can_be_gone_on_with(made, data, undisturbed, store):
    for path in (data / "epic" / "videos").rglob("*.mp4"):
        path.write_bytes(b"")
    (done,) = extract(["pixels"], data, store, ["epic"])
    assert (done.new, len(done.failures)) == (0, 8)
    with pytest.raises(EmbeddingError, match="no embedding of the data's clips"):
        load_model(store, "pixels:mean")
    extract(["pixels"], made, store)
    assert vectors_of(store) == vectors_of(undisturbed)


def test_a_corrupt_clip_costs_its_own_score_alone(data, undisturbed, store):
    model = "pixels:concat"
    whole = evaluate(undisturbed, data, model)
    assert "coverage" not in str(whole)
    path = data / "synthetic" / "videos" / f"{CORRUPT}.mp4"
    path.write_bytes(path.read_bytes()[:1500])
    (done,) = extract(["pixels"], data, store)
    assert done.failures.clip_id.tolist() == [CORRUPT]
    with pytest.raises(EmbeddingError, match="covers 87.5% of the validation rows of synthetic"):
        evaluate(store, data, model)
    result = evaluate(store, data, model, settings=EvaluationSettings(min_coverage=0.8))
    coverage = result.record["sources"]["synthetic"]["coverage"]
    assert coverage == {"train_rows": 8, "learnt_rows": 8, "validation_rows": 8, "scored_rows": 7}
    assert result.record["sources"]["epic"] == whole.record["sources"]["epic"]
    assert "coverage: 8 of 8 training rows and 7 of 8 validation rows; the other clips failed to embed" in str(result)
    others = whole.predictions[whole.predictions.clip_id != CORRUPT].reset_index(drop=True)
    scored = result.predictions.reset_index(drop=True)
    pd.testing.assert_frame_equal(scored.drop(columns="score"), others.drop(columns="score"), check_exact=True)
    # a product of fewer rows rounds otherwise: the last bits of a score may change
    np.testing.assert_allclose(scored.score, others.score, rtol=0, atol=1e-6 * np.abs(others.score).max())


# where the work is done


def test_without_ray_its_engine_is_refused_before_anything_is_extracted(made, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "cia_bench.ray_engine", raising=False)
    with pytest.raises(ConfigError, match=r"^engine ray needs Ray \(.*ray.*\); pip install 'cia-bench\[ray\]'$"):
        extract(["pixels"], made, store, settings=ExtractionSettings(engine="ray"))
    assert not store.exists()


# where the videos are


def test_videos_are_taken_from_the_data_then_from_the_environment(data, tmp_path, monkeypatch, caplog):
    built = read_data(data)
    inside = {source: data / source / "videos" for source in PAIRS}
    assert video_folders(data, built, [], None) == inside
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    inside["epic"].rename(elsewhere / "epic")
    with caplog.at_level(logging.WARNING):
        assert video_folders(data, built, [], None) == {"synthetic": inside["synthetic"]}
    assert f"left out epic: no folder with its videos at {inside['epic']}" in caplog.text
    with pytest.raises(ConfigError) as caught:
        video_folders(data, built, ["epic", "synthetic"], None)
    assert str(caught.value) == (
        f"no folder with the videos of epic at {inside['epic']}; give --videos DIR, or set CIA_VIDEOS to a folder that "
        "holds them in epic/"
    )
    monkeypatch.setenv("CIA_VIDEOS", str(elsewhere))
    assert video_folders(data, built, [], None) == {**inside, "epic": elsewhere / "epic"}
    (elsewhere / "synthetic").mkdir()
    assert video_folders(data, built, [], None)["synthetic"] == inside["synthetic"]  # the data's own come first
    monkeypatch.setenv("CIA_VIDEOS", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=f"epic at {inside['epic']} or {tmp_path / 'none' / 'epic'}; give --videos"):
        video_folders(data, built, ["epic"], None)


def test_a_folder_of_videos_is_that_of_the_one_source_or_holds_one_each(data, tmp_path):
    videos = tmp_path / "videos"
    for source in PAIRS:
        (videos / source).mkdir(parents=True)
    assert video_folders(data, read_data(data, ["epic"]), ["epic"], videos / "epic") == {"epic": videos / "epic"}
    assert video_folders(data, read_data(data), [], videos) == {source: videos / source for source in PAIRS}
    with pytest.raises(ConfigError, match=f"no folder with the videos of epic at {tmp_path / 'none'}; give --videos"):
        video_folders(data, read_data(data, ["epic"]), ["epic"], tmp_path / "none")
    with pytest.raises(ConfigError, match=f"no folder with the videos of epic at {tmp_path / 'none' / 'epic'}"):
        video_folders(data, read_data(data), [], tmp_path / "none")


def test_each_video_of_a_plain_folder_is_a_clip_for_training(made, undisturbed, store, tmp_path):
    folder = shutil.copytree(made / "synthetic" / "videos", tmp_path / "plain")
    videos = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.mp4"))
    (folder / "notes.txt").write_text("no video")
    (folder / ".hidden.mp4").write_text("no video")
    (done,) = extract(["pixels"], None, store, videos=folder)
    stored = read_store(store, "pixels")
    assert (done.new, stored.clips.clip_id.tolist()) == (len(videos), videos)
    of_build = read_store(undisturbed, "pixels")
    by_video = dict(zip(of_build.clips.video, of_build.embeddings, strict=True))
    assert np.array_equal(stored.embeddings, np.stack([by_video[video] for video in videos]))
    assert len(read_training(store).sequences) == len(videos)
    assert extract(["pixels"], None, store, videos=folder)[0].kept == len(videos)
    (folder / "x\n.mp4").touch()
    with pytest.raises(ConfigError, match="can't be a clip id; rename it"):
        extract(["pixels"], None, store, videos=folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no video: no file there ends in .3gp, .avi"):
        extract(["pixels"], None, store, videos=tmp_path / "empty")
    with pytest.raises(ConfigError, match="give a data folder, or a folder of videos"):
        extract(["pixels"], None, store)
    command = ("extract", "--model", "pixels", "--videos", made / "epic" / "videos", "--out", "here")
    run = run_cia(*command, cwd=tmp_path)
    assert f"no build at cia-data: each video in {made / 'epic' / 'videos'} is a clip" in run.stdout, run.stderr
    assert "pixels: 2 new embeddings, 0 kept, in here/pixels" in run.stdout
    assert "data folder cia-data does not exist" in refusal(*command, "--data", "cia-data", cwd=tmp_path)


@pytest.mark.parametrize("video", ["../secret.mp4", "/etc/passwd", "a/../../b.mp4", "C:/x.mp4", "a\\b.mp4"])
def test_a_video_path_that_leaves_the_folder_is_refused(video, data, store):
    change_clips(data / "epic", lambda clips: clips.__setitem__("video", [video, *clips.video[1:]]))
    with pytest.raises(BuildError, match="video paths leave the video folder: "):
        extract(["pixels"], data, store)
    assert not store.exists()


# models of other people


PLUG_IN = """
import numpy as np
from cia_bench.encoders import Encoder, FrameSpec

class Reds(Encoder):
    frames = FrameSpec(count={count}, size={size})
    calls = 0
    def embed(self, frames):
        self.calls += 1
        B, T = frames.shape[:2]
        assert frames.dtype == np.uint8 and frames.shape == (B, {count}, {size}, {size}, 3) and B <= 2
        reds = frames[..., 0].mean(axis=(2, 3), dtype=np.float32)  # (B, T)
        return {embedding}
"""


@pytest.fixture
def write_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write an encoder, with the `embedding` that it returns, into the current folder; give its import path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plug_in").mkdir()

    def write(embedding: str, count: int = 3, size: int = 8) -> str:
        forget()
        shutil.rmtree(tmp_path / "plug_in" / "__pycache__", ignore_errors=True)
        code = PLUG_IN.format(embedding=embedding, count=count, size=size)
        (tmp_path / "plug_in" / "reds.py").write_text(code)
        return "plug_in.reds:Reds"

    def forget() -> None:
        for name in ("plug_in", "plug_in.reds"):
            sys.modules.pop(name, None)

    yield write
    forget()


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        ("reds[:, :2, None]", r"gave float32 \(2, 2, 1\) for 2 clips of 3 frames, not \(2, 3, D\) or \(2, D\)"),
        ("np.concatenate([reds, reds])", r"gave float32 \(4, 3\) for 2 clips"),
        ("reds.astype(int)", "gave int64"),
        ("reds * np.nan if self.calls > 2 else reds", "gave numbers that are NaN or infinite"),
        ("reds if self.calls > 1 else reds[:, :2]", r"gave \(2,\) for one clip, \(3,\) for another"),
    ],
)
def test_an_encoder_that_gives_no_embedding_is_named(embedding, message, made, store, write_encoder):
    with pytest.raises(EncoderError, match=f"^plug_in.reds:Reds {message}"):
        extract([write_encoder(embedding)], made, store)
    rows = [pq.read_metadata(path).num_rows for path in store.rglob("*.parquet")]
    assert rows == ([2, 2] if "calls > 2" in embedding else [2] if "calls > 1" in embedding else [])  # good batches


def test_a_frame_encoder_of_other_people_is_extracted_and_summarised(made, store, write_encoder):
    name = write_encoder("np.stack([reds, -reds], axis=2)")
    (done,) = extract([f"{name}:mean"], made, store)
    assert done.folder == store / "plug_in.reds_Reds" and done.new == 24
    reds = load_model(store, f"{name}:concat").vectors
    assert reds.shape == (24, 6) and np.array_equal(reds[:, ::2], -reds[:, 1::2])
    assert (reds[:, 0] != reds[:, 4]).all()  # each frame is noise of its own


def test_a_video_encoder_is_scored_without_a_summary(made, store, write_encoder):
    name = write_encoder("reds * 2")
    extract([name], made, store)
    assert load_model(store, None).vectors.shape == (24, 3)
    result = evaluate(store, made, name)
    assert result.record["model"]["name"] == name and result.record["embeddings"]["summary"] is None
    with pytest.raises(EmbeddingError, match="no frame sequences of plug_in.reds:Reds, which embeds whole clips"):
        read_training(store)


def test_other_frames_are_embedded_anew_and_those_of_before_are_there_when_asked_for_again(
    made, store, write_encoder, caplog
):
    name = write_encoder("reds")
    extract([name], made, store, ["epic"])
    first = read_store(store, name)
    for settings in ({"count": 4}, {"size": 9}):
        (done,) = extract([write_encoder("reds", **settings)], made, store, ["epic"])
        assert (done.new, done.kept) == (8, 0)
        assert "other frames than before, so its clips are embedded anew" in caplog.messages[-1]
        assert read_store(store, name).record["frames"] != first.record["frames"]
    (done,) = extract([write_encoder("reds")], made, store, ["epic"])
    assert (done.new, done.kept) == (0, 8)
    again = read_store(store, name)
    pd.testing.assert_frame_equal(again.clips, first.clips)
    assert np.array_equal(again.embeddings, first.embeddings)


def test_frame_sequences_are_stored_in_half_precision_if_asked_and_stay_so(made, store, write_encoder):
    name = write_encoder("frames.mean(axis=(2, 3)) / 255")
    extract([name], made, store, ["epic"])
    whole = read_store(store, name).embeddings
    (done,) = extract([name], made, store, ["epic"], settings=ExtractionSettings(dtype="float16"))
    half = read_store(store, name).embeddings
    assert done.new == 8 and half.dtype == np.float32
    assert np.array_equal(half, whole.astype(np.float16)) and not np.array_equal(half, whole)
    (done,) = extract([name], made, store, ["epic"])  # as they are there
    assert (done.new, done.kept) == (0, 8) and np.array_equal(read_store(store, name).embeddings, half)
    with pytest.raises(ConfigError, match="unknown dtype 'float8'; choose from float32, float16"):
        extract([name], made, store, ["epic"], settings=ExtractionSettings(dtype="float8"))


@pytest.mark.parametrize(
    ("embedding", "error", "message"),
    [
        (
            "frames.mean(axis=(1, 2, 3)) / 255",
            ConfigError,
            "float16 is for frame sequences; .* gives one vector a clip",
        ),
        ("frames.mean(axis=(2, 3)) * 1e4", EncoderError, "gave numbers too large for float16; leave --dtype out"),
    ],
)
def test_what_can_not_be_stored_in_half_precision_is_said(embedding, error, message, made, store, write_encoder):
    with pytest.raises(error, match=message):
        extract([write_encoder(embedding)], made, store, ["epic"], settings=ExtractionSettings(dtype="float16"))


def test_a_second_process_is_refused_while_one_extracts_into_a_store(made, store):
    waits = "from pathlib import Path; import sys; from cia_bench.store_writing import locked\n"
    waits += "with locked(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", waits, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "in\n"
        with pytest.raises(EmbeddingError, match="another process extracts into .*store; wait for its end, or choose"):
            extract(["pixels"], made, store, ["epic"])
    finally:
        process.kill()  # as a run that died: the system frees its lock
        process.wait()
    assert extract(["pixels"], made, store, ["epic"])[0].new == 8


def test_other_weights_are_not_mixed_into_a_store(made, store, tmp_path):
    for seed in range(2):
        save_random_dinov2(tmp_path / f"seed-{seed}", seed)
    first, second = ({"dinov2-small-reg": str(tmp_path / f"seed-{seed}")} for seed in range(2))
    (done,) = extract(["dinov2-small-reg"], made, store, ["epic"], weights=first)
    assert done.new == 8 and read_store(store, "dinov2-small-reg").embeddings.shape == (8, 16, 64)
    of_first = read_store(store, "dinov2-small-reg").embeddings
    (done,) = extract(["dinov2-small-reg"], made, store, ["epic"], weights=second)
    assert (done.new, done.kept) == (8, 0)
    assert not np.allclose(read_store(store, "dinov2-small-reg").embeddings, of_first)
    before = snapshot(store)
    with pytest.raises(ConfigError, match="'dinov2', which no model here has; they have dinov2-small-reg"):
        extract(["dinov2-small-reg"], made, store, ["epic"], weights={"dinov2": "x"})
    with pytest.raises(EncoderError, match="weights folder .*none does not exist"):
        extract(["dinov2-small-reg"], made, store, ["epic"], weights={"dinov2-small-reg": str(tmp_path / "none")})
    assert snapshot(store) == before
    extract(["pixels"], made, store, ["epic"])  # another encoder has its own folder
    assert {name: one for name, one in snapshot(store).items() if not name.startswith("pixels")} == before


# several encoders at once


def test_several_encoders_get_each_clip_from_one_decoding_as_if_alone(data, store, tmp_path, write_encoder):
    spoil(data)
    both, asked = ["pixels", write_encoder("reds", count=3, size=8)], Asked()
    done = extract(both, data, store, progress=asked)
    assert [(one.encoder, one.new, len(one.failures)) for one in done] == [(name, 21, 3) for name in both]
    assert asked.totals == [24] and asked.labels == ["extract pixels, plug_in.reds:Reds"]
    for name in both:
        extract([name], data, tmp_path / "alone")
    assert snapshot(store) == snapshot(tmp_path / "alone")


def test_an_encoder_that_is_ahead_of_another_embeds_only_what_it_lacks(made, store, tmp_path, write_encoder):
    both, asked = ["pixels", write_encoder("reds")], Asked()
    extract(both[:1], made, store, ["epic"])
    with pytest.raises(KeyboardInterrupt):
        extract(both[1:], made, store, ["synthetic"], progress=Asked(7))
    done = extract(both, made, store, progress=asked)
    assert [(one.new, one.kept) for one in done] == [(16, 8), (17, 7)] and asked.totals == [24]
    for name in both:
        extract([name], made, tmp_path / "alone")
        assert vectors_of(store, name) == vectors_of(tmp_path / "alone", name)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (3, 2), (7, 4), (64, 3)])
def test_batch_size_and_workers_do_not_change_an_embedding(batch_size, workers, made, store, tmp_path):
    save_random_dinov2(tmp_path / "weights")
    weights = {"dinov2-small-reg": str(tmp_path / "weights")}
    chosen = ExtractionSettings(batch_size=batch_size, workers=workers)
    for folder, settings in ((store, chosen), (tmp_path / "plain", ExtractionSettings())):
        extract(["dinov2-small-reg"], made, folder, ["epic"], weights=weights, settings=settings)
    found, plain = (read_store(folder, "dinov2-small-reg") for folder in (store, tmp_path / "plain"))
    pd.testing.assert_frame_equal(found.clips, plain.clips)
    np.testing.assert_allclose(found.embeddings, plain.embeddings, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be 1 or more, not 0"),
        ({"workers": -1}, "workers must be 1 or more, not -1"),
        ({"engine": "spark"}, "unknown engine 'spark'; choose from local, ray"),
        ({"precision": "float8"}, "unknown precision 'float8'; choose from float32, float16, bfloat16"),
    ],
)
def test_settings_that_can_not_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        ExtractionSettings(**settings)


# shares


def extract_share(share: str, data: Path, store: Path, **settings):
    (done,) = extract(["pixels"], data, store, settings=ExtractionSettings(share=parse_share(share), **settings))
    return done


@pytest.mark.parametrize("of", [1, 2, 3, 5, 24, 30])
def test_shares_have_each_clip_once_and_differ_by_one_at_most(of, made):
    clips = read_data(made).clips
    shares = [Share(index, of).of_list(clips) for index in range(1, of + 1)]
    pd.testing.assert_frame_equal(pd.concat(shares), clips)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert {Share(index, of).record(clips)["clips"] for index in range(1, of + 1)} == set(sizes)


@pytest.mark.parametrize("text", ["", "3", "3/", "/8", "0/8", "9/8", "1/0", "-1/8", "1 / 8", "a/b", "1/8/2", "1.5/8"])
def test_what_is_no_share_is_said(text):
    with pytest.raises(ConfigError, match="is not like 3/8, the third of eight|there is no shard .*; . shards are 1/"):
        parse_share(text)


def test_shares_are_read_as_one_once_all_are_done(made, undisturbed, store, tmp_path):
    whole = read_store(undisturbed, "pixels")
    for share, message in {
        "3/3": r"lacks shard 1/3 and 1 more of pixels, or its end; .* with --shard 1/3",
        "1/3": r"lacks shard 2/3 of pixels, or its end; run the same cia extract with --shard 2/3",
    }.items():
        done = extract_share(share, made, store)
        assert (done.new, done.kept, done.folder) == (8, 0, store / f"shard-{share[0]}-of-3" / "pixels")
        with pytest.raises(EmbeddingError, match=message):
            read_store(store, "pixels")
    with pytest.raises(KeyboardInterrupt):
        extract(["pixels"], made, store, progress=Asked(3), settings=ExtractionSettings(share=Share(2, 3)))
    with pytest.raises(EmbeddingError, match="lacks shard 2/3 of pixels, or its end"):
        read_store(store, "pixels")
    assert extract_share("2/3", made, store).new == 8 - 4  # two batches were there

    found = read_store(store, "pixels")
    pd.testing.assert_frame_equal(found.clips, whole.clips)
    np.testing.assert_array_equal(found.embeddings, whole.embeddings)
    assert read_training(store).origin == read_training(undisturbed).origin
    assert evaluate(store, made, "pixels:mean").record == {
        **evaluate(undisturbed, made, "pixels:mean").record,
        "embeddings": evaluate(store, made, "pixels:mean").record["embeddings"],
    }
    before = snapshot(store)
    for share in ("1/3", "2/3", "3/3"):
        done = extract_share(share, made, store)
        assert (done.new, done.kept) == (0, 8)
    extract(["pixels"], made, tmp_path / "straight", settings=ExtractionSettings(share=Share(2, 3)))
    assert snapshot(store) == before
    assert snapshot(store / "shard-2-of-3") == snapshot(tmp_path / "straight" / "shard-2-of-3")


def test_what_is_extracted_besides_the_shares_counts_more(data, undisturbed, store):
    spoil(data)
    videos = data / "synthetic" / "videos"
    for share in ("1/2", "2/2"):
        extract_share(share, data, store, dtype="float16")
    assert len(read_store(store, "pixels").failures) == 3
    (done,) = extract(["pixels"], data, store)
    assert (done.new, done.kept, len(done.failures)) == (0, 21, 3)
    assert read_store(store, "pixels").record["dtype"] == "float16"
    before = vectors_of(store)
    write_video(videos / f"{CORRUPT}.mp4", seed=98)
    write_video(videos / "synthetic/open/train-1.mp4", seed=99)
    (videos / "synthetic/open/train-0.mp4").write_text("no video any more")
    (done,) = extract(["pixels"], data, store)
    assert (done.new, done.kept) == (2, 19)
    after = vectors_of(store)
    changed = ["synthetic/open/train-1", "synthetic/open/train-0"]
    assert without(before, *changed) == without(after, *changed, CORRUPT)
    assert after["synthetic/open/train-1"] != before["synthetic/open/train-1"]
    failures = ["synthetic/close/train-1", "synthetic/empty/train-0", "synthetic/open/train-0"]
    assert sorted(read_store(store, "pixels").failures.clip_id) == failures


def test_shares_that_do_not_belong_together_are_refused(data, store):
    first = store / "shard-1-of-2" / "pixels"
    extract_share("1/2", data, store)
    extract_share("2/2", data, store, dtype="float16")
    with pytest.raises(EmbeddingError, match=r"shard-2-of-2/pixels was made with other dtype than .*shard-1-of-2"):
        read_store(store, "pixels")
    extract_share("2/2", data, store, dtype="float32")
    assert len(read_store(store, "pixels").clips) == 24
    extract_share("3/3", data, store)
    with pytest.raises(EmbeddingError, match="holds shards of 2 and of 3 of pixels; keep those of one"):
        read_store(store, "pixels")
    shutil.rmtree(store / "shard-3-of-3")
    extract(["pixels"], data, store, ["epic"], settings=ExtractionSettings(share=Share(2, 2)))
    with pytest.raises(EmbeddingError, match=r"shard-2-of-2/pixels and .*shard-1-of-2/pixels are shards of different"):
        read_store(store, "pixels")
    record = json.loads((first / "store.json").read_text())
    for broken in (None, {**record["share"], "done": "yes"}):
        (first / "store.json").write_text(json.dumps({**record, "share": broken}))
        with pytest.raises(EmbeddingError, match="shard-1-of-2/pixels/store.json does not say of which share it is"):
            read_store(store, "pixels")


def test_a_share_is_extracted_beside_others_but_by_one_process_alone(made, store):
    with locked(Share(1, 2).folder(store)):
        with pytest.raises(EmbeddingError, match="another process extracts into .*shard-1-of-2; wait for its end"):
            extract_share("1/2", made, store)
        assert extract_share("2/2", made, store).new == 12


def test_the_command_takes_a_share_and_refuses_one_that_is_none(made, tmp_path):
    where = ["--data", made, "--out", tmp_path / "store"]
    done = run_cia("extract", "--model", "pixels", *where, "--shard", "5/6", cwd=tmp_path)
    assert f"pixels: 4 new embeddings, 0 kept, in {tmp_path / 'store/shard-5-of-6/pixels'}" in done.stdout
    refused = refusal("extract", "--model", "pixels", *where, "--shard", "7/6", cwd=tmp_path)
    assert "there is no shard 7/6; 6 shards are 1/6 to 6/6" in refused


# the disk


FULL = """
import resource, sys
from pathlib import Path
import cia_bench.extract
from cia_bench.errors import WriteError
cia_bench.extract.SHARD, cia_bench.extract.BATCH = 5, 2
data, store = map(Path, sys.argv[1:])
for size in (0, 3000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        cia_bench.extract.extract(["pixels"], data, store)
    except WriteError as error:
        print(error)
    print(sorted(path.name for path in store.rglob("*") if path.is_file() and path.name != ".lock"))
"""


def test_a_full_disk_is_one_line_and_a_rerun_goes_on(made, undisturbed, store):
    run = subprocess.run([sys.executable, "-c", FULL, made, store], capture_output=True, text=True)
    first, nothing, second, record = run.stdout.splitlines()
    for refused in (first, second):
        assert (
            refused.startswith(f"can't write to {store / 'pixels'}: ")
            and "File too large; run again to go on" in refused
        )
    assert (nothing, record, run.stderr) == ("[]", "['store.json']", "")
    extract(["pixels"], made, store)
    assert snapshot(store) == snapshot(undisturbed)
