"""Learning through filters: gradients, batches of runs, guards, and what is learned."""

import dataclasses
import math

import pytest
import torch

from dalib.filters import Ensemble, Gaussian
from dalib.filters.ekf import EKF
from dalib.filters.enkf import EnKF
from dalib.filters.etkf import ETKF
from dalib.filters.hybrid import Ens3DVar
from dalib.filters.letkf import LETKF
from dalib.filters.local_enkf import LocalEnKF
from dalib.filters.variational import FixedGain, Var3D
from dalib.integrate import RK4, trajectory
from dalib.learn import Decay, Learnable, Learning, Plateau, learn
from dalib.learn.follow import follow
from dalib.learn.scores import crps, energy
from dalib.learn.segment import Series
from dalib.localise import Localisation, gaspari_cohn, ring_distance
from dalib.observe import MovingSubset, Subset, noisy
from dalib.streams import Streams, normal, stream, streams
from dalib.systems.lorenz import Lorenz96

SIZE, MEMBERS = 8, 10
HALF = Subset(tuple(range(0, SIZE, 2)))
RATES = {"map": 0.1, "noise": 0.1, "filter": 0.01}
SITES = torch.arange(SIZE).double()
TAPER = Localisation(matrix=gaspari_cohn(ring_distance(SITES[:, None], SITES, SIZE) / 2))


def lorenz(forcing, axes=3):
    """The map with a forcing (run,), for states with three axes after the run's."""
    return RK4(0.05).flow(Lorenz96(SIZE, forcing.reshape(-1, *[1] * (axes - 1))))


def data(runs=1, trajectories=2, times=20, seed=0, dtype=torch.float64):
    """A prior (run, trajectory, ...) and observations of every second site."""
    generators = streams("learn", range(seed, seed + runs), "data")
    x0 = 8 + normal((runs, trajectories, SIZE), generators)
    truth = trajectory(RK4(0.05).flow(Lorenz96(SIZE)), x0, 100 + times)[..., 100:, :]
    y = noisy(HALF, truth[..., 1:, :], 1.0, generators)
    prior = Gaussian(truth[..., 0, :].to(dtype), torch.eye(SIZE, dtype=dtype))
    return prior, y.to(dtype)


def noise(runs=1, seed=0):
    return streams("learn", range(seed, seed + runs), "filter")


def learnables(runs=1, forcing=6.0, dtype=torch.float64):
    one = torch.ones(runs, dtype=dtype)
    return {
        "forcing": Learnable(forcing * one),
        "noise": Learnable(0.1 * one, "softplus", "noise"),
        "inflation": Learnable(0.1 * one, "sigmoid", "filter"),
    }


def etkf(values):
    return ETKF(
        step=lorenz(values["forcing"]),
        observe=HALF,
        obs_std=1.0,
        members=MEMBERS,
        inflation=1 + values["inflation"][:, None],
        model_error_std=values["noise"].sqrt()[:, None, None, None],
    )


def var3d(values):
    """The `inflation` stands for the variance of the background."""
    B = 10 * values["inflation"][:, None, None, None] * torch.eye(SIZE).to(values["forcing"])
    return Var3D(
        step=lorenz(values["forcing"], axes=2),
        observe=HALF,
        obs_std=1.0,
        background=Gaussian(B.new_zeros(SIZE), B),
    )


def ekf(values):
    return EKF(
        step=lorenz(values["forcing"], axes=2),
        observe=HALF,
        obs_std=1.0,
        model_error_std=0.3,
        inflation=1 + values["inflation"][:, None],
    )


def ensemble(kind, **more):
    """A filter with learned forcing, noise and (by `more`) one number of the filter's own."""

    def make(values):
        own = {name: value(values["inflation"]) for name, value in more.items()}
        return kind(
            step=lorenz(values["forcing"]),
            observe=HALF,
            obs_std=1.0,
            members=MEMBERS,
            model_error_std=values["noise"].sqrt()[:, None, None, None],
            **own,
        )

    return make


