"""Results that scored different validation clips are compared on those that all of them scored."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import refusal, run_cia
from test_build import write_second_source
from test_coverage import some_of, without

from cia_bench.build import read_data
from cia_bench.errors import ResultError
from cia_bench.evaluation import evaluate
from cia_bench.leaderboard.table import rank, read_results
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import read_result, write_result
from cia_bench.statistics import expanded_level
from cia_bench.tables import PREDICTIONS

DRAWS, SEED = 40, 3
SETTINGS = EvaluationSettings(draws=DRAWS, permutations=0, seed=SEED, level=0.9, min_coverage=0)


def noise(embeddings: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Other vectors for the same clips."""
    vectors = np.random.default_rng(seed).standard_normal((len(embeddings), 8)).astype(np.float32)
    return embeddings.assign(embedding=list(vectors))


def score(folder: Path, data: Path, embeddings: pd.DataFrame, failed: dict[str, list[str]]) -> Path:
    """Write a result a model, each of vectors of its own and without the clips that failed for it."""
    for seed, (model, clip_ids) in enumerate(failed.items()):
        write_result(evaluate(without(noise(embeddings, seed), clip_ids), data, model, settings=SETTINGS), folder)
    return folder


def rank_one(folder: Path):
    (ranking,) = rank(read_results([folder]))
    return ranking


def plain(score: dict) -> dict:
    return {name: score[name] for name in ("accuracy", "interval")}


def scores_of(ranking) -> dict[str, tuple]:
    return {row.model: (row.scores, row.mean) for row in ranking.rows}


@pytest.fixture
def failed(data) -> dict[str, list[str]]:
    """What failed for three models: validation clips of two groups, and for the last a training clip."""
    clips = read_data(data).clips
    first, second = some_of(clips, 0, "validation", 4), some_of(clips, 3, "validation", 2)
    return {"a": [], "b": [*first[:2], *second[:1]], "c": [*first[1:4], *some_of(clips, 5, "train", 1)]}


@pytest.fixture
def results(data, embeddings, failed, tmp_path) -> Path:
    return score(tmp_path / "results", data, embeddings, failed)


def slow_draws(rows: list[dict], source: str) -> np.ndarray:
    """The mean over groups of the accuracy in each group for draws of subjects, counted clip by clip."""
    unit = unit_of(source)
    names = sorted({row[unit] for row in rows})
    picks = np.random.default_rng([SEED, *source.encode()]).integers(len(names), size=(DRAWS, len(names)))
    values = []
    for picked in picks:
        answers: dict[str, list[bool]] = {}
        for number in picked:
            for row in rows:
                if row[unit] == names[number]:
                    answers.setdefault(row["group_id"], []).append(row["right"])
        values.append(np.mean([np.mean(right) for right in answers.values()]))
    return np.array(values)


def slow_score(rows: list[dict], source: str) -> tuple[float, np.ndarray, int]:
    """Accuracy, its draws, and of how many subjects or videos these are."""
    groups: dict[str, list[bool]] = {}
    for row in rows:
        groups.setdefault(row["group_id"], []).append(row["right"])
    accuracy = float(np.mean([np.mean(right) for right in groups.values()]))
    return accuracy, slow_draws(rows, source), len({row[unit_of(source)] for row in rows})


def unit_of(source: str) -> str:
    return "subject" if source == "epic" else "video"


def assert_is(found: dict, accuracy: float, draws: np.ndarray, clusters: int) -> None:
    assert found["accuracy"] == pytest.approx(accuracy, abs=1e-12)
    level = expanded_level(0.9, clusters)
    ends = list(np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]))
    assert found["interval"] == pytest.approx(ends, abs=1e-12)


