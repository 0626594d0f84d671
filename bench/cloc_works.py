#!/usr/bin/env python3
"""Does CLOC work? Trains every row of the ablation with equal budgets and several seeds, in two worlds: generated
scenes; and mosaics of real photos of 100 classes (2x2 and 3x3). Writes one pair of tables per world.

    bench/cloc_works.py --out runs/cloc_works --shared ../shared            (all of it, 5 seeds: days of a core)
    bench/cloc_works.py --out runs/cloc_works --worlds photos --rows main     (a part of it)
    bench/cloc_works.py --out runs/cloc_works --table tables.md               (the tables of what is there)

How it is made fair:
* CLIP has rows of its own: with the learning rates of CLOC, and tuned (the best of 6 pairs of rates on other scenes, or
  on other mosaics of the held-out photos, which favours it). Of its methods of reading regions the best one counts, for
  every figure by itself.
* Tuned CLIPs also see every labelled region as a picture of its own with its text (`opencloc data crops`), once among the
  same number of samples, and once beside them: as many labels as CLOC sees, for more encodes.
* "- text filter" is the paper's: equal texts are negatives of each other, too. "equal texts only" keeps the first half.
* Grounding stands beside the best constant box of the evaluation's own data (a mosaic's tile is worth 25 %).
* Contexts of 64 tokens: no caption is cut (last column). Text-to-region retrieval also has random boxes to be wrong about.
* 5,000 scenes for evaluation; the held-out photos are 2,000, and mosaics of them repeat photos. The deviation over seeds
  and the binomial error of one run stand beside every figure, and differences are by pairs of equal seeds (bench/steps.py).

Finished runs are kept: call it again to go on, or with larger --samples in another --out.
Needs python3's standard library only; the work is done by the opencloc binary.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import time

from steps import file_name, found_seeds, merged, once, output, run, tables, value_at

NOISE = ["--box-jitter", "0.2", "--label-noise", "0.2"]
CLOC = ["--objective", "cloc"]
CLIP = ["--objective", "clip"]
CORNERS = ["--joint-box-token", "off", "--position-image-tokens", "off"]
PAPERS_GROUNDING = ["--grounding-loss", "l2", "--grounding-weight", "1", "--box-recovery", "off"]
DEFAULT, NOISY = "CLOC, pool prompt", "noisy: CLOC, pool prompt"
# name -> flags of `opencloc train`. The two extractors come again with noisy boxes and labels, as a detector's are.
ROWS = {
    "CLIP": CLIP,
    "CLIP tuned": CLIP,
    "CLIP tuned, crops among its samples": CLIP,
    "CLIP tuned, crops beside its samples": CLIP,
    DEFAULT: CLOC,
    "the paper's recipe": CLOC + ["--pool", "all", "--text-filter-opens", "1", "--text-lr-scale", "1"] + CORNERS + PAPERS_GROUNDING,
    "CLOC, corners only": CLOC + CORNERS,
    "CLOC, pool all": CLOC + ["--pool", "all"],
    "CLOC, pool all, corners only": CLOC + ["--pool", "all"] + CORNERS,
    "RoIAlign for the Prompter": CLOC + ["--region-extractor", "roi_align"],
    "- text filter": CLOC + ["--text-filter", "none"],
    "filter of equal texts only": CLOC + ["--text-filter", "off"],
    "grounding as in the paper (L2, no recovery)": CLOC + PAPERS_GROUNDING,
    "- grounding": CLOC + ["--grounding", "off"],
    "M = 2": CLOC + ["--regions-per-image", "2"],
    NOISY: CLOC + NOISE,
    "noisy: RoIAlign": CLOC + ["--region-extractor", "roi_align"] + NOISE,
}
MAIN = ["CLIP", "CLIP tuned", "CLIP tuned, crops among its samples", "CLIP tuned, crops beside its samples", DEFAULT,
        "the paper's recipe", "RoIAlign for the Prompter", "- text filter", NOISY, "noisy: RoIAlign"]
RATES = [(lr, scale) for lr in ("1e-3", "2e-3", "4e-3") for scale in ("0.1", "1")]  # that CLIP is tuned over
MOST_REGIONS = 4  # of a picture in a step, as CLOC's

# What a world trains on (share of the samples each) and is evaluated on; the first one decides what CLIP is tuned for.
WORLDS = {
    "scenes": ({"scenes": 1}, ["scenes"]),
    "photos": ({"mosaic2": 5, "mosaic3": 4}, ["mosaic2", "mosaic3"]),
}
# name -> flags of `opencloc eval`.
EVALS = {
    "names": ["--tasks", "zeroshot,retrieval,region_recognition"],
    "phrases": ["--tasks", "region_retrieval", "--region-text", "phrase", "--distractors", "4"],
    "grounding": ["--tasks", "grounding"],
}


def make_data(args, name, part):
    """The folder of a data set's part: train, val, tune (for the choice of CLIP's rates) or crops (of train)."""
    folder, log = args.out / "data" / f"{name}_{part}", args.out / "data/log.txt"
    if folder.exists():
        return folder
    seed = {"train": 1, "val": 2, "tune": 3, "crops": 0}[part]
    if part == "crops":
        command = ["crops", "--data", make_data(args, name, "train"), "--smallest", 4]
    elif name == "scenes":
        count = {"train": args.distinct, "val": args.test, "tune": args.tune}[part]
        command = ["scenes", "--count", count, "--size", args.size, "--names", args.names, "--seed", seed]
    else:
        count = {"train": args.mosaics, "val": args.test_mosaics, "tune": args.tune}[part]
        photos = args.shared / "data/tiny_imagenet" / f"{'train' if part == 'train' else 'val'}-*.tar.gz"
        command = ["mosaic", "--data", photos, "--grid", name[-1], "--count", count, "--size", args.size, "--seed", seed,
                   "--regions", "tiles"]
    run([args.opencloc, "data", *command, "--out", folder], log)
    return folder


def train_command(args, world, part="train"):
    sources = WORLDS[world][0]
    data = {make_data(args, name, part): share for name, share in sources.items()}
    return [args.opencloc, "train", "--model", args.model, "--threads", args.threads, "--workers", 1,
            "--report-pictures", 0, "--context-length", args.context], data


def source_flags(data):
    """data: {folder: share of the samples}."""
    return ["--data", "::".join(map(str, data)), "--data-weights", "::".join(map(str, data.values()))]


def tokenizer_of(args, world):
    """One for all runs of a world, as a run without --tokenizer builds it."""
    path = args.out / world / "tokenizer.model"
    if not path.exists():
        folder = args.out / world / "tokenizer_run"
        command, data = train_command(args, world)
        run(command + source_flags(data) + ["--steps", 1, "--batch-size", 8, "--resume", "none", "--overwrite", "--out", folder],
            args.out / world / "log.txt")
        os.link(folder / "model/tokenizer.model", path)
    return path


def regions_per_picture(args, world):
    """Labelled regions of a training picture that a step of CLOC sees, over the mix of the world's sources."""
    def make():
        total = 0
        sources = WORLDS[world][0]
        for name, share in sources.items():
            stats = output([args.opencloc, "data", "stats", "--json", "--data", make_data(args, name, "train")])
            mean = json.loads(stats)["regions_per_image"]
            total += share / sum(sources.values()) * min(mean, MOST_REGIONS)
        return total
    return once(args.out / world / "regions_per_picture.json", make)


