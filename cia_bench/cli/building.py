"""The commands that build data and look at it: build, verify, diff, pairs."""

from pathlib import Path

import click

from cia_bench.cli.group import main
from cia_bench.cli.options import FILE, FOLDER, cache_option, data_option, skip_option
from cia_bench.errors import BuildError, ConfigError, printable


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
