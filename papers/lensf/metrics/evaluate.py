"""Scores of filters on fields, the maps that figures show, and what codecs make of the truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.field_runs import FieldRun, altered, runs_of
from dalib.filters.ensf import likelihood_score
from dalib.metrics.sphere import latitude_weights
from dalib.nets.scaling import spread
from dalib.observe import EveryKth
from dalib.scores import at_times
from dalib.streams import normal_like, stream
from papers.lensf.fields import Seen, parts_of, seen, seen_whole, sensors
from papers.lensf.metrics import seen as fields_seen
from papers.lensf.metrics.fields import score_run, score_runs
from papers.lensf.metrics.linear_problem import linear_problem

CODES = 8  # components of codes that are shown


def fields(sections: Mapping, inputs: Mapping[str, Any]) -> xr.Dataset:
    """Scores of all runs of a case, maps of the first seed, and its codecs.

    base_<condition> is what the configuration names as the base, `altered` (run) the settings in
    which a run differs from its filter's, with blanks between them.

    sections: `case`, `product`, `filters` by name and `model_<name>` of each codec.
    inputs: truth and observations of the test part, `methods`, and `models` and `histories` where
    the case has codecs.
    """
    case, product = sections["case"], sections["product"]
    observations, truth = inputs["observations"], inputs["truth"]
    shape = arrays.shape_of(observations, truth.sizes["state"])
    std = observations.state_std.values if "state_std" in observations else np.ones(shape[0])
    scored, members, coords, runs = {}, {}, [], {}
    weights = _weights(observations)
    known = {
        run.label: run
        for name in product["methods"]
        for run in runs_of(product, name, sections["filters"][name])
    }
    changes = {
        label: " ".join(names)
        for name in product["methods"]
        for label, names in altered(product, name, sections["filters"][name]).items()
    }
    for made in inputs["methods"].values():
        for label in map(str, made["run"].values):
            labelled = made.sel({"run": label})
            one = labelled.reset_coords(drop=True)
            x = at_times(truth.x, one.time)
            scored[label] = score_run(one, x, shape, std, **weights)
            scored[label]["diverged"] = (one.diverged_at >= 0).astype(float)
            if "tried_error" in one and one.tried_error.notnull().any():
                tried = one[[n for n in one if n.startswith("tried_")]]
                tried = tried.dropna("candidate", how="all")
                tried = tried.assign_coords(candidate=range(tried.sizes["candidate"]))
                scored[label] = scored[label].merge(tried)
            if "area" not in weights:
                also = fields_seen.beside(case, known[label], one, observations, x)
                scored[label] = scored[label].merge(also)
            if "kept_members" in one:
                kept = one.kept_members.notnull().any(("seed", "time", "sampled"))
                members[label] = int(kept.sum())
            own = [n for n, c in made.coords.items() if c.dims == ("run",)]
            coords.append({n: labelled[n].values.item() for n in own})
            runs[label] = (known[label], one)
    found = score_runs(scored, product["discard"], members)
    found = found.assign_coords(
        {n: ("run", [row[n] for row in coords], made[n].attrs) for n in coords[0]}
    )
    found = found.assign_coords(_base(product["base"]))
    found = found.assign_coords(altered=("run", [changes[label] for label in scored]))
    found = found.assign_coords(_layout(observations)).assign_coords(size=truth.sizes["state"])
    if "shown" in product:
        found = found.merge(_shown(case, product["shown"], runs, inputs, shape))
    if "linear" in product:
        found = found.merge(linear_problem(product["linear"], "linear problem"))
    models = inputs.get("models", {})
    for part in (_trainings(inputs), _codecs(sections, models, inputs, shape, std)):
        found = found.merge(part, join="outer")
    return found


def _base(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions at the base of the case, from which those of its runs differ."""
    return {
        f"base_{name}": xr.Variable((), value, {"units": "1", "long_name": f"{name} of the base"})
        for name, value in conditions.items()
    }


def _weights(observations: xr.Dataset) -> dict[str, np.ndarray]:
    """What errors are relative to departures from, and the area of points on the sphere."""
    found = {"centre": observations.state_mean.values} if "state_mean" in observations else {}
    if "grid_x" in observations and observations["grid_x"].attrs["units"] == "degrees_north":
        found["area"] = latitude_weights(observations["grid_x"]).values[:, None]
    return found


