"""Runs of an experiment chosen by what they are, and their scores over seeds.

A run has the coordinates `method`, those of POINT (what the data were), those of SETTINGS (what the
method was) and `altered`, the settings that the configuration changes in it. The base of an
experiment is what the configuration names so: base_<name> for those of POINT.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from dalib import plotting

POINT = ("every", "noise", "start", "interval", "errors")
SETTINGS = (
    *("members", "latent", "scale", "eps_beta", "likelihood_std"),
    *("inflation", "weight", "radius", "prior"),
)
MADE_OF = {  # what is set where a coordinate differs, if that has another name
    "likelihood_std": ("obs_std", "scale"),
    "latent": ("model",),
}
LINEAR = "pca_"  # before the name of a method whose codec is linear
FEW = 5  # seeds up to which a band is their whole range
ONLY = "only from scale desk on"


def same(values: np.ndarray, value: object) -> np.ndarray:
    """Which values equal another; NaN, which a setting has that a method lacks, equals NaN."""
    if values.dtype.kind == "f":
        return np.isclose(values, value, rtol=1e-6, atol=0.0, equal_nan=True)
    return values == value


def where(scores: xr.Dataset, **values: object) -> xr.Dataset:
    """The runs whose coordinates have all these values."""
    kept = np.ones(scores.sizes["run"], bool)
    for name, value in values.items():
        kept &= same(scores[name].values, value)
    return scores.isel(run=kept)


def base(scores: xr.Dataset) -> dict[str, object]:
    """The base point of the configuration: its sparsity, noise, start and interval, if any."""
    return {name: scores[f"base_{name}"].item() for name in POINT if name in scores.coords}


def prepared(scores: xr.Dataset) -> xr.Dataset:
    """Scores in which methods with a linear codec go by another name, and with `likelihood_std`.

    This is the standard deviation of the errors of a score filter in units of its diffusion,
    obs_std times scale; of methods without a scale it is obs_std.
    """
    if "obs_std" in scores.coords and "likelihood_std" not in scores.coords:
        std = scores.obs_std.values * np.nan_to_num(scores["scale"].values, nan=1.0)
        attrs = {"units": "1", "long_name": "standard deviation of errors in diffusion units"}
        scores = scores.assign_coords(likelihood_std=("run", std, attrs))
    if "codec_linear" not in scores.coords:
        return scores
    linear = scores.codec.values[scores.codec_linear.values == 1]
    methods = scores["method"].values.astype(object)
    named = np.char.startswith(methods.astype(str), LINEAR)
    renamed = np.isin(scores["model"].values.astype(str), linear.astype(str)) & ~named
    return scores.assign_coords(method=("run", np.where(renamed, LINEAR + methods, methods)))


def changes(scores: xr.Dataset) -> list[set[str]]:
    """Of each run the settings that the configuration changes."""
    return [set(text.split()) for text in scores.altered.values.astype(str)]


def differing(scores: xr.Dataset, of: xr.Dataset, *varied: str) -> np.ndarray:
    """In how many settings other than `varied` each run was set unlike the base run of `of`.

    That is the run in which the configuration changes least. Settings that validation has chosen
    may differ from run to run.
    """
    first = int(np.argmin([len(names) for names in changes(of)]))
    unlike = np.zeros(scores.sizes["run"], int)
    for name in (n for n in SETTINGS if n in of.coords and n not in varied):
        set_by = set(MADE_OF.get(name, (name,)))
        otherwise = ~same(scores[name].values, of[name].values[first])
        unlike += otherwise & np.array([bool(set_by & names) for names in changes(scores)], bool)
    return unlike


def alike(
    scores: xr.Dataset, method: str, *varied: str, strict: bool = False, **point: object
) -> xr.Dataset:
    """Runs of a method that differ from one another in `varied`, in the order of its values.

    All are at the base point, but for `point` and `varied`. Of several runs with the same values
    of `varied`, it is the one with the fewest settings unlike the base run, then the one in which
    the fewest were changed, then the first. What a run scores has no part in it.

    Args:
        strict: leave out runs that have settings unlike the base run besides `varied`.
    """
    scores = prepared(scores)
    own = where(scores, method=method)
    if not own.sizes["run"]:
        return own
    at = {n: v for n, v in (base(scores) | point).items() if n not in varied}
    there = where(own, **at)
    unlike = differing(there, own, *varied)
    if strict:
        there, unlike = there.isel(run=unlike == 0), unlike[unlike == 0]
    changed = [len(names) for names in changes(there)]
    keys = [there[name].values for name in reversed(varied)]
    there = there.isel(run=np.lexsort([changed, unlike, *keys]))
    return there.isel(run=_first(there, varied))


def _first(scores: xr.Dataset, varied: Sequence[str]) -> list[int]:
    """Of neighbours with the same values the first."""
    values = [scores[name].values for name in varied]
    count = scores.sizes["run"]
    return [
        i
        for i in range(count)
        if i == 0 or not all(same(v[i : i + 1], v[i - 1])[0] for v in values)
    ]


def joined(scores: xr.Dataset, *chosen: xr.Dataset) -> xr.Dataset:
    """The scores of all runs chosen, each once, in their order."""
    return prepared(scores).sel(
        run=list(dict.fromkeys(r for one in chosen for r in one.run.values))
    )


def summary(values: xr.DataArray, name: str = "") -> xr.Dataset:
    """median, low and high over seeds: their range, or of more than five the quartiles.

    A seed without a finite value counts as the worst; a quantile that falls on one is missing.
    """
    values = values.transpose(..., "seed")
    finite = np.where(np.isfinite(values.values), values.values, np.nan)
    few = values.sizes["seed"] <= FEW
    prefix, low, high = (f"{name}_" if name else ""), (0.25, 0.0)[few], (0.75, 1.0)[few]
    parts = {"median": 0.5, "low": low, "high": high}
    one = values.isel(seed=0, drop=True)
    return xr.Dataset(
        {
            f"{prefix}{part}": one.copy(data=plotting.quantile(finite, q)).assign_attrs(
                units=values.attrs["units"],
                long_name=f"{values.attrs['long_name']}, {q:g} quantile over seeds",
            )
            for part, q in parts.items()
        },
        attrs={"seeds": values.sizes["seed"]},
    )


def over_seeds(data: xr.Dataset) -> str:
    """What line and band of a summary are."""
    return over(int(data.attrs["seeds"]))


def over(seeds: int) -> str:
    """What line and band of a summary of so many seeds are."""
    if seeds == 1:
        return "one seed"
    band = "range" if seeds <= FEW else "25–75 % band"
    return f"median and {band} over {seeds} seeds"


def percent(share: float) -> str:
    return f"{100 * float(share):.3g} %"
