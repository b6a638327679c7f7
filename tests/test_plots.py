"""What a user runs to see what a summary learnt: cia plot."""

import re
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import first_validation_clip, snapshot
from PIL import Image
from test_readme import block

from cia_bench.cli import main
from cia_bench.encoders import load_encoder
from cia_bench.model_check import moving_pictures
from cia_bench.plots import draw_trajectory, pca, tsne
from cia_bench.tracing import Traced, trace_video
from cia_bench.trajectories import straightness
from cia_bench.video import read_frames

LIFT = "--model pixels:lift --weights lift=lift-pixels --device cpu"
MODEL = """
import numpy as np
from cia_bench.encoders import Encoder, FrameSpec

class Few(Encoder):
    frames = FrameSpec(count=4, size=16)
    def embed(self, frames):
        return frames.mean(axis=(2, 3)) / 255

class Whole(Few):
    def embed(self, frames):
        return frames.mean(axis=(1, 2, 3)) / 255
"""


def cia(command: str):
    return CliRunner().invoke(main, command.split())  # in this process: torch is slow to import


@pytest.fixture(scope="module")
def shown_place(demo, tmp_path_factory) -> Path:
    """The demo's data, store and checkpoint, a clip called clip.mp4, and two models; nothing else is written there."""
    folder = tmp_path_factory.mktemp("shown")
    for name in ("cia-data", "cia-embeddings", "lift-pixels"):
        shutil.copytree(demo.folder / name, folder / name)
    shutil.copy(first_validation_clip(folder)[1], folder / "clip.mp4")
    (folder / "my_models").mkdir()
    (folder / "my_models" / "few.py").write_text(MODEL)
    return folder


@pytest.fixture
def shown(here, shown_place, monkeypatch) -> Path:
    monkeypatch.chdir(shown_place)
    return here


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def has_colour(pixels: np.ndarray, colour: tuple[float, ...]) -> bool:
    """Whether a picture has at least 50 pixels of a colour."""
    near = np.abs(pixels - np.round(255 * np.array(colour[:3]))).max(axis=2) <= 2
    return near.sum() >= 50


def made_up(T: int, name: str = "made up.mp4", still: bool = False) -> Traced:
    generator = np.random.default_rng(0)
    frames = np.cumsum(generator.standard_normal((1, T, 12)), axis=1).astype(np.float32)
    frames = np.repeat(frames[:, :1], T, axis=1) if still else frames
    times_s = np.zeros(T) if still else np.linspace(0, 9, T)
    return Traced(name, "made:up", moving_pictures(0, T)[:, :, :96], times_s, frames, {"reconstruction": frames + 1})


def test_a_trajectory_shows_the_frames_in_the_colours_of_their_times(shown):
    run = cia(f"plot trajectory clip.mp4 {LIFT} --out {shown}/t.png")
    assert run.exit_code == 0, run.output
    first, *numbers, last = run.stdout.splitlines()
    times_s = read_frames(Path("clip.mp4"), None, None, 16).times_s
    assert first == f"clip.mp4: 16 frames, 0.00 to {times_s[-1]:.2f} s"
    angles = dict(re.findall(r"^mean angle of steps, (\w+) \(degrees\) +(\d+\.\d+)$", run.stdout, re.MULTILINE))
    assert angles.keys() == {"input", "latent", "reconstruction"} and len(numbers) == 7
    assert angles["latent"] == "0.00" and float(angles["input"]) > float(angles["reconstruction"]) > 0
    assert last == f"wrote {shown}/t.png"
    pixels = pixels_of(shown / "t.png")
    high, wide, _ = pixels.shape
    assert wide == 1350 and 600 < high < 1000
    colours = matplotlib.colormaps["viridis"](times_s / times_s[-1])
    strip, below = pixels[:250], pixels[250:, :1240]  # without the colour bar
    assert all(has_colour(strip, colour) for colour in colours)
    for panel in (below[:, :620], below[:, 620:]):
        assert sum(has_colour(panel, colour) for colour in colours) > 10  # a frame may lie on another's place


