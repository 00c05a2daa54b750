"""What holds for every filter of the registry, whatever its method."""

import copy
import dataclasses
import math

import pytest
import torch

from dalib import Observations, build
from dalib import assimilate as assimilated
from dalib.codecs.pca import LinearCodec
from dalib.filters import Gaussian, assimilate, at, cycle, scored
from dalib.filters.enkf import EnKF
from dalib.filters.local import Local
from dalib.integrate import RK4
from dalib.localise import Grid, Ring
from dalib.nets.dkf import DeepKalman
from dalib.nets.scaling import Scaling
from dalib.observe import Identity, Linear, MovingSubset, Subset
from dalib.registry import FILTERS
from dalib.streams import Streams, normal, streams
from dalib.systems.lorenz import Lorenz96

SIZE, SEEDS, TIMES = 8, 3, 6
SITES = torch.arange(SIZE)
NETWORKS = ("deep_kalman", "deep_kalman_smoother")
CODED = ("latent", "direct_decode")
EVERY = sorted(FILTERS)
KINDS = sorted(set(FILTERS) - {*NETWORKS, *CODED})  # that say how likely an observation is
LINEAR = ("kalman", "square_root_kalman")  # of a model given by its matrix
UNSEEING = ("climatology", "free_run")  # they never look at observations
# at every analysis: jumps where choices or ranks change
CHOOSING = ("auxiliary_particle", "local_particle", "ns_enkf")
OWN_LIKELIHOOD = ("likelihood_particle",)  # which says itself what is seen, and how well
SCALED = sorted(set(KINDS) - {*OWN_LIKELIHOOD})  # by errors of the observations
SETTINGS = {
    "ekf": {"model_error_std": 0.1, "inflation": 1.1},
    "iterated_ekf": {"model_error_std": 0.1, "inflation": 1.1, "iterations": 3},
    "ukf": {"model_error_std": 0.1, "inflation": 1.1, "alpha": 0.5},
    "cubature": {"model_error_std": 0.1, "inflation": 1.1},
    "enkf": {"members": 10, "inflation": 1.05, "model_error_std": 0.1},
    "denkf": {"members": 10, "inflation": 1.05},
    "etkf": {"members": 10, "inflation": 1.05, "rotate": True},
    "letkf": {"members": 5, "inflation": 1.05, "rotate": True},
    "local_letkf": {"members": 5, "inflation": 1.05},
    "local_enkf": {"members": 6, "inflation": 1.05},
    "free_run": {"members": 6},
    "ens3dvar": {"members": 6, "weight": 0.5},
    "localised_enkf": {"members": 6, "scale": 1.1, "model_error_std": 0.1, "centred": False},
    "var3d": {"background_scale": 0.1},
    "ensf": {"members": 10, "mean": 2.3, "std": 3.6, "steps": 30, "inflation": 1.05},
    "serial_ensrf": {"members": 8, "inflation": 1.05, "rotate": True},
    "serial_enkf": {"members": 8, "inflation": 1.05},
    "rank_histogram": {"members": 8, "inflation": 1.05},
    "enkf_n": {"members": 8, "rotate": True},
    "ienks": {"members": 8, "lag": 2, "inflation": 1.02, "rotate": True},
    "hybrid_gain": {"members": 5, "inflation": 1.02, "background_scale": 0.1},
    "var4d": {"background_scale": 0.1, "lag": 2},
    "particle": {"members": 50, "jitter_std": 0.3, "regularisation": 1.0},
    "likelihood_particle": {"members": 50, "jitter_std": 0.3, "resampling": "stratified"},
    "optimal_particle": {"members": 50, "model_error_std": 0.3, "resampling": "residual"},
    "auxiliary_particle": {"members": 50, "model_error_std": 0.3, "resampling": "multinomial"},
    "enff": {"members": 10, "least_std": 0.5, "inflation": 1.05},
    "cg_enkf": {"members": 12, "inflation": 1.05},
    "ns_enkf": {"members": 12, "inflation": 1.05},
    "local_particle": {"members": 20, "model_error_std": 0.3, "regularisation": 0.5},
}


