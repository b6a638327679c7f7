import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cia_bench.errors import ConfigError, ProbeError
from cia_bench.probes import (
    PROBES,
    AttentiveProbe,
    LogisticProbe,
    MlpProbe,
    RidgeProbe,
    RidgeRefits,
    build_probe,
    choose,
    fit_chosen,
    make_folds,
)

WEIGHTS = pytest.mark.parametrize("class_weight", [None, "balanced"])
STANDARDISE = pytest.mark.parametrize("standardise", [False, True])


def scikit_learns(alpha: float, class_weight: str | None, standardise: bool):
    """Its most exact solver; the default one loses digits where alpha is small beside the features."""
    model = RidgeClassifier(alpha=alpha, class_weight=class_weight, solver="svd")
    return make_pipeline(StandardScaler(), model) if standardise else model


def noise(n: int, d: int, *seed: int, share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) in float32 and labels (n,), of which `share` are 1."""
    generator = np.random.default_rng([n, d, *seed])
    features = (3 + 5 * generator.standard_normal((n, d))).astype(np.float32)
    return features, generator.permutation(np.arange(n) < max(1, n * share)).astype(np.int8)


def with_signal(n: int, d: int, *seed: int) -> tuple[np.ndarray, np.ndarray]:
    features, labels = noise(n, d, *seed, share=0.4)
    features[:, :3] += 4 * labels[:, None]
    return features, labels


def assert_same_scores(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal to 1e-8 of the largest, with the same answer for each clip, but for the rounding of targets -1 and 1."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8 * np.abs(theirs).max() + 1e-15)
    told = np.abs(theirs) > 1e-14
    np.testing.assert_array_equal((ours > 0)[told], (theirs > 0)[told])


@pytest.mark.parametrize(("n", "d"), [(40, 7), (40, 40), (40, 200), (3, 500), (2, 1)])
@pytest.mark.parametrize("share", [0.5, 0.2])
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 3e4])
@WEIGHTS
@STANDARDISE
def test_ridge_equals_scikit_learns_fed_float64(n, d, share, alpha, class_weight, standardise):
    features, labels = noise(n, d, share=share)
    new = noise(500, d)[0]
    ours = RidgeProbe(alpha, class_weight, standardise).fit(features, labels)
    theirs = scikit_learns(alpha, class_weight, standardise).fit(features.astype(np.float64), labels)
    assert_same_scores(ours.decision_function(new), theirs.decision_function(new.astype(np.float64)))
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new.astype(np.float64)))
    assert ours.predict(new).dtype == labels.dtype


@pytest.mark.parametrize("n, d", [(60, 90), (90, 30)])  # the smaller Gram matrix is of clips, of features
@WEIGHTS
@STANDARDISE
def test_torch_on_a_device_gives_the_predictions_of_numpy(n, d, class_weight, standardise):
    features, labels = noise(n, d, share=0.4)
    new = noise(200, d)[0]
    for scale in (1, 1e-3, 1e6):  # at the last a Gram matrix loses alpha, where features are not standardised
        here, there = (RidgeProbe(1.0, class_weight, standardise, device) for device in (None, "cpu"))
        scores = [probe.fit(scale * features, labels).decision_function(scale * new) for probe in (here, there)]
        assert_same_scores(*scores)
        np.testing.assert_array_equal(scores[0] > 0, scores[1] > 0)
        assert_same_scores(*(probe.score_grid(features, labels, new, probe.grid) for probe in (here, there)))
        labellings = np.array([np.roll(labels, shift) for shift in range(5)])
        folds = np.arange(n) % 5
        refits = [RidgeRefits(probe, scale * features, scale * new, folds) for probe in (here, there)]
        assert_same_scores(*(one.decision_function(labellings) for one in refits))


def test_a_device_is_no_part_of_what_a_result_records():
    assert RidgeProbe(device="cpu").describe() == RidgeProbe().describe() == {"alpha": 1.0}


def exact_scores(features, labels, new, alpha, class_weight) -> np.ndarray:
    """Ridge's scores by the rules of arithmetic on fractions: weights w and intercept b of the normal equations."""
    N, D = features.shape
    rows = [[Fraction(float(x)) for x in row] + [Fraction(1)] for row in features]  # the last is the intercept's
    weights = [Fraction(N, 2 * int((labels == one).sum())) if class_weight else Fraction(1) for one in labels]
    answers = [Fraction(2 * int(one) - 1) for one in labels]
    system = [
        [
            sum(w * row[i] * right for w, row, right in zip(weights, rows, column, strict=True))
            for column in [*zip(*rows, strict=True), answers]
        ]
        for i in range(D + 1)
    ]
    for i in range(D):
        system[i][i] += Fraction(alpha)
    for i in range(D + 1):  # Gauss and Jordan's elimination; the matrix is positive definite: no pivot is 0
        system[i] = [x / system[i][i] for x in system[i]]
        for j in set(range(D + 1)) - {i}:
            system[j] = [x - system[j][i] * y for x, y in zip(system[j], system[i], strict=True)]
    solution = [row[-1] for row in system]
    return np.array(
        [
            float(sum(Fraction(float(x)) * w for x, w in zip(row, solution[:-1], strict=True)) + solution[-1])
            for row in new
        ]
    )


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e3, 1e4, 1e5, 1e6, 1e8])
@pytest.mark.parametrize(("n", "d"), [(20, 6), (6, 6), (8, 12)])
@WEIGHTS
def test_ridge_is_exact_with_repeated_clips_and_constant_features_at_any_scale(scale, n, d, class_weight):
    features, labels = noise(n, d, share=0.3)
    features[n // 2 :] = features[: n - n // 2]  # the same clip under two labels
    features[:, 1], features[:, 2] = 3, features[:, 0]
    features, new = features * np.float64(scale), noise(60, d, 1)[0] * np.float64(scale)
    new[:, 1] = features[0, 1]
    exact = exact_scores(features, labels, new, 1.0, class_weight)
    probe = RidgeProbe(1.0, class_weight)
    assert_same_scores(probe.fit(features, labels).decision_function(new), exact)
    assert_same_scores(probe.score_grid(features, labels, new, [1.0, 5.0])[0], exact)
    refitted = RidgeRefits(probe, features, new).decision_function(labels[None])[:, 0]
    np.testing.assert_allclose(refitted, exact, rtol=0, atol=1e-8 * np.abs(exact).max() + 1e-13)


@WEIGHTS
def test_features_of_very_different_scales_are_each_scaled(class_weight):
    features, labels = noise(40, 60)
    features = features * np.float64(10.0) ** np.linspace(-8, 8, 60)
    ours = RidgeProbe(1.0, class_weight, standardise=True).fit(features, labels)
    theirs = scikit_learns(1.0, class_weight, standardise=True).fit(features, labels)
    assert_same_scores(ours.decision_function(features), theirs.decision_function(features))


def test_features_too_small_to_be_squared_are_scaled_all_the_same():
    features, labels = noise(40, 6)
    tiny = features * np.float64(1e-200)
    small = RidgeProbe(standardise=True).fit(tiny, labels).decision_function(tiny)
    np.testing.assert_allclose(small, RidgeProbe(standardise=True).fit(features, labels).decision_function(features))


def test_a_feature_constant_in_training_does_not_change_the_answer_when_scaled():
    features, labels = noise(40, 6)
    features[:, 2] = 0.1
    new = noise(50, 6, 1)[0]
    moved = new.copy()
    moved[:, 2] += 1e6
    probe = RidgeProbe(standardise=True).fit(features, labels)
    np.testing.assert_array_equal(probe.decision_function(new), probe.decision_function(moved))


def test_ridge_on_one_feature_is_worked_out_by_hand():
    # centred x = -1, 1 and y = -1, 1: weight = 2 / (2 + 1); the means 3 and 0 give the intercept -2
    probe = RidgeProbe(alpha=1.0).fit(np.array([[2.0], [4.0]]), np.array([0, 1]))
    assert probe.coef_ == pytest.approx([2 / 3])
    assert probe.intercept_ == pytest.approx(-2)
    assert probe.predict(np.array([[2.9], [3.0], [3.1]])).tolist() == [0, 0, 1]


def test_balanced_ridge_on_one_feature_is_worked_out_by_hand():
    # x = 0, 0, 3 with weights 3/4, 3/4, 3/2: mean 3/2, sum of squares 27/4, of products 9/2, so 9/2 / (27/4 + 9/4)
    probe = RidgeProbe(9 / 4, "balanced").fit(np.array([[0.0], [0.0], [3.0]]), np.array([0, 0, 1]))
    assert probe.coef_ == pytest.approx([1 / 2])
    assert probe.intercept_ == pytest.approx(-3 / 4)


@pytest.mark.parametrize("n", [30, 3])
@pytest.mark.parametrize("scale", [1e5, 1e7, 1e9, 1e12])
def test_ridge_equals_scikit_learns_where_alpha_is_lost_in_rounding(n, scale):
    generator = np.random.default_rng(0)
    features = scale * np.repeat(generator.standard_normal((n, 3)), 2, axis=1)  # each feature twice
    labels = np.arange(n) % 2
    ours = RidgeProbe().fit(features, labels)
    theirs = RidgeClassifier(solver="svd").fit(features, labels)  # its default solver warns and loses digits here
    np.testing.assert_array_equal(ours.predict(features), theirs.predict(features))
    np.testing.assert_allclose(ours.decision_function(features), theirs.decision_function(features), atol=1e-3)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 1e4])
