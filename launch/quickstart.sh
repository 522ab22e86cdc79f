#!/usr/bin/env bash
# quickstart.sh: from an empty Debian 12 to pictures: installs, builds, trains a small BigGAN on the embedded digits with
# two ranks, and writes a grid of its samples. Called again it goes on where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
self=quickstart
log=$PWD/build/logs/quickstart.log
. launch/stages.sh

run=runs/quickstart
ranks=2

launch/setup.sh --cpu
stage "configure" cmake --preset cpu -DGANYMEDE_TESTS=OFF || die "mend what cmake says above and run this again"
stage "build" cmake --build --preset cpu --target ganymede || die "mend what the compiler says above and run this again"

mpi=(mpirun -n "$ranks")
if [ "$(id -u)" = 0 ]; then
  mpi+=(--allow-run-as-root)
fi
# Open MPI counts cores, not their threads; of those this process may use, nproc knows.
cores=$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l) || cores=1
if [ "$cores" -lt "$ranks" ] || [ "$(nproc)" -lt "$ranks" ]; then
  mpi+=(--oversubscribe)
fi

status=0
"${mpi[@]}" build/cpu/ganymede train --recipe biggan-digits --data datasets/samples/digits.h5 --out "$run" \
  --log.every 50 || status=$?
if [ "$status" = 75 ]; then
  echo "$self: training stopped on request and saved; the same command goes on from there" >&2
fi
[ "$status" = 0 ] || exit "$status"
build/cpu/ganymede sample --from "$run" --count 100 --classes all --out "$run/samples.png"

cat <<END
$self: done in $SECONDS s
  the samples       $run/samples.png
  the run           $run (log.jsonl, samples/, checkpoints/)
Next:
  more samples      build/cpu/ganymede sample --from $run --count 50 --classes 3,7 --out $run/3-and-7.png
  every recipe      build/cpu/ganymede models
  your own images   build/cpu/ganymede dataset pack FOLDER mine.h5 --size 32
END
