#include "opencloc/checkpoint/onnx/outline.h"

#include <charconv>
#include <set>

#include "opencloc/base/files.h"
#include "opencloc/base/protobuf.h"
#include "opencloc/checkpoint/onnx/messages.h"

namespace opencloc::onnx {
namespace {

namespace fs = std::filesystem;
using protobuf::Field;
using protobuf::Fields;
using protobuf::Wire;

constexpr int64_t kMostValues = int64_t{1} << 40;

[[noreturn]] void refuse_onnx(const std::string& what, const std::string& where) {
  throw Error::input(what, where, "write it again, with the setting 'to=onnx'");
}

class OutlineReader {
 public:
  OutlineReader(std::string_view file, const fs::path& path)
      : file_(file), path_(path), where_(path.string()) {}

  Outline read() {
    Outline outline;
    bool graph = false;
    each(file_, [&](const Field& field) {
      if (field.number == model_field::kIrVersion) outline.ir_version = integer(field);
      if (field.number == model_field::kProducer) outline.producer = text(field);
      if (field.number == model_field::kOpset) {
        each(text(field), [&](const Field& inner) {
          if (inner.number == opset_field::kVersion) outline.opset = integer(inner);
        });
      }
      if (field.number == model_field::kGraph) {
        graph = true;
        read_graph(text(field), outline);
      }
    });
    if (!graph) refuse_onnx("no ONNX file: it has no graph", where_);
    check_order(outline);
    return outline;
  }

 private:
  template <typename Take>
  void each(std::string_view message, const Take& take) const {
    Fields fields(message, {.where = where_});
    for (Field field; fields.next(field);) take(field);
  }
  int64_t integer(const Field& field) const {
    if (field.wire != Wire::kVarint) refuse_onnx("a number of another kind", where_);
    return static_cast<int64_t>(field.value);
  }
  std::string_view text(const Field& field) const {
    if (field.wire != Wire::kBytes) refuse_onnx("a text or message of another kind", where_);
    return field.bytes;
  }

  void read_graph(std::string_view graph, Outline& outline) {
    each(graph, [&](const Field& field) {
      if (field.number == graph_field::kNode) outline.nodes.push_back(node(text(field)));
      if (field.number == graph_field::kStored) outline.stored.push_back(stored(text(field)));
      if (field.number == graph_field::kInput) outline.inputs.push_back(port(text(field)));
      if (field.number == graph_field::kOutput) outline.outputs.push_back(port(text(field)));
    });
  }

  NodeOutline node(std::string_view message) const {
    NodeOutline found;
    each(message, [&](const Field& field) {
      if (field.number == node_field::kInput) found.inputs.emplace_back(text(field));
      if (field.number == node_field::kOutput) found.outputs.emplace_back(text(field));
      if (field.number == node_field::kOp) found.op = text(field);
    });
    return found;
  }

  Port port(std::string_view message) const {
    Port found;
    int64_t type = 0;
    each(message, [&](const Field& field) {
      if (field.number == value_field::kName) found.name = text(field);
      if (field.number != value_field::kType) return;
      each(text(field), [&](const Field& kind) {
        if (kind.number != type_field::kTensor) return;
        each(text(kind), [&](const Field& part) {
          if (part.number == tensor_type_field::kElement) type = integer(part);
          if (part.number == tensor_type_field::kShape) found.shape = shape(text(part));
        });
      });
    });
    found.type = element(type, found.name) == kOnnxFloat ? torch::kFloat : torch::kInt64;
    return found;
  }

  Shape shape(std::string_view message) const {
    Shape found;
    each(message, [&](const Field& dim) {
      Side side = std::string();
      each(text(dim), [&](const Field& part) {
        if (part.number == dim_field::kValue) side = integer(part);
        if (part.number == dim_field::kName) side = std::string(text(part));
      });
      found.push_back(side);
    });
    return found;
  }

  int64_t element(int64_t type, const std::string& name) const {
    if (type != kOnnxFloat && type != kOnnxInt64) {
      refuse_onnx("'" + name + "' has elements of type " + std::to_string(type) +
                      ", neither float nor int64",
                  where_);
    }
    return type;
  }

  StoredOutline stored(std::string_view message) const {
    StoredOutline found;
    bool there = false;
    each(message, [&](const Field& field) {
      if (field.number == tensor_field::kDim) found.shape.push_back(integer(field));
      if (field.number == tensor_field::kType) found.type = integer(field);
      if (field.number == tensor_field::kName) found.name = text(field);
      if (field.number == tensor_field::kLocation)
        found.outside = integer(field) == kOutsideLocation;
      if (field.number == tensor_field::kOutside) read_place(text(field), found);
      if (field.number != tensor_field::kRaw) return;
      there = true;
      found.begin = static_cast<uint64_t>(text(field).data() - file_.data());
      found.bytes = text(field).size();
    });
    const uint64_t size = element(found.type, found.name) == kOnnxFloat ? 4 : 8;
    if (static_cast<uint64_t>(found.values()) * size != found.bytes || there == found.outside) {
      refuse_onnx("the values of '" + found.name + "' are not as many as its shape says", where_);
    }
    if (found.outside) check_beside(found);
    return found;
  }

  void read_place(std::string_view message, StoredOutline& found) const {
    std::string_view key, value;
    each(message, [&](const Field& field) {
      if (field.number == pair_field::kKey) key = text(field);
      if (field.number == pair_field::kValue) value = text(field);
    });
    const auto whole = [&] {
      uint64_t number = 0;
      const auto end = value.data() + value.size();
      if (const auto [stop, error] = std::from_chars(value.data(), end, number);
          error != std::errc() || stop != end) {
        refuse_onnx("'" + found.name + "' lies at no number", where_);
      }
      return number;
    };
    if (key == "location") found.file = value;
    if (key == "offset") found.begin = whole();
    if (key == "length") found.bytes = whole();
  }

  void check_beside(const StoredOutline& found) const {
    const fs::path name = found.file;
    if (name.empty() || name != name.filename() || name == ".." || name == ".")
      refuse_onnx("'" + found.name + "' lies in no file beside", where_);
    std::error_code error;
    const uint64_t size = fs::file_size(path_.parent_path() / name, error);
    if (error || found.begin > size || found.bytes > size - found.begin)
      refuse_onnx("'" + found.name + "' does not lie in " + found.file, where_);
  }

  // What a node reads is an input, stored, or given by a node before it.
  void check_order(const Outline& outline) const {
    std::set<std::string> there;
    for (const auto& port : outline.inputs) there.insert(port.name);
    for (const auto& one : outline.stored) there.insert(one.name);
    const auto need = [&](const std::string& name) {
      if (!name.empty() && !there.contains(name))
        refuse_onnx("'" + name + "' is read before it is there", where_);
    };
    for (const auto& node : outline.nodes) {
      for (const auto& name : node.inputs) need(name);
      for (const auto& name : node.outputs) {
        if (!there.insert(name).second) refuse_onnx("'" + name + "' is given twice", where_);
      }
    }
    for (const auto& port : outline.outputs) need(port.name);
  }

  std::string_view file_;
  const fs::path& path_;
  std::string where_;
};

}  // namespace

int64_t StoredOutline::values() const {
  int64_t count = 1;
  for (const int64_t side : shape) {
    if (side < 0 || (side > 0 && count > kMostValues / side)) return -1;
    count *= side;
  }
  return count;
}

Outline read_outline(const fs::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return OutlineReader({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path).read();
}

}  // namespace opencloc::onnx
