"""A result as others send it: packed to the same bytes, refused for whatever it should not be."""

import io
import json
import pickle
import stat
import struct
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from conftest import SAMPLE, snapshot
from test_evaluation import plant

from cia_bench.build import BuildSettings, build, read_data
from cia_bench.cli import main
from cia_bench.embeddings import load_embeddings
from cia_bench.errors import ResultError, SubmissionError, WriteError
from cia_bench.evaluation import evaluate
from cia_bench.leaderboard.table import read_results
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import read_result, write_result
from cia_bench.submissions import archive
from cia_bench.submissions.accept import accept
from cia_bench.submissions.check import check
from cia_bench.submissions.pack import pack
from cia_bench.submissions.recount import checked_settings, recount
from cia_bench.tables import PREDICTIONS

FAST = EvaluationSettings(draws=20, permutations=9)
STRICT = replace(FAST, protocol="strict")


def scored(embeddings: pd.DataFrame, data: Path, folder: Path, settings: EvaluationSettings = FAST) -> Path:
    """The folder of a result on embeddings that know a little; these lie beside as e.parquet."""
    planted = plant(embeddings, read_data(data), strength=0.5)
    planted.to_parquet(folder / "e.parquet", index=False)
    return write_result(evaluate(folder / "e.parquet", data, settings=settings), folder / "results")


@pytest.fixture(scope="session")
def packed(shared_build, tmp_path_factory) -> Path:
    """A zip with embeddings, which no test writes to; its data is `shared_build`."""
    folder = tmp_path_factory.mktemp("packed")
    clip_ids = read_data(shared_build).clips.clip_id.drop_duplicates().tolist()
    vectors = np.random.default_rng(0).standard_normal((len(clip_ids), 8)).astype(np.float32)
    embeddings = pd.DataFrame({"clip_id": clip_ids, "embedding": list(vectors)})
    return pack(scored(embeddings, shared_build, folder), embeddings=folder / "e.parquet", note="of mine")


