"""Datasets four times as large as the memory that the process may use. The limit is on its data (ulimit -d): on all
memory that belongs to no file, so that libraries and the page cache, which the kernel takes back at will, do not count."""
import os
import resource
import subprocess

import h5py
import numpy as np
import pytest

TOOL = os.environ["HDF5_TOOL"]
PROGRAM = os.environ["GANYMEDE"]
LIMIT = 448 << 20
SIDE = 128
COUNT = 4 * LIMIT // (3 * SIDE * SIDE) + 1


def limited(*command):
    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))

    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=400, preexec_fn=limit,
                          env=os.environ | {"OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
                                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})


def contiguous(file):
    images = file.create_dataset("imgs", (COUNT, 3, SIDE, SIDE), "u1", fillvalue=None)
    images[-1] = 1  # the rest is a hole in the file, which reads as zeros


def compressed(chunk):
    def write(file):
        images = file.create_dataset("imgs", (COUNT, 3, SIDE, SIDE), "u1", chunks=(chunk, 3, SIDE, SIDE),
                                     compression="gzip", compression_opts=1)
        for first in range(0, COUNT, chunk):
            images[first:first + chunk] = 7
    return write


FORMS = {"contiguous": contiguous, "single": compressed(1), "groups": compressed(8)}


@pytest.fixture(scope="module", params=FORMS)
def dataset(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("memory") / "a.h5"
    with h5py.File(path, "w") as file:
        FORMS[request.param](file)
        file["labels"] = np.arange(COUNT) % 10
        assert file["imgs"].size > 4 * LIMIT
    yield path
    path.unlink()


def test_the_limit_holds():
    """A process that takes as much as the limit ends."""
    result = limited(os.sys.executable, "-c", f"bytearray({LIMIT})")
    assert result.returncode != 0 and "MemoryError" in result.stderr


def test_an_epoch(dataset):
    result = limited(TOOL, "epoch", dataset)
    assert result.returncode == 0, result.stderr
    images, memory = map(int, result.stdout.split())
    print(f"{images} images, at most {memory >> 20} MiB")
    assert images >= COUNT and 0 < memory < LIMIT


def test_training(dataset, tmp_path):
    result = limited(
        PROGRAM, "train", "--recipe", "biggan-imagenet128", "--biggan.generator_channels", 1,
        "--biggan.discriminator_channels", 1, "--biggan.attention", 8, "--train.threads", 1, "--sample.every", 0, "--checkpoint.minutes", 0,
        "--train.batch", 2, "--train.accumulate", 1, "--data", dataset, "--out", tmp_path / "run", "--steps", 3)
    assert result.returncode == 0, result.stderr