def train(args, world, row, seed, rates, folder):
    """Trains a row and gives its seconds. rates: flags of the learning rates, where they are not those of all rows."""
    command, data = train_command(args, world)
    batch, samples = args.batch_size, getattr(args, world)
    if "crops" in row:
        regions = regions_per_picture(args, world)
        shares = WORLDS[world][0]
        # A picture's crops are seen as often as CLOC sees its regions: `regions` crops per picture.
        data.update({make_data(args, name, "crops"): share * regions for name, share in shares.items()})
        if "beside" in row:
            batch, samples = round(batch * (1 + regions)), round(samples * (1 + regions))
    common = ["--lr", args.lr, "--warmup", args.warmup, *args.train_flags.split()]
    start = time.time()
    run(command + source_flags(data) +
        ["--tokenizer", tokenizer_of(args, world), "--samples", samples, "--batch-size", batch, "--seed", seed,
         *merged(ROWS[row] + rates, common), "--out", folder / "train"], folder / "log.txt")
    return time.time() - start


def best_methods(part):
    """The figures of an evaluation by several methods of reading regions: the best of each figure."""
    if not isinstance(part, dict):
        return part
    if "methods" in part:
        part = {**part, **best_of(list(part.pop("methods").values()))}
    return {key: best_methods(value) for key, value in part.items()}


