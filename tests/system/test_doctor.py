"""ganymede doctor finds what is wrong with ranks, dataset and run folder, names rank and host, and leaves nothing there."""

import fcntl
import os
import re
import shutil
import signal
import socket
import threading
import time

import pytest

from ganymede_runs import DIGITS, OWN_MOUNTS, PROGRAM, Job, kill, run, some_digits, write_dataset

HOST = socket.gethostname()
CHECKS = ["arguments", "ranks", "versions", "cores", "memory", "devices", "speed", "all-reduce", "links", "dataset",
          "run folder"]
# In the place of rank 1, of those that see other mounts than rank 0.
RANK_1_MOUNTS = f'[ "$OMPI_COMM_WORLD_RANK" = 0 ] || exec {" ".join(OWN_MOUNTS)} sh -c \'{{}} && exec "$@"\' sh "$@"'


def verdicts(text):
    """State and text by check, in the order of the lines."""
    found = [re.fullmatch(r"(ok|skipped|warning|FAILED) +(\S+(?: \S+)?)  +(\S.*)", line) for line in text.splitlines()]
    assert all(found), text
    return {line[2]: (line[1], line[3]) for line in found}


def examine(ranks, *arguments, code=0, **how):
    result = run(ranks, "doctor", *arguments, **how)
    print(result.out, result.err)
    assert result.code == code, (result.code, result.out, result.err)
    assert len(result.errors) == (0 if code == 0 else 1) and "bug:" not in result.err, result.err
    table = verdicts(result.out)
    assert list(table) == CHECKS
    return table


def failures(table):
    return {name: text for name, (state, text) in table.items() if state == "FAILED"}


@pytest.mark.parametrize("ranks", [0, 2, 4])
def test_healthy(tmp_path, ranks):
    out = tmp_path / "new" / "run"
    begin = time.monotonic()
    table = examine(ranks, "--data", DIGITS, "--out", out)
    print(f"{time.monotonic() - begin:.1f} s")
    assert failures(table) == {}
    assert re.search(r"ganymede [\d.]+ \([0-9a-f]{16}\), libtorch [\d.]+, Open MPI v[\d.]+, HDF5 [\d.]+", table["versions"][1])
    assert "1,797 images of 1 x 32 x 32" in table["dataset"][1]
    assert table["run folder"][0] in ("ok", "warning") and "16 MiB written" in table["run folder"][1]
    assert float(re.search(r"([\d.e+]+) GFLOP/s", table["speed"][1])[1]) > 0
    assert not list(tmp_path.iterdir())
    if not ranks:
        assert table["all-reduce"][0] == table["links"][0] == "skipped"
        return
    assert table["ranks"] == ("ok", f"{ranks} on 1 host: {ranks} on {HOST}")
    assert "the same on all ranks" in table["dataset"][1]
    rates = [float(rate) for rate in re.findall(r"([\d.e+-]+) GB/s", table["all-reduce"][1])]
    assert rates and min(rates) > 0
    assert table["links"][0] in ("ok", "warning") and "within a host" in table["links"][1]
    pairs = ranks * (ranks - 1) // 2
    assert f"within a host: {pairs} of {pairs} pairs, " in table["links"][1], table["links"][1]


def test_without_dataset_and_folder():
    table = examine(0)
    assert table["dataset"][0] == table["run folder"][0] == "skipped"


def test_what_is_there_stays(tmp_path):
    out = tmp_path / "run"
    (out / "samples").mkdir(parents=True)
    (out / "config.cfg").write_text("[train]\n")
    examine(2, "--out", out)
    assert sorted(path.name for path in out.iterdir()) == ["config.cfg", "samples"]


def test_help_tells_every_check():
    result = run(0, "doctor", "--help")
    assert result.code == 0 and all(f"  {check}" in result.out for check in CHECKS), result.out


def test_wrong_arguments():
    for arguments in (["--slow", "0.5"], ["--device", "tpu"], ["data.h5"]):
        result = run(0, "doctor", *arguments)
        assert result.code == 2 and len(result.errors) == 1 and not result.out, result


# ------------------------------------------------------------------------------------------------- ranks


def test_ranks_with_other_arguments(tmp_path):
    other = shutil.copy(DIGITS, tmp_path / "other.h5")
    table = examine(2, "--data", DIGITS, code=2, each=f'[ "$OMPI_COMM_WORLD_RANK" = 0 ] || set -- "$1" "$2" --data {other}')
    assert failures(table).keys() == {"arguments"}
    assert f"rank 1 on {HOST}" in table["arguments"][1]


