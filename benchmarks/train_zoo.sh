#!/usr/bin/env bash
# Trains every variant on the 60,000 images of Fashion-MNIST, and dcgan on emoji.
#
#   KERAS_BACKEND=tensorflow bash benchmarks/train_zoo.sh FOLDER
#   KERAS_BACKEND=jax TIMES=2 SEEDS="0 1 2" bash benchmarks/train_zoo.sh FOLDER   # on a GPU
#
# Hours on two CPU cores; started again, it goes on. TIMES multiplies the epochs. Look at
# FOLDER/*/samples.png; then make bundled presets:
#
#   python -m benchmarks.bundle FOLDER/dcgan-* dcgan_fashion_mnist
#   python -m benchmarks.bundle FOLDER/emoji-* dcgan_noto_emoji --last
set -euo pipefail
folder=${1:?a folder for the runs}

train() {  # NAME VARIANT DATA EPOCHS [OPTION…]
    for seed in ${SEEDS:-0}; do
        local out=$folder/$1-$seed resume=
        [ ! -e "$out/options.json" ] || resume=--resume
        python -m keras_gan train "$2" --data "$3" --epochs $(($4 * ${TIMES:-1})) \
            --seed "$seed" --score "${@:5}" --out "$out" $resume
    done
}

train dcgan dcgan fashion_mnist 60
train lsgan lsgan fashion_mnist 60
train wgan_gp wgan_gp fashion_mnist 60
train vanilla vanilla fashion_mnist 60
# Half precision is faster with torch, compiled, on CPUs with AMX; bundled in float32.
train emoji dcgan noto_emoji 100 --precision mixed_bfloat16
