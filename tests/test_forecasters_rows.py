"""What is known exactly of single forecasters: linear systems, periodic series, bounds."""

import math

import pytest
import torch

from dalib.forecasters import direct, hippo, koopman, lem, neural_ode, parrot, plrnn
from dalib.forecasters.base import TrainingData
from dalib.forecasters.scaling import Standard
from dalib.streams import normal, stream, streams

GENERATOR = stream("rows")
SHORT = {"steps": 4, "batch": 2, "check_every": 2}


def rotation(angle: float = 0.1, radius: float = 0.99) -> torch.Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return radius * torch.tensor([[c, s], [-s, c]], dtype=torch.float64)


def linear_series(samples: int = 200) -> torch.Tensor:
    x = [torch.tensor([1.0, 0.5], dtype=torch.float64)]
    for _ in range(samples - 1):
        x.append(x[-1] @ rotation())
    return torch.stack(x).unsqueeze(0)


# -- EDMD ----------------------------------------------------------------------------------------


def test_edmd_finds_the_eigenvalues_of_a_linear_map():
    fitted = koopman.EDMD(degree=1, penalty=0.0).fit(TrainingData(linear_series()))
    found = fitted.eigenvalues()
    for known in torch.linalg.eigvals(rotation()):
        assert (found - known).abs().min() < 1e-8


def test_edmd_of_a_linear_map_forecasts_it_exactly():
    x = linear_series(150)
    fitted = koopman.EDMD(degree=1, penalty=0.0).fit(TrainingData(x[:, :100]))
    assert torch.allclose(fitted.forecast(x[:, :100], 50)[0], x[:, 100:], atol=1e-8)


def test_products_of_eigenvalues_are_eigenvalues_of_the_monomials():
    """Of a linear map the monomials of degree 2 are closed: K has the products λ_i λ_j."""
    x = linear_series(400) + 0.0
    fitted = koopman.EDMD(degree=2, penalty=0.0).fit(TrainingData(x))
    λ = torch.linalg.eigvals(rotation())
    for known in (λ[0] ** 2, λ[0] * λ[1]):
        assert (fitted.eigenvalues() - known).abs().min() < 1e-6


def test_reencoding_at_every_step_is_the_iterated_state():
    """Then the map is x -> B ψ(x) K, whatever K does to the features elsewhere."""
    x = normal((1, 300, 2), stream("edmd"))
    fitted = koopman.EDMD(degree=2, penalty=1e-3, reencode=1).fit(TrainingData(x))
    z = fitted.start(x)
    for _ in range(3):
        z = fitted.step(z)
        state = fitted._linear(z)
        assert torch.allclose(z[..., 1:3], state)
        assert torch.allclose(z[..., 3], state[..., 0] ** 2)


# -- PLRNN ---------------------------------------------------------------------------------------


def test_orbits_of_the_clipped_map_stay_bounded():
    """|F(z)| ≤ |A| |z| + |W₁| |h₂| + |h₁|, so that |z| ≤ (|W₁| |h₂| + |h₁|) / (1 - |A|)."""
    network = plrnn.ShallowPLRNN(3, 40).double()
    with torch.no_grad():
        network.A.fill_(0.8)
        network.W1.mul_(30)
        z = 50 * torch.ones(3, dtype=torch.float64)
        bound = network.W1.abs().sum() * network.h2.abs().max() + network.h1.abs().max()
        for _ in range(500):
            z = network(z)
    assert z.abs().max() <= bound / (1 - 0.8) + 1e-9


def test_full_forcing_is_the_error_of_single_steps():
    network = plrnn.ShallowPLRNN(2, 5)
    x = normal((4, 9, 2), stream("forcing")).float()
    single = (network(x[:, :-1]) - x[:, 1:]).square().mean()
    assert torch.allclose(plrnn.ForcedError(1.0)(network, x), single, atol=1e-6)


def test_the_ridge_start_is_better_than_random_weights():
    x = linear_series(300)
    method = plrnn.PLRNN(hidden=30, **SHORT)
    torch.manual_seed(0)
    random, begun = method.network(2), method.network(2)
    method.start(begun, x, GENERATOR)
    error = plrnn.ForcedError(1.0)
    assert error(begun, x) < 0.01 * error(random, x)


# -- neural ODE ----------------------------------------------------------------------------------


def a_flow(substeps: int = 1) -> neural_ode.NeuralODEForecast:
    torch.manual_seed(0)
    field = neural_ode.VectorField(2, 8)
    scaling = Standard(torch.zeros(2).double(), torch.ones(2).double())
    return neural_ode.NeuralODEForecast(dict(field.state_dict()), scaling, substeps)


def test_the_fitted_flow_is_that_of_the_network():
    torch.manual_seed(0)
    field = neural_ode.VectorField(2, 8)
    z = normal((5, 2), stream("flow"))
    assert torch.allclose(a_flow().step(z), field(z.float()).double(), atol=1e-6)


def test_a_learned_flow_can_be_integrated_over_other_intervals():
    """Half an interval twice is a whole one, to the order of the solver."""
    z = normal((5, 2), stream("flow"))
    coarse, fine = a_flow(8), a_flow(8)
    assert torch.allclose(fine.advance(fine.advance(z, 0.5), 0.5), coarse.step(z), atol=1e-7)
    assert torch.allclose(fine.advance(fine.advance(z, 1.0), -1.0), z, atol=1e-6)


