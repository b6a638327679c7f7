import json
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeClassifier
from test_build import write_second_source

import cia_bench
from cia_bench.build import Data, read_data
from cia_bench.errors import BuildError, ConfigError, EmbeddingError, ProbeError, ResultError
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import read_result, write_result
from cia_bench.tables import PREDICTIONS

FAST = EvaluationSettings(draws=200, permutations=99)


def plant(embeddings: pd.DataFrame, data: Data, strength: float = 20) -> pd.DataFrame:
    """The same embeddings with each clip's label added to its first number."""
    labels = data.clips.drop_duplicates("clip_id").set_index("clip_id").label
    first = np.eye(len(embeddings.embedding[0]), 1)[:, 0]
    return embeddings.assign(
        embedding=[
            vector + strength * labels[clip] * first
            for clip, vector in zip(embeddings.clip_id, embeddings.embedding, strict=True)
        ]
    )


def slow_accuracies(embeddings: pd.DataFrame, data: Data) -> dict[str, tuple[float, float]]:
    """Each group's accuracy and that of a constant answer, clip by clip with scikit-learn."""
    vectors = dict(zip(embeddings.clip_id, embeddings.embedding, strict=True))
    scores = {}
    for group_id in data.groups.group_id:
        rows = data.clips[data.clips.group_id == group_id]
        parts = {}
        for split in ("train", "validation"):
            part = rows[rows.split == split]
            parts[split] = np.array([np.float64(vectors[clip_id]) for clip_id in part.clip_id]), part.label.to_numpy()
        probe = RidgeClassifier().fit(*parts["train"])
        constant = DummyClassifier(strategy="most_frequent").fit(*parts["train"])
        scores[group_id] = probe.score(*parts["validation"]), constant.score(*parts["validation"])
    return scores


def test_scores_equal_a_plain_loop_with_scikit_learn(embeddings, data):
    result = evaluate(embeddings, data, settings=FAST)
    expected = slow_accuracies(embeddings, read_data(data))
    found = result.groups.set_index("group_id")
    assert set(found.index) == set(expected)
    for group_id, (accuracy, constant) in expected.items():
        assert found.accuracy[group_id] == pytest.approx(accuracy)
        assert found.constant[group_id] == pytest.approx(constant)
    source = result.record["sources"]["epic"]
    assert source["accuracy"] == pytest.approx(np.mean([accuracy for accuracy, _ in expected.values()]))
    assert source["constant"]["accuracy"] == pytest.approx(np.mean([constant for _, constant in expected.values()]))


def test_a_planted_signal_is_found_and_noise_is_not(embeddings, data):
    planted = evaluate(plant(embeddings, read_data(data)), data, settings=FAST).record["sources"]["epic"]
    noise = evaluate(embeddings, data, settings=FAST).record["sources"]["epic"]
    assert planted["accuracy"] > 0.97
    assert abs(noise["accuracy"] - 0.5) < 0.15
    assert planted["interval"][0] > noise["interval"][1]


def test_a_label_planted_only_in_validation_is_not_found(embeddings, data):
    read = read_data(data)
    validation = set(read.clips.clip_id[read.clips.split == "validation"])
    planted = plant(embeddings, read)
    mixed = embeddings.assign(
        embedding=[
            new if clip in validation else old
            for clip, new, old in zip(embeddings.clip_id, planted.embedding, embeddings.embedding, strict=True)
        ]
    )
    assert evaluate(mixed, data, settings=FAST).record["sources"]["epic"]["accuracy"] < 0.75


def test_the_record_says_what_made_it(embeddings, data):
    result = evaluate(embeddings, data, model="mine", parameters=22, settings=FAST)
    record = result.record
    assert record["model"] == {"name": "mine", "parameters": 22, "dim": 8, "saw": None}
    assert record["embeddings"]["name"] == "unnamed" and len(record["embeddings"]["sha256"]) == 64
    assert record["protocol"] == {"name": "paper", "probe": {"name": "ridge", "alpha": 1.0}}
    assert record["statistics"] == {"level": 0.95, "draws": 200, "permutations": 99, "seed": 0}
    source = record["sources"]["epic"]
    assert source["fingerprint"] == read_data(data).fingerprint("epic")
    assert source["resampled"] == {"unit": "subject", "count": 6}
    assert source["coverage"] == {
        "train_rows": 188,
        "learnt_rows": 188,
        "validation_rows": 131,
        "scored_rows": 131,
    }
    assert source["clips"] == len(result.predictions) == result.groups.n.sum()
    assert record["versions"]["cia-bench"] == cia_bench.__version__
    json.dumps(record, allow_nan=False)


