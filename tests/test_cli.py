import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import SAMPLE, run_cia, snapshot

from cia_bench import __version__

HEAVY = ("torch", "transformers", "sklearn", "matplotlib", "textual", "pandas", "pyarrow")


HELP = "from cia_bench.cli import main; main(['--help'], standalone_mode=False)"


@pytest.mark.parametrize("code", ["import cia_bench", HELP])
def test_importing_and_asking_for_help_load_nothing_heavy(code):
    script = f"import sys; {code}; print([name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_scoring_and_ranking_load_neither_torch_nor_textual(data, embeddings, tmp_path):
    embeddings.to_parquet(tmp_path / "e.parquet", index=False)
    commands = [
        ["eval", "--data", str(data), "--embeddings", str(tmp_path / "e.parquet"), "--out", str(tmp_path / "r")],
        ["leaderboard", "--results", str(tmp_path / "r")],
    ]
    script = (
        f"import sys; from cia_bench.cli import main; [main(c, standalone_mode=False) for c in {commands!r}];"
        f"print([name for name in {HEAVY[:5]!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_help_names_the_commands_and_version_the_version():
    run = run_cia("--help")
    for command in ("build", "verify", "eval", "leaderboard"):
        assert re.search(rf"^  {command}  ", run.stdout, re.MULTILINE)
    assert run_cia("--version").stdout == f"cia, version {__version__}\n"


def test_the_four_commands_work_bare(data, embeddings, tmp_path):
    data.rename(tmp_path / "elsewhere")
    root = tmp_path / "annotations"
    root.mkdir()
    (root / "epic").symlink_to(SAMPLE)
    np.savez(tmp_path / "e.npz", ids=embeddings.clip_id.to_numpy(str), vectors=np.stack(embeddings.embedding))
    for command in ("build --source epic", "verify", "eval --embeddings e.npz", "leaderboard"):
        run = run_cia(*command.split(), cwd=tmp_path, CIA_ANNOTATIONS=str(root))
        assert run.returncode == 0, run.stderr
    assert (tmp_path / "cia-data" / "epic" / "clips.parquet").exists()
    assert (tmp_path / "cia-results" / "e" / "result.json").exists()


def test_the_same_evaluation_gives_the_same_bytes(data, embeddings, tmp_path):
    embeddings.to_parquet(tmp_path / "e.parquet", index=False)
    for out in ("r1", "r2", "r2"):
        assert run_cia("eval", "--data", data, "--embeddings", "e.parquet", "--out", out, cwd=tmp_path).returncode == 0
    assert snapshot(tmp_path / "r1") == snapshot(tmp_path / "r2")


def test_verbose_says_more_on_stderr(tmp_path):
    arguments = ("build", "--source", "epic", "--annotations", SAMPLE, "--out", tmp_path / "data")
    assert "read 412 actions of epic" in run_cia("-v", *arguments).stderr
    assert run_cia(*arguments).stderr == ""


def test_a_bug_keeps_its_traceback(data, embeddings, tmp_path):
    # a schema of ours that no longer exists is a bug, not the user's to mend
    embeddings.to_parquet(tmp_path / "e.parquet", index=False)
    script = (
        "import sys, cia_bench.evaluation as e; from cia_bench.cli import main; del e.PREDICTIONS;"
        "sys.argv = ['cia', *sys.argv[1:]]; main()"
    )
    arguments = ["eval", "--data", str(data), "--embeddings", str(tmp_path / "e.parquet"), "--out", str(tmp_path / "r")]
    run = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert run.returncode == 1 and "Traceback" in run.stderr and "NameError" in run.stderr
