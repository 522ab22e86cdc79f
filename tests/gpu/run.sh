#!/usr/bin/env bash
# run.sh pack | run.sh [run]: what only a GPU can tell.
#   pack  builds the preset cuda and packs programs, Open MPI and every library that a machine with a GPU, CUDA 13 and
#         torch 2.11.0+cu130 lacks, into build/gpu/package.tar.gz (under 64 MiB)
#   run   unpacks it on such a machine, which needs no network, MPI, HDF5 or Boost, and runs: the communicator's tests on NCCL
#         with 1, 2 and 4 ranks; every kernel, and ten steps of training, against the CPU's; repeat and resume bit by bit;
#         the speed of training and its memory. PYTHON names the python3 that holds torch.
# The last lines say what passed, what failed, and which figures were not measured. Logs: build/gpu/logs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
self=gpu
log=$PWD/build/logs/gpu.log
. launch/stages.sh

folder=$PWD/build/gpu
package=$folder/package.tar.gz
multiarch=lib/x86_64-linux-gnu

# libraries FILE...: what they load, without torch, CUDA, the C and C++ runtimes.
libraries() {
  LD_LIBRARY_PATH=$torch/lib ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ "^/" {print $3}' | sort -u |
    grep -vE '/site-packages/|/cuda|/lib(c|m|dl|rt|pthread|util|resolv|gcc_s|stdc\+\+|gomp)\.so|ld-linux'
}

pack() {
  local tree=$folder/tree plugin
  torch=$(echo .venv/lib/python3*/site-packages/torch)
  CUDACXX=$(find_nvcc) || die "no nvcc: install the CUDA Toolkit 13.0 and put its bin folder into PATH"
  export CUDACXX
  stage "configure cuda" cmake --preset cuda -DGANYMEDE_TESTS=ON || die "the preset cuda does not configure"
  stage "build cuda" cmake --build --preset cuda --target ganymede test_gpu test_distributed_nccl ||
    die "the preset cuda does not build"
  rm -rf "$folder"
  mkdir -p "$tree"/{bin,lib,share/ganymede} "$tree/mpi/$multiarch/openmpi/lib/openmpi3" "$tree/mpi"/{bin,share} \
    "$tree/mpi/$multiarch/pmix2/lib"
  cp build/cuda/ganymede build/cuda/tests/gpu/test_gpu build/cuda/tests/gpu/test_distributed_nccl "$tree/bin"
  strip "$tree"/bin/*
  cp -r launch/recipes "$tree/share/ganymede"
  # Open MPI and PMIx look for their parts below a prefix that the environment may name.
  cp -L "$(command -v mpirun)" "$tree/mpi/bin/mpirun"
  cp -L "$(command -v orted)" "$tree/mpi/bin/orted"
  for plugin in "/usr/$multiarch"/openmpi/lib/openmpi3/*.so; do
    [[ $plugin =~ ucx|ofi|psm|openib|usnic|verbs|portals|monitoring|oshmem|spml|memheap|scoll ]] ||
      cp -L "$plugin" "$tree/mpi/$multiarch/openmpi/lib/openmpi3"
  done
  cp -rL /usr/$multiarch/pmix2/lib/pmix "$tree/mpi/$multiarch/pmix2/lib"
  cp -rL /usr/share/openmpi "$tree/mpi/share"
  [ ! -d /usr/share/pmix ] || cp -rL /usr/share/pmix "$tree/mpi/share"
  libraries "$tree"/bin/* "$tree"/mpi/bin/* "$tree/mpi/$multiarch"/*/lib/*/*.so | xargs cp -Lt "$tree/lib"
  tar -C "$tree" -czf "$package" .
  rm -rf "$tree"
  local size
  size=$(stat -c %s "$package")
  [ "$size" -lt $((64 << 20)) ] || die "the package has $size bytes: more than 64 MiB"
  echo "$self: $package, $((size >> 20)) MiB"
}

passed=()
failed=()
unmeasured=()

# check LABEL SECONDS COMMAND...: a step of the run; goes on after a failure.
check() {
  local label=$1 seconds=$2
  shift 2
  log=$folder/logs/${label// /-}.log
  if stage "$label" timeout "$seconds" "$@"; then passed+=("$label"); else failed+=("$label"); fi
}

# ranks COUNT PROGRAM...: several ranks on the GPUs that there are, which they may share.
ranks() {
  local count=$1
  shift
  GANYMEDE_SHARE_GPU=1 mpirun -n "$count" --oversubscribe --bind-to none "$@"
}

# train OUT OPTION...: the smallest networks on the digits, each step logged.
train() {
  local out=$1
  shift
  ganymede train --recipe biggan-digits --data datasets/samples/digits.h5 --out "$out" --train.batch 16 --log.every 1 \
    --biggan.generator_channels 8 --biggan.discriminator_channels 8 --sample.every 0 --checkpoint.minutes 0 \
    --train.device cuda "$@"
}

# Bits: repeated, and resumed half way.
bits() {
  local out=$folder/runs
  train "$out/once" --train.deterministic true --steps 12 --checkpoint.every 6
  train "$out/again" --train.deterministic true --steps 12
  train "$out/resumed" --train.deterministic true --steps 6
  train "$out/resumed" --train.deterministic true --steps 12
  cmp_checkpoints "$out/once" "$out/again"
  cmp_checkpoints "$out/once" "$out/resumed"
}

cmp_checkpoints() {
  local shard
  for shard in "$1"/checkpoints/step-000000012/*.safetensors; do
    cmp "$shard" "$2/checkpoints/step-000000012/${shard##*/}"
  done
}

