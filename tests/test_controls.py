"""Time controls, on sequences made by hand."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler
from test_extract import make_source
from test_store import add_shard, description, failures_of, rows_of
from test_strict import slow_alpha

from cia_bench.build import Data, read_data
from cia_bench.cli import main
from cia_bench.controls import CONTROLS, FLIP_RATE, GAIN, MEASURES
from cia_bench.controls.variants import Variants
from cia_bench.embeddings import load_model
from cia_bench.errors import EmbeddingError, ResultError
from cia_bench.evaluation import evaluate
from cia_bench.frame_order import ORDERS, TAKES
from cia_bench.probes import AttentiveProbe
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import read_result, write_result
from cia_bench.splits import joined
from cia_bench.statistics import expanded_level, percentile_interval, resample_group_mean
from cia_bench.store import in_order, order_folder, read_store
from cia_bench.store_writing import open_folder

FAST = EvaluationSettings(draws=200, permutations=0)
STRICT = EvaluationSettings("strict", draws=50, permutations=0)
T, D = 6, 4


@pytest.fixture
def few(shared_build) -> Data:
    """Three groups of the invented sample."""
    read = read_data(shared_build)
    groups = read.groups[:3]
    return Data(groups, read.clips[read.clips.group_id.isin(groups.group_id)])


@pytest.fixture
def clips(few) -> pd.DataFrame:
    return few.clips.sort_values("clip_id", ignore_index=True)


def put(store, encoder: str, clips: pd.DataFrame, embeddings: np.ndarray, order: str = "forward", **frames) -> None:
    """Add embeddings to a store, or to the one within it of frames in another order."""
    rows = pd.concat([rows_of("a").assign(clip_id=clip_id) for clip_id in clips.clip_id], ignore_index=True)
    rows = rows.assign(video=clips.video.to_numpy(), times_s=clips[["start_s", "stop_s"]].to_numpy().tolist())
    folder = open_folder(order_folder(store, order), in_order(description(encoder, **frames), order))
    add_shard(folder, "epic", rows, embeddings.astype(np.float32), failures_of(""))


def noise(clips: pd.DataFrame, T: int = T, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(clips), T, D))


def clocks(clips: pd.DataFrame) -> np.ndarray:
    """Sequences whose first number is the time, and noise besides: forward and reversed are easy to tell."""
    sequences = noise(clips)
    sequences[:, :, 0] = np.linspace(-3, 3, T)
    return sequences


def swings(clips: pd.DataFrame) -> np.ndarray:
    """Sequences that rise for label 1 and fall for label 0, and reversed are their own negatives."""
    sequences = noise(clips)
    sequences[:, :, 0] = np.where(clips.label == 1, 1, -1)[:, None] * np.linspace(-3, 3, T)
    return (sequences - sequences[:, ::-1]) / 2


def scored(store, few, model: str, settings: EvaluationSettings = FAST, **more):
    return evaluate(store, few, model, settings=settings, controls=True, **more)


def numbers(result, source: str = "epic") -> dict[str, float]:
    """What each control says of a source."""
    rows = result.controls[result.controls.source == source]
    return dict(zip(rows.control, rows.accuracy, strict=True))


# known answers


def test_the_arrow_of_time_is_found_where_it_is_written_and_a_mean_is_at_exactly_half(few, clips, tmp_path):
    put(tmp_path / "s", "eye", clips, clocks(clips))
    for settings in (FAST, STRICT):
        assert numbers(scored(tmp_path / "s", few, "eye:concat", settings))["arrow"] == 1
        result = scored(tmp_path / "s", few, "eye:mean", settings)
        blind, accuracy = numbers(result), result.record["sources"]["epic"]["accuracy"]
        assert blind["arrow"] == 0.5 and blind[FLIP_RATE] == 0 and blind[GAIN] == 0
        assert blind["reversed"] == pytest.approx(1 - accuracy, abs=1e-12)
        assert blind["shuffled"] == blind["order_blind"] == pytest.approx(accuracy, abs=1e-12)
        assert result.record["controls"]["arrow"]["mean"]["interval"] == [0.5, 0.5]
        assert result.record["controls"][GAIN]["mean"]["interval"] == [0, 0]


def test_sums_in_another_order_that_differ_in_their_last_bit_are_at_exactly_half_too(few, clips, tmp_path):
    generator = np.random.default_rng(0)
    frames = 100 + generator.normal(size=(T, D))  # the same of all clips, in an order of their own: sums are alike
    sequences = np.array([generator.permutation(frames) for _ in range(len(clips))], np.float32)
    sums = {order: sequences[:, TAKES[order]("any", T)].sum(axis=1) for order in ORDERS}
    assert (sums["forward"] != sums["reversed"]).any(axis=1).mean() > 0.5
    for order, vectors in sums.items():
        put(tmp_path / "s", "film", clips, vectors, order)
    result = scored(tmp_path / "s", few, "film", STRICT)  # standardised, rounding is as large as anything
    found = numbers(result)
    assert found["arrow"] == 0.5 and found[FLIP_RATE] == 0
    assert found["shuffled"] == pytest.approx(result.record["sources"]["epic"]["accuracy"], abs=1e-12)


def test_reversed_clips_of_antisymmetric_sequences_get_the_opposite_label_without_exception(few, clips, tmp_path):
    put(tmp_path / "s", "eye", clips, swings(clips))
    found = numbers(scored(tmp_path / "s", few, "eye:concat"))
    assert found["reversed"] == found[FLIP_RATE] == 1
    assert found["frames_2"] == found["frames_4"] == 1 and found["shuffled"] < 0.8
    assert found[GAIN] == pytest.approx(1 - found["order_blind"])


def slow_controls(clips: pd.DataFrame, data: Data, sequences: np.ndarray) -> dict[str, dict[str, float]]:
    """Each group's controls of concatenated frames, clip by clip with scikit-learn."""
    at = {clip_id: number for number, clip_id in enumerate(clips.clip_id)}

    def take(clip_ids, control: str) -> np.ndarray:
        if control == "order_blind":
            return np.array([sequences[at[one]].mean(axis=0) for one in clip_ids], np.float32).astype(float)
        chosen = [sequences[at[one]][TAKES[control](one, T)].ravel() for one in clip_ids]
        return np.array(chosen, np.float32).astype(float)

    found = {}
    for group_id, rows in data.clips.groupby("group_id"):
        train, new = (rows[rows.split == split] for split in ("train", "validation"))
        here = {}
        for control in set(CONTROLS) - {"arrow", "reversed", "frames_8"}:
            probe = RidgeClassifier().fit(take(train.clip_id, control), train.label)
            here[control] = probe.score(take(new.clip_id, control), new.label)
        normal = RidgeClassifier().fit(take(train.clip_id, "forward"), train.label)
        here["reversed"] = normal.score(take(new.clip_id, "reversed"), 1 - new.label)
        here[FLIP_RATE] = np.mean(
            normal.predict(take(new.clip_id, "reversed")) != normal.predict(take(new.clip_id, "forward"))
        )
        both = {
            split: np.vstack([take(part.clip_id, "forward"), take(part.clip_id, "reversed")])
            for split, part in (("train", train), ("new", new))
        }
        arrow = RidgeClassifier().fit(both["train"], [1] * len(train) + [0] * len(train))
        here["arrow"] = arrow.score(both["new"], [1] * len(new) + [0] * len(new))
        found[group_id] = here
    return found


