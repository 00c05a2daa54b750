"""Smoothers against dense Gaussian conditioning, each other, and their filters."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr

import dalib
from dalib.filters import Ensemble, Gaussian, assimilate
from dalib.filters.ekf import EKF
from dalib.filters.kalman import Kalman
from dalib.integrate import RK4
from dalib.observations import Observations
from dalib.observe import Linear, MovingSubset, Subset
from dalib.smoothers import smooth
from dalib.smoothers.backward_simulation import BackwardSimulation
from dalib.smoothers.enks import EnKS, StochasticEnKS
from dalib.smoothers.enrts import EnRTS, StochasticEnRTS
from dalib.smoothers.parallel import ParallelRTS
from dalib.smoothers.rts import RTS, CubatureRTS, ExtendedRTS, UnscentedRTS, back, kernel
from dalib.smoothers.scan import scan
from dalib.streams import normal, stream, streams
from dalib.systems.lorenz import Lorenz63

STATE, OBS, TIMES, SEEDS = 3, 2, 7, 4
F = torch.tensor([[0.9, 0.3, 0.0], [-0.3, 0.9, 0.1], [0.0, 0.2, 0.8]]).double()
Q_STD = 0.3
H = Linear(((1.0, 0.0, 0.5), (0.0, 1.0, 0.0)))
OBS_STD = torch.tensor([0.5, 0.2]).double()
PRIOR = Gaussian(
    torch.tensor([1.0, -1.0, 0.5]).double(),
    torch.tensor([[1.0, 0.3, 0.0], [0.3, 0.8, 0.1], [0.0, 0.1, 0.5]]).double(),
)
SEEN = {"observe": H, "obs_std": OBS_STD}
LINEAR = {**SEEN, "matrix": F, "noise_cov": Q_STD**2 * torch.eye(STATE).double()}
MODEL = {**SEEN, "step": lambda x: x @ F.T.to(x), "model_error_std": Q_STD}
SAME = [
    RTS(**LINEAR),
    ParallelRTS(**LINEAR),
    ExtendedRTS(**MODEL),
    UnscentedRTS(**MODEL),
    CubatureRTS(**MODEL),
]
ids = {"ids": lambda value: type(value).__name__}


def series(seeds=SEEDS, times=TIMES, gaps=True):
    y = normal((seeds, times, OBS), stream("smooth", seeds, times))
    if gaps:
        y[0, 2, 1], y[1, 3], y[2, 0], y[3, times - 2 :] = (torch.nan,) * 4
    return y


def dense(y):
    """Mean and covariance of the stacked states x_0 ... x_T given y (time, obs)."""
    T, n = len(y), STATE
    mean, cov = torch.zeros((T + 1) * n).double(), torch.zeros((T + 1) * n, (T + 1) * n).double()
    mean[:n], cov[:n, :n] = PRIOR
    for k in range(1, T + 1):
        now, last = slice(k * n, (k + 1) * n), slice((k - 1) * n, k * n)
        mean[now] = F @ mean[last]
        cov[now, : k * n] = F @ cov[last, : k * n]
        cov[: k * n, now] = cov[now, : k * n].T
        cov[now, now] = F @ cov[last, last] @ F.T + Q_STD**2 * torch.eye(n).double()
    seen = ~y.flatten().isnan()
    A = torch.block_diag(torch.zeros(0, n), *[H.matrix] * T)[seen].double()
    S = A @ cov @ A.T + OBS_STD.square().repeat(T)[seen].diag()
    K = cov @ A.T @ torch.linalg.inv(S)
    return mean + K @ (y.flatten()[seen] - A @ mean), cov - K @ A @ cov


@pytest.mark.parametrize("smoother", SAME, **ids)
def test_a_smoother_is_dense_conditioning(smoother):
    y = series()
    found = smooth(smoother, PRIOR, y)
    for seed in range(SEEDS):
        mean, cov = dense(y[seed])
        means, blocks = mean.reshape(-1, STATE), cov.unflatten(0, (-1, STATE)).unflatten(2, (-1, 3))
        k = torch.arange(TIMES + 1)
        own, lagged = blocks[k, :, k], blocks[k[1:], :, k[:-1]]
        for a, b in (
            (found.mean[seed], means[1:]),
            (found.initial.mean[seed], means[0]),
            (found.cov[seed], own[1:]),
            (found.initial.cov[seed], own[0]),
            (found.cross_cov[seed], lagged),
            (found.std[seed], own[1:].diagonal(dim1=-2, dim2=-1).sqrt()),
        ):
            assert torch.allclose(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("lag", [1, 2, 5])
@pytest.mark.parametrize("kind", [RTS, UnscentedRTS])
def test_with_a_lag_a_state_sees_that_many_times_more(kind, lag):
    y = series()
    found = smooth(kind(**(LINEAR if kind is RTS else MODEL), lag=lag), PRIOR, y)
    assert found.cross_cov is None
    for k in range(1, TIMES + 1):
        until = min(k + lag, TIMES)
        whole = smooth(RTS(**LINEAR), PRIOR, y[:, :until]) if until > 1 else None
        if whole is None or y[:, :until].isnan().all(-1).all(-1).any():
            continue
        assert torch.allclose(found.mean[:, k - 1], whole.mean[:, k - 1], atol=1e-10)
        assert torch.allclose(found.cov[:, k - 1], whole.cov[:, k - 1], atol=1e-10)


@pytest.mark.parametrize("kind", [RTS, ParallelRTS])
def test_a_lag_beyond_the_series_is_none(kind):
    y = series()
    if kind is RTS:
        a, b = (smooth(RTS(**LINEAR, lag=lag), PRIOR, y) for lag in (None, TIMES + 5))
        assert torch.equal(a.mean, b.mean)
    with pytest.raises((ValueError, TypeError), match="lag"):
        kind(**LINEAR, lag=0)


@pytest.mark.parametrize("smoother", SAME, **ids)
def test_the_analyses_of_a_smoother_are_those_of_its_filter(smoother):
    y = series()
    found, exact = smooth(smoother, PRIOR, y).analyses, assimilate(Kalman(**LINEAR), PRIOR, y, None)
    for a, b in zip(found[:5], exact[:5], strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-10)
    assert torch.allclose(found.chi_square, exact.chi_square, atol=1e-9)


@pytest.mark.parametrize("gaps", [True, False])
@pytest.mark.parametrize("times", [1, 2, 3, 8, 33])
def test_all_times_at_once_are_one_after_the_other(times, gaps):
    """Filter and smoother, with missing values and two leading axes, also in single precision."""
    y = series(2 * SEEDS, times, gaps and times > 3).unflatten(0, (2, SEEDS))
    mean = PRIOR.mean + torch.arange(SEEDS)[:, None]
    prior = Gaussian(mean, PRIOR.cov)
    one, all_ = (smooth(kind(**LINEAR), prior, y) for kind in (RTS, ParallelRTS))
    for a, b in zip(all_.analyses[:4], one.analyses[:4], strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-11)
    for name in ("mean", "std", "cov", "cross_cov"):
        assert torch.allclose(getattr(all_, name), getattr(one, name), rtol=0, atol=1e-11)
    single = smooth(ParallelRTS(**LINEAR), Gaussian(*(v.float() for v in prior)), y)
    assert single.mean.dtype == torch.float32
    assert torch.allclose(single.mean.double(), one.mean, rtol=0, atol=1e-5)


def test_operators_that_move_and_covariances_of_each_series_go_in_parallel_too():
    y = series(SEEDS, TIMES, True)
    cov = PRIOR.cov * (1 + torch.arange(SEEDS).double())[:, None, None]
    moving = MovingSubset(tuple((k % 3, (k + 1) % 3) for k in range(TIMES)))
    matrices = F * (1 - 0.1 * torch.arange(SEEDS).double())[:, None, None]
    settings = {**LINEAR, "observe": moving, "matrix": matrices}
    one, all_ = (
        smooth(kind(**settings), Gaussian(PRIOR.mean, cov), y) for kind in (RTS, ParallelRTS)
    )
    assert torch.allclose(all_.mean, one.mean, rtol=0, atol=1e-10)
    assert torch.allclose(all_.cov, one.cov, rtol=0, atol=1e-10)


def test_a_scan_is_the_row_of_partial_products():
    matrices = normal((2, 11, 3, 3), stream("scan")).movedim(1, 0)
    (found,) = scan(lambda a, b: (a[0] @ b[0],), (matrices,))
    expected = torch.eye(3).double().expand(2, 3, 3)
    for k, matrix in enumerate(matrices):
        expected = expected @ matrix
        assert torch.allclose(found[k], expected, atol=1e-12)


def test_an_operator_that_bends_is_refused_where_all_times_go_at_once():
    bent = {**LINEAR, "observe": lambda x: x[..., :2] ** 2}
    with pytest.raises(ValueError, match="is not linear.* take RTS"):
        smooth(ParallelRTS(**bent), PRIOR, series())


@pytest.mark.parametrize("lag", [None, 2])
@pytest.mark.parametrize("kind", [EnKS, StochasticEnKS, EnRTS, StochasticEnRTS])
def test_ensemble_smoothers_tend_to_the_exact_one(kind, lag):
    """Errors of mean and spread fall as N^-½: 16 times the members, a quarter of the error."""
    y = 0.5 * series(1, TIMES, False)
    y[0, 2, 1], y[0, 4] = torch.nan, torch.nan
    exact, repeats, errors = smooth(RTS(**LINEAR, lag=lag), PRIOR, y), 8, []
    for members in (50, 800):
        generator = streams("enks", range(repeats), f"{members}")
        smoother = kind(**MODEL, members=members, lag=lag)
        found = smooth(smoother, PRIOR, y.expand(repeats, *y.shape[1:]), generator)
        start = (found.initial.mean - exact.initial.mean) / exact.initial.std
        mean, std = (found.mean - exact.mean) / exact.std, found.std / exact.std - 1
        errors.append([v.square().mean().sqrt().item() for v in (start, mean, std)])
    for few, many in zip(*errors, strict=True):
        assert many < 0.1 and 2.5 < few / many < 6.5


@pytest.mark.parametrize("kind", [EnKS, EnRTS])
def test_ensemble_smoothers_of_a_perfect_linear_model_are_one(kind):
    """With N > d and no noise, sample regressions are exact: RTS on the sample moments."""
    y = series(2, TIMES, False)
    perfect = {**MODEL, "model_error_std": 0.0, "members": 12}
    smoother = kind(**perfect)
    members = smoother_members(PRIOR, 12)
    found = smooth(smoother, members, y, stream("perfect"))
    linear = {**LINEAR, "noise_cov": torch.zeros(STATE, STATE).double()}
    exact = smooth(RTS(**linear), Gaussian(members.mean, members.cov), y)
    assert torch.allclose(found.mean, exact.mean, atol=1e-9)
    assert torch.allclose(found.std, exact.std, atol=1e-9)


def smoother_members(prior, members):
    L = torch.linalg.cholesky(prior.cov)
    return Ensemble(prior.mean + normal((2, members, STATE), stream("members")) @ L.T)


def test_a_component_that_is_foretold_exactly_is_no_hindrance():
    """x' = (0.9 a, 0): the second forgets; its forecast variance is 0, and nothing is learned."""
    matrix = torch.tensor([[0.9, 0.0], [0.0, 0.0]]).double()
    settings = {"observe": Subset((0,)), "obs_std": 0.5, "matrix": matrix}
    filter = RTS(**settings, noise_cov=torch.zeros(2, 2).double())
    y = torch.tensor([[0.5], [0.2], [0.1]]).double()
    prior = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    found = smooth(filter, prior, y)
    alone = RTS(
        observe=Subset((0,)),
        obs_std=0.5,
        matrix=matrix[:1, :1],
        noise_cov=torch.zeros(1, 1).double(),
    )
    expected = smooth(alone, Gaussian(*(v[..., :1] for v in (prior.mean, prior.cov[:1]))), y)
    assert torch.allclose(found.mean[:, :1], expected.mean, atol=1e-12)
    assert torch.allclose(
        found.initial.cov.diagonal(),
        torch.tensor([0, 1.0]).double()
        + torch.cat([expected.initial.cov.diagonal(), torch.zeros(1).double()]),
    )


