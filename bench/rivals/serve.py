#!/usr/bin/env python3
"""`opencloc serve` beside infinity-emb (its torch engine): the same CLIP, the same route, one run.

    python3 -m venv /tmp/inf && /tmp/inf/bin/pip install torch "infinity-emb[server,vision]" "transformers<5"
    /tmp/inf/bin/python bench/rivals/serve.py --opencloc build/release/opencloc --vocabulary FILE [--clients 1,8,32]
        [--seconds 5] [--precision fp32]

--vocabulary is OpenAI's bpe_simple_vocab_16e6.txt.gz. The model is a ViT-B/32 with random weights, which cost what trained
ones cost. Each client sends one text, or one JPEG of 224 pixels, and
waits for its vector, over one connection. The clients are threads of this program and take their share of the processors,
the same for both servers. Printed: embeddings per second, 50th and 99th percentile of a request's milliseconds, and the
server's memory (RSS with its children) when it is ready and in the end.
"""
import argparse
import base64
import gzip
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time


def make_tokenizer(vocabulary, folder):
    """OpenAI's vocabulary as transformers reads it."""
    from transformers import CLIPTokenizer
    from transformers.models.clip.tokenization_clip import bytes_to_unicode
    with gzip.open(vocabulary, "rt", encoding="utf-8") as f:
        merges = f.read().split("\n")[1:49152 - 256 - 2 + 1]
    letters = list(bytes_to_unicode().values())
    words = letters + [letter + "</w>" for letter in letters] + ["".join(merge.split()) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    files = os.path.join(folder, "vocab.json"), os.path.join(folder, "merges.txt")
    with open(files[0], "w", encoding="utf-8") as f:
        json.dump({word: i for i, word in enumerate(words)}, f)
    with open(files[1], "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer(*files, model_max_length=77)


def make_model(vocabulary, folder):
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizerFast
    torch.manual_seed(1)
    make_tokenizer(vocabulary, folder).save_pretrained(folder)
    tokenizer = CLIPTokenizerFast.from_pretrained(folder)
    CLIPModel(CLIPConfig()).eval().save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)


def jpeg(seed):
    import numpy as np
    from PIL import Image
    low = np.random.default_rng(seed).integers(0, 256, (14, 14, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(low).resize((224, 224), Image.BICUBIC).save(out, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def memory_mb(pid):
    def children(of):
        out = subprocess.run(["pgrep", "-P", str(of)], capture_output=True, text=True).stdout.split()
        return [int(p) for p in out] + [c for p in out for c in children(int(p))]
    total = 0
    for process in [pid, *children(pid)]:
        try:
            with open(f"/proc/{process}/status") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        except (FileNotFoundError, StopIteration):
            pass
    return total / 1024


def ask(connection, route, model, item, modality):
    body = json.dumps({"model": model, "input": [item], "modality": modality, "encoding_format": "float"})
    connection.request("POST", route, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {data[:300]!r}")
    return json.loads(data)["data"][0]["embedding"]


def load(port, route, model, items, modality, clients, seconds):
    times, failures, end = [], [], time.perf_counter() + seconds

    def client(number):
        connection, at = http.client.HTTPConnection("127.0.0.1", port, timeout=60), number
        try:
            while time.perf_counter() < end:
                began = time.perf_counter()
                ask(connection, route, model, items[at % len(items)], modality)
                times.append(1000 * (time.perf_counter() - began))
                at += clients
        except Exception as error:  # said below: a server that fails has no figure
            failures.append(str(error))

    began = time.perf_counter()
    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    times.sort()
    figure = {"a_second": len(times) / took, "p50_ms": times[len(times) // 2] if times else None,
              "p99_ms": times[min(len(times) - 1, int(0.99 * len(times)))] if times else None}
    if failures:
        figure["failed"] = failures[0]
    return figure


def wait_for(port, path, process, seconds=300):
    end = time.time() + seconds
    while time.time() < end:
        if process.poll() is not None:
            raise RuntimeError("the server ended")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.3)
    raise RuntimeError("the server does not answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--infinity", default=os.path.join(os.path.dirname(sys.executable), "infinity_emb"))
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of ours; infinity-emb: float32")
    parser.add_argument("--port", type=int, default=17997)
    arguments = parser.parse_args()
    texts = [f"a photo of {a} and {b}, number {i}" for i, (a, b) in
             enumerate((a, b) for a in ("a dog", "two cats", "an old car", "the sea") for b in
                       ("a tree", "snow", "a man with a hat", "some houses", "a small red backpack"))]
    pictures = [jpeg(i) for i in range(16)]
    with tempfile.TemporaryDirectory() as folder:
        make_model(arguments.vocabulary, folder)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
        servers = {
            f"opencloc serve, {arguments.precision}": (
                [arguments.opencloc, "serve", "--model", folder, "--port", str(arguments.port), "--precision",
                 arguments.precision], "/readyz", "/v1/embeddings", "any"),
            "infinity-emb, torch": (
                [arguments.infinity, "v2", "--model-id", folder, "--engine", "torch", "--device", "cpu",
                 "--served-model-name", "clip", "--no-bettertransformer", "--port", str(arguments.port + 1)],
                "/health", "/embeddings", "clip"),
        }
        vectors = {}
        for i, (name, (command, ready, route, model)) in enumerate(servers.items()):
            port = arguments.port + i
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                       start_new_session=True)
            threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
            try:
                wait_for(port, ready, process)
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                vectors[name] = [ask(connection, route, model, texts[0], "text"),
                                 ask(connection, route, model, pictures[0], "image")]
                before = memory_mb(process.pid)
                for modality, items in (("text", texts), ("image", pictures)):
                    for clients in map(int, arguments.clients.split(",")):
                        load(port, route, model, items, modality, clients, 1)
                        figure = load(port, route, model, items, modality, clients, arguments.seconds)
                        print(json.dumps({"server": name, "items": modality, "clients": clients, **figure}), flush=True)
                print(json.dumps({"server": name, "mb_ready": before, "mb_in_the_end": memory_mb(process.pid)}),
                      flush=True)
            finally:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)
        (_, ours), (_, theirs) = vectors.items()
        for kind, a, b in zip(("text", "image"), ours, theirs):
            size = sum(x * x for x in b) ** 0.5
            print(json.dumps({"same_model": kind, "cosine": sum(x * y for x, y in zip(a, b)) / size}))


if __name__ == "__main__":
    main()
