#include "opencloc/checkpoint/file/torch_pickle.h"

#include <bit>
#include <unordered_map>

#include "opencloc/checkpoint/file/byte_reader.h"
#include "opencloc/checkpoint/file/torch_pickle_classes.h"

namespace opencloc {
namespace {

using Kind = PickleValue::Kind;

constexpr uint64_t kMaxValues = 300'000;  // a checkpoint of a large model has some ten thousand
constexpr size_t kMaxDims = 16;
constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor_v2";
constexpr const char* kWayRound =
    "load it where it was made and save {name: tensor} alone, best with safetensors";

}  // namespace

const PickleValue* PickleValue::find(std::string_view key) const {
  for (size_t i = 0; i + 1 < values.size(); i += 2) {
    if (values[i]->kind == Kind::kString && values[i]->text == key) return values[i + 1];
  }
  return nullptr;
}

// The pickle machine: a stack, a memo and the codes of protocols 2 to 5 that PyTorch's picklers
// emit. https://docs.python.org/3/library/pickletools.html names them.
class PickleReader {
 public:
  PickleReader(Pickle& out, std::span<const std::byte> bytes, std::string_view where)
      : out_(out), reader_(bytes, where), where_(where) {}

  void run() {
    while (true) {
      const auto code = reader_.number<uint8_t>();
      if (code == '.') break;
      step(code);
    }
    out_.root_ = pop();
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error::input("bad pickle: " + what, where_,
                       "the file is damaged or hostile: get it again");
  }

  PickleValue* make(Kind kind) {
    if (out_.values_.size() >= kMaxValues) refuse("more than 300,000 values");
    auto& value = out_.values_.emplace_back();
    value.kind = kind;
    return &value;
  }
  PickleValue* push(PickleValue* value) {
    stack_.push_back(value);
    return value;
  }
  PickleValue* push(Kind kind) { return push(make(kind)); }
  void push_int(int64_t value, Kind kind = Kind::kInt) { push(kind)->integer = value; }
  void push_text(uint64_t size) { push(Kind::kString)->text = std::string(reader_.take(size)); }

  PickleValue* pop() {
    if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back()))
      refuse("a value is missing");
    PickleValue* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleValue* top() {
    PickleValue* value = pop();
    return push(value);
  }
  std::vector<const PickleValue*> pop_to_mark() {
    if (marks_.empty()) refuse("a mark is missing");
    const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<const PickleValue*> values(from, stack_.end());
    stack_.erase(from, stack_.end());
    marks_.pop_back();
    return values;
  }
  std::vector<const PickleValue*> pop_some(size_t count) {
    std::vector<const PickleValue*> values(count);
    for (size_t i = count; i-- > 0;) values[i] = pop();
    return values;
  }

  void push_all(Kind kind, std::vector<const PickleValue*> values) {
    if (kind == Kind::kDict && values.size() % 2 != 0) refuse("a key without a value");
    push(kind)->values = std::move(values);
  }
  void add(Kind kind, const std::vector<const PickleValue*>& values) {
    PickleValue* to = top();
    if (to->kind == Kind::kOther && kind == Kind::kList) return;
    if (to->kind != kind && to->kind != Kind::kOther) refuse("values are added to what holds none");
    if (kind == Kind::kDict && values.size() % 2 != 0) refuse("a key without a value");
    to->values.insert(to->values.end(), values.begin(), values.end());
  }

