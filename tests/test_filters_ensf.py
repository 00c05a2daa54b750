"""The ensemble score filter against its moment equations, and what it does to single components."""

import logging
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from dalib.filters import Ensemble, cycle
from dalib.filters.ensf import EnSF, Joint, Pointwise, likelihood_score
from dalib.filters.ensf_linear import all_steps, moments
from dalib.filters.ensf_sampler import Diffusion, descend, mixture, paired
from dalib.integrate import RK4
from dalib.observe import Arctan, ArctanEveryKth, EveryKth, Identity, Linear, Subset, noisy
from dalib.streams import normal, stream, streams
from dalib.systems.lorenz import Lorenz96

TABLE = {  # (eps_beta, error): gain of the limit, K = 1000, K = 100, and std likewise
    (0.025, 0.1): (0.760, 0.760, 0.768, 0.061, 0.063, 0.105),
    (0.025, 0.3): (0.349, 0.351, 0.362, 0.115, 0.115, 0.132),
    (0.0, 0.1): (0.0, 0.077, 0.367, 0.0, 0.032, 0.153),
    (0.0, 0.3): (0.0, 0.011, 0.083, 0.0, 0.032, 0.101),
}
SAMPLES = 20_000
GRID = EveryKth((3, 12, 10), 5)


def still(x: Tensor) -> Tensor:
    return x


def made(observe, obs_std=0.3, **settings) -> EnSF:
    """A filter that takes every step unless it is told otherwise."""
    settings = {"scale": 1.0, "composed": False} | settings
    return EnSF(step=still, observe=observe, obs_std=obs_std, **settings)


def drawn(diffusion: Diffusion, error_std: float, x: float = 0.0, y: float = 1.0) -> Tensor:
    """(SAMPLES,), analyses of one component x observed as y."""
    filter = made(
        Identity(1),
        error_std,
        members=SAMPLES,
        steps=diffusion.steps,
        solver=diffusion.solver,
        eps_beta=diffusion.eps_beta,
        allow_unstable=diffusion.eps_beta == 0,  # at its last step
    )
    members = torch.full((SAMPLES, 1), x, dtype=torch.float64)
    y = torch.tensor([y], dtype=torch.float64)
    return filter.analyse(Ensemble(members), y, stream("scalar")).members[:, 0]


def states(*shape: int, name="states") -> Tensor:
    return normal(shape, stream("ensf", name))


# -- what the paired prior computes ---------------------------------------------------------------


@pytest.mark.parametrize(("eps_beta", "error"), TABLE)
def test_gain_and_spread_of_the_samples_are_those_of_the_recursion(eps_beta, error):
    limit = moments(error, Diffusion(eps_beta=eps_beta))
    expected = TABLE[eps_beta, error]
    found = {None: (limit.gain, limit.std)}
    for steps in (1000, 100):
        diffusion = Diffusion(eps_beta=eps_beta, steps=steps)
        samples = drawn(diffusion, error)
        exact = moments(error, diffusion, limit=False)
        assert samples.mean().item() == pytest.approx(exact.gain, abs=4 * exact.std / SAMPLES**0.5)
        assert samples.std().item() == pytest.approx(exact.std, rel=0.02)
        found[steps] = (exact.gain, exact.std)
    gains, stds = zip(*(found[steps] for steps in (None, 1000, 100)), strict=True)
    assert (*gains, *stds) == pytest.approx(expected, abs=0.0016)


def test_the_recursion_approaches_the_moment_equations_in_proportion_to_the_step():
    limit = torch.tensor(moments(0.3, Diffusion()))
    off = [
        torch.tensor(moments(0.3, Diffusion(steps=K), limit=False)) - limit for K in (2000, 4000)
    ]
    torch.testing.assert_close(off[0] / off[1], torch.full((3,), 2.0), rtol=0.02, atol=0)


