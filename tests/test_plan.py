"""What a scale will cost: estimates from few measured jobs, and the table of them."""

import json
from pathlib import Path

import pytest

from dalib import io
from pipeline import learning_costs, plan, settings
from pipeline.costs import START, Job, Measured, Size, estimate, longest_chain, size

ROOT = Path(__file__).parents[1]


def of(amount, *alike, volume=1.0):
    return Size(amount, volume, alike or ("train",))


# -- sizes ---------------------------------------------------------------------------------------


def training(steps=100, hidden=64, repeats=5, window=32, points=None):
    section = {"network": {"kind": "net", "hidden": hidden}, "training": {}}
    section["training"] = {"steps": steps, "batch": 8, "window": window, "repeats": repeats}
    return {"model": section | ({"points": {"noise_std": points}} if points else {})}


def test_work_of_a_training_is_steps_windows_repeats_and_width_squared():
    once = size("train", training()).amount
    assert size("train", training(steps=300)).amount == 3 * once
    assert size("train", training(window=64)).amount == 2 * once
    assert size("train", training(hidden=128)).amount == 4 * once
    assert size("train", training(points=[0.0, 1.0, 2.0])).amount == 3 * once
    in_batches = size("train", training() | {"batches": {"repeats": 1, "seeds": 9}})
    assert in_batches.amount == pytest.approx(once / 5)


def tokens(steps=100, cells=50, temperatures=(1.0,), **network):
    network = {"kind": "gpt", "layers": 2, "width": 64, "heads": 2, "context": 64} | network
    training = {"steps": steps, "batch": 16, "repeats": 1}
    model = {"network": network, "codec": {"kind": "bins", "cells": cells}, "training": training}
    run = {"chains": 4, "samples": 500}
    starts = {"starts": {"first": 100, "every": 200}, "horizon": 300}
    settings = {"free_run": run, "temperatures": list(temperatures), **starts}
    case = {"truth": {"test": {"seeds": 5, "samples": 1000}}, "forecasts": settings}
    return {"model": model, "case": case}


def test_work_of_a_transformer_is_tokens_times_the_products_of_a_token():
    """Layers of 12 n², attention to C tokens, and logits of a vocabulary of cells²."""
    each = 2 * (12 * 64**2 + 64 * 64) + 2500 * 64
    assert size("train", tokens()).amount == 100 * 16 * 64 * each
    longer = 2 * (12 * 64**2 + 1024 * 64) + 2500 * 64
    assert size("train", tokens(context=1024)).amount == 100 * 16 * 1024 * longer
    assert size("train", tokens()).volume == 2 * 12 * 64**2 + (2500 + 64) * 64


def test_work_of_generated_tokens_is_that_of_free_runs_and_forecasts_at_every_temperature():
    """Starts 100, 300, 500 and 700 of 1000 samples, 300 tokens each."""
    each = 2 * (12 * 64**2 + 64 * 64) + 2500 * 64
    made = 4 * 500 + 5 * 4 * 300
    assert size("forecast", tokens()).amount == made * each
    assert size("forecast", tokens(temperatures=(1.0, 0.0))).amount == 2 * made * each


def test_the_network_of_the_paper_takes_hundreds_of_core_hours():
    """From trainings of scale quick that took 75 to 115 seconds on one core."""
    quick, paper = (settings.load(ROOT, {"scale": scale}) for scale in ("quick", "paper"))

    def trainings(config):
        jobs = [
            {"paper": "gpt", "case": case, "model": model}
            for case, model in (
                *(("henon", "henon"), ("rossler", "rossler")),
                *(("lorenz", f"lorenz{n}") for n in (20, 35, 50)),
            )
        ]
        return [size("train", plan.sections(config, job)) for job in jobs]

    seconds = (75.0, 115.0, 90.0, 110.0, 115.0)
    known = [Measured("quick", *one, 1) for one in zip(trainings(quick), seconds, strict=True)]
    hours = sum(estimate(job, known).seconds for job in trainings(paper)) / 3600
    assert 100 < hours < 1000


def test_a_training_with_fewer_steps_is_closer_kin_than_one_of_another_width():
    job = size("train", training(steps=20_000, hidden=128))
    short, narrow = size("train", training(hidden=128)), size("train", training(20_000))
    assert set(job.alike) & set(short.alike) > set(job.alike) & set(narrow.alike)


def test_work_of_a_particle_filter_is_seeds_times_and_members():
    def filtering(members, seeds, size_of_batch=64):
        truth = {"test": {"seeds": seeds, "samples": 500}}
        case = {"truth": truth, "integrator": {"steps": 2}}
        method = {"kind": "particle", "members": members}
        return {"case": case, "method": method, "batches": {"seeds": size_of_batch, "repeats": 1}}

    few = size("assimilate", filtering(100, 64))
    assert few.amount == 64 * 500 * 100 * 2
    assert size("assimilate", filtering(1000, 64)).amount == 10 * few.amount
    assert size("assimilate", filtering(100, 128)).amount == few.amount  # two batches


