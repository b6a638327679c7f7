"""Summarise feature sequences with a trained LiFT: the static vector and the velocity, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cia_bench.baselines.lift.checkpoint import checkpoint_file, load_lift, read_origin
from cia_bench.encoders import Summary
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.files import sha256_of

BATCH_SIZE = 1024


class Lift(Summary):
    """The summary [z_s, z_d] of arXiv 2509.08502, with the weights of one checkpoint.

    `parameters` counts all of the model, as published (8.7 million); `trained_on` is what the checkpoint says of
    the sequences it was trained on; `weights_sha256` is that of the checkpoint file.

    Raises ConfigError without weights, and EncoderError for weights that can't be loaded.
    """

    def __init__(self, weights: str | Path | None, device: str = "cpu"):
        if weights is None:
            raise ConfigError(
                "the summary lift needs weights: train some with cia train lift --embeddings STORE --out DIR, on what "
                "cia extract stored of the encoder, then give --weights lift=DIR"
            )
        file = checkpoint_file(Path(weights))
        self.model = load_lift(file).to(device)
        self.device = device
        self.trained_on = read_origin(file)
        self.weights_sha256 = sha256_of(file)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    @torch.inference_mode()
    def __call__(self, sequences: np.ndarray, clip_ids: Sequence[str]) -> np.ndarray:
        """[z_s, z_d] of each sequence, (N, T, D) -> (N, 2 W) float32.

        Raises EncoderError if D is not what the model was trained on, and ConfigError for fewer than 2 frames.
        """
        N, _, D = sequences.shape
        wanted, width = self.model.config.feature_dim, self.model.config.width
        if D != wanted:
            raise EncoderError(f"the sequences have {D} features a frame; these weights of lift take {wanted}")
        vectors = np.empty((N, 2 * width), dtype=np.float32)
        for start in range(0, N, BATCH_SIZE):
            x = torch.tensor(sequences[start : start + BATCH_SIZE], dtype=torch.float32, device=self.device)
            vectors[start : start + BATCH_SIZE] = torch.cat(self.model.encode(x), dim=1).cpu().numpy()
        return vectors
