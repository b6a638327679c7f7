"""Check a submission: against itself, against the checker's own data, and by fitting its probes again."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from cia_bench.build import Data, read_data
from cia_bench.coverage import coverage_in_words, lowest_share
from cia_bench.embeddings import Embeddings, check_vectors
from cia_bench.errors import CiaError, SubmissionError
from cia_bench.protocols import PROTOCOLS, EvaluationSettings
from cia_bench.results import PREDICTIONS_FILE, RESULT_FILE, Result, percent, predictions_problem, record_problem
from cia_bench.submissions.archive import EMBEDDINGS_FILE, MANIFEST_FILE, digest_of, open_zip
from cia_bench.submissions.compare import compare
from cia_bench.submissions.members import read_arrays, read_manifest, read_object, read_predictions
from cia_bench.submissions.recount import checked_settings, recount
from cia_bench.submissions.refit import fit_again, tolerance_of

ROUNDING = 1e-6  # how far a score or an end of an interval may be from what is counted again
MIN_COVERAGE = 0.98
NAME_LENGTH = 200
MOST_NAMED = 20
NO_CLAIM = (  # checked, or no matter to scores
    *("protocol", "statistics", "min_coverage", "left_out_sources", "subset", "versions"),
    "shared_vectors",  # of each source
)


@dataclass(frozen=True)
class Checked:
    """A submission that holds what it should."""

    result: Result
    verified: bool  # its embeddings, on the checker's data, gave the predictions again
    checked: dict[str, bool]  # whether each kind of check could be made
    claims: list[str]  # the parts of the record that rest on the submitter's word
    manifest: dict
    lines: list[str]  # what was found, in words


def check(
    path: Path, data: Path | None = None, min_coverage: float = MIN_COVERAGE, place: str | None = None
) -> Checked:
    """Check a zip that `pack` wrote, of which nothing is unpacked to disk.

    `data` is a data folder that the checker built; without it, labels and fingerprints stand unchecked and no probe is
    fitted. `place` is what messages call the zip, by default its path.

    Raises SubmissionError that says what is wrong; BuildError or TableError if `data` can't be read; ConfigError if
    `min_coverage` is no share.
    """
    EvaluationSettings(min_coverage=min_coverage)
    place = place or str(path)
    ours = None if data is None else read_data(data)
    with open_zip(Path(path), place) as archive:
        return _check(archive, place, ours, min_coverage)


@contextmanager
def _said_of(place: str) -> Iterator[None]:
    """Whatever is refused within is the submission's fault."""
    try:
        yield
    except CiaError as error:
        raise SubmissionError(f"{place}: {error}") from error


def _check(archive: ZipFile, place: str, data: Data | None, min_coverage: float) -> Checked:
    manifest = _manifest(archive, place)
    record = _record(archive, place)
    predictions = read_predictions(archive, place)
    has_vectors = EMBEDDINGS_FILE in manifest["files"]
    with _said_of(place):
        settings = checked_settings(record, min_coverage)
        problem = predictions_problem(predictions, record)
        if problem:
            raise SubmissionError(f"{PREDICTIONS_FILE} does not fit {RESULT_FILE}: {problem}")
        counted = recount(record, predictions, settings, data)
    if has_vectors:
        embeddings = _embeddings(archive, place, settings)
        origin = {name: embeddings.origin[name] for name in ("sha256", "dtype", "clips")}
        counted |= {"embeddings": origin, "model": {"dim": math.prod(embeddings.vectors.shape[1:])}}
    compared = compare(counted, record, ROUNDING)
    if compared.difference:
        raise SubmissionError(f"{place}: {RESULT_FILE}: {compared.difference}")
    _refuse_low_coverage(place, counted["sources"], min_coverage)
    verified = has_vectors and data is not None
    if verified:
        with _said_of(place):
            fit_again(record, predictions, embeddings, data, settings)
    claims = _shortened([claim for claim in compared.uncounted if claim.rpartition(".")[2] not in NO_CLAIM])
    claims += [] if verified else ["what was learnt from training clips"]
    return Checked(
        result=Result(record, predictions),
        verified=verified,
        checked={"itself": True, "data": data is not None, "probe": verified},
        claims=claims,
        manifest=manifest,
        lines=[
            f"checksums: {', '.join(manifest['files'])} are as {MANIFEST_FILE} says",
            *_lines_of_result(record, len(predictions), settings),
            *(f"{name}: {manifest[name]}" for name in ("note", "url") if manifest[name]),
            _line_of_data(counted["sources"], data),
            _line_of_probe(has_vectors, data, settings.probe),
            f"the submitter's word: {', '.join(claims)}",
        ],
    )


