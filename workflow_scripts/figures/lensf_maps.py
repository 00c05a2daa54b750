"""Maps: figures 1, 2, 4 and 10, examples, codes, weather and the film."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import animation, codes, latent_scheme, maps, weather

    made, shown = snakemake.output, ("shown_time", "variable", "x", "y")
    needs = {
        "truth_shown": shown,
        "mean_shown": ("shown_run", *shown),
        "observed_shown": ("shown_run", *shown),
        "likelihood_score": shown[1:],
        "film_truth": ("time", "x", "y"),
        "film": ("time", "x", "y"),
    }
    scores = io.read(snakemake.input.basin, needs=needs)

    data = latent_scheme.scheme_data(scores)
    missing = [*data.data_vars]
    io.write(data, made.fig1_data, title="Figure 1: filtering in latent space", missing=missing)
    io.write_figure(latent_scheme.scheme_figure(data), made.fig1_pdf, made.fig1_png)

    data = maps.score_data(scores)
    title = "Figure 2: state, sparse observation, and gradient of the log likelihood"
    io.write(data, made.fig2_data, title=title, missing=["observed"])
    io.write_figure(maps.score_figure(data), made.fig2_pdf, made.fig2_png)

    data = maps.sparsity_data(scores)
    missing = ["mean", "observed", "relative_rmse"]
    io.write(data, made.fig4_data, title="Figure 4: EnSF and sparse observations", missing=missing)
    io.write_figure(maps.sparsity_figure(data), made.fig4_pdf, made.fig4_png)

    data = maps.examples_data(scores)
    missing = [*data.data_vars]
    io.write(data, made.figS_examples_data, title="True and perturbed states", missing=missing)
    io.write_figure(maps.examples_figure(data), made.figS_examples_pdf, made.figS_examples_png)

    data = codes.codes_data(scores)
    io.write(data, made.figS_codes_data, title="Codes of states and of their observations")
    io.write_figure(codes.codes_figure(data), made.figS_codes_pdf, made.figS_codes_png)

    data = animation.film_data(scores)
    missing = ["analysis", "error"]
    io.write(data, made.animation_data, title="Film: truth, analysis, error", missing=missing)
    with io.replacing(made.animation) as part:
        animation.film(data).save(part, animation.Gif(), dpi=100)

    scores = io.read(snakemake.input.weather)

    data = weather.maps_data(scores)
    missing = [*data.data_vars]
    io.write(data, made.fig10_data, title="Figure 10: weather at the last day", missing=missing)
    io.write_figure(weather.maps_figure(data), made.fig10_pdf, made.fig10_png)

    data = weather.error_data(scores)
    missing = ["median", "low", "high"]
    io.write(data, made.figS_weather_data, title="Error of Z500 in time", missing=missing)
    io.write_figure(weather.error_figure(data), made.figS_weather_pdf, made.figS_weather_png)
