"""The one way to call a smoother, with the habits of `assimilate`."""

import inspect

from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.steps import Schedule, wanted
from dalib.smoothers.base import Smoothed, Smoother
from dalib.streams import Generator


def smooth(
    smoother: Smoother,
    prior: Gaussian | Ensemble,
    observations: Tensor,
    generator: Generator | None = None,
    *,
    kept: Tensor | None = None,
    progress: bool = False,
    bound: float | None = None,
    diagnostics: bool = False,
    schedule: Schedule | None = None,
) -> Smoothed:
    """Beliefs about the state at all times, given the observations before and after each.

    Warns where seeds diverged, and where innovations are far larger than spread and `obs_std` say.

    Args:
        smoother: any `Smoother`, such as `RTS` or `EnKS`.
        prior: `Gaussian` or `Ensemble` at time 0; its leading axes broadcast to the observations'.
        observations: (..., time, obs), NaN where missing; computed with in the prior's dtype.
        generator: one for all, or one per seed (`Streams`); None where nothing is drawn.
        kept: index of components whose members are kept too, of a smoother with an ensemble.
        progress: show a progress bar.
        bound: see `cycle.Freeze`.
        diagnostics: whether the analyses tell likelihoods, innovations and residuals; those of
            whole windows (4D-Var) do not.
        schedule: of each time, the calls of the step that lead to it; None for one call each.
    """
    if isinstance(smoother, type):
        raise TypeError(f"the smoother is the class {smoother.__name__}; give an object of it")
    if not hasattr(smoother, "smooth"):
        raise TypeError(
            f"{type(smoother).__name__} is no smoother; give the one that goes with it, such as "
            "RTS for Kalman, ExtendedRTS for EKF, UnscentedRTS for UKF, EnKS for ETKF"
        )
    options = {"progress": progress, "bound": bound}
    takes = inspect.signature(smoother.smooth).parameters.values()
    if any(one.name == "schedule" or one.kind is one.VAR_KEYWORD for one in takes):
        options |= {"diagnostics": diagnostics, "schedule": schedule}
    elif wanted(smoother) or any(len(moves) != 1 for moves in schedule or ()):
        raise ValueError(
            f"{type(smoother).__name__} takes one step of the model from each time to the next, "
            "without time or interval; put observations on its steps, NaN where there are none"
        )
    return smoother.smooth(prior, observations, generator, kept=kept, **options)
