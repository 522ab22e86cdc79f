#!/usr/bin/env python3
"""How the FID of four small GANs falls as they train on CIFAR-10.

    tests/bench/curves.py IMAGES.zip OUT [--recipes NAME,...] [--ranks 2] [--scores 10] [--program build/cpu/ganymede]

IMAGES.zip holds train/<class>/ and test/<class>/. Each recipe is trained on the training images and scored --scores
times on the way: 5,000 samples, drawn from random numbers that training never uses, against the 10,000 test images, by
the fixed network of random weights. A table has the first score and the last, their ratio, and Spearman's correlation
of score and step; OUT/<recipe>.png is a grid of the last weights' samples. Finished runs are not repeated.
"""

import argparse
import json
import pathlib
import subprocess

from command import PROGRAM, ROOT, ganymede, pack_cifar

RECIPES = "progressive-cifar-small,stylegan2-cifar-small,biggan-cifar-small,sngan-cifar-small"


def file_of(recipe):
    return ROOT / f"launch/recipes/{recipe}.cfg"


def steps_of(recipe):
    """The recipe's length in steps of one batch."""
    options = dict(line.split(" = ") for line in
                   file_of(recipe).read_text().splitlines() if " = " in line)
    if "kimg" in options:
        return int(float(options["kimg"]) * 1000) // int(options["batch"])
    return int(options["steps"])


def ranks_of(values):
    """1 for the least; equal values share the mean of their ranks."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) + 1) / 2 for value in values]


def spearman(values):
    """Correlation of the values' ranks with 1, 2, 3, ..."""
    ranks, count = ranks_of(values), len(values)
    mean = (count + 1) / 2
    products = [(rank - mean) * (index + 1 - mean) for index, rank in enumerate(ranks)]
    spread = sum((rank - mean) ** 2 for rank in ranks) * sum((index + 1 - mean) ** 2 for index in range(count))
    return sum(products) / spread ** 0.5 if spread else 0


def train(recipe, out):
    run = out / recipe
    every = steps_of(recipe) // arguments.scores
    with open(out / f"{recipe}.log", "a") as log:
        minutes = ganymede(arguments.program, "train", "--recipe", file_of(recipe), "--data", out / "train.h5", "--out",
                           run, "--train.threads", 1, "--log.every", 50, "--sample.every", every, "--evaluate.every",
                           every, "--evaluate.count", 5000, "--evaluate.reference", out / "test.h5",
                           ranks=arguments.ranks, stdout=log, stderr=log)
    ganymede(arguments.program, "sample", "--from", run, "--count", 64, "--seed", 1, "--out", out / f"{recipe}.png",
             stdout=subprocess.DEVNULL)
    scores = {entry["step"]: entry["metrics"]["fid"]["value"]
              for entry in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())}
    return minutes, [score for _, score in sorted(scores.items())]


def main():
    out = arguments.out
    pack_cifar(arguments.program, arguments.images, out)
    print("| recipe | minutes | FID, first | last | ratio | Spearman | all |\n|---|---|---|---|---|---|---|", flush=True)
    for recipe in arguments.recipes.split(","):
        minutes, scores = train(recipe, out)
        print(f"| {recipe} | {minutes:.1f} | {scores[0]:.2f} | {scores[-1]:.2f} | {scores[-1] / scores[0]:.2f} | "
              f"{spearman(scores):.2f} | {' '.join(f'{score:.2f}' for score in scores)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--recipes", default=RECIPES)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--scores", type=int, default=10)
    parser.add_argument("--program", type=pathlib.Path, default=PROGRAM)
    arguments = parser.parse_args()
    main()
