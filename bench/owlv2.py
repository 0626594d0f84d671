#!/usr/bin/env python3
"""How fast OWLv2 labels on this machine: `opencloc label` with a detector of OWLv2's published sizes (random weights: the
speed does not depend on them), images/s of the detect stage, the share of the peak, and what the paper's two billion
images would take.

    bench/owlv2.py --out runs/owlv2 --threads 2

Needs python3's standard library only; writes 0.6 GB (B/16) and 1.7 GB (L/14) under OUT.
"""
import argparse
import array
import json
import pathlib
import random
import struct
import subprocess

# Hugging Face: google/owlv2-base-patch16-ensemble, google/owlv2-large-patch14-ensemble.
SIZES = {
    "B/16": {"projection": 512, "text": (512, 8, 12), "vision": (768, 12, 12), "patch": 16, "image": 960},
    "L/14": {"projection": 768, "text": (768, 12, 12), "vision": (1024, 16, 24), "patch": 14, "image": 1008},
}
CONTEXT, VOCABULARY = 16, 49408


def configuration(size):
    def tower(kind, width, heads, layers, **more):
        return {"model_type": f"owlv2_{kind}_model", "hidden_size": width, "intermediate_size": 4 * width,
                "num_hidden_layers": layers, "num_attention_heads": heads, "hidden_act": "quick_gelu",
                "layer_norm_eps": 1e-5, **more}
    return {"architectures": ["Owlv2ForObjectDetection"], "model_type": "owlv2", "projection_dim": size["projection"],
            "text_config": tower("text", *size["text"], vocab_size=VOCABULARY, max_position_embeddings=CONTEXT,
                                 bos_token_id=49406, pad_token_id=0, eos_token_id=49407),
            "vision_config": tower("vision", *size["vision"], num_channels=3, image_size=size["image"],
                                   patch_size=size["patch"])}


def shapes(size):
    """Name -> shape of every tensor, in transformers' names."""
    result = {}

    def linear(name, out, into, bias=True):
        result[name + ".weight"] = [out, into]
        if bias:
            result[name + ".bias"] = [out]

    def norm(name, width):
        result[name + ".weight"], result[name + ".bias"] = [width], [width]

    def blocks(name, width, layers):
        for i in range(layers):
            layer = f"{name}.encoder.layers.{i}"
            for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                linear(f"{layer}.self_attn.{part}", width, width)
            linear(f"{layer}.mlp.fc1", 4 * width, width)
            linear(f"{layer}.mlp.fc2", width, 4 * width)
            norm(f"{layer}.layer_norm1", width)
            norm(f"{layer}.layer_norm2", width)

    (text, _, text_layers), (vision, _, vision_layers) = size["text"], size["vision"]
    embed, patch, grid = size["projection"], size["patch"], size["image"] // size["patch"]
    result["owlv2.logit_scale"] = []
    result["owlv2.text_model.embeddings.token_embedding.weight"] = [VOCABULARY, text]
    result["owlv2.text_model.embeddings.position_embedding.weight"] = [CONTEXT, text]
    blocks("owlv2.text_model", text, text_layers)
    norm("owlv2.text_model.final_layer_norm", text)
    linear("owlv2.text_projection", embed, text, bias=False)
    result["owlv2.vision_model.embeddings.class_embedding"] = [vision]
    result["owlv2.vision_model.embeddings.patch_embedding.weight"] = [vision, 3, patch, patch]
    result["owlv2.vision_model.embeddings.position_embedding.weight"] = [grid * grid + 1, vision]
    norm("owlv2.vision_model.pre_layernorm", vision)
    blocks("owlv2.vision_model", vision, vision_layers)
    norm("owlv2.vision_model.post_layernorm", vision)
    linear("owlv2.visual_projection", embed, vision, bias=False)
    norm("layer_norm", vision)
    linear("class_head.dense0", text, vision)
    linear("class_head.logit_shift", 1, vision)
    linear("class_head.logit_scale", 1, vision)
    for head, out in (("box_head", 4), ("objectness_head", 1)):
        linear(f"{head}.dense0", vision, vision)
        linear(f"{head}.dense1", vision, vision)
        linear(f"{head}.dense2", out, vision)
    return result