def members_of(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(path: Path, members: dict[str, bytes], sign: bool = True) -> Path:
    """Write a zip of these members; with `sign`, its manifest has their checksums."""
    if sign:
        manifest = json.loads(members["manifest.json"])
        digests = {name: sha256(content).hexdigest() for name, content in members.items() if name != "manifest.json"}
        members = {**members, "manifest.json": json.dumps({**manifest, "files": digests}).encode()}
    with ZipFile(path, "w") as written:
        for name, content in members.items():
            written.writestr(ZipInfo(name), content)
    return path


def parquet(frame: pd.DataFrame) -> bytes:
    written = io.BytesIO()
    pq.write_table(PREDICTIONS.to_arrow(frame), written)
    return written.getvalue()


def forged(packed: Path, out: Path, change: Callable[[pd.DataFrame], pd.DataFrame], without: tuple = ()) -> Path:
    """The submission with other predictions, whose record and checksums fit them in every way."""
    members = {name: content for name, content in members_of(packed).items() if name not in without}
    record = json.loads(members["result.json"])
    rows = change(pd.read_parquet(io.BytesIO(members["predictions.parquet"]))).astype({"prediction": np.int8})
    counted = recount(record, rows, checked_settings(record, 0), None)
    for source, score in counted["sources"].items():
        record["sources"][source] |= score
    record |= {name: counted[name] for name in ("mean", "groups")}
    return zipped(out, {**members, "predictions.parquet": parquet(rows), "result.json": json.dumps(record).encode()})


def right(rows: pd.DataFrame) -> pd.DataFrame:
    """Predictions that are all right."""
    return rows.assign(prediction=rows.label, score=rows.label - 0.5)


def with_other_result(packed: Path, out: Path, change: Callable[[dict], object]) -> Path:
    members = members_of(packed)
    record = json.loads(members["result.json"])
    change(record)
    return zipped(out, {**members, "result.json": json.dumps(record).encode()})


def of_a_task(record: dict) -> None:
    """Make a record that of a standard benchmark."""
    record["protocol"]["name"], record["task"] = "standard", {"kind": "ucf101"}
    record["sources"]["epic"].update(classes=2, top5=None, per_class={"accuracy": 0.5, "interval": None})


@pytest.mark.parametrize("settings", [FAST, STRICT])
def test_what_cia_eval_scored_is_verified_by_its_embeddings(settings, embeddings, data, tmp_path):
    folder = scored(embeddings, data, tmp_path, settings)
    path = pack(folder, embeddings=tmp_path / "e.parquet", url="https://example.org/a?b=c")
    assert path == tmp_path / "results" / "e.zip"
    checked = check(path, data)
    assert checked.verified and checked.checked == {"itself": True, "data": True, "probe": True}
    assert checked.claims == ["contamination", "embeddings.name", "model.name", "model.parameters", "model.saw"]
    placed = accept(path, checked, tmp_path / "board")
    assert read_result(placed) == read_result(folder)
    assert snapshot(placed).items() >= snapshot(folder).items()
    said = json.loads((placed / "submission.json").read_text())
    assert said["verified"] is True and said["url"] == "https://example.org/a?b=c"
    assert said["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert [record for _, record in read_results([tmp_path / "board"])] == [checked.result.record]


def test_without_embeddings_or_data_it_is_unverified_and_says_what_rests_on_trust(
    packed, shared_build, embeddings, tmp_path
):
    alone = pack(packed.with_suffix(""), out=tmp_path / "alone.zip")
    assert set(members_of(alone)) == {"manifest.json", "predictions.parquet", "result.json"}
    for checked, of_data in ((check(alone), False), (check(alone, shared_build), True), (check(packed), False)):
        assert not checked.verified and checked.checked == {"itself": True, "data": of_data, "probe": False}
        assert "what was learnt from training clips" in checked.claims
        assert ("sources.epic.fingerprint" in checked.claims) is not of_data
    said = json.loads((accept(alone, check(alone), tmp_path) / "submission.json").read_text())
    assert said["verified"] is False


def test_the_same_result_is_the_same_bytes_whatever_file_its_embeddings_are_in(packed, tmp_path):
    again = pack(packed.with_suffix(""), tmp_path / "new" / "a.zip", packed.parent.parent / "e.parquet", note="of mine")
    assert again.read_bytes() == packed.read_bytes()
    shuffled = pd.read_parquet(packed.parent.parent / "e.parquet").sample(frac=1, random_state=0)
    np.savez(tmp_path / "e.npz", a=shuffled.clip_id.to_numpy(str), b=np.stack(shuffled.embedding))
    other = pack(packed.with_suffix(""), tmp_path / "b.zip", tmp_path / "e.npz", note="of mine")
    assert other.read_bytes() == packed.read_bytes()
    assert {path.name for path in tmp_path.rglob("*")} == {"new", "a.zip", "b.zip", "e.npz"}  # and nothing beside
    with ZipFile(packed) as opened:
        assert opened.namelist() == sorted(opened.namelist())
        opened.extract("embeddings.npz", tmp_path)
    found, sent = load_embeddings(tmp_path / "embeddings.npz").origin, load_embeddings(tmp_path / "e.npz").origin
    assert found["sha256"] == sent["sha256"]  # it is a file for cia eval --embeddings


def test_only_the_vectors_that_were_scored_are_packed(packed, tmp_path):
    frame = pd.read_parquet(packed.parent.parent / "e.parquet")
    frame.assign(embedding=[vector + np.float32(1) for vector in frame.embedding]).to_parquet(
        tmp_path / "other.parquet"
    )
    with pytest.raises(SubmissionError, match="other.parquet holds other vectors than 'e' was scored on"):
        pack(packed.with_suffix(""), tmp_path / "a.zip", tmp_path / "other.parquet")
    for more, message in (
        ({"out": tmp_path / "result.json"}, "does not end in .zip"),
        ({"note": "x" * 1001}, "the note has 1,001 characters"),
        ({"url": "javascript:alert(1)"}, "'javascript:alert.1.' is no address of a web page"),
    ):
        with pytest.raises(SubmissionError, match=message):
            pack(packed.with_suffix(""), **{"out": tmp_path / "a.zip", **more})
    with pytest.raises(WriteError, match="nothing was changed there"):
        pack(packed.with_suffix(""), tmp_path / "other.parquet" / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["other.parquet"]


def test_a_clip_that_failed_is_counted_and_few_are_enough_to_refuse(embeddings, data, tmp_path):
    clips = read_data(data).clips
    lost = {split: clips.clip_id[clips.split == split].iloc[0] for split in ("train", "validation")}
    rest = embeddings[~embeddings.clip_id.isin(lost.values())]
    rest.to_parquet(tmp_path / "e.parquet", index=False)
    loaded = replace(load_embeddings(tmp_path / "e.parquet"), failures=dict.fromkeys(lost.values(), "broken"))
    folder = write_result(evaluate(loaded, data, settings=replace(FAST, min_coverage=0.9)), tmp_path / "results")
    path = pack(folder, embeddings=tmp_path / "e.parquet")
    checked = check(path, data, min_coverage=0.9)
    assert checked.verified and "epic 130 of 131 validation clips" in "\n".join(checked.lines)
    with pytest.raises(SubmissionError, match="epic: coverage: .* 130 of 131 validation rows.*--min-coverage 0.995"):
        check(path, data, min_coverage=0.995)


# what does not agree with itself, with the data, or with its embeddings


def test_predictions_changed_with_all_that_follows_from_them_are_caught_by_the_embeddings(
    packed, shared_build, tmp_path
):
    perfect = forged(packed, tmp_path / "perfect.zip", right, without=("embeddings.npz",))
    assert not check(perfect, shared_build).verified  # nothing contradicts it, and nothing proves it
    with pytest.raises(
        SubmissionError, match="fitted again, the probe of group 'epic/.*' gives clip '.*' [-0-9.]+; submitted is"
    ):
        check(forged(packed, tmp_path / "a.zip", right), shared_build)
    nearly = forged(packed, tmp_path / "b.zip", lambda rows: rows.assign(score=rows.score * (1 + 1e-7)))
    assert check(nearly, shared_build).verified
    with pytest.raises(SubmissionError, match="fitted again"):
        check(forged(packed, tmp_path / "c.zip", lambda rows: rows.assign(score=rows.score * (1 + 1e-4))), shared_build)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.assign(label=rows.prediction), "has label [01] in the predictions, [01] in the data"),
        (lambda rows: rows.assign(subject="P01"), "has subject P01 in the predictions, P0. in the data"),
        (
            lambda rows: rows.assign(constant=1 - rows.constant),
            "constant answer of group '.*' is not its training clips'",
        ),
        (lambda rows: rows.assign(clip_id=rows.clip_id + "x"), "the data has no validation clip '.*x' in group 'epic/"),
    ],
)
def test_predictions_of_other_clips_or_labels_are_caught_by_the_data(change, message, packed, shared_build, tmp_path):
    path = forged(packed, tmp_path / "a.zip", change, without=("embeddings.npz",))
    assert not check(path).verified
    with pytest.raises(SubmissionError, match=message):
        check(path, shared_build)


