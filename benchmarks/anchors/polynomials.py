"""Polynomial propagators of Lorenz-63 (Schötz and Boers 2025, arXiv 2507.09652, float64 tables).

A polynomial of degree p maps a sample to the next, x(t + D) = Σ_α c_α x(t)^α, fitted by ordinary
least squares to n samples and iterated from the last of them. For how long it stays closer to the
truth than half its total standard deviation, in Lyapunov times, depends on D, n and p over three
orders of magnitude; a learned forecaster that says to be good is to be seen beside these.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from benchmarks.anchors.checks import Check, Measured, mean_of
from dalib.forecasters.nvar import monomials
from dalib.integrate import RK4
from dalib.streams import normal_like, stream
from dalib.systems.lorenz import Lorenz63

SOURCE = "Schötz and Boers 2025, arXiv 2507.09652"
EXPONENT = 0.906416  # per time unit, as they have it
STEP = 2**-10  # of the solver; samples are further apart, or the map of a step were learned exactly
FINEST = 2**-9
HORIZON = 50.0
THRESHOLD = 0.5  # of the square root of the total variance
SEEDS = 100
POWERS = (-9, -8, -7, -6, -5, -4)  # D = 2^power
TABLE = {  # (n, normalisation): (mean VPT, best degree) at each power
    (256, "whitened"): ((2.3, 2), (5.0, 3), (7.6, 4), (9.9, 5), (11.1, 6), (9.4, 7)),
    (1024, "none"): ((7.3, 3), (12.1, 4), (15.2, 5), (14.7, 6), (13.1, 6), (9.7, 7)),
    (1024, "whitened"): ((8.2, 4), (12.4, 4), (16.3, 5), (17.4, 6), (17.2, 7), (12.8, 8)),
    (4096, "whitened"): ((17.5, 5), (20.3, 5), (19.4, 6), (18.4, 7), (17.4, 7), (13.0, 8)),
    (16384, "whitened"): ((21.3, 5), (20.4, 5), (20.4, 6), (19.0, 7), (17.2, 7), (12.7, 8)),
}
AT_ONCE = 4096  # samples up to which a cell costs less than a minute


def checks() -> Iterator[Check]:
    """Every cell of the table, and the ceilings that solvers set."""
    for (n, normalisation), row in TABLE.items():
        for power, (published, degree) in zip(POWERS, row, strict=True):
            yield Check(
                "polynomial propagators",
                f"mean VPT, n = {n}, {normalisation}, D = 2^{power}, degree {degree}",
                published,
                SOURCE,
                lambda n=n, how=normalisation, D=2.0**power, p=degree: cell(n, how, D, p),
                cost=20 if n <= AT_ONCE else 300,
            )
    for name, published, dtype in (
        ("float64", 32.1, torch.float64),
        ("float32", 12.0, torch.float32),
    ):
        yield Check(
            "polynomial propagators",
            f"mean VPT of another solver in {name}",
            published,
            SOURCE,
            lambda dtype=dtype: ceiling(dtype),
            cost=60,
        )


def cell(n: int, normalisation: str, interval: float, degree: int) -> Measured:
    """The mean over the seeds, of the published degree."""
    past, ahead = series(n * interval)
    stride = round(interval / FINEST)
    x = past[:, -1 - (n - 1) * stride :: stride]
    truth = ahead[:, stride - 1 :: stride]
    white, horizon = normalisation == "whitened", truth.shape[1]
    times = valid_times(propagated(x, horizon, degree, white), truth, interval)
    exact = valid_times(propagated(x, horizon, degree, white, as_published=False), truth, interval)
    mean, interval_of_mean, error = mean_of(times)
    note = f"by QR in the place of normal equations: {exact.mean():.1f}"
    return Measured(mean, tolerance(error), interval_of_mean, note)


def tolerance(standard_error: float) -> float:
    """Two standard errors of the difference of two such means, each of as many seeds."""
    return 2 * 2**0.5 * standard_error + 0.05  # published to one digit


# -- the truth -----------------------------------------------------------------------------------


@cache
def attractor() -> Tensor:
    """(seed, 3), independent states: (-8, 7, 27), slightly disturbed, after 40 time units."""
    x = torch.tensor([-8.0, 7.0, 27.0], dtype=torch.float64).expand(SEEDS, 3)
    x = x + 1e-3 * normal_like(x, stream("polynomial propagators"))
    return RK4(STEP, round(40 / STEP)).flow(Lorenz63())(x)


@cache
def _trajectory(span: float) -> Tensor:
    """(seed, time, 3) at every `FINEST` for `span` time units from 0."""
    flow = RK4(STEP, round(FINEST / STEP)).flow(Lorenz63())
    x, states = attractor(), []
    for _ in range(round(span / FINEST)):
        states.append(x)
        x = flow(x)
    return torch.stack([*states, x], 1)


def series(span: float) -> tuple[Tensor, Tensor]:
    """What was observed for at least `span` time units, and the `HORIZON` that follows."""
    longest = next(s for s in (256.0, 1024.0) if span <= s)
    whole = _trajectory(longest + HORIZON)
    split = whole.shape[1] - round(HORIZON / FINEST)
    return whole[:, :split], whole[:, split:]


# -- the propagators -----------------------------------------------------------------------------


def propagated(
    x: Tensor, horizon: int, degree: int, whitened: bool, *, as_published: bool = True
) -> Tensor:
    """(seed, time, 3) -> (seed, horizon, 3): fitted to x, iterated from its last sample.

    Whitened: z = C^(-1/2) (x - m), with mean and covariance of the samples.
    """
    mean = x.mean(1, keepdim=True) if whitened else torch.zeros_like(x[:, :1])
    root = torch.eye(3, dtype=x.dtype).expand(len(x), 3, 3)
    if whitened:
        λ, V = torch.linalg.eigh(torch.einsum("sti,stj->sij", x - mean, x - mean) / x.shape[1])
        root = V * λ.rsqrt()[:, None] @ V.mT
    z = (x - mean) @ root
    solve = _normal_equations if as_published else _orthogonal
    c = torch.stack([solve(monomials(one[:-1], degree), one[1:]) for one in z])
    now, states = z[:, -1:], []
    for _ in range(horizon):
        now = monomials(now, degree) @ c
        states.append(now)
    return torch.cat(states, 1) @ torch.linalg.inv(root) + mean


def _normal_equations(G: Tensor, y: Tensor) -> Tensor:
    """(time, monomial), (time, 3) -> (monomial, 3), solving GᵀG c = Gᵀy as the authors' code does.

    The expert driver of LAPACK: equilibrated, Cholesky, refined; where rounding has made the matrix
    indefinite, its general sister. The condition of G is squared.
    """
    from scipy.linalg import lapack

    A, b = (G.T @ G).numpy(), (G.T @ y).numpy()
    *_, c, _, _, _, info = lapack.dposvx(A, b, fact="E")
    if 0 < info <= len(A):
        *_, c, _, _, _, info = lapack.dgesvx(A, b, fact="E")
    return torch.from_numpy(np.ascontiguousarray(c))


def _orthogonal(G: Tensor, y: Tensor) -> Tensor:
    """The same by a QR factorisation of G, which does not square its condition."""
    return torch.linalg.lstsq(G, y, driver="gels").solution


def valid_times(forecast: Tensor, truth: Tensor, interval: float) -> np.ndarray:
    """(seed,), in Lyapunov times: the last time before |x̂ - x| ≥ θ s, s² the total variance."""
    total = _trajectory(256.0 + HORIZON).flatten(0, 1).var(0).sum()
    error = (forecast - truth).norm(dim=-1)
    valid = (error < THRESHOLD * total.sqrt()).to(torch.float64).cumprod(1).sum(1)
    return (EXPONENT * interval * valid).numpy()


def ceiling(dtype: torch.dtype) -> Measured:
    """How long RK4 with other rounding follows the truth: no forecast can be judged beyond."""
    _, ahead = series(256.0)
    past, _ = series(256.0)
    reordered = RK4(STEP, round(FINEST / STEP)).flow(_Reordered())
    x, states = past[:, -1].to(dtype), []
    for _ in range(ahead.shape[1]):
        x = reordered(x)
        states.append(x)
    times = valid_times(torch.stack(states, 1).double(), ahead, FINEST)
    mean, interval, error = mean_of(times)
    return Measured(mean, tolerance(error), interval)


@dataclass(frozen=True)
class _Reordered:
    """The equations of Lorenz-63 with sums taken in another order, so that rounding differs."""

    known: Lorenz63 = Lorenz63()

    def drift(self, x: Tensor) -> Tensor:
        x, y, z = x.unbind(-1)
        dx = self.known.sigma * y - self.known.sigma * x
        dy = self.known.rho * x - (x * z + y)
        return torch.stack((dx, dy, x * y - self.known.beta * z), -1)
