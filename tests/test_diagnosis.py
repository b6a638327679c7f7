import numpy as np
import pandas as pd
import pytest
from answered import Answer, answered

from cia_bench.build import Data
from cia_bench.diagnosis import by_group, by_hazard, by_verb_pair, wrong_clips
from cia_bench.errors import ResultError
from cia_bench.protocols import settings_of
from cia_bench.statistics import wilson_interval

DOOR, JAR, CUP = "epic/open-close/door", "epic/close-open/jar", "epic/take-put/cup"


def answers(name: str, rights: dict[int, str], **more) -> list[Answer]:
    """Answers right (1) or wrong (0) for each label, such as {0: "110", 1: "1"}; each clip of a person of its own."""
    return [
        Answer(f"{name}{label}{place}", label, label if right == "1" else 1 - label, f"{name}{label}{place}", **more)
        for label, marks in rights.items()
        for place, right in enumerate(marks)
    ]


GROUPS = {
    DOOR: answers("a", {0: "1111", 1: "10"}),  # 5 of 6; by label 4/4 and 1/2
    JAR: answers("b", {0: "1000", 1: "11"}),  # 3 of 6; 1/4 and 2/2
    CUP: answers("c", {0: "1", 1: "1"}),
}


def test_groups_stand_the_best_first_with_the_records_interval():
    result, data = answered(GROUPS)
    groups = by_group(result, data)
    assert groups.group_id.tolist() == [CUP, DOOR, JAR]
    assert groups.accuracy.tolist() == pytest.approx([1, 5 / 6, 3 / 6])
    assert groups.set_index("group_id").loc[DOOR, ["low", "high"]].tolist() == pytest.approx(wilson_interval(5, 6))
    assert groups[["forward", "reverse", "noun"]].iloc[0].tolist() == ["take", "put", "cup"]
    record = {row["group_id"]: row["test"] for row in result.record["groups"]}
    assert groups.p.tolist() == [record[group_id]["p_adjusted"] for group_id in groups.group_id]


def test_by_the_strict_protocol_groups_have_balanced_accuracy_and_its_interval():
    result, data = answered(GROUPS, protocol="strict")
    door = by_group(result, data).set_index("group_id").loc[DOOR]
    assert (door.accuracy, door.constant) == pytest.approx((0.75, 0.5))
    (low_0, high_0), (low_1, high_1) = wilson_interval(4, 4), wilson_interval(1, 2)
    below = np.hypot(1 - low_0, 0.5 - low_1) / 2
    above = np.hypot(high_0 - 1, high_1 - 0.5) / 2
    assert (door.low, door.high) == pytest.approx((0.75 - below, 0.75 + above))


def test_groups_of_both_polarities_are_one_verb_pair():
    result, data = answered(GROUPS)
    pairs = by_verb_pair(result, data).set_index("verb_pair")
    assert pairs.index.tolist() == ["put / take", "close / open"]
    assert pairs.loc["close / open", ["groups", "n", "tested"]].tolist() == [2, 12, 2]
    assert pairs.accuracy["close / open"] == pytest.approx((5 / 6 + 3 / 6) / 2)
    assert pairs.low["close / open"] < pairs.accuracy["close / open"] < pairs.high["close / open"]
    cup = by_group(result, data).set_index("group_id").loc[CUP]
    assert pairs.loc["put / take", ["low", "high"]].tolist() == cup[["low", "high"]].tolist()


def test_a_pair_that_is_right_in_every_draw_has_no_interval():
    result, data = answered({DOOR: answers("a", {0: "11", 1: "11"}), JAR: answers("b", {0: "1", 1: "1"})})
    pair = by_verb_pair(result, data).iloc[0]
    assert pair.accuracy == 1 and np.isnan(pair.low) and np.isnan(pair.high)


def test_groups_above_chance_are_counted_by_the_adjusted_p():
    result, data = answered({DOOR: answers("a", {0: "1" * 9, 1: "1" * 9}), JAR: answers("b", {0: "10", 1: "10"})})
    assert by_group(result, data).above_chance.tolist() == [True, False]
    assert by_verb_pair(result, data)[["tested", "above_chance"]].iloc[0].tolist() == [2, 1]


