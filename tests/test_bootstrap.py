"""Intervals of measures: what they hold, how they shrink, what is drawn together."""

import dataclasses
import math

import numpy as np
import pytest
import xarray as xr

from dalib.metrics import bootstrap, measures
from dalib.registry import MEASURES

LABELS = {"point": [1.0, 2.0, 3.0], "method": ["a", "b"], "repeat": range(10), "seed": range(4)}
SETTINGS = {  # of the measures, those that they cannot do without and those that change the most
    "Largest": [{}, {"over": ("repeat",)}],
    "Smallest": [{}, {"over": ("repeat", "seed")}],
    "Factor": [{}, {"over": ("repeat",)}],
    "ShareWithin": [{"low": 0.9, "high": 1.5}],
    "LargestDeviation": [{}, {"over": ("repeat", "seed")}, {"skip": 1}],
    "LargestRatio": [
        {},
        {"over": ("repeat", "seed")},
        {"across": ("method", "point")},
        {"quantile": 0.25},
    ],
    "HighestExceeding": [{"dim": "point"}],
    "SpreadRatio": [{"along": ("point",), "over": ("repeat",)}, {"along": ("repeat",)}],
    "LinearDeviation": [{"dim": "point"}],
}
EVERY = [
    pytest.param(getattr(measures, cls)(**settings), id=f"{cls}-{number}")
    for cls in (path.rpartition(":")[2] for path in MEASURES.values())
    for number, settings in enumerate(SETTINGS.get(cls, [{}]))
]


def scores(random, lost=False, **sizes):
    """Positive numbers, some of them lost."""
    labels = {dim: list(LABELS[dim])[: sizes.get(dim)] for dim in LABELS}
    values = np.exp(0.4 * random.standard_normal([len(v) for v in labels.values()]))
    if lost:
        values[random.random(values.shape) < 0.1] = np.nan
    return xr.DataArray(values, labels, list(labels))


def inputs(measure, random, **options):
    names = [n for n in measure.of.__code__.co_varnames[: measure.of.__code__.co_argcount]][1:]
    return {name: scores(random, **options) for name in names}


@pytest.mark.parametrize("measure", EVERY)
@pytest.mark.parametrize("lost", [False, True])
def test_every_interval_holds_its_value(measure, lost):
    """Whatever the noise, few or many replicates, some of them lost."""
    random = np.random.default_rng(1)
    for repeats in (2, 3, 10):
        measured = measure(**inputs(measure, random, lost=lost, repeat=repeats))
        if isinstance(measure, measures.Count) or math.isnan(measured.value):
            assert math.isnan(measured.low) and math.isnan(measured.high)
        else:
            assert measured.low <= measured.value <= measured.high


@pytest.mark.parametrize("measure", EVERY)
def test_one_replicate_has_no_interval(measure):
    measured = measure(**inputs(measure, np.random.default_rng(2), repeat=1, seed=1))
    assert math.isnan(measured.low) and math.isnan(measured.high)
    assert dataclasses.is_dataclass(measure)


def test_an_interval_is_in_units_of_the_value():
    """A factor has no units, a share lies between 0 and 1, whatever the scores are."""
    random = np.random.default_rng(0)
    errors = xr.DataArray(
        0.008 + 0.001 * random.standard_normal((2, 10)), dims=("method", "repeat")
    )
    factor = measures.Factor(over=("repeat",))(errors)
    assert 1.0 <= factor.low < factor.value < factor.high < 1.3
    share = measures.ShareWithin(2, 3.3)(xr.DataArray(random.uniform(0, 5, 50), dims="pair"))
    assert 0.0 < share.low < share.value < share.high < 1.0
    bands = xr.DataArray(random.uniform(0, 1, (3, 10)), dims=("point", "repeat"))
    overlap = measures.ShareOverlapping()(bands, bands + 0.4)
    assert 0.0 <= overlap.low < overlap.high <= 1.0


def test_a_ratio_of_two_methods_varies_as_in_a_bootstrap_written_out():
    random = np.random.default_rng(0)
    a, b = 1 + 0.3 * random.standard_normal(10), 1.3 + 0.3 * random.standard_normal(10)
    wanted = []
    for _ in range(4000):
        at = random.integers(10, size=10)
        wanted.append(np.median(a[at]) / np.median(b[at]))
    ratio = measures.LargestRatio()(*(xr.DataArray(x, dims="repeat") for x in (a, b)))
    assert (ratio.low, ratio.high) == pytest.approx(np.quantile(wanted, [0.025, 0.975]), rel=0.06)


def test_an_interval_has_its_coverage():
    """The median of 25 exponential numbers is ln 2; 95 % asked, within the noise of 300 trials."""
    random = np.random.default_rng(3)
    inside = 0
    for _ in range(300):
        measured = measures.Median()(xr.DataArray(random.exponential(size=25), dims="seed"))
        inside += measured.low <= math.log(2) <= measured.high
    assert 0.91 <= inside / 300 <= 0.99


def test_equal_labels_are_drawn_together_and_others_are_not():
    """A ratio of two runs that share all their noise does not vary."""
    noise = xr.DataArray(
        np.random.default_rng(4).uniform(1, 9, 10), {"repeat": list(range(10))}, ["repeat"]
    )
    assert measures.Ratio()(2 * noise, noise) == (2.0, 2.0, 2.0)
    other = noise.assign_coords(repeat=list(range(10, 20)))
    apart = measures.Ratio()(2 * noise, other)
    assert apart.low < 2.0 < apart.high


def test_repeats_and_seeds_are_drawn_by_themselves_and_conditions_are_not():
    random = np.random.default_rng(5)
    drawn = bootstrap.resampled(scores(random))
    assert drawn.dims == ("resample", "point", "method", "repeat", "seed")
    assert drawn.sizes["resample"] == bootstrap.RESAMPLES
    assert bootstrap.replicates(scores(random)) == ["repeat", "seed"]
    renamed = scores(random).rename(repeat="taper_repeat", point="start_variance")
    assert bootstrap.replicates(renamed) == ["taper_repeat", "seed"]
    conditions = scores(random, repeat=1, seed=1).isel(repeat=0, seed=0, drop=True)
    assert bootstrap.resampled(conditions).identical(conditions)


def test_a_largest_of_noisy_numbers_holds_its_value():
    """The noise enters a resampled largest twice, so that most of these lie above the value."""
    values = xr.DataArray(
        np.random.default_rng(6).standard_normal((40, 10)), dims=("point", "repeat")
    )
    largest = measures.Largest(over=("repeat",))
    drawn = largest.of(bootstrap.resampled(values))
    measured = largest(values)
    assert (drawn > measured.value).mean() > 0.8
    assert measured.low <= measured.value < measured.high


def test_what_may_be_lost_in_most_repeats_has_no_upper_end():
    values = xr.DataArray([1.0, 2.0, 3.0, np.nan, np.nan], dims="repeat")
    measured = measures.LargestRatio()(values, xr.ones_like(values))
    assert (measured.low, measured.value, measured.high) == (1.0, 3.0, math.inf)
