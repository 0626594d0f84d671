// ONNX graphs, for programs that run them: ONNX Runtime, OpenVINO, ... They are written and not
// read back. docs/guide/convert.md has the files, their inputs and outputs.
#pragma once

#include <cstdint>
#include <filesystem>

#include "opencloc/checkpoint/layout/layout.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc::onnx_layout {

inline constexpr const char* kVisualFile = "visual.onnx";
inline constexpr const char* kTextualFile = "textual.onnx";
inline constexpr const char* kPrompterFile = "prompter.onnx";
inline constexpr const char* kPointsFile = "prompter_points.onnx";
inline constexpr const char* kGroundingFile = "grounding.onnx";
inline constexpr const char* kConfigFile = "onnx_config.json";

// A directory that write() made.
bool found(const std::filesystem::path& directory);
// Error (input), all three: such a directory is no model that can be loaded.
Sources sources(const std::filesystem::path& directory);
ModelConfig read_config(const std::filesystem::path& directory);
void load_towers(const std::filesystem::path& directory, Cloc& model);

// A graph for each tower, those of the region part of a model that has one, and onnx_config.json.
// Error (input) for a model that has no such graphs (onnx/towers.h) and for a `dtype` but F32.
// Weights of one graph above `bytes_within` lie beside it in a second file (onnx/graph.h).
void write(const std::filesystem::path& directory, const Cloc& model, const TowerOptions& options);
void write_parted(const std::filesystem::path& directory, const Cloc& model,
                  const TowerOptions& options, uint64_t bytes_within);

// Stored tensors and values of the graphs of a directory. Error (input) for a damaged file.
struct Totals {
  size_t tensors = 0;
  int64_t values = 0;
};
Totals totals(const std::filesystem::path& directory);

}  // namespace opencloc::onnx_layout
