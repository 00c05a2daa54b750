"""Data assimilation, learning and forecasting of dynamical systems.

    from dalib import ETKF, Gaussian, Observations, assimilate

What stands in `__all__` is imported when it is first asked for, from the module that `HOMES` or the
registry names; the rest has its place in the modules.
"""

from functools import cache
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

HOMES = {
    "dalib.assimilation": ("assimilate", "load_belief", "save_belief", "smooth", "to_dataset"),
    "dalib.filters": ("Analyses", "Ensemble", "Gaussian", "Likelihood", "Weighted", "at", "cycle"),
    "dalib.filters.cycle": ("Freeze", "Raise", "Reset"),
    "dalib.filters.inflation": ("AdaptiveInflation", "RTPP", "RTPS"),
    "dalib.filters.least_squares": ("GaussNewton", "LBFGS"),
    "dalib.functions": ("from_numpy",),
    "dalib.inversion": ("EKI", "ESMDA", "CorrelationTaper", "RunError", "black_box", "invert"),
    "dalib.localise": ("Grid", "Line", "Localisation", "Ring", "Sphere"),
    "dalib.learn.em": ("LinearGaussian", "em"),
    "dalib.observations": ("Observations",),
    "dalib.smoothers": ("Smoothed",),
    "dalib.observe": ("Identity", "Linear", "MovingSubset", "Subset"),
    "dalib.integrate": ("EulerMaruyama", "Iterate", "RK4", "trajectory"),
    "dalib.streams": ("Streams",),
    "dalib.metrics": ("coverage", "crps", "mae", "nrmse", "rmse", "spread", "vpt"),
    "dalib.diagnostics": (
        *("crps_decomposition", "desroziers", "effective_sample_size", "energy_score"),
        *("error_autocorrelation", "innovation_statistics", "log_score", "mean_with_error"),
        *("rank_histogram", "reliability", "spread_skill"),
    ),
}
TABLES = ("FILTERS", "SMOOTHERS", "SYSTEMS")  # of the registry, whose classes are exported too


@cache
def _homes() -> dict[str, str]:
    """{name: module} of all that is exported."""
    registry = import_module("dalib.registry")
    found = {name: module for module, names in HOMES.items() for name in names}
    for table in TABLES:
        for dotted in getattr(registry, table, {}).values():
            module, name = dotted.split(":")
            found.setdefault(name, module)
    return found


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted([*_homes(), "__version__"])
    home = None if name.startswith("_") else _homes().get(name)
    if home is None:
        raise AttributeError(f"module 'dalib' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes()})
