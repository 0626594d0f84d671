#!/usr/bin/env python3
"""The data engine in miniature. A teacher CLOC learns from a small labelled part (the seed); it labels a
large part whose regions are hidden, through rich captions and noun phrases (VESL), through alt-text n-grams,
and through n-grams of the rich captions (what does the text do, what the phrases?). Students start from the
teacher and learn on from the seed beside each labelling, beside the hidden truth, and from the seed alone. Then
the VESL student labels again for a second round.

    bench/vesl_miniature.py --out runs/vesl --seeds 3
    bench/vesl_miniature.py --out runs/vesl --table docs/vesl_miniature.md        (the tables alone)

Scenes always; mosaics of tiny_imagenet photos as well where --shared has them. The threshold of the
cycle score is chosen on a validation part of the seed, where the truth is known. Finished steps are kept:
call it again to go on. Needs python3's standard library only; the work is done by the opencloc binary.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import statistics
import tarfile

from steps import file_name, rewrite_shards, run

# labelling -> (which unlabelled shards, flags of `label`)
LABELLINGS = {
    "vesl": ("rich", ["--phrases", "noun"]),
    "ngrams of alt-texts": ("poor", ["--phrases", "ngrams"]),
    "ngrams of rich captions": ("rich", ["--phrases", "ngrams"]),
}
EVALUATED = ("scenes_val", "mosaic_val")
COLUMNS = [
    ("region acc1", "region_recognition", "acc1"),
    ("class mean", "region_recognition", "mean_per_class_recall"),
    ("region->text R@1", "region_retrieval", "region_to_text_recall@1"),
    ("text->region R@1", "region_retrieval", "text_to_region_recall@1"),
    ("grounding acc@0.5", "grounding", "acc@0.5"),
    ("image R@1", "retrieval", "image_retrieval_recall@1"),
]


def records(folder):
    """(key, record) of every sample of a folder of shards, in order."""
    for shard in sorted(pathlib.Path(folder).glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    yield f"{shard.name}#{member.name[:-5]}", json.load(tar.extractfile(member))


def poor_alt_text(record, rng):
    """What the web might have written of a mosaic: one of its names, if any, among other words."""
    names = [region["text"] for region in record.get("regions", [])]
    name = rng.choice(names) if names else "untitled"
    return rng.choice(["{} stock photo", "IMG_%04d {}" % rng.randrange(10000), "my {}", "buy {} online", "{}"]).format(name)


def hide_regions(source, out, rich):
    """Copies shards without their regions; poor ones without captions too, alt-text alone."""
    drop = {"regions", "label", "tiles"} | (set() if rich else {"caption", "captions"})
    rng = random.Random(1)

    def change(records):
        return [(stem, {k: v for k, v in record.items() if k not in drop}, poor_alt_text(record, rng))
                for stem, record in records]
    rewrite_shards(source, out, change)


def prepare(args):
    """Data sets under OUT/data: seed, seed_val, truth, rich, poor, *_val -> list of kinds."""
    data, oc, log = args.out / "data", args.opencloc, args.out / "data/log.txt"
    photos = args.shared / "data/tiny_imagenet"
    kinds = ["scenes"] + (["mosaic"] if args.mosaics and photos.exists() else [])

    def once(folder, command):
        if not list(folder.glob("*.tar")):
            run(command + ["--samples-per-shard", args.shard, "--out", folder], log)

    sizes = {"seed": args.seed_images, "seed_val": args.val_images, "truth": args.images, "val": args.val_images}
    for number, (part, count) in enumerate(sizes.items()):
        once(data / f"scenes_{part}", [oc, "data", "scenes", "--count", count, "--size", args.size, "--names",
                                       args.names, "--seed", 10 + number])
        if "mosaic" in kinds:
            photo_part = "val" if part == "val" else "train"
            once(data / f"mosaic_{part}", [oc, "data", "mosaic", "--data", photos / f"{photo_part}-*.tar.gz", "--grid", 2,
                                           "--count", count, "--size", args.size, "--seed", 10 + number, "--regions",
                                           "tiles"])
    for kind in kinds:
        hide_regions(data / f"{kind}_truth", data / f"{kind}_rich", True)
        hide_regions(data / f"{kind}_truth", data / f"{kind}_poor", False)
        hide_regions(data / f"{kind}_seed_val", data / f"{kind}_seed_hidden", True)
    return kinds


def overlap(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return w * h / (area(a) + area(b) - w * h)


def names_it(text, truth):
    """The region's text says the name of the true object, as whole words."""
    return f" {truth['text'].lower()} " in f" {text.lower()} "


