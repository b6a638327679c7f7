import numpy as np
import pandas as pd
import pytest
from conftest import SAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st

from cia_bench.build import BuildSettings, build, read_data
from cia_bench.lexicon import published_groups
from cia_bench.mining import mine
from cia_bench.sources import read_actions
from cia_bench.splits import balance, strict_split
from cia_bench.verify import verify

COLUMNS = ["group_id", "clip_id", "video", "subject", "label", "split"]


def table(rows: list[tuple]) -> pd.DataFrame:
    """Clips of group, video, subject, label and split; each row is its own clip."""
    named = [(group, f"c{n}", *rest) for n, (group, *rest) in enumerate(rows)]
    return pd.DataFrame(named, columns=COLUMNS).astype({"label": np.int8, "subject": object})


def invented(seed: int, subjects: int = 30, videos: int = 3, clips: int = 8, groups: int = 4) -> pd.DataFrame:
    """Clips of subjects with their own videos, a third of whose videos are for validation: EPIC's way to split."""
    generator = np.random.default_rng(seed)
    return table(
        [
            (
                f"g{generator.integers(groups)}",
                f"s{subject}v{video}",
                f"s{subject}",
                int(generator.integers(2)),
                "validation" if video == 0 else "train",
            )
            for subject in range(subjects)
            for video in range(videos)
            for _ in range(clips)
        ]
    )


def on_both_sides(clips: pd.DataFrame, splits: np.ndarray, column: str) -> list[str]:
    """The values of a column that have rows in both splits, by a plain loop."""
    sides: dict[str, set] = {}
    for value, split in zip(clips[column], splits, strict=True):
        if pd.notna(value):
            sides.setdefault(value, set()).add(split)
    return sorted(value for value, found in sides.items() if len(found) > 1)


def groups_that_lack_a_label(clips: pd.DataFrame, splits: np.ndarray) -> list[str]:
    found: dict[str, set] = {}
    for group, label, split in zip(clips.group_id, clips.label, splits, strict=True):
        found.setdefault(group, set()).add((label, split))
    return sorted(group for group, sides in found.items() if len(sides) < 4)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["g1", "g2"]),
        st.sampled_from(["v1", "v2", "v3", "v4", "v5", "v6"]),
        st.sampled_from([None, None, "s1", "s2", "s3", "s4"]),
        st.integers(0, 1),
        st.sampled_from(["train", "validation"]),
    ),
    max_size=25,
)


@given(ROWS, st.integers(0, 3))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_no_subject_and_no_video_is_ever_on_both_sides(rows, seed):
    clips = table(rows)
    strict = strict_split(clips, "epic", seed)
    assert len(strict.splits) == len(clips) and set(strict.splits) <= {"train", "validation"}
    assert on_both_sides(clips, strict.splits, "video") == []
    assert on_both_sides(clips, strict.splits, "subject") == []
    assert strict.groups_without_a_label == groups_that_lack_a_label(clips, strict.splits)
    strict_already = not on_both_sides(clips, clips.split, "video") + on_both_sides(clips, clips.split, "subject")
    assert (strict.kept_apart == "as published") == strict_already
    if strict_already:
        assert strict.splits.tolist() == clips.split.tolist()


def test_a_chain_of_shared_videos_keeps_all_its_subjects_together():
    chain = [("g", f"v{n + more}", f"s{n}", n % 2, "train") for n in range(6) for more in (0, 1)]
    others = [("g", f"w{n}", f"t{n}", n % 2, "validation" if n % 2 else "train") for n in range(8)]
    clips = table([*chain, ("g", "v3", None, 0, "validation"), *others])
    for seed in range(5):
        splits = strict_split(clips, "epic", seed).splits
        assert len(set(splits[:13])) == 1, "one video after the other joins s0 to s5, and a clip of nobody to them"


def test_clips_without_any_subject_are_split_by_video():
    clips = invented(0).assign(subject=None, split=["train", "validation"] * 360)
    strict = strict_split(clips, "epic", 0)
    assert strict.kept_apart == "video"
    assert on_both_sides(clips, strict.splits, "video") == []
    assert strict_split(invented(0), "epic", 0).kept_apart == "subject"


@pytest.mark.parametrize("seed", range(5))
def test_validation_has_about_as_many_rows_as_published(seed):
    clips = invented(seed)
    strict = strict_split(clips, "epic", seed)
    published = int((clips.split == "validation").sum())
    assert on_both_sides(clips, strict.splits, "subject") == []
    assert abs(int((strict.splits == "validation").sum()) - published) <= 24  # the rows of one subject
    assert strict.groups_without_a_label == []


