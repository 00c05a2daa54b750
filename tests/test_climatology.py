import math

import pytest
import torch

from dalib import build
from dalib.climatology import climatology
from dalib.simulate import Start
from dalib.streams import stream


@pytest.mark.parametrize("interval", [0.01, 0.05])
def test_the_climate_of_lorenz63_does_not_depend_on_the_sampling_interval(interval):
    """Standard deviations 7.92, 9.01, 8.62 and mean height 23.55 (accuracy references)."""
    case = {
        "system": {"kind": "lorenz63"},
        "integrator": {"kind": "rk4", "dt": interval, "steps": 1},
        "truth": {"start": {"mean": [0.0, 0.0, 25.0], "std": 5.0}},
    }
    climate = build.climatology(case, torch.device("cpu"))
    expected = torch.tensor([7.92, 9.01, 8.62], dtype=torch.float64)
    torch.testing.assert_close(climate.std, expected, rtol=0.03, atol=0)
    assert climate.mean[2] == pytest.approx(23.55, abs=0.3)
    assert climate.mean[:2].abs().max() < 0.5  # (x, y, z) -> (-x, -y, z) leaves the equations


def test_a_stationary_start_is_its_own_climate():
    """A rotation keeps N(0, I)."""
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    start = Start([0.0, 0.0], std=1.0)
    found = climatology(lambda x: x @ turn, start, generator=stream("turn"))
    assert found.mean.abs().max() < 0.01
    energy = found.cov.trace().item()  # of 64 starts, each of which keeps its own
    assert energy == pytest.approx(2, abs=5 * 2 / math.sqrt(64))
    assert found.cov[0, 1].abs() < 0.05


def test_a_start_outside_the_basin_has_no_climate():
    case = {
        "system": {"kind": "henon"},
        "integrator": {"kind": "iterate", "steps": 1},
        "truth": {"start": {"mean": [5.0, 5.0], "std": 0.1}},
    }
    with pytest.raises(ValueError, match="free run of henon is not finite .* nearer"):
        build.climatology(case, torch.device("cpu"))


def test_what_drifts_has_no_climate():
    start = Start([0.0], std=1.0)
    with pytest.raises(ValueError, match="free run of a clock still change"):
        climatology(lambda x: x + 1, start, generator=stream("drift"), name="a clock")
