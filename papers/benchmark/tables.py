"""The table of the benchmark: a row for each method and each level of noise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from dalib import io
from dalib.tables import Row, csv, markdown, text

NOISE = "observations_obs_std_relative"


def tables(inputs: Any, config: Mapping[str, Any]) -> dict[str, list[str]]:
    rows = methods(io.read(inputs.scores), config["plot"]["labels"])
    return {"table1": [markdown(rows), csv(rows)]}


def methods(scores: xr.Dataset, labels: Mapping[str, str]) -> list[Row]:
    """Medians over start points, test trajectories and replicates; of VPT the quartiles too.

    The first row is what another true trajectory scores.
    """
    names = dict.fromkeys(scores.method.values.tolist())
    noises = sorted(set(scores[NOISE].values.tolist()))
    return [
        _floor(scores),
        *(
            _row(_of(scores, name, noise), labels.get(name, name), noise)
            for noise in noises
            for name in names
        ),
    ]


def _of(scores: xr.Dataset, method: str, noise: float) -> xr.Dataset:
    chosen = (scores.method == method) & (scores[NOISE] == noise)
    return scores.isel(run=chosen.values.nonzero()[0])


COLUMNS = {
    "d_stsp": "D_stsp",
    "d_h": "D_H",
    "crps": "CRPS",
}  # of metrics that were asked for


def _row(own: xr.Dataset, label: str, noise: float) -> Row:
    return {
        "method": label,
        "noise": f"{100 * noise:g} %",
        "VPT (λ₁ t)": quartiles(own.vpt),
        "NRMSE at 1 λ₁ t": _at_one(own),
        **{column: _median(own[name]) for name, column in COLUMNS.items() if name in own},
        "diverged": float(own.diverged.mean()),
    }


def _floor(scores: xr.Dataset) -> Row:
    floors = {
        column: _median(scores[f"{name}_floor"]) if f"{name}_floor" in scores else None
        for name, column in COLUMNS.items()
        if name in scores
    }
    empty = {"noise": "", "VPT (λ₁ t)": "", "NRMSE at 1 λ₁ t": None}
    return {"method": "floor: another true trajectory", **empty, **floors, "diverged": None}


def quartiles(values: xr.DataArray) -> str:
    """`5.1 [4.0, 6.2]`."""
    low, middle, high = np.quantile(values.values, [0.25, 0.5, 0.75])
    return f"{text(float(middle))} [{text(float(low))}, {text(float(high))}]"


def _at_one(own: xr.Dataset) -> float:
    """The median NRMSE one Lyapunov time after the start."""
    return _median(own.nrmse.sel(lead=1 / float(own.lyapunov[0]), method="nearest"))


def _median(values: xr.DataArray) -> float | None:
    value = float(values.median())
    return value if np.isfinite(value) else None
