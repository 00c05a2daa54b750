"""The container recipes, as far as they can be checked without the tools that build them."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "containers/Dockerfile").read_text()
APPTAINER = (ROOT / "containers/dalib.def").read_text()
PYTHON = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]


def instructions() -> list[tuple[str, str]]:
    """(keyword, arguments) of each instruction, its lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def sections() -> dict[str, list[str]]:
    """Lines of each `%section`, and of the header under ""."""
    found: dict[str, list[str]] = {"": []}
    for line in APPTAINER.splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
            found[name] = []
        elif line.strip() and not line.startswith("#"):
            found[name if len(found) > 1 else ""].append(line.strip())
    return found


def copied() -> list[str]:
    """Files and folders of the project that the recipes copy."""
    docker = [word for key, rest in instructions() if key == "COPY" for word in rest.split()[:-1]]
    return sorted({*docker, *(line.split()[0] for line in sections()["files"])})


def test_the_dockerfile_has_instructions_that_docker_knows_and_starts_from_a_python():
    keywords = [keyword for keyword, _ in instructions()]
    assert set(keywords) <= {"FROM", "RUN", "WORKDIR", "COPY", "CMD"}
    assert keywords[0] == "FROM" and keywords.count("FROM") == 1 and keywords[-1] == "CMD"


def test_the_definition_has_a_header_and_sections_that_apptainer_knows():
    known = {"files", "post", "environment", "runscript", "test"}
    assert set(sections()) == {"", *known}
    assert dict(line.split(": ") for line in sections()[""]).keys() == {"Bootstrap", "From"}
    assert all(len(line.split()) == 2 for line in sections()["files"])
    for name in known - {"files"}:
        for line in sections()[name]:
            assert shlex.split(line), line


def test_both_start_from_the_oldest_python_that_is_supported():
    docker = dict(instructions())["FROM"]
    assert docker == dict(line.split(": ") for line in sections()[""])["From"]
    assert docker == f"python:{PYTHON}-slim"


@pytest.mark.parametrize("name", copied())
def test_what_they_copy_is_there(name):
    assert (ROOT / name).exists()


def test_they_install_the_pinned_versions_with_extras_that_exist():
    extras = re.search(
        r"optional-dependencies\]\n(.*?)\n\n", (ROOT / "pyproject.toml").read_text(), re.S
    )
    known = set(re.findall(r"^(\w+) =", extras[1], re.MULTILINE))
    runs = [rest for keyword, rest in instructions() if keyword == "RUN"] + sections()["post"]
    installs = [shlex.split(line) for line in runs if "pip install" in line]
    assert len(installs) == 2
    for words in installs:
        assert words[words.index("-c") + 1] == "constraints.txt"
        assert set(re.fullmatch(r"\.\[(.*)\]", words[-1])[1].split(",")) <= known


def test_what_the_dockerfile_needs_for_the_installation_comes_before_it():
    steps = instructions()
    install = next(i for i, (_, rest) in enumerate(steps) if "pip install" in rest)
    before = " ".join(rest for keyword, rest in steps[:install] if keyword == "COPY").split()
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "dalib"} <= set(before)
