"""PE-Core, SigLIP and MobileCLIP2-L as open_clip has them, over a tower of timm's, both ways."""

import json

from common import Row, largest, plain, randomise, same_set, unit, version

TEXT = {'context_length': 16, 'vocab_size': 600, 'width': 48, 'heads': 3, 'layers': 2}
PREPROCESS = {'mean': [0.5] * 3, 'std': [0.5] * 3, 'interpolation': 'bilinear', 'resize_mode': 'squash'}
# Towers by their name in open_clip's configurations, whose size is the name's.
NAMED = {'PE-Core-T-16-384': 384, 'PE-Core-B-16': 224, 'ViT-B-16-SigLIP': 224, 'ViT-B-32-SigLIP2-256': 256}
WIDTH, EMBED, SIZE, PATCH = 64, 40, 64, 16
GRID = SIZE // PATCH
PE_CORE = {
    'attn_type': 'rope',
    'global_pool': 'map',
    'use_pre_transformer_norm': True,
    'use_rot_pos_emb': True,
    'ref_feat_shape': (GRID, GRID),
    'rope_grid_offset': 1.0,
    'rope_grid_indexing': 'xy',
    'attn_pool_num_heads': 8,
    'attn_pool_mlp_ratio': 4.0,
}
OUR_PE_CORE = {'pool_type': 'map', 'proj_bias': True, 'rotary_grid': GRID, 'map_heads': 8}
# timm's classes with sizes of a test, as in its towers that are too large for one, and the same in our keys.
SMALL = {
    'PE-Core': ('Eva', PE_CORE, OUR_PE_CORE),
    'PE-Core-bigG': (
        'Eva',
        {**PE_CORE, 'class_token': False, 'mlp_ratio': 3.0, 'rope_grid_offset': 0.0},
        {**OUR_PE_CORE, 'class_token': False, 'mlp_ratio': 3.0, 'map_mlp_ratio': 4.0},
    ),
    'PE-Core at another size than that of its training': (
        'Eva',
        {**PE_CORE, 'ref_feat_shape': (6, 6)},
        {**OUR_PE_CORE, 'rotary_grid': 6},
    ),
    'MobileCLIP2-L': ('VisionTransformer', {'global_pool': 'token', 'pre_norm': True}, {'proj_bias': True}),
}


def rows_of(model, pixels, ids):
    import numpy
    import torch

    with torch.no_grad():
        return numpy.concatenate([unit(plain(model.encode_image(pixels))), unit(plain(model.encode_text(ids)))])


def inputs(size, count):
    import torch

    torch.manual_seed(2)
    ids = torch.randint(1, 598, (count, TEXT['context_length']))
    ids[:, 9], ids[:, 12:] = 599, 0
    return torch.randn(count, 3, size, size), ids


def ours(work, directory, pixels, ids):
    import numpy

    found = work.embed_tensors(directory, pixels, ids)
    return numpy.concatenate([found['image_embeds'], found['text_embeds']])


def save(model, config, directory):
    from safetensors.torch import save_file

    directory.mkdir()
    whole = {'model_cfg': config, 'preprocess_cfg': PREPROCESS}
    (directory / 'open_clip_config.json').write_text(json.dumps(whole))
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, directory / 'open_clip_model.safetensors', metadata={'format': 'pt'})


def named(work, name, size):
    import open_clip
    from safetensors import safe_open

    config = open_clip.get_model_config(name)
    config['text_cfg'] = {k: v for k, v in config['text_cfg'].items() if 'tokenizer' not in k} | TEXT
    if config['vision_cfg']['timm_proj'] is None:
        config['embed_dim'] = EMBED
    arguments = {key: value for key, value in config.items() if key != 'custom_text'}
    model = randomise(open_clip.CustomTextCLIP(**arguments))
    directory = work.folder / f'theirs {name}'
    save(model, config, directory)
    pixels, ids = inputs(size, 2)
    wanted = rows_of(model, pixels, ids)
    program = f'{version("open_clip_torch")}, {version("timm")}'
    yield Row(program, f'{name}: embeddings', 'theirs -> ours', largest(ours(work, directory, pixels, ids), wanted))
    back = work.folder / f'ours {name}'
    work.run('convert', directory, back, '--to', 'open_clip')
    again = open_clip.create_model(f'local-dir:{back}').eval()
    with safe_open(back / 'open_clip_model.safetensors', 'np') as file:
        keys = same_set(file.keys(), [key for key, _ in again.named_parameters()])
    yield Row(program, f'{name}: embeddings', 'ours -> theirs', largest(rows_of(again, pixels, ids), wanted), keys=keys)
    short = work.folder / f'int8 {name}'
    work.run('convert', directory, short, '--to', 'opencloc', '--quantize', 'int8')
    yield Row(program, f'{name}: embeddings, int8', 'theirs -> ours', largest(ours(work, short, pixels, ids), wanted), 0.1)


def small(work, name, kind, timm_arguments, our_keys):
    from functools import partial

    import open_clip
    import timm
    import torch

    shared = {
        'img_size': SIZE,
        'patch_size': PATCH,
        'embed_dim': WIDTH,
        'depth': 3,
        'num_heads': 4,
        'num_classes': EMBED,
        'norm_layer': partial(timm.layers.LayerNorm, eps=1e-5),
    }
    vision = {'image_size': SIZE, 'patch_size': PATCH, 'width': WIDTH, 'layers': 3, 'head_width': 16}
    model = open_clip.CustomTextCLIP(embed_dim=EMBED, vision_cfg=vision, text_cfg=TEXT)
    trunk = getattr(timm.models, kind)(**shared, **timm_arguments)
    model.visual = torch.nn.Module()
    model.visual.trunk = trunk
    model.visual.forward = trunk.forward
    randomise(model)
    directory = work.folder / f'small {name}'
    config = {'embed_dim': EMBED, 'custom_text': True, 'vision_cfg': {**vision, **our_keys}, 'text_cfg': TEXT}
    save(model, config, directory)
    pixels, ids = inputs(SIZE, 5)
    yield Row(
        version('timm'),
        f'{kind} as {name}: embeddings',
        'theirs -> ours',
        largest(ours(work, directory, pixels, ids), rows_of(model, pixels, ids)),
    )


def checks(work):
    for name, (kind, timm_arguments, our_keys) in SMALL.items():
        yield from small(work, name, kind, timm_arguments, our_keys)
    for name, size in NAMED.items():
        yield from named(work, name, size)
