from itertools import permutations, product
from math import factorial

import numpy as np
import pytest
from scipy import stats

from cia_bench.significance import (
    benjamini_hochberg,
    detectable_accuracy,
    difference_p,
    enough_for,
    expanded_p,
    fisher_power,
    fisher_test,
    holm,
    permutation_p,
    permute_labels,
    sequential_p,
    tie_groups,
)
from cia_bench.statistics import difference_interval, expanded_level


def test_fishers_exact_test_of_the_tea_tasting():
    # Fisher's lady told 3 of 4 cups of each kind: (16 + 1) of the 70 ways to choose 4 of 8 cups are as good
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    assert fisher_test(np.array([1, 1, 1, 0, 1, 0, 0, 0]), labels) == 17 / 70
    assert fisher_test(labels, labels) == 1 / 70
    assert fisher_test(1 - labels, labels) == 1.0  # one-sided: always wrong is no agreement


def test_fishers_exact_test_equals_scipys():
    generator = np.random.default_rng(0)
    for n in (5, 76, 400):
        labels, predictions = generator.integers(0, 2, (2, n))
        table = [[np.sum((predictions == i) & (labels == j)) for j in (1, 0)] for i in (1, 0)]
        expected = stats.fisher_exact(table, alternative="greater").pvalue
        assert fisher_test(predictions, labels) == pytest.approx(expected, rel=1e-9)
        assert fisher_test(predictions.astype(np.int8), labels.astype(bool)) == fisher_test(predictions, labels)


@pytest.mark.parametrize("constant", [0, 1])
def test_a_constant_answer_and_clips_of_one_label_tell_nothing(constant):
    same, mixed = np.full(4, constant), np.array([0, 1, 1, 0])
    assert fisher_test(same, mixed) == fisher_test(mixed, same) == fisher_test(same, same) == 1.0


def test_fisher_test_says_what_it_can_not_read():
    with pytest.raises(ValueError, match=r"predictions \(3,\) and labels \(2,\) must both be \(N,\)"):
        fisher_test(np.zeros(3, int), np.zeros(2, int))
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        fisher_test(np.array([0, 1]), np.array([0, 2]))
    with pytest.raises(ValueError, match="predictions must be 0 or 1"):
        fisher_test(np.array([0, np.nan]), np.array([0, 1]))


def slow_power(n0: int, n1: int, accuracy: float, alpha: float) -> float:
    """The power by asking fisher_test about every table."""
    power = 0.0
    for false, true in product(range(n0 + 1), range(n1 + 1)):
        predictions = np.repeat([1, 0, 1, 0], [false, n0 - false, true, n1 - true])
        if fisher_test(predictions, np.repeat([0, 1], [n0, n1])) <= alpha:
            power += stats.binom.pmf(false, n0, 1 - accuracy) * stats.binom.pmf(true, n1, accuracy)
    return power


@pytest.mark.parametrize("n0, n1", [(3, 3), (9, 4), (1, 12), (0, 5)])
def test_power_is_the_sum_over_all_significant_tables(n0, n1):
    for accuracy, alpha in product([0.0, 0.5, 0.8, 1.0], [0.01, 0.05, 0.5]):
        assert fisher_power(n0, n1, accuracy, alpha) == pytest.approx(slow_power(n0, n1, accuracy, alpha), abs=1e-12)


def test_a_p_of_alpha_itself_is_significant():
    # all right on 3 and 3 clips: 1 of the 20 ways to choose 3 of 6
    assert fisher_power(3, 3, 1.0, alpha=0.05) == pytest.approx(1.0)
    assert fisher_power(3, 3, 0.9, alpha=0.05) == pytest.approx(0.9**6)
    assert fisher_power(3, 3, 1.0, alpha=0.0499) == 0.0


