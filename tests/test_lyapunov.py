import math

import pytest
import torch

from dalib.integrate import RK4, Exact, Iterate
from dalib.lyapunov import kaplan_yorke, leading_exponent, lyapunov_spectrum
from dalib.simulate import Start, simulate
from dalib.streams import streams
from dalib.systems.clohessy_wiltshire import ClohessyWiltshire
from dalib.systems.henon import Henon
from dalib.systems.linear import ShiftedRing
from dalib.systems.lorenz import Lorenz63, Lorenz96


def on_attractor(step, mean, std, seeds, spinup):
    generator = streams("lyapunov", range(seeds), "start")
    start = Start(mean, std)
    states = simulate(step, start, 0, seeds=range(seeds), spinup=spinup, generator=generator)
    return states[:, -1]


def test_exponents_of_a_diagonal_map_are_its_logarithms():
    factors = torch.tensor([0.5, 3.0, 1.0], dtype=torch.float64)

    def tangent(x):
        return factors * x, factors.diag().expand(*x.shape, 3)

    exponents = lyapunov_spectrum(tangent, torch.zeros(2, 3).double(), 60, 2, interval=0.5)
    expected = 2 * torch.tensor([3.0, 1.0, 0.5]).double().log()
    torch.testing.assert_close(exponents, expected.expand(2, 3))


def test_a_damped_ring_contracts_evenly():
    x0 = torch.zeros(20, dtype=torch.float64)
    exponents = lyapunov_spectrum(Iterate().tangent(ShiftedRing()), x0, 30)
    torch.testing.assert_close(exponents, torch.full((20,), math.log(0.98)).double())


def test_orbits_neither_grow_nor_shrink_a_volume():
    x0 = torch.zeros(6, dtype=torch.float64)
    exponents = lyapunov_spectrum(Exact(10.0).tangent(ClohessyWiltshire()), x0, 50)
    assert abs(exponents.sum()) < 1e-12


def test_lorenz63_exponents():
    integrator, system = RK4(0.01), Lorenz63()
    x0 = on_attractor(integrator.flow(system), [0, 0, 25], 5.0, 16, 1000)
    exponents = lyapunov_spectrum(
        integrator.tangent(system), x0, 8000, 10, interval=0.01, discard=500
    )
    median = exponents.median(0).values
    assert (median - torch.tensor([0.906, 0.0, -14.57])).abs().tolist() < [0.02, 0.02, 0.04]
    assert (exponents.sum(-1) + 10 + 1 + 8 / 3).abs().max() < 1e-3
    assert kaplan_yorke(exponents).median().item() == pytest.approx(2.062, abs=0.005)


def test_henon_exponents():
    x0 = on_attractor(Henon().step, [0.1, 0.1], 0.05, 64, 100)
    exponents = lyapunov_spectrum(Iterate().tangent(Henon()), x0, 10_000, 4, discard=100)
    median = exponents.median(0).values
    assert (median - torch.tensor([0.4192, -1.6232])).abs().max() < 0.002
    assert (exponents.sum(-1) - math.log(0.3)).abs().max() < 1e-6
    assert kaplan_yorke(exponents).median().item() == pytest.approx(1.258, abs=0.002)


def test_lorenz96_exponents():
    integrator, system = RK4(0.05), Lorenz96()
    x0 = on_attractor(integrator.flow(system), [8.0] * 40, 1.0, 16, 400)
    exponents = lyapunov_spectrum(
        integrator.tangent(system), x0, 2000, 5, interval=0.05, discard=200
    )
    assert exponents[:, 0].median().item() == pytest.approx(1.68, abs=0.06)
    assert exponents.sum(-1).median().item() == pytest.approx(-40, abs=0.05)
    assert kaplan_yorke(exponents).median().item() == pytest.approx(27.1, abs=0.8)
    assert (exponents > 0.015).sum(-1).median() == 13


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([-1.0, -2.0], 0.0),
        ([0.0, -1.0], 1.0),
        ([0.9, 0.0, -14.5], 2 + 0.9 / 14.5),
        ([1.0, -1.0], 2.0),
        ([1.0, 0.5], 2.0),
    ],
)
def test_kaplan_yorke_dimension(exponents, dimension):
    assert kaplan_yorke(torch.tensor(exponents)).item() == pytest.approx(dimension)


def test_counts_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiples of every 4"):
        lyapunov_spectrum(Iterate().tangent(Henon()), torch.zeros(2), 10, 4)


def test_the_exponent_of_a_linear_map_is_the_logarithm_of_its_largest_eigenvalue():
    """Not normal, eigenvalues 0.9 and -0.5 in directions 10 degrees apart; then one that grows."""
    directions = torch.tensor([[1.0, math.cos(0.17)], [0.0, math.sin(0.17)]]).double()
    for first in (0.9, 1.3):
        matrix = directions @ torch.tensor([first, -0.5]).double().diag() @ directions.inverse()
        z0 = torch.zeros(3, 2, dtype=torch.float64)
        found = leading_exponent(lambda z, m=matrix: z @ m.T, z0, 50, interval=0.5, discard=100)
        torch.testing.assert_close(found, torch.full((3,), 2 * math.log(first)).double())


def test_the_leading_exponent_is_the_first_of_the_spectrum():
    integrator, options = Iterate(), {"discard": 50}
    x0 = on_attractor(integrator.flow(Henon()), [0.0, 0.0], 0.1, 4, 100)
    spectrum = lyapunov_spectrum(integrator.tangent(Henon()), x0, 1000, **options)
    found = leading_exponent(integrator.flow(Henon()), x0, 1000, **options)
    torch.testing.assert_close(found, spectrum[:, 0], rtol=0, atol=1e-9)


def test_the_leading_exponent_of_an_orbit_that_leaves_is_missing():
    z0 = torch.tensor([[0.5], [3.0]], dtype=torch.float64)
    found = leading_exponent(lambda z: 0.5 * z + z**3, z0, 100, discard=10)
    assert found[0].item() == pytest.approx(math.log(0.5)) and found[1].isnan()
