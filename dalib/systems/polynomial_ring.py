"""Rings of sites whose tendency is a polynomial of a site and its four neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dalib.systems.runs import by_run

REACH = 2  # neighbours on either side
WINDOW = 2 * REACH + 1
TERMS = 18
# Terms 6 to 17 are products of two sites of the window x_{i-2}, ..., x_{i+2}, numbered 0 to 4:
# squares, next neighbours, next but one.
PAIRS = (
    *((k, k) for k in range(5)),
    *((k, k + 1) for k in range(4)),
    *((k, k + 2) for k in range(3)),
)
LORENZ96 = (8.0, *(0.0, 0.0, -1.0, 0.0, 0.0), *[0.0] * 5, *(-1.0, 0.0, 0.0, 0.0), *(0.0, 1.0, 0.0))


@dataclass(frozen=True)
class PolynomialRing:
    """A ring of `size` sites with 18 coefficients (Adrian et al. 2026, appendix).

        dx_i/dt = b_0 + sum_{m=1..17} b_m p_m(x_{i-2}, ..., x_{i+2})

        p_1 ... p_5     x_{i-2}, x_{i-1}, x_i, x_{i+1}, x_{i+2}
        p_6 ... p_10    their squares
        p_11 ... p_14   x_{i-2} x_{i-1}, x_{i-1} x_i, x_i x_{i+1}, x_{i+1} x_{i+2}
        p_15 ... p_17   x_{i-2} x_i, x_{i-1} x_{i+1}, x_i x_{i+2}

    Non-dimensional. The coefficients of Lorenz (1996) are 8 for p_0 = 1, -1 for x_i and
    x_{i-2} x_{i-1}, and 1 for x_{i-1} x_{i+1}.

    Args:
        size: sites, 5 or more.
        coefficients: (18,), or (run, 18) where the first axis of the state is the run.
    """

    size: int = 40
    coefficients: Sequence[float] | Tensor = LORENZ96

    def __post_init__(self) -> None:
        if self.size < WINDOW:
            raise ValueError(f"a ring needs {WINDOW} sites or more, got size {self.size}")
        shape = tuple(torch.as_tensor(self.coefficients).shape)
        if shape[-1:] != (TERMS,) or len(shape) > 2:
            raise ValueError(f"coefficients are (18,) or (run, 18), got shape {shape}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{i}" for i in range(self.size))

    @cached_property
    def form(self) -> tuple[Tensor, Tensor, Tensor]:
        """b_0 (run, 1), b_1 ... b_5 (run, 5, 1), and the others as a matrix U (run, 5, 5).

        With the window w = (x_{i-2}, ..., x_{i+2}), dx_i/dt = b_0 + w · (b_1...5 + U w).
        """
        b = self.coefficients
        b = b if isinstance(b, Tensor) else torch.tensor(b, dtype=torch.float64)
        b = b.reshape(-1, TERMS)
        rows, columns = torch.tensor(PAIRS, device=b.device).T
        U = b.new_zeros(len(b), WINDOW, WINDOW)
        U[:, rows, columns] = b[:, 6:]
        return b[:, :1], b[:, 1:6, None], U

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change: eight operations, however many terms."""
        constant, linear, U = (part.to(x) for part in self.form)
        w = windows(by_run(x, len(constant)))
        return ((torch.baddbmm(linear, U, w) * w).sum(1) + constant).reshape(x.shape)


def windows(x: Tensor) -> Tensor:
    """(run, point, site) -> (run, 5, point · site): each site and its neighbours on the ring."""
    ring = torch.cat([x[..., -REACH:], x, x[..., :REACH]], -1)
    return ring.unfold(-1, x.shape[-1], 1).movedim(-2, 1).flatten(2)
