#!/usr/bin/env python3
"""Does a CLOC model recognise what it has never been shown? Trains on scenes of every training name (1,061) and
evaluates on scenes of the 123 held-out names, several seeds, and writes one table.

    bench/held_out_names.py --out runs/held_out --samples 128000 --seeds 3
    bench/held_out_names.py --out runs/held_out --table docs/results/held_out_names.md      (the table alone)

Finished runs are kept. Needs python3's standard library only; the work is done by the opencloc binary.
"""
import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import statistics

from steps import run

ROWS = {"CLIP": ["--objective", "clip"], "CLOC": ["--objective", "cloc"]}


def prepare(args):
    """Scenes of training names, others of the same names, and scenes of held-out names."""
    for name, count, seed, more in (("train", args.scenes, 1, []), ("val", 1000, 2, []),
                                    ("held_out", 1000, 3, ["--split", "held-out"])):
        if not (args.out / name).exists():
            run([args.opencloc, "data", "scenes", "--count", count, "--size", 96, "--seed", seed, *more,
                 "--out", args.out / name], args.out / "log.txt")


def train_and_evaluate(args, row, seed):
    folder = args.out / f"{row}_s{seed}"
    if (folder / "held_out.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    run([args.opencloc, "train", "--data", args.out / "train", "--model", args.model, "--samples", args.samples,
         "--seed", seed, "--threads", 1, "--workers", 1, *args.train_flags.split(), *ROWS[row], "--out",
         folder / "train"], log)
    methods = "crop,roi_align" if row == "CLIP" else "prompter"
    for name in ("val", "held_out"):  # the last one marks the run as done
        run([args.opencloc, "eval", "--model", folder / "train/model", "--data", args.out / name, "--tasks",
             "region_recognition", "--region-method", methods, "--threads", 1, "--out", folder / f"{name}.json"], log)


def best(path):
    """Region recognition of the run's best method."""
    result = json.load(open(path))["region_recognition"]
    return max(result.get("methods", {"": result}).values(), key=lambda method: method["acc1"])


def table(args):
    lines = ["| row | seeds | training names acc1 % | held-out names acc1 % | acc5 % | chance % | regions |", "|---" * 7 + "|"]
    for row in ROWS:
        folders = [f for f in sorted(args.out.glob(f"{row}_s*")) if (f / "held_out.json").exists()]
        if not folders:
            continue
        seen = [best(f / "val.json")["acc1"] for f in folders]
        held = [best(f / "held_out.json") for f in folders]

        def cell(values):
            spread = statistics.stdev(values) if len(values) > 1 else math.nan
            return f"{100 * statistics.mean(values):.1f} ± {100 * spread:.1f}"
        lines.append(f"| {row} | {len(folders)} | {cell(seen)} | {cell([h['acc1'] for h in held])} | "
                     f"{cell([h['acc5'] for h in held])} | {100 / held[0]['classes']:.1f} | {held[0]['n']} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--samples", type=int, default=128000, help="samples seen by every run")
    parser.add_argument("--scenes", type=int, default=40000)
    parser.add_argument("--model", default="ViT-XXS-16-96")
    parser.add_argument("--train-flags", default="--batch-size 64 --lr 2e-3 --warmup 100 --wd 0.1 --augment off "
                        "--text-lr-scale 0.1 --precision bf16 --report-pictures 0")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time, a core each")
    parser.add_argument("--rows", default="", help="only rows with this text")
    parser.add_argument("--table", type=pathlib.Path, help="write the table of what is there and stop")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.table:
        args.table.write_text(table(args))
        return
    prepare(args)
    work = [(row, seed) for seed in range(1, args.seeds + 1) for row in ROWS if args.rows in row]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in [pool.submit(train_and_evaluate, args, *item) for item in work]:
            done.result()
    print(table(args))


if __name__ == "__main__":
    main()