def best_of(parts):
    result = {}
    for key in parts[0]:
        values = [part[key] for part in parts if key in part]
        if isinstance(values[0], dict):
            result[key] = best_of(values)
        elif isinstance(values[0], (int, float)) and not isinstance(values[0], bool):
            result[key] = max(values)
        else:
            result[key] = values[0]
    return result


def evaluate(args, row, model, val, folder, names=tuple(EVALS)):
    """{name of the evaluation: results}; of a plain CLIP's methods the best counts."""
    results, is_clip = {}, row.startswith("CLIP")
    for name in names:
        if is_clip and name == "grounding":
            continue
        out = folder / f"{val.name}_{name}.json"
        methods = ["crop", "roi_align", "roi_align_penultimate"]  # of a plain CLIP
        if not is_clip:
            methods = ["roi_align" if "RoIAlign" in row else "prompter"]
        run([args.opencloc, "eval", "--model", model, "--data", val, *EVALS[name], "--region-method", ",".join(methods),
             "--threads", args.threads, "--out", out], folder / "log.txt")
        results[name] = json.loads(out.read_text())
        if is_clip:
            results[name] = best_methods(results[name])
    return results


def tuned_rates(args, world):
    """The learning rates with which a plain CLIP names most regions."""
    val = make_data(args, WORLDS[world][1][0], "tune")

    def make():
        scores = {}
        for lr, scale in RATES:
            folder = args.out / world / f"tune_{lr}_{scale}"

            def one():
                flags = ["--lr", lr, "--text-lr-scale", scale]
                train(args, world, "CLIP tuned", 1000, flags, folder)
                results = evaluate(args, "CLIP tuned", folder / "train/model", val, folder, ["names"])
                return value_at(results, "names/region_recognition/acc1")
            scores[f"{lr} {scale}"] = once(folder / "score.json", one)
        return scores

    scores = once(args.out / world / "tuned.json", make)
    lr, scale = max(scores, key=scores.get).split()
    return ["--lr", lr, "--text-lr-scale", scale]


def train_and_evaluate(args, world, row, seed):
    folder = folder_of(args, world, row, seed)

    def make():
        rates = tuned_rates(args, world) if "tuned" in row else []
        results = {"rates": rates, "train_seconds": train(args, world, row, seed, rates, folder)}
        for name in WORLDS[world][1]:
            results[name] = evaluate(args, row, folder / "train/model", make_data(args, name, "val"), folder)
        print(f"{world}, {row}, seed {seed}: {results['train_seconds']:.0f} s", flush=True)
        return results
    return once(folder / "results.json", make)


def folder_of(args, world, row, seed):
    return args.out / world / f"{file_name(row)}_s{seed}"


# title, figure, of one evaluation set; those of a set with several regions of a kind.
FIGURES = [
    ("region acc1", "names/region_recognition/acc1"),
    ("class mean", "names/region_recognition/mean_per_class_recall"),
    ("right name among the picture's", "names/region_recognition/within_image_acc1"),
    ("r2t R@1", "phrases/region_retrieval/region_to_text_recall@1"),
    ("t2r R@1", "phrases/region_retrieval/text_to_region_recall@1"),
    ("t2r R@1, distractors", "phrases/region_retrieval/text_to_region_with_distractors_recall@1"),
    ("grounding acc@0.5", "grounding/grounding/acc@0.5"),
    ("best constant box", "grounding/grounding/best_constant_box/acc@0.5"),
    ("zero-shot", "names/zeroshot/acc1"),
    ("image R@1", "names/retrieval/image_retrieval_recall@1"),
    ("image R@10", "names/retrieval/image_retrieval_recall@10"),
    ("text R@1", "names/retrieval/text_retrieval_recall@1"),
    ("captions cut", "names/truncated_texts/share"),
]


