"""The batch scripts without Slurm: commands that tell of their call stand for Slurm's, so that these can fail."""

import os
import pathlib
import re
import socket
import subprocess

import pytest
from ganymede_runs import OWN_MOUNTS, ROOT

SCRIPT = ROOT / "slurm/train.sbatch"


class Batch:
    """A job in a folder of its own, whose commands are shell that the test gives."""

    def __init__(self, folder):
        self.folder, self.submitted = folder, folder / "submitted"
        self.submitted.mkdir()
        self.command("srun", "exit 0")
        self.command("scontrol", '[ "$1" = show ] || echo "scontrol $*"')
        self.command("sleep", ":")  # nothing here depends on the clock

    def command(self, name, shell):
        file = self.folder / name
        file.write_text(f"#!/bin/sh\n{shell}\n")
        file.chmod(0o755)

    def run(self, launcher=(), **environment):
        """What the script prints and how it ends; the launcher comes before it, its current folder is `submitted`."""
        environment = os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}", "DATA": "data.h5", "OUT": "run",
                                    "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_NODELIST": "here",
                                    "SLURM_SUBMIT_DIR": str(self.submitted)} | environment
        done = subprocess.run([*launcher, "bash", SCRIPT], env=environment, cwd=self.submitted, capture_output=True,
                              text=True, timeout=60)
        print(done.returncode, done.stdout, done.stderr, sep="\n")
        return done


@pytest.fixture
def batch(tmp_path):
    return Batch(tmp_path)


def test_signal_before_the_ranks_is_requeued_too(batch):
    """The script is signalled by itself at its first echo."""
    before = batch.folder / "before"
    before.write_text('echo() { builtin echo "$@"; unset -f echo; kill -USR1 $$; }')
    batch.command("srun", "echo srun")
    done = batch.run(BASH_ENV=str(before))
    assert done.returncode == 75 and "scontrol requeue 7" in done.stdout and "srun" not in done.stdout


def test_signal_before_the_ranks_are_known_of_is_requeued_too(batch):
    """It comes while the script looks for what lies beside it."""
    (batch.folder / "before").write_text("export BATCH=${BATCH:-$$}")
    batch.command("srun", "echo srun")
    batch.command("scontrol", 'case $1 in show) kill -USR1 $BATCH ;; requeue) echo taken ;; esac')
    done = batch.run(BASH_ENV=str(batch.folder / "before"))
    assert done.returncode == 75 and "taken" in done.stdout and "srun" not in done.stdout


def test_signal_reaches_ranks_that_have_begun(batch):
    """And again: each is passed on, and the step's own exit code is waited for."""
    (batch.folder / "before").write_text("export BATCH=${BATCH:-$$}")
    batch.command("srun", "count=0\ntrap 'count=$((count + 1)); [ $count = 2 ] && exit 75; kill -USR1 $BATCH' USR1\n"
                  "kill -USR1 $BATCH\nwhile :; do :; done")
    done = batch.run(BASH_ENV=str(batch.folder / "before"))
    assert done.returncode == 75 and "stopped after saving, back into the queue" in done.stdout


def test_a_controller_that_starts_again_is_asked_until_it_takes_the_job(batch):
    batch.command("srun", "exit 75")
    batch.command("scontrol", f'[ "$1" = requeue ] || exit 0; echo x >>{batch.folder}/asked\n'
                  f'[ $(wc -l <{batch.folder}/asked) = 3 ] && echo taken')
    done = batch.run()
    assert done.returncode == 75 and done.stdout.endswith("taken\nganymede: stopped after saving, back into the queue\n")


def test_a_job_that_no_one_takes_back_says_what_to_do(batch):
    batch.command("srun", "exit 75")
    batch.command("scontrol", f'[ "$1" = requeue ] || exit 0; echo x >>{batch.folder}/asked; exit 1')
    done = batch.run()
    assert done.returncode == 75 and "back into the queue" not in done.stdout
    [line] = done.stderr.splitlines()
    assert "not taken back into the queue: give 'scontrol requeue 7', or the same sbatch command again" in line
    assert (batch.folder / "asked").read_text() == 12 * "x\n"


def test_a_job_that_somebody_ends_is_asked_for_no_more(batch):
    """Slurm's SIGTERM goes to all processes of the job."""
    batch.command("srun", "exit 75")
    batch.command("scontrol", f'[ "$1" = requeue ] || exit 0; echo x >>{batch.folder}/asked; kill -TERM $BATCH $$; exit 1')
    (batch.folder / "before").write_text("export BATCH=${BATCH:-$$}")
    done = batch.run(BASH_ENV=str(batch.folder / "before"))
    assert done.returncode == 75 and (batch.folder / "asked").read_text() == "x\n"
    assert "not taken back" in done.stderr


def test_a_job_that_somebody_ends_between_two_requests_is_asked_for_no_more(batch):
    batch.command("srun", "exit 75")
    batch.command("scontrol", f'[ "$1" = requeue ] || exit 0; echo x >>{batch.folder}/asked; exit 1')
    batch.command("sleep", "kill -TERM $BATCH $$")
    (batch.folder / "before").write_text("export BATCH=${BATCH:-$$}")
    done = batch.run(BASH_ENV=str(batch.folder / "before"))
    assert done.returncode == 75 and (batch.folder / "asked").read_text() == "x\n"


