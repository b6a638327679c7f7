"""The command `cia`: options in, library call, outcome printed.

Stages are imported inside their command, so that `cia --help` stays light.
"""

import logging
import os
from pathlib import Path

import click

from cia_bench import __version__
from cia_bench.errors import BuildError, CiaError, ConfigError, printable


class OneLineErrors(click.Group):
    """Prints our own errors as one line with exit code 1; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except CiaError as error:
            raise click.ClickException(str(error)) from error
        except PermissionError as error:
            raise click.ClickException(printable(f"no permission to read or write {error.filename}")) from error


data_option = click.option(
    "--data", type=click.Path(path_type=Path), default=Path("cia-data"), show_default=True, help="Folder of a build."
)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="cia")
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what is being done.")
def main(verbose: bool) -> None:
    """Chirality in Action: build the data set, score video embeddings on it, rank the results."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")


@main.command()
@click.option("--source", required=True, help="Whose annotations: epic.")
@click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    help="Folder of the owner's annotation files; default $CIA_ANNOTATIONS/<source>.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("cia-data"), show_default=True, help="Data folder to write."
)
@click.option("--profile", default="paper", show_default=True, help="Which groups to keep: paper, the published ones.")
def build(source: str, annotations: Path | None, out: Path, profile: str) -> None:
    """Build the chiral groups of a source."""
    from cia_bench.build import build as build_source

    record = build_source(source, annotations or _annotation_folder(source), out, profile)
    click.echo(f"{source}, profile {profile}: {record['groups']} groups, {record['clips']:,} clips")
    _echo_some("left out", [f"{group['group_id']} ({group['reason']})" for group in record["left_out"]])
    _echo_some("under both labels, kept with the first", [clip["clip_id"] for clip in record["contradictory"]])
    if record["merged_intervals"]:
        click.echo(
            f"clip ids with two intervals, kept with the first: {len(record['merged_intervals'])}, in build.json"
        )
    click.echo(f"wrote {out / source}, fingerprint {record['fingerprint'][:12]}")


def _echo_some(what: str, items: list[str], most: int = 3) -> None:
    """Print the first items, a line each, and how many more build.json lists."""
    for item in items[:most]:
        click.echo(f"{what}: {item}")
    if len(items) > most:
        click.echo(f"{what}: {len(items) - most} more, in build.json")


def _annotation_folder(source: str) -> Path:
    from cia_bench.sources import load_source

    where = load_source(source).WHERE
    root = os.environ.get("CIA_ANNOTATIONS")
    if not root:
        raise ConfigError(
            f"where are the annotation files of {source}? give --annotations DIR, or set CIA_ANNOTATIONS to a folder "
            f"that holds them in {source}/; {where}"
        )
    return Path(root) / source


@main.command()
@data_option
def verify(data: Path) -> None:
    """Check a build and say everything that is wrong with it."""
    from cia_bench.build import built_sources, read_record
    from cia_bench.verify import verify as problems_of

    problems = problems_of(data)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise BuildError(f"{data}: {len(problems)} problems; build it again")
    for source in built_sources(data):
        record = read_record(data / source)
        counts = f"{record['groups']} groups, {record['clips']:,} clips"
        click.echo(f"{printable(str(data / source))} is sound: {counts}, fingerprint {record['fingerprint'][:12]}")


@main.command("eval")
@data_option
@click.option("--source", "sources", multiple=True, help="Score only this source; may be repeated.")
@click.option(
    "--embeddings",
    type=click.Path(path_type=Path),
    required=True,
    help="One vector a clip: .parquet, .npz, or a folder of <clip id>.npy.",
)
@click.option("--model", help="What to call the model; default: the name of the embeddings.")
@click.option("--parameters", type=int, help="Number of parameters of the model, for the leaderboard.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("cia-results"),
    show_default=True,
    help="Results folder to write into.",
)
def evaluate(
    data: Path, sources: tuple[str, ...], embeddings: Path, model: str | None, parameters: int | None, out: Path
) -> None:
    """Score embeddings: a linear probe on each chiral group."""
    from cia_bench.evaluation import evaluate as evaluate_embeddings
    from cia_bench.evaluation import write_result

    result = evaluate_embeddings(embeddings, data, model, parameters, sources)
    folder = write_result(result, out)
    click.echo(str(result))
    click.echo(f"wrote {folder}")


@main.command()
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    multiple=True,
    default=[Path("cia-results")],
    show_default="cia-results",
    help="Folder of results, or of one model's; may be repeated.",
)
@click.option("--format", "form", help="table, md or csv; default: the ending of --out, else table.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write instead of printing.")
def leaderboard(results: tuple[Path, ...], form: str | None, out: Path | None) -> None:
    """Rank the results."""
    from cia_bench.files import whole_files
    from cia_bench.leaderboard.export import export
    from cia_bench.leaderboard.table import rank, read_results

    ending = out.suffix.removeprefix(".") if out else ""
    text = export(rank(read_results(list(results))), form or ending or "table")
    if out is None:
        click.echo(text, nl=False)
        return
    with whole_files(out.parent, seal=out.name) as scratch:
        (scratch / out.name).write_text(text, encoding="utf-8")
    click.echo(f"wrote {out}")
