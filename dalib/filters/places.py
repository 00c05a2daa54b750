"""Where observations stand, for filters that let them reach only so far.

Who knows says so: `obs_places` of the filter, `places` of the operator, or its `selected` or
`sites`. Else it is found anew at each analysis, of the operator and of this very forecast, so that
no series depends on one before.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dalib.filters.errors import Whitened

TOGETHER = 2**22  # numbers of the derivatives, and of the trial states, that are held at once


def places_of(observe: Any, given: Tensor | None, E: Tensor) -> Tensor:
    """Components (obs,), each series its own (..., obs) where they differ, or points (obs, axis).

    Args:
        observe: (..., state) -> (..., obs). Unless it says more, an observation stands at the only
            component whose loss makes it NaN, else at that of the largest Σ |dh_j/dx_i|.
        given: whole numbers (obs,), indices of components, or points (obs, axis) that the user
            gave; None for what the operator says.
        E: (..., member, state), the forecast.
    """
    if isinstance(observe, Whitened):
        return places_of(observe.observe, given, E)
    given = getattr(observe, "places", None) if given is None else given
    if given is not None:
        return _checked(torch.as_tensor(given), E.shape[-1])
    for index_of in ("selected", "sites"):
        if hasattr(observe, index_of):
            return getattr(observe, index_of)(E.shape[-1]).to(E.device)
    E = E.detach()
    if hasattr(observe, "tangent"):
        return _by_slopes(observe, E, None)
    index = by_loss(observe, E.reshape(-1, E.shape[-1])[0])
    return _by_slopes(observe, E, index) if (index < 0).any() else index


def _checked(places: Tensor, size: int) -> Tensor:
    points = places.ndim == 2 and places.is_floating_point()
    indices = places.ndim == 1 and not (places.is_floating_point() or places.dtype == torch.bool)
    if not (points and places.isfinite().all()) and not (
        indices and ((places >= 0) & (places < size)).all()
    ):
        raise ValueError(
            f"obs_places of type {places.dtype} and shape {tuple(places.shape)}: give whole "
            f"numbers (obs,) from 0 to {size - 1}, the components at which observations stand, or "
            "points (obs, axis), finite floating-point numbers, as those of the components"
        )
    return places


def check_count(count: int, y: Tensor) -> None:
    """Refuse another number of places than of values of y (..., obs)."""
    if count != y.shape[-1]:
        raise ValueError(
            f"there are places for {count} observations, but y has {y.shape[-1]} values; give "
            "obs_places one place for each"
        )


def by_loss(observe: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(obs,), the only component of x (state,) that an observation needs; -1 if there are several.

    Trial states lack all components with a certain binary digit of their number, or all others: an
    observation that needs one component is lost with one of each such pair, and spells its number.
    It asks for no derivative, and for no more than 2 log2(state) states.
    """
    n = len(x)
    digits = max(1, (n - 1).bit_length())
    place = 2 ** torch.arange(digits, device=x.device)
    number = torch.arange(n, device=x.device)

    def lost(digit: Tensor, value: int) -> Tensor:
        gone = (number // digit[:, None]) % 2 == value
        return observe(torch.where(gone, torch.nan, x)).isnan()

    try:
        known = ~observe(x).isnan()
        parts = place.split(max(1, TOGETHER // n))
        ones, zeros = (torch.cat([lost(part, value) for part in parts]) for value in (1, 0))
    except Exception:  # the user's function may do anything with NaN; its slopes are left
        return torch.full((observe(x).shape[-1],), -1, device=x.device)
    index = (ones * place[:, None]).sum(0)
    single = (ones ^ zeros).all(0) & known & (index < n)
    return torch.where(single, index, -1)


def _by_slopes(observe: Any, E: Tensor, known: Tensor | None) -> Tensor:
    """Components of the largest |dh_j/dx_i| at the mean; where all are 0, at one of the members.

    `known` (obs,) are -1 where they are to be found, None for all.
    """
    states = [E.mean(-2), *E.unbind(-2)]
    obs = observe(states[0]).shape[-1]
    rows = torch.arange(obs, device=E.device) if known is None else (known < 0).nonzero().flatten()
    index = torch.full((*E.shape[:-2], len(rows)), -1, device=E.device)
    for x in states:
        found = _steepest(observe, x, rows)
        index = torch.where(index < 0, found, index)
        if (index >= 0).all():
            break
    else:
        none = rows[(index.reshape(-1, len(rows)) < 0).any(0)].tolist()
        shown = ", ".join(map(str, none[:8])) + (", ..." if len(none) > 8 else "")
        raise ValueError(
            f"where do the observations {shown} stand? observe() has no derivative there, neither "
            "at the mean nor at any member (rounding, a threshold, detach()); give obs_places, the "
            "component at which each observation stands, or points (obs, axis)"
        )
    if known is not None:
        whole = known.expand(*index.shape[:-1], -1).clone()
        whole[..., rows] = index
        index = whole
    first = index.reshape(-1, obs)[0]
    return first if (index == first).all() else index


def _steepest(observe: Any, x: Tensor, rows: Tensor) -> Tensor:
    """(..., rows), argmax_i |dh_j/dx_i| at x (..., state), -1 where all are 0 or not finite."""
    block = max(1, TOGETHER // x.numel())
    if hasattr(observe, "tangent"):
        H = observe.tangent(x)
        return torch.cat([_largest(H[..., part, :]) for part in rows.split(block)], -1)
    try:
        y, pulled_back = torch.func.vjp(observe, x)
        one = torch.eye(y.shape[-1], dtype=y.dtype, device=y.device)

        def found(part: Tensor) -> Tensor:
            given = one[part].reshape(len(part), *[1] * (y.ndim - 1), -1)
            slopes = torch.func.vmap(pulled_back)(given.expand(-1, *y.shape))[0]
            return _largest(slopes.movedim(0, -2))

        return torch.cat([found(part) for part in rows.split(block)], -1)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            "where do observations stand? the derivative of observe() cannot be taken: "
            f"{type(error).__name__}: {error}; write it with torch, or give obs_places, the "
            "component at which each observation stands, or points (obs, axis)"
        ) from error


def _largest(slopes: Tensor) -> Tensor:
    value, index = slopes.abs().max(-1)
    return torch.where((value > 0) & value.isfinite(), index, -1)
