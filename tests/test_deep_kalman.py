"""The deep Kalman filter as a filter and as a forecaster."""

import math
from types import SimpleNamespace

import pytest
import torch

from dalib.filters import Gaussian, assimilate
from dalib.filters.deep_kalman import DeepKalmanFilter, DeepKalmanSmoother
from dalib.forecasters.deep_kalman import DeepKalmanForecaster
from dalib.forecasters.equations import follow
from dalib.nets.dkf import DeepKalman
from dalib.nets.scaling import Scaling
from dalib.streams import normal, stream, streams
from dalib.train import Training, Windows, fit


def network(repeats=2, **settings):
    scaling = Scaling(torch.full((repeats, 2), 3.0), torch.full((repeats, 2), 4.0))
    built = DeepKalman(
        scaling, latent=4, hidden=8, **settings, generator=streams("d", range(repeats), "w")
    )
    with torch.no_grad():  # as if trained: a transition that moves
        last = built.drift.layers[-1]
        last.weight.add_(0.3 * normal(last.weight.shape, stream("drift"), torch.float32))
    return built


def observations(cases=5, time=12):
    return 3 + 4 * normal((cases, time, 2), stream("y"))


def run(filter, y):
    belief = filter.start(SimpleNamespace(mean=y[..., 0, :]))
    for y_t in y.unbind(-2):
        belief = filter.analyse(filter.forecast(belief), y_t)
    return belief


def test_filter_means_are_the_path_without_noise():
    """Step by step or over the window, the inference network computes the same."""
    net, y = network(), observations()
    scaled = net.scaling(y.expand(2, -1, -1, -1)).transpose(1, 2)
    path = net.sample_path(net.remember(scaled), torch.zeros(2, 12, 5, 4))
    state = run(DeepKalmanFilter(net), y).state
    torch.testing.assert_close(state.mean, path.mean[:, -1])
    torch.testing.assert_close(state.std, path.std[:, -1])


def test_belief_is_in_the_units_of_the_observations():
    net, y = network(), observations()
    belief = run(DeepKalmanFilter(net), y)
    seen = net.emission(belief.state.mean).detach().double()
    torch.testing.assert_close(belief.mean, 3 + 4 * seen)
    assert belief.mean.shape == belief.std.shape == (2, 5, 2)
    assert belief.mean.dtype == torch.float64


def test_first_forecast_is_the_learned_start():
    net = network()
    filter = DeepKalmanFilter(net)
    forecast = filter.forecast(filter.start(SimpleNamespace(mean=torch.zeros(5, 2))))
    torch.testing.assert_close(
        forecast.state.mean, net.first_mean.detach().expand(2, 5, 4), rtol=0, atol=0
    )


def test_leading_axes_are_cases():
    net, y = network(), observations(cases=6)
    flat = run(DeepKalmanFilter(net), y)
    folded = run(DeepKalmanFilter(net), y.view(2, 3, 12, 2))
    torch.testing.assert_close(folded.mean, flat.mean.view(2, 2, 3, 2))


def test_without_observations_the_filter_forecasts():
    """NaN everywhere: the forecast of the same network from the last analysis."""
    net, y = network(), observations()
    y[:, 8:] = math.nan
    filtered = run(DeepKalmanFilter(net), y)
    forecast = DeepKalmanForecaster(net).forecast(y[:, :8], 4)
    rounding = {"rtol": 1.3e-6, "atol": 1e-5}  # of a network in float32
    torch.testing.assert_close(filtered.mean, forecast[:, 0, :, -1], **rounding)


def test_a_filter_continues_from_what_was_saved():
    """Its state holds more than tensors: how often it has predicted."""
    net, y, saved = network(), observations(), []
    prior = Gaussian(y[:, 0], torch.eye(2).double())
    whole = assimilate(
        DeepKalmanFilter(net), prior, y, stream("f"), save=lambda state: saved.append(state())
    )
    for at in (0, 5):
        again = assimilate(DeepKalmanFilter(net), prior, y, stream("f"), resume=saved[at])
        assert torch.equal(again.mean, whole.mean) and torch.equal(again.std, whole.std)


def test_a_missing_component_is_taken_from_the_forecast():
    net, y = network(), observations()
    filter = DeepKalmanFilter(net)
    forecast = filter.forecast(run(filter, y))
    partly = torch.tensor([1.0, math.nan]).double().expand(5, 2)
    filled = torch.where(partly.isfinite(), partly, forecast.mean)
    torch.testing.assert_close(
        filter.analyse(forecast, partly).mean, filter.analyse(forecast, filled).mean
    )
    assert filter.analyse(forecast, partly).mean.isfinite().all()


