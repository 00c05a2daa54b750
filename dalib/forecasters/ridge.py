"""Linear regression with a penalty: the training of everything with a linear readout."""

from collections.abc import Iterable

import torch
from torch import Tensor


def ridge(pairs: Iterable[tuple[Tensor, Tensor]], penalty: float) -> Tensor:
    """(feature, output), the weights of least cost (Hoerl and Kennard 1970)

        J(W) = Σ_t |y_t - g_t W|² + λ |W|²
        W = (GᵀG + λ I)⁻¹ Gᵀ Y

    The sums are taken block by block, so that long series need little memory. With λ = 0, or one
    below round-off of the sums, directions of G that the data do not have get no weight.

    Args:
        pairs: blocks of features (sample, feature) and outputs (sample, output), float64.
        penalty: λ, in the units of the sum; what 1e-6 means depends on the number of samples.
    """
    if penalty < 0:
        raise ValueError(f"a ridge penalty must not be negative, got {penalty}")
    GG: Tensor | float = 0.0
    GY: Tensor | float = 0.0
    for G, Y in pairs:
        GG, GY = GG + G.T @ G, GY + G.T @ Y
    λ, V = torch.linalg.eigh(GG)
    raised = λ.clamp(min=0) + penalty
    known = raised > 10 * torch.finfo(λ.dtype).eps * λ[-1]
    return V @ (torch.where(known, 1 / raised, 0.0)[:, None] * (V.T @ GY))