@WEIGHTS
def test_logistic_equals_scikit_learns_with_few_and_many_features(alpha, class_weight):
    for d in (5, 60):
        features, labels = with_signal(50, d)
        ours = LogisticProbe(1 / alpha, class_weight).fit(features, labels)
        model = LogisticRegression(C=1 / alpha, class_weight=class_weight, tol=1e-9, max_iter=10_000)
        theirs = make_pipeline(StandardScaler(), model).fit(features.astype(np.float64), labels)
        new = noise(300, d)[0]
        expected = theirs.decision_function(new.astype(np.float64))
        np.testing.assert_allclose(ours.decision_function(new), expected, atol=2e-3 * np.abs(expected).max())
        assert (ours.predict(new) == theirs.predict(new.astype(np.float64))).mean() > 0.99


@pytest.mark.parametrize("probe", [RidgeProbe(), RidgeProbe(1.0, "balanced", True), LogisticProbe(), MlpProbe()])
@pytest.mark.parametrize("d", [8, 60])
def test_a_grid_of_values_scores_as_a_fit_of_each(probe, d):
    features, labels = with_signal(40, d)
    new = noise(30, d)[0]
    together = probe.score_grid(features, labels, new, probe.grid)
    for value, scores in zip(probe.grid, together, strict=True):
        one = probe.with_value(value).fit(features, labels)
        np.testing.assert_allclose(scores, one.decision_function(new), atol=1e-8 * np.abs(scores).max())


