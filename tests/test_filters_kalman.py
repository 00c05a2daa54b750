import math

import pytest
import torch
from scipy.linalg import solve_discrete_are

from dalib.filters import Gaussian, assimilate, cycle, kalman
from dalib.filters.ekf import EKF
from dalib.filters.kalman import Kalman
from dalib.filters.variational import OptimalInterpolation, Var3D
from dalib.integrate import RK4
from dalib.observe import Identity, Linear, Subset, noisy
from dalib.streams import normal, stream, streams
from dalib.systems.linear import ConstantVelocity, ShiftedRing
from dalib.systems.lorenz import Lorenz63

TRACK = ConstantVelocity(dt=1.0, noise=0.1)
RING = ShiftedRing(20, damping=0.98, noise_std=0.1)
POSITION = Linear(((1.0, 0.0),))
EVERY_FOURTH = Subset(tuple(range(0, 20, 4)))


def track_filter() -> Kalman:
    return Kalman(matrix=TRACK.matrix, noise_cov=TRACK.noise_cov, observe=POSITION, obs_std=1.0)


def ring_filter() -> Kalman:
    return Kalman(matrix=RING.matrix, noise_cov=RING.noise_cov, observe=EVERY_FOURTH, obs_std=0.1)


def twin(system, observe, obs_std, seeds, times):
    """Truth (seed, time, state) of a linear system from N(0, I) and observations of it."""
    size = len(system.matrix)
    x = normal((seeds, size), streams("linear", range(seeds), "start"))
    L = torch.linalg.cholesky(system.noise_cov)
    noise = normal((seeds, times, size), streams("linear", range(seeds), "noise")) @ L.T
    states = []
    for q in noise.unbind(1):
        x = system.step(x) + q
        states.append(x)
    truth = torch.stack(states, 1)
    return truth, noisy(observe, truth, obs_std, streams("linear", range(seeds), "observations"))


def standard(size) -> Gaussian:
    return Gaussian(torch.zeros(size).double(), torch.eye(size).double())


def test_random_walk_settles_at_the_golden_ratio():
    """Unit variances in x' = x + q, y = x + r give P = P/(P+1) + 1, so P = (1 + √5)/2."""
    one = torch.eye(1).double()
    belief = standard(1)
    for _ in range(30):
        belief = kalman.forecast(belief, F=one, Q=one)
        forecast_variance = belief.cov.item()
        belief = kalman.analyse(belief, H=one, R=one, y=torch.zeros(1).double())

    golden = (1 + math.sqrt(5)) / 2
    assert forecast_variance == pytest.approx(golden, rel=1e-12)
    assert belief.cov.item() == pytest.approx(golden - 1, rel=1e-12)


def test_constant_velocity_settles_at_the_riccati_solution():
    *_, (forecast, _) = cycle(track_filter(), standard(2), torch.zeros(200, 1).double(), None)
    expected = [[1.214975, 0.470635], [0.470635, 0.308156]]
    assert torch.allclose(forecast.cov, torch.tensor(expected).double(), atol=1e-5)
    K = kalman.gain(forecast.cov, POSITION.matrix, torch.eye(1).double())
    assert K.flatten().tolist() == pytest.approx([0.548528, 0.212479], abs=1e-5)


def test_ring_settles_at_the_riccati_solution():
    *_, (forecast, analysis) = cycle(
        ring_filter(), standard(20), torch.zeros(400, 5).double(), None
    )
    assert analysis.std.square().mean().sqrt().item() == pytest.approx(0.14935, abs=1e-5)
    assert forecast.std.square().mean().sqrt().item() == pytest.approx(0.17726, abs=1e-5)
    H = EVERY_FOURTH.tangent(torch.zeros(20).double()).numpy()
    R = 0.01 * torch.eye(5).double().numpy()
    riccati = solve_discrete_are(RING.matrix.numpy().T, H.T, RING.noise_cov.numpy(), R)
    assert torch.allclose(forecast.cov, torch.from_numpy(riccati), atol=1e-10)


