"""The page of methods: what each can do, found by trying it on the problems of the contract tests.

python tests/methods_page.py            writes docs/methods.md
python tests/methods_page.py --gpu      says which methods run on a GPU, where there is one
"""

import dataclasses
import inspect
import sys
from pathlib import Path

import test_filters_contract as contract
import torch
from test_filters_transforms import HIDDEN
from torch.func import grad, vmap

from dalib import build
from dalib.filters import Gaussian, assimilate, cycle
from dalib.filters.local import Local
from dalib.registry import FILTERS, SMOOTHERS
from dalib.streams import Streams

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
YES, NO = "✓", "–"

# What other packages call the method, from the sources named on the page.
OTHERS = ("DAPPER", "filterpy", "pykalman", "cuthbert", "TorchDA")
ELSEWHERE = {
    "climatology": {"DAPPER": "Climatology"},
    "oi": {"DAPPER": "OptInterp"},
    "var3d": {"DAPPER": "Var3D", "TorchDA": "3DVar"},
    "kalman": {
        "filterpy": "KalmanFilter",
        "pykalman": "KalmanFilter",
        "cuthbert": "gaussian.kalman",
        "TorchDA": "KF",
    },
    "ekf": {"DAPPER": "ExtKF", "filterpy": "ExtendedKalmanFilter", "cuthbert": "gaussian.taylor"},
    "ukf": {
        "filterpy": "UnscentedKalmanFilter",
        "pykalman": "UnscentedKalmanFilter",
        "cuthbert": "gaussian.moments",
    },
    "cubature": {"filterpy": "CubatureKalmanFilter", "cuthbert": "gaussian.moments"},
    "square_root_kalman": {"filterpy": "SquareRootKalmanFilter", "cuthbert": "gaussian.kalman"},
    "enkf": {
        "DAPPER": "EnKF (PertObs)",
        "filterpy": "EnsembleKalmanFilter",
        "cuthbert": "ensemble_kalman",
        "TorchDA": "EnKF",
    },
    "denkf": {"DAPPER": "EnKF (DEnKF)"},
    "etkf": {"DAPPER": "EnKF (Sqrt)"},
    "letkf": {"DAPPER": "LETKF"},
    "serial_ensrf": {"DAPPER": "EnKF (Serial), SL_EAKF"},
    "serial_enkf": {"DAPPER": "EnKF (Serial)"},
    "rank_histogram": {"DAPPER": "RHF"},
    "enkf_n": {"DAPPER": "EnKF_N"},
    "ienks": {"DAPPER": "iEnKS"},
    "var4d": {"DAPPER": "Var4D", "TorchDA": "4DVar"},
    "strong_var4d": {"TorchDA": "4DVar"},
    "particle": {"DAPPER": "PartFilt", "cuthbert": "smc.particle_filter"},
    "optimal_particle": {"DAPPER": "OptPF"},
    "rts": {"filterpy": "rts_smoother", "pykalman": "smooth", "cuthbert": "gaussian.kalman"},
    "extended_rts": {"DAPPER": "ExtRTS", "cuthbert": "gaussian.taylor"},
    "unscented_rts": {
        "filterpy": "UnscentedKalmanFilter.rts_smoother",
        "pykalman": "UnscentedKalmanFilter.smooth",
        "cuthbert": "gaussian.moments",
    },
    "cubature_rts": {"cuthbert": "gaussian.moments"},
    "parallel_rts": {"cuthbert": "gaussian.kalman, parallel"},
    "enks": {"DAPPER": "EnKS"},
    "enrts": {"DAPPER": "EnRTS"},
    "stochastic_enrts": {"cuthbert": "ensemble_rts_smoother"},
}
ABSENT = (
    (
        "fixed-point smoother, information, H-infinity and fading-memory filters, IMM and MMAE of "
        "several models, g-h filters, discrete Bayes",
        "filterpy",
    ),
    (
        "hidden Markov models, factorial models, marginal and conditional particle filters",
        "cuthbert",
    ),
    ("LNETF, PFa, PFxN and PFxN-EnKF", "DAPPER"),
)
SOURCES = (
    ("DAPPER", "https://github.com/nansencenter/DAPPER/blob/master/dapper/da_methods/__init__.py"),
    ("filterpy", "https://github.com/rlabbe/filterpy/tree/master/filterpy"),
    ("pykalman", "https://pykalman.readthedocs.io/en/latest/"),
    ("cuthbert", "https://github.com/state-space-models/cuthbert/tree/main/cuthbert"),
    ("TorchDA", "https://openreview.net/forum?id=uaOULf5wI7"),
)


