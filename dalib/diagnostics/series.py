"""Errors along time: how long they remember, and how sure their mean is."""

from collections.abc import Sequence

import numpy as np
import xarray as xr


def error_autocorrelation(
    error: xr.DataArray, lags: int, dim: str = "time", over: Sequence[str] = ()
) -> xr.DataArray:
    """Autocorrelation of a series at the lags 0 ... `lags`, in steps.

        ρ_k = Σ_t e_t e_{t+k} / Σ_t e_t²        e: less its mean along `dim`

    The sums run over `over` too. The divisor is the same at all lags, so that ρ is that of a
    covariance (Priestley 1981, sec. 5.3.3). A series with NaN has none.
    """
    count = error.sizes[dim]
    if not 0 <= lags < count:
        raise ValueError(f"lags is {lags}; a series of {count} values along {dim!r} has fewer")
    e = error - error.mean(dim, skipna=False)
    x = e.transpose(..., dim)

    def correlated(values: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft(values, 2 * count)
        products = np.fft.irfft(spectrum * spectrum.conj(), 2 * count)
        return products[..., : lags + 1]

    lag = xr.DataArray(np.arange(lags + 1), dims="lag", attrs={"units": "1", "long_name": "lag"})
    found = xr.apply_ufunc(correlated, x, input_core_dims=[[dim]], output_core_dims=[["lag"]])
    found = found.assign_coords(lag=lag).sum(over, skipna=False)
    found = found / found.isel(lag=0, drop=True)
    return found.assign_attrs(units="1", long_name="autocorrelation of errors").rename(None)


def effective_sample_size(
    series: xr.DataArray, dim: str = "time", over: Sequence[str] = ()
) -> xr.DataArray:
    """How many independent values have a mean as sure as that of the series.

        n / (1 + 2 Σ_k ρ_k)

    up to where the sums ρ_{2j} + ρ_{2j+1} of pairs of successive lags are no longer positive, and
    with none above one before, as it is for a reversible process (Geyer 1992, initial monotone
    sequence). At least 1; of a series that does not vary, n. Other dimensions are kept, but `over`,
    whose series together estimate one ρ, and count as so many independent ones.
    """
    n = series.sizes[dim]
    if n < 4:
        raise ValueError(f"an effective sample size needs at least 4 values, got {n} along {dim!r}")
    ρ = error_autocorrelation(series, n - 1, dim, over).transpose(..., "lag").values
    pairs = ρ[..., : n - n % 2].reshape(*ρ.shape[:-1], -1, 2).sum(-1)
    positive = np.cumprod(pairs > 0, -1)
    pairs = np.minimum.accumulate(pairs, -1)
    total = np.maximum(2 * (pairs * positive).sum(-1) - 1, 1 / n)
    still = series.var((dim, *over), skipna=False)
    found = xr.where(still == 0, float(n), still.copy(data=np.clip(n / total, 1, n)))
    found = found.where(still.notnull())
    count = int(np.prod([series.sizes[name] for name in over]))
    return (count * found).assign_attrs(units="1", long_name="effective sample size").rename(None)


def mean_with_error(
    series: xr.DataArray, dim: str = "time", over: Sequence[str] = ()
) -> xr.Dataset:
    """Mean of a series, such as the RMSE at each time, with its standard error.

        error = √(variance / effective sample size)

    as the "1σ" that DAPPER prints beside an average; there the correlation is that of an AR(1)
    process.
    """
    dims = (dim, *over)
    n = int(np.prod([series.sizes[name] for name in dims]))
    size = effective_sample_size(series, dim, over)
    variance = series.var(dims, skipna=False) * n / (n - 1)
    units = {"units": series.attrs.get("units", "1")}
    name = series.attrs.get("long_name", "values")
    return xr.Dataset(
        {
            "mean": series.mean(dims, skipna=False).assign_attrs(
                units, long_name=f"mean of {name}"
            ),
            "error": ((variance / size) ** 0.5).assign_attrs(units, long_name="standard error"),
            "effective_sample_size": size,
        }
    )
