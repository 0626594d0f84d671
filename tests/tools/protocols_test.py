#!/usr/bin/env python3
"""Parity of `eval --protocol` with the published evaluations, re-stated in published.py, on a random small model.

    protocols_test.py BINARY

Needs torch, numpy and Pillow; without them it is skipped (exit code 77) and says so. Each line is one figure of ours
beside theirs; a figure may differ by one sample, which two orders of adding may flip.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import numpy
    import torch
    from PIL import Image, ImageDraw
    import published
except ImportError as missing:
    system = '/usr/bin/python3'
    if sys.executable != system and os.path.exists(system) and not os.environ.get('OPENCLOC_PARITY_TRIED'):
        os.environ['OPENCLOC_PARITY_TRIED'] = '1'
        os.execv(system, [system, *sys.argv])
    print(f'SKIPPED: {missing}; parity with the published evaluations is not tested', file=sys.stderr)
    sys.exit(77)

CLASSES = ['red_box', 'blue box', 'green disc', 'apple', 'orange', 'white stripe', 'umbrella', 'dark cat', 'elk', 'bus']
PREPOSITIONS = ['on', 'under', 'beside', 'behind']
wrong = 0


def run(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f'{" ".join(map(str, arguments))}: {done.stderr}')
    return done.stdout


def compare(name, ours, theirs, n):
    global wrong
    good = abs(ours - theirs) <= 1.0 / n + 1e-9
    wrong += not good
    print(f'{"ok  " if good else "BAD "} {name}: ours {ours:.6f}, published {theirs:.6f}, off by {abs(ours - theirs):.1e} (n {n})')


class World:
    """Pictures with boxes, a model with random weights, and what the published code would read of both."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, pathlib.Path(folder)
        rng = self.rng = random.Random(5)
        torch.manual_seed(5)
        (self.folder / 'images').mkdir()
        self.pictures, self.boxes = {}, []  # name -> picture; (name, category, x, y, w, h, crowd)
        for i in range(30):
            name = f'{i:012}.png'
            w, h = rng.randrange(40, 150), rng.randrange(40, 150)
            picture = Image.new('RGB', (w, h), tuple(rng.randrange(256) for _ in range(3)))
            draw = ImageDraw.Draw(picture)
            for _ in range(6):
                x, y = rng.randrange(w), rng.randrange(h)
                draw.rectangle((x, y, x + rng.randrange(5, 60), y + rng.randrange(5, 60)),
                               tuple(rng.randrange(256) for _ in range(3)))
            picture.save(self.folder / 'images' / name)
            self.pictures[name] = picture
            for _ in range(4):
                x, y = rng.randrange(w - 8), rng.randrange(h - 8)
                bw, bh = rng.randrange(3, w - x + 1), rng.randrange(3, h - y + 1)
                self.boxes.append((name, rng.randrange(len(CLASSES)), x, y, bw, bh, rng.random() < 0.1))
        run(binary, 'data', 'scenes', '--count', 32, '--size', 64, '--seed', 1, '--out', self.folder / 'scenes')
        run(binary, 'train', '--data', self.folder / 'scenes', '--model', 'ViT-Test', '--steps', 1, '--batch-size', 16,
            '--out', self.folder / 'run')
        self.model = self.folder / 'run' / 'model'
        path = self.model / 'open_clip_model.safetensors'
        weights = published.read_tensors(path)
        published.write_tensors(path, {name: w + 0.2 * torch.randn(w.shape) for name, w in weights.items()})
        self.clip = published.Clip(self.model)

    def texts(self, texts):
        """Embeddings by the published tower of the ids that our tokenizer gives."""
        (self.folder / 'texts.txt').write_text('\n'.join(texts) + '\n')
        out = self.folder / 'texts.safetensors'
        run(self.binary, 'embed', '--model', self.model, '--texts', self.folder / 'texts.txt', '--save-inputs', '--out', out)
        return self.clip.text(published.read_tensors(out)['input_ids'].long())

    def classes(self, names, templates):
        prompts = [t.replace('{article}', 'an' if name[0] in 'aeiou' else 'a').replace('{}', name)
                   for name in names for t in templates]
        return published.norm(self.texts(prompts).view(len(names), len(templates), -1).mean(1))

    def write(self, name, value):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    def data(self, format_name, annotations, *flags):
        out = self.folder / ('shards-' + format_name + str(len(list(self.folder.iterdir()))))
        run(self.binary, 'data', 'import', '--format', format_name, '--images', self.folder / 'images', '--annotations',
            annotations, '--out', out, *flags)
        return out

    def evaluate(self, protocol, data, *flags):
        return json.loads(run(self.binary, 'eval', '--model', self.model, '--data', data, '--protocol', protocol, '--json', *flags))


