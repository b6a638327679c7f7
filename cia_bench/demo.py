"""The embedded benchmark, end to end: render the synthetic source, extract, train LiFT, score, rank."""

import json
from dataclasses import dataclass
from pathlib import Path

from cia_bench.build import build_synthetic
from cia_bench.embeddings import load_model
from cia_bench.encoders import load_trainer
from cia_bench.evaluation import evaluate
from cia_bench.extract import extract
from cia_bench.files import whole_files
from cia_bench.leaderboard.export import export, write_board
from cia_bench.leaderboard.table import rank, read_results
from cia_bench.progress import Progress, silent
from cia_bench.results import write_result
from cia_bench.store import read_training

RANDOM_DINOV2 = "dinov2-random"  # never under the name of the trained model
LIFT_EPOCHS = 60  # few, for a demo to be quick


@dataclass(frozen=True)
class DemoModel:
    """An encoder of the demo and the summaries it is scored with."""

    name: str  # in the leaderboard
    encoder: str
    summaries: tuple[str, ...]


MODELS = (
    DemoModel("pixels", "pixels", ("mean", "concat", "lift", "random-frame", "first-frame", "last-frame")),
    DemoModel(RANDOM_DINOV2, "dinov2-small-reg", ("mean", "concat", "lift")),
)


def run_demo(size: str, out: Path, progress: Progress = silent, seed: int = 0) -> str:
    """Run the whole way on rendered videos of `size`, leave all in `out`, and return the leaderboard as text.

    A second run keeps what is there. Raises ConfigError for an unknown size, BuildError if `out` holds a demo of
    another size or seed, and what the stages raise.
    """
    data, store, results = out / "cia-data", out / "cia-embeddings", out / "cia-results"
    build_synthetic(data, size, seed, progress)
    random_weights = out / RANDOM_DINOV2
    if not (random_weights / "config.json").exists():
        save_random_dinov2(random_weights)
    encoders = [model.encoder for model in MODELS]
    extract(encoders, data, store, weights={"dinov2-small-reg": str(random_weights)}, progress=progress)
    for model in MODELS:
        checkpoint = out / f"lift-{model.name}"
        training = read_training(store, model.encoder)
        load_trainer("lift")(training, checkpoint, progress=progress, epochs=LIFT_EPOCHS)
        for summary in model.summaries:
            weights = {"lift": str(checkpoint)} if summary == "lift" else {}
            embeddings = load_model(store, f"{model.encoder}:{summary}", weights)
            write_result(evaluate(embeddings, data, f"{model.name}:{summary}"), results)
    rankings = rank(read_results([results]))
    for form in ("md", "csv"):
        write_board(rankings, form, out / f"leaderboard.{form}")
    return export(rankings, "table")


def save_random_dinov2(folder: Path, seed: int = 0) -> None:
    """Save a small DINOv2 with registers and random weights, in the layout of its hub page.

    Weights are drawn wider than for training, so that the CLS vector depends on what the picture shows and where.
    """
    import torch
    from safetensors.torch import save
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    config = Dinov2WithRegistersConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=56, patch_size=14, num_register_tokens=4
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        model = Dinov2WithRegistersModel(config)
    with torch.no_grad():
        for name, tensor in sorted(model.named_parameters()):
            if tensor.ndim > 1:
                spread = 1.0 if "embeddings" in name and "projection" not in name else tensor[0].numel() ** -0.5
                tensor.copy_(spread * torch.randn(tensor.shape, generator=generator))
    preprocessing = {
        "size": {"shortest_edge": 64},
        "crop_size": {"height": 56, "width": 56},
        "resample": 3,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    with whole_files(folder, seal="config.json") as scratch:
        config.architectures = [type(model).__name__]
        config.save_pretrained(scratch)
        (scratch / "model.safetensors").write_bytes(save(model.state_dict(), metadata={"format": "pt"}))
        (scratch / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")