def test_the_error_of_a_ring_run_is_the_one_the_filter_states():
    truth, y = twin(RING, EVERY_FOURTH, 0.1, seeds=50, times=260)
    analyses = assimilate(ring_filter(), standard(20), y, None)
    error = (analyses.mean - truth)[:, 60:].square().mean().sqrt()  # 10^4 cycles
    assert error.item() == pytest.approx(0.14935, rel=0.02)


def test_normalised_innovations_have_unit_variance():
    _, y = twin(RING, EVERY_FOURTH, 0.1, seeds=20, times=100)
    squares = []
    for k, (forecast, _) in enumerate(cycle(ring_filter(), standard(20), y, None)):
        H = EVERY_FOURTH.tangent(forecast.mean)
        d = (y[:, k] - EVERY_FOURTH(forecast.mean))[..., None]
        S = H @ forecast.cov @ H.mT + 0.01 * torch.eye(5)
        squares.append((d.mT @ torch.linalg.solve(S, d))[..., 0, 0])
    squares = torch.stack(squares) / 5
    standard_error = math.sqrt(2 / (5 * squares.numel()))  # of a chi-square over its freedom
    assert squares.mean().item() == pytest.approx(1, abs=3 * standard_error)


@pytest.mark.parametrize("gaps", [False, True])
def test_the_log_likelihoods_sum_to_the_dense_log_density(gaps):
    T, F, Q, H = 12, TRACK.matrix, TRACK.noise_cov, POSITION.matrix
    _, y = twin(TRACK, POSITION, 1.0, seeds=3, times=T)
    if gaps:
        y[0, 3], y[0, 7:9], y[2, 0] = torch.nan, torch.nan, torch.nan
    filter = track_filter()
    total = sum(
        filter.log_likelihood(forecast, y[:, k])
        for k, (forecast, _) in enumerate(cycle(filter, standard(2), y, None))
    )

    # stacked states x_1 ... x_T = A x_0 + B q, so stacked observations are normal
    powers = [torch.linalg.matrix_power(F, k) for k in range(T + 1)]
    A = torch.cat([H @ powers[t] for t in range(1, T + 1)])
    B = torch.cat(
        [
            torch.cat([H @ powers[t - s] if s <= t else 0 * H for s in range(1, T + 1)], 1)
            for t in range(1, T + 1)
        ]
    )
    cov = A @ A.T + B @ torch.block_diag(*[Q] * T) @ B.T + torch.eye(T)
    for seed in range(3):
        seen = ~y[seed, :, 0].isnan()
        dense = torch.distributions.MultivariateNormal(
            torch.zeros(int(seen.sum())).double(), cov[seen][:, seen]
        )
        expected = dense.log_prob(y[seed, seen, 0]).item()
        assert total[seed].item() == pytest.approx(expected, abs=1e-8)


def test_the_extended_filter_of_a_linear_model_is_the_kalman_filter():
    _, y = twin(RING, EVERY_FOURTH, 0.1, seeds=3, times=30)
    y[1, 4], y[2, 9, 2] = torch.nan, torch.nan
    exact = assimilate(ring_filter(), standard(20), y, None)
    settings = {"observe": EVERY_FOURTH, "obs_std": 0.1, "model_error_std": 0.1}
    given = EKF(tangent=lambda x: (RING.step(x), RING.jacobian(x)), **settings)
    found = EKF(step=RING.step, **settings)
    for filter in (given, found):
        analyses = assimilate(filter, standard(20), y, None)
        assert analyses.members is None
        for a, b in zip(analyses[:5], exact[:5], strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-10)


