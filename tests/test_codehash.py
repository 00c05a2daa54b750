"""Each case is a small package with an edit that must and one that must not change the digest."""

import textwrap
from pathlib import Path

import pytest

from pipeline.codehash import closure, digest

ROOT = Path(__file__).parents[1]


class Project:
    """A project in a folder: a package `lab`, and one script."""

    def __init__(self, folder: Path, script: str, **modules: str):
        self.folder = folder
        self.write("scripts/stage.py", script)
        self.write("lab/__init__.py", "")
        for name, text in modules.items():
            path = name.replace("__init__", "/INIT").replace("__", "/").replace("INIT", "__init__")
            self.write(f"lab/{path}.py", text)

    def write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text).lstrip("\n"))

    def edit(self, module: str, old: str, new: str) -> None:
        path = self.folder / f"{module}.py"
        text = path.read_text()
        assert old in text, f"{old!r} is not in {module}"
        path.write_text(text.replace(old, new))

    def units(self, *roots: str, **options) -> dict[str, str]:
        return closure(self.folder / "scripts/stage.py", roots, root=self.folder, **options)

    def digest(self, *roots: str) -> str:
        return digest(self.units(*roots))


@pytest.fixture
def project(tmp_path):
    return lambda script, **modules: Project(tmp_path, script, **modules)


TWO = """
    def step(x):
        return x + 1

    def other(x):
        return x - 1
    """

