"""Reading, preparing and making up reanalysis; stations in it. All files are written here."""

import importlib.util
import tracemalloc

import numpy as np
import pytest
import xarray as xr

from dalib import io
from dalib.era5 import names, synthetic
from dalib.era5.prepare import prepare, trimmed
from dalib.era5.read import eastward, read
from dalib.metrics import sphere

CHANNELS = ("t2m", "z500", "r850")
LAT, LON = np.linspace(90, -90, 5), np.arange(0, 360, 45.0)
DAYS = ("2001-03-01", "2001-03-04")


def times(first, last, hours=6):
    step = np.timedelta64(hours, "h")
    return np.arange(f"{first}T00", f"{last}T00", step, dtype="datetime64[ns]")


def value(channel, time, lat, lon):
    """A number for each channel, time and place, whatever the order they are stored in."""
    hour = (time - np.datetime64("2001-01-01")) / np.timedelta64(1, "h")
    place = np.cos(np.radians(lat))[:, None] * np.sin(np.radians(lon) + 0.3) + lat[:, None] / 90
    return (100 * CHANNELS.index(channel) + hour[:, None, None] / 100 + place).astype(np.float32)


def cds(time, lat=LAT, lon=LON):
    """A file of the Climate Data Store as it was."""

    def on_levels(channel, level):
        fields = np.full((len(time), 2, len(lat), len(lon)), -999, np.float32)
        fields[:, [500, 850].index(level)] = value(channel, time, lat, lon)
        return fields

    surface, level = ("time", "latitude", "longitude"), ("time", "level", "latitude", "longitude")
    return xr.Dataset(
        {
            "t2m": (surface, value("t2m", time, lat, lon), {"units": "K"}),
            "z": (level, on_levels("z500", 500), {"units": "m**2 s**-2"}),
            "r": (level, on_levels("r850", 850), {"units": "%"}),
        },
        {"time": time, "level": [500, 850], "latitude": lat, "longitude": lon},
    )


def cds_new(ds):
    names = {"time": "valid_time", "level": "pressure_level"}
    ds = ds.rename(names).sortby("pressure_level", ascending=False)
    ds = ds.assign_coords(pressure_level=ds.pressure_level.astype(float), number=0)
    return ds.assign_coords(expver=("valid_time", ["0001"] * ds.sizes["valid_time"]))


def weatherbench(ds):
    long = {"t2m": "2m_temperature", "z": "geopotential", "r": "relative_humidity"}
    ds = ds.rename(long).transpose("time", "level", "longitude", "latitude")
    ds["relative_humidity"] = (ds.relative_humidity / 100).assign_attrs(units="1")
    return ds.sortby("latitude")


