"""Proper scores as losses: closed forms, fairness, what they are least for, and what they learn."""

import math
from types import SimpleNamespace

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, Weighted
from dalib.filters.etkf import ETKF
from dalib.filters.kalman import Kalman
from dalib.learn import Learnable, Learning, learn
from dalib.learn.fields import Errors
from dalib.learn.scores import crps, energy
from dalib.observe import Identity
from dalib.streams import normal, stream, streams


def seeing(size: int = 1, obs_std: float | torch.Tensor = 0.7):
    return SimpleNamespace(observe=Identity(size), obs_std=obs_std)


def test_the_score_of_a_mixture_is_the_integral_of_squares_of_its_distribution():
    """∫ (F(x) - 1[x >= y])² dx, and fair: no pair is of one member with itself."""
    h, y, s = normal((3, 1), stream("h")), torch.tensor([0.4]).double(), 0.7
    found = crps(seeing(), Ensemble(h), y)
    x = torch.linspace(-30, 30, 400_001).double()
    F = torch.special.ndtr((x - h) / s).mean(0)
    whole = torch.trapezoid((F - (x >= y).double()) ** 2, x)
    pairs = torch.stack([a - b for a in h for b in h]).flatten()
    z = pairs / (math.sqrt(2) * s)
    A = 2 * math.sqrt(2) * s * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    A = A + pairs * torch.erf(z / math.sqrt(2))
    expected = whole + 0.5 * A.mean() - 0.5 * (A.sum() - 3 * A[0]) / 6
    assert found.item() == pytest.approx(expected.item(), abs=1e-4)


def test_the_score_of_a_gaussian_is_that_of_many_members():
    y = torch.tensor([0.9, -0.3]).double()
    gaussian = Gaussian(
        torch.tensor([0.2, 0.1]).double(), torch.diag(torch.tensor([0.5, 2.0])).double()
    )
    members = gaussian.mean + normal((800, 2), stream("m")) * gaussian.cov.diagonal().sqrt()
    expected = crps(seeing(2), gaussian, y)
    assert crps(seeing(2), Ensemble(members), y).item() == pytest.approx(expected.item(), abs=0.05)
    weighted = Weighted(members, torch.full((800,), -math.log(800)).double())
    torch.testing.assert_close(crps(seeing(2), weighted, y), crps(seeing(2), Ensemble(members), y))


def test_in_one_dimension_the_energy_score_is_the_ranked_probability_score():
    members, y = normal((8000, 6, 1), stream("m")), torch.tensor([0.5]).double()
    one = crps(seeing(), Ensemble(members), y.expand(8000, 1))
    other = energy(seeing(), Ensemble(members), y.expand(8000, 1), stream("e"))
    assert (one.mean() - other.mean()).abs() < 0.02


@pytest.mark.parametrize("members", [2, 10])
@pytest.mark.parametrize("score", ["crps", "energy"])
def test_scores_are_least_for_the_spread_that_is_true_whatever_the_number_of_members(
    members, score
):
    truth = normal((4000, 2), stream("truth")) + 0.7 * normal((4000, 2), stream("errors"))
    found = []
    for spread in (0.7, 1.0, 1.4):
        E = Ensemble(spread * normal((4000, members, 2), stream("members")))
        if score == "crps":
            found.append(crps(seeing(2), E, truth).mean())
        else:
            found.append(energy(seeing(2), E, truth, stream("drawn")).mean())
    assert found[1] < found[0] and found[1] < found[2]


def test_missing_values_count_for_nothing_and_have_no_slope():
    members = normal((7, 2), stream("m")).requires_grad_(True)
    y = torch.tensor([0.3, torch.nan]).double()
    for score in (
        crps(seeing(2), Ensemble(members), y),
        energy(seeing(2), Ensemble(members), y, stream("e")),
    ):
        (slope,) = torch.autograd.grad(score, members)
        assert slope.isfinite().all() and not slope[:, 1].any() and slope[:, 0].any()
    alone = crps(seeing(), Ensemble(members[:, :1]), y[:1])
    torch.testing.assert_close(crps(seeing(2), Ensemble(members), y), alone)
    none = torch.full((2,), torch.nan).double()
    assert crps(seeing(2), Ensemble(members), none) == 0


def test_a_gaussian_belief_has_no_energy_score():
    belief = Gaussian(torch.zeros(1).double(), torch.eye(1).double())
    with pytest.raises(TypeError, match='give loss="crps"'):
        energy(seeing(), belief, torch.zeros(1).double(), stream("e"))


MATRIX = torch.tensor([[0.96, -0.28], [0.28, 0.96]]).double() * 0.95


def noisy_turns(runs: int = 1, times: int = 60, r: float = 0.25, q: float = 0.09):
    x, y = normal((runs, 4, 2), stream("start")), []
    for k in range(times):
        x = x @ MATRIX.T + math.sqrt(q) * normal((runs, 4, 2), stream("q", k))
        y.append(x + math.sqrt(r) * normal((runs, 4, 2), stream("r", k)))
    return Gaussian(torch.zeros(2).double(), torch.eye(2).double()), torch.stack(y, 2)


@pytest.mark.parametrize("loss", ["crps", "likelihood"])
def test_errors_of_observations_and_model_are_found_through_a_kalman_filter(loss):
    def make(values):
        Q = torch.diag_embed(values["q"][:, None, None].expand(-1, 1, 2))
        return Kalman(
            matrix=MATRIX, noise_cov=Q, observe=Identity(2), **Errors(1.0).field(values["r"])
        )

    prior, y = noisy_turns()
    learnables = {"r": Errors(1.0).learnable(1, 2, 2), "q": Learnable(torch.ones(1), "softplus")}
    learnables["r"] = Learnable(learnables["r"].start.double(), "softplus", "noise")
    learnables["q"] = Learnable(learnables["q"].start.double(), "softplus", "noise")
    settings = Learning(epochs=14, rates={"noise": 0.25}, segment=20)
    found = learn(
        make, learnables, prior, y, settings, loss=loss, generator=streams("k", range(1), "f")
    )
    assert (found.values["r"] - 0.25).abs().max() < 0.08
    assert (found.values["q"] - 0.09).abs().max() < 0.06
    assert found.history.loss[0, -1] < found.history.loss[0, 0]


@pytest.mark.parametrize("loss", ["crps", "energy"])
def test_inflation_is_learned_where_the_model_lacks_its_noise(loss):
    """A filter without model noise is too sure; inflation takes its place."""

    def make(values):
        return ETKF(
            step=lambda x: x @ MATRIX.T,
            observe=Identity(2),
            obs_std=0.5,
            members=6,
            inflation=values["inflation"][:, None],
        )

    prior, y = noisy_turns()
    learnables = {"inflation": Learnable(torch.ones(1).double(), "softplus", "filter")}
    settings = Learning(epochs=8, rates={"filter": 0.1}, segment=20)
    found = learn(
        make, learnables, prior, y, settings, loss=loss, generator=streams("i", range(1), "f")
    )
    assert found.values["inflation"] > 1.15
    assert found.history.loss[0, -1] < 0.97 * found.history.loss[0, 0]
