"""Whether members and the truth could be draws of one distribution."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.special import gammaincc

from dalib.metrics.probabilistic import rank_counts

ALL = ("time", "state")


def spread_skill(
    ensemble: xr.DataArray,
    truth: xr.DataArray,
    dim: str = "member",
    over: Sequence[str] = ALL,
    bins: int = 10,
) -> xr.Dataset:
    """Spread of an ensemble beside the error of its mean, as a whole and by classes of spread.

        spread = √((N+1)/N · mean s²)        error = √(mean (x̄ - y)²)

    with s² of divisor N-1. They are equal for a calibrated ensemble of any size N: the factor is
    what the truth, a further draw, adds to the sampling error of the mean (Fortin et al. 2014).
    Classes are `bins` of equally many cases in order of their s.

    Returns:
        `spread`, `error` and `ratio` = spread / error; `binned_spread` and `binned_error` (bin).
    """
    N = ensemble.sizes[dim]
    if N < 2:
        raise ValueError(f"a spread needs at least 2 members, got {N} along {dim!r}")
    over = [name for name in over if name in ensemble.dims]
    variance = ensemble.var(dim, skipna=False) * N / (N - 1) * (N + 1) / N
    squared = (ensemble.mean(dim, skipna=False) - truth) ** 2
    spread, error = variance.mean(over) ** 0.5, squared.mean(over) ** 0.5
    cases = [v.stack(case=over).transpose(..., "case") for v in (variance, squared)]
    order = np.argsort(cases[0].values, -1)
    sorted_ = [np.take_along_axis(case.values, order, -1) for case in cases]
    bins = min(bins, order.shape[-1])
    parts = [
        np.stack([part.mean(-1) for part in np.array_split(values, bins, -1)], -1) ** 0.5
        for values in sorted_
    ]
    dims = (*cases[0].dims[:-1], "bin")
    units = {"units": truth.attrs.get("units", "1")}
    about = {"spread": "spread, for the size of the ensemble", "error": "RMSE of the mean"}
    found = {
        "spread": spread.assign_attrs(units, long_name=about["spread"]),
        "error": error.assign_attrs(units, long_name=about["error"]),
        "ratio": (spread / error).assign_attrs(units="1", long_name="spread over error"),
    }
    binned = {
        f"binned_{name}": (dims, values, {**units, "long_name": about[name]})
        for name, values in zip(("spread", "error"), parts, strict=True)
    }
    return xr.Dataset(found | binned)


def rank_histogram(
    ensemble: xr.DataArray, truth: xr.DataArray, dim: str = "member", over: Sequence[str] = ALL
) -> xr.Dataset:
    """Ranks of the truth among the members, and Pearson's test that all are equally frequent.

        χ² = Σ_r (c_r - c̄)² / c̄        c̄ = cases / (N+1)

    with N degrees of freedom, for cases that are independent of each other (Hamill 2001): take
    times and components far enough apart. `p_value` is the probability of a larger χ².
    """
    over = [name for name in over if name in ensemble.dims]
    counts = rank_counts(ensemble, truth, dim, over)
    members = ensemble.sizes[dim]
    cases = counts.sum("rank")
    expected = cases / (members + 1)
    χ2 = ((counts - expected) ** 2).sum("rank") / expected
    p = xr.apply_ufunc(lambda value: gammaincc(members / 2, value / 2), χ2)
    one = {"units": "1"}
    return xr.Dataset(
        {
            "counts": counts.assign_attrs(one, long_name="number of cases"),
            "expected": expected.assign_attrs(one, long_name="number of cases if calibrated"),
            "chi_square": χ2.assign_attrs(one, long_name="χ² of the ranks"),
            "p_value": p.assign_attrs(one, long_name="probability of a larger χ²"),
        }
    )


def reliability(
    ensemble: xr.DataArray,
    truth: xr.DataArray,
    threshold: float,
    dim: str = "member",
    over: Sequence[str] = ALL,
) -> xr.Dataset:
    """How often the truth is above a threshold, where so many of the members are.

        Brier score = Σ_k w_k (p_k - o_k)² - Σ_k w_k (o_k - o)² + o (1 - o)
                    = reliability - resolution + uncertainty

    with the share w_k of cases in which p_k = k / N of the members are above it, the frequency o_k
    of truths above it among these, and o of all (Murphy 1973). Exact, as no p is lumped with
    another. `frequency` lies on the diagonal for a calibrated ensemble of many members.
    """
    over = [name for name in over if name in ensemble.dims]
    N = ensemble.sizes[dim]
    there = np.isfinite(ensemble).all(dim) & np.isfinite(truth)
    above, event = (ensemble > threshold).sum(dim), (truth > threshold) & there
    number = np.arange(N + 1)
    counts = xr.concat([((above == k) & there).sum(over) for k in number], "probability")
    events = xr.concat([((above == k) & event).sum(over) for k in number], "probability")
    p = xr.DataArray(number / N, dims="probability")
    p.attrs = {"units": "1", "long_name": "share of members above the threshold"}
    counts, events = counts.assign_coords(probability=p), events.assign_coords(probability=p)
    o_k, total = events / counts, counts.sum("probability")
    o, w = events.sum("probability") / total, counts / total
    terms = {
        "reliability": (w * (p - o_k) ** 2).sum("probability"),
        "resolution": (w * (o_k - o) ** 2).sum("probability"),
        "uncertainty": o * (1 - o),
    }
    terms["brier_score"] = terms["reliability"] - terms["resolution"] + terms["uncertainty"]
    dataset = xr.Dataset({"frequency": o_k, "cases": counts.astype(float), **terms})
    dataset["frequency"].attrs = {"units": "1", "long_name": "frequency of truths above it"}
    dataset["cases"].attrs = {"units": "1", "long_name": "number of cases"}
    for name in terms:
        dataset[name].attrs = {"units": "1", "long_name": name.replace("_", " ")}
    return dataset.transpose(..., "probability")
