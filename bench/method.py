#!/usr/bin/env python3
"""What the method's options are worth, each against the default recipe: paired by seed, in several worlds.

    bench/method.py --out runs/method                                       (all rows and worlds, 5 seeds: days of a core)
    bench/method.py --out runs/method --worlds repeated --rows default,TIC --seeds 3      (a part of it)
    bench/method.py --out runs/method --list                                (the rows)
    bench/method.py --out runs/method --table                               (the tables of what is there)

Worlds: scenes (as in bench/cloc_works.py); repeated (names that occur several times in a picture, texts that tell them
apart or name their neighbours); harder (the same with second names, tiny objects and forms held out for evaluation);
mosaics (of photos, with free cuts; needs --shared); mosaics with even cuts. Noise on boxes and labels: --noise.

A run's figures: region recognition by names (instances, class mean, within the picture), region retrieval with phrases both
ways, grounding by the BoxHead minus the best constant box, the same by search over boxes, image R@1. Beside the mean
over seeds stand their deviation and the binomial error of one run, which all rows share. Verdicts are by pairs of equal
seeds (bench/steps.py). Finished parts are kept: call it again to go on. Needs python3's standard library only.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import time

from steps import file_name, found_seeds, merged, once, run, tables, value_at

# name -> flags of `opencloc train` beside those of all rows; a flag given here replaces theirs.
ROWS = {
    "default": [],
    "TIC": ["--text-contrast-weight", "0.1"],
    "TIC all pairs": ["--text-contrast-weight", "0.1", "--text-contrast-threshold", "1"],
    "TIC 0.3": ["--text-contrast-weight", "0.3"],
    "text lr 1": ["--text-lr-scale", "1"],
    "text lr 1 TIC": ["--text-lr-scale", "1", "--text-contrast-weight", "0.1"],
    "text lr 1 TIC all pairs": ["--text-lr-scale", "1", "--text-contrast-weight", "0.1", "--text-contrast-threshold", "1"],
    "integrated box": ["--box-encoding", "integrated"],
    "RoIAlign": ["--region-extractor", "roi_align"],
    "several layers": ["--prompter-layers", "several"],
    "RoIAlign several layers": ["--region-extractor", "roi_align", "--prompter-layers", "several"],
    "filter none": ["--text-filter", "none"],
    "filter off": ["--text-filter", "off"],
    "filter 0.95": ["--text-filter", "0.95"],
    "region scale 7": ["--region-logit-scale-init", "7"],
    "region scale 30": ["--region-logit-scale-init", "30"],
    "phrases": ["--phrase", "0.5"],
    "hard negatives": ["--hard-negative-weight", "0.3"],
    "phrases hard negatives": ["--phrase", "0.5", "--hard-negative-weight", "0.3"],
    "attention": ["--attention-weight", "0.1"],
    "attention 0.3": ["--attention-weight", "0.3"],
    "crops": ["--crop-distill-weight", "1"],
    "crops 0.3": ["--crop-distill-weight", "0.3"],
    "RoIAlign crops": ["--region-extractor", "roi_align", "--crop-distill-weight", "1"],
    # Half of the side is a quarter of the patches: the same samples for about a third of the image tower's work.
    "48 px for 0.8": ["--image-size-schedule", "48:0.8"],
    "48 px for 0.5": ["--image-size-schedule", "48:0.5"],
    "48 px for 0.8 twice the samples": ["--image-size-schedule", "48:0.8"],
    "TIC integrated": ["--text-contrast-weight", "0.1", "--box-encoding", "integrated"],
    "TIC integrated layers": ["--text-contrast-weight", "0.1", "--box-encoding", "integrated", "--prompter-layers",
                              "several"],
}
# Rows that see so many times the samples of the others.
TIMES = {"48 px for 0.8 twice the samples": 2}
REPEATED = ["--repeat-names", "0.4", "--context", "0.3", "--negatives", "3"]
HARDER = REPEATED + ["--synonyms", "0.25", "--tiny", "0.15"]
# name -> flags of `opencloc data scenes` for training and evaluation, or those of `data mosaic`.
WORLDS = {
    "scenes": (["--negatives", "3"], ["--negatives", "3"]),
    "repeated": (REPEATED, REPEATED),
    "harder": (HARDER + ["--variants", "train"], HARDER + ["--variants", "held-out"]),
    "mosaics": ["--grid", "2", "--least-tile", "0.5"],
    "mosaics even": ["--grid", "2"],
}
# name -> flags of `opencloc eval`.
EVALS = {
    "names": ["--tasks", "retrieval,region_recognition", "--region-text", "name"],
    "phrases": ["--tasks", "region_retrieval", "--region-text", "phrase"],
    "grounding": ["--tasks", "grounding"],
    "search": ["--tasks", "grounding", "--ground-by", "search"],
}
# title, figure ("evaluation/task/figure"), figure that is taken off.
FIGURES = [
    ("region acc", "names/region_recognition/acc1", None),
    ("class mean", "names/region_recognition/mean_per_class_recall", None),
    ("within picture", "names/region_recognition/within_image_acc1", None),
    ("r2t R@1", "phrases/region_retrieval/region_to_text_recall@1", None),
    ("r2t R@10", "phrases/region_retrieval/region_to_text_recall@10", None),
    ("t2r R@1", "phrases/region_retrieval/text_to_region_recall@1", None),
    ("t2r R@10", "phrases/region_retrieval/text_to_region_recall@10", None),
    ("grounding - constant", "grounding/grounding/acc@0.5", "grounding/grounding/best_constant_box/acc@0.5"),
    ("by search - constant", "search/grounding/acc@0.5", "search/grounding/best_constant_box/acc@0.5"),
    ("image R@1", "names/retrieval/image_retrieval_recall@1", None),
]
NOISE = ["--box-jitter", "0.2", "--label-noise", "0.2"]


def make_data(args, world):
    """Training and evaluation data, and a tokenizer for all runs of the world."""
    data, log = args.out / "data" / file_name(world), args.out / "log.txt"
    flags = WORLDS[world]
    for number, (part, count) in enumerate([("train", args.distinct), ("val", args.test)]):
        if (data / part).exists():
            continue
        if isinstance(flags, tuple):
            run([args.opencloc, "data", "scenes", "--count", count, "--size", args.size, "--names", args.names, "--seed",
                 number + 1, "--samples-per-shard", 1000, *flags[number], "--out", data / part], log)
        else:
            photos = args.shared / "data/tiny_imagenet" / f"{part}-*.tar.gz"
            run([args.opencloc, "data", "mosaic", "--data", photos, "--count", count, "--size", args.size, "--seed", number + 1,
                 "--regions", "tiles", *flags, "--out", data / part], log)
    tokenizer = data / "tokenizer.model"
    if not tokenizer.exists():
        folder = data / "tokenizer_run"
        run([args.opencloc, "train", "--data", data / "train", "--model", args.model, "--steps", 1, "--batch-size", 8,
             "--report-pictures", 0, "--threads", 1, "--workers", 1, "--resume", "none", "--overwrite", "--out", folder], log)
        os.link(folder / "model/tokenizer.model", tokenizer)


def folder_of(args, world, row, seed):
    noise = "_noisy" if args.noise else ""
    return args.out / file_name(world) / f"{file_name(row)}{noise}_s{seed}"


def train(args, world, row, seed):
    folder, data = folder_of(args, world, row, seed), args.out / "data" / file_name(world)
    log = folder / "log.txt"
    common = args.train_flags.split() + (NOISE if args.noise else [])
    common += ["--lr", args.lr, "--warmup", args.warmup, "--batch-size", args.batch_size]
    if world.startswith("mosaics"):  # captions of four photos are long
        common += ["--context-length", "64"]

    def make():
        start = time.time()
        run([args.opencloc, "train", "--objective", "cloc", "--data", data / "train", "--model", args.model, "--tokenizer",
             data / "tokenizer.model", "--samples", args.samples * TIMES.get(row, 1), "--seed", seed, "--threads",
             args.threads, "--workers", 1, *merged(ROWS[row], common), "--out", folder / "run"], log)
        results = {"train_seconds": time.time() - start}
        for name, flags in EVALS.items():
            out = folder / f"{name}.json"
            run([args.opencloc, "eval", "--model", folder / "run/model", "--data", data / "val", *flags, "--threads",
                 args.threads, "--out", out], log)
            results[name] = json.loads(out.read_text())
        print(f"{world}, {row}, seed {seed}: {results['train_seconds']:.0f} s", flush=True)
        return results

    return once(folder / "results.json", make)


def found(args, world, row):
    return found_seeds(lambda seed: folder_of(args, world, row, seed), args.seeds)


def sizes_of(runs):
    """Figures by size, where the evaluation has them."""
    sizes = value_at(next(iter(runs.values()), {}), "names/region_recognition/by_size") or {}
    return [(f"acc, {size}", f"names/region_recognition/by_size/{size}/acc1", None) for size in sizes]


def table(args, world):
    runs = {row: found(args, world, row) for row in ROWS}
    figures = FIGURES + sizes_of(runs["default"])
    return f"### {world}{', noisy' if args.noise else ''}\n\n" + tables(
        runs, figures, lambda row: None if row == "default" else "default")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
    parser.add_argument("--rows", default=",".join(ROWS), help="names by comma")
    parser.add_argument("--worlds", default="scenes,repeated,mosaics", help="names by comma")
    parser.add_argument("--noise", action="store_true", help="boxes and labels as noisy as a detector's")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=38400, help="that each run sees")
    parser.add_argument("--distinct", type=int, default=20000, help="pictures made for training")
    parser.add_argument("--test", type=int, default=5000, help="pictures made for evaluation")
    parser.add_argument("--names", type=int, default=40, help="of the scenes' objects")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--model", default="ViT-XXS-16-96")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", default="2e-3")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--train-flags", help="of all rows, '--name value' each",
                        default="--text-lr-scale 0.1 --wd 0.1 --augment off --report-pictures 0 --precision bf16")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--table", action="store_true", help="write the tables of what is there and stop")
    parser.add_argument("--list", action="store_true", help="write the rows and stop")
    args = parser.parse_args()
    rows, worlds = args.rows.split(","), args.worlds.split(",")
    for name, known in [(row, ROWS) for row in rows] + [(world, WORLDS) for world in worlds]:
        if name not in known:
            parser.error(f"'{name}' is none of: {', '.join(known)}")
    if args.list:
        for row, flags in ROWS.items():
            print(f"{row}: {' '.join(flags)}")
        return
    if not args.table:
        for world in worlds:
            make_data(args, world)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            # Regions of mosaics have no wrong texts.
            work = [(world, row, seed) for seed in range(1, args.seeds + 1) for world in worlds for row in rows
                    if not (world.startswith("mosaics") and "--hard-negative-weight" in ROWS[row])]
            for done in [pool.submit(train, args, *item) for item in work]:
                done.result()
    for world in worlds:
        print(table(args, world))


if __name__ == "__main__":
    main()
