"""Draw what a summary learnt: a clip's trajectory in two dimensions, and how straight the clips of a store are."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from sklearn.manifold import TSNE

from cia_bench.errors import ConfigError
from cia_bench.pictures import DPI, WIDTH, check_ending, save, short, style
from cia_bench.tracing import Traced
from cia_bench.trajectories import Z_ANGLE, Z_D_NORM, Z_S_NORM, angle_name, measure

TIME_COLOURS = "viridis"  # ordered for the colour-blind too, and in grey
BLUE, GREEN, ORANGE, PURPLE = "#0072B2", "#009E73", "#D55E00", "#CC79A7"  # Okabe and Ito's, for the colour-blind
COLOURS = {"input": BLUE, "latent": GREEN, "reconstruction": ORANGE}
GREY = "0.75"
TITLES = {
    "input": "input: the encoder's vectors of the frames",
    "reconstruction": "reconstruction of these, and the input in grey",
}
STRIP_COLUMNS, LARGEST_FRAME = 16, 1.1  # frames a row; inches
PERPLEXITY = 3.0  # a frame has two neighbours on its path; to keep many more, t-SNE draws a straight path as a zigzag
ANGLE_BINS, HISTOGRAM_BINS = np.arange(0, 181, 3), 40  # degrees; bins of what has no fixed range


def check_request(out: Path, method: str | None = None) -> None:
    """Raise ConfigError unless `out` ends as a picture does and there is such a method: before any long work."""
    check_ending(out)
    if method is not None and method not in METHODS:
        raise ConfigError(f"unknown method {method!r}; choose from {', '.join(sorted(METHODS))}")


# points in two dimensions


def pca(points: np.ndarray) -> np.ndarray:
    """The first two principal components of points, (N, D) -> (N, 2); zeros where the points have fewer."""
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    left, size, right = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(right[:2]).argmax(axis=1)  # decides the sign, which the decomposition leaves open
    signs = np.sign(right[np.arange(len(largest)), largest])
    found = left[:, :2] * size[:2] * signs
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def tsne(points: np.ndarray) -> np.ndarray:
    """t-SNE of points, (N, D) -> (N, 2), from their principal components, with a perplexity of PERPLEXITY.

    Source: van der Maaten and Hinton, "Visualizing Data using t-SNE", 2008; scikit-learn's, exact.
    """
    start = pca(points)
    spread = start[:, 0].std()
    if len(points) < 4 or spread == 0:  # too few to have neighbours, or all in one place
        return start
    start = (start / spread * 1e-4).astype(np.float32)  # scikit-learn's own init="pca" fails for D = 1
    model = TSNE(perplexity=PERPLEXITY, init=start, method="exact", random_state=0)
    return model.fit_transform(points.astype(np.float64)).astype(np.float64)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"tsne": tsne, "pca": pca}
METHOD_NAMES = {"tsne": "t-SNE", "pca": "PCA"}


# one clip


def draw_trajectory(traced: Traced, method: str, out: Path) -> None:
    """Draw a clip's frames, and below their vectors beside their reconstruction, in a plane fitted to both by `method`.

    Without a reconstruction the vectors alone. Raises ConfigError as check_request does, WriteError if `out` can't be
    written.
    """
    check_request(out, method)
    paths = {"input": traced.sequences[0]}
    if "reconstruction" in traced.trajectories:
        paths["reconstruction"] = traced.trajectories["reconstruction"][0]
    flat = METHODS[method](np.concatenate(list(paths.values())))
    views = dict(zip(paths, np.split(flat, len(paths)), strict=True))
    measured = measure(traced.sequences, traced.trajectories)
    with style():
        rows, side = _strip_shape(len(traced.pictures))
        strip_high, panels_high = rows * (side + 0.2) + 0.5, 4.2
        figure = Figure(figsize=(WIDTH, strip_high + panels_high), dpi=DPI, layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=[strip_high, panels_high])
        colours = _time_colours(traced.times_s)
        above.suptitle(f"{short(traced.video)}\n{len(traced.pictures)} frames as {short(traced.model)} gets them")
        _draw_strip(above, traced, rows, side, colours)
        panels = below.subplots(1, len(views), sharex=True, sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, views, strict=True):
            _draw_path(axes, name, views, colours.to_rgba(traced.times_s))
            angle, D = measured[angle_name(name)][0], traced.sequences.shape[2]
            turns = f"{angle:.0f}°" if np.isfinite(angle) else "none"
            axes.set_title(f"{TITLES[name]}\nmean angle between steps, in all {D:,} dimensions: {turns}")
            axes.set_xlabel(f"{METHOD_NAMES[method]} 1")
        panels[0].set_ylabel(f"{METHOD_NAMES[method]} 2")
        panels[0].xaxis.set_major_locator(MaxNLocator(nbins=6))  # of all panels, which share it
        if method == "tsne":  # its numbers mean nothing
            panels[0].set(xticks=[], yticks=[])
        below.colorbar(colours, ax=panels.tolist(), label="time of the frame (s)", fraction=0.04, pad=0.02)
        save(figure, out)


def _time_colours(times_s: np.ndarray) -> ScalarMappable:
    first, last = times_s[0], max(times_s[-1], times_s[0] + 1e-3)  # all frames may be one
    return ScalarMappable(Normalize(first, last), TIME_COLOURS)


def _strip_shape(T: int) -> tuple[int, float]:
    """In how many rows T frames stand, as even as can be, and the side of one in inches."""
    rows = -(-T // STRIP_COLUMNS)
    columns = -(-T // rows)
    return rows, min(LARGEST_FRAME, WIDTH / columns - 0.05)


def _draw_strip(figure: SubFigure, traced: Traced, rows: int, side: float, colours: ScalarMappable) -> None:
    """The frames in order, each framed in the colour of its time and with its time below."""
    T = len(traced.pictures)
    frames = figure.subplots(rows, -(-T // rows), squeeze=False).ravel()
    for axes in frames[T:]:
        axes.set_axis_off()
    for axes, picture, time_s in zip(frames, traced.pictures, traced.times_s, strict=False):
        axes.imshow(picture)
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(f"{time_s:.2f} s", fontsize=7, labelpad=2)
        axes.spines[:].set(visible=True, color=colours.to_rgba(time_s), linewidth=3)


def _draw_path(axes: Axes, name: str, views: Mapping[str, np.ndarray], colours: np.ndarray) -> None:
    """One path with its frames in the colours of their times, over the input in grey."""
    axes.plot(*views["input"].T, color=GREY, linewidth=0.8, zorder=1)
    filled = name == "input"
    axes.plot(*views[name].T, color="0.35", linewidth=1.2, zorder=2)
    axes.scatter(
        *views[name].T,
        s=70,
        c=colours if filled else "white",
        edgecolors="0.15" if filled else colours,
        linewidths=0.7 if filled else 2.2,
        zorder=3,
    )
    axes.margins(0.08)


# the clips of a store


def draw_straightness(measured: Mapping[str, np.ndarray], model: str, out: Path) -> None:
    """Draw histograms over clips of what trajectories.measure gave: angles, and of a latent path norms and directions.

    Raises ConfigError as check_request does, WriteError if `out` can't be written.
    """
    check_request(out)
    angles = [name for name in ("input", "latent", "reconstruction") if angle_name(name) in measured]
    latent = Z_ANGLE in measured
    with style():
        figure = Figure(figsize=(WIDTH if latent else WIDTH / 2, 4.6), dpi=DPI, layout="constrained")
        left, *right = figure.subfigures(1, 2 if latent else 1, squeeze=False)[0]
        figure.suptitle(f"{short(model)}, {len(measured[angle_name('input')]):,} clips")
        _draw_angles(left, {name: measured[angle_name(name)] for name in angles})
        if latent:
            _draw_latent(right[0], measured)
        save(figure, out)


def _draw_angles(figure: SubFigure, angles: Mapping[str, np.ndarray]) -> None:
    """How straight each trajectory is, one above the other on one scale of degrees."""
    rows = figure.subplots(len(angles), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, angles.items(), strict=True):
        _histogram(axes, values, ANGLE_BINS, COLOURS[name])
        axes.set_title(name)
    rows[-1].set(xlim=(0, 180), xticks=range(0, 181, 30))
    rows[-1].set_xlabel("mean angle between a clip's steps (degrees); 0: straight")


def _draw_latent(figure: SubFigure, measured: Mapping[str, np.ndarray]) -> None:
    """How long the start and the displacement of the latent path are, and the angle between them."""
    above, below = figure.subplots(2, 1)
    norms = {"start z_s": (measured[Z_S_NORM], GREEN), "displacement z_d": (measured[Z_D_NORM], PURPLE)}
    bins = np.histogram_bin_edges(np.concatenate([values for values, _ in norms.values()]), HISTOGRAM_BINS)
    for name, (values, colour) in norms.items():
        _histogram(above, values, bins, colour, name)
    above.legend(frameon=False)
    above.set(title="latent path", xlabel="norm")
    directions = measured[Z_ANGLE][np.isfinite(measured[Z_ANGLE])]
    _histogram(below, directions, np.histogram_bin_edges(directions, HISTOGRAM_BINS), "0.4")
    below.axvline(90, color="0.2", linestyle=":", linewidth=1)
    below.set_xlabel("angle of z_s and z_d (degrees); dotted: orthogonal")


def _histogram(axes: Axes, values: np.ndarray, bins: np.ndarray, colour: str, label: str | None = None) -> None:
    values = values[np.isfinite(values)]
    axes.hist(values, bins, histtype="stepfilled", color=colour, alpha=0.35)
    axes.hist(values, bins, histtype="step", color=colour, linewidth=1.2, label=label)
    axes.set_ylabel("clips")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=[1, 2, 5, 10]))
