"""Whether samples lie on the attractor, in the right proportions, and do not follow each other.

W₁ is taken to as many states of the test part, distances to the nearest of the many states of the
validation part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from dalib.metrics import distributions, dynamical
from dalib.metrics.base import STATE, Evaluation, Metric
from papers.dkf.metrics.sets import TRUE_SETS, several_samples, thin

NOISE = "method.noise_std"  # on the training states


@dataclass(frozen=True)
class OfSamples(Metric):
    """A number for each run."""

    asks = frozenset({"free_run", "climate"})
    worst = None

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return () if self.of_truth else ("run",)


def samples(evaluation: Evaluation) -> xr.DataArray:
    """(run, sample, state)."""
    return evaluation.free_run.isel(case=0, drop=True).rename(time="sample")


def true(evaluation: Evaluation) -> xr.DataArray:
    """(sample, state), as many true states as there are samples."""
    return thin(evaluation.climate, samples(evaluation).sizes["sample"])


def gaussian(evaluation: Evaluation) -> xr.DataArray:
    """(sample, state), of the Gaussian with mean and covariance of the true states."""
    known = true(evaluation)
    return distributions.gaussian_like(known, known.sizes["sample"], np.random.default_rng(0))


@dataclass(frozen=True)
class W1(OfSamples):
    """W₁ of the samples to true states."""

    units = STATE
    long_name = "Wasserstein distance of the samples to the truth"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return distributions.wasserstein(samples(evaluation), true(evaluation))


@dataclass(frozen=True)
class W1Training(OfSamples):
    """W₁ of the samples to training states without noise."""

    asks = frozenset({"free_run", "training"})
    units = STATE
    long_name = "Wasserstein distance of the samples to training states"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        drawn = samples(evaluation)
        return distributions.wasserstein(drawn, thin(evaluation.training, drawn.sizes["sample"]))


@dataclass(frozen=True)
class W1Floors(OfSamples):
    """W₁ of true sets to the true states, each from other trajectories."""

    asks = frozenset({"free_run", "climate", "reference"})
    units = STATE
    long_name = "Wasserstein distance of a true set to the truth"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        known = true(evaluation)
        sets = several_samples(evaluation.reference, known.sizes["sample"], TRUE_SETS)
        return distributions.wasserstein(sets, known)

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("set",)


@dataclass(frozen=True)
class W1Gaussian(OfSamples):
    """W₁ of the Gaussian with mean and covariance of the true states."""

    units = STATE
    long_name = "Wasserstein distance of the moment-matched Gaussian to the truth"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return distributions.wasserstein(gaussian(evaluation), true(evaluation))


@dataclass(frozen=True)
class Nearest(OfSamples):
    """A quantile of the distance of a sample to the nearest true state."""

    quantile: float = 0.5
    asks = frozenset({"free_run", "reference"})
    units = STATE
    long_name = "distance of a sample to the nearest true state"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        distance = distributions.nearest_distance(samples(evaluation), evaluation.reference)
        return distance.quantile(self.quantile, "sample", skipna=False).drop_vars("quantile")


@dataclass(frozen=True)
class TrueNearest(OfSamples):
    """Median distance of held-out true states to the nearest."""

    asks = frozenset({"free_run", "climate", "reference"})
    units = STATE
    long_name = "median distance of held-out true states to the nearest"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return distributions.nearest_distance(true(evaluation), evaluation.reference).median()


@dataclass(frozen=True)
class NoisyNearest(OfSamples):
    """The same of true states with the noise that the training states of a run have."""

    asks = frozenset({"free_run", "climate", "reference", "values"})
    units = STATE
    long_name = "median distance of noisy true states to the nearest"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        known, std = true(evaluation), evaluation.values[NOISE]
        noise = std * np.random.default_rng(1).standard_normal(known.shape)
        distance = distributions.nearest_distance(known + noise, evaluation.reference)
        return distance.median("sample").expand_dims("run")


@dataclass(frozen=True)
class FarShare(OfSamples):
    """Share of samples farther than `far` from every true state."""

    far: float = 0.4
    asks = frozenset({"free_run", "reference"})

    @property
    def long_name(self) -> str:
        return f"share of samples farther than {self.far:g} from a true state"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        distance = distributions.nearest_distance(samples(evaluation), evaluation.reference)
        return 1 - (distance <= self.far).mean("sample")


@dataclass(frozen=True)
class FarShareGaussian(OfSamples):
    """The same of the Gaussian with mean and covariance of the true states."""

    far: float = 0.4
    asks = frozenset({"free_run", "climate", "reference"})
    long_name = "the share of that Gaussian that is as far from true states"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        distance = distributions.nearest_distance(gaussian(evaluation), evaluation.reference)
        return 1 - (distance <= self.far).mean("sample")


@dataclass(frozen=True)
class Succession(OfSamples):
    """How far a sample lies from the true successor of the one before it, see `succession`."""

    asks = frozenset({"free_run", "step"})
    long_name = "distance to the true successor of the sample before, over random pairs"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return succession(samples(evaluation), "sample", evaluation.step)


@dataclass(frozen=True)
class TrueSuccession(OfSamples):
    """The same of successive states of true trajectories."""

    asks = frozenset({"climate", "step"})
    long_name = "distance to the true successor in a true trajectory"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return succession(evaluation.climate, "time", evaluation.step).mean()


@dataclass(frozen=True)
class Lag1(OfSamples):
    """Lag-1 correlation of successive samples, averaged over components."""

    asks = frozenset({"free_run"})
    long_name = "lag-1 correlation of the sequence of samples"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        lagged = dynamical.lag_correlation(samples(evaluation), "sample")
        return lagged.mean("state", skipna=False)


@dataclass(frozen=True)
class TrueLag1(OfSamples):
    """The same of successive states of true trajectories."""

    asks = frozenset({"climate"})
    long_name = "lag-1 correlation of the sequence of states of a true trajectory"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return dynamical.lag_correlation(evaluation.climate, "time").mean()


@dataclass(frozen=True)
class Lag1Bound(OfSamples):
    """2/√n, two standard deviations of the lag-1 correlation of white noise."""

    asks = frozenset({"free_run"})
    long_name = "two standard deviations of the lag-1 correlation of white noise"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return xr.DataArray(2 / np.sqrt(samples(evaluation).sizes["sample"]))


def succession(x: xr.DataArray, dim: str, step: Callable[[np.ndarray], np.ndarray]) -> xr.DataArray:
    """How far x_{k+1} lies from M(x_k), in units of the distance between unrelated states.

        [ Σ_k |x_{k+1} - M(x_k)|² / Σ_k |x_{k+n/2} - M(x_k)|² ]^½

    0 for a trajectory of the true map M, about 1 for a sequence of independent states.
    """
    states = x.transpose(..., dim, "state")
    ahead = step(states.values)
    after, distant = (
        np.roll(states.values, -1, -2),
        np.roll(states.values, -(x.sizes[dim] // 2), -2),
    )
    apart = [((one - ahead)[..., :-1, :] ** 2).sum((-2, -1)) for one in (after, distant)]
    return states.isel({dim: 0, "state": 0}, drop=True).copy(data=np.sqrt(apart[0] / apart[1]))
