"""Filters: prior and observations to beliefs."""

from dalib.filters.assimilation import assimilate
from dalib.filters.base import (
    Analyses,
    Ensemble,
    Filter,
    Gaussian,
    Likelihood,
    Weighted,
    at,
    scored,
)
from dalib.filters.cycle import Freeze, Raise, Reset, cycle

__all__ = [
    "Analyses",
    "Ensemble",
    "Filter",
    "Freeze",
    "Gaussian",
    "Likelihood",
    "Raise",
    "Reset",
    "Weighted",
    "assimilate",
    "at",
    "cycle",
    "scored",
]
