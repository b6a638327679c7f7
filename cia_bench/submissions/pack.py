"""Pack a result for others: its folder, and the vectors that were scored if they shall be able to score them again."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from cia_bench.build import read_data
from cia_bench.combined import RAW
from cia_bench.embeddings import Embeddings, load_embeddings, load_model
from cia_bench.errors import SubmissionError
from cia_bench.files import sha256_of, whole_files
from cia_bench.protocols import PROTOCOLS, settings_of
from cia_bench.results import PREDICTIONS_FILE, RESULT_FILE, read_predictions, read_result
from cia_bench.store import is_store
from cia_bench.submissions.archive import EMBEDDINGS_FILE, MANIFEST_FILE, write_zip
from cia_bench.submissions.check import check
from cia_bench.submissions.members import FORMAT, note_problem, write_arrays


def pack(
    folder: Path,
    out: Path | None = None,
    embeddings: Path | None = None,
    data: Path | None = None,
    weights: Mapping[str, str] | None = None,
    device: str = "cpu",
    note: str = "",
    url: str = "",
) -> Path:
    """Write the result in a model's `folder` as a zip, by default beside it, and return its path.

    `embeddings` is the store or the file that was scored. Of a store, the vectors of the clips in `data` are taken, as
    `weights` of its summary and `device` make them (see load_model).

    Raises SubmissionError for a standard benchmark's result, if they are not those that were scored, or if the result
    would not pass its check; what reading the result or the embeddings raises; WriteError if it can't be written.
    """
    record = read_result(folder)
    if PROTOCOLS[record["protocol"]["name"]].classes:
        raise SubmissionError(f"{folder} is a result on a standard benchmark; submissions are of chiral results")
    read_predictions(folder, record)
    problem = note_problem(note, url)
    if problem:
        raise SubmissionError(problem)
    folder = Path(folder) if Path(folder).name not in ("", "..") else Path(folder).resolve()  # to have a name
    out = folder.with_name(f"{folder.name}.zip") if out is None else Path(out)
    if out.suffix != ".zip":
        raise SubmissionError(f"{out} does not end in .zip, which a submission is")
    scored = None if embeddings is None else _scored(record, Path(embeddings), data, weights or {}, device)
    with whole_files(out.parent, seal=out.name) as scratch:
        parts = scratch / "parts"
        parts.mkdir()
        files = {name: folder / name for name in (PREDICTIONS_FILE, RESULT_FILE)}
        if scored is not None:
            files[EMBEDDINGS_FILE] = parts / EMBEDDINGS_FILE
            write_arrays(files[EMBEDDINGS_FILE], scored.clip_ids.to_numpy(dtype=object), scored.vectors, parts)
        digests = {name: sha256_of(file) for name, file in sorted(files.items())}
        manifest = {"format": FORMAT, "files": digests, "note": note, "url": url}
        files[MANIFEST_FILE] = parts / MANIFEST_FILE
        files[MANIFEST_FILE].write_text(json.dumps(manifest, indent=2) + "\n", encoding="ascii")
        write_zip(scratch / out.name, files)
        shutil.rmtree(parts)
        check(scratch / out.name, min_coverage=0, place=str(out))  # nothing is sent that its receiver can't read
    return out


def _scored(record: dict, embeddings: Path, data: Path | None, weights: Mapping[str, str], device: str) -> Embeddings:
    """The embeddings that the record is of; raises SubmissionError if these are others."""
    origin = record["embeddings"]
    if is_store(embeddings):
        if data is None:
            raise SubmissionError(f"{embeddings} is a store; give the data whose clips were scored, too")
        parts = origin.get("parts", [origin])
        model, combine = "+".join(part["name"] for part in parts), origin.get("combine", RAW)
        probe = settings_of(record).new_probe()
        clip_ids = read_data(data).clips.clip_id.unique()
        loaded = load_model(embeddings, model, weights, clip_ids, device, combine, probe.takes_frames)
    else:
        loaded = load_embeddings(embeddings)
    if loaded.origin["sha256"] != origin.get("sha256"):
        raise SubmissionError(
            f"{loaded.place} holds other vectors than {record['model']['name']!r} was scored on; give what cia eval "
            "was given, with the same --data and --weights"
        )
    return loaded