def macro(hits, labels):
    """CLIPSelf's _macc without its rounding to half precision."""
    per = [numpy.mean([h for h, l in zip(hits, labels) if l == label]) for label in sorted(set(labels))]
    return sum(per) / len(per)


def region_protocols(world, templates):
    names = [c.replace('_', ' ') for c in CLASSES]
    categories = [{'id': i + 1, 'name': c, 'isthing': 1, 'frequency': 'rcf'[i % 3]} for i, c in enumerate(CLASSES)]
    images = [{'id': i, 'file_name': n, 'width': p.width, 'height': p.height}
              for i, (n, p) in enumerate(world.pictures.items())]
    number = {image['file_name']: image['id'] for image in images}
    annotations = [{'id': i, 'image_id': number[n], 'category_id': c + 1, 'bbox': [x, y, w, h], 'iscrowd': int(crowd)}
                   for i, (n, c, x, y, w, h, crowd) in enumerate(world.boxes)]
    coco = world.data('coco', world.write('instances.json', {'images': images, 'categories': categories,
                                                             'annotations': annotations}), '--crowd')
    segments = {}
    for one in annotations:
        segments.setdefault(one['image_id'], []).append(one)
    panoptic = world.data('coco-panoptic', world.write('panoptic.json', {
        'images': images, 'categories': categories,
        'annotations': [{'image_id': i, 'file_name': 'x.png', 'segments_info': s} for i, s in segments.items()]}), '--crowd')
    class_file = world.write('classes.txt', '\n'.join(CLASSES))
    vild, openai = templates['vild'], templates['openai']
    for protocol, data, read_out, canvas, prompts, lower, average in [
            ('clipself', panoptic, 'dense', published.corner, vild, False, 'mean_per_class_recall'),
            ('clipself-crop', panoptic, 'crop:1.5', published.shortest, vild, False, 'mean_per_class_recall'),
            ('fg-clip', coco, 'dense_raw', published.squash, openai, False, 'acc1'),
            ('fg-clip2-crop', coco, 'crop', published.squash, openai, True, 'acc1')]:
        results = world.evaluate(protocol, data, '--classes', class_file, '--image-size', world.clip.size)
        if lower:
            prompts = [p.lower() for p in prompts]
        weights = world.classes(names, prompts)
        hits, labels, sizes = [], [], []
        for name, label, x, y, w, h, crowd in world.boxes:
            if protocol.startswith('clipself') and not 8 ** 2 <= w * h <= 1024 ** 2:
                continue
            found = published.region(world.clip, world.pictures[name], (x, y, w, h), read_out, canvas)
            hits.append(float((weights @ found).argmax() == label))
            labels.append(label)
            sizes.append(w * h)
        figure = results['region_recognition'][average]
        compare(f'{protocol} {average}', figure, macro(hits, labels) if average != 'acc1' else numpy.mean(hits),
                len(hits) if average == 'acc1' else min(labels.count(l) for l in set(labels)) * len(CLASSES))
        compare(f'{protocol} n', results['region_recognition']['n'], len(hits), 1e9)
        small = [h for h, s in zip(hits, sizes) if s < 32 ** 2]
        compare(f'{protocol} small boxes acc1', results['region_recognition']['by_size']['small']['acc1'], numpy.mean(small),
                len(small))
        rare = [h for h, l in zip(hits, labels) if l % 3 == 0]
        if data is coco:
            compare(f'{protocol} rare classes acc1', results['region_recognition']['by_frequency']['r']['acc1'],
                    numpy.mean(rare), len(rare))


