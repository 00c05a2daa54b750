"""Means and standard deviations of a filter over a series, which may be interrupted."""

import logging
from typing import Any

import torch
from torch import Tensor

from dalib.filters import innovations
from dalib.filters.base import Analyses, Filter, at, first_nan
from dalib.filters.checks import check_given
from dalib.filters.cycle import Blind, Cycle, Freeze
from dalib.filters.linalg import plain
from dalib.filters.steps import Schedule
from dalib.resumable import Resumable, Save
from dalib.streams import Generator

logger = logging.getLogger(__name__)


def assimilate(
    filter: Filter,
    prior,
    observations: Tensor,
    generator: Generator,
    *,
    progress: bool = False,
    bound: float | None = None,
    kept: Tensor | None = None,
    diagnostics: bool = False,
    schedule: Schedule | None = None,
    save: Save | None = None,
    resume: dict | None = None,
) -> Analyses:
    """Means and standard deviations of all forecasts and analyses of `observations`.

    Warns where seeds diverged, and where innovations are far larger than spread and `obs_std` say.

    Args:
        filter: any `Filter`.
        prior: `Gaussian` or `Ensemble` at time 0, or the `belief` of analyses, with which a filter
            goes on as if there had been no end; leading axes broadcast to the observations'.
        observations: (..., time, obs), NaN where missing; computed with in the prior's dtype.
        generator: one for all, or one per seed (`Streams`).
        progress: show a progress bar.
        bound: see `cycle.Freeze`.
        kept: index of components whose members are kept too, of a filter with an ensemble; of
            weighted ones, as many that are equally likely.
        diagnostics: whether also likelihoods, innovations and residuals are computed.
        schedule: of each time, the calls of the step that lead to it; None for one call each.
        save, resume: after every time, see `resumable`; what is of another filter, prior or series
            of observations is left aside.
    """
    if not plain():
        return _transformed(filter, prior, observations, generator, schedule)
    check_given(filter, prior, observations, generator)
    loop = Cycle(filter, prior, observations, generator, Freeze(bound), schedule)
    run = _Assimilation(loop, kept, diagnostics)
    return run.run(save=save, resume=resume, progress=run.name if progress else None)


def filtered(run: Cycle, *, progress: bool = False, diagnostics: bool = False) -> Analyses:
    """Those of a cycle that has not begun, as `assimilate` gives them."""
    work = _Assimilation(run, None, diagnostics)
    return work.run(progress=work.name if progress else None)


def _transformed(filter, prior, observations: Tensor, generator, schedule) -> Analyses:
    """Under `torch.func`, where no value can be looked at: nothing is checked or replaced."""
    loop = Cycle(filter, prior, observations, generator, Blind(), schedule)
    rows = [
        (step.analysis.mean, step.analysis.std, step.forecast.mean, step.forecast.std)
        for step in loop.steps()
    ]
    moments = [torch.stack(values, -2) for values in zip(*rows, strict=True)]
    return Analyses(*moments, first_nan(moments[0]), belief=loop.belief)


