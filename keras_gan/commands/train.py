"""`keras-gan train`: a training in a folder, from its options to what to try next."""

import contextlib
import json
import os
import shlex
import signal
import threading
from argparse import Namespace

import keras

from keras_gan import datasets, engine, presets
from keras_gan.callbacks import LinearDecay
from keras_gan.commands.common import CommandError, errors_in_one_line
from keras_gan.commands.data import condition_of, extractor_of
from keras_gan.conditions import Images, Labels
from keras_gan.datasets.batches import Batch, SeededBatches
from keras_gan.datasets.splitting import opened, without_scored
from keras_gan.engine.keras_internals import set_random_seed, without_tensorflow
from keras_gan.files import content_key, replacing
from keras_gan.gan import GAN
from keras_gan.metrics.report import check_counts, conditional_metrics, default_metrics
from keras_gan.presets import memory
from keras_gan.progress import TimeLeft
from keras_gan.runs import ResumeError, Run, Stopped
from keras_gan.watch import Watch

SCORED = 10_000  # Held-out images for `train --score`, at most.


def train(args: Namespace) -> None:
    """Trains a variant and saves it to a folder after each epoch; resumes what is there."""
    folder, options = args.out, args.options
    if not engine.TRAINS:
        raise CommandError(
            f"Keras' {keras.backend.backend()} backend cannot train; "
            f"use --backend {'|'.join(engine.BACKENDS)}."
        )
    with contextlib.ExitStack() as stack:
        if options.get("devices"):
            count = None if options["devices"] == "all" else int(options["devices"])
            with errors_in_one_line():
                stack.enter_context(engine.on_devices(count))
        set_random_seed(options["seed"])
        keras.config.set_dtype_policy(options["precision"])
        signals = stack.enter_context(_Signals())
        with errors_in_one_line():
            gan, batches, held_out, options = _prepare(options)
            run = signals.run = Run(folder, **options)
            stack.enter_context(run.opened(gan))
            if gan.leads:
                _write_options(folder, options, args.resume)
        epochs = options["epochs"]
        if run.epochs_done >= epochs:
            print(
                f"{folder} already has {run.epochs_done} epochs; give a larger --epochs to train "
                "longer."
            )
            return
        shape = "×".join(map(str, gan.sample_shape))
        print(f"Training {args.variant} on {options['num_images']} images of {shape}.", flush=True)
        _fit(gan, run, batches, held_out, options, Watch(args.on_trouble.replace("-", "_")))
        print(f"Trained {args.variant}: {epochs} epochs, samples in {folder / 'samples.png'}")
        _print_next_steps(args, epochs, gan)


def _write_options(folder, options, resumed):
    if not resumed and (folder / "options.json").exists():
        raise CommandError(f"another process has started a run in {folder}.")
    with replacing(folder / "options.json", durable=True) as part:
        part.write_text(json.dumps(options, indent=1))


class _Signals:
    """Lets Ctrl-C, SIGTERM and SIGHUP end a training when its state is saved, as `Stopped`.

    That is after the step that is being made; after the last one of an epoch, when the epoch has
    been validated. The second signal ends it at once, and so does the first one where there is
    nothing to save.
    """

    NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows lacks the last one.

    def __init__(self):
        self.run: Run | None = None
        self.process, self.before = os.getpid(), {}

    def __enter__(self):
        if threading.current_thread() is not threading.main_thread():
            return self  # Python sets handlers in the main thread only.
        for number in [getattr(signal, name) for name in self.NAMES if hasattr(signal, name)]:
            if signal.getsignal(number) != signal.SIG_IGN:  # As under nohup.
                self.before[number] = signal.signal(number, self._received)
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _received(self, number, frame):
        if os.getpid() != self.process:  # A worker of a loader, which inherited this.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self.run is not None and self.run.stepping and self.run.stop is None:
            self.run.stop = number
        else:
            raise Stopped(number)


