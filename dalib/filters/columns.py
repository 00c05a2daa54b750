"""The local ensemble transform of many columns side by side."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.ensemble import anomalies
from dalib.filters.etkf import transform
from dalib.filters.linalg import PRECISE, plain
from dalib.filters.local_transform import local_transform, trace
from dalib.filters.patches import COLUMNS, Patch

BLOCK = 768  # columns transformed together: their arrays stay in cache
LIMIT = {torch.float32: PRECISE, torch.float64: 1e-5}  # as PRECISE, of what is fast


def localised(ensemble: Tensor, S: Tensor, d: Tensor, taper: Tensor) -> Tensor:
    """`letkf.letkf_analysis`, from S (..., member, obs) and d (..., 1, obs)."""
    mean, X = anomalies(ensemble)
    taper = taper.to(S)
    root = torch.where(taper > 0, taper, 1.0).sqrt() * (taper > 0)  # no slope where it is zero
    root = root[..., :, None, :]
    weights = transform(S[..., None, :, :] * root, d[..., None, :, :] * root)
    return mean + (weights @ X.mT[..., None].to(S))[..., 0].mT.to(X)


def in_parts(update: Callable, E: Tensor, S: Tensor, d: Tensor, patches: list[Patch]) -> Tensor:
    """(series, member, state), so many series at once as a block takes."""
    patches = [patch for patch in patches if len(patch.seen)]
    parts = zip(*(value.split(BLOCK // COLUMNS) for value in (E, S, d)), strict=True)
    return torch.cat([update(*part, patches) for part in parts])


def by_eigenvalues(E: Tensor, S: Tensor, d: Tensor, patches: list[Patch]) -> Tensor:
    """`transformed`, with derivatives, and whatever the condition."""
    updated = E.clone()
    if not plain():  # as many as there are of what is given
        updated = E + torch.zeros_like(S[..., :1]) + torch.zeros_like(d[..., :1])
    for components, seen, taper in patches:
        index = components.flatten()
        taper = taper.mT.repeat(len(components), 1)
        updated[..., index] = localised(E[..., index], S[..., seen], d[..., seen], taper)
    return updated


def transformed(E: Tensor, S: Tensor, d: Tensor, patches: list[Patch]) -> Tensor:
    """(series, member, state) from E, S (series, member, obs) and d (series, 1, obs).

    In the precision of E where its digits suffice for 1 + A, else in float64, else one column
    after the other.
    """
    updated, mean = E.clone(), E.mean(-2, keepdim=True)
    S, Sd = S.transpose(0, 1).contiguous(), (S * d).transpose(0, 1).contiguous()
    given = {E.dtype: (S.to(E), Sd.to(E)), torch.float64: (S, Sd)}
    for block in _blocks(patches, len(E)):
        components = torch.cat([patch.components for patch in block], -1)
        here = mean[..., components]
        for dtype, (S_own, Sd_own) in given.items():
            X = (E[..., components] - here).to(dtype).permute(2, 1, 0, 3)
            rows = _rows(S_own, Sd_own, X, block)
            largest = 1 + trace(rows)
            if largest * torch.finfo(dtype).eps < LIMIT[dtype]:
                X = local_transform(rows, largest).unflatten(-1, X.shape[2:])
                updated[..., components] = here + X.permute(2, 1, 0, 3).to(E)
                break
        else:
            updated = by_eigenvalues(updated, S.transpose(0, 1), d, block)
    return updated


def _rows(S: Tensor, Sd: Tensor, X: Tensor, block: list[Patch]) -> Tensor:
    """(N + 1 + variable, N, column) for `local_transform`."""
    pairs = _pairs(len(S), S.device)
    products = torch.cat([_products(S, Sd, patch, pairs) for patch in block], -1)
    return torch.cat([products[pairs.place], X]).flatten(2)


class _Pairs(NamedTuple):
    """Members i <= j (pair,), and where the rows of A and b are among the products (N + 1, N)."""

    i: Tensor
    j: Tensor
    place: Tensor


@lru_cache(maxsize=8)
def _pairs(N: int, device: torch.device) -> _Pairs:
    i, j = torch.triu_indices(N, N, device=device)
    place = torch.arange(len(i), len(i) + N, device=device).repeat(N + 1, 1)
    place[i, j] = place[j, i] = torch.arange(len(i), device=device)
    return _Pairs(i, j, place)


def _products(S: Tensor, Sd: Tensor, patch: Patch, pairs: _Pairs) -> Tensor:
    """(pair + N, seed, column): S ρ Sᵀ / (N-1) of each pair of members, and S ρ dᵀ of each.

    Both are linear in ρ: one product of matrices serves all columns of the patch.
    """
    S, Sd = S[..., patch.seen], Sd[..., patch.seen]
    squares = S[pairs.i] * (S / (len(S) - 1))[pairs.j]
    return torch.cat([squares, Sd]) @ patch.taper.to(S)


def _blocks(patches: list[Patch], seeds: int) -> Iterator[list[Patch]]:
    together = max(1, BLOCK // (COLUMNS * seeds))
    for first in range(0, len(patches), together):
        yield patches[first : first + together]
