"""What `learn` refuses, before any computation: arguments that do not fit each other."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dalib.filters import Ensemble, Gaussian, at, checks
from dalib.learn.parameters import Learnable
from dalib.streams import Generator, Streams, each


def check_given(
    learnables: Mapping[str, Learnable],
    observations: Tensor,
    rates: Mapping[str, float | Tensor],
    held_out: tuple | None,
    keep: Sequence[str],
    generator: Generator,
) -> None:
    """Axes, names, rates and streams."""
    if not learnables:
        raise ValueError("there is nothing to learn: give at least one Learnable")
    if unknown := set(keep) - learnables.keys():
        raise ValueError(
            f"keep names {', '.join(sorted(unknown))}; learnables are {', '.join(learnables)}"
        )
    runs = len(next(iter(learnables.values())).start)
    for name, one in learnables.items():
        if len(one.start) != runs:
            raise ValueError(
                f"{name} starts with {len(one.start)} runs, others with {runs}; the first axis of "
                "every start is the run"
            )
        _check_rate(name, one.group, rates, runs)
    _check_series("observations", observations, runs)
    if held_out is not None:
        _check_series("held-out observations", held_out[1], runs)
    if not isinstance(generator, Streams | torch.Generator):
        raise TypeError(f"the generator is a {type(generator).__name__}; give Streams")
    if len(each(generator)) != runs:
        raise ValueError(
            f"there are {runs} runs, but {len(each(generator))} random streams; give Streams with "
            "one for each run"
        )


def check_filter(filter) -> None:
    """Refuse what make() gave when it is no filter."""
    missing = [name for name in ("start", "forecast", "analyse") if not hasattr(filter, name)]
    if missing or isinstance(filter, type):
        lacks = f"without {', '.join(missing)}()" if missing else "but a class, not an object"
        raise TypeError(
            f"make() gave a {type(filter).__name__} {lacks}; it has to return a filter built from "
            "the values it is given"
        )


def expanded(prior: Gaussian | Ensemble, leading: tuple[int, int]):
    """The prior with the leading axes (run, trajectory)."""
    if not isinstance(prior, Gaussian | Ensemble):
        raise TypeError(f"the prior is a {type(prior).__name__}; give a Gaussian or an Ensemble")
    shapes = {name: tuple(value.shape) for name, value in prior._asdict().items()}
    trailing = {"mean": 1, "cov": 2, "members": 2}
    try:
        return type(prior)(
            *(
                value.expand(*leading, *value.shape[-trailing[name] :])
                for name, value in prior._asdict().items()
            )
        )
    except RuntimeError as error:
        raise ValueError(
            f"the prior has the shapes {shapes}; its leading axes have to broadcast to "
            f"(run, trajectory) = {leading} of the observations"
        ) from error


def check_parts(filter, prior: Gaussian | Ensemble, observations: Tensor, generator) -> None:
    """Refuse a prior, parameters and observations that `assimilate` would refuse."""
    checks.check_given(filter, prior, observations, generator)
    checks.check_some(observations.flatten(0, 1))


def check_observed(filter, mean: Tensor, observations: Tensor) -> None:
    """Refuse observations that are not what `observe` gives, now or at a later time."""
    times, values = observations.shape[2:]
    checks.tried("observe", at(filter, 0).observe, mean)
    for k in range(times if hasattr(filter.observe, "at") else 1):
        seen = at(filter, k).observe(mean)
        if seen.shape != (*mean.shape[:-1], values):
            raise ValueError(
                f"at time {k} observe() turns states of shape {tuple(mean.shape)} into "
                f"{tuple(seen.shape)}, but observations have shape {tuple(observations.shape)}; "
                "give (run, trajectory, time, obs) with as many values as observe() returns"
            )


def _check_rate(name: str, group: str, rates: Mapping[str, float | Tensor], runs: int) -> None:
    if group not in rates:
        raise ValueError(
            f"{name} is of group {group!r}, which has no learning rate; rates are given for "
            f"{', '.join(sorted(rates)) or 'none'}"
        )
    rate = torch.as_tensor(rates[group])
    if rate.shape not in ((), (runs,)) or not (rate.isfinite() & (rate >= 0)).all():
        raise ValueError(
            f"the rate of group {group!r} is {rate.tolist()}; give a number, or one for each of "
            f"the {runs} runs, finite and not negative"
        )


def _check_series(words: str, y: Tensor, runs: int) -> None:
    if not isinstance(y, Tensor):
        raise TypeError(f"{words}: a {type(y).__name__}; give a tensor: torch.as_tensor(...)")
    if y.ndim != 4 or not y.numel():
        raise ValueError(
            f"{words} have shape {tuple(y.shape)}, expected (run, trajectory, time, obs); add "
            "axes of length 1 by y[None]"
        )
    if len(y) != runs:
        raise ValueError(
            f"{words} of shape {tuple(y.shape)} are of {len(y)} runs, the learnables of {runs}; "
            "expand the first axis, or give every learnable a start for each run"
        )
    if y.isinf().any():
        raise ValueError(f"some {words} are infinite; NaN marks a missing value")