def test_what_is_traced_is_the_whole_video_as_the_encoder_sees_it(shown):
    traced = trace_video(Path("clip.mp4"), "pixels:concat", {})
    encoder = load_encoder("pixels")
    frames = read_frames(Path("clip.mp4"), None, None, 16)
    np.testing.assert_array_equal(traced.pictures, encoder.frames.crop(frames.images))
    np.testing.assert_array_equal(traced.sequences, encoder.embed(traced.pictures[None]))
    np.testing.assert_array_equal(traced.times_s, frames.times_s)


@pytest.fixture
def demo_here(demo, here) -> Path:
    """Where the README's commands find a demo, a tiny one, and in place of what they train its LiFT."""
    (here / "cia-demo").symlink_to(demo.folder)
    (here / "lift-pixels").symlink_to(demo.folder / "lift-pixels")
    return here


def test_the_readmes_clip_is_drawn_by_the_readmes_command(demo_here):
    trained, command = block("sh trajectory").replace("\\\n", "").splitlines()
    assert trained == "cia train lift --embeddings cia-demo/cia-embeddings --encoder pixels --out lift-pixels"
    run = cia(command.removeprefix("cia ").replace("small-0", "tiny-0"))
    assert run.exit_code == 0, run.output
    shown = block("text trajectory")
    ours, theirs = ([line.rsplit(maxsplit=1) for line in text.splitlines()] for text in (run.stdout, shown))
    assert [name for name, _ in ours[1:]] == [name for name, _ in theirs[1:]] and ours[-1] == theirs[-1]
    assert run.stdout.startswith("validation-003.webm: 16 frames, 0.00 to ")


def test_a_summary_without_trajectories_shows_the_input_alone_and_says_so(shown):
    run = cia(
        f"plot trajectory clip.mp4 --model my_models.few:Few:concat --method pca --device cpu --out {shown}/c.png"
    )
    assert run.exit_code == 0, run.output
    lines = run.stdout.splitlines()
    assert lines[0].startswith("clip.mp4: 4 frames, ") and len(lines) == 4
    assert lines[1] == (
        "my_models.few:Few:concat makes one vector of a clip and nothing of each frame: the input alone is shown"
    )
    assert lines[2].startswith("mean angle of steps, input (degrees) ")
    assert pixels_of(shown / "c.png").std() > 20


def test_straightness_measures_all_clips_of_a_store_by_the_readmes_command(demo_here):
    run = cia(block("sh straightness").removeprefix("cia ").replace("\\\n", ""))
    assert run.exit_code == 0, run.output
    rows = re.findall(r"^(.*?) +(\d+\.\d\d) +(\d+\.\d\d) +(\d+)$", run.stdout, re.MULTILINE)
    measured = {name: float(mean) for name, mean, _, clips in rows if clips == "280"}
    assert len(measured) == 7 and run.stdout.endswith("wrote straightness.png\n"), run.stdout
    assert measured["mean angle of steps, latent (degrees)"] == 0
    assert measured["mean angle of steps, input (degrees)"] > measured["mean angle of steps, reconstruction (degrees)"]
    assert abs(measured["angle of z_s and z_d (degrees)"] - 90) < 10  # what the second term of its loss asks for
    pixels = pixels_of(demo_here / "straightness.png")
    for colour in ("#0072B2", "#009E73", "#D55E00", "#CC79A7"):
        assert has_colour(pixels, matplotlib.colors.to_rgb(colour)), colour


@pytest.mark.parametrize(("T", "still"), [(1, False), (4, True)])
def test_few_frames_are_drawn_and_frames_that_are_all_the_same(tmp_path, T, still):
    draw_trajectory(made_up(T, "50 $ and ^^ $ \x1b 字 " + 40 * "long", still), "tsne", tmp_path / "t.png")
    assert pixels_of(tmp_path / "t.png").std() > 20