def test_scores_on_common_clips_equal_a_plain_loop(data, embeddings, failed, tmp_path):
    write_second_source(data)
    both = pd.concat([embeddings, embeddings.assign(clip_id="toy-" + embeddings.clip_id)], ignore_index=True)
    lost = {clip_id for clip_ids in failed.values() for clip_id in clip_ids}
    folder = score(tmp_path / "results", data, both, failed)
    ranking = rank_one(folder)
    assert {row.model for row in ranking.rows} == {"a", "b", "c", "constant"}
    for row in ranking.rows:
        answer = "constant" if row.model == "constant" else "prediction"
        frame = pd.read_parquet(folder / ("a" if row.model == "constant" else row.model) / "predictions.parquet")
        parts = {}
        for source in ("epic", "toy"):
            rows = [
                {**clip, "right": clip[answer] == clip["label"]}
                for clip in frame.to_dict("records")
                if clip["source"] == source and clip["clip_id"] not in lost
            ]
            assert len(rows) == {"epic": 131 - 5, "toy": 131}[source] == ranking.sources[source]["clips"]
            parts[source] = slow_score(rows, source)
            assert_is(row.scores[source], *parts[source])
        accuracies, draws, clusters = zip(*parts.values(), strict=True)
        assert_is(row.mean, np.mean(accuracies), np.mean(draws, axis=0), min(clusters))
    accuracies = [row.mean["accuracy"] for row in ranking.rows[:-1]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert ranking.notes[0] == "epic: compared on the 126 of 131 validation clips that all have"
    assert not any(gap.startswith("toy") for gap in ranking.notes)


def test_the_board_says_on_how_many_clips_models_are_compared_and_still_what_each_lacks(results):
    told = "epic: compared on the 126 of 131 validation clips that all have"
    for form in ("table", "md"):
        board = run_cia("leaderboard", "--results", results, "--format", form)
        assert told in board.stdout and "epic: 8 groups, 126 validation clips, fingerprint" in board.stdout, (
            board.stderr
        )
        assert "b, epic, coverage: 188 of 188 training rows and 128 of 131 validation rows" in board.stdout
        assert "c, epic, coverage: 187 of 188 training rows and 128 of 131 validation rows" in board.stdout


def test_a_models_score_moves_only_by_the_clips_it_is_compared_on(results):
    recorded = {name: read_result(results / name)["sources"]["epic"] for name in "abc"}
    compared = scores_of(rank_one(results))
    assert all(compared[name][0]["epic"]["accuracy"] != recorded[name]["accuracy"] for name in "abc")
    coverage = {row.model: row.coverage for row in rank_one(results).rows}
    assert coverage["b"] == {"epic": 128 / 131} and coverage["a"] == {"epic": 1.0}


def test_models_that_scored_the_same_clips_keep_the_scores_of_their_results(data, embeddings, failed, tmp_path):
    folder = score(tmp_path / "results", data, embeddings, {name: failed["b"] for name in "ab"})
    ranking = rank_one(folder)
    records = {name: read_result(folder / name) for name in "ab"}
    expected = {name: ({"epic": plain(one["sources"]["epic"])}, plain(one["mean"])) for name, one in records.items()}
    assert {name: both for name, both in scores_of(ranking).items() if name != "constant"} == expected
    assert not any("compared" in gap for gap in ranking.notes) and len(ranking.notes) == 2
    for name in "ab":  # each alone is compared with nobody
        (folder / name / "predictions.parquet").unlink()
        assert scores_of(rank_one(folder / name))[name] == expected[name]


def test_complete_results_are_ranked_without_their_predictions(data, embeddings, tmp_path):
    folder = score(tmp_path / "results", data, embeddings, {"a": [], "b": []})
    before = rank_one(folder)
    assert all(row.rank_interval for row in before.rows[:-1]) and before.notes == []
    (folder / "b" / "predictions.parquet").unlink()
    after = rank_one(folder)
    assert scores_of(after) == scores_of(before) and not any(row.rank_interval for row in after.rows)
    assert after.notes == [f"no ranks and no ties: {folder / 'b'} has no predictions.parquet"]


def halves(data: Path, group_ids: list[str]) -> dict[str, list[str]]:
    """For two models, validation clips of groups such that each lacks what the other has."""
    clips = read_data(data).clips
    clips = clips[clips.group_id.isin(group_ids) & (clips.split == "validation")]
    turn = clips.groupby(["group_id", "label"]).cumcount() % 2
    return {"a": clips.clip_id[turn == 0].tolist(), "b": clips.clip_id[turn == 1].tolist()}


def test_a_group_without_a_common_clip_is_left_out_for_all_and_named(data, embeddings, tmp_path):
    group_id = "epic/put-in-take-out/pan"
    folder = score(tmp_path / "results", data, embeddings, halves(data, [group_id]))
    ranking = rank_one(folder)
    assert ranking.notes[:2] == [
        "epic: compared on the 114 of 131 validation clips that all have",
        f"{group_id}: left out for all, no validation clip that all have",
    ]
    assert ranking.sources["epic"]["groups"] == 7
    for name in "ab":
        rows = {row["group_id"]: row["accuracy"] for row in read_result(folder / name)["groups"]}
        rows.pop(group_id)
        assert scores_of(ranking)[name][1]["accuracy"] == pytest.approx(np.mean(list(rows.values())))


def test_results_without_any_common_clip_of_a_source_are_refused(data, embeddings, tmp_path):
    score(tmp_path / "cia-results", data, embeddings, halves(data, read_data(data).groups.group_id.tolist()))
    message = refusal("leaderboard", cwd=tmp_path)
    assert "no validation clip of epic was scored by all of a, b; try what failed again with --retry-failed" in message


def flip(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(prediction=[1 - rows.prediction[0], *rows.prediction[1:]])


DAMAGES = {
    "fewer rows": (lambda rows: rows[1:], "does not fit result.json: epic has 127 clips, not 128"),
    "another answer": (flip, "does not fit result.json: epic's column prediction gives an accuracy of "),
    "another constant": (lambda rows: rows.assign(constant=1 - rows.constant), "epic's column constant gives an acc"),
    "one group less": (
        lambda rows: rows.replace({"group_id": {rows.group_id.iloc[-1]: rows.group_id[0]}}),
        "does not fit result.json: epic has 7 groups, not 8",
    ),
    "another source": (lambda rows: rows.assign(source="toy"), "does not fit result.json: the result has no source 't"),
    "another person": (lambda rows: rows.assign(subject="P77"), "disagree on the label, video or subject of the same"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_predictions_that_do_not_fit_their_result_or_the_others_are_refused(damage, results):
    change, message = DAMAGES[damage]
    path = results / "b" / "predictions.parquet"
    PREDICTIONS.write(path, change(PREDICTIONS.read(path)))
    with pytest.raises(ResultError) as caught:
        rank_one(results)
    assert str(results / "b") in str(caught.value) and message in str(caught.value)


@pytest.mark.parametrize("column", ["prediction", "constant"])
def test_answers_changed_by_hand_are_refused_where_all_have_the_same_clips(column, data, embeddings, tmp_path):
    folder = score(tmp_path / "results", data, embeddings, {"a": [], "b": []})
    path = folder / "b" / "predictions.parquet"
    rows = PREDICTIONS.read(path)
    PREDICTIONS.write(path, rows.assign(**{column: [1 - rows[column][0], *rows[column][1:]]}))
    with pytest.raises(ResultError, match=f"b/predictions.parquet does not fit .* epic's column {column} gives an acc"):
        rank_one(folder)


def test_repeated_predictions_are_refused(results):
    path = results / "b" / "predictions.parquet"
    rows = PREDICTIONS.read(path)
    pd.concat([rows[:-1], rows[:1]]).to_parquet(path, index=False)
    with pytest.raises(ResultError, match="does not fit result.json: a clip stands there twice in one group"):
        rank_one(results)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "predictions.parquet does not exist"), (b"PAR1", "predictions.parquet can't be read as Parquet")],
)
def test_predictions_that_can_not_be_read_are_one_line(content, message, results):
    path = results / "c" / "predictions.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    line = refusal("leaderboard", "--results", results)
    assert message in line and line.endswith("; score 'c' again")
