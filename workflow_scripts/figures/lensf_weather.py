"""Figure 10 and the error of Z500: assimilation into a weather model."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import weather

    made = snakemake.output
    scores = io.read(snakemake.input.weather)

    data = weather.maps_data(scores)
    missing = [*data.data_vars]
    io.write(data, made.fig10_data, title="Figure 10: weather at the last day", missing=missing)
    io.write_figure(weather.maps_figure(data), made.fig10_pdf, made.fig10_png)

    data = weather.error_data(scores)
    missing = ["median", "low", "high"]
    io.write(data, made.figS_weather_data, title="Error of Z500 in time", missing=missing)
    io.write_figure(weather.error_figure(data), made.figS_weather_pdf, made.figS_weather_png)
