"""Gridded states of the paper's size: 150 x 150 points, 400 latents; Lorenz-96 with 1e6 sites."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.ensf import watched
from dalib import build
from dalib.filters import Ensemble
from dalib.integrate import trajectory
from dalib.streams import normal, stream
from pipeline import settings

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow

LEARN = """
import json, sys
from pathlib import Path
import torch
from benchmarks.ensf import watched
from dalib import fitted
from dalib.cases.checkpoint import FORGOTTEN
from dalib.experiments import data, gridded, parts
from pipeline import settings

torch.set_num_threads(1)
paper = settings.load(Path(sys.argv[1]), {"scale": "paper"})["lensf"]
case, section = paper["cases"]["basin"], dict(paper["codecs"]["vae"])
for split, (seeds, samples) in {"train": (2, 20), "valid": (1, 20), "test": (1, 1)}.items():
    case["truth"][split] |= {"seeds": seeds, "samples": samples}
case["prior"]["members"] = 20
section |= {"steps": 3, "check_every": 3, "stride": 15, "obs_std_relative": 0.1}

class Kept:  # the state after each update
    def __init__(self, states):
        self.states = states
    def save(self, state):
        torch.save(state(), self.states / f"{len(list(self.states.glob('*')))}.pt")
    def load(self):
        return None

class Second(Kept):
    def save(self, state):
        pass
    def load(self):
        return torch.load(self.states / "1.pt", weights_only=True)

x = data.truths(case, "paper")
states = Path(sys.argv[2])

def learn(kept):
    return parts.codec(section, case, x["train"], x["valid"], "p", checkpoint=kept)

first = []
seconds, learning = watched(lambda: first.append(learn(Kept(states))))
again = learn(Second(states))

seen = data.observations(case, x, "paper")["test"]
known = data.prior(case, x["test"], "paper", x["train"])
entry = {"method": "m", "coordinates": {}, "values": {}, "replicate": 0}
entry |= {"data": 0, "prior": 0, "codec": 0}
method = {k: v for k, v in paper["filters"]["latent_ensf"].items() if k != "codec"}
found = []
analysis, analysing = watched(lambda: found.append(gridded.analyses(
    method, case, [entry], [seen], [known], "p", "cpu", FORGOTTEN, sampled=500, codecs=first
)))
learned = fitted.from_dataset(first[0])
print(json.dumps({
    "weights": sum(value.numel() for value in learned.codec.weights.values()),
    "loss": float(learned.history["state_error"][-1]),
    "updates": len(list(states.glob("*"))),
    "resumed": first[0].identical(again),
    "learning": {"CPU s": seconds, "MiB": learning},
    "analysis": {"CPU s": analysis, "MiB": analysing},
    "size": found[0].sizes["state"],
    "members": found[0].sizes["member"],
    "finite": bool(found[0]["mean"].notnull().all()),
}))
"""


def test_a_codec_of_the_papers_size_learns_resumes_and_serves_a_filter(tmp_path):
    """Three updates of batch 32, the same when the third follows a checkpoint; one analysis."""
    run = subprocess.run(
        [sys.executable, "-c", LEARN, str(ROOT), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    print(found)
    assert found["updates"] == 3 and found["loss"] == found["loss"] and found["resumed"]
    assert 974_787 <= found["weights"] < 1.1 * 974_787  # the published layers, and our scaling
    assert found["learning"]["MiB"] < 3072
    assert (found["size"], found["members"]) == (67_500, 20) and found["finite"]
    assert found["analysis"]["MiB"] < 1024


def test_one_analysis_of_a_million_sites_needs_less_than_a_gigabyte_beyond_the_ensemble():
    """Lorenz-96 seen through an arctangent, N = 20; K = 100 of the paper's 500 steps."""
    paper = settings.load(ROOT, {"scale": "paper"})["lensf"]
    case, section = paper["cases"]["ring6"], paper["filters"]["ensf_ring"] | {"steps": 100}
    size, sigma = case["system"]["size"], case["observations"]["obs_std"]
    operator = build.operator(case, size)
    step = build.step(case)
    start = 3 * normal((1, size), stream("million", "start"), torch.float32)
    x = trajectory(step, start, 10)[:, -1]
    given = {"step": step, "observe": operator, "obs_std": sigma, "mean": 0.0, "std": 1.0}
    filter = build.make("filter", section, {k: (lambda v=v: v) for k, v in given.items()})
    members = normal((section["members"], size), stream("million", "members"), torch.float32)
    E = Ensemble(members)  # without any knowledge of the truth
    y = operator(x)[0] + sigma * normal((size,), stream("million", "errors"), torch.float32)

    found = []
    took, beyond = watched(
        lambda: found.append(filter.analyse(E, y, stream("million", "analysis")))
    )
    before, after = ((belief.mean - x).square().mean().sqrt() for belief in (E, found[0]))
    ensemble = E.members.numel() * 4 / 2**20
    print(f"{took:.1f} CPU s, {beyond:.0f} MiB beyond an ensemble of {ensemble:.0f} MiB")
    print(f"RMSE {before:.2f} before, {after:.2f} after")
    assert beyond < 1024
    assert found[0].members.isfinite().all() and after < before
