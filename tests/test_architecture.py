"""The arrows between the parts of the project, read from syntax trees; nothing is imported."""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import yaml

from dalib import registry
from pipeline import layout

ROOT = Path(__file__).parents[1]
DALIB = sorted((ROOT / "dalib").rglob("*.py"))
SCRIPTS = sorted((ROOT / "workflow_scripts").rglob("*.py"))
PIPELINE = sorted((ROOT / "pipeline").rglob("*.py"))
PAPERS = sorted(p for p in (ROOT / "papers").rglob("*.py") if "tests" not in p.parts)
NAMES = sorted({path.parts[len(ROOT.parts) + 1] for path in PAPERS})  # of the papers
RULES = list(layout.rules(ROOT))

LOOPS = {"resumable", "streams", "train"}
# A part is a module or subpackage of dalib; it may import itself and what stands here.
ARROWS = {
    "limits": set(),
    "registry": set(),
    "memory": set(),
    "streams": set(),
    "fingerprint": {"streams"},
    "resumable": {"fingerprint", "streams"},
    "fitted": set(),
    "points": set(),
    "systems": set(),
    "localise": set(),
    "metrics": {"registry"},  # of which the page of metrics is made
    "scores": set(),
    "plotting": set(),
    "tables": set(),
    "io": set(),
    "times": set(),
    "timing": set(),
    "integrate": {"streams"},
    "lyapunov": {"streams"},
    "simulate": {"integrate", "streams"},
    "observe": {"streams"},
    "nets": {"streams"},
    "train": {"resumable", "streams"},
    "replicates": {"fingerprint", "resumable", "streams", "train"},
    "diffusion": {"resumable", "streams"},
    "codecs": {"nets", "streams"},
    "maps": {"integrate", "nets", "streams", "systems"},
    "filters": {"localise", "resumable", "streams"},
    "smoothers": {"filters", "streams", "localise"},
    "inversion": {"filters", "localise", "streams"},
    "climatology": {"filters", "streams"},
    "forecasters": {"integrate", "resumable", "nets", "codecs", "replicates", "train", "streams"},
    "estimators": {"filters", "forecasters", "nets", "replicates", *LOOPS},
    "generators": {"diffusion", "forecasters", "nets", "replicates", *LOOPS},
    "learn": {"filters", "localise", "resumable", "smoothers", "train", "streams"},
    "arrays": {"filters", "times"},  # beliefs are what it labels
    "observations": {"filters", "observe", "times"},
    "assimilation": {"arrays", "filters", "io", "observations", "smoothers", "streams", "times"},
    "functions": {"streams"},
    "diagnostics": {"metrics", "plotting"},
    "era5": {"io"},
}
EVERYWHERE = {"limits"}  # may be imported by all parts
TO_PIPELINE = {"era5", "io", "memory", "metrics", "points", "registry"}
PLAIN = ("dalib.experiments.runs", "dalib.experiments.spec")  # for the pipeline too
PARTS_A_NAME_CAN_STAND_FOR = {
    "codecs",
    "diffusion",
    "estimators",
    "filters",
    "forecasters",
    "generators",
    "integrate",
    "learn",
    "localise",
    "maps",
    "metrics",
    "nets",
    "observe",
    "systems",
    "train",
}
ARROWS["build"] = PARTS_A_NAME_CAN_STAND_FOR | {
    *("arrays", "climatology", "registry", "simulate", "streams")
}
# What the stages do with sections of the configuration: they may use whatever build may.
ARROWS["cases"] = ARROWS["build"] | {
    *("build", "points", "resumable", "scores", "simulate"),
    *("era5",),  # truths may be those of a reanalysis
}
ARROWS["experiments"] = ARROWS["build"] | {
    *("build", "cases", "fingerprint", "fitted", "lyapunov", "resumable", "scores", "simulate"),
    "timing",
}

