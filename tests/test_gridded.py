"""Filters of gridded states, from truth to scores: small basins and rings, where much is known."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import arrays, build, fitted, io
from dalib.build import start
from dalib.cases.checkpoint import FORGOTTEN
from dalib.experiments import data, evaluate, gridded, gridded_time, parts, tuning
from dalib.experiments.runs import case_at
from dalib.filters.ensf_linear import moments
from dalib.filters.ensf_sampler import Diffusion
from dalib.integrate import trajectory
from dalib.observe import sensors
from dalib.streams import streams

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
        "stride": 1,
        "interval": 1,
        "obs_std_relative": 0.1,
        "trajectories": {"train": 0},
    },
    "prior": {
        "members": 8,
        "start": "noise",
        "starts": {
            "noise": BUMP | {"centre": [0.0, 2e5], "noise_std": 0.05},
            "locations": BUMP,
            "true": BUMP | {"centre": CENTRE},
        },
    },
    "assimilate": {"sampled": 1000},
}
RING = BASIN | {
    "system": {"kind": "lorenz96", "size": 12},
    "integrator": {"kind": "rk4", "dt": 0.05},
    "truth": {
        "start": {"mean": 2.3, "std": 3.6},
        "spinup": 5.0,
        "model_noise_std": 0.0,
        "train": {"seeds": 2, "samples": 150},
        "valid": {"seeds": 2, "samples": 20},
        "test": {"seeds": 2, "samples": 5},
    },
    "observations": {"operator": {"kind": "identity"}, "obs_std": 0.1},
    "prior": {"members": 8, "start": "noise", "starts": {"noise": {"mean": 2.3, "std": 3.6}}},
}
KEYS = {
    "every": "observations.stride",
    "noise": "observations.obs_std_relative",
    "error": "observations.obs_std",
    "interval": "observations.interval",
    "start": "prior.start",
    "settings": "settings",
}
FREE = {"kind": "free_run", "members": 8}
ENSF = {"kind": "ensf", "members": 8, "steps": 40, "obs_std": 0.05}
ETKF = {"kind": "etkf", "members": 8, "obs_std": 0.3}  # draws nothing
LINEAR = {
    "kind": "linear",
    "components": 12,
    "ridge": 1e-13,
    "stride": 1,
    "obs_std_relative": 0.0,
}
SIZE = 3 * 6 * 6


def made(case) -> dict:
    states = data.truths(case, "t")
    train, test = states["train"], states["test"]
    return {"case": case, "truth": states, "prior": data.prior(case, test, "t", train)}


@pytest.fixture(scope="module")
def basin():
    return made(BASIN)


@pytest.fixture(scope="module")
def ring():
    return made(RING)


def values_of(point) -> dict:
    return {KEYS[name]: value for name, value in point.items()}


def seen(one, part="test", **point) -> xr.Dataset:
    """What is observed of a part."""
    return data.observations(case_at(one["case"], values_of(point)), one["truth"], "t")[part]


def codec_of(one, section):
    states = one["truth"]
    return parts.codec(section, one["case"], states["train"], states["valid"], "t")


@pytest.fixture(scope="module")
def linear(ring):
    """A codec of full rank, of exact observations."""
    return codec_of(ring, LINEAR)


def analysed(one, section, *points, codec=None, checkpoint=FORGOTTEN, sampled=1000, **more):
    """What one filter makes of the test observations at some points."""
    points = points or ({},)
    entries = [
        {
            "method": "m",
            "coordinates": {},
            "values": values_of(point),
            "replicate": 0,
            "data": i,
            "prior": 0,
            **({} if codec is None else {"codec": 0}),
        }
        for i, point in enumerate(points)
    ]
    observed = more.pop("observed", None) or [
        seen(one, **{k: v for k, v in point.items() if k not in ("start", "settings")})
        for point in points
    ]
    codecs = [] if codec is None else [codec]
    return gridded.analyses(
        section,
        one["case"],
        entries,
        observed,
        [one["prior"]],
        "t",
        "cpu",
        checkpoint,
        sampled=sampled,
        codecs=codecs,
        **more,
    )


def same(one: xr.Dataset, other: xr.Dataset):
    """To the last bit."""
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
    found = seen(basin, every=2)
    for name, variable in arrays.layout_of(basin["truth"]["test"]).items():
        assert found[name].variable.identical(variable)
    assert arrays.shape_of(seen(ring), 12) == (1, 12, 1)


def test_components_have_names_until_there_are_too_many():
    assert arrays.names_of(build.system(BASIN))[0] == "u[0,0]"
    many = build.system({"system": {"kind": "shallow_water", "points": 20}})
    assert arrays.names_of(many) == range(1200)


def test_without_errors_what_is_observed_is_the_state(basin):
    later, found = basin["truth"]["test"].x.isel(time=slice(1, None)), seen(basin, noise=0.0)
    np.testing.assert_array_equal(found.y, later)
    np.testing.assert_array_equal(found.time, later.time)


def test_errors_of_every_size_are_the_same_errors(basin):
    exact, one, other = (seen(basin, noise=noise).y for noise in (0.0, 0.1, 0.2))
    np.testing.assert_allclose(other - exact, 2 * (one - exact), rtol=1e-9, atol=1e-12)
    share = (one - exact) / seen(basin).obs_std
    assert float(share.std()) == pytest.approx(1, abs=0.05)


def test_errors_are_shares_of_the_std_of_each_variable_over_training_states(basin):
    train = basin["truth"]["train"].x.values.reshape(-1, 3, 36)
    std, found = train.std((0, 2), ddof=1), seen(basin, noise=0.2)
    np.testing.assert_allclose(found.state_std, std, rtol=1e-12)
    np.testing.assert_allclose(found.obs_std, 0.2 * std.repeat(36), rtol=1e-12)
    np.testing.assert_allclose(found.obs_spread, std.repeat(36), rtol=1e-12)
    assert (found.state_mean == 0).all()


def test_of_centred_states_the_mean_over_training_states_is_known():
    one = made(BASIN | {"observations": BASIN["observations"] | {"centred": True}})
    train = one["truth"]["train"].x.values.reshape(-1, 3, 36)
    np.testing.assert_allclose(seen(one).state_mean, train.mean((0, 2)), rtol=1e-9)


def test_parts_that_nobody_learns_from_are_not_observed(basin):
    assert seen(basin, "train").sizes["seed"] == 0
    assert [seen(basin, part).sizes["seed"] for part in ("valid", "test")] == [2, 3]


def test_a_system_with_steps_in_seconds_starts_where_its_bump_is():
    drawn = start(BASIN, BUMP | {"centre": CENTRE}).draw((2, 3), streams("t", range(2), "x"))
    assert drawn.shape == (2, 3, SIZE) and (drawn == drawn[0, 0]).all()


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_sensors_are_every_kth_point_of_the_noisy_whole(basin, noise):
    whole = seen(basin, noise=noise).y.values.reshape(3, 6, 3, 6, 6)
    some = seen(basin, noise=noise, every=2)
    np.testing.assert_array_equal(some.y, whole[..., 1::2, 1::2].reshape(3, 6, -1))
    given = gridded.setup(case_at(BASIN, values_of({"every": 2})), some, SIZE, "cpu")
    assert torch.equal(given.operator(torch.arange(SIZE)), given.index)


def test_states_are_observed_as_they_are_or_through_an_arctangent():
    case = RING | {"observations": {"operator": {"kind": "subset", "index": [0]}}}
    with pytest.raises(ValueError, match="by identity or arctan of all components, not Subset"):
        sensors(build.operator(case, 12), (1, 12, 1), 1)


# -- nothing is known of what is estimated -------------------------------------------------------


def test_a_prior_knows_nothing_of_the_truth(basin):
    test = basin["truth"]["test"]
    other = data.prior(BASIN, test.assign(x=100 * test.x + 1), "t")
    xr.testing.assert_identical(other, basin["prior"])
    alone = data.prior(BASIN, test.isel(seed=[1]), "t")
    xr.testing.assert_identical(alone, basin["prior"].isel(seed=[1]))


def test_sizes_of_errors_know_nothing_of_the_test(basin):
    states = basin["truth"] | {"test": basin["truth"]["test"].assign(x=lambda d: 100 * d.x)}
    other, one = seen({**basin, "truth": states}), seen(basin)
    for name in ("obs_std", "obs_spread", "state_std", "state_mean"):
        assert other[name].identical(one[name])


@pytest.mark.parametrize("section", [FREE, ENSF, ETKF])
def test_an_analysis_knows_nothing_of_what_comes_later(basin, section):
    test = basin["truth"]["test"].copy(deep=True)
    test.x[:, 4:] = 1.5 * test.x[:, 4:] + 1
    other = basin | {"truth": basin["truth"] | {"test": test}}
    one, two = analysed(basin, section, {"every": 2}), analysed(other, section, {"every": 2})
    same(one.drop_vars("diverged_at").isel(time=slice(3)), two.isel(time=slice(3)))
    same(one[["forecast_mean"]].isel(time=[3]), two.isel(time=[3]))
    assert section is FREE or not one["mean"].isel(time=3).equals(two["mean"].isel(time=3))


def test_a_codec_learns_nothing_of_what_is_held_out(ring, linear):
    twice = ring["truth"]["valid"].assign(x=lambda d: 2 * d.x + 1)
    other = codec_of(ring | {"truth": ring["truth"] | {"valid": twice, "test": None}}, LINEAR)
    one, two = (fitted.from_dataset(d) for d in (linear, other))
    for name, value in vars(one.codec).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(two.codec, name))
    assert one.errors["latent_noise"] == two.errors["latent_noise"]


def test_shocks_strike_the_truth_and_not_the_forecasts():
    shocks = [{"size": 0.05, "probability": 0.3}]
    shaken, calm = made(RING | {"truth": RING["truth"] | {"shocks": shocks}}), made(RING)
    assert not np.allclose(shaken["truth"]["test"].x, calm["truth"]["test"].x)
    states = ["mean", "forecast_mean", "members"]
    same(analysed(shaken, FREE)[states], analysed(calm, FREE)[states])


# -- analyses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [BASIN, RING])
def test_a_free_run_is_the_model(case):
    one = made(case)
    free = analysed(one, FREE).isel(run=0)
    members = arrays.to_tensor(one["prior"].members.sel(start="noise"))
    model = trajectory(build.step(case), members, free.sizes["time"])[..., 1:, :]
    np.testing.assert_array_equal(free.members, model.movedim(-3, -2))
    np.testing.assert_array_equal(free["mean"], free["forecast_mean"])


def test_a_free_run_from_the_true_start_is_the_truth(basin):
    free = analysed(basin, FREE, {"start": "true"}).isel(run=0)
    truth = basin["truth"]["test"].x.isel(time=slice(1, None))
    np.testing.assert_allclose(free["mean"], truth, rtol=1e-12, atol=1e-15)
    assert (free.spread < 1e-12).all()


def test_with_tiny_errors_everywhere_the_score_filter_returns_the_observations(basin):
    section = ENSF | {"scale": 100.0, "obs_std": 5e-4, "steps": 400, "eps_beta": 0.5}
    run, y = analysed(basin, section, {"noise": 0.0}).isel(run=0), seen(basin, noise=0.0)
    per = y.state_std.values.repeat(36)
    apart = (run["mean"].values - y.y.values) / per
    before = (run["forecast_mean"].values - y.y.values) / per
    assert np.sqrt((before[:, 0] ** 2).mean()) > 0.3
    assert np.sqrt((apart**2).mean()) < 4e-3


def test_the_score_filter_moves_members_by_the_gain_of_its_sampler(basin):
    """Analysis = kept x + gain y + std ξ in diffusion units; the whole is linear."""
    section, observed = ENSF | {"scale": 10.0, "obs_std": 0.02}, seen(basin)
    run = analysed(basin, section).isel(run=0, time=0)
    expected = moments(0.2, Diffusion(steps=40), limit=False)
    per = observed.state_std.values.repeat(36)
    moved = expected.gain * observed.y.isel(time=0).values
    centre = expected.kept * run["forecast_mean"].values + moved
    noise = (run["mean"].values - centre) / per * 10.0 / expected.std * np.sqrt(8)
    assert noise.mean() == pytest.approx(0, abs=4 / np.sqrt(noise.size))
    assert noise.std() == pytest.approx(1, abs=4 / np.sqrt(2 * noise.size))


def test_between_analyses_there_are_forecasts(basin):
    run = analysed(basin, ENSF, {"interval": 2}).isel(run=0)
    skipped, used = run.isel(time=slice(0, None, 2)), run.isel(time=slice(1, None, 2))
    np.testing.assert_array_equal(skipped["mean"], skipped["forecast_mean"])
    np.testing.assert_array_equal(skipped["spread"], skipped["forecast_spread"])
    assert (used["mean"] != used["forecast_mean"]).any("state").all()


def test_members_of_fewer_are_the_first_of_the_prior(basin):
    runs = analysed(basin, FREE, {}, {"settings": {"members": 3}})
    one, other = (runs.members.isel(run=i) for i in (0, 1))
    np.testing.assert_array_equal(other.isel(member=slice(3)), one.isel(member=slice(3)))
    assert other.isel(member=slice(3, None)).isnull().all()


def test_components_that_are_kept_are_spread_evenly(basin):
    whole, some = analysed(basin, FREE), analysed(basin, FREE, sampled=5)
    assert some["sampled"].values.tolist() == [0, 27, 54, 80, 107]
    kept = whole.members.isel(sampled=some["sampled"].values)
    np.testing.assert_array_equal(kept, some.members)


def test_the_spread_is_that_of_the_members_in_stds_of_the_training_states(basin):
    run = analysed(basin, ENSF).isel(run=0)
    members = run.members.values.reshape(3, 6, 8, 3, 36)
    variance = members.var(2, ddof=1).mean(-1) / seen(basin).state_std.values ** 2
    np.testing.assert_allclose(run.spread, np.sqrt(variance), rtol=1e-5)


def latent(**filter):
    return {"kind": "latent", "filter": ETKF | filter}


def test_settings_of_a_run_are_those_of_a_filter_that_has_them(ring, linear):
    point = {"settings": {"weight": 0.5, "filter": {"inflation": 1.1, "obs_std": 0.2}}}
    own = latent(inflation=1.1, obs_std=0.2) | {"weight": 0.5}
    same(analysed(ring, latent(), point, codec=linear), analysed(ring, own, codec=linear))


def test_a_codec_of_full_rank_changes_no_analysis(ring, linear):
    """E(x) = V (x - m) / (w s) with V orthogonal: errors σ of latents are errors w s σ of x."""
    codec, exact = fitted.from_dataset(linear).codec, {"error": 0.0}
    here = analysed(ring, latent(obs_std=0.3), exact, codec=linear)
    full = analysed(ring, ETKF | {"obs_std": 0.3 * float(codec.scale * codec.std[0])}, exact)
    for name in ("mean", "forecast_mean", "spread"):
        np.testing.assert_allclose(here[name], full[name], rtol=1e-4, atol=1e-5)


def test_decoded_observations_of_a_codec_of_full_rank_are_the_observations(ring, linear):
    found = analysed(ring, {"kind": "direct_decode"}, {"error": 0.0}, codec=linear)
    np.testing.assert_allclose(found["mean"][0], seen(ring, error=0.0).y, atol=1e-5)
    assert "members" not in found and not found.spread.any()
    errors = fitted.from_dataset(linear).errors
    assert errors["latent_noise"] == 0 and errors["mismatch"] < 1e-6


def test_errors_of_latents_can_be_those_that_the_codec_estimates(ring):
    codec = codec_of(ring, LINEAR | {"obs_std_relative": 0.1})
    for name, estimated in fitted.from_dataset(codec).errors.items():
        assert estimated > 0
        given = analysed(ring, latent(obs_std=estimated), codec=codec)
        same(analysed(ring, latent() | {"errors": name}, codec=codec), given)


@pytest.mark.parametrize("periodic", [True, False])
def test_latents_on_a_map_that_closes_are_localised_across_its_seam(periodic):
    """Columns 0 and 7 of a latent map of 4 x 8 are neighbours on the globe."""
    codec = SimpleNamespace(latent=64, latent_map=(4, 8), periodic=periodic)
    section = {"kind": "local_letkf", "members": 5, "radius": 0.8241758, "obs_std": 0.3}
    filter = gridded.latent_filter({}, lambda x: x, section, codec, "given")
    taper = filter.reach.taper()
    assert (taper[0, 7] == taper[0, 1] > 0.5) if periodic else (taper[0, 7] == 0)


# -- layouts of jobs -----------------------------------------------------------------------------

POINTS = [{}, {"every": 2}, {"noise": 0.2}, {"settings": {"members": 4}}, {"interval": 2}]


def test_a_run_is_the_same_in_any_job(basin):
    whole = analysed(basin, ENSF, *POINTS)
    for i, point in enumerate(POINTS):
        one = analysed(basin, ENSF, point).isel(run=0)
        same(one, whole.isel(run=i, member=slice(one.sizes["member"])))


def test_a_seed_is_the_same_among_others_and_alone(basin):
    observed = seen(basin, every=2)
    alone = basin | {"prior": basin["prior"].isel(seed=[2])}
    found = analysed(alone, ENSF, {"every": 2}, observed=[observed.isel(seed=[2])])
    xr.testing.assert_allclose(found, analysed(basin, ENSF, {"every": 2}).isel(case=[2]))


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
        (ENSF, {"settings": {"members": 9}}, "the prior has 8 members, the filter members=9"),
        (ENSF, {"interval": 7}, "are NaN"),
        (latent(), {}, "latent has no codec, .* give it a `codec`"),
        ({"kind": "direct_decode"}, {}, "direct_decode has no codec, .* give it a `codec`"),
        (ENSF, {"settings": {"filter": {"members": 4}}}, "has no codec"),
    ],
)
def test_runs_that_cannot_be_say_why(basin, section, point, message):
    with pytest.raises(ValueError, match=message):
        analysed(basin, section, point)


def test_latents_without_errors_are_refused(ring, linear):
    section = {"kind": "latent", "filter": build.without(ETKF, "obs_std")}
    with pytest.raises(ValueError, match="no obs_std; give it one in the units of latents, or"):
        analysed(ring, section, codec=linear)
    with pytest.raises(ValueError, match="errors of latents are given or latent_noise or mism"):
        analysed(ring, latent() | {"errors": "guessed"}, codec=linear)


# -- settings that validation chooses -------------------------------------------------------------

TUNE = {"seeds": 2, "analyses": 4, "discard": 1}


def tuned(one, section, grid, *points, **changed):
    """The test and the validation part, for a method that is tuned."""
    valid = one["truth"]["valid"]
    given = {
        "valid_truth": [valid],
        "valid_observations": [seen(one, "valid", **point) for point in points or ({},)],
        "valid_prior": [data.prior(one["case"], valid, "v", one["truth"]["train"])],
    }
    more = {"tune": TUNE | {"grid": grid}, **given, **changed}
    return analysed(one, section, *points, **more)


def test_a_tuned_run_is_the_one_that_is_best_on_validation(ring):
    tried = [0.9, 1.05, 1.3, 4.0]
    found = tuned(ring, ETKF, {"inflation": tried}).isel(run=0)
    np.testing.assert_array_equal(found.tried_inflation, tried)
    best = tried[int(found.tried_error.mean("tried_seed", skipna=False).values.argmin())]
    assert json.loads(str(found.chosen.values)) == {"inflation": best}
    fixed = analysed(ring, ETKF | {"inflation": best}).isel(run=0)
    np.testing.assert_array_equal(found["mean"], fixed["mean"])


def test_settings_of_a_part_are_tuned_by_their_dotted_name(ring, linear):
    found = tuned(ring, latent(), {"filter.obs_std": [0.1, 0.3, 0.9]}, codec=linear).isel(run=0)
    (best,) = json.loads(str(found.chosen.values)).values()
    fixed = analysed(ring, latent(obs_std=best), codec=linear).isel(run=0)
    np.testing.assert_array_equal(found["mean"], fixed["mean"])
    np.testing.assert_array_equal(found.tried_obs_std, [0.1, 0.3, 0.9])


def test_errors_on_validation_are_relative_norms(ring):
    table = tuned(ring, ETKF, {"inflation": [1.0, 1.1, 1.2]}).isel(run=0)
    valid = seen(ring, "valid").isel(time=slice(4))
    prior = data.prior(RING, ring["truth"]["valid"], "v", ring["truth"]["train"])
    other = ring | {"prior": prior}
    one = analysed(other, ETKF | {"inflation": 1.1}, observed=[valid]).isel(run=0)
    x = ring["truth"]["valid"].x.values[:, 1:5]
    error = np.linalg.norm(one["mean"].values - x, axis=-1) / np.linalg.norm(x, axis=-1)
    np.testing.assert_allclose(table.tried_error.isel(candidate=1), error[:, 1:].mean(1), rtol=1e-6)


def test_what_is_chosen_knows_nothing_of_the_test(ring):
    grid, observed = {"inflation": [1.0, 1.1, 1.2]}, seen(ring)
    other = observed.assign(y=observed.y * 0 + 1.0)
    one, two = (tuned(ring, ETKF, grid, observed=[y]) for y in (observed, other))
    np.testing.assert_array_equal(one.tried_error, two.tried_error)


@pytest.mark.parametrize(
    ("errors", "edge"), [([3.0, 1.0, 2.0], 0), ([1.0, 2.0, 3.0], 1), ([3.0, 2.0, 1.0], 1)]
)
def test_a_best_value_on_the_edge_is_said(errors, edge, caplog):
    grid = {"inflation": [1.0, 1.5, 2.0]}
    error_of = lambda one: np.full(3, errors[[1.0, 1.5, 2.0].index(one["inflation"])])  # noqa: E731
    found = tuning.tuned(ETKF, grid, error_of)
    assert float(found.table.on_edge) == edge and ("on the edge" in caplog.text) == bool(edge)


def test_what_loses_a_trajectory_is_not_chosen_and_all_lost_are_refused():
    grid = {"inflation": [1.0, 1.5, 2.0]}
    error_of = lambda one: np.array([0.9, 9, 9] if one["inflation"] > 1 else [0, np.nan, 0])  # noqa: E731
    assert tuning.tuned(ETKF, grid, error_of).settings["inflation"] == 1.5
    with pytest.raises(ValueError, match="every combination of inflation loses"):
        tuning.tuned(ETKF, grid, lambda one: np.full(2, np.nan))


# -- scores and times ----------------------------------------------------------------------------


def test_scores_are_those_of_all_runs_at_all_times(basin, tmp_path):
    results = [analysed(basin, ENSF, *POINTS), analysed(basin, FREE)]
    sections = [ENSF, ENSF, ENSF, ENSF | {"members": 4}, ENSF, FREE]
    entries = [
        {
            "method": "ensf" if i < 5 else "free",
            "coordinates": {"observations.stride": point.get("every", 1)},
            "values": values_of({k: v for k, v in point.items() if k == "every"}),
            "replicate": 0,
            "is_base": int(not point),
            "data": 0,
            "observations": i % 5,
            "section": section,
            "given": {"stride": point.get("every", 1)},
        }
        for i, (point, section) in enumerate(zip([*POINTS, {}], sections, strict=True))
    ]
    observed = [
        seen(basin, **{k: v for k, v in p.items() if k not in ("settings",)}) for p in POINTS
    ]
    given = evaluate.Given(
        truth=[basin["truth"]["test"]],
        training=[basin["truth"]["train"]],
        observations=observed,
    )
    case = BASIN | {"assimilate": {"sampled": 1000, "discard": 2}}
    metric = "papers.lensf.metrics.gridded"
    metrics = {
        "relative_rmse": {"kind": f"{metric}:RelativeRMSE"},
        "mean_relative_rmse": {"kind": f"{metric}:MeanRMSE"},
        "crps": {"kind": f"{metric}:SampledCRPS"},
        "size": {"kind": f"{metric}:Size"},
    }
    found = evaluate.scores("assimilate", {"case": case}, metrics, entries, results, given)
    io.write(found, tmp_path / "scores.nc", title="scores", missing=list(found.variables))
    runs = np.concatenate([one["mean"].values for one in results])
    per = observed[0].state_std.values.repeat(36)
    x = basin["truth"]["test"].x.isel(time=slice(1, None)).values / per
    error = np.linalg.norm(runs / per - x, axis=-1) / np.linalg.norm(x, axis=-1)
    np.testing.assert_allclose(found.relative_rmse, error, rtol=1e-5)
    np.testing.assert_allclose(found.mean_relative_rmse, error[..., 2:].mean(-1), rtol=1e-5)
    assert int(found["size"]) == SIZE and found.crps.notnull().all()
    assert json.loads(str(found.section.values[3]))["members"] == 4


def test_what_was_tried_goes_with_the_scores(ring):
    tried = tuned(ring, ETKF, {"inflation": [1.0, 1.1, 1.2]})
    found = evaluate._carried([analysed(ring, ETKF), tried])
    np.testing.assert_array_equal(found["tried_error"][1], tried.tried_error[0])
    assert np.isnan(found["tried_error"][0]).all()
    np.testing.assert_array_equal(found["on_edge"].isnull(), [True, False])


def test_each_part_of_an_analysis_has_its_time(ring, linear):
    entry = {"coordinates": {}, "values": {}, "replicate": 0, "data": 0, "prior": 0}
    entries = [entry | {"method": "etkf"}, entry | {"method": "latent", "codec": 0}]
    timed = {"s": {"task": "assimilate", "role": "estimator", "runs": entries, "sampled": 9}}
    sections = {"case.s": RING, "method.s.etkf": ETKF, "method.s.latent": latent()}
    inputs = {"s.observed": [seen(ring)], "s.prior": [ring["prior"]], "s.codecs": [linear]}
    found = gridded_time.measured({"repetitions": 2}, timed, sections, inputs)
    seconds = found.cpu_seconds
    assert seconds.shape == (2, 3, 2) and (seconds >= 0).all() and int(found["size"]) == 12
    assert (seconds.sel({"method": "etkf", "part": "codec"}) == 0).all()
    assert (seconds.sel({"method": "latent"}).sum("part") > 0).all()
    coded = seconds.sel(part=["analysis", "codec"]).sum("part")
    np.testing.assert_array_equal(found.cpu_seconds_coded, coded)
