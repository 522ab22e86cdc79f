"""One flipped bit in the weights or the average of one rank ends the run at the next comparison; of three ranks or
more, the error says which it was."""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from ganymede_runs import DIGITS, ENVIRONMENT, PROGRAM  # noqa: E402

TIMES = 50


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_flipped_bits_are_found(tmp_path, ranks):
    job = subprocess.run(["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none",
                          str(pathlib.Path(PROGRAM).parent / "flipped_bits"), str(DIGITS), str(tmp_path), str(TIMES)],
                         env=ENVIRONMENT, capture_output=True, text=True, timeout=200)
    print(job.stdout, job.stderr)
    assert job.returncode == 8, job.stderr
    named = TIMES if ranks > 2 else 0
    assert (f"{TIMES} of {TIMES} found ({TIMES // 2} in the average), {TIMES} at the next check, {TIMES} with the "
            f"tensor, {named} with the rank named") in job.stdout
    line = next(line for line in job.stderr.splitlines() if line.startswith("ganymede: "))
    assert "net/ema/weight" in line and ("all ranks were the same" in line or "no checkpoint yet" in line), line
    # A checkpoint of a later step would have been made of different weights.
    for run in tmp_path.iterdir():
        saved = sorted(int(folder.name[5:]) for folder in (run / "checkpoints").iterdir())
        assert saved in ([], [10]), saved