def test_a_hazard_is_compared_within_group_and_label():
    marked = [
        *answers("m", {0: "0", 1: "10"}, hazards=("short",)),
        *answers("n", {0: "1", 1: "1"}),
    ]
    alone = answers("k", {0: "00", 1: "11"}, hazards=("short", "both_verbs"))  # nothing to compare these with
    result, data = answered({DOOR: marked, JAR: alone})
    hazards = by_hazard(result, data).set_index("hazard")
    short = hazards.loc["short"]
    # door, label 0: 1 marked, 0 right; 1 other, right; weight 1/2. Label 1: 2 marked, 1 right; 1 other, right; 2/3.
    expected = (0.5 * 0 + 2 / 3 * 0.5) / (0.5 + 2 / 3)
    assert (short.n, short.compared) == (7, 3)
    assert (short.accuracy_with, short.accuracy_without) == pytest.approx((expected, 1.0))
    assert short.difference == pytest.approx(expected - 1) and short.low <= short.difference <= short.high
    assert hazards.loc["both_verbs", ["n", "compared"]].tolist() == [4, 0]
    assert np.isnan(hazards.difference["both_verbs"])


def test_a_hazard_of_one_person_has_no_interval_and_stands_last():
    one = [Answer(f"x{n}", n % 2, 1 - n % 2, "one", ("short",)) for n in range(4)]
    others = [*answers("m", {0: "11", 1: "1"}, hazards=("both_verbs",)), *answers("n", {0: "11", 1: "11"})]
    result, data = answered({DOOR: [*one, *answers("k", {0: "1", 1: "1"})], JAR: others})
    hazards = by_hazard(result, data)
    assert hazards.hazard.tolist() == ["both_verbs", "short"]
    assert hazards.difference.tolist() == [0, -1] and hazards.low.isna().tolist() == [False, True]


def test_a_result_without_hazards_has_no_row_but_all_columns():
    result, data = answered(GROUPS)
    hazards = by_hazard(result, data)
    assert hazards.empty and {"hazard", "difference", "low"} <= set(hazards.columns)


def test_a_clip_wrong_in_several_groups_comes_first_then_the_farthest_from_right():
    shared = Answer("both", 1, 0, "p", ("short", "both_verbs"), size=0.1)
    groups = {
        DOOR: [shared, Answer("near", 0, 1, "q", size=0.2), Answer("right", 0, 0, "r", size=9)],
        JAR: [shared, Answer("far", 0, 1, "s", size=3)],
    }
    result, data = answered(groups)
    wrong = wrong_clips(result.predictions, data)
    assert wrong.clip_id.tolist() == ["both", "far", "near"]
    assert wrong[["times_wrong", "times_scored"]].to_numpy().tolist() == [[2, 2], [1, 1], [1, 1]]
    assert wrong.hazards.tolist() == ["short both_verbs", "", ""]
    assert wrong.loc[1, ["group_id", "label", "prediction"]].tolist() == [JAR, 0, 1] and wrong.score[1] > 1


def test_a_clip_counts_once_for_each_model():
    first, data = answered({DOOR: [Answer("a", 0, 1, "p", size=5), Answer("b", 1, 0, "q")]})
    second, _ = answered({DOOR: [Answer("a", 0, 0, "p"), Answer("b", 1, 0, "q", size=2)]})
    wrong = wrong_clips(pd.concat([first.predictions, second.predictions]), data)
    assert wrong.clip_id.tolist() == ["b", "a"]
    assert wrong[["times_wrong", "times_scored"]].to_numpy().tolist() == [[2, 2], [1, 2]]
    assert wrong.score[0] < -1.5  # of its worse answer


def test_nothing_wrong_is_an_empty_table():
    result, data = answered({CUP: GROUPS[CUP]})
    assert wrong_clips(result.predictions, data).empty


def test_a_result_of_other_data_is_refused_by_name():
    result, data = answered(GROUPS)
    other = Data(data.groups[data.groups.group_id != JAR], data.clips[data.clips.clip_id != "b00"])
    with pytest.raises(ResultError, match="other data.*epic/close-open/jar"):
        by_group(result, other)
    with pytest.raises(ResultError, match="other data.*b00"):
        wrong_clips(result.predictions, other)


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_settings_come_back_from_the_record(protocol):
    result, _ = answered(GROUPS, protocol=protocol, seed=3, level=0.9, min_coverage=0.5)
    settings = settings_of(result.record)
    assert (settings.protocol, settings.seed, settings.level, settings.draws) == (protocol, 3, 0.9, 200)
    assert settings.min_coverage == 0.5
