"""The tables of the paper: the function reads what its rule gives and makes the texts."""

from collections.abc import Mapping
from typing import Any

from dalib import io
from dalib.tables import csv, filled
from papers.gpt.tables import columns, quantities


def tables(given: Any, config: Mapping) -> dict[str, list[str]]:
    """Table 1 with the paper's numbers beside ours, a table on the dynamics, and notes on both."""
    names = config["plot"]["table"]
    table = columns.columns(config["plot"]["columns"], names, io.read_scores(given.scores))
    told = columns.values(table, names, quantities.ALL)
    return {
        "table1": [
            columns.page(table, quantities.DISTANCES, quantities.ON_DISTANCES),
            csv(columns.rows(table, quantities.DISTANCES)),
        ],
        "dynamics": [
            columns.page(table, quantities.DYNAMICS, quantities.ON_DYNAMICS),
            csv(columns.rows(table, quantities.DYNAMICS)),
        ],
        "story": [filled(io.read_text(given.template), told)],
    }
