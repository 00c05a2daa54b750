"""Filters on fields, from the truth to scores: small basins and rings, where much is known."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import arrays, build, io
from dalib.build import start
from dalib.cases import observed
from dalib.cases.checkpoint import FORGOTTEN
from dalib.cases.truth import truth
from dalib.field_runs import runs_of
from dalib.filters.ensf_linear import moments
from dalib.filters.ensf_sampler import Diffusion
from dalib.integrate import trajectory
from dalib.observe import EveryKth
from dalib.scores import at_times
from dalib.streams import streams
from papers.lensf import fields, tuning
from papers.lensf import timing as fields_timed
from papers.lensf.metrics import evaluate as fields_scored
from papers.lensf.metrics.fields import score_run

CENTRE = [1e5, -1e5]
BUMP = {"kind": "bump", "width": 2e5}
BASIN = {
    "system": {"kind": "shallow_water", "points": 6},
    "integrator": {"kind": "iterate", "steps": 3},
    "truth": {
        "start": BUMP,
        "spinup": 0.0,
        "model_noise_std": 0.0,
        "train": {"seeds": 6, "samples": 4},
        "valid": {"seeds": 2, "samples": 4},
        "test": {"seeds": 3, "samples": 6, "start": BUMP | {"centre": CENTRE}},
    },
    "observations": {
        "operator": {"kind": "identity"},
        "relative_error": [0.0, 0.1, 0.2],
        "trajectories": {"train": 0, "valid": 0},
        "until": None,
    },
    "prior": {
        "members": 8,
        "starts": {
            "noise": BUMP | {"centre": [0.0, 2e5], "noise_std": 0.05},
            "locations": BUMP,
            "true": BUMP | {"centre": CENTRE},
        },
    },
}
RING = BASIN | {
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
    "prior": {"members": 8, "starts": {"noise": {"mean": 2.3, "std": 3.6}}},
}
BASE = {"every": 1, "noise": 0.1, "start": "noise", "interval": 1, "errors": "given"}
FREE = {"kind": "free_run", "members": 8}
ENSF = {"kind": "ensf", "members": 8, "steps": 40, "obs_std": 0.05}
ETKF = {"kind": "etkf", "members": 8, "obs_std": 0.3}  # draws nothing
LINEAR = {
    "name": "linear",
    "codec": {"kind": "pca", "components": 12, "variables": 1, "ridge": 1e-13},
    "every": 1,
    "data": "fields",
    "noise": 0.0,
    "training": {"repeats": 1},
}
ALL = {"index": 0, "size": 100}
SIZE = 3 * 6 * 6


def made(case) -> dict:
    states = {split: truth(case, split, "t") for split in ("train", "valid", "test")}
    return {"case": case, "truth": states, **observed.observed(case, states, "t")}


@pytest.fixture(scope="module")
def basin():
    return made(BASIN)


@pytest.fixture(scope="module")
def ring():
    return made(RING)


def codec_of(data, section):
    sections, states = {"model": section}, data["truth"]
    return fields.trained(
        sections, states["train"], states["valid"], batch=ALL, experiment="t", device="cpu"
    )


@pytest.fixture(scope="module")
def linear(ring):
    """Weights of a codec of full rank, of exact observations."""
    return codec_of(ring, LINEAR)[0]


def job(data, filters, methods, *, batch=ALL, base=BASE, models=None, **options) -> xr.Dataset:
    """What one job makes of the test observations."""
    sections = {
        "case": data["case"],
        "filters": filters,
        "methods": methods,
        "fields": {"base": base, "sampled": options.pop("sampled", 1000)},
    }
    inputs = {"observations": data["test"], "prior": data["prior"], "models": models or {}}
    options = {"experiment": "t/job", "checkpoint": FORGOTTEN} | options
    return fields.analyses(sections, inputs, batch=batch, device="cpu", **options)


def analysed(data, section, *points, **options) -> xr.Dataset:
    """What one filter makes of them at some points."""
    return job(data, {"m": section}, {"m": list(points) or [{}]}, **options)


def same(one: xr.Dataset, other: xr.Dataset):
    """To the last bit, but for the labels of the runs."""
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)


# -- what is observed ----------------------------------------------------------------------------


def test_a_state_is_a_map_of_each_variable_with_x_before_y(basin):
    test = basin["truth"]["test"]
    assert arrays.shape_of(test, SIZE) == (3, 6, 6)
    eta = test.x.isel(seed=0, time=0).values.reshape(3, 6, 6)[2]
    x, y = np.unravel_index(eta.argmax(), eta.shape)
    along = (test[name].values for name in arrays.GRID)
    nearest = [int(abs(x - c).argmin()) for x, c in zip(along, CENTRE, strict=True)]
    assert [x, y] == nearest and x != y
    assert test["variable"].values.tolist() == ["u", "v", "eta"]
    assert test["unit"].values.tolist() == ["m/s", "m/s", "m"]
    assert test["time"].attrs["units"] == "s"
    assert float(test["time"][1]) == pytest.approx(3 * build.system(BASIN).dt)


def test_the_layout_goes_with_the_observations_and_a_ring_is_one_long_column(basin, ring):
    for name, variable in arrays.layout_of(basin["truth"]["test"]).items():
        assert basin["test"][name].variable.identical(variable)
    assert arrays.shape_of(ring["test"], 12) == (1, 12, 1)


def test_components_have_names_until_there_are_too_many():
    assert arrays.names_of(build.system(BASIN))[0] == "u[0,0]"
    many = build.system({"system": {"kind": "shallow_water", "points": 20}})
    assert arrays.names_of(many) == range(1200)


def test_without_errors_what_is_observed_is_the_state(basin):
    later = basin["truth"]["test"].x.isel(time=slice(1, None))
    np.testing.assert_array_equal(basin["test"].y.isel(error=0), later)
    np.testing.assert_array_equal(basin["test"].time, later.time)


def test_errors_of_every_size_are_the_same_errors(basin):
    y = basin["test"].y
    small, large = (y.isel(error=i) - y.isel(error=0) for i in (1, 2))
    np.testing.assert_allclose(large, 2 * small, rtol=1e-9, atol=1e-12)
    share = small / basin["test"].obs_std.isel(error=1)
    assert float(share.std()) == pytest.approx(1, abs=0.05)


def test_errors_are_shares_of_the_std_of_each_variable_over_training_states(basin):
    train = basin["truth"]["train"].x.values.reshape(-1, 3, 36)
    std = train.std((0, 2), ddof=1)
    np.testing.assert_allclose(basin["test"].state_std, std, rtol=1e-12)
    expected = np.multiply.outer([0.0, 0.1, 0.2], std.repeat(36))
    np.testing.assert_allclose(basin["test"].obs_std, expected, rtol=1e-12)
    assert (basin["test"].state_mean == 0).all()


def test_of_centred_fields_the_mean_over_training_states_is_known():
    data = made(BASIN | {"observations": BASIN["observations"] | {"centred": True}})
    train = data["truth"]["train"].x.values.reshape(-1, 3, 36)
    np.testing.assert_allclose(data["test"].state_mean, train.mean((0, 2)), rtol=1e-9)


def test_parts_that_nobody_learns_from_are_not_observed(basin):
    assert basin["train"].sizes["seed"] == basin["valid"].sizes["seed"] == 0
    assert basin["test"].sizes["seed"] == 3


def test_a_system_with_steps_in_seconds_starts_where_its_bump_is():
    drawn = start(BASIN, BUMP | {"centre": CENTRE}).draw((2, 3), streams("t", range(2), "x"))
    assert drawn.shape == (2, 3, SIZE) and (drawn == drawn[0, 0]).all()


# -- nothing is known of what is estimated -------------------------------------------------------


def test_a_prior_knows_nothing_of_the_truth(basin):
    test = basin["truth"]["test"]
    other = observed.prior(BASIN, test.assign(x=100 * test.x + 1), "t")
    xr.testing.assert_identical(other, basin["prior"])
    alone = observed.prior(BASIN, test.isel(seed=[1]), "t")
    xr.testing.assert_identical(alone, basin["prior"].isel(seed=[1]))


def test_sizes_of_errors_know_nothing_of_the_test(basin):
    states = basin["truth"] | {"test": basin["truth"]["test"].assign(x=lambda d: 100 * d.x)}
    other = observed.observed(BASIN, states, "t")
    for name in ("obs_std", "state_std", "state_mean", "error"):
        assert other["test"][name].identical(basin["test"][name])


@pytest.mark.parametrize("section", [FREE, ENSF, ETKF])
def test_an_analysis_knows_nothing_of_what_comes_later(basin, section):
    test = basin["truth"]["test"].copy(deep=True)
    test.x[:, 4:] = 1.5 * test.x[:, 4:] + 1
    states = basin["truth"] | {"test": test}
    other = {"case": BASIN, **observed.observed(BASIN, states, "t")}
    one, two = analysed(basin, section, {"every": 2}), analysed(other, section, {"every": 2})
    same(one.drop_vars("diverged_at").isel(time=slice(3)), two.isel(time=slice(3)))
    same(one[["forecast_mean"]].isel(time=[3]), two.isel(time=[3]))
    assert section is FREE or not one["mean"].isel(time=3).equals(two["mean"].isel(time=3))


def test_a_codec_learns_nothing_of_what_is_held_out(ring, linear):
    twice = ring["truth"]["valid"].assign(x=lambda d: 2 * d.x + 1)
    other = codec_of(ring | {"truth": ring["truth"] | {"valid": twice, "test": None}}, LINEAR)[0]
    assert other.drop_vars("mismatch").identical(linear.drop_vars("mismatch"))


def test_shocks_strike_the_truth_and_not_the_forecasts():
    shocks = [{"size": 0.05, "probability": 0.3}]
    shaken = made(RING | {"truth": RING["truth"] | {"shocks": shocks}})
    calm = made(RING)
    assert not np.allclose(shaken["truth"]["test"].x, calm["truth"]["test"].x)
    states = ["mean", "forecast_mean", "kept_members"]  # spreads are relative to training states
    same(analysed(shaken, FREE)[states], analysed(calm, FREE)[states])


# -- analyses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [BASIN, RING])
def test_a_free_run_is_the_model(case):
    data = made(case)
    free = analysed(data, FREE).isel(run=0)
    members = arrays.to_tensor(data["prior"].members.sel(start="noise"))
    model = trajectory(build.step(case), members, free.sizes["time"])[..., 1:, :]
    np.testing.assert_array_equal(free.kept_members, model.movedim(-3, -2))
    np.testing.assert_array_equal(free["mean"], free["forecast_mean"])


def test_a_free_run_from_the_true_start_is_the_truth(basin):
    free = analysed(basin, FREE, {"start": "true"}).isel(run=0)
    truth = basin["truth"]["test"].x.isel(time=slice(1, None))
    np.testing.assert_allclose(free["mean"], truth, rtol=1e-12, atol=1e-15)
    assert (free.spread < 1e-12).all()


def test_with_tiny_errors_everywhere_the_score_filter_returns_the_observations(basin):
    section = ENSF | {"scale": 100.0, "obs_std": 5e-4, "steps": 400, "eps_beta": 0.5}
    run = analysed(basin, section, {"noise": 0.0}, base=BASE).isel(run=0)
    per = basin["test"].state_std.values.repeat(36)
    apart = (run["mean"].values - basin["test"].y.isel(error=0).values) / per
    before = (run["forecast_mean"].values - basin["test"].y.isel(error=0).values) / per
    assert np.sqrt((before[:, 0] ** 2).mean()) > 0.3
    assert np.sqrt((apart**2).mean()) < 4e-3


def test_the_score_filter_moves_members_by_the_gain_of_its_sampler(basin):
    """Analysis = kept x + gain y + std ξ in diffusion units; the whole is linear."""
    section = ENSF | {"scale": 10.0, "obs_std": 0.02}
    run = analysed(basin, section).isel(run=0, time=0)
    expected = moments(0.2, Diffusion(steps=40), limit=False)
    y = basin["test"].y.isel(error=1, time=0)
    per = basin["test"].state_std.values.repeat(36)
    centre = expected.kept * run["forecast_mean"].values + expected.gain * y.values
    noise = (run["mean"].values - centre) / per * 10.0 / expected.std * np.sqrt(8)
    assert noise.mean() == pytest.approx(0, abs=4 / np.sqrt(noise.size))
    assert noise.std() == pytest.approx(1, abs=4 / np.sqrt(2 * noise.size))


def test_between_analyses_there_are_forecasts(basin):
    run = analysed(basin, ENSF, {"interval": 2}).isel(run=0)
    skipped, used = run.isel(time=slice(0, None, 2)), run.isel(time=slice(1, None, 2))
    np.testing.assert_array_equal(skipped["mean"], skipped["forecast_mean"])
    np.testing.assert_array_equal(skipped["spread"], skipped["forecast_spread"])
    assert (used["mean"] != used["forecast_mean"]).any("state").all()


def test_sensors_are_every_kth_point_of_the_noisy_whole(basin):
    run = fields.runs_of_job({"base": BASE, "methods": {"m": [{"every": 2}]}}, "m", {"m": ENSF})[0]
    seen = fields.seen(BASIN, basin["test"], run, "cpu")
    whole = basin["test"].y.isel(error=1).values.reshape(3, 6, 3, 6, 6)
    np.testing.assert_array_equal(seen.y, whole[..., 1::2, 1::2].reshape(3, 6, -1))
    assert torch.equal(seen.operator(torch.arange(SIZE)), EveryKth((3, 6, 6), 2).selected(SIZE))


def test_members_of_fewer_are_the_first_of_the_prior(basin):
    runs = analysed(basin, FREE, {}, {"settings": {"members": 3}})
    one, other = (runs.kept_members.isel(run=i) for i in (0, 1))
    np.testing.assert_array_equal(other.isel(member=slice(3)), one.isel(member=slice(3)))
    assert other.isel(member=slice(3, None)).isnull().all()
    assert runs["members"].values.tolist() == [8, 3]


def test_components_that_are_kept_are_spread_evenly(basin):
    whole, some = analysed(basin, FREE), analysed(basin, FREE, sampled=5)
    assert some["sampled"].values.tolist() == [0, 27, 54, 80, 107]
    kept = whole.kept_members.isel(sampled=some["sampled"].values)
    np.testing.assert_array_equal(kept, some.kept_members)


def test_the_spread_is_that_of_the_members_in_stds_of_the_training_states(basin):
    run = analysed(basin, ENSF).isel(run=0)
    members = run.kept_members.values.reshape(3, 6, 8, 3, 36)
    variance = members.var(2, ddof=1).mean(-1) / basin["test"].state_std.values ** 2
    np.testing.assert_allclose(run.spread, np.sqrt(variance), rtol=1e-5)


def test_settings_of_a_point_are_those_of_a_filter_that_has_them(ring, linear):
    inner = {"kind": "etkf", "members": 8, "obs_std": 0.3}
    latent = {"kind": "latent", "model": LINEAR, "filter": inner}
    point = {"settings": {"weight": 0.5, "filter": {"inflation": 1.1, "obs_std": 0.2}}}
    own = latent | {"weight": 0.5, "filter": inner | {"inflation": 1.1, "obs_std": 0.2}}
    models = {"linear": linear}
    one = analysed(ring, latent, point, models=models)
    same(one, analysed(ring, own, models=models))
    numbers = {name: float(one[name][0]) for name in ("inflation", "obs_std", "weight")}
    assert numbers == {"inflation": 1.1, "obs_std": 0.2, "weight": 0.5}
    assert one["latent"].values.tolist() == [12] and one["model"].values.tolist() == ["linear"]


def test_a_codec_of_full_rank_changes_no_analysis(ring, linear):
    """E(x) = V (x - m) / (w s) with V orthogonal: errors σ of codes are errors s σ of x / w."""
    latent = {"kind": "latent", "model": LINEAR, "filter": ETKF | {"obs_std": 0.3}}
    here = analysed(ring, latent, {"noise": 0.0}, models={"linear": linear})
    full = analysed(ring, ETKF | {"obs_std": 0.3 * float(linear["scale"][0])}, {"noise": 0.0})
    for name in ("mean", "forecast_mean", "spread"):
        np.testing.assert_allclose(here[name], full[name], rtol=1e-4, atol=1e-5)


def test_decoded_observations_of_a_codec_of_full_rank_are_the_observations(ring, linear):
    direct = {"kind": "direct_decode", "model": LINEAR}
    found = analysed(ring, direct, {"noise": 0.0}, models={"linear": linear})
    np.testing.assert_allclose(found["mean"][0], ring["test"].y.isel(error=0), atol=1e-5)
    assert "kept_members" not in found and not found.spread.any()
    assert float(linear.latent_noise) == 0 and float(linear.mismatch) < 1e-6


def test_errors_of_codes_can_be_those_that_the_codec_estimates(ring):
    section = LINEAR | {"noise": 0.1}
    weights = codec_of(ring, section)[0]
    latent = {"kind": "latent", "model": section, "filter": ETKF}
    for name in ("latent_noise", "mismatch"):
        estimated = float(weights[name])
        assert estimated > 0
        given = analysed(
            ring,
            latent,
            {"settings": {"filter": {"obs_std": estimated}}},
            models={"linear": weights},
        )
        same(analysed(ring, latent, {"errors": name}, models={"linear": weights}), given)


# -- layouts of jobs -----------------------------------------------------------------------------

POINTS = [{}, {"every": 2}, {"noise": 0.2}, {"settings": {"members": 4}}, {"interval": 2}]


def test_a_run_is_the_same_in_any_batch_and_any_job(basin):
    whole = job(basin, {"ensf": ENSF, "free": FREE}, {"ensf": POINTS, "free": [{}]})
    assert whole["run"].values.tolist() == [
        *("ensf", "ensf every=2", "ensf noise=0.2", "ensf members=4", "ensf interval=2", "free")
    ]
    for index in range(3):
        batch = {"index": index, "size": 2}
        part = job(basin, {"ensf": ENSF}, {"ensf": POINTS}, batch=batch, experiment="t/ensf")
        for label in part["run"].values:
            one, other = (d.sel({"run": label}) for d in (part, whole))
            same(one, other.isel(member=slice(one.sizes["member"])))


def test_a_seed_is_the_same_among_others_and_alone(basin):
    alone = basin | {name: basin[name].isel(seed=[2]) for name in ("test", "prior")}
    found = analysed(alone, ENSF, {"every": 2})
    xr.testing.assert_allclose(found, analysed(basin, ENSF, {"every": 2}).isel(seed=[2]))


def test_filters_with_and_without_members_stand_in_one_file(ring, linear):
    filters = {"free": FREE, "direct": {"kind": "direct_decode", "model": LINEAR}}
    methods = {"free": [{}], "direct": [{}]}
    found = job(ring, filters, methods, models={"linear": linear})
    kept = found.kept_members.notnull().any(("seed", "time", "member", "sampled"))
    assert kept.values.tolist() == [True, False]
    same(found.sel({"run": ["free"]}), analysed_as(ring, "free", FREE))


def analysed_as(data, name, section):
    return job(data, {name: section}, {name: [{}]})


class KilledError(Exception):
    """In the place of a signal."""


class Until:
    """A checkpoint in memory, of a job that is killed at its n-th state."""

    def __init__(self, state=None, count=None):
        self.state, self.count, self.asked = state, count, 0

    def load(self):
        return copy.deepcopy(self.state)

    def save(self, state):
        self.state, self.asked = copy.deepcopy(state()), self.asked + 1
        if self.asked == self.count:
            raise KilledError


@pytest.mark.parametrize("count", [1, 6, 8, 17])
def test_a_killed_job_goes_on_bit_by_bit(basin, count):
    """In the first run, at its end, in the second, in the last; and once more later."""
    points = [{}, {"every": 2}, {"settings": {"members": 4}}]
    whole = analysed(basin, ENSF, *points)
    first = Until(count=count)
    with pytest.raises(KilledError):
        analysed(basin, ENSF, *points, checkpoint=first)
    again = Until(first.state, count=1)
    with pytest.raises(KilledError):
        analysed(basin, ENSF, *points, checkpoint=again)
    last = Until(again.state)
    found = analysed(basin, ENSF, *points, checkpoint=last)
    assert last.asked == 3 * 6 - count - 1
    xr.testing.assert_identical(found, whole)


# -- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "point", "message"),
    [
        (ENSF, {"noise": 0.15}, "noise=0.15: noise 0.15 is none of the errors .*: 0, 0.1, 0.2"),
        (ENSF, {"start": "nois"}, "start 'nois' is none of the starts .*: noise, locations, true"),
        (ENSF, {"settings": {"members": 9}}, "the prior has 8 members, the filter members=9"),
        (ENSF, {"interval": 7}, "are NaN"),
        ({"kind": "latent", "filter": ETKF}, {}, "latent has no codec, .* give .* a `model`"),
        ({"kind": "direct_decode"}, {}, "direct_decode has no codec, .* give .* a `model`"),
        (ENSF, {"settings": {"filter": {"members": 4}}}, "has no codec"),
    ],
)
def test_points_that_cannot_be_say_why(basin, section, point, message):
    with pytest.raises(ValueError, match=message):
        analysed(basin, section, point)


def test_codes_without_errors_are_refused(ring, linear):
    latent = {"kind": "latent", "model": LINEAR, "filter": build.without(ETKF, "obs_std")}
    with pytest.raises(ValueError, match="no obs_std; give it one in the units of codes, or"):
        analysed(ring, latent, models={"linear": linear})


def test_two_runs_with_one_label_are_refused(basin):
    with pytest.raises(ValueError, match="two points of m are both called 'm every=2'"):
        analysed(basin, ENSF, {"every": 2}, {"every": 2})


def test_absolute_errors_are_one_or_several(ring):
    """As an arctangent sees a ring; a run with other errors than there are is refused."""
    settings = {"operator": {"kind": "arctan"}, "until": None}
    one, several = (
        made(RING | {"observations": settings | {"error_std": std}}) for std in (0.1, [0.05, 0.1])
    )
    section = build.without(ENSF, "obs_std") | {"scale": 1.0, "steps": 100}
    same(analysed(one, section), analysed(several, section))
    with pytest.raises(ValueError, match="noise 0.05 is none of the errors .*: 0.1"):
        analysed(one, section, {"noise": 0.05})


def test_fields_are_seen_as_they_are_or_through_an_arctangent(ring):
    case = RING | {
        "observations": RING["observations"] | {"operator": {"kind": "subset", "index": [0]}}
    }
    with pytest.raises(ValueError, match="by identity or arctan of all components, not Subset"):
        fields.sensors(build.operator(case, 12), (1, 12, 1), 1)


# -- scores --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(basin):
    filters, methods = {"ensf": ENSF, "free": FREE}, {"ensf": POINTS, "free": [{}]}
    shown = {"times": [1, 4, 6], "runs": ["ensf every=2", "ensf", "absent"], "film": "ensf"}
    product = {
        **{"base": BASE, "methods": methods, "discard": 2, "sampled": 20},
        "shown": shown | {"score": "ensf every=2"},
    }
    files = {
        f"batch{index}": job(basin, filters, methods, batch={"index": index, "size": 4}, sampled=20)
        for index in range(2)
    }
    sections = {"case": BASIN, "product": product, "filters": filters}
    inputs = {"truth": basin["truth"]["test"], "observations": basin["test"], "methods": files}
    return files, fields_scored.fields(sections, inputs)


def test_scores_are_those_of_the_means_of_all_runs(basin, scored):
    files, found = scored
    runs = xr.concat([d["mean"] for d in files.values()], "run", coords="minimal")
    assert found["run"].values.tolist() == runs["run"].values.tolist()
    per = basin["test"].state_std.values.repeat(36)
    x = basin["truth"]["test"].x.isel(time=slice(1, None)).values / per
    error = np.linalg.norm(runs.values / per - x, axis=-1) / np.linalg.norm(x, axis=-1)
    np.testing.assert_allclose(found.relative_rmse, error, rtol=1e-5)
    np.testing.assert_allclose(found.mean_relative_rmse, error[..., 2:].mean(-1), rtol=1e-5)
    assert found["every"].values.tolist() == [1, 2, 1, 1, 1, 1]
    assert found["members"].values.tolist() == [8, 8, 8, 4, 8, 8]
    assert not found.diverged.any()


def test_ranks_count_every_seed_late_time_and_component_once(scored):
    _, found = scored
    assert (found.rank_count.sum("rank") == 3 * 4 * 20).all()
    assert found.rank_count.notnull().sum("rank").values.tolist() == [9, 9, 9, 5, 9, 9]


def test_off_the_sensors_the_score_is_exactly_zero(scored):
    _, found = scored
    assert float(found.score_off_sensors) == 0
    seen = np.zeros((3, 6, 6), bool)
    seen[:, 1::2, 1::2] = True
    np.testing.assert_array_equal(found.likelihood_score.values != 0, seen)


def test_interpolated_observations_pull_where_no_sensor_is(scored):
    assert float(scored[1].interpolated_score_off_sensors) > 0.1


def test_the_first_increment_off_the_sensors_is_noise(scored):
    increment = scored[1].increment_off_sensors
    assert (increment.sel({"run": "ensf every=2"}) < 0.2).all()
    assert increment.sel({"run": "ensf"}).isnull().all()  # a sensor at every point


def test_errors_of_the_observations_themselves_stand_beside_those_of_analyses(basin, scored):
    found = scored[1].observed_relative_rmse
    per = basin["test"].state_std.values.repeat(36)
    x = basin["truth"]["test"].x.isel(time=slice(1, None)).values / per
    y = basin["test"].y.sel(error=0.1).values / per
    error = np.linalg.norm(y - x, axis=-1) / np.linalg.norm(x, axis=-1)
    np.testing.assert_allclose(found.sel({"run": "ensf"}), error, rtol=1e-5)
    assert (found.sel({"run": "ensf every=2"}) > found.sel({"run": "ensf"})).all()
    late = scored[1].mean_observed_relative_rmse.sel({"run": "ensf"})
    np.testing.assert_allclose(late, error[:, 2:].mean(1), rtol=1e-5)


def test_what_was_tried_goes_with_the_scores(ring, tmp_path):
    given, point = validated(ring, RING), {"tuned": {"inflation": [1.0, 1.1, 1.2]}}
    made = tuned_job(ring, ETKF, point, given)
    product = {"base": BASE, "methods": {"m": [point]}, "discard": 2, "sampled": 1000}
    sections = {"case": RING, "product": product, "filters": {"m": ETKF}}
    inputs = {"truth": ring["truth"]["test"], "observations": ring["test"]}
    found = fields_scored.fields(sections, inputs | {"methods": {"m": made}})
    io.write(found, tmp_path / "scores.nc", title="scores", missing=list(found.variables))
    np.testing.assert_array_equal(found.tried_error, made.tried_error)
    assert float(found.on_edge[0]) == float(made.on_edge[0])


def test_maps_are_those_of_the_first_seed(basin, scored):
    files, found = scored
    assert found["shown_run"].values.tolist() == ["ensf every=2", "ensf"]
    mean = files["batch0"]["mean"].sel({"run": "ensf"}).isel(seed=0)
    np.testing.assert_array_equal(
        found.mean_shown.sel(shown_run="ensf"), mean.values[[0, 3, 5]].reshape(3, 3, 6, 6)
    )
    truth = basin["truth"]["test"].x.values[0, 1:].reshape(6, 3, 6, 6)
    np.testing.assert_array_equal(found.truth_shown, truth[[0, 3, 5]])
    np.testing.assert_array_equal(found.film_truth, truth[:, 2])
    np.testing.assert_array_equal(found.film, mean.values.reshape(6, 3, 6, 6)[:, 2])


def test_observations_are_shown_at_their_sensors_and_nowhere_else(basin, scored):
    _, found = scored
    shown = found.observed_shown.sel(shown_run="ensf every=2").values
    y = basin["test"].y.isel(error=1, seed=0).values[[0, 3, 5]].reshape(3, 3, 6, 6)
    np.testing.assert_array_equal(shown[..., 1::2, 1::2], y[..., 1::2, 1::2])
    assert np.isfinite(shown).sum() == 3 * 3 * 9


def test_a_codec_of_full_rank_reconstructs_the_truth(ring, linear, tmp_path):
    weights, history = codec_of(ring, LINEAR)
    product = {"base": BASE, "methods": {"free": [{}]}, "discard": 1, "sampled": 5}
    sections = {"case": RING, "product": product, "filters": {"free": FREE}, "model_linear": LINEAR}
    inputs = {
        "truth": ring["truth"]["test"],
        "observations": ring["test"],
        "methods": {"free": job(ring, {"free": FREE}, {"free": [{}]}, sampled=5)},
        "models": {"linear": weights},
        "histories": {"linear": history},
    }
    found = fields_scored.fields(sections, inputs)
    io.write(found, tmp_path / "scores.nc", title="scores", missing=list(found.variables))
    found = found.sel(codec="linear")
    assert (found.reconstruction < 1e-5).all() and (found.observation_decode < 1e-4).all()
    np.testing.assert_allclose(found.code_state, found.code_obs, atol=1e-4)
    assert float(found.state_error[0]) < 1e-9 and float(found["mismatch"][0]) < 1e-5
    assert float(found.final_mismatch) == float(found["mismatch"][-1])


# -- settings that validation chooses -------------------------------------------------------------


def validated(data, case) -> dict:
    """Inputs of a job that tunes: the validation trajectories seen and started as the others."""
    states = {**data["truth"], "test": data["truth"]["valid"]}
    whole = {**case, "truth": {**case["truth"], "test": case["truth"]["valid"]}}
    seen = observed.observed(whole, states, "v")
    names = {"truth": states["test"], "observations": seen["test"], "prior": seen["prior"]}
    return {f"validation_{name}": value for name, value in names.items()}


def tuned_job(data, section, points, given, **options):
    sections = {
        "case": data["case"],
        "filters": {"m": section},
        "methods": {"m": points if isinstance(points, list) else [points]},
        "fields": {
            "base": BASE,
            "sampled": 1000,
            "tuning": {"case": "v", "seeds": 2, "analyses": 4, "discard": 1},
        },
    }
    inputs = {"observations": data["test"], "prior": data["prior"], "models": {}} | given
    return fields.analyses(sections, inputs, batch=ALL, experiment="t/job", device="cpu", **options)


def test_a_tuned_run_is_the_one_that_is_best_on_validation(ring):
    values = [0.9, 1.05, 1.3, 4.0]
    given = validated(ring, RING)
    found = tuned_job(ring, ETKF, {"tuned": {"inflation": values}}, given).isel(run=0)
    np.testing.assert_array_equal(found.tried_inflation, values)
    best = values[int(found.tried_error.mean("tried_seed", skipna=False).values.argmin())]
    assert float(found.inflation) == best and str(found.run.values) == "m"
    fixed = analysed(ring, ETKF | {"inflation": best}, {}).isel(run=0)
    np.testing.assert_array_equal(found["mean"], fixed["mean"])


def test_runs_that_tried_more_and_less_stand_in_one_file(ring):
    points = [{"tuned": {"inflation": [1.0, 1.1, 1.2, 1.3]}}, {"noise": 0.2}]
    points.append({"noise": 0.0, "tuned": {"inflation": [1.0, 1.1, 1.2]}})
    found = tuned_job(ring, ETKF, points, validated(ring, RING))
    assert found.tried_error.notnull().any("tried_seed").sum("candidate").values.tolist() == [
        4,
        0,
        3,
    ]
    np.testing.assert_array_equal(found.on_edge.isnull(), [False, True, False])


def test_errors_on_validation_are_those_of_the_scores(ring):
    given = validated(ring, RING)
    table = tuned_job(ring, ETKF, {"tuned": {"inflation": [1.0, 1.1, 1.2]}}, given).isel(run=0)
    seen = {"test": given["validation_observations"].isel(time=slice(4))}
    others = {**ring, **seen, "prior": given["validation_prior"]}
    one = analysed(others, ETKF | {"inflation": 1.1}, {})
    truth_there = at_times(given["validation_truth"].x, one.time)
    std = seen["test"].state_std.values
    scored = score_run(one.isel(run=0), truth_there, (1, 12, 1), std)
    expected = scored.relative_rmse.isel(time=slice(1, None)).mean("time")
    np.testing.assert_allclose(table.tried_error.sel(candidate=1), expected, rtol=1e-6)


def test_what_is_chosen_knows_nothing_of_the_test(ring):
    given, point = validated(ring, RING), {"tuned": {"inflation": [1.0, 1.1, 1.2]}}
    other = {**ring, "test": ring["test"].assign(y=ring["test"].y * 0 + 1.0)}
    one, two = (tuned_job(data, ETKF, point, given) for data in (ring, other))
    np.testing.assert_array_equal(one.tried_error, two.tried_error)


@pytest.mark.parametrize(
    ("errors", "edge"), [([3.0, 1.0, 2.0], 0), ([1.0, 2.0, 3.0], 1), ([3.0, 2.0, 1.0], 1)]
)
def test_a_best_value_on_the_edge_is_said(errors, edge, caplog):
    (run,) = runs_of(
        {"base": BASE, "methods": {"m": [{"tuned": {"inflation": [1.0, 1.5, 2.0]}}]}}, "m", ETKF
    )
    found = tuning.tuned(
        run, lambda one: np.full(3, errors[[1.0, 1.5, 2.0].index(one.settings["inflation"])])
    )
    assert found.on_edge == edge and ("on the edge" in caplog.text) == bool(edge)


def test_what_loses_a_trajectory_is_not_chosen_and_all_lost_are_refused():
    (run,) = runs_of(
        {"base": BASE, "methods": {"m": [{"tuned": {"inflation": [1.0, 1.5, 2.0]}}]}}, "m", ETKF
    )
    lost = tuning.tuned(
        run,
        lambda one: np.array([0.9, 9, 9] if one.settings["inflation"] > 1 else [0, np.nan, 0]),
    )
    assert lost.run.settings["inflation"] == 1.5
    with pytest.raises(ValueError, match="every combination of inflation loses"):
        tuning.tuned(run, lambda one: np.full(2, np.nan))


def test_tuning_without_validation_is_refused(ring):
    with pytest.raises(ValueError, match="validation_truth"):
        tuned_job(ring, ETKF, {"tuned": {"inflation": [1.0, 1.1, 1.2]}}, {})


# -- times ---------------------------------------------------------------------------------------


def test_each_part_of_an_analysis_has_its_time(ring, linear):
    latent = {"kind": "latent", "model": LINEAR, "filter": ETKF}
    sections = {
        "case": RING,
        "fields": {"base": BASE, "methods": {"etkf": [{}], "latent": [{"noise": 0.0}]}},
        "settings": {"methods": ["etkf", "latent"], "repetitions": 2},
        "filter_etkf": ETKF,
        "filter_latent": latent,
    }
    inputs = {name: ring[part] for name, part in (("observations", "test"), ("prior", "prior"))}
    found = fields_timed.measured(sections, inputs | {"models": {"linear": linear}})
    seconds = found.cpu_seconds
    assert seconds.shape == (2, 3, 2) and (seconds >= 0).all() and int(found["size"]) == 12
    assert (seconds.sel({"method": "etkf", "part": "codec"}) == 0).all()
    assert (seconds.sel({"method": "latent"}).sum("part") > 0).all()
    coded = seconds.sel(part=["analysis", "codec"]).sum("part")
    np.testing.assert_array_equal(found.cpu_seconds_coded, coded)


@pytest.mark.parametrize("periodic", [True, False])
def test_codes_on_a_map_that_closes_are_localised_across_its_seam(periodic):
    """Columns 0 and 7 of a latent map of 4 x 8 are neighbours on the globe."""
    codec = SimpleNamespace(latent=64, latent_map=(4, 8), periodic=periodic)
    section = {"kind": "local_letkf", "members": 5, "radius": 0.8241758, "obs_std": 0.3}
    filter = fields.latent_filter({}, lambda x: x, section, codec, "given")
    taper = filter.reach.taper()
    assert (taper[0, 7] == taper[0, 1] > 0.5) if periodic else (taper[0, 7] == 0)
