"""Runs of a study by what they are, and the cells of their codecs, as figures and tables take them.

Method, cells in each dimension, temperature and replicate of a run are coordinates of results.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

CELLS, TEMPERATURE = "method_codec_cells", "method_temperature"


def base_cells(scores: xr.Dataset) -> int:
    """The cells in each dimension at the base of a study."""
    return int(scores[CELLS].values[scores.is_base.values.argmax()])


def select(
    results: xr.Dataset, method: str, cells: int, temperature: float | None = None
) -> xr.Dataset | None:
    """The runs of a method, along `run` its replicates; None where there are none."""
    chosen = (results["method"] == method) & (results[CELLS] == cells)
    if temperature is not None:
        chosen &= results[TEMPERATURE] == temperature
    found = results.isel(run=chosen.values.nonzero()[0])
    return found if found.sizes["run"] else None


def first(
    files: Sequence[xr.Dataset], method: str, cells: int, temperature: float
) -> xr.Dataset | None:
    """What the first replicate of a method has forecast; None where it was not run."""
    own = (select(file, method, cells, temperature) for file in files)
    return next((one.isel(run=0, drop=True) for one in own if one is not None), None)


@dataclass(frozen=True)
class Cells:
    """The cells of a codec: the box, its division, and the centres (token, state) of visited cells.

    state: names of the components.
    """

    lower: np.ndarray
    upper: np.ndarray
    cells: int
    centres: np.ndarray
    state: Sequence[str]

    @classmethod
    def of(cls, scores: xr.Dataset, cells: int) -> "Cells":
        """Of the methods with so many cells in each dimension."""
        own = scores.isel(run=int((scores[CELLS] == cells).values.argmax()))
        centres = own.centre.transpose("token", "state").values
        return cls(
            own.lower.values,
            own.upper.values,
            cells,
            centres[~np.isnan(centres).any(1)],
            own.state.values.tolist(),
        )

    @property
    def width(self) -> np.ndarray:
        """(state,)."""
        return (self.upper - self.lower) / self.cells

    def indices(self, states: np.ndarray) -> np.ndarray:
        """(..., state) -> (..., state), of the cell along each dimension."""
        found = np.floor((states - self.lower) / self.width).astype(int)
        return found.clip(0, self.cells - 1)

    def tokens(self, states: np.ndarray) -> np.ndarray:
        """(..., state) -> (...): the visited cell that a state lies in, or the nearest one."""
        return cKDTree(self.indices(self.centres)).query(self.indices(states))[1]

    def coded(self, states: np.ndarray) -> np.ndarray:
        """(..., state) -> (..., state): the centre of that cell."""
        return self.centres[self.tokens(states)]
