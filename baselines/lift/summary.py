"""Summarise feature sequences with a trained LiFT: the static vector and the velocity, side by side."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from cia_bench.baselines.lift.checkpoint import checkpoint_file, load_whole
from cia_bench.baselines.lift.model import walk
from cia_bench.encoders import Summary
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.files import sha256_of
from cia_bench.precision import check_precision, one_thread

CPU_BATCH, GPU_BATCH = 64, 4096  # sequences at once: what a CPU's core keeps in its cache, and what fills a GPU


class Lift(Summary):
    """The summary [z_s, z_d] of arXiv 2509.08502, with the weights of one checkpoint.

    `parameters` counts all of the model, as published (8.7 million); `trained_on` is what the checkpoint says of
    the sequences it was trained on, `saw_clips` or `saw` of the clips; `weights_sha256` is that of the checkpoint file.
    `precision` is that of the weights and the arithmetic (precision.PRECISIONS).

    Raises ConfigError without weights or for a precision that the device lacks, and EncoderError for weights that can't
    be loaded.
    """

    def __init__(self, weights: str | Path | None, device: str = "cpu", precision: str = "float32"):
        if weights is None:
            raise ConfigError(
                "the summary lift needs weights: train some with cia train lift --embeddings STORE --out DIR, on what "
                "cia extract stored of the encoder, then give --weights lift=DIR"
            )
        check_precision(precision, device)
        file = checkpoint_file(Path(weights))
        model, checkpoint = load_whole(file)
        self.trained_on, self.saw_clips = checkpoint.origin, checkpoint.seen
        self.saw = checkpoint.origin.get("saw")
        self.device, self.dtype = device, getattr(torch, precision)
        self.model = model.to(device, self.dtype)
        self.batch_size = CPU_BATCH if device == "cpu" else GPU_BATCH
        self.weights_sha256 = sha256_of(file)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    def __call__(self, sequences: np.ndarray, clip_ids: Sequence[str]) -> np.ndarray:
        """[z_s, z_d] of each sequence, (N, T, D) -> (N, 2 W) float32.

        A CPU's threads take a batch each: so none waits for another, as all would within each product of a batch.

        Raises EncoderError if D is not what the model was trained on, and ConfigError for fewer than 2 frames.
        """
        vectors = np.empty((len(sequences), 2 * self.model.config.width), dtype=np.float32)

        @torch.inference_mode()
        def summarise(rows: slice) -> None:
            z = self.model.encode(self._on_the_device(sequences[rows]))
            vectors[rows] = torch.cat(z, dim=1).float().cpu().numpy()

        batches, threads = self._batches(sequences), torch.get_num_threads()
        if self.device == "cpu":
            with one_thread(), ThreadPoolExecutor(threads) as pool:  # new threads take over what is set
                deque(pool.map(summarise, batches), maxlen=0)  # for what they raise
        else:
            deque(map(summarise, batches), maxlen=0)
        return vectors

    @torch.inference_mode()
    def trajectories(self, sequences: np.ndarray) -> dict[str, np.ndarray]:
        """The straight walk from z_s to z_s + z_d, and each frame drawn from its point: (N, T, W), (N, T, D) float32.

        Raises what a call does.
        """
        N, T, D = sequences.shape
        latent = np.empty((N, T, self.model.config.width), dtype=np.float32)
        reconstruction = np.empty((N, T, D), dtype=np.float32)
        for rows in self._batches(sequences):
            x_hat, z_s, z_d = self.model(self._on_the_device(sequences[rows]))
            latent[rows], reconstruction[rows] = walk(z_s, z_d, T).float().cpu().numpy(), x_hat.float().cpu().numpy()
        return {"latent": latent, "reconstruction": reconstruction}

    def _batches(self, sequences: np.ndarray) -> list[slice]:
        """The rows of each batch; raises EncoderError for another D."""
        wanted = self.model.config.feature_dim
        if sequences.shape[2] != wanted:
            raise EncoderError(
                f"the sequences have {sequences.shape[2]} features a frame; these weights of lift take {wanted}"
            )
        starts = range(0, len(sequences), self.batch_size)
        return [slice(start, start + self.batch_size) for start in starts]

    def _on_the_device(self, sequences: np.ndarray) -> torch.Tensor:
        part = np.require(sequences, requirements=("C", "W"))
        # on a CPU always a copy, because the last digits hang on where numbers lie
        x = torch.tensor(part) if self.device == "cpu" else torch.from_numpy(part)
        return x.to(self.device).to(self.dtype)
