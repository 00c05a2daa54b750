from dataclasses import dataclass

import pytest
import torch
from torch import nn

from dalib.fingerprint import fingerprint
from dalib.streams import stream


@dataclass(frozen=True)
class Settings:
    steps: int
    values: torch.Tensor


def settings(steps=1, value=0.0, dtype=torch.float64):
    return Settings(steps, torch.full((2, 2), value, dtype=dtype))


def test_equal_things_have_equal_fingerprints():
    assert fingerprint(settings(), {"a": [1, 2.0]}) == fingerprint(settings(), {"a": [1, 2.0]})
    strided = torch.arange(6.0).reshape(2, 3).T
    assert fingerprint(strided) == fingerprint(strided.contiguous())


@pytest.mark.parametrize(
    "other",
    [
        settings(steps=2),
        settings(value=1e-16),
        settings(value=-0.0),
        settings(dtype=torch.float32),
        Settings(1, torch.zeros(4, dtype=torch.float64)),
        {"steps": 1, "values": torch.zeros(2, 2, dtype=torch.float64)},
        None,
    ],
    ids=["number", "value", "sign of zero", "dtype", "shape", "class", "nothing"],
)
def test_different_things_have_different_fingerprints(other):
    assert fingerprint(settings()) != fingerprint(other)


def test_weights_of_networks_count_and_random_numbers_do_not():
    network = nn.Linear(2, 2)
    before = fingerprint(network, stream("a"))
    assert before == fingerprint(network, stream("b"))
    with torch.no_grad():
        network.bias += 1
    assert before != fingerprint(network, stream("a"))
