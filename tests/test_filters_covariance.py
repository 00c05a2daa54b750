import dataclasses
import gc
import math
import weakref

import numpy as np
import pytest
import torch

from dalib.filters import Ensemble, Gaussian, at, cycle, scored
from dalib.filters.enkf import EnKF
from dalib.filters.etkf import ETKF
from dalib.filters.hybrid import Ens3DVar
from dalib.filters.kalman import Kalman, gain
from dalib.filters.letkf import LETKF
from dalib.filters.local_enkf import LocalEnKF
from dalib.filters.variational import FixedGain, Var3D
from dalib.localise import Localisation, Ring
from dalib.observe import Arctan, Identity, Linear, MovingSubset, Subset
from dalib.streams import Streams, normal, stream, streams
from dalib.systems.clohessy_wiltshire import ClohessyWiltshire

RUNS, TRAJECTORIES, SIZE, MEMBERS, TIMES = 2, 3, 6, 5, 4
INDEX = (0, 2, 5)
OBSERVE = Subset(INDEX)
MOVING = MovingSubset(tuple(tuple((i + k) % SIZE for i in INDEX) for k in range(TIMES)))
MATRIX = torch.eye(SIZE)[list(INDEX)].double()
ENSEMBLES = ("localised", "hybrid", "enkf", "etkf", "letkf")


def draw(*shape, name=""):
    return normal(shape, stream("covariance", *shape, name))


def step(x):
    return x + 0.2 * torch.sin(x.roll(1, -1))


def parameters() -> dict[str, torch.Tensor]:
    """What may be learned, one value for each run."""
    sites = torch.arange(SIZE)
    return {
        "scale": 1 + 0.2 * draw(RUNS, 1, name="scale").abs(),
        "weight": draw(RUNS, 1, name="weight").sigmoid(),
        "root": 0.5 * draw(RUNS, 1, SIZE, SIZE, name="root"),
        "model_error_std": 0.1 + 0.1 * draw(RUNS, 1, 1, SIZE, name="noise").abs(),
        "gain": 0.3 * draw(RUNS, 1, SIZE, len(INDEX), name="gain"),
        "taper": Ring(0.9)(sites, sites, SIZE).expand(RUNS, 1, SIZE, SIZE).clone(),
        "obs_std": 0.5 + 0.2 * draw(RUNS, 1, len(INDEX), name="std").abs(),
        "inflation": 1 + 0.1 * draw(RUNS, 1, name="inflation").abs(),
    }


def make(kind: str, p: dict, observe=OBSERVE, **settings):
    background = Gaussian(torch.zeros(SIZE).double(), p["root"] @ p["root"].mT)
    model = {"step": step, "observe": observe, "obs_std": p["obs_std"]}
    where = Localisation(matrix=p["taper"])
    noise = {"members": MEMBERS, "model_error_std": p["model_error_std"]}
    tuning = {
        "localised": {"scale": p["scale"], "localisation": where, **noise},
        "hybrid": {
            "background": background,
            "weight": p["weight"],
            "ensemble_scale": p["scale"],
            "localisation": where,
            **noise,
        },
        "var3d": {"background": background, "background_scale": p["scale"]},
        "fixed_gain": {"gain": p["gain"]},
        "enkf": {"inflation": p["inflation"], **noise},
        "etkf": {"inflation": p["inflation"], **noise},
        "letkf": {"inflation": p["inflation"], "localisation": where, **noise},
    }
    classes = {
        "localised": LocalEnKF,
        "hybrid": Ens3DVar,
        "var3d": Var3D,
        "fixed_gain": FixedGain,
        "enkf": EnKF,
        "etkf": ETKF,
        "letkf": LETKF,
    }
    return classes[kind](**model, **tuning[kind] | settings)


def observations(*, gaps=False):
    y = draw(RUNS, TRAJECTORIES, TIMES, len(INDEX), name="y")
    if gaps:
        y[0, 1, 2, 1], y[1, 2, 0] = torch.nan, torch.nan
    return y


def prior(dtype=torch.float64) -> Gaussian:
    mean = draw(RUNS, TRAJECTORIES, SIZE, name="prior").to(dtype)
    return Gaussian(mean, torch.eye(SIZE, dtype=dtype).expand(*mean.shape, SIZE))


def generators():
    return streams("covariance", range(RUNS), "filter")