VARIANTS = {
    "old": lambda ds: ds,
    "new": cds_new,
    "new with a member": lambda ds: cds_new(ds).expand_dims("number"),
    "WeatherBench 2": weatherbench,
    "short coordinates": lambda ds: ds.rename(latitude="lat", longitude="lon"),
    "south first": lambda ds: ds.sortby("latitude"),
    "west first": lambda ds: ds.assign_coords(longitude=(ds.longitude + 180) % 360 - 180).sortby(
        "longitude"
    ),
    "level first": lambda ds: ds.transpose("level", "longitude", "time", "latitude"),
    "levels in Pa": lambda ds: ds.assign_coords(
        level=("level", [50000.0, 85000.0], {"units": "Pa"})
    ),
    "float64": lambda ds: ds.astype(float, keep_attrs=True),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_spellings_give_the_same_fields(tmp_path, variant):
    time = times(*DAYS)
    VARIANTS[variant](cds(time)).to_netcdf(tmp_path / "some.nc")
    fields = read(tmp_path / "some.nc", CHANNELS)
    assert fields.dims == ("time", "channel", "lat", "lon") and fields.dtype == np.float32
    assert fields.channel.values.tolist() == list(CHANNELS)
    assert fields.channel_units.values.tolist() == ["K", "m2 s-2", "%"]
    np.testing.assert_array_equal(fields.time, time)
    np.testing.assert_array_equal(fields.lat, LAT)
    np.testing.assert_array_equal(fields.lon, LON)
    for k, channel in enumerate(CHANNELS):
        np.testing.assert_allclose(fields[:, k], value(channel, time, LAT, LON), rtol=1e-6)


def test_channels_come_in_the_order_asked_for_and_no_others(tmp_path):
    cds(times(*DAYS)).to_netcdf(tmp_path / "some.nc")
    one, other = (read(tmp_path / "some.nc", c) for c in (("r850", "t2m"), ("t2m",)))
    assert one.channel.values.tolist() == ["r850", "t2m"]
    np.testing.assert_array_equal(one[:, 1], other[:, 0])


def test_preliminary_data_fill_what_is_not_final_yet(tmp_path):
    ds = cds(times(*DAYS))
    final, first = ds.where(ds.time < ds.time[5]), (ds + 1).where(ds.time >= ds.time[3])
    both = xr.concat([first, final], xr.Variable("expver", [5, 1]))
    for name in ds:
        both[name].attrs = ds[name].attrs
    both.to_netcdf(tmp_path / "some.nc")
    fields = read(tmp_path / "some.nc", ("t2m",))[:, 0]
    expected = ds.t2m + (ds.time >= ds.time[5])
    np.testing.assert_allclose(fields, expected.transpose("time", ...), rtol=1e-6)


def test_several_members_are_refused(tmp_path):
    xr.concat([cds(times(*DAYS))] * 2, "number").to_netcdf(tmp_path / "some.nc")
    with pytest.raises(io.DataError, match=r"some.nc: 2 members along 'number'"):
        read(tmp_path / "some.nc", CHANNELS)


@pytest.mark.parametrize("west", [-10, 350])
def test_a_region_keeps_its_order_across_greenwich(tmp_path, west):
    """33 x 49 points, hourly and one variable, as in the sample file of the British Isles."""
    lat, lon, time = np.linspace(58, 50, 33), np.linspace(-10, 2, 49), times(*DAYS, 1)
    ds = cds(time, lat.astype("f4"), (lon % 360 if west > 0 else lon).astype("f4"))
    ds = ds[["t2m"]].rename(t2m="2m_temperature").sortby("longitude")
    ds.to_netcdf(tmp_path / "sample.nc")
    fields = read(tmp_path / "sample.nc", ("t2m",), hours=1)
    np.testing.assert_array_equal(fields.lon, lon)
    np.testing.assert_array_equal(fields.lat, lat)
    np.testing.assert_allclose(fields[:, 0], value("t2m", time, lat, lon), rtol=1e-5)


def test_longitudes_run_round_the_globe_or_from_the_western_edge():
    for given, expected in (
        ([-180, -90, 0, 90], [0, 90, 180, 270]),
        ([0, 90, 180, 270], [0, 90, 180, 270]),
        ([170, 180, 190], [170, 180, 190]),
        ([-170, 170, 180], [170, 180, 190]),
        ([200, 210, 220], [-160, -150, -140]),
    ):
        order, lon = eastward(np.array(given, float))
        np.testing.assert_array_equal(lon, expected)
        np.testing.assert_array_equal(np.array(given)[order] % 360, np.array(expected) % 360)
    with pytest.raises(io.DataError, match="longitude 0 is there twice"):
        eastward(np.arange(0, 361, 90.0))


# years


def year(number, hours=12, lon=LON):
    return cds(times(f"{number}-01-01", f"{number + 1}-01-01", hours), lon=lon)[["t2m"]]


@pytest.fixture
def years(tmp_path):
    for number in (2003, 2004):
        year(number).to_netcdf(tmp_path / f"era5_{number}.nc")
    return tmp_path


def test_years_follow_each_other(years):
    fields = read(years, ("t2m",), hours=12)
    time = times("2003-01-01", "2005-01-01", 12)
    assert fields.sizes["time"] == 730 + 732
    np.testing.assert_array_equal(fields.time, time)
    np.testing.assert_allclose(fields[:, 0], value("t2m", time, LAT, LON), rtol=1e-6)
    xr.testing.assert_identical(read(years, ("t2m",), years=[2004], hours=12), fields[730:])
    xr.testing.assert_identical(read(years, ("t2m",), hours=24), fields[::2])


def test_daily_fields_may_be_those_of_noon(tmp_path):
    ds = year(2003).isel(time=slice(1, None, 2))
    ds.to_netcdf(tmp_path / "era5_2003.nc")
    fields = read(tmp_path, ("t2m",), years=[2003], hours=24)
    assert fields.sizes["time"] == 365 and (fields.time.dt.hour == 12).all()


def test_a_year_that_is_not_there_is_named(years):
    with pytest.raises(io.DataError, match=r"era5_2005.nc: no such file.*years 2003, 2004"):
        read(years, ("t2m",), years=[2004, 2005], hours=12)
    with pytest.raises(io.DataError, match="expected files era5_YYYY.nc"):
        read(years.parent, ("t2m",))


def test_an_incomplete_year_is_refused_with_its_first_missing_hour(years):
    year(2004).isel(time=slice(1, -3)).to_netcdf(years / "era5_2004.nc")
    missing = r"era5_2004.nc: variable 'time': .* 2004-01-01T00 is missing and 3 others"
    with pytest.raises(io.DataError, match=missing):
        read(years, ("t2m",), hours=12)
    with pytest.raises(io.DataError, match="every 6 hours .* 2003-01-01T06 is missing and 729"):
        read(years, ("t2m",), years=[2003])


def test_another_grid_than_in_the_years_before_is_refused(years):
    year(2004, lon=LON[::2]).to_netcdf(years / "era5_2004.nc")
    with pytest.raises(io.DataError, match="era5_2004.nc: variable 'lon': .*8 values.*4 values"):
        read(years, ("t2m",), hours=12)


@pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated")
@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_store_is_read_year_by_year(tmp_path, version):
    pytest.importorskip("zarr")
    time = times("2003-12-30", "2006-01-02", 12)
    store = {"store": tmp_path / "some.zarr", "zarr_format": version, "consolidated": version == 2}
    weatherbench(cds(time)).to_zarr(**store)
    fields = read(tmp_path / "some.zarr", CHANNELS, years=[2004, 2005], hours=12)
    inside = time[(time >= np.datetime64("2004")) & (time < np.datetime64("2006"))]
    np.testing.assert_array_equal(fields.time, inside)
    for k, channel in enumerate(CHANNELS):
        np.testing.assert_allclose(fields[:, k], value(channel, inside, LAT, LON), rtol=1e-6)
    assert read(tmp_path / "some.zarr", ("t2m",), hours=12).sizes["time"] == len(time)
    with pytest.raises(io.DataError, match=r"some.zarr: variable 'time': .* 2006-01-02T00 is miss"):
        read(tmp_path / "some.zarr", CHANNELS, years=[2006], hours=12)
    with pytest.raises(io.DataError, match="no such Zarr store"):
        read(tmp_path / "other.zarr", CHANNELS)


@pytest.mark.parametrize(
    "store, package", [("gs://bucket/a", "gcsfs"), ("https://host/a", "aiohttp"), ("b", "zarr")]
)
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, tmp_path, store, package):
    if package == "zarr":
        store = str(tmp_path / "b.zarr")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    pytest.importorskip("zarr") if package != "zarr" else None
    with pytest.raises(ImportError, match=rf"needs {package}; pip install 'dalib\[era5\]'"):
        read(store, CHANNELS)


