"""What is right for the cases of models, shards that are not there, messages and crashes."""
import json

import outputs

# run_cases.py imports `expectations`, whose last line imports this file.
from expectations import case, expect, json_objects, refuses, says, speaks_of, stats_of, succeeds

PICTURE = "printf 'P6 40 30 255\\n' >$OUT/p.ppm; head -c 3600 /dev/zero | tr '\\0' 'w' >>$OUT/p.ppm"


def embeddings(run, name, key="image_embeds"):
    path = run.out / name
    expect(path.exists(), f"{name} was not written")
    tensors = outputs.safetensors(path)
    expect(key in tensors, f"{name} has no {key}")
    return tensors[key][1]


def same_as(c, kind, name="e.st", picture="one.jpg", within=1e-5):
    """The embedding in `name` is that of make_model.py's `kind`."""
    run = c.run(f"../make_model.py {kind} $OUT/reference && "
                f"opencloc embed --model $OUT/reference --images {picture} --out $OUT/reference.st")
    expect(run.code == 0, f"the reference model '{kind}' does not load: {run.stderr[-200:]}")
    off = outputs.furthest(embeddings(c, name), embeddings(c, "reference.st"))
    expect(off <= within, f"embeddings differ from those of '{kind}' by {off:.3g}")


# Models that compute something else

@case
def bare_checkpoint_vit_h(c):
    config = c.out / "hf/config.json"
    if config.exists():
        heads = json.loads(config.read_text())["vision_config"]["num_attention_heads"]
        expect(heads == 16 or speaks_of(c.calls[-1].stderr, "warning", "heads"),
               f"convert writes {heads} heads of {1280 // heads} without a warning")
    else:
        says(c.calls[-1].stderr, "heads")
    # The same with widths that no table knows: an error, or a warning at every use.
    run = c.run(f"{PICTURE}; ../make_model.py heads80_bare $OUT/bare; ../make_model.py heads80_reference $OUT/reference;"
                " opencloc embed --model $OUT/bare --images $OUT/p.ppm --out $OUT/bare.st;"
                " opencloc embed --model $OUT/reference --images $OUT/p.ppm --out $OUT/reference.st")
    bare, reference = run.calls
    expect(reference.code == 0, "heads80_reference does not load")
    if bare.code == 0 and outputs.furthest(embeddings(c, "bare.st"), embeddings(c, "reference.st")) > 1e-5:
        expect(speaks_of(bare.stderr, "heads"), "embed computes with guessed heads without a word")
    elif bare.code != 0:
        says(bare.stderr, "heads")


@case
def hf_processor_config_alone(c):
    codes = [call.code for call in c.calls]
    expect(codes == [0, 0], f"exit codes {codes}")
    off = max(outputs.furthest(embeddings(c, "a.st", key), embeddings(c, "b.st", key))
              for key in ("pixel_values", "image_embeds"))
    expect(off <= 1e-5 or speaks_of(c.calls[0].stderr, "warning", "preprocess"),
           f"pixels or embeddings differ by {off:.3g}, and no warning")


@case
def do_convert_rgb_false(c):
    succeeds(c)
    same_as(c, "hf")


@case
def safetensors_with_module_prefix(c):
    succeeds(c)
    same_as(c, "hf")


@case
def lightning_checkpoint(c):
    if all(call.code == 0 for call in c.calls):
        same_as(c, "hf", within=1e-4)
        return
    for call in c.calls:
        refuses(call, "model.", "prefix")


@case
def tokenizer_json_alone(c):
    call = c.calls[-1]
    if call.code != 0:
        refuses(call, "tokenizer.json", ("not read", "cannot"))
        return
    run = c.run("for t in '' '--tokenizer ../../data/clip/bpe_simple_vocab_16e6.txt.gz'; do"
                " opencloc embed --model $OUT/m --texts texts.txt --save-inputs $t --out $OUT/t${#t}.st; done")
    succeeds(run)
    ids = [embeddings(c, path.name, "input_ids") for path in sorted(c.out.glob("t*.st"))]
    expect(len(ids) == 2 and ids[0] == ids[1], "the tokens are not those of CLIP's vocabulary")


