#!/usr/bin/env python3
"""Reads what `opencloc data export` writes with the dataset class of the trainer that it is for.

    bench/dialogue_readers.py --binary build/release/opencloc --reader ferret --repository ~/ml-ferret
    bench/dialogue_readers.py --binary build/release/opencloc --reader llava --repository ~/LLaVA --data shards/coco

Needs torch, transformers 4.3x, sentencepiece, protobuf, Pillow, and pycocotools for Ferret. Nothing of the trainers' code is
changed or replaced; no weights are needed, and the tokenizer is a small one made from the exported texts.

For every conversation: the ids that the trainer's dataset gives are turned back into text, and the boxes in that text
are compared with the boxes in the shards. A fault is a difference of more than 1/1000 or a pixel (Ferret), of more than
half a hundredth (LLaVA), a point outside of its box, and labels that are not the answer. Ferret's masks are compared too.
Without --data the pictures are made here, in five shapes, each with coloured rectangles, and the rectangles are found
again in the pixels that the model would see: that tells a wrong frame of coordinates from a wrong number.
"""
import argparse
import collections
import io
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import types

SHAPES = [(1280, 720), (720, 1280), (640, 480), (480, 640), (600, 600)]
COLOURS = {"red box": (255, 0, 0), "green box": (0, 255, 0)}


