"""Forecasts from stretches of observations, and free runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.arrays import labelled
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.streams import Streams, stream


def forecasts(
    case: Mapping,
    method: Mapping,
    inputs: Mapping[str, xr.Dataset],
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """Forecasts of a trained model from stretches of test observations, and its free runs.

    Args:
        inputs: `observations` of the test part, and the weights of the `model`.
        checkpoint: not needed, all is done within a minute.
    """
    observations, weights = inputs["observations"], inputs["model"]
    settings, y = case["forecasts"], arrays.to_tensor(observations.y).to(device)
    starts = start_indices(settings, observations)
    contexts = torch.stack([y[:, i - settings["context"] : i] for i in starts.tolist()], 1)
    network = build.network(method["model"], weights).to(device)
    forecaster = build.make("forecaster", method, {"network": lambda: network})
    forecast = forecaster.forecast(contexts.flatten(0, 1), settings["horizon"])
    analysis = forecaster.analysis(contexts.flatten(0, 1))

    def free_run(noisy: bool) -> Tensor:
        runs, run = weights["repeat"].values, settings["free_run"]
        generator = Streams(tuple(stream(experiment, r, "free run") for r in runs))
        one = replace(forecaster, noisy=noisy)
        return one.free_run(run["chains"], run["samples"], generator, discard=run["discard"]).states

    return forecasts_dataset(
        forecast[:, 0].unflatten(1, contexts.shape[:2]),
        seed=observations.seed,
        start=observations.time[(starts - 1).tolist()],
        interval=float(observations.time[0]),
        names=weights.quantity.values,
        analysis=analysis.unflatten(1, contexts.shape[:2]),
        free_run=free_run(noisy=True),
        free_run_noiseless=free_run(noisy=False),
    ).assign_coords({"repeat": weights["repeat"]})


def start_indices(settings: Mapping, observations: xr.Dataset) -> Tensor:
    """(start,): how many observations have been seen when a forecast starts."""
    times = observations.sizes["time"]
    seen = int(observations.y.notnull().any(("seed", "obs")).values.nonzero()[0][-1]) + 1
    first, every = settings["starts"]["first"], settings["starts"]["every"]
    last = min(seen, times - settings["horizon"])
    if not settings["context"] <= first <= last:
        raise ValueError(
            f"forecasts start at samples {first} to {last} and need {settings['context']} "
            "observations before; set forecasts.starts.first, context or horizon accordingly"
        )
    return torch.arange(first, last + 1, every)


def forecasts_dataset(
    forecast: Tensor,
    *,
    seed: xr.DataArray,
    start: xr.DataArray,
    interval: float,
    names: Sequence[str],
    units: str = "1",
    analysis: Tensor | None = None,
    **free_runs: Tensor,
) -> xr.Dataset:
    """Forecasts ([repeat,] [member,] seed, start, lead, state), from the times `start` on.

    `analysis` ([repeat,] seed, start, state) is what they start from.
    `free_runs` ([repeat,] chain, time, state), by name, are trajectories without observations.
    """
    dims = {4: (), 5: ("repeat",), 6: ("repeat", "member")}[forecast.ndim]
    variables = {
        "forecast": labelled(
            (*dims, "seed", "start", "lead", "state"), forecast, units, "forecast state"
        )
    }
    if analysis is not None:
        axes = ("repeat", "seed", "start", "state")[-analysis.ndim :]
        variables["analysis"] = labelled(axes, analysis, units, "state that forecasts start from")
    leads = interval * torch.arange(1, forecast.shape[-2] + 1, dtype=torch.float64)
    coords = {
        "seed": seed.variable,
        "start": xr.Variable("start", start.values, arrays.TIME),
        "lead": xr.Variable("lead", leads.numpy(), {"units": "1", "long_name": "lead time"}),
    }
    for name, run in free_runs.items():
        dims = ("repeat", "chain", "time", "state")[-run.ndim :]
        variables[name] = labelled(dims, run, units, f"state of a {name.replace('_', ' ')}")
        coords |= arrays.times_of(run.shape[-2], interval, 0.0)
    return xr.Dataset(variables, coords | arrays.states_of(names))
