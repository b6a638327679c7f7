import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import refusal, run_cia
from test_extract import make_source

import cia_bench
from cia_bench.baselines.image_models import Dinov2Small
from cia_bench.baselines.pixels import Pixels
from cia_bench.cli import main
from cia_bench.demo import save_random_dinov2
from cia_bench.encoders import Card, Encoder, FrameSpec
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.model_check import CheckReport, check, moving_pictures, relative_difference
from cia_bench.offers import listed, offers

FRAMES = FrameSpec(count=4, size=8)


def colours(frames: np.ndarray) -> np.ndarray:
    """The mean colour of each frame: (B, T, H, W, 3) -> (B, T, 3)."""
    return frames.mean(axis=(2, 3)) / 255


def refuse_other_counts(frames: np.ndarray) -> None:
    if frames.shape[1] != FRAMES.count:
        raise ValueError(f"{frames.shape[1]} frames")


class Colour(Encoder):
    """A frame encoder that keeps every rule."""

    frames = FRAMES

    def embed(self, frames):
        return colours(frames)


class Film(Encoder):
    """A video encoder that keeps every rule."""

    frames = FRAMES
    parameters = 12

    def embed(self, frames):
        refuse_other_counts(frames)
        return colours(frames).reshape(len(frames), -1)


def outcomes(report: CheckReport) -> dict[str, str]:
    return {check.name: check.outcome for check in report.checks}


def words(report: CheckReport, name: str) -> str:
    return next(check.words for check in report.checks if check.name == name)


GOOD = dict.fromkeys(
    ("embedding", "batch size", "batch order", "repeatable", "colour order", "frame order", "frame count"), "ok"
)

# models that keep the rules


def test_a_frame_encoder_that_keeps_every_rule_passes():
    report = check(Colour)
    assert outcomes(report) == GOOD and report.passed and report.failed == ()
    assert report.facts == {"frames": 4, "size": 8, "dim": 3, "parameters": 0}
    assert "(B, T, D) = (2, 4, 3)" in words(report, "embedding")
    assert words(report, "frame order") == "each frame's vector depends on its own frame alone"
    assert words(report, "frame count") == "gives 3 vectors for 3; gives 5 vectors for 5"
    assert "difference 0 of the largest number, tolerance 1e-05" in words(report, "batch size")
    assert words(report, "repeatable").endswith("difference 0 of the largest number, tolerance 0")


def test_a_video_encoder_that_keeps_every_rule_passes():
    report = check(Film)
    assert outcomes(report) == GOOD and report.passed
    assert report.facts == {"frames": 4, "size": 8, "dim": 12, "parameters": 12}
    assert "(B, D) = (2, 12)" in words(report, "embedding")
    assert words(report, "frame order") == "changes when the frames are played backwards"
    assert words(report, "frame count") == "refuses 3 (ValueError); refuses 5 (ValueError)"


def test_a_class_a_made_encoder_and_a_name_are_checked_alike():
    assert check(Pixels).checks == check(Pixels()).checks == check("pixels").checks
    assert (check(Pixels).model, check("pixels").model) == ("Pixels", "pixels")


def test_a_model_with_a_summary_is_checked_as_a_whole():
    report = check("pixels:concat")
    assert report.passed and outcomes(report)["summary"] == "ok" and report.facts["dim"] == 16 * 108
    assert words(report, "frame order") == "changes when the frames are played backwards"
    assert outcomes(check("pixels:random-frame"))["summary"] == "ok"  # whose clip ids stay theirs


def test_a_transformer_passes_within_the_tolerance(tmp_path):
    save_random_dinov2(tmp_path / "w")
    report = check("dinov2-small-reg:concat", {"dinov2-small-reg": str(tmp_path / "w")})
    assert report.passed and report.facts["parameters"] > 0
    assert set(outcomes(report).values()) == {"ok"}


def test_frames_come_as_the_spec_says():
    seen = []

    class Watch(Colour):
        frames = FrameSpec(3, 8, 10, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "TCHW")

        def embed(self, frames):
            seen.append((frames.dtype, frames.shape[2:], frames.min() >= -1, frames.max() <= 1, frames.std() > 0.1))
            return frames.mean(axis=(3, 4))

    assert check(Watch).passed
    assert set(seen) == {(np.dtype("float32"), (3, 8, 8), True, True, True)}


def test_a_model_of_one_frame_is_checked_too():
    class One(Colour):
        frames = FrameSpec(count=1, size=8)

    report = check(One)
    assert report.passed and words(report, "frame count") == "gives 2 vectors for 2"


