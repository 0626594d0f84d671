#include <algorithm>
#include <system_error>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/not_fetched.h"
#include "opencloc/text/bpe_vocabulary.h"
#include "opencloc/text/clip_bpe.h"
#include "opencloc/text/sentence_piece.h"
#include "opencloc/text/sentence_piece_json.h"
#include "opencloc/text/tokenizer.h"
#include "opencloc/text/tokenizer_json.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

std::string read(const fs::path& path) {
  std::string bytes = read_file(path, kMaxFileBytes);
  require_fetched(std::string_view(bytes).substr(0, 256), path);
  return bytes;
}

// Name of the file in a model directory, content, and (in messages) where it lies.
TokenizerFile read_as(const fs::path& path, std::string name) {
  return {std::move(name), read(path)};
}

// transformers' tokenizer_config.json beside the model says what is done to a text before.
std::shared_ptr<const Tokenizer> load_sentence_piece(const fs::path& model) {
  SentencePieceOptions options;
  const fs::path config = model.parent_path() / "tokenizer_config.json";
  if (fs::exists(config)) {
    options.config = read(config);
    const Json json = parse_json(options.config, config.string());
    if (is_transformers_copy(json)) options.config.clear();
    options.siglip =
        json.is_object() &&
        json_string(json, "tokenizer_class", config.string(), "").starts_with("SiglipTokenizer");
  }
  return std::make_shared<SentencePieceTokenizer>(read(model), model.string(), options);
}

std::shared_ptr<const Tokenizer> load_bpe_pair(const fs::path& vocab, const fs::path& merges) {
  std::vector<TokenizerFile> files = {read_as(vocab, "vocab.json"), read_as(merges, "merges.txt")};
  const BpeVocabulary vocabulary =
      parse_bpe_vocabulary({vocab.string(), files[0].bytes}, {merges.string(), files[1].bytes});
  return std::make_shared<ClipBpe>(vocabulary, std::move(files), vocab.string());
}

std::shared_ptr<const Tokenizer> load_bpe_merges(const fs::path& merges) {
  std::vector<TokenizerFile> files = {read_as(merges, merges.filename().string())};
  const BpeVocabulary vocabulary = parse_bpe_merges({merges.string(), files[0].bytes});
  return std::make_shared<ClipBpe>(vocabulary, std::move(files), merges.string());
}

bool is_bpe_merges(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with("bpe_simple_vocab") && (name.ends_with(".txt") || name.ends_with(".gz"));
}

std::shared_ptr<const Tokenizer> load_from_folder(const fs::path& folder) {
  for (const char* name : {"tokenizer.model", "spiece.model"}) {
    if (fs::exists(folder / name)) return load_sentence_piece(folder / name);
  }
  std::vector<fs::path> models;
  std::vector<fs::path> merges;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".model") models.push_back(entry.path());
    if (is_bpe_merges(entry.path())) merges.push_back(entry.path());
  }
  std::ranges::sort(merges);
  if (models.size() == 1) return load_sentence_piece(models[0]);
  if (models.size() > 1) {
    throw Error::input("more than one *.model", folder.string(), "name the tokenizer's file");
  }
  if (fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt")) {
    return load_bpe_pair(folder / "vocab.json", folder / "merges.txt");
  }
  if (is_clip_tokenizer_json(folder / "tokenizer.json"))
    return load_tokenizer_json(folder / "tokenizer.json");
  if (!merges.empty()) return load_bpe_merges(merges[0]);
  if (fs::exists(folder / "tokenizer.json")) return load_tokenizer_json(folder / "tokenizer.json");
  throw Error::input("no tokenizer in the folder", folder.string(),
                     "it needs tokenizer.model, vocab.json + merges.txt, tokenizer.json, or "
                     "bpe_simple_vocab*.txt");
}

}  // namespace

std::shared_ptr<const Tokenizer> load_tokenizer(const fs::path& path) {
  std::error_code ignored;  // a path that cannot be looked at is read below, which says why
  if (fs::is_directory(path, ignored)) return load_from_folder(path);
  const std::string name = path.filename().string();
  if (name == "vocab.json") return load_bpe_pair(path, path.parent_path() / "merges.txt");
  if (name == "merges.txt") return load_bpe_pair(path.parent_path() / "vocab.json", path);
  if (path.extension() == ".json") return load_tokenizer_json(path);
  if (path.extension() == ".model") return load_sentence_piece(path);
  if (path.extension() == ".txt" || path.extension() == ".gz") return load_bpe_merges(path);
  throw Error::input(
      "not a tokenizer's file name", path.string(),
      "give a *.model, vocab.json, merges.txt, tokenizer.json, or bpe_simple_vocab*.txt");
}

}  // namespace opencloc