def test_predictions_hold_a_row_a_scored_clip(embeddings, data):
    result = evaluate(embeddings, data, settings=FAST)
    predictions = result.predictions
    assert list(predictions.columns) == PREDICTIONS.schema.names
    assert ((predictions.score > 0) == (predictions.prediction == 1)).all()
    right = (predictions.prediction == predictions.label).groupby(predictions.group_id).sum()
    assert right.to_dict() == result.groups.set_index("group_id").correct.to_dict()
    clips = read_data(data).clips
    assert set(predictions.clip_id) == set(clips.clip_id[clips.split == "validation"])


def test_the_order_and_type_of_embeddings_do_not_matter(embeddings, data):
    expected = evaluate(embeddings, data, settings=FAST)
    shuffled = embeddings.sample(frac=1, random_state=1)
    doubled = shuffled.assign(embedding=[vector.astype(np.float64) for vector in shuffled.embedding])
    for other in (shuffled, doubled):
        pd.testing.assert_frame_equal(evaluate(other, data, settings=FAST).predictions, expected.predictions)


def test_a_seed_repeats_the_interval_and_another_moves_it(embeddings, data):
    intervals = [
        evaluate(embeddings, data, settings=EvaluationSettings(draws=200, seed=seed)).record["mean"]["interval"]
        for seed in (1, 1, 2)
    ]
    assert intervals[0] == intervals[1] != intervals[2]


def test_two_sources_are_averaged_and_resampled_apart(embeddings, data):
    write_second_source(data)
    both = pd.concat([embeddings, embeddings.assign(clip_id="toy-" + embeddings.clip_id)], ignore_index=True)
    result = evaluate(both, data, settings=FAST)
    epic, toy = (result.record["sources"][name] for name in ("epic", "toy"))
    assert toy["accuracy"] == epic["accuracy"] == result.record["mean"]["accuracy"]
    assert toy["resampled"]["unit"] == "video"
    width = result.record["mean"]["interval"][1] - result.record["mean"]["interval"][0]
    assert width < epic["interval"][1] - epic["interval"][0]
    assert evaluate(embeddings, data, settings=FAST).record["sources"]["epic"]["interval"] == epic["interval"]
    assert result.sources.source.tolist() == ["epic", "toy"]


def test_sources_of_one_shape_are_still_drawn_apart(embeddings, data):
    epic = read_data(data)
    toy = Data(*(frame.assign(source="toy", group_id="toy/" + frame.group_id) for frame in (epic.groups, epic.clips)))
    toy.clips["clip_id"] = "toy-" + toy.clips.clip_id
    both = Data(pd.concat([epic.groups, toy.groups]), pd.concat([epic.clips, toy.clips]))
    doubled = pd.concat([embeddings, embeddings.assign(clip_id="toy-" + embeddings.clip_id)], ignore_index=True)
    record = evaluate(doubled, both, settings=EvaluationSettings(draws=2000)).record
    (low, high), (mean_low, mean_high) = record["sources"]["epic"]["interval"], record["mean"]["interval"]
    assert (mean_high - mean_low) / (high - low) == pytest.approx(2**-0.5, rel=0.1)


def test_a_tie_in_train_answers_label_0(embeddings, data):
    read = read_data(data)
    group = read.clips[read.clips.group_id == read.groups.group_id[0]]
    train = group[group.split == "train"]
    size = train.label.value_counts().min()
    even = pd.concat([train[train.label == label][:size] for label in (0, 1)])
    clips = pd.concat([even, group[group.split == "validation"]])
    result = evaluate(embeddings[embeddings.clip_id.isin(clips.clip_id)], Data(read.groups[:1], clips), settings=FAST)
    assert result.groups.constant[0] == (group[group.split == "validation"].label == 0).mean() != 0.5