def _layout(observations: xr.Dataset) -> dict[str, xr.Variable]:
    """That of the states, with x and y for the points."""
    names = dict(zip(arrays.GRID, ("x", "y"), strict=True))
    return {
        names.get(name, name): xr.Variable([names.get(d, d) for d in v.dims], v.values, v.attrs)
        for name, v in arrays.layout_of(observations).items()
    }


# --- maps --------------------------------------------------------------------------------------


def _shown(
    case: Mapping, settings: Mapping, runs: Mapping, inputs: Mapping, shape: tuple
) -> xr.Dataset:
    """Maps of the first seed at some analyses, and all of one variable for a film."""
    truth, observations = inputs["truth"].isel(seed=0), inputs["observations"]
    labels = [label for label in settings["runs"] if label in runs]
    time = observations.time.isel(time=[n - 1 for n in settings["times"]])
    x = at_times(truth.x, time).values.reshape(-1, *shape)

    def maps(label: str) -> np.ndarray:
        one = runs[label][1]["mean"].isel(seed=0)
        return at_times(one, time).values.reshape(-1, *shape)

    axes = ("shown_time", "variable", "x", "y")
    variables = {
        "truth_shown": (axes, x, "true field"),
        "mean_shown": (("shown_run", *axes), np.stack([maps(n) for n in labels]), "analysis mean"),
        "observed_shown": (
            ("shown_run", *axes),
            np.stack(
                [_observed(case, runs[n][0], observations, settings["times"]) for n in labels]
            ),
            "observation, at the sensors",
        ),
    }
    if settings.get("film") in runs:
        film = runs[settings["film"]][1]["mean"].isel(seed=0)
        true = at_times(truth.x, film.time).values.reshape(-1, *shape)[:, -1]
        variables["film_truth"] = (("time", "x", "y"), true, "true field, last variable")
        made = film.values.reshape(-1, *shape)[:, -1]
        variables["film"] = (("time", "x", "y"), made, "analysis mean, last variable")
    if settings.get("score") in runs:
        run, one = runs[settings["score"]]
        given = seen(case, observations.isel(seed=slice(1)), run, "cpu")
        score = _score(given, one)
        text = "gradient of the log likelihood"
        variables["likelihood_score"] = (axes[1:], score.reshape(shape), text)
        off = f"largest {text} off the sensors, relative"
        variables["score_off_sensors"] = ((), _largest_off(given, score), off)
        if isinstance(given.operator, EveryKth):
            full = _score(_interpolated(given), one)
            off = f"{off}, of interpolated observations"
            variables["interpolated_score_off_sensors"] = ((), _largest_off(given, full), off)
    found = {
        n: xr.Variable(dims, v, {"units": "1", "long_name": text})
        for n, (dims, v, text) in variables.items()
    }
    coords = {
        "shown_time": ("shown_time", time.values, time.attrs),
        "shown_run": ("shown_run", labels),
    }
    return xr.Dataset(found, coords)


def _observed(
    case: Mapping, run: FieldRun, observations: xr.Dataset, times: list[int]
) -> np.ndarray:
    """(time, variable, x, y), NaN where nothing is seen."""
    given = seen(case, observations.isel(seed=slice(1)), run, "cpu")
    whole = given.y.new_full((len(times), len(given.state_std)), torch.nan)
    whole[:, given.index] = given.y[0, [n - 1 for n in times]]
    return whole.unflatten(-1, given.shape).numpy()


def _score(given: Seen, one: xr.Dataset) -> np.ndarray:
    """(state,), ∇ log p(y | x) of the first observation at the mean of the first forecast.

    Raises:
        ValueError: the observations are exact, which have no such gradient.
    """
    if not given.noise_std.min() > 0:
        raise ValueError(
            "shown: the run under `score` has observations without errors, which give no gradient; "
            "name one with noise"
        )
    x = arrays.to_tensor(one["forecast_mean"].isel(seed=0, time=0), given.y.dtype)
    score = likelihood_score(given.operator, given.y[0, 0], given.noise_std.to(x), len(x))
    return score(x[None])[0].numpy()


def _largest_off(given: Seen, score: np.ndarray) -> float:
    """Largest |score| (state,) where no sensor is, over the largest of all."""
    away = np.ones(len(score), bool)
    away[given.index] = False
    return float(np.abs(score[away]).max(initial=0.0) / np.abs(score).max())