def test_all_controls_equal_a_plain_loop_with_scikit_learn(few, clips, tmp_path):
    sequences = 0.3 * clocks(clips) + 0.2 * swings(clips) + noise(clips, seed=1)  # so that scores are no extremes
    put(tmp_path / "s", "eye", clips, sequences)
    result = scored(tmp_path / "s", few, "eye:concat")
    slow = slow_controls(clips, few, sequences.astype(np.float32))
    for row in result.record["groups"]:
        expected = {name: value for name, value in slow[row["group_id"]].items() if name != FLIP_RATE}
        assert row["controls"] == pytest.approx(expected, abs=1e-12)
    found = numbers(result)
    for name in (*CONTROLS, FLIP_RATE):
        if name != "frames_8":
            assert found[name] == pytest.approx(np.mean([one[name] for one in slow.values()]), abs=1e-12)
    assert 0.55 < found["arrow"] < 0.95 and 0.1 < found[FLIP_RATE] < 0.9
    assert result.groups.controls_arrow.between(0, 1).all()


def test_single_frames_score_as_their_summaries_do_and_the_gain_is_a_paired_difference(few, clips, tmp_path):
    put(tmp_path / "s", "eye", clips, 0.2 * swings(clips) + noise(clips, seed=1))
    result = scored(tmp_path / "s", few, "eye:concat")
    plain = {
        name: evaluate(tmp_path / "s", few, f"eye:{name}", settings=FAST)
        for name in ("mean", "first-frame", "last-frame", "random-frame")
    }
    controls = result.record["controls"]
    for name, other in plain.items():
        control = controls["order_blind" if name == "mean" else name.replace("-", "_")]
        for part in ("accuracy", "interval"):
            assert control["sources"]["epic"][part] == pytest.approx(other.record["sources"]["epic"][part], abs=1e-12)
    gain, rows = controls[GAIN]["sources"]["epic"], result.predictions
    right = np.stack([one.prediction == one.label for one in (rows, plain["mean"].predictions)])
    groups, people = (pd.factorize(rows[column], sort=True)[0] for column in ("group_id", "subject"))
    draws = resample_group_mean(right.astype(float), groups, people, 200, np.random.default_rng([0, *b"epic"]))
    expected = percentile_interval(draws[0] - draws[1], expanded_level(0.95, people.max() + 1))
    assert gain["interval"] == pytest.approx(expected)
    assert gain["value"] == pytest.approx(
        result.record["mean"]["accuracy"] - plain["mean"].record["mean"]["accuracy"], abs=1e-12
    )


