"""What filters refuse before any computation: arguments that are not what they should be.

One home for the shapes, ranges and types of all that a user gives. A class of filters describes
parameters of its own in `axes`, a mapping like `AXES`.
"""

from collections.abc import Mapping
from dataclasses import is_dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters.errors import check_obs_cov
from dalib.filters.linalg import check_semidefinite
from dalib.filters.noise import check_noise
from dalib.streams import Streams

# the trailing axes of a filter's parameters; leading axes are those of the series
AXES: Mapping[str, tuple[str, ...]] = {
    "obs_std": ("obs",),
    "model_error_std": ("state",),
    "inflation": (),
}
POSITIVE = {
    "obs_std": "nearly exact observations need a small one instead of none",
    "inflation": "1 leaves the ensemble as it is",
    "background_scale": "it scales variances",
    "ensemble_scale": "it scales variances",
    "scale": "1 changes nothing",
}
NOT_NEGATIVE = ("model_error_std", "jitter_std", "regularisation")
WITHOUT = {  # what is asked for most often where a parameter has too many axes
    "obs_std": "a matrix R, of all times or of each, is given as obs_cov",
    "inflation": "an inflation for each component, or for each time, is not taken",
    "model_error_std": "a matrix Q is given as model_error_cov, or by model_error_factor",
    "noise_cov": "independent noise of variances q has torch.diag(q)",
}


class Sizes(NamedTuple):
    """Of the series: leading axes, times, values of an observation and components of the state.

    obs is None where only the filter knows, as in a latent space.
    """

    series: tuple[int, ...]
    times: int
    obs: int | None
    state: int


def check_given(filter, prior, observations: Tensor, generator) -> None:
    """Refuse what `assimilate` cannot take; `observe` is tried by `check_observe` later."""
    _check_kinds(filter, prior, generator)
    known = {name: value for name, value in prior._asdict().items() if not _nested(value)}
    check_tensors(observations=observations, **known)
    check_prior(prior, observations)
    if observations.ndim < 2 or not observations.shape[-2]:
        raise ValueError(
            f"observations have shape {tuple(observations.shape)}, expected (..., time, obs) with "
            "at least one time; where one value is observed, (time, 1): y[:, None]"
        )
    if observations.is_complex():
        raise TypeError(
            f"observations are of type {observations.dtype}; give real numbers: "
            "torch.view_as_real(y) has two for each"
        )
    if not observations.shape[-1]:
        raise ValueError(
            f"observations have shape {tuple(observations.shape)}: nothing is observed; a time "
            "without observations is NaN, and integrate.trajectory runs a model alone"
        )
    if observations.isinf().any():
        raise ValueError("some observations are infinite; NaN marks a missing value")
    state = prior.mean.shape[-1]
    sizes = Sizes(tuple(observations.shape[:-2]), *observations.shape[-2:], state)
    check_parameters(filter, sizes)
    check_times(filter, sizes.times)


def _check_kinds(filter, prior, generator) -> None:
    if isinstance(filter, type):
        raise TypeError(f"the filter is the class {filter.__name__}; give an object of it")
    if isinstance(generator, Real):
        raise TypeError(
            f"the generator is the number {generator}; give torch.Generator().manual_seed(...)"
        )
    if not (generator is None or isinstance(generator, Streams | torch.Generator)):
        raise TypeError(
            f"the generator is a {_kind(generator)}; give torch.Generator().manual_seed(...), or "
            "Streams with one for each series"
        )
    belief = isinstance(prior, tuple) and hasattr(type(prior), "mean") and hasattr(prior, "_fields")
    if not belief:
        raise TypeError(
            f"the prior is a {type(prior).__name__}; give a Gaussian or an Ensemble, or the belief "
            "with which a filter ended"
        )


def _nested(value: Any) -> bool:
    return value is None or isinstance(value, tuple)


def check_tensors(**values) -> None:
    """Refuse arrays and lists in the place of tensors."""
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}: a {type(value).__name__}; give a tensor: torch.as_tensor(...)"
            )


