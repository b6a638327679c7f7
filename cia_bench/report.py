"""Write where a model fails beside its result: a page, and a list of clips for `cia review --clips`."""

import csv
import io
from pathlib import Path

import pandas as pd

from cia_bench.build import Data
from cia_bench.diagnosis import wrong_clips
from cia_bench.embeddings import Embeddings
from cia_bench.errors import ResultError
from cia_bench.files import whole_files
from cia_bench.learning_curve import learning_curve
from cia_bench.result_page import report_page
from cia_bench.results import Result, fingerprints
from cia_bench.review.spreadsheet import to_cell

REPORT_FILE = "report.html"
WRONG_FILE = "wrong_clips.csv"


def write_report(
    result: Result, folder: Path, embeddings: Path | str | pd.DataFrame | Embeddings, data: Data
) -> tuple[Path, Path]:
    """Write report.html and wrong_clips.csv into a result's folder, over older ones; return their paths.

    `embeddings` are those that `result` was scored with, for the learning curve, which fits the probes again. Raises
    ResultError if the result stands on other data, WriteError from the disk, and what learning_curve raises.
    """
    for source, fingerprint in fingerprints(result.record).items():
        if source not in data.source_names() or data.fingerprint(source) != fingerprint:
            raise ResultError(
                f"the result stands on other data of {source}; score {result.record['model']['name']!r} again"
            )
    wrong = wrong_clips(result.predictions, data)
    content = report_page(result, data, learning_curve(result, embeddings, data), wrong)
    with whole_files(folder, seal=REPORT_FILE) as scratch:
        (scratch / REPORT_FILE).write_text(content, encoding="utf-8")
        (scratch / WRONG_FILE).write_text(wrong_as_csv(wrong), encoding="utf-8")
    return folder / REPORT_FILE, folder / WRONG_FILE


def wrong_as_csv(wrong: pd.DataFrame) -> str:
    """What wrong_clips gave as CSV for `cia review --clips`; no spreadsheet takes a cell for a formula."""
    text = io.StringIO(newline="")
    rows = [[to_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in wrong.itertuples(index=False)]
    csv.writer(text, lineterminator="\n").writerows([wrong.columns, *rows])
    return text.getvalue()
