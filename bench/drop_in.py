#!/usr/bin/env python3
"""Our towers and readers in LLaVA's and Ferret's own modules: the numbers beside ours.

    cmake --build build/release --target opencloc_cli reader_parts
    bench/drop_in.py --binary build/release/opencloc --parts build/release/modules/mllm/reader_parts \\
        --llava ~/LLaVA --ferret ~/ml-ferret

Needs torch, transformers 4.3x, safetensors and Pillow. Nothing of their code is changed; their modules are loaded by path,
because their packages pull in all the rest. A small tower and a reader are trained for a few steps first. Compared are:

    LLaVA's CLIPVisionTower on `convert --to hf --vision-only`   with `embed --layer -2 --tokens patch`
    LLaVA's build_vision_projector with the reader's weights     with the reader's own
    LLaVA's prepare_inputs_labels_for_multimodal, 50 dialogues   what is read at each place, and which words are learned
    Ferret's GeoRegionSampler with the reader's weights          with the reader's own, on the same points

Differences are the largest of all, relative to the largest value. Ferret draws points by itself: it is given masks of as
many pixels as it draws, and its farthest points begin with the first, as ours. Where two points are equally near, which of
them is a neighbour hangs on rounding: the masks are large, so that this hardly happens.
"""
import argparse
import importlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import types

IGNORED = -100


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def as_package(name, path):
    """Makes `import NAME.x` read PATH/x.py without running PATH/__init__.py."""
    module = types.ModuleType(name)
    module.__path__ = [str(path)]
    sys.modules[name] = module


def difference(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def prepare(args, folder):
    """A tower, and a reader with Ferret's sampler, both of a few steps."""
    oc = args.binary
    run(oc, "data", "scenes", "--count", 60, "--size", 96, "--names", 12, "--seed", 1, "--out", folder / "scenes")
    run(oc, "data", "dialogues", "--data", folder / "scenes", "--seed", 1, "--out", folder / "talking")
    run(oc, "train", "--data", folder / "scenes", "--model", "ViT-XXS-16-96", "--steps", 4, "--batch-size", 16,
        "--report-pictures", 0, "--out", folder / "tower")
    run(oc, "mllm", "train", "--vision", folder / "tower/model", "--data", folder / "talking", "--region-source", "sampler",
        "--sampler", "64/32/8/6", "--lm", "2x64", "--steps", 40, "--batch-size", 16, "--report-pictures", 0, "--out",
        folder / "reader")
    run(oc, "convert", folder / "tower/model", folder / "hf", "--to", "hf", "--vision-only")
    pictures = []
    with tarfile.open(sorted((folder / "scenes").glob("*.tar"))[0]) as tar:
        for member in tar:
            if member.name.endswith((".jpg", ".png", ".webp")) and len(pictures) < 16:
                pictures.append(folder / pathlib.Path(member.name).name)
                pictures[-1].write_bytes(tar.extractfile(member).read())
    run(oc, "embed", "--model", folder / "tower/model", "--images", *pictures, "--layer", -2, "--tokens", "patch", "--out",
        folder / "features.safetensors")
    answers = folder / "answers.jsonl"
    run(oc, "mllm", "eval", folder / "reader/model", "--data", folder / "talking", "--max-ids", 4, "--answers", answers)
    return pictures, [json.loads(line) for line in answers.read_text().splitlines()]


def our_parts(args, folder, tensors):
    from safetensors.torch import load_file, save_file
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "in.safetensors")
    run(args.parts, folder / "reader/model", folder / "in.safetensors", folder / "out.safetensors")
    return load_file(folder / "out.safetensors")