  void remember(uint64_t place) {
    if (memo_.size() >= kMaxValues) refuse("more than 300,000 stored values");
    memo_[place] = top();
  }
  void recall(uint64_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) refuse("a value that was never stored is asked for");
    push(found->second);
  }

  std::string_view line() {
    std::string_view text;
    uint64_t size = 0;
    const char* begin = reader_.take(0).data();
    while (reader_.number<char>() != '\n') ++size;
    text = {begin, size};
    return text;
  }
  static const std::string& text_of(const PickleValue* value) { return value->text; }

  void push_class(std::string name) {
    if (pickle_class_is_hostile(name)) {
      throw Error::input("asks for " + name + ", which is no tensor, dictionary, number or text",
                         where_, kWayRound);
    }
    push(Kind::kClass)->text = std::move(name);
  }
  // ("storage", type, name, device, number of elements)
  void push_persistent() {
    const PickleValue* id = pop();
    const auto& parts = id->values;
    if (id->kind != Kind::kTuple || parts.size() < 5 || parts[1]->kind != Kind::kClass ||
        parts[2]->kind != Kind::kString || parts[4]->kind != Kind::kInt) {
      refuse("a reference that is no tensor's storage");
    }
    const auto type = pickle_storage_type(parts[1]->text);
    if (!type) {  // an error once a tensor is made of it
      push(Kind::kOther)->text = parts[1]->text;
      return;
    }
    PickleValue* storage = push(Kind::kStorage);
    storage->type = *type;
    storage->text = parts[2]->text;
    storage->integer = parts[4]->integer;
  }

  std::vector<int64_t> integers(const PickleValue* value) const {
    if ((value->kind != Kind::kTuple && value->kind != Kind::kList) ||
        value->values.size() > kMaxDims) {
      refuse("a tensor's shape is no short list");
    }
    std::vector<int64_t> numbers;
    for (const auto* item : value->values) {
      if (item->kind != Kind::kInt || item->integer < 0) refuse("a tensor's shape has no number");
      numbers.push_back(item->integer);
    }
    return numbers;
  }

  // (storage, first element, shape, strides, ...)
  void push_tensor(const PickleValue* arguments) {
    const auto& parts = arguments->values;
    if (parts.size() >= 4 && parts[0]->kind == Kind::kOther)
      throw Error::input("holds a " + parts[0]->text + ", which is not read", where_, kWayRound);
    if (parts.size() < 4 || parts[0]->kind != Kind::kStorage || parts[1]->kind != Kind::kInt)
      refuse("a tensor without storage");
    PickleValue* tensor = make(Kind::kTensor);
    tensor->values = {parts[0]};
    tensor->integer = parts[1]->integer;
    tensor->shape = integers(parts[2]);
    tensor->strides = integers(parts[3]);
    if (tensor->integer < 0 || tensor->shape.size() != tensor->strides.size())
      refuse("a tensor whose shape and strides differ");
    push(tensor);
  }

  void call() {
    const PickleValue* arguments = pop();
    const PickleValue* function = pop();
    if ((function->kind != Kind::kClass && function->kind != Kind::kOther) ||
        arguments->kind != Kind::kTuple) {
      refuse("a call of what is no function");
    }
    const std::string& name = function->text;
    if (name == kRebuildTensor) return push_tensor(arguments);
    if (name == "torch._tensor._rebuild_from_type_v2") return push_tensor_of_type(arguments);
    if (name == "collections.OrderedDict") return push_ordered(arguments);
    if (name == "collections.defaultdict") {
      push(Kind::kDict);
      return;
    }
    if (pickle_class_passes_through(name)) {
      if (arguments->values.empty()) refuse("a call without arguments");
      // The value is an arena's own; nobody else holds it as changeable.
      push(const_cast<PickleValue*>(arguments->values[0]));
      return;
    }
    if (name.starts_with("torch._utils._rebuild_")) refuse_tensor(name, arguments);
    push(name.starts_with("__torch__.") ? Kind::kObject : Kind::kOther)->text = name;
  }

  // A tensor of a subclass: (function, class, arguments, attributes).
  void push_tensor_of_type(const PickleValue* arguments) {
    const auto& parts = arguments->values;
    if (parts.size() < 3 || parts[2]->kind != Kind::kTuple || parts[0]->text != kRebuildTensor)
      refuse_tensor("torch._tensor._rebuild_from_type_v2", arguments);
    push_tensor(parts[2]);
  }
  // Tensors that are not left out silently: sparse, quantised, of types PyTorch has and we have
  // not.
  [[noreturn]] void refuse_tensor(const std::string& name, const PickleValue* arguments) const {
    for (const auto* part : arguments->values) {
      if (part->kind == Kind::kClass && part->text.starts_with("torch.float8")) {
        throw Error::input("holds floats of 8 bits (" + part->text + "), which are not read",
                           where_, "get the model in F16, BF16 or F32");
      }
    }
    throw Error::input("holds tensors of a kind that is not read (" + name + ")", where_,
                       kWayRound);
  }

  // A long list that is stored once can be copied by every code that follows.
  void count_copies(size_t count) {
    copies_ += count;
    if (copies_ > kMaxValues) refuse("more than 300,000 values");
  }

  // OrderedDict() or OrderedDict([[key, value], ...]).
  void push_ordered(const PickleValue* arguments) {
    PickleValue* dict = make(Kind::kDict);
    if (!arguments->values.empty()) {
      count_copies(2 * arguments->values[0]->values.size());
      for (const auto* pair : arguments->values[0]->values) {
        if (pair->values.size() != 2) refuse("a dictionary's item is no pair");
        dict->values.insert(dict->values.end(), pair->values.begin(), pair->values.end());
      }
    }
    push(dict);
  }

  // Attributes of an object. Of a dictionary they are Python's own (a state_dict's _metadata).
  void build() {
    const PickleValue* state = pop();
    PickleValue* object = top();
    if (object->kind != Kind::kObject || state->kind != Kind::kDict) return;
    count_copies(state->values.size());
    object->values = state->values;
  }

  // More than 64 bits have states of random number generators, which nobody reads here.
  void push_long(uint64_t size) {
    const std::string_view bytes = reader_.take(size);
    if (size > 8) {
      push(Kind::kOther);
    } else {
      push_int(small_integer(bytes));
    }
  }
  static int64_t small_integer(std::string_view bytes) {
    const size_t size = bytes.size();
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i)
      value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
    if (size > 0 && size < 8 && (static_cast<uint8_t>(bytes[size - 1]) & 0x80) != 0)
      value |= ~uint64_t{0} << (8 * size);
    return static_cast<int64_t>(value);
  }

  void push_float() {  // big-endian, alone among the codes
    const std::string_view bytes = reader_.take(8);
    uint64_t bits = 0;
    for (const char byte : bytes) bits = bits << 8 | static_cast<uint8_t>(byte);
    push(Kind::kFloat)->number = std::bit_cast<double>(bits);
  }

  void push_global() {
    std::string name(line());
    name += '.';
    name += line();
    push_class(std::move(name));
  }
  void push_stack_global() {
    const auto names = pop_some(2);
    if (names[0]->kind != Kind::kString || names[1]->kind != Kind::kString)
      refuse("a class without a name");
    push_class(text_of(names[0]) + '.' + text_of(names[1]));
  }

  void step(uint8_t code);

  Pickle& out_;
  ByteReader reader_;
  std::string_view where_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  size_t copies_ = 0;
  std::unordered_map<uint64_t, PickleValue*> memo_;
};

