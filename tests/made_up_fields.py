"""Scores of filters of fields as they might be: complete datasets in the agreed format."""

import numpy as np
import xarray as xr

VARIABLES = ("u", "v", "eta")
NUMBERS = (
    "scale",
    "eps_beta",
    "obs_std",
    "inflation",
    "weight",
    "radius",
)  # NaN where a run has none
DEFAULTS = {
    "free": {"members": 20},
    "ensf": {"members": 20, "scale": 10.0, "eps_beta": 0.025, "obs_std": 0.01},
    "direct": {"members": 1},
    "letkf": {"members": 20, "inflation": 1.05},
    "latent_ensf": {"members": 20, "scale": 100.0, "eps_beta": 0.025, "obs_std": 0.001},
    "latent_enkf": {"members": 20, "inflation": 1.0, "obs_std": 0.3},
    "latent_letkf": {"members": 20, "inflation": 1.0, "obs_std": 0.3},
}
DEFAULTS["ensf_interpolated"] = DEFAULTS["ensf"]
DEFAULTS["ensf_ring"] = DEFAULTS["ensf"] | {"scale": 1.0}
DEFAULTS["letkf_ring"] = DEFAULTS["letkf"] | {"inflation": 1.1}
BASE = {
    "every": 10,
    "noise": 0.1,
    "start": "noise",
    "interval": 1,
    "errors": "given",
    "model": "",
    "latent": 0,
}
CONDITIONS = ("every", "noise", "start", "interval", "errors")
WITH_CODEC = ("latent_ensf", "latent_enkf", "latent_letkf", "direct")
CODED = {"model": "vae10", "latent": 400}
SIZES = (50, 100, 200)
MODELS = {  # every, noise, latent, matched
    "vae10": (10, 0.1, 400, 1),
    "vae5": (5, 0.1, 400, 1),
    "vae2": (2, 0.1, 400, 1),
    "vae10_noise0": (10, 0.0, 400, 1),
    "vae10_noise20": (10, 0.2, 400, 1),
    "vae10_r100": (10, 0.1, 100, 1),
    "vae10_unmatched": (10, 0.1, 400, 0),
    "pca10": (10, 0.1, 400, 1),
}


def rng(*key):
    return np.random.default_rng([len(str(key)), *map(ord, str(key))])


def described(dims, values, long_name="quantity", units="1"):
    return (dims, np.asarray(values, float), {"units": units, "long_name": long_name})


def quick_points():
    """Runs of a small scale: one noise, one size of the codes, one sweep each."""
    coded = [{"method": m, **CODED} for m in WITH_CODEC]
    return [
        {"method": "free"},
        *({"method": "ensf", "every": k} for k in (1, 2, 5)),
        {"method": "ensf"},
        *({"method": "ensf", "members": n} for n in (5, 50)),
        {"method": "ensf_interpolated"},
        {"method": "letkf", "start": "locations"},
        *coded,
        {"method": "latent_ensf", "every": 5, "model": "vae5", "latent": 400},
    ]


def paper_points():
    """Runs of a large scale: everything a figure can show."""
    many = [
        {"method": m, "noise": p, "model": f"vae10_r{r}_noise{100 * p:g}", "latent": r}
        for m in WITH_CODEC
        for p in (0.0, 0.1, 0.2)
        for r in (*SIZES, 400)
        if (p, r) != (0.1, 400)
    ]
    return [
        *quick_points(),
        {"method": "ensf", "every": 15},
        *({"method": m, "noise": p} for m in ("free", "ensf") for p in (0.0, 0.2)),
        *({"method": "ensf", "members": n} for n in (10, 100)),
        *({"method": "ensf", "eps_beta": e} for e in (0.0, 0.005, 0.01, 0.05, 0.1)),
        *({"method": m, "interval": i} for m in ("free", "ensf") for i in (2, 5, 10)),
        *many,
        *({"method": m, **CODED, "interval": i} for m in WITH_CODEC[:3] for i in (2, 5, 10)),
        *(
            {"method": "latent_ensf", "every": k, "model": f"vae{k}", "latent": 400}
            for k in (1, 2, 15)
        ),
        *(
            {"method": "latent_ensf", **CODED, "scale": s, "obs_std": std / s}
            for std in (0.1, 0.3)
            for s in (1.0, 10.0, 20.0, 100.0)
            if (std, s) != (0.1, 100.0)
        ),
        *(
            {"method": m, **CODED, "inflation": i, "obs_std": std}
            for m in ("latent_enkf", "latent_letkf")
            for i, std in ((1.1, 0.3), (1.0, 1.0), (1.1, 1.0))
        ),
        {"method": "latent_ensf", **CODED, "weight": 0.5},
        {"method": "latent_ensf", **CODED, "said": "reparameterise=true"},
        {"method": "latent_ensf", "model": "vae10_wide", "latent": 400},
        {"method": "latent_ensf", "model": "pca10", "latent": 400, "said": "linear"},
        {"method": "direct", "model": "pca10", "latent": 400, "said": "linear"},
    ]


