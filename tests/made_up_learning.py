"""Scores and analyses of learned filters as they might be: shapes and names, small numbers."""

import numpy as np
import xarray as xr

METHODS = ("var3d_k", "var3d_c", "enkf", "ens3dvar")
LEVEL = {"var3d_k": 0.5, "var3d_c": 0.25, "enkf": 0.04, "ens3dvar": 0.05}
PLACES = {
    "start_variance": [0.01, 0.02, 0.03, 0.04, 0.05],
    "obs_variance": [0.01, 0.1, 0.25, 0.5, 0.75, 1.0],
    "observed": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0],
    "members": [3, 5, 10, 25, 50],
    "samples": [200, 400, 600, 800],
}
METRICS = ("error", "mae_interactions", "mae_growth")


def rng(*key):
    return np.random.default_rng([len(str(key)), *map(ord, str(key))])


def described(dims, values, long_name="quantity", units="1"):
    return (dims, np.asarray(values, float), {"units": units, "long_name": long_name})


def spread(*key, level=1.0, shape=()):
    return level * np.exp(0.4 * rng(*key).normal(size=shape))


def scores(system="orbit", repeats=10, places=PLACES, methods=METHODS, size=20):
    """learning.nc of one case, with every sweep in `places`."""
    data = xr.Dataset(coords={"method": list(methods), "repeat": np.arange(repeats)})
    data["size"] = described((), size, "components of the state")
    levels = np.array([LEVEL[m] for m in methods])
    for metric in METRICS:
        own = levels[:, None] * spread(system, metric, size, shape=(len(methods), repeats))
        data[metric] = described(("method", "repeat"), own, metric)
        data[f"start_{metric}"] = described("repeat", spread(system, metric, shape=(repeats,)))
        for sweep, values in places.items():
            shape = (len(methods), len(values), repeats)
            slope = np.linspace(1.6, 0.7, len(values))[:, None]
            found = levels[:, None, None] * slope * spread(system, metric, sweep, shape=shape)
            data[f"{metric}_by_{sweep}"] = described(("method", sweep, "repeat"), found, metric)
            first = spread(system, sweep, shape=shape[1:])
            data[f"start_{metric}_by_{sweep}"] = described((sweep, "repeat"), first, metric)
    for sweep, values in places.items():
        data = data.assign_coords({sweep: described(sweep, values, sweep)})
    return data


def ranks(values=(50, 75, 100, 150, 175, 200), repeats=10):
    observed = np.array([0.3, 0.5, 0.8])
    shape = (len(values), 3, repeats)
    dims = ("method", "rank", "rank_observed", "repeat")
    error = 0.05 / observed[:, None] * spread("rank", level=0.5, shape=shape)
    mflop = 12 * np.array(values)[:, None] * observed
    return xr.Dataset(
        {
            "error_by_rank": described(dims, error[None], "forecast-RMSE"),
            "start_error_by_rank": described(dims[1:], spread("s", level=0.4, shape=shape)),
            "mflop_by_rank": described(dims[:-1], mflop[None], "MFLOP of one update"),
        },
        {
            "method": ["low_rank"],
            "rank": described("rank", values, "rank"),
            "rank_observed": described("rank_observed", observed, "observed share"),
        },
    )