# models that break one rule each


class MixesTheBatch(Film):
    """Normalises over the batch, as BatchNorm does in training mode."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(3).train()

    def embed(self, frames):
        refuse_other_counts(frames)
        pictures = torch.from_numpy(frames).float().permute(0, 4, 1, 2, 3)  # (B, 3, T, H, W)
        normal = self.norm(pictures.flatten(3)).detach()  # (B, 3, T, H * W)
        return normal.mean(dim=3).permute(0, 2, 1).flatten(1).numpy()


class KnowsItsPlace(Film):
    def embed(self, frames):
        return super().embed(frames) + np.arange(len(frames))[::-1, None]  # the last of a batch as if alone


class Dropout(Colour):
    def __init__(self):
        super().__init__()
        self.random = np.random.default_rng(0)

    def embed(self, frames):
        return colours(frames) * (self.random.random((*frames.shape[:2], 3)) < 0.5)


class Integers(Colour):
    def embed(self, frames):
        return (255 * colours(frames)).astype(int)


class NotANumber(Colour):
    def embed(self, frames):
        given = colours(frames)
        return np.where(given < 0.4, np.nan, given)


class Squeezes(Film):
    def embed(self, frames):
        return super().embed(frames).squeeze()


class LosesAFrame(Film):
    def embed(self, frames):
        return colours(frames)[:, :2].reshape(len(frames), -1)


class CutsFrames(Colour):
    def embed(self, frames):
        return colours(frames)[:, :4]


@pytest.mark.parametrize(
    ("encoder", "failed", "said"),
    [
        (MixesTheBatch, {"batch size"}, r"not the same alone and in a batch of 2: difference [\d.e-]+ of the largest"),
        (KnowsItsPlace, {"batch order"}, "not the same at another place in the batch: difference"),
        (Dropout, {"batch size", "batch order", "repeatable"}, "not the same .* tolerance 1e-05"),
        (Integers, {"embedding"}, r"Integers gave int64 \(2, 4, 3\).*; the other checks need an embedding"),
        (NotANumber, {"embedding"}, "NotANumber gave numbers that are NaN or infinite; the other checks need"),
        (Squeezes, {"batch size", "colour order", "frame order"}, r"Squeezes gave float64 \(12,\) for 1 clips"),
        (LosesAFrame, {"frame count"}, r"wants 4 frames, takes 3 and gives \(1, 6\): raise an error$"),
        (CutsFrames, {"frame count"}, r"wants 4 frames, takes 5 and gives \(1, 4, 3\): raise an error, or give one"),
    ],
)
def test_a_model_that_breaks_a_rule_fails_that_check(encoder, failed, said):
    report = check(encoder())
    assert {name for name, outcome in outcomes(report).items() if outcome == "fails"} == failed
    assert not report.passed and {one.name for one in report.failed} == failed
    assert re.search(said, report.failed[0].words), report.failed[0].words


SUMMARIES = """
import numpy as np
from cia_bench.encoders import Summary


class Whitened(Summary):
    def __call__(self, sequences, clip_ids):
        return sequences.mean(axis=1) - sequences.mean(axis=(0, 1))


class Unsummed(Summary):
    def __call__(self, sequences, clip_ids):
        return sequences


class Rounded(Summary):
    def __call__(self, sequences, clip_ids):
        return sequences[:, 0].astype(int)


class Endless(Summary):
    def __call__(self, sequences, clip_ids):
        return sequences[:, 0] / 0.0
"""


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        ("Whitened", "not the same alone and among 2, one vector of 108 numbers a clip: difference"),
        ("Unsummed", r"Unsummed gave float32 \(2, 16, 108\) for 2 sequences, not floating \(2, E\)"),
        ("Rounded", r"Rounded gave int64 \(2, 108\) for 2 sequences, not floating \(2, E\)"),
        ("Endless", "Endless gave numbers that are NaN or infinite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_summary_that_breaks_a_rule_fails_its_check(summary, said, tmp_path, monkeypatch):
    about = tmp_path / "sums_of_theirs-1.dist-info"
    about.mkdir()
    (tmp_path / "sums_of_theirs.py").write_text(SUMMARIES)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sums-of-theirs\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[cia_bench.summaries]\n{summary} = sums_of_theirs:{summary}\n")
    monkeypatch.syspath_prepend(tmp_path)
    report = check(f"pixels:{summary}")
    monkeypatch.delitem(sys.modules, "sums_of_theirs")
    assert report.failed[0].name == "summary" and re.search(said, report.failed[0].words), report.failed[0].words


# what is noted


class Grey(Film):
    def embed(self, frames):
        refuse_other_counts(frames)
        return frames.mean(axis=(2, 3, 4))


class Jumble(Film):
    """Blind to the order of frames."""

    def embed(self, frames):
        refuse_other_counts(frames)
        return np.sort(colours(frames), axis=1).mean(axis=1)


class Attends(Colour):
    """Each frame's vector holds the mean of all frames'."""

    def embed(self, frames):
        given = colours(frames)
        return given + given.mean(axis=1, keepdims=True)


class CountsFrames(Colour):
    """Each frame's vector holds its place in the clip."""

    def embed(self, frames):
        return colours(frames) + np.arange(frames.shape[1])[:, None]