# The same run on the CPU, on one rank, and on two ranks with NCCL between them, in float64.
same_losses() {
  local out=$folder/runs
  train "$out/one" --train.precision fp64 --steps 10
  train "$out/cpu" --train.precision fp64 --steps 10 --train.device cpu
  ranks 2 ganymede train --recipe biggan-digits --data datasets/samples/digits.h5 --out "$out/two" --train.batch 16 \
    --log.every 1 --biggan.generator_channels 8 --biggan.discriminator_channels 8 --sample.every 0 --checkpoint.minutes 0 \
    --train.device cuda --train.precision fp64 --steps 10
  "$PYTHON" tests/gpu/compare_logs.py "$out/one/log.jsonl" "$out/cpu/log.jsonl" "$out/two/log.jsonl"
}

# A GPU takes one rank.
refuses_to_share() {
  local status=0
  env -u GANYMEDE_SHARE_GPU mpirun -n $((gpus + 1)) --oversubscribe --bind-to none ganymede train --recipe biggan-digits \
    --data datasets/samples/digits.h5 --out "$folder/runs/refused" --train.device cuda --steps 1 || status=$?
  [ "$status" = 2 ]
}

# Our own speed on the published network for 32 x 32 images, images made up; fp32, for which TF32 is off.
speed() {
  "$PYTHON" tests/gpu/make_images.py "$folder/images.h5"
  ganymede train --recipe biggan-cifar10 --data "$folder/images.h5" --out "$folder/runs/speed" --train.device cuda \
    --train.batch 256 --gan.d_steps 1 --steps 60 --log.every 20 --sample.every 0 --checkpoint.every 0
  tail -n 1 "$folder/runs/speed/log.jsonl"
}

run() {
  [ -f "$package" ] || die "no $package: make it with tests/gpu/run.sh pack where nvcc is"
  PYTHON=${PYTHON:-python3}
  local tree=$folder/tree site count
  site=$("$PYTHON" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parents[1])') ||
    die "$PYTHON has no torch: name one that has in PYTHON"
  "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || die "torch sees no GPU here"
  rm -rf "$tree" "$folder/runs" "$folder/logs"
  mkdir -p "$tree" "$folder/logs"
  tar -C "$tree" -xzf "$package"
  # The package's libraries are for our programs: Python keeps its own.
  local libraries=$site/torch/lib part
  for part in "$site"/nvidia/*/lib "$tree/lib"; do libraries+=:$part; done
  mkdir "$tree/run"
  for part in ganymede test_gpu test_distributed_nccl mpirun; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$libraries" \
      "$(find "$tree/bin" "$tree/mpi/bin" -name $part)" >"$tree/run/$part"
  done
  chmod +x "$tree"/run/*
  export PYTHON PATH=$tree/run:$PATH
  export OPAL_PREFIX=$tree/mpi PMIX_INSTALL_PREFIX=$tree/mpi OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export PMIX_MCA_pcompress_base_silence_warning=1 OMPI_MCA_plm_rsh_agent=/bin/false OMPI_MCA_btl=vader,self OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
  export -f train cmp_checkpoints ranks
  gpus=$("$PYTHON" -c 'import torch; print(torch.cuda.device_count())')
  export folder gpus
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true

  check "kernels and ten steps" 300 test_gpu
  for count in 1 2 4; do
    check "NCCL conformance on $count ranks" 240 bash -c "ranks $count test_distributed_nccl"
  done
  check "repeat and resume bit by bit" 200 bash -euc "$(declare -f bits); bits"
  check "GPU, CPU and two ranks agree" 200 bash -euc "$(declare -f same_losses); same_losses"
  check "a GPU takes one rank" 100 bash -euc "$(declare -f refuses_to_share); refuses_to_share"
  check "speed and memory" 300 bash -euc "$(declare -f speed); speed"
  grep -h '"images_per_second"' "$folder/logs/speed-and-memory.log" || unmeasured+=("images per second, and memory")
  check "bench against PyTorch" 600 "$PYTHON" tests/bench/train.py --device cuda --ranks 1 --pairs 3 \
    --program "$tree/run/ganymede"
  tail -n 1 "$folder/logs/bench-against-PyTorch.log"
  if [ "$gpus" = 1 ]; then
    unmeasured+=("bandwidth and scaling between GPUs, hidden communication: one GPU here, and sharing it proves results only")
  fi
  unmeasured+=("a lost link or rank under NCCL, and GPUDirect: no such network here")

  echo
  printf 'passed        %s\n' "${passed[@]}"
  [ ${#failed[@]} = 0 ] || printf 'FAILED        %s\n' "${failed[@]}"
  printf 'not measured  %s\n' "${unmeasured[@]}"
  [ ${#failed[@]} = 0 ]
}

case ${1:-run} in
  pack) pack ;;
  run) run ;;
  *) sed -n '2,/^set/{/^# /s///p}' "$0"; exit 2 ;;
esac
