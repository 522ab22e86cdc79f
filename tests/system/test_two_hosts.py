"""Jobs across two hosts (two_hosts.py): training, resuming, scores; a link that goes down; a link that is slow and loses."""

import json
import time

import pytest

from ganymede_runs import (DIGITS, PROGRAM, Job, assert_bit_equal, final_tensors, run, seeded, succeed, training)
from two_hosts import HOSTS, TwoHosts, why_not

pytestmark = pytest.mark.skipif(why_not() != "", reason=why_not())
STEPS = 8


@pytest.fixture(scope="module")
def one_host(tmp_path_factory):
    """A run of two ranks on one host, for its numbers."""
    out = tmp_path_factory.mktemp("one_host") / "run"
    succeed(2, *training(out, steps=STEPS))
    return out


def across(hosts, *arguments):
    with Job(2, *arguments, launcher=hosts.launcher) as job:
        result = job.wait(240)
    assert result.code == 0 and not result.errors, (result.code, result.err)
    return result


def scores(arguments, run_it):
    result = run_it("evaluate", *arguments, "--reference", DIGITS, "--metrics", "fid", "--count", 64)
    return [line for line in result.out.splitlines() if "fid" in line.lower()]


def test_trains_resumes_and_scores_as_on_one_host(tmp_path, one_host):
    out = tmp_path / "run"
    with TwoHosts() as hosts:
        across(hosts, *training(out, steps=STEPS // 2))
        across(hosts, *training(out, steps=STEPS))
        starts = [json.loads(line) for line in (out / "starts.jsonl").read_text().splitlines()]
        assert [start["hosts"] for start in starts] == [list(HOSTS)] * 2, starts
        assert_bit_equal(final_tensors(out, STEPS), final_tensors(one_host, STEPS))
        ours = scores(["--from", out], lambda *arguments: across(hosts, *arguments))
    theirs = scores(["--from", out], lambda *arguments: succeed(2, *arguments))
    print(ours)
    assert ours and ours == theirs


def test_the_doctor_measures_the_link_between_hosts():
    with TwoHosts() as hosts:
        table = across(hosts, "doctor").out
    line = next(line for line in table.splitlines() if " links " in line)
    print(line)
    assert "disjoint pairs at once: between hosts: 1 of 1 pairs, " in line, table


@pytest.mark.parametrize("host", HOSTS)
def test_a_link_that_goes_down_ends_every_rank(tmp_path, host):
    deadline, out = 4, tmp_path / "run"
    with TwoHosts() as hosts:
        with Job(2, *training(out, "--watchdog.seconds", deadline, steps=10**6), launcher=hosts.launcher) as job:
            job.wait_for_step(out, seeded().randint(1, 5))
            assert len(hosts.processes(f"{PROGRAM}\0train")) == 2
            hosts.unplug(host)
            begin = time.monotonic()
            while hosts.processes(f"{PROGRAM}\0train"):
                assert time.monotonic() < begin + deadline + 30, "ranks still run"
                time.sleep(0.02)
            seconds = time.monotonic() - begin
            result = job.wait(60)
    print(f"link of {host} down: all ranks gone after {seconds:.1f} s, mpirun after {time.monotonic() - begin:.1f} s with "
          f"{result.code}\n" + "\n".join(result.errors))
    assert seconds < deadline + 3
    assert result.code in (86, 6), (result.code, result.err)
    told = run(0, "postmortem", out).out.splitlines()
    print("\n".join(told))
    assert all(f"on {name} " in line for name, line in zip(HOSTS, told[1:])), told


def test_a_slow_link_that_loses_frames_changes_no_number(tmp_path, one_host):
    seconds = []
    for delay, loss in ((0, 0), (0.01, 0.02)):
        out = tmp_path / f"loss{loss}"
        with TwoHosts(delay, loss) as hosts:
            across(hosts, *training(out, steps=STEPS))
        lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        seconds.append(lines[-1]["seconds"] - lines[0]["seconds"])
        assert_bit_equal(final_tensors(out, STEPS), final_tensors(one_host, STEPS))
    print(f"{STEPS - 1} steps in {seconds[0]:.2f} s; with 10 ms each way and 2% of frames lost {seconds[1]:.2f} s; "
          "the same bits")
    assert seconds[1] > seconds[0] + 0.01 * STEPS
