#!/usr/bin/env python3
"""Our rules for answers beside Ferret's own evaluation code, on random answers.

    cmake --build build/release --target score_lines
    bench/score_agreement.py --scorer build/release/modules/dialogue/score_lines --repository ~/ml-ferret

The answers are drawn from the signs and words that the rules turn on: negations, commas, brackets that are boxes and
brackets that are not. Compared are: LVIS referring (eval_lvis.py as it is, 500 answers at a time), the boxes and phrases
that eval_flickr_entities.py reads, whether it takes two phrases for the same, and POPE's figures (eval_pope.py). Of
their code only the imports that draw pictures are left out. Blanks are ASCII's: a no-break space is one for Python and
none for us.
"""
import argparse
import contextlib
import io
import json
import os
import random
import re
import runpy
import subprocess
import sys
import tempfile
import types

WORDS = ["fox", "Fox", "bat", "no", "not", "No", "a", "the", "north", " ", "  ", ",", ".", ". ", ", ", "\n", "!", "[",
         "] ", "[1, 2, 3, 4]", "[100, 20, 300, 999]", "[ 7,8 , 9,10]", "[1.5, 2, 3, 4]", "[a]", '"', "'s", "-",
         "stop sign", "aerial", "?", ";", "yes", "Yes", "|", "(x)", "é", "“Ж”", "²", "[5, 6, 7, 8].", "0", "_", ":"]


def draw_text(rng):
    return "".join(rng.choice(WORDS) + rng.choice(["", " ", " "]) for _ in range(rng.randrange(1, 12)))


def draw_rows(count, seed):
    rng, rows = random.Random(seed), []
    for _ in range(count):
        text = draw_text(rng)
        other = rng.choice([draw_text(rng), text.upper(), text.replace(",", " ,"), text.replace(".", "")])
        rows.append({"text": text, "other": other, "name": rng.choice(["fox", "stop_sign", "bat"]),
                     "synonyms": rng.choice([[], ["aerial_(antenna)"], ["north_pole", "bat"]]),
                     "label": rng.choice(["yes", "no"]), "w": rng.choice([640, 1280, 333]),
                     "h": rng.choice([480, 720, 500])})
    return rows


def run_script(path, *arguments):
    """What a script of theirs prints."""
    printed, before = io.StringIO(), sys.argv
    sys.argv = [path, *arguments]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            runpy.run_path(path, run_name="__main__")
    finally:
        sys.argv = before
    return printed.getvalue()


def functions_of(path):
    return runpy.run_path(path, run_name="read")


def write_lines(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def compare_boxes(rows, ours, theirs):
    faults, with_boxes, crashes = [], 0, 0
    for row, our in zip(rows, ours):
        try:
            boxes = [[phrase, *box] for phrase, box in
                     zip(*theirs["decode_bbox_from_caption"](row["text"], row["w"], row["h"]))]
        except ValueError:  # their evaluation then takes the answer to have no box
            boxes = []
        except IndexError:  # their evaluation ends here
            boxes, crashes = [], crashes + 1
        with_boxes += bool(boxes)
        if boxes != our["boxes"]:
            faults.append(f"boxes of {row['text']!r}: {our['boxes']}, theirs {boxes}")
        if theirs["are_phrases_similar"](row["text"], row["other"]) != our["alike"]:
            faults.append(f"{row['text']!r} and {row['other']!r} are the same: {our['alike']}")
    print(f"  {with_boxes} answers with boxes, {crashes} that end Ferret's evaluation")
    print(f"  {sum(our['alike'] for our in ours)} pairs of phrases that are the same")
    return faults


def compare_refer(rows, ours, folder, script):
    faults = []
    for begin in range(0, len(rows), 500):
        part = os.path.join(folder, "lvis.jsonl")
        write_lines(part, rows[begin:begin + 500])
        theirs = re.search(r"Acc:([0-9.]+)%", run_script(script, "--pred_file", part)).group(1)
        our = f"{100 * sum(one['refer'] for one in ours[begin:begin + 500]) / len(rows[begin:begin + 500]):.3f}"
        if our != theirs:
            faults.append(f"referring, answers from {begin} on: {our} %, theirs {theirs} %")
    print(f"  {sum(one['refer'] for one in ours)} answers right by the rule of LVIS referring")
    return faults


def compare_pope(rows, ours, folder, script):
    faults = []
    for begin in range(0, len(rows), 500):
        answers, labels = os.path.join(folder, "answers"), os.path.join(folder, "labels.json")
        os.makedirs(answers, exist_ok=True)
        write_lines(os.path.join(answers, "0.jsonl"), [{"answer": row["text"]} for row in rows[begin:begin + 500]])
        write_lines(labels, [{"label": row["label"]} for row in rows[begin:begin + 500]])
        printed = run_script(script, "--prediction_file", answers, "--annotation_file", labels)
        os.remove(os.path.join(answers, "metric.json"))
        counts = [0, 0, 0, 0]  # yes and there, yes and not, no and not, no and there
        for row, our in zip(rows[begin:begin + 500], ours[begin:begin + 500]):
            there = row["label"] == "yes"
            counts[(0 if there else 1) if our["yes"] else (3 if there else 2)] += 1
        theirs = [int(v) for v in printed.splitlines()[1].split()]
        if theirs != counts:
            faults.append(f"POPE, answers from {begin} on: {counts}, theirs {theirs}")
    print(f"  {sum(not one['yes'] for one in ours)} answers that say no")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scorer", required=True)
    parser.add_argument("--repository", required=True, help="a checkout of apple/ml-ferret")
    parser.add_argument("--count", type=int, default=40000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for drawing in ("matplotlib", "matplotlib.pyplot", "matplotlib.patches", "prettytable", "tqdm"):
        sys.modules[drawing] = types.ModuleType(drawing)
    sys.modules["tqdm"].tqdm = lambda items: items
    sys.modules["prettytable"].PrettyTable = None
    scripts = os.path.join(args.repository, "ferret", "eval")
    rows = draw_rows(args.count, args.seed)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    said = subprocess.run([args.scorer], input=lines, capture_output=True, text=True, check=True).stdout
    ours = [json.loads(line) for line in said.splitlines()]
    print(f"{len(rows)} answers")
    with tempfile.TemporaryDirectory() as folder:
        faults = compare_boxes(rows, ours, functions_of(os.path.join(scripts, "eval_flickr_entities.py")))
        faults += compare_refer(rows, ours, folder, os.path.join(scripts, "eval_lvis.py"))
        faults += compare_pope(rows, ours, folder, os.path.join(scripts, "eval_pope.py"))
    for fault in faults[:10]:
        print(f"  differs: {fault}")
    print(f"{len(faults)} differences")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
