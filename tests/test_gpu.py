"""What runs on a GPU gives there what it gives on a CPU, to a stated tolerance."""

import functools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import kind_of, save_tiny
from torch.nn import functional as F

from cia_bench.baselines.lift import LiFT, LiFTConfig, batches, model, run
from cia_bench.baselines.lift.model import has_short_attention
from cia_bench.baselines.lift.settings import LiFTSettings, settings_for
from cia_bench.baselines.lift.summary import Lift
from cia_bench.baselines.lift.train import train
from cia_bench.demo import save_random_dinov2
from cia_bench.encoders import Encoder, FrameSpec, choose_device, load_encoder
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.evaluation import evaluate
from cia_bench.inference import Embedder
from cia_bench.probes import CLASS_PROBES, RidgeProbe, RidgeRefits, Rows, build_class_probe, standardised
from cia_bench.protocols import EvaluationSettings
from cia_bench.store import TrainingSet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
ORIGIN = {"encoder": "toy"}
HALF = {"float16": 0.01, "bfloat16": 0.05}  # difference from float32, as a share of the largest number
MIB = 2**20


def squares_of(clips: int, frames: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (clips, frames, size, size, 3), dtype=np.uint8)


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """As a share of the largest number."""
    assert one.shape == other.shape
    return np.abs(one - other).max() / np.abs(other).max()


def test_auto_takes_the_gpu():
    assert choose_device("auto") == "cuda"
    assert choose_device("cuda:0") == "cuda:0"


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="torch has no device 'cuda:99': ") as refused:
        choose_device("cuda:99")
    assert "\n" not in str(refused.value)


def test_ridge_and_its_refits_answer_alike_on_both():
    generator = np.random.default_rng(0)
    features, labels = generator.standard_normal((300, 768)), np.arange(300) % 3 // 2
    new, folds = generator.standard_normal((200, 768)), np.arange(300) % 5
    labellings = np.array([generator.permutation(labels) for _ in range(20)])
    for settings in ({}, {"class_weight": "balanced", "standardise": True}):
        here, there = (RidgeProbe(device=device, **settings) for device in (None, "cuda"))
        np.testing.assert_array_equal(*(one.fit(features, labels).predict(new) for one in (here, there)))
        scores = [RidgeRefits(one, features, new, folds).decision_function(labellings) for one in (here, there)]
        np.testing.assert_allclose(*scores, rtol=1e-6, atol=1e-9)


def test_an_evaluation_gives_the_same_answers_on_both(embeddings, data):
    settings = EvaluationSettings("strict", draws=100, permutations=99)
    here, there = (evaluate(embeddings, data, settings=settings, device=device) for device in ("cpu", "cuda"))
    assert here.predictions.prediction.equals(there.predictions.prediction)
    assert here.record["groups"] == there.record["groups"]
    assert here.record["protocol"] == there.record["protocol"]


ONE_OF_EACH_KIND = (
    *("dinov2-small-reg", "dinov3-s", "clip-b16-projected", "siglip-base", "internvit-300m"),
    *("videomae-base", "vjepa2-large", "videoprism-base", "timesformer-k400", "vivit-k400"),
)


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_a_model_embeds_alike_on_both(name, tmp_path):
    folder = str(save_tiny(kind_of(name), tmp_path))
    on = {device: load_encoder(name, folder, device) for device in ("cpu", "cuda")}
    squares = squares_of(3, on["cpu"].frames.count, on["cpu"].frames.size)
    cpu, gpu = (Embedder(name, encoder, device)(squares) for device, encoder in on.items())
    assert largest_difference(gpu, cpu) < 1e-3
    for precision, tolerance in HALF.items():
        assert largest_difference(Embedder(name, on["cuda"], "cuda", precision)(squares), cpu) < tolerance


def drifting(clips: int = 400, frames: int = 16, features: int = 24) -> TrainingSet:
    """Clips that drift in a direction of their own."""
    generator = np.random.default_rng(0)
    start, drift, noise = (generator.standard_normal((clips, count, features)) for count in (1, 1, frames))
    sequences = start + np.linspace(0, 1, frames)[:, None] * drift + 0.1 * noise
    ids = [f"v{number}" for number in range(clips)]
    return TrainingSet(sequences.astype(np.float16), ids, ids, ORIGIN)


