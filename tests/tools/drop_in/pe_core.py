"""PE-Core (Meta's Perception Encoder): open_clip's model over timm's tower, both ways."""

import json

from common import Row, largest, plain, randomise, same_set, unit, version

TEXT = {'context_length': 16, 'vocab_size': 600, 'width': 48, 'heads': 3, 'layers': 2}
PREPROCESS = {'mean': [0.5] * 3, 'std': [0.5] * 3, 'interpolation': 'bilinear', 'resize_mode': 'squash'}
# Towers by their name in open_clip's configurations, whose size is the name's.
NAMED = {'PE-Core-T-16-384': 384, 'PE-Core-B-16': 224}
# timm's class with sizes of a test, and the same in our keys: as the named ones but the largest, and as the largest.
SMALL = {
    'with a class token': ({}, {}),
    'as PE-Core-bigG': (
        {'class_token': False, 'mlp_ratio': 3.0, 'rope_grid_offset': 0.0},
        {'class_token': False, 'mlp_ratio': 3.0, 'map_mlp_ratio': 4.0},
    ),
    'another grid than that of its training': ({'ref_feat_shape': (6, 6)}, {'rotary_grid': 6}),
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

    config = {**open_clip.get_model_config(name), 'text_cfg': TEXT, 'embed_dim': 40}
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
    for dtype, tolerance in (('int8', 0.1),):
        small = work.folder / f'{dtype} {name}'
        work.run('convert', directory, small, '--to', 'opencloc', '--quantize', dtype)
        yield Row(
            program, f'{name}: embeddings of {dtype}', 'theirs -> ours', largest(ours(work, small, pixels, ids), wanted), tolerance
        )


def small(work, name, timm_arguments, our_keys):
    from functools import partial

    import open_clip
    import torch
    from timm.layers import LayerNorm
    from timm.models.eva import Eva

    size, patch, width, embed = 64, 16, 64, 40
    trunk = {
        'img_size': size,
        'patch_size': patch,
        'embed_dim': width,
        'depth': 3,
        'num_heads': 4,
        'num_classes': embed,
        'global_pool': 'map',
        'attn_type': 'rope',
        'use_pre_transformer_norm': True,
        'use_rot_pos_emb': True,
        'ref_feat_shape': (size // patch, size // patch),
        'rope_grid_offset': 1.0,
        'rope_grid_indexing': 'xy',
        'attn_pool_num_heads': 8,
        'attn_pool_mlp_ratio': 4.0,
        'norm_layer': partial(LayerNorm, eps=1e-5),
    }
    vision = {
        'image_size': size,
        'patch_size': patch,
        'width': width,
        'layers': 3,
        'head_width': 16,
        'pool_type': 'map',
        'proj_bias': True,
        'rotary_grid': size // patch,
        'map_heads': 8,
    }
    plain_vision = {'image_size': size, 'patch_size': patch, 'width': width, 'layers': 1}
    model = open_clip.CustomTextCLIP(embed_dim=embed, vision_cfg=plain_vision, text_cfg=TEXT)
    model.visual = torch.nn.Module()
    model.visual.trunk = Eva(**{**trunk, **timm_arguments})
    model.visual.forward = model.visual.trunk.forward
    randomise(model)
    directory = work.folder / f'small {name}'
    config = {'embed_dim': embed, 'custom_text': True, 'vision_cfg': {**vision, **our_keys}, 'text_cfg': TEXT}
    save(model, config, directory)
    pixels, ids = inputs(size, 5)
    yield Row(
        version('timm'),
        f'Eva, {name}: embeddings',
        'theirs -> ours',
        largest(ours(work, directory, pixels, ids), rows_of(model, pixels, ids)),
    )


def checks(work):
    for name, (timm_arguments, our_keys) in SMALL.items():
        yield from small(work, name, timm_arguments, our_keys)
    for name, size in NAMED.items():
        yield from named(work, name, size)
