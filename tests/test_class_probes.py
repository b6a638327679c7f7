import json
import re

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from cia_bench.errors import ConfigError, ProbeError
from cia_bench.probes import (
    CLASS_PROBES,
    ClassMlpProbe,
    Rows,
    SoftmaxProbe,
    build_class_probe,
    class_descent,
    fit_chosen_classes,
    hold_out,
    softmax,
)
from cia_bench.probes.scaling import RowScaler, Scaler
from cia_bench.progress import shown


def clusters(clips: int, D: int, K: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Clips (clips, D) about the means of K classes, that are `spread` apart, and their labels; all of them occur."""
    generator = np.random.default_rng(0)
    labels = np.concatenate([np.arange(K), generator.integers(0, K, clips - K)])
    return spread * generator.standard_normal((K, D))[labels] + generator.standard_normal((clips, D)), labels


def rows_of(features: np.ndarray, **settings) -> Rows:
    return Rows(features, np.arange(len(features)), **settings)


def standardise(features: np.ndarray) -> np.ndarray:
    """In float64; constant features become 0."""
    features = features.astype(np.float64)
    deviation = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(np.ptp(features, axis=0) > 0, deviation, np.inf)


def objective(features: np.ndarray, labels: np.ndarray, coef: np.ndarray, intercept: np.ndarray, l2: float) -> float:
    """By its definition, in float64: (N, D), (N,), (D, K), (K,)."""
    logs = log_softmax(features @ coef + intercept, axis=1)
    return -logs[np.arange(len(labels)), labels].mean() + l2 / 2 * (coef**2).sum()


def correlated(clips: int, D: int, K: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances along the principal axes fall as 1 / n²."""
    features, labels = clusters(clips, D, K, 0.5)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((D, D)))[0]
    return features / np.arange(1, D + 1) @ turn, labels


