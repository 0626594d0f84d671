#!/usr/bin/env python3
"""Is the embedded captioner of use? coca-XXS-16-96 learns from generated scenes and their captions, `label --captioner`
writes captions for scenes that it has not seen, and they are judged beside the truth and beside chance, with several seeds:

    bench/captioner.py --out runs/captioner                            (3 seeds: about two hours of a core)
    bench/captioner.py --out runs/captioner --table                    (the tables of what is there)

1. By their words: how many captions name an object that is there, how many of the objects are named, how many of the named
   objects are there, whole captions that are new. The truth is what the scenes' own captions reach; chance are the
   captioner's captions, each beside the next picture.
2. As the data engine's input (VESL): a teacher CLOC, trained on the same scenes with their boxes, labels the unseen scenes,
   whose boxes are hidden, from the phrases of each kind of caption, and of the scenes' alt-texts. The labels are compared
   with the hidden truth. Students, which go on from the teacher with each labelling, are compared on other scenes.

Differences are by pairs of equal seeds (bench/steps.py). Finished steps are kept: call it again to go on. Needs python3's
standard library only; the work is done by the opencloc binary.
"""
import argparse
import json
import pathlib
import re
import statistics
import tarfile

from steps import file_name, found_seeds, once, rewrite_shards, run, tables
from vesl_miniature import hide_regions, quality, records

OURS, TRUTH, CHANCE, ALT = "the captioner's captions", "the scenes' own captions", "the captioner's, of the next picture", "alt-texts"
# (title, path, nothing taken off)
WORDS = [
    ("name an object that is there", "words/one_named/share", None),
    ("objects named", "words/recall/share", None),
    ("named objects that are there", "words/precision/share", None),
    ("captions that differ", "words/different/share", None),
    ("captions of the training data", "words/known/share", None),
]
LABELS = [
    ("label recall@0.5", "labels/recall", None),
    ("precision", "labels/precision", None),
    ("named recall", "labels/named_recall", None),
    ("named precision", "labels/named_precision", None),
    ("student: region acc1", "student/region_recognition/acc1", None),
    ("student: class mean", "student/region_recognition/mean_per_class_recall", None),
    ("student: image R@1", "student/retrieval/image_retrieval_recall@1", None),
]


def names(record):
    return {region["text"].lower() for region in record.get("regions", [])}


def named(caption, vocabulary):
    """Names of the vocabulary in a caption, as whole words; of names inside one another the longest."""
    return set(vocabulary.findall(caption.lower()))


def as_pattern(all_names):
    return re.compile(r"\b(?:" + "|".join(re.escape(n) for n in sorted(all_names, key=len, reverse=True)) + r")\b")


def judge(captions, objects, vocabulary, known):
    """captions: one of every picture, "" where there is none. objects: the names in each. known: captions of the training data."""
    said = [named(caption, vocabulary) for caption in captions]
    right = [len(s & o) for s, o in zip(said, objects)]
    counts = {"one_named": (sum(r > 0 for r in right), len(captions)), "recall": (sum(right), sum(map(len, objects))),
              "precision": (sum(right), sum(map(len, said))), "different": (len(set(captions)), len(captions)),
              "known": (sum(c in known for c in captions), len(captions))}
    shares = {name: {"share": part / n if n else 0.0, "n": n} for name, (part, n) in counts.items()}
    return {**shares, "without": captions.count("")}


def make_data(args):
    """train: with captions and boxes; new: the same, hidden from all models (hidden: without boxes); val."""
    data = args.out / "data"
    for seed, (part, count) in enumerate([("train", args.scenes), ("new", args.unseen), ("val", args.test)]):
        if not (data / part).exists():
            run([args.opencloc, "data", "scenes", "--size", args.size, "--names", args.names, "--count", count, "--seed", seed + 1,
                 "--samples-per-shard", 1000, "--out", data / part], args.out / "log.txt")
    hide_regions(data / "new", data / "hidden", True)


def train(args, folder, flags, seed):
    """-> the model's directory."""
    def make():
        run([args.opencloc, "train", "--seed", seed, "--batch-size", args.batch_size, "--report-pictures", 0, "--threads",
             args.threads, "--workers", 1, "--precision", args.precision, *flags, "--out", folder / "run"], folder / "log.txt")
        return True
    once(folder / "trained.json", make)
    return folder / "run/model"


def next_picture(captioned, out):
    """Copies shards, each sample with the caption of the next one."""
    def change(shard):
        captions = [record.get("caption", "") for _, record in shard]
        return [(stem, {**record, "caption": caption}, None)
                for (stem, record), caption in zip(shard, captions[1:] + captions[:1])]
    rewrite_shards(captioned, out, change)


def captions_of(args, folder, seed):
    """What every kind of captions lies in: {kind: (shards, text that phrases are taken from)}."""
    captioner = train(args, folder / "captioner",
                      ["--objective", "coca", "--model", "coca-XXS-16-96", "--data", args.out / "data/train", "--steps",
                       args.steps, "--lr", 0.001, "--vocab-size", 1000], seed)
    captioned = folder / "captioned"

    def write():
        run([args.opencloc, "label", "--data", args.out / "data/hidden", "--stages", "caption", "--detector-kind", "none",
             "--captioner", captioner, "--captioner-beams", args.beams, "--threads", args.threads, "--overwrite", "--out",
             captioned], folder / "log.txt")
        return True
    once(folder / "captioned.json", write)
    next_picture(captioned, folder / "next_picture")
    return {OURS: (captioned, "caption"), TRUTH: (args.out / "data/hidden", "caption"),
            CHANCE: (folder / "next_picture", "caption"), ALT: (args.out / "data/hidden", "alt_text")}


