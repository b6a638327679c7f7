"""The strict protocol, and each group's test against chance."""

import numpy as np
import pandas as pd
import pytest
from conftest import refusal, run_cia
from scipy.stats import fisher_exact
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from test_evaluation import plant

from cia_bench.build import Data, read_data
from cia_bench.errors import BuildError, ConfigError, ProbeError
from cia_bench.evaluation import evaluate
from cia_bench.probes import RidgeProbe, make_folds
from cia_bench.protocols import EvaluationSettings
from cia_bench.splits import joined

STRICT = EvaluationSettings("strict", draws=200, permutations=0)


def slow_alpha(features: np.ndarray, labels: np.ndarray, units: np.ndarray) -> float:
    """The alpha with the best balanced accuracy over all folds' held-out clips; of equals the largest."""
    folds, scores = make_folds(units, labels, 0), {}
    if folds is None:
        return 1.0
    for alpha in RidgeProbe.grid:
        answers = np.empty_like(labels)
        for fold in np.unique(folds):
            held = folds == fold
            scaler = StandardScaler().fit(features[~held])
            probe = RidgeClassifier(alpha, class_weight="balanced").fit(
                scaler.transform(features[~held]), labels[~held]
            )
            answers[held] = probe.predict(scaler.transform(features[held]))
        scores[alpha] = round(balanced_accuracy_score(labels, answers), 12)
    return max(alpha for alpha, score in scores.items() if score == max(scores.values()))


def slow_accuracies(embeddings: pd.DataFrame, data: Data) -> dict[str, float]:
    """Each group's balanced accuracy, step by step with scikit-learn; of those with both labels on both sides."""
    vectors = dict(zip(embeddings.clip_id, embeddings.embedding, strict=True))
    clips = data.clips.assign(unit=joined(data.clips))
    accuracies = {}
    for group_id, rows in clips.sort_values("clip_id").groupby("group_id"):
        parts = {
            split: (np.array([np.float64(vectors[one]) for one in part.clip_id]), part.label.to_numpy(), part.unit)
            for split, part in rows.groupby("strict_split")
        }
        if len(parts) < 2 or any(len(set(labels)) < 2 for _, labels, _ in parts.values()):
            continue
        features, labels, units = parts["train"]
        alpha, scaler = slow_alpha(features, labels, units.to_numpy()), StandardScaler().fit(features)
        probe = RidgeClassifier(alpha, class_weight="balanced").fit(scaler.transform(features), labels)
        new, truth, _ = parts["validation"]
        accuracies[group_id] = balanced_accuracy_score(truth, probe.predict(scaler.transform(new)))
    return accuracies


def test_strict_scores_equal_a_plain_loop_with_scikit_learn(embeddings, data):
    planted = plant(embeddings, read_data(data), strength=0.5)  # so that alphas differ and scores are no extremes
    result = evaluate(planted, data, settings=STRICT)
    expected = slow_accuracies(planted, read_data(data))
    found = result.groups.set_index("group_id").balanced_accuracy
    assert found.to_dict() == pytest.approx(expected, abs=1e-12)
    assert result.record["sources"]["epic"]["accuracy"] == pytest.approx(np.mean(list(expected.values())), abs=1e-12)
    assert result.record["mean"]["constant"]["accuracy"] == pytest.approx(0.5, abs=1e-12)
    assert result.record["protocol"] == {
        "name": "strict",
        "probe": {"name": "ridge", "alpha": list(RidgeProbe.grid), "class_weight": "balanced", "standardise": True},
    }
    assert "strict protocol, balanced accuracy in percent" in str(result)