def losses(out: Path) -> list[float]:
    return [json.loads(line)["held_out"]["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("dtype, tolerance", [("float16", 2e-3), ("bfloat16", 1e-2)])
@pytest.mark.parametrize("tokens, heads, size", [(18, 8, 48), (2, 3, 5), (42, 4, 64), (64, 2, 128)])
def test_lifts_kernels_are_attention(dtype, tolerance, tokens, heads, size):
    """And their gradients its, beside torch's own in float64."""
    assert has_short_attention(0)
    generator, width = torch.Generator("cuda").manual_seed(0), heads * size
    shapes = (5, tokens, 3 * width), (width,), (5, tokens, width)
    into, bias, towards = (
        torch.randn(shape, generator=generator, device="cuda", dtype=getattr(torch, dtype)) for shape in shapes
    )
    given = into.requires_grad_(), bias.requires_grad_()
    mixed = torch.ops.cia_bench.short_attention(into, bias, heads)
    exact = [one.detach().double().requires_grad_() for one in given]
    query, key, value = exact[0].view(5, tokens, 3, heads, size).permute(2, 0, 3, 1, 4)
    expected = F.scaled_dot_product_attention(query + exact[1].view(heads, 1, size), key, value)
    expected = expected.transpose(1, 2).reshape(5, tokens, width)
    ours = [mixed, *torch.autograd.grad(mixed, given, towards)]
    theirs = [expected, *torch.autograd.grad(expected, exact, towards.double())]
    for our, their in zip(ours, theirs, strict=True):
        assert (our - their).norm() < tolerance * their.norm()


def test_without_its_kernels_lift_is_the_same_and_it_is_said_once(monkeypatch, caplog):
    lift, x = LiFT(LiFTConfig()).cuda().half().eval(), torch.randn(9, 16, 384, device="cuda").half()
    with torch.inference_mode():
        expected = lift(x)
        monkeypatch.setattr(model, "_tried_short_attention", functools.cache(model._tried_short_attention.__wrapped__))
        monkeypatch.setitem(sys.modules, "cia_bench.baselines.lift.short_attention", None)
        for ours, theirs in zip(lift(x), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0.02)
    assert caplog.text.count("LiFT's attention runs by torch's own kernels, which are slower: ") == 1


@pytest.mark.parametrize("recipe", ["paper", "scaled"])
def test_lift_trains_and_summarises_on_the_gpu(tmp_path, recipe):
    training = drifting()
    train(training, tmp_path, settings_for(400, 24, recipe, "cuda", epochs=20), device="cuda")
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]
    summaries = [Lift(tmp_path, device)(training.sequences, training.clip_ids) for device in ("cpu", "cuda")]
    np.testing.assert_allclose(*summaries, atol=1e-3)


def test_lift_trains_alike_on_both(tmp_path):
    settings = LiFTSettings(epochs=5, dropout=0.0, learning_rate=1e-3, standardise=True)
    for device in ("cpu", "cuda"):
        train(drifting(), tmp_path / device, settings, device)
    np.testing.assert_allclose(losses(tmp_path / "cuda"), losses(tmp_path / "cpu"), rtol=0.02)


def test_what_a_gpu_has_no_room_for_is_streamed_to_it(tmp_path, monkeypatch, caplog):
    settings = LiFTSettings(epochs=3, dropout=0.0, standardise=True)
    train(drifting(), tmp_path / "there", settings, "cuda")
    monkeypatch.setattr(batches, "free_bytes", lambda device: 0)
    train(drifting(), tmp_path / "streamed", settings, "cuda")
    assert "they are streamed" in caplog.text
    np.testing.assert_allclose(losses(tmp_path / "streamed"), losses(tmp_path / "there"), rtol=0.01)


def test_a_training_on_a_gpu_that_was_broken_off_goes_on(tmp_path, monkeypatch):
    settings = LiFTSettings(epochs=6, learning_rate=1e-3, standardise=True)  # with dropout, whose state is kept
    train(drifting(), tmp_path / "whole", settings, "cuda")
    monkeypatch.setattr(run, "SAVING", float("inf"))  # saves after each step
    with monkeypatch.context() as patched:
        judge = run.Run._judge
        patched.setattr(run.Run, "_judge", lambda self, line: judge(self, line) if line["epoch"] < 4 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(drifting(), tmp_path / "out", settings, "cuda")
    train(drifting(), tmp_path / "out", settings, "cuda")
    np.testing.assert_allclose(losses(tmp_path / "out"), losses(tmp_path / "whole"), rtol=0.02)


@pytest.mark.parametrize("precision", HALF)
def test_half_precision_is_near_float32_and_not_it(precision, tmp_path):
    save_random_dinov2(tmp_path / "weights")
    encoder = load_encoder("dinov2-small-reg", str(tmp_path / "weights"), "cuda")
    squares = squares_of(5, encoder.frames.count, encoder.frames.size)
    whole = Embedder("dinov2", encoder, "cuda")(squares)
    half = Embedder("dinov2", encoder, "cuda", precision, batch_size=3)(squares)
    assert half.dtype == np.float32
    assert 1e-5 < largest_difference(half, whole) < HALF[precision]


class Deep(Encoder):
    """Two wide convolutions, whose sums of many products show what they were rounded to."""

    frames = FrameSpec(count=2, size=32, mean=(0.5,) * 3, std=(0.5,) * 3, layout="TCHW")

    def __init__(self, device: str):
        self.device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 7), torch.nn.Conv2d(64, 64, 5, stride=4))
        self.net = net.to(device)

    @torch.inference_mode()
    def embed(self, frames):
        pictures = torch.from_numpy(frames).flatten(0, 1).to(self.device)
        return self.net(pictures).flatten(1).unflatten(0, (len(frames), -1)).float().cpu().numpy()