def collinear(clips: int, D: int, K: int) -> tuple[np.ndarray, np.ndarray]:
    features, labels = clusters(clips, D // 2, K, 0.5)
    return np.concatenate([features, features @ np.random.default_rng(1).standard_normal((D // 2, D // 2))], 1), labels


def offset(clips: int, D: int, K: int) -> tuple[np.ndarray, np.ndarray]:
    features, labels = clusters(clips, D, K, 0.5)
    return features + 1e4, labels


def partly_constant(clips: int, D: int, K: int) -> tuple[np.ndarray, np.ndarray]:
    features, labels = clusters(clips, D, K, 0.5)
    features[:, ::3] = 0.1
    return features, labels


@pytest.mark.parametrize("l2", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize(
    ("make", "shape", "kind"),
    [
        (clusters, (300, 10, 5), np.float16),
        (correlated, (400, 20, 7), np.float32),
        (collinear, (300, 16, 4), np.float64),
        (clusters, (40, 200, 6), np.float32),  # fewer clips than features
        (offset, (300, 10, 5), np.float32),
        (offset, (300, 10, 5), np.float64),
        (partly_constant, (300, 9, 5), np.float32),
        (clusters, (200, 3, 2), np.float32),  # two classes
    ],
)
def test_softmax_reaches_scikit_learns_objective_and_answers_alike(make, shape, kind, l2):
    features, labels = make(*shape)
    features = features.astype(kind)
    probe = SoftmaxProbe(l2).fit(rows_of(features), labels, shape[2])
    scaled = standardise(features)
    theirs = LogisticRegression(C=1 / (len(labels) * l2), tol=1e-8, max_iter=20_000)
    if shape[2] == 2:  # scikit-learn's loss of two classes has one weight for each feature, and half the penalty
        theirs.set_params(C=2 / (len(labels) * l2))
    theirs.fit(scaled, labels)
    coef, intercept = theirs.coef_.T, theirs.intercept_
    if shape[2] == 2:
        coef, intercept = np.concatenate([-coef, coef], 1) / 2, np.concatenate([-intercept, intercept]) / 2
    least = objective(scaled, labels, coef, intercept, l2)
    assert objective(scaled, labels, probe.coef_, probe.intercept_, l2) <= least * (1 + 3e-5)
    assert probe.converged_
    scores = probe.scores(rows_of(features))
    assert scores.dtype == np.float32 and scores.shape == (len(labels), shape[2])
    expected = log_softmax(scaled @ coef + intercept, axis=1)
    assert np.abs(np.exp(log_softmax(scores, axis=1)) - np.exp(expected)).max() < 0.01
    assert (scores.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.99


def test_equal_curvature_saves_most_evaluations(monkeypatch):
    features, labels = correlated(1000, 40, 8)
    fit = SoftmaxProbe(1e-2).fit(rows_of(features), labels, 8)
    alike = torch.ones(40, dtype=torch.float64), torch.eye(40, dtype=torch.float64)
    monkeypatch.setattr("cia_bench.probes.standardised.Standardised.spectrum", alike)
    plain = SoftmaxProbe(1e-2).fit(rows_of(features), labels, 8)
    assert 2 * fit.evaluations_ < plain.evaluations_
    np.testing.assert_allclose(fit.coef_, plain.coef_, atol=0.02)


def test_values_from_strong_to_weak_start_where_the_one_before_ended():
    features, labels = correlated(400, 20, 5)
    values = sorted(SoftmaxProbe.grid, reverse=True)
    warm = list(SoftmaxProbe().fit_values(rows_of(features), labels, 5, values))
    cold = [SoftmaxProbe(value).fit(rows_of(features), labels, 5) for value in values]
    assert sum(probe.evaluations_ for probe in warm) < sum(probe.evaluations_ for probe in cold)
    np.testing.assert_allclose(warm[2].coef_, cold[2].coef_, atol=0.02)
    again = SoftmaxProbe().fit_values(rows_of(features), labels, 5, [1e-3], start=warm[2])
    assert next(again).evaluations_ <= 3


def test_the_loss_of_clips_far_on_their_side_is_not_lost_in_rounding():
    entropies, wrong, gradient = softmax._softmax(torch.tensor([[20.0, 0], [0, 120]]), torch.tensor([0, 0]))
    np.testing.assert_allclose(entropies, [np.exp(-20), 120], rtol=1e-5)
    np.testing.assert_allclose(wrong, [np.exp(-20), 1], rtol=1e-5)
    np.testing.assert_allclose(gradient, [[-np.exp(-20), np.exp(-20)], [-1, 1]], rtol=1e-5)


def test_a_search_that_is_cut_short_says_so(monkeypatch):
    monkeypatch.setattr(softmax, "EVALUATIONS", 3)
    probe = SoftmaxProbe(1e-5).fit(rows_of(clusters(100, 5, 3)[0]), clusters(100, 5, 3)[1], 3)
    assert not probe.converged_ and probe.evaluations_ < 10


@pytest.fixture
def few_steps(monkeypatch):
    """Of the probes that are trained, where what they learn does not matter."""
    monkeypatch.setattr(class_descent, "FEWEST_STEPS", 20)


@pytest.mark.parametrize("name", sorted(CLASS_PROBES))
def test_blocks_of_one_row_learn_and_answer_as_one_block(name, few_steps):
    features, labels = clusters(60, 12, 3)
    features = features.reshape(60, 3, 4) if name == "attentive" else features
    all_rows = np.concatenate([np.zeros_like(features[:5]), features]).astype(np.float32)
    rows = np.arange(5, 65)[::-1]
    fits = [build_class_probe(name).fit(Rows(all_rows, rows, block), labels[::-1], 3) for block in (1, 7, None)]
    one, seven, whole = (probe.scores(Rows(all_rows, rows[:20], 1)) for probe in fits)
    np.testing.assert_allclose(one, whole, atol=2e-3)
    np.testing.assert_allclose(seven, whole, atol=2e-3)
    np.testing.assert_allclose(fits[0].scores(rows_of(all_rows[rows[:20]])), one, atol=1e-5)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_rows_are_scaled_as_all_at_once(kind, scale):
    features = (scale * (np.random.default_rng(0).standard_normal((50, 3, 4)) + 3)).astype(kind)
    features[..., 2] = 5
    scaled = RowScaler().fit(rows_of(features, block=7)).transform(features)
    kept = [0, 1, 3]
    wide = features.astype(np.float64)
    np.testing.assert_allclose(scaled[..., kept], Scaler().fit(wide).transform(wide), atol=1e-5)
    assert (scaled[..., 2] == 0).all() and scaled.dtype == np.float32


@pytest.mark.parametrize("name", sorted(CLASS_PROBES))
def test_a_feature_constant_in_training_does_not_change_the_answer(name, few_steps):
    features, labels = clusters(50, 8, 3)
    features = features.reshape(50, 2, 4) if name == "attentive" else features
    features[..., 1] = 7
    probe = build_class_probe(name).fit(rows_of(features), labels, 3)
    other = features.copy()
    other[..., 1] = -1e6
    np.testing.assert_array_equal(probe.scores(rows_of(features)), probe.scores(rows_of(other)))


@pytest.mark.parametrize("name", sorted(CLASS_PROBES))
def test_clips_that_are_all_alike_give_the_share_of_each_class(name):
    features = np.ones((10, 2, 3) if name == "attentive" else (10, 3))
    scores = (
        build_class_probe(name).fit(rows_of(features), np.repeat([0, 1, 2], [2, 5, 3]), 3).scores(rows_of(features))
    )
    np.testing.assert_allclose(np.exp(log_softmax(scores[0].astype(float))), [0.2, 0.5, 0.3], atol=0.01)


def test_hidden_units_learn_what_no_planes_divide():
    features = np.random.default_rng(0).standard_normal((1500, 2))
    labels = 2 * (features[:, 0] * features[:, 1] > 0) + (np.abs(features).max(axis=1) > 1)
    train, new = Rows(features, np.arange(1000)), Rows(features, np.arange(1000, 1500))
    accuracies = [
        (probe.fit(train, labels[:1000], 4).scores(new).argmax(axis=1) == labels[1000:]).mean()
        for probe in (ClassMlpProbe(), SoftmaxProbe())
    ]
    assert accuracies[0] > 0.85 and accuracies[1] < 0.6


def test_attention_learns_from_the_order_of_frames_alone():
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 4  # at which of four places the frame comes that differs
    frames = 0.5 * generator.standard_normal((400, 4, 32)) + 0.3 * generator.standard_normal((4, 32))
    frames = np.stack([np.roll(clip, label, axis=0) for clip, label in zip(frames, labels, strict=True)])
    train, new = np.arange(300), np.arange(300, 400)
    frames[:, :, :] += (np.arange(4) == 0)[None, :, None] * generator.standard_normal(32)
    attentive = build_class_probe("attentive").fit(Rows(frames, train), labels[train], 4)
    assert (attentive.scores(Rows(frames, new)).argmax(axis=1) == labels[new]).mean() > 0.8
    mean = frames.mean(axis=1)
    plain = SoftmaxProbe().fit(Rows(mean, train), labels[train], 4)
    assert (plain.scores(Rows(mean, new)).argmax(axis=1) == labels[new]).mean() < 0.5


@pytest.mark.parametrize("name", sorted(CLASS_PROBES))
def test_the_same_seed_gives_the_same_bits_and_leaves_torch_as_it_was(name, few_steps):
    features, labels = clusters(80, 12, 3)
    data = rows_of(features.reshape(80, 3, 4) if name == "attentive" else features)
    before = torch.random.get_rng_state()
    first, again = (
        fit_chosen_classes(build_class_probe(name), data, labels, np.arange(80), 3, seed=1) for _ in range(2)
    )
    np.testing.assert_array_equal(first.scores(data), again.scores(data))
    assert first.choice_ == again.choice_
    assert torch.equal(before, torch.random.get_rng_state())
    if name != "softmax":
        other = build_class_probe(name, seed=1).fit(data, labels, 3).scores(data)
        assert not np.array_equal(build_class_probe(name).fit(data, labels, 3).scores(data), other)


def test_weights_decay_more_the_stronger_they_should():
    features, labels = clusters(200, 6, 3)
    sizes = [
        np.abs(ClassMlpProbe(value, hidden=32).fit(rows_of(features), labels, 3).scores(rows_of(features))).mean()
        for value in (0.1, 3.0, 30.0)
    ]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 1.2 * sizes[-1]


@pytest.mark.parametrize("spread", [0.2, 0.6])
def test_the_choice_equals_a_slow_plain_one(spread):
    features, labels = clusters(400, 30, 4, spread)
    units = np.arange(400) // 2
    probe = fit_chosen_classes(SoftmaxProbe(), rows_of(features), labels, units, 4, seed=3)
    held = hold_out(units, labels, 3)
    accuracies = {}
    for l2 in sorted(SoftmaxProbe.grid, reverse=True):
        mean, deviation = features[~held].mean(axis=0), features[~held].std(axis=0)
        model = LogisticRegression(C=1 / ((~held).sum() * l2), tol=1e-8, max_iter=20_000)
        model.fit((features[~held] - mean) / deviation, labels[~held])
        accuracies[l2] = model.score((features[held] - mean) / deviation, labels[held])
    assert probe.choice_.accuracies == pytest.approx(accuracies)
    best = max(accuracies, key=accuracies.get)
    assert probe.chosen_ == probe.l2 == probe.choice_.value == best
    assert probe.choice_.held_out == held.sum() > 30
    alone = SoftmaxProbe(best).fit(rows_of(features), labels, 4)
    np.testing.assert_allclose(probe.coef_, alone.coef_, atol=5e-3)
    assert probe.evaluations_ > alone.evaluations_
    json.dumps(probe.choice_.accuracies)


def test_of_equals_the_strongest_is_chosen(few_steps):
    features, labels = clusters(90, 6, 3, 50.0)  # nobody errs
    for name, strongest in (("softmax", 0.1), ("mlp", ClassMlpProbe.grid[-1])):
        probe = fit_chosen_classes(build_class_probe(name), rows_of(features), labels, np.arange(90), 3)
        assert set(probe.choice_.accuracies.values()) == {1.0} and len(probe.choice_.accuracies) == 5
        assert probe.chosen_ == strongest


def test_where_nothing_can_be_held_out_the_value_is_the_probes_own():
    features, labels = clusters(40, 4, 2)
    probe = fit_chosen_classes(SoftmaxProbe(0.03), rows_of(features), labels, labels, 2)  # a unit is a whole class
    assert (probe.chosen_, probe.choice_.held_out, probe.choice_.accuracies) == (0.03, 0, {})


def test_the_tenth_is_of_each_class_where_clips_share_no_unit():
    labels = np.repeat([0, 1, 2, 3, 4], [100, 57, 6, 5, 1])
    held = hold_out(np.arange(len(labels)), labels, 0)
    assert np.bincount(labels[held], minlength=5).tolist() == [10, 6, 1, 0, 0]
    assert not np.array_equal(held, hold_out(np.arange(len(labels)), labels, 1))


def test_a_unit_with_the_only_clip_of_a_class_stays():
    units, labels = np.repeat([0, 1], [6, 45]), np.repeat([0, 1, 0], [5, 1, 45])
    assert not hold_out(units, labels, 0).any()
    labels[5] = 0
    assert hold_out(units, labels, 0).sum() == 6


@pytest.mark.parametrize("seed", range(20))
def test_units_are_never_divided_and_no_class_is_lost(seed):
    generator = np.random.default_rng(seed)
    N, K = int(generator.integers(20, 400)), int(generator.integers(2, 8))
    labels = np.concatenate([np.arange(K), generator.integers(0, K, N - K)])
    units = np.array([f"video {unit}" for unit in generator.integers(0, generator.integers(2, N), N)])
    held = hold_out(units, labels, seed)
    assert not set(units[held]) & set(units[~held])
    assert set(labels[~held]) == set(range(K))
    missed = np.bincount(labels, minlength=K) / 10 - np.bincount(labels[held], minlength=K)
    for unit in set(units):  # no other unit held out, nor one of them not, would bring it nearer
        counts = np.bincount(labels[units == unit], minlength=K)
        if (
            not held[units == unit].any()
            and (counts + np.bincount(labels[held], minlength=K) < np.bincount(labels)).all()
        ):
            assert np.abs(missed - counts).sum() >= np.abs(missed).sum() - 1e-9


def test_progress_tells_value_loss_and_the_way_to_the_end(capsys, few_steps):
    features, labels = clusters(100, 6, 3)
    probe = fit_chosen_classes(SoftmaxProbe(), rows_of(features), labels, np.arange(100), 3, progress=shown)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fit the probe: 600/600, ") and f"; l2 {probe.l2:g}: pass " in line
    assert "of it above the least" in line
    fit_chosen_classes(ClassMlpProbe(), rows_of(features), labels, np.arange(100), 3, progress=shown)
    assert re.search("fit the probe: 120/120, .*; weight_decay [0-9.]+: loss ", capsys.readouterr().err)


@pytest.mark.parametrize("name", sorted(CLASS_PROBES))
def test_what_no_probe_can_learn_from_is_refused_in_one_line(name, few_steps):
    features, labels = clusters(30, 4, 3)
    features = features.reshape(30, 2, 2) if name == "attentive" else features
    probe = build_class_probe(name)

    def refusal(features=features, labels=labels, classes=3) -> str:
        with pytest.raises(ProbeError) as refused:
            probe.fit(rows_of(np.asarray(features)), labels, classes)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    wrong = features.copy()
    wrong[3, 1] = np.nan
    assert refusal(wrong) == "the features hold a number that is not finite"
    wrong[3, 1] = 1e300
    assert "so large that their squares overflow" in refusal(wrong)
    assert refusal(labels=labels[1:]) == "30 clips need labels of shape (30,), not (29,)"
    assert refusal(labels=np.where(np.arange(30) == 7, 3, labels)) == "label 3 of clip 7 is none of the classes, 0 to 2"
    assert refusal(labels=labels - 1).startswith("label -1 of clip 0 is")
    assert refusal(labels=labels.astype(float)) == "labels are the numbers of classes, not float64"
    assert refusal(classes=5) == "no training clip of class 3 and 1 more"
    assert refusal(labels=labels * 0, classes=1) == "a probe needs at least two classes, not 1"
    assert "this probe takes " in refusal(features[..., None])
    assert refusal(features.astype(int)) == "features are floating-point numbers, not int64"
    probe.fit(rows_of(features), labels, 3)
    with pytest.raises(ProbeError, match=r"learnt from clips of shape \(.*\), not \(.*1,?\)"):
        probe.scores(rows_of(features[..., :1]))
    wrong[3, 1] = np.inf
    with pytest.raises(ProbeError, match="not finite"):
        probe.scores(rows_of(wrong))
    with pytest.raises(ProbeError, match="30 clips need as many units, not 29"):
        fit_chosen_classes(probe, rows_of(features), labels, np.arange(29), 3)


def test_probes_are_built_by_name_and_told_by_their_settings():
    assert all(len(set(probe.grid)) == 5 for probe in CLASS_PROBES.values())
    assert [name for name in sorted(CLASS_PROBES) if build_class_probe(name).takes_frames] == ["attentive"]
    assert build_class_probe("softmax", l2=0.5, device="cpu").describe() == {"l2": 0.5}
    probe = build_class_probe("mlp", hidden=3)
    assert probe.describe() == {"weight_decay": 1.0, "hidden": 3, "seed": 0}
    assert probe.with_value(9.0).settings() == {**probe.settings(), "weight_decay": 9.0}
    with pytest.raises(ConfigError, match="unknown probe 'ridge'; choose from attentive, mlp, softmax"):
        build_class_probe("ridge")
    with pytest.raises(ConfigError, match="l2 is 0; this probe needs a number above 0"):
        SoftmaxProbe(0)
    with pytest.raises(ConfigError, match="hidden is 0"):
        ClassMlpProbe(hidden=0)
