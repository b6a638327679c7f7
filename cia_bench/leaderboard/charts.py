"""Draw rankings as pictures: accuracy against parameters, intervals as a forest, groups x models as a heat map."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import Bbox

from cia_bench.errors import ResultError
from cia_bench.leaderboard.look import KINDS, REPORTED, SCALE, groups_of, kind_of
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.terms import terms_of
from cia_bench.leaderboard.wording import title as title_of
from cia_bench.pictures import DPI, WIDTH, check_ending, save, short, style

LARGEST_BUBBLE = 1500  # points squared
SMALLEST_BUBBLE = 12
LONGEST_TITLE, NAME = 100, 40  # letters of a title; of the name of a model or a group
COLOURS = LinearSegmentedColormap.from_list("accuracy", [(percent / 100, colour) for percent, colour in SCALE])
EMPTY = "0.85"  # a group that a model was not scored on


def draw_chart(kind: str, rankings: list[Ranking], out: Path) -> None:
    """Draw rankings as make_chart does and write the picture.

    Raises ConfigError if `out` does not end as a picture does, ResultError if there is nothing to draw, WriteError if
    `out` can't be written.
    """
    check_ending(out)
    with style():
        save(make_chart(kind, rankings), out)


def make_chart(kind: str, rankings: list[Ranking]) -> Figure:
    """One of CHARTS, each ranking in a panel of its own; raises ResultError if there is nothing to draw."""
    height, draw, rows = CHARTS[kind]
    drawn = [ranking for ranking in rankings if rows(ranking)]
    if not drawn:
        raise ResultError(NOTHING[kind])
    heights = [height(ranking) for ranking in drawn]
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI, layout="constrained")
    panels = figure.subfigures(len(drawn), 1, height_ratios=heights, squeeze=False)[:, 0]
    for panel, ranking in zip(panels, drawn, strict=True):
        draw(panel, ranking)
    return figure


def _models(ranking: Ranking) -> list[Row]:
    return [row for row in ranking.rows if row.mean and not row.constant]


def _constant(ranking: Ranking) -> Row:
    return next(row for row in ranking.rows if row.constant)


def _title(panel: SubFigure, ranking: Ranking, told: str) -> None:
    title = short(title_of(ranking), LONGEST_TITLE)
    panel.suptitle(f"{title}\n{told}".rstrip(), fontsize=9)


def _legend(panel: SubFigure, rows: list[Row]) -> None:
    """The kinds of models that are drawn, below the drawing."""
    drawn = {kind_of(row) for row in rows}
    marks = [
        Line2D([], [], linestyle="", marker=_marker(kind), label=words, **_inside(kind))
        for kind, (words, *_) in KINDS.items()
        if kind in drawn
    ]
    panel.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False)


def _marker(kind: str) -> str:
    return "D" if kind == REPORTED else "o"


def _inside(kind: str) -> dict:
    colour = KINDS[kind][1]
    return {"markerfacecolor": "white" if kind == REPORTED else colour, "markeredgecolor": colour}


# accuracy against parameters


def _bubbles(ranking: Ranking) -> list[Row]:
    return [row for row in _models(ranking) if row.parameters]


def _draw_bubbles(panel: SubFigure, ranking: Ranking) -> None:
    rows = _bubbles(ranking)
    axes = panel.subplots()
    largest = max([row.dim or 0 for row in rows] + [1])
    areas = [max(SMALLEST_BUBBLE, LARGEST_BUBBLE * (row.dim or 0) / largest) for row in rows]
    for row, area in sorted(zip(rows, areas, strict=True), key=lambda pair: -pair[1]):  # small ones in front
        kind = kind_of(row)
        outlined = kind == REPORTED or not row.dim
        axes.scatter(
            row.parameters / 1e6,
            100 * row.mean["accuracy"],
            s=area,
            c=[matplotlib.colors.to_rgba(KINDS[kind][1], 0.12 if outlined else 0.6)],
            edgecolors=KINDS[kind][1],
            linestyles="dashed" if outlined else "solid",
            linewidths=1.2,
        )
    sizes = [row.parameters / 1e6 for row in rows]
    axes.set(xscale="log", xlim=(min(sizes) / 1.8, max(sizes) * 1.8))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda millions, _: f"{millions:,.6g}M")
    axes.xaxis.set_minor_locator(NullLocator())
    lost = len(_models(ranking)) - len(rows)
    told = f"; {lost} without parameters not shown" if lost else ""
    _title(panel, ranking, f"area of a bubble: size of the embedding, the largest {largest:,} numbers{told}")
    of = "mean over sources" if ranking.task is None else f"on {short(next(iter(ranking.sources)), NAME)}"
    axes.set(xlabel="parameters", ylabel=f"{ranking.metric}, {of} (%)")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    constant = 100 * _constant(ranking).mean["accuracy"]
    line = axes.axhline(constant, color="0.4", linestyle="--", linewidth=1)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.06 * (high - low), high + 0.08 * (high - low))
    above = axes.annotate(
        f"constant answer {constant:.1f}",
        (1, constant),
        (-2, 3),
        ("axes fraction", "data"),
        "offset points",
        ha="right",
    )
    above.set(color="0.35", fontsize=8)
    _legend(panel, rows)
    _label_bubbles(axes, rows, areas, [above, line])


def _label_bubbles(axes: Axes, rows: list[Row], areas: list[float], others: list[Artist]) -> None:
    """Name the bubbles, the most accurate first, where a name covers neither a bubble nor another name."""
    figure = axes.get_figure(root=True)
    figure.draw_without_rendering()  # decides where the axes lie
    pixels = figure.dpi / 72
    centres = axes.transData.transform([(row.parameters / 1e6, 100 * row.mean["accuracy"]) for row in rows])
    radii = [pixels * np.sqrt(area) / 2 for area in areas]
    taken = [_square(centre, 0.8 * radius) for centre, radius in zip(centres, radii, strict=True)]
    taken += [artist.get_window_extent() for artist in others]
    frame = axes.get_window_extent()
    for index in sorted(range(len(rows)), key=lambda index: -rows[index].mean["accuracy"]):
        reach = radii[index] / pixels + 3
        for offset, across, along in (
            ((reach, 0), "left", "center"),
            ((-reach, 0), "right", "center"),
            ((0, reach), "center", "bottom"),
            ((0, -reach), "center", "top"),
        ):
            place = (rows[index].parameters / 1e6, 100 * rows[index].mean["accuracy"])
            label = axes.annotate(
                short(rows[index].model, NAME), place, offset, textcoords="offset points", ha=across, va=along
            )
            label.set(fontsize=8, in_layout=False)
            box = label.get_window_extent()
            inside = frame.containsx(box.x0) and frame.containsx(box.x1)
            inside = inside and frame.containsy(box.y0) and frame.containsy(box.y1)
            if inside and not box.padded(2).count_overlaps(taken):
                taken.append(box)
                break
            label.remove()


def _square(centre: np.ndarray, half: float) -> Bbox:
    return Bbox([centre - half, centre + half])


# intervals


def _forest_height(ranking: Ranking) -> float:
    return 1.5 + 0.21 * len(_models(ranking))


def _draw_forest(panel: SubFigure, ranking: Ranking) -> None:
    """A column of intervals a source, and one for the mean over sources if there are several."""
    rows = _models(ranking)
    names = [*ranking.sources, *(["mean"] if len(ranking.sources) > 1 else [])]
    columns = panel.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
    for axes, name in zip(columns, names, strict=True):
        _draw_intervals(axes, [_score(row, name) for row in rows], [kind_of(row) for row in rows])
        answer = _score(_constant(ranking), name)
        axes.axvline(100 * answer["accuracy"], color="0.4", linestyle="--", linewidth=1, zorder=1)
        if answer["interval"]:
            axes.axvspan(*(100 * end for end in answer["interval"]), color="0.9", linewidth=0, zorder=0)
        axes.set_title(short(name, NAME))
        axes.set_xlabel(f"{ranking.metric} (%)")
    columns[0].set(yticks=range(len(rows)), yticklabels=[short(row.model, NAME) for row in rows])
    columns[0].set_ylim(len(rows) - 0.4, -0.6)
    _title(
        panel, ranking, f"{100 * ranking.level:g}% intervals; dashed, with its interval in grey: the constant answer"
    )
    _legend(panel, rows)


def _score(row: Row, name: str) -> dict | None:
    return row.scores.get(name) if name != "mean" else row.mean


def _draw_intervals(axes: Axes, scores: list[dict | None], kinds: list[str]) -> None:
    for y, (score, kind) in enumerate(zip(scores, kinds, strict=True)):
        if score is None:
            continue
        if score["interval"]:
            axes.plot([100 * end for end in score["interval"]], [y, y], color=KINDS[kind][1], linewidth=1.6)
        axes.plot(100 * score["accuracy"], y, marker=_marker(kind), markersize=5, **_inside(kind))
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


# groups x models


def _grouped(ranking: Ranking) -> list[Row]:
    return [row for row in _models(ranking) if row.groups]


def _heat_height(ranking: Ranking) -> float:
    longest = max(len(short(row.model, NAME)) for row in _grouped(ranking))
    return 1.4 + 0.16 * len(groups_of(ranking.rows)) + 0.065 * longest


def _draw_heat(panel: SubFigure, ranking: Ranking) -> None:
    rows = _grouped(ranking)
    groups = [*groups_of(ranking.rows)]
    cells = pd.DataFrame({index: _by_group(row) for index, row in enumerate(rows)}).loc[groups].to_numpy()
    axes = panel.subplots()
    axes.set_facecolor(EMPTY)
    picture = axes.imshow(cells, cmap=COLOURS, vmin=0, vmax=100, aspect="auto", interpolation="nearest")
    axes.set(yticks=range(len(groups)), yticklabels=[short(group, NAME) for group in groups])
    axes.set_xticks(range(len(rows)), [short(row.model, NAME) for row in rows], rotation=90)
    axes.tick_params(length=0, labelsize=8 if len(rows) <= 40 else 4)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    if len(rows) <= 16:
        for y, x in np.argwhere(np.isfinite(cells)):
            dark = np.dot(COLOURS(cells[y, x] / 100)[:3], (0.299, 0.587, 0.114)) < 0.55
            axes.text(x, y, f"{cells[y, x]:.0f}", ha="center", va="center", fontsize=6, color="w" if dark else "k")
    of_each = f"each {terms_of(ranking.protocol_name).group}'s accuracy; grey: not scored"
    _title(panel, ranking, of_each if np.isnan(cells).any() else "")
    panel.colorbar(picture, ax=axes, label="accuracy (%); white: 50", fraction=0.03, pad=0.02, aspect=30)


def _by_group(row: Row) -> pd.Series:
    return pd.Series({group["group_id"]: 100 * group["accuracy"] for group in row.groups})


Chart = tuple[Callable[[Ranking], float], Callable[[SubFigure, Ranking], None], Callable[[Ranking], list[Row]]]
CHARTS: dict[str, Chart] = {  # height in inches, how to draw it, and the rows that it can show
    "bubble": (lambda ranking: 5.6, _draw_bubbles, _bubbles),
    "forest": (_forest_height, _draw_forest, _models),
    "heatmap": (_heat_height, _draw_heat, _grouped),
}
NOTHING = {
    "bubble": "no model has parameters that are known; cia eval --parameters states those of a file of embeddings",
    "forest": "no model has a score to draw",
    "heatmap": "no result has scores of its groups on the clips that all have; draw fewer results together",
}