def test_clips_that_were_left_out_are_missed(packed, shared_build, tmp_path):
    members = members_of(packed)
    rows = pd.read_parquet(io.BytesIO(members["predictions.parquet"]))
    first = rows.group_id.iloc[0]

    def without(record: dict, kept: pd.DataFrame) -> Path:
        record["groups"] = [row for row in record["groups"] if row["group_id"] in set(kept.group_id)]
        for row in record["groups"]:
            row["coverage"]["scored_rows"] = int((kept.group_id == row["group_id"]).sum())
        parts = {"result.json": json.dumps(record).encode(), "predictions.parquet": parquet(kept)}
        counts = {"groups": kept.group_id.nunique(), "clips": len(kept)}
        for name in ("prediction", "constant"):
            right = (kept[name] == kept.label).astype(float).groupby(kept.group_id).mean().mean()
            counts |= (
                {"accuracy": right} if name == "prediction" else {"constant": {"accuracy": right, "interval": None}}
            )
        record["sources"]["epic"] |= counts
        parts["result.json"] = json.dumps(record).encode()
        path = zipped(tmp_path / "part.zip", {**members, **parts})
        return forged(path, tmp_path / "a.zip", lambda rows: rows, without=("embeddings.npz",))

    kept = rows[rows.group_id != first]
    with pytest.raises(SubmissionError, match=f"the predictions lack group '{first}', by split of the data"):
        check(without(json.loads(members["result.json"]), kept), shared_build)
    with pytest.raises(
        SubmissionError, match="epic: coverage: .* of 131 validation rows.*less than --min-coverage 0.98"
    ):
        check(without(json.loads(members["result.json"]), rows[rows.prediction == rows.label]), shared_build)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda record: record["mean"].update(accuracy=0.9),
            "result.json: mean.accuracy is 0.9; counted again it is 0.",
        ),
        (
            lambda record: record["sources"]["epic"].update(accuracy=0.9),
            "column prediction gives an accuracy of 0.[0-9]*, not 0.9000",
        ),
        (lambda record: record["sources"]["epic"]["interval"].reverse(), "sources.epic.interval is"),
        (lambda record: record["sources"]["epic"]["constant"].update(interval=[0.1, 0.2]), "epic.constant.interval is"),
        (lambda record: record["sources"]["epic"].update(resampled={"unit": "video"}), "resampled.count is missing"),
        (lambda record: record["sources"]["epic"]["coverage"].update(train_rows=190), "coverage.train_rows is 190"),
        (lambda record: record["sources"].update(more=record["sources"]["epic"]), "more has 0 groups, not 8"),
        (lambda record: record["groups"][0].update(correct=99), "groups.correct is 99; counted again it is"),
        (lambda record: record["groups"][0]["test"].update(p="low"), "a row of groups is not as cia eval writes it"),
        (lambda record: record["groups"][0]["coverage"].update(learnt_rows=-1), "has no proper coverage or test"),
        (lambda record: record["groups"].pop(), "has not one row for each of the 8 groups"),
        (lambda record: record["statistics"].update(seed=1), "interval is .*; counted again it is"),
        (
            lambda record: record["statistics"].update(draws=10**9),
            "statistics.draws is 1000000000; what is submitted has",
        ),
        (lambda record: record["protocol"]["probe"].update(alpha=0.01), "cia eval's, which alone is checked, is"),
        (lambda record: record["protocol"]["probe"].update(name="best"), "unknown probe 'best'; choose from"),
        (lambda record: record["model"].update(dim=4), "model.dim is 4; counted again it is 8"),
        (lambda record: record["model"].update(name=" "), "the model's name has 1 characters; 1 to 200 are allowed"),
        (lambda record: record["model"].update(name="x" * 201), "the model's name has 201 characters"),
        (lambda record: record["embeddings"].update(sha256="0"), "embeddings.sha256 is 0; counted again it is"),
        (lambda record: record.pop("mean"), "is no result of cia eval: it lacks mean"),
        (
            lambda record: record.update(subset={"groups": ["epic/a"], "max_clips": 9, "seed": 0, "of": {}}),
            "it was scored on a part of the data; leave out --groups",
        ),
        (of_a_task, "it is of a standard benchmark; submissions are of chiral results"),
    ],
)
def test_a_result_that_its_own_parts_contradict_is_refused(change, message, packed, tmp_path):
    with pytest.raises(SubmissionError, match=f"a.zip: .*{message}"):
        check(with_other_result(packed, tmp_path / "a.zip", change))


