"""compare_logs.py LOG.jsonl LOG.jsonl ...: whether runs report the same losses at the same steps, up to rounding."""
import json
import sys

BOUND = 1e-6


def main(paths):
    runs = [[json.loads(line) for line in open(path)] for path in paths]
    worst = 0
    for path, run in zip(paths[1:], runs[1:]):
        assert [entry["step"] for entry in run] == [entry["step"] for entry in runs[0]], f"{path}: other steps"
        for entry, expected in zip(run, runs[0]):
            for name in ("loss_d", "loss_g", "real_logit", "fake_logit"):
                error = abs(entry[name] - expected[name]) / (1 + abs(expected[name]))
                worst = max(worst, error)
                assert error <= BOUND, f"{path}, step {entry['step']}: {name} is {entry[name]}, not {expected[name]}"
    print(f"the losses of {len(runs)} runs agree up to {worst:.1e}")


main(sys.argv[1:])
