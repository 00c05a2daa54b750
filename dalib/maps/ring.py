"""A ring with an imperfect tendency and a correction to be learned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.integrate import RK4, rk4_step
from dalib.maps.base import Start, forecast_rmse
from dalib.nets.ring import RingNetwork
from dalib.streams import Generator, normal
from dalib.systems.lorenz import Lorenz96
from dalib.systems.polynomial_ring import LORENZ96, TERMS, PolynomialRing

SPREAD = (1.0, *[0.1] * 5, *[0.01] * 12)  # variances of the coefficients, in units of `variance`
CORRECTIONS = ("coefficients", "network")
READINGS = ("tendency", "resolvent")
NETWORK = "network."


@dataclass(frozen=True)
class RingMap:
    """Lorenz (1996) with wrong coefficients b and a correction G (Adrian et al. 2026, sec. 5.2).

        x' = RK4_dt[F_b + G](x)         reading "tendency"
        x' = RK4_dt[F_b](x) + G(x)      reading "resolvent"

    F_b is the polynomial of `PolynomialRing`; G a network, or "coefficients" c added to b, for
    which F_b + G = F_{b+c} contains the truth.

    Args:
        size: sites of the ring.
        dt: sampling interval, and the step of RK4.
        correction: "coefficients" or "network".
        reading: "tendency" or "resolvent", the latter for networks.
    """

    size: int = 40
    dt: float = 0.05
    correction: str = "coefficients"
    reading: str = "tendency"

    dtype = torch.float32

    def __post_init__(self) -> None:
        for name, known in (("correction", CORRECTIONS), ("reading", READINGS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}; known: {', '.join(known)}"
                )
        if (self.correction, self.reading) == ("coefficients", "resolvent"):
            raise ValueError("coefficients correct a tendency; use reading: tendency")

    def start(self, variance: Tensor, generator: Generator) -> Start:
        """Wrong coefficients b, fixed, and a first correction: zeros, or a random network.

        b_m ~ N(b*_m, s_m variance),  s = 1 (m = 0), 0.1 (1 to 5), 0.01 (6 to 17)
        """
        runs = len(variance)
        std = (variance.double()[:, None] * torch.tensor(SPREAD).double()).sqrt()
        beta = torch.tensor(LORENZ96).double() + std * normal((runs, TERMS), generator)
        if self.correction == "coefficients":
            learnable = {"coefficients": torch.zeros(runs, TERMS, dtype=self.dtype)}
        else:
            drawn = RingNetwork.draw(runs, generator)._asdict()
            learnable = {NETWORK + name: value for name, value in drawn.items()}
        return Start(
            {name: (value, "identity") for name, value in learnable.items()},
            {"beta": beta.to(self.dtype)},
        )

    def flow(self, values: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """(run, ..., size) -> (run, ..., size)."""
        beta, dt = values["beta"], self.dt
        if self.correction == "coefficients":
            return RK4(dt).flow(PolynomialRing(self.size, beta + values["coefficients"]))
        F = PolynomialRing(self.size, beta).drift
        G = RingNetwork(*(values[NETWORK + name] for name in RingNetwork._fields))
        if self.reading == "tendency":
            return lambda x: rk4_step(lambda x: F(x) + G(x), x, dt)
        return lambda x: rk4_step(F, x, dt) + G(x)

    def truth(self) -> Callable[[Tensor], Tensor]:
        """(..., size) -> (..., size)."""
        return RK4(self.dt).flow(Lorenz96(self.size))

    @torch.no_grad()
    def errors(self, values: Mapping[str, Tensor], states: Tensor) -> dict[str, Tensor]:
        """`forecast_rmse`; states (point, size)."""
        return {"forecast_rmse": forecast_rmse(self, values, states)}
