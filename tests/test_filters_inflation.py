"""Relaxation to the prior, adaptive inflation, and rotations of every ensemble filter."""

import dataclasses

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, assimilate
from dalib.filters.enkf import DEnKF, EnKF
from dalib.filters.etkf import ETKF
from dalib.filters.inflation import RTPP, RTPS, AdaptiveInflation
from dalib.filters.letkf import LETKF
from dalib.filters.local_enkf import LocalEnKF
from dalib.filters.serial import SerialEnSRF
from dalib.integrate import RK4
from dalib.localise import Ring
from dalib.observe import Identity, Subset
from dalib.streams import normal, streams
from dalib.systems.lorenz import Lorenz96

SIZE, N, SEEDS = 12, 10, 4
SETTINGS = {"step": lambda x: x, "observe": Subset((0, 3, 6)), "obs_std": 0.5, "members": N}
LOCAL = {"localisation": Ring(0.7).on(SIZE)}
FILTERS = [(ETKF, {}), (DEnKF, {}), (EnKF, {}), (LETKF, LOCAL), (SerialEnSRF, LOCAL)]
FILTERS += [(LocalEnKF, LOCAL), (LocalEnKF, {})]
everyone = pytest.mark.parametrize(("cls", "settings"), FILTERS)


def given():
    E = normal((SEEDS, N, SIZE), streams("inflation", range(SEEDS), "E"))
    y = normal((SEEDS, 3), streams("inflation", range(SEEDS), "y"))
    y[2] = torch.nan
    return Ensemble(E), y


def analysed(cls, settings, **more):
    prior, y = given()
    generator = streams("inflation", range(SEEDS), "filter")
    return prior, cls(**SETTINGS, **settings, **more).analyse(prior, y, generator)


@everyone
def test_relaxation_to_the_prior_spread_is_a_mean_of_both(cls, settings):
    prior, plain = analysed(cls, settings)
    _, relaxed = analysed(cls, settings, inflation=RTPS(0.6))
    assert torch.allclose(relaxed.mean, plain.mean, rtol=0, atol=1e-12)
    if not settings:
        expected = 0.4 * plain.std + 0.6 * prior.std
        assert torch.allclose(relaxed.std, expected, rtol=1e-10)
    assert torch.allclose(relaxed.members[2], prior.members[2], rtol=0, atol=1e-12)


@everyone
def test_relaxation_to_prior_perturbations_mixes_both(cls, settings):
    prior, plain = analysed(cls, settings)
    _, relaxed = analysed(cls, settings, inflation=RTPP(0.6))
    if not settings:
        before = prior.members - prior.mean[:, None]
        expected = 0.4 * (plain.members - plain.mean[:, None]) + 0.6 * before
        assert torch.allclose(relaxed.members - plain.mean[:, None], expected, atol=1e-12)
    assert torch.allclose(relaxed.mean, plain.mean, rtol=0, atol=1e-12)


@everyone
def test_a_rotation_keeps_mean_and_covariance_of_every_filter(cls, settings):
    _, plain = analysed(cls, settings)
    _, rotated = analysed(cls, settings, rotate=True)
    assert torch.allclose(rotated.mean, plain.mean, rtol=0, atol=1e-12)
    assert torch.allclose(rotated.cov, plain.cov, rtol=0, atol=1e-12)
    assert not torch.allclose(rotated.members, plain.members, atol=0.1)


