"""Draws the pictures of the pages on words and tables from what the examples have written.

python docs/examples/pictures.py RUNS    # with RUNS/words and RUNS/table
"""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes

PICTURES = Path(__file__).parents[1] / "pictures"
COLORS = {"generated": "#d55e00", "shuffled letters": "#666666", "training words": "#0072b2"}


def words(folder):
    figures = json.loads((folder / "figures.json").read_text())
    figure = Figure(figsize=(6, 2.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    for place, (side, color) in enumerate(COLORS.items()):
        values = figures[side].values()
        axes.bar(np.arange(4) + 0.27 * place, values, 0.25, color=color, label=side)
    axes.set_xticks(np.arange(4) + 0.27, [f"{n}-grams" for n in range(1, 5)])
    axes.set(ylabel="distance from held-out words")
    axes.legend()
    figure.savefig(PICTURES / "words.png")


def table(folder):
    real = load_diabetes(scaled=False).data
    made = np.loadtxt(folder / "rows.csv", delimiter=",")
    figure = Figure(figsize=(8, 2.6), dpi=120, layout="constrained")
    columns = (0, "age"), (2, "body mass index"), (6, "HDL cholesterol")
    axes = figure.subplots(1, 4)
    for plot, (column, name) in zip(axes, columns, strict=False):
        both = real[:, column], made[:, column]
        plot.hist(both, 15, density=True, color=["#0072b2", "#d55e00"], label=["real", "generated"])
        plot.set(xlabel=name, yticks=[])
    axes[1].legend()
    for rows, color in ((made[:442], "#d55e00"), (real, "#0072b2")):
        axes[3].plot(rows[:, 6], rows[:, 7], ".", color=color, markersize=3, alpha=0.6)
    axes[3].set(xlabel="HDL cholesterol", ylabel="cholesterol / HDL")
    figure.savefig(PICTURES / "table.png")


if __name__ == "__main__":
    words(Path(sys.argv[1]) / "words")
    table(Path(sys.argv[1]) / "table")
