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


def figures(board: str) -> dict[str, float]:
    """Model and accuracy in percent of each row of a leaderboard printed as a table."""
    return {name: float(mean) for name, mean in re.findall(r"^│ (\S+) .*?│ +([0-9.]+) \[", board, re.MULTILINE)}


def test_make_demo_sets_up_a_fresh_clone_and_shows_what_the_readme_says(clone):
    first = run("make", "demo", cwd=clone)
    assert "Successfully installed" in first
    measured = figures(first)
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = figures(re.search(r"^```text demo\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)[1])
    assert measured.keys() == shown.keys() and len(shown) == 10
    for name, accuracy in shown.items():  # rounding differs by processor, trained weights by the number of threads
        assert abs(measured[name] - accuracy) <= (3 if name.endswith(":lift") else 2), name
    assert measured["pixels:concat"] >= 90 and measured["pixels:lift"] >= 85
    for name in ("pixels:mean", "pixels:random-frame", "dinov2-random:mean"):
        low, high = re.search(rf"^│ {name} .*?\[([0-9.]+), ([0-9.]+)\] │", first, re.MULTILINE).groups()
        assert float(low) < 50 < float(high)
    assert measured["dinov2-random:lift"] >= measured["dinov2-random:mean"] + 20


def test_a_second_make_demo_installs_nothing_and_keeps_what_is_there(clone):
    before = {path: path.stat().st_mtime_ns for path in (clone / ".venv").rglob("*.dist-info")}
    second = run("make", "demo", cwd=clone, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert "pip" not in second and "render" not in second and "extract" not in second
    assert {path: path.stat().st_mtime_ns for path in (clone / ".venv").rglob("*.dist-info")} == before
    dry = run("make", "--dry-run", "test", cwd=clone)
    assert "pip" not in dry and "pytest" in dry


def test_a_wheel_holds_the_data_and_runs_without_the_clone(clone, tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, cwd=clone)
    (wheel,) = tmp_path.glob("cia_bench-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "cia_bench/verb_pairs/cia_v1_groups.csv",
        "cia_bench/verb_pairs/pairs.csv",
        "cia_bench/verb_pairs/nouns.csv",
        "cia_bench/verb_pairs/wordnet.csv",
        "cia_bench/verb_pairs/LICENSE-WORDNET.txt",
        "cia_bench/annotations/epic.jsonl",
        "cia_bench/annotations/ssv2.jsonl",
        "cia_bench/annotations/charades.jsonl",
        "cia_bench/review/journal.py",
        "cia_bench/verb_pairs/NOTICE",
        "cia_bench/verb_pairs/LICENSE-APACHE-2.0.txt",
        "cia_bench/annotations/__init__.py",
        "cia_bench/baselines/__init__.py",
        "cia_bench/baselines/lift/model.py",
        "cia_bench/sources/synthetic/render.py",
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
    pairs = run(cia, "pairs", "--source", "epic", "--annotations", SAMPLE, cwd=tmp_path, **borrowed)
    assert "wordnet" in pairs and "open" in pairs
    demo = run(cia, "demo", "--size", "tiny", cwd=tmp_path, **borrowed)  # finds the bundled models by entry point
    assert "pixels:lift" in demo and "dinov2-random:lift" in demo


def test_the_requirements_of_the_distribution_are_those_the_project_names():
    from importlib.metadata import requires

    found = {re.split(r"[<>=!;\[ ]", line)[0].lower() for line in requires("cia-bench")}
    assert found >= {
        "pandas", "pyarrow", "scikit-learn", "torch", "requests", "nltk", "click", "rich", "av", "textual",
        "transformers", "safetensors", "huggingface_hub", "matplotlib", "jinja2", "ray",
    }  # fmt: skip
