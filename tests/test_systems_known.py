"""Systems against what is known of them: invariants, symmetries, orders, exponents, spectra."""

import math

import pytest
import torch

from dalib.integrate import ETDRK4, RK4, Exact, Iterate, trajectory
from dalib.lyapunov import leading_exponent
from dalib.systems import panel
from dalib.systems.advection import LinearAdvection
from dalib.systems.ikeda import Ikeda
from dalib.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from dalib.systems.lorenz import Lorenz96
from dalib.systems.lorenz05 import Lorenz05II, Lorenz05III, advection
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
from dalib.systems.quasi_geostrophic import QuasiGeostrophic, jacobian
from dalib.systems.two_scale import TruncatedLorenz96, TwoScaleLorenz96


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def exponent(system, integrator, start, spinup: int, count: int) -> float:
    """The largest, mean over 256 orbits; counts are of sampling intervals."""
    x = torch.tensor(start).double() + 0.1 * random(256, len(start))
    flow = integrator.flow(system)
    x = trajectory(flow, x, spinup)[:, -1]
    found = leading_exponent(flow, x, count, interval=integrator.interval, discard=count // 4)
    return found.mean().item()


# chaotic flows of few variables

SHRINKING = [
    (panel.Chen(), -10.0),
    (panel.Thomas(), -3 * 1.85),
    (panel.Halvorsen(), -3 * 1.4),
    (panel.Rucklidge(), -3.0),
    (panel.SprottB(), -1.0),
    (panel.Dadras(), -10.3),
]


@pytest.mark.parametrize(("system", "rate"), SHRINKING, ids=lambda v: type(v).__name__)
def test_volumes_shrink_at_the_same_rate_everywhere(system, rate):
    trace = system.jacobian(3 * random(20, 3)).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, torch.full((20,), rate).double())


@pytest.mark.parametrize(
    ("system", "image"),
    [
        (panel.Thomas(), lambda x: x.roll(1, -1)),
        (panel.Thomas(), lambda x: -x),
        (panel.Halvorsen(), lambda x: x.roll(1, -1)),
        (panel.Rucklidge(), lambda x: x * torch.tensor([-1.0, -1, 1])),
        (panel.SprottB(), lambda x: x * torch.tensor([-1.0, -1, 1])),
        (panel.Chen(), lambda x: x * torch.tensor([-1.0, -1, 1])),
        (panel.Chua(), lambda x: -x),
    ],
)
def test_symmetries_map_solutions_to_solutions(system, image):
    x = random(10, 3)
    torch.testing.assert_close(system.drift(image(x)), image(system.drift(x)))


@pytest.mark.parametrize(
    ("system", "at"),
    [
        (panel.Chen(), [math.sqrt(63), math.sqrt(63), 21.0]),
        (panel.SprottB(), [1.0, 1.0, 0.0]),
        (panel.Rucklidge(), [0.0, math.sqrt(6.7), 6.7]),
        (panel.Chua(15.6, 28, -8 / 7, -5 / 7), [1.5, 0.0, -1.5]),
        (panel.Halvorsen(), [-9.4, -9.4, -9.4]),
        (FitzHughNagumo(), None),
        (panel.Lorenz84(G=0.0), [8.0, 0.0, 0.0]),
    ],
    ids=lambda v: type(v).__name__,
)
def test_fixed_points_rest(system, at):
    if at is None:  # w = (v + a) / b, and the cubic that is left
        roots = torch.linspace(-2, 2, 400_001, dtype=torch.float64)
        v = roots[(roots - roots**3 / 3 - (roots + 0.7) / 0.8 + 0.5).abs().argmin()].item()
        at, tolerance = [v, (v + 0.7) / 0.8], 1e-5
    else:
        tolerance = 1e-12
    assert system.drift(torch.tensor(at, dtype=torch.float64)).abs().max() < tolerance


