"""Measures one case in a process of its own, and prints the result as a line of JSON.

    KERAS_BACKEND=jax python -m benchmarks.measure '{"part": "table", "variant": "dcgan", …}'

`benchmarks.throughput` starts these processes; `README.md` explains each figure.
"""

import importlib.metadata
import json
import math
import statistics
import sys
import time

import keras
import numpy as np
from keras import ops

import keras_gan
from benchmarks import counters
from benchmarks.step import BACKEND, fit_side, interleave, native_sides

# How `fit` may run the step: values of `jit_compile` by their name in the table.
MODES = {
    "jax": {"jit": True},
    "tensorflow": {"auto": "auto"},
    "torch": {"compiled": True, "eager": False},
}[BACKEND]
MOST_STEPS, MOST_BYTES = 256, 2**28  # Of one round; the bytes are those of its images.


def main(argument):
    case = json.loads(argument)
    if case["precision"] == "tf32" and not counters.on_gpu():
        found = {"skipped": "only NVIDIA GPUs have TensorFloat-32"}
    else:
        counters.set_precision(case["precision"])
        if BACKEND != "tensorflow" and case.get("cache"):
            keras_gan.engine.enable_compilation_cache(case["cache"])
        found = PARTS[case["part"]](case)
    versions = {name: importlib.metadata.version(name) for name in ("keras", "numpy", BACKEND)}
    print(json.dumps(found | {"device": keras_gan.engine.device_name(), "versions": versions}))


def row(case):
    """Returns speed, compile time and memory of `fit`; for the table also FLOPs and bytes."""
    modes = case["modes"] or list(MODES)
    gan = _build(case, modes[0])
    size = case["batch_size"] * gan.discriminator_steps
    compiling, step = _first_fit(gan, _images(case, size))
    memory = counters.peak_memory(fit_side(gan, _images(case, size), size))
    found = {"memory_mib": memory / 2**20, "images_per_step": size}
    steps = int(np.clip(case["round_seconds"] / step, 1, MOST_STEPS))
    steps = max(1, min(steps, MOST_BYTES // (size * math.prod(case["image_shape"]))))
    images = _images(case, size * steps)
    gans = {modes[0]: gan} | {mode: _build(case, mode) for mode in modes[1:]}
    sides = {f"fit {mode}": fit_side(gan, images, size) for mode, gan in gans.items()}
    natives, missing = native_sides(gan, images, size, case["native"])
    warm_ups = 2 if case["part"] == "table" else 0
    times = interleave(sides | natives, case["rounds"], steps, warm_ups)
    medians = {name: statistics.median(t) for name, t in times.items()}
    fastest = min(sides, key=lambda name: medians[name])
    best = min((medians[name] for name in natives), default=None)
    mode, milliseconds = fastest.removeprefix("fit "), medians[fastest]
    found |= {
        "mode": mode,
        "milliseconds": milliseconds,
        "images_per_second": size / milliseconds * 1e3,
        "spread": [size / t * 1e3 for t in (max(times[fastest]), min(times[fastest]))],
        "ratio": best and best / milliseconds,
        "sides": {name: size / value * 1e3 for name, value in medians.items()},
        "compile_seconds": None if modes[0] == "eager" else compiling,
        "missing": missing,
    }
    if case["part"] == "table":
        share = _discriminator_share(case, gans[mode], mode, images, size, steps)
        found |= {
            "d_milliseconds": share * milliseconds,
            "g_milliseconds": (1 - share) * milliseconds,
        }
        found |= _work(gan, case, size, missing)
    return found


def _work(gan, case, size, missing):
    """Returns FLOPs and bytes per image, and the device's ceilings; notes a count that failed."""
    try:
        flops = counters.flops(gan, _images(case, size)) / size
    except Exception as error:  # Not every framework counts on every device.
        flops, missing["FLOPs"] = None, f"{type(error).__name__}: {error}"
    return {
        "flops_per_image": flops,
        "bytes_per_image": counters.least_bytes(gan, case["batch_size"]) / size,
        "ceiling": counters.ceiling(),
    }


def _discriminator_share(case, gan, mode, images, size, steps):
    """Returns the fraction of a step's time that its discriminator updates take."""
    alone = _build(case, mode)
    alone._update_generator = lambda real: [ops.zeros(())]
    sides = {"whole": fit_side(gan, images, size), "alone": fit_side(alone, images, size)}
    times = interleave(sides, case["rounds"], steps)
    pairs = zip(times["alone"], times["whole"], strict=True)
    return statistics.median(part / whole for part, whole in pairs)


def compile_time(case):
    """Returns by how many seconds the first `fit` of one batch is slower than the next ones."""
    gan = _build(case, (case["modes"] or list(MODES))[0])
    images = _images(case, case["batch_size"] * gan.discriminator_steps)
    return {"compile_seconds": _first_fit(gan, images)[0]}


def inference(case):
    """Returns latency and throughput of `generate`, NumPy to NumPy, by batch size."""
    gan = _build(case, (case["modes"] or list(MODES))[0])
    found = []
    for n in case["batch_size"]:
        call = lambda n=n: gan.generate(n, seed=0, batch_size=n)  # noqa: E731
        for _ in range(2):  # Compiles; TensorFlow does so twice, then for any batch size.
            _seconds(call)
        calls = int(np.clip(case["round_seconds"] / _seconds(call), 3, 100))
        times = [_seconds(call) for _ in range(calls)]
        middle = statistics.median(times)
        found.append(
            {
                "batch_size": n,
                "milliseconds": middle * 1e3,
                "spread": [min(times) * 1e3, max(times) * 1e3],
                "images_per_second": n / middle,
            }
        )
    return {"inference": found}


PARTS = {"table": row, "scaling": row, "inference": inference, "compile": compile_time}


def _build(case, mode):
    keras.utils.set_random_seed(0)
    gan = keras_gan.create_model(case["variant"], tuple(case["image_shape"]), seed=0)
    if MODES[mode] != "auto":
        gan.jit_compile = MODES[mode]
    return gan


def _images(case, number):
    shape = (number, *case["image_shape"])
    return np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")


def _first_fit(gan, images):
    """Returns the seconds of compiling, and of one step after it."""
    run = fit_side(gan, images, len(images))
    first, step = _seconds(run), min(_seconds(run), _seconds(run))
    return max(first - step, 1e-3), step


def _seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(sys.argv[1])