def test_the_tangent_of_torch_func_is_that_of_the_integrator():
    rk4, system = RK4(0.01, 5), Lorenz63()
    settings = {"observe": Subset((0, 2)), "obs_std": 1.0}
    belief = Gaussian(
        torch.tensor([1.0, 2.0, 20.0]).double().expand(4, 3), torch.eye(3).double().expand(4, 3, 3)
    )
    analytic = EKF(tangent=rk4.tangent(system), **settings).forecast(belief)
    automatic = EKF(step=rk4.flow(system), **settings).forecast(belief)
    assert torch.allclose(analytic.mean, automatic.mean, atol=1e-12)
    assert torch.allclose(analytic.cov, automatic.cov, atol=1e-12)


def test_a_missing_value_is_the_same_as_an_operator_without_it():
    prior = Gaussian(normal((4,), stream(1)), torch.diag(torch.tensor([1.0, 2, 3, 4]).double()) + 1)
    H, R = normal((3, 4), stream(2)), torch.eye(3).double() + 0.5
    y = normal((3,), stream(3))
    kept = torch.tensor([0, 2])
    fewer = kalman.analyse(prior, H[kept], R[kept][:, kept], y[kept])
    y[1] = torch.nan
    masked = kalman.analyse(prior, H, R, y)
    assert torch.allclose(masked.mean, fewer.mean, atol=1e-14)
    assert torch.allclose(masked.cov, fewer.cov, atol=1e-14)


def test_josephs_form_keeps_a_covariance_that_the_short_form_loses():
    """An observation 1e8 times better than the prior: (I - K H) P has a negative eigenvalue."""
    P = torch.tensor([[1.0, 1 - 1e-9], [1 - 1e-9, 1.0]]).double()
    H, R = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[1e-16]]).double()
    cov = kalman.analyse(Gaussian(P[0], P), H, R, torch.ones(1).double()).cov
    assert torch.equal(cov, cov.T)
    assert torch.linalg.eigvalsh(cov).min() >= 0


def test_a_covariance_that_is_none_is_named():
    bad = torch.diag(torch.tensor([1.0, -0.25]).double())
    with pytest.raises(ValueError, match="prior covariance is not positive definite.* -0.25"):
        track_filter().start(Gaussian(torch.zeros(2).double(), bad))
    lopsided = torch.tensor([[1.0, 0.5], [0.0, 1.0]]).double()
    with pytest.raises(ValueError, match="prior covariance is not symmetric"):
        track_filter().start(Gaussian(torch.zeros(2).double(), lopsided))


def test_an_extended_filter_without_a_model_says_what_it_needs():
    with pytest.raises(ValueError, match="needs tangent .* or step"):
        EKF(observe=POSITION, obs_std=1.0)


@pytest.mark.parametrize(
    "filter",
    [
        EKF(step=lambda x: x, observe=torch.log, obs_std=0.1),
        Var3D(step=lambda x: x, observe=torch.log, obs_std=0.1, background=standard(2)),
        OptimalInterpolation(
            observe=torch.log,
            obs_std=0.1,
            background=Gaussian(torch.tensor([-0.5, 1.0]).double(), torch.eye(2).double()),
        ),
    ],
    ids=["ekf", "var3d", "oi"],
)
def test_a_mean_whose_observation_is_not_defined_is_no_missing_observation(filter):
    """h = log at -0.5: the belief is lost, unless just that value is missing."""
    prior = Gaussian(torch.tensor([-0.5, 1.0]).double(), torch.eye(2).double())
    y = torch.zeros(3, 2).double()
    assert assimilate(filter, prior, y, None).diverged_at == 0
    assert filter.likelihood(prior, y[0]).misfit.isnan()
    y[:, 0] = torch.nan
    found = assimilate(filter, prior, y, None)
    assert found.diverged_at == -1 and found.std[0, 1] < 0.11
    likelihood = filter.likelihood(prior, y[0])
    assert likelihood.count == 1 and likelihood.misfit.isfinite()


def test_standard_deviations_are_no_matrix_also_outside_the_loop():
    filter = EKF(step=lambda x: x, observe=Identity(2), obs_std=torch.eye(2))
    with pytest.raises(ValueError, match="a matrix of covariances is not taken"):
        filter.analyse(standard(2), torch.zeros(2).double())
