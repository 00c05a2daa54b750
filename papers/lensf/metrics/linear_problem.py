"""A scalar linear problem, in which what the ensemble score filter computes is known exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import torch
import xarray as xr

from dalib.filters.base import Ensemble
from dalib.filters.ensf import EnSF
from dalib.filters.ensf_linear import moments
from dalib.metrics.base import Evaluation
from dalib.observe import Identity
from dalib.streams import stream

TEXTS = {
    "linear_gain": "gain of the sampler",
    "linear_variance": "variance that the sampler leaves",
    "linear_gain_limit": "gain of infinitely many steps",
    "linear_variance_limit": "variance after infinitely many steps",
    "linear_gain_bayes": "gain of an exact step",
}


@dataclass(frozen=True)
class LinearProblem:
    """One of the numbers of `linear_problem`, which has nothing to do with the runs.

    Args:
        of: which of `TEXTS`, without "linear_".
        samples, eps_beta, errors, steps: see `linear_problem`.
    """

    of: str
    samples: int
    eps_beta: Sequence[float]
    errors: Sequence[float]
    steps: Sequence[int]
    asks: ClassVar[frozenset[str]] = frozenset()
    of_truth: ClassVar[bool] = True

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        lists = (tuple(self.eps_beta), tuple(self.errors), tuple(self.steps))
        return _solved(self.samples, *lists)[f"linear_{self.of}"]


@cache
def _solved(samples: int, eps_beta: tuple, errors: tuple, steps: tuple) -> xr.Dataset:
    """The numbers of all metrics, found once."""
    settings = {"samples": samples, "eps_beta": eps_beta, "errors": errors, "steps": steps}
    return linear_problem(settings, "linear problem")


def linear_problem(settings: Mapping, experiment: str) -> xr.Dataset:
    """Gain and spread of the paired sampler, all forecasts 0 and the observation 1.

    linear_gain, linear_variance (eps_beta, error, steps) of `samples` draws; linear_gain_limit,
    linear_variance_limit (eps_beta, error) by the equations of the moments, which at ε_β = 0 say
    that nothing is updated; linear_gain_bayes, ε_β / (ε_β + σ²).

    settings: `samples`, and the values of `eps_beta`, `errors` and `steps`.
    """
    eps, errors, counts = (settings[key] for key in ("eps_beta", "errors", "steps"))
    gain, variance = np.zeros((2, len(eps), len(errors), len(counts)))
    limit, left, bayes = np.zeros((3, len(eps), len(errors)))
    for i, j in np.ndindex(limit.shape):
        for k, steps in enumerate(counts):
            filter = _filter(eps[i], errors[j], steps, settings["samples"])
            belief = Ensemble(torch.zeros(settings["samples"], 1, dtype=torch.float64))
            y = torch.ones(1, dtype=torch.float64)
            drawn = filter.analyse(belief, y, stream(experiment, "linear", i, j, k)).members
            gain[i, j, k], variance[i, j, k] = float(drawn.mean()), float(drawn.var())
        bayes[i, j] = eps[i] / (eps[i] + errors[j] ** 2)
        if eps[i] > 0:
            exact = moments(errors[j], filter.diffusion)
            limit[i, j], left[i, j] = exact.gain, exact.std**2
    axes = ("linear_eps_beta", "linear_error")
    values = {
        "linear_gain": ((*axes, "linear_steps"), gain),
        "linear_variance": ((*axes, "linear_steps"), variance),
        "linear_gain_limit": (axes, limit),
        "linear_variance_limit": (axes, left),
        "linear_gain_bayes": (axes, bayes),
    }
    number = {"units": "1", "long_name": "setting of the sampler"}
    return xr.Dataset(
        {n: (dims, v, {"units": "1", "long_name": TEXTS[n]}) for n, (dims, v) in values.items()},
        {
            "linear_eps_beta": ("linear_eps_beta", list(eps), number),
            "linear_error": ("linear_error", list(errors), number),
            "linear_steps": ("linear_steps", list(counts)),
        },
    )


def _filter(eps_beta: float, error: float, steps: int, members: int) -> EnSF:
    return EnSF(
        step=lambda x: x,
        observe=Identity(1),
        obs_std=error,
        members=members,
        scale=1.0,
        steps=steps,
        eps_beta=eps_beta,
        clip=None if eps_beta > 0 else 1e6,
        allow_unstable=eps_beta == 0,  # its last step is too long for an error of 0.1
        composed=False,
    )
