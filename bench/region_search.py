#!/usr/bin/env python3
"""Does searching by regions pay, and does the quality head help? Trains small CLOC models on generated scenes or on
photos with and without the head, indexes a collection in several ways, and asks for every name in it.

    bench/region_search.py --out runs/region_search              (a smoke run: minutes on two cores)
    bench/region_search.py --out runs/region_search_full --full  (for a quiet machine: hours)
    bench/region_search.py --out runs/region_search_photos --world photos --shared ../shared
    bench/region_search.py --out runs/region_search --table      (the tables of what is there)

Text -> picture recall@10 by the size of the object. A query is a name; relevant are the pictures in which an object of
that name has a size of the class; pictures in which it has another size are left out of the ranking. Recall is the share
of the relevant pictures (at most 10 a name) among the first 10. Beside each mean: the standard deviation over the seeds,
and in brackets the binomial error of one seed's figure.

Photos: mosaics of 2 x 2 and 3 x 3 photos of one object each; the size is that of the object's own box. Models learn whole
tiles and objects.

Cut-off: names that the models know and that no picture of the collection holds should give no hit, while true hits
stay. The flat cut-offs are chosen so that exactly 90 % of these names give no hit, which no user could do; "calibrated" is
chosen so with one half of these names and judged by the other.

Finished parts are kept: call it again to go on. Needs python3's standard library only; the work is done by the opencloc
binary.
"""
import argparse
import concurrent.futures
import io
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import tarfile
import time

from steps import once

# Shares of the picture's area.
SIZES = {"below 5 %": (0, 0.05), "5 to 20 %": (0.05, 0.2), "above 20 %": (0.2, 1.01), "all": (0, 1.01)}
# name -> flags of `opencloc index add`. "fine" has 121 boxes, of which the 14 best by quality are kept.
FINE = ["--regions", "grid", "--grid", "1,2,4,6,8"]
INDEXES = {
    "grid": ["--regions", "grid", "--grid", "1,2,3"],
    "fine": FINE,
    "kept": FINE + ["--keep", "14", "--coarse", "0"],
    "kept_coarse": FINE + ["--keep", "9", "--coarse", "2"],  # levels 1 and 2 are 5 boxes
    "labels": ["--regions", "labels"],
    "crops": ["--regions", "grid", "--grid", "1,2,3", "--region-method", "crop"],
}
# Title, model, index, flags of `opencloc search`, encodes a picture.
ROWS = [
    ("whole pictures, model without the head", "without", "grid", ["--unit", "image"], 1),
    ("whole pictures, model with the quality head", "with", "grid", ["--unit", "image"], 1),
    ("grid of 14, model without the head", "without", "grid", [], 1),
    ("grid of 14, quality off", "with", "grid", ["--quality", "off"], 1),
    ("grid of 14, quality on", "with", "grid", ["--quality", "on"], 1),
    ("grid of 121, quality off", "with", "fine", ["--quality", "off"], 1),
    ("grid of 121, quality on", "with", "fine", ["--quality", "on"], 1),
    ("14 best of 121 by quality, quality off", "with", "kept", ["--quality", "off"], 1),
    ("14 best of 121 by quality, quality on", "with", "kept", ["--quality", "on"], 1),
    ("9 best of 116 by quality and 5 coarse boxes, quality off", "with", "kept_coarse", ["--quality", "off"], 1),
    ("9 best of 116 by quality and 5 coarse boxes, quality on", "with", "kept_coarse", ["--quality", "on"], 1),
    ("encoded crops of the grid of 14, quality off", "with", "crops", ["--quality", "off"], 15),
    ("the data's own boxes, quality off", "with", "labels", ["--quality", "off"], 1),
    ("the data's own boxes, quality on", "with", "labels", ["--quality", "on"], 1),
]
SPLITS = 100
HITS = 100  # asked for, so that 10 are left where pictures are left out


def run(command, log):
    """Runs a command, its stderr to `log`; its stdout. Stops the whole when it fails."""
    with open(log, "ab") as sink:
        sink.write(("$ " + " ".join(map(str, command)) + "\n").encode())
        sink.flush()
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=sink)
    if done.returncode != 0:
        raise SystemExit(f"failed, see {log}: {' '.join(map(str, command))}")
    return done.stdout.decode()


