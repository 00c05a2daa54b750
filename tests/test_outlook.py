"""What a run will cost, how far it is, which job is late, and what Snakemake itself costs."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from projects import configured

from benchmarks.toy import Toy
from dalib import io
from pipeline import measurements, outlook, overhead, speed
from pipeline.estimates import Job, Measured
from pipeline.graph import Graph
from pipeline.outlook import Expected, Progress, announced, duration, expected, kept, order
from pipeline.work import Size, names

ROOT = Path(__file__).parents[1]
GRAPH = Graph({"scale": "smoke", "batches": {}, "lab": {"cases": {"a": {}, "b": {}}}}, ROOT)


def job(rule, case="a", inputs=(), **more):
    wildcards = (("scale", "smoke"), ("paper", "lab"), ("case", case))
    return Job(rule, wildcards, tuple(inputs), (f"results/smoke/{case}/{rule}.nc",), **more)


def ran(rule, seconds, case="a", spec=""):
    name = f"{rule} paper=lab case={case}"
    size = Size({}, names("smoke", name))
    return Measured("smoke", size, seconds, 0, name, "here", spec)


# -- what is expected ----------------------------------------------------------------------------


def test_a_job_that_has_run_takes_what_it_took_and_another_what_its_kin_took():
    past = [ran("draw", 5.0), ran("draw", 7.0, case="b")]
    found = expected(GRAPH, [job("draw"), job("draw", "b"), job("other")], {}, past)
    assert [cost.seconds for cost in found.values()] == [5.0, 7.0, None]


def test_a_result_counts_as_kept_only_where_all_that_it_reads_is():
    first = job("make", inputs=["results/smoke/a/there.nc"])
    second, third = job("double", inputs=first.outputs), job("draw", inputs=["data/raw.txt"])
    jobs = [first, second, third]
    assert kept(jobs, jobs) == {first, second}  # nobody knows what is in data/raw.txt
    assert kept(jobs, [second]) == set()
    specs = {first: {"config": {"m": 1}}, second: {"config": {"d": 1}}}
    digests = [measurements.digest_of(spec) for spec in specs.values()]
    past = [ran("make", 50.0, spec=digests[0]), ran("double", 90.0, spec=digests[1])]
    found = expected(GRAPH, [first, second], specs, past)
    assert all(cost == Expected(outlook.REUSED, True) for cost in found.values())


def test_a_run_is_announced_with_jobs_minutes_and_cores():
    costs = {job("train"): Expected(600.0), job("draw", "b"): Expected(120.0)}
    first, most, *_ = announced(costs, 2)
    assert (
        first
        == "2 jobs to run: about 10 minutes on 2 cores of this machine (12 minutes of CPU time)"
    )
    assert most == "  most of it: train 10 minutes, draw 2.0 minutes"


def test_what_most_waits_for_is_first_and_what_is_unknown_before_all():
    long, short = job("train"), job("draw", "b")
    needed = job("observe")
    waiting = job("last", inputs=needed.outputs)
    costs = {long: Expected(50.0), short: Expected(5.0), needed: Expected(1.0)}
    costs |= {waiting: Expected(100.0)}
    assert order(costs) == {long: 50.0, short: 5.0, needed: 101.0, waiting: 100.0}
    new = order(costs | {short: Expected(None)})
    assert max(new, key=new.get) == short and new[long] == 50.0


def test_cores_share_what_does_not_wait_for_each_other():
    jobs = {job("draw", str(i)): Expected(60.0) for i in range(10)}
    assert outlook.wall_seconds(jobs, 2) == 300
    chain = {job("draw"): Expected(60.0), job("last", inputs=job("draw").outputs): Expected(60.0)}
    assert outlook.wall_seconds(chain, 2) == 120


def test_what_was_never_measured_is_said_to_be_unknown():
    unknown = {job("draw"): Expected(None), job("draw", "b"): Expected(None)}
    assert "unknown: nothing like them was ever measured" in " ".join(announced(unknown, 2))
    lines = list(announced(unknown | {job("train"): Expected(60.0)}, 2))
    assert "and 2 of unknown cost, never measured: draw" in lines[1]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 seconds"), (42.0, "42 seconds"), (110.0, "1.8 minutes"), (720.0, "12 minutes")],
)
def test_durations_read_naturally(seconds, said):
    assert duration(seconds) == said
    assert duration(3 * 3600.0) == "3.0 hours"


# -- progress ------------------------------------------------------------------------------------


def test_a_job_that_takes_several_times_its_plan_is_named_once_and_again_at_twice_that():
    late = job("train")
    progress = Progress({late: Expected(100.0)}, 2, {late.outputs[0]: "logs/train.log"})
    said = {
        t: list(progress.look(t, late.outputs)) for t in (0.0, 290.0, 301.0, 310.0, 601.0, 603.0)
    }
    warned = {t: [line for line in lines if "planned" in line] for t, lines in said.items()}
    assert [t for t, lines in warned.items() if lines] == [301.0, 603.0]
    (line,) = warned[301.0]
    assert line.startswith("train paper=lab case=a: runs for 5.0 minutes, planned were 1.7 minutes")
    assert "logs/train.log" in line and "Ctrl-C" in line


def test_a_short_job_is_late_only_after_a_minute_and_an_unknown_one_never():
    short, unknown = job("draw"), job("new")
    progress = Progress({short: Expected(1.0), unknown: Expected(None)}, 2)
    running = [*short.outputs, *unknown.outputs]
    assert not [*progress.look(0.0, running), *progress.look(60.0, running)]
    lines = [line for line in progress.look(62.0, running) if "planned" in line]
    assert len(lines) == 1 and lines[0].startswith("draw")


def test_progress_tells_what_is_left_at_the_pace_so_far():
    """Two of four jobs of a minute took twice as long as planned: so will the others."""
    jobs = {job("draw", str(i)): Expected(60.0) for i in range(4)}
    outputs = [one.outputs[0] for one in jobs]
    progress = Progress(jobs, 1)
    assert not list(progress.look(0.0, outputs[:1]))
    assert not list(progress.look(119.0, outputs[1:2]))
    (line,) = progress.look(240.0, outputs[2:3])
    assert line == "2 of 4 jobs done after 4.0 minutes, about 4.0 minutes to go"


def test_progress_says_what_was_never_measured():
    known, unknown = job("draw"), job("new")
    progress = Progress({known: Expected(60.0), unknown: Expected(None)}, 1)
    assert not list(progress.look(0.0, known.outputs))
    (line,) = progress.look(120.0, unknown.outputs)
    assert line == "1 of 2 jobs done after 2.0 minutes, 1 left that were never measured"


# -- other machines ------------------------------------------------------------------------------


def test_seconds_of_another_machine_count_by_its_speed(tmp_path, monkeypatch):
    monkeypatch.setattr(measurements, "calibrated", lambda: {"products": 2.0, "interpreter": 8.0})
    monkeypatch.setattr(measurements, "stored", lambda store, root: [])
    shipped = [ran("draw", 5.0)]
    there = {"products": 1.0, "interpreter": 1.0}
    monkeypatch.setattr(measurements, "reference", lambda root: (there, shipped))
    found = measurements.known(tmp_path, tmp_path)
    assert found[0].seconds == pytest.approx(20.0)  # 4 times slower
    measured = json.loads(next(tmp_path.glob("speeds/*.json")).read_text())
    assert measured == {"products": 2.0, "interpreter": 8.0}
    monkeypatch.setattr(measurements, "calibrated", lambda: pytest.fail("measured twice"))
    assert measurements.known(tmp_path, tmp_path) == found


def test_the_reference_is_written_from_the_results_of_this_host(tmp_path, monkeypatch):
    """Others' are left out; what counts is what ran."""
    root = Path(".")
    monkeypatch.chdir(tmp_path)
    configured(root)
    wildcards = {"scale": "smoke", "paper": "dkf", "case": "clean"}
    here = measurements.socket.gethostname()
    for name, host in (("a", here), ("b", "elsewhere")):
        result = f"results/smoke/dkf/{name}/x.txt"
        io.write_text(result, "x")
        record = {"stage": "simulate", "wildcards": wildcards | {"split": name}, "spec": {}}
        config = {"case": {"truth": {"test": {"samples": 5}}}}
        record |= {"spec": {"config": config}, "seconds": 3.14, "host": host}
        io.write_json(f"{result}.prov.json", record | {"outputs": {result: {"size": 1}}})
    monkeypatch.setattr(measurements, "calibrated", lambda: {"products": 0.5})
    assert measurements.main(root) == 1  # nothing of scale quick
    monkeypatch.setattr(measurements, "SHIPPED", ("smoke",))
    assert measurements.main(root) == 0
    speeds, (found,) = measurements.reference(root)
    assert speeds == {"products": 0.5}
    assert (found.job, found.seconds) == ("simulate paper=dkf case=clean split=a", 3.1)
    assert found.size.counts == {"samples": 5}  # of what ran, not of the configuration of today


