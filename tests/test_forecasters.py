"""Forecasters against what is known exactly, and on Lorenz-63."""

import copy
import math

import pytest
import torch

from dalib.forecasters import ESN, LSTM, NVAR, Analogue, Climatology, Persistence, TrainingData
from dalib.forecasters.analogue import weights
from dalib.forecasters.equations import Equations
from dalib.forecasters.esn import spectral_radius
from dalib.forecasters.lstm import LSTMNetwork
from dalib.forecasters.nvar import monomials
from dalib.forecasters.ridge import ridge
from dalib.integrate import RK4
from dalib.lyapunov import lyapunov_spectrum
from dalib.streams import normal, stream, streams
from dalib.systems.lorenz import Lorenz63

EXPONENT, INTERVAL = 0.906, 0.02  # of Lorenz-63


def oscillation(cases=2, times=200):
    """A damped rotation, (case, time, 2), that any linear method knows exactly."""
    angle, damping = 0.3, 0.995
    A = damping * torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    x = [normal((cases, 2), stream("oscillation"))]
    for _ in range(times - 1):
        x.append(x[-1] @ A.double().T)
    return torch.stack(x, 1)


def lorenz(cases, times, purpose):
    """(case, time, 3) on the attractor, sampled every 0.02."""
    flow = RK4(0.01, 2).flow(Lorenz63())
    x, series = normal((cases, 3), stream("lorenz", purpose)), []
    x = x + torch.tensor([0.0, 0.0, 25.0]).double()
    for t in range(2500 + times):
        x = flow(x)
        if t >= 2500:
            series.append(x)
    return torch.stack(series, 1)


def data(series):
    return TrainingData(series)


# -- persistence and climatology -----------------------------------------------------------------


def test_persistence_keeps_the_last_state():
    x = oscillation()
    ahead = Persistence().fit().forecast(x, 7)
    assert torch.equal(ahead, x[None, :, -1:].expand(1, 2, 7, 2))


def test_climatology_is_the_mean_of_the_training_states():
    x = oscillation()
    ahead = Climatology().fit(data(x)).forecast(x[:, :1], 3)
    assert ahead.shape == (1, 2, 3, 2)
    torch.testing.assert_close(ahead, x.mean((0, 1)).expand_as(ahead))


def test_members_of_climatology_are_training_states_with_their_moments():
    x = oscillation()
    ahead = Climatology(members=200).fit(data(x)).forecast(x[:, :1], 50, stream("members"))
    known = {tuple(row) for row in x.flatten(0, 1).tolist()}
    assert all(tuple(row) in known for row in ahead[:5].flatten(0, 2).tolist())
    drawn = ahead.flatten(0, 2)
    error = x.flatten(0, 1).std(0) / math.sqrt(len(drawn))
    assert ((drawn.mean(0) - x.mean((0, 1))).abs() < 5 * error).all()
    torch.testing.assert_close(drawn.std(0), x.flatten(0, 1).std(0), rtol=0.03, atol=0)


# -- analogues -----------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbours", [1, 3])
def test_a_context_from_the_training_data_is_followed(neighbours):
    x = lorenz(2, 400, "train")
    ready = Analogue(delays=5, neighbours=neighbours).fit(data(x))
    context = torch.stack([x[0, 90:100], x[1, 40:50]])
    ahead = ready.forecast(context, 30)
    torch.testing.assert_close(
        ahead[0], torch.stack([x[0, 100:130], x[1, 50:80]]), rtol=1e-12, atol=0
    )


def test_where_the_training_series_ends_analogues_of_the_forecast_go_on():
    """A sampled circle of period 20: the forecast goes round for ever."""
    angle = 2 * math.pi * torch.arange(65, dtype=torch.float64) / 20
    x = torch.stack([angle.cos(), angle.sin()], -1)[None]
    ahead = Analogue(delays=3).fit(data(x)).forecast(x[:, 30:44], 200)
    expected = 2 * math.pi * torch.arange(44, 244, dtype=torch.float64) / 20
    torch.testing.assert_close(ahead[0, 0, :, 0], expected.cos(), rtol=0, atol=1e-12)