def write_model(folder, size):
    """Numbers of a normal distribution, deviation 0.02, a million of them again and again; norms' weights are 1."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(configuration(size)))
    weights = folder / "model.safetensors"
    if weights.exists():
        return
    draw = random.Random(1)
    pool = array.array("f", (draw.gauss(0, 0.02) for _ in range(1_000_000))).tobytes()
    header, offset = {}, 0
    for name, shape in shapes(size).items():
        count = 1
        for side in shape:
            count *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + 4 * count]}
        offset += 4 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = weights.with_suffix(".part")
    with open(partial, "wb") as sink:
        sink.write(struct.pack("<Q", len(text)) + text)
        for name, place in header.items():
            count = place["data_offsets"][1] - place["data_offsets"][0]
            if "norm" in name and name.endswith("weight"):
                sink.write(array.array("f", [1.0]).tobytes() * (count // 4))
                continue
            for begin in range(0, count, len(pool)):
                sink.write(pool[:min(len(pool), count - begin)])
    partial.rename(weights)


def operations(size, resolution):
    """Of the image side, a picture: multiply-adds of the products, twice."""
    width, _, layers = size["vision"]
    patches = (resolution // size["patch"]) ** 2
    tokens = patches + 1
    block = 24 * tokens * width * width + 4 * tokens * tokens * width
    heads = 2 * patches * width * (size["text"][0] + 4 * width + 8)
    return layers * block + heads + 2 * patches * 3 * size["patch"] ** 2 * width


def run(command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def bf16_peak(opencloc, threads):
    """GFLOP/s of the bf16 products at best, all threads together, as `bench gemm` finds it."""
    output = run([opencloc, "bench", "gemm", "--seconds", 0.1, "--threads", threads, "--json"])
    lines = [json.loads(line) for line in output.splitlines()]
    return max(line["gflops"] / line["share_of_peak"] for line in lines if "share_of_peak" in line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--tokenizer", default="../shared/data/clip/bpe_simple_vocab_16e6.txt.gz")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--resolution", type=int, default=448)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    parser.add_argument("--total", type=float, default=2e9, help="images of the estimate")
    args = parser.parse_args()
    scenes = args.out / "scenes"
    if not list(scenes.glob("*.tar")):
        run([args.opencloc, "data", "scenes", "--count", args.images, "--size", args.resolution, "--out", scenes])
    peak = bf16_peak(args.opencloc, args.threads)
    print(f"bf16 peak of {args.threads} threads: {peak:.0f} GFLOP/s")
    print("| detector | GFLOP/image | images/s | GFLOP/s | share of the bf16 peak | machine-days for "
          f"{args.total:.0e} images |\n|---|---|---|---|---|---|")
    for name, size in SIZES.items():
        model, labelled = args.out / name.replace("/", ""), args.out / f"labelled_{name.replace('/', '')}"
        write_model(model, size)
        run(["rm", "-rf", labelled])
        run([args.opencloc, "label", "--data", scenes, "--out", labelled, "--detector", model, "--tokenizer",
             args.tokenizer, "--resolution", args.resolution, "--batch-size", args.batch_size, "--threads", args.threads,
             "--precision", args.precision])
        reports = [json.loads(path.read_text()) for path in labelled.glob("*.report.json")]
        seconds = sum(report["stage_seconds"]["detect"] for report in reports)
        rate = sum(report["images"] for report in reports) / seconds
        gflops = rate * operations(size, args.resolution) / 1e9
        print(f"| OWLv2 {name} at {args.resolution} | {operations(size, args.resolution) / 1e9:.0f} | {rate:.2f} | {gflops:.0f} | "
              f"{100 * gflops / peak:.0f} % | {args.total / rate / 86400:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
