#!/usr/bin/env python3
"""Step time, bytes and memory of CLOC pre-training on many GPUs, on paper.

    bench/pretraining_plan.py [--models ViT-B-16,ViT-L-14,ViT-H-14] [--batch 32768] [--gpus 8,64,1024] [--share 0.38]
                              [--samples 320e6] [--price 3]

Operations, parameters and bytes follow from configs/models and from formulas; bench/many_processes.py counts the bytes of
small runs and finds the same. What a GPU reaches is an assumption, printed with the table: no GPU was measured.
"""
import argparse
import json
import math
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent

PEAK = 989e12              # H100 SXM, bf16, dense
MEMORY = 80e9 * 0.92       # what a process gets of 80 GB
MEMORY_RATE = 2.7e12       # bytes/s of element-wise work
IN_NODE = 370e9            # bytes/s a GPU receives in a ring inside a machine of 8 (NVLink)
BETWEEN_NODES = 45e9       # between machines, one 400 Gbit/s rail a GPU
LATENCY = 10e-6            # a hop of a ring
CAPTION, REGIONS, REGION_TEXT = 40, 4, 5   # tokens, regions and their tokens of a sample
DISTINCT = 0.4             # of the region texts: each text is encoded once


def layer_operations(tokens, width, ratio=4.0):
    """A forward pass of one transformer layer."""
    return (8 + 4 * ratio) * tokens * width**2 + 4 * tokens**2 * width


class Model:
    def __init__(self, name):
        config = json.loads((ROOT / 'configs' / 'models' / f'{name}.json').read_text())['model_cfg']
        vision, text = config['vision_cfg'], config['text_cfg']
        self.name, self.embed = name, config['embed_dim']
        size, patch = vision['image_size'], vision['patch_size']
        self.tokens, self.width, self.layers = (size // patch)**2 + 1, vision['width'], vision['layers']
        ratio = vision.get('mlp_ratio', 4.0)
        text_width, text_layers = text['width'], text['layers']
        pixels = 3 * patch**2
        image = (2 * (self.tokens - 1) * pixels * self.width
                 + self.layers * layer_operations(self.tokens, self.width, ratio) + 2 * self.width * self.embed)
        texts = (layer_operations(CAPTION, text_width)
                 + REGIONS * DISTINCT * layer_operations(REGION_TEXT, text_width)) * text_layers
        # Pool `prompt`: the image's keys and values once, the few prompt tokens through one layer.
        prompter = 4 * self.tokens * self.width**2 + REGIONS * layer_operations(3, self.width) \
            + REGIONS * 4 * 3 * self.tokens * self.width
        self.forward = image + texts + prompter
        per_layer = (4 + 2 * ratio) * self.width**2 + (9 + ratio) * self.width
        per_text_layer = 12 * text_width**2 + 13 * text_width
        self.parameters = (self.layers * per_layer + pixels * self.width + self.tokens * self.width
                           + self.width * self.embed + text_layers * per_text_layer
                           + (text['vocab_size'] + text['context_length']) * text_width + text_width * self.embed
                           + per_layer + self.width * self.embed)
        # Bytes kept of a sample for its backward pass, bf16, without attention scores (Korthikanti et al., 2205.05198).
        self.activations = 34 * (self.tokens * self.width * (self.layers + 1)
                                 + (CAPTION + REGIONS * DISTINCT * REGION_TEXT) * text_width * text_layers)


def plan(model, batch, gpus, share, zero):
    """One step: a dictionary of seconds, bytes and counts of one GPU."""
    local, regions = batch / gpus, batch * REGIONS
    fixed = model.parameters * ((4 + 4 + 8 + 2) if not zero else (4 + 2 + 12 / gpus))
    gathered = 2 * 2 * (batch + regions) * model.embed  # bf16
    room = MEMORY - fixed - gathered
    parts = max(1, math.ceil(local * model.activations / room)) if room > 0 else float('inf')
    passes = 3 if parts == 1 else 4                     # in parts, the forward pass is made twice
    compute = passes * model.forward * local / (share * PEAK)
    loss = 8 * 2 * model.embed * (regions**2 + batch**2) / gpus / (share * PEAK)
    others = (gpus - 1) / gpus
    rate = IN_NODE if gpus <= 8 else BETWEEN_NODES
    gradients = 2 * others * 4 * model.parameters
    embeddings = others * gathered
    sums = others * 8 * (batch + regions)
    hops = LATENCY * gpus
    reduce = gradients / rate + 2 * hops
    hidden = compute * (2 / 3)                          # the backward pass, beside which buckets travel
    gather = (embeddings + sums) / rate + 4 * hops
    optimizer = 30 * model.parameters / (gpus if zero else 1) / MEMORY_RATE
    seconds = compute + loss + max(0, reduce - hidden) + gather + optimizer
    return {'local': local, 'parts': parts, 'compute': compute, 'loss': loss, 'reduce': reduce, 'gather': gather,
            'optimizer': optimizer, 'seconds': seconds, 'received': gradients + embeddings + sums,
            'memory': fixed + gathered + local / parts * model.activations}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('--models', default='ViT-B-16,ViT-L-14,ViT-H-14')
    options.add_argument('--batch', type=int, default=32768)
    options.add_argument('--gpus', default='8,64,1024')
    options.add_argument('--share', type=float, default=0.38, help='of the peak that a step without communication reaches')
    options.add_argument('--samples', type=float, default=320e6, help='of a whole training')
    options.add_argument('--price', type=float, default=3, help='of a GPU hour, in dollars')
    options = options.parse_args()
    print(f'Assumed: {options.share:.0%} of {PEAK / 1e12:.0f} TFLOP/s, {IN_NODE / 1e9:.0f} GB/s inside a machine, '
          f'{BETWEEN_NODES / 1e9:.0f} GB/s between machines, {CAPTION} tokens a caption, {REGIONS} regions of {REGION_TEXT} '
          f'tokens a sample. Gradients F32, embeddings bf16.\n')
    print('| model | GPUs | samples a GPU | parts | compute, ms | loss, ms | gradients, ms | embeddings, ms | optimizer, ms | '
          'step, ms | samples/s | received, GB | memory, GB | with `--zero 1`, GB | whole training, hours | dollars |')
    print('|' + '---|' * 16)
    for name in options.models.split(','):
        model = Model(name)
        for gpus in map(int, options.gpus.split(',')):
            step = plan(model, options.batch, gpus, options.share, zero=False)
            sharded = plan(model, options.batch, gpus, options.share, zero=True)
            hours = options.samples / options.batch * step['seconds'] / 3600
            print(f'| {name} | {gpus} | {step["local"]:.0f} | {step["parts"]} | {step["compute"] * 1e3:.0f} | '
                  f'{step["loss"] * 1e3:.1f} | {step["reduce"] * 1e3:.0f} | {step["gather"] * 1e3:.1f} | '
                  f'{step["optimizer"] * 1e3:.1f} | {step["seconds"] * 1e3:.0f} | {options.batch / step["seconds"]:,.0f} | '
                  f'{step["received"] / 1e9:.2f} | {step["memory"] / 1e9:.0f} | {sharded["memory"] / 1e9:.0f} | '
                  f'{hours:.1f} | {hours * gpus * options.price:,.0f} |')
    print()
    for name in options.models.split(','):
        model = Model(name)
        print(f'{name}: {model.parameters / 1e6:.0f} M parameters, {model.forward / 1e9:.0f} GFLOP forward, '
              f'{3 * model.forward / 1e9:.0f} a step and sample, {model.activations / 1e6:.0f} MB kept a sample')


if __name__ == '__main__':
    main()
