"""What a scale will cost: estimates from few measured jobs, and the table of them."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from dalib import io
from pipeline import layout, measurements, plan, settings
from pipeline.estimates import (
    NEAR,
    START,
    TELLING,
    Estimate,
    Job,
    Measured,
    estimate,
    longest_chain,
    until_the_end,
)
from pipeline.graph import Graph
from pipeline.work import COUNTS, Size, counts, names, ratio, size

ROOT = Path(__file__).parents[1]


def of(amount, *alike, **more):
    return Size({"steps": amount, **more}, alike or ("train",))


@cache
def graph(scale):
    return Graph(settings.load(ROOT, {"scale": scale}), ROOT)


# -- what is counted -----------------------------------------------------------------------------


def training(steps=100, hidden=64, repeats=5, window=32, **more):
    training = {"steps": steps, "batch": 8, "window": window, "repeats": repeats}
    return {"model": {"network": {"kind": "net", "hidden": hidden}, "training": training, **more}}


def work(sections, base=None, **more):
    """Of a job, for that of another."""
    base = training() if base is None else base
    return ratio(*(Size(counts(one, **more), ()) for one in (sections, base)))


def test_work_grows_with_steps_windows_repeats_and_the_width_squared():
    assert work(training(steps=300)) == 3
    assert work(training(window=64)) == 2
    assert work(training(hidden=128)) == 4
    assert work(training(repeats=1)) == pytest.approx(1 / 5)
    assert work(training(steps=300, hidden=128)) == 12


def test_seeds_and_samples_of_all_parts_go_together():
    parts = {"train": {"seeds": 3, "samples": 10}, "test": {"seeds": 1, "samples": 30}}
    assert counts({"case": {"truth": parts}}) == {"samples": 40, "seeds": 4}


def test_values_of_a_grid_are_combined_and_runs_of_a_list_are_added():
    grid = {"points": {"noise_std": [0.0, 0.1, 0.2], "rho": [1.0, 2.0]}}
    assert counts(grid) == {"runs": 6}
    assert counts({"methods": {"a": [{}, {"every": 2}], "b": [{}]}}) == {"runs": 3}
    nested = {"tuned": {"inflation": [1.0, 1.1, 1.2], "localisation": {"radius": [1, 2, 3]}}}
    assert counts({"methods": {"a": [nested]}}) == {"runs": 10}
    assert counts({"system": {"points": 50}}) == {"points": 50}  # of a side


def test_what_is_no_number_of_times_does_not_count():
    assert counts({"system": {"rho": 28.0}, "seed": 7, "film": True, "kind": "steps"}) == {}
    assert counts({"steps": 0}) == {"steps": 1}  # nothing is comparable


def test_a_training_counts_where_it_is_trained_and_elsewhere_its_repeats_do():
    found = counts({"filter": {"members": 9, **training()}}, trains=False)
    assert found == {"hidden": 64, "members": 9, "repeats": 5}


def test_files_grow_with_what_they_hold_alone():
    assert COUNTS["steps"] == (1, 0) and COUNTS["samples"] == (1, 1)
    few, many = of(100.0, samples=10.0), of(300.0, samples=20.0)
    assert ratio(many, few) == 6 and ratio(many, few, files=True) == 2


def test_jobs_of_all_papers_have_a_size_at_every_scale_and_name_no_paper_alone():
    """A batch has at most as much as it may carry, and jobs of an experiment share its runs."""
    for scale in settings.SCALES:
        wiring = graph(scale)
        for paper in wiring.papers:
            for case, section in wiring.config[paper]["cases"].items():
                job = {"scale": scale, "paper": paper, "case": case}
                made = "simulate" if "truth" in section else "observe"
                if made == "simulate" and "era5" not in section:
                    found = size(wiring, made, job)
                    assert found.counts["samples"] >= 1
                    assert found.alike[0].startswith(f"{scale}: simulate paper={paper}")


def test_names_of_kin_are_from_the_job_itself_to_all_of_its_kinds():
    assert names("quick", "train paper=a case=b model=c batch=1", "train of net") == (
        "quick: train paper=a case=b model=c batch=1",
        "train paper=a case=b model=c batch=1",
        "train paper=a case=b model=c",
        "train of net",
    )


def test_what_a_stage_of_ones_own_is_made_from_is_told_by_its_spec():
    job = {"scale": "smoke", "paper": "lab", "study": "s", "part": "0"}
    spec = {"config": {"method": {"kind": "mine", "members": 5}}, "runs": [{}, {}]}
    assert size(graph("smoke"), "fit", job, spec).counts == {"members": 5, "runs": 2}
    unknown = size(graph("smoke"), "fit", job)
    assert unknown.counts is None
    known = [Measured("smoke", size(graph("smoke"), "fit", job, spec), 7.0, 1)]
    assert estimate(unknown, known).seconds == 7.0  # the same job, whatever it is made from
    assert estimate(unknown._replace(alike=("quick: fit",)), known) is None


# -- estimates -----------------------------------------------------------------------------------


def test_time_above_the_start_grows_with_the_work():
    few, many = of(5.0, samples=2.0), of(50.0, samples=2.0)
    found = estimate(many, [Measured("quick", few, START + 7, 10)])
    assert found.seconds == pytest.approx(START + 70) and found.bytes == 10
    assert (found.scale, found.factor) == ("quick", 10)


def test_a_job_that_was_measured_is_what_it_was():
    jobs = [Measured("paper", of(5.0), seconds, 1) for seconds in (1.0, 1.5, 9.0)]
    assert estimate(of(5.0), jobs).seconds == 1.5


def test_kinship_goes_before_nearness_and_what_has_no_kin_is_unknown():
    near = Measured("quick", of(90.0, "train"), 100, 1)
    kin = Measured("paper", of(20.0, "same network", "train"), START + 1, 1)
    job = of(100.0, "same network", "train")
    assert estimate(job, [near, kin]).seconds == START + 5
    assert estimate(job, [near]).factor == pytest.approx(100 / 90)
    assert estimate(job, []) is None
    assert estimate(of(1.0, "sample"), [near]) is None


def test_jobs_of_other_settings_are_not_compared():
    known = Measured("quick", of(5.0, members=3.0), 100, 1)
    assert estimate(of(5.0), [known]) is None
    assert estimate(of(5.0, members=6.0), [known]).factor == 2


def test_a_short_job_says_nothing_about_a_far_larger_one():
    short = Measured("smoke", of(1.0), TELLING - 1, 1)
    assert estimate(of(NEAR), [short]).factor == NEAR
    assert estimate(of(2 * NEAR), [short]) is None
    cousin = Measured("quick", of(5.0, "kinds"), TELLING, 1)
    assert estimate(of(20.0, "train", "kinds"), [short, cousin]).factor == 4
    long = short._replace(seconds=TELLING)
    assert estimate(of(2 * NEAR), [long]).factor == 2 * NEAR


def test_the_larger_scale_counts_where_sizes_are_equal():
    jobs = [Measured(scale, of(1.0), t, 1) for scale, t in (("smoke", 1.0), ("quick", 3.0))]
    assert estimate(of(1.0), jobs).seconds == 3.0


def test_a_scale_of_ones_own_comes_after_the_others():
    scales = ("mine", "paper", "smoke", "quick")
    ranked = sorted((Measured(scale, of(1.0), 1.0, 1) for scale in scales), key=measurements.rank)
    assert [one.scale for one in ranked] == ["smoke", "quick", "paper", "mine"]


def test_the_longest_chain_is_by_time_and_not_by_count():
    a = Job("a", outputs=("a",))
    b = Job("b", inputs=("a",), outputs=("b",))
    c = Job("c", inputs=("b",), outputs=("c",))
    slow = Job("slow", inputs=("a", "given"), outputs=("slow",))
    assert longest_chain([c, slow, b, a], {a: 1, b: 1, c: 1, slow: 10}) == [a, slow]
    assert longest_chain([c, slow, b, a], {a: 1, b: 1, c: 1, slow: 1.5}) == [a, b, c]
    assert longest_chain([], {}) == []


def test_of_each_job_it_is_known_how_long_the_rest_waits_for_it():
    a = Job("a", outputs=("a",))
    b = Job("b", inputs=("a",), outputs=("b",))
    slow = Job("slow", inputs=("a", "given"), outputs=("slow",))
    assert until_the_end([b, slow, a], {a: 1, b: 2, slow: 10}) == {a: 11, b: 2, slow: 10}


def test_a_job_of_a_case_that_is_no_longer_there_says_nothing(tmp_path):
    """How large it was nobody knows: it is not taken for a job of nothing."""
    wildcards = {"scale": "smoke", "paper": "adda", "case": "pendulum", "split": "test"}
    record = {"stage": "observe", "wildcards": wildcards, "seconds": 3.0, "outputs": {}}
    record |= {"spec": {"config": {"case": {"observations": {"error_std": 0.1}}}}}
    io.write_json(tmp_path / "keys/aa/aa.json", record)
    there = record | {"wildcards": wildcards | {"case": "glv"}}
    io.write_json(tmp_path / "keys/bb/bb.json", there)
    (known,) = measurements.stored(tmp_path, ROOT)
    assert known.job == "observe paper=adda case=glv split=test" and known.size.counts["seeds"]


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
    wildcards = {"scale": "paper", "paper": "adda", "case": "cw", "model": "cw", "batch": "0"}
    job = size(graph("paper"), "train", wildcards)
    sections = json.dumps(graph("paper").sections_of("train", wildcards))
    sections = json.loads(re.sub(r'("epochs": \d+)0', r"\1", sections))
    record = {"stage": "train", "wildcards": wildcards, "spec": {"config": sections}}
    record |= {"seconds": START + 60.0, "outputs": {"a": {"size": 7}, "b": {"size": 3}}}
    io.write_json(tmp_path / "keys/aa/aa.json", record)
    io.write_json(tmp_path / "keys/bb/bb.json", record | {"wildcards": {"scale": "paper"}})
    io.write_text(tmp_path / "keys/cc/cc.json", "damaged")
    known = list(measurements.stored(tmp_path, ROOT))
    found = estimate(job, known)
    assert found.factor == pytest.approx(10) and found.scale == "paper"
    assert found.seconds == pytest.approx(START + 600) and found.bytes == 10


def test_the_table_adds_up_and_says_what_is_extrapolated():
    train, other = plan.jobs(DRY_RUN)[0], Job("sample", outputs=("s",), mem_mb=1000)
    cost = Estimate(seconds=7200, bytes=2e9, scale="quick", factor=20)
    text = "\n".join(plan.table("paper", {train: cost, other: None}, {train.outputs}))
    row = next(line for line in text.splitlines() if line.startswith("train"))
    assert row.split()[:8] == ["train", "1", "1", "120.0", "120.0", "6.00", "2.00", "4.0"]
    assert row.endswith("quick, work x 20")
    assert "longest chain: 2.00 h, train" in text
    assert (
        "disk: 2.00 GB" in text and "extrapolated by what the configuration counts: train" in text
    )
    assert "unknown and in no sum, never measured: 1 jobs of sample" in text


# -- what is shipped -----------------------------------------------------------------------------


def test_the_machinery_knows_no_system_no_filter_and_no_paper_by_name():
    known = {"lorenz", "shallow_water", "enkf", "ensf", "letkf", "gpt", *layout.papers(ROOT)}
    for name in ("work", "estimates", "measurements", "plan", "outlook"):
        text = (ROOT / f"pipeline/{name}.py").read_text()
        assert not [word for word in known if f'"{word}' in text], name


def test_what_is_shipped_says_about_quick_what_was_measured_and_about_paper_hours():
    _, known = measurements.reference(ROOT)
    assert len(known) > 200
    for one in known:
        assert estimate(one.size, known).seconds == pytest.approx(one.seconds, abs=1e-9)
    job = {"paper": "adda", "case": "l96", "model": "l96", "batch": "0"}
    sizes = {scale: size(graph(scale), "train", job) for scale in ("quick", "desk", "paper")}
    hours = {scale: estimate(one, known).seconds / 3600 for scale, one in sizes.items()}
    assert hours["quick"] < 0.1 and hours["quick"] < hours["desk"] < 12
    assert 1 < hours["paper"] < 1000