def test_what_the_store_remembers_goes_before_what_is_shipped(tmp_path, monkeypatch):
    here = measurements.socket.gethostname()
    remembered = [ran("draw", 3.0)._replace(host=here)]
    monkeypatch.setattr(measurements, "stored", lambda store, root: remembered)
    monkeypatch.setattr(
        measurements, "reference", lambda root: ({"products": 1.0}, [ran("draw", 9.0)])
    )
    monkeypatch.setattr(measurements, "calibrated", lambda: pytest.fail("nothing to compare"))
    assert measurements.known(tmp_path, tmp_path) == remembered


def test_the_speed_is_that_under_the_limits_set_on_the_processor(tmp_path, monkeypatch):
    for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"):
        monkeypatch.delenv(name, raising=False)
    plain = measurements.speed_file(tmp_path, "lab")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert measurements.speed_file(tmp_path, "lab") != plain


def test_every_piece_of_work_is_measured():
    assert all(seconds > 0 for seconds in speed.measured().values())
    assert measurements.calibrated().keys() == {piece.__name__ for piece in speed.PIECES}


# -- Snakemake itself ----------------------------------------------------------------------------


def workflow(jobs, timespan):
    limit = SimpleNamespace(max_jobs=jobs, timespan=timespan)
    settings = SimpleNamespace(max_jobs_per_timespan=limit)
    scheduler = SimpleNamespace(job_rate_limiter=object())
    return SimpleNamespace(scheduling_settings=settings, scheduler=scheduler)


