"""A killed job goes on where it was, and its result is that of an undisturbed one."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dalib import io
from dalib.cases import observed
from dalib.cases.checkpoint import Parts
from dalib.cases.truth import truth
from dalib.diffusion import ReverseSDE
from dalib.experiments import fit
from dalib.experiments.data import observations
from dalib.generators.score import FittedScore
from dalib.nets.scaling import Scaling
from dalib.nets.score import Score
from dalib.streams import streams
from pipeline import settings
from pipeline.checkpoint import SHARE, Checkpoint
from pipeline.specs import Specs
from pipeline.studies import Studies

ROOT = Path(__file__).parents[1]


# -- the file ------------------------------------------------------------------------------------


@pytest.fixture
def said():
    return []


def checkpoint(folder, said, every=0.0):
    return Checkpoint(folder, said.append, every)


def test_the_latest_state_comes_back(tmp_path, said):
    folder = tmp_path / "key"
    assert checkpoint(folder, said).load() is None
    for step in (1, 2):
        made = checkpoint(folder, said)
        made.save(lambda step=step: {"step": step, "x": [torch.full((2,), step)]})
    loaded = checkpoint(folder, said).load()
    assert loaded["step"] == 2 and loaded["x"][0].tolist() == [2, 2]
    assert len(list(folder.iterdir())) == 1
    checkpoint(folder, said).delete()
    assert not folder.exists() and said == []


def test_states_are_asked_for_no_more_often_than_it_is_time(tmp_path, said):
    made = checkpoint(tmp_path, said, every=3600.0)
    made.save(lambda: pytest.fail("it is not time"))
    assert list(tmp_path.iterdir()) == []


def test_a_slow_state_is_saved_less_often(tmp_path, said, monkeypatch):
    """One that takes a second is saved again when that is a twentieth of the time."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    made = checkpoint(tmp_path, said)
    saved = []

    def slow():
        clock[0] += 1.0
        saved.append(clock[0])
        return {}

    made.save(slow)
    clock[0] += 1 / SHARE - 1 - 0.1
    made.save(lambda: pytest.fail("too much of the time has gone into saving"))
    clock[0] += 0.2
    made.save(slow)
    assert len(saved) == 2


def test_a_damaged_state_is_dropped_with_a_line(tmp_path, said):
    checkpoint(tmp_path, said).save(lambda: {"x": torch.zeros(1000)})
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert checkpoint(tmp_path, said).load() is None
    assert said == [f"dropped the damaged checkpoint {path}"] and not path.exists()


def under_its_hash(folder, content):
    torch.save(content, folder / "x")
    path = folder / f"{io.bytes_hash(folder / 'x')}.pt"
    return (folder / "x").rename(path)


def test_a_state_of_another_format_is_dropped_with_a_line(tmp_path, said):
    path = under_its_hash(tmp_path, {"format": 0, "state": {}})
    assert checkpoint(tmp_path, said).load() is None
    assert said == [f"dropped the checkpoint {path}: expected format 1, found 0"]


def test_a_state_that_would_run_code_is_not_loaded(tmp_path, said):
    path = under_its_hash(tmp_path, {"format": 1, "state": SimpleNamespace()})
    assert checkpoint(tmp_path, said).load() is None
    assert said[0].startswith(f"dropped the checkpoint {path}, which cannot be read")


def test_a_folder_that_cannot_be_written_costs_the_state_and_not_the_job(tmp_path, said):
    (tmp_path / "key").write_text("a file where the folder should be")
    checkpoint(tmp_path / "key", said).save(dict)
    assert said[0].startswith("no checkpoint could be written")


class Kept:
    """A checkpoint in memory."""

    def __init__(self, state=None):
        self.state = state

    def load(self):
        return self.state

    def save(self, state):
        self.state = state()


def test_parts_that_follow_each_other_share_one_checkpoint():
    """The first is done, the second under way, the third not begun."""
    kept = Kept()
    parts = Parts(kept)
    for time_ in (1, 2):
        parts.of("first")["save"](lambda time_=time_: {"time": time_})
    parts.of("second")["save"](lambda: {"time": 7})
    assert kept.state == {"first": {"time": 2}, "second": {"time": 7}}

    again = Parts(Kept(kept.state))
    assert again.of("first")["resume"] == {"time": 2}
    assert again.of("second")["resume"] == {"time": 7} and again.of("third")["resume"] is None
    again.of("second")["save"](lambda: {"time": 8})
    assert again.checkpoint.state == {"first": {"time": 2}, "second": {"time": 8}}


# -- jobs that are killed ------------------------------------------------------------------------