def test_the_hidden_layer_learns_what_no_plane_divides():
    generator = np.random.default_rng(0)
    features = generator.standard_normal((800, 2))
    labels = (features[:, 0] * features[:, 1] > 0).astype(int)
    accuracies = [
        (probe.fit(features[:500], labels[:500]).predict(features[500:]) == labels[500:]).mean()
        for probe in (MlpProbe(), LogisticProbe())
    ]
    assert accuracies[0] > 0.9 and accuracies[1] < 0.65


def sequences(clips: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (clips, 8, 128) whose frames of one label are those of the other in reverse order, but for noise."""
    labels = np.arange(clips) % 2
    frames = 0.5 * generator.standard_normal((clips, 8, 128))
    frames += (2 * labels[:, None, None] - 1) * np.linspace(-1, 1, 8)[:, None] * generator.standard_normal(128) / 4
    return frames, labels


def test_attention_tells_a_sequence_from_its_reverse_as_a_mean_can_not():
    frames, labels = sequences(300, np.random.default_rng(0))
    attentive = AttentiveProbe().fit(frames[:200], labels[:200])
    assert (attentive.predict(frames[200:]) == labels[200:]).mean() > 0.9
    mean = RidgeProbe().fit(frames[:200].mean(axis=1), labels[:200])
    assert (mean.predict(frames[200:].mean(axis=1)) == labels[200:]).mean() < 0.65


@pytest.mark.parametrize("name", ["mlp", "attentive"])
def test_trained_probes_give_the_same_bits_for_a_seed_and_leave_torch_as_it_was(name):
    shape = (60, 8, 512) if name == "attentive" else (300, 768)  # enough for torch to divide sums over threads
    features, labels = np.random.default_rng(0).standard_normal(shape), np.arange(shape[0]) % 2
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(1)
    first = build_probe(name, seed=3).fit(features, labels).decision_function(features)
    torch.set_num_threads(2)
    torch.manual_seed(5)
    try:
        again = build_probe(name, seed=3).fit(features, labels).decision_function(features)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(before)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, build_probe(name, seed=4).fit(features, labels).decision_function(features))


@pytest.mark.parametrize("name", ["mlp", "attentive"])
def test_balanced_weights_of_trained_probes_answer_the_rare_label_more(name):
    generator = np.random.default_rng(0)
    frames, labels = generator.standard_normal((120, 2, 3)), (np.arange(120) % 6 == 0).astype(int)
    features = frames if name == "attentive" else frames[:, 0]
    shares = [
        build_probe(name, class_weight=weight, weight_decay=30.0).fit(features, labels).predict(features).mean()
        for weight in (None, "balanced")
    ]
    assert shares[0] < 0.1 and 0.25 < shares[1] < 0.75


def is_divisible(clusters: np.ndarray, labels: np.ndarray, folds: int) -> bool:
    """Whether any division of clusters into this number of folds leaves both labels in each training part."""
    names = np.unique(clusters)
    for code in range(folds ** len(names)):
        fold_of = code // folds ** np.arange(len(names)) % folds
        fold = fold_of[np.searchsorted(names, clusters)]
        parts = [labels[fold != one] for one in range(folds)]
        if len(np.unique(fold_of)) == folds and all(len(np.unique(part)) == 2 for part in parts):
            return True
    return False


def test_folds_keep_clusters_whole_and_both_labels_in_training_wherever_that_can_be():
    generator = np.random.default_rng(0)
    found = {True: 0, False: 0}
    for seed in range(400):
        count = generator.integers(2, 6)
        clusters = generator.integers(0, generator.integers(1, 6), count) * 7
        labels = (generator.random(count) < generator.choice([0.2, 0.5])).astype(int)
        if len(np.unique(labels)) < 2:
            continue
        folds = make_folds(clusters, labels, seed)
        possible = is_divisible(clusters, labels, min(5, len(np.unique(clusters))))
        assert (folds is not None) == possible
        found[possible] += 1
        if possible:
            assert len(np.unique(folds)) == min(5, len(np.unique(clusters)))
            assert all(len(np.unique(folds[clusters == one])) == 1 for one in clusters)
            assert all(len(np.unique(labels[folds != fold])) == 2 for fold in folds)
    assert min(found.values()) > 30


def test_many_clusters_still_leave_both_labels_in_each_training_part():
    generator = np.random.default_rng(0)
    for seed in range(200):
        clusters = generator.integers(0, 30, 60)
        rare = generator.choice(np.unique(clusters), 2, replace=False)  # a label that two clusters have
        labels = (np.isin(clusters, rare) & (generator.random(60) < 0.7)).astype(int)
        if len(np.unique(clusters[labels == 1])) == 2:
            folds = make_folds(clusters, labels, seed)
            assert all(len(np.unique(labels[folds != fold])) == 2 for fold in range(5))


def test_folds_are_of_like_size_and_share_of_labels_and_drawn_by_the_seed():
    labels = (np.arange(200) % 4 == 0).astype(int)
    folds = make_folds(np.arange(200), labels, seed=1)
    assert np.bincount(folds).tolist() == [40] * 5
    assert np.bincount(folds, labels).tolist() == [10] * 5
    np.testing.assert_array_equal(folds, make_folds(np.arange(200), labels, seed=1))
    assert (folds != make_folds(np.arange(200), labels, seed=2)).any()


def slow_choice(values, features, labels, folds, class_weight) -> tuple[float, list[float]]:
    """The value of the best balanced accuracy, from weak to strong, with scikit-learn's parts; the accuracies."""
    accuracies = []
    for value in values:
        answers = np.empty(len(labels), dtype=int)
        for fold in np.unique(folds):
            model = scikit_learns(value, class_weight, True).fit(features[folds != fold], labels[folds != fold])
            answers[folds == fold] = model.predict(features[folds == fold])
        accuracies.append(balanced_accuracy_score(labels, answers))
    best = max(value for value, accuracy in zip(values, accuracies, strict=True) if accuracy > max(accuracies) - 1e-12)
    return best, accuracies


@WEIGHTS
def test_the_choice_equals_a_slow_plain_one_and_refits_on_all_clips(class_weight):
    chosen = set()
    for seed in range(5):
        features, labels = with_signal(60, 30, seed)
        features = features.astype(np.float64)
        clusters = np.arange(60) // 3
        probe = RidgeProbe(class_weight=class_weight, standardise=True)
        ours = fit_chosen(probe, features, labels, clusters, seed=seed)
        folds = make_folds(clusters, labels, seed)
        value, accuracies = slow_choice(probe.grid, features, labels, folds, class_weight)
        assert ours.chosen_ == ours.alpha == ours.choice_.value == value
        assert list(ours.choice_.accuracies.values()) == pytest.approx(accuracies)
        assert ours.choice_.folds == 5
        theirs = scikit_learns(value, class_weight, True).fit(features, labels)
        assert_same_scores(ours.decision_function(features), theirs.decision_function(features))
        chosen.add(value)
    assert len(chosen) > 1


def test_of_equals_the_stronger_regularisation_is_chosen():
    features, labels = np.array([[0.0], [0.1], [0.2], [1.0], [1.1], [1.2]]), np.array([0, 0, 0, 1, 1, 1])
    ridge, logistic = RidgeProbe(class_weight="balanced"), LogisticProbe(class_weight="balanced")
    assert fit_chosen(ridge, features, labels, np.arange(6), [10, 0.1, 1]).chosen_ == 10
    assert fit_chosen(logistic, features, labels, np.arange(6), [10, 0.1, 1]).chosen_ == 0.1


def test_without_folds_the_value_is_the_probes_own_and_that_is_told():
    features, labels = with_signal(20, 4)
    fitted = fit_chosen(RidgeProbe(7.0), features, labels, clusters=labels)
    assert (fitted.chosen_, fitted.choice_.folds, fitted.choice_.accuracies) == (7.0, 0, {})
    np.testing.assert_array_equal(fitted.coef_, RidgeProbe(7.0).fit(features, labels).coef_)


def test_a_choice_sees_no_label_that_only_the_subjects_tell():
    generator = np.random.default_rng(0)
    subjects = np.repeat(np.arange(40), 5)
    labels = np.repeat(generator.permutation(40) % 2, 5)
    features = np.repeat(generator.standard_normal((40, 30)), 5, axis=0) + 0.01 * generator.standard_normal((200, 30))
    probe = RidgeProbe(standardise=True)
    assert max(fit_chosen(probe, features, labels, np.arange(200)).choice_.accuracies.values()) > 0.85
    assert max(fit_chosen(probe, features, labels, subjects).choice_.accuracies.values()) < 0.7


def test_a_label_planted_in_validation_alone_is_at_chance_after_choosing():
    correct = []
    for seed in range(20):
        features, labels = noise(120, 20, seed)
        train, validation = np.arange(120) < 80, np.arange(120) >= 80
        features[validation, 0] += 100 * labels[validation]
        probe = fit_chosen(RidgeProbe(standardise=True), features[train], labels[train], np.arange(80), seed=seed)
        correct.append((probe.predict(features[validation]) == labels[validation]).mean())
    assert 0.4 < np.mean(correct) < 0.6  # each group is all or nothing by the sign of one weight, or near half


@pytest.mark.parametrize("d", [10, 90])
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e4])
@WEIGHTS
@STANDARDISE
def test_refits_equal_a_fit_of_each_labelling(d, alpha, class_weight, standardise):
    features, labels = noise(50, d, share=0.25)
    features[25:], new = features[:25], noise(40, d)[0]
    generator = np.random.default_rng(0)
    rare = np.arange(50) == 3
    labellings = np.array([labels, *(generator.permutation(labels) for _ in range(5)), rare, ~rare]).astype(int)
    probe = RidgeProbe(alpha, class_weight, standardise)
    scores = RidgeRefits(probe, features, new).decision_function(labellings)
    assert scores.shape == (40, 8)
    for column, one in zip(scores.T, labellings, strict=True):
        expected = probe.fit(features, one).decision_function(new)
        np.testing.assert_allclose(column, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("d", [10, 90])
@WEIGHTS
def test_refits_choose_for_each_labelling_as_choose_does(d, class_weight):
    features, labels = with_signal(50, d)
    new = noise(40, d)[0]
    folds = make_folds(np.arange(50) // 2, np.zeros(50), seed=0)
    generator = np.random.default_rng(0)
    labellings = np.array([labels, *(generator.permutation(labels) for _ in range(300))])
    probe = RidgeProbe(class_weight=class_weight, standardise=True)
    scores = RidgeRefits(probe, features, new, folds).decision_function(labellings)
    chosen = set()
    for row in (0, 1, 2, 3, 4, 5, 299, 300):
        value = choose(probe, features, labellings[row], folds).value
        expected = probe.with_value(value).fit(features, labellings[row]).decision_function(new)
        np.testing.assert_allclose(scores[:, row], expected, rtol=0, atol=1e-8 * np.abs(expected).max())
        chosen.add(value)
    assert len(chosen) > 1


@WEIGHTS
def test_a_part_with_one_label_or_constant_features_answers_alike_when_refitted(class_weight):
    features, new = np.ones((4, 3)), np.ones((2, 3))
    labellings = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 1, 1]])
    expected = [-1, 1, 0.5, -0.5, 0] if class_weight is None else [-1, 1, 0, 0, 0]
    scores = RidgeRefits(RidgeProbe(1.0, class_weight, True), features, new).decision_function(labellings)
    np.testing.assert_array_equal(scores, [expected] * 2)
    varied = RidgeRefits(RidgeProbe(1.0, class_weight), noise(4, 3)[0], new).decision_function(labellings)
    np.testing.assert_allclose(varied[:, :2], [[-1, 1]] * 2)
    folds = np.array([0, 0, 1, 1])  # in the last labelling each training part has one label alone
    probe = RidgeProbe(1.0, class_weight)
    assert np.isfinite(RidgeRefits(probe, noise(4, 3)[0], new, folds).decision_function(labellings)).all()


