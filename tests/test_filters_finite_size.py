"""EnKF-N: primal and dual, and where it is the ETKF."""

import pytest
import torch

from dalib.filters import Ensemble
from dalib.filters.etkf import etkf_analysis
from dalib.filters.finite_size import (
    EnKFN,
    dual_inflation,
    finite_size_analysis,
    hyperprior,
    primal_inflation,
    primal_weights,
)
from dalib.streams import normal, stream


def whitened(members, obs, spread, distance, series=100):
    S = spread * normal((series, members, obs), stream("S", members, obs))
    d = distance * normal((series, 1, obs), stream("d", members, obs))
    return S - S.mean(-2, keepdim=True), d


CASES = [(5, 3, 1.0, 1.0), (5, 3, 3.0, 10.0), (10, 3, 0.3, 3.0), (3, 8, 1.0, 2.0), (24, 40, 0.5, 1)]


@pytest.mark.parametrize("case", [*CASES, (4, 2, 0.01, 100.0)])
def test_primal_and_dual_find_the_same_inflation(case):
    S, d = whitened(*case)
    prior = hyperprior(S)
    dual, primal = dual_inflation(S, d, prior), primal_inflation(S, d, prior)
    assert torch.allclose(dual, primal, rtol=1e-8)
    assert (dual > 0.5).all()


@pytest.mark.parametrize("case", CASES)
def test_the_primal_weights_are_those_of_the_inflated_forecast(case):
    """w = l² d Sᵀ (l² S Sᵀ + N-1)⁻¹, where the cost of the primal has no slope."""
    S, d = whitened(*case)
    prior, n = hyperprior(S), S.shape[-2] - 1
    w, a = primal_weights(S, d, prior), dual_inflation(S, d, prior)[:, None, None]
    expected = torch.linalg.solve(S @ S.mT + n / a * torch.eye(n + 1), d @ S.mT, left=False)
    assert torch.allclose(w, expected, rtol=1e-6, atol=1e-9)


def test_what_is_not_observed_inflates_nothing():
    S, d = whitened(5, 3, 0.0, 0.0)
    assert torch.allclose(dual_inflation(S, d, hyperprior(S)), torch.ones(100).double())
    E, y = normal((5, 3), stream("E")), torch.full((3,), torch.nan).double()
    for primal in (False, True):
        analysis = finite_size_analysis(E, E, y, 1.0, primal=primal)
        assert torch.allclose(analysis, E, rtol=0, atol=1e-12)


def test_large_ensembles_are_those_of_the_etkf():
    """The prior of the inflation gets narrower with N."""
    E = normal((2000, 3), stream("large"))
    y = torch.tensor([1.0, 0.0, -1.0]).double()
    found, plain = finite_size_analysis(E, E, y, 1.0), etkf_analysis(E, E, y, 1.0)
    assert torch.allclose(found, plain, rtol=0, atol=5e-3)


def test_derivatives_of_the_inflation_are_differences():
    S = normal((2, 5, 3), stream("S")).requires_grad_()
    d = normal((2, 1, 3), stream("d")).requires_grad_()

    def inflation(S, d):
        S = S - S.mean(-2, keepdim=True)
        return dual_inflation(S, d, hyperprior(S))

    assert torch.autograd.gradcheck(inflation, (S, d))
    assert torch.autograd.gradgradcheck(inflation, (S, d))


def test_both_forms_make_the_same_filter():
    E, y = normal((3, 6, 4), stream("E")), 3 * normal((3, 4), stream("y"))
    a, b = (
        EnKFN(step=None, observe=lambda x: x, obs_std=0.5, members=6, primal=primal)
        .analyse(Ensemble(E), y, None)
        .members
        for primal in (False, True)
    )
    assert torch.allclose(a, b, rtol=0, atol=1e-9)


def test_a_certainty_below_zero_is_refused():
    with pytest.raises(ValueError, match="certainty is -1"):
        EnKFN(step=None, observe=None, obs_std=1.0, certainty=-1)
