"""Where the files of the project lie: of all papers, and of each."""

from collections.abc import Iterator
from pathlib import Path

BASE = "config.yaml"
CONFIGURATION = "dalib.experiments.sections:Configuration"  # the class of its top
REFERENCE = "pipeline/reference.json"


def config_of(paper: str) -> str:
    return f"papers/{paper}/config.yaml"


def scale_of(paper: str, scale: str) -> str:
    return f"papers/{paper}/scales/{scale}.yaml"


def sections_of(paper: str) -> str:
    return f"papers/{paper}/sections.py"


def schema_of(paper: str) -> str:
    return f"papers/{paper}/schema.json"


def claims_of(paper: str) -> str:
    return f"papers/{paper}/claims.yaml"


def papers(root: Path) -> list[str]:
    """Papers that have a folder with a configuration."""
    return sorted(path.parent.name for path in root.glob(config_of("*")))


def captions(root: Path, paper: str) -> dict[str, Path]:
    """{figure or table: its caption}."""
    return {path.stem: path for path in sorted(root.glob(f"papers/{paper}/captions/*.rst"))}


def rules(root: Path) -> Iterator[Path]:
    """The Snakefile and all files of rules."""
    yield root / "Snakefile"
    yield from sorted([*root.glob("rules/**/*.smk"), *root.glob("papers/*/rules.smk")])
