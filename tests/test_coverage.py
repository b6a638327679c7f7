import math
from dataclasses import replace

import pandas as pd
import pytest
from test_build import write_second_source

from cia_bench.build import read_data
from cia_bench.coverage import COVERAGE, coverage_in_words, lowest_groups_in_words, refuse_low_coverage
from cia_bench.embeddings import Embeddings, load_embeddings
from cia_bench.errors import BuildError, ConfigError, EmbeddingError
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings


def without(embeddings: pd.DataFrame, failed) -> Embeddings:
    """The embeddings of a store in which these clips are failures."""
    kept = embeddings[~embeddings.clip_id.isin(failed)]
    return replace(load_embeddings(kept), failures=dict.fromkeys(failed, "it is damaged"))


def settings(least: float) -> EvaluationSettings:
    return EvaluationSettings(draws=10, permutations=0, min_coverage=least)


def counts(train: int, learnt: int, validation: int, scored: int) -> dict:
    return {"coverage": dict(zip(COVERAGE, (train, learnt, validation, scored), strict=True))}


def some_of(clips: pd.DataFrame, group: int, split: str, count: int) -> list[str]:
    """The first clips of label 1 in the split of the group of that number."""
    group_id = sorted(clips.group_id.unique())[group]
    rows = clips[(clips.group_id == group_id) & (clips.split == split) & (clips.label == 1)]
    assert len(rows) > count
    return rows.clip_id.tolist()[:count]


def test_each_group_and_source_has_the_coverage_of_a_plain_count(embeddings, data):
    clips = read_data(data).clips
    failed = [*some_of(clips, 0, "train", 2), *some_of(clips, 0, "validation", 1), *some_of(clips, 4, "validation", 3)]
    record = evaluate(without(embeddings, failed), data, settings=settings(0.9)).record
    found = {row["group_id"]: row["coverage"] for row in record["groups"]}
    expected = {}
    for clip in clips.itertuples():
        counted = expected.setdefault(clip.group_id, dict.fromkeys(COVERAGE, 0))
        counted[f"{clip.split}_rows"] += 1
        if clip.clip_id not in failed:
            counted[{"train": "learnt_rows", "validation": "scored_rows"}[clip.split]] += 1
    assert found == expected
    total = {name: sum(counted[name] for counted in expected.values()) for name in COVERAGE}
    assert record["sources"]["epic"]["coverage"] == total
    assert (total["learnt_rows"], total["scored_rows"]) == (total["train_rows"] - 2, total["validation_rows"] - 4)
    for row in record["groups"]:
        assert (row["train_clips"], row["n"]) == (row["coverage"]["learnt_rows"], row["coverage"]["scored_rows"])
    assert record["min_coverage"] == 0.9


def test_full_coverage_is_recorded_and_not_spoken_of(embeddings, data):
    result = evaluate(embeddings, data, settings=settings(1))
    assert "coverage" not in str(result) and len(str(result).splitlines()) == 2
    assert (result.groups.coverage_learnt_rows == result.groups.coverage_train_rows).all()
    assert (result.groups.coverage_scored_rows == result.groups.n).all()


def test_a_result_says_what_it_lacks_in_percent_and_names_the_lowest_groups(embeddings, data):
    clips = read_data(data).clips
    lacking = {0: 1, 1: 3, 2: 1, 5: 2, 7: 1}  # of 18, 14, 17, 16 and 19 validation rows
    failed = [clip_id for group, count in lacking.items() for clip_id in some_of(clips, group, "validation", count)]
    lines = str(evaluate(without(embeddings, failed), data, settings=settings(0.5))).splitlines()
    assert lines[2:] == [
        "  coverage: 188 of 188 training rows and 123 of 131 validation rows; the other clips failed to embed, "
        "which leaves 100% and 93.8%",
        "    epic/open-close/fridge: 26 of 26 training rows and 11 of 14 validation rows, 100% and 78.5%",
        "    epic/put-on-take-off/lid: 22 of 22 training rows and 14 of 16 validation rows, 100% and 87.5%",
        "    epic/pick-up-put-down/board:chopping: 25 of 25 training rows and 16 of 17 validation rows, 100% and 94.1%",
        "    2 more groups lack clips",
    ]