def test_a_group_that_strict_leaves_out_may_not_be_scored(packed, shared_build, tmp_path):
    read = read_data(shared_build)
    group_id = read.groups.group_id[0]
    alone = read.clips.strict_split.where(read.clips.group_id != group_id, "validation")
    one_sided = replace(read, clips=read.clips.assign(strict_split=alone))
    record, rows = check(packed).result.record, check(packed).result.predictions
    record["protocol"] = STRICT.describe_protocol()
    record["sources"]["epic"]["fingerprint"] = one_sided.fingerprint("epic")
    strict = one_sided.clips[one_sided.clips.strict_split == "validation"].drop(columns="video")
    scored = strict[PREDICTIONS.key[0]].isin(rows.group_id)
    answers = rows.iloc[[0] * scored.sum()][["video", "constant", "prediction", "score"]].reset_index(drop=True)
    made = answers.assign(
        **{name: strict[scored][name].to_numpy() for name in ("group_id", "clip_id", "subject", "label")}
    )
    made["source"], made["video"] = "epic", one_sided.clips.loc[strict[scored].index, "video"].to_numpy()
    made = made.sort_values(list(PREDICTIONS.key), ignore_index=True)
    with pytest.raises(SubmissionError, match=f"should not have group '{group_id}', by strict_split of the data"):
        recount(record, made, checked_settings(record, 0), one_sided)


