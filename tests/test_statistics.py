import numpy as np
import pytest

from cia_bench.statistics import percentile_interval, resample_group_mean, wilson_interval


def test_wilson_interval_gives_the_textbook_values():
    # 8 of 10 with z = 1.96: centre (0.8 + 0.19208) / 1.38416, half width 1.96 sqrt(0.016 + 0.009604) / 1.38416
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(8, 10, level=0.5) == pytest.approx((0.7025, 0.8714), abs=1e-4)


def test_wilson_interval_covers_what_it_should():
    generator = np.random.default_rng(0)
    covered = [low <= 0.7 <= high for low, high in (wilson_interval(k, 60) for k in generator.binomial(60, 0.7, 4000))]
    assert 0.93 < np.mean(covered) < 0.97


def slow_draw(correct, groups, clusters, picked) -> float:
    """The mean over groups of one draw, by copying out every clip of each picked cluster."""
    by_group = {}
    for cluster in picked:
        for clip in np.flatnonzero(clusters == cluster):
            by_group.setdefault(groups[clip], []).append(correct[clip])
    return float(np.mean([np.mean(values) for values in by_group.values()]))


def test_draws_equal_those_of_a_plain_loop():
    generator = np.random.default_rng(1)
    n, G, C = 60, 4, 5
    correct = generator.integers(0, 2, n).astype(float)
    groups = np.r_[np.arange(G), generator.integers(0, G, n - G)]
    clusters = np.r_[np.arange(C), generator.integers(0, C, n - C)]
    clusters[groups == 3] = 2  # a group that some draws leave empty
    found = resample_group_mean(correct, groups, clusters, 200, np.random.default_rng(7))
    picks = np.random.default_rng(7).integers(C, size=(200, C))
    np.testing.assert_allclose(found, [slow_draw(correct, groups, clusters, picked) for picked in picks])


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch):
    correct, groups = np.r_[np.ones(30), np.zeros(20)], np.repeat([0, 1], 25)
    clusters = np.arange(50)
    whole = resample_group_mean(correct, groups, clusters, 90_000, np.random.default_rng(3))
    parts = np.random.default_rng(3).integers(50, size=(90_000, 50))
    assert whole[85_000] == pytest.approx(slow_draw(correct, groups, clusters, parts[85_000]))


def test_the_interval_is_as_wide_as_binomial_theory_says_for_single_clips():
    generator = np.random.default_rng(2)
    correct = (np.arange(400) < 280).astype(float)
    draws = resample_group_mean(correct, np.zeros(400, int), np.arange(400), 20_000, generator)
    low, high = percentile_interval(draws)
    half = 1.96 * np.sqrt(0.7 * 0.3 / 400)
    assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.004)


def test_clips_of_one_person_that_agree_widen_the_interval():
    correct = np.repeat(np.arange(20) % 2, 20).astype(float)  # each person all right or all wrong
    groups = np.zeros(400, int)

    def width(clusters):
        low, high = percentile_interval(resample_group_mean(correct, groups, clusters, 4000, np.random.default_rng(0)))
        return high - low

    assert width(np.repeat(np.arange(20), 20)) > 3.5 * width(np.arange(400))
