"""What a study is about: the truth of a case, what is observed of it, and its exponents."""

from collections.abc import Mapping

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.cases.truth import dtype, truths
from dalib.lyapunov import lyapunov_spectrum
from dalib.observe import noisy
from dalib.streams import streams

__all__ = ["largest_exponent", "observations", "truths"]

PARTS = ("train", "valid", "test")
ORBITS, ALIGNED, AVERAGED = 100, 20.0, 40.0  # of an exponent: orbits, and time units of each


def observations(
    case: Mapping, truth: Mapping[str, xr.Dataset], experiment: str
) -> dict[str, xr.Dataset]:
    """y (seed, time, obs) of every part, from the second time of the truth on.

        y = h(x) + s N(0, I)

    with s = `obs_std`, in the units of y, or a share `obs_std_relative` of the standard deviation
    of each observed quantity over the training states.
    """
    settings, system_size = case["observations"], truth["train"].sizes["state"]
    operator = build.operator(case, system_size)
    known = operator(arrays.to_tensor(truth["train"].x, dtype(case)))
    if "obs_std_relative" in settings:
        std = settings["obs_std_relative"] * known.flatten(0, -2).std(0)
    else:
        std = torch.full(known.shape[-1:], settings["obs_std"], dtype=known.dtype)
    return {part: _observed(truth[part], operator, std, part, experiment) for part in PARTS}


def _observed(truth: xr.Dataset, operator, std: Tensor, part: str, experiment: str) -> xr.Dataset:
    seeds, x = truth.seed.values.tolist(), truth.x.isel(time=slice(1, None))
    y = noisy(
        operator, arrays.to_tensor(x, std.dtype), std, streams(experiment, seeds, f"errors {part}")
    )
    names = getattr(operator, "seen", lambda names: None)(x.state.values.tolist())
    interval = float(truth.time[1])
    return arrays.observations_dataset(y, std, seeds=seeds, interval=interval, names=names)


def largest_exponent(case: Mapping, states: xr.DataArray) -> float:
    """The largest Lyapunov exponent of the equations, per unit of model time.

    Args:
        states: (seed, time, state) on the attractor, from which orbits start.
    """
    step, interval = build.step(case), build.interval(case)
    tangent = build.tangent(case) or _tangent_of(step)
    x = arrays.to_tensor(states).flatten(0, 1)
    x = x[:: max(1, len(x) // ORBITS)][:ORBITS]
    aligned, averaged = (max(1, round(time / interval)) for time in (ALIGNED, AVERAGED))
    found = lyapunov_spectrum(tangent, x, averaged, interval=interval, discard=aligned)
    return float(found[:, 0].mean())


def _tangent_of(step):
    derivative = torch.func.vmap(torch.func.jacrev(step))
    return lambda x: (step(x), derivative(x))
