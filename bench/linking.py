#!/usr/bin/env python3
"""How well mentions are linked to entities, where the truth is known (docs/results/linking.md).

E1: the 100 names of tiny_imagenet, whose records carry WordNet's offset. The CLIP is trained on the names that have
    one sense in WordNet; the others' pictures are new to it.
E2: scenes whose alt-texts name things by any alias, 30 % of them not there. The CLIP is trained on the captions of
    other scenes.

    bench/linking.py --out /tmp/linking [--seeds 1 2 3] [--only e1]
Needs WordNet (Debian: wordnet-base) and the shared data. About 3 minutes a seed and experiment on two cores."""
import argparse
import collections
import io
import json
import os
import pathlib
import statistics
import subprocess
import tarfile
import time

import steps

MODEL = {"model_cfg": {"embed_dim": 128,
                       "vision_cfg": {"image_size": 64, "layers": 4, "width": 128, "patch_size": 8},
                       "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2}},
         "preprocess_cfg": {"resize_mode": "longest", "fill_color": 0, "interpolation": "bicubic"}}


def senses(base):
    """Alias in lower case -> {id: prior}."""
    table = collections.defaultdict(lambda: collections.defaultdict(float))
    for line in (base / "aliases.tsv").read_text().splitlines()[1:]:
        alias, entity, prior = line.split("\t")
        table[alias.lower()][entity] += float(prior or 0)
    return table


def samples(path):
    """(key, {extension: bytes}) of a shard."""
    groups = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, extension = member.name.split(".", 1)
            groups.setdefault(key, {})[extension] = tar.extractfile(member).read()
    return groups.items()


def write_shard(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, files in rows:
            for extension, data in files.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def train(args, data, folder, seed, samples_seen):
    if not (folder / "model").exists():
        model = args.out / "model.json"
        model.write_text(json.dumps(MODEL))
        steps.run([args.opencloc, "train", "--objective", "clip", "--data", data, "--model", model, "--samples", samples_seen,
             "--seed", seed, "--out", folder, "--threads", args.threads, "--workers", 1, *args.train_flags.split()],
            folder.parent / f"{folder.name}.txt")
    return folder / "model"


def link(args, data, base, out, flags, key):
    steps.run([args.opencloc, "label", "--data", data, "--out", out, "--stages", "mentions,link", "--entities", base,
         "--threads", args.threads, "--overwrite", *flags], out.parent / f"{out.name}.txt")
    answer = subprocess.run([args.opencloc, "label", "--data", out, "--entities", base, "--against", key, "--json"],
                            stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout)


def percent(values):
    values = [100 * v for v in values]
    return f"{statistics.mean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def table(rows, columns):
    lines = ["| " + " | ".join(["", *[title for title, _, _ in columns]]) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, results in rows.items():
        cells = []
        for _, stage, figure in columns:
            values = [r[stage][figure] for r in results if stage in r]
            cells.append(percent(values) if values else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def e1(args, wordnet):
    tiny = args.shared / "data/tiny_imagenet"
    table_of = senses(wordnet)
    truth = {}
    for _, files in samples(tiny / "val-00000.tar.gz"):
        record = json.loads(files["json"])
        truth[record["label"]] = record["wnid"][1:]
    clear = {name for name in truth if len(table_of[name.lower()]) == 1}
    first = sum(max(table_of[n.lower()].items(), key=lambda item: item[1])[0] == i for n, i in truth.items())
    train_shard = args.out / "e1/train/00000.tar"
    if not train_shard.exists():
        rows = []
        for n, path in enumerate(sorted(tiny.glob("train-*.tar.gz"))):
            rows += [(f"{n}-{key}", files) for key, files in samples(path) if json.loads(files["json"])["label"] in clear]
        write_shard(train_shard, rows)
    off = ["--min-image-score", "off"]
    rows = collections.defaultdict(list)
    rows["prior (with the names' case)"].append(
        link(args, tiny / "val-00000.tar.gz", wordnet, args.out / "e1/prior", ["--link", "prior:1", *off], "wnid"))
    for seed in args.seeds:
        clip = train(args, args.out / "e1/train", args.out / f"e1/clip{seed}", seed, args.samples)
        for name, evidence, rounds, weights in (
                ("prior + image, texts only", "text", 1, "prior:1,image:1"),
                ("prior + image, types, round 1", "prototype,type", 1, "prior:1,image:1"),
                ("prior + image, types, round 2", "prototype,type", 2, "prior:1,image:1"),
                ("prior + image, all evidence, round 1", "prototype,type,text", 1, "prior:1,image:1"),
                ("prior + image, all evidence, round 2", "prototype,type,text", 2, "prior:1,image:1"),
                ("prior + image x 2, types, round 2", "prototype,type", 2, "prior:1,image:2")):
            rows[name].append(link(args, tiny / "val-00000.tar.gz", wordnet, args.out / "e1/linked",
                                   ["--clip", clip, "--link", weights, "--image-evidence", evidence,
                                    "--link-rounds", rounds, *off], "wnid"))
    print(f"\nE1: {len(truth)} names, {len(clear)} with one sense; WordNet's first sense is right for {first}\n")
    print(table(rows, [("precision", "before_selection", "precision"), ("recall", "before_selection", "recall"),
                       ("on ambiguous names", "before_selection", "ambiguous_precision")]))


def e2(args, emoji):
    rows = collections.defaultdict(list)
    for seed in args.seeds:
        here = args.out / f"e2/seed{seed}"
        common = ["--size", 64, "--names", args.names, "--max-objects", 3]
        if not (here / "linked_data").exists():
            steps.run([args.opencloc, "data", "scenes", "--count", args.scenes, "--seed", 100 + seed, "--out", here / "train",
                       *common], here / "data.txt")
            steps.run([args.opencloc, "data", "scenes", "--count", 3000, "--seed", 200 + seed, "--alt-text", "aliases",
                       "--entities", emoji, "--out", here / "linked_data", *common], here / "data.txt")
        clip = train(args, here / "train", here / "clip", seed, args.samples)
        for name, flags in (
                ("prior", ["--link", "prior:1", "--min-image-score", "off"]),
                ("prior + seen", ["--link", "prior:1,seen:1", "--min-image-score", "off", "--clip", clip]),
                ("prior + context", ["--link", "prior:1,context:1", "--min-image-score", "off", "--clip", clip]),
                ("prior + image", ["--link", "prior:1,image:1", "--min-image-score", "off", "--clip", clip]),
                ("prior + seen + image, kept: p50", ["--link", "prior:1,seen:1,image:1", "--min-image-score", "p50", "--clip", clip]),
                ("prior + seen + image, kept: p80", ["--link", "prior:1,seen:1,image:1", "--min-image-score", "p80", "--clip", clip]),
                ("prior + seen + image, kept: p95", ["--link", "prior:1,seen:1,image:1", "--min-image-score", "p95", "--clip", clip]),
                ("the same, one round", ["--link", "prior:1,seen:1,image:1", "--min-image-score", "p95", "--clip", clip,
                                         "--link-rounds", 1]),
                ("all, p95", ["--link", "prior:1,seen:1,context:1,image:1", "--min-image-score", "p95", "--clip", clip])):
            rows[name].append(link(args, here / "linked_data", emoji, here / "linked",
                                   ["--mentions-from", "alt_text", *flags], "mentions"))
    print("\nE2: scenes' alt-texts by aliases\n")
    print(table(rows, [("mention precision", "mentions", "precision"), ("mention recall", "mentions", "recall"),
                       ("right of ambiguous mentions: prior", "prior", "ambiguous_precision"),
                       ("+ seen, context", "context", "ambiguous_precision"), ("+ image", "image", "ambiguous_precision"),
                       ("precision before selection", "before_selection", "precision"),
                       ("recall", "before_selection", "recall"),
                       ("precision kept", "kept", "precision"), ("recall kept", "kept", "recall")]))


def speed(args, wordnet):
    """Mentions and links per second of texts without pictures' evidence, WordNet and a million entities."""
    def timed(command, log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as sink:
            begin = time.monotonic()
            process = subprocess.Popen([str(part) for part in command], stdout=sink, stderr=sink)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begin
        if status != 0:
            raise SystemExit(f"failed, see {log}")
        return seconds, usage.ru_maxrss / 1024

    here = args.out / "speed"
    for name, count in (("one", 1), ("scenes", args.texts)):
        if not (here / name).exists():
            steps.run([args.opencloc, "data", "scenes", "--count", count, "--size", 32, "--seed", 1, "--out", here / name],
                      here / "data.txt")
    lines = [line.split("\t")[1] for line in (wordnet / "entities.tsv").read_text().splitlines()[1:]]
    million = here / "million"
    if not million.exists():
        tables = here / "tables"
        tables.mkdir(parents=True, exist_ok=True)
        with open(tables / "entities.tsv", "w") as entities, open(tables / "aliases.tsv", "w") as aliases:
            entities.write("id\tname\tpopularity\n")
            aliases.write("alias\tid\n")
            for i in range(1_000_000):
                name = lines[i] if i < len(lines) else f"{lines[i % len(lines)]} {lines[i * 7919 % len(lines)]}"
                entities.write(f"Q{i}\t{name}\t{i % 97}\n")
                aliases.write(f"{name}\tQ{i}\n" + (f"{name.split()[-1]}\tQ{i}\n" if i % 2 else ""))
        seconds, mebibytes = timed([args.opencloc, "data", "entities", "--format", "tsv", "--source", tables, "--out",
                                    million], here / "million.txt")
        print(f"\ndata entities, a million of them: {seconds:.1f} s, {mebibytes:.0f} MiB")
    print("\n| base | entities | reading the base s | texts/s | mentions/s | peak MiB |\n|---|---|---|---|---|---|")
    for name, base in (("WordNet", wordnet), ("a million", million)):
        common = ["--entities", base, "--stages", "mentions,link", "--mentions-from", "alt_text", "--link", "prior:1",
                  "--min-image-score", "off", "--threads", args.threads, "--overwrite"]
        few, _ = timed([args.opencloc, "label", "--data", here / "one", "--out", here / "few", *common], here / "few.txt")
        seconds, mebibytes = timed([args.opencloc, "label", "--data", here / "scenes", "--out", here / "linked",
                                    *common], here / "linked.txt")
        stages = [json.loads(path.read_text())["stages"] for path in (here / "linked").glob("*.report.json")]
        texts = sum(stage["mentions"]["texts"] for stage in stages)
        mentions = sum(stage["mentions"]["mentions"] for stage in stages)
        size = json.loads((base / "entities.json").read_text())["entities"]
        print(f"| {name} | {size:,} | {few:.1f} | {texts / (seconds - few):.0f} | {mentions / (seconds - few):.0f} | "
              f"{mebibytes:.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--samples", type=int, default=40000, help="that each CLIP sees")
    parser.add_argument("--scenes", type=int, default=8000)
    parser.add_argument("--names", type=int, default=120, help="of the scenes' world")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["e1", "e2", "speed"])
    parser.add_argument("--texts", type=int, default=20000, help="that the speed is measured with")
    parser.add_argument("--train-flags", default="--batch-size 64 --lr 2e-3 --warmup 100 --wd 0.1 --augment off "
                        "--precision bf16 --report-pictures 0")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    wordnet, emoji = args.out / "wordnet", args.out / "emoji"
    if not emoji.exists():
        log = args.out / "entities.txt"
        steps.run([args.opencloc, "data", "entities", "--format", "wordnet", "--source", "/usr/share/wordnet", "--overwrite",
                   "--out", wordnet], log)
        steps.run([args.opencloc, "data", "entities", "--format", "emoji", "--source",
                   "/usr/share/unicode/emoji/emoji-test.txt", "--wordnet", "/usr/share/wordnet", "--out", emoji], log)
    # Emoji in the order of their code points: the order of the list is that of the scenes' worlds, and breaks ties.
    by_code, table_files = args.out / "emoji_by_code", args.out / "emoji_tables"
    if not by_code.exists():
        table_files.mkdir(exist_ok=True)
        head, *lines = (emoji / "entities.tsv").read_text().splitlines()
        (table_files / "entities.tsv").write_text("\n".join([head, *sorted(lines)]) + "\n")
        (table_files / "aliases.tsv").write_text((emoji / "aliases.tsv").read_text())
        steps.run([args.opencloc, "data", "entities", "--format", "tsv", "--source", table_files, "--out", by_code],
                  args.out / "entities.txt")
    if args.only in (None, "e1"):
        e1(args, wordnet)
    if args.only in (None, "e2"):
        e2(args, by_code)
    if args.only in (None, "speed"):
        speed(args, wordnet)


if __name__ == "__main__":
    main()
