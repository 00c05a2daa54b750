"""What filters refuse before any computation, in one sentence that says what would be right."""

import dataclasses

import numpy as np
import pytest
import torch

from dalib.filters import Ensemble, Gaussian, assimilate, cycle
from dalib.filters.ekf import EKF
from dalib.filters.enkf import DEnKF, EnKF
from dalib.filters.ensf import EnSF
from dalib.filters.etkf import ETKF
from dalib.filters.free import FreeRun
from dalib.filters.hybrid import Ens3DVar
from dalib.filters.kalman import Kalman
from dalib.filters.latent import LatentFilter
from dalib.filters.letkf import LETKF
from dalib.filters.local_enkf import LocalEnKF
from dalib.filters.particle import BootstrapParticle
from dalib.filters.variational import Climatology, FixedGain, OptimalInterpolation, Var3D
from dalib.localise import Localisation
from dalib.observe import Identity, MovingSubset
from dalib.streams import stream

D, SERIES = 3, 3
ONE = torch.eye(D, dtype=torch.float64)
PRIOR = Gaussian(torch.zeros(D).double(), ONE)
LINE = torch.arange(D)[:, None].double()


def still(x: torch.Tensor) -> torch.Tensor:
    return 0.9 * x


def filters() -> dict:
    seen = {"observe": Identity(D), "obs_std": 1.0}
    given = {"step": still, **seen}
    members = given | {"members": 6}
    return {
        "kalman": Kalman(matrix=0.9 * ONE, noise_cov=0.1 * ONE, **seen),
        "ekf": EKF(**given),
        "climatology": Climatology(background=PRIOR, **seen),
        "oi": OptimalInterpolation(background=PRIOR, **seen),
        "var3d": Var3D(background=PRIOR, **given),
        "fixed_gain": FixedGain(gain=0.5 * ONE, **given),
        "enkf": EnKF(**members),
        "denkf": DEnKF(**members),
        "etkf": ETKF(**members),
        "letkf": LETKF(localisation=Localisation(matrix=torch.ones(D, D).double()), **members),
        "local_letkf": LETKF(localisation=Localisation(LINE, 2.0), **members),
        "local_enkf": LocalEnKF(localisation=Localisation(LINE, 0.5), **members),
        "localised": LocalEnKF(**members),
        "hybrid": Ens3DVar(background=PRIOR, **members),
        "ensf": EnSF(**members),
        "particle": BootstrapParticle(**members),
        "free": FreeRun(**members),
    }


ALL = filters()
WRONG = {  # each with as many series, components and values, so that a broadcast would go unseen
    "obs_std": {
        "a matrix R": torch.full((D, D), 0.5) + 0.5 * ONE,
        "errors of each time": torch.ones(4, D),
        "errors of each time, one value": torch.ones(4, 1),
        "a column": torch.ones(D, 1),
        "too many": torch.ones(D + 1),
    },
    "inflation": {"of each component": torch.ones(D), "of each time": torch.ones(4)},
    "model_error_std": {
        "a matrix Q": ONE + 0.1,
        "too many": torch.ones(D + 1),
        "of each member": torch.ones(6, D),
    },
    "matrix": {"of each time": ONE.expand(4, D, D), "a number": 0.9, "a vector": torch.ones(D)},
    "noise_cov": {
        "of each time": ONE.expand(4, D, D),
        "a number": 0.1,
        "a vector": torch.full((D,), 0.1),
        "too small": 0.1 * torch.eye(2),
    },
    "background": {
        "a matrix": ONE,
        "too small": Gaussian(torch.zeros(2), torch.eye(2)),
        "a vector": Gaussian(torch.zeros(D), torch.ones(D)),
        "means of each time": Gaussian(torch.zeros(4, D), ONE),
    },
    "background_scale": {"of each component": torch.ones(D)},
    "weight": {"of each component": torch.full((D,), 0.5)},
    "ensemble_scale": {"of each component": torch.ones(D)},
    "gain": {"of each time": ONE.expand(4, D, D), "too small": torch.ones(2, D)},
    "jitter_std": {"of each component": torch.ones(D)},
}
CASES = [
    pytest.param(kind, name, value, id=f"{kind} {name} {words}")
    for kind, filter in ALL.items()
    for name, values in WRONG.items()
    if any(field.name == name for field in dataclasses.fields(filter))
    for words, value in values.items()
]


