from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cia_bench.embeddings import check_vectors
from cia_bench.errors import ConfigError, EmbeddingError
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import read_predictions, read_result, write_result
from cia_bench.tables import TASK_CLIPS
from cia_bench.tasks import Task
from cia_bench.tasks.evaluation import evaluate_task, places

FAST = EvaluationSettings("standard", "softmax", draws=300)
CLASSES = ("clap", "dive", "golf", "hug", "jump", "kick")
PER_CLASS, OF_ONE_FILM = 20, 2


def invented_task(folder, classes=CLASSES, splits=2) -> Task:
    """Videos of each class, two of each film; each split scores other films, a quarter of them."""
    rows = []
    for k in range(splits):
        for label, name in enumerate(classes):
            for number in range(PER_CLASS):
                film = number // OF_ONE_FILM
                side = "validation" if (film + label + k) % 4 == 0 else "train"
                clip_id, subject = f"{name}/v{number:02d}", f"{name} film {film}"
                rows.append([f"sports/{k + 1}", clip_id, "sports", f"{clip_id}.avi", label, side, subject])
    clips = pd.DataFrame(rows, columns=TASK_CLIPS.schema.names).sort_values(["group_id", "clip_id"], ignore_index=True)
    return Task("sports", "folder", tuple(classes), clips, folder)


def invented_vectors(task: Task, noise: float, D: int = 10, seed: int = 0) -> pd.DataFrame:
    """A vector a video: its class's own, and noise."""
    generator = np.random.default_rng(seed)
    videos = task.clips.drop_duplicates("clip_id")
    centres = generator.standard_normal((len(task.classes), D))
    vectors = centres[videos.label] + noise * generator.standard_normal((len(videos), D))
    return pd.DataFrame({"clip_id": videos.clip_id.to_numpy(), "embedding": list(vectors.astype(np.float32))})


@pytest.fixture
def task(tmp_path):
    return invented_task(tmp_path)


def sides(task: Task, group_id: str, vectors: pd.DataFrame) -> dict[str, tuple]:
    by_id = dict(zip(vectors.clip_id, vectors.embedding, strict=True))
    rows = task.clips[task.clips.group_id == group_id]
    return {
        side: (np.array([np.float64(by_id[clip_id]) for clip_id in part.clip_id]), part.label.to_numpy())
        for side, part in rows.groupby("split")
    }


def test_each_split_is_scored_as_scikit_learn_does_with_the_chosen_penalty(task):
    vectors = invented_vectors(task, noise=1.2)
    result = evaluate_task(vectors, task, "made up", settings=FAST)
    accuracies = []
    for row in result.record["groups"]:
        parts = sides(task, row["group_id"], vectors)
        scaler = StandardScaler().fit(parts["train"][0])
        N = len(parts["train"][0])
        model = LogisticRegression(C=1 / (N * row["chosen"]["l2"]), max_iter=5000, tol=1e-8)
        model.fit(scaler.transform(parts["train"][0]), parts["train"][1])
        scores = model.decision_function(scaler.transform(parts["validation"][0]))
        label = parts["validation"][1]
        assert row["correct"] == (scores.argmax(axis=1) == label).sum()
        in_five = [own in np.argsort(-one)[:5] for own, one in zip(label, scores, strict=True)]
        assert row["top5"] == pytest.approx(np.mean(in_five))
        by_class = [np.mean(scores.argmax(axis=1)[label == k] == k) for k in range(len(CLASSES))]
        assert row["per_class"] == pytest.approx(np.mean(by_class))
        assert (row["train_clips"], row["n"]) == (N, len(label))
        accuracies.append(row["accuracy"])
    source = result.record["sources"]["sports"]
    assert len(accuracies) == 2 == source["groups"]
    assert 0.3 < source["accuracy"] < 0.95
    assert source["accuracy"] == pytest.approx(np.mean(accuracies)) == result.record["mean"]["accuracy"]
    assert source["per_class"]["accuracy"] == pytest.approx(
        np.mean([row["per_class"] for row in result.record["groups"]])
    )
    for score in (source, source["top5"], source["per_class"]):
        low, high = score["interval"]
        assert low <= score["accuracy"] <= high
    films = task.clips.subject[task.clips.split == "validation"].nunique()
    assert source["resampled"] == {"unit": "subject", "count": films} and films == source["clips"] / OF_ONE_FILM


def test_the_place_of_a_label_is_where_its_score_stands():
    scores = np.array([[3, 1, 2], [3, 1, 2], [1, 1, 1], [1, 1, 1.0]])
    assert places(scores, np.array([0, 1, 0, 2])).tolist() == [1, 3, 1, 3]
    generator = np.random.default_rng(1)
    scores, labels = generator.integers(4, size=(200, 7)).astype(float), generator.integers(7, size=200)
    slow = [
        sorted(range(7), key=lambda k: (-one[k], k)).index(label) + 1 for one, label in zip(scores, labels, strict=True)
    ]
    assert places(scores, labels).tolist() == slow
    assert ((places(scores, labels) == 1) == (scores.argmax(axis=1) == labels)).all()