def imagenet(world, templates):
    labels = [f'n{i:08}' for i in range(8)]
    names = ['tench', 'missile', 'sunglasses', 'crane bird', 'missile', 'elk', 'king penguin', 'bus']
    rows = [{'file_name': n, 'label': labels[world.rng.randrange(8)]} for n in world.pictures]
    data = world.data('jsonl', world.write('labels.jsonl', '\n'.join(map(json.dumps, rows))))
    mapped = world.write('names.tsv', ''.join(f'{l}\t{n}\n' for l, n in zip(labels, names)))
    results = world.evaluate('imagenet', data, '--names-map', mapped)
    weights = world.classes(names, templates['openai'])
    # Two classes of one name have one score: numpy's stable sort gives it to the first, as we do.
    hits1 = hits5 = 0
    for row in rows:
        pixels = world.clip.to_tensor(published.longest(world.pictures[row['file_name']], world.clip.size)[0])
        scores = (weights @ world.clip.image(pixels[None])[0]).numpy()
        order = list(numpy.argsort(-scores, kind='stable'))
        hits1 += order[0] == labels.index(row['label'])
        hits5 += labels.index(row['label']) in order[:5]
    compare('imagenet acc1', results['zeroshot']['acc1'], hits1 / len(rows), len(rows))
    compare('imagenet acc5', results['zeroshot']['acc5'], hits5 / len(rows), len(rows))
    compare('imagenet classes', results['zeroshot']['classes'], 8, 1e9)


def whole(world, name):
    return world.clip.image(world.clip.to_tensor(published.longest(world.pictures[name], world.clip.size)[0])[None])[0]


def phrase(rng):
    return f'a {rng.choice(CLASSES)} {rng.choice(PREPOSITIONS)} a {rng.choice(CLASSES)}'.replace('_', ' ')


def choices(world):
    rng, names = world.rng, list(world.pictures)
    crepe = {kind: {str(i): {'filename': rng.choice(names), 'caption': phrase(rng), 'negative_caption': phrase(rng)}
                    for i in range(30)} for kind in ('swap_att', 'add_obj')}
    for kind, entries in crepe.items():
        world.write(f'crepe/{kind}.json', entries)
    results = world.evaluate('sugarcrepe', world.data('sugarcrepe', world.folder / 'crepe'))
    for kind, entries in crepe.items():
        hits, both = [], world.texts([entry[key] for entry in entries.values() for key in ('caption', 'negative_caption')])
        for i, entry in enumerate(entries.values()):
            right, negative = both[2 * i:2 * i + 2] @ whole(world, entry['filename'])
            hits.append(float(right > negative))
        compare(f'sugarcrepe {kind}', results['choice']['pictures']['kinds'][kind]['acc1'], numpy.mean(hits), len(hits))

    aro = []
    for name, _, x, y, w, h, _ in world.boxes[:60]:
        aro.append({'image_path': name, 'bbox_x': x, 'bbox_y': y, 'bbox_w': w, 'bbox_h': h, 'true_caption': phrase(rng),
                    'false_caption': phrase(rng), 'relation_name': rng.choice(PREPOSITIONS)})
    results = world.evaluate('aro', world.data('aro', world.write('visual_genome_relation.json', aro)))
    hits, both = [], world.texts([one[key] for one in aro for key in ('false_caption', 'true_caption')])
    for i, one in enumerate(aro):
        image = published.region(world.clip, world.pictures[one['image_path']],
                                 [one['bbox_' + k] for k in 'xywh'], 'crop', published.longest)
        scores = (both[2 * i:2 * i + 2] @ image).numpy()
        hits.append(float(numpy.argmax(scores) == 1))
    compare('aro acc1', results['choice']['regions']['acc1'], numpy.mean(hits), len(hits))
    relations = [one['relation_name'] for one in aro]
    compare('aro mean of relations', results['choice']['regions']['mean_of_kinds'], macro(hits, relations),
            min(relations.count(r) for r in set(relations)) * len(set(relations)))

    pairs, left = [], names[:]
    rng.shuffle(left)
    for i in range(15):
        pairs.append({'id': i, 'image_0': left[2 * i][:-4], 'image_1': left[2 * i + 1][:-4], 'caption_0': phrase(rng),
                      'caption_1': phrase(rng)})
    results = world.evaluate('winoground', world.data('winoground', world.write('examples.jsonl', '\n'.join(map(json.dumps, pairs)))))
    text = image = group = 0
    both = world.texts([one[key] for one in pairs for key in ('caption_0', 'caption_1')])
    for i, one in enumerate(pairs):
        captions = both[2 * i:2 * i + 2]
        pictures = torch.stack([whole(world, one['image_0'] + '.png'), whole(world, one['image_1'] + '.png')])
        s = captions @ pictures.T  # [caption, picture]
        t = bool(s[0, 0] > s[1, 0] and s[1, 1] > s[0, 1])
        p = bool(s[0, 0] > s[0, 1] and s[1, 1] > s[1, 0])
        text, image, group = text + t, image + p, group + (t and p)
    for key, count in (('text_score', text), ('image_score', image), ('group_score', group)):
        compare(f'winoground {key}', results['choice']['pairs'][key], count / 15, 15)

    ovd = []
    for name, _, x, y, w, h, _ in world.boxes[:60]:
        right = phrase(rng)  # among the wrong ones it would be a tie, which they count as right and we do not
        ovd.append({'img_path': name, 'bbox': [x, y, w, h], 'pos_expression': [right],
                    'neg_expression': sorted({phrase(rng) for _ in range(10)} - {right})})
    results = world.evaluate('fg-ovd', world.data('jsonl', world.write('fgovd.jsonl', '\n'.join(map(json.dumps, ovd)))))
    hits, options = [], [one['pos_expression'] + one['neg_expression'] for one in ovd]
    every = iter(world.texts([text for texts in options for text in texts]).split([len(texts) for texts in options]))
    for one in ovd:
        found = published.region(world.clip, world.pictures[one['img_path']], one['bbox'], 'dense_raw', published.squash)
        scores = next(every) @ found
        hits.append(float(scores[0] == scores.max()))
    compare('fg-ovd acc1', results['choice']['regions']['acc1'], numpy.mean(hits), len(hits))


