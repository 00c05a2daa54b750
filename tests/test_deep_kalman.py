"""The deep Kalman filter as a filter and as a forecaster."""

import math
from types import SimpleNamespace

import pytest
import torch

from dalib.estimators.deep_kalman import DeepKalman as Method
from dalib.estimators.deep_kalman import FittedDeepKalman
from dalib.filters import Gaussian, assimilate
from dalib.filters.deep_kalman import DeepKalmanFilter, DeepKalmanSmoother
from dalib.forecasters.base import TrainingData
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


def fitted(net, repeat=0, **settings):
    """One repeat of a network as the method that was fitted."""
    weights = {n: v.detach()[repeat : repeat + 1] for n, v in net.state_dict().items()}
    return FittedDeepKalman(weights, net.latent, net.hidden, net.backward, **settings)


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
    rounding = {"rtol": 1.3e-6, "atol": 1e-5}  # of a network in float32
    for repeat in range(2):
        forecast = fitted(net, repeat).forecast(y[:, :8], 4)
        torch.testing.assert_close(filtered.mean[repeat], forecast[0, :, -1], **rounding)


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
    forecast = fitted(net).forecast(y[:, :8], 4)
    torch.testing.assert_close(smoothed.mean[0, :, 8:], forecast[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fitted(net).smooth(y).mean, smoothed.mean[0], rtol=1e-5, atol=1e-5)


def test_a_network_that_looks_ahead_does_not_filter():
    with pytest.raises(ValueError, match="cannot filter; use a DeepKalmanSmoother"):
        DeepKalmanFilter(network(backward=True))


def test_beliefs_carry_no_graph():
    belief = run(DeepKalmanFilter(network()), observations())
    assert not belief.mean.requires_grad and not belief.state.mean.requires_grad


def test_a_fitted_method_filters_as_its_network_does():
    net, y = network(), observations()
    found = fitted(net, 1).filter(y)
    belief = run(DeepKalmanFilter(net), y)
    torch.testing.assert_close(found.mean[:, -1], belief.mean[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.std[:, -1], belief.std[1], rtol=1e-5, atol=1e-5)
    assert found.forecast_mean.shape == found.mean.shape == (5, 12, 2)
    with pytest.raises(TypeError, match="is no filter; take smooth"):
        fitted(network(backward=True)).filter(y)


def test_forecasts_start_after_the_context_from_the_analysis():
    net, y = network(), observations()
    method, state = fitted(net), run(DeepKalmanFilter(net), y).state
    assert method.forecast(y, 7).shape == (1, 5, 7, 2)
    expected = net.seen(net.transition_mean(state.mean), state.std).mean
    torch.testing.assert_close(method.forecast(y, 1)[0, :, 0], expected[0])
    torch.testing.assert_close(method.analysis(y), net.seen(state.mean, state.std).mean[0])


def test_a_free_run_without_noise_iterates_the_mean_from_a_drawn_start():
    method, y = fitted(network(), noisy=False), observations()
    run = method.free_run(y, 10, stream("f"))
    again = method.free_run(y, 8, stream("f"))
    assert run.shape == (5, 10, 2)
    torch.testing.assert_close(run[:, :8], again, rtol=1e-5, atol=1e-5)
    same = method.free_run(y[:1].expand(5, -1, -1), 10, stream("f"))
    assert not torch.allclose(same[0], same[1])  # drawn from one analysis


def test_a_free_run_has_the_variance_of_a_random_walk_where_nothing_moves():
    """g = 0 and s constant: Var z_t = s_0² + t s², within five standard errors; emission A z."""
    net = network(1)
    net.drift.layers[-1].fill(0, 0)
    net.spread.layers[-1].fill(0, 0.3)
    net.curved.layers[-1].fill(0, 0)
    chains, steps, y = 20_000, 6, observations(cases=1)
    run = fitted(net).free_run(y.expand(chains, -1, -1), steps, stream("w"))
    start = run_std(net, y)
    s = math.log1p(math.exp(0.3)) + 1e-3
    A = net.linear.weight[0].detach().double()
    expected = 16 * ((start**2 + steps * s * s)[:, None] * A * A).sum(0)
    torch.testing.assert_close(run[:, -1].var(0), expected, rtol=5 * math.sqrt(2 / chains), atol=0)


def run_std(net, y):
    """(latent,), of the last analysis of the one case."""
    return run(DeepKalmanFilter(net), y).state.std[0, 0].double()


def test_chains_that_leave_are_stopped():
    net = network()
    net.drift.layers[-1].fill(0, 4.0)  # every step adds 4 to every component: |z| grows by 8
    alive = fitted(net).free_run(observations(), 20, stream("e")).isfinite().all(-1)
    assert alive[:, :2].all() and not alive[:, 15:].any()
    assert (alive[:, 1:] <= alive[:, :-1]).all()  # for good


def test_replicates_are_fitted_at_once_as_each_alone_and_report_on_the_way():
    y = observations(cases=6, time=20)
    data = TrainingData(y[:4], y[4:])
    method = Method(latent=2, hidden=4, steps=4, batch=3, window=8, check_every=2)
    both = method.fit_each([data, data], streams("m", range(2), "fit"))
    alone = method.fit(data, stream("m", 1, "fit"))
    torch.testing.assert_close(both[1].forecast(y, 3), alone.forecast(y, 3))
    assert both[0].history["checks"].tolist() == [0, 2, 4]
    assert both[0].history["valid_error_std"].shape == (3, 2)
    assert not torch.equal(both[0].forecast(y, 3), both[1].forecast(y, 3))


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
