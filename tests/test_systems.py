import math

import pytest
import torch
from torch.func import jacrev, vmap

from dalib.integrate import RK4, trajectory
from dalib.systems.advection import LinearAdvection
from dalib.systems.clohessy_wiltshire import ClohessyWiltshire
from dalib.systems.henon import Henon
from dalib.systems.ikeda import Ikeda
from dalib.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from dalib.systems.linear import ConstantVelocity, ShiftedRing
from dalib.systems.lorenz import Lorenz63, Lorenz96
from dalib.systems.lorenz05 import Lorenz05II, Lorenz05III
from dalib.systems.mechanics import (
    DoublePendulum,
    DoubleWell,
    Duffing,
    FitzHughNagumo,
    Harmonic,
    Kepler,
    Pendulum,
    VanDerPol,
)
from dalib.systems.panel import (
    Aizawa,
    Chen,
    Chua,
    Dadras,
    Halvorsen,
    HyperRossler,
    Lorenz84,
    Rucklidge,
    SprottB,
    Thomas,
)
from dalib.systems.quasi_geostrophic import QuasiGeostrophic
from dalib.systems.rossler import Rossler
from dalib.systems.two_scale import TruncatedLorenz96, TwoScaleLorenz96

PANEL = [Chua(), Chen(), Thomas(), Halvorsen(), Rucklidge(), SprottB(), Dadras(), Aizawa()]
PANEL += [HyperRossler(), Lorenz84()]
MECHANICS = [Harmonic(2.0), Pendulum(2.0), Duffing(), VanDerPol(), FitzHughNagumo(), DoubleWell()]
MECHANICS += [DoublePendulum(m1=1.5, l2=0.7), Kepler(1.3)]
RINGS = [TwoScaleLorenz96(4, 3), TruncatedLorenz96(), LinearAdvection(10, 0.7, 0.1, 2.0)]
RINGS += [KuramotoSivashinsky(16, 22.0), QuasiGeostrophic(7), Lorenz05II(16, 4)]
RINGS += [Lorenz05II(15, 3), Lorenz05III(24, 4, 3)]
FLOWS = [Lorenz63(), Lorenz96(), Lorenz96(size=5, forcing=3.0), Rossler(), ClohessyWiltshire(0.4)]
FLOWS += PANEL + MECHANICS + RINGS
MAPS = [Henon(), ConstantVelocity(), ShiftedRing(), Ikeda()]


def name(system) -> str:
    return f"{type(system).__name__}{system.size}"