def whole(point):
    """The point with what it leaves to the base and to the settings of its method."""
    none = dict.fromkeys(NUMBERS, np.nan)
    return BASE | none | {"said": ""} | DEFAULTS[point["method"]] | point


def label(point):
    """The method and what differs from the base; of its model the size, or the name."""
    shown = {k: v for k, v in point.items() if k not in ("method", "model", "latent", "said")}
    if point.get("latent", 400) != 400:
        shown["r"] = point["latent"]
    if point.get("model", "").endswith("wide"):
        shown["model"] = point["model"]
    parts = [point["method"], *(f"{k}={v}" for k, v in shown.items()), point.get("said", "")]
    return " ".join(filter(None, parts))


def level(point):
    """(error it ends at, factor by which an analysis approaches it)."""
    sparse = point["every"] ** 2
    coarse = {0: 1.0, 50: 2.2, 100: 1.7, 200: 1.25, 400: 1.0}[point["latent"]]
    if point["method"] == "free":
        return 1.2, 1.0
    if point["method"] in ("ensf", "letkf", "ensf_interpolated"):
        fewer = (20 / point["members"]) ** 0.15
        tuned = 1 + 4 * abs((0.025 if np.isnan(e := point["eps_beta"]) else e) - 0.025)
        return min(1.15, 0.08 * sparse**0.52 * fewer * tuned), 0.5 + 0.45 * min(1, sparse / 100)
    worse = {"latent_enkf": 2.3, "latent_letkf": 1.6, "direct": 1.15}.get(point["method"], 1.0)
    scale = 1 + 0.08 * abs(np.log10((point["scale"] if point["scale"] > 0 else 100) / 20))
    linear = 1.6 if point["model"].startswith("pca") else 1.0
    tuned = 0.9 if point["inflation"] == 1.1 else 1.0
    return 0.16 * sparse**0.18 * coarse * worse * scale * linear * tuned, 0.3


def curve(point, seeds, times):
    """relative_rmse (seed, time)."""
    end, factor = level(point)
    n = np.arange(1, times + 1)
    waves = 0.03 * np.sin(0.4 * n + rng("phase", point["method"]).random())
    grow = 1 + (0.4 * n / times if point["latent"] else 0)
    end = end * (1 + 0.8 * point["noise"]) * (1 + 0.05 * (point["interval"] - 1))
    mean = (end * grow + (1.2 - end) * factor**n) * (1 + waves)
    noise = rng(*map(str, point.values())).normal(size=(seeds, 1))
    return mean * np.exp(0.05 * noise + 0.01 * rng(str(point)).normal(size=(seeds, times)))


def scores(points=None, seeds=3, times=50, grid=(16, 16), models=tuple(MODELS), discard=10):
    """scores/fields.nc of a case on a grid."""
    points = [(label(p), whole(p)) for p in (quick_points() if points is None else points)]
    data = series(points, seeds, times, VARIABLES, discard)
    maps(data, grid)
    return model_scores(data, models, seeds, times)


def altered(point):
    """The settings in which a run differs from its method's."""
    own = DEFAULTS[point["method"]]
    usual = dict.fromkeys(NUMBERS, np.nan) | {"members": 0} | own
    names = [n for n, value in usual.items() if value == value and point[n] != value]
    names += [n for n, value in usual.items() if value != value and point[n] == point[n]]
    model = "vae10" if point["method"] in WITH_CODEC else ""
    return " ".join([*names, *(["model"] * (point["model"] != model)), *point["said"].split()])


