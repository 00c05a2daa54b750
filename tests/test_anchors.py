"""Published numbers beside ours: how they are judged, and the definitions that they rest on."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from benchmarks.anchors import checks, ctf, download, dysts, page, polynomials, reservoirs
from benchmarks.anchors.__main__ import checks as every_check
from benchmarks.anchors.checks import Check, Measured, UnavailableError, run
from dalib import io

REAL = Path(os.environ.get("DALIB_DYSTS", "../shared/data/dysts"))


def check(value: float, *, published=1.0, tolerance=0.1, note="") -> Check:
    return Check(
        "group", "name", published, "source", lambda: Measured(value, tolerance, note=note)
    )


def unavailable() -> Measured:
    raise UnavailableError("no file; give --data FOLDER")


def test_a_check_is_met_within_its_tolerance_only():
    assert run(check(1.1, tolerance=0.1000001)).verdict == "met"
    assert run(check(1.2)).verdict == "not met"
    assert run(check(np.nan)).verdict == "not met"
    assert run(check(5.0, tolerance=None)).verdict == "shown"


def test_a_check_without_its_data_is_skipped_with_the_reason():
    outcome = run(Check("group", "name", 1.0, "source", unavailable))
    assert outcome.verdict == "skipped"
    assert "give --data FOLDER" in page.line(outcome)


def test_every_check_can_be_told_apart_and_says_where_it_comes_from():
    found = [*every_check()]
    names = [f"{one.group} {one.name}" for one in found]
    assert len(set(names)) == len(names) > 100
    assert all(one.source for one in found)


def test_outcomes_are_kept_as_a_page_and_as_netcdf(tmp_path):
    outcomes = [
        run(check(1.05, note="100 seeds")),
        run(check(2.0)),
        run(check(1.0, tolerance=None)),
    ]
    outcomes.append(run(Check("other", "<b>", 3.0, "elsewhere", unavailable)))
    page.write(outcomes, tmp_path)
    with io.read(tmp_path / "anchors.nc") as stored:
        assert stored.verdict.values.tolist() == ["met", "not met", "shown", "skipped"]
        assert stored.difference.values[1] == pytest.approx(1.0)
        assert np.isnan(stored.ours.values[3])
    text = (tmp_path / "anchors.html").read_text()
    assert "1 met, 1 not met, 1 shown" in text
    assert "&lt;b&gt;" in text and "<b>" not in text
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["anchors.html", "anchors.nc"]


def test_the_mean_has_an_interval_of_its_seeds():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    mean, (low, high), error = checks.mean_of(values)
    assert low < mean < high
    assert error == pytest.approx(values.std() / 20, rel=0.1)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


# -- polynomial propagators ----------------------------------------------------------------------


def test_a_polynomial_map_is_learned_exactly_by_both_ways():
    x = torch.empty(2, 300, 3, dtype=torch.float64)
    x[:, 0] = torch.tensor([[0.3, 0.2, 0.1], [0.4, -0.2, 0.3]])
    for t in range(299):  # a quadratic map with bounded orbits
        a, b, c = x[:, t].unbind(-1)
        x[:, t + 1] = torch.stack((1 - 1.4 * a**2 + b, 0.3 * a, 0.5 * c + 0.1 * a * b), -1)
    for whitened in (False, True):
        for as_published in (False, True):
            found = polynomials.propagated(x[:, :290], 5, 2, whitened, as_published=as_published)
            assert torch.allclose(found, x[:, 290:295], atol=1e-6)


def test_a_forecast_is_valid_until_it_is_half_a_deviation_off(monkeypatch):
    std = 2.0
    whole = torch.tensor([[[std], [-std]]], dtype=torch.float64).repeat(1, 50, 1)
    monkeypatch.setattr(polynomials, "_trajectory", lambda span: whole)
    truth = torch.zeros(1, 6, 1, dtype=torch.float64)
    error = torch.tensor([0.1, 0.9, 0.5, 1.2, 0.1, 0.1], dtype=torch.float64)
    found = polynomials.valid_times(truth + error[None, :, None], truth, 0.5)
    assert found == pytest.approx(3 * 0.5 * polynomials.EXPONENT)


# -- dysts ---------------------------------------------------------------------------------------


def made_up(folder: Path) -> Path:
    """Files of three systems in the format of dysts."""
    rng = np.random.default_rng(0)
    for n, sampling in dysts.SAMPLINGS.items():
        length = sampling.given + sampling.scored
        t = np.arange(length + 1)
        values = {
            f"S{k}": np.sin(0.2 * (k + 1) * t) + 0.1 * rng.normal(size=len(t)) for k in range(3)
        }
        results = {}
        for name, x in values.items():
            past, after = x[: sampling.given], x[sampling.given : length]
            made = {m: f(past, sampling.scored, 1) for m, f in dysts.NAIVE.items()}
            made |= {m: made["NaiveMean"] for m in sampling.medians if m not in made}
            results[name] = {"values": after.tolist()} | {
                m: {"prediction": p.tolist(), "smape": by_hand(p, after)} for m, p in made.items()
            }
        write(
            folder / f"test_univariate_{n}.json.gz",
            {k: {"values": v.tolist()} for k, v in values.items()},
        )
        write(folder / f"results_univariate_{n}.json.gz", results)
    return folder


def write(path: Path, content: dict) -> None:
    path.write_bytes(gzip.compress(json.dumps(content).encode()))


def by_hand(a: np.ndarray, b: np.ndarray) -> float:
    return float(200 * np.mean(np.abs(a - b) / (np.abs(a) + np.abs(b))))


def test_naive_rows_are_met_to_round_off(tmp_path):
    found = [run(one) for one in dysts.checks(made_up(tmp_path)) if "made again" in one.name]
    assert [one.verdict for one in found] == ["met"] * 6


def test_another_forecast_would_not_be_met(tmp_path, monkeypatch):
    folder = made_up(tmp_path)
    monkeypatch.setitem(dysts.NAIVE, "NaiveMean", lambda past, h, _: np.full(h, past.mean() + 1e-6))
    (one,) = [c for c in dysts.checks(folder) if "NaiveMean made again, 15" in c.name]
    assert run(one).verdict == "not met"


def test_the_parrot_copies_what_followed():
    cycle = np.tile([1.0, 3.0, 2.0, 7.0], 10)
    assert dysts.parrot(cycle, 6, 3).tolist() == [1.0, 3.0, 2.0, 7.0, 1.0, 3.0]


def test_the_delays_of_the_parrot_are_chosen_on_the_context(monkeypatch):
    """Whatever comes later, the choice is the same: it is never seen."""
    rng = np.random.default_rng(3)
    x = np.sin(0.3 * np.arange(300)) + 0.3 * rng.normal(size=300)
    seen = []
    parrot = dysts.parrot
    monkeypatch.setattr(
        dysts, "parrot", lambda past, h, D: seen.append(len(past)) or parrot(past, h, D)
    )
    made = dysts.chosen_parrot(x[:250], 40, 100)
    assert max(seen) == 250 and len(made) == 40
    assert len(seen) > 4


def test_an_autoregression_continues_a_sum_of_sines():
    t = np.arange(460)
    x = np.sin(0.31 * t) + 0.5 * np.cos(0.17 * t)
    assert dysts.autoregression(x[:400], 60, 100) == pytest.approx(x[400:], abs=1e-4)


def test_without_a_folder_it_says_what_to_give():
    (one,) = [c for c in dysts.checks(None) if "NaiveDrift made again, 15" in c.name]
    assert "--download" in run(one).reason


@pytest.mark.skipif(not REAL.is_dir(), reason="the published files are not at hand")
def test_the_published_naive_rows_and_files():
    for one in dysts.checks(REAL):
        if "made again" in one.name and one.name.endswith("15 a period"):
            assert run(one).verdict == "met"
    known = download._known()
    for path in REAL.glob("*_univariate_15.json.gz"):
        assert download.digest(gzip.decompress(path.read_bytes())) == known[path.stem]


def test_a_download_that_is_something_else_is_not_kept(tmp_path, monkeypatch):
    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self):
            return b"something else"

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: Answer())
    with pytest.raises(SystemExit, match="sha256"):
        download.fetch(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_download_without_a_network_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise download.urllib.error.URLError("no route")

    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    with pytest.raises(SystemExit, match="give --data FOLDER"):
        download.fetch(tmp_path)


# -- reservoir computers -------------------------------------------------------------------------


def test_mackey_glass_keeps_its_fixed_point_and_converges():
    """From a history at the fixed point x = 1 nothing moves; the scheme converges."""
    coarse = reservoirs.mackey_glass(60, inner=10)
    fine = reservoirs.mackey_glass(60, inner=20)
    finest = reservoirs.mackey_glass(60, inner=40)
    assert abs(fine - finest).max() < 0.4 * abs(coarse - fine).max()
    assert 0.2 < coarse.min() and coarse.max() < 1.4


# -- CTF -----------------------------------------------------------------------------------------


def test_zeros_score_nothing_where_the_norm_is_spectral():
    found = ctf._row("stand-in", "zeros")
    assert [found[k] for k in (0, 2, 4, 6, 8, 10, 11)] == [0.0] * 7
    assert found[12] == pytest.approx(np.mean(found[:12]))


def test_the_truth_scores_a_hundred():
    data = ctf.stand_in()
    tests = {n: data[f"X{n}test"] for n in ctf.PAIRS}
    assert ctf.scores(tests, tests) == [100.0] * 13


def test_the_spectral_norm_is_not_that_of_frobenius():
    x = np.diag([3.0, 1.0])
    y = np.diag([3.0, 0.0])
    assert ctf.spectral(x, y) == pytest.approx(100 * (1 - 1 / 3))


def test_histograms_of_disjoint_ranges_are_two_apart():
    x = np.linspace(0, 1, 600)[:, None]
    assert ctf.histograms(x, x + 10) == pytest.approx(-100)
    assert ctf.histograms(x, x) == 100


def test_a_forecast_that_diverged_scores_the_least():
    data = ctf.stand_in()
    tests = {n: data[f"X{n}test"] for n in ctf.PAIRS}
    lost = {n: np.full_like(x, np.nan) for n, x in tests.items()}
    assert ctf.scores(tests, lost) == [-100.0] * 13


def test_matrices_are_read_in_either_orientation_and_refused_in_others(tmp_path):
    x = np.arange(3000.0).reshape(1000, 3)
    np.save(tmp_path / "X1test.npy", x.T)
    assert (ctf.load(tmp_path, "X1test") == x).all()
    np.save(tmp_path / "X3test.npy", x[:10])
    with pytest.raises(ValueError, match=r"\(1000, 3\) is expected"):
        ctf.load(tmp_path, "X3test")
    with pytest.raises(UnavailableError, match="osf.io"):
        ctf.load(tmp_path, "X5test")


def test_predictions_of_anybody_are_scored(tmp_path, monkeypatch, capsys):
    data = ctf.stand_in()
    for n in ctf.PAIRS:
        np.save(tmp_path / f"X{n}test.npy", data[f"X{n}test"])
    np.savez(tmp_path / "mine.npz", **{f"pair{n}": data[f"X{n}test"] for n in ctf.PAIRS})
    monkeypatch.setattr("sys.argv", ["ctf", str(tmp_path), str(tmp_path / "mine.npz")])
    assert ctf.main() == 0
    assert "mean   100.00" in capsys.readouterr().out


def test_smape_of_the_benchmark_is_ours():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 50))
    made = dysts._scores({"s": a}, {"s": b})
    assert made[0] == pytest.approx(by_hand(a, b), abs=1e-12)
    assert isinstance(page.dataset([run(check(1.0))]), xr.Dataset)
