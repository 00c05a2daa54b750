import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from dalib import build
from dalib.streams import normal, stream, streams, uniform
from dalib.systems import shallow_water
from dalib.systems.shallow_water import Bump, ShallowWater

DOUBLE = torch.float64


def rough(system: ShallowWater, *leading: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    """States without any structure, moving through the walls too."""
    scale = torch.tensor([0.05, 0.05, 0.3]).to(dtype)[:, None, None]
    drawn = normal((*leading, *system.shape), stream("rough"), dtype)
    return (scale * drawn).flatten(-3)


def bumps(system: ShallowWater, count: int, **settings) -> Tensor:
    """(count, size), one bump each, at independent places."""
    bump, generator = Bump(system, **settings), stream("bumps")
    return bump.states(
        uniform((count, bump.uniforms), generator), normal((count, bump.normals), generator)
    )


def fields(system: ShallowWater, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x.unflatten(-1, system.shape).unbind(-3)


def ridge(system: ShallowWater, height: float, width: float) -> Tensor:
    """(size,), at rest under a ridge along y in the middle of the basin."""
    x = torch.zeros(system.shape, dtype=DOUBLE)
    x[2] = height * torch.exp(-(system.coordinates**2) / (2 * width**2))[:, None]
    return x.flatten()


def naive_step(system: ShallowWater, u, v, eta):
    """One step, a point at a time."""
    n, g, H = system.points, system.gravity, system.depth
    dt, dx = system.dt, system.length / (system.points - 1)
    u_next, v_next, eta_next = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a = (system.coriolis + system.beta * (j * dx - system.length / 2)) * dt
            b = a * a / 4
            if i < n - 1:
                star = u[i, j] - g * dt * (eta[i + 1, j] - eta[i, j]) / dx
                u_next[i, j] = (star - b * u[i, j] + a * v[i, j]) / (1 + b)
            if j < n - 1:
                star = v[i, j] - g * dt * (eta[i, j + 1] - eta[i, j]) / dx
                v_next[i, j] = (star - b * v[i, j] - a * u[i, j]) / (1 + b)

    def through_east(i, j):
        if i in (-1, n - 1):
            return 0.0
        return u_next[i, j] * (H + (eta[i, j] if u_next[i, j] > 0 else eta[i + 1, j]))

    def through_north(i, j):
        if j in (-1, n - 1):
            return 0.0
        return v_next[i, j] * (H + (eta[i, j] if v_next[i, j] > 0 else eta[i, j + 1]))

    for i in range(n):
        for j in range(n):
            out = through_east(i, j) - through_east(i - 1, j)
            out += through_north(i, j) - through_north(i, j - 1)
            eta_next[i, j] = eta[i, j] - dt / dx * out
    return u_next, v_next, eta_next


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (DOUBLE, 1e-12)])
def test_fifty_steps_are_those_taken_point_by_point(dtype, tolerance):
    system = ShallowWater(points=11, coriolis=3e-4, beta=3e-10, courant=0.2)
    x = rough(system, dtype=dtype)
    state = tuple(field.double().numpy() for field in fields(system, x))
    for _ in range(50):
        state = naive_step(system, *state)
    expected = torch.from_numpy(np.stack(state)).flatten()
    assert (system.advance(x, 50) - expected).abs().max() < tolerance
    for _ in range(50):
        x = system.step(x)
    assert x.dtype == dtype
    assert (x - expected).abs().max() < tolerance


def test_the_differentiable_step_is_the_step():
    system = ShallowWater(points=9)
    x = rough(system, 2, 3)
    torch.testing.assert_close(
        system.differentiable_step(x), system.step(x), rtol=1e-12, atol=1e-14
    )


def test_a_state_that_requires_a_gradient_gets_that_of_the_step():
    system = ShallowWater(points=4)
    x, direction = rough(system), rough(system, 2)[1]
    asked = x.clone().requires_grad_()
    after = system.advance(asked, 3)
    torch.testing.assert_close(after.detach(), system.advance(x, 3), rtol=1e-12, atol=1e-14)
    after.square().sum().backward()
    h = 1e-6
    ends = [system.advance(x + s * h * direction, 3).square().sum() for s in (1, -1)]
    slope = ((ends[0] - ends[1]) / (2 * h)).item()
    assert (asked.grad @ direction).item() == pytest.approx(slope, rel=1e-6)
    with torch.no_grad():
        assert torch.equal(system.step(asked), system.step(x))


