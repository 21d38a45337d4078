"""Measures images per second of `fit`, compared with native loops, for a selection of cases.

    python -m benchmarks.throughput --quick

A case is a network, backend, precision, batch size and image size; each runs in a process of its
own. Results go to `benchmarks/results/DEVICE/`: JSON, and the table and plots that
`benchmarks.report` makes from it. `README.md` explains the figures.
"""

import argparse
import datetime
import itertools
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report

ROOT = Path(__file__).parent.parent
OUT_OF_TIME = "the run's time limit (--minutes) was reached"
# What identifies a case.
NAMES = ("backend", "variant", "precision", "batch_size", "image_shape", "modes")
# The selections. Options on the command line override them.
CPU = {
    "parts": ["table", "inference", "scaling"],
    "backends": ["jax", "torch", "tensorflow"],
    "variants": ["vanilla", "dcgan", "lsgan", "wgan_gp"],
    "precisions": ["float32"],  # tf32, bfloat16
    "batch_sizes": [64],  # Images per discriminator update.
    "sizes": ["28x28x1"],
    # For scaling and inference, at the table's first precision, batch size and image size.
    "scaling_variant": "dcgan",
    "scaling_batches": [16, 64, 256, 1024, 4096],
    "scaling_sizes": [28, 64, 128, 256],
    "inference_batches": [1, 4, 16, 64, 256, 1024],
    "torch_modes": ["compiled", "eager"],  # Scaling and inference use the last one.
    "rounds": 7,
    "round_seconds": 1.0,  # Roughly how long `fit` runs in each round.
    "longest_step": 20.0,  # Seconds; a longer step ends its scaling sweep.
    "minutes": 600.0,  # Cases not measured by then are left out, and named in the results.
    "name": "",  # The results go to throughput_NAME.json.
    "out": "",  # A folder to use instead of benchmarks/results/DEVICE.
}
QUICK = CPU | {
    "variants": ["vanilla"],
    "batch_sizes": [16],
    "scaling_variant": "vanilla",
    "scaling_batches": [16, 64],
    "scaling_sizes": [28],
    "inference_batches": [1, 64],
    "torch_modes": ["eager"],
    "rounds": 3,
    "round_seconds": 0.1,
    "minutes": 3.0,
    "out": str(ROOT / "runs" / "benchmarks"),
}
GPU = CPU | {
    "backends": ["jax", "torch"],
    "batch_sizes": [256],
    "sizes": ["64x64x3"],
    "torch_modes": ["compiled"],
    "round_seconds": 0.5,
    "minutes": 9.5,
}
# What --gpu measures in addition: variants, precisions, batch sizes.
GPU_ALSO = (["dcgan"], ["tf32", "bfloat16"], [1024])


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    options = _options(argv)
    start, results, folder = time.monotonic(), _about(argv, options), None
    cases = list(_cases(options))
    for number, case in enumerate(cases):
        _progress(number, len(cases), start, report.name(case["part"], case))
        left = 60 * options.minutes - (time.monotonic() - start)
        _keep(results, case, _found(case, results, options, left))
        if results["device"]:
            folder = _folder(options, results)
            name = "_".join(["throughput", *filter(None, [options.name])])
            (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    _progress(len(cases), len(cases), start, "done\n")
    print(*(f"left out: {case}: {why}" for case, why in results["left_out"].items()), sep="\n")
    if folder:
        print(f"{folder}: {', '.join(report.write(folder))}")
    return 0 if folder else 1


def _options(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="a tiny selection, to see that everything works"
    )
    parser.add_argument("--gpu", action="store_true", help="for one GPU: JAX and torch, 64×64×3")
    for name, default in CPU.items():
        several = isinstance(default, list)
        options = {"type": type(default[0] if several else default), "default": default}
        options |= {"nargs": "*"} if several else {}
        parser.add_argument(f"--{name.replace('_', '-')}", help="%(default)s", **options)
    chosen, _ = parser.parse_known_args(argv)
    parser.set_defaults(**QUICK if chosen.quick else GPU if chosen.gpu else CPU)
    return parser.parse_args(argv)


def _about(argv, options):
    """Returns what others need to know to repeat the measurement."""
    git = lambda *what: _output("git", "-C", str(ROOT), *what)  # noqa: E731
    return {
        "command": shlex.join(["python", "-m", "benchmarks.throughput", *argv]),
        "commit": git("rev-parse", "HEAD"),
        "changed_files": git("status", "--porcelain", "--", "keras_gan", "zoo", "benchmarks/*.py"),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": None,
        "driver": _nvidia("driver_version"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {},
        "rounds": options.rounds,
        "rows": [],
        "scaling": [],
        "inference": [],
        "left_out": {"TensorFlow": "--gpu measures JAX and torch"} if options.gpu else {},
    }


def _output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _nvidia(what):
    found = _output("nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader")
    return found and found.splitlines()[0]


def _processor():
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.processor()


def _cases(options):
    """Yields the cases in order; the backends take turns."""
    products = [(options.variants, options.precisions, options.batch_sizes)]
    products += [GPU_ALSO] if options.gpu else []
    shapes = [[int(n) for n in size.split("x")] for size in options.sizes]
    if "table" in options.parts:
        for product in products:
            for case in itertools.product(*product, shapes, options.backends):
                yield _case(options, "table", *case)
    first = options.scaling_variant, options.precisions[0]
    if "inference" in options.parts:
        for backend in options.backends:
            yield _case(options, "inference", *first, options.inference_batches, shapes[0], backend)
    if "scaling" in options.parts:
        batch, shape = options.batch_sizes[0], shapes[0]
        work = [("batch", n, shape) for n in options.scaling_batches]
        work += [("size", batch, [n, n, shape[2]]) for n in options.scaling_sizes]
        for (sweep, *sizes), backend in itertools.product(work, options.backends):
            yield _case(options, "scaling", *first, *sizes, backend) | {"sweep": sweep}


def _case(options, part, variant, precision, batch_size, image_shape, backend):
    torch, table = backend == "torch", part == "table"
    modes = options.torch_modes if table else options.torch_modes[-1:]
    # The native loops are written for float32; None means all of them.
    native = ["eager"] if torch and "compiled" not in modes else None
    return {
        "part": part,
        "backend": backend,
        "variant": variant,
        "precision": precision,
        "batch_size": batch_size,
        "image_shape": image_shape,
        "modes": modes if torch else None,
        "native": native if table and precision != "bfloat16" else [],
        # A sweep shows orders of magnitude, for which a few rounds do.
        "rounds": options.rounds if table else min(options.rounds, 3),
        "round_seconds": options.round_seconds,
    }


def _found(case, results, options, seconds):
    """Returns a case's results, known from before or measured now, or `{"skipped": reason}`."""
    if case["part"] == "scaling":
        same = [row for row in results["scaling"] if _equal(row, case, "backend", "sweep")]
        before = same[-1]["milliseconds"] if same else 0
        if before is None or before > 1e3 * options.longest_step:
            limit = f"{options.longest_step:g} s a step"
            return {"skipped": f"a smaller one was left out or took more than {limit}"}
        for row in results["scaling"] + results["rows"]:
            if _equal(row, case, *NAMES):
                return row | {"sweep": case["sweep"]}
    return _measured(case, seconds)


def _equal(row, case, *names):
    return all(row[name] == case[name] for name in names)


def _measured(case, seconds):
    """Measures a case; for the table first with an empty compilation cache, then a filled one."""
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        case = case | {"cache": cache}
        cached = case["backend"] != "tensorflow" and case["modes"] != ["eager"]
        twice = cached and case["part"] == "table"
        cold = _child(case | {"part": "compile"}, seconds) if twice else {}
        found = cold if "skipped" in cold else _child(case, end - time.monotonic())
    if "compile_seconds" in found and "missing" in found:
        warm = found.pop("compile_seconds")
        found["compile_cold_seconds"] = cold["compile_seconds"] if twice else warm
        found["compile_warm_seconds"] = warm if twice else None
    return found


def _child(case, seconds):
    """Returns what `benchmarks.measure` finds within `seconds`, or `{"skipped": reason}`."""
    if seconds < 5:
        return {"skipped": OUT_OF_TIME}
    environment = os.environ | {"KERAS_BACKEND": case["backend"], "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(case)]
    try:
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {"skipped": OUT_OF_TIME}
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        return {"skipped": f"exit code {done.returncode}: {said[-1]}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _keep(results, case, found):
    """Adds what was found to the results, with the values that identify the case."""
    known = {name: case[name] for name in (*NAMES, "sweep") if name in case}
    part = results["rows" if case["part"] == "table" else case["part"]]
    if "device" in found:
        device = found.pop("device").lower()
        results["device"] = f"cpu, {results['cores']} cores" if device == "cpu" else _nvidia("name")
        results["versions"] |= found.pop("versions")
    if "skipped" in found:
        results["left_out"][report.name(case["part"], case)] = found["skipped"]
        if case["part"] == "scaling":
            part.append(known | {"milliseconds": None})
    elif case["part"] == "inference":
        part += [known | row for row in found["inference"]]
    else:
        part.append(known | found)
    report.add_shares(results["rows"])


def _folder(options, results):
    slug = re.sub(r"\W+", "_", results["device"].lower()).strip("_")
    folder = Path(options.out or ROOT / "benchmarks" / "results" / slug)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _progress(done, total, started, text):
    bar = "#" * (20 * done // total)
    minutes = (time.monotonic() - started) / 60
    print(f"\r\033[K[{bar:20s}] {done}/{total} {minutes:4.1f} min  {text}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
