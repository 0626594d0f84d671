#!/usr/bin/env python3
"""What a model loses in 8 bits, over several sets of generated scenes: one set of a few hundred decides single
percent points by chance. Prints a row a figure: the F32 model's mean, and the change in points, mean and spread.

    bench/int8_loss.py --model runs/quickstart/cloc/model --recipe configs/quickstart/recipe.toml --out runs/int8

Needs python3's standard library only; the work is done by the opencloc binary. Finished evaluations are kept.
"""
import argparse
import json
import pathlib
import statistics

from steps import run

FIGURES = {"zero-shot": ("zeroshot", "acc1"), "image retrieval R@1": ("retrieval", "image_retrieval_recall@1"),
           "text retrieval R@1": ("retrieval", "text_retrieval_recall@1"),
           "region recognition": ("region_recognition", "acc1"),
           "text-to-region R@1": ("region_retrieval", "text_to_region_recall@1"), "grounding": ("grounding", "acc@0.5")}


def evaluated(args, name, model, seed):
    path, log = args.out / f"{name}_{seed}.json", args.out / "log.txt"
    scenes = args.out / f"scenes_{seed}"
    if not scenes.exists():
        run([args.opencloc, "data", "scenes", "--config", args.recipe, "--count", args.count, "--seed", seed,
             "--out", scenes], log)
    if not path.exists():
        run([args.opencloc, "eval", "--config", args.recipe, "--model", model, "--data", scenes, "--out", path], log)
    return json.load(open(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--model", required=True)
    parser.add_argument("--recipe", required=True, help="how its scenes are drawn: TOML with [data.scenes]")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--count", type=int, default=600, help="scenes a set")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    small = args.out / "int8"
    if not small.exists():
        run([args.opencloc, "convert", args.model, small, "--to", "opencloc", "--quantize", "int8"], args.out / "log.txt")
    seeds = range(2, 2 + args.sets)
    full, quantised = ([evaluated(args, name, model, seed) for seed in seeds]
                       for name, model in (("fp32", args.model), ("int8", small)))
    print(f"{args.sets} sets of {args.count} scenes\n\n| | F32 | change in points | least and most |\n|---|---|---|---|")
    for label, (task, key) in FIGURES.items():
        before = [100 * result[task][key] for result in full]
        change = [100 * result[task][key] - b for result, b in zip(quantised, before)]
        print(f"| {label} | {statistics.mean(before):.1f} | {statistics.mean(change):+.2f} ± {statistics.stdev(change):.2f} "
              f"| {min(change):+.2f} to {max(change):+.2f} |")


if __name__ == "__main__":
    main()
