import math
from dataclasses import dataclass

import pytest
import torch

from dalib import simulate as simulation
from dalib.integrate import RK4, Iterate, trajectory
from dalib.simulate import Formed, Shocked, Start, simulate, whole_intervals
from dalib.streams import normal, streams
from dalib.systems.henon import Henon
from dalib.systems.lorenz import Lorenz63, Lorenz96
from dalib.systems.rossler import Rossler
from dalib.systems.shallow_water import Bump, ShallowWater


def simulate_seeds(step, seeds, mean, std, samples, **options):
    generator = streams("experiment", seeds, "truth")
    return simulate(step, Start(mean, std), samples, seeds=seeds, generator=generator, **options)


def test_a_seed_has_the_same_truth_in_any_batch():
    step = RK4(0.025, 2).flow(Lorenz63())
    options = {"mean": [0, 0, 25], "std": 5.0, "samples": 20, "spinup": 10, "noise_std": 0.1}
    together = simulate_seeds(step, range(8), **options)
    alone = simulate_seeds(step, [5], **options)
    assert together.shape == (8, 21, 3) and together.dtype == torch.float64
    assert torch.equal(together[5], alone[0])
    assert not torch.equal(together[0], together[1])


def test_without_noise_a_trajectory_follows_the_step():
    step = RK4(0.05).flow(Lorenz96())
    x = simulate_seeds(step, range(3), [8.0] * 40, 1.0, 5, spinup=7)
    torch.testing.assert_close(x[:, 1:], step(x[:, :-1]), rtol=1e-13, atol=1e-13)


def test_model_noise_is_what_a_trajectory_departs_from_the_step():
    step = RK4(0.05).flow(Lorenz63())
    x = simulate_seeds(step, range(50), [0, 0, 25], 5.0, 200, noise_std=0.3)
    noise = x[:, 1:] - step(x[:, :-1])
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    assert noise.mean().abs() < 0.01


def test_initial_states_have_the_given_moments():
    x = simulate_seeds(lambda x: x, range(5000), [1.0, -2.0], torch.tensor([0.5, 2.0]), 0)
    torch.testing.assert_close(x.mean((0, 1)), torch.tensor([1.0, -2.0]).double(), atol=0.1, rtol=0)
    torch.testing.assert_close(x.std((0, 1)), torch.tensor([0.5, 2.0]).double(), rtol=0.05, atol=0)


def test_lorenz63_climate():
    x = simulate_seeds(RK4(0.01, 10).flow(Lorenz63()), range(64), [0, 0, 25], 5.0, 1500, spinup=100)
    assert x[..., 2].mean().item() == pytest.approx(23.55, rel=0.005)
    std = x.reshape(-1, 3).std(0)
    torch.testing.assert_close(std, torch.tensor([7.93, 9.01, 8.62]).double(), rtol=0.01, atol=0)


def test_lorenz96_climate():
    x = simulate_seeds(RK4(0.05, 2).flow(Lorenz96()), range(64), [8.0] * 40, 1.0, 500, spinup=100)
    assert x.mean().item() == pytest.approx(2.34, rel=0.01)
    assert x.std().item() == pytest.approx(3.64, rel=0.01)


@pytest.mark.parametrize(("time", "interval"), [(0.0, 0.05), (0.3, 0.1), (100.0, 0.05), (9, 3)])
def test_a_time_has_whole_intervals(time, interval):
    assert whole_intervals(time, interval, "it") == round(time / interval)


def test_a_time_that_is_no_multiple_of_the_interval_is_not_moved():
    said = "the spin-up is 0.07, no multiple of the sampling interval 0.05; .* 0.05 and 0.1"
    with pytest.raises(ValueError, match=said):
        whole_intervals(0.07, 0.05, "the spin-up")


def test_an_escaping_trajectory_is_named():
    growth = torch.tensor([4.0, 1.0, 3.0], dtype=torch.float64)[:, None]
    with pytest.raises(ValueError, match=r"2 of 3 leave 1e\+08 .* interval 14 .*\(seed 3, 17\)"):
        simulate_seeds(lambda x: growth * x, (3, 4, 17), [1.0, 1.0], 0.0, 30)


def test_a_step_that_is_too_long_is_reported():
    with pytest.raises(ValueError, match="use a shorter step dt"):
        simulate_seeds(RK4(1.0).flow(Lorenz63()), range(2), [0, 0, 25], 5.0, 50)


