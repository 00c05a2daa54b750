import math
from dataclasses import dataclass

import pytest
import torch
from torch.func import jacfwd, jacrev, vmap

from dalib.integrate import RK4, EulerMaruyama, Exact, Iterate, rk4_step, trajectory
from dalib.streams import stream, streams
from dalib.systems.clohessy_wiltshire import ClohessyWiltshire
from dalib.systems.henon import Henon
from dalib.systems.lorenz import Lorenz63, Lorenz96
from dalib.systems.rossler import Rossler

FLOWS = [Lorenz63(), Lorenz96(), Rossler(), ClohessyWiltshire(0.4)]


def name(system) -> str:
    return type(system).__name__


def states(system, *leading: int):
    return torch.randn(*leading, system.size, generator=torch.Generator().manual_seed(1)).double()


@dataclass(frozen=True)
class Decay:
    rate: float = 1.0
    size = 1
    names = ("x",)

    def drift(self, x):
        return -self.rate * x


@pytest.mark.parametrize("system", FLOWS, ids=name)
def test_rk4_is_of_fourth_order(system):
    x0 = 3 * states(system, 16)
    span = 0.4

    def end(steps: int):
        return RK4(span / steps, steps).flow(system)(x0)

    exact = end(2048)
    errors = [(end(steps) - exact).norm() for steps in (64, 128)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("system", FLOWS, ids=name)
@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (2, 1, 2000)])
def test_flow_is_the_repeated_step_with_and_without_gradients(system, leading):
    x = states(system, *leading)
    before = x.clone()
    flow = RK4(0.02, 3).flow(system)
    expected = x
    for _ in range(3):
        expected = rk4_step(system.drift, expected, 0.02)
    torch.testing.assert_close(flow(x), expected, rtol=1e-13, atol=1e-13)
    assert torch.equal(flow(x.clone().requires_grad_()).detach(), expected)
    assert torch.equal(x, before)
    assert flow(x.float()).dtype == torch.float32


@pytest.mark.parametrize("system", FLOWS, ids=name)
def test_tangent_is_the_derivative_of_the_discrete_step(system):
    x = states(system, 2, 3)
    integrator = RK4(0.05, 2)
    flow, (end, F) = integrator.flow(system), integrator.tangent(system)(x)
    torch.testing.assert_close(end, flow(x))
    torch.testing.assert_close(F, vmap(vmap(jacrev(flow)))(x))
    torch.testing.assert_close(F, vmap(vmap(jacfwd(flow)))(x))


def test_gradients_flow_through_the_fast_systems():
    x = states(Lorenz96(), 4).requires_grad_()
    flow = RK4(0.05, 2).flow(Lorenz96())
    assert torch.autograd.gradcheck(flow, (x[:1],))
    dual = torch.func.jvp(flow, (x.detach(),), (torch.ones_like(x),))[1]
    _, F = RK4(0.05, 2).tangent(Lorenz96())(x.detach())
    torch.testing.assert_close(dual, F.sum(-1))


@pytest.mark.parametrize("system", FLOWS[:3], ids=name)
def test_a_state_has_the_same_flow_to_the_last_bit_in_any_batch(system):
    """Chaos makes a different rounding a different truth."""
    x = states(system, 3000)
    flow = RK4(0.01, 5).flow(system)
    together = flow(x)
    for start, count in ((0, 1), (1, 7), (37, 100), (5, 2999)):
        part = slice(start, start + count)
        assert torch.equal(flow(x[part]), together[part])


def test_a_flow_that_is_not_contiguous_in_memory():
    x = states(Lorenz63(), 4, 5).transpose(0, 1)
    flow = RK4(0.05).flow(Lorenz63())
    assert torch.equal(flow(x), flow(x.contiguous()))


def test_iterate_composes_the_map_and_its_tangent():
    x = 0.1 * states(Henon(), 5)
    end, F = Iterate(3).tangent(Henon())(x)
    flow = Iterate(3).flow(Henon())
    torch.testing.assert_close(end, flow(x))
    torch.testing.assert_close(flow(x), Henon().step(Henon().step(Henon().step(x))))
    torch.testing.assert_close(F, vmap(jacrev(flow))(x))


def test_exact_flow_is_the_limit_of_runge_kutta():
    system = ClohessyWiltshire(0.1)
    x = states(system, 5)
    end, F = Exact(10.0).tangent(system)(x)
    torch.testing.assert_close(end, RK4(0.01, 1000).flow(system)(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(end, Exact(10.0).flow(system)(x))
    torch.testing.assert_close(F, vmap(jacrev(Exact(10.0).flow(system)))(x))


def test_intervals():
    assert RK4(0.025, 2).interval == 0.05
    assert EulerMaruyama(0.01, 1.0, steps=10).interval == pytest.approx(0.1)
    assert Iterate(4).interval == 4
    assert Exact(10.0).interval == 10


def test_euler_maruyama_settles_at_the_variance_of_the_ornstein_uhlenbeck_process():
    """dx = -x dt + s dW has variance s^2/2; with Euler's step, s^2 / (2 - dt)."""
    dt, noise_std, paths = 0.1, 0.8, 40_000
    flow = EulerMaruyama(dt, noise_std, steps=100).flow(Decay())
    x = flow(torch.zeros(paths, 1, dtype=torch.float64), stream("ou"))
    expected = noise_std**2 / (2 - dt)
    assert x.var().item() == pytest.approx(expected, rel=4 * math.sqrt(2 / paths))
    assert abs(x.mean()) < 4 * math.sqrt(expected / paths)


def test_euler_maruyama_without_noise_is_eulers_method():
    flow = EulerMaruyama(0.1, 0.0, steps=5).flow(Decay())
    x = flow(torch.ones(1, dtype=torch.float64), stream("unused"))
    assert x.item() == pytest.approx(0.9**5)


def test_a_trajectory_of_random_steps_is_given_the_generator():
    flow, x0 = EulerMaruyama(0.1, 0.5).flow(Decay()), torch.zeros(3, 1, dtype=torch.float64)
    path = trajectory(flow, x0, 2, generator=streams("em", range(3), "noise"))
    again = flow(flow(x0, generator := streams("em", range(3), "noise")), generator)
    assert torch.equal(path[:, 2], again)
    with pytest.raises(ValueError, match="needs a generator; give filters"):
        flow(x0)


def test_trajectory_starts_with_its_first_state():
    flow = RK4(0.05).flow(Lorenz63())
    x0 = states(Lorenz63(), 2)
    path = trajectory(flow, x0, 4)
    assert path.shape == (2, 5, 3)
    assert torch.equal(path[:, 0], x0)
    assert torch.equal(path[:, 2], flow(flow(x0)))


def test_model_noise_adds_up_along_a_trajectory_and_is_the_same_in_any_batch():
    x0 = torch.zeros(500, 2, dtype=torch.float64)
    seeds = range(500)
    path = trajectory(lambda x: x, x0, 4, noise_std=0.5, generator=streams("a", seeds, "noise"))
    assert path[:, -1].var().item() == pytest.approx(4 * 0.25, rel=0.2)
    alone = trajectory(lambda x: x, x0[:1], 4, 0.5, streams("a", [7], "noise"))
    assert torch.equal(path[7], alone[0])
