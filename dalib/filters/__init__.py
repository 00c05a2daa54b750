"""Filters: prior and observations to beliefs."""

from dalib.filters.base import (
    Analyses,
    Ensemble,
    Filter,
    Gaussian,
    Weighted,
    assimilate,
    at,
    cycle,
)

__all__ = [
    "Analyses",
    "Ensemble",
    "Filter",
    "Gaussian",
    "Weighted",
    "assimilate",
    "at",
    "cycle",
]
