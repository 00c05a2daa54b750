"""Learning rates chosen by the loss on held-out observations."""

import copy
from pathlib import Path

import pytest
import torch

from dalib.cases.observed import observations
from dalib.cases.truth import truth
from papers.adda import learning
from papers.adda import tuning as learning_tuned
from papers.adda.learning import learned
from papers.adda.tuning import best, tuned
from pipeline import settings

REPEATS, TIMES, NAME = 2, 20, "1/lab/orbit/tuned"
ERRORS = {"obs_variance": {"vary": {"obs_variance": [0.1, 1.0]}}}
SPLITS = {"seeds": 2 * REPEATS, "samples": TIMES}


@pytest.fixture(scope="module")
def sections():
    """An orbit whose rate is ten times too high, and filters that learn it from 20 positions."""
    config = settings.load(Path(__file__).parents[3], {"scale": "smoke"})["adda"]
    case, model = config["cases"]["cw"], config["learning"]["cw"]
    case["truth"] |= {split: SPLITS for split in ("train", "valid", "test")}
    kept = ("enkf", "var3d_c")
    model |= {"learned": {name: model["learned"][name] for name in kept}, "jobs": 1, "grids": {}}
    model |= {"base": {"start_variance": 1e-4, "obs_variance": 0.1, "members": 25}}
    model["sweeps"] = ERRORS
    model["training"] |= {"repeats": REPEATS, "trajectories": 2, "test_trajectories": 2}
    model["training_of"] = {}
    candidates = {"map": [1e-12, 0.1], "noise": [0.1], "filter": [0.1]}
    model["tune"] = {"candidates": candidates, "epochs": 3, "last": 1, "per": "repeat"}
    return {"case": case, "model": model, "training": model["training"]}


@pytest.fixture(scope="module")
def data(sections):
    return [
        observations(sections["case"], truth(sections["case"], split, "1"), split, "1")
        for split in ("train", "valid")
    ]


@pytest.fixture
def other(sections):
    """The sections with another tuning; where nothing else is said, of the EnKF at one point."""

    def made(filters=("enkf",), sweeps=None, candidates=None, **tune):
        found = copy.deepcopy(sections)
        found["model"]["learned"] = {n: found["model"]["learned"][n] for n in filters}
        found["model"]["sweeps"] = sweeps or {}
        found["model"]["tune"] |= tune
        found["model"]["tune"]["candidates"] |= candidates or {}
        return found

    return made


@pytest.fixture
def learnings(monkeypatch):
    """What `learn` gave, call by call."""
    found, original = [], learning.learn

    def learn(*arguments, **named):
        found.append(original(*arguments, **named))
        return found[-1]

    monkeypatch.setattr(learning, "learn", learn)
    return found


@pytest.fixture
def diverging(monkeypatch):
    """Learnings at a rate above 1 have no finite held-out loss."""
    original = learning.learn

    def learn(make, learnables, prior, y, settings, **named):
        made = original(make, learnables, prior, y, settings, **named)
        made.history.held_out[settings.rates["map"] > 1] = torch.nan
        return made

    monkeypatch.setattr(learning, "learn", learn)


def job(function, sections, data, **more):
    return function(sections, *data, batch={"index": 0}, experiment=NAME, device="cpu", **more)


def test_a_candidate_that_cannot_learn_loses_in_every_repeat(other, data):
    """The true system has no noise: what stays at the first variance does worse."""
    sections = other(sweeps=ERRORS, candidates={"map": [0.1], "noise": [1e-12, 0.1]})
    sections["training"] |= {"segment": 5}
    found = job(tuned, sections, data)
    assert found.rate.dims == ("run", "repeat", "group") and found.sizes["run"] == 2
    assert (found.rate.sel(group="noise") == 0.1).all()
    assert (found.held_out.isel(candidate=1) < found.held_out.isel(candidate=0)).all()
    assert found.candidate_rate.values.tolist() == [[0.1, 1e-12, 0.1], [0.1, 0.1, 0.1]]
    assert set(found["filter"].values) == {"enkf"}


def test_candidates_of_a_repeat_share_first_models_members_and_noise(other, data, learnings):
    job(tuned, other(candidates={"filter": [0.1, 1.0]}), data)
    (one,) = learnings
    loss = one.history.loss.unflatten(0, (4, REPEATS))  # one segment: the first before any update
    torch.testing.assert_close(loss[:, :, 0], loss[:1, :, 0].expand(4, -1), rtol=1e-10, atol=0)
    assert (loss[0, 0, 0] != loss[0, 1, 0]) and len(loss[:, 0, 2].unique()) == 4


@pytest.mark.parametrize("per", ["repeat", "experiment"])
def test_the_learning_begins_as_the_tuning_at_the_chosen_rates(other, data, learnings, per):
    """Same first models, members and noise: the tuning's own runs are gone through again."""
    sections = other(per=per, repeats=REPEATS, candidates={"map": [1e-12, 0.03, 0.1]})
    found = job(tuned, sections, data)
    _, history = job(learned, sections, data, rates={"tuned": found})
    loss = learnings[0].history.loss.unflatten(0, (3, REPEATS))
    chosen = [[1e-12, 0.03, 0.1].index(rate) for rate in found.rate.sel(group="map").values[0]]
    expected = loss[chosen, range(REPEATS), : history.sizes["epoch"]].numpy()
    torch.testing.assert_close(history.loss.values[0], expected, rtol=1e-8, atol=0)
    assert (history.rate_map.values == found.rate.sel(group="map").values).all()