def test_a_tangent_is_refused_rather_than_lost():
    system = ShallowWater(points=4)
    x = rough(system)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, x)
        with pytest.raises(NotImplementedError):
            system.step(dual)
        assert forward_ad.unpack_dual(system.differentiable_step(dual)).tangent.any()


def test_water_is_neither_made_nor_lost():
    system = ShallowWater(points=30)
    for x, tolerance in ((rough(system), 1e-13), (rough(system).float(), 1e-6)):
        before = fields(system, x)[2].double()
        after = fields(system, system.advance(x, 500))[2].double()
        assert abs(after.sum() - before.sum()) < tolerance * before.abs().sum()


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_a_lake_at_rest_stays_at_rest(dtype):
    system = ShallowWater(points=20)
    x = torch.zeros(system.shape, dtype=dtype)
    x[2] = 0.3
    assert torch.equal(system.advance(x.flatten(), 50), x.flatten())


def test_nothing_flows_through_the_walls():
    system = ShallowWater(points=12)
    u, v, _ = fields(system, system.step(rough(system, 5)))
    assert (u[:, -1] == 0).all() and (v[:, :, -1] == 0).all()
    assert (u[:, :-1] != 0).all() and (v[:, :, :-1] != 0).all()


def test_without_rotation_a_mirror_makes_no_difference():
    system = ShallowWater(points=25, coriolis=0.0, beta=0.0)
    x = bumps(system, 3).unflatten(-1, system.shape)
    u, v, eta = fields(system, system.advance(x.flatten(-3), 200))
    mirrored = fields(system, system.advance(x.flip(-2).flatten(-3), 200))
    # u lies between the points: its last row is the wall, the others change places.
    for one, other in (
        (mirrored[0][:, :-1], -u[:, :-1].flip(-2)),
        (mirrored[1], v.flip(-2)),
        (mirrored[2], eta.flip(-2)),
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_without_rotation_x_and_y_are_alike():
    system = ShallowWater(points=25, coriolis=0.0, beta=0.0)
    x = rough(system).unflatten(-1, system.shape)
    u, v, eta = fields(system, system.advance(x.flatten(), 200))
    turned = system.advance(x[[1, 0, 2]].mT.flatten(), 200)
    torch.testing.assert_close(turned, torch.stack((v.T, u.T, eta.T)).flatten(), rtol=0, atol=1e-13)


def test_the_error_of_a_smooth_wave_halves_with_the_cells():
    """Twice the points and half the step, four times: differences of neighbours fall by two."""
    states = []
    for refinement in (1, 2, 4, 8, 16):
        system = ShallowWater(points=16 * refinement + 1)
        start = Bump(system, centre=(5e4, -1e5), width=1.2e5).states(
            torch.empty(0), normal((0,), None)
        )
        x = system.advance(start, 30 * refinement).unflatten(-1, system.shape)
        states.append(x[:, ::refinement, ::refinement])
    steps = [(fine - coarse).norm() for coarse, fine in zip(states, states[1:], strict=False)]
    orders = [math.log2(a / b) for a, b in zip(steps, steps[1:], strict=False)]
    assert orders[-1] == pytest.approx(1.0, abs=0.1), orders


def test_a_low_ridge_runs_at_the_speed_of_gravity_waves():
    system = ShallowWater(points=151, coriolis=0.0, beta=0.0)
    x, places = ridge(system, height=1e-3, width=5e4), []
    for steps in (280, 200):
        x = system.advance(x, steps)
        east = fields(system, x)[2][76:, 75]
        places.append((east * system.coordinates[76:]).sum() / east.sum())
    speed = ((places[1] - places[0]) / (200 * system.dt)).item()
    assert speed == pytest.approx(math.sqrt(9.81 * 100), rel=0.01)


def test_single_precision_is_enough():
    system = ShallowWater(points=50)
    x = bumps(system, 2)
    assert (system.advance(x.float(), 500) - system.advance(x, 500)).abs().max() < 5e-7


def test_currents_and_surface_vary_as_they_should():
    system = ShallowWater(points=50)
    x = bumps(system, 24).float()
    states = []
    for _ in range(50):
        x = system.advance(x, 13)
        states.append(x)
    u, v, eta = fields(system, torch.stack(states))
    assert u.std().item() == pytest.approx(0.0137, rel=0.1)
    assert v.std().item() == pytest.approx(0.0137, rel=0.1)
    assert eta.std().item() == pytest.approx(0.058, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_company_makes_no_difference_to_a_single_bit(dtype, monkeypatch):
    system = ShallowWater(points=13)
    x = rough(system, 2, 7, dtype=dtype)
    before = x.clone()
    alone = torch.stack([system.advance(row, 20) for row in x.flatten(0, 1)]).reshape(x.shape)
    for chunk in (1, 3 * 13**2, 2**17):
        monkeypatch.setattr(shallow_water, "CHUNK", chunk)
        assert torch.equal(system.advance(x, 20), alone)
    spread = x.movedim(-1, 0).contiguous().movedim(0, -1)
    assert torch.equal(system.advance(spread, 20), alone)
    assert torch.equal(system.advance(system.advance(x, 13), 7), alone)
    assert torch.equal(x, before)
    assert system.advance(x[:, :0], 20).shape == (2, 0, system.size)


def test_a_member_that_is_not_finite_leaves_the_others_alone():
    system = ShallowWater(points=10)
    x = rough(system, 5)
    healthy = system.advance(x, 30)
    x[1, 250], x[3, 7] = torch.nan, torch.inf
    after = system.advance(x, 30)
    assert torch.equal(after[[0, 2, 4]], healthy[[0, 2, 4]])
    assert not after[[1, 3]].isfinite().all(-1).any()


def test_steps_of_an_interval_come_from_the_configuration():
    case = {
        "system": {"kind": "shallow_water", "points": 12},
        "integrator": {"kind": "iterate", "steps": 13},
    }
    system = build.system(case)
    x = rough(system, 2)
    assert torch.equal(build.step(case)(x), system.advance(x, 13))
    assert system.size == math.prod(system.shape) == len(system.names) == len(set(system.names))
    assert system.names[system.size - 1] == "eta[11,11]"


def test_the_published_grid_has_the_published_step():
    system = ShallowWater()
    assert system.dx == pytest.approx(6711.41, abs=0.01)
    assert system.dt == pytest.approx(21.428, abs=0.001)


def test_waves_without_rotation_grow_from_the_limit_of_the_step_on(monkeypatch):
    def highest(courant: float) -> float:
        system = ShallowWater(points=20, courant=courant, coriolis=0.0, beta=0.0)
        return fields(system, system.advance(1e-3 * rough(system), 400))[2].abs().max().item()

    assert highest(0.70) < 0.01
    with pytest.raises(ValueError, match=r"courant .* below sqrt\(1/2\) = 0.7071.*allows 1188"):
        ShallowWater(points=20, courant=0.72)
    monkeypatch.setattr(shallow_water, "LIMIT", 1.0)
    monkeypatch.setattr(ShallowWater, "growth_time", math.inf)
    assert not highest(0.72) < 1e6


@pytest.mark.parametrize("courant", [0.05, 0.2])
def test_the_growth_time_is_that_of_plane_waves(courant):
    """In the middle of the basin a step turns waves exp(i (k x + l y)) into multiples of them."""
    system = ShallowWater(points=9, courant=courant, beta=0.0)
    angle = 2 * math.pi * torch.arange(32, dtype=torch.float64) / 32
    point, tiny = torch.arange(9) - 4, 1e-7
    phase = angle[:, None, None, None] * point[:, None] + angle[:, None, None] * point
    wave = torch.exp(1j * phase)  # (k, l, x, y), 1 in the middle
    unit = torch.tensor([(system.gravity / system.depth) ** 0.5] * 2 + [1.0], dtype=torch.float64)
    waves = torch.diag(unit)[:, :, None, None] * wave[:, :, None, None]  # (k, l, of, in, x, y)

    def stepped(part):
        return system.step(tiny * part.flatten(-3)).unflatten(-1, system.shape)[..., 4, 4] / tiny

    G = torch.complex(stepped(waves.real), stepped(waves.imag)) / unit
    growth = torch.linalg.eigvals(G).abs().max().log().item()
    assert system.dt / growth == pytest.approx(system.growth_time, rel=1e-3)


def test_courant_numbers_at_which_waves_grow_within_an_inertial_period_are_refused():
    for courant in (0.3, 0.5, 0.7):
        with pytest.raises(ValueError, match=r"grows e-fold in .* inertial period .* 0\.2 or less"):
            ShallowWater(points=50, courant=courant)
        assert ShallowWater(points=50, courant=courant, coriolis=0, beta=0).growth_time == math.inf
    assert ShallowWater(points=50, courant=0.2).growth_time < ShallowWater(points=50).growth_time


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"points": 1}, "2 points or more"),
        ({"courant": math.nan}, "courant must be positive"),
        ({"courant": 0.0}, "courant must be positive"),
        ({"depth": -100.0}, "depth must be positive"),
        ({"length": math.nan}, "length must be positive"),
    ],
)
def test_impossible_basins_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ShallowWater(**settings)


