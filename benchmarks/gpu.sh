#!/usr/bin/env bash
# All that is to be measured on a GPU: the tests, the steps against native loops, the throughput
# and its scaling (each backend under 10 minutes, and under 10 once more), the peers, the zoo.
#
#   bash benchmarks/gpu.sh OUT [tests] [steps] [throughput] [scaling] [peers] [zoo]
#
# Needs torch and JAX for the GPU, and keras, optree and namex; no network. TensorFlow is not run.
set -uo pipefail
out=${1:?a folder for the results}
shift
parts=${*:-tests steps throughput scaling peers zoo}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 PYTHONPATH=$PWD

for backend in jax torch; do
    export KERAS_BACKEND=$backend
    if [[ $parts == *tests* ]]; then
        python -m pytest -q -m "not cross" 2>&1 | tee "$out/tests_$backend.log" | tail -n 30
    fi
    if [[ $parts == *steps* ]]; then
        for variant in vanilla dcgan lsgan wgan_gp; do
            python -m benchmarks.step $variant --batch-size 64 --steps 50 \
                --json-out "$out/step_${backend}_$variant.json"
        done
    fi
    for part in throughput scaling; do
        [[ $parts == *$part* ]] || continue
        [ $part = scaling ] && select="scaling inference" || select=table
        python -m benchmarks.throughput --gpu --backends $backend --parts $select \
            --name "${backend}_$part" --out "$out/throughput"
    done
    if [[ $parts == *peers* ]]; then
        XLA_PYTHON_CLIENT_PREALLOCATE=false python -m benchmarks.peers --batch-size 256 \
            --steps 50 --json-out "$out/peers_$backend.json"
    fi
done
if [[ $parts == *zoo* ]]; then
    KERAS_BACKEND=jax SEEDS=${SEEDS:-0 1 2} bash benchmarks/train_zoo.sh "$out/zoo"
fi
