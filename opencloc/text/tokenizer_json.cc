#include "opencloc/text/tokenizer_json.h"

#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/not_fetched.h"
#include "opencloc/text/clip_bpe.h"

namespace opencloc {
namespace {

constexpr uint64_t kMaxJsonBytes = uint64_t{256} << 20;
constexpr const char* kWordEndSuffix = "</w>";
constexpr const char* kJsonMend =
    "put the tokenizer's vocab.json and merges.txt, or its spiece.model, beside the model";

std::string read_whole(const std::filesystem::path& path) {
  std::string bytes = read_file(path, kMaxJsonBytes);
  require_fetched(std::string_view(bytes).substr(0, 256), path);
  return bytes;
}

// The member, or null.
SortedJson json_member(const SortedJson& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? SortedJson(nullptr) : *found;
}

// Older files leave "type" out: what has merges is a BPE.
void require_clip_bpe(const SortedJson& model, const std::string& where) {
  const SortedJson type = json_member(model, "type");
  const bool bpe = model.is_object() && (type.is_null() || type == "BPE");
  if (!bpe || json_member(model, "end_of_word_suffix") != kWordEndSuffix) {
    throw Error::input("holds no BPE whose words end with \"</w>\", as CLIP's do", where,
                       kJsonMend);
  }
  if (!json_member(model, "vocab").is_object() || !json_member(model, "merges").is_array())
    throw Error::input("vocab or merges are missing", where, "get the file again");
}

// "a b" in older files, ["a", "b"] in newer ones.
std::pair<std::string, std::string> merge_of(const SortedJson& merge, const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  const std::string text = merge.is_string() ? merge.get<std::string>() : "";
  const size_t blank = text.find(' ');
  if (blank == std::string::npos || blank == 0 || blank + 1 == text.size() ||
      text.find(' ', blank + 1) != std::string::npos) {
    throw Error::input("a merge is no pair of symbols", where, "get the file again");
  }
  return {text.substr(0, blank), text.substr(blank + 1)};
}

// CLIP's texts are in lower case; a normalizer that is there and does not say so is another's.
void require_lower_case(const SortedJson& tokenizer, const std::string& where) {
  const SortedJson normalizer = json_member(tokenizer, "normalizer");
  if (normalizer.is_null() || normalizer.dump().find("Lowercase") != std::string::npos) return;
  throw Error::input("its normalizer does not make texts lower case, as CLIP's does", where,
                     kJsonMend);
}

}  // namespace

bool is_clip_tokenizer_json(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return false;
  const std::string text = read_whole(path);
  constexpr std::string_view kKey = "\"end_of_word_suffix\"";
  size_t at = text.find(kKey);
  if (at == std::string::npos) return false;
  at = text.find_first_not_of(" \t\r\n:", at + kKey.size());
  return at != std::string::npos && text.substr(at, 6) == "\"</w>\"";
}

std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::filesystem::path& path) {
  const std::string where = path.string();
  std::string bytes = read_whole(path);
  const SortedJson json = parse_sorted_json(bytes, where);
  const SortedJson model = json_member(json, "model");
  require_clip_bpe(model, where);
  require_lower_case(json, where);
  SortedJson ids = model["vocab"];
  for (const SortedJson& token : json_member(json, "added_tokens")) {
    const SortedJson content = json_member(token, "content"), id = json_member(token, "id");
    if (content.is_string() && id.is_number_integer()) ids[content.get<std::string>()] = id;
  }
  std::vector<std::pair<std::string, std::string>> merges;
  for (const SortedJson& merge : model["merges"]) merges.push_back(merge_of(merge, where));
  const std::string vocab = ids.dump(), text = merges_text(merges);
  const BpeVocabulary vocabulary = parse_bpe_vocabulary({where, vocab}, {where, text});
  std::vector<TokenizerFile> files = {
      {"vocab.json", vocab}, {"merges.txt", text}, {"tokenizer.json", std::move(bytes)}};
  return std::make_shared<ClipBpe>(vocabulary, std::move(files), where);
}

}  // namespace opencloc