@pytest.mark.parametrize("method", ["step", "differentiable_step"])
def test_states_of_another_basin_are_refused(method):
    system = ShallowWater(points=10)
    with pytest.raises(ValueError, match=r"has 300 numbers.*got \(2, 299\)"):
        getattr(system, method)(torch.zeros(2, 299))
    with pytest.raises(ValueError, match="float32 or float64"):
        getattr(system, method)(torch.zeros(300, dtype=torch.int64))


def test_a_bump_lies_where_it_should():
    system = ShallowWater(points=41)
    bump = Bump(system, centre=(1e5, -2e5))
    assert (bump.uniforms, bump.normals) == (0, 0)
    u, v, eta = fields(system, bump.states(torch.empty(3, 0), normal((3, 0), None)))
    assert not u.any() and not v.any()
    assert eta.shape == (3, 41, 41) and eta.dtype == DOUBLE
    assert eta[0, 24, 12] == 1.0  # cells of 25 km
    assert eta[0, 26, 13].item() == pytest.approx(math.exp(-(50**2 + 25**2) / (2 * 50**2)))


def test_bumps_lie_everywhere_in_the_basin():
    system = ShallowWater(points=41)
    eta = fields(system, bumps(system, 4000, height=2.0, width=2.5e4))[2]
    highest = system.coordinates[
        torch.stack(torch.unravel_index(eta.flatten(1).argmax(1), (41, 41)))
    ]
    uniform_std = 1e6 / math.sqrt(12)
    torch.testing.assert_close(highest.mean(1), torch.zeros(2).double(), rtol=0, atol=1.5e4)
    torch.testing.assert_close(
        highest.std(1), torch.full((2,), uniform_std).double(), rtol=0.02, atol=0
    )
    assert eta.amax((1, 2)).min() > 1.5


