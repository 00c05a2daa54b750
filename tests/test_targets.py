"""Names that there are not: what there is, and what was probably meant."""

import io as streams
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dalib import io
from dalib import tables as text
from pipeline import __main__, page, scorecard, settings, targets
from pipeline.errors import ConfigError

ROOT = Path(__file__).parents[1]
FIGURES = "results/smoke/dkf/figures"


@pytest.fixture(scope="module")
def config():
    return settings.load(ROOT, {"scale": "smoke"})


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (f"{FIGURES}/fig99.pdf", 'unknown figure or table of dkf "fig99" (did you mean "fig'),
        (f"{FIGURES}/fg1.pdf", '(did you mean "fig1"?); there are: fig1, fig2a, '),
        ("results/smoke/dfk/figures/fig1.pdf", 'unknown paper "dfk" (did you mean "dkf"?)'),
        ("results/smoke/./figures/fig1.pdf", "figure fig1: the name lacks its paper"),
        ("results/smoke/figures/fig1.pdf", "A figure is named like "),
        (
            "dfk",
            'unknown paper "dfk" (did you mean "dkf"?); '
            "there are: adda, benchmark, dkf, gpt, lensf",
        ),
    ],
)
def test_a_name_that_there_is_not_comes_with_the_nearest_and_all_others(config, target, said):
    with pytest.raises(ConfigError) as error:
        targets.check(ROOT, config, [target])
    assert said in str(error.value)


def test_every_name_that_there_is_passes(config):
    captions = (path.relative_to(ROOT).parts for path in ROOT.glob("papers/*/captions/*.rst"))
    files = [f"results/smoke/{p}/figures/{Path(name).stem}.pdf" for _, p, _, name in captions]
    other = ["results/smoke/dkf/clean/observations_test.nc", "README.md", "all", "judge"]
    targets.check(ROOT, config, [*files, *other, *targets.papers(config)])


def test_figures_of_a_paper_of_ones_own_need_no_caption(config):
    mine = config | {"mine": config["dkf"]}
    targets.check(ROOT, mine, ["results/smoke/mine/figures/fig7.pdf", "mine"])


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        ("dkf/figures/fig1.pdf", "dkf/figures/fig1.pdf"),
        ("adda/figures/fig2.pdf", "adda/figures/fig2.pdf"),
        ("adda/figures/table1.pdf", "adda/tables/table1.md"),
        ("dkf/figures/timing_table1.pdf", "dkf/tables/timing_table1.md"),
        ("gpt/figures/story.pdf", "gpt/tables/story.md"),
        ("lensf/figures/animation.pdf", "lensf/figures/animation.gif"),
        ("dkf/clean/truth_test.nc", "dkf/clean/truth_test.nc"),
    ],
)
def test_a_table_can_be_asked_for_like_a_figure(asked, file):
    assert targets.meant(ROOT, f"results/smoke/{asked}") == f"results/smoke/{file}"


def test_targets_stand_before_options():
    words = ["dkf", "results/a.nc", "--cores", "2", "dkf/fig1"]
    assert list(targets.of_command(words)) == ["dkf", "results/a.nc"]
    assert targets.files(["--cores", "2", f"{FIGURES}/fig1.pdf", "dkf"]) == [f"{FIGURES}/fig1.pdf"]


def test_a_wrong_name_ends_a_run_before_it_starts(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("something was started"))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something was started"))
    monkeypatch.setenv("DALIB_CACHE", os.environ.get("DALIB_CACHE", ".cache/stages"))
    for verb in ("run", "plan"):
        assert __main__.main([verb, "dfk", "--config", "scale=smoke"]) == 1
        assert 'did you mean "dkf"' in capsys.readouterr().err


# -- terminals and tables ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_terminal_in_ascii_shows_the_list(environment):
    command = [sys.executable, "-m", "pipeline", "list"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHONIO")}
    done = subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"?" in done.stdout and done.stdout.isascii()


def test_a_stream_without_a_letter_shows_a_question_mark():
    stream = streams.TextIOWrapper(streams.BytesIO(), encoding="ascii")
    io.print_anything(stream)
    stream.write("Hénon")
    stream.flush()
    assert stream.buffer.getvalue() == b"H?non"
    io.print_anything(streams.StringIO())  # no file behind it: nothing to set


def test_texts_are_read_and_written_in_one_encoding():
    """Whatever the locale: no default encoding anywhere in dalib."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "dalib").rglob("*.py"))
    assert ".read_text()" not in code


def test_a_label_with_a_bar_stays_in_its_cell():
    rows = [{"method": "EnKF | local", "rmse": 0.5}, {"method": "P(x|y)\nline", "rmse": 1.0}]
    table = text.markdown(rows)
    assert [line.replace(r"\|", "").count("|") for line in table.splitlines()] == [3, 3, 3, 3]
    html = page.from_markdown(table)
    assert "<td>EnKF | local</td>" in html and "<td>P(x|y) line</td>" in html
    row = {"id": "A-1", "statement": "E[x|y] holds", "verdict": "reproduced"}
    row |= {"measured": {"a|b": 1.0}, "spread": {"a|b": [1.0]}, "criterion": {}}
    line = list(scorecard.table([row]))[-1]
    assert r"E[x\|y]" in line and line.replace(r"\|", "").count("|") == 5