def test_a_label_planted_only_in_scored_features_is_not_found(embeddings, data):
    read = read_data(data)
    scored = set(read.clips.clip_id[read.clips.strict_split == "validation"])
    planted = dict(zip(embeddings.clip_id, plant(embeddings, read).embedding, strict=True))
    mixed = embeddings.assign(
        embedding=[
            planted[clip] if clip in scored else old
            for clip, old in zip(embeddings.clip_id, embeddings.embedding, strict=True)
        ]
    )
    for settings in (STRICT, EvaluationSettings("strict", "logistic", draws=10, permutations=0)):
        assert abs(evaluate(mixed, data, settings=settings).record["mean"]["accuracy"] - 0.5) < 0.1
    assert evaluate(plant(embeddings, read), data, settings=STRICT).record["mean"]["accuracy"] > 0.95


def test_a_group_that_the_drawn_split_leaves_without_a_label_is_left_out_and_said(embeddings, data):
    read = read_data(data)
    group = read.groups.group_id[2]
    lost = (read.clips.group_id == group) & (read.clips.strict_split == "validation") & (read.clips.label == 1)
    one_sided = Data(read.groups, read.clips.assign(strict_split=read.clips.strict_split.mask(lost, "train")))
    result = evaluate(embeddings, one_sided, settings=STRICT)
    assert result.record["left_out_groups"] == [group] and group not in set(result.groups.group_id)
    assert f"left out {group}: a label is missing on a side of strict_split" in str(result)
    only = Data(read.groups[read.groups.group_id == group], one_sided.clips[one_sided.clips.group_id == group])
    kept = embeddings[embeddings.clip_id.isin(only.clips.clip_id)]
    with pytest.raises(BuildError, match="strict_split leaves no group of epic with both labels on both sides"):
        evaluate(kept, only, settings=STRICT)


def with_own_videos(data: Data) -> Data:
    """The same clips, each of a video of its own and of nobody."""
    return Data(data.groups, data.clips.assign(subject=None, video=data.clips.clip_id + ".mp4"))


def test_where_no_two_clips_share_anything_the_test_is_fishers(embeddings, data):
    independent = with_own_videos(read_data(data))
    clips = independent.clips.drop_duplicates("clip_id")
    independent = Data(independent.groups, independent.clips[independent.clips.index.isin(clips.index)])
    kept = embeddings[embeddings.clip_id.isin(clips.clip_id)]
    result = evaluate(kept, independent, settings=EvaluationSettings(draws=10))
    assert set(result.groups.test_name) == {"fisher"}
    for group_id, rows in result.predictions.groupby("group_id"):
        table = pd.crosstab(pd.Categorical(rows.label, [1, 0]), pd.Categorical(rows.prediction, [1, 0]), dropna=False)
        p = result.groups.set_index("group_id").test_p[group_id]
        assert p == pytest.approx(fisher_exact(table, alternative="greater").pvalue, rel=1e-9)
        assert result.groups.set_index("group_id").test_p_adjusted[group_id] >= p


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_where_clips_share_people_labels_are_permuted_and_the_probe_is_fitted_again(protocol, embeddings, data):
    read = read_data(data)
    settings = EvaluationSettings(protocol, draws=10, permutations=199)
    noise = evaluate(embeddings, data, settings=settings).groups
    planted = evaluate(plant(embeddings, read), data, settings=settings).groups
    assert set(noise.test_name) == set(planted.test_name) == {"permutation"}
    assert (planted.test_p == 1 / 200).mean() > 0.7  # the smallest that 199 permutations allow
    assert noise.test_p.between(0.005, 1).all() and noise.test_p.mean() > 0.25
    again = evaluate(embeddings, data, settings=settings).groups
    assert noise.equals(again)


def test_features_that_only_know_the_person_are_not_above_chance(data):
    read = read_data(data)
    clips = read.clips.drop_duplicates("clip_id")
    people = pd.get_dummies(clips.subject).to_numpy(float)
    generator = np.random.default_rng(0)
    noisy = 5 * people + 0.01 * generator.standard_normal(people.shape)
    frame = pd.DataFrame({"clip_id": clips.clip_id, "embedding": list(noisy)})
    groups = evaluate(frame, data, settings=EvaluationSettings(draws=10, permutations=199)).groups
    assert (groups.test_p_adjusted > 0.05).all()


