"""The coupled autoencoder: the published layers, its loss by hand, and what training does."""

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from dalib import arrays
from dalib.nets.scaling import Scaling, per_variable
from dalib.nets.vae import CoupledVAE, strides
from dalib.observe import ArctanEveryKth, EveryKth
from dalib.streams import normal, stream, streams, uniform
from dalib.train import Draws, Training, fit

POINTS, EVERY = 20, 2
SHAPE = (3, POINTS, POINTS)
STD = torch.tensor([0.5, 2.0, 10.0])


def network(repeats=1, shape=SHAPE, every=EVERY, **settings):
    settings = {"latent": 25, "width": 2, "obs_std": 0.1} | settings
    settings.setdefault("observe", EveryKth(shape, every))
    scaling = Scaling(torch.zeros(repeats, 3), STD.expand(repeats, 3))
    return CoupledVAE(
        scaling, shape, every, **settings, generator=streams("vae", range(repeats), "weights")
    )


def states(cases, repeats=1):
    """(repeat, case, state)."""
    x = normal((repeats, cases, 3, POINTS**2), streams("vae", range(repeats), "x"), torch.float32)
    return (STD[:, None] * x).flatten(2)


def bumps(cases, *names):
    """(case, state): one bump each, its height and its slopes."""
    centre = uniform((cases, 2, 1, 1), stream("bumps", *names), torch.float32)
    at = torch.linspace(0, 1, POINTS)
    x, y = at[:, None] - centre[:, 0], at - centre[:, 1]
    height = (-(x**2 + y**2) / (2 * 0.15**2)).exp()
    return torch.stack([x * height, y * height, height], 1).flatten(1)


# layers


@pytest.mark.parametrize(("width", "count"), [(4, 78_915), (8, 267_651), (16, 974_787)])
def test_parameters_are_as_many_as_in_the_published_study(width, count):
    scaling = Scaling(torch.zeros(1, 3), torch.ones(1, 3))
    built = CoupledVAE(scaling, (3, 150, 150), 15, latent=400, width=width)
    assert sum(parameter.numel() for parameter in built.parameters()) == count