@pytest.mark.parametrize(
    ("encoder", "name", "said"),
    [
        (Grey, "colour order", "blind to colour order: right only for an encoder that reads grey"),
        (Jumble, "frame order", "blind to frame order: chance on chiral groups"),
        (Attends, "frame order", "a frame's vector depends on other frames too, or on the frame's place"),
        (CountsFrames, "frame order", "a frame's vector depends on other frames too, or on the frame's place"),
        ("pixels", "colour order", "blind to colour order: right only for an encoder that reads grey"),
        ("pixels:mean", "frame order", "blind to frame order: chance on chiral groups"),
    ],
)
def test_what_may_be_as_its_author_wants_is_a_note_and_passes(encoder, name, said):
    report = check(encoder)
    assert report.passed and outcomes(report)[name] == "note" and words(report, name) == said


# what is refused, and what is not caught


class Broken(Colour):
    def embed(self, frames):
        return frames[:, :, 99]


class BadFrames(Colour):
    frames = 16


class HalfAParameter(Colour):
    parameters = 0.5


class Unfinished(Encoder):
    pass


def test_a_bug_in_embed_keeps_its_own_exception():
    with pytest.raises(IndexError, match="index 99 is out of bounds"):
        check(Broken)


def test_an_error_of_ours_that_embed_raises_is_the_authors_too():
    class Refuses(Colour):
        def embed(self, frames):
            raise EncoderError("the weights are of another model")

    with pytest.raises(EncoderError, match="^the weights are of another model$"):
        check(Refuses)


@pytest.mark.parametrize(
    ("model", "weights", "error", "message"),
    [
        ("sift", {}, ConfigError, "unknown encoder 'sift'; cia models lists them all"),
        ("dinov2-smal", {}, ConfigError, "is it dinov2-small or dinov2-small-reg or dinov3-s"),
        ("pixels:median", {}, ConfigError, "unknown summary 'median'"),
        (
            "pixels:mean+pixels:concat",
            {},
            ConfigError,
            "check the parts of .* one by one: pixels:mean and pixels:concat",
        ),
        ("pixels+", {}, ConfigError, "model 'pixels[+]' has an empty part"),
        ("pixels:lift", {}, ConfigError, "the summary lift needs weights"),
        ("pixels", {"pixels": "w"}, ConfigError, "Pixels has no weights to load from w"),
        ("pixels", {"lift": "w"}, ConfigError, "weights of 'lift', which no model here has"),
        (Colour, {"Color": "w"}, ConfigError, "weights of 'Color'; the class to check is Colour"),
        (Colour, {"Colour": "w"}, ConfigError, "Colour has no weights to load from w"),
        (Colour(), {"Colour": "w"}, ConfigError, "this encoder has its own"),
        (colours, {}, ConfigError, "is a name, an Encoder class or an Encoder, not function"),
        (Path, {}, EncoderError, "Path is not a subclass of cia_bench.encoders.Encoder"),
        (Unfinished, {}, EncoderError, "Unfinished does not define embed"),
        (BadFrames, {}, EncoderError, "BadFrames wants frames 16; they must be a FrameSpec"),
        (HalfAParameter, {}, EncoderError, "HalfAParameter has 0.5 parameters; that must be a whole number"),
    ],
)
def test_what_can_not_be_checked_is_refused(model, weights, error, message):
    with pytest.raises(error, match=message):
        check(model, weights)


def test_another_device_has_to_be_there():
    with pytest.raises(ConfigError, match="torch has no device 'tpu-9'"):
        check(Colour, device="tpu-9")


# its parts


