"""What the Markdown files of the project show works as it stands there."""

import ast
import re

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from documents import FILES, ROOT, blocks, examples, headings, text

from dalib import arrays, io
from dalib.forecasters.base import TrainingData, fit_each

LINKS = [
    (file, link)
    for file in FILES
    for link in sorted(set(re.findall(r"\]\((?!https?://)([^)\s]+)\)", text(file))))
]
PLACEHOLDER = re.compile(r"[<{*]")  # papers/<paper>/claims.yaml


def observations_file(y):
    """observations.nc in the present folder, as the examples read it."""
    file = arrays.observations_dataset(y, torch.tensor([0.1]), seeds=[0], interval=0.1)
    io.write(file.isel(seed=0, drop=True), "observations.nc", title="observations")
    return {}


def cosine():
    time = 0.1 * torch.arange(1, 201, dtype=torch.float64)
    return observations_file(torch.cos(time)[None, :, None])


def pendulum():
    """Angles of a pendulum of rate 2, as (run, trajectory, time, obs)."""
    generator, (angle, speed), y = torch.Generator().manual_seed(2), torch.tensor([1.0, 0.0]), []
    for _ in range(200):
        speed = speed - 0.1 * 2.0 * angle.sin()
        angle = angle + 0.1 * speed
        y.append(angle + 0.1 * torch.randn(1, generator=generator))
    return {"observations": torch.stack(y)[None, None]}


def buoys():
    """A rotation, seen at irregular dates with correlated errors."""
    random = np.random.default_rng(1)
    hours = np.sort(random.choice(np.arange(1, 400), 150, replace=False))
    truth = np.stack([np.cos(0.1 * hours), np.sin(0.1 * hours)], -1)
    noise = random.standard_normal((150, 2)) @ np.linalg.cholesky([[0.04, 0.03], [0.03, 0.04]]).T
    times = np.datetime64("2026-01-01") + hours * np.timedelta64(1, "h")
    coords = {"time": times, "station": ["north", "south"]}
    return {"series": xr.DataArray(truth + noise, coords, ("time", "station")), "hours": hours}


GIVEN = {"buoys": buoys, "observations.nc": cosine, "pendulum": pendulum, None: dict}


def run(file):
    """The names after all marked examples of a file, one after the other."""
    names = {}
    for given, code in examples(file):
        names |= GIVEN[given]()
        exec(compile(code, file, "exec"), names)
    return names


def test_the_readme_is_short():
    assert len(text("README.md").splitlines()) <= 170


def test_the_example_of_the_readme_has_eight_lines_and_runs():
    ((_, code),) = examples("README.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 8
    names = run("README.md")
    time = 0.1 * torch.arange(51, 201)
    error = names["analyses"].mean[50:, 0] - torch.cos(time)
    assert error.square().mean().sqrt() < 0.1


@pytest.mark.parametrize("file", FILES)
def test_examples_are_python_of_at_most_fifteen_lines(file):
    for block in blocks(file, "python"):
        ast.parse(block)
        assert len([line for line in block.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("file", [file for file in FILES if "<!-- runs" in text(file)])
def test_every_mark_stands_before_an_example(file):
    assert len(re.findall(r"<!-- runs", text(file))) == len(examples(file))


def test_the_examples_of_the_library_run_and_find_what_is_true(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run("docs/library.md")
    written = xr.load_dataset("analyses.nc")
    assert written["mean"].dims == ("time", "state")
    assert written.state.values.tolist() == ["position", "speed"]
    error = (written["mean"].sel(state="position") - np.cos(written.time))[50:]
    assert (error**2).mean() ** 0.5 < 0.1
    found = names["buoys"]
    np.testing.assert_array_equal(found.mean.time, names["series"].time)
    error = found.mean[50:, 0] - np.cos(0.1 * names["hours"][50:])
    assert (error**2).mean() ** 0.5 < 0.1
    assert names["learned"].values["rate"].item() == pytest.approx(2.0, abs=0.05)


def test_the_examples_of_tuning_find_the_errors_and_reach_further():
    names = run("docs/tuning.md")
    assert names["tuned"].values["obs_std"].item() == pytest.approx(2.0, abs=0.5)
    assert names["reach"].values["radius"] > 3
    for found in (names["tuned"], names["reach"]):
        loss = found.history.loss[0]
        assert loss[-1] < loss[0]


def test_the_forecaster_of_the_examples_learns_its_rate():
    names = run("docs/extending.md")
    x = 3.0 + 2.0 * 0.9 ** torch.arange(50, dtype=torch.float64)[None, :, None]
    data = TrainingData(train=torch.cat((x, 6.0 - x)))  # on both sides of the mean
    made = fit_each(names["Relaxation"](), data, torch.Generator())[0]
    assert made.rate.item() == pytest.approx(0.9, rel=1e-12)
    assert made.forecast(x[:, :10], 5).squeeze().tolist() == pytest.approx(x[0, 10:15, 0].tolist())


def test_the_examples_write_a_series_that_diverges(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y = torch.zeros(1, 60, 1, dtype=torch.float64)
    y[:, 30:] = 1e12  # a broken sensor
    observations_file(y)
    names = {}
    for _, code in examples("docs/library.md")[:2]:
        exec(compile(code, "docs/library.md", "exec"), names)
    written = xr.load_dataset("analyses.nc")
    first = int(written.diverged_at)
    assert 30 <= first < 60 and written["mean"].isel(time=slice(first)).notnull().all()
    assert written["mean"].isel(time=slice(first, None)).isnull().all()


@pytest.mark.parametrize("file", FILES)
def test_the_examples_of_the_configuration_are_yaml(file):
    for block in blocks(file, "yaml"):
        assert yaml.safe_load(block)


@pytest.mark.parametrize("file", FILES)
def test_every_target_named_is_in_the_makefile(file):
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:`|^)make ([a-z][\w-]*)", text(file), re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_target_of_the_makefile_is_named():
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in set(targets) - {"all", "setup"}:
        assert f"make {target}" in text("README.md"), target


@pytest.mark.parametrize(("file", "link"), LINKS)
def test_every_link_leads_to_a_file(file, link):
    path, _, anchor = link.partition("#")
    target = (ROOT / file).parent / path if path else ROOT / file
    assert target.exists()
    if anchor:
        assert anchor in headings(target.resolve().relative_to(ROOT).as_posix())


@pytest.mark.parametrize("file", FILES)
def test_every_path_named_exists(file):
    """`dalib/registry.py` in running text; not those of results, nor of the reader's own files."""
    named = re.findall(
        r"`((?:dalib|pipeline|papers|rules|docs|tests|profiles)/[^`\s]*)`", text(file)
    )
    for path in named:
        assert PLACEHOLDER.search(path) or (ROOT / path).exists(), path
