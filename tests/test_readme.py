import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import REPOSITORY, SAMPLE, run_cia

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def epic_session() -> str:
    return re.search(r"^```sh epic\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[1]


def shown_output() -> str:
    return re.search(r"^```text\n(epic, .*?)^```$", README, re.DOTALL | re.MULTILINE)[1]


def run_session(session: str, folder, annotations) -> str:
    root = folder / "annotations"
    root.mkdir()
    (root / "epic").symlink_to(annotations)
    environment = {
        **os.environ,
        "CIA_ANNOTATIONS": str(root),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    run = subprocess.run(["sh", "-e"], input=session, cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_readmes_session_runs_on_the_sample(tmp_path):
    output = run_session(epic_session(), tmp_path, SAMPLE)
    assert re.search(r"planted +│ +│ +769 │ +100.0 ", output)
    assert re.search(r"random +│ +│ +768 │ +51.2 ", output)


def test_the_readmes_output_is_what_the_session_prints_on_the_real_files(epic100, tmp_path):
    assert run_session(epic_session(), tmp_path, epic100) == shown_output()


def test_the_readmes_python_runs(tmp_path):
    run_session(epic_session(), tmp_path, SAMPLE)
    code = re.search(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "random (768 numbers), paper protocol" in run.stdout and "epic/" in run.stdout


def test_the_readme_lists_every_command_and_option():
    commands = re.findall(r"^  ([a-z]+)  ", run_cia("--help").stdout, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        lines = [line.split(" | ")[0] for line in README.splitlines() if line.startswith(f"| `cia {command} ")]
        options = set(re.findall(r"^  (--[a-z-]+)", run_cia(command, "--help").stdout, re.MULTILINE))
        assert set(re.findall(r"(--[a-z-]+)", " ".join(lines))) == options, command


def test_the_readmes_model_is_at_most_ten_lines_and_is_scored_by_the_readmes_command(demo, tmp_path):
    code = re.search(r"^```python model\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[1]
    command = re.search(r"^```sh model\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[1]
    assert len(code.strip().splitlines()) <= 10
    (tmp_path / "my_models").mkdir()
    (tmp_path / "my_models" / "colour.py").write_text(code)
    (tmp_path / "cia-demo").symlink_to(demo.folder)
    run = run_cia(*command.split()[1:], cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "my_models.colour:Colour: 280 new embeddings" in run.stdout
    assert "my_models.colour:Colour:concat (48 numbers), paper protocol" in run.stdout
