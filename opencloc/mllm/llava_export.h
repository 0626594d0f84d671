// A multimodal language model as transformers' LlavaForConditionalGeneration reads it (names of its
// weights since 4.52): GPT-2 in LLaVA's place of LLaMA.
#pragma once

#include <filesystem>

#include "opencloc/mllm/mllm_model.h"

namespace opencloc {

// config.json, model.safetensors, preprocessor_config.json, generation_config.json and the
// tokenizer's file; whole or not at all. What LLaVA has no room for, the source of regions, is left
// out: the folder answers every question that has no <region>. Error (input) for a tower that is
// not of OpenAI's kind, and for a blind model.
void export_llava(const std::filesystem::path& folder, const MllmModel& model);

}  // namespace opencloc
