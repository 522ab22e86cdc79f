"""The batch scripts under a real Slurm: who is requeued, and that what is requeued ends as if nothing had happened."""

import json
import os
import pathlib
import re
import signal

import pytest
from ganymede_runs import (DIGITS, PROGRAM, ROOT, assert_bit_equal, checkpoints, final_tensors, logged_steps, succeed,
                           training)
from one_node_slurm import OneNodeSlurm, wait_for
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

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


# Says what it is asked for, and fails.
ECHO = """#!/bin/bash
echo "asked for: $*"
exit "$EXIT"
"""


def echoing(folder):
    """Environment of a job whose ranks say what they are asked for."""
    program = folder / "echo"
    program.write_text(ECHO)
    program.chmod(0o755)
    return {"PROGRAM": str(program), "DATA": "data.h5", "OUT": "run"}


@pytest.mark.parametrize("status, restarts", [(86, 1), (137, 1), (143, 0), (3, 0)],
                         ids=["hang", "killed", "terminated", "bad dataset"])
def test_failure_is_requeued_where_another_start_may_mend_it_and_not_for_ever(slurm, tmp_path, status, restarts):
    job = slurm.submit("--output=job.log", "--ntasks-per-node=1", SCRIPT, cwd=tmp_path, EXIT=str(status), RETRIES="1",
                       **echoing(tmp_path))
    fields = slurm.wait(job, 90)
    log = (tmp_path / "job.log").read_text()
    assert (fields["JobState"], fields["ExitCode"], fields["Restarts"]) == ("FAILED", f"{status}:0", str(restarts)), log
    assert log.count("asked for: train --recipe biggan-cifar10 --data data.h5 --out run\n") == restarts + 1, log
    assert ("not requeued" in log) == (restarts > 0), log
    assert not list(tmp_path.glob(".*.failures"))


def test_job_of_an_array_trains_its_recipe_and_seed_on_staged_data(slurm, tmp_path):
    (tmp_path / "data.h5").write_bytes(b"images")
    told = {"SEEDS": "5 6", "RECIPES": "one two.cfg", "STAGE": str(tmp_path / "disk"), "EXIT": "0"}
    job = slurm.submit("--array=0-4", "--output=%a.log", "--ntasks-per-node=1", "--time=5",
                       ROOT / "slurm/array.sbatch", "--steps", "9", cwd=tmp_path, **echoing(tmp_path) | told)
    for index, (recipe, run, seed) in enumerate([("one", "one-seed5", 5), ("one", "one-seed6", 6),
                                                 ("two.cfg", "two-seed5", 5), ("two.cfg", "two-seed6", 6)]):
        slurm.wait(f"{job}_{index}", 90)
        log = (tmp_path / f"{index}.log").read_text()
        [copy] = (tmp_path / "disk").glob("*-data.h5")
        assert copy.read_bytes() == b"images"
        assert (f"asked for: train --recipe {recipe} --data {copy} --out run/{run} --train.seed {seed} --steps 9\n") in log, log
    assert slurm.wait(f"{job}_4", 90)["ExitCode"] == "2:0"
    assert "--array=0-3 would do" in (tmp_path / "4.log").read_text()


def test_evaluation_is_a_job_too(slurm, tmp_path):
    job = slurm.submit("--output=job.log", "--ntasks-per-node=2", ROOT / "slurm/evaluate.sbatch", "--count", "64", cwd=tmp_path,
                       FROM=str(DIGITS), REFERENCE=str(DIGITS), PROGRAM=str(PROGRAM))
    fields = slurm.wait(job, 120)
    log = (tmp_path / "job.log").read_text()
    assert fields["ExitCode"] == "0:0" and re.search(r"fid", log), log


def test_a_drill_puts_its_own_job_back_into_the_queue(slurm, tmp_path):
    command = (f"{PROGRAM} drill --out {tmp_path}/drill --launcher 'srun --mpi=pmix --kill-on-bad-exit=0 --wait=5' "
               "--faults kill,usr1 --steps 24 --requeue")
    job = slurm.submit("--ntasks=2", "--time=20", "--requeue", "--open-mode=append", "--output=job.log", f"--wrap={command}",
                       cwd=tmp_path)
    fields = slurm.wait(job, 400)
    log = (tmp_path / "job.log").read_text()
    assert (fields["JobState"], fields["ExitCode"], fields["Restarts"]) == ("COMPLETED", "0:0", "1"), log
    first, _, second = log.rpartition("ok       undisturbed")
    # The next start prints what the first has found, and goes on.
    for name, words in (("kill", "exit 137"), ("usr1", "exit 75")):
        line = re.search(rf"(?m)^ok +{name} .*$", second)[0]
        assert words in line and "equal bit by bit" in line and line in first, log
    assert re.search(r"(?m)^ok +requeue +this job went back into the queue, and this is its start 2$", second), log
    assert not re.search(r"(?m)^\S+ +requeue", first), log


