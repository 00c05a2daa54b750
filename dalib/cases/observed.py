"""What is seen of the truth, and what a filter knows when it starts."""

from collections.abc import Mapping

import torch
import xarray as xr

from dalib import arrays, build
from dalib.build import start
from dalib.cases.truth import dtype
from dalib.observe import noisy
from dalib.streams import normal_like, streams


def observed(case: Mapping, truth: Mapping[str, xr.Dataset], experiment: str) -> dict:
    """Observations of every part of the truth, by its name, and the `prior` of the test part."""
    found = {
        split: observations(case, truth[split], split, experiment)
        for split in ("train", "valid", "test")
    }
    return found | {"prior": prior(case, truth["test"], experiment, truth["train"])}


def observations(case: Mapping, truth: xr.Dataset, split: str, experiment: str) -> xr.Dataset:
    """y (seed, time, obs) from the second time of the truth on; of `test`, NaN after `until`.

    With a list for `error_std`, y (error, seed, time, obs): the same errors, scaled.
    """
    settings = case["observations"]
    truth = truth.isel(seed=slice(settings.get("trajectories", {}).get(split)))
    x = truth.x.isel(time=slice(1, None))
    seeds = truth.seed.values.tolist()
    operator = build.operator(case, truth.sizes["state"])
    exact = operator(arrays.to_tensor(x, dtype(case)))
    std = torch.as_tensor(settings["error_std"], dtype=torch.float64)[..., None].to(exact)
    std = std.expand(*std.shape[:-1], exact.shape[-1])
    unit = normal_like(exact, streams(experiment, seeds, f"observations {split}"))
    y = exact + (std[:, None, None] if std.ndim > 1 else std) * unit
    if split == "test" and settings.get("until") is not None:
        y[..., x.time.values > settings["until"] + 1e-9, :] = torch.nan
    names = getattr(operator, "seen", lambda names: None)(x.state.values.tolist())
    if names is None and y.shape[-1] > arrays.MANY:
        names = range(y.shape[-1])
    made = arrays.observations_dataset(
        y, std, seeds=seeds, interval=float(truth.time[1]), names=names
    )
    made["time"].attrs.update(truth.time.attrs)
    return made.assign_coords(arrays.layout_of(truth))


def prior(
    case: Mapping, truth: xr.Dataset, experiment: str, training: xr.Dataset | None = None
) -> xr.Dataset:
    """What a filter knows at time 0: the truth with an error of known covariance, a mean, or
    ensembles drawn without any knowledge of the truth.
    """
    seeds, settings = truth.seed.values.tolist(), case["prior"]
    if "starts" in settings:
        return _ensembles(case, seeds, truth, experiment, training)
    x = arrays.to_tensor(truth.x.isel(time=0))
    if "mean" in settings:
        std = settings["std"]
        mean = torch.as_tensor(settings["mean"], dtype=x.dtype).expand_as(x)
    else:
        std = settings["error_std"]
        mean = noisy(lambda state: state, x, std, streams(experiment, seeds, "prior"))
    cov = std**2 * torch.eye(x.shape[-1], dtype=x.dtype)
    return arrays.prior_dataset(mean, cov, seeds=seeds, names=truth.state.values)


def _ensembles(
    case: Mapping, seeds: list, truth: xr.Dataset, experiment: str, training: xr.Dataset | None
) -> xr.Dataset:
    """members (start, seed, member, state), of every way to start; of the truth only its dates."""
    settings, dates = case["prior"], truth.get("date")
    members = [
        start(case, how, training=training, dates=dates).draw(
            (len(seeds), settings["members"]),
            streams(experiment, seeds, f"prior {name}"),
            dtype(case),
        )
        for name, how in settings["starts"].items()
    ]
    return arrays.ensembles_dataset(
        torch.stack(members), starts=settings["starts"], seeds=seeds, names=truth.state.values
    )