def test_the_strict_arrow_keeps_both_copies_of_a_clip_in_one_fold(few, clips, tmp_path):
    sequences = (0.1 * clocks(clips) + noise(clips, seed=2)).astype(np.float32)  # other folds choose other alphas
    put(tmp_path / "s", "eye", clips, sequences)
    vectors = dict(zip(clips.clip_id, sequences.astype(float), strict=True))
    rows = few.clips.assign(unit=joined(few.clips)).sort_values("clip_id")
    result = scored(tmp_path / "s", few, "eye:concat", STRICT)
    for group in result.record["groups"]:
        copies, units = {}, {}
        for split, part in rows[rows.group_id == group["group_id"]].groupby("strict_split"):
            forward = np.array([vectors[one].ravel() for one in part.clip_id])
            backward = np.array([vectors[one][::-1].ravel() for one in part.clip_id])
            copies[split], units[split] = np.vstack([forward, backward]), np.tile(part.unit, 2)
        direction = {split: np.repeat([1, 0], len(both) // 2) for split, both in copies.items()}
        alpha = slow_alpha(copies["train"], direction["train"], units["train"])
        scaler = StandardScaler().fit(copies["train"])
        probe = RidgeClassifier(alpha, class_weight="balanced").fit(
            scaler.transform(copies["train"]), direction["train"]
        )
        answers = probe.predict(scaler.transform(copies["validation"])) == direction["validation"]
        truth = rows[(rows.group_id == group["group_id"]) & (rows.strict_split == "validation")].label.to_numpy()
        shares = answers.reshape(2, -1).mean(axis=0)
        expected = np.mean([shares[truth == label].mean() for label in (0, 1)])
        assert group["controls"]["arrow"] == pytest.approx(expected, abs=1e-12)


# what can't be changed


def reasons(result) -> dict[str, str]:
    rows = result.controls.dropna(subset="reason")
    return dict(zip(rows.control, rows.reason, strict=True))


def test_a_file_of_embeddings_says_that_it_has_no_frames(few, clips):
    embeddings = pd.DataFrame({"clip_id": clips.clip_id, "embedding": list(noise(clips)[:, 0])})
    result = evaluate(embeddings, few, settings=FAST, controls=True)
    assert set(reasons(result)) == set(MEASURES) and "controls" not in result.groups
    assert "no control by mean of the frames; forward or reversed; " in str(result)
    assert "gain: a file of embeddings has no frames to change; a store" in str(result)
    assert "controls" not in evaluate(embeddings, few, settings=FAST).record


def test_one_frame_has_no_order_and_few_frames_no_more_than_they_are(few, clips, tmp_path):
    put(tmp_path / "s", "eye", clips, noise(clips, T=1))
    lacking = {"frames_2", "frames_4", "frames_8"}
    result = scored(tmp_path / "s", few, "eye:concat")
    assert set(reasons(result)) == {"arrow", "shuffled", "reversed", FLIP_RATE, *lacking}
    assert reasons(result)["arrow"] == "one frame has no order" and numbers(result)[GAIN] == 0
    assert reasons(result)["frames_2"] == "eye gives 1 frames a clip"
    put(tmp_path / "t", "eye", clips, noise(clips, T=4))
    assert set(reasons(scored(tmp_path / "t", few, "eye:concat"))) == {"frames_8"}


def test_a_video_encoder_without_changed_frames_names_the_command_that_embeds_them(few, clips, tmp_path):
    store, vectors = tmp_path / "s", noise(clips)[:, 0]
    put(store, "film", clips, vectors)
    found = reasons(scored(store, few, "film"))
    assert set(found) == set(MEASURES)
    assert found[GAIN] == found["frames_2"] == "film gives one vector a clip, and none of its frames"
    command = f"cia extract --order reversed --model film --out {store} embeds them"
    assert (
        found["arrow"] == f"film gives one vector a clip, and {store}/reversed has none of reversed frames; {command}"
    )
    put(store, "film", clips[1:], vectors[1:], "reversed")
    assert f"reversed lacks {clips.clip_id[0]!r} of film; {command}" in reasons(scored(store, few, "film"))["arrow"]
    put(store, "film", clips, vectors, "reversed", size=9)
    found = reasons(scored(store, few, "film"))["reversed"]
    assert found == f"{store}/reversed was made with other frames than {store}; {command}"
    put(store, "film", clips, -vectors, "reversed")
    assert set(reasons(scored(store, few, "film"))) == set(MEASURES) - {"arrow", "reversed", FLIP_RATE}


def test_all_parts_of_a_joined_model_are_changed_alike(clips, tmp_path):
    store, sequences, others = tmp_path / "s", noise(clips), noise(clips, seed=1)
    put(store, "eye", clips, sequences)
    for part in (slice(20, None), slice(20)):  # in two shards, the later clips first
        put(store, "ear", clips[part], others[part])
    model = load_model(store, "eye:concat+ear:concat")
    ids = model.clip_ids.tolist()
    assert ids == clips.clip_id.tolist()
    variants = Variants(model.model, ids[10:])
    for change in ("reversed", "shuffled", "frames_4", "random_frame"):
        plain = [
            [*one[(order := TAKES[change](clip_id, T))].ravel(), *other[order].ravel()]
            for clip_id, one, other in zip(ids, sequences, others, strict=True)
        ]
        np.testing.assert_array_equal(variants.vectors(change), np.array(plain[10:], np.float32))
    np.testing.assert_allclose(variants.vectors("order_blind")[:, D:], others[10:].mean(axis=1), atol=1e-6)
    put(store, "film", clips, sequences[:, 0])
    joined = Variants(load_model(store, "eye:concat+film", combine="l2").model, ids)
    assert joined.reason("frames_2") == "film gives one vector a clip, and none of its frames"
    put(store, "film", clips, 2 * others[:, 0], "reversed")
    lengths = np.linalg.norm(joined.vectors("reversed").reshape(len(ids), T + 1, D), axis=(1, 2))
    assert joined.reason("reversed") is None and lengths == pytest.approx(2**0.5, rel=1e-5)
    with pytest.raises(EmbeddingError, match="s lacks 'nobody' of eye"):
        Variants(model.model, [*ids, "nobody"])


def test_the_attentive_probe_has_its_controls_of_frames(few, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(AttentiveProbe, "steps", 30)
    only = Data(few.groups[:1], few.clips[few.clips.group_id == few.groups.group_id[0]])
    mine = only.clips.reset_index(drop=True)
    seen = np.tile(noise(mine, T=2), 15)  # (N, 2, 60)
    seen += 5 * mine.label.to_numpy()[:, None, None]  # each number of each frame tells: this probe takes small steps
    put(tmp_path / "s", "eye", mine, seen)
    result = scored(tmp_path / "s", only, "eye", EvaluationSettings(probe="attentive", draws=20, permutations=0))
    found = numbers(result)
    assert set(reasons(result)) == {"frames_4", "frames_8"} and 0.2 < found["arrow"] < 0.8
    assert min(found[name] for name in ("order_blind", "shuffled", "random_frame", "frames_2")) > 0.9
    assert found["reversed"] < 0.1 and found[FLIP_RATE] < 0.1
    variants = Variants(load_model(tmp_path / "s", "eye", frames=True).model, mine.clip_id.tolist(), as_frames=True)
    np.testing.assert_array_equal(variants.vectors("reversed"), seen[:, ::-1].astype(np.float32))
    assert variants.vectors("order_blind").shape == variants.vectors("last_frame").shape == (len(mine), 1, 60)


# the record and the command


def test_a_record_with_damaged_controls_is_no_result(few, clips, tmp_path):
    put(tmp_path / "s", "eye", clips, swings(clips))
    result = scored(tmp_path / "s", few, "eye:concat")
    folder = write_result(result, tmp_path / "results")
    record = read_result(folder)
    assert record["controls"] == result.record["controls"]
    assert list(result.controls.columns) == [
        *("control", "source", "accuracy", "interval_low", "interval_high", "reason")
    ]

    def damaged(change) -> str:
        broken = json.loads((folder / "result.json").read_text())
        change(broken["controls"])
        (tmp_path / "broken").mkdir(exist_ok=True)
        (tmp_path / "broken" / "result.json").write_text(json.dumps(broken))
        with pytest.raises(ResultError) as caught:
            read_result(tmp_path / "broken")
        return str(caught.value)

    assert "controls are order_blind, arrow" in damaged(lambda them: them.pop(GAIN))
    assert "control arrow is 2 with interval" in damaged(lambda them: them["arrow"]["mean"].update(accuracy=2))
    assert "control gain has the reason 7" in damaged(lambda them: them.update(gain={"reason": 7}))
    assert "control arrow is of the sources kitchen" in damaged(
        lambda them: them["arrow"].update(sources={"kitchen": them["arrow"]["mean"]})
    )
    assert "KeyError 'interval'" in damaged(lambda them: them["shuffled"]["mean"].pop("interval"))


FILM = (
    "from cia_bench.encoders import Encoder, FrameSpec\n\n\n"
    "class Ends(Encoder):\n"
    "    frames = FrameSpec(count=4, size=4)\n\n"
    "    def embed(self, frames):\n"
    "        return frames[:, [0, -1]].reshape(len(frames), -1).astype('float32')\n"
)


def test_eval_extracts_what_a_video_encoder_lacks_and_prints_its_controls(tmp_path, monkeypatch):
    for source in ("synthetic", "epic"):
        make_source(tmp_path / "cia-data" / source)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "film.py").write_text(FILM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    command = ["eval", "--model", "pixels:concat+mine.film:Ends", "--device", "cpu", "--controls"]
    run = CliRunner().invoke(main, command)
    assert run.exit_code == 0, run.output
    lines = run.stdout.splitlines()
    assert [line for line in lines if "new embeddings" in line] == [
        "pixels: 24 new embeddings, 0 kept, in cia-embeddings/pixels",
        "mine.film:Ends: 24 new embeddings, 0 kept, in cia-embeddings/mine.film_Ends",
        "mine.film:Ends: 24 new embeddings, 0 kept, in cia-embeddings/reversed/mine.film_Ends",
        "mine.film:Ends: 24 new embeddings, 0 kept, in cia-embeddings/shuffled/mine.film_Ends",
    ]
    (heads,) = (line for line in lines if line.startswith("  time controls "))
    assert heads.split()[2:] == ["epic", "synthetic", "mean"] and len({len(line) for line in lines[-6:-2]}) == 1
    no_frames = "mine.film:Ends gives one vector a clip, and none of its frames"
    assert lines[-2].startswith("  no control by mean of the frames; first frame; ")
    assert lines[-2].endswith(f"8 frames; gain: {no_frames}")
    record = read_result(tmp_path / "cia-results" / "pixels_concat+mine.film_Ends")
    arrow = record["controls"]["arrow"]
    assert arrow["mean"]["accuracy"] == np.mean([one["accuracy"] for one in arrow["sources"].values()])
    assert arrow["sources"]["epic"]["interval"] is arrow["mean"]["interval"] is None  # one video has no other
    assert len(arrow["sources"]["synthetic"]["interval"]) == 2
    forward, backward, mixed = (
        read_store(order_folder(tmp_path / "cia-embeddings", order), "mine.film:Ends")
        for order in ("forward", "reversed", "shuffled")
    )
    half = forward.embeddings.shape[1] // 2
    np.testing.assert_array_equal(backward.embeddings, np.roll(forward.embeddings, half, axis=1))
    for clip_id, now, before in zip(mixed.clips.clip_id, mixed.clips.times_s, forward.clips.times_s, strict=True):
        assert list(now) == [before[time] for time in TAKES["shuffled"](clip_id, 4)]
    assert backward.record["frames"]["order"] == "reversed" and "order" not in forward.record["frames"]
    again = CliRunner().invoke(main, command)
    assert again.stdout.count(": 0 new embeddings, 24 kept") == 4
    assert again.stdout.splitlines()[4:] == lines[4:]


def test_an_order_that_extract_does_not_know_is_refused():
    run = CliRunner().invoke(main, ["extract", "--model", "pixels", "--order", "backwards"])
    assert run.exit_code == 1
    assert run.stderr == "Error: unknown order 'backwards'; choose from forward, reversed, shuffled\n"
