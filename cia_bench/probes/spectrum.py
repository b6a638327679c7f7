"""Decompose centred features once, so that ridge for any regularisation and any labels is a product of matrices.

Arrays are numpy's, or torch's on whatever device.
"""

import numpy as np

from cia_bench.probes.arrays import module_of

LOSS = 3e-8  # of alpha, in a Gram matrix's rounding: scores of clips that contradict each other are off by a third


def loses(rows: np.ndarray, alpha: float) -> bool:
    """Whether a Gram matrix of `rows` would lose alpha in rounding: its error is that of |rows|² in float64."""
    return bool(module_of(rows).linalg.norm(rows) ** 2 * np.finfo(np.float64).eps > LOSS * alpha)


def decompose_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U, S and Vt of rows, as numpy's svd; S is 0 where it can't be told from the rounding of the largest.

    Left as they come, directions that no clip has would get weights as large as those of the others.
    """
    U, S, Vt = module_of(rows).linalg.svd(rows, full_matrices=False)
    S[S < max(rows.shape) * np.finfo(np.float64).eps * S.max()] = 0
    return U, S, Vt


def decompose(rows: np.ndarray, new: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left (M, r), eigenvalues (r,) and right (r, N) of centred training rows (N, D), for new rows (M, D).

    The new rows' ridge scores of targets (N,) are left @ (right @ targets / (eigenvalues + beta)), for any beta from
    `alpha` up. From the eigenvectors of the smaller of the two Gram matrices, or from the rows where that loses alpha.
    """
    N, D = rows.shape
    if loses(rows, alpha):
        U, S, Vt = decompose_rows(rows)
        return new @ Vt.T, S * S, S[:, None] * U.T
    if N <= D:
        values, U = module_of(rows).linalg.eigh(rows @ rows.T)
        return (new @ rows.T) @ U, values.clip(0), U.T
    values, V = module_of(rows).linalg.eigh(rows.T @ rows)
    return new @ V, values.clip(0), V.T @ rows.T
