"""Ensemble smoothers on Lorenz-96: what later observations take from the error, and a figure.

    python -m benchmarks.accuracy_smoothers docs/images/smoothers.png

The setting of Raanes (2016) in DAPPER: dt 0.01, all 40 components observed every 15 steps with unit
variance, N = 25, inflation 1.08, lag 12. DAPPER states no figures for it; the reference is what its
version 1.7.1 gives in three runs of 400 cycles, whose standard error is 0.008 or less.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.accuracy_filters import SAKOV08, Setting, prior, twin
from benchmarks.rows import Row
from dalib.smoothers import Smoother, smooth
from dalib.smoothers.enks import EnKS
from dalib.smoothers.enrts import EnRTS
from dalib.streams import streams

RAANES16 = replace(SAKOV08, name="lorenz96 dko 15", dt=0.01, steps=15, burn_in=134)
TUNING = {"members": 25, "inflation": 1.08, "lag": 12}
DECORRELATION = 0.99  # DAPPER's, for each of the steps between observations
SEEDS, CYCLES = 16, 400


def smoother(kind: str, setting: Setting = RAANES16) -> Smoother:
    """EnKS or EnRTS, tuned as DAPPER has them."""
    if kind == "EnKS":
        return EnKS(**setting.supplied, **TUNING)
    return EnRTS(**setting.supplied, **TUNING, correlation=DECORRELATION**setting.steps)


@cache
def errors(kind: str, seeds: int = SEEDS, cycles: int = CYCLES) -> tuple[Tensor, Tensor]:
    """(seed, time), root mean square over components, of the filter and of the smoother.

    From the burn-in to `lag` times before the end, since where every state sees as many.
    """
    truth, y = twin(RAANES16, seeds, cycles)
    generator = streams(RAANES16.name, range(seeds), "filter")
    found = smooth(smoother(kind), prior(RAANES16), y, generator)
    kept = slice(RAANES16.burn_in, -TUNING["lag"])
    means = found.analyses.mean, found.mean
    return tuple((m - truth)[:, kept].square().mean(-1).sqrt() for m in means)


def rows() -> Iterator[Row]:
    """Errors of filter and smoothers; each seed's smoothing error is below its filtering error."""

    def row(method: str, expected: float, tolerance: float, measure) -> Row:
        return Row("4c", RAANES16.name, method, expected, tolerance * expected, measure)

    yield row("ETKF N=25 1.08", 0.339, 0.06, lambda: errors("EnKS")[0].mean(-1))
    for kind, expected in (("EnKS", 0.211), ("EnRTS", 0.207)):
        smoothing = partial(smoothing_error, kind)
        yield row(f"{kind} N=25 1.08 lag 12", expected, 0.06, smoothing)
        yield row(f"{kind}: seeds not better than the filter", 0, 0, partial(worse, kind))


def smoothing_error(kind: str) -> Tensor:
    """(seed,), averaged over time."""
    return errors(kind)[1].mean(-1)


def worse(kind: str, **size: int) -> Tensor:
    """(), how many seeds have a smoothing error that is not below the filtering error."""
    before, after = (series.mean(-1) for series in errors(kind, **size))
    return (after >= before).sum().double()


def draw(path: str) -> None:
    """Both errors along time, of one seed, and their means over seeds."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    interval = RAANES16.integrator.interval
    for axis, kind in zip(axes, ("EnKS", "EnRTS"), strict=True):
        before, after = errors(kind)
        time = interval * torch.arange(before.shape[1])
        for series, name, colour in ((before, "filter", "C0"), (after, "smoother", "C3")):
            label = f"{name}, mean over {len(series)} seeds {series.mean():.3f}"
            axis.plot(time, series[0], colour, lw=1, label=label)
            axis.axhline(series.mean(), color=colour, lw=0.8, ls="--")
        axis.set(ylabel="RMSE", title=f"{kind}, N = 25, inflation 1.08, lag 12", ylim=(0, None))
        axis.legend(loc="upper right")
    axes[-1].set(xlabel="time after the burn-in", xlim=(0, float(time[-1])))
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    torch.set_num_threads(1)
    draw(sys.argv[1])
