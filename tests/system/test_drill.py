"""ganymede drill strikes small runs through the user's launcher, and tells what they survived."""

import os
import re
import signal

import pytest

from ganymede_runs import Job, kill, run

# A checkpoint every four steps, and the fault after twelve.
STEPS = ["--steps", 24, "--watchdog.seconds", 3]


def table_of(text):
    found = [re.fullmatch(r"(ok|skipped|warning|FAILED) +(\S+)  +(\S.*)", line) for line in text.splitlines()]
    assert all(found), text
    return {line[2]: (line[1], line[3]) for line in found}


def drill(*arguments, code=0, timeout=280, **how):
    result = run(0, "drill", *arguments, timeout=timeout, **how)
    print(result.out, result.err)
    assert result.code == code, (result.code, result.out, result.err)
    assert len(result.errors) == (0 if code == 0 else 1) and "bug:" not in result.err, result.err
    return table_of(result.out)


def test_every_fault_is_survived(tmp_path):
    table = drill("--out", tmp_path / "drill", *STEPS)
    assert table.pop("undisturbed")[0] == "ok"
    assert table.pop("requeue")[0] == "skipped"
    expected = {"kill": 137, "stop": 86, "usr1": 75, "full-disk": 5}
    assert table.keys() == expected.keys()
    for name, (state, text) in table.items():
        exit_code, seconds, step = re.search(r"exit (\d+), .* gone after ([\d.]+) s; resumed from step (\d+)", text).groups()
        assert state == "ok" and int(exit_code) == expected[name] and "equal bit by bit" in text, text
        assert 4 <= int(step) < 24 and float(seconds) < 60


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_a_launcher_that_hides_exit_codes_is_warned_of(tmp_path):
    hiding = script(tmp_path / "hiding", '"$@" || exit 1\n')
    table = drill("--out", tmp_path / "drill", "--launcher", hiding, "--faults", "kill", *STEPS)
    state, text = table["kill"]
    assert state == "warning" and "exit 1," in text and "137 was expected" in text and "slurm/ranks.sh" in text
    assert table["undisturbed"][0] == "ok"


def test_a_run_that_does_not_go_on_is_a_failure(tmp_path):
    # Each start is asked for another run.
    other = script(tmp_path / "other", 'exec "$@" --seed "$(date +%s%N | tail -c 9 | sed s/^0*//)"\n')
    table = drill("--out", tmp_path / "drill", "--launcher", other, "--faults", "kill", *STEPS, code=4)
    assert table["kill"][0] == "FAILED" and "did not go on, but ended with 4" in table["kill"][1]


def test_a_launcher_that_is_not_there(tmp_path):
    table = drill("--out", tmp_path / "drill", "--launcher", "no-such-launcher -n 2", code=6)
    assert table["undisturbed"][0] == "FAILED" and "no-such-launcher" in table["undisturbed"][1]
    assert table["kill"][0] == table["stop"][0] == "skipped"


def test_the_requeued_job_goes_on_with_the_table(tmp_path):
    asked = tmp_path / "asked"
    script(tmp_path / "scontrol", f'echo "$@" >"{asked}"\n')
    slurm = {"SLURM_JOB_ID": "17", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    arguments = ["drill", "--out", tmp_path / "drill", "--launcher", "", "--faults", "usr1", "--requeue", *STEPS]
    with Job(0, *arguments, environment=slurm) as job:
        job.wait_for("scontrol", lambda: asked.exists() and asked.read_text(), 280)
        kill(job.process.pid, signal.SIGKILL)
        job.wait()
        before = job.text("out")
    assert asked.read_text() == "requeue 17\n" and table_of(before).keys() == {"undisturbed", "usr1"}, before
    # Another start that Slurm does not count is none.
    result = run(0, *arguments, environment=slurm | {"SLURM_RESTART_COUNT": "1"})
    table = table_of(result.out)
    assert result.code == 0 and result.out.startswith(before) and table["requeue"][0] == "ok", (result.out, result.err)


def test_a_requeue_that_is_refused(tmp_path):
    script(tmp_path / "scontrol", "exit 1\n")
    slurm = {"SLURM_JOB_ID": "17", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    table = drill("--out", tmp_path / "drill", "--launcher", "", "--faults", "usr1", "--requeue", *STEPS, code=6,
                  environment=slurm)
    assert table["requeue"][0] == "FAILED" and "sbatch" in table["requeue"][1]


@pytest.mark.parametrize("code, ranks, arguments", [
    (2, 0, []), (2, 0, ["--out", "run", "--faults", "flood"]), (2, 0, ["--out", "run", "--ranks", 2, "--launcher", "x"]),
    (2, 2, ["--out", "run"]), (5, 0, ["--out", "."]),
], ids=["no folder", "unknown fault", "ranks twice", "under mpirun", "folder in use"])
def test_wrong_arguments(tmp_path, monkeypatch, code, ranks, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()
    result = run(ranks, "drill", *arguments)
    assert result.code == code and result.errors and not result.out, result
    assert [path.name for path in tmp_path.iterdir()] == ["something"]