def figures_of(runs, val):
    """Those that some run has, and region recognition by size."""
    results = [result for seeds in runs.values() for result in seeds.values()]
    sizes = sorted({size for r in results for size in value_at(r, f"{val}/names/region_recognition/by_size") or {}})
    named = FIGURES + [(f"region acc1, {size}", f"names/region_recognition/by_size/{size}/acc1") for size in sizes]
    return [(title, f"{val}/{path}", None) for title, path in named
            if any(value_at(r, f"{val}/{path}") is not None for r in results)]


def compared_with(row):
    """The row that a row's difference is taken from."""
    if row in (DEFAULT, NOISY):
        return None
    return NOISY if row.startswith("noisy") else DEFAULT


def table(args, world):
    runs = {row: found_seeds(lambda seed, row=row: folder_of(args, world, row, seed), args.seeds) for row in ROWS}
    parts = []
    for val in WORLDS[world][1]:
        results = [result for seeds in runs.values() for result in seeds.values()]
        names = [value_at(r, f"{val}/names/region_recognition/classes") for r in results]
        chosen = next((n for n in names if n), None)
        head = f"### {world}: {val}\n\n{chosen} names to choose from, chance {100 / chosen:.1f} %.\n\n" if chosen else f"### {val}\n\n"
        parts.append(head + tables(runs, figures_of(runs, val), compared_with, ["best constant box", "captions cut"]))
    rates = {" ".join(map(str, r["rates"])) for seeds in runs.values() for r in seeds.values() if r.get("rates")}
    if rates:
        parts.append(f"CLIP tuned: {', '.join(sorted(rates))}\n")
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
    parser.add_argument("--scenes", type=int, default=38400, help="samples of scenes that each run sees")
    parser.add_argument("--photos", type=int, default=25600, help="the same of photos")
    parser.add_argument("--distinct", type=int, default=20000, help="scenes made for training")
    parser.add_argument("--test", type=int, default=5000, help="scenes made for evaluation")
    parser.add_argument("--names", type=int, default=40, help="of the scenes' objects")
    parser.add_argument("--mosaics", type=int, default=10000, help="of each grid, for training")
    parser.add_argument("--test-mosaics", type=int, default=1000, help="the same for evaluation")
    parser.add_argument("--tune", type=int, default=1000, help="pictures on which CLIP's learning rates are chosen")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--context", type=int, default=64, help="tokens of a text, at most")
    parser.add_argument("--model", default="ViT-XXS-16-96")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", default="2e-3")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--train-flags", help="more flags for every run, '--name value' each",
                        default="--text-lr-scale 0.1 --wd 0.1 --augment off --precision bf16")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", default="", help="only rows containing this text, or: main")
    parser.add_argument("--worlds", default="scenes,photos")
    parser.add_argument("--table", type=pathlib.Path, help="write the tables of what is there and stop")
    args = parser.parse_args()
    worlds = args.worlds.split(",")
    if args.table:
        args.table.write_text("\n".join(table(args, world) for world in worlds))
        return
    rows = MAIN if args.rows == "main" else [row for row in ROWS if args.rows in row]
    if not rows:
        parser.error(f"no row contains '{args.rows}': {', '.join(ROWS)}")
    for world in worlds:  # what several runs share, before they start
        for name in WORLDS[world][0]:
            make_data(args, name, "train")
            if any("crops" in row for row in rows):
                make_data(args, name, "crops")
        for name in WORLDS[world][1]:
            make_data(args, name, "val")
        tokenizer_of(args, world)
        if any("crops" in row for row in rows):
            regions_per_picture(args, world)
        if any("tuned" in row for row in rows):
            tuned_rates(args, world)
    work = [(world, row, seed) for seed in range(1, args.seeds + 1) for world in worlds for row in rows]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in [pool.submit(train_and_evaluate, args, *item) for item in work]:
            done.result()
    for world in worlds:
        print(table(args, world))


if __name__ == "__main__":
    main()
