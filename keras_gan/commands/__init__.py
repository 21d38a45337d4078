"""What the command `keras-gan` does; `keras_gan.cli` chooses among it."""