def density(filter, y):
    """(run,), the log-densities of a series, and of its last analysis as a test of the states."""
    generator = generators()
    belief, total = filter.start(prior(), generator), 0
    for k in range(TIMES):
        now = at(filter, k)
        forecast = now.forecast(belief, generator)
        belief, likelihood = scored(now, forecast, y[..., k, :], generator)
        total = total + likelihood.log_density.sum(-1)
    return total + belief.mean.square().sum((-2, -1))


def members():
    return draw(RUNS, TRAJECTORIES, MEMBERS, SIZE, name="members") @ draw(SIZE, SIZE, name="mix")


def used(kind):
    names = {
        "localised": ("scale", "taper", "model_error_std", "obs_std"),
        "hybrid": ("scale", "weight", "root", "taper", "model_error_std", "obs_std"),
        "var3d": ("scale", "root", "obs_std"),
        "fixed_gain": ("gain", "obs_std"),
        "enkf": ("inflation", "model_error_std", "obs_std"),
        "etkf": ("inflation", "model_error_std", "obs_std"),
        "letkf": ("inflation", "taper", "model_error_std", "obs_std"),
    }
    return names[kind]


KINDS = ("localised", "hybrid", "var3d", "fixed_gain", *ENSEMBLES[2:])
LEARNED = [(kind, name) for kind in KINDS for name in used(kind)]
SMALL = Localisation(matrix=torch.ones(3, 3))
OPERATORS = {"static": OBSERVE, "moving": MOVING, "linear": Linear(MATRIX)}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(("kind", "name"), LEARNED)
def test_the_gradient_of_the_density_is_its_slope(kind, name, operator):
    """By central differences, over four cycles with missing values."""
    if kind == "fixed_gain" and operator == "moving":
        return
    values, y, observe = parameters(), observations(gaps=True), OPERATORS[operator]
    direction = draw(*values[name].shape, name="direction")
    if name == "taper":
        direction = (direction + direction.mT) * (values[name] > 0)

    def along(shift):
        moved = values | {name: values[name] + shift * direction}
        return density(make(kind, moved, observe), y).sum()

    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(along(shift), shift)
    h = 1e-5
    with torch.no_grad():
        difference = (along(h) - along(-h)) / (2 * h)
    assert slope.item() == pytest.approx(difference.item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("kind", ["localised", "hybrid", "var3d"])
def test_runs_with_values_of_their_own_are_so_many_single_ones(kind, operator):
    values, y = parameters(), observations(gaps=True)
    together = density(make(kind, values, OPERATORS[operator]), y)
    for run, generator in enumerate(generators().generators):
        own = {name: value[run : run + 1] for name, value in values.items()}
        own |= {"scale": own["scale"].item(), "weight": own["weight"].item()}
        filter = make(kind, own | {"root": own["root"][0, 0]}, OPERATORS[operator])
        one = Streams((generator,))
        belief = filter.start(Gaussian(*(v[run : run + 1] for v in prior())), one)
        total = 0
        for k in range(TIMES):
            now = at(filter, k)
            forecast = now.forecast(belief, one)
            belief, likelihood = scored(now, forecast, y[run : run + 1, :, k], one)
            total = total + likelihood.log_density.sum()
        total = total + belief.mean.square().sum()
        assert total.item() == pytest.approx(together[run].item(), rel=1e-10)


@pytest.mark.parametrize("kind", ["localised", "hybrid"])
def test_the_operator_that_selects_is_the_linear_one(kind):
    y = observations(gaps=True)
    selecting = density(make(kind, parameters()), y)
    linear = density(make(kind, parameters(), Linear(MATRIX)), y)
    assert torch.allclose(selecting, linear, rtol=1e-11)
    whole = draw(RUNS, TRAJECTORIES, SIZE, name="whole")
    values = parameters() | {"obs_std": 0.5}
    settings = {"localisation": None}
    for observe in (Identity(SIZE), Linear(torch.eye(SIZE)), Subset(tuple(range(SIZE)))):
        filter = make(kind, values, observe, **settings)
        found = filter.analyse(Ensemble(members()), whole, generators()).members
        expected = found if observe == Identity(SIZE) else expected  # noqa: F821
        assert torch.allclose(found, expected, rtol=0, atol=1e-11)


def dense_covariance(kind, p, E):
    P = Ensemble(E).cov
    a, w = p["scale"][..., None, None], p["weight"][..., None, None]
    B = p["root"] @ p["root"].mT
    return {
        "localised": lambda: a * p["taper"] * P,
        "hybrid": lambda: (1 - w) * B + w * a * p["taper"] * P,
        "enkf": lambda: P,
        "var3d": lambda: (a * B).expand_as(P),
        "fixed_gain": lambda: torch.zeros_like(P),
    }[kind]()


@pytest.mark.parametrize("observe", [OBSERVE, Linear(MATRIX)])
@pytest.mark.parametrize("kind", ["localised", "hybrid", "enkf", "var3d", "fixed_gain"])
def test_the_likelihood_is_the_dense_one_of_what_is_not_missing(kind, observe):
    p, E, y = parameters(), members(), observations()[:, :, 0]
    y[0, 1, 1], y[1, 0, :2] = torch.nan, torch.nan
    filter = make(kind, p, observe)
    C = dense_covariance(kind, p, E)
    forecast = Ensemble(E) if kind in ENSEMBLES else Gaussian(E.mean(-2), C)
    found = filter.likelihood(forecast, y)
    S = MATRIX @ C @ MATRIX.T + p["obs_std"].square().diag_embed()
    mean = E.mean(-2) @ MATRIX.T
    for at_ in np.ndindex(RUNS, TRAJECTORIES):
        seen = ~y[at_].isnan()
        normal_ = torch.distributions.MultivariateNormal(mean[at_][seen], S[at_][seen][:, seen])
        expected = normal_.log_prob(y[at_][seen]).item()
        assert found.log_density[at_].item() == pytest.approx(expected, abs=1e-9)
        assert found.count[at_] == seen.sum()
        log_det = torch.linalg.slogdet(S[at_][seen][:, seen]).logabsdet.item()
        assert found.log_det[at_].item() == pytest.approx(log_det, abs=1e-9)


def test_with_all_the_weight_the_hybrid_is_the_localised_filter():
    y, E = observations(gaps=True)[:, :, 2], Ensemble(members())
    values = parameters() | {"weight": torch.ones(RUNS, 1).double()}
    for centred in (True, False):
        hybrid, likelihood = make("hybrid", values, centred=centred).scored(E, y, generators())
        local, expected = make("localised", values, centred=centred).scored(E, y, generators())
        assert torch.allclose(hybrid.members, local.members, rtol=0, atol=1e-12)
        assert torch.allclose(likelihood.log_density, expected.log_density, atol=1e-12)


def test_without_weight_the_hybrid_has_the_gain_of_3dvar():
    y, E = observations(gaps=True)[:, :, 2], Ensemble(members())
    values = parameters() | {"weight": 0.0, "scale": 1.0}
    hybrid, likelihood = make("hybrid", values).scored(E, y, generators())
    belief = Gaussian(E.mean, torch.zeros(RUNS, TRAJECTORIES, SIZE, SIZE).double())
    var3d, expected = make("var3d", values).scored(belief, y)
    assert torch.allclose(hybrid.mean, var3d.mean, rtol=0, atol=1e-12)
    assert torch.allclose(likelihood.misfit, expected.misfit, atol=1e-11)


@pytest.mark.parametrize("observe", [OBSERVE, Linear(MATRIX)])
def test_the_gain_of_3dvar_given_makes_its_analyses(observe):
    y, values = observations()[:, :, 0], parameters()
    C = values["scale"][..., None, None] * values["root"] @ values["root"].mT
    K = gain(C, MATRIX, values["obs_std"].square().diag_embed())
    belief = Gaussian(*prior())
    by_gain = make("fixed_gain", values | {"gain": K}, observe).analyse(belief, y)
    var3d = make("var3d", values, observe).analyse(belief, y)
    assert torch.allclose(by_gain.mean, var3d.mean, rtol=0, atol=1e-12)


def test_the_gain_that_stays_gives_what_the_general_update_gives():
    y, values, belief = observations()[:, :, 0], parameters(), Gaussian(*prior())
    static, expected = (make("var3d", values, o) for o in (OBSERVE, Linear(MATRIX)))
    for a, b in zip(static.analyse(belief, y), expected.analyse(belief, y), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["localised", "hybrid", "var3d"])
def test_what_is_kept_without_gradients_is_not_taken_for_them(kind):
    values, y = parameters(), observations()
    values["scale"].requires_grad_(True)
    alone = torch.autograd.grad(density(make(kind, values), y).sum(), values["scale"])
    filter = make(kind, values)
    with torch.no_grad():
        density(filter, y)
    assert torch.equal(torch.autograd.grad(density(filter, y).sum(), values["scale"])[0], alone[0])


def test_the_gain_of_3dvar_is_computed_once_for_each_filter(monkeypatch):
    calls = []

    def counted(A):
        calls.append(A)
        return torch.linalg.cholesky(A)

    monkeypatch.setattr("dalib.filters.variational.cholesky", counted)
    density(make("var3d", parameters()), observations())
    assert len(calls) == 1
    density(make("var3d", parameters(), MOVING), observations())
    assert len(calls) == 1 + TIMES


def test_the_localised_filter_tends_to_the_kalman_filter_as_one_over_root_n():
    """Linear motion, no taper, no inflation, independent perturbations; 20 seeds, 10 cycles."""
    Phi, noise, std, seeds = ClohessyWiltshire().propagator(10.0), 0.05, 0.3, 20
    observe, start = Subset((0, 1, 2)), torch.diag(torch.tensor([1, 1, 1, 0.01, 0.01, 0.01]))
    first = Gaussian(torch.zeros(6).double(), start.double())
    y = normal((10, 3), stream("convergence", "y"))
    exact = Kalman(
        matrix=Phi, noise_cov=noise**2 * torch.eye(6).double(), observe=observe, obs_std=std
    )
    reference = [(a.mean, a.std) for _, a in cycle(exact, first, y, None)]
    sizes, errors = (250, 1000, 4000), []
    for N in sizes:
        filter = LocalEnKF(
            step=lambda x: x @ Phi.T,
            observe=observe,
            obs_std=std,
            members=N,
            model_error_std=noise,
            centred=False,
        )
        generator = streams("convergence", range(seeds), N)
        beliefs = cycle(filter, first, y.expand(seeds, 10, 3), generator)
        squares = [
            ((belief.mean - mean) / std_).square().mean()
            + ((belief.std - std_) / std_).square().mean()
            for (_, belief), (mean, std_) in zip(beliefs, reference, strict=True)
        ]
        errors.append(0.5 * math.log(torch.stack(squares).mean().item()))
    slope = np.polyfit(np.log(sizes), errors, 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.15)


def certain_of_nothing(**settings) -> LocalEnKF:
    """A filter whose gain is 1: members become the perturbed observations."""
    return LocalEnKF(
        step=None, observe=Identity(2), obs_std=1.0, members=50, scale=1e14, **settings
    )


def test_perturbations_are_centred_or_independent():
    E, y = Ensemble(normal((50, 2), stream("perturbed"))), torch.tensor([3.0, -1.0]).double()
    centred = certain_of_nothing().analyse(E, y, stream(1))
    assert torch.allclose(centred.mean, y, atol=1e-9)
    free = certain_of_nothing(centred=False).analyse(E, y, stream(1))
    noise = normal((50, 2), stream(1))
    assert torch.allclose(free.members, y + noise, atol=1e-9)


def test_positive_members_stay_so_under_noise():
    filter = certain_of_nothing(positive=True, centred=False)
    filter = dataclasses.replace(filter, step=lambda x: x, model_error_std=1.0)
    first = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    generator = stream(2)
    start = filter.start(first, generator)
    assert (start.members >= 0).all()
    assert (filter.forecast(start, generator).members >= 0).all()
    analysis = filter.analyse(start, torch.zeros(2).double(), stream(1))
    noise = normal((50, 2), stream(1))
    assert torch.allclose(analysis.members, noise.abs(), atol=1e-9)


def test_an_operator_that_bends_is_seen_from_the_mean():
    """S and C Hᵀ of the tangent at the mean; innovations of the members' own observations."""
    values, E = parameters(), Ensemble(members())
    observe, y = Arctan(0.5, INDEX), 0.5 * observations()[:, :, 0]
    filter = make("hybrid", values, observe)
    C, H = dense_covariance("hybrid", values, E.members), observe.tangent(E.mean)
    R = values["obs_std"].square().diag_embed()
    noise = normal((RUNS, TRAJECTORIES, MEMBERS, len(INDEX)), generators())
    noise = (noise - noise.mean(-2, keepdim=True)) * values["obs_std"][..., None, :]
    D = y[..., None, :] + noise - observe(E.members)
    expected = E.members + D @ gain(C, H, R).mT
    found = filter.analyse(E, y, generators()).members
    assert torch.allclose(found, expected, rtol=0, atol=1e-11)
    d = y - observe(E.mean)
    S = H @ C @ H.mT + R
    misfit = (d[..., None, :] @ torch.linalg.solve(S, d[..., None]))[..., 0, 0]
    assert torch.allclose(filter.likelihood(E, y).misfit, misfit, atol=1e-11)


def test_a_run_with_a_singular_matrix_is_marked_and_leaves_the_others_alone():
    values, y, E = parameters(), observations()[:, :, 0], Ensemble(members())
    whole, _ = make("localised", values).scored(E, y, generators())
    values["taper"][1] *= -100  # no covariance
    analysis, likelihood = make("localised", values).scored(E, y, generators())
    assert torch.equal(analysis.members[0], whole.members[0])
    assert analysis.members[1].isnan().all()
    assert likelihood.log_density[0].isfinite().all()
    assert likelihood.log_density[1].isnan().all()


@pytest.mark.parametrize("kind", ["localised", "hybrid", "var3d", "fixed_gain", "enkf", "etkf"])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_forecast_that_is_lost_is_no_missing_observation(kind, gaps):
    y, E = observations(gaps=gaps)[:, :, 2], members()
    E[1, 0, 0] = torch.nan
    mean = E.mean(-2)
    forecast = (
        Ensemble(E)
        if kind in ENSEMBLES
        else Gaussian(mean, torch.eye(SIZE).double().expand(*mean.shape, SIZE))
    )
    _, likelihood = scored(make(kind, parameters()), forecast, y, generators())
    assert likelihood.log_density[1, 0].isnan()
    assert likelihood.log_density.isnan().sum() == 1


def test_a_noise_of_zero_that_is_learned_has_a_slope():
    for kind in ("localised", "hybrid", "enkf"):
        values = parameters() | {"model_error_std": torch.zeros(SIZE, requires_grad=True)}
        density(make(kind, values), observations()).sum().backward()
        assert (values["model_error_std"].grad != 0).all()


def test_a_missing_value_leaves_the_slopes_of_positive_members_finite():
    values = parameters()
    values["obs_std"].requires_grad_(True)
    density(make("hybrid", values, positive=True), observations(gaps=True)).sum().backward()
    assert values["obs_std"].grad.isfinite().all()


def test_in_single_precision_the_values_are_nearly_the_same():
    y, E = observations(gaps=True)[:, :, 2], members()
    for kind in ("localised", "hybrid"):
        filter = make(kind, parameters())
        exact, _ = filter.scored(Ensemble(E), y, generators())
        single, likelihood = filter.scored(Ensemble(E.float()), y.float(), generators())
        assert single.members.dtype == likelihood.misfit.dtype == torch.float32
        assert torch.allclose(single.members.double(), exact.members, atol=1e-4)


BASE = {"step": step, "observe": OBSERVE, "obs_std": 1.0, "members": 5}
BACKGROUND = Gaussian(torch.zeros(SIZE).double(), torch.eye(SIZE).double())


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda: LocalEnKF(**BASE, scale=0.0), "scale is 0.0; it has to be positive"),
        (
            lambda: Ens3DVar(**BASE, background=BACKGROUND, weight=1.5),
            r"weight is 1.5; it has to be in \[0, 1\]",
        ),
        (
            lambda: Ens3DVar(**BASE, background=BACKGROUND, ensemble_scale=-1),
            "ensemble_scale is -1; it has to be positive",
        ),
        (
            lambda: make("fixed_gain", parameters(), MOVING),
            "a fixed gain needs observations that stay the same",
        ),
        (
            lambda: make("fixed_gain", parameters() | {"gain": torch.zeros(3, SIZE)}).analyse(
                Gaussian(*prior()), observations()[:, :, 0]
            ),
            r"the gain has shape \(3, 6\); a state of 6 and 3 observations need \(..., 6, 3\)",
        ),
        (
            lambda: make(
                "localised", parameters(), localisation=Localisation(matrix=torch.ones(3, 3))
            ).analyse(Ensemble(members()), observations()[:, :, 0], generators()),
            r"the taper is between state components, \(6, 6\); got \(3, 3\)",
        ),
        (
            lambda: make("hybrid", parameters(), Subset((0, 9))).analyse(
                Ensemble(members()), observations()[:, :, 0, :2], generators()
            ),
            r"observes the components \[0, 9\], but the state has 6",
        ),
    ],
)
def test_bad_tuning_is_named(refused, message):
    with pytest.raises(ValueError, match=message):
        refused()


