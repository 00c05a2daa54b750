"""Whatever stands in the configuration, a sentence that names the key, never a traceback."""

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import configured

from dalib import io
from pipeline import layout
from pipeline.settings import COMMAND_LINE, ConfigError, Layer, load, merged, read_yaml

ROOT = Path(__file__).parents[1]


def real() -> dict[str, Any]:
    """All that stands in the files of scale smoke, in one mapping."""
    config = read_yaml(ROOT / "config.yaml", "config.yaml")
    layers = [Layer("", config), Layer("", config.pop("scales")["smoke"])]
    for paper in config["papers"]:
        files = ROOT / layout.config_of(paper), ROOT / layout.scale_of(paper, "smoke")
        layers += [Layer("", {paper: read_yaml(path, path)}) for path in files]
    return merged(layers) | {"papers": []}


REAL = real()


@pytest.fixture
def project(tmp_path):
    """A project whose configuration, `config.yaml`, is to be written."""
    configured(tmp_path)
    for file in filter(Path.is_file, (tmp_path / "papers").rglob("*")):
        if file.suffix != ".py":
            file.unlink()
    return tmp_path


def leaves(tree: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """(path, value) of every value that is neither a mapping nor a list."""
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, (*path, key))
    else:
        yield path, tree


def put(tree: Any, path: tuple, value: Any) -> None:
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = value


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def with_all(project: Path, wanted, value: Any) -> tuple[list[str], list[str]]:
    """Dotted names of the leaves that are wanted, and the messages where each holds `value`."""
    config, names = copy.deepcopy(REAL), []
    for path, old in leaves(REAL):
        if path != ("scale",) and path[-1] != "kind" and wanted(old):
            put(config, path, copy.deepcopy(value))
            names.append(".".join(map(str, path)))
    (project / "config.yaml").write_text(yaml.safe_dump(config | {"scale": "quick"}))
    try:
        load(project)
    except ConfigError as error:
        return names, str(error).splitlines()
    return names, []


WRONG = {
    "nan": (is_number, math.nan),
    "infinity": (is_number, -math.inf),
    "text for a number": (is_number, "abc"),
    "date for a number": (is_number, "2019-03-01"),
    "mapping for a number": (is_number, {"x": 1}),
    "true for a number": (is_number, True),
    "mapping for a text": (lambda value: isinstance(value, str), {"x": 1}),
    "mapping for true": (lambda value: isinstance(value, bool), {"x": 1}),
}


@pytest.mark.parametrize("what", WRONG)
def test_every_wrong_value_is_told_with_its_key_all_at_once(project, what):
    wanted, value = WRONG[what]
    names, lines = with_all(project, wanted, value)
    told = {line.split(": ")[1] for line in lines}
    assert len(names) > 50
    assert [n for n in names if not any(n == t or n.startswith(f"{t}.") for t in told)] == []


def test_whole_numbers_may_be_written_as_others(project):
    def is_whole(value):
        return is_number(value) and value == int(value)

    config = copy.deepcopy(REAL) | {"scale": "quick"}
    for path, value in leaves(REAL):
        if is_whole(value):
            put(config, path, float(value))
    (project / "config.yaml").write_text(yaml.safe_dump(config))
    found = dict(leaves(load(project)))
    (project / "config.yaml").write_text(yaml.safe_dump(REAL | {"scale": "quick"}))
    expected = dict(leaves(load(project)))
    assert found == expected
    whole = [path for path, value in expected.items() if type(value) is int]
    anything = [path for path in whole if type(found[path]) is not int]
    dots = {".".join(map(str, path)) for path in anything}  # where any number may stand
    assert not {"seed", "batches.seeds", "dkf.cases.clean.truth.test.seeds"} & dots


# -- one at a time -------------------------------------------------------------------------------


@pytest.fixture
def said(tmp_path):
    """What is said of a YAML text laid over the real configuration; "" where it is in order."""

    def of(text: str, **arguments: Any) -> str:
        (tmp_path / "n.yaml").write_text(text)
        try:
            load(ROOT, {"scale": "smoke"} | arguments, [tmp_path / "n.yaml"])
        except ConfigError as error:
            return str(error).replace(f"{tmp_path}/", "")
        return ""

    return of


