"""The page and the schemas that are made of the classes of the configuration."""

import json
from pathlib import Path

import jsonschema
import pytest
import referencing

from pipeline import configuration, layout
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