def check_prior(prior, observations: Tensor) -> None:
    """Refuse a prior of other shapes, of whole numbers, in two precisions, or not finite."""
    state, gaussian = prior[0], "cov" in prior._fields
    own = -2 if "members" in prior._fields else -1
    leading, size = state.shape[:own], state.shape[-1:]
    if state.dtype not in (torch.float32, torch.float64):
        kind = "not of floating-point numbers"
        if state.is_floating_point():
            kind = "in which no covariance can be factored"
        raise TypeError(
            f"the prior is of type {state.dtype}, {kind}; give it in double precision: .double()"
        )
    if not state.isfinite().all():
        raise ValueError("the prior has values that are not finite; was it estimated from NaN?")
    if gaussian and prior.cov.shape[-2:] != 2 * size:
        raise ValueError(
            f"the prior has a mean of shape {tuple(state.shape)} and a covariance of shape "
            f"{tuple(prior.cov.shape)}; give (..., state) and (..., state, state)"
        )
    if gaussian and prior.cov.dtype != state.dtype:
        raise TypeError(
            f"the mean of the prior is of type {state.dtype}, its covariance of {prior.cov.dtype}; "
            "give both in one precision, in which the filter then computes"
        )
    series = observations.shape[:-2]
    if not _broadcasts(leading, series):
        raise ValueError(
            f"the prior has the leading axes {tuple(leading)}, observations of shape "
            f"{tuple(observations.shape)} have {tuple(series)}; give one prior for all series or "
            "one for each"
        )


def check_parameters(filter, sizes: Sizes) -> None:
    """Refuse parameters of a filter whose shapes or values are not what they stand for."""
    if hasattr(filter, "inner"):  # of codes, whose number only the codec knows
        _check_axes(filter.inner, AXES, sizes._replace(obs=None))
    described = described_by(type(filter))
    if getattr(filter, "obs_cov", None) is not None:
        check_obs_cov(filter)
        _check_obs_cov(filter.obs_cov, sizes)
        described.pop("obs_std")
    _check_axes(filter, described, sizes)
    if hasattr(filter, "model_error_cov"):
        check_noise(filter, sizes.state)
    if "noise_cov" in described:
        check_semidefinite(filter.noise_cov, "noise_cov")
    if hasattr(filter, "background"):
        _check_background(filter.background, sizes)
    if hasattr(filter, "members"):
        check_whole("members", filter.members)


def _check_obs_cov(R: Tensor, sizes: Sizes) -> None:
    """(obs, obs), (time, obs, obs), or (*series, time, obs, obs); one time may stand for all."""
    shape, obs = tuple(R.shape), (sizes.obs, sizes.obs)
    leading = shape[:-2]
    times = not leading or leading[-1] in (1, sizes.times)
    series = len(leading) < 2 or (
        len(leading) - 1 == len(sizes.series) and _broadcasts(leading[:-1], sizes.series)
    )
    if (sizes.obs is None or shape[-2:] == obs) and times and series:
        return
    more = f", or {_tuple([*map(str, sizes.series), '1', *map(str, obs)])} for each series"
    raise ValueError(
        f"obs_cov has shape {shape}, but y has {sizes.obs} values at {sizes.times} times; give "
        f"{obs}, or {(sizes.times, *obs)} of each time{more if sizes.series else ''}"
    )


def described_by(cls: type) -> dict[str, tuple[str, ...]]:
    """The trailing axes of all parameters that a class, or one that it inherits from, describes."""
    described = dict(AXES)
    for base in reversed(cls.__mro__):
        described |= vars(base).get("axes", {})
    return described


def _check_axes(filter, described: Mapping[str, tuple[str, ...]], sizes: Sizes) -> None:
    for name, axes in described.items():
        value = getattr(filter, name, None)
        if callable(value) or is_dataclass(value) or (value is None and not _needed(filter, name)):
            continue
        value = _numbers(name, value)
        wanted = [getattr(sizes, axis) for axis in axes]
        beside = (1,) if name == "model_error_std" and hasattr(filter, "members") else ()
        _check_shape(name, value, wanted, beside, sizes)
        _check_range(name, value)


def _needed(filter, name: str) -> bool:
    """Whether a filter has a parameter that has to be given, so that None is no choice."""
    field = getattr(filter, "__dataclass_fields__", {}).get(name)
    if field is not None and name == "obs_std":  # unless obs_cov is given, see `check_parameters`
        return True
    return field is not None and field.default is not None and field.init


def check_numbers(filter) -> None:
    """Refuse numbers outside their range where a filter is made; tensors wait for a series."""
    for name in POSITIVE:
        value = getattr(filter, name, None)
        if isinstance(value, int | float) and value <= 0:
            raise ValueError(f"{name} is {value}; it has to be {_words(name)}")
    for name in NOT_NEGATIVE:
        value = getattr(filter, name, None)
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name} is {value}; it has to be {_words(name)}")


