"""open_clip's own loader, classes, preprocessing and tokenizer, and CLIP_benchmark over them."""

import json
import sys
import types

from common import WORDS, Row, largest, plain, randomise, same_set, unit, version

# Classes of open_clip with sizes of a test: name, class, configuration.
VISION = {'image_size': 64, 'layers': 2, 'width': 64, 'patch_size': 16, 'head_width': 32}
TEXT = {'context_length': 16, 'vocab_size': 600, 'width': 48, 'heads': 3, 'layers': 2}
MODELS = {
    'gelu': ('CLIP', {'embed_dim': 32, 'vision_cfg': VISION, 'text_cfg': TEXT}),
    'quick_gelu': ('CLIP', {'embed_dim': 32, 'vision_cfg': VISION, 'text_cfg': TEXT, 'quick_gelu': True}),
    'eos pool': ('CLIP', {'embed_dim': 32, 'vision_cfg': VISION, 'text_cfg': {**TEXT, 'pool_type': 'eos', 'eos_id': 7}}),
    'average pool': (
        'CustomTextCLIP',
        {'embed_dim': 32, 'vision_cfg': {**VISION, 'pool_type': 'avg', 'final_ln_after_pool': True}, 'text_cfg': TEXT},
    ),
    'SigLIP-like text': (
        'CustomTextCLIP',
        {
            'embed_dim': 32,
            'vision_cfg': {**VISION, 'no_ln_pre': True},
            'init_logit_bias': -10,
            'text_cfg': {**TEXT, 'no_causal_mask': True, 'pool_type': 'last', 'proj_bias': True, 'norm_kwargs': {'eps': 1e-6}},
        },
    ),
    'CoCa': (
        'CoCa',
        {
            'embed_dim': 48,
            'custom_text': True,
            'vision_cfg': {
                **VISION,
                'attentional_pool': True,
                'attn_pooler_heads': 4,
                'attn_pooler_queries': 9,
                'output_tokens': True,
            },
            'text_cfg': {**TEXT, 'embed_cls': True, 'output_tokens': True},
            'multimodal_cfg': {**TEXT, 'layers': 2},
        },
    ),
}

MORE_WORDS = ['', 'ÄÖ ß ① ﬁ', '日本 한글 😀', 'e\u0301 \u200b \xa0 … x²', 'İstanbul', 'stethoscope ' * 30, '...!?', '12 345,6']


def embeddings(model, pixels, ids):
    """Image and text embeddings as one list of rows of unit length."""
    import numpy
    import torch

    with torch.no_grad():
        return numpy.concatenate([unit(plain(model.encode_image(pixels))), unit(plain(model.encode_text(ids)))])


def ours_in_theirs(work, name, directory):
    import numpy
    import torch
    import open_clip
    from safetensors import safe_open

    ours = work.embed_all(directory)
    model, _, prepare = open_clip.create_model_and_transforms(f'local-dir:{directory}')
    model.eval()
    found = embeddings(model, torch.from_numpy(ours['pixel_values']), torch.from_numpy(ours['input_ids']))
    wanted = numpy.concatenate([ours['image_embeds'], ours['text_embeds']])
    with safe_open(directory / 'open_clip_model.safetensors', 'np') as file:
        keys = same_set(file.keys(), [key for key, _ in model.named_parameters()])
    yield Row(version('open_clip_torch'), f'{name}: embeddings', 'ours -> theirs', largest(found, wanted), keys=keys)
    from PIL import Image

    pixels = torch.stack([prepare(Image.open(path).convert('RGB')) for path in work.pictures()])
    levels = [abs(plain(a) - b).max() * 255 * 0.2613 for a, b in zip(pixels, ours['pixel_values'])]
    exact = sum(level < 1e-3 for level in levels)
    # Where a picture is shrunk much more in height than in width, Pillow of 2026 goes over its columns first: one level of 255.
    yield Row(
        version('open_clip_torch'),
        f'{name}: its preprocessing of our pictures',
        'ours -> theirs',
        largest(pixels, ours['pixel_values']),
        tolerance=8e-3 if exact >= len(levels) - 1 else 1e-6,
        note=f'{exact} of {len(levels)} pictures to the bit'
        + (', the other within one level of 255' if exact < len(levels) else ''),
    )


