from statistics import NormalDist

import numpy as np
import pytest

from cia_bench import statistics
from cia_bench.statistics import (
    balanced_interval,
    difference_interval,
    expanded_level,
    percentile_interval,
    rank_intervals,
    resample_both,
    resample_difference,
    resample_group_mean,
    wilson_interval,
)


def over_groups(*arguments) -> np.ndarray:
    """The draws that take groups too."""
    return resample_both(*arguments)[1]


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


def test_draws_do_not_depend_on_how_many_are_made_at_once():
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


def made_up(seed: int, models: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers of models (models, 60) to clips of 4 groups and 5 clusters, one group being in a single cluster."""
    generator = np.random.default_rng(seed)
    groups = np.r_[np.arange(4), generator.integers(0, 3, 56)]
    clusters = np.r_[np.arange(4), generator.integers(0, 5, 51), np.arange(5)]
    return generator.integers(0, 2, (models, 60)).astype(float), groups, clusters


@pytest.mark.parametrize("resample", [resample_group_mean, over_groups])
def test_models_share_their_draws(resample):
    correct, groups, clusters = made_up(0)
    together = resample(correct, groups, clusters, 300, np.random.default_rng(7))
    assert together.shape == (3, 300)
    for one, draws in zip(correct, together, strict=True):
        np.testing.assert_array_equal(draws, resample(one, groups, clusters, 300, np.random.default_rng(7)))


def test_draws_of_models_do_not_depend_on_how_many_are_made_at_once(monkeypatch):
    correct, groups, clusters = made_up(2)
    whole = resample_group_mean(correct, groups, clusters, 50, np.random.default_rng(7))
    monkeypatch.setattr(statistics, "AT_ONCE", 84)  # 7 draws of 3 models and 4 groups
    np.testing.assert_array_equal(whole, resample_group_mean(correct, groups, clusters, 50, np.random.default_rng(7)))


def test_draws_of_groups_and_clusters_scatter_as_those_of_a_plain_loop():
    (correct,), groups, clusters = made_up(1, models=1)
    generator = np.random.default_rng(0)
    slow = []
    for _ in range(4000):
        taken = [clip for pick in generator.integers(5, size=5) for clip in np.flatnonzero(clusters == pick)]
        present = np.unique(groups[taken])
        accuracies = {group: correct[[clip for clip in taken if groups[clip] == group]].mean() for group in present}
        slow.append(np.mean([accuracies[group] for group in generator.choice(present, len(present))]))
    found = over_groups(correct, groups, clusters, 40_000, np.random.default_rng(1))
    levels = [0.025, 0.25, 0.5, 0.75, 0.975]
    assert np.quantile(found, levels) == pytest.approx(np.quantile(slow, levels), abs=0.02)
    assert found.std() == pytest.approx(np.std(slow), rel=0.06)


def test_other_groups_count_only_where_groups_are_drawn():
    correct, groups = np.repeat([1.0, 0.0], 20), np.repeat([0, 1], 20)  # one group all right, the other all wrong
    clusters = np.tile(np.arange(20), 2)
    assert np.ptp(resample_group_mean(correct, groups, clusters, 100, np.random.default_rng(0))) == 0
    values, counts = np.unique(
        over_groups(correct, groups, clusters, 4000, np.random.default_rng(0)), return_counts=True
    )
    assert list(values) == [0.0, 0.5, 1.0] and counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_balanced_draws_of_groups_give_a_constant_answer_half():
    (_, groups, clusters), labels = made_up(3), np.arange(60) % 2
    constant = (labels == 0).astype(float)
    draws = over_groups(constant, groups, clusters, 500, np.random.default_rng(0), labels)
    assert np.unique(np.round(draws, 12)).tolist() == [0.5]
    plain = over_groups(constant, groups, clusters, 500, np.random.default_rng(0))
    assert np.ptp(plain) > 0.1


def test_both_kinds_of_draws_come_from_the_same_clusters():
    correct, groups, clusters = made_up(4)
    fixed, over_groups = resample_both(correct, groups, clusters, 300, np.random.default_rng(7))
    alone = resample_group_mean(correct, groups, clusters, 300, np.random.default_rng(7))
    np.testing.assert_array_equal(fixed, alone)
    assert fixed.shape == over_groups.shape == (3, 300) and over_groups.std() > fixed.std()
    one_group = resample_both(correct, 0 * groups, clusters, 300, np.random.default_rng(7))
    np.testing.assert_array_equal(*one_group)


def test_a_draw_may_leave_out_a_group_but_is_never_empty():
    correct, groups, clusters = np.array([1.0, 0.0]), np.array([0, 1]), np.array([0, 1])
    draws = over_groups(correct, groups, clusters, 1000, np.random.default_rng(0))
    assert set(draws) == {0.0, 0.5, 1.0}


def test_few_clusters_ask_for_a_higher_level():
    # the textbook's t: 2.262 for 9 degrees of freedom; draws of 10 clusters scatter sqrt(0.9) of what they should
    assert expanded_level(0.95, 10) == pytest.approx(2 * NormalDist().cdf(2.262 / np.sqrt(0.9)) - 1, abs=1e-5)
    assert expanded_level(0.95, 10**7) == pytest.approx(0.95, abs=1e-6)
    with pytest.raises(ValueError, match="1 cluster; an interval needs at least 2"):
        expanded_level(0.95, 1)


def test_a_difference_is_that_of_paired_draws():
    a = np.linspace(0.5, 0.9, 101)
    assert difference_interval(a, a - 0.1) == pytest.approx((0.1, 0.1))  # however wide each is alone
    assert difference_interval(a, a[::-1], level=0.5) == pytest.approx((-0.2, 0.2))
    with pytest.raises(ValueError, match=r"draws of shapes \(101,\) and \(1,\) can't be paired"):
        difference_interval(a, a[:1])


def test_ranks_count_who_is_better_and_equal_models_share_the_best():
    draws = np.array([[0.9, 0.9, 0.9, 0.2], [0.8, 0.8, 0.8, 0.8], [0.8, 0.8, 0.8, 0.8 + 1e-15], [0.1, 0.1, 0.85, 0.1]])
    # draw by draw: 1 2 2 4, 1 2 2 4, 1 3 3 2, 3 1 1 4
    assert rank_intervals(draws, level=0.99).tolist() == [[1, 3], [1, 3], [1, 3], [2, 4]]
    assert rank_intervals(draws, level=0.4).tolist() == [[1, 1], [2, 2], [2, 2], [4, 4]]
    assert rank_intervals(draws[:1]).tolist() == [[1, 1]]


def test_a_rank_interval_holds_at_least_its_share_of_the_draws():
    draws = np.random.default_rng(0).normal(np.linspace(0.6, 0.7, 6)[:, None], 0.03, (6, 500))
    ranks = np.argsort(np.argsort(-draws, axis=0), axis=0) + 1
    for (low, high), own in zip(rank_intervals(draws, level=0.9), ranks, strict=True):
        assert np.mean((own >= low) & (own <= high)) >= 0.9
        assert np.mean(own < low) < 0.05 and np.mean(own > high) <= 0.05


def test_balanced_draws_equal_a_plain_loop_and_a_constant_answer_scores_half_in_each():
    generator = np.random.default_rng(1)
    groups, clusters = generator.integers(3, size=60), generator.integers(5, size=60)
    labels, correct = generator.integers(2, size=60), generator.integers(2, size=60).astype(float)
    draws = resample_group_mean(correct, groups, clusters, 50, np.random.default_rng(2), labels)
    picks = np.random.default_rng(2).integers(5, size=(50, 5))
    for value, picked in zip(draws, picks, strict=True):
        means = []
        for group in range(3):
            of_label = [[], []]
            for cluster in picked:
                for n in np.flatnonzero((clusters == cluster) & (groups == group)):
                    of_label[labels[n]].append(correct[n])
            if all(of_label):
                means.append(np.mean([np.mean(right) for right in of_label]))
        assert value == pytest.approx(np.mean(means), abs=1e-12)
    constant = resample_group_mean((labels == 1).astype(float), groups, clusters, 50, np.random.default_rng(2), labels)
    np.testing.assert_allclose(constant, 0.5, atol=1e-12)


def test_a_draw_without_both_labels_of_any_group_counts_what_is_there():
    zeros, ones = np.zeros(2, int), np.ones(2)
    draws = resample_group_mean(ones, zeros, np.array([0, 1]), 20, np.random.default_rng(0), np.array([0, 1]))
    np.testing.assert_array_equal(draws, 1)
    one_sided = resample_group_mean(ones, zeros, np.array([0, 1]), 20, np.random.default_rng(0), zeros)
    np.testing.assert_array_equal(one_sided, 1)  # the last group has no clip of label 1


def test_the_interval_of_balanced_accuracy_joins_those_of_both_labels():
    # Wilson's of 8 of 10 is 0.4902 to 0.9433, of 10 of 10 0.7225 to 1; 0.9 - hypot(0.3098, 0.2775) / 2, + 0.1433 / 2
    assert balanced_interval((8, 10), (10, 10)) == pytest.approx((0.6920, 0.9717), abs=1e-4)
    assert balanced_interval((10, 10), (10, 10)) == pytest.approx((1 - 0.2775 / 2**0.5, 1.0), abs=1e-4)


def test_the_interval_of_balanced_accuracy_covers_what_it_should():
    generator = np.random.default_rng(0)
    drawn = zip(generator.binomial(40, 0.9, 3000), generator.binomial(15, 0.5, 3000), strict=True)
    covered = [low <= 0.7 <= high for low, high in (balanced_interval(pair, (40, 15)) for pair in drawn)]
    assert 0.93 < np.mean(covered) < 0.98


def slow_difference(correct, marked, strata, clusters, picked) -> float | None:
    """Mantel and Haenszel's difference of one draw, clip by clip; None if there is nothing to compare."""
    cells = {}
    for cluster in picked:
        for clip in np.flatnonzero(clusters == cluster):
            cells.setdefault(strata[clip], ([], []))[marked[clip]].append(correct[clip])
    both = [(others, marks) for others, marks in cells.values() if others and marks]
    weights = [len(others) * len(marks) / (len(others) + len(marks)) for others, marks in both]
    differences = [np.mean(marks) - np.mean(others) for others, marks in both]
    return np.average(differences, weights=weights) if both else None


def test_draws_of_a_difference_equal_those_of_a_plain_loop(monkeypatch):
    generator = np.random.default_rng(2)
    n, S, C, draws = 24, 3, 5, 60
    correct, marked = generator.integers(0, 2, n).astype(float), (generator.random(n) < 0.2).astype(int)
    strata, clusters = np.r_[np.arange(S), generator.integers(0, S, n - S)], np.r_[np.arange(C), np.arange(n - C) % C]
    picks = np.random.default_rng(7).integers(C, size=(draws, C))
    expected = [slow_difference(correct, marked, strata, clusters, row) for row in picks]
    compared = [value for value in expected if value is not None]
    assert 0 < len(compared) < draws  # some draws have nothing to compare
    found = resample_difference(correct, marked, strata, clusters, draws, np.random.default_rng(7))
    assert found == pytest.approx(compared)
    monkeypatch.setattr(statistics, "AT_ONCE", 30)  # a few draws at a time
    parts = resample_difference(correct, marked, strata, clusters, draws, np.random.default_rng(7))
    assert parts == pytest.approx(compared)
