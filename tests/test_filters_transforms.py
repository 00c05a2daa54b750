"""Filters under torch.func: vmap, grad and second derivatives are those without it."""

import dataclasses

import pytest
import torch
from test_filters_contract import KINDS, generators, inputs, make
from torch.func import grad, jacfwd, jacrev, vmap

from dalib import build
from dalib.filters import Ensemble, Gaussian, assimilate

SIZE = 8
HIDDEN = ("ensf", "enff", "likelihood_particle", "optimal_particle")  # they look at values
ITERATED = ("var4d",)  # to a tolerance, so that second derivatives lag behind
JUMPING = ("local_particle",)  # as it resamples
EACH = [kind for kind in KINDS if kind not in HIDDEN]
R = 0.5 * torch.eye(4).double() + 0.5


def filter_of(kind: str, full: bool = False):
    settings = {"particle": {"resample_below": 0.0, "regularisation": 0.0}}.get(kind, {})
    if full:
        settings |= {"obs_std": None, "obs_cov": R}
    return dataclasses.replace(make(kind), **settings)


def given(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What makes a prior (..., 8), and observations of one series."""
    prior, y = inputs()
    y = y[0].clone()
    y[2, 1] = torch.nan
    return prior.mean[0], y


def prior_of(filter, mean: torch.Tensor):
    """Members around it where there are any, so that nothing is drawn at the start."""
    if not hasattr(filter, "members"):
        return Gaussian(mean, 0.5 * torch.eye(SIZE).double())
    drawn = torch.Generator().manual_seed(7)
    noise = torch.randn(filter.members, SIZE, generator=drawn, dtype=torch.float64)
    return Ensemble(mean[..., None, :] + noise)


def total(filter, mean: torch.Tensor, y: torch.Tensor, prior) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    moved = type(prior)(prior[0] + (mean if prior[0].ndim == 1 else mean[None]), *prior[1:])
    found = assimilate(filter, moved, y, generator)
    return (found.mean.square() + found.std).sum()


CASES = [(kind, False) for kind in EACH] + [(kind, True) for kind in ("etkf", "kalman", "enkf")]
every = pytest.mark.parametrize(("kind", "full"), CASES)


def function(kind: str, full: bool):
    filter, (mean, y) = filter_of(kind, full), given(kind)
    prior = prior_of(filter, torch.zeros(SIZE).double())
    return lambda m, y=y: total(filter, m, y, prior), mean, y


@every
def test_the_gradient_is_that_of_autograd(kind, full):
    of, mean, _ = function(kind, full)
    leaf = mean.clone().requires_grad_()
    value = of(leaf)
    expected = torch.zeros(SIZE).double()
    if value.requires_grad:
        (expected,) = torch.autograd.grad(value, leaf)
    assert torch.allclose(grad(of)(mean), expected, rtol=1e-8, atol=1e-8)


@every
def test_vmap_over_priors_is_one_after_the_other(kind, full):
    of, mean, _ = function(kind, full)
    several = torch.stack([mean, mean + 0.5, 0.9 * mean])
    expected = torch.stack([of(m) for m in several])
    found = vmap(of, randomness="same")(several)
    assert torch.allclose(found, expected.double(), rtol=1e-8, atol=1e-8)


@every
def test_vmap_over_observations_is_one_after_the_other(kind, full):
    of, mean, y = function(kind, full)
    several = torch.stack([y, y + 0.5])
    several[1, 3] = torch.nan
    expected = torch.stack([of(mean, one) for one in several])
    found = vmap(lambda y: of(mean, y), randomness="same")(several)
    assert torch.allclose(found, expected, rtol=1e-8, atol=1e-8)


@every
def test_second_derivatives_are_differences_of_first_ones(kind, full):
    if kind in (*ITERATED, *JUMPING):
        return
    of, mean, _ = function(kind, full)
    H = jacfwd(jacrev(of), randomness="same")(mean)
    direction = torch.linspace(-1, 1, SIZE).double()
    h = 1e-5 * direction
    difference = (grad(of)(mean + h) - grad(of)(mean - h)) / 2e-5
    assert torch.allclose(H @ direction, difference, rtol=1e-4, atol=1e-4)
    assert torch.allclose(H, H.mT, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["etkf", "ekf", "letkf"])
def test_vmap_of_gradients(kind):
    of, mean, _ = function(kind, False)
    several = torch.stack([mean, mean + 0.5])
    found = vmap(grad(of), randomness="same")(several)
    assert torch.allclose(found, torch.stack([grad(of)(m) for m in several]), atol=1e-8)


def test_what_depends_on_hidden_values_is_refused():
    filter = dataclasses.replace(filter_of("letkf"), most=3)
    mean, y = given("letkf")
    prior = prior_of(filter, mean)
    with pytest.raises(ValueError, match="give most=None, or the series as a leading axis"):
        vmap(lambda y: total(filter, mean, y, prior))(torch.stack([y, y]))


def test_nothing_is_left_behind_in_a_filter():
    """What was computed under a transform serves no call outside of it."""
    prior, y = inputs()
    filter = make("letkf")
    given = Gaussian(prior.mean[0], prior.cov)
    expected = assimilate(make("letkf"), given, y[0], generators().generators[0]).mean
    one = torch.Generator().manual_seed(1)
    grad(lambda m: assimilate(filter, Gaussian(m, prior.cov), y[0], one).mean.sum())(prior.mean[0])
    found = assimilate(filter, given, y[0], generators().generators[0]).mean
    assert torch.equal(found, expected)


def test_no_filter_is_left_out():
    assert set(EACH) | set(HIDDEN) == set(KINDS)
    assert all(build.resolve("filter", kind) for kind in EACH)
