"""The commands of models and their embeddings: models, check, extract, train, convert."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from cia_bench.cli.group import main
from cia_bench.cli.options import (
    FILE,
    FOLDER,
    data_option,
    device_option,
    retry_option,
    splits_option,
    task_option,
    videos_option,
    weights_of,
    weights_option,
)
from cia_bench.errors import ConfigError, EncoderError, printable

if TYPE_CHECKING:
    from cia_bench.tasks import Task


@main.command()
def models() -> None:
    """List the encoders and summaries that installed packages offer, and what is known of them."""
    from cia_bench.offers import listed, offers

    click.echo(listed(offers()), nl=False)


@main.command()
@click.option("--model", required=True, help="Like pixels, pixels:concat or my_models.colour:Colour.")
@weights_option
@device_option
def check(model: str, weights: tuple[str, ...], device: str) -> None:
    """Check in seconds that a model keeps the contract, on a few made-up clips."""
    from cia_bench.model_check import check as check_model

    report = check_model(model, weights_of(weights), device)
    click.echo(str(report))
    if not report.passed:
        raise EncoderError(report.verdict)


@main.command()
@click.option("--model", "models", multiple=True, required=True, help="Like pixels or pixels:concat; may be repeated.")
@data_option
@click.option("--source", "sources", multiple=True, help="Extract only this source; may be repeated.")
@task_option
@splits_option
@videos_option
@click.option("--out", type=FOLDER, default=Path("cia-embeddings"), show_default=True, help="Store to write into.")
@weights_option
@device_option
@click.option(
    "--dtype", help="Of stored frame sequences: float32 or float16; default: as they are there, else float32."
)
@click.option(
    "--precision",
    default="float32",
    show_default=True,
    help="Of the encoders' arithmetic: float32, float16 or bfloat16.",
)
@click.option("--batch-size", type=int, help="Clips embedded at once; default 16, halved where memory runs out.")
@click.option("--workers", type=int, help="Processes that decode, with ray for each device; default: one a core.")
@click.option(
    "--engine",
    default="local",
    show_default=True,
    help="local, or ray: the Ray cluster of RAY_ADDRESS, else one of this machine.",
)
@click.option("--shard", metavar="I/N", help="Embed only the I-th of N parts of the clips, into a part of the store.")
@click.option(
    "--order",
    default="forward",
    show_default=True,
    help="In which an encoder gets frames; reversed and shuffled, for cia eval --controls, go into OUT/reversed and "
    "OUT/shuffled.",
)
@retry_option
def extract(
    models: tuple[str, ...],
    data: Path,
    sources: tuple[str, ...],
    task: str | None,
    splits: Path | None,
    videos: Path | None,
    out: Path,
    weights: tuple[str, ...],
    device: str,
    retry_failed: bool,
    shard: str | None,
    **settings,
) -> None:
    """Embed the clips of a build, of a standard benchmark, or each video of a folder; run again to go on."""
    from cia_bench.shares import parse_share

    settings["share"] = parse_share(shard) if shard else None
    benchmark = benchmark_of(task, splits, videos, data, source=sources)
    if benchmark is not None:
        extract_and_say(models, benchmark, (), None, out, weights_of(weights), device, retry_failed, **settings)
        return
    by_default = click.get_current_context().get_parameter_source("data") == ParameterSource.DEFAULT
    if videos is not None and by_default and not sources and not data.exists():
        click.echo(f"no build at {data}: each video in {printable(str(videos))} is a clip")
        data = None
    extract_and_say(models, data, sources, videos, out, weights_of(weights), device, retry_failed, **settings)


def benchmark_of(task: str | None, splits, videos, data: Path, embedded: bool = False, **of_groups) -> "Task | None":
    """What --task names, if it is given; if its videos are `embedded` they need not be there.

    Raises ConfigError for --splits without --task, and for options, `of_groups`, that only chiral groups have with it.
    """
    if task is None:
        if splits is not None:
            raise ConfigError("--splits holds the split files of a standard benchmark; say which with --task")
        return None
    for name, value in of_groups.items():
        if value:
            raise ConfigError(f"--{name.replace('_', '-')} is of chiral groups, which --task {task} does not have")
    from cia_bench.tasks import read_task

    return read_task(task, splits, videos, data, embedded)


def extract_and_say(
    models, data, sources, videos, out, weights: dict[str, str], device, retry_failed, only=None, **settings
) -> None:
    from cia_bench.encoders import choose_device
    from cia_bench.extract import ExtractionSettings
    from cia_bench.extract import extract as extract_models
    from cia_bench.progress import shown

    how = ExtractionSettings(**settings)
    run_on = device if how.engine == "ray" else choose_device(device)  # what devices there are, the cluster tells
    for done in extract_models(models, data, out, sources, videos, weights, run_on, shown, retry_failed, how, only):
        click.echo(f"{done.encoder}: {done.new:,} new embeddings, {done.kept:,} kept, in {done.folder}")
        if len(done.failures):
            first = done.failures.iloc[0]
            more = f"; {len(done.failures) - 1} more in failures.parquet" if len(done.failures) > 1 else ""
            click.echo(printable(f"{done.encoder}: failed {first.clip_id}: {first.reason}{more}"))


def extract_changed(
    model: str, data, sources, videos, out, weights: dict[str, str], device, retry_failed, only
) -> None:
    """Embed reversed and shuffled frames with a model's video encoders; a frame encoder's sequences are there."""
    from cia_bench.encoders import parse_parts
    from cia_bench.frame_order import REVERSED, SHUFFLED
    from cia_bench.store import embeds_clips

    names = [part.encoder for part in parse_parts(model) if embeds_clips(out, part.encoder)]
    own = {name: place for name, place in weights.items() if name in names}
    for order in (REVERSED, SHUFFLED) if names else ():
        extract_and_say(names, data, sources, videos, out, own, device, retry_failed, only, order=order)


def check_summaries(model: str, weights: dict[str, str]) -> None:
    from cia_bench.encoders import load_summary, parse_parts, summary_weights

    for part in parse_parts(model):
        if part.summary:
            load_summary(part.summary, summary_weights(part, weights))


@main.command()
@click.argument("trainer")
@click.option("--embeddings", type=FOLDER, default=Path("cia-embeddings"), show_default=True, help="Store to train on.")
@click.option("--encoder", help="Whose frame sequences; default: the store's only encoder.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write the checkpoint into.")
@click.option("--recipe", help="scaled (the default), for any number of clips, or paper, as published.")
@click.option("--epochs", type=int, help="How often to see each clip; default: the recipe's, as of the next two.")
@click.option("--batch-size", type=int, help="Clips a step.")
@click.option("--learning-rate", type=float, help="At its highest.")
@click.option("--width", type=int, help="Size of each latent vector; default: the size of a frame's vector.")
@click.option("--layers", type=int, help="Of the encoder; default 4.")
@click.option("--orthogonality", type=float, help="What |cos(z_s, z_d)| weighs in the loss; default 0.1.")
@click.option("--seed", type=int, help="Of weights, order and what is held out; default 0.")
@click.option(
    "--standardise/--no-standardise",
    default=None,
    help="Centre features and give them variance 1 first; the default of scaled, needed where variance is far from 1.",
)
@click.option(
    "--augment/--no-augment",
    default=None,
    help="Play clips backwards and mix them; the default of scaled, for stores of some thousand clips.",
)
@click.option("--precision", help="Of the arithmetic: float32 or bfloat16, the default of scaled on CUDA.")
@device_option
def train(trainer: str, embeddings: Path, encoder: str | None, out: Path, device: str, **settings) -> None:
    """Train a model, like lift, on the training clips of a store, without labels; run again to go on."""
    from cia_bench.encoders import choose_device, load_trainer
    from cia_bench.progress import shown
    from cia_bench.store import read_training

    run = load_trainer(trainer)
    given = {name: value for name, value in settings.items() if value is not None}
    outcome = run(read_training(embeddings, encoder), out, choose_device(device), shown, **given)
    click.echo(f"{trainer}: {outcome}")
    click.echo(f"wrote {out}")


@main.command()
@click.argument("model")
@click.argument("file", type=FILE)
@click.option("--out", type=FOLDER, required=True, help="Folder to write the checkpoint into.")
def convert(model: str, file: Path, out: Path) -> None:
    """Turn the weights that a model's authors released, lift's or vjepa's, into a folder to give to --weights."""
    from cia_bench.encoders import load_converter

    outcome = load_converter(model)(file, out)
    click.echo(f"{model}: {outcome}")
    click.echo(printable(f"wrote {out}"))
