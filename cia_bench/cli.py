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


FOLDER = click.Path(path_type=Path)

data_option = click.option(
    "--data", type=FOLDER, default=Path("cia-data"), show_default=True, help="Folder of a build."
)
videos_option = click.option(
    "--videos",
    type=FOLDER,
    help="Folder of the source's videos, or of a folder a source; default DATA/<source>/videos, else "
    "$CIA_VIDEOS/<source>.",
)
weights_option = click.option(
    "--weights",
    "weights",
    multiple=True,
    metavar="M=DIR",
    help="Weights of an encoder or a summary, like lift=DIR; may be repeated.",
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, or auto: the GPU if there is one."
)


def _weights(pairs: tuple[str, ...]) -> dict[str, str]:
    """The pairs M=DIR by M."""
    for pair in pairs:
        if not all(pair.partition("=")):
            raise ConfigError(f"--weights {pair!r} is not like lift=DIR")
    return {name: place for name, _, place in (pair.partition("=") for pair in pairs)}


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="cia")
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what is being done.")
def main(verbose: bool) -> None:
    """Chirality in Action: build the data set, score video embeddings on it, rank the results."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")


@main.command()
@click.option("--source", required=True, help="epic, from its annotation files; or synthetic, rendered.")
@click.option(
    "--annotations",
    type=FOLDER,
    help="Folder of the owner's annotation files; default $CIA_ANNOTATIONS/<source>.",
)
@click.option("--out", type=FOLDER, default=Path("cia-data"), show_default=True, help="Data folder to write.")
@click.option("--profile", default="paper", show_default=True, help="Which groups to keep: paper, the published ones.")
@click.option("--size", help="Of synthetic: tiny, small (the default) or medium.")
@click.option("--seed", type=int, help="Of synthetic: which of its draws to render; default 0.")
def build(source: str, annotations: Path | None, out: Path, profile: str, size: str | None, seed: int | None) -> None:
    """Build the chiral groups of a source."""
    from cia_bench.build import build as build_source
    from cia_bench.build import build_synthetic
    from cia_bench.progress import shown
    from cia_bench.sources import SYNTHETIC, load_source

    if source == SYNTHETIC:
        if annotations is not None:
            raise ConfigError("--annotations is for sources with annotation files; synthetic has none")
        if profile != "paper":
            raise ConfigError(f"--profile {profile} is for sources with annotation files; synthetic has one profile")
        record = build_synthetic(out, "small" if size is None else size, seed or 0, shown)
    else:
        if size is not None or seed is not None:
            load_source(source)  # an unknown one is to be told first
            raise ConfigError(f"--size and --seed are for --source synthetic, not {source}")
        record = build_source(source, annotations or _annotation_folder(source), out, profile)
    made = ", ".join(f"{name} {value}" for name, value in record["settings"].items())
    click.echo(f"{source}, {made}: {record['groups']} groups, {record['clips']:,} clips")
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


@main.command()
@click.option("--model", "models", multiple=True, required=True, help="Like pixels or pixels:concat; may be repeated.")
@data_option
@click.option("--source", "sources", multiple=True, help="Extract only this source; may be repeated.")
@videos_option
@click.option("--out", type=FOLDER, default=Path("cia-embeddings"), show_default=True, help="Store to write into.")
@weights_option
@device_option
def extract(
    models: tuple[str, ...],
    data: Path,
    sources: tuple[str, ...],
    videos: Path | None,
    out: Path,
    weights: tuple[str, ...],
    device: str,
) -> None:
    """Embed the clips of a build; run again to go on."""
    _extract(models, data, sources, videos, out, _weights(weights), device)


def _extract(models, data, sources, videos, out, weights: dict[str, str], device: str) -> None:
    from cia_bench.encoders import choose_device
    from cia_bench.extract import extract as extract_models
    from cia_bench.progress import shown

    for done in extract_models(models, data, out, sources, videos, weights, choose_device(device), shown):
        click.echo(f"{done.encoder}: {done.new:,} new embeddings, {done.kept:,} kept, in {done.folder}")
        if len(done.failures):
            first = done.failures.iloc[0]
            more = f"; {len(done.failures) - 1} more in failures.parquet" if len(done.failures) > 1 else ""
            click.echo(printable(f"{done.encoder}: failed {first.clip_id}: {first.reason}{more}"))


def _check_summary(model: str, weights: dict[str, str]) -> None:
    from cia_bench.encoders import load_summary, parse_model

    summary = parse_model(model).summary
    if summary:
        load_summary(summary, weights.get(summary))


@main.command()
@click.argument("trainer")
@click.option("--embeddings", type=FOLDER, default=Path("cia-embeddings"), show_default=True, help="Store to train on.")
@click.option("--encoder", help="Whose frame sequences; default: the store's only encoder.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write the checkpoint into.")
@click.option("--epochs", type=int, help="How often to see each clip; default: as published.")
@click.option("--batch-size", type=int, help="Clips a step; default: as published.")
@click.option("--learning-rate", type=float, help="At the start; default: as published.")
@click.option("--width", type=int, help="Size of each latent vector; default: the size of a frame's vector.")
@click.option("--seed", type=int, help="Of weights, order and what is held out; default 0.")
@click.option(
    "--standardise",
    is_flag=True,
    default=None,
    help="Centre features and give them variance 1 first; needed where their variance is far from 1.",
)
@device_option
def train(trainer: str, embeddings: Path, encoder: str | None, out: Path, device: str, **settings) -> None:
    """Train a model, like lift, on the training clips of a store, without labels."""
    from cia_bench.encoders import choose_device, load_trainer
    from cia_bench.progress import shown
    from cia_bench.store import read_training

    run = load_trainer(trainer)
    given = {name: value for name, value in settings.items() if value is not None}
    outcome = run(read_training(embeddings, encoder), out, choose_device(device), shown, **given)
    click.echo(f"{trainer}: {outcome}")
    click.echo(f"wrote {out}")


@main.command("eval")
@data_option
@click.option("--source", "sources", multiple=True, help="Score only this source; may be repeated.")
@click.option(
    "--embeddings",
    type=FOLDER,
    help="A store, or one vector a clip: .parquet, .npz, or a folder of <clip id>.npy; default: the store "
    "cia-embeddings, after extracting what it lacks.",
)
@click.option("--model", help="ENCODER[:SUMMARY], like pixels:concat; for a file: what to call it.")
@videos_option
@weights_option
@device_option
@click.option("--parameters", type=int, help="Number of parameters of a file's model, for the leaderboard.")
@click.option(
    "--out", type=FOLDER, default=Path("cia-results"), show_default=True, help="Results folder to write into."
)
def evaluate(
    data: Path,
    sources: tuple[str, ...],
    embeddings: Path | None,
    model: str | None,
    videos: Path | None,
    weights: tuple[str, ...],
    device: str,
    parameters: int | None,
    out: Path,
) -> None:
    """Score a model: a linear probe on each chiral group."""
    from cia_bench.evaluation import evaluate as evaluate_embeddings
    from cia_bench.evaluation import write_result
    from cia_bench.store import is_store

    given = _weights(weights)
    if embeddings is None:
        if model is None:
            raise ConfigError("what to score? give --model ENCODER:SUMMARY, like pixels:concat, or --embeddings FILE")
        embeddings = Path("cia-embeddings")
        _check_summary(model, given)  # before hours of extraction
        _extract([model], data, sources, videos, embeddings, given, device)
    elif videos is not None:
        raise ConfigError("--videos is to extract embeddings from; with --embeddings they are there already")
    if is_store(embeddings):  # only there may a summary run, which needs torch
        from cia_bench.encoders import choose_device

        device = choose_device(device)
    result = evaluate_embeddings(embeddings, data, model, parameters, sources, weights=given, device=device)
    folder = write_result(result, out)
    click.echo(str(result))
    click.echo(f"wrote {folder}")


@main.command()
@click.option("--size", default="small", show_default=True, help="tiny, small or medium.")
@click.option("--out", type=FOLDER, default=Path("cia-demo"), show_default=True, help="Folder to leave everything in.")
def demo(size: str, out: Path) -> None:
    """Run the whole way on rendered videos: build, extract, train LiFT, score, rank."""
    from cia_bench.demo import run_demo
    from cia_bench.progress import shown

    click.echo(run_demo(size, out, shown), nl=False)
    click.echo(f"wrote {out}")


@main.command()
@click.option(
    "--results",
    type=FOLDER,
    multiple=True,
    default=[Path("cia-results")],
    show_default="cia-results",
    help="Folder of results, or of one model's; may be repeated.",
)
@click.option("--format", "form", help="table, md or csv; default: the ending of --out, else table.")
@click.option("--out", type=FOLDER, help="File to write instead of printing.")
def leaderboard(results: tuple[Path, ...], form: str | None, out: Path | None) -> None:
    """Rank the results."""
    from cia_bench.leaderboard.export import export, write_board
    from cia_bench.leaderboard.table import rank, read_results

    rankings = rank(read_results(list(results)))
    form = form or (out.suffix.removeprefix(".") if out else "") or "table"
    if out is None:
        click.echo(export(rankings, form), nl=False)
        return
    write_board(rankings, form, out)
    click.echo(f"wrote {out}")
