// The start of a new Prompter on a CLIP that is there already. A published tower's tokens may be of
// any size, and a few channels of them far larger than the rest, which a layer norm over the
// channels then cannot see for them. Standing in front of such tokens the start that serves new
// towers (docs/decisions/prompter_start.md) finds no content to look for: text prompts learn slowly
// where to look (docs/results/frozen_tower.md).
#pragma once

#include <cstdint>

#include "opencloc/data/load/loader_store.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

// Changes the Prompter's first weights so that keys and values begin from tokens which are, channel
// by channel, of mean 0 and deviation 1 over the patches of up to 64 pictures drawn from `store`.
// Deterministic. Nothing changes where no picture can be read: training will say so.
void start_from_tokens(Cloc& model, const SampleStore& store, uint64_t seed);

}  // namespace opencloc
