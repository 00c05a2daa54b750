"""Parts of this project, laid where a test may change them."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def configured(folder: Path) -> Path:
    """The configuration of all papers in `folder`, with the code that it names."""
    for name in ("config.yaml", "pipeline/reference.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "papers", folder / "papers", ignore=_but_configuration)
    (folder / "dalib").symlink_to(ROOT / "dalib")
    return folder


def _but_configuration(folder: str, names: list[str]) -> set[str]:
    """Names of files that say nothing about the configuration: all code but `sections.py`."""
    without = {".py", ".smk", ".md"}
    kept = {"sections.py"}
    return {n for n in names if (Path(n).suffix in without and n not in kept) or n == "__pycache__"}
