"""The workflow at scale smoke from end to end, in a copy of the project with a store of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr
import yaml
from documents import blocks
from soundness import TRACING, unforeseen

from pipeline import layout

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).parents[1]
PARTS = (
    "Snakefile",
    "config.yaml",
    "dalib",
    "papers",
    "pipeline",
    "profiles",
    "rules",
    "workflow_scripts",
)
PROGRESS = r"\d+ of \d+ steps"  # of Snakemake, after every job
TELL_EVERY = 60.0  # seconds
MOST_JOBS = {"smoke": 40, "quick": 60, "desk": 150, "paper": 150}


class Project:
    """A copy of the project's files, run with the snakemake of this environment."""

    def __init__(self, folder: Path, tell: Callable[[str], None] = lambda line: None):
        self.folder, self.tell = folder, tell
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source, target = ROOT / part, folder / part
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, ignore=ignore) if source.is_dir() else shutil.copy(
                source, target
            )

    def snakemake(self, *arguments: str, scale: str = "smoke", cores: int = 2, **environment: str):
        """Run snakemake; its process with the output of both streams as text.

        Settings beside the scale can stand last among the arguments, behind a `--config`.
        """
        program = Path(sys.executable).with_name("snakemake")
        config = [] if "--config" in arguments else ["--config"]
        config.append(f"scale={scale}")
        command = [program, f"--cores={cores}", *arguments, *config]
        lines, told = [], time.monotonic()
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            for line in process.stdout:  # however long it takes: a machine may be slow or busy
                lines.append(line)
                if time.monotonic() - told > TELL_EVERY and re.match(PROGRESS, line):
                    told = time.monotonic()
                    self.tell(f"\n{scale}: {line.strip()}")
        return subprocess.CompletedProcess(command, process.returncode, "".join(lines))

    def counts(self, output: str) -> dict[str, int]:
        """{"computed": n, "reused": n, "failed": n} of the closing summary."""
        found = re.search(r"(\d+) computed, (\d+) reused, (\d+) failed", output)
        assert found, output
        return dict(zip(("computed", "reused", "failed"), map(int, found.groups()), strict=True))

    def computed(self, output: str) -> list[str]:
        """The jobs that computed, as their lines on the terminal name them."""
        return re.findall(r"^(\S.*): computed in", output, re.MULTILINE)

    def results(self) -> dict[str, bytes]:
        """Bytes of every NetCDF, CSV and PNG, but for what measured times enter."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted((self.folder / "results").rglob("*"))
            if path.suffix in (".nc", ".csv", ".png")
            and not path.name.startswith(("timing", "times"))
        }

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} holds {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def project(tmp_path_factory, pytestconfig) -> Project:
    """The workflow after one run at scale smoke; a slow one tells how far it is."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, file=sys.stderr, flush=True)

    made = Project(tmp_path_factory.mktemp("project"), tell)
    made.traces = tmp_path_factory.mktemp("traces")
    search = os.pathsep.join([str(made.folder), str(TRACING)])
    run = made.snakemake(PYTHONPATH=search, DALIB_TRACE=str(made.traces))
    assert run.returncode == 0, run.stdout
    made.first = made.results()
    return made


def test_every_function_that_a_job_entered_is_in_its_closure(project):
    assert len(list(project.traces.iterdir())) > 20
    assert list(unforeseen(project.traces, project.folder)) == []


def test_every_artefact_of_the_paper_is_there(project):
    results = project.folder / "results/smoke"
    for figure in ("fig1", "fig2a", "fig2b", "fig4"):
        for kind in ("pdf", "png", "nc"):
            assert (results / f"dkf/figures/{figure}.{kind}").stat().st_size > 1000
    for table in ("table1", "timing_table1", "table_filters"):
        assert (results / f"dkf/tables/{table}.md").read_text().startswith("|")
        assert len((results / f"dkf/tables/{table}.csv").read_text().splitlines()) > 1
    assert "<html" in (results / "index.html").read_text()


