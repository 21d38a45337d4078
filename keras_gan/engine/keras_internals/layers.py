"""Scopes, and the layers of networks with what they add to the loss."""

import threading
from typing import Any

import keras

from keras_gan.engine.keras_internals.lookup import found

_get_stateless_scope = found("get_stateless_scope", "backend.common.stateless_scope")
_thread = threading.local()


class Scope(keras.StatelessScope):
    """A `keras.StatelessScope` that knows the scope around it.

    A gradient is taken of a pure function, inside a scope of its own. That scope must start from
    the values of the scope around it, and what is assigned inside must end up there.

    Without Keras' function for the open scope, `outer` is the innermost `Scope`. All scopes of a
    train step are of this class; a `keras.StatelessScope` that a user opens around it is not seen.

    Attributes:
        outer: The scope that was open when this one was entered, or None.
    """

    outer: keras.StatelessScope | None = None

    def __enter__(self):
        opened = vars(_thread).setdefault("scopes", [])
        if _get_stateless_scope is not None:
            self.outer = _get_stateless_scope()
        elif opened:
            self.outer = opened[-1]
        opened.append(self)
        return super().__enter__()

    def __exit__(self, *args):
        _thread.scopes.pop()
        return super().__exit__(*args)


def all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a layer and all layers inside it.

    `keras.Model.layers` lists the outermost ones alone. Without Keras' own list, this follows
    `layers` downwards, and misses layers that are attributes of a layer that is not a model.
    """
    if hasattr(layer, "_flatten_layers"):
        return layer._flatten_layers()
    inner = getattr(layer, "layers", [])
    return [layer, *(found for part in inner for found in all_layers(part))]


def added_losses(network: keras.layers.Layer) -> list:
    """Returns what the layers of a network have added to the loss in its last call.

    These are the losses of `add_loss` and of activity regularizers, without those of the weights'
    regularizers: a network that is called twice in a step decays its weights once. Uses nothing
    private but the order of `network.losses`, in which those of the weights come last.
    """
    losses = network.losses
    return losses[: len(losses) - len(_regularized(network))]


def regularization_losses(network: keras.layers.Layer) -> list:
    """Returns the losses of the regularizers of a network's trainable weights."""
    return [variable.regularizer(variable) for variable in _regularized(network)]


def _regularized(network) -> list[keras.Variable]:
    return [v for v in network.trainable_weights if getattr(v, "regularizer", None) is not None]


def producer(tensor) -> tuple[Any, list]:
    """Returns the layer or operation of a functional model that gives a symbolic tensor, and what
    it was called on.

    Returns `(None, [])` for a tensor that comes from nowhere. So it does without Keras' record,
    and what a network ends in is not known.
    """
    history = getattr(tensor, "_keras_history", None)
    if history is None or getattr(history, "operation", None) is None:
        return None, []
    nodes = getattr(history.operation, "_inbound_nodes", [])
    inputs = nodes[history.node_index].input_tensors if history.node_index < len(nodes) else []
    return history.operation, list(inputs)
