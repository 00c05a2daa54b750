"""Filters on fields: the codecs they use, and their analyses at several points."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build, train
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint, Parts
from dalib.cases.training import fitted, repeats_of
from dalib.cases.truth import dtype
from dalib.cases.weather import steps_of
from dalib.field_runs import FieldRun, runs_of_job
from dalib.filters import Analyses, Ensemble, assimilate
from dalib.filters.latent import latent_noise
from dalib.localise import Localisation, on_map
from dalib.nets.scaling import per_channel, per_variable, spread
from dalib.observe import Arctan, ArctanEveryKth, EveryKth, Identity
from dalib.scores import at_times
from dalib.streams import normal_like, stream, streams
from papers.lensf import tuning
from papers.lensf.weather import forecast_step

WATCHED = 64  # states held fixed, on which a training reports
FLOOR = 0.05  # error that filters assume of exact observations, as a share of their std
NOISE_STATES = 50  # training states whose codes say how large the errors of codes are


# --- codecs ------------------------------------------------------------------------------------


def trained(
    sections: Mapping,
    training: xr.Dataset,
    held_out: xr.Dataset,
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Weights and history of a codec of states and of sparse, noisy observations of them.

    Beside the weights stand `latent_noise`, the part of codes that comes from the errors of
    observations, and `mismatch`, the standard deviation of μ_obs - μ over held-out states.
    """
    section = sections["model"]
    states, others = (arrays.to_tensor(d.x, None).flatten(0, 1) for d in (training, held_out))
    shape = arrays.shape_of(training, states.shape[-1])
    operator = sensors(seen_whole(section, states.shape[-1]), shape, parts_of(section)["every"])
    std = section["noise"] * spread(operator(states), shape[0])
    repeats = repeats_of(section["training"], batch)
    scaling = per_channel if section.get("centred") else per_variable
    if "codec" in section:
        generator = stream(experiment, 0, "training")
        codec = build.make("codec", section["codec"]).fit(states.double(), operator, std, generator)
        weights = {n: value[None] for n, value in vars(codec).items() if isinstance(value, Tensor)}
        history = _linear_history(codec, operator, std, others.double(), generator)
    else:
        batches = section["training"]["batch"]
        draws = [
            train.Draws(part.to(device), batches, torch.zeros(len(repeats)))
            for part in (states, others)
        ]
        supplies = {
            "scaling": lambda: scaling(states, shape[0], len(repeats)),
            "shape": lambda: shape,
            "observe": lambda: operator,
            "obs_std": lambda: std.float(),
        }
        if "operator" in section:  # what is seen has other units than the states
            supplies["obs_scaling"] = lambda: scaling(operator(states), shape[0], len(repeats))
        codec, history = fitted(
            section,
            supplies,
            draws,
            watched=WATCHED,
            runs=[(repeat,) for repeat in repeats],
            experiment=experiment,
            device=device,
            checkpoint=checkpoint,
        )
        weights = codec.state_dict()
    axes = {"repeat": list(repeats)}
    made = arrays.weights_dataset(weights, axes)
    alone = build.codec(section, made, shape).to(device)
    noise = _errors_of_codes(alone, operator, std, states, others, experiment)
    return made.assign_coords(noise), arrays.history_dataset(history, axes)


def seen_whole(section: Mapping, size: int) -> Any:
    """How the states are seen whose observations a codec learns; as they are without `operator`."""
    given = section.get("operator", {"kind": "identity"})
    return build.make("operator", given, {"size": lambda: size})


def parts_of(section: Mapping) -> Mapping:
    """Where the settings of a model's codec stand."""
    return section.get("network", section)