# name: (script, modules, edit that counts, edit that does not); an edit is (file, old, new)
CASES = {
    "import": (
        "import lab.model\nlab.model.step(1)",
        {"model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "alias": (
        "import lab.model as m\nm.step(1)",
        {"model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "from import": (
        "from lab.model import step\nstep(1)",
        {"model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "from import of a module": (
        "from lab import model\nmodel.step(1)",
        {"model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "import exchanged for another thing of the same name": (
        "from lab.a import run\nrun(1)",
        {"a": "from lab.model import step as f\ndef run(x):\n    return f(x)\n", "model": TWO},
        ("lab/a", "import step as f", "import other as f"),
        ("lab/a", "from lab.model", "# comment\nfrom lab.model"),
    ),
    "two imports exchanged, both in use": (
        "from lab.a import run\nrun(1)",
        {
            "a": """
            from lab.model import step as f, other as g
            def run(x):
                return f(x) / g(x)
            """,
            "model": TWO,
        },
        ("lab/a", "step as f, other as g", "other as f, step as g"),
        ("lab/a", "step as f, other as g", "other as g, step as f"),
    ),
    "another name of a third-party package": (
        "from lab.a import run\nrun(1)",
        {"a": "from numpy import float32 as real\ndef run(x):\n    return real(x)\n"},
        ("lab/a", "float32", "float64"),
        ("lab/a", "return", "# in single precision\n    return"),
    ),
    "relative import": (
        "from lab.a import run\nrun(1)",
        {"a": "from .model import step\ndef run(x):\n    return step(x)\n", "model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "relative import from above": (
        "from lab.sub.a import run\nrun(1)",
        {
            "sub__init__": "",
            "sub__a": "from ..model import step\ndef run(x):\n    return step(x)\n",
            "model": TWO,
        },
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "re-export through a package": (
        "from lab.sub import step\nstep(1)",
        {"sub__init__": "from .model import other, step\n", "sub__model": TWO},
        ("lab/sub/model", "x + 1", "x + 2"),
        ("lab/sub/model", "x - 1", "x - 2"),
    ),
    "re-export of a function with the name of its module": (
        "from lab.sub import model\nmodel(1)",
        {
            "sub__init__": "from .model import model\n",
            "sub__model": "def model(x):\n    return x + 1\n\ndef other(x):\n    return x - 1\n",
        },
        ("lab/sub/model", "x + 1", "x + 2"),
        ("lab/sub/__init__", "from .model", "# a comment\nfrom .model"),
    ),
    "star import": (
        "from lab.a import step\nstep(1)",
        {"a": "from .model import *\n", "model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "attribute chain": (
        "import lab\nlab.sub.model.step(1)",
        {"sub__init__": "", "sub__model": TWO},
        ("lab/sub/model", "x + 1", "x + 2"),
        ("lab/sub/model", "x - 1", "x - 2"),
    ),
    "lazy import inside a function": (
        "from lab.a import run\nrun(1)",
        {"a": "def run(x):\n    from lab import model as m\n    return m.step(x)\n", "model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "lazy imports of two methods exchanged": (
        "from lab.a import A\nA()",
        {
            "a": """
            class A:
                def one(self):
                    from lab.model import step as f
                    f()
                def two(self):
                    from lab.model import other as f
                    f()
            """,
            "model": TWO,
        },
        (
            "lab/a",
            "step as f\n        f()\n    def two(self):\n        from lab.model import other",
            "other as f\n        f()\n    def two(self):\n        from lab.model import step",
        ),
        ("lab/a", "class A:", "class A:\n    '''Two of them.'''"),
    ),
    "lazy import inside the script": (
        "with Stage(snakemake):\n    from lab import model\n    model.step(1)",
        {"model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "decorator": (
        "from lab.a import run\nrun(1)",
        {"a": "from .model import step\n@step\ndef run(x):\n    return x\n", "model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "decorator that may register a function nobody names": (
        "from lab.a import KNOWN\nKNOWN",
        {
            "a": """
            KNOWN = {}
            def register(f):
                KNOWN[f.__name__] = f
                return f
            @register
            def run(x):
                return x + 1
            def other(x):
                return x - 1
            """
        },
        ("lab/a", "x + 1", "x + 2"),
        ("lab/a", "x - 1", "x - 2"),
    ),
    "harmless decorator": (
        "from lab.a import run\nrun(1)",
        {
            "a": """
            from dataclasses import dataclass
            def run(x):
                return x + 1
            @dataclass(frozen=True)
            class Other:
                size: int = 3
            """
        },
        ("lab/a", "x + 1", "x + 2"),
        ("lab/a", "= 3", "= 4"),
    ),
    "default argument": (
        "from lab.a import run\nrun()",
        {"a": "from . import model\ndef run(x=model.step):\n    return x\n", "model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "default argument computed when the module is imported": (
        "from lab.a import other\nother(1)",
        {
            "a": """
            def half(x):
                return x / 2
            def run(x=half(3)):
                return x
            def other(x):
                return x
            def unused(x):
                return x
            """
        },
        ("lab/a", "x / 2", "x / 3"),
        ("lab/a", "def unused(x):\n    return x", "def unused(x):\n    return -x"),
    ),
    "function handed to a call when the module is imported": (
        "from lab.a import other\nother(1)",
        {
            "a": """
            from functools import partial
            def half(x):
                return x / 2
            def third(x):
                return x / 3
            HALVES = list(map(half, range(3)))
            LATER = partial(third, 1)
            def other(x):
                return x
            """
        },
        ("lab/a", "x / 2", "x / 4"),
        ("lab/a", "x / 3", "x / 4"),
    ),
    "class attribute": (
        "from lab.a import A\nA()",
        {
            "a": """
            from .model import step
            class A:
                advance = staticmethod(step)
            """,
            "model": TWO,
        },
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "base class in another module": (
        "from lab.a import A\nA()",
        {
            "a": "from .base import Base\nclass A(Base):\n    pass\n",
            "base": """
            class Base:
                def step(self, x):
                    return x + 1
            class Other:
                def step(self, x):
                    return x - 1
            """,
        },
        ("lab/base", "x + 1", "x + 2"),
        ("lab/base", "x - 1", "x - 2"),
    ),
    "module constant": (
        "from lab.a import run\nrun(1)",
        {"a": "RATE = 0.1\nOTHER = 0.2\ndef run(x):\n    return RATE * x\n"},
        ("lab/a", "0.1", "0.3"),
        ("lab/a", "0.2", "0.3"),
    ),
    "constant built from another module's constant": (
        "from lab.a import RATE\nRATE",
        {"a": "from . import b\nRATE = 2 * b.UNIT\n", "b": "UNIT = 1\nOTHER = 2\n"},
        ("lab/b", "UNIT = 1", "UNIT = 3"),
        ("lab/b", "OTHER = 2", "OTHER = 3"),
    ),
    "constant assigned in two steps": (
        "from lab.a import NAMES\nNAMES",
        {"a": "NAMES = ['x']\nNAMES += ['y']\nOTHER = 1\n"},
        ("lab/a", "'y'", "'z'"),
        ("lab/a", "OTHER = 1", "OTHER = 2"),
    ),
    "name shadowed by a local": (
        "from lab.a import run\nrun(1)",
        {
            "a": """
            def step(x):
                return x + 1
            def other(x):
                return x - 1
            def run(x):
                other = 3
                return step(x) + other
            """
        },
        ("lab/a", "x + 1", "x + 2"),
        ("lab/a", "x - 1", "x - 2"),
    ),
    "name shadowed by an argument": (
        "from lab.a import run\nrun(1)",
        {
            "a": """
            def step(x):
                return x + 1
            def run(x, other=step):
                return other(x)
            def other(x):
                return x - 1
            """
        },
        ("lab/a", "x + 1", "x + 2"),
        ("lab/a", "x - 1", "x - 2"),
    ),
    "a comprehension's first iterable is read outside it": (
        "from lab.a import run\nrun(1)",
        {
            "a": """
            def step(x):
                return [x + 1]
            def other(x):
                return x - 1
            def run(x):
                return [step for step in step(x)] + [other for other in x]
            """
        },
        ("lab/a", "x + 1", "x + 2"),
        ("lab/a", "x - 1", "x - 2"),
    ),
    "a method does not see the names of its class": (
        "from lab.a import A\nA()",
        {
            "a": """
            def step(x):
                return x + 1
            def other(x):
                return x - 1
            class A:
                step = 3
                def run(self, x):
                    return step(x)
            """
        },
        ("lab/a", "x + 1", "x + 2"),
        ("lab/a", "x - 1", "x - 2"),
    ),
    "nested function": (
        "from lab.a import run\nrun(1)",
        {
            "a": """
            from . import model
            def run(x):
                def inner(y):
                    return model.step(y)
                return inner(x)
            """,
            "model": TWO,
        },
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "side statements of an imported module": (
        "import lab.a",
        {"a": "import warnings\nwarnings.simplefilter('error')\ndef other(x):\n    return x - 1\n"},
        ("lab/a", "'error'", "'ignore'"),
        ("lab/a", "x - 1", "x - 2"),
    ),
    "side statements of a package above": (
        "from lab.sub.a import step\nstep(1)",
        {"sub__init__": "for n in range(3):\n    print(n)\n", "sub__a": TWO},
        ("lab/sub/__init__", "range(3)", "range(4)"),
        ("lab/sub/a", "x - 1", "x - 2"),
    ),
    "function defined in a condition": (
        "from lab.a import step\nstep(1)",
        {
            "a": """
            try:
                from math import nothing
            except ImportError:
                def step(x):
                    return x + 1
            def other(x):
                return x - 1
            """
        },
        ("lab/a", "x + 1", "x + 2"),
        ("lab/a", "x - 1", "x - 2"),
    ),
    "module passed around": (
        "from lab import model\nuse(model)",
        {"model": "def step(x):\n    return x + 1\n"},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "def step", "# comment\ndef step"),
    ),
    "attribute of a module under a constant name": (
        "from lab import model\ngetattr(model, 'step')(1)",
        {"model": TWO},
        ("lab/model", "x + 1", "x + 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "attribute of a module under a computed name": (
        "from lab.a import run\nrun('step')",
        {"a": "from . import model\ndef run(n):\n    return getattr(model, n)\n", "model": TWO},
        ("lab/model", "x - 1", "x - 2"),
        ("lab/model", "def other", "\n\ndef other"),
    ),
    "attribute of an object under a computed name": (
        "from lab.a import run\nrun('step')",
        {
            "a": """
            def run(n):
                return getattr(object(), n)
            def other(x):
                return x - 1
            """,
            "model": TWO,
        },
        ("lab/a", "x - 1", "x - 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "importlib": (
        "from lab.a import run\nrun('step')",
        {
            "a": """
            from importlib import import_module
            def run(n):
                return import_module(n)
            def other(x):
                return x - 1
            """,
            "model": TWO,
        },
        ("lab/a", "x - 1", "x - 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "globals": (
        "from lab.a import run\nrun('step')",
        {
            "a": """
            def run(n):
                return globals()[n]
            def other(x):
                return x - 1
            """,
            "model": TWO,
        },
        ("lab/a", "x - 1", "x - 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "exec": (
        "from lab.a import run\nrun('step')",
        {
            "a": """
            def run(n):
                exec(n)
            def other(x):
                return x - 1
            """,
            "model": TWO,
        },
        ("lab/a", "x - 1", "x - 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "marker": (
        "from lab.a import run\nrun(1)",
        {
            "a": """
            # codehash: whole
            def run(x):
                return x
            def other(x):
                return x - 1
            """,
            "model": TWO,
        },
        ("lab/a", "x - 1", "x - 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "module that computes its attributes": (
        "from lab.a import anything\nanything(1)",
        {
            "a": """
            def __getattr__(name):
                return other
            def other(x):
                return x - 1
            """,
            "model": TWO,
        },
        ("lab/a", "x - 1", "x - 2"),
        ("lab/model", "x - 1", "x - 2"),
    ),
    "imports in a circle": (
        "from lab.a import run\nrun(1)",
        {
            "a": """
            from . import b
            def run(x):
                return b.back(x)
            def leaf(x):
                return x + 1
            def other(x):
                return x - 1
            """,
            "b": "from . import a\ndef back(x):\n    return a.leaf(x)\n",
        },
        ("lab/a", "x + 1", "x + 2"),
        ("lab/a", "x - 1", "x - 2"),
    ),
    "annotation of a dataclass counts, of a function's argument does not": (
        "from lab.a import A, run\nA(), run(1)",
        {
            "a": """
            from dataclasses import dataclass
            from .model import Field, Other
            @dataclass
            class A:
                size: Field
            def run(x: Other) -> Other:
                return x
            """,
            "model": "class Field:\n    size = 1\nclass Other:\n    size = 2\n",
        },
        ("lab/model", "size = 1", "size = 3"),
        ("lab/model", "size = 2", "size = 3"),
    ),
    "import for type checkers only": (
        "from lab.a import run\nrun(1)",
        {
            "a": """
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                from .model import step
            def run(x: "step"):
                return x + 1
            """,
            "model": "print('imported')\n" + textwrap.dedent(TWO),
        },
        ("lab/a", "x + 1", "x + 2"),
        ("lab/model", "'imported'", "'not imported'"),
    ),
    "registry": (
        "from lab.a import TABLES\nTABLES",
        {
            "a": """
            MODELS: dict[str, str] = {"step": "lab.model:step"}
            TABLES = {"model": MODELS}
            RATES = {"step": "0.1"}
            def rate():
                return RATES
            rate()
            """,
            "model": TWO,
        },
        ("lab/a", "0.1", "0.2"),
        ("lab/a", '"lab.model:step"', '"lab.model:step", "other": "lab.model:other"'),
    ),
    "a script that imports what lies beside it": (
        "import beside\nbeside.step(1)",
        {"../scripts/beside": TWO},
        ("scripts/beside", "x + 1", "x + 2"),
        ("scripts/beside", "x - 1", "x - 2"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_digest_changes_with_what_is_used_and_with_nothing_else(name, project):
    script, modules, counts, does_not_count = CASES[name]
    made = project(script, **modules)
    before = made.digest()
    made.edit(*does_not_count)
    assert made.digest() == before, "an edit that cannot matter changed the digest"

    made = project(script, **modules)
    made.edit(*counts)
    assert made.digest() != before, "an edit that matters left the digest as it was"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return x + 1", "return x + 1  # one more"),
        ("return x + 1", "return (\n        x\n        + 1\n    )"),
        ("def step(x):", 'def step(x):\n    """One more."""'),
        ("def other", "\n\n\ndef other"),
        ("def other", "def unused(x):\n    return 0\n\ndef other"),
    ],
    ids=["comment", "formatting", "docstring", "blank lines", "unused function"],
)
def test_form_does_not_count(old, new, project):
    made = project("from lab.model import step\nstep(1)", model=TWO)
    before = made.digest()
    made.edit("lab/model", old, new)
    assert made.digest() == before


def test_script_counts_as_a_whole_but_for_its_form(project):
    made = project('"""Do it."""\nprint(1)\n')
    assert list(made.units()) == ["scripts/stage.py:<script>"]
    before = made.digest()
    made.write("scripts/stage.py", '"""Do it twice."""\n\nprint(1)  # once\n')
    assert made.digest() == before
    made.write("scripts/stage.py", "print(2)\n")
    assert made.digest() != before


def test_number_kinds_differ(project):
    made = project("print(1)")
    found = set()
    for value in ("1", "1.0", "True", "'1'"):
        made.write("scripts/stage.py", f"print({value})")
        found.add(made.digest())
    assert len(found) == 4


def test_units_are_named_by_module_and_name(project):
    made = project(
        "from lab.model import A\nA()",
        model="import os\nos.umask(2)\nRATE = 1\nclass A:\n    rate = RATE\n",
    )
    assert list(made.units()) == [
        "lab.model:<module>",
        "lab.model:A",
        "lab.model:RATE",
        "scripts/stage.py:<script>",
    ]


def test_root_counts_with_all_it_uses_and_other_classes_do_not(project):
    made = project(
        "print(1)",
        model="""
        from .base import Base
        class A(Base):
            size = 1
        class B(Base):
            size = 2
        """,
        base="class Base:\n    size = 0\n",
    )
    assert "lab.base:Base" in made.units("lab.model:A")
    before = made.digest("lab.model:A")
    made.edit("lab/model", "size = 2", "size = 4")
    assert made.digest("lab.model:A") == before
    made.edit("lab/base", "size = 0", "size = 4")
    assert made.digest("lab.model:A") != before


def test_root_may_be_a_module_of_the_users_own(project):
    made = project("print(1)")
    made.write("my_lab/models.py", "class Mine:\n    size = 1\n")  # no __init__.py
    assert "my_lab.models:Mine" in made.units("my_lab.models:Mine")


def test_root_may_be_re_exported(project):
    made = project("print(1)", sub__init__="from .model import step\n", sub__model=TWO)
    assert "lab.sub.model:step" in made.units("lab.sub:step")


def test_installed_root_counts_by_its_version(project):
    import numpy

    assert project("print(1)").units("numpy.random:Generator")["numpy:<version>"] == (
        numpy.__version__
    )


@pytest.mark.parametrize(
    ("dotted", "message"),
    [
        ("lab.nowhere:A", "there is no module lab.nowhere"),
        ("lab.model:A", "module lab.model has no A"),
        ("no_such_package:A", "neither below the project's folder nor installed"),
    ],
)
def test_root_that_does_not_exist_is_an_error(dotted, message, project):
    with pytest.raises(ValueError, match=message):
        project("print(1)", model=TWO).units(dotted)


def test_data_files_of_a_module_count(project):
    made = project(
        "from lab.model import step\nstep(1)",
        model="CODEHASH_FILES = ['table.txt']\ndef step(x):\n    return x\n",
    )
    with pytest.raises(FileNotFoundError, match=r"names table\.txt, which is missing"):
        made.units()
    made.write("lab/table.txt", "1 2 3")
    before = made.digest()
    assert "lab.model:<file table.txt>" in made.units()
    made.write("lab/table.txt", "1 2 4")
    assert made.digest() != before


def test_versions_of_packages_count_only_if_asked(project):
    import numpy

    made = project("from lab.model import step\nstep(1)", model="import numpy\nimport os\n" + TWO)
    made.write("lab/model.py", "import numpy\nimport os\ndef step(x):\n    return numpy.abs(x)\n")
    assert not [name for name in made.units() if "<version>" in name]
    strict = made.units(strict_versions=True)
    assert strict["numpy:<version>"] == ".".join(numpy.__version__.split(".")[:2])
    assert [name for name in strict if "<version>" in name] == ["numpy:<version>"]


def test_builder_may_use_importlib(tmp_path):
    """What build.py imports is named by the configuration and comes in as a root."""
    made = Project(tmp_path, "from dalib.build import make\nmake(1)")
    made.write(
        "dalib/build.py",
        """
        import importlib
        def make(kind):
            return getattr(importlib.import_module(kind), kind)
        def other(x):
            return x - 1
        """,
    )
    made.write("dalib/__init__.py", "")
    before = made.digest()
    made.edit("dalib/build", "x - 1", "x - 2")
    assert made.digest() == before


def test_digest_does_not_depend_on_order():
    assert digest({"a:x": "1", "b:y": "2"}) == digest({"b:y": "2", "a:x": "1"})
    assert digest({"a:x": "1", "b:y": "2"}) != digest({"a:x": "2", "b:y": "1"})


@pytest.mark.parametrize(
    "script", sorted((ROOT / "workflow_scripts").rglob("*.py")), ids=lambda p: p.stem
)
def test_every_stage_has_a_closure_without_the_registry(script):
    units = closure(script, root=ROOT)
    assert not [name for name in units if name.startswith("dalib.registry:")]


def test_the_machinery_that_runs_the_stages_does_not_count():
    units = closure(ROOT / "workflow_scripts/simulate.py", root=ROOT)
    assert "dalib.simulate:simulate" in units
    assert not [name for name in units if name.startswith("pipeline.")]