def fixed_gain(values):
    K = torch.zeros(SIZE, SIZE // 2).double()
    K[list(HALF.index), torch.arange(SIZE // 2)] = 1.0
    return FixedGain(
        step=lorenz(values["forcing"], axes=2),
        observe=HALF,
        obs_std=1.0,
        gain=values["inflation"][:, None, None, None] * K + values["noise"][:, None, None, None],
    )


BACKGROUND = Gaussian(torch.zeros(SIZE).double(), torch.eye(SIZE).double() + 0.3)
MAKERS = {
    "enkf": (ensemble(EnKF, inflation=lambda v: 1 + v[:, None]), 3),
    "etkf": (etkf, 3),
    "letkf": (ensemble(LETKF, localisation=lambda v: TAPER, inflation=lambda v: 1 + v[:, None]), 3),
    "ens3dvar": (
        ensemble(Ens3DVar, background=lambda v: BACKGROUND, weight=lambda v: v[:, None]),
        3,
    ),
    "localised_enkf": (
        ensemble(LocalEnKF, localisation=lambda v: TAPER, scale=lambda v: 1 + v[:, None]),
        3,
    ),
    "var3d": (var3d, 2),
    "fixed_gain": (fixed_gain, 3),
    "ekf": (ekf, 2),
}


# -- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_the_gradient_of_a_segment_is_that_of_central_differences(name):
    make, used = MAKERS[name]
    names = ("forcing", "inflation", "noise")[:used]
    prior, y = data(runs=2, times=6)
    loss = "misfit" if name == "fixed_gain" else "likelihood"

    def total(theta):
        values = dict(zip(("forcing", "inflation", "noise"), theta.unbind(1), strict=True))
        filter, generators = make(values), noise(2)
        first = filter.start(expanded(prior, y), generators)
        series = Series(type(first)(*(v.detach() for v in first)), y, loss, None, 1e3)
        passed = series.through(filter, series.first, range(6), generators)
        assert not passed.lost.any()
        return passed.scores.sum((0, 2))

    theta = torch.tensor([[7.0, 0.3, 0.1], [8.5, 0.2, 0.2]]).double()
    theta.requires_grad_()
    gradient = torch.autograd.grad(total(theta).sum(), theta)[0]
    for column, _ in enumerate(names):
        step = torch.zeros_like(theta).detach()
        step[:, column] = 1e-4
        with torch.no_grad():
            slope = (total(theta + step) - total(theta - step)) / 2e-4
        torch.testing.assert_close(gradient[:, column], slope, rtol=1e-5, atol=1e-7)
        assert (slope.abs() > 1e-3).all()


def expanded(prior, y):
    leading = y.shape[:2]
    return Gaussian(prior.mean.expand(*leading, -1), prior.cov.expand(*leading, -1, -1))


@pytest.mark.parametrize("loss", ["likelihood", "misfit", "crps", "energy"])
def test_a_single_segment_is_full_backpropagation(loss):
    """The first update of Adam moves every latent by its rate: its moments hold the gradient."""
    prior, y = data(times=6)
    states = []
    settings = Learning(1, RATES, segment=6, clip=1e9)
    learn(
        etkf,
        learnables(),
        prior,
        y,
        settings,
        loss=loss,
        save=lambda state: states.append(state()),
        generator=noise(),
    )
    found = {name: m.item() / 0.1 for name, m in states[0]["adam"]["first"].items()}

    latents = {name: one.first(name).requires_grad_() for name, one in learnables().items()}
    filter = etkf({name: one.value(latents[name]) for name, one in learnables().items()})
    generator, total = noise(), 0.0
    belief = filter.start(expanded(prior, y), generator)
    for k in range(6):
        forecast = filter.forecast(belief, generator)
        if loss == "likelihood":
            constant = 0.5 * y.shape[-1] * math.log(2 * math.pi)
            total = total - (filter.log_likelihood(forecast, y[:, :, k]) + constant).mean()
        elif loss == "crps":
            total = total + crps(filter, forecast, y[:, :, k]).mean() / 6
        elif loss == "energy":
            total = total + energy(filter, forecast, y[:, :, k], generator).mean() / 6
        else:
            d = y[:, :, k] - HALF(forecast.members).mean(-2)
            total = total + d.square().sum(-1).mean() / 6
        belief = filter.analyse(forecast, y[:, :, k], generator)
    total.backward()
    assert found == pytest.approx({n: latent.grad.item() for n, latent in latents.items()})


def test_gradients_of_a_group_are_clipped_for_each_run():
    prior, y = data(runs=2, times=4)
    states = []

    def moments(clip):
        settings = Learning(1, RATES, segment=4, clip=clip)
        learn(
            etkf,
            learnables(2),
            prior,
            y,
            settings,
            save=lambda state: states.append(state()["adam"]["first"]),
            generator=noise(2),
        )
        return states[-1]

    free, clipped = moments(1e9), moments(0.3)
    for name in free:
        norm = free[name].abs() / 0.1  # each group has one number
        expected = free[name] * (0.3 / norm).clamp(max=1)
        torch.testing.assert_close(clipped[name], expected)
    changed = [clipped[name] != free[name] for name in free]
    assert torch.cat(changed).any() and not torch.cat(changed).all()


# -- many runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [etkf, MAKERS["enkf"][0], MAKERS["ens3dvar"][0]])
def test_runs_together_are_runs_alone(make):
    """Also with rates of their own, a schedule, and a last segment that is shorter."""
    prior, y = data(runs=3, times=15)
    rates = torch.tensor([0.05, 0.1, 0.2])

    def run(which):
        settings = Learning(
            3, RATES | {"map": rates[which]}, segment=6, schedule=Plateau(patience=0, threshold=0.1)
        )
        return learn(
            make,
            learnables(len(rates[which])),
            Gaussian(prior.mean[which], prior.cov),
            y[which],
            settings,
            held_out=(Gaussian(prior.mean[which], prior.cov), y[which].flip(1)),
            generator=Streams(noise(3).generators[which]),
        )

    together = run(slice(None))
    for r in range(3):
        alone = run(slice(r, r + 1))
        for name, value in alone.values.items():
            torch.testing.assert_close(together.values[name][[r]], value, rtol=1e-10, atol=1e-10)
        for name in ("loss", "held_out", "factor"):
            one, other = getattr(together.history, name)[[r]], getattr(alone.history, name)
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def diverging(run, at):
    """The ETKF with a model whose states leave all bounds in one run, where one is above `at`."""

    def make(values):
        filter = etkf(values)

        def step(x):
            away = torch.zeros(len(x), 1, 1, 1, dtype=torch.bool)
            away[run] = True
            far = (filter.step(x) * 1e200) ** 2
            return torch.where(away & (x.amax((-2, -1), keepdim=True) > at), far, filter.step(x))

        return ETKF(**{**vars(filter), "step": step})

    return make


def test_a_run_that_never_is_finite_leaves_the_others_alone():
    prior, y = data(runs=3, times=12)
    settings = Learning(2, RATES, segment=5)
    arguments = (learnables(3), prior, y, settings)
    lost = learn(
        diverging(1, -1e9), *arguments, held_out=(prior, y), keep=["noise"], generator=noise(3)
    )
    whole = learn(etkf, *arguments, held_out=(prior, y), keep=["noise"], generator=noise(3))
    others = [0, 2]

    def same(one, other):  # but for the round-off of sums in another order
        torch.testing.assert_close(one[others], other[others], rtol=1e-12, atol=1e-12)

    for name in whole.values:
        same(whole.values[name], lost.values[name])
        assert lost.values[name][1].isnan()
    same(whole.history.loss, lost.history.loss)
    same(whole.history.held_out, lost.history.held_out)
    assert lost.history.loss[1].isnan().all() and lost.history.held_out[1].isnan().all()
    assert lost.history.restarts.tolist() == [[0, 0], [24, 24], [0, 0]]
    assert lost.history.skipped.tolist() == [[0, 0], [3, 3], [0, 0]]
    assert whole.history.skipped.sum() == whole.history.restarts.sum() == 0


def test_a_trajectory_that_is_lost_does_not_spoil_its_run():
    """The gradient is that of the times before; 0 times the infinite slope does not enter it."""
    prior, y = data(times=3)
    y[0, 1, 1] = 60.0  # the analysis is drawn to where the next step overflows

    def loss_and_gradient(trajectory, times):
        values = {name: one.start.clone().requires_grad_() for name, one in learnables().items()}
        filter = var3d(values)
        near = filter.step

        def step(x):
            return torch.where(x.amax(-1, keepdim=True) > 30, (near(x) * 1e200) ** 2, near(x))

        filter = Var3D(**{**vars(filter), "step": step})
        given = y[:, trajectory]
        first = filter.start(expanded(Gaussian(prior.mean[:, trajectory], prior.cov), given), None)
        first = Gaussian(*(value.detach() for value in first))
        passed = Series(first, given, "likelihood", None, 1e3).through(
            filter, first, range(times), None
        )
        passed.scores.sum().backward()
        return passed, values["forcing"].grad

    passed, both = loss_and_gradient(slice(None), 3)
    assert passed.lost.nonzero().tolist() == [[2, 0, 1]]
    _, whole = loss_and_gradient(slice(0, 1), 3)
    _, part = loss_and_gradient(slice(1, 2), 2)
    torch.testing.assert_close(both, whole + part)


def test_innovations_too_far_away_restart_their_trajectory():
    prior, y = data(runs=2, times=10)
    wild = y.clone()
    wild[0, 1, 4] = 1e6
    settings = Learning(1, RATES, segment=5)
    whole = learn(etkf, learnables(2), prior, y, settings, generator=noise(2))
    result = learn(etkf, learnables(2), prior, wild, settings, generator=noise(2))
    assert result.history.restarts.tolist() == [[1], [0]]
    assert result.history.skipped.tolist() == [[0], [0]]
    torch.testing.assert_close(
        whole.history.loss[1], result.history.loss[1], rtol=1e-12, atol=1e-12
    )
    assert result.history.loss[0] < 100  # the time that was left out does not stand in it
    misfit = learn(etkf, learnables(2), prior, wild, settings, loss="misfit", generator=noise(2))
    assert misfit.history.restarts.tolist() == [[1], [0]]


def test_restarted_trajectories_are_at_their_first_belief():
    prior, y = data(runs=2, times=3)
    y[0, 1, 1] = 1e9
    filter = etkf({name: one.start for name, one in learnables(2).items()})
    first = filter.start(expanded(prior, y), noise(2))
    series = Series(first, y, "likelihood", None, 1e3)
    for cautious in (False, True):
        passed = series.through(filter, first, range(2), noise(2), cautious=cautious)
        assert passed.lost.nonzero().tolist() == [[1, 0, 1]]
        assert passed.scores[1, 0, 1] == 0
        same = (passed.belief.members == first.members).flatten(2).all(-1)
        assert same.tolist() == [[False, True], [False, False]]


def test_members_beyond_the_limit_are_clamped_and_counted():
    prior, y = data(runs=2, times=3)
    filter = etkf({name: one.start for name, one in learnables(2).items()})
    first = filter.start(expanded(prior, y), noise(2))
    limit = 6.0
    forecast = filter.forecast(first, noise(2)).members
    passed = Series(first, y, "likelihood", limit, 1e3).through(filter, first, range(1), noise(2))
    expected = (forecast.abs() > limit).any(-1).sum((1, 2))
    assert expected.any() and passed.clamped.tolist() == expected.tolist()
    clamped = filter.analyse(Ensemble(forecast.clamp(-limit, limit)), y[:, :, 0], noise(2))
    torch.testing.assert_close(passed.belief.members, clamped.members)
    settings = Learning(1, RATES, segment=2, limit=limit)
    assert (
        learn(etkf, learnables(2), prior, y, settings, generator=noise(2))
        .history.clamped.gt(0)
        .all()
    )


def test_missing_observations_are_left_out():
    prior, y = data(times=6)
    y[0, 0, 2] = torch.nan
    y[0, 1, 3, :2] = torch.nan
    for loss in ("likelihood", "misfit"):
        result = learn(
            etkf,
            learnables(),
            prior,
            y,
            Learning(1, RATES, segment=3),
            loss=loss,
            generator=noise(),
        )
        assert result.history.loss.isfinite().all() and not result.history.skipped.any()
        assert not result.history.restarts.any()


# -- what is learned -----------------------------------------------------------------------------


def test_the_forcing_is_learned_from_half_of_the_components():
    prior, y = data(runs=2, trajectories=4, times=100)
    result = learn(
        etkf,
        learnables(2),
        prior,
        y,
        Learning(4, RATES, segment=10, schedule=Decay(after=(2, 3), factor=0.2)),
        keep=["forcing"],
        generator=noise(2),
    )
    path = result.history.values["forcing"]
    assert path.shape == (2, 5) and (path[:, 0] == 6).all()
    assert result.values["forcing"].tolist() == pytest.approx([8, 8], abs=0.2)
    assert (result.history.loss[:, -1] < result.history.loss[:, 0]).all()


@pytest.mark.parametrize("make", [fixed_gain, var3d])
def test_the_misfit_learns_too(make):
    prior, y = data(runs=2, trajectories=24, times=20)  # of one, a filter can lose the track
    given = learnables(2)
    given["inflation"] = Learnable(torch.full((2,), 0.5).double(), "sigmoid", "filter")
    if make is var3d:
        del given["noise"]
    result = learn(
        make,
        given,
        prior,
        y,
        Learning(10, RATES, segment=10),
        loss="misfit",
        generator=noise(2),
    )
    assert (result.values["forcing"] - 8).abs().max() < 0.6


def test_operators_that_change_with_time_are_followed():
    prior, _ = data(times=6)
    moving = MovingSubset(tuple((k % SIZE, (k + 3) % SIZE) for k in range(6)))
    y = 2.0 + normal((1, 2, 6, 2), stream("moving"))

    def make(values):
        return ETKF(**{**vars(etkf(values)), "observe": moving})

    settings = Learning(1, RATES, segment=4)
    assert learn(make, learnables(), prior, y, settings, generator=noise()).history.loss.isfinite()
    with pytest.raises(ValueError, match="no operator for the last of them"):
        longer = torch.cat([y, y], 2)
        learn(make, learnables(), prior, longer, settings, generator=noise())


def test_held_out_losses_have_the_same_noise_in_every_epoch_and_do_not_touch_the_learning():
    prior, y = data(runs=2, times=8)
    other = data(runs=2, times=6, seed=5)
    still = Learning(3, {"map": 0.0, "noise": 0.0, "filter": 0.0}, segment=4)
    result = learn(etkf, learnables(2), prior, y, still, held_out=other, generator=noise(2))
    assert (result.history.held_out == result.history.held_out[:, :1]).all()
    assert not (result.history.loss == result.history.loss[:, :1]).all()
    moving = Learning(2, RATES, segment=4)
    with_it = learn(etkf, learnables(2), prior, y, moving, held_out=other, generator=noise(2))
    without = learn(etkf, learnables(2), prior, y, moving, generator=noise(2))
    assert without.history.held_out is None
    assert torch.equal(with_it.values["forcing"], without.values["forcing"])


def test_single_precision_is_kept():
    prior, y = data(times=4, dtype=torch.float32)
    given = learnables(dtype=torch.float32)
    result = learn(etkf, given, prior, y, Learning(1, RATES, segment=2), generator=noise())
    assert {value.dtype for value in result.values.values()} == {torch.float32}


# -- interruption --------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [1, 3, 4, 7])
def test_what_is_resumed_is_what_was_never_interrupted(tmp_path, stop):
    prior, y = data(runs=2, times=10)
    y[0, 1, 4] = 1e6  # with a restart
    settings = Learning(
        3, RATES, segment=4, limit=20.0, schedule=Plateau(patience=0, threshold=0.5)
    )
    saved = []

    def run(resume=None):
        return learn(
            etkf,
            learnables(2),
            prior,
            y,
            settings,
            held_out=data(runs=2, times=6, seed=5),
            keep=["forcing"],
            save=lambda state: saved.append(state()),
            resume=resume,
            generator=noise(2),
        )

    whole = run()
    torch.save(saved[stop - 1], tmp_path / "state.pt")
    count = len(saved)
    resumed = run(torch.load(tmp_path / "state.pt", weights_only=True))
    assert count == 9 and len(saved) == 9 + 9 - stop
    for name, value in whole.values.items():
        assert torch.equal(resumed.values[name], value)
    for one, other in zip(whole.history[:-1], resumed.history[:-1], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(whole.history.values["forcing"], resumed.history.values["forcing"])


def test_what_is_of_another_learning_is_left_aside(caplog):
    prior, y = data(runs=2, times=4)
    states = []

    def run(given, resume=None):
        return learn(
            etkf,
            given,
            prior,
            y,
            Learning(1, RATES, segment=2),
            save=lambda state: states.append(state()),
            resume=resume,
            generator=noise(2),
        )

    whole = run(learnables(2))
    other = states[0] | {"latents": {"forcing": torch.zeros(2, 1)}}
    again = run(learnables(2), other)
    assert "of another learning" in caplog.text
    assert torch.equal(whole.values["forcing"], again.values["forcing"])


@pytest.mark.parametrize("changed", ["y", "settings", "loss", "nothing"])
def test_a_learning_does_not_continue_another(changed, caplog):
    prior, y = data(runs=2, times=4)
    states, settings = [], Learning(1, RATES, segment=2)
    save = {"save": lambda state: states.append(state())}
    learn(etkf, learnables(2), prior, y, settings, **save, generator=noise(2))
    other = {
        "y": (y + 1e-9, settings, "likelihood"),
        "settings": (y, Learning(1, RATES, segment=2, clip=5.0), "likelihood"),
        "loss": (y, settings, "misfit"),
        "nothing": (y, settings, "likelihood"),
    }[changed]
    given = {"loss": other[2], "resume": states[0], "generator": noise(2)}
    learn(etkf, learnables(2), prior, *other[:2], **given)
    assert ("of another learning" in caplog.text) == (changed != "nothing")


# -- errors --------------------------------------------------------------------------------------


def refused(error, match, **changes):
    prior, y = data(runs=2, times=4)
    given = {
        "make": etkf,
        "learnables": learnables(2),
        "prior": prior,
        "observations": y,
        "settings": Learning(1, RATES, segment=2),
        "generator": noise(2),
    }
    given |= changes
    with pytest.raises(error, match=match):
        learn(**given)


def test_a_parameter_that_does_not_reach_the_loss_is_named():
    unused = learnables(2) | {"spare": Learnable(torch.ones(2, 3))}
    refused(ValueError, "spare does not reach the loss", learnables=unused)

    def cut(values):
        return etkf({name: value.detach() for name, value in values.items()})

    refused(ValueError, "forcing, noise, inflation does not reach the loss", make=cut)


def test_a_parameter_that_an_operator_rounds_away_is_named(caplog):
    def rounding(values):
        plain = etkf(values)
        return dataclasses.replace(plain, observe=lambda x: plain.observe(x).round())

    prior, y = data(runs=2, times=4)
    for make, told in ((etkf, False), (rounding, True)):
        caplog.clear()
        learn(make, learnables(2), prior, y, Learning(1, RATES, segment=2), generator=noise(2))
        assert ("has slope 0 in forcing, noise, inflation: does step" in caplog.text) == told


def test_axes_that_do_not_fit_are_refused():
    prior, y = data(runs=2, times=4)
    refused(
        ValueError, r"\(2, 4, 4\), expected \(run, trajectory, time, obs\)", observations=y[:, 0]
    )
    refused(ValueError, "of 1 runs, the learnables of 2", observations=y[:1])
    refused(ValueError, "of 1 runs, the learnables of 2", held_out=(prior, y[:1]))
    refused(ValueError, r"with as many values as observe\(\) returns", observations=y[..., :2])
    three = learnables(2) | {"inflation": learnables(3)["inflation"]}
    refused(ValueError, "inflation starts with 3 runs, others with 2", learnables=three)
    refused(ValueError, "2 runs, but 3 random streams", generator=noise(3))
    refused(ValueError, "2 runs, but 1 random streams", generator=stream("one"))
    three = Gaussian(prior.mean[:, :1].expand(2, 3, -1), prior.cov)
    refused(ValueError, r"broadcast to \(run, trajectory\)", prior=three)
    refused(TypeError, "the prior is a Tensor", prior=prior.mean)
    refused(TypeError, "observations: a list", observations=[1.0])
    refused(ValueError, "some observations are infinite", observations=y / 0)


def test_changing_operators_with_another_number_of_values_are_refused():
    class Growing:
        def __call__(self, x):
            return HALF(x)

        def at(self, k):
            return HALF if k < 3 else Subset((0,))

    def make(values):
        return ETKF(**{**vars(etkf(values)), "observe": Growing()})

    refused(ValueError, "at time 3 observe", make=make)


def test_rates_names_and_settings_are_checked():
    settings = Learning(1, {"map": 0.1, "noise": 0.1}, segment=2)
    refused(ValueError, "inflation is of group 'filter', which has no", settings=settings)
    settings = Learning(1, RATES | {"map": torch.ones(3)})
    refused(ValueError, "each of the 2 runs", settings=settings)
    refused(ValueError, "unknown loss 'mse'; known: crps, energy, likelihood, misfit", loss="mse")
    refused(ValueError, "keep names rate; learnables are forcing", keep=["rate"])
    refused(ValueError, "nothing to learn", learnables={})
    refused(TypeError, "give Streams", generator=3)
    refused(TypeError, "gave a float without start, forecast, analyse", make=lambda v: 1.0)
    refused(TypeError, "a class", make=lambda values: ETKF)
    for change in ({"segment": 0}, {"epochs": 0}, {"segment": 2.0}):
        with pytest.raises(ValueError, match="whole number, 1 or more"):
            Learning(**({"epochs": 1, "rates": RATES} | change))
    with pytest.raises(ValueError, match="clip is -1; it has to be positive"):
        Learning(1, RATES, clip=-1)


def test_a_step_that_changes_the_shape_is_refused():
    def make(values):
        return ETKF(**{**vars(etkf(values)), "step": lambda x: x[..., None, :, :] * 1.0})

    refused(ValueError, "one step turns states of shape", make=make)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs_std": 0.0}, "obs_std is 0.0; it has to be positive"),
        ({"obs_std": torch.eye(4)}, r"obs_std has shape \(4, 4\)"),
        ({"inflation": -1.0}, "inflation is -1.0; it has to be positive"),
        ({"inflation": torch.ones(SIZE)}, r"inflation has shape \(8,\)"),
        ({"step": lambda x: x.numpy()}, r"step\(\) (gave|fails)"),
        ({"observe": lambda x: x.detach().numpy()}, r"observe\(\) gave a numpy.ndarray"),
        ({"step": lambda x: x.mul_(0.9)}, r"step\(\) changes the states it is given"),
    ],
)
def test_what_assimilate_refuses_is_refused(changes, message):
    def make(values):
        return ETKF(**{**vars(etkf(values)), **changes})

    refused((ValueError, TypeError), message, make=make)


def test_priors_and_observations_that_assimilate_refuses_are_refused():
    prior, y = data(runs=2, times=4)
    refused(ValueError, "the prior has values", prior=Gaussian(prior.mean * torch.nan, prior.cov))
    refused(TypeError, "torch.int64, not of", prior=Gaussian(prior.mean.long(), prior.cov))
    refused(TypeError, "its covariance of", prior=Gaussian(prior.mean, prior.cov.float()))
    empty = y.clone()
    empty[1, 1] = torch.nan
    refused(ValueError, r"all observations of the seeds \[3\] are NaN", observations=empty)


def test_a_series_that_starts_again_has_no_likelihood_there():
    """The misfit of a broken sensor is none of the filter's."""
    filter = EKF(step=lambda x: 1.0 * x, observe=Subset((0,)), obs_std=0.1)
    y = torch.zeros(1, 6, 1).double()
    y[0, 2] = 1e6
    found = follow(filter, Gaussian(torch.zeros(1), torch.eye(1)), y.float(), generator=stream("f"))
    assert found.restarts.tolist() == [1]
    assert found.misfit.isnan().nonzero().tolist() == [[0, 2]]
    assert found.log_det.isnan().nonzero().tolist() == [[0, 2]]
    assert found.misfit.nanmean() < 1


# -- the example ---------------------------------------------------------------------------------


def pendulum(angle, times):
    """Noisy angles (run, trajectory, time, 1) of a pendulum with rate 2."""
    x, seen = torch.tensor([angle, 0.0]), []
    for _ in range(times):
        speed = x[1] - 0.1 * 2.0 * x[0].sin()
        x = torch.stack((x[0] + 0.1 * speed, speed))
        seen.append(x[:1])
    noise = normal((times, 1), stream("pendulum"), torch.float32)
    return (torch.stack(seen) + 0.1 * noise)[None, None]


def test_the_readme_example():
    observations = pendulum(1.0, 200)

    import torch

    from dalib.filters import Gaussian
    from dalib.filters.enkf import EnKF
    from dalib.learn import Learnable, Learning, learn

    def step(x, rate):  # your model, here a pendulum: angle and speed in x (..., 2)
        angle, speed = x.unbind(-1)
        speed = speed - 0.1 * rate * angle.sin()
        return torch.stack((angle + 0.1 * speed, speed), -1)

    def make(values):  # a value (run,) meets members (run, trajectory, member, state)
        rate = values["rate"][:, None, None]
        return EnKF(step=lambda x: step(x, rate), observe=lambda x: x[..., :1], obs_std=0.1)

    prior = Gaussian(torch.tensor([1.0, 0.0]), 0.01 * torch.eye(2))
    rate = Learnable(torch.tensor([1.0]), "softplus")
    settings = Learning(epochs=10, rates={"map": 0.05})
    generator = torch.Generator().manual_seed(1)
    learned = learn(make, {"rate": rate}, prior, observations, settings, generator=generator)
    assert abs(learned.values["rate"].item() - 2) < 0.05
