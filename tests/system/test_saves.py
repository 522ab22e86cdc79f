"""Saves that fail and saves that are killed: at whatever call, the last checkpoint stays, and the run ends as if nothing
had happened. `pytest --full tests/system/test_saves.py` strikes at every call, and fills a disk at 100 offsets."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from ganymede_runs import (DISK_FAULTS, ENVIRONMENT, PROGRAM, Job, assert_bit_equal, checkpoints, final_tensors, kill,
                           logged_steps, resume, run, saves_told, seeded, succeed, tensors_of, training)

STEPS = 9
OPTIONS = ["--checkpoint.every", 3, "--checkpoint.keep", 1, "--checkpoint.retry_seconds", 0]


def faults(**settings):
    """The environment in which calls below checkpoints/ fail or kill: DISK_FAULTS_AT=7 and so on."""
    return {"LD_PRELOAD": DISK_FAULTS, "DISK_FAULTS_WHERE": "/checkpoints"} | {
        f"DISK_FAULTS_{name.upper()}": str(value) for name, value in settings.items()}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Final tensors by number of ranks."""
    tensors = {}
    for ranks in (0, 2):
        out = tmp_path_factory.mktemp("uninterrupted") / "run"
        succeed(ranks, *training(out, *OPTIONS, steps=STEPS))
        tensors[ranks] = final_tensors(out, STEPS)
    return tensors


def calls_of(tmp_path, ranks, rank=0):
    """The calls below checkpoints/ of a run that nothing befalls, one rank's."""
    log, out = tmp_path / "calls", tmp_path / "counted"
    result = run(ranks, *training(out, *OPTIONS, steps=STEPS),
                 environment=faults(log=log, **({"rank": rank} if ranks else {})))
    assert result.code == 0, result.err
    shutil.rmtree(out)
    return log.read_text().splitlines()


def assert_whole(out, expected):
    assert logged_steps(out) == list(range(1, STEPS + 1))
    # Nothing of unfinished saves; of the checkpoints before, at most that which the last save had yet to remove.
    names = {folder.name for folder in (out / "checkpoints").iterdir()}
    assert {f"step-{STEPS:09}"} <= names <= {f"step-{STEPS:09}", f"step-{STEPS - 3:09}"}, names
    assert_bit_equal(final_tensors(out, STEPS), expected)


# ------------------------------------------------------------------------------------------------- beside training


def test_a_slow_disk_does_not_show_in_what_is_saved(tmp_path):
    """A save that takes many steps holds the state of the step at which it began, and training goes on meanwhile."""
    slow, quick = tmp_path / "slow", tmp_path / "quick"
    # Steps go on until the save has been told of, however fast they are.
    with Job(2, *training(slow, "--checkpoint.every", 0, "--checkpoint.keep_every", 40, steps=10**6),
             environment=faults(rank=1, at=1, times=10**6, delay=100)) as job:
        job.wait_for_step(slow, 1)
        job.wait_for("the save", lambda: saves_told(slow))
        kill(job.process.pid, signal.SIGUSR1)
        result = job.wait()
    assert result.code == 75, result.err
    succeed(2, *training(quick, "--checkpoint.every", 0, steps=40))
    assert_bit_equal(tensors_of(checkpoints(slow)[0]), final_tensors(quick, 40))
    told = saves_told(slow)[0]
    print(f"steps went on to {told['step']}, on a disk whose calls take 0.1 s each")
    assert told["save_step"] == 40 and told["step"] > 41, told
    assert told["save_write_seconds"] > 0.1, told
    shards = json.loads((checkpoints(slow)[0] / "manifest.json").read_text())["content"]["shards"]
    assert told["save_bytes"] == sum(shard["size"] for shard in shards)


def test_a_request_to_stop_waits_for_the_save_under_way(tmp_path):
    out = tmp_path / "run"
    with Job(2, *training(out, "--checkpoint.every", 5, steps=2000),
             environment=faults(rank=0, at=1, times=10**6, delay=50)) as job:
        job.wait_for_step(out, 6)
        kill(job.process.pid, signal.SIGUSR1)
        kill(job.process.pid, signal.SIGUSR1)
        result = job.wait()
    assert result.code == 75 and not result.warnings, (result.code, result.err)
    assert int(checkpoints(out)[-1].name[5:]) == logged_steps(out)[-1]
    assert not list((out / "checkpoints").glob("*.tmp-*"))


def test_a_disk_that_hangs_is_ended_by_the_watchdog(tmp_path):
    out = tmp_path / "run"
    result = run(2, *training(out, "--watchdog.seconds", 3, "--checkpoint.every", 2, steps=12),
                 environment=faults(rank=1, at=3, delay=60000))
    assert result.code == 86, (result.code, result.err)
    # Either rank may be first to say it.
    assert all('rank 1 on' in line and 'working on "waiting for the disk"' in line for line in result.errors), result.err
    assert result.errors
    print(result.errors[0])


