import numpy as np
import pandas as pd
import pytest
from conftest import refusal, run_cia

from cia_bench.build import Data, read_data
from cia_bench.errors import ConfigError, ResultError
from cia_bench.evaluation import evaluate
from cia_bench.leaderboard.export import export
from cia_bench.leaderboard.table import rank, read_results
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import write_result
from cia_bench.subsets import subset

FAST = EvaluationSettings(draws=50, permutations=0)


@pytest.fixture
def built(data) -> Data:
    return read_data(data)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["epic/open-close/drawer"], ["epic/open-close/drawer"]),
        (["open-close/drawer"], ["epic/open-close/drawer"]),
        (["open-close/drawr"], None),
        (["drawer"], ["epic/open-close/drawer"]),
        (["*/open-close/*"], ["epic/open-close/drawer", "epic/open-close/fridge"]),
        ("open-close", ["epic/open-close/drawer", "epic/open-close/fridge"]),
        (["drawer, fridge"], ["epic/open-close/drawer", "epic/open-close/fridge"]),
        (["fr?dge", "dr[a-b]wer"], ["epic/open-close/drawer", "epic/open-close/fridge"]),
        (["epic/*drawer"], ["epic/open-close/drawer"]),
    ],
)
def test_groups_are_named_by_id_or_by_a_part_of_it(names, expected, built):
    if expected is None:
        with pytest.raises(ConfigError, match="no group is called 'open-close/drawr'; is it epic/open-close/drawer"):
            subset(built, names)
    else:
        part = subset(built, names)
        assert part.subset["groups"] == sorted(part.clips.group_id.unique()) == sorted(part.groups.group_id) == expected


def test_what_is_everything_is_no_part(built):
    for part in (subset(built), subset(built, ["*"]), subset(built, ["epic"], max_clips=10_000)):
        assert part is built and part.subset is None


def toy(train: tuple[int, int], validation: tuple[int, int], group_id: str = "toy/open-close/box") -> Data:
    """One group with so many clips of label 0 and 1 on either side."""
    sides = {"train": train, "validation": validation}
    clips = pd.DataFrame(
        [
            {"group_id": group_id, "clip_id": f"{split}{label}{n}", "source": "toy", "video": "v", "label": label}
            | {"split": split, "strict_split": split, "start_s": 0.0, "stop_s": 1.0, "verb": "", "noun": "", "text": ""}
            | {"subject": None, "hazards": []}
            for split, counts in sides.items()
            for label, count in enumerate(counts)
            for n in range(count)
        ]
    )
    group = {"group_id": group_id, "source": "toy", "forward": "open", "reverse": "close", "noun": "box"}
    return Data(pd.DataFrame([group | {"lexicon_row": "", "published_id": None}]), clips)


@pytest.mark.parametrize(
    ("counts", "most", "kept"),
    [
        ((30, 10), 8, (6, 2)),  # a quarter has label 1
        ((30, 10), 40, (30, 10)),
        ((30, 10), 39, (29, 10)),  # 9.75
        ((99, 1), 10, (9, 1)),  # 0.1, but one at least
        ((1, 99), 10, (1, 9)),
        ((1, 1), 2, (1, 1)),
        ((5, 0), 3, (3, 0)),
    ],
)
def test_labels_keep_their_proportion_and_one_clip_each(counts, most, kept, monkeypatch):
    monkeypatch.setattr(Data, "fingerprint", lambda data, source: source)
    clips = subset(toy(counts, (4, 4)), max_clips=most, seed=3).clips
    train = clips[clips.split == "train"]
    assert tuple((train.label == label).sum() for label in (0, 1)) == kept


