"""Writes the table and the plots of a device's results.

    python -m benchmarks.report benchmarks/results/cpu_2_cores

reads every `throughput*.json` in the folder and writes `throughput.md` and PNGs into it.
"""

import json
import sys
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito's colours, which colour-blind readers can distinguish.
COLOURS = {"jax": "#0072B2", "torch": "#D55E00", "tensorflow": "#E69F00"}
MARKERS = {"jax": "o", "torch": "s", "tensorflow": "^"}
HEADER = {
    "network": "---", "batch": "--:", "backend": "---", "step": "---", "images/s": "--:",
    "spread": "--:", "× native": "--:", "ms/step": "--:", "discr. + gen. ms": "--:",
    "compile s, cold / warm": "--:", "peak MiB": "--:", "MFLOP/image": "--:", "of ceiling": "--:",
}  # fmt: skip
INFERENCE = {
    "network": "---", "batch": "--:", "backend": "---", "`generate`, ms": "--:", "spread": "--:",
    "images/s": "--:",
}  # fmt: skip
STYLE = {
    "font.size": 14, "axes.grid": True, "axes.axisbelow": True, "grid.color": "#dddddd",
    "legend.framealpha": 1.0, "savefig.facecolor": "white",
}  # fmt: skip


def write(folder):
    """Writes the table and the plots; returns the files' names."""
    runs = [json.loads(path.read_text()) for path in folder.glob("throughput*.json")]
    runs.sort(key=lambda run: run["date"])
    rows, scaling, inference = (_latest(runs, part) for part in ("rows", "scaling", "inference"))
    rows.sort(key=lambda row: (row["precision"] != "float32", row["variant"]))
    add_shares(rows)
    parts = [f"# Throughput on {runs[0]['device']}", "\n".join(map(_about, runs))]
    parts += [_table(HEADER, map(_cells, rows))] if rows else []
    parts += [_table(INFERENCE, map(_inference_cells, inference))] if inference else []
    parts += ["Not measured:", notes] if (notes := _notes(runs, rows)) else []
    (folder / "throughput.md").write_text("\n\n".join(parts) + "\n")
    drawn = {"throughput.png": (_bars, rows), "scaling.png": (_scaling, scaling)}
    drawn = {k: v for k, v in (drawn | {"inference.png": (_inference, inference)}).items() if v[1]}
    with matplotlib.rc_context(STYLE):
        for name, (draw, part) in drawn.items():
            draw(part).savefig(folder / name, dpi=100)
    return ["throughput.md", *drawn]


def _latest(runs, part):
    """Returns the rows of all runs; of a case measured twice, the later one."""
    names = ("variant", "precision", "batch_size", "image_shape", "backend", "sweep")
    rows = [row for run in runs for row in run[part]]
    return list({str([row.get(name) for name in names]): row for row in rows}.values())


def add_shares(rows):
    """Sets each row's share of the highest rates that any backend reached on this device."""
    for row in rows:
        ceilings = [r["ceiling"] for r in rows if r["precision"] == row["precision"]]
        seconds = {
            kind: row[f"{kind}_per_image"] / max(ceiling[kind] for ceiling in ceilings)
            for kind in ("flops", "bytes")
            if row[f"{kind}_per_image"]
        }
        row["bound"] = max(seconds, key=seconds.get)
        row["share_of_ceiling"] = seconds[row["bound"]] * row["images_per_second"]


def _about(run):
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run["versions"].items()))
    changes = (run["changed_files"] or "").splitlines()
    folders = sorted({line.split()[-1].split("/")[0] for line in changes})
    changed = f" with changes in {', '.join(folders)}" if folders else ""
    driver = f", driver {run['driver']}" if run["driver"] else ""
    return (
        f"- `{run['command']}`, commit {(run['commit'] or 'unknown')[:10]}{changed}, "
        f"{run['date']}, {run['processor']}, {run['cores']} cores{driver}, Python "
        f"{run['python']}, {versions}; medians of {run['rounds']} rounds."
    )


def name(part, case):
    """Returns a case's name, for the screen and the notes."""
    shape = "×".join(map(str, case["image_shape"]))
    names = [part, case["backend"], case["variant"], case["precision"], shape]
    return " ".join(names if part == "inference" else [*names, f"batch {case['batch_size']}"])


def _notes(runs, rows):
    """Returns a list of what no run could measure, and why."""
    notes = {case: why for run in runs for case, why in run["left_out"].items()}
    for run in runs:
        for part in ("rows", "scaling", "inference"):
            for row in run[part]:
                if row["milliseconds"] is not None:
                    notes.pop(name(part.replace("rows", "table"), row), None)
    for row in rows:
        case = name("table", row)
        notes |= {f"{case}, {what}": why for what, why in row["missing"].items()}
    return "\n".join(f"- {case}: {why}" for case, why in notes.items())


def _table(header, rows):
    cells = [header, header.values(), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in cells)


