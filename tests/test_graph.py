"""The wiring of the rules: what each job of every paper reads, at every scale."""

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import layout, settings
from pipeline.errors import ConfigError
from pipeline.graph import STAGES, Files, Graph
from pipeline.graph.task import Stage, Task, one
from pipeline.studies import Studies

ROOT = Path(__file__).parents[1]
LEARNING = ("train", "tune", "fit", "fit_codec", "fit_dynamics")
ESTIMATING = ("assimilate", "forecast", "sample", "forecast_runs", "assimilate_runs")
SCALES = settings.SCALES
WORD = r"\w+"


@cache
def graph(scale):
    return Graph(settings.load(ROOT, {"scale": scale}), ROOT)


@cache
def rules():
    """[(name, body)] of the rules of all stages."""
    found = r"^rule (\w+):\n((?: {4}.*\n|\n)+)"
    files = sorted((ROOT / "rules/stages").glob("*.smk"))
    return [rule for path in files for rule in re.findall(found, path.read_text(), re.M)]


@cache
def outputs():
    """[(pattern of a result, stage that makes it)], read from the rules."""
    found = []
    for name, body in rules():
        written = re.search(r"^    output:\n((?: {8}.*\n)+)", body, re.M)[1]
        for template in re.findall(r'"(.+)"', written):
            parts = re.split(r"\{(\w+)\}", template)
            some = {"data": r"[\w.]+", "of": "(?:_valid)?", "stride": r"\d+", "std": r"[\d.]+"}
            named = [
                f"(?P<{p}>{some.get(p, WORD)})" if i % 2 else re.escape(p)
                for i, p in enumerate(parts)
            ]
            found.append((re.compile("".join(named)), name))
    return found


def files_of(of, stage, job):
    """{name: files that a job reads}; None where the rule says it all."""
    if stage in STAGES:
        return of.files_of(stage, job)
    asked = re.search(r"unpack\(STUDIES\.(\w+)\)", dict(rules())[stage])
    return getattr(Studies(of.specs), asked[1])(SimpleNamespace(**job)) if asked else None


def maker(path):
    """(stage, job) that makes a result."""
    for pattern, stage in outputs():
        if match := pattern.fullmatch(path):
            return stage, match.groupdict()
    return None


def flat(files):
    return [f for given in files.values() for f in ([given] if isinstance(given, str) else given)]


@cache
def jobs(scale):
    """{result: (stage, job, its files)} of all that is scored, active or not, and behind it."""
    of, found = graph(scale), {}
    todo = [
        f"{of.folder(paper, case)}/scores/{product}.nc"
        for paper in of.papers
        for case, section in of.config[paper]["cases"].items()
        for product in section.keys() & STAGES["evaluate"].tasks.keys()
    ]
    for paper in of.papers:
        todo += [f"results/{scale}/{paper}/scorecard.json", *Studies(of.specs).scores(paper)]
    while todo:
        path = todo.pop()
        made = maker(path)
        if path in found or made is None:
            continue
        files = files_of(of, *made)
        if files is not None:
            found[path] = (*made, files)
            todo += flat(files)
    return found


def of_stages(scale, *stages):
    return [one for one in jobs(scale).values() if one[0] in stages]


# -- leakage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
def test_what_learns_never_reads_a_test_part(scale):
    found = of_stages(scale, *LEARNING)
    assert len(found) > 20
    assert [
        path
        for _, _, files in found
        for path in flat(files)
        if re.search(r"_test\b|/scores/", path)
    ] == []


@pytest.mark.parametrize("scale", SCALES)
def test_what_learns_reads_of_its_own_case_alone(scale):
    of = graph(scale)
    for _, job, files in of_stages(scale, *LEARNING):
        data = f"results/{scale}/{job['paper']}/data"
        own = of.at("{here}", job) if "case" in job else data
        assert all(path.startswith(f"{own}/") for path in flat(files)), job


@pytest.mark.parametrize("scale", SCALES)
def test_what_filters_and_forecasts_never_reads_the_truth_that_it_is_scored_on(scale):
    found = of_stages(scale, *ESTIMATING)
    assert len(found) > 20
    for _, job, files in found:
        split = "valid" if "observations_valid.nc" in str(files.get("observations")) else "test"
        assert [path for path in flat(files) if path.endswith(f"/truth_{split}.nc")] == [], job
        for name, paths in files.items():
            truths = [path for path in flat({name: paths}) if "/truth_" in path]
            alone = all(path.endswith("/truth_valid.nc") for path in truths)
            assert not truths or (name == "valid_truth" and alone), job


@pytest.mark.parametrize("scale", SCALES)
def test_settings_are_chosen_on_the_validation_part_of_the_same_data(scale):
    chosen = 0
    for _, _, files in of_stages(scale, "assimilate_runs"):
        if "valid_observations" not in files:
            continue
        chosen += 1
        test = [path.replace("_test.nc", "_valid.nc") for path in files["observations"]]
        assert files["valid_observations"] == test
        assert all("/data/" in path for path in files["valid_truth"])
    assert chosen


