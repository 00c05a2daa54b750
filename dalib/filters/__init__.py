"""Filters: prior and observations to beliefs."""

from dalib.filters.base import (
    Analyses,
    Ensemble,
    Filter,
    Gaussian,
    Likelihood,
    Weighted,
    assimilate,
    at,
    cycle,
    scored,
)

__all__ = [
    "Analyses",
    "Ensemble",
    "Filter",
    "Gaussian",
    "Likelihood",
    "Weighted",
    "assimilate",
    "at",
    "cycle",
    "scored",
]
