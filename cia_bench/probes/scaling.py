"""Scale features to mean 0 and standard deviation 1 over the training clips."""

import numpy as np


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
