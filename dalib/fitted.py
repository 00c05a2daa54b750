"""Anything fitted as a labelled dataset and back, without being told what it is.

A fitted method is a dataclass whose fields are tensors, numbers, texts, None, tuples and mappings
of those, or other dataclasses (a fitted part, an integrator, a system). Every tensor becomes a
variable under the path of its field, all else one text:

    attrs["class"]   "package.module:Class"
    attrs["fields"]  JSON: {field: value}, with {"tensor": variable}, {"class": ..., "fields": ...}
                     and {"mapping": {...}} in the place of what JSON has not

Values come back bit for bit, in the type they had; lists come back as tuples, tensors on the CPU.
"""

import dataclasses
import importlib
import json
from collections.abc import Mapping
from typing import Any

import torch
import xarray as xr
from torch import Tensor

KINDS = {torch.float64, torch.float32, torch.int64, torch.int32, torch.int16, torch.int8}
KINDS |= {torch.uint8, torch.bool}


def to_dataset(fitted: Any) -> xr.Dataset:
    """A fitted method as a dataset that `io.write` takes."""
    if not _is_object(fitted):
        raise TypeError(
            f"what is saved is an object of a dataclass, got a {type(fitted).__name__}; the "
            "state_dict() of a network is a field of one"
        )
    tensors: dict[str, Tensor] = {}
    whole = _plain(fitted, "", tensors)
    title = type(fitted).__name__
    return xr.Dataset(
        {name: _variable(name, value, title) for name, value in tensors.items()},
        attrs={"class": whole["class"], "fields": json.dumps(whole["fields"], sort_keys=True)},
    )


def from_dataset(dataset: xr.Dataset) -> Any:
    """What `to_dataset` was given."""
    if not {"class", "fields"} <= dataset.attrs.keys():
        raise ValueError(
            "a fitted method has the attributes 'class' and 'fields', found "
            f"{', '.join(sorted(map(repr, dataset.attrs))) or 'none'}; give what "
            "dalib.fitted.to_dataset made"
        )
    fields = json.loads(dataset.attrs["fields"])
    return _restored({"class": dataset.attrs["class"], "fields": fields}, dataset)


def on(fitted: Any, device: str | torch.device) -> Any:
    """The same with all tensors on a device."""
    if isinstance(fitted, Tensor):
        return fitted.to(device)
    if isinstance(fitted, Mapping):
        return {name: on(value, device) for name, value in fitted.items()}
    if isinstance(fitted, tuple | list) and not hasattr(fitted, "_fields"):
        return type(fitted)(on(value, device) for value in fitted)
    if _is_object(fitted):
        own = {f.name: getattr(fitted, f.name) for f in dataclasses.fields(fitted) if f.init}
        return dataclasses.replace(
            fitted, **{name: on(value, device) for name, value in own.items()}
        )
    return fitted


def _plain(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON has it; tensors in it go to `tensors` under their paths."""
    if isinstance(value, Tensor):
        if value.dtype not in KINDS:
            raise TypeError(f"{path}: NetCDF has no type for tensors of {value.dtype}")
        tensors[path] = value.detach().cpu()
        return {"tensor": path}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return [_plain(one, _below(path, i), tensors) for i, one in enumerate(value)]
    if isinstance(value, Mapping):
        return {"mapping": {k: _plain(v, _below(path, k), tensors) for k, v in value.items()}}
    if _is_object(value):
        items = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.init)
        fields = {name: _plain(own, _below(path, name), tensors) for name, own in items}
        return {"class": _name(type(value)), "fields": fields}
    raise TypeError(
        f"{path}: a {type(value).__name__} cannot be saved; a field is a tensor, a number, a text, "
        "None, a tuple, a mapping or a dataclass (of a network keep state_dict())"
    )


def _restored(value: Any, dataset: xr.Dataset) -> Any:
    if isinstance(value, list):
        return tuple(_restored(one, dataset) for one in value)
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return torch.tensor(dataset[value["tensor"]].values)
    if "mapping" in value:
        return {name: _restored(own, dataset) for name, own in value["mapping"].items()}
    fields = {name: _restored(own, dataset) for name, own in value["fields"].items()}
    return _class(value["class"])(**fields)


def _class(name: str) -> type:
    """The dataclass "module:Class"; nothing else is called, whatever a file says."""
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the file holds a {name!r}, which this installation has not ({error}); use the "
            "version that wrote it, or fit again"
        ) from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ValueError(f"the file names {name!r}, which is no dataclass; give a fitted method")
    return found


def _name(cls: type) -> str:
    if "<locals>" in cls.__qualname__:
        raise TypeError(
            f"{cls.__qualname__} is defined inside a function, where it cannot be found again; "
            "define it at the top of a module"
        )
    return f"{cls.__module__}:{cls.__qualname__}"


def _variable(name: str, values: Tensor, title: str) -> xr.Variable:
    dims = tuple(f"{name}_{axis}" for axis in range(values.ndim))
    attrs = {"units": "1", "long_name": f"{name} of {title}"}
    return xr.Variable(dims, values.numpy(), attrs)


def _below(path: str, name: str | int) -> str:
    return f"{path}.{name}" if path else str(name)


def _is_object(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