@pytest.mark.parametrize("kind", [ExtendedRTS, UnscentedRTS, CubatureRTS])
def test_smoothing_lorenz_63_is_better_than_filtering(kind):
    system, rk4, seeds = Lorenz63(), RK4(0.01, 12), 8
    x = torch.tensor([1.5, -1.5, 25.0]).double() + normal((seeds, 3), stream("l63"))
    truth = []
    for _ in range(60):
        x = rk4.flow(system)(x)
        truth.append(x)
    truth = torch.stack(truth, 1)
    y = truth + normal(truth.shape, stream("l63", "y"))
    settings = {"observe": Subset((0, 1, 2)), "obs_std": 1.0, "model_error_std": 0.05}
    smoother = kind(step=rk4.flow(system), **settings)
    prior = Gaussian(torch.tensor([1.5, -1.5, 25.0]).double(), 2 * torch.eye(3).double())
    found = smooth(smoother, prior, y)
    errors = [
        (m - truth)[:, 10:-10].square().mean().sqrt() for m in (found.mean, found.analyses.mean)
    ]
    assert errors[0] < 0.75 * errors[1]


def test_a_series_that_diverges_leaves_the_others():
    y = series(3, TIMES, False)
    explode = torch.tensor([1.0, 1e9, 1.0]).double()[:, None]
    model = {**MODEL, "step": lambda x: explode * x}
    found = smooth(ExtendedRTS(**model), PRIOR, y)
    assert found.diverged_at.tolist() == [-1, 0, -1]
    assert found.mean[1].isnan().all() and found.mean[[0, 2]].isfinite().all()


