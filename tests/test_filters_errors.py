"""Correlated errors of observations: every filter against what it does with whitened ones."""

import dataclasses

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, assimilate, at, cycle
from dalib.filters.ekf import EKF
from dalib.filters.enkf import DEnKF, EnKF
from dalib.filters.errors import components
from dalib.filters.etkf import ETKF
from dalib.filters.hybrid import Ens3DVar
from dalib.filters.kalman import Kalman
from dalib.filters.letkf import LETKF
from dalib.filters.local_enkf import LocalEnKF
from dalib.filters.particle import BootstrapParticle
from dalib.filters.variational import FixedGain, OptimalInterpolation, Var3D
from dalib.localise import Grid, Localisation, Ring
from dalib.observe import Identity, Linear, Subset
from dalib.streams import normal, stream, streams

SIZE, OBS, SERIES, TIMES = 5, 4, 3, 6


def drawn(*shape: int) -> torch.Tensor:
    return normal(shape, stream("errors", *shape))


A = drawn(OBS, OBS)
R = A @ A.T + 0.5 * torch.eye(OBS).double()
F = 0.9 * torch.linalg.qr(drawn(SIZE, SIZE))[0]
Q = 0.1 * torch.eye(SIZE).double()
B = drawn(SIZE, SIZE) @ drawn(SIZE, SIZE).T + torch.eye(SIZE).double()
H = drawn(OBS, SIZE)
PRIOR = Gaussian(torch.zeros(SIZE).double(), torch.eye(SIZE).double())


def observations() -> torch.Tensor:
    y = 2 * drawn(SERIES, TIMES, OBS)
    y[0, 2, 1], y[1, 3], y[2, 0, :2] = torch.nan, torch.nan, torch.nan
    return y


def conditioned(m, P, y, H=H, R=R):
    """Mean and covariance of one state given y, without what is missing; and log p(y)."""
    seen = ~y.isnan()
    h, d = H[seen], y[seen] - H[seen] @ m
    S = h @ P @ h.T + R[seen][:, seen]
    K = torch.linalg.solve(S, h @ P).T
    density = torch.distributions.MultivariateNormal(torch.zeros_like(d), S)
    log_density = density.log_prob(d) if len(d) else torch.zeros(()).double()
    return m + K @ d, P - K @ h @ P, log_density


def step(x):
    return x @ F.T


def exact(y, prior=PRIOR, Rs=None, fixed=False):
    """(time, state) of one series by the textbook; `fixed`: the forecast's covariance is B."""
    m, P, found, total = prior.mean, prior.cov, [], 0.0
    for k, row in enumerate(y):
        m, P = F @ m, B if fixed else F @ P @ F.T + Q
        m, P, log_density = conditioned(m, P, row, R=R if Rs is None else Rs[k])
        found.append((m, P.diagonal().sqrt()))
        total = total + log_density
    return *(torch.stack(v) for v in zip(*found, strict=True)), total


GIVEN = {"observe": Linear(H), "obs_cov": R}
EXACT = {
    "kalman": (Kalman(matrix=F, noise_cov=Q, **GIVEN), False),
    "ekf": (EKF(step=step, model_error_std=0.1**0.5, **GIVEN), False),
    "var3d": (Var3D(step=step, background=Gaussian(PRIOR.mean, B), **GIVEN), True),
    "var3d minimised": (
        Var3D(step=step, background=Gaussian(PRIOR.mean, B), outer=1, **GIVEN),
        True,
    ),
}


@pytest.mark.parametrize("kind", EXACT)
def test_filters_with_a_full_matrix_are_exact(kind):
    filter, fixed = EXACT[kind]
    y = observations()
    found = assimilate(filter, PRIOR, y, None)
    for i in range(SERIES):
        mean, std, _ = exact(y[i], fixed=fixed)
        assert torch.allclose(found.mean[i], mean, rtol=1e-11, atol=1e-11)
        assert torch.allclose(found.std[i], std, rtol=1e-11, atol=1e-11)


