"""Filters as state estimators: the model is given with the filter, so nothing is fitted."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib.estimators.base import Estimate
from dalib.filters import Analyses, Ensemble, Filter, Gaussian, assimilate
from dalib.forecasters.base import TrainingData
from dalib.resumable import Save
from dalib.streams import Generator


@dataclass(frozen=True)
class Filtering:
    """Any filter of `dalib.filters`, run from a prior over observations.

    Args:
        method: the filter; it holds the model, the observation operator and their errors.
        prior: `Gaussian` or `Ensemble` at time 0, one sampling interval before the first
            observation; for all cases or with a leading axis of them.
        members: whether the estimate has the members of an ensemble filter.
    """

    method: Filter
    prior: Gaussian | Ensemble
    members: bool = False
    needs: ClassVar[frozenset[str]] = frozenset()
    resumable: ClassVar[bool] = True

    @property
    def smooths(self) -> bool:
        """Whether the method looks at later observations, and is no filter."""
        return not hasattr(self.method, "analyse")

    def fit(
        self, data: TrainingData | None = None, generator: Generator | None = None
    ) -> "Filtering":
        return self

    def filter(
        self,
        observations: Tensor,
        generator: Generator | None = None,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> Estimate:
        """(case, time, obs) -> the analyses; NaN from where one diverged."""
        if self.smooths:
            raise TypeError(
                f"{type(self.method).__name__} looks at later observations too and is no filter; "
                "take smooth(observations)"
            )
        kept = torch.arange(self.prior[0].shape[-1]) if self.members else None
        analyses = assimilate(
            self.method,
            self.prior,
            observations,
            generator,
            kept=kept,
            save=save,
            resume=resume,
        )
        return _estimate(analyses)

    def smooth(self, observations: Tensor, generator: Generator | None = None) -> Estimate:
        """(case, time, obs) -> states given all observations, of a method that smooths."""
        if not hasattr(self.method, "smooth"):
            raise TypeError(
                f"{type(self.method).__name__} has no smoother; take filter(observations, ...)"
            )
        return _estimate(self.method.smooth(observations))


def _estimate(found: Analyses) -> Estimate:
    return Estimate(found.mean, found.std, found.members, found.forecast_mean, found.forecast_std)