def test_what_is_no_smoother_says_which_one_goes_with_it():
    with pytest.raises(TypeError, match="Kalman is no smoother.*RTS for Kalman"):
        smooth(Kalman(**LINEAR), PRIOR, series())
    with pytest.raises(TypeError, match="is the class RTS; give an object"):
        smooth(RTS, PRIOR, series())
    with pytest.raises(ValueError, match="needs a lag"):
        assimilate(EnKS(**MODEL, members=5), PRIOR, series(), stream("a"))
    with pytest.raises(ValueError, match="correlation=1.5; give a factor from 0 to 1"):
        EnRTS(**MODEL, members=5, correlation=1.5)


def test_a_smoother_is_a_filter_too():
    y = series()
    for smoother, filter in (
        (RTS(**LINEAR), Kalman(**LINEAR)),
        (ExtendedRTS(**MODEL), EKF(**MODEL)),
    ):
        a, b = (assimilate(one, PRIOR, y, None) for one in (smoother, filter))
        assert torch.equal(a.mean, b.mean) and torch.equal(a.std, b.std)


FULL = torch.tensor([[0.3, 0.1], [0.1, 0.2]]).double()
ALL = [
    *SAME,
    *(kind(**MODEL, members=6) for kind in (EnKS, StochasticEnKS, EnRTS, StochasticEnRTS)),
]