def test_every_claim_has_a_row_in_the_scorecard(project):
    rows = json.loads((project.folder / "results/smoke/scorecard.json").read_text())
    claims = [
        claim
        for paper in ("dkf", "gpt", "adda", "lensf", "benchmark")
        for claim in yaml.safe_load((ROOT / layout.claims_of(paper)).read_text())
    ]
    assert [row["id"] for row in rows] == [claim["id"] for claim in claims]
    assert len(rows) == 73
    decided = [claim["id"] for claim in claims if claim["decided_from"] == "smoke"]
    assert [row["id"] for row in rows if row["verdict"] == "reproduced"] == decided
    others = {row["verdict"] for row in rows if row["id"] not in decided}
    assert others == {"not decidable at this scale"}


def test_every_figure_leaves_the_series_of_the_specification(project):
    figures = project.folder / "results/smoke/dkf/figures"
    fig1 = xr.load_dataset(figures / "fig1.nc")
    assert fig1.x.sizes["time"] == 401 and fig1.x.notnull().all()
    fig2a = xr.load_dataset(figures / "fig2a.nc")
    assert {"training", "held_out"} <= set(fig2a.data_vars)
    fig2b = xr.load_dataset(figures / "fig2b.nc")
    assert {"truth", "observations", "estimate", "error"} <= set(fig2b.data_vars)
    assert fig2b.method.values.tolist() == ["ekf", "particle", "dkf"]
    assert fig2b.estimate.notnull().all() and fig2b.observations.notnull().any()
    fig4 = xr.load_dataset(figures / "fig4.nc")
    assert fig4.sizes["level"] == 6
    for data in (fig2a, fig4):
        assert all(data[name].notnull().all() for name in data.data_vars)


def test_every_figure_of_tokens_leaves_the_series_of_the_specification(project):
    """Present, finite but for what was not repeated, and of the length that the scale asks for."""
    figures = project.folder / "results/smoke/gpt/figures"
    data = {
        name: xr.load_dataset(figures / f"fig{name}.nc") for name in ("1", "2", "3", "S1", "S2")
    }
    past = {"past_state", "past_token", "past_centre"}
    assert past | {"future_state", "future_token", "future_centre"} <= set(data["1"].data_vars)
    assert data["2"].truth.sizes == data["2"].generated.isel(temperature=0).sizes
    assert data["2"].sizes["time"] == 20 + 200  # given, and a free run
    assert data["3"].method.values.tolist()[0] == "gpt" and "paired" in data["3"].method
    assert data["3"].sizes["time"] == 50
    assert data["3"].difference.isel(repeat=0).notnull().all()
    assert data["S1"].model.values.tolist() == ["lorenz20", "henon", "rossler"]
    assert {"training", "validation", "floor", "order1", "order2"} <= set(data["S1"].data_vars)
    assert data["S2"].source.values.tolist() == ["truth", "gpt", "gpt_greedy", "markov"]
    for name in ("1", "2"):
        assert all(data[name][variable].notnull().all() for variable in data[name].data_vars)


def test_the_tables_of_tokens_hold_what_is_published_beside_ours(project):
    tables = project.folder / "results/smoke/gpt/tables"
    table = (tables / "table1.md").read_text()
    assert "| GPT-2 v. True1, published | 3.0379 | 0.00499 | 0.0557 |" in table
    assert "Hénon" in (tables / "story.md").read_text()
    assert "gpt-story" in (project.folder / "results/smoke/index.html").read_text()


def test_a_second_run_does_nothing_also_after_touching_every_source(project):
    for path in project.folder.rglob("*.py"):
        path.touch()
    for path in [*project.folder.rglob("*.smk"), *project.folder.rglob("config.yaml")]:
        path.touch()
    run = project.snakemake()
    assert run.returncode == 0
    assert "Nothing to be done" in run.stdout