void PickleReader::step(uint8_t code) {
  switch (code) {
    case 0x80:  // PROTO
      if (reader_.number<uint8_t>() > 5) refuse("a protocol newer than 5");
      return;
    case 0x95:  // FRAME
      reader_.take(8);
      return;
    case '(':
      if (marks_.size() >= kMaxValues) refuse("more than 300,000 marks");
      marks_.push_back(stack_.size());
      return;
    case '0':
      pop();
      return;
    case '1':
      pop_to_mark();
      return;
    case '2':
      if (stack_.size() >= kMaxValues) refuse("more than 300,000 values");
      push(top());
      return;
    case 'N':
      push(Kind::kNone);
      return;
    case 0x88:  // NEWTRUE
      return push_int(1, Kind::kBool);
    case 0x89:  // NEWFALSE
      return push_int(0, Kind::kBool);
    case 'J':
      return push_int(reader_.number<int32_t>());
    case 'K':
      return push_int(reader_.number<uint8_t>());
    case 'M':
      return push_int(reader_.number<uint16_t>());
    case 0x8a:  // LONG1
      return push_long(reader_.number<uint8_t>());
    case 0x8b:  // LONG4
      return push_long(reader_.number<uint32_t>());
    case 0x8f:  // EMPTY_SET
      push(Kind::kOther);
      return;
    case 0x90:  // ADDITEMS
      pop_to_mark();
      return;
    case 0x91:  // FROZENSET
      pop_to_mark();
      push(Kind::kOther);
      return;
    case 0x96:  // BYTEARRAY8
      return push_text(reader_.number<uint64_t>());
    case 0x92:  // NEWOBJ_EX
      pop();    // keyword arguments
      return call();
    case 'G':
      return push_float();
    case 'X':
    case 'T':
    case 'B':
      return push_text(reader_.number<uint32_t>());
    case 0x8c:  // SHORT_BINUNICODE
    case 'U':
    case 'C':
      return push_text(reader_.number<uint8_t>());
    case 0x8d:  // BINUNICODE8
    case 0x8e:  // BINBYTES8
      return push_text(reader_.number<uint64_t>());
    case '}':
      push(Kind::kDict);
      return;
    case ']':
      push(Kind::kList);
      return;
    case ')':
      push(Kind::kTuple);
      return;
    case 't':
      return push_all(Kind::kTuple, pop_to_mark());
    case 'l':
      return push_all(Kind::kList, pop_to_mark());
    case 'd':
      return push_all(Kind::kDict, pop_to_mark());
    case 0x85:  // TUPLE1, 2, 3
    case 0x86:
    case 0x87:
      return push_all(Kind::kTuple, pop_some(code - 0x84u));
    case 'a':
      return add(Kind::kList, pop_some(1));
    case 'e':
      return add(Kind::kList, pop_to_mark());
    case 's':
      return add(Kind::kDict, pop_some(2));
    case 'u':
      return add(Kind::kDict, pop_to_mark());
    case 'q':
      return remember(reader_.number<uint8_t>());
    case 'r':
      return remember(reader_.number<uint32_t>());
    case 0x94:  // MEMOIZE
      return remember(memo_.size());
    case 'h':
      return recall(reader_.number<uint8_t>());
    case 'j':
      return recall(reader_.number<uint32_t>());
    case 'c':
      return push_global();
    case 0x93:  // STACK_GLOBAL
      return push_stack_global();
    case 'Q':
      return push_persistent();
    case 'R':
    case 0x81:  // NEWOBJ
      return call();
    case 'b':
      return build();
    default:
      refuse("code " + std::to_string(code) + ", which PyTorch does not write");
  }
}

Pickle::Pickle(std::span<const std::byte> bytes, std::string_view where) {
  PickleReader(*this, bytes, where).run();
}

}  // namespace opencloc
