// The subjects of `bench`, a file each (bench_NAME.cc). Models have random weights, so that nothing
// has to be there.
#pragma once

#include "opencloc/cli/bench_figure.h"

namespace opencloc::cli {

// What this machine can do at best: products on each instruction set, F32, memory; on one thread
// and on all.
void bench_peak(const BenchFlags& flags);
// The image tower: ViT-B-16 and ViT-L-14-336, batches of 1, 8 and 32.
void bench_encode(const BenchFlags& flags);
// 1 to 1000 boxes on one picture, its encoding included, by each region method.
void bench_prompt(const BenchFlags& flags);
// A training step of CLIP and of CLOC, optimizer included; 4 regions an image.
void bench_train(const BenchFlags& flags);
// L_CLOC over loss_rows regions and their texts, forward and backward, and what memory it takes.
void bench_loss(const BenchFlags& flags);
// From encoded pictures to what a model of 224 pixels reads.
void bench_loader(const BenchFlags& flags);
// Captions to ids, both kinds of tokenizer.
void bench_tokenizer(const BenchFlags& flags);
// No speed: a number of everything the program computes with. The same number = no functional
// change (docs/speed.md).
void bench_signature(const BenchFlags& flags);

}  // namespace opencloc::cli
