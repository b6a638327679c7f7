"""Time LiFT's training and embedding beside the same architecture in plain torch.nn, or on a GPU their speed alone.

    python benchmarks/lift.py          # on a CPU: steps and embedding in turn with the plain ones, ratios
    python benchmarks/lift.py cuda     # on a GPU: a minute of `cia train lift` on 240,000 made-up videos, and embedding

The published model (8,728,320 parameters) on sequences of 16 frames of 384 features, of random numbers: no video and no
released weight is needed, and nothing is said of quality. The plain one is nn.TransformerEncoder, eager, in batches of
128 with torch's default Adam. FLOP are those of the plain architecture's matrix products as torch counts them (a video
and pass: forward once, training three times), whoever computes fewer.
"""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cia_bench.baselines.lift import LiFT, LiFTConfig
from cia_bench.baselines.lift.checkpoint import FILE_NAME, save_lift
from cia_bench.baselines.lift.model import lift_loss, time_codes
from cia_bench.baselines.lift.run import METRICS_NAME, Run
from cia_bench.baselines.lift.settings import LiFTSettings, settings_for
from cia_bench.baselines.lift.summary import GPU_BATCH, Lift
from cia_bench.baselines.lift.train import train
from cia_bench.precision import in_precision
from cia_bench.progress import shown
from cia_bench.store import TrainingSet

BATCH, VIDEOS, T, D = 128, 240_000, 16, 384
REPEATS, EMBEDDED, SUSTAINED_S, EPOCHS = 15, 2048, 60, 100
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}  # dense bfloat16 FLOP/s, by the maker's data sheets


