"""The page and the schemas that are made of the classes of the configuration."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from dalib.experiments import sections, spec
from dalib.localise import Ring
from pipeline import configuration, layout
from pipeline.fields import Classes, Kind
from pipeline.problems import made
from pipeline.settings import Layer, merged, read_yaml, scales

ROOT = Path(__file__).parents[1]
MADE = configuration.files(ROOT)


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_the_classes_is_current(name):
    there = (ROOT / name).read_text(encoding="utf-8") if (ROOT / name).exists() else ""
    assert there == MADE[name], "run: python -m pipeline configuration"


def test_every_class_of_the_registries_and_every_section_has_its_place():
    page = MADE[configuration.PAGE]
    for role, table in configuration.REGISTRIES.items():
        assert f": `{role}`" in page
        assert all(f"#### `{name}`" in page for name in table)
    assert "| `keep_gb` | number | needed | ≥ 0 | size in GB above which" in page


def validator(name: str) -> jsonschema.Draft202012Validator:
    """Of one of the schemas, which may refer to the others."""
    resources = [
        (f"file:///{path}", referencing.Resource.from_contents(json.loads(text)))
        for path, text in MADE.items()
        if path.endswith(".json")
    ]
    registry = referencing.Registry().with_resources(resources)
    return jsonschema.Draft202012Validator({"$ref": f"file:///{name}"}, registry=registry)


def told(name: str, tree) -> list[str]:
    return [f"{e.json_path}: {e.message}" for e in validator(name).iter_errors(tree)]


def test_an_editor_accepts_every_file_of_the_configuration():
    assert told(configuration.SCHEMA, read_yaml(ROOT / layout.BASE, "")) == []
    for paper in layout.papers(ROOT):
        base = Layer("", read_yaml(ROOT / layout.config_of(paper), ""))
        for scale in scales(ROOT):
            file = ROOT / layout.scale_of(paper, scale)
            above = [Layer("", read_yaml(file, ""))] if file.exists() else []
            assert told(layout.schema_of(paper), merged([base, *above])) == [], (paper, scale)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"titel": "x"}, "titel"),
        ({"filters": {"a": {"kind": "enkf", "members": 1}}}, "1 is less than the minimum of 2"),
        ({"filters": {"a": {"kind": "enkf", "mebmers": 3}}}, "mebmers"),
        ({"cases": {"a": {"system": {"kind": "lorenz95"}}}}, "lorenz95"),
    ],
)
def test_an_editor_marks_what_the_workflow_would_refuse(tree, said):
    assert any(said in line for line in told("papers/dkf/schema.json", tree))


def test_every_key_of_a_study_is_described():
    assert {field.name for field in dataclasses.fields(sections.Study)} == set(spec.KEYS)


def beyond(bounds) -> Iterator[float]:
    """A number just outside each of the limits."""
    yield from (bound - 1 for bound in (bounds.least,) if bound is not None)
    yield from (bound + 1 for bound in (bounds.most,) if bound is not None)
    yield from (bound for bound in (bounds.above, bounds.below) if bound is not None)


def some(kind: Kind) -> Any:
    """A value of a kind."""
    values = {"int": 6, "float": 0.5, "str": "x", "bool": True, "list": [4] * (kind.count or 3)}
    return next((values[name] for name in kind.names if name in values), None)


def refused(cls: type, given: dict, name: str, value: float) -> bool:
    """Whether a class refuses a value, by the name of its setting or by the value."""
    try:
        cls(**given | {name: value})
    except (ValueError, TypeError) as error:
        return name in str(error) or str(value) in str(error)
    return False


def test_sections_refuse_what_lies_beyond_the_limits_that_are_read():
    classes, tried = Classes(ROOT), 0
    tops = [layout.CONFIGURATION, *(classes.paper(name) for name in layout.papers(ROOT))]
    for dotted in {one for top in tops for one in configuration.sections(classes, top)}:
        settings = classes.settings(dotted, nested=True)
        given = {name: some(one.kind) for name, one in settings.items() if one.required}
        for name, one in settings.items():
            for value in beyond(one.bounds):
                assert refused(made(dotted), given, name, value), f"{dotted}: {name} {value}"
                tried += 1
    assert tried > 100


@pytest.mark.parametrize("role", configuration.REGISTRIES)
def test_classes_refuse_what_lies_beyond_the_limits_that_are_read(role):
    classes = Classes(ROOT)
    for dotted in configuration.REGISTRIES[role].values():
        cls = made(dotted)
        if not dataclasses.is_dataclass(cls):
            continue  # networks are made of trained weights
        fields, settings = dataclasses.fields(cls), classes.settings(dotted)
        needed = [f for f in fields if f.init and f.default is f.default_factory is MISSING]
        given = {f.name: some(settings[f.name].kind) if f.name in settings else 1 for f in needed}
        parts = {"step": abs, "localisation": Ring(4.0).on(8)}
        given |= {f.name: parts[f.name] for f in fields if f.name in parts}
        for name, one in settings.items():
            for value in beyond(one.bounds):
                assert refused(cls, given, name, value), f"{dotted}: {name} {value}"
