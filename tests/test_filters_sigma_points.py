"""Filters that linearise otherwise: at sigma points, at the analysis, on a square root."""

import dataclasses
import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from dalib.filters import Gaussian, assimilate, kalman
from dalib.filters.ekf import EKF, IteratedEKF
from dalib.filters.kalman import Kalman
from dalib.filters.sigma_points import cubature, regression, unscented
from dalib.filters.square_root import SquareRootKalman
from dalib.filters.ukf import UKF, CubatureKalman
from dalib.observe import Arctan, Identity, Linear, Subset, noisy
from dalib.streams import normal, stream, streams
from dalib.systems.linear import ShiftedRing

RING = ShiftedRing(20, damping=0.98, noise_std=0.1)
EVERY_FOURTH = Subset(tuple(range(0, 20, 4)))
NONLINEAR = {"step": RING.step, "observe": EVERY_FOURTH, "obs_std": 0.1, "model_error_std": 0.1}
EXACT = Kalman(matrix=RING.matrix, noise_cov=RING.noise_cov, observe=EVERY_FOURTH, obs_std=0.1)
SAME = [
    UKF(**NONLINEAR),
    UKF(**NONLINEAR, alpha=0.1, kappa=1.0),
    CubatureKalman(**NONLINEAR),
    IteratedEKF(**NONLINEAR),
    SquareRootKalman(
        matrix=RING.matrix, noise_cov=RING.noise_cov, observe=EVERY_FOURTH, obs_std=0.1
    ),
]
RULES = [unscented(4, 1.0, 2.0, 0.0), unscented(4, 0.3, 2.0, 1.0), cubature(4)]


def standard(size) -> Gaussian:
    return Gaussian(torch.zeros(size).double(), torch.eye(size).double())


def series(seeds=3, times=30):
    """Observations (seed, time, obs) of the ring, with values and a time missing."""
    x, noise = (normal((seeds, n, 20), streams("sigma", range(seeds), f"{n}")) for n in (1, times))
    x, states = x[:, 0], []
    for q in noise.unbind(1):
        x = RING.step(x) + 0.1 * q
        states.append(x)
    y = noisy(EVERY_FOURTH, torch.stack(states, 1), 0.1, streams("sigma", range(seeds), "y"))
    y[1, 4], y[2, 9, 2] = torch.nan, torch.nan
    return y


