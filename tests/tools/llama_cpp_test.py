#!/usr/bin/env python3
"""`opencloc mllm export --to gguf` in llama.cpp itself: llama_cpp_test.py BINARY [--questions N] [--run DIR]

Readers of a few steps are exported, loaded by llama.cpp's libraries, and asked the same questions about the same
pictures. Compared are the ids of the question's words, the projected features of the pictures, and the ids of the
answers. Two towers: one without a class token, which must agree; and CLIP's own, whose class token llama.cpp puts
after the patches (its issue #25814): there the words must agree, and the figures are printed as they are. --run takes
a trained reader (DIR/model, DIR/talking) in place of the small ones.

Needs llama-cpp-python built from its source, numpy, safetensors and pillow for a Python named by OPENCLOC_LLAMA_PYTHON
(default: this one):
    python3 -m venv V && V/bin/pip install llama-cpp-python numpy safetensors pillow
    export OPENCLOC_LLAMA_PYTHON=$PWD/V/bin/python
Without them it says so and is skipped.
"""
import argparse
import ctypes
import io
import pathlib
import sys
import tempfile

from small_reader import answers_of, go_on_in, hidden_tokens, pictures, run, small_reader

SKIPPED = 77
FEATURES = 1e-2  # largest difference, relative to the largest value: llama.cpp's GELU is the tanh one
ANSWERS = 0.95  # share of answers with equal ids: where two words are as likely as one another, 1e-2 decides
MAX_IDS = 24
UNKNOWN = 2  # the id of <unk> in tokenizers that we build


class Llama:
    """llama.cpp with both files of an export."""

    def __init__(self, folder):
        import llama_cpp
        from llama_cpp import mtmd_cpp
        self.llama, self.mtmd = llama_cpp, mtmd_cpp
        llama_cpp.llama_backend_init()
        self.quiet = llama_cpp.llama_log_callback(lambda *_: None)
        for set_log in (llama_cpp.llama_log_set, mtmd_cpp.mtmd_log_set, mtmd_cpp.mtmd_helper_log_set):
            set_log(self.quiet, ctypes.c_void_p(0))
        self.model = llama_cpp.llama_model_load_from_file(str(folder / 'model.gguf').encode(), llama_cpp.llama_model_default_params())
        assert self.model, 'llama.cpp does not load model.gguf'
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch, options.n_threads = 512, 512, 512, 1
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        eyes = mtmd_cpp.mtmd_context_params_default()
        eyes.use_gpu, eyes.n_threads, eyes.warmup = False, 1, False
        self.eyes = mtmd_cpp.mtmd_init_from_file(str(folder / 'mmproj.gguf').encode(), self.model, eyes)
        assert self.eyes, 'llama.cpp does not load mmproj.gguf'
        self.width = llama_cpp.llama_model_n_embd(self.model)

    def parts(self, text, picture):
        """Chunks of a text with one <__media__> -> the chunks, ids before and after the picture."""
        import numpy
        pixels = numpy.ascontiguousarray(numpy.asarray(picture, dtype=numpy.uint8))
        bitmap = self.mtmd.mtmd_bitmap_init(picture.width, picture.height, pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)))
        data = text.encode()
        words = self.mtmd.mtmd_input_text(data, len(data), False, True)
        chunks = self.mtmd.mtmd_input_chunks_init()
        bitmaps = (ctypes.c_void_p * 1)(bitmap)
        assert self.mtmd.mtmd_tokenize(self.eyes, chunks, ctypes.byref(words), bitmaps, 1) == 0
        self.mtmd.mtmd_bitmap_free(bitmap)
        ids = []
        for i in range(self.mtmd.mtmd_input_chunks_size(chunks)):
            chunk = self.mtmd.mtmd_input_chunks_get(chunks, i)
            if self.mtmd.mtmd_input_chunk_get_type(chunk) == self.mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
                count = ctypes.c_size_t()
                tokens = self.mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
                ids.append(list(tokens[:count.value]))
        return chunks, ids

    def features(self, chunks):
        """Projected tokens of the picture -> [N, H]."""
        import numpy
        for i in range(self.mtmd.mtmd_input_chunks_size(chunks)):
            chunk = self.mtmd.mtmd_input_chunks_get(chunks, i)
            if self.mtmd.mtmd_input_chunk_get_type(chunk) == self.mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                assert self.mtmd.mtmd_encode_chunk(self.eyes, chunk) == 0
                count = self.mtmd.mtmd_input_chunk_get_n_tokens(chunk)
                values = numpy.ctypeslib.as_array(self.mtmd.mtmd_get_output_embd(self.eyes), (count, self.width))
                return values.copy()
        raise AssertionError('no chunk is a picture')

    def answer(self, chunks):
        """Greedily, at most MAX_IDS ids, the end left out -> ids, whether it ended."""
        llama = self.llama
        llama.llama_memory_clear(llama.llama_get_memory(self.context), True)
        past = llama.llama_pos()
        assert self.mtmd.mtmd_helper_eval_chunks(self.eyes, self.context, chunks, 0, 0, 512, True, ctypes.byref(past)) == 0
        size, ids = llama.llama_vocab_n_tokens(self.vocab), []
        while len(ids) < MAX_IDS:
            logits = llama.llama_get_logits_ith(self.context, -1)
            best = max(range(size), key=lambda i: logits[i])
            if best == llama.llama_vocab_eos(self.vocab):
                return ids, True
            ids.append(best)
            step = (llama.llama_token * 1)(best)
            assert llama.llama_decode(self.context, llama.llama_batch_get_one(step, 1)) == 0
        return ids, False


