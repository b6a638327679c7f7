"""The command `cia`: options in, library call, outcome printed.

Stages are imported inside their command, so that `cia --help` stays light.
"""

import logging
from pathlib import Path

import click
from click.core import ParameterSource

from cia_bench import __version__
from cia_bench.errors import BuildError, CiaError, ConfigError, EncoderError, printable


class OneLineErrors(click.Group):
    """Prints our own errors as one line with exit code 1; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except CiaError as error:
            raise click.ClickException(str(error)) from error
        except PermissionError as error:
            raise click.ClickException(printable(f"no permission to read or write {error.filename}")) from error


class PrintableLines(logging.Formatter):
    """Log messages as lines that are safe on a terminal, whatever names of strangers they hold."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


FOLDER = FILE = click.Path(path_type=Path)

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
    help="Weights of an encoder, a summary, like lift=DIR, or a part, like pixels:lift=DIR; may be repeated.",
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto: a GPU if there is one."
)
retry_option = click.option(
    "--retry-failed", is_flag=True, help="Try the clips of failures.parquet again, though their videos are unchanged."
)
cache_option = click.option(
    "--cache", type=FOLDER, help="Where downloads are kept; default $CIA_CACHE, else this system's place for caches."
)
skip_option = click.option(
    "--skip-bad-rows", is_flag=True, default=None, help="Leave out and list broken annotation rows, not refuse them."
)


def journal_options(command):
    """The options of all that reads journals."""
    for option in (
        click.option(
            "--skip-bad-rows", is_flag=True, help="Leave out and name a journal's broken lines, not refuse it."
        ),
        click.option("--verdicts", "journal", type=FILE, help="Your journal; default DATA/verdicts/<source>.jsonl."),
        data_option,
    ):
        command = option(command)
    return command


sources_option = click.option("--source", "sources", multiple=True, help="Only this source; may be repeated.")
source_option = click.option("--source", help="Whose candidates; needed if several sources are built.")
reviewer_option = click.option("--reviewer", help="Whose verdicts; default: the name you are logged in with.")
only_option = click.option("--reviewer", help="Only this reviewer; default: all.")


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
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableLines("%(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])


@main.command()
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    help="ssv2, epic or charades, from annotation files; synthetic, rendered; or a module like my_sources.kitchen; may "
    "be repeated.",
)
@click.option(
    "--annotations",
    type=FOLDER,
    help="Folder of the owner's annotation files, or of a folder a source; default $CIA_ANNOTATIONS/<source>, else the "
    "cache, into which epic's and charades' are downloaded.",
)
@click.option(
    "--published", type=FOLDER, help="Folder of the published CSVs, to import them instead of mining annotations."
)
@click.option("--out", type=FOLDER, default=Path("cia-data"), show_default=True, help="Data folder to write.")
@click.option(
    "--profile",
    help="Which groups to keep: paper, the published ones (the default for their sources); or extended, "
    "those that verdicts accept.",
)
@click.option("--verdicts", type=FILE, help="Your journal, for extended; default OUT/verdicts/<source>.jsonl.")
@click.option("--min-train-clips", type=int, help="Training clips of each action that make a candidate; default 5.")
@click.option("--min-validation-clips", type=int, help="Validation clips of each action that do; default 2.")
@click.option(
    "--min-phrase-clips",
    type=int,
    help="Of ssv2: training clips of each action with an object phrase, for it to join a group; default 10.",
)
@click.option("--balance", is_flag=True, default=None, help="Draw as many clips of each label, by group and split.")
@click.option("--size", help="Of synthetic: tiny, small (the default) or medium.")
@click.option("--seed", type=int, help="Of the strict split, of --balance, and of what synthetic renders; default 0.")
@cache_option
@skip_option
def build(sources: tuple[str, ...], annotations, published, out: Path, verdicts, size, cache, **settings) -> None:
    """Build the chiral groups of sources."""
    from cia_bench.build import BuildSettings
    from cia_bench.build import build as build_source
    from cia_bench.progress import shown
    from cia_bench.published import build_published
    from cia_bench.sources import SYNTHETIC, load_source, source_name
    from cia_bench.sources.places import annotation_folder

    given = {name: value for name, value in settings.items() if value is not None}
    if annotations is not None and published is not None:
        raise ConfigError("give --annotations or --published, not both")
    for source in sources:
        place = annotations or published
        place = place / source_name(source) if place is not None and len(sources) > 1 else place
        if source == SYNTHETIC:
            _build_synthetic(out, size, place, verdicts, given)
            continue
        if size is not None:
            load_source(source)  # an unknown one is to be told first
            raise ConfigError(f"--size is for --source synthetic, not {source}")
        chosen = BuildSettings(**given)
        if published is not None:
            if verdicts is not None or set(given) - {"balance", "seed", "skip_bad_rows"}:
                raise ConfigError(
                    "of the options of build, --published goes with --source, --out, --balance, --seed and "
                    "--skip-bad-rows; it imports what is in the files"
                )
            record = build_published(source, place, out, chosen)
        else:
            place = place or annotation_folder(source, cache, shown, _tell)
            record = build_source(source, place, out, chosen, verdicts)
        _echo_build(record, out)


