"""Where local filters place observations, which of them count, and where they inflate."""

import dataclasses
import functools

import numpy as np
import pytest
import torch

from dalib.filters import Ensemble, Gaussian, assimilate
from dalib.filters.ekf import EKF
from dalib.filters.enkf import EnKF
from dalib.filters.ensf import EnSF
from dalib.filters.etkf import ETKF
from dalib.filters.letkf import LETKF
from dalib.filters.local_enkf import LocalEnKF
from dalib.filters.places import by_loss, places_of
from dalib.localise import Localisation, Ring
from dalib.observe import Identity, Linear, Subset
from dalib.streams import normal, stream, streams

SIZE, MEMBERS, RADIUS = 24, 8, 2.0
SITES, SEEN = torch.arange(SIZE), tuple(range(0, SIZE, 3))
POINTS = SITES[:, None].double()
TAPER = Ring(RADIUS)(SITES, SITES, SIZE)
ByMatrix = functools.partial(LocalEnKF, scale=1.0)
ByColumns = functools.partial(LETKF, most=61)  # between places, where LETKF is given a matrix


def from_numpy(x):
    return torch.from_numpy(np.maximum(x.detach().numpy()[..., ::3], 0))


@torch.no_grad()
def without_slopes(x):
    return 2 * x[..., ::3]


SINGLE = {  # of one component each, with slopes that vanish, or that nobody can take
    "selected": lambda x: x[..., ::3],
    "relu": lambda x: torch.relu(x[..., ::3]),
    "threshold": lambda x: (x[..., ::3] - 1).clamp(min=0),
    "rounded": lambda x: (10 * x[..., ::3]).round() / 10,
    "detached": lambda x: x.detach()[..., ::3],
    "numpy": from_numpy,
    "no_grad": without_slopes,
}


def made(method, observe, obs_std=0.1, **settings):
    own, at = {}, settings.pop("obs_places", None)
    if method in (LETKF, ByMatrix):
        own = {"localisation": Localisation(matrix=TAPER, obs_places=at)}
    if method in (ByColumns, LocalEnKF):
        own = {"localisation": Localisation(POINTS, RADIUS, float(SIZE), at)}
    given = {"step": lambda x: x, "observe": observe, "obs_std": obs_std, "members": MEMBERS}
    return method(**given | own | settings)


def sample(lead=(), name="places"):
    E = normal((*lead, MEMBERS, SIZE), stream(name, lead))
    return E + E.roll(1, -1), normal((*lead, SIZE), stream(name, "truth", lead))


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


# where they stand


@pytest.mark.parametrize("operator", SINGLE)
@pytest.mark.parametrize("method", [LETKF, ByColumns, LocalEnKF])
def test_an_observation_stands_at_the_component_it_needs(method, operator):
    observe, (E, x) = SINGLE[operator], sample()
    E[0, ::3] = -E[0, ::3].abs() - 0.1  # where relu and threshold have no slope
    assert places_of(observe, None, E).tolist() == list(SEEN)
    filter = made(method, observe)
    known = made(method, observe, obs_places=torch.tensor(SEEN))
    found, expected = (
        f.analyse(Ensemble(E), observe(x), stream("same")).members for f in (filter, known)
    )
    close(found, expected)


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64, 65])
def test_components_spell_their_number(size):
    order = torch.randperm(size, generator=stream("order", size))
    assert torch.equal(by_loss(lambda x: x[..., order].exp(), torch.zeros(size)), order)


def test_what_needs_several_components_stands_where_its_slope_is_largest():
    kernel = torch.tensor([0.2, 1.0, 0.3]).double()

    def observe(x):
        return sum(kernel[k] * x.roll(1 - k, -1)[..., ::3] for k in range(3))

    E, _ = sample()
    assert (by_loss(observe, E[0]) == -1).all()
    assert places_of(observe, None, E).tolist() == list(SEEN)
    H = torch.eye(SIZE)[::3].double() + 0.1
    assert places_of(Linear(H), None, E).tolist() == list(SEEN)


