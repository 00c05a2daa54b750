"""Expectation maximisation of linear Gaussian models."""

from dataclasses import replace

import pytest
import torch

from dalib.filters import Gaussian
from dalib.filters.kalman import Kalman
from dalib.learn.em import PARAMETERS, LinearGaussian, em, log_likelihood
from dalib.streams import normal, stream

F = torch.tensor([[0.9, 0.3], [-0.3, 0.9]]).double()
Q = torch.tensor([[0.1, 0.02], [0.02, 0.2]]).double()
H = torch.tensor([[1.0, 0.0], [0.5, 1.0], [0.0, 1.0]]).double()
R = torch.tensor([[0.2, 0.1, 0.0], [0.1, 0.3, 0.05], [0.0, 0.05, 0.1]]).double()
TRUE = LinearGaussian(
    matrix=F,
    noise_cov=Q,
    observation_matrix=H,
    obs_cov=R,
    prior=Gaussian(torch.zeros(2).double(), torch.eye(2).double()),
)
GUESS = LinearGaussian(
    matrix=torch.tensor([[0.7, 0.1], [0.0, 0.6]]).double(),
    noise_cov=torch.eye(2).double(),
    observation_matrix=torch.tensor([[0.8, 0.1], [0.3, 0.8], [0.2, 0.7]]).double(),
    obs_cov=torch.eye(3).double(),
    prior=Gaussian(torch.ones(2).double(), 2 * torch.eye(2).double()),
)


def series(series=5, times=40, gaps=True):
    """(series, time, 3) of the true model, with values and times missing."""
    draw = normal((series, times + 1, 5), stream("em", series, times))
    roots = [torch.linalg.cholesky(cov) for cov in (Q, R)]
    x, y = draw[:, 0, :2], []
    for k in range(1, times + 1):
        x = x @ F.T + draw[:, k, :2] @ roots[0].T
        y.append(x @ H.T + draw[:, k, 2:] @ roots[1].T)
    y = torch.stack(y, 1)
    if gaps:
        y[0, 3], y[1, 5, 0], y[2, 0, 1:], y[3, 10:20, 2], y[4, 30:] = (torch.nan,) * 5
    return y


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("learned", [PARAMETERS, *[(name,) for name in PARAMETERS]])
def test_no_iteration_lowers_the_likelihood(learned, gaps):
    history = em(GUESS, series(gaps=gaps), iterations=15, learned=learned).log_likelihood
    assert history.shape == (16,)
    assert (history.diff() >= -1e-9 * history.abs().max()).all()
    assert history[-1] > history[0] + 1


@pytest.mark.parametrize("diagonal", [("noise_cov",), ("obs_cov",), ("noise_cov", "obs_cov")])
def test_what_is_to_be_diagonal_is_and_likelihoods_rise(diagonal):
    found = em(GUESS, series(), iterations=15, diagonal=diagonal)
    assert (found.log_likelihood.diff() >= -1e-9 * found.log_likelihood.abs().max()).all()
    for name in diagonal:
        cov = getattr(found.model, name)
        assert torch.equal(cov, cov.diagonal().diag())


def test_a_maximum_has_no_slope():
    """Where iterations have converged, the gradient of the likelihood in what is learned is 0."""
    y, names = series(5, 40), ("matrix", "obs_cov")

    def slopes(model):
        values = [getattr(model, name).clone().requires_grad_() for name in names]
        total = log_likelihood(replace(model, **dict(zip(names, values, strict=True))), y)
        return torch.autograd.grad(total, values)

    guess = replace(TRUE, matrix=GUESS.matrix, obs_cov=GUESS.obs_cov)
    model = em(guess, y, iterations=100, learned=names).model
    for before, after in zip(slopes(guess), slopes(model), strict=True):
        assert (after + after.mT).abs().max() < 1e-4 * (before + before.mT).abs().max()


def test_the_likelihood_is_that_of_the_kalman_filter():
    y = series()
    settings = {"matrix": F, "noise_cov": Q, "observe": lambda x: x @ H.T}
    model = LinearGaussian(
        matrix=F,
        noise_cov=Q,
        observation_matrix=H,
        obs_cov=0.3 * torch.eye(3).double(),
        prior=TRUE.prior,
    )
    filter, total = Kalman(**settings, obs_std=0.3**0.5), 0.0
    for one in y:
        belief = TRUE.prior
        for value in one:
            forecast = filter.forecast(belief)
            total = total + filter.log_likelihood(forecast, value)
            belief = filter.analyse(forecast, value)
    assert log_likelihood(model, y).item() == pytest.approx(total.item(), abs=1e-8)


def test_many_series_give_the_model_back():
    """From a guess nearby; with H known the state has no freedom of coordinates left."""
    guess = replace(GUESS, observation_matrix=H)
    found = em(
        guess, series(200, 60), iterations=60, learned=("matrix", "noise_cov", "obs_cov", "prior")
    ).model
    assert torch.allclose(found.matrix, F, atol=0.02)
    assert torch.allclose(found.noise_cov, Q, atol=0.02)
    assert torch.allclose(found.obs_cov, R, atol=0.02)
    assert torch.allclose(found.prior.cov, torch.eye(2).double(), atol=0.3)


def test_fits_along_leading_axes_have_nothing_to_do_with_each_other():
    y = torch.stack([series(), 2 * series() + 0.1])
    both = em(GUESS, y, iterations=3)
    for k in range(2):
        alone = em(GUESS, y[k], iterations=3)
        assert torch.allclose(both.model.matrix[k], alone.model.matrix, atol=1e-10)
        assert torch.allclose(both.model.obs_cov[k], alone.model.obs_cov, atol=1e-10)
        assert torch.allclose(both.log_likelihood[:, k], alone.log_likelihood, atol=1e-8)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match=r"give \(series, time, 3\).*y\[None\]"):
        em(GUESS, series()[0])
    with pytest.raises(ValueError, match="learned: no gain; there are matrix"):
        em(GUESS, series(), learned=("gain",))
    with pytest.raises(ValueError, match="diagonal: no matrix"):
        em(GUESS, series(), diagonal=("matrix",))
    with pytest.raises(ValueError, match="obs_cov is not positive definite"):
        LinearGaussian(matrix=F, noise_cov=Q, observation_matrix=H, obs_cov=0 * R, prior=TRUE.prior)
