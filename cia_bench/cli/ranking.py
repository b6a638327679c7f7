"""The commands of results: leaderboard, submission."""

from pathlib import Path

import click

from cia_bench.cli.group import main
from cia_bench.cli.options import FILE, FOLDER, data_option, device_option, results_option, weights_of, weights_option
from cia_bench.errors import printable


@main.command()
@results_option
@click.option("--source", "sources", multiple=True, help="Rank on this source alone, or on these; may be repeated.")
@click.option("--protocol", help="Only results of this protocol: paper, strict or standard.")
@click.option("--max-params", type=int, help="Only models of at most so many parameters.")
@click.option("--max-dim", type=int, help="Only models whose embeddings have at most so many numbers.")
@click.option("--sort", help="Column to order models by, like parameters, gain or a source; default: their rank.")
@click.option("--compare", nargs=2, multiple=True, metavar="A B", help="Two models to compare; may be repeated.")
@click.option("--with-reported", is_flag=True, help="Put published numbers among the measured ones, marked.")
@click.option("--format", "form", help="table, md, latex, csv, json or html; default: the ending of --out, else table.")
@click.option("--out", type=FOLDER, help="File to write instead of printing.")
def leaderboard(
    results: tuple[Path, ...],
    sources: tuple[str, ...],
    protocol: str | None,
    max_params: int | None,
    max_dim: int | None,
    sort: str | None,
    compare: tuple[tuple[str, str], ...],
    with_reported: bool,
    form: str | None,
    out: Path | None,
) -> None:
    """Rank the results, and say which differences are real."""
    from cia_bench.leaderboard.arranging import choose, sort_rows, with_published
    from cia_bench.leaderboard.export import export, format_of, write_board
    from cia_bench.leaderboard.table import rank, read_results

    chosen = choose(read_results(list(results)), protocol, max_params, max_dim)
    rankings = rank(chosen, sources, compare)
    if with_reported:
        rankings = with_published(rankings, among=True)
    if sort is not None:
        rankings = [sort_rows(ranking, sort) for ranking in rankings]
    if not with_reported:
        rankings = with_published(rankings)
    form = form or (format_of(out) if out else "table")
    if out is None:
        click.echo(export(rankings, form), nl=False)
        return
    write_board(rankings, form, out)
    click.echo(f"wrote {out}")


@main.group()
def submission() -> None:
    """Send a result to others, and check what they send."""


@submission.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--embeddings", type=FOLDER, help="Store or file that was scored, to send its vectors along.")
@data_option
@weights_option
@device_option
@click.option("--note", default="", help="What readers should know of it, in a line or a few.")
@click.option("--url", default="", help="Web page of the model or its paper.")
@click.option("--out", type=FILE, help="Zip to write; default: DIR.zip.")
def pack(folder: Path, embeddings, data: Path, weights: tuple[str, ...], device: str, note: str, url: str, out) -> None:
    """Pack a model's result, the folder RESULTS/<model>, as one zip."""
    from cia_bench.store import is_store
    from cia_bench.submissions.pack import pack as pack_result

    if embeddings is not None and is_store(embeddings):  # only there may a summary run, which needs torch
        from cia_bench.encoders import choose_device

        device = choose_device(device)
    path = pack_result(folder, out, embeddings, data, weights_of(weights), device, note, url)
    click.echo(printable(f"wrote {path}: {path.stat().st_size / 1e6:,.1f} MB"))


@submission.command("check")
@click.argument("file", type=FILE)
@click.option("--data", type=FOLDER, help="Folder of a build of yours, to hold labels against and to fit on.")
@click.option(
    "--min-coverage",
    type=float,
    default=0.98,
    show_default=True,
    help="Share of a source's training rows, and of its validation rows, that must be embedded.",
)
@click.option("--out", type=FOLDER, help="Results folder to put it into, if it is as it should be.")
def check_submission(file: Path, data: Path | None, min_coverage: float, out: Path | None) -> None:
    """Check a zip of cia submission pack: verified, if its embeddings give its scores again."""
    from cia_bench.submissions.accept import accept
    from cia_bench.submissions.check import check as check_zip

    checked = check_zip(file, data, min_coverage)
    for line in (*checked.lines, f"{file}: {'verified' if checked.verified else 'unverified'}"):
        click.echo(printable(line))
    if out is not None:
        click.echo(printable(f"wrote {accept(file, checked, out)}"))