def _build_synthetic(out: Path, size: str | None, place: Path | None, verdicts: Path | None, given: dict) -> None:
    from cia_bench.build import build_synthetic
    from cia_bench.progress import shown

    if place is not None or verdicts is not None or set(given) - {"seed"}:
        raise ConfigError("of the options of build, synthetic has --out, --size and --seed; it has no annotation files")
    _echo_build(build_synthetic(out, "small" if size is None else size, given.get("seed", 0), shown), out)


def _tell(line: str) -> None:
    click.echo(printable(line), err=True)


def _echo_build(record: dict, out: Path) -> None:
    """What a build's record says, in a few lines."""
    from cia_bench.build import settings_in_words

    source = record["source"]
    click.echo(f"{source}, {settings_in_words(record)}: {record['groups']} groups, {record['clips']:,} clips")
    if "candidates" in record:
        all_of_them, ready = record["candidates"]["all"], record["candidates"]["ready"]
        click.echo(f"candidates: {all_of_them:,}, of which {ready:,} ready for review")
    if "verdicts" in record:
        counts = {("undecided" if name == "none" else name): count for name, count in record["verdicts"].items()}
        click.echo(f"verdicts on them: {', '.join(f'{count:,} {name}' for name, count in counts.items())}")
    _echo_some("left out", [f"{group['group_id']} ({group['reason']})" for group in record.get("left_out", [])])
    _echo_some("held back", [f"{group['group_id']} ({group['reason']})" for group in record.get("held_back", [])])
    _echo_some("left out, its verdicts conflict", record.get("conflicts", []))
    _echo_some("not applied, its verdict is stale", record.get("stale", []))
    _echo_some("not applied, no such candidate", record.get("unknown", []))
    fate = "left out" if "verdicts" in record else "kept with the first"
    _echo_some(f"under both labels, {fate}", [clip["clip_id"] for clip in record.get("contradictory", [])])
    if record.get("merged_intervals"):
        click.echo(
            f"clip ids with two intervals, kept with the first: {len(record['merged_intervals'])}, in build.json"
        )
    rows = [f"{row['file']} row {row['row']}: {row['reason']}" for row in record.get("skipped_rows", [])]
    if rows:
        click.echo(f"rows left out: {len(rows):,}")
    _echo_some("row left out", rows)
    if "strict_split" in record:
        apart = record["strict_split"]["kept_apart"]
        how = "as published, with no subject and no video in both" if apart == "as published" else f"by {apart}"
        click.echo(f"strict split: {how}, {record['strict_split']['validation_rows']:,} validation rows")
        _echo_some("strict split lacks a label in", record["strict_split"]["groups_without_a_label"])
    click.echo(f"wrote {printable(str(out / source))}, fingerprint {record['fingerprint'][:12]}")


def _echo_some(what: str, items: list[str], most: int = 3) -> None:
    """Print the first items, a line each, and how many more build.json lists."""
    for item in items[:most]:
        click.echo(printable(f"{what}: {item}"))
    if len(items) > most:
        click.echo(f"{what}: {len(items) - most} more, in build.json")


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


@main.command("diff")
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER)
def diff_builds(a: Path, b: Path) -> None:
    """Compare two data folders group by group: A against B."""
    from cia_bench.build import read_data
    from cia_bench.diff import diff

    found = diff(read_data(a), read_data(b))
    for of_source in found:
        for line in of_source.lines(str(a), str(b)):
            click.echo(printable(line))
    same = all(of_source.is_same for of_source in found)
    click.echo("the same groups, clips and labels" if same else "not the same")


