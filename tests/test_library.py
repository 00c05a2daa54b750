"""`import dalib` is light, and everything has one name there."""

import importlib
import subprocess
import sys

import pytest

import dalib
from dalib import registry


def test_importing_dalib_imports_nothing_heavy():
    code = "import sys, dalib; dalib.__all__; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for package in ("torch", "numpy", "xarray", "scipy", "matplotlib", "dalib.filters"):
        assert f"'{package}'" not in done.stdout


@pytest.mark.parametrize("name", dalib.__all__)
def test_every_name_can_be_imported(name):
    assert getattr(dalib, name) is not None
    with pytest.raises(ModuleNotFoundError):  # a module of that name would hide it
        importlib.import_module(f"dalib.{name}")


def test_every_method_of_the_registry_is_exported():
    for table in (registry.FILTERS, getattr(registry, "SMOOTHERS", {}), registry.SYSTEMS):
        for dotted in table.values():
            module, name = dotted.split(":")
            assert getattr(dalib, name) is getattr(importlib.import_module(module), name)


def test_the_version_is_that_of_the_distribution():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert dalib.__version__ == project["project"]["version"]


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'dalib' has no attribute 'nothing'"):
        dalib.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from dalib import nothing  # noqa: F401
    assert "ETKF" in dir(dalib)
