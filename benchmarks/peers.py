"""Measures the training steps of other libraries' DCGANs, and `fit` of the same networks.

    pip install --no-deps torchgan torch-mimicry torchvision
    KERAS_BACKEND=torch python -m benchmarks.peers --json-out peers_torch.json

torch-mimicry also needs scikit-image, lazy-loader, networkx, imageio, tifffile, scikit-learn,
joblib, threadpoolctl and narwhals. A peer that does not import is reported with its error.

A peer trains its own networks with its own losses and step. The same networks, rebuilt with Keras'
layers, are trained by `fit` with the same optimizer, batch and loss. `README.md` says what differs.
"""

import argparse
import importlib
import importlib.metadata
import json
import math
import statistics
import sys
import types
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_gan
from benchmarks.step import BACKEND, fit_side, interleave

CHANNELS = 3
OPERATORS = []  # torch forgets an operator once its library object is deleted.


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="per round")
    parser.add_argument("--json-out", help="file for the results")
    options = parser.parse_args(argv)
    about = {"command": " ".join(["python", "-m", "benchmarks.peers", *(argv or sys.argv[1:])])}
    about |= {"backend": BACKEND, "device": keras_gan.engine.device_name(), "peers": {}}
    for name in options.peers:
        about["peers"][name] = found = _measured(PEERS[name], options)
        print(f"{name}: {found.get('ratio_to_peer') or found['error']}", flush=True)
        if options.json_out:
            Path(options.json_out).write_text(json.dumps(about, indent=1) + "\n")


