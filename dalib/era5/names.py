"""Names, levels and units of ERA5, in the spellings of those who distribute it.

A channel is one field of the state: a surface quantity by its short name (`t2m`), or a quantity on
a pressure level with the level in hPa (`z500`). Files call a quantity by the short name of the
Climate Data Store or by the long one of WeatherBench 2.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# Pathak et al. 2022, Table 1, in its order
CHANNELS = tuple(
    "u10 v10 t2m sp msl t850 u1000 v1000 z1000 u850 v850 z850 u500 v500 z500 t500 z50 r500 r850 "
    "tcwv".split()
)


class Quantity(NamedTuple):
    """A variable of ERA5: its long name, its unit, and factors from other units to that one."""

    long: str
    unit: str
    factors: Mapping[str, float] = {}

    def factor(self, unit: str) -> float | None:
        """What values in `unit` are multiplied by; None for a unit that is not known."""
        return 1.0 if unit == self.unit else self.factors.get(unit)


SURFACE = {
    "u10": Quantity("10m_u_component_of_wind", "m s-1"),
    "v10": Quantity("10m_v_component_of_wind", "m s-1"),
    "t2m": Quantity("2m_temperature", "K"),
    "sp": Quantity("surface_pressure", "Pa"),
    "msl": Quantity("mean_sea_level_pressure", "Pa"),
    "tcwv": Quantity("total_column_water_vapour", "kg m-2"),
}
LEVELS = {
    "u": Quantity("u_component_of_wind", "m s-1"),
    "v": Quantity("v_component_of_wind", "m s-1"),
    "t": Quantity("temperature", "K"),
    "z": Quantity("geopotential", "m2 s-2"),
    "r": Quantity("relative_humidity", "%", {"1": 100.0}),  # WeatherBench 2 has a fraction
}
DIMENSIONS = {
    "time": ("time", "valid_time"),
    "level": ("level", "pressure_level", "isobaricInhPa"),
    "lat": ("lat", "latitude"),
    "lon": ("lon", "longitude"),
}
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³", "-0123")
SPELLINGS = {"kelvin": "K", "percent": "%", "millibars": "hPa", "millibar": "hPa", "mbar": "hPa"}


class Channel(NamedTuple):
    """One field of the state; level in hPa, None at the surface."""

    name: str
    short: str
    level: int | None

    @property
    def quantity(self) -> Quantity:
        return (SURFACE if self.level is None else LEVELS)[self.short]

    @property
    def names(self) -> tuple[str, str]:
        """What a file may call its variable."""
        return self.short, self.quantity.long


def channel(name: str) -> Channel:
    """`t2m` -> the surface quantity, `z500` -> the quantity z on 500 hPa."""
    if name in SURFACE:
        return Channel(name, name, None)
    found = re.fullmatch(r"([a-z]+)(\d+)", name)
    if found and found[1] in LEVELS and int(found[2]) > 0:
        return Channel(name, found[1], int(found[2]))
    raise ValueError(
        f"unknown channel {name!r}{meant(name, [*SURFACE, *CHANNELS])}; there are "
        f"{', '.join(SURFACE)} at the surface, and {', '.join(LEVELS)} followed by a level in hPa, "
        "such as z500"
    )


def unit(text: str) -> str:
    """One spelling of a unit: `m s**-1`, `m/s`, `m s^-1` and `m s⁻¹` are all `m s-1`."""
    above, *below = str(text).translate(SUPERSCRIPTS).replace("**", "").replace("^", "").split("/")
    under = [
        re.sub(r"^(\D+)(\d*)$", lambda m: f"{m[1]}-{m[2] or 1}", part.strip()) for part in below
    ]
    words = [*above.split(), *under]
    return " ".join(SPELLINGS.get(word.lower(), word) for word in words)


def meant(name: str, names: Iterable[str]) -> str:
    """` (did you mean "t2m"?)`, or nothing where no name is near."""
    lower = {str(known).lower(): str(known) for known in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    return f' (did you mean "{lower[near[0]]}"?)' if near else ""