def test_the_same_clips_are_drawn_in_whatever_order_and_company(built):
    drawn = subset(built, max_clips=6, seed=1)
    shuffled = Data(built.groups, built.clips.sample(frac=1, random_state=0))
    alone = subset(built, ["drawer"], 6, seed=1)
    assert set(subset(shuffled, max_clips=6, seed=1).clips.clip_id) == set(drawn.clips.clip_id)
    assert set(alone.clips.clip_id) == set(drawn.clips.clip_id[drawn.clips.group_id == "epic/open-close/drawer"])
    assert set(subset(built, max_clips=6, seed=2).clips.clip_id) != set(drawn.clips.clip_id)
    assert drawn.clips.groupby(["group_id", "split"]).size().max() == 6
    strict = subset(built, max_clips=6, split="strict_split").clips
    assert strict.groupby(["group_id", "strict_split"]).size().max() == 6


def test_a_part_has_a_fingerprint_of_its_own_and_says_whose_part_it_is(built):
    part = subset(built, ["open-close"], 6, seed=1)
    assert part.fingerprint("epic") != built.fingerprint("epic")
    names = ["epic/open-close/drawer", "epic/open-close/fridge"]
    assert part.subset == {"groups": names, "max_clips": 6, "seed": 1, "of": {"epic": built.fingerprint("epic")}}
    again = subset(part, ["drawer"])
    assert again.subset == {**part.subset, "groups": names[:1], "seed": 1}


def test_a_part_is_scored_from_the_vectors_of_its_clips_alone(embeddings, built):
    part = subset(built, ["open-close"], 10)
    ids = part.clips.clip_id.unique()
    vectors = embeddings.set_index("clip_id").embedding
    pair = evaluate((list(ids), np.stack(vectors[ids])), part, settings=FAST)
    whole = evaluate(embeddings, built, groups=["open-close"], max_clips=10, settings=FAST)
    pd.testing.assert_frame_equal(pair.predictions, whole.predictions)
    assert pair.record["sources"] == whole.record["sources"] and pair.record["subset"] == whole.record["subset"]
    assert whole.record["subset"]["max_clips"] == 10 and whole.record["sources"]["epic"]["groups"] == 2
    assert "on a part of the data: 2 groups, at most 10 clips of each on a side" in str(whole)
    assert whole.groups.group_id.tolist() == part.subset["groups"]
    assert evaluate(embeddings, built, settings=FAST).record["subset"] is None


def test_a_part_never_stands_in_a_table_with_the_whole_or_another_part(embeddings, built, tmp_path):
    for number, more in enumerate(({}, {"groups": ["open-close"]}, {"max_clips": 10})):
        write_result(evaluate(embeddings, built, f"m{number}", settings=FAST, **more), tmp_path)
    rankings = rank(read_results([tmp_path]))
    assert [len(ranking.rows) for ranking in rankings] == [2, 2, 2]  # one model and the constant each
    titles = sorted(ranking.protocol for ranking in rankings)
    count = len(built.groups)
    assert titles == [
        "protocol paper, ridge probe",
        "protocol paper, ridge probe, on a part of the data: 2 groups",
        f"protocol paper, ridge probe, on a part of the data: {count} groups, at most 10 clips of each on a side",
    ]
    assert all(title in export(rankings, "md") for title in titles)
    with pytest.raises(ResultError, match="m0 holds another result"):
        write_result(evaluate(embeddings, built, "m0", settings=FAST, groups=["drawer"]), tmp_path)


def test_the_command_takes_groups_and_clips(data, embeddings, tmp_path):
    embeddings.to_parquet(tmp_path / "e.parquet", index=False)
    arguments = ("eval", "--data", data, "--embeddings", "e.parquet")
    run = run_cia(*arguments, "--groups", "drawer,*fridge", "--groups", "tap", "--max-clips", "12", cwd=tmp_path)
    assert "on a part of the data: 3 groups, at most 12 clips of each on a side\n" in run.stdout, run.stderr
    assert "no group is called 'drawr'; is it drawer" in refusal(*arguments, "--groups", "drawr", cwd=tmp_path)


def test_what_is_no_part_is_refused(embeddings, built):
    with pytest.raises(ConfigError, match="max_clips is 1; a group needs a clip of each label on either side"):
        evaluate(embeddings, built, max_clips=1)
    with pytest.raises(ConfigError, match="no source 'ssv2' in the data; choose from epic"):
        evaluate(embeddings, built, sources=["ssv2"], groups=["tap"])