def test_lorenz84_conserves_energy_without_forcing_and_damping():
    x = random(20, 3)
    free = panel.Lorenz84(a=0.0, G=0.0).drift(x)
    free[..., 1:] += x[..., 1:]  # the damping of the waves
    assert (x * free).sum(-1).abs().max() < 1e-13


# Sprott (2003), tables A.4 and A.5
EXPONENTS = [
    (panel.Chen(), 0.004, 2.0272, [5.0, 5.0, 20.0], 0.04),
    (panel.Halvorsen(1.27), 0.01, 0.7899, [-5.0, 0.0, 0.0], 0.02),
    (panel.Thomas(0.18, 1.0), 0.2, 0.0349, [0.1, 0.0, 0.0], 0.003),
    (panel.Rucklidge(), 0.04, 0.0643, [1.0, 0.0, 4.5], 0.01),
    (panel.SprottB(), 0.05, 0.2101, [0.05, 0.05, 0.05], 0.01),
    (panel.Chua(9, 100 / 7, -8 / 7, -5 / 7), 0.02, 0.3271, [0.0, 0.0, 0.6], 0.01),
]


@pytest.mark.accuracy
@pytest.mark.parametrize(
    ("system", "dt", "known", "start", "off"), EXPONENTS, ids=lambda v: type(v).__name__
)
def test_the_largest_exponents_of_flows(system, dt, known, start, off):
    assert exponent(system, RK4(dt, 5), start, 500, 600) == pytest.approx(known, abs=off)


def test_ikeda_shrinks_areas_by_u_squared_and_has_the_known_exponents():
    """0.508 and -0.719, whose sum is 2 log u (Sprott 2003, table A.3)."""
    torch.testing.assert_close(
        torch.linalg.det(Ikeda().jacobian(random(9, 2))), torch.full((9,), 0.81).double()
    )
    found = exponent(Ikeda(), Iterate(), [0.0, 0.0], 200, 400)
    assert found == pytest.approx(0.508, abs=0.01)
    assert 2 * math.log(0.9) - found == pytest.approx(-0.719, abs=0.01)


# mechanics


@pytest.mark.parametrize(
    ("system", "start"),
    [
        (Harmonic(1.5), [1.0, 0.3]),
        (Pendulum(2.0), [2.5, 0.1]),
        (Duffing(), [0.3, 0.9]),
        (DoublePendulum(1.5, 0.7, 1.2, 0.6), [2.0, 1.0, 0.2, -0.4]),
        (Kepler(1.3), [1.0, 0.0, 0.0, 1.3]),
    ],
    ids=lambda v: type(v).__name__,
)
def test_energy_is_kept_and_its_gradient_is_orthogonal_to_the_drift(system, start):
    x = torch.tensor(start).double() + 0.1 * random(5, len(start))
    slope = torch.func.vmap(torch.func.grad(system.energy))(x)
    assert (slope * system.drift(x)).sum(-1).abs().max() < 1e-12
    path = trajectory(RK4(0.005, 20).flow(system), x, 50)
    energy = system.energy(path)
    assert (energy - energy[:, :1]).abs().max() < 1e-4


def test_a_double_pendulum_of_small_swings_has_two_known_frequencies():
    """Equal masses and lengths: ω² = (2 ± √2) g / l."""
    J = DoublePendulum().jacobian(torch.zeros(4).double())
    found = torch.linalg.eigvals(J).imag.abs().sort().values[::2]
    known = (torch.tensor([2 - math.sqrt(2), 2 + math.sqrt(2)]).double() * 9.8).sqrt()
    torch.testing.assert_close(found, known)


def test_a_planet_comes_back_and_keeps_what_kepler_says():
    system, start = Kepler(), torch.tensor([0.5, 0.0, 0.0, math.sqrt(3.0)], dtype=torch.float64)
    period, steps = 2 * math.pi, 4000  # semi-axis 1, eccentricity 0.5
    path = trajectory(RK4(period / steps).flow(system), start, steps)
    assert (path[-1] - start).abs().max() < 1e-8
    assert system.energy(start).item() == pytest.approx(-0.5, abs=1e-14)
    assert (system.angular_momentum(path) - math.sqrt(0.75)).abs().max() < 1e-10
    towards = system.eccentricity(path)
    assert (towards - torch.tensor([0.5, 0.0]).double()).abs().max() < 1e-9


