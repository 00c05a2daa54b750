"""From the equations of a system to its map over one sampling interval, and to trajectories.

An integrator knows its step and how many make a sampling interval. `flow(system)` is the map over
the interval, `tangent(system)` the same map with its derivative. Everything broadcasts over
leading axes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib import limits
from dalib.streams import Generator, normal_like

CHUNK = 32768  # numbers of state advanced together: four work arrays of 256 KiB stay in cache


@dataclass(frozen=True)
class RK4:
    """The classical method of Runge and Kutta, fourth order; `steps` of `dt` a sampling interval.

    k1 = f(x)    k2 = f(x + dt/2 k1)    k3 = f(x + dt/2 k2)    k4 = f(x + dt k3)
    x <- x + dt/6 (k1 + 2 k2 + 2 k3 + k4)

    Attributes:
        dt: step, in model time.
        steps: steps in a sampling interval.
    """

    dt: float
    steps: int = 1

    def __post_init__(self) -> None:
        limits.more_than(0, dt=self.dt)
        limits.at_least(1, steps=self.steps)

    @property
    def interval(self) -> float:
        """Model time of one sampling interval."""
        return self.dt * self.steps

    def flow(self, system) -> Callable[[Tensor], Tensor]:
        """The map (..., state) -> (..., state) over one interval.

        Differentiable by autograd and torch.func. Where nobody differentiates, and the system can
        write its drift in place, the same steps run without temporaries, several times faster.
        """
        in_place = hasattr(system, "drift_kernel") and not _has_tensors(system)

        def flow(x: Tensor) -> Tensor:
            if in_place and _is_plain(x):
                return self._advance_in_place(system, x)
            for _ in range(self.steps):
                x = rk4_step(system.drift, x, self.dt)
            return x

        return flow

    def tangent(self, system) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """The map x -> (x', F) over one interval; F (..., state, state) is the derivative dx'/dx.

        F is that of the discrete step, not of the exact flow: Runge-Kutta on (x, F) with F' = J F.
        """

        def tangent(x: Tensor) -> tuple[Tensor, Tensor]:
            F = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
            for _ in range(self.steps):
                x, F = _rk4_tangent_step(system, x, F, self.dt)
            return x, F

        return tangent

    def _advance_in_place(self, system, x: Tensor) -> Tensor:
        """The flow of x (..., state), a cache-sized number of columns (state, count) at a time."""
        rows = x.reshape(-1, x.shape[-1])
        out = torch.empty_like(rows)
        pieces = max(1, math.ceil(rows.numel() / CHUNK))
        count = max(1, math.ceil(len(rows) / pieces))
        columns = rows.new_zeros(rows.shape[1], count)
        advance = self._in_place(system, columns)
        for start in range(0, len(rows), count):
            part = rows[start : start + count]
            columns[:, : len(part)] = part.T
            advance()
            out[start : start + count] = columns[:, : len(part)].T
        return out.reshape(x.shape)

    def _in_place(self, system, x: Tensor) -> Callable[[], None]:
        """A call that replaces what x (state, count) then holds by its flow."""
        k, stage, total = torch.empty_like(x), torch.empty_like(x), torch.empty_like(x)
        drift, drift_of_stage = system.drift_kernel(x, k), system.drift_kernel(stage, k)
        dt = self.dt

        def advance() -> None:
            for _ in range(self.steps):
                drift()
                torch.add(x, k, alpha=dt / 6, out=total)
                for ahead, weight in ((dt / 2, dt / 3), (dt / 2, dt / 3), (dt, dt / 6)):
                    torch.add(x, k, alpha=ahead, out=stage)
                    drift_of_stage()
                    total.add_(k, alpha=weight)
                x.copy_(total)

        return advance


@dataclass(frozen=True)
class EulerMaruyama:
    """Euler's method for dx = f(x) dt + s dW; `steps` of `dt` a sampling interval.

        x <- x + dt f(x) + sqrt(dt) s N(0, I)

    `noise_std` s is in state units per square root of model time.

    Attributes:
        dt: step, in model time.
        noise_std: s, state units per square root of model time.
        steps: steps in a sampling interval.
    """

    dt: float
    noise_std: float
    steps: int = 1

    def __post_init__(self) -> None:
        limits.more_than(0, dt=self.dt)
        limits.at_least(0, noise_std=self.noise_std)
        limits.at_least(1, steps=self.steps)

    @property
    def interval(self) -> float:
        """Model time of one sampling interval."""
        return self.dt * self.steps

    def flow(self, system) -> Callable[[Tensor, Generator], Tensor]:
        """The random map (x, generator) -> x' over one interval, x (..., state).

        Its attribute `random` says that it needs a generator; `trajectory` gives it one.
        """

        def flow(x: Tensor, generator: Generator | None = None) -> Tensor:
            if generator is None:
                raise ValueError(
                    "an Euler-Maruyama step draws noise and needs a generator; give filters and "
                    "forecasts a deterministic integrator (rk4) and the noise as model_error_std"
                )
            for _ in range(self.steps):
                noise = math.sqrt(self.dt) * self.noise_std * normal_like(x, generator)
                x = x + self.dt * system.drift(x) + noise
            return x

        flow.random = True
        return flow


@dataclass(frozen=True)
class ETDRK4:
    """Exponential time differencing for dv/dt = L v + N(v) in Fourier waves, fourth order.

    The stiff L exactly, N as by Runge and Kutta (Cox and Matthews 2002, eqs. 26-29):

        a = E½ v + Q N(v)        b = E½ v + Q N(a)        c = E½ a + Q (2 N(b) - N(v))
        v <- E v + f1 N(v) + 2 f2 (N(a) + N(b)) + f3 N(c)        E = exp(L dt), E½ = exp(L dt / 2)

    with Q, f1, f2, f3 as means over a circle around each L dt, where the closed forms lose all
    digits (Kassam and Trefethen 2005). The system has `size`, `linear()` L (wave,) and
    `nonlinear(v)`, of a real transform of its state. `steps` of `dt` a sampling interval.

    Attributes:
        dt: step, in model time.
        steps: steps in a sampling interval.
    """

    dt: float
    steps: int = 1

    def __post_init__(self) -> None:
        limits.more_than(0, dt=self.dt)
        limits.at_least(1, steps=self.steps)

    @property
    def interval(self) -> float:
        """Model time of one sampling interval."""
        return self.dt * self.steps

    def flow(self, system) -> Callable[[Tensor], Tensor]:
        """The map (..., state) -> (..., state) over one interval."""
        if not (hasattr(system, "linear") and hasattr(system, "nonlinear")):
            raise ValueError(
                f"etdrk4 needs a system with linear() and nonlinear() in Fourier waves; "
                f"{type(system).__name__} has none: use rk4"
            )
        coefficients = _etdrk4_coefficients(system.linear(), self.dt)

        def flow(x: Tensor) -> Tensor:
            E, half, Q, f1, f2, f3 = (value.to(x) for value in coefficients)
            N, v = system.nonlinear, torch.fft.rfft(x)
            for _ in range(self.steps):
                Nv = N(v)
                a = half * v + Q * Nv
                Na = N(a)
                Nb = N(half * v + Q * Na)
                Nc = N(half * a + Q * (2 * Nb - Nv))
                v = E * v + f1 * Nv + 2 * f2 * (Na + Nb) + f3 * Nc
            return torch.fft.irfft(v, n=x.shape[-1])

        return flow

    def tangent(self, system) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """The map x -> (x', F) over one interval; F (..., state, state) is dx'/dx of the scheme."""
        flow = self.flow(system)

        def tangent(x: Tensor) -> tuple[Tensor, Tensor]:
            units = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)

            def moved(unit: Tensor) -> Tensor:
                return torch.func.jvp(flow, (x,), (unit.expand_as(x),))[1]

            return flow(x), torch.func.vmap(moved, out_dims=-1)(units)

        return tangent


@dataclass(frozen=True)
class Iterate:
    """The step of a map, `steps` of them a sampling interval; time counts steps.

    Attributes:
        steps: iterations in a sampling interval.
    """

    steps: int = 1

    def __post_init__(self) -> None:
        limits.at_least(1, steps=self.steps)

    @property
    def interval(self) -> float:
        """Steps of the map in one sampling interval."""
        return float(self.steps)

    def flow(self, system) -> Callable[[Tensor], Tensor]:
        """The map (..., state) -> (..., state) over one interval.

        A system that takes many steps cheaper than one after the other has `advance(x, steps)`.
        """
        if hasattr(system, "advance"):
            return lambda x: system.advance(x, self.steps)

        def flow(x: Tensor) -> Tensor:
            for _ in range(self.steps):
                x = system.step(x)
            return x

        return flow

    def tangent(self, system) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """The map x -> (x', F) over one interval; F (..., state, state) is dx'/dx."""

        def tangent(x: Tensor) -> tuple[Tensor, Tensor]:
            F = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
            for _ in range(self.steps):
                x, F = system.step(x), system.jacobian(x) @ F
            return x, F

        return tangent


@dataclass(frozen=True)
class Exact:
    """The exact flow of a linear system over `dt`: its `propagator(dt)`, a matrix exponential.

    Attributes:
        dt: sampling interval, in model time.
    """

    dt: float

    def __post_init__(self) -> None:
        limits.more_than(0, dt=self.dt)

    @property
    def interval(self) -> float:
        """Model time of one sampling interval."""
        return self.dt

    def flow(self, system) -> Callable[[Tensor], Tensor]:
        """The map (..., state) -> (..., state) over one interval; the matrix is computed once."""
        F = system.propagator(self.dt)
        return lambda x: (F.to(x) @ x[..., None])[..., 0]

    def tangent(self, system) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """The map x -> (x', F) over one interval; F is the propagator, the same for every x."""
        F = system.propagator(self.dt)
        advance = self.flow(system)
        return lambda x: (advance(x), F.to(x).expand(*x.shape[:-1], *F.shape[-2:]))


def _etdrk4_coefficients(L: Tensor, dt: float, points: int = 32) -> tuple[Tensor, ...]:
    """E, E½, Q, f1, f2, f3 of `ETDRK4`, (wave,) each, for real L (wave,)."""
    around = torch.exp(1j * math.pi * (torch.arange(points, dtype=torch.float64) + 0.5) / points)
    z = dt * L[:, None] + around  # the lower half of the circle has the conjugate values
    e = z.exp()

    def mean(values: Tensor) -> Tensor:
        return dt * values.mean(-1).real

    Q = mean((torch.exp(z / 2) - 1) / z)
    f1 = mean((-4 - z + e * (4 - 3 * z + z**2)) / z**3)
    f2 = mean((2 + z + e * (z - 2)) / z**3)
    f3 = mean((-4 - 3 * z - z**2 + e * (4 - z)) / z**3)
    return (dt * L).exp(), (dt * L / 2).exp(), Q, f1, f2, f3


def rk4_step(drift: Callable[[Tensor], Tensor], x: Tensor, dt: float) -> Tensor:
    """(..., state) -> (..., state), one classical Runge-Kutta step."""
    k1 = drift(x)
    k2 = drift(x + dt / 2 * k1)
    k3 = drift(x + dt / 2 * k2)
    k4 = drift(x + dt * k3)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def trajectory(
    step: Callable[..., Tensor],
    x0: Tensor,
    count: int,
    noise_std: float = 0.0,
    generator: Generator | None = None,
) -> Tensor:
    """(..., state) -> (..., count + 1, state): x0 and the `count` states that follow.

    With `noise_std`, x <- step(x) + noise_std N(0, I) after every interval. That, and a step that
    is `random`, needs a generator.
    """
    arguments = (generator,) if getattr(step, "random", False) else ()
    x, states = x0, [x0]
    for _ in range(count):
        x = step(x, *arguments)
        if noise_std:
            x = x + noise_std * normal_like(x, generator)
        states.append(x)
    return torch.stack(states, dim=-2)


def _rk4_tangent_step(system, x: Tensor, F: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """One Runge-Kutta step of (x, F) with x' = f(x), F' = J(x) F."""

    def rates(x: Tensor, F: Tensor) -> tuple[Tensor, Tensor]:
        return system.drift(x), system.jacobian(x) @ F

    k1, K1 = rates(x, F)
    k2, K2 = rates(x + dt / 2 * k1, F + dt / 2 * K1)
    k3, K3 = rates(x + dt / 2 * k2, F + dt / 2 * K2)
    k4, K4 = rates(x + dt * k3, F + dt * K3)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4), F + dt / 6 * (K1 + 2 * K2 + 2 * K3 + K4)


def _has_tensors(system) -> bool:
    return any(isinstance(value, Tensor) for value in vars(system).values())


def _is_plain(x: Tensor) -> bool:
    """True where nobody differentiates or maps: no autograd, forward-mode or torch.func on x."""
    dual = torch.autograd.forward_ad.unpack_dual(x).tangent is not None
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    return not (dual or transformed or (x.requires_grad and torch.is_grad_enabled()))