@main.command()
@click.option("--source", "sources", multiple=True, help="Count in this source; default: all whose files are here.")
@click.option("--annotations", type=FOLDER, help="Folder of the one source's annotation files; default as for build.")
@click.option("--propose", is_flag=True, help="Show instead what WordNet and prefixes find and the hand list lacks.")
@cache_option
@skip_option
def pairs(sources: tuple[str, ...], annotations: Path | None, propose: bool, cache, skip_bad_rows) -> None:
    """List the verb pairs of the lexicon, and what they find in sources."""
    from cia_bench.pairs import describe_lexicon, describe_pairs, describe_proposals
    from cia_bench.progress import shown
    from cia_bench.sources import SOURCES, read_actions
    from cia_bench.sources.places import annotation_folder, local_folder

    if annotations is not None and len(sources) != 1:
        raise ConfigError("--annotations holds the files of one source; say which with one --source")
    found = {source: annotations or annotation_folder(source, cache, shown, _tell) for source in sources}
    if not sources:
        places = {source: local_folder(source, cache) for source in sorted(SOURCES)}
        found = {source: place for source, place in places.items() if place is not None}
    if not found and propose:
        raise ConfigError("in which source? give --source; no annotation files are in $CIA_ANNOTATIONS or the cache")
    describe = describe_proposals if propose else describe_pairs
    described = [] if propose else [describe_lexicon()]
    for source, place in found.items():
        described.append(describe(source, read_actions(source, place, bool(skip_bad_rows)).frame))
    click.echo("".join(described), nl=False)


@main.command()
@journal_options
@sources_option
@videos_option
@reviewer_option
@click.option(
    "--order",
    default="risk",
    show_default=True,
    help="What comes first: risk, size or random; or disagreement, to settle what reviewers differ on.",
)
@click.option("--clips", type=FILE, help="Review these clips: a clip id a line, or a .csv or .parquet with clip_id.")
def review(data: Path, sources: tuple[str, ...], videos, journal, reviewer, order, clips, skip_bad_rows) -> None:
    """Review candidate groups on a screen: accept, reject, or be unsure."""
    from cia_bench.review.clip_list import read_clip_list
    from cia_bench.review.session import Session

    listed = read_clip_list(clips) if clips is not None else None
    session = Session(data, sources, journal, reviewer, order, listed, skip_bad_rows)
    from cia_bench.review.app import review as show

    show(session, videos)
    done = session.progress()
    click.echo(f"{done.now:,} decisions in this session; {done.decided:,} of {done.total:,} candidates are decided")
    for path in session.journals.values():
        click.echo(printable(f"yours are in {path}"))


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

    report = check_model(model, _weights(weights), device)
    click.echo(str(report))
    if not report.passed:
        raise EncoderError(report.verdict)


@main.command()
@click.option("--model", "models", multiple=True, required=True, help="Like pixels or pixels:concat; may be repeated.")
@data_option
@click.option("--source", "sources", multiple=True, help="Extract only this source; may be repeated.")
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
    videos: Path | None,
    out: Path,
    weights: tuple[str, ...],
    device: str,
    retry_failed: bool,
    shard: str | None,
    **settings,
) -> None:
    """Embed the clips of a build, or each video of a folder; run again to go on."""
    from cia_bench.shares import parse_share

    settings["share"] = parse_share(shard) if shard else None
    by_default = click.get_current_context().get_parameter_source("data") == ParameterSource.DEFAULT
    if videos is not None and by_default and not sources and not data.exists():
        click.echo(f"no build at {data}: each video in {printable(str(videos))} is a clip")
        data = None
    _extract(models, data, sources, videos, out, _weights(weights), device, retry_failed, **settings)


