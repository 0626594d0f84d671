"""Reads what OpenCLOC writes: shards, safetensors, JSON on stdout. Standard library only."""
import array
import glob
import json
import os
import struct
import tarfile

PICTURES = ("jpg", "png", "webp", "gif", "bmp", "tif", "ppm")


def records(folder):
    """{key: record} of all shards in a folder. A record is KEY.json, with "text" for KEY.txt."""
    found = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(str(folder)), "*.tar"))):
        with tarfile.open(path) as shard:
            for member in shard:
                head, name = os.path.split(member.name)
                stem, _, extension = name.partition(".")
                if not stem:  # a name that begins with a dot
                    stem, _, extension = name.rpartition(".")
                record = found.setdefault(os.path.join(head, stem), {})
                data = shard.extractfile(member).read()
                if extension == "json":
                    record.update(json.loads(data))
                elif extension == "txt":
                    record["text"] = data.decode("utf-8", "replace")
                elif extension in PICTURES:
                    record["extension"] = extension
    return found


def captions(record):
    return record.get("captions") or ([record["caption"]] if "caption" in record else [])


def regions(record):
    """[(text, box, score)] of a record, sorted."""
    return sorted((region.get("text", ""), tuple(region["box"]), region.get("score", 1.0))
                  for region in record.get("regions", []))


def all_regions(found):
    return [region for record in found.values() for region in regions(record)]


def safetensors(path):
    """{name: (shape, values)} of the F32 and I64 tensors of a file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, info in header.items():
        code = {"F32": "f", "I64": "q"}.get(info["dtype"])
        if code:
            begin, end = info["data_offsets"]
            tensors[name] = (info["shape"], array.array(code, data[begin:end]))
    return tensors


def furthest(one, other):
    """The largest difference of two lists of numbers; infinite when their lengths differ."""
    if len(one) != len(other):
        return float("inf")
    return max((abs(a - b) for a, b in zip(one, other)), default=0.0)


def json_objects(text):
    """The JSON objects of an output: one in all, or one in each line."""
    try:
        return [json.loads(text)]
    except ValueError:
        pass
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def deep(value, key):
    """Every value of `key` anywhere in a JSON value."""
    if isinstance(value, dict):
        return [v for k, v in value.items() if k == key] + [f for v in value.values() for f in deep(v, key)]
    if isinstance(value, list):
        return [found for v in value for found in deep(v, key)]
    return []