@case
def model_type_not_named(c):
    for call in c.calls:
        refuses(call, "chinese_clip", "siglip")


@case
def folder_of_several_epochs(c):
    refuses(c.calls[-1], "epoch_1.pt", "epoch_2.pt")


# What is not there

@case
def brace_names_a_missing_shard(c):
    refuses(c.calls[0], "00002.tar")
    shards = "--data 'sh/{00000..00003}.tar'"
    more = c.run(f"opencloc embed --model ../_model_of_your_own {shards} --out $OUT/e.st;"
                 f"opencloc eval --model ../_model_of_your_own {shards} --tasks retrieval;"
                 f"opencloc label {shards} --detector-kind none --stages phrases --out $OUT/l;"
                 f"opencloc train {shards} --model ViT-XXS-16-96 --objective clip --steps 1 --batch-size 2 --out $OUT/r")
    for call in more.calls:
        expect(call.code == 2 and "00002.tar" in call.stderr,
               f"{call.args[0]}: exit code {call.code}, or no word of 00002.tar")
    kept = stats_of(c.run(f"opencloc data stats {shards} --skip-bad-shards --json"))
    expect(sum(kept["skipped"].values()) > 0, "with --skip-bad-shards nothing is counted")


@case
def captioner_not_there(c):
    first, second = c.calls
    for call in (first, second):
        expect(call.code in (0, 1), f"exit code {call.code}")
        says(call.stderr, "caption", ("reach", "connect", "refused", "answer"))
        expect("1 finished before" not in call.text, "the shard counts as finished")


@case
def glob_without_quotes(c):
    if c.code == 0:
        stats = stats_of(c)
        expect(stats["shards"] == 2, f"shards {stats['shards']}, not 2")
    else:
        refuses(c.calls[0], "quote")


@case
def remote_shards(c):
    # The case asks that remote shards are refused. They are read now: what is left is that a shard which
    # cannot be fetched (there is no such server) is named on the last line, with how to mend it.
    expect(len(c.calls) == 3, f"{len(c.calls)} calls")
    for call, shard in zip(sorted(c.calls, key=lambda call: call.at), ("pipe:aws s3 cp", "s3://b/0.tar", "https://h/0.tar")):
        expect(call.code in (1, 2), f"exit code {call.code}")
        expect("error:" in call.lines[-1] and shard in call.lines[-1], f"the last line does not name {shard}")
        says(call.lines[-1], ("by hand", "check the network"))


@case
def embed_out_npy(c):
    embed, convert = c.calls
    written = c.out / "e.npy"
    if embed.code == 0:
        expect(written.exists() and written.read_bytes().startswith(b"\x93NUMPY"), "e.npy is not NumPy's format")
    else:
        refuses(embed, ".npy")
        expect(not written.exists(), "e.npy was written all the same")
    refuses(convert, "gguf")
    expect(not (c.out / "x.gguf").exists(), "x.gguf was written all the same")


# Crashes and late failures

@case
def threads_that_cannot_start(c):
    if c.code == 0:
        images = json_objects(c.stdout)
        expect(images or "images" in c.stdout, "no result on stdout")
    else:
        lines = [line for line in c.stderr.splitlines() if line.strip()]
        expect(c.code == 1 and len(lines) == 1, f"exit code {c.code}, {len(lines)} lines on stderr")
    for processes in (2, 4, 6):
        less = c.run(c.command.replace("--nproc=9", f"--nproc={processes}"))
        expect(less.code in (0, 1), f"with --nproc={processes}: exit code {less.code} (None: it hangs)")


@case
def train_workers_100000(c):
    expect(c.code == 2, f"exit code {c.code}, not 2")
    says(c.stderr, "workers")
    less = c.run(c.command.replace("--workers 100000", "--workers -3").replace("$OUT/r", "$OUT/q"))
    expect(less.code == 2, f"with --workers -3: exit code {less.code}, not 2")