@pytest.mark.parametrize("name", sorted(PROBES))
def test_constant_features_give_the_majority_or_if_balanced_the_first_label(name):
    features = np.full((5, 2, 3) if name == "attentive" else (5, 3), 0.1)
    for settings in ({}, {"standardise": False}, {"standardise": True}):
        for labels in ([0, 0, 0, 1, 1], [0, 1, 0, 1, 1]):
            plain = build_probe(name, **settings).fit(features, np.array(labels))
            assert plain.predict(2 * features[:2]).tolist() == [labels[-1] * labels[1]] * 2
            balanced = build_probe(name, class_weight="balanced", **settings).fit(features, np.array(labels))
            assert balanced.predict(features[:2]).tolist() == [0, 0]
    tie = build_probe(name).fit(features[:4], np.array([0, 1, 0, 1]))
    assert tie.predict(features).tolist() == [0] * 5
    chosen = fit_chosen(build_probe(name), features, np.array([0, 0, 0, 1, 1]), np.arange(5))
    assert chosen.predict(features).tolist() == [0] * 5


@pytest.mark.parametrize("name", sorted(PROBES))
def test_what_no_probe_can_learn_from_is_refused_in_one_line(name):
    shape = (4, 2, 3) if name == "attentive" else (4, 3)
    features, labels = np.arange(np.prod(shape), dtype=float).reshape(shape), np.array([0, 1, 0, 1])
    bad, large = features.copy(), features.copy()
    bad[0, 0], large[0, 0] = np.nan, 1e200
    needs = r"frame sequences \(N, T, D\)" if name == "attentive" else r"vectors \(N, D\)"
    other = np.ones((4, 3)) if name == "attentive" else np.ones((4, 2, 3))
    for train, given, why in [
        (features, np.array([1, 1, 1, 1]), "two labels to learn from, not 1"),
        (features, np.array([0, 1, 2, 1]), "two labels to learn from, not 3"),
        (features[:1], labels[:1], "at least two clips to learn from, not 1"),
        (features[:0], labels[:0], "at least two clips to learn from, not 0"),
        (features, labels[:3], r"4 clips need labels of shape \(4,\), not \(3,\)"),
        (bad, labels, "not finite"),
        (large, labels, "squares overflow"),
        (other, labels, f"takes {needs}, not an array of shape"),
    ]:
        with pytest.raises(ProbeError, match=why) as raised:
            build_probe(name).fit(train, given)
        assert "\n" not in str(raised.value)
        with pytest.raises(ProbeError, match=why):
            fit_chosen(build_probe(name), train, given, np.arange(len(given)))
    fitted = build_probe(name).fit(features, labels)
    for new, why in [
        (bad, "not finite"),
        (large, "squares overflow"),
        (other, "takes"),
        (features[..., :2], "learnt from clips"),
    ]:
        with pytest.raises(ProbeError, match=why):
            fitted.predict(new)


