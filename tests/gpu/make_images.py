"""make_images.py OUT.h5: a dataset of made-up images as CIFAR-10's, for measuring speed."""
import sys

import h5py
import numpy as np

random = np.random.default_rng(1)
with h5py.File(sys.argv[1], "w") as file:
    file["images"] = random.integers(0, 256, (4096, 3, 32, 32), dtype=np.uint8)
    file["labels"] = random.integers(0, 10, 4096)