def test_without_permutations_there_is_no_p_where_clips_are_not_independent(embeddings, data):
    result = evaluate(embeddings, data, settings=STRICT)
    assert result.groups.test_p.isna().all() and "above chance" not in str(result)
    assert result.groups.detectable.between(0.5, 1).all()


@pytest.mark.parametrize(("protocol", "probe"), [("paper", "logistic"), ("strict", "logistic"), ("paper", "mlp")])
def test_other_probes_score_too(protocol, probe, embeddings, data):
    planted = plant(embeddings, read_data(data))
    settings = EvaluationSettings(protocol, probe, draws=10)
    assert evaluate(planted, data, settings=settings).record["mean"]["accuracy"] > 0.8


def test_the_command_takes_protocol_and_probe_and_tables_never_mix_them(embeddings, data, tmp_path):
    ids, vectors = embeddings.clip_id.to_numpy(str), np.stack(embeddings.embedding)
    np.savez(tmp_path / "e.npz", ids=ids, vectors=vectors)
    for name, options in (("a", ()), ("b", ("--protocol", "strict", "--probe", "logistic"))):
        run = run_cia("eval", "--data", data, "--embeddings", "e.npz", "--model", name, *options, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        said = "strict protocol, balanced accuracy" if options else "paper protocol, accuracy"
        assert f"{name} (8 numbers), {said} in percent" in run.stdout
    board = run_cia("leaderboard", "--format", "md", cwd=tmp_path).stdout
    assert "protocol paper, ridge probe" in board and "protocol strict, logistic probe" in board
    message = refusal("eval", "--data", data, "--embeddings", "e.npz", "--protocol", "loose", cwd=tmp_path)
    assert message == "Error: unknown protocol 'loose'; choose from paper, strict"
    message = refusal("eval", "--data", data, "--model", "pixels:mean", "--probe", "attentive", cwd=tmp_path)
    assert message == "Error: frame sequences are of one encoder without a summary, not of pixels:mean"
    assert not (tmp_path / "cia-embeddings").exists()  # said before anything is extracted
    message = refusal("eval", "--data", data, "--embeddings", "e.npz", "--probe", "tree", cwd=tmp_path)
    assert message == "Error: unknown probe 'tree'; choose from attentive, logistic, mlp, ridge"


def test_the_attentive_probe_learns_from_the_frames_that_a_store_has(demo):
    data, store = demo.folder / "cia-data", demo.folder / "cia-embeddings"
    settings = EvaluationSettings(probe="attentive", draws=10)
    result = evaluate(store, data, "pixels", settings=settings)
    assert result.record["model"]["dim"] == 16 * 108 and result.record["embeddings"]["summary"] is None
    blind = evaluate(store, data, "pixels:mean", settings=EvaluationSettings(draws=10))
    assert result.record["mean"]["accuracy"] > blind.record["mean"]["accuracy"] + 0.2
    for model in ("pixels:mean", "pixels+dinov2-small-reg:mean"):
        with pytest.raises(ConfigError, match="frame sequences are of one encoder without a summary, not of pixels"):
            evaluate(store, data, model, settings=settings)
    with pytest.raises(ConfigError, match=r"not of pixels \(l2\)"):
        evaluate(store, data, "pixels", settings=settings, combine="l2")
    frame = pd.DataFrame({"clip_id": read_data(data).clips.clip_id.unique()})
    frame["embedding"] = list(np.ones((len(frame), 4)) * np.arange(1, len(frame) + 1)[:, None])
    with pytest.raises(ProbeError, match=r"this probe takes frame sequences \(N, T, D\), not an array of shape"):
        evaluate(frame, data, settings=settings)


def test_settings_that_make_no_sense_are_refused():
    for settings in ({"protocol": "loose"}, {"probe": "tree"}, {"permutations": -1}):
        with pytest.raises(ConfigError):
            EvaluationSettings(**settings)