BASE = "adda: {cases: {l96: {observations: {error_std: %s}}}}"


@pytest.mark.parametrize("number", ["2", "5e-2", "5E+1", "1.0e3", "[5e-2, 1]", '"0.5"'])
def test_numbers_are_read_where_one_of_several_types_is_meant(said, number):
    assert said(BASE % number) == ""


@pytest.mark.parametrize(
    "given",
    [
        "dkf={cases: {base: {observations: {obs_std: 2.0}}}}",
        "dkf={cases: {base: {truth: {start: {std: 4.0}}}}}",
        "dkf={cases: {attractor: {truth: {start: {mean: [1.0, 2.0, 3.0]}}}}}",
        "adda={cases: {cw: {prior: {mean: 1.0}}}}",
        "lensf={cases: {weather: {era5: {step_hours: 6.0}}}}",
        "seeds=2.0",
        "seed=1e3",
    ],
)
def test_numbers_of_the_command_line_are_numbers_again(given):
    key, _, value = given.partition("=")

    def as_text(tree):  # as snakemake hands them over
        if isinstance(tree, dict):
            return {name: as_text(below) for name, below in tree.items()}
        return [as_text(below) for below in tree] if isinstance(tree, list) else str(tree)

    given = as_text(yaml.safe_load(value))
    found = load(ROOT, {"scale": "smoke", key: given})
    for path, number in leaves(given, (key,)):
        there = found
        for name in path:
            there = there[name]
        assert is_number(there) and there == float(number), path


def test_a_seed_is_the_same_number_however_it_is_written():
    found = [load(ROOT, {"scale": "smoke", "seed": seed})["seed"] for seed in (7, 7.0, "7.0")]
    assert [repr(seed) for seed in found] == ["7"] * 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BASE % "-0.1", "adda.cases.l96.observations.error_std: -0.1 is too small, more than 0"),
        (BASE % "abc", 'error_std: "abc" is a text, a number or a list is needed'),
        (BASE % "[1, -2]", "error_std.1: -2 is too small, more than 0 is needed"),
        (BASE % "!!binary aGVsbG8=", "a number, text, list or mapping is needed"),
        ("batches: {seeds: 64.5}", "batches.seeds: 64.5 is given, a whole number is needed"),
        ("seed: 12:30", 'seed: "12:30" is a text, a whole number is needed'),
        ("dkf: &a {cases: *a}", "line 1, column 6: an alias leads back to what it stands in"),
        ("dkf: {cases: {no: {}}}", "the key no is no text; put it in quotes"),
        ("1: 2", "line 1, column 1: the key 1 is no text; put it in quotes"),
        ("a: " + 3000 * "[" + 3000 * "]", "lists and mappings lie too deep within each other"),
        ("dkf: {models: [a]}", "dkf.models: ["),
        (
            "gpt: {studies: {rossler_tokens: {methods: {gpt: {forecaster: {stepz: 3}}}}}}",
            "gpt.studies.rossler_tokens.methods.gpt.forecaster.stepz: unknown key",
        ),
        (
            "gpt: {studies: {lorenz_tokens: {vary: {method.codec.cells: [many]}, "
            "base: {method.codec.cells: many}}}}",
            'gpt.studies.lorenz_tokens.vary.method.codec.cells: "many" is a text, a whole number',
        ),
        (
            "lensf: {studies: {other_start: {methods: {letkf: {tune: {grid: "
            "{inflation: [1, 2, many]}}}}}}}",
            'methods.letkf.tune.grid.inflation: "many" is a text, a number is needed',
        ),
        (
            "lensf: {studies: {other_start: {methods: {letkf: {localisation: {radius: 1.0}}}}}}",
            'lensf.studies.other_start.methods.letkf.localisation: "kind" is missing',
        ),
        ("gpt: {plot: {table: [henn]}}", 'gpt.plot: table: unknown column "henn"; there are: '),
        ("gpt: {plot: 3}", "gpt.plot: 3 is given, a mapping is needed"),
        ("gpt: null", "gpt: null is given, a mapping is needed"),
        ("gpt: [1]", "gpt: [1] is given, a mapping is needed"),
        ("dkf: {cases: {clean: {system: {kind: [a]}}}}", "system.kind: ["),
        ("dkf: {filters: {ekf: {model: 3}}}", "dkf.filters.ekf.model: 3 is given, a name is"),
        ("lensf: {roles: {basin: basins}}", 'lensf.roles.basin: unknown case "basins"'),
        ("dkf: {filters: {my-filter: {kind: free}}}", "dkf.filters.my-filter: a name has letters,"),
        (
            "dkf: {models: {v1.2: {}}}",
            'v1.2: a name has letters, digits and _ only, such as "v1_2"',
        ),
        (
            "dkf: {filters: {EKF: {kind: ekf}}}",
            "EKF: differs from ekf in the case of letters alone",
        ),
        ("lensf: {cases: {figures: {}}}", "lensf.cases.figures: there is a folder of this name"),
    ],
)
def test_what_is_said(said, text, line):
    assert line in said(text) and said(text).startswith("n.yaml: ")