def _manifest(archive: ZipFile, place: str) -> dict:
    """The manifest, whose checksums the other members have."""
    manifest = read_manifest(archive, place)
    others = sorted(set(archive.namelist()) - {MANIFEST_FILE})
    if sorted(manifest["files"]) != others:
        raise SubmissionError(f"{place}: {MANIFEST_FILE} lists other files than are there, {', '.join(others)}")
    for name in others:
        if digest_of(archive, name, place) != manifest["files"][name]:
            raise SubmissionError(f"{place}: {name} is not the file whose checksum {MANIFEST_FILE} has")
    return manifest


def _record(archive: ZipFile, place: str) -> dict:
    record = read_object(archive, RESULT_FILE, place)
    problem = record_problem(record)
    if problem:
        raise SubmissionError(f"{place}: {RESULT_FILE} is no result of cia eval: {problem[:200]}")
    if PROTOCOLS[record["protocol"]["name"]].classes:
        raise SubmissionError(f"{place}: it is of a standard benchmark; submissions are of chiral results")
    if record.get("subset") is not None:
        raise SubmissionError(f"{place}: it was scored on a part of the data; leave out --groups and --max-clips")
    name = record["model"]["name"]
    if not name.strip() or len(name) > NAME_LENGTH:
        raise SubmissionError(f"{place}: the model's name has {len(name):,} characters; 1 to {NAME_LENGTH} are allowed")
    return record


def _embeddings(archive: ZipFile, place: str, settings: EvaluationSettings) -> Embeddings:
    clip_ids, vectors = read_arrays(archive, place)
    with _said_of(place):
        return check_vectors(EMBEDDINGS_FILE, "again", clip_ids, vectors, settings.new_probe().takes_frames)


def _shortened(names: list[str]) -> list[str]:
    """The first names, each cut to a readable length, and how many more there are."""
    more = len(names) - MOST_NAMED
    return [name[:60] for name in names[:MOST_NAMED]] + ([f"{more} more"] if more > 0 else [])


def _refuse_low_coverage(place: str, sources: dict[str, dict], least: float) -> None:
    for source, score in sources.items():
        if lowest_share(score["coverage"]) < least:
            raise SubmissionError(
                f"{place}: {source}: {coverage_in_words(score)}, less than --min-coverage {least}; ask for the missing "
                "clips, or give a lower one"
            )


def _lines_of_result(record: dict, rows: int, settings: EvaluationSettings) -> list[str]:
    model = record["model"]
    what = f"{settings.protocol} protocol, {settings.probe} probe"
    return [
        f"result: {model['name']} ({model['dim']:,} numbers), {what}, mean {percent(record['mean'])}",
        f"scores: accuracies, intervals and constant answers are those of the {rows:,} predictions",
    ]


def _line_of_data(sources: dict[str, dict], data: Data | None) -> str:
    if data is None:
        return "data: not compared; with --data, labels and fingerprints are held against a build of yours"
    counts = [
        f"{source} {score['coverage']['scored_rows']:,} of {score['coverage']['validation_rows']:,} validation clips"
        for source, score in sources.items()
    ]
    return f"data: fingerprint, clips and labels are those of your build: {', '.join(counts)}"


def _line_of_probe(has_vectors: bool, data: Data | None, probe: str) -> str:
    if not has_vectors:
        return "probe: not fitted again, it has no embeddings"
    if data is None:
        return "probe: not fitted again, which needs --data"
    return (
        f"probe: fitted again on its embeddings, gives the same within {tolerance_of(probe):.0e} of a group's largest"
    )
