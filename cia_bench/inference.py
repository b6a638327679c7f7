"""Run an encoder on any number of clips: some at once, and fewer once memory runs out."""

import gc
import logging
import sys

import numpy as np

from cia_bench.encoders import Encoder, checked_embedding
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.precision import check_precision, in_precision

logger = logging.getLogger(__name__)

BATCH = 16  # clips that an encoder gets at once
OUT_OF_MEMORY = (  # how a RuntimeError says it, in lower case
    "out of memory",  # CUDA, MPS and others
    "invalid buffer size",  # MPS, of one tensor that is too large
    "alloc_failed",  # cuBLAS and cuDNN
    "can't allocate memory",  # torch's CPU allocator on Linux and macOS
    "not enough memory",  # and on Windows
    "bad_alloc",  # C++
)


class Embedder:
    """Embeds clips with one encoder, at most `batch_size` at once.

    Where memory runs out, `batch_size` is halved for good, a warning says so, and the same clips are tried again.

    Raises ConfigError for a batch size below 1, and for a precision that is unknown or that the device lacks.
    """

    def __init__(
        self, name: str, encoder: Encoder, device: str = "cpu", precision: str = "float32", batch_size: int = BATCH
    ):
        check_precision(precision, device)
        if batch_size < 1:
            raise ConfigError(f"an encoder gets 1 clip at once or more, not {batch_size}")
        self.name, self.encoder, self.device, self.precision = name, encoder, device, precision
        self.batch_size = batch_size
        self._shape = None  # of one clip's embedding, once there is one

    def __call__(self, squares: np.ndarray) -> np.ndarray:
        """Embed clips of frames, uint8 (B, T, S, S, 3) with B >= 1 -> float32 (B, T, D) or (B, D).

        Raises EncoderError if the encoder gives what it should not, embeddings of two shapes in this or an earlier
        call, or runs out of memory with one clip. What else `embed` raises is not caught.
        """
        embeddings, start = [], 0
        while start < len(squares):
            embedding = self._embed_or_halve(squares[start : start + self.batch_size])
            if embedding is not None:
                self._check_shape(embedding)
                embeddings.append(embedding)
                start += len(embedding)
        return np.concatenate(embeddings)

    def _embed_or_halve(self, squares: np.ndarray) -> np.ndarray | None:
        """The embeddings of all these clips at once, or None with a smaller batch size if memory runs out."""
        try:
            return self._embed(squares)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(squares) == 1:
                raise EncoderError(self._hopeless()) from error
        self._halve(len(squares))  # only here: within `except`, the error's traceback keeps what was computed alive
        return None

    def _embed(self, squares: np.ndarray) -> np.ndarray:
        frames = self.encoder.frames.values(squares)
        if np.may_share_memory(frames, squares):
            frames = frames.copy()  # an encoder may write into its frames, and then fail
        with in_precision(self.precision, self.device):
            embedding = self.encoder.embed(frames)
        return checked_embedding(self.name, embedding, len(squares), self.encoder.frames.count)

    def _halve(self, tried: int) -> None:
        self.batch_size = tried // 2
        logger.warning(
            "%s: out of memory on %s with %d clips at once; from now on %d", self.name, self.device, tried, tried // 2
        )
        _free_memory(self.device)

    def _hopeless(self) -> str:
        elsewhere = "a machine with more memory" if self.device == "cpu" else "--device cpu"
        return (
            f"{self.name} runs out of memory on {self.device} with one clip at once; try {elsewhere}, or a model that "
            "is smaller or takes smaller frames"
        )

    def _check_shape(self, embedding: np.ndarray) -> None:
        shape = embedding.shape[1:]
        if self._shape not in (None, shape):
            raise EncoderError(f"{self.name} gave {self._shape} for one clip, {shape} for another")
        self._shape = shape


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, NumPy or torch, on any device, says that memory ran out."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY)


def _free_memory(device: str) -> None:
    """Give back what a failed attempt left: objects that hold each other, and what torch keeps of the device."""
    gc.collect()
    kind = device.partition(":")[0]
    module = getattr(sys.modules.get("torch"), kind, None)  # torch.cuda, torch.mps; without torch there is none
    if hasattr(module, "empty_cache"):
        module.empty_cache()