def tuned(kind: str, value: torch.Tensor):
    """A filter with one parameter of its own, what it analyses, and y."""
    given = {"step": step, "observe": OBSERVE, "obs_std": 0.5}
    background = Gaussian(torch.zeros(SIZE).double(), 2 * torch.eye(SIZE).double())
    if kind == "var3d":
        filter = Var3D(background=background, background_scale=value, **given)
        belief = Gaussian(draw(SIZE, name="mean"), background.cov)
    else:
        given |= {"members": MEMBERS, "centred": True}
        own = {"background": background, "weight": value} if kind == "hybrid" else {"scale": value}
        filter = (Ens3DVar if kind == "hybrid" else LocalEnKF)(**given | own)
        belief = Ensemble(draw(MEMBERS, SIZE, name="members"))
    return filter, belief, draw(len(INDEX), name="y")


KEEPING = ["localised", "hybrid", "var3d"]


@pytest.mark.parametrize("gradients", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("kind", KEEPING)
def test_what_is_kept_follows_a_parameter_that_is_changed_in_place(kind, gradients):
    """As optimisers change them."""
    parameter = torch.tensor(0.5).double().requires_grad_()
    filter, belief, y = tuned(kind, parameter)
    with gradients():
        before = filter.analyse(belief, y, stream("in place")).mean
    with torch.no_grad():
        parameter.fill_(0.9)
    with gradients():
        after = filter.analyse(belief, y, stream("in place")).mean
        fresh = tuned(kind, parameter)[0].analyse(belief, y, stream("in place")).mean
    assert torch.equal(after, fresh)
    assert not torch.allclose(after, before, atol=1e-3)


def test_a_background_that_is_changed_in_place_is_followed_too():
    filter, belief, y = tuned("var3d", torch.tensor(0.5).double())
    before = filter.analyse(belief, y).mean
    filter.background.cov.mul_(3)
    assert not torch.allclose(filter.analyse(belief, y).mean, before, atol=1e-3)


class Chosen:
    """Components whose index may change."""

    def __init__(self):
        self.index = torch.tensor(INDEX)

    def __call__(self, x):
        return x[..., self.index]

    def selected(self, size):
        return self.index


@pytest.mark.parametrize("kind", KEEPING)
@pytest.mark.parametrize("changed", ["index", "obs_std"])
def test_an_operator_and_an_array_that_are_changed_in_place_are_followed(kind, changed):
    observe, obs_std = Chosen(), np.full(len(INDEX), 0.5)
    filter, belief, y = tuned(kind, torch.tensor(0.5).double())
    filter = dataclasses.replace(filter, observe=observe, obs_std=obs_std)
    before = filter.analyse(belief, y, stream("in place")).mean
    if changed == "index":
        observe.index.add_(1).remainder_(SIZE)
    else:
        obs_std *= 3
    after = filter.analyse(belief, y, stream("in place")).mean
    fresh = dataclasses.replace(filter).analyse(belief, y, stream("in place")).mean
    assert torch.equal(after, fresh)
    assert not torch.allclose(after, before, atol=1e-3)


@pytest.mark.parametrize("kind", KEEPING)
def test_one_filter_serves_many_backward_passes(kind):
    parameter = torch.tensor(0.5).double().requires_grad_()
    filter, belief, y = tuned(kind, parameter)
    slopes = []
    for given in (filter, filter, tuned(kind, parameter)[0]):
        value = given.log_likelihood(belief, y) + given.log_likelihood(belief, y + 1)
        slopes.append(torch.autograd.grad(value, parameter)[0])
    assert slopes[0] == slopes[1] == slopes[2] != 0


def test_a_filter_that_keeps_its_gain_can_be_forgotten():
    """What is kept for gradients does not keep the filter."""
    parameter = torch.tensor(0.5).double().requires_grad_()
    filter, belief, y = tuned("var3d", parameter)
    filter.log_likelihood(belief, y)
    gone = weakref.ref(filter)
    del filter
    gc.collect()
    assert gone() is None
