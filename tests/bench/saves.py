#!/usr/bin/env python3
"""What checkpoints cost training, and what comparing the ranks' weights and keeping a chain do.

    tests/bench/saves.py [--pairs 10] [--ranks 2] [--batch 16] [--program build/cpu/ganymede] [--out FOLDER] [OPTIONS ...]

One run, whose every 40th step begins a save: the 20 steps from a save's trigger on, the comparison before it included,
against the 20 steps after those, pair by pair. The network's weights, moments and average are more than 200 MB. Every
fourth step gets a line of the chain, and after it the ranks compare their weights: what these steps and those after them
take longer than others. OPTIONS go to `train`.

Each pair's line has the ratio, and of the save its bytes, the seconds in which training waited for the copy and those
of hashing and writing beside it. The last line is JSON: "ratio" is the median over pairs, "low" and "high" its quartiles,
"compare_share" a comparison's part of the time of the 100 steps between two by default, "chain_share" a line's part of a
step.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
WINDOW = 20
PERIOD = 2 * WINDOW
EVERY = 4
DEFAULT_COMPARED = 100
LEAST_BYTES = 200e6


def train(arguments, others, out):
    """The lines of the run's log."""
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", arguments.ranks] if arguments.ranks > 1 else []
    # The pair after the last save ends where the last step's save begins.
    steps = PERIOD * (arguments.pairs + 1)
    command = [*launcher, arguments.program, "train", "--recipe", "biggan-digits", "--data",
               ROOT / "datasets/samples/digits.h5", "--out", out, "--steps", steps, "--train.threads", 1,
               "--train.batch", arguments.batch, "--biggan.generator_channels", arguments.channels,
               "--biggan.discriminator_channels", arguments.channels, "--gan.d_steps", 1, "--train.device", "cpu",
               "--log.every", 1, "--sample.every", 0, "--checkpoint.every", PERIOD, "--checkpoint.minutes", 0,
               "--train.compare_every", EVERY, "--chain.every", EVERY, *others]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--channels", type=int, default=96)
    parser.add_argument("--program", default=str(ROOT / "build/cpu/ganymede"))
    parser.add_argument("--out", help="where the run goes, and its disk; it is removed")
    arguments, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory(dir=arguments.out) as scratch:
        log = train(arguments, others, pathlib.Path(scratch) / "run")
    clock = {line["step"]: line["seconds"] for line in log}
    saves = {line["save_step"]: line for line in log if "save_step" in line}
    ratios = []
    for begin in range(PERIOD, PERIOD * arguments.pairs + 1, PERIOD):
        save = saves[begin]
        assert save["save_bytes"] >= LEAST_BYTES, f"{save['save_bytes']} bytes: raise --channels"
        with_save = clock[begin + WINDOW] - clock[begin]
        without = clock[begin + PERIOD] - clock[begin + WINDOW]
        ratios.append(with_save / without)
        print(f"step {begin}: {with_save:.3f} s with a save, {without:.3f} s without: {ratios[-1]:.4f};  "
              f"{save['save_bytes'] / 1e6:.0f} MB, copied in {save['save_copy_seconds']:.3f} s, "
              f"written in {save['save_write_seconds']:.3f} s, by step {save['step']}", flush=True)
        assert save["step"] <= begin + WINDOW, "the save reaches into the steps without one"
    # A line comes before its step's report, a comparison behind it. Steps near a save are left out.
    took = {step: clock[step] - clock[step - 1] for step in range(WINDOW, max(clock)) if step % PERIOD > WINDOW}
    median = lambda *behind: statistics.median(seconds for step, seconds in took.items() if step % EVERY in behind)
    linked, compared, usual = median(0), median(1), median(2, 3)
    chain_share, compare_share = linked / usual - 1, (compared / usual - 1) / DEFAULT_COMPARED
    print(f"a step {usual:.4f} s; with a line of the chain {linked:.4f} s, {100 * chain_share:.2f} % more; with a comparison "
          f"{compared:.4f} s, {100 * compare_share:.3f} % of {DEFAULT_COMPARED} steps")
    low, ratio, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    middle = lambda name: statistics.median(save[name] for save in saves.values())
    print(json.dumps({"bench": "saves", "ratio": round(ratio, 4), "low": round(low, 4), "high": round(high, 4),
                      "pairs": len(ratios), "bytes": middle("save_bytes"), "step_seconds": round(usual, 4),
                      "copy_seconds": round(middle("save_copy_seconds"), 4),
                      "write_seconds": round(middle("save_write_seconds"), 4), "compare_share": round(compare_share, 6),
                      "chain_share": round(chain_share, 4)}))


if __name__ == "__main__":
    main()