def test_a_simulated_probe_is_detected_as_often_as_the_power_says():
    generator, labels = np.random.default_rng(0), np.repeat([0, 1], [47, 29])
    right = generator.random((3000, 76)) < 0.65
    rate = np.mean([fisher_test(predictions, labels) <= 0.05 for predictions in np.where(right, labels, 1 - labels)])
    power = fisher_power(47, 29, 0.65)
    assert power == pytest.approx(0.7663, abs=1e-4)
    assert rate == pytest.approx(power, abs=3.5 * np.sqrt(power * (1 - power) / 3000))


def test_chance_is_detected_no_more_often_than_alpha():
    assert 0.01 < fisher_power(47, 29, 0.5) <= 0.05
    assert 0.03 < fisher_power(500, 500, 0.5) <= 0.05


def test_the_detectable_accuracy_is_the_least_that_has_the_power():
    least = detectable_accuracy(47, 29, power=0.8)
    assert fisher_power(47, 29, least) >= 0.8 > fisher_power(47, 29, least - 1e-4)
    assert detectable_accuracy(3, 3) == pytest.approx(0.8 ** (1 / 6), abs=1e-4)  # only if all six are right
    assert detectable_accuracy(500, 500) < 0.55


def test_too_few_clips_detect_nothing():
    assert detectable_accuracy(2, 2) is None  # all right has p = 1/6
    assert detectable_accuracy(0, 100) is None
    assert fisher_power(0, 0, 1.0) == 0.0


def test_power_refuses_what_is_no_share_or_count():
    with pytest.raises(ValueError, match="accuracy is 65; it is a fraction"):
        fisher_power(47, 29, 65)
    with pytest.raises(ValueError, match="alpha is 5; it is a share"):
        fisher_power(47, 29, 0.65, alpha=5)
    with pytest.raises(ValueError, match="power is 80; it is a share"):
        detectable_accuracy(47, 29, power=80)
    with pytest.raises(ValueError, match="-1 and 3 clips; a count can't be negative"):
        detectable_accuracy(-1, 3)


def permuted(labels, clusters, strata=None, draws=4000) -> np.ndarray:
    labels, clusters = np.asarray(labels), np.asarray(clusters)
    strata = np.zeros(len(labels), int) if strata is None else np.asarray(strata)
    return permute_labels(labels, clusters, strata, draws, np.random.default_rng(0))


def test_labels_shuffle_within_clusters_and_clusters_of_one_size_exchange_them():
    # clips 0, 2 are one cluster, 1, 4 another, both of two clips; clip 3 is alone and keeps its label
    found = permuted(labels=[1, 0, 0, 5, 0], clusters=[7, 3, 7, 9, 3])
    assert {tuple(row) for row in found} == {(1, 0, 0, 5, 0), (0, 0, 1, 5, 0), (0, 1, 0, 5, 0), (0, 0, 0, 5, 1)}
    assert stats.chisquare(np.unique(found, axis=0, return_counts=True)[1]).pvalue > 0.001


def test_each_arrangement_is_equally_likely_and_none_is_left_out():
    # three pairs of clips with labels all different: 3! orders of the pairs, 2 orders within each
    labels = np.arange(6)
    found = permuted(labels, clusters=[0, 0, 1, 1, 2, 2], draws=10_000)
    pairs = [((2 * p, 2 * p + 1), (2 * p + 1, 2 * p)) for p in range(3)]
    expected = {sum(chosen, ()) for order in permutations(pairs) for chosen in product(*order)}
    rows, counts = np.unique(found, axis=0, return_counts=True)
    assert {tuple(row) for row in rows} == expected and len(expected) == factorial(3) * 2**3
    assert stats.chisquare(counts).pvalue > 0.001


def test_labels_stay_on_their_side_of_the_split():
    # one subject on both sides; two clusters of equal size on different sides exchange nothing
    found = permuted(labels=[1, 0, 2, 3, 4, 5], clusters=[0, 0, 0, 0, 1, 1], strata=[0, 0, 1, 1, 1, 1])
    assert (np.sort(found[:, :2]) == [0, 1]).all() and (np.sort(found[:, 2:]) == [2, 3, 4, 5]).all()
    assert len(np.unique(found, axis=0)) == 2 * (2 * 2 * 2)