def prepare(args):
    """Pictures to learn from, a collection of some of their names alone, and a tokenizer for all runs."""
    data, log = args.out / "data", args.out / "log.txt"
    data.mkdir(parents=True, exist_ok=True)
    (prepare_photos if args.world == "photos" else prepare_scenes)(args, data, log)
    tokenizer = args.out / "tokenizer.model"
    if not tokenizer.exists():
        run([args.opencloc, "train", "--data", data / "train", "--model", args.model, "--steps", 1, "--batch-size", 8,
             "--report-pictures", 0, "--out", args.out / "tokenizer_run"], log)
        os.link(args.out / "tokenizer_run/model/tokenizer.model", tokenizer)


def prepare_scenes(args, data, log):
    def scenes(name, count, names, seed):
        if not (data / name).exists():
            run([args.opencloc, "data", "scenes", "--count", count, "--size", args.size, "--names", names, "--seed", seed,
                 "--min-objects", 1, "--max-objects", 5, "--out", data / name], log)

    scenes("train", args.distinct, args.names + args.absent, 1)
    scenes("collection", args.pictures, args.names, 2)
    scenes("all_names", 3000, args.names + args.absent, 3)  # for the list of names only

def prepare_photos(args, data, log):
    """Mosaics of the photos of `names` + `absent` classes to learn from, of `names` classes to search in."""
    photos = args.shared / "data/tiny_imagenet"
    classes = [line.rsplit("\t", 1)[-1].strip() for line in (photos / "classes.txt").read_text().splitlines()]
    known, present = classes[:args.names + args.absent], classes[:args.names]

    def of_classes(part, names, name):
        """The shards of `part` whose photos show one of `names`, as one shard."""
        (data / name).mkdir(exist_ok=True)
        with tarfile.open(data / name / "00000.tar", "w") as out:
            for shard in sorted(photos.glob(f"{part}-*.tar.gz")):
                with tarfile.open(shard) as tar:
                    members = {member.name: (member, tar.extractfile(member).read()) for member in tar}
                for record in sorted(each for each in members if each.endswith(".json")):
                    if json.loads(members[record][1])["label"] not in names:
                        continue
                    for member, contents in (members[record.replace(".json", ".jpg")], members[record]):
                        out.addfile(member, io.BytesIO(contents))

    def mosaics(name, source, count, regions):
        if (data / name).exists():
            return
        partial = data / f"{name}.part"
        partial.mkdir(exist_ok=True)
        for grid in (2, 3):
            folder = data / f"{name}_{grid}"
            run([args.opencloc, "data", "mosaic", "--data", data / source, "--grid", grid, "--count", count // 2, "--size",
                 args.size, "--seed", grid, "--regions", regions, "--overwrite", "--out", folder], log)
            for shard in folder.glob("*.tar"):
                os.replace(shard, partial / f"grid{grid}-{shard.name}")
        os.rename(partial, data / name)

    of_classes("train", known, "photos_train")
    of_classes("val", present, "photos_collection")
    of_classes("val", known, "all_names")
    mosaics("train", "photos_train", args.distinct, "both")
    mosaics("collection", "photos_collection", args.pictures, "moved")


def regions_of(folder):
    """{key: [(name, share of the area)]} of the records of shards."""
    found = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    record = json.load(tar.extractfile(member))
                    boxes = [(r["text"], (r["box"][2] - r["box"][0]) * (r["box"][3] - r["box"][1]))
                             for r in record.get("regions", [])]
                    found[f"{shard.name}#{member.name.removesuffix('.json')}"] = boxes
    return found


def train(args, kind, seed):
    folder = args.out / f"{kind}_s{seed}"
    flags = ["--quality-weight", args.quality_weight, "--quality-gradient", args.quality_gradient] if kind == "with" else []

    def make():
        began = time.time()
        run([args.opencloc, "train", "--data", args.out / "data/train", "--model", args.model, "--tokenizer",
             args.out / "tokenizer.model", "--samples", args.samples, "--batch-size", args.batch_size, "--lr", args.lr,
             "--warmup", args.warmup, "--seed", seed, "--precision", args.precision, "--threads", args.threads,
             "--workers", 1, "--save-every", 1_000_000, *args.train_flags.split(), *flags, "--out", folder / "train"],
            args.out / "log.txt")
        last = (folder / "train/metrics.jsonl").read_text().splitlines()[-1]
        return {"seconds": time.time() - began, "last": json.loads(last)}

    return once(folder / "trained.json", make)


def index(args, kind, seed, name):
    folder = args.out / f"{kind}_s{seed}"
    return once(folder / f"{name}.json", lambda: json.loads(run(
        [args.opencloc, "index", "add", folder / f"{name}.idx", "--model", folder / "train/model", "--data",
         args.out / "data/collection", *INDEXES[name], "--threads", args.threads, "--json"], args.out / "log.txt")))


