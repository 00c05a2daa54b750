"""Operators on maps of variables: every k-th point, and between the points."""

import pytest
import torch
from torch.func import jacrev

from dalib.observe import Arctan, ArctanEveryKth, EveryKth, Subset
from dalib.streams import normal, stream

MAPS = EveryKth((3, 12, 10), 5)


def states(*leading: int):
    return normal((*leading, 360), stream("maps"))


def test_every_kth_point_of_each_variable_is_seen():
    x = states(2, 4)
    expected = x.reshape(2, 4, 3, 12, 10)[..., 2::5, 2::5].flatten(-3)
    assert torch.equal(MAPS(x), expected)
    assert MAPS.sensors == (3, 2, 2)
    assert torch.equal(MAPS(x), Subset(tuple(MAPS.selected(360).tolist()))(x))
    assert MAPS.seen([f"v{i}" for i in range(360)])[:3] == ["v22", "v27", "v72"]
    assert torch.equal(EveryKth((3, 12, 10), 1)(x), x)


@pytest.mark.parametrize("operator", [MAPS, ArctanEveryKth((3, 12, 10), 5, 1, 2.0)])
def test_tangent_is_the_derivative(operator):
    x = states()
    torch.testing.assert_close(operator.tangent(x), jacrev(operator)(x))
    assert operator.tangent(x.expand(2, 360)).shape == (2, len(operator(x)), 360)


@pytest.mark.parametrize("operator", [Arctan(0.5), Arctan(-2.0), ArctanEveryKth((1, 2, 3), 1)])
def test_the_response_of_an_instrument_is_its_value_and_slope(operator):
    x = normal((4, 6), stream("response"))
    value, slope = operator.response(x)
    torch.testing.assert_close(value, operator(x))
    torch.testing.assert_close(slope, torch.func.grad(lambda x: operator(x).sum())(x))
    assert (slope.abs() <= operator.steepest).all()


def test_interpolation_keeps_the_sensors_and_constants():
    x = states(2)
    between = MAPS.interpolated(MAPS(x))
    assert between.shape == x.shape
    torch.testing.assert_close(MAPS(between), MAPS(x))
    torch.testing.assert_close(MAPS.interpolated(torch.full((12,), 3.0)), torch.full((360,), 3.0))


@pytest.mark.parametrize("k", [1, 3, 5, 15])
def test_interpolation_meets_a_smooth_map(k):
    """Waves of 60 and 75 points, where sensors are on all sides; relative to their deviation."""
    n = torch.arange(150, dtype=torch.float64) * 2 * torch.pi
    x = (torch.sin(n[:, None] / 60) * torch.cos(n / 75)).flatten()
    maps = EveryKth((1, 150, 150), k)
    inside = slice(2 * k, 150 - 2 * k)
    error = (maps.interpolated(maps(x)) - x).reshape(150, 150)[inside, inside]
    assert error.square().mean().sqrt() / x.std() < (0.03 if k > 1 else 1e-12)


def test_a_missing_sensor_leaves_a_hole_around_it_only():
    maps = EveryKth((2, 40, 40), 4)
    y = maps(normal((2 * 40 * 40,), stream("holes")))
    y[55] = torch.nan  # sensor (5, 5) of the first variable, at (22, 22)
    hole = maps.interpolated(y).isnan().reshape(2, 40, 40)
    rows, columns = hole[0].nonzero().unbind(-1)
    assert hole[0, 22, 22] and not hole[1].any()
    assert 22 - 8 <= rows.min() and rows.max() <= 22 + 8
    assert 22 - 8 <= columns.min() and columns.max() <= 22 + 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((12, 10), 2), r"\(variable, x, y\), got \(12, 10\)"),
        (((3, 12, 10), 0), "k of at least 1"),
        (((3, 12, 10), 5, 5), "offset from 0 to k - 1"),
        (((3, 4, 4), 12), "lies on the map"),
    ],
)
def test_maps_without_sensors_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EveryKth(*arguments)


def test_a_state_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"maps \(3, 12, 10\) of 360 values.* has 300"):
        MAPS(torch.zeros(300))