@pytest.mark.parametrize("run", [assimilate, cycle])
@pytest.mark.parametrize("series", [(), (SERIES,), (4,)])
@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_what_might_be_taken_for_leading_axes_is_refused(kind, name, value, series, run):
    filter = dataclasses.replace(ALL[kind], **{name: value})
    with pytest.raises((ValueError, TypeError), match=f"^{name}"):
        run(filter, PRIOR, torch.zeros(*series, 4, D).double(), stream("x"))


@pytest.mark.parametrize("kind", sorted(set(ALL) - {"climatology", "oi", "kalman"}))
def test_values_for_each_series_are_taken_with_axes_that_cannot_be_mistaken(kind):
    """(1, series, ...) gives each series what it has alone."""
    y = torch.ones(1, SERIES, 4, D).double()
    each = torch.tensor([0.5, 1.0, 2.0]).double()
    together = dataclasses.replace(ALL[kind], obs_std=each[None, :, None])
    found = assimilate(together, PRIOR, y, stream("x"))
    assert found.mean.shape == y.shape
    if hasattr(together, "members"):
        return  # other series have other random numbers
    for k, std in enumerate(each.tolist()):
        alone = dataclasses.replace(ALL[kind], obs_std=std)
        expected = assimilate(alone, PRIOR, y[0, k], None).mean
        torch.testing.assert_close(found.mean[0, k], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("noise_cov", "message"),
    [
        (
            0.1 * ONE + torch.tensor([[0, 0.1, 0], [0, 0, 0], [0, 0, 0]]),
            "noise_cov is not symmetric",
        ),
        (-0.1 * ONE, "smallest eigenvalue is -0.1, below 0"),
        (torch.nan * ONE, "noise_cov .*finite"),
    ],
)
def test_a_covariance_that_is_none_is_refused(noise_cov, message):
    filter = dataclasses.replace(ALL["kalman"], noise_cov=noise_cov)
    with pytest.raises(ValueError, match=message):
        assimilate(filter, PRIOR, torch.zeros(4, D).double(), None)


def test_a_singular_noise_is_none_the_less_a_covariance():
    noise = torch.diag(torch.tensor([0.1, 0.0, 0.0]).double())
    filter = dataclasses.replace(ALL["kalman"], noise_cov=noise)
    assert assimilate(filter, PRIOR, torch.zeros(4, D).double(), None).mean.isfinite().all()


class Places:
    """A codec of nothing."""

    def encode(self, x):
        return x, x

    encode_observations = encode

    def decode(self, z):
        return z


def test_the_filter_within_a_latent_one_is_looked_at_too():
    inner = dataclasses.replace(ALL["etkf"], inflation=torch.ones(D))
    filter = LatentFilter(inner=inner, codec=Places(), observe=Identity(D))
    with pytest.raises(ValueError, match=r"inflation has shape \(3,\)"):
        assimilate(filter, PRIOR, torch.zeros(D, 4, D).double(), stream("x"))
    inner = dataclasses.replace(ALL["etkf"], obs_std=torch.ones(2, 2, 2))
    filter = LatentFilter(inner=inner, codec=Places(), observe=Identity(D))
    with pytest.raises(ValueError, match=r"obs_std has shape \(2, 2, 2\)"):
        assimilate(filter, PRIOR, torch.zeros(D, 4, D).double(), stream("x"))


def of_numpy(x):
    return np.asarray(x) * 0.9


def through_numpy(x):
    return torch.from_numpy(x.numpy() * 0.9)


def widened(x):
    return x.double()


