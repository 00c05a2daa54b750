"""Methods whose times are compared take turns."""

from dalib import timing


def test_methods_take_turns_and_every_other_round_goes_backward():
    calls = []
    work = {name: lambda name=name: calls.append(name) or len(calls) for name in ("a", "b", "c")}
    found = timing.in_turn(work, 3)
    assert "".join(calls) == "cba" + "abc" + "cba" + "abc"
    assert found == {"a": [4, 9, 10], "b": [5, 8, 11], "c": [6, 7, 12]}


def test_what_slows_the_machine_slows_both_of_a_pair(monkeypatch):
    """A machine that becomes several times as slow within its rounds: the ratio of a pair stays."""
    clock = [0.0]
    monkeypatch.setattr(timing.time, "process_time", lambda: clock[0])

    def work(cost):
        def run():
            clock[0] += cost * (1 + clock[0] / 3)

        return lambda: timing.cpu_seconds(run)

    found = timing.in_turn({"fast": work(0.1), "slow": work(0.2)}, 12)
    assert found["slow"][-1] > 2 * found["slow"][0]
    ratios = [a / b for a, b in zip(found["slow"], found["fast"], strict=True)]
    assert all(1.8 < ratio < 2.2 for ratio in ratios)
