"""Maps and animations of gridded states: drawn from their own data, whatever a scale leaves out."""

import matplotlib
import numpy as np
import pytest
import xarray as xr
from drawing import check_redrawn
from matplotlib.figure import Figure

from dalib import io, plotting
from papers.lensf.figures import animation, latent_scheme, latents, maps, weather

SETTINGS = ("scale", "eps_beta", "likelihood_std", "inflation", "weight")
RUNS = {  # label: method, every, members, codec
    "free": ("free", 10, 20, ""),
    "ensf": ("ensf", 5, 20, ""),
    "ensf members=5": ("ensf", 5, 5, ""),
    "ensf every=1": ("ensf", 1, 20, ""),
    "ensf every=2": ("ensf", 2, 20, ""),
    "latent_letkf": ("latent_letkf", 5, 20, "vae5"),
    "latent_ensf": ("latent_ensf", 5, 20, "vae5"),
}
CODECS = {"vae2": (2, 1), "vae5": (5, 1), "vae5_apart": (5, 0)}
UNITS = {"u": "m/s", "v": "m/s", "eta": "m", "z500": "m2 s-2", "u500": "m s-1", "t2m": "K"}
POINTS, TIMES = 10, 6
METRES = 1000.0 * np.arange(POINTS)


def described(dims, values, units="1", name="quantity"):
    return (dims, np.asarray(values, float), {"units": units, "long_name": name})


def wave(time, variable, shift=0.0):
    """A wave that goes in x, other than in y, nowhere zero: (x, y)."""
    x, y = np.meshgrid(np.arange(POINTS), np.arange(POINTS), indexing="ij")
    return (1 + variable) * np.sin(0.5 * x - time + shift + 0.1) * np.exp(-0.1 * y)