def _errors_of_codes(
    codec, operator, std: Tensor, states: Tensor, others: Tensor, experiment: str
) -> dict[str, xr.Variable]:
    """`latent_noise` and `mismatch`, in the units of codes."""
    generator = stream(experiment, "errors of codes")
    some = states[:: max(1, len(states) // NOISE_STATES)][:NOISE_STATES]
    noise = latent_noise(codec, some, operator, std, generator)
    held = others[:: max(1, len(others) // WATCHED)][:WATCHED]
    y = operator(held)
    y = y + std.to(y) * normal_like(y, generator)
    with torch.no_grad():
        apart = codec.encode_observations(y)[0] - codec.encode(held)[0]
    return {
        "latent_noise": _number(noise, "std of codes from the errors of observations"),
        "mismatch": _number(apart.double().square().mean().sqrt(), "std of the mismatch of codes"),
    }


def _number(value: Tensor, long_name: str) -> xr.Variable:
    return xr.Variable((), float(value), {"units": "1", "long_name": long_name})


def _linear_history(codec, operator, std: Tensor, states: Tensor, generator) -> train.History:
    """What a codec says of held-out states that was not trained step by step."""
    y = operator(states)
    y = y + std * normal_like(y, generator)
    z, z_obs = codec.encode(states)[0], codec.encode_observations(y)[0]
    size = (states / codec.std).norm()
    reports = {
        "held_out_state_error": ((codec.decode(z) - states) / codec.std).norm() / size,
        "held_out_observation_error": ((codec.decode(z_obs) - states) / codec.std).norm() / size,
        "held_out_mismatch": (z - z_obs).norm() / z.norm(),
    }
    reports = {name: value.reshape(1, 1) for name, value in reports.items()}
    return train.History(torch.zeros(1, 1), torch.tensor([0]), reports)


# --- analyses ----------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a run is given: y (seed, time, obs), how it was seen, and the sizes of things.

    index: (obs,), components of the state where the sensors are; noise_std, obs_spread: (obs,), of
    the errors of y and of y itself; state_std, state_mean: (state,).
    """

    y: Tensor
    operator: Any
    index: Tensor
    noise_std: Tensor
    obs_spread: Tensor
    state_std: Tensor
    state_mean: Tensor
    shape: tuple[int, int, int]


def analyses(
    sections: Mapping,
    inputs: Mapping[str, Any],
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """The runs of a batch of a job, over the test observations.

    mean, forecast_mean (run, seed, time, state); spread, forecast_spread (run, seed, time,
    variable), root mean variances in units of the std of the training states; members (run, seed,
    time, member, sampled), of the components whose index is `sampled`; diverged_at (run, seed).
    Of runs that are tuned also tried_... (run, candidate), see `tuning`.

    Args:
        sections: `case`, `fields` (`base`, `sampled`, and `tuning` where a run is tuned), and
            `filters` and `methods` (their points) of the job, by name.
        inputs: `observations`, `prior`, `models`: weights of codecs by their name, and where a run
            is tuned `validation_truth`, `validation_observations` and `validation_prior`.
        batch: `index` and `size` of the batch of points.
        experiment: first name of the streams, with the job's name at its end; streams do not
            depend on the job.
    """
    experiment, job = experiment.rsplit("/", 1)
    first = batch["index"] * batch["size"]
    names = list(sections["filters"])
    product = {**sections["fields"], "methods": sections["methods"], "jobs": {job: names}}
    every = runs_of_job(product, job, sections["filters"])
    runs = every[first : first + batch["size"]]
    parts = Parts(checkpoint)
    made = [
        _analysed(sections, inputs, run, experiment, device, parts.of(run.label)) for run in runs
    ]
    members = max(part.sizes.get("member", 1) for part in made)
    made = [part.reindex(member=range(members)) if "member" in part.dims else part for part in made]
    alike = {"data_vars": "all", "coords": "different", "compat": "equals", "join": "outer"}
    return xr.concat(tuning.padded(made, every), "run", **alike)


def _analysed(
    sections: Mapping, inputs: Mapping, run: FieldRun, experiment: str, device: str, saved: Mapping
) -> xr.Dataset:
    observations = inputs["observations"]
    run, on_edge, tried = _tuned(sections, inputs, run, experiment, device)
    found, filter, start = prepared(sections["case"], observations, run, inputs, device)
    size = start.members.shape[-1]
    kept = torch.linspace(0, size - 1, min(sections["fields"]["sampled"], size)).round().long()
    beliefs = assimilate(
        filter,
        start,
        found.y,
        streams(experiment, observations.seed.values.tolist(), run.label),
        progress=True,
        kept=kept,
        **saved,
    )
    made = _described(run, beliefs, kept, found, observations)
    attrs = {"units": "1", "long_name": "tuned settings on the edge of what was tried"}
    return made.assign_coords(on_edge=("run", [on_edge], attrs)).merge(tried.expand_dims("run"))


def _tuned(
    sections: Mapping, inputs: Mapping, run: FieldRun, experiment: str, device: str
) -> tuning.Tuned:
    """The run with the settings that validation trajectories choose.

    All combinations have the same random numbers.
    """
    if not run.tuned:
        return tuning.tuned(run, lambda candidate: np.empty(0))
    settings = sections["fields"]["tuning"]
    given = tuning.validation(inputs, settings)
    observations, others = given["observations"], {**inputs, "prior": given["prior"]}
    x = arrays.to_tensor(at_times(given["truth"].x, observations.time), None)
    seeds = observations.seed.values.tolist()

    def error_of(candidate: FieldRun) -> np.ndarray:
        found, filter, start = prepared(sections["case"], observations, candidate, others, device)
        generator = streams(experiment, seeds, f"{run.label} on validation")
        beliefs = assimilate(filter, start, found.y, generator)
        centre, std = found.state_mean.cpu(), found.state_std.cpu()
        errors = tuning.relative_error(beliefs.mean.cpu(), x, centre, std)
        return errors[:, settings["discard"] :].mean(-1).numpy()

    return tuning.tuned(run, error_of)


def prepared(
    case: Mapping, observations: xr.Dataset, run: FieldRun, inputs: Mapping, device: str
) -> tuple[Seen, Any, Ensemble]:
    """What a run is given of the observations, its filter, and the ensemble it starts with."""
    found, codec = seen(case, observations, run, device), None
    if run.model is not None:
        codec = build.codec(run.model, inputs["models"][run.model["name"]], found.shape).to(device)
    forecast, errors = dynamics(case, inputs), run.conditions["errors"]
    filter = field_filter(case, forecast, run.settings, found, codec, errors)
    members = start_of(run, inputs["prior"]).sel(seed=observations.seed)
    count = getattr(getattr(filter, "inner", filter), "members", members.sizes["member"])
    E = arrays.to_tensor(members.isel(member=slice(count)), dtype(case))
    return found, filter, Ensemble(E.to(device))


def dynamics(case: Mapping, inputs: Mapping) -> Callable[[Tensor], Tensor]:
    """The forecast map: that of the system, or a network whose weights are in `dynamics`."""
    if "dynamics" not in case:
        return build.step(case)
    section = case["dynamics"]["model"]
    return forecast_step(section, inputs["dynamics"], steps_of(case["era5"]))


def start_of(run: FieldRun, prior: xr.Dataset) -> xr.DataArray:
    """(seed, member, state), the ensemble that the run starts with."""
    known = prior["start"].values.tolist()
    if run.conditions["start"] not in known:
        raise ValueError(
            f"{run.label}: start {run.conditions['start']!r} is none of the starts of the case's "
            f"prior: {', '.join(known)}"
        )
    return prior.members.sel(start=run.conditions["start"])


def seen(case: Mapping, observations: xr.Dataset, run: FieldRun, device: str) -> Seen:
    """What the run is given of the observations."""
    whole = build.operator(case, observations.sizes["obs"])
    shape = arrays.shape_of(observations, observations.sizes["obs"])
    conditions, points = run.conditions, observations.sizes["obs"] // shape[0]
    observed, obs_spread = _with_errors(observations, run)
    state_std, state_mean = torch.ones(points * shape[0]), torch.zeros(points * shape[0])
    if "state_std" in observations:
        state_std, state_mean = (
            arrays.to_tensor(observations[name]).repeat_interleave(points)
            for name in ("state_std", "state_mean")
        )
    operator = sensors(whole, shape, conditions["every"])
    index = EveryKth(shape, conditions["every"]).selected(len(state_std))
    y = arrays.to_tensor(observed.y, dtype(case))[..., index]
    times = torch.arange(1, y.shape[-2] + 1)
    y[..., times % conditions["interval"] != 0, :] = torch.nan
    noise_std = arrays.to_tensor(observed.obs_std)[index]
    moved = (v.to(device) for v in (noise_std, obs_spread[index], state_std, state_mean))
    return Seen(y.to(device), operator, index, *moved, shape)


def _with_errors(observations: xr.Dataset, run: FieldRun) -> tuple[xr.Dataset, Tensor]:
    """The observations with the errors of a run, and (obs,) what these are shares of."""
    noise = run.conditions["noise"]
    if "error" not in observations.dims:
        known, observed = [float(observations.obs_std[0])], observations
        obs_spread = torch.ones(observations.sizes["obs"])
    else:
        known = observations["error"].values.tolist()
        observed = observations.isel(error=int(np.abs(np.subtract(known, noise)).argmin()))
        if not max(known) > 0:
            raise ValueError("relative_error has to have one that is not 0: filters scale with it")
        largest = observations.isel(error=int(np.argmax(known)))
        obs_spread = arrays.to_tensor(largest.obs_std) / max(known)
    if min(abs(one - noise) for one in known) > 1e-6:
        raise ValueError(
            f"{run.label}: noise {noise:g} is none of the errors of the case's observations: "
            f"{', '.join(f'{one:g}' for one in known)}"
        )
    return observed, obs_spread


def sensors(whole: Any, shape: tuple[int, int, int], every: int):
    """The operator that sees every k-th point as `whole` sees all of them."""
    if isinstance(whole, Identity):
        return EveryKth(shape, every)
    if isinstance(whole, Arctan) and whole.index is None:
        return ArctanEveryKth(shape, every, scale=whole.scale)
    raise ValueError(
        f"fields are observed by identity or arctan of all components, not {type(whole).__name__}"
    )


def field_filter(
    case: Mapping, step, settings: Mapping, seen: Seen, codec=None, errors: str = "given"
):
    """A filter of fields, in full space or in the latent space of a codec.

    A filter's own `obs_std` is a share of the std of what is observed, and in latent space in the
    units of codes; without it, errors are those of the observations, FLOOR of that std where these
    are exact.
    `errors` names what the codec says of its codes instead: "latent_noise" or "mismatch".
    """
    takes = inspect.signature(build.resolve("filter", settings["kind"])).parameters
    if codec is None and ("codec" in takes or "filter" in settings):
        raise ValueError(
            f"a filter of kind {settings['kind']} has no codec, which it needs; give the point or "
            "the filter a `model`"
        )
    if "filter" in settings:
        inner = latent_filter(case, step, settings["filter"], codec, errors)
        given = {"codec": codec, "observe": seen.operator, "inner": inner}
        return build.filter(case, build.without(settings, "filter"), **given)
    if "obs_std" in settings:
        obs_std = settings["obs_std"] * seen.obs_spread
    else:
        obs_std = torch.where(seen.noise_std > 0, seen.noise_std, FLOOR * seen.obs_spread)
    _, *grid = seen.shape
    given = {
        "step": step,
        "observe": seen.operator,
        "obs_std": obs_std,
        "mean": seen.state_mean,
        "std": seen.state_std,
        "codec": codec,
        "size": len(seen.state_std),
        "localisation": Localisation(
            on_map(seen.shape), period=float(grid[0]) if grid[1] == 1 else None
        ),
    }
    return build.filter(case, build.without(settings, "obs_std"), **given)


def latent_filter(case: Mapping, step, settings: Mapping, codec, errors: str):
    """The filter of codes: the model is that of the full space, what is observed is the code."""
    size = codec.latent
    rows, columns = getattr(codec, "latent_map", (size, 1))
    given = {
        "step": step,
        "observe": Identity(size),
        "obs_std": _error_of_codes(settings, codec, errors),
        "size": size,
        "localisation": Localisation(
            on_map((size // (rows * columns), rows, columns)),
            period=(None, float(columns) if getattr(codec, "periodic", False) else None),
        ),
    }
    return build.filter(case, build.without(settings, "obs_std"), **given)


def _error_of_codes(settings: Mapping, codec, errors: str) -> float:
    """The σ of codes, given with the filter or estimated with the codec."""
    if errors != "given":
        return codec.errors[errors]
    if "obs_std" not in settings:
        raise ValueError(
            "the filter of codes has no obs_std; give it one in the units of codes, or let the "
            "point say `errors: latent_noise` or `errors: mismatch`"
        )
    return settings["obs_std"]


def _described(
    run: FieldRun, beliefs: Analyses, kept: Tensor, found: Seen, observations: xr.Dataset
) -> xr.Dataset:
    """A dataset of one run, its conditions and numbers as coordinates."""
    variables = found.shape[0]

    def spread_of(std: Tensor) -> Tensor:
        parts = (std / found.state_std.to(std)).unflatten(-1, (variables, -1))
        return parts.double().square().mean(-1).sqrt().float()

    axes = ("seed", "time", "state")
    values = {
        "mean": (axes, beliefs.mean, "analysis mean"),
        "forecast_mean": (axes, beliefs.forecast_mean, "forecast mean"),
        "spread": ((*axes[:2], "variable"), spread_of(beliefs.std), "analysis spread"),
        "forecast_spread": (
            (*axes[:2], "variable"),
            spread_of(beliefs.forecast_std),
            "forecast spread",
        ),
        "diverged_at": (("seed",), beliefs.diverged_at, "index of the time of divergence, or -1"),
    }
    if beliefs.members is not None:
        dims = ("seed", "time", "member", "sampled")
        values["kept_members"] = (dims, beliefs.members, "members of the analysis")
    made = xr.Dataset(
        {name: arrays.labelled(dims, v, "1", text) for name, (dims, v, text) in values.items()},
        {
            "seed": observations.seed.variable,
            "time": observations.time.variable,
            "sampled": kept.numpy(),
        },
    )
    if "kept_members" in made:
        made = made.assign_coords(member=range(made.sizes["member"]))
    return made.expand_dims("run").assign_coords(
        {name: ("run", [value], _attrs(name, value)) for name, value in coordinates(run).items()}
    )


NUMBERS = ("scale", "eps_beta", "obs_std", "inflation", "weight", "radius")


def _attrs(name: str, value: Any) -> dict[str, str]:
    return {"units": "1", "long_name": name.replace("_", " ")} if isinstance(value, float) else {}


def coordinates(run: FieldRun) -> dict[str, Any]:
    """Of a run: label, method, conditions, the codec's name and size, and the filter's numbers."""
    merged = {**run.settings, **run.settings.get("filter", {})}
    model = run.model or {}
    parts = model.get("network", model.get("codec", {}))
    numbers = {
        name: value if isinstance(value := merged.get(name), (int, float)) else np.nan
        for name in NUMBERS
    }
    return {
        "run": run.label,
        "method": run.method,
        **run.conditions,
        "model": model.get("name", ""),
        "latent": parts.get("latent", parts.get("components", 0)),
        "members": merged.get("members", 0),
        "prior": merged.get("prior", "paired") if merged["kind"] == "ensf" else "",
        **{name: float(value) for name, value in numbers.items()},
    }