def check_whole(name: str, value: Any) -> None:
    """Refuse what is no whole number."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}; give a whole number")


def check_times(filter, times: int) -> None:
    """Refuse a moving operator that ends before the observations do."""
    if not hasattr(filter, "observe") or not hasattr(filter.observe, "at"):
        return
    try:
        filter.observe.at(times - 1)
    except (IndexError, KeyError) as error:
        raise ValueError(
            f"there are {times} times of observations, but {type(filter.observe).__name__} has no "
            f"operator for the last of them, at({times - 1}); give one for each time"
        ) from error


def check_observe(observe, mean: Tensor, observations: Tensor) -> None:
    """Try `observe` on the mean (..., state) of the first belief; refuse what does not fit y."""
    if observe is None:
        raise TypeError("observe is None; give the filter an operator, or the Observations one")
    seen = tried("observe", observe, mean)
    if seen.shape[:-1] != mean.shape[:-1] or seen.ndim != mean.ndim:
        raise ValueError(
            f"observe() turns states of shape {tuple(mean.shape)} into {tuple(seen.shape)}; "
            "it has to keep leading axes, (..., state) -> (..., obs): x[..., :1], not x[..., 0]"
        )
    check_dtype("observe", seen, mean)
    expected = seen.shape[-1]
    values, shape = observations.shape[-1], tuple(observations.shape)
    if values != expected:
        right = ", ".join(["..."] * (len(shape) > 2) + ["time", str(expected)])
        raise ValueError(
            f"y has {values} values but observe() returns {expected}; "
            f"give observations of shape ({right}), got {shape}"
        )


def check_some(observations: Tensor) -> None:
    """Refuse a series (..., time, obs) of nothing but missing values."""
    empty = observations.isnan().all(-1).all(-1)
    if empty.any():
        which = f" of the seeds {empty.nonzero().flatten().tolist()}" if empty.ndim == 1 else ""
        raise ValueError(
            f"all observations{which} are NaN; NaN marks a missing value, and a series needs at "
            "least one that is not (was the truth finite, the right variable read?)"
        )


def forecast_of(filter, belief, generator):
    """The forecast of a belief, refused where step() worked in place: gradients need what was."""
    version = belief[0]._version
    forecast = filter.forecast(belief, generator)
    if belief[0]._version != version:
        raise ValueError("step() changes the states it is given; let it work on x.clone()")
    return forecast


def check_step(x: Tensor, moved: Any) -> None:
    """Refuse what one step made of the means x (..., state)."""
    if not isinstance(moved, Tensor):
        raise TypeError(_no_tensor("step", moved))
    if moved.shape != x.shape:
        raise ValueError(
            f"one step turns a mean of shape {tuple(x.shape)} into one of shape "
            f"{tuple(moved.shape)}; step() has to keep it, (..., state) -> (..., state)"
        )
    check_dtype("step", moved, x)


def check_dtype(name: str, got: Tensor, x: Tensor) -> None:
    """Refuse a function that changes the precision of states."""
    if got.dtype != x.dtype:
        raise TypeError(
            f"{name}() turns states of type {x.dtype} into {got.dtype}; it has to keep the "
            "precision, that of the prior: have its constants as .to(x)"
        )


def explain(filter, belief, error: Exception) -> None:
    """Say what is wrong with the user's functions, if that is why the first time failed."""
    if isinstance(error, ValueError | MemoryError | torch.OutOfMemoryError):
        return
    for name in ("step", "observe"):
        function = getattr(filter, name, None)
        if not callable(function):
            continue
        x = belief[0].detach()
        got = tried(name, function, x.clone())
        check_dtype(name, got, x)
        exact = getattr(filter, "tangent", function) if name == "step" else None
        if hasattr(function, "tangent") or exact is not None:
            continue
        try:
            torch.func.jvp(function, (x.clone(),), (torch.ones_like(x),))
        except Exception as inner:
            remedy = "give tangent=" if name == "step" else "give it a method tangent(x)"
            raise TypeError(
                f"{type(filter).__name__} needs the derivative of {name}(), which torch cannot "
                f"take; was it computed by numpy? {remedy}, or compute by torch"
            ) from inner


def tried(name: str, function, x: Tensor) -> Tensor:
    """What a user's function gives for states x; refused unless it is a tensor."""
    version, before = x._version, x.clone()
    try:
        got = function(x)
    except Exception as error:
        if isinstance(error, ValueError):
            raise
        raise TypeError(
            f"{name}() fails on states of shape {tuple(x.shape)} and type {x.dtype}, "
            f"{type(error).__name__}: {error}; it has to take and give tensors"
        ) from error
    if not isinstance(got, Tensor):
        raise TypeError(_no_tensor(name, got))
    if name == "observe" and (x._version != version or not torch.equal(x, before)):
        raise ValueError("observe() changes the states it is given; let it work on x.clone()")
    return got


