"""Score embeddings on chiral groups: embeddings + clips -> result."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.build import Data, read_data, versions
from cia_bench.combined import RAW, check_combination, name_with
from cia_bench.contamination import count_contamination
from cia_bench.controls.scores import score_controls
from cia_bench.coverage import count_coverage, refuse_low_coverage
from cia_bench.embedding_checks import ZEROS, refuse_one_vector, refuse_other_clips, shared_vectors, without_zeros
from cia_bench.embeddings import Embeddings, load_embeddings, load_model
from cia_bench.encoders import choose_device
from cia_bench.errors import BuildError, ConfigError, EmbeddingError, some
from cia_bench.group_probes import score_groups
from cia_bench.protocols import DRAWN, EvaluationSettings
from cia_bench.results import Result
from cia_bench.scoring import group_rows, mean_over_sources, score_source
from cia_bench.splits import joined
from cia_bench.store import is_store
from cia_bench.subsets import subset
from cia_bench.tables import PREDICTIONS, SPLITS
from cia_bench.tasks.task import Task


def evaluate(
    embeddings: Path | str | pd.DataFrame | tuple | Embeddings,
    data: Path | str | Data,
    model: str | None = None,
    parameters: int | None = None,
    sources: Iterable[str] = (),
    settings: EvaluationSettings | None = None,
    weights: Mapping[str, str] | None = None,
    device: str = "cpu",
    combine: str = RAW,
    controls: bool = False,
    *,
    groups: Iterable[str] = (),
    max_clips: int | None = None,
) -> Result:
    """Fit a probe on each group's training clips and score its validation clips (arXiv 2509.08502, linear probe).

    `embeddings` is a store, a file (see load_embeddings), a frame with columns clip_id and embedding, one vector a
    clip, a pair of clip ids and an array of their vectors, or what load_model returns. `data` is a data folder or what
    `read_data` returns. `model` says which model of a store, with the `weights` of its summary, and `combine` how its
    parts are joined (see load_model); otherwise it names the model, by default after the file. The summary runs on
    `device`; if that is CUDA's, ridge is solved there too, with the same answers. `parameters` is the model's number of
    parameters. Without `sources`, all built sources that have any embedding are scored, the others are listed in the
    record. With `groups` or `max_clips` only a part of them is (see subsets.subset). Clips that failed to embed in a
    store, or whose vector is all zeros, are left out, which the record's coverage tells by source and group; a source
    that lacks more than settings.min_coverage allows is refused. With `controls` the record tells how the model scores
    once time is changed (see cia_bench.controls).

    Raises EmbeddingError if embeddings are unreadable, not finite, all the same, of clips that are not in `data` or
    stand there twice, lacking for some clip of a scored source, or if too many of a source's clips failed; BuildError
    if the data is damaged or a group lacks a label; ProbeError if the numbers are too large to fit.
    """
    settings = settings or EvaluationSettings()
    if settings.rules.classes:
        raise ConfigError(f"protocol {settings.protocol} is for standard benchmarks; chiral groups: paper or strict")
    probe = settings.new_probe(choose_device(device) if device.startswith("cuda") else None)
    whole = data if isinstance(data, Data) else read_data(data)
    everything = part_of(whole, list(sources), groups, max_clips, settings)
    loaded = without_zeros(load_to_score(embeddings, model, weights or {}, device, combine, everything, settings))
    about_model = describe_model(loaded, None if model is None else name_with(model, combine), parameters)
    refuse_other_clips(loaded, whole.clips)
    scored = _choose_sources(loaded, everything, list(sources))
    clips = _scored_clips(everything, scored, loaded, settings)
    left_out = [] if settings.rules.split == "split" else without_a_label(clips)
    clips = clips[~clips.group_id.isin(left_out)]
    coverage = {source: count_coverage(group) for source, group in clips.groupby("source")}
    zeros = sum(reason == ZEROS for reason in loaded.failures.values())
    for source in scored:
        if source not in coverage:
            raise BuildError(f"{settings.rules.split} leaves no group of {source} with both labels on both sides")
        refuse_low_coverage(loaded.place, source, coverage[source], settings.min_coverage, zeros)
        refuse_one_vector(loaded, source, clips[clips.source == source])
    shared = shared_vectors(loaded)
    scored_groups = score_groups(clips, loaded, probe, settings)
    names = scored_groups[0].answers
    answers = {name: np.concatenate([group.answers[name] for group in scored_groups]) for name in names}
    predictions = clips[clips.embedded & (clips.split == SPLITS[1])].reset_index(drop=True).assign(**answers)
    parts = {source: score_source(source, predictions[predictions.source == source], settings) for source in scored}
    record = {
        "model": about_model,
        "embeddings": loaded.origin,
        "protocol": settings.describe_protocol(),
        "statistics": {name: getattr(settings, name) for name in DRAWN},
        "min_coverage": settings.min_coverage,
        "subset": everything.subset,  # see subsets.subset; None: all that was built
        "sources": {
            source: {
                "fingerprint": everything.fingerprint(source),
                **part.record,
                "coverage": coverage[source],
                "shared_vectors": count_shared(clips[clips.source == source], shared),
            }
            for source, part in parts.items()
        },
        "contamination": count_contamination(clips, loaded.origin.get("saw"), loaded.saw),
        "left_out_sources": [source for source in everything.source_names() if source not in scored],
        "left_out_groups": left_out,
        "mean": mean_over_sources(list(parts.values()), settings.level),
        "groups": group_rows(
            predictions,
            {group_id: count_coverage(group) for group_id, group in clips.groupby("group_id")},
            {group.group_id: group.test for group in scored_groups},
            settings.level,
        ),
        "versions": versions(),
    }
    if controls:
        record["controls"], by_group = score_controls(loaded, clips, predictions, settings)
        record["groups"] = [row | by_group.get(row["group_id"], {}) for row in record["groups"]]
    return Result(record, predictions[PREDICTIONS.schema.names])


def part_of(
    data: Data, sources: list[str], groups: Iterable[str], max_clips: int | None, settings: EvaluationSettings
) -> Data:
    """What is to be scored of the data, as evaluate is asked; raises ConfigError for an unknown source or group."""
    unknown = [source for source in sources if source not in data.source_names()]
    if unknown:
        raise ConfigError(f"no source {unknown[0]!r} in the data; choose from {', '.join(data.source_names())}")
    groups = [groups] if isinstance(groups, str) else list(groups)
    if not groups and max_clips is None:
        return data
    asked = Data(*(frame[frame.source.isin(sources)] for frame in (data.groups, data.clips)), data.subset)
    return subset(asked if sources else data, groups, max_clips, settings.seed, settings.rules.split)


def describe_model(loaded: Embeddings, name: str | None, parameters: int | None) -> dict:
    """What a result's record says of the model whose embeddings are scored; raises ConfigError for what can't be."""
    name = loaded.origin["name"] if name is None else name
    parameters = loaded.parameters if parameters is None else parameters
    if not name.strip():
        raise ConfigError("the model's name is empty; give it one")
    if parameters is not None and parameters < 0:
        raise ConfigError(f"the model's number of parameters is {parameters}; it can't be negative")
    return {
        "name": name,
        "parameters": parameters,
        "dim": int(np.prod(loaded.vectors.shape[1:])),
        "saw": loaded.origin.get("saw"),  # see encoders.Card; None: not known
    }


def count_shared(clips: pd.DataFrame, shared: pd.Index) -> dict:
    """How many of a source's clips are among those that share their vector, and one of them."""
    ids = clips.clip_id[clips.embedded & clips.clip_id.isin(shared)].unique()
    return {"clips": len(ids), "example": ids[0] if len(ids) else None}


