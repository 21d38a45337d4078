"""Measures milliseconds per step of `fit`, of its compiled step alone, and of native loops.

    KERAS_BACKEND=jax python -m benchmarks.step dcgan --batch-size 128

The sides take turns in one process, round after round, so that other work on the machine affects
all of them. Figures are medians over the rounds; trust their ratios, not the absolute times. On a
busy machine and a CPU, `--clock cpu` counts the process' own seconds on all cores alone.
"""

import argparse
import importlib
import importlib.metadata
import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np

import keras_gan
from benchmarks.describe import describe

BACKEND = keras.backend.backend()
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("variant", choices=keras_gan.list_models())
    parser.add_argument("--batch-size", type=int, default=128, help="per discriminator update")
    parser.add_argument("--image-size", type=int, default=28)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="per round")
    parser.add_argument("--jit-compile", choices=("auto", "true", "false"), nargs="+")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="what is measured")
    parser.add_argument("--json-out", help="file for the results")
    options = parser.parse_args(argv)
    results = measure(options)
    print(_table(results))
    if options.json_out:
        Path(options.json_out).write_text(json.dumps(results, indent=1))


def measure(options):
    """Returns medians in milliseconds per step, and the ratios to the best native loop.

    The ratios are None for a network that the native loops cannot train; `missing` says why.
    """
    shape = (options.image_size, options.image_size, options.channels)
    jits = options.jit_compile or {"jax": ["true"]}.get(BACKEND, ["true", "false"])
    random = np.random.default_rng(0)
    sides = {}
    for jit in jits:
        gan = keras_gan.create_model(options.variant, shape, seed=0)
        recipe = {side: getattr(gan.optimizer, side) for side in ("generator", "discriminator")}
        clone = {
            f"{s}_optimizer": o.__class__.from_config(o.get_config()) for s, o in recipe.items()
        }
        setting = {"true": True, "false": False, "auto": "auto"}[jit]
        gan.compile(**clone, jit_compile=setting)
        size = options.batch_size * gan.discriminator_steps
        images = random.integers(0, 256, (size * options.steps, *shape), dtype="uint8")
        sides[f"fit, jit_compile={jit}"] = fit_side(gan, images, size)
        sides[f"bare step, jit_compile={jit}"] = _bare(gan, images, size)
    natives, missing = native_sides(gan, images, size)
    sides |= natives
    clock = CLOCKS[options.clock]
    times = interleave(sides, options.rounds, options.steps, clock=clock)
    medians = {name: statistics.median(t) for name, t in times.items()}
    best = min((medians[name] for name in natives), default=None)
    return {
        "backend": BACKEND,
        "device": keras_gan.engine.device_name(),
        "versions": {"keras": keras.__version__, BACKEND: importlib.metadata.version(BACKEND)},
        "variant": options.variant,
        "image_shape": shape,
        "batch_size": options.batch_size,
        "steps": options.steps,
        "rounds": options.rounds,
        "clock": options.clock,
        "milliseconds": medians,
        "speed_of_best_native": {name: best and best / value for name, value in medians.items()},
        "spread": {name: [min(t), max(t)] for name, t in times.items()},
        "missing": missing,
    }


def native_sides(gan, images, size, modes=None):
    """Returns functions that run the native loops over the images, and why a loop is missing.

    Both are dicts by the name of the side, such as `"native jit"`.
    """
    native = importlib.import_module(f"benchmarks.native_{BACKEND}")
    # JAX and TensorFlow choose the accelerator themselves.
    device = {"device": "cuda"} if _cuda() else {}
    sides, missing = {}, {}
    for mode in native.MODES if modes is None else modes:
        try:
            loop = native.Loop(describe(gan), mode, **device)
        except ValueError as error:  # The loop lacks a layer, or the framework a feature.
            missing[f"native {mode}"] = str(error)
        else:
            sides[f"native {mode}"] = _native(loop, images, size)
    return sides, missing


def interleave(sides, rounds, steps, warm_ups=2, clock=time.perf_counter):
    """Returns milliseconds per step of each side in each round; one call takes `steps` steps."""
    times = {name: [] for name in sides}
    for _ in range(warm_ups):  # The first one compiles.
        for side in sides.values():
            side()
    random = np.random.default_rng(0)
    for _ in range(rounds):
        # In random order, because a side may slow down the next one.
        for name in random.permutation(list(sides)):
            start = clock()
            sides[name]()
            times[name].append((clock() - start) / steps * 1e3)
    return times


def _cuda():
    return BACKEND == "torch" and importlib.import_module("torch").cuda.is_available()


def fit_side(gan, images, size):
    return lambda: gan.fit(images, batch_size=size, epochs=1, verbose=0)


def _bare(gan, images, size):
    """Returns a function that runs the compiled step on prepared batches, without Keras' loop."""
    gan.make_train_function()
    batches = [images[i : i + size] for i in range(0, len(images), size)]
    if BACKEND == "jax":
        return _bare_jax(gan, batches)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        batches = [tf.constant(batch) for batch in batches]
        call = lambda batch: gan.train_function(iter([(batch,)]))  # noqa: E731
    else:
        import torch

        batches = [keras.ops.convert_to_tensor(batch) for batch in batches]
        call = lambda batch: gan.train_function([(batch,)])  # noqa: E731

    def run():
        for batch in batches:
            logs = call(batch)
        float(logs["g_loss"])
        if _cuda():
            torch.cuda.synchronize()

    return run


def _bare_jax(gan, batches):
    import jax

    batches = [jax.device_put(batch) for batch in batches]

    def run():
        state = jax_state(gan)
        for batch in batches:
            logs, state = gan.train_function(state, iter([(batch,)]))
        jax.block_until_ready((logs, state))
        for variables, values in zip(_variables(gan), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    return run


def jax_state(gan):
    """Returns the values that Keras' train function takes and returns on JAX."""
    return tuple([variable.value for variable in group] for group in _variables(gan))


def _variables(gan):
    model = gan.trainable_variables, gan.non_trainable_variables
    return *model, gan.optimizer.variables, gan.metrics_variables


def _native(loop, images, size):
    random = np.random.default_rng(0)

    def run():
        order = random.permutation(len(images))
        for i in range(0, len(images), size):
            losses = loop.step(images[order[i : i + size]])
        loop.wait(losses)

    return run


def _table(results):
    lines = [f"{results['variant']} {results['image_shape']} on {BACKEND}, ms per step (× native)"]
    for name, value in results["milliseconds"].items():
        ratio = results["speed_of_best_native"][name]
        low, high = results["spread"][name]
        beside = f"({ratio:5.2f}×)" if ratio else ""
        lines.append(f"  {name:32s} {value:9.2f}  {beside:8s}  {low:.2f} … {high:.2f}")
    lines += [f"  {name}: {reason}" for name, reason in results["missing"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