# -- estimates -----------------------------------------------------------------------------------


def test_time_above_the_start_grows_with_the_work():
    found = estimate(of(50.0, volume=6.0), [Measured("quick", of(5.0, volume=2.0), START + 7, 10)])
    assert found.seconds == pytest.approx(START + 70) and found.bytes == 30
    assert (found.scale, found.factor) == ("quick", 10)


def test_a_job_that_was_measured_is_what_it_was():
    jobs = [Measured("paper", of(5.0), seconds, 1) for seconds in (1.0, 1.5, 9.0)]
    assert estimate(of(5.0), jobs).seconds == 1.5


def test_kinship_goes_before_nearness_and_that_before_nothing():
    near = Measured("quick", of(90.0, "train"), 100, 1)
    kin = Measured("paper", of(1.0, "same network", "train"), START + 1, 1)
    job = of(100.0, "same network", "train")
    assert estimate(job, [near, kin]).seconds == START + 100
    assert estimate(job, [near]).factor == pytest.approx(100 / 90)
    assert estimate(job, []) is None
    assert estimate(of(1.0, "sample"), [near]) is None


def test_the_larger_scale_counts_where_sizes_are_equal():
    jobs = [Measured(scale, of(1.0), t, 1) for scale, t in (("smoke", 1.0), ("quick", 3.0))]
    assert estimate(of(1.0), jobs).seconds == 3.0


def test_a_scale_of_ones_own_comes_after_the_others():
    scales = ("mine", "paper", "smoke", "quick")
    ranked = sorted((Measured(scale, of(1.0), 1.0, 1) for scale in scales), key=plan.rank)
    assert [one.scale for one in ranked] == ["smoke", "quick", "paper", "mine"]


def test_the_longest_chain_is_by_time_and_not_by_count():
    a = Job("a", outputs=("a",))
    b = Job("b", inputs=("a",), outputs=("b",))
    c = Job("c", inputs=("b",), outputs=("c",))
    slow = Job("slow", inputs=("a", "given"), outputs=("slow",))
    assert longest_chain([c, slow, b, a], {a: 1, b: 1, c: 1, slow: 10}) == [a, slow]
    assert longest_chain([c, slow, b, a], {a: 1, b: 1, c: 1, slow: 1.5}) == [a, b, c]
    assert longest_chain([], {}) == []


def test_a_job_of_nothing_is_comparable(tmp_path):
    """A case without a truth, forecasts of no length: one unit, never a division by zero."""
    nothing = size("observe", {"case": {}})
    free_run = {"free_run": {"chains": 0, "samples": 0}}
    none_made = size("forecast", {"case": {"forecasts": free_run}})
    for job in (nothing, none_made):
        assert (job.amount, job.volume) == (1.0, 1.0)
        known = [Measured("quick", job, 3.0, 1)]
        assert estimate(job, known).seconds == 3.0
        assert estimate(job._replace(amount=5.0), known).factor == 5.0


def test_a_job_of_a_case_that_is_no_longer_there_says_nothing(tmp_path):
    """How large it was nobody knows: it is not taken for a job of nothing."""
    wildcards = {"scale": "smoke", "paper": "dkf", "case": "pendulum", "split": "test"}
    record = {"stage": "observe", "wildcards": wildcards, "seconds": 3.0, "outputs": {}}
    record |= {"spec": {"config": {"case": {"observations": {"error_std": 0.1}}}}}
    io.write_json(tmp_path / "keys/aa/aa.json", record)
    there = record | {"wildcards": wildcards | {"case": "clean"}}
    io.write_json(tmp_path / "keys/bb/bb.json", there)
    (known,) = plan.measured(tmp_path, ROOT)
    assert known.job == "observe paper=dkf case=clean split=test" and known.size.amount > 1


# -- the table -----------------------------------------------------------------------------------

DRY_RUN = """
[Sat Nov 21 00:11:35 2026]
rule train:
    input: results/paper/dkf/clean/a.nc, results/paper/dkf/clean/b.nc
    output: results/paper/dkf/clean/models/dkf/batch0.nc, results/paper/h.nc
    jobid: 6
    wildcards: scale=paper, paper=dkf, case=clean, model=dkf, batch=0
    threads: 3
    resources: tmpdir=/tmp, runtime=120, mem_mb=4000, mem=4 GB, mem_mib=3815, gpu=1
[Sat Nov 21 00:11:35 2026]
localrule all:
    input: results/paper/dkf/clean/models/dkf/batch0.nc
    jobid: 0
    resources: tmpdir=/tmp

Job stats:
"""


def test_jobs_are_read_from_a_dry_run():
    (job,) = plan.jobs(DRY_RUN)
    assert (job.rule, job.threads, job.mem_mb, job.runtime, job.gpu) == ("train", 3, 4000, 120, 1)
    assert dict(job.wildcards)["model"] == "dkf"
    assert job.inputs[1].endswith("b.nc") and job.outputs[1] == "results/paper/h.nc"


