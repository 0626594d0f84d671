#include "opencloc/data/import/yolo_names.h"

#include <charconv>
#include <optional>

#include <yaml.h>

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// A YAML file, parsed. Throws Error (input).
class Yaml {
 public:
  explicit Yaml(const fs::path& path) {
    const std::string text = read_text(path);
    require_utf8(text, path.string());
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) throw Error::failed("no memory to read YAML");
    yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
    const bool ok = yaml_parser_load(&parser, &document_) != 0;
    const std::string problem = ok || parser.problem == nullptr ? "" : parser.problem;
    const size_t line = parser.problem_mark.line + 1;
    yaml_parser_delete(&parser);
    if (!ok) {
      throw Error::input("invalid YAML (" + problem + ")",
                         path.string() + ":" + std::to_string(line), "correct the file");
    }
  }
  ~Yaml() { yaml_document_delete(&document_); }
  Yaml(const Yaml&) = delete;
  Yaml& operator=(const Yaml&) = delete;

  yaml_node_t* node(int index) { return yaml_document_get_node(&document_, index); }
  // The value of a key of the root; null when there is none.
  const yaml_node_t* value(std::string_view key) {
    const yaml_node_t* root = yaml_document_get_root_node(&document_);
    if (root == nullptr || root->type != YAML_MAPPING_NODE) return nullptr;
    for (auto* p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; ++p) {
      if (text(node(p->key)) == key) return node(p->value);
    }
    return nullptr;
  }
  static std::string text(const yaml_node_t* node) {
    if (node == nullptr || node->type != YAML_SCALAR_NODE) return {};
    return {reinterpret_cast<const char*>(node->data.scalar.value), node->data.scalar.length};
  }
  std::vector<std::string> list(const yaml_node_t* node) {
    std::vector<std::string> items;
    if (node == nullptr || node->type != YAML_SEQUENCE_NODE) return items;
    for (auto* i = node->data.sequence.items.start; i < node->data.sequence.items.top; ++i) {
      items.push_back(text(this->node(*i)));
    }
    return items;
  }

 private:
  yaml_document_t document_{};
};

std::optional<size_t> small_number(const std::string& text) {
  size_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool good = read.ec == std::errc() && read.ptr == text.data() + text.size();
  return good && number <= 1'000'000 ? std::optional(number) : std::nullopt;
}

// A line a name. An empty line between others is a class without a name: darknet counts it, too.
std::vector<std::string> names_of_list(const fs::path& path) {
  std::vector<std::string> names;
  for (const auto& line : read_text_lines(path)) names.emplace_back(trimmed(line));
  while (!names.empty() && names.back().empty()) names.pop_back();
  if (names.empty()) throw Error::input("no class names in the file", path.string(), "one a line");
  return names;
}

// A file that another names, as people move them: as it stands, beside that one, or above it.
fs::path find_named_file(const std::string& said, const fs::path& by) {
  std::string plain = said;
  for (char& c : plain) c = c == '\\' ? '/' : c;
  const fs::path folder = by.parent_path();
  for (const fs::path& path : {folder / plain, folder / fs::path(plain).filename(),
                               folder.parent_path() / plain, fs::path(plain)}) {
    std::error_code ec;
    if (fs::is_regular_file(path, ec)) return path;
  }
  throw Error::input("the list of names '" + said + "' is not there", by.string(),
                     "name the list itself with the setting 'annotations'");
}

// `names:` as a list ([a, b]), a map ({0: a, 1: b}) or the path of a list.
std::vector<std::string> names_of_yaml(Yaml& yaml, const fs::path& path) {
  const yaml_node_t* node = yaml.value("names");
  std::vector<std::string> names = yaml.list(node);
  if (node != nullptr && node->type == YAML_SCALAR_NODE && !Yaml::text(node).empty()) {
    return names_of_list(find_named_file(Yaml::text(node), path));
  }
  if (node != nullptr && node->type == YAML_MAPPING_NODE) {
    for (auto* p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; ++p) {
      const std::string key = Yaml::text(yaml.node(p->key));
      const auto index = small_number(key);
      if (!index) {
        throw Error::input("'names' has the key '" + key + "', not a class number", path.string(),
                           "correct the file");
      }
      if (names.size() <= *index) names.resize(*index + 1);
      names[*index] = Yaml::text(yaml.node(p->value));
    }
  }
  if (names.empty()) {
    throw Error::input("no class names in the file", path.string(), "give it names: [a, b, ...]");
  }
  return names;
}

YoloNames from_yaml(const fs::path& path, SkipCounter& skips) {
  Yaml yaml(path);
  YoloNames result{path, names_of_yaml(yaml, path), {}};
  if (const yaml_node_t* shape = yaml.value("kpt_shape"); shape != nullptr) {
    const auto numbers = yaml.list(shape);
    const auto count = numbers.size() == 2 ? small_number(numbers[0]) : std::nullopt;
    const auto size = numbers.size() == 2 ? small_number(numbers[1]) : std::nullopt;
    if (!count || !size || *count == 0 || (*size != 2 && *size != 3)) {
      throw Error::input("'kpt_shape' is not [keypoints, 2 or 3]", path.string(),
                         "correct the file");
    }
    result.form = {*count, *size};
  }
  const auto nc = small_number(Yaml::text(yaml.value("nc")));
  if (nc && *nc != result.names.size()) {
    skips.note(
        "another number of classes than names", path.string(),
        "nc is " + std::to_string(*nc) + ", names are " + std::to_string(result.names.size()));
  }
  return result;
}

// "names = data/obj.names" among lines of "key = value"; empty when it is no such file.
std::string names_key_of_darknet(const fs::path& path) {
  std::string found;
  for (const auto& line : read_text_lines(path)) {
    const size_t equal = line.find('=');
    if (trimmed(line).empty() || trimmed(line).starts_with('#')) continue;
    if (equal == std::string::npos) return {};
    if (trimmed(std::string_view(line).substr(0, equal)) == "names") {
      found = std::string(trimmed(std::string_view(line).substr(equal + 1)));
    }
  }
  return found;
}

}  // namespace

YoloNames read_yolo_names(const fs::path& path, SkipCounter& skips) {
  if (path.extension() == ".yaml" || path.extension() == ".yml") return from_yaml(path, skips);
  const std::string darknet = names_key_of_darknet(path);
  if (!darknet.empty()) return {path, names_of_list(find_named_file(darknet, path)), {}};
  if (path.extension() == ".data") {
    throw Error::input("no 'names = FILE' in it", path.string(), "name obj.names instead");
  }
  return {path, names_of_list(path), {}};
}

}  // namespace opencloc