def quality(truth_folder, labelled_folder, threshold=0.0):
    """Box recall@0.5 and precision against the hidden truth, without and with the name being right."""
    labelled = dict(records(labelled_folder))
    true = found = true_named = boxes = right = right_named = images = 0
    for key, record in records(truth_folder):
        if key not in labelled:
            continue
        images += 1
        truths = record.get("regions", [])
        regions = [r for r in labelled[key].get("regions", []) if r.get("score", 1) >= threshold]
        pairs = [(t, r) for t in truths for r in regions if overlap(t["box"], r["box"]) >= 0.5]
        true += len(truths)
        boxes += len(regions)
        found += len({id(t) for t, _ in pairs})
        right += len({id(r) for _, r in pairs})
        named = [(t, r) for t, r in pairs if names_it(r["text"], t)]
        true_named += len({id(t) for t, _ in named})
        right_named += len({id(r) for _, r in named})
    share = lambda a, b: a / b if b else 0.0
    return {"recall": share(found, true), "precision": share(right, boxes), "named_recall": share(true_named, true),
            "named_precision": share(right_named, boxes), "regions_per_image": share(boxes, images)}


def extract_phrases(args, kinds):
    """Phrases of every labelling once for all models: OUT/data/{kind}_{labelling}."""
    for kind in kinds:
        sources = {name: f"{kind}_{source}" for name, (source, _) in LABELLINGS.items()}
        for name, source in [*sources.items(), ("vesl", f"{kind}_seed_hidden")]:
            out = args.out / f"data/phrases/{source}_{file_name(name)}"
            if not (out / "done").exists():
                run([args.opencloc, "label", "--data", args.out / f"data/{source}", "--out", out, "--stages",
                     "caption,phrases", *LABELLINGS[name][1]], args.out / "data/log.txt")
                (out / "done").touch()


def label(args, model, phrases, out, threshold):
    run([args.opencloc, "label", "--data", args.out / f"data/phrases/{phrases}", "--out", out, "--stages", "detect,select",
         "--detector-kind", "cloc", "--detector", model, "--threshold", threshold, "--batch-size", 32, "--max-regions",
         args.max_regions, "--precision", args.precision, "--threads", args.threads], out.parent / "log.txt")


def best_threshold(args, kinds, model, folder):
    """Of the cycle score: the best named F0.5 on the seed's validation part (a wrong box costs a student more than
    one that is not there)."""
    result = folder / "threshold.json"
    if not result.exists():
        for kind in kinds:
            label(args, model, f"{kind}_seed_hidden_vesl", folder / f"seed_{kind}", 0)
        sweep = []
        for step in range(0, 20):
            threshold = step / 20
            parts = [quality(args.out / f"data/{kind}_seed_val", folder / f"seed_{kind}", threshold) for kind in kinds]
            p, r = (statistics.mean(part[k] for part in parts) for k in ("named_precision", "named_recall"))
            score = 1.25 * p * r / (0.25 * p + r) if p + r else 0
            sweep.append({"threshold": threshold, "precision": p, "recall": r, "f0.5": score})
        best = max(sweep, key=lambda s: s["f0.5"])
        folder.mkdir(parents=True, exist_ok=True)
        result.write_text(json.dumps({"best": best["threshold"], "sweep": sweep}, indent=1))
    return json.loads(result.read_text())["best"]


