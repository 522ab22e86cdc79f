"""The program as a user starts it: alone or under mpirun, always with a time limit, and what it leaves behind."""

import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import h5py
import numpy as np
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("GANYMEDE", str(ROOT / "build/cpu/ganymede"))
DIGITS = ROOT / "datasets/samples/digits.h5"
# Loaded before the C library, lets the disk fail (disk_faults.cpp).
DISK_FAULTS = os.environ.get("DISK_FAULTS", str(ROOT / "build/cpu/tests/system/libdisk_faults.so"))
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_COMM", "PMIX_", "SLURM_"))} | {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}

# The smallest networks of the digits' recipe, and a report of every step.
TINY = ["--recipe", "biggan-digits", "--biggan.generator_channels", "2", "--biggan.discriminator_channels", "2",
        "--train.threads", "1", "--sample.every", "0", "--checkpoint.minutes", "0", "--log.every", "1"]


def seeded(seed=None):
    """A generator of random choices whose seed a failing test shows."""
    seed = random.randrange(10**6) if seed is None else seed
    print(f"random seed {seed}")
    return random.Random(seed)


def training(out, *options, data=(DIGITS,), steps=12, batch=8):
    """The arguments of a tiny training."""
    return ["train", *TINY, "--data", *data, "--out", out, "--steps", steps, "--train.batch", batch, *options]


def sampling(every, arguments):
    """The arguments of a training that writes sample grids."""
    place = arguments.index("--sample.every") + 1
    return [*arguments[:place], every, *arguments[place + 1:]]


@dataclasses.dataclass
class Result:
    code: int
    out: str
    err: str

    def __post_init__(self):
        ours = [line for line in self.err.splitlines() if line.startswith("ganymede: ")]
        self.warnings = [line for line in ours if line.startswith("ganymede: warning: ")]
        self.errors = [line for line in ours if line not in self.warnings]


# Mounts of its own, that go with the last process: root's right, or anyone's in a user namespace.
OWN_MOUNTS = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


