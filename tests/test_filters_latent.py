"""Filters in latent space: those of full space where the codec is exact, and what they refuse."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from dalib import build
from dalib.codecs.pca import PCA, LinearCodec
from dalib.filters import Ensemble, assimilate
from dalib.filters.enkf import EnKF
from dalib.filters.ensemble import EnsembleFilter
from dalib.filters.ensf import EnSF
from dalib.filters.etkf import ETKF
from dalib.filters.kalman import Kalman
from dalib.filters.latent import DirectDecode, LatentFilter, latent_noise
from dalib.filters.letkf import LETKF
from dalib.localise import Grid
from dalib.nets.scaling import Scaling
from dalib.nets.vae import Code, CoupledVAE
from dalib.observe import EveryKth, Identity
from dalib.streams import normal, stream, streams

SIZE, MEMBERS, SIGMA = 12, 6, 0.3
SHAPE = (3, 10, 10)
EVERY_SECOND = EveryKth(SHAPE, 2)


def step(x):
    return 1.01 * x.roll(1, -1)


def codec(basis, scale=2.0):
    """An exact one of full observations: E_obs is E."""
    mean, std = normal((SIZE,), stream("mean")), 1 + normal((SIZE,), stream("std")).abs()
    basis, scale = basis.double(), torch.tensor(scale, dtype=torch.float64)
    return LinearCodec(
        mean, std, basis, scale, mean, std, basis / scale, torch.zeros(SIZE, dtype=torch.float64)
    )


def rotated_codec():
    return codec(torch.linalg.qr(normal((SIZE, SIZE), stream("rotation"))).Q)


def latent(kind, codec, obs_std=SIGMA, observe=None, members=MEMBERS, **settings):
    """A latent filter whose inner one has `settings`."""
    identity = Identity(codec.latent)
    inner = kind(step=step, observe=identity, obs_std=obs_std, members=members, **settings)
    return LatentFilter(inner=inner, codec=codec, observe=observe or Identity(SIZE))


def in_full_space(kind, codec, **settings):
    """The same filter without codec: errors are those of standardised states."""
    obs_std = SIGMA * codec.scale * codec.std
    return kind(step=step, observe=Identity(SIZE), obs_std=obs_std, members=MEMBERS, **settings)


def belief(*lead):
    return Ensemble(normal((*lead, MEMBERS, SIZE), stream("members")))


def analysed(filter, prior, y, name="analysis"):
    return filter.analyse(prior, y, stream(name)).members


Y = normal((SIZE,), stream("y"))


# an exact codec changes nothing


@pytest.mark.parametrize("kind", [EnKF, ETKF])
def test_standardised_codes_give_the_analysis_of_full_space(kind):
    exact = codec(torch.eye(SIZE))
    here, there = latent(kind, exact, inflation=1.1), in_full_space(kind, exact, inflation=1.1)
    torch.testing.assert_close(analysed(here, belief(), Y), analysed(there, belief(), Y))


def test_rotated_codes_give_the_analysis_of_full_space():
    exact = rotated_codec()
    here, there = (make(ETKF, exact) for make in (latent, in_full_space))
    torch.testing.assert_close(analysed(here, belief(), Y), analysed(there, belief(), Y))
    here, there = (make(EnKF, exact) for make in (latent, in_full_space))  # its noise is centred
    means = (analysed(filter, belief(), Y).mean(-2) for filter in (here, there))
    torch.testing.assert_close(*means)


def test_all_principal_components_give_the_analysis_of_full_space():
    states = normal((200, SIZE), stream("train")) @ normal((SIZE, SIZE), stream("mixing"))
    fitted = PCA(SIZE, ridge=1e-13).fit(states, Identity(SIZE), 0.0, stream("fit"))
    here, there = (make(ETKF, fitted) for make in (latent, in_full_space))
    torch.testing.assert_close(
        analysed(here, belief(), Y), analysed(there, belief(), Y), atol=1e-7, rtol=1e-7
    )


def test_the_ensemble_score_filter_is_that_of_full_space():
    exact = codec(torch.eye(SIZE))
    here = latent(EnSF, exact, scale=3.0)
    units = {"mean": exact.mean, "std": exact.std * exact.scale}
    there = in_full_space(EnSF, exact, scale=3.0, **units)
    torch.testing.assert_close(analysed(here, belief(), Y), analysed(there, belief(), Y))


def test_forecasts_and_cycles_are_those_of_full_space():
    exact, y = rotated_codec(), normal((2, 5, SIZE), stream("series"))
    here, there = (
        assimilate(make(ETKF, exact), belief(2), y, streams("cycle", range(2), "filter"))
        for make in (latent, in_full_space)
    )
    torch.testing.assert_close(here[:6], there[:6])  # of codes the errors of y are not known


# networks


def vae(**settings):
    """(3, 10, 10) to a code of 50, every second point observed; not trained."""
    return CoupledVAE(
        Scaling(torch.zeros(1, 3), torch.ones(1, 3)),
        SHAPE,
        2,
        **{"latent": 50, "width": 2} | settings,
        generator=stream("vae"),
    )


def letkf_settings(radius=1.5, latent=50):
    return {"localisation": Grid((5, 5), radius).on(latent)}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (EnKF, {"inflation": 1.1}),
        (ETKF, {"rotate": True}),
        (LETKF, letkf_settings()),
        (EnSF, {"scale": 100.0, "obs_std": 0.001}),
    ],
)
def test_a_batch_of_seeds_is_so_many_single_runs(kind, settings):
    filter = latent(kind, vae(), observe=EVERY_SECOND, **settings)
    members = normal((3, MEMBERS, 300), streams("x", range(3), "prior"), torch.float32)
    y = normal((3, 4, 75), streams("x", range(3), "y"), torch.float32)
    y[1, 2] = torch.nan  # nothing is observed at that time

    def run(seeds):
        generator = streams("x", seeds, "filter")
        return assimilate(filter, Ensemble(members[seeds]), y[seeds], generator)

    together, again, alone = run([0, 1, 2]), run([0, 1, 2]), run([1])
    assert together.mean.shape == (3, 4, 300) and together.mean.dtype == torch.float32
    assert together.mean.isfinite().all() and not together.diverged.any()
    for one, other, single in zip(together[:5], again[:5], alone[:5], strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one[1:2], single, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.mean[1, 2], together.forecast_mean[1, 2])


def test_weights_stay_out_of_the_graph():
    filter = latent(EnKF, vae(), observe=EVERY_SECOND)
    members = torch.zeros(MEMBERS, 300)
    assert not analysed(filter, Ensemble(members), torch.zeros(75)).requires_grad


def test_a_wide_taper_makes_the_local_filter_global():
    net, members = vae(), normal((MEMBERS, 300), stream("wide"), torch.float32)
    y = normal((75,), stream("wide y"), torch.float32)
    local = latent(LETKF, net, observe=EVERY_SECOND, **letkf_settings(1e6))
    whole = latent(ETKF, net, observe=EVERY_SECOND)
    a, b = (analysed(filter, Ensemble(members), y) for filter in (local, whole))
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


# options


def test_a_weight_blends_the_decoded_state_into_the_forecast():
    whole = latent(ETKF, rotated_codec())
    decoded = analysed(whole, belief(), Y)
    weight = torch.linspace(0.1, 1, SIZE).double()
    for w in (0.25, weight):
        blended = analysed(dataclasses.replace(whole, weight=w), belief(), Y)
        expected = (1 - w) * belief().members + w * decoded
        torch.testing.assert_close(blended, expected)


@dataclasses.dataclass(frozen=True)
class Doubtful:
    """Codes are states, and observations, with variances 0.04 and 0.25."""

    latent: int = SIZE

    def encode(self, x):
        return Code(x, torch.full_like(x, math.log(0.04)))

    def encode_observations(self, y):
        return Code(y, torch.full_like(y, math.log(0.25)))

    def decode(self, z):
        return z


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown(EnsembleFilter):
    """Members become what `which` says: codes of states or of the observation."""

    which: Any = 0

    def updated(self, E, predicted, y, generator):
        return (E, y[..., None, :].expand_as(E))[self.which]


@pytest.mark.parametrize(("which", "std"), [(0, 0.2), (1, 0.5)])
def test_reparameterised_codes_are_drawn_from_their_distributions(which, std):
    means = latent(Shown, Doubtful(), which=which, members=2)
    prior, y = Ensemble(torch.ones(4000, 2, SIZE).double()), torch.ones(4000, SIZE).double()
    assert torch.equal(analysed(means, prior, y), prior.members)
    drawn = analysed(dataclasses.replace(means, reparameterise=True), prior, y)
    assert drawn.mean().item() == pytest.approx(1, abs=0.02)
    assert (drawn - 1).square().mean().sqrt().item() == pytest.approx(std, rel=0.02)


def test_latent_noise_is_that_of_the_regression():
    """Of a linear encoder B y / v the codes vary by Σ_j (B_ij σ_j / v_j)²."""
    states = normal((40, SIZE), stream("noise states"))
    linear, sigma = rotated_codec(), torch.linspace(0.1, 2, SIZE).double()
    exact = (linear.regression * sigma / linear.obs_std).square().sum(1).mean().sqrt()
    found = latent_noise(linear, states, Identity(SIZE), sigma, stream("draws"), scale=100.0)
    assert found.item() == pytest.approx(100 * exact.item(), rel=0.03)


def test_latent_noise_of_exact_observations_is_zero():
    states = normal((3, 300), stream("exact"), torch.float32)
    assert latent_noise(vae(), states, EVERY_SECOND, 0.0, stream("none")).item() < 1e-6


# the codec alone


def test_direct_decode_needs_neither_model_nor_past():
    net, y = vae(), normal((2, 3, 75), stream("direct"), torch.float32)
    filter = DirectDecode(codec=net, observe=EVERY_SECOND)
    assert not {"step", "inner"} & {field.name for field in dataclasses.fields(filter)}
    priors = (Ensemble(normal((2, 4, 300), stream("direct", name), torch.float32)) for name in "ab")
    one, other = (assimilate(filter, prior, y, stream("unused")) for prior in priors)
    expected = net.decode(net.encode_observations(y).mean).float()
    torch.testing.assert_close(one.mean, expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(one.mean, other.mean)
    assert (one.std == 0).all()
    torch.testing.assert_close(one.forecast_mean[:, 1:], one.mean[:, :-1])


def test_direct_decode_keeps_its_estimate_where_nothing_is_observed():
    y = normal((3, 75), stream("gap"), torch.float32)
    y[1] = torch.nan
    filter = DirectDecode(codec=vae(), observe=EVERY_SECOND)
    series = assimilate(filter, Ensemble(torch.zeros(2, 300)), y, stream("unused"))
    assert torch.equal(series.mean[1], series.mean[0])
    assert not torch.equal(series.mean[2], series.mean[0])


# localisation on the latent map


def test_weights_fall_with_the_distance_on_the_map_and_not_between_channels():
    places = torch.arange(75)
    weights = Grid((5, 5), 1.0)(places, places, 75)
    assert torch.equal(weights, weights.T)
    assert (weights.diagonal() == 1).all()
    assert torch.equal(weights[:25, :25], weights[:25, 50:])  # another channel, the same place
    assert weights[0, 1] == weights[0, 5] == pytest.approx(math.exp(-0.5), abs=0.03)
    assert 0 < weights[0, 6] < weights[0, 1]  # the diagonal neighbour
    assert weights[0, 4] == weights[0, 24] == 0  # 2c = 3.64: the map does not close
    assert torch.linalg.eigvalsh(weights).min() > -1e-12


def test_a_map_may_be_longer_than_wide():
    places = torch.arange(6)
    weights = Grid((2, 3), 1.0)(places, places, 6)
    assert weights[0, 3] == weights[0, 1] == weights[4, 5]
    assert weights[2, 3] < weights[0, 2]  # from one end of a row to the start of the next


# the configuration and refusals


def test_the_configuration_names_both():
    supplies = {
        "inner": lambda: EnKF(step=step, observe=Identity(50), obs_std=0.1),
        "codec": vae,
        "observe": lambda: EVERY_SECOND,
    }
    made = build.make("filter", {"kind": "latent", "weight": 0.5}, supplies)
    assert isinstance(made, LatentFilter) and made.weight == 0.5
    assert isinstance(build.make("filter", {"kind": "direct_decode"}, supplies), DirectDecode)
    assert build.make("localisation", {"kind": "grid", "shape": (5, 5), "radius": 1.5}) == Grid(
        (5, 5), 1.5
    )


def test_what_cannot_be_is_refused():
    exact = codec(torch.eye(SIZE))
    filter = latent(EnKF, exact)
    partly = Y.clone()
    partly[3] = torch.nan
    with pytest.raises(ValueError, match="1 observed values are missing at a time when others"):
        analysed(filter, belief(), partly)
    with pytest.raises(ValueError, match="weight is 0.0; it has to be above 0"):
        dataclasses.replace(filter, weight=0.0)
    kalman = Kalman(
        matrix=torch.eye(SIZE), noise_cov=torch.eye(SIZE), observe=Identity(SIZE), obs_std=1.0
    )
    with pytest.raises(TypeError, match="inner filter is a Kalman; give one with an ensemble"):
        dataclasses.replace(filter, inner=kalman)
    with pytest.raises(ValueError, match="observations of 12 components"):
        analysed(filter, belief(), torch.zeros(5))
    with pytest.raises(ValueError, match="at least 2 draws"):
        latent_noise(exact, belief().members, Identity(SIZE), 1.0, stream("one"), draws=1)
    with pytest.raises(ValueError, match="a multiple of 25 components, got 30"):
        Grid((5, 5), 1.0)(torch.arange(30), torch.arange(30), 30)