def test_p_of_a_permutation_test_is_caught_by_the_embeddings(packed, shared_build, tmp_path):
    def boast(record: dict) -> None:
        record["groups"][0]["test"]["p"] = 0.001

    record = json.loads(members_of(packed)["result.json"])
    assert record["groups"][0]["test"]["name"] == "permutation"
    path = forged(with_other_result(packed, tmp_path / "a.zip", boast), tmp_path / "b.zip", lambda rows: rows)
    assert not check(path).verified
    with pytest.raises(SubmissionError, match="groups.test.p is 0.001; counted again it is 0"):
        check(path, shared_build)


def test_other_data_is_told_by_its_fingerprint(packed, tmp_path):
    build("epic", SAMPLE, tmp_path / "data", BuildSettings(balance=True))
    with pytest.raises(SubmissionError, match="epic was scored on data of fingerprint '[0-9a-f]{12}', yours has '"):
        check(packed, tmp_path / "data")


def test_embeddings_of_other_clips_or_of_other_numbers_are_refused(packed, shared_build, tmp_path):
    arrays = np.load(io.BytesIO(members_of(packed)["embeddings.npz"]))
    ids, vectors = arrays["clip_ids"], arrays["vectors"]

    def sent(ids: np.ndarray, vectors: np.ndarray) -> Path:
        """With a record that says it was scored on these."""
        np.savez(tmp_path / "e.npz", clip_ids=ids, vectors=vectors)
        members = {**members_of(packed), "embeddings.npz": (tmp_path / "e.npz").read_bytes()}
        record = json.loads(members["result.json"])
        origin = load_embeddings(tmp_path / "e.npz").origin
        record["embeddings"] |= {name: origin[name] for name in ("sha256", "dtype", "clips")}
        return zipped(tmp_path / "a.zip", {**members, "result.json": json.dumps(record).encode()})

    for change, message in (
        (lambda: sent(np.char.add("x", ids), vectors), "embeddings.npz: the data has no clip 'xP"),
        (lambda: sent(ids, vectors[::-1]), "fitted again, the probe of group"),
        (lambda: sent(ids[50:], vectors[50:]), "groups.train_clips is [0-9]*; counted again it is"),
    ):
        with pytest.raises(SubmissionError, match=message):
            check(change(), shared_build)


# what is no zip of ours


