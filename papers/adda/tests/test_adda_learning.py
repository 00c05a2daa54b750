"""Experiments of filters that learn: what runs at which point, and how it is scored."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from dalib.cases import observed, truth
from dalib.points import groups_of, runs_of
from papers.adda import learning
from papers.adda.metrics import evaluate as learning_scored
from pipeline import settings

ROOT = Path(__file__).parents[3]
SMOKE = settings.load(ROOT, {"scale": "smoke"})["adda"]


def case(name):
    """A case of scale smoke with its first experiment, made smaller still."""
    section = copy.deepcopy(SMOKE["learning"][name]) | {"jobs": 1, "tune": None}
    section["training"] |= {"epochs": 1, "repeats": 2}
    return copy.deepcopy(SMOKE["cases"][name]), section


def data(case, name):
    parts = {split: truth.truth(case, split, name) for split in ("train", "test")}
    return parts, {s: observed.observations(case, x, s, name) for s, x in parts.items()}


def run(case, section, name, batch=None):
    """Weights, histories and analyses of one job, or of all."""
    x, y = data(case, name)
    sections = {"case": case, "model": section}
    given = {"batch": {"index": batch or 0}, "experiment": f"{name}/own", "device": "cpu"}
    weights, history = learning.learned(sections, y["train"], y["train"], **given)
    inputs = {"observations": y["test"], "model": weights}
    return x, y, weights, history, learning.filtered(sections, inputs, **given)


def only(section, *filters, sweeps=None, grids=None):
    section["learned"] = {name: section["learned"][name] for name in filters}
    return section | {"sweeps": sweeps or {}, "grids": grids or {}}


# -- points --------------------------------------------------------------------------------------


def test_a_run_is_a_filter_at_the_base_point_or_at_one_of_a_sweep():
    section = {
        "learned": {"a": {}, "b": {}},
        "base": {"members": 10, "start_variance": 1.0},
        "base_of": {"b": {"rank": 3}},
        "sweeps": {
            "members": {"vary": {"members": [5, 10]}, "filters": ["a"]},
            "start_variance": {"vary": {"start_variance": [1.0, 2.0]}},
        },
    }
    base = {"members": 10, "start_variance": 1.0}
    assert runs_of(section) == [
        ("a", base),
        ("b", base | {"rank": 3}),
        ("a", base | {"members": 5}),
        ("a", base | {"start_variance": 2.0}),
        ("b", base | {"rank": 3, "start_variance": 2.0}),
    ]
    together = groups_of(section)
    assert [(g.filter, len(g.points)) for g in together] == [("a", 2), ("b", 2), ("a", 1)]


# -- runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ring():
    whole, section = case("l96")
    section = only(
        section,
        "var3d_k",
        "enkf",
        sweeps={"observed": {"vary": {"observed": [1.0, 0.6]}}},
        grids={"inflation": {"filter": "enkf", "vary": {"scale": [0.0, 0.3]}}},
    )
    return whole, section, run(whole, section, "l96")


def test_another_layout_of_jobs_gives_the_same_numbers(ring):
    whole, section, (_, _, weights, history, analyses) = ring
    parts = [run(whole, section | {"jobs": 3}, "l96", batch) for batch in range(3)]
    for position, expected in ((2, weights), (3, history), (4, analyses)):
        found = xr.concat(
            [part[position].drop_dims("inflation", errors="ignore") for part in parts],
            "run",
            data_vars="all",
            coords="different",
            compat="equals",
            join="outer",
        )
        labels = list(zip(expected["filter"].values, expected.observed.values, strict=True))
        order = list(zip(found["filter"].values, found.observed.values, strict=True))
        found = found.isel(run=[order.index(label) for label in labels])
        for name in found.data_vars:
            np.testing.assert_array_equal(found[name].values, expected[name].values, str(name))


def test_first_models_are_the_same_for_every_filter_and_others_in_every_repeat(ring):
    beta = ring[2][2]["fixed.beta"]
    assert (beta == beta.isel(run=0)).all()
    assert (beta.isel(repeat=0) != beta.isel(repeat=1)).all()


def test_a_filter_sees_the_share_of_its_point(ring):
    seen = ring[2][4].seen.sum("state")
    expected = 40 * ring[2][4].observed
    assert (seen == expected).all()


def test_a_grid_at_the_learned_value_is_the_filter_that_learned(ring):
    whole, section, (_, y, weights, _, analyses) = ring
    own = int(((weights["filter"] == "enkf") & (weights.observed == 1.0)).values.nonzero()[0][0])
    phi = weights["scale"].isel(run=own, repeat=0).item()
    grid = {"filter": "enkf", "vary": {"scale": [phi]}, "repeats": 1}
    found = learning.filtered(
        {"case": whole, "model": section | {"grids": {"inflation": grid}}},
        {"observations": y["test"], "model": weights},
        batch={"index": 0},
        experiment="l96/own",
        device="cpu",
    )
    np.testing.assert_allclose(
        found["x_by_inflation"].isel(inflation=0).squeeze().values,
        analyses.x.isel(run=own, repeat=0).values,
        rtol=1e-4,
        atol=1e-4,
    )


def test_the_reference_of_the_orbit_has_the_kalman_filters_log_determinants():
    whole, section = case("cw")
    x, y, weights, history, analyses = run(whole, only(section, "var3d_c"), "cw")
    kalman = analyses.isel(run=(analyses["filter"] == "kalman").values)
    half = -0.5 * kalman.log_det.isel(run=0, repeat=0, trajectory=0).values
    np.testing.assert_allclose(half[[0, 5, 20, 50]], [-9.34, 2.35, 3.16, 3.34], atol=0.006)
    assert 1.2 < 0.5 * float(kalman.misfit.mean()) < 1.8  # of three components


# -- scores --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scores(ring):
    return scored(*ring)


def scored(whole, section, made):
    x, y, weights, history, analyses = made
    own = {"truth": x["test"], "observations": y["test"]}
    own |= {
        "analyses": {"l96": analyses},
        "weights": {"l96": weights},
        "histories": {"l96": history},
    }
    product = {k: v for k, v in whole["learning"].items() if k != "counted"}
    product = product | {"methods": ["l96"]}
    return learning_scored.learning(
        {"case": whole, "product": product, "experiment_l96": section}, own
    )


def test_a_sweep_at_the_base_point_is_the_base_point(scores):
    for name in ("error", "late_rmse", "value_scale"):
        np.testing.assert_array_equal(
            scores[f"{name}_by_observed"].sel(observed=1.0).values, scores[name].values, name
        )


def test_scores_are_those_of_the_definitions(ring, scores):
    x, _, _, _, analyses = ring[2]
    own = int((analyses["filter"] == "enkf").values.nonzero()[0][0])
    error = analyses.x.isel(run=own, repeat=1).values - x["test"].x.values[4:8, 1:]
    found = scores.rmse.sel({"method": "enkf", "repeat": 1})
    assert float(found) == pytest.approx(np.sqrt((error**2).mean()), rel=1e-6)
    late = float(np.sqrt((error[:, 10:] ** 2).mean()))
    assert float(scores.late_rmse.sel({"method": "enkf", "repeat": 1})) == pytest.approx(
        late, rel=1e-6
    )


def test_scores_belong_to_their_run_whatever_the_order_of_the_files(ring, scores):
    whole, section, (x, y, weights, history, analyses) = ring
    backward = analyses.isel(run=slice(None, None, -1))
    again = scored(whole, section, (x, y, weights, history, backward))
    xr.testing.assert_allclose(again.late_rmse_by_observed, scores.late_rmse_by_observed)
    with pytest.raises(ValueError, match="has no analyses there; run the stage assimilate"):
        scored(whole, section, (x, y, weights, history, analyses.isel(run=slice(1, None))))


def test_learning_makes_the_model_better(scores):
    assert (scores.error.sel({"method": "enkf"}) < scores.start_error).all()


def test_a_network_is_scored_in_its_own_precision():
    whole, section = case("l96")
    section = only(section, "enkf")
    section["map"] |= {"correction": "network", "reading": "resolvent"}
    del whole["learning"]["shown"]  # another point
    found = scored(whole, section, run(whole, section, "l96"))
    assert np.isfinite(found.error.sel({"method": "enkf"}).values).all()


# -- bad input -----------------------------------------------------------------------------------


def refused(message, name="l96", *, of=None, **changed):
    whole, section = case(name)
    section = only(section, "enkf", sweeps=changed.pop("sweeps", None))
    for key, value in changed.items():
        section[key] = section[key] | value
    for key, value in (of or {}).items():
        whole[key] = whole[key] | value
    with pytest.raises(ValueError, match=message):
        run(whole, section, name)


def test_too_few_trajectories_are_named():
    refused("need 40 seeds, the truth has 8; set truth", training={"trajectories": 20})


def test_an_observation_error_that_was_not_simulated_is_named():
    refused("add it to observations.error_std", base={"obs_variance": 0.5})


def test_a_share_of_what_is_not_all_observed_is_refused():
    refused(
        "identity, not Subset",
        of={"observations": {"operator": {"kind": "subset", "index": [0, 1]}}},
    )


def test_a_fixed_gain_needs_observations_that_stay_the_same():
    whole, section = case("l96")
    section = only(section, "var3d_k") | {"seen": {"default": "random"}}
    section["base"] = section["base"] | {"observed": 0.5}
    with pytest.raises(ValueError, match="a fixed gain needs observations that stay the same"):
        run(whole, section, "l96")


def test_a_start_that_its_transform_cannot_represent_is_named():
    whole, section = case("l96")
    section = only(section, "enkf")
    section["learned"] = {"enkf": {"scale": {"start": 1.5}}}
    with pytest.raises(ValueError, match="scale"):
        run(whole, section, "l96")


def test_a_repeat_that_is_lost_leaves_the_others(ring):
    whole, section = case("l96")
    section = only(section, "enkf")
    x, y = data(whole, "l96")
    y["train"].y.values[:4] = 1e30  # the first repeat
    given = {"batch": {"index": 0}, "experiment": "l96/own", "device": "cpu"}
    weights, history = learning.learned(
        {"case": whole, "model": section}, y["train"], y["train"], **given
    )
    assert torch.tensor(history.restarts.values)[0, 0].sum() > 0
    alone = ring[2][2]
    np.testing.assert_array_equal(
        weights["map.coefficients"].isel(run=0, repeat=1).values,
        alone["map.coefficients"]
        .isel(run=((alone["filter"] == "enkf") & (alone.observed == 1.0)).values.argmax(), repeat=1)
        .values,
    )