def test_noise_is_white_and_on_the_surface_only():
    system = ShallowWater(points=60)
    smooth = bumps(system, 4, centre=[5e5, 1e6 / 3])
    u, v, noise = fields(system, bumps(system, 4, centre=[5e5, 1e6 / 3], noise_std=0.05) - smooth)
    assert not u.any() and not v.any()
    assert noise.std().item() == pytest.approx(0.05, rel=0.03)
    assert (noise[..., 1:] * noise[..., :-1]).mean().abs() < 0.03 * 0.05**2


def test_seeds_draw_bumps_of_their_own():
    bump = Bump(ShallowWater(points=6), noise_std=0.05)

    def drawn(seeds: list[int]) -> Tensor:
        generator = streams("experiment", seeds, "truth")
        numbers = (bump.uniforms, uniform), (bump.normals, normal)
        return bump.states(*(draw((len(seeds), count), generator) for count, draw in numbers))

    assert torch.equal(drawn([0, 1, 2])[2], drawn([2])[0])


def test_the_first_state_can_have_a_place_of_its_own():
    system, place = ShallowWater(points=9), (1.25e5, -2.5e5)
    bump, alone = Bump(system, first=place), Bump(system, centre=place)
    assert bump.uniforms == 2
    numbers = uniform((3, 2), stream("places")), torch.zeros(3, 0, dtype=torch.float64)
    found = bump.states(*numbers)
    assert torch.equal(found[0], alone.states(numbers[0][0], numbers[1][0]))
    assert torch.equal(found[1:], Bump(system).states(*numbers)[1:])
    with pytest.raises(ValueError, match="give one of them"):
        Bump(system, centre=place, first=place)


@pytest.mark.parametrize(
    "settings",
    [
        {"first": (0.0, 6e5)},
        {"centre": (6e5, 0.0)},
        {"centre": (0.0, math.nan)},
        {"centre": (1.0, 2.0, 3.0)},
    ],
)
def test_a_bump_outside_the_basin_is_refused(settings):
    with pytest.raises(ValueError, match="between -500000 and 500000 m"):
        Bump(ShallowWater(points=6), **settings)


def test_a_bump_has_a_width():
    with pytest.raises(ValueError, match="positive width"):
        Bump(ShallowWater(points=6), width=0.0)
