"""The group `cia` that all commands belong to."""

import logging

import click

from cia_bench import __version__
from cia_bench.errors import CiaError, printable


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


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="cia")
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what is being done.")
def main(verbose: bool) -> None:
    """Chirality in Action: build the data set, score video embeddings on it, rank the results."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableLines("%(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
