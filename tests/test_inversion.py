"""ES-MDA and EKI against Gaussian conditioning, and programs of a user as forward models."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from dalib.filters import Ensemble, Gaussian, kalman
from dalib.inversion import EKI, ESMDA, RunError, black_box, invert
from dalib.inversion.correlation import CorrelationTaper
from dalib.streams import normal, stream, streams

PARAMETERS, OBS = 4, 6
G = normal((OBS, PARAMETERS), stream("inversion", "G"))
R = (lambda A: A @ A.T + 0.5 * torch.eye(OBS).double())(normal((OBS, OBS), stream("R")))
PRIOR = Gaussian(torch.zeros(PARAMETERS).double(), torch.eye(PARAMETERS).double())


def linear(x):
    return x @ G.T


def observed(series=2):
    x = normal((series, PARAMETERS), stream("inversion", "x"))
    return linear(x) + normal((series, OBS), stream("inversion", "y"))


@pytest.mark.parametrize("method", [ESMDA(steps=1), ESMDA(), ESMDA(steps=(7, 7, 1.4)), EKI()])
def test_with_a_square_root_the_steps_together_are_the_kalman_update(method):
    """Of the sample moments of the prior, whatever the number of steps, for a full R."""
    method = type(method)(**{**vars(method), "deterministic": True})
    E, y = Ensemble(normal((2, 9, PARAMETERS), stream("inversion", "E"))), observed()
    expected = kalman.analyse(Gaussian(E.mean, E.cov), G, R, y)
    found = invert(method, linear, E, y, R, stream("noise"))
    assert torch.allclose(found.mean, expected.mean, rtol=0, atol=1e-10)
    assert torch.allclose(found.cov, expected.cov, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", [ESMDA(), EKI()])
def test_many_members_are_the_conditional_gaussian(method):
    y = observed()
    prior = Gaussian(PRIOR.mean.expand(2, -1), PRIOR.cov.expand(2, -1, -1))
    expected = kalman.analyse(prior, G, R, y)
    found = invert(method, linear, prior, y, R, streams("i", range(2), "n"), members=40_000)
    assert torch.allclose(found.mean, expected.mean, rtol=0, atol=0.02)
    assert torch.allclose(found.cov, expected.cov, rtol=0, atol=0.02)


def test_missing_observations_are_left_out():
    y, E = observed(), Ensemble(normal((2, 9, PARAMETERS), stream("inversion", "E")))
    y[:, 2] = torch.nan
    keep = [0, 1, 3, 4, 5]
    method = ESMDA(deterministic=True)
    found = invert(method, linear, E, y, 0.5, None)
    alone = invert(method, lambda x: linear(x)[..., keep], E, y[:, keep], 0.5, None)
    assert torch.allclose(found.members, alone.members, rtol=0, atol=1e-12)


def test_inversion_goes_on_to_the_best_fit_beyond_the_posterior():
    y, E = observed(), Ensemble(normal((2, 30, PARAMETERS), stream("inversion", "E")))
    method = EKI(deterministic=True, beyond=1e6, most=200)
    found = invert(method, linear, E, y, 0.5, None)
    best = torch.linalg.lstsq(G, y.T).solution.T
    assert torch.allclose(found.mean, best, atol=1e-4)


def test_a_nonlinear_model_is_inverted():
    """exp(-k t) a at six times; both parameters are found within their standard deviations."""
    t = torch.linspace(0, 2, 6).double()

    def decay(x):
        return x[..., :1] * torch.exp(-x[..., 1:] * t)

    truth, prior = (
        torch.tensor([3.0, 1.2]).double(),
        Gaussian(torch.tensor([1.5, 0.5]).double(), torch.eye(2).double()),
    )
    for method in (ESMDA(steps=8), EKI()):
        found = invert(method, decay, prior, decay(truth), 0.05, stream("decay"), members=300)
        assert ((found.mean - truth).abs() < 3 * found.std + 0.05).all()
        assert (decay(found.mean) - decay(truth)).abs().max() < 0.1


def test_correlations_that_are_noise_get_no_weight():
    X, Y = normal((2, 200, 20), stream("X")), normal((2, 200, 30), stream("Y"))
    X, Y = X - X.mean(-2, keepdim=True), Y - Y.mean(-2, keepdim=True)
    Y[..., 0] = X[..., 3]
    ρ = CorrelationTaper()(X, Y)
    assert ρ[:, 3, 0].allclose(torch.ones(2).double())
    ρ[:, 3, 0] = 0
    assert ρ.max() < 0.3 and ρ.median() < 0.1
    assert CorrelationTaper(hard=True)(X, Y).double().mean() < 0.01


@pytest.mark.parametrize("hard", [False, True])
def test_localisation_by_correlation_keeps_the_spread_of_what_is_not_seen(hard):
    """One of 60 parameters is seen; of the others 30 members find noise only."""
    E = Ensemble(normal((30, 60), stream("inversion", "many")))
    y = torch.tensor([1.0]).double()
    plain, local = (
        invert(ESMDA(localisation=w), lambda x: x[..., :1], E, y, 0.1, stream("n"))
        for w in (None, CorrelationTaper(hard=hard))
    )
    assert abs(local.mean[0] - 1) < 0.1
    moved = [(a.mean - E.mean)[1:].abs().mean() for a in (plain, local)]
    assert moved[1] < 0.2 * moved[0]
    everywhere = invert(
        ESMDA(localisation=torch.ones(60, 1).double()), lambda x: x[..., :1], E, y, 0.1, stream("n")
    )
    assert torch.allclose(everywhere.members, plain.members, atol=1e-9)


def test_an_executable_is_run_side_by_side_and_what_fails_is_left_out(caplog):
    code = "import sys; a, b = map(float, sys.argv[1:]); print(a + b, a - b)"

    def run(x):
        if x[0] > 1.0:
            raise RunError("outside of what the program takes")
        said = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, *map(repr, x.tolist())],
            capture_output=True,
            check=True,
        )
        return np.array(said.stdout.split(), dtype=float)

    with ThreadPoolExecutor(2) as pool:
        forward = black_box(run, mapped=pool.map)
        prior = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
        y = torch.tensor([0.7, 0.1]).double()
        found = invert(ESMDA(steps=1), forward, prior, y, 0.1, stream("run"), members=20)
    assert found.members.shape == (20, 2)
    assert torch.allclose(found.mean, torch.tensor([0.4, 0.3]).double(), atol=0.15)
    assert "runs failed and were left out" in caplog.text


def test_what_cannot_be_inverted_is_refused():
    y = observed()[0]
    E = Ensemble(normal((5, PARAMETERS), stream("E")))
    with pytest.raises(ValueError, match="it has to be 1"):
        ESMDA(steps=(2, 3))
    with pytest.raises(ValueError, match="takes no localisation"):
        EKI(deterministic=True, localisation=CorrelationTaper())
    with pytest.raises(ValueError, match="only 0 of 5 runs"):
        invert(ESMDA(), lambda x: linear(x) * torch.nan, E, y, 1.0, stream("n"))
    with pytest.raises(ValueError, match="one value for each observation"):
        black_box(lambda x: np.ones((2, 2)))(E.members)
    with pytest.raises(ValueError, match="all 5 runs failed"):
        black_box(lambda x: (_ for _ in ()).throw(RunError()))(E.members)
    with pytest.raises(ValueError, match="values for different members"):
        black_box(lambda x: np.ones(1 + (x[0] > 0)))(E.members)
    with pytest.raises(ValueError, match="R is not positive definite"):
        invert(ESMDA(), linear, E, y, -R, stream("n"))
    y[0] = torch.nan
    with pytest.raises(ValueError, match="takes no missing values"):
        invert(ESMDA(), linear, E, y, R, stream("n"))
