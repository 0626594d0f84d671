// Python pickles as PyTorch writes them, read as data: there is no way for a file to run code,
// because a "call" can only build one of the values below: what a class that is not known makes is
// kOther, and what reaches out of a pickle (os.system) is an Error.
// Why not libtorch's own unpickler: it turns collections.OrderedDict, which is what every
// state_dict() is, into None, and is not made for hostile input.
// Goal: whatever the bytes, values of bounded number, or an Error. No torch here.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/checkpoint/file/safetensors_header.h"

namespace opencloc {

struct PickleValue {
  enum class Kind {
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kTuple,
    kList,
    kDict,
    kObject,  // of a TorchScript class: its attributes, as a dict
    kStorage,
    kTensor,
    kClass,  // a name that stands for a type or function
    kOther,  // of no interest to a reader of tensors: dtypes, devices, objects of other classes;
             // `text` names the class, `values` what was put into it as into a dict
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;  // kInt, kBool; elements of kStorage; first element of kTensor
  double number = 0;
  std::string text;                        // kString, kClass; name of kStorage
  std::vector<const PickleValue*> values;  // tuple, list; keys and values in turn of a dict;
                                           // {storage} of a tensor
  std::vector<int64_t> shape, strides;     // kTensor; strides in elements
  TensorType type = TensorType::kF32;      // kStorage

  // Of a dict or object: null when it has no such key.
  const PickleValue* find(std::string_view key) const;
};

// What a pickle holds. The values live as long as the object.
class Pickle {
 public:
  // Error (input) naming what the file asks for that is no data, or where it is damaged.
  Pickle(std::span<const std::byte> bytes, std::string_view where);

  const PickleValue& root() const { return *root_; }

 private:
  friend class PickleReader;
  std::deque<PickleValue> values_;  // an arena: values may refer to each other in circles
  const PickleValue* root_ = nullptr;
};

}  // namespace opencloc
