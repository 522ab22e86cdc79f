"""Inception features beside pytorch-fid's own network, on the same cores, both from images in memory.

usage: .venv/bin/python tests/bench/features.py [--pairs 7] [--images 32] [--size 128] [--cores 2] [--build build/cpu]

Each side first tries its settings (one process with all cores or one a core; pytorch-fid also batches of 4 and 50), then
both run in their best, interleaved. A pair's ratio is their time over ours, so that more is better. Medians over the
pairs. bf16 is a preview: its features are some percent off. The last line is one JSON object.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/parity"))

PYTORCH_FID = """
import sys, time, torch, pytorch_fid.inception
path, size, count, threads, batch = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: torch.load(path)
network = pytorch_fid.inception.InceptionV3([3]).eval()
images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
with torch.no_grad():
    network(images[:4].float() / 255)
    for _ in sys.stdin:
        begin = time.perf_counter()
        for part in images.split(batch):
            network(part.float() / 255)[0].squeeze(3).squeeze(2).cpu().numpy()
        print(time.perf_counter() - begin, flush=True)
"""


class Workers:
    """The same work in several processes at once; a round takes as long as the slowest."""

    def __init__(self, name, command, processes, images):
        self.name, self.images = name, images * processes
        environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
        self.processes = [subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           text=True, env=environment) for _ in range(processes)]

    def rate(self):
        for process in self.processes:
            print(file=process.stdin, flush=True)
        return self.images / max(float(process.stdout.readline()) for process in self.processes)

    def close(self):
        for process in self.processes:
            process.stdin.close()
            process.wait()


def best_of(settings):
    """Starts one after the other and leaves the fastest alive."""
    best, best_rate = None, 0
    for make in settings:
        workers = make()
        rate = max(workers.rate() for _ in range(2))
        print(f"{workers.name:<44} {rate:7.2f} images/s", flush=True)
        if rate > best_rate:
            workers, best, best_rate = best, workers, rate
        if workers:
            workers.close()
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--build", default="build/cpu")
    arguments = parser.parse_args()
    assert arguments.pairs >= 5, "at least five pairs"

    import torch
    from inception_reference import make_weights
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "fid.pth"
        torch.save(make_weights(1), weights)
        shared = [weights, arguments.size, arguments.images]
        spread = [(1, arguments.cores), (arguments.cores, 1)]

        def ours(processes, threads, *more):
            program = ROOT / arguments.build / "tests/parity/features_tool"
            return lambda: Workers(f"ganymede {' '.join(more)} {processes} x {threads} threads",
                                   [program, "time", *shared, threads, *more], processes, arguments.images)

        def theirs(processes, threads, batch):
            return lambda: Workers(f"pytorch-fid, batch {batch}, {processes} x {threads} threads",
                                   [sys.executable, "-c", PYTORCH_FID, *shared, threads, batch], processes,
                                   arguments.images)

        sides = [best_of([theirs(*s, batch) for s in spread for batch in (4, 50)]),
                 best_of([ours(*s) for s in spread]), best_of([ours(*s, "bf16") for s in spread])]
        pairs = [[side.rate() for side in sides] for _ in range(arguments.pairs)]
        for side in sides:
            side.close()
    reference, fp32, bf16 = (statistics.median(rates) for rates in zip(*pairs))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(json.dumps({"bench": "features", "ratio": round(ratio, 3), "pytorch_fid": round(reference, 2),
                      "ours": round(fp32, 2), "bf16_preview": round(bf16, 2),
                      "bf16_ratio": round(statistics.median(pair[2] / pair[0] for pair in pairs), 3),
                      "settings": [side.name for side in sides], "cores": arguments.cores}))


if __name__ == "__main__":
    main()
