#!/usr/bin/env python3
"""One system, one precision, one tower of open_clip's model: a line per batch. Called by encode.py in its own process.

    encode_worker.py openvino int8 image ViT-B-16 --threads 2 --seconds 3 --work ~/.cache/opencloc/rivals --batch 1 8 32
"""
import argparse
import pathlib
import time

import run


def rates(work, batch, seconds):
    """Items per second of the shortest run, and per second of processor time, after a run to warm up; as `opencloc bench`."""
    work()
    began, cpu_began = time.perf_counter(), time.process_time()
    work()
    best = spent = time.perf_counter() - began
    runs = 1
    while spent < seconds:
        began = time.perf_counter()
        work()
        took = time.perf_counter() - began
        best, spent, runs = min(best, took), spent + took, runs + 1
    return {"items_per_s": batch / best, "items_per_cpu_s": batch * runs / (time.process_time() - cpu_began)}


def tower_of(name, which):
    """open_clip's own tower with random weights, and a maker of its input."""
    import open_clip
    import torch
    torch.manual_seed(1)
    model = open_clip.create_model(name, pretrained=None).eval()
    if which == "image":
        side = model.visual.image_size
        side = side[0] if isinstance(side, tuple) else side
        return model.visual, lambda batch: torch.randn(batch, 3, side, side)

    class Text(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids):
            return self.model.encode_text(ids)

    def ids_of(batch):
        ids = torch.randint(1, model.vocab_size - 1, (batch, model.context_length))
        ids[:, -1] = model.vocab_size - 1  # the end, where the text is read
        return ids

    return Text().eval(), ids_of


def exported(arguments):
    """The tower as ONNX, batch left open."""
    import torch
    path = arguments.work / f"{arguments.model}-{arguments.tower}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        tower, make = tower_of(arguments.model, arguments.tower)
        torch.backends.mha.set_fastpath_enabled(False)  # a fused operation that ONNX does not have
        with torch.no_grad():
            torch.onnx.export(tower, (make(2),), path.with_suffix(".part"), input_names=["x"], output_names=["y"],
                              dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}}, opset_version=17, dynamo=False)
        path.with_suffix(".part").rename(path)
    return path


def pytorch(arguments):
    import torch
    torch.set_num_threads(arguments.threads)
    if arguments.system == "zentorch":
        import zentorch
        version = f"zentorch {zentorch.__version__}"
    else:
        version = f"{arguments.system} {torch.__version__.split('+')[0]}"
    tower, make = tower_of(arguments.model, arguments.tower)
    if arguments.system != "pytorch":
        tower = torch.compile(tower, backend="zentorch" if arguments.system == "zentorch" else "inductor")
    half = arguments.precision == "bf16"

    def embed(batch):
        x = make(batch)

        def work():
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
                return tower(x)
        return work
    return version, embed


def openvino(arguments):
    import numpy
    import openvino as ov
    core = ov.Core()
    path = exported(arguments)
    _, make = tower_of(arguments.model, arguments.tower)
    model = core.read_model(path)
    if arguments.precision == "int8":
        kept = path.with_name(path.stem + "-nncf.xml")
        if not kept.exists():
            import nncf
            batches = [make(1).numpy() for _ in range(16)]
            model = nncf.quantize(model, nncf.Dataset(batches, lambda x: {"x": x}), model_type=nncf.ModelType.TRANSFORMER,
                                  subset_size=len(batches))
            ov.save_model(model, kept)
        model = core.read_model(kept)
    hint = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16, "int8": ov.Type.bf16}[arguments.precision]

    def embed(batch):
        x = numpy.ascontiguousarray(make(batch).numpy())
        model.reshape({"x": list(x.shape)})
        ready = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": arguments.threads, "PERFORMANCE_HINT": "LATENCY",
                                                  "INFERENCE_PRECISION_HINT": hint})
        request = ready.create_infer_request()
        request.set_input_tensor(ov.Tensor(x, shared_memory=True))
        return request.infer
    return f"openvino {ov.__version__.split('-')[0]}", embed


def onnxruntime(arguments):
    import onnxruntime as ort
    path = exported(arguments)
    _, make = tower_of(arguments.model, arguments.tower)
    if arguments.precision == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic
        kept = path.with_name(path.stem + "-dynamic.onnx")
        if not kept.exists():
            quantize_dynamic(path, kept, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"])
        path = kept
    options = ort.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def embed(batch):
        x = make(batch).numpy()
        return lambda: session.run(None, {"x": x})
    return f"onnxruntime {ort.__version__}", embed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=["pytorch", "pytorch-compile", "zentorch", "openvino", "onnxruntime"])
    parser.add_argument("precision", choices=["fp32", "bf16", "int8"])
    parser.add_argument("tower", choices=["image", "text"])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--batch", type=int, nargs="+", default=[32])
    arguments = parser.parse_args()
    make = {"openvino": openvino, "onnxruntime": onnxruntime}.get(arguments.system, pytorch)
    version, embed = make(arguments)
    subject = "encode" if arguments.tower == "image" else "text"
    for batch in arguments.batch:
        run.show({"task": f"{subject}/{arguments.model}/b{batch}/{arguments.precision}", "system": version,
                  **rates(embed(batch), batch, arguments.seconds)})


if __name__ == "__main__":
    main()
