"""What a trajectory does in time."""

import numpy as np
import xarray as xr


def sign_changes(x: xr.DataArray, dim: str = "time") -> xr.DataArray:
    """Changes of sign per 1000 steps along `dim`; steps from or to a NaN are not counted.

    For the first component of Lorenz-63 this is the rate of crossings between the two lobes.
    """
    here, after = x.isel({dim: slice(None, -1)}), x.isel({dim: slice(1, None)})
    here, after = here.drop_vars(dim, errors="ignore"), after.drop_vars(dim, errors="ignore")
    steps = (np.isfinite(here) & np.isfinite(after)).sum(dim)
    changes = (here * after < 0).sum(dim)
    return 1000 * changes / steps.where(steps > 0)


def lag_correlation(x: xr.DataArray, dim: str = "time", lag: int = 1) -> xr.DataArray:
    """Autocorrelation of x at `lag` steps along `dim`, between about -1 and 1.

        Σ_t (x_t - m)(x_{t+lag} - m) / Σ_t (x_t - m)²,   m the mean along `dim`

    White noise of length n gives about N(0, 1/n) (Bartlett 1946). Other dimensions are kept.
    """
    if not 0 < lag < x.sizes[dim]:
        raise ValueError(f"lag must lie between 1 and {x.sizes[dim] - 1}, got {lag}")
    anomaly = (x - x.mean(dim, skipna=False)).drop_vars(dim, errors="ignore")
    here, after = anomaly.isel({dim: slice(None, -lag)}), anomaly.isel({dim: slice(lag, None)})
    return (here * after).sum(dim, skipna=False) / (anomaly**2).sum(dim, skipna=False)
