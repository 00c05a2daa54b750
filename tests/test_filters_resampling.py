"""Resampling: how often particles are taken, transport, and what a likelihood may not be."""

import math

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, Weighted, assimilate, cycle
from dalib.filters.kalman import Kalman
from dalib.filters.particle import BootstrapParticle, LikelihoodParticle
from dalib.filters.particle_local import LocalParticle, keeping, smoothed
from dalib.filters.particle_proposals import AuxiliaryParticle, OptimalParticle
from dalib.filters.resampling import CHOICES, transported
from dalib.localise import Localisation, Ring
from dalib.observe import Identity, Linear, Subset
from dalib.streams import normal, stream, streams, uniform

SEEDS = 4000


def weights(n: int = 6) -> torch.Tensor:
    return (2 * normal((n,), stream("weights"))).log_softmax(-1)


def counts(name: str, n: int = 6) -> torch.Tensor:
    """(seed, member), how often each was taken."""
    log_weights = weights(n).expand(SEEDS, n)
    index = CHOICES[name](log_weights, stream("draws", name))
    assert (index.diff(dim=-1) >= 0).all()
    return torch.zeros(SEEDS, n).double().scatter_add(-1, index, torch.ones(SEEDS, n).double())


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_takes_a_particle_as_often_as_it_weighs(name):
    found = counts(name)
    error = found.std(0) / math.sqrt(SEEDS)
    assert ((found.mean(0) - 6 * weights().exp()).abs() < 4 * error + 1e-12).all()
    assert (found.sum(-1) == 6).all()


def test_chance_is_least_in_systematic_and_most_in_independent_draws():
    variance = {name: counts(name).var(0).sum().item() for name in CHOICES}
    assert variance["systematic"] <= variance["stratified"] < variance["multinomial"]
    assert variance["residual"] < variance["multinomial"]


def test_residual_copies_are_certain():
    assert (counts("residual") >= (6 * weights().exp()).floor()).all()


def test_equal_weights_are_left_alone_by_choices_without_chance():
    log_weights = torch.full((5, 7), -math.log(7)).double()
    for name in ("systematic", "stratified", "residual"):
        index = CHOICES[name](log_weights, stream(name))
        assert torch.equal(index, torch.arange(7).expand(5, 7))


def test_transport_keeps_the_mean_and_moves_to_equal_weights_on_a_line():
    """On a line the plan without blur is that of cumulated weights."""
    x = normal((40, 1), stream("transport")).sort(0).values
    log_weights = weights(40)
    moved = transported(log_weights, x, blur=1e-3, iterations=3000)
    assert (moved.mean(0) - log_weights.exp() @ x).abs() < 1e-12
    assert (moved[1:] >= moved[:-1] - 1e-6).all()
    ends = torch.cat([torch.zeros(1).double(), log_weights.exp().cumsum(0)])
    low, high = (torch.arange(40 + 1).double() / 40)[:-1], (torch.arange(1, 41).double() / 40)
    share = torch.minimum(high[:, None], ends[1:]) - torch.maximum(low[:, None], ends[:-1])
    exact = 40 * share.clamp(min=0) @ x
    assert (moved - exact).abs().mean() < 0.02


def test_transport_has_the_derivative_of_differences():
    x, w = normal((8, 2), stream("x")), weights(8)

    def total(s):
        return (transported((w + s * x[:, 0]).log_softmax(-1), x).square() * x).sum()

    s = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(total(s), s)
    assert slope.item() == pytest.approx(((total(1e-6) - total(-1e-6)) / 2e-6).item(), rel=1e-6)


def test_gradients_flow_through_a_filter_that_transports():
    settings = {"step": lambda x: 0.9 * x, "observe": Identity(2), "members": 20}
    settings |= {"model_error_std": 0.5, "resample_below": 1.0, "resampling": "transport"}
    prior, y = Gaussian(torch.zeros(2).double(), torch.eye(2).double()), torch.ones(4, 2).double()

    def loss(std):
        filter = BootstrapParticle(obs_std=std, **settings)
        steps = cycle(filter, prior, y, stream("noise"))
        return sum(a.mean.square().sum() for _, a in steps)

    std = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(std), std)
    with torch.no_grad():
        difference = (loss(std + 1e-5) - loss(std - 1e-5)) / 2e-5
    assert slope.item() == pytest.approx(difference.item(), rel=1e-5)


def test_an_unknown_resampling_is_refused():
    with pytest.raises(ValueError, match="known: systematic, stratified, residual, multinomial"):
        BootstrapParticle(step=abs, observe=Identity(1), obs_std=1.0, resampling="best")


# likelihoods of the user's own


def track(**settings):
    return {"step": lambda x: 0.9 * x, "members": 400, "model_error_std": 0.5} | settings


def series() -> tuple[Gaussian, torch.Tensor]:
    prior = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    y = normal((3, 8, 1), streams("series", range(3), "y"))
    y[1, 4] = torch.nan
    return prior, y


