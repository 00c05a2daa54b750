"""A segment of the paper's size: 200 sites, 25 members, 20 cycles, 8 trajectories, the network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import settings

ROOT = Path(__file__).parents[3]

LEARN = """
import json, resource, sys
from pathlib import Path
import torch
from dalib.cases import observed, truth
from papers.adda import learning
from pipeline import settings

torch.set_num_threads(1)
paper = settings.load(Path(sys.argv[1]), {"scale": "paper"})["adda"]
case, section = paper["cases"]["l96"], paper["learning"]["l96"]
segment = section["training"]["segment"]
case["truth"] |= {"spinup": 5.0, "train": {"seeds": 8, "samples": 2 * segment}}
section |= {"learned": {"enkf": section["learned"]["enkf"]}, "sweeps": {}, "grids": {}, "jobs": 1}
section["base"] |= {"observed": 1.0}
section["training"] |= {"repeats": 1, "epochs": 1}

class Kept:  # the state after each update
    def __init__(self, states):
        self.states = states
    def save(self, state):
        torch.save(state(), self.states / f"{len(list(self.states.glob('*')))}.pt")
    def load(self):
        return None

x = truth.truth(case, "train", "paper")
y = observed.observations(case, x, "train", "paper")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sections = {"case": case, "model": section}
states = Path(sys.argv[2])
given = dict(batch={"index": 0}, experiment="paper/l96", device="cpu")
weights, history = learning.learned(sections, y, y, checkpoint=Kept(states), **given)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

class First(Kept):
    def save(self, state):
        pass
    def load(self):
        return torch.load(self.states / "0.pt", weights_only=True)

again, _ = learning.learned(sections, y, y, checkpoint=First(states), **given)
names = [name for name in weights if name.startswith("map.network")]
print(json.dumps({
    "updates": len(list(states.glob("*"))),
    "weights": sum(weights[name].isel(run=0, repeat=0).size for name in names),
    "loss": float(history.loss[0, 0, 0]),
    "size": y.sizes["obs"],
    "gigabytes": (peak - before) / 1024**2,
    "resumed": weights.identical(again),
}))
"""


@pytest.mark.slow
def test_two_updates_of_the_papers_size_stay_below_four_gigabytes_and_resume(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", LEARN, str(ROOT), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    print(found)
    assert found["updates"] == 2 and found["weights"] == 9387 and found["size"] == 200
    assert found["loss"] == found["loss"] and found["resumed"]
    assert found["gigabytes"] < 4


@pytest.mark.parametrize("scale", settings.SCALES)
def test_systems_of_different_size_are_compared_after_learning_from_equal_data(scale):
    """Trajectories, times, repeats and epochs: everything but what grows with the size."""
    paper = settings.load(ROOT, {"scale": scale})["adda"]
    for role in ("ring_sizes", "species_sizes"):
        found = []
        for name in paper["roles"][role]:
            (model, *_) = paper["cases"][name]["learning"]["methods"]
            section, truth = paper["learning"][model], paper["cases"][name]["truth"]
            found.append(
                [truth[split] for split in ("train", "valid", "test")]
                + [section["training"], section["base"].get("samples"), section["seen"]["default"]]
                + [section["base"][key] for key in ("observed", "obs_variance", "start_variance")]
                + [section["map"].get("correction"), section["map"].get("reading")]
            )
        assert all(one == found[0] for one in found), f"{scale} {role}: {found}"


def test_scale_paper_is_that_of_the_paper():
    """Sizes, numbers of what is drawn and learned, and what rates are chosen for: as stated."""
    paper = settings.load(ROOT, {"scale": "paper"})["adda"]
    rates = {name: paper["learning"][name].get("tune") for name in paper["active"]}
    assert all(rates[n]["per"] == "repeat" for n in rates if n.startswith(("cw", "glv")))
    assert all(
        (rates[n]["per"], rates[n]["repeats"]) == ("experiment", 1)
        for n in rates
        if n.startswith("l96")
    )
    shown = paper["cases"][paper["roles"]["species_shown"]]["system"]["size"]
    sizes = [paper["cases"][n]["system"]["size"] for n in paper["roles"]["ring_sizes"]]
    assert shown == 500 and max(sizes) == 200
    for name in ("cw", "l96", "glv"):
        training = paper["learning"][name]["training"]
        assert (training["repeats"], training["trajectories"], training["epochs"]) == (10, 8, 40)
        assert training["segment"] == 20 and paper["cases"][name]["learning"]["last"] == 10
    assert [paper["cases"][n]["truth"]["train"]["samples"] for n in ("cw", "l96")] == [800, 1200]


def test_scale_smoke_tunes_in_all_the_ways_of_scale_paper():
    smoke, paper = (settings.load(ROOT, {"scale": s})["adda"] for s in ("smoke", "paper"))
    ways = {
        name: paper["learning"][name]["tune"]["per"] for name in ("cw", "l96", "glv")
    }  # all are tuned at scale paper
    for name in ("cw", "l96"):  # one more would be a job too many at scale smoke
        assert smoke["learning"][name]["tune"]["per"] == ways[name]
    assert set(ways.values()) == {ways["cw"], ways["l96"]}