def hostile(path: Path, members: dict[str, bytes], **attributes) -> Path:
    """A submission with one member more, whose entry has these attributes."""
    name, content = next(iter(members.items()))
    info = ZipInfo("x")
    info.filename = info.orig_filename = name
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    with ZipFile(path, "a") as opened:
        opened.writestr(info, content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "attributes", "message"),
    [
        ("../result.json", b"{}", {}, "member '../result.json' is no path inside the archive"),
        ("/etc/passwd", b"", {}, "member '/etc/passwd' is no path inside the archive"),
        ("a/../../b", b"", {}, "is no path inside the archive"),
        ("..\\result.json", b"", {}, r"member '..\\\\result.json' is no path inside the archive"),
        ("C:result.json", b"", {}, "member 'C:result.json' is no path inside the archive"),
        ("\x1b[31m.json", b"", {}, r"member '\\x1b\[31m.json' is no path inside the archive"),
        ("", b"", {}, "member '' is no path inside the archive"),
        (
            "result.json",
            b"/etc",
            {"external_attr": (stat.S_IFLNK | 0o777) << 16},
            "member 'result.json' is a link, not",
        ),
        ("result.json", b"", {"external_attr": (stat.S_IFCHR | 0o666) << 16}, "is a device or the like, not"),
        ("folder/", b"", {"external_attr": (stat.S_IFDIR | 0o755) << 16}, "member 'folder/' is a folder, not"),
        (
            "inner.zip",
            b"PK\5\6" + bytes(18),
            {},
            "member 'inner.zip' does not belong there; it may hold embeddings.npz",
        ),
        ("embeddings.npz", bytes(10**6), {"compress_type": ZIP_DEFLATED}, r"is compressed \(.* bytes for 1,000,000\)"),
        ("manifest.json", bytes(70_000), {}, "member 'manifest.json' has 70,000 bytes, more than the 65,536 allowed"),
        ("result.json", b"{}", {}, "has member 'result.json' 2 times"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_what_does_not_belong_there_is_refused(
    name, content, attributes, message, packed, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = zipped(tmp_path / "a.zip", members_of(packed))
    with pytest.raises(SubmissionError, match=message):
        check(hostile(path, {name: content}, **attributes))
    assert [one.name for one in tmp_path.iterdir()] == ["a.zip"]


def entry(content: bytes, name: str) -> int:
    """Where a member's entry in the list of members begins."""
    return content.rindex(name.encode()) - 46


@pytest.mark.parametrize(
    ("offset", "code", "value", "message"),
    [
        (8, "<H", 1, "member 'result.json' is encrypted"),
        (24, "<I", 2**31, "member 'result.json' declares 2,147,483,648 bytes and holds"),
        (42, "<I", 0, "reaches into what follows it"),
        (10, "<H", 99, "member 'result.json' is compressed"),
        (16, "<I", 7, "result.json is damaged: Bad CRC-32 for file 'result.json'"),
    ],
)
def test_a_zip_whose_list_of_members_lies_is_refused(offset, code, value, message, packed, tmp_path):
    path = zipped(tmp_path / "a.zip", members_of(packed))
    content = bytearray(path.read_bytes())
    struct.pack_into(code, content, entry(content, "result.json") + offset, value)
    path.write_bytes(content)
    with pytest.raises(SubmissionError, match=f"a.zip:? .*{message}"):
        check(path)


def test_what_is_no_whole_zip_is_refused(packed, tmp_path):
    content = packed.read_bytes()
    (tmp_path / "text.zip").write_text("no zip")
    (tmp_path / "half.zip").write_bytes(content[: len(content) // 2])
    (tmp_path / "folder.zip").mkdir()
    for name in ("text", "half", "folder"):
        with pytest.raises(SubmissionError, match=f"{name}.zip can't be read as a zip: "):
            check(tmp_path / f"{name}.zip")
    with pytest.raises(SubmissionError, match="none.zip does not exist"):
        check(tmp_path / "none.zip")
    members = members_of(packed)
    for name in ("manifest.json", "result.json", "predictions.parquet"):
        rest = {other: content for other, content in members.items() if other != name}
        with pytest.raises(SubmissionError, match=f"lacks {name}; cia submission pack makes a whole one"):
            check(zipped(tmp_path / "a.zip", rest, sign=False))


def test_a_member_larger_than_allowed_is_refused_before_it_is_read(packed, monkeypatch):
    monkeypatch.setitem(archive.MEMBERS, "embeddings.npz", 1000)
    with pytest.raises(SubmissionError, match="member 'embeddings.npz' has .* bytes, more than the 1,000 allowed"):
        check(packed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": {}}, "manifest.json lists other files than are there, embeddings.npz, predictions.parquet, result"),
        ({"format": "cia-bench submission 2"}, "is of the format 'cia-bench submission 2'; this version reads 'cia-b"),
        ({"note": None}, "manifest.json lacks a proper note"),
        ({"note": "x" * 1001}, "the note has 1,001 characters, more than 1,000"),
        ({"url": "javascript:alert(1)"}, "is no address of a web page"),
        ({"url": "https://x/\u202e"}, r"'https://x/\\u202e' is no address of a web page"),
        ({"more": 1}, "manifest.json holds more than it should"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(change, message, packed, tmp_path):
    members = members_of(packed)
    manifest = json.dumps({**json.loads(members["manifest.json"]), **change}).encode()
    with pytest.raises(SubmissionError, match=message):
        check(zipped(tmp_path / "a.zip", {**members, "manifest.json": manifest}, sign=False))


def test_a_member_that_was_exchanged_is_told_by_its_checksum(packed, tmp_path):
    members = members_of(packed)
    for name in ("result.json", "predictions.parquet", "embeddings.npz"):
        other = {**members, name: members[name] + b" "}
        with pytest.raises(SubmissionError, match=f"{name} is not the file whose checksum manifest.json has"):
            check(zipped(tmp_path / "a.zip", other, sign=False))


@pytest.mark.parametrize("content", [b'{"a": NaN}', b'{"a": 1e999}', b"[" * 10**5, b'{"a": "\\ud800"}', b"[]", b"\xff"])
def test_json_that_could_not_be_written_again_is_refused(content, packed, tmp_path):
    with pytest.raises(SubmissionError, match="a.zip: result.json (can't be read as JSON|is not a JSON object)"):
        check(zipped(tmp_path / "a.zip", {**members_of(packed), "result.json": content}))


def as_parquet(table: pa.Table) -> bytes:
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()


def test_predictions_that_would_swell_are_refused_unread(packed, tmp_path):
    rows = pq.read_table(io.BytesIO(members_of(packed)["predictions.parquet"]))
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), pa.array(["x" * 10**6]))
    number = rows.schema.names.index
    lists = pa.array([[0.5] * 3] * len(rows))
    many = pa.table({name: pa.array([None] * 1_000_001, pa.int8()) for name in rows.schema.names})
    for table, message in (
        (
            rows.set_column(number("video"), "video", column.cast(pa.string())),
            "has a video of 1,000,000 bytes, more than",
        ),
        (rows.set_column(number("score"), "score", lists), "has not exactly the columns group_id, clip_id"),
        (rows.append_column("more", rows.column("score")), "has not exactly the columns"),
        (many, "has 1,000,001 rows, more than the 1,000,000 allowed"),
        (rows.set_column(number("score"), "score", rows.column("label")), "column score is int8, not double"),
        (rows.set_column(number("score"), "score", pa.nulls(len(rows), pa.float64())), "column score has 131 nulls"),
    ):
        path = zipped(tmp_path / "a.zip", {**members_of(packed), "predictions.parquet": as_parquet(table)})
        with pytest.raises(SubmissionError, match=f"a.zip: predictions.parquet .*{message}"):
            check(path)
    with pytest.raises(SubmissionError, match="predictions.parquet can't be read as Parquet"):
        check(zipped(tmp_path / "a.zip", {**members_of(packed), "predictions.parquet": b"PAR1" * 9}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.assign(label=np.int8(2)), "column label of the predictions has other values than 0 and 1"),
        (lambda rows: rows.assign(score=np.inf), "column score of the predictions has NaN or infinite numbers"),
        (lambda rows: rows.assign(score=-rows.score), "a prediction is not what its score says"),
        (
            lambda rows: rows.assign(constant=rows.constant.where(rows.index != 0, 1 - rows.constant)),
            "(group .* has more than one constant|column constant gives an accuracy)",
        ),
    ],
)
def test_answers_that_make_no_sense_are_refused(change, message, packed, tmp_path):
    members = members_of(packed)
    rows = change(pd.read_parquet(io.BytesIO(members["predictions.parquet"])))
    path = zipped(tmp_path / "a.zip", {**members, "predictions.parquet": parquet(rows)})
    with pytest.raises(SubmissionError, match=f"{message}|does not fit result.json"):
        check(path)


class Runs:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self):
        return (Path("ran").touch, ())


def header(shape: tuple, descr: str = "<f4", version: bytes = b"\1\0") -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (header((1,), "|O") + pickle.dumps(Runs()), "vectors.npy does not hold what its header says"),
        (header((10**12, 8)) + bytes(32), "does not hold what its header says, .1000000000000, 8. of float32"),
        (header((0, 8)), "does not hold what its header says"),
        (header((319,), "<f4") + bytes(4 * 319), "is not of clip ids as text and vectors of floating point numbers"),
        (header((319, 1), ">f4") + bytes(4 * 319), "is not of clip ids as text and vectors"),
        (header((319, 1), version=b"\2\0") + bytes(4 * 319), "vectors.npy (is not an array row by row|has no header)"),
        (b"no array", "vectors.npy has no header of an array"),
        (header((3, 1)) + bytes(12), "embeddings.npz holds 319 clip ids and 3 embeddings"),
        (header((319, 1)) + np.full(319, np.nan, "<f4").tobytes(), "NaN or infinite numbers in the embedding of 'P"),
    ],
)
def test_arrays_are_read_without_pickle_and_never_larger_than_they_are(vectors, message, packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    members = members_of(packed)
    (tmp_path / "sent.npz").write_bytes(members["embeddings.npz"])
    zipped(tmp_path / "e.npz", {**members_of(tmp_path / "sent.npz"), "vectors.npy": vectors}, sign=False)
    path = zipped(tmp_path / "a.zip", {**members, "embeddings.npz": (tmp_path / "e.npz").read_bytes()})
    with pytest.raises(SubmissionError, match=message):
        check(path)
    assert not (tmp_path / "ran").exists()


def test_a_compressed_or_stuffed_npz_is_refused(packed, tmp_path):
    members = members_of(packed)
    arrays = dict(np.load(io.BytesIO(members["embeddings.npz"])))
    for save, more, message in (
        (np.savez_compressed, {}, "embeddings.npz: member '.*' is compressed"),
        (np.savez, {"bomb": np.zeros(3)}, "embeddings.npz: member 'bomb.npy' does not belong there"),
    ):
        save(tmp_path / "e.npz", **arrays, **more)
        path = zipped(tmp_path / "a.zip", {**members, "embeddings.npz": (tmp_path / "e.npz").read_bytes()})
        with pytest.raises(SubmissionError, match=message):
            check(path)


# among results, and typed


def test_another_result_of_that_name_is_never_replaced(packed, shared_build, tmp_path):
    checked = check(packed, shared_build)
    folder = accept(packed, checked, tmp_path)
    before = snapshot(tmp_path)
    accept(packed, checked, tmp_path)
    assert snapshot(tmp_path) == before
    perfect = forged(packed, tmp_path / "perfect.zip", right, without=("embeddings.npz",))
    with pytest.raises(ResultError, match="e holds another result; delete it, or give another --out"):
        accept(perfect, check(perfect), tmp_path)
    perfect.unlink()
    assert snapshot(tmp_path) == before and read_result(folder)["model"]["name"] == "e"


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "\x1b[31mred\nline", "<script>", "..", "CON:"])
def test_a_strangers_name_leads_nowhere_and_is_printed_safely(name, packed, tmp_path):
    path = with_other_result(packed, tmp_path / "a.zip", lambda record: record["model"].update(name=name))
    run = CliRunner().invoke(main, ["submission", "check", str(path), "--out", str(tmp_path / "in" / "board")])
    assert run.exit_code == 0 and "unverified" in run.output
    assert all(line.isprintable() for line in run.output.splitlines())
    assert [one.parent.parent for one in tmp_path.rglob("submission.json")] == [tmp_path / "in" / "board"]