def states(system, *leading: int):
    return torch.randn(*leading, system.size, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("system", FLOWS + MAPS, ids=name)
def test_jacobian_is_the_derivative(system):
    x = states(system, 2, 3)
    advance = system.drift if system in FLOWS else system.step
    assert system.jacobian(x).shape == (2, 3, system.size, system.size)
    torch.testing.assert_close(system.jacobian(x), vmap(vmap(jacrev(advance)))(x))


@pytest.mark.parametrize("system", FLOWS + MAPS, ids=name)
def test_leading_axes_broadcast_and_the_input_is_left_alone(system):
    x = states(system, 2, 3)
    before = x.clone()
    advance = system.drift if system in FLOWS else system.step
    alone = torch.stack([advance(row) for row in x.reshape(-1, system.size)])
    torch.testing.assert_close(advance(x).reshape(alone.shape), alone, rtol=1e-14, atol=1e-14)
    assert torch.equal(x, before)
    assert len(system.names) == system.size
    assert advance(x.float()).dtype == torch.float32
    assert system.jacobian(x.float()).dtype == torch.float32


@pytest.mark.parametrize("system", [s for s in FLOWS if hasattr(s, "drift_kernel")], ids=name)
def test_drift_in_place_is_the_drift(system):
    x = states(system, 7)
    out = torch.empty(system.size, 7, dtype=x.dtype)
    system.drift_kernel(x.T.contiguous(), out)()
    torch.testing.assert_close(out.T, system.drift(x), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Lorenz63, {"sigma": [9.0, 11.0], "rho": [27.0, 30.0], "beta": [2.0, 3.0]}),
        (Lorenz96, {"forcing": [7.0, 9.0]}),
        (Rossler, {"a": [0.1, 0.3], "c": [5.0, 6.0]}),
        (Henon, {"a": [1.3, 1.4], "b": [0.2, 0.3]}),
        (ClohessyWiltshire, {"rate": [0.1, 0.2]}),
        (Chua, {"alpha": [9.0, 15.6], "m0": [-1.1, -1.2]}),
        (Thomas, {"a": [0.2, 1.8], "b": [1.0, 10.0]}),
        (Aizawa, {"d": [3.0, 3.5], "f": [0.1, 0.2]}),
        (Lorenz84, {"F": [7.0, 8.0], "G": [1.0, 1.2]}),
        (DoublePendulum, {"m1": [1.0, 2.0], "l2": [0.5, 1.0]}),
        (Kepler, {"mu": [1.0, 2.0]}),
        (VanDerPol, {"mu": [1.0, 5.0]}),
        (TwoScaleLorenz96, {"forcing": [18.0, 20.0], "coupling": [0.5, 1.0]}),
        (Lorenz05II, {"forcing": [10.0, 15.0]}),
        (Ikeda, {"u": [0.7, 0.9], "alpha": [5.0, 6.0]}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_parameter_with_leading_axes_is_one_system_for_each(kind, values):
    batch = kind(
        **{key: torch.tensor(v, dtype=torch.float64)[:, None] for key, v in values.items()}
    )
    x = states(batch, 2, 4)
    for method in ("drift" if hasattr(kind, "drift") else "step", "jacobian"):
        together = getattr(batch, method)(x)
        for i in range(2):
            one = kind(**{key: v[i] for key, v in values.items()})
            torch.testing.assert_close(together[i], getattr(one, method)(x[i]))


def test_lorenz96_advection_conserves_energy():
    system = Lorenz96(size=40, forcing=0.0)
    x = states(system, 10)
    advection = system.drift(x) + x
    assert (x * advection).sum(-1).abs().max() < 1e-13 * (x**2).sum(-1).max()


def test_lorenz63_rests_at_its_three_fixed_points():
    r = math.sqrt(8 / 3 * 27)
    fixed = torch.tensor([[0, 0, 0], [r, r, 27], [-r, -r, 27]], dtype=torch.float64)
    assert Lorenz63().drift(fixed).abs().max() < 1e-13


def test_rossler_rests_at_its_inner_fixed_point():
    a, b, c = 0.2, 0.2, 5.7
    z = (c - math.sqrt(c * c - 4 * a * b)) / (2 * a)
    assert Rossler().drift(torch.tensor([a * z, -z, z], dtype=torch.float64)).abs().max() < 1e-14


def test_henon_contracts_every_area_by_b():
    torch.testing.assert_close(
        torch.linalg.det(Henon().jacobian(states(Henon(), 6))), torch.full((6,), -0.3).double()
    )


def test_ring_is_shifted_by_one_site():
    x = torch.arange(20, dtype=torch.float64)
    torch.testing.assert_close(ShiftedRing().step(x), 0.98 * x.roll(1))
    torch.testing.assert_close(ShiftedRing().noise_cov, 0.01 * torch.eye(20).double())


def test_constant_velocity_matches_the_reference():
    system = ConstantVelocity()
    Q = 0.1 * torch.tensor([[1 / 3, 1 / 2], [1 / 2, 1]], dtype=torch.float64)
    torch.testing.assert_close(system.noise_cov, Q)
    torch.testing.assert_close(
        system.step(torch.tensor([1.0, 2.0]).double()), torch.tensor([3.0, 2.0]).double()
    )


def test_two_short_moves_at_constant_velocity_are_one_long_one():
    short, long = ConstantVelocity(dt=0.5), ConstantVelocity(dt=1.0)
    A, Q = short.matrix, short.noise_cov
    torch.testing.assert_close(A @ A, long.matrix)
    torch.testing.assert_close(A @ Q @ A.T + Q, long.noise_cov)


def clohessy_wiltshire_closed_form(n: float, dt: float) -> torch.Tensor:
    s, c = math.sin(n * dt), math.cos(n * dt)
    rows = [
        [4 - 3 * c, 0, 0, s / n, 2 * (1 - c) / n, 0],
        [6 * (s - n * dt), 1, 0, -2 * (1 - c) / n, (4 * s - 3 * n * dt) / n, 0],
        [0, 0, c, 0, 0, s / n],
        [3 * n * s, 0, 0, c, 2 * s, 0],
        [-6 * n * (1 - c), 0, 0, -2 * s, 4 * c - 3, 0],
        [0, 0, -n * s, 0, 0, c],
    ]
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("rate", [0.0013, 0.1, 0.5])
def test_clohessy_wiltshire_propagator_has_the_closed_form(rate):
    torch.testing.assert_close(
        ClohessyWiltshire(rate).propagator(10.0),
        clohessy_wiltshire_closed_form(rate, 10.0),
        rtol=0,
        atol=1e-10,
    )


def test_clohessy_wiltshire_path_stays_where_it_was_computed():
    """800 steps of 10 from the initial state of Adrian et al. (2026, appendix)."""
    x0 = torch.tensor([1.0, 0.5, 1.0, -0.001375, -0.000275, -0.001375], dtype=torch.float64)
    F = ClohessyWiltshire().propagator(10.0)
    path = trajectory(lambda x: F @ x, x0, 800)
    lowest = torch.tensor([0.79, -56.3, -1.46, -0.0036, -0.0142, -0.0019], dtype=torch.float64)
    highest = torch.tensor([6.36, 0.56, 1.46, 0.0036, 0.0142, 0.0019], dtype=torch.float64)
    slack = torch.tensor([0.01, 0.05, 0.01, 5e-5, 5e-5, 5e-5], dtype=torch.float64)
    assert ((path > lowest - slack) & (path < highest + slack)).all()
    assert path[:, 0].max() > 6.3 and path[:, 1].min() < -56.2


def test_a_learned_rate_gets_a_gradient_through_the_propagator():
    rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    ClohessyWiltshire(rate).propagator(10.0).sum().backward()
    step = 1e-6
    ends = [clohessy_wiltshire_closed_form(0.1 + h, 10.0).sum() for h in (step, -step)]
    assert rate.grad.item() == pytest.approx(((ends[0] - ends[1]) / (2 * step)).item(), rel=1e-6)


def test_a_learned_forcing_gets_a_gradient_through_the_flow():
    forcing = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    x = states(Lorenz96(), 3)
    RK4(0.05).flow(Lorenz96(forcing=forcing))(x).sum().backward()
    step = 1e-5
    ends = [RK4(0.05).flow(Lorenz96(forcing=8.0 + h))(x).sum() for h in (step, -step)]
    assert forcing.grad.item() == pytest.approx(((ends[0] - ends[1]) / (2 * step)).item(), rel=1e-8)