def test_one_choice_is_shared_by_all_repeats_and_points(other, data):
    sections = other(filters=("enkf", "var3d_c"), sweeps=ERRORS, per="experiment")
    found = job(tuned, sections, data)
    assert found.sizes["run"] == 2 and found.sizes["repeat"] == 1
    _, history = job(learned, sections, data, rates={"tuned": found})
    chosen = dict(
        zip(found["filter"].values, found.rate.sel(group="map").values[:, 0], strict=True)
    )
    assert history.rate_map.shape == (4, REPEATS)
    for name, rates in zip(history["filter"].values, history.rate_map.values, strict=True):
        assert (rates == chosen[name]).all()


def test_repeats_choose_for_themselves_or_together():
    """(point, repeat, candidate): the mean favours the second candidate."""
    loss = torch.tensor([[[1.0, 2.0], [9.0, 3.0]]])
    assert best(loss, shared=False).tolist() == [[0, 1]]
    assert best(loss, shared=True).tolist() == [[1, 1]]


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_loses(lost):
    assert best(torch.tensor([[[lost, 7.0, 5.0]]]), shared=False).tolist() == [[2]]
    spoilt = torch.tensor([[[0.0, 7.0], [lost, 8.0]]])
    assert best(spoilt, shared=True).tolist() == [[1, 1]]


@pytest.mark.usefixtures("diverging")
def test_a_candidate_that_diverges_loses_and_its_score_is_missing(other, data):
    found = job(tuned, other(candidates={"map": [10.0, 0.1]}), data)
    assert found.held_out.isnull().values[0].tolist() == [[True, False]] * REPEATS
    assert (found.rate.sel(group="map") == 0.1).all()


@pytest.mark.usefixtures("diverging")
@pytest.mark.parametrize("per", ["repeat", "experiment"])
def test_a_filter_without_a_finite_candidate_is_named(other, data, per):
    with pytest.raises(
        ValueError, match="'enkf'.*smallest candidates are map 10, .*give smaller ones"
    ):
        job(tuned, other(candidates={"map": [10.0, 20.0]}, per=per), data)


def test_candidates_that_differ_in_nothing_a_filter_learns_run_once(other, data, learnings):
    sections = other(filters=("var3d_c",), candidates={"noise": [0.01, 0.1]})
    found = job(tuned, sections, data)
    assert len(learnings[0].history.loss) == 2 * REPEATS and found.sizes["candidate"] == 4
    held_out = found.held_out.values.reshape(REPEATS, 2, 2)
    assert (held_out[:, :, 0] == held_out[:, :, 1]).all()
    assert found.rate.sel(group="noise").isnull().all()
    job(learned, sections, data, rates={"tuned": found})


def test_more_epochs_than_there_are_cannot_be_averaged(other, data):
    with pytest.raises(ValueError, match="last 5 epochs, but tune.epochs is 3"):
        job(tuned, other(last=5), data)


def test_rates_of_other_points_are_refused(other, data):
    found = job(tuned, other(), data)
    sections = other(sweeps=ERRORS)
    with pytest.raises(ValueError, match=r"no learning rates were tuned for 'enkf' at .*1\.0"):
        job(learned, sections, data, rates={"tuned": found})


class Interrupted:
    """Ends the job at an update, and gives what it then had to who comes next."""

    def __init__(self, at):
        self.left, self.kept = at, None

    def load(self):
        return copy.deepcopy(self.kept)

    def save(self, state):
        self.left -= 1
        if not self.left:
            self.kept = copy.deepcopy(state())
            raise InterruptedError


@pytest.mark.parametrize("at", [2, 4])
def test_a_tuning_that_goes_on_chooses_and_scores_the_same(other, data, at, monkeypatch):
    """Three updates for each of the two filters: interrupted in the first, then in the second."""
    sections = other(filters=("enkf", "var3d_c"))
    whole, checkpoint = job(tuned, sections, data), Interrupted(at)
    with pytest.raises(InterruptedError):
        job(tuned, sections, data, checkpoint=checkpoint)
    assert len(checkpoint.kept["finished"]) == (at - 1) // 3
    assert whole.identical(job(tuned, sections, data, checkpoint=checkpoint))


def test_without_a_tuning_the_given_rates_count(other, data):
    _, history = job(learned, other(), data)
    assert not [name for name in history if str(name).startswith("rate_")]


def test_the_experiment_is_tuned_with_its_own_epochs_repeats_and_points(sections):
    differing = {**sections, "training_of_enkf": {"segment": 5}}
    differing["model"] = sections["model"] | {
        "tune": sections["model"]["tune"] | {"per": "experiment"}
    }
    found = learning_tuned.tuning_section(differing)
    assert found["sweeps"] == {} and found["training"]["repeats"] == 1
    assert found["training_of"] == {"enkf": {"segment": 5, "epochs": 3, "repeats": 1}}
    assert learning_tuned.tuning_section(sections)["training"]["repeats"] == REPEATS
