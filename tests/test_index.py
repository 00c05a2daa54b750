"""The index: one page from whatever exists."""

import base64
import json
import os
import re

import pytest

from pipeline import index, scorecard

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCORES = [
    {
        "id": "A-1",
        "paper": "one",
        "statement": "filters follow <the> truth",
        "published": 0.2,
        "measured": {"RMSE": 0.21345, "W1": None, "MAE": 2.0},
        "interval": {"RMSE": [0.1, 0.3], "W1": None, "MAE": [1.0, None]},
        "criterion": {"RMSE": "< 0.4"},
        "threshold_from": {"RMSE": "a prototype"},
        "nulls": {"RMSE": {"persistence": 8.1}},
        "straddles": ["RMSE"],
        "verdict": "reproduced",
        "reason": "RMSE: 0.213 < 0.4 holds",
        "evidence": ["base/analyses: rmse"],
    }
]


def record(root, stage, outputs, inputs=None, seconds=1.5, **wildcards):
    entry = {
        "stage": stage,
        "wildcards": {"scale": "quick"} | wildcards,
        "spec": {"code": "abc", "config": {"case": {"dt": 0.01}}},
        "units": {},
        "inputs": {"data": dict.fromkeys(inputs or [], "hash")},
        "outputs": dict.fromkeys(outputs, {}),
        "versions": {"numpy": "2.0"},
        "python": "3.11",
        "host": "h",
        "commit": "0123456789abcdef",
        "dirty": False,
        "started": "2026-01-01T00:00:00+0000",
        "seconds": seconds,
        "status": "computed",
    }
    for output in outputs:
        path = root / f"{output}.prov.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entry))


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project with one figure and one table made, one figure announced and missing."""
    monkeypatch.setenv("DALIB_CACHE", ".cache")
    folder = tmp_path / "results" / "quick" / "one"
    for name in ("figures", "tables"):
        (folder / name).mkdir(parents=True)
    captions = tmp_path / "papers" / "one" / "captions"
    captions.mkdir(parents=True)
    (captions / "fig1.rst").write_text("A line & a dot.")
    (captions / "fig2.rst").write_text("Not made.")
    (tmp_path / "config.yaml").write_text("one: {title: 'Of <lines>', authors: A, cases: {}}\n")
    for kind, content in {"png": PNG, "pdf": b"%PDF", "nc": b"CDF"}.items():
        (folder / "figures" / f"fig1.{kind}").write_bytes(content)
    (folder / "tables" / "table1.md").write_text(
        "| name | n |\n| --- | ---: |\n| a<b | 2 |\n\nn: how many.\n"
    )
    (folder / "tables" / "table1.csv").write_text("name,n\na<b,2\n")
    (folder / "scorecard.json").write_text(json.dumps(SCORES))
    truth, picture = "results/quick/one/c/truth.nc", "results/quick/one/figures/fig1.png"
    record(tmp_path, "simulate", [truth], seconds=7.0, paper="one", case="c")
    record(tmp_path, "one_fig1", [picture, picture.replace("png", "pdf")], [truth])
    return tmp_path


def page(root):
    index.main(root, "quick")
    return (root / "results/quick/index.html").read_text()


def test_the_page_shows_what_exists_and_names_what_is_missing(root):
    text = page(root)
    assert base64.b64encode(PNG).decode() in text
    assert 'href="one/figures/fig1.pdf"' in text and 'href="one/figures/fig1.nc"' in text
    assert "A line &amp; a dot." in text and "Of &lt;lines&gt;" in text
    assert "<td>a&lt;b</td><td class=num>2</td>" in text and "n: how many." in text
    assert "one/fig2</b> is missing" in text


def test_the_page_needs_nothing_beside_itself(root):
    text = page(root)
    assert not re.search(r"(src|href)=\"?(https?:)?//", text)
    assert "<script" not in text and "<link" not in text and "@import" not in text
    for link in re.findall(r'href="([^"]+)"', text):
        assert (root / "results/quick" / link).exists(), link


def test_claims_stand_beside_the_published_numbers(root):
    text = page(root)
    row = text[text.index('id="A-1"') :]
    assert "filters follow &lt;the&gt; truth" in row
    assert "<td>0.2</td>" in row and "<b>0.213</b>" in row and "[0.1, 0.3]" in row
    assert 'class="verdict good">reproduced' in row
    asked = "(&lt; 0.4; persistence 8.1; the interval straddles the threshold)"
    assert asked in row and "Threshold of RMSE: a prototype" in row
    assert "[1, ∞]</span> MAE" in row and "<b>–</b> W1" in row


def test_the_scorecard_as_text_says_the_same():
    text = list(scorecard.table(SCORES))[2]
    assert "RMSE 0.213 [0.1, 0.3] (< 0.4; persistence 8.1; the interval straddles" in text
    assert "W1 -; MAE 2 [1, ∞]" in text


def test_a_scorecard_of_an_earlier_version_is_shown_without_intervals(root):
    later = {"interval", "threshold_from", "nulls", "straddles"}
    old = {key: value for key, value in SCORES[0].items() if key not in later}
    (root / "results/quick/one/scorecard.json").write_text(json.dumps([old]))
    assert "<b>0.213</b> RMSE" in page(root)


def test_scorecards_of_all_papers_are_merged(root):
    other = root / "results/quick/another"
    (other / "figures").mkdir(parents=True)
    (other / "scorecard.json").write_text(json.dumps([SCORES[0] | {"paper": "another"}]))
    page(root)
    merged = json.loads((root / "results/quick/scorecard.json").read_text())
    assert [row["paper"] for row in merged] == ["one", "another"]


def test_how_an_artefact_was_made_is_told_step_by_step(root):
    text = page(root)
    made = text[text.index("how it was made") :]
    assert made.index("one_fig1") < made.index("simulate one/c")
    assert "&quot;dt&quot;: 0.01" in made and "0123456789" in made
    assert "7.0 s" in text  # the stage's own time


def test_failed_jobs_are_listed_until_their_results_are_there(root):
    log = root / "results/quick/logs/figures/one_fig2.log"
    log.parent.mkdir(parents=True)
    log.write_text("first\nmemory ran out <here>\n")
    run = root / ".cache/runs/1.jsonl"
    run.parent.mkdir(parents=True)
    job = {
        "stage": "one_fig2",
        "job": "one_fig2",
        "status": "failed",
        "why": "no memory",
        "log": "results/quick/logs/figures/one_fig2.log",
        "outputs": ["results/quick/one/figures/fig2.png"],
        "seconds": 1,
    }
    run.write_text(json.dumps(job) + "\n")
    text = page(root)
    assert "one_fig2</b> failed: no memory" in text
    assert "memory ran out &lt;here&gt;" in text
    (root / "results/quick/one/figures/fig2.png").write_bytes(PNG)
    assert "failed: no memory" not in page(root)


def test_nothing_is_written_when_nothing_has_changed(root):
    page(root)
    path = root / "results/quick/index.html"
    first = path.stat().st_mtime_ns
    page(root)
    assert path.stat().st_mtime_ns == first
    os.utime(root / "results/quick/one/figures/fig1.png", ns=(1, 1))
    page(root)
    assert path.stat().st_mtime_ns > first


def test_a_result_that_is_gone_changes_the_page(root):
    page(root)
    (root / "results/quick/one/figures/fig1.png").unlink()
    assert "one/fig1</b> is missing" in page(root)


def test_half_a_record_does_not_stop_the_page(root):
    (root / "results/quick/one/figures/fig1.pdf.prov.json").write_text('{"stage": ')
    assert "how it was made" in page(root)


def test_without_results_nothing_happens(tmp_path):
    index.main(tmp_path, "quick")
    assert not list(tmp_path.iterdir())


def test_names_are_in_the_order_a_reader_expects():
    names = ["fig10", "figS1", "fig2b", "fig2a", "timing_table1", "table_filters", "table1"]
    assert sorted(names, key=index.natural) == [
        "fig2a", "fig2b", "fig10", "table1", "figS1", "table_filters", "timing_table1",
    ]  # fmt: skip


def set_content(root, output, **changes):
    path = root / f"{output}.prov.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_note_stands_before_the_figures_with_its_headings_and_lists(root):
    note = (
        "# Of <it>\n\nOne `word`,\n**bold**.\n\n## More\n\n- first\n  line\n- second\n\n- third\n"
    )
    (root / "results/quick/one/tables/story.md").write_text(note)
    (root / "papers/one/captions/story.rst").write_text("What it shows.")
    text = page(root)
    assert "<h3>Of &lt;it&gt;</h3><p>One <code>word</code>,\n<b>bold</b>.</p><h4>More</h4>" in text
    assert "<ul><li>first\n  line</li><li>second</li><li>third</li></ul>" in text
    assert text.index('id="one-story"') < text.index('id="one-fig1"')
    assert "<b>Story.</b> What it shows." in text and 'href="one/tables/story.md"' in text


def test_a_note_that_is_missing_is_named(root):
    (root / "papers/one/captions/story.rst").write_text("What it shows.")
    assert "one/story</b> is missing" in page(root)


def test_a_table_may_have_empty_cells(root):
    table = "|  | a | b |\n| --- | --- | --- |\n| x |  | 1 |\n| y | 2 |  |\n"
    (root / "results/quick/one/tables/table2.md").write_text(table)
    text = page(root)
    assert "<tr><th></th><th>a</th><th>b</th></tr><tr><td>x</td><td></td><td>1</td></tr>" in text
    assert "<tr><td>y</td><td>2</td><td></td></tr>" in text


def test_what_is_older_than_its_inputs_says_so(root):
    truth = "results/quick/one/c/truth.nc"
    set_content(root, truth, outputs={truth: {"content": "hash"}})
    assert "Not up to date" not in page(root)
    set_content(root, truth, outputs={truth: {"content": "another"}})
    text = page(root)
    assert "Not up to date" in text and f"<code>{truth}</code> has changed since" in text


def test_what_a_failed_job_leaves_old_says_so(root):
    truth = "results/quick/one/c/truth.nc"
    run = root / ".cache/runs/1.jsonl"
    run.parent.mkdir(parents=True)
    job = {"job": "simulate one/c", "status": "failed", "why": "no", "log": "", "outputs": [truth]}
    run.write_text(json.dumps(job) + "\n")
    assert f"<code>{truth}</code> could not be made again" in page(root)
    (root / truth).write_bytes(b"CDF")
    assert "Not up to date" not in page(root)
