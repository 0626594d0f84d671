// A multimodal language model as llama.cpp reads it: GPT-2 in one GGUF file, the image tower with
// LLaVA's projector (mmproj) in another.
#pragma once

#include <filesystem>

#include "opencloc/checkpoint/layout/layout.h"
#include "opencloc/mllm/mllm_model.h"

namespace opencloc {

// model.gguf and mmproj.gguf; whole or not at all. `dtype` is that of the matrices; the rest is
// F32. The source of regions has no room there and is left out. Error (input) for a tower whose
// blocks are not those of OpenAI's, for a blind model, and for a tokenizer that is not
// SentencePiece's.
void export_gguf(const std::filesystem::path& folder, const MllmModel& model, Dtype dtype);

}  // namespace opencloc
