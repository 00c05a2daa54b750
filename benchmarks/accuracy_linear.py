"""Linear-Gaussian figures: Riccati solutions, and methods that must agree exactly."""

import math
from collections.abc import Iterator
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.rows import Row
from dalib.filters import Ensemble, Gaussian, assimilate, cycle, kalman
from dalib.filters.ekf import EKF, IteratedEKF
from dalib.filters.enkf import EnKF
from dalib.filters.etkf import etkf_analysis
from dalib.filters.hybrid import Ens3DVar
from dalib.filters.kalman import Kalman
from dalib.filters.letkf import letkf_analysis
from dalib.filters.particle import BootstrapParticle
from dalib.filters.square_root import SquareRootKalman
from dalib.filters.ukf import UKF, CubatureKalman
from dalib.filters.variational import Var3D
from dalib.integrate import trajectory
from dalib.observe import Linear, Subset, noisy
from dalib.smoothers import smooth
from dalib.smoothers.parallel import ParallelRTS
from dalib.smoothers.rts import RTS, CubatureRTS, ExtendedRTS, UnscentedRTS
from dalib.streams import normal, stream, streams
from dalib.systems.linear import ConstantVelocity, ShiftedRing

SECTION = "2"
TRACK, POSITION = ConstantVelocity(dt=1.0, noise=0.1), Linear(((1.0, 0.0),))
RING, EVERY_FOURTH = ShiftedRing(20, 0.98, 0.1), Subset(tuple(range(0, 20, 4)))
TRACK_FILTER = Kalman(matrix=TRACK.matrix, noise_cov=TRACK.noise_cov, observe=POSITION, obs_std=1.0)
RING_FILTER = Kalman(
    matrix=RING.matrix, noise_cov=RING.noise_cov, observe=EVERY_FOURTH, obs_std=0.1
)
SEEDS = 16


def standard(size: int, *leading: int) -> Gaussian:
    """N(0, I)."""
    mean = torch.zeros(*leading, size, dtype=torch.float64)
    return Gaussian(mean, torch.eye(size, dtype=torch.float64).expand(*leading, size, size))


@cache
def ring_twin(times: int) -> tuple[Tensor, Tensor]:
    """Truth (seed, time, state) of the ring from N(0, I), and what is observed of it."""
    x0 = normal((SEEDS, 20), streams("accuracy/ring", range(SEEDS), "start"))
    noise = streams("accuracy/ring", range(SEEDS), "noise")
    truth = trajectory(RING.step, x0, times, RING.noise_std, noise)[:, 1:]
    errors = streams("accuracy/ring", range(SEEDS), "observations")
    return truth, noisy(EVERY_FOURTH, truth, 0.1, errors)


@cache
def steady_track() -> tuple[Tensor, Tensor]:
    """Forecast covariance and gain of the constant velocity model after 200 steps."""
    *_, (forecast, _) = cycle(TRACK_FILTER, standard(2), torch.zeros(200, 1).double(), None)
    return forecast.cov, kalman.gain(forecast.cov, POSITION.matrix, torch.eye(1).double())


@cache
def steady_ring() -> tuple[Tensor, Tensor]:
    """Forecast and analysis standard deviations of the ring, root mean square, after 400 steps."""
    *_, beliefs = cycle(RING_FILTER, standard(20), torch.zeros(400, 5).double(), None)
    forecast, analysis = (belief.std.square().mean().sqrt() for belief in beliefs)
    return forecast, analysis


def ring_error() -> Tensor:
    """(seed,), root mean square error of 10^4 cycles."""
    truth, y = ring_twin(10_100)
    analyses = assimilate(RING_FILTER, standard(20), y, None)
    return (analyses.mean - truth)[:, 100:].square().mean((1, 2)).sqrt()


def nonlinear(cls: type):
    """A filter or smoother of nonlinear models, for the ring."""
    given = {"observe": EVERY_FOURTH, "obs_std": 0.1, "model_error_std": 0.1}
    if issubclass(cls, EKF):
        return cls(tangent=lambda x: (RING.step(x), RING.jacobian(x)), **given)
    return cls(step=RING.step, **given)


