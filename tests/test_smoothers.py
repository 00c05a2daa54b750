"""Smoothers against dense Gaussian conditioning, each other, and their filters."""

import pytest
import torch

from dalib.filters import Gaussian, assimilate
from dalib.filters.ekf import EKF
from dalib.filters.kalman import Kalman
from dalib.integrate import RK4
from dalib.observe import Linear, MovingSubset, Subset
from dalib.smoothers import smooth
from dalib.smoothers.enks import EnKS, StochasticEnKS
from dalib.smoothers.enrts import EnRTS, StochasticEnRTS
from dalib.smoothers.parallel import ParallelRTS
from dalib.smoothers.rts import RTS, CubatureRTS, ExtendedRTS, UnscentedRTS
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
    from dalib.filters import Ensemble

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
