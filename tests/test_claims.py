"""Claims judged on small score datasets."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dalib import io
from dalib.experiments import runs, spec
from dalib.metrics import measures
from dalib.registry import MEASURES
from papers.adda.metrics import evaluate as learning_scored
from pipeline import claims, layout, settings
from pipeline.claims import inputs as claim_inputs

ROOT = Path(__file__).parents[1]


def make(section):
    cls = getattr(measures, MEASURES[section["kind"]].rpartition(":")[2])
    return cls(**{key: value for key, value in section.items() if key != "kind"})


def scores():
    rmse = xr.DataArray(
        [[0.2, 0.3, 0.4], [0.6, 0.6, 0.9]],
        dims=("method", "seed"),
        coords={"method": ["ekf", "particle"]},
    )
    lead = xr.DataArray([1.0, 2.0], dims="lead", coords={"lead": [0.1 + 0.15, 0.5]})
    return {"base/analyses": xr.Dataset({"rmse": rmse, "error": lead})}


def claim(**changes):
    section = {
        "name": "RMSE of the EKF",
        "measure": {"kind": "median"},
        "inputs": {
            "values": {"scores": "base/analyses", "variable": "rmse", "where": {"method": "ekf"}}
        },
        "operator": "<",
        "threshold": 0.4,
    } | changes
    return {
        "id": "X-1",
        "statement": "it follows",
        "published": None,
        "decided_from": "quick",
        "checks": [section],
    }


def judged(one, scale="quick", data=None):
    return claims.judge("paper", [one], data or scores(), scale, make)[0]


def test_a_claim_holds_when_its_check_holds():
    row = judged(claim(threshold=0.5))
    assert row["verdict"] == "reproduced"
    assert row["measured"] == {"RMSE of the EKF": 0.3}
    assert row["interval"] == {"RMSE of the EKF": [0.2, 0.4]}
    assert row["criterion"] == {"RMSE of the EKF": "< 0.5"}
    assert row["evidence"] == ["base/analyses: rmse(method=ekf)"]
    assert list(row) == [
        "id", "paper", "statement", "published", "measured", "interval", "criterion",
        "threshold_from", "nulls", "straddles", "verdict", "reason", "evidence",
    ]  # fmt: skip


def test_a_claim_fails_when_one_of_its_checks_fails():
    one = claim()
    one["checks"].append(claim(name="ten times smaller", threshold=0.04)["checks"][0])
    row = judged(one)
    assert row["verdict"] == "not reproduced"
    assert row["reason"] == "ten times smaller: 0.3 < 0.04 does not hold"


def test_a_smaller_scale_measures_and_does_not_decide():
    row = judged(claim(), scale="smoke")
    assert row["verdict"] == "not decidable at this scale"
    assert row["measured"] == {"RMSE of the EKF": 0.3}


def test_thresholds_of_a_scale_count_for_smaller_ones():
    one = claim(threshold={"quick": 0.4, "desk": 0.1, "paper": 0.1})
    assert judged(one, "smoke")["criterion"] == {"RMSE of the EKF": "< 0.4"}
    assert judged(one, "quick")["verdict"] == "reproduced"
    assert judged(one, "desk")["verdict"] == "not reproduced"


def test_a_note_is_reported_and_decides_nothing():
    one = claim()
    one["notes"] = [claim(name="strong form", operator=">", threshold=1.0)["checks"][0]]
    row = judged(one)
    assert row["verdict"] == "reproduced"
    assert "strong form: 0.3 > 1 does not hold" in row["reason"]
    assert row["measured"]["strong form"] == 0.3


def sizes(**where):
    """Scores of two rings, the larger one without a sweep, addressed together by a pattern."""
    small = xr.Dataset(
        {
            "rmse": (("members", "repeat"), [[4.0, 6.0], [2.0, 3.0]]),
            "rmse_by_rank": ("rank", [1.0]),
            "size": 10,
        },
        {"members": [5, 10], "repeat": [0, 1]},
    )
    large = small[["rmse"]].isel(repeat=[1]).assign(size=20, rmse=small.rmse + 10)
    data = {"ring/learning": small, "ring_20/learning": large}
    address = {"scores": "ring*/learning", "along": "size", "variable": "rmse", "where": where}
    return data, {"inputs": {"values": address}}


def test_a_pattern_takes_the_scores_of_all_sizes_in_their_common_repeats():
    data, change = sizes(members=10)
    assert claims.select(data, change["inputs"]["values"]).values.tolist() == [[3.0], [13.0]]
    data, change = sizes(members=10, size={"at_least": 20})
    row = judged(claim(**change), data=data)
    assert row["measured"] == {"RMSE of the EKF": 13.0}
    assert row["evidence"] == ["ring*/learning: rmse(members=10, size ≥ 20)"]


def test_a_range_can_be_in_units_of_another_variable():
    data, change = sizes(members={"at_least": 0.5, "below": 1.0, "times": "size"})
    address = change["inputs"]["values"] | {"scores": "ring/learning"}
    assert claims.select(data, address).values.tolist() == [[4.0, 6.0]]
    data, change = sizes(members={"above": 0.3, "at_most": 0.5, "times": "size"})
    with pytest.raises(claims.NotRunError, match="no points in common"):  # 5 of 10, 10 of 20
        claims.select(data, change["inputs"]["values"])


def test_a_range_without_points_was_not_run():
    data, change = sizes(members={"above": 10})
    row = judged(claim(**change), data=data)
    assert row["verdict"] == "not decidable at this scale"
    why = "ring/learning: rmse(members > 10): no members > 10; there are: 5, 10"
    assert row["reason"] == f"RMSE of the EKF: {why}"


def test_a_sweep_that_is_left_out_was_not_run():
    data, change = sizes()
    change["inputs"]["values"] |= {"scores": "ring_20/learning", "variable": "rmse_by_rank"}
    row = judged(claim(**change), data=data)
    assert row["verdict"] == "not decidable at this scale"
    assert "have no sweep 'rank': not run at this scale" in row["reason"]
    change["inputs"]["values"] |= {"scores": "ring/learning", "variable": "rsme_by_rank"}
    with pytest.raises(claims.ClaimError, match="no variable 'rsme_by_rank'"):
        judged(claim(**change), data=data)


def test_a_list_of_numbers_finds_the_nearest_coordinates():
    inputs = {"values": {"scores": "base/analyses", "variable": "error"}}
    inputs["values"]["where"] = {"lead": [0.25, 0.5]}
    assert judged(claim(inputs=inputs))["measured"] == {"RMSE of the EKF": 1.5}


def test_a_claim_can_be_about_some_repeats_alone():
    """The 0.25-quantile of the errors at the start, 0.0, 0.4 and 0.8, is 0.2."""
    data = scores()
    data["base/analyses"]["start"] = ("seed", [0.0, 0.4, 0.8])
    among = {"variable": "rmse", "operator": ">", "quantile": 0.25, "of": "start"}
    inputs = claim()["checks"][0]["inputs"]
    inputs["values"]["among"] = among
    row = judged(claim(inputs=inputs, measure={"kind": "count"}), data=data)
    assert row["measured"] == {"RMSE of the EKF": 2.0}
    assert row["evidence"] == ["base/analyses: rmse(method=ekf, rmse > 0.25 quantile of start)"]
    data["base/analyses"]["start"] += 1
    row = judged(claim(inputs=inputs), data=data)
    assert row["verdict"] == "not decidable at this scale"
    assert row["reason"].endswith("rmse > 0.25 quantile of start): there is no such seed")


def test_a_check_can_wait_for_a_larger_scale_than_its_claim():
    one = claim()
    one["checks"].append(claim(name="smaller", threshold=0.1, decided_from="desk")["checks"][0])
    row = judged(one)
    assert row["verdict"] == "reproduced in part"
    assert row["criterion"] == {"RMSE of the EKF": "< 0.4"}
    assert row["measured"]["smaller"] == 0.3
    assert "smaller: 0.3 < 0.1 does not hold (decided from scale desk)" in row["reason"]
    assert judged(one, "desk")["verdict"] == "not reproduced"


def test_what_a_scale_leaves_out_makes_a_claim_reproduced_in_part():
    one = claim()
    inputs = {"values": {"scores": "base/forecasts", "variable": "rmse"}}
    one["checks"].append(claim(name="forecast", inputs=inputs)["checks"][0])
    row = judged(one)
    assert row["verdict"] == "reproduced in part"
    assert "forecast: no scores 'base/forecasts'" in row["reason"]
    one["checks"][0]["threshold"] = 0.1
    assert judged(one)["verdict"] == "not reproduced"


def test_an_interval_that_straddles_the_threshold_is_named():
    """The three seeds have 0.2, 0.3 and 0.4."""
    row = judged(claim(threshold=0.35))
    assert row["verdict"] == "reproduced" and row["straddles"] == ["RMSE of the EKF"]
    assert "but its interval [0.2, 0.4] straddles the threshold" in row["reason"]
    row = judged(claim(threshold=0.25))
    assert row["verdict"] == "not reproduced" and row["straddles"] == ["RMSE of the EKF"]
    assert judged(claim(threshold=0.41))["straddles"] == []
    assert judged(claim(operator="within", threshold=[0.1, 0.5]))["straddles"] == []
    for ends in ([0.25, 0.5], [0.22, 0.28], [0.32, 0.38], [0.29, 0.31]):
        assert judged(claim(operator="within", threshold=ends))["straddles"]
    assert judged(claim(operator="within", threshold=[0.5, 0.6]))["straddles"] == []


def test_a_time_near_its_threshold_decides_nothing():
    assert judged(claim(timing=True, threshold=0.5))["verdict"] == "reproduced"
    assert judged(claim(timing=True, threshold=0.1))["verdict"] == "not reproduced"
    for threshold in (0.35, 0.25):
        row = judged(claim(timing=True, threshold=threshold))
        assert row["verdict"] == "not decidable at this scale"
        assert "the measured time decides nothing" in row["reason"]
    one = claim(timing=True, threshold=0.35)
    one["checks"].append(claim(name="far", timing=True, threshold=0.5)["checks"][0])
    assert judged(one)["verdict"] == "reproduced in part"


def test_a_time_that_was_measured_once_decides_nothing():
    data = scores()
    data["base/analyses"] = data["base/analyses"].isel(seed=[0])
    row = judged(claim(timing=True), data=data)
    assert row["verdict"] == "not decidable at this scale" and "measured once" in row["reason"]


def test_a_claim_waits_for_its_conditions():
    one = claim()
    condition = claim(name="training has converged", threshold=0.5)["checks"][0]
    one["conditions"] = [condition]
    row = judged(one)
    assert row["verdict"] == "reproduced" and row["measured"]["training has converged"] == 0.3
    assert row["criterion"]["training has converged"] == "< 0.5"
    for unmet in ({"threshold": 0.1}, {"inputs": {"values": {"scores": "x", "variable": "y"}}}):
        one["conditions"] = [condition | unmet]
        for limit in (0.4, 0.1):  # whether the check holds or not
            one["checks"][0]["threshold"] = limit
            row = judged(one)
            assert row["verdict"] == "not decidable at this scale"
            assert "a condition is not met; training has converged" in row["reason"]
            assert row["measured"]["RMSE of the EKF"] == 0.3


def null(method, name="persistence"):
    address = {"scores": "base/analyses", "variable": "rmse", "where": {"method": method}}
    return {"name": name, "inputs": {"values": address}}


def test_a_check_that_a_null_passes_decides_nothing():
    row = judged(claim(threshold=0.5, null=null("particle")))
    assert row["verdict"] == "reproduced"
    assert row["nulls"] == {"RMSE of the EKF": {"persistence": 0.6}}
    row = judged(claim(threshold=0.7, null=[null("particle"), null("ekf", "itself")]))
    assert row["verdict"] == "not decidable at this scale"
    assert "does not discriminate, since persistence (0.6) and itself (0.3)" in row["reason"]
    assert judged(claim(threshold=0.1, null=null("particle")))["verdict"] == "not reproduced"


def test_a_blind_check_spares_no_claim_that_fails():
    one = claim(threshold=0.7, null=null("particle"))
    one["checks"].append(claim(name="smaller", threshold=0.1)["checks"][0])
    assert judged(one)["verdict"] == "not reproduced"


def test_a_null_that_was_not_run_leaves_the_claim_open():
    row = judged(claim(null=null("climatology")))
    assert row["verdict"] == "not decidable at this scale"
    assert "what persistence scores is not known" in row["reason"]


def test_the_source_of_a_threshold_stands_in_the_row():
    row = judged(claim(threshold_from="a prototype"))
    assert row["threshold_from"] == {"RMSE of the EKF": "a prototype"}


def test_a_note_on_what_was_not_run_says_so_and_decides_nothing():
    one = claim()
    inputs = {"values": {"scores": "base/forecasts", "variable": "rmse"}}
    one["notes"] = [claim(name="forecast", inputs=inputs)["checks"][0]]
    row = judged(one)
    assert row["verdict"] == "reproduced"
    assert "forecast: no scores 'base/forecasts'" in row["reason"]
    assert "forecast" not in row["measured"]


def test_what_is_not_finite_is_not_reproduced():
    data = scores()
    data["base/analyses"]["rmse"][0, 1] = np.nan
    row = judged(claim(), data=data)
    assert row["verdict"] == "not reproduced" and "nan is not finite" in row["reason"]
    json.dumps(row, allow_nan=False)


def test_numbers_find_the_nearest_coordinate_and_nothing_further_off():
    inputs = {"values": {"scores": "base/analyses", "variable": "error", "where": {"lead": 0.25}}}
    assert judged(claim(inputs=inputs))["measured"] == {"RMSE of the EKF": 1.0}
    inputs["values"]["where"]["lead"] = 0.3
    row = judged(claim(inputs=inputs))
    assert row["verdict"] == "not decidable at this scale"
    assert "no lead 0.3; there are: 0.25, 0.5" in row["reason"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"timings": True},
            "unknown key 'timings' of RMSE of the EKF; known: decided_from, inputs",
        ),
        ({"operator": "=="}, "unknown operator '=='; known: <, <=, >, >=, within"),
        ({"threshold": {"smoke": 1.0}}, "no threshold for scale 'quick'"),
        (
            {
                "inputs": {
                    "values": {
                        "scores": "base/analyses",
                        "variable": "error",
                        "where": {"lead": {"from": 1}},
                    }
                }
            },
            "unknown bound from of a range; known: at_least, at_most, above, below",
        ),
        (
            {"inputs": {"values": {"scores": "base/analyses", "variable": "crps"}}},
            "have no variable 'crps'; there are: error, rmse",
        ),
    ],
)
def test_a_claim_that_cannot_be_read_says_what_is_there(change, message):
    with pytest.raises(claims.ClaimError, match=message.replace("(", r"\(")) as error:
        judged(claim(**change))
    assert "claim X-1 of paper" in str(error.value)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ({"scores": "base/forecasts"}, "no scores 'base/forecasts'; there are: base/analyses"),
        ({"where": {"method": "enkf"}}, "no method 'enkf'; there are: ekf, particle"),
    ],
)
def test_what_was_not_run_cannot_be_decided(address, reason):
    inputs = {"values": {"scores": "base/analyses", "variable": "rmse"} | address}
    row = judged(claim(inputs=inputs))
    assert row["verdict"] == "not decidable at this scale"
    assert reason in row["reason"]
    assert row["measured"] == {} and row["criterion"] == {"RMSE of the EKF": "< 0.4"}


def test_a_forgotten_key_is_named():
    one = claim()
    del one["checks"][0]["operator"]
    with pytest.raises(claims.ClaimError, match="key 'operator' is missing"):
        judged(one)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("papers/*/claims.yaml")), ids=lambda p: p.parent.name
)
def test_every_claim_of_a_paper_is_complete_and_its_measures_are_known(path):
    rows = io.read_yaml(path)
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert {"id", "statement", "published", "decided_from", "checks"} <= row.keys()
        assert row["decided_from"] in claims.SCALES
        assert row.keys() <= claims.KEYS
        sections = row["checks"] + row.get("notes", []) + row.get("conditions", [])
        for section in sections:
            needed = {"name", "measure", "inputs", "operator", "threshold"}
            assert needed <= section.keys() <= claims.CHECK_KEYS
            assert section.get("decided_from", "paper") in claims.SCALES
            assert section["operator"] in claims.OPERATORS
            assert callable(make(section["measure"]))
            nulls = section.get("null", [])
            nulls = [nulls] if isinstance(nulls, dict) else nulls
            for null in nulls:
                assert null.keys() == {"name", "inputs"}
                assert null["inputs"].keys() <= section["inputs"].keys()
            assert isinstance(section.get("timing", False), bool)
            assert isinstance(section.get("threshold_from", ""), str)
            addresses = [
                *section["inputs"].values(),
                *(a for n in nulls for a in n["inputs"].values()),
            ]
            for address in addresses:
                known = {"scores", "variable", "where", "vary", "among", "along"}
                assert {"scores", "variable"} <= address.keys() <= known
                assert ("*" in address["scores"]) == ("along" in address)
        names = [section["name"] for section in sections]
        assert len(set(names)) == len(names)


LEFT_OUT = {  # ADDA: what a scale cannot decide
    "quick": {"ADDA-10", "ADDA-11", "ADDA-13", "ADDA-18", "ADDA-19", "ADDA-29"},
    "desk": {"ADDA-29"},
    "paper": set(),
}
RESTED = ("loss_change", "late_restarts", "error_change")  # 0: what conditions ask for
EVERYWHERE = "error restarts late_rmse value_weight innovation_variance observations_late_rmse "
EVERYWHERE += "climatology_late_rmse " + " ".join(RESTED) + " "
MEASURED = {  # by the first letters of a case
    "cw": EVERYWHERE + "rmse_velocity rmse_position bias_position distance_likelihood "
    "distance_log_det distance_misfit observations_rmse_position observations_bias_position "
    "climatology_rmse_velocity",
    "l96": EVERYWHERE + "unobserved_ratio mflop memory observations_unobserved_ratio "
    "climatology_unobserved_ratio",
    "glv": EVERYWHERE + "mae_interactions mae_growth",
}


def halves(prefix, points):
    """An array of 0.5 at all combinations of points {dim: values}, with a prefix to each dim."""
    points = {prefix + dim: list(values) for dim, values in points.items()}
    return xr.DataArray(np.full([len(v) for v in points.values()], 0.5), points, list(points))


def learned(paper, case):
    """Scores as a case of filters that learn has them at its scale: first 1, then 0.5."""
    found = xr.Dataset({"size": float(paper["cases"][case]["system"].get("size", 6))})
    for position, name in enumerate(paper["cases"][case]["learning"]["methods"]):
        section, prefix = paper["learning"][name], f"{name}_" if position else ""
        repeats, methods = {"repeat": [0, 1]}, {"method": list(section["learned"])}
        points = {"": {}}
        for sweep, part in section["sweeps"].items():
            vary = part["vary"].items()
            points[f"_by_{sweep}"] = {a if a == sweep else f"{sweep}_{a}": v for a, v in vary}
        one = {}
        for metric in MEASURED[case.split("_")[0]].split():
            counted = metric in ("mflop", "memory")
            for by, own in points.items():
                one[metric + by] = methods | own | ({} if counted else repeats)
                one[f"start_{metric}{by}"] = own | repeats
        one["error_by_update"] = methods | repeats
        one["error_by_update"] |= {"update": range(section["training"]["epochs"] + 1)}
        one["memory_by_segment"] = methods | {"segment": [5, 10]}
        for grid, part in section["grids"].items():
            vary = part["vary"].items()
            own = {grid if len(vary) == 1 else f"{grid}_{a}": v for a, v in vary}
            one |= {f"rmse_by_{grid}": own | repeats, f"rmse_at_{grid}": repeats}
        for variable, own in one.items():
            values = halves(prefix, own) * (2 if variable.startswith("start_") else 1)
            found[prefix + variable] = values * (0 if variable.startswith(RESTED) else 1)
    return found.assign(fixed_gain_refused=1.0, var3d_refused=0.0)


@pytest.mark.parametrize("scale", LEFT_OUT)
def test_every_claim_finds_what_its_scale_computes(scale):
    paper = settings.load(ROOT, {"scale": scale})["adda"]
    data = {f"{case}/learning": learned(paper, case) for case in paper["active"]}
    timed = ["var3d_k", "var3d_c", "enkf", "ens3dvar", "taper_enkf", "taper_enkf_fixed_radius"]
    data["timing"] = xr.Dataset(
        {"cpu_seconds_epoch": (("method", "repetition"), np.ones((6, 2)))}, {"method": timed}
    )
    wanted = io.read_yaml(ROOT / layout.claims_of("adda"))
    data = claim_inputs.with_roles(data, paper["roles"])
    rows = {row["id"]: row for row in claims.judge("adda", wanted, data, scale, make)}
    late = {name for name, row in rows.items() if row["reason"].startswith("decided from scale")}
    assert late == LEFT_OUT[scale]
    for claim in wanted:
        row, names = rows[claim["id"]], {c["name"] for c in claim.get("conditions", [])}
        assert set(row["measured"]) >= names, f"{claim['id']}: {row['reason']}"
        if claim["id"] in LEFT_OUT[scale]:
            continue
        names |= {section["name"] for section in claim["checks"] + claim.get("notes", [])}
        assert set(row["measured"]) == names, f"{claim['id']}: {row['reason']}"
        assert "is not known" not in row["reason"], f"{claim['id']}: {row['reason']}"  # of a null


def test_every_claim_of_learned_filters_has_a_null_that_must_fail_or_compares_two():
    """Or it is a comparison of two filters by a ratio, or of what they cost."""
    comparing = {"ADDA-7", "ADDA-8", "ADDA-30", "ADDA-31"}
    for claim in io.read_yaml(ROOT / layout.claims_of("adda")):
        nulls = [section for section in claim["checks"] if "null" in section]
        assert bool(nulls) != (claim["id"] in comparing), claim["id"]


def test_no_claim_on_errors_is_judged_before_the_filters_have_come_to_rest():
    """What is counted, refused or timed needs no rest, nor does the claim that there is one."""
    without = {"ADDA-22", "ADDA-29", "ADDA-30", "ADDA-31", "ADDA-32"}
    for claim in io.read_yaml(ROOT / layout.claims_of("adda")):
        assert bool(claim.get("conditions")) != (claim["id"] in without), claim["id"]


def test_a_fixed_gain_is_tried_where_what_is_observed_changes():
    section = {"seen": {"default": "random"}, "base": {"observed": 0.5}}
    assert learning_scored._changing(8, section) == {
        "fixed_gain_refused": 1.0,
        "var3d_refused": 0.0,
    }
    assert learning_scored._changing(8, section | {"seen": {"default": "even"}}) == {}


def named(study, where) -> bool:
    """Whether a study has runs with these labels; each of a list."""
    keys = {axis.key: axis for axis in study.axes}
    each = [[label] if not isinstance(label, list) else label for label in where.values()]
    for labels in itertools.product(*each):
        wanted = dict(zip(where, labels, strict=True))
        method = wanted.pop("method")
        own = {
            keys[name].name: keys[name].base if label == "base" else label
            for name, label in wanted.items()
            if name in keys
        }
        there = (
            run.method == method and own.items() <= run.coordinates.items()
            for run in runs.runs(study)
        )
        if not any(there):
            return False
    return True


@pytest.mark.parametrize("scale", ["quick", "desk"])
def test_every_claim_on_gridded_states_names_runs_that_its_scale_has(scale):
    """Of what this scale decides, by itself or for a larger one; notes may be on less."""
    paper = settings.load(ROOT, {"scale": scale})["lensf"]
    smaller, studies = claims.SCALES[: claims.SCALES.index(scale) + 1], spec.studies(paper)
    for claim in io.read_yaml(ROOT / layout.claims_of("lensf")):
        for check in claim["checks"]:
            if check.get("decided_from", claim["decided_from"]) not in smaller:
                continue
            for address in check["inputs"].values():
                name, _, times = address["scores"].partition("/")
                where = {k: v for k, v in address.get("where", {}).items() if k != "part"}
                if times or "method" not in where:
                    continue
                assert named(studies[name], where), f"{claim['id']}: {check['name']}"


def test_cases_in_a_role_can_be_named_by_it():
    """What a figure compares is compared by a claim, whatever the cases are called."""
    data = {f"{name}/learning": xr.Dataset({"error": float(n), "size": n}) for name, n in SIZES}
    data = claim_inputs.with_roles(data, {"sizes": ["a", "b_long"], "one": "c"})
    address = {"scores": "sizes/*/learning", "along": "size", "variable": "error"}
    found = claim_inputs.select(data, address)
    assert found["size"].values.tolist() == [20.0, 200.0]
    assert data["one/c/learning"] is data["c/learning"]


SIZES = (("a", 20), ("b_long", 200), ("c", 40))
