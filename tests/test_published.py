"""Importing the published CSVs, and comparing builds with them."""

import pandas as pd
import pytest
from conftest import SAMPLE, refusal, run_cia, snapshot

from cia_bench import read_data
from cia_bench.build import BuildSettings, build
from cia_bench.diff import diff
from cia_bench.errors import AnnotationError, ConfigError
from cia_bench.lexicon import published_groups
from cia_bench.published import build_published
from cia_bench.verify import verify


def write_published(data, source: str, folder, **changes) -> None:
    """Write the clips of a build as the authors publish theirs: one CSV a split."""
    folder.mkdir(exist_ok=True)
    clips = data.clips.merge(data.groups[["group_id", "published_id"]], on="group_id")
    rows = pd.DataFrame(
        {
            "id": clips.clip_id,
            "chiral_triplet_id": clips.published_id,
            "chiral_label": clips.label.astype(float),
            "narration": clips.text,
            "split": clips.split,
        }
    )
    for split, part in rows.groupby("split"):
        part.drop(columns="split").assign(**changes).to_csv(folder / f"cia-{source}-{split}.csv", index=False)


def write_rows(folder, source: str, train: list[str], validation: list[str] = (), header: str = "") -> None:
    folder.mkdir(exist_ok=True)
    header = header or "id,chiral_triplet_id,chiral_label,template"
    for split, rows in (("train", train), ("validation", validation)):
        (folder / f"cia-{source}-{split}.csv").write_text("\n".join([header, *rows]) + "\n")


def test_csvs_made_from_a_build_of_the_real_rows_give_precision_and_recall_of_one(epic100, tmp_path):
    build("epic", epic100, tmp_path / "ours")
    ours = read_data(tmp_path / "ours")
    write_published(ours, "epic", tmp_path / "csv")
    record = build_published("epic", tmp_path / "csv", tmp_path / "theirs")
    assert (record["groups"], record["clips"]) == (65, 12252) and record["imported"]
    assert verify(tmp_path / "theirs") == []
    (found,) = diff(ours, read_data(tmp_path / "theirs"))
    assert len(found.groups) == 65 and not found.only_a and not found.only_b
    assert found.groups.precision.eq(1).all() and found.groups.recall.eq(1).all() and not found.groups.flipped.any()
    assert found.is_same


def test_the_round_trip_works_as_commands(tmp_path):
    assert run_cia("build", "--source", "epic", "--annotations", SAMPLE, cwd=tmp_path).returncode == 0
    write_published(read_data(tmp_path / "cia-data"), "epic", tmp_path / "csv")
    run = run_cia("build", "--source", "epic", "--published", "csv", "--out", "theirs", cwd=tmp_path)
    assert run.returncode == 0 and "epic, profile paper: 8 groups, 319 clips\n" in run.stdout, run.stderr
    run = run_cia("diff", "cia-data", "theirs", cwd=tmp_path)
    assert run.stdout == (
        "epic: 8 groups in both, 0 only in cia-data, 0 only in theirs\n"
        "  clips of cia-data against theirs, mean over groups: precision 1.000, recall 1.000; 319 common, 0 with "
        "another label\n"
        "the same groups, clips and labels\n"
    )


def test_a_published_row_becomes_one_clip(tmp_path):
    charades = next(group for group in published_groups("charades") if "bag" in group.forward)
    header = "id,chiral_triplet_id,chiral_label,caption,more"
    rows = [
        f'YSKX3_12.1_16.6,{charades.published_id},1.0,"taking, a bag",x',
        f"YSKX4_0.0_1.0,{charades.published_id},0,,",
    ]
    write_rows(tmp_path / "csv", "charades", rows, [row.replace("YSKX", "ABCD") for row in rows], header)
    build_published("charades", tmp_path / "csv", tmp_path / "data")
    data = read_data(tmp_path / "data")
    clip = data.clips.set_index("clip_id").loc["YSKX3_12.1_16.6"]
    assert (clip.video, clip.start_s, clip.stop_s, clip.label) == ("YSKX3.mp4", 12.1, 16.6, 1)
    assert (clip.verb, clip.noun, clip.text) == ("taking [something] from somewhere", "bag", "taking, a bag")
    group = data.groups.iloc[0]
    assert group.group_id == "charades/taking-from-somewhere-putting-somewhere/bag"
    assert (group.published_id, group.status, group.train_forward) == (charades.published_id, "imported", 1)


def test_groups_that_the_list_lacks_are_named_by_id_and_caption(tmp_path):
    rows = ["1,zz99,1.0,Opening it", "2,zz99,0.0,Closing it"]
    write_rows(tmp_path / "csv", "ssv2", rows, [row.replace(",zz", "1,zz", 1) for row in rows])
    build_published("ssv2", tmp_path / "csv", tmp_path / "data")
    group = read_data(tmp_path / "data").groups.iloc[0]
    assert (group.group_id, group.forward, group.reverse) == ("ssv2/zz99", "Opening it", "Closing it")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,zz99,2.0,x", "chiral_label '2.0' is not 1.0 or 0.0"),
        ("1,,1.0,x", "id '1' has no chiral_triplet_id"),
        ("../1,zz99,1.0,x", "id '../1' is no clip id of ssv2"),
        ("1,zz99,1.0", "it has 3 fields, the header 4"),
        ("7,zz99,1.0,x", "id '7' is in the training file too"),
    ],
)
def test_a_broken_row_of_the_published_files_is_named(row, message, tmp_path):
    write_rows(tmp_path / "csv", "ssv2", ["7,zz99,1.0,x"], ["8,zz99,0.0,x", row])
    with pytest.raises(AnnotationError) as error:
        build_published("ssv2", tmp_path / "csv", tmp_path / "data")
    assert "cia-ssv2-validation.csv row 3: " in str(error.value) and message in str(error.value)
    assert not (tmp_path / "data").exists()


