"""slurm/train.sbatch under a real Slurm: who is requeued, and that what is requeued ends as if nothing had happened."""

import os
import re
import subprocess

import pytest
from ganymede_runs import DIGITS, PROGRAM, ROOT, assert_bit_equal, checkpoints, final_tensors, succeed
from one_node_slurm import OneNodeSlurm

SCRIPT = ROOT / "slurm/train.sbatch"

# Leaves with FIRST_EXIT at its first start, once it was told to stop or at once, and with 0 at the next. Without FIRST_EXIT
# it is killed by the signal, as a rank is that has not begun.
STAND_IN = """#!/bin/bash
[ "$SLURM_RESTART_COUNT" = "" ] || exit 0
[ "$AWAIT_SIGNAL" = yes ] || exit "$FIRST_EXIT"
[ "$FIRST_EXIT" = "" ] || trap 'exit "$FIRST_EXIT"' USR1
touch "$READY.$$"
for _ in {1..300}; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def slurm():
    with OneNodeSlurm() as running:
        yield running


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
@pytest.mark.parametrize("first_exit, state, restarts", [(75, "COMPLETED", 1), ("", "COMPLETED", 1), (4, "FAILED", 0)],
                         ids=["saved", "killed by the signal", "failed"])
def test_signal_reaches_every_rank_and_what_it_stopped_is_requeued(slurm, tmp_path, launcher, first_exit, state, restarts):
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


@pytest.mark.parametrize("first_exit", [86, 138])
def test_failure_without_signal_is_not_requeued(slurm, tmp_path, first_exit):
    stand_in = tmp_path / "stand-in"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    job = slurm.submit("--output=job.log", SCRIPT, cwd=tmp_path, DATA="data.h5", OUT="run", PROGRAM=str(stand_in),
                       FIRST_EXIT=str(first_exit), AWAIT_SIGNAL="no")
    fields = slurm.wait(job, 60)
    assert (fields["JobState"], fields["ExitCode"], fields["Restarts"]) == ("FAILED", f"{first_exit}:0", "0")


def test_signal_before_the_ranks_is_requeued_too(tmp_path):
    """The script without Slurm, signalled by itself at its first echo; in the place of Slurm's commands, two that tell of
    their call."""
    for command in ("srun", "scontrol"):
        (tmp_path / command).write_text(f'#!/bin/sh\necho "{command} $1"\n')
        (tmp_path / command).chmod(0o755)
    (tmp_path / "before").write_text('echo() { builtin echo "$@"; unset -f echo; kill -USR1 $$; }')
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "BASH_ENV": str(tmp_path / "before"),
                                "DATA": "data.h5", "OUT": "run", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2",
                                "SLURM_NODELIST": "here", "SLURM_SUBMIT_DIR": str(tmp_path)}
    done = subprocess.run(["bash", SCRIPT], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 75, done
    assert "scontrol requeue" in done.stdout and "srun" not in done.stdout, done.stdout


def write_recipe(path, steps):
    """The digits' recipe with another length."""
    text = (ROOT / "launch/recipes/biggan-digits.cfg").read_text()
    text, changed = re.subn(r"(?m)^steps *=.*$", f"steps = {steps}", text)
    assert changed == 1
    path.write_text(text)


def test_job_at_its_limit_is_requeued_and_ends_as_if_uninterrupted(slurm, tmp_path):
    options = ["--train.threads", "1", "--sample.every", "0", "--checkpoint.every", "0"]
    recipe, run = tmp_path / "recipe.cfg", tmp_path / "run"
    # Endless until the signal, so that the test does not depend on the machine's speed.
    write_recipe(recipe, 10**9)
    # Slurm looks at limits every 30 s: the signal comes 10 to 40 s after the start.
    job = slurm.submit("--time=1", "--signal=B:USR1@20", "--output=job.log", SCRIPT, *options, cwd=tmp_path,
                       RECIPE=str(recipe), DATA=str(DIGITS), OUT=str(run), PROGRAM=str(PROGRAM))
    slurm.wait_while_alive(job, "the signal and the checkpoint", lambda: checkpoints(run), 90)
    stopped = int(checkpoints(run)[-1].name[5:])
    last = stopped + 20
    write_recipe(recipe, last)
    fields = slurm.wait(job, 200)
    log = (tmp_path / "job.log").read_text()
    assert (fields["JobState"], fields["ExitCode"]) == ("COMPLETED", "0:0"), log
    assert int(fields["Restarts"]) >= 1, log
    assert f"resuming at step {stopped} " in log, log

    reference = tmp_path / "reference"
    succeed(2, "train", "--recipe", recipe, "--data", DIGITS, "--out", reference, *options)
    assert_bit_equal(final_tensors(run, last), final_tensors(reference, last))