def give_time(slurm, job):
    """Enough for what is left, on a machine of any speed."""
    def given():
        try:
            slurm.command("scontrol", "update", f"JobId={job}", "TimeLimit=10")
            return True
        except RuntimeError:  # between its end and its place in the queue
            return False

    wait_for("a new time limit", given, 30)


class Training:
    """A job that trains without end until finish_after() gives it one."""

    OPTIONS = ["--train.threads", "1", "--sample.every", "0", "--checkpoint.every", "0", "--log.every", "5"]

    def __init__(self, folder, recipe, *options):
        self.folder, self.recipe, self.options = folder / recipe, folder / f"{recipe}.cfg", [*self.OPTIONS, *options]
        self.text = (ROOT / f"launch/recipes/{recipe}.cfg").read_text()
        self.stops = []
        self.write_recipe(10**9)

    def write_recipe(self, steps):
        text, changed = re.subn(r"(?m)^steps *=.*$", f"steps = {steps}", self.text, count=1)
        assert changed == 1
        self.recipe.write_text(text)

    def submit(self, slurm, *limits):
        self.slurm = slurm
        self.job = slurm.submit(*limits, f"--output={self.folder}.log", SCRIPT, *self.options, cwd=self.folder.parent,
                                RECIPE=str(self.recipe), DATA=str(DIGITS), OUT=str(self.folder), PROGRAM=str(PROGRAM))

    def log(self):
        return read(f"{self.folder}.log")

    def reports(self):
        return read(self.folder / "log.jsonl").count("\n")

    def begins(self):
        """A condition: that it has come further than now."""
        before = self.reports()
        return lambda: self.reports() > before

    def note_stops(self):
        """To be called often: what was stopped the last time learns its end before it starts again."""
        if self.log().count("stopped after saving, back into the queue") > len(self.stops):
            self.stops.append(int(checkpoints(self.folder)[-1].name[5:]))
            if len(self.stops) == 2:
                self.write_recipe(self.stops[-1] + 20)
                give_time(self.slurm, self.job)
        return len(self.stops)

    def check(self, fields):
        """It went on where it was stopped, and ended as one that never was."""
        self.check_end(fields, self.stops, self.stops[-1] + 20)

    def check_end(self, fields, resumed, end):
        log = self.log()
        assert (fields["JobState"], fields["ExitCode"], fields["Restarts"]) == ("COMPLETED", "0:0", str(len(resumed))), log
        for step in resumed:
            assert f"resuming at step {step} " in log, log
        steps = logged_steps(self.folder)
        assert steps == sorted(set(steps)) and steps[-1] == end
        reference = self.folder.with_suffix(".reference")
        succeed(2, "train", "--recipe", self.recipe, "--data", DIGITS, "--out", reference, *self.options)
        assert_bit_equal(final_tensors(self.folder, end), final_tensors(reference, end))


class Killed(Training):
    """A job whose ranks are killed after steps that no checkpoint holds."""

    OPTIONS = ["--train.threads", "1", "--sample.every", "0", "--checkpoint.every", "10", "--log.every", "1",
               "--biggan.generator_channels", "2", "--biggan.discriminator_channels", "2", "--train.batch", "8"]
    reported = None

    def signal(self, ranks, number):
        for pid in ranks:
            os.kill(pid, number)

    def ranks(self):
        """Process numbers of both ranks; none while there are fewer."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                ours = f"SLURM_JOB_ID={self.job}\0".encode() in (entry / "environ").read_bytes()
                if ours and (entry / "exe").resolve() == pathlib.Path(PROGRAM).resolve():
                    found.append(int(entry.name))
            except OSError:  # it has ended
                pass
        return found if len(found) == 2 else []

    def is_killed(self):
        """A condition. The ranks stand still while what they have written is looked at."""
        if self.reported:
            return True
        if not checkpoints(self.folder) or not (ranks := self.ranks()):
            return False
        self.signal(ranks, signal.SIGSTOP)
        self.saved, reported = int(checkpoints(self.folder)[-1].name[5:]), logged_steps(self.folder)[-1]
        if reported <= self.saved:
            self.signal(ranks, signal.SIGCONT)
            return False
        self.reported = reported
        self.write_recipe(reported + 10)
        self.signal(ranks, signal.SIGKILL)
        return True

    def check(self, fields):
        """What came after the checkpoint is in the logs once."""
        end = self.reported + 10
        assert "ended with 137, retry 1 of 3, back into the queue" in self.log(), self.log()
        self.check_end(fields, [self.saved], end)
        assert logged_steps(self.folder) == list(range(1, end + 1))
        starts = sorted(self.folder.glob("events.out.tfevents.*"))
        first, whole = (EventAccumulator(str(place), size_guidance={"scalars": 0}).Reload() for place in (starts[0], self.folder))
        assert len(starts) == 2 and first.Scalars("train/loss_d")[-1].step > self.saved
        assert [event.step for event in whole.Scalars("train/loss_d")] == list(range(1, end + 1))
        print(f"killed at step {self.reported}, gone on from {self.saved}, ended at {end}")


class Evaluation:
    """A job that scores a run, by far more images at its first two starts than there is time for."""

    ARGUMENTS = ["--features", "random", "--batch", "8", "--cache", "none"]

    def __init__(self, folder):
        self.folder, self.run, self.program = folder, folder / "scored", folder / "patient"
        self.program.write_text(f"""#!/bin/bash
