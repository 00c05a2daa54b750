"""The hybrid gain between the ETKF and a fixed gain."""

import pytest
import torch

from dalib.filters import Ensemble, Gaussian
from dalib.filters.etkf import ETKF
from dalib.filters.hybrid_gain import HybridGain
from dalib.filters.kalman import gain
from dalib.observe import Subset
from dalib.streams import normal, stream

STATE, N = 5, 4
ROOT = normal((STATE, STATE), stream("B"))
B, H = ROOT @ ROOT.T + torch.eye(STATE).double(), torch.eye(STATE).double()[[0, 2, 3]]
SETTINGS = {"step": lambda x: x, "observe": Subset((0, 2, 3)), "obs_std": 0.5, "members": N}
BACKGROUND = {"background": Gaussian(torch.zeros(STATE).double(), B)}


def given():
    y = normal((3, 3), stream("hybrid", "y"))
    y[1, 1] = torch.nan
    return Ensemble(normal((3, N, STATE), stream("hybrid", "E"))), y


def test_without_weight_it_is_the_etkf():
    prior, y = given()
    found = HybridGain(**SETTINGS, **BACKGROUND, weight=0.0).analyse(prior, y, None)
    assert torch.equal(found.members, ETKF(**SETTINGS).analyse(prior, y, None).members)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_gain_of_the_mean_is_that_of_the_paper(weight):
    """K_e + w K (I - H K_e), with the anomalies of the ETKF."""
    prior, y = given()
    y[1, 1] = 0.4
    found = HybridGain(**SETTINGS, **BACKGROUND, weight=weight, background_scale=0.5)
    found, plain = found.analyse(prior, y, None), ETKF(**SETTINGS).analyse(prior, y, None)
    R = 0.25 * torch.eye(3).double()
    Ke, K = gain(prior.cov, H.expand(3, 3, STATE), R), gain(0.5 * B, H, R)
    both = Ke + weight * K @ (torch.eye(3).double() - H @ Ke)
    d = (y - prior.mean @ H.T)[..., None]
    assert torch.allclose(found.mean, prior.mean + (both @ d)[..., 0], rtol=0, atol=1e-12)
    assert torch.allclose(found.cov, plain.cov, rtol=0, atol=1e-12)


def test_weights_outside_their_range_are_refused():
    with pytest.raises(ValueError, match=r"weight is 1.5; it has to be in \[0, 1\]"):
        HybridGain(**SETTINGS, **BACKGROUND, weight=1.5)
