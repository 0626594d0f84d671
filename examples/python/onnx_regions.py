"""Scores of texts for a region, in ONNX Runtime alone: onnx_regions.py GRAPHS PICTURE X0 Y0 X1 Y1 TEXT...

GRAPHS is what `opencloc convert MODEL GRAPHS --to onnx` wrote of a model with SentencePiece's tokenizer.model and the
canvas "longest". The box is in [0, 1] of the picture. Needs onnxruntime, numpy, pillow and sentencepiece.
"""
import json
import sys

import numpy as np
import onnxruntime as ort
import sentencepiece
from PIL import Image

folder, picture, box, texts = sys.argv[1], sys.argv[2], np.array(sys.argv[3:7], 'float64').reshape(2, 2), sys.argv[7:]
about, pieces = json.load(open(f'{folder}/onnx_config.json')), sentencepiece.SentencePieceProcessor(f'{folder}/tokenizer.model')
run = lambda name, **inputs: ort.InferenceSession(f'{folder}/{name}.onnx').run(None, inputs)  # noqa: E731
image, side, how = Image.open(picture).convert('RGB'), about['image_size'], about['preprocess_cfg']
size = tuple(max(1, round(x / (max(image.size) / side))) for x in image.size)
gap = tuple((side - x) // 2 for x in size)
canvas = Image.new('RGB', (side, side), (how['fill_color'],) * 3)
canvas.paste(image.resize(size, Image.BICUBIC), gap)
pixels = (np.asarray(canvas) / 255 - how['mean']) / how['std']
embeds, tokens = run('visual', pixel_values=pixels.transpose(2, 0, 1)[None].astype('float32'))  # once per picture
boxes = ((box * size + gap) / side).reshape(1, 1, 4).astype('float32')  # [batch, regions, 4] of the canvas
region = run('prompter', image_tokens=tokens, boxes=boxes)[-1][0, 0]
length, end, pad = (about['text'][key] for key in ('context_length', 'end_id', 'pad_id'))
ids = [[*pieces.encode(text.lower())[:length - 1], end] for text in texts]
words, = run('textual', input_ids=np.array([row + [pad] * (length - len(row)) for row in ids]))
scores = words @ region / np.linalg.norm(words, axis=1) / np.linalg.norm(region)
for score, text in sorted(zip(scores.tolist(), texts), reverse=True):
    print(f'{score:.4f} {text!r}')