def search(args, kind, seed, name, flags, queries):
    """{query: {"median", "deviation", "hits": [(picture, score, z)], "cut": z of --cut auto}}"""
    folder = args.out / f"{kind}_s{seed}"
    path = folder / ("hits_" + "_".join([name] + [f.strip("-") for f in flags]) + ".json")

    def make():
        listed = folder / "queries.txt"
        listed.write_text("\n".join(queries) + "\n")
        lines = run([args.opencloc, "search", folder / f"{name}.idx", "--queries", listed, "--k", HITS, "--deduplicate",
                     "off", "--threads", args.threads, *flags], args.out / "log.txt").splitlines()
        found = {}
        for line in map(json.loads, lines):
            hits = [(pathlib.PurePath(hit["name"]).name, hit["score"], hit["z"]) for hit in line["hits"]]
            found[line["query"]] = {"hits": hits, "scanned": line["scanned"]}
        return found

    return once(path, make)


def recall(found, truth, low, high):
    """Relevant pictures among the first 10, and how many there could be."""
    right = possible = 0
    for name in sorted({text for boxes in truth.values() for text, _ in boxes}):
        sizes = {key: [area for text, area in boxes if text == name] for key, boxes in truth.items()}
        relevant = {key for key, areas in sizes.items() if any(low <= area < high for area in areas)}
        others = {key for key, areas in sizes.items() if areas} - relevant
        first = [key for key, _, _ in found[name]["hits"] if key not in others][:10]
        right += len(relevant & set(first))
        possible += min(10, len(relevant))
    return right, possible


def auto_cut(rows):
    """The z of `--cut auto` (opencloc/index/search.cc)."""
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        if 0.5 * math.erfc(middle / math.sqrt(2)) > 0.5 / rows:
            low = middle
        else:
            high = middle
    return low


def cut_offs(found, truth, absent):
    """Way -> (share of absent names without a hit, share of the true hits among the first 10 that stay)."""
    holds = {name: {key for key, boxes in truth.items() if any(text == name for text, _ in boxes)}
             for name in {text for boxes in truth.values() for text, _ in boxes}}
    true_hits = [hit for name, pictures in holds.items() for hit in found[name]["hits"][:10] if hit[0] in pictures]
    best = [max(found[name]["hits"], key=lambda hit: hit[1]) for name in absent]
    ways = {"auto": (2, auto_cut(found[absent[0]]["scanned"]))}
    for title, column in (("flat score", 1), ("flat z", 2)):
        ordered = sorted(hit[column] for hit in best)
        ways[title] = (column, ordered[math.ceil(0.9 * len(ordered)) - 1] + 1e-9)
    effects = {title: (statistics.mean(hit[column] < at for hit in best),
                       statistics.mean(hit[column] >= at for hit in true_hits), at)
               for title, (column, at) in ways.items()}
    effects["calibrated"] = calibrated(best, true_hits)
    return effects