@pytest.mark.parametrize(("x", "y"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 0.5)])
def test_a_thousand_steps_are_within_five_and_ten_percent_of_the_moment_equations(x, y):
    samples, limit = drawn(Diffusion(steps=1000), 0.3, x, y), moments(0.3, Diffusion())
    assert samples.mean().item() == pytest.approx(limit.kept * x + limit.gain * y, rel=0.05)
    assert samples.var().item() == pytest.approx(limit.std**2, rel=0.10)


def test_without_eps_beta_the_update_vanishes_as_steps_become_many():
    gains = [
        drawn(Diffusion(eps_beta=0.0, steps=steps), 0.3).mean().item() for steps in (100, 1000)
    ]
    assert gains[0] > 3 * gains[1]


@pytest.mark.parametrize("solver", ["ode_euler", "exponential"])
def test_both_solvers_without_noise_lead_to_the_same_moments(solver):
    diffusion = Diffusion(solver=solver, steps=400)
    exact = moments(0.3, diffusion, limit=False)
    samples = drawn(diffusion, 0.3)
    assert samples.mean().item() == pytest.approx(exact.gain, abs=4 * exact.std / SAMPLES**0.5)
    finest = [
        moments(0.3, Diffusion(solver=s, steps=5000), limit=False)
        for s in ("ode_euler", "exponential")
    ]
    assert finest[0] == pytest.approx(finest[1], rel=2e-3)
    assert exact.gain == pytest.approx(finest[0].gain, rel=0.02)


def test_the_exponential_solver_of_the_prior_alone_is_exact_in_any_number_of_steps():
    """Without observations all steps are linear maps, and N(α x_f, β²) goes to N(x_f, ε_β)."""
    never = 1e9
    one, many = (
        moments(never, Diffusion(solver="exponential", steps=K), limit=False) for K in (1, 50)
    )
    assert one == pytest.approx(many, rel=1e-12, abs=1e-15)
    assert one.std == pytest.approx(0.025**0.5)


# -- single components ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "observe", [GRID, ArctanEveryKth(GRID.shape, 5), Subset((3, 7)), Arctan(2.0, (3, 7))]
)
def test_the_gradient_of_the_likelihood_is_exactly_zero_off_the_sensors(observe):
    x = states(20, 360)
    y = observe(states(360, name="truth")[None])[0]
    score = made(observe).likelihood_score(x, y)
    index = observe.sites(360) if hasattr(observe, "sites") else observe.selected(360)
    off = torch.ones(360, dtype=torch.bool).index_fill(0, index, False)
    assert (score[:, off] == 0).all()
    assert (score[:, ~off] != 0).all()


def test_an_unobserved_component_comes_back_as_the_forecast_with_noise():
    """Of the standard deviation √ε_β and the step's, in units of std / scale."""
    E, units = 2 + states(4, 3), 3.0 / 10
    filter = made(Subset((0,)), 0.2, members=4, scale=10.0, mean=2.0, std=3.0, steps=400)
    y = torch.tensor([5.0], dtype=torch.float64)
    copies = torch.stack([E] * 1500)
    analysis = filter.analyse(Ensemble(copies), y.expand(1500, 1), stream("off")).members
    never = moments(1e9, filter.diffusion, limit=False)
    expected = 2 + never.kept * (E[:, 1:] - 2)
    assert never.kept == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(analysis.mean(0)[:, 1:], expected, rtol=0, atol=0.006)
    noise = (analysis - analysis.mean(0))[..., 1:].std().item()
    assert noise == pytest.approx(never.std * units, rel=0.02)
    assert noise == pytest.approx(0.025**0.5 * units, rel=0.05)


def test_a_missing_value_pulls_nowhere():
    E = states(6, 4)
    y = torch.tensor([1.0, torch.nan, 0.5, torch.nan], dtype=torch.float64)
    seen = torch.tensor([0, 2])
    gappy = made(Identity(4), members=6).analyse(Ensemble(E), y, stream("gaps"))
    fewer = made(Subset((0, 2)), members=6).analyse(Ensemble(E), y[seen], stream("gaps"))
    assert torch.equal(gappy.members, fewer.members)
    observe = Linear(torch.eye(4))
    joint = made(observe, members=6).analyse(Ensemble(E), y, stream("gaps"))
    torch.testing.assert_close(joint.members, gappy.members)


