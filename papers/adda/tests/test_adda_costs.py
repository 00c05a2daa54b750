"""Costs of a gradient update counted, against counts by hand, and CPU times of the filters."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch.autograd.graph import saved_tensors_hooks

from dalib.points import COORDINATES, Group, runs_of
from papers.adda import timing as timings
from papers.adda.learning import Experiment
from papers.adda.metrics import costs
from papers.adda.metrics.costs import Kept, Operations, update_costs
from pipeline import settings

CONFIG = settings.load(Path(__file__).parents[3], {"scale": "smoke"})["adda"]
SIZE, TRAJECTORIES, SEGMENT = 8, 2, 5
POINT = {"start_variance": 1.0, "obs_variance": 1.0, "observed": 1.0, "members": 4}
RANKS = {"rank": {"vary": {"rank": [2, 4, 6], "observed": [0.25, 0.5]}, "filters": ["low_rank"]}}


@pytest.fixture
def ring():
    """A ring of eight sites, and filters that learn its tendency: (case, experiment)."""
    case, section = (copy.deepcopy(CONFIG[part]["l96"]) for part in ("cases", "learning"))
    case["system"]["size"] = section["map"]["size"] = SIZE
    for name in ("enkf", "ens3dvar"):
        section["filters"][name]["localisation"] = {"kind": "ring", "radius": 1.0}
    section |= {"base": POINT, "base_of": {"low_rank": {"rank": 4, "observed": 0.5}}}
    section |= {"sweeps": RANKS, "grids": {}}
    section["learned"] = {
        name: section["learned"][name] for name in ("var3d_k", "enkf", "ens3dvar", "low_rank")
    }
    section["training"] |= {"trajectories": TRAJECTORIES, "segment": SEGMENT}
    return case, section


def cost(ring, filter, *segments, **point):
    return update_costs(*ring, Group(filter, (POINT | point,)), segments or None)


def test_operations_of_a_learned_gain_are_those_counted_by_hand(ring):
    """RK4 has four products of 5 x 5 matrices with all windows, K one with all innovations.

    Backward there is one more for each of the two factors, but for the first state, which is
    given, and for the last analysis, which no forecast follows.
    """
    windows = 2 * 5 * 5 * TRAJECTORIES * SIZE
    gain = 2 * TRAJECTORIES * SIZE * SIZE
    for length in (1, 2, 3, SEGMENT):
        expected = windows * (3 * 4 * length - 1) + gain * (length + 2 * (length - 1))
        assert cost(ring, "var3d_k", length)[0].operations == expected


def test_what_is_counted_of_three_times_is_what_a_longer_segment_costs(ring):
    for filter in ring[1]["learned"]:
        own = ring[1]["base_of"].get(filter, {})
        sections = {"case": ring[0], "model": costs.one_repeat(ring[1], filter)}
        one = Experiment(sections, Group(filter, (POINT | own,)), "any/name", "cpu")
        assert cost(ring, filter, 6, **own) == [costs.counted(one, 6)], filter


def test_operations_grow_with_the_rank_in_proportion_and_with_the_share_observed(ring):
    counted = np.array(
        [
            [cost(ring, "low_rank", rank=p, observed=share)[0].operations for p in (2, 4, 6)]
            for share in (0.25, 0.5)
        ]
    )
    product = 3 * 2 * SIZE * SIZE  # of B Bᵀ and of its derivative, for each column of B
    np.testing.assert_array_equal(np.diff(counted), 2 * product)
    assert (counted[1] > counted[0]).all()


def test_every_run_has_its_cost(ring):
    runs = runs_of(ring[1])
    coords = {name: ("run", [r.point.get(name, np.nan) for r in runs]) for name in COORDINATES}
    weights = xr.Dataset(coords={"filter": ("run", [run.filter for run in runs]), **coords})
    found = costs.costs_of_runs(*ring, weights)
    expected = [update_costs(*ring, Group(run.filter, (run.point,)))[0] for run in runs]
    np.testing.assert_allclose(1e6 * found.mflop, [one.operations for one in expected])
    np.testing.assert_array_equal(found.memory, [one.memory for one in expected])


def test_memory_grows_with_members_and_in_proportion_with_the_segment(ring):
    few, many = (cost(ring, "enkf", members=n)[0].memory for n in (4, 8))
    assert 1.3 * few < many < 2 * few
    memory = costs.memory_of_segments(*ring, [4, 6, 8]).memory_by_segment
    assert memory.dims == ("method", "segment") and memory.attrs["units"] == "byte"
    assert (memory.diff("segment") > 0).all()
    np.testing.assert_array_equal(memory.diff("segment", 2), 0)
    assert memory.sel({"method": "enkf", "segment": 6}) == cost(ring, "enkf", 6)[0].memory


def test_costs_do_not_depend_on_repeats_or_epochs(ring):
    before = cost(ring, "ens3dvar")
    ring[1]["training"] |= {"repeats": 1, "epochs": 7}
    assert cost(ring, "ens3dvar") == before
    ring[1]["training"]["trajectories"] = 2 * TRAJECTORIES
    assert cost(ring, "ens3dvar")[0].operations > 1.5 * before[0].operations


def test_each_storage_that_is_kept_counts_once_and_parameters_do_not():
    parameter = torch.ones(10, dtype=torch.float64, requires_grad=True)
    kept = Kept([parameter])
    with saved_tensors_hooks(kept.keep, kept.give):
        value = (2 * parameter).exp()  # kept: the exponential
        half = value[:5]
        total = (half * half).sum() + (parameter * parameter).sum()  # the same again; parameters
        dropped = value.sigmoid()  # kept: the sigmoid
        assert kept.bytes == 2 * 80
        del dropped
    assert kept.bytes == 80
    total.backward()
    expected = 2 * parameter.detach() + 4 * (4 * parameter.detach()).exp() * (torch.arange(10) < 5)
    torch.testing.assert_close(parameter.grad, expected)


def test_operations_are_those_of_textbooks():
    A = torch.eye(6).expand(3, 6, 6)
    B = torch.ones(3, 6, 2)
    for compute, expected in (
        (lambda: A @ B, 3 * 2 * 6 * 6 * 2),
        (lambda: torch.linalg.cholesky_ex(A), 3 * 6**3 / 3),
        (lambda: torch.linalg.solve_triangular(A, B, upper=False), 3 * 6 * 6 * 2),
        (lambda: torch.linalg.solve(A, B), 3 * (2 * 6**3 / 3 + 2 * 6 * 6 * 2)),
        (lambda: torch.linalg.eigh(A), 3 * 9 * 6**3),
        (lambda: A + A, 0),
    ):
        with Operations() as operations:
            compute()
        assert operations.count == expected


# -- times ---------------------------------------------------------------------------------------


@pytest.fixture
def timing(ring):
    """What the stage `time` is given, with an experiment that learns the radius too."""
    case, section = ring
    taper = copy.deepcopy(CONFIG["learning"]["taper"]) | {"base": POINT, "grids": {}}
    taper["map"]["size"] = SIZE
    taper["learned"]["enkf"]["radius"]["start"] = 2.0
    taper["training"] |= {"trajectories": TRAJECTORIES, "segment": SEGMENT}
    section["learned"] = {name: section["learned"][name] for name in ("var3d_k", "low_rank")}
    given = {"taper": {"radius": {"localisation": {"kind": "ring", "radius": 1.0}}}}
    y = torch.randn(6, 11, SIZE, generator=torch.Generator().manual_seed(0)).double()
    data = xr.Dataset(
        {"y": (("seed", "time", "obs"), y.numpy()), "obs_std": ("obs", np.ones(SIZE))}
    )
    names = ("own", "taper")
    return {
        "settings": {"experiments": [*names], "fixed": given, "updates": 2, "repetitions": 2},
        **{f"case_{name}": case for name in names},
        "experiment_own": section,
        "experiment_taper": taper,
    }, {f"observations_{name}": data for name in names}


def test_every_filter_has_its_times_and_one_with_a_fixed_radius_too(timing):
    found = timings.measured(*timing)
    names = ["var3d_k", "low_rank", "taper_enkf", "taper_enkf_fixed_radius"]
    assert found.method.values.tolist() == names
    for what in ("forecast", "analysis", "update", "epoch"):
        seconds = found[f"cpu_seconds_{what}"]
        assert seconds.dims == ("method", "repetition") and seconds.attrs["units"] == "s"
        assert seconds.shape == (4, 2) and (seconds > 0).all()
    # 11 times are 3 segments of 5, of which an epoch has as many updates
    np.testing.assert_allclose(found.cpu_seconds_epoch, 3 * found.cpu_seconds_update)
    steps = found.cpu_seconds_forecast + found.cpu_seconds_analysis
    assert (found.cpu_seconds_update > SEGMENT * steps).all()


def test_a_single_segment_cannot_be_timed(timing):
    timing[1]["observations_own"] = timing[1]["observations_own"].isel(time=slice(SEGMENT))
    with pytest.raises(ValueError, match="learns from 1 segment of 5 times"):
        timings.measured(*timing)


def test_what_a_filter_does_not_learn_cannot_be_held_fixed(timing):
    timing[0]["settings"]["fixed"] = {"own": {"radius": {}}}
    with pytest.raises(ValueError, match="'var3d_k' does not learn 'radius'; it learns gain"):
        timings.measured(*timing)
