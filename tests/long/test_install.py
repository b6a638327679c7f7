"""The package as a stranger gets it: a fresh clone with make, and a wheel without the clone."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY, SAMPLE


def run(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fresh") / "a folder with spaces"
    run("git", "clone", "--quiet", REPOSITORY, folder, cwd=REPOSITORY)
    yield folder
    shutil.rmtree(folder)  # its .venv is gigabytes, which pytest would keep


def test_make_demo_sets_up_a_fresh_clone_and_a_second_run_installs_nothing(clone):
    first = run("make", "demo", cwd=clone)
    assert "Successfully installed" in first
    assert re.search(r"planted .* 100\.0 ", first) and "constant" in first
    before = {path: path.stat().st_mtime_ns for path in (clone / ".venv").rglob("*.dist-info")}
    second = run("make", "demo", cwd=clone, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert "pip" not in second
    assert {path: path.stat().st_mtime_ns for path in (clone / ".venv").rglob("*.dist-info")} == before
    dry = run("make", "--dry-run", "test", cwd=clone)
    assert "pip" not in dry and "pytest" in dry


def test_a_wheel_holds_the_data_and_runs_without_the_clone(clone, tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, cwd=clone)
    (wheel,) = tmp_path.glob("cia_bench-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "cia_bench/verb_pairs/cia_v1_groups.csv",
        "cia_bench/verb_pairs/NOTICE",
        "cia_bench/verb_pairs/LICENSE-APACHE-2.0.txt",
        "cia_bench/annotations/__init__.py",
        "cia_bench/baselines/__init__.py",
        "cia_bench/leaderboard/export.py",
        "cia_bench/sources/epic.py",
    ):
        assert name in names
    for name in ("LICENSE", "NOTICE"):
        assert any(re.fullmatch(rf"cia_bench-.*\.dist-info/(licenses/)?{name}", member) for member in names), name
    assert all(name.startswith("cia_bench") for name in names)

    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # the wheel's requirements are borrowed from the environment that runs this test; cia_bench itself is not in there
    borrowed = {"PYTHONPATH": sysconfig.get_path("purelib")}
    where = run(python, "-c", "import cia_bench; print(cia_bench.__file__)", cwd=tmp_path, **borrowed)
    assert str(tmp_path / "venv") in where
    cia = tmp_path / "venv" / "bin" / "cia"
    built = run(cia, "build", "--source", "epic", "--annotations", SAMPLE, cwd=tmp_path, **borrowed)
    assert "8 groups, 319 clips" in built


def test_the_requirements_of_the_distribution_are_those_the_project_names():
    from importlib.metadata import requires

    found = {re.split(r"[<>=!;\[ ]", line)[0].lower() for line in requires("cia-bench")}
    assert found >= {
        "pandas", "pyarrow", "scikit-learn", "torch", "requests", "nltk", "click", "rich", "av", "textual",
        "transformers", "safetensors", "huggingface_hub", "matplotlib", "jinja2", "ray",
    }  # fmt: skip
