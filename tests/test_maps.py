import math

import pytest
import torch

from dalib import build
from dalib.integrate import RK4, trajectory
from dalib.maps import OrbitMap, RingMap, SpeciesMap
from dalib.registry import MAPS
from dalib.streams import normal, stream, streams
from dalib.systems.lorenz import Lorenz96
from dalib.systems.lotka_volterra import LotkaVolterra
from dalib.systems.polynomial_ring import LORENZ96, PolynomialRing

KINDS = [
    OrbitMap(),
    RingMap(size=12),
    RingMap(size=12, correction="network"),
    RingMap(size=12, correction="network", reading="resolvent"),
    SpeciesMap(size=9),
]


def name(map) -> str:
    words = [value for value in vars(map).values() if isinstance(value, str)]
    return "-".join([type(map).__name__, *words])


def start(map, variance, seeds):
    generator = streams("experiment", seeds, "initial model")
    return map.start(torch.full((len(seeds),), variance).double(), generator)


def states(map, *leading: int):
    x = normal((*leading, map.size), stream("states"))
    return ((1 + x).abs() if isinstance(map, SpeciesMap) else 3 * x).to(map.dtype)


def in_double(values):
    return {
        name: value.double() if value.is_floating_point() else value
        for name, value in values.items()
    }


def one(values, run):
    return {name: value[run : run + 1] for name, value in values.items()}


# -- every map -----------------------------------------------------------------------------------


@pytest.mark.parametrize("map", KINDS, ids=name)
def test_runs_together_are_runs_alone(map):
    together = start(map, 0.05, range(3))
    x = states(map, 3, 2, 4)
    forecast = map.flow(together.values)(x)
    points = states(map, 7).double()
    errors = map.errors(together.values, points)
    assert forecast.shape == x.shape and forecast.dtype == x.dtype == map.dtype
    for run in range(3):
        alone = start(map, 0.05, [run])
        for key, value in alone.values.items():
            assert torch.equal(value[0], together.values[key][run])
        torch.testing.assert_close(map.flow(alone.values)(x[run : run + 1])[0], forecast[run])
        first = map.flow(alone.values)(x[run : run + 1, :, 0])
        torch.testing.assert_close(first[0], forecast[run, :, 0])
        for key, value in map.errors(alone.values, points).items():
            torch.testing.assert_close(value[0], errors[key][run])
            assert value.dtype == torch.float64


@pytest.mark.parametrize("map", KINDS, ids=name)
def test_gradients_through_the_flow_are_central_differences(map):
    begun = start(map, 0.05, range(2))
    values = in_double(begun.values)
    x = states(map, 2, 1, 3).double()
    weight = normal(x.shape, stream("weight"))

    def loss(values, x):
        return (weight * map.flow(values)(x)).sum()

    learned = {key: values[key].clone().requires_grad_() for key in begun.learnable}
    x_at = x.clone().requires_grad_()
    loss(values | learned, x_at).backward()
    for key, at in [*learned.items(), ("x", x_at)]:
        direction = normal(at.shape, stream(key))
        step = 1e-6 * (at.abs().max().item() or 1.0)
        moved = [at.detach() + sign * step * direction for sign in (1, -1)]
        ends = [loss(values, m) if key == "x" else loss(values | {key: m}, x) for m in moved]
        difference = ((ends[0] - ends[1]) / (2 * step)).item()
        assert (at.grad * direction).sum().item() == pytest.approx(difference, rel=1e-5), key


@pytest.mark.parametrize("map", KINDS, ids=name)
def test_a_run_that_is_lost_leaves_the_others_alone(map):
    begun = start(map, 0.05, range(2))
    x = states(map, 2, 3)
    kept = map.flow(begun.values)(x)[1]
    lost = begun.values | {key: value.clone() for key, (value, _) in begun.learnable.items()}
    for key in begun.learnable:
        lost[key][0] = torch.nan
    torch.testing.assert_close(map.flow(lost)(x)[1], kept)
    errors = map.errors(lost, states(map, 5).double())
    assert all(value[0].isnan() and value[1].isfinite() for value in errors.values())


