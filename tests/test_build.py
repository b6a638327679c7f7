import csv
import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import SAMPLE, snapshot

from cia_bench.build import BuildSettings, Data, build, read_data
from cia_bench.errors import BuildError, ConfigError, WriteError
from cia_bench.files import sha256_of
from cia_bench.lexicon import published_groups
from cia_bench.tables import CANDIDATES, CLIPS, GROUPS


def members_by_the_rule(folder, split: str) -> dict[str, dict[str, float]]:
    """For each published EPIC group its clip ids and labels, by the plainest reading of the published rule."""
    with (folder / "EPIC_100_noun_classes.csv").open() as file:
        nouns = {row["id"]: row["key"] for row in csv.DictReader(file)}
    groups = {row.published_id: (row, {}) for row in published_groups("epic")}
    with (folder / f"EPIC_100_{split}.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        times = []
        for column in ("start_timestamp", "stop_timestamp"):
            hours, minutes, seconds = row[column].split(":")
            times.append(np.round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 1))
        clip_id = f"{row['participant_id']}/videos/{row['video_id']}_{times[0]!s}_{times[1]!s}"
        for published, members in groups.values():
            if (nouns[row["noun_class"]],) == published.nouns and row["verb"] in (published.forward, published.reverse):
                members.setdefault(clip_id, float(row["verb"] == published.forward))
    return {published_id: members for published_id, (_, members) in groups.items()}


def members_built(data: Data, split: str) -> dict[str, dict[str, float]]:
    clips = data.clips.merge(data.groups[["group_id", "published_id"]], on="group_id")
    clips = clips[clips.split == split]
    return {
        published_id: dict(zip(rows.clip_id, rows.label.astype(float), strict=True))
        for published_id, rows in clips.groupby("published_id")
    }


@pytest.mark.parametrize("split", ["train", "validation"])
def test_members_are_those_of_the_published_rule(split, shared_build):
    expected = members_by_the_rule(SAMPLE, split)
    built = members_built(read_data(shared_build), split)
    assert len(built) == 8
    assert built == {published_id: expected[published_id] for published_id in built}


def test_the_real_files_give_the_published_groups(epic100, tmp_path):
    record = build("epic", epic100, tmp_path)
    data = read_data(tmp_path)
    published = {row.published_id for row in published_groups("epic")}
    assert published - set(data.groups.published_id) == {"d4d4a4c2"}
    assert [group["group_id"] for group in record["left_out"]] == ["epic/put-in-take-out/cup"]
    for split in ("train", "validation"):
        expected = members_by_the_rule(epic100, split)
        built = members_built(data, split)
        assert built == {published_id: expected[published_id] for published_id in built}
    fridge = data.groups.set_index("group_id").loc["epic/open-close/fridge"]
    assert fridge[["validation_forward", "validation_reverse"]].tolist() == [127, 90]
    sizes = data.groups.validation_forward + data.groups.validation_reverse
    assert sizes.min() >= 11


def test_each_table_and_the_record_say_what_was_built(shared_build):
    folder = shared_build / "epic"
    record = json.loads((folder / "build.json").read_text())
    groups, clips = GROUPS.read(folder / "groups.parquet"), CLIPS.read(folder / "clips.parquet")
    candidates = CANDIDATES.read(folder / "candidates.parquet")
    assert record["settings"] == {
        "profile": "paper",
        "min_train_clips": 5,
        "min_validation_clips": 2,
        "min_phrase_clips": 10,
        "balance": False,
        "seed": 0,
        "skip_bad_rows": False,
    }
    assert (record["groups"], record["clips"]) == (len(groups), clips.clip_id.nunique())
    assert candidates.published_id.notna().sum() == 66 and set(groups.group_id) < set(candidates.group_id)
    assert record["candidates"] == {"all": len(candidates), "ready": int(candidates.ready.sum())}
    assert {row["name"]: row["sha256"] for row in record["inputs"][:5]} == {
        path.name: sha256_of(path) for path in SAMPLE.iterdir()
    }
    names = ("cia_v1_groups.csv", "pairs.csv", "wordnet.csv", "nouns.csv")
    assert [row["name"] for row in record["inputs"][5:]] == [f"verb_pairs/{name}" for name in names]
    assert record["left_out"][0]["reason"] == "no clip"
    assert {"group_id": "epic/put-in-take-out/cup", "reason": "no clip of take-out in train"} in record["left_out"]
    assert record["contradictory"] == [
        {"group_id": "epic/open-close/fridge", "clip_id": "P03/videos/P03_01_159.0_160.5"}
    ]
    assert record["merged_intervals"] == ["P03/videos/P03_01_159.0_160.5"]
    assert groups.status.unique().tolist() == ["published"]
    row = clips[(clips.clip_id == "P03/videos/P03_01_159.0_160.5")].iloc[0]
    assert (row.label, row.verb, row.start_s, row.stop_s) == (0, "close", 159.01, 160.51)


def test_the_same_inputs_give_the_same_bytes(shared_build, tmp_path):
    build("epic", SAMPLE, tmp_path)
    assert snapshot(tmp_path) == snapshot(shared_build)
    build("epic", SAMPLE, tmp_path)  # over itself
    assert snapshot(tmp_path) == snapshot(shared_build)


