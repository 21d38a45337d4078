"""The trainings of the zoo, one after the other, resumed where they stopped.

Run from the repository root:

    KERAS_BACKEND=tensorflow python -m zoo.tools.queue FOLDER            # what is left to train
    KERAS_BACKEND=tensorflow python -m zoo.tools.queue FOLDER --run      # trains it
    KERAS_BACKEND=jax python -m zoo.tools.queue FOLDER --run projection r3gan

Takes days on two CPU cores and about an hour on a GPU. Look at FOLDER/*/samples.png, then make
bundled presets:

    python -m zoo.tools.bundle FOLDER/dcgan-* dcgan_fashion_mnist
    python -m zoo.tools.bundle FOLDER/emoji-* dcgan_noto_emoji --last

`zoo.tools.reconstruction` trains what the translating ones are compared with.
"""

import argparse
import csv
import subprocess
import sys
from pathlib import Path

FASHION = "--data fashion_mnist --score"
# By name, in the order of training: the options of `keras-gan train`, without seed and folder.
RUNS = {
    "projection": f"projection {FASHION} --epochs 30",
    "r3gan": f"r3gan {FASHION} --epochs 60",
    "super_resolution": f"pix2pix {FASHION} --condition downscaled:4 --epochs 20",
    "inpainting": f"pix2pix {FASHION} --condition masked --epochs 20",
    "projection_emoji": "projection --data noto_emoji --condition labels --score --epochs 200",
    "sngan": f"sngan {FASHION}",
    "cgan": f"cgan {FASHION}",
    "dcgan": f"dcgan {FASHION}",
    "lsgan": f"lsgan {FASHION}",
    "wgan_gp": f"wgan_gp {FASHION}",
    "vanilla": f"vanilla {FASHION}",
    # On CPUs with AMX, compiled torch trains faster in half precision. Bundled in float32.
    "emoji": "dcgan --data noto_emoji --score --epochs 100 --precision mixed_bfloat16",
}


def state(folder):
    """Returns what is known of a run: its epochs, and its best score."""
    path = folder / "training.csv"
    if not path.exists():
        return "not started"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    name = next((name for name in rows[0] if "distance" in name), None) if rows else None
    scores = [float(row[name]) for row in rows if row.get(name)] if name else []
    best = f", best {name} {min(scores):.4g}" if scores else ""
    return f"{len(rows)} epochs{best}"


def train(folder, options, seed):
    """Starts or resumes a training; returns its exit code."""
    resume = ["--resume"] if (folder / "options.json").exists() else []
    command = ["-m", "keras_gan_cli", "train", *options.split(), "--seed", str(seed)]
    return subprocess.call([sys.executable, *command, "--out", str(folder), *resume])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the runs are kept")
    parser.add_argument("names", nargs="*", choices=[[], *RUNS], help="some of the runs")
    parser.add_argument("--run", action="store_true", help="train, rather than tell the state")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_intermixed_args()  # Names may follow --run.
    for seed in options.seeds:
        for name in options.names or RUNS:
            folder = options.folder / f"{name}-{seed}"
            if options.run and (code := train(folder, RUNS[name], seed)):
                print(f"{folder} ended with {code}: {state(folder)}", file=sys.stderr)
                if code > 128:  # A signal: the queue is to stop as well.
                    return code
            print(f"{folder}: {state(folder)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
