#!/usr/bin/env python3
"""Does CLOC work? Trains every row of the ablation with equal budgets and several seeds, in two worlds: generated
scenes; and real photos (2x2 and 3x3 mosaics of small ones, and COCO). Writes one table a world.

    bench/cloc_works.py --out runs/cloc_works --shared ../shared --seeds 3
    bench/cloc_works.py --out runs/cloc_works --worlds photos --rows main     (a part of it)
    bench/cloc_works.py --out runs/cloc_works --table tables.md               (the tables of what is there)

Finished runs are kept: call it again to go on, or with larger --samples in another --out.
Needs python3's standard library only; the work is done by the opencloc binary.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

NOISE = ["--box-jitter", "0.2", "--label-noise", "0.2"]
CLOC = ["--objective", "cloc"]
# name -> flags of `opencloc train`. The two extractors come again with noisy boxes and labels, as a
# detector's are.
ROWS = {
    "CLIP": ["--objective", "clip"],
    "CLOC, pool prompt": CLOC + ["--pool", "prompt"],
    "CLOC, pool prompt, corners alone": CLOC + ["--pool", "prompt", "--joint-box-token", "off",
                                                "--position-image-tokens", "off"],
    "CLOC, pool all": CLOC + ["--pool", "all"],
    "CLOC, pool all, corners alone": CLOC + ["--pool", "all", "--joint-box-token", "off",
                                             "--position-image-tokens", "off"],
    "RoIAlign for the Prompter": CLOC + ["--region-extractor", "roi_align"],
    "- text filter": CLOC + ["--text-filter", "off"],
    "grounding as in the paper (L2, no recovery)": CLOC + ["--grounding-loss", "l2", "--grounding-weight", "1",
                                                         "--box-recovery", "off"],
    "- grounding": CLOC + ["--grounding", "off"],
    "M = 2": CLOC + ["--regions-per-image", "2"],
    "noisy: CLOC, pool prompt": CLOC + ["--pool", "prompt"] + NOISE,
    "noisy: RoIAlign": CLOC + ["--region-extractor", "roi_align"] + NOISE,
}


MAIN = ["CLIP", "CLOC, pool prompt", "CLOC, pool all", "RoIAlign for the Prompter", "noisy: CLOC, pool prompt",
        "noisy: RoIAlign"]
# What a world trains on (share of the samples each) and is evaluated on.
WORLDS = {
    "scenes": ({"scenes_train": 1}, ["scenes_val"]),
    "photos": ({"mosaic2_train": 5, "mosaic3_train": 4, "coco_train": 0.5}, ["mosaic2_val", "mosaic3_val", "coco_val"]),
}


def run(command, log):
    """Runs a command, its output to `log`; stops the whole when it fails."""
    with open(log, "ab") as sink:
        sink.write(("$ " + " ".join(map(str, command)) + "\n").encode())
        sink.flush()
        if subprocess.run(list(map(str, command)), stdout=sink, stderr=sink).returncode != 0:
            raise SystemExit(f"failed, see {log}: {' '.join(map(str, command))}")


def split_coco(shared, out, val_images):
    """COCO annotations in two halves by image: the last `val_images` are for evaluation."""
    source = json.load(open(shared / "data/coco/instances.json"))
    captions = json.load(open(shared / "data/coco/captions.json"))
    ids = sorted(image["id"] for image in source["images"])
    for name, chosen in (("train", set(ids[:-val_images])), ("val", set(ids[-val_images:]))):
        for label, whole in (("instances", source), ("captions", captions)):
            part = dict(whole)
            part["images"] = [i for i in whole["images"] if i["id"] in chosen]
            part["annotations"] = [a for a in whole["annotations"] if a["image_id"] in chosen]
            json.dump(part, open(out / f"{label}_{name}.json", "w"))


def prepare(args):
    """All data sets -> {name: glob}."""
    data = args.out / "data"
    done = data / "done.json"
    if done.exists():
        return json.load(open(done))
    data.mkdir(parents=True, exist_ok=True)
    log, oc, globs = data / "log.txt", args.opencloc, {}

    def scenes(name, count, seed):
        run([oc, "data", "scenes", "--count", count, "--size", args.size, "--names", args.names, "--seed", seed,
             "--out", data / name], log)
        globs[name] = str(data / name / "*.tar")

    scenes("scenes_train", args.distinct, 1)
    scenes("scenes_val", 600, 2)
    photos = args.shared / "data/tiny_imagenet"
    for grid in (2, 3):
        for part, count in (("train", args.mosaics), ("val", 600)):
            name = f"mosaic{grid}_{part}"
            run([oc, "data", "mosaic", "--data", photos / f"{part}-*.tar.gz", "--grid", grid,
                 "--count", count, "--size", args.size, "--seed", grid, "--regions", "tiles", "--out", data / name],
                log)
            globs[name] = str(data / name / "*.tar")
    split_coco(args.shared, data, 60)
    for part in ("train", "val"):
        run([oc, "data", "import", "--format", "coco", "--images", args.shared / "data/coco/images",
             "--annotations", data / f"instances_{part}.json", "--captions",
             data / f"captions_{part}.json", "--out", data / f"coco_{part}"], log)
        globs[f"coco_{part}"] = str(data / f"coco_{part}" / "*.tar")
    json.dump(globs, open(done, "w"))
    return globs


def with_defaults(flags, defaults):
    """The row's flags, and those of the defaults ("--name value ...") that it does not give itself."""
    words = defaults.split()
    pairs = zip(words[::2], words[1::2])
    return flags + [word for name, value in pairs if name not in flags for word in (name, value)]


