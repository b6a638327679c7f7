from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import refusal

from cia_bench.build import Data, read_data
from cia_bench.embedding_checks import ZEROS, refuse_other_clips, shared_vectors, without_zeros
from cia_bench.embeddings import Embeddings, load_embeddings
from cia_bench.errors import BuildError, EmbeddingError
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings

FAST = EvaluationSettings(draws=50, permutations=0)


def made_of(*vectors: list) -> Embeddings:
    return load_embeddings((list("abcdefghij")[: len(vectors)], np.array(vectors, np.float32)))


def test_a_vector_of_zeros_counts_as_failed():
    found = without_zeros(made_of([1, 0], [0, 0], [0, 1], [0, -0.0]))
    assert found.clip_ids.tolist() == ["a", "c"] and found.vectors.tolist() == [[1, 0], [0, 1]]
    assert found.failures == {"b": ZEROS, "d": ZEROS}
    one_number = made_of([1], [0])
    assert without_zeros(one_number) is one_number


def test_vectors_that_three_clips_have_are_shared_and_those_of_two_or_of_one_sum_are_not():
    same, pair = [1, 2], [5, 5]
    assert shared_vectors(made_of(same, same, pair, pair, same, [2, 1], [3, 0])).tolist() == ["a", "b", "e"]


def stored(video: str = "v.mp4", times_s: tuple = (1.0, 2.0)) -> Embeddings:
    about = pd.DataFrame([{"clip_id": "a", "video": video, "times_s": list(times_s)}])
    return replace(made_of([1, 2]), place="the store", stored=(about,))


def clips_of(start_s: float, stop_s: float) -> pd.DataFrame:
    return pd.DataFrame([{"clip_id": "a", "video": "v.mp4", "start_s": start_s, "stop_s": stop_s}])


@pytest.mark.parametrize(
    ("model", "interval", "said"),
    [
        (stored(), (1.0, 2.0), None),
        (stored(), (0.9, 2.2), None),
        (stored(), (np.nan, np.nan), None),  # a whole file
        (stored(times_s=(0.98, 0.98)), (1.0, 1.01), None),  # the one frame on display
        (stored("w.mp4"), (1.0, 2.0), "embedded 'a' from another video"),
        (stored(), (1.5, 2.5), "embedded 'a' from another interval"),
        (stored(), (0.5, 1.5), "embedded 'a' from another interval"),
    ],
)
def test_a_store_of_another_build_is_refused(model, interval, said):
    if said is None:
        refuse_other_clips(model, clips_of(*interval))
    else:
        with pytest.raises(EmbeddingError, match=f"the store {said} than the data say; extract again"):
            refuse_other_clips(model, clips_of(*interval))


def spoilt(embeddings: pd.DataFrame, rows: np.ndarray, vector: np.ndarray) -> pd.DataFrame:
    """The embeddings with one vector in the place of some."""
    vectors = [vector if bad else own for bad, own in zip(rows, embeddings.embedding, strict=True)]
    return embeddings.assign(embedding=vectors)


def test_zeros_show_in_the_coverage_or_refuse(embeddings, data):
    few = np.arange(len(embeddings)) % 150 == 0
    result = evaluate(spoilt(embeddings, few, np.zeros(8, np.float32)), data, settings=FAST)
    coverage = result.record["sources"]["epic"]["coverage"]
    assert coverage["learnt_rows"] + coverage["scored_rows"] == 319 - few.sum()
    assert "coverage: " in str(result) and "failed to embed" in str(result)
    many = np.arange(len(embeddings)) % 10 == 0
    with pytest.raises(
        EmbeddingError, match="32 embeddings there are all zeros, which count as failed: make them anew"
    ):
        evaluate(spoilt(embeddings, many, np.zeros(8, np.float32)), data)


def test_one_vector_for_all_clips_is_refused(embeddings, data):
    with pytest.raises(EmbeddingError, match="all 319 clips of epic have the same vector, from which nothing can be"):
        evaluate(spoilt(embeddings, np.ones(len(embeddings), bool), np.ones(8, np.float32)), data)


def test_clips_that_share_a_vector_are_counted_and_told(embeddings, data):
    some = np.arange(len(embeddings)) % 40 == 0
    result = evaluate(spoilt(embeddings, some, np.ones(8, np.float32)), data, settings=FAST)
    shared = result.record["sources"]["epic"]["shared_vectors"]
    assert shared["clips"] == some.sum() == 8 and shared["example"] in set(embeddings.clip_id[some])
    assert f"epic: 8 clips share their vector with two or more others, like {shared['example']}" in str(result)
    assert evaluate(embeddings, data, settings=FAST).record["sources"]["epic"]["shared_vectors"]["clips"] == 0


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_a_group_of_two_clips_is_refused_by_paper_and_left_out_aloud_by_strict(protocol, embeddings, data):
    read = read_data(data)
    group_id, settings = read.groups.group_id[0], EvaluationSettings(protocol, draws=50, permutations=0)
    rows = read.clips[read.clips.group_id == group_id]
    two = [rows[(rows[settings.rules.split] == split)].index[0] for split in ("train", "validation")]
    clips = read.clips[(read.clips.group_id != group_id) | read.clips.index.isin(two)]
    ids, few = set(clips.clip_id), Data(read.groups, clips)
    kept = embeddings[embeddings.clip_id.isin(ids)]
    if protocol == "paper":
        with pytest.raises(BuildError, match=f"group '{group_id}' has no clip of label . in train; cia verify says"):
            evaluate(kept, few, settings=settings)
    else:
        result = evaluate(kept, few, settings=settings)
        assert result.record["left_out_groups"] == [group_id]
        assert f"left out {group_id}: a label is missing on a side of strict_split" in str(result)


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_a_group_with_one_clip_of_each_label_is_scored(protocol, embeddings, data):
    read, settings = read_data(data), EvaluationSettings(protocol, draws=50)
    group_id, split = read.groups.group_id[0], settings.rules.split
    rows = read.clips[read.clips.group_id == group_id]
    first = rows[~rows.duplicated([split, "label"])].index
    clips = read.clips[(read.clips.group_id != group_id) | read.clips.index.isin(first)]
    result = evaluate(embeddings[embeddings.clip_id.isin(clips.clip_id)], Data(read.groups, clips), settings=settings)
    row = result.groups.set_index("group_id").loc[group_id]
    assert row.train_clips == row.n == 2 and row.test_p > 0.05


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ((["a"],), "has two parts, not 1"),
        ((["a", "b"], np.zeros((1, 2))), "2 clip ids and 1 embeddings"),
        ((["a", "a"], np.ones((2, 2))), "stand there twice: 'a'"),
        ((["a", 2], np.ones((2, 2))), "clip ids must be text, not 2"),
        ((["a"], np.full((1, 2), np.nan)), "NaN or infinite numbers in the embedding of 'a'"),
        ((["a"], np.ones((1, 2, 3))), "one vector a clip"),
        ((["a"], ["x"]), "not an array of numbers"),
    ],
)
def test_a_bad_pair_is_named(pair, said):
    with pytest.raises(EmbeddingError, match=said):
        load_embeddings(pair)


def test_the_command_tells_stand_ins(data, embeddings, tmp_path):
    some = np.arange(len(embeddings)) % 20 == 0
    spoilt(embeddings, some, np.zeros(8, np.float32)).to_parquet(tmp_path / "zeros.parquet", index=False)
    message = refusal("eval", "--data", data, "--embeddings", "zeros.parquet", cwd=tmp_path)
    assert "16 embeddings there are all zeros, which count as failed" in message
    assert not (tmp_path / "cia-results").exists()
