"""What is fitted, as a dataset and back."""

import math
from dataclasses import dataclass

import pytest
import torch

from dalib import io
from dalib.fitted import from_dataset, to_dataset


@dataclass(frozen=True)
class Part:
    weights: torch.Tensor
    ratio: float


@dataclass(frozen=True)
class Whole:
    part: Part
    network: dict
    name: str
    sizes: tuple
    nothing: None = None


def whole():
    network = {
        "layer.weight": torch.randn(2, 3, generator=torch.Generator().manual_seed(0)),
        "layer.count": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "index": torch.arange(4, dtype=torch.int16),
        "empty": torch.zeros(0, 3),
    }
    part = Part(torch.rand(5, dtype=torch.float64) / 3, 0.1 + 0.2)
    return Whole(part, network, "näme", (3, (1.5, math.inf), "x", True))


@pytest.mark.parametrize("through_file", [False, True])
def test_all_kinds_of_fields_come_back_bit_for_bit(through_file, tmp_path):
    before = whole()
    dataset = to_dataset(before)
    if through_file:
        io.write(dataset, tmp_path / "whole.nc", title="a whole")
        dataset = io.read(tmp_path / "whole.nc")
    after = from_dataset(dataset)
    assert type(after) is Whole and type(after.part) is Part
    assert torch.equal(after.part.weights, before.part.weights)
    assert (after.part.ratio, after.name, after.sizes) == (0.1 + 0.2, "näme", before.sizes)
    assert after.nothing is None
    assert after.network.keys() == before.network.keys()
    for name, values in before.network.items():
        assert after.network[name].dtype == values.dtype, name
        assert after.network[name].shape == values.shape, name
        assert torch.equal(after.network[name], values), name


def test_what_cannot_be_saved_is_named_with_its_field():
    part = Part(torch.nn.Linear(1, 1), 1.0)
    with pytest.raises(TypeError, match=r"weights: a Linear cannot be saved; .* state_dict\(\)"):
        to_dataset(part)
    with pytest.raises(TypeError, match="weights: NetCDF has no type for tensors of .*bfloat16"):
        to_dataset(Part(torch.zeros(1, dtype=torch.bfloat16), 1.0))
    with pytest.raises(TypeError, match="object of a dataclass, got a dict"):
        to_dataset({"weights": torch.zeros(1)})


def test_only_dataclasses_are_made_from_a_file():
    dataset = to_dataset(Part(torch.zeros(2), 1.0))
    with pytest.raises(ValueError, match="'os:system', which is no dataclass"):
        from_dataset(dataset.assign_attrs({"class": "os:system"}))
    with pytest.raises(ValueError, match="'my_lab:Gone', which this installation has not"):
        from_dataset(dataset.assign_attrs({"class": "my_lab:Gone"}))
    with pytest.raises(ValueError, match="attributes 'class' and 'fields', found none"):
        from_dataset(dataset.drop_attrs())


def test_a_class_inside_a_function_is_refused():
    @dataclass(frozen=True)
    class Local:
        x: float = 1.0

    with pytest.raises(TypeError, match="inside a function"):
        to_dataset(Local())
