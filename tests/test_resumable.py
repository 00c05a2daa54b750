"""Long loops continue as if they had not been interrupted, and never with what is another's."""

import copy
from pathlib import Path

import pytest
import torch

from dalib.resumable import Resumable
from dalib.streams import normal, stream


class Walk(Resumable):
    """A random walk; each turn needs the position, the noise and all positions before."""

    what, unit = "another walk", "step"

    def __init__(self, steps=5, width=2, generator=None):
        self.settings, self.generator = {"steps": steps}, generator or stream("walk")
        self.x, self.path = torch.zeros(width), []
        self.done, self.total = 0, steps

    def decides(self):
        return (self.settings,)

    def fixed(self):
        return {"x": self.x}

    def changing(self):
        return {"path": [*self.path]}

    def restore(self, state):
        self.x, self.path = state["x"].clone(), [*state["path"]]
        self.done = len(self.path)

    def advance(self):
        self.x = self.x + normal(tuple(self.x.shape), self.generator, torch.float32)
        self.path.append(self.x)
        self.done += 1

    def finish(self):
        return torch.stack(self.path)


def states():
    kept = []
    whole = Walk().run(save=lambda state: kept.append(copy.deepcopy(state())))
    return kept, whole


def test_a_loop_continues_from_every_turn_as_if_it_had_not_stopped(caplog):
    kept, whole = states()
    assert len(kept) == 5
    for turn, state in enumerate(kept, start=1):
        with caplog.at_level("INFO"):
            again = Walk(generator=stream("elsewhere")).run(resume=state)
        assert torch.equal(again, whole)
        assert caplog.messages[-1] == f"continues from step {turn} of 5"


def test_a_loop_that_is_saved_again_saves_the_same():
    kept, _ = states()
    later = []
    Walk().run(resume=kept[1], save=lambda state: later.append(copy.deepcopy(state())))
    assert len(later) == 3
    for own, other in zip(later, kept[2:], strict=True):
        assert own.keys() == other.keys() and own["of"] == other["of"]
        assert torch.equal(own["x"], other["x"])
        assert torch.equal(own["generators"][0], other["generators"][0])


@pytest.mark.parametrize(
    "change",
    [{"of": "x"}, {"x": torch.zeros(3)}, {"x": None}, {"generators": []}],
    ids=["settings", "shape", "no value", "generators"],
)
def test_what_is_of_another_loop_is_left_aside(change, caplog):
    kept, whole = states()
    assert torch.equal(Walk().run(resume=kept[1] | change), whole)
    assert "of another walk; starts from the beginning" in caplog.text


def test_an_empty_state_and_other_settings_are_left_aside(caplog):
    kept, whole = states()
    assert torch.equal(Walk().run(resume={}), whole)
    assert len(Walk(steps=6).run(resume=kept[1])) == 6
    assert caplog.text.count("starts from the beginning") == 2


def test_nothing_is_hashed_unless_it_is_saved_or_resumed():
    class Unhashed(Walk):
        def decides(self):
            pytest.fail("asked for what decides the result")

    Unhashed().run(save=lambda state: None)


def test_a_loop_that_is_done_takes_no_turn():
    kept, whole = states()
    assert torch.equal(Walk().run(resume=kept[-1], save=lambda state: pytest.fail("a turn")), whole)


def test_a_progress_bar_says_how_far_it_is(capsys):
    Walk().run(progress="walk")
    assert "walk: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["decides", "changing", "advance", "finish"])
def test_a_loop_that_lacks_a_part_says_so(name):
    with pytest.raises(NotImplementedError, match="Resumable"):
        getattr(Resumable(), name)()


def test_nothing_else_saves_and_continues_in_a_way_of_its_own():
    """A class that accepts what was saved, or a line that says so, has one home."""
    dalib = Path(__file__).parents[1] / "dalib"
    words = ("def accepts(", "continues from", "starts from the beginning")
    homes = {
        str(path.relative_to(dalib))
        for path in dalib.rglob("*.py")
        if any(word in path.read_text() for word in words)
    }
    assert homes == {"resumable.py"}