def test_optimal_interpolation_with_a_full_matrix_is_exact():
    y = observations()
    filter = OptimalInterpolation(background=Gaussian(PRIOR.mean, B), **GIVEN)
    found = assimilate(filter, PRIOR, y, None)
    for i in range(SERIES):
        for k in range(TIMES):
            mean, cov, _ = conditioned(PRIOR.mean, B, y[i, k])
            assert torch.allclose(found.mean[i, k], mean, rtol=1e-11, atol=1e-11)
            assert torch.allclose(found.std[i, k], cov.diagonal().sqrt(), rtol=1e-11, atol=1e-11)


def test_likelihoods_with_a_full_matrix_are_exact():
    y, filter = observations(), EXACT["kalman"][0]
    steps = cycle(filter, PRIOR, y, None)
    total = sum(filter.log_likelihood(f, y[:, k]) for k, (f, _) in enumerate(steps))
    for i in range(SERIES):
        assert total[i].item() == pytest.approx(exact(y[i])[2].item(), rel=1e-11)


def test_each_time_may_have_a_matrix_of_its_own():
    scale = torch.linspace(0.5, 2.0, TIMES).double()
    Rs = scale[:, None, None] * R
    filter, y = dataclasses.replace(EXACT["kalman"][0], obs_cov=Rs), observations()
    found = assimilate(filter, PRIOR, y, None)
    mean, std, total = exact(y[0], Rs=Rs)
    assert torch.allclose(found.mean[0], mean, atol=1e-11)
    assert torch.allclose(found.std[0], std, atol=1e-11)
    each = dataclasses.replace(filter, obs_cov=torch.stack([Rs, 2 * Rs, Rs]))
    several = assimilate(each, PRIOR, y, None)
    assert torch.allclose(several.mean[0], mean, atol=1e-11)
    assert torch.allclose(several.mean[1], exact(y[1], Rs=2 * Rs)[0], atol=1e-11)
    with pytest.raises(ValueError, match="one matrix for each of 6 times; dalib.filters.at"):
        filter.analyse(Gaussian(PRIOR.mean, PRIOR.cov), y[0, 0], None)
    assert at(filter, 2).analyse(PRIOR, y[0, 2]).mean.isfinite().all()


ENSEMBLES = {
    "etkf": ETKF(step=step, members=12, **GIVEN),
    "enkf": EnKF(step=step, members=12, **GIVEN),
    "denkf": DEnKF(step=step, members=12, **GIVEN),
    "covariance": LocalEnKF(step=step, members=12, **GIVEN),
    "hybrid": Ens3DVar(
        step=step, members=12, weight=1.0, background=Gaussian(PRIOR.mean, B), **GIVEN
    ),
    "letkf": LETKF(
        step=step, members=12, localisation=Localisation(matrix=torch.ones(5, 5).double()), **GIVEN
    ),
}


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_means_of_ensembles_are_those_of_the_kalman_update_of_their_moments(kind):
    forecast, y = Ensemble(drawn(SERIES, 12, SIZE)), observations()[:, 0]
    y[0, 1] = torch.nan
    filter = ENSEMBLES[kind]
    found = filter.analyse(forecast, y, stream("x"))
    likelihood = filter.log_likelihood(forecast, y)
    for i in range(SERIES):
        mean, cov, log_density = conditioned(forecast.mean[i], forecast.cov[i], y[i])
        assert torch.allclose(found.mean[i], mean, atol=1e-10)
        assert likelihood[i].item() == pytest.approx(log_density.item(), rel=1e-10)
        if kind in ("etkf", "letkf"):
            assert torch.allclose(found.cov[i], cov, atol=1e-10)


@pytest.mark.parametrize("kind", ["enkf", "covariance"])
def test_large_ensembles_have_the_covariance_of_the_kalman_update(kind):
    """Sampling errors of 40,000 members are about 1 %."""
    N = 40_000
    forecast, y = Ensemble(drawn(N, SIZE)), observations()[0, 2]
    found = dataclasses.replace(ENSEMBLES[kind], members=N).analyse(forecast, y, stream("x"))
    _, cov, _ = conditioned(PRIOR.mean, forecast.cov, y)
    assert torch.allclose(found.cov, cov, atol=0.02)


