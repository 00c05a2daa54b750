"""Backward simulation against the smoother of Rauch, Tung and Striebel."""

import pytest
import torch

from dalib.filters import Gaussian
from dalib.observe import Subset
from dalib.smoothers import smooth
from dalib.smoothers.ffbsi import FFBSi
from dalib.smoothers.rts import RTS
from dalib.streams import normal, stream, streams

MATRIX = torch.tensor([[0.9, 0.3], [-0.2, 0.8]]).double()
PRIOR = Gaussian(torch.zeros(2).double(), torch.eye(2).double())


def particles(**settings):
    given = {"step": lambda x: x @ MATRIX.T, "observe": Subset((0,)), "obs_std": 0.7}
    return FFBSi(**given, members=800, **settings)


def exact(noise_cov):
    return RTS(matrix=MATRIX, noise_cov=noise_cov, observe=Subset((0,)), obs_std=0.7)


@pytest.mark.parametrize("correlated", [False, True])
def test_moments_are_those_of_rauch_tung_and_striebel(correlated):
    """Means, deviations, and what one time has to do with the next."""
    Q = torch.tensor([[0.25, 0.15], [0.15, 0.25]]).double() if correlated else 0.25 * torch.eye(2)
    noise = {"model_error_cov": Q} if correlated else {"model_error_std": 0.5}
    y = normal((4, 6, 1), streams("ffbsi", range(4), "y"))
    y[1, 3] = torch.nan
    found = smooth(
        particles(**noise), PRIOR, y, streams("ffbsi", range(4), "f"), kept=torch.tensor([0, 1])
    )
    known = smooth(exact(Q.double()), PRIOR, y, None)
    assert (found.mean - known.mean).abs().max() < 0.2
    assert (found.mean - known.mean).square().mean().sqrt() < 0.05
    assert (found.std - known.std).abs().mean() < 0.03
    assert (found.initial.mean - known.initial.mean).abs().max() < 0.2
    x = found.members - found.mean[:, :, None]
    cross = x[:, 1:].mT @ x[:, :-1] / 800  # of each time with the one before
    assert (cross - known.cross_cov[:, 1:]).abs().mean() < 0.03


def test_a_later_observation_reaches_back_and_more_trajectories_are_drawn():
    y = torch.full((5, 1), torch.nan).double()
    y[-1] = 4.0
    found = smooth(particles(model_error_std=0.3, trajectories=50), PRIOR, y, stream("late"))
    assert found.initial.members.shape == (50, 2)
    assert found.mean[:, 0].abs().max() > 0.5 and found.analyses.mean[:3].abs().max() < 0.3


def test_a_model_without_noise_and_a_single_trajectory_are_refused():
    with pytest.raises(ValueError, match="needs a model with noise"):
        particles()
    with pytest.raises(ValueError, match="a spread needs 2 or more"):
        particles(model_error_std=0.1, trajectories=1)
