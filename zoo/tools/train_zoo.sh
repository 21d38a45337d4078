#!/usr/bin/env bash
# Trains every variant on the 60,000 images of Fashion-MNIST, and dcgan on emoji. Run from the
# repository root:
#
#   KERAS_BACKEND=tensorflow bash zoo/tools/train_zoo.sh FOLDER
#   KERAS_BACKEND=jax SEEDS="0 1 2" bash zoo/tools/train_zoo.sh FOLDER   # on a GPU
#
# Takes hours on two CPU cores; the same command resumes it. Look at FOLDER/*/samples.png, then make
# bundled presets:
#
#   python -m zoo.tools.bundle FOLDER/dcgan-* dcgan_fashion_mnist
#   python -m zoo.tools.bundle FOLDER/emoji-* dcgan_noto_emoji --last
set -euo pipefail
folder=${1:?a folder for the runs}
python=${PYTHON:-python3}

train() {  # NAME VARIANT DATA [OPTION…]
    for seed in ${SEEDS:-0}; do
        local out=$folder/$1-$seed resume=
        [ ! -e "$out/options.json" ] || resume=--resume
        "$python" -m keras_gan_cli train "$2" --data "$3" --seed "$seed" --score "${@:4}" \
            --out "$out" $resume
    done
}

train dcgan dcgan fashion_mnist
train lsgan lsgan fashion_mnist
train wgan_gp wgan_gp fashion_mnist
train vanilla vanilla fashion_mnist
# On CPUs with AMX, compiled torch trains faster in half precision. Bundled in float32.
train emoji dcgan noto_emoji --epochs 100 --precision mixed_bfloat16
