"""What makes a result stale, row by row, in a toy workflow run by the real snakemake.

The toy has three stages in a row, `make` -> `double` -> `total`, for the cases `a` and `b`, on the
real code digest, stage, audit and profile. It is built once; each test changes a copy of it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.toy import PATIENCE, interruptible
from pipeline import provenance, verify

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).parents[1]
STAGES = ("make", "double", "total")

SNAKEFILE = """
from pathlib import Path

from snakemake.exceptions import WorkflowError

from pipeline import audit, runs
from pipeline.specs import Specs

configfile: "config.yaml"

try:
    audit.begin(config["scale"], config["cache"]["dir"], main=workflow.is_main_process)
except audit.ActiveError as error:
    raise WorkflowError(str(error))

SPECS = Specs(config, Path(workflow.basedir))
CASE = "results/{scale}/{paper}/{case}/"

rule all:
    localrule: True
    input: expand(CASE + "total.txt", scale="smoke", paper="toy", case=["a", "b"])

rule make:
    input: raw="data/{case}.txt"
    output: CASE + "numbers.txt"
    log: "results/{scale}/logs/{paper}.{case}.make.log"
    params: spec=SPECS.spec("make.py", case="{paper}.cases.{case}")
    script: "workflow_scripts/make.py"

rule double:
    input: numbers=CASE + "numbers.txt"
    output: CASE + "doubled.txt"
    log: "results/{scale}/logs/{paper}.{case}.double.log"
    params: spec=SPECS.spec("double.py")
    script: "workflow_scripts/double.py"

rule total:
    input: doubled=CASE + "doubled.txt"
    output: CASE + "total.txt"
    log: "results/{scale}/logs/{paper}.{case}.total.log"
    params: spec=SPECS.spec("total.py", rounding="{paper}.rounding")
    script: "workflow_scripts/total.py"

onsuccess: print(runs.summary())
onerror: print(runs.summary())
"""

CONFIG = {
    "scale": "smoke",
    "device": "cpu",
    "seed": 1,
    "cache": {"dir": ".cache/stages", "keep_gb": 1},
    "code": {"strict_versions": False},
    "toy": {
        "rounding": {"digits": 3},
        "cases": {"a": {"first": 2, "second": 3}, "b": {"first": 5, "second": 5}},
    },
}

OPS = '''"""What the stages of the toy use."""


def numbers(text, first, second):
    """The words of `text` as numbers, with two more."""
    return [int(word) for word in text.split()] + [first, -second]


def double(values):
    return [2 * value for value in values]


def total(values, digits):
    return round(sum(values), digits)


def unused():
    return 1
'''

SCRIPT = """from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from pathlib import Path
    import json
    from dalib import io
    from toy import ops

    text = Path(snakemake.input[0]).read_text()
    {body}
    io.write_text(snakemake.output[0], json.dumps(result))
"""

BODIES = {
    "make": 'result = ops.numbers(text, **stage.config["case"])',
    "double": "result = ops.double(json.loads(text))",
    "total": 'result = ops.total(json.loads(text), **stage.config["rounding"])',
}


class Toy:
    """The toy workflow in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.ops = folder / "toy/ops.py"
        self.config = folder / "config.yaml"

    def path(self, stage: str, case: str = "a") -> Path:
        name = {"make": "numbers", "double": "doubled", "total": "total"}[stage]
        return self.folder / f"results/smoke/toy/{case}/{name}.txt"

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=interruptible,
        )

    def run(self, *arguments: str, code: int = 0) -> dict[str, str]:
        """Run snakemake; what each job did, `{"make a": "computed", ...}`."""
        before = set(self.folder.glob(".cache/stages/runs/*"))
        process = self.start(*arguments)
        self.said = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == code, self.said
        logs = set(self.folder.glob(".cache/stages/runs/*")) - before
        entries = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        return {e["job"].replace("toy/", ""): e["status"] for e in entries}

    def edit(self, old: str, new: str, path: Path | None = None) -> None:
        path = path or self.ops
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def configure(self, change) -> None:
        config = json.loads(self.config.read_text())
        change(config["toy"])
        self.config.write_text(json.dumps(config))

    def touch(self, *patterns: str) -> None:
        """New times, in an order unlike that in which the files were made."""
        for pattern in patterns:
            for path in sorted(self.folder.glob(pattern), reverse=True):
                os.utime(path)
                time.sleep(0.01)

    def results(self) -> dict[str, bytes]:
        folder = self.folder / "results/smoke/toy"
        return {str(p): p.read_bytes() for p in folder.rglob("*.txt")}