# -- direct --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [direct.TiDE, direct.NBEATS])
def test_a_direct_forecast_is_rolled(kind):
    """What a longer forecast begins with is the shorter one."""
    x = normal((2, 60, 3), streams("direct", range(2), "series"))
    method = kind(context=10, length=4, hidden=6, **SHORT)
    fitted = method.fit(TrainingData(x), stream("direct"))
    whole = fitted.forecast(x, 11)
    assert whole.shape == (1, 2, 11, 3)
    assert torch.allclose(whole[:, :, :4], fitted.forecast(x, 4))
    rolled = fitted.forecast(torch.cat([x, whole[0, :, :4]], 1), 4)
    assert torch.allclose(whole[:, :, 4:8], rolled, atol=1e-5)


def test_a_network_of_single_channels_does_not_mix_them():
    x = normal((1, 60, 2), stream("channels"))
    fitted = direct.TiDE(context=8, length=3, hidden=6, **SHORT).fit(TrainingData(x), stream("d"))
    other = x.clone()
    other[..., 1] += normal(other[..., 1].shape, stream("other"))
    assert torch.equal(fitted.forecast(x, 7)[..., 0], fitted.forecast(other, 7)[..., 0])


def test_the_window_of_a_direct_forecaster_cannot_be_another():
    with pytest.raises(ValueError, match="leave it out"):
        direct.TiDE(context=8, length=3, window=20)


# -- LEM -----------------------------------------------------------------------------------------


def test_the_fitted_lem_steps_as_the_network_does():
    x = normal((1, 80, 2), stream("lem"))
    fitted = lem.LEM(units=6, window=12, washout=3, **SHORT).fit(TrainingData(x), stream("lem"))
    network = lem.LEMNetwork(2, 6)
    network.load_state_dict(dict(fitted.weights))
    standard = fitted.scaling(x[:, :30])
    increment = network(standard)[:, -1].double() * network.step_std
    expected = fitted.scaling.invert(standard[:, -1] + increment)
    assert torch.allclose(fitted.forecast(x[:, :30], 1)[0, :, 0], expected, atol=1e-5)


def test_the_states_of_a_lem_stay_within_one():
    """y and z are convex combinations of themselves and of tanh."""
    network = lem.LEMNetwork(2, 7)
    y = z = torch.zeros(3, 7)
    for t in range(50):
        x = 100 * normal((3, 2), stream("lem", t)).float()
        y, z = lem.lem_cell(y, z, x, dict(network.named_parameters()))
    assert y.abs().max() <= 1 and z.abs().max() <= 1


# -- parrot --------------------------------------------------------------------------------------


def test_the_parrot_continues_a_periodic_context_exactly():
    t = torch.arange(100, dtype=torch.float64)
    x = torch.stack([(t % 7), (t % 7) ** 2], -1).unsqueeze(0)
    assert torch.equal(parrot.ContextParrot(5).fit().forecast(x[:, :60], 40)[0], x[:, 60:])


def test_units_of_components_do_not_matter_to_the_parrot():
    x = normal((1, 200, 2), stream("parrot"))
    scale = torch.tensor([1.0, 1000.0], dtype=torch.float64)
    made = parrot.ContextParrot(3).fit().forecast(x, 20)
    assert torch.allclose(parrot.ContextParrot(3).fit().forecast(x * scale, 20), made * scale)


def test_a_context_too_short_for_the_parrot_is_refused():
    with pytest.raises(ValueError, match="lower `delays`"):
        parrot.ContextParrot(10).fit().forecast(torch.zeros(1, 10, 2), 3)


# -- HiPPO ---------------------------------------------------------------------------------------


def test_the_memory_of_a_constant_is_its_mean_alone():
    """c = (u, 0, 0, ...) is a fixed point: A c + B u = 0."""
    A, B = hippo.legendre_memory(6, 10.0)
    c = torch.zeros(6, dtype=torch.float64)
    c[0] = 1.0
    assert torch.allclose(A @ c + B, torch.zeros(6, dtype=torch.float64), atol=1e-12)


def test_the_slope_of_a_straight_line_is_found():
    """But for the hold of the input between samples, which is of second order in 1/θ."""
    t = torch.arange(800, dtype=torch.float64)
    errors = []
    for window in (40, 80):
        method = hippo.HiPPOProphecy(order=3, window=window)
        slope = method.slope(method.memory((0.5 * t)[None, :, None])).item()
        errors.append(abs(slope - 0.5))
    assert errors[0] < 2e-3
    assert errors[1] == pytest.approx(errors[0] / 4, rel=0.1)


def test_the_error_of_the_slope_falls_with_the_order():
    t = torch.arange(1500, dtype=torch.float64)
    u, known = torch.sin(0.02 * t)[None, :, None], math.cos(0.02 * t[-1].item())
    errors = []
    for order in (4, 8, 16):
        method = hippo.HiPPOProphecy(order=order, window=200)
        errors.append(abs(method.slope(method.memory(u)).item() / 0.02 - known))
    assert errors[0] > 10 * errors[1] > 50 * errors[2]
