"""Networks with a repeat axis: torch's own one by one; bounds and closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from dalib.nets.batched import GRU, Linear
from dalib.nets.dkf import DeepKalman, Moments, kl_divergence
from dalib.nets.mlp import MLP
from dalib.nets.scaling import Scaling
from dalib.nets.score import Score
from dalib.streams import Streams, normal, stream, streams

SEEDS = (3, 1, 4)


def weights_of(seeds):
    return streams("nets", seeds, "weights")


def noise_of(seeds):
    return streams("nets", seeds, "noise")


def deep_kalman(seeds=SEEDS, size=3, **settings):
    scaling = Scaling(torch.zeros(len(seeds), size), torch.ones(len(seeds), size))
    return DeepKalman(scaling, **settings, generator=weights_of(seeds))


@pytest.mark.parametrize("repeat", range(3))
def test_linear_is_torch_linear_for_each_repeat(repeat):
    layer = Linear(3, 5, 4, weights_of(SEEDS))
    x = normal((3, 2, 7, 5), noise_of(SEEDS), torch.float32)
    twin = nn.Linear(5, 4)
    twin.weight.data = layer.weight[repeat].T
    twin.bias.data = layer.bias[repeat, 0]
    torch.testing.assert_close(layer(x)[repeat], twin(x[repeat]))


@pytest.mark.parametrize("repeat", range(3))
def test_gru_is_torch_gru_for_each_repeat(repeat):
    layer = GRU(3, 2, 5, weights_of(SEEDS))
    x = normal((3, 9, 4, 2), noise_of(SEEDS), torch.float32)
    twin = nn.GRU(2, 5)
    twin.weight_ih_l0.data, twin.weight_hh_l0.data = (
        layer.weight_x[repeat].T,
        layer.weight_h[repeat].T,
    )
    twin.bias_ih_l0.data, twin.bias_hh_l0.data = layer.bias_x[repeat, 0], layer.bias_h[repeat, 0]
    torch.testing.assert_close(layer(x)[repeat], twin(x[repeat])[0])


def test_gru_step_by_step_is_the_gru_over_the_window():
    layer = GRU(2, 3, 4, weights_of((0, 1)))
    x = normal((2, 6, 5, 3), noise_of((0, 1)), torch.float32)
    h = torch.zeros(2, 5, 4)
    for t in range(6):
        h = layer.step(x[:, t], h)
        torch.testing.assert_close(h, layer(x)[:, t])


def test_mlp_has_activations_between_its_layers_only():
    mlp = MLP(1, (2, 3, 1), torch.relu, weights_of((0,)))
    x = normal((1, 8, 2), stream("mlp"), torch.float32)
    first, last = mlp.layers
    torch.testing.assert_close(mlp(x), last(first(x).relu()))


def test_first_weights_lie_within_one_over_root_fan_in():
    weight = Linear(1, 25, 400, stream("fan-in")).weight
    assert weight.abs().max() <= 1 / 5
    assert weight.std().item() == pytest.approx(1 / 5 / math.sqrt(3), rel=0.02)


def test_scaling_inverts_and_standardises_its_own_training_data():
    data = 3 + 2 * normal((50, 40, 3), stream("scaling"))
    scaling = Scaling.fit(data, repeats=2)
    scaled = scaling(data.expand(2, -1, -1, -1))
    torch.testing.assert_close(scaling.invert(scaled).float(), data.expand(2, -1, -1, -1).float())
    torch.testing.assert_close(scaled.mean((1, 2)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.flatten(1, 2).std(1), torch.ones(2, 3))


def test_scaling_leaves_out_incomplete_rows_and_refuses_too_few():
    data = torch.tensor([[1.0, 10.0], [3.0, 30.0], [math.nan, 1e9]])
    torch.testing.assert_close(Scaling.fit(data).mean, torch.tensor([[2.0, 20.0]]).double())
    with pytest.raises(ValueError, match="at least 2 complete training values, got 1"):
        Scaling.fit(data[1:])


# deep Kalman filter


def test_kl_is_that_of_torch_distributions():
    q, p = (
        Moments(normal((7, 3), stream(name)), normal((7, 3), stream(name, "std")).exp())
        for name in "qp"
    )
    expected = torch_kl(Normal(*q), Normal(*p)).sum(-1)
    torch.testing.assert_close(kl_divergence(q, p), expected)


def test_kl_is_the_mean_log_ratio_of_samples():
    """200 000 samples: within five standard errors."""
    q = Moments(torch.tensor([0.3, -1.0]).double(), torch.tensor([0.5, 1.2]).double())
    p = Moments(torch.tensor([0.0, 0.2]).double(), torch.tensor([1.0, 0.9]).double())
    z = q.mean + q.std * normal((200_000, 2), stream("kl"))
    ratio = (Normal(*q).log_prob(z) - Normal(*p).log_prob(z)).sum(-1)
    error = ratio.std() / len(z) ** 0.5
    assert abs(kl_divergence(q, p) - ratio.mean()) < 5 * error


def test_deep_kalman_has_the_parameters_of_the_reference():
    """25 125 for three observations, six latent variables, width 64."""
    parameters = deep_kalman((0,)).parameters()
    assert sum(p.numel() for p in parameters) == 25_125


def test_untrained_transition_stands_still_and_its_free_filter_stays_finite():
    network = deep_kalman()
    z = normal((3, 10, 6), noise_of(SEEDS), torch.float32)
    torch.testing.assert_close(network.transition_mean(z), z, rtol=0, atol=0)
    state = network.begin((10,))
    for y in 5 * normal((500, 10, 3), stream("observations")):
        state = network.update(network.predict(state), y)
    assert state.mean.abs().max() < 100


@pytest.mark.parametrize("backward", [False, True])
def test_a_batch_of_repeats_is_each_repeat_alone(backward):
    """Loss and gradient of repeat r do not know of the others."""
    y = normal((3, 8, 12, 3), noise_of(SEEDS))
    together = deep_kalman(backward=backward)
    loss = together.loss(y, 0.1, noise_of(SEEDS))
    loss.sum().backward()
    for r, seed in enumerate(SEEDS):
        alone = deep_kalman((seed,), backward=backward)
        own = alone.loss(y[r : r + 1], 0.1, noise_of((seed,)))
        own.sum().backward()
        torch.testing.assert_close(loss[r : r + 1], own, rtol=1e-5, atol=1e-6)
        for p, q in zip(together.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(p.grad[r : r + 1], q.grad, rtol=1e-4, atol=1e-6)


def test_a_filter_knows_the_past_only_and_a_smoother_the_future():
    y = normal((1, 5, 12, 3), stream("y"))
    changed = y.clone()
    changed[:, :, 6] += 1
    for backward in (False, True):
        network = deep_kalman((0,), backward=backward)
        h, h_changed = (network.remember(network.scaling(v).transpose(1, 2)) for v in (y, changed))
        same = (h == h_changed).all(-1).all(-1).squeeze(0)
        known = torch.arange(12) > 6 if backward else torch.arange(12) < 6
        assert same.tolist() == known.tolist()


def test_weight_of_the_divergence_rises_linearly_and_then_stays():
    network = deep_kalman((0,), first_beta=0.2, anneal=0.5)
    y = normal((1, 4, 6, 3), stream("anneal"))
    surprise, kl = network.terms(y, stream("n"))
    for fraction, beta in ((0, 0.2), (0.25, 0.6), (0.5, 1), (0.9, 1)):
        torch.testing.assert_close(network.loss(y, fraction, stream("n")), surprise + beta * kl)


def test_elbo_stays_below_the_exact_likelihood_of_a_linear_model():
    """With g = f = 0 the model is a random walk seen through A: a Kalman filter gives log p(y).

    Mean of the ELBO over 4000 samples of z for each sequence, at most five standard errors above.
    """
    T, latent, size = 6, 2, 2
    network = deep_kalman((5,), size=size, latent=latent, hidden=8)
    network.curved.layers[-1].fill(0, 0)
    network.spread.layers[-1].fill(0, -0.5)
    y = normal((1, 1, T, size), stream("linear"))

    A = network.linear.weight[0].T.double()
    b = network.linear.bias[0, 0].double()
    Q = network.transition_std(torch.zeros(1, 1, latent))[0, 0].double().square().diag()
    R = network.log_error[0, 0].double().exp().square().diag()
    m, P = torch.zeros(latent).double(), torch.eye(latent).double()
    log_likelihood = 0.0
    for t in range(T):
        S = A @ P @ A.T + R
        predicted = torch.distributions.MultivariateNormal(A @ m + b, S)
        log_likelihood += predicted.log_prob(y[0, 0, t])
        K = torch.linalg.solve(S, A @ P).T
        m, P = m + K @ (y[0, 0, t] - A @ m - b), P - K @ S @ K.T
        P = P + Q

    with torch.no_grad():
        samples = torch.stack(
            [
                -sum(network.terms(y, generator)) * T
                for generator in [stream("elbo")]
                for _ in range(4000)
            ]
        )
    assert samples.mean() < log_likelihood + 5 * samples.std() / 4000**0.5


def test_elbo_of_the_exact_posterior_is_the_likelihood():
    """A static one-step model: q = posterior makes the bound tight, in the mean over samples."""
    network = deep_kalman((0,), size=1, latent=1, hidden=2)
    network.curved.layers[-1].fill(0, 0)
    network.linear.fill(1, 0)
    y = torch.full((1, 20_000, 1, 1), 0.7).double()
    r = math.exp(-1)
    gain = 1 / (1 + r * r)
    with torch.no_grad():  # last layer: c = y-independent here, so put the answer into its bias
        network.inference.layers[-1].weight.zero_()
        std = math.sqrt(1 - gain)
        bias = [gain * 0.7, math.log(math.expm1(std - 1e-3)) + 1, 50.0]  # gate open
        network.inference.layers[-1].bias.copy_(torch.tensor(bias).view(1, 1, 3))
        surprise, kl = network.terms(y, stream("posterior"))
    exact = -Normal(0.0, math.sqrt(1 + r * r)).log_prob(torch.tensor(0.7)).item()
    assert (surprise + kl).item() == pytest.approx(exact, abs=5 * 1.5 / 20_000**0.5)


def test_emitted_std_is_that_of_the_linearised_emission():
    network = deep_kalman((2,))
    mean = normal((1, 4, 6), stream("m"), torch.float32)
    std = 0.1 + normal((1, 4, 6), stream("s"), torch.float32).abs()
    J = torch.func.vmap(torch.func.jacrev(lambda z: network.emission(z.view(1, 1, 6)).view(3)))(
        mean[0]
    )
    expected = (J * std[0].unsqueeze(-2)).square().sum(-1).sqrt()
    torch.testing.assert_close(network.seen(mean, std).std[0].float(), expected)


# score


def test_score_network_has_the_parameters_of_the_reference():
    scaling = Scaling(torch.zeros(1, 3), torch.ones(1, 3))
    assert sum(p.numel() for p in Score(scaling).parameters()) == 35_971


def test_scores_of_repeats_are_independent():
    scaling = Scaling(torch.zeros(3, 2), torch.ones(3, 2))
    together = Score(scaling, hidden=8, generator=weights_of(SEEDS))
    x = normal((3, 16, 2), noise_of(SEEDS))
    loss = together.loss(x, 0.0, noise_of(SEEDS))
    for r, seed in enumerate(SEEDS):
        one = Scaling(torch.zeros(1, 2), torch.ones(1, 2))
        alone = Score(one, hidden=8, generator=weights_of((seed,)))
        own = alone.loss(x[r : r + 1], 0.0, noise_of((seed,)))
        torch.testing.assert_close(loss[r : r + 1], own, rtol=1e-5, atol=1e-6)


def test_zero_score_has_loss_three_and_the_exact_score_less():
    """E‖ε‖² = 3; with data N(0, 1) the exact score leaves Σ E[ε²] σ-averaged 1/(1 + σ²)."""
    scaling = Scaling(torch.zeros(1, 3), torch.ones(1, 3))
    x = normal((1, 200_000, 3), stream("x"))
    network = Score(scaling)  # zero weights
    assert network.loss(x, 0, stream("loss")).item() == pytest.approx(3, abs=5 * 6**0.5 / 447)

    network.noise = lambda x, sigma: -sigma * x / (1 + sigma.square())
    low, high = math.log(0.02), math.log(3)
    mean = 0.5 * (math.log(1 + math.exp(-2 * low)) - math.log(1 + math.exp(-2 * high)))
    expected = 3 * mean / (high - low)  # ∫ dln σ / (1 + σ²)
    assert network.loss(x, 0, stream("loss")).item() == pytest.approx(expected, abs=0.03)


def test_gradient_of_the_loss_vanishes_at_the_exact_score_of_a_gaussian():
    """s = -a x/(1 + σ²) has its least loss at a = 1: slope within five standard errors of 0."""
    scaling = Scaling(torch.zeros(1, 1), torch.ones(1, 1))
    network = Score(scaling)
    a = torch.ones((), requires_grad=True)
    network.noise = lambda x, sigma: -a * sigma * x / (1 + sigma.square())
    slopes = []
    for k in range(50):
        loss = network.loss(normal((1, 4000, 1), stream("x", k)), 0, stream("e", k))
        slopes.append(torch.autograd.grad(loss.sum(), a)[0])
    slopes = torch.stack(slopes)
    assert slopes.mean().abs() < 5 * slopes.std() / len(slopes) ** 0.5


def test_streams_of_two_repeats_give_two_networks():
    network = deep_kalman((0, 1))
    assert not torch.equal(network.memory.weight_h[0], network.memory.weight_h[1])
    assert isinstance(weights_of((0,)), Streams)


def test_scaling_of_a_component_that_never_changes_is_refused():
    data = torch.cat([normal((50, 1), stream("scaling")), torch.full((50, 1), 3.0).double()], 1)
    with pytest.raises(ValueError, match="component 1 is always 3 in the training data"):
        Scaling.fit(data)


def test_the_kl_has_its_full_weight_from_the_first_step_without_annealing():
    network = deep_kalman(anneal=0.0)
    y = normal((len(SEEDS), 2, 5, 3), stream("y"))
    surprise, kl = network.terms(y, stream("loss"))
    torch.testing.assert_close(network.loss(y, 0.0, stream("loss")), surprise + kl)
