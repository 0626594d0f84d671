// The subjects of `bench`, a file each. Models have random weights, so that nothing
// has to be there.
#pragma once

#include "opencloc/bench/figure.h"

namespace opencloc::bench {

// What this machine can do at best: products on each instruction set, F32, memory; on one thread
// and on all.
void peak(const BenchOptions& options);
// The three products of a linear layer, F32 and bf16, on the shapes of ViT-XS/16 and ViT-B/16.
void gemm(const BenchOptions& options);
// Forward and backward pass of the blocks of a small image tower (6 layers of width 192, 65 tokens,
// batch 64): our ops in F32 and bf16, and plain torch.
void tower(const BenchOptions& options);
// The image tower: ViT-B-16 and ViT-L-14-336, batches of 1, 8 and 32.
void encode(const BenchOptions& options);
// The text tower: ViT-B-16 and ViT-L-14, texts of the full context length, batches of 1, 8 and 32.
void text(const BenchOptions& options);
// 1 to 1000 boxes on one picture, its encoding included, by each region method.
void prompt(const BenchOptions& options);
// A training step of CLIP and of CLOC, optimizer included; 4 regions an image.
void train(const BenchOptions& options);
// A training step of a multimodal language model (4 x 192) over a frozen tower, by source of
// regions, four turns a picture; and questions of that length answered with 8 ids.
void mllm(const BenchOptions& options);
// L_CLOC over loss_rows regions and their texts, forward and backward, and what memory it takes.
void loss(const BenchOptions& options);
// From encoded pictures to what a model of 224 pixels reads.
void loader(const BenchOptions& options);
// Captions to ids, both kinds of tokenizer.
void tokenizer(const BenchOptions& options);
// A safetensors file of 1 GB (a hole, which takes no disk space): how long until every tensor is at
// hand, and what memory it takes.
void open(const BenchOptions& options);
// Shards of `samples` tiny samples: how long they take to be opened for the first time and again,
// and what memory that takes.
void index(const BenchOptions& options);
// Exact search over `rows` made-up vectors of 512 numbers: one query and 16 a pass, as a share of
// what reading them takes, and which share of the true best 10 it finds. With `vectors`
// that share for a model's own.
void search(const BenchOptions& options);
// Requests a second and times of `opencloc serve` by `clients` at once: a server that runs, or one
// of its own with a made-up model and index.
void serve(const BenchOptions& options);
// No speed: a number of everything the program computes with. The same number = no functional
// change (docs/results/speed.md).
void signature(const BenchOptions& options);

}  // namespace opencloc::bench