def _cells(row):
    compiling = (row[f"compile_{kind}_seconds"] for kind in ("cold", "warm"))
    return [
        _label(row),
        row["batch_size"],
        row["backend"],
        row["mode"],
        _number(row["images_per_second"]),
        _range(row["spread"]),
        f"**{_number(row['ratio'])}**",
        _number(row["milliseconds"]),
        f"{_number(row['d_milliseconds'])} + {_number(row['g_milliseconds'])}",
        " / ".join(map(_number, compiling)),
        _number(row["memory_mib"]),
        _number(row["flops_per_image"] and row["flops_per_image"] / 1e6),
        f"{row['share_of_ceiling']:.0%} ({row['bound']})",
    ]


def _inference_cells(row):
    cells = [_label(row), row["batch_size"], row["backend"], _number(row["milliseconds"])]
    return [*cells, _range(row["spread"]), _number(row["images_per_second"])]


def _label(row):
    shape = "×".join(map(str, row["image_shape"]))
    return f"{row['variant']} {shape} {row['precision']}"


def _range(spread):
    return " … ".join(map(_number, spread))


def _number(value):
    """Formats a number with three significant digits and no exponent."""
    return "–" if value is None else f"{float(f'{value:.3g}'):,.10g}"


def _bars(rows):
    """Draws images per second, and the ratio to the best native loop, by network and backend."""
    labels = list(dict.fromkeys((_label(row), row["batch_size"]) for row in rows))
    figure = Figure((max(8, 2 * len(labels) + 3), 9), layout="constrained")
    speed, ratio = figure.subplots(2, 1, sharex=True)
    backends = [name for name in COLOURS if any(row["backend"] == name for row in rows)]
    width = 0.8 / len(backends)
    for i, backend in enumerate(backends):
        for row in (row for row in rows if row["backend"] == backend):
            x = labels.index((_label(row), row["batch_size"])) + (i + 0.5) * width - 0.4
            low, high = (abs(end - row["images_per_second"]) for end in row["spread"])
            bar = {"width": 0.9 * width, "color": COLOURS[backend]}
            speed.bar(x, row["images_per_second"], yerr=[[low], [high]], capsize=4, **bar)
            if row["ratio"]:
                ratio.bar(x, row["ratio"], **bar)
                style = {"ha": "center", "va": "bottom"}
                style |= {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1}}
                ratio.text(x, row["ratio"] + 0.02, f"{row['ratio']:.2f}", **style)
        speed.bar(0, 0, color=COLOURS[backend], label=backend)
    _logarithmic(speed)
    speed.set(ylabel="images per second of fit", title="Speed of fit")
    ratio.axhline(1, color="black")
    ratio.margins(y=0.15)
    ratio.set(ylabel="fit ÷ best native loop", title="Against the framework's best native loop")
    names = [f"{name.replace(' ', chr(10))}\nbatch {batch}" for name, batch in labels]
    ratio.set_xticks(range(len(labels)), names)
    figure.legend(loc="outside upper right", ncols=len(backends))
    return figure


def _scaling(rows):
    """Draws time and memory against batch size and against image size."""
    rows = [row for row in rows if row["milliseconds"] is not None]
    figure = Figure((13, 9), layout="constrained")
    axes = figure.subplots(2, 2, sharey="row")
    for column, sweep in zip(axes.T, ("batch", "size"), strict=True):
        part = [row for row in rows if row["sweep"] == sweep]
        work = {"batch": lambda row: row["batch_size"], "size": lambda row: row["image_shape"][0]}
        _lines(column[0], part, work[sweep], "milliseconds")
        _lines(column[1], part, work[sweep], "memory_mib")
        column[1].set_xlabel({"batch": "batch size", "size": "side of the images"}[sweep])
    if rows:
        first = rows[0]
        figure.suptitle(f"fit of {first['variant']}, {first['precision']}")
    axes[0, 0].set_ylabel("milliseconds per step")
    axes[1, 0].set_ylabel("peak memory, MiB")
    axes[0, 0].legend()
    return figure


def _inference(rows):
    """Draws latency and throughput of `generate` against batch size."""
    figure = Figure((13, 5.5), layout="constrained")
    latency, speed = figure.subplots(1, 2)
    _lines(latency, rows, lambda row: row["batch_size"], "milliseconds")
    _lines(speed, rows, lambda row: row["batch_size"], "images_per_second")
    latency.set(xlabel="batch size", ylabel="milliseconds per call")
    speed.set(xlabel="batch size", ylabel="images per second")
    shape = "×".join(map(str, rows[0]["image_shape"]))
    figure.suptitle(f"generate of {rows[0]['variant']} at {shape}")
    latency.legend()
    return figure


def _lines(axis, rows, work, name):
    for backend, colour in COLOURS.items():
        points = sorted((work(row), row[name]) for row in rows if row["backend"] == backend)
        if points:
            style = {"color": colour, "marker": MARKERS[backend], "linewidth": 2, "markersize": 8}
            axis.plot(*zip(*points, strict=True), label=backend, **style)
    ticks = sorted({work(row) for row in rows})
    axis.set(xscale="log")
    axis.set_xticks(ticks, ticks)
    _logarithmic(axis)
    axis.minorticks_off()


def _logarithmic(axis):
    """Sets ticks at 1, 2, 5, 10, … as plain numbers, even if the axis spans less than a decade."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


if __name__ == "__main__":
    print("\n".join(write(Path(sys.argv[1]))))
