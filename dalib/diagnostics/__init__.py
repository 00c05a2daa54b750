"""How good analyses are, from what `dalib.assimilate` gives for labelled observations.

Functions of labelled arrays that give labelled arrays; `dalib.diagnostics.plots` draws each.
"""

from dalib.diagnostics.ensembles import rank_histogram, reliability, spread_skill
from dalib.diagnostics.innovations import desroziers, innovation_statistics
from dalib.diagnostics.scores import crps_decomposition, energy_score, log_score
from dalib.diagnostics.series import (
    effective_sample_size,
    error_autocorrelation,
    mean_with_error,
)

__all__ = [
    "crps_decomposition",
    "desroziers",
    "effective_sample_size",
    "energy_score",
    "error_autocorrelation",
    "innovation_statistics",
    "log_score",
    "mean_with_error",
    "rank_histogram",
    "reliability",
    "spread_skill",
]