def retrievals(world):
    rng = world.rng
    rows = [{'file_name': name, 'caption': f'{phrase(rng)} {i}{j}'} for i, name in enumerate(world.pictures) for j in range(3)]
    data = world.data('jsonl', world.write('captions.jsonl', '\n'.join(map(json.dumps, rows))))
    results = world.evaluate('retrieval', data)['retrieval']
    names = list(world.pictures)
    scores = world.texts([row['caption'] for row in rows]) @ torch.stack([whole(world, n) for n in names]).T
    owner = torch.tensor([names.index(row['file_name']) for row in rows])
    for k in (1, 5):  # CLIP_benchmark's recall_at_k: any right one among the top k
        top = scores.topk(k, 1).indices
        compare(f'retrieval image R@{k}', results[f'image_retrieval_recall@{k}'],
                float((top == owner[:, None]).any(1).float().mean()), len(rows))
        top = owner[scores.T.topk(k, 1).indices]
        compare(f'retrieval text R@{k}', results[f'text_retrieval_recall@{k}'],
                float((top == torch.arange(len(names))[:, None]).any(1).float().mean()), len(names))

    queries = [(name, f'{phrase(rng)} {i}', box) for i, (name, _, *box, _) in enumerate(world.boxes)]
    rows = [{'file_name': name, 'phrase': text, 'bbox': box} for name, text, box in queries]
    data = world.data('jsonl', world.write('objects.jsonl', '\n'.join(map(json.dumps, rows))))
    results = world.evaluate('sorce', data, '--region-method', 'dense', '--image-resize-mode', 'squash')['object_retrieval']
    texts = world.texts([text for _, text, _ in queries])
    owner = torch.tensor([names.index(name) for name, _, _ in queries])
    images = [world.clip.image(world.clip.to_tensor(published.squash(world.pictures[n], world.clip.size)[0])[None])[0] for n in names]
    boxes = torch.stack([published.region(world.clip, world.pictures[n], b, 'dense', published.squash) for n, _, b in queries])
    cosine = texts @ boxes.T
    best = torch.stack([cosine[:, owner == i].max(1).values for i in range(len(names))], 1)
    for name, found in (('global', texts @ torch.stack(images).T), ('dense', best)):
        for k in (1, 5):
            right = (found.topk(k, 1).indices == owner[:, None]).any(1).float().mean()
            compare(f'sorce {name} R@{k}', results['methods'][name][f'recall@{k}'], float(right), len(queries))


def main():
    binary = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        world = World(binary, folder)
        # The prompts themselves, as the results print them; open_clip's are compared with its package where it is.
        probe = world.data('jsonl', world.write('probe.jsonl', json.dumps(
            {'file_name': next(iter(world.pictures)), 'phrase': 'elk', 'bbox': [0, 0, 9, 9]})))
        templates = {name: json.loads(run(binary, 'eval', '--model', world.model, '--data', probe, '--tasks',
                                          'region_recognition', '--region-templates', name, '--json'))
                     ['region_recognition']['templates'] for name in ('openai', 'vild')}
        compare('prompts of open_clip', len(set(templates['openai'])), 80, 1e9)
        compare('prompts of ViLD', len(set(templates['vild'])), 63, 1e9)
        region_protocols(world, templates)
        imagenet(world, templates)
        choices(world)
        retrievals(world)
    print('all figures agree' if wrong == 0 else f'{wrong} figures differ')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
