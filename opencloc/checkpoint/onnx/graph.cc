#include "opencloc/checkpoint/onnx/graph.h"

#include <bit>

#include <torch/utils.h>

#include "opencloc/base/files.h"
#include "opencloc/base/protobuf.h"
#include "opencloc/checkpoint/onnx/messages.h"

namespace opencloc::onnx {
namespace {

using protobuf::put_bytes;
using protobuf::put_float;
using protobuf::put_int;
using protobuf::put_size;

// Beside the file, weights begin at pages, so that they can be mapped. Small ones stay within.
constexpr uint64_t kPage = 4096;
constexpr uint64_t kSmall = 1024;

std::string port_message(const Port& port) {
  std::string shape;
  for (const auto& side : port.shape) {
    std::string dim;
    if (const auto* length = std::get_if<int64_t>(&side)) {
      put_int(dim, dim_field::kValue, *length);
    } else {
      put_bytes(dim, dim_field::kName, std::get<std::string>(side));
    }
    put_bytes(shape, shape_field::kDim, dim);
  }
  std::string tensor, type, out;
  put_int(tensor, tensor_type_field::kElement, onnx_type(port.type));
  put_bytes(tensor, tensor_type_field::kShape, shape);
  put_bytes(type, type_field::kTensor, tensor);
  put_bytes(out, value_field::kName, port.name);
  put_bytes(out, value_field::kType, type);
  return out;
}

struct PutAttribute {
  std::string& out;
  void operator()(int64_t value) const {
    put_int(out, attribute_field::kInt, value);
    put_int(out, attribute_field::kType, attribute_type::kInt);
  }
  void operator()(float value) const {
    put_float(out, attribute_field::kFloat, value);
    put_int(out, attribute_field::kType, attribute_type::kFloat);
  }
  void operator()(const std::vector<int64_t>& values) const {
    for (const int64_t value : values) put_int(out, attribute_field::kInts, value);
    put_int(out, attribute_field::kType, attribute_type::kInts);
  }
};

std::string node_message(const Node& node) {
  std::string out;
  for (const auto& input : node.inputs) put_bytes(out, node_field::kInput, input);
  put_bytes(out, node_field::kOutput, node.output);
  put_bytes(out, node_field::kName, node.output);
  put_bytes(out, node_field::kOp, node.op);
  for (const auto& [name, value] : node.attributes) {
    std::string attribute;
    put_bytes(attribute, attribute_field::kName, name);
    std::visit(PutAttribute{attribute}, value);
    put_bytes(out, node_field::kAttribute, attribute);
  }
  return out;
}

std::string pair_message(std::string_view key, std::string_view value) {
  std::string out;
  put_bytes(out, pair_field::kKey, key);
  put_bytes(out, pair_field::kValue, value);
  return out;
}

// A stored tensor as a field of the graph. Of one within the file the values follow `head`.
struct StoredMessage {
  std::string head;
  torch::Tensor values;
  bool outside = false;
  uint64_t begin = 0;  // in the second file
};

// `second`: how long the second file is so far, which grows by the values; null: there is none.
StoredMessage stored_message(const std::string& name, const torch::Tensor& values,
                             const std::string& second_name, uint64_t* second) {
  StoredMessage message;
  message.values = values;
  message.outside = second != nullptr && values.nbytes() >= kSmall;
  std::string tensor;
  for (const int64_t side : values.sizes()) put_int(tensor, tensor_field::kDim, side);
  put_int(tensor, tensor_field::kType, onnx_type(values.scalar_type()));
  put_bytes(tensor, tensor_field::kName, name);
  uint64_t following = 0;
  if (message.outside) {
    message.begin = (*second + kPage - 1) / kPage * kPage;
    *second = message.begin + values.nbytes();
    const auto put = [&](const char* key, const std::string& value) {
      put_bytes(tensor, tensor_field::kOutside, pair_message(key, value));
    };
    put("location", second_name);
    put("offset", std::to_string(message.begin));
    put("length", std::to_string(values.nbytes()));
    put_int(tensor, tensor_field::kLocation, kOutsideLocation);
  } else {
    put_size(tensor, tensor_field::kRaw, values.nbytes());
    following = values.nbytes();
  }
  put_size(message.head, graph_field::kStored, tensor.size() + following);
  message.head += tensor;
  return message;
}

void write_second_file(const std::filesystem::path& path,
                       const std::vector<StoredMessage>& messages) {
  AtomicFile file(path);
  for (const auto& message : messages) {
    if (!message.outside) continue;
    file.write(std::string(message.begin - file.size(), '\0'));
    file.write(message.values.data_ptr(), message.values.nbytes());
  }
  file.commit();
}

}  // namespace

Value Graph::input(const std::string& name, torch::ScalarType type, Shape shape) {
  inputs_.push_back({name, type, std::move(shape)});
  return name;
}

void Graph::output(const Value& value, const std::string& name, Shape shape) {
  bool made = false;
  for (auto& node : nodes_) {
    for (auto& read : node.inputs) {
      if (read == value) read = name;
    }
    if (node.output != value) continue;
    node.output = name;
    made = true;
  }
  TORCH_CHECK(made, "an output of an ONNX graph must be what a node gives: ", value);
  outputs_.push_back({name, torch::kFloat, std::move(shape)});
}

Value Graph::stored(const std::string& name, const torch::Tensor& values) {
  if (stored_place_.emplace(name, stored_.size()).second)
    stored_.emplace_back(name, values.detach().to(torch::kCPU).contiguous());
  return name;
}

Value Graph::ints(const std::vector<int64_t>& values) {
  std::string name = "ints";
  for (const int64_t value : values) name += "_" + std::to_string(value);
  return stored(name, torch::tensor(values, torch::kInt64));
}

Value Graph::number(float value) {
  // By its bits: two numbers may look alike in a few digits.
  return stored("number_" + std::to_string(std::bit_cast<uint32_t>(value)), torch::full({}, value));
}

Value Graph::node(const std::string& op, std::vector<Value> inputs, Attributes attributes) {
  const Value output = op + "_" + std::to_string(nodes_.size());
  nodes_.push_back({op, std::move(inputs), output, std::move(attributes)});
  return output;
}

void Graph::write(const std::filesystem::path& path, const WriteOptions& options) const {
  uint64_t weights = 0, second = 0;
  for (const auto& [name, values] : stored_) weights += values.nbytes();
  const bool two_files = weights > options.bytes_within;
  const std::string second_name = path.filename().string() + ".data";

  std::string graph;
  for (const auto& node : nodes_) put_bytes(graph, graph_field::kNode, node_message(node));
  put_bytes(graph, graph_field::kName, name_);
  for (const auto& port : inputs_) put_bytes(graph, graph_field::kInput, port_message(port));
  for (const auto& port : outputs_) put_bytes(graph, graph_field::kOutput, port_message(port));
  std::vector<StoredMessage> messages;
  uint64_t size = graph.size();
  for (const auto& [name, values] : stored_) {
    messages.push_back(stored_message(name, values, second_name, two_files ? &second : nullptr));
    size += messages.back().head.size() + (messages.back().outside ? 0 : values.nbytes());
  }
  std::string opset, head;
  put_int(opset, opset_field::kVersion, kOpset);
  put_int(head, model_field::kIrVersion, kIrVersion);
  put_bytes(head, model_field::kProducer, "OpenCLOC");
  put_bytes(head, model_field::kProducerVersion, options.producer_version);
  put_bytes(head, model_field::kOpset, opset);
  put_size(head, model_field::kGraph, size);

  if (two_files) write_second_file(path.parent_path() / second_name, messages);
  AtomicFile file(path);
  file.write(head);
  file.write(graph);
  for (const auto& message : messages) {
    file.write(message.head);
    if (!message.outside) file.write(message.values.data_ptr(), message.values.nbytes());
  }
  file.commit();
}

}  // namespace opencloc::onnx
