#!/usr/bin/env python3
"""A Prompter on a CLIP that is there already: trains region heads on the frozen towers of a CLIP directory (Prompter;
RoIAlign and a projection), and a CLOC that starts from that CLIP with nothing frozen, several seeds each, and puts them
beside the CLIP itself and beside a CLOC from scratch.

    ./quickstart
    bench/frozen_tower.py --quickstart runs/quickstart --out runs/frozen --seeds 3

Finished runs are kept. Needs python3's standard library only; the work is done by the opencloc binary.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics

from steps import run

LOCKED = ["--lock-image", "--lock-text"]
# name -> flags beside --init CLIP, region method
ROWS = {
    "Prompter on the frozen CLIP": (LOCKED, "prompter"),
    "RoIAlign on the frozen CLIP": (LOCKED + ["--region-extractor", "roi_align"], "roi_align"),
    "CLOC, fine-tuned from the CLIP": ([], "prompter"),
}


def folder_of(args, row, seed):
    return args.out / f"{''.join(c if c.isalnum() else '_' for c in row)}_s{seed}"


def train_and_evaluate(args, row, seed):
    folder, (flags, method) = folder_of(args, row, seed), ROWS[row]
    if (folder / "val.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    scenes, log = args.quickstart / "scenes", folder / "log.txt"
    run([args.opencloc, "train", "--config", args.recipe, "--init", args.quickstart / "clip/model",
         "--data", scenes / "train", "--steps", args.steps, "--seed", seed, "--threads", 1,
         "--workers", 1, "--report-pictures", 0, *flags, "--out", folder / "train"], log)
    evaluate(args, folder / "train/model", method, folder / "val.json", log)


def evaluate(args, model, method, out, log):
    run([args.opencloc, "eval", "--model", model, "--data", args.quickstart / "scenes/val", "--region-method", method,
         "--tasks", "retrieval,region_recognition,grounding", "--threads", 1, "--out", out], log)


def cell(values):
    values = [100 * v for v in values if v is not None]
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def line(name, results):
    figures = [("region_recognition", "acc1"), ("region_recognition", "mean_per_class_recall"),
               ("region_recognition", "within_image_acc1"), ("grounding", "acc@0.5"),
               ("retrieval", "image_retrieval_recall@1")]
    cells = [cell([r.get(task, {}).get(key) for r in results]) for task, key in figures]
    return f"| {name} | {len(results)} | " + " | ".join(cells) + " |"


def table(args):
    lines = ["| | runs | region acc1 % | class mean % | right name among the picture's % | grounding acc@0.5 % | image R@1 % |",
             "|---" * 7 + "|"]
    for name, path in (("CLIP, crop", args.out / "clip_crop.json"), ("CLIP, RoIAlign", args.out / "clip_roi_align.json"),
                       ("CLOC from scratch", args.out / "scratch.json")):
        lines.append(line(name, [json.load(open(path))]))
    for row in ROWS:
        paths = [folder_of(args, row, s) / "val.json" for s in range(1, args.seeds + 1)]
        results = [json.load(open(p)) for p in paths if p.exists()]
        if results:
            lines.append(line(row, results))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quickstart", type=pathlib.Path, default=pathlib.Path("runs/quickstart"))
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--recipe", default="configs/quickstart/recipe.toml")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", default="", help="only rows with this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time, a core each")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    log = args.out / "log.txt"
    for model, method, out in (("clip", "crop", "clip_crop"), ("clip", "roi_align", "clip_roi_align"),
                               ("cloc", "prompter", "scratch")):
        if not (args.out / f"{out}.json").exists():
            evaluate(args, args.quickstart / model / "model", method, args.out / f"{out}.json", log)
    work = [(row, seed) for seed in range(1, args.seeds + 1) for row in ROWS if args.rows in row]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in [pool.submit(train_and_evaluate, args, *item) for item in work]:
            done.result()
    print(table(args))


if __name__ == "__main__":
    main()
