"""Float64 linear algebra in numpy, or in torch on a device: what is written once must run in both."""

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def send(array: np.ndarray, device: str | None) -> "np.ndarray | torch.Tensor":
    """The array as a tensor on a torch device, or as it is for None."""
    if device is None:
        return array
    import torch

    return torch.as_tensor(array, dtype=torch.float64, device=device)


def fetch(array: "np.ndarray | torch.Tensor") -> np.ndarray:
    """A numpy array, wherever the numbers are."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def module_of(array: "np.ndarray | torch.Tensor") -> ModuleType:
    """numpy or torch, whose functions take the array and, where both have them, go by the same names."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def solve_positive(matrix: "np.ndarray | torch.Tensor", right: "np.ndarray | torch.Tensor"):
    """The x (n,) with matrix @ x = right, for a positive definite matrix (n, n), which may be overwritten."""
    if isinstance(matrix, np.ndarray):
        from scipy.linalg import cho_factor, cho_solve  # half the work of numpy's solve

        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        return cho_solve(factor, right, check_finite=False)
    return module_of(matrix).linalg.solve(matrix, right)


def add_to_diagonal(matrix: "np.ndarray | torch.Tensor", value: float):
    """The same matrix, changed in place."""
    places = range(len(matrix))
    matrix[places, places] += value
    return matrix