def supplied(step, tangent) -> dict:
    shift = 0.95 * torch.eye(SIZE, dtype=torch.float64).roll(1, 0)
    return {
        "step": lambda: step,
        "tangent": lambda: tangent,
        "observe": lambda: Subset(tuple(range(0, SIZE, 2))),
        "obs_std": lambda: torch.tensor([1.0, 1.0, 0.5, 2.0], dtype=torch.float64),
        "background": lambda: Gaussian(
            torch.full((SIZE,), 2.3).double(), 13 * torch.eye(SIZE).double()
        ),
        "gain": lambda: 0.4 * torch.eye(SIZE, dtype=torch.float64)[:, ::2],
        "localisation": lambda: Ring(1.0).on(SIZE),
        "matrix": lambda: shift,
        "noise_cov": lambda: 0.1 * torch.eye(SIZE, dtype=torch.float64),
        "log_density": lambda: density(
            Subset(tuple(range(0, SIZE, 2))), torch.tensor([1.0, 1.0, 0.5, 2.0]).double()
        ),
    }


def density(observe, std):
    """log N(y; h(x), std²) of what is not missing, as a user would write it."""

    def log_density(y, x):
        error = (y.nan_to_num() - observe(x)) / std
        log_p = -0.5 * (error.square() + math.log(2 * math.pi)) - std.log()
        return torch.where(y.isnan(), 0.0, log_p).sum(-1)

    return log_density


def steady(kind: str) -> dict:
    """Settings without the jumps of resampling, of a method that has some."""
    fields = build.resolve("filter", kind).__dataclass_fields__
    return {name: 0.0 for name in ("resample_below", "regularisation") if name in fields}


def make(kind: str, forcing=8.0):
    system, rk4 = Lorenz96(SIZE, forcing), RK4(0.05)
    section = {"kind": kind, **SETTINGS.get(kind, {})}
    return build.make("filter", section, supplied(rk4.flow(system), rk4.tangent(system)))