def test_a_stratum_for_each_cluster_shuffles_within_clusters_alone():
    found = permuted(labels=[0, 1, 2, 3], clusters=[0, 0, 1, 1], strata=[0, 0, 1, 1])
    assert len(np.unique(found, axis=0)) == 4 and (np.sort(found[:, :2]) == [0, 1]).all()


def test_clusters_of_one_clip_shuffle_freely():
    found = permuted(labels=[0, 1, 2], clusters=[0, 1, 2])
    rows, counts = np.unique(found, axis=0, return_counts=True)
    assert len(rows) == 6 and stats.chisquare(counts).pvalue > 0.001


def test_permutations_keep_the_kind_of_label_and_come_back_from_a_seed():
    labels, clusters = np.array([True, False, True]), np.array([0, 0, 1])
    first = permuted(labels, clusters, draws=5)
    assert first.dtype == bool and first.shape == (5, 3) and (first == permuted(labels, clusters, draws=5)).all()
    with pytest.raises(ValueError, match=r"labels \(3,\), clusters \(2,\), strata \(3,\) must all be \(N,\)"):
        permuted(labels, clusters[:2])


def test_a_permutation_p_counts_the_observed_labels_and_ties():
    scores = np.array([0.1, 0.3, 0.5, 0.7])
    assert permutation_p(0.9, scores) == 1 / 5
    assert permutation_p(0.5, scores) == permutation_p(0.5 + 1e-13, scores) == 3 / 5
    assert permutation_p(0.5 + 1e-11, scores) == 2 / 5
    assert permutation_p(0.0, scores) == 1.0
    with pytest.raises(ValueError, match="at least one is needed"):
        permutation_p(0.5, np.array([]))


def test_a_sequential_p_stops_at_enough_scores_and_asks_for_no_more():
    def parts():
        yield np.array([0.1, 0.9])
        yield np.array([0.5, 0.2, 0.7])
        raise AssertionError("nobody needs the rest")

    assert sequential_p(0.5, parts(), enough=2) == 2 / 3  # the second as large is the third score
    assert sequential_p(0.5, parts(), enough=3) == 3 / 5


def test_a_sequential_p_that_never_stops_is_the_permutation_p():
    scores = np.array([0.1, 0.9, 0.5, 0.2])
    assert sequential_p(0.6, [scores[:1], scores[1:]], enough=2) == permutation_p(0.6, scores) == 2 / 5
    with pytest.raises(ValueError, match="at least one"):
        sequential_p(0.6, [], enough=1)


@pytest.mark.parametrize("permutations", [9, 19, 99, 199, 200, 999])
def test_a_sequential_p_differs_only_above_the_level_it_stops_for(permutations):
    generator, enough = np.random.default_rng(0), enough_for(0.05, permutations)
    assert enough / permutations > 0.05 >= (enough - 1) / permutations
    for observed in (0, 1, 1.5, 2, 3):
        for _ in range(20):
            scores = generator.standard_normal(permutations)
            fixed, sequential = permutation_p(observed, scores), sequential_p(observed, [scores], enough)
            assert fixed == sequential if fixed <= 0.05 else sequential > 0.05


def test_a_sequential_p_is_exact_under_the_null():
    # the observed score is one of exchangeable ones: the chance of p <= k / n is k / n at each p that there can be
    generator, sets = np.random.default_rng(0), 20_000
    p = np.array([sequential_p(one[0], [one[1:]], enough=5) for one in generator.random((sets, 100))])
    possible = [1 / 100, 3 / 100, 5 / 99, 5 / 60, 5 / 20, 5 / 10, 5 / 6]
    for one in possible:
        assert np.mean(p <= one + 1e-12) == pytest.approx(one, abs=4 * np.sqrt(one * (1 - one) / sets))
    assert (p == 1).mean() == pytest.approx(1 / 6, abs=0.011)


