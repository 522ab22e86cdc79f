"""`ganymede postmortem`: what the black boxes of a run's ranks tell of its last start."""

import errno
import os
import re
import signal

from ganymede_runs import DISK_FAULTS, Job, kill, refusal, run, seeded, succeed, training


def postmortem(out, *options):
    """Its lines: the start, one a rank, the last checkpoint, the verdict."""
    lines = succeed(0, "postmortem", out, *options).out.splitlines()
    print("\n".join(lines))
    return lines


def test_tells_of_each_end(tmp_path):
    """A run that a kill, a request to stop and its end in order meet one after another."""
    out = tmp_path / "run"
    arguments = training(out, "--checkpoint.every", 3, steps=10**6)
    victim = seeded().randrange(2)
    with Job(2, *arguments) as job:
        job.wait_for_step(out, 5)
        pid = job.ranks()[victim]
        under_way = postmortem(out)
        kill(pid, signal.SIGKILL)
        assert job.wait(30).code == 137
    host = os.uname().nodename
    assert re.fullmatch(r"The run is under way, at step \d+.*", under_way[-1]), under_way[-1]
    lines = postmortem(out)
    assert lines[0].startswith(f"{out}: started 2") and "ranks: 2" in lines[0], lines[0]
    assert lines[1 + victim].endswith("; no end: killed (SIGKILL), or lost with its host"), lines
    assert lines[2 - victim].rpartition("; ")[2].startswith("ended by signal 15 (Terminated) at +"), lines
    assert re.fullmatch(rf"last checkpoint: of step \d+, {re.escape(str(out))}/checkpoints/step-\d+", lines[3]), lines[3]
    assert lines[4].startswith("Killed (SIGKILL, for want of memory say), or lost with its host: "
                               f"rank {victim} on {host} (pid {pid}) at step "), lines[4]
    with Job(2, *arguments) as job:
        job.wait_for("going on", lambda: "resuming at step" in job.text("out"))
        kill(job.process.pid, signal.SIGUSR1)
        assert job.wait().code == 75
    assert "stopped on request after saving" in postmortem(out, "--events", 2000)[-1]
    events = postmortem(out, "--events", 2000)
    assert any("signal 10 (User defined signal 1)" in line for line in events)
    assert any(re.search(r"waits in all_reduce \w+.* \(#\d+, .* B\)", line) for line in events), events[-60:]
    assert any("has saved step" in line for line in events)
    assert f"rank {victim} on" in postmortem(out, "--before")[-1], "the start before"


def test_a_signal_that_ends_a_rank_is_told(tmp_path):
    out = tmp_path / "run"
    with Job(0, *training(out, steps=10**6)) as job:
        job.wait_for_step(out, 1)
        kill(job.process.pid, signal.SIGSEGV)
        assert job.wait().code == -signal.SIGSEGV
    assert "was ended by signal 11 (Segmentation fault)" in postmortem(out)[-1]


def test_files_that_are_missing_or_damaged(tmp_path):
    out = tmp_path / "run"
    assert "holds no black box" in refusal(4, 0, "postmortem", out)
    succeed(2, *training(out, steps=3))
    assert postmortem(out)[-1] == "All is well: 2 ranks, done at step 3"
    box = out / "blackbox/rank-0001.ring"
    whole = box.read_bytes()
    box.write_bytes(whole[:5000])
    advice = ": see whether these ranks' hosts share the run's folder"
    assert f"rank-0001.ring: 1017 of its records are damaged{advice}" in refusal(4, 0, "postmortem", out)
    box.write_bytes(whole[:100])
    assert "rank-0001.ring is no black box" in refusal(4, 0, "postmortem", out)
    first = out / "blackbox/rank-0000.ring"
    kept = first.read_bytes()
    first.write_bytes(b"")
    assert "rank-0000.ring" in (error := refusal(4, 0, "postmortem", out)) and advice in error, error
    first.write_bytes(kept)
    box.unlink()
    assert f"rank-0001.ring is missing{advice}" in refusal(4, 0, "postmortem", out)
    assert "All is well" in run(0, "postmortem", out).out, "what is left is told"


def test_a_run_goes_on_without_black_boxes(tmp_path):
    out = tmp_path / "run"
    result = run(2, *training(out, steps=3), environment={
        "LD_PRELOAD": DISK_FAULTS, "DISK_FAULTS_WHERE": "/blackbox", "DISK_FAULTS_RANK": "1", "DISK_FAULTS_AT": "1",
        "DISK_FAULTS_TIMES": "9", "DISK_FAULTS_ERRNO": str(errno.ENOSPC)})
    assert result.code == 0 and not result.errors, (result.code, result.err)
    assert len(result.warnings) == 1 and "no black box: cannot" in result.warnings[0], result.warnings
    assert "rank-0001.ring is missing" in refusal(4, 0, "postmortem", out)
