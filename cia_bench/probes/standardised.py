"""Standardised clips as float32 tensors on a device, whole where a GPU has room for them, else block by block."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cia_bench.probes.rows import Rows
from cia_bench.probes.scaling import RowScaler

if TYPE_CHECKING:
    import torch

SHARE = 0.7  # of a GPU's free memory


class Standardised:
    """`data` (N, ...) as `scaler` scales it, on a torch device; None is the CPU, where the clips are never copied."""

    def __init__(self, data: Rows, scaler: RowScaler, device: str | None):
        import torch

        self.data, self.scaler, self.device = data, scaler, torch.device(device or "cpu")
        self.shape = data.shape
        self._whole = None
        if self.device.type == "cuda" and 4 * data.size < SHARE * torch.cuda.mem_get_info(self.device)[0]:
            whole = torch.empty(data.shape, device=self.device)
            for places, block in self.blocks():
                whole[places] = block
            self._whole = whole

    def read(self, positions: np.ndarray | slice) -> "torch.Tensor":
        """The features of some clips, (positions, ...)."""
        import torch

        if self._whole is not None:
            return self._whole[positions]
        return torch.from_numpy(self.scaler.transform(self.data.read(positions))).to(self.device)

    def blocks(self) -> Iterator[tuple[slice, "torch.Tensor"]]:
        """Places among the clips, and their features (places, ...)."""
        return ((places, self.read(places)) for places in self.data.places())

    @cached_property
    def spectrum(self) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Eigenvalues (D,) and eigenvectors (D, D) of the covariance of vectors (N, D), in float64."""
        import torch

        N, D = self.shape
        covariance = torch.zeros(D, D, dtype=torch.float64, device=self.device)
        for _, block in self.blocks():
            covariance += block.T @ block
        values, vectors = torch.linalg.eigh(covariance / N)
        return values.clip(0), vectors
