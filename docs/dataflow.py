"""Draw docs/images/dataflow.svg, how data flow through the stages: python docs/dataflow.py"""

from pathlib import Path

import matplotlib.pyplot as plt

STAGES = {  # stage: (x, y, title, what it writes)
    "config": (0.0, 2.0, "configuration", "papers/<paper>/\nconfig.yaml"),
    "truth": (2.2, 2.0, "simulate, era5", "truth: training,\nvalidation, test"),
    "observe": (4.9, 3.2, "observe", "observations (NaN:\nnot observed), prior"),
    "fit": (4.9, 0.8, "fit (encode, tune)", "codecs, weights,\nchosen settings"),
    "run": (7.6, 2.0, "assimilate,\nforecast, sample", "analyses, forecasts,\nsamples"),
    "evaluate": (9.8, 2.0, "evaluate, time", "scores, CPU times"),
    "judge": (12.0, 3.2, "judge", "scorecard: claims\nand verdicts"),
    "draw": (12.0, 0.8, "figures and tables", "pdf, png, nc;\nmd, csv"),
    "index": (14.2, 2.0, "index", "index.html:\none page"),
}
ARROWS = [  # from, to, what flows
    ("config", "truth", ""),
    ("truth", "observe", "states"),
    ("truth", "fit", "training and\nvalidation\nstates"),
    ("observe", "fit", "observations"),
    ("observe", "run", "test obs.,\nprior"),
    ("fit", "run", "fitted\nmethods"),
    ("run", "evaluate", ""),
    ("evaluate", "judge", ""),
    ("evaluate", "draw", ""),
    ("judge", "index", ""),
    ("draw", "index", ""),
]
WIDTH, HEIGHT = 1.85, 1.0
BLUE, GREY, RED = "#33608c", "#5a5a5a", "#b03a2e"


def box(ax, x, y, title, content):
    """A stage and, below its name, what it writes."""
    ax.add_patch(
        plt.Rectangle(
            (x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, fc="#f3f6fa", ec=BLUE, lw=1.2, zorder=2
        )
    )
    lines = title.count("\n")
    top = y + HEIGHT / 2 - 0.08
    ax.text(x, top, title, ha="center", va="top", weight="bold", color=BLUE, zorder=3)
    ax.text(x, top - 0.27 - 0.2 * lines, content, ha="center", va="top", size=8, zorder=3)


def arrow(ax, start, end, words):
    """From the edge of one box to the edge of the next."""
    (x0, y0), (x1, y1) = STAGES[start][:2], STAGES[end][:2]
    if x0 == x1:
        sign = 1 if y1 > y0 else -1
        a, b = (x0, y0 + sign * HEIGHT / 2), (x1, y1 - sign * HEIGHT / 2)
    else:
        a, b = (x0 + WIDTH / 2, y0), (x1 - WIDTH / 2, y1)
    ax.annotate("", b, a, arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.2})
    place = {"ha": "center", "va": "center", "size": 7.5, "color": GREY, "zorder": 4}
    middle = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    if words:
        ax.text(*middle, words, bbox={"fc": "white", "ec": "none", "pad": 0.8}, **place)


def drawn():
    figure, ax = plt.subplots(figsize=(16.5, 5.2))
    for stage in STAGES.values():
        box(ax, *stage)
    for line in ARROWS:
        arrow(ax, *line)
    x, y = STAGES["truth"][:2]
    ends = STAGES["evaluate"][0]
    path = [(x, y + HEIGHT / 2), (x, 4.1), (ends, 4.1)]
    ax.plot(*zip(*path, strict=True), color=RED, lw=1.4)
    ax.annotate(
        "",
        (ends, STAGES["evaluate"][1] + HEIGHT / 2),
        path[-1],
        arrowprops={"arrowstyle": "-|>", "color": RED, "lw": 1.4, "shrinkA": 0},
    )
    words = "test states: read to observe, score and draw, never an input of a method"
    ax.text((x + ends) / 2, 4.16, words, ha="center", va="bottom", size=8.5, color=RED)
    ax.set(xlim=(-1.0, 15.2), ylim=(0.1, 4.5), aspect="equal")
    ax.axis("off")
    return figure


if __name__ == "__main__":
    target = Path(__file__).with_name("images") / "dataflow.svg"
    with plt.rc_context({"svg.hashsalt": "dalib", "font.size": 9, "font.family": "DejaVu Sans"}):
        drawn().savefig(target, bbox_inches="tight", metadata={"Date": None})
