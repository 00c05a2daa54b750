"""The tables of the READMEs that are made from the scorecard."""

import json
import re

import pytest
import yaml
from documents import ROOT, text

from pipeline import claims, page, readme

CONFIG = {"scale": "quick", "one": {"authors": "A. B", "title": "Of *x*|y", "cases": {}}}
TWO = CONFIG | {"two": {"title": "Other", "cases": {}}}


def row(verdict="reproduced", **fields):
    return {
        "id": "A-1",
        "paper": "one",
        "statement": "E[x|y] is small, <really>",
        "published": 0.2,
        "measured": {"moving": 0.1, "RMSE | all": 0.35, "share": 0.1, "extra": 7.0},
        "interval": {"RMSE | all": [0.3, 0.39], "share": None},
        "criterion": {"moving": "≤ 0.2", "RMSE | all": "< 0.4", "share": "within 0 to 1"},
        "nulls": {"RMSE | all": {"persistence": 8.1}},
        "straddles": [],
        "verdict": verdict,
        "reason": "something; else",
    } | fields


@pytest.fixture
def project(tmp_path):
    (tmp_path / "README.md").write_text(
        "# P\n\n<!-- papers: begin -->\nold\n<!-- papers: end -->\nafter\n"
    )
    for paper in ("one", "two"):
        folder = tmp_path / "papers" / paper
        folder.mkdir(parents=True)
        (folder / "README.md").write_text(
            "before\n<!-- claims: begin -->\n<!-- claims: end -->\nafter\n"
        )
    claim = {"id": "A-1", "decided_from": "quick", "conditions": [{"name": "moving"}], "checks": []}
    (tmp_path / "papers/one/claims.yaml").write_text(yaml.safe_dump([claim]))
    return tmp_path


def write(project, *rows, config=CONFIG):
    (project / "results/quick").mkdir(parents=True, exist_ok=True)
    (project / "results/quick/scorecard.json").write_text(json.dumps(rows))
    return readme.main(project, config)


def lines(project, paper="one"):
    written = (project / "papers" / paper / "README.md").read_text()
    return [line for line in written.splitlines() if line.startswith("| A-")]


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_claim_is_one_line_with_the_number_that_decides_it(project):
    assert write(project, row()) == 0
    (line,) = lines(project)
    assert cells(line) == [
        "A-1",
        r"E[x\|y] is small, &lt;really>",
        r"RMSE \| all",
        "0.35 [0.3, 0.39]",
        "< 0.4",
        "0.2",
        "**reproduced**",
    ]


def test_every_check_is_folded_away(project):
    write(project, row())
    text = (project / "papers/one/README.md").read_text()
    folded = text[text.index("<details>\n<summary>") : text.index("</details>")]
    assert r"| condition | moving | 0.1 | ≤ 0.2 |  |" in folded
    assert r"|  | RMSE \| all | 0.35 [0.3, 0.39] | < 0.4 | persistence 8.1 |" in folded
    assert "| note | extra | 7 |  |  |" in folded
    assert text.startswith("before\n") and text.endswith("<!-- claims: end -->\nafter\n")


def test_papers_are_counted_in_the_readme(project):
    write(project, row(), row("not reproduced", id="A-2"), row(id="A-3"), config=TWO)
    table = (project / "README.md").read_text()
    assert r"| [**one**](papers/one/README.md): A. B, *Of *x*\|y* | 3 | 2 | 0 | 1 | 0 |" in table
    assert "| [**two**](papers/two/README.md): *Other* | – | – | – | – | – |" in table
    assert "old" not in table and table.endswith("<!-- papers: end -->\nafter\n")


def test_writing_twice_changes_nothing(project, capsys):
    write(project, row())
    files = [project / "README.md", project / "papers/one/README.md"]
    first = [(path.read_text(), path.stat().st_mtime_ns) for path in files]
    capsys.readouterr()
    assert write(project, row()) == 0
    assert [(path.read_text(), path.stat().st_mtime_ns) for path in files] == first
    assert capsys.readouterr().out == ""


