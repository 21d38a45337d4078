#!/usr/bin/env bash
# Trains every variant on the 60,000 images of Fashion-MNIST until the grid shows clothes.
#
#   KERAS_BACKEND=tensorflow bash benchmarks/train_zoo.sh FOLDER
#
# Hours on two CPU cores; started again, it goes on. Look at FOLDER/*/samples.png; then
# `python -m benchmarks.bundle FOLDER/VARIANT VARIANT_fashion_mnist` makes a bundled preset.
set -euo pipefail
folder=${1:?a folder for the runs}

train() {  # VARIANT EPOCHS
    local out=$folder/$1 resume=
    [ ! -e "$out/options.json" ] || resume=--resume
    python -m keras_gan train "$1" --data fashion_mnist --epochs "$2" --score --out "$out" $resume
}

train vanilla 20
train lsgan 20
train wgan_gp 40
train dcgan 20