def test_the_commands_say_what_was_checked_and_what_is_wrong(packed, shared_build, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def cia(*arguments: object):
        return CliRunner().invoke(
            main, ["submission", *map(str, arguments)]
        )  # in this process: pandas is slow to import

    folder = packed.with_suffix("")
    run = cia("pack", folder, "--embeddings", folder.parent.parent / "e.parquet", "--out", "a.zip")
    assert run.output == "wrote a.zip: 0.1 MB\n"
    lines = cia("check", "a.zip", "--data", shared_build, "--out", "board").output.splitlines()
    begun = [
        "checksums: ",
        "result: e (8 numbers), paper protocol, ridge probe, mean ",
        "scores: ",
        "data: ",
        "probe: ",
    ]
    begun += ["the submitter's word: contamination, embeddings.name, model.name", "a.zip: verified", "wrote board/e"]
    assert len(lines) == len(begun) and all(map(str.startswith, lines, begun)), lines
    before = snapshot(tmp_path)
    (tmp_path / "b.zip").write_bytes(b"PK")
    for arguments, message in (
        (("check", "b.zip", "--out", "board2"), "b.zip can't be read as a zip"),
        (("pack", "none"), "none/result.json can't be read"),
        (("pack", folder, "--weights", "x"), "--weights 'x' is not like"),
    ):
        run = cia(*arguments)
        assert run.exit_code == 1 and run.output.startswith("Error: ") and run.output.count("\n") == 1
        assert message in run.output
    (tmp_path / "b.zip").unlink()
    assert snapshot(tmp_path) == before
