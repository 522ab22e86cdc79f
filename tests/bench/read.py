"""Reading: training order against sequential pread of the same file, and against BigGAN-PyTorch's way of reading.

usage: .venv/bin/python tests/bench/read.py [--pairs 5] [--seconds 0.5] [--build build/cpu]

All files are in the page cache, and every figure is in images a second. Per round and file, interleaved: `pread`, the
images' bytes from front to back, 1 MiB a call, on one thread; `order`, the same bytes into batch memory in training
order, digests having been checked; `loader`, batches of 64 floats with flips. Both on as many threads as there are
cores, and on one (`_1`). BigGAN-PyTorch's way is a DataLoader with as many workers whose dataset opens the file and
reads one image and one label for every item, from chunks of 500 images, compressed (LZF) and not; ours reads the same
file. Medians over the rounds; `ratio` is the median over rounds of order_1 / pread at 256 pixels, one
thread each, and so on. Of the sets at 32 pixels the one of CIFAR-10's size is small enough to be kept in
memory by the reader; the larger one is not.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import h5py
import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH = 64


class ItemwiseFile(torch.utils.data.Dataset):
    """An HDF5 file that is opened for every item."""

    def __init__(self, path):
        self.path = path
        with h5py.File(path) as file:
            self.count = len(file["labels"])

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        with h5py.File(self.path) as file:
            image, label = file["imgs"][index], file["labels"][index]
        return (torch.from_numpy(image).float() / 255 - 0.5) * 2, int(label)


def itemwise_rate(path, seconds, workers):
    loader = torch.utils.data.DataLoader(ItemwiseFile(path), BATCH, shuffle=True, num_workers=workers, drop_last=True)
    batches = iter(loader)
    next(batches)  # starts the workers
    for _ in range(loader.prefetch_factor * workers):
        next(batches)  # made while they were idle
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or count == 0:
        next(batches)
        count += BATCH
    return count / (time.perf_counter() - start)


def pictures(count, side):
    """Soft shapes with a little noise, of which LZF saves about a third."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, 3, 8, 8), np.uint8).repeat(side // 8, 2).repeat(side // 8, 3)
    return coarse + random.integers(0, 3, coarse.shape, np.uint8) * (random.integers(0, 4, coarse.shape, np.uint8) == 0)


def write(path, images, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("imgs", data=images, **options)
        file.create_dataset("labels", data=np.arange(len(images)) % 10, chunks=(500,))
    return path


def make_files(folder, program):
    small, large = pictures(100_000, 32), pictures(1_600, 256)  # 307 and 315 MB
    files = {
        "chunks": write(folder / "chunks.h5", small[:20_000], chunks=(500, 3, 32, 32)),
        "lzf": write(folder / "lzf.h5", small[:20_000], chunks=(500, 3, 32, 32), compression="lzf"),
    }
    for name, images in ("32px", small[:50_000]), ("32px_larger", small), ("256px", large):
        foreign = write(folder / "foreign.h5", images)
        files[name] = folder / f"{name}.h5"
        subprocess.run([program, "dataset", "pack", foreign, files[name]], check=True, capture_output=True)
        foreign.unlink()
    return files


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/cpu")
    arguments = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(1)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="ganymede-read-") as folder:
        files = make_files(pathlib.Path(folder), arguments.build / "ganymede")
        for _ in range(arguments.pairs):
            one = {}
            for name, path in files.items():
                command = [arguments.build / "tests/bench/bench_read", path, str(arguments.seconds), str(threads)]
                one[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                if name in ("chunks", "lzf"):
                    one[name]["biggan_pytorch"] = itemwise_rate(path, 4 * arguments.seconds, threads)
            rounds.append(one)
            print(json.dumps(one), flush=True)

    def median(file, key):
        return round(statistics.median(one[file][key] for one in rounds))

    def ratio(file, ours, theirs):
        return round(statistics.median(one[file][ours] / one[file][theirs] for one in rounds), 3)

    figures = {file: {key: median(file, key) for key in rounds[0][file]} for file in files}
    print(json.dumps({
        "bench": "read", "threads": threads, "pairs": arguments.pairs,
        "ratio": ratio("256px", "order_1", "pread"), "ratio_is": "256px: order_1 / pread, one thread each",
        "ratio_32px": ratio("32px", "order_1", "pread"), "ratio_32px_larger": ratio("32px_larger", "order_1", "pread"),
        "ratio_threads": {file: ratio(file, "order", "pread") for file in ("256px", "32px", "32px_larger")},
        "ratio_biggan_pytorch": ratio("lzf", "loader", "biggan_pytorch"),
        "ratio_biggan_pytorch_uncompressed": ratio("chunks", "loader", "biggan_pytorch"),
        "images_per_second": figures}))


if __name__ == "__main__":
    main()
