import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import refusal, run_cia
from test_extract import make_source
from test_store import add_shard, description, failures_of, rows_of

from cia_bench.build import read_data
from cia_bench.cli import main
from cia_bench.combined import join, rests_of, unit_length
from cia_bench.embeddings import load_model
from cia_bench.encoders import ModelName, check_models, parse_parts, summary_weights
from cia_bench.errors import ConfigError, EmbeddingError
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import write_result
from cia_bench.store_writing import open_folder

FAST = EvaluationSettings(draws=50, permutations=0)
IDS = "abcdef"
SEQUENCES = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32)  # of eye: frames
CLIPS = 100 * np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)  # of film: one vector a clip


def put(store, encoder: str, ids: str, embeddings: np.ndarray, failed: str = "") -> None:
    rows = rows_of(ids) if ids else rows_of("a")[:0]
    add_shard(open_folder(store, description(encoder)), "epic", rows, embeddings, failures_of(failed))


@pytest.fixture
def store(tmp_path):
    """A store of a frame encoder eye and a video encoder film, which has the clips in another order."""
    put(tmp_path / "store", "eye", IDS, SEQUENCES)
    order = [3, 0, 5, 1, 4, 2]
    put(tmp_path / "store", "film", "".join(IDS[row] for row in order), CLIPS[order])
    return tmp_path / "store"


# names


def test_a_name_comes_apart_at_each_plus():
    parts = parse_parts("pixels:concat+lift+mine.model:Net:mean+film")
    assert parts == (
        ModelName("pixels", "concat"),
        ModelName("dinov2-small-reg", "lift"),
        ModelName("mine.model:Net", "mean"),
        ModelName("film", None),
    )
    assert parse_parts("pixels:mean") == (ModelName("pixels", "mean"),)


@pytest.mark.parametrize("name", ["a+", "+b", "a++b", "+"])
def test_an_empty_part_is_refused(name):
    with pytest.raises(ConfigError, match="has an empty part; join parts like pixels:concat[+]dinov2-small-reg:mean"):
        parse_parts(name)


def test_a_part_of_another_form_or_twice_is_refused():
    with pytest.raises(ConfigError, match="model 'b:c:d' is not like encoder:summary"):
        parse_parts("a+b:c:d")
    with pytest.raises(ConfigError, match=r"model 'lift\+dinov2-small-reg:lift' has the part dinov2-small-reg:lift tw"):
        parse_parts("lift+dinov2-small-reg:lift")


def test_weights_go_to_an_encoder_a_summary_or_a_whole_part():
    parts = parse_parts("eye:lift+ear:lift+film")
    check_models(parts, {"film": "f", "lift": "l", "ear:lift": "e"})
    weights = {"lift": "l", "ear:lift": "e"}
    assert [summary_weights(part, weights) for part in parts] == ["l", "e", None]
    with pytest.raises(ConfigError, match="weights of 'nose:lift', which no model here has; they have ear, eye, film"):
        check_models(parts, {"nose:lift": "n"})


# numbers


def test_the_vectors_of_each_clip_stand_side_by_side(store):
    model = load_model(store, "eye:concat+film+eye:mean")
    assert model.clip_ids.tolist() == list(IDS)
    plain = np.array([[*SEQUENCES[row].ravel(), *CLIPS[row], *SEQUENCES[row].mean(axis=0)] for row in range(6)])
    assert model.vectors.shape == (6, 13) and model.vectors.dtype == np.float32
    np.testing.assert_allclose(model.vectors, plain, rtol=1e-6)


def test_l2_makes_each_parts_vector_of_each_clip_unit_length(store):
    model = load_model(store, "eye:concat+film", combine="l2")
    flat = SEQUENCES.reshape(6, 6).astype(float)
    plain = np.hstack([one / np.sqrt((one.astype(float) ** 2).sum(axis=1, keepdims=True)) for one in (flat, CLIPS)])
    np.testing.assert_allclose(model.vectors, plain, rtol=1e-6)
    np.testing.assert_allclose((model.vectors**2).sum(axis=1), 2, rtol=1e-6)
    np.testing.assert_allclose(load_model(store, "film", combine="l2").vectors, plain[:, 6:], rtol=1e-6)