def in_place(x):
    return x.mul_(0.9)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("etkf", {"step": of_numpy}, r"step\(\) gave a numpy.ndarray; give a tensor"),
        ("particle", {"step": of_numpy}, r"step\(\) gave a numpy.ndarray; give a tensor"),
        ("enkf", {"observe": of_numpy}, r"observe\(\) gave a numpy.ndarray; give a tensor"),
        ("ekf", {"step": through_numpy}, r"the derivative of step\(\).*give tangent="),
        ("localised", {"observe": through_numpy}, r"observe\(\) has no derivative.*tangent\(x\)"),
        ("etkf", {"observe": in_place}, r"observe\(\) changes the states it is given"),
        ("etkf", {"step": lambda x: x @ torch.eye(5)}, r"step\(\) fails on states of shape"),
        ("etkf", {"members": 20.0}, "members is 20.0; give a whole number"),
        ("etkf", {"obs_std": "one"}, "obs_std is 'one'; give a number or a tensor"),
        ("var3d", {"background_scale": -1.0}, "background_scale is -1.0; it has to be positive"),
        ("particle", {"jitter_std": -0.1}, "jitter_std is -0.1; it has to be 0 or more"),
        (
            "etkf",
            {"observe": MovingSubset(((0, 1, 2),) * 3)},
            r"4 times of observations, but MovingSubset has no operator for the last",
        ),
    ],
)
def test_functions_and_numbers_of_another_kind_are_explained(kind, changes, message):
    filter = ALL[kind]
    with pytest.raises((ValueError, TypeError), match=message):
        filter = dataclasses.replace(filter, **changes)
        assimilate(filter, PRIOR, torch.zeros(4, D).double(), stream("x"))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (
            Gaussian(torch.zeros(D).long(), ONE),
            r"torch.int64, not of floating-point .*\.double\(\)",
        ),
        (Gaussian(torch.zeros(D), ONE), "torch.float32, its covariance of torch.float64"),
        (Ensemble(torch.zeros(6, D).long()), "torch.int64"),
    ],
)
def test_priors_of_another_precision_are_refused(prior, message):
    with pytest.raises(TypeError, match=message):
        assimilate(ALL["etkf"], prior, torch.zeros(4, D), stream("x"))


@pytest.mark.parametrize("name", ["step", "observe"])
def test_a_function_that_changes_the_precision_is_refused(name):
    filter = dataclasses.replace(ALL["etkf"], **{name: widened})
    prior = Gaussian(torch.zeros(D), torch.eye(D))
    with pytest.raises(TypeError, match=rf"{name}\(\) turns states of type torch.float32"):
        assimilate(filter, prior, torch.zeros(4, D), stream("x"))


@pytest.mark.parametrize("kind", sorted(ALL))
def test_matrices_of_double_precision_serve_a_prior_of_single(kind):
    prior = Gaussian(torch.zeros(D), torch.eye(D))
    found = assimilate(ALL[kind], prior, torch.ones(4, D), stream("x"))
    assert found.mean.dtype == found.std.dtype == torch.float32
    if kind == "particle":
        return  # its choices have other random numbers in another precision
    expected = assimilate(ALL[kind], PRIOR, torch.ones(4, D).double(), stream("x"))
    torch.testing.assert_close(found.mean.double(), expected.mean, rtol=0, atol=1e-4)


# -- models that work in place --------------------------------------------------------------------


def turning(x: torch.Tensor) -> torch.Tensor:
    x[..., 0] += 0.1 * x[..., 1]
    x[..., 1] *= 0.99
    return x


def turning_in_numpy(x: torch.Tensor) -> torch.Tensor:
    turning(x.numpy())
    return x


def turned(x: torch.Tensor) -> torch.Tensor:
    return turning(x.clone())


MOVING = ["var3d", "fixed_gain", "enkf", "letkf", "hybrid", "ensf", "particle", "free"]


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("ekf", turning),  # numpy has no derivative
        *((kind, step) for kind in MOVING for step in (turning, turning_in_numpy)),
    ],
)
def test_a_model_that_works_in_place_changes_nothing_of_its_user(kind, step):
    prior, y = Gaussian(torch.ones(D).double(), ONE.clone()), torch.zeros(2, 5, D).double()
    right = list(cycle(dataclasses.replace(ALL[kind], step=turned), prior, y, stream("x")))
    kept = list(cycle(dataclasses.replace(ALL[kind], step=step), prior, y, stream("x")))
    assert torch.equal(prior.mean, torch.ones(D).double())
    for pair, expected in zip(kept, right, strict=True):
        for belief, other in zip(pair, expected, strict=True):
            torch.testing.assert_close(belief, other, rtol=0, atol=0)


def test_members_of_the_user_are_left_as_they_are():
    E = torch.randn(6, D, generator=stream("E")).double()
    before = E.clone()
    assimilate(
        dataclasses.replace(ALL["etkf"], step=turning), Ensemble(E), torch.zeros(5, D), stream("x")
    )
    assert torch.equal(E, before)


def test_a_model_that_works_in_place_only_later_is_refused():
    calls = []

    def step(x):
        calls.append(1)
        return turning(x) if len(calls) == 3 else turned(x)

    with pytest.raises(ValueError, match="changed the states it was given at time 2"):
        list(
            cycle(dataclasses.replace(ALL["etkf"], step=step), PRIOR, torch.zeros(5, D), stream(1))
        )


