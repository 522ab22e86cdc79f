# shellcheck shell=bash
# Sourced by setup.sh, quickstart.sh and tests/run.sh. They stand in the top folder of the tree and set `self`, the
# name that their lines begin with, and `log`, the file that receives what the tools print.
: "${self:?}" "${log:?}"

# die MESSAGE: ends the script with one line that says what is wrong and what to do.
die() {
  echo "$self: $*" >&2
  exit 1
}

# stage LABEL COMMAND...: runs COMMAND quietly and prints one line with the time it took; where COMMAND fails, the end
# of its output too. Returns COMMAND's status.
stage() {
  local label=$1 start=$SECONDS status=0
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" = 0 ]; then
    printf '%s: %-44s %4d s\n' "$self" "$label" $((SECONDS - start))
  else
    tail -n 40 "$log" >&2
    echo "$self: $label failed with status $status; all of its output: $log" >&2
  fi
  return "$status"
}

# find_nvcc: prints the path of the CUDA compiler, or returns 1.
find_nvcc() {
  local candidate
  for candidate in "${CUDACXX:-}" "$(command -v nvcc)" /usr/local/cuda/bin/nvcc; do
    if [ -x "$candidate" ]; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}
