"""The pair of optimizers that Keras sees as one."""

import keras

from keras_gan.engine.keras_internals import built_variables, rate_variable


@keras.saving.register_keras_serializable(package="keras_gan")
class PairedOptimizer(keras.optimizers.Optimizer):
    """The generator's and the discriminator's optimizer as one `keras.optimizers.Optimizer`.

    Keras carries, saves and restores one optimizer per model. To it, this is that optimizer; the
    train step applies the two by name. `learning_rate` is the generator's; setting it, as
    schedulers do, scales the discriminator's by the same factor.

    Args:
        generator: A `keras.optimizers.Optimizer`.
        discriminator: Another one: an optimizer's state belongs to one network.
        ratio: The discriminator's learning rate divided by the generator's, kept for the case
            that the rate has been 0. Computed from the two by default.
    """

    def __init__(self, generator, discriminator, ratio=None, name="paired"):
        super().__init__(learning_rate=0.0, name=name)
        if generator is discriminator:
            raise ValueError(
                "The generator and the discriminator need an optimizer each; got the same object "
                "for both. Make two, for example with two calls of keras.optimizers.Adam(…)."
            )
        self.generator = generator
        self.discriminator = discriminator
        self.ratio = ratio
        self.complete = True  # False where the training continues with another call of Keras' fit.

    def build(self, variables):
        raise RuntimeError("GAN.compile builds the two optimizers, each with its own network.")

    def build_pair(self, generator_variables, discriminator_variables):
        """Creates the state of both optimizers; after this, Keras takes the pair as built."""
        self.generator.build(generator_variables)
        self.discriminator.build(discriminator_variables)
        self.built = True

    @property
    def variables(self):
        return self.generator.variables + self.discriminator.variables

    @property
    def iterations(self):
        """Generator updates so far."""
        return self.generator.iterations

    @property
    def learning_rate(self):
        return self.generator.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        for side in (self.generator, self.discriminator):
            if rate_variable(_innermost(side)) is None:
                raise TypeError(
                    "The learning rate cannot be set, because an optimizer was made with a "
                    "LearningRateSchedule. Make both with a number to set it, or leave it alone."
                )
        rate = float(keras.ops.convert_to_numpy(self.generator.learning_rate))
        if rate > 0:
            self.ratio = float(keras.ops.convert_to_numpy(self.discriminator.learning_rate)) / rate
        elif self.ratio is None:
            self.ratio = 1.0
        self.generator.learning_rate = value
        self.discriminator.learning_rate = value * self.ratio

    def set_weights(self, weights):
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    def rates(self) -> list[keras.Variable]:
        """Returns the variables of the learning rates, where these are no schedules."""
        found = (rate_variable(_innermost(side)) for side in (self.generator, self.discriminator))
        return [rate for rate in found if rate is not None]

    def finalize_variable_values(self, var_list):
        if not self.complete:
            return
        for side in (self.generator, self.discriminator):
            side.finalize_variable_values(built_variables(_innermost(side), otherwise=var_list))

    # The two optimizers are attributes and save themselves.
    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass

    def get_config(self):
        return {
            "generator": serialize(self.generator),
            "discriminator": serialize(self.discriminator),
            "ratio": self.ratio,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        build = keras.saving.deserialize_keras_object
        sides = {key: build(config[key], custom_objects) for key in ("generator", "discriminator")}
        return cls(**(config | sides))


def serialize(optimizer):
    """The optimizer's config under its public name.

    On torch, Keras names a module of its torch backend, which only a machine with torch can import.
    """
    config = keras.saving.serialize_keras_object(optimizer)
    if config["module"].startswith("keras.src.backend."):
        config |= {"module": "keras.optimizers", "registered_name": None}
    if hasattr(optimizer, "inner_optimizer"):
        config["config"]["inner_optimizer"] = serialize(optimizer.inner_optimizer)
    return config


def _innermost(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)


def get(identifier, policy):
    """The optimizer of a name or a given one, fit for a network's dtype policy."""
    # DCGAN's settings are what a GAN needs of Adam; Keras' own (1e-3, 0.9) make it oscillate.
    adam = keras.optimizers.Adam(2e-4, beta_1=0.5) if identifier == "adam" else identifier
    optimizer = keras.optimizers.get(adam)
    if policy.compute_dtype != "float16" or hasattr(optimizer, "inner_optimizer"):
        return optimizer
    # float16 gradients underflow without loss scaling.
    return keras.optimizers.LossScaleOptimizer(optimizer, name=f"scaled_{optimizer.name}")
