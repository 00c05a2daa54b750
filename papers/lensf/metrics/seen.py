"""What observations alone say of fields, and where analyses move: filters are set beside it."""

from collections.abc import Mapping

import torch
import xarray as xr

from dalib import arrays
from dalib.field_runs import FieldRun
from dalib.observe import EveryKth
from papers.lensf.fields import Seen, seen
from papers.lensf.tuning import relative_error


def beside(
    case: Mapping, run: FieldRun, one: xr.Dataset, observations: xr.Dataset, x: xr.DataArray
) -> xr.Dataset:
    """observed_relative_rmse (seed, time) and increment_off_sensors (seed) of one run.

    The first is that of the observations themselves, interpolated to all points, NaN where there
    are none; the second the root mean square of the first increment at points without sensor over
    that at the sensors, NaN where all are observed. Nothing of what is seen through another
    operator than the identity.

    Args:
        one: mean and forecast_mean (seed, time, state) of the run.
        x: (seed, time, state), the truth at its times.
    """
    given = seen(case, observations, run, "cpu")
    if not isinstance(given.operator, EveryKth):
        return xr.Dataset()
    fields = given.y if run.conditions["every"] == 1 else given.operator.interpolated(given.y)
    truth = arrays.to_tensor(x, None)
    errors = relative_error(fields, truth, given.state_mean, given.state_std)
    when = run.conditions["interval"] - 1  # of the first analysis
    moved = one["mean"].isel(time=when) - one["forecast_mean"].isel(time=when)
    share = off_sensors(given, torch.from_numpy(moved.values))
    text = "relative RMSE of the interpolated observations themselves"
    off = "first increment at points without sensor over that at the sensors"
    return xr.Dataset(
        {
            "observed_relative_rmse": arrays.labelled(("seed", "time"), errors, "1", text),
            "increment_off_sensors": arrays.labelled(("seed",), share, "1", off),
        },
        {"seed": x.seed, "time": x.time},
    )


def off_sensors(given: Seen, values: torch.Tensor) -> torch.Tensor:
    """(seed,), root mean square of (seed, state) in σ of variables, off the sensors over there."""
    squares = (values.double() / given.state_std).square()
    there = torch.zeros(squares.shape[-1], dtype=torch.bool)
    there[given.index] = True
    return (squares[:, ~there].mean(-1) / squares[:, there].mean(-1)).sqrt()
