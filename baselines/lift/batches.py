"""Feature sequences as batches on a device: taken from it if all fit there, else from the host's memory, one ahead."""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from cia_bench.inference import is_out_of_memory

logger = logging.getLogger(__name__)

CHUNK = 1024  # sequences looked at at once
GIB = 2**30


class Batches:
    """The sequences (N, T, D), float16 or float32, on a device if they take at most half of its free memory."""

    def __init__(self, sequences: np.ndarray, device: torch.device):
        self.device = device
        self._all = torch.from_numpy(sequences)
        self._streamed = device.type != "cpu" and not self._moved()

    def _moved(self) -> bool:
        """Move all sequences to the device if there is room, and say so if there is not."""
        free, needed = free_bytes(self.device), self._all.nbytes
        try:
            if needed <= free / 2:  # the other half is for training itself
                self._all = self._all.to(self.device)
                return True
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        logger.warning(
            "%.1f GiB of sequences are too much for %s, of whose memory %.1f GiB are free: they are streamed from the "
            "host's, a batch ahead",
            needed / GIB,
            self.device,
            free / GIB,
        )
        return False

    def take(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """The sequences of each batch of indices, (B,) int64 on the CPU -> (B, T, D) on the device, as stored."""
        if not self._streamed:
            for batch in batches:
                yield self._all.index_select(0, batch.to(self.device, non_blocking=True))
            return
        with ThreadPoolExecutor(1) as ahead:
            following = None
            for batch in batches:
                current, following = following, ahead.submit(self._gathered, batch)
                if current:
                    yield current.result().to(self.device, non_blocking=True)
            if following:
                yield following.result().to(self.device, non_blocking=True)

    def _gathered(self, batch: Tensor) -> Tensor:
        found = self._all.index_select(0, batch)
        return found.pin_memory() if self.device.type == "cuda" else found  # torch keeps it until it is copied


def free_bytes(device: torch.device) -> int:
    """How much memory of a GPU is free."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()


def unusable_rows(sequences: np.ndarray) -> np.ndarray:
    """The rows of sequences (N, T, D) that hold a number that is not finite."""
    good = [np.isfinite(sequences[start : start + CHUNK]).all(axis=(1, 2)) for start in range(0, len(sequences), CHUNK)]
    return np.flatnonzero(~np.concatenate(good))


def mean_and_scale(sequences: np.ndarray, rows: np.ndarray) -> tuple[Tensor, float]:
    """The mean of each feature over some rows, (D,) float32, and one scale for all: the root mean square of what is
    left, 1 if nothing is."""
    parts = np.array_split(rows, -(-len(rows) // CHUNK))
    frames = len(rows) * sequences.shape[1]
    mean = sum(sequences[part].sum(axis=(0, 1), dtype=np.float64) for part in parts) / frames  # (D,)
    square = sum(np.square(sequences[part] - mean).sum() for part in parts)
    return torch.from_numpy(mean).float(), float(np.sqrt(square / frames / len(mean))) or 1.0