def file_name(row):
    return "".join(c if c.isalnum() else "_" for c in row)


def train_command(args, globs, world, out):
    sources = WORLDS[world][0]
    return [args.opencloc, "train", "--data", "::".join(globs[s] for s in sources), "--data-weights",
            "::".join(map(str, sources.values())), "--model", args.model, "--out", out]


def build_tokenizer(args, globs, world):
    """One for all runs of a world, as a run without --tokenizer builds it."""
    path = args.out / world / "tokenizer.model"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        once = args.out / world / "tokenizer_run"
        run(train_command(args, globs, world, once) + ["--steps", 1, "--batch-size", 8], path.parent / "log.txt")
        os.link(once / "model/tokenizer.model", path)
    return path


def train_and_evaluate(args, globs, world, row, seed):
    flags = ROWS[row]
    folder = args.out / world / f"{file_name(row)}_s{seed}"
    result = folder / "results.json"
    if result.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    start = time.time()
    run(train_command(args, globs, world, folder / "train") +
        ["--tokenizer", args.out / world / "tokenizer.model", "--samples", getattr(args, world), "--batch-size",
         args.batch_size, "--lr", args.lr, "--warmup", args.warmup, "--seed", seed, "--precision", args.precision,
         "--threads", args.threads, "--workers", 1, *with_defaults(flags, args.train_flags)], log)
    seconds, results = time.time() - start, {}
    for val in WORLDS[world][1]:
        tasks = ["retrieval", "region_recognition"]
        methods = ["crop", "roi_align", "roi_align_penultimate"]  # a plain CLIP's
        if "clip" not in flags:
            tasks.append("grounding")
            methods = ["roi_align" if "roi_align" in flags else "prompter", "roi_align_penultimate"]
        out = folder / f"{val}.json"
        run([args.opencloc, "eval", "--model", folder / "train/model", "--data", globs[val], "--tasks",
             ",".join(tasks), "--region-method", ",".join(methods), "--threads", args.threads, "--out", out], log)
        results[val] = json.load(open(out))
    results["train_seconds"] = seconds
    partial = result.with_suffix(".part")
    json.dump(results, open(partial, "w"))
    os.rename(partial, result)
    print(f"{world}, {row}, seed {seed}: {seconds:.0f} s", flush=True)


def find(results, row, val, task, key):
    """A figure of the run. Region recognition: the trained extractor's, and for a plain CLIP its best method's."""
    part = results.get(val, {}).get(task)
    if part is None:
        return None
    if row == "CLIP" and "methods" in part:
        return max(method[key] for method in part["methods"].values())
    for name in key.split("/"):
        part = part.get(name)
        if part is None:
            return None
    return part