def test_another_build_in_the_folder_is_refused_and_kept(data, annotations):
    path = annotations / "EPIC_100_validation.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    before = snapshot(data)
    with pytest.raises(BuildError, match="epic holds another build .*delete it or choose another --out"):
        build("epic", annotations, data)
    assert snapshot(data) == before


def test_a_build_that_was_killed_before_its_record_is_made_again(data, shared_build):
    (data / "epic" / "build.json").unlink()
    (data / "epic" / "clips.parquet").write_bytes(b"half")
    build("epic", SAMPLE, data)
    assert snapshot(data) == snapshot(shared_build)


def test_a_wrong_profile_or_a_file_in_the_way_changes_nothing(tmp_path):
    with pytest.raises(ConfigError, match="unknown profile 'papers'; choose from paper, extended"):
        build("epic", SAMPLE, tmp_path / "data", BuildSettings("papers"))
    (tmp_path / "data").write_text("mine")
    with pytest.raises(WriteError, match="can't write to .*data/epic"):
        build("epic", SAMPLE, tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"


def test_annotations_without_any_published_group_are_refused(annotations, tmp_path):
    for name in ("EPIC_100_train.csv", "EPIC_100_validation.csv"):
        path = annotations / name
        path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(BuildError, match="annotations: the files hold no train action"):
        build("epic", annotations, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_fingerprint_is_of_each_row_as_a_line_of_json(data):
    read = read_data(data)
    odd = Data(read.groups, read.clips.assign(text='"a",\n\u2028 é\\n], [1', start_s=0.1 + 0.2))
    expected = hashlib.sha256()
    for table, rows in ((GROUPS, odd.groups), (CLIPS, odd.clips)):
        expected.update(f"{table.name} {json.dumps(table.schema.names)}\n".encode())
        for row in table.to_arrow(rows).to_pylist():
            expected.update(json.dumps(list(row.values()), ensure_ascii=False).encode() + b"\n")
    assert odd.fingerprint("epic") == expected.hexdigest()


def test_a_fingerprint_is_of_rows_not_of_order_or_bytes(data):
    read = read_data(data)
    shuffled = Data(read.groups.sample(frac=1, random_state=0), read.clips.sample(frac=1, random_state=0))
    assert shuffled.fingerprint("epic") == read.fingerprint("epic")
    for column, value in (("label", np.int8(0)), ("start_s", 0.5), ("split", "train"), ("video", "x")):
        changed = read.clips.copy()
        row = changed.index[(changed[column] != value).to_numpy()][0]
        changed.loc[row, column] = value
        assert Data(read.groups, changed).fingerprint("epic") != read.fingerprint("epic"), column


def test_tables_changed_after_the_build_are_refused(data):
    path = data / "epic" / "clips.parquet"
    clips = CLIPS.read(path)
    CLIPS.write(path, clips.iloc[1:])
    with pytest.raises(BuildError, match="not those that were built; cia verify"):
        read_data(data)


def test_reading_says_what_is_not_there(data, tmp_path):
    with pytest.raises(BuildError, match="none does not exist; make it with cia build"):
        read_data(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BuildError, match="empty holds no build"):
        read_data(tmp_path / "empty")
    with pytest.raises(BuildError, match="holds no build of ssv2; it has epic"):
        read_data(data, ["ssv2"])


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, '{"source": "epic"}', '{"source": "epic", "settings": 3}', "\x00"]
)
def test_a_damaged_record_is_named(text, data):
    (data / "epic" / "build.json").write_text(text)
    with pytest.raises(BuildError, match="build.json .*delete .*epic and build it again"):
        read_data(data)


def test_sources_are_read_together_or_one_at_a_time(data):
    write_second_source(data)
    both = read_data(data)
    assert both.source_names() == ["epic", "toy"]
    assert read_data(data, ["toy"]).source_names() == ["toy"]
    assert both.fingerprint("epic") == read_data(data, ["epic"]).fingerprint("epic")


def write_second_source(data) -> None:
    """A source called toy beside epic: the same groups and clips under other names."""
    folder = data / "toy"
    shutil.copytree(data / "epic", folder)
    groups, clips = GROUPS.read(folder / "groups.parquet"), CLIPS.read(folder / "clips.parquet")
    candidates = CANDIDATES.read(folder / "candidates.parquet")
    for frame in (groups, clips, candidates):
        frame["source"] = "toy"
        frame["group_id"] = "toy" + frame.group_id.str.removeprefix("epic")
    clips["clip_id"] = "toy-" + clips.clip_id
    clips["subject"] = pd.Series([None] * len(clips), dtype="str")
    GROUPS.write(folder / "groups.parquet", groups)
    CLIPS.write(folder / "clips.parquet", clips)
    CANDIDATES.write(folder / "candidates.parquet", candidates)
    record = json.loads((folder / "build.json").read_text())
    record.update(source="toy", fingerprint=Data(groups, clips).fingerprint("toy"))
    (folder / "build.json").write_text(json.dumps(record))
