#!/usr/bin/env python3
"""Does self-supervision help beside language supervision, and does its gain shrink with the data? In kind what Weers et al.
asked (CVPR 2023, "Masked Autoencoding Does Not Help Natural Language Supervision at Scale").

    bench/self_supervision.py --out runs/ssl                                (11 arms, 3 amounts of data, 3 seeds: hours)
    bench/self_supervision.py --out runs/ssl --distinct 1000 --seeds 1      (a part of it)
    bench/self_supervision.py --out runs/ssl --objective cloc --arms CLIP,MAE,SLIP     (beside CLOC)
    bench/self_supervision.py --out runs/ssl --table                        (the tables of what is there)

All arms see the same number of samples. "CLIP, equal time" goes on as long as SLIP takes, and "CLIP, two views" sees a second
crop of each picture with the same text: SLIP without self-supervision. Two arms have no class token's output: the picture's
embedding is the mean or the maximum of the patches. M3AE has no text side: kNN and probes only. Distinct scenes: 1,000, 8,000, or
as many as are seen (0: never repeated). Figures: names without training (zero-shot), image retrieval, nearest neighbours
and linear probes of the name, the number of objects and the main object's quadrant, and, as a dense task, the names of
regions by RoIAlign of the tower's tokens. Verdicts are by pairs of equal seeds (bench/steps.py).

Finished parts are kept: call it again to go on. Needs python3's standard library only.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import time

from steps import file_name, once, run, verdict

# name -> flags beside the objective, times the samples.
ARMS = {
    "CLIP": ([], 1),
    "MAE": (["--mae-weight", "0.1"], 1),
    "MAE + MLM": (["--mae-weight", "0.1", "--mlm-weight", "0.05"], 1),
    "SLIP": (["--simclr-weight", "1", "--simclr-width", "512", "--simclr-dim", "128"], 1),
    "CLIP + distill": (["--distill-weight", "1", "--distill-dim", "512", "--distill-width", "256", "--distill-bottleneck",
                         "64"], 1),
    "FLIP": (["--patch-dropout", "0.5"], 1),
    "CLIP, two views": (["--captioned-views", "2", "--crop-scale", "0.3"], 1),
    "M3AE": (["--objective", "m3ae"], 1),
    "CLIP, equal time": ([], 2.7),
    "mean pooling": (["--model", "avg"], 1),
    "maximum pooling": (["--model", "max"], 1),
}
# Title, task, figure.
FIGURES = [("zero-shot", "zeroshot", "acc1"), ("image R@1", "retrieval", "image_retrieval_recall@1"),
           ("kNN", "knn", "acc1_k20_t0.07"), ("probe: name", "probe", "acc1"), ("probe: objects", "probe_regions", "acc1"),
           ("probe: quadrant", "probe_quadrant", "acc1"), ("regions by RoIAlign", "region_recognition", "acc1"),
           ("regions by Prompter", "prompter", "acc1"),
           ("seconds", "time", "train")]


def pooled(args, pool):
    """Where the model's architecture with another pooling lies."""
    return args.out / f"{pathlib.Path(args.model).stem}-{pool}.json"


def prepare(args):
    source = pathlib.Path(args.model)
    if not source.is_file():
        source = pathlib.Path(__file__).resolve().parent.parent / f"configs/models/{args.model}.json"
    for pool in ("avg", "max"):
        model = json.loads(source.read_text())
        model["model_cfg"]["vision_cfg"]["pool_type"] = pool
        args.out.mkdir(parents=True, exist_ok=True)
        pooled(args, pool).write_text(json.dumps(model, indent=2))
    data, log = args.out / "data", args.out / "log.txt"
    most = max(args.samples if n == 0 else n for n in args.distinct)
    for part, count, seed in [("val", args.test, 2), ("probe", args.probe, 3), ("train_all", most, 1)]:
        if not (data / part).exists():
            run([args.opencloc, "data", "scenes", "--count", count, "--size", args.size, "--names", args.names, "--seed", seed,
                 "--samples-per-shard", 1000, "--out", data / part], log)
    tokenizer = args.out / "tokenizer.model"
    if not tokenizer.exists():
        folder = args.out / "tokenizer_run"
        run([args.opencloc, "train", "--objective", "clip", "--data", data / "train_all/00000.tar", "--model", args.model, "--steps",
             1, "--batch-size", 8, "--report-pictures", 0, "--out", folder], log)
        os.link(folder / "model/tokenizer.model", tokenizer)


def shards(args, distinct):
    """The first `distinct` scenes."""
    count = (args.samples if distinct == 0 else distinct) // 1000
    return "::".join(str(args.out / f"data/train_all/{i:05}.tar") for i in range(max(1, count)))