@dataclass(frozen=True)
class Opaque:
    """An operator of which nothing is known but that it can be differentiated."""

    inner: object

    def __call__(self, x: Tensor) -> Tensor:
        return self.inner(x)


@pytest.mark.parametrize(
    "observe",
    [
        Identity(6),
        Subset((4, 1, 1)),
        Arctan(0.5),
        Arctan(2.0, (5, 2)),
        EveryKth((1, 2, 3), 2, 0),
        ArctanEveryKth((1, 2, 3), 2, 0, 3.0),
    ],
)
def test_the_score_of_single_components_is_that_of_any_operator(observe):
    """As a score, and in the filter, where it acts on scaled states."""
    x = states(3, 5, 6)
    y = observe(states(3, 6, name="truth"))
    std = 0.3 + 0.1 * torch.arange(y.shape[-1])
    y[0, 0] = torch.nan
    single, joint = (likelihood_score(h, y, std, 6) for h in (observe, Opaque(observe)))
    assert isinstance(single, Pointwise) and isinstance(joint, Joint)
    torch.testing.assert_close(single(x), joint(x), rtol=0, atol=1e-10)
    settings = {"members": 5, "mean": 0.1, "std": torch.linspace(1, 2, 6), "scale": 3.0}
    single, joint = (
        made(h, std, **settings).analyse(Ensemble(x), y, stream("both")).members
        for h in (observe, Opaque(observe))
    )
    torch.testing.assert_close(single, joint, rtol=0, atol=1e-6)


def test_a_shift_and_a_change_of_units_go_through():
    E, y = states(8, 5), states(5, name="y")
    plain = made(Identity(5), 0.3, members=8).analyse(Ensemble(E), y, stream("units"))
    filter = made(Identity(5), 0.3 * 7, members=8, mean=50.0, std=7.0)
    other = filter.analyse(Ensemble(50 + 7 * E), 50 + 7 * y, stream("units"))
    torch.testing.assert_close(other.members, 50 + 7 * plain.members)
    scaled = made(Identity(5), 0.3 / 4, members=8, scale=4.0)
    other = scaled.analyse(Ensemble(E / 4), y / 4, stream("units"))
    torch.testing.assert_close(other.members, plain.members / 4)


# -- all steps at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["ode_euler", "exponential"])
@pytest.mark.parametrize(
    ("observe", "clip"),
    [
        (Identity(360), None),
        (GRID, 1000.0),
        (Identity(360), 30.0),
        (ArctanEveryKth(GRID.shape, 5), 9.0),
    ],
)
def test_without_noise_all_steps_at_once_are_the_steps_one_by_one(solver, observe, clip):
    """Also where the clip holds back members that are far from what is observed."""
    E, y = states(8, 360), observe(states(360, name="truth"))
    settings = {"members": 8, "block": 100, "solver": solver, "scale": 3.0, "clip": clip}
    settings |= {"mean": torch.linspace(-1, 1, 360), "std": torch.linspace(0.5, 2, 360)}
    one_by_one, at_once = (
        made(observe, 0.2, composed=c, standardised=True, **settings) for c in (False, True)
    )
    a, b = (f.analyse(Ensemble(E), y, stream("at once")).members for f in (one_by_one, at_once))
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    if clip == 30.0:
        free = replace(one_by_one, clip=None).analyse(Ensemble(E), y, stream("at once"))
        assert not torch.allclose(a, free.members)  # the clip was in play


@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize(("x", "clip"), [(0.5, 1000.0), (6.0, 60.0)])
def test_all_steps_at_once_have_the_distribution_of_the_steps(standardised, x, clip):
    """Of a component that is seen and one that is not; also where the clip is in play."""
    E = torch.full((6000, 5, 2), x, dtype=torch.float64)
    y = torch.zeros(6000, 1, dtype=torch.float64)
    settings = {"members": 5, "standardised": standardised, "clip": clip, "steps": 50}
    a, b = (
        made(Subset((0,)), composed=c, **settings).analyse(Ensemble(E), y, stream(c)).members
        for c in (False, True)
    )
    error = (a.var((0, 1)) / a[..., 0].numel()).sqrt()
    assert (((a - b).mean((0, 1)) / error).abs() < 4).all()
    torch.testing.assert_close(a.std((0, 1)), b.std((0, 1)), rtol=0.02, atol=0)
    torch.testing.assert_close(a.mean(1).std(0), b.mean(1).std(0), rtol=0.04, atol=0)


