import gc
import logging
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

from cia_bench.baselines.pixels import Pixels
from cia_bench.demo import save_random_dinov2
from cia_bench.encoders import Encoder, FrameSpec, load_encoder
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.inference import Embedder, is_out_of_memory

T, S = 2, 8
TOO_LARGE = 2**50  # numbers: more than any machine can address
HALF = {"float16": 0.01, "bfloat16": 0.05}  # difference from float32, as a share of the largest number


def squares_of(clips: int, frames: int = T, size: int = S) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (clips, frames, size, size, 3), dtype=np.uint8)


class Small(Encoder):
    """A convolution and a matrix product; more clips than `fits` ask torch for more memory than there is."""

    frames = FrameSpec(count=T, size=S, mean=(0.5,) * 3, std=(0.5,) * 3, layout="TCHW")

    def __init__(self, fits: int = 1000):
        self.fits, self.batches = fits, []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(288, 5))

    @torch.inference_mode()
    def embed(self, frames):
        self.batches.append(len(frames))
        vectors = self.net(torch.from_numpy(frames).flatten(0, 1)).unflatten(0, (-1, T))
        if len(frames) > self.fits:
            torch.empty(TOO_LARGE)
        return vectors.float().numpy()  # (B, T, 5)


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """As a share of the largest number."""
    assert one.shape == other.shape
    return np.abs(one - other).max() / np.abs(other).max()


# one clip, however many


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory) -> Encoder:
    folder = tmp_path_factory.mktemp("dinov2") / "weights"
    save_random_dinov2(folder)
    return load_encoder("dinov2-small-reg", str(folder))


@pytest.fixture(scope="module")
def pictures(dinov2) -> np.ndarray:
    return squares_of(17, dinov2.frames.count, dinov2.frames.size)


@pytest.fixture(scope="module")
def alone(dinov2, pictures) -> np.ndarray:
    """Each clip's embedding, of a batch of its own."""
    return Embedder("dinov2", dinov2, batch_size=1)(pictures)