def every(status: str, *stages: str, cases: str = "ab") -> dict[str, str]:
    return {f"{stage} {case}": status for stage in stages for case in cases}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Toy:
    folder = tmp_path_factory.mktemp("built")
    files = {
        "Snakefile": SNAKEFILE,
        "config.yaml": json.dumps(CONFIG),
        "toy/__init__.py": "",
        "toy/ops.py": OPS,
        "toy/other.py": "x = 1\n",
        "data/a.txt": "1 2",
        "data/b.txt": "3 4",
        "profiles/default/config.yaml": (ROOT / "profiles/default/config.yaml").read_text(),
    } | {f"workflow_scripts/{s}.py": SCRIPT.format(body=BODIES[s]) for s in STAGES}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    toy = Toy(folder)
    assert toy.run() == every("computed", *STAGES)
    assert "6 computed, 0 reused, 0 failed" in toy.said
    return toy


@pytest.fixture
def toy(built, tmp_path, monkeypatch) -> Toy:
    shutil.copytree(built.folder, tmp_path / "toy", copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path / "toy")
    return Toy(tmp_path / "toy")


def test_touching_anything_reruns_nothing(toy):
    toy.touch("toy/*.py", "workflow_scripts/*.py", "data/*", "results/smoke/toy/*/*.txt")
    toy.touch("config.yaml", "Snakefile")
    assert toy.run() == {}


def test_comments_docstrings_formatting_and_unused_code_rerun_nothing(toy):
    toy.edit("as numbers, with two more.", "as numbers; two more follow.")
    toy.edit(
        "    return [2 * value for value in values]",
        "    # twice\n    return [2*value for value in values]",
    )
    toy.edit("return 1", "return 2")
    toy.edit("x = 1", "x = 2", toy.folder / "toy/other.py")
    assert toy.run() == {}


def test_a_function_that_changes_the_output_reruns_its_stage_and_what_follows(toy):
    toy.edit("2 * value", "3 * value")
    assert toy.run() == every("computed", "double", "total")
    assert "double toy/a: computed" in toy.said and "(toy.ops:double changed)" in toy.said
    assert "(input doubled changed)" in toy.said


def test_a_function_that_leaves_the_output_reruns_its_stage_alone(toy, capsys):
    toy.edit("2 * value", "value + value")
    assert verify.main(Path("."), CONFIG) == 1
    assert "b/doubled.txt: toy.ops:double changed; run snakemake" in capsys.readouterr().out
    assert toy.run() == every("computed", "double") | every("reused", "total")
    assert toy.run() == {}


def test_a_change_taken_back_computes_nothing(toy):
    before = toy.results()
    toy.edit("2 * value", "3 * value")
    toy.run()
    assert toy.results() != before
    toy.edit("3 * value", "2 * value")
    assert toy.run() == every("reused", "double", "total")
    assert toy.results() == before


def test_a_key_of_another_section_reruns_nothing(toy):
    toy.configure(lambda config: config.update(other={"new": 1}))
    assert toy.run() == {}


def test_a_key_of_the_section_reruns_its_stage_and_what_follows(toy):
    toy.configure(lambda config: config["cases"]["a"].update(first=7))
    assert toy.run() == every("computed", *STAGES, cases="a")
    assert "(config case.first: 2 -> 7)" in toy.said


def test_two_values_exchanged_rerun_the_stage(toy):
    toy.configure(lambda config: config["cases"]["a"].update(first=3, second=2))
    assert toy.run() == every("computed", *STAGES, cases="a")


def test_new_content_of_an_input_reruns_what_reads_it(toy):
    (toy.folder / "data/a.txt").write_text("2 1")
    assert toy.run() == every("computed", "make", "double", cases="a") | {"total a": "computed"}
    assert "(input raw changed)" in toy.said