def series(points, seeds, times, variables, discard, base=None):
    """Everything but maps and models."""
    one = [point for _, point in points]
    data = xr.Dataset(
        coords={
            "run": [name for name, _ in points],
            "seed": np.arange(seeds),
            "time": described("time", 847.0 * np.arange(1, times + 1), "model time", "s"),
            "variable": list(variables),
            **{n: ("run", [p[n] for p in one]) for n in ("method", "start", "errors", "model")},
            **{n: ("run", [p[n] for p in one]) for n in ("every", "interval", "latent", "members")},
            **{n: described("run", [p[n] for p in one], n) for n in ("noise", *NUMBERS)},
            **{f"base_{n}": value for n, value in (BASE | (base or {})).items() if n in CONDITIONS},
            "altered": ("run", [altered(p) for p in one]),
        }
    )
    dims = ("run", "seed", "time")
    relative = np.stack([curve(p, seeds, times) for p in one])
    spread = np.stack([spread_of(p) for p in one])[:, None, None] * relative
    for name, values, text in (
        ("relative_rmse", relative, "relative RMSE"),
        ("relative_rmse_physical", 0.8 * relative, "relative RMSE, physical units"),
        ("forecast_relative_rmse", 1.1 * relative, "relative RMSE of the forecast"),
        ("rmse", 0.9 * relative, "RMSE, normalised"),
        ("spread", spread, "spread, normalised"),
        ("crps", 0.5 * relative, "CRPS, normalised"),
        ("coverage", np.clip(0.95 * spread / relative, 0, 1), "coverage of the 95 % interval"),
    ):
        data[name] = described(dims, values, text)
    reached = [p["members"] - 1 for p in one] / np.array([p["members"] + 1.0 for p in one])
    data["calibrated_coverage"] = described("run", reached, "coverage of a calibrated ensemble")
    shares = np.linspace(0.9, 1.1, len(variables))
    data["variable_relative_rmse"] = described(
        (*dims, "variable"), relative[..., None] * shares, "relative RMSE of each variable"
    )
    late = relative[..., min(discard, times - 1) :].mean(-1)
    data["mean_relative_rmse"] = described(dims[:2], late, "mean relative RMSE")
    data["diverged"] = described(dims[:2], late > 3, "1 where the run has diverged")
    data = data.assign_coords(nth=["1", "2", "5", "10", "last"])
    at = relative[..., [min(n, times) - 1 for n in (1, 2, 5, 10, times)]]
    data["at_analysis"] = described((*dims[:2], "nth"), at, "relative RMSE of an analysis")
    data["rank_count"] = described(("run", "rank"), ranks(one), "analyses of this rank")
    return data


def spread_of(point):
    """Spread over error."""
    if point["method"] == "free":
        return 0.05
    return 1.2 / np.sqrt(point["scale"]) if point["scale"] > 0 else 0.4


def ranks(points):
    """(run, rank), U-shaped, the more so the smaller the spread; NaN beyond the members."""
    most = max(p["members"] for p in points)
    found = np.full((len(points), most + 1), np.nan)
    for row, point in zip(found, points, strict=True):
        members = point["members"]
        place = np.linspace(-1, 1, members + 1)
        share = np.exp(3 * place**2 / max(spread_of(point), 0.05))
        row[: members + 1] = np.round(1e5 * share / share.sum())
    return found