def make_pictures(path, count, seed):
    """A shard of black pictures with one rectangle in the left half and one in the right half."""
    from PIL import Image, ImageDraw
    rng = random.Random(seed)
    with tarfile.open(path, "w") as tar:
        for i in range(count):
            width, height = SHAPES[i % len(SHAPES)]
            picture, regions = Image.new("RGB", (width, height)), []
            for half, (name, colour) in enumerate(COLOURS.items()):
                x0 = rng.randrange(half * width // 2, half * width // 2 + width // 4)
                y0 = rng.randrange(0, height * 3 // 4)
                x1 = rng.randrange(x0 + width // 10, (half + 1) * width // 2)
                y1 = rng.randrange(y0 + height // 10, height)
                ImageDraw.Draw(picture).rectangle([x0, y0, x1 - 1, y1 - 1], fill=colour)
                regions.append({"box": [x0 / width, y0 / height, x1 / width, y1 / height], "text": name})
            data = io.BytesIO()
            picture.save(data, "PNG")
            for ending, content in (("png", data.getvalue()), ("json", json.dumps({"regions": regions}).encode())):
                member = tarfile.TarInfo(f"{i:06}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def read_dialogues(folder):
    """{"KEY_0": dialogue} of all shards of a folder."""
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    key = member.name.removesuffix(".json")
                    for i, dialogue in enumerate(json.load(tar.extractfile(member))["dialogues"]):
                        found[f"{key}_{i}"] = dialogue
    return found


def make_tokenizer(texts, folder):
    """A LLaMA tokenizer of the texts' own words, which gives every text back as it was."""
    import sentencepiece
    from transformers import AutoTokenizer, LlamaTokenizer
    lines = os.path.join(folder, "texts.txt")
    with open(lines, "w", encoding="utf-8") as file:
        file.writelines(text.replace("\n", " ") + "\n" for text in texts)
    sentencepiece.SentencePieceTrainer.train(
        input=lines, model_prefix=os.path.join(folder, "words"), vocab_size=600, hard_vocab_limit=False,
        model_type="bpe", byte_fallback=True, split_digits=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, minloglevel=2)
    LlamaTokenizer(os.path.join(folder, "words.model")).save_pretrained(os.path.join(folder, "tokenizer"))
    tokenizer = AutoTokenizer.from_pretrained(os.path.join(folder, "tokenizer"), model_max_length=2048,
                                              padding_side="right", use_fast=False)  # as both trainers open it
    tokenizer.pad_token = tokenizer.unk_token
    return tokenizer


def open_ferret(files, images, tokenizer):
    from ferret import conversation
    from ferret.model.multimodal_encoder.clip_encoder import CLIPImageProcessor_GIT
    from ferret.train.train import LazySupervisedDataset
    conversation.default_conversation = conversation.conv_templates["ferret_v1"]
    tokenizer.add_tokens(["<region_fea>"], special_tokens=True)
    data = types.SimpleNamespace(
        image_folder=[images] * len(files), data_multiple=None, is_multimodal=True, mm_use_im_start_end=False,
        image_processor=CLIPImageProcessor_GIT(), image_aspect_ratio="square_nocrop", resized_image_h=336,
        resized_image_w=336, point_input_sample="segment_mask|uniform", refer_previous_point=True)
    model = types.SimpleNamespace(add_region_feature=True, no_coor=False)
    return LazySupervisedDataset(files, tokenizer, model, data)


def open_llava(files, images, tokenizer):
    from llava import conversation
    from llava.train.train import LazySupervisedDataset
    from transformers import CLIPImageProcessor
    conversation.default_conversation = conversation.conv_templates["v1"]
    data = types.SimpleNamespace(
        image_folder=images, is_multimodal=True, mm_use_im_start_end=False, image_aspect_ratio="pad",
        image_processor=CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}))
    return LazySupervisedDataset(files[0], tokenizer, data)


def numbers_of(text):
    """The brackets of a text: [[12, 30, 400, 500], ...]."""
    return [[float(v) for v in inside.split(",")] for inside in re.findall(r"\[([-0-9., ]+)\]", text)]


def to_picture(values, reader, width, height):
    """A box or point of a text -> [0, 1] of the picture, independently of OpenCLOC's code."""
    if reader == "ferret":
        return [v / 1000 for v in values]
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    return [(v * side - (left if i % 2 == 0 else top)) / (width if i % 2 == 0 else height)
            for i, v in enumerate(values)]


def coloured_extent(image, processor, name):
    """Where a rectangle lies in the tensor [3, H, W] that the model sees, in [0, 1] of it."""
    import torch
    mean, std = (torch.tensor(v)[:, None, None] for v in (processor.image_mean, processor.image_std))
    pixels = image * std + mean
    mask = (pixels - torch.tensor(COLOURS[name])[:, None, None] / 255).abs().amax(0) < 0.5
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    height, width = mask.shape
    return [columns[0].item() / width, rows[0].item() / height, (columns[-1].item() + 1) / width,
            (rows[-1].item() + 1) / height]


class Comparison:
    """Counts, and the largest difference of each kind with the sample it was seen in."""

    def __init__(self):
        self.counts = collections.Counter()
        self.largest = {}
        self.over = collections.Counter()  # above a thousandth, in pictures of 500 pixels per side and in smaller ones
        self.faults = []

    def difference(self, kind, value, sample):
        self.counts[kind] += 1
        if value > self.largest.get(kind, (-1, ""))[0]:
            self.largest[kind] = (value, sample)

    def fault(self, sample, what):
        self.faults.append(f"{sample}: {what}")


def compare_side(comparison, reader, row, text, pieces, dialogue, kind):
    """The brackets of one text against the placeholders of the dialogue's text."""
    found = numbers_of(text)
    wanted = re.findall(r"<(box|point)(\d+)>", pieces)
    if len(found) != len(wanted):
        comparison.fault(row["id"], f"{len(found)} brackets for {len(wanted)} placeholders in {text!r}")
        return
    width, height = row["size"]
    for values, (_, index) in zip(found, wanted):
        box = dialogue["boxes"][int(index)]
        given = to_picture(values, reader, width, height)
        if len(given) == 2:  # a point: Ferret draws its own
            slack = 1e-3 if reader == "ferret" else 0.005 * max(width, height) / min(width, height)
            inside = all(box[i] - slack <= given[i] <= box[i + 2] + slack for i in (0, 1))
            comparison.counts[kind + " points"] += 1
            if not inside:
                comparison.fault(row["id"], f"point {given} outside of {box}")
            continue
        if reader == "ferret":  # its last pixel is width - 1
            box = [min(v, 1 - 1 / (width if i % 2 == 0 else height)) for i, v in enumerate(box)]
        worst = max(abs(a - b) for a, b in zip(given, box))
        if reader == "llava":  # its unit is a hundredth of the square's side
            worst = max(abs(a - b) * (width if i % 2 == 0 else height) / max(width, height)
                        for i, (a, b) in enumerate(zip(given, box)))
        comparison.difference(kind + " boxes", worst, f"{row['id']}, {width} x {height}")
        if worst > 1e-3 + 1e-9:  # and what floats add to it
            comparison.over["large" if min(width, height) >= 500 else "small"] += 1
        if worst > (0.00501 if reader == "llava" else max(1e-3, 1 / min(width, height))):
            comparison.fault(row["id"], f"{values} for {box}")


def compare(reader, dataset, tokenizer, dialogues, rows, made_here):
    comparison = Comparison()
    for i in range(len(dataset)):
        source = dataset.list_data_dict[i]
        row, dialogue = rows[source["id"]], dialogues[source["id"]]
        sample = dataset[i]
        text = tokenizer.decode([t for t in sample["input_ids"].tolist() if t >= 0])
        ask, _, say = text.rpartition("ASSISTANT:")
        ask = ask.rpartition("USER:")[2]
        turn = dialogue["turns"][0]
        compare_side(comparison, reader, row, ask, turn["ask"], dialogue, "question")
        compare_side(comparison, reader, row, say, turn["say"], dialogue, "answer")
        learned = tokenizer.decode([t for t in sample["labels"].tolist() if t >= 0])
        if learned.strip() != say.strip() or not learned.strip().endswith("</s>"):
            comparison.fault(row["id"], f"learns {learned!r}, not {say!r}")
        comparison.counts["conversations"] += 1
        width, height = row["size"]
        for mask, (kind, index) in zip(sample.get("region_masks", []), re.findall(r"<(box|point)(\d+)>", turn["ask"])):
            if len(numbers_of(ask)[0]) == 2:
                continue  # Ferret drew a point
            across, down = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
            extent = [across[0] / width, down[0] / height, across[-1] / width, down[-1] / height]
            box = [min(v, 1 - 1 / (width if i % 2 == 0 else height))
                   for i, v in enumerate(dialogue["boxes"][int(index)])]
            pixels = max(abs(float(a) - b) * (width if i % 2 == 0 else height)
                         for i, (a, b) in enumerate(zip(extent, box)))
            comparison.difference("region masks (pixels)", pixels, row["id"])
        if made_here and dialogue["task"] == "ground":
            extent = coloured_extent(sample["image"], dataset.data_args.image_processor, dialogue["phrases"][0])
            unit = 1000 if reader == "ferret" else 1
            given = [v / unit for v in numbers_of(say)[0]]
            comparison.difference("seen by the model", max(abs(a - b) for a, b in zip(extent, given)), row["id"])
    return comparison


def draw(reader, dataset, tokenizer, rows, folder, count):
    """Some pictures with the boxes of the answers' texts drawn."""
    from PIL import Image, ImageDraw
    os.makedirs(folder, exist_ok=True)
    for i in range(len(dataset)):
        row = rows[dataset.list_data_dict[i]["id"]]
        text = tokenizer.decode([t for t in dataset[i]["input_ids"].tolist() if t >= 0]).rpartition("ASSISTANT:")[2]
        boxes = [b for b in numbers_of(text) if len(b) == 4]
        if not boxes or count == 0:
            continue
        picture = Image.open(row["path"]).convert("RGB")
        for box in boxes:
            box = to_picture(box, reader, *picture.size)
            corners = [v * picture.size[i % 2] for i, v in enumerate(box)]
            ImageDraw.Draw(picture).rectangle(corners, outline=(255, 255, 0), width=3)
        ImageDraw.Draw(picture).text((4, 4), text, fill=(255, 255, 0))
        picture.save(os.path.join(folder, row["id"].replace("/", "_") + ".png"))
        count -= 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--reader", required=True, choices=["ferret", "llava"])
    parser.add_argument("--repository", required=True, help="a checkout of apple/ml-ferret or haotian-liu/LLaVA")
    parser.add_argument("--data", help="labelled shards; default: pictures made here")
    parser.add_argument("--pictures", type=int, default=100, help="of those made here")
    parser.add_argument("--draw", help="a folder for a few pictures with the boxes drawn")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    sys.path.insert(0, os.path.abspath(args.repository))
    from PIL import Image
    with tempfile.TemporaryDirectory() as folder:
        data = args.data
        if data is None:
            data = os.path.join(folder, "made.tar")
            make_pictures(data, args.pictures, args.seed)
        talking, out = os.path.join(folder, "talking"), os.path.join(folder, "exported")
        for verb in (["dialogues", "--data", data, "--out", talking, "--seed", str(args.seed)],
                     ["export", "--data", talking, "--out", out, "--format", args.reader]):
            subprocess.run([args.binary, "data", *verb], check=True, stdout=subprocess.DEVNULL)
        files = sorted(str(path) for path in pathlib.Path(out).glob("*.json") if path.name != "export.json")
        images, rows, texts = os.path.join(out, "images"), {}, []
        for file in files:
            for row in json.load(open(file, encoding="utf-8")):
                path = os.path.join(images, row["image"])
                rows[row["id"]] = {"id": row["id"], "path": path, "size": Image.open(path).size}
                texts += [turn["value"] for turn in row["conversations"]]
        tokenizer = make_tokenizer(texts, folder)
        random.seed(args.seed)
        dataset = (open_ferret if args.reader == "ferret" else open_llava)(files, images, tokenizer)
        comparison = compare(args.reader, dataset, tokenizer, read_dialogues(talking), rows, args.data is None)
        if args.draw:
            draw(args.reader, dataset, tokenizer, rows, args.draw, 8)
        pictures = len({row["path"] for row in rows.values()})
    conversations = comparison.counts["conversations"]
    print(f"{pictures} pictures, {conversations} conversations read by {args.reader}'s dataset class")
    for kind, (value, sample) in sorted(comparison.largest.items()):
        print(f"  {kind:24} {comparison.counts[kind]:6}  largest difference {value:.5f} ({sample})")
    if args.reader == "ferret":
        print(f"  boxes off by more than 1/1000: {comparison.over['large']} in pictures of 500 pixels or more per side, "
              f"{comparison.over['small']} in smaller ones")
    print(f"  {'question points':24} {comparison.counts['question points']:6}  a fault where one lies outside of its box")
    for fault in comparison.faults[:10]:
        print(f"  fault: {fault}")
    print(f"{len(comparison.faults)} faults")
    return 1 if comparison.faults else 0


if __name__ == "__main__":
    sys.exit(main())