def _interpolated(given: Seen) -> Seen:
    """As if the observations interpolated to all points had been made there."""
    full = given.operator.interpolated
    noise_std = full(given.noise_std[None])[0]
    return given._replace(y=full(given.y), operator=given.operator.everywhere, noise_std=noise_std)


# --- codecs ------------------------------------------------------------------------------------


def _trainings(inputs: Mapping) -> xr.Dataset:
    """Held-out errors of the codecs during their training, (codec, check)."""
    rows = []
    for name, history in inputs.get("histories", {}).items():
        one = history.isel(repeat=0, drop=True)
        row = xr.Dataset({n: one[f"held_out_{n}"].drop_vars("check") for n in REPORTS})
        row["updates"] = ("check", one["check"].values.astype(float))
        row["final_mismatch"] = row.mismatch.isel(check=-1)
        row = row.assign_coords(check=range(row.sizes["check"]))
        rows.append(row.expand_dims(codec=[name]))
    if not rows:
        return xr.Dataset()
    found = xr.concat(rows, "codec", join="outer")
    texts = {"updates": "updates done", "final_mismatch": "mismatch at the end of the training"}
    for name, text in {**REPORTS, **texts}.items():
        found[name].attrs = {"units": "1", "long_name": text}
    return found


REPORTS = {
    "state_error": "relative error of decoded states, held out",
    "observation_error": "relative error of decoded observations, held out",
    "mismatch": "relative mismatch of the codes, held out",
}


def _codecs(
    sections: Mapping, models: Mapping, inputs: Mapping, shape: tuple, std: np.ndarray
) -> xr.Dataset:
    """What each codec makes of the truth and of the case's kind of observations of it."""
    rows = [
        _codec(name, sections[f"model_{name}"], weights, inputs, shape, std)
        for name, weights in models.items()
    ]
    if not rows:
        return xr.Dataset()
    found = xr.concat(rows, "codec", coords="minimal", join="outer")
    texts = {
        "reconstruction": "relative error of decoded true states",
        "observation_decode": "relative error of decoded observations",
        "code_state": "code of the true state",
        "code_obs": "code of the observation",
        "latent_noise": "std of codes from the errors of observations",
        "mismatch_std": "std of the mismatch of codes, held out",
    }
    for name, text in texts.items():
        found[name].attrs = {"units": "1", "long_name": text}
    return found


def _codec(
    name: str,
    section: Mapping,
    weights: xr.Dataset,
    inputs: Mapping,
    shape: tuple,
    std: np.ndarray,
) -> xr.Dataset:
    codec = build.codec(section, weights, shape)
    parts = parts_of(section)
    truth = at_times(inputs["truth"].x, inputs["observations"].time)
    x = arrays.to_tensor(truth, torch.float32)
    operator = sensors(seen_whole(section, x.shape[-1]), shape, parts["every"])
    y = operator(x)
    size = torch.as_tensor(std).repeat_interleave(shape[1] * shape[2])
    noise = (section["noise"] * spread(y.flatten(0, 1), shape[0])).to(y)
    y = y + noise * normal_like(y, stream("codecs shown", name))
    with torch.no_grad():
        z, z_obs = codec.encode(x)[0], codec.encode_observations(y)[0]

        def error(code: Tensor) -> np.ndarray:
            apart = (codec.decode(code) - x) / size
            return (apart.norm(dim=-1) / (x / size).norm(dim=-1)).numpy()

        axes = ("seed", "time")
        network = section.get("network", {})
        found = xr.Dataset(
            {
                "reconstruction": (axes, error(z)),
                "observation_decode": (axes, error(z_obs)),
                "code_state": ((*axes, "code"), z[..., :CODES].numpy()),
                "code_obs": ((*axes, "code"), z_obs[..., :CODES].numpy()),
                "latent_noise": float(weights.latent_noise),
                "mismatch_std": float(weights.mismatch),
            },
            {
                "seed": truth.seed,
                "time": truth.time,
            },
        )
        known = {
            "codec_every": parts["every"],
            "codec_latent": codec.latent,
            "codec_matched": int(network.get("matching", 0.1) > 0),
            "codec_linear": int("codec" in section),
        }
    noise = {"units": "1", "long_name": "noise of the observations that a codec learned from"}
    found = found.expand_dims(codec=[name]).assign_coords(
        {key: ("codec", [value]) for key, value in known.items()}
    )
    return found.assign_coords(codec_noise=("codec", [float(section["noise"])], noise))
