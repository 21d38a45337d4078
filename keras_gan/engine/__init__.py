"""What differs between the frameworks, behind the same names on all of them.

- `Trainer`: a mixin for `keras.Model` that fits the train step to Keras' trainer and compiles it.
- The train step uses `value_and_grad`, `logits_and_gradient`, `input_gradient`,
  `mean_over_devices`, `device_share`, `apply`, `normal` and `uniform`; networks use `batch_norm`.
- Around the step: `agreed`, `compiled`, `seed_noise`, `random_states`, `set_random_states`,
  `loader`, `gather`, `free_memory`, `device_name`, `on_devices` and `enable_compilation_cache`.

`batch_norm` and `loader` are None where Keras' own are as fast. Only the module of the backend that
Keras runs on is imported. `TRAINS` is False on backends without gradients.
"""

# mypy looks at all four imports, of which one is made.
# mypy: disable-error-code="assignment"

import keras

BACKENDS = ("jax", "tensorflow", "torch")
TRAINS = keras.backend.backend() in BACKENDS

if keras.backend.backend() == "jax":
    from keras_gan.engine.jax import (
        Trainer,
        agreed,
        apply,
        batch_norm,
        compiled,
        device_name,
        device_share,
        enable_compilation_cache,
        free_memory,
        gather,
        input_gradient,
        loader,
        logits_and_gradient,
        mean_over_devices,
        normal,
        on_devices,
        random_states,
        seed_noise,
        set_random_states,
        uniform,
        value_and_grad,
    )
elif keras.backend.backend() == "tensorflow":
    from keras_gan.engine.tensorflow import (  # type: ignore[assignment]
        Trainer,
        agreed,
        apply,
        batch_norm,
        compiled,
        device_name,
        device_share,
        enable_compilation_cache,
        free_memory,
        gather,
        input_gradient,
        loader,
        logits_and_gradient,
        mean_over_devices,
        normal,
        on_devices,
        random_states,
        seed_noise,
        set_random_states,
        uniform,
        value_and_grad,
    )
elif keras.backend.backend() == "torch":
    from keras_gan.engine.torch import (  # type: ignore[assignment]
        Trainer,
        agreed,
        apply,
        batch_norm,
        compiled,
        device_name,
        device_share,
        enable_compilation_cache,
        free_memory,
        gather,
        input_gradient,
        loader,
        logits_and_gradient,
        mean_over_devices,
        normal,
        on_devices,
        random_states,
        seed_noise,
        set_random_states,
        uniform,
        value_and_grad,
    )
else:
    from keras_gan.engine.inference import (  # type: ignore[assignment]
        Trainer,
        agreed,
        apply,
        batch_norm,
        compiled,
        device_name,
        device_share,
        enable_compilation_cache,
        free_memory,
        gather,
        input_gradient,
        loader,
        logits_and_gradient,
        mean_over_devices,
        normal,
        on_devices,
        random_states,
        seed_noise,
        set_random_states,
        uniform,
        value_and_grad,
    )

__all__ = [
    "BACKENDS",
    "TRAINS",
    "Trainer",
    "agreed",
    "apply",
    "batch_norm",
    "compiled",
    "device_name",
    "device_share",
    "enable_compilation_cache",
    "free_memory",
    "gather",
    "input_gradient",
    "loader",
    "logits_and_gradient",
    "mean_over_devices",
    "normal",
    "on_devices",
    "random_states",
    "seed_noise",
    "set_random_states",
    "uniform",
    "value_and_grad",
]