def test_the_p_of_a_difference_is_twice_its_rarer_side():
    a = np.array([0.6, 0.7, 0.8, 0.5])
    assert difference_p(a, a - 0.1) == difference_p(a - 0.1, a) == 2 / 5  # never 0
    assert difference_p(a, np.array([0.5, 0.6, 0.9, 0.4])) == 4 / 5  # one draw the other way
    assert difference_p(a, a) == difference_p(a, a + 1e-15) == 1.0  # equal, or but for rounding
    with pytest.raises(ValueError, match=r"draws of shapes \(4,\) and \(3,\) can't be paired"):
        difference_p(a, a[:3])


def test_the_p_and_the_interval_of_a_difference_agree():
    generator = np.random.default_rng(0)
    for shift in np.linspace(0, 0.3, 30):
        a, b = generator.normal(0.6 + shift, 0.1, 2000), generator.normal(0.6, 0.1, 2000)
        p = difference_p(a, b)
        for level, clusters in product([0.9, 0.95], [6, 33]):
            assert abs(p - (1 - level)) < 0.002 or (p < 1 - level) == (difference_interval(a, b, level)[0] > 0)
            wide, larger = expanded_level(level, clusters), expanded_p(p, clusters)
            assert abs(p - (1 - wide)) < 0.002 or (larger < 1 - level) == (difference_interval(a, b, wide)[0] > 0)


def test_a_p_of_few_clusters_is_larger():
    # the textbook's t: 2.262 for 9 degrees of freedom; draws of 10 clusters scatter sqrt(0.9) of what they should
    p = 2 * stats.norm.sf(2.262 / np.sqrt(0.9))
    assert expanded_p(p, 10) == pytest.approx(0.05, abs=1e-4)
    assert expanded_p(0.03, 10**7) == pytest.approx(0.03, abs=1e-6)
    assert expanded_p(1.0, 2) == 1.0
    with pytest.raises(ValueError, match="1 cluster; a test needs at least 2"):
        expanded_p(0.5, 1)


def slow_benjamini_hochberg(p: list[float]) -> list[float]:
    """For each p the smallest q at which the procedure, as published, rejects it."""

    def rejected(q: float) -> set[int]:
        order = sorted(range(len(p)), key=p.__getitem__)
        passing = [rank for rank, i in enumerate(order, 1) if p[i] <= rank * q / len(p) + 1e-12]
        return set(order[: max(passing, default=0)])

    levels = sorted({min(1.0, p[i] * len(p) / rank) for i in range(len(p)) for rank in range(1, len(p) + 1)})
    return [next(q for q in levels if i in rejected(q)) for i in range(len(p))]


def slow_holm(p: list[float]) -> list[float]:
    """For each p the smallest alpha at which the step-down procedure, as published, rejects it."""

    def rejected(alpha: float) -> set[int]:
        order, found = sorted(range(len(p)), key=p.__getitem__), set()
        for step, i in enumerate(order):
            if p[i] > alpha / (len(p) - step) + 1e-12:
                break
            found.add(i)
        return found

    levels = sorted({min(1.0, p[i] * k) for i in range(len(p)) for k in range(1, len(p) + 1)} | {1.0})
    return [next((alpha for alpha in levels if i in rejected(alpha)), 1.0) for i in range(len(p))]


def test_adjusted_p_values_worked_by_hand():
    # BH from the largest down: 0.6, min(0.6, 0.039 * 4/3), min(., 0.041 ...): the third's 0.041 * 4/3 wins for both
    p = np.array([0.01, 0.6, 0.041, 0.039])
    assert benjamini_hochberg(p) == pytest.approx([0.04, 0.6, 0.041 * 4 / 3, 0.041 * 4 / 3])
    # Holm from the smallest up: 0.01 * 4, 0.039 * 3, then 0.041 * 2 = 0.082 is raised to 0.117
    assert holm(p) == pytest.approx([0.04, 0.6, 0.117, 0.117])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("seed", range(20))
