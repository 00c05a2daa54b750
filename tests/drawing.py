"""A figure and the data beside it, checked against each other."""

from dalib import io


def check_redrawn(drawn, draw, folder):
    """The figure drawn from its own NetCDF has the same bytes, as PDF and as PNG."""
    io.write(drawn, folder / "data.nc", title="data", missing=list(drawn))
    for name, source in {"a": drawn, "b": io.read(folder / "data.nc")}.items():
        io.write_figure(draw(source), folder / f"{name}.pdf", folder / f"{name}.png")
    for kind in ("pdf", "png"):
        first, second = ((folder / f"{name}.{kind}").read_bytes() for name in "ab")
        assert first == second
        assert first.startswith({"pdf": b"%PDF", "png": b"\x89PNG"}[kind])
    assert not list(folder.glob("*.part-*"))
