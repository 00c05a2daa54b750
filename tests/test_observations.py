"""Observations as users have them: irregular, dated, of differing number, longer, in chunks."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from dalib import (
    EKF,
    ETKF,
    BootstrapParticle,
    EnKF,
    Ensemble,
    EulerMaruyama,
    ExtendedRTS,
    Gaussian,
    Identity,
    Kalman,
    Linear,
    Lorenz63,
    Observations,
    Subset,
    assimilate,
    from_numpy,
    io,
    load_belief,
    save_belief,
    smooth,
    to_dataset,
)
from dalib.filters import assimilate as plain
from dalib.filters.steps import asked
from dalib.streams import normal, stream, streams

START = np.datetime64("2020-01-01T00:00")
HOUR = np.timedelta64(1, "h")
PRIOR = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
Q = 0.01


def turned(x, interval):
    """A rotation by 0.1 for each unit of time."""
    c, s = math.cos(0.1 * interval), math.sin(0.1 * interval)
    a, b = x.unbind(-1)
    return torch.stack([c * a - s * b, s * a + c * b], -1)


def step(x):
    return turned(x, 1.0)


def over(x, interval):
    return turned(x, interval)


def dated(hours) -> np.ndarray:
    return START + np.asarray(hours) * HOUR


def drawn(*shape):
    return normal(shape, stream("observations", *shape))


HOURS = [1, 3, 4, 9]
Y = drawn(4, 2)
FULL = np.array([[0.3, 0.1], [0.1, 0.2]])


def exact(hours, values, H=None, R=None, noise=0.0):
    """The Kalman filter of the rotation by the textbook, with Q = `noise` for each hour."""
    m, P, now, found = np.zeros(2), np.eye(2), 0, []
    for hour, y in zip(hours, values, strict=True):
        for _ in range(round(hour - now)):
            F = turned(torch.eye(2).double(), 1.0).numpy().T
            m, P = F @ m, F @ P @ F.T + noise * np.eye(2)
        now = hour
        h, r = (np.eye(2), FULL) if H is None else (H[len(found)], R[len(found)])
        y = np.asarray(y)
        seen = ~np.isnan(y)
        h, r, d = h[seen], r[seen][:, seen], y[seen] - h[seen] @ m
        K = np.linalg.solve(h @ P @ h.T + r, h @ P).T
        m, P = m + K @ d, P - K @ h @ P
        found.append((m, np.sqrt(P.diagonal())))
    return [np.array(v) for v in zip(*found, strict=True)]


# -- times -------------------------------------------------------------------------------------


def test_irregular_times_are_so_many_steps():
    filter = EKF(step=step, model_error_std=Q**0.5)
    observations = Observations(HOURS, Y, Identity(2), FULL, start=0, interval=1)
    found = assimilate(filter, PRIOR, observations)
    mean, std = exact(HOURS, Y.numpy(), noise=Q)
    np.testing.assert_allclose(found.mean, mean, atol=1e-12)
    np.testing.assert_allclose(found.std, std, atol=1e-12)


@pytest.mark.parametrize("times", [HOURS, dated(HOURS), pd.DatetimeIndex(dated(HOURS))])
def test_a_step_that_takes_the_interval_is_called_once(times):
    calls = []

    def counted(x, interval):
        calls.append(interval)
        return turned(x, interval)

    start = 0 if isinstance(times, list) else START
    observations = Observations(times, Y, Identity(2), FULL, start=start, unit=HOUR)
    found = assimilate(ETKF(step=counted, members=10), PRIOR, observations, stream("x"))
    assert sorted(set(calls)) == [1.0, 2.0, 5.0]
    kalman = assimilate(EKF(step=over), Gaussian(*PRIOR), observations)
    mean, _ = exact(HOURS, Y.numpy())
    np.testing.assert_allclose(kalman.mean, mean, atol=1e-12)
    assert found.mean.isfinite().all()


def test_a_step_is_told_time_interval_and_generator():
    told = []

    def model(x, *, time, interval, generator):
        told.append((time, interval, generator))
        return x

    generator = stream("x")
    observations = Observations(dated(HOURS), Y, Identity(2), 1.0, start=START, unit=HOUR)
    assimilate(ETKF(step=model, members=5), PRIOR, observations, generator)
    assert [(t, dt) for t, dt, _ in told] == [(0, 1), (1, 2), (3, 1), (4, 5)]
    assert all(given is generator for *_, given in told)
    told.clear()
    assimilate(ETKF(step=model, members=5, observe=Identity(2), obs_std=1.0), PRIOR, Y, generator)
    assert [(t, dt) for t, dt, _ in told] == [(0, 1), (1, 1), (2, 1), (3, 1)]


def test_numbers_of_times_are_told_as_they_are():
    told = []

    def model(x, time):
        told.append(time)
        return x

    observations = Observations([10.5, 11.0, 12.0], Y[:3], Identity(2), 1.0, start=10, interval=0.5)
    assimilate(ETKF(step=model, members=5), PRIOR, observations, stream("x"))
    assert told == [10.0, 10.5, 11.0, 11.5]


def test_a_stochastic_model_draws_from_the_filters_generator():
    flow = EulerMaruyama(0.01, 1.0).flow(Lorenz63())
    filter = EnKF(step=flow, observe=Identity(3), obs_std=1.0, members=6)
    prior, y = Gaussian(torch.ones(3).double(), torch.eye(3).double()), drawn(2, 4, 3)
    both = plain(filter, prior, y, streams("x", range(2), "f"))
    alone = plain(filter, prior, y[1:], streams("x", range(1, 2), "f"))
    assert torch.equal(both.mean[1:], alone.mean)
    assert not torch.equal(both.mean, plain(filter, prior, y, streams("y", range(2), "f")).mean)


def test_names_that_a_step_asks_for_are_found_in_its_signature():
    assert asked(lambda x: x) == ()
    assert asked(lambda x, interval, time: x) == ("time", "interval")
    assert asked(lambda x, scale=2.0, *, generator=None: x) == ("generator",)
    assert asked(lambda time: time) == ()  # the states, whatever they are called
    assert asked(torch.sin) == ()


def test_an_observation_at_the_start_meets_the_prior():
    observations = Observations([0, 2], Y[:2], Identity(2), FULL, start=0, interval=1)
    found = assimilate(EKF(step=step), PRIOR, observations)
    mean, std = exact([0, 2], Y[:2].numpy())
    np.testing.assert_allclose(found.mean, mean, atol=1e-12)
    np.testing.assert_allclose(found.std, std, atol=1e-12)
    assert torch.equal(found.forecast_mean[0], PRIOR.mean)


def test_two_observations_of_one_time_are_one_after_the_other():
    twice = Observations([1, 1], Y[:2], Identity(2), FULL, start=0, interval=1)
    found = assimilate(EKF(step=step), PRIOR, twice)
    both = Observations(
        [1],
        Y[:2].reshape(1, 4),
        Linear(np.tile(np.eye(2), (2, 1))),
        np.kron(np.eye(2), FULL),
        start=0,
        interval=1,
    )
    assert torch.allclose(found.mean[1], assimilate(EKF(step=step), PRIOR, both).mean[0])


def test_a_series_may_be_longer_than_its_observations():
    observations = Observations(HOURS, Y, Identity(2), FULL, start=0, interval=1)
    filter = EKF(step=step, model_error_std=Q**0.5)
    longer = assimilate(filter, PRIOR, observations.on([2, 4, 10, 12]))
    short = assimilate(filter, PRIOR, observations)
    assert observations.on([2, 4, 10, 12]).times.tolist() == [1, 2, 3, 4, 9, 10, 12]
    assert torch.allclose(longer.mean[[0, 2, 3, 4]], short.mean, atol=1e-13)
    forecast = turned(short.mean[-1], 3.0)
    assert torch.allclose(longer.mean[-1], forecast, atol=1e-12)
    assert (longer.std[-1].square() - short.std[-1].square()).sum().item() == pytest.approx(6 * Q)


@pytest.mark.parametrize("kind", [EKF, ETKF, BootstrapParticle])
def test_in_chunks_a_filter_goes_on_exactly(kind, tmp_path):
    settings = {} if kind is EKF else {"members": 50}
    filter = kind(step=over, model_error_std=0.1, **settings)
    observations = Observations(dated(HOURS), Y, Identity(2), FULL, start=START, unit=HOUR)
    whole = assimilate(filter, PRIOR, observations, stream("x"))
    generator = stream("x")
    first = assimilate(filter, PRIOR, observations[:2], generator)
    save_belief(first.belief, tmp_path / "belief.nc")
    belief = load_belief(tmp_path / "belief.nc")
    assert type(belief) is type(first.belief)
    second = assimilate(filter, belief, observations[2:], generator)
    for name in ("mean", "std", "forecast_mean", "log_likelihood", "innovation"):
        parts = torch.cat([getattr(first, name), getattr(second, name)])
        assert torch.equal(parts, getattr(whole, name))


def test_weighted_particles_are_a_prior_of_any_filter():
    filter = BootstrapParticle(step=step, observe=Identity(2), obs_std=1.0, members=500)
    belief = assimilate(filter, PRIOR, Y[:1], stream("x")).belief
    members = assimilate(
        ETKF(step=step, observe=Identity(2), obs_std=1.0, members=500), belief, Y[1:], stream("x")
    )
    gaussian = assimilate(EKF(step=step, observe=Identity(2), obs_std=1.0), belief, Y[1:])
    assert torch.allclose(members.mean, gaussian.mean, atol=1e-6)


# -- values ------------------------------------------------------------------------------------


def test_numbers_of_values_may_differ():
    H = [np.eye(2)[:1], np.eye(2), np.ones((1, 2)), np.eye(2)[1:]]
    R = [np.array([[0.2]]), FULL, np.array([[0.5]]), np.array([[0.1]])]
    values = [[0.3], [0.1, -0.2], [1.0], [0.5]]
    error = [math.sqrt(0.2), FULL, np.array([[0.5]]), [math.sqrt(0.1)]]
    operators = [Subset((0,)), Identity(2), Linear(H[2]), Subset((1,))]
    observations = Observations(HOURS, values, operators, error, start=0, interval=1)
    mean, std = exact(HOURS, values, H, R)
    for filter in (
        EKF(step=step),
        Kalman(matrix=turned(torch.eye(2).double(), 1.0).T, noise_cov=torch.zeros(2, 2).double()),
    ):
        found = assimilate(filter, PRIOR, observations)
        np.testing.assert_allclose(found.mean, mean, atol=1e-12)
        np.testing.assert_allclose(found.std, std, atol=1e-12)
    parts = assimilate(EKF(step=step), PRIOR, observations[:3])
    np.testing.assert_allclose(parts.mean, mean[:3], atol=1e-12)
    longer = assimilate(EKF(step=step), PRIOR, observations.on([2, 20]))
    np.testing.assert_allclose(longer.mean[[0, 2, 3, 4]], mean, atol=1e-12)


def test_xarray_in_gives_xarray_out():
    y = xr.DataArray(
        drawn(3, 2, 4).numpy(),
        {"time": dated(HOURS), "seed": [7, 8, 9], "station": ["a", "b"]},
        ("seed", "station", "time"),
        attrs={"units": "m"},
    )
    filter = ETKF(step=over, members=10)
    observations = Observations.of(y, Identity(2), FULL, start=START, unit=HOUR)
    found = assimilate(filter, PRIOR, observations, stream("x"), state=["u", "v"], units="m s-1")
    assert found.mean.dims == ("seed", "time", "state")
    assert found.mean.time.dtype.kind == "M"
    np.testing.assert_array_equal(found.mean.time, dated(HOURS))
    assert found.innovation.dims == ("seed", "time", "station")
    assert found.innovation.attrs["units"] == "m" and found.std.attrs["units"] == "m s-1"
    assert found.log_likelihood.dims == ("seed", "time")
    dataset = to_dataset(found)
    assert dataset["mean"].sel(seed=8, state="u").shape == (4,)
    values = torch.as_tensor(y.transpose("seed", "time", "station").values)
    same = dataclasses.replace(observations, values=values, labels=None)
    expected = assimilate(filter, PRIOR, same, stream("x"))
    np.testing.assert_array_equal(found.mean, expected.mean)
    assert found.belief.members.shape == (3, 10, 2)


@pytest.mark.parametrize("kind", ["xarray", "frame", "series"])
def test_labelled_series_are_taken_as_they_are(kind):
    times = pd.date_range("2020-01-01", periods=4, freq="h")
    frame = pd.DataFrame(Y.numpy(), times, ["a", "b"])
    given = {
        "xarray": xr.DataArray(Y.numpy(), {"time": times}, ("time", "x")),
        "frame": frame,
        "series": frame["a"],
    }[kind]
    observe = Subset((0,)) if kind == "series" else Identity(2)
    filter = EKF(step=step, observe=observe, obs_std=0.5)
    found = assimilate(filter, PRIOR, given)
    expected = plain(filter, PRIOR, Y[:, :1] if kind == "series" else Y, None)
    np.testing.assert_array_equal(found.mean, expected.mean)
    np.testing.assert_array_equal(found.mean.time, times)


def test_calendar_months_are_equal_steps():
    times = pd.date_range("2020-01-01", periods=4, freq="MS")
    found = assimilate(
        EKF(step=step, observe=Identity(2), obs_std=0.5), PRIOR, pd.DataFrame(Y.numpy(), times)
    )
    np.testing.assert_array_equal(
        found.mean, plain(EKF(step=step, observe=Identity(2), obs_std=0.5), PRIOR, Y, None).mean
    )


# -- smoothers ---------------------------------------------------------------------------------


def test_smoothers_take_irregular_labelled_observations():
    """As steps of the model with gaps where nothing was observed."""
    y = xr.DataArray(Y.numpy(), {"time": dated(HOURS)}, ("time", "station"))
    filter = ExtendedRTS(step=step, model_error_std=0.1)
    observations = Observations.of(y, Identity(2), FULL, start=START, interval=HOUR)
    found = smooth(filter, PRIOR, observations, state=["u", "v"])
    np.testing.assert_array_equal(found.mean.time, dated(HOURS))
    assert found.mean.dims == ("time", "state") and found.std.attrs["long_name"].startswith("smo")
    rows = torch.full((9, 2), torch.nan).double()
    rows[[0, 2, 3, 8]] = Y
    given = dataclasses.replace(filter, observe=Identity(2), obs_cov=torch.as_tensor(FULL))
    expected = smooth(given, PRIOR, rows)
    np.testing.assert_allclose(found.mean, expected.mean[[0, 2, 3, 8]], atol=1e-12)
    np.testing.assert_allclose(found.mean[-1], found.analyses.mean[-1], atol=1e-12)


# -- functions of numpy ------------------------------------------------------------------------


def numpy_step(x, interval=1.0):
    c, s = np.cos(0.1 * interval), np.sin(0.1 * interval)
    return np.stack([c * x[..., 0] - s * x[..., 1], s * x[..., 0] + c * x[..., 1]], -1)


@pytest.mark.parametrize("each", [False, True])
def test_models_and_operators_of_numpy_are_wrapped_in_a_line(each):
    given = {"step": from_numpy(numpy_step, each=each), "observe": from_numpy(lambda x: x[..., :1])}
    found = assimilate(ETKF(**given, obs_std=0.5, members=10), PRIOR, Y[:, :1], stream("x"))
    native = ETKF(step=step, observe=lambda x: x[..., :1], obs_std=0.5, members=10)
    expected = assimilate(native, PRIOR, Y[:, :1], stream("x"))
    assert torch.allclose(found.mean, expected.mean, atol=1e-12)
    observations = Observations(HOURS, Y[:, :1].numpy(), given["observe"], 0.5, start=0)
    irregular = assimilate(ETKF(step=given["step"], members=10), PRIOR, observations, stream("x"))
    assert irregular.mean.isfinite().all()


def test_functions_of_numpy_draw_from_the_filters_generator():
    def noisy(x, generator):
        return x + 0.1 * generator.standard_normal(x.shape)

    filter = ETKF(step=from_numpy(noisy), observe=Identity(2), obs_std=0.5, members=10)
    first, again, other = (assimilate(filter, PRIOR, Y, stream(name)).mean for name in "xxy")
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_functions_of_numpy_say_that_they_have_no_derivative():
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="a function of numpy has no derivative"):
        from_numpy(np.sin)(x).sum().backward()
    with pytest.raises((TypeError, ValueError), match="derivative"):
        assimilate(EKF(step=from_numpy(numpy_step), observe=Identity(2), obs_std=1.0), PRIOR, Y)


# -- what goes with the analyses -----------------------------------------------------------------


def test_likelihoods_innovations_and_residuals_are_those_of_the_kalman_filter():
    observations = Observations(HOURS, Y, Identity(2), FULL, start=0, interval=1)
    found = assimilate(EKF(step=step), PRIOR, observations)
    assert torch.allclose(found.innovation, Y - found.forecast_mean)
    assert torch.allclose(found.residual, Y - found.mean)
    S = found.forecast_std.square() + torch.as_tensor(FULL).diagonal()
    assert torch.allclose(found.innovation_std, S.sqrt())
    cov = PRIOR.cov + torch.as_tensor(FULL)  # the rotation leaves the identity as it is
    density = torch.distributions.MultivariateNormal(found.forecast_mean[0], cov)
    assert found.log_likelihood[0].item() == pytest.approx(density.log_prob(Y[0]).item())
    assert isinstance(found.belief, Gaussian)
    assert found.chi_square.item() == pytest.approx(
        (found.innovation / found.innovation_std).square().mean().item()
    )


def test_without_diagnostics_nothing_else_changes():
    filter = EnKF(step=step, observe=Identity(2), obs_std=0.5, members=10)
    a = assimilate(filter, PRIOR, Y, stream("x"))
    b = assimilate(filter, PRIOR, Y, stream("x"), diagnostics=False)
    assert torch.equal(a.mean, b.mean) and torch.equal(a.std, b.std)
    assert b.log_likelihood is None and b.innovation is None


def test_a_filter_that_has_lost_the_truth_says_so(caplog):
    """Sure of a model that stands still, while what is observed moves away."""
    y = torch.linspace(0, 50, 100).double()[:, None].expand(100, 2)
    filter = EKF(step=lambda x: x, observe=Identity(2), obs_std=0.1)
    found = assimilate(filter, PRIOR, y)
    assert found.mean.isfinite().all() and not found.diverged
    assert bool(found.inconsistent)
    assert "the filter is too sure" in caplog.text
    good = assimilate(EKF(step=step, observe=Identity(2), obs_std=0.5), PRIOR, Y)
    assert not bool(good.inconsistent)


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"times": [1, 3, 2, 4]}, "times go backwards, from 3.0 to 2.0 at index 2"),
        ({"times": [1, 2, 3]}, "there are 3 times, but values have shape"),
        ({"times": [1, 2, np.nan, 4]}, "times are not finite"),
        ({"values": Y[:, 0]}, r"one value at each time is y\[:, None\]"),
        ({"values": [[1.0], [1.0, 2.0], [1.0], [2.0]]}, "give operator as a list, one for each"),
        ({"values": "none"}, "values are a str; give an array"),
        ({"times": ["a", "b", "c", "d"]}, "expected dates or numbers as times"),
    ],
)
def test_what_is_no_series_is_refused(given, said):
    with pytest.raises((ValueError, TypeError), match=said):
        Observations(**{"times": HOURS, "values": Y, "operator": Identity(2), "error": 1.0} | given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "times are not in equal steps; give the interval of one step"),
        ({"start": 0, "interval": 0.7}, "which is 1.42857 steps of 0.7; give a step that takes"),
        ({"start": 2, "interval": 1}, "the first observation, at 1.0, is before the prior, at 2.0"),
        ({"start": 0, "interval": 1, "error": np.eye(3)}, "obs_cov has shape"),
        ({"start": 0, "interval": 1, "operator": [Identity(2)] * 3}, "4 times of observations"),
    ],
)
def test_what_no_filter_can_follow_is_refused(given, said):
    given = {"operator": Identity(2), "error": 1.0} | given
    with pytest.raises(ValueError, match=said):
        assimilate(ETKF(step=step, members=5), PRIOR, Observations(HOURS, Y, **given), stream("x"))


def test_without_operator_or_errors_a_filter_says_what_it_needs():
    with pytest.raises(TypeError, match="obs_std is None; give a number or a tensor"):
        assimilate(ETKF(step=step, observe=Identity(2)), PRIOR, Y, stream("x"))
    with pytest.raises(TypeError, match="observe is None; give the filter an operator, or"):
        assimilate(ETKF(step=step, obs_std=1.0), PRIOR, Y, stream("x"))


def test_what_is_no_belief_is_neither_written_nor_read(tmp_path):
    other = xr.Dataset({"x": ("n", [1.0], {"units": "1", "long_name": "x"})})
    io.write(other, tmp_path / "x.nc", title="x")
    with pytest.raises(ValueError, match="holds no belief"):
        load_belief(tmp_path / "x.nc")
    with pytest.raises(TypeError, match="a tuple cannot be saved; known: Gaussian, Ensemble"):
        save_belief((1, 2), tmp_path / "y.nc")


def test_a_step_that_changes_the_shape_is_refused():
    filter = EnKF(step=lambda x: x[..., :1], observe=Identity(2), obs_std=1.0, members=5)
    with pytest.raises(ValueError, match="one step turns a mean of shape"):
        assimilate(filter, Ensemble(drawn(5, 2)), Y, stream("x"))