def test_an_edit_of_the_particle_filter_computes_only_what_uses_it(project):
    edits = ("dalib/filters/particle.py", "return (-(2 * log_weights).logsumexp(-1)).exp()")
    project.edit(*edits, "return (-(2.0 * log_weights).logsumexp(-1)).exp()")
    run = project.snakemake()
    computed = project.computed(run.stdout)
    uses_it = {"assimilate_runs dkf/filters_clean/1", "time_runs dkf/samples"}
    uses_it |= {"evaluate_runs dkf/filters_clean"}  # knows the class of each method
    shows_the_time = {"dkf_tables", "judge dkf"}
    assert uses_it <= set(computed) <= uses_it | shows_the_time, run.stdout
    assert "dalib.filters.particle:effective_size changed" in run.stdout

    project.edit(edits[0], "(2.0 * log_weights)", "(2 * log_weights)")
    back = project.snakemake()
    assert project.counts(back.stdout)["computed"] == 0, back.stdout
    assert project.results() == project.first


def test_a_new_line_in_a_registry_reruns_nothing(project):
    line = '    "particle": "dalib.filters.particle:BootstrapParticle",\n'
    project.edit("dalib/registry.py", line, line + '    "mine": "my_lab.filters:Mine",\n')
    run = project.snakemake()
    project.edit("dalib/registry.py", '    "mine": "my_lab.filters:Mine",\n', "")
    assert "Nothing to be done" in run.stdout


def test_a_damaged_result_comes_back_with_the_next_plain_run(project):
    damaged = project.folder / "results/smoke/dkf/filters_clean/assimilate/part0.nc"
    edited = project.folder / "results/smoke/dkf/tables/table1.csv"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    edited.write_text("method,rmse\nmine,0.0\n")
    run = project.snakemake()
    assert run.returncode == 0, run.stdout
    assert "changed since it was made" in run.stdout
    assert not project.computed(run.stdout)
    assert project.results() == project.first


def test_without_results_and_metadata_everything_is_reused(project):
    shutil.rmtree(project.folder / "results")
    shutil.rmtree(project.folder / ".snakemake")
    run = project.snakemake()
    assert run.returncode == 0, run.stdout
    assert project.counts(run.stdout)["computed"] == 0, run.stdout
    assert project.results() == project.first


def test_one_core_gives_the_same_bytes_as_two(project, tmp_path):
    alone = Project(tmp_path / "alone")
    names = ("gpt/henon_tokens/scores", "adda/cw/scores/learning", "adda/glv/scores/learning")
    files = [f"results/smoke/{name}.nc" for name in names]
    run = alone.snakemake("dkf", *files, cores=1)
    assert run.returncode == 0, run.stdout
    found = alone.results()
    assert {"results/smoke/dkf/figures/fig1.nc", *files} <= found.keys()
    assert found == {name: project.first[name] for name in found}


def test_a_system_and_a_filter_of_ones_own_join_the_table_by_configuration_alone(project):
    """The example of docs/extending.md, with the cases of scale smoke."""
    module = next(b for b in blocks("docs/extending.md", "python") if "Pendulum" in b)
    config = yaml.safe_load(next(b for b in blocks("docs/extending.md", "yaml") if "pendulum" in b))
    (project.folder / "my_lab.py").write_text(module)
    (project.folder / "my_lab.yaml").write_text(yaml.safe_dump(config))
    table = "results/smoke/dkf/tables/table_filters.md"
    run = project.snakemake(table, "--configfile", "my_lab.yaml")
    assert run.returncode == 0, run.stdout
    rows = [row for row in (project.folder / table).read_text().splitlines() if "pendulum" in row]
    assert sorted(row.split("|")[2].strip() for row in rows) == ["ekf", "half"]
    new = [job for job in project.computed(run.stdout) if "pendulum" not in job]
    assert new == ["dkf_tables"], run.stdout


def test_results_of_another_scale_are_refused(project):
    run = project.snakemake("results/paper/dkf/figures/fig1.pdf", scale="quick")
    assert run.returncode != 0
    assert "belongs to scale paper, but the configured scale is quick" in run.stdout
    assert "Traceback" not in run.stdout