@pytest.mark.parametrize("smoother", ALL, **ids)
def test_errors_of_observations_may_be_correlated_and_vary(smoother):
    """R = L Lᵀ (obs, obs), (time, obs, obs): as whitened observations L⁻¹ y of L⁻¹ H."""
    y = series()
    y[0, 2, 1] = 0.3  # a value missing alone changes what the other says
    y[torch.isnan(y).any(-1)] = torch.nan
    L = torch.linalg.cholesky(FULL)
    white = Linear(torch.linalg.solve(L, H.matrix))
    expected = dataclasses.replace(smoother, observe=white, obs_std=1.0)
    expected = smooth(expected, PRIOR, (torch.linalg.inv(L) @ y[..., None])[..., 0], draw())
    for R in (FULL, FULL.expand(TIMES, 2, 2).clone()):
        full = dataclasses.replace(smoother, obs_std=None, obs_cov=R)
        found = smooth(full, PRIOR, y, draw())
        assert torch.allclose(found.mean, expected.mean, atol=1e-9)
        assert torch.allclose(found.std, expected.std, atol=1e-9)


def draw():
    return streams("smooth", range(SEEDS), "filter")


@pytest.mark.parametrize("smoother", SAME, **ids)
def test_with_a_full_r_a_value_may_be_missing_alone(smoother):
    y = series()
    found, exact = (
        smooth(dataclasses.replace(one, obs_std=None, obs_cov=FULL), PRIOR, y)
        for one in (smoother, SAME[0])
    )
    assert torch.allclose(found.mean, exact.mean, atol=1e-9)
    assert torch.allclose(found.cov, exact.cov, atol=1e-9)
    chi_squares = found.analyses.chi_square, exact.analyses.chi_square
    assert torch.allclose(*chi_squares, atol=1e-9)