def shown(names, times=200, seen=(), methods=METHODS, interval=1.0, share=1.0):
    """One trajectory of slow waves, seen in some components at a share of the times."""
    t = interval * np.arange(1, times + 1)
    phase = np.linspace(0, 2 * np.pi, len(names), endpoint=False)
    size = np.array([0.001 if name.startswith("v") else 1.0 for name in names])
    x = size * (2 + np.sin(0.03 * t[:, None] / interval + phase))
    seen = list(seen or names)
    y = x[:, [names.index(name) for name in seen]] + 0.3 * rng("y").normal(size=(times, len(seen)))
    y = np.where(rng("seen").random(y.shape) < share, y, np.nan)
    level = np.array([LEVEL[m] for m in methods])
    noise = rng("analysis").normal(size=(len(methods), times, len(names)))
    error = size * level[:, None, None] * (0.5 * noise + np.cumsum(noise, 1) / np.sqrt(times))
    return xr.Dataset(
        {
            "x": described(("time", "state"), x, "true state"),
            "y": described(("time", "obs"), y, "observation"),
            "analysis": described(("method", "time", "state"), x + error, "mean of the analysis"),
            "shown_rmse": described("method", level, "RMSE of the analysis"),
        },
        {
            "time": described("time", t, "time"),
            "state": list(names),
            "obs": seen,
            "method": list(methods),
        },
    )


ORBIT = ["x", "y", "z", "vx", "vy", "vz"]


def likelihoods(times=200, methods=("kalman", "var3d_c", "enkf", "ens3dvar")):
    t = np.arange(1.0, times + 1)
    level = np.array([LEVEL.get(m, 0.0) for m in methods])[:, None]
    log_det = -6.9 + 12 * np.exp(-t / 4) + level * (2 + 0.4 * rng("d").normal(size=(1, times)))
    misfit = rng("m").chisquare(3, size=(1, times)) * (1 + level * rng("n").random((1, times)))
    dims = ("method", "time")
    return xr.Dataset(
        {"log_det": described(dims, log_det), "misfit": described(dims, misfit)},
        {"method": list(methods), "time": described("time", t, "time")},
    )


def grid(scales=11, radii=13, epochs=5):
    scale, radius = np.linspace(1, 1.2, scales), np.linspace(4, 10, radii)
    rmse = 0.24 + 2 * (scale[:, None] - 1.1) ** 2 + 0.002 * (radius - 6.5) ** 2
    rmse = np.where((radius > 8.5) & (scale[:, None] < 1.1), 3.0, rmse)
    steps = np.linspace(0, 1, epochs + 1)
    dims = ("taper_method", "taper_repeat", "taper_update")
    return xr.Dataset(
        {
            "taper_rmse_by_pair": described(
                ("taper_pair_scale", "taper_pair_radius", "taper_repeat"), rmse[..., None]
            ),
            "taper_path_scale": described(dims, (0.2 - 0.08 * steps)[None, None]),
            "taper_path_radius": described(dims, (5 + 2 * steps**2)[None, None]),
            "taper_rmse_at_pair": described("taper_repeat", [0.243]),
        },
        {
            "taper_pair_scale": described("taper_pair_scale", scale - 1, "inflation"),
            "taper_pair_radius": described("taper_pair_radius", radius, "taper radius"),
            "taper_method": ["enkf"],
        },
    )


def scans(system="ring", repeats=5, count=21, lost=True):
    data = xr.Dataset(coords={"repeat": np.arange(repeats)})
    for name, end, best in (("inflation", 0.5, 0.1), ("weight", 1.0, 0.7)):
        places = np.linspace(0, end, count)
        curve = 0.4 + (places[:, None] - best) ** 2 + 0.02 * rng(system, name).random(repeats)
        if lost and name == "weight":
            curve[0] = np.nan
        data = data.assign_coords({name: described(name, places, name)})
        data[f"rmse_by_{name}"] = described((name, "repeat"), curve, "filter-RMSE")
        data[f"learned_{name}"] = described("repeat", best + 0.05 * rng(name).random(repeats))
        data[f"rmse_at_{name}"] = described("repeat", 0.41 + 0.01 * rng(name).random(repeats))
    return data


def interactions(count=16):
    group = np.arange(count) * 4 // count
    value = np.array([0.1, 0.05, 0.01, -0.04])[abs(group[:, None] - group)]
    sign = np.sign(np.arange(count)[None, :] - np.arange(count)[:, None])
    return xr.Dataset({"interactions": described(("species", "other"), sign * value)})
