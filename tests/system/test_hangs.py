"""Jobs in which a rank is stopped, spins or finalizes early: the watchdog ends each with 86, names the rank, and so does
`ganymede postmortem`; and jobs whose ranks come late again and again, which it leaves alone. `pytest --full` strikes 50
times with a deadline of 10 s, and delays ranks by up to 8 s in 2,000 steps; the ordinary test does so in small."""

import concurrent.futures
import os
import re
import signal
import subprocess
import time

from ganymede_runs import ROOT, Job, Result, kill, run, seeded, training

SHIM = os.environ.get("HANG_FAULTS", str(ROOT / "build/cpu/tests/system/libhang_faults.so"))
RANKS = 3
AT_ONCE = 3  # jobs; nearly all of their time they wait


def faults(tmp_path, **settings):
    return {"LD_PRELOAD": SHIM, "HANG_FAULTS_ARMED": str(tmp_path / "armed"), "HANG_FAULTS_LOG": str(tmp_path / "log")} | {
        f"HANG_FAULTS_{name.upper()}": str(value) for name, value in settings.items()}


def strikes(tmp_path):
    """Time, rank and milliseconds of each."""
    log = tmp_path / "log"
    return [tuple(map(float, line.split())) for line in log.read_text().splitlines()] if log.exists() else []


def blamed(line):
    """The ranks that a line of the watchdog calls late."""
    found = re.fullmatch(r"ganymede: rank (\d+) on \S+: no progress for .*? \(#\d+\): (.*)", line)
    assert found, line
    if "this rank is late itself" in found[2]:
        return [int(found[1])]
    # One that was stopped before its first word has no host here.
    return [int(rank) for rank in re.findall(r"rank (\d+)(?: on \S+)?(?: \(pid \d+\))? (?:is late|has not answered)", found[2])]


def strike(tmp_path, kind, victim, rng_seed, deadline):
    """What came of one job: code (None where mpirun had to be ended), seconds from the strike to mpirun's end, ranks left two
    seconds after the deadline, whom its lines and the postmortem blame."""
    rng, out = seeded(rng_seed), tmp_path / "run"
    tmp_path.mkdir()
    environment = {} if kind == "stop" else faults(tmp_path, kind=kind, rank=victim, at=rng.randint(1, 60))
    with Job(RANKS, *training(out, "--watchdog.seconds", deadline, "--checkpoint.every", 5, steps=10**6),
             environment=environment) as job:
        job.wait_for_step(out, 2)
        time.sleep(rng.random())
        ranks = job.ranks()
        if kind == "stop":
            kill(ranks[victim], signal.SIGSTOP)
            struck = time.monotonic()
        else:
            (tmp_path / "armed").touch()
            job.wait_for("the strike", lambda: strikes(tmp_path))
            struck = strikes(tmp_path)[0][0]
        try:
            result = job.wait(deadline + 30)
        except subprocess.TimeoutExpired:
            result = Result(None, job.text("out"), job.text("err"))
        seconds = time.monotonic() - struck
        while (left := job.running()) and time.monotonic() < struck + deadline + 2:
            time.sleep(0.02)
    told = run(0, "postmortem", out)
    assert told.code == 0, told.err
    verdict = told.out.splitlines()[-1]
    as_far = "A hang in which all ranks have come as far: "
    return {"kind": kind, "victim": victim, "code": result.code, "seconds": seconds, "left": left,
            "blamed": [blamed(line) for line in result.errors], "verdict": verdict,
            "in_verdict": blamed(verdict.replace(as_far, "ganymede: ")) if verdict.startswith(as_far) else
            [int(rank) for rank in re.findall(r"rank (\d+) on", verdict)]}


def test_hangs_end_with_86_and_name_the_late_rank(tmp_path, full):
    deadline, count = (10, 50) if full else (3, 6)
    rng = seeded()
    kinds = ["stop", "finalize", "spin"]
    tasks = [(kinds[i % 3], rng.randrange(RANKS), rng.randrange(10**6)) for i in range(count)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        started = [pool.submit(strike, tmp_path / str(i), *task, deadline) for i, task in enumerate(tasks)]
        found = [task.result() for task in started]
    for one in found:
        print(f"{one['kind']:<9} rank {one['victim']}: {one['code']} after {one['seconds']:.1f} s, left {one['left']}, blamed "
              f"{one['blamed']}; {one['verdict']}")
    named = sum(bool(one["blamed"]) and all(ranks == [one["victim"]] for ranks in one["blamed"]) for one in found)
    in_verdict = sum(one["in_verdict"] == [one["victim"]] for one in found)
    print(f"{count} hangs, deadline {deadline} s: ended within {max(one['seconds'] for one in found):.1f} s; late rank named "
          f"in {named}, by the postmortem in {in_verdict}")
    assert all(one["code"] == 86 for one in found)
    assert all(deadline - 0.5 < one["seconds"] < deadline + 2 for one in found)
    assert not any(one["left"] for one in found)
    assert min(named, in_verdict) >= (0.95 * count if full else count - 1)


def test_ranks_that_come_late_are_no_hang(tmp_path, full):
    deadline, most, steps, every = (10, 8000, 2000, 6000) if full else (2.5, 2000, 40, 600)
    (tmp_path / "armed").touch()
    result = run(RANKS, *training(tmp_path / "run", "--watchdog.seconds", deadline, steps=steps), timeout=1500,
                 environment=faults(tmp_path, kind="delay", most=most, every=every))
    assert result.code == 0 and not result.errors, (result.code, result.err)
    delays = [milliseconds for _, _, milliseconds in strikes(tmp_path)]
    print(f"{steps} steps, deadline {deadline} s: {len(delays)} delays, the longest {max(delays) / 1000:.1f} s, no alarm")
    assert len(delays) >= 5 and max(delays) > most / 2
