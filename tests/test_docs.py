"""The code of docs/model.md runs as it stands."""

import configparser
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from conftest import REPOSITORY, run_cia
from safetensors.torch import save_file
from test_extract import make_source

from cia_bench.cli import main
from cia_bench.encoders import Encoder, FrameSpec

PAGE = (REPOSITORY / "docs" / "model.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```(\w+ \w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp("made") / "cia-data"
    make_source(data / "synthetic")
    return data


@pytest.fixture
def film(here: Path) -> Path:
    """The current folder, with the page's model and random weights for it."""
    (here / "my_models").mkdir()
    (here / "my_models" / "film.py").write_text(BLOCKS["python film"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv3d(3, 16, 3), torch.nn.ReLU())
    save_file(net.state_dict(), here / "film.safetensors")
    return here


def cia(command: str) -> str:
    """Run `cia ...` in this process, where torch is loaded, and return what it prints."""
    run = CliRunner().invoke(main, command.split()[1:])
    assert run.exit_code == 0, run.output
    return run.stdout


def test_every_block_of_the_page_has_a_name_and_a_test():
    assert len(BLOCKS) == len(re.findall(r"^```\w", PAGE, re.MULTILINE))
    assert set(BLOCKS) == {
        *("python film", "sh check", "python test_film", "sh eval", "ini setup", "toml pyproject"),
        *("python file", "sh file"),
    }


def test_the_pages_model_is_checked_and_scored_by_the_pages_commands(film, made):
    checked = cia(BLOCKS["sh check"])
    assert checked.startswith("my_models.film:Film: 8 frames of 32 x 32 pixels -> 96 numbers, 1,312 parameters\n")
    assert "note" not in checked and "fails" not in checked
    (film / "cia-data").symlink_to(made)
    scored = run_cia(*BLOCKS["sh eval"].split()[1:], cwd=film)
    assert "my_models.film:Film (96 numbers), paper protocol" in scored.stdout, scored.stderr
    refused = CliRunner().invoke(main, ["check", "--model", "my_models.film:Film"])
    assert refused.exit_code == 1 and refused.stderr == "Error: Film needs weights; give --weights MODEL=FILE\n"


def test_the_pages_test_passes_under_pytest(film):
    (film / "test_film.py").write_text(BLOCKS["python test_film"])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_film.py"]
    run = subprocess.run(command, cwd=film, env=os.environ, capture_output=True, text=True)
    assert run.returncode == 0 and "1 passed" in run.stdout, run.stdout


def test_the_pages_entry_points_offer_the_model_by_name(film):
    setup = configparser.ConfigParser()
    setup.read_string(BLOCKS["ini setup"])
    (group,), points = setup["options.entry_points"], setup["options.entry_points"]["cia_bench.encoders"].strip()
    assert tomllib.loads(BLOCKS["toml pyproject"])["project"]["entry-points"][group] == dict([points.split(" = ")])
    about = film / "my_models-0.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-models\nVersion: 0.3\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{points}\n")
    sys.path.insert(0, str(film))
    assert re.search(r"^encoder +film +my-models 0.3 +my_models.film:Film$", cia("cia models"), re.MULTILINE)
    assert cia("cia check --model film --weights film=film.safetensors").startswith("film: 8 frames")


def test_the_pages_file_is_scored_by_the_pages_command(here, made):
    (here / "cia-data").symlink_to(made)
    exec(BLOCKS["python file"], {})
    assert "elsewhere (512 numbers), paper protocol" in cia(BLOCKS["sh file"])


def test_the_page_gives_the_defaults_and_what_an_encoder_has():
    stated = re.search(r"`(FrameSpec\(.*?\))`: *$", PAGE, re.MULTILINE | re.DOTALL)[1]
    assert stated.replace('"', "'") == repr(FrameSpec())
    names = set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE)) - {"what"}
    assert names == {name for name in vars(Encoder) if not name.startswith("_")} | {"__init__"}