class _Assimilation(Resumable):
    """A filter under way, and the moments of its beliefs so far."""

    what, unit = "other data or of another filter", "time"

    def __init__(self, run: Cycle, kept: Tensor | None, diagnostics: bool) -> None:
        self.cycle, self.generator, self.total = run, run.generator, run.times
        self.name, self.way = type(run.filter).__name__, innovations.way(run.filter)
        self.kept = kept if hasattr(run.belief, "members") else None
        self.diagnostics, self.last = diagnostics, None
        self.rows: list[list[Tensor]] = []

    @property
    def done(self) -> int:
        """Times that are done."""
        return self.cycle.time

    def decides(self) -> tuple:
        """Filter, prior and observations, and whose members are kept."""
        run = self.cycle
        decisive = run.filter, run.prior, run.observations, self.kept
        more = tuple(value for value in (self.diagnostics, run.schedule) if value)
        return decisive + more

    def advance(self) -> None:
        """The next time."""
        run = self.cycle
        forecast, analysis, *_ = run.advance()
        row = [analysis.mean, analysis.std, forecast.mean, forecast.std]
        if self.way == "time":
            now, y = at(run.filter, run.time - 1), run.observations[..., run.time - 1, :]
            row.append(innovations.of_time(now, forecast, y))
        if self.kept is not None:
            row.append(_equally_likely(analysis, self.kept))
        if self.diagnostics:
            row += self._judged(forecast, analysis)
        self.rows.append(row)
        self.last = analysis

    def _judged(self, forecast, analysis) -> list[Tensor]:
        """Log-likelihood (...,), innovation, its standard deviation and residual (..., obs)."""
        run = self.cycle
        now, y = at(run.filter, run.time - 1), run.observations[..., run.time - 1, :]
        found = innovations.of_both(now, forecast, analysis, y)
        if not hasattr(now, "likelihood"):
            return [torch.full_like(found[0][..., 0], torch.nan), *found]
        log_density = now.likelihood(forecast, y).log_density
        return [torch.where(run.guard.lost, torch.nan, log_density), *found]

    def changing(self) -> dict[str, Any]:
        """The beliefs, and the moments of those before."""
        return self.cycle.state() | {"rows": _stacked(self.rows, self.cycle.guard.lost.ndim)}

    def restore(self, state: dict) -> None:
        """Take back what `changing` gave."""
        self.cycle.restore(state)
        lost = self.cycle.guard.lost
        saved = (values.to(lost.device).unbind(lost.ndim) for values in state["rows"])
        self.rows = list(zip(*saved, strict=True))

    def finish(self) -> Analyses:
        """All moments, with a warning of what went wrong."""
        run = self.cycle
        mean, std, forecast_mean, forecast_std, *others = _stacked(self.rows, run.guard.lost.ndim)
        judged = others[-4:] if self.diagnostics else []
        others = others[: len(others) - len(judged)]
        members = others.pop() if self.kept is not None else None
        if self.way == "series":
            moments = (forecast_mean, forecast_std, run.observations)
            chi_square = innovations.of_series(run.filter, *moments)
        else:
            chi_square = innovations.of_times(*others) if others else None
        moments = (mean, std, forecast_mean, forecast_std)
        last = run.belief if self.last is None else self.last
        analyses = Analyses(*moments, first_nan(mean), members, chi_square, last, *judged)
        _tell(self.name, analyses, run)
        return analyses


def _tell(name: str, analyses: Analyses, run: Cycle) -> None:
    """Warn of what went wrong."""
    of = analyses.diverged.numel()
    if count := int(analyses.diverged.sum()):
        cycles = sorted(set(analyses.diverged_at[analyses.diverged].tolist()))
        far, words = int(run.guard.far.sum()), ""
        if far:
            bound = float(torch.as_tensor(run.guard.bound).amax())
            words = f"; {far} by a mean beyond {bound:.3g}: give bound= if that is no divergence"
        elif partly := int(run.guard.partly.sum()):
            words = f"; in {partly} of them only some members were not finite"
        elif analyses.mean.dtype != torch.float64:
            words = f"; computed in {analyses.mean.dtype}: does it happen in double precision too?"
        logger.warning("%s: %d of %d seeds diverged, at times %s%s", name, count, of, cycles, words)
    dropped = getattr(run.belief, "dropped", None)
    if dropped is not None and (count := int(dropped.nansum())):
        logger.warning("%s: %d particles were not finite and got no weight", name, count)
    if analyses.chi_square is None or not (analyses.forecast_std > 0).any():
        return
    off = analyses.inconsistent
    if off.any():
        logger.warning(
            "%s: in %d of %d seeds the squares of the innovations are up to %.3g times what spread "
            "and obs_std allow (Analyses.chi_square); the filter is too sure: more inflation, "
            "model_error_std or members, or a larger obs_std",
            *(name, int(off.sum()), of, analyses.chi_square[off].max().item()),
        )


def _equally_likely(belief, index: Tensor) -> Tensor:
    """(..., member, component), at `index`."""
    if hasattr(belief, "alike"):
        return belief.alike(index)
    return belief.members[..., index]


def _stacked(rows: list[tuple[Tensor, ...]], axis: int) -> list[Tensor]:
    """Rows of (..., state), one for each time, as series (..., time, state); `axis` is that."""
    return [torch.stack(values, dim=axis) for values in zip(*rows, strict=True)]
