"""What holds for every smoother of the registry, whatever its method."""

import dataclasses

import pytest
import torch

from dalib import build
from dalib.filters import Ensemble, Gaussian, assimilate
from dalib.integrate import RK4
from dalib.observations import Changing
from dalib.observe import Linear, MovingSubset, Subset
from dalib.registry import SMOOTHERS
from dalib.smoothers import smooth
from dalib.streams import Streams, normal, streams
from dalib.systems.lorenz import Lorenz96

SIZE, SEEDS, TIMES = 6, 3, 7
KINDS = sorted(SMOOTHERS)
LINEAR = ("rts", "parallel_rts")  # of a model given by its matrix
VARIATIONAL = ("strong_var4d", "weak_var4d", "envar4d")  # which run no filter
SEEN = {"full": range(SIZE), "partial": range(0, SIZE, 2), "missing": range(0, SIZE, 2)}
SETTINGS = {
    "extended_rts": {"model_error_std": 0.1, "inflation": 1.02},
    "unscented_rts": {"model_error_std": 0.1},
    "cubature_rts": {"model_error_std": 0.1},
    "enks": {"members": 10, "inflation": 1.02, "rotate": True, "lag": 3},
    "stochastic_enks": {"members": 10, "model_error_std": 0.1},
    "enrts": {"members": 10, "inflation": 1.02, "correlation": 0.9},
    "envar4d": {"members": 10},
    "weak_var4d": {"model_error_std": 0.1},
    "stochastic_enrts": {"members": 10, "model_error_std": 0.1, "lag": 3},
    "backward_simulation": {"members": 500, "model_error_std": 0.7, "trajectories": 100}
    | {"obs_std": 3.0},
}
SAMPLED = ("backward_simulation",)  # which chooses particles by chance, with jumps
each = pytest.mark.parametrize("kind", KINDS)
everywhere = pytest.mark.parametrize(("kind", "seen"), [(k, s) for k in KINDS for s in SEEN])


def made(kind: str, seen: str, forcing=8.0, **settings):
    system, rk4, observe = Lorenz96(SIZE, forcing), RK4(0.05), Subset(tuple(SEEN[seen]))
    one = torch.eye(SIZE, dtype=torch.float64)
    obs = len(observe.index)
    supplies = {
        "step": lambda: rk4.flow(system),
        "tangent": lambda: rk4.tangent(system),
        "observe": lambda: observe,
        "obs_std": lambda: torch.linspace(0.5, 2.0, obs, dtype=torch.float64),
        "matrix": lambda: 0.95 * one.roll(1, 0),
        "noise_cov": lambda: 0.1 * one,
    }
    return build.make("smoother", {"kind": kind, **SETTINGS.get(kind, {}), **settings}, supplies)


def data(seen: str) -> tuple[Gaussian, torch.Tensor]:
    """Prior and observations (seed, time, obs), some with values, times, a first time missing."""
    mean = 2 + 3 * normal((SEEDS, SIZE), streams("smoothers", range(SEEDS), "prior"))
    y = 2 + 3 * normal((SEEDS, TIMES, len(SEEN[seen])), streams("smoothers", range(SEEDS), "y"))
    if seen == "missing":
        y[0, 2, 1], y[1, 3], y[2, 0], y[0, -1] = (torch.nan,) * 4
    return Gaussian(mean, 0.5 * torch.eye(SIZE).double()), y


def generators():
    return streams("smoothers", range(SEEDS), "filter")


def moments(found) -> list[torch.Tensor]:
    initial = found.initial
    return [found.mean, found.std, initial.mean, initial.std, *found.analyses[:4]]


@everywhere
def test_every_smoother_is_finite_and_of_the_right_shape(kind, seen):
    prior, y = data(seen)
    found = smooth(made(kind, seen), prior, y, generators(), kept=torch.tensor([0, 2]))
    for series in (found.mean, found.std):
        assert series.shape == (SEEDS, TIMES, SIZE)
    assert found.initial.mean.shape == found.initial.std.shape == (SEEDS, SIZE)
    assert all(value.isfinite().all() for value in moments(found))
    assert all(value.dtype == torch.float64 for value in moments(found))
    assert (found.std > 0).all() and not found.diverged.any()
    if isinstance(found.initial, Ensemble):
        count = SETTINGS[kind].get("trajectories", SETTINGS[kind]["members"])
        assert found.members.shape == (SEEDS, TIMES, count, 2)
        assert torch.equal(found.members.mean(-2), found.mean[..., [0, 2]])
    else:
        assert found.cov.shape == (SEEDS, TIMES, SIZE, SIZE)
        assert torch.allclose(found.cov.diagonal(dim1=-2, dim2=-1).sqrt(), found.std)


