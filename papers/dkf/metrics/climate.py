"""Whether free runs stay on the attractor of the truth, and change lobes as it does.

They are compared with the validation trajectories, which are many: a few have the lobes in wrong
proportions. Of these every other one is the truth, and the rest shows what true states score.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from dalib.metrics import distributions, dynamical
from dalib.metrics.base import STATE, Evaluation, Metric
from papers.dkf.metrics.sets import TRUE_SETS, halves, several_samples, states, thin

LOBE = 1.0  # a state of Lorenz-63 is in a lobe where |x| exceeds this


@dataclass(frozen=True)
class OfFreeRuns(Metric):
    """A number for each run.

    Args:
        points: states in a set, at most.
    """

    points: int = 1500
    asks = frozenset({"free_run", "reference"})
    worst = None

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("run",)

    def true(self, evaluation: Evaluation) -> xr.DataArray:
        """(sample, state), as many as both the truth and the free runs have."""
        some, _ = halves(evaluation.reference)
        run = evaluation.free_run
        most = (some.sizes["case"] * some.sizes["time"], run.sizes["case"] * run.sizes["time"])
        return thin(some, min(self.points, *most))


@dataclass(frozen=True)
class W1(OfFreeRuns):
    """W₁ of as many states of the run as the truth has; NaN where stopped chains left too few."""

    units = STATE
    long_name = "Wasserstein distance of the free run to the truth"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        true, run = self.true(evaluation), evaluation.free_run.isel(run=0, drop=True)
        count = true.sizes["sample"]
        enough = states(run).sizes["sample"] >= count
        found = distributions.wasserstein(thin(run, count), true) if enough else np.nan
        return xr.DataArray([float(found)], dims="run")


@dataclass(frozen=True)
class W1Floors(OfFreeRuns):
    """W₁ of true sets against true states, each from other trajectories."""

    units = STATE
    long_name = "Wasserstein distance of a true set to the truth"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        true, (_, others) = self.true(evaluation), halves(evaluation.reference)
        sets = several_samples(others, true.sizes["sample"], TRUE_SETS)
        return distributions.wasserstein(sets, true)

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("set",)


@dataclass(frozen=True)
class W1Gaussian(OfFreeRuns):
    """W₁ of the Gaussian with mean and covariance of the truth."""

    units = STATE
    long_name = "Wasserstein distance of the moment-matched Gaussian to the truth"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        true = self.true(evaluation)
        drawn = distributions.gaussian_like(true, true.sizes["sample"], np.random.default_rng(0))
        return distributions.wasserstein(drawn, true)

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class LobeChangeRate(OfFreeRuns):
    """Changes of lobe per 1000 steps, mean over chains."""

    long_name = "changes of lobe per 1000 steps, free run"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return lobe_changes(evaluation.free_run).mean("case")


@dataclass(frozen=True)
class TrueLobeChangeRate(OfFreeRuns):
    """The same of the truth."""

    long_name = "changes of lobe per 1000 steps, truth"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return lobe_changes(evaluation.reference).mean()

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class ShuffledLobeChangeRate(OfFreeRuns):
    """The same of true states in random order."""

    long_name = "changes of lobe per 1000 true states in random order"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        true = self.true(evaluation)
        order = np.random.default_rng(0).permutation(true.sizes["sample"])
        return lobe_changes(true.isel(sample=order).rename(sample="time"))

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ()


def lobe_changes(x: xr.DataArray) -> xr.DataArray:
    """(..., time, state) -> (...)."""
    return dynamical.lobe_changes(x.isel(state=0, drop=True), LOBE)
