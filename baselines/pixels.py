"""`pixels`: a small frame descriptor without weights, to see what colour and edges alone tell."""

import numpy as np

from cia_bench.encoders import Card, Encoder, FrameSpec

GRID = 6  # cells a side
CELL = 8  # pixels a side


class Pixels(Encoder):
    """For each of 6 x 6 cells of a 48 x 48 picture: mean grey, and mean strength of upright and of level edges.

    Grey runs from 0 (black) to 5 (white); an edge is 50 times the absolute difference of neighbours in x (upright) or y
    (level), where white is 1. So scaled, each varies by about 1 from picture to picture. 108 numbers a frame.
    """

    frames = FrameSpec(count=16, size=GRID * CELL, filter="bilinear")
    card = Card("pixels", "none", "none", "MIT", parameters=0, dim=3 * GRID * GRID, frames=16, gives="frame")

    def embed(self, frames: np.ndarray) -> np.ndarray:
        grey = frames.mean(axis=-1, dtype=np.float32) / 255  # (B, T, 48, 48)
        upright = np.abs(np.diff(grey, axis=3, append=grey[..., -1:]))
        level = np.abs(np.diff(grey, axis=2, append=grey[..., -1:, :]))
        maps = np.stack([5 * grey, 50 * upright, 50 * level], axis=2)  # (B, T, 3, 48, 48)
        B, T = maps.shape[:2]
        cells = maps.reshape(B, T, 3, GRID, CELL, GRID, CELL).mean(axis=(4, 6))
        return cells.reshape(B, T, 3 * GRID * GRID)
