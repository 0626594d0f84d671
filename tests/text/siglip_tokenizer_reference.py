#!/usr/bin/python3
"""SigLIP's and SigLIP 2's tokenization stated again over the SentencePiece library's Python module.

siglip_tokenizer_reference.py MODEL CASES.json: CASES is a list of {"text", "siglip", "plain"}, the
ids OpenCLOC made. Exit 1 where they differ.
"""
import json
import re
import string
import sys

import sentencepiece

model, cases = sys.argv[1:3]
library = sentencepiece.SentencePieceProcessor(model_file=model)
end, pad = library.eos_id(), library.pad_id()


def padded(ids, length, filler):
    ids = ids[: length - 1] + [end]
    return ids + [filler] * (length - len(ids))


def siglip(text, length):
    """transformers' SiglipTokenizer: do_lower_case, canonicalize_text, padding with </s>."""
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    text = re.sub(r"\s+", " ", text).strip()
    return padded(library.encode(text), length, end)


compared = 0
for case in json.load(open(cases, encoding="utf-8")):
    length = len(case["siglip"])
    expected = {"siglip": siglip(case["text"], length),
                "plain": padded(library.encode(case["text"].lower()), length, pad)}
    for kind, ids in expected.items():
        compared += 1
        if case[kind] != ids:
            print(f"{kind}: {case['text']!r}\n  ours     {case[kind]}\n  expected {ids}")
            sys.exit(1)
print(compared, "texts compared")
