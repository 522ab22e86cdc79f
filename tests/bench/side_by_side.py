"""What benches share that set this program beside PyTorch on some processes of this machine."""

import json
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def run(command):
    """One that must succeed: what it prints."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=ENVIRONMENT, timeout=1200)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def launcher(ranks):
    return ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", ranks] if ranks > 1 else []


def run_peer(script, ranks, *arguments):
    """`script` as so many processes that torch.distributed knows: the last line that rank 0 prints, from JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen([sys.executable, script, *map(str, arguments)], stdout=subprocess.PIPE, text=True,
                         env=ENVIRONMENT | {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1",
                                            "MASTER_PORT": str(port)})
        for rank in range(ranks)]
    outputs = [process.communicate(timeout=1200)[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit(f"the peer ({' '.join(map(str, arguments))}) failed")
    return json.loads(outputs[0].splitlines()[-1])


def write_dataset(program, path, count=2048, side=32, classes=10):
    """Random images: neither side's speed depends on what they show."""
    import numpy as np

    random = np.random.default_rng(1)
    np.savez(path.with_suffix(".npz"), images=random.integers(0, 256, (count, 3, side, side), dtype=np.uint8),
             labels=random.integers(0, classes, count))
    run([program, "dataset", "pack", path.with_suffix(".npz"), path])