def test_broken_rows_of_the_published_files_are_left_out_and_listed_on_request(tmp_path):
    rows = [f"P01/videos/P01_11_{n}.0_{n}.5,007732dd,{n % 2}.0,x" for n in range(8)]
    write_rows(tmp_path / "csv", "epic", [*rows[:4], "P01/videos/P01_11_9.0_9.5,007732dd,7,x"], rows[4:])
    command = ("build", "--source", "epic", "--published", "csv")
    assert "cia-epic-train.csv row 6: chiral_label '7' is not" in refusal(*command, cwd=tmp_path)
    run = run_cia(*command, "--skip-bad-rows", cwd=tmp_path)
    assert "1 groups, 8 clips" in run.stdout, run.stderr
    assert "row left out: cia-epic-train.csv row 6: chiral_label '7' is not 1.0 or 0.0\n" in run.stdout


@pytest.mark.parametrize("option", ["--profile extended", "--profile paper", "--min-train-clips 9", "--verdicts x"])
def test_options_that_an_import_would_ignore_are_refused(option, tmp_path):
    message = refusal("build", "--source", "epic", "--published", "csv", *option.split(), cwd=tmp_path)
    assert "--published goes with --source, --out, --balance, --seed and --skip-bad-rows" in message


def test_times_the_wrong_way_round_are_named(tmp_path):
    write_rows(tmp_path / "csv", "epic", ["P01/videos/P01_11_3.0_2.0,007732dd,1.0,x"])
    with pytest.raises(AnnotationError, match="row 2: id 'P01/videos/P01_11_3.0_2.0' does not stop after it starts"):
        build_published("epic", tmp_path / "csv", tmp_path / "data")


def test_missing_files_and_sources_without_published_splits_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match="lacks cia-epic-train.csv, cia-epic-validation.csv; get them from https"):
        build_published("epic", tmp_path, tmp_path / "data")
    with pytest.raises(ConfigError, match="unknown source 'moon'"):
        build_published("moon", tmp_path, tmp_path / "data")
    message = refusal("build", "--source", "epic", "--published", "x", "--annotations", "y", cwd=tmp_path)
    assert "give --annotations or --published, not both" in message


def changed(data, change):
    """A copy of a build whose clips are changed, as diff reads them."""
    return type(data)(data.groups, change(data.clips.copy()).reset_index(drop=True))


def test_diff_counts_missing_clips_labels_and_splits(shared_build):
    data = read_data(shared_build)
    name = "epic/open-close/fridge"
    of_group = data.clips.index[data.clips.group_id == name]

    def damage(clips):
        clips.loc[of_group[0], "label"] = 1 - clips.loc[of_group[0], "label"]
        clips.loc[of_group[1], "split"] = {"train": "validation", "validation": "train"}[clips.split[of_group[1]]]
        return clips.drop(of_group[2:4])

    (found,) = diff(data, changed(data, damage))
    row = found.groups.set_index("group_a").loc[name]
    size = len(of_group)
    assert (row.common, row.only_a, row.only_b, row.flipped) == (size - 3, 3, 1, 1)
    assert row.precision == pytest.approx((size - 3) / size) and row.recall == pytest.approx((size - 3) / (size - 2))
    assert not found.is_same
    others = found.groups[found.groups.group_a != name]
    assert others.precision.eq(1).all() and others.recall.eq(1).all()
    lines = found.lines("A", "B")
    assert lines[0] == "epic: 8 groups in both, 0 only in A, 0 only in B"
    assert lines[2].startswith(f"  {name}: precision 0.9") and len(lines) == 3


def test_diff_matches_by_published_id_else_by_phrases_and_noun_in_either_order(shared_build):
    data = read_data(shared_build)
    groups = data.groups.assign(group_id="x/" + data.groups.group_id)
    clips = data.clips.assign(group_id="x/" + data.clips.group_id)
    (renamed,) = diff(data, type(data)(groups, clips))
    assert renamed.is_same and len(renamed.groups) == 8
    turned = groups.assign(published_id=None, forward=groups.reverse.str.upper(), reverse=groups.forward)
    (found,) = diff(data, type(data)(turned, clips.assign(label=1 - clips.label)))
    assert len(found.groups) == 8 and (found.groups.flipped == found.groups.common).all()
    other = turned.assign(noun="moon")
    (nothing,) = diff(data, type(data)(other, clips))
    assert len(nothing.groups) == 0 and len(nothing.only_a) == len(nothing.only_b) == 8


def test_diff_names_sources_that_only_one_has(shared_build):
    data = read_data(shared_build)
    none = type(data)(data.groups.iloc[:0], data.clips.iloc[:0])
    (found,) = diff(data, none)
    assert len(found.only_a) == 8 and not found.is_same
    assert diff(none, none) == []


def test_an_import_keeps_another_build_that_is_there(tmp_path):
    build("epic", SAMPLE, tmp_path / "data", BuildSettings())
    write_published(read_data(tmp_path / "data"), "epic", tmp_path / "csv")
    before = snapshot(tmp_path / "data")
    message = refusal("build", "--source", "epic", "--published", "csv", "--out", "data", cwd=tmp_path)
    assert "epic holds another build (profile paper, 8 groups" in message
    assert snapshot(tmp_path / "data") == before
