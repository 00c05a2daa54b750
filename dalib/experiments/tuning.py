"""Settings of a method that validation trajectories choose, of all combinations of given values.

    methods:
      letkf: {tune: {grid: {inflation: [1.0, 1.2, 1.5], radius: [4.0, 8.0]}, seeds: 3, ...}}

All combinations meet the same random numbers.
"""

import itertools
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays
from dalib.experiments import runs

logger = logging.getLogger(__name__)


class Tuned(NamedTuple):
    """The settings that were chosen, and all that were tried.

    table: tried_error (candidate, tried_seed), tried_<setting> (candidate), and `on_edge` (), how
    many of the chosen ones are the first or the last of their values, so that a better one may lie
    beyond. chosen: {dotted name of a setting: value}.
    """

    settings: Mapping[str, Any]
    table: xr.Dataset
    chosen: Mapping[str, Any]


def candidates(grid: Mapping[str, list]) -> list[dict[str, Any]]:
    """{dotted name of a setting: value} of every combination."""
    names = sorted(grid)
    return [
        dict(zip(names, values, strict=True))
        for values in itertools.product(*(grid[name] for name in names))
    ]


def tuned(
    section: Mapping[str, Any], grid: Mapping[str, list], error_of: Callable[[Mapping], np.ndarray]
) -> Tuned:
    """The combination with the least mean error over validation trajectories.

    One that loses a trajectory is none to choose: it would be lost on others too.

    Args:
        section: of the method.
        error_of: (seed,) of the method with one combination, not finite where it was lost.

    Raises:
        ValueError: every combination loses a trajectory.
    """
    tried = candidates(grid)
    sections = [runs.with_values(section, values) for values in tried]
    errors = np.stack([error_of(one) for one in sections])
    means = np.where(np.isfinite(errors), errors, np.inf).mean(axis=-1)
    best = int(means.argmin())
    if not np.isfinite(means[best]):
        raise ValueError(
            f"every combination of {', '.join(grid)} loses a validation trajectory; give other "
            "values to tune"
        )
    edges = _edges(tried, best)
    said = ", ".join(f"{name} {value:g}" for name, value in tried[best].items())
    logger.info("%s is best of %d, error %.3g", said, len(tried), means[best])
    if edges:
        logger.warning(
            "the best %s lies on the edge of what was tried; a better one may lie beyond, give "
            "more values to tune",
            " and ".join(edges),
        )
    return Tuned(sections[best], _table(tried, errors, len(edges)), tried[best])


def _edges(tried: list[dict[str, Any]], best: int) -> list[str]:
    """Settings whose best value is the least or the largest that was tried."""
    ends = {name: {f([v[name] for v in tried]) for f in (min, max)} for name in tried[best]}
    return [name for name, both in ends.items() if tried[best][name] in both]


def _table(tried: list[dict[str, Any]], errors: np.ndarray, edges: int) -> xr.Dataset:
    text = "mean relative RMSE on validation trajectories"
    axes = ("candidate", "tried_seed")
    found = {"tried_error": arrays.labelled(axes, torch.as_tensor(errors), "1", text)}
    for name in tried[0]:
        column = torch.tensor([float(one[name]) for one in tried], dtype=torch.float64)
        short = name.rpartition(".")[2]
        found[f"tried_{short}"] = arrays.labelled(("candidate",), column, "1", f"{name}, tried")
    edge = torch.tensor(float(edges), dtype=torch.float64)
    text = "tuned settings on the edge of what was tried"
    return xr.Dataset(found | {"on_edge": arrays.labelled((), edge, "1", text)})


def relative_error(mean: Tensor, x: Tensor, centre: Tensor, std: Tensor) -> Tensor:
    """(...,), ‖(m - x) / σ‖ / ‖(x - μ) / σ‖ of (..., state)."""
    mean, x = mean.double(), x.double()
    return ((mean - x) / std).norm(dim=-1) / ((x - centre) / std).norm(dim=-1)
