"""What benches share that train from the command line."""

import os
import pathlib
import subprocess
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build/cpu/ganymede"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def ganymede(program, *words, ranks=1, **keywords):
    """Runs a command that must succeed; the minutes it took."""
    start = time.monotonic()
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", ranks] if ranks > 1 else []
    subprocess.run([str(word) for word in [*launcher, program, *words]], check=True, env=ENVIRONMENT, **keywords)
    return (time.monotonic() - start) / 60


def pack_cifar(program, archive, out):
    """OUT/train.h5, with smaller copies for what grows, and OUT/test.h5 of an archive of train/<class>/ and
    test/<class>/."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "images").exists():
        with zipfile.ZipFile(archive) as images:
            images.extractall(out / "unpacking")
        (out / "unpacking").rename(out / "images")
    for split, extra in (("train", ["--pyramid"]), ("test", [])):
        folder = next(path for path in (out / "images").rglob(split) if path.is_dir())
        if not (out / f"{split}.h5").exists():
            ganymede(program, "dataset", "pack", folder, out / f"{split}.h5", *extra, stdout=subprocess.DEVNULL)
