"""The arrows between the parts of the project, read from syntax trees; nothing is imported."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DALIB = sorted((ROOT / "dalib").rglob("*.py"))
SCRIPTS = sorted((ROOT / "workflow_scripts").rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").rglob("*.smk"))]

# A part is a module or subpackage of dalib; it may import itself and what stands here.
ARROWS = {
    "registry": set(),
    "streams": set(),
    "systems": set(),
    "localise": set(),
    "metrics": set(),
    "scores": {"metrics"},
    "claims": {"metrics"},
    "plots": set(),
    "tables": set(),
    "io": set(),
    "integrate": {"streams"},
    "lyapunov": {"streams"},
    "simulate": {"integrate", "streams"},
    "observe": {"streams"},
    "nets": {"streams"},
    "train": {"streams"},
    "diffusion": {"streams"},
    "codecs": {"nets", "streams"},
    "filters": {"localise", "streams"},
    "forecasters": {"nets", "codecs", "train", "streams"},
    "learn": {"filters", "train", "streams"},
    "arrays": {"filters"},  # beliefs are what it labels
    "era5": {"io"},
    "workflow": {"io", "registry"},
}
# build.py knows every part that a name in the configuration can stand for; nobody knows build.
ARROWS["build"] = set(ARROWS) - {"workflow", "io", "era5", "plots", "tables"}

THIRD_PARTY_FORBIDDEN = {
    "": {"snakemake"},
    "filters": {"xarray", "netCDF4"},
    "systems": {"xarray", "netCDF4", "numpy"},
    "nets": {"xarray", "netCDF4"},
    "train": {"xarray", "netCDF4"},
    "metrics": {"torch", "netCDF4"},
    "plots": {"torch", "netCDF4"},
    "tables": {"torch", "netCDF4"},
    "io": {"torch"},
    "registry": {"torch", "xarray", "numpy"},
    "workflow": {"torch", "matplotlib", "scipy"},
}
FILE_CALLS = {
    "open", "savefig", "to_netcdf", "open_dataset", "load_dataset", "to_csv", "read_csv",
    "write_text", "read_text", "write_bytes", "read_bytes", "savetxt", "loadtxt",
}  # fmt: skip


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(module: str) -> str:
    """`dalib.filters.ekf` -> `filters`."""
    return (module.split(".") + [""])[1]


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, anywhere in it, as an absolute name."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path.parent / "_")
    package = package.removesuffix("._")
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def strings(path: Path) -> Iterator[str]:
    """Text constants other than docstrings."""
    whole = tree(path)
    documentation = {
        id(node.value) for node in ast.walk(whole) if isinstance(node, ast.Expr)
    }  # a bare string is a docstring
    for node in ast.walk(whole):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                yield node.value


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


over_dalib = pytest.mark.parametrize("path", DALIB, ids=ids(DALIB))
over_scripts = pytest.mark.parametrize("path", SCRIPTS, ids=ids(SCRIPTS))


def test_every_part_of_dalib_has_its_place_among_the_arrows():
    assert {part(module_name(path)) for path in DALIB} - {""} <= ARROWS.keys()


@over_dalib
def test_dalib_imports_only_along_the_arrows(path):
    own = part(module_name(path))
    allowed = ARROWS.get(own, set()) | {own}
    found = {part(name) for name in imported(path) if name.split(".")[0] == "dalib"} - {""}
    assert found <= allowed, f"dalib.{own} imports {sorted(found - allowed)}"


@over_dalib
def test_dalib_imports_no_forbidden_package(path):
    own = part(module_name(path))
    forbidden = THIRD_PARTY_FORBIDDEN[""] | THIRD_PARTY_FORBIDDEN.get(own, set())
    assert not forbidden & {name.split(".")[0] for name in imported(path)}


@over_dalib
def test_nothing_is_imported_from_scripts_or_tests(path):
    assert not {"workflow_scripts", "tests"} & {name.split(".")[0] for name in imported(path)}


@over_dalib
def test_dalib_holds_no_paper_and_no_configuration_file(path):
    """A dotted name of a class may hold `dkf`: that is an architecture, not a paper's section."""
    if path.name == "style.py":
        return  # the label and colour of each method, by its usual short name
    texts = [text for text in strings(path) if not re.fullmatch(r"[\w.]+:\w+", text)]
    assert not [text for text in texts if re.search(r"\b(adda|gpt|dkf|lensf)\b", text)]
    if part(module_name(path)) != "workflow":
        assert not [text for text in texts if re.search(r"config.*\.ya?ml", text)]


@over_dalib
def test_only_io_and_the_machinery_touch_files(path):
    if part(module_name(path)) in {"io", "workflow"}:
        return
    for call in (node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
        if isinstance(call, ast.Name):
            assert call.id not in FILE_CALLS, f"line {call.lineno}: {call.id}"
        elif isinstance(call, ast.Attribute) and ast.unparse(call.value) != "io":
            assert call.attr not in FILE_CALLS, f"line {call.lineno}: {call.attr}"


@over_dalib
def test_imports_have_no_stars_and_paths_stay_as_they_are(path):
    assert not [name for name in imported(path) if name.endswith("*")]
    assert "sys.path" not in path.read_text()


@pytest.mark.parametrize(
    "path", [p for p in DALIB if part(module_name(p)) == "systems"], ids=lambda p: p.stem
)
def test_systems_draw_no_random_numbers(path):
    used = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    assert not used & {"Generator", "randn", "rand", "normal", "randint", "manual_seed"}


@over_scripts
def test_scripts_open_call_and_write(path):
    """No function, loop, formula or choice in a script: those have their place in dalib."""
    for node in ast.walk(tree(path)):
        line = f"line {getattr(node, 'lineno', '?')}"
        assert not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
        ), f"{line}: a definition"
        assert not isinstance(node, ast.For | ast.While | ast.comprehension), f"{line}: a loop"
        assert not isinstance(node, ast.BinOp | ast.AugAssign), f"{line}: a formula"
        assert not isinstance(node, ast.Try), f"{line}: a rescue"


@over_scripts
def test_scripts_read_settings_from_their_spec_only(path):
    text = path.read_text()
    assert "snakemake.config" not in text
    assert not {"snakemake", "yaml"} & {name.split(".")[0] for name in imported(path)}


@over_scripts
def test_scripts_import_nothing_heavy_before_the_stage_opens(path):
    """A reused result must not pay for torch: imports stand inside `with Stage`."""
    top = [n for n in tree(path).body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert {getattr(node, "module", None) for node in top} <= {"dalib.workflow.stage"}


@pytest.mark.parametrize("path", RULES, ids=ids(RULES))
def test_rules_hold_no_code_that_the_digest_would_not_see(path):
    if not path.exists():
        pytest.fail(f"{path.relative_to(ROOT)} is missing")
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        code = line.split("#")[0]
        where = f"{path.relative_to(ROOT)}:{number}"
        assert not re.match(r"\s*(run|shell|wrapper|notebook)\s*:", code), where
        assert not re.search(r"\blambda\b", code), where
        if path.name not in {"common.smk", "Snakefile"}:
            assert not re.match(r"\s*(def|for|while|import|from)\b", code), where


def test_every_script_is_named_by_exactly_one_rule():
    named = [
        name
        for path in RULES
        if path.exists()
        for name in re.findall(r'script:\s*"[./]*workflow_scripts/([\w./]+)"', path.read_text())
    ]
    assert sorted(named) == sorted(set(named))
    assert set(named) == {str(p.relative_to(ROOT / "workflow_scripts")) for p in SCRIPTS}