def tokenizers(work):
    import numpy
    import open_clip

    directory = work.clip_words()
    ours = work.embed_all(directory)['input_ids']
    theirs = open_clip.get_tokenizer(f'local-dir:{directory}')(WORDS).numpy()
    yield Row(version('open_clip_torch'), "get_tokenizer, CLIP's BPE: ids", 'ours -> theirs', float((ours != theirs).sum()), 0)
    directory = work.trained('native')
    # Two texts are not SentencePiece's alone: open_clip turns "&amp;" into "&" before.
    plain_words = [text for text in WORDS if '&' not in text] + MORE_WORDS
    (work.folder / 'words.txt').write_text('\n'.join(plain_words) + '\n')
    ours = work.embed(directory, '--texts', work.folder / 'words.txt', '--save-inputs')['input_ids']
    theirs = open_clip.get_tokenizer(f'local-dir:{directory}')(plain_words).numpy()
    yield Row(
        version('open_clip_torch'),
        f'get_tokenizer, our SentencePiece: ids of {len(plain_words)} texts',
        'ours -> theirs',
        float((ours != theirs).sum()),
        0,
    )
    # Older versions: docs/guide/convert.md says what to do.
    from sentencepiece import SentencePieceProcessor

    length = json.loads((directory / 'open_clip_config.json').read_text())['model_cfg']['text_cfg']['context_length']
    pieces = SentencePieceProcessor(model_file=str(directory / 'tokenizer.model'))
    rows = numpy.full((len(WORDS), length), pieces.pad_id())
    for row, text in zip(rows, WORDS):
        ids = [*pieces.encode(text)[: length - 1], pieces.eos_id()]
        row[: len(ids)] = ids
    ours = work.embed_all(directory)['input_ids']
    yield Row(
        version('sentencepiece'),
        "the guide's lines on our SentencePiece model: ids",
        'ours -> theirs',
        float((ours != rows).sum()),
        0,
    )


def theirs_in_ours(work):
    import numpy
    import open_clip
    import torch
    from open_clip.push_to_hf_hub import save_for_hf

    for name, (kind, config) in MODELS.items():
        arguments = json.loads(json.dumps(config))
        arguments.pop('custom_text', None)
        model = randomise(getattr(open_clip, kind)(**arguments))
        directory = work.folder / f'open_clip {name}'
        stored = {**config, 'custom_text': True} if kind != 'CLIP' else config
        model.visual.image_mean = model.visual.image_std = (0.5, 0.5, 0.5)
        none = types.SimpleNamespace(save_pretrained=lambda _: None)  # it asks for a tokenizer to save beside
        save_for_hf(model, none, model_config=stored, save_directory=directory, safe_serialization=True)
        pixels, ids = torch.randn(5, 3, 64, 64), torch.randint(8, 599, (5, 16))
        ids[:, 9], ids[:, 12:] = 599, 0
        if 'eos' in name:
            ids[:, 9] = 7
        ours = work.embed_tensors(directory, pixels, ids)
        wanted = embeddings(model, pixels, ids)
        found = numpy.concatenate([ours['image_embeds'], ours['text_embeds']])
        # Our reader refuses tensors that are missing or unexpected.
        yield Row(version('open_clip_torch'), f'{kind}, {name}: embeddings', 'theirs -> ours', largest(found, wanted))


