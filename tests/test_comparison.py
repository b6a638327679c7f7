"""Models against one another: by a plain loop over draws, and by answers whose differences are known."""

import numpy as np
import pandas as pd
import pytest

from cia_bench.comparison import (
    FEWEST_DRAWS,
    Drawn,
    differences,
    draw_source,
    how_many_draws,
    mean_of_sources,
    stand,
)
from cia_bench.protocols import EvaluationSettings
from cia_bench.scoring import score_source
from cia_bench.significance import difference_p, expanded_p, holm
from cia_bench.statistics import difference_interval, expanded_level, mean_over_groups, rank_intervals


def make_clips(source: str, people: int, clips: int = 120, groups: int = 4) -> pd.DataFrame:
    """Clips of people who each act in several groups."""
    generator = np.random.default_rng(clips)
    return pd.DataFrame(
        {
            "group_id": [f"{source}/{number % groups}" for number in range(clips)],
            "source": source,
            "video": [f"{number}.mp4" for number in range(clips)],
            "subject": [f"P{person}" for person in generator.integers(people, size=clips)],
            "label": generator.integers(2, size=clips).astype(np.int8),
        }
    )


def answer(clips: pd.DataFrame, *shares: float) -> np.ndarray:
    """Answers that are right on these shares of the clips, (M, N)."""
    generator = np.random.default_rng(1)
    right = generator.random((len(shares), len(clips))) < np.array(shares)[:, None]
    return np.where(right, clips.label, 1 - clips.label).astype(np.int8)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("subjects", [True, False])
def test_each_model_of_a_table_has_the_score_and_draws_that_its_own_result_has(subjects, balanced):
    clips = make_clips("epic", people=9).assign(constant=np.int8(1))
    clips = clips if subjects else clips.assign(subject=None)
    answers = answer(clips, 0.9, 0.6, 0.5)
    settings = EvaluationSettings("strict" if balanced else "paper", draws=50, seed=4)
    drawn = draw_source("epic", clips, answers, balanced, 50, 4)
    for place, predictions in enumerate(answers):
        alone = score_source("epic", clips.assign(prediction=predictions), settings)
        assert drawn.accuracy[place] == pytest.approx(alone.record["accuracy"], abs=1e-14)
        np.testing.assert_allclose(drawn.draws[place], alone.draws, rtol=0, atol=1e-14)
        assert drawn.interval(place, 0.95) == pytest.approx(alone.record["interval"], abs=1e-12)


def two_sources(*shares: float) -> list[Drawn]:
    parts = []
    for source, people in (("epic", 12), ("charades", 25)):
        clips = make_clips(source, people)
        parts.append(draw_source(source, clips, answer(clips, *shares), False, 400, 0))
    return parts


def test_pairs_ranks_and_ties_equal_those_of_a_plain_loop():
    parts = two_sources(0.55, 0.8, 0.82, 0.6)
    drawn = mean_of_sources(parts)
    assert drawn.clusters == 12 and drawn.accuracy == pytest.approx((parts[0].accuracy + parts[1].accuracy) / 2)
    standing = stand(drawn, 0.95)
    level = expanded_level(0.95, 12)
    np.testing.assert_array_equal(standing.ranks, rank_intervals(drawn.draws, level))
    pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    plain = {pair: expanded_p(difference_p(*drawn.draws[list(pair)]), 12) for pair in pairs}
    counted = [pair for pair in pairs if (np.sign(np.subtract(*drawn.draws[list(pair)])) > 0).any()]
    found = dict(zip(pairs, differences(drawn, *zip(*pairs, strict=True), 0.95), strict=True))
    on_both_sides = [pair for pair in counted if (np.subtract(*drawn.draws[list(pair)]) < 0).any()]
    assert 1 <= len(on_both_sides) < len(pairs)
    for pair, one in found.items():
        assert one["difference"] == pytest.approx(np.subtract(*drawn.accuracy[list(pair)]))
        assert one["interval"] == pytest.approx(difference_interval(*drawn.draws[list(pair)], level), abs=1e-14)
        assert one["p"] == pytest.approx(plain[pair]) if pair in on_both_sides else one["p"] <= plain[pair]
    adjusted = holm(np.array([found[pair]["p"] for pair in pairs]))
    np.testing.assert_allclose([standing.p_adjusted[pair] for pair in pairs], adjusted, atol=1e-12)
    assert (standing.p_adjusted == standing.p_adjusted.T).all() and (np.diag(standing.p_adjusted) == 1).all()
    assert standing.ties == [2, 1, 1, 2]  # in the order of the models, not of their accuracies


def test_equal_models_tie_and_share_their_rank_whatever_else_they_answer():
    clips = make_clips("epic", people=10)
    (one,) = answer(clips, 0.7)
    drawn = draw_source("epic", clips, np.stack([one, one, one]), False, 200, 0)
    standing = stand(drawn, 0.95)
    assert standing.ties == [1, 1, 1] and (standing.ranks == 1).all() and (standing.p_adjusted == 1).all()


def test_a_difference_that_no_draw_doubts_is_significant_among_many_pairs():
    """40 models are 780 pairs: counted draws alone, p at least 2 / 401, could tell none of them apart."""
    clips = make_clips("epic", people=60, clips=600)
    drawn = draw_source("epic", clips, answer(clips, *[0.9] * 20, *[0.6] * 20), False, 400, 0)
    ties = stand(drawn, 0.95).ties
    assert ties[:20] == [1] * 20 and min(ties[20:]) == 2


def test_a_model_that_is_better_by_the_same_in_every_draw_is_tested_by_counting_alone():
    drawn = Drawn(np.array([0.6, 0.5]), np.array([[0.6] * 99, [0.5] * 99]), 30)
    assert differences(drawn, [0], [1], 0.95)[0]["p"] == pytest.approx(expanded_p(2 / 100, 30))


def test_one_person_alone_gives_accuracies_and_nothing_to_compare_by():
    clips = make_clips("epic", people=1)
    drawn = draw_source("epic", clips, answer(clips, 0.7, 0.6), False, 50, 0)
    assert drawn.draws is None and drawn.score(0, 0.95)["interval"] is None
    assert mean_of_sources([drawn, *two_sources(0.7, 0.6)]).draws is None


def test_many_models_share_fewer_draws_but_never_too_few():
    assert how_many_draws(10_000, 2) == 10_000 and how_many_draws(40, 500) == 40
    assert how_many_draws(10_000, 200) == 4_000 and how_many_draws(10_000, 500) == FEWEST_DRAWS == 1_000
    assert how_many_draws(10**12, 2) == 100_000  # a stranger's result may ask for any number


def test_the_mean_over_groups_is_what_a_plain_loop_counts():
    groups = np.array([0, 0, 0, 1, 1, 1])
    labels = np.array([0, 1, 1, 0, 0, 1])
    correct = np.array([[1, 0, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1]], float)
    assert mean_over_groups(correct, groups) == pytest.approx([(1 / 3 + 2 / 3) / 2, 1])
    assert mean_over_groups(correct, groups, labels) == pytest.approx([0.5, 1])