def gaussian(y, x):
    return -0.5 * ((y - x[..., :1]) ** 2 + math.log(2 * math.pi)).sum(-1)


def test_a_gaussian_likelihood_is_that_of_the_bootstrap_filter():
    prior, y = series()
    one = BootstrapParticle(**track(), observe=Subset((0,)), obs_std=1.0)
    other = LikelihoodParticle(**track(), observe=Subset((0,)), log_density=gaussian)
    given = (prior, y, streams("filter", range(3), "f"))
    a = assimilate(one, *given)
    b = assimilate(other, *given[:2], streams("filter", range(3), "f"))
    torch.testing.assert_close(a.mean, b.mean)
    forecast = one.forecast(one.start(prior, stream("a")), stream("b"))
    torch.testing.assert_close(
        one.log_likelihood(forecast, y[0, 0]), other.log_likelihood(forecast, y[0, 0])
    )


def test_counts_are_assimilated_by_their_own_distribution():
    """Poisson counts of rate exp(x): the posterior on a grid."""
    prior = Gaussian(torch.zeros(1).double(), torch.eye(1).double())
    filter = LikelihoodParticle(
        step=lambda x: x,
        members=20_000,
        observe=torch.exp,
        log_density=lambda y, x: (y * x - x.exp() - torch.lgamma(y + 1)).sum(-1),
    )
    found = assimilate(filter, prior, torch.tensor([[3.0]]).double(), stream("counts"))
    x = torch.linspace(-6, 6, 4001).double()
    density = (3 * x - x.exp() - x**2 / 2).softmax(0)
    mean = (density * x).sum()
    std = (density * (x - mean) ** 2).sum().sqrt()
    assert found.mean.item() == pytest.approx(mean.item(), abs=0.02)
    assert found.std.item() == pytest.approx(std.item(), abs=0.02)


def test_impossible_states_have_no_weight_and_are_not_called_lost():
    def inside(y, x):
        return torch.where(x[..., 0] > 0, 0.0, -torch.inf)

    prior, y = series()
    filter = LikelihoodParticle(**track(), observe=Subset((0,)), log_density=inside)
    belief = filter.analyse(filter.start(prior, stream("s")), y[0, 0])
    assert (belief.members[belief.log_weights.isfinite()][:, 0] > 0).all()
    assert not belief.dropped.any()


@pytest.mark.parametrize(
    ("density", "words"),
    [
        (lambda y, x: (y - x[..., :1]) ** 2, "a sum over the last axis"),
        (lambda y, x: gaussian(y, x).sum(-1), "give log p"),
        (lambda y, x: 1.0, "into float"),
        (lambda y, x: gaussian(y, x).log(), "NaN or infinite"),
        (lambda y, x: gaussian(y, x) + torch.inf, "NaN or infinite"),
    ],
)
def test_a_likelihood_of_the_wrong_kind_is_refused(density, words):
    prior, y = series()
    with pytest.raises(ValueError, match=words):
        assimilate(
            LikelihoodParticle(**track(), observe=Subset((0,)), log_density=density),
            prior,
            y,
            stream("x"),
        )


def test_a_likelihood_that_forgets_missing_values_is_told_so():
    prior = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    filter = LikelihoodParticle(
        **track(), observe=Identity(2), log_density=lambda y, x: -0.5 * ((y - x) ** 2).sum(-1)
    )
    y = torch.tensor([[1.0, torch.nan]]).double()
    with pytest.raises(ValueError, match="missing values .* among others: leave them out"):
        assimilate(filter, prior, y, stream("x"))


# proposals


def linear(kind, obs_std: float = 0.3, members: int = 3000, **settings):
    return kind(
        step=lambda x: x @ torch.tensor([[0.9, 0.3], [-0.2, 0.8]]).double(),
        observe=Linear([[1.0, 0.5]]),
        obs_std=obs_std,
        members=members,
        model_error_std=0.5,
        **settings,
    )


@pytest.mark.parametrize(("kind", "obs_std"), [(OptimalParticle, 0.3), (AuxiliaryParticle, 1.0)])
def test_proposals_tend_to_the_kalman_filter(kind, obs_std):
    prior, y = series()
    filter = linear(kind, obs_std)
    exact = Kalman(
        matrix=torch.tensor([[0.9, 0.3], [-0.2, 0.8]]).double().T,
        noise_cov=0.25 * torch.eye(2).double(),
        observe=filter.observe,
        obs_std=obs_std,
    )
    found = assimilate(filter, prior, y, streams("proposal", range(3), "f"))
    known = assimilate(exact, prior, y, None)
    assert (found.mean - known.mean).abs().max() < 0.08
    assert (found.std - known.std).abs().max() < 0.05
    total = [0, 0]
    for i, f in enumerate((filter, exact)):
        steps = cycle(f, prior, y, streams("proposal", range(3), "f"))
        total[i] = sum(f.log_likelihood(b, y[:, k]) for k, (b, _) in enumerate(steps))
    assert (total[0] - total[1]).abs().max() < 0.25


