"""transformers' own classes on what we write, and what they write read by us."""

import pathlib

from common import Row, largest, plain, pooled, randomise, unit, version

IDS = 600


def lost(loading):
    found = {
        kind: sorted(map(str, loading[kind]))
        for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys')
        if loading[kind]
    }
    return '; '.join(f'{kind} {", ".join(keys[:3])}' for kind, keys in found.items()) or 'none'


def clip_config(transformers, hidden_act='quick_gelu', **text):
    tower = {
        'hidden_size': 48,
        'intermediate_size': 192,
        'num_hidden_layers': 2,
        'num_attention_heads': 3,
        'hidden_act': hidden_act,
        'projection_dim': 32,
    }
    return transformers.CLIPConfig(
        text_config={
            **tower,
            'vocab_size': IDS,
            'max_position_embeddings': 16,
            'bos_token_id': IDS - 2,
            'eos_token_id': IDS - 1,
            'pad_token_id': 0,
            **text,
        },
        vision_config={**tower, 'image_size': 64, 'patch_size': 16},
        projection_dim=32,
    )


def siglip_config(transformers):
    tower = {'hidden_size': 48, 'intermediate_size': 144, 'num_hidden_layers': 2, 'num_attention_heads': 3}
    return transformers.SiglipConfig(
        text_config={**tower, 'vocab_size': IDS, 'max_position_embeddings': 16},
        vision_config={**tower, 'image_size': 64, 'patch_size': 16},
    )


def inputs():
    import torch

    torch.manual_seed(9)
    ids = torch.randint(3, IDS - 2, (5, 16))
    ids[:, 9] = IDS - 1
    return torch.randn(5, 3, 64, 64), ids


def embeddings(model, pixels, ids):
    import numpy
    import torch

    with torch.no_grad():
        return numpy.concatenate(
            [unit(pooled(model.get_image_features(pixel_values=pixels))), unit(pooled(model.get_text_features(input_ids=ids)))]
        )


def both(ours):
    import numpy

    return numpy.concatenate([ours['image_embeds'], ours['text_embeds']])


def two_towers(work, transformers):
    """Theirs read by us, and by way of us into their class again: convert --to hf of what they saved."""
    program = version('transformers')
    pixels, ids = inputs()
    for name, kind, config in (
        ('CLIPModel, quick_gelu', 'CLIPModel', clip_config(transformers)),
        ('CLIPModel, gelu', 'CLIPModel', clip_config(transformers, 'gelu')),
        ('SiglipModel', 'SiglipModel', siglip_config(transformers)),
    ):
        model = randomise(getattr(transformers, kind)(config))
        directory = work.folder / name
        model.save_pretrained(directory)
        wanted = embeddings(model, pixels, ids)
        yield Row(
            program, f'{name}: embeddings', 'theirs -> ours', largest(both(work.embed_tensors(directory, pixels, ids)), wanted)
        )
        # Through our native layout, so that nothing of their files is left.
        work.run('convert', directory, work.folder / f'{name} native', '--to', 'opencloc')
        work.run('convert', work.folder / f'{name} native', work.folder / f'{name} again', '--to', 'hf')
        again, loading = getattr(transformers, kind).from_pretrained(work.folder / f'{name} again', output_loading_info=True)
        yield Row(
            program,
            f'{name}: embeddings',
            'ours -> theirs',
            largest(embeddings(again.eval(), pixels, ids), wanted),
            keys=lost(loading),
        )


def image_tower(work, transformers):
    import torch

    program = version('transformers')
    pixels, _ = inputs()
    model = randomise(transformers.CLIPVisionModel(clip_config(transformers).vision_config))
    directory = work.folder / 'clip vision'
    model.save_pretrained(directory)
    with torch.no_grad():
        theirs = model(pixel_values=pixels, output_hidden_states=True)
    ours = work.embed_tensors(directory, pixels)
    yield Row(
        program,
        'CLIPVisionModel: pooler_output',
        'theirs -> ours',
        largest(ours['image_embeds'], unit(plain(theirs.pooler_output))),
    )
    yield Row(
        program,
        'CLIPVisionModel: hidden_states[-2]',
        'theirs -> ours',
        largest(ours['vision_penultimate_hidden'], plain(theirs.hidden_states[-2])),
    )
    work.run('convert', work.clip_words(), work.folder / 'eyes', '--to', 'hf', '--vision-only')
    again, loading = transformers.CLIPVisionModel.from_pretrained(work.folder / 'eyes', output_loading_info=True)
    pixels = torch.from_numpy(work.embed_all(work.clip_words())['pixel_values'])
    with torch.no_grad():
        found = plain(again.eval()(pixel_values=pixels, output_hidden_states=True).hidden_states[-2])
    wanted = work.embed_tensors(work.clip_words(), pixels)['vision_penultimate_hidden']
    yield Row(program, 'CLIPVisionModel: hidden_states[-2]', 'ours -> theirs', largest(found, wanted), keys=lost(loading))


