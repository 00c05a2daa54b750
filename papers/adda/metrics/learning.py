"""How filters that learned follow test trajectories, and all their scores by what was varied."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr


def score_filtering(analyses: xr.Dataset, truth: xr.DataArray, product: Mapping) -> xr.Dataset:
    """Filter-RMSE (run, repeat): root of the mean square over trajectories, times and components.

    rmse over all times, late_rmse without the first `spinup`; late too: rmse_observed and
    rmse_unobserved and their ratio, rmse_<part> and bias_<part> of the
    components in each of `parts`. bias: |mean error| in standard errors, from the trajectories.
    """
    found = scores_of_errors(errors_of(analyses.x, truth), analyses.seen > 0, product)
    if "kalman" in analyses["filter"].values:
        found |= _distances(analyses)
    return xr.Dataset(found)


def scores_of_errors(
    error: xr.DataArray, seen: xr.DataArray, product: Mapping
) -> dict[str, xr.DataArray]:
    """What `score_filtering` says of errors (..., repeat, trajectory, time, state)."""
    late = error.isel(time=slice(product["spinup"], None))
    seen = seen.isel(time=slice(product["spinup"], None))
    found = {"rmse": _rms(error), "late_rmse": _rms(late)}
    found["rmse_observed"] = _rms(late.where(seen))
    found["rmse_unobserved"] = _rms(late.where(~seen))
    found["unobserved_ratio"] = found["rmse_unobserved"] / found["rmse_observed"]
    for name, index in product.get("parts", {}).items():
        part = late.isel(state=index)
        found[f"rmse_{name}"] = _rms(part)
        mean = part.mean("time")
        std_error = mean.std("trajectory", ddof=1) / np.sqrt(mean.sizes["trajectory"])
        found[f"bias_{name}"] = np.sqrt(((mean.mean("trajectory") / std_error) ** 2).mean("state"))
    return found


def at_grids(
    section: Mapping,
    product: Mapping,
    weights: xr.Dataset,
    analyses: xr.Dataset,
    truth: xr.DataArray,
) -> xr.Dataset:
    """learned_<grid>, rmse_at_<grid> (repeat): what was learned where a grid varies one number."""
    found = {}
    for name, grid in section["grids"].items():
        point = section["base"] | section["base_of"].get(grid["filter"], {}) | grid.get("base", {})
        run, followed = (_which(part, grid["filter"], point) for part in (weights, analyses))
        if run is None or followed is None:
            raise ValueError(
                f"grid {name!r} varies a number of {grid['filter']!r} at the point {point}, where "
                "no run is; add the point to a sweep, or change `base` of the grid"
            )
        late = errors_of(analyses.x.isel(run=followed), truth)
        late = late.isel(time=slice(product["spinup"], None))
        found[f"rmse_at_{name}"] = _rms(late).reset_coords(drop=True)
        for varied in grid["vary"]:
            label = name if len(grid["vary"]) == 1 else f"{name}_{varied}"
            found[f"learned_{label}"] = weights[varied].isel(run=run).reset_coords(drop=True)
    return xr.Dataset(found)


def score_grids(analyses: xr.Dataset, truth: xr.DataArray, product: Mapping) -> xr.Dataset:
    """Analyses with some learned number replaced by each value of a grid, without the spin-up.

    rmse_by_<grid> (<varied>, repeat), where the grid varies one number under its own name;
    learned_<grid> and rmse_at_<grid> (repeat), what was learned and the score with it.
    """
    found = {}
    for name, x in analyses.data_vars.items():
        if not str(name).startswith("x_by_"):
            continue
        grid = str(name).removeprefix("x_by_")
        x = x.rename({f"time_{grid}": "time", f"repeat_{grid}": "repeat"})
        late = errors_of(x, truth).isel(time=slice(product["spinup"], None))
        found[f"rmse_by_{grid}"] = _rms(late)
    return xr.Dataset(found)


def score_shown(
    analyses: xr.Dataset, inputs: Mapping, section: Mapping, product: Mapping
) -> xr.Dataset:
    """One test trajectory of one repeat, as figures show it: at the point `shown`.

    x (time, state), the truth; y (time, obs), NaN where nothing is observed; analysis (method,
    time, state) with its shown_rmse (method), and log_det, misfit (method, time).
    """
    shown = product["shown"]
    repeat, wanted = shown.get("repeat", 0), section["base"] | shown.get("point", {})
    rows, kept = [], []
    for name in (*section["learned"], "kalman"):
        if name in section["base_of"]:  # it lives elsewhere
            continue
        which = _which(analyses, name, section["base"] if name == "kalman" else wanted)
        if which is not None:
            rows.append(which)
            kept.append(name)
    if not rows:
        raise ValueError(f"`shown` wants the point {dict(wanted)}, but no filter was run there")
    seen = analyses.seen.isel(run=rows[0]).values > 0
    chosen = analyses.isel(run=rows, repeat=repeat, trajectory=0)[["x", "log_det", "misfit"]]
    chosen = chosen.rename(run="method", x="analysis").reset_coords(drop=True)
    trajectories = analyses.sizes["trajectory"]
    seed = repeat * trajectories
    y = inputs["observations"].y.isel(seed=seed)
    if "error" in y.dims:
        y = y.sel(error=wanted["obs_variance"] ** 0.5, method="nearest")
    truth = inputs["truth"].x.isel(seed=seed, time=slice(1, None)).reset_coords(drop=True)
    whole = truth.astype(float) * np.nan
    whole.loc[{"state": y.obs.values}] = y.values
    late = (chosen.analysis - truth).isel(time=slice(product["spinup"], None))
    found = xr.Dataset(
        {
            **chosen.data_vars,
            "shown_rmse": np.sqrt((late**2).mean(("time", "state"))),
            "x": truth,
            "y": whole.where(seen[: len(truth)]).rename(state="obs"),
        }
    )
    states = analyses.state
    return found.assign_coords(method=kept, time=analyses.time, state=states, obs=states.values)


def arranged(learned: xr.Dataset, filtering: xr.Dataset, section: Mapping) -> xr.Dataset:
    """Scores (run, repeat, ...) as {score}_by_{sweep} (method, <varied>, repeat, ...).

    Scores at the base point keep their names: (method, repeat, ...). What does not depend on the
    method but on the point, start_<measure> of the first models, has no axis of methods.
    """
    methods = list(section["learned"])
    scores = learned.merge(filtering.reset_coords(drop=True))
    found = _base(scores, section, methods)
    for sweep, settings in section["sweeps"].items():
        names = settings.get("filters", methods)
        axes = settings["vary"]
        base = section["base"] | settings.get("base", {})
        for score, values in scores.data_vars.items():
            if "update" in values.dims or "epoch" in values.dims:
                continue
            table = [
                _over(values, name, base | section["base_of"].get(name, {}), axes) for name in names
            ]
            table = xr.concat(table, xr.DataArray(names, dims="method", name="method"))
            if str(score).startswith("start_"):
                table = table.isel(method=0, drop=True)
            else:
                table = table.reindex(method=methods)
            labels = {axis: axis if axis == sweep else f"{sweep}_{axis}" for axis in axes}
            found[f"{score}_by_{sweep}"] = table.rename(labels)
    return found


def _base(scores: xr.Dataset, section: Mapping, methods: Sequence[str]) -> xr.Dataset:
    rows = [_which(scores, n, section["base"] | section["base_of"].get(n, {})) for n in methods]
    chosen = scores.isel(run=rows).reset_coords(drop=True).rename(run="method")
    for name in chosen.data_vars:
        if str(name).startswith("start_"):
            chosen[name] = chosen[name].isel(method=0)
    return chosen.assign_coords(method=list(methods), repeat=scores.repeat)


def described(scores: xr.Dataset) -> xr.Dataset:
    """With units and long names: what is not described says what it is by its name."""
    for name, values in (*scores.data_vars.items(), *scores.coords.items()):
        values.attrs = {"units": "1", "long_name": str(name).replace("_", " ")} | values.attrs
    return scores


def _over(
    values: xr.DataArray, name: str, base: Mapping[str, float], axes: Mapping[str, Sequence]
) -> xr.DataArray:
    """(repeat, ...) at each combination of the varied values, in their axes."""
    (axis, points), *rest = axes.items()
    parts = []
    for value in points:
        point = base | {axis: value}
        if rest:
            parts.append(_over(values, name, point, dict(rest)))
        else:
            parts.append(values.isel(run=_which(values, name, point)).reset_coords(drop=True))
    return xr.concat(parts, xr.DataArray(list(points), dims=axis, name=axis))


def _which(runs, name: str, point: Mapping[str, float]) -> int | None:
    """The run of one filter at one point, None if there is none."""
    found = (runs["filter"] == name).values
    for coordinate, value in point.items():
        found = found & (abs(runs[coordinate].values - value) < 1e-9)
    where = found.nonzero()[0]
    return int(where[0]) if len(where) else None


def errors_of(x: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """x less the truth (seed, time, state), whose successive seeds are trajectories of a repeat."""
    trajectories, repeats = x.sizes["trajectory"], x.sizes["repeat"]
    true = truth.values[: repeats * trajectories, 1 : x.sizes["time"] + 1]
    true = true.reshape(repeats, trajectories, *true.shape[1:])
    return x - xr.DataArray(true, dims=("repeat", "trajectory", "time", "state"))


def _rms(error: xr.DataArray) -> xr.DataArray:
    return np.sqrt((error**2).mean(("trajectory", "time", "state")))


def _distances(analyses: xr.Dataset) -> dict[str, xr.DataArray]:
    """Mean distance of log-likelihoods, and of their parts, to those of the Kalman filter."""
    reference = int((analyses["filter"] == "kalman").values.nonzero()[0][0])
    parts = {
        "log_det": -0.5 * analyses.log_det,
        "misfit": -0.5 * analyses.misfit,
        "likelihood": -0.5 * (analyses.log_det + analyses.misfit),
    }
    return {
        f"distance_{name}": abs(part - part.isel(run=reference, drop=True)).mean(
            ("trajectory", "time")
        )
        for name, part in parts.items()
    }
