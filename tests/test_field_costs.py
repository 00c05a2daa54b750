"""Work of jobs on fields: what it grows with, and estimates beside jobs that were measured."""

import copy
from pathlib import Path

import pytest

from dalib.field_runs import jobs_of, models_of
from pipeline import plan, settings
from pipeline.costs import Measured, estimate, size
from pipeline.field_costs import JOB, Shape, afno, coupled_vae, shape_of, work

ROOT = Path(__file__).parents[1]
ENSF = {"kind": "ensf", "members": 20, "steps": 100, "composed": False}  # every step
FREE = {"kind": "free_run", "members": 20}
VAE = {"kind": "coupled_vae", "every": 10, "latent": 400, "width": 16}
TRAINING = {"repeats": 1, "steps": 1000, "batch": 32, "check_every": 1000}


def basin(points=50, seeds=3, samples=50, substeps=13, members=50):
    part = {"seeds": seeds, "samples": samples}
    return {
        "system": {"kind": "shallow_water", "points": points},
        "integrator": {"kind": "iterate", "steps": substeps},
        "truth": {"spinup": 0.0, "train": {"seeds": 9, "samples": 9}, "valid": part, "test": part},
        "observations": {"operator": {"kind": "identity"}, "relative_error": [0.0, 0.1]},
        "prior": {"members": members, "starts": {"noise": {}, "locations": {}}},
        "fields": {
            "base": {"every": 10, "noise": 0.1, "start": "noise", "interval": 1},
            "methods": {"free": [{}], "ensf": [{}, {"every": 5}, {"settings": {"members": 40}}]},
        },
    }


def paper(case, **models):
    filters = {"free": FREE, "ensf": ENSF, "latent": {"kind": "latent", "filter": ENSF}}
    return {"cases": {"basin": case}, "filters": filters, "models": models}


def on_fields(case, size_of_batch=12, models=None, **wildcards):
    """The sections of a job."""
    config = {"batches": {"points": size_of_batch}, "p": paper(case, **(models or {}))}
    found = plan.sections(config, {"paper": "p", "case": "basin", **wildcards})
    return found["on_fields"]


def filtering(case, job="ensf", batch=0, **options):
    return work("assimilate", on_fields(case, filter=job, batch=str(batch), **options))


def learning(case=None, steps=1000, batch=32, **network):
    training = TRAINING | {"steps": steps, "batch": batch}
    models = {"vae": {"network": VAE | network, "data": "fields", "training": training}}
    return work("train", on_fields(case or basin(), models=models, model="vae"))


# -- what work grows with ------------------------------------------------------------------------


def test_work_of_a_codec_is_updates_times_batch_times_width_squared_times_points():
    first, second, third = (learning(steps=n * 1000) for n in (1, 2, 3))
    assert third - second == pytest.approx(second - first)
    assert third - first > 0.9 * (third - JOB) * 2 / 3
    assert learning(batch=64) / learning() == pytest.approx(2, rel=0.1)
    wide = [learning(basin(points=150), width=width) for width in (64, 128)]
    assert wide[1] / wide[0] == pytest.approx(4, rel=0.1)
    large = [coupled_vae(VAE, Shape(3, n, n)).decoder for n in (150, 300)]
    assert large[1] / large[0] == pytest.approx(4, rel=0.1)


def test_work_of_a_codec_without_gradient_is_that_of_its_convolutions():
    """150 x 150 points: 5 x 5 to h, 3 x 3 from 2h to h and to 3, and some per cent elsewhere."""
    of = coupled_vae(VAE | {"every": 15}, Shape(3, 150, 150))
    decoder = 150**2 * 9 * (32 * 16 + 3 * 16)
    assert decoder < of.decoder < 1.1 * decoder
    assert of.encoder > 150**2 * 25 * 3 * 16 and of.observations < 0.3 * of.encoder


def test_work_of_a_forecast_network_grows_with_windows_and_fine_tuning():
    network = {"kind": "afno", "patch": 4, "width": 256, "depth": 8, "blocks": 8}
    each = afno(network, Shape(20, 120, 240))
    perceptrons = 1800 * 8 * (8 + 4 / 8) * 256**2
    assert perceptrons < each < 1.2 * perceptrons

    def trained(window=2, **more):
        training = TRAINING | {"window": window} | more
        return work("train", on_fields(basin(), models={"m": model(training)}, model="m"))

    def model(training):
        return {"network": network | {"patch": 2}, "data": "forecast", "training": training}

    whole = trained() - JOB
    assert trained(window=3) - JOB == pytest.approx(2 * whole, rel=0.05)
    half = {"fine_tuning": {"window": 3, "steps": 500}}
    assert trained(**half) - JOB == pytest.approx(2 * whole, rel=0.05)


