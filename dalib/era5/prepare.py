"""Fields ready to learn from: a grid that divides, moments of the training data, splits by date."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from dalib.era5.read import round_the_globe


def prepare(
    fields: xr.DataArray, splits: Mapping[str, Sequence], *, multiple: int = 8
) -> dict[str, xr.Dataset]:
    """A dataset for each split: fields (time, channel, lat, lon) float32, mean and std (channel,).

    Fields stay in the units of their channels. The moments are those of the split `train` alone,
    over its times and all grid points, each counting alike (as Pathak et al. 2022 do); all splits
    carry them.

    Args:
        fields: (time, channel, lat, lon), as `read` gives them.
        splits: {"train": (first, last), "valid": ..., "test": ...}, both included, as years
            (2006, 2015) or as dates ("2019-03-01", "2019-03-24").
        multiple: of what both sides of the grid have to be; see `trimmed`.
    """
    if "train" not in splits:
        raise ValueError(f"splits need 'train', by which channels are scaled; got {list(splits)}")
    fields = trimmed(fields, multiple)
    parts = {name: _part(fields, name, span) for name, span in splits.items()}
    _check_apart(parts)
    moments = _moments(parts["train"])
    return {name: xr.Dataset({"fields": part, **moments}) for name, part in parts.items()}


def trimmed(fields: xr.DataArray, multiple: int = 8) -> xr.DataArray:
    """Without the last latitude where the grid has both poles (121 -> 120), and divisible.

    Of a region, rows in the south and columns in the east are left out until both sides are
    multiples; round the globe nothing but a pole may go.
    """
    lat, lon = fields["lat"].values, fields["lon"].values
    if abs(lat[0]) == abs(lat[-1]) == 90:
        fields = fields.isel(lat=slice(None, -1))
    rows, columns = (fields.sizes[d] - fields.sizes[d] % multiple for d in ("lat", "lon"))
    whole = (rows, columns) == (fields.sizes["lat"], fields.sizes["lon"])
    if not rows or not columns or (not whole and round_the_globe(lon)):
        raise ValueError(
            f"the grid has {fields.sizes['lat']} x {fields.sizes['lon']} points; both sides have "
            f"to be multiples of {multiple}: take another grid, or another patch and sparsity"
        )
    return fields.isel(lat=slice(rows), lon=slice(columns))


def _part(fields: xr.DataArray, name: str, span: Sequence) -> xr.DataArray:
    first, last = span
    part = fields.sel(time=slice(str(first), str(last)))
    if part.sizes["time"] < 2:
        there = fields["time"].values.astype("datetime64[h]")
        raise ValueError(
            f"split {name!r}, {first} to {last}, has {part.sizes['time']} times; the fields run "
            f"from {there[0]} to {there[-1]}"
        )
    steps = np.diff(part["time"].values)
    if (steps != steps[0]).any():
        gap = part["time"].values[int((steps != steps[0]).argmax())].astype("datetime64[h]")
        raise ValueError(f"split {name!r}, {first} to {last}, has a gap after {gap}")
    return part


def _check_apart(parts: Mapping[str, xr.DataArray]) -> None:
    spans = sorted((p["time"].values[0], p["time"].values[-1], name) for name, p in parts.items())
    for (_, end, name), (start, _, other) in zip(spans[:-1], spans[1:], strict=True):
        if start <= end:
            raise ValueError(f"the splits {name!r} and {other!r} share times; keep them apart")


def _moments(train: xr.DataArray) -> dict[str, xr.DataArray]:
    """{"mean": (channel,), "std": (channel,)} in float64, one channel in memory at a time."""
    values = [train.isel(channel=k).values for k in range(train.sizes["channel"])]
    moments = {
        "mean": [v.mean(dtype=np.float64) for v in values],
        "std": [v.std(dtype=np.float64) for v in values],
    }
    for name, std in zip(train["channel"].values.tolist(), moments["std"], strict=True):
        if not std > 0:
            raise ValueError(f"channel {name!r} is constant in the training data: nothing to learn")
    coords = {name: train[name] for name in ("channel", "channel_units")}
    return {
        name: xr.DataArray(
            numbers,
            coords,
            ("channel",),
            attrs={"units": "those of channel_units", "long_name": f"{name} of the training data"},
        )
        for name, numbers in moments.items()
    }
