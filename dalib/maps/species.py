"""Species whose interactions and equilibrium are to be learned."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dalib import limits
from dalib.integrate import RK4, rk4_step, trajectory
from dalib.maps.base import Start, forecast_rmse, mae
from dalib.streams import Generator, each, normal
from dalib.systems.lotka_volterra import LotkaVolterra

# When an initial model counts as stable (ours): a short run of as many members as species stays
# below the bound. After six rejections, more than half of ten, the model gets shorter steps; one
# that needs more than `SUBSTEPS` of them fails.
TRIAL, BOUND, REJECTIONS, SUBSTEPS = 20, 1e3, 6, 16


@dataclass(frozen=True)
class SpeciesMap:
    """Lotka-Volterra by RK4, with the blocks a and the equilibrium x_s to be learned.

    The growth rates follow: r = -A x_s.

    Args:
        size: species.
        dt: sampling interval.
        seed: names the true equilibrium.
    """

    size: int = 16
    dt: float = 0.05
    seed: int = 0

    dtype = torch.float32

    def __post_init__(self) -> None:
        limits.at_least(4, size=self.size)
        limits.more_than(0, dt=self.dt)

    @cached_property
    def true(self) -> LotkaVolterra:
        """The true system."""
        return LotkaVolterra(self.size, seed=self.seed)

    def start(self, variance: Tensor, generator: Generator) -> Start:
        """a ~ N(a*, variance), x_s ~ N(x_s*, variance), drawn again where the model is unstable.

        Fixed are (run,) `rejected`, how many draws were, and `substeps`, RK4 steps an interval: 1;
        after six rejections ceil(w dt / 2) with the fastest frequency w, and one more with every
        further rejection.
        """
        generators = each(generator)
        if len(generators) != len(variance):
            raise ValueError(f"{len(variance)} runs need as many streams, got {len(generators)}")
        drawn = [
            self._stable(std, one)
            for std, one in zip(variance.double().sqrt().tolist(), generators, strict=True)
        ]
        blocks, equilibrium, rejected, substeps = zip(*drawn, strict=True)
        return Start(
            {
                "blocks": (torch.stack(blocks), "identity"),
                "equilibrium": (torch.stack(equilibrium), "identity"),
            },
            {"rejected": torch.tensor(rejected), "substeps": torch.tensor(substeps)},
        )

    def flow(self, values: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """(run, ..., size) -> (run, ..., size)."""
        system = LotkaVolterra(self.size, values["blocks"], values["equilibrium"])
        substeps = values["substeps"]
        if (substeps == substeps[0]).all():
            return RK4(self.dt / int(substeps[0]), int(substeps[0])).flow(system)
        # A run with fewer steps than others rests, with dt = 0, after its own.
        dts = [
            torch.where(k < substeps, self.dt / substeps, 0.0).to(values["blocks"])
            for k in range(int(substeps.max()))
        ]

        def flow(x: Tensor) -> Tensor:
            for dt in dts:
                x = rk4_step(system.drift, x, dt.view(-1, *[1] * (x.ndim - 1)))
            return x

        return flow

    def truth(self) -> Callable[[Tensor], Tensor]:
        """(..., size) -> (..., size)."""
        return RK4(self.dt).flow(self.true)

    @torch.no_grad()
    def errors(self, values: Mapping[str, Tensor], states: Tensor) -> dict[str, Tensor]:
        """`forecast_rmse`, and the mean absolute errors of A, r and a; states (point, size)."""
        blocks, equilibrium = values["blocks"].double(), values["equilibrium"].double()
        learned = LotkaVolterra(self.size, blocks, equilibrium)
        return {
            "forecast_rmse": forecast_rmse(self, values, states),
            "mae_interactions": mae(learned.matrix, self.true.matrix),
            "mae_growth": mae(learned.growth, self.true.growth),
            "mae_blocks": mae(blocks, self.true.a),
        }

    def _stable(self, std: float, generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
        """One run's blocks, equilibrium, count of rejected draws, and substeps."""
        for rejected in range(2 * REJECTIONS):
            blocks = self.true.a + std * normal((len(self.true.a),), generator)
            equilibrium = self.true.x_s + std * normal((self.size,), generator)
            ensemble = (1 + normal((self.size, self.size), generator)).abs()
            system = LotkaVolterra(self.size, blocks, equilibrium)
            substeps = 1
            if rejected >= REJECTIONS:
                substeps = self._substeps(system) + rejected - REJECTIONS
            if substeps <= SUBSTEPS and self._bounded(system, ensemble, substeps):
                return blocks.to(self.dtype), equilibrium.to(self.dtype), rejected, substeps
        raise ValueError(
            f"none of {2 * REJECTIONS} initial models stays below {BOUND:g} for {TRIAL} intervals; "
            f"use a variance below {std**2:g}, fewer species or a shorter dt"
        )

    def _bounded(self, system: LotkaVolterra, ensemble: Tensor, substeps: int) -> bool:
        flow = RK4(self.dt / substeps, substeps).flow(system)
        return bool(trajectory(flow, ensemble, TRIAL).abs().amax() <= BOUND)  # NaN is not

    def _substeps(self, system: LotkaVolterra) -> int:
        """ceil(w dt / 2), w the fastest frequency of the motion around the equilibrium."""
        frequencies = torch.linalg.eigvals(system.x_s[:, None] * system.matrix).abs()
        return max(1, math.ceil(frequencies.max().item() * self.dt / 2))