def test_maps_pass_through_the_published_sizes():
    built, sides = network(shape=(3, 150, 150), every=15, latent=50), []
    for module in (built.encoder, built.obs_encoder, built.decoder):
        passed = []
        for name, layer in module.named_modules():
            if hasattr(layer, "weight") and "residual" not in name:
                layer.register_forward_hook(lambda _, __, out, p=passed: p.append(out.shape[1:3]))
        sides.append(passed)
    x = normal((1, 3 * 150**2), stream("sizes"), torch.float32)
    built.decode(built.encode(x).mean)
    built.encode_observations(built.observe(x))
    encoder, obs_encoder, decoder = ([tuple(size) for size in passed] for passed in sides)
    assert encoder == [(2, 150), (4, 30), (8, 10), (16, 5), (4, 5)]
    assert obs_encoder == [(2, 10), (4, 10), (8, 10), (16, 5), (4, 5)]
    assert decoder == [(16, 5), (8, 10), (4, 30), (2, 150), (3, 150)]


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        *((30, (1, 1, 1)), (15, (1, 1, 2)), (10, (3, 1, 1))),
        *((5, (3, 2, 1)), (2, (5, 3, 1)), (1, (5, 3, 2))),
    ],
)
def test_strides_of_observations_of_150_points(every, expected):
    assert strides((150 // every, 150 // every), (5, 5)) == expected


@pytest.mark.parametrize(
    ("grid", "every"), [(50, 5), (50, 10), (75, 15), (20, 1), (25, 5), (100, 10)]
)
def test_other_grids_lead_to_the_latent_map(grid, every):
    built = network(shape=(3, grid, grid), every=every)
    x = normal((2, 3 * grid**2), stream("grids"), torch.float32)
    assert built.encode(x).mean.shape == (2, 25)
    assert built.encode_observations(built.observe(x)).mean.shape == (2, 25)
    assert built.decode(built.encode(x).mean).shape == x.shape


def test_full_observations_are_seen_through_the_layers_of_the_state_encoder():
    built = network(shape=(3, 50, 50), every=1)
    built.obs_encoder.load_state_dict(built.encoder.state_dict())
    x = normal((2, 7500), stream("full"), torch.float32)
    torch.testing.assert_close(built.encode(x), built.encode_observations(x))


def test_a_closed_axis_turns_with_its_map():
    """Shifted by the product of the strides around the globe, the code shifts by one point."""
    shape = (3, 32, 64)
    built = network(shape=shape, every=8, latent_map=(4, 8), latent=64, periodic=True)
    x = normal((1, *shape), stream("closed"), torch.float32)
    code, turned = (built.encode(v.flatten(1)).mean.view(2, 4, 8) for v in (x, x.roll(8, -1)))
    torch.testing.assert_close(turned, code.roll(1, -1))
    across = built.encode(x.roll(8, -2).flatten(1)).mean.view(2, 4, 8)
    assert not torch.allclose(across, code.roll(1, -2), atol=1e-3)


# the codec


def test_leading_axes_stay_and_a_batch_is_so_many_single_states():
    built = network()
    x = states(6)[0].view(2, 3, -1)
    y = built.observe(x)
    for whole, part in (
        (built.encode(x), built.encode(x[1, 2])),
        (built.encode_observations(y), built.encode_observations(y[1, 2])),
    ):
        assert whole.mean.shape == whole.log_var.shape == (2, 3, 25)
        torch.testing.assert_close(whole.mean[1, 2], part.mean, atol=1e-5, rtol=1e-5)
    decoded = built.decode(built.encode(x).mean)
    assert decoded.shape == x.shape and decoded.dtype == torch.float64


FLOAT32 = {"rtol": 1.3e-6, "atol": 1e-5}  # rounding, of what is kept in float64


def test_repeats_never_meet():
    both, x = network(repeats=2), states(4, repeats=2)
    together = both.decode(both.encode(x).mean)
    loss = both.loss(x, 0.0, streams("vae", range(2), "noise"))
    for repeat in range(2):
        alone = network()
        alone.load_state_dict({k: v[repeat : repeat + 1] for k, v in both.state_dict().items()})
        decoded = alone.decode(alone.encode(x[repeat]).mean)  # of a network in float32
        torch.testing.assert_close(decoded, together[repeat], **FLOAT32)
        single = alone.loss(x[repeat : repeat + 1], 0.0, streams("vae", [repeat], "noise"))
        torch.testing.assert_close(single, loss[repeat : repeat + 1])


def test_units_do_not_matter_when_the_scaling_follows():
    built, other = network(), network()
    other.scaling = Scaling(torch.zeros(1, 3), 7 * STD.expand(1, 3))
    x = states(2)[0]
    torch.testing.assert_close(built.encode(x), other.encode(7 * x))
    z = built.encode(x).mean
    torch.testing.assert_close(7 * built.decode(z), other.decode(z))


def test_log_variances_stay_within_their_bounds():
    built = network()
    with torch.no_grad():
        built.encoder.last.bias[0, 1] = 1e3  # one channel of means, one of log variances
        assert built.encode(states(2)[0]).log_var.unique().tolist() == [6.0]
        built.encoder.last.bias[0, 1] = -1e3
        assert built.encode(states(2)[0]).log_var.unique().tolist() == [-12.0]


def test_stored_weights_make_the_same_network():
    built = network(repeats=2)
    dataset = arrays.weights_dataset(built.state_dict(), {"repeat": [0, 1]})
    values = arrays.weights(dataset)
    scaling = Scaling(values["scaling.mean"], values["scaling.std"])
    shell = CoupledVAE(scaling, SHAPE, EVERY, latent=25, width=2)
    shell.load_state_dict(values)
    x = states(3, repeats=2)
    torch.testing.assert_close(shell.encode(x), built.encode(x))


# the loss


def test_a_network_of_zeros_loses_what_the_data_vary():
    """All codes are N(0, I): of the loss only mean squares of standardised states remain."""
    scaling = Scaling(torch.zeros(1, 3), STD.expand(1, 3))
    zeros = CoupledVAE(
        scaling, SHAPE, EVERY, latent=25, width=2, observe=EveryKth(SHAPE, EVERY), observed=0.5
    )
    x = states(4)
    variance = (x.unflatten(2, (3, -1)) / STD[:, None]).square().mean()
    terms = zeros.terms(x, stream("zeros"))
    assert terms.reconstruction.item() == terms.observed.item() == pytest.approx(variance.item())
    assert terms.matching.item() == terms.divergence.item() == 0
    assert zeros.loss(x, 0.0, stream("zeros")).item() == pytest.approx(1.5 * variance.item())


def test_terms_are_those_of_the_codes_written_out():
    built, x = network(obs_std=0.0), states(4)
    code, code_obs = built.encode(x), built.encode_observations(built.observe(x))
    terms = built.terms(x, streams("vae", [0], "terms"))
    unit = Normal(0.0, 1.0)
    kl = sum(torch_kl(Normal(c.mean, (c.log_var / 2).exp()), unit) for c in (code, code_obs))
    torch.testing.assert_close(terms.divergence, kl.mean((1, 2)))
    torch.testing.assert_close(
        terms.matching, (code.mean - code_obs.mean).square().mean((1, 2)), rtol=1e-4, atol=0
    )

    generator = streams("vae", [0], "terms")
    normal(tuple(built.observe(x).shape), generator, torch.float32)  # the errors of y come first
    noise = normal((1, 8, 25), generator, torch.float32)
    for term, one, part in zip(terms[:2], (code, code_obs), noise.chunk(2, 1), strict=True):
        decoded = built.decode(one.mean + (one.log_var / 2).exp() * part)
        error = ((decoded - x).unflatten(2, (3, -1)) / STD[:, None]).square().mean()
        assert term.item() == pytest.approx(error.item(), rel=1e-5)


def test_errors_of_observations_are_drawn_anew_for_every_batch():
    built, x = network(reconstruction=0, observed=0, divergence=0, obs_std=1.0), states(4)
    generator = stream("anew")
    first, second = (built.loss(x, 0.0, generator) for _ in range(2))
    assert first != second
    assert built.loss(x, 0.0, stream("anew")) == first


def test_gradients_reach_every_weight():
    built = network()
    built.loss(states(8), 0.0, stream("gradient")).sum().backward()
    without = [name for name, p in built.named_parameters() if not p.grad.abs().sum() > 0]
    assert without == []


def test_observations_may_have_units_of_their_own():
    operator = ArctanEveryKth(SHAPE, EVERY)
    x = states(50)[0]
    built = network(observe=operator, obs_scaling=per_variable(operator(x), 3))
    seen = built._maps(operator(x), built.obs_scaling, built.sensors, "observations")
    torch.testing.assert_close(seen.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)
    assert "obs_scaling.std" in built.state_dict()


def test_standardising_divides_each_variable_by_its_own_std():
    scaling = per_variable(states(200)[0], 3, repeats=2)
    torch.testing.assert_close(scaling.std, STD.double().expand(2, 3), rtol=0.01, atol=0)
    assert (scaling.mean == 0).all()


# training


@pytest.fixture(scope="module")
def trained():
    """Reports of two trainings of 150 steps, with and without the matching term."""
    train, test = bumps(200, "train"), bumps(32, "test")[None]
    reports = []
    for matching in (0.1, 0.0):
        built = CoupledVAE(
            per_variable(train, 3),
            SHAPE,
            EVERY,
            latent=50,
            width=4,
            matching=matching,
            observe=EveryKth(SHAPE, EVERY),
            obs_std=0.02,
            generator=streams("bumps", [0], "weights"),
        )
        history = fit(
            built,
            Draws(train, 8, torch.zeros(1)),
            Training(150, 4e-3, warmup=10, clip=1.0, check_every=150),
            watched={"test": test},
            generator=streams("bumps", [0], "training"),
        )
        reports.append({name: values[0] for name, values in history.reports.items()})
    return reports


def test_training_lowers_the_errors_of_both_ways_to_the_state(trained):
    matched, _ = trained
    for name in ("test_loss", "test_state_error", "test_observation_error"):
        before, after = matched[name].tolist()
        assert after < 0.5 * before, name


def test_the_matching_term_aligns_the_codes(trained):
    matched, free = (report["test_mismatch"][-1].item() for report in trained)
    assert matched < 0.5 * free


# refusals


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latent": 30}, "has to be a multiple of 25, got 30"),
        ({"every": 3}, "`every` is 3, but has to divide the 20 x 20 points; possible: 1, 2, 4"),
        ({"shape": (3, 52, 52)}, "no three strides .* from 52 x 52 points .* 50 x 50"),
        ({"shape": (3, 50, 20)}, "no three strides .* from 50 x 20 points to the 5 x 5"),
        ({"shape": (2, 20, 20)}, "3 numbers, but a state has 2 variables"),
    ],
)
def test_sizes_that_cannot_be_are_refused(settings, words):
    operator = EveryKth(SHAPE, EVERY)
    with pytest.raises(ValueError, match=words):
        network(**{"observe": operator} | settings)


def test_what_the_network_was_not_made_for_is_refused():
    built, x = network(), states(2)[0]
    with pytest.raises(ValueError, match="observations with k = 2, 3 x 10 x 10 = 300"):
        built.encode_observations(EveryKth(SHAPE, 4)(x))
    with pytest.raises(ValueError, match="states, 3 x 20 x 20 = 1200 values, got shape"):
        built.encode(x[..., :-1])
    with pytest.raises(ValueError, match="codes have 25 components"):
        built.decode(torch.zeros(2, 50))
    with pytest.raises(ValueError, match=r"2 repeats takes states \(2, ..., size\)"):
        network(repeats=2).encode(states(3)[0])
    with pytest.raises(ValueError, match="training needs the operator"):
        network(observe=None).loss(x[None], 0.0, stream("none"))
    with pytest.raises(ValueError, match="variable 1 never changes"):
        per_variable(torch.tensor([[1.0, 5.0, 2.0], [2.0, 5.0, 1.0]]), 3)
