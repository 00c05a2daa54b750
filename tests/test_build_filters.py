"""Every filter of the registry can be made for every case: of components, of a map, of codes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import build
from dalib.cases.checkpoint import FORGOTTEN
from dalib.experiments import assimilate as assimilate_runs
from dalib.experiments import data, gridded, parts
from dalib.filters import Gaussian, assimilate
from dalib.nets.dkf import DeepKalman
from dalib.nets.scaling import Scaling
from dalib.registry import FILTERS
from dalib.streams import normal, streams

CASE = {
    "system": {"kind": "lorenz96", "size": 12},
    "integrator": {"kind": "rk4", "dt": 0.05},
    "truth": {
        "start": {"mean": 2.3, "std": 3.6},
        "spinup": 5.0,
        "model_noise_std": 0.0,
        "train": {"seeds": 2, "samples": 150},
        "valid": {"seeds": 1, "samples": 20},
        "test": {"seeds": 2, "samples": 5},
    },
    "observations": {"operator": {"kind": "identity"}, "error_std": 1.0, "until": None},
    "prior": {"mean": 2.3, "std": 1.0},
}
MAP = CASE | {
    "observations": {"operator": {"kind": "identity"}, "obs_std": 0.4},
    "prior": {"members": 100, "start": "noise", "starts": {"noise": {"mean": 2.3, "std": 3.6}}},
}
LINEAR = {"system": {"kind": "shifted_ring", "size": 12}, "integrator": {"kind": "iterate"}}
RING = {"kind": "ring", "radius": 2.0}
SETTINGS = {
    "ensf": {"mean": 2.3, "std": 3.6, "steps": 20},
    "particle": {"members": 100, "jitter_std": 0.3},
    "optimal_particle": {"members": 100, "model_error_std": 0.5},
    "auxiliary_particle": {"members": 100, "model_error_std": 0.5},
    "enff": {"guidance": 0.1},
    "fixed_gain": {"gain": 0.4 * torch.eye(12).double()},
    "latent": {"filter": {"kind": "etkf", "members": 8, "obs_std": 0.3}},
} | dict.fromkeys(("letkf", "local_letkf", "local_enkf", "localised_enkf", "ens3dvar"), {})
LOCAL = ("letkf", "local_letkf", "local_enkf", "local_particle")
OPTIONAL = ("localised_enkf", "ens3dvar")
MEMBERS = [k for k in FILTERS if "members" in build.resolve("filter", k).__dataclass_fields__]
NETWORKS = ("deep_kalman", "deep_kalman_smoother")
IN_CODE = ("likelihood_particle",)  # which is given a function


def section(kind: str, **settings) -> dict:
    own = {"kind": kind, **SETTINGS.get(kind, {}), **settings}
    if kind in MEMBERS:
        own = {"members": 8} | own
    return own | ({"localisation": RING} if kind in LOCAL + OPTIONAL else {})


def network(kind: str) -> DeepKalman:
    scaling = Scaling(torch.full((1, 12), 2.0), torch.full((1, 12), 4.0))
    settings = {"latent": 3, "hidden": 6, "backward": kind.endswith("smoother")}
    return DeepKalman(scaling, **settings, generator=streams("net", range(1), "weights"))


@pytest.fixture(scope="module")
def on_map() -> dict:
    states = data.truths(MAP, "t")
    seen = data.observations(MAP, states, "t")["test"]
    known = data.prior(MAP, states["test"], "t", states["train"])
    return {"truth": states, "observations": seen, "prior": known}


@pytest.mark.parametrize("kind", sorted(set(FILTERS) - {"latent", "direct_decode", *IN_CODE}))
def test_a_case_of_a_few_components_has_every_filter(kind):
    case = CASE | (LINEAR if kind.endswith("kalman") and kind not in NETWORKS else {})
    given = {"obs_std": torch.ones(12), "network": network(kind)}
    filter = build.method("filter", section(kind), case, **given)
    y = 2 + normal((2, 4, 12), streams("build", range(2), "y"))
    prior = Gaussian(torch.full((2, 12), 2.3).double(), torch.eye(12).double())
    if hasattr(filter, "smooth"):
        assert filter.smooth(y).mean.isfinite().all()
        return
    found = assimilate(filter, prior, y, streams("build", range(2), "filter"))
    assert found.mean.isfinite().all()


CODEC = {"kind": "linear", "components": 12, "stride": 1, "obs_std_relative": 0.1}


@pytest.fixture(scope="module")
def codec(on_map) -> xr.Dataset:
    states = on_map["truth"]
    return parts.codec(CODEC, MAP, states["train"], states["valid"], "t")


@pytest.mark.parametrize(
    "kind", sorted(set(FILTERS) - {"kalman", "square_root_kalman", *NETWORKS, *IN_CODE})
)
def test_a_case_of_gridded_states_has_every_filter(kind, on_map, codec):
    """With a localisation of its own, and with that of the map, of which it gives the radius."""
    coded = kind in ("latent", "direct_decode")
    own, codecs = section(kind), [codec] if coded else []
    entry = {"method": "m", "coordinates": {}, "values": {}, "replicate": 0}
    entry |= {"data": 0, "prior": 0} | ({"codec": 0} if coded else {})
    ways = [own]
    if kind in LOCAL:
        ways.append(build.without(own, "localisation") | {"radius": 2.0})
    means = []
    for way in ways:
        given = ([on_map["observations"]], [on_map["prior"]], "t", "cpu", FORGOTTEN)
        more = {"sampled": 100, "codecs": codecs}
        found = gridded.analyses(way, MAP, [entry], *given, **more)
        means.append(found["mean"].values)
        assert np.isfinite(means[-1]).all()
    np.testing.assert_array_equal(means[0], means[-1])


def test_the_stage_of_a_few_components_has_local_filters():
    """As in a study, from its files to its file."""
    case = CASE | {"observations": {"operator": {"kind": "identity"}, "obs_std": 1.0}}
    states = data.truths(case, "t")
    seen, known = (
        data.observations(case, states, "t")["test"],
        data.prior(case, states["test"], "t"),
    )
    entry = {"method": "m", "coordinates": {}, "values": {}, "replicate": 0, "data": 0, "prior": 0}
    means = {}
    for kind in LOCAL:
        given = ("estimator", section(kind), case, [entry], [seen], [known], [], "t")
        means[kind] = assimilate_runs.analyses(*given)["mean"].values
        assert np.isfinite(means[kind]).all()
    np.testing.assert_array_equal(means["letkf"], means["local_letkf"])


def test_a_localisation_for_a_filter_that_takes_none_is_refused():
    with pytest.raises(ValueError, match="etkf takes no localisation; those that do: .*letkf"):
        build.filter(CASE, {"kind": "etkf", "localisation": RING}, obs_std=torch.ones(12))


def test_a_linear_filter_of_equations_that_are_not_is_refused():
    with pytest.raises(ValueError, match="'kalman' needs `matrix`.*lorenz96 has none.*ekf"):
        build.filter(CASE, {"kind": "kalman"}, obs_std=torch.ones(12))


def test_filters_are_made_at_one_place():
    root = Path(__file__).parents[1] / "dalib"
    made = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if 'make("filter"' in path.read_text()
    }
    assert made == {"build.py"}