count=40
[ "${{SLURM_RESTART_COUNT:-0}}" -ge 2 ] || count=1000000
[ "${{SLURM_PROCID:-0}}" != 0 ] || echo begun >>begun
exec {PROGRAM} "$@" --count $count
""")
        self.program.chmod(0o755)
        succeed(0, *training(self.run, steps=1))

    def submit(self, slurm, *limits):
        self.slurm, self.stops = slurm, 0
        self.job = slurm.submit(*limits, "--ntasks-per-node=2", f"--output={self.folder}/scores.log",
                                ROOT / "slurm/evaluate.sbatch", "--json", self.folder / "scores.json", *self.ARGUMENTS,
                                cwd=self.folder, FROM=str(self.run), REFERENCE=str(DIGITS), PROGRAM=str(self.program))

    def begins(self):
        begun = self.folder / "begun"
        before = read(begun)
        return lambda: read(begun) != before

    def note_stops(self):
        before, self.stops = self.stops, read(self.folder / "scores.log").count("back into the queue")
        if before < self.stops == 2:
            give_time(self.slurm, self.job)
        return self.stops

    def check(self, fields):
        log = read(self.folder / "scores.log")
        assert (fields["JobState"], fields["ExitCode"], fields["Restarts"]) == ("COMPLETED", "0:0", "2"), log
        succeed(2, "evaluate", "--from", self.run, "--reference", DIGITS, "--json", self.folder / "reference.json",
                *self.ARGUMENTS, "--count", 40)
        ours, expected = (json.loads(read(self.folder / name)) for name in ("scores.json", "reference.json"))
        assert ours["metrics"] == expected["metrics"]


def read(path):
    """A file's text, or none while there is no such file."""
    path = pathlib.Path(path)
    return path.read_text() if path.exists() else ""


def jobs_of(folder):
    diffusion = ["--unet.channels", "8,16", "--unet.attention", "16", "--denoiser.warmup", "0"]
    return [Training(folder, "biggan-digits"), Training(folder, "ddpm-digits", *diffusion), Evaluation(folder)]


def test_jobs_at_their_limit_twice_end_as_if_uninterrupted(slurm, tmp_path):
    jobs = jobs_of(tmp_path)
    for job in jobs:
        # Slurm looks at limits every 30 s: the signal comes 10 to 40 s after the start.
        job.submit(slurm, "--time=1", "--signal=B:USR1@20")
    wait_for("two stops of each", lambda: all([job.note_stops() == 2 for job in jobs]), 300)
    for job in jobs:
        job.check(slurm.wait(job.job, 120))


def test_jobs_preempted_twice_end_as_if_uninterrupted(slurm, tmp_path):
    jobs = jobs_of(tmp_path)
    for job in jobs:
        job.submit(slurm, "--time=10")
    for stops in (1, 2):
        for job, condition in [(job, job.begins()) for job in jobs]:
            slurm.wait_while_alive(job.job, "a start", condition, 90)
        urgent = slurm.submit("--partition=urgent", "--ntasks=6", "--time=1", "--output=urgent.log", "--wrap=sleep 1",
                              cwd=tmp_path)
        wait_for("a stop of each", lambda: all([job.note_stops() == stops for job in jobs]), 90)
        assert slurm.wait(urgent, 90)["JobState"] == "COMPLETED"
    for job in jobs:
        job.check(slurm.wait(job.job, 120))


def test_ranks_killed_between_two_saves_end_as_if_uninterrupted(slurm, tmp_path):
    job = Killed(tmp_path, "biggan-digits")
    job.submit(slurm, "--time=10")
    slurm.wait_while_alive(job.job, "a step after a save", job.is_killed, 90)
    job.check(slurm.wait(job.job, 120))