def test_five_classes_have_no_top_five(tmp_path):
    five = invented_task(tmp_path, CLASSES[:5])
    record = evaluate_task(invented_vectors(five, noise=1), five, "made up", settings=FAST).record
    assert record["sources"]["sports"]["top5"] is None
    assert [row["top5"] for row in record["groups"]] == [None, None]


def test_a_result_is_written_and_read_back_with_its_predictions(task, tmp_path):
    result = evaluate_task(invented_vectors(task, noise=1), task, "made up", settings=FAST)
    folder = write_result(result, tmp_path / "results" / "sports")
    record = read_result(folder)
    predictions = read_predictions(folder, record)
    assert len(predictions) == record["sources"]["sports"]["clips"]
    assert ((predictions.place == 1) == (predictions.prediction == predictions.label)).all()
    said = str(result)
    assert said.startswith("made up (10 numbers), standard protocol, top-1 accuracy in percent with 95% interval:\n")
    assert "; 2 splits, 58 videos of 6 classes\n" in said
    assert " top-5 " in said and " mean of the classes " in said


def test_videos_elsewhere_on_disk_are_the_same_videos(task, tmp_path):
    vectors = invented_vectors(task, noise=1)
    moved = Task(task.name, task.kind, task.classes, task.clips.assign(video="flat/" + task.clips.video), tmp_path)
    here, there = (evaluate_task(vectors, one, "made up", settings=FAST) for one in (task, moved))
    assert here.record["sources"] == there.record["sources"]
    pd.testing.assert_frame_equal(here.predictions, there.predictions)


def test_a_model_that_saw_kinetics_is_said_to_have_seen_the_task(task):
    kinetics = replace(task, name="kinetics400", kind="kinetics400", clips=task.clips.assign(source="kinetics400"))
    vectors = invented_vectors(task, noise=1)
    loaded = check_vectors("here", "made up", vectors.clip_id.to_numpy(object), np.stack(vectors.embedding))
    loaded = replace(loaded, origin={**loaded.origin, "saw": {"kinetics": "labels", "ssv2": "clips"}})
    result = evaluate_task(loaded, kinetics, "made up", settings=FAST)
    assert result.record["model"]["saw"] == {"kinetics400": "labels", "ssv2": "clips"}
    assert "contamination: the model was trained on kinetics400, with labels" in str(result)


def test_what_failed_is_counted_and_too_much_is_refused(task):
    vectors = invented_vectors(task, noise=1)
    vectors.loc[3, "embedding"][:] = 0
    with pytest.raises(EmbeddingError, match="less than --min-coverage 0.995"):
        evaluate_task(vectors, task, "made up", settings=EvaluationSettings("standard", "softmax", min_coverage=0.995))
    record = evaluate_task(vectors, task, "made up", settings=loose()).record
    coverage = record["sources"]["sports"]["coverage"]
    missing = coverage["train_rows"] + coverage["validation_rows"] - coverage["learnt_rows"] - coverage["scored_rows"]
    assert missing == 2  # one video, in two splits


def loose() -> EvaluationSettings:
    return EvaluationSettings("standard", "softmax", draws=100, min_coverage=0)


def test_a_class_whose_training_videos_all_failed_is_named(task):
    vectors = invented_vectors(task, noise=1)
    for vector in vectors.embedding[vectors.clip_id.str.startswith("golf/")]:
        vector[:] = 0
    with pytest.raises(EmbeddingError, match="all training videos of class 'golf' in sports/1 failed to embed"):
        evaluate_task(vectors, task, "made up", settings=loose())


def test_vectors_of_other_or_too_few_videos_are_refused(task):
    vectors = invented_vectors(task, noise=1)
    with pytest.raises(EmbeddingError, match="lacks 'clap/v00' of the 120 clips of sports"):
        evaluate_task(vectors[1:], task, "made up", settings=FAST)
    stranger = pd.concat([vectors, vectors[:1].assign(clip_id="clap/v99")])
    with pytest.raises(EmbeddingError, match="the data has no clip 'clap/v99'"):
        evaluate_task(stranger, task, "made up", settings=FAST)


def test_protocols_of_groups_and_of_classes_are_kept_apart(task, data, embeddings):
    with pytest.raises(ConfigError, match="protocol paper is for chiral groups"):
        evaluate_task(invented_vectors(task, noise=1), task, settings=EvaluationSettings())
    with pytest.raises(ConfigError, match="protocol standard is for standard benchmarks"):
        evaluate(embeddings, data, settings=FAST)
    with pytest.raises(ConfigError, match="unknown probe 'ridge'; choose from attentive, mlp, softmax"):
        EvaluationSettings("standard")
    with pytest.raises(ConfigError, match="unknown probe 'softmax'"):
        EvaluationSettings(probe="softmax")
