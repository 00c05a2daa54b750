"""The ensemble score filter: each member is drawn anew by a diffusion towards the observation.

No covariance is formed. With the paired prior a component is updated alone, its forecast error
taken as ε_β in diffusion units whatever the ensemble says; what is not observed, directly or
through a state-dependent operator, comes back as the forecast with noise. `ensf_linear.moments`
says exactly what comes out where the operator is linear.
"""

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from dalib import limits
from dalib.filters.base import Ensemble
from dalib.filters.ensemble import EnsembleFilter
from dalib.filters.ensf_linear import AllSteps, all_steps
from dalib.filters.ensf_sampler import Diffusion, descend, mixture, paired, start, unstable
from dalib.filters.kalman import WITHOUT_DERIVATIVE, check_slope
from dalib.filters.linalg import like
from dalib.streams import Generator, Streams, each, normal

logger = logging.getLogger(__name__)

PRIORS = ("paired", "mixture")
ITERATIONS = 8  # of the power method: within some per cent of the steepest slope


class Units(NamedTuple):
    """Of diffusion: x = origin + size ζ, each a number or (state,)."""

    origin: Tensor
    size: Tensor

    def diffused(self, x: Tensor) -> Tensor:
        """x -> ζ."""
        return (x - self.origin) / self.size

    def restored(self, z: Tensor) -> Tensor:
        """ζ -> x."""
        return torch.addcmul(self.origin, self.size, z)

    def part(self, components: slice) -> "Units":
        """Those of some components."""
        return Units(*(value[..., components] if value.ndim else value for value in self))


class Pointwise(NamedTuple):
    """∇ log p(y | x) where y_j = h(x_i) + σ_j ξ looks at a single component, i = i(j).

        h'(x_i) (Σ_j y_j / σ_j² - h(x_i) Σ_j 1 / σ_j²)        j: all that look at i

    weighted, precision: (..., 1, state), the two sums; zero where nothing looks.
    response: x -> h(x), h'(x); None where h(x) = x.
    looked: (1, state), whether anything looks, also where its value is missing; None unless known.
    """

    weighted: Tensor
    precision: Tensor
    response: Callable[[Tensor], tuple[Tensor, Tensor]] | None
    looked: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """(..., member, state) -> (..., member, state)."""
        if self.response is None:
            return torch.addcmul(self.weighted, self.precision, x, value=-1)
        seen, slope = self.response(x)
        return torch.addcmul(self.weighted, self.precision, seen, value=-1).mul_(slope)

    def part(self, components: slice) -> "Pointwise":
        """That of some components."""
        weighted, precision = self.weighted[..., components], self.precision[..., components]
        looked = None if self.looked is None else self.looked[..., components]
        return Pointwise(weighted, precision, self.response, looked)

    def diffused(self, units: Units) -> "Pointwise":
        """The same as a function of ζ, of a part as of the whole."""
        origin, size = units
        if self.response is None:
            weighted = size * (self.weighted - self.precision * origin)
            return Pointwise(weighted, size**2 * self.precision, None, self.looked)

        def response(z: Tensor) -> tuple[Tensor, Tensor]:
            seen, slope = self.response(units.restored(z))
            return seen, size * slope

        return Pointwise(self.weighted, self.precision, response, self.looked)