def test_adaptive_inflation_is_the_mode_of_a_linear_likelihood():
    """One scalar, seen itself (γ = 1): prior N(λ, s²) times p(D | λ) linear around λ, on a grid."""
    E = torch.tensor([[-1.0], [0.0], [1.0]]).double()
    filter = ETKF(
        step=lambda x: x,
        observe=Identity(1),
        obs_std=0.5,
        members=3,
        inflation=AdaptiveInflation(std=0.3, damping=1.0),
    )
    D = 2.5
    belief = filter.start(Ensemble(E), None)
    found = filter.analyse(belief, torch.tensor([D]).double(), None).inflation
    λ = torch.linspace(0.5, 3, 2_000_001).double()

    def log_p(λ):
        θ2 = λ * 1.0 + 0.25
        return -0.5 * θ2.log() - D**2 / (2 * θ2)

    h = 1e-6
    slope = (log_p(λ.new_tensor(1 + h)) - log_p(λ.new_tensor(1 - h))) / (2 * h)
    posterior = -((λ - 1) ** 2) / (2 * 0.3**2) + (1 + slope * (λ - 1)).clamp(min=1e-12).log()
    assert found.item() == pytest.approx(λ[posterior.argmax()].item(), abs=1e-4)


@pytest.mark.parametrize(("cls", "settings"), [(ETKF, {}), (LETKF, LOCAL), (SerialEnSRF, LOCAL)])
def test_adaptive_inflation_grows_only_where_observations_reach(cls, settings):
    filter = cls(**SETTINGS, **settings, inflation=AdaptiveInflation())
    prior, y = given()
    belief = filter.start(prior, None)
    generator = streams("inflation", range(SEEDS), "filter")
    for _ in range(5):
        forecast = filter.forecast(belief, generator)
        belief = filter.analyse(forecast, y + 10.0, generator)
    assert (belief.inflation >= 1).all()
    assert (belief.inflation[:2, 0] > 1.2).all()
    assert torch.equal(belief.inflation[2], torch.ones(SIZE).double())  # nothing was observed
    if settings:
        assert torch.equal(belief.inflation[:, 9], torch.ones(SEEDS).double())


@pytest.mark.parametrize("inflation", [AdaptiveInflation(), RTPS(0.4), RTPP(0.5)])
def test_a_small_ensemble_without_tuned_inflation_follows_lorenz96(inflation):
    """Without any inflation, LETKF with 7 members loses it (errors of 0.25 to 3.2)."""
    seeds = range(SEEDS)
    step = RK4(0.05).flow(Lorenz96())
    x = 8 * torch.ones(SEEDS, 40).double() + normal((SEEDS, 40), streams("i", seeds, "x"))
    for _ in range(200):
        x = step(x)
    truth = [x]
    for _ in range(300):
        truth.append(step(truth[-1]))
    truth = torch.stack(truth[1:], 1)
    y = truth + normal(truth.shape, streams("i", seeds, "y"))
    prior = Gaussian(x, torch.eye(40).double())
    settings = {"step": step, "observe": Identity(40), "obs_std": 1.0, "members": 10}
    filter = LETKF(**settings, localisation=Ring(4.0).on(40), inflation=inflation)
    found = assimilate(filter, prior, y, streams("i", seeds, "filter"))
    rmse = (found.mean - truth)[:, 100:].square().mean(-1).sqrt().mean(-1)
    assert (rmse < 0.3).all()


def test_a_batch_with_adaptive_inflation_is_so_many_runs_and_continues():
    prior, y = given()
    series = y.nan_to_num()[:, None].expand(-1, 4, -1) + 3.0
    filter = ETKF(**SETTINGS, inflation=AdaptiveInflation())
    saved = []
    whole = assimilate(filter, prior, series, None, save=lambda state: saved.append(state()))
    alone = assimilate(filter, Ensemble(prior.members[1]), series[1], None)
    assert torch.allclose(whole.mean[1], alone.mean, rtol=0, atol=1e-12)
    again = assimilate(dataclasses.replace(filter), prior, series, None, resume=saved[1])
    assert torch.equal(again.mean.nan_to_num(), whole.mean.nan_to_num())


def test_weights_outside_their_range_are_refused():
    with pytest.raises(ValueError, match="give 0, for none, to 1"):
        RTPS(1.2)
    with pytest.raises(ValueError, match="std is positive"):
        AdaptiveInflation(std=0.0)
