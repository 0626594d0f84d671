#!/usr/bin/python3
"""Small changes to the model that make_model.py made: edit_model.py CHANGE IN OUT   (python3-torch)"""
import json
import os
import shutil
import struct
import sys

import torch

TYPES = {"F32": torch.float32, "I64": torch.int64}


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    return {name: torch.frombuffer(data[info["data_offsets"][0]:info["data_offsets"][1]],
                                   dtype=TYPES[info["dtype"]]).reshape(info["shape"]).clone()
            for name, info in header.items() if name != "__metadata__"}


def write(path, tensors):
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        blobs.append(tensors[name].contiguous().numpy().tobytes())
        kind = {v: k for k, v in TYPES.items()}[tensors[name].dtype]
        header[name] = {"dtype": kind, "shape": list(tensors[name].shape), "data_offsets": [at, at + len(blobs[-1])]}
        at += len(blobs[-1])
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def main(change, source, out):
    shutil.copytree(source, out)
    weights = f"{out}/model.safetensors"
    config = json.load(open(f"{out}/config.json"))
    if change.startswith("prefix="):
        write(weights, {change[7:] + name: value for name, value in read(weights).items()})
    elif change == "position_ids":
        tensors = read(weights)
        tensors["text_model.embeddings.position_ids"] = torch.arange(16)[None]
        tensors["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
        write(weights, tensors)
    elif change == "bin_alone":  # transformers' names in a .bin, its config.json left behind
        torch.save(read(weights), f"{out}/pytorch_model.bin")
        os.remove(weights)
        os.remove(f"{out}/config.json")
    elif change == "other_patch":
        config["vision_config"]["patch_size"] = 8
    elif change.startswith("eos="):
        config["text_config"]["eos_token_id"] = int(change[4:])
    elif change == "text_quick_gelu":
        config["text_config"]["hidden_act"] = "quick_gelu"
    else:
        sys.exit("unknown change " + change)
    if change != "bin_alone":
        json.dump(config, open(f"{out}/config.json", "w"))


main(*sys.argv[1:])
