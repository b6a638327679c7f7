"""The commands that score: eval, demo."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cia_bench.cli.embedding import benchmark_of, check_summaries, extract_and_say, extract_changed
from cia_bench.cli.group import main
from cia_bench.cli.options import (
    FOLDER,
    data_option,
    device_option,
    retry_option,
    splits_option,
    task_option,
    videos_option,
    weights_of,
    weights_option,
)
from cia_bench.errors import ConfigError, printable

if TYPE_CHECKING:
    from cia_bench.build import Data
    from cia_bench.protocols import EvaluationSettings
    from cia_bench.results import Result
    from cia_bench.tasks import Task


@main.command("eval")
@data_option
@click.option("--source", "sources", multiple=True, help="Score only this source; may be repeated.")
@task_option
@splits_option
@click.option(
    "--embeddings",
    type=FOLDER,
    help="A store, or one vector a clip: .parquet, .npz, or a folder of <clip id>.npy; default: the store "
    "cia-embeddings, after extracting what it lacks.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="ENCODER[:SUMMARY], like pixels:concat, or parts joined by +; for a file: its name; may be repeated.",
)
@click.option("--join", help="Score this model too, and each other one joined with it, to see what it adds.")
@click.option(
    "--combine",
    default="raw",
    show_default=True,
    help="How to join a model's parts: raw, or l2, each part's vector of each clip made unit length first.",
)
@videos_option
@weights_option
@device_option
@click.option("--protocol", help="paper, as published (default), or strict, to claim with.")
@click.option(
    "--probe",
    help="ridge (default), logistic or mlp; with --task softmax (default) or mlp; or attentive, for a frame encoder "
    "without a summary.",
)
@click.option(
    "--controls", is_flag=True, help="Also score with frames reversed, shuffled, averaged, alone, and fewer of them."
)
@click.option("--parameters", type=int, help="Number of parameters of a file's model, for the leaderboard.")
@click.option(
    "--min-coverage",
    type=float,
    help="Share of a source's training rows, and of its validation rows, that must be embedded; default 0.98.",
)
@click.option(
    "--groups",
    multiple=True,
    help="Only groups of this id, or of this source, verb pair or noun, like epic/open-close/bag, open-close or *bag; "
    "several by commas; may be repeated.",
)
@click.option("--max-clips", type=int, help="At most so many clips of each group for training, and for validation.")
@retry_option
@click.option(
    "--report", is_flag=True, help="Also write where the model fails: a page, and a list for cia review --clips."
)
@click.option(
    "--out", type=FOLDER, default=Path("cia-results"), show_default=True, help="Results folder to write into."
)
def evaluate(
    data: Path,
    sources: tuple[str, ...],
    task: str | None,
    splits: Path | None,
    embeddings: Path | None,
    models: tuple[str, ...],
    join: str | None,
    combine: str,
    videos: Path | None,
    weights: tuple[str, ...],
    device: str,
    protocol: str | None,
    probe: str | None,
    controls: bool,
    parameters: int | None,
    min_coverage: float | None,
    groups: tuple[str, ...],
    max_clips: int | None,
    retry_failed: bool,
    report: bool,
    out: Path,
) -> None:
    """Score models: a linear probe on each chiral group, or on the classes of a standard benchmark."""
    from cia_bench.build import read_data
    from cia_bench.evaluation import part_of
    from cia_bench.store import is_store

    given, models = weights_of(weights), with_joined(models, join)
    of_groups = {"source": sources, "protocol": protocol, "controls": controls, "groups": groups}
    of_groups |= {"max_clips": max_clips, "report": report}
    benchmark = benchmark_of(task, splits, videos, data, embeddings is not None, **of_groups)
    settings = _settings(benchmark is not None, protocol, probe, min_coverage)
    if embeddings is None:
        _check_models(models, combine, given, settings)  # before hours of extraction
    elif videos is not None and not benchmark:
        raise ConfigError("--videos is to extract embeddings from; with --embeddings they are there already")
    elif retry_failed:
        raise ConfigError("--retry-failed is of extraction; with --embeddings give it to cia extract")
    elif len(models) > 1:
        if not is_store(embeddings):
            raise ConfigError(f"{embeddings} holds one model's vectors; several models, and --join, are for a store")
        _check_weights(models, given)
    whole = benchmark or read_data(data)
    part = benchmark or part_of(whole, list(sources), groups, max_clips, settings)
    if embeddings is None:
        embeddings, only = Path("cia-embeddings"), None if part is whole else part.clips.clip_id
        where = (benchmark or data, sources, videos, embeddings, given, device, retry_failed, only)
        extract_and_say(models, *where)
        if controls and not settings.new_probe().takes_frames:
            for model in models:
                extract_changed(model, *where)
    if benchmark or is_store(embeddings):  # only there a probe, or a summary, may need torch
        from cia_bench.encoders import choose_device

        device = choose_device(device)
    folders = []
    for model in models or (None,):
        own = _own_weights(model, given) if len(models) > 1 else given
        how = _Scoring(embeddings, model, parameters, settings, own, device, combine, out)
        if benchmark:
            folders.append(how.score_task(benchmark))
        else:
            chosen = {"sources": sources, "controls": controls, "groups": groups, "max_clips": max_clips}
            folders.append(how.score_groups(whole, part, chosen, data if report else None))
    if len(folders) > 1:
        _echo_compared(folders, models, join, combine)


def with_joined(models: tuple[str, ...], join: str | None) -> tuple[str, ...]:
    """The models to score, each once: with --join that one first, and after each other its combination with it.

    Raises ConfigError if there is no other.
    """
    models = tuple(dict.fromkeys(models))
    if join is None:
        return models
    bases = [model for model in models if model != join]
    if not bases:
        raise ConfigError(f"--join {join} joins other models with it; give them with --model")
    return (join, *dict.fromkeys(name for model in bases for name in (model, f"{model}+{join}")))


def _check_weights(models: tuple[str, ...], weights: dict[str, str]) -> None:
    from cia_bench.encoders import check_models, parse_parts

    check_models([part for model in models for part in parse_parts(model)], weights)


def _own_weights(model: str, weights: dict[str, str]) -> dict[str, str]:
    """What --weights gives one of several models."""
    from cia_bench.encoders import parse_parts, weights_for

    return weights_for(parse_parts(model), weights)


def _settings(of_classes: bool, protocol: str | None, probe: str | None, min_coverage: float | None):
    from cia_bench.protocols import PROTOCOLS, EvaluationSettings

    asked = {"protocol": protocol, "probe": probe, "min_coverage": min_coverage}
    if of_classes:
        asked |= {"protocol": "standard", "probe": probe or "softmax"}
    of_groups = [name for name, rules in PROTOCOLS.items() if not rules.classes]
    if not of_classes and protocol not in (None, *of_groups):
        raise ConfigError(f"unknown protocol {protocol!r}; choose from {', '.join(sorted(of_groups))}")
    return EvaluationSettings(**{name: value for name, value in asked.items() if value is not None})


def _check_models(models: tuple[str, ...], combine: str, weights: dict[str, str], settings) -> None:
    from cia_bench.combined import check_combination
    from cia_bench.embeddings import check_frames

    if not models:
        raise ConfigError("what to score? give --model ENCODER:SUMMARY, like pixels:concat, or --embeddings FILE")
    check_combination(combine)
    for model in models:
        check_summaries(model, weights)
        if settings.new_probe().takes_frames:
            check_frames(model, combine)


@dataclass(frozen=True)
class _Scoring:
    """How one model is scored: the arguments of evaluation.evaluate and tasks.evaluation.evaluate_task."""

    embeddings: Path
    model: str | None
    parameters: int | None
    settings: "EvaluationSettings"
    weights: dict[str, str]
    device: str
    combine: str
    out: Path

    def score_groups(self, whole: "Data", part: "Data", chosen: dict, data: Path | None) -> Path:
        """Score it on the chiral groups that are chosen, with a report if `data` is where they lie; return its folder.

        `part` is what is chosen of the whole.
        """
        from cia_bench.combined import name_with
        from cia_bench.evaluation import evaluate as evaluate_embeddings
        from cia_bench.evaluation import load_to_score

        how = (self.model, self.weights, self.device, self.combine)
        loaded = load_to_score(self.embeddings, *how, part, self.settings)
        name = self.model and name_with(self.model, self.combine)
        how = {"parameters": self.parameters, "settings": self.settings, "device": self.device}
        result = evaluate_embeddings(loaded, whole, name, **how, **chosen)
        folder = self._write(result, self.out)
        if data is not None:
            from cia_bench.report import write_report

            page, wrong = write_report(result, folder, loaded, part)
            click.echo(printable(f"wrote {page}; to look at what is wrong: cia review --data {data} --clips {wrong}"))
        return folder

    def score_task(self, task: "Task") -> Path:
        """Score it on a standard benchmark; return its folder."""
        from cia_bench.files import folder_name
        from cia_bench.progress import shown
        from cia_bench.tasks.evaluation import evaluate_task

        how = (self.model, self.parameters, self.settings, self.weights, self.device, self.combine)
        result = evaluate_task(self.embeddings, task, *how, progress=shown)
        return self._write(result, self.out / folder_name(task.name))

    def _write(self, result: "Result", results: Path) -> Path:
        from cia_bench.results import write_result

        folder = write_result(result, results)
        click.echo(str(result))
        click.echo(f"wrote {folder}")
        return folder


def _echo_compared(folders: list[Path], models: tuple[str, ...], join: str | None, combine: str) -> None:
    """The table of the results in these folders, and what --join added to each model."""
    from cia_bench.combined import name_with
    from cia_bench.leaderboard.arranging import with_published
    from cia_bench.leaderboard.export import export
    from cia_bench.leaderboard.table import rank, read_results

    pairs = [
        (name_with(f"{model}+{join}", combine), name_with(model, combine))
        for model in models
        if f"{model}+{join}" in models
    ]
    click.echo(export(with_published(rank(read_results(folders), compare=pairs)), "table"), nl=False)


@main.command()
@click.option("--size", default="small", show_default=True, help="tiny, small or medium.")
@click.option("--out", type=FOLDER, default=Path("cia-demo"), show_default=True, help="Folder to leave everything in.")
def demo(size: str, out: Path) -> None:
    """Run the whole way on rendered videos: build, extract, train LiFT, score, rank."""
    from cia_bench.demo import run_demo
    from cia_bench.progress import shown

    click.echo(run_demo(size, out, shown), nl=False)
    click.echo(f"wrote {out}")