def test_smoother_means_are_the_path_without_noise():
    net, y = network(backward=True), observations()
    scaled = net.scaling(y.expand(2, -1, -1, -1)).transpose(1, 2)
    path = net.sample_path(net.remember(scaled), torch.zeros(2, 12, 5, 4))
    smoothed = DeepKalmanSmoother(net).smooth(y)
    expected = net.seen(path.mean, path.std)
    torch.testing.assert_close(smoothed.mean, expected.mean.transpose(1, 2), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(smoothed.std, expected.std.transpose(1, 2), rtol=1e-5, atol=1e-5)


def test_smoother_forecasts_beyond_its_last_observation():
    """NaN at the end: the smoother of the others, then the transition alone."""
    net, y = network(backward=True), observations()
    y[:, 8:] = math.nan
    smoothed = DeepKalmanSmoother(net).smooth(y)
    torch.testing.assert_close(
        smoothed.mean[:, :, :8], DeepKalmanSmoother(net).smooth(y[:, :8]).mean
    )
    forecast = DeepKalmanForecaster(net).forecast(y[:, :8], 4)
    torch.testing.assert_close(smoothed.mean[:, :, 8:], forecast[:, 0], rtol=1e-5, atol=1e-5)


def test_a_network_that_looks_ahead_does_not_filter():
    with pytest.raises(ValueError, match="cannot filter; use a DeepKalmanSmoother"):
        DeepKalmanFilter(network(backward=True))


def test_beliefs_carry_no_graph():
    belief = run(DeepKalmanFilter(network()), observations())
    assert not belief.mean.requires_grad and not belief.state.mean.requires_grad


def test_forecasts_have_the_axes_of_a_forecaster_and_start_after_the_context():
    net, y = network(), observations()
    forecaster = DeepKalmanForecaster(net)
    assert forecaster.forecast(y, 7).shape == (2, 1, 5, 7, 2)
    state = run(DeepKalmanFilter(net), y).state
    expected = net.seen(net.transition_mean(state.mean), state.std).mean
    torch.testing.assert_close(forecaster.forecast(y, 1)[:, 0, :, 0], expected)


def test_free_run_without_noise_iterates_the_mean_from_drawn_starts():
    net = network()
    forecaster = DeepKalmanForecaster(net, noisy=False)
    run = forecaster.free_run(6, 10, streams("f", (0, 1), "x"), discard=0)
    again = forecaster.free_run(6, 8, streams("f", (0, 1), "x"), discard=2)
    assert run.states.shape == (2, 6, 10, 2)
    torch.testing.assert_close(run.states[:, :, 2:], again.states, rtol=1e-5, atol=1e-5)
    assert (run.clipped == 0).all()
    assert not torch.allclose(run.states[:, 0], run.states[:, 1])


def test_free_run_with_noise_has_the_variance_of_a_random_walk_where_nothing_moves():
    """g = 0 and s constant: Var z_t = s_1² + t s², within five standard errors; emission A z."""
    net = network(1)
    net.drift.layers[-1].fill(0, 0)
    net.spread.layers[-1].fill(0, 0.3)
    net.curved.layers[-1].fill(0, 0)
    chains, steps = 20_000, 5
    run = DeepKalmanForecaster(net).free_run(chains, 1, streams("w", (0,), "x"), discard=steps)
    s = math.log1p(math.exp(0.3)) + 1e-3
    A = net.linear.weight[0].detach().double()
    expected = 16 * (1 + steps * s * s) * (A * A).sum(0)
    torch.testing.assert_close(
        run.states[0, :, 0].var(0), expected, rtol=5 * math.sqrt(2 / chains), atol=0
    )


def test_chains_that_leave_are_stopped_and_counted():
    net = network()
    net.drift.layers[-1].fill(0, 4.0)  # every step adds 4 to every component: |z| = 8 k
    run = DeepKalmanForecaster(net).free_run(3, 20, streams("e", (0, 1), "x"), discard=0)
    assert run.clipped.tolist() == [1, 1]
    alive = run.states.isfinite().all(-1)
    assert alive[..., :5].all() and not alive[..., 9:].any()


def test_a_trained_network_sees_more_than_its_observations():
    """A noisy rotation, trained for two seconds: the analysis is better than the observations."""
    angle = 0.3
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    ).double()
    x = [2 * normal((60, 2), stream("rotation"))]
    for _ in range(60):
        x.append(x[-1] @ turn.T)
    x = torch.stack(x, 1)
    y = x + normal(x.shape, stream("rotation", "noise"))
    train, test = y[:40], y[40:]
    net = DeepKalman(Scaling.fit(train), latent=2, hidden=16, generator=streams("r", (0,), "w"))
    windows = Windows(train, 16, 32, 1)
    fit(net, windows, Training(250, 1e-2, clip=5.0), generator=streams("r", (0,), "t"))

    filter = DeepKalmanFilter(net)
    belief = filter.start(SimpleNamespace(mean=test[:, 0]))
    errors = []
    for k in range(test.shape[1]):
        belief = filter.analyse(filter.forecast(belief), test[:, k])
        errors.append(belief.mean - x[40:, k])
    rmse = torch.stack(errors[20:]).square().mean().sqrt()
    assert rmse < 0.8  # the observations have 1


# the true equations


def test_following_a_map_gives_its_iterates_without_the_start():
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    assert torch.equal(follow(lambda x: 2 * x, x, 3), torch.stack([2 * x, 4 * x, 8 * x], -2))