def test_a_source_without_embeddings_is_left_out_and_said(embeddings, data):
    write_second_source(data)
    result = evaluate(embeddings, data, settings=FAST)
    assert list(result.record["sources"]) == ["epic"]
    assert result.record["left_out_sources"] == ["toy"]
    assert "left out toy: no embedding of its clips" in str(result)
    with pytest.raises(EmbeddingError, match="lacks 'toy-"):
        evaluate(embeddings, data, sources=["toy"], settings=FAST)


def test_an_interval_over_groups_holds_for_other_groups_too_and_needs_two(embeddings, data):
    read = read_data(data)
    half = read.clips.clip_id[read.clips.group_id.isin(read.groups.group_id[:4])]  # groups told apart; others at chance
    told = plant(embeddings, read).embedding.where(embeddings.clip_id.isin(half), embeddings.embedding)
    result = evaluate(embeddings.assign(embedding=told), data, settings=EvaluationSettings(draws=1000, permutations=0))
    for score in (result.record["sources"]["epic"], result.record["mean"]):
        (low, high), (other_low, other_high) = score["interval"], score["interval_over_groups"]
        assert other_low < low < score["accuracy"] < high < other_high and other_high - other_low > 1.5 * (high - low)
    assert result.sources.interval_over_groups[0] == result.record["sources"]["epic"]["interval_over_groups"]
    one = evaluate(embeddings, data, settings=FAST, groups=[read.groups.group_id[0]]).record
    assert one["sources"]["epic"]["interval"] and one["sources"]["epic"]["interval_over_groups"] is None
    assert one["mean"]["interval_over_groups"] is None


def test_clips_of_one_person_have_no_interval(embeddings, data):
    read = read_data(data)
    alone = Data(read.groups, read.clips.assign(subject="P01"))
    result = evaluate(embeddings, alone, settings=FAST)
    assert result.record["sources"]["epic"]["interval"] is None
    assert result.record["mean"]["interval"] is None
    assert "no interval: nothing to resample" in str(result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[2:], "lacks 'P.*' and 1 more of the 319 clips of epic"),
        (
            lambda frame: pd.concat([frame, frame[:1].assign(clip_id="x")]),
            "the data has no clip 'x'; a clip id there looks like 'P",
        ),
        (lambda frame: pd.concat([frame, frame[:1]]), "clip ids stand there twice"),
    ],
)
def test_embeddings_that_do_not_fit_the_clips_are_refused(change, message, embeddings, data):
    with pytest.raises(EmbeddingError, match=message):
        evaluate(change(embeddings), data)


def test_numbers_too_large_to_fit_are_refused_with_their_group(embeddings, data):
    large = embeddings.assign(embedding=[1e200 * np.float64(vector) for vector in embeddings.embedding])
    with pytest.raises(ProbeError, match="the frame, group 'epic/open-close/drawer': .* scale them down"):
        evaluate(large, data)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_group_with_one_label_is_named(split, embeddings, data):
    read = read_data(data)
    group_id = read.groups.group_id[3]
    kept = read.clips[(read.clips.group_id != group_id) | (read.clips.split != split) | (read.clips.label == 1)]
    lost = embeddings[embeddings.clip_id.isin(kept.clip_id)]
    with pytest.raises(BuildError, match=f"group '{group_id}' has no clip of label 0 in {split}"):
        evaluate(lost, Data(read.groups, kept))


def test_wrong_settings_and_names_are_refused(embeddings, data):
    for settings in ({"protocol": "x"}, {"probe": "x"}, {"level": 1.0}, {"draws": 0}, {"seed": -1}):
        with pytest.raises(ConfigError):
            EvaluationSettings(**settings)
    with pytest.raises(ConfigError, match="no source 'moon' in the data; choose from epic"):
        evaluate(embeddings, data, sources=["moon"])
    with pytest.raises(ConfigError, match="name is empty"):
        evaluate(embeddings, data, model=" ")
    with pytest.raises(ConfigError, match="can't be negative"):
        evaluate(embeddings, data, parameters=-1)
    with pytest.raises(BuildError, match="no clip to score"):
        evaluate(embeddings, Data(read_data(data).groups[:0], read_data(data).clips[:0]))


