"""From names and numbers of the configuration to objects.

A section with `kind:` names a class; its other keys are settings of that class. What a class needs
beside settings (a step, an operator, a network) is supplied here, by the names of its fields.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dalib.registry import REGISTRIES


def resolve(role: str, kind: str) -> type:
    """The class that `kind` stands for: a registry's short name, or the user's `module:Class`."""
    table = REGISTRIES[role]
    if ":" not in kind and kind not in table:
        raise ValueError(f"unknown {role} {kind!r}; known: {', '.join(sorted(table))}")
    module, name = table.get(kind, kind).split(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{role} {kind!r}: no module {error.name!r}; put it beside the Snakefile or install it"
        ) from error
    except AttributeError as error:
        raise ValueError(f"{role} {kind!r}: module {module!r} has no class {name!r}") from error


def make(role: str, section: Mapping, supplies: Mapping[str, Callable[[], Any]] = {}) -> Any:  # noqa: B006
    """An object of the class that `section["kind"]` names.

    Args:
        section: `kind` and settings of that class.
        supplies: makers of what may stand in fields beside settings; only those needed are called.
    """
    cls = resolve(role, section["kind"])
    settings = {key: value for key, value in section.items() if key not in ("kind", "model")}
    fields = inspect.signature(cls).parameters
    supplied = {
        name: supply()
        for name, supply in supplies.items()
        if name in fields and name not in settings
    }
    return cls(**settings, **supplied)


def method(role: str, section: Mapping, case: Mapping = {}, **given: Any) -> Any:  # noqa: B006
    """A method of a study: `kind` and settings; of the case what some methods hold.

    A setting may be an object of its own: `sampler: {kind: reverse_sde, steps: 100}`.

    given: to filters, what neither says, see `filter`; beside these the `prior` of a filter that
    is an estimator of states.
    """
    if role == "filter":
        return filter(case, section, **given)
    if role == "estimator" and not hasattr(resolve(role, section["kind"]), "needs"):
        from dalib.estimators import Filtering

        return Filtering(filter(case, section, **without(given, "prior")), given["prior"])
    settings = {
        key: make(key, value) if isinstance(value, Mapping) and "kind" in value else value
        for key, value in section.items()
    }
    return make(role, settings, {"integrator": lambda: make("integrator", case["integrator"])})


def task(dotted: str) -> Callable:
    """The function "module:name" that a stage calls, where the configuration chooses it."""
    module, name = dotted.split(":")
    return getattr(importlib.import_module(module), name)


def system(case: Mapping) -> Any:
    """The equations of a case."""
    return make("system", case["system"])


def step(case: Mapping) -> Callable[[Tensor], Tensor]:
    """The map of a case over one sampling interval, (..., state) -> (..., state)."""
    return make("integrator", case["integrator"]).flow(system(case))


def tangent(case: Mapping) -> Callable[[Tensor], tuple[Tensor, Tensor]] | None:
    """The map with its derivative; None, and torch.func's turn, for a system without jacobian."""
    equations = system(case)
    if not hasattr(equations, "jacobian"):
        return None
    return make("integrator", case["integrator"]).tangent(equations)


def interval(case: Mapping) -> float:
    """The sampling interval of a case, in model time; in seconds where a step has `seconds`."""
    return make("integrator", case["integrator"]).interval * getattr(system(case), "seconds", 1.0)


def operator(case: Mapping, size: int) -> Any:
    """The observation operator of a case, for states of `size` components."""
    return make("operator", case["observations"]["operator"], {"size": lambda: size})


def filter(case: Mapping, section: Mapping, **given: Any) -> Any:
    """A filter for a case: any of the registry for any case.

    What the filter takes and its section does not say is `given`, or said by its case. A section
    may have a `localisation` with `kind` and settings, or a `radius` alone, of the places that are
    given; a localisation that is given as a whole, as one that is learned, comes before both.

    Args:
        case: system, integrator and observations.
        section: `kind` and settings of the filter; `filter`, those of the inner one of codes.
        given: by the names of the filter's fields, such as `obs_std` (obs,), the trained `network`
            or `codec`, or `step` and `observe` where they are not those of the case. The filter's
            own matrices go to the device of `obs_std`.
    """
    device = getattr(given.get("obs_std"), "device", "cpu")
    supplies = {
        "step": lambda: step(case),
        "tangent": lambda: None if "step" in given else tangent(case),
        "observe": lambda: operator(case, system(case).size),
        "background": lambda: climatology(case, device),
        "matrix": lambda: _of_system(case, section, "matrix").to(device),
        "noise_cov": lambda: _of_system(case, section, "noise_cov").to(device),
        **{name: (lambda value=value: value) for name, value in given.items()},
    }
    known = given.get("localisation")
    whole = known is not None and (known.matrix is not None or known.radius is not None)
    if "localisation" in section and not whole:
        _check_local(section["kind"])
        size = given.get("size") or system(case).size
        own = section["localisation"]
        supplies["localisation"] = lambda: localisation(own, size).to(device)
    elif "radius" not in section and not whole:
        supplies.pop("localisation", None)
    return make("filter", without(section, "localisation"), supplies)