def test_work_of_filters_is_that_of_every_run_with_its_own_members():
    """Three runs of 20, 20 and 40 members are worth two of 40, but for what is read and written."""
    case, other = basin(), basin()
    other["fields"]["methods"]["ensf"] = [
        {"label": label, "settings": {"members": 40}} for label in ("a", "b")
    ]
    assert filtering(case) == pytest.approx(filtering(other), rel=0.03)
    assert filtering(case, "free") < 0.1 * filtering(case)


def test_batches_of_points_share_the_work():
    parts = [filtering(basin(), batch=batch, size_of_batch=1) for batch in range(3)]
    whole = filtering(basin())
    given = filtering(basin(), batch=3, size_of_batch=1)  # no run: what each job reads
    assert sum(parts) - whole == pytest.approx(2 * given)
    assert parts[2] - given == pytest.approx(2 * (parts[0] - given), rel=0.1)


def test_a_tuned_run_costs_all_that_is_tried():
    """Nine combinations on one trajectory of 50 times are three runs on three."""
    case, other = basin(), basin()
    case["fields"] |= {"tuning": {"case": "v", "seeds": 1, "analyses": 50, "discard": 10}}
    case["fields"]["methods"]["ensf"] = [
        {"tuned": {"scale": [1.0, 10.0, 100.0], "eps_beta": [0.01, 0.02, 0.03]}}
    ]
    other["fields"]["methods"]["ensf"] = [{"label": label} for label in "abcd"]
    assert filtering(case) == pytest.approx(filtering(other), rel=0.1)


def test_work_of_filters_grows_with_seeds_times_and_points():
    once = filtering(basin()) - JOB
    assert filtering(basin(samples=100)) - JOB == pytest.approx(2 * once, rel=0.05)
    assert filtering(basin(seeds=6)) - JOB == pytest.approx(2 * once, rel=0.1)
    assert filtering(basin(points=150)) - JOB == pytest.approx(9 * once, rel=0.1)
    longer = filtering(basin(substeps=26), "free") - filtering(basin(), "free")
    assert longer == pytest.approx(3 * 50 * 20 * 7500 * 13 * 20.0)


def test_a_filter_in_latent_space_saves_the_sampler_and_pays_the_codec():
    case = basin(points=150)
    case["fields"]["methods"] |= {"latent": [{"model": "vae"}], "ensf": [{}]}
    models = {"vae": {"network": VAE | {"every": 15}, "data": "fields", "training": TRAINING}}
    latent, full = (filtering(case, job, models=models) for job in ("latent", "ensf"))
    assert filtering(case, "free") < latent < full


def test_steps_at_once_leave_what_is_not_seen_as_it_is():
    """Nothing of what is seen as it is, one in 100 behind an arctangent, all that interpolates."""
    case, arctan = basin(), basin()
    arctan["observations"]["operator"] = {"kind": "arctan"}
    for one in (case, arctan):
        one["fields"]["methods"]["ensf"] = [{"settings": {"composed": True}}]
    full = copy.deepcopy(arctan)
    full["fields"]["methods"]["ensf"][0]["settings"]["interpolated"] = True
    none, few, every = (filtering(one) for one in (case, arctan, full))
    assert none < few < every
    assert few - none < 0.1 * (every - none)


def test_a_record_counts_with_the_runs_that_it_made():
    """Its spec names its filters, its points, its batch and its model, not those of today."""
    case = basin()
    found = on_fields(case, filter="ensf", batch="0")
    section = {"methods": {"ensf": [{}]}, "filters": {"ensf": ENSF}}
    spec = {"config": section | {"fields": {"base": case["fields"]["base"]}}}
    ran = plan.as_run({"on_fields": found}, spec | {"batch": {"index": 0, "size": 5}})["on_fields"]
    less = copy.deepcopy(case)
    less["fields"]["methods"]["ensf"] = [{}]
    assert work("assimilate", ran) == filtering(less)