def test_the_optimal_proposal_has_the_most_even_weights():
    prior, y = series()
    prior, y = Gaussian(prior.mean.expand(3, 2), prior.cov.expand(3, 2, 2)), y + 2.0
    sizes = {}
    for kind in (BootstrapParticle, OptimalParticle):
        filter = linear(kind)
        belief = filter.start(prior, streams("even", range(3), "s"))
        belief = filter.forecast(belief, streams("even", range(3), "f"))
        belief = filter.analyse(belief, y[:, 0], streams("even", range(3), "a"))
        sizes[kind] = (-(2 * belief.log_weights).logsumexp(-1)).exp()
    assert (sizes[OptimalParticle] > 1.5 * sizes[BootstrapParticle]).all()


def test_proposals_without_noise_and_optimal_ones_without_linearity_are_refused():
    for kind in (OptimalParticle, AuxiliaryParticle):
        with pytest.raises(ValueError, match="give a positive one, or use a bootstrap"):
            kind(step=abs, observe=Identity(1), obs_std=1.0)
    filter = OptimalParticle(
        step=lambda x: x, observe=lambda x: x**2, obs_std=1.0, model_error_std=0.1, members=10
    )
    prior = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    with pytest.raises(ValueError, match="needs linear observations, and observe.. is off"):
        assimilate(filter, prior, torch.ones(2, 2).double(), stream("x"))


# local


def test_who_is_chosen_stays_and_copies_fill_the_other_places():
    index = torch.tensor([[0, 0, 0, 4, 4, 5], [0, 1, 2, 3, 4, 5], [3, 3, 3, 3, 3, 3]])
    expected = [[0, 0, 0, 4, 4, 5], [0, 1, 2, 3, 4, 5], [3, 3, 3, 3, 3, 3]]
    assert keeping(index).tolist() == [[0, 0, 0, 4, 4, 5], expected[1], expected[2]]
    u = uniform((50, 9), stream("rows"))
    chosen = (9 * u).long().sort(-1).values
    kept = keeping(chosen)
    assert torch.equal(kept.sort(-1).values, chosen)
    places = torch.arange(9)
    taken = torch.stack([(chosen == k).any(-1) for k in range(9)], -1)
    assert torch.equal(kept == places, taken)


def test_smoothing_averages_what_neighbours_chose():
    columns, rho = normal((5, 4), stream("columns")), uniform((5, 5), stream("rho"))
    chosen = (4 * uniform((5, 4), stream("chosen"))).long()
    expected = torch.zeros(5, 4).double()
    for i in range(5):
        for n in range(4):
            values = torch.stack([columns[i, chosen[k, n]] for k in range(5)])
            expected[i, n] = (rho[i] * values).sum() / rho[i].sum()
    torch.testing.assert_close(smoothed(columns, chosen, rho), expected)


def test_with_one_place_for_all_local_particles_are_those_of_the_bootstrap_filter():
    """Weights of ρ = 1 everywhere; the resampled ensemble is the same set of states."""
    E = normal((200, 4), stream("E"))
    y = torch.tensor([0.3, -0.2]).double()
    observe = Subset((0, 2))
    whole = Localisation(matrix=torch.ones(4, 4).double())
    settings = {"step": lambda x: x, "observe": observe, "obs_std": 0.5, "members": 200}
    local = LocalParticle(**settings, localisation=whole)
    found = local.analyse(Ensemble(E), y, stream("u")).members
    assert (found[:, None] == E).all(-1).any(-1).all()
    weighted = BootstrapParticle(**settings).analyse(
        Weighted(E, torch.full((200,), -math.log(200)).double()), y
    )
    assert (found.mean(0) - weighted.mean).abs().max() < 0.03


def test_local_particles_track_forty_independent_components_where_one_weight_cannot():
    """Each component is its own problem: the error is that of one component alone."""
    prior = Gaussian(torch.zeros(40).double(), torch.eye(40).double())
    x = normal((8, 40), streams("truth", range(8), "x"))
    y = (x + 0.5 * normal((8, 40), streams("truth", range(8), "y")))[:, None]
    settings = {"step": lambda x: x, "observe": Identity(40), "obs_std": 0.5, "members": 400}
    local = LocalParticle(**settings, localisation=Ring(0.2).on(40))
    found = assimilate(local, prior, y, streams("local", range(8), "f"))
    exact = y / 1.25
    assert (found.mean - exact).square().mean().sqrt() < 0.1
    lost = assimilate(BootstrapParticle(**settings), prior, y, streams("local", range(8), "f"))
    assert (lost.mean - exact).square().mean().sqrt() > 0.3
