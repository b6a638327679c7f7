import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from cia_bench.errors import ConfigError, ProbeError
from cia_bench.probes import RidgeProbe, build_probe


@pytest.mark.parametrize(("n", "d"), [(40, 7), (40, 40), (40, 200), (3, 500)])
@pytest.mark.parametrize("share", [0.5, 0.2])
@pytest.mark.parametrize("alpha", [1.0, 30.0])
def test_ridge_equals_scikit_learns_fed_float64(n, d, share, alpha):
    generator = np.random.default_rng([n, d])
    features = (3 + 5 * generator.standard_normal((n, d))).astype(np.float32)
    labels = (np.arange(n) < max(1, n * share)).astype(np.int8)
    new = generator.standard_normal((500, d)).astype(np.float32)
    ours = RidgeProbe(alpha).fit(features, labels)
    theirs = RidgeClassifier(alpha=alpha).fit(features.astype(np.float64), labels)
    np.testing.assert_allclose(
        ours.decision_function(new), theirs.decision_function(new.astype(np.float64)), rtol=1e-7, atol=1e-9
    )
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new.astype(np.float64)))
    np.testing.assert_allclose(ours.coef_, np.ravel(theirs.coef_), rtol=1e-7, atol=1e-10)
    assert ours.predict(new).dtype == labels.dtype


def test_ridge_on_one_feature_is_worked_out_by_hand():
    # centred x = -1, 1 and y = -1, 1: weight = 2 / (2 + 1); the means 3 and 0 give the intercept -2
    probe = RidgeProbe(alpha=1.0).fit(np.array([[2.0], [4.0]]), np.array([0, 1]))
    assert probe.coef_ == pytest.approx([2 / 3])
    assert probe.intercept_ == pytest.approx(-2)
    assert probe.predict(np.array([[2.9], [3.0], [3.1]])).tolist() == [0, 0, 1]


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


def test_features_whose_squares_overflow_are_refused():
    with pytest.raises(ProbeError, match="squares overflow"):
        RidgeProbe().fit(np.array([[1e200], [-1e200], [0.0]]), np.array([0, 1, 1]))


def test_constant_features_give_the_majority():
    probe = RidgeProbe().fit(np.ones((5, 3)), np.array([0, 0, 0, 1, 1]))
    assert probe.predict(np.ones((2, 3))).tolist() == [0, 0]


def test_one_label_or_a_wrong_setting_is_refused():
    with pytest.raises(ProbeError, match="two labels to learn from, not 1"):
        RidgeProbe().fit(np.ones((2, 3)), np.array([1, 1]))
    with pytest.raises(ConfigError, match="above 0"):
        RidgeProbe(alpha=0)
    with pytest.raises(ConfigError, match="unknown probe 'rigde'; choose from ridge"):
        build_probe("rigde")
