"""What figures and tables of the paper read, from `columns` and `shown` of its configuration.

`graph` is what the rules are wired with: `graph.config`, and paths of results.
"""

from typing import Any

PAPER = "gpt"


def column_of(graph: Any, case: str) -> dict[str, Any]:
    """The column of the table that figures show of a case."""
    section = graph.config[PAPER]
    return section["columns"][section["shown"][case]]


def codec_shown(graph: Any, case: str, suffix: str = "") -> str:
    """The codec of that column, or its tokens."""
    return f"{graph.folder(PAPER, case)}/codecs/{column_of(graph, case)['cells']}{suffix}.nc"


def forecasts_shown(graph: Any, case: str, *roles: str) -> list[str]:
    """Forecasts of the methods under `roles` of that column, as far as the case runs them."""
    column, files = column_of(graph, case), graph.results(PAPER, case, "forecasts")
    return [path for role in roles for path in files.get(column[role], [])]


def histories(graph: Any) -> list[str]:
    """What the training of the models of the columns left behind, in the active cases."""
    section = graph.config[PAPER]
    return [
        path
        for column in section["columns"].values()
        if "network" in column and column["case"] in section["active"]
        if column["generated"] in graph.results(PAPER, column["case"], "forecasts")
        for path in graph.model_files(PAPER, column["case"], column["network"], ".history")
    ]


def sizes_of_updates(graph: Any) -> dict[str, str]:
    """Sections of a spec: how many windows of how many tokens each model sees in an update."""
    models = graph.config[PAPER]["models"]
    batch = {f"batch_{name}": f"{PAPER}.models.{name}.training.batch" for name in models}
    return batch | {f"context_{name}": f"{PAPER}.models.{name}.network.context" for name in models}