def test_unit_length_keeps_zeros_type_and_the_smallest_and_largest_numbers():
    vectors = np.array([[0, 0], [3, -4], [1e-40, 0], [3e38, 3e38]], np.float32)
    found = unit_length(vectors)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, 0], [0.6, -0.8], [1, 0], [2**-0.5, 2**-0.5]], rtol=1e-6)
    assert unit_length(np.array([[1e-320, 0.0], [1e300, 1e300]])).tolist() == [[1, 0], pytest.approx([2**-0.5] * 2)]
    assert vectors[1].tolist() == [3, -4]
    assert join([vectors, vectors], "l2")[1].tolist() == pytest.approx([0.6, -0.8, 0.6, -0.8])


# what is recorded


def test_the_origin_names_the_parts_and_the_combination(store):
    raw, scaled = (load_model(store, "eye:mean+film", combine=how) for how in ("raw", "l2"))
    assert (raw.origin["name"], scaled.origin["name"]) == ("eye:mean+film", "eye:mean+film (l2)")
    assert (raw.origin["combine"], scaled.origin["combine"]) == ("raw", "l2")
    assert raw.origin["sha256"] != scaled.origin["sha256"]
    eye, film = raw.origin["parts"]
    assert eye == load_model(store, "eye:mean").origin and film == load_model(store, "film").origin
    assert eye["summary"]["name"] == "mean" and film["encoder"] == "film" and film["weights_sha256"] == "w0"
    assert "parts" not in eye
    assert load_model(store, "film", combine="l2").origin["parts"] == [film]


def test_an_encoder_in_two_parts_counts_its_parameters_once(store):
    assert load_model(store, "eye:mean").parameters == 7
    assert load_model(store, "eye:mean+film").parameters == 14
    assert load_model(store, "eye:mean+film+eye:concat+eye:first-frame").parameters == 14


# clips that lack a part


def test_a_clip_that_failed_in_any_part_failed(store):
    put(store, "eye", "", np.empty((0, 2, 3), np.float32), failed="b")
    put(store, "film", "", np.empty((0, 4), np.float32), failed="de")
    model = load_model(store, "eye:mean+film")
    assert model.clip_ids.tolist() == ["a", "c", "f"]
    assert dict(model.failures) == {"b": "eye: no b", "d": "film: no d", "e": "film: no e"}
    np.testing.assert_array_equal(model.vectors[:, 3:], CLIPS[[0, 2, 5]])


def test_parts_without_a_common_clip_are_refused(store):
    put(store, "ear", "xy", SEQUENCES[:2])
    with pytest.raises(EmbeddingError, match=r"\(eye:mean\+ear:mean\): no clip has an embedding of each part"):
        load_model(store, "eye:mean+ear:mean")
    with pytest.raises(EmbeddingError, match=r"\(ear:mean\) has no embedding of the data's clips"):
        load_model(store, "eye:mean+ear:mean", only=iter("ab"))
    with pytest.raises(EmbeddingError, match="store has no embeddings of nose; it has ear, eye, film"):
        load_model(store, "eye:mean+nose")
    with pytest.raises(ConfigError, match="eye gives one vector a frame; give --model eye:SUMMARY"):
        load_model(store, "film+eye")


def test_an_unknown_combination_is_refused(store, data, embeddings):
    for act in (lambda: load_model(store, "film", combine="sum"), lambda: evaluate(embeddings, data, combine="sum")):
        with pytest.raises(ConfigError, match="unknown combine 'sum'; choose from l2, raw"):
            act()


# scores


@pytest.fixture
def scored_store(data, embeddings, tmp_path):
    """A store of two video encoders for the clips of `data`: noise, and the labels as small numbers."""
    clips = read_data(data).clips.drop_duplicates("clip_id").set_index("clip_id")
    vectors = np.stack(embeddings.embedding)
    labels = clips.label[embeddings.clip_id].to_numpy(np.float32)
    rows = pd.concat([rows_of("a").assign(clip_id=clip_id) for clip_id in embeddings.clip_id], ignore_index=True)
    chosen = clips.loc[embeddings.clip_id]
    rows = rows.assign(video=chosen.video.to_numpy(), times_s=chosen[["start_s", "stop_s"]].to_numpy().tolist())
    for name, array in {"noise": vectors, "label": 1e-3 * np.stack([labels, 1 - labels], axis=1)}.items():
        add_shard(open_folder(tmp_path / "s", description(name)), "epic", rows, array, failures_of(""))
    return tmp_path / "s"


