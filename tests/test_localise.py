import math

import pytest
import torch

from dalib.filters.patches import patches
from dalib.localise import (
    Grid,
    Localisation,
    Ring,
    Sphere,
    gaspari_cohn,
    on_map,
    on_sphere,
    ring_distance,
    weights,
)


def test_the_taper_is_one_at_zero_and_vanishes_smoothly_at_two():
    z = torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64)
    assert gaspari_cohn(z).tolist() == pytest.approx([1, 5 / 24, 0, 0], abs=1e-15)
    for joint in (1.0, 2.0):
        around = torch.tensor([joint - 1e-6, joint + 1e-6], dtype=torch.float64)
        below, above = torch.func.vmap(torch.func.grad(gaspari_cohn))(around)
        assert gaspari_cohn(around).diff().abs() < 1e-5
        assert below.item() == pytest.approx(above.item(), abs=1e-5)


def test_the_radius_is_where_the_taper_is_about_exp_minus_half():
    sites = torch.arange(40)
    weights = Ring(4.0)(sites, sites, 40)
    assert weights[0, 4] == pytest.approx(math.exp(-0.5), abs=0.03)
    assert (weights[0, 15:26] == 0).all()  # 2c = 14.56
    assert weights[0, 14] > 0


def test_the_ring_closes():
    sites = torch.arange(10)
    assert ring_distance(sites, torch.tensor(9), 10).tolist() == [1, 2, 3, 4, 5, 4, 3, 2, 1, 0]
    weights = Ring(1.0)(sites, sites, 10)
    assert torch.equal(weights.roll((1, 1), (0, 1)), weights)
    assert torch.equal(weights, weights.T)


def test_the_taper_of_a_large_enough_ring_is_a_covariance():
    sites = torch.arange(20)
    assert torch.linalg.eigvalsh(Ring(5 / 1.82)(sites, sites, 20)).min() > 0


def test_the_taper_has_a_finite_gradient_everywhere():
    z = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    gaspari_cohn(z).sum().backward()
    assert z.grad.isfinite().all()


# closed axes and the sphere


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0, 3.0, 10.0, 60.0, 1e6])
@pytest.mark.parametrize("size", [7, 8, 40])
def test_the_taper_of_any_ring_is_a_covariance(radius, size):
    sites = torch.arange(size)
    taper = Ring(radius)(sites, sites, size)
    assert torch.linalg.eigvalsh(taper).min() > -1e-12
    assert torch.allclose(taper.diagonal(), torch.ones(size).double())
    if 4 * 1.82 * radius <= size:  # where the shorter way round is the only one
        shorter = ring_distance(sites[:, None], sites, size).double()
        assert torch.equal(taper, gaspari_cohn(shorter / (1.82 * radius)))


def test_the_weights_have_a_slope_by_their_half_support():
    apart = torch.arange(9.0, dtype=torch.float64)[:, None]
    for c in (2.0, 4.0, 9.0):  # of a ring of 9 sites, 4c = 8, 16, 36
        given = torch.tensor(c, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda c: weights(apart, c, [9.0]), given)


@pytest.mark.parametrize("periodic", [(False, False), (False, True), (True, True)])
@pytest.mark.parametrize("radius", [1.0, 2.5])
def test_a_map_closes_where_it_is_periodic(periodic, radius):
    """As places with periods do; neighbours across the seam are as near as others."""
    shape, sites = (7, 9), torch.arange(126)
    taper = Grid(shape, radius, periodic)(sites, sites, 126)
    assert torch.linalg.eigvalsh(taper[:63, :63]).min() > -1e-12
    places = on_map((2, *shape))
    period = [float(n) if closed else None for n, closed in zip(shape, periodic, strict=True)]
    assert torch.allclose(Localisation(places, radius, period).taper(), taper, rtol=0, atol=1e-14)
    across, along = taper[27, 27 + 8], taper[27, 28]
    assert (across == along) if periodic[1] else (across < along)
    found = torch.zeros(126, 14, dtype=torch.float64)
    where = Localisation(places, radius, period)
    for components, near, rho in patches(where, places[::9], None, places):
        found[components[:, :, None], near] = rho.mT
    assert torch.allclose(found, taper[:, ::9], rtol=0, atol=1e-14)


def test_on_the_globe_neither_seam_nor_pole_is_an_edge():
    lat, lon = range(-85, 90, 10), range(0, 360, 10)
    points = torch.arange(18 * 36)
    taper = Sphere(lat, lon, 1500.0)(points, points, len(points))
    assert torch.linalg.eigvalsh(taper).min() > -1e-12
    around = taper.reshape(18, 36, 18, 36)
    assert torch.allclose(around[9, 0, 9, 35], around[9, 0, 9, 1], rtol=1e-12)
    pole = around[17, 0, 17]  # 10 degrees of latitude from the other side
    assert pole[18] == pole.min() > 0.5 * around[9, 0, 10, 0]
    places = on_sphere(torch.tensor(lat), torch.tensor(lon), 2)
    assert torch.allclose(places.norm(dim=-1), torch.tensor(6371.0).double())
    assert torch.equal(places[: len(points)], places[len(points) :])
    here = Localisation(places[points], 1500.0).taper()
    assert torch.allclose(here, taper, rtol=0, atol=1e-12)


def test_a_taper_that_goes_round_a_map_too_often_is_refused():
    with pytest.raises(ValueError, match="times round a closed axis of length 9"):
        Localisation(on_map((1, 9, 9)), 1e3, 9.0).taper()
