"""Start-up: our commands against `python -c "import torch"`, which every PyTorch program begins with.

usage: .venv/bin/python tests/bench/start.py [--rounds 7] [--build build/cpu]

Interleaved, medians over the rounds, in seconds: `help` (ganymede --help), `models` (ganymede models), `first_step`
(mpirun -n 2 ganymede train with the smallest networks, until the first step stands in the log), `import_torch`. All files
are in the page cache. The last line is one JSON object: `ratio` is import_torch / models.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}


def seconds_of(*command):
    start = time.monotonic()
    subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


def seconds_to_first_step(program):
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "run/log.jsonl"
        command = ["mpirun", "-n", "2", "--oversubscribe", "--bind-to", "none", program, "train", "--recipe", "biggan-digits",
                   "--data", ROOT / "datasets/samples/digits.h5", "--out", log.parent, "--steps", "1", "--train.batch", "8",
                   "--biggan.generator_channels", "2", "--biggan.discriminator_channels", "2", "--train.device", "cpu",
                   "--sample.every", "0", "--log.every", "1"]
        start = time.monotonic()
        job = subprocess.Popen(list(map(str, command)), env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        while not (log.exists() and log.read_text().endswith("\n")):
            assert job.poll() in (None, 0), "the training failed"
            time.sleep(0.001)
        taken = time.monotonic() - start
        assert job.wait(60) == 0
        return taken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--build", default="build/cpu")
    arguments = parser.parse_args()
    assert arguments.rounds >= 5, "at least five rounds"
    program = ROOT / arguments.build / "ganymede"
    measured = {
        "help": lambda: seconds_of(program, "--help"),
        "models": lambda: seconds_of(program, "models"),
        "first_step": lambda: seconds_to_first_step(program),
        "import_torch": lambda: seconds_of(sys.executable, "-c", "import torch"),
    }
    times = {name: [] for name in measured}
    for name in measured:
        measured[name]()  # into the page cache
    for _ in range(arguments.rounds):
        for name in measured:
            times[name].append(measured[name]())
    medians = {name: round(statistics.median(values), 3) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:>14} {value:>8.3f} s")
    print(json.dumps({"bench": "start", "ratio": round(medians["import_torch"] / medians["models"], 2), **medians}))


if __name__ == "__main__":
    main()
