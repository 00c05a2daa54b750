"""Random rotations of ensembles, which keep mean and covariance."""

import torch
from torch import Tensor

from dalib.streams import Generator, normal


def rotation(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Random orthogonal (..., N, N) for a shape (..., N) that keep the mean of N members.

        Ω = B Uᵀ + 1 1ᵀ / N

    where the columns of B and U are orthonormal bases of what is orthogonal to 1: U that of a QR
    factorisation of [1, random], so that it is uniform (Mezzadri 2007), B that of an arbitrary one.
    """
    N = shape[-1]
    random = normal((*shape, N), generator)
    B, U = _basis(torch.vander(torch.linspace(-1, 1, N).double(), increasing=True)), _basis(random)
    return B @ U.mT + 1 / N


def rotated(ensemble: Tensor, generator: Generator) -> Tensor:
    """(..., member, state), with the same mean and covariance (Sakov and Oke 2008)."""
    return rotation(ensemble.shape[:-1], generator).to(ensemble) @ ensemble


def _basis(columns: Tensor) -> Tensor:
    """(..., N, N) -> (..., N, N-1): orthonormal, orthogonal to 1; the first column is not used."""
    ones = torch.ones_like(columns[..., :1])
    Q, R = torch.linalg.qr(torch.cat([ones, columns[..., 1:]], -1))
    signs = R.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]  # uniform needs a positive diagonal
    return (Q * signs)[..., 1:]