THIRD_PARTY_FORBIDDEN = {
    "": {"snakemake"},
    "filters": {"xarray", "netCDF4"},
    "smoothers": {"xarray", "netCDF4"},
    "systems": {"xarray", "netCDF4", "numpy"},
    "nets": {"xarray", "netCDF4"},
    "train": {"xarray", "netCDF4"},
    "metrics": {"torch", "netCDF4"},
    "diagnostics": {"torch", "netCDF4"},
    "plotting": {"torch", "netCDF4"},
    "tables": {"torch", "netCDF4"},
    "io": {"torch"},
    "registry": {"torch", "xarray", "numpy"},
}
NOT_IN_PIPELINE = {"torch", "matplotlib", "scipy"}
WITH_TORCH = {"checkpoint.py", "speed.py"}  # in jobs that have it, and in a process of its own
NOT_IN_PAPERS = {"netCDF4", "snakemake"}
NOT_IN_FIGURES = {"torch"}  # nor in tables: what is drawn was computed by a stage
IMPORTED_LATE = {("checkpoint.py", "torch")}  # by functions that only jobs with torch call
MOST_LINES = 34_500  # of dalib, the library of methods in it; a paper adds none
NAMED = (
    "cases",
    "filters",
    "estimators",
    "models",
    "forecasters",
    "generators",
    "codecs",
    "learning",
)
# Names of papers' cases and methods that are also words of the field, or sections of a case.
TERMS = {"attractor", "base", "basin", "equations", "free", "states", "taper"}
SECTIONS = {"stations"}
FILE_CALLS = set(
    "open savefig to_netcdf open_dataset load_dataset to_csv read_csv write_text read_text "
    "write_bytes read_bytes savetxt loadtxt".split()
)
NOT_IN_SCRIPTS = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.For, ast.While, ast.comprehension, ast.AugAssign, ast.Try),
)
RANDOM = {"Generator", "randn", "rand", "normal", "randint", "manual_seed"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def where(path: Path, node: ast.AST | None = None) -> str:
    return f"{path.relative_to(ROOT)}{f':{node.lineno}' if node else ''}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(name: str | Path) -> str:
    """`dalib.filters.ekf` -> `filters`."""
    name = module_name(name) if isinstance(name, Path) else name
    return (name.split(".") + [""])[1]


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


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def strings(path: Path) -> Iterator[str]:
    """Text constants other than docstrings."""
    nodes = list(ast.walk(tree(path)))
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                yield node.value


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, code without its comment) of a file of rules."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        yield f"{where(path)}:{number}", line.split("#")[0]


# -- dalib ---------------------------------------------------------------------------------------


def test_every_part_of_dalib_has_its_place_among_the_arrows():
    assert {part(path) for path in DALIB} - {""} <= ARROWS.keys()


def test_dalib_imports_only_along_the_arrows():
    assert [
        f"{where(path)} imports dalib.{other}"
        for path in DALIB
        for other in sorted({part(n) for n in imported(path) if n.split(".")[0] == "dalib"} - {""})
        if other not in ARROWS.get(part(path), set()) | {part(path), *EVERYWHERE}
    ] == []


def test_dalib_imports_no_forbidden_package():
    assert [
        f"{where(path)} imports {package}"
        for path in DALIB
        for package in sorted(packages(path))
        if package in THIRD_PARTY_FORBIDDEN[""] | THIRD_PARTY_FORBIDDEN.get(part(path), set())
        if (path.name, package) not in IMPORTED_LATE
    ] == []


def test_nothing_is_imported_from_scripts_or_tests():
    ours = [*DALIB, *PIPELINE, *PAPERS]
    assert [where(path) for path in ours if packages(path) & {"workflow_scripts", "tests"}] == []


def test_the_library_knows_neither_the_pipeline_nor_a_paper():
    assert [where(path) for path in DALIB if packages(path) & {"pipeline", "papers"}] == []


def test_the_pipeline_takes_of_the_library_only_what_needs_no_torch():
    assert [
        f"{where(path)} imports {name}"
        for path in PIPELINE
        for name in imported(path)
        if name.split(".")[0] == "papers"
        or (
            name.split(".")[0] == "dalib"
            and part(name) not in TO_PIPELINE
            and not name.startswith(PLAIN)
        )
        or (name.split(".")[0] in NOT_IN_PIPELINE and path.name not in WITH_TORCH)
    ] == []


def test_the_runs_of_studies_are_enumerated_without_any_package():
    paths = [ROOT / f"{name.replace('.', '/')}.py" for name in PLAIN]
    foreign = {"torch", "numpy", "xarray", "netCDF4", "scipy", "yaml"}
    assert [where(path) for path in paths if packages(path) & foreign] == []


