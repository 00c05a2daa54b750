"""Proper scores of beliefs, smaller is better, and what they are made of."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from dalib.diagnostics.ensembles import ALL


def log_score(mean: xr.DataArray, std: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Negative log-density of the truth in N(mean, std²), in nats.

    ½ log 2πs² + ½ (y - m)² / s²        (Good 1952)
    """
    score = 0.5 * np.log(2 * np.pi * std**2) + 0.5 * ((truth - mean) / std) ** 2
    return score.assign_attrs(units="1", long_name="log score").rename(None)


def energy_score(
    ensemble: xr.DataArray, truth: xr.DataArray, dim: str = "member", over: str = "state"
) -> xr.DataArray:
    """Fair energy score of an ensemble of vectors along `over`, in the units of the truth.

        E|X - y| - ½ E|X - X'|        |.|: Euclidean norm

    with X, X' independent draws, the last estimated without bias from N members (Gneiting and
    Raftery 2007, eq. 22; Ferro 2014). Of one component it is the CRPS.
    """
    N = ensemble.sizes[dim]
    if N < 2:
        raise ValueError(f"the fair energy score needs at least 2 members, got {N} along {dim!r}")

    def norm(x: xr.DataArray) -> xr.DataArray:
        return (x**2).sum(over, skipna=False) ** 0.5

    error = norm(ensemble - truth).mean(dim, skipna=False)
    apart = sum(norm(ensemble - ensemble.isel({dim: i}, drop=True)).sum(dim) for i in range(N))
    units = truth.attrs.get("units", "1")
    score = error - apart / (2 * N * (N - 1))
    return score.assign_attrs(units=units, long_name="fair energy score").rename(None)


def crps_decomposition(
    ensemble: xr.DataArray, truth: xr.DataArray, dim: str = "member", over: Sequence[str] = ALL
) -> xr.Dataset:
    """CRPS of the distribution with a step at each member, and its parts (Hersbach 2000).

        CRPS = Σ_i ḡ_i [(1 - ō_i) p_i² + ō_i (1 - p_i)²]        p_i = i / N
             = Σ_i ḡ_i (ō_i - p_i)² + Σ_i ḡ_i ō_i (1 - ō_i)
             = reliability + potential,      potential = uncertainty - resolution

    with the mean width ḡ_i of the i-th gap between ordered members, ō_i the share of it above the
    truth (outside the ensemble, the frequency of outliers). `uncertainty` is the CRPS of the truths
    themselves as an ensemble. Means are over `over`; cases with NaN are left out.
    """
    over = [name for name in over if name in ensemble.dims]
    cases = ensemble.stack(case=over).transpose(..., "case", dim)
    y = truth.stack(case=over).transpose(..., "case")
    y = y.broadcast_like(cases.isel({dim: 0}, drop=True)).transpose(*cases.dims[:-1])
    x, y, dims = np.sort(cases.values, -1), y.values, cases.dims[:-2]
    shape = x.shape[:-2]
    parts = [
        _parts(x_one, y_one)
        for x_one, y_one in zip(
            x.reshape(-1, *x.shape[-2:]), y.reshape(-1, y.shape[-1]), strict=True
        )
    ]
    coords = {name: cases.coords[name] for name in dims if name in cases.coords}
    attrs = {"units": truth.attrs.get("units", "1")}
    names = ("crps", "reliability", "potential", "uncertainty", "resolution")
    columns = np.array(parts).T.reshape(len(names), *shape)
    about = {"crps": "CRPS", "potential": "potential CRPS"}
    return xr.Dataset(
        {
            name: (dims, column, {**attrs, "long_name": about.get(name, name)})
            for name, column in zip(names, columns, strict=True)
        },
        coords,
    )


def _parts(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """CRPS, reliability, potential, uncertainty and resolution of x (case, N) and y (case,)."""
    there = np.isfinite(x).all(-1) & np.isfinite(y)
    x, y = x[there], y[there]
    if not len(y):
        return (np.nan,) * 5
    N = x.shape[1]
    inner = np.diff(x, axis=1)
    above = np.clip(x[:, 1:] - y[:, None], 0, inner)  # of each gap, what lies above the truth
    α, β = (inner - above).mean(0), above.mean(0)
    low, high = np.maximum(x[:, 0] - y, 0).mean(), np.maximum(y - x[:, -1], 0).mean()
    g = α + β
    o = np.divide(β, g, out=np.zeros_like(g), where=g > 0)
    p = np.arange(1, N) / N
    below_all, above_all = (y < x[:, 0]).mean(), (y > x[:, -1]).mean()
    # the outer gaps: widths so that their share above the truth is the frequency of outliers
    g_low, o_low = (low / below_all, below_all) if below_all else (0.0, 0.0)
    g_high, o_high = (high / above_all, 1 - above_all) if above_all else (0.0, 1.0)
    g, o = np.concatenate([[g_low], g, [g_high]]), np.concatenate([[o_low], o, [o_high]])
    p = np.concatenate([[0.0], p, [1.0]])
    reliability, potential = (g * (o - p) ** 2).sum(), (g * o * (1 - o)).sum()
    ordered = np.sort(y)
    M = len(y)
    uncertainty = (np.diff(ordered) * (k := np.arange(1, M) / M) * (1 - k)).sum()
    return (
        reliability + potential,
        reliability,
        potential,
        uncertainty,
        uncertainty - potential,
    )