class Joint(NamedTuple):
    """∇ log p(y | x) = J(x)ᵀ (y - h(x)) / σ² of any differentiable h; missing y count for nothing.

    y: (..., obs); precision: (..., obs), 1 / σ².
    """

    observe: Callable[[Tensor], Tensor]
    y: Tensor
    precision: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(..., member, state) -> (..., member, state)."""
        seen, pulled_back = torch.func.vjp(self.observe, x)
        error = torch.where(self.y.isnan()[..., None, :], 0.0, self.y[..., None, :] - seen)
        return pulled_back(error * self.precision[..., None, :])[0]

    def diffused(self, units: Units) -> "Joint":
        """The same as a function of ζ."""
        return Joint(lambda z: self.observe(units.restored(z)), self.y, self.precision)

    @torch.no_grad()
    def steepest(self, x: Tensor) -> float:
        """The largest singular value of J(x) / σ at states x (..., member, state), nearly.

        By some iterations v <- Jᵀ σ⁻² J v (von Mises and Pollaczek-Geiringer 1929), which come from
        below; of all members at once, as h may be steep at one of them only.
        """
        v = normal(tuple(x.shape), torch.Generator().manual_seed(0), x.dtype).to(x.device)
        size, pulled_back = x.new_zeros(()), torch.func.vjp(self.observe, x)[1]
        for _ in range(ITERATIONS):
            v = v / v.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
            Jv = torch.func.jvp(self.observe, (x,), (v,))[1]
            Jv = Jv * self.precision[..., None, :]
            v = pulled_back(Jv)[0]
            size = v.norm(dim=-1)
        return size.amax().sqrt().item()


def likelihood_score(observe: Any, y: Tensor, obs_std: Tensor | float, size: int):
    """∇ log p(y | x), a `Pointwise` where `observe` looks at single components, else a `Joint`.

    Args:
        observe: h; it looks at single components where it has `selected(size)`, their index, or
            `sites(size)`, likewise, and `response(x)`, the values and slopes of h.
        y: (..., obs), NaN where missing.
        obs_std: a number or (obs,), in the units of y.
        size: of the state.
    """
    precision = torch.where(y.isnan(), 0.0, like(obs_std, y) ** -2)
    response = getattr(observe, "response", None)
    index_of = getattr(observe, "selected" if response is None else "sites", None)
    if index_of is None:
        return Joint(observe, y, precision)
    index = index_of(size).to(y.device)
    sums = (
        y.new_zeros(*y.shape[:-1], size).index_add(-1, index, values)[..., None, :]
        for values in (precision * y.nan_to_num(), precision)
    )
    looked = torch.zeros(1, size, dtype=torch.bool, device=y.device)
    looked[:, index] = True
    return Pointwise(*sums, response, looked)


@dataclass(frozen=True, kw_only=True)
class EnSF(EnsembleFilter):
    """Ensemble score filter (Bao, Zhang and Zhang 2024).

    Diffusion runs on ζ = scale (x - mean) / std, where what the analysis adds of noise, about √ε_β,
    is to be small against a standard deviation of the state.

    With the paired prior and an operator that looks at single components, `block` of them at a
    time take all steps, so that arrays stay in cache; its size changes which random numbers meet
    which components, hence the members drawn, but not their distribution. A time without any
    observation leaves the members as they are.

    Attributes:
        mean, std: of the state, numbers or (state,), in state units.
        scale: of the normalised state in the diffusion.
        prior: "paired", each sample with its own member, or "mixture", all of them weighted.
        minibatch: J, of how many members drawn at each step the mixture consists; None of all.
        solver: "sde_euler", or without noise "ode_euler" and "exponential".
        steps: K, of pseudo-time.
        eps_alpha, eps_beta: of the diffusion; see `Diffusion`.
        clip: bound on the score of a component, in diffusion units; None leaves it free.
        standardised: whether the noise at the start has mean 0 and std 1 over the members.
        interpolated: whether y, on the sensors of a grid, is interpolated to all points and used as
            if all had been observed, with the errors of the sensors.
        allow_unstable: take also steps that are too long for the errors of y, so that what is off
            grows from step to step and the clip alone bounds it, as published code does.
        block: how many components take the steps together.
        composed: with the paired prior, take all steps at once in components that are seen as they
            are or not at all, wherever the clip stays out of play (see `ensf_linear`): the same
            distribution, without K draws. False takes every step, as published.
    """

    axes: ClassVar[dict] = {"mean": ("state",), "std": ("state",), "scale": ()}

    members: int = 20
    mean: Tensor | float = 0.0
    std: Tensor | float = 1.0
    scale: float = 10.0
    prior: str = "paired"
    minibatch: int | None = None
    solver: str = "sde_euler"
    steps: int = 100
    eps_alpha: float = 0.5
    eps_beta: float = 0.025
    clip: float | None = 1000.0
    standardised: bool = False
    interpolated: bool = False
    allow_unstable: bool = False
    block: int = 4096
    composed: bool = True

    def __post_init__(self):
        super().__post_init__()
        if self.prior not in PRIORS:
            raise ValueError(f"unknown prior {self.prior!r}; known: {', '.join(PRIORS)}")
        if self.minibatch is not None and not (
            self.prior == "mixture" and 1 <= self.minibatch <= self.members
        ):
            raise ValueError(
                f"a minibatch of {self.minibatch} with the {self.prior} prior of {self.members} "
                f"members; a mixture takes 1 to {self.members}, the paired prior none"
            )
        limits.at_least(1, steps=self.steps)
        limits.more_than(0, eps_alpha=self.eps_alpha)
        limits.at_most(1, eps_alpha=self.eps_alpha)
        limits.at_least(0, eps_beta=self.eps_beta)
        limits.less_than(1, eps_beta=self.eps_beta)
        for name in ("std", "scale", "block", "clip"):
            value = getattr(self, name)
            if value is not None and not (torch.as_tensor(value) > 0).all():
                raise ValueError(f"{name} is {value}; it has to be positive")
        _ = self.diffusion  # refuses what it cannot run

    @property
    def diffusion(self) -> Diffusion:
        """The way from noise to members."""
        return Diffusion(self.eps_alpha, self.eps_beta, self.steps, self.solver)

    def analyse(self, belief: Ensemble, y: Tensor, generator: Generator) -> Ensemble:
        """Members given y (..., obs); steps too long for its errors are refused.

        With a clip and `allow_unstable` they are only warned of, once.
        """
        E, y = belief.members, y.to(belief.members)
        units, pull = self._units(E), self._pull(y, E.shape[-1])
        self._check_stable(E, pull, units)
        drawn = self._drawn(E, pull, units, generator)
        empty = y.isnan().all(-1)
        E = torch.where(empty[..., None, None], E, drawn) if empty.any() else drawn
        return self.finished(belief, E, y, generator)

    def reached(self, forecast: Tensor, y: Tensor) -> Tensor:
        """(..., state), what an operator of single components looks at; of any other (..., 1)."""
        pull = self._pull(y, forecast.shape[-1])
        if not isinstance(pull, Pointwise):
            return super().reached(forecast, y)
        return (pull.precision > 0)[..., 0, :]

    def likelihood_score(self, x: Tensor, y: Tensor) -> Tensor:
        """∇ log p(y | x) at states x (..., member, state), y (..., obs): per state unit."""
        return self._pull(y.to(x), x.shape[-1])(x)

    def _units(self, E: Tensor) -> Units:
        return Units(like(self.mean, E), like(self.std, E) / self.scale)

    def _pull(self, y: Tensor, size: int) -> Pointwise | Joint:
        if not self.interpolated:
            return likelihood_score(self.observe, y, self.obs_std, size)
        if not hasattr(self.observe, "interpolated"):
            raise ValueError(
                f"{type(self.observe).__name__} sees no grid that could be interpolated; use "
                "every_kth or arctan_every_kth, or interpolated: false"
            )
        full = self.observe.interpolated
        obs_std = full(like(self.obs_std, y).expand(y.shape[-1:]))
        return likelihood_score(self.observe.everywhere, full(y), obs_std, size)

    def _drawn(
        self, E: Tensor, pull: Pointwise | Joint, units: Units, generator: Generator
    ) -> Tensor:
        """(..., member, state), new members, some components after the others where that can be."""
        apart = self.prior == "paired" and isinstance(pull, Pointwise)
        if not apart:
            return self._down(E, pull, units, generator)
        down = self._composed if self.composed else self._down
        if E.shape[-1] <= self.block:
            return down(E, pull, units, generator)
        drawn = torch.empty_like(E)
        for part in _parts(E.shape[-1], self.block):
            drawn[..., part] = down(E[..., part], pull.part(part), units.part(part), generator)
        return drawn

    def _down(
        self, E: Tensor, pull: Pointwise | Joint, units: Units, generator: Generator
    ) -> Tensor:
        """(..., member, state), through all steps."""
        forecast = units.diffused(E)
        if self.prior == "paired":
            prior = paired(forecast)
        else:
            prior = mixture(forecast, self.minibatch, generator)
        z = start(tuple(E.shape), self.standardised, generator, forecast)
        z = descend(z, prior, pull.diffused(units), self.diffusion, self.clip, generator)
        return units.restored(z)

    def _composed(self, E: Tensor, pull: Pointwise, units: Units, generator: Generator) -> Tensor:
        """(..., member, state), through all steps at once where these are linear."""
        if pull.response is not None and pull.looked.all():
            return self._down(E, pull, units, generator)
        forecast, likelihood = units.diffused(E), pull.diffused(units)
        weighted, precision = likelihood.weighted, likelihood.precision
        z = start(tuple(E.shape), self.standardised, generator, forecast)
        steps = all_steps(precision, self.diffusion)
        y = weighted / torch.where(precision > 0, precision, 1.0)  # 0 where nothing is seen
        one_by_one = self._one_by_one(forecast, y, precision, steps, pull)

        x, y = (torch.where(one_by_one, 0.0, v) for v in (forecast, y))  # taken below
        kept, gain, first, noise = steps.finite()
        drawn = torch.addcmul(gain * y, kept, x).addcmul(first, z)
        if noise.any():
            xi = normal(tuple(E.shape), generator, E.dtype).to(E.device)
            drawn = drawn.addcmul(noise, xi)
        drawn = units.restored(drawn)
        return self._stepped(drawn, one_by_one, z, E, pull, units, generator)

    @torch.no_grad()
    def _one_by_one(
        self, forecast: Tensor, y: Tensor, precision: Tensor, steps: AllSteps, pull: Pointwise
    ) -> Tensor:
        """(..., member, state), whether steps may not be linear."""
        found = torch.zeros_like(forecast, dtype=torch.bool)
        if pull.response is not None:
            found |= pull.looked
        if self.clip is not None:
            innovation = torch.where(precision > 0, y - forecast, 0.0)
            found |= ~(steps.largest(forecast, innovation) < self.clip)  # NaN too
        return found

    def _stepped(
        self,
        drawn: Tensor,
        one_by_one: Tensor,
        z: Tensor,
        E: Tensor,
        pull: Pointwise,
        units: Units,
        generator: Generator,
    ) -> Tensor:
        """`drawn`, but step by step from z what has to be, one seed after the other."""
        if not one_by_one.any():
            return drawn
        drawn = drawn.clone()
        several = isinstance(generator, Streams)
        for i, stream in enumerate(each(generator)) if several else [(..., generator)]:
            chosen = one_by_one[i]
            if not chosen.any():
                continue
            weighted, precision, *sizes = (
                v.expand_as(E)[i][chosen] for v in (pull.weighted, pull.precision, *units)
            )
            own = Units(*sizes)
            likelihood = Pointwise(weighted, precision, pull.response).diffused(own)
            prior = paired(own.diffused(E[i][chosen]))
            found = descend(z[i][chosen], prior, likelihood, self.diffusion, self.clip, stream)
            drawn[i][chosen] = own.restored(found)
        return drawn

    def _steepest(self, E: Tensor, pull: Joint, units: Units) -> float:
        """As `Joint.steepest`, of an operator that has a derivative."""
        try:
            steepest = pull.diffused(units).steepest(units.diffused(E))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise ValueError(f"observe() {WITHOUT_DERIVATIVE} (torch says: {error})") from error
        if not steepest and pull.precision.any():
            check_slope(pull.observe, E)
        return steepest

    def _check_stable(self, E: Tensor, pull: Pointwise | Joint, units: Units) -> None:
        if isinstance(pull, Joint):
            steepest = self._steepest(E, pull, units)
        else:
            observed = self.observe.everywhere if self.interpolated else self.observe
            slope = 1.0 if pull.response is None else observed.steepest
            steepest = slope * (units.size * pull.precision.sqrt()).detach().amax().item()
        if not steepest or not math.isfinite(steepest):
            return
        if self.diffusion.steepness(1 / steepest) < 2:
            return
        message = unstable(self.diffusion, 1 / steepest)
        if self.clip is None:
            raise ValueError(message)
        if not self.allow_unstable:
            raise ValueError(f"{message}; allow_unstable=True leaves it to the clip, as published")
        if not self.__dict__.setdefault("_told", []):  # left behind by dataclasses.replace
            self._told.append(message)
            logger.warning("%s; the clip at %g keeps samples finite", message, self.clip)


def _parts(size: int, block: int) -> Iterator[slice]:
    for first in range(0, size, block):
        yield slice(first, min(first + block, size))