def test_a_deleted_intermediate_comes_back_when_it_is_needed(toy):
    before = toy.results()
    toy.path("make").unlink()
    assert toy.run() == {}
    toy.path("double").unlink()
    assert toy.run("--", str(toy.path("double").relative_to(toy.folder))) == {
        "make a": "reused",
        "double a": "reused",
    }
    assert toy.results() == before


def test_without_snakemakes_folder_all_is_reused(toy):
    before = toy.results()
    shutil.rmtree(toy.folder / ".snakemake")
    assert toy.run() == every("reused", *STAGES)
    assert toy.results() == before and "not known to Snakemake" in toy.said
    assert toy.run() == {}


def test_results_carried_elsewhere_without_folder_and_store_are_reused(toy):
    shutil.rmtree(toy.folder / ".snakemake")
    shutil.rmtree(toy.folder / ".cache")
    assert toy.run() == every("reused", *STAGES)


def test_an_edited_result_is_found_and_restored(toy, capsys):
    before = toy.results()
    toy.path("double").write_text("[0]")
    assert verify.main(Path("."), CONFIG) == 1
    assert "doubled.txt: changed since it was made" in capsys.readouterr().out
    assert toy.run() == {}
    assert toy.results() == before
    (aside,) = toy.folder.glob(".cache/aside/*/results/smoke/toy/a/*")
    assert aside.read_text() == "[0]"
    notice = "doubled.txt: changed since it was made, moved to .cache/aside and restored from the"
    assert notice in toy.said
    assert verify.main(Path("."), CONFIG) == 0


def test_a_lost_input_is_named_once_and_not_its_results(toy, capsys):
    toy.path("double").unlink()
    assert verify.main(Path("."), CONFIG) == 1
    (line, _) = capsys.readouterr().out.splitlines()
    gone = toy.path("double").relative_to(toy.folder)
    assert line == f"{gone}: missing; run snakemake {gone}"


def test_a_dry_run_moves_nothing(toy):
    toy.path("double").write_text("[0]")
    toy.run("--dry-run")
    assert toy.path("double").read_text() == "[0]"


SLOW = """    import time
    from dalib.io import replacing
    with replacing(snakemake.output[0]) as part:
        part.write_text("[1")
        Path("started").touch()
        while not Path("go").exists():
            time.sleep(0.05)
"""


def kill_in_the_middle(toy: Toy, how: int) -> None:
    """Kill snakemake and its job while the result `double b` is half written."""
    toy.path("double", "b").unlink()
    toy.path("total", "b").unlink()
    shutil.rmtree(toy.folder / ".cache/stages/keys")
    script = toy.folder / "workflow_scripts/double.py"
    text = script.read_text()
    toy.edit("    text = ", SLOW + "    text = ", script)
    target = str(toy.path("double", "b").relative_to(toy.folder))
    process = toy.start("--", target)
    while not (toy.folder / "started").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    assert list(toy.path("double", "b").parent.glob("*.part-*"))
    assert not toy.path("double", "b").exists()
    os.killpg(process.pid, how)  # like Ctrl-C, or a host that dies
    process.communicate(timeout=PATIENCE)
    script.write_text(text)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_killed_in_the_middle_of_a_write(toy, how):
    before = toy.results()
    kill_in_the_middle(toy, how)
    assert not toy.path("double", "b").exists()
    if how == signal.SIGKILL:
        assert list(toy.path("double", "b").parent.glob("*.part-*"))
        toy.run(code=1)
        assert "the last run here was interrupted and left its locks: make unlock" in toy.said
        unlock = [sys.executable, "-m", "pipeline", "unlock"]
        done = subprocess.run(unlock, capture_output=True, text=True, check=True)
        assert "left by a process that is gone, cleared" in done.stdout
    ran = toy.run()
    assert ran["double b"] == "computed" and ran["total b"] == "computed"
    assert toy.results() == before and not list(toy.folder.rglob("results/**/*.part-*"))


def lines_until(process: subprocess.Popen, words: str) -> str:
    """What a process says up to the line with these words."""
    said = ""
    while words not in said:
        line = process.stdout.readline()
        assert line, said  # it has ended
        said += line
    return said


