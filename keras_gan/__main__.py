"""`python -m keras_gan`, the same as `keras-gan`."""

import sys

from keras_gan.cli import main

sys.exit(main())
