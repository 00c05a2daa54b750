"""Serial filters against the Kalman filter, and the rank histogram filter against quadrature."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import norm

from dalib.filters import Ensemble, Gaussian, kalman
from dalib.filters.etkf import etkf_analysis
from dalib.filters.rank_histogram import RankHistogram, log_ndtri, rank_histogram_increments
from dalib.filters.serial import SerialEnKF, SerialEnSRF
from dalib.localise import Localisation, Ring
from dalib.streams import normal, stream

STATE, OBS, N = 6, 4, 9
H = normal((OBS, STATE), stream("serial", "H"))
STD = torch.tensor([0.5, 1.0, 2.0, 0.1], dtype=torch.float64)


def observe(x):
    return x @ H.T


def given(members=N, series=3):
    E = normal((series, members, STATE), stream("serial", "E"))
    y = normal((series, OBS), stream("serial", "y"))
    y[1, 2], y[2] = torch.nan, torch.nan
    return Ensemble(E), y


def serial(cls=SerialEnSRF, **settings):
    return cls(**{"step": None, "observe": observe, "obs_std": STD, "members": N} | settings)


def exact(prior, y):
    belief = Gaussian(prior.mean, prior.cov)
    return kalman.analyse(belief, H, STD.square().diag(), y)


def test_one_observation_after_the_other_is_the_kalman_update_of_the_sample_moments():
    prior, y = given()
    analysis, expected = serial().analyse(prior, y, None), exact(prior, y)
    assert torch.allclose(analysis.mean, expected.mean, rtol=0, atol=1e-12)
    assert torch.allclose(analysis.cov, expected.cov, rtol=0, atol=1e-12)


def test_one_observation_alone_moves_members_as_the_square_root_filter_does():
    """Then the factor of s is that of the symmetric square root."""
    prior, y = given()
    one = serial(observe=lambda x: x[..., :1], obs_std=0.7)
    expected = etkf_analysis(prior.members, prior.members[..., :1], y[:, :1], 0.7)
    found = one.analyse(prior, y[:, :1], None).members
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)


def test_the_order_of_observations_does_not_count():
    prior, y = given()
    back = serial(observe=lambda x: observe(x).flip(-1), obs_std=STD.flip(-1))
    a, b = serial().analyse(prior, y, None), back.analyse(prior, y.flip(-1), None)
    assert torch.allclose(a.mean, b.mean, rtol=0, atol=1e-12)
    assert torch.allclose(a.cov, b.cov, rtol=0, atol=1e-12)


def test_perturbed_observations_tend_to_the_kalman_update():
    prior, y = given(members=40_000)
    filter, expected = serial(SerialEnKF, members=40_000), exact(prior, y)
    analysis = filter.analyse(prior, y, stream("serial", "noise"))
    assert torch.allclose(analysis.mean, expected.mean, rtol=0, atol=0.03)
    assert torch.allclose(analysis.cov, expected.cov, rtol=0, atol=0.03)


@pytest.mark.parametrize("cls", [SerialEnSRF, RankHistogram])
def test_a_taper_of_one_changes_nothing(cls):
    prior, y = given()
    one = Localisation(matrix=torch.ones(STATE, STATE).double(), obs_places=torch.arange(OBS))
    plain, tapered = serial(cls), serial(cls, localisation=one)
    a, b = (filter.analyse(prior, y, None).members for filter in (plain, tapered))
    assert torch.allclose(a, b, rtol=0, atol=1e-13)


def test_a_matrix_of_weights_and_their_distances_are_the_same():
    prior, y = given()
    places = torch.tensor([0, 2, 3, 5])
    ring = dataclasses.replace(Ring(1.0).on(STATE), obs_places=places)
    matrix = Localisation(matrix=ring.taper(), obs_places=places)
    a, b = (serial(localisation=w).analyse(prior, y, None).members for w in (ring, matrix))
    assert torch.allclose(a, b, rtol=0, atol=1e-13)
    assert not torch.allclose(a, serial().analyse(prior, y, None).members, atol=1e-3)


def test_ranks_go_to_the_quantiles_of_the_posterior():
    s = torch.tensor([-1.2, -0.3, 0.1, 0.4, 1.0], dtype=torch.float64)
    d, n = 0.8, len(s)
    new = s + rank_histogram_increments(s, torch.tensor(d).double())

    x, edges, spread = np.linspace(-9, 9, 2_000_001), s.numpy(), s.std().item()
    likelihood = lambda x: np.exp(-0.5 * (d - x) ** 2)  # noqa: E731
    tail = spread * norm.ppf(1 / (n + 1))
    density = norm.pdf(x, edges[0] - tail, spread) * likelihood(x)
    right = norm.pdf(x, edges[-1] + tail, spread) * likelihood(x)
    density = np.where(x >= edges[-1], right, density)
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        inside = (likelihood(a) + likelihood(b)) / 2 / (n + 1) / (b - a)
        density = np.where((x >= a) & (x < b), inside, density)
    cdf = np.cumsum(density) / density.sum()
    expected = np.interp(np.arange(1, n + 1) / (n + 1), cdf, x)
    np.testing.assert_allclose(new.numpy(), expected, atol=1e-5)


def test_ranks_of_a_normal_sample_have_the_moments_of_the_kalman_update():
    s = normal((2, 100_000), stream("ranks"))
    d = torch.tensor([0.5, 1.5], dtype=torch.float64)
    new = s + rank_histogram_increments(s - s.mean(-1, keepdim=True), d)
    assert torch.allclose(new.mean(-1), d / 2, atol=0.01)
    assert torch.allclose(new.var(-1), torch.full_like(d, 0.5), atol=0.01)


def test_an_observation_far_off_moves_all_ranks_and_stays_finite():
    s = normal((50,), stream("far"))
    s = s - s.mean()
    for d in (30.0, -30.0, 1e4):
        new = s + rank_histogram_increments(s, torch.tensor(d).double())
        assert new.isfinite().all()
        assert (new[s.argsort()].diff() > 0).all()
        assert (new.mean() - s.mean()) * d > 0


def test_logarithms_of_probabilities_are_inverted():
    t = torch.tensor([-1e-3, -1.0, -9.99, -10.01, -80.0, -1e4], dtype=torch.float64)
    back = torch.special.log_ndtr(log_ndtri(t))
    assert torch.allclose(back, t, rtol=1e-12)
