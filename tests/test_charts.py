"""Rankings as pictures: cia plot bubble, forest and heatmap."""

import itertools

import numpy as np
import pytest
from click.testing import CliRunner
from made_up_rankings import make_published_like, make_ranking, make_row
from matplotlib.colors import to_rgb
from PIL import Image
from test_leaderboard import EPIC, make_record, save, score
from test_readme import block

from cia_bench.cli import main
from cia_bench.leaderboard.charts import CHARTS, draw_chart, make_chart
from cia_bench.leaderboard.look import KINDS, SCALE, kind_of
from cia_bench.pictures import ENDINGS, style

STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
DEUTERANOPIA = np.array(  # of linear RGB, severity 1: Machado, Oliveira and Fernandes, IEEE TVCG 2009
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colour: str, seen_by: np.ndarray) -> np.ndarray:
    """A colour in CIE Lab (D65) as somebody sees it whose linear RGB is `seen_by` times ours."""
    encoded = np.array(to_rgb(colour))
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.clip(XYZ @ np.clip(seen_by @ linear, 0, 1) / [0.95047, 1, 1.08883], 0.008856, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def has_colour(picture, colour: str) -> bool:
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.convert("RGB")).astype(int)
    return (np.abs(pixels - np.round(255 * np.array(to_rgb(colour)))).max(axis=2) <= 2).sum() >= 20


@pytest.mark.parametrize("place", [1, 2], ids=["light", "dark"])
@pytest.mark.parametrize("seen_by", [np.eye(3), DEUTERANOPIA], ids=["all", "deuteranopia"])
def test_kinds_are_told_apart_by_their_colours(place, seen_by):
    colours = [lab(look[place], seen_by) for look in KINDS.values()]
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(one - other) > 15


@pytest.mark.parametrize("seen_by", [np.eye(3), DEUTERANOPIA], ids=["all", "deuteranopia"])
def test_accuracies_are_told_apart_by_their_colours(seen_by):
    colours = [lab(colour, seen_by) for _, colour in SCALE]
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(one - other) > 25


def test_a_models_kind_is_that_of_its_summary_and_what_lift_was_joined_to_is_of_lifts():
    names = ("a:lift", "lift", "vjepa+lift", "a:mean+b:lift", "a:concat+b:mean", "a:mean", "mean", "vjepa", "lifter")
    kinds = ["lift", "lift", "lift", "lift", "concat", "mean", "other", "other", "other"]
    assert [kind_of(make_row(name, {"epic": 0.7})) for name in names] == kinds


@pytest.mark.parametrize("kind", CHARTS)
def test_each_chart_is_drawn_in_the_colours_of_what_it_shows(tmp_path, kind):
    draw_chart(kind, [make_published_like()], tmp_path / "c.png")
    colours = [SCALE[2][1]] if kind == "heatmap" else [colour for _, colour, _ in KINDS.values()]
    assert all(has_colour(tmp_path / "c.png", colour) for colour in colours)


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_format_is_what_its_name_says_and_the_same_twice(tmp_path, ending):
    rankings = [make_ranking([make_row("a:lift", {"epic": 0.7}, parameters=10**7, dim=9)], ["epic"])]
    for name in ("one", "two"):
        draw_chart("bubble", rankings, tmp_path / f"{name}{ending}")
    one, two = ((tmp_path / f"{name}{ending}").read_bytes() for name in ("one", "two"))
    assert one == two and one.startswith(STARTS[ending])


def test_names_in_the_bubble_chart_do_not_cover_one_another():
    generator = np.random.default_rng(0)
    rows = [
        make_row(f"model-{number}:mean", {"epic": 0.6 + number / 500}, parameters=10**7 + number, dim=512)
        for number in range(30)
    ] + [make_row(f"far {place}", {"epic": generator.uniform(0.6, 0.9)}, parameters=10**place) for place in range(4, 9)]
    with style():
        figure = make_chart("bubble", [make_ranking(rows, ["epic"])])
        figure.draw_without_rendering()
        (axes,) = (axes for panel in figure.subfigs for axes in panel.axes)
        boxes = [text.get_window_extent() for text in axes.texts]
    assert 8 < len(boxes) < 36  # the constant answer's, those far apart, and a few of the crowd
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_rankings_that_do_not_compare_are_panels_of_their_own():
    strict = make_ranking([make_row("a", {"epic": 0.7}, 3)], ["epic"], protocol="strict")
    with style():
        panels = make_chart("forest", [make_published_like(), strict]).subfigs
    assert [panel.get_suptitle().splitlines()[0] for panel in panels] == [
        "epic, ssv2: protocol paper, ridge probe",
        "epic: protocol strict, ridge probe",
    ]


def test_what_a_bubble_chart_leaves_out_is_counted():
    with style():
        (panel,) = make_chart("bubble", [make_published_like()]).subfigs
    assert panel.get_suptitle().endswith("12,288 numbers; 3 without parameters not shown")


@pytest.mark.parametrize("kind", CHARTS)
def test_hostile_names_and_single_models_are_drawn(tmp_path, kind):
    name = "50 $ and ^^ $ \x1b \u202e 字 </svg><script>" + 99 * "long"
    row = make_row(name, {name: 0.7}, 1, parameters=1)
    draw_chart(kind, [make_ranking([row], [name])], tmp_path / "c.svg")
    text = (tmp_path / "c.svg").read_text()
    assert "<script" not in text and "\u202e" not in text


def test_the_readmes_commands_write_the_page_and_the_pictures(tmp_path, monkeypatch):
    record = make_record("m", EPIC, [0.7], parameters=22_000_000)
    record["groups"] = [{"group_id": "epic/open-close/door", "source": "epic", "n": 9, **score(0.7)}]
    save(tmp_path / "cia-demo" / "cia-results", record)
    monkeypatch.chdir(tmp_path)
    commands = block("sh page").splitlines()
    for command in commands:
        run = CliRunner().invoke(main, command.split()[1:])
        assert run.exit_code == 0 and run.stdout == f"wrote {command.split()[-1]}\n", run.output
    assert len(commands) == 4 and len(list(tmp_path.glob("*.*"))) == 4


def test_the_commands_draw_results_and_refuse_what_they_can_not_draw(tmp_path):
    results = save(tmp_path / "results", make_record("m", EPIC, [0.7], parameters=22_000_000))
    save(tmp_path / "unknown", make_record("m", EPIC, [0.7]))

    def cia(*arguments: str):
        return CliRunner().invoke(main, ["plot", *arguments])

    for kind in ("bubble", "forest"):
        run = cia(kind, "--results", str(results), "--out", f"{tmp_path}/{kind}.png")
        assert run.exit_code == 0 and run.stdout == f"wrote {tmp_path}/{kind}.png\n", run.output
    for arguments, expected in (
        (["bubble", "--results", str(tmp_path / "unknown")], "no model has parameters that are known"),
        (["heatmap", "--results", str(results)], "no result has scores of its groups"),
        (["forest", "--results", str(tmp_path / "none")], "none does not exist"),
    ):
        run = cia(*arguments, "--out", f"{tmp_path}/refused.png")
        assert run.exit_code == 1 and expected in run.stderr and run.stderr.count("\n") == 1
    run = cia("forest", "--results", str(results), "--out", f"{tmp_path}/refused.jpg")
    assert run.exit_code == 1 and "let it end in .png, .svg, .pdf" in run.stderr
    assert not list(tmp_path.glob("refused*"))
