"""Counts what a step sends between processes, and puts it into a model of larger machines.

    KERAS_BACKEND=torch python -m benchmarks.scale --out benchmarks/results/scale

The counting is a measurement: two processes on this machine train for one step, each on one sample,
and every sum over them is written down, as are the multiplications of the step. The model is a
calculation, with the assumptions below, and nothing in it has been measured on several GPUs.
"""

import argparse
import json
import math
import os
import socket
from pathlib import Path

import keras
import numpy as np
import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import keras_gan

# The networks, and the samples that one GPU gets of a batch.
NETWORKS = (("dcgan", 64, 128), ("dcgan", 256, 16), ("r3gan", 64, 64), ("r3gan", 256, 8))
GPUS = (8, 64, 512)
# Assumptions. A sum over N processes takes latency + 2 (N - 1) / N × bytes / bandwidth (a ring, or
# a tree with the same traffic), and no arithmetic goes on meanwhile: the step sums when a gradient
# is complete.
FLOPS = 60e12  # Of one GPU of the H100's kind in TF32, convolutions of these sizes, per second.
BANDWIDTH = {8: 300e9, 64: 40e9, 512: 40e9}  # Bytes per second: NVLink; one 400 Gb/s link a GPU.
LATENCY = {8: 20e-6, 64: 50e-6, 512: 80e-6}  # Seconds of a small sum.


class Counted(TorchDispatchMode):
    """Counts the bytes of each sum over the processes, and the arithmetic of this one.

    torch's own `FlopCounterMode` fails where a gradient is taken inside a step.
    """

    def __init__(self):
        super().__init__()
        self.sizes, self.flops = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        if function is torch.ops._c10d_functional.all_reduce.default:
            self.sizes.append(args[0].nbytes)
        elif counted := flop_registry.get(function._overloadpacket):
            self.flops += counted(*args, **(kwargs or {}), out_val=output)
        return output


def count(rank, path, port):
    """One of two processes; the first one writes what a step of each network sends."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    results = []
    for variant, size, _ in NETWORKS:
        keras.utils.set_random_seed(0)
        gan = keras_gan.create_model(variant, (size, size, 3), seed=0)
        images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype="uint8")
        gan.train_on_batch(images)  # What is made once is not counted.
        with Counted() as counted:
            gan.train_on_batch(images)
        networks = gan.generator, gan.discriminator
        weights = sum(math.prod(v.shape) for net in networks for v in net.trainable_variables)
        results.append({
            "variant": variant, "size": size, "weights": weights, "sums": len(counted.sizes),
            "bytes": sum(counted.sizes), "largest": sorted(counted.sizes)[-2:],
            "flops_per_sample": counted.flops,
        })  # fmt: skip
        if rank == 0:
            print(results[-1], flush=True)
    if rank == 0:
        Path(path).write_text(json.dumps(results, indent=1) + "\n")
    dist.barrier()
    dist.destroy_process_group()


def efficiency(result, samples, gpus):
    """Returns the model's share of a step that is arithmetic, on so many GPUs."""
    arithmetic = samples * result["flops_per_sample"] / FLOPS
    sending = 2 * (gpus - 1) / gpus * result["bytes"] / BANDWIDTH[gpus]
    return arithmetic / (arithmetic + sending + result["sums"] * LATENCY[gpus])


def table(results):
    """Returns the figures as lines of Markdown."""
    lines = [
        "| | weights, millions | bytes per step ÷ bytes of the weights | sums | GFLOP per sample | "
        f"samples per GPU | {' | '.join(f'{n} GPUs' for n in GPUS)} |",
        f"| --- |{' --: |' * (5 + len(GPUS))}",
    ]
    for result, (variant, size, samples) in zip(results, NETWORKS, strict=True):
        numbers = [
            f"{result['weights'] / 1e6:.1f}", f"{result['bytes'] / (4 * result['weights']):.3f}",
            str(result["sums"]), f"{result['flops_per_sample'] / 1e9:.1f}", str(samples),
            *(f"{efficiency(result, samples, n):.2f}" for n in GPUS),
        ]  # fmt: skip
        lines.append(f"| `{variant}`, {size}×{size}×3 | {' | '.join(numbers)} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder for the results")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = folder / "counted.json"
    torch.multiprocessing.spawn(count, (path, port), nprocs=2)
    (folder / "scale.md").write_text(table(json.loads(path.read_text())))
    print((folder / "scale.md").read_text())


if __name__ == "__main__":
    main()