@pytest.mark.parametrize("map", [OrbitMap(), RingMap(12), SpeciesMap(9)], ids=name)
def test_the_truth_is_what_a_map_without_spread_starts_from(map):
    values = start(map, 0.0, range(2)).values
    errors = map.errors(values, states(map, 6).double())
    assert set(errors) >= {"forecast_rmse"}
    assert all((value < 2e-5).all() for value in errors.values())


def test_the_registry_names_every_map():
    assert {type(build.make("map", {"kind": kind})) for kind in MAPS} == {type(m) for m in KINDS}
    assert build.make("system", {"kind": "lotka_volterra", "size": 32}).size == 32
    assert build.make("system", {"kind": "polynomial_ring"}).size == 40


# -- the orbit -----------------------------------------------------------------------------------


def closed_form(n: torch.Tensor, dt: float) -> torch.Tensor:
    """(6, 6)."""
    s, c, o = (n * dt).sin(), (n * dt).cos(), torch.zeros_like(n)
    rows = [
        [4 - 3 * c, o, o, s / n, 2 * (1 - c) / n, o],
        [6 * (s - n * dt), o + 1, o, -2 * (1 - c) / n, (4 * s - 3 * n * dt) / n, o],
        [o, o, c, o, o, s / n],
        [3 * n * s, o, o, c, 2 * s, o],
        [-6 * n * (1 - c), o, o, -2 * s, 4 * c - 3, o],
        [o, o, -n * s, o, o, c],
    ]
    return torch.stack([torch.stack(row) for row in rows])


def test_orbits_of_many_rates_have_the_closed_form():
    """To the round-off of the closed form, whose entries with 1/n cancel."""
    rates = torch.tensor([0.0013, 0.01, 0.1, 0.4], dtype=torch.float64)
    flow = OrbitMap().flow({"rate": rates})
    exact = torch.stack([closed_form(n, 10.0).T for n in rates])
    found = flow(torch.eye(6).double().expand(4, 6, 6))
    assert (found - exact)[0].abs().max() < 1e-13
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)


def test_gradient_of_the_orbit_is_that_of_the_closed_form():
    rates = torch.tensor([0.0013, 0.2], dtype=torch.float64, requires_grad=True)
    x = normal((2, 3, 4, 6), stream("x"))
    (found,) = torch.autograd.grad(OrbitMap().flow({"rate": rates})(x).square().sum(), rates)
    F = torch.stack([closed_form(n, 10.0).T for n in rates])[:, None]
    (exact,) = torch.autograd.grad((x @ F).square().sum(), rates)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=0)


def test_the_true_orbit_stays_where_it_was_computed():
    """800 intervals from the initial state of Adrian et al. (2026)."""
    x0 = torch.tensor([1.0, 0.5, 1.0, -0.001375, -0.000275, -0.001375]).double()
    path = trajectory(OrbitMap().truth(), x0, 800)
    lowest = torch.tensor([0.79, -56.3, -1.46]).double()
    highest = torch.tensor([6.36, 0.56, 1.46]).double()
    slack = torch.tensor([0.006, 0.06, 0.006]).double()  # the ranges are rounded
    assert ((path.amin(0)[:3] - lowest).abs() < slack).all()
    assert ((path.amax(0)[:3] - highest).abs() < slack).all()
    assert (path[:, 3:].abs().amax(0) <= torch.tensor([0.0036, 0.0142, 0.0019]) + 5e-5).all()


def test_initial_rates_are_absolute_values_of_normal_numbers():
    """The median error is 0.117 at variance 0.03."""
    begun = start(OrbitMap(), 0.03, range(4000))
    rate, transform = begun.learnable["rate"]
    assert transform == "softplus" and rate.dtype == torch.float64 and (rate > 0).all()
    assert rate.square().mean().item() == pytest.approx(0.03, rel=0.1)
    mae = OrbitMap().errors(begun.values, states(OrbitMap(), 2))["mae"]
    torch.testing.assert_close(mae, (rate - 0.0013).abs())
    assert mae.median().item() == pytest.approx(0.117, rel=0.05)


# -- the ring ------------------------------------------------------------------------------------


