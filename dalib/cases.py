"""What the stages do with one case: sections of the configuration and datasets in, datasets out.

Streams of random numbers are named by experiment, seed and purpose, so that no stage's draws
depend on another stage or on how seeds are laid out in batches.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build, scores, train
from dalib.filters.base import Gaussian, assimilate
from dalib.forecasters.equations import perfect_model_forecast
from dalib.nets.scaling import Scaling
from dalib.observe import noisy
from dalib.simulate import simulate
from dalib.streams import Streams, stream, streams

DIVERGED = ("mean", "std", "forecast_mean", "forecast_std")  # NaN from where a seed diverged
WATCHED = 256  # windows or states of a batch held fixed, on which a training reports


class Checkpoint(Protocol):
    """Where a long computation leaves what it needs to continue after it was killed."""

    def load(self) -> dict | None: ...

    def save(self, state: Callable[[], dict]) -> None: ...


class Forgotten:
    """Nothing is left, so nothing is continued."""

    def load(self) -> None:
        return None

    def save(self, state: Callable[[], dict]) -> None:
        return None


FORGOTTEN = Forgotten()


def truth(case: Mapping, split: str, experiment: str) -> xr.Dataset:
    """x (seed, time, state): the trajectories of one split ("train", "valid" or "test")."""
    settings, names = case["truth"], build.system(case).names
    if len(settings["start"]["mean"]) != len(names):
        raise ValueError(
            f"truth.start.mean has {len(settings['start']['mean'])} values, but the state of "
            f"{case['system']['kind']} has {len(names)} components: {', '.join(names)}"
        )
    seeds = range(settings[split]["seeds"])
    interval = build.interval(case)
    x = simulate(
        build.step(case),
        settings["start"]["mean"],
        settings["start"]["std"],
        settings[split]["samples"],
        seeds=seeds,
        spinup=round(settings["spinup"] / interval),
        noise_std=settings["model_noise_std"],
        generator=streams(experiment, seeds, f"truth {split}"),
    )
    return arrays.truth_dataset(x, seeds=seeds, interval=interval, names=names)


def observations(case: Mapping, truth: xr.Dataset, split: str, experiment: str) -> xr.Dataset:
    """y (seed, time, obs) from the second time of the truth on; of `test`, NaN after `until`."""
    settings, x = case["observations"], truth.x.isel(time=slice(1, None))
    seeds = truth.seed.values.tolist()
    operator = build.operator(case, truth.sizes["state"])
    generator = streams(experiment, seeds, f"observations {split}")
    y = noisy(operator, arrays.to_tensor(x), settings["error_std"], generator)
    if split == "test" and settings["until"] is not None:
        y[:, x.time.values > settings["until"] + 1e-9] = torch.nan
    obs_std = torch.full(y.shape[-1:], settings["error_std"], dtype=y.dtype)
    names = getattr(operator, "seen", lambda names: None)(x.state.values.tolist())
    return arrays.observations_dataset(
        y, obs_std, seeds=seeds, interval=float(truth.time[1]), names=names
    )


def prior(case: Mapping, truth: xr.Dataset, experiment: str) -> xr.Dataset:
    """What a filter knows at time 0: the truth with an error of known covariance."""
    seeds = truth.seed.values.tolist()
    x = arrays.to_tensor(truth.x.isel(time=0))
    std = case["prior"]["error_std"]
    mean = noisy(lambda state: state, x, std, streams(experiment, seeds, "prior"))
    cov = std**2 * torch.eye(x.shape[-1], dtype=x.dtype)
    return arrays.prior_dataset(mean, cov, seeds=seeds, names=truth.state.values)


def analyses(
    case: Mapping,
    method: Mapping,
    observations: xr.Dataset,
    prior: xr.Dataset,
    *,
    weights: xr.Dataset | None,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """Run one filter, or smoother, over the test observations: means and standard deviations.

    Args:
        method: `kind` and settings of the filter.
        weights: of the trained network of a learned filter, which runs on all seeds; other filters
            run on the seeds of the batch.
        batch: `index` and `size` of the batch of seeds.
        experiment: first name of the streams, with the method's name in it.
        checkpoint: from which a filter continues, as if it had not been interrupted.
    """
    if weights is None:
        seeds = slice(batch["index"] * batch["size"], (batch["index"] + 1) * batch["size"])
        observations, prior = observations.isel(seed=seeds), prior.isel(seed=seeds)
    y, obs_std, mean, cov = (
        arrays.to_tensor(array).to(device)
        for array in (observations.y, observations.obs_std, prior["mean"], prior["cov"])
    )
    network = None if weights is None else build.network(method["model"], weights).to(device)
    filter = build.filter(case, method, obs_std=obs_std, network=network)
    if hasattr(filter, "smooth"):
        beliefs = filter.smooth(y)
    else:
        generator = streams(experiment, observations.seed.values.tolist(), "assimilate")
        beliefs = assimilate(
            filter,
            Gaussian(mean, cov),
            y,
            generator,
            progress=True,
            save=checkpoint.save,
            resume=checkpoint.load(),
        )
    names = prior.state if weights is None else weights.quantity
    return arrays.analyses_dataset(
        beliefs, time=observations.time, seed=observations.seed, names=names.values
    )


def trained(
    section: Mapping,
    training: xr.Dataset,
    held_out: xr.Dataset,
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Weights ([point,] repeat, ...) and history of one batch of training repeats.

    Args:
        section: `network`, `data`, `training` and, for a sweep, `points` of a model.
        training, held_out: datasets with the variable that the model learns from.
        batch: `index` and `size` of the batch of repeats.
        checkpoint: from which the training continues, as if it had not been interrupted.
    """
    settings, name = section["training"], {"observations": "y", "truth": "x"}[section["data"]]
    noise = section.get("points", {}).get("noise_std")
    first = batch["index"] * batch["size"]
    repeats = range(first, min(first + batch["size"], settings["repeats"]))
    runs = [(point, repeat) for point in noise or [None] for repeat in repeats]

    def generator(purpose: str) -> Streams:
        return Streams(tuple(stream(experiment, *run, purpose) for run in runs))

    data = [arrays.to_tensor(dataset[name]).to(device) for dataset in (training, held_out)]
    scaling = Scaling.fit(data[0], len(runs))
    network = build.make(
        "network",
        section["network"],
        {"scaling": lambda: scaling, "generator": lambda: generator("first weights")},
    ).to(device)
    std = torch.tensor([point or 0.0 for point, _ in runs])
    draws = [_draws(values, settings, std) for values in data]
    watched = [replace(draw, batch=WATCHED)(generator("watched")) for draw in draws]
    history = train.fit(
        network,
        draws[0],
        build.training(settings),
        watched=dict(zip(("training", "held_out"), watched, strict=True)),
        progress=experiment,
        save=checkpoint.save,
        resume=checkpoint.load(),
        generator=generator("training"),
    )
    axes = {"repeat": list(repeats)} | ({"noise_std": noise} if noise else {})
    weights = arrays.weights_dataset(network.state_dict(), axes)
    quantity = training[name].dims[-1]
    return (
        weights.assign_coords(quantity=("quantity", training[quantity].values)),
        arrays.history_dataset(history, axes),
    )