def benchmark(work):
    """CLIP_benchmark's own command on our model and shards; eval's figures beside."""
    import io
    import tarfile

    directory, folder = work.clip_words(), work.folder / 'clip_benchmark'
    samples = []
    for shard in sorted(work.scenes().glob('*.tar')):
        with tarfile.open(shard) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}
        for name in files:
            if name.endswith('.json'):
                key = name.removesuffix('.json')
                if 'label' not in json.loads(files[name]):  # a scene without one thing that it shows
                    continue
                samples.append(
                    (
                        key,
                        next(files[f'{key}.{e}'] for e in ('jpg', 'png', 'webp') if f'{key}.{e}' in files),
                        json.loads(files[name]),
                    )
                )
    classes = sorted({record['label'] for _, _, record in samples})

    def write(target, members):
        (target / 'test').mkdir(parents=True)
        (target / 'test/nshards.txt').write_text('1')
        with tarfile.open(target / 'test/0.tar', 'w') as tar:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

    write(
        folder / 'classes',
        [
            part
            for key, picture, record in samples
            for part in ((f'{key}.jpg', picture), (f'{key}.cls', str(classes.index(record['label'])).encode()))
        ],
    )
    (folder / 'classes/classnames.txt').write_text('\n'.join(classes))
    (folder / 'classes/zeroshot_classification_templates.txt').write_text('a photo of a {c}.\nthe {c}')
    write(
        folder / 'captions',
        [
            part
            for key, picture, record in samples
            for part in ((f'{key}.jpg', picture), (f'{key}.txt', record['caption'].encode()))
        ],
    )
    (folder / 'captions/dataset_type.txt').write_text('retrieval')
    (folder / 'classes.txt').write_text('\n'.join(classes) + '\n')
    (folder / 'templates.txt').write_text('a photo of a {}.\nthe {}\n')
    write(
        folder / 'ours',
        [
            part
            for key, picture, record in samples
            for part in ((f'{key}.jpg', picture), (f'{key}.json', json.dumps(record).encode()))
        ],
    )
    ours = json.loads(
        work.run(
            'eval',
            '--model',
            directory,
            '--data',
            folder / 'ours/test',
            '--tasks',
            'zeroshot,retrieval',
            '--classes',
            folder / 'classes.txt',
            '--templates',
            folder / 'templates.txt',
            '--json',
        )
    )

    from clip_benchmark import cli

    for data, task, theirs_of_task, names in (
        ('classes', 'zeroshot', 'zeroshot_classification', ('acc1', 'acc5', 'mean_per_class_recall')),
        ('captions', 'retrieval', 'zeroshot_retrieval', ('image_retrieval_recall@5', 'text_retrieval_recall@5')),
    ):
        arguments, sys.argv = sys.argv, [
            'clip_benchmark',
            'eval',
            '--dataset',
            f'wds/{data}',
            '--dataset_root',
            str(folder / data),
            '--task',
            theirs_of_task,
            '--model',
            f'local-dir:{directory}',
            '--pretrained',
            '',
            '--no_amp',
            '--num_workers',
            '0',
            '--output',
            str(folder / f'{data}.json'),
            '--batch_size',
            '32',
            '--quiet',
        ]
        try:
            cli.main()
        finally:
            sys.argv = arguments
        theirs = json.loads((folder / f'{data}.json').read_text())['metrics']
        worst = max(abs(theirs[name] - ours[task][name]) for name in names)
        figures = ', '.join(f'{name} {theirs[name]:.4f}' for name in names)
        # A rank turns where two scores agree to rounding: one picture of all.
        yield Row(
            version('clip-benchmark'),
            f'{task} on our model and scenes',
            'ours -> theirs',
            worst,
            tolerance=1 / len(samples),
            note=figures,
        )


def checks(work):
    yield from ours_in_theirs(work, 'SentencePiece, eos pool, longest', work.trained('native'))
    yield from ours_in_theirs(work, "CLIP's BPE, quick_gelu, shortest", work.clip_words())
    yield from tokenizers(work)
    yield from theirs_in_ours(work)


def checks_of_benchmark(work):
    yield from benchmark(work)