RUN = """
import json, runpy, sys
from types import SimpleNamespace

class Files(list):
    def __init__(self, **names):
        given = {name: path for name, path in names.items() if path}
        paths = ([path] if isinstance(path, str) else path for path in given.values())
        super().__init__(sum(paths, []))
        self.__dict__.update(names)
        self.items, self.get = given.items, given.get

job = json.load(open(sys.argv[1]))
snakemake = SimpleNamespace(
    rule=job["rule"], wildcards=SimpleNamespace(**job["wildcards"]),
    params=SimpleNamespace(spec=job["spec"]), input=Files(**job["input"]),
    output=Files(**job["output"]), resources={"mem_mb": 1500, "runtime": 10}, log=[job["log"]],
)
snakemake.wildcards.items = job["wildcards"].items
runpy.run_path(job["script"], {"snakemake": snakemake})
"""


def progress(state):
    """How many steps, times, levels, tokens or updates a state has behind it."""
    if any(name.endswith("forecast") for name in state):  # then the free run, if that has begun
        return next((one["done"] for name, one in state.items() if name.endswith("run")), 0)
    if "current" in state:  # of one run after the other
        return progress(state["current"])
    if len(state) == 1:  # of one fit after the other
        return progress(*state.values())
    known = ("time", "level", "done")
    return next((state[name] for name in known if name in state), len(state.get("losses", ())))


class Job:
    """The script of a stage in a process of its own, in a folder of its own."""

    def __init__(self, folder, rule, spec, wildcards, inputs, outputs):
        self.folder, self.log = folder, folder / "job.log"
        self.outputs = [folder / path for path in outputs.values()]
        self.job = {
            "rule": rule,
            "script": str(ROOT / "workflow_scripts" / f"{rule}.py"),
            "spec": spec,
            "wildcards": wildcards,
            "input": inputs,
            "output": outputs,
            "log": "job.log",
        }

    def start(self):
        self.folder.mkdir(exist_ok=True)
        (self.folder / "job.json").write_text(json.dumps(self.job))
        environment = {
            "PYTHONPATH": str(ROOT),
            "DALIB_CACHE": "cache",
            "DALIB_CHECKPOINT_SECONDS": "0",
        }
        return subprocess.Popen(
            [sys.executable, "-c", RUN, "job.json"],
            cwd=self.folder,
            env=os.environ | environment,
            stderr=subprocess.DEVNULL,
        )

    def done(self):
        """How far the latest checkpoint is."""
        for path in self.folder.glob("cache/checkpoints/*/*.pt"):
            try:
                state = torch.load(path, weights_only=True)["state"]
            except (FileNotFoundError, RuntimeError):  # replaced just now
                continue
            return progress(state)
        return 0

    def kill_after(self, count):
        process = self.start()
        while self.done() < count:
            assert process.poll() is None, self.log.read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def finish(self):
        assert self.start().wait() == 0, self.log.read_text()
        return self.log.read_text()

    def results(self):
        return [path.read_bytes() for path in self.outputs]


