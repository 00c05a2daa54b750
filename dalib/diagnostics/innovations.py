"""Innovations: what they should be if a filter knows its errors, and the errors they speak of."""

import numpy as np
import xarray as xr

from dalib.diagnostics.series import effective_sample_size, error_autocorrelation


def innovation_statistics(
    innovation: xr.DataArray, innovation_std: xr.DataArray, dim: str = "time"
) -> xr.Dataset:
    """Mean, chi-square and lag correlation of the innovations of each observation.

        d̄        0 where model and observations have no bias
        mean d² / S        1 where spread and errors are right (Desroziers et al. 2005, eq. 1)
        ρ_1        0 where the gain is right: innovations of an optimal filter are white

    `mean_error` is the standard error of the mean, of as many values as count; `chi_square_error`
    that of a calibrated chi-square, √(2 / n). Missing values (NaN) are left out; the correlation
    needs a whole series and is NaN otherwise.
    """
    d, S = innovation, innovation_std**2
    n = d.notnull().sum(dim)
    units = {"units": d.attrs.get("units", "1")}
    mean, std = d.mean(dim), d.std(dim) * (n / (n - 1)) ** 0.5
    ρ = error_autocorrelation(d, 1, dim).isel(lag=1, drop=True)
    size = effective_sample_size(d, dim) if d.sizes[dim] > 3 else n
    size = xr.where(ρ.notnull(), size, n)
    return xr.Dataset(
        {
            "mean": mean.assign_attrs(units, long_name="mean innovation"),
            "mean_error": (std / size**0.5).assign_attrs(units, long_name="standard error"),
            "std": std.assign_attrs(units, long_name="standard deviation of innovations"),
            "expected_std": (S.where(d.notnull()).mean(dim) ** 0.5).assign_attrs(
                units, long_name="standard deviation that innovations should have"
            ),
            "chi_square": (d**2 / S)
            .mean(dim)
            .assign_attrs(units="1", long_name="mean d² / S of innovations"),
            "chi_square_error": ((2 / n) ** 0.5).assign_attrs(
                units="1", long_name="standard error of a calibrated chi-square"
            ),
            "lag_correlation": ρ.assign_attrs(
                units="1", long_name="correlation of successive innovations"
            ),
        }
    )


def desroziers(innovation: xr.DataArray, residual: xr.DataArray, dim: str = "time") -> xr.Dataset:
    """Covariances of errors in observation space, from innovations d and residuals r = y - h(x_a).

        R ≈ mean r dᵀ        H P_f Hᵀ ≈ mean (d - r) dᵀ        H P_a Hᵀ ≈ mean (d - r) rᵀ

    (Desroziers et al. 2005, eq. 2-4). They are those of the true errors if the gain was right, and
    else one step of an iteration. Each pair of observations is averaged over the times at which
    both are there; matrices are made symmetric.

    Returns:
        `obs_cov`, `forecast_cov` and `analysis_cov` (..., obs, obs_other), and the standard
        deviations `obs_std`, `forecast_std` and `analysis_std`, NaN where a variance is negative.
    """
    axis = next(name for name in reversed(innovation.dims) if name != dim)
    other = f"{axis}_other"
    d, r = innovation, residual.transpose(*innovation.dims)
    units = d.attrs.get("units", "1")
    squared = units if units == "1" else f"({units})2"

    def mean(a: xr.DataArray, b: xr.DataArray, long_name: str) -> xr.DataArray:
        product = (a * b.rename({axis: other})).mean(dim)
        values = product.transpose(..., axis, other)
        half = (values.values + values.values.swapaxes(-1, -2)) / 2
        return values.copy(data=half).assign_attrs(units=squared, long_name=long_name)

    found = {
        "obs": mean(r, d, "covariance of observation errors"),
        "forecast": mean(d - r, d, "covariance of forecast errors at observations"),
        "analysis": mean(d - r, r, "covariance of analysis errors at observations"),
    }
    dataset = xr.Dataset({f"{name}_cov": value for name, value in found.items()})
    for name, value in found.items():
        variance = np.diagonal(value.values, axis1=-2, axis2=-1)
        std = np.sqrt(np.where(variance >= 0, variance, np.nan))
        dims = value.dims[:-1]
        long_name = value.attrs["long_name"].replace("covariance", "standard deviation")
        dataset[f"{name}_std"] = (dims, std, {"units": units, "long_name": long_name})
    return dataset
