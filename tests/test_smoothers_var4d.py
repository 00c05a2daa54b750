"""Strong- and weak-constraint 4D-Var against dense conditioning and the smoother of RTS."""

import pytest
import torch

from dalib.filters import Ensemble, Gaussian
from dalib.filters.least_squares import LBFGS, GaussNewton, cost
from dalib.filters.steps import Move
from dalib.integrate import RK4
from dalib.localise import Ring
from dalib.smoothers import smooth
from dalib.smoothers.envar4d import EnVar4D
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


def trajectories(E):
    """(member, (time + 1) state) of members that run freely."""
    states = [E]
    for _ in range(TIMES):
        states.append(states[-1] @ F.T)
    return torch.stack(states, -2).flatten(-2)


SEEN = torch.block_diag(*[H] * TIMES)  # of a trajectory without its first state
SEEN = torch.cat([torch.zeros(len(SEEN), STATE).double(), SEEN], -1)


def conditioned(mean, cov, y):
    """Mean of a trajectory with these moments given y (time, obs) with errors R."""
    seen = ~y.flatten().isnan()
    G, errors = SEEN[seen], torch.block_diag(*[R] * TIMES)[seen][:, seen]
    K = torch.linalg.solve(G @ cov @ G.T + errors, G @ cov).T
    return (mean + K @ (y.flatten()[seen] - G @ mean)).unflatten(-1, (-1, STATE))


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("local", [False, True])
def test_4denvar_is_the_mean_given_the_covariance_of_trajectories(weight, local):
    """w ρ ∘ P of members between all times, and (1 - w) B that is the same at all."""
    prior, y = given()
    E = normal((SEEDS, 8, STATE), stream("4denvar", "E"))
    method = EnVar4D(
        step=lambda x: x @ F.T,
        observe=lambda x: x @ H.T,
        obs_cov=R,
        members=8,
        weight=weight,
        background=Gaussian(prior.mean[0], prior.cov[0]),
        localisation=Ring(0.5).on(STATE) if local else None,
    )
    found = smooth(method, Ensemble(E), y, stream("4denvar", "noise"))
    times = torch.ones(TIMES + 1, TIMES + 1).double()
    for i in range(SEEDS):
        X = trajectories(E[i])
        P = X.T.cov()
        if local:
            P = P * torch.kron(times, Ring(0.5).on(STATE).taper())
        P = weight * P + (1 - weight) * torch.kron(times, prior.cov[i])
        expected = conditioned(X.mean(0), P, y[i])
        assert torch.allclose(found.mean[i], expected[1:], rtol=0, atol=1e-6)
        assert torch.allclose(found.initial.mean[i], expected[0], rtol=0, atol=1e-6)


def test_many_trajectories_have_the_spread_of_the_smoother():
    prior, y = given()
    method = EnVar4D(step=lambda x: x @ F.T, observe=lambda x: x @ H.T, obs_cov=R, members=150)
    found = smooth(method, prior, y, stream("4denvar", "many"))
    strong = StrongVar4D(step=lambda x: x @ F.T, observe=lambda x: x @ H.T, obs_cov=R)
    expected = smooth(strong, prior, y)
    assert torch.allclose(found.std, expected.std, rtol=0.3)
    assert ((found.mean - expected.mean).abs() < 0.5 * expected.std).all()


def test_4denvar_without_a_background_is_refused():
    with pytest.raises(ValueError, match="leaves 0.5 to the background"):
        EnVar4D(step=None, observe=None, obs_std=1.0, weight=0.5)


@pytest.mark.parametrize("kind", ["weak", "ensemble"])
def test_irregular_times_are_steps_with_nothing_observed_between(kind):
    prior, y = given()
    settings = {"step": lambda x: x @ F.T, "observe": lambda x: x @ H.T, "obs_std": 0.7}
    method = EnVar4D(**settings, members=6)
    if kind == "weak":
        method = WeakVar4D(**settings, model_error_cov=Q)
    else:
        prior = Ensemble(normal((SEEDS, 6, STATE), stream("4denvar", "E")))
    counts = [1, 2, 1, 3, 1, 1]
    schedule = tuple((Move(0.0, 1.0),) * count for count in counts)
    rows = torch.cumsum(torch.tensor(counts), 0) - 1
    dense = torch.full((SEEDS, int(rows[-1]) + 1, OBS), torch.nan).double()
    dense[:, rows] = y
    found = smooth(method, prior, y, stream("n"), schedule=schedule)
    expected = smooth(method, prior, dense, stream("n"))
    assert torch.allclose(found.mean, expected.mean[:, rows], rtol=0, atol=1e-8)
    if kind == "weak":
        assert torch.allclose(found.std, expected.std[:, rows], rtol=0, atol=1e-10)