def runs(attempt) -> bool:
    """Whether an attempt succeeds; a refusal is a no, whatever its words."""
    try:
        return bool(attempt())
    except (ValueError, TypeError, RuntimeError, NotImplementedError, AttributeError):
        return False


def place(kind: str) -> str:
    return "ring" if kind in contract.NEED else "none"


def finite(series) -> bool:
    return all(bool(value.isfinite().all()) for value in series)


def missing(kind: str) -> str:
    """Single values, or whole times only, as encoders want them."""
    prior, y = contract.data("etkf", "missing")
    given = (contract.made(kind, place(kind), "missing"), prior)
    if runs(lambda: finite(contract.estimates(*given, y, contract.generators()))):
        return YES
    whole = torch.where(y.isnan().any(-1, keepdim=True), torch.nan, y)
    done = runs(lambda: finite(contract.estimates(*given, whole, contract.generators())))
    return "whole times" if done else NO


def batch(kind: str) -> str:
    """Whether series at once are series alone."""
    prior, y = contract.data(kind, "full")

    def attempt() -> bool:
        filter = contract.made(kind, place(kind), "full")
        together = contract.estimates(filter, prior, y, contract.generators())[0]
        one = Streams(contract.generators().generators[1:2])
        single = Gaussian(prior.mean[1:2], prior.cov)
        alone = contract.estimates(filter, single, y[1:2], one)[0]
        return torch.allclose(together[1], alone[0], rtol=1e-6, atol=1e-6)

    return YES if runs(attempt) else NO


def full_errors(kind: str) -> str:
    """A full R, or blocks of it."""
    if "obs_cov" not in build.resolve("filter", kind).__dataclass_fields__:
        return NO
    prior, y = contract.data(kind, "partial")
    filter = contract.made(kind, place(kind), "partial")
    R = 0.5 * torch.eye(y.shape[-1]).double() + 0.5
    full = dataclasses.replace(filter, obs_std=None, obs_cov=R)
    done = runs(lambda: finite(assimilate(full, prior, y, contract.generators())[:4]))
    if issubclass(type(filter), Local):
        return f"{YES}, blocks if local" if done else "blocks"
    return YES if done else NO


def gradient(kind: str) -> str:
    """In the prior: none, first, or first and second."""
    prior, y = contract.data(kind, "full")
    mean = prior.mean.clone().requires_grad_()
    settings = {"resample_below": 0.0, "regularisation": 0.0} if kind == "particle" else {}
    filter = dataclasses.replace(contract.made(kind, place(kind), "full"), **settings)

    def total():
        steps = cycle(filter, Gaussian(mean, prior.cov), y, contract.generators())
        return sum(analysis.mean.square().sum() for _, analysis in steps)

    def first() -> bool:
        (slope,) = torch.autograd.grad(total(), mean)
        return slope.isfinite().all() and slope.any()

    def second() -> bool:
        (slope,) = torch.autograd.grad(total(), mean, create_graph=True)
        (curve,) = torch.autograd.grad(slope.square().sum(), mean)
        return curve.isfinite().all()

    return ("1, 2" if runs(second) else "1") if runs(first) else NO


def transforms(kind: str) -> str:
    """Whether vmap and grad of torch.func take it."""
    prior, y = contract.data(kind, "full")
    if kind in HIDDEN or kind in contract.NETWORKS:
        return NO
    settings = {"resample_below": 0.0, "regularisation": 0.0} if kind == "particle" else {}
    filter = dataclasses.replace(contract.made(kind, place(kind), "full"), **settings)

    def total(mean):
        generator = torch.Generator().manual_seed(1)
        return assimilate(filter, Gaussian(mean, prior.cov), y[0], generator).mean.square().sum()

    def attempt() -> bool:
        return vmap(grad(total), randomness="same")(prior.mean).isfinite().all()

    return YES if runs(attempt) else NO