def test_series_are_placed_each_by_itself():
    """|x_i|² + |x_j|² looks most where x is larger; a filter keeps nothing of what came before."""
    (E, x), method = sample((3,)), made(ByColumns, None)

    def observe(x):
        return x[..., ::3].square() + x[..., 1::3].square()

    filter = dataclasses.replace(method, observe=observe)
    place = places_of(observe, None, E)
    assert place.shape == (3, SIZE // 3)
    slopes = E.mean(-2).abs()
    expected = torch.where(slopes[:, 1::3] > slopes[:, ::3], SITES[1::3], SITES[::3])
    assert torch.equal(place, expected)
    for kind in (LETKF, ByColumns, LocalEnKF, ByMatrix):
        filter = made(kind, observe, inflation=1.1)
        generator = streams("each", range(3), "noise")
        together = filter.analyse(Ensemble(E), observe(x), generator).members
        for i, own in enumerate(streams("each", range(3), "noise").generators):
            alone = made(kind, observe, inflation=1.1)
            found = alone.analyse(Ensemble(E[i]), observe(x[i]), own).members
            close(together[i], found, 1e-9)
            if kind is not LocalEnKF and kind is not ByMatrix:
                again = filter.analyse(Ensemble(E[i]), observe(x[i]), None).members
                close(again, found, 1e-9)


def test_points_between_components_are_taken():
    """At a component they are that component; halfway, as near to one side as to the other."""
    E, x = sample()
    at = torch.tensor(SEEN)
    observe = Subset(SEEN)
    for method in (ByColumns, LocalEnKF):
        expected = made(method, observe).analyse(Ensemble(E), observe(x), stream("same")).members
        for place in (POINTS[at], POINTS[at] + SIZE, at):
            filter = made(method, observe, obs_places=place)
            found = filter.analyse(Ensemble(E), observe(x), stream("same")).members
            close(found, expected)
    one = made(ByColumns, Subset((5,)), obs_places=torch.tensor([[5.5]]).double(), inflation=2.0)
    share = one.reached(E, x[[5]])
    close(share[5], share[6])
    assert 0 < share[5] < 1


@pytest.mark.parametrize("method", [LETKF, ByColumns, LocalEnKF])
@pytest.mark.parametrize(
    ("observe", "settings", "words"),
    [
        (lambda x: (x[..., ::3] > 0).double(), {}, "no derivative there.*give obs_places"),
        (lambda x: x.detach()[..., ::3] + x.detach()[..., 1::3], {}, "observations 0, 1, 2"),
        (
            lambda x: from_numpy(x) + from_numpy(x.roll(1, -1)),
            {},
            "cannot be taken: RuntimeError.*give obs_places",
        ),
        (Subset(SEEN), {"obs_places": torch.tensor([SIZE] * 8)}, "from 0 to 23"),
        (Subset(SEEN), {"obs_places": torch.zeros(8).double()}, r"points \(obs, axis\)"),
    ],
)
def test_places_that_cannot_be_found_are_asked_for(method, observe, settings, words):
    E, x = sample()
    with pytest.raises(ValueError, match=words):
        made(method, observe, **settings).analyse(Ensemble(E), torch.zeros(8).double(), None)


def test_an_operator_may_say_its_places():
    class Seen:
        places = torch.tensor(SEEN)

        def __call__(self, x):
            return (x[..., ::3] > 0).double()

    E, x = sample()
    found = made(ByColumns, Seen()).analyse(Ensemble(E), Seen()(x), None).members
    own = made(ByColumns, Seen().__call__, obs_places=Seen.places)
    close(found, own.analyse(Ensemble(E), Seen()(x), None).members)


# which count


def test_missing_observations_are_not_among_the_nearest():
    """At most two a column: those that are there, for each series its own."""
    E, x = sample((3,))
    observe = Identity(SIZE)
    y = x.clone()
    y[0, 1::2], y[1, ::2] = torch.nan, torch.nan
    settings = {"most": 2, "radius": 4.0}
    found = made(ByColumns, observe, **settings).analyse(Ensemble(E), y, None).members
    for i in range(3):
        there = (~y[i].isnan()).nonzero().flatten()
        alone = made(ByColumns, Subset(tuple(there.tolist())), **settings)
        close(found[i], alone.analyse(Ensemble(E[i]), y[i, there], None).members, 1e-9)


@pytest.mark.parametrize("method", [EnKF, ETKF, LETKF, ByColumns, LocalEnKF, ByMatrix, EnSF])
@pytest.mark.parametrize("inflation", [1.0, 1.1])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_no_observations_change_nothing(method, inflation, lead):
    E, _ = sample(lead)
    filter = made(method, lambda x: x[..., :0], inflation=inflation)
    found = filter.analyse(Ensemble(E), torch.zeros(*lead, 0).double(), stream("none"))
    close(found.members, E)


# where they inflate


def test_inflation_is_one_thing_in_every_filter():
    """Linear motion x' = x, all seen: anomalies times a after each analysis, a² on covariances."""
    a, P = 1.2, torch.eye(2).double()
    prior, y = Gaussian(torch.zeros(2).double(), P), torch.zeros(3, 2).double()
    ekf = EKF(step=lambda x: x, observe=Identity(2), obs_std=1.0, inflation=a)
    etkf = ETKF(step=lambda x: x, observe=Identity(2), obs_std=1.0, inflation=a, members=3)
    E = (
        torch.tensor([[1.0, 1], [-1, 1], [0, -2]]).double()
        / torch.tensor([1.0, 3.0]).double().sqrt()
    )
    y[1] = torch.nan  # what is not observed is not inflated
    found = assimilate(ekf, prior, y, stream("ekf")).std
    close(found, assimilate(etkf, Ensemble(E), y, stream("etkf")).std)
    close(found[:2], torch.full((2, 2), a / 2**0.5, dtype=torch.float64))


@pytest.mark.parametrize("method", [LETKF, ByColumns, LocalEnKF, ByMatrix])
def test_inflation_stays_where_observations_reach(method):
    """50 times one observed site: with or without, the spread of what it does not reach is one."""
    spread = {}
    for inflation in (1.0, 1.1):
        filter, E = made(method, Subset((12,)), 1.0, inflation=inflation), sample()[0]
        y = torch.zeros(50, 1).double()
        spread[inflation] = assimilate(filter, Ensemble(E), y, stream("noise")).std[-1]
    seen = (SITES - 12).abs() < 2 * 1.82 * RADIUS
    close(spread[1.1][~seen], spread[1.0][~seen])
    assert spread[1.0][12] < spread[1.1][12] < 1


def test_what_is_hardly_reached_is_hardly_inflated():
    E, x = sample()
    for method in (LETKF, ByColumns, LocalEnKF, ByMatrix):
        share = made(method, Subset((12,))).reached(E, x[[12]]).expand(SIZE)
        close(share, TAPER[12])
    assert torch.equal(made(EnSF, Subset((12,))).reached(E, x[[12]]), SITES == 12)


def test_all_that_is_densely_seen_is_inflated_alike():
    E, x = sample()
    for method in (LETKF, ByColumns, LocalEnKF, ByMatrix):
        share = made(method, Subset(SEEN), inflation=1.1).reached(E, x[list(SEEN)])
        assert torch.equal(share.expand(SIZE), torch.ones(SIZE).double())


@pytest.mark.parametrize(
    ("observe", "said"),
    [
        (lambda x: x.detach()[..., ::4], "detaches its argument"),
        (lambda x: torch.from_numpy(x.numpy()[..., ::4].copy()), "no derivative"),
        (lambda x: (10 * x[..., ::4]).round() / 10, "rounds or counts"),
        (lambda x: torch.where(x > 0.2, x * 0 + 1, x * 0)[..., ::4], "rounds or counts"),
    ],
    ids=["detached", "numpy", "rounded", "counted"],
)
def test_filters_that_linearise_refuse_operators_without_derivative(observe, said):
    E = normal((10, 8), stream("members"))
    filter = ByMatrix(step=lambda x: x, observe=observe, obs_std=1.0, members=10)
    with pytest.raises(ValueError, match=f"observe.. .*{said}.*tangent.*ETKF"):
        filter.analyse(Ensemble(E), torch.zeros(2).double(), stream("noise"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "observe",
    [
        torch.square,
        lambda x: (x - 0.5).relu(),
        lambda x: torch.where(x > 0.5, x, 0.0),
        lambda x: x.clamp(0.02, 0.03),
        lambda x: x * 0 + 1,
    ],
    ids=["square", "threshold", "detection limit", "saturated", "constant"],
)
def test_a_derivative_that_vanishes_is_no_missing_derivative(observe, dtype):
    """x² at 0: the observation tells nothing of the mean."""
    belief = Gaussian(torch.zeros(1, dtype=dtype), torch.eye(1, dtype=dtype))
    ekf = EKF(step=lambda x: x, observe=observe, obs_std=1.0)
    assert ekf.analyse(belief, torch.ones(1, dtype=dtype)).mean == 0


@pytest.mark.parametrize("method", [LETKF, ByColumns, LocalEnKF])
@pytest.mark.parametrize(
    ("places", "said"),
    [
        (torch.arange(3), "places for 3 observations, but y has 5 values"),
        (torch.arange(6), "places for 6 observations, but y has 5 values"),
        (torch.zeros(5, 1).long(), "obs_places of type torch.int64 and shape"),
        (torch.full((5, 1), torch.nan), "obs_places of type torch.float32 .*finite"),
    ],
)
def test_obs_places_are_one_for_each_observation(method, places, said):
    E, x = sample()
    filter = made(method, Subset(tuple(range(5))), obs_places=places)
    with pytest.raises(ValueError, match=said):
        filter.analyse(Ensemble(E), x[:5], stream("noise"))


@pytest.mark.parametrize("places", [None, np.zeros((SIZE, 1)), torch.full((SIZE, 1), torch.nan)])
def test_places_are_a_finite_tensor(places):
    with pytest.raises(ValueError, match="needs places .state, axis."):
        Localisation(places, 1.0)
