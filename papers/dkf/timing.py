"""CPU time of filters and samplers, for each state that comes out of them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import xarray as xr

from dalib import arrays, build
from dalib.filters import Gaussian, assimilate
from dalib.streams import stream
from dalib.timing import cpu_seconds, in_turn


class Workload(NamedTuple):
    """Something to do, and how many states come out of it."""

    run: Callable[[], Any]
    states: int


def measured(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """cpu_seconds_per_state (method, repetition) of filters and samplers that `timing` names.

    Args:
        sections: case (with timing), filters and samplers of the configuration.
        inputs: observations, prior, and models, weights by the name of the model.
    """
    settings = sections["case"]["timing"]
    work = {
        name: _filter_work(sections["case"], sections["filters"][name], inputs)
        for name in settings["filters"]
    } | {
        name: _sampler_work(settings["count"], sections["samplers"][name], inputs)
        for name in settings["samplers"]
    }
    runs = {name: partial(cpu_seconds, load.run) for name, load in work.items()}
    found = in_turn(runs, settings["repetitions"])
    seconds = [[one / load.states for one in found[name]] for name, load in work.items()]
    attrs = {"units": "s", "long_name": "CPU time per state on one thread"}
    return xr.Dataset(
        {"cpu_seconds_per_state": (("method", "repetition"), seconds, attrs)},
        {"method": list(work)},
    )


def _filter_work(case: Mapping, method: Mapping, inputs: Mapping) -> Workload:
    """A filter over the first seeds and samples of the observations."""
    settings = case["timing"]
    y = inputs["observations"].y.isel(
        seed=slice(settings["seeds"]), time=slice(settings["samples"])
    )
    prior = inputs["prior"].isel(seed=slice(settings["seeds"]))
    trained = "model" in method
    filter = build.filter(
        case,
        method,
        obs_std=arrays.to_tensor(inputs["observations"].obs_std),
        network=_one_repeat(method, inputs) if trained else None,
    )
    run = partial(
        assimilate,
        filter,
        Gaussian(arrays.to_tensor(prior["mean"]), arrays.to_tensor(prior["cov"])),
        arrays.to_tensor(y),
    )
    return Workload(lambda: run(stream("timing")), y.sizes["seed"] * y.sizes["time"])


def _sampler_work(count: int, method: Mapping, inputs: Mapping) -> Workload:
    """A sampler of `count` states."""
    network = _one_repeat(method, inputs)
    sampler = build.make("sampler", method)
    return Workload(lambda: sampler.sample(network, count, stream("timing")), count)


def _one_repeat(method: Mapping, inputs: Mapping) -> Any:
    """The first of the trained networks of a method's model."""
    weights = inputs["models"][method["model"]["name"]]
    first = {dim: [0] for dim in ("point", "repeat") if dim in weights.dims}
    return build.network(method["model"], weights.isel(first))