def test_of_failed_checks_the_one_that_misses_by_most_decides(project):
    measured = {"moving": 0.1, "RMSE | all": 0.8, "share": 0.1, "extra": 7.0}
    criterion = {"RMSE | all": "< 0.4", "share": "≥ 0.5"}
    write(project, row("not reproduced", measured=measured, criterion=criterion))
    assert cells(lines(project)[0])[2:5] == ["share", "0.1", "≥ 0.5"]


def test_a_number_that_is_not_finite_misses_by_most(project):
    measured = {"RMSE | all": 0.8, "share": None}
    write(project, row("not reproduced", measured=measured, interval={}))
    assert cells(lines(project)[0])[2:4] == ["share", "-"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"measured": {"moving": 0.5}}, "condition not met: moving"),
        (
            {"nulls": {"RMSE | all": {"a | b": 0.3}}},
            r"a \| b has 0.3 and passes too: RMSE \| all",
        ),
        ({}, "something"),
    ],
)
def test_an_open_claim_says_what_it_waits_for(project, fields, said):
    write(project, row("not decidable at this scale", **fields))
    assert cells(lines(project)[0])[2] == said


def test_a_claim_of_a_larger_scale_says_which(project):
    waiting = [{"id": "A-1", "decided_from": "desk"}]
    (project / "papers/one/claims.yaml").write_text(yaml.safe_dump(waiting))
    write(project, row("not decidable at this scale"))
    assert cells(lines(project)[0])[2:5] == ["decided from scale desk on", "–", "–"]


def test_a_time_that_decides_nothing_is_not_shown_as_deciding(project):
    claim = {"id": "A-1", "decided_from": "quick"}
    claim["checks"] = [{"name": "share", "timing": True}, {"name": "RMSE | all"}]
    (project / "papers/one/claims.yaml").write_text(yaml.safe_dump([claim]))
    write(project, row("reproduced in part", criterion={"share": "< 0.1001", "RMSE | all": "< 4"}))
    assert cells(lines(project)[0])[2] == r"RMSE \| all"


def test_a_paper_that_nobody_knows_is_named_and_nothing_is_written(project, capsys):
    before = (project / "README.md").read_text()
    assert write(project, row(), row(paper="other")) == 1
    said = capsys.readouterr().err
    assert "claims of 'other', which is no paper of config.yaml; known: one" in said
    assert (project / "README.md").read_text() == before and lines(project) == []


def test_missing_markers_are_named_in_all_files_at_once(project, capsys):
    (project / "README.md").write_text("no table here\n")
    (project / "papers/one/README.md").write_text("<!-- claims: end --><!-- claims: begin -->")
    assert write(project, row()) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "README.md: expected <!-- papers: begin --> once" in first and "found 0 and 0" in first
    assert "papers/one/README.md: expected" in second and "put both where" in second


def test_without_a_page_or_a_scorecard_the_message_says_what_to_do(project, capsys):
    assert readme.main(project, CONFIG) == 1
    assert "there is no scorecard; make it with: make SCALE=quick" in capsys.readouterr().err
    (project / "papers/one/README.md").unlink()
    assert write(project, row()) == 1
    assert "papers/one/README.md: missing; write it, with" in capsys.readouterr().err


def test_the_verdicts_and_scales_are_those_of_the_judge():
    assert tuple(page.VERDICTS) == claims.VERDICTS
    assert readme.SCALES == claims.SCALES
    assert readme.COMPARE.keys() == {claims.SYMBOLS.get(o, o) for o in claims.OPERATORS}


@pytest.mark.parametrize("file", sorted(ROOT.glob("papers/*/claims.yaml")), ids=str)
def test_the_page_of_every_paper_has_a_line_for_each_claim(file):
    known = [claim["id"] for claim in yaml.safe_load(file.read_text())]
    shown = text(f"papers/{file.parent.name}/README.md")
    begin, end = shown.index("<!-- claims: begin -->"), shown.index("<!-- claims: end -->")
    assert re.findall(r"^\| ([A-Z]+-\d+) \|", shown[begin:end], re.MULTILINE) == known