def test_a_result_reads_back_and_is_rewritten_only_by_itself(embeddings, data, tmp_path):
    result = evaluate(embeddings, data, model="dino/v2:mean", settings=FAST)
    folder = write_result(result, tmp_path / "results")
    assert folder.name == "dino_v2_mean"
    assert read_result(folder) == result.record
    pd.testing.assert_frame_equal(
        PREDICTIONS.read(folder / "predictions.parquet"), result.predictions.reset_index(drop=True), check_dtype=False
    )
    write_result(result, tmp_path / "results")
    other = evaluate(embeddings, data, model="dino_v2_mean", settings=FAST)
    with pytest.raises(ResultError, match="dino_v2_mean holds another result"):
        write_result(other, tmp_path / "results")
    assert read_result(folder) == result.record


@pytest.mark.parametrize("name", ["..", ".hidden", "a/../../b", "\0", "=cmd|' /C calc'!A0", "x" * 100])
def test_a_models_name_never_leads_out_of_the_results(name, embeddings, data, tmp_path):
    folder = write_result(evaluate(embeddings, data, model=name, settings=FAST), tmp_path / "results")
    assert folder.parent == tmp_path / "results"
    assert [path.parent for path in tmp_path.rglob("result.json")] == [folder]


def test_a_result_nested_without_end_is_named(tmp_path):
    (tmp_path / "result.json").write_text("[" * 100_000)
    with pytest.raises(ResultError, match="result.json can't be read"):
        read_result(tmp_path)


def test_a_summary_is_safe_on_a_terminal_and_gives_the_level_exactly(embeddings, data):
    settings = EvaluationSettings(draws=10, level=0.975)
    summary = str(evaluate(embeddings, data, model="\x1b[31mred\nline", settings=settings))
    assert summary.startswith(
        r"\x1b[31mred\nline (8 numbers), paper protocol, accuracy in percent with 97.5% interval:"
    )
    assert all(line.isprintable() for line in summary.split("\n")) and summary.count("\n") == 2


def test_the_package_evaluates_whatever_was_imported_before(embeddings, data):
    assert "cia_bench.evaluation" in sys.modules
    assert cia_bench.evaluate is evaluate
    assert cia_bench.read_data is read_data
    with pytest.raises(AttributeError, match="no attribute 'evalute'; it has CheckReport, Data, EvaluationSettings"):
        _ = cia_bench.evalute
    assert "evaluate" in dir(cia_bench)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("sources"), "it lacks sources"),
        (lambda record: record.update(sources={}), "it has no source"),
        (lambda record: record.update(sources=[1]), "AttributeError"),
        (lambda record: record["model"].pop("dim"), "KeyError 'dim'"),
        (lambda record: record["model"].update(parameters="many"), "model.parameters is 'many'"),
        (lambda record: record["mean"].update(accuracy=77.2), "accuracy 77.2 .* is no fraction"),
        (lambda record: record["mean"].update(interval=[0.5]), "is no fraction"),
        (lambda record: record["protocol"].update(name=None), "protocol.name is None"),
        (lambda record: record["protocol"].update(probe={"name": 1}), "protocol has no probe"),
        (lambda record: record["protocol"].update(probe="ridge"), "TypeError"),
        (lambda record: record["statistics"].pop("level"), "KeyError 'level'"),
        (lambda record: record["statistics"].update(level="most"), "statistics.level is 'most', no fraction"),
        (lambda record: record["statistics"].pop("draws"), "KeyError 'draws'"),
        (lambda record: record["statistics"].update(draws=0), "statistics has 0 draws with seed 0"),
        (lambda record: record["statistics"].update(seed="x"), "statistics has 200 draws with seed 'x'"),
        (lambda record: record["sources"]["epic"].pop("clips"), "KeyError 'clips'"),
        (lambda record: record["sources"]["epic"].update(clips="many"), "a source has no fingerprint, groups or clips"),
    ],
)
def test_a_damaged_result_is_named(change, message, embeddings, data, tmp_path):
    folder = write_result(evaluate(embeddings, data, settings=FAST), tmp_path)
    record = read_result(folder)
    change(record)
    (folder / "result.json").write_text(json.dumps(record))
    with pytest.raises(ResultError, match=f"result.json is no result of cia eval: .*{message}"):
        read_result(folder)


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="torch has no device 'cuda:99'"):
        evaluate(tmp_path / "none.npz", tmp_path / "none", device="cuda:99")
