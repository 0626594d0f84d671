"""An independent reader of GGUF, from the published format alone (no code of OpenCLOC's, no packages):
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

    read_gguf.py FILE.gguf            prints {"version", "keys", "tensors": {NAME: {"type", "shape"}}}
    read_gguf.py FILE.gguf HF_FOLDER  also compares every tensor with HF_FOLDER/model.safetensors (F32),
                                      whose names clip.cpp's and llama.cpp's converters turn into GGUF's;
                                      adds "compared", "missing", "different", "largest": by type, the
                                      largest distance of a value, in units of its Q8_0 block's step or of
                                      its half-precision rounding
"""
import json
import math
import struct
import sys

NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
           12: "<d"}
TYPES = {0: "F32", 1: "F16", 8: "Q8_0", 30: "BF16"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        value = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def string(self):
        size = self.number("<Q")
        self.at += size
        return self.data[self.at - size:self.at].decode("utf-8")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            element, count = self.number("<I"), self.number("<Q")
            return [self.value(element) for _ in range(count)]
        return self.number(NUMBERS[kind])


def numel(shape):
    return math.prod(shape)


def values_of(data, at, kind, count):
    """(values, tolerance of each) of a tensor's data."""
    if kind == "F32":
        return struct.unpack_from(f"<{count}f", data, at), None
    if kind == "F16":
        return struct.unpack_from(f"<{count}e", data, at), 2.0 ** -11
    if kind == "BF16":
        raw = struct.unpack_from(f"<{count}H", data, at)
        return struct.unpack(f"<{count}f", b"".join(struct.pack("<I", x << 16) for x in raw)), 2.0 ** -8
    values, steps = [], []
    for block in range(count // 32):
        place = at + 34 * block
        scale = struct.unpack_from("<e", data, place)[0]
        values += [scale * x for x in struct.unpack_from("<32b", data, place + 2)]
        steps += [scale] * 32
    return values, steps


def parse(path):
    with open(path, "rb") as file:
        data = file.read()
    reader = Reader(data)
    assert data[:4] == b"GGUF"
    reader.at = 4
    version, tensor_count, key_count = reader.number("<I"), reader.number("<Q"), reader.number("<Q")
    keys = {}
    for _ in range(key_count):
        name = reader.string()
        assert name not in keys
        keys[name] = reader.value(reader.number("<I"))
    tensors = {}
    for _ in range(tensor_count):
        name = reader.string()
        shape = [reader.number("<Q") for _ in range(reader.number("<I"))]
        kind, offset = TYPES[reader.number("<I")], reader.number("<Q")
        assert offset % 32 == 0 and name not in tensors
        tensors[name] = (kind, shape[::-1], offset)  # GGUF gives the fastest side first
    start = (reader.at + 31) // 32 * 32
    return version, keys, tensors, data, start


def gguf_name(name, legacy):
    """The published converters' names: llama.cpp's, or clip.cpp's where ffn_up and ffn_down change places."""
    if "projection" in name:
        return name
    for old, new in (("text_model", "t"), ("vision_model", "v"), ("encoder.layers", "blk"),
                     ("embeddings.", ""), ("_proj", ""), ("self_attn.", "attn_"), ("layer_norm", "ln"),
                     ("layernorm", "ln"), ("mlp.fc1", "ffn_down" if legacy else "ffn_up"),
                     ("mlp.fc2", "ffn_up" if legacy else "ffn_down"), ("embedding", "embd"),
                     ("final", "post"), ("layrnorm", "ln")):
        name = name.replace(old, new)
    return name


def main():
    version, keys, tensors, data, start = parse(sys.argv[1])
    result = {"version": version, "keys": keys,
              "tensors": {name: {"type": kind, "shape": shape} for name, (kind, shape, _) in tensors.items()}}
    if len(sys.argv) > 2:
        with open(sys.argv[2] + "/model.safetensors", "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            weights = file.read()
        header.pop("__metadata__", None)
        legacy = keys["clip.has_text_encoder"]
        missing, different, compared, largest = [], [], 0, {}
        for name, info in header.items():
            if name == "logit_scale":
                continue
            kind, shape, offset = tensors.get(gguf_name(name, legacy), (None, None, None))
            if kind is None:
                missing.append(name)
                continue
            count = numel(info["shape"])
            wanted = struct.unpack_from(f"<{count}f", weights, info["data_offsets"][0])
            found, tolerance = values_of(data, start + offset, kind, count)
            compared += 1
            if shape != info["shape"] or (tolerance is None and list(found) != list(wanted)):
                different.append(name)
            elif tolerance is not None:
                for i, (a, b) in enumerate(zip(found, wanted)):
                    unit = tolerance[i] if isinstance(tolerance, list) else tolerance * abs(b) + 2.0 ** -25
                    distance = abs(a - b) / unit if unit else abs(a - b)
                    largest[kind] = max(largest.get(kind, 0.0), distance)
        result.update(compared=compared, missing=missing, different=different, largest=largest)
    print(json.dumps(result))


main()
