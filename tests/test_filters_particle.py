import math

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, Weighted, assimilate, cycle
from dalib.filters.kalman import Kalman
from dalib.filters.particle import BootstrapParticle, effective_size
from dalib.filters.resampling import systematic
from dalib.observe import Linear
from dalib.streams import normal, stream, streams, uniform
from dalib.systems.linear import ConstantVelocity


def log(weights) -> torch.Tensor:
    return torch.tensor(weights, dtype=torch.float64).log()


def test_the_effective_size_counts_what_matters():
    assert effective_size(log([0.25] * 4)).item() == pytest.approx(4)
    assert effective_size(log([1.0, 0.0, 0.0])).item() == pytest.approx(1)
    assert effective_size(log([0.5, 0.5, 0.0])).item() == pytest.approx(2)


def test_systematic_resampling_draws_each_particle_as_often_as_it_weighs():
    weights = normal((50, 200), stream("weights")).exp()
    log_weights = (weights / weights.sum(-1, keepdim=True)).log()
    index = systematic(log_weights, streams("resampling", range(50), "filter"))
    assert (index.diff() >= 0).all()
    counts = torch.zeros(50, 200).double().scatter_add(-1, index, torch.ones(50, 200).double())
    expected = 200 * log_weights.exp()
    assert (counts.sum(-1) == 200).all()
    assert ((counts - expected).abs() < 1 + 1e-9).all()  # never off by one or more
    assert (counts - expected).mean().abs() < 1e-12


def test_systematic_resampling_is_a_search_for_equidistant_points():
    log_weights = normal((3, 100), stream("search")).log_softmax(-1)
    index = systematic(log_weights, streams("search", range(3), "u"))
    u = uniform((3, 1), streams("search", range(3), "u"))
    points = (torch.arange(100) + u) / 100
    assert torch.equal(index, torch.searchsorted(log_weights.exp().cumsum(-1), points))


def test_what_has_no_weight_is_never_drawn():
    index = systematic(log([0.0, 0.5, 0.0, 0.5, 0.0]).expand(9, 5), stream(3))
    assert set(index.flatten().tolist()) == {1, 3}


def test_the_likelihood_is_unbiased():
    """The mean over runs of exp(log L - log L of the Kalman filter) is 1."""
    system, observe, T = ConstantVelocity(1.0, 0.1), Linear(((1.0, 0.0),)), 5
    system_noise = 0.3
    noise_cov = system_noise**2 * torch.eye(2).double()
    prior = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    y = normal((T, 1), stream("likelihood"))
    exact = Kalman(matrix=system.matrix, noise_cov=noise_cov, observe=observe, obs_std=1.0)
    reference = sum(
        exact.log_likelihood(forecast, y[k])
        for k, (forecast, _) in enumerate(cycle(exact, prior, y, None))
    )
    runs = 1000
    particle = BootstrapParticle(
        step=system.step, observe=observe, obs_std=1.0, members=100, model_error_std=system_noise
    )
    series = y.expand(runs, T, 1)
    estimate = sum(
        particle.log_likelihood(forecast, series[:, k])
        for k, (forecast, _) in enumerate(cycle(particle, prior, series, stream("runs")))
    )
    ratio = (estimate - reference).exp()
    standard_error = ratio.std().item() / math.sqrt(runs)
    assert ratio.mean().item() == pytest.approx(1, abs=3 * standard_error)
    assert standard_error < 0.02


def test_many_particles_have_the_moments_of_the_kalman_filter():
    prior = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    y = torch.tensor([0.7, torch.nan]).double()
    particle = BootstrapParticle(step=None, observe=lambda x: x, obs_std=0.5, members=200_000)
    belief = particle.analyse(particle.start(prior, stream(1)), y)
    assert belief.mean.tolist() == pytest.approx([0.7 * 0.8, 0.0], abs=0.01)
    assert belief.std.tolist() == pytest.approx([math.sqrt(0.2), 1.0], abs=0.01)


def test_only_seeds_with_few_effective_particles_are_resampled():
    members = normal((2, 4, 1), stream(2))
    even, uneven = [0.25] * 4, [0.97, 0.01, 0.01, 0.01]
    belief = Weighted(members, log([even, uneven]))
    filter = BootstrapParticle(step=None, observe=None, obs_std=1.0, members=4)
    after = filter.resample(belief, stream(3))
    assert torch.equal(after.members[0], members[0])
    assert (after.members[1] == members[1, 0]).sum() >= 3
    assert torch.allclose(after.log_weights, log([even, even]))


