#!/usr/bin/env python3
"""Which version of open_clip is the first that builds each kind of model that we write.

    for v in 2.20.0 2.24.0 2.26.1 2.30.0 2.32.0 3.0.0 3.2.0 3.3.0; do V/bin/pip install --no-deps --target old/$v open-clip-torch==$v; done
    V/bin/python bench/open_clip_versions.py old/*

V has torch, torchvision, timm, ftfy and regex. Each version runs in a process of its own and builds models of its classes
from configurations as we write them, with all sizes small. Printed is a table of what it said: "yes", or its error.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

VISION = {'image_size': 32, 'layers': 1, 'width': 32, 'patch_size': 16, 'head_width': 16, 'mlp_ratio': 4.0}
TEXT = {'context_length': 16, 'vocab_size': 60, 'width': 32, 'heads': 2, 'layers': 1}
FEATURES = {
    'a plain model, class token': ('CLIP', {}, {}, {}),
    '`quick_gelu`': ('CLIP', {'quick_gelu': True}, {}, {}),
    '`pool_type` `eos` (our SentencePiece models)': ('CLIP', {}, {}, {'pool_type': 'eos', 'eos_id': 1}),
    '`no_causal_mask`, `pool_type` `last`, `proj_bias`': (
        'CustomTextCLIP',
        {},
        {},
        {'no_causal_mask': True, 'pool_type': 'last', 'proj_bias': True},
    ),
    '`pool_type` `avg`': ('CLIP', {}, {'pool_type': 'avg'}, {}),
    '`final_ln_after_pool`': ('CLIP', {}, {'pool_type': 'avg', 'final_ln_after_pool': True}, {}),
    '`no_ln_pre`': ('CLIP', {}, {'no_ln_pre': True}, {}),
    '`norm_kwargs`, `act_kwargs`': ('CLIP', {}, {'norm_kwargs': {'eps': 1e-6}, 'act_kwargs': {'approximate': 'tanh'}}, {}),
    '`init_logit_bias`': ('CLIP', {'init_logit_bias': -10}, {}, {}),
    'CoCa (`attentional_pool`, `embed_cls`)': (
        'CoCa',
        {'multimodal_cfg': TEXT},
        {'attentional_pool': True, 'attn_pooler_heads': 2, 'attn_pooler_queries': 4, 'output_tokens': True},
        {'embed_cls': True, 'output_tokens': True},
    ),
    '`correct_cls_mask`': (
        'CoCa',
        {'multimodal_cfg': TEXT},
        {'attentional_pool': True, 'attn_pooler_heads': 2, 'attn_pooler_queries': 4, 'output_tokens': True},
        {'embed_cls': True, 'output_tokens': True, 'correct_cls_mask': True},
    ),
}
LOCAL = '`local-dir:FOLDER`'


def in_this_process(folder):
    """What the open_clip that is imported here says, as JSON."""
    import warnings

    warnings.filterwarnings('ignore')
    import open_clip

    said = {}
    for name, (kind, more, vision, text) in FEATURES.items():
        try:
            getattr(open_clip, kind)(embed_dim=32, vision_cfg={**VISION, **vision}, text_cfg={**TEXT, **text}, **more)
            said[name] = 'yes'
        except Exception as error:  # its own words
            said[name] = str(error).splitlines()[0][:90]
    model = open_clip.CLIP(embed_dim=32, vision_cfg=VISION, text_cfg=TEXT)
    config = {
        'model_cfg': {'embed_dim': 32, 'vision_cfg': VISION, 'text_cfg': TEXT},
        'preprocess_cfg': {
            'mean': [0.5] * 3,
            'std': [0.5] * 3,
            'interpolation': 'bicubic',
            'resize_mode': 'longest',
            'fill_color': 0,
        },
    }
    (folder / 'open_clip_config.json').write_text(json.dumps(config))
    import safetensors.torch

    safetensors.torch.save_file(model.state_dict(), folder / 'open_clip_model.safetensors')
    try:
        open_clip.create_model_and_transforms(f'local-dir:{folder}')
        said[LOCAL] = 'yes'
    except Exception as error:
        said[LOCAL] = str(error).splitlines()[0][:90]
    print(json.dumps(said))


def main():
    if sys.argv[1] == '--here':
        return in_this_process(pathlib.Path(sys.argv[2]))
    columns = {}
    for path in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, __file__, '--here', folder],
                capture_output=True,
                text=True,
                check=False,
                env={'PYTHONPATH': path, 'PATH': '/usr/bin:/bin', 'HF_HUB_OFFLINE': '1'},
            )
            lines = done.stdout.splitlines()
            columns[pathlib.Path(path).name] = (
                json.loads(lines[-1]) if done.returncode == 0 else {'': done.stderr.splitlines()[-1][:200]}
            )
    order = sorted(columns, key=lambda v: tuple(map(int, v.split('.'))))
    print('| | ' + ' | '.join(order) + ' |\n|---' * 1 + '|---' * len(order) + '|')
    for name in [LOCAL, *FEATURES]:
        print(f'| {name} | ' + ' | '.join(columns[v].get(name, columns[v].get('', '?')) for v in order) + ' |')


if __name__ == '__main__':
    main()
