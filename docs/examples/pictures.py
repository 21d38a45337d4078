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


def tuner(folder):
    trials = [json.loads(path.read_text()) for path in folder.glob("trials/trial_*/trial.json")]
    figure = Figure(figsize=(5.5, 3), dpi=120, layout="constrained")
    axes = figure.subplots()
    for beta, marker in ((0.0, "o"), (0.5, "s"), (0.9, "^")):
        some = [t for t in trials if t["hyperparameters"]["values"]["beta_1"] == beta]
        rates = [t["hyperparameters"]["values"] for t in some]
        x, y = ([r[f"{side} rate"] for r in rates] for side in ("generator", "discriminator"))
        drawn = axes.scatter(
            x, y, c=[t["score"] for t in some], marker=marker, s=60, vmin=50, vmax=320,
            cmap="viridis_r", label=f"β₁ {beta:g}",
        )  # fmt: skip
    axes.plot(2e-4, 2e-4, "x", color="black", label="default")
    axes.set(xlabel="generator rate", ylabel="discriminator rate", xscale="log", yscale="log")
    axes.set_xticks(ticks := [2e-4, 1e-3, 4e-3], [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    figure.legend(loc="outside lower center", ncols=4, fontsize="small")
    figure.colorbar(drawn, label="Fréchet distance")
    figure.savefig(PICTURES / "tuner.png")


if __name__ == "__main__":
    words(Path(sys.argv[1]) / "words")
    table(Path(sys.argv[1]) / "table")
    tuner(Path(sys.argv[1]) / "tuner")