def test_regularisation_spreads_duplicates_with_the_covariance_of_the_particles():
    """factor² N^(-2/(d+4)) C, and a particle that was drawn once stays where it is."""
    N, seeds = 4000, 4
    shape = torch.tensor([[1.0, 0.9], [0.0, 0.3]]).double()
    members = normal((seeds, N, 2), stream(4)) @ shape
    log_weights = torch.where(torch.arange(N) < 100, 0.0, -4.0).double().log_softmax(-1)
    belief = Weighted(members, log_weights.expand(seeds, N))
    settings = {"step": None, "observe": None, "obs_std": 1.0, "members": N}
    plain = BootstrapParticle(**settings, resample_below=1.0).resample(belief, stream(5))
    spread = BootstrapParticle(**settings, resample_below=1.0, regularisation=2.4)
    noise = spread.resample(belief, stream(5)).members - plain.members
    once = torch.stack([(row[:, None] == row).all(-1).sum(-1) == 1 for row in plain.members])
    assert (noise[once] == 0).all()
    found = noise[~once].T.cov()
    w = belief.log_weights.exp()[..., None]
    X = members - belief.mean[:, None]
    expected = 2.4**2 * N ** (-2 / 6) * ((w * X).mT @ X).mean(0)
    assert torch.allclose(found, expected, rtol=0.1, atol=0.02)


def test_particles_move_with_the_larger_of_model_noise_and_jitter():
    settings = {"step": lambda x: x, "observe": None, "obs_std": 1.0, "members": 20000}
    start = Weighted(
        torch.zeros(20000, 1).double(), torch.full((20000,), -math.log(20000)).double()
    )
    for q, jitter, expected in ((0.3, 0.1, 0.3), (0.0, 0.1, 0.1), (0.0, 0.0, 0.0)):
        filter = BootstrapParticle(**settings, model_error_std=q, jitter_std=jitter)
        assert filter.forecast(start, stream(6)).std.item() == pytest.approx(expected, rel=0.03)


def test_a_hopeless_observation_gives_weights_all_the_same():
    members = torch.tensor([[0.0], [1.0]]).double()
    filter = BootstrapParticle(step=None, observe=lambda x: x, obs_std=1e-3, members=2)
    belief = filter.analyse(filter.start(Ensemble(members), None), torch.tensor([1e6]).double())
    assert belief.mean.item() == 1.0


# -- particles that are lost ----------------------------------------------------------------------


def overflowing(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 1.5, torch.inf, 0.95 * x)


def root(x: torch.Tensor) -> torch.Tensor:
    return x.sqrt()


@pytest.mark.parametrize("changes", [{"step": overflowing}, {"observe": root}])
def test_a_particle_that_is_not_finite_has_no_weight_and_is_counted(changes, caplog):
    given = {"step": lambda x: 0.95 * x, "observe": lambda x: x, "obs_std": 0.5}
    filter = BootstrapParticle(**given | changes, members=500, model_error_std=0.1)
    prior = Gaussian(torch.full((2, 1), 1.0).double(), 0.25 * torch.eye(1).double())
    y = torch.ones(2, 5, 1).double()
    found = assimilate(filter, prior, y, streams("lost", range(2), "filter"))
    assert not found.diverged.any()
    assert found.mean.isfinite().all() and found.std.isfinite().all()
    assert "particles were not finite and got no weight" in caplog.text


def test_the_others_go_on_as_if_it_had_not_been():
    """Its weight is theirs."""
    members = normal((6, 2), stream("others"))
    members[2, 1] = torch.nan
    others = [0, 1, 3, 4, 5]
    weights = normal((6,), stream("weights")).log_softmax(-1)
    filter = BootstrapParticle(
        step=lambda x: x, observe=lambda x: x, obs_std=1.0, members=6, resample_below=0.0
    )
    start = Weighted(members, weights, torch.zeros(1).double())
    forecast = filter.forecast(start, stream("x"))
    alone = Weighted(members[others], weights[others].log_softmax(-1))
    assert forecast.dropped.tolist() == [1]
    torch.testing.assert_close(forecast.mean, alone.mean)
    torch.testing.assert_close(forecast.std, alone.std)
    y = torch.tensor([0.3, torch.nan]).double()
    found, expected = (filter.analyse(belief, y) for belief in (forecast, alone))
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.log_weights[others], expected.log_weights)


def test_where_h_is_not_finite_at_a_missing_value_nothing_is_lost():
    members = torch.tensor([[1.0, -1.0], [2.0, 1.0]]).double()
    filter = BootstrapParticle(step=lambda x: x, observe=root, obs_std=1.0, members=2)
    belief = Weighted(members, log([0.5, 0.5]), torch.zeros(1).double())
    found = filter.analyse(belief, torch.tensor([1.0, torch.nan]).double())
    assert found.log_weights.isfinite().all() and found.dropped.item() == 0


def test_a_series_whose_particles_are_all_lost_is_lost_alone():
    filter = BootstrapParticle(
        step=lambda x: torch.where(x > 5, torch.inf, x),
        observe=lambda x: x,
        obs_std=1.0,
        members=20,
    )
    prior = Gaussian(torch.tensor([[0.0], [50.0]]).double(), torch.eye(1).double())
    found = assimilate(filter, prior, torch.zeros(2, 3, 1), streams("all", range(2), "filter"))
    assert found.diverged_at.tolist() == [-1, 0]