def test_a_date_is_a_text(said):
    stations = "lensf: {cases: {stations: {stations: {%s}}}}"
    assert said(stations % "train: [2019-03-01, 2019-03-06]") == ""
    assert '"2019-03-01" is a text' in said(stations % "network: {latent: 2019-03-01}")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("train: [2001-13-01, 2001-03-31]", "era5.train.0: 2001-13-01 is given, a year, or a date"),
        ("train: [2001-03-31, 2001-01-01]", "train: it ends, 2001-01-01, before it begins"),
        ("train: [2001, 2001]", "era5.test: it shares days with train; keep them apart"),
        ("step_hours: 4, analysis_hours: 6", "6 hours are no multiple of step_hours, 4"),
        ("train: 2001", "era5.train: 2001 is given, a list is needed"),
    ],
)
def test_spans_of_a_reanalysis_are_checked(said, given, line):
    assert line in said(f"lensf: {{cases: {{weather: {{era5: {{{given}}}}}}}}}")


# -- paths ---------------------------------------------------------------------------------------


def told(path: str | Path, key: str = "weather: {era5", *, data: bool = True) -> str:
    """What is said of the path of a reanalysis."""
    given = yaml.safe_load(f"lensf: {{cases: {{{key}: {{path: x}}}}}}}}")
    section = next(iter(next(iter(given["lensf"]["cases"].values())).values()))
    section["path"] = str(path)
    try:
        load(ROOT, {"scale": "smoke"} | given, data=data)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_path_at_which_nothing_is_is_named_before_anything_starts(tmp_path):
    (tmp_path / "era5_2001.nc").touch()
    start = f"{COMMAND_LINE}: lensf.cases.weather.era5.path: "
    lost = tmp_path / "era5_2002.nc"
    assert told(lost) == (
        f'{start}{lost}: no such file (did you mean "era5_2001.nc"?); give a NetCDF file, a folder,'
        " a glob or a store"
    )
    assert "(there is no folder /nowhere)" in told("/nowhere/x.nc")
    assert "~ is not replaced" in told("~/x.nc") and "no such Zarr store" in told("/a/b.zarr")
    assert "no such file" in told(tmp_path / "*.grib")
    assert told(lost, "stations: {stations").startswith(f"{COMMAND_LINE}: lensf.cases.stations")
    assert told(lost, data=False) == ""
    for good in (tmp_path, tmp_path / "*.nc", tmp_path / "era5_2001.nc", "gs://bucket/a.zarr"):
        assert told(good) == "", good


def test_brackets_in_a_path_are_no_glob_and_braces_are_refused(tmp_path):
    folder = tmp_path / "[2001]"
    folder.mkdir()
    assert "the folder has no files era5_YYYY.nc" in told(folder)
    for name in ("era5_2001.nc", "a{b}.nc"):
        (folder / name).touch()
    assert told(folder) == told(folder / "era5_2001.nc") == ""
    assert "a path with { or } cannot be used" in told(folder / "a{b}.nc")


def test_the_key_null_of_a_claim_is_its_name(tmp_path):
    file = tmp_path / "claims.yaml"
    file.write_text("a: {null: {name: persistence}, b: null}\n")
    assert read_yaml(file, "claims") == {"a": {"null": {"name": "persistence"}, "b": None}}
    assert io.read_yaml(file) == read_yaml(file, "claims")
