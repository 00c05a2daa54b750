"""Training of ordinary modules: any `torch.nn.Module` with a loss, in any number of replicates.

    modules = made(lambda: nn.Sequential(...), streams)
    train(modules, loss, draws, training, generator=streams)

`dalib.train` knows models whose parameters all have a leading axis `repeat`. Here modules of one
kind are given that axis: their parameters are stacked, and `torch.func.vmap` computes all losses at
once. Where it cannot, for want of a rule (nn.LSTM) or since a module draws numbers (dropout), one
module is trained after the other by the same loop. The values of a replicate are the same, but for
round-off where vmap is used, however many are trained beside it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from dalib.fingerprint import fingerprint
from dalib.resumable import Save
from dalib.streams import Generator, Streams, each, lent
from dalib.train import Batch, History, Training, fit

Loss = Callable[[nn.Module, Tensor], Tensor]
logger = logging.getLogger(__name__)


def made(make: Callable[[], nn.Module], generator: Generator) -> list[nn.Module]:
    """A module for each stream, its first weights drawn from that, as its layers draw them."""
    modules = []
    for one in each(generator):
        with lent(one):
            modules.append(make())
    return modules


def train(
    modules: Sequence[nn.Module],
    loss: Loss,
    draws: Sequence[Batch],
    training: Training,
    *,
    watched: Mapping[str, Sequence[Tensor]] | None = None,
    progress: str | None = None,
    save: Save | None = None,
    resume: dict | None = None,
    generator: Generator,
) -> list[History]:
    """Train `modules` in place; what happened to each.

    Args:
        modules: of one architecture.
        loss: (module, batch) -> the mean over the batch, a scalar; a function, or an object of a
            dataclass whose fields are its settings.
        draws: for each module what gives its batches (1, batch, ...), such as `train.Windows`.
        training: steps, rates, and whether weights are the best ones on what is watched.
        watched: named batches held fixed, one for each module: `{"valid": [...]}` makes the report
            `valid_loss` that `best_by` can name.
        progress, save, resume: as in `train.fit`; what is of other data or settings is left aside.
        generator: one stream for each module.
    """
    streams = each(generator)
    if not len(modules) == len(draws) == len(streams):
        raise ValueError(
            f"each module has batches and a stream of its own, got {len(modules)} modules, "
            f"{len(draws)} draws and {len(streams)} streams"
        )
    watched = watched or {}
    if len(modules) > 1 and _can_be_mapped(modules, loss, draws, streams):
        groups = [slice(0, len(modules))]
    else:
        groups = [slice(i, i + 1) for i in range(len(modules))]
    of = fingerprint(Replicates(modules, loss).parts, tuple(draws), training)
    finished, resume = _resumed(resume, of)
    for group in groups[len(finished) :]:
        model = Replicates(modules[group], loss)
        history = fit(
            model,
            Together(tuple(draws[group])),
            training,
            watched={name: torch.stack(list(own[group])) for name, own in watched.items()},
            progress=progress,
            save=save and _after({"of": of, "finished": finished}, save),
            resume=resume,
            generator=Streams(tuple(streams[group])),
        )
        finished = [*finished, {"weights": model.state_dict(), "history": history._asdict()}]
        resume = None
    for group, ended in zip(groups, finished, strict=True):
        model = Replicates(modules[group], loss)
        model.load_state_dict(ended["weights"])
        model.give_back()
    return [one for ended in finished for one in _each_history(ended["history"])]


def _after(before: dict, save: Save) -> Save:
    """`save` for a training that comes after others, whose end is `before`."""

    def save_too(state: Callable[[], dict]) -> None:
        save(lambda: {**before, "current": state()})

    return save_too


def _resumed(saved: dict | None, of: str) -> tuple[list[dict], dict | None]:
    """(the trainings that were finished, the state of the next one)."""
    if saved is None:
        return [], None
    if saved.get("of") != of:
        logger.warning("what was saved is of another training; starts from the beginning")
        return [], None
    return list(saved["finished"]), saved["current"]


@dataclass(frozen=True)
class Together:
    """Batches of several replicates, each from its own stream."""

    draws: tuple[Batch, ...]

    def __call__(self, generator: Streams) -> Tensor:
        """(repeat, batch, ...)."""
        return torch.cat(
            [draw(Streams((one,))) for draw, one in zip(self.draws, each(generator), strict=True)]
        )


class Replicates(nn.Module):
    """Modules side by side, as a model of `dalib.train`: every parameter (repeat, ...)."""

    def __init__(self, modules: Sequence[nn.Module], loss: Loss) -> None:
        super().__init__()
        self._given = tuple(modules)  # in tuples, since their parameters are not those trained
        self._computed = (_Losses(modules[0], loss),)
        parameters, self._constants = stack_module_state([_Losses(m, loss) for m in modules])
        self.names = tuple(parameters)
        self.stacked = nn.ParameterList(p.detach().clone() for p in parameters.values())
        kind = type(modules[0])
        self.parts = (f"{kind.__module__}.{kind.__qualname__}", loss, self.names)

    def loss(self, batch: Tensor, fraction: float, generator: Generator) -> Tensor:
        """(repeat, batch, ...) -> (repeat,)."""
        stacked = dict(zip(self.names, self.stacked, strict=True))
        if len(batch) > 1:
            return vmap(self._one)(stacked, self._constants, batch)
        (one,) = each(generator)
        with lent(one):  # dropout
            alone = ({k: v[0] for k, v in of.items()} for of in (stacked, self._constants))
            return self._one(*alone, batch[0]).unsqueeze(0)

    @torch.no_grad()
    def report(self, batch: Tensor, generator: Generator) -> dict[str, Tensor]:
        """The loss on data held fixed, without dropout."""
        (computed,) = self._computed
        computed.eval()
        loss = self.loss(batch, 1.0, generator)
        computed.train()
        return {"loss": loss}

    @torch.no_grad()
    def give_back(self) -> None:
        """Put the weights into the modules."""
        for i, module in enumerate(self._given):
            own = dict(_Losses(module, None).named_parameters())
            for name, values in zip(self.names, self.stacked, strict=True):
                own[name].copy_(values[i])
            module.eval()

    def _one(self, parameters: dict, constants: dict, batch: Tensor) -> Tensor:
        return functional_call(self._computed[0], (parameters, constants), (batch,))


class _Losses(nn.Module):
    """The loss of a module as what it computes when called; no module of `Replicates`."""

    def __init__(self, module: nn.Module, loss: Loss | None) -> None:
        super().__init__()
        self.module, self._loss = module, loss

    def forward(self, batch: Tensor) -> Tensor:
        return self._loss(self.module, batch)


def _can_be_mapped(
    modules: Sequence[nn.Module],
    loss: Loss,
    draws: Sequence[Batch],
    streams: Sequence[torch.Generator],
) -> bool:
    """Whether vmap has a rule for all that the loss does, tried on a batch of copied streams."""
    batch = Together(tuple(draws))(Streams(tuple(one.clone_state() for one in streams)))
    try:
        Replicates(modules, loss).loss(batch, 0.0, None).sum().backward()
    except RuntimeError as error:
        if "vmap" in str(error) or "Batching rule" in str(error):
            return False
        raise
    return True


def _each_history(together: Mapping) -> list[History]:
    """The history of each replicate, (1, ...)."""
    return [
        History(
            together["loss"][i : i + 1],
            together["checks"],
            {name: values[i : i + 1] for name, values in together["reports"].items()},
        )
        for i in range(len(together["loss"]))
    ]
