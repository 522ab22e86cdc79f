#!/usr/bin/env bash
# setup.sh [--cpu|--cuda] [--tests]: installs what Ganymede is built from: Debian packages through apt (as root, or with
# sudo), and libtorch from the torch wheel into .venv. A second call finds everything in place and changes nothing.
#   --cpu    what the preset cpu needs: 1.3 GB in .venv; the default
#   --cuda   what the preset cuda needs: all of torch, 4.6 GB; asks for nvcc, which it does not install
#   --tests  the compilers' and Python's test libraries, Slurm, and Chromium (0.3 GB); all of torch
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
self=setup
log=$PWD/build/logs/setup.log
. launch/stages.sh

wheels=libtorch
device=cpu
tests=no
for argument in "$@"; do
  case $argument in
    --cpu) device=cpu ;;
    --cuda) device=cuda ;;
    --tests) tests=yes ;;
    -h | --help) sed -n '2,/^set/{/^# /s///p}' "$0"; exit 0 ;;
    *) die "unknown argument '$argument': the arguments are --cpu, --cuda and --tests" ;;
  esac
done

packages=(
  g++ cmake ninja-build mold ccache
  openmpi-bin libopenmpi-dev libhdf5-dev libboost-program-options-dev nlohmann-json3-dev libfmt-dev
  libpng-dev libjpeg62-turbo-dev libarchive-dev zlib1g-dev libdeflate-dev liblzf-dev libxxhash-dev
  python3 python3-venv ca-certificates
)
[ $device = cuda ] && wheels=cuda
if [ $tests = yes ]; then
  wheels=tests
  packages+=(libgtest-dev libclang-rt-14-dev slurm-wlm munge strace iproute2 chromium-headless-shell fonts-dejavu-core)
fi

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Prints the packages that are not there, or only half.
missing_packages() {
  local installed package
  installed=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null |
    sed -nE 's/^([^: ]+)(:[^ ]+)? installed$/\1/p') || true
  for package in "${packages[@]}"; do
    grep -qxF -- "$package" <<<"$installed" || echo "$package"
  done
}

install_packages() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
  as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a && # what an interrupted run left
    as_root "${apt[@]}" update &&
    as_root "${apt[@]}" install --fix-broken --no-install-recommends "$@"
}

# Prints the wheels of the list that .venv does not hold in the version named.
missing_wheels() {
  .venv/bin/python - "launch/wheels/$wheels.txt" <<'PYTHON'
import importlib.metadata, pathlib, sys

def pins(path):
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            yield from pins(path.parent / line[3:])
        elif "==" in line:
            yield line.split("==")

held = {d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions() if d.name}
print(*(f"{name}=={version}" for name, version in pins(pathlib.Path(sys.argv[1]))
        if held.get(name.lower().replace("_", "-")) != version))
PYTHON
}

# The wheels come through a .venv that counts as half done until the last of them is there.
install_wheels() {
  local python=/usr/bin/python3
  [ -x $python ] || python=python3
  if [ ! -e .venv ]; then
    mkdir .venv && touch .venv/incomplete && "$python" -m venv .venv || return
  fi
  touch .venv/incomplete &&
    .venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps --no-compile \
      --only-binary :all: -r "launch/wheels/$wheels.txt" &&
    rm .venv/incomplete
}

# Two calls at once would throw away each other's half-done .venv. (A service that apt starts must not inherit the lock.)
mkdir -p build
exec 9>build/setup.lock
flock 9

if command -v dpkg-query >/dev/null; then
  mapfile -t missing < <(missing_packages)
  if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
      die "packages are missing and there is no sudo: as root, run: apt-get install ${missing[*]}"
    stage "${#missing[@]} Debian packages" install_packages "${missing[@]}" 9>&- ||
      die "the packages could not be installed: mend what apt says above and run this again"
  fi
else
  echo "$self: no Debian here: provide what these packages hold by other means: ${packages[*]}" >&2
fi

if [ -e .venv/incomplete ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  rm -rf .venv
fi
if [ ! -e .venv ] || [ -n "$(missing_wheels)" ]; then
  stage "wheels of launch/wheels/$wheels.txt" install_wheels ||
    die "the wheels could not be installed: mend what pip says above and run this again"
fi

if [ $device = cuda ] && ! find_nvcc >/dev/null; then
  die "no nvcc: install the CUDA Toolkit 13.0 and put its bin folder into PATH, or build the preset cpu"
fi
echo "$self: ready for the preset $device$([ $tests = no ] || echo ' and the tests')"
