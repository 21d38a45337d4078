"""`python -m keras_gan`: the same as `keras-gan`.

Python has already imported the package, and so fixed Keras' backend, when it comes here. The
command has to read `--backend` before that, so it takes the place of this process.
"""

import os
import sys

os.execv(sys.executable, [sys.executable, "-m", "keras_gan_cli", *sys.argv[1:]])
