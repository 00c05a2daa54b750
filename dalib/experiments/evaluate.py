"""The stage evaluate: one loop over runs and metrics, and one tidy file.

Every metric is a variable along `run`, which has the coordinates method, replicate, is_base and one
for each axis, dots of its name as underscores. `<metric>_floor` is what an independent true
trajectory scores in the place of a free run: the best that a perfect method could reach.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from dalib import build
from dalib.experiments import data, runs
from dalib.experiments.forecast import start_indices
from dalib.experiments.spec import Forecasts
from dalib.metrics.base import Evaluation

FREE = frozenset({"free_run", "climate"})  # what a metric of free runs asks for


def scores(
    case: Mapping,
    metrics: Mapping[str, Mapping],
    entries: Sequence[Mapping],
    forecasts: Sequence[xr.Dataset],
    truth: Sequence[xr.Dataset],
    training: Sequence[xr.Dataset],
) -> xr.Dataset:
    """The scores of every run.

    Args:
        metrics: `kind` and settings by the name of the scores.
        entries: the runs of all files in their order, with `data`, the number of its truth.
        forecasts: what the stage forecast has made.
        truth, training: the test and the training part of the truth.
    """
    measures = {name: build.make("metric", one) for name, one in metrics.items()}
    known = _exponents(case, measures, entries, training)
    found: dict[str, list[xr.DataArray]] = {name: [] for name in measures}
    for entry, one, exponent in zip(entries, _each(forecasts), known, strict=True):
        own, place = runs.case_at(case, entry["values"]), entry["data"]
        settings = Forecasts(**own["forecast"])
        evaluation = compared(one, settings, truth[place], training[place], exponent)
        for name, metric in measures.items():
            if all(getattr(evaluation, ask) is not None for ask in metric.asks):
                found[name].append(_named(metric, metric(evaluation)))
    unscored = [name for name, values in found.items() if not values]
    if unscored:
        raise ValueError(
            f"no run has what {', '.join(unscored)} ask for; take them out of the study's metrics, "
            "or give the case's forecasts a climate"
        )
    scored = {n: _put(values, len(entries)) for n, values in found.items()}
    floors = _floors(measures, Forecasts(**case["forecast"]), truth[0], training[0])
    if known[0] is not None:
        attrs = {"units": "1", "long_name": "largest Lyapunov exponent, per unit of model time"}
        scored["lyapunov"] = xr.DataArray(known, dims="run", attrs=attrs)
    made = xr.Dataset({**scored, **floors}).assign_coords(runs.labels(entries))
    return _described(made, forecasts[0])


def _named(metric: Any, values: xr.DataArray) -> xr.DataArray:
    """Scores along `case`, the starts, or `chain`, the free runs of a metric of these."""
    free = metric.asks & FREE and "case" in values.dims
    return values.rename(case="chain") if free else values


def _each(forecasts: Sequence[xr.Dataset]) -> Iterator[xr.Dataset]:
    """The runs of all files one by one; each keeps a dimension `run`."""
    place = 0
    for file in forecasts:
        names = [name for name in file.coords if file[name].dims == ("run",)]
        for i in range(file.sizes["run"]):
            yield file.isel(run=[i]).drop_vars(names).assign_coords(run=[place])
            place += 1


def _put(values: Sequence[xr.DataArray], count: int) -> xr.DataArray:
    """Scores of single runs along all of them; NaN where a run has none."""
    whole = xr.concat(values, "run", join="outer", coords="minimal", compat="override")
    return whole.reindex(run=np.arange(count)).drop_vars("run").assign_attrs(values[0].attrs)


def compared(
    forecast: xr.Dataset,
    settings: Forecasts,
    truth: xr.Dataset,
    training: xr.Dataset,
    exponent: float | None = None,
) -> Evaluation:
    """A forecast with what it is compared with."""
    members = forecast.forecast
    free = "free_run" in forecast
    return Evaluation(
        estimate=members.mean("member", skipna=False).assign_attrs(members.attrs),
        members=members,
        truth=true_windows(truth, settings, members),
        free_run=forecast.free_run.rename(chain="case").drop_vars("time") if free else None,
        climate=_of_another(true_climate(truth, settings)) if free else None,
        training=training.x.rename(seed="case"),
        interval=float(training.time[1] - training.time[0]),
        lyapunov=exponent,
    )


def _described(scores: xr.Dataset, like: xr.Dataset) -> xr.Dataset:
    """The scores with units and meaning of their coordinates, as forecasts have them."""
    for name in scores.coords:
        if "units" not in scores[name].attrs and name in like.coords:
            scores[name].attrs.update(like[name].attrs)
    return scores


def true_windows(truth: xr.Dataset, settings: Forecasts, like: xr.DataArray) -> xr.DataArray:
    """(case, lead, state), what follows every start. Observation k is of the truth's time k + 1."""
    x = truth.x.transpose("seed", "time", "state").values
    starts = start_indices(settings, x.shape[1] - 1)
    windows = [x[:, i + 1 : i + 1 + settings.horizon] for i in starts]
    values = np.stack(windows, 1).reshape(-1, settings.horizon, x.shape[-1])
    coords = {name: like[name] for name in ("case", "lead", "state")}
    return xr.DataArray(values, coords, ("case", "lead", "state"), attrs=truth.x.attrs)


def true_climate(truth: xr.Dataset, settings: Forecasts) -> xr.DataArray:
    """(case, time, state), what follows the first start of every test trajectory."""
    first = settings.context + 1
    x = truth.x.isel(time=slice(first + settings.discard, first + settings.climate))
    return x.rename(seed="case").drop_vars("time")


def _of_another(climate: xr.DataArray) -> xr.DataArray:
    """Of every test trajectory the next one, which is independent of forecasts from the first."""
    return climate.roll(case=-1, roll_coords=False)


def _floors(
    metrics: Mapping[str, Any], settings: Forecasts, truth: xr.Dataset, training: xr.Dataset
) -> dict[str, xr.DataArray]:
    """{metric_floor: scores of another true trajectory}, of metrics of free runs."""
    if not settings.climate or truth.sizes["seed"] < 2:
        return {}
    climate = true_climate(truth, settings)
    evaluation = Evaluation(
        free_run=climate.expand_dims(run=[0]),
        climate=_of_another(climate),
        training=training.x.rename(seed="case"),
        interval=float(training.time[1] - training.time[0]),
    )
    given = {"free_run", "climate", "training", "interval"}
    return {
        f"{name}_floor": _named(metric, metric(evaluation)).isel(run=0, drop=True)
        for name, metric in metrics.items()
        if metric.asks & FREE and metric.asks <= given
    }


def _exponents(
    case: Mapping,
    metrics: Mapping[str, Any],
    entries: Sequence[Mapping],
    training: Sequence[xr.Dataset],
) -> list[float | None]:
    """The largest exponent of the system of every run, where a metric asks for it."""
    if not any("lyapunov" in metric.asks for metric in metrics.values()):
        return [None] * len(entries)
    found: dict[str, float] = {}
    keys = []
    for entry in entries:
        own = runs.case_at(case, entry["values"])
        keys.append(f"{own['system']} {own['integrator']}")
        if keys[-1] not in found:
            found[keys[-1]] = data.largest_exponent(own, training[entry["data"]].x)
    return [found[key] for key in keys]
