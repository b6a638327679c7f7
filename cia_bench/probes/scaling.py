"""Scale features to mean 0 and standard deviation 1 over the training clips."""

import numpy as np

from cia_bench.probes.rows import Rows
from cia_bench.probes.training_clips import check_range


class Scaler:
    """scikit-learn's StandardScaler, except that features which are constant in training are left out.

    A constant feature tells nothing of the label, while its first other value, in a clip to score, would be any number
    of standard deviations away.
    """

    def fit(self, features: np.ndarray) -> "Scaler":
        """Learn from features (..., D), one mean and deviation for each of D over all the other axes."""
        rows = features.reshape(-1, features.shape[-1])
        self.kept_ = (rows != rows[0]).any(axis=0)  # not by the deviation: rounding gives a constant a tiny one
        rows = rows[:, self.kept_]
        self.mean_ = rows.mean(axis=0)
        peak = np.abs(rows - self.mean_).max(axis=0)  # the squares of tiny features would underflow
        self.scale_ = peak * np.sqrt((((rows - self.mean_) / peak) ** 2).mean(axis=0))
        return self

    def transform(self, features: np.ndarray) -> np.ndarray:
        """The features that vary, scaled: (..., D) -> (..., kept)."""
        return (features[..., self.kept_] - self.mean_) / self.scale_


class RowScaler:
    """A Scaler that sees the clips in blocks and answers in float32; constant features become 0."""

    def fit(self, data: Rows) -> "RowScaler":
        """Learn one mean and deviation, in float64, for each of the features on the last axis over all the others.

        Raises ProbeError for numbers that are not finite, or too large to be squared.
        """
        low, high, total = np.inf, -np.inf, 0.0
        for block in data.blocks():
            check_range(block, data.size)
            block = block.reshape(-1, block.shape[-1])
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
            total += block.sum(axis=0, dtype=np.float64)
        count = data.size // len(total)
        varies = high > low  # see Scaler
        self.mean_ = total / count
        peak = np.where(varies, np.maximum(high - self.mean_, self.mean_ - low), 1.0)
        squares = 0.0
        for block in data.blocks():
            block = block.reshape(-1, block.shape[-1])
            squares += (((block - self.mean_) / peak) ** 2).sum(axis=0)
        self.scale_ = np.where(varies, peak * np.sqrt(squares / count), np.inf)
        return self

    def transform(self, block: np.ndarray) -> np.ndarray:
        """Scaled features, (..., D) -> (..., D) float32; worked out in float64 if they come so."""
        kind = np.result_type(block, np.float32)
        scaled = np.subtract(block, self.mean_.astype(kind), dtype=kind)
        scaled /= self.scale_.astype(kind)
        return scaled.astype(np.float32, copy=False)