def compare_llava(args, folder, pictures, answers):
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    as_package("llava", args.llava / "llava")
    as_package("llava.model", args.llava / "llava/model")
    encoder = importlib.import_module("llava.model.multimodal_encoder.clip_encoder")
    builder = importlib.import_module("llava.model.multimodal_projector.builder")
    arch = importlib.import_module("llava.model.llava_arch")

    tower = encoder.CLIPVisionTower(str(folder / "hf"), types.SimpleNamespace(mm_vision_select_layer=-2))
    images = [Image.open(io.BytesIO(path.read_bytes())).convert("RGB") for path in pictures]
    pixels = tower.image_processor(images=images, return_tensors="pt")["pixel_values"]
    features = tower(pixels)
    ours = load_file(folder / "features.safetensors")["image_tokens"]
    yield "LLaVA's CLIPVisionTower", "features of 16 pictures", difference(features, ours)

    settings = json.loads((folder / "reader/model/mllm_config.json").read_text())
    weights = load_file(folder / "reader/model/model.safetensors")
    width = settings["language"]["width"]
    config = types.SimpleNamespace(mm_projector_type="mlp2x_gelu", mm_hidden_size=tower.hidden_size, hidden_size=width)
    projector = builder.build_vision_projector(config)
    projector.load_state_dict({f"{place}.{kind}": weights[f"multi_modal_projector.linear_{number}.{kind}"]
                               for place, number in ((0, 1), (2, 2)) for kind in ("weight", "bias")})

    # The splice: the places of a picture are one id of theirs, -200.
    table = torch.nn.Embedding.from_pretrained(weights["language_model.wte.weight"])
    model = types.SimpleNamespace(get_vision_tower=lambda: tower, mm_projector=projector, embed_tokens=table)

    class Meta(arch.LlavaMetaForCausalLM):
        def get_model(self):
            return model
        config = types.SimpleNamespace()
        device = "cpu"

    patches = ours.shape[1]
    worst_embedding, worst_projected, wrong_labels, dialogues = 0.0, 0.0, 0, 0
    for number, line in enumerate(answers[:50]):
        picture = number % len(images)
        prompt = line["prompt_ids"]
        begin = prompt.index(settings["image_id"])
        said = [5, 6, 7]  # some answer
        ids = torch.tensor([prompt[:begin] + [-200] + prompt[begin + patches:] + said])
        labels = torch.tensor([[IGNORED] * (len(prompt) - patches + 1) + said])
        _, _, _, _, embedded, learned = Meta().prepare_inputs_labels_for_multimodal(
            ids, None, None, None, labels, pixels[picture:picture + 1])
        regions = prompt.count(settings["region_id"])
        tensors = {"tokens": ours[picture:picture + 1], "ids": torch.tensor([prompt + said])}
        if regions:
            tensors["region_image"] = torch.zeros(regions, dtype=torch.int64)
            tensors["clouds"] = torch.rand(regions, settings["sampler"]["points"], 2)
        mine = our_parts(args, folder, tensors)["embedded"]
        keep = torch.tensor([[i != settings["region_id"] for i in prompt + said]])  # LLaVA has none
        worst_embedding = max(worst_embedding, difference(embedded[keep], mine[keep]))
        worst_projected = max(worst_projected, difference(embedded[0, begin:begin + patches], mine[0, begin:begin + patches]))
        wrong_labels += (learned[0] != IGNORED).tolist() != [False] * len(prompt) + [True] * len(said)
        dialogues += 1
    yield "LLaVA's build_vision_projector", f"projected features of {dialogues} pictures", worst_projected
    yield "LLaVA's prepare_inputs_labels_for_multimodal", f"embeddings of {dialogues} dialogues", worst_embedding
    yield "the same", f"dialogues whose learned places differ, of {dialogues}", wrong_labels


def compare_ferret(args, folder):
    import torch
    from safetensors.torch import load_file
    as_package("ferret", args.ferret / "ferret")
    as_package("ferret.model", args.ferret / "ferret/model")
    arch = importlib.import_module("ferret.model.ferret_arch")
    settings = json.loads((folder / "reader/model/mllm_config.json").read_text())
    weights = load_file(folder / "reader/model/model.safetensors")
    tokens = load_file(folder / "features.safetensors")["image_tokens"]
    rounds, points = settings["sampler"]["rounds"], settings["sampler"]["points"]
    sampler = arch.GeoRegionSampler(tokens.shape[2], settings["language"]["width"], points, [r[0] for r in rounds],
                                    [r[1] for r in rounds], "max")
    state = {name: tensor for name, tensor in
             ((n.removeprefix("region_sampler."), t) for n, t in weights.items() if n.startswith("region_sampler."))}
    state = {name: tensor.unsqueeze(-1) if name.endswith("net.0.weight") else tensor for name, tensor in state.items()}
    sampler.load_state_dict(state)
    torch.manual_seed(3)
    side, masks, clouds = 2000, [], []  # so many pixels that hardly two points have one distance
    for _ in range(len(tokens)):
        mask = torch.zeros(side * side, dtype=torch.bool)
        mask[torch.randperm(side * side)[:points]] = True
        mask = mask.view(side, side)
        masks.append([mask])
        clouds.append((mask.nonzero() / side).flip(1))  # x, y
    arch.torch.randint, before = lambda low, high, shape, **kw: torch.zeros(shape, dtype=torch.long), torch.randint
    with torch.no_grad():
        theirs = torch.cat(sampler(tokens, masks, torch.float32, torch.float32))
    arch.torch.randint = before
    ids = torch.tensor([[settings["image_id"]] * tokens.shape[1] + [settings["region_id"]]] * len(tokens))
    mine = our_parts(args, folder, {"tokens": tokens, "ids": ids, "region_image": torch.arange(len(tokens)),
                                    "clouds": torch.stack(clouds)})["embedded"][:, -1]
    yield "Ferret's GeoRegionSampler", f"vectors of {len(tokens)} regions", difference(theirs, mine)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/opencloc")
    parser.add_argument("--parts", default="build/release/modules/mllm/reader_parts")
    parser.add_argument("--llava", type=pathlib.Path, required=True)
    parser.add_argument("--ferret", type=pathlib.Path, required=True)
    args = parser.parse_args()
    import torch
    import transformers
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory(prefix="opencloc-drop-in-") as scratch:
        folder = pathlib.Path(scratch)
        pictures, answers = prepare(args, folder)
        print(f"torch {torch.__version__}, transformers {transformers.__version__}\n")
        print("| module | what | largest difference |\n|---|---|---|")
        for program, what, value in (*compare_llava(args, folder, pictures, answers), *compare_ferret(args, folder)):
            print(f"| {program} | {what} | {value:.1e} |" if isinstance(value, float) else f"| {program} | {what} | {value} |",
                  flush=True)


if __name__ == "__main__":
    main()