# -- where h is not defined -----------------------------------------------------------------------


# the score filter looks at h far from its members, where the others are not defined either
@pytest.mark.parametrize("kind", sorted(set(ALL) - {"climatology", "oi", "kalman", "ensf"}))
def test_where_h_is_not_defined_a_missing_value_loses_nothing(kind):
    """h = log, the first component is negative and never seen: as if h did not look at it."""
    prior = Gaussian(torch.tensor([-1.0, 1.0, 1.0]).double(), 0.01 * ONE)
    y = torch.tensor([torch.nan, 0.1, -0.1]).double().expand(2, 3, D)
    found, expected = (
        assimilate(
            dataclasses.replace(ALL[kind], step=lambda x: 1.0 * x, observe=observe),
            prior,
            y,
            stream("x"),
        )
        for observe in (torch.log, lambda x: x.abs().log())
    )
    assert not found.diverged.any()
    torch.testing.assert_close(found.mean, expected.mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.std, expected.std, rtol=0, atol=1e-9)


def test_a_series_lost_by_one_member_says_so(caplog):
    def step(x):
        return torch.where(x > 2, torch.inf, x)

    prior = Ensemble(torch.tensor([[0.0], [1.0], [3.0], [0.5], [0.2], [-1.0]]).double())
    filter = dataclasses.replace(ALL["etkf"], step=step, observe=Identity(1))
    assert assimilate(filter, prior, torch.zeros(2, 1), stream("x")).diverged
    assert "in 1 of them only some members were not finite" in caplog.text


def shifting_in_numpy(x: torch.Tensor) -> torch.Tensor:
    x.numpy()[..., 0] += 1
    return x.clone()


@pytest.mark.parametrize("kind", ["etkf", "letkf", "particle", "fixed_gain"])
def test_an_operator_that_changes_states_through_numpy_is_refused(kind):
    filter = dataclasses.replace(ALL[kind], observe=shifting_in_numpy)
    with pytest.raises(ValueError, match="observe.. changes the states it is given"):
        assimilate(filter, PRIOR, torch.zeros(4, D).double(), stream("x"))


def test_a_fixed_gain_takes_an_operator_in_numpy():
    """It needs no derivative, and neither do its innovations, whose variance is R."""
    in_numpy = dataclasses.replace(
        ALL["fixed_gain"], observe=lambda x: torch.from_numpy(x.numpy().copy())
    )
    plain = dataclasses.replace(ALL["fixed_gain"], observe=lambda x: x.clone())
    y = torch.ones(4, D).double()
    found, expected = (assimilate(f, PRIOR, y, stream("x")) for f in (in_numpy, plain))
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.chi_square, expected.chi_square)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"obs_std": None}, "obs_std is None; give a number or a tensor"),
        ({"inflation": torch.ones(5, 1)}, r"give a number, or \(5,\) for each series; an infl"),
        ({"obs_std": torch.ones(5, 2)}, rf"or \({D},\), or \(5, {D}\) for each series; a matrix"),
    ],
)
def test_what_is_right_is_said_before_what_is_not_taken(given, said):
    filter = dataclasses.replace(ALL["etkf"], **given)
    with pytest.raises((TypeError, ValueError), match=said):
        assimilate(filter, PRIOR, torch.zeros(5, 7, D).double(), stream("x"))


@pytest.mark.parametrize("kind", ["ekf", "letkf", "particle"])
def test_observations_of_nothing_are_not_called_missing(kind):
    with pytest.raises(ValueError, match=r"shape \(4, 0\): nothing is observed; a time without"):
        assimilate(ALL[kind], PRIOR, torch.zeros(4, 0).double(), stream("x"))


def test_types_that_no_filter_computes_in_are_refused():
    y = torch.zeros(4, D).double()
    for dtype in (torch.float16, torch.bfloat16):
        prior = Gaussian(*(value.to(dtype) for value in PRIOR))
        with pytest.raises(TypeError, match="no covariance can be factored; give it in double"):
            assimilate(ALL["etkf"], prior, y, stream("x"))
    with pytest.raises(TypeError, match="torch.complex128; give real numbers"):
        assimilate(ALL["etkf"], PRIOR, y + 1j, stream("x"))