@pytest.mark.parametrize("observe", [Identity(40), Arctan(), Arctan(1.0, tuple(range(0, 40, 3)))])
def test_at_once_a_seed_is_what_it_is_alone_whatever_the_others_need(observe):
    E, y = states(3, 5, 40), observe(states(3, 40, name="y"))
    y[1] += 8.0  # far off: the clip is in play in this seed alone
    y[1, 3] = torch.nan
    filter = made(observe, 0.2, members=5, block=16, clip=40.0, composed=True)
    batch = filter.analyse(Ensemble(E), y, streams("ensf", range(3), "alone")).members
    for seed, generator in enumerate(streams("ensf", range(3), "alone").generators):
        alone = filter.analyse(Ensemble(E[seed]), y[seed], generator).members
        torch.testing.assert_close(alone, batch[seed], rtol=0, atol=1e-12)


def test_gradients_are_those_of_the_steps_also_where_values_are_missing_or_clipped():
    y = states(40, name="y")
    y[3] = torch.nan
    gradients = []
    for at_once in (False, True):
        E, std = states(5, 40).requires_grad_(), torch.tensor(0.3).double().requires_grad_()
        settings = {"members": 5, "clip": 25.0, "solver": "ode_euler", "composed": at_once}
        made(Identity(40), std, **settings).analyse(
            Ensemble(E), y, stream("gradient")
        ).members.square().sum().backward()
        gradients.append((E.grad, std.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_bound_on_the_score_holds_on_the_way():
    """Of members far from their observation, the largest score that is met in 200 of them."""
    diffusion, error, x, y = Diffusion(), 0.2, 3.0, -2.0
    steps = all_steps(torch.tensor(error**-2).double(), diffusion)
    met = []

    def watched(z: Tensor, alpha: float, variance: float) -> Tensor:
        s = paired(torch.full_like(z, x))(z, alpha, variance)
        tau = (variance - diffusion.eps_beta) / (1 - diffusion.eps_beta)
        met.append((s + (1 - tau) * (y - z) / error**2).abs().max())
        return s

    pull = Pointwise(*(torch.full((200, 1), v / error**2).double() for v in (y, 1.0)), None)
    descend(states(200, 1, name="z"), watched, pull, diffusion, None, stream("bound"))
    bound = steps.largest(torch.tensor(x).double(), torch.tensor(y - x).double())
    assert max(met) < bound < 3 * max(met)


# -- blocks, seeds, options -----------------------------------------------------------------------


@pytest.mark.parametrize("observe", [Identity(300), Arctan(1.0, tuple(range(0, 300, 3)))])
def test_blocks_have_the_distribution_of_the_whole(observe):
    """Mean and spread of 1000 copies, component by component; also with a last block cut short."""
    E, std = states(3, 300), torch.linspace(0.8, 1.2, 300)
    y = observe(states(300, name="truth"))
    whole, blocks = (made(observe, members=3, std=std, steps=30, block=b) for b in (300, 128))
    copies = Ensemble(E.expand(1000, 3, 300))
    a, b = (
        filter.analyse(copies, y.expand(1000, -1), stream("blocks", filter.block)).members
        for filter in (whole, blocks)
    )
    error = (a.var(0) / 500).sqrt()
    assert (((a.mean(0) - b.mean(0)) / error).square().mean()).item() == pytest.approx(1, abs=0.2)
    torch.testing.assert_close(a.std(0), b.std(0), rtol=0.15, atol=0)
    assert (a.std(0) / b.std(0)).mean().item() == pytest.approx(1, abs=0.003)


def test_a_batch_of_seeds_is_so_many_single_analyses_also_in_blocks():
    E, y = states(3, 5, 100), states(3, 100, name="y")
    filter = made(Identity(100), members=5, block=32, standardised=True)
    batch = filter.analyse(Ensemble(E), y, streams("ensf", range(3), "batch")).members
    for seed, generator in enumerate(streams("ensf", range(3), "batch").generators):
        alone = filter.analyse(Ensemble(E[seed]), y[seed], generator).members
        torch.testing.assert_close(alone, batch[seed], rtol=0, atol=1e-12)


def test_a_seed_without_observations_is_left_alone():
    E, y = states(2, 5, 4), states(2, 4, name="y")
    y[1] = torch.nan
    analysis = made(Identity(4), members=5, inflation=1.5).analyse(Ensemble(E), y, stream("none"))
    assert torch.equal(analysis.members[1], E[1])
    assert not torch.allclose(analysis.members[0], E[0])


def test_a_mixture_of_one_member_is_the_paired_prior():
    E, z = states(4, 1, 3), states(4, 1, 3, name="z")
    for alpha, variance in ((1.0, 0.025), (0.5, 1.0)):
        expected = paired(E)(z, alpha, variance)
        torch.testing.assert_close(mixture(E, None, None)(z, alpha, variance), expected)


def test_the_mixture_is_the_score_of_a_sum_of_gaussians():
    E, z = states(2, 7, 3), states(2, 7, 3, name="z").requires_grad_()
    alpha, variance = 0.8, 0.3
    distance = (z[..., :, None, :] - alpha * E[..., None, :, :]).square().sum(-1)
    density = (-distance / (2 * variance)).logsumexp(-1).sum()
    (expected,) = torch.autograd.grad(density, z)
    torch.testing.assert_close(mixture(E, None, None)(z.detach(), alpha, variance), expected)


def test_a_mixture_of_many_members_samples_their_distribution():
    """Where nothing is observed; of N(1, 2²), widened by ε_β."""
    E = 1 + 2 * states(500, 1)
    nothing = Joint(lambda z: z[..., :0], torch.zeros(0).double(), torch.zeros(0).double())
    diffusion = Diffusion(eps_alpha=0.05, steps=200)
    for minibatch in (None, 150):
        prior = mixture(E, minibatch, stream("minibatch"))
        z = normal((500, 1), stream("z"))
        sample = descend(z, prior, nothing, diffusion, None, stream("noise"))
        assert sample.mean().item() == pytest.approx(E.mean().item(), abs=0.3)
        assert sample.std().item() == pytest.approx((E.var().item() + 0.025) ** 0.5, rel=0.1)


def test_a_minibatch_of_the_mixture_is_filtered_with():
    E, y = states(3, 10, 4), states(3, 4, name="y")
    filter = made(Identity(4), members=10, prior="mixture", minibatch=4)
    first, second = (
        filter.analyse(Ensemble(E), y, streams("ensf", range(3), "minibatch")).members
        for _ in range(2)
    )
    assert torch.equal(first, second) and first.isfinite().all()
    error = (first.mean(-2) - y).abs().mean() / (E.mean(-2) - y).abs().mean()
    assert error.item() < 0.7


def test_standardised_noise_leaves_the_mean_of_members_less_noise():
    E = torch.zeros(500, 20, 1, dtype=torch.float64)
    y = torch.full((500, 1), torch.nan, dtype=torch.float64)
    y[:, 0] = 1e-3  # observed, so badly that nothing follows
    spread = {}
    for standardised in (False, True):
        filter = made(Identity(1), 1e3, solver="exponential", standardised=standardised)
        spread[standardised] = filter.analyse(Ensemble(E), y, stream("start")).mean.std().item()
    assert spread[False] == pytest.approx((0.025 / 20) ** 0.5, rel=0.1)
    assert spread[True] < 1e-6


# -- interpolated observations --------------------------------------------------------------------


def test_interpolated_observations_are_used_as_if_all_points_had_been_observed():
    E = states(8, 360)
    y = GRID(states(360, name="truth"))
    std = 0.3 * torch.ones(len(y))
    one = made(GRID, std, members=8, interpolated=True)
    other = made(Identity(360), 0.3, members=8)
    a = one.analyse(Ensemble(E), y, stream("full")).members
    b = other.analyse(Ensemble(E), GRID.interpolated(y), stream("full")).members
    torch.testing.assert_close(a, b)
    assert one.likelihood(Ensemble(E), y).count == len(y)


def test_interpolated_saturated_observations_saturate_everywhere():
    observe = ArctanEveryKth((1, 9, 9), 3, 1, 2.0)
    filter = made(observe, 0.01, members=4, interpolated=True)
    x = torch.full((4, 81), 0.7, dtype=torch.float64)
    score = filter.likelihood_score(x, observe(x)[0])
    torch.testing.assert_close(score, torch.zeros_like(score), rtol=0, atol=1e-9)


def test_an_operator_without_a_grid_is_not_interpolated():
    filter = made(Subset((0, 2)), members=4, interpolated=True)
    with pytest.raises(ValueError, match="Subset sees no grid.*every_kth"):
        filter.analyse(Ensemble(states(4, 4)), torch.zeros(2), stream("x"))


# -- stability ------------------------------------------------------------------------------------


def test_a_hundred_steps_need_errors_of_eight_hundredths():
    assert Diffusion().least_error() == pytest.approx(0.08, abs=0.005)
    assert Diffusion().steepness(1.01 * Diffusion().least_error()) < 2
    assert Diffusion().steepness(0.99 * Diffusion().least_error()) > 2


def test_what_is_too_steep_is_refused_or_where_it_is_allowed_told(caplog):
    belief, y = Ensemble(states(4, 4)), torch.tensor([0.5, torch.nan])
    filter = made(Subset((1, 3)), 0.02, members=4, clip=None)
    message = (
        "100 steps .* error of 0.02 in diffusion units .* give about .* error of at least 0.07"
    )
    with pytest.raises(ValueError, match=message):
        filter.analyse(belief, y, stream("x"))
    with pytest.raises(ValueError, match=message + ".*allow_unstable=True leaves it to the clip"):
        replace(filter, clip=1000.0).analyse(belief, y, stream("x"))
    with pytest.raises(ValueError, match=message):
        replace(filter, allow_unstable=True).analyse(belief, y, stream("x"))
    clipped = replace(filter, clip=1000.0, allow_unstable=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            clipped.analyse(belief, y, stream("x"))
    assert caplog.text.count("the clip at 1000 keeps samples finite") == 1
    for stable in (
        replace(filter, scale=10.0),
        replace(filter, steps=1400),
        replace(filter, observe=Arctan(0.1, (1, 3))),
    ):
        assert stable.analyse(belief, y, stream("x")).members.isfinite().all()
    filter.analyse(belief, y * torch.nan, stream("x"))
    with pytest.raises(ValueError, match="a larger eps_alpha"):
        replace(filter, eps_alpha=0.001).analyse(belief, y, stream("x"))


def test_with_a_clip_samples_remain_finite_where_the_scheme_is_unstable():
    E, y = states(8, 5), states(5, name="y")
    filter = made(Identity(5), 0.002, members=8, allow_unstable=True)
    assert filter.analyse(Ensemble(E), y, stream("clip")).members.abs().amax() < 100


@pytest.mark.parametrize("observe", [Identity(5), Opaque(Identity(5)), Linear(torch.eye(5))])
@pytest.mark.parametrize("settings", [{}, {"clip": None}, {"prior": "mixture"}])
def test_steps_too_long_are_refused_whatever_the_operator(observe, settings):
    E, y = states(8, 5), states(5, name="y")
    made(observe, 1.05 * Diffusion().least_error(), members=8, **settings).analyse(
        Ensemble(E), y, stream("clip")
    )
    with pytest.raises(ValueError, match="100 steps of pseudo-time are too few"):
        made(observe, 0.95 * Diffusion().least_error(), members=8, **settings).analyse(
            Ensemble(E), y, stream("clip")
        )


def test_a_steep_place_is_found_by_the_members_that_are_there():
    """h(x) = x³ has the slope 3 x²: harmless near 0.3, too steep near 3."""
    filter = made(lambda x: x**3, 0.1, members=8)
    near = Ensemble(0.3 + 0.01 * states(8, 5))
    assert filter.analyse(near, torch.zeros(5), stream("cube")).members.isfinite().all()
    with pytest.raises(ValueError, match="too few for an observation error of 0.003"):
        filter.analyse(Ensemble(near.members + 2.7), torch.full((5,), 27.0), stream("cube"))


def test_no_number_of_steps_is_looked_for_without_end():
    with pytest.raises(ValueError, match="give more than 1[0-9]{5} steps"):
        made(Identity(5), 1e-9, members=8).analyse(
            Ensemble(states(8, 5)), states(5, name="y"), stream("clip")
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior": "pared"}, "unknown prior 'pared'; known: paired, mixture"),
        ({"solver": "heun"}, "unknown solver 'heun'; known: exponential, ode_euler, sde_euler"),
        ({"minibatch": 5}, "a minibatch of 5 with the paired prior"),
        ({"minibatch": 50, "prior": "mixture"}, "a mixture takes 1 to 20"),
        ({"eps_alpha": 0.0}, "eps_alpha is 0.0"),
        ({"eps_beta": -0.1}, "eps_beta is -0.1"),
        ({"steps": 0}, "steps is 0, at least 1 is needed"),
        ({"std": 0.0}, "std is 0.0; it has to be positive"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        made(Identity(4), **settings)


# -- a chaotic system -----------------------------------------------------------------------------


def test_a_ring_of_a_thousand_sites_is_tracked_through_saturating_instruments():
    """y = arctan(x) + 0.05 ξ every 0.1 time units, from members that know nothing of the truth."""
    size, times = 1000, 40
    step = RK4(0.01, 10).flow(Lorenz96(size))
    truth = 3 * normal((size,), stream("ring", "truth"), torch.float32)
    for _ in range(100):
        truth = step(truth)
    series = []
    for _ in range(times):
        truth = step(truth)
        series.append(truth)
    series = torch.stack(series)
    y = noisy(Arctan(), series, 0.05, stream("ring", "observations"))
    filter = EnSF(
        step=step, observe=Arctan(), obs_std=0.05, scale=1.0, steps=500, standardised=True
    )
    start = Ensemble(normal((20, size), stream("ring", "members"), torch.float32))
    beliefs = cycle(filter, start, y, stream("ring", "filter"))
    found = torch.stack([analysis.mean for _, analysis in beliefs])
    rmse = (found - series).square().mean(-1).sqrt()
    free = start.members
    for _ in range(times):
        free = step(free)
    assert rmse[30:].max().item() < 0.35
    assert rmse[30:].max().item() < 0.1 * (free.mean(0) - truth).square().mean().sqrt().item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("observe", "said"),
    [
        (lambda x: (10 * x).round() / 10, "rounds or counts"),
        (lambda x: 1 * x.detach(), "detaches its argument"),
        (lambda x: torch.from_numpy(x.numpy().copy()), "has no derivative"),
    ],
    ids=["rounded", "detached", "numpy"],
)
def test_an_operator_without_derivative_is_refused(observe, said, dtype):
    """Its score would be 0, and observations would tell nothing."""
    E = normal((8, 3), stream("flat"), dtype)
    filter = made(observe, members=8)
    with pytest.raises(ValueError, match=f"observe.. .*{said}.*tangent"):
        filter.analyse(Ensemble(E), torch.ones(3, dtype=dtype), stream("noise"))


def test_an_operator_that_is_flat_where_members_are_leaves_them():
    """relu of members below 0: it has a derivative, of which nothing is known there."""
    E = -normal((8, 3), stream("flat")).abs() - 1
    for y in (torch.zeros(3).double(), torch.full((3,), torch.nan).double()):
        found = made(torch.relu, members=8).analyse(Ensemble(E), y, stream("noise"))
        assert found.members.isfinite().all()