def _extract(
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


def _extract_changed(
    model: str, data, sources, videos, out, weights: dict[str, str], device, retry_failed, only
) -> None:
    """Embed reversed and shuffled frames with a model's video encoders; a frame encoder's sequences are there."""
    from cia_bench.encoders import parse_parts
    from cia_bench.frame_order import REVERSED, SHUFFLED
    from cia_bench.store import embeds_clips

    names = [part.encoder for part in parse_parts(model) if embeds_clips(out, part.encoder)]
    own = {name: place for name, place in weights.items() if name in names}
    for order in (REVERSED, SHUFFLED) if names else ():
        _extract(names, data, sources, videos, out, own, device, retry_failed, only, order=order)


def _check_summaries(model: str, weights: dict[str, str]) -> None:
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


@main.command("eval")
@data_option
@click.option("--source", "sources", multiple=True, help="Score only this source; may be repeated.")
@click.option(
    "--embeddings",
    type=FOLDER,
    help="A store, or one vector a clip: .parquet, .npz, or a folder of <clip id>.npy; default: the store "
    "cia-embeddings, after extracting what it lacks.",
)
@click.option("--model", help="ENCODER[:SUMMARY], like pixels:concat, or parts joined by +; for a file: its name.")
@click.option(
    "--combine",
    default="raw",
    show_default=True,
    help="How to join a model's parts: raw, or l2, each part's vector of each clip made unit length first.",
)
@videos_option
@weights_option
@device_option
@click.option("--protocol", help="paper, as published (default), or strict, to claim with.")
@click.option("--probe", help="ridge (default), logistic, mlp, or attentive, for a frame encoder without a summary.")
@click.option(
    "--controls", is_flag=True, help="Also score with frames reversed, shuffled, averaged, alone, and fewer of them."
)
@click.option("--parameters", type=int, help="Number of parameters of a file's model, for the leaderboard.")
@click.option(
    "--min-coverage",
    type=float,
    help="Share of a source's training rows, and of its validation rows, that must be embedded; default 0.98.",
)
@click.option(
    "--groups",
    multiple=True,
    help="Only groups of this id, or of this source, verb pair or noun, like epic/open-close/bag, open-close or *bag; "
    "several by commas; may be repeated.",
)
@click.option("--max-clips", type=int, help="At most so many clips of each group for training, and for validation.")
@retry_option
@click.option(
    "--report", is_flag=True, help="Also write where the model fails: a page, and a list for cia review --clips."
)
@click.option(
    "--out", type=FOLDER, default=Path("cia-results"), show_default=True, help="Results folder to write into."
)
def evaluate(
    data: Path,
    sources: tuple[str, ...],
    embeddings: Path | None,
    model: str | None,
    combine: str,
    videos: Path | None,
    weights: tuple[str, ...],
    device: str,
    protocol: str | None,
    probe: str | None,
    controls: bool,
    parameters: int | None,
    min_coverage: float | None,
    groups: tuple[str, ...],
    max_clips: int | None,
    retry_failed: bool,
    report: bool,
    out: Path,
) -> None:
    """Score a model: a linear probe on each chiral group."""
    from cia_bench.build import read_data
    from cia_bench.combined import check_combination, name_with
    from cia_bench.embeddings import check_frames
    from cia_bench.evaluation import evaluate as evaluate_embeddings
    from cia_bench.evaluation import load_to_score, part_of
    from cia_bench.protocols import EvaluationSettings
    from cia_bench.results import write_result
    from cia_bench.store import is_store

    given = _weights(weights)
    asked = {"protocol": protocol, "probe": probe, "min_coverage": min_coverage}
    settings = EvaluationSettings(**{name: value for name, value in asked.items() if value is not None})
    if embeddings is None:
        if model is None:
            raise ConfigError("what to score? give --model ENCODER:SUMMARY, like pixels:concat, or --embeddings FILE")
        check_combination(combine)  # this and the next two before hours of extraction
        _check_summaries(model, given)
        if settings.new_probe().takes_frames:
            check_frames(model, combine)
    elif videos is not None:
        raise ConfigError("--videos is to extract embeddings from; with --embeddings they are there already")
    elif retry_failed:
        raise ConfigError("--retry-failed is of extraction; with --embeddings give it to cia extract")
    whole = read_data(data)
    part = part_of(whole, list(sources), groups, max_clips, settings)
    if embeddings is None:
        embeddings, only = Path("cia-embeddings"), part.clips.clip_id if part is not whole else None
        _extract([model], data, sources, videos, embeddings, given, device, retry_failed, only)
        if controls and not settings.new_probe().takes_frames:
            _extract_changed(model, data, sources, videos, embeddings, given, device, retry_failed, only)
    if is_store(embeddings):  # only there may a summary run, which needs torch
        from cia_bench.encoders import choose_device

        device = choose_device(device)
    loaded = load_to_score(embeddings, model, given, device, combine, part, settings)
    name = model and name_with(model, combine)
    how = {"device": device, "controls": controls, "groups": groups, "max_clips": max_clips}
    result = evaluate_embeddings(loaded, whole, name, parameters, sources, settings, **how)
    folder = write_result(result, out)
    click.echo(str(result))
    click.echo(f"wrote {folder}")
    if report:
        from cia_bench.report import write_report

        written, wrong = write_report(result, folder, loaded, part)
        click.echo(printable(f"wrote {written}; to look at what is wrong: cia review --data {data} --clips {wrong}"))


@main.command()
@click.option("--size", default="small", show_default=True, help="tiny, small or medium.")
@click.option("--out", type=FOLDER, default=Path("cia-demo"), show_default=True, help="Folder to leave everything in.")
def demo(size: str, out: Path) -> None:
    """Run the whole way on rendered videos: build, extract, train LiFT, score, rank."""
    from cia_bench.demo import run_demo
    from cia_bench.progress import shown

    click.echo(run_demo(size, out, shown), nl=False)
    click.echo(f"wrote {out}")


results_option = click.option(
    "--results",
    type=FOLDER,
    multiple=True,
    default=[Path("cia-results")],
    show_default="cia-results",
    help="Folder of results, or of one model's; may be repeated.",
)


@main.command()
@results_option
@click.option("--source", "sources", multiple=True, help="Rank on this source alone, or on these; may be repeated.")
@click.option("--protocol", help="Only results of this protocol: paper or strict.")
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
    path = pack_result(folder, out, embeddings, data, _weights(weights), device, note, url)
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
    traced = trace_video(video, model, _weights(weights), choose_device(device))
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
    measured = measure_store(embeddings, model, _weights(weights), choose_device(device))
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


@main.group()
def verdicts() -> None:
    """Say what reviewers decided and how far they agree; take verdicts to a spreadsheet and back."""


@verdicts.command()
@journal_options
@sources_option
@only_option
def status(data: Path, sources: tuple[str, ...], journal: Path | None, reviewer: str | None, skip_bad_rows) -> None:
    """Count what each reviewer said, and what is left to decide."""
    from cia_bench.review.report import status_text

    click.echo(status_text(_reviewed(data, sources, journal, skip_bad_rows), reviewer), nl=False)


@verdicts.command()
@journal_options
@sources_option
@only_option
def agreement(data: Path, sources: tuple[str, ...], journal: Path | None, reviewer: str | None, skip_bad_rows) -> None:
    """Say how far each two reviewers agree, and where they differ."""
    from cia_bench.review.report import agreement_text

    click.echo(agreement_text(_reviewed(data, sources, journal, skip_bad_rows), reviewer), nl=False)


def _reviewed(data: Path, sources: tuple[str, ...], journal: Path | None, skip_bad_rows: bool) -> list:
    from cia_bench.review.reviewed import read_reviewed, reviewed_sources

    chosen = reviewed_sources(data, sources, journal)
    return [read_reviewed(data, source, journal, skip_bad_rows) for source in chosen]


@verdicts.command("export")
@journal_options
@source_option
@reviewer_option
@click.option("--out", type=FILE, required=True, help="CSV file to write; one that holds anything else is kept.")
def export_verdicts(data: Path, source: str | None, journal, reviewer: str | None, out: Path, skip_bad_rows) -> None:
    """Write a spreadsheet to fill in, a row a candidate."""
    from cia_bench.review.journal import reviewer_name
    from cia_bench.review.reviewed import read_reviewed, the_source
    from cia_bench.review.spreadsheet import export_csv

    name = reviewer_name(reviewer)
    reviewed = read_reviewed(data, the_source(data, source), journal, skip_bad_rows)
    count = export_csv(reviewed, name, out)
    click.echo(printable(f"wrote {out}: {count:,} candidates of {reviewed.source}, for {name}"))


@verdicts.command("import")
@click.argument("file", type=FILE)
@journal_options
@source_option
@reviewer_option
def import_verdicts(file: Path, data: Path, source: str | None, journal, reviewer: str | None, skip_bad_rows) -> None:
    """Add what a spreadsheet says to your journal."""
    from cia_bench.review.journal import reviewer_name
    from cia_bench.review.reviewed import read_reviewed, the_source
    from cia_bench.review.spreadsheet import import_csv

    name = reviewer_name(reviewer)
    reviewed = read_reviewed(data, the_source(data, source), journal, skip_bad_rows, may_be_new=True)
    done = import_csv(file, reviewed, name)
    for number in done.unkept[:3]:
        click.echo(f"row {number}: the reason stands beside no verdict and was not kept")
    if len(done.unkept) > 3:
        click.echo(f"{len(done.unkept) - 3} more rows have a reason beside no verdict")
    counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(done.lines.items())) or "nothing new"
    click.echo(printable(f"{name}, {reviewed.journal}: {counts}"))
