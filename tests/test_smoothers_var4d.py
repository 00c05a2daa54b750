"""Strong- and weak-constraint 4D-Var against dense conditioning and the smoother of RTS."""

import pytest
import torch

from dalib.filters import Gaussian
from dalib.filters.least_squares import LBFGS, GaussNewton, cost
from dalib.integrate import RK4
from dalib.smoothers import smooth
from dalib.smoothers.rts import RTS
from dalib.smoothers.var4d import StrongVar4D, WeakVar4D
from dalib.streams import normal, stream
from dalib.systems.lorenz import Lorenz63

STATE, TIMES, OBS, SEEDS = 4, 6, 2, 3
F = 0.9 * torch.eye(STATE).double().roll(1, 0) + 0.2 * normal((STATE, STATE), stream("F"))
H = normal((OBS, STATE), stream("H"))
Q = (lambda A: 0.1 * (A @ A.T + torch.eye(STATE).double()))(normal((STATE, STATE), stream("Q")))
R = torch.tensor([[0.5, 0.3], [0.3, 1.5]]).double()
MINIMISERS = [GaussNewton(), GaussNewton(direct=0), LBFGS()]


def given():
    y = normal((SEEDS, TIMES, OBS), stream("4dvar", "y"))
    y[0, 2, 1], y[1, 3] = torch.nan, torch.nan
    A = normal((STATE, STATE), stream("4dvar", "P"))
    P = (A @ A.T + torch.eye(STATE).double()).expand(SEEDS, -1, -1)
    return Gaussian(normal((SEEDS, STATE), stream("4dvar", "m")), P), y


def check(found, expected, tolerance):
    assert torch.allclose(found.mean, expected.mean, rtol=0, atol=tolerance)
    assert torch.allclose(found.cov, expected.cov, rtol=0, atol=1e-10)
    assert torch.allclose(found.initial.mean, expected.initial.mean, rtol=0, atol=tolerance)
    assert torch.allclose(found.initial.cov, expected.initial.cov, rtol=0, atol=1e-10)


@pytest.mark.parametrize("error", [{"obs_cov": R}, {"obs_std": 0.7}])
@pytest.mark.parametrize("minimiser", MINIMISERS, ids=str)
def test_the_minimum_with_a_weak_constraint_is_the_rts_smoother(minimiser, error):
    prior, y = given()
    shared = {"observe": lambda x: x @ H.T, **error}
    weak = WeakVar4D(**shared, step=lambda x: x @ F.T, model_error_cov=Q, minimiser=minimiser)
    expected = smooth(RTS(**shared, matrix=F, noise_cov=Q), prior, y)
    check(smooth(weak, prior, y), expected, 1e-9 if isinstance(minimiser, GaussNewton) else 1e-6)


@pytest.mark.parametrize("minimiser", MINIMISERS, ids=str)
def test_the_minimum_with_a_strong_constraint_is_that_without_model_errors(minimiser):
    """x_k = F^k x_0: the conditional Gaussian of x_0 given all that is observed."""
    prior, y = given()
    strong = StrongVar4D(
        step=lambda x: x @ F.T, observe=lambda x: x @ H.T, obs_std=0.7, minimiser=minimiser
    )
    found = smooth(strong, prior, y)
    G = torch.cat([H @ torch.linalg.matrix_power(F, k + 1) for k in range(TIMES)])
    for i in range(SEEDS):
        seen = ~y[i].flatten().isnan()
        precision = torch.linalg.inv(prior.cov[i]) + G[seen].T @ G[seen] / 0.49
        innovation = y[i].flatten()[seen] - G[seen] @ prior.mean[i]
        x0 = prior.mean[i] + torch.linalg.solve(precision, G[seen].T @ innovation / 0.49)
        assert torch.allclose(found.initial.mean[i], x0, rtol=0, atol=1e-6)
        assert torch.allclose(found.mean[i, 2], torch.linalg.matrix_power(F, 3) @ x0, atol=1e-6)
        cov = torch.linalg.inv(precision)
        assert torch.allclose(found.initial.cov[i], cov, rtol=0, atol=1e-10)


def test_all_minimisers_find_the_same_trajectory_of_lorenz63():
    step = RK4(0.01, 10).flow(Lorenz63())
    x = [torch.tensor([1.5, -1.5, 25.0]).double()]
    for _ in range(8):
        x.append(step(x[-1]))
    truth = torch.stack(x)
    y = truth[1:] + 0.5 * normal((8, 3), stream("lorenz", "y"))
    prior = Gaussian(truth[0] + normal((3,), stream("lorenz", "m")), torch.eye(3).double())
    settings = {"step": step, "observe": lambda x: x, "obs_std": 0.5}
    found = [smooth(StrongVar4D(**settings, minimiser=m), prior, y).mean for m in MINIMISERS]
    assert torch.allclose(found[1], found[0], rtol=0, atol=1e-5)
    assert torch.allclose(found[2], found[0], rtol=0, atol=1e-4)
    assert (found[0] - truth[1:]).square().mean().sqrt() < 0.35


@pytest.mark.parametrize("minimiser", MINIMISERS, ids=str)
def test_a_minimum_has_no_slope(minimiser):
    """Of a curved valley, from several starts at once."""

    def misfit(u):
        return torch.stack([10 * (u[..., 1] - u[..., 0] ** 2), 1 - u[..., 0]], -1)

    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0], [0.0, 0.0]]).double()
    found = minimiser(misfit, start).requires_grad_()
    (slope,) = torch.autograd.grad(cost(misfit, found).sum(), found)
    assert slope.abs().max() < 1e-4
