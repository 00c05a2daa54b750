"""Optimal transport against linear programmes, and what a distance must satisfy."""

import sys
import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from dalib.metrics import transport
from dalib.metrics.distributions import wasserstein
from dalib.metrics.transport import counts, transport_cost, wasserstein_cells


def random_cells(cells, dimensions=2, seed=0):
    return np.random.default_rng(seed).normal(size=(cells, dimensions))


def random_visits(cells, seed, share=0.7):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 50, cells) * (rng.random(cells) < share)


def least_cost(a, b, cost):
    """The linear programme itself: T ≥ 0, T 1 = a, Tᵀ 1 = b, one entry after the other."""
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    found = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]))
    assert found.success
    return found.fun


@pytest.mark.parametrize("seed", range(5))
def test_distances_are_the_optimum_of_the_linear_programme(seed):
    centres = random_cells(12, seed=seed)
    a, b = random_visits(12, seed), random_visits(12, seed + 100)
    full = least_cost(a / a.sum(), b / b.sum(), cdist(centres, centres))
    assert wasserstein_cells(a, b, centres) == pytest.approx(full, rel=1e-10)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_leaving_common_mass_where_it_is_changes_nothing(dimensions):
    centres = random_cells(60, dimensions)
    a, b = random_visits(60, 1), random_visits(60, 2)
    full = transport_cost(a / a.sum(), b / b.sum(), cdist(centres, centres))
    assert wasserstein_cells(a, b, centres) == pytest.approx(full, rel=1e-12)


def test_distances_are_those_of_the_states_that_the_visits_count():
    centres = random_cells(9)
    tokens = np.random.default_rng(3).integers(0, 9, (2, 40))

    def samples(of):
        return xr.DataArray(centres[of], dims=("sample", "state"))

    a, b = (counts(t, 9) for t in tokens)
    assert wasserstein_cells(a, b, centres) == pytest.approx(
        float(wasserstein(samples(tokens[0]), samples(tokens[1]))), rel=1e-12
    )


def test_in_one_dimension_it_is_the_area_between_the_distribution_functions():
    x = np.sort(random_cells(30, 1), axis=0)
    a, b = random_visits(30, 4), random_visits(30, 5)
    apart = np.cumsum(a / a.sum() - b / b.sum())[:-1]
    area = (abs(apart) * np.diff(x[:, 0])).sum()
    assert wasserstein_cells(a, b, x) == pytest.approx(area, rel=1e-12)


def test_distances_are_those_of_a_metric():
    centres = random_cells(25)
    a, b, c = (random_visits(25, seed) for seed in (6, 7, 8))
    ab, bc, ac = (wasserstein_cells(*two, centres) for two in ((a, b), (b, c), (a, c)))
    assert wasserstein_cells(b, a, centres) == pytest.approx(ab, rel=1e-12)
    assert ac <= ab + bc
    assert ab > 0


def test_multiples_of_the_same_visits_are_at_distance_0_to_the_last_bit():
    centres, a = random_cells(200), random_visits(200, 9)
    assert wasserstein_cells(a, a, centres) == 0
    assert wasserstein_cells(a, 7 * a, centres) == 0
    assert wasserstein_cells(33_333_000 * a, 49 * a, centres) == 0


def test_all_mass_in_one_cell_each_travels_the_way_between_them():
    centres = np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    assert wasserstein_cells(np.array([2, 0, 0]), np.array([0, 5, 0]), centres) == 5.0


def test_distances_move_and_scale_with_the_cells():
    centres, a, b = random_cells(20), random_visits(20, 10), random_visits(20, 11)
    moved = wasserstein_cells(a, b, 3 * centres + 1)
    assert moved == pytest.approx(3 * wasserstein_cells(a, b, centres), rel=1e-12)


@pytest.mark.parametrize("wrong", [[0, 0, 0], [1, -1, 2], [1, np.nan, 1]])
def test_weights_that_are_no_distribution_are_refused(wrong):
    with pytest.raises(ValueError, match="second distribution needs finite weights"):
        wasserstein_cells(np.ones(3), np.array(wrong), random_cells(3))


def test_a_transport_that_does_not_converge_is_an_error(monkeypatch):
    assert transport.MOST_PIVOTS == 10_000_000  # POT's own, 100 000, is too low for 4000 cells
    monkeypatch.setattr(transport, "MOST_PIVOTS", 2)
    x, y = random_cells(30), random_cells(31)[:30] + 1
    with pytest.raises(RuntimeError, match="between 30 and 30 points was not found: .*optimality"):
        transport.transport_cost([], [], cdist(x, y))


def test_warnings_of_other_libraries_are_no_errors(monkeypatch):
    import ot

    solved = ot.emd2

    def old_fashioned(*arguments, **options):
        warnings.warn("this will change", DeprecationWarning, stacklevel=2)
        return solved(*arguments, **options)

    monkeypatch.setattr(ot, "emd2", old_fashioned)
    with pytest.warns(DeprecationWarning):
        assert transport.transport_cost([], [], 1.0 - np.eye(3)) == 0.0


def test_counts_have_a_place_for_every_token():
    tokens = np.array([[0, 3], [3, 1]], dtype=np.int16)
    np.testing.assert_array_equal(counts(tokens, 6), [1, 1, 0, 2, 0, 0])


def test_the_network_simplex_is_imported_only_when_it_is_needed():
    import subprocess

    code = "import sys, dalib.metrics.distributions; sys.exit('ot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
