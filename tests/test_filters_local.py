"""Local filters of large fields: those of a dense taper, by columns, and the model alone."""

import math

import pytest
import torch

from dalib.filters import Ensemble, scored
from dalib.filters.enkf import EnKF
from dalib.filters.etkf import ETKF
from dalib.filters.free import FreeRun
from dalib.filters.letkf import LETKF, letkf_analysis
from dalib.filters.local_enkf import LocalEnKF
from dalib.filters.local_transform import local_transform, poles
from dalib.filters.patches import patches
from dalib.localise import Grid, Localisation, Ring, on_map
from dalib.observe import Arctan, ArctanEveryKth, EveryKth, Identity, Linear, Subset
from dalib.streams import normal, stream, streams

SHAPE, SIZE, RADIUS = (2, 13, 11), 286, 1.5
PLACES, EVERY = on_map(SHAPE), EveryKth(SHAPE, 3)
SITES = torch.arange(SIZE)
GRID = Localisation(matrix=Grid(SHAPE[1:], RADIUS)(SITES, SITES, SIZE))
RING = 200  # sites: more than a patch has


def sample(members=6, size=SIZE, lead=(), dtype=torch.float64):
    """Smooth members (..., member, state) and a state (..., state) to observe."""
    generator = stream("local", members, size, lead)
    E = normal((*lead, members, size), generator, dtype).cumsum(-1) / 5
    return Ensemble(E), normal((*lead, size), generator, dtype)


def model(observe, obs_std=0.3, members=6, **settings):
    return {"step": None, "observe": observe, "obs_std": obs_std, "members": members} | settings


def local(observe=EVERY, places=PLACES, radius=RADIUS, most=None, period=None, **settings):
    where = Localisation(places, radius, period)
    return LETKF(localisation=where, most=most, **model(observe, **settings))


def close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


# the transform


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("largest", [1.0, 30.0, 1e4, 1e8])
def test_poles_give_the_inverse_root_to_rounding(largest, dtype, rtol):
    s, c = (value.double() for value in poles(largest, dtype))
    x = torch.logspace(0, math.log10(largest), 500, dtype=torch.float64)
    root = (c / (x[:, None] + s)).sum(-1)
    torch.testing.assert_close(root, x.rsqrt(), rtol=rtol, atol=0)


@pytest.mark.parametrize("N", [2, 3, 8, 20])
@pytest.mark.parametrize("obs", [0, 1, 30])
def test_the_transform_is_that_of_the_symmetric_root(N, obs):
    """(1 + A)^-½ by eigenvalues, of matrices that are zero, of rank one and of full rank."""
    S = 3 * normal((5, N, obs), stream("transform", N, obs))
    S = S - S.mean(1, keepdim=True)
    X, b = normal((5, 2, N), stream("X", N)), S @ normal((5, obs, 1), stream("d", N, obs))
    A = S @ S.mT / (N - 1)
    eigenvalues, V = torch.linalg.eigh(A)
    W = (V * (1 + eigenvalues).rsqrt()[:, None]) @ V.mT
    w = b.mT @ W @ W / (N - 1)
    rows = torch.cat([A, b.mT, X], 1).permute(1, 2, 0).contiguous()
    close(local_transform(rows).permute(2, 0, 1), X @ W + X @ w.mT, 1e-11)


def test_a_column_that_is_not_finite_leaves_the_others():
    S = normal((3, 6, 9), stream("finite"))
    rows = torch.cat([S @ S.mT, S[..., :3].mT], 1).permute(1, 2, 0).contiguous()
    broken = rows.clone()
    broken[0, 0, 1] = torch.nan
    expected, found = local_transform(rows), local_transform(broken)
    assert found[..., 1].isnan().any()
    close(found[..., ::2], expected[..., ::2], 1e-13)


# neighbours


@pytest.mark.parametrize("period", [None, float(RING)])
def test_weights_are_those_of_a_dense_taper(period):
    seen = torch.arange(3, RING, 7)
    where = Localisation(SITES[:RING, None], 4.0, period)
    found = torch.zeros(RING, len(seen), dtype=torch.float64)
    for components, near, taper in patches(where, seen[:, None], None, PLACES):
        found[components[0][:, None], near] = taper.mT
    far = torch.arange(RING) + (0 if period else RING)
    size = RING if period else 3 * RING  # a ring that never closes
    close(found, Ring(4.0)(far, far[seen], size), 1e-14)
    close(where.weights(SITES[:RING, None], seen[:, None]), found, 1e-14)


