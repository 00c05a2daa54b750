"""Gridded states: their observations, and filters in full space and in the latent space of a codec.

A gridded state is the flat map (variable, x, y); without a layout it is one long column, (1, x, 1).
Sensors stand at every k-th point in both directions, k the `stride` of a case's observations.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.cases.checkpoint import Checkpoint, Parts
from dalib.cases.truth import dtype
from dalib.cases.weather import steps_of
from dalib.experiments import parts, runs, tuning
from dalib.filters import Analyses, Ensemble, assimilate
from dalib.localise import Localisation, on_map
from dalib.nets.scaling import Scaling, per_channel, spread
from dalib.observe import EveryKth, Identity, sensors
from dalib.scores import at_times
from dalib.streams import Generator, streams

FLOOR = 0.05  # error that filters assume of exact observations, as a share of their std
CHOSEN = "chosen"  # settings that validation has chosen, as JSON
CASE = {"units": "1", "long_name": "test trajectory"}
OF_CODES = ("given", "latent_noise", "mismatch")  # where the errors of latents come from


class ObservationSetup(NamedTuple):
    """What is observed of a gridded state, and the sizes of things.

    operator: (..., state) -> (..., obs); index: (obs,), components of the state where the sensors
    are; obs_std, obs_spread: (obs,), of the errors of y and of y itself over training states;
    state_std, state_mean: (state,), those of the variables over training states; shape: (variable,
    x, y) of a state.
    """

    operator: Any
    index: Tensor
    obs_std: Tensor
    obs_spread: Tensor
    state_std: Tensor
    state_mean: Tensor
    shape: tuple[int, int, int]

    @property
    def size(self) -> int:
        """Components of a state."""
        return len(self.state_std)


def setup(case: Mapping, observations: xr.Dataset, size: int, device: str) -> ObservationSetup:
    """The setup of observations as `data.observations` makes them, of states with `size` values."""
    shape = arrays.shape_of(observations, size)
    operator = sensors(build.operator(case, size), shape, stride(case))
    points = size // shape[0]
    std, mean = torch.ones(size), torch.zeros(size)
    if "state_std" in observations:
        std, mean = (
            arrays.to_tensor(observations[name]).repeat_interleave(points)
            for name in ("state_std", "state_mean")
        )
    obs_std, own = arrays.to_tensor(observations.obs_std), torch.ones(observations.sizes["obs"])
    if "obs_spread" in observations:
        own = arrays.to_tensor(observations.obs_spread)
    index = EveryKth(shape, stride(case)).selected(size)
    moved = (values.to(device) for values in (obs_std, own, std, mean))
    return ObservationSetup(operator, index, *moved, shape)


def stride(case: Mapping) -> int:
    """k of a case's observations, of every k-th point in both directions."""
    return case["observations"].get("stride", 1)


def filter_of(case: Mapping, step: Callable, settings: Mapping, given: ObservationSetup, codec):
    """A filter of gridded states, in full space or in the latent space of a codec.

    A filter's own `obs_std` is a share of the std of what is observed, and in latent space in the
    units of latents; without it, errors are those of the observations, FLOOR of that std where
    these are exact. `errors` of a latent filter names what the codec says of its latents instead:
    "latent_noise" or "mismatch".
    """
    settings = build.without(settings, "codec")
    takes = inspect.signature(build.resolve("filter", settings["kind"])).parameters
    if codec is None and ("codec" in takes or "filter" in settings):
        raise ValueError(
            f"a filter of kind {settings['kind']} has no codec, which it needs; give it a `codec`"
        )
    if "filter" in settings:
        errors = settings.get("errors", "given")
        inner = latent_filter(case, step, settings["filter"], codec, errors)
        supplied = {"codec": codec, "observe": given.operator, "inner": inner}
        return build.filter(case, build.without(settings, "filter", "errors"), **supplied)
    if "obs_std" in settings:
        obs_std = settings["obs_std"] * given.obs_spread
    else:
        obs_std = torch.where(given.obs_std > 0, given.obs_std, FLOOR * given.obs_spread)
    _, *grid = given.shape
    supplied = {
        "step": step,
        "observe": given.operator,
        "obs_std": obs_std,
        "mean": given.state_mean,
        "std": given.state_std,
        "codec": codec,
        "size": given.size,
        "localisation": Localisation(
            on_map(given.shape), period=float(grid[0]) if grid[1] == 1 else None
        ),
    }
    return build.filter(case, build.without(settings, "obs_std"), **supplied)