@pytest.mark.parametrize("view", [pca, tsne])
def test_a_straight_path_is_drawn_as_one_beside_another_path(view):
    turns = np.random.default_rng(0).standard_normal((16, 20))
    straight = np.linspace(0, 3, 16)[:, None] + np.full(20, 5)
    flat = view(np.concatenate([turns, straight]))
    np.testing.assert_array_equal(view(np.concatenate([turns, straight])), flat)
    assert straightness(flat[None, 16:]) < 20 < straightness(flat[None, :16])


def test_principal_components_keep_distances_on_a_line():
    line = np.outer([0.0, 1, 3], [0, 3, 4])
    np.testing.assert_allclose(pca(line), [[-20 / 3, 0], [-5 / 3, 0], [25 / 3, 0]], atol=1e-12)
    np.testing.assert_allclose(pca(line[:, 1:2]), [[-4, 0], [-1, 0], [5, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("trajectory clip.mp4 {lift} --out {out}.jpg", ".jpg is; let it end in .png, .svg, .pdf"),
        ("trajectory clip.mp4 {lift} --method umap --out {out}.png", "unknown method 'umap'; choose from pca, tsne"),
        ("trajectory clip.mp4 --model pixels --out {out}.png", "pixels has no summary; give ENCODER:SUMMARY, like pix"),
        (
            "trajectory clip.mp4 --model pixels:lift+pixels:mean --out {out}.png",
            "trajectories are of one model: plot the parts of 'pixels:lift+pixels:mean' one by one",
        ),
        (
            "trajectory clip.mp4 --model my_models.few:Whole:mean --device cpu --out {out}.png",
            "my_models.few:Whole gives one vector a clip; only a frame encoder's clips have a trajectory",
        ),
        ("trajectory clip.mp4 --model pixels:lift --out {out}.png", "the summary lift needs weights: train some with"),
        (
            "trajectory clip.mp4 --model my_models.few:Few:lift --weights lift=lift-pixels --out {out}.png",
            "were trained on the sequences of pixels, not my_models.few:Few; train others",
        ),
        ("trajectory none.mp4 {lift} --out {out}.png", "none.mp4"),
        ("trajectory my_models/few.py {lift} --out {out}.png", "few.py"),
        ("trajectory clip.mp4 {lift} --out clip.mp4/t.png", "can't write to clip.mp4: "),
        ("straightness {lift} --out {out}.gif", ".gif is; let it end in .png, .svg, .pdf"),
        ("straightness {lift} --embeddings cia-data --out {out}.png", "cia-data is no store of embeddings"),
        ("straightness --model pixels --out {out}.png", "whose trajectories? pixels has no summary"),
        (
            "straightness --model dinov2-small-reg:lift --weights lift=lift-pixels --out {out}.png",
            "these weights of lift were trained on the sequences of pixels, not dinov2-small-reg; train others",
        ),
        ("straightness {lift} --out cia-data", "what picture cia-data is; let it end in"),
    ],
)
def test_what_can_not_be_drawn_is_one_line_and_writes_nothing(shown, shown_place, command, expected):
    before = snapshot(shown_place)
    run = cia("plot " + command.format(lift=LIFT, out=shown / "picture"))
    assert run.exit_code == 1 and run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1, run.output
    assert expected in run.stderr
    after = {name: content for name, content in snapshot(shown_place).items() if "__pycache__" not in name}
    assert after == {name: content for name, content in before.items() if "__pycache__" not in name}
    assert not list(shown.iterdir())


def test_trajectories_that_a_summary_should_not_give_are_refused(shown, monkeypatch):
    from cia_bench.baselines.summaries import Mean

    for given, expected in (
        (np.ones((1, 16, 5), np.float32), r"'reconstruction' of sequences \(1, 16, 108\) is float32 \(1, 16, 5\)"),
        (np.ones((1, 16, 108), int), "int64"),
        (np.full((1, 16, 108), np.nan), "NaN or infinite"),
    ):
        monkeypatch.setattr(Mean, "trajectories", lambda self, sequences, given=given: {"reconstruction": given})
        run = cia(f"plot trajectory clip.mp4 --model pixels:mean --device cpu --out {shown}/t.png")
        assert run.exit_code == 1 and re.search(expected, run.stderr), run.output