def figures_of(args, arm, model, log):
    data = args.out / "data"
    wanted = {"knn": ["--train-data", data / "probe"]}
    if arm != "M3AE":  # its texts have learned nothing
        wanted["zeroshot,retrieval,region_recognition"] = ["--region-method", "roi_align_penultimate"]
    results = {}
    for tasks, flags in wanted.items():
        out = log.with_suffix(f".{file_name(tasks)}.json")
        run([args.opencloc, "eval", "--model", model, "--data", data / "val", "--tasks", tasks, *flags, "--threads", args.threads,
             "--out", out], log)
        results.update(json.loads(out.read_text()))
    if args.objective == "cloc":
        out = log.with_suffix(".prompter.json")
        run([args.opencloc, "eval", "--model", model, "--data", data / "val", "--tasks", "region_recognition", "--region-method",
             "prompter", "--threads", args.threads, "--out", out], log)
        results["prompter"] = json.loads(out.read_text())["region_recognition"]
    for name, label in (("probe", "label"), ("probe_regions", "regions"), ("probe_quadrant", "quadrant")):
        out = log.with_suffix(f".{name}.json")
        run([args.opencloc, "eval", "--model", model, "--data", data / "val", "--tasks", "linear_probe", "--train-data",
             data / "probe", "--probe-label", label, "--threads", args.threads, "--out", out], log)
        results[name] = json.loads(out.read_text())["linear_probe"]
    return results


def train(args, arm, distinct, seed):
    folder = args.out / args.objective / f"{file_name(arm)}_{distinct}_s{seed}"
    flags, times = ARMS[arm]
    if "--objective" not in flags:
        flags = ["--objective", args.objective, *flags]
    architecture = args.model
    if "--model" in flags:
        at = flags.index("--model")
        architecture = pooled(args, flags[at + 1])
        flags = flags[:at] + flags[at + 2:]
    log = folder / "log.txt"

    def make():
        start = time.time()
        run([args.opencloc, "train", "--data", shards(args, distinct), "--model", architecture,
             "--tokenizer", args.out / "tokenizer.model", "--samples", int(times * args.samples) // 64 * 64, "--batch-size", 64,
             "--lr", "2e-3", "--warmup", 100, "--text-lr-scale", "0.1", "--wd", "0.1", "--augment", "off", "--report-pictures",
             4, "--seed", seed, "--threads", args.threads, "--workers", 1, *flags, "--out", folder / "run"], log)
        seconds = time.time() - start
        results = figures_of(args, arm, folder / "run/model", log)
        results["time"] = {"train": seconds}
        print(f"{args.objective}, {arm}, {distinct or 'all'} distinct, seed {seed}: {seconds:.0f} s", flush=True)
        return results

    return once(folder / "results.json", make)


def figure(results, task, key):
    value = results.get(task, {})
    return value.get(key) if isinstance(value, dict) else None


def found(args, arm, distinct):
    paths = {seed: args.out / args.objective / f"{file_name(arm)}_{distinct}_s{seed}/results.json"
             for seed in range(1, args.seeds + 1)}
    return {seed: json.loads(path.read_text()) for seed, path in paths.items() if path.exists()}


def tables(args):
    for distinct in args.distinct:
        print(f"### {args.objective.upper()}, {f'{distinct:,} distinct scenes' if distinct else 'scenes never repeated'}\n")
        print("| arm | seeds | " + " | ".join(f[0] for f in FIGURES) + " |\n" + "|---" * (len(FIGURES) + 2) + "|")
        for arm in ARMS:
            runs = list(found(args, arm, distinct).values())
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
        print()
    print("| arm - CLIP | figure | " + " | ".join(str(d or "never repeated") for d in args.distinct) + " |")
    print("|---" * (len(args.distinct) + 2) + "|")
    for arm in ARMS:
        for title, task, key in FIGURES[:-1]:
            cells = []
            for distinct in args.distinct:
                one, base = found(args, arm, distinct), found(args, "CLIP", distinct)
                pairs = [100 * (figure(one[s], task, key) - figure(base[s], task, key)) for s in one
                         if s in base and figure(one[s], task, key) is not None and figure(base[s], task, key) is not None]
                if pairs and arm != "CLIP":
                    mean, said = verdict(pairs)
                    cells.append(f"{mean:+.1f}, {said}")
                else:
                    cells.append("-")
            if any(cell != "-" for cell in cells):
                print(f"| {arm} | {title} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--objective", default="clip", choices=["clip", "cloc"])
    parser.add_argument("--arms", default=",".join(arm.replace(",", ";") for arm in ARMS),
                        help="names by comma (a comma in a name is ;)")
    parser.add_argument("--distinct", type=lambda text: [int(n) for n in text.split(",")], default=[1000, 8000, 0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=38400)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--probe", type=int, default=4000, help="scenes that probes are fitted to")
    parser.add_argument("--names", type=int, default=100)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--model", default="ViT-XXS-16-96")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--table", action="store_true", help="write the tables of what is there and stop")
    args = parser.parse_args()
    if not args.table:
        chosen = [name.replace(";", ",") for name in args.arms.split(",")]
        if args.objective == "cloc":  # regions need all patches, and M3AE stands beside CLIP already
            chosen = [arm for arm in chosen if arm not in ("FLIP", "M3AE")]
        prepare(args)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            work = [(arm, distinct, seed) for seed in range(1, args.seeds + 1) for distinct in args.distinct for arm in chosen]
            for done in [pool.submit(train, args, *item) for item in work]:
                done.result()
    tables(args)


if __name__ == "__main__":
    main()