def seen(values, every):
    sensors = np.full(values.shape, np.nan)
    kept = (..., slice(every // 2, None, every), slice(every // 2, None, every))
    sensors[kept] = values[kept]
    return sensors


def scores(shown=(1, 3, 6), runs=tuple(RUNS), variables=("u", "v", "eta"), seeds=2):
    """Scores of filters on a small grid, all runs shown."""
    count, some = range(len(variables)), [RUNS[r] for r in runs]
    truth = np.array([[wave(t, v) for v in count] for t in shown])
    mean = np.array(
        [[[wave(t, v, 0.3 * i) for v in count] for t in shown] for i in range(len(runs))]
    )
    observed = np.array([seen(truth, every) for _, every, _, _ in some])
    error = (1 + np.arange(len(runs)))[:, None, None] + 0.01 * np.arange(TIMES)
    error = error * np.ones((1, seeds, 1))
    every, last = np.arange(1, TIMES + 1), len(variables) - 1
    dims = ("shown_time", "variable", "x", "y")
    first = seen(truth, 5)[0]
    code = np.sin(np.arange(TIMES)[:, None] * [[1.0, 0.1, 0.5, 0.7]])
    codec = ("codec", "seed", "time", "code")
    state = np.ones((len(CODECS), seeds, 1, 1)) * code
    apart = np.array([0.0 if matched else 1.0 for _, matched in CODECS.values()])
    return xr.Dataset(
        {
            "relative_rmse": described(("run", "seed", "time"), error),
            "mean_relative_rmse": described(("run", "seed"), error.mean(-1)),
            "variable_relative_rmse": described(
                ("run", "seed", "time", "variable"), error[..., None] * (1 + np.array(count))
            ),
            "truth_shown": described(dims, truth),
            "mean_shown": described(("shown_run", *dims), mean),
            "observed_shown": described(("shown_run", *dims), observed),
            "likelihood_score": described(dims[1:], np.nan_to_num(first)),
            "film_truth": described(("time", "x", "y"), [wave(t, last) for t in every]),
            "film": described(("time", "x", "y"), [wave(t, last, 0.1) for t in every]),
            "code_state": described(codec, state),
            "code_obs": described(codec, state + apart[:, None, None, None]),
        },
        {
            "run": list(runs),
            "method": ("run", [r[0] for r in some]),
            "every": ("run", [r[1] for r in some]),
            "members": ("run", [r[2] for r in some]),
            "model": ("run", [r[3] for r in some]),
            "latent": ("run", [400 if r[3] else 0 for r in some]),
            "interval": ("run", [1] * len(some)),
            "start": ("run", ["noise"] * len(some)),
            "noise": described("run", [0.1] * len(some)),
            **{"base_every": 5, "base_start": "noise", "base_interval": 1},
            "base_noise": described((), 0.1),
            "altered": ("run", ["members" if r[2] != 20 else "" for r in some]),
            **{name: described("run", [np.nan] * len(some)) for name in SETTINGS},
            "seed": np.arange(seeds),
            "time": described("time", 1800.0 * every, "s", "model time"),
            "variable": list(variables),
            "unit": ("variable", [UNITS[v] for v in variables]),
            "x": described("x", METRES, "m"),
            "y": described("y", METRES, "m"),
            "shown_time": described("shown_time", 1800.0 * np.array(shown), "s", "model time"),
            "shown_run": list(runs),
            "codec": list(CODECS),
            "codec_every": ("codec", [c[0] for c in CODECS.values()]),
            "codec_latent": ("codec", [400] * len(CODECS)),
            "codec_matched": ("codec", [c[1] for c in CODECS.values()]),
        },
    )


def weathers(variables=("t2m", "u500", "z500"), **more):
    made = scores(variables=variables, **more)
    latitude = ("x", np.linspace(81, -81, POINTS), {"units": "degrees_north", "long_name": "lat"})
    longitude = ("y", 36.0 * np.arange(POINTS), {"units": "degrees_east", "long_name": "lon"})
    days = made.time.copy(data=86400.0 * np.arange(1, TIMES + 1))
    shown = 86400.0 / 1800.0 * made.shown_time
    shown.attrs = made.shown_time.attrs
    return made.assign_coords(x=latitude, y=longitude, time=days, shown_time=shown)


def one_of_each():
    """A scale with one time, and no run beyond those that must be there."""
    return scores((1,), ("free", "ensf", "latent_ensf"), seeds=1)


BASIN = {
    "fig1": (latent_scheme.scheme_data, latent_scheme.scheme_figure),
    "fig2": (maps.score_data, maps.score_figure),
    "fig4": (maps.sparsity_data, maps.sparsity_figure),
    "examples": (maps.examples_data, maps.examples_figure),
    "latents": (latents.latents_data, latents.latents_figure),
    "animation": (animation.animation_data, animation.animation_figure),
}
WEATHER = {
    "fig10": (weather.maps_data, weather.maps_figure),
    "weather_rmse": (weather.error_data, weather.error_figure),
}
over_basin = pytest.mark.parametrize(("select", "draw"), BASIN.values(), ids=BASIN)
over_weather = pytest.mark.parametrize(("select", "draw"), WEATHER.values(), ids=WEATHER)


@over_basin
def test_a_figure_is_drawn_from_its_file_alone(select, draw, tmp_path):
    check_redrawn(select(scores()), draw, tmp_path)


@over_weather
def test_a_figure_of_weather_is_drawn_from_its_file_alone(select, draw, tmp_path):
    check_redrawn(select(weathers()), draw, tmp_path)


@over_basin
def test_one_time_and_one_run_of_each_are_enough(select, draw):
    before = dict(matplotlib.rcParams)
    assert isinstance(draw(select(one_of_each())), Figure)
    assert dict(matplotlib.rcParams) == before


@over_weather
def test_one_run_of_weather_is_enough(select, draw):
    made = weathers(("t2m",), shown=(6,), runs=("free",), seeds=1)
    assert isinstance(draw(select(made)), Figure)


# -- what is shown ---------------------------------------------------------------------------------


def test_a_map_has_y_upward_and_x_to_the_right_in_km():
    made = scores()
    found = maps.on_map(made.truth_shown.isel(y=slice(None, None, -1)))
    assert found.dims[-2:] == ("y", "x")
    assert np.array_equal(found.x, METRES / 1000) and np.array_equal(found.y, METRES / 1000)
    assert np.array_equal(found[1, 2].values, wave(3, 2).T)
    assert found.x.attrs["units"] == "km"


def test_an_image_has_each_point_in_the_middle_of_its_cell():
    values = maps.on_map(scores().truth_shown)[0, 0]
    ax = plotting.figure().add_subplot()
    image = maps.field(ax, values)
    assert image.get_extent() == [-0.5, POINTS - 0.5, -0.5, POINTS - 0.5]
    assert np.array_equal(image.get_array(), values.values)
    assert ax.get_aspect() == 1.0 and image.origin == "lower"


def test_times_and_numbers_name_the_same_analyses():
    made = scores(shown=(2, 5))
    numbered = made.assign_coords(shown_time=[2, 5])
    for one in (made, numbered):
        data = maps.sparsity_data(one)
        assert data.shown_time.values.tolist() == [2, 5]
        assert data["at"].values.tolist() == [1.0, 2.5] and data["at"].attrs["units"] == "h"
    assert maps.title(data, 1) == "analysis 5 (2.5 h)"


def test_a_time_that_counts_steps_is_not_called_hours():
    made = scores()
    made.time.attrs["units"] = "1"
    assert maps.title(maps.sparsity_data(made), 0) == "analysis 1"


def test_colours_are_symmetric_and_say_what_lies_beyond_them():
    values = xr.DataArray(np.r_[np.linspace(-0.5, 1.0, 999), np.nan, np.inf])
    colours = maps.about_zero(values, clipped=0.1)
    assert colours["vmin"] == -colours["vmax"] and 0.5 < colours["vmax"] < 1.0
    assert maps.ends(colours, values) == "max"
    assert maps.ends(maps.about_zero(values[:-1], clipped=0.0), values[:-1]) == "neither"


def test_all_maps_of_a_figure_have_one_scale():
    fig = maps.sparsity_figure(maps.sparsity_data(scores()))
    limits = {image.get_clim() for ax in fig.axes for image in ax.images}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == -high


# -- the figures -----------------------------------------------------------------------------------


def test_the_score_is_zero_where_nothing_is_seen():
    data = maps.score_data(scores())
    assert float(data.zero_share) == pytest.approx(1 - 4 / POINTS**2)
    assert np.array_equal(data.observed.notnull(), data.score != 0)
    assert data.truth.attrs["units"] == "m" and data.score.attrs["units"] == "1"
    fig = maps.score_figure(data)
    assert any("96 %" in ax.get_title() for ax in fig.axes)
    assert len(fig.axes[1].collections[0].get_offsets()) == 4


def test_no_less_than_all_is_called_all():
    assert maps.percent(0.99996) == "99.9 %" and maps.percent(1.0) == "100 %"


def test_rows_of_sparsity_are_the_runs_that_differ_in_it_alone():
    data = maps.sparsity_data(scores())
    assert data.shown_run.values.tolist() == ["ensf every=1", "ensf every=2", "ensf"]
    assert data["every"].values.tolist() == [1, 2, 5]
    assert np.array_equal(data["mean"].sel(shown_run="ensf")[1], wave(3, 2, 0.3).T)
    assert data.relative_rmse.sel(shown_run="ensf").values.tolist() == [2.0, 2.02, 2.05]
    fig = maps.sparsity_figure(data)
    labels = [ax.get_ylabel().split("\n")[0] for ax in fig.axes if "\n" in ax.get_ylabel()]
    assert labels == ["truth", "EnSF, 1x", "EnSF, 4x", "EnSF, 25x"]
    counts = [len(line.get_xdata()) for ax in fig.axes[::3][:4] for line in ax.lines]
    assert counts == [25, 4]  # no dots where every point is a sensor


def test_examples_are_the_truth_and_the_free_run_if_there_is_one():
    data = maps.examples_data(scores())
    assert data.source.values.tolist() == ["truth", "free"]
    assert np.array_equal(data.east.sel(source="truth")[0], wave(1, 0).T)
    assert data.east.attrs["units"] == "m/s" and data.surface.attrs["units"] == "m"
    alone = maps.examples_data(scores(runs=("ensf", "latent_ensf")))
    assert alone.source.values.tolist() == ["truth"]
    assert isinstance(maps.examples_figure(alone), Figure)
    still = data.assign(east=0 * data.east, north=0 * data.north)
    still.east.attrs = data.east.attrs
    assert isinstance(maps.examples_figure(still), Figure)


def test_the_scheme_shows_the_codes_of_the_run_it_shows():
    made = scores()
    data = latent_scheme.scheme_data(made)
    assert np.array_equal(data.code_obs, made.code_obs.sel(codec="vae5")[0, 0])
    assert data.code_forecast.isnull().all()  # not among these scores
    assert np.array_equal(data.forecast, wave(1, 2, 0.0).T)
    assert np.array_equal(data.analysis, wave(1, 2, 0.3 * 6).T)
    assert data.relative_rmse.values.tolist() == [1.0, 7.0] and int(data.latent) == 400
    fuller = made.assign(code_forecast=made.code_state + 1)
    assert np.array_equal(
        latent_scheme.scheme_data(fuller).code_forecast, made.code_state.sel(codec="vae5")[0, 0] + 1
    )


def test_the_scheme_asks_for_a_latent_run():
    with pytest.raises(ValueError, match="a run of latent_ensf, found free, ensf"):
        latent_scheme.scheme_data(scores(runs=("free", "ensf")))


def test_codes_without_matching_are_those_of_a_codec_that_is_alike_otherwise():
    data = latents.latents_data(scores())
    assert data.codec.values.tolist() == ["vae5", "vae5_apart"]
    assert data.matched.values.tolist() == [1, 0]
    assert float(data.mismatch[0]) == 0.0 and float(data.mismatch[1]) > 0.5
    state = data.code_state[0].std("time").values
    assert data.shown_code[0].values.tolist() == np.argsort(-state, kind="stable")[:3].tolist()


def test_without_such_a_codec_the_figure_says_so():
    alone = latents.latents_data(scores().sel(codec=["vae2", "vae5"]))
    assert alone.codec.values.tolist() == ["vae5"]
    (legend,) = latents.latents_figure(alone).legends
    assert "(without the matching term: only from scale desk on)" in [
        text.get_text() for text in legend.get_texts()
    ]


# -- the animation ---------------------------------------------------------------------------------


def test_an_animation_is_the_same_bytes_twice_whatever_its_name(tmp_path):
    data = animation.animation_data(scores())
    for name in ("a.gif", "b.gif"):
        with io.replacing(tmp_path / name) as part:
            animation.animation(data).save(part, animation.Gif(), dpi=40)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.gif", "b.gif"))
    assert first == second and first.startswith(b"GIF89a")
    assert first.count(b"\x21\xf9\x04") == TIMES  # a graphic control block each frame
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gif", "b.gif"]


def test_an_animation_shows_truth_analysis_and_their_difference():
    data = animation.animation_data(scores())
    assert data.shown_time.values.tolist() == list(range(1, TIMES + 1))
    assert np.array_equal(data.truth[3], wave(4, 2).T)
    assert np.allclose(data.error, data.analysis - data.truth)
    assert data.error.attrs["units"] == "m"
    fig = animation.animation_figure(data, 3)
    assert fig.get_suptitle() == "analysis 4 (2.0 h)"
    assert np.array_equal(fig.axes[2].images[0].get_array(), data.error[3])


def test_an_animation_has_few_frames_and_none_without_an_analysis():
    made = scores()
    film = made.film.where(made.time != made.time[2])
    shown = animation.animation_data(made.assign(film=film)).shown_time
    assert shown.values.tolist() == [1, 2, 4, 5, 6]
    long = xr.concat([made[["film", "film_truth"]]] * 25, "time")
    long = long.assign_coords(made.drop_dims("time").coords).assign_coords(
        time=described("time", np.arange(1.0, 151.0), "s")
    )
    assert animation.animation_data(long).sizes["frame"] == 50
    with pytest.raises(ValueError, match="no analysis with a finite value"):
        animation.animation_data(made.assign(film=made.film * np.nan))


def test_the_palette_of_an_animation_holds_the_ends_and_the_middle_of_its_scales():
    colours = np.array(animation.colours()).reshape(-1, 3)
    assert len(colours) == 256 and {(0, 0, 0), (255, 255, 255)} <= set(map(tuple, colours))
    for name in (maps.STATES, maps.ERRORS):
        wanted = 255 * np.array(matplotlib.colormaps[name]([0.0, 0.5, 1.0]))[:, :3]
        assert (abs(wanted[:, None] - colours).max(-1).min(-1) <= 4).all()


# -- weather ---------------------------------------------------------------------------------------


def test_weather_is_shown_at_the_last_time_with_the_north_above():
    data = weather.maps_data(weathers())
    assert data.channel.values.tolist() == ["z500", "u500"]
    assert data["method"].values.tolist() == ["free", "latent_letkf", "latent_ensf"]
    assert int(data.shown_time[0]) == 6 and maps.title(data, 0) == "analysis 6 (day 6)"
    assert float(data.y[0]) == -81.0
    assert np.array_equal(data.truth_z500, wave(6, 2)[::-1])
    assert np.allclose(data.error_z500, data.mean_z500 - data.truth_z500)
    assert data.truth_u500.attrs["units"] == "m s-1"
    error = data.relative_rmse.sel({"method": "latent_ensf"}, drop=True)
    assert error.values == pytest.approx([3 * 7.05, 2 * 7.05])


def test_channels_that_are_not_there_are_replaced():
    assert weather.channels(weathers(("t2m", "u", "u500"))) == ["u500", "t2m"]
    assert weather.channels(weathers(("t2m",))) == ["t2m"]


def test_weather_without_a_map_of_the_methods_says_what_there_is():
    with pytest.raises(ValueError, match="one of free, latent_letkf, latent_ensf, found ensf"):
        weather.maps_data(weathers(runs=("ensf",)))


def test_errors_of_weather_are_medians_against_days():
    made = weathers()
    made["variable_relative_rmse"][:, 1] *= 3
    data = weather.error_data(made)
    assert data.time.values.tolist() == [1, 2, 3, 4, 5, 6] and data.attrs["channel"] == "z500"
    free = data.sel({"method": "free"})
    assert free["median"].values == pytest.approx(6 * (1 + 0.01 * np.arange(6)))
    assert free.high.values == pytest.approx(9 * (1 + 0.01 * np.arange(6)))
    ax = weather.error_figure(data).axes[0]
    assert ax.get_xlabel() == "day" and ax.get_ylabel() == "relative RMSE of Z500"
