"""What one gradient update costs, counted: floating point operations and bytes.

Counts follow from shapes alone, so the observations are zeros, and are equal on every machine.
"""

import weakref
from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

import torch
import xarray as xr
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dalib.cases.learning import COORDINATES, Experiment, Group
from dalib.filters import at
from dalib.learn.checks import expanded
from dalib.learn.guards import clamped
from dalib.learn.segment import LOSSES


class Cost(NamedTuple):
    """Of one gradient update of one repeat: operations, and bytes kept for the gradient."""

    operations: int
    memory: int


def costs_of_runs(case: Mapping, section: Mapping, weights: xr.Dataset) -> xr.Dataset:
    """mflop (run) and memory (run) of one gradient update of one repeat.

    An update is a segment, forward and backward, with all trajectories of the repeat.

    mflop: 1e6 floating point operations of products of matrices, Cholesky factors (n³/3), triangular
        solves (n² a column), solves (2n³/3, and 2n² a column) and eigenvectors of symmetric
        matrices (9n³). Element-wise operations are not counted, nor is the step of the optimiser.
    memory: bytes kept from the way forward for the way back, each storage once, without parameters.

    Args:
        weights: of the experiment, which says what runs there are.
    """
    groups = [_group(weights.isel(run=i)) for i in range(weights.sizes["run"])]
    found: dict[tuple, Cost] = {}
    for group in groups:
        if _alike(group) not in found:
            found[_alike(group)] = update_cost(case, section, group)
    costs = [found[_alike(group)] for group in groups]
    operations = {"units": "1e6", "long_name": "floating point operations of one update"}
    return xr.Dataset(
        {
            "mflop": ("run", [cost.operations / 1e6 for cost in costs], operations),
            "memory": ("run", [float(cost.memory) for cost in costs], KEPT),
        }
    )


def memory_of_segments(case: Mapping, section: Mapping, segments: Sequence[int]) -> xr.Dataset:
    """memory_by_segment (method, segment), that of each filter at its base point."""
    names = list(section["learned"])
    groups = [Group(n, (section["base"] | section["base_of"].get(n, {}),)) for n in names]
    memory = [
        [float(update_cost(case, section, group, segment=one).memory) for one in segments]
        for group in groups
    ]
    lengths = ("segment", list(segments), {"units": "1", "long_name": "times in a segment"})
    return xr.Dataset(
        {"memory_by_segment": (("method", "segment"), memory, KEPT)},
        {"method": names, "segment": lengths},
    )


def one_repeat(section: Mapping, filter: str, **training) -> Mapping:
    """An experiment with a single repeat, and with other settings of the training of a filter."""
    own = section["training_of"].get(filter, {}) | training | {"repeats": 1}
    return section | {"training_of": section["training_of"] | {filter: own}}


def update_cost(case: Mapping, section: Mapping, group: Group, **training) -> Cost:
    """The cost of one update of the first point of a group, with other settings if given."""
    sections = {"case": case, "model": one_repeat(section, group.filter, **training)}
    one = Experiment(sections, Group(group.filter, group.points[:1]), "counted/once", "cpu")
    settings, prior = one.settings(), one.prior(one.training["trajectories"], "first state")
    generator, operator = one.generator("learning"), one.operator(one.training["segment"])
    leading = prior.mean.shape[:-1]
    ys = [
        torch.zeros_like((operator.at(k) if hasattr(operator, "at") else operator)(prior.mean))
        for k in range(settings.segment)
    ]
    learnables = one.learnables(ys[0].shape[-1])
    latents = {name: part.first(name).requires_grad_() for name, part in learnables.items()}
    make, loss = one.make(settings.segment), one.section["losses"].get(group.filter, "likelihood")
    with torch.no_grad():
        start = make({name: part.start for name, part in learnables.items()})
        belief = start.start(expanded(prior, leading), generator)
    kept = Kept(latents.values())
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as operations:
        with torch.autograd.graph.saved_tensors_hooks(kept.keep, kept.give):
            filter = make({name: part.value(latents[name]) for name, part in learnables.items()})
            scores = []
            for k, y in enumerate(ys):
                now = at(filter, k)
                forecast, _ = clamped(now.forecast(belief, generator), settings.limit)
                belief, score, _ = LOSSES[loss](now, forecast, y, generator)
                scores.append(score)
            objective = torch.stack(scores).sum()
        memory = kept.bytes
        objective.backward()
    return Cost(operations.get_total_flops(), memory)


class Kept:
    """Tensors that autograd keeps, as hooks for saved tensors: how many bytes they hold.

    Args:
        without: tensors whose storage does not count.
    """

    def __init__(self, without) -> None:
        self.held: weakref.WeakSet[_Held] = weakref.WeakSet()
        self.without = {_place(tensor) for tensor in without}

    def keep(self, tensor: Tensor) -> "_Held":
        """What autograd keeps in the place of a tensor."""
        held = _Held(tensor.detach())
        self.held.add(held)
        return held

    def give(self, held: "_Held") -> Tensor:
        """The tensor that was kept."""
        return held.tensor

    @property
    def bytes(self) -> int:
        """Of all storages that are held now."""
        storages = {_place(h.tensor): h.tensor.untyped_storage().nbytes() for h in self.held}
        return sum(size for place, size in storages.items() if place not in self.without)


class _Held:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


# -- operations that torch leaves out --------------------------------------------------------------


def _factor(A, *args, out_shape=None, **kwargs) -> int:
    return round(prod(A) * A[-1] / 3)


def _triangular(A, B, *args, left=True, out_shape=None, **kwargs) -> int:
    return prod(B) * A[-1]


def _solve(A, B, *args, out_shape=None, **kwargs) -> int:
    return round(2 * prod(A) * A[-1] / 3) + 2 * prod(B) * A[-1]


def _eigenvectors(A, *args, out_shape=None, **kwargs) -> int:
    return 9 * prod(A) * A[-1]


FORMULAS = {
    torch.ops.aten.linalg_cholesky_ex: _factor,
    torch.ops.aten.linalg_solve_triangular: _triangular,
    torch.ops.aten.triangular_solve: lambda B, A, *_, out_shape=None, **__: _triangular(A, B),
    torch.ops.aten._linalg_solve_ex: _solve,
    torch.ops.aten._linalg_eigh: _eigenvectors,
}
KEPT = {"units": "byte", "long_name": "bytes kept for the gradient of one segment"}


def _group(run: xr.Dataset) -> Group:
    """The filter and the point of a run."""
    values = {name: float(run[name]) for name in COORDINATES}
    return Group(str(run["filter"].values), ({n: v for n, v in values.items() if v == v},))


def _alike(group: Group) -> tuple:
    """What the cost depends on."""
    return (group.filter, *sorted(group.shared.items()))