def test_a_rank_with_another_build(tmp_path):
    other = shutil.copy(PROGRAM, tmp_path / "other")
    with open(other, "ab") as file:
        file.write(b"another")
    table = examine(3, code=2, each=f'[ "$OMPI_COMM_WORLD_RANK" != 1 ] || {{ shift; set -- {other} "$@"; }}')
    text = failures(table)["versions"]
    assert failures(table).keys() == {"versions"} and text.startswith(f"rank 1 on {HOST} runs other versions"), text


def test_tasks_of_srun_that_stand_alone():
    table = examine(0, code=2, environment={"SLURM_STEP_NUM_TASKS": "4"})
    assert "--mpi=pmix" in failures(table)["ranks"]


def test_a_slow_rank_is_named():
    with Job(3, "doctor") as job:
        job.wait_for("the ranks", lambda: "arguments" in job.text("out"))
        victim = job.ranks()[2]
        pause = threading.Event()

        def slow_down():
            while not pause.wait(0.002):
                kill(victim, signal.SIGSTOP)
                time.sleep(0.05)
                kill(victim, signal.SIGCONT)

        thread = threading.Thread(target=slow_down)
        thread.start()
        result = job.wait()
        pause.set()
        thread.join()
    assert result.code == 0, result
    state, text = verdicts(result.out)["speed"]
    print(text)
    # Process numbers follow the ranks' own on one host.
    assert state == "warning" and "rank 2 on" in text, text


def test_a_stopped_rank_ends_the_job():
    with Job(2, "doctor", "--watchdog.seconds", 3) as job:
        job.wait_for("the ranks", lambda: "arguments" in job.text("out"))
        kill(job.ranks()[1], signal.SIGSTOP)
        begin = time.monotonic()
        result = job.wait()
        print(f"{time.monotonic() - begin:.1f} s", result.err)
    assert result.code == 86 and "rank 1 is late" in result.err, (result.code, result.err)


# ------------------------------------------------------------------------------------------------- dataset


def test_truncated_dataset(tmp_path):
    data = shutil.copy(DIGITS, tmp_path / "cut.h5")
    os.truncate(data, os.path.getsize(data) // 2)
    table = examine(2, "--data", data, "--out", tmp_path / "run", code=3)
    assert failures(table).keys() == {"dataset"} and str(data) in table["dataset"][1]
    assert table["run folder"][0] in ("ok", "warning")


def test_a_damaged_image_is_found_where_it_is_read(tmp_path):
    data = shutil.copy(DIGITS, tmp_path / "damaged.h5")
    with open(data, "r+b") as file:
        content = bytearray(file.read())
        middle = len(content) // 2
        content[middle:middle + 4096] = bytes(byte ^ 255 for byte in content[middle:middle + 4096])
        file.seek(0)
        file.write(content)
    table = examine(3, "--data", data, code=3)
    assert "digest" in failures(table)["dataset"], table["dataset"]


def test_a_dataset_that_differs_on_one_rank(tmp_path):
    data, other = tmp_path / "data.h5", tmp_path / "other.h5"
    images, labels = some_digits(64)
    write_dataset(data, images, labels)
    write_dataset(other, images, labels[::-1].copy())
    table = examine(2, "--data", data, code=3, each=RANK_1_MOUNTS.format(f'mount --bind "{other}" "{data}"'))
    assert f"rank 1 on {HOST}" in failures(table)["dataset"] and "rank 0" not in table["dataset"][1], table["dataset"]


# ------------------------------------------------------------------------------------------------- run folder


def test_read_only_folder(tmp_path):
    out = tmp_path / "run"
    table = examine(2, "--out", out, code=5, mounted=f"mount -t tmpfs -o ro tmpfs '{tmp_path}'")
    assert "Read-only" in failures(table)["run folder"] and str(out) in table["run folder"][1]


def test_full_folder(tmp_path):
    mounted = f"""mount -t tmpfs -o size=2m tmpfs '{tmp_path}' && {{ "$@"; code=$?; echo "left: $(ls -A '{tmp_path}')." >&2; exit $code; }}"""
    result = run(2, "doctor", "--out", tmp_path / "run", mounted=mounted)
    print(result.out)
    assert result.code == 5 and "No space left" in failures(verdicts(result.out))["run folder"]
    assert "left: .\n" in result.err, result.err


def test_a_folder_that_one_rank_does_not_see(tmp_path):
    table = examine(2, "--out", tmp_path / "run", code=5, each=RANK_1_MOUNTS.format(f'mount -t tmpfs tmpfs "{tmp_path}"'))
    text = failures(table)["run folder"]
    assert f"rank 1 on {HOST}" in text and "rank 0 has written" in text
    assert not list(tmp_path.iterdir())


def test_busy_folder(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with open(out / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("somebody\n")
        lock.flush()
        table = examine(2, "--out", out, code=5)
    assert "in use by somebody" in failures(table)["run folder"]
    assert [path.name for path in out.iterdir()] == [".lock"]