@pytest.mark.parametrize("smoother", ALL, **ids)
def test_analyses_tell_likelihoods_and_innovations_where_asked_for(smoother):
    y = series()
    found = smooth(smoother, PRIOR, y, draw(), diagnostics=True).analyses
    for name in ("log_likelihood", "innovation", "innovation_std", "residual", "belief"):
        assert getattr(found, name) is not None
    if any(smoother is one for one in SAME):
        exact = assimilate(Kalman(**LINEAR), PRIOR, y, None, diagnostics=True)
        for name in ("log_likelihood", "innovation", "innovation_std", "residual"):
            a, b = (getattr(one, name).nan_to_num() for one in (found, exact))
            assert torch.allclose(a, b, atol=1e-9), name
        for a, b in zip(found.belief, exact.belief, strict=True):
            assert torch.allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("smoother", ALL, **ids)
def test_irregular_times_are_regular_ones_with_gaps(smoother):
    """Times 1, 2, 4, 7 and 7 again: as times 1 ... 7 with NaN, and two observations at the last."""
    regular = series(SEEDS, 7, False)
    regular[:, [2, 4, 5]] = torch.nan
    y = regular[:, [0, 1, 3, 6]]
    if isinstance(smoother, ParallelRTS):
        given = Observations([1.0, 2.0, 4.0, 7.0], y, interval=1.0, start=0.0)
        with pytest.raises(ValueError, match="not one step apart.* take RTS"):
            dalib.smooth(smoother, PRIOR, given)
        return
    given = Observations([1.0, 2.0, 4.0, 7.0], y, interval=1.0, start=0.0)
    found = dalib.smooth(smoother, PRIOR, given, draw())
    exact = smooth(smoother, PRIOR, regular, draw())
    if isinstance(found.initial, Gaussian):
        kept = [0, 1, 3, 6]
        assert torch.allclose(found.mean, exact.mean[:, kept], atol=1e-9)
        assert torch.allclose(found.cov, exact.cov[:, kept], atol=1e-9)
    if "Stochastic" not in type(smoother).__name__:  # which draw errors for missing values too
        analyses = found.analyses.mean, exact.analyses.mean[:, [0, 1, 3, 6]]
        assert torch.allclose(*analyses, atol=1e-9)
    assert found.mean.isfinite().all()
    again = Observations([1.0, 2.0, 2.0, 2.0], y, interval=1.0, start=0.0)
    assert dalib.smooth(smoother, PRIOR, again, draw()).mean.isfinite().all()


def test_two_observations_at_one_time_smooth_to_one_state():
    y = series(SEEDS, 4, False)
    given = Observations([1.0, 2.0, 2.0, 3.0], y, start=0.0, interval=1.0)
    found = dalib.smooth(RTS(**LINEAR), PRIOR, given)
    assert torch.allclose(found.mean[:, 1], found.mean[:, 2], atol=1e-12)
    assert torch.allclose(found.cov[:, 1], found.cov[:, 2], atol=1e-12)


def test_a_step_that_knows_the_time_is_smoothed_along_it():
    """x' = (1 + 0.1 t) F x: as a Kalman filter with a matrix for each time."""

    def step(x, time):
        return (1 + 0.1 * time) * (x @ F.T)

    y = series(SEEDS, TIMES, False)
    found = smooth(UnscentedRTS(**{**MODEL, "step": step}), PRIOR, y)
    extended = smooth(ExtendedRTS(**{**MODEL, "step": step}), PRIOR, y)
    beliefs, kernels, belief = [], [], PRIOR
    for k in range(TIMES):
        matrix = (1 + 0.1 * k) * F
        filter = dataclasses.replace(Kalman(**LINEAR), matrix=matrix)
        kernels.append(kernel(belief, filter.transition(belief)))
        belief = filter.analyse(filter.forecast(belief), y[0, k])
        beliefs.append(belief)
    for k in reversed(range(TIMES - 1)):
        beliefs[k] = Gaussian(*back(kernels[k + 1], beliefs[k + 1]))
    expected = torch.stack([one.mean for one in beliefs])
    assert torch.allclose(found.mean[0], expected, atol=1e-9)
    assert torch.allclose(extended.mean[0], expected, atol=1e-9)