def test_adjusted_p_values_are_where_the_published_procedures_begin_to_reject(seed):
    generator = np.random.default_rng(seed)
    p = np.round(generator.random(7) ** 3, 2)  # with ties, and with 0
    assert benjamini_hochberg(p) == pytest.approx(slow_benjamini_hochberg(list(p)))
    assert holm(p) == pytest.approx(slow_holm(list(p)))


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
def test_adjusted_p_values_at_the_edges(adjust):
    assert adjust(np.array([])).shape == (0,)
    assert adjust(np.array([0.03])) == pytest.approx([0.03])
    assert adjust(np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx([0.0, 0.0, 1.0, 1.0])
    for wrong in ([0.1, np.nan], [-0.1], [1.1], [[0.1]]):
        with pytest.raises(ValueError, match="each from 0 to 1"):
            adjust(np.array(wrong))


def test_benjamini_hochberg_equals_scipys():
    p = np.random.default_rng(0).random(50) ** 2
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


def differing(size: int, *pairs: tuple[int, int]) -> np.ndarray:
    different = np.zeros((size, size), bool)
    for i, j in pairs:
        different[i, j] = different[j, i] = True
    return different


def test_models_tie_with_the_first_of_their_group():
    accuracies = np.array([0.9, 0.8, 0.7, 0.6])
    assert tie_groups(accuracies, differing(4)) == [1, 1, 1, 1]
    assert tie_groups(accuracies, differing(4, (0, 2), (0, 3))) == [1, 1, 2, 2]  # though 1 and 2 do not differ
    assert tie_groups(accuracies, differing(4, (1, 2))) == [1, 1, 1, 1]  # only the first is asked
    assert tie_groups(accuracies, ~np.eye(4, dtype=bool)) == [1, 2, 3, 4]
    assert tie_groups(accuracies, differing(4, (0, 1))) == [1, 2, 2, 2]  # numbers never go back up
    assert tie_groups(np.array([]), np.zeros((0, 0), bool)) == []


def test_models_of_equal_accuracy_always_tie_whatever_their_order():
    # one of the equal two differs from the first: together they tie with it; both do: they start a group
    for rounding in (1e-14, 0, -1e-14):
        equal = np.array([0.9, 0.8, 0.8 + rounding, 0.7])
        assert tie_groups(equal, differing(4, (0, 1), (0, 3))) == [1, 1, 1, 2]
        assert tie_groups(equal, differing(4, (0, 2), (0, 3))) == [1, 1, 1, 2]
        assert tie_groups(equal, differing(4, (0, 1), (0, 2), (1, 2))) == [1, 2, 2, 2]
    # two equal ones lead: who differs from one of them alone ties
    leading = np.array([0.9, 0.9, 0.8])
    assert tie_groups(leading, differing(3, (0, 2))) == tie_groups(leading, differing(3, (1, 2))) == [1, 1, 1]
    assert tie_groups(leading, differing(3, (0, 1), (0, 2), (1, 2))) == [1, 1, 2]


def test_ties_refuse_a_table_that_is_not_sorted_or_a_matrix_that_does_not_fit():
    with pytest.raises(ValueError, match="sorted, best first"):
        tie_groups(np.array([0.1, 0.2]), differing(2))
    with pytest.raises(ValueError, match=r"different must be \(2, 2\) and symmetric"):
        tie_groups(np.array([0.2, 0.1]), differing(3))
    with pytest.raises(ValueError, match="symmetric"):
        tie_groups(np.array([0.2, 0.1]), np.array([[False, True], [False, False]]))
