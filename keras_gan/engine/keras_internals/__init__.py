"""What the library uses of Keras that Keras does not document.

Each function says why it is needed, and what happens on a version of Keras that lacks it: the
library then takes the public way, which is slower or does a little less.
"""

from keras_gan.engine.keras_internals.layers import (
    Scope,
    added_losses,
    all_layers,
    producer,
    regularization_losses,
)
from keras_gan.engine.keras_internals.saving import (
    custom_objects,
    global_seed,
    register_parameters,
    serialized_as,
    set_random_seed,
    unsafe_deserialization,
    unset_weights,
    without_tensorflow,
    write_weights,
)
from keras_gan.engine.keras_internals.torch import (
    replaced_torch_functions,
    stored_tensors,
    torch_device,
)
from keras_gan.engine.keras_internals.training import (
    EpochIterator,
    MetricsList,
    WithoutDynamo,
    adam_moments,
    built_variables,
    in_several_processes,
    keep_jax_state,
    metric_directions,
    no_automatic_dependency_tracking,
    rate_variable,
    scans_steps,
    updates_as_adam,
)

__all__ = [
    "EpochIterator",
    "MetricsList",
    "Scope",
    "WithoutDynamo",
    "adam_moments",
    "added_losses",
    "all_layers",
    "built_variables",
    "custom_objects",
    "global_seed",
    "in_several_processes",
    "keep_jax_state",
    "metric_directions",
    "no_automatic_dependency_tracking",
    "producer",
    "rate_variable",
    "register_parameters",
    "regularization_losses",
    "replaced_torch_functions",
    "scans_steps",
    "serialized_as",
    "set_random_seed",
    "stored_tensors",
    "torch_device",
    "unsafe_deserialization",
    "unset_weights",
    "updates_as_adam",
    "without_tensorflow",
    "write_weights",
]
