#!/usr/bin/env python3
"""Do entities as labels make better pictures' embeddings than the alt-texts they come from? MOFI's claim in kind
(arXiv 2306.07952), on scenes whose alt-texts name things by any of their names among junk (docs/guide/mofi.md).

    bench/mofi.py --out runs/mofi                                     (10 arms, 3 seeds: hours)
    bench/mofi.py --out runs/mofi --samples 2000 --seeds 1            (a look at whether it runs)
    bench/mofi.py --out runs/mofi --arms 'MOFI;supervised' --seeds 1  (a part of it)
    bench/mofi.py --out runs/mofi --table                             (the tables of what is there)

All arms see the same number of samples. Labels come from 'label --stages mentions,link' with a CLIP that was trained on
other scenes; "true" arms get the entities of all things in the picture. The CLOC arms have captions and regions, and ask what
entities of the whole picture add there. Figures: retrieval of names that no training has
(held-out, single things; the query is not in its own list), nearest neighbours and zero-shot of trained names, and a
linear probe of photographs (tiny_imagenet). Verdicts are by pairs of equal seeds (bench/steps.py).

Finished parts are kept: call it again to go on. Needs Debian's wordnet-base and unicode-data, and the shared data.
"""
import argparse
import concurrent.futures
import io
import json
import os
import pathlib
import statistics
import tarfile
import time

from steps import file_name, once, run, verdict

# name -> data, flags. In flags {classes} and {base} are the paths of the data's table and of the entities.
ENTITIES = ["--entity-classes", "{classes}"]
NAMES = ["--objective", "clip", "--caption-from", "entities"]
ARMS = {
    "CLIP, alt-text": ("linked", ["--objective", "clip", "--caption-from", "alt_text"]),
    "CLIP, captions": ("linked", ["--objective", "clip"]),
    "supervised": ("linked", ["--objective", "entities", *ENTITIES]),
    "contrastive, names": ("linked", [*NAMES, *ENTITIES, "--entity-weight", "0"]),
    "contrastive, names and glosses": ("linked", [*NAMES, *ENTITIES, "--entity-weight", "0", "--entities", "{base}"]),
    "MOFI": ("linked", [*NAMES, *ENTITIES]),
    "MOFI, true entities": ("true", [*NAMES, *ENTITIES]),
    "CLOC": ("linked", ["--objective", "cloc"]),
    "CLOC and entities": ("linked", ["--objective", "cloc", *ENTITIES]),
    "CLOC and true entities": ("true", ["--objective", "cloc", *ENTITIES]),
}
# Title, results' key, figure.
FIGURES = [("held-out names, mAP", "held_out", "map_without_self"), ("the same with the query", "held_out", "map_with_self"),
           ("kNN", "knn", "acc1_k20_t0.07"), ("zero-shot", "zeroshot", "acc1"), ("photographs, probe", "probe", "acc1"),
           ("regions", "region_recognition", "acc1"), ("image R@1", "retrieval", "image_retrieval_recall@1"),
           ("seconds", "time", "train")]
COMPARED = [("supervised", "CLIP, alt-text"), ("MOFI", "supervised"), ("MOFI", "CLIP, alt-text"), ("MOFI", "CLIP, captions"),
            ("MOFI, true entities", "MOFI"), ("contrastive, names and glosses", "contrastive, names"),
            ("CLOC and entities", "CLOC"), ("CLOC and true entities", "CLOC"), ("CLOC", "MOFI")]


def scenes(args, name, count, seed, more):
    if not (args.data / name).exists():
        run([args.opencloc, "data", "scenes", "--count", count, "--size", args.size, "--seed", seed, "--samples-per-shard", 2000,
             *more, "--out", args.data / name], args.log)