def test_training_keeps_a_subject_even_if_nearly_all_rows_were_for_validation():
    rows = [("g", f"v{s}", s, n % 2, "validation" if n % 10 else "train") for s in "ab" for n in range(50)]
    strict = strict_split(table(rows), "epic", 0)
    assert sorted(set(strict.splits)) == ["train", "validation"]


def test_one_subject_alone_is_for_validation_and_its_groups_are_told():
    clips = table([("g", "v", "s", 0, "train"), ("g", "w", "s", 1, "validation")])
    strict = strict_split(clips, "epic", 0)
    assert (strict.splits.tolist(), strict.groups_without_a_label) == (["validation"] * 2, ["g"])


def test_the_same_seed_gives_the_same_split_and_another_seed_or_source_another():
    clips = invented(0)
    first = strict_split(clips, "epic", 7).splits
    assert strict_split(clips, "epic", 7).splits.tolist() == first.tolist()
    assert strict_split(clips, "epic", 8).splits.tolist() != first.tolist()
    assert strict_split(clips, "charades", 7).splits.tolist() != first.tolist()


def test_the_strict_split_of_a_clip_does_not_depend_on_the_order_of_rows():
    clips = invented(3)
    split = strict_split(clips, "epic", 0).splits
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(clips))
        assert strict_split(clips.iloc[order], "epic", 0).splits.tolist() == split[order].tolist()


def test_a_published_split_that_is_strict_already_stays():
    """As in Something-Something v2: whole videos, nobody told, each in one split."""
    rows = [("g1", f"{n}.webm", None, n % 2, "validation" if n % 5 == 0 else "train") for n in range(40)]
    rows.append(("g2", "0.webm", None, 0, "validation"))  # in two groups, in one split
    strict = strict_split(table(rows), "ssv2", 0)
    assert strict.kept_apart == "as published"
    assert strict.splits.tolist() == [row[4] for row in rows]
    assert strict.groups_without_a_label == ["g2"]