def test_weights_are_those_of_simplex_projection():
    w = weights(torch.tensor([1.0, 2.0, 3.0]).numpy())
    raw = [math.exp(-1), math.exp(-2), math.exp(-3)]
    assert w.tolist() == pytest.approx([one / sum(raw) for one in raw])
    assert weights(torch.tensor([0.0, 0.0, 3.0]).numpy()).tolist() == [0.5, 0.5, 0.0]


def test_fewer_vectors_than_neighbours_are_refused():
    with pytest.raises(ValueError, match="5 neighbours with 10 delays .* got 2 in data"):
        Analogue(neighbours=5).fit(data(oscillation(2, 11)))


# -- ridge and NVAR ------------------------------------------------------------------------------


def test_ridge_is_the_minimum_of_its_cost_whatever_the_blocks():
    G, Y = normal((50, 4), stream("G")), normal((50, 2), stream("Y"))
    W = ridge([(G[:20], Y[:20]), (G[20:], Y[20:])], 0.7).requires_grad_()
    cost = (Y - G @ W).square().sum() + 0.7 * W.square().sum()
    (slope,) = torch.autograd.grad(cost, W)
    assert slope.abs().max() < 1e-12 * cost.item() * 100


def test_ridge_gives_no_weight_to_what_never_varies_without_penalty():
    G = normal((30, 2), stream("G"))
    G = torch.cat([G, G[:, :1]], 1)  # a feature twice
    W = ridge([(G, G[:, :1])], 0.0)
    torch.testing.assert_close(
        W.flatten(), torch.tensor([0.5, 0.0, 0.5]).double(), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_monomials_are_all_products_of_at_most_so_many(degree):
    v = normal((5, 3), stream("v"))
    found = monomials(v, degree)
    powers = [
        (i, j, k)
        for i in range(degree + 1)
        for j in range(degree + 1)
        for k in range(degree + 1)
        if i + j + k <= degree
    ]
    expected = torch.stack([v[:, 0] ** i * v[:, 1] ** j * v[:, 2] ** k for i, j, k in powers], -1)
    assert found.shape == expected.shape == (5, math.comb(3 + degree, degree))
    torch.testing.assert_close(found.sort(-1).values, expected.sort(-1).values)


@pytest.mark.parametrize("settings", [{"delays": 1, "degree": 1}, {"delays": 2, "degree": 2}])
def test_a_linear_system_is_forecast_exactly(settings):
    x = oscillation(3, 300)
    ahead = NVAR(**settings, penalty=1e-12).fit(data(x[:2])).forecast(x[2:, :50], 250)
    torch.testing.assert_close(ahead[0], x[2:, 50:], rtol=0, atol=1e-9)


def test_a_quadratic_map_is_forecast_exactly():
    """The Hénon map is a polynomial of degree 2 of its state: exact until chaos shows round-off."""
    x = [torch.tensor([0.1, 0.1]).double()]
    for _ in range(1200):
        x.append(torch.stack([1 - 1.4 * x[-1][0] ** 2 + x[-1][1], 0.3 * x[-1][0]]))
    x = torch.stack(x)[None, 100:]
    ahead = NVAR(delays=1, degree=2, penalty=1e-10).fit(data(x[:, :1000])).forecast(x[:, :1050], 15)
    torch.testing.assert_close(ahead[0], x[:, 1050:1065], rtol=0, atol=1e-6)


# -- echo states ---------------------------------------------------------------------------------


def test_a_reservoir_has_the_spectral_radius_asked_for():
    reservoir = ESN(units=80, radius=0.7).reservoir(3, stream("reservoir"))
    assert spectral_radius(reservoir.recurrent) == pytest.approx(0.7, rel=1e-12)
    assert (reservoir.recurrent != 0).sum(0).double().mean() == pytest.approx(10, abs=1.5)


def test_a_reservoir_forgets_its_start_within_the_washout():
    """The echo state property: driven alike, two reservoirs become alike."""
    reservoir = ESN(units=80, radius=0.4).reservoir(2, stream("reservoir"))
    x, s = oscillation(1, 50), normal((2, 80), stream("start"))
    for t in range(50):
        s = reservoir(s, x[:, t])
    assert (s[0] - s[1]).abs().max() < 1e-9


def test_an_echo_state_network_forecasts_an_oscillation():
    x = oscillation(2, 400)
    ready = ESN(units=50, washout=20).fit(data(x), stream("esn"))
    ahead = ready.forecast(x[:, 100:200], 50)
    torch.testing.assert_close(ahead[0], x[:, 200:250], rtol=0, atol=1e-3)


def test_a_context_within_the_washout_is_refused():
    ready = ESN(units=20, washout=30).fit(data(oscillation()), stream("esn"))
    with pytest.raises(ValueError, match="last 31 samples, but the context has 30"):
        ready.forecast(oscillation()[:, :30], 5)


# -- long short-term memory ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def memory():
    method = LSTM(units=12, layers=2, window=20, batch=8, steps=300, washout=5, check_every=50)
    angle = 0.3 * torch.arange(400, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    x = torch.stack([circle, 2 * circle.roll(5, 0)])
    return method.fit(TrainingData(x[:, :300], x[:, 300:]), stream("lstm")), x


def test_the_cell_that_is_iterated_is_that_of_torch(memory):
    """In double precision, one step at a time, against nn.LSTM over the whole context."""
    ready, x = memory
    network = LSTMNetwork(2, 12, 2)
    network.load_state_dict(dict(ready.weights))
    z = ready.scaling(x[:, :40])
    with torch.no_grad():
        expected = z[:, -1] + network.step_std * network(z)[:, -1]
    found = ready.step(ready.start(x[:, :40]))
    torch.testing.assert_close(ready.scaling(ready.state(found)), expected, rtol=0, atol=1e-5)


def test_an_lstm_goes_round_two_circles(memory):
    ready, x = memory
    ahead = ready.forecast(x[:, 200:250], 60)  # three times
    error = (ahead[0] - x[:, 250:310]).square().mean().sqrt()
    assert error < 0.25 * x.std()


def test_an_lstm_training_continues_from_what_was_saved():
    method = LSTM(units=4, window=20, batch=4, steps=30, washout=5, check_every=10)
    given, saved = TrainingData(oscillation(), oscillation()), []
    whole = method.fit(given, stream("lstm"), save=lambda s: saved.append(copy.deepcopy(s())))
    again = method.fit(given, stream("lstm"), resume=saved[14])
    for name, values in whole.weights.items():
        assert torch.equal(again.weights[name], values), name


def test_validation_series_shorter_than_a_window_are_refused():
    x = oscillation()
    with pytest.raises(ValueError, match="validation series of 30 samples hold no window of 60"):
        LSTM().fit(TrainingData(x, x[:, :30]), stream("lstm"))


# -- equations -----------------------------------------------------------------------------------


def test_the_equations_follow_the_truth_and_have_its_exponent():
    x = lorenz(1, 300, "truth")
    given = TrainingData(x, interval=INTERVAL, system=Lorenz63())
    ready = Equations(RK4(0.01, 2)).fit(given)
    torch.testing.assert_close(ready.forecast(x[:, :100], 200)[0], x[:, 100:], rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="over 0.01 of model time, but .* every 0.02"):
        Equations(RK4(0.01)).fit(given)
    with pytest.raises(ValueError, match="data.system, which is None"):
        Equations(RK4(0.01)).fit(TrainingData(x))


# -- Lorenz-63, 20 000 samples -------------------------------------------------------------------


def valid_time(ahead, truth, std):
    """(case,), in Lyapunov times, until the normalised error exceeds 0.4."""
    error = ((ahead[0] - truth) / std).square().mean(-1).sqrt()
    beyond = ~(error <= 0.4)
    first = torch.where(beyond.any(-1), beyond.double().argmax(-1), error.shape[-1])
    return EXPONENT * INTERVAL * first


@pytest.fixture(scope="module")
def experiment():
    """Training data, contexts and truths of 50 cases over 20 Lyapunov times, noise of 0 and 5 %."""
    train, test = lorenz(1, 20000, "train"), lorenz(50, 1200, "test")
    std, valid = train.flatten(0, 1).std(0), lorenz(1, 5000, "valid")
    valid_noise = normal(valid.shape, stream("lorenz", "valid", "noise"))

    def noisy(level):
        noise = streams("lorenz", (0, 1), "noise").generators
        a, b = (
            x + level * std * normal(x.shape, g) for x, g in zip((train, test), noise, strict=True)
        )
        given = TrainingData(a, valid + level * std * valid_noise, interval=INTERVAL)
        return given, b[:, :100]

    return {level: noisy(level) for level in (0.0, 0.05)}, test[:, 100:], std


def median_valid_time(method, experiment, level=0.0):
    sets, truth, std = experiment
    given, context = sets[level]
    ready = method.fit(given, stream("lorenz", "fit"))
    return valid_time(ready.forecast(context, truth.shape[1], None), truth, std).median().item()


@pytest.mark.accuracy
def test_simple_forecasters_reach_their_known_valid_times(experiment):
    """Prototypes: persistence 0.05, analogue 2.3 (1.7 with 5 % of noise)."""
    assert median_valid_time(Persistence(), experiment) == pytest.approx(0.055, abs=0.02)
    assert median_valid_time(Analogue(), experiment) > 2
    assert median_valid_time(Analogue(), experiment, 0.05) > 1


@pytest.mark.accuracy
def test_polynomials_gain_with_their_degree_until_noise_decides(experiment):
    """Prototypes of degree 1, 2, 3, 5: 0.06, 1.5, 5.0, 12.3; none above 1.3 with 5 % of noise."""
    found = [median_valid_time(NVAR(1, 1, p), experiment) for p in (1, 2, 3, 4, 5)]
    assert found == sorted(found)
    assert found[0] < 0.2 and found[1] > 1.2 and found[2] > 4 and found[4] > 10
    assert all(median_valid_time(NVAR(1, 1, p), experiment, 0.05) < 1.3 for p in (1, 2, 3, 5))


@pytest.mark.accuracy
def test_echo_states_reach_their_known_valid_times(experiment):
    """Prototype: 8.3 without noise, 1.9 with 5 %."""
    assert median_valid_time(ESN(), experiment) > 7
    assert median_valid_time(ESN(), experiment, 0.05) > 1.5


@pytest.mark.accuracy
def test_an_lstm_is_better_than_analogues(experiment):
    """Measured 4.2 without noise and 2.1 with 5 %, as long and as large as here."""
    assert median_valid_time(LSTM(steps=1500), experiment) > 3
    assert median_valid_time(LSTM(steps=1500), experiment, 0.05) > 1.5


@pytest.mark.accuracy
def test_the_map_that_was_learned_has_the_exponents_of_the_system(experiment):
    sets, _, _ = experiment
    given, context = sets[0.0]
    ready = NVAR(1, 1, 5).fit(given)
    z = ready.start(context)
    tangent = torch.func.vmap(lambda one: (ready.step(one), torch.func.jacrev(ready.step)(one)))
    found = lyapunov_spectrum(tangent, z, 1500, interval=INTERVAL, discard=100).mean(0)
    assert found[0].item() == pytest.approx(EXPONENT, rel=0.03)
    assert found.sum().item() == pytest.approx(-(10 + 1 + 8 / 3), rel=0.02)