@pytest.mark.parametrize("filter", SAME, ids=lambda filter: type(filter).__name__)
def test_on_a_linear_model_all_are_the_kalman_filter(filter):
    y = series()
    exact, found = (assimilate(f, standard(20), y, None) for f in (EXACT, filter))
    for a, b in zip(found[:5], exact[:5], strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("filter", SAME, ids=lambda filter: type(filter).__name__)
def test_on_a_linear_model_all_have_the_likelihood_of_the_kalman_filter(filter):
    y = series()[:, 4]
    belief, start = EXACT.start(standard(20)), filter.start(standard(20), None)
    exact = EXACT.likelihood(EXACT.forecast(belief), y)
    found = filter.likelihood(filter.forecast(start, None), y)
    for a, b in zip(found, exact, strict=True):
        assert torch.allclose(a.double(), b.double(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_integrates_the_moments_of_a_gaussian(rule):
    """Odd ones vanish, the second are 1; both weights of all points but the centre are equal."""
    points, v, w = rule
    assert v.sum().item() == pytest.approx(1, abs=1e-12)
    for weights in (v, w):
        assert (weights @ points).abs().max() < 1e-12
        assert torch.allclose(points.mT @ (weights[:, None] * points), torch.eye(4).double())
        assert (weights @ points**3).abs().max() < 1e-12


def test_a_quadratic_has_exact_moments_at_unscented_points():
    """x² of N(m, s²) has the mean m² + s² and the variance 4 m² s² + 2 s⁴ (β = 2)."""
    m, s = 1.3, 0.7
    one = torch.eye(1).double()
    belief = Gaussian(m * one[0], s**2 * one)
    mean, F, error = regression(torch.square, belief, unscented(1, 1.0, 2.0, 0.0))
    assert mean.item() == pytest.approx(m**2 + s**2, rel=1e-12)
    assert F.item() == pytest.approx(2 * m, rel=1e-12)
    assert error.item() == pytest.approx(2 * s**4, rel=1e-12)


def test_points_that_have_no_distance_are_refused():
    with pytest.raises(ValueError, match="give alpha above 0 and kappa above -3"):
        unscented(3, 1.0, 2.0, -3.0)
    with pytest.raises(ValueError, match="needs at least 1"):
        IteratedEKF(**NONLINEAR, iterations=0)


def test_the_iterated_filter_finds_the_mode():
    """Where the gradient of |x - m|² / P + |y - h(x)|² / R vanishes; one iteration is the EKF."""
    P = torch.tensor([[0.5, 0.2], [0.2, 0.4]]).double()
    belief, y = Gaussian(torch.tensor([0.8, -0.3]).double(), P), torch.tensor([1.2, -0.5]).double()
    settings = {"step": lambda x: x, "observe": Arctan(2.0), "obs_std": 0.3}
    x = IteratedEKF(**settings, iterations=40).analyse(belief, y).mean.requires_grad_()
    d = (x - belief.mean)[:, None]
    misfit = (y - (2 * x).arctan()) / 0.3
    cost = (d.T @ torch.linalg.solve(P, d)).squeeze() + misfit.square().sum()
    (gradient,) = torch.autograd.grad(cost, x)
    assert gradient.abs().max() < 1e-10
    once, extended = (
        f.analyse(belief, y) for f in (IteratedEKF(**settings, iterations=1), EKF(**settings))
    )
    assert torch.equal(once.mean, extended.mean) and torch.equal(once.cov, extended.cov)


def test_an_operator_that_is_not_defined_at_what_is_missing_does_no_harm():
    """h = log at -0.5 of a sigma point: lost, unless just that value is missing."""
    prior = Gaussian(torch.tensor([-0.5, 5.0]).double(), 0.01 * torch.eye(2).double())
    filter = UKF(step=lambda x: x, observe=torch.log, obs_std=0.1)
    y = torch.ones(3, 2).double()
    assert assimilate(filter, prior, y, None).diverged_at == 0
    y[:, 0] = torch.nan
    found = assimilate(filter, prior, y, None)
    assert found.diverged_at == -1 and found.std[0, 1] < 0.1


def test_a_square_root_in_single_precision_keeps_what_a_covariance_loses():
    """x1 + x2 is seen 1e5 times better than what is known of x1 - x2, at each of 20 times.

    The variance 1e-12 of the sum beside 1 of the difference is below the digits of float32.
    """
    H = Linear(((1.0, 1.0),))
    settings = {"observe": H, "obs_std": 1e-5, "matrix": 0.999 * torch.eye(2).double()}
    settings["noise_cov"] = 1e-14 * torch.eye(2).double()
    y = 1e-5 * normal((20, 1), stream("root"))
    exact = assimilate(Kalman(**settings), standard(2), y, None)

    def sum_std(cls, dtype):
        filter, prior = cls(**settings), Gaussian(*(v.to(dtype) for v in standard(2)))
        belief = filter.start(prior, None)
        for value in y.to(dtype):
            belief = filter.analyse(filter.forecast(belief, None), value, None)
        root = belief.root if cls is SquareRootKalman else None
        if root is None:
            return belief.cov.double().sum().clamp(min=0).sqrt().item(), belief.mean.sum().item()
        return root.double().sum(0).norm().item(), belief.mean.sum().item()

    right, mean = sum_std(Kalman, torch.float64)
    errors = {
        cls: abs(sum_std(cls, torch.float32)[0] / right - 1) for cls in (Kalman, SquareRootKalman)
    }
    assert exact.diverged_at == -1
    assert errors[SquareRootKalman] < 0.02 < errors[Kalman]


def test_a_root_of_a_singular_noise_is_one():
    G = torch.tensor([[0.5, 1.0]]).double()
    settings = {"matrix": torch.eye(2).double(), "noise_cov": G.T @ G}
    settings |= {"observe": Identity(2), "obs_std": 1.0}
    root, exact = (cls(**settings) for cls in (SquareRootKalman, Kalman))
    found = root.forecast(root.start(standard(2), None), None)
    assert torch.allclose(found.cov, exact.forecast(standard(2)).cov, atol=1e-14)


@pytest.mark.parametrize("cls", [UKF, CubatureKalman, IteratedEKF, EKF])
def test_first_and_second_derivatives_of_forecast_analysis_and_likelihood(cls):
    P = torch.tensor([[0.5, 0.2], [0.2, 0.4]]).double()
    y = torch.tensor([1.2, torch.nan]).double()

    def found(mean, rate, obs_std):
        filter = cls(step=lambda x: (rate * x).sin() + x, observe=Arctan(2.0), obs_std=obs_std)
        forecast = filter.forecast(Gaussian(mean, P), None)
        return *filter.analyse(forecast, y, None), filter.log_likelihood(forecast, y)

    given = [torch.tensor(v, dtype=torch.float64) for v in ([0.8, -0.3], 0.4, 0.3)]
    given = tuple(v.requires_grad_() for v in given)
    assert gradcheck(found, given)
    assert gradgradcheck(found, given)


def test_first_and_second_derivatives_on_a_square_root():
    def found(mean, F, obs_std):
        settings = {"observe": Subset((0,)), "obs_std": obs_std}
        filter = SquareRootKalman(matrix=F, noise_cov=0.1 * torch.eye(2).double(), **settings)
        forecast = filter.forecast(filter.start(Gaussian(mean, torch.eye(2).double()), None), None)
        analysis = filter.analyse(forecast, torch.ones(1).double(), None)
        return analysis.mean, analysis.cov, filter.log_likelihood(forecast, torch.ones(1).double())

    F = torch.tensor([[1.0, 0.1], [-0.2, 0.9]]).double().requires_grad_()
    mean = torch.tensor([0.8, -0.3]).double().requires_grad_()
    given = (mean, F, torch.tensor(0.3).double().requires_grad_())
    assert gradcheck(found, given)
    assert gradgradcheck(found, given)


def test_all_are_mapped_by_torch_func():
    """vmap over model parameters, grad and hessian of a likelihood."""
    y = torch.tensor([[0.5], [0.3], [torch.nan], [0.1]]).double()

    def loss(rate, cls):
        settings = {"step": lambda x: rate * x, "observe": Arctan(1.0), "obs_std": 0.3}
        filter, belief, total = cls(**settings, model_error_std=0.1), standard(1), 0.0
        for value in y:
            forecast = filter.forecast(belief, None)
            total = total + filter.log_likelihood(forecast, value)
            belief = filter.analyse(forecast, value, None)
        return total

    for cls in (EKF, IteratedEKF, UKF, CubatureKalman):
        rates = torch.tensor([0.5, 0.9]).double()
        slopes = torch.func.vmap(torch.func.grad(lambda rate, cls=cls: loss(rate, cls)))(rates)
        h = 1e-6
        differences = [(loss(r + h, cls) - loss(r - h, cls)) / (2 * h) for r in rates]
        assert torch.allclose(slopes, torch.stack(differences), rtol=1e-6)
        curve = torch.func.hessian(loss)(rates[0], cls)
        up, down = (torch.func.grad(loss)(rates[0] + s * 1e-5, cls) for s in (1, -1))
        assert curve.item() == pytest.approx(((up - down) / 2e-5).item(), rel=1e-6)


def test_kalman_update_and_gain_say_the_same():
    """The regression of a linear operator is its matrix, so that both gains are one."""
    H = Linear(((1.0, 2.0),))
    P = torch.tensor([[0.5, 0.2], [0.2, 0.4]]).double()
    found = UKF(step=None, observe=H, obs_std=math.sqrt(0.3)).analyse(
        Gaussian(torch.zeros(2).double(), P), torch.ones(1).double(), None
    )
    K = kalman.gain(P, H.matrix, torch.tensor([[0.3]]).double())
    assert torch.allclose(found.mean, K[:, 0], atol=1e-14)


@pytest.mark.parametrize("filter", SAME, ids=lambda filter: type(filter).__name__)
def test_with_correlated_errors_all_are_the_kalman_filter(filter):
    """R (obs, obs), with values missing alone; and its density, by R itself."""
    y = series()
    root = normal((5, 5), stream("root of R"))
    R = 0.01 * (root @ root.T + torch.eye(5).double())
    exact, found = (
        assimilate(dataclasses.replace(f, obs_std=None, obs_cov=R), standard(20), y, None)
        for f in (EXACT, filter)
    )
    for a, b in zip(found[:5], exact[:5], strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-10)
    belief = EXACT.forecast(EXACT.start(standard(20)))
    analysis = kalman.analyse(belief, EVERY_FOURTH.tangent(belief.mean), R, y[0, 0])
    assert torch.allclose(found.mean[0, 0], analysis.mean, atol=1e-10)


@pytest.mark.parametrize("cls", [UKF, CubatureKalman, IteratedEKF])
def test_model_errors_may_be_a_matrix_or_a_factor(cls):
    given = {"step": RING.step, "observe": EVERY_FOURTH, "obs_std": 0.1}
    y, factor = series(), 0.1 * normal((20, 3), stream("factor of Q"))
    settings = {**given, "matrix": RING.matrix, "noise_cov": factor @ factor.T}
    settings.pop("step")
    exact = assimilate(Kalman(**settings), standard(20), y, None)
    for noise in ({"model_error_cov": factor @ factor.T}, {"model_error_factor": factor}):
        found = assimilate(cls(**given, **noise), standard(20), y, None)
        assert torch.allclose(found.mean, exact.mean, rtol=0, atol=1e-10)
        assert torch.allclose(found.std, exact.std, rtol=0, atol=1e-10)
