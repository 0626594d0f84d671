#!/usr/bin/env python3
"""A small captioner: trains coca-XXS-16-96 on generated scenes, lets `label --captioner` write captions for scenes it
has not seen, and counts how many name an object that is there.

    bench/captioner.py --out runs/captioner --steps 500

The same captions beside the next picture's objects are the chance. Needs python3's standard library only; the work is
done by the opencloc binary. Finished steps are kept: call it again to go on.
"""
import argparse
import json
import pathlib
import re
import subprocess
import tarfile


def run(binary, *arguments):
    subprocess.run([binary, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def records(folder):
    """The records of a folder of shards, in order."""
    for shard in sorted(pathlib.Path(folder).glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    yield json.load(tar.extractfile(member))


def names(record):
    return {region["text"].lower() for region in record["regions"]}


def names_one_of(caption, objects):
    return any(re.search(rf"\b{re.escape(name)}\b", caption) for name in objects)


def share(hits):
    return f"{100 * sum(hits) / len(hits):.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--scenes", type=int, default=10000)
    parser.add_argument("--names", type=int, default=100)
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--examples", type=int, default=8)
    options = parser.parse_args()
    for part, count, seed in (("train", options.scenes, 1), ("new", options.held_out, 2)):
        if not (options.out / part).exists():
            run(options.opencloc, "data", "scenes", "--size", 96, "--names", options.names, "--count", count,
                "--seed", seed, "--out", options.out / part)
    run(options.opencloc, "train", "--objective", "coca", "--model", "coca-XXS-16-96", "--data", options.out / "train",
        "--steps", options.steps, "--batch-size", options.batch_size, "--lr", 0.001, "--vocab-size", 1000,
        "--report-pictures", 0, "--out", options.out / "run")
    labelled = options.out / f"captioned-{options.steps}-{options.beams}"
    run(options.opencloc, "label", "--data", options.out / "new", "--stages", "caption", "--detector-kind", "none",
        "--captioner", options.out / "run" / "model", "--captioner-beams", options.beams, "--overwrite",
        "--out", labelled)
    truth, written = list(records(options.out / "new")), list(records(labelled))
    captions = [record["caption"].lower() if "failure" not in record["vesl"]["caption"] else "" for record in written]
    objects = [names(record) for record in truth]
    others = objects[1:] + objects[:1]
    print(f"{len(captions)} pictures, {captions.count('')} without a caption, {len(set(captions))} different captions")
    print("name an object that is there:", share([names_one_of(*pair) for pair in zip(captions, objects)]))
    print("name one of the next picture's:", share([names_one_of(*pair) for pair in zip(captions, others)]))
    for caption, record in list(zip(captions, truth))[:options.examples]:
        print(f"| {record['caption']} | {caption} |")


if __name__ == "__main__":
    main()
