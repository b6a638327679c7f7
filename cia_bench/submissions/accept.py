"""Put a checked submission among results, with what was found of it."""

from pathlib import Path

from cia_bench.errors import ResultError
from cia_bench.files import folder_name, sha256_of
from cia_bench.results import RESULT_FILE, SUBMISSION_FILE, Result, read_predictions, read_result, write_result
from cia_bench.submissions.check import Checked


def accept(path: Path, checked: Checked, results: Path) -> Path:
    """Put the submission in a zip, with what `check` found of it, into a RESULTS folder; return the model's folder.

    Raises ResultError if another result is there, one's own included; WriteError if it can't be written.
    """
    folder = results / folder_name(checked.result.record["model"]["name"])
    if (folder / RESULT_FILE).exists() and not _is_there(checked.result, folder):
        raise ResultError(f"{folder} holds another result; delete it, or give another --out")
    about = {
        **{name: getattr(checked, name) for name in ("verified", "checked", "claims")},
        **{name: checked.manifest[name] for name in ("note", "url")},
        "sha256": sha256_of(path),
    }
    return write_result(checked.result, results, {SUBMISSION_FILE: about})


def _is_there(result: Result, folder: Path) -> bool:
    record = read_result(folder)
    return record == result.record and read_predictions(folder, record).equals(result.predictions)
