#!/usr/bin/env python3
"""Whether a small diffusion model follows captions that it has not seen: coloured shapes side by side.

    tests/bench/shapes.py OUT [--images 6000] [--steps 6000] [--ranks 2] [--each 8] [--program build/cpu/ganymede]
                              [OPTION VALUE ...]

Draws 16 x 16 images of two shapes of twelve kinds (four colours, three shapes), with captions as "a red square left of
a blue circle"; learns their tokens; trains the recipe text-shapes under mpirun, with OPTIONs of its own; draws --each
images of each caption of the held-out pairs. In training each kind is seen, with most others, but never two kinds of a
held-out pair together. What an image shows is told by `seen_in`, a program of colours and outlines. The table has how
many images fit their captions: true drawings, the same with captions shuffled, and samples. Finished steps are not
repeated.
"""

import argparse
import itertools
import json
import pathlib
import subprocess
import sys

import h5py
import numpy as np

from command import PROGRAM, ganymede

SIDE = 16
COLOURS = {"red": (225, 40, 40), "green": (40, 190, 60), "blue": (60, 90, 235), "yellow": (240, 215, 50)}
BACKGROUND = np.array((20, 20, 24))


def outline(shape):
    """7 x 7 pixels."""
    y, x = np.mgrid[:7, :7]
    return {"square": np.ones((7, 7), bool), "circle": (x - 3) ** 2 + (y - 3) ** 2 <= 12,
            "triangle": abs(x - 3) <= y // 2}[shape]


SHAPES = {name: outline(name) for name in ("square", "circle", "triangle")}
KINDS = list(itertools.product(COLOURS, SHAPES))
PAIRS = list(itertools.combinations(KINDS, 2))


def held_out(seed=0):
    """A fifth of the pairs; every kind is in some that remain."""
    order = np.random.default_rng(seed).permutation(len(PAIRS))
    return [PAIRS[i] for i in sorted(order[:len(PAIRS) // 5])]


def captions_of(pair):
    """Both ways to put it, and what is then on the left and on the right."""
    for first, second in (pair, pair[::-1]):
        yield f"a {' '.join(first)} left of a {' '.join(second)}", (first, second)


def drawing(kinds, rng):
    """[3, 16, 16] bytes: each kind in its half, a little off in brightness."""
    image = np.tile(BACKGROUND[:, None, None], (1, SIDE, SIDE)).astype(float)
    for half, (colour, shape) in enumerate(kinds):
        x, y = 8 * half + rng.integers(0, 2), rng.integers(0, SIDE - 6)
        image[:, y:y + 7, x:x + 7][:, SHAPES[shape]] = np.array(COLOURS[colour])[:, None] * rng.uniform(0.85, 1.05)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def seen_in(image):
    """The kinds on the left and on the right, or None for what is neither shape nor colour. A shape is the outline
    that, somewhere in its half, covers best what differs from the background (intersection over union, at least 0.7);
    its colour is the nearest of most of its pixels, at least four in five."""
    names, palette = list(COLOURS), np.array([BACKGROUND, *COLOURS.values()], float)
    nearest = np.square(image.astype(float)[None] - palette[:, :, None, None]).sum(1).argmin(0)
    found = []
    for half in (nearest[:, :8], nearest[:, 8:]):
        there, best = half > 0, (0, None)
        for shape, mask in SHAPES.items():
            for y, x in itertools.product(range(SIDE - 6), range(2)):
                place = np.zeros_like(there)
                place[y:y + 7, x:x + 7] = mask
                best = max(best, ((place & there).sum() / (place | there).sum(), shape), key=lambda item: item[0])
        counts = np.bincount(half[there], minlength=5)[1:]
        if best[0] < 0.7 or counts.max() < 0.8 * counts.sum():
            found.append(None)
        else:
            found.append((names[counts.argmax()], best[1]))
    return tuple(found)


def make(path, images, seed=1):
    """The captioned set of the pairs that may be seen, as h5py writes it."""
    rng = np.random.default_rng(seed)
    known = [item for pair in PAIRS if pair not in held_out() for item in captions_of(pair)]
    chosen = [known[i] for i in rng.integers(0, len(known), images)]
    with h5py.File(path, "w") as file:
        file["images"] = np.stack([drawing(kinds, rng) for _, kinds in chosen])
        file["captions"] = [caption for caption, _ in chosen]
    return path


def asked(each):
    """Captions of the held-out pairs, `each` times, and what they ask for."""
    every = [item for pair in held_out() for item in captions_of(pair)]
    return [caption for caption, _ in every], [kinds for _, kinds in every for _ in range(each)]


def right(seen, kinds):
    return float(np.mean([found == expected for found, expected in zip(seen, kinds, strict=True)]))


def tokenized(program, path, size=320):
    """Gives a dataset its tokens; returns the options of networks that follow them."""
    ganymede(program, "dataset", "tokenize", path, "--vocabulary", size, stdout=subprocess.DEVNULL)
    with h5py.File(path) as file:
        vocabulary = len(json.loads(file["vocabulary"][0]))
        return ["--text.length", file["tokens"].shape[1], "--text.vocabulary", vocabulary]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--program", default=PROGRAM)
    arguments, options = parser.parse_known_args()
    out, program = arguments.out, arguments.program
    out.mkdir(parents=True, exist_ok=True)
    data, run, samples = out / "shapes.h5", out / "run", out / "samples.h5"
    if not data.exists():
        make(out / "new.h5", arguments.images)
        tokenized(program, out / "new.h5")
        (out / "new.h5").rename(data)
    with h5py.File(data) as file:
        text = ["--text.length", file["tokens"].shape[1], "--text.vocabulary", len(json.loads(file["vocabulary"][0]))]
    with open(out / "train.log", "a") as log:
        minutes = ganymede(program, "train", "--recipe", "text-shapes", "--data", data, "--out", run, "--steps",
                           arguments.steps, "--train.threads", 1, "--log.every", 100, "--sample.every",
                           max(1, arguments.steps // 4), "--sample.count", 16, *text, *options, ranks=arguments.ranks,
                           stdout=log, stderr=log)
    captions, kinds = asked(arguments.each)
    ganymede(program, "sample", "--from", run, "--caption", *captions, "--count", len(kinds), "--out", samples,
             ranks=arguments.ranks)
    rng = np.random.default_rng(2)
    truth = [seen_in(drawing(each, rng)) for each in kinds]
    shuffled = [right(truth, [kinds[i] for i in rng.permutation(len(kinds))]) for _ in range(50)]
    with h5py.File(samples) as file:
        drawn = [seen_in(image) for image in file["images"]]
    figures = {"images": len(kinds), "minutes": round(minutes, 1), "true_renders": right(truth, kinds),
               "shuffled": float(np.mean(shuffled)), "chance": 1 / len(set(kinds)), "samples": right(drawn, kinds)}
    for name in ("true_renders", "shuffled", "chance", "samples"):
        print(f"{name:12} {figures[name]:7.1%}")
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