def test_van_der_pol_settles_on_a_cycle_of_the_known_period():
    path = trajectory(RK4(0.005).flow(VanDerPol()), torch.tensor([0.5, 0.0]).double(), 12_000)
    x, late = path[:, 0], path[8000:, 0]
    assert late.abs().max().item() == pytest.approx(2.00862, abs=1e-4)
    up = ((x[:-1] < 0) & (x[1:] >= 0)).nonzero().flatten()
    times = 0.005 * (up + x[up] / (x[up] - x[up + 1]))
    assert (times[-1] - times[-2]).item() == pytest.approx(6.66329, abs=1e-4)


def test_the_double_well_pulls_down_its_potential():
    x = random(9, 1)
    slope = torch.func.vmap(torch.func.grad(DoubleWell().energy))(x)
    torch.testing.assert_close(DoubleWell().drift(x), -slope)


# rings


def test_advection_by_whole_points_is_a_shift_and_waves_move_at_the_speed():
    ring = LinearAdvection(size=13, speed=2.0, length=6.5)  # a point in 0.25
    x = random(3, 13)
    torch.testing.assert_close(ring.advanced(x, 0.75), x.roll(3, -1))
    torch.testing.assert_close(Exact(0.75).flow(ring)(x), x.roll(3, -1))
    places = 0.5 * torch.arange(12).double()
    wave = torch.sin(2 * math.pi * places / 6)
    moved = torch.sin(2 * math.pi * (places - 2.0 * 0.1) / 6) * math.exp(-0.1 * 0.3)
    fading = LinearAdvection(size=12, speed=2.0, damping=0.3, length=6.0)
    torch.testing.assert_close(fading.advanced(wave, 0.1), moved)
    torch.testing.assert_close(
        torch.linalg.matrix_exp(0.1 * fading.jacobian(wave)), fading.propagator(0.1)
    )


def test_two_scales_exchange_energy_without_loss():
    system = TwoScaleLorenz96(forcing=0.0)
    x = random(5, system.size)
    damped = system.drift(x)
    damped[..., :8] += x[..., :8]
    damped[..., 8:] += 10 * x[..., 8:]
    assert (x * damped).sum(-1).abs().max() < 1e-11


def test_two_scales_without_coupling_are_two_rings():
    """The fast one is that of 1996 turned round, b times smaller and c times faster."""
    system, x = TwoScaleLorenz96(coupling=0.0), random(5, 264)
    slow, fast = system.drift(x).split((8, 256), -1)
    torch.testing.assert_close(slow, Lorenz96(8, 20.0).drift(x[..., :8]))
    turned = Lorenz96(256, 0.0).drift(10 * x[..., 8:].flip(-1)).flip(-1)
    torch.testing.assert_close(fast, turned * 10 / 10)


def test_the_truncated_ring_is_that_of_1996_less_a_polynomial():
    x = 3 * random(4, 8)
    drag = 0.262 + 1.45 * x - 0.0121 * x**2 - 0.00713 * x**3 + 0.000296 * x**4
    expected = Lorenz96(8, 20.0).drift(x) - drag
    torch.testing.assert_close(TruncatedLorenz96().drift(x), expected)


def test_model_two_with_one_site_is_the_ring_of_1996():
    x = random(4, 40)
    torch.testing.assert_close(Lorenz05II(40, 1, 8.0).drift(x), Lorenz96(40, 8.0).drift(x))


