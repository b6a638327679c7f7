"""Intervals cover the truth, tests err and detect as often as they say: on thousands of simulated benchmarks."""

import numpy as np
import pytest
from scipy.stats import chisquare, norm

from cia_bench.significance import (
    detectable_accuracy,
    difference_p,
    expanded_p,
    fisher_power,
    fisher_test,
    permutation_p,
    permute_labels,
)
from cia_bench.statistics import (
    difference_interval,
    expanded_level,
    percentile_interval,
    resample_both,
    resample_group_mean,
)

DATA_SETS = 2000
DRAWS = 1000
GROUP_EFFECTS = np.linspace(-0.2, 1.5, 12)  # probits: a right answer has a chance of 42 to 93% for the average subject
SUBJECT_SD, CELL_SD = 0.5, 0.4  # of subjects, and of each subject's own ease with each group, in probits


def over_groups(*arguments) -> np.ndarray:
    """The draws that take groups too."""
    return resample_both(*arguments)[1]


def truth_of(group_effects: np.ndarray) -> np.ndarray:
    """The accuracy of each group over all the subjects that there could be: the mean of a probit of a normal."""
    return norm.cdf(group_effects / np.sqrt(1 + SUBJECT_SD**2 + CELL_SD**2))


def clips_of(subjects: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Group and subject of each clip: subjects are in 60% of the groups with three clips on average, each in some."""
    G = len(GROUP_EFFECTS)
    n = generator.poisson(3, (subjects, G)) * (generator.random((subjects, G)) < 0.6)
    n[np.arange(subjects), generator.integers(G, size=subjects)] += 1
    n[generator.integers(subjects, size=G), np.arange(G)] += 1
    cell = np.repeat(np.arange(subjects * G), n.ravel())
    return cell % G, cell // G


def answer(
    groups: np.ndarray, subjects: np.ndarray, group_effects: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The answers of one model, 1 if right, to clips that a subject made for several groups."""
    own = SUBJECT_SD * generator.standard_normal((subjects.max() + 1, 1))
    own = own + CELL_SD * generator.standard_normal((subjects.max() + 1, len(group_effects)))
    return (generator.random(len(groups)) < norm.cdf(group_effects[groups] + own[subjects, groups])).astype(float)


def holds(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def covers(subjects: int, generator: np.random.Generator) -> tuple[float, float]:
    """The share of data sets whose 95% interval holds the truth, of the plain and of the expanded interval.

    The truth is the mean of these very groups' accuracies over all possible subjects: groups are fixed.
    """
    truth, plain, expanded = truth_of(GROUP_EFFECTS).mean(), [], []
    for _ in range(DATA_SETS):
        groups, of = clips_of(subjects, generator)
        draws = resample_group_mean(answer(groups, of, GROUP_EFFECTS, generator), groups, of, DRAWS, generator)
        plain.append(holds(percentile_interval(draws), truth))
        expanded.append(holds(percentile_interval(draws, expanded_level(0.95, subjects)), truth))
    return float(np.mean(plain)), float(np.mean(expanded))


def test_the_interval_of_36_subjects_covers_the_truth():
    covered, expanded = covers(36, np.random.default_rng(0))
    assert 0.92 <= covered <= 0.97
    assert 0.92 <= expanded <= 0.97


def test_single_clips_resampled_as_if_independent_would_not_cover_it():
    generator, truth, covered = np.random.default_rng(0), truth_of(GROUP_EFFECTS).mean(), []
    for _ in range(500):
        groups, subjects = clips_of(36, generator)
        correct, alone = answer(groups, subjects, GROUP_EFFECTS, generator), np.arange(len(groups))
        covered.append(holds(percentile_interval(resample_group_mean(correct, groups, alone, 500, generator)), truth))
    assert np.mean(covered) < 0.85


@pytest.mark.parametrize("subjects", [8, 16])
def test_the_expanded_interval_of_few_subjects_covers_the_truth(subjects):
    plain, expanded = covers(subjects, np.random.default_rng(1))
    assert 0.92 <= expanded <= 0.97
    assert plain < 0.92  # which is why there is another


@pytest.mark.parametrize("subjects, plain", [(36, 0.075), (10, 0.12)])
def test_equal_models_rarely_differ(subjects, plain):
    # two models that are equally good over all subjects, each with subjects of its own that it finds easy
    generator, p, covered = np.random.default_rng(2), [], []
    for _ in range(DATA_SETS):
        groups, of = clips_of(subjects, generator)
        correct = np.array([answer(groups, of, GROUP_EFFECTS, generator) for _ in range(2)])
        a, b = resample_group_mean(correct, groups, of, DRAWS, generator)
        p.append(difference_p(a, b))
        covered.append(holds(difference_interval(a, b, expanded_level(0.95, subjects)), 0))
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(plain, abs=0.02)  # too often: few clusters scatter too little
    assert 0.03 <= np.mean([expanded_p(one, subjects) <= 0.05 for one in p]) <= 0.08
    assert 0.92 <= np.mean(covered) <= 0.97


def test_the_interval_that_draws_groups_too_covers_the_mean_of_all_groups():
    # the truth: the mean accuracy over all possible groups and subjects, of which these are a draw
    generator, fixed, drawn = np.random.default_rng(3), [], []
    group_sd = 0.5
    truth = norm.cdf(0.6 / np.sqrt(1 + SUBJECT_SD**2 + CELL_SD**2 + group_sd**2))
    for _ in range(DATA_SETS):
        groups, subjects = clips_of(36, generator)
        group_effects = 0.6 + group_sd * generator.standard_normal(len(GROUP_EFFECTS))
        correct = answer(groups, subjects, group_effects, generator)
        fixed.append(
            holds(percentile_interval(resample_group_mean(correct, groups, subjects, DRAWS, generator)), truth)
        )
        both = over_groups(correct, groups, subjects, DRAWS, generator)
        drawn.append(holds(percentile_interval(both), truth))
    assert 0.92 <= np.mean(drawn) <= 0.99
    assert np.mean(fixed) < 0.9


SUBJECTS, CLIPS = 12, 5  # on each side of the split, and of each subject there
PERMUTATIONS = 199


def separations(features: np.ndarray, labels: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """How far a mean-difference probe, refitted to each row of labels (m, N), parts those of the other side, (m,)."""
    train, validation = sides == 0, sides == 1
    direction = _difference(labels[:, train], features[train])  # (m, D)
    return np.einsum("md,md->m", direction, _difference(labels[:, validation], features[validation]))


def _difference(labels: np.ndarray, features: np.ndarray) -> np.ndarray:
    """The mean of the clips of label 1 minus that of label 0, (m, D)."""
    ones = labels.sum(axis=1, keepdims=True)
    return labels @ features / ones - (1 - labels) @ features / (labels.shape[1] - ones)


def permutation_ps(generator: np.random.Generator, shared: bool, clustering: str) -> np.ndarray:
    """p-values of a benchmark in which subjects look alike and favour one label, but looks tell nothing of labels.

    With `shared`, the same subjects are on both sides, with the same look and the same share of labels. `clustering`:
    permute by subject, by clip, or within subjects alone.
    """
    sides = np.repeat([0, 1], SUBJECTS * CLIPS)
    subjects = np.repeat(np.arange(2 * SUBJECTS), CLIPS)
    person = subjects % SUBJECTS if shared else subjects
    clusters = np.arange(len(sides)) if clustering == "clip" else subjects
    strata = subjects if clustering == "within" else sides
    found = []
    for _ in range(1000):
        looks = generator.standard_normal((2 * SUBJECTS, 4))
        features = looks[person] + 0.5 * generator.standard_normal((len(sides), 4))
        shares = generator.beta(0.5, 0.5, 2 * SUBJECTS)
        labels = (generator.random(len(sides)) < shares[person]).astype(float)
        permuted = permute_labels(labels, clusters, strata, PERMUTATIONS, generator)
        observed, *null = separations(features, np.vstack([labels, permuted]), sides)
        found.append(permutation_p(observed, np.array(null)))
    return np.array(found)


def uniformity(p: np.ndarray) -> float:
    """The p of a chi-square test that p-values are uniform, in 20 bins of 10 of the 200 possible values."""
    return chisquare(np.bincount(np.ceil(p * 20 - 1e-9).astype(int) - 1, minlength=20)).pvalue


def test_permutation_p_values_are_uniform_where_subjects_exchange_labels():
    p = permutation_ps(np.random.default_rng(0), shared=False, clustering="subject")
    assert uniformity(p) > 0.001
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.021)  # three standard errors


def test_permuting_single_clips_as_if_independent_would_call_noise_significant():
    p = permutation_ps(np.random.default_rng(0), shared=False, clustering="clip")
    assert np.mean(p <= 0.05) > 0.1 and uniformity(p) < 1e-6


def test_knowing_the_person_again_beats_exchanges_but_not_shuffles_within_subjects():
    # the same subjects on both sides: the limit that permute_labels names, and its way out
    exchanged = permutation_ps(np.random.default_rng(0), shared=True, clustering="subject")
    assert np.mean(exchanged <= 0.05) > 0.2
    within = permutation_ps(np.random.default_rng(0), shared=True, clustering="within")
    assert uniformity(within) > 0.001


@pytest.mark.parametrize("n0, n1, accuracy", [(47, 29, 0.65), (47, 29, detectable_accuracy(47, 29)), (150, 60, 0.5)])
def test_probes_are_detected_as_often_as_the_power_says(n0, n1, accuracy):
    generator, labels, probes = np.random.default_rng(0), np.repeat([0, 1], [n0, n1]), 20_000
    answers = np.where(generator.random((probes, n0 + n1)) < accuracy, labels, 1 - labels)
    rate = np.mean([fisher_test(predictions, labels) <= 0.05 for predictions in answers])
    power = fisher_power(n0, n1, accuracy)
    assert rate == pytest.approx(power, abs=3.5 * np.sqrt(power * (1 - power) / probes))