def test_what_comes_in_labelled_goes_out_labelled():
    times = np.array(["2026-01-01", "2026-01-02", "2026-01-04"], dtype="datetime64[D]")
    y = xr.DataArray(
        np.ones((3, 2)), {"time": times, "obs": ["a", "b"]}, ("time", "obs"), attrs={"units": "K"}
    )
    given = Observations.of(y, start=np.datetime64("2025-12-31"), interval=np.timedelta64(1, "D"))
    found = dalib.smooth(RTS(**LINEAR), PRIOR, given, state=["u", "v", "w"], units="K")
    assert found.mean.dims == found.std.dims == ("time", "state")
    assert found.analyses.mean.dims == ("time", "state")
    assert found.mean.attrs["units"] == "K"
    assert (found.mean.time.values == given.times).all()
    assert isinstance(found.cov, torch.Tensor)
    plain = dalib.smooth(RTS(**LINEAR), Gaussian(*(v.numpy() for v in PRIOR)), np.ones((3, 2)))
    assert isinstance(plain.mean, torch.Tensor)


def test_backward_simulation_has_the_moments_of_the_exact_smoother():
    """Means, spreads and covariances of neighbouring states, within errors of the repeats."""
    y, repeats = 0.5 * series(1, TIMES, False), 12
    y[0, 2, 1], y[0, 4] = torch.nan, torch.nan
    exact = smooth(RTS(**LINEAR), PRIOR, y)
    smoother = BackwardSimulation(**MODEL, members=1000, trajectories=400)
    generator = streams("ffbsi", range(repeats), "filter")
    every = torch.arange(STATE)
    found = smooth(smoother, PRIOR, y.expand(repeats, *y.shape[1:]), generator, kept=every)
    X = torch.cat([found.initial.members[:, None], found.members], 1)
    X = X - X.mean(-2, keepdim=True)
    cross = X[:, 1:].mT @ X[:, :-1] / 399
    for estimates, right in (
        (found.mean, exact.mean),
        (found.initial.mean, exact.initial.mean),
        (found.std, exact.std),
        (cross, exact.cross_cov),
    ):
        error = estimates.std(0) / repeats**0.5
        z = (estimates.mean(0) - right[0]) / error
        assert z.square().mean().sqrt() < 1.8 and z.abs().max() < 6


def test_trajectories_do_not_share_their_past():
    """Of 40 times all paths of a filter go through one state at time 0, without any spread."""
    y = 0.5 * series(1, 40, False)
    exact = smooth(RTS(**LINEAR), PRIOR, y)
    found = smooth(BackwardSimulation(**MODEL, members=300), PRIOR, y, streams("past", [0], "f"))
    ratio = found.initial.std / exact.initial.std
    assert (ratio > 0.5).all() and (ratio < 1.5).all()


def test_without_model_errors_there_is_no_density_to_simulate_by():
    settings = {**MODEL, "model_error_std": torch.tensor([0.3, 0.0, 0.3]).double()}
    with pytest.raises(ValueError, match="needs errors of the model in all components"):
        smooth(BackwardSimulation(**settings), PRIOR, series(), draw())
    with pytest.raises(ValueError, match="trajectories=0; give a number above 0"):
        BackwardSimulation(**MODEL, trajectories=0)
    far = Observations([1.0, 3.0], series(1, 2, False), start=0.0, interval=1.0)
    with pytest.raises(ValueError, match="2 steps lead to the observation 1"):
        dalib.smooth(BackwardSimulation(**MODEL), PRIOR, far, streams("far", [0], "f"))


@pytest.mark.parametrize("smoother", SAME, **ids)
def test_torch_func_has_the_slope_and_the_curve_of_what_is_smoothed(smoother):
    y, one = series(2, 4, False), torch.ones((), dtype=torch.float64)

    def total(error):
        given = dataclasses.replace(smoother, obs_std=OBS_STD * error)
        return smooth(given, PRIOR, y).mean.square().sum()

    slope, curve = torch.func.grad(total)(one), torch.func.hessian(total)(one)
    h = 1e-5
    difference = (total(one + h) - total(one - h)) / (2 * h)
    up, down = (torch.func.grad(total)(one + s * h) for s in (1, -1))
    assert slope.item() == pytest.approx(difference.item(), rel=1e-6)
    assert curve.item() == pytest.approx(((up - down) / (2 * h)).item(), rel=1e-5)