# ------------------------------------------------------------------------------------------------- failing


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EIO"])
def test_a_save_that_fails_is_tried_again(tmp_path, uninterrupted, rank, error):
    out = tmp_path / "run"
    # Rank 0 has the manifest and the names to write too.
    at = seeded().randint(4, 12 if rank == 0 else 6)
    result = run(2, *training(out, *OPTIONS, steps=STEPS),
                 environment=faults(rank=rank, at=at, errno=getattr(errno, error)))
    assert result.code == 0 and not result.errors, result.err
    assert len(result.warnings) == 1, result.err
    warning = result.warnings[0]
    print(warning)
    assert "was not saved, failure 1 of 3" in warning and f"rank {rank} on " in warning, warning
    assert os.strerror(getattr(errno, error)) in warning and str(out) in warning, warning
    assert_whole(out, uninterrupted[2])


def test_failures_in_succession_end_the_run_and_the_last_checkpoint_stays(tmp_path, uninterrupted):
    out = tmp_path / "run"
    succeed(2, *training(out, *OPTIONS, steps=3))
    before = final_tensors(out, 3)
    result = run(2, *training(out, *OPTIONS, "--checkpoint.failures", 2, steps=STEPS),
                 environment=faults(rank=1, at=1, times=10**6, errno=errno.ENOSPC))
    assert result.code == 5, (result.code, result.err)
    assert len(result.warnings) == 1 and len(result.errors) == 1, result.err
    assert "rank 1 on " in result.errors[0] and "failure 2 of 2" in result.errors[0], result.err
    assert "No space left" in result.errors[0] and "checkpoint is of step 3" in result.errors[0], result.err
    assert [folder.name for folder in (out / "checkpoints").iterdir()] == ["step-000000003"], "partial files are gone"
    assert_bit_equal(final_tensors(out, 3), before)
    succeed(2, *training(out, *OPTIONS, steps=STEPS))
    assert_whole(out, uninterrupted[2])


def test_a_request_to_stop_saves_in_the_end(tmp_path):
    out = tmp_path / "run"
    with Job(2, *training(out, "--checkpoint.retry_seconds", 0.2, steps=2000),
             environment=faults(rank=1, at=1, errno=errno.EIO)) as job:
        job.wait_for_step(out, 2)
        kill(job.process.pid, signal.SIGUSR1)
        result = job.wait()
    assert result.code == 75 and len(result.warnings) == 1, (result.code, result.err)
    assert int(checkpoints(out)[-1].name[5:]) == logged_steps(out)[-1]


def test_a_disk_that_fills_up_costs_no_checkpoint(tmp_path, full, uninterrupted):
    """Sizes from one that holds hardly the run folder to one that holds all."""
    kept = 0
    options = ["--checkpoint.every", 2, "--checkpoint.keep", 2, "--checkpoint.retry_seconds", 0]
    offsets = [150 + 20 * i for i in range(100)] if full else [200, 700, 1100, 2100]
    for kib in offsets:
        disk, copy = tmp_path / "disk", tmp_path / "copy"
        disk.mkdir()
        mounted = (f"mount -t tmpfs -o size={kib}k tmpfs '{disk}' && "
                   f"""{{ "$@"; code=$?; cp -r '{disk}/run' '{copy}'; exit $code; }}""")
        result = run(0, *training(disk / "run", *options, steps=STEPS),
                     mounted=mounted)
        assert result.code in (0, 5), (kib, result.code, result.err)
        saved = checkpoints(copy)
        last = int(saved[-1].name[5:]) if saved else 0
        kept += len(saved)
        resume(0, copy, *training(copy, *options, steps=STEPS))
        assert_bit_equal(final_tensors(copy, STEPS), uninterrupted[0])
        print(f"{kib} KiB: exit {result.code}, last checkpoint of step {last}")
        shutil.rmtree(copy)
        disk.rmdir()
    print(f"{len(offsets)} of {len(offsets)} survived, {kept} checkpoints")
    assert kept > 0


# ------------------------------------------------------------------------------------------------- killed


def kill_and_resume(out, ranks, expected, may_miss=False, **where):
    result = run(ranks, *training(out, *OPTIONS, steps=STEPS), environment=faults(**where))
    killed = 128 + signal.SIGKILL if ranks else -signal.SIGKILL
    assert result.code == killed or (may_miss and result.code == 0), (where, result.code, result.err)
    resumed = resume(ranks, out, *training(out, *OPTIONS, steps=STEPS))
    assert not resumed.warnings, resumed.err
    assert_whole(out, expected)
    shutil.rmtree(out)


def places(calls, full, count):
    """The numbers of calls to strike at: all, or some of them."""
    every = range(1, len(calls) + 1)
    return every if full else sorted(seeded().sample(every, count))


