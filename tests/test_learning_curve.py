from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from answered import Answer, made_data, made_vectors

from cia_bench import Data, EvaluationSettings, evaluate
from cia_bench.embeddings import Embeddings
from cia_bench.learning_curve import SHARES, learning_curve, nested_order

DOOR, CUP = "epic/open-close/door", "epic/take-put/cup"
FAST = EvaluationSettings(draws=200, permutations=0)
GROUPS = {
    name: [Answer(f"{name} v{n}", n % 2, int(n % 2 if n < 4 else 1 - n % 2), f"p{n}") for n in range(6)]
    for name in (DOOR, CUP)
}


def order(units, labels, seed=0) -> np.ndarray:
    return nested_order(np.array(units), np.array(labels), np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_nested_hold_both_labels_and_grow_by_single_clips(seed):
    labels = np.array([0] * 20 + [1] * 4)
    before = order(np.arange(24), labels, seed)
    assert sorted(before) == pytest.approx([0, 0, 0, 0, *(np.arange(4, 24) / 24)])
    assert sorted(labels[before == 0]) == [0, 0, 1, 1]
    assert [int((before < share).sum()) for share in SHARES] == [4, 6, 12, 24]


@pytest.mark.parametrize("seed", range(5))
def test_units_stay_whole(seed):
    units, labels = np.repeat(np.arange(8), 5), np.tile([0, 0, 0, 1, 1], 8)
    before = order(units, labels, seed)
    for share in (0.1, 0.3, 0.5, 0.9):
        taken = before < share
        assert all(len(set(taken[units == unit])) == 1 for unit in range(8))
        assert taken.sum() == max(10, 5 * np.ceil(share * 8))  # two persons, who have both labels, at least


def test_other_seeds_draw_other_parts():
    assert (order(np.arange(40), np.arange(40) % 2) != order(np.arange(40), np.arange(40) % 2, 1)).any()


def slow_accuracy(share: float, vectors: pd.DataFrame, data: Data) -> float:
    """The accuracy at one share, from a data folder that lacks the clips that are not taken."""
    kept = []
    for group_id, rows in data.clips.groupby("group_id"):
        train = rows[rows.split == "train"]
        generator = np.random.default_rng([0, *group_id.encode()])
        before = nested_order(np.arange(len(train)), train.label.to_numpy(), generator)
        kept += [train[before < share], rows[rows.split == "validation"]]
    part = Data(data.groups, pd.concat(kept))
    fewer = vectors[vectors.clip_id.isin(part.clips.clip_id)].reset_index(drop=True)
    return evaluate(fewer, part, settings=FAST).record["sources"]["epic"]["accuracy"]


def noisy(data: Data, strength: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Vectors of 4 numbers that tell something of the label."""
    generator = np.random.default_rng(seed)
    clips = data.clips.drop_duplicates("clip_id")
    vectors = generator.standard_normal((len(clips), 4))
    vectors[:, 0] += strength * (2.0 * clips.label - 1)
    return pd.DataFrame({"clip_id": clips.clip_id, "embedding": list(vectors)})


def test_each_point_is_the_evaluation_of_fewer_training_clips():
    data = made_data(GROUPS, train=16)
    vectors = noisy(data)
    result = evaluate(vectors, data, settings=FAST)
    curve = learning_curve(result, vectors, data)
    assert curve.share.tolist() == list(SHARES) and curve.train_clips.tolist() == [4, 8, 16, 32]
    expected = [slow_accuracy(share, vectors, data) for share in SHARES]
    assert curve.accuracy.tolist() == pytest.approx(expected)
    source = result.record["sources"]["epic"]
    assert curve.iloc[-1][["accuracy", "low", "high"]].tolist() == [source["accuracy"], *source["interval"]]
    assert curve.gain.tolist()[1:] == pytest.approx(np.diff(expected))
    assert (curve.gain_low[1:] <= curve.gain[1:] + 1e-9).all() and (curve.gain_high[1:] >= curve.gain[1:] - 1e-9).all()


def test_where_all_parts_answer_alike_nothing_is_gained_for_sure():
    data = made_data(GROUPS, train=16)
    vectors = made_vectors(GROUPS, data)
    curve = learning_curve(evaluate(vectors, data, settings=FAST), vectors, data)
    assert curve.accuracy.tolist() == pytest.approx([4 / 6] * 4)
    assert curve.loc[1:, ["gain", "gain_low", "gain_high"]].to_numpy() == pytest.approx(0)


def test_a_share_that_takes_no_fewer_clips_than_the_next_is_left_out():
    data = made_data(GROUPS, train=4)  # of 8 clips an eighth and a quarter are less than two of each label
    vectors = made_vectors(GROUPS, data)
    curve = learning_curve(evaluate(vectors, data, settings=FAST), vectors, data)
    assert curve.train_clips.tolist() == [4, 8] and curve.share.tolist() == [0.5, 1]


def test_by_the_strict_protocol_nobody_is_divided():
    data = made_data(GROUPS, train=16)
    train = data.clips[data.clips.strict_split == "train"]
    data.clips.loc[train.index, "subject"] = [f"teacher {place // 4 % 4}" for place in range(len(train))]
    settings = replace(FAST, protocol="strict")
    vectors = noisy(data)
    result = evaluate(vectors, data, settings=settings)
    curve = learning_curve(result, vectors, data)
    # each of 4 teachers has 8 of a group's 32 clips, of both labels; two are the least
    assert curve.train_clips.tolist() == [16, 32] and curve.accuracy.iloc[-1] == result.record["mean"]["accuracy"]


def test_clips_that_failed_to_embed_are_in_no_part():
    data = made_data(GROUPS, train=16)
    vectors = made_vectors(GROUPS, data)
    lost = [f"{DOOR} 0 {number}" for number in range(15)]
    kept = vectors[~vectors.clip_id.isin(lost)]
    stacked = np.stack(kept.embedding)
    origin = {"name": "by-hand", "sha256": "", "dtype": "float64", "clips": len(kept)}
    loaded = Embeddings(pd.Index(kept.clip_id), stacked, "a store", origin, failures=dict.fromkeys(lost, "no video"))
    settings = replace(FAST, min_coverage=0.5)
    curve = learning_curve(evaluate(loaded, data, settings=settings), loaded, data)
    # the door's 17 clips, one of label 0: 3, 5, 9, 17 of them; the cup's 32: 4, 8, 16, 32
    assert curve.train_clips.tolist() == [3.5, 6.5, 12.5, 24.5]
    assert curve.accuracy.iloc[-1] == pytest.approx(4 / 6)
