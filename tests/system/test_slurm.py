"""slurm/train.sbatch under a real Slurm: who is requeued, and that what is requeued ends as if nothing had happened."""

import os
import pathlib
import re
import subprocess

import pytest
from safetensors.numpy import load_file

from one_node_slurm import OneNodeSlurm

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "slurm/train.sbatch"
PROGRAM = os.environ.get("GANYMEDE", ROOT / "build/cpu/ganymede")

# mpirun refuses root, and more ranks than cores, unless told.
MPIRUN = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                       "OMPI_MCA_rmaps_base_oversubscribe": "1"}

# Leaves with FIRST_EXIT at its first start, once it was told to stop or at once, and with 0 at the next.
STAND_IN = """#!/bin/bash
[ "$SLURM_RESTART_COUNT" = "" ] || exit 0
[ "$AWAIT_SIGNAL" = yes ] || exit "$FIRST_EXIT"
trap 'exit "$FIRST_EXIT"' USR1
touch "$READY.$$"
for _ in {1..300}; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def slurm():
    with OneNodeSlurm() as running:
        yield running


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
@pytest.mark.parametrize("first_exit, state, restarts", [(75, "COMPLETED", 1), (4, "FAILED", 0)])
def test_signal_reaches_every_rank_and_75_alone_is_requeued(slurm, tmp_path, launcher, first_exit, state, restarts):
    stand_in = tmp_path / "stand-in"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    job = slurm.submit("--time=2", "--output=job.log", SCRIPT, cwd=tmp_path, DATA="data.h5", OUT="run", LAUNCHER=launcher,
                       PROGRAM=str(stand_in), FIRST_EXIT=str(first_exit), AWAIT_SIGNAL="yes", READY=str(tmp_path / "ready"))
    slurm.wait_while_alive(job, "both ranks", lambda: len(list(tmp_path.glob("ready.*"))) == 2, 30)
    slurm.command("scancel", "--batch", "--signal=USR1", job)
    fields = slurm.wait(job, 60)
    log = (tmp_path / "job.log").read_text()
    assert fields["JobState"] == state, log
    assert fields["ExitCode"] == f"{0 if restarts else first_exit}:0", log
    assert fields["Restarts"] == str(restarts), log


def test_failure_without_signal_is_not_requeued(slurm, tmp_path):
    stand_in = tmp_path / "stand-in"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    job = slurm.submit("--output=job.log", SCRIPT, cwd=tmp_path, DATA="data.h5", OUT="run", PROGRAM=str(stand_in),
                       FIRST_EXIT="86", AWAIT_SIGNAL="no")
    fields = slurm.wait(job, 60)
    assert (fields["JobState"], fields["ExitCode"], fields["Restarts"]) == ("FAILED", "86:0", "0")


def write_recipe(path, steps):
    """The digits' recipe with another length."""
    text = (ROOT / "launch/recipes/biggan-digits.cfg").read_text()
    text, changed = re.subn(r"(?m)^steps *=.*$", f"steps = {steps}", text)
    assert changed == 1
    path.write_text(text)


def checkpoint(run, step):
    """All tensors of a checkpoint by name."""
    tensors = {}
    for shard in sorted((run / f"checkpoints/step-{step:09}").glob("*.safetensors")):
        for name, tensor in load_file(shard).items():
            tensors[shard.name, name] = tensor
    assert tensors
    return tensors


def saved_steps(run):
    return [int(folder.name.removeprefix("step-")) for folder in sorted((run / "checkpoints").glob("step-?????????"))]


def test_job_at_its_limit_is_requeued_and_ends_as_if_uninterrupted(slurm, tmp_path):
    data = ROOT / "datasets/samples/digits.h5"
    options = ["--train.threads", "1", "--sample.every", "0", "--checkpoint.every", "0"]
    recipe, run = tmp_path / "recipe.cfg", tmp_path / "run"
    # Endless until the signal, so that the test does not depend on the machine's speed.
    write_recipe(recipe, 10**9)
    # Slurm looks at limits every 30 s: the signal comes 10 to 40 s after the start.
    job = slurm.submit("--time=1", "--signal=B:USR1@20", "--output=job.log", SCRIPT, *options, cwd=tmp_path,
                       RECIPE=str(recipe), DATA=str(data), OUT=str(run), PROGRAM=str(PROGRAM))
    slurm.wait_while_alive(job, "the signal and the checkpoint", lambda: saved_steps(run), 90)
    stopped = saved_steps(run)[-1]
    last = stopped + 20
    write_recipe(recipe, last)
    fields = slurm.wait(job, 200)
    log = (tmp_path / "job.log").read_text()
    assert (fields["JobState"], fields["ExitCode"]) == ("COMPLETED", "0:0"), log
    assert int(fields["Restarts"]) >= 1, log
    assert f"resuming at step {stopped} " in log, log

    reference = tmp_path / "reference"
    subprocess.run(["mpirun", "-n", "2", PROGRAM, "train", "--recipe", recipe, "--data", data, "--out", reference, *options],
                   env=MPIRUN, check=True, timeout=200)
    ours, expected = checkpoint(run, last), checkpoint(reference, last)
    assert ours.keys() == expected.keys()
    different = [name for name in ours if ours[name].dtype != expected[name].dtype or
                 ours[name].shape != expected[name].shape or ours[name].tobytes() != expected[name].tobytes()]
    assert not different
