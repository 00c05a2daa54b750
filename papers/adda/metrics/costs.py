"""What one gradient update costs, counted: floating point operations and bytes.

Counts follow from shapes alone, so the observations are zeros, and are equal on every machine.
"""

import weakref
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import xarray as xr
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from dalib.filters.cycle import Open, passage
from dalib.learn.checks import expanded
from dalib.learn.segment import LOSSES
from dalib.points import COORDINATES, Group, base_point, one_repeat
from papers.adda.learning import Experiment


class Cost(NamedTuple):
    """Of one gradient update of one repeat: operations, and bytes kept for the gradient."""

    operations: int
    memory: int


def costs_of_runs(case: Mapping, section: Mapping, weights: xr.Dataset) -> xr.Dataset:
    """mflop (run) and memory (run) of one gradient update of one repeat.

    An update is a segment, forward and backward, with all trajectories of the repeat.

    mflop: 1e6 floating point operations of products of matrices, convolutions, Cholesky factors
        (n³/3), triangular solves (n² a column), solves (2n³/3, and 2n² a column) and eigenvectors
        of symmetric matrices (9n³). Element-wise operations are not counted, nor is the step of
        the optimiser.
    memory: bytes kept from the way forward for the way back, each storage once, without parameters.

    Args:
        weights: of the experiment, which says what runs there are.
    """
    groups = [_group(weights.isel(run=i)) for i in range(weights.sizes["run"])]
    found: dict[tuple, Cost] = {}
    for group in groups:
        if _alike(group) not in found:
            found[_alike(group)] = update_costs(case, section, group)[0]
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
    groups = [Group(name, (base_point(section, name),)) for name in names]
    costs = [update_costs(case, section, group, segments) for group in groups]
    memory = [[float(cost.memory) for cost in row] for row in costs]
    lengths = ("segment", list(segments), {"units": "1", "long_name": "times in a segment"})
    return xr.Dataset(
        {"memory_by_segment": (("method", "segment"), memory, KEPT)},
        {"method": names, "segment": lengths},
    )


def update_costs(
    case: Mapping, section: Mapping, group: Group, segments: Sequence[int] | None = None
) -> list[Cost]:
    """The costs of an update at the first point of a group, for segments of some lengths.

    Without lengths, for that of the training. From the third on, every time of a segment adds the
    same: three are counted, so that large systems need little time and memory.
    """
    sections = {"case": case, "model": one_repeat(section, group.filter)}
    one = Experiment(sections, Group(group.filter, group.points[:1]), "counted/once", "cpu")
    lengths = segments or [one.training["segment"]]
    few = {n: counted(one, n) for n in {2, 3, *lengths} if n <= 3}
    return [few[n] if n <= 3 else _longer(few[2], few[3], n) for n in lengths]


def _longer(two: Cost, three: Cost, length: int) -> Cost:
    return Cost(*(c + (length - 3) * (c - b) for b, c in zip(two, three, strict=True)))


def counted(one: Experiment, segment: int) -> Cost:
    """The cost of an update with a segment of this length."""
    prior, generator = one.prior(one.training["trajectories"], "first state"), one.generator("once")
    operator, leading = one.operator(segment), prior.mean.shape[:-1]
    seen = [operator.at(k) if hasattr(operator, "at") else operator for k in range(segment)]
    ys = [torch.zeros_like(see(prior.mean)) for see in seen]
    learnables = one.learnables(ys[0].shape[-1])
    latents = {name: part.first(name).requires_grad_() for name, part in learnables.items()}
    make, limit = one.make(segment), one.settings().limit
    loss = LOSSES[one.section["losses"].get(one.group.filter, "likelihood")]
    with torch.no_grad():
        first = make({name: part.start for name, part in learnables.items()})
        belief = first.start(expanded(prior, leading), generator)
    kept = Kept(latents.values())
    with Operations() as operations:
        with torch.autograd.graph.saved_tensors_hooks(kept.keep, kept.give):
            filter = make({name: part.value(latents[name]) for name, part in learnables.items()})
            steps = passage(filter, belief, range(segment), ys, generator, Open(limit), judge=loss)
            objective = torch.stack([step.judged.score for step in steps]).sum()
        memory = kept.bytes
        objective.backward()
    return Cost(operations.count, memory)


class Operations(TorchDispatchMode):
    """Counts the floating point operations of what torch calls while it is entered.

    What torch's own FlopCounterMode counts, and what `FORMULAS` add.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and to skip the compiler is to import it: seconds

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Call the operation and count it."""
        out = func(*args, **(kwargs or {}))
        formula = ALL_FORMULAS.get(func.overloadpacket)
        if formula is not None:
            self.count += formula(*args, **(kwargs or {}), out_val=out)
        return out


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


def _factor(A: Tensor, *_, **__) -> int:
    return round(A.numel() * A.shape[-1] / 3)


def _triangular(A: Tensor, B: Tensor, *_, **__) -> int:
    return B.numel() * A.shape[-1]


def _solve(A: Tensor, B: Tensor, *_, **__) -> int:
    return round(2 * A.numel() * A.shape[-1] / 3) + 2 * B.numel() * A.shape[-1]


def _eigenvectors(A: Tensor, *_, **__) -> int:
    return 9 * A.numel() * A.shape[-1]


FORMULAS = {
    torch.ops.aten.linalg_cholesky_ex: _factor,
    torch.ops.aten.linalg_solve_triangular: _triangular,
    torch.ops.aten._linalg_solve_ex: _solve,
    torch.ops.aten._linalg_eigh: _eigenvectors,
}
ALL_FORMULAS = flop_registry | FORMULAS
KEPT = {"units": "byte", "long_name": "bytes kept for the gradient of one segment"}


def _group(run: xr.Dataset) -> Group:
    """The filter and the point of a run."""
    values = {name: float(run[name]) for name in COORDINATES}
    return Group(str(run["filter"].values), ({n: v for n, v in values.items() if v == v},))


def _alike(group: Group) -> tuple:
    """What the cost depends on."""
    return (group.filter, *sorted(group.shared.items()))