# -- the paper -------------------------------------------------------------------------------------


def jobs(config):
    """(stage, wildcards) of everything that the paper computes on fields."""
    section = config["lensf"]
    for name in section["active"]:
        case, where = section["cases"][name], {"paper": "lensf", "case": name}
        if "stations" in case:
            yield "evaluate", where | {"product": "stations"}
            continue
        yield "era5" if "era5" in case else "simulate", where
        yield "observe", where
        yield "evaluate", where | {"product": "fields"}
        product = case["fields"]
        used = [models_of(product, n, section["filters"][n]) for n in product["methods"]]
        names = {*sum(used, []), *product.get("codecs", []), case.get("dynamics", {}).get("model")}
        for model in sorted(names - {None}):
            yield "train", where | {"model": model, "batch": "0"}
        for job in jobs_of(product):
            yield "assimilate", where | {"filter": job, "batch": "0"}
        if "timing" in case:
            yield "time", where


@pytest.mark.parametrize("scale", ["smoke", "quick", "desk", "paper"])
def test_every_job_of_every_scale_has_a_size_and_kin(scale):
    config = settings.load(ROOT, {"scale": scale})
    for stage, wildcards in jobs(config):
        found = size(stage, plan.sections(config, wildcards))
        assert found.amount >= JOB and found.volume > 0, (stage, wildcards)
        assert found.alike[-1] == f"{stage} on fields"


def test_states_of_a_reanalysis_are_its_channels_on_the_grid():
    config = settings.load(ROOT, {"scale": "paper"})
    assert shape_of(config["lensf"]["cases"]["weather"]) == (20, 120, 240)
    assert shape_of(config["lensf"]["cases"]["ring6"]).size == 1_000_000
    assert shape_of(config["lensf"]["cases"]["basin"]).size == 67_500


SECONDS = [  # (stage, case, what), seconds at scale smoke and quick; of one core, beside other work
    ("simulate", "basin", {}, 3.7, 19.0),
    ("observe", "basin", {}, 3.3, 13.8),
    ("train", "basin", {"model": "vae"}, 7.5, 510.0),
    ("train", "weather", {"model": "vae_weather"}, 7.2, 142.6),
    ("train", "weather", {"model": "afno"}, 10.5, 48.0),
    ("assimilate", "basin", {"filter": "latent"}, 5.1, 27.5),
    ("assimilate", "ring_shocks", {"filter": "all"}, 4.6, 35.1),
    ("assimilate", "weather", {"filter": "all"}, 5.6, 21.9),
    ("era5", "weather", {}, 7.9, 9.0),
    ("evaluate", "basin", {"product": "fields"}, 6.4, 12.7),
    ("evaluate", "stations", {"product": "stations"}, 7.7, 56.1),
]


@pytest.mark.parametrize(
    ("stage", "case", "what", "smoke", "quick"), SECONDS, ids=lambda value: str(value)
)
def test_jobs_of_scale_quick_are_estimated_from_smoke_within_a_factor_of_three(
    stage, case, what, smoke, quick
):
    where = {"paper": "lensf", "case": case, "batch": "0", **what}
    small, large = (
        size(stage, plan.sections(settings.load(ROOT, {"scale": scale}), where))
        for scale in ("smoke", "quick")
    )
    found = estimate(large, [Measured("smoke", small, smoke, 1.0)]).seconds
    assert quick / 3 < found < 3 * quick


def test_a_codec_of_the_papers_size_takes_ten_to_a_hundred_core_hours():
    """From one of 50 x 50 points and width 8, 11,000 updates of batch 8 in 510 seconds.

    At 150 x 150 points and width 16 an update of batch 32 was measured to take 1.0 to 1.8 seconds.
    """
    quick, paper_ = (settings.load(ROOT, {"scale": scale}) for scale in ("quick", "paper"))
    job = {"paper": "lensf", "case": "basin", "model": "vae", "batch": "0"}
    known = Measured("quick", size("train", plan.sections(quick, job)), 510.0, 1.0)
    hours = estimate(size("train", plan.sections(paper_, job)), [known]).seconds / 3600
    updates = paper_["lensf"]["models"]["vae"]["training"]["steps"]
    assert 10 < hours < 100
    assert 1 / 3 < hours * 3600 / updates / 1.3 < 3