def train(args, kinds, sources, folder, seed, teacher=None):
    """`sources`: [(folder with {kind}, weight)]; a student starts from its teacher. -> the model directory"""
    model = folder / "train/model"
    if not (folder / "trained").exists():
        data, weights = [], []
        for pattern, weight in sources:
            for kind in kinds:
                data.append(str(pattern).replace("{kind}", kind))
                weights.append(str(weight))
        start = ["--init", teacher, "--samples", args.samples, "--lr", args.student_lr] if teacher else [
            "--model", args.model, "--tokenizer", args.out / "tokenizer.model", "--samples", args.teacher_samples,
            "--lr", args.lr]
        run([args.opencloc, "train", "--data", "::".join(data), "--data-weights", "::".join(weights), *start,
             "--batch-size", args.batch_size, "--warmup", args.warmup, "--seed", seed, "--precision", args.precision,
             "--threads", args.threads, "--workers", 1, "--report-pictures", 0, "--out", folder / "train",
             *args.train_flags.split()], folder / "log.txt")
        (folder / "trained").touch()
    return model


def evaluate(args, kinds, model, folder):
    result = folder / "results.json"
    if result.exists():
        return
    results = {}
    for kind in kinds:
        out = folder / f"{kind}_val.json"
        run([args.opencloc, "eval", "--model", model, "--data", args.out / f"data/{kind}_val", "--tasks",
             "retrieval,region_recognition,region_retrieval,grounding", "--threads", args.threads, "--out", out],
            folder / "log.txt")
        results[f"{kind}_val"] = json.loads(out.read_text())
    result.write_text(json.dumps(results))


def label_all(args, kinds, model, folder, name, threshold):
    """Labels the hidden part; writes how well it went. -> pattern of the labelled shards."""
    source, _ = LABELLINGS[name]
    place = folder / f"labels_{file_name(name)}"
    report = place / "quality.json"
    if not report.exists():
        found = {}
        for kind in kinds:
            label(args, model, f"{kind}_{source}_{file_name(name)}", place / kind, threshold)
            found[kind] = quality(args.out / f"data/{kind}_truth", place / kind)
        report.write_text(json.dumps(found, indent=1))
    return place / "{kind}"


def one_seed(args, kinds, seed):
    folder, data = args.out / f"seed_{seed}", args.out / "data"
    seeds = (data / "{kind}_seed", args.seed_weight)
    teacher = train(args, kinds, [(data / "{kind}_seed", 1)], folder / "teacher", seed)
    evaluate(args, kinds, teacher, folder / "teacher")
    threshold = best_threshold(args, kinds, teacher, folder / "teacher")

    def student(sources, place):
        model = train(args, kinds, [seeds, *sources], place, seed, teacher)
        evaluate(args, kinds, model, place)
        return model

    for name in LABELLINGS:
        if args.rows and args.rows not in name:
            continue
        labelled = label_all(args, kinds, teacher, folder / "teacher", name, threshold)
        student([(labelled, 1)], folder / f"student_{file_name(name)}")
    student([(data / "{kind}_truth", 1)], folder / "student_truth")
    student([], folder / "student_seed")
    # The second round: the first round's student labels.
    first = folder / "student_vesl"
    if (first / "trained").exists():
        model = first / "train/model"
        labelled = label_all(args, kinds, model, first, "vesl", best_threshold(args, kinds, model, first))
        student([(labelled, 1)], folder / "student_round_2")


def mean_and_spread(values):
    if not values:
        return "-"
    spread = statistics.stdev(values) if len(values) > 1 else 0
    return f"{100 * statistics.mean(values):.1f} ± {100 * spread:.1f}"


def find(results, task, key):
    """A figure of the evaluation; region tasks: the best method's value."""
    part = results.get(task, {})
    if key in part:
        return part[key]
    values = [v[key] for v in part.values() if isinstance(v, dict) and v.get(key) is not None]
    return max(values) if values else None