def calibrated(best, true_hits):
    """What `index calibrate` would do (opencloc/index/calibrate.cc) with one half of the absent names, to the other half:
    the mean over SPLITS random halves. No limit can be told: each half has its own."""
    shuffle, none, stay = random.Random(1), [], []
    for _ in range(SPLITS):
        names = shuffle.sample(best, len(best))
        half, others = names[:len(names) // 2], names[len(names) // 2:]
        choices = []
        for column in (1, 2):
            ordered = sorted(hit[column] for hit in half)
            last = math.ceil(0.9 * len(ordered)) - 1
            at = (ordered[last] + ordered[min(last + 1, len(ordered) - 1)]) / 2 + 1e-6
            choices.append((statistics.mean(hit[column] >= at for hit in true_hits), column == 1, column, at))
        kept, _, column, at = max(choices)
        none.append(statistics.mean(hit[column] < at for hit in others))
        stay.append(kept)
    return statistics.mean(none), statistics.mean(stay), float("nan")


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def chosen(args):
    return [row for row in ROWS if args.rows in row[0]]


def tables(args):
    rows = chosen(args)
    truth = regions_of(args.out / "data/collection")
    present = sorted({text for boxes in truth.values() for text, _ in boxes})
    known = {text for boxes in regions_of(args.out / "data/all_names").values() for text, _ in boxes}
    absent = sorted(known - set(present))
    queries = present + absent
    seeds = range(1, args.seeds + 1)
    areas = [area for boxes in truth.values() for _, area in boxes]
    counts = [sum(low <= area < high for area in areas) for low, high in SIZES.values()]
    lines = [f"{len(truth)} pictures, {len(present)} names, {len(absent)} names that occur nowhere; "
             f"{args.samples} samples a run, {args.seeds} seeds", "",
             "| recall@10, % | encodes | vectors | " + " | ".join(
                 f"{title} ({count} objects)" for title, count in zip(SIZES, counts)) + " | index s |",
             "|---" * (len(SIZES) + 4) + "|"]
    for title, kind, name, flags, encodes in rows:
        cells = []
        found = [search(args, kind, seed, name, flags, queries) for seed in seeds]
        for low, high in SIZES.values():
            pairs = [recall(one, truth, low, high) for one in found]
            values = [right / max(1, possible) for right, possible in pairs]
            mean = statistics.mean(values)
            error = math.sqrt(mean * (1 - mean) / max(1, pairs[0][1]))
            cells.append(f"{100 * mean:.1f} ± {100 * spread(values):.1f} ({100 * error:.1f})")
        made = [index(args, kind, seed, name) for seed in seeds]
        vectors = 1 if "image" in flags else made[0]["vectors"] / made[0]["added"] - 1
        seconds = statistics.mean(done["seconds"] for done in made)
        lines.append(f"| {title} | {encodes} | {vectors:.0f} | " + " | ".join(cells) + f" | {seconds:.1f} |")
    lines += ["", f"Cut-off, {len(absent)} absent names", "",
              "| search | cut | at | absent names without a hit, % | true hits of the first 10 that stay, % |",
              "|---|---|---|---|---|"]
    for title, kind, name, flags, _ in rows:
        measured = [cut_offs(search(args, kind, seed, name, flags, queries), truth, absent) for seed in seeds]
        for way in measured[0]:
            none, stay, at = ([one[way][i] for one in measured] for i in range(3))
            limit = "-" if math.isnan(at[0]) else f"{statistics.mean(at):.2f}"
            lines.append(f"| {title} | {way} | {limit} | {100 * statistics.mean(none):.0f} ± "
                         f"{100 * spread(none):.0f} | {100 * statistics.mean(stay):.0f} ± {100 * spread(stay):.0f} |")
    if any(kind == "with" for _, kind, *_ in rows):
        trained = [train(args, "with", seed)["last"] for seed in seeds]
        lines += ["", "Quality head at the last step: mean |predicted - true IoU| " +
                  f"{statistics.mean(t['quality_error'] for t in trained):.3f}, a constant answer "
                  f"{statistics.mean(t['constant_quality_error'] for t in trained):.3f}"]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--world", choices=["scenes", "photos"], default="scenes")
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"),
                        help="folder that holds data/tiny_imagenet, for photos")
    parser.add_argument("--full", action="store_true", help="other defaults: longer training, a larger collection")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, help="that each run sees; 12800, or 96000 with --full")
    parser.add_argument("--distinct", type=int, help="scenes made for training; 6000, or 40000")
    parser.add_argument("--pictures", type=int, help="of the collection; 250, or 2000")
    parser.add_argument("--names", type=int, help="in the collection; 40, or 160")
    parser.add_argument("--absent", type=int, default=20, help="names that are learned and occur nowhere")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--model", default="ViT-XXS-16-96")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", default="2e-3")
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--quality-weight", default="1")
    parser.add_argument("--quality-gradient", default="all")
    parser.add_argument("--train-flags", default="--text-lr-scale 0.1 --wd 0.1 --augment off --report-pictures 0",
                        help="more flags for every run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--rows", default="", help="only rows whose title contains this text, e.g. quality")
    parser.add_argument("--table", action="store_true", help="print the tables of what is there and stop")
    args = parser.parse_args()
    for name, small, large in (("samples", 12800, 96000), ("distinct", 6000, 40000), ("pictures", 250, 2000),
                               ("names", 40, 160)):
        if getattr(args, name) is None:
            setattr(args, name, large if args.full else small)
    if not args.table:
        prepare(args)
        wanted = sorted({(kind, name) for _, kind, name, *_ in chosen(args)})

        def work(kind, seed):
            train(args, kind, seed)
            for of, name in wanted:
                if of == kind:
                    index(args, kind, seed, name)

        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for done in [pool.submit(work, kind, seed) for seed in range(1, args.seeds + 1)
                         for kind in sorted({kind for kind, _ in wanted})]:
                done.result()
    print(tables(args))


if __name__ == "__main__":
    main()
