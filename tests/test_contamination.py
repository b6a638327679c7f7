import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_store import add, eye, store  # noqa: F401

from cia_bench.baselines.lift.checkpoint import FILE_NAME
from cia_bench.baselines.lift.settings import LiFTSettings
from cia_bench.baselines.lift.train import train
from cia_bench.build import read_data
from cia_bench.contamination import contamination_in_words, count_contamination
from cia_bench.embeddings import load_embeddings, load_model
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import read_result, write_result
from cia_bench.seen_clips import SeenClips
from cia_bench.store import read_training

FAST = EvaluationSettings(draws=50, permutations=0)
CLIPS = pd.DataFrame(
    [
        ("ssv2", "train", "a", "v1"),
        ("ssv2", "validation", "b", "v1"),
        ("ssv2", "validation", "b", "v1"),  # in two groups
        ("ssv2", "validation", "c", "v2"),
        ("epic", "validation", "d", "v3"),
    ],
    columns=["source", "split", "clip_id", "video"],
)


def test_digests_tell_which_clips_and_videos_were_seen_and_no_other():
    names = [f"P01/videos/P01_{number}" for number in range(1000)]
    seen = SeenClips.of(names[:500], ["v.mp4", "v.mp4", "é\udcff"], labels=True)
    assert seen.has_clips(names).tolist() == [True] * 500 + [False] * 500
    assert seen.has_videos(["w.mp4", "v.mp4", "é\udcff"]).tolist() == [False, True, True]
    again = SeenClips.from_json(json.loads(json.dumps(seen.to_json())))
    assert again.has_clips(names).tolist() == seen.has_clips(names).tolist() and again.labels is True
    assert len(seen.to_json()["clips"]) < 11 * 500
    assert not SeenClips.of([], []).has_clips(["a"]).any()


@pytest.mark.parametrize(
    "content",
    [None, [], {}, {"clips": "", "videos": ""}, {"clips": "?", "videos": "", "labels": False}]
    + [{"clips": "AAAA", "videos": "", "labels": False}, {"clips": "", "videos": 1, "labels": False}]
    + [{"clips": "", "videos": "", "labels": "no"}],
)
def test_what_is_not_digests_is_refused(content):
    with pytest.raises(ValueError):
        SeenClips.from_json(content)


def test_seen_clips_are_counted_by_part_source_and_split():
    seen = SeenClips.of(["a", "b", "z"], ["v1", "v9"])
    record = count_contamination(CLIPS, {"epic": "labels"}, {"m:lift": seen, "n": None})
    assert record["saw"] == {"epic": "labels"} and record["unknown"] == ["n"]
    part = record["parts"]["m:lift"]
    assert part["labels"] is False
    assert part["sources"]["ssv2"] == {
        "train": {"clips": 1, "seen_clips": 1, "videos": 1, "seen_videos": 1},
        "validation": {"clips": 2, "seen_clips": 1, "videos": 2, "seen_videos": 1},
    }
    assert part["sources"]["epic"]["validation"] == {"clips": 1, "seen_clips": 0, "videos": 1, "seen_videos": 0}
    assert contamination_in_words(record, ["epic", "ssv2"]) == [
        "contamination: the model was trained on epic, with labels",
        "contamination: m:lift was trained on 1 of the 2 scored clips of ssv2, and on clips of 1 of their 2 videos, "
        "without labels",
        "contamination: what n was trained on is not known",
    ]


def test_what_is_clean_or_of_an_unnamed_model_says_nothing():
    clean = count_contamination(CLIPS, {"kinetics": "labels"}, {"m:lift": SeenClips.of(["a"], ["v0"])})
    of_a_file = count_contamination(CLIPS, None, None)
    assert of_a_file == {"saw": None, "unknown": None, "parts": {}}
    for record in (clean, of_a_file, None):
        assert contamination_in_words(record, ["epic", "ssv2"]) == []


def test_a_trained_lift_knows_its_clips_whether_fitted_or_held_out(store, eye, tmp_path, one_thread):  # noqa: F811
    add(eye, "abcdef", split="train")
    add(eye, "gh", split="validation")
    train(read_training(store), tmp_path / "lift", LiFTSettings(width=8, epochs=1, batch_size=4, held_out=0.25))
    weights = {"lift": str(tmp_path / "lift" / FILE_NAME)}  # the file alone is enough
    model = load_model(store, "eye:lift", weights)
    assert list(model.saw) == ["eye", "eye:lift"] and model.saw["eye"] is None  # an invented encoder without a card
    assert model.saw["eye:lift"].has_clips(list("abcdefgh")).tolist() == [True] * 6 + [False] * 2
    assert model.saw["eye:lift"].has_videos(["a.mp4", "g.mp4"]).tolist() == [True, False]
    assert not model.saw["eye:lift"].labels
    assert load_model(store, "eye:mean").saw == {"eye": None}
    both = load_model(store, "eye:mean+eye:lift", weights)
    assert list(both.saw) == ["eye", "eye:lift"] and both.saw["eye:lift"].has_clips(["a"]).all()


def test_a_result_carries_what_a_trained_part_saw(embeddings, data, tmp_path):
    clips = read_data(data).clips
    scored = clips[clips.split == "validation"].drop_duplicates("clip_id")
    seen = SeenClips.of(scored.clip_id[:5], scored.video[:5])
    loaded = replace(load_embeddings(embeddings), saw={"m:mine": seen})
    result = evaluate(loaded, data, "m:mine", settings=FAST)
    count = result.record["contamination"]["parts"]["m:mine"]["sources"]["epic"]["validation"]
    assert count["seen_clips"] == 5 and count["clips"] == len(scored)
    assert count["seen_videos"] == scored.video[:5].nunique() and count["videos"] == scored.video.nunique()
    line = f"  contamination: m:mine was trained on 5 of the {len(scored)} scored clips of epic, and on clips of "
    assert line in str(result)
    assert read_result(write_result(result, tmp_path))["contamination"] == result.record["contamination"]
    strict = evaluate(loaded, data, settings=EvaluationSettings("strict", draws=50, permutations=0)).record
    validation = clips[clips.strict_split == "validation"]
    assert (
        strict["contamination"]["parts"]["m:mine"]["sources"]["epic"]["validation"]["seen_clips"]
        == np.isin(scored.clip_id[:5], validation.clip_id).sum()
    )
