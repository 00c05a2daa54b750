"""4D-Var in cycles against the Kalman filter, and what its derivatives are."""

import pytest
import torch

from dalib.filters import Gaussian, assimilate, kalman
from dalib.filters.var4d import Var4D
from dalib.filters.variational import Var3D
from dalib.integrate import RK4
from dalib.observe import Subset
from dalib.streams import normal, stream
from dalib.systems.lorenz import Lorenz96

STATE, SEEDS = 5, 3
F = 0.9 * torch.eye(STATE).double().roll(1, 0) + 0.1 * normal((STATE, STATE), stream("F"))
ROOT = normal((STATE, STATE), stream("B")) + 2 * torch.eye(STATE).double()
B, H = ROOT @ ROOT.T, torch.eye(STATE).double()[[0, 2, 3]]
BACKGROUND = Gaussian(torch.zeros(STATE).double(), B)
SETTINGS = {
    "step": lambda x: x @ F.T,
    "observe": Subset((0, 2, 3)),
    "obs_std": 0.5,
    "background": BACKGROUND,
}


def given(times=1):
    y = normal((SEEDS, times, 3), stream("var4d", "y"))
    y[0, 0, 1] = torch.nan
    if times > 1:
        y[2, 0] = torch.nan
    return Gaussian(normal((SEEDS, STATE), stream("var4d", "m")), B.expand(SEEDS, -1, -1)), y


def test_one_interval_of_a_linear_model_is_the_kalman_filter():
    prior, y = given()
    found = assimilate(Var4D(**SETTINGS), prior, y, None)
    zero, R = torch.zeros_like(B), 0.25 * torch.eye(3).double()
    expected = kalman.analyse(kalman.forecast(prior, F, zero), H, R, y[:, 0])
    assert torch.allclose(found.mean[:, 0], expected.mean, rtol=0, atol=1e-10)
    assert torch.allclose(found.std[:, 0], expected.std, rtol=0, atol=1e-10)


def test_of_several_intervals_the_first_observation_finds_the_start_as_a_kalman_filter():
    """While the window grows its start stays, at which B is always the same."""
    prior, y = given(times=3)
    filter = Var4D(**SETTINGS, lag=3)
    belief, m, R = filter.start(prior), prior.mean, 0.25 * torch.eye(3).double()
    for k in range(3):
        belief = filter.analyse(filter.forecast(belief), y[:, k])
        Fk = torch.linalg.matrix_power(F, k + 1)
        start = kalman.analyse(Gaussian(m, B.expand(SEEDS, -1, -1)), H @ Fk, R, y[:, k])
        m = start.mean
        assert torch.allclose(belief.start, m, rtol=0, atol=1e-9)
        assert torch.allclose(belief.mean, m @ Fk.T, rtol=0, atol=1e-9)


def test_the_tangent_of_torch_and_a_given_one_are_the_same():
    system, rk4 = Lorenz96(8), RK4(0.05)
    given = SETTINGS | {
        "step": rk4.flow(system),
        "background": Gaussian(torch.zeros(8).double(), torch.eye(8).double()),
    }
    y = normal((2, 4, 3), stream("y"))
    prior = Gaussian(2 + normal((2, 8), stream("m")), torch.eye(8).double())
    a = assimilate(Var4D(**given, lag=2), prior, y, None)
    b = assimilate(Var4D(**given, lag=2, tangent=rk4.tangent(system)), prior, y, None)
    assert torch.allclose(a.mean, b.mean, rtol=0, atol=1e-9)


def test_without_dynamics_it_is_3dvar():
    prior, y = given(times=4)
    still = SETTINGS | {"step": lambda x: x}
    found = assimilate(Var4D(**still), prior, y, None)
    expected = assimilate(Var3D(**still), prior, y, None)
    assert torch.allclose(found.mean, expected.mean, rtol=0, atol=1e-10)


def test_a_window_without_intervals_is_refused():
    with pytest.raises(ValueError, match="whole numbers from 1 on"):
        Var4D(**SETTINGS, lag=0)
