"""Options that several commands have."""

from pathlib import Path

import click

from cia_bench.errors import ConfigError

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
task_option = click.option(
    "--task",
    help="A standard benchmark in place of chiral groups: kinetics400, ucf101, hmdb51, ssv2, folder, with a folder a "
    "class, or synthetic.",
)
splits_option = click.option("--splits", type=FOLDER, help="Folder with the owner's split files of --task.")
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

results_option = click.option(
    "--results",
    type=FOLDER,
    multiple=True,
    default=[Path("cia-results")],
    show_default="cia-results",
    help="Folder of results, or of one model's; may be repeated.",
)


def weights_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """The pairs M=DIR by M."""
    for pair in pairs:
        if not all(pair.partition("=")):
            raise ConfigError(f"--weights {pair!r} is not like lift=DIR")
    return {name: place for name, _, place in (pair.partition("=") for pair in pairs)}