def test_a_job_is_said_to_be_back_in_the_queue_before_slurm_ends_it(batch):
    batch.command("srun", "exit 75")
    batch.command("scontrol", '[ "$1" = requeue ] || exit 0; kill -TERM $BATCH $PPID $$; echo taken')
    (batch.folder / "before").write_text("export BATCH=${BATCH:-$$}")
    done = batch.run(BASH_ENV=str(batch.folder / "before"))
    assert "taken\nganymede: stopped after saving, back into the queue\n" in done.stdout


@pytest.mark.parametrize("options", ["ro", "size=4k"], ids=["read-only", "full"])
def test_where_failures_cannot_be_counted_nothing_is_requeued(batch, options):
    batch.command("srun", "exit 86")
    place = (f"mount -t tmpfs -o {options} none . && cd {batch.submitted} && {{ head -c 4096 /dev/zero >full; true; }} "
             "2>/dev/null")
    done = batch.run([*OWN_MOUNTS, "sh", "-c", f'{place} && exec "$@"', "sh"])
    assert done.returncode == 86 and "requeue 7" not in done.stdout
    line = done.stderr.splitlines()[-1]
    assert "not requeued, for retries cannot be counted in" in line and "give 'scontrol requeue 7'" in line


@pytest.mark.parametrize("counted", ["", "many"])
def test_a_count_that_is_none_is_not_taken_for_the_first(batch, counted):
    batch.command("srun", "exit 86")
    (batch.submitted / ".ganymede-7.failures").write_text(counted)
    done = batch.run()
    assert done.returncode == 86 and "requeue 7" not in done.stdout and "cannot be counted" in done.stderr


def test_failures_in_a_row_are_counted(batch):
    batch.command("srun", "exit 86")
    for retry in (1, 2):
        assert f"ended with 86, retry {retry} of 2, back into the queue" in batch.run(RETRIES="2").stdout
    done = batch.run(RETRIES="2")
    assert done.returncode == 86 and "requeue 7" not in done.stdout and not list(batch.submitted.iterdir())


@pytest.fixture
def staging(batch):
    """The batch, whose launcher runs what comes after its own options."""
    batch.command("srun", 'while [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"')
    batch.command("program", 'echo "asked for: $*"')
    batch.told = {"STAGE": str(batch.folder / "disk"), "PROGRAM": str(batch.folder / "program")}
    return batch


def staged(batch, *files):
    """The copies of these files that the program reads, in their order."""
    done = batch.run(**batch.told | {"DATA": " ".join(map(str, files))})
    assert done.returncode == 0
    return [pathlib.Path(word) for word in re.search("--data (.*) --out run", done.stdout)[1].split()]


def dataset(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (10**9, 10**9))
    return path


def test_files_of_one_name_are_staged_apart(staging):
    """Of one size and age too, so that one is not taken for the other."""
    files = [dataset(staging.folder / name / "part.h5", name.encode()) for name in "ab"]
    copies = staged(staging, *files)
    assert [copy.read_bytes() for copy in copies] == [b"a", b"b"]
    assert all(copy.parent == staging.folder / "disk" and copy.name.endswith("-part.h5") for copy in copies)
    # A name from the current folder is that of the file there.
    assert staged(staging, "../a/part.h5") == copies[:1]


def test_what_is_staged_is_copied_again_only_when_it_has_changed(staging):
    file = dataset(staging.folder / "data.h5", b"old")
    link = staging.folder / "link.h5"
    link.symlink_to(file)
    copies = staged(staging, file, link)
    inodes = [copy.stat().st_ino for copy in copies]
    assert staged(staging, file, link) == copies and [copy.stat().st_ino for copy in copies] == inodes
    dataset(file, b"newer")
    assert staged(staging, file, link) == copies and [copy.read_bytes() for copy in copies] == [b"newer", b"newer"]


def test_what_a_killed_job_has_half_copied_goes_and_what_is_being_copied_stays(staging):
    file = dataset(staging.folder / "data.h5", b"images")
    [copy] = staged(staging, file)
    # cp that is killed with the shell that started it.
    staging.command("cp", 'shift; cat "$1" >"$2"; kill -KILL $PPID')
    os.utime(file, (10**9 + 1, 10**9 + 1))
    assert staging.run(**staging.told | {"DATA": str(file)}).returncode == 5
    [partial] = [path for path in copy.parent.iterdir() if path != copy]
    (staging.folder / "cp").unlink()
    prefix = partial.name.rpartition(".")[0]
    ours = copy.parent / f"{prefix}.{os.getpid()}"
    elsewhere = copy.parent / partial.name.replace(socket.gethostname(), "elsewhere")
    assert elsewhere != partial
    for path in (ours, elsewhere):
        path.write_bytes(b"ima")
    assert staged(staging, file) == [copy]
    assert set(copy.parent.iterdir()) == {copy, ours, elsewhere} and copy.read_bytes() == b"images"


def test_a_file_that_is_not_there_is_not_staged(staging):
    done = staging.run(**staging.told | {"DATA": "nowhere.h5"})
    assert done.returncode == 5 and "asked for" not in done.stdout and "nowhere.h5" in done.stderr.splitlines()[0]


def test_a_drill_is_told_to_start_ranks_as_the_batch_scripts_do():
    flags = re.search(r"start=\(srun --mpi=pmix (--kill-on-bad-exit=\d --wait=\d+) ", (ROOT / "slurm/ranks.sh").read_text())[1]
    readme = (ROOT / "slurm/README.md").read_text()
    assert f'drill --out /scratch/me/drill --launcher "srun --mpi=pmix {flags}"' in readme
    assert f"give srun {flags}, as slurm/ranks.sh does" in (ROOT / "launch/drill/rehearsal.cpp").read_text()