def test_lint_complains_of_missing_environments_only(tmp_path):
    fresh = Project(tmp_path / "fresh")
    output = fresh.snakemake("--lint").stdout
    complaints = set(re.findall(r"^ +\* (.*):$", output, re.MULTILINE))
    assert complaints == {"Specify a conda environment or container for each rule."}, output


@pytest.mark.parametrize("paper", ["dkf", "gpt", "adda", "lensf", "benchmark"])
@pytest.mark.parametrize("scale", MOST_JOBS)
def test_the_graph_of_a_paper_has_few_jobs(tmp_path, scale, paper):
    fresh = Project(tmp_path / "fresh")
    run = fresh.snakemake(paper, "--dry-run", "--quiet", "rules", scale=scale)
    assert run.returncode == 0, run.stdout
    stats = {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)$", run.stdout, re.MULTILINE)}
    computing = stats["total"] - stats[paper]  # the last one only gathers
    assert 0 < computing <= MOST_JOBS[scale], run.stdout


def test_a_study_on_the_validation_part_has_its_truth_and_the_codecs_of_others(tmp_path):
    fresh = Project(tmp_path / "fresh")
    target = "results/quick/lensf/mitigations/scores.nc"
    run = fresh.snakemake(target, "--dry-run", scale="quick")
    assert run.returncode == 0, run.stdout
    read = set(re.findall(r"results/quick/lensf/\S+?\.nc", run.stdout))
    home = "results/quick/lensf/data/basin"
    parts = ("truth_valid", "observations_valid", "prior_valid", "codecs/vae_10_0.1")
    assert {f"{home}/{name}.nc" for name in parts} <= read
    (evaluation,) = re.findall(r"rule evaluate_runs:\n +input: (.+)\n", run.stdout)
    assert "truth_test" not in evaluation and "observations_test" not in evaluation


def test_no_paper_reruns_for_the_code_of_another(project):
    """An edit of the GPT leaves dkf alone, one of the particle filter leaves gpt alone."""

    def due() -> set[str]:
        output = project.snakemake("--dry-run", "--quiet", "host").stdout
        return set(re.findall(r"^ +output: (results/.+)$", output, re.MULTILINE))

    before = due()
    edits = {
        "gpt": ("dalib/nets/gpt.py", "-1, (3, heads, -1)", "-1, [3, heads, -1]"),
        "dkf": ("dalib/filters/particle.py", "2 * log_weights", "2.0 * log_weights"),
        "adda": ("dalib/learn/schedule.py", "waited + 1)", "waited + 1.0)"),
    }
    for paper, (file, old, new) in edits.items():
        project.edit(file, old, new)
        found = due() - before
        project.edit(file, new, old)
        assert {outputs.split("/")[2] for outputs in found} == {paper}


TRAINED = {"train", "fit_codec", "fit_dynamics"}
ON_A_GPU = TRAINED | {
    "tune",
    "assimilate",
    "fit",
    "assimilate_runs",
    "forecast_runs",
    "sample_runs",
}


@pytest.mark.parametrize(
    ("setting", "on_a_gpu"),
    [
        ("device=cpu", set()),
        ("device=cuda", ON_A_GPU),
        ("devices={train: cuda}", TRAINED),
    ],
)
def test_a_stage_on_cuda_asks_for_one_gpu(tmp_path, setting, on_a_gpu):
    fresh = Project(tmp_path / "fresh")
    output = fresh.snakemake("--dry-run", "--quiet", "host", "--config", setting).stdout
    blocks = re.findall(r"^rule (\w+):\n((?: +.*\n)+)", output, re.MULTILINE)
    asked = {rule: int(gpu) for rule, block in blocks for gpu in re.findall(r"gpu=(\d)", block)}
    assert asked == {rule: int(rule in on_a_gpu) for rule in ON_A_GPU}
