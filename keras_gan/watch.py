"""The watch: sees while a GAN trains that the training has failed, and how."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan import evaluation
from keras_gan.datasets import batches
from keras_gan.datasets.batches import Batch
from keras_gan.datasets.loaders import first_batch

ACTIONS = ("warn", "stop", "roll_back")
SAMPLES = 64  # Whose spread is compared, at most.
# A window of steps is judged alone, and a trouble is one when it lasts: single batches can be odd.
PATIENCE = 3
LARGEST = 1e6  # Losses and mean logits of working trainings, of images or tables, stay far below.
WON = 0.02  # Share of the loss of guessing below which the discriminator makes no more mistakes.
SPREAD = 0.2  # Share of the real samples' spread.
START = 1000  # Generator updates until a generator must have left the one image it starts with.
MOST_ROLL_BACKS = 3

Logs = dict[str, Any] | None


class Watch(keras.callbacks.Callback):
    """Sees while a GAN trains that the training has failed, and warns, stops or rolls back.

    It looks at the means over every `every` steps, and at the end of an epoch at the weights and at
    a batch of samples. It finds:

    - losses or weights that are no longer finite;
    - divergence: losses or mean logits beyond a million;
    - a discriminator that wins outright: its loss, without terms, stays below a fiftieth of that of
      guessing. It then tells the generator nothing any more. Not looked for with a loss that has
      no such bound (`wasserstein`);
    - collapse: after a thousand generator updates, generated samples differ from each other less
      than a fifth as much as real ones.

    A healthy training is not changed by it: it draws no random numbers of the training.

    Args:
        on_trouble: What to do: `"warn"`; `"stop"` after a warning; or `"roll_back"` to the last
            epoch that was fine (at first to the start), with half the learning rates, and stop when
            that has not helped three times. When losses or weights are not finite, nothing can come
            of going on, so `"warn"` stops too.
        every: Steps between two looks at the losses, at least 1.

    Attributes:
        troubles: What was found so far, as strings, in order.

    Raises:
        ValueError: For another `on_trouble`; and when the training starts, for `"roll_back"` with
            optimizers whose learning rates are schedules.

    Example:

    >>> gan.fit(images, epochs=50, callbacks=[Watch("stop")])  # doctest: +SKIP
    """

    def __init__(self, on_trouble: str = "warn", every: int = 100) -> None:
        super().__init__()
        if on_trouble not in ACTIONS:
            raise ValueError(f"on_trouble must be one of {', '.join(ACTIONS)}; got {on_trouble!r}.")
        self.on_trouble, self.every = on_trouble, every
        self.troubles: list[str] = []
        self.first: Batch | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self._lasting = dict.fromkeys(("won", "collapsed"), 0)
        self._new: dict[str, str] = {}
        self._known: set[str] = set()
        self._roll_backs = 0
        self._steps_since_samples = 0
        if self.on_trouble == "roll_back":
            self.model.optimizer.learning_rate = self._rate()  # Raises if it cannot be set.
            self._good = self._state()
        logits = ops.zeros((1, 1))
        loss = self.model.adversarial_loss.discriminator(logits, logits)
        self._guessing = float(ops.convert_to_numpy(loss))

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch, self._seen = epoch, 0
        self._totals = np.zeros_like(self._means())

    # Not `on_train_batch_end`, before which Keras waits until the step's losses are known.
    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        if batch - self._seen >= self.every:
            self._look_at_losses(batch)
            if self._new:
                self._act()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._look_at_losses(self._seen)
        if self._steps_since_samples >= self.every and not self._new:
            self._steps_since_samples = 0
            self._look_at_weights_and_samples()
        if self._new:
            self._act()
        elif self.on_trouble == "roll_back" and not any(self._lasting.values()):
            self._good = self._state()

    def _means(self) -> np.ndarray:
        """Returns the sums of the step's means over the epoch so far, and the number of steps."""
        return np.array(ops.convert_to_numpy(self.model.step_means.totals), "float64")

    def _look_at_losses(self, step: int) -> None:
        """Looks at the mean losses and logits since the last look."""
        totals = self._means()
        *sums, count = totals - self._totals
        if count == 0:
            return
        self._seen, self._totals = step, totals
        self._steps_since_samples += count
        names = self.model.step_means.names
        means = {name: total / count for name, total in zip(names, sums, strict=True)}
        if bad := [name for name, mean in means.items() if not np.isfinite(mean)]:
            verb = "is" if len(bad) == 1 else "are"
            self._find("not finite", f"{', '.join(bad)} {verb} no longer finite")
            return
        largest = max(means, key=lambda name: abs(means[name]))
        if abs(means[largest]) > LARGEST:
            message = f"the training diverges: {largest} is {means[largest]:.3g}"
            self._find("diverging", message)
        terms = self.model.terms.values()
        added = sum(means[term.name] for term in terms if term.side == "discriminator")
        alone = means["d_loss"] - added
        message = (
            f"the discriminator wins outright: its loss is {alone:.3g}, where guessing has "
            f"{self._guessing:.3g}"
        )
        self._judge("won", self._guessing > 0 and alone < WON * self._guessing, message)

    def _look_at_weights_and_samples(self) -> None:
        for variable in self.model.weights:
            value = ops.convert_to_numpy(variable.value)
            if value.dtype.kind not in "iub" and not np.isfinite(value.astype("float32")).all():
                path = variable.path
                self._find("not finite", f"the weights {path} are no longer finite")
                return
        updates = int(ops.convert_to_numpy(self.model.optimizer.iterations))
        if self.first is None or updates < START:
            return
        real, generated = self._spreads(self.first)
        message = (
            f"the samples have collapsed: they differ from each other {generated / real:.2f} times "
            "as much as real ones"
        )
        self._judge("collapsed", generated < SPREAD * real, message)

    def _spreads(self, first: Batch) -> tuple[float, float]:
        """Returns the spreads of real samples and of generated ones with the same conditions."""
        gan, random = self.model, np.random.default_rng(0)
        head, _ = batches.divided(first, SAMPLES)
        real, condition = evaluation.prepared(gan, head, evaluation.uniform(random))
        return spread(real), spread(gan.sampled(random, len(real), condition))

    def _judge(self, kind: str, is_so: bool, message: str) -> None:
        """Finds a trouble if it is seen for the third time in a row."""
        self._lasting[kind] = self._lasting[kind] + 1 if is_so else 0
        if self._lasting[kind] >= PATIENCE:
            self._find(kind, message)
        elif not is_so:
            self._known.discard(kind)

    def _find(self, kind: str, message: str) -> None:
        if kind not in self._known:
            self._known.add(kind)
            self._new[kind] = f"Epoch {self._epoch + 1}: {message}"

    def _act(self) -> None:
        """Does what was asked for about what was found."""
        fatal = "not finite" in self._new
        found, self._new = list(self._new.values()), {}
        self.troubles += found
        text = "; ".join(found)
        if self.on_trouble == "roll_back" and self._roll_backs < MOST_ROLL_BACKS:
            self._roll_back()
            text += f"; back to the last good state, with learning rate {self._rate():.3g}."
        elif fatal or self.on_trouble != "warn":
            self.model.stop_training = True
            text += "; the training stops. Lower the learning rates, or try another recipe."
        else:
            text += "; see `Watch` for what can be done."
        warnings.warn(text, stacklevel=2)

    def _roll_back(self) -> None:
        self._roll_backs += 1
        rate = self._rate()
        variables = self._variables()
        for variable, value in zip(variables, self._good, strict=True):
            variable.assign(value)
        self.model.optimizer.learning_rate = rate / 2
        self.model.step_means.reset_state()
        self._lasting = dict.fromkeys(self._lasting, 0)
        self._known.clear()
        self._totals = self._means()

    def _rate(self) -> float:
        return float(ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *self.model.optimizer.variables]

    def _state(self) -> list[np.ndarray]:
        return [np.array(ops.convert_to_numpy(v.value)) for v in self._variables()]


def spread(samples: np.ndarray) -> float:
    """Returns the root of the mean squared distance between two samples, `(n, …)`, per number."""
    rows: Any = samples.reshape(len(samples), -1).astype("float64")
    return float(np.sqrt(2 * rows.var(axis=0, ddof=1).mean())) if len(rows) > 1 else 0.0


def show_data(callbacks: list[keras.callbacks.Callback], x: Any) -> Any:
    """Shows a loader's first batch to each `Watch`; returns the loader with all its batches."""
    watches = [callback for callback in callbacks if isinstance(callback, Watch)]
    if watches:
        x, first = first_batch(x, None)
        for watch in watches:
            watch.first = first
    return x