def test_of_the_draws_one_in_which_fewest_groups_lose_a_label_is_kept():
    """Only two subjects act in group rare, so that only a split that parts them keeps it whole."""
    common = [("common", f"v{s}{n % 2}", f"s{s}", n // 2 % 2, "train") for s in range(10) for n in range(4)]
    rare = [("rare", f"v{s}{n}", f"s{s}", n, "train") for s in (0, 1) for n in (0, 1)]
    clips = table([*common, *rare])
    clips.loc[clips.video.str.endswith("1"), "split"] = "validation"
    for seed in range(20):
        strict = strict_split(clips, "epic", seed)
        assert strict.groups_without_a_label == groups_that_lack_a_label(clips, strict.splits) == []


def test_a_validation_split_of_the_published_size_is_worth_more_than_a_group_that_is_whole():
    """Group rare is whole on both sides only with one of two subjects in validation, each ten times the size."""
    common = [("common", f"v{s}", f"s{s}", n % 2, "train") for s in range(20) for n in range(100 if s < 2 else 10)]
    rare = [("rare", f"v{s}", f"s{s}", n, "train") for s in (0, 1) for n in (0, 1)]
    clips = table([*common, *rare])
    clips.loc[clips.index[:10], "split"] = "validation"  # of the first subject, who is in train too
    strict = strict_split(clips, "epic", 0)
    assert (strict.splits == "validation").sum() == 10 and strict.groups_without_a_label == ["rare"]


def test_no_clips_are_split_into_nothing():
    strict = strict_split(table([]), "epic", 0)
    assert (strict.splits.tolist(), strict.kept_apart, strict.groups_without_a_label) == ([], "as published", [])
    assert len(balance(table([]), "epic", 0)) == 0


def test_no_real_participant_is_on_both_sides_and_validation_is_nearly_as_large_as_published(epic100):
    actions = read_actions("epic", epic100).frame
    mined = mine("epic", actions, published_groups("epic"))
    clips = mined.clips(mined.candidates.group_id[mined.candidates.published_id.notna()])
    strict = strict_split(clips, "epic", 0)
    assert on_both_sides(clips, clips.split, "subject") != []
    assert on_both_sides(clips, strict.splits, "subject") == on_both_sides(clips, strict.splits, "video") == []
    published = int((clips.split == "validation").sum())
    assert abs(int((strict.splits == "validation").sum()) / published - 1) <= 0.1
    assert strict.kept_apart == "subject"
    assert strict.groups_without_a_label == groups_that_lack_a_label(clips, strict.splits)


def cells(clips: pd.DataFrame) -> dict[tuple, int]:
    return clips.groupby(["group_id", "split", "label"]).size().to_dict()


@given(ROWS, st.integers(0, 3))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_balance_draws_the_smaller_count_of_both_labels_in_each_group_and_split(rows, seed):
    clips = table(rows)
    kept = balance(clips, "epic", seed)
    before, after = cells(clips), cells(kept)
    for group in ("g1", "g2"):
        for split in ("train", "validation"):
            smaller = min(before.get((group, split, label), 0) for label in (0, 1))
            assert [after.get((group, split, label), 0) for label in (0, 1)] == [smaller, smaller]
    untouched = clips.merge(kept, on=COLUMNS)  # every kept row is one of those that were given, as it was
    assert len(untouched) == len(kept) and not kept.duplicated(["group_id", "clip_id"]).any()


def test_balance_is_the_same_for_a_seed_whatever_the_order_of_rows():
    clips = invented(1)
    kept = balance(clips, "epic", 0)
    again = balance(clips.sample(frac=1, random_state=3), "epic", 0)
    pd.testing.assert_frame_equal(again, kept)
    other = balance(clips, "epic", 1)
    assert set(other.clip_id) != set(kept.clip_id)
    assert cells(other) == cells(kept)
    assert set(balance(clips, "charades", 0).clip_id) != set(kept.clip_id)


def test_balance_draws_each_clip_of_the_larger_label_as_often_as_the_others():
    clips = table([("g", f"v{n}", None, int(n < 10), "train") for n in range(15)])
    drawn = np.zeros(15, int)
    for seed in range(400):
        drawn[[int(name[1:]) for name in balance(clips, "epic", seed).clip_id]] += 1
    assert (drawn[10:] == 400).all() and drawn[:10].sum() == 400 * 5
    assert 150 < drawn[:10].min() and drawn[:10].max() < 250  # 200 each, give or take five standard deviations


def test_a_group_with_one_label_in_a_split_has_no_clip_of_that_split_left():
    rows = [("g", f"v{n}", None, n % 2, "train") for n in range(4)] + [("g", "w", None, 1, "validation")]
    assert cells(balance(table(rows), "epic", 0)) == {("g", "train", 0): 2, ("g", "train", 1): 2}


@pytest.mark.parametrize("profile", ["paper", "extended"])
def test_a_balanced_build_is_sound_and_has_equal_counts(profile, tmp_path):
    build("epic", SAMPLE, tmp_path / "all", BuildSettings(profile=profile))
    record = build("epic", SAMPLE, tmp_path / "half", BuildSettings(profile=profile, balance=True))
    assert verify(tmp_path / "half") == []
    everything, half = read_data(tmp_path / "all"), read_data(tmp_path / "half")
    assert half.groups.group_id.tolist() == everything.groups.group_id.tolist()
    assert (half.groups.train_forward == half.groups.train_reverse).all()
    assert (half.groups.validation_forward == half.groups.validation_reverse).all()
    assert 0 < len(half.clips) < len(everything.clips)
    columns = [column for column in half.clips if column not in ("strict_split", "hazards")]
    assert len(half.clips.merge(everything.clips, on=columns)) == len(half.clips)
    assert record["strict_split"]["validation_rows"] == (half.clips.strict_split == "validation").sum()
    assert on_both_sides(half.clips, half.clips.strict_split, "subject") == []


def test_a_balanced_build_of_groups_with_one_clip_a_side_is_sound(annotations, tmp_path):
    """Groups that lack a label in a split are left out before they are balanced, the smallest are kept."""
    path = annotations / "EPIC_100_validation.csv"
    header, *rows = path.read_text().splitlines()
    opening = [row for row in rows if ",open fridge,open," in row]
    light = [row for row in rows if ",light," in row and ",turn-off," in row]
    gone = {*opening[1:], *light}
    path.write_text("\n".join([header, *(row for row in rows if row not in gone)]) + "\n")
    record = build("epic", annotations, tmp_path / "data", BuildSettings(balance=True))
    assert {"group_id": "epic/turn-on-turn-off/light", "reason": "no clip of turn-off in validation"} in record[
        "left_out"
    ]
    assert verify(tmp_path / "data") == []
    fridge = read_data(tmp_path / "data").groups.set_index("group_id").loc["epic/open-close/fridge"]
    assert (fridge.validation_forward, fridge.validation_reverse) == (1, 1)
