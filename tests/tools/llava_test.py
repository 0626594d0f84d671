#!/usr/bin/env python3
"""`opencloc mllm export` in transformers' own LlavaForConditionalGeneration: llava_test.py BINARY [--questions N] [--run DIR]

A reader of a few steps is exported, read by transformers, and both are asked the same questions about the same pictures:
projected features of the tower, and the ids of the answers, one by one. --run takes a trained reader's `model` folder and
its dialogues (DIR/model, DIR/talking) in place of the small one.

Needs torch, transformers and pillow for a Python named by OPENCLOC_LLAVA_PYTHON (default: this one):
    python3 -m venv V && V/bin/pip install torch transformers pillow
    export OPENCLOC_LLAVA_PYTHON=$PWD/V/bin/python
Without them it says so and is skipped.
"""
import argparse
import io
import pathlib
import sys
import tempfile

from small_reader import answers_of, go_on_in, hidden_tokens, pictures, run, small_reader

SKIPPED = 77
FEATURES = 1e-4  # largest difference, relative to the largest value


def compare(binary, model, dialogues, folder, count):
    import torch
    import transformers
    from PIL import Image
    torch.set_grad_enabled(False)
    run(binary, 'mllm', 'export', model, '--out', folder / 'llava')
    ours = answers_of(binary, model, dialogues, folder, count)
    theirs, loading = transformers.LlavaForConditionalGeneration.from_pretrained(
        folder / 'llava', dtype=torch.float32, output_loading_info=True)
    theirs.eval()
    lost = {name: sorted(loading[name]) for name in ('missing_keys', 'unexpected_keys', 'mismatched_keys') if loading[name]}
    # The last norm of the tower stands behind what LLaVA reads.
    lost = {name: [key for key in keys if 'post_layernorm' not in str(key)] for name, keys in lost.items()}
    assert not any(lost.values()), f'weights that do not fit: {lost}'
    processor = getattr(transformers, 'CLIPImageProcessorPil', transformers.CLIPImageProcessor).from_pretrained(folder / 'llava')
    stored = pictures(dialogues)
    by_picture, equal, largest = {}, 0, 0.0
    for line in ours:
        name = line['sample']
        if name not in by_picture:
            image = Image.open(io.BytesIO(stored[name][0])).convert('RGB')
            by_picture[name] = processor(images=image, return_tensors='pt')['pixel_values']
        ids = torch.tensor([line['prompt_ids']])
        written = theirs.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=by_picture[name],
                                  max_new_tokens=24, do_sample=False)[0, ids.shape[1]:].tolist()
        wanted = line['ids'] + ([theirs.generation_config.eos_token_id] if line['ended'] else [])
        equal += written == wanted
    # Projected features: what `embed` gives before the last block, through the projector.
    names = list(by_picture)[:16]
    hidden = torch.from_numpy(hidden_tokens(binary, model, stored, names, theirs.config.vision_feature_layer, folder))
    projected = theirs.model.multi_modal_projector(hidden)
    for i, name in enumerate(names):
        features = theirs.model.get_image_features(pixel_values=by_picture[name])
        features = getattr(features, 'pooler_output', features)
        features = features[0] if isinstance(features, (list, tuple)) else features
        features = features.reshape(projected[i].shape)
        largest = max(largest, ((features - projected[i]).abs().max() / features.abs().max()).item())
    return transformers.__version__, torch.__version__, largest, equal, len(ours)


def main():
    go_on_in('OPENCLOC_LLAVA_PYTHON')
    try:
        import torch  # noqa: F401
        import transformers
        from PIL import Image  # noqa: F401
        if not hasattr(transformers, 'LlavaForConditionalGeneration'):
            raise ImportError(f'transformers {transformers.__version__} has no LLaVA')
    except ImportError as missing:
        print(f'skipped: {missing} (see the head of {__file__})')
        return SKIPPED
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('binary')
    parser.add_argument('--questions', type=int, default=60)
    parser.add_argument('--run', type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='opencloc-llava-') as scratch:
        folder = pathlib.Path(scratch)
        model, dialogues = (args.run / 'model', args.run / 'talking') if args.run else small_reader(args.binary, folder)
        version, torch_version, largest, equal, asked = compare(args.binary, model, dialogues, folder, args.questions)
    print(f'transformers {version}, torch {torch_version}: projected features differ by at most {largest:.1e} of the largest; '
          f'{equal} of {asked} answers have the same ids')
    return 0 if largest < FEATURES and equal == asked else 1


if __name__ == '__main__':
    sys.exit(main())
