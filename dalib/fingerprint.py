"""A fingerprint of settings and data, by which a saved state knows what it belongs to."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dalib.streams import Streams


def fingerprint(*things: Any) -> str:
    """SHA-256 of nested values: numbers, text, tensors (values, dtype, shape), dataclasses,
    networks (their weights), lists and mappings.

    Functions count by their names alone, and random generators not at all.
    """
    digest = hashlib.sha256()
    for part in _parts(things):
        digest.update(part)
        digest.update(b"\0")
    return digest.hexdigest()


def _parts(thing: Any) -> Iterator[bytes]:
    if isinstance(thing, torch.Generator | Streams):
        return
    yield type(thing).__qualname__.encode()
    if isinstance(thing, Tensor):
        values = thing.detach().cpu().contiguous()
        yield f"{values.dtype} {tuple(values.shape)}".encode()
        yield values.reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(thing, nn.Module):
        yield from _parts(thing.state_dict())
    elif is_dataclass(thing) and not isinstance(thing, type):
        yield from _parts({field.name: getattr(thing, field.name) for field in fields(thing)})
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield str(key).encode()
            yield from _parts(value)
    elif isinstance(thing, Sequence) and not isinstance(thing, str | bytes):
        for value in thing:
            yield from _parts(value)
    elif hasattr(thing, "__qualname__"):
        yield f"{thing.__module__}.{thing.__qualname__}".encode()
    elif isinstance(thing, str | bytes | int | float | complex | bool | None):
        yield repr(thing).encode()