def maps(data, grid):
    """Fields of the first seed, added to `data`: a bump, and it displaced where it is not true."""
    x, y = (np.linspace(-5e5, 5e5, n) for n in grid)
    times, variables = data.time.values, data.variable.values
    shown = times[np.unique(np.clip([0, 4, 9, 24, len(times) - 1], 0, len(times) - 1))]
    runs = [r for r in data.run.values if data.every.sel(run=r) in (5, 10)][:6]
    data.coords["x"] = described("x", x, "eastward distance", "m")
    data.coords["y"] = described("y", y, "northward distance", "m")
    data.coords["shown_time"] = described("shown_time", shown, "model time", "s")
    data.coords["shown_run"] = runs

    def bump(time, variable, east=0.0):
        centre = 3e5 * np.sin(time / 2e4) + east
        r2 = (x[:, None] - centre) ** 2 + (y[None, :] - 1e5 * variable) ** 2
        return np.exp(-r2 / (2 * 1.5e5**2)) * (0.05, 0.05, 1.0)[min(variable, 2)]

    count = range(len(variables))
    truth = np.array([[bump(t, v) for v in count] for t in shown])
    east = {r: 2e5 * float(data.mean_relative_rmse.sel(run=r).mean()) for r in runs}
    mean = np.array([[[bump(t, v, east[r]) for v in count] for t in shown] for r in runs])
    dims = ("shown_time", "variable", "x", "y")
    data["truth_shown"] = described(dims, truth, "true fields")
    data["mean_shown"] = described(("shown_run", *dims), mean, "mean of the analysis")
    seen = np.full(mean.shape, np.nan)
    for place, run in zip(seen, runs, strict=True):
        k = int(data.every.sel(run=run))
        place[..., k // 2 :: k, k // 2 :: k] = truth[..., k // 2 :: k, k // 2 :: k]
    data["observed_shown"] = described(("shown_run", *dims), seen, "observations")
    last = len(variables) - 1
    film = np.array([bump(t, last) for t in times])
    data["film_truth"] = described(("time", "x", "y"), film, "true elevation", "m")
    film = np.array([bump(t, last, 5e4) for t in times])
    data["film"] = described(("time", "x", "y"), film, "elevation of the analysis", "m")
    score = np.nan_to_num(seen[0, 0] - mean[0, 0])
    data["likelihood_score"] = described(dims[1:], 100 * score, "gradient of the log likelihood")


def model_scores(data, names, seeds, times, checks=12, codes=8):
    """`data` with the errors of the models, held out and on the test truth."""
    every, noise, latent, matched = map(np.array, zip(*(MODELS[n] for n in names), strict=True))
    linear = np.array([n.startswith("pca") for n in names])
    updates = 500.0 * np.arange(checks) * np.ones((len(names), 1))
    updates[linear, 1:] = np.nan  # nothing is learned step by step
    updates[matched == 0, -2:] = np.nan
    fall = (1 + updates / 300) ** -0.5 * np.where(linear, 0.15, 1.0)[:, None]
    state = 0.9 * fall * (400 / latent[:, None]) ** 0.4
    seen = state * (1 + 0.03 * every[:, None] + noise[:, None])
    n = np.arange(times)
    drift = 0.2 * (1 + n / times) * np.ones((len(names), seeds, 1))
    wave = np.sin(0.2 * n[:, None] + np.arange(codes)) * np.ones((len(names), seeds, 1, 1))
    apart = np.where(matched, 0.1, 0.8)[:, None, None, None]
    check, test = ("codec", "check"), ("codec", "seed", "time")
    data = data.assign_coords(
        codec=list(names),
        codec_every=("codec", every),
        codec_latent=("codec", latent),
        codec_matched=("codec", matched),
        codec_linear=("codec", linear.astype(int)),
    )
    return data.assign(
        updates=described(check, updates, "updates"),
        state_error=described(check, state, "relative error of D(E(x)), held out"),
        observation_error=described(check, seen, "relative error of D(E_obs(y)), held out"),
        mismatch=described(check, 0.3 * fall / matched.clip(0.3)[:, None], "mismatch of codes"),
        reconstruction=described(test, drift, "relative error of D(E(x))"),
        observation_decode=described(test, 1.2 * drift, "relative error of D(E_obs(y))"),
        code_state=described((*test, "code"), wave, "code of the state"),
        code_obs=described((*test, "code"), wave + apart, "code of the observation"),
    )


def ring(size=1000, shocks=False, seeds=3, times=60, methods=("ensf_ring", "letkf_ring")):
    """scores/fields.nc of a ring of `size` components: no map, no codec."""
    names = ("free", *methods)
    points = [(m, whole({"method": m, "every": 1, "noise": 0.05})) for m in names]
    base = {"every": 1, "noise": 0.05}
    data = series(points, seeds, times, ("x",), discard=10, base=base)
    n = np.arange(1, times + 1)
    for row, name in enumerate(names):
        end = {"free": 1.4, "ensf_ring": 0.06, "letkf_ring": 0.07}[name] * (4 if shocks else 1)
        end *= 1 + 0.05 * np.log10(size) * (name == "letkf_ring")
        fall = end + max(1.4 - end, 0) * 0.9**n
        one = fall * np.exp(0.3 / size**0.2 * rng(size, name).normal(size=(seeds, times)))
        data["rmse"][row] = one
        data["spread"][row] = one * (0.7 if name == "ensf_ring" else 0.4)
        data["coverage"][row] = 0.8 if name == "ensf_ring" else 0.45
    data["size"] = described((), size, "components of the state")
    return data.drop_vars(["noise", "start", "errors"])


def timing(methods=None, size=7500, repetitions=5):
    """timing.nc of a case: cpu_seconds (method, part, repetition), NaN without the part."""
    methods = methods or ("latent_ensf", "latent_enkf", "latent_letkf", "ensf", "letkf")
    base = {"latent_ensf": 0.009, "latent_enkf": 0.012, "latent_letkf": 0.03}
    base |= dict.fromkeys(("ensf", "ensf_ring"), 1.6e-5 * size)
    base |= dict.fromkeys(("letkf", "letkf_ring"), 1.3e-4 * size)
    values = np.array(
        [
            [base[m], 0.019 if m.startswith("latent") else np.nan, 1e-6 * size + 1e-3]
            for m in methods
        ]
    )
    noise = np.exp(0.05 * rng(size).normal(size=(*values.shape, repetitions)))
    seconds = values[..., None] * noise
    return xr.Dataset(
        {
            "cpu_seconds": described(("method", "part", "repetition"), seconds, "CPU time", "s"),
            "size": described((), size, "components of the state"),
        },
        {"method": list(methods), "part": ["analysis", "codec", "forecast"]},
    )