def not_drawing(path: Path) -> set[str]:
    """What figures and tables do not import."""
    drawing = {"figures", "tables", "tables.py"} & set(path.parts)
    return NOT_IN_FIGURES if drawing else set()


def test_a_paper_imports_the_library_and_no_other_paper():
    assert [
        f"{where(path)} imports {name}"
        for path in PAPERS
        for name in imported(path)
        if name.split(".")[0] in NOT_IN_PAPERS | {"pipeline"} | not_drawing(path)
        or (name.startswith("papers.") and part(name) != part(path))
    ] == []


def names_in(paper: str) -> set[str]:
    """Cases and methods of a paper at any scale, and the paper itself."""
    files = [ROOT / layout.config_of(paper), *ROOT.glob(f"papers/{paper}/scales/*.yaml")]
    found = {paper}
    for section in (yaml.safe_load(file.read_text()) or {} for file in files):
        for collection in NAMED:
            found |= set(section.get(collection) or {})
        for part in ("learning", "studies"):
            for one in (section.get(part) or {}).values():
                found |= {
                    name for key in ("filters", "methods") for name in (one or {}).get(key, {})
                }
    return found


def naming(paths: Iterable[Path], names: set[str]) -> list[str]:
    """Where a text is or holds one of the names as a word of its own; no "package.module:name"."""
    one = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, sorted(names)))})(?!\w)")
    return [
        f"{where(path)}: {word!r} in {text[:80]!r}"
        for path in paths
        for text in strings(path)
        if not re.fullmatch(r"[\w.]+:\w+", text)
        for word in sorted(set(one.findall(text)))
    ]


def test_dalib_holds_no_paper():
    """Neither a paper's name nor one of its cases or methods."""
    of_papers = set().union(*(names_in(paper) for paper in layout.papers(ROOT)))
    kinds = set().union(*registry.REGISTRIES.values())
    assert naming(DALIB, of_papers - kinds - TERMS) == []


def test_the_pipeline_knows_no_system_and_no_filter():
    """Neither a kind of them nor a case or method of a paper."""
    of_papers = set().union(*(names_in(paper) for paper in layout.papers(ROOT)))
    kinds = {*registry.SYSTEMS, *registry.FILTERS}
    assert naming(PIPELINE, (of_papers | kinds) - TERMS - SECTIONS) == []


def test_dalib_stays_small(record_property):
    """Lines of each part; what only one paper wants belongs to that paper."""
    found = Counter()
    for path in DALIB:
        found[part(path) or "dalib"] += len(path.read_text().splitlines())
    shown = ", ".join(f"{name} {count}" for name, count in found.most_common())
    record_property("lines", shown)
    print(f"dalib: {found.total()} lines ({shown})")
    assert found.total() <= MOST_LINES, shown


def test_only_the_machinery_knows_the_configuration_files():
    assert [
        f"{where(path)}: {text}"
        for path in DALIB
        for text in strings(path)
        if re.search(r"config.*\.ya?ml", text)
    ] == []


def test_only_io_and_the_machinery_touch_files():
    assert [
        f"{where(path, node)}: {ast.unparse(node.func)}"
        for path in DALIB
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and part(path) != "io"
        if ast.unparse(node.func).split(".")[-1] in FILE_CALLS
        if not ast.unparse(node.func).startswith("io.")
    ] == []


def test_imports_have_no_stars_and_the_search_path_stays_as_it_is():
    assert [
        where(path)
        for path in DALIB
        if "sys.path" in path.read_text() or any(name.endswith("*") for name in imported(path))
    ] == []


def test_systems_draw_no_random_numbers():
    assert [
        where(path, node)
        for path in DALIB
        for node in ast.walk(tree(path))
        if part(path) == "systems" and isinstance(node, ast.Attribute) and node.attr in RANDOM
    ] == []


# -- scripts -------------------------------------------------------------------------------------


def test_scripts_open_call_and_write():
    """No definition, loop, formula or rescue in a script: those have their place in dalib."""
    assert [
        f"{where(path)}: {ast.unparse(node)}"
        for path in SCRIPTS
        for node in ast.walk(tree(path))
        if isinstance(node, NOT_IN_SCRIPTS)
        or (isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitOr))  # joins sections
    ] == []


