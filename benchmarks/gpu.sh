#!/usr/bin/env bash
# Measures all that needs a GPU, unattended and without network: the tests, steps against native
# loops, throughput, its scaling, the peers, and the training of the zoo.
#
#   bash benchmarks/gpu.sh OUT [tests] [steps] [throughput] [scaling] [peers] [zoo]
#
# Needs torch and JAX for the GPU, Keras, and for the tests pytest and hypothesis (faster with
# pytest-xdist). The library need not be installed. The zoo needs Fashion-MNIST and the emoji font
# on the machine, see keras_gan.datasets.load. TensorFlow is not run.
#
# Each part writes OUT/PART.json and OUT/PART.log. To resume, run the same command again: parts whose
# JSON exists are skipped. Every part has a time limit; LIMIT=SECONDS sets another one for all.
# Other variables: PYTHON (python3), BACKENDS ("jax torch"), SEEDS of the zoo ("0 1 2").
set -uo pipefail
out=$(mkdir -p "${1:?a folder for the results}" && cd "$1" && pwd) || exit
shift
cd "$(dirname "$0")/.."
wanted=" ${*:-tests steps throughput scaling peers zoo} "
export PYTHON=${PYTHON:-python3} PYTHONUNBUFFERED=1 MPLBACKEND=agg
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
# The backends share the GPU with the tests' other processes and with the peers' torch.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
# In the source tree the zoo lies beside the package; an installation maps it to keras_gan.zoo.
ln -sfn ../zoo keras_gan/zoo
backends=${BACKENDS:-jax torch}
unfinished=$out/unfinished
mkdir -p "$unfinished"
failed=()

finished() {  # NAME: whether a part has its results.
    [ -e "$out/$1.json" ] && echo "== $1: already measured"
}

limited() {  # SECONDS COMMAND…
    timeout -k 30 "${LIMIT:-$1}" "${@:2}"
}

part() {  # NAME SECONDS COMMAND…: COMMAND writes UNFINISHED/NAME.json.
    local name=$1 code=0
    finished "$name" && return
    limited "${@:2}" >"$out/$name.log" 2>&1 || code=$?
    if [ $code = 0 ] && mv "$unfinished/$name.json" "$out"; then
        echo "== $name: measured"
    else
        echo "== $name: FAILED with exit code $code (124: time limit), see $out/$name.log"
        tail -n 3 "$out/$name.log"
        failed+=("$name")
    fi
}

tests() {  # BACKEND: in full float32, because the tests compare the backends.
    local name=tests_$1 code=0 workers=()
    finished "$name" && return
    if "$PYTHON" -c 'import xdist' 2>/dev/null; then
        workers=(-n "$((($(nproc) + 1) / 2))")  # Two backends are tested at once.
    fi
    KERAS_BACKEND=$1 NVIDIA_TF32_OVERRIDE=0 JAX_DEFAULT_MATMUL_PRECISION=highest \
        OMP_NUM_THREADS=1 TORCHINDUCTOR_COMPILE_THREADS=1 \
        limited 1800 "$PYTHON" -m pytest -q -m "not once and not full" -p no:cacheprovider \
        --continue-on-collection-errors "${workers[@]}" >"$out/$name.log" 2>&1 || code=$?
    echo "== $name: $(tail -n 1 "$out/$name.log") (exit code $code; 124: time limit)"
    # 0: all passed, 1: some failed; with any other code they have not all run.
    [ $code -gt 1 ] || echo "{\"exit_code\": $code}" >"$out/$name.json"
    return $code
}

step() {  # VARIANT SIDE CHANNELS BATCH STEPS
    local name=step_${KERAS_BACKEND}_$1_$2x$2x$3_batch$4
    part "$name" 600 "$PYTHON" -m benchmarks.step "$1" --image-size "$2" --channels "$3" \
        --batch-size "$4" --steps "$5" --json-out "$unfinished/$name.json"
}

throughput() {  # NAME PART…
    local name=${KERAS_BACKEND}_$1
    part "throughput_$name" 660 "$PYTHON" -m benchmarks.throughput --gpu \
        --backends "$KERAS_BACKEND" --parts "${@:2}" --name "$name" --out "$unfinished"
}

peers() {
    local name=peers_$KERAS_BACKEND
    part "$name" 900 "$PYTHON" -m benchmarks.peers --batch-size 256 --steps 50 \
        --json-out "$unfinished/$name.json"
}

if [[ $wanted == *" tests "* ]]; then
    declare -A running=()
    for backend in $backends; do
        tests "$backend" &
        running[$backend]=$!
    done
    for backend in "${!running[@]}"; do
        wait "${running[$backend]}" || failed+=("tests_$backend")
    done
fi
if [[ $wanted == *" steps "* ]]; then
    variants=$(KERAS_BACKEND=${backends%% *} "$PYTHON" -c \
        'import keras_gan; print(*keras_gan.list_models())') || failed+=(steps)
    for variant in $variants; do
        for backend in $backends; do
            export KERAS_BACKEND=$backend
            step "$variant" 28 1 64 50
            step "$variant" 64 3 256 20
        done
    done
fi
for backend in $backends; do
    export KERAS_BACKEND=$backend
    [[ $wanted != *" throughput "* ]] || throughput table table
    [[ $wanted != *" scaling "* ]] || throughput scaling scaling inference
    [[ $wanted != *" peers "* ]] || peers
done
if compgen -G "$out/throughput_*.json" >/dev/null; then
    "$PYTHON" -m benchmarks.report "$out" || failed+=(report)
fi
if [[ $wanted == *" zoo "* ]]; then
    # Resumes its own runs, which need no JSON here.
    KERAS_BACKEND=${backends%% *} \
        limited 21600 "$PYTHON" -m zoo.tools.queue "$out/zoo" --run --seeds ${SEEDS:-0 1 2} 2>&1 | tee -a "$out/zoo.log"
    [ "${PIPESTATUS[0]}" = 0 ] || failed+=(zoo)
fi
echo "== done in $SECONDS s; failed: ${failed[*]:-nothing}"
[ ${#failed[@]} = 0 ]