def test_a_uniform_start_fills_its_box():
    """Mean and variance h^2 / 3 of the uniform law, within five standard errors."""
    half_width = torch.tensor([0.05, 2.0], dtype=torch.float64)
    start = Start([-0.95, 0.35], half_width=half_width)
    x = start.draw(20_000, streams("experiment", range(20_000), "truth"))
    offset = (x - torch.tensor([-0.95, 0.35]).double()) / half_width
    assert x.dtype == torch.float64 and (offset.abs() <= 1).all()
    assert (offset.mean(0).abs() <= 5 / math.sqrt(3 * 20_000)).all()
    assert ((offset.var(0) - 1 / 3).abs() <= 5 * math.sqrt(4 / 45 / 20_000)).all()
    assert offset.amin() < -0.999 and offset.amax() > 0.999


def test_a_positive_start_has_the_absolute_values_of_the_other():
    plain, positive = (
        Start([1.0, -0.5], std=1.0, positive=positive).draw(
            200, streams("experiment", range(200), "truth")
        )
        for positive in (False, True)
    )
    assert (plain < 0).any() and torch.equal(positive, plain.abs())


@pytest.mark.parametrize("spreads", [{}, {"std": 0.1, "half_width": 0.1}])
def test_a_start_is_normal_or_uniform(spreads):
    with pytest.raises(ValueError, match="exactly one of the two"):
        Start([0.0], **spreads)


@pytest.mark.parametrize(
    ("system", "integrator", "halved", "start", "box"),
    [
        (
            Lorenz63(10.0, 28.0, 2.67),
            RK4(0.005, 6),
            RK4(0.0025, 12),
            Start([0.0, 0.0, 0.0], half_width=0.1),
            (39.7, 55.4, 48.5),
        ),
        (
            Lorenz63(28.0, 10.0, 2.67),
            RK4(0.005, 6),
            RK4(0.0025, 12),
            Start([0.0, 0.0, 0.0], half_width=0.1),
            (19.0, 19.6, 14.5),
        ),
        (
            Rossler(0.15, 0.2, 10.0),
            RK4(0.01, 10),
            RK4(0.005, 20),
            Start([5.0, 0.0, 0.0], half_width=1.0),
            (31.9, 29.6, 36.4),
        ),
    ],
    ids=["lorenz", "lorenz as printed", "rossler"],
)
def test_half_the_step_changes_no_sample_that_counts(system, integrator, halved, start, box):
    """By less than 1e-5 of the attractor's extent, within the first 100 samples."""
    x0 = start.draw(20, streams("substeps", range(20), "truth"))
    coarse, fine = (trajectory(one.flow(system), x0, 100) for one in (integrator, halved))
    assert ((coarse - fine).abs() / torch.tensor(box)).max() < 1e-5


def test_units_of_the_state_make_no_difference_to_what_escapes():
    """A number of molecules: 6e23 of them are no escape, 1e8 times as many are."""
    start = Start([6e23], std=1e21)
    kept = simulate(lambda x: x, start, 3, seeds=(0, 1), generator=streams("n", (0, 1), "truth"))
    assert kept.shape == (2, 4, 1)
    with pytest.raises(ValueError, match="2 of 2 leave 6"):
        grown = streams("n", (0, 1), "truth")
        simulate(lambda x: 1e5 * x, start, 3, seeds=(0, 1), generator=grown)


def test_no_trajectory_of_henons_map_escapes_from_the_start_of_the_data():
    start = Start([-0.95, 0.35], half_width=0.05)
    generator = streams("henon", range(110), "truth")
    step = Iterate(1).flow(Henon())
    x = simulate(step, start, 9999, seeds=range(110), generator=generator)
    assert x.shape == (110, 10_000, 2)
    low, high = x.amin((0, 1)), x.amax((0, 1))
    assert (low > torch.tensor([-1.3, -0.4])).all() and (high < torch.tensor([1.3, 0.41])).all()


def test_a_trajectory_of_henons_map_that_escapes_is_named():
    start = Start([0.0, 0.0], half_width=torch.tensor([2.5, 0.0]))
    generator = streams("henon", range(10), "truth")
    x0 = start.draw(10, streams("henon", range(10), "truth"))
    ahead = trajectory(Iterate(1).flow(Henon()), x0, 50)[:, -1]
    lost = [i for i in range(10) if not ahead[i].abs().max() < 10]
    assert 0 < len(lost) < 10
    with pytest.raises(ValueError, match=rf"{len(lost)} of 10 leave .*\(seed {lost[0]}\b"):
        simulate(Iterate(1).flow(Henon()), start, 50, seeds=range(10), generator=generator)


# -- starts that a system forms, shocks, long spin-ups ---------------------------------------------