def network(section: Mapping, weights) -> Any:
    """The trained network of a model.

    Args:
        section: `network` of the model, with `kind` and settings.
        weights: dataset as `arrays.weights_dataset` makes it.
    """
    from dalib import arrays
    from dalib.nets.scaling import Scaling

    values = arrays.weights(weights)
    supplies = {
        "scaling": lambda: Scaling(values["scaling.mean"], values["scaling.std"]),
        "vocabulary": lambda: int(weights.vocabulary),
        "repeats": lambda: weights.sizes["repeat"],
    }
    shell = make("network", section["network"], supplies)
    shell.load_state_dict(values)
    return shell


def codec(section: Mapping, weights, shape: tuple[int, int, int]) -> Any:
    """The codec of a model, of its first repeat.

    Args:
        section: of the model, `network` or `codec` with `kind` and settings.
        weights: dataset as `arrays.weights_dataset` makes it; its `latent_noise` and `mismatch`
            are the codec's `errors`.
        shape: (variable, x, y) of a state.
    """
    from dalib import arrays
    from dalib.nets.scaling import Scaling

    values = {name: value[:1] for name, value in arrays.weights(weights).items()}
    errors = {
        name: float(weights[name]) for name in ("latent_noise", "mismatch") if name in weights
    }
    if "codec" in section:
        linear = resolve("codec", section["codec"]["kind"]).restored
        return linear(**{name: value[0] for name, value in values.items()}, errors=errors)
    supplies = {
        "scaling": lambda: Scaling(values["scaling.mean"], values["scaling.std"]),
        "shape": lambda: shape,
    }
    if "obs_scaling.mean" in values:
        seen = Scaling(values["obs_scaling.mean"], values["obs_scaling.std"])
        supplies["obs_scaling"] = lambda: seen
    shell = make("network", section["network"], supplies)
    shell.load_state_dict(values)
    shell.errors = errors
    return shell


def measure(section: Mapping) -> Any:
    """A measure by which a claim is judged."""
    return make("measure", section)


def training(section: Mapping) -> Any:
    """How long and how fast to train: the settings of the loop among those of the training."""
    from dalib.train import Training

    return Training(**without(section, "repeats", "batch", "window"))


def _of_system(case: Mapping, section: Mapping, name: str) -> Any:
    """What a linear system has and a filter needs."""
    if not hasattr(system(case), name):
        raise ValueError(
            f"the filter {section['kind']!r} needs `{name}` of linear equations, and "
            f"{case['system']['kind']} has none; for equations that are not linear take ekf or an "
            "ensemble"
        )
    return getattr(system(case), name)


def _check_local(kind: str) -> None:
    """Refuse a localisation for a filter that would leave it aside."""
    if "localisation" in _takes(kind):
        return
    table = REGISTRIES["filter"]
    local = [
        k for k in table if "localisation" in inspect.signature(resolve("filter", k)).parameters
    ]
    raise ValueError(f"{kind} takes no localisation; those that do: {', '.join(sorted(local))}")


def _takes(kind: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(resolve("filter", kind)).parameters


def localisation(section: Mapping, size: int) -> Any:
    """Where the components of a state of `size` are, and how far they reach each other."""
    return make("localisation", section).on(size)


def start(case: Mapping, settings: Mapping | None = None, **supplied: Any) -> Any:
    """Where trajectories of a case start; one number as the mean stands for all components.

    settings: of another start than that of its truth, which may need what is `supplied`.
    """
    from dalib.simulate import Formed, Start

    settings = case["truth"]["start"] if settings is None else settings
    if "kind" in settings:
        given = {name: (lambda value=value: value) for name, value in supplied.items()}
        former = make("start", settings, {"system": lambda: system(case), **given})
        return former if hasattr(former, "draw") else Formed(former)
    size, mean = system(case).size, settings["mean"]
    if not isinstance(mean, Sequence):
        mean = torch.full((size,), mean, dtype=torch.float64)
    if len(mean) != size:
        raise ValueError(
            f"the start's mean has {len(mean)} values, but the state of {case['system']['kind']} "
            f"has {size} components: {', '.join(system(case).names)}"
        )
    return Start(**{**settings, "mean": mean})


def climatology(case: Mapping, device: torch.device):
    """Mean and covariance of a long free run of the model itself (a `Gaussian`).

    It begins where the truths of the case do, or at N(0, I) in a case without them; see
    `dalib.climatology`.
    """
    from dalib.climatology import climatology
    from dalib.streams import stream

    kind, beginning = case["system"]["kind"], {"mean": 0.0, "std": 1.0}
    beginning = start(case, case["truth"]["start"] if "truth" in case else beginning)
    belief = climatology(step(case), beginning, generator=stream("climatology", kind), name=kind)
    return type(belief)(*(value.to(device) for value in belief))


def without(section: Mapping, *keys: str) -> dict:
    """`section` less some keys."""
    return {key: value for key, value in section.items() if key not in keys}
