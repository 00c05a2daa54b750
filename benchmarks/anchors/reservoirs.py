"""Two published reservoir computers: NG-RC on Lorenz-63, and an ESN on Mackey-Glass."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch

from benchmarks.anchors.checks import Check, Measured
from dalib.forecasters.esn import Reservoir, spectral_radius
from dalib.forecasters.nvar import monomials
from dalib.forecasters.ridge import ridge
from dalib.streams import stream, uniform
from dalib.systems.lorenz import Lorenz63

NGRC = "Gauthier et al. 2021; repository quantinfo/ng-rc-paper-code"
START = (17.67715816276679, 12.931379185960404, 43.91404334248268)
INTERVAL, TRAINING, LYAPUNOV_TIME, TRIALS = 0.025, 400, 1.104, 10
PENALTY = 2.5e-6

RESERVOIRPY = "reservoirpy, tutorials"


def checks() -> Iterator[Check]:
    """Errors of both."""
    yield Check(
        "reservoir computers",
        "NG-RC, training NRMSE on Lorenz-63, mean of 10 trials",
        1.055e-4,
        NGRC,
        lambda: Measured(float(next_generation()[0].mean()), 2 * 2**0.5 * 0.022e-4),
    )
    yield Check(
        "reservoir computers",
        "NG-RC, NRMSE over one Lyapunov time, median of 10 trials",
        1.34e-3,
        NGRC,
        lambda: Measured(float(np.median(next_generation()[1])), 0.4e-3),
    )
    yield Check(
        "reservoir computers",
        "ESN of 100 units on Mackey-Glass, RMSE one step ahead, median of 10 draws",
        0.0020282,
        RESERVOIRPY,
        lambda: Measured(
            float(np.median(mackey_glass_errors())),
            0.0020282,  # the published value is one draw: the order of magnitude is checked
            (float(mackey_glass_errors().min()), float(mackey_glass_errors().max())),
            "published: one draw; the interval is the range of ten",
        ),
        cost=10,
    )


# -- NG-RC ---------------------------------------------------------------------------------------


@cache
def next_generation() -> tuple[np.ndarray, np.ndarray]:
    """(trial,), (trial,): NRMSE of one step on the training data, and of a free run ahead.

    Two delays, monomials up to degree 2, increments by ridge on raw states; errors in units of the
    standard deviation of all values of all three components together, as published.
    """
    found = [_trial(warmup) for warmup in np.arange(5.0, 5.0 + 10 * TRIALS, 10.0)]
    return np.array([a for a, _ in found]), np.array([b for _, b in found])


def _trial(warmup: float) -> tuple[float, float]:
    from scipy.integrate import solve_ivp

    ahead = round(LYAPUNOV_TIME / INTERVAL)
    first = round(warmup / INTERVAL)
    span = warmup + TRAINING * INTERVAL + LYAPUNOV_TIME
    times = np.linspace(0, span, round(span / INTERVAL) + 1)
    system = Lorenz63()

    def drift(_, x):
        return system.drift(torch.from_numpy(x)).numpy()

    x = torch.from_numpy(solve_ivp(drift, (0, span), START, t_eval=times, method="RK23").y.T.copy())
    std = float(x.numpy().std())
    v = torch.cat([x[1:], x[:-1]], -1)  # v[t] holds the states t + 1 and t
    g = monomials(v[first - 2 : first - 2 + TRAINING], 2)
    now, after = x[first - 1 : first - 1 + TRAINING], x[first : first + TRAINING]
    W = ridge([(g, after - now)], PENALTY)
    training = float((now + g @ W - after).square().mean().sqrt()) / std
    last = first + TRAINING - 1
    state, forecasts = v[last - 1], []
    for _ in range(ahead):
        forecasts.append(state[:3])
        state = torch.cat([state[:3] + monomials(state, 2) @ W, state[:3]])
    truth = x[last : last + ahead]
    return training, float((torch.stack(forecasts) - truth).square().mean().sqrt()) / std


# -- Mackey-Glass --------------------------------------------------------------------------------


@cache
def mackey_glass_errors(draws: int = 10) -> np.ndarray:
    """(draw,), RMSE of one-step forecasts on the second half of 2,000 samples."""
    series = torch.from_numpy(mackey_glass(2510)[510:])  # past the start
    x = 2 * (series - series.min()) / (series.max() - series.min()) - 1
    return np.array([_one_draw(x[:, None], k) for k in range(draws)])


def _one_draw(x: torch.Tensor, draw: int) -> float:
    units, warmup, half = 100, 100, 1000
    generator = stream("mackey-glass", draw)
    W = 2 * uniform((units, units), generator) - 1
    W = W * (uniform((units, units), generator) < 0.1)
    U = 2 * (uniform((1, units), generator) < 0.5).double() - 1
    reservoir = Reservoir(1.25 / spectral_radius(W) * W, U, torch.zeros(units).double(), 0.3)
    s, states = torch.zeros(units, dtype=x.dtype), []
    for value in x[:-1]:
        s = reservoir(s, value)
        states.append(s)
    G = torch.cat([torch.ones(len(x) - 1, 1, dtype=x.dtype), torch.stack(states)], 1)
    readout = ridge([(G[warmup:half], x[1:][warmup:half])], 1e-5)
    return float((G[half:] @ readout - x[1:][half:]).square().mean().sqrt())


def mackey_glass(samples: int, tau: float = 17.0, dt: float = 1.0, inner: int = 10) -> np.ndarray:
    """dx/dt = 0.2 x(t - τ) / (1 + x(t - τ)^10) - 0.1 x, Runge-Kutta on a fixed history of 1.2."""
    h = dt / inner
    delay = round(tau / h)
    x = np.full(delay + samples * inner + 1, 1.2)

    def rate(value: float, delayed: float) -> float:
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * value

    for t in range(delay, len(x) - 1):
        before, after = x[t - delay], x[t - delay + 1]
        middle = (before + after) / 2
        k1 = rate(x[t], before)
        k2 = rate(x[t] + h / 2 * k1, middle)
        k3 = rate(x[t] + h / 2 * k2, middle)
        k4 = rate(x[t] + h * k3, after)
        x[t + 1] = x[t] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x[delay + inner :: inner][:samples]