class Job:
    """A started program; `ranks` 0 means without mpirun. As a context it leaves no process behind. `mounted` is shell
    that runs before it, with mounts that no one else sees, and has the command as "$@"; so is `each` in the place of every
    rank; `environment` is added to ours; `launcher` comes in the place of mpirun."""

    def __init__(self, ranks, *arguments, mounted=None, each=None, environment=(), launcher=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ganymede."))
        if launcher is None:
            launcher = ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks else []
        if mounted:
            launcher = [*OWN_MOUNTS, "sh", "-c", f'{mounted} && exec "$@"', "sh", *launcher]
        program = [PROGRAM, *map(str, arguments)]
        if each:
            program = ["sh", "-c", f'{each}\nexec "$@"', "sh", *program]
        self.pids = set()
        with open(self.folder / "out", "wb") as out, open(self.folder / "err", "wb") as err:
            self.process = subprocess.Popen([*launcher, *program], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err, env=ENVIRONMENT | dict(environment), start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.ranks()
        if self.process.poll() is None:
            self.process.kill()
        for pid in self.running():
            kill(pid, signal.SIGKILL)
        self.process.wait(30)
        if exception[0] is not None:
            print("\n".join(self.text(name)[-4000:] for name in ("out", "err")))
        shutil.rmtree(self.folder)

    def text(self, name):
        return (self.folder / name).read_text(errors="replace")

    def ranks(self):
        """The process numbers of the ranks that run now under mpirun, in order."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            status = status_of(entry.name)
            if status and status[1] == self.process.pid:
                found.append(int(entry.name))
        found.sort()
        self.pids.update(found)
        return found

    def running(self):
        """Those of the ranks once seen that still run."""
        return [pid for pid in self.pids if (status := status_of(pid)) and status[0] != "Z"]

    def wait(self, seconds=150):
        code = self.process.wait(seconds)
        return Result(code, self.text("out"), self.text("err"))

    def wait_for(self, what, condition, seconds=90):
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended before {what}: {self.text('err')}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.002)

    def wait_for_step(self, out, step):
        """Until the log reports the step; 0 is the beginning of training."""
        self.wait_for("the beginning", lambda: " at step " in self.text("out"))
        self.wait_for(f"step {step}", lambda: step == 0 or (steps := logged_steps(out)) and steps[-1] >= step)


def status_of(pid):
    """State and parent of a process; None when there is none."""
    try:
        state, parent = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        return state, int(parent)
    except (FileNotFoundError, ProcessLookupError):
        return None


def kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def run(ranks, *arguments, timeout=150, mounted=None, each=None, environment=()):
    with Job(ranks, *arguments, mounted=mounted, each=each, environment=environment) as job:
        return job.wait(timeout)


def refusal(code, ranks, *arguments, mounted=None):
    """The one line of ours with which the program ends with this code."""
    result = run(ranks, *arguments, mounted=mounted)
    assert result.code == code, (result.code, result.err)
    assert len(result.errors) == 1, result.err
    assert "terminate called" not in result.err and "frame #" not in result.err, result.err
    assert "Traceback" not in result.err and "bug:" not in result.err, result.err
    print(result.errors[0])
    return result.errors[0]


def succeed(ranks, *arguments):
    result = run(ranks, *arguments)
    assert result.code == 0, (result.code, result.err)
    assert not result.errors, result.err
    return result


def saves_told(out):
    """The lines of log.jsonl that tell of a save; one that is being written does not count."""
    log = pathlib.Path(out) / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().split("\n")[:-1]] if log.exists() else []
    return [line for line in lines if "save_step" in line]


def resume(ranks, out, *arguments):
    """The run goes on, and no checkpoint that its log tells of is lost."""
    told = max((line["save_step"] for line in saves_told(out)), default=0)
    result = succeed(ranks, *arguments)
    begun = re.search(r"(?:resuming|starting) at step (\d+)", result.out)
    # A run that was done already begins nowhere.
    assert begun is None or int(begun[1]) >= told, f"saved was step {told}: {result.out}"
    return result


def logged_steps(out):
    """The steps that log.jsonl reports, in its order; a line that is being written does not count."""
    try:
        lines = (pathlib.Path(out) / "log.jsonl").read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line)["step"] for line in lines]


def checkpoints(out):
    """The folders of a run's checkpoints, the newest last."""
    return sorted(folder for folder in (pathlib.Path(out) / "checkpoints").glob("step-?????????"))


def tensors_of(checkpoint):
    """Every tensor by name, put together from the shards as the manifest says."""
    content = json.loads((checkpoint / "manifest.json").read_text())["content"]
    for shard in content["shards"]:
        assert (checkpoint / shard["name"]).stat().st_size == shard["size"]
    shards = [load_file(checkpoint / shard["name"]) for shard in content["shards"]]
    tensors = {}
    for tensor in content["tensors"]:
        pieces = [shards[piece["shard"]][piece["key"]].reshape(-1) for piece in tensor["pieces"]]
        assert [len(piece) for piece in pieces] == [piece["count"] for piece in tensor["pieces"]]
        tensors[tensor["name"]] = np.concatenate(pieces).reshape(tensor["shape"])
    assert tensors
    return tensors


def final_tensors(out, step):
    newest = checkpoints(out)[-1]
    assert newest.name == f"step-{step:09}"
    return tensors_of(newest)


def assert_bit_equal(ours, expected):
    assert ours.keys() == expected.keys()
    different = [name for name in ours if ours[name].dtype != expected[name].dtype or
                 ours[name].shape != expected[name].shape or ours[name].tobytes() != expected[name].tobytes()]
    assert not different, different


def far_apart(ours, expected, bound=1e-9):
    """Names of tensors further apart than the bound, by relative L2 norm; absolutely where all is about zero."""
    assert ours.keys() == expected.keys()
    apart = {}
    for name, reference in expected.items():
        assert ours[name].dtype == reference.dtype and ours[name].shape == reference.shape, name
        scale = np.linalg.norm(reference)
        distance = np.linalg.norm(ours[name].astype(np.float64) - reference)
        if not distance <= bound * (scale if scale > 1e-6 else 1):
            apart[name] = (float(distance), float(scale))
    return apart


def flip_byte(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def write_dataset(path, images, labels, **attributes):
    """A dataset as h5py writes it: contiguous, without digests."""
    with h5py.File(path, "w") as file:
        file["images"] = images
        file["labels"] = labels
        file.attrs.update(attributes)
    return path


def some_digits(count=64):
    with h5py.File(DIGITS) as file:
        return file["images"][:count], file["labels"][:count]


def cells_of(sheet, rows, columns):
    """[rows, columns, 32, 32] of a sheet of enlarged images with gaps of two pixels."""
    pixels = np.asarray(sheet)
    pitch = (pixels.shape[1] - 2) // columns
    assert pixels.shape == (2 + rows * pitch, 2 + columns * pitch) and (pitch - 2) % 32 == 0
    inner = pixels[2:, 2:].reshape(rows, pitch, columns, pitch)[:, :-2, :, :-2]
    return inner.transpose(0, 2, 1, 3)[:, :, ::(pitch - 2) // 32, ::(pitch - 2) // 32]