class PlainEncoder(nn.Module):
    """What LiFT's encoder computes, as torch.nn has it."""

    def __init__(self, model: LiFT):
        super().__init__()
        self.lift = model.encoder
        layer = nn.TransformerEncoderLayer(D, 8, 4 * D, 0.1, activation="relu", batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.transformer.load_state_dict(model.encoder.transformer.state_dict())
        self.register_buffer("codes", time_codes(T, D).float())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        lift = self.lift
        learnt = torch.cat([lift.cls_static, lift.cls_dynamic], dim=1).expand(len(x), -1, -1)
        tokens = self.transformer(torch.cat([learnt, lift.input_proj(x) + self.codes], dim=1))
        return lift.static_norm(lift.static_proj(tokens[:, 0])), lift.dynamic_norm(lift.dynamic_proj(tokens[:, 1]))


def plain_model() -> LiFT:
    """LiFT with the plain encoder."""
    model = LiFT(LiFTConfig())
    encoder = PlainEncoder(model)
    del encoder.lift.transformer
    model.encoder = encoder
    return model


def plain_step(precision: str) -> Callable[[Tensor], None]:
    model = plain_model().train()
    optimiser = torch.optim.Adam(model.parameters(), 1e-4, weight_decay=1e-5)

    def step(x: Tensor) -> None:
        with in_precision(precision, "cpu"):
            x_hat, z_s, z_d = model(x)
        loss = lift_loss(x, x_hat.float(), z_s.float(), z_d.float())[0]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def our_step(settings: LiFTSettings) -> Callable[[Tensor], None]:
    """The step that `cia train lift` takes."""
    run = Run(made_up(2 * BATCH), Path(), settings, torch.device("cpu"), {})
    return lambda x: run._take_step(x)


def made_up(count: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> TrainingSet:
    """Videos of normal random numbers, in the host's memory."""
    generator = torch.Generator(device).manual_seed(0)
    sequences = torch.randn((count, T, D), generator=generator, device=device, dtype=dtype).cpu().numpy()
    names = [f"v{number}" for number in range(count)]
    return TrainingSet(sequences, names, names, {"encoder": "made up"})


def flop_a_video(training: bool) -> float:
    model, x = plain_model(), torch.randn(8, T, D)
    with FlopCounterMode(display=False) as counter:
        parts = model(x) if training else model.encode(x)
        if training:
            lift_loss(x, *parts)[0].backward()
    return counter.get_total_flops() / len(x)


def in_turn(ways: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """The median seconds of each way, all in turn."""
    spent = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            spent[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def report(what: str, spent: dict[str, float], videos: int, flop: float) -> None:
    """Print each way's speed, and its ratio to the first."""
    print(f"{what}: {flop / 1e9:.3f} GFLOP a video")
    first = next(iter(spent.values()))
    for name, seconds in spent.items():
        speed = videos / seconds
        print(f"  {name:26} {speed:9,.0f} videos/s {speed * flop / 1e12:6.2f} TFLOP/s  ratio {first / seconds:.2f}")


def on_a_cpu(folder: Path) -> None:
    half = torch.backends.cpu.get_cpu_capability().startswith("AVX512")  # others take minutes for it
    x = torch.randn(BATCH, T, D)
    steps = {
        "plain, float32": plain_step("float32"),
        "ours, float32": our_step(LiFTSettings(batch_size=BATCH)),
    }
    if half:
        settings = LiFTSettings(batch_size=BATCH, precision="bfloat16")
        steps |= {
            "plain, bfloat16": plain_step("bfloat16"),
            "ours, bfloat16": our_step(settings),
            "ours, bfloat16, no dropout": our_step(replace(settings, dropout=0.0)),
        }
    spent = in_turn({name: lambda step=step: step(x) for name, step in steps.items()})
    report(f"training step, batch {BATCH}", spent, BATCH, flop_a_video(training=True))
    sequences = made_up(EMBEDDED).sequences
    plain = plain_model().eval()

    @torch.inference_mode()
    def embed_plainly(precision: str) -> list:
        with in_precision(precision, "cpu"):
            return [plain.encode(part) for part in torch.from_numpy(sequences).split(BATCH)]

    save_lift(LiFT(LiFTConfig()), folder / FILE_NAME, {})
    ways = {}
    for precision in ("float32", "bfloat16") if half else ("float32",):
        ours = Lift(folder, "cpu", precision)
        ways[f"plain, {precision}"] = lambda precision=precision: embed_plainly(precision)
        ways[f"ours, {precision}"] = lambda ours=ours: ours(sequences, [])
    report(f"embedding {EMBEDDED} videos, encoder only", in_turn(ways), EMBEDDED, flop_a_video(training=False))


def on_a_gpu(folder: Path, device: str) -> None:
    name = torch.cuda.get_device_name(device)
    peak = next((flop for card, flop in PEAKS.items() if card in name), float("nan"))
    print(f"{name}, {torch.cuda.get_device_properties(device).total_memory / 2**30:.0f} GiB, peak {peak / 1e12:.0f}")
    training = made_up(VIDEOS, torch.float16, device)
    train_on(training, folder, device, peak)
    save_lift(LiFT(LiFTConfig()), folder / FILE_NAME, {})
    for precision in ("float32", "bfloat16"):
        embed_on(training, Lift(folder, device, precision), precision)


def train_on(training: TrainingSet, folder: Path, device: str, peak: float) -> None:
    settings = replace(settings_for(VIDEOS, D, device=device), epochs=EPOCHS)
    torch.cuda.reset_peak_memory_stats(device)
    while True:
        out = folder / f"{settings.epochs}"
        train(training, out, settings, device, shown)
        first, *epochs = [json.loads(line) for line in (out / METRICS_NAME).read_text().splitlines()]
        spent = sum(epoch["seconds"] for epoch in epochs)
        if spent >= SUSTAINED_S:
            break
        settings = replace(settings, epochs=int(settings.epochs * 1.2 * SUSTAINED_S / spent) + 2)
    speed = sum(epoch["seconds"] * epoch["videos_per_s"] for epoch in epochs) / spent
    reached = speed * flop_a_video(training=True)
    memory = torch.cuda.max_memory_allocated(device) / 2**30
    print(
        f"training, batch {settings.batch_size}, {settings.precision}: {speed:,.0f} videos/s over {spent:.0f} s with "
        f"validation and saving, {reached / 1e12:.0f} TFLOP/s, {reached / peak:.0%} of the peak, {memory:.1f} GiB; "
        f"before that {first['seconds']:.0f} s of an epoch that compiles; 110 million passes in "
        f"{110e6 / speed / 60:.1f} minutes"
    )


def embed_on(training: TrainingSet, lift: Lift, precision: str) -> None:
    x = torch.from_numpy(training.sequences).to(lift.device)

    def encode() -> None:
        for part in x.split(GPU_BATCH):
            lift.model.encode(part.to(lift.dtype))
        torch.cuda.synchronize(lift.device)

    ways = {"there": encode, "from the host's memory and back": lambda: lift(training.sequences, [])}
    with torch.inference_mode():
        spent = in_turn(ways, repeats=3)
    for where, seconds in spent.items():
        reached = VIDEOS / seconds * flop_a_video(training=False)
        print(f"embedding, {precision}, {where}: {VIDEOS / seconds:,.0f} videos/s, {reached / 1e12:.0f} TFLOP/s")


def main() -> None:
    warnings.simplefilter("ignore")
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, torch {torch.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        if device == "cpu":
            on_a_cpu(Path(folder))
        else:
            on_a_gpu(Path(folder), device)


if __name__ == "__main__":
    main()