# World -> columns: title, evaluation set, task, figure.
COLUMNS = {
    "scenes": [
        ("region acc1", "scenes_val", "region_recognition", "acc1"),
        ("class mean", "scenes_val", "region_recognition", "mean_per_class_recall"),
        ("right name among the picture's", "scenes_val", "region_recognition", "within_image_acc1"),
        ("image R@1", "scenes_val", "retrieval", "image_retrieval_recall@1"),
        ("text R@1", "scenes_val", "retrieval", "text_retrieval_recall@1"),
        ("grounding acc@0.5", "scenes_val", "grounding", "acc@0.5"),
        ("constant box", "scenes_val", "grounding", "constant_box/acc@0.5"),
    ],
    "photos": [
        ("2x2: region acc1", "mosaic2_val", "region_recognition", "acc1"),
        ("2x2: right name of 4", "mosaic2_val", "region_recognition", "within_image_acc1"),
        ("2x2: image R@10", "mosaic2_val", "retrieval", "image_retrieval_recall@10"),
        ("2x2: grounding", "mosaic2_val", "grounding", "acc@0.5"),
        ("3x3: region acc1", "mosaic3_val", "region_recognition", "acc1"),
        ("3x3: right name of 9", "mosaic3_val", "region_recognition", "within_image_acc1"),
        ("coco: region acc1", "coco_val", "region_recognition", "acc1"),
        ("coco: class mean", "coco_val", "region_recognition", "mean_per_class_recall"),
    ],
}


def table(args, world):
    """Mean and spread (standard deviation over the seeds), in per cent, as markdown."""
    columns = COLUMNS[world]
    lines = ["| row | seeds | " + " | ".join(c[0] for c in columns) + " | train s |",
             "|---" * (len(columns) + 3) + "|"]
    for row in ROWS:
        runs = [json.load(open(p)) for p in sorted((args.out / world).glob(f"{file_name(row)}_s*/results.json"))]
        if not runs:
            continue
        cells = []
        for _, val, task, key in columns:
            values = [v for v in (find(r, row, val, task, key) for r in runs) if v is not None]
            spread = statistics.stdev(values) if len(values) > 1 else 0
            cells.append(f"{100 * statistics.mean(values):.1f} ± {100 * spread:.1f}" if values else "-")
        seconds = statistics.mean(r["train_seconds"] for r in runs)
        lines.append(f"| {row} | {len(runs)} | " + " | ".join(cells) + f" | {seconds:.0f} |")
    return f"### {world}\n\n" + "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
    parser.add_argument("--scenes", type=int, default=38400, help="samples of scenes that each run sees")
    parser.add_argument("--photos", type=int, default=25600, help="the same of photos")
    parser.add_argument("--distinct", type=int, default=20000, help="scenes made for training")
    parser.add_argument("--names", type=int, default=40, help="of the scenes' objects")
    parser.add_argument("--mosaics", type=int, default=10000, help="of each grid")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--model", default="ViT-XXS-16-96")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", default="2e-3")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--train-flags", default="--text-lr-scale 0.1 --wd 0.1 --augment off --report-pictures 0",
                        help="more flags for every run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", default="", help="only rows containing this text, or: main")
    parser.add_argument("--worlds", default="scenes,photos")
    parser.add_argument("--table", type=pathlib.Path, help="write the table of what is there and stop")
    args = parser.parse_args()
    worlds = args.worlds.split(",")
    if args.table:
        args.table.write_text("\n".join(table(args, world) for world in worlds))
        return
    globs = prepare(args)
    rows = MAIN if args.rows == "main" else [row for row in ROWS if args.rows in row]
    for world in worlds:
        build_tokenizer(args, globs, world)
    work = [(world, row, seed) for seed in range(1, args.seeds + 1) for world in worlds for row in rows]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in [pool.submit(train_and_evaluate, args, globs, *item) for item in work]:
            done.result()
    for world in worlds:
        print(table(args, world))


if __name__ == "__main__":
    main()