def test_a_large_particle_filter_has_the_moments_of_the_kalman_filter():
    N = 200_000
    filter = BootstrapParticle(step=step, members=N, observe=Linear(H), obs_cov=4 * R)
    y = observations()[0, 2] / 2
    forecast = filter.start(PRIOR, stream("particles"))
    found = filter.analyse(forecast, y)
    mean, cov, log_density = conditioned(PRIOR.mean, PRIOR.cov, y, R=4 * R)
    assert torch.allclose(found.mean, mean, atol=0.02)
    assert torch.allclose(found.std, cov.diagonal().sqrt(), atol=0.02)
    assert filter.log_likelihood(forecast, y).item() == pytest.approx(log_density.item(), abs=0.02)


def test_a_fixed_gain_moves_by_its_innovation_whatever_the_errors():
    K, y = drawn(SIZE, OBS), observations()
    given = {"step": step, "gain": K, "observe": Linear(H)}
    found = assimilate(FixedGain(obs_cov=R, **given), PRIOR, y, None)
    expected = assimilate(FixedGain(obs_std=1.0, **given), PRIOR, y, None)
    assert torch.allclose(found.mean, expected.mean, atol=1e-11)
    forecast = Gaussian(drawn(SIZE), torch.zeros(SIZE, SIZE).double())
    likelihood = FixedGain(obs_cov=R, **given).log_likelihood(forecast, y[0, 2])
    log_density = conditioned(forecast.mean, forecast.cov, y[0, 2])[2]
    assert likelihood.item() == pytest.approx(log_density.item(), rel=1e-11)


@pytest.mark.parametrize("kind", ["etkf", "enkf", "covariance", "kalman", "var3d"])
def test_a_diagonal_matrix_is_independent_errors(kind):
    filter = ENSEMBLES.get(kind) or EXACT[kind][0]
    std, y = torch.tensor([0.5, 1.0, 2.0, 1.5]).double(), observations()
    matrix = dataclasses.replace(filter, obs_cov=std.square().diag())
    alone = dataclasses.replace(filter, obs_cov=None, obs_std=std)
    a, b = (assimilate(f, PRIOR, y, streams("x", range(SERIES), "f")) for f in (matrix, alone))
    for found, expected in zip(a[:5], b[:5], strict=True):
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert torch.allclose(a.chi_square, b.chi_square)


@pytest.mark.parametrize("kind", ["kalman", "etkf", "covariance", "var3d"])
def test_the_gradient_in_the_matrix_is_the_slope(kind):
    """Of analyses and likelihood, along symmetric directions, with values missing."""
    filter, y = ENSEMBLES.get(kind) or EXACT[kind][0], observations()

    def total(R):
        given = dataclasses.replace(filter, obs_cov=R)
        steps = cycle(given, PRIOR, y, streams("x", range(SERIES), "f"))
        return sum(
            given.log_likelihood(f, y[:, k]).sum() + a.mean.square().sum()
            for k, (f, a) in enumerate(steps)
        )

    for start in (R, R.diagonal().diag()):  # a diagonal one may be learned to be full
        matrix = start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(total(matrix), matrix)
        for direction in (torch.eye(OBS).double(), A + A.T):
            with torch.no_grad():
                h = 1e-6 * direction
                difference = (total(start + h) - total(start - h)) / 2e-6
            assert (slope * direction).sum().item() == pytest.approx(difference.item(), rel=1e-5)


def test_single_precision_stays_what_it_is():
    prior = Gaussian(*(v.float() for v in PRIOR))
    filter = dataclasses.replace(ENSEMBLES["etkf"], step=lambda x: x @ F.T.to(x))
    found = assimilate(filter, prior, observations(), streams("x", range(SERIES), "f"))
    expected = assimilate(filter, PRIOR, observations(), streams("x", range(SERIES), "f"))
    assert found.mean.dtype == torch.float32
    assert torch.allclose(found.mean.double(), expected.mean, atol=1e-4)


# -- local filters -----------------------------------------------------------------------------


def two_variables(radius: float, **given):
    """Two variables on three points, both seen at each: errors of a point are correlated."""
    block = torch.tensor([[1.0, 0.6], [0.6, 0.8]]).double()
    R = torch.kron(block, torch.diag(torch.tensor([1.0, 2.0, 0.5]).double()))
    where = Grid((3, 1), radius).on(6)
    return {"observe": Identity(6), "obs_cov": R, "localisation": where, **given}