def linear(cls: type):
    """A filter or smoother of linear models, for the ring."""
    given = {"observe": EVERY_FOURTH, "obs_std": 0.1}
    return cls(matrix=RING.matrix, noise_cov=RING.noise_cov, **given)


def like_kalman(filter) -> Tensor:
    """(seed,), largest difference of a filter from the Kalman filter on the ring."""
    y = ring_twin(100)[1]
    return _difference(*(assimilate(f, standard(20), y, None) for f in (filter, RING_FILTER)))


def like_rts(smoother) -> Tensor:
    """(seed,), largest difference of a smoother from RTS on the ring."""
    y = ring_twin(100)[1]
    return _difference(*(smooth(s, standard(20), y) for s in (smoother, linear(RTS))))


def _difference(found, exact) -> Tensor:
    return torch.maximum(
        (found.mean - exact.mean).abs().amax((1, 2)), (found.std - exact.std).abs().amax((1, 2))
    )


def conditioning() -> Tensor:
    """(seed,), RTS against the dense normal distribution of all states given all observations."""
    T, F, H = 12, TRACK.matrix, POSITION.matrix
    y = normal((SEEDS, T, 1), stream("accuracy/smoothing", "y"))
    settings = {"observe": POSITION, "obs_std": 1.0}
    found = smooth(RTS(matrix=F, noise_cov=TRACK.noise_cov, **settings), standard(2), y)
    # cov(x_t, x_s) = F^{t-s} P_s for t >= s, P_s the variance of x_s
    cov, P = torch.zeros(T, 2, T, 2).double(), torch.eye(2).double()
    for s in range(T):
        P = F @ P @ F.T + TRACK.noise_cov
        for t in range(s, T):
            cov[t, :, s] = torch.linalg.matrix_power(F, t - s) @ P
            cov[s, :, t] = cov[t, :, s].T
    cov, A = cov.reshape(2 * T, 2 * T), torch.block_diag(*[H] * T)
    K = cov @ A.T @ torch.linalg.inv(A @ cov @ A.T + torch.eye(T).double())
    mean = (y[..., 0] @ K.T).unflatten(-1, (T, 2))
    variance = (cov - K @ A @ cov).diagonal().unflatten(-1, (T, 2))
    return torch.maximum(
        (found.mean - mean).abs().amax((1, 2)), (found.std**2 - variance).abs().amax((1, 2))
    )


def sample() -> tuple[Tensor, Tensor, Tensor]:
    """An ensemble (seed, 30, 20), y (seed, 5) of every fourth site, standard deviations (5,)."""
    E = trajectory(RING.step, normal((SEEDS, 30, 20), stream("accuracy/sample", "E")), 3)[
        ..., -1, :
    ]
    return E, normal((SEEDS, 5), stream("accuracy/sample", "y")), torch.full((5,), 0.3).double()


def etkf_is_kalman() -> Tensor:
    """(seed,), ETKF analysis moments against the Kalman update of the sample moments."""
    E, y, std = sample()
    H = EVERY_FOURTH.tangent(E[0, 0])
    exact = kalman.analyse(Gaussian(Ensemble(E).mean, Ensemble(E).cov), H, std.square().diag(), y)
    found = Ensemble(etkf_analysis(E, EVERY_FOURTH(E), y, std))
    return torch.maximum(
        (found.mean - exact.mean).abs().amax(-1), (found.cov - exact.cov).abs().amax((-1, -2))
    )


def letkf_is_etkf() -> Tensor:
    """(seed,), local analyses with taper 1 against the global one."""
    E, y, std = sample()
    predicted = EVERY_FOURTH(E)
    local = letkf_analysis(E, predicted, y, std, torch.ones(20, 5).double())
    return (local - etkf_analysis(E, predicted, y, std)).abs().amax((-1, -2))


