"""docs/architecture.md tells of every folder, and of files and names that exist."""

import re

import pytest
from documents import NOT_OURS, ROOT, text

PAGE = text("docs/architecture.md")
TREE = re.findall(r"^\| `([^`]+)/` \|", PAGE, re.MULTILINE)
WALK = re.findall(r"^\| \d+ \| `([^`]+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
ONE_LINE = {"profiles"}  # what is below them stands in their line
PAPER = "papers/<paper>"


def folders():
    """Of the project, those of all papers by the same name."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith((".", "__")) or part.endswith(".egg-info") for part in parts)
        if hidden or NOT_OURS & set(parts) or not path.is_dir() or not any(path.iterdir()):
            continue
        if parts[0] in ONE_LINE and len(parts) > 1:
            continue
        yield re.sub(r"^papers/[^/]+", PAPER, "/".join(parts))


def test_every_folder_has_a_line_in_the_tree():
    assert set(folders()) - set(TREE) == set(), "give it a line in docs/architecture.md"


def test_every_folder_of_the_tree_exists():
    assert set(TREE) - set(folders()) == set(), "it is gone: take its line out"
    assert sorted(TREE) == TREE


@pytest.mark.parametrize(("file", "name"), WALK)
def test_the_walk_leads_through_names_that_exist(file, name):
    pattern = rf"^\s*(def|class|rule) {name}\b"
    assert re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_terms_of_the_glossary_are_in_order_and_unique():
    terms = re.findall(r"^\| ([^|]+) \| ", text("docs/glossary.md"), re.MULTILINE)[1:]
    plain = [re.sub(r"[`,]", "", term).lower() for term in terms]
    assert plain == sorted(plain) and len(set(plain)) == len(plain)
