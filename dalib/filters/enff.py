"""The ensemble flow filter: members carried by a velocity towards forecast and observation."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.ensemble import EnsembleFilter, draw_members
from dalib.filters.ensf import Joint, Pointwise, likelihood_score
from dalib.filters.linalg import like
from dalib.streams import Generator, normal

PATHS = ("predictive", "transport")


class Flowing(NamedTuple):
    """An `Ensemble` that also has the members `before` (..., member, state), one interval ago."""

    members: Tensor
    before: Tensor

    mean = Ensemble.mean
    std = Ensemble.std
    cov = Ensemble.cov


@dataclass(frozen=True, kw_only=True)
class EnFF(EnsembleFilter):
    """Ensemble flow filter (Transue et al. 2025, arXiv:2508.13313): training-free flow matching.

    From z at time 0 to the analysis at time 1, in `steps` of Euler,

        u = Σ_j w_j [σ'/σ (z - m_j) + m_j']        w = softmax_j -|z - m_j|² / 2σ²
        z <- z + Δ [u + λ ∇ log p(y | z + (1-t) u)]

    along one of two Gaussian paths N(m_j, σ² I) to the forecast x_j,

        "predictive"   m_j = t x_j + (1-t) x̄_j    σ = σ_min            from x̄_j, a forecast before
        "transport"    m_j = t x_j                σ = 1 - (1-σ_min) t  from N(0, I)

    the former being the one that is new there, of members to their own forecasts; the latter in
    units of (x - mean) / std. The gradient is taken at where the flow would arrive (local guidance,
    ibid., sec. 3.3; Feng et al. 2025). λ says how far y pulls, about as the variance of the
    forecast in the units of the path does in a Kalman filter: it is to be tuned. Steps that are too
    long for λ and σ of y are refused.

    Attributes:
        path: "predictive" or "transport".
        guidance: λ, in squares of the units of the path.
        steps: of Euler.
        least_std: σ_min, in the units of the path.
        mean, std: of the state, numbers or (state,), for the units of "transport".
    """

    axes: ClassVar[dict] = {"mean": ("state",), "std": ("state",), "guidance": (), "least_std": ()}

    members: int = 20
    path: str = "predictive"
    guidance: float = 1.0
    steps: int = 20
    least_std: float = 0.05
    mean: Tensor | float = 0.0
    std: Tensor | float = 1.0

    def __post_init__(self):
        super().__post_init__()
        if self.path not in PATHS:
            raise ValueError(f"unknown path {self.path!r}; known: {', '.join(PATHS)}")
        if self._adaptive:
            raise ValueError("a flow has no gain by which inflation adapts; give a number or RTPS")
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; a flow needs at least one")
        for name in ("least_std", "std"):
            if not (torch.as_tensor(getattr(self, name)) > 0).all():
                raise ValueError(f"{name} is {getattr(self, name)}; it has to be positive")

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Flowing:
        """Members of the prior."""
        if isinstance(prior, Flowing):
            return prior
        members = draw_members(prior, self.members, generator)
        return Flowing(members, members)

    def forecast(self, belief: Flowing, generator: Generator) -> Flowing:
        """One sampling interval; the members before it are kept."""
        return Flowing(
            super().forecast(Ensemble(belief.members), generator).members, belief.members
        )

    def analyse(self, belief: Flowing, y: Tensor, generator: Generator) -> Flowing:
        """Members given y (..., obs); a time without any observation leaves them as they are."""
        E, y = belief.members, y.to(belief.members)
        flown = self.analysed(E, belief.before, y, generator)
        members = self.finished(Ensemble(E), flown, y, generator).members
        seen = (~y.isnan()).any(-1)[..., None, None]
        members = torch.where(seen, members, E)
        return Flowing(members, members)

    def reached(self, forecast: Tensor, y: Tensor) -> Tensor:
        """(..., 1) or (..., state), as the EnSF."""
        pull = likelihood_score(self.observe, y.to(forecast), self.obs_std, forecast.shape[-1])
        if not isinstance(pull, Pointwise):
            return super().reached(forecast, y)
        return (pull.precision > 0)[..., 0, :]

    def analysed(self, E: Tensor, before: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state), E given y, from the members before the forecast."""
        pull = likelihood_score(self.observe, y, self.obs_std, E.shape[-1])
        noise = normal(tuple(E.shape), generator, E.dtype).to(E.device)
        if self.path == "predictive":
            origin, size = torch.zeros_like(E[..., :1, :]), torch.ones_like(E[..., :1, :])
            x, start = E, before
            z = before + self.least_std * noise
        else:
            zero = torch.zeros_like(E[..., :1, :])
            origin, size = like(self.mean, E) + zero, like(self.std, E) + zero
            x, start = (E - origin) / size, None
            z = noise
        self._check_stable(E, pull, size)
        dt = 1 / self.steps
        for k in range(self.steps):
            t = k * dt
            u = velocity(z, x, start, t, self.least_std)
            ahead = origin + size * (z + (1 - t) * u)
            z = z + dt * (u + self.guidance * size * pull(ahead))
        return origin + size * z

    @torch.no_grad()
    def _check_stable(self, E: Tensor, pull: Pointwise | Joint, size: Tensor) -> None:
        """Refuse steps at which what is off y grows: λ |∇h size / σ|² >= 2 steps."""
        if isinstance(pull, Joint):
            steepest = pull.steepest(E) * size.amax().item()
        else:
            slope = 1.0 if pull.response is None else pull.response(E)[1].abs().amax().item()
            steepest = slope * (size * pull.precision.sqrt()).amax().item()
        needed = self.guidance * steepest**2 / 2
        if math.isfinite(needed) and needed >= self.steps:
            raise ValueError(
                f"{self.steps} steps are too few for guidance {self.guidance:g} and the errors "
                "of y: what is off grows from step to step; give more than "
                f"{math.ceil(needed)} steps, or a guidance below "
                f"{self.guidance * self.steps / needed:.3g}"
            )


def velocity(z: Tensor, x: Tensor, start: Tensor | None, t: float, least_std: float) -> Tensor:
    """u of `EnFF` at z (..., member, state) and time t, towards x (..., member, state).

    From `start` where members are carried from there, else from N(0, I).
    """
    if start is None:
        std, slope = 1 - (1 - least_std) * t, least_std - 1
        centre, rate = t * x, x
    else:
        std, slope = least_std, 0.0
        centre, rate = torch.lerp(start, x, t), x - start
    w = closeness(z, centre, std)
    return slope / std * (z - w @ centre) + w @ rate


def closeness(z: Tensor, centre: Tensor, std: float) -> Tensor:
    """(..., member, member), softmax over the second of -|z_n - m_j|² / 2σ²."""
    square = centre.square().sum(-1)[..., None, :]
    return ((z @ centre.mT - square / 2) / std**2).softmax(-1)
