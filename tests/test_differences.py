from pipeline.differences import differences

UNITS = {"dalib.a:f": "1", "dalib.a:g": "2"}
SPEC = {"code": "x", "seed": 1, "config": {"case": {"observations": {"error_std": 1.0}}}}
RECORD = {"spec": SPEC, "units": UNITS, "inputs": {"observations": {"o.nc": "h"}}}


def spec(**changes):
    return {**SPEC, **changes}


def test_nothing_differs_from_itself():
    assert differences(RECORD, SPEC, UNITS, RECORD["inputs"]) == []


def test_changed_units_are_named_first():
    new = {"dalib.a:f": "3", "dalib.a:h": "2"}
    assert differences(RECORD, spec(code="y"), new) == [
        "dalib.a:f changed",
        "dalib.a:h is new",
        "dalib.a:g is gone",
    ]


def test_without_tables_of_units_the_code_changed():
    assert differences({"spec": SPEC}, spec(code="y"), UNITS) == ["code changed"]
    assert differences(RECORD, spec(code="y"), UNITS) == ["code changed"]


def test_values_of_the_configuration_are_shown_with_their_keys():
    config = {"case": {"observations": {"error_std": 2.0}}}
    assert differences(RECORD, spec(config=config), UNITS) == [
        "config case.observations.error_std: 1.0 -> 2.0"
    ]


def test_keys_that_came_and_went_are_named():
    config = {"case": {"observations": {"until": [1, 2]}}}
    assert differences(RECORD, spec(config=config), UNITS) == [
        "config case.observations.error_std: removed, was 1.0",
        "config case.observations.until: new, [1, 2]",
    ]


def test_integers_floats_and_booleans_differ():
    config = {"case": {"observations": {"error_std": True}}}
    old = {"spec": spec(config={"case": {"observations": {"error_std": 1}}})}
    assert differences(old, spec(config=config), {}) == [
        "config case.observations.error_std: 1 -> true"
    ]


def test_other_entries_of_a_spec_count():
    assert differences(RECORD, spec(seed=2, device="cuda"), UNITS) == [
        'device: new, "cuda"',
        "seed: 1 -> 2",
    ]


def test_inputs_are_compared_by_content_not_by_path():
    same = {"observations": {"elsewhere/o.nc": "h"}}
    assert differences(RECORD, SPEC, UNITS, same) == []
    other = {"observations": {"o.nc": "i"}, "model": {"m.nc": "h"}}
    assert differences(RECORD, SPEC, UNITS, other) == [
        "input model is new",
        "input observations changed",
    ]