@pytest.mark.parametrize("K", [2, 3, 4, 5])
def test_the_advection_of_2005_is_the_double_sum_of_its_paper(K):
    N, X, Y = 24, random(24), random(24, seed=2)
    J = K // 2
    ends = [0.5 if K % 2 == 0 and abs(i) == J else 1.0 for i in range(-J, J + 1)]
    expected = torch.zeros(N).double()
    for n in range(N):
        for wi, i in zip(ends, range(-J, J + 1), strict=True):
            for wj, j in zip(ends, range(-J, J + 1), strict=True):
                back = -X[(n - 2 * K - i) % N] * Y[(n - K - j) % N]
                on = X[(n - K + j - i) % N] * Y[(n + K + j) % N]
                expected[n] += wi * wj * (back + on) / K**2
    torch.testing.assert_close(advection(X, Y, K), expected)
    assert (X * advection(X, X, K)).sum().abs() < 1e-12  # conserves energy


def test_model_three_takes_parabolas_for_long_waves():
    z = torch.arange(960).double()
    for power in (0, 1, 2):
        inner = Lorenz05III().long_waves((z / 960) ** power)[20:-20]
        torch.testing.assert_close(inner, ((z / 960) ** power)[20:-20], rtol=0, atol=1e-12)


# Kuramoto and Sivashinsky


def waves(*leading: int, size: int = 64, length: float = 22.0) -> torch.Tensor:
    x = length / size * torch.arange(size).double()
    phases = 6 * random(*leading, 3, 1)
    k = 2 * math.pi / length * torch.arange(1, 4)[:, None]
    return (torch.cos(k * x + phases)).sum(-2)


def test_flames_keep_their_mean_and_move_energy_only_by_the_linear_part():
    system, u = KuramotoSivashinsky(64, 22.0), waves(5) + 0.3
    v = torch.fft.rfft(u)
    moved = torch.fft.irfft(system.nonlinear(v), n=64)
    assert (u * moved).sum(-1).abs().max() < 1e-12
    later = ETDRK4(0.25, 40).flow(system)(u)
    torch.testing.assert_close(later.mean(-1), u.mean(-1))


def test_flames_that_move_along_are_flames():
    """u(x - ct) + c, and the mirror image -u(-x)."""
    system, u = KuramotoSivashinsky(64, 22.0), waves(3)
    advance = ETDRK4(0.0125, 80).flow(system)  # one time unit
    mirror = -u.flip(-1).roll(1, -1)
    torch.testing.assert_close(advance(mirror), -advance(u).flip(-1).roll(1, -1))
    speed = 22 / 64 * 5  # five points in that time
    torch.testing.assert_close(
        advance(u + speed), advance(u).roll(5, -1) + speed, rtol=0, atol=1e-6
    )


def test_exponential_steps_are_of_fourth_order_and_agree_with_small_ones_of_runge_kutta():
    system, u = KuramotoSivashinsky(32, 22.0), waves(4, size=32)
    exact = RK4(1 / 2000, 2000).flow(system)(u)
    coarse, fine = ((ETDRK4(1 / n, n).flow(system)(u) - exact).norm(dim=-1) for n in (80, 160))
    assert (coarse / fine).log2().sub(4).abs().max() < 0.3
    x, F = ETDRK4(0.1, 2).tangent(system)(u)
    torch.testing.assert_close(x, ETDRK4(0.1, 2).flow(system)(u))
    along = random(32, seed=3)
    h, step = 1e-6, ETDRK4(0.1, 2).flow(system)
    difference = (step(u + h * along) - step(u - h * along)) / (2 * h)
    torch.testing.assert_close((F @ along), difference, rtol=1e-6, atol=1e-6)
    assert ETDRK4(0.1).flow(system)(u.float()).dtype == torch.float32


def test_steps_that_ask_for_waves_refuse_a_system_without():
    with pytest.raises(ValueError, match="Lorenz96 has none: use rk4"):
        ETDRK4(0.1).flow(Lorenz96())