@dataclass(frozen=True)
class Corner:
    """A state of two uniform numbers and one normal number."""

    uniforms: int = 2
    normals: int = 1

    def states(self, uniform, normal):
        return torch.cat([uniform.to(normal), normal], -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_start_that_a_system_forms_is_given_its_random_numbers(dtype):
    x = Formed(Corner()).draw((4000, 2), streams("e", range(4000), "truth"), dtype)
    assert x.shape == (4000, 2, 3) and x.dtype == dtype
    assert x[..., :2].amin() >= 0 and x[..., :2].amax() < 1
    mean = x.flatten(0, 1).double().mean(0)
    torch.testing.assert_close(mean, torch.tensor([0.5, 0.5, 0.0]).double(), atol=0.05, rtol=0)
    alone = Formed(Corner()).draw((1, 2), streams("e", [7], "truth"), dtype)
    assert torch.equal(alone[0], x[7])


def test_a_bump_without_noise_takes_no_normal_numbers():
    bump = Formed(Bump(ShallowWater(points=5), centre=(0.0, 0.0), width=2e5))
    x = bump.draw(3, streams("e", range(3), "truth"))
    assert x.shape == (3, 75) and torch.equal(x[0], x[2])
    assert x[0].unflatten(-1, (3, 5, 5))[2, 2, 2] == 1 and not x[0, :50].any()


def shocked(sizes, probabilities, x, count=1, step=lambda x: x):
    generator = streams("shocks", range(len(x)), "truth")
    return Shocked(step, count, sizes, probabilities)(x, generator)


def test_shocks_that_never_strike_leave_the_steps():
    one, three = (RK4(0.01, steps).flow(Lorenz96(6)) for steps in (1, 3))
    x = normal((2, 6), streams("e", range(2), "x"))
    torch.testing.assert_close(shocked([0.5], [0.0], x, 3, one), three(x), rtol=1e-14, atol=0)
    assert torch.equal(shocked([], [], x, 3, one), one(one(one(x))))


def test_shocks_are_shares_of_what_they_strike():
    """x' = x + s |x| ξ: of unit variance after division, and nothing where the state is 0."""
    x = torch.linspace(-2, 2, 5).double().repeat(20, 4000)
    xi = ((shocked([0.3], [1.0], x) - x) / (0.3 * x.abs()))[x != 0]
    assert xi.mean().abs() < 5 / math.sqrt(len(xi))
    assert xi.std().item() == pytest.approx(1, abs=5 / math.sqrt(2 * len(xi)))
    assert not shocked([0.3], [1.0], torch.zeros(2, 9).double()).any()


def test_as_many_components_are_struck_as_shocks_are_probable():
    x = torch.ones(20, 5000).double()
    struck = (shocked([0.3], [0.05], x) != x).double().mean().item()
    assert struck == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / x.numel()))
    both = shocked([0.3, 0.1], [1.0, 1.0], x) - x  # the sizes of all that strike add up
    assert both.std().item() == pytest.approx(0.4, rel=0.02)


def test_a_shocked_truth_is_the_same_in_any_batch():
    step = Shocked(RK4(0.01).flow(Lorenz96(40)), 5, [0.5, 0.2], [0.05, 0.1])
    together = simulate_seeds(step, range(3), [0.0] * 40, 3.0, 4, spinup=3)
    alone = simulate_seeds(step, [2], [0.0] * 40, 3.0, 4, spinup=3)
    assert torch.equal(together[2], alone[0])


@pytest.mark.parametrize("size, probability", [([0.5], [0.1, 0.2]), ([0.5], [1.5])])
def test_shocks_that_cannot_be_are_refused(size, probability):
    with pytest.raises(ValueError, match="as many sizes as probabilities, each from 0 to 1"):
        Shocked(lambda x: x, 1, size, probability)


@pytest.mark.parametrize("step", ["rk4", "shocked"])
def test_of_large_states_the_spin_up_is_forgotten_and_changes_nothing(step, monkeypatch):
    flow = RK4(0.01, 5).flow(Lorenz96())
    step = flow if step == "rk4" else Shocked(flow, 1, [0.2], [0.1])
    options = {"mean": [2.0] * 40, "std": 3.0, "samples": 4, "spinup": 6, "noise_std": 0.1}
    small = simulate_seeds(step, range(2), **options)
    kept = []
    monkeypatch.setattr(simulation, "LARGE", 39)
    monkeypatch.setattr(
        simulation, "trajectory", lambda *given: kept.append(given[2]) or trajectory(*given)
    )
    assert torch.equal(simulate_seeds(step, range(2), **options), small)
    assert kept == [1] * 6 + [4]


def test_a_map_that_takes_many_steps_at_once_is_asked_for_all_of_them():
    system, x = ShallowWater(points=5), normal((2, 75), streams("e", range(2), "x"))
    asked = []

    class Asked:
        def advance(self, x, steps):
            asked.append(steps)
            return system.advance(x, steps)

    once = Iterate(7).flow(Asked())(0.01 * x)
    singly = 0.01 * x
    for _ in range(7):
        singly = system.step(singly)
    assert asked == [7]
    torch.testing.assert_close(once, singly, rtol=1e-13, atol=1e-15)
