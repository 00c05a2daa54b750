"""Iterative filters: the ETKF for linear models, smoothers of a window, convergence."""

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, assimilate
from dalib.filters.etkf import ETKF
from dalib.filters.finite_size import EnKFN
from dalib.filters.inflation import AdaptiveInflation
from dalib.filters.iterative import IEnKS
from dalib.filters.var4d import Var4D
from dalib.integrate import RK4
from dalib.observe import Subset
from dalib.smoothers import smooth
from dalib.smoothers.envar4d import EnVar4D
from dalib.smoothers.var4d import StrongVar4D
from dalib.streams import normal, stream, streams
from dalib.systems.lorenz import Lorenz63

STATE, N, SEEDS, TIMES = 5, 8, 3, 6
F = 0.9 * torch.eye(STATE).double().roll(1, 0) + 0.1 * normal((STATE, STATE), stream("F"))
SETTINGS = {"step": lambda x: x @ F.T, "observe": Subset((0, 2, 3)), "obs_std": 0.5, "members": N}


def given():
    E = normal((SEEDS, N, STATE), stream("iterative", "E"))
    y = normal((SEEDS, TIMES, 3), stream("iterative", "y"))
    y[0, 2, 1], y[1, 3] = torch.nan, torch.nan
    return Ensemble(E), y


@pytest.mark.parametrize("lag", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"mda": True, "iterations": 4}])
def test_with_a_linear_model_it_is_the_etkf(lag, settings):
    """Of any lag, for the transform at the start acts on members as that at the end."""
    prior, y = given()
    found = assimilate(IEnKS(**SETTINGS, lag=lag, **settings), prior, y, None)
    expected = assimilate(ETKF(**SETTINGS), prior, y, None)
    assert torch.allclose(found.mean, expected.mean, rtol=0, atol=1e-9)
    assert torch.allclose(found.std, expected.std, rtol=0, atol=1e-9)


def test_with_a_linear_model_and_the_hyperprior_it_is_the_enkf_n():
    prior, y = given()
    iterative = IEnKS(**SETTINGS, certainty=1.0, iterations=100, tolerance=1e-12)
    found = assimilate(iterative, prior, y, None)
    expected = assimilate(EnKFN(**SETTINGS), prior, y, None)
    assert torch.allclose(found.mean, expected.mean, rtol=0, atol=1e-7)


def test_the_mean_minimises_the_cost_of_a_nonlinear_model():
    """The slope of ½ (N-1) |w|² + ½ |(y - h(M(mean + w X))) / σ|² with M of the members."""
    step = RK4(0.01, 25).flow(Lorenz63())
    filter = IEnKS(step=step, observe=lambda x: x, obs_std=1.0, members=10, tolerance=1e-12)
    point = torch.tensor([1.5, -1.5, 25.0]).double()
    prior = Ensemble(point + 0.1 * normal((10, 3), stream("cloud")))
    forecast = filter.forecast(filter.start(prior, None), None)
    y = forecast.mean + torch.tensor([0.5, 0.5, -0.5]).double()
    start = filter.analyse(forecast, y, None).start
    mean, X = prior.mean, prior.members - prior.mean
    Xa = start - start.mean(-2)
    S = step(start) - step(start).mean(-2)
    d = y - step(start).mean(-2)
    w = torch.linalg.lstsq(X.T, start.mean(-2) - mean).solution
    T = torch.linalg.lstsq(X.T, Xa.T).solution.T
    Y = torch.linalg.pinv(T) @ S
    assert ((Y @ d - 9 * w) @ X).abs().max() < 1e-6


def test_a_window_of_several_intervals_smooths_its_start():
    """Lag 3 and Lorenz-63: the start of the window is nearer to the truth than the filter was."""
    step, seeds = RK4(0.01, 12).flow(Lorenz63()), range(8)
    truth = [torch.tensor([1.5, -1.5, 25.0]).double() + normal((8, 3), streams("t", seeds, "x"))]
    for _ in range(40):
        truth.append(step(truth[-1]))
    truth = torch.stack(truth[1:], 1)
    y = truth + normal(truth.shape, streams("t", seeds, "y"))
    settings = {"step": step, "observe": lambda x: x, "obs_std": 1.0, "members": 10}
    filter = IEnKS(**settings, lag=3, inflation=1.02, rotate=True)
    generator = streams("t", seeds, "filter")
    belief = filter.start(Gaussian(truth[:, 0], torch.eye(3).double()), generator)
    late, now = [], []
    for k in range(40):
        forecast = filter.forecast(belief, generator)
        belief = filter.analyse(forecast, y[:, k], generator)
        now.append((belief.mean - truth[:, k]).square().mean(-1).sqrt())
        if k >= 3:
            late.append((belief.start.mean(-2) - truth[:, k - 3]).square().mean(-1).sqrt())
    assert torch.stack(late[10:]).median() < 0.8 * torch.stack(now[10:]).median()


def test_what_it_does_not_take_is_refused():
    with pytest.raises(ValueError, match="has no noise"):
        IEnKS(**SETTINGS, model_error_std=0.1)
    with pytest.raises(ValueError, match="whole numbers from 1 on"):
        IEnKS(**SETTINGS, lag=0)
    with pytest.raises(TypeError, match="takes no AdaptiveInflation"):
        IEnKS(**SETTINGS, inflation=AdaptiveInflation())


@pytest.mark.parametrize("method", [IEnKS, Var4D, StrongVar4D, EnVar4D])
def test_a_step_that_changes_with_time_is_refused_by_methods_of_a_window(method):
    prior, y = given()
    names = method.__dataclass_fields__
    settings = {name: value for name, value in SETTINGS.items() if name in names}
    settings["step"] = lambda x, time: x
    if method is Var4D:
        settings["background"] = Gaussian(prior.mean[0], torch.eye(STATE).double())
    run = smooth if hasattr(method, "smooth") else assimilate
    with pytest.raises(ValueError, match=r"it asks for step\(time\): give a step of the state"):
        run(method(**settings), prior, y, streams("i", range(SEEDS), "n"))