def load_to_score(
    embeddings,
    model: str | None,
    weights: Mapping[str, str],
    device: str,
    combine: str,
    data: Data | Task,
    settings: EvaluationSettings,
) -> Embeddings:
    """The embeddings that `evaluate` scores when it gets the same arguments, or tasks.evaluation of a task."""
    check_combination(combine)
    ready = isinstance(embeddings, Embeddings | pd.DataFrame | tuple)
    if not ready and is_store(Path(embeddings)):
        clip_ids = data.clips.clip_id.unique()
        return load_model(embeddings, model, weights, clip_ids, device, combine, settings.new_probe().takes_frames)
    if combine != RAW:
        raise ConfigError(f"combine {combine} is for the models of a store; embeddings of a file are what they are")
    if isinstance(embeddings, Embeddings):
        return embeddings
    if weights:
        raise ConfigError("weights are for the models of a store; the embeddings of a file are what they are")
    return load_embeddings(embeddings)


def _choose_sources(embeddings: Embeddings, data: Data, asked: list[str]) -> list[str]:
    """The sources to score; raises EmbeddingError unless each of their clips has an embedding or is known to fail."""
    clips = {source: data.clips.clip_id[data.clips.source == source] for source in asked or data.source_names()}
    tried = {source: bool(refuse_untried(embeddings, source, ids, bool(asked))) for source, ids in clips.items()}
    return sorted(source for source, any_tried in tried.items() if any_tried)


def refuse_untried(embeddings: Embeddings, source: str, clip_ids: pd.Series, asked: bool = True) -> int:
    """How many of a source's clips have an embedding or are known to fail.

    Raises EmbeddingError unless all do; or, if the source was not asked for, none.
    """
    tried = {*embeddings.clip_ids, *embeddings.failures}  # a set: pandas takes long to ask text of its own type
    clips = list(dict.fromkeys(clip_ids.to_numpy(object)))
    untried = [clip_id for clip_id in clips if clip_id not in tried]
    if untried and (asked or len(untried) < len(clips)):
        raise EmbeddingError(f"{embeddings.place} lacks {some(untried)} of the {len(clips)} clips of {source}")
    return len(clips) - len(untried)


def _scored_clips(data: Data, sources: list[str], embeddings: Embeddings, settings: EvaluationSettings) -> pd.DataFrame:
    """The rows of the sources' clips, ordered by key, with what scoring needs to know of each.

    `split` is the protocol's; `row` is where the embedding is, -1 if it failed, and `embedded` says which; `unit`
    numbers the clips that chains of common subjects and videos join.
    """
    columns = ["group_id", "clip_id", "source", "label", settings.rules.split, "subject", "video"]
    parts = []
    for source in sources:
        clips = data.of(source).clips[columns].rename(columns={settings.rules.split: "split"})
        parts.append(clips.assign(unit=joined(clips)))
    clips = pd.concat(parts).sort_values(["group_id", "clip_id"], ignore_index=True)
    row = embeddings.clip_ids.get_indexer(clips.clip_id)
    return clips.assign(row=row, embedded=row >= 0)


def without_a_label(clips: pd.DataFrame) -> list[str]:
    """The groups that a drawn split leaves without clips of a label on a side, whoever embeds them."""
    cells = clips.groupby(["group_id", "split", "label"]).size().groupby("group_id").size()
    return sorted(cells.index[cells < len(SPLITS) * 2])
