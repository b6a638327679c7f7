import json
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import SAMPLE, refusal, run_cia, snapshot

from cia_bench.build import Data
from cia_bench.tables import CLIPS, GROUPS


def test_build_refuses_what_it_can_not_use(annotations, tmp_path):
    (annotations / "EPIC_100_noun_classes.csv").rename(tmp_path / "nouns.csv")
    cases = [
        (
            ("--source", "moon", "--annotations", annotations),
            "unknown source 'moon'; choose from charades, epic, ssv2, synthetic",
        ),
        (
            ("--source", "epic", "--annotations", tmp_path / "none"),
            "none does not exist; it should hold EPIC_100_train.csv",
        ),
        (("--source", "epic", "--annotations", annotations), "lacks EPIC_100_noun_classes.csv; get them from https://"),
        (
            ("--source", "epic", "--annotations", annotations, "--profile", "x"),
            "unknown profile 'x'; choose from paper, extended",
        ),
    ]
    for arguments, message in cases:
        assert message in refusal("build", *arguments, "--out", "data", cwd=tmp_path)
    without = {"CIA_ANNOTATIONS": "", "CIA_CACHE": str(tmp_path / "cache")}
    assert "give --annotations DIR, or set CIA_ANNOTATIONS" in refusal(
        "build", "--source", "ssv2", cwd=tmp_path, **without
    )
    assert "unknown source 'moon'; choose from charades, epic, ssv2, synthetic" in refusal(
        "build", "--source", "moon", cwd=tmp_path, **without
    )
    assert not (tmp_path / "data").exists() and not (tmp_path / "cia-data").exists()


def test_build_names_a_broken_row_and_a_missing_column(annotations, tmp_path):
    path = annotations / "EPIC_100_validation.csv"
    good = path.read_text()
    arguments = ("build", "--source", "epic", "--annotations", annotations, "--out", "data")
    path.write_text(re.sub(r",00(:\d\d:\d\d\.\d\d,)", r",0x00\1", good, count=1))
    assert re.search(
        r"EPIC_100_validation.csv row 2: narration 'P\d\d_\d\d_\d+': start_timestamp '0x00:",
        refusal(*arguments, cwd=tmp_path),
    )
    path.write_text(good.replace("stop_timestamp", "end", 1))
    assert "EPIC_100_validation.csv lacks column stop_timestamp" in refusal(*arguments, cwd=tmp_path)
    assert not (tmp_path / "data").exists()


def test_build_keeps_another_build_that_is_there(annotations, data):
    path = annotations / "EPIC_100_validation.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-3]) + "\n")
    before = snapshot(data)
    message = refusal("build", "--source", "epic", "--annotations", annotations, "--out", data)
    assert "epic holds another build (profile paper, 8 groups, fingerprint" in message
    assert snapshot(data) == before


def test_eval_names_ids_that_do_not_fit(data, embeddings, tmp_path):
    first = embeddings.clip_id[0]
    cases = {
        "unknown": (embeddings.replace({"clip_id": {first: "P99/x"}}), "the data has no clip 'P99/x'"),
        "missing": (embeddings[1:], f"lacks '{first}' of the 319 clips of epic"),
        "twice": (embeddings.replace({"clip_id": {embeddings.clip_id[1]: first}}), f"stand there twice: '{first}'"),
        "nan": (
            embeddings.assign(embedding=[np.full(8, np.nan, np.float32), *embeddings.embedding[1:]]),
            f"NaN or infinite numbers in the embedding of '{first}'",
        ),
        "length": (embeddings.assign(embedding=[*embeddings.embedding[:-1], np.zeros(7, np.float32)]), "has 7 numbers"),
    }
    for name, (frame, message) in cases.items():
        frame.to_parquet(tmp_path / f"{name}.parquet", index=False)
        arguments = ("eval", "--data", data, "--embeddings", f"{name}.parquet", "--out", "r")
        assert message in refusal(*arguments, cwd=tmp_path)
    assert not (tmp_path / "r").exists()


def test_eval_says_what_is_not_there(data, embeddings, tmp_path):
    embeddings.to_parquet(tmp_path / "e.parquet", index=False)
    message = refusal("eval", "--data", "none", "--embeddings", "e.parquet", cwd=tmp_path)
    assert "data folder none does not exist; make it with cia build" in message
    assert "none.npz do not exist" in refusal("eval", "--data", data, "--embeddings", "none.npz", cwd=tmp_path)
    assert "no source 'ssv2' in the data; choose from epic" in refusal(
        "eval", "--data", data, "--source", "ssv2", "--embeddings", "e.parquet", cwd=tmp_path
    )
    (data / "epic" / "clips.parquet").write_bytes(b"PAR1")
    assert "clips.parquet can't be read as Parquet" in refusal(
        "eval", "--data", data, "--embeddings", "e.parquet", cwd=tmp_path
    )
    assert not (tmp_path / "cia-results").exists()