def text_of(record, key):
    """The caption, "" where the captioner gave none and an older one stands there."""
    failed = "failure" in record.get("vesl", {}).get("caption", {})
    return "" if failed else record.get(key, "").lower()


def alt_texts(folder):
    """The .txt members, which records() leaves out."""
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".txt"):
                    yield f"{shard.name}#{member.name[:-4]}", tar.extractfile(member).read().decode().lower()


def one_seed(args, seed):
    folder, data = args.out / f"seed_{seed}", args.out / "data"
    kinds = captions_of(args, folder, seed)
    truth = dict(records(data / "new"))
    training = [record for _, record in records(data / "train")]
    vocabulary = as_pattern({name for record in [*training, *truth.values()] for name in names(record)})
    known = {record["caption"].lower() for record in training}
    start = ["--model", args.model, "--data", data / "train", "--samples", args.teacher_samples, "--lr", args.lr]
    flags = ["--objective", "cloc", "--warmup", args.warmup, *args.train_flags.split()]
    teacher = train(args, folder / "teacher", start + flags, seed)
    for kind, (shards, text) in kinds.items():
        place = folder / file_name(kind)

        def make():
            written = dict(alt_texts(shards)) if kind == ALT else {k: text_of(r, "caption") for k, r in records(shards)}
            texts, objects = [written.get(key, "") for key in truth], [names(record) for record in truth.values()]
            result = {"words": judge(texts, objects, vocabulary, known)}
            run([args.opencloc, "label", "--data", shards, "--text-from", text, "--detector-kind", "cloc", "--detector", teacher,
                 "--threshold", args.threshold, "--threads", args.threads, "--precision", args.precision, "--overwrite", "--out",
                 place / "labelled"], place / "log.txt")
            result["labels"] = quality(data / "new", place / "labelled")
            if args.student_samples:
                student = train(args, place / "student",
                                ["--init", teacher, "--data", f"{data / 'train'}::{place / 'labelled'}", "--data-weights", "1::1",
                                 "--samples", args.student_samples, "--lr", args.student_lr] + flags, seed)
                out = place / "student.json"
                run([args.opencloc, "eval", "--model", student, "--data", data / "val", "--tasks", "retrieval,region_recognition",
                     "--threads", args.threads, "--out", out], place / "log.txt")
                result["student"] = json.loads(out.read_text())
            words = result["words"]
            print(f"seed {seed}, {kind}: {100 * words['one_named']['share']:.1f} % name an object that is there, {words['without']} "
                  f"of {len(texts)} without a text", flush=True)
            return result
        once(place / "results.json", make)
    return kinds


def table(args):
    runs = {kind: found_seeds(lambda seed, kind=kind: args.out / f"seed_{seed}" / file_name(kind), args.seeds)
            for kind in (TRUTH, OURS, CHANCE, ALT)}
    other = lambda kind: None if kind == OURS else OURS
    figures = [f for f in LABELS if args.student_samples or not f[0].startswith("student")]
    parts = ["### By their words\n", tables(runs, WORDS, other), "### As the data engine's input\n", tables(runs, figures, other)]
    boxes = [r["labels"]["regions_per_image"] for r in runs[OURS].values()]
    if boxes:
        parts.append(f"Labels from the captioner's captions: {statistics.mean(boxes):.2f} regions per picture.\n")
    return "\n".join(parts)


def examples(args, kinds):
    """A few captions beside the scenes' own."""
    own, written = dict(records(args.out / "data/new")), dict(records(kinds[OURS][0]))
    return "\n".join(f"| {own[key]['caption']} | {text_of(written[key], 'caption')} |" for key in list(own)[:args.examples])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--scenes", type=int, default=10000, help="for training")
    parser.add_argument("--unseen", type=int, default=4000, help="scenes that are captioned and labelled")
    parser.add_argument("--test", type=int, default=2000, help="scenes on which the students are compared")
    parser.add_argument("--names", type=int, default=100)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=2000, help="of the captioner")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--model", default="ViT-XXS-16-96", help="of teacher and students")
    parser.add_argument("--teacher-samples", type=int, default=64000)
    parser.add_argument("--student-samples", type=int, default=32000, help="0: no students")
    parser.add_argument("--lr", default="2e-3", help="of the teacher")
    parser.add_argument("--student-lr", default="1e-3")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--threshold", default="0.3", help="of the teacher's cycle score")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--train-flags", default="--text-lr-scale 0.1 --wd 0.1 --augment off", help="of teacher and students")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--table", action="store_true", help="write the tables of what is there and stop")
    args = parser.parse_args()
    if not args.table:
        make_data(args)
        for seed in range(1, args.seeds + 1):
            kinds = one_seed(args, seed)
        print(examples(args, kinds))
    print(table(args))


if __name__ == "__main__":
    main()
