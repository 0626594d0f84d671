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
import math
import os
import pathlib
import statistics

from steps import once, run, value_at

LOCKED = ["--lock-image", "--lock-text"]
# name -> flags beside --init CLIP, region method
ROWS = {
    "Prompter on the frozen CLIP": (LOCKED, "prompter"),
    "RoIAlign on the frozen CLIP": (LOCKED + ["--region-extractor", "roi_align"], "roi_align"),
    "CLOC, fine-tuned from the CLIP": ([], "prompter"),
}


def recipe_for_init(args):
    """The recipe without the model: --init says which it is."""
    path = args.out / "recipe.toml"
    lines = pathlib.Path(args.recipe).read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("model =")))
    return path


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


# Of the image sizes: name -> flags beside --init CLIP, region method; None: the CLIP itself.
SIZE_ROWS = {
    "CLIP, crop": (None, "crop"),
    "CLIP, RoIAlign": (None, "roi_align"),
    "Prompter on the frozen CLIP": (LOCKED, "prompter"),
    "RoIAlign on the frozen CLIP": (LOCKED + ["--region-extractor", "roi_align"], "roi_align"),
}
# title, figure, how many things it is a share of
SIZE_FIGURES = [("region acc1", "region_recognition/acc1", "region_recognition/n"),
                ("small boxes", "region_recognition/by_size/small/acc1", "region_recognition/by_size/small/n"),
                ("medium", "region_recognition/by_size/medium/acc1", "region_recognition/by_size/medium/n"),
                ("large", "region_recognition/by_size/large/acc1", "region_recognition/by_size/large/n"),
                ("grounding acc@0.5", "grounding/acc@0.5", "grounding/n"),
                ("image R@1", "retrieval/image_retrieval_recall@1", "retrieval/texts")]


def scenes(args, name, count, seed):
    folder = args.out / "scenes" / name
    if not folder.exists():
        run([args.opencloc, "data", "scenes", "--config", args.recipe, "--count", count, "--seed", seed, "--size",
             max(args.sizes), *args.scene_flags.split(), "--out", folder], args.out / "log.txt")
    return folder


def in_layout(args):
    """The CLIP directory that everything starts from."""
    clip = args.clip or args.quickstart / "clip/model"
    if not args.layout:
        return clip
    folder = args.out / f"clip_{args.layout}"
    if not folder.exists():
        run([args.opencloc, "convert", clip, folder, "--to", args.layout], args.out / "log.txt")
    return folder


def read_at(args, name, model, method, size, folder):
    """Figures of `model` on the scenes for evaluation, at that image size."""
    def make():
        out = folder / f"{name}.part.json"
        run([args.opencloc, "eval", "--config", args.recipe, "--model", model, "--data", args.out / "scenes/val",
             "--image-size", size, "--region-method", method, "--tasks",
             "retrieval,region_recognition" + (",grounding" if method == "prompter" else ""), "--threads", 1, "--out", out],
            folder / "log.txt")
        return json.loads(out.read_text())

    return once(folder / f"{name}.json", make)


def train_at(args, clip, row, size, seed):
    """Region heads trained at one size, read at it and, where it is the first one, at all others."""
    flags, method = SIZE_ROWS[row]
    folder = folder_of(args, f"{row}_{size}", seed)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "train/model").exists():
        run([args.opencloc, "train", "--config", args.recipe, "--init", clip, "--image-size", size, "--data",
             args.out / "scenes/train", "--steps", args.steps, "--seed", seed, "--threads", 1, "--workers", 1,
             "--report-pictures", 0, *flags, "--out", folder / "train"], folder / "log.txt")
    for other in args.sizes if size == args.sizes[0] else [size]:
        read_at(args, f"at_{other}", folder / "train/model", method, other, folder)


def size_line(name, trained, size, results):
    cells = []
    for _, path, count in SIZE_FIGURES:
        values, n = [value_at(r, path) for r in results], value_at(results[0], count)
        text = cell(values)
        if n and text != "-":
            share = statistics.mean(values)
            text += f" (± {100 * math.sqrt(share * (1 - share) / n):.1f})"
        cells.append(text)
    return f"| {name} | {trained} | {size} | {len(results)} | " + " | ".join(cells) + " |"


def size_table(args):
    heads = ["", "trained at", "read at", "runs"] + [title for title, _, _ in SIZE_FIGURES]
    lines = ["Per cent: mean ± deviation over the runs (± binomial error of one).\n", "| " + " | ".join(heads) + " |",
             "|---" * len(heads) + "|"]
    for row, (flags, _) in SIZE_ROWS.items():
        pairs = [("-", size) for size in args.sizes] if flags is None else \
            [(args.sizes[0], size) for size in args.sizes] + [(size, size) for size in args.sizes[1:]]
        for trained, size in pairs:
            folders = [args.out] if flags is None else \
                [folder_of(args, f"{row}_{trained}", seed) for seed in range(1, args.seeds + 1)]
            name = f"{''.join(c if c.isalnum() else '_' for c in row)}_at_{size}" if flags is None else f"at_{size}"
            paths = [folder / f"{name}.json" for folder in folders]
            results = [json.loads(path.read_text()) for path in paths if path.exists()]
            if results:
                lines.append(size_line(row, trained, size, results))
    return "\n".join(lines) + "\n"


def at_sizes(args):
    clip = in_layout(args)
    scenes(args, "train", args.scenes, 1)
    scenes(args, "val", args.val, 2)
    for row, (flags, method) in SIZE_ROWS.items():
        for size in args.sizes if flags is None else []:
            read_at(args, f"{''.join(c if c.isalnum() else '_' for c in row)}_at_{size}", clip, method, size, args.out)
    trained = [row for row, (flags, _) in SIZE_ROWS.items() if flags is not None and args.rows in row]
    work = [(row, size, seed) for seed in range(1, args.seeds + 1) for row in trained for size in args.sizes]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in [pool.submit(train_at, args, clip, *item) for item in work]:
            done.result()
    print(size_table(args))


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
    parser.add_argument("--sizes", type=int, nargs="+", default=[], help="image sizes, that of the CLIP first")
    parser.add_argument("--clip", type=pathlib.Path, help="with --sizes: a CLIP directory of any layout; the quickstart's")
    parser.add_argument("--layout", choices=["open_clip", "hf"], help="with --sizes: the CLIP is written in it first")
    parser.add_argument("--scenes", type=int, default=20000, help="with --sizes: for training")
    parser.add_argument("--val", type=int, default=5000, help="with --sizes: for evaluation")
    parser.add_argument("--scene-flags", default="--tiny 0.15", help="with --sizes: of 'opencloc data scenes'")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.recipe = recipe_for_init(args)
    if args.sizes:
        at_sizes(args)
        return
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