def _prepare(options):
    """Returns the compiled model, its batches, the held-out images or None, and all options.

    The options are those given, completed with the recipe's and with facts about the data.
    """
    variant, data, seed = options["variant"], options["data"], options["seed"]
    recipe = presets.get_recipe(variant)
    kind = options.get("condition") or ("labels" if Labels in recipe.conditions else None)
    pairs = options.get("targets")
    if pairs is not None and (kind or Images not in recipe.conditions):
        raise CommandError(
            "--targets is for variants that are trained on pairs, such as pix2pix, without "
            "--condition; leave one of them out."
        )
    if recipe.conditions and kind is None and pairs is None:
        raise CommandError(
            f"{variant} needs --condition downscaled:4, masked or grayscale, or --targets for a "
            "folder of pairs."
        )
    # Single images: SeededBatches chooses which ones go together.
    reading = {"image_size": options.get("image_size"), "batch_size": 1, "seed": seed}
    if pairs is None:
        reading["labels"] = kind == "labels"
    images, labels = opened(data, pairs, **reading)
    condition = condition_of(kind, data, images)
    shape = tuple(getattr(images, "image_shape", None) or images.shape[1:])
    facts = _data_facts(options, images, shape)
    held_out = metrics = None
    if options.get("score"):
        extractor = extractor_of(data, shape)
        distance, *_ = default_metrics(shape, extractor)
        metrics = [distance, *conditional_metrics(shape, extractor, condition, each_class=False)]
        (images, labels), scored = without_scored(data, Batch(images, labels), SCORED)
        check_counts(metrics[:1], len(scored.samples))
        held_out = scored.samples if scored.condition is None else tuple(scored)
    gan = presets.create_model(variant, shape, seed, metrics, condition)
    steps = gan.discriminator_steps
    if len(images) < steps:
        raise CommandError(f"{data} has {len(images)} images; {variant} needs at least {steps}.")
    size = options.get("batch_size") or recipe.batch_size
    batches = SeededBatches(
        images, size * steps, options.get("steps_per_epoch"), seed, drop_remainder=True,
        condition=labels,
    )  # fmt: skip
    gan.check_shares(batches.batch_size, 0)
    batch = (
        batches.batch_size // steps // gan.devices
    )  # Fewer than asked for, if there are not so many images.
    needed = memory.bytes_needed([gan.generator, gan.discriminator], batch)
    memory.check_memory(variant, shape, needed, batch)
    resolved = {
        **facts,
        "num_images": len(images),
        "batch_size": size,
        "epochs": options.get("epochs", recipe.epochs),
        "steps_per_epoch": batches.steps,
        "backend": keras.backend.backend(),
        "paper": recipe.paper,
        "recipe": _settings(gan) | {"decay": recipe.decay},
    }
    return gan, batches, held_out, options | resolved


def _data_facts(options, images, shape):
    """Returns what identifies the data, after checking that a resumed run gets the same images."""
    data = options["data"]
    if data not in datasets.list_datasets():
        data = os.path.abspath(os.path.expanduser(data))
    sha256 = content_key(images) or images.fingerprint
    if options.get("data_sha256", sha256) != sha256:
        raise CommandError(
            f"the images in {data} have changed since the run started; start a new run in another "
            "folder with --out."
        )
    return {
        "data": data,
        "data_sha256": sha256,
        "num_images": len(images),
        "image_size": shape[:2],
        "image_shape": shape,
    }


def _settings(gan):
    """Returns the model's and the optimizers' settings, without the networks' layers."""
    with without_tensorflow():
        settings = gan.get_config() | gan.get_compile_config()
    return {k: v for k, v in settings.items() if k not in ("generator", "discriminator")}


def _fit(gan: GAN, run: Run, batches, held_out, options, watch: Watch):
    epochs, recipe = options["epochs"], presets.get_recipe(options["variant"])
    decay = [LinearDecay(recipe.decay)] if recipe.decay else []
    progress = TimeLeft(run.folder / "samples.png")
    try:
        gan.fit(
            batches,
            epochs=epochs,
            validation_data=held_out,
            callbacks=[*decay, watch, run, progress],
            verbose=0,
        )
    except KeyboardInterrupt as error:
        progress.clear()
        number = getattr(error, "signal", signal.SIGINT)
        how = (
            "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        )
        saved = f"{len(run.rows)} of {epochs} epochs are in {run.folder}"
        message = f"{how}; {saved}; add --resume to continue."
        raise CommandError(message, 128 + number) from None
    except ResumeError as error:
        raise CommandError(error) from error
    except OSError as error:
        progress.clear()
        raise CommandError(
            f"the run cannot be saved: {error}; fix this, then add --resume to continue.", 1
        ) from error
    if run.failed_epoch:
        raise CommandError(
            f"training stopped: the losses were no longer finite in epoch {run.failed_epoch}; "
            f"{run.folder} contains the {run.failed_epoch - 1} epochs before it.",
            1,
        )
    if len(run.rows) < epochs:
        raise CommandError(
            f"training stopped: {watch.troubles[-1]}; {run.folder} contains {len(run.rows)} "
            "epochs. Lower the learning rates, or try another variant.",
            1,
        )


def _print_next_steps(args, epochs, gan):
    """Prints commands to try after a training, ready to copy."""
    data, out = shlex.quote(args.data), shlex.quote(str(args.out))
    train_again = f"{args.program} train {shlex.quote(args.variant)}"
    for option in ("condition", "targets"):
        given = getattr(args, option)
        train_again += f" --{option} {shlex.quote(given)}" if given else ""
    score = f"{args.program} evaluate {out} --data {data}"
    score += f" --targets {shlex.quote(args.targets)}" if args.targets else ""
    steps = {"Generate more images": f"{args.program} generate {out} --num 100 --out more.png"}
    if gan.condition is not None and gan.condition.is_image:
        translated = f"{args.program} translate {out} FOLDER --out translated"
        steps = {"Translate a folder of images": translated}
    steps |= {
        "Score them against real images": score,
        "Train longer": f"{train_again} --data {data} --out {out} --epochs {2 * epochs} --resume",
        "Train on a folder of your own images": f"{train_again} --data FOLDER --out runs/mine",
    }
    print("\nWhat to try next:")
    for title, command in steps.items():
        print(f"\n  # {title}\n  {command}")
