#!/usr/bin/env bash
# quickstart.sh [--recipe biggan-digits|ddpm-digits|ldm-digits]: from an empty Debian 12 to pictures: installs, builds,
# trains a small BigGAN (or diffusion model, of pixels or of latents) on the embedded digits with two ranks, and writes a
# grid of its samples. Called again it goes on where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
self=quickstart
log=$PWD/build/logs/quickstart.log
. launch/stages.sh

recipe=biggan-digits
if [ "$#" = 2 ] && [ "$1" = --recipe ]; then
  recipe=$2
elif [ "$#" -gt 0 ]; then
  die "launch/quickstart.sh takes [--recipe biggan-digits|ddpm-digits|ldm-digits], not: $*"
fi
case $recipe in
  biggan-digits) run=runs/quickstart ;;
  ddpm-digits | ldm-digits) run=runs/quickstart-${recipe%-digits} ;;
  *) die "--recipe $recipe: give one of biggan-digits, ddpm-digits, ldm-digits" ;;
esac
ranks=2
data=datasets/samples/digits.h5

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

# train RECIPE DATA OUT OPTION...: to its end, or leaves.
train() {
  local status=0
  "${mpi[@]}" build/cpu/ganymede train --recipe "$1" --data "$2" --out "$3" --log.every 50 "${@:4}" || status=$?
  if [ "$status" = 75 ]; then
    echo "$self: training stopped on request and saved; the same command goes on from there" >&2
  fi
  [ "$status" = 0 ] || exit "$status"
}

if [ "$recipe" = ldm-digits ]; then
  train kl-digits "$data" "$run-first-stage"
  latents=$run-latents.h5
  [ "$latents" -nt "$run-first-stage/checkpoints" ] ||
    "${mpi[@]}" build/cpu/ganymede dataset encode "$data" "$latents" --first-stage "$run-first-stage" --force
  train "$recipe" "$latents" "$run" --first-stage "$run-first-stage"
else
  train "$recipe" "$data" "$run"
fi
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
