"""Parts of this project, laid where a test may change them."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def configured(folder: Path) -> Path:
    """The configuration of all papers in `folder`, with the code that it names."""
    for name in ("config.yaml", "pipeline/reference.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    without = shutil.ignore_patterns("*.smk", "*.md", "tests", "__pycache__")
    shutil.copytree(ROOT / "papers", folder / "papers", ignore=without)
    (folder / "dalib").symlink_to(ROOT / "dalib")
    return folder
