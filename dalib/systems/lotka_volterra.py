"""Species that live on each other: generalised Lotka-Volterra equations in four groups."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from dalib.systems.runs import by_run

GROUPS = 4
BLOCKS = (*(0.1, 0.05, 0.01, -0.04), *(0.1, 0.05, 0.01), *(0.1, 0.05), 0.1)


@dataclass(frozen=True)
class LotkaVolterra:
    """Predators and prey in four groups that share their rates (Adrian et al. 2026, eq. 26).

        dx_i/dt = x_i (r_i + (A x)_i),    r = -A x_s
        A_ij = a_gh for i < j,  -a_gh for i > j,  0 for i = j;   g = floor(4 i / size), h of j

    that is dx_i/dt = x_i (A (x - x_s))_i: populations rest at x_s, and A, antisymmetric, keeps
    V = sum_i (x_i - x_s,i ln x_i) for any a. Non-dimensional.

    Args:
        size: species, 4 or more.
        blocks: a, the upper triangle of the symmetric 4 x 4 matrix a_gh row by row; (10,), or
            (run, 10) where the first axis of the state is the run.
        equilibrium: x_s (size,) or (run, size); without it softplus(z), z standard normal numbers
            that belong to `seed`.
        seed: names the equilibrium.
    """

    size: int = 16
    blocks: Sequence[float] | Tensor = BLOCKS
    equilibrium: Sequence[float] | Tensor | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < GROUPS:
            raise ValueError(f"four groups need 4 species or more, got size {self.size}")
        if self.a.shape[-1] != len(BLOCKS) or self.a.ndim > 2:
            raise ValueError(f"blocks are (10,) or (run, 10), got shape {tuple(self.a.shape)}")
        if self.x_s.shape[-1] != self.size or self.x_s.ndim > 2:
            raise ValueError(
                f"equilibrium is ({self.size},) or (run, {self.size}), got shape "
                f"{tuple(self.x_s.shape)}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{i}" for i in range(self.size))

    @cached_property
    def a(self) -> Tensor:
        """(..., 10), the blocks."""
        return tensor(self.blocks)

    @cached_property
    def x_s(self) -> Tensor:
        """(..., size), where the populations rest."""
        if self.equilibrium is not None:
            return tensor(self.equilibrium)
        uniform = [_uniform(f"{self.seed}/{i}") for i in range(self.size)]
        return softplus(torch.special.ndtri(torch.tensor(uniform, dtype=torch.float64)))

    @property
    def matrix(self) -> Tensor:
        """(..., size, size), A."""
        site = torch.arange(self.size, device=self.a.device)
        sign = (site - site[:, None]).sign()
        return self._symmetric[..., self._group[:, None], self._group] * sign

    @property
    def growth(self) -> Tensor:
        """(..., size), r = -A x_s."""
        return -(self.matrix @ self.x_s[..., None])[..., 0]

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        runs = max(self.a[..., 0].numel(), self.x_s[..., 0].numel())
        rows = by_run(x, runs)
        away = rows - self.x_s.to(x).reshape(-1, 1, self.size)
        return (rows * self.product(away)).reshape(x.shape)

    def product(self, u: Tensor) -> Tensor:
        """A u for u (run, point, size), without A.

        With c_i = u_0 + ... + u_i and the sums S_h over the groups,

            (A u)_i = a_gg (u_i - 2 c_i) + sum_h D_gh S_h
            D_gh = a_gh for g < h,  a_gg for g = h,  2 a_gg - a_gh for g > h
        """
        own, D, member = (part.to(u) for part in self._parts)
        return own * (u - 2 * u.cumsum(-1)) + (u @ member) @ D

    @cached_property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """a_gg of each species (run, 1, size), D of each (run, 4, size), indicator (size, 4)."""
        a = self._symmetric.reshape(-1, GROUPS, GROUPS)
        own = a.diagonal(dim1=1, dim2=2)
        below = 2 * own[..., None] - a
        D = a.triu() + below.tril(-1)
        member = one_hot(self._group, GROUPS).to(a)
        return own[:, None, self._group], D.mT @ member.T, member

    @property
    def _symmetric(self) -> Tensor:
        """(..., 4, 4), a_gh."""
        row, column = torch.triu_indices(GROUPS, GROUPS, device=self.a.device)
        place = torch.empty(GROUPS, GROUPS, dtype=torch.long, device=self.a.device)
        place[row, column] = place[column, row] = torch.arange(len(BLOCKS), device=self.a.device)
        return self.a[..., place]

    @property
    def _group(self) -> Tensor:
        """(size,), the group of each species."""
        return torch.arange(self.size, device=self.a.device) * GROUPS // self.size


def tensor(values: Sequence[float] | Tensor) -> Tensor:
    """Numbers in double precision; a tensor as it is."""
    return values if isinstance(values, Tensor) else torch.tensor(values, dtype=torch.float64)


def _uniform(name: str) -> float:
    """A number in (0, 1) that belongs to the name: 52 bits of its SHA-256."""
    bits = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 12
    return (bits + 0.5) / 2**52