def enkf_slope(moment: str) -> Tensor:
    """(seed,), slope of the log error of a moment over log N, N = 100 ... 10000.

    One analysis of the track; an error is the root mean square over 40 repeats.
    """
    repeats, sizes = 40, (100, 1000, 10_000)
    y = torch.ones(SEEDS, repeats, 1).double()
    exact = kalman.analyse(standard(2), POSITION.matrix, torch.eye(1).double(), y[0, 0])
    errors = []
    for N in sizes:
        generator = streams("accuracy/enkf", range(SEEDS), f"members {N}")
        filter = EnKF(step=TRACK.step, observe=POSITION, obs_std=1.0, members=N)
        belief = filter.analyse(filter.start(standard(2, SEEDS, repeats), generator), y, generator)
        error = (getattr(belief, moment) - getattr(exact, moment)).flatten(1)
        errors.append(error.square().mean(-1).sqrt().log())
    return (errors[-1] - errors[0]) / math.log(sizes[-1] / sizes[0])


def log_likelihood() -> Tensor:
    """(seed,), sum over innovations against the dense log-density of the stacked observations."""
    T, F, H = 12, TRACK.matrix, POSITION.matrix
    y = normal((SEEDS, T, 1), stream("accuracy/likelihood", "y"))
    found = sum(
        TRACK_FILTER.log_likelihood(forecast, y[:, k])
        for k, (forecast, _) in enumerate(cycle(TRACK_FILTER, standard(2), y, None))
    )
    # cov(x_t, x_s) = F^{t-s} P_s for t >= s, P_s the variance of x_s
    cov, P = torch.zeros(T, T).double(), torch.eye(2).double()
    for s in range(T):
        P = F @ P @ F.T + TRACK.noise_cov
        for t in range(s, T):
            cov[t, s] = cov[s, t] = (H @ torch.linalg.matrix_power(F, t - s) @ P @ H.T).item()
    dense = torch.distributions.MultivariateNormal(
        torch.zeros(T).double(), cov + torch.eye(T).double()
    )
    return (found - dense.log_prob(y[..., 0])).abs()


def innovations() -> Tensor:
    """(1,), mean normalised innovation squared over p, less 1, in standard errors."""
    y = ring_twin(400)[1]
    squares = []
    for k, (forecast, _) in enumerate(cycle(RING_FILTER, standard(20), y, None)):
        H = EVERY_FOURTH.tangent(forecast.mean)
        d = (y[:, k] - EVERY_FOURTH(forecast.mean))[..., None]
        S = H @ forecast.cov @ H.mT + 0.01 * torch.eye(5)
        squares.append((d.mT @ torch.linalg.solve(S, d))[..., 0, 0] / 5)
    squares = torch.stack(squares)
    return (squares.mean() - 1) / math.sqrt(2 / (5 * squares.numel()))


def particle_likelihood() -> Tensor:
    """(1,), mean over 4000 runs of exp(log L - log L of the Kalman filter), less 1, in standard
    errors."""
    runs, T, noise_std = 4000, 5, 0.3
    y = normal((T, 1), stream("accuracy/particle", "y"))
    noise_cov = noise_std**2 * torch.eye(2).double()
    exact = Kalman(matrix=TRACK.matrix, noise_cov=noise_cov, observe=POSITION, obs_std=1.0)
    particle = BootstrapParticle(
        step=TRACK.step, observe=POSITION, obs_std=1.0, members=100, model_error_std=noise_std
    )

    def total(filter, y: Tensor) -> Tensor:
        beliefs = cycle(filter, standard(2), y, stream("accuracy/particle", "runs"))
        return sum(
            filter.log_likelihood(forecast, y[..., k, :]) for k, (forecast, _) in enumerate(beliefs)
        )

    ratio = (total(particle, y.expand(runs, T, 1)) - total(exact, y)).exp()
    return (ratio.mean() - 1) / (ratio.std() / math.sqrt(runs))


def variational(obs: int = 5) -> tuple[dict, Gaussian, Tensor]:
    """Settings of a variational filter of the ring, a belief and y (seed, obs)."""
    root = normal((20, 20), stream("accuracy/variational", "root"))
    cov = root @ root.T + 0.1 * torch.eye(20)
    mean = normal((SEEDS, 20), stream("accuracy/variational", "mean"))
    settings = {
        "step": RING.step,
        "observe": EVERY_FOURTH,
        "obs_std": 0.3,
        "background": Gaussian(torch.zeros(20).double(), cov),
    }
    y = normal((SEEDS, obs), stream("accuracy/variational", "y"))
    return settings, Gaussian(mean, cov.expand(SEEDS, 20, 20)), y