@pytest.mark.accuracy
def test_the_largest_exponent_of_flames_on_a_short_ring():
    """0.043 to 0.048 for L = 22 (Cvitanović et al. 2010; Edson et al. 2019)."""
    system, integrator = KuramotoSivashinsky(32, 22.0), ETDRK4(0.25, 4)
    flow = integrator.flow(system)
    u = trajectory(flow, waves(64, size=32), 300)[:, -1]
    found = leading_exponent(flow, u, 600, interval=1.0, discard=200)
    assert 0.040 < found.mean() < 0.050


# quasi-geostrophic


def field(*leading: int, n: int = 17, seed: int = 1) -> torch.Tensor:
    inner = random(*leading, n - 2, n - 2, seed=seed)
    return torch.nn.functional.pad(inner, (1, 1, 1, 1))


def test_arakawa_conserves_energy_and_enstrophy_and_changes_sign():
    psi, zeta = field(4), field(4, seed=2)
    J = jacobian(psi, zeta, 1 / 16)
    for f in (psi, zeta):
        assert (J * f[..., 1:-1, 1:-1]).sum((-1, -2)).abs().max() < 1e-9 * J.abs().sum()
    torch.testing.assert_close(jacobian(zeta, psi, 1 / 16), -J)
    assert jacobian(psi, psi, 1 / 16).abs().max() < 1e-10


def test_arakawa_is_the_jacobian_to_second_order():
    def error(n: int) -> float:
        y, x = torch.meshgrid(*[torch.linspace(0, 1, n).double()] * 2, indexing="ij")
        psi, zeta = (math.pi * x).sin() * (math.pi * y).sin(), (2 * x + y).cos()
        inner = (slice(1, -1), slice(1, -1))
        px = math.pi * (math.pi * x).cos() * (math.pi * y).sin()
        py = math.pi * (math.pi * x).sin() * (math.pi * y).cos()
        zx, zy = -2 * (2 * x + y).sin(), -(2 * x + y).sin()
        return (jacobian(psi, zeta, 1 / (n - 1)) - (px * zy - py * zx)[inner]).abs().max().item()

    assert math.log2(error(33) / error(65)) == pytest.approx(2, abs=0.1)


def test_sine_transforms_solve_helmholtz():
    ocean, flux = QuasiGeostrophic(17), random(3, 15, 15)
    psi = torch.nn.functional.pad(ocean.solved(flux), (1, 1, 1, 1))
    back = ocean.laplacian(psi) - ocean.froude * psi
    torch.testing.assert_close(back[..., 1:-1, 1:-1], flux)


def test_an_ocean_without_wind_and_friction_keeps_its_energy():
    """½ Σ (|∇ψ|² + F ψ²) = -½ Σ ψ q: of advection and of the planetary wave alike."""

    class Calm(QuasiGeostrophic):
        def wind(self, like):
            return torch.zeros_like(like[..., 1:-1, :1])

    ocean, psi = Calm(17, friction=0.0), field(3)
    x = psi.flatten(-2)
    rate = ocean.vorticity(ocean.drift(x))
    inner = (..., slice(1, -1), slice(1, -1))
    work = (psi * rate)[inner].sum((-1, -2))
    assert work.abs().max() < 1e-12 * (psi * rate).abs().sum()


def test_the_ocean_at_rest_is_moved_by_the_wind_and_walls_stay():
    ocean = QuasiGeostrophic(17)
    rate = ocean.vorticity(ocean.drift(torch.zeros(17 * 17).double()))
    y = torch.linspace(0, 1, 17).double()[1:-1, None]
    expected = (-2 * math.pi * (2 * math.pi * y).sin()).expand(15, 15)
    torch.testing.assert_close(rate[1:-1, 1:-1], expected)
    x = trajectory(RK4(1.25, 4).flow(ocean), field(2).flatten(-2), 3)
    edge = x.unflatten(-1, (17, 17))
    assert not edge[..., [0, -1], :].any() and not edge[..., :, [0, -1]].any()
