#!/usr/bin/python3
"""SigLIP's towers stated again in PyTorch, against what OpenCLOC computed.

siglip_reference.py DIR: a model directory in transformers' SiglipModel layout, and beside its files
outputs.safetensors: pixel_values, input_ids, image_embeds, text_embeds (not normalised), hidden
(after the second-to-last block), loss (the sigmoid loss of image i with text i), and grad.NAME, the
loss's gradient by every tensor of model.safetensors. Standard library and torch alone; exit 1 where
they differ.
"""
import json
import struct
import sys

import torch
import torch.nn.functional as F

TYPES = {"F32": torch.float32, "I64": torch.int64}


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        flat = torch.frombuffer(data[begin:end], dtype=TYPES[info["dtype"]])
        tensors[name] = flat.reshape(info["shape"]).clone()
    return tensors


class Tower:
    def __init__(self, weights, prefix, config):
        self.w = {k[len(prefix):]: v for k, v in weights.items() if k.startswith(prefix)}
        self.width = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.layers = config["num_hidden_layers"]
        self.eps = config["layer_norm_eps"]
        self.act = config["hidden_act"]

    def linear(self, x, name):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def norm(self, x, name):
        return F.layer_norm(x, (self.width,), self.w[name + ".weight"], self.w[name + ".bias"], self.eps)

    def mlp(self, x, name):
        hidden = self.linear(x, name + ".fc1")
        hidden = F.gelu(hidden, approximate="tanh" if self.act == "gelu_pytorch_tanh" else "none")
        return self.linear(hidden, name + ".fc2")

    def block(self, x, name):
        y = self.norm(x, name + ".layer_norm1")
        q, k, v = (self.linear(y, f"{name}.self_attn.{p}_proj") for p in "qkv")
        split = lambda t: t.view(t.shape[0], t.shape[1], self.heads, -1).transpose(1, 2)
        q, k, v = split(q), split(k), split(v)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
        x = x + self.linear(y, name + ".self_attn.out_proj")
        return x + self.mlp(self.norm(x, name + ".layer_norm2"), name + ".mlp")

    def encode(self, x):
        states = [x]
        for i in range(self.layers):
            states.append(self.block(states[-1], f"encoder.layers.{i}"))
        return states


def image_tower(tower, pixels, patch):
    x = F.conv2d(pixels, tower.w["embeddings.patch_embedding.weight"],
                 tower.w["embeddings.patch_embedding.bias"], stride=patch)
    x = x.flatten(2).transpose(1, 2) + tower.w["embeddings.position_embedding.weight"]
    states = tower.encode(x)
    x = tower.norm(states[-1], "post_layernorm")
    # torch.nn.MultiheadAttention, as transformers' pooling head has it.
    pooled, _ = F.multi_head_attention_forward(
        tower.w["head.probe"].expand(x.shape[0], 1, -1).transpose(0, 1), x.transpose(0, 1),
        x.transpose(0, 1), tower.width, tower.heads, tower.w["head.attention.in_proj_weight"],
        tower.w["head.attention.in_proj_bias"], None, None, False, 0.0,
        tower.w["head.attention.out_proj.weight"], tower.w["head.attention.out_proj.bias"])
    pooled = pooled.transpose(0, 1)
    pooled = pooled + tower.mlp(tower.norm(pooled, "head.layernorm"), "head.mlp")
    return pooled[:, 0], states[-2]


def text_tower(tower, ids):
    x = F.embedding(ids, tower.w["embeddings.token_embedding.weight"])
    x = x + tower.w["embeddings.position_embedding.weight"][: ids.shape[1]]
    x = tower.norm(tower.encode(x)[-1], "final_layer_norm")
    return tower.linear(x[:, -1], "head")


def main(folder):
    config = json.load(open(folder + "/config.json"))
    assert config["model_type"] == "siglip", config
    weights = read_safetensors(folder + "/model.safetensors")
    theirs = read_safetensors(folder + "/outputs.safetensors")
    for tensor in weights.values():
        tensor.requires_grad_()
    vision = Tower(weights, "vision_model.", config["vision_config"])
    text = Tower(weights, "text_model.", config["text_config"])

    image_embeds, hidden = image_tower(vision, theirs["pixel_values"],
                                       config["vision_config"]["patch_size"])
    text_embeds = text_tower(text, theirs["input_ids"])
    logits = F.normalize(text_embeds, dim=-1) @ F.normalize(image_embeds, dim=-1).t()
    logits = logits * weights["logit_scale"].exp() + weights["logit_bias"]
    signs = 2 * torch.eye(len(logits)) - 1
    loss = -F.logsigmoid(signs * logits).sum(-1).mean()
    loss.backward()

    ours = {"image_embeds": image_embeds, "text_embeds": text_embeds, "hidden": hidden, "loss": loss}
    for name, tensor in weights.items():
        ours["grad." + name] = tensor.grad
    worst = 0.0
    for name, expected in ours.items():
        got = theirs.pop(name)
        scale = max(1e-3, expected.abs().max().item())
        difference = (got.reshape(expected.shape) - expected).abs().max().item() / scale
        worst = max(worst, difference)
        if not difference <= (1e-4 if name.startswith("grad.") else 1e-5):
            print(f"{name} differs by {difference:.2e} of its largest value")
            return 1
    left = set(theirs) - {"pixel_values", "input_ids"}
    if left:
        print("not compared:", left)
        return 1
    print(f"{len(ours)} tensors compared, {len(weights)} gradients among them; worst {worst:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
