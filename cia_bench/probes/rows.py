"""Some rows of all embeddings, read block by block: there is never a copy of them all."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cia_bench.errors import ProbeError

BLOCK_ROWS = 8192  # at most: a block has scores of many classes beside its features
BLOCK_NUMBERS = 2**22


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows (N,) of vectors (all, ...) in float16, float32 or float64; a clip's row may come more than once."""

    vectors: np.ndarray
    rows: np.ndarray
    block: int | None = None  # rows in a block; None: as many as make BLOCK_NUMBERS

    def __post_init__(self):
        if self.vectors.dtype.kind != "f":
            raise ProbeError(f"features are floating-point numbers, not {self.vectors.dtype}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.rows), *self.vectors.shape[1:]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def take(self, positions: np.ndarray) -> "Rows":
        """Those of the rows, by where they are among these."""
        return Rows(self.vectors, self.rows[positions], self.block)

    def read(self, positions: "np.ndarray | slice") -> np.ndarray:
        """A copy of the features of those of the rows, (positions, ...)."""
        return self.vectors[self.rows[positions]]

    def places(self) -> Iterator[slice]:
        """Where each block is among the rows."""
        step = self.block or max(1, min(BLOCK_ROWS, BLOCK_NUMBERS // max(1, math.prod(self.shape[1:]))))
        return (slice(start, start + step) for start in range(0, len(self), step))

    def blocks(self) -> Iterator[np.ndarray]:
        return map(self.read, self.places())
