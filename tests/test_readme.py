import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY, SAMPLE, refusal, run_cia
from safetensors.torch import save_file

import cia_bench

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """What stands in the README's first code block that opens with these words."""
    return re.search(rf"^```{name}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[1]


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
    report = f"{block('sh report')}python - <<'EOF'\n{block('python report')}EOF\n"
    output = run_session(block("sh epic") + block("sh strict") + report, tmp_path, SAMPLE)
    assert re.search(r"planted +│ +769 │ +100.0 ", output)
    assert re.search(r"random +│ +768 │ +51.2 ", output)
    assert "kitchen (64 numbers), strict protocol, balanced accuracy in percent" in output
    assert block("text report").splitlines()[-1] in output and "train_clips" in output and "times_wrong" in output


def test_the_readmes_outputs_are_what_scoring_and_sending_print_on_the_real_files(epic100, tmp_path):
    assert run_session(block("sh epic"), tmp_path, epic100) == block("text")
    shown = re.findall(r"^\$ (cia .*)\n([^$]*)", block("text submission"), re.MULTILINE)
    for command, output in shown:
        run = run_cia(*shlex.split(command)[1:], cwd=tmp_path)
        assert run.stdout == output, run.stderr
    assert len(shown) == 2


def test_the_readmes_python_runs(tmp_path):
    run_session(block("sh epic"), tmp_path, SAMPLE)
    code = block("python")
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "random (768 numbers), paper protocol" in run.stdout and "epic/" in run.stdout


def test_the_readmes_training_loop_runs_in_seconds(tmp_path):
    run_session("cia build --source epic", tmp_path, SAMPLE)
    run = subprocess.run([sys.executable, "-c", block("python loop")], cwd=tmp_path, capture_output=True, text=True)
    assert re.fullmatch(r"(epoch \d: \d\d\.\d, \d\.\d s\n){3}", run.stdout), run.stdout + run.stderr


def helps(*group: str) -> Iterator[tuple[str, str]]:
    """Every command below a group, as it is typed after `cia`, with its help."""
    text = run_cia(*group, "--help").stdout
    names = re.findall(r"^  ([a-z]+)  ", text.partition("\nCommands:\n")[2], re.MULTILINE)
    if not names:
        yield " ".join(group), text
    for name in names:
        yield from helps(*group, name)


def test_the_readme_lists_every_command_and_option():
    commands = dict(helps())
    assert len(commands) == 24
    for command, text in commands.items():
        lines = re.findall(rf"^\| `cia {command}[ `].*? \| ", README, re.MULTILINE)
        options = set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))
        assert lines and set(re.findall(r"(--[a-z-]+)", " ".join(lines))) == options, command


def test_the_readmes_model_is_at_most_ten_lines_and_is_scored_by_the_readmes_command(demo, tmp_path):
    code, command = block("python model"), block("sh model")
    assert len(code.strip().splitlines()) <= 10
    (tmp_path / "my_models").mkdir()
    (tmp_path / "my_models" / "colour.py").write_text(code)
    (tmp_path / "cia-demo").symlink_to(demo.folder)
    run = run_cia(*command.split()[1:], cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "my_models.colour:Colour: 280 new embeddings" in run.stdout
    assert "my_models.colour:Colour:concat (48 numbers), paper protocol" in run.stdout
    (check,) = re.findall(r"`(cia check [^\[`]*)`,? tries", README.replace("\n", " "))
    checked = run_cia(*check.split()[1:], cwd=tmp_path)
    assert checked.returncode == 0 and "note" not in checked.stdout, checked.stdout + checked.stderr


def test_the_readmes_controls_print_the_lines_that_it_shows(demo, tmp_path):
    (tmp_path / "cia-demo").symlink_to(demo.folder)
    output = run_session(block("sh controls"), tmp_path, SAMPLE)

    def words(text: str) -> list[str]:
        return re.sub(r"[+-]?\d+(\.\d)?|\s+", " ", text).split()

    assert words(output) == words(block("text controls"))


def test_the_readmes_extended_build_prints_what_it_shows_on_the_real_files(epic100, tmp_path):
    command, output = block("text extended").removeprefix("$ ").split("\n", 1)
    assert run_session(command, tmp_path, epic100) == output


def test_the_readmes_spreadsheet_prints_what_it_shows_on_the_real_files(epic100, tmp_path):
    run_session("cia build --source epic", tmp_path, epic100)
    shown = re.findall(r"^\$ cia (.*)\n([^$]*)", block("text verdicts"), re.MULTILINE)
    for command, output in shown:
        run = run_cia(*command.split(), cwd=tmp_path)
        assert run.stdout.startswith(output) if "agreement" in command else run.stdout == output, command
        if command.startswith("verdicts export"):
            rows = pd.read_csv(tmp_path / "ann.csv", keep_default_na=False)
            rows.loc[:39, "verdict"] = rows.hazards.map(lambda them: "reject" if "lopsided" in them else "accept")
            rows.to_csv(tmp_path / "ann.csv", index=False)
    assert len(shown) == 4


def test_the_readmes_source_is_at_most_thirty_lines_and_is_built_by_the_readmes_command(tmp_path):
    code, command = block("python source"), block("sh source")
    assert len(code.strip().splitlines()) <= 30
    (tmp_path / "my_sources").mkdir()
    (tmp_path / "my_sources" / "kitchen.py").write_text(code)
    (tmp_path / "kitchen").mkdir()
    rows = [
        f"{split}-{cook},{start}.5,{start + 4},{verb},fridge,{split},{split}{cook}"
        for split, cooks in (("train", 6), ("validation", 3))
        for cook in range(cooks)
        for verb, start in (("open", 10), ("close", 20))
    ]
    table = tmp_path / "kitchen" / "actions.csv"
    table.write_text(
        "\n".join(["video,start,stop,verb,noun,split,cook", *rows, "x,later,4,open,fridge,train,y"]) + "\n"
    )
    message = refusal(*command.split()[1:], cwd=tmp_path)
    assert "kitchen/actions.csv row 20: 'later' to '4' is no interval in seconds" in message
    run = run_cia(*command.split()[1:], "--skip-bad-rows", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "kitchen, profile extended, skip_bad_rows True: 0 groups" in run.stdout
    assert "candidates: 1, of which 1 ready for review" in run.stdout
    assert "row left out: actions.csv row 20: 'later' to '4' is no interval in seconds" in run.stdout
    assert (tmp_path / "cia-data" / "kitchen" / "candidates.parquet").exists()


def test_the_readmes_perception_encoder_keeps_the_contract_where_timm_is(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm", reason="timm is not installed: it needs torchvision", exc_type=ImportError)
    (tmp_path / "my_models").mkdir()
    (tmp_path / "my_models" / "perception.py").write_text(block("python perception"))
    model = timm.create_model("vit_pe_core_base_patch16_224.fb")
    save_file(model.state_dict(), tmp_path / "random.safetensors")
    monkeypatch.chdir(tmp_path)
    name = "my_models.perception:PerceptionEncoder"
    report = cia_bench.check(f"{name}:concat", {name: "random.safetensors"})
    assert report.passed and report.facts["parameters"] == 93_673_984, str(report)


def test_the_readme_shows_what_cia_models_prints():
    printed = run_cia("models", HF_HUB_CACHE="nowhere").stdout.splitlines()
    shown = block("text models").splitlines()
    assert len(shown) > 10 and set(shown) <= set(printed)
    encoders = [line for line in printed if re.match(r"\S+ +(frame|clip) ", line)]
    assert f"lists the {len(encoders)} encoders that come with" in README