def test_scripts_read_settings_from_their_spec_only():
    assert [
        where(path)
        for path in SCRIPTS
        if "snakemake.config" in path.read_text() or packages(path) & {"snakemake", "yaml"}
    ] == []


def test_scripts_import_nothing_heavy_before_the_stage_opens():
    """A reused result must not pay for torch: imports stand inside `with Stage`."""
    assert [
        where(path, node)
        for path in SCRIPTS
        for node in tree(path).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        if getattr(node, "module", None) != "pipeline.stage"
    ] == []


# -- rules ---------------------------------------------------------------------------------------


def test_rules_hold_no_code_that_the_digest_would_not_see():
    assert [
        place
        for path in RULES
        for place, code in lines(path)
        if re.match(r"\s*(run|shell|wrapper|notebook)\s*:", code)
    ] == []


def test_rules_hold_no_python_beyond_wiring():
    assert [
        place
        for path in RULES
        for place, code in lines(path)
        if path.name != "common.smk" and code.strip() != 'for paper in config["papers"]:'
        if re.match(r"\s*(def|for|while|class)\b", code) or re.search(r"\blambda\b", code)
    ] == []


def computing_rules() -> Iterator[tuple[str, str]]:
    """(name, body) of the rules that have a script."""
    for path in RULES:
        for name, body in re.findall(r"^rule (\w+):\n((?:[ ]{4}.*\n|\n)+)", path.read_text(), re.M):
            if "localrule: True" not in body:
                yield name, body


def test_every_rule_that_computes_says_all_that_is_asked_of_it():
    sections = "input output log benchmark threads resources params script".split()
    free = dict.fromkeys(("simulate", "simulate_data"), {"input"})  # the configuration alone
    assert len(list(computing_rules())) >= len(SCRIPTS)
    assert [
        f"{name}: {section}"
        for name, body in computing_rules()
        for section in set(sections) - free.get(name, set())
        if not re.search(rf"^    {section}:", body, re.M)
    ] == []


def test_every_rule_has_its_spec_as_only_param_and_states_memory_and_time():
    for name, body in computing_rules():
        params = re.search(r"^    params:\n((?: {8}.*\n)+)", body, re.M)[1]
        assert re.findall(r"^ {8}(\w+)=", params, re.M) == ["spec"], name
        resources = re.search(r"^    resources:\n((?: {8}.*\n)+)", body, re.M)[1]
        assert re.findall(r"^ {8}(\w+)=", resources, re.M)[:2] == ["mem_mb", "runtime"], name
        assert re.search(r'^    log:\n {8}"results/{scale}/logs/', body, re.M), name
        assert re.search(r'^    benchmark:\n {8}"results/{scale}/benchmarks/', body, re.M), name


def test_every_wildcard_of_a_rule_is_constrained():
    common = (ROOT / "rules/common.smk").read_text()
    block = re.search(r"^wildcard_constraints:\n((?: {4}.*\n)+)", common, re.M)[1]
    constrained = set(re.findall(r"^    (\w+)=", block, re.M)) | {"kind"}  # filled by expand
    for name, body in computing_rules():
        assert set(re.findall(r"{(\w+)}", body)) <= constrained, name


def test_both_profiles_agree_on_what_is_stale():
    keys = "rerun-triggers max-checksum-file-size rerun-incomplete keep-going show-failed-logs"
    default, slurm = (
        yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    )
    for key in keys.split():
        assert key in default and default[key] == slurm[key], key
    assert "default-resources" not in default.keys() | slurm.keys()  # a site's own, wholesale


def test_every_script_of_a_stage_is_named_by_one_rule_and_papers_draw_with_two():
    found = r'script:\s*"[./]*workflow_scripts/([\w./]+)"'
    named = {path: re.findall(found, path.read_text()) for path in RULES}
    papers = {name for path, names in named.items() if path.name == "rules.smk" for name in names}
    stages = [name for path, names in named.items() if path.name != "rules.smk" for name in names]
    assert papers == {"figure.py", "table.py"}
    assert sorted([*stages, *papers]) == [p.name for p in SCRIPTS]
