#!/usr/bin/env bash
# run.sh [CTEST ARGUMENTS]: installs, builds and runs every test; compiles the CUDA files too wherever nvcc is found.
# Arguments go to every ctest call: tests/run.sh -R Philox runs the tests whose names match.
# Labels give the order: unit tests have none; mpi, python and slow come after, in this order.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
self=tests
log=$PWD/build/logs/tests.log
. launch/stages.sh

# Tests start more ranks than there are cores, also as root; unbound, they share the cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none

passed=0
failed=0
summary=()

# note OUTCOME LABEL START: one line of the summary.
note() {
  summary+=("$(printf '%-8s %-28s %5d s' "$1" "$2" $((SECONDS - $3)))")
}

# step LABEL COMMAND...: a stage that the summary names.
step() {
  local label=$1 start=$SECONDS status=0
  shift
  log=$PWD/build/logs/${label// /-}.log
  stage "$label" "$@" || status=$?
  if [ "$status" = 0 ]; then
    note ok "$label" "$start"
  else
    note FAILED "$label" "$start"
    failed=$((failed + 1))
  fi
  return "$status"
}

# build PRESET [TARGET]: configures and builds one preset with its tests.
build() {
  step "configure $1" cmake --preset "$1" -DGANYMEDE_TESTS=ON &&
    step "build $1" cmake --build --preset "$1" --target "${2:-all}"
}

# check LABEL PRESET JOBS CTEST ARGUMENTS...: runs the tests that the arguments choose and counts them.
check() {
  local label=$1 preset=$2 jobs=$3 start=$SECONDS status=0 total bad
  shift 3
  log=$PWD/build/logs/${label// /-}.log
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=ignore -j "$jobs" "$@" >"$log" 2>&1 </dev/null || status=$?
  read -r bad total < <(sed -nE 's/.*tests passed, ([0-9]+) tests? failed out of ([0-9]+)/\1 \2/p' "$log") || true
  if [ -z "$total" ]; then
    [ "$status" != 0 ] || return 0 # no such tests
    total=1 bad=1                  # ctest itself failed
  fi
  passed=$((passed + total - bad))
  failed=$((failed + bad))
  printf '%s: %-32s %4d of %-4d %4d s\n' "$self" "$label" $((total - bad)) "$total" $((SECONDS - start))
  if [ "$bad" = 0 ]; then
    note ok "$label, $total tests" "$start"
  else
    grep -vE '^ *[0-9]+/[0-9]+ .* Passed |^ +Start ' "$log" | tail -n 200
    note FAILED "$label, $bad of $total" "$start"
  fi
}

cores=$(nproc)
launch/setup.sh --cpu --tests
if build cpu; then
  check "unit tests" cpu "$cores" -LE 'mpi|python|slow' "$@"
  check "MPI tests" cpu "$cores" -L mpi -LE 'python|slow' "$@"
  check "Python tests" cpu "$cores" -L python -LE slow "$@"
  check "slow tests" cpu "$cores" -L slow "$@"
fi
if build asan unit_tests; then
  check "unit tests with sanitizers" asan "$cores" -LE 'mpi|python|slow|fuzz' "$@"
  check "damaged files, fuzz targets" asan "$cores" -L fuzz "$@"
fi
if nvcc=$(find_nvcc); then
  launch/setup.sh --cuda --tests
  export CUDACXX=$nvcc
  build cuda || true # programs that a GPU runs: tests/gpu/run.sh
fi

echo
printf '%s\n' "${summary[@]}"
[ $((passed + failed)) -gt 0 ] || die "no test ran: the arguments match none"
printf 'tests: %d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
