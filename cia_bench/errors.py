"""The errors that are the user's to mend: one tree, each message one printable line."""

from collections.abc import Sequence


def printable(text: str) -> str:
    """Return `text` with each control or invisible character written as its escape, safe on a terminal line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def some(items: Sequence) -> str:
    """The first of `items` and how many more there are, to name them in one line."""
    return f"{items[0]!r}" + (f" and {len(items) - 1} more" if len(items) > 1 else "")


class CiaError(Exception):
    """Something the user can mend; the command line prints it as one line and exits with code 1."""

    def __init__(self, message: str):
        super().__init__(printable(message))


class ConfigError(CiaError):
    """A setting, a name or a folder that was asked for does not exist or makes no sense."""


class AnnotationError(CiaError):
    """A source owner's annotation file is missing or not in its documented layout."""


class DownloadError(CiaError):
    """An owner's file can't be downloaded, or is not the one it should be."""


class TableError(CiaError):
    """One of our own tables is missing, or its columns or rows are not as its schema says."""


class JournalError(CiaError):
    """A journal of verdicts can't be read, or has a line that is no verdict."""


class SpreadsheetError(CiaError):
    """A spreadsheet of verdicts can't be read, or says what can't be."""


class BuildError(CiaError):
    """A data folder can't be built, or does not hold the build it should."""


class DecodeError(CiaError):
    """A video file can't be decoded, or not where a clip says."""


class WorkerError(CiaError):
    """A worker process can't be started, or dies whenever it is."""


class EncoderError(CiaError):
    """An encoder or a summary can't be found or loaded, or returns what it should not."""


class EmbeddingError(CiaError):
    """Embeddings can't be read, or do not fit the clips they should score."""


class TrainingError(CiaError):
    """A model can't be trained on the sequences it was given, or its loss is no longer finite."""


class ProbeError(CiaError):
    """A probe can't be fitted to the clips it was given."""


class ResultError(CiaError):
    """A result can't be read, or can't stand beside the others."""


class SubmissionError(CiaError):
    """A submission can't be packed, is not what it should be, or claims what its own parts contradict."""


class WriteError(CiaError):
    """A file could not be written; nothing was left half-written."""