STEPS, TIMES, LEVELS, TOKENS, EPOCHS = 60, 150, 1601, 2000, 10
TOKEN_RUN = {"method": "gpt", "coordinates": {}, "values": {}, "replicate": 0, "data": 0}
TOKEN_RUN |= {"fit": "one"}
UPDATES = 3 * EPOCHS  # of 60 times in segments of 20


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Configuration and the files that the stages read."""
    folder = tmp_path_factory.mktemp("data")
    config = settings.load(ROOT, {"scale": "smoke"})
    config["cache"]["dir"] = str(folder / "cache")
    config["dkf"]["estimators"]["dkf"]["steps"] = STEPS
    config["dkf"]["filters"]["particle"]["members"] = 20_000
    case = config["dkf"]["cases"]["clean"]
    known = {}
    for split in ("train", "valid", "test"):
        states = truth(case, split, "e")
        known[split] = states
    for split, y in observations(case, known, "e").items():
        io.write(y, folder / f"{split}.nc", title="observations", missing=["y"])
    io.write(observed.prior(case, known["test"], "e"), folder / "prior.nc", title="prior")
    config["dkf"]["generators"]["reverse_sde"]["sampler"]["steps"] = LEVELS - 1
    untrained(config, folder / "score.nc")
    some_tokens(config["gpt"], folder)
    some_species(config["adda"], folder)
    return SimpleNamespace(config=config, files={p.stem: str(p) for p in folder.glob("*.nc")})


def untrained(config, path):
    """Scores that have learned nothing, under the names that a study has for them."""
    hidden = config["dkf"]["generators"]["reverse_sde"]["hidden"]
    scaling = Scaling(torch.zeros(1, 3), torch.ones(1, 3))
    network = Score(scaling, hidden=hidden, generator=streams("e", (0,), "weights"))
    score = FittedScore(dict(network.state_dict()), hidden, 0.02, 3.0, ReverseSDE())
    entries = of_study(config, "samples", "reverse_sde", "sample")[1]["runs"]
    made = fit.together([score for _ in entries], entries)
    io.write(made, path, title="fitted methods")


def of_study(config, study, method, stage):
    """(wildcards, spec) of the part of a stage that runs a method of the paper dkf."""
    studies = Studies(Specs(config, ROOT))
    parts = studies.fit_parts if stage == "fit" else studies.task_parts
    (part,) = [n for n, p in enumerate(parts("dkf", study)) if p[0].method == method]
    wildcards = {"scale": "smoke", "paper": "dkf", "study": study, "part": str(part)}
    return wildcards, getattr(studies, f"{stage}_spec")(SimpleNamespace(**wildcards))


def some_tokens(paper, folder):
    """The files that a forecast of tokens reads, of a network that has learned next to nothing."""
    case, method = paper["cases"]["henon"], paper["forecasters"]["gpt"]
    method["forecaster"] |= {"steps": 1, "precision": "float32"}
    case["forecast"] |= {"climate": TOKENS}
    parts = [truth(case, split, "e") for split in ("train", "valid", "test")]
    found = fit.fits("forecaster", method, {}, [TOKEN_RUN], parts[:1], parts[1:2], "e")
    io.write(found, folder / "gpt.nc", title="fits", missing=list(found.variables))
    io.write(parts[2], folder / "henon.nc", title="truth")


def some_species(paper, folder):
    """The files from which one filter learns, at rates to be chosen."""
    section, case = paper["learning"]["glv"], paper["cases"]["glv"]
    section["learned"] = {"enkf": section["learned"]["enkf"]}
    section["filters"] = {"enkf": section["filters"]["enkf"]}
    section["sweeps"]["members"]["filters"] = ["enkf"]
    rates = {"map": [0.01, 0.03], "noise": [0.1], "filter": [0.01]}
    section["tune"] = {"candidates": rates, "epochs": EPOCHS, "last": 1, "per": "repeat"}
    for split in ("train", "valid"):
        y = observed.observations(case, truth(case, split, "e"), split, "e")
        io.write(y, folder / f"species_{split}.nc", title="observations")


def fitting(data, folder):
    wildcards, spec = of_study(data.config, "filters_clean", "dkf", "fit")
    files = {"train": [data.files["train"]], "valid": [data.files["valid"]]}
    return Job(folder, "fit", spec, wildcards, files, {"0": "fits.nc"})


def assimilation(data, folder):
    wildcards, spec = of_study(data.config, "filters_clean", "particle", "assimilate")
    files = {"observations": [data.files["test"]], "prior": [data.files["prior"]]}
    return Job(folder, "assimilate_runs", spec, wildcards, files, {"0": "analyses.nc"})


def sampling(data, folder):
    wildcards, spec = of_study(data.config, "samples", "reverse_sde", "sample")
    files = {"fits": [data.files["score"]]}
    return Job(folder, "sample_runs", spec, wildcards, files, {"0": "samples.nc"})


def forecasting(data, folder):
    wildcards = {"scale": "smoke", "paper": "gpt", "study": "henon_tokens", "part": "0"}
    request = {
        "script": "forecast_runs.py",
        "sections": {
            "case": ["gpt.cases.henon", "forecast"],
            "method": ["gpt.forecasters.gpt"],
        },
        "experiment": "e",
        "runs": [TOKEN_RUN],
        "role": "forecaster",
        "roles": {"method": "forecaster"},
        "device": "cpu",
    }
    spec = Specs(data.config, ROOT).made(request)[0]
    files = {"context": data.files["henon"], "fits": data.files["gpt"]}
    return Job(folder, "forecast_runs", spec, wildcards, files, {"0": "forecasts.nc"})


def tuning(data, folder):
    wildcards = {"scale": "smoke", "paper": "adda", "case": "glv", "model": "glv", "batch": "0"}
    spec = Specs(data.config, ROOT).spec(
        "tune.py",
        device=True,
        calls="papers.adda.tuning:tuned",
        case="{paper}.cases.{case}",
        model="{paper}.learning.{model}",
        training="{paper}.learning.{model}.training",
    )
    files = {"training": data.files["species_train"], "held_out": data.files["species_valid"]}
    spec = spec(wildcards) | {"batch": {"index": 0}}
    return Job(folder, "tune", spec, wildcards, files, {"0": "rates.nc"})


@pytest.mark.parametrize(
    ("make", "line", "total"),
    [
        (fitting, r"continues from step (\d+) of 60", STEPS),
        (assimilation, r"continues from time (\d+) of 150", TIMES),
        (sampling, r"continues from level (\d+) of 1601", LEVELS),
        (forecasting, r"continues from token (\d+) of 2000", TOKENS),
        (tuning, r"continues from update (\d+) of 30", UPDATES),
    ],
    ids=["fit", "assimilate", "sample", "forecast", "tune"],
)
def test_a_job_killed_at_forty_percent_and_resumed_gives_the_same_bytes(
    data, tmp_path, make, line, total
):
    whole, killed = make(data, tmp_path / "whole"), make(data, tmp_path / "killed")
    assert "continues" not in whole.finish()
    killed.kill_after(0.4 * total)
    assert not any(path.exists() for path in killed.outputs)
    at = int(re.search(line, killed.finish())[1])
    assert 0.4 * total <= at < total
    assert killed.results() == whole.results()
    assert not list(killed.folder.glob("cache/checkpoints/*"))