def local(kind: str) -> str:
    if kind in contract.NEED:
        return "needed"
    return YES if contract.takes(kind, "localisation") else NO


def smoothers(kind: str) -> str:
    """Those that are this filter too."""
    cls = build.resolve("filter", kind)
    found = [
        name
        for name in SMOOTHERS
        if cls in inspect.getmro(build.resolve("smoother", name))[1:]
        and not any(
            issubclass(other, cls) and other is not cls
            for other in inspect.getmro(build.resolve("smoother", name))[1:]
            if other in {build.resolve("filter", one) for one in FILTERS}
        )
    ]
    return ", ".join(f"`{name_of('smoother', name)}`" for name in found) or NO


COLUMNS = {
    "localisation": local,
    "missing data": missing,
    "full R": full_errors,
    "batch": batch,
    "gradient": gradient,
    "`torch.func`": transforms,
    "smoother": smoothers,
}


def name_of(role: str, kind: str) -> str:
    return build.resolve(role, kind).__name__


def unique() -> list[str]:
    """Kinds of filters without second names of the same class, in the order of the registry."""
    seen: dict[str, str] = {}
    for kind, dotted in FILTERS.items():
        seen.setdefault(dotted, kind)
    return [kind for kind in seen.values() if kind != "deep_kalman_smoother"]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def page() -> str:
    """All of docs/methods.md."""
    rows = [
        [f"`{name_of('filter', kind)}`", *(probe(kind) for probe in COLUMNS.values())]
        for kind in unique()
    ]
    kinds = [("filter", kind) for kind in unique()] + [("smoother", kind) for kind in SMOOTHERS]
    elsewhere = [
        [f"`{name_of(role, kind)}`"]
        + [ELSEWHERE.get(kind, {}).get(package, NO) for package in OTHERS]
        for role, kind in kinds
    ]
    absent = "\n".join(f"- {words}: {package}" for words, package in ABSENT)
    sources = "\n".join(f"- {package}: <{address}>" for package, address in SOURCES)
    return f"""# Methods

This page is made by `python tests/methods_page.py`, which tries each method of the registry on the
problems of the contract tests; a test compares it with what is found anew.

## Filters

{table(["filter", *COLUMNS], rows)}

- *localisation*: takes a `Localisation` (line, ring, grid, sphere, or a matrix of weights).
- *missing data*: NaN among the values of a time; `whole times` where an encoder needs all or none.
- *full R*: `obs_cov`, also of each time; local methods take blocks of observations near each other.
  A taper between components (`LocalEnKF` with a matrix, `Ens3DVar`) takes any.
- *batch*: several series at once, each as it is alone.
- *gradient*: of analyses in the prior by autograd, first and second derivatives.
- *`torch.func`*: `vmap(grad(...))`, with `randomness="same"`.
- *smoother*: the methods of `dalib.smooth` that go with it.
- GPU: all are written for the device of the prior; none was at hand to try them on for this page
  (`python tests/methods_page.py --gpu` does).

## Elsewhere

What the same method is called in other packages; {NO} where they do not have it.

{table(["dalib", *OTHERS], elsewhere)}

What they have and dalib has not:

{absent}

Sources, read in 2026:

{sources}
"""


def on_gpu() -> None:
    """Which filters give on a GPU what they give on the CPU."""
    for kind in unique():
        prior, y = contract.data(kind, "full")

        def attempt(kind=kind, prior=prior, y=y) -> bool:
            filter = contract.made(kind, place(kind), "full")
            moved = Gaussian(*(value.cuda() for value in prior))
            found = contract.estimates(filter, moved, y.cuda(), contract.generators())[0]
            expected = contract.estimates(filter, prior, y, contract.generators())[0]
            return torch.allclose(found.cpu(), expected, atol=1e-6)

        print(f"{name_of('filter', kind)}: {'yes' if runs(attempt) else 'no'}")


if __name__ == "__main__":
    if "--gpu" in sys.argv:
        on_gpu()
    else:
        PAGE.write_text(page(), encoding="utf-8")