@everywhere
def test_every_smoother_draws_from_its_generator_alone_and_changes_nothing(kind, seen):
    prior, y = data(seen)
    copies = [value.clone() for value in (*prior, y)]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again = (moments(smooth(made(kind, seen), prior, y, generators())) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for value, before in zip((*prior, y), copies, strict=True):
        assert torch.equal(value.nan_to_num(), before.nan_to_num())


@everywhere
def test_no_series_depends_on_another(kind, seen):
    prior, y = data(seen)
    batch = moments(smooth(made(kind, seen), prior, y, generators()))
    for seed, generator in enumerate(generators().generators):
        single = Gaussian(prior.mean[seed : seed + 1], prior.cov)
        one = smooth(made(kind, seen), single, y[seed : seed + 1], Streams((generator,)))
        for a, b in zip(batch, moments(one), strict=True):
            assert torch.allclose(a[seed], b[0], rtol=0, atol=1e-8)


@each
def test_a_series_without_a_leading_axis_and_one_with_two(kind):
    prior, y = data("missing")
    alone = smooth(made(kind, "missing"), Gaussian(prior.mean[0], prior.cov), y[0], stream())
    assert alone.mean.shape == (TIMES, SIZE) and alone.mean.isfinite().all()
    two = Gaussian(prior.mean.expand(2, SEEDS, SIZE), prior.cov)
    found = smooth(
        made(kind, "missing"), two, y.expand(2, *y.shape), streams("two", range(2), "filter")
    )
    assert found.mean.shape == (2, SEEDS, TIMES, SIZE) and found.mean.isfinite().all()


def stream():
    return generators().generators[0]


@pytest.mark.parametrize("kind", sorted({*SMOOTHERS} - {*VARIATIONAL}))
def test_the_last_state_is_that_of_the_filter_and_earlier_ones_are_surer(kind):
    prior, y = data("full")
    found = smooth(made(kind, "full"), prior, y, generators())
    last, analyses = [series[:, -1] for series in (found.mean, found.std)], found.analyses
    assert found.std[:, :-1].mean() < analyses.std[:, :-1].mean()
    assert not torch.allclose(found.mean[:, 0], analyses.mean[:, 0], atol=1e-3)
    if kind in SAMPLED:
        return
    assert torch.allclose(last[0], analyses.mean[:, -1], rtol=0, atol=1e-12)
    assert torch.allclose(last[1], analyses.std[:, -1], rtol=0, atol=1e-12)
    filter = made(kind, "full")
    if getattr(filter, "lag", None) is None and hasattr(filter, "lag") and "ks" in kind:
        filter = dataclasses.replace(filter, lag=1)
    alone = assimilate(filter, prior, y, generators())
    assert torch.allclose(analyses.mean, alone.mean, rtol=0, atol=1e-9)


@each
def test_every_smoother_follows_an_operator_that_moves(kind):
    prior, y = data("partial")
    rows = [tuple((i + k) % SIZE for i in range(0, SIZE, 2)) for k in range(TIMES)]
    still = made(kind, "partial")
    moving = dataclasses.replace(still, observe=MovingSubset(tuple(rows)))
    found, fixed = (smooth(one, prior, y, generators()) for one in (moving, still))
    assert found.mean.isfinite().all()
    assert not torch.allclose(found.mean[:, 0], fixed.mean[:, 0])


@each
def test_single_precision_is_as_good(kind):
    prior, y = data("missing")
    double = smooth(made(kind, "missing"), prior, y, generators())
    single = Gaussian(prior.mean.float(), prior.cov.float())
    found = smooth(made(kind, "missing"), single, y, generators())
    for a, b in zip(moments(found), moments(double), strict=True):
        assert a.dtype == torch.float32 and a.isfinite().all()
        assert kind in SAMPLED or torch.allclose(a.double(), b, rtol=1e-3, atol=1e-3)


@everywhere
def test_the_gradient_of_every_smoother_is_its_slope(kind, seen):
    """Central differences of states, spreads and the initial state in the prior and the errors."""
    prior, y = data(seen)
    smoother = made(kind, seen)
    direction = normal((SEEDS, SIZE), streams("smoothers", range(SEEDS), "direction"))

    def total(shift):
        moved = Gaussian(prior.mean + shift * direction, prior.cov)
        given = dataclasses.replace(smoother, obs_std=smoother.obs_std * (1 + shift))
        found = smooth(given, moved, y, generators())
        return found.mean.square().sum() + 5 * found.std.sum() + found.initial.mean.square().sum()

    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(total(shift), shift)
    if kind in SAMPLED:
        assert slope.isfinite() and slope != 0
        return
    with torch.no_grad():
        difference = (total(1e-5) - total(-1e-5)) / 2e-5
    assert slope.item() == pytest.approx(difference.item(), rel=1e-4)


@each
def test_the_second_derivative_of_a_gaussian_smoother_is_its_curve(kind):
    if kind not in (*LINEAR, "extended_rts", "unscented_rts", "cubature_rts"):
        return
    prior, y = data("missing")

    def slope(error, create):
        smoother = made(kind, "missing")
        smoother = dataclasses.replace(smoother, obs_std=smoother.obs_std * error)
        total = smooth(smoother, prior, y).mean.square().sum()
        return torch.autograd.grad(total, error, create_graph=create)[0]

    error = torch.ones((), dtype=torch.float64, requires_grad=True)
    (curve,) = torch.autograd.grad(slope(error, True), error)
    up, down = (
        slope(torch.tensor(1 + s * 1e-5, dtype=torch.float64, requires_grad=True), False)
        for s in (1, -1)
    )
    assert curve.item() == pytest.approx(((up - down) / 2e-5).item(), rel=1e-4)


@each
def test_progress_shows_a_bar(kind, capsys):
    prior, y = data("full")
    smooth(made(kind, "full"), prior, y, generators(), progress=True)
    silent = kind in ("parallel_rts", *VARIATIONAL)
    assert silent or type(made(kind, "full")).__name__ in capsys.readouterr().err


@each
def test_bad_input_is_refused(kind):
    prior, y = data("full")
    with pytest.raises(ValueError, match="y has 4 values but observe"):
        smooth(made(kind, "full", obs_std=1.0), prior, y[..., :4], generators())
    with pytest.raises(ValueError, match="all observations.* are NaN"):
        smooth(made(kind, "full"), prior, y * torch.nan, generators())
    with pytest.raises(TypeError, match="give a Gaussian or an Ensemble"):
        smooth(made(kind, "full"), prior.mean, y, generators())


@each
def test_correlated_errors_are_those_of_whitened_observations(kind):
    """L⁻¹ y = L⁻¹ H x + N(0, I), at all times alike and at each with an R of its own."""
    prior, y = data("partial")
    y[1, 3] = torch.nan
    R = 0.5 * torch.eye(3).double() + 0.5
    for scale in (torch.ones(1).double(), torch.linspace(0.5, 2.0, TIMES).double()):
        Rs = scale[:, None, None] * R
        L = torch.linalg.cholesky(Rs)
        white = torch.linalg.solve_triangular(L, y[..., None], upper=False)[..., 0]
        one = torch.eye(SIZE).double()[::2].expand(TIMES, 3, SIZE)
        H = torch.linalg.solve_triangular(L, one, upper=False)
        full = dataclasses.replace(made(kind, "partial"), obs_std=None, obs_cov=Rs)
        found = smooth(full, prior, y, generators())
        given = {"obs_std": 1.0, "observe": Changing(tuple(map(Linear, H)))}
        whitened = dataclasses.replace(made(kind, "partial"), **given)
        expected = smooth(whitened, prior, white, generators())
        assert torch.allclose(found.mean, expected.mean, rtol=1e-7, atol=1e-7)
        assert torch.allclose(found.std, expected.std, rtol=1e-7, atol=1e-7)