def test_a_kill_at_any_call_of_a_save(tmp_path, full, uninterrupted):
    calls = calls_of(tmp_path, 0)
    chosen = places(calls, full, 8)
    for at in chosen:
        kill_and_resume(tmp_path / "run", 0, uninterrupted[0], at=at)
    print(f"{len(chosen)} of {len(chosen)} survived, of {len(calls)} calls")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_kill_of_one_of_two_ranks_at_any_call(tmp_path, full, uninterrupted, rank):
    calls = calls_of(tmp_path, 2, rank)
    chosen = places(calls, full, 3)
    for at in chosen:
        # Whichever rank comes first makes a save's folder, and syncs that: two calls of each of three saves.
        kill_and_resume(tmp_path / "run", 2, uninterrupted[2], may_miss=at > len(calls) - 6, rank=rank, at=at)
    print(f"{len(chosen)} of {len(chosen)} survived, of {len(calls)} calls of rank {rank}")


def test_the_calls_are_those_that_strace_sees(tmp_path):
    calls = calls_of(tmp_path, 0)
    trace = tmp_path / "trace"
    names = "write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,open,openat"
    subprocess.run(["strace", "-f", "-y", "-o", trace, "-e", f"trace={names}", PROGRAM,
                    *map(str, training(tmp_path / "run", *OPTIONS, steps=STEPS))],
                   env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL, timeout=120)
    seen = [line for line in trace.read_text().splitlines()
            if "/checkpoints" in line and "resumed>" not in line and ("open" not in line or "O_CREAT" in line)]
    print(f"{len(calls)} calls by our count, {len(seen)} by strace's")
    assert len(seen) == len(calls), "\n".join(seen)


# ------------------------------------------------------------------------------------------------- crash loops


def test_two_starts_that_get_nowhere_go_back_to_the_checkpoint_before(tmp_path):
    out = tmp_path / "run"
    options = ["--checkpoint.every", 3, "--checkpoint.keep", 3]
    succeed(0, *training(out, *options, steps=9))
    expected = final_tensors(out, 9)
    shutil.rmtree(out)
    succeed(0, *training(out, *options, steps=6))

    def start_that_dies():
        # The first call below checkpoints/ after the start is the first of the next save.
        result = run(0, *training(out, *options, steps=9), environment=faults(at=1))
        assert result.code == -signal.SIGKILL, result.err
        return re.search(r"resuming at step (\d+)", result.out).group(1), result.warnings

    assert start_that_dies() == ("6", []) and start_that_dies() == ("6", [])
    step, warnings = start_that_dies()
    assert step == "3" and len(warnings) == 1, warnings
    assert "2 starts from step 6 did not get to another checkpoint" in warnings[0] and "of step 3" in warnings[0], warnings
    assert start_that_dies() == ("3", [])
    # No other is left before it.
    result = succeed(0, *training(out, *options, steps=9))
    assert "resuming at step 3 of 9" in result.out and not result.warnings, result.err
    assert_bit_equal(final_tensors(out, 9), expected)
    assert not (out / ".starts").exists()


def test_stops_and_ends_in_order_do_not_count_as_failures(tmp_path):
    out = tmp_path / "run"
    options = ["--checkpoint.every", 3]
    for _ in range(4):
        assert not succeed(0, *training(out, *options, steps=6)).warnings
    for _ in range(3):  # options that belong to another run are no fault of the checkpoint
        assert run(0, *training(out, *options, "--seed", 3, steps=9)).code == 4
    assert "resuming at step 6 of 9" in succeed(0, *training(out, *options, steps=9)).out


# ------------------------------------------------------------------------------------------------- kept


def test_every_so_many_steps_stay(tmp_path):
    out = tmp_path / "run"
    succeed(0, *training(out, "--checkpoint.every", 3, "--checkpoint.keep", 1, "--checkpoint.keep_every", 4, steps=11))
    assert [int(folder.name[5:]) for folder in checkpoints(out)] == [4, 8, 11]


def test_samples_of_later_steps_go_on_resume(tmp_path):
    out = tmp_path / "run"
    arguments = training(out, "--checkpoint.every", 4, steps=8)
    arguments[arguments.index("--sample.every") + 1] = 2
    succeed(0, *arguments)
    expected = {path.name: path.read_bytes() for path in (out / "samples").iterdir()}
    assert len(expected) == 5
    shutil.rmtree(checkpoints(out)[-1])
    (out / "samples/step-000000006.png").write_bytes(b"of another course")
    (out / "samples/step-000000099.png").write_bytes(b"of another course")
    (out / "samples/mine.png").write_bytes(b"mine")
    succeed(0, *arguments)
    assert {path.name: path.read_bytes() for path in (out / "samples").iterdir()} == expected | {"mine.png": b"mine"}
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == list(range(1, 9))


def test_starts_that_somebody_ended_say_nothing_against_a_checkpoint(tmp_path):
    out = tmp_path / "run"
    succeed(2, *training(out, "--checkpoint.every", 3, "--checkpoint.keep", 3, steps=6))
    for _ in range(4):
        with Job(2, *training(out, "--checkpoint.every", 0, steps=2000)) as job:
            job.wait_for_step(out, 8)
            kill(job.process.pid, signal.SIGTERM)
            result = job.wait()
        assert result.code not in (0, 75) and "resuming at step 6" in result.out and not result.warnings, result.err
