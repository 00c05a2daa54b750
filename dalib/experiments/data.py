"""What a study is about: truth, observations and prior of a case, and its exponents."""

from collections.abc import Mapping

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.cases.observed import prior
from dalib.cases.truth import dtype, truths
from dalib.experiments import gridded
from dalib.lyapunov import lyapunov_spectrum
from dalib.observe import noisy
from dalib.streams import streams

__all__ = ["largest_exponent", "observations", "prior", "truths"]

PARTS = ("train", "valid", "test")
ORBITS, ALIGNED, AVERAGED = 100, 20.0, 40.0  # of an exponent: orbits, and time units of each


def observations(
    case: Mapping, truth: Mapping[str, xr.Dataset], experiment: str
) -> dict[str, xr.Dataset]:
    """y (seed, time, obs) of every part, from the second time of the truth on; with `from_start`
    from the first.

        y = h(x) + s N(0, I)

    with s = `obs_std`, in the units of y, or a share `obs_std_relative` of the standard deviation
    of each observed quantity over the training states. Of the test part, NaN after the time `until`
    where there is one.
    """
    settings, system_size = case["observations"], truth["train"].sizes["state"]
    operator, mapped = build.operator(case, system_size), arrays.GRID[0] in truth["train"].dims
    moments = gridded.Moments.of(operator, truth["train"]) if mapped else None
    if "obs_std_relative" in settings:
        std = settings["obs_std_relative"] * _observed_std(case, operator, truth["train"], moments)
    else:
        std = torch.full((_count(operator, system_size),), settings["obs_std"], dtype=dtype(case))
    first = 0 if settings.get("from_start", False) else 1
    made = {}
    for part in PARTS:
        own = truth[part].isel(seed=slice(settings.get("trajectories", {}).get(part)))
        made[part] = _observed(own, first, operator, std.to(dtype(case)), part, experiment)
        if mapped:
            made[part] = gridded.thinned(case, made[part], own, operator, moments)
    until = settings.get("until")
    if until is not None:
        made["test"]["y"] = made["test"].y.where(made["test"].time <= until + 1e-9)
    return made


def _observed_std(case: Mapping, operator, training: xr.Dataset, moments) -> Tensor:
    """(obs,), of each observed quantity over the training states; of gridded ones by variable."""
    if moments is not None:
        return moments.observed_std
    return operator(arrays.to_tensor(training.x, dtype(case))).flatten(0, -2).std(0)


def _count(operator, size: int) -> int:
    """How many quantities are observed of a state of `size` components."""
    return operator(torch.zeros(size)).shape[-1]


def _observed(
    truth: xr.Dataset, first: int, operator, std: Tensor, part: str, experiment: str
) -> xr.Dataset:
    seeds, x = truth.seed.values.tolist(), truth.x.isel(time=slice(first, None))
    drawn = streams(experiment, seeds, f"observations {part}")
    y = noisy(operator, arrays.to_tensor(x, std.dtype), std, drawn)
    names = getattr(operator, "seen", lambda names: None)(x.state.values.tolist())
    if names is None and y.shape[-1] > arrays.MANY:
        names = range(y.shape[-1])
    start, interval = float(truth.time[first]), float(truth.time[1])
    return arrays.observations_dataset(
        y, std, seeds=seeds, interval=interval, start=start, names=names
    )


def largest_exponent(case: Mapping, states: xr.DataArray) -> float:
    """The largest Lyapunov exponent of the equations, per unit of model time.

    Args:
        states: (seed, time, state) on the attractor, from which orbits start.
    """
    tangent = build.tangent(case) or _tangent_of(build.step(case))
    x = arrays.to_tensor(states).flatten(0, 1)
    return exponent_of(tangent, x[:: max(1, len(x) // ORBITS)][:ORBITS], build.interval(case))


def exponent_of(tangent, states: Tensor, interval: float) -> float:
    """The largest exponent of a map with its derivative, averaged over orbits from the states."""
    aligned, averaged = (max(1, round(time / interval)) for time in (ALIGNED, AVERAGED))
    found = lyapunov_spectrum(tangent, states, averaged, interval=interval, discard=aligned)
    return float(found[:, 0].mean())


def _tangent_of(step):
    derivative = torch.func.vmap(torch.func.jacrev(step))
    return lambda x: (step(x), derivative(x))
