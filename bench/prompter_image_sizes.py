#!/usr/bin/env python3
"""A Prompter read at other image sizes than that of training: trains one small model with the Prompter and one with RoIAlign
on generated scenes of 96 px (the quickstart's recipe, shortened) and evaluates both on scenes drawn at twice that size, read
at three sizes. "Moving frequencies" is the same Prompter with encodings of places that follow the grid of the size at hand,
as it was before encoding_grid: a copy of the model directory whose cloc_config.json says so.

    bench/prompter_image_sizes.py --out runs/image_sizes

Finished parts are kept. Needs python3's standard library only; the work is done by the opencloc binary.
"""
import argparse
import json
import math
import pathlib
import shutil

from steps import run

PATCH, TRAINED = 16, 96
ROWS = {"Prompter": "prompter", "Prompter, moving frequencies": "prompter", "RoIAlign": "roi_align"}


def scenes(args, name, count, seed, size):
    folder = args.out / "scenes" / name
    if not folder.exists():
        run([args.opencloc, "data", "scenes", "--config", args.recipe, "--count", count, "--seed", seed, "--size", size,
             "--threads", args.threads, "--out", folder], args.out / "log.txt")
    return folder


def train(args, extractor, data):
    folder = args.out / extractor
    if not (folder / "model").exists():
        run([args.opencloc, "train", "--config", args.recipe, "--region-extractor", extractor, "--steps", args.steps,
             "--seed", 1, "--data", data, "--threads", args.threads, "--workers", 1, "--report-pictures", 0, "--out", folder],
            args.out / "log.txt")
    return folder / "model"


def with_moving_frequencies(args, model, size):
    folder = args.out / f"moving_{size}"
    if not folder.exists():
        shutil.copytree(model, folder)
        path = folder / "cloc_config.json"
        config = json.loads(path.read_text())
        config["cloc"]["encoding_grid"] = size // PATCH
        path.write_text(json.dumps(config, indent=2))
    return folder


def evaluate(args, model, method, data, size, out):
    if not out.exists():
        run([args.opencloc, "eval", "--config", args.recipe, "--model", model, "--data", data, "--image-size", size,
             "--region-method", method, "--tasks", "retrieval,region_recognition,grounding", "--threads", args.threads,
             "--out", out], args.out / "log.txt")
    return json.loads(out.read_text())


def cell(value, n):
    """A share in per cent with its binomial standard error."""
    return f"{100 * value:.1f} ± {100 * math.sqrt(value * (1 - value) / n):.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--recipe", default="configs/quickstart/recipe.toml")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--scenes", type=int, default=12000)
    parser.add_argument("--val", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 144, 192])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train_data = scenes(args, "train", args.scenes, 1, TRAINED)
    val = scenes(args, "val", args.val, 2, 2 * TRAINED)
    models = {extractor: train(args, extractor, train_data) for extractor in ("prompter", "roi_align")}
    print("| | size | region acc1 % | class mean % | grounding acc@0.5 % | image R@1 % |\n|---|---|---|---|---|---|")
    for row, extractor in ROWS.items():
        for size in args.sizes:
            model, name = models[extractor], f"{extractor}_{size}"
            if "moving" in row:
                model, name = with_moving_frequencies(args, model, size), f"moving_{size}_result"
            result = evaluate(args, model, extractor, val, size, args.out / f"{name}.json")
            regions, grounding, images = (result[t] for t in ("region_recognition", "grounding", "retrieval"))
            print(f"| {row} | {size} | {cell(regions['acc1'], regions['n'])} | {100 * regions['mean_per_class_recall']:.1f} | "
                  f"{cell(grounding['acc@0.5'], grounding['n'])} | "
                  f"{cell(images['image_retrieval_recall@1'], images['texts'])} |", flush=True)


if __name__ == "__main__":
    main()