def _measured(peer, options):
    images = np.random.default_rng(0).integers(
        0, 256, (options.batch_size * options.steps, 32, 32, CHANNELS), dtype="uint8"
    )
    try:
        step, theirs = peer["step"]()
    except (ImportError, RuntimeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    sides = {"peer": _loop(step, images, options.batch_size)}
    for jit in (True, False) if BACKEND == "torch" else ("auto",):
        networks = peer["networks"]()
        gan = keras_gan.GAN(*networks)
        gan.compile(jit_compile=jit)
        ours = [sum(math.prod(w.shape) for w in n.trainable_weights) for n in networks]
        sides[f"fit, jit_compile={jit}"] = fit_side(gan, images, options.batch_size)
    times = interleave(sides, options.rounds, options.steps)
    medians = {name: statistics.median(t) for name, t in times.items()}
    return {
        "versions": {name: importlib.metadata.version(name) for name in (peer["package"], "torch")},
        "image_shape": images.shape[1:],
        "batch_size": options.batch_size,
        "parameters": {"peer": theirs, "keras": ours},
        "milliseconds": medians,
        "spread": {name: [min(t), max(t)] for name, t in times.items()},
        "ratio_to_peer": {name: medians["peer"] / value for name, value in medians.items()},
    }


def _loop(step, images, size):
    """Returns a function that runs the peer's step on shuffled channels-first float batches."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = np.random.default_rng(0)

    def run():
        order = random.permutation(len(images))
        for i in range(0, len(images), size):
            batch = torch.from_numpy(images[order[i : i + size]]).to(device)
            step(batch.permute(0, 3, 1, 2).float() / 127.5 - 1.0, device)

    return run


def _imported(name):
    """Imports a module of a peer, which was written for older versions of torch.

    Both peers import torchvision, whose CUDA build fails next to torch's CPU build unless its
    operators are declared; torch-mimicry imports `torch._six`, which torch 2.0 removed. The
    training steps use neither.
    """
    import torch

    sys.modules.setdefault("torch._six", types.SimpleNamespace(PY3=True))
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        OPERATORS.append(torch.library.Library("torchvision", "FRAGMENT"))
        for operator in ("nms", "qnms"):
            OPERATORS[-1].define(f"{operator}(Tensor x) -> Tensor")
    return importlib.import_module(name)


def _prepared(generator, discriminator):
    """Returns two torch networks on the device, an optimizer for each, and their sizes."""
    import torch

    networks = generator, discriminator
    if torch.cuda.is_available():
        networks = [network.cuda() for network in networks]
    optimizers = [torch.optim.Adam(n.parameters(), 2e-4, (0.5, 0.999)) for n in networks]
    return *networks, *optimizers, [sum(w.numel() for w in n.parameters()) for n in networks]


def _torchgan_step():
    models, losses = _imported("torchgan.models"), _imported("torchgan.losses")
    networks = models.DCGANGenerator(), models.DCGANDiscriminator()
    generator, discriminator, g_adam, d_adam, sizes = _prepared(*networks)
    d_loss, g_loss = losses.MinimaxDiscriminatorLoss(), losses.MinimaxGeneratorLoss()

    def step(real, device):
        d_loss.train_ops(generator, discriminator, d_adam, real, device)
        g_loss.train_ops(generator, discriminator, g_adam, device, len(real))

    return step, sizes


def _torchgan_networks(width=64):
    """Builds torchgan's DCGAN at 32×32: 4×4 kernels from one pixel up, and down to one."""

    def up(filters, **options):
        convolution = layers.Conv2DTranspose(filters, 4, use_bias=False, **options)
        return [convolution, layers.BatchNormalization(), layers.LeakyReLU(0.2)]

    def down(filters):
        convolution = layers.Conv2D(filters, 4, 2, padding="same", use_bias=False)
        return [convolution, layers.BatchNormalization(), layers.LeakyReLU(0.2)]

    doubled = {"strides": 2, "padding": "same"}
    image = layers.Conv2DTranspose(CHANNELS, 4, activation="tanh", **doubled)
    generator = [keras.Input((100,)), layers.Reshape((1, 1, 100)), *up(4 * width)]
    generator += [*up(2 * width, **doubled), *up(width, **doubled), image]
    discriminator = [keras.Input((32, 32, CHANNELS)), layers.Conv2D(width, 4, 2, padding="same")]
    discriminator += [layers.LeakyReLU(0.2), *down(2 * width), *down(4 * width)]
    discriminator += [layers.Conv2D(1, 4, use_bias=False), layers.LeakyReLU(0.2), layers.Flatten()]
    return keras.Sequential(generator), keras.Sequential(discriminator)


def _mimicry_step():
    dcgan = _imported("torch_mimicry.nets.dcgan.dcgan_32")
    log = _imported("torch_mimicry.training.metric_log").MetricLog()
    networks = dcgan.DCGANGenerator32(), dcgan.DCGANDiscriminator32()
    generator, discriminator, g_adam, d_adam, sizes = _prepared(*networks)

    def step(real, device):
        batch = real, None
        discriminator.train_step(batch, generator, d_adam, log, device)
        generator.train_step(batch, discriminator, g_adam, log, device)

    return step, sizes


def _mimicry_networks(up=256, down=128):
    """Builds mimicry's residual networks at 32×32."""
    grow = lambda x: layers.UpSampling2D(2, interpolation="bilinear")(x)  # noqa: E731
    norm = lambda x: layers.ReLU()(layers.BatchNormalization()(x))  # noqa: E731
    same = lambda x, filters, size=3: layers.Conv2D(filters, size, padding="same")(x)  # noqa: E731
    shrink = lambda x: layers.AveragePooling2D(2)(x)  # noqa: E731

    latents = keras.Input((128,))
    x = layers.Reshape((4, 4, up))(layers.Dense(16 * up)(latents))
    for _ in range(3):
        x = same(norm(same(grow(norm(x)), up)), up) + same(grow(x), up, 1)
    x = layers.Activation("tanh")(same(norm(x), CHANNELS))
    generator = keras.Model(latents, x)

    images = keras.Input((32, 32, CHANNELS))
    x = shrink(same(layers.ReLU()(same(images, down)), down)) + same(shrink(images), down, 1)
    residual = lambda x: same(layers.ReLU()(same(layers.ReLU()(x), down)), down)  # noqa: E731
    x = shrink(residual(x)) + shrink(same(x, down, 1))
    x = residual(x) + x
    x = layers.ReLU()(residual(x) + x)
    logits = layers.Dense(1)(keras.ops.sum(x, (1, 2)))
    return generator, keras.Model(images, logits)


PEERS = {
    "torchgan": {"package": "torchgan", "step": _torchgan_step, "networks": _torchgan_networks},
    "torch-mimicry": {
        "package": "torch-mimicry", "step": _mimicry_step, "networks": _mimicry_networks,
    },
}  # fmt: skip

if __name__ == "__main__":
    main()
