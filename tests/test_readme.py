"""What the README shows works as it stands there."""

import re
from pathlib import Path

import pytest
import torch
import xarray as xr
import yaml

from dalib import arrays, io

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_example_has_at_most_fifteen_lines():
    assert len(blocks("python")) == 4
    for block in blocks("python"):
        assert len([line for line in block.splitlines() if line.strip()]) <= 15


def test_the_filter_examples_run_and_follow_what_is_observed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    time = 0.1 * torch.arange(1, 201, dtype=torch.float64)
    y = torch.cos(time)[None, :, None]
    file = arrays.observations_dataset(y, torch.tensor([0.1]), seeds=[0], interval=0.1)
    io.write(file.isel(seed=0, drop=True), "observations.nc", title="observations")

    names = {}
    for block in blocks("python")[:2]:
        exec(compile(block, "README.md", "exec"), names)
    error = names["analyses"].mean[50:, 0] - torch.cos(time)[50:]
    assert error.square().mean().sqrt() < 0.1
    written = xr.load_dataset("analyses.nc")
    assert written["mean"].dims == ("time", "state")
    assert written.state.values.tolist() == ["position", "speed"]


def test_the_learning_example_finds_the_rate_of_the_pendulum():
    names = {"torch": torch}
    block = blocks("python")[-1]
    generator, x, y = torch.Generator().manual_seed(2), torch.tensor([1.0, 0.0]), []
    exec(compile(block[: block.index("prior =")], "README.md", "exec"), names)
    for _ in range(200):
        x = names["step"](x, 2.0)
        y.append(x[:1] + 0.1 * torch.randn(1, generator=generator))
    names["observations"] = torch.stack(y)[None, None]
    exec(compile(block[block.index("prior =") :], "README.md", "exec"), names)
    assert names["learned"].values["rate"].item() == pytest.approx(2.0, abs=0.05)


def test_the_examples_of_the_configuration_are_yaml(tmp_path):
    for block in blocks("yaml"):
        assert yaml.safe_load(block)


def test_every_target_named_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([a-z][\w-]*)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)]+)\)", README))))
def test_every_link_leads_to_a_file(link):
    assert (ROOT / link).exists()


def test_the_examples_write_a_series_that_diverges(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y = torch.zeros(1, 60, 1, dtype=torch.float64)
    y[:, 30:] = 1e12  # a broken sensor
    file = arrays.observations_dataset(y, torch.tensor([0.1]), seeds=[0], interval=0.1)
    io.write(file.isel(seed=0, drop=True), "observations.nc", title="observations")
    names = {}
    for block in blocks("python")[:2]:
        exec(compile(block, "README.md", "exec"), names)
    written = xr.load_dataset("analyses.nc")
    first = int(written.diverged_at)
    assert 30 <= first < 60 and written["mean"].isel(time=slice(first)).notnull().all()
    assert written["mean"].isel(time=slice(first, None)).isnull().all()
