"""The gradient reducer against a raw MPI_Allreduce of as many bytes, by size.

usage: .venv/bin/python tests/bench/reduce.py [--ranks 2] [--pairs 9] [--bucket-mib 4] [--build build/cpu]

Interleaved: a pair is one of each, and a pair's ratio is raw time over ours, so that more is better. Medians over the
pairs. The time is that of the slower rank. Our side is GradientReducer.arm() and finalize() with all gradients there,
so nothing is hidden behind backward. The last line is one JSON object: `ratio` is that of 64 MiB. Fails where a round's
all-reduces are not as many as there are buckets, or its bytes not the arena's.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
KIB = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536]


def measure(arguments):
    program = ROOT / arguments.build / "tests/bench/bench_reduce"
    environment = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                                "OMP_NUM_THREADS": "1"}
    command = ["mpirun", "-n", str(arguments.ranks), "--oversubscribe", "--bind-to", "none", str(program),
               str(arguments.bucket_mib), str(arguments.pairs), *map(str, KIB)]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def summary(size):
    assert size["collectives"] == size["buckets"], size
    assert size["sent"] == size["arena"], size
    ratios = [mpi / ours for mpi, ours in zip(size["mpi"], size["ours"])]
    return {"bytes": size["bytes"], "buckets": size["buckets"], "mpi_ms": 1e3 * statistics.median(size["mpi"]),
            "ours_ms": 1e3 * statistics.median(size["ours"]), "ratio": statistics.median(ratios)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--bucket-mib", type=float, default=4)
    parser.add_argument("--build", default="build/cpu")
    arguments = parser.parse_args()
    assert arguments.pairs >= 5, "at least five pairs"
    sizes = [summary(size) for size in measure(arguments)]
    print(f"{'bytes':>10} {'buckets':>8} {'MPI_Allreduce':>14} {'reducer':>12} {'ratio':>7}")
    for size in sizes:
        print(f"{size['bytes']:>10} {size['buckets']:>8} {size['mpi_ms']:>11.3f} ms {size['ours_ms']:>9.3f} ms "
              f"{size['ratio']:>7.2f}")
    last = sizes[-1]
    print(json.dumps({"bench": "reduce", "ratio": round(last["ratio"], 3), "ranks": arguments.ranks,
                      "bytes": last["bytes"], "mpi_ms": round(last["mpi_ms"], 3), "ours_ms": round(last["ours_ms"], 3),
                      "by_bytes": {size["bytes"]: round(size["ratio"], 3) for size in sizes}}))


if __name__ == "__main__":
    main()
