"""Writes a file as torch.save does, with Python's own pickler and no PyTorch.

    torch_save.py IN.safetensors OUT.pt [--wrap] [--evil]

IN's tensors become an OrderedDict with the _metadata attribute that state_dict() gives it; --wrap puts
it into open_clip's training checkpoint, {"epoch", "name", "state_dict": {"module.NAME": ...}}; --evil
adds a call of os.system. Format: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py
"""
import collections
import io
import json
import pickle
import struct
import sys
import types
import zipfile

STORAGES = {"F32": ("FloatStorage", 4), "F16": ("HalfStorage", 2), "BF16": ("BFloat16Storage", 2),
            "I64": ("LongStorage", 8)}


def module(name, **members):
    made = types.ModuleType(name)
    for key, value in members.items():
        setattr(made, key, value)
    sys.modules[name] = made
    return made


def rebuild_tensor(*arguments):
    raise NotImplementedError


def make_torch():
    """Empty stand-ins: a pickle holds names of classes, never their contents."""
    storages = {}
    for storage, _ in STORAGES.values():
        storages[storage] = type(storage, (), {"__module__": "torch"})
    module("torch", **storages)
    rebuild_tensor.__module__ = "torch._utils"
    rebuild_tensor.__name__ = rebuild_tensor.__qualname__ = "_rebuild_tensor_v2"
    module("torch._utils", _rebuild_tensor_v2=rebuild_tensor)
    return storages


class Storage:
    def __init__(self, kind, key, numel):
        self.kind, self.key, self.numel = kind, key, numel


class Tensor:
    def __init__(self, storage, shape):
        self.storage, self.shape = storage, shape

    def __reduce_ex__(self, protocol):
        strides, step = [], 1
        for side in reversed(self.shape):
            strides.insert(0, step)
            step *= side
        return rebuild_tensor, (self.storage, 0, tuple(self.shape), tuple(strides), False,
                                collections.OrderedDict())


class Evil:
    def __reduce__(self):
        import os
        return os.system, ("touch /tmp/opencloc_was_here",)


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", value.kind, value.key, "cpu", value.numel)
        return None


def main():
    source, target = sys.argv[1:3]
    storages = make_torch()
    with open(source, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    wrap = "--wrap" in sys.argv
    state, blobs = collections.OrderedDict(), []
    for name, info in header.items():
        begin, end = info["data_offsets"]
        kind, size = STORAGES[info["dtype"]]
        storage = Storage(storages[kind], str(len(blobs)), (end - begin) // size)
        blobs.append(data[begin:end])
        state[("module." if wrap else "") + name] = Tensor(storage, info["shape"])
    state._metadata = collections.OrderedDict([("", {"version": 1})])
    if "--evil" in sys.argv:
        state["evil"] = Evil()
    value = {"epoch": 7, "name": "run", "loss": 0.5, "state_dict": state} if wrap else state
    out = io.BytesIO()
    Pickler(out, protocol=2).dump(value)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", out.getvalue())
        archive.writestr("archive/byteorder", "little")
        for i, blob in enumerate(blobs):
            archive.writestr(f"archive/data/{i}", blob)
        archive.writestr("archive/version", "3\n")


main()
