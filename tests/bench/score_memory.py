"""Peak memory of `ganymede evaluate` on one rank, with every metric that needs no weights of its own.

usage: .venv/bin/python tests/bench/score_memory.py [--count 50000] [--side 32] [--metrics NAME,...] [--build build/cpu]

Two packed datasets of `count` images in ten classes are scored against each other by a small program of TorchScript that
gives 2,048 features and 1,008 logits an image, as Inception does: what scores hold does not depend on what made the
features. `peak_gib` is the process's VmHWM. Inception itself is not in it, nor where scores peak: it has
gone by then. The last line is one JSON object.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
METRICS = "fid,fid-infinity,kid,is,intra-fid,swd,ms-ssim,rfid,psnr,ssim,pr,dc,memorisation"


def save_extractor(path):
    import torch

    class Extractor(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weights", torch.randn(128, 3, 8, 8) / 100)

        def forward(self, img: torch.Tensor, return_features: bool = False, no_output_bias: bool = False):
            x = torch.nn.functional.adaptive_avg_pool2d(img.float() - 128, 32)
            features = torch.relu(torch.conv2d(x, self.weights, stride=8)).flatten(1)
            return features[:, :1008] if no_output_bias else features

    torch.manual_seed(0)
    torch.jit.script(Extractor()).save(path)


def pack(program, folder, name, count, side, seed):
    """Classes are colours and slopes, images noise upon them."""
    import numpy as np
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = random.integers(0, 100, (count, side, side, 3), dtype=np.uint8)
    images += (labels[:, None, None, None] * 15).astype(np.uint8)
    images[:, : side // 2] += (random.integers(0, 20, (count, 1, 1, 3))).astype(np.uint8)
    np.savez(folder / f"{name}.npz", images=images, labels=labels)
    subprocess.run([program, "dataset", "pack", folder / f"{name}.npz", folder / f"{name}.h5"], check=True,
                   stdout=subprocess.DEVNULL)
    (folder / f"{name}.npz").unlink()


def peak_gib(command):
    """VmHWM of the process itself, seconds, and its output."""
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    return usage.ru_maxrss / 2**20, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--metrics", default=METRICS)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/cpu")
    arguments = parser.parse_args()
    program = arguments.build / "ganymede"
    with tempfile.TemporaryDirectory(prefix="ganymede-memory-") as name:
        folder = pathlib.Path(name)
        save_extractor(folder / "extractor.pt")
        for seed, side in enumerate("ab"):
            pack(program, folder, side, arguments.count, arguments.side, seed)
        peak, seconds = peak_gib([program, "evaluate", "--from", folder / "a.h5", "--reference", folder / "b.h5",
                                  "--metrics", arguments.metrics, "--features", folder / "extractor.pt", "--cache",
                                  "none", "--watchdog.seconds", 0, "--json", folder / "scores.json", "--statistics",
                                  folder / "a.npz"])
        scores = json.loads((folder / "scores.json").read_text())
    print(json.dumps({
        "bench": "score_memory", "count": arguments.count, "side": arguments.side, "dimensions": 2048,
        "peak_gib": round(peak, 3), "seconds": round(seconds, 1), "metrics": {key: one["value"] for key, one in scores["metrics"].items()}}))


if __name__ == "__main__":
    main()
