"""What is seen of the truth, and what a filter knows when it starts."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.build import start
from dalib.cases.truth import dtype
from dalib.nets.scaling import Scaling, per_channel, spread
from dalib.observe import noisy
from dalib.streams import normal_like, streams


class Known(NamedTuple):
    """Moments of training states, and the standard deviation of what is observed of them."""

    moments: Scaling
    observed_std: Tensor  # (obs,)

    @classmethod
    def of(cls, case: Mapping, training: xr.Dataset) -> "Known":
        """Of states (seed, time, state)."""
        states = arrays.to_tensor(training.x, None).flatten(0, 1)
        variables = arrays.shape_of(training, states.shape[-1])[0]
        operator = build.operator(case, states.shape[-1])
        return cls(per_channel(states, variables), spread(operator(states), variables))


def observed(case: Mapping, truth: Mapping[str, xr.Dataset], experiment: str) -> dict:
    """Observations of every part of the truth, by its name, and the `prior` of the test part."""
    training = truth["train"]
    known = Known.of(case, training) if "relative_error" in case["observations"] else None
    found = {
        split: observations(case, truth[split], split, experiment, known)
        for split in ("train", "valid", "test")
    }
    return found | {"prior": prior(case, truth["test"], experiment, training)}


def observations(
    case: Mapping, truth: xr.Dataset, split: str, experiment: str, known: Known | None = None
) -> xr.Dataset:
    """y (seed, time, obs) from the second time of the truth on; of `test`, NaN after `until`.

    With a list for `error_std`, y (error, seed, time, obs): the same errors, scaled. Errors given
    relative to what is observed of training states have `state_std` (variable) beside them, the
    standard deviations of those states.
    """
    settings = case["observations"]
    truth = truth.isel(seed=slice(settings.get("trajectories", {}).get(split)))
    x = truth.x.isel(time=slice(1, None))
    seeds = truth.seed.values.tolist()
    operator = build.operator(case, truth.sizes["state"])
    exact = operator(arrays.to_tensor(x, dtype(case)))
    std = _error_std(settings, known, exact.shape[-1]).to(exact)
    generator = streams(experiment, seeds, f"observations {split}")
    unit = normal_like(exact, generator)
    y = exact + std[:, None, None] * unit if std.ndim > 1 else exact + std * unit
    if split == "test" and settings.get("until") is not None:
        y[..., x.time.values > settings["until"] + 1e-9, :] = torch.nan
    names = getattr(operator, "seen", lambda names: None)(x.state.values.tolist())
    if names is None and y.shape[-1] > arrays.MANY:
        names = range(y.shape[-1])
    made = arrays.observations_dataset(
        y, std, seeds=seeds, interval=float(truth.time[1]), names=names
    )
    made["time"].attrs.update(truth.time.attrs)
    made = made.assign_coords(arrays.layout_of(truth))
    if "relative_error" not in settings:
        return made
    sizes = _sizes(settings, known)
    return made.assign_coords(error=sizes["error"].variable).merge(sizes)


def _error_std(settings: Mapping, known: Known | None, count: int) -> Tensor:
    """([error,] obs) in the units of y, from numbers, or shares of the std of each variable."""
    if "relative_error" not in settings:
        std = torch.as_tensor(settings["error_std"], dtype=torch.float64)
        return std[..., None].expand(*std.shape, count)
    if known is None:
        raise ValueError("relative errors are shares of the std of training states; give these")
    return torch.tensor(settings["relative_error"], dtype=torch.float64)[:, None] * (
        known.observed_std
    )


def _sizes(settings: Mapping, known: Known) -> xr.Dataset:
    """Mean and std of each variable of the states, and errors as shares of what is observed.

    The mean is 0 where errors are relative to the states themselves, not to departures from it.
    """
    mean = known.moments.mean[0] * settings.get("centred", False)
    std = known.moments.std[0]
    attrs = {"units": "1", "long_name": "observation error as a share of the std of its variable"}
    return xr.Dataset(
        {
            "state_std": arrays.labelled(("variable",), std, "1", "std of the training states"),
            "state_mean": arrays.labelled(("variable",), mean, "1", "mean of the training states"),
        },
        {"error": ("error", settings["relative_error"], attrs)},
    )


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