def library(x: torch.Tensor) -> torch.Tensor:
    """(..., size) -> (..., size, 18), the terms as they are listed."""
    mm, m, o, p, pp = (x.roll(k, -1) for k in (2, 1, 0, -1, -2))
    products = (mm * m, m * o, o * p, p * pp, mm * o, m * p, o * pp)
    return torch.stack([o**0, mm, m, o, p, pp, mm**2, m**2, o**2, p**2, pp**2, *products], -1)


def test_the_library_contains_lorenz96():
    x = 3 * normal((7, 40), stream("x"))
    torch.testing.assert_close(
        PolynomialRing().drift(x), Lorenz96().drift(x), rtol=1e-13, atol=1e-13
    )
    torch.testing.assert_close(PolynomialRing().drift(x[0]), Lorenz96().drift(x[0]))


@pytest.mark.parametrize("size", [5, 6, 20])
def test_the_quadratic_form_is_the_sum_of_18_terms(size):
    b, x = normal((3, 18), stream("b")), normal((3, 2, 4, size), stream("x"))
    expected = (library(x) * b[:, None, None, None]).sum(-1)
    torch.testing.assert_close(PolynomialRing(size, b).drift(x), expected)
    torch.testing.assert_close(PolynomialRing(size, b[1]).drift(x[1]), expected[1])


def attractor(size: int, points: int) -> torch.Tensor:
    x = 8 + normal((points, size), stream("attractor"))
    return trajectory(RK4(0.05).flow(Lorenz96(size)), x, 400)[:, -1]


@pytest.mark.parametrize(("variance", "error"), [(0.5, 0.27), (1.0, 0.39), (2.0, 0.56)])
def test_models_without_correction_have_the_stated_errors(variance, error):
    """Medians of 60 draws at 40 sites."""
    map = RingMap(40)
    found = map.errors(start(map, variance, range(60)).values, attractor(40, 200))["forecast_rmse"]
    assert found.median().item() == pytest.approx(error, rel=0.15)


def test_wrong_coefficients_have_three_variances():
    begun = start(RingMap(8), 2.0, range(4000))
    departure = begun.fixed["beta"] - torch.tensor(LORENZ96)
    expected = torch.tensor([2.0, *[0.2] * 5, *[0.02] * 12])
    torch.testing.assert_close(departure.var(0), expected, rtol=0.1, atol=0)
    assert (departure.mean(0).abs() < 4 * (expected / 4000).sqrt()).all()
    assert not begun.learnable["coefficients"][0].any()


def test_both_corrections_start_from_the_same_wrong_model():
    networks = start(RingMap(8, correction="network"), 1.0, range(3))
    assert torch.equal(networks.fixed["beta"], start(RingMap(8), 1.0, range(3)).fixed["beta"])
    assert sum(value[0].numel() for value, _ in networks.learnable.values()) == 9387


def test_learned_coefficients_can_undo_the_error():
    map = RingMap(20)
    values = start(map, 1.0, range(4)).values
    values["coefficients"] = torch.tensor(LORENZ96) - values["beta"]
    assert (map.errors(values, attractor(20, 50))["forecast_rmse"] < 1e-5).all()


def test_a_network_of_zeros_corrects_nothing_in_either_reading():
    x = states(RingMap(12), 2, 3)
    for reading in ("tendency", "resolvent"):
        map = RingMap(12, correction="network", reading=reading)
        values = start(map, 1.0, range(2)).values
        for key in values.keys() - {"beta"}:
            values[key] = torch.zeros_like(values[key])
        plain = RK4(0.05).flow(PolynomialRing(12, values["beta"]))(x)
        torch.testing.assert_close(map.flow(values)(x), plain)


def test_a_constant_network_moves_a_tendency_by_dt_and_a_resolvent_by_itself():
    """Damping alone, dx/dt = -x + g, ends at x e^-dt + g (1 - e^-dt), but for dt^5."""
    x, g = states(RingMap(12), 1, 3), 0.7
    ends = {"tendency": g * -math.expm1(-0.05), "resolvent": g}
    for reading, moved in ends.items():
        map = RingMap(12, correction="network", reading=reading)
        values = {key: torch.zeros_like(v) for key, v in start(map, 1.0, [0]).values.items()}
        values["beta"][:, 3], values["network.bias3"] = -1.0, torch.full((1, 1), g)
        expected = x * math.exp(-0.05) + moved
        torch.testing.assert_close(map.flow(values)(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"correction": "spline"}, "unknown correction 'spline'; known: coefficients, network"),
        ({"reading": "both"}, "unknown reading 'both'; known: tendency, resolvent"),
        ({"reading": "resolvent"}, "coefficients correct a tendency"),
    ],
)
def test_unknown_corrections_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RingMap(12, **settings)