@pytest.mark.parametrize("batch_size", [2, 3, 7, 16])
def test_a_clips_embedding_is_the_same_in_any_batch(batch_size, dinov2, pictures, alone):
    embedded = Embedder("dinov2", dinov2, batch_size=batch_size)(pictures)
    assert embedded.dtype == np.float32 and embedded.shape == (17, 16, 64)
    np.testing.assert_allclose(embedded, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", HALF)
def test_half_precision_is_near_float32_and_not_it(precision, dinov2, pictures, alone):
    embedded = Embedder("dinov2", dinov2, "cpu", precision, batch_size=3)(pictures[:3])
    assert embedded.dtype == np.float32
    assert 1e-5 < largest_difference(embedded, alone[:3]) < HALF[precision]


def test_an_encoder_gets_its_frames_and_no_more_clips_than_asked():
    encoder = Small()
    embedder = Embedder("small", encoder, batch_size=3)
    squares = squares_of(7)
    embedded = embedder(squares)
    assert encoder.batches == [3, 3, 1]
    np.testing.assert_allclose(embedded, encoder.embed(encoder.frames.values(squares)), atol=1e-5)


def test_an_encoder_without_torch_needs_none():
    code = """
import sys
import numpy as np
from cia_bench.baselines.pixels import Pixels
from cia_bench.inference import Embedder
assert Embedder("pixels", Pixels())(np.zeros((2, 16, 48, 48, 3), np.uint8)).shape == (2, 16, 108)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_holds_a_clip(batch_size):
    with pytest.raises(ConfigError, match=f"an encoder gets 1 clip at once or more, not {batch_size}"):
        Embedder("small", Small(), batch_size=batch_size)


def test_a_precision_that_is_not_there_is_refused_before_any_clip():
    with pytest.raises(ConfigError, match="unknown precision 'float8'"):
        Embedder("small", Small(), precision="float8")


class Widening(Encoder):
    """One more number a clip with each call."""

    frames = FrameSpec(count=T, size=S)
    calls = 0

    def embed(self, frames):
        self.calls += 1
        return np.ones((len(frames), self.calls))


def test_embeddings_of_two_shapes_are_refused_in_one_call_and_over_two():
    refusal = r"wide gave \(1,\) for one clip, \(2,\) for another"
    with pytest.raises(EncoderError, match=refusal):
        Embedder("wide", Widening(), batch_size=2)(squares_of(3))
    embedder = Embedder("wide", Widening())
    embedder(squares_of(1))
    with pytest.raises(EncoderError, match=refusal):
        embedder(squares_of(1))


def test_what_is_no_embedding_is_refused():
    class Whole(Small):
        def embed(self, frames):
            return np.ones((len(frames), 3), int)

    with pytest.raises(EncoderError, match=r"whole gave int64 \(1, 3\) for 1 clips"):
        Embedder("whole", Whole())(squares_of(1))


# out of memory


def test_out_of_memory_halves_the_batch_for_good_and_says_so(caplog):
    encoder, squares = Small(fits=4), squares_of(11)
    embedder = Embedder("small", encoder, batch_size=10)
    with caplog.at_level(logging.WARNING):
        embedded = embedder(squares)
    assert encoder.batches == [10, 5, 2, 2, 2, 2, 2, 1]
    assert caplog.messages == [
        "small: out of memory on cpu with 10 clips at once; from now on 5",
        "small: out of memory on cpu with 5 clips at once; from now on 2",
    ]
    np.testing.assert_allclose(embedded, Embedder("small", Small())(squares), atol=1e-5)
    caplog.clear()
    embedder(squares[:4])
    assert encoder.batches[8:] == [2, 2] and embedder.batch_size == 2 and not caplog.messages


def test_the_batch_that_failed_is_halved_and_not_a_larger_one_that_was_allowed(caplog):
    encoder = Small(fits=2)
    Embedder("small", encoder, batch_size=16)(squares_of(3))
    assert encoder.batches == [3, 1, 1, 1]
    assert caplog.messages == ["small: out of memory on cpu with 3 clips at once; from now on 1"]


class Needy(Small):
    """Makes a tensor that is part of a cycle, and then asks for more than there is."""

    def __init__(self):
        super().__init__()
        self.first, self.left = None, None

    def embed(self, frames):
        if self.first is None:
            large = torch.ones(1000)
            cycle = [large]
            cycle.append(cycle)
            self.first = weakref.ref(large)
            torch.empty(TOO_LARGE)
        self.left = self.first()
        return super().embed(frames)


def test_nothing_of_the_failed_attempt_is_left_at_the_next():
    encoder = Needy()
    gc.disable()  # so that it is not by chance
    try:
        Embedder("needy", encoder)(squares_of(2))
    finally:
        gc.enable()
    assert encoder.batches == [1, 1] and encoder.left is None


class Darkening(Small):
    """Writes into its frames, as they are, before memory runs out."""

    frames = FrameSpec(count=T, size=S)

    def embed(self, frames):
        frames //= 2
        if len(frames) > 1:
            np.empty(TOO_LARGE)
        return frames.mean(axis=(2, 3, 4))


def test_a_failed_attempt_leaves_the_frames_as_they_were():
    squares = squares_of(2)
    before = squares.copy()
    embedded = Embedder("dark", Darkening())(squares)
    np.testing.assert_allclose(embedded, (before // 2).mean(axis=(2, 3, 4)), rtol=1e-6)
    np.testing.assert_array_equal(squares, before)


def test_one_clip_too_many_is_one_line_that_says_what_to_do():
    encoder = Small(fits=0)
    with pytest.raises(EncoderError) as told:
        Embedder("small", encoder, batch_size=2)(squares_of(2))
    assert encoder.batches == [2, 1]
    assert str(told.value) == (
        "small runs out of memory on cpu with one clip at once; try a machine with more memory, or a model that is "
        "smaller or takes smaller frames"
    )
    assert "can't allocate memory" in str(told.value.__cause__)


def test_a_bug_keeps_its_traceback():
    class Wrong(Small):
        def embed(self, frames):
            return torch.ones(2, 3) @ torch.ones(2, 3)

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as raised:
        Embedder("wrong", Wrong())(squares_of(2))
    assert raised.traceback[-1].name == "embed"


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17.97 GB, other allocations: 1 GB)"), True),
        (RuntimeError("Invalid buffer size: 19.45 GB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError(), False),
    ],
)
def test_out_of_memory_is_known_by_its_words(error, memory):
    assert is_out_of_memory(error) is memory


LIMITED = """
import resource
import sys

import torch

sys.path.insert(0, {here!r})
from test_inference import Small, squares_of
from cia_bench.inference import Embedder

torch.set_num_threads(1)  # each new thread would take address space too
MIB = 2**20
NUMBERS = 100 * MIB // 4  # of a clip: 100 MiB


class Large(Small):
    def embed(self, frames):
        pages = torch.empty(len(frames), NUMBERS)  # never touched: address space, and no memory
        return super().embed(frames) + 0 * pages[0, 0].item()


embedder = Embedder("large", Large(), batch_size=16)
embedder(squares_of(1))
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 1200 * MIB,) * 2)  # room for 8 clips, not 16
print(embedder(squares_of(16)).shape, embedder.batch_size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_a_process_that_may_use_less_memory_embeds_fewer_at_once():
    here = str(__file__).rpartition("/")[0]
    run = subprocess.run([sys.executable, "-c", LIMITED.format(here=here)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "(16, 2, 5) 8\n"
    assert run.stderr == "large: out of memory on cpu with 16 clips at once; from now on 8\n"


@pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no Apple GPU on this machine")
def test_half_precision_on_mps_is_near_float32(tmp_path):
    save_random_dinov2(tmp_path / "weights")
    encoder = load_encoder("dinov2-small-reg", str(tmp_path / "weights"), "mps")
    squares = squares_of(2, encoder.frames.count, encoder.frames.size)
    whole, half = (Embedder("dinov2", encoder, "mps", precision)(squares) for precision in ("float32", "float16"))
    assert 1e-5 < largest_difference(half, whole) < HALF["float16"]


def test_pixels_are_the_same_in_any_precision():
    squares = squares_of(2, 16, 48)
    for precision in HALF:
        np.testing.assert_array_equal(
            Embedder("pixels", Pixels(), precision=precision)(squares), Embedder("pixels", Pixels())(squares)
        )
