"""A segment of the paper's size: 200 sites, 25 members, 20 cycles, 8 trajectories, the network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LEARN = """
import json, resource, sys
from pathlib import Path
import torch
from dalib.cases import learning, observed, truth
from dalib.workflow import settings

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