def test_wrong_shapes_of_a_polynomial_are_refused():
    with pytest.raises(ValueError, match="5 sites or more, got size 4"):
        PolynomialRing(4)
    with pytest.raises(ValueError, match=r"\(18,\) or \(run, 18\), got shape \(17,\)"):
        PolynomialRing(8, [0.0] * 17)
    with pytest.raises(ValueError, match=r"3 runs; give states of shape \(3, ..., state\)"):
        PolynomialRing(8, torch.zeros(3, 18)).drift(torch.zeros(6, 8))


# -- the species ---------------------------------------------------------------------------------


def test_initial_species_models_have_the_given_variance():
    map = SpeciesMap(16)
    begun = start(map, 0.01, range(400))
    assert not begun.fixed["rejected"].any() and (begun.fixed["substeps"] == 1).all()
    for key, truth in (("blocks", map.true.a), ("equilibrium", map.true.x_s)):
        departure = begun.learnable[key][0].double() - truth
        assert departure.var().item() == pytest.approx(0.01, rel=0.1)
        assert abs(departure.mean()) < 0.01


def test_errors_of_species_are_those_of_the_definitions():
    map = SpeciesMap(10)
    values = start(map, 0.1, range(3)).values
    errors = map.errors(values, states(map, 4).double())
    truth = LotkaVolterra(10)
    for run in range(3):
        learned = LotkaVolterra(10, values["blocks"][run].double(), values["equilibrium"][run])
        A, r = learned.matrix, -learned.matrix @ learned.x_s.double()
        assert errors["mae_interactions"][run] == pytest.approx((A - truth.matrix).abs().mean())
        assert errors["mae_growth"][run] == pytest.approx((r - truth.growth).abs().mean())
        assert errors["mae_blocks"][run] == pytest.approx((learned.a - truth.a).abs().mean())


def test_initial_interactions_are_wrong_by_the_mean_of_a_normal_numbers_size():
    """sqrt(2 variance / pi), less the diagonal, which is no error."""
    map = SpeciesMap(32)
    errors = map.errors(start(map, 0.1, range(200)).values, states(map, 2).double())
    expected = math.sqrt(0.2 / math.pi) * 31 / 32
    assert errors["mae_interactions"].mean().item() == pytest.approx(expected, rel=0.05)
    assert errors["mae_blocks"].mean().item() == pytest.approx(expected * 32 / 31, rel=0.05)


def test_unstable_initial_models_are_drawn_again_then_get_shorter_steps():
    """A long interval stands for many species: some draws blow up, then most."""
    some, most = (start(SpeciesMap(16, dt=dt), 0.1, range(12)) for dt in (0.5, 0.8))
    assert some.fixed["rejected"].any() and (some.fixed["rejected"] < 6).any()
    assert len(most.fixed["substeps"].unique()) > 1
    for begun, dt in ((some, 0.5), (most, 0.8)):
        assert (begun.fixed["substeps"] == 1)[begun.fixed["rejected"] < 6].all()
        map = SpeciesMap(16, dt=dt)
        x = states(map, 12, 20)
        together = map.flow(begun.values)(x)
        bounded = trajectory(map.flow(begun.values), x, 20).abs().amax(-1).amax(-1) <= 1e3
        assert bounded.double().mean() > 0.95  # of members that the trial did not see
        for run in range(12):
            alone = map.flow(one(begun.values, run))(x[run : run + 1])
            torch.testing.assert_close(alone[0], together[run], rtol=1e-4, atol=1e-5)


def test_hopeless_initial_models_are_reported():
    with pytest.raises(ValueError, match="none of 12 initial models .* use a variance below 1e"):
        start(SpeciesMap(16), 1e6, range(1))


def test_each_run_of_species_needs_its_stream():
    with pytest.raises(ValueError, match="2 runs need as many streams, got 1"):
        SpeciesMap(16).start(torch.ones(2), stream("one"))