def test_lowest_is_the_split_that_lacks_most_and_one_more_group_is_one():
    learnt = {"a": 10, "b": 2, "c": 9, "d": 8}
    lines = lowest_groups_in_words([{"group_id": name, **counts(10, n, 10, 9)} for name, n in learnt.items()])
    assert [line.split(":")[0] for line in lines] == ["b", "d", "a", "1 more group lacks clips"]


@pytest.mark.parametrize(("learnt", "percent"), [(9999, "99.9%"), (573, "5.7%"), (0, "0.0%"), (10_000, "100%")])
def test_a_share_is_rounded_down_so_that_only_all_is_100_percent(learnt, percent):
    assert coverage_in_words(counts(10_000, learnt, 3, 1)).endswith(f"which leaves {percent} and 33.3%")


def test_coverage_at_the_threshold_is_enough_and_below_it_is_refused():
    for split in ((1000, 980, 100, 98), (100, 100, 0, 0)):
        refuse_low_coverage("store (m)", "epic", counts(*split)["coverage"], 0.98)
    for split, message in (
        ((10_000, 9_799, 100, 100), r"97.9% of the training rows of epic \(9,799 of 10,000\)"),
        ((100, 100, 100, 97), r"97.0% of the validation rows of epic \(97 of 100\)"),
    ):
        with pytest.raises(EmbeddingError) as caught:
            refuse_low_coverage("store (m)", "epic", counts(*split)["coverage"], 0.98)
        caught.match(
            f"^store \\(m\\) covers {message}, less than --min-coverage 0.98; failures.parquet there says why "
        )
        assert all(advice in str(caught.value) for advice in ("--retry-failed", "mend", "lower --min-coverage"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_either_split_can_lack_too_much_and_a_lower_threshold_accepts_it(split, embeddings, data):
    failed = some_of(read_data(data).clips, 0, split, 4)
    share = {"train": 184 / 188, "validation": 127 / 131}[split]
    with pytest.raises(EmbeddingError, match=f"of the {'training' if split == 'train' else split} rows of epic"):
        evaluate(without(embeddings, failed), data)  # 0.98 unless told otherwise
    assert evaluate(without(embeddings, failed), data, settings=settings(share)).record["min_coverage"] == share
    evaluate(without(embeddings, failed), data, settings=settings(0))


@pytest.mark.parametrize("least", [-0.01, 1.01, 98, math.nan])
def test_a_threshold_that_is_no_share_is_refused(least):
    with pytest.raises(ConfigError, match="min_coverage is .*; it is a share, from 0 to 1"):
        settings(least)


@pytest.mark.parametrize("lost", [["train"], ["validation"], ["train", "validation"]])
def test_a_group_that_lost_a_label_or_all_is_an_error_whatever_the_threshold(lost, embeddings, data):
    clips = read_data(data).clips
    group_id = sorted(clips.group_id.unique())[3]
    gone = clips[(clips.group_id == group_id) & clips.split.isin(lost)]
    failed = gone.clip_id if len(lost) == 2 else gone.clip_id[gone.label == 0]
    with pytest.raises(BuildError, match=f"'{group_id}' has no clip of label 0 in {lost[0]}; all of them failed"):
        evaluate(without(embeddings, failed), data, settings=settings(0))


def test_a_source_that_failed_altogether_is_refused_and_one_never_tried_left_out(embeddings, data):
    write_second_source(data)
    failed = read_data(data, ["toy"]).clips.clip_id
    with pytest.raises(EmbeddingError, match=r"covers 0.0% of the training rows of toy \(0 of 188\)"):
        evaluate(without(embeddings, failed), data, settings=settings(0.5))
    result = evaluate(without(embeddings, failed), data, sources=["epic"], settings=settings(0.5))
    assert list(result.record["sources"]) == ["epic"]
    assert evaluate(embeddings, data, settings=settings(0.5)).record["left_out_sources"] == ["toy"]