def _draws(values: Tensor, settings: Mapping, noise_std: Tensor):
    """Batches of windows of a series where the training has a window, else of noisy states."""
    if "window" in settings:
        return train.Windows(values, settings["window"], settings["batch"], len(noise_std))
    return train.Draws(values.flatten(0, -2), settings["batch"], noise_std)


def forecasts(
    case: Mapping,
    method: Mapping,
    observations: xr.Dataset,
    weights: xr.Dataset,
    experiment: str,
    device: str,
) -> xr.Dataset:
    """Forecasts of a trained model from stretches of test observations, and its free runs."""
    settings, y = case["forecasts"], arrays.to_tensor(observations.y).to(device)
    starts = start_indices(settings, observations)
    contexts = torch.stack([y[:, i - settings["context"] : i] for i in starts.tolist()], 1)
    network = build.network(method["model"], weights).to(device)
    forecaster = build.make("forecaster", method, {"network": lambda: network})
    forecast = forecaster.forecast(contexts.flatten(0, 1), settings["horizon"])

    def free_run(noisy: bool) -> Tensor:
        runs, run = weights["repeat"].values, settings["free_run"]
        generator = Streams(tuple(stream(experiment, r, "free run") for r in runs))
        one = replace(forecaster, noisy=noisy)
        return one.free_run(run["chains"], run["samples"], generator, discard=run["discard"]).states

    return arrays.forecasts_dataset(
        forecast[:, 0].unflatten(1, contexts.shape[:2]),
        seed=observations.seed,
        start=observations.time[(starts - 1).tolist()],
        interval=float(observations.time[0]),
        names=weights.quantity.values,
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


def samples(
    case: Mapping, method: Mapping, weights: xr.Dataset, experiment: str, device: str
) -> xr.Dataset:
    """States drawn by one sampler from a trained score, for each of its points and repeats."""
    network = build.network(method["model"], weights).to(device)
    sampler = build.make("sampler", method)
    points, repeats = weights.sizes.get("point", 1), weights["repeat"].values.tolist()
    runs = [repeat * points + point for point in range(points) for repeat in repeats]  # of a sweep
    generator = Streams(tuple(stream(experiment, run, "sample") for run in runs))
    drawn = sampler.sample(network, case["samples"]["count"], generator)
    to_units = network.scaling.invert  # the score is one of standardised states
    drawn = drawn._replace(states=to_units(drawn.states), snapshots=to_units(drawn.snapshots))
    return arrays.samples_dataset(drawn, weights, weights.quantity.values)


def scored(
    product: str,
    sections: Mapping,
    methods: Mapping[str, xr.Dataset],
    others: Mapping[str, xr.Dataset],
) -> xr.Dataset:
    """Scores of one product of a case, all methods in one dataset.

    Args:
        product: analyses, forecasts or samples.
        sections: `case` with system and integrator, and `product`, the settings of the product.
        methods: what each method made.
        others: the truth. For analyses observations and histories; for forecasts the scores of the
            analyses and trajectories of the climate; for samples the states that were trained on
            and reference states.
    """
    return SCORES[product](sections, methods, others)


def _scored_analyses(sections: Mapping, methods: Mapping, others: Mapping) -> xr.Dataset:
    """RMSE and the like of all filters; what the training of their models did stands beside it."""
    discard = sections["product"]["discard"]
    found = scores.score_analyses(methods, others["truth"], others["observations"], discard)
    histories = others.get("histories")
    return found.merge(scores.score_models(histories)) if histories else found


def _scored_forecasts(sections: Mapping, methods: Mapping, others: Mapping) -> xr.Dataset:
    """Errors of forecasts and free runs, beside `equations`: those of the true equations, started
    from the truth with an error of the size of the first method's analyses.
    """
    first = next(iter(methods))
    rmse = others["analyses"].rmse.sel({"method": first})
    reference = _reference(sections["case"], methods[first], others["truth"], rmse)
    found = _forecast_scores({**methods, "equations": reference}, sections, others)
    without_noise = {
        name: made.drop_vars("free_run").rename(free_run_noiseless="free_run")
        for name, made in methods.items()
    }
    noiseless = _forecast_scores(without_noise, sections, others)[["w1", "sign_changes"]]
    names = {name: f"{name}_noiseless" for name in noiseless}
    return found.merge(noiseless.rename(names).reindex({"method": found.method.values}))


def _forecast_scores(methods: Mapping, sections: Mapping, others: Mapping) -> xr.Dataset:
    return scores.score_forecasts(
        methods,
        others["truth"],
        others["climate"],
        points=sections["product"]["points"],
        generator=np.random.default_rng(0),
    )


def _reference(
    case: Mapping, forecasts: xr.Dataset, truth: xr.Dataset, rmse: xr.DataArray
) -> xr.Dataset:
    interval = build.interval(case)
    starts = (forecasts.start.values / interval).round().astype(int)
    forecast = perfect_model_forecast(
        build.step(case),
        arrays.to_tensor(truth.x),
        torch.tensor(starts),
        forecasts.sizes["lead"],
        arrays.to_tensor((rmse**2).mean("seed") ** 0.5),
        streams("reference", truth.seed.values.tolist(), "start errors"),
    )
    return arrays.forecasts_dataset(
        forecast,
        seed=truth.seed,
        start=forecasts.start,
        interval=interval,
        names=truth.state.values,
    ).assign_coords({"repeat": forecasts["repeat"]})


def _scored_samples(sections: Mapping, methods: Mapping, others: Mapping) -> xr.Dataset:
    """Distances of samples to true states, and to the true distribution."""
    return scores.score_samples(
        methods,
        others["training"],
        others["reference"],
        others["truth"],
        far=sections["product"]["far"],
        generator=np.random.default_rng(0),
    )


SCORES = {
    "analyses": _scored_analyses,
    "forecasts": _scored_forecasts,
    "samples": _scored_samples,
}
