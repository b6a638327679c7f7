"""The leaderboard's command: which results it takes, in what order, and which pairs it compares."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from conftest import run_cia
from test_build import write_second_source
from test_common_clips import noise

from cia_bench.build import read_data
from cia_bench.cli import main
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import write_result

NAMES = ("best", "also-best", "noise")


@pytest.fixture(scope="module")
def results(shared_build, tmp_path_factory) -> Path:
    """Three models, two of them alike, on two sources, of 8, 9 and 10 numbers; and one on EPIC alone, strict."""
    folder = tmp_path_factory.mktemp("board")
    data = Path(shutil.copytree(shared_build, folder / "cia-data"))
    write_second_source(data)
    built = read_data(data)
    clips = built.clips.drop_duplicates("clip_id")
    ids = pd.DataFrame({"clip_id": clips.clip_id.tolist()})
    for number, name in enumerate(NAMES):
        vectors = np.stack(noise(ids, 0 if number < 2 else 1).embedding)
        planted = clips.label.to_numpy()[:, None] * np.full((1, number + 1), 4 if number < 2 else 0)
        frame = ids.assign(embedding=list(np.hstack([vectors[:, :7], planted]).astype(np.float32)))
        settings = EvaluationSettings(draws=300, permutations=0)
        result = evaluate(frame, built, name, parameters=[10, 1000, None][number], settings=settings)
        write_result(result, folder / "cia-results")
    strict = EvaluationSettings("strict", draws=300, permutations=0)
    write_result(evaluate(frame, built, "strict", sources=["epic"], settings=strict), folder / "cia-results")
    return folder


def run_here(results: Path, *options: object) -> Result:
    """Run the command in this process: twenty processes would mostly import."""
    return CliRunner().invoke(main, ["leaderboard", "--results", f"{results / 'cia-results'}", *map(str, options)])


def refused(results: Path, *options: object) -> str:
    run = run_here(results, *options)
    assert run.exit_code == 1 and run.output.startswith("Error: ") and run.output.count("\n") == 1, run.output
    return run.output


def board(results: Path, *options: object) -> list[dict]:
    run = run_here(results, *options, "--format", "json")
    assert run.exit_code == 0, run.output
    return json.loads(run.stdout)["rankings"]


def test_ranks_ties_and_neighbours_say_which_differences_are_real(results):
    first, second = board(results)
    rows = {row["model"]: row for row in first["rows"]}
    assert sorted(first["sources"]) == ["epic", "toy"] and second["protocol_name"] == "strict"
    assert rows["best"]["tie_group"] == rows["also-best"]["tie_group"] == 1 and rows["noise"]["tie_group"] == 2
    assert rows["noise"]["rank_interval"] == [3, 3] and rows["best"]["rank_interval"][0] == 1
    assert [(pair["a"], pair["b"]) for pair in first["comparisons"]] == [
        tuple(row["model"] for row in first["rows"][place : place + 2]) for place in (0, 1)
    ]
    assert first["comparisons"][1]["p_adjusted"] < 0.05 < first["comparisons"][0]["p_adjusted"]
    assert rows["constant"]["rank_interval"] is None and second["comparisons"] == []


def test_two_models_are_compared_in_words(results):
    run = run_here(results, "--compare", "noise", "best")
    number = r"-\d+\.\d"
    expected = (
        rf"noise minus best, in points:\n  epic: {number} \[{number}, {number}\], p .*\n  toy: .*\n  mean: {number} "
    )
    assert re.search(expected, run.output), run.output
    assert "adjusted for all pairs of the table" in run.output
    assert "no result of 'nosie' to compare; choose from" in refused(results, "--compare", "nosie", "best")
    assert "'best' and 'strict' stand in different tables" in refused(results, "--compare", "best", "strict")
    assert "can't be compared with itself" in refused(results, "--compare", "best", "best")


def test_one_source_alone_has_the_scores_that_its_results_have(results):
    everything, alone = board(results)[0], board(results, "--source", "epic", "--protocol", "paper")
    assert [list(ranking["sources"]) for ranking in alone] == [["epic"]]
    whole = {row["model"]: row for row in everything["rows"]}
    for row in alone[0]["rows"]:
        accuracy = row["scores"]["epic"]["accuracy"]
        assert row["mean"]["accuracy"] == accuracy == pytest.approx(whole[row["model"]]["scores"]["epic"]["accuracy"])
        assert row["scores"]["epic"]["interval"] == pytest.approx(whole[row["model"]]["scores"]["epic"]["interval"])
        assert {group["source"] for group in row["groups"]} <= {"epic"}
    assert alone[0]["sources"]["epic"] == everything["sources"]["epic"]
    both = board(results, "--source", "epic")
    assert [ranking["protocol_name"] for ranking in both] == ["paper", "strict"]
    assert "no result has source 'ego4d'; they have epic, toy" in refused(results, "--source", "ego4d")


def models(results: Path, *options: object) -> list[str]:
    return [row["model"] for row in board(results, "--protocol", "paper", *options)[0]["rows"]]


def test_filters_and_order(results):
    assert models(results, "--max-params", 500) == ["best", "constant"]  # of noise nothing is known
    assert models(results, "--max-dim", 9) == models(results, "--max-params", 1000)
    assert models(results, "--sort", "embedding") == ["noise", "also-best", "best", "constant"]
    assert models(results, "--sort", "model") == ["also-best", "best", "noise", "constant"]
    assert models(results, "--sort", "parameters") == ["also-best", "best", "noise", "constant"]
    message = refused(results, "--sort", "colour")
    assert "no column 'colour' to sort by; choose from model, rank, ties, epic, toy, mean, parameters" in message
    assert "none of the 4 results is of that protocol and size" in refused(results, "--max-dim", 3)
    assert "unknown protocol 'loose'; choose from paper, standard, strict" in refused(results, "--protocol", "loose")


def test_published_numbers_stand_beside_no_other_data(results):
    assert "reported" not in run_here(results).output
    message = refused(results, "--with-reported")
    assert (
        "published numbers are means over charades, epic, ssv2 by protocol paper, or of the standard bench" in message
    )


@pytest.mark.parametrize(("name", "start"), [("b.tex", "% needs"), ("b.json", '{"format"'), ("b.csv", "model,")])
def test_a_files_ending_says_its_format(name, start, results, tmp_path):
    run = run_here(results, "--out", tmp_path / name)
    assert run.output == f"wrote {tmp_path / name}\n"
    assert (tmp_path / name).read_text().startswith(start)


def test_results_come_from_several_folders_and_no_torch_is_needed(results, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    folders = [option for name in NAMES for option in ("--results", results / "cia-results" / name)]
    run = run_cia("leaderboard", *folders, "--format", "csv", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert {row["model"] for row in csv.DictReader(io.StringIO(run.stdout))} == {*NAMES, "constant"}