def test_eval_refuses_a_group_with_one_label_in_train(data, embeddings, tmp_path):
    path = data / "epic" / "clips.parquet"
    clips = CLIPS.read(path)
    drop = (clips.group_id == "epic/open-close/fridge") & (clips.split == "train") & (clips.label == 0)
    CLIPS.write(path, clips[~drop])
    record = json.loads((data / "epic" / "build.json").read_text())
    record["fingerprint"] = Data(GROUPS.read(data / "epic" / "groups.parquet"), clips[~drop]).fingerprint("epic")
    (data / "epic" / "build.json").write_text(json.dumps(record))
    embeddings[embeddings.clip_id.isin(clips.clip_id[~drop])].to_parquet(tmp_path / "e.parquet", index=False)
    message = refusal("eval", "--data", data, "--embeddings", "e.parquet", cwd=tmp_path)
    assert "group 'epic/open-close/fridge' has no clip of label 0 in train" in message
    run = run_cia("verify", "--data", data)
    assert run.returncode == 1
    assert "group 'epic/open-close/fridge' has no reverse clip in train" in run.stdout
    assert run.stderr.startswith("Error: ") and "problems; build it again" in run.stderr


def test_verify_says_all_that_is_wrong(data):
    (data / "epic" / "candidates.parquet").unlink()
    (data / "epic" / "groups.parquet").write_bytes(b"")
    run = run_cia("verify", "--data", data)
    assert run.returncode == 1
    assert len(run.stdout.splitlines()) == 2


NOBODY = """
import os, sys
import cia_bench.published, cia_bench.sources.epic, cia_bench.sources.places
import encodings.idna, importlib.readers, click.testing, platformdirs
from cia_bench.cli import main
if os.geteuid() == 0:
    os.setuid(65534)  # root may read everything
main(sys.argv[1:])
"""


def test_a_file_that_may_not_be_read_is_one_line(annotations, tmp_path):
    annotations.chmod(0)
    command = [sys.executable, "-c", NOBODY, "build", "--source", "epic", "--annotations", annotations]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    annotations.chmod(0o700)
    assert run.returncode == 1
    assert re.fullmatch(r"Error: no permission to read or write .*annotations.*\n", run.stderr), run.stderr


def test_a_strange_name_stays_on_its_one_line(tmp_path):
    message = refusal("verify", "--data", "no\x1b[31m\nsuch", cwd=tmp_path)
    assert r"no\x1b[31m\nsuch does not exist" in message and message.isprintable()


def test_leaderboard_names_what_it_can_not_use(tmp_path):
    assert "cia-results does not exist; cia eval writes one" in refusal("leaderboard", cwd=tmp_path)
    (tmp_path / "cia-results" / "m").mkdir(parents=True)
    (tmp_path / "cia-results" / "m" / "result.json").write_text('{"model"')
    assert "m/result.json can't be read" in refusal("leaderboard", cwd=tmp_path)
    (tmp_path / "cia-results" / "m" / "result.json").unlink()
    assert "holds no result" in refusal("leaderboard", "--out", "x.md", cwd=tmp_path)
    assert not (tmp_path / "x.md").exists()


def test_leaderboard_lists_the_formats_it_knows(data, embeddings, tmp_path):
    embeddings.to_parquet(tmp_path / "e.parquet", index=False)
    run_cia("eval", "--data", data, "--embeddings", "e.parquet", cwd=tmp_path)
    for arguments in (("--format", "pdf"), ("--out", "board.pdf")):
        message = refusal("leaderboard", *arguments, cwd=tmp_path)
        assert message.endswith("unknown format 'pdf'; choose from table, md, latex, csv, json, html")
    assert not (tmp_path / "board.pdf").exists()


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["cia", *sys.argv[2:]]
from cia_bench.cli import main
main()
"""


def run_limited(size: int, *arguments: object) -> subprocess.CompletedProcess:
    """Run the command unable to write any file beyond `size` bytes."""
    command = [sys.executable, "-c", LIMITED, str(size), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("size", [0, 100, 3000])
def test_a_real_write_failure_leaves_nothing_and_says_so(size, data, embeddings, tmp_path):
    embeddings.to_parquet(tmp_path / "e.parquet", index=False)
    run_cia("eval", "--data", data, "--embeddings", tmp_path / "e.parquet", "--out", tmp_path / "r")
    before = snapshot(tmp_path)
    commands = [
        ("build", "--source", "epic", "--annotations", SAMPLE, "--out", tmp_path / "new"),
        ("build", "--source", "epic", "--annotations", SAMPLE, "--out", data),
        ("eval", "--data", data, "--embeddings", tmp_path / "e.parquet", "--out", tmp_path / "new"),
    ]
    if size <= 100:
        commands.append(("leaderboard", "--results", tmp_path / "r", "--out", tmp_path / "new" / "board.md"))
    for command in commands:
        run = run_limited(size, *command)
        assert run.returncode == 1, (command, run.stdout)
        assert run.stderr.startswith("Error: can't write to ") and run.stderr.count("\n") == 1, run.stderr
        assert "File too large; nothing was changed there" in run.stderr
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "new").exists()