def test_a_job_that_outlived_its_snakemake_is_waited_for(toy):
    script = toy.folder / "workflow_scripts/double.py"
    toy.edit("    text = ", SLOW + "    text = ", script)
    target = str(toy.path("double", "b").relative_to(toy.folder))
    process = toy.start("--", target)
    while not (toy.folder / "started").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.kill()
    process.wait()
    subprocess.run([sys.executable, "-m", "pipeline", "unlock"], check=True)
    waiting = toy.start("--", target)
    said = lines_until(waiting, "double toy/b: waiting for a job of an earlier run that writes")
    (toy.folder / "go").touch()
    said += waiting.communicate(timeout=PATIENCE)[0]
    assert waiting.returncode == 0 and "0 computed, 1 reused, 0 failed" in said, said


def test_a_second_run_is_told_who_is_active(toy):
    (toy.folder / "workflow_scripts/total.py").write_text(
        SCRIPT.format(body="import time; Path('started').touch(); time.sleep(3600)")
    )
    first = toy.start()
    while not (toy.folder / "started").exists():
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    toy.run(code=1)
    assert f"another run is active on host {os.uname().nodename} since" in toy.said
    assert f"(pid {first.pid})" in toy.said
    os.killpg(first.pid, signal.SIGINT)
    first.communicate(timeout=PATIENCE)


def test_a_failed_job_is_told_once_with_its_log(toy):
    toy.edit("2 * value", "value / 0")
    ran = toy.run(code=1)
    assert ran == every("failed", "double")
    assert "double (scale=smoke, paper=toy, case=a) failed: ZeroDivisionError" in toy.said
    assert "0 computed, 0 reused, 2 failed" in toy.said
    assert provenance.load("results/smoke/toy/a/doubled.txt")["status"] == "computed"


@pytest.mark.parametrize("how", ["copied", "moved", "linked"])
def test_an_input_replaced_by_an_older_file_is_noticed(toy, capsys, how):
    given, other = toy.folder / "data/a.txt", toy.folder / "other.txt"
    if how == "linked":  # the link leads to another file of the same size
        (toy.folder / "first.txt").write_text(given.read_text())
        given.unlink()
        given.symlink_to(toy.folder / "first.txt")
        assert toy.run() == {}
    other.write_text("7" * len(given.read_text()))
    os.utime(other, (1_500_000_000, 1_500_000_000))
    if how == "copied":
        shutil.copy2(other, given)
    elif how == "moved":
        other.replace(given)
    else:
        given.unlink()
        given.symlink_to(other)
    assert verify.main(Path("."), CONFIG) == 1
    assert "numbers.txt: input raw changed; run snakemake" in capsys.readouterr().out
    toy.run("--dry-run")
    assert "data/a.txt has changed since; a run makes it again" in toy.said
    assert toy.run() == every("computed", *STAGES, cases="a")
    assert verify.main(Path("."), CONFIG) == 0
    assert toy.run() == {}


def test_an_input_with_the_same_content_and_another_stamp_reruns_nothing(toy):
    given = toy.folder / "data/a.txt"
    given.replace(toy.folder / "old.txt")
    given.write_text((toy.folder / "old.txt").read_text())
    os.utime(given, (1_500_000_000, 1_500_000_000))
    assert toy.run() == {} and "data/a.txt" not in toy.said
    record = provenance.load("results/smoke/toy/a/numbers.txt")
    assert record["stamps"]["data/a.txt"] == provenance.stamp("data/a.txt")


def test_a_result_edited_under_its_old_time_and_size_is_restored(toy):
    before, path = toy.results(), toy.path("double")
    stat = path.stat()
    path.write_text("9" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert toy.run() == {} and "restored from the store" in toy.said
    assert toy.results() == before


def test_a_lost_input_that_no_stage_makes_is_to_be_put_back(toy, capsys):
    (toy.folder / "data/a.txt").unlink()
    assert verify.main(Path("."), CONFIG) == 1
    assert "data/a.txt: missing; no stage makes it, put it back" in capsys.readouterr().out
