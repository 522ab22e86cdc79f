"""The matrix step of a Frechet distance at 2,048 dimensions: ours, against pytorch-fid's with scipy's sqrtm.

usage: .venv/bin/python tests/bench/metrics.py [--pairs 3] [--threads N] [--build build/cpu]

Both get the same two means and covariances (of 6,000 samples each, correlated, of falling variance), on as many threads
as there are cores; rounds are interleaved. `pytorch_fid` is calculate_frechet_distance, `sqrtm` its matrix square root
alone, `ours` both half factors and the nuclear norm, `ours_cached` with the reference's half already there. `ratio` is
the median over rounds of sqrtm / ours. The two distances are held to 1e-9 of each other.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIMENSION = 2048


def make_statistics():
    import numpy as np
    random = np.random.default_rng(0)
    mixing = random.normal(size=(DIMENSION, DIMENSION)) * np.logspace(0, -2, DIMENSION) / np.sqrt(DIMENSION)
    result = {}
    for side in "12":
        x = np.maximum(random.normal(size=(6000, DIMENSION)) @ mixing + 0.02 * int(side), 0)
        result |= {f"mu{side}": x.mean(0), f"sigma{side}": np.cov(x, rowvar=False)}
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/cpu")
    arguments = parser.parse_args()
    for name in "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS":
        os.environ[name] = str(arguments.threads)  # before numpy is imported, and for our program

    import scipy.linalg
    from pytorch_fid.fid_score import calculate_frechet_distance
    from safetensors.numpy import save_file

    tensors = make_statistics()
    rounds = []
    with tempfile.TemporaryDirectory(prefix="ganymede-metrics-") as folder:
        path = pathlib.Path(folder) / "statistics.safetensors"
        save_file(tensors, path)
        for _ in range(arguments.pairs):
            start = time.perf_counter()
            scipy.linalg.sqrtm(tensors["sigma1"] @ tensors["sigma2"])
            middle = time.perf_counter()
            theirs = calculate_frechet_distance(*tensors.values())
            end = time.perf_counter()
            ours = json.loads(subprocess.run([arguments.build / "tests/parity/metrics_tool", "time", path], check=True,
                                             capture_output=True, text=True).stdout)
            assert abs(ours["value"] / theirs - 1) < 1e-9, (ours, theirs)
            rounds.append({"sqrtm": middle - start, "pytorch_fid": end - middle,
                           "ours": ours["reference_s"] + ours["distance_s"], "ours_cached": ours["distance_s"]})
            print(json.dumps(rounds[-1]), flush=True)

    def ratio(theirs, ours):
        return round(statistics.median(one[theirs] / one[ours] for one in rounds), 2)

    print(json.dumps({
        "bench": "metrics", "threads": arguments.threads, "pairs": arguments.pairs, "dimension": DIMENSION,
        "ratio": ratio("sqrtm", "ours"), "ratio_is": "sqrtm / ours, nothing cached",
        "ratio_cached": ratio("sqrtm", "ours_cached"), "ratio_pytorch_fid": ratio("pytorch_fid", "ours"),
        "seconds": {key: round(statistics.median(one[key] for one in rounds), 3) for key in rounds[0]}}))


if __name__ == "__main__":
    main()
