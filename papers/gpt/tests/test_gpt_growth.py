"""Growth rates of products of Jacobians that are known, and those of Hénon's map."""

import numpy as np
import pytest

from papers.gpt.metrics.growth import extrapolated, mean_growth, spectral_norm

A, B = 1.4, 0.3


def henon(cases, times, seed=0):
    """(case, time, 2), from the paper's starts."""
    x = np.array([-0.95, 0.35]) + np.random.default_rng(seed).uniform(-0.05, 0.05, (cases, 2))
    states = [x]
    for _ in range(times - 1):
        x = np.stack([1 - A * x[:, 0] ** 2 + x[:, 1], B * x[:, 0]], -1)
        states.append(x)
    return np.stack(states, 1)


def jacobians(states):
    """(..., 2) -> (..., 2, 2), [[-2 a x, 1], [b, 0]]."""
    J = np.zeros((*states.shape, 2))
    J[..., 0, 0], J[..., 0, 1], J[..., 1, 0] = -2 * A * states[..., 0], 1, B
    return J


def centres(states, cells=50):
    """Of the cells of a grid over the states."""
    lower, upper = states.min((0, 1)), states.max((0, 1))
    width = (upper - lower) / cells
    return lower + (np.clip((states - lower) // width, 0, cells - 1) + 0.5) * width


@pytest.fixture(scope="module")
def states():
    return henon(40, 10_000)


@pytest.mark.parametrize("diagonal", [[3.0, 0.5], [0.2, -0.7], [2.0, -4.0, 1.0]])
def test_constant_stretching_grows_at_its_own_rate_over_any_number_of_steps(diagonal):
    J = np.broadcast_to(np.diag(diagonal), (4, 30, len(diagonal), len(diagonal)))
    rates = mean_growth(J, 12)
    np.testing.assert_allclose(rates, np.log(np.abs(diagonal).max()), atol=1e-14)
    for first in (1, 3):
        assert extrapolated(rates, first) == pytest.approx(rates[0], abs=1e-12)


@pytest.mark.parametrize("size", [2, 3])
def test_rates_are_the_means_of_log_norms_of_products(size):
    J = np.random.default_rng(0).normal(size=(2, 7, size, size))
    rates = mean_growth(J, 3)
    logs = [
        np.log(np.linalg.norm(J[c, i + 2] @ J[c, i + 1] @ J[c, i], 2))
        for c in range(2)
        for i in range(5)
    ]
    assert rates[2] == pytest.approx(np.mean(logs) / 3, rel=1e-12)
    assert rates[0] == pytest.approx(np.log(np.linalg.norm(J, 2, axis=(-2, -1))).mean(), rel=1e-12)


def test_a_shear_grows_like_a_power_and_has_exponent_0():
    """‖[[1, n], [0, 1]]‖ = n/2 + √(n²/4 + 1)."""
    J = np.broadcast_to(np.array([[1.0, 1.0], [0.0, 1.0]]), (100, 2, 2))
    n = np.arange(1, 51)
    np.testing.assert_allclose(
        mean_growth(J, 50), np.log(n / 2 + np.sqrt(n**2 / 4 + 1)) / n, rtol=1e-12
    )


def test_products_neither_overflow_nor_vanish():
    J = np.broadcast_to(np.diag([1e200, 1.0]), (10, 2, 2))
    np.testing.assert_allclose(mean_growth(J, 8), np.log(1e200))
    np.testing.assert_allclose(mean_growth(1e-300 * J, 8), np.log(1e-100))


@pytest.mark.parametrize(
    "matrices",
    [
        np.random.default_rng(1).normal(size=(50, 2, 2)),
        np.random.default_rng(2).normal(size=(50, 2, 1)) * np.ones((1, 1, 2)),  # of rank 1
        np.array([np.eye(2), -np.eye(2), [[0, 1], [-1, 0]], np.zeros((2, 2))]),
        1e160 * np.random.default_rng(3).normal(size=(5, 2, 2)),
    ],
)
def test_norms_of_small_matrices_are_their_largest_singular_values(matrices):
    expected = np.linalg.svd(matrices, compute_uv=False)[..., 0]
    np.testing.assert_allclose(spectral_norm(matrices), expected, rtol=1e-14)


def test_the_fit_returns_the_constant_of_what_has_its_form():
    n = np.arange(1, 16)
    rates = 0.42 + 0.3 / n - 0.05 / n**2
    assert extrapolated(rates) == pytest.approx(0.42, abs=1e-12)
    assert extrapolated(rates, first=3) == pytest.approx(0.42, abs=1e-12)


def test_too_few_states_or_rates_are_refused():
    with pytest.raises(ValueError, match="1 to 6 steps needs as many states in a row, there are 5"):
        mean_growth(np.zeros((3, 5, 2, 2)), 6)
    with pytest.raises(ValueError, match=r"n = 3 ... 4 are 2"):
        extrapolated(np.ones(4), first=3)


def test_henons_exponent_by_extrapolation_is_what_was_measured_before(states):
    """Measured in a prototype over ten trajectories: 0.4142 (0.4183 from n = 3 on)."""
    rates = mean_growth(jacobians(states), 15)
    assert extrapolated(rates) == pytest.approx(0.4142, abs=0.001)
    assert extrapolated(rates, first=3) == pytest.approx(0.4183, abs=0.001)


def test_cell_centres_lower_henons_exponent_a_little(states):
    """Measured before: 0.4125 with standard deviation 0.0010 over batches of ten trajectories."""
    found = np.array(
        [extrapolated(mean_growth(jacobians(batch), 15)) for batch in np.split(centres(states), 4)]
    )
    assert found.mean() == pytest.approx(0.4125, abs=0.0015)
    assert found.std() < 0.003


def test_long_stretches_approach_the_exponent_of_the_tangent_map(states):
    """λ_n = λ + c/n: two long stretches give λ = (n λ_n - m λ_m) / (n - m), 0.4188 measured."""
    rates = mean_growth(jacobians(states[:10]), 60)
    slope = (60 * rates[59] - 20 * rates[19]) / 40
    assert slope == pytest.approx(0.4188, abs=0.002)
