"""Tables on filters of fields: numbers are those of the scores."""

import made_up_fields as made_up
import numpy as np
import pytest

from dalib import tables as text
from papers.lensf import tables as fields

QUICK = made_up.scores(times=20)


def test_a_run_has_medians_and_ranges_over_seeds():
    rows = {row["run"]: row for row in fields.methods(QUICK, discard=10)}
    assert list(rows) == QUICK.run.values.tolist()
    row, own = rows["ensf every=5"], QUICK.sel(run="ensf every=5")
    assert (row["sparsity"], row["noise"], row["N"]) == ("25×", "10 %", 20)
    for name, time in (("first", 0), ("fifth", 4), ("last", -1)):
        values = own.relative_rmse.isel(time=time)
        found = [row[name], row[f"{name} low"], row[f"{name} high"]]
        np.testing.assert_allclose(found, [values.median(), values.min(), values.max()])
    late = own.crps.isel(time=slice(10, None)).mean("time")
    assert row["CRPS"] == pytest.approx(float(late.median()))
    assert row["mean"] == pytest.approx(float(own.mean_relative_rmse.median()))


def test_a_lost_seed_is_the_worst_and_a_run_without_numbers_is_empty():
    scores = made_up.scores(times=20)
    scores.mean_relative_rmse[0, 0] = np.nan
    scores.mean_relative_rmse[1] = np.nan
    rows = fields.methods(scores, discard=10)
    assert np.isnan(rows[0]["mean high"]) and np.isfinite(rows[0]["mean"])
    assert fields.brief(rows[0])["mean"].endswith("–∞]")
    assert fields.brief(rows[1])["mean"] == ""


def test_the_page_has_ranges_behind_medians_and_the_csv_numbers_alone():
    rows = fields.methods(QUICK, discard=10)
    page = fields.page(rows, fields.ON_METHODS)
    head = page.splitlines()[0]
    assert "| first | fifth | mean | last |" in head and "low" not in head
    assert page.endswith(f"\n{fields.ON_METHODS}\n")
    assert text.csv(rows).splitlines()[0].startswith("run,sparsity,noise,N,first,first low,")
    assert fields.together(0.51234, 0.5, 0.6) == "0.512 [0.5–0.6]"
    assert fields.together(0.5, 0.5, 0.5) == "0.5"


def test_times_are_in_milliseconds_and_over_those_of_the_reference():
    times = made_up.timing()
    rows = {row["method"]: row for row in fields.timing(times)}
    assert list(rows)[0] == "Latent-EnSF" and rows["Latent-EnSF"]["analysis, ratio"] == 1.0
    median = times.cpu_seconds.median("repetition")
    own, base = (median.sel({"method": m}) for m in ("letkf", "latent_ensf"))
    whole = float(own.sel(part="analysis") / (base.sel(part="analysis") + base.sel(part="codec")))
    row = rows["LETKF"]
    assert row["with encoding and decoding, ratio"] == pytest.approx(whole, rel=5e-3)
    assert row["analysis (ms)"] == row["with encoding and decoding (ms)"]
    alone = fields.timing(made_up.timing(("ensf", "letkf")))
    assert np.isnan(alone[0]["analysis, ratio"]) and fields.page(alone, "The end.")


def test_rings_are_in_order_of_size_with_what_was_published_beside():
    scores = {"b/fields": made_up.ring(1000), "a/fields": made_up.ring(100)}
    about = {"a": {"published": {"ensf_ring": {"whole": 3.0}}}}
    rows = fields.rings(scores, about)
    assert [row["d"] for row in rows] == [100, 100, 100, 1000, 1000, 1000]
    said = [row["published, whole run"] for row in rows]
    assert said[1] == 3.0 and np.isnan(said[:1] + said[2:]).all()
    own = scores["a/fields"].isel(run=1)
    assert rows[1]["RMSE, last"] == pytest.approx(
        float(own.rmse.isel(time=slice(-10, None)).mean("time").median("seed"))
    )
    assert "|" in fields.page(rows, fields.ON_RING)


def test_the_row_of_the_mitigation_that_is_best_on_validation_is_marked():
    test = made_up.scores()
    valid = test.isel(
        run=[r for r in range(test.sizes["run"]) if test["method"][r] == "latent_ensf"]
    )
    valid = valid.assign(mean_relative_rmse=valid.mean_relative_rmse + 0.1)
    rows = fields.mitigations(test, valid)
    assert [row["run"] for row in rows] == valid.run.values.tolist()
    means = [row["validation"] for row in rows]
    assert [row["chosen"] for row in rows] == ["×" if m == min(means) else "" for m in means]
    for row in rows:
        one = test.sel(run=row["run"])
        assert row["test"] == pytest.approx(float(one.mean_relative_rmse.median()))
        assert row["test, last"] == pytest.approx(float(one.relative_rmse.isel(time=-1).median()))


def test_a_lost_trajectory_of_the_validation_counts_as_the_worst():
    test = made_up.scores()
    valid = test.sel(run=["latent_ensf", "latent_ensf every=5"])
    valid = valid.assign(mean_relative_rmse=valid.mean_relative_rmse.copy())
    valid.mean_relative_rmse[{"run": 1}] = [0.01, np.nan, 0.02]
    assert [row["chosen"] for row in fields.mitigations(test, valid)] == ["", "×"]
    valid.mean_relative_rmse[:] = np.nan
    assert [row["chosen"] for row in fields.mitigations(test, valid)] == ["", ""]
    assert fields.mitigations(test, valid.isel(run=[])) == []
