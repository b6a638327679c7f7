"""The commands that draw: plot."""

from pathlib import Path

import click

from cia_bench.cli.group import main
from cia_bench.cli.options import FILE, FOLDER, device_option, results_option, weights_of, weights_option
from cia_bench.errors import printable


@main.group()
def plot() -> None:
    """Draw rankings, or what a summary like lift makes of a video's frames or of a store's."""


frame_model_option = click.option("--model", required=True, help="ENCODER:SUMMARY, like pixels:lift.")
picture_option = click.option("--out", type=FILE, required=True, help="Picture to write: .png, .svg or .pdf.")


@plot.command()
@click.argument("video", type=FILE)
@frame_model_option
@weights_option
@device_option
@click.option("--method", default="tsne", show_default=True, help="What brings vectors to the plane: tsne or pca.")
@picture_option
def trajectory(video: Path, model: str, weights: tuple[str, ...], device: str, method: str, out: Path) -> None:
    """Draw a video's frames, their vectors, and the summary's reconstruction of these."""
    from cia_bench.encoders import choose_device
    from cia_bench.plots import check_request, draw_trajectory
    from cia_bench.tracing import trace_video
    from cia_bench.trajectories import measure, of_one

    check_request(out, method)
    traced = trace_video(video, model, weights_of(weights), choose_device(device))
    draw_trajectory(traced, method, out)
    times_s = traced.times_s
    click.echo(printable(f"{traced.video}: {len(times_s)} frames, {times_s[0]:.2f} to {times_s[-1]:.2f} s"))
    _echo_measured(model, of_one, measure(traced.sequences, traced.trajectories), out)


@plot.command()
@click.option("--embeddings", type=FOLDER, default=Path("cia-embeddings"), show_default=True, help="Store to read.")
@frame_model_option
@weights_option
@device_option
@picture_option
def straightness(embeddings: Path, model: str, weights: tuple[str, ...], device: str, out: Path) -> None:
    """Draw how straight the clips of a store are, before and after the summary."""
    from cia_bench.encoders import choose_device
    from cia_bench.plots import check_request, draw_straightness
    from cia_bench.tracing import measure_store
    from cia_bench.trajectories import of_all

    check_request(out)
    measured = measure_store(embeddings, model, weights_of(weights), choose_device(device))
    draw_straightness(measured, model, out)
    _echo_measured(model, of_all, measured, out)


@plot.command()
@results_option
@picture_option
def bubble(results: tuple[Path, ...], out: Path) -> None:
    """Draw the models' accuracy against their parameters, with the size of their embeddings as the bubbles' area."""
    _draw_rankings("bubble", results, out)


@plot.command()
@results_option
@picture_option
def forest(results: tuple[Path, ...], out: Path) -> None:
    """Draw the models' accuracies with their intervals, of each source and of the mean over sources."""
    _draw_rankings("forest", results, out)


@plot.command()
@results_option
@picture_option
def heatmap(results: tuple[Path, ...], out: Path) -> None:
    """Draw the models' accuracies on each chiral group, as colours."""
    _draw_rankings("heatmap", results, out)


def _draw_rankings(kind: str, results: tuple[Path, ...], out: Path) -> None:
    from cia_bench.leaderboard.arranging import with_published
    from cia_bench.leaderboard.charts import draw_chart
    from cia_bench.leaderboard.table import rank, read_results
    from cia_bench.pictures import check_ending

    check_ending(out)
    draw_chart(kind, with_published(rank(read_results(list(results)))), out)
    click.echo(printable(f"wrote {out}"))


def _echo_measured(model: str, in_lines, measured: dict, out: Path) -> None:
    if len(measured) == 1:
        click.echo(printable(f"{model} makes one vector of a clip and nothing of each frame: the input alone is shown"))
    click.echo(in_lines(measured), nl=False)
    click.echo(printable(f"wrote {out}"))
