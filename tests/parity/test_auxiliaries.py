"""Each auxiliary task in one step of training against its reference, and what it refuses.

A task needs <gan.auxiliary>_auxiliary.py beside this, with CASES and REFUSED. BIGGAN_STEP is the path of the program.
"""

import importlib
import os
import subprocess
from pathlib import Path

import pytest

from step_comparison import RECIPES, assert_double_precision, assert_single_precision

HEADERS = Path(__file__).parents[2] / "models" / "gan" / "auxiliaries"
TASKS = {path.stem.removesuffix("_auxiliary"): importlib.import_module(path.stem)
         for path in Path(__file__).parent.glob("*_auxiliary.py")}
CASES = {f"{task}-{name}": case for task, module in TASKS.items() for name, case in module.CASES.items()}
REFUSED = {f"{task}: {name}": case for task, module in TASKS.items() for name, case in module.REFUSED.items()}


def test_every_task_has_a_reference():
    assert TASKS and TASKS.keys() == {path.stem for path in HEADERS.glob("*.h")}


@pytest.mark.parametrize("case", CASES)
def test_double_precision(case, tmp_path):
    assert_double_precision(case, CASES[case], tmp_path)


@pytest.mark.parametrize("case", [next(name for name in CASES if name.startswith(task)) for task in TASKS])
def test_single_precision(case, tmp_path):
    assert_single_precision(case, CASES[case], tmp_path)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_defined_is_refused(case, tmp_path):
    arguments, reason = REFUSED[case]
    recipe, *changes = arguments.split()
    changes = [change for change in changes if not change.startswith(("perturb=", "updates="))]
    found = subprocess.run([os.environ["BIGGAN_STEP"], RECIPES / f"{recipe}.cfg", tmp_path / "out", *changes],
                           capture_output=True, text=True)
    assert found.returncode == 2 and reason in found.stderr, found.stderr
