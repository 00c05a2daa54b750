"""Filters that analyse in the latent space of a codec, and the codec alone.

A codec has, for states and observations as they are,

    encode(x) -> (mean, log variance)                   (..., state) -> (..., latent)
    encode_observations(y) -> (mean, log variance)      (..., obs) -> (..., latent)
    decode(z) -> x                                      (..., latent) -> (..., state)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.ensemble import EnsembleFilter
from dalib.filters.linalg import like
from dalib.streams import Generator, normal


@dataclass(frozen=True, kw_only=True)
class LatentFilter:
    """An ensemble filter whose analysis takes place in the latent space (Si and Chen 2025).

        z_f = E(x_f)      z_obs = E_obs(y)      z_obs = z + N(0, σ²)
        z_a = the inner filter's analysis of z_f given z_obs
        x_a = (1 - w) x_f + w D(z_a)

    Forecasts are the inner filter's own, in full space. With w = 1 the decoded state replaces the
    forecast, as in the paper; adding the decoded increment to it instead would keep what the codec
    cannot represent, which then grows without bound. No operator is needed but to know what y
    looks like: the observation encoder has learned it.

    Attributes:
        inner: with the model as `step`, the identity as `observe`, and σ, in the units of codes, as
            `obs_std`; see `latent_noise`.
        codec: of trained encoders and a decoder.
        observe: (..., state) -> (..., obs), what y is of the state.
        weight: w in (0, 1], a number or (state,).
        reparameterise: draw codes from N(mean, exp(log variance)) in place of their means.
        errors: where σ comes from, for those who make the inner filter of a configuration: "given"
            with it, or what the codec says of its latents, "latent_noise" or "mismatch".
    """

    axes: ClassVar[dict] = {"weight": ("state",)}

    inner: EnsembleFilter
    codec: Any
    observe: Callable[[Tensor], Tensor]
    weight: Tensor | float = 1.0
    reparameterise: bool = False
    errors: str = "given"

    def __post_init__(self):
        if not isinstance(self.inner, EnsembleFilter):
            raise TypeError(
                f"the inner filter is a {type(self.inner).__name__}; give one with an ensemble of "
                "equal weights, such as EnSF, EnKF or LETKF"
            )
        weight = torch.as_tensor(self.weight)
        if not ((weight > 0) & (weight <= 1)).all():
            raise ValueError(
                f"weight is {weight.tolist()}; it has to be above 0 and at most 1, where the "
                "decoded state replaces the forecast"
            )

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Ensemble:
        """Members of the prior, in full space."""
        return self.inner.start(prior, generator)

    def forecast(self, belief: Ensemble, generator: Generator) -> Ensemble:
        """One sampling interval, in full space."""
        return self.inner.forecast(belief, generator)

    def analyse(self, belief: Ensemble, y: Tensor, generator: Generator) -> Ensemble:
        """Members given y (..., obs), complete or missing as a whole: then they stay as they are.

        The algebra of codes is in float64. The codec is a constant: what goes through it keeps its
        derivatives, but for those in the weights.
        """
        E, missing = belief.members, _missing(y)
        z = self._code(_through(self.codec.encode, E), generator)
        z_obs = self._code(_through(self.codec.encode_observations, y.nan_to_num()), generator)
        z = self.inner.analyse(Ensemble(z), z_obs, generator).members
        decoded = _through(self.codec.decode, z).to(E)
        if not isinstance(self.weight, (int, float)) or self.weight != 1:
            decoded = torch.lerp(E, decoded, like(self.weight, E))
        return Ensemble(torch.where(missing[..., None, None], E, decoded))

    def _code(self, code: tuple[Tensor, Tensor], generator: Generator) -> Tensor:
        mean, log_var = (value.double() for value in code)
        if not self.reparameterise:
            return mean
        noise = normal(tuple(mean.shape), generator, mean.dtype).to(mean.device)
        return torch.addcmul(mean, (0.5 * log_var).exp(), noise)


class Decoded(NamedTuple):
    """A state that a codec made: mean (..., state), and std (..., state), 0 as none is known."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True, kw_only=True)
class DirectDecode:
    """x_a = D(E_obs(y)): no model and no past, the baseline of filters in latent space.

    Its forecast is its last estimate; where y is missing, that stays.

    Attributes:
        codec: of a trained observation encoder and a decoder.
        observe: (..., state) -> (..., obs), what y is of the state.
    """

    codec: Any
    observe: Callable[[Tensor], Tensor]

    def start(self, prior: Gaussian | Ensemble, generator: Generator | None = None) -> Decoded:
        """The mean of the prior."""
        return Decoded(prior.mean, torch.zeros_like(prior.mean))

    def forecast(self, belief: Decoded, generator: Generator | None = None) -> Decoded:
        """The same."""
        return belief

    def analyse(self, belief: Decoded, y: Tensor, generator: Generator | None = None) -> Decoded:
        """D(E_obs(y)); y (..., obs), complete or missing as a whole."""
        missing = _missing(y)[..., None]
        code, _ = _through(self.codec.encode_observations, y.nan_to_num())
        decoded = _through(self.codec.decode, code).to(belief.mean)
        return Decoded(torch.where(missing, belief.mean, decoded), belief.std)


def _through(part: Callable, x: Tensor) -> Any:
    """What a part of a codec makes of x; nothing is kept for derivatives that x does not have."""
    with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
        return part(x)


@torch.no_grad()
def latent_noise(
    codec: Any,
    states: Tensor,
    observe: Callable[[Tensor], Tensor],
    obs_std: Tensor | float,
    generator: torch.Generator,
    scale: float = 1.0,
    draws: int = 100,
) -> Tensor:
    """(), the part of codes that comes from the errors of y, as one standard deviation.

        S √ mean_i Var_ξ [E_obs(h(x) + obs_std ξ)_i]        mean over components and states

    Args:
        states: (sample, state), training states.
        obs_std: a number or (obs,), in the units of y.
        scale: S, of the codes in a diffusion; 1 gives the units of the codes, which are those of
            the inner filter's `obs_std`.
        draws: of ξ for each state.
    """
    if draws < 2:
        raise ValueError(f"a variance needs at least 2 draws, got {draws}")
    total = 0.0
    for x in states:  # one after the other: all draws of all states would fill the memory
        y = observe(x)
        noise = like(obs_std, y) * normal((draws, *y.shape), generator, y.dtype).to(y.device)
        total = total + codec.encode_observations(y + noise)[0].double().var(0).mean()
    return scale * (total / len(states)).sqrt()


def _missing(y: Tensor) -> Tensor:
    """(..., obs) -> (...,), whether nothing was observed; an encoder cannot do with a part."""
    gone = y.isnan()
    missing = gone.all(-1)
    partly = gone.any(-1) & ~missing
    if partly.any():
        raise ValueError(
            f"{int(gone[partly].sum())} observed values are missing at a time when others are not; "
            "an observation encoder needs those of all sensors, or none of a time"
        )
    return missing