def test_each_component_is_in_one_column_with_all_at_its_place():
    found = patches(Localisation(PLACES, RADIUS), PLACES[EVERY.selected(SIZE)], None, PLACES)
    components = torch.cat([patch.components for patch in found], 1)
    assert torch.equal(components.flatten().sort().values, SITES)
    assert torch.equal(PLACES[components[0]], PLACES[components[1]])


def test_at_most_so_many_and_the_nearest():
    seen, most = EVERY.selected(SIZE), 4
    distance = torch.cdist(PLACES, PLACES[seen])
    where = Localisation(PLACES, 3.0)
    for components, near, taper in patches(where, PLACES[seen], most, PLACES):
        chosen = taper > 0
        assert (chosen.sum(0) <= most).all()
        here = distance[components[0]][:, near].mT
        farthest = torch.where(chosen, here, 0.0).amax(0)
        kth = distance[components[0]].sort(-1).values[:, most - 1]
        assert (farthest <= kth + 1e-12).all()


# the local transform filter


@pytest.mark.parametrize("lead", [(), (2, 3), (20,)])
@pytest.mark.parametrize("obs_std", [1.0, 0.05])
def test_columns_give_the_analysis_with_a_dense_taper(lead, obs_std):
    """Also with missing values, and more seeds than one block takes."""
    belief, x = sample(lead=lead)
    y = EVERY(x)
    y[..., 3] = torch.nan
    dense = LETKF(localisation=GRID, **model(EVERY, obs_std)).analyse(belief, y, None)
    close(local(obs_std=obs_std).analyse(belief, y, None).members, dense.members, 1e-8)


@pytest.mark.parametrize("members", [2, 3, 20])
def test_any_number_of_members_gives_the_analysis_with_a_dense_taper(members):
    belief, x = sample(members)
    dense = LETKF(localisation=GRID, **model(EVERY, members=members)).analyse(
        belief, EVERY(x), None
    )
    close(local(members=members).analyse(belief, EVERY(x), None).members, dense.members, 1e-8)


@pytest.mark.parametrize("radius", [4.0, 9.0])
def test_a_ring_closes(radius):
    belief, x = sample(size=RING)
    observe, sites = Subset(tuple(range(2, RING, 9))), SITES[:RING]
    taper = Ring(radius)(sites, sites, RING)
    dense = LETKF(localisation=Localisation(matrix=taper), **model(observe)).analyse(
        belief, observe(x), None
    )
    here = local(observe, sites[:, None] - 50.0, radius, period=float(RING))
    close(here.analyse(belief, observe(x), None).members, dense.members, 1e-8)


@pytest.mark.parametrize(
    "observe", [ArctanEveryKth(SHAPE, 3), Linear(2 * torch.eye(SIZE)[::7].double()), Arctan(0.5)]
)
def test_an_operator_is_localised_where_it_looks(observe):
    belief, x = sample()
    y = observe(x)
    dense = LETKF(localisation=GRID, **model(observe)).analyse(belief, y, None)
    close(local(observe).analyse(belief, y, None).members, dense.members, 1e-8)


def test_single_precision_is_kept():
    belief, x = sample()
    y = EVERY(x)
    single = local().analyse(Ensemble(belief.members.float()), y.float(), None).members
    assert single.dtype == torch.float32
    close(single.double(), local().analyse(belief, y, None).members, 1e-3)


def test_a_radius_without_end_gives_the_global_filter():
    belief, x = sample()
    expected = ETKF(**model(EVERY)).analyse(belief, EVERY(x), None)
    close(local(radius=1e8).analyse(belief, EVERY(x), None).members, expected.members, 1e-8)


def test_what_nothing_reaches_stays_exactly():
    belief, x = sample(size=RING)
    filter = local(Subset((20, 25)), SITES[:RING, None], 2.0, period=float(RING))
    moved = (filter.analyse(belief, x[[20, 25]], None).members - belief.members).abs().amax(0)
    far = (SITES[:RING] < 20 - 7.28) | (SITES[:RING] > 25 + 7.28)
    assert (moved[far] < 1e-14).all()
    assert (moved[~far] > 1e-14).all()


def test_a_bound_on_observations_leaves_the_nearest_only():
    """With one observation a column, its own update by that alone."""
    belief, x = sample(size=RING)
    observe, sites = Subset((20, 60, 100)), SITES[:RING]
    filter = local(observe, sites[:, None], 30.0, most=1)
    found = filter.analyse(belief, observe(x), None).members
    for j, site in enumerate(observe.index):
        own = (sites - site).abs() < 20
        one = Subset((site,))
        alone = local(one, sites[:, None], 30.0).analyse(belief, observe(x)[[j]], None).members
        close(found[:, own], alone[:, own])