@pytest.mark.skipif(
    torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0), reason="this GPU has no TF32"
)
def test_float32_is_not_tf32():
    assert torch.backends.cudnn.allow_tf32  # as torch comes
    squares = squares_of(2, 2, 32)
    encoder = Deep("cuda")
    exact = Embedder("deep", Deep("cpu"))(squares)
    assert largest_difference(Embedder("deep", encoder, "cuda")(squares), exact) < 1e-5
    assert largest_difference(encoder.embed(encoder.frames.values(squares)), exact) > 1e-5
    assert torch.backends.cudnn.allow_tf32


class Large(Deep):
    """Takes 100 MiB of the GPU's memory a clip."""

    def embed(self, frames):
        large = torch.zeros(len(frames), 100 * MIB, dtype=torch.uint8, device=self.device)
        return super().embed(frames) + large[:1, :1].cpu().numpy()


@pytest.fixture
def allow():
    """Lets this process have so many bytes of the GPU's memory beyond what it holds; at the end all of it again."""

    def limit(size: int) -> None:
        torch.cuda.empty_cache()
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(0) + size) / whole, 0)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0, 0)


def test_out_of_memory_on_the_gpu_halves_the_batch(allow, caplog):
    squares = squares_of(16, 2, 32)
    embedder = Embedder("large", Large("cuda"), "cuda", batch_size=16)
    expected = embedder(squares)
    allow(1200 * MIB)  # room for 8 clips, not 16
    embedded = embedder(squares)
    assert caplog.messages == ["large: out of memory on cuda with 16 clips at once; from now on 8"]
    np.testing.assert_allclose(embedded, expected, atol=1e-5)


def test_one_clip_too_many_for_the_gpu_is_one_line(allow):
    embedder = Embedder("large", Large("cuda"), "cuda")
    allow(50 * MIB)
    with pytest.raises(EncoderError, match="large runs out of memory on cuda with one clip at once; try --device cpu"):
        embedder(squares_of(2, 2, 32))


@pytest.mark.parametrize("share", [0.7, 0.0])  # of free memory: the clips go there whole, or block by block
@pytest.mark.parametrize("name", sorted(CLASS_PROBES))
def test_probes_of_many_classes_learn_there_what_they_learn_here(name, share, monkeypatch):
    monkeypatch.setattr(standardised, "SHARE", share)
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 5
    features = generator.standard_normal((5, 4, 8))[labels] + generator.standard_normal((600, 4, 8))
    data = Rows(features if name == "attentive" else features.reshape(600, 32), np.arange(600), 100)
    here, there = (
        build_class_probe(name, device=device).fit(data, labels, 5).scores(data) for device in (None, "cuda")
    )
    assert largest_difference(there, here) < 0.05  # rounding grows along the steps
