// GGUF: clip.cpp's two-tower files, and the image towers alone that clip.cpp and llama.cpp (mmproj)
// use. Keys and tensors are theirs; what they have no key for (logit_scale, the canvas, the end of
// a text) lies under opencloc.*, which they pass over.
#pragma once

#include <filesystem>
#include <memory>

#include "opencloc/checkpoint/file/gguf_header.h"
#include "opencloc/checkpoint/layout/layout.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc::gguf_layout {

// A .gguf file, or a directory that holds one and no configuration of another layout. Throws Error
// (input) for a damaged file.
bool found(const std::filesystem::path& path);
Sources sources(const std::filesystem::path& path);
ModelConfig read_config(const std::filesystem::path& path);
// Fills the towers. Throws Error (input) as load_model() does.
void load_towers(const std::filesystem::path& path, Cloc& model);
// The tokenizer within the file; null when there is none.
std::shared_ptr<const Tokenizer> read_tokenizer(const std::filesystem::path& path);
// `path`: the file, or the directory that gets a model.gguf.
void write(const std::filesystem::path& path, const Cloc& model, const TowerOptions& options);

// As clip.cpp and llama.cpp have it: matrices in the file's type, the convolution never smaller
// than F16, vectors in F32.
GgufType stored_type(const torch::Tensor& values, Dtype dtype);
// general.file_type as llama.cpp numbers it.
uint32_t llama_file_type(Dtype dtype);

}  // namespace opencloc::gguf_layout