@pytest.mark.parametrize("scale", SCALES)
def test_every_file_that_a_job_reads_is_a_result_that_some_stage_makes(scale):
    known = ("papers/", "data/")
    assert [
        path
        for _, _, files in jobs(scale).values()
        for path in flat(files)
        if maker(path) is None and not path.startswith(known)
    ] == []


@pytest.mark.parametrize("scale", SCALES)
def test_no_job_reads_the_results_of_another_paper(scale):
    for _, job, files in jobs(scale).values():
        own = (f"results/{scale}/{job['paper']}/", f"papers/{job['paper']}/")
        assert all(path.startswith(own) for path in flat(files)), job


# -- tables ----------------------------------------------------------------------------------------


def test_every_task_is_wired_and_has_something_to_call():
    """A paper names a function for every task, and for nothing else."""
    wired = {(name, task) for name, stage in STAGES.items() for task in stage.tasks if task}
    config = graph("quick").config
    named = [config[paper].get("entry_points", {}) for paper in graph("quick").papers]
    found = {(stage, task) for tasks in named for stage in tasks for task in tasks[stage]}
    assert found == wired


def test_every_task_is_used_by_a_paper():
    """What no configuration can reach is dead."""
    used = {
        (stage, STAGES[stage].choose(graph(scale), job))
        for scale in SCALES
        for stage, job, _ in jobs(scale).values()
        if stage in STAGES
    }
    assert used == {(name, task) for name, stage in STAGES.items() for task in stage.tasks}


def test_the_first_entry_that_a_job_has_decides_what_is_done():
    files = Files({"lab": {"learned": {"a": {"by": "hand"}}, "given": {"a": 1, "b": 2}}})
    task = Task({}, {})
    stage = Stage(
        {"given": task, "by hand": task},
        {"{paper}.learned.{name}.by": "by {value}", "{paper}.given.{name}": "given"},
    )
    assert stage.choose(files, {"paper": "lab", "name": "a"}) == "by hand"
    assert stage.choose(files, {"paper": "lab", "name": "b"}) == "given"
    with pytest.raises(ConfigError, match="none of lab.learned.c.by, lab.given.c"):
        stage.choose(files, {"paper": "lab", "name": "c"})
    assert one(task).choose(files, {}) == ""


def test_an_entry_is_found_through_names():
    section = {"forecasters": {"f": {"model": "m"}}, "models": {"m": {"codec": "bins"}}}
    files, job = Files({"lab": section}), {"paper": "lab", "name": "f"}
    assert files.entry("{paper}.forecasters.{name}.model", job) == "m"
    assert files.entry("{paper}.forecasters.{name}.model.codec", job) == "bins"
    assert files.entry("{paper}.forecasters.none.model.codec", job) is None


def test_batches_carry_all_and_none_is_empty():
    files = Files({"batches": {"seeds": 4}})
    assert [len(files.batches("seeds", n)) for n in (0, 1, 4, 5, 8, 9)] == [0, 1, 1, 2, 2, 3]


def test_rates_that_are_given_cannot_be_tuned():
    of = graph("quick")
    paper, case, name = next(
        (job["paper"], job["case"], job["model"])
        for stage, job, _ in jobs("quick").values()
        if stage == "train" and of.entry("{paper}.learning.{model}", job)
    )
    with pytest.raises(ConfigError, match=f"the rates of {name} are given, not tuned"):
        of.spec_of("tune", {"paper": paper, "case": case, "model": name, "batch": "0"})


def test_memory_and_time_double_with_every_attempt():
    of = Graph({"resources": {"default": {"mem_mb": 100}, "train": {"mem_mb": 7}}}, ROOT)
    assert [of.mem("train")(None, attempt) for attempt in (1, 2, 3)] == [7, 14, 28]
    assert of.mem("other")(None, 1) == 100


# -- rules -----------------------------------------------------------------------------------------


def test_the_shared_file_of_rules_stays_small():
    assert len((ROOT / "rules/common.smk").read_text().splitlines()) <= 80


def test_every_rule_of_a_stage_can_be_read_alone():
    """Its inputs are literal paths, or one call of the wiring."""
    for name, body in rules():
        written = re.search(r"^    input:\n((?: {8}.*\n)+)", body, re.M)
        lines = [line.strip() for line in written[1].splitlines()] if written else []
        literal = all(re.fullmatch(r'(\w+=)?"results/[^"]+",', line) for line in lines)
        call = rf'unpack\((graph\.inputs\("{name}"\)|STUDIES\.\w+)\),'
        assert literal or (len(lines) == 1 and re.fullmatch(call, lines[0])), name


def test_the_wiring_names_no_paper_and_no_snakemake():
    papers = "|".join(layout.papers(ROOT))
    for path in sorted((ROOT / "pipeline/graph").glob("*.py")):
        assert not re.search(rf"\b({papers})\b|import snakemake|from snakemake", path.read_text())
