"""Does the static closure of a job hold every function that the job really entered?"""

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FRAME = "pipeline."  # runs the stages, makes no numbers
AT_IMPORT = {"dalib.filters.errors:_through", "dalib.filters.errors:Observing"}  # of all filters
TRACING = Path(__file__).parent / "tracing"  # for PYTHONPATH, with DALIB_TRACE for the folder


def unforeseen(traces: Path, project: Path) -> Iterator[str]:
    """`stage output: module:function` for each function that a job's record does not foresee.

    A method counts as its class, a nested function as the function around it. Bodies of classes
    and of modules are no functions; what a dataclass generates has no place in a file.
    """
    for path in sorted(traces.glob("*.json")):
        trace = json.loads(path.read_text())
        record = json.loads((project / f"{trace['output']}.prov.json").read_text())
        for file, name, line in trace["entered"]:
            unit = _unit(Path(file), name, line)
            module = _module(Path(file), project)
            if module.startswith(FRAME) or module == "dalib" or f"{module}:{unit}" in AT_IMPORT:
                continue  # of the package itself: names that are looked up
            if unit and f"{module}:{unit}" not in record["units"]:
                yield f"{record['stage']} {trace['output']}: {module}:{name}"


def _module(file: Path, project: Path) -> str:
    parts = file.relative_to(project).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _unit(file: Path, name: str, line: int) -> str | None:
    """The unit in which the code called `name` begins on `line`; None if it is no function."""
    if name == "<module>":
        return None
    for node in _statements(file):
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        if not first <= line <= node.end_lineno:
            continue
        if isinstance(node, ast.ClassDef):
            return node.name if "." in name else None
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return node.name
        if isinstance(node, ast.Assign | ast.AnnAssign) and name.startswith("<lambda>"):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            return ast.unparse(target)
    return None


@cache
def _statements(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text()).body