def test_records_are_sized_by_what_they_ran_with(tmp_path):
    """A record of fewer steps than the configuration has now is worth that much less."""
    config = settings.load(ROOT, {"scale": "paper"})
    wildcards = {"scale": "paper", "paper": "dkf", "case": "clean", "model": "dkf", "batch": "0"}
    job = size("train", plan.sections(config, wildcards))
    model = json.loads(json.dumps(config["dkf"]["models"]["dkf"]))
    model["training"]["steps"] = model["training"]["steps"] // 200
    record = {"stage": "train", "wildcards": wildcards, "spec": {"config": {"model": model}}}
    record |= {"seconds": START + 6.0, "outputs": {"a": {"size": 7}, "b": {"size": 3}}}
    io.write_json(tmp_path / "keys/aa/aa.json", record)
    io.write_json(tmp_path / "keys/bb/bb.json", record | {"wildcards": {"scale": "paper"}})
    io.write_text(tmp_path / "keys/cc/cc.json", "damaged")
    known = list(plan.measured(tmp_path, ROOT))
    found = estimate(job, known)
    assert found.factor == pytest.approx(200) and found.scale == "paper"
    assert found.seconds == pytest.approx(START + 1200) and found.bytes == 10


def test_the_table_adds_up_and_says_what_is_extrapolated():
    train, other = plan.jobs(DRY_RUN)[0], Job("sample", outputs=("s",), mem_mb=1000)
    cost = plan.Estimate(seconds=7200, bytes=2e9, scale="quick", factor=20)
    text = "\n".join(plan.table("paper", {train: cost, other: None}, {train.outputs}))
    row = next(line for line in text.splitlines() if line.startswith("train"))
    assert row.split()[:8] == ["train", "1", "1", "120.0", "120.0", "6.00", "2.00", "4.0"]
    assert row.endswith("quick, work x 20")
    assert "longest chain: 2.00 h, train" in text
    assert "disk: 2.00 GB" in text and "extrapolated by the amount of work: train" in text
    assert "not counted, never run here: sample" in text


EXPERIMENT = {
    "map": {"kind": "ring", "correction": "network", "reading": "tendency"},
    "filters": {"enkf": {"kind": "localised_enkf"}, "var3d_c": {"kind": "var3d"}},
    "learned": {"enkf": {}, "var3d_c": {}},
    "losses": {},
    "base": {"start_variance": 1.0, "members": 25, "observed": 1.0},
    "base_of": {},
    "sweeps": {},
    "training": {"repeats": 10, "trajectories": 8, "test_trajectories": 4, "epochs": 40},
    "jobs": 2,
}
RING = {"system": {"size": 200}, "truth": {"train": {"seeds": 80, "samples": 1200}}}


def learning_work(batch, **changed):
    sections = {"case": RING, "learning": [EXPERIMENT | changed], "batch": batch}
    return size("train", sections).amount


def test_work_of_learning_is_that_of_the_network_for_every_member_trajectory_and_repeat():
    states = 10 * 8 * 25 * 200
    ensemble = 40 * 3 * 1200 * states * 4 * (4 * 9387)
    assert learning_work(0) == pytest.approx(ensemble, rel=0.05)
    assert learning_work(1) < 0.06 * learning_work(0)  # one state in place of 25
    resolvent = EXPERIMENT["map"] | {"reading": "resolvent"}
    assert learning_work(0, map=resolvent) == pytest.approx(ensemble / 4, rel=0.15)


def test_work_of_learning_grows_with_the_points_of_a_sweep():
    more = {"variance": {"vary": {"start_variance": [1.0, 2.0, 3.0]}}}
    assert learning_work(0, sweeps=more) == pytest.approx(3 * learning_work(0), rel=1e-3)
    members = {"members": {"vary": {"members": [25, 50]}, "filters": ["enkf"]}}
    both = learning_work(0, sweeps=members) + learning_work(1, sweeps=members)
    assert both == pytest.approx(3 * learning_work(0), rel=0.06)


def test_tuning_runs_every_candidate_in_each_repeat():
    candidates = {"map": [1e-3, 1e-2, 1e-1], "noise": [0.1], "filter": [0.01, 0.1]}
    tune = {"candidates": candidates, "epochs": 10, "last": 5, "per": "repeat"}
    tuned = learning_costs.as_tuned(EXPERIMENT | {"tune": tune})
    assert tuned["training"]["repeats"] == 10 * 6 and tuned["training"]["epochs"] == 10
    once = tune | {"per": "experiment", "repeats": 1}
    sweeps = {"variance": {"vary": {"start_variance": [1.0, 2.0, 3.0]}}}
    tuned = learning_costs.as_tuned(EXPERIMENT | {"tune": once, "sweeps": sweeps})
    assert tuned["training"]["repeats"] == 6 and tuned["sweeps"] == {}