def _no_tensor(name: str, got: Any) -> str:
    return f"{name}() gave a {_kind(got)}; give a tensor: torch.as_tensor(...)"


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _numbers(name: str, value: Any) -> Tensor:
    try:
        dtype = torch.float64 if isinstance(value, Real) else None
        return torch.as_tensor(value, dtype=dtype).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} is {value!r}; give a number or a tensor") from error


def _check_shape(name: str, value: Tensor, wanted: list, beside: tuple, sizes: Sizes) -> None:
    """(*series, *beside, *wanted), of which a vector may have length 1 and be a number."""
    shape, own = tuple(value.shape), len(wanted)
    if not shape and own < 2:
        return
    trailing, leading = shape[len(shape) - own :] if own else (), shape[: len(shape) - own]
    fits = len(shape) >= own and all(
        size is None or found == size or (own == 1 and found == 1)
        for found, size in zip(trailing, wanted, strict=True)
    )
    if leading and beside:
        fits, leading = fits and leading[-1] == 1, leading[:-1]
    if fits and not leading and not (beside and len(shape) > own):
        return
    same = len(leading) == len(sizes.series) and _broadcasts(leading, sizes.series)
    if fits and same and not _mistakable(leading, trailing, sizes):
        return
    raise ValueError(_misshaped(name, shape, wanted, beside, sizes, fits and same))


def _mistakable(leading: tuple, trailing: tuple, sizes: Sizes) -> bool:
    """Whether the one leading axis might as well be meant as a matrix's, components or times."""
    if len(leading) != 1 or leading[0] == 1:
        return False
    return leading[0] in (sizes.times, *({sizes.state, sizes.obs} if len(trailing) < 2 else ()))


def _misshaped(
    name: str, shape: tuple, wanted: list, beside: tuple, sizes: Sizes, mistakable: bool
) -> str:
    names = ", ".join("?" if size is None else str(size) for size in wanted)
    own = f"({names},)" if len(wanted) == 1 else f"({names})"
    right = {0: "a number", 1: f"a number or {own}"}.get(len(wanted), own)
    words = f"{name} has shape {shape}"
    if name != "obs_std":
        words += f", of a state of {sizes.state} components"
    elif sizes.obs is not None:
        words += f", but y has {sizes.obs} values"
    if mistakable:
        right += (
            f", or put an axis of length 1 before values for each series and the observations, "
            f"{name}[None] and y[None], since these values could be meant otherwise"
        )
    elif sizes.series:
        each = (*sizes.series, *beside)
        axes = [*map(str, each), *([names] if names else [])]
        right += f", or {_tuple(axes)} for each series"
    missing = f"; {WITHOUT[name]}" if name in WITHOUT else ""
    return f"{words}; give {right}{missing}"


def _tuple(axes: list[str]) -> str:
    return f"({', '.join(axes)})" if len(axes) > 1 else f"({axes[0]},)"


def _check_range(name: str, value: Tensor) -> None:
    if not value.isfinite().all():
        raise ValueError(f"{name} is {_shown(value)}; it has to be {_words(name)}")
    positive = name in POSITIVE and not (value > 0).all()
    if positive or (name in NOT_NEGATIVE and not (value >= 0).all()):
        raise ValueError(f"{name} is {_shown(value)}; it has to be {_words(name)}")


def _words(name: str) -> str:
    if name in POSITIVE:
        return f"positive; {POSITIVE[name]}"
    return "0 or more" if name in NOT_NEGATIVE else "finite"


def _shown(value: Tensor) -> str:
    return str(value.tolist()) if value.numel() <= 20 else f"a tensor {tuple(value.shape)}"


def _check_background(background, sizes: Sizes) -> None:
    from dalib.filters.base import Gaussian

    if isinstance(background, Tensor):
        raise TypeError("background is a tensor; give a Gaussian with its mean and covariance")
    if not isinstance(background, Gaussian):
        return
    check_tensors(**{f"background.{name}": v for name, v in background._asdict().items()})
    for name, value, wanted in (
        ("background.mean", background.mean, [sizes.state]),
        ("background.cov", background.cov, [sizes.state, sizes.state]),
    ):
        _check_shape(name, value.detach(), wanted, (), sizes)


def _broadcasts(leading: tuple, series: tuple) -> bool:
    try:
        return torch.broadcast_shapes(leading, series) == tuple(series)
    except RuntimeError:
        return False
