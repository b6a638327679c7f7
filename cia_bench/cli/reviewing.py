"""The commands of the review: review, verdicts."""

from pathlib import Path

import click

from cia_bench.cli.group import main
from cia_bench.cli.options import (
    FILE,
    journal_options,
    only_option,
    reviewer_option,
    source_option,
    sources_option,
    videos_option,
)
from cia_bench.errors import printable


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