def latent_filter(case: Mapping, step: Callable, settings: Mapping, codec: Any, errors: str):
    """The filter of latents: the model is that of the full space, the latent is observed."""
    size = codec.latent
    rows, columns = getattr(codec, "latent_map", (size, 1))
    supplied = {
        "step": step,
        "observe": Identity(size),
        "obs_std": _error_of_latents(settings, codec, errors),
        "size": size,
        "localisation": Localisation(
            on_map((size // (rows * columns), rows, columns)),
            period=(None, float(columns) if getattr(codec, "periodic", False) else None),
        ),
    }
    return build.filter(case, build.without(settings, "obs_std"), **supplied)


def _error_of_latents(settings: Mapping, codec: Any, errors: str) -> float:
    """The σ of latents, given with the filter or estimated with the codec."""
    if errors not in OF_CODES:
        raise ValueError(f"errors of latents are {' or '.join(OF_CODES)}, not {errors!r}")
    if errors != "given":
        return codec.errors[errors]
    if "obs_std" not in settings:
        raise ValueError(
            "the filter of latents has no obs_std; give it one in the units of latents, or let the "
            "method say `errors: latent_noise` or `errors: mismatch`"
        )
    return settings["obs_std"]


def spread_of(std: Tensor, given: ObservationSetup) -> Tensor:
    """(..., state) -> (..., variable), root mean variances in units of the std of the variable."""
    parts = (std / given.state_std.to(std)).unflatten(-1, (given.shape[0], -1))
    return parts.double().square().mean(-1).sqrt().float()


# -- observations --------------------------------------------------------------------------------


def thinned(
    case: Mapping, made: xr.Dataset, truth: xr.Dataset, operator: Any, known: "Moments"
) -> xr.Dataset:
    """Observations of all points as those of the sensors, at the times when these observe.

    Errors are those of the points, so that networks of sensors share those of common points. Beside
    y stand the layout of the states, `state_std`, `state_mean` (variable) of the training states,
    `obs_spread` (obs), `stride`, `interval` and `observes_states`.
    """
    settings, size = case["observations"], truth.sizes["state"]
    shape, k, every = arrays.shape_of(truth, size), stride(case), settings.get("interval", 1)
    index = EveryKth(shape, k).selected(size)
    found = made.isel(obs=index.numpy())
    late = (np.arange(1, found.sizes["time"] + 1) % every) != 0
    found["y"] = found.y.where(xr.DataArray(~late, dims="time")) if every > 1 else found.y
    mean = known.states.mean[0] * settings.get("centred", False)
    values = {
        "state_std": (("variable",), known.states.std[0], "std of the training states"),
        "state_mean": (("variable",), mean, "mean of the training states"),
        "obs_spread": (("obs",), known.observed_std[index], "std of what is observed"),
        "stride": ((), torch.tensor(k), "distance of the sensors in points"),
        "interval": ((), torch.tensor(every), "times from one observation to the next"),
        "observes_states": (
            (),
            torch.tensor(int(isinstance(operator, Identity))),
            "1 where states are observed as they are",
        ),
    }
    found = found.assign(
        {n: arrays.labelled(dims, v, "1", text) for n, (dims, v, text) in values.items()}
    )
    found["time"].attrs.update(truth.time.attrs)
    return found.assign_coords(arrays.layout_of(truth))


class Moments(NamedTuple):
    """Of training states by variable, and (obs,) the standard deviation of what is observed."""

    states: Scaling
    observed_std: Tensor

    @classmethod
    def of(cls, operator: Any, training: xr.Dataset) -> "Moments":
        """Of states (seed, time, state)."""
        states = arrays.to_tensor(training.x, None).flatten(0, 1)
        variables = arrays.shape_of(training, states.shape[-1])[0]
        return cls(per_channel(states, variables), spread(operator(states), variables))


# -- runs ----------------------------------------------------------------------------------------


class Given(NamedTuple):
    """What a run is given: observations, prior, the codec and the learned forecast, if any."""

    observations: xr.Dataset
    prior: xr.Dataset
    codec: Any = None
    step: Callable[[Tensor], Tensor] | None = None


def prepared(
    case: Mapping, section: Mapping, given: Given, device: str
) -> tuple[ObservationSetup, Any, Ensemble]:
    """What a run observes, its filter, and the ensemble it starts from.

    Args:
        case: at the coordinates of the run; its prior names the start, one of `starts`.
        section: of the method, at the coordinates of the run.
    """
    observed, size = given.observations, given.prior.sizes["state"]
    found = setup(case, observed, size, device)
    step = build.step(case) if given.step is None else given.step
    filter = filter_of(case, step, section, found, given.codec)
    members = given.prior.members.sel(start=case["prior"]["start"], seed=observed.seed)
    count = getattr(getattr(filter, "inner", filter), "members", members.sizes["member"])
    E = arrays.to_tensor(members.isel(member=slice(count)), dtype(case))
    return found, filter, Ensemble(E.to(device))


def analyses(
    section: Mapping,
    case: Mapping,
    entries: Sequence[Mapping],
    observations: Sequence[xr.Dataset],
    priors: Sequence[xr.Dataset],
    experiment: str,
    device: str,
    checkpoint: Checkpoint,
    *,
    sampled: int,
    tune: Mapping | None = None,
    codecs: Sequence[xr.Dataset] = (),
    dynamics: Sequence[xr.Dataset] = (),
    valid_truth: Sequence[xr.Dataset] = (),
    valid_observations: Sequence[xr.Dataset] = (),
    valid_prior: Sequence[xr.Dataset] = (),
) -> xr.Dataset:
    """mean, forecast_mean (run, case, time, state), spreads and some members, see `_described`.

    Of runs that are tuned also what was tried, and `chosen` (run), the settings as JSON.

    Args:
        section: `kind` and settings of the method, without its codec.
        entries: runs as a spec has them, with `data`, `prior` and `codec`, the numbers of files;
            of several methods each with its own `section` and `tune`.
        sampled: components whose members are kept.
        tune: what the validation part chooses, see `spec.Tune`; then that part is given too.
        codecs, dynamics: fitted; none where there are none.
    """
    steps = steps_of_case(case)
    parts_done, made = Parts(checkpoint), []
    for number, entry in enumerate(entries):
        own = runs.case_at(case, entry["values"])
        settings = entry.get("section") or runs.method_at(section, entry["values"])
        codec = parts.ready(codecs[entry["codec"]], device) if "codec" in entry else None
        step = parts.step_of(dynamics[0], steps) if dynamics else None
        purpose, table, chosen = _purpose(entry), xr.Dataset(), {}
        if chooses := entry.get("tune", tune):
            place = entry["data"]
            known = Given(valid_observations[place], valid_prior[entry["prior"]], codec, step)
            truth = valid_truth[0] if len(valid_truth) == 1 else valid_truth[place]
            drawn = partial(streams, experiment, purpose=f"{purpose} on validation")
            settings, table, chosen = validated(own, settings, chooses, known, truth, drawn, device)
        given = Given(observations[entry["data"]], priors[entry["prior"]], codec, step)
        seeds = given.observations.seed.values.tolist()
        saved = parts_done.of(str(number))
        generator = streams(experiment, seeds, purpose)
        one = analysed(own, settings, given, sampled, generator, device, **saved)
        text = {"units": "1", "long_name": "settings that validation has chosen"}
        numbers = {d: range(table.sizes[d]) for d in table.dims}
        one = one.merge(table.assign_coords(numbers)).assign(
            {CHOSEN: ((), json.dumps(chosen), text)}
        )
        made.append(one.expand_dims("run"))
    most = max(one.sizes.get("member", 1) for one in made)
    made = [one.reindex(member=range(most)) if "member" in one.dims else one for one in made]
    whole = xr.concat(
        made, "run", data_vars="all", coords="minimal", compat="override", join="outer"
    )
    return whole.assign_coords(runs.labels(entries))


def _purpose(entry: Mapping) -> str:
    """Of the random streams of a run: the same for one method under all conditions."""
    number = entry["replicate"]
    return f"{entry['method']} {number}" if number else entry["method"]


def steps_of_case(case: Mapping) -> int:
    """Steps of a learned forecast from one analysis to the next."""
    return steps_of(case["era5"]) if "era5" in case else 1


def analysed(
    case: Mapping,
    section: Mapping,
    given: Given,
    sampled: int,
    generator: Generator,
    device: str,
    **saved: Any,
) -> xr.Dataset:
    """One run, see `_described`."""
    found, filter, start = prepared(case, section, given, device)
    kept = torch.linspace(0, found.size - 1, min(sampled, found.size)).round().long()
    y = arrays.to_tensor(given.observations.y, dtype(case)).to(device)
    beliefs = assimilate(filter, start, y, generator, progress=True, kept=kept, **saved)
    return _described(beliefs, kept, found, given.observations)


def _described(
    beliefs: Analyses, kept: Tensor, found: ObservationSetup, observed: xr.Dataset
) -> xr.Dataset:
    """mean, forecast_mean (case, time, state), spreads, and some members.

    spread, forecast_spread (case, time, variable): root mean variances in units of the std of the
    training states; members (case, time, member, sampled) of the components whose index is
    `sampled`; diverged_at (case).
    """
    axes, text = ("case", "time", "state"), "index of the time of divergence, or -1"
    of_variables = (*axes[:2], "variable")
    values = {
        "mean": (axes, beliefs.mean, "analysis mean"),
        "forecast_mean": (axes, beliefs.forecast_mean, "forecast mean"),
        "spread": (of_variables, spread_of(beliefs.std, found), "analysis spread"),
        "forecast_spread": (
            of_variables,
            spread_of(beliefs.forecast_std, found),
            "forecast spread",
        ),
        "diverged_at": (axes[:1], beliefs.diverged_at, text),
    }
    if beliefs.members is not None:
        dims = ("case", "time", "member", "sampled")
        values["members"] = (dims, beliefs.members, "members of the analysis")
    coords = {
        "case": ("case", observed.seed.values, CASE),
        "time": observed.time.variable,
        "sampled": ("sampled", kept.numpy(), arrays.STATE),
    }
    made = xr.Dataset(
        {name: arrays.labelled(dims, v, "1", text) for name, (dims, v, text) in values.items()},
        coords,
    )
    return made.assign_coords(member=range(made.sizes["member"])) if "members" in made else made


def validated(
    case: Mapping,
    section: Mapping,
    tune: Mapping,
    given: Given,
    truth: xr.Dataset,
    generator: Callable[..., Generator],
    device: str,
) -> tuning.Tuned:
    """The method with the settings that validation trajectories choose.

    Args:
        tune: `grid`, and of the validation part `seeds`, `analyses` and `discard`.
        given: observations and prior of the validation part.
        truth: of the validation part.
        generator: the streams of seeds; the same for every combination.
    """
    kept = {"seed": slice(tune["seeds"])}
    observed = given.observations.isel(kept | {"time": slice(tune["analyses"])})
    given = given._replace(observations=observed)
    x = arrays.to_tensor(at_times(truth.isel(kept).x, observed.time), None)
    y, seeds = arrays.to_tensor(observed.y, dtype(case)).to(device), observed.seed.values.tolist()

    def error_of(candidate: Mapping) -> np.ndarray:
        found, filter, start = prepared(case, candidate, given, device)
        beliefs = assimilate(filter, start, y, generator(seeds=seeds))
        centre, std = found.state_mean.cpu(), found.state_std.cpu()
        errors = tuning.relative_error(beliefs.mean.cpu(), x, centre, std)
        return errors[:, tune["discard"] :].mean(-1).numpy()

    return tuning.tuned(section, tune["grid"], error_of)