def test_made_up_clips_move_and_tell_colours_and_each_other_apart():
    first, again, second = moving_pictures(0, 5), moving_pictures(0, 5), moving_pictures(1, 5)
    assert first.shape == (5, 96, 128, 3) and first.dtype == np.uint8 and np.array_equal(first, again)
    for other in (first[::-1], first[..., ::-1], second):
        assert np.abs(first.astype(float) - other).mean() > 10
    assert np.abs(np.diff(first.astype(float), axis=2)).max() < 40  # smooth: a resize changes little
    assert first.min() > 0 and first.max() < 255  # nothing wrapped around


def test_a_difference_is_a_share_of_the_largest_number():
    one = np.array([[1, -4], [0, 2]], np.float32)
    assert relative_difference(one, one + np.float32(0.5)) == pytest.approx(0.5 / 4)
    assert relative_difference(one * 1e30, one * 1e30) == 0
    assert relative_difference(np.zeros((2, 2)), np.zeros((2, 2))) == 0


# how it reads


def test_a_failed_assertion_says_what_fails(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "import cia_bench\nfrom cia_bench.encoders import Encoder, FrameSpec\n\n\n"
        "class CutsFrames(Encoder):\n    frames = FrameSpec(count=4, size=8)\n\n"
        "    def embed(self, frames):\n        return frames[:, :4].mean(axis=(2, 3))\n\n\n"
        "def test_contract():\n    assert cia_bench.check(CutsFrames).passed\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "test_mine.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "1 failed" in run.stdout
    assert "where False = <CutsFrames fails 1 of 7 checks: frame count (wants 4 frames, takes 5 and" in run.stdout


def test_a_report_is_a_line_of_facts_and_a_line_a_check():
    lines = str(check(LosesAFrame)).split("\n")
    assert lines[0] == "LosesAFrame: 4 frames of 8 x 8 pixels -> 6 numbers, 12 parameters" and len(lines) == 8
    assert lines[-1].startswith("  fails  frame count   wants 4 frames, takes 3")
    assert str(check(Integers)).startswith(
        "Integers: 4 frames of 8 x 8 pixels -> no numbers, 0 parameters\n  fails  emb"
    )


def test_the_package_offers_check_whatever_was_imported_before():
    assert "cia_bench.model_check" in sys.modules
    assert cia_bench.check is check and cia_bench.check is check and cia_bench.CheckReport is CheckReport


# the commands, with a package of other people

PACKAGE = """
import numpy as np
from cia_bench.encoders import Encoder, FrameSpec, Summary


class Reds(Encoder):
    frames, parameters = FrameSpec(count=3, size=8, mean=(0.5,) * 3, std=(0.5,) * 3, layout="TCHW"), 9

    def embed(self, frames):
        return frames[:, :, :1].mean(axis=(3, 4))


class Steps(Summary):
    def __call__(self, sequences, clip_ids):
        return np.diff(sequences, axis=1).reshape(len(sequences), -1)


class Cut(Encoder):
    frames = FrameSpec(count=3, size=8)

    def embed(self, frames):
        return frames[:, :2].mean(axis=(1, 2, 3))


class Torn(Encoder):
    def embed(self, frames):
        raise KeyError("a bug of the author's")
"""
ENTRY_POINTS = """
[cia_bench.encoders]
reds = their_models:Reds
cut = their_models:Cut
torn = their_models:Torn

[cia_bench.summaries]
steps = their_models:Steps
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python that has a package with models of its own."""
    site = tmp_path / "site"
    about = site / "their_models-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "their_models.py").write_text(PACKAGE)
    return {"PYTHONPATH": str(site)}


def test_models_lists_what_packages_offer_whatever_their_import_raises(installed, tmp_path):
    (tmp_path / "site" / "their_models.py").write_text("raise RuntimeError('broken')\n")
    run = run_cia("models", cwd=tmp_path, **installed)
    assert run.returncode == 0 and run.stderr == ""
    lines = [line.split() for line in run.stdout.splitlines()]
    assert lines[0] == ["name", "gives", "frames", "dim", "parameters", "saw", "here", "weights"]
    rest = lines[lines.index(["kind", "name", "package", "class"]) + 1 :]
    assert ["encoder", "reds", "their-models", "1.2", "their_models:Reds"] in rest
    assert ["summary", "steps", "their-models", "1.2", "their_models:Steps"] in rest
    assert ["summary", "mean", "cia-bench", cia_bench.__version__, "cia_bench.baselines.summaries:Mean"] in rest
    assert [line[:2] for line in rest] == sorted(line[:2] for line in rest)
    assert ["pixels", "frame", "16", "108", "0", "-", "yes", "-"] in lines


CARD = """
from cia_bench.encoders import Card
Reds.card = Card("Reds", "labels", "paint", "MIT\x1b[31m", 2_600_000, dim=3, frames=4, saw={"ssv2": "labels"})
"""


def test_models_shows_the_card_of_an_encoder_of_other_people(installed, tmp_path):
    (tmp_path / "site" / "their_models.py").write_text(PACKAGE + CARD)
    lines = run_cia("models", cwd=tmp_path, **installed).stdout.splitlines()
    place = lines.index("Reds (supervision: labels; data: paint; licence: MIT\\x1b[31m)")
    assert lines[place + 1].split() == ["reds", "clip", "4", "3", "3M", "ssv2", "labels", "no", "-"]


def test_models_lists_an_encoder_whose_card_is_none_without_one(installed, tmp_path):
    (tmp_path / "site" / "their_models.py").write_text(PACKAGE + "\nReds.card = 'red'\n")
    lines = [line.split() for line in run_cia("models", cwd=tmp_path, **installed).stdout.splitlines()]
    assert ["encoder", "reds", "their-models", "1.2", "their_models:Reds"] in lines


def test_a_card_knows_only_what_a_benchmark_can_be_contaminated_with():
    with pytest.raises(ConfigError, match="not 'imagenet'"):
        Card("a", "b", "c", "d", 1, 2, 3, saw={"imagenet": "labels"})
    with pytest.raises(ConfigError, match="not 'all'"):
        Card("a", "b", "c", "d", 1, 2, 3, saw={"epic": "all"})


def test_weights_are_here_once_the_cache_holds_the_config_and_the_weights_of_the_pinned_revision(tmp_path):
    cache = tmp_path / "hub" / "models--facebook--dinov2-small"
    revision = Dinov2Small.card.revision
    (cache / "snapshots" / revision).mkdir(parents=True)

    def here() -> str:
        lines = run_cia("models", HF_HUB_CACHE=str(tmp_path / "hub")).stdout.splitlines()
        (line,) = (line for line in lines if line.startswith("dinov2-small "))
        return line.split()[6]

    assert here() == "no"
    (cache / "snapshots" / revision / "config.json").write_text("{}")
    assert here() == "no"
    (cache / "snapshots" / revision / "model.safetensors").write_bytes(b"")
    assert here() == "yes"
    (cache / "snapshots" / revision).rename(cache / "snapshots" / ("0" * 40))
    assert here() == "no"


def test_listing_models_imports_no_torch():
    script = (
        "import sys; from cia_bench.cli import main; main(['models'], standalone_mode=False);"
        "print([name for name in ('torch', 'transformers', 'sklearn', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
    assert listed(offers()) in run.stdout


def test_a_package_of_other_people_is_checked_extracted_and_scored(installed, tmp_path):
    make_source(tmp_path / "cia-data" / "synthetic")
    checked = run_cia("check", "--model", "reds:steps", "--device", "cpu", cwd=tmp_path, **installed)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith("reds:steps: 3 frames of 8 x 8 pixels -> 2 numbers, 9 parameters\n  ok     embed")
    assert checked.stdout.count("\n") == 9 and "fails" not in checked.stdout
    extracted = run_cia("extract", "--model", "reds:steps+pixels:mean", cwd=tmp_path, **installed)
    assert extracted.stdout.splitlines() == [
        f"{name}: 16 new embeddings, 0 kept, in cia-embeddings/{name}" for name in ("reds", "pixels")
    ], extracted.stderr
    scored = run_cia("eval", "--model", "reds:steps", "--embeddings", "cia-embeddings", cwd=tmp_path, **installed)
    assert scored.stdout.startswith("reds:steps (2 numbers), paper protocol"), scored.stderr


def test_check_prints_the_report_and_fails_with_one_line(installed, tmp_path):
    message = refusal("check", "--model", "cut", cwd=tmp_path, **installed)
    assert message == "Error: cut fails 1 of 7 checks: frame count"


def test_at_the_command_a_bug_keeps_its_traceback_and_a_wrong_name_is_one_line(installed, monkeypatch):
    monkeypatch.syspath_prepend(installed["PYTHONPATH"])
    run = CliRunner().invoke(main, ["check", "--model", "torn"])
    refused = CliRunner().invoke(main, ["check", "--model", "cut:steps"])
    monkeypatch.delitem(sys.modules, "their_models")
    assert isinstance(run.exception, KeyError) and run.output == ""
    assert refused.output == "Error: cut gives one vector a clip; give --model cut\n"