# what is refused


def damaged(name, change):
    ds = cds(times(*DAYS))
    if callable(change):
        ds[name] = change(ds[name])
    else:
        ds[name].attrs = change
    return ds


REFUSED = {
    "NaN": (
        damaged("t2m", lambda v: v.where((v.time != v.time[4]) | (v.latitude != 45))),
        r"variable 't2m': nan at 2001-03-02T00, 45 N, 0 E \(8 of 480 values of channel 't2m'",
    ),
    "infinity": (damaged("z", lambda v: v / 0), "variable 'z': -?inf at 2001-03-01T00"),
    "unit": (damaged("t2m", {"units": "degC"}), "variable 't2m': expected units 'K' .*'degC'"),
    "no unit": (damaged("r", {}), "variable 'r': expected units '%' or '1' .*no units attribute"),
    "height": (damaged("z", {"units": "m"}), "variable 'z': expected units 'm2 s-2'"),
    "level": (
        cds(times(*DAYS)).isel(level=[0]),
        "variable 'r': channel 'r850' needs the level 850 hPa, found 500",
    ),
    "surface": (
        damaged("z", lambda v: v.isel(level=0, drop=True)),
        "variable 'z': channel 'z500' needs pressure levels, found time, latitude|time, lat",
    ),
    "name": (
        cds(times(*DAYS)).rename(t2m="T2M"),
        r"channel 't2m': expected a variable 't2m' or '2m_temperature', found .*mean \"T2M\"",
    ),
    "channel": (
        cds(times(*DAYS)).drop_vars("z"),
        "channel 'z500': expected a variable 'z' or 'geopotential', found t2m, r",
    ),
    "hour": (
        cds(np.delete(times(*DAYS), [5, 6])),
        "variable 'time': .* 2001-03-02T06 is missing and 1 others",
    ),
    "order": (cds(times(*DAYS)[::-1]), "variable 'time': expected times that increase"),
    "numbers": (
        cds(times(*DAYS)).assign_coords(time=np.arange(12)),
        "variable 'time': expected dates",
    ),
    "calendar": (
        cds(times(*DAYS)).convert_calendar("noleap", use_cftime=True),
        "expected dates, found those of the calendar 'noleap'; ds.convert_calendar",
    ),
    "dimension": (
        cds(times(*DAYS)).rename(latitude="y"),
        "expected one dimension lat or latitude, found time, .*y",
    ),
    "coordinate": (cds(times(*DAYS)).drop_vars("longitude"), "dimension 'lon': expected a var"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_used_is_refused_by_file_and_variable(tmp_path, what):
    ds, message = REFUSED[what]
    ds.to_netcdf(tmp_path / "some.nc")
    with pytest.raises(io.DataError, match=f"some.nc: .*{message}"):
        read(tmp_path / "some.nc", CHANNELS)


def test_only_what_is_wanted_of_a_file_is_read(tmp_path):
    """One channel of 32: memory holds it and a block of it, not the file."""
    time, level = times("2001-01-01", "2001-03-01"), np.arange(8)
    shape = (len(time), len(level), 24, 48)
    dims = ("time", "level", "latitude", "longitude")
    values = np.random.default_rng(0).standard_normal(shape, np.float32)
    file = {name: (dims, values, {"units": "m2 s-2"}) for name in ("z", "a", "b", "c")}
    lat, lon = np.linspace(86.25, -86.25, 24), np.arange(0, 360, 7.5)
    coords = {"time": time, "level": 100 * (level + 1), "latitude": lat, "longitude": lon}
    xr.Dataset(file, coords).to_netcdf(tmp_path / "some.nc")
    tracemalloc.start()
    try:
        found = read(tmp_path / "some.nc", ["z500"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found.values[:, 0] == values[:, 4]).all()
    assert peak < 6 * found.nbytes < 4 * values.nbytes / 5


@pytest.mark.parametrize("block", [1, 3000, 2**30])
@pytest.mark.parametrize("hours", [6, 12, 24])
def test_blocks_of_times_do_not_change_what_is_read(tmp_path, monkeypatch, block, hours):
    time = times("2001-02-27", "2001-03-09")
    chunks = {"t2m": {"chunksizes": (7, 5, 8)}}
    cds(time).to_netcdf(tmp_path / "some.nc", encoding=chunks)
    monkeypatch.setattr("dalib.era5.read.BLOCK", block)
    found = read(tmp_path / "some.nc", CHANNELS, hours=hours)
    for k, channel in enumerate(CHANNELS):
        expected = value(channel, time[:: hours // 6], LAT, LON)
        assert found.values[:, k] == pytest.approx(expected, abs=1e-4)


def test_a_file_that_breaks_off_in_its_values_is_named(tmp_path):
    path = tmp_path / "some.nc"
    cds(times(*DAYS)).to_netcdf(path, encoding={"t2m": {"zlib": True, "chunksizes": (12, 5, 8)}})
    data = bytearray(path.read_bytes())
    with open(path, "wb") as file:  # the stored values begin with the header of zlib
        at = data.index(b"\x78\x5e") if b"\x78\x5e" in data else data.index(b"\x78\x9c")
        data[at + 2 : at + 200] = bytes(198)
        file.write(data)
    with pytest.raises(io.DataError, match="some.nc: expected complete NetCDF"):
        read(path, ["t2m"])


def test_units_may_be_said_where_a_source_has_none(tmp_path):
    damaged("r", {}).to_netcdf(tmp_path / "some.nc")
    as_fraction, as_percent = (
        read(tmp_path / "some.nc", ("r850",), units={"r": unit}) for unit in ("1", "percent")
    )
    np.testing.assert_allclose(as_fraction, 100 * as_percent, rtol=1e-6)


def test_only_channels_that_are_known_can_be_asked_for():
    assert names.channel("z500").level == 500 and names.channel("u10").level is None
    assert len({names.channel(name) for name in names.CHANNELS}) == 20
    for name, hint in (("T2M", "t2m"), ("u_10", "u10"), ("z-500", "z500")):
        with pytest.raises(ValueError, match=f'did you mean "{hint}"'):
            names.channel(name)


def test_units_have_many_spellings():
    for text in ("m s**-1", "m/s", "m s-1", "m s^-1", "m s⁻¹"):
        assert names.unit(text) == "m s-1"
    assert names.unit("m**2 s**-2") == names.unit("m2/s2") == "m2 s-2"
    assert names.unit("kg m**-2") == names.unit("kg/m^2") == "kg m-2"
    assert names.unit("Kelvin") == "K"


# preparing


def fields(rows=9, columns=16, west=0.0, width=360.0, days=6):
    time, lat = times("2001-03-01", f"2001-03-{days + 1:02d}"), np.linspace(90, -90, rows)
    lon = west + np.arange(columns) * width / columns
    both = [value(c, time, lat, lon) for c in ("t2m", "z500")]
    coords = {"time": time, "channel": ["t2m", "z500"], "lat": lat, "lon": lon}
    array = xr.DataArray(np.stack(both, 1), coords, ("time", "channel", "lat", "lon"))
    return array.assign_coords(channel_units=("channel", ["K", "m2 s-2"]))


SPLITS = {
    "train": ("2001-03-01", "2001-03-03"),
    "valid": ("2001-03-04", "2001-03-04"),
    "test": ("2001-03-05", "2001-03-06"),
}


def test_moments_are_those_of_the_training_days_alone(tmp_path):
    parts = prepare(fields(), SPLITS)
    assert {n: p.fields.shape for n, p in parts.items()} == {
        "train": (12, 2, 8, 16),
        "valid": (4, 2, 8, 16),
        "test": (8, 2, 8, 16),
    }
    train = parts["train"].fields.astype(float)
    for part in parts.values():
        np.testing.assert_allclose(part["mean"], train.mean(("time", "lat", "lon")), rtol=1e-6)
        np.testing.assert_allclose(part["std"], train.std(("time", "lat", "lon")), rtol=1e-6)
    changed = fields()
    changed[12:] += 7
    xr.testing.assert_identical(prepare(changed, SPLITS)["test"]["mean"], parts["test"]["mean"])


def test_prepared_fields_are_kept_in_a_file(tmp_path):
    cds(times(*DAYS)).to_netcdf(tmp_path / "some.nc")
    spans = {"train": ("2001-03-01", "2001-03-02"), "test": ("2001-03-03", "2001-03-03")}
    part = prepare(read(tmp_path / "some.nc", CHANNELS), spans, multiple=4)["test"]
    io.write(part, tmp_path / "test.nc", title="prepared")
    again = io.read(tmp_path / "test.nc", needs={"fields": ("time", "channel", "lat", "lon")})
    xr.testing.assert_equal(again, part)


def test_a_pole_is_left_out_and_a_region_trimmed():
    assert trimmed(fields(rows=9)).lat.values[-1] == -67.5
    region = fields(rows=9, columns=19, west=-10, width=12).isel(lat=slice(1, None))
    assert trimmed(region, 4).shape == (24, 2, 8, 16)
    assert trimmed(region, 4).lon.values[0] == -10
    with pytest.raises(ValueError, match="11 x 16 points; both sides have to be multiples of 8"):
        trimmed(fields(rows=12))


def test_splits_that_leak_lack_or_jump_are_refused():
    for splits, message in (
        ({"test": SPLITS["test"]}, "need 'train'"),
        ({**SPLITS, "valid": ("2001-03-03", "2001-03-04")}, "'train' and 'valid' share times"),
        ({**SPLITS, "test": (2002, 2003)}, "'test', 2002 to 2003, has 0 times"),
    ):
        with pytest.raises(ValueError, match=message):
            prepare(fields(), splits)
    with pytest.raises(ValueError, match="'train', .* has a gap after 2001-03-02T00"):
        prepare(fields().isel(time=[0, 1, 2, 3, 4, 8, 9, 10, *range(12, 24)]), SPLITS)
    flat = fields()
    flat[:12, 1] = 3
    with pytest.raises(ValueError, match="channel 'z500' is constant"):
        prepare(flat, SPLITS)


# the stand-in


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    folder = tmp_path_factory.mktemp("waves")
    synthetic.write(folder, (2003, 2004), seed=1, hours=24, grid=(16, 32))
    return folder


def test_the_stand_in_is_read_like_the_real_thing(made_up):
    read_ = read(made_up, synthetic.CHANNELS, hours=24)
    assert read_.shape == (365 + 366, 5, 16, 32)
    part = prepare(read_, {"train": (2003, 2003), "test": (2004, 2004)})["train"]
    std = dict(zip(synthetic.CHANNELS, part["std"].values, strict=True))
    mean = dict(zip(synthetic.CHANNELS, part["mean"].values, strict=True))
    assert 50_000 < mean["z500"] < 54_000 and 260 < mean["t850"] < 280
    assert 5 < std["u500"] < 25 and 2 < std["v500"] < 15 and 5 < std["t2m"] < 25


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(made_up, tmp_path):
    for seed in (1, 2):
        synthetic.write(tmp_path / str(seed), (2003,), seed=seed, hours=24, grid=(16, 32))
    hashes = [
        io.content_hash(path / "era5_2003.nc") for path in (made_up, tmp_path / "1", tmp_path / "2")
    ]
    assert hashes[0] != hashes[2]
    one, two = (read(path, ("z500",), hours=24, years=[2003]) for path in (made_up, tmp_path / "2"))
    assert float(abs(one - two).max()) > 100
    assert read(tmp_path / "1", ("z500",), hours=24).shape == one.shape


def test_temperature_follows_the_wave_by_a_day_also_into_the_next_year(made_up):
    fields = read(made_up, ("z500", "t850"), hours=24).astype(float)
    sin = np.sin(np.radians(fields.lat.values))[:, None]
    wave = fields[:, 0].values - 9.81 * (5500 - 400 * sin**2)
    lagged = fields[:, 1].values - (285 - 45 * sin**2)
    np.testing.assert_allclose(lagged[1:], 0.004 * wave[:-1], atol=1e-3)


def test_winds_are_the_derivatives_of_the_stream_function():
    """East-west by the Fourier series, which is finite; north-south by small differences."""
    generator = np.random.default_rng(3)
    waves = generator.normal(size=(2, 8, 3)) + 1j * generator.normal(size=(2, 8, 3))
    lat, lon = np.linspace(1.4, -1.4, 15), np.arange(32) * 2 * np.pi / 32
    psi, dx, dy = synthetic.stream_function(waves, lat, lon)
    slope = np.fft.irfft(1j * np.arange(17) * np.fft.rfft(psi), 32)
    R = synthetic.RADIUS
    np.testing.assert_allclose(dx * R * np.cos(lat)[:, None], slope, atol=1e-12)
    north, south = (synthetic.stream_function(waves, lat + h, lon)[0] for h in (1e-5, -1e-5))
    np.testing.assert_allclose(dy * R, (north - south) / 2e-5, atol=1e-7)


def test_amplitudes_have_the_variance_and_memory_that_are_meant():
    """20 000 days hold about 2 000 independent values of each of 24: within five errors."""
    A = synthetic.ornstein_uhlenbeck(20_000, 1.0, np.random.default_rng(0))
    scaled = A / (synthetic.AMPLITUDE / synthetic.ORDERS[:, None])
    count = A.size / (2 * synthetic.MEMORY)
    assert scaled.var() == pytest.approx(1, abs=5 * (2 / count) ** 0.5)
    after = (scaled[5:] * scaled[:-5]).mean()
    assert after == pytest.approx(np.exp(-1), abs=5 * (2 / count) ** 0.5)


def test_years_have_to_follow_each_other():
    with pytest.raises(ValueError, match="expected successive years"):
        next(synthetic.datasets((2001, 2003)))


# scores


def test_rows_count_by_their_area():
    """An error in the band between 30 N and 30 S: half the sphere."""
    lat = xr.DataArray(90 - (np.arange(180) + 0.5), dims="lat", name="lat")
    truth = xr.DataArray(np.zeros((180, 4)), {"lat": lat.values}, ("lat", "lon"))
    assert float(sphere.weighted_rmse(truth + 3, truth)) == pytest.approx(3)
    band = truth + 2.0 * (abs(truth.lat) < 30)
    assert float(sphere.weighted_rmse(band, truth)) == pytest.approx(2**0.5, rel=1e-4)
    assert float(sphere.latitude_weights(truth.lat).mean()) == pytest.approx(1)


def test_relative_errors_and_correlations_know_their_limits():
    x = fields() - fields().mean("time")
    zero = xr.zeros_like(x)
    assert sphere.relative_rmse(zero, x).dims == ("time", "channel")
    np.testing.assert_allclose(sphere.relative_rmse(zero, x), 1)
    np.testing.assert_allclose(sphere.relative_rmse(1.5 * x, x), 0.5, rtol=1e-4)
    climatology = zero + 0.1
    for sign in (1, -1):
        estimate = climatology + sign * 3 * (x - climatology)
        r = sphere.anomaly_correlation(estimate, x, climatology)
        np.testing.assert_allclose(r, sign, rtol=1e-5)