def minimiser() -> Tensor:
    """(seed,), 3DVar by minimisation against the gain form."""
    settings, belief, y = variational()
    by_descent = Var3D(**settings, outer=1).analyse(belief, y).mean
    return (by_descent - Var3D(**settings).analyse(belief, y).mean).abs().amax(-1)


def hybrid(weight: float) -> Tensor:
    """(seed,), the hybrid of weight 0 against 3DVar, of weight 1 against the EnKF."""
    settings, belief, y = variational()
    E = Ensemble(belief.mean[:, None] + normal((SEEDS, 30, 20), stream("accuracy/hybrid", "E")))
    found = Ens3DVar(**settings, members=30, weight=weight).analyse(E, y, stream("accuracy/hybrid"))
    if weight == 0:
        exact = Var3D(**settings).analyse(Gaussian(E.mean, belief.cov), y)
        return (found.mean - exact.mean).abs().amax(-1)
    del settings["background"]
    exact = EnKF(**settings, members=30).analyse(E, y, stream("accuracy/hybrid"))
    return (found.members - exact.members).abs().amax((-1, -2))


def rows() -> Iterator[Row]:
    """All linear-Gaussian figures."""

    def row(setting: str, quantity: str, expected: float, tolerance: float, measure) -> Row:
        return Row(SECTION, setting, quantity, expected, tolerance, measure)

    track, ring = "constant velocity", "ring, d = 20"
    cov = ((0, 0, 1.214975), (0, 1, 0.470635), (1, 1, 0.308156))
    for i, j, value in cov:
        quantity = f"Kalman: steady forecast covariance {i + 1}{j + 1}"
        yield row(track, quantity, value, 1e-5, lambda i=i, j=j: steady_track()[0][i, j])
    for i, value in enumerate((0.548528, 0.212479)):
        quantity = f"Kalman: steady gain {i + 1}"
        yield row(track, quantity, value, 1e-5, lambda i=i: steady_track()[1][i, 0])
    yield row(ring, "Kalman: steady forecast", 0.17726, 1e-5, lambda: steady_ring()[0])
    yield row(ring, "Kalman: steady analysis", 0.14935, 1e-5, lambda: steady_ring()[1])
    yield row(ring, "Kalman: error of 10000 cycles", 0.14935, 0.02 * 0.14935, ring_error)
    for cls in (EKF, IteratedEKF, UKF, CubatureKalman):
        yield row(ring, f"{cls.__name__} - Kalman", 0, 1e-10, partial(like_kalman, nonlinear(cls)))
    root = partial(like_kalman, linear(SquareRootKalman))
    yield row(ring, "SquareRootKalman - Kalman", 0, 1e-10, root)
    yield row(track, "RTS - dense conditioning", 0, 1e-9, conditioning)
    yield row(ring, "ParallelRTS - RTS", 0, 1e-9, partial(like_rts, linear(ParallelRTS)))
    for cls in (ExtendedRTS, UnscentedRTS, CubatureRTS):
        yield row(ring, f"{cls.__name__} - RTS", 0, 1e-9, partial(like_rts, nonlinear(cls)))
    yield row(ring, "ETKF - Kalman, sample moments", 0, 1e-10, etkf_is_kalman)
    yield row(ring, "LETKF, taper 1 - ETKF", 0, 1e-10, letkf_is_etkf)
    yield row(track, "EnKF: slope of the mean's error", -0.5, 0.1, lambda: enkf_slope("mean"))
    yield row(track, "EnKF: slope of the covariance's error", -0.5, 0.1, lambda: enkf_slope("cov"))
    yield row(track, "log-likelihood - dense", 0, 1e-8, log_likelihood)
    yield row(ring, "normalised innovations - 1, in standard errors", 0, 3, innovations)
    yield row(track, "particle: exp(log L - exact) - 1, same", 0, 3, particle_likelihood)
    yield row(ring, "3DVar: minimiser - gain form", 0, 1e-8, minimiser)
    yield row(ring, "hybrid, weight 0 - 3DVar", 0, 1e-10, lambda: hybrid(0.0))
    yield row(ring, "hybrid, weight 1 - EnKF", 0, 1e-10, lambda: hybrid(1.0))
