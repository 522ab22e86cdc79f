#!/usr/bin/env python3
"""Makes digits.h5: the 1,797 handwritten digits that come with scikit-learn, at 32 x 32.

    datasets/samples/make_digits.py build/cpu/ganymede [digits.h5]

The digits are 8 x 8 with values from 0 to 16 (E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten
Digits", UCI Machine Learning Repository, 1998). They are scaled to bytes, enlarged by Pillow's Lanczos filter, and
packed with their labels by `ganymede dataset pack`. Needs numpy, scikit-learn and Pillow.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIZE = 32


def enlarge(digit):
    pixels = np.round(digit * 255 / 16).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def main(program, out=Path(__file__).with_name("digits.h5")):
    digits = load_digits()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "digits.npz"
        np.savez(source, images=np.stack([enlarge(digit) for digit in digits.images]), labels=digits.target,
                 class_names=[str(name) for name in digits.target_names])
        subprocess.run([program, "dataset", "pack", source, out, "--force"], check=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