def test_a_combination_scores_as_its_numbers_do_and_both_stand_in_one_folder(scored_store, data, tmp_path):
    results = {how: evaluate(scored_store, data, "noise+label", settings=FAST, combine=how) for how in ("raw", "l2")}
    for how, result in results.items():
        model = load_model(scored_store, "noise+label", combine=how)
        plain = pd.DataFrame({"clip_id": model.clip_ids, "embedding": list(model.vectors)})
        pd.testing.assert_frame_equal(result.predictions, evaluate(plain, data, settings=FAST).predictions)
        assert result.record["embeddings"]["combine"] == how and result.record["model"]["dim"] == 10
        write_result(result, tmp_path / "results")
        assert evaluate(model, data, settings=FAST).record["model"]["name"] == result.record["model"]["name"]
    raw, scaled = (result.record["sources"]["epic"]["accuracy"] for result in results.values())
    assert raw < 0.7 and scaled == 1  # numbers too small to weigh, unless scaled
    folders = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert folders == ["noise+label", "noise+label__l2_"]


def test_only_a_model_of_a_store_is_combined(data, embeddings, tmp_path):
    embeddings.to_parquet(tmp_path / "e.parquet", index=False)
    for source in (embeddings, tmp_path / "e.parquet"):
        with pytest.raises(ConfigError, match="combine l2 is for the models of a store; embeddings of a file are what"):
            evaluate(source, data, combine="l2")
    message = refusal(
        "eval", "--data", data, "--embeddings", "e.parquet", "--model", "a+b", "--combine", "l2", cwd=tmp_path
    )
    assert "combine l2 is for the models of a store" in message
    assert evaluate(embeddings, data, "a+b", settings=FAST).record["model"]["name"] == "a+b"


# the commands


def test_eval_extracts_and_joins_all_parts(tmp_path):
    make_source(tmp_path / "cia-data" / "synthetic")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "last.py").write_text(
        "from cia_bench.encoders import Encoder, FrameSpec\n\n\n"
        "class Net(Encoder):\n"
        "    frames, parameters = FrameSpec(count=2, size=4), 5\n\n"
        "    def embed(self, frames):\n"
        "        return frames[:, -1].mean(axis=(1, 2))\n"
    )
    model = "pixels:mean+mine.last:Net+pixels:concat"
    run = run_cia("eval", "--model", model, "--combine", "l2", "--device", "cpu", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[:2] == [
        "pixels: 16 new embeddings, 0 kept, in cia-embeddings/pixels",
        "mine.last:Net: 16 new embeddings, 0 kept, in cia-embeddings/mine.last_Net",
    ]
    assert lines[2].startswith(f"{model} (l2) ({108 + 3 + 16 * 108} numbers), paper protocol")
    folder = tmp_path / lines[-1].removeprefix("wrote ")
    record = json.loads((folder / "result.json").read_text())
    assert record["model"] == {"name": f"{model} (l2)", "parameters": 5, "dim": 1839, "saw": {}}
    assert [part["name"] for part in record["embeddings"]["parts"]] == ["pixels:mean", "mine.last:Net", "pixels:concat"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--model pixels:mean+", "model 'pixels:mean+' has an empty part"),
        ("--model pixels:mean --combine mean", "unknown combine 'mean'; choose from l2, raw"),
        ("--model pixels:mean+pixels:lift", "the summary lift needs weights"),
        ("--model pixels:mean+pixels:median", "unknown summary 'median'"),
    ],
)
def test_eval_refuses_before_it_extracts(options, expected, tmp_path, monkeypatch):
    make_source(tmp_path / "cia-data" / "synthetic")
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(main, ["eval", *options.split()])
    assert run.exit_code == 1 and run.stderr.startswith("Error: ") and expected in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cia-data"]


def test_a_joined_models_rests_are_what_it_would_be_called_without_a_part():
    assert rests_of("vjepa+lift") == ["vjepa", "lift"] == rests_of("vjepa+lift (l2)")
    assert rests_of("a:mean+b+c (l2)") == ["a:mean+b (l2)", "a:mean+c (l2)", "b+c (l2)"]
    assert rests_of("V-JEPA ViT-L + LiFT") == ["V-JEPA ViT-L", "LiFT"]
    assert rests_of("vjepa") == rests_of("vjepa (l2)") == rests_of("C++") == rests_of("+") == []
    assert rests_of("a+b (mine)") == ["a", "b (mine)"]
