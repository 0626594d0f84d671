#!/usr/bin/env python3
"""What does a language model read off a tower? Trains one small reader, from scratch, over each of several towers, and
scores its answers: referring, naming, pointing, grounding, existence, counting, relations.

    bench/mllm_miniature.py --out runs/mllm --shared ../shared             (8 arms, 3 seeds, two layers, two worlds: hours)
    bench/mllm_miniature.py --out runs/mllm --worlds scenes --seeds 1 --layers -1 --pictures 4000     (a part of it)
    bench/mllm_miniature.py --out runs/mllm --table                         (the tables of what is there)

Towers are trained here, all with the same samples ("CLIP 2x" with twice as many, since a CLOC also saw labels). The
reader is frozen-tower unless an arm says otherwise; it is a probe of how readable the tokens are. Worlds: generated
scenes, and 2 x 2 mosaics of photos (--shared has them), where only referring, pointing, naming, grounding and existence
are asked. "photos-20" has the photos of the first 20 names only, which a small reader can learn. Beside each mean: the standard deviation over the seeds. Verdicts are by pairs of equal seeds: "seen" is the
same sign with every seed, and a mean of more than two standard errors.

Finished parts are kept: call it again to go on. Needs python3's standard library only.
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

# name -> flags of `opencloc train`, times the samples.
TOWERS = {
    "CLIP": (["--objective", "clip"], 1),
    "CLIP 2x": (["--objective", "clip"], 2),
    "CLOC": (["--objective", "cloc", "--pool", "prompt"], 1),
    "RoIAlign": (["--objective", "cloc", "--region-extractor", "roi_align"], 1),
}
SAMPLER = ["--region-source", "sampler", "--sampler", "64/32/8/6"]
NONE = ["--region-source", "none"]
PROMPTER = ["--region-source", "prompter", "--train-prompter"]
# name -> tower, flags of `opencloc mllm train`. Numbers are those of the paper's design (1 to 8), letters are checks.
ARMS = {
    "1 blind": ("CLIP", NONE + ["--blind"]),
    "2 CLIP, numbers alone": ("CLIP", NONE),
    "3 CLIP, sampler": ("CLIP", SAMPLER),
    "4 CLOC, sampler": ("CLOC", SAMPLER),
    "5 CLOC, Prompter (CLOC*)": ("CLOC", PROMPTER),
    "6 trained with RoIAlign, sampler": ("RoIAlign", SAMPLER),
    "7 CLOC, numbers alone": ("CLOC", NONE),
    "8 CLIP 2x, sampler": ("CLIP 2x", SAMPLER),
    "3m CLIP, mean": ("CLIP", ["--region-source", "mean", "--sampler", "64/32/8/6"]),
    "4m CLOC, mean": ("CLOC", ["--region-source", "mean", "--sampler", "64/32/8/6"]),
    "3u CLIP, sampler, tower learns": ("CLIP", SAMPLER + ["--unlock-vision"]),
    "4u CLOC, sampler, tower learns": ("CLOC", SAMPLER + ["--unlock-vision"]),
    "5u CLOC, Prompter, tower learns": ("CLOC", PROMPTER + ["--unlock-vision"]),
    "3w CLIP, sampler, 6 x 256": ("CLIP", SAMPLER + ["--lm", "6x256"]),
    "4w CLOC, sampler, 6 x 256": ("CLOC", SAMPLER + ["--lm", "6x256"]),
    "5w CLOC, Prompter, 6 x 256": ("CLOC", PROMPTER + ["--lm", "6x256"]),
}
MAIN = [arm for arm in ARMS if arm[1] == " "]
MIX = {"scenes": "refer:20,name:10,point:10,ground:20,ground_many:10,exists:10,count:8,relation:7,caption:5",
       "photos": "refer:30,name:15,point:15,ground:25,exists:15"}

# Title, task, figure.
COLUMNS = [("refer, strict", "refer", "strict_acc"), ("refer, Ferret's", "refer", "acc"), ("name", "name", "strict_acc"),
           ("point, strict", "point", "strict_acc"), ("ground", "ground", "acc@0.5"),
           ("constant box", "ground", "constant_box"), ("several phrases", "ground_many", "recall@1"),
           ("exists", "exists", "accuracy"), ("random", "exists", "random"), ("frequent", "exists", "frequent"),
           ("together", "exists", "together"), ("count", "count", "acc"), ("relation", "relation", "acc")]


def mix_of(world):
    return MIX[world.split("-")[0]]


def photos(args, world, part):
    """The shards of photographs: all, or copies that keep the first names only ("photos-20")."""
    shards = sorted((args.shared / "data/tiny_imagenet").glob(f"{part}-*.tar.gz"))
    if world == "photos":
        return "::".join(map(str, shards))
    kept = set((args.shared / "data/tiny_imagenet/classes.txt").read_text().splitlines()[:int(world.split("-")[1])])
    out = args.out / world / f"data/photos_{part}.tar"
    if not out.exists():
        with tarfile.open(out.with_suffix(".part"), "w") as made:
            for shard in shards:
                with tarfile.open(shard) as given:
                    members = {member.name: (member, given.extractfile(member).read()) for member in given}
                stems = {name[:-5] for name, (_, data) in members.items()
                         if name.endswith(".json") and json.loads(data)["label"] in kept}
                for name, (member, data) in members.items():
                    if os.path.splitext(name)[0] in stems:
                        made.addfile(member, io.BytesIO(data))
        os.rename(out.with_suffix(".part"), out)
    return out


def prepare(args, world):
    """Pictures to learn from and to be asked about, both with dialogues, and a tokenizer for all towers."""
    data, log, oc = args.out / world / "data", args.out / world / "log.txt", args.opencloc
    data.mkdir(parents=True, exist_ok=True)
    for part, count, seed in (("train", args.distinct, 1), ("val", args.test, 2)):
        if not (data / part).exists():
            if world == "scenes":
                run([oc, "data", "scenes", "--count", count, "--size", args.size, "--names", args.names, "--repeats", args.repeats,
                     "--seed", seed, "--out", data / part], log)
            else:
                run([oc, "data", "mosaic", "--data", photos(args, world, part), "--grid", 2, "--count", count, "--size", args.size,
                     "--seed", seed, "--regions", "tiles", "--out", data / part], log)
        order = "alternating" if part == "val" else "random"
        if not (data / f"talking_{part}").exists():
            run([oc, "data", "dialogues", "--data", data / part, "--tasks", mix_of(world), "--per-picture", 8, "--order",
                 order, "--seed", seed, "--out", data / f"talking_{part}"], log)
    tokenizer = args.out / world / "tokenizer.model"
    if not tokenizer.exists():
        folder = args.out / world / "tokenizer_run"
        run([oc, "train", "--data", data / "train", "--model", args.model, "--steps", 1, "--batch-size", 8,
             "--report-pictures", 0, "--out", folder], log)
        os.link(folder / "model/tokenizer.model", tokenizer)


def train_tower(args, world, tower, seed):
    folder = args.out / world / "towers" / f"{file_name(tower)}_s{seed}"
    flags, times = TOWERS[tower]

    def make():
        start = time.time()
        run([args.opencloc, "train", "--data", args.out / world / "data/train", "--model", args.model, "--tokenizer",
             args.out / world / "tokenizer.model", "--samples", times * args.tower_samples, "--batch-size", 64, "--lr",
             "2e-3", "--warmup", 100, "--text-lr-scale", "0.1", "--wd", "0.1", "--augment", "off", "--report-pictures", 0,
             "--seed", seed, "--precision", args.precision, "--threads", args.threads, "--workers", 1, *flags, "--out",
             folder / "run"], args.out / world / f"tower_{file_name(tower)}_s{seed}.txt")
        return {"seconds": time.time() - start}

    once(folder / "done.json", make)
    return folder / "run/model"


def read(args, world, arm, layer, seed):
    """Trains and asks one reader -> its results."""
    tower, flags = ARMS[arm]
    folder = args.out / world / f"layer{layer}" / f"{file_name(arm)}_s{seed}"
    log = args.out / world / f"layer{layer}_{file_name(arm)}_s{seed}.txt"
    language = [] if "--lm" in flags else ["--lm", args.lm]

    def make():
        start = time.time()
        run([args.opencloc, "mllm", "train", "--vision", train_tower(args, world, tower, seed), "--data",
             args.out / world / "data/talking_train", "--samples", args.pictures, "--batch-size", args.batch, "--dialogues", 4,
             "--layer", layer, "--seed", seed, "--precision", args.precision, "--threads", args.threads, "--workers", 1,
             "--report-pictures", 4, *language, *flags, "--out", folder / "run"], log)
        seconds = time.time() - start
        run([args.opencloc, "mllm", "eval", folder / "run/model", "--data", args.out / world / "data/talking_val",
             "--threads", args.threads, "--precision", args.precision, "--out", folder / "eval.json"], log)
        results = json.loads((folder / "eval.json").read_text())
        results["train_seconds"], results["eval_seconds"] = seconds, time.time() - start - seconds
        print(f"{world}, layer {layer}, {arm}, seed {seed}: {seconds:.0f} s", flush=True)
        return results

    return once(folder / "results.json", make)


def figure(results, task, key):
    value = results.get(task, {}).get(key)
    return value.get("accuracy") if isinstance(value, dict) else value


def found(args, world, layer, arm):
    """Results by seed, of those that are there."""
    paths = {seed: args.out / world / f"layer{layer}" / f"{file_name(arm)}_s{seed}" / "results.json"
             for seed in range(1, args.seeds + 1)}
    return {seed: json.loads(path.read_text()) for seed, path in paths.items() if path.exists()}


def table(args, world, layer):
    columns = [c for c in COLUMNS if world == "scenes" or c[1] in MIX["photos"]]
    lines = [f"### {world}, layer {layer}\n", "| arm | seeds | " + " | ".join(c[0] for c in columns) + " | train s |",
             "|---" * (len(columns) + 3) + "|"]
    for arm in ARMS:
        runs = list(found(args, world, layer, arm).values())
        if not runs:
            continue
        cells = []
        for _, task, key in columns:
            values = [v for v in (figure(r, task, key) for r in runs) if v is not None]
            spread = statistics.stdev(values) if len(values) > 1 else 0
            cells.append(f"{100 * statistics.mean(values):.1f} ± {100 * spread:.1f}" if values else "-")
        seconds = statistics.mean(r["train_seconds"] for r in runs)
        lines.append(f"| {arm} | {len(runs)} | " + " | ".join(cells) + f" | {seconds:.0f} |")
    return "\n".join(lines) + "\n"


def pair(args, world, layer, better, worse, task, key):
    """The paired difference in points -> a row of the verdicts, or none."""
    a, b = found(args, world, layer, better), found(args, world, layer, worse)
    both = [seed for seed in a if seed in b and figure(a[seed], task, key) is not None]
    if not both:
        return None
    differences = [100 * (figure(a[s], task, key) - figure(b[s], task, key)) for s in both]
    mean, said = verdict(differences)
    each = ", ".join(f"{d:+.1f}" for d in differences)
    return f"| {better.split(' ')[0]} - {worse.split(' ')[0]} | {task} {key} | {mean:+.1f} | {each} | {said} |"


def verdicts(args, world, layer):
    """The criteria: L2 (4 > 3, 5 >= 4 on boxes, not by numbers alone), L3 (6 beside 3, 4 and 5), L4 (nothing is
    lost), L5 (the same order under each check: u, m, w)."""
    arms = {arm.split(" ")[0]: arm for arm in ARMS}
    regions = [("refer", "strict_acc"), ("name", "strict_acc"), ("point", "strict_acc"), ("ground", "acc@0.5")]
    whole = [("exists", "accuracy"), ("count", "acc"), ("relation", "acc")]
    compared = [("4", "3"), ("5", "4"), ("4", "7"), ("7", "2"), ("6", "3"), ("6", "4"), ("5", "6"), ("4", "8")]
    compared += [(better + check, worse + check) for check in "umw" for better, worse in (("4", "3"), ("5", "4"))]
    wanted = [(p, c) for p in compared for c in regions]
    wanted += [(p, c) for p in (("4", "3"), ("4", "8")) for c in whole]
    rows = [pair(args, world, layer, arms[a], arms[b], task, key) for (a, b), (task, key) in wanted if a in arms and b in arms]
    rows = [row for row in rows if row]
    if not rows:
        return ""
    head = ["| arms | figure | mean difference | by seed | verdict |", "|---|---|---|---|---|"]
    return "\n".join(head + rows) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
    parser.add_argument("--worlds", default="scenes,photos")
    parser.add_argument("--layers", default="-1,-2")
    parser.add_argument("--arms", default="main", help="main (1 to 8), all, or the first words of some: 3,4,5")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--distinct", type=int, default=20000, help="pictures made for training")
    parser.add_argument("--test", type=int, default=600, help="pictures to be asked about")
    parser.add_argument("--names", type=int, default=40, help="of the scenes' objects")
    parser.add_argument("--repeats", type=float, default=0.3, help="chance that an object of a scene has an earlier one's name")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--model", default="ViT-XXS-16-96")
    parser.add_argument("--tower-samples", type=int, default=38400)
    parser.add_argument("--pictures", type=int, default=40000, help="that each reader sees")
    parser.add_argument("--batch", type=int, default=8, help="pictures a step of a reader")
    parser.add_argument("--lm", default="4x192")
    parser.add_argument("--precision", default="fp32", help="bf16 where the processor has AMX")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--table", action="store_true", help="write the tables of what is there and stop")
    args = parser.parse_args()
    worlds, layers = args.worlds.split(","), args.layers.split(",")
    if not args.table:
        chosen = {"main": MAIN, "all": list(ARMS)}.get(args.arms)
        if chosen is None:
            chosen = [arm for arm in ARMS if arm.split(" ")[0] in args.arms.split(",")]
        for world in worlds:
            prepare(args, world)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for seed in range(1, args.seeds + 1):
                towers = [(world, tower, seed) for world in worlds for tower in sorted({ARMS[arm][0] for arm in chosen})]
                readers = [(world, arm, layer, seed) for world in worlds for layer in layers for arm in chosen]
                for work, items in ((train_tower, towers), (read, readers)):
                    for done in [pool.submit(work, args, *item) for item in items]:
                        done.result()
    for world in worlds:
        for layer in layers:
            print(table(args, world, layer))
            print(verdicts(args, world, layer))


if __name__ == "__main__":
    main()