def test_refits_refuse_what_does_not_fit_together():
    features, labels = noise(6, 3)
    refits = RidgeRefits(RidgeProbe(), features, features)
    for labellings in (labels, labels[None, :5], 2 * labels[None]):
        with pytest.raises(ProbeError, match=r"labellings are \(P, 6\) of 0 and 1"):
            refits.decision_function(labellings)
    with pytest.raises(ProbeError, match="have 3 features, the new ones 2"):
        RidgeRefits(RidgeProbe(), features, features[:, :2])
    for folds in (np.zeros(6), np.arange(5)):
        with pytest.raises(ProbeError, match="two folds or more"):
            RidgeRefits(RidgeProbe(), features, features, folds)
    for values in ([], [0.0, 1.0]):
        with pytest.raises(ConfigError, match="above 0"):
            RidgeRefits(RidgeProbe(), features, features, np.arange(6) % 2, values)


def test_a_wrong_setting_is_refused():
    for value in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ConfigError, match=f"alpha is {value}; this probe needs a number above 0"):
            RidgeProbe(alpha=value)
    with pytest.raises(ConfigError, match="C is 0"):
        LogisticProbe(C=0)
    with pytest.raises(ConfigError, match="class_weight is 'equal'; choose None or 'balanced'"):
        build_probe("mlp", class_weight="equal")
    with pytest.raises(ConfigError, match="hidden is 0"):
        MlpProbe(hidden=0)
    with pytest.raises(ConfigError, match="unknown probe 'rigde'; choose from attentive, logistic, mlp, ridge"):
        build_probe("rigde")
    with pytest.raises(ConfigError, match="no value of the regularisation"):
        fit_chosen(RidgeProbe(), *noise(6, 3), np.arange(6), values=[])
    with pytest.raises(ProbeError, match="6 clips need as many clusters, not 5"):
        fit_chosen(RidgeProbe(), *noise(6, 3), np.arange(5))


def test_settings_make_the_same_probe_again_and_records_leave_out_those_that_are_off():
    probe = MlpProbe(hidden=3, seed=0).fit(*noise(6, 3))
    assert MlpProbe(**probe.settings()).settings() == probe.settings()
    assert RidgeProbe().describe() == {"alpha": 1.0}
    assert probe.describe() == {"weight_decay": 1.0, "standardise": True, "hidden": 3, "seed": 0}


def test_importing_the_probes_imports_neither_torch_nor_scikit_learn():
    code = "import sys, cia_bench.probes; sys.exit(str({'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert heavy.strip() == "set()"