def test_places_with_different_numbers_of_variables_are_columns_too():
    places = torch.tensor([0.0, 1, 2, 0, 2, 2])[:, None]
    belief, x = sample(size=6)
    observe = Identity(6)
    taper = Localisation(places, 1.0).taper()
    dense = (
        LETKF(localisation=Localisation(matrix=taper), **model(observe))
        .analyse(belief, x, None)
        .members
    )
    close(local(observe, places, 1.0).analyse(belief, x, None).members, dense, 1e-8)


def test_the_derivative_is_that_of_the_dense_analysis():
    belief, x = sample()
    y, slopes = EVERY(x), []
    for analysis in (
        lambda E: local().analyse(Ensemble(E), y, None).members,
        lambda E: letkf_analysis(E, EVERY(E), y, 0.3, GRID.matrix[:, EVERY.selected(SIZE)]),
    ):
        E = belief.members.clone().requires_grad_(True)
        slopes.append(torch.autograd.grad(analysis(E).sin().sum(), E)[0])
    close(*slopes, 1e-9)


# the stochastic filter


@pytest.mark.parametrize("lead", [(), (2, 3)])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{}, {"scale": 1.7}, {"centred": False}, {"positive": True, "inflation": 1.1}],
    ids=["plain", "scaled", "free noise", "positive"],
)
def test_tapers_by_patches_give_the_dense_stochastic_filter(lead, missing, settings):
    """With the same perturbations: analyses and likelihoods."""
    belief, x = sample(lead=lead)
    y = EVERY(x)
    y[..., 3] = torch.nan if missing else y[..., 3]
    dense = LocalEnKF(localisation=GRID, **model(EVERY, **settings))
    here = LocalEnKF(localisation=Localisation(PLACES, RADIUS), **model(EVERY, **settings))
    (expected, score), (found, own) = (
        scored(filter, belief, y, stream("same")) for filter in (dense, here)
    )
    close(found.members, expected.members)
    for a, b in zip(own, score, strict=True):
        close(a, b, 1e-9)
    close(here.likelihood(belief, y).log_density, score.log_density, 1e-9)


def test_a_radius_without_end_gives_the_global_stochastic_filter():
    belief, x = sample(lead=(2,))
    observe = ArctanEveryKth(SHAPE, 3)
    expected = EnKF(**model(observe)).analyse(belief, observe(x), streams("x", range(2), "same"))
    here = LocalEnKF(localisation=Localisation(PLACES, 1e8), **model(observe))
    found = here.analyse(belief, observe(x), streams("x", range(2), "same"))
    close(found.members, expected.members, 1e-9)


# what is refused, and the model alone


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"places": None}, "needs places"),
        ({"radius": 0.0}, "radius above 0"),
        ({"most": 0}, "at least 1 observation"),
        ({"places": PLACES[1:]}, "places for 285 components, but the state has 286"),
        ({"period": (5.0,)}, "places with 2 axes"),
        ({"period": -1.0}, "positive length"),
    ],
)
def test_what_cannot_be_local_is_refused(settings, words):
    belief, x = sample()
    with pytest.raises(ValueError, match=words):
        local(**settings).analyse(belief, EVERY(x), None)


def test_a_free_run_is_the_model_alone():
    belief, x = sample()
    filter = FreeRun(**model(EVERY) | {"step": torch.sin})
    assert torch.equal(filter.forecast(belief, None).members, belief.members.sin())
    assert torch.equal(filter.analyse(belief, EVERY(x), None).members, belief.members)
    expected = EnKF(**model(EVERY)).log_likelihood(belief, EVERY(x))
    assert torch.equal(filter.log_likelihood(belief, EVERY(x)), expected)


@pytest.mark.parametrize("method", [LETKF, LocalEnKF])
def test_places_that_are_changed_in_place_are_followed(method):
    """Those of components, and of observations as points or components."""
    belief, x = sample(size=RING)
    y, places = x[:5], torch.arange(RING)[:, None].double()
    for at in (torch.arange(5)[:, None].double(), torch.arange(5), None):
        where = Localisation(places.clone(), 2.0, obs_places=at)
        filter = method(**model(Subset(tuple(range(5))), localisation=where))
        before = filter.analyse(belief, y, stream("moved")).members
        (where.places if at is None else at).mul_(3)
        after = filter.analyse(belief, y, stream("moved")).members
        fresh = method(**model(Subset(tuple(range(5))), localisation=where))
        assert torch.equal(after, fresh.analyse(belief, y, stream("moved")).members)
        assert not torch.equal(after, before)
