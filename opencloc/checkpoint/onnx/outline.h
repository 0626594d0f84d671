// What an .onnx file holds, without running it: its ports, its operators, and where its weights
// lie. For what we wrote and for tests; OpenCLOC loads no model from ONNX.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "opencloc/checkpoint/onnx/graph.h"

namespace opencloc::onnx {

struct StoredOutline {
  std::string name;
  int64_t type = 0;  // ONNX's number
  std::vector<int64_t> shape;
  bool outside = false;  // in a file beside
  std::string file;      // its name
  uint64_t begin = 0;    // in the file that holds it
  uint64_t bytes = 0;
  int64_t values() const;
};

struct NodeOutline {
  std::string op;
  std::vector<std::string> inputs, outputs;
};

struct Outline {
  int64_t ir_version = 0;
  int64_t opset = 0;
  std::string producer;
  std::vector<Port> inputs, outputs;
  std::vector<NodeOutline> nodes;
  std::vector<StoredOutline> stored;
};

// Error (input), naming the file, for one that is cut short or damaged, has no graph, reads a value
// before it is there, has elements of other types than float and int64, or names weights that do
// not lie where it says.
Outline read_outline(const std::filesystem::path& path);

}  // namespace opencloc::onnx