def words_and_pictures(work, transformers):
    """Its tokenizer and processor from our folder."""
    import numpy
    from PIL import Image
    from common import WORDS

    program = version('transformers')
    work.run('convert', work.clip_words(), work.folder / 'clip hf', '--to', 'hf')
    ours = work.embed_all(work.clip_words())
    processor = getattr(transformers, 'CLIPImageProcessorPil', transformers.CLIPImageProcessor).from_pretrained(
        work.folder / 'clip hf'
    )
    pictures = [Image.open(path).convert('RGB') for path in work.pictures()]
    # Where an odd number of columns is cut off, transformers leaves the odd one at the right, torchvision (and we) at the left.
    even = [
        i
        for i, (width, height) in enumerate(picture.size for picture in pictures)
        if (int(96 * max(width, height) / min(width, height)) - 96) % 2 == 0
    ]
    pixels = processor(images=[pictures[i] for i in even], return_tensors='np')['pixel_values']
    yield Row(
        program,
        'CLIPImageProcessor: pixels of our pictures',
        'ours -> theirs',
        largest(pixels, ours['pixel_values'][even]),
        tolerance=1e-6,
        note=f'{len(even)} pictures; where an odd number of columns is cut off, the cut is one apart',
    )
    model = transformers.CLIPModel.from_pretrained(work.folder / 'clip hf').eval()
    import torch

    found = embeddings(model, torch.from_numpy(ours['pixel_values']), torch.from_numpy(ours['input_ids']))
    yield Row(program, 'CLIPModel of a CLOC: embeddings', 'ours -> theirs', largest(found, both(ours)))
    tokenizer = transformers.AutoTokenizer.from_pretrained(work.folder / 'clip hf')
    length = ours['input_ids'].shape[1]
    theirs = numpy.array(tokenizer(WORDS, padding='max_length', max_length=length, truncation=True)['input_ids'])
    # Behind the end token, which both have, it pads with another id that no model reads. OpenAI's code, open_clip's and ours
    # turn "&amp;" into "&"; transformers does not.
    ends = (ours['input_ids'] == ours['input_ids'].max(1, keepdims=True)).argmax(1)
    different = sum(
        (row[: end + 1] != wanted[: end + 1]).sum()
        for row, wanted, end, text in zip(theirs, ours['input_ids'], ends, WORDS)
        if '&' not in text
    )
    yield Row(program, "AutoTokenizer, CLIP's BPE: ids", 'ours -> theirs', float(different), 0)


def siglip_2(work, transformers):
    """The fixed sizes of SigLIP 2 are SiglipModel's; NaFlex is refused by name."""
    program = version('transformers')
    config = transformers.Siglip2Config(
        text_config={
            'hidden_size': 48,
            'intermediate_size': 96,
            'num_hidden_layers': 1,
            'num_attention_heads': 3,
            'vocab_size': IDS,
        },
        vision_config={
            'hidden_size': 48,
            'intermediate_size': 96,
            'num_hidden_layers': 1,
            'num_attention_heads': 3,
            'patch_size': 16,
            'num_patches': 16,
        },
    )
    directory = work.folder / 'siglip2 naflex'
    transformers.Siglip2Model(config).save_pretrained(directory)
    refused = work.run('inspect', directory, good=False)
    told = refused.returncode == 2 and 'siglip2' in refused.stderr and refused.stderr.count('\n') == 1
    yield Row(
        program,
        'Siglip2Model (NaFlex)',
        'theirs -> ours',
        0 if told else 1,
        0,
        note='refused by name; fixed sizes of SigLIP 2 are SiglipModel',
    )


def owlv2(work, transformers):
    import torch
    from safetensors.numpy import load_file, save_file

    tower = {'hidden_size': 48, 'intermediate_size': 96, 'num_hidden_layers': 2, 'num_attention_heads': 3}
    config = transformers.Owlv2Config(
        text_config={
            **tower,
            'vocab_size': IDS,
            'max_position_embeddings': 16,
            'bos_token_id': IDS - 2,
            'eos_token_id': IDS - 1,
            'pad_token_id': 0,
        },
        vision_config={**tower, 'image_size': 64, 'patch_size': 16},
        projection_dim=48,
    )
    model = randomise(transformers.Owlv2ForObjectDetection(config))
    directory = work.folder / 'owlv2'
    model.save_pretrained(directory)
    pixels, ids = inputs()
    pixels, ids, mask = pixels[:1], ids[:4], torch.ones(4, 16, dtype=torch.int64)
    ids[0, 10:], mask[0, 10:] = 0, 0
    with torch.no_grad():
        theirs = model(input_ids=ids, attention_mask=mask, pixel_values=pixels)
    tensors = {'pixel_values': plain(pixels), 'input_ids': ids.numpy(), 'attention_mask': mask.numpy()}
    save_file(tensors, work.folder / 'owlv2.safetensors')
    out = pathlib.Path(work.folder / 'owlv2_out.safetensors')
    work.run('label', '--detector', directory, '--tensors', work.folder / 'owlv2.safetensors', '--out', out)
    ours = load_file(out)
    for name in ('logits', 'pred_boxes', 'objectness_logits', 'class_embeds'):
        wanted = plain(getattr(theirs, name))
        yield Row(
            version('transformers'),
            f'Owlv2ForObjectDetection: {name}',
            'theirs -> ours',
            largest(ours[name].reshape(wanted.shape), wanted),
            note='we write none',
        )


def checks(work):
    import transformers

    transformers.logging.set_verbosity_error()
    yield from two_towers(work, transformers)
    yield from image_tower(work, transformers)
    yield from words_and_pictures(work, transformers)
    yield from siglip_2(work, transformers)
    yield from owlv2(work, transformers)
