import pytest
import torch

from dalib.integrate import RK4
from dalib.simulate import Start, simulate
from dalib.streams import streams
from dalib.systems.lorenz import Lorenz63, Lorenz96


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


def test_an_escaping_trajectory_is_named():
    growth = torch.tensor([4.0, 1.0, 3.0], dtype=torch.float64)[:, None]
    with pytest.raises(ValueError, match=r"2 of 3 leave 1e\+08 .* interval 14 .*\(seed 3, 17\)"):
        simulate_seeds(lambda x: growth * x, (3, 4, 17), [1.0, 1.0], 0.0, 30)


def test_a_step_that_is_too_long_is_reported():
    with pytest.raises(ValueError, match="use a shorter step dt"):
        simulate_seeds(RK4(1.0).flow(Lorenz63()), range(2), [0, 0, 25], 5.0, 50)