def with_true_entities(source, target, ids):
    """The shards of `source` with the entities of all things in the picture, from the regions' names."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.tar")):
        partial = target / (path.name + ".part")
        with tarfile.open(path) as given, tarfile.open(partial, "w") as made:
            for member in given:
                data = given.extractfile(member).read()
                if member.name.endswith(".json"):
                    record = json.loads(data)
                    names = dict.fromkeys(region["name"] for region in record.get("regions", []))
                    record["entities"] = [{"id": ids[name], "name": name} for name in names if name in ids]
                    data = json.dumps(record).encode()
                    member.size = len(data)
                made.addfile(member, io.BytesIO(data))
        os.rename(partial, target / path.name)


def common_train(args):
    return ["--model", args.model, "--batch-size", 64, "--lr", "2e-3", "--warmup", min(100, args.samples // 640), "--wd", "0.1",
            "--augment", "off", "--text-lr-scale", "0.1", "--threads", args.threads, "--workers", 1, "--report-pictures", 0]


def prepare(args):
    base = args.data / "emoji"
    if not base.exists():
        run([args.opencloc, "data", "entities", "--format", "emoji", "--source", "/usr/share/unicode/emoji/emoji-test.txt",
             "--wordnet", "/usr/share/wordnet", "--out", base], args.log)
    aliases = ["--alt-text", "aliases", "--entities", base]
    scenes(args, "web", args.scenes, 1, aliases)
    scenes(args, "other", args.scenes, 11, [])  # what the filter's CLIP is trained on
    scenes(args, "val", args.test, 2, ["--max-objects", 1])
    scenes(args, "val_many", args.test, 5, [])  # several things each, for regions
    scenes(args, "probe", args.probe, 3, ["--max-objects", 1])
    scenes(args, "held_out", args.held_out, 4, ["--max-objects", 1, "--split", "held-out"])
    tokenizer = args.data / "tokenizer.model"
    if not tokenizer.exists():
        run([args.opencloc, "train", "--objective", "clip", "--data", args.data / "other", *common_train(args), "--steps", 1, "--out",
             args.data / "tokenizer_run"], args.log)
        os.link(args.data / "tokenizer_run/model/tokenizer.model", tokenizer)
    # The run is gone on with where it was interrupted.
    clip = args.data / "filter_clip"
    if not (clip / "done").exists():
        run([args.opencloc, "train", "--objective", "clip", "--data", args.data / "other", *common_train(args), "--tokenizer",
             tokenizer, "--samples", args.link_samples, "--seed", 77, "--out", clip], args.log)
        (clip / "done").touch()
    if not (args.data / "linked").exists():
        run([args.opencloc, "label", "--data", args.data / "web", "--out", args.data / "linked.part", "--stages", "mentions,link",
             "--entities", base, "--mentions-from", "alt_text", "--clip", clip / "model", "--link", "prior:1,seen:1,image:1",
             "--min-image-score", args.min_image_score, "--threads", args.jobs * args.threads, "--overwrite"], args.log)
        os.rename(args.data / "linked.part", args.data / "linked")
    if not (args.data / "true").exists():
        rows = [line.split("\t") for line in (base / "entities.tsv").read_text().splitlines()[1:]]
        with_true_entities(args.data / "web", args.data / "true.part", {row[1]: row[0] for row in rows})
        os.rename(args.data / "true.part", args.data / "true")
    for data in ("linked", "true"):
        if not (args.data / f"{data}.tsv").exists():
            run([args.opencloc, "data", "classes", "--data", args.data / data, "--min-images", args.min_images, "--out",
                 args.data / f"{data}.tsv"], args.log)


def figures_of(args, arm, model, log):
    def evaluate(name, tasks, *flags):
        out = log.with_suffix(f".{name}.json")
        run([args.opencloc, "eval", "--model", model, "--tasks", tasks, *flags, "--threads", args.threads, "--out", out], log)
        return json.loads(out.read_text())

    results = {"held_out": evaluate("held_out", "instance_retrieval", "--data", args.data / "held_out")["instance_retrieval"]}
    results.update(evaluate("knn", "knn", "--data", args.data / "val", "--train-data", args.data / "probe"))
    if arm != "supervised":  # its texts have not been trained
        results.update(evaluate("zeroshot", "zeroshot", "--data", args.data / "val"))
    if arm.startswith("CLOC"):
        results.update(evaluate("regions", "region_recognition,retrieval", "--data", args.data / "val_many"))
    photographs = sorted((args.shared / "data/tiny_imagenet").glob("train-*.tar.gz"))[:args.photo_shards]
    results["probe"] = evaluate("probe", "linear_probe", "--data", args.shared / "data/tiny_imagenet/val-00000.tar.gz", "--train-data",
                                "::".join(map(str, photographs)), "--probe-label", "label")["linear_probe"]
    return results


def train(args, arm, seed):
    folder = args.out / f"{file_name(arm)}_s{seed}"
    data, flags = ARMS[arm]
    log = folder / "log.txt"

    def make():
        start = time.time()
        places = {"{classes}": args.data / f"{data}.tsv", "{base}": args.data / "emoji"}
        run([args.opencloc, "train", "--data", args.data / data, *common_train(args), "--tokenizer", args.data / "tokenizer.model",
             "--samples", args.samples, "--seed", seed, *[places.get(flag, flag) for flag in flags], "--out", folder / "run"], log)
        seconds = time.time() - start
        results = figures_of(args, arm, folder / "run/model", log)
        results["time"] = {"train": seconds}
        print(f"{arm}, seed {seed}: {seconds:.0f} s", flush=True)
        return results

    return once(folder / "results.json", make)


def figure(results, task, key):
    return results.get(task, {}).get(key)


def found(args, arm):
    paths = {seed: args.out / f"{file_name(arm)}_s{seed}" / "results.json" for seed in range(1, args.seeds + 1)}
    return {seed: json.loads(path.read_text()) for seed, path in paths.items() if path.exists()}


def tables(args):
    print("| arm | seeds | " + " | ".join(f[0] for f in FIGURES) + " |\n" + "|---" * (len(FIGURES) + 2) + "|")
    for arm in ARMS:
        runs = list(found(args, arm).values())
        if not runs:
            continue
        cells = []
        for _, task, key in FIGURES:
            values = [v for v in (figure(r, task, key) for r in runs) if v is not None]
            if task == "time":  # the median, since other work on the machine stretches single runs
                cells.append(f"{statistics.median(values):.0f}" if values else "-")
                continue
            spread = statistics.stdev(values) if len(values) > 1 else 0
            cells.append(f"{100 * statistics.mean(values):.1f} ± {100 * spread:.1f}" if values else "-")
        print(f"| {arm} | {len(runs)} | " + " | ".join(cells) + " |")
    print("\n| difference | " + " | ".join(f[0] for f in FIGURES[:-1]) + " |\n" + "|---" * len(FIGURES) + "|")
    for one, other in COMPARED:
        a, b = found(args, one), found(args, other)
        cells = []
        for _, task, key in FIGURES[:-1]:
            pairs = [100 * (figure(a[s], task, key) - figure(b[s], task, key)) for s in a
                     if s in b and figure(a[s], task, key) is not None and figure(b[s], task, key) is not None]
            mean, said = verdict(pairs) if pairs else (0, "")
            cells.append(f"{mean:+.1f}, {said}" if pairs else "-")
        if any(cell != "-" for cell in cells):
            print(f"| {one} - {other} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
    parser.add_argument("--arms", default=";".join(ARMS), help="names, between them ;")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=96000, help="that each arm sees")
    parser.add_argument("--scenes", type=int, help="distinct ones (default: as many as samples, at most 24000)")
    parser.add_argument("--link-samples", type=int, help="that the filter's CLIP sees (default: as the arms)")
    parser.add_argument("--min-image-score", default="p50", help="of 'label --stages link'")
    parser.add_argument("--min-images", type=int, default=5, help="of 'data classes'")
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--probe", type=int, default=8000, help="scenes that kNN votes with")
    parser.add_argument("--held-out", type=int, default=1230, help="scenes of the 123 held-out names")
    parser.add_argument("--photo-shards", type=int, default=100, help="of tiny_imagenet that the probe is fitted to, at most")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--model", default="ViT-XXS-16-96")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--table", action="store_true", help="write the tables of what is there and stop")
    args = parser.parse_args()
    args.data, args.log = args.out / "data", args.out / "log.txt"
    args.scenes = args.scenes or min(24000, args.samples)
    args.link_samples = args.link_samples or args.samples
    if not args.table:
        chosen = args.arms.split(";")
        unknown = [arm for arm in chosen if arm not in ARMS]
        if unknown:
            raise SystemExit(f"no such arm: {unknown[0]}")
        prepare(args)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for done in [pool.submit(train, args, arm, seed) for seed in range(1, args.seeds + 1) for arm in chosen]:
                done.result()
    tables(args)


if __name__ == "__main__":
    main()