def table(args):
    """Labels' quality and students' results, mean and standard deviation over the seeds, in per cent."""
    lines = []
    keys = ["recall", "precision", "named_recall", "named_precision"]
    lines += ["Labels against the hidden truth (box recall@0.5, precision; named: the text says the right name too):", "",
              "| labelled by | data | seeds | " + " | ".join(keys) + " | regions/image |", "|---" * (len(keys) + 4) + "|"]
    for who, name in [("teacher", n) for n in LABELLINGS] + [("student_vesl", "vesl")]:
        files = sorted(args.out.glob(f"seed_*/{who}/labels_{file_name(name)}/quality.json"))
        for kind in ("scenes", "mosaic"):
            found = [json.loads(f.read_text()).get(kind) for f in files]
            found = [f for f in found if f]
            if found:
                cells = [mean_and_spread([f[k] for f in found]) for k in keys]
                per_image = statistics.mean(f["regions_per_image"] for f in found)
                title = name if who == "teacher" else f"{name}, by its student"
                lines.append(f"| {title} | {kind} | {len(found)} | " + " | ".join(cells) + f" | {per_image:.2f} |")
    lines += ["", "Models:", "", "| model | data | seeds | " + " | ".join(c[0] for c in COLUMNS) + " |",
              "|---" * (len(COLUMNS) + 3) + "|"]
    rows = [("teacher", "teacher"), ("student of the seed alone", "student_seed")] + [(f"student of {n}", f"student_{file_name(n)}") for n in LABELLINGS]
    rows += [("student of vesl, second round", "student_round_2"), ("student of the truth", "student_truth")]
    for title, place in rows:
        runs = [json.loads(p.read_text()) for p in sorted(args.out.glob(f"seed_*/{place}/results.json"))]
        for val in EVALUATED:
            here = [r[val] for r in runs if val in r]
            if here:
                cells = [mean_and_spread([v for v in (find(r, t, k) for r in here) if v is not None]) for _, t, k in COLUMNS]
                lines.append(f"| {title} | {val} | {len(here)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
    parser.add_argument("--seed-images", type=int, default=2000, help="labelled, of each kind")
    parser.add_argument("--images", type=int, default=8000, help="with hidden regions, of each kind")
    parser.add_argument("--val-images", type=int, default=1000)
    parser.add_argument("--mosaics", type=int, default=1, help="0: scenes alone")
    parser.add_argument("--names", type=int, default=40, help="of the scenes' world")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--shard", type=int, default=2000, help="samples a shard")
    parser.add_argument("--teacher-samples", type=int, default=64000, help="samples seen by the teacher")
    parser.add_argument("--samples", type=int, default=32000, help="samples seen by every student beyond that")
    parser.add_argument("--model", default="ViT-XXS-16-96")
    parser.add_argument("--seed-weight", default="1", help="of the seed beside the labelled part in a student's data")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", default="2e-3", help="the teacher's")
    parser.add_argument("--student-lr", default="1e-3")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--max-regions", type=int, default=20)
    parser.add_argument("--train-flags", default="--wd 0.1 --augment off --text-lr-scale 0.1", help="more flags for every training")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="seeds at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each job")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", default="", help="only labellings containing this text")
    parser.add_argument("--table", type=pathlib.Path, help="write the tables of what is there and stop")
    args = parser.parse_args()
    if args.table:
        args.table.write_text(table(args))
        return
    kinds = prepare(args)
    if not (args.out / "tokenizer.model").exists():
        data = "::".join(str(args.out / f"data/{kind}_seed") for kind in kinds)
        run([args.opencloc, "train", "--data", data, "--model", args.model, "--steps", 1, "--batch-size", 8, "--out",
             args.out / "tokenizer_run"], args.out / "tokenizer.txt")
        os.link(args.out / "tokenizer_run/model/tokenizer.model", args.out / "tokenizer.model")
    extract_phrases(args, kinds)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in [pool.submit(one_seed, args, kinds, seed) for seed in range(1, args.seeds + 1)]:
            done.result()
    print(table(args))


if __name__ == "__main__":
    main()