def inputs() -> tuple[Gaussian, torch.Tensor]:
    """Prior and observations (seed, time, obs), with values, times and a first time missing."""
    mean = 2 + 3 * normal((SEEDS, SIZE), streams("contract", range(SEEDS), "prior"))
    y = 2 + 3 * normal((SEEDS, TIMES, SIZE // 2), streams("contract", range(SEEDS), "y"))
    y[0, 2, 1], y[1, 3], y[2, 0] = torch.nan, torch.nan, torch.nan
    return Gaussian(mean, 0.5 * torch.eye(SIZE).double()), y


def generators():
    return streams("contract", range(SEEDS), "filter")


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_result_and_nothing_else_touched(kind):
    prior, y = inputs()
    copies = [prior.mean.clone(), prior.cov.clone(), y.clone()]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = assimilate(make(kind), prior, y, generators())
    second = assimilate(make(kind), prior, y, generators())
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(first[:5], second[:5], strict=True):  # no members were asked for
        assert torch.equal(a, b)
    for value, before in zip((prior.mean, prior.cov, y), copies, strict=True):
        assert torch.equal(value.nan_to_num(), before.nan_to_num())


@pytest.mark.parametrize("kind", KINDS)
def test_analyses_are_finite_and_of_the_right_shape(kind):
    prior, y = inputs()
    analyses = assimilate(make(kind), prior, y, generators())
    for series in analyses[:4]:
        assert series.shape == (SEEDS, TIMES, SIZE)
        assert series.dtype == torch.float64
        assert series.isfinite().all()
    assert (analyses.std > 0).all() or kind == "fixed_gain"  # which is certain of its estimate
    assert not analyses.diverged.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_seeds_is_so_many_single_runs(kind):
    prior, y = inputs()
    batch = assimilate(make(kind), prior, y, generators())
    for seed, generator in enumerate(generators().generators):
        single = Gaussian(prior.mean[seed], prior.cov)
        alone = assimilate(make(kind), single, y[seed], generator)
        for a, b in zip(batch[:4], alone[:4], strict=True):
            assert torch.allclose(a[seed], b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_another_leading_axis_changes_nothing(kind):
    """(2, seed) instead of (seed,), all drawing alike."""
    prior, y = inputs()
    two = Gaussian(prior.mean.expand(2, SEEDS, SIZE), prior.cov.expand(2, SEEDS, SIZE, SIZE))
    analyses = assimilate(make(kind), two, y.expand(2, *y.shape), streams("x", range(2), "filter"))
    assert analyses.mean.shape == (2, SEEDS, TIMES, SIZE)
    assert analyses.mean.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_without_observations_leaves_mean_and_spread(kind):
    prior, y = inputs()
    filter = dataclasses.replace(make(kind))
    analyses = assimilate(filter, prior, y, generators())
    if kind in UNSEEING:
        return
    assert torch.allclose(analyses.mean[1, 3], analyses.forecast_mean[1, 3], atol=1e-9)
    assert torch.allclose(analyses.std[1, 3], analyses.forecast_std[1, 3], atol=1e-9)
    assert not torch.allclose(analyses.mean[0, 3], analyses.forecast_mean[0, 3], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_scored_is_analysed_and_has_its_likelihood(kind):
    prior, y = inputs()
    filter = make(kind)
    forecast = filter.forecast(filter.start(prior, generators()), generators())
    for k in range(TIMES):
        analysis, likelihood = scored(filter, forecast, y[:, k], generators())
        expected = filter.analyse(forecast, y[:, k], generators())
        for a, b in zip(analysis, expected, strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-12)
        for a, b in zip(likelihood, filter.likelihood(forecast, y[:, k]), strict=True):
            assert a.shape == (SEEDS,)
            assert torch.allclose(a, b, rtol=1e-12, atol=1e-10)
        assert torch.equal(likelihood.count, (~y[:, k].isnan()).sum(-1))
        log_density = filter.log_likelihood(forecast, y[:, k])
        assert torch.allclose(likelihood.log_density, log_density, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("kind", sorted(set(SCALED) - {"fixed_gain"}))  # which refuses it
def test_an_operator_that_moves_is_followed(kind):
    prior, y = inputs()
    still = make(kind)
    rows = [tuple((i + k) % SIZE for i in range(0, SIZE, 2)) for k in range(TIMES)]
    moving = dataclasses.replace(still, observe=MovingSubset(tuple(rows)))
    analyses = assimilate(moving, prior, y, generators())
    assert analyses.mean.isfinite().all()
    if kind not in UNSEEING:
        fixed = assimilate(still, prior, y, generators())
        assert torch.allclose(analyses.mean[:, 0], fixed.mean[:, 0])
        assert not torch.allclose(analyses.mean[:, 1], fixed.mean[:, 1])


@pytest.mark.parametrize("kind", SCALED)
def test_gradients_of_likelihood_and_analyses_are_finite(kind):
    """With respect to the prior, the model and the error of the observations."""
    prior, y = inputs()
    mean = prior.mean.clone().requires_grad_(True)
    forcing = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    obs_std = torch.ones(SIZE // 2, dtype=torch.float64, requires_grad=True)
    filter = dataclasses.replace(make(kind, forcing), obs_std=obs_std)
    total = 0
    for k, (forecast, analysis) in enumerate(
        cycle(filter, Gaussian(mean, prior.cov), y, generators())
    ):
        total = total + at(filter, k).log_likelihood(forecast, y[:, k]).sum()
        total = total + analysis.mean.square().sum()
    assert total.isfinite()
    leaves = [obs_std]
    if kind not in ("climatology", "oi"):
        leaves.append(mean)
        leaves += [forcing] if kind not in LINEAR else []
    for gradient in torch.autograd.grad(total, leaves):
        assert gradient.isfinite().all()
        assert (gradient != 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_slope_of_the_likelihood(kind):
    """Central differences; resampling makes jumps, so that the particle filter only weights."""
    prior, y = inputs()
    filter = dataclasses.replace(make(kind), **steady(kind))
    direction = normal((SEEDS, SIZE), streams("contract", range(SEEDS), "direction"))

    def likelihood(shift):
        moved = Gaussian(prior.mean + shift * direction, prior.cov)
        steps = cycle(filter, moved, y, generators())
        return sum(filter.log_likelihood(f, y[:, k]).sum() for k, (f, _) in enumerate(steps))

    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value = likelihood(shift)
    if kind in ("climatology", "oi"):
        assert not value.requires_grad
        return
    (slope,) = torch.autograd.grad(value, shift)
    h = 1e-5
    with torch.no_grad():
        difference = (likelihood(h) - likelihood(-h)) / (2 * h)
    assert slope.item() == pytest.approx(difference.item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_continues_from_what_was_saved_as_if_it_had_not_stopped(kind):
    """Also with a seed lost before, whose place the first belief has taken."""
    prior, y = inputs()
    prior.mean[1] = 1e7
    saved = []
    whole = assimilate(
        make(kind),
        prior,
        y,
        generators(),
        save=lambda state: saved.append(copy.deepcopy(state())),
    )
    other = streams("another", range(SEEDS), "filter")
    continued = assimilate(make(kind), prior, y, other, resume=saved[2])
    assert saved[2]["time"] == 3
    for a, b in zip(whole[:5], continued[:5], strict=True):
        assert torch.equal(a.nan_to_num(), b.nan_to_num())
        assert torch.equal(a.isnan(), b.isnan())


def test_what_was_saved_of_another_filter_is_left_aside(caplog):
    prior, y = inputs()
    saved = []
    assimilate(make("enkf"), prior, y, generators(), save=lambda state: saved.append(state()))
    resumed = assimilate(make("particle"), prior, y, generators(), resume=saved[2])
    assert "of another filter; starts from the beginning" in caplog.text
    assert torch.equal(resumed.mean, assimilate(make("particle"), prior, y, generators()).mean)


@pytest.mark.parametrize("kind", SCALED)
def test_the_slope_with_respect_to_errors_is_right_where_a_value_is_missing(kind):
    """Central differences of likelihoods and analyses; a particle filter only weights."""
    prior, y = inputs()
    filter = dataclasses.replace(make(kind), **steady(kind))

    def total(obs_std):
        given = dataclasses.replace(filter, obs_std=obs_std)
        steps = cycle(given, prior, y, generators())
        return sum(
            given.log_likelihood(f, y[:, k]).sum() + a.mean.square().sum()
            for k, (f, a) in enumerate(steps)
        )

    obs_std = torch.tensor([1.0, 1.1, 0.9, 1.2], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(total(obs_std), obs_std)
    h = 1e-7 if kind in CHOOSING else 1e-5
    for j, unit in enumerate(h * torch.eye(4).double()):
        with torch.no_grad():
            difference = (total(obs_std + unit) - total(obs_std - unit)) / (2 * h)
        assert slope[j].item() == pytest.approx(difference.item(), rel=1e-4, abs=1e-4)


FULL = [kind for kind in KINDS if "obs_cov" in build.resolve("filter", kind).__dataclass_fields__]


@pytest.mark.parametrize("kind", FULL)
def test_correlated_errors_are_those_of_whitened_observations(kind):
    """L⁻¹ y = L⁻¹ H x + N(0, I); a local filter takes a diagonal, and refuses the rest."""
    prior, y = inputs()
    y = torch.where(y.isnan().any(-1, keepdim=True), torch.nan, y)  # L of all values, or of none
    filter, R = make(kind), 0.5 * torch.eye(4).double() + 0.5
    if isinstance(filter, Local):
        with pytest.raises(ValueError, match="correlated in blocks of observations near each"):
            given = dataclasses.replace(filter, obs_std=None, obs_cov=R)
            assimilate(given, prior, y, generators())
        R = torch.tensor([1.0, 1.0, 0.25, 4.0]).double().diag()
    L = torch.linalg.cholesky(R)
    white = torch.linalg.solve_triangular(L, y.mT, upper=False).mT
    H = torch.linalg.solve_triangular(L, torch.eye(SIZE).double()[::2], upper=False)
    expected = {"observe": Linear(H), "obs_std": 1.0}
    if kind == "fixed_gain":
        expected["gain"] = filter.gain @ L
    found = dataclasses.replace(filter, obs_std=None, obs_cov=R)
    found = assimilate(found, prior, y, generators())
    expected = assimilate(dataclasses.replace(filter, **expected), prior, white, generators())
    for a, b in zip(found[:4], expected[:4], strict=True):
        assert torch.allclose(a, b, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_irregular_times_are_steps_with_nothing_observed_between(kind):
    """So many steps to the next observation are as many times of which the others are NaN."""
    prior, y = inputs()
    times = [1, 2, 4, 5, 8, 9]
    observations = Observations(times, y, start=0, interval=1)
    found = assimilated(make(kind), prior, observations, generators())
    assert found.mean.shape == (SEEDS, TIMES, SIZE)
    for series in (*found[:4], found.log_likelihood):
        assert series.isfinite().all()
    drawing = getattr(make(kind), "rotate", False) or kind in (*STOCHASTIC, "serial_enkf")
    if drawing:  # at a time without observations too
        return
    rows = torch.full((SEEDS, times[-1], SIZE // 2), torch.nan).double()
    rows[:, [k - 1 for k in times]] = y
    dense = assimilate(make(kind), prior, rows, generators())
    at_times = dense.mean[:, [k - 1 for k in times]]
    assert torch.allclose(found.mean, at_times, rtol=1e-9, atol=1e-9)


# every entry of the registry, under every localisation that it takes, whatever is observed

WHERE = {"none": None, "ring": Ring(1.0), "grid": Grid((2, 4), 1.0)}
SEEN = {"full": range(SIZE), "partial": range(0, SIZE, 2), "missing": range(0, SIZE, 2)}
NEED = ("letkf", "local_letkf", "local_particle")  # a localisation
CONSTANT = ("climatology", "oi")  # analyses that do not depend on the prior
STOCHASTIC = (
    *("enkf", "serial_enkf", "localised_enkf", "local_enkf", "ens3dvar", "ensf", "particle"),
    "latent",
    *("likelihood_particle", "optimal_particle", "auxiliary_particle", "local_particle"),
    *("enff", "cg_enkf", "ns_enkf"),
)


def takes(kind: str, name: str) -> bool:
    return name in build.resolve("filter", kind).__dataclass_fields__


COMBINATIONS = [
    (kind, where, seen)
    for kind in EVERY
    for where in WHERE
    for seen in SEEN
    if (where == "none" and kind not in NEED) or (where != "none" and takes(kind, "localisation"))
]
everywhere = pytest.mark.parametrize(("kind", "where", "seen"), COMBINATIONS)


def coded(obs: int) -> LinearCodec:
    """Codes are the states, and those of observations spread them over the components."""
    one = torch.eye(SIZE, dtype=torch.float64)
    spread = one.unflatten(0, (obs, -1)).sum(1).mT  # (latent, obs)
    zero, unit = torch.zeros(SIZE).double(), torch.ones(SIZE).double()
    given = (zero, unit, one, unit[0], zero[:obs], unit[:obs], spread, zero)
    return LinearCodec(*given)


def network(kind: str, obs: int) -> DeepKalman:
    scaling = Scaling(torch.full((1, obs), 2.0), torch.full((1, obs), 4.0))
    settings = {"latent": 3, "hidden": 6, "backward": kind.endswith("smoother")}
    return DeepKalman(scaling, **settings, generator=streams("net", range(1), "weights"))


def made(kind: str, where: str, seen: str, forcing=8.0):
    system, rk4, observe = Lorenz96(SIZE, forcing), RK4(0.05), Subset(tuple(SEEN[seen]))
    obs, step = len(observe.index), rk4.flow(system)
    inner = EnKF(step=step, observe=Identity(SIZE), obs_std=0.5, members=10)
    given = supplied(step, rk4.tangent(system)) | {
        "observe": lambda: observe,
        "obs_std": lambda: torch.linspace(0.5, 2.0, obs).double(),
        "gain": lambda: 0.4 * torch.eye(SIZE).double()[:, list(observe.index)],
        "network": lambda: network(kind, obs),
        "codec": lambda: coded(obs),
        "inner": lambda: inner,
        "localisation": lambda: WHERE[where].on(SIZE) if WHERE[where] else None,
        "log_density": lambda: density(observe, torch.linspace(0.5, 2.0, obs).double()),
    }
    return build.make("filter", {"kind": kind, **SETTINGS.get(kind, {})}, given)


def data(kind: str, seen: str) -> tuple[Gaussian, torch.Tensor]:
    """An encoder takes all values of a time or none; others also some of them."""
    prior, _ = inputs()
    y = 2 + 3 * normal((SEEDS, TIMES, len(SEEN[seen])), streams("every", range(SEEDS), "y"))
    if seen == "missing":
        y[1, 3], y[2, 0] = torch.nan, torch.nan
        if kind not in CODED:
            y[0, 2, 1] = torch.nan
    return prior, y


def estimates(filter, prior, y, generator):
    """Analyses, without the axis of the one network."""
    if hasattr(filter, "smooth"):
        found = filter.smooth(y)
    else:
        found = assimilate(filter, prior, y, generator)
    series = found[:4]
    return [v[0] for v in series] if hasattr(filter, "network") else [*series]


@everywhere
def test_every_filter_is_finite_and_of_the_right_shape(kind, where, seen):
    prior, y = data(kind, seen)
    size = y.shape[-1] if kind in NETWORKS else SIZE
    for series in estimates(made(kind, where, seen), prior, y, generators()):
        assert series.shape == (SEEDS, TIMES, size)
        assert series.dtype == torch.float64
        assert series.isfinite().all()


@everywhere
def test_every_filter_draws_from_its_generator_alone_and_changes_nothing(kind, where, seen):
    prior, y = data(kind, seen)
    filter, copies = made(kind, where, seen), [v.clone() for v in (*prior, y)]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = estimates(filter, prior, y, generators())
    again = estimates(filter, prior, y, generators())
    fresh = estimates(made(kind, where, seen), prior, y, generators())
    assert torch.equal(torch.get_rng_state(), state)
    for a, b, c in zip(first, again, fresh, strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
    for value, before in zip((*prior, y), copies, strict=True):
        assert torch.equal(value.nan_to_num(), before.nan_to_num())
    if kind in STOCHASTIC:
        other = estimates(filter, prior, y, streams("other", range(SEEDS), "filter"))
        assert not torch.allclose(other[0], first[0])


@everywhere
def test_no_seed_of_any_filter_depends_on_another(kind, where, seen):
    prior, y = data(kind, seen)
    batch = estimates(made(kind, where, seen), prior, y, generators())
    for seed, generator in enumerate(generators().generators):
        single = Gaussian(prior.mean[seed : seed + 1], prior.cov)
        filter, one = made(kind, where, seen), Streams((generator,))
        alone = estimates(filter, single, y[seed : seed + 1], one)
        for a, b in zip(batch, alone, strict=True):
            assert torch.allclose(a[seed], b[0], rtol=1e-6, atol=1e-6 if kind in NETWORKS else 1e-9)


@pytest.mark.parametrize(
    ("kind", "where"), sorted({(k, w) for k, w, _ in COMBINATIONS if k not in UNSEEING})
)
def test_what_is_missing_moves_no_filter_and_what_is_not_moves_each(kind, where):
    prior, y = data(kind, "missing")
    mean, std, forecast, forecast_std = estimates(
        made(kind, where, "missing"), prior, y, generators()
    )
    for seed, time in ((1, 3), (2, 0)):
        if kind != "deep_kalman_smoother":  # which knows what is to come
            assert torch.allclose(mean[seed, time], forecast[seed, time], atol=1e-9)
            assert torch.allclose(std[seed, time], forecast_std[seed, time], atol=1e-9)
    assert not torch.allclose(mean[0, 3], forecast[0, 3], atol=1e-4)


@everywhere
def test_gradients_of_every_filter_are_finite(kind, where, seen):
    """Of analyses in the prior and the model, where a filter does not hide what it depends on."""
    prior, y = data(kind, seen)
    if hasattr(build.resolve("filter", kind), "smooth"):
        assert not estimates(made(kind, where, seen), prior, y, None)[0].requires_grad
        return
    mean = prior.mean.clone().requires_grad_(True)
    forcing = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    filter, total = made(kind, where, seen, forcing), 0
    for _, analysis in cycle(filter, Gaussian(mean, prior.cov), y, generators()):
        total = total + analysis.mean.square().sum()
    assert torch.as_tensor(total).isfinite()
    if kind in (*CONSTANT, *NETWORKS):
        assert not total.requires_grad
        return
    wanted = [mean] if kind in (*LINEAR, "direct_decode") else [mean, forcing]
    for gradient in torch.autograd.grad(total, wanted):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", NEED)
def test_a_local_filter_without_localisation_says_what_it_needs(kind):
    with pytest.raises(ValueError, match="needs a localisation, such as Ring"):
        made(kind, "none", "full")


def test_no_entry_of_the_registry_is_left_out():
    assert {kind for kind, _, _ in COMBINATIONS} == set(FILTERS)
    for kind in EVERY:
        own = {(w, s) for k, w, s in COMBINATIONS if k == kind}
        assert len(own) in (3, 6, 9)  # none, those that need one, those that may have one


@everywhere
def test_the_gradient_of_every_filter_is_the_slope_of_its_analyses(kind, where, seen):
    """Central differences in the prior; resampling makes jumps, so that particles only weigh."""
    prior, y = data(kind, seen)
    if kind in NETWORKS:  # which use nothing of the prior but its shape
        prior = Gaussian(prior.mean.clone(), prior.cov)
        found = estimates(made(kind, where, seen), prior, y, None)
        prior.mean.add_(1.0)
        again = estimates(made(kind, where, seen), prior, y, None)
        assert torch.equal(found[0], again[0])
        return
    filter = dataclasses.replace(made(kind, where, seen), **steady(kind))
    direction = normal((SEEDS, SIZE), streams("contract", range(SEEDS), "direction"))

    def total(shift):
        moved = Gaussian(prior.mean + shift * direction, prior.cov)
        return sum(a.mean.square().sum() for _, a in cycle(filter, moved, y, generators()))

    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value = total(shift)
    slope = torch.autograd.grad(value, shift)[0].item() if value.requires_grad else 0.0
    with torch.no_grad():
        h = 1e-7 if kind in CHOOSING else 1e-5
        difference = (total(h) - total(-h)) / (2 * h)
    assert slope == pytest.approx(difference.item(), rel=1e-4, abs=1e-4)