def test_a_limit_of_submissions_that_somebody_set_is_kept():
    default, set_by_hand = workflow(*overhead.DEFAULT_RATE), workflow(10, 60)
    for one in (default, set_by_hand):
        overhead.only_wake_for_jobs(one)
    assert default.scheduler.job_rate_limiter is None
    assert set_by_hand.scheduler.job_rate_limiter is not None


def test_a_live_display_is_drawn_once_a_second():
    live = SimpleNamespace(refresh_per_second=8)
    handlers = [SimpleNamespace(live_display=live), SimpleNamespace()]
    listener = SimpleNamespace(handlers=handlers)
    overhead.draw_less(SimpleNamespace(logger_manager=SimpleNamespace(queue_listener=listener)))
    assert live.refresh_per_second == overhead.DRAWN == 1
    overhead.draw_less(SimpleNamespace(logger_manager=SimpleNamespace(queue_listener=None)))


@pytest.mark.workflow
def test_waiting_jobs_are_looked_at_when_a_job_ends_and_at_no_other_time(tmp_path):
    """One look at the start and one after each job; a second run knows what it will cost."""
    toy = Toy(tmp_path).make(cases=5, size=100)
    code, said = toy.run("--verbose", TOY_PAUSE="0.1")
    assert code == 0, said
    assert "15 jobs to run; what they cost is unknown" in said
    assert len(re.findall(r"Ready jobs: ", said)) <= 17
    assert re.search(r"snakemake itself: \d+\.\d CPU s .*% of a core", said)
    (toy.folder / "data/raw.txt").write_text("raw again\n")
    assert re.search(r"15 jobs to run: about [\d.]+ (seconds|minutes) on 3 cores", toy.run()[1])
