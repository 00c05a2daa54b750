import math

import pytest
import torch

from dalib.localise import Ring, gaspari_cohn, ring_distance


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