def projector(model):
    """The two layers of the reader's projector, as a function of tokens [..., D] -> [..., H]."""
    import math
    import numpy
    from safetensors import safe_open
    with safe_open(model / 'model.safetensors', 'np') as file:
        names = [f'multi_modal_projector.linear_{layer}.{kind}' for layer in (1, 2) for kind in ('weight', 'bias')]
        weight_1, bias_1, weight_2, bias_2 = (file.get_tensor(name) for name in names)
    erf = numpy.vectorize(math.erf)

    def project(tokens):
        hidden = tokens @ weight_1.T + bias_1
        return (hidden * 0.5 * (1 + erf(hidden / math.sqrt(2)))) @ weight_2.T + bias_2
    return project


def compare(binary, model, dialogues, folder, count):
    """Figures of one reader: equal questions, largest relative difference and mean cosine of features, equal answers."""
    import json
    import numpy
    from PIL import Image
    run(binary, 'mllm', 'export', model, '--to', 'gguf', '--out', folder / 'gguf')
    settings = json.loads((model / 'mllm_config.json').read_text())
    theirs, stored = Llama(folder / 'gguf'), pictures(dialogues)
    result = {'questions': 0, 'same words': 0, 'same answers': 0}
    chunks_of = {}
    for line in answers_of(binary, model, dialogues, folder, count, MAX_IDS):
        name = line['sample']
        picture = Image.open(io.BytesIO(stored[name][0])).convert('RGB')
        assert picture.width == picture.height, 'llama.cpp pads with another colour: take square pictures'
        chunks, ids = theirs.parts(f'user:<__media__>{line["ask"].lower()} assistant:', picture)
        chunks_of.setdefault(name, chunks)
        # Bytes of characters that the tokenizer does not know follow its own ids.
        ids = [[token if token < settings['language']['vocab_size'] else UNKNOWN for token in part] for part in ids]
        places = [i for i, token in enumerate(line['prompt_ids']) if token == settings['image_id']]
        result['questions'] += 1
        result['same words'] += ids == [line['prompt_ids'][:places[0]], line['prompt_ids'][places[-1] + 1:]]
        result['same answers'] += theirs.answer(chunks) == (line['ids'], line['ended'])
    names = list(chunks_of)[:16]
    ours = projector(model)(hidden_tokens(binary, model, stored, names, settings['vision_layer'], folder))
    difference, cosines = 0.0, []
    for i, name in enumerate(names):
        features = theirs.features(chunks_of[name])
        difference = max(difference, float(numpy.abs(features - ours[i]).max() / numpy.abs(ours[i]).max()))
        cosines.extend((features * ours[i]).sum(1) / numpy.linalg.norm(features, axis=1) / numpy.linalg.norm(ours[i], axis=1))
    result['largest difference'], result['mean cosine'] = difference, float(numpy.mean(cosines))
    return result


def report(what, result):
    print(f'{what}: {result["same words"]} of {result["questions"]} questions have the same ids; projected features differ by at '
          f'most {result["largest difference"]:.1e} of the largest (mean cosine {result["mean cosine"]:.4f}); '
          f'{result["same answers"]} of {result["questions"]} answers have the same ids', flush=True)


def main():
    go_on_in('OPENCLOC_LLAMA_PYTHON')
    try:
        import llama_cpp
        from llama_cpp import mtmd_cpp  # noqa: F401
        from PIL import Image  # noqa: F401
        from safetensors import safe_open  # noqa: F401
    except ImportError as missing:
        print(f'skipped: {missing} (see the head of {__file__})')
        return SKIPPED
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('binary')
    parser.add_argument('--questions', type=int, default=60)
    parser.add_argument('--run', type=pathlib.Path)
    args = parser.parse_args()
    print(f'llama-cpp-python {llama_cpp.__version__}')
    with tempfile.TemporaryDirectory(prefix='opencloc-llama-') as scratch:
        folder = pathlib.Path(scratch)
        if args.run:
            report('trained', compare(args.binary, args.run / 'model', args.run / 'talking', folder, args.questions))
            return 0
        right = True
        for class_token in (False, True):
            inside = folder / f'token_{class_token}'
            inside.mkdir()
            result = compare(args.binary, *small_reader(args.binary, inside, class_token), inside, args.questions)
            report('with a class token' if class_token else 'without a class token', result)
            right &= result['same words'] == result['questions'] > 0
            if not class_token:
                right &= result['largest difference'] < FEATURES and result['same answers'] >= ANSWERS * result['questions']
    return 0 if right else 1


if __name__ == '__main__':
    sys.exit(main())
