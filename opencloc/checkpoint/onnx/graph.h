// A computation as ONNX describes it: operators that read and give named values, and stored ones.
// https://github.com/onnx/onnx/blob/main/docs/IR.md
// Goal: whatever is put together here is a valid graph, nodes in the order of their making.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <torch/types.h>

namespace opencloc::onnx {

// Of 2022: the first that has LayerNormalization.
inline constexpr int64_t kOpset = 17;
inline constexpr int64_t kIrVersion = 8;

// A side of a tensor: its length, or a name for what may differ from run to run.
using Side = std::variant<int64_t, std::string>;
using Shape = std::vector<Side>;
// The name of a tensor of the graph.
using Value = std::string;

using AttributeValue = std::variant<int64_t, float, std::vector<int64_t>>;
using Attributes = std::vector<std::pair<std::string, AttributeValue>>;

struct Node {
  std::string op;
  std::vector<Value> inputs;
  Value output;
  Attributes attributes;
};

struct Port {
  Value name;
  torch::ScalarType type = torch::kFloat;
  Shape shape;
};

struct WriteOptions {
  std::string producer_version;
  // Above so many bytes of weights they lie in a second file beside, NAME.data: a message of
  // protocol buffers may have 2^31 - 1 in all.
  uint64_t bytes_within = 2'000'000'000;
};

class Graph {
 public:
  explicit Graph(std::string name) : name_(std::move(name)) {}

  Value input(const std::string& name, torch::ScalarType type, Shape shape);
  // Gives the value this name and lets it leave the graph. It has left no other way, and is no
  // input.
  void output(const Value& value, const std::string& name, Shape shape);
  // A stored tensor (float or int64). The same name again is the same tensor.
  Value stored(const std::string& name, const torch::Tensor& values);
  Value ints(const std::vector<int64_t>& values);  // [n]
  Value number(float value);                       // []
  Value node(const std::string& op, std::vector<Value> inputs, Attributes attributes = {});

  // The file NAME.onnx, and NAME.onnx.data where it needs one; into a folder that is new.
  void write(const std::filesystem::path& path, const WriteOptions& options) const;

 private:
  std::string name_;
  std::vector<Port> inputs_, outputs_;
  std::vector<Node> nodes_;
  std::vector<std::pair<std::string, torch::Tensor>> stored_;  // contiguous, in main memory
  std::map<std::string, size_t> stored_place_;
};

}  // namespace opencloc::onnx