@pytest.mark.parametrize("cls", [LETKF, LocalEnKF])
def test_local_filters_take_blocks_of_what_stands_together(cls):
    """Reaching everywhere, they are the filters without localisation."""
    given = two_variables(1e9, step=lambda x: x, members=8)
    plain = ETKF if cls is LETKF else LocalEnKF
    forecast, y = Ensemble(drawn(2, 8, 6)), drawn(2, 6)
    y[0, 1] = torch.nan
    without = {name: value for name, value in given.items() if name != "localisation"}
    found, expected = (
        cls(**given).analyse(forecast, y, stream("x")),
        plain(**without).analyse(forecast, y, stream("x")),
    )
    assert torch.allclose(found.members, expected.members, atol=1e-7)


def test_a_block_acts_only_where_its_place_reaches():
    given = two_variables(0.2, step=lambda x: x, members=8)
    forecast, y = Ensemble(drawn(8, 6)), torch.full((6,), torch.nan).double()
    y[0], y[3] = 3.0, 2.0  # both variables at the first point
    found = LETKF(**given).analyse(forecast, y, stream("x"))
    moved = (found.members - forecast.members).abs().amax(0) > 1e-9
    assert moved.tolist() == [True, False, False, True, False, False]
    alone = ETKF(
        step=lambda x: x, members=8, observe=Subset((0, 3)), obs_cov=given["obs_cov"][::3, ::3]
    )
    expected = alone.analyse(forecast, y[::3], stream("x"))
    assert torch.allclose(found.members[:, ::3], expected.members[:, ::3], atol=1e-7)


@pytest.mark.parametrize("cls", [LETKF, LocalEnKF])
def test_local_filters_refuse_errors_that_are_correlated_from_afar(cls):
    full = 0.5 * torch.eye(8).double() + 0.5
    filter = cls(
        step=lambda x: x,
        members=5,
        observe=Identity(8),
        obs_cov=full,
        localisation=Ring(1.0).on(8),
    )
    with pytest.raises(
        ValueError, match="independent, or correlated in blocks of observations near"
    ):
        filter.analyse(Ensemble(drawn(5, 8)), drawn(8), stream("x"))


def test_connected_parts_are_found():
    linked = torch.zeros(6, 6, dtype=torch.bool)
    for a, b in ((0, 3), (3, 5), (1, 4)):
        linked[a, b] = linked[b, a] = True
    assert components(linked).tolist() == [0, 1, 2, 0, 1, 0]


# -- what is refused ---------------------------------------------------------------------------

WRONG = [
    (torch.ones(OBS).double(), "give \\(obs, obs\\)"),
    (torch.eye(3).double(), "y has 4 values at 6 times; give \\(4, 4\\)"),
    (R.expand(5, OBS, OBS), "or \\(6, 4, 4\\) of each time"),
    (R.expand(SERIES, OBS, OBS), "or \\(3, 1, 4, 4\\) for each series"),
    (R - 10 * torch.eye(OBS).double(), "not positive definite"),
    (R + torch.ones(OBS, OBS).double().triu(1), "not symmetric"),
    (R * torch.nan, "not finite"),
]


@pytest.mark.parametrize(("value", "said"), WRONG)
def test_what_is_no_matrix_of_errors_is_refused(value, said):
    filter = dataclasses.replace(ENSEMBLES["etkf"], obs_cov=value)
    with pytest.raises(ValueError, match=f"^obs_cov.*{said}"):
        assimilate(filter, PRIOR, observations(), stream("x"))


def test_errors_are_given_once():
    with pytest.raises(ValueError, match="obs_std and obs_cov are both given"):
        filter = dataclasses.replace(ENSEMBLES["etkf"], obs_std=1.0)
        assimilate(filter, PRIOR, observations(), stream("x"))
    with pytest.raises(TypeError, match="obs_cov is a list"):
        filter = dataclasses.replace(ENSEMBLES["etkf"], obs_cov=R.tolist())
        assimilate(filter, PRIOR, observations(), stream("x"))


def test_absolute_values_need_independent_errors():
    filter = dataclasses.replace(ENSEMBLES["covariance"], positive=True)
    with pytest.raises(ValueError, match="positive=True needs observations with independent"):
        assimilate(filter, PRIOR, observations(), stream("x"))
