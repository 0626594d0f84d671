#include "opencloc/checkpoint/layout/gguf_tokenizer.h"

#include <algorithm>
#include <unordered_map>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/text/clip_bpe.h"
#include "opencloc/text/sentence_piece.h"

namespace opencloc {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr const char* kSentencePiece = "opencloc.tokenizer.model";
constexpr std::string_view kWordEnd = "</w>";
constexpr size_t kMaxTokens = 1 << 20;
constexpr size_t kMaxTokenBytes = 512;

const std::vector<std::string_view>* strings(const GgufHeader& header, const char* key,
                                             const std::string& where) {
  const GgufValue* value = header.find(key);
  if (value == nullptr) return nullptr;
  if (value->kind != GgufKind::kArray || value->element != GgufKind::kString ||
      value->strings.size() > kMaxTokens) {
    throw Error::input(std::string("key '") + key + "' is no list of up to a million strings",
                       where, "get the file again");
  }
  return &value->strings;
}

// "red</w>" -> "r", "e", "d</w>".
std::vector<std::string> symbols_of(const std::string& token) {
  std::vector<std::string> symbols;
  const bool ends = token.ends_with(kWordEnd) && token.size() > kWordEnd.size();
  const size_t size = token.size() - (ends ? kWordEnd.size() : 0);
  for (size_t at = 0; at < size;) {
    size_t next = at + 1;
    while (next < size && (static_cast<uint8_t>(token[next]) & 0xc0) == 0x80) ++next;
    symbols.push_back(token.substr(at, next - at));
    at = next;
  }
  if (ends && !symbols.empty()) symbols.back() += kWordEnd;
  return symbols;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> merges_from_tokens(
    const std::vector<std::string>& tokens) {
  std::vector<std::pair<std::string, std::string>> merges;
  std::unordered_map<std::string, size_t> ranks;  // "LEFT RIGHT" -> place in merges
  for (const auto& token : tokens) {
    if (token.size() > kMaxTokenBytes || token.starts_with("<|")) continue;
    auto symbols = symbols_of(token);
    while (symbols.size() > 2) {
      size_t best = merges.size(), at = 0;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto found = ranks.find(symbols[i] + ' ' + symbols[i + 1]);
        if (found != ranks.end() && found->second < best) best = found->second, at = i;
      }
      if (best == merges.size()) break;
      symbols[at] += symbols[at + 1];
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    if (symbols.size() != 2) continue;
    if (ranks.emplace(symbols[0] + ' ' + symbols[1], merges.size()).second)
      merges.emplace_back(symbols[0], symbols[1]);
  }
  return merges;
}

std::shared_ptr<const Tokenizer> gguf_tokenizer(const GgufHeader& header,
                                                const std::string& where) {
  if (const GgufValue* model = header.find(kSentencePiece)) {
    if (model->kind != GgufKind::kArray || model->element != GgufKind::kU8) {
      throw Error::input(std::string("key '") + kSentencePiece + "' is no list of bytes", where,
                         "get the file again");
    }
    return std::make_shared<SentencePieceTokenizer>(std::string(model->bytes), where);
  }
  const auto* tokens = strings(header, kTokens, where);
  if (tokens == nullptr) return nullptr;
  Json ids = Json::object();
  std::vector<std::string> names;
  for (const auto token : *tokens) names.emplace_back(token);
  BpeVocabulary vocabulary;
  for (size_t id = 0; id < names.size(); ++id) vocabulary.ids[names[id]] = static_cast<int32_t>(id);
  if (const auto* merges = strings(header, kMerges, where)) {
    std::string text = "#version: 0.2\n";
    for (const auto merge : *merges) text += std::string(merge) + '\n';
    vocabulary.merges = parse_bpe_vocabulary({where, "{}"}, {where, text}).merges;
  } else {
    vocabulary.merges = merges_from_tokens(names);
  }
  // The pair of files that transformers has.
  std::string json = "{";
  for (size_t id = 0; id < names.size(); ++id)
    json += (id == 0 ? "" : ", ") + dump_json(names[id]) + ": " + std::to_string(id);
  std::vector<TokenizerFile> files = {{"vocab.json", json + "}"},
                                      {"merges.txt", merges_text(vocabulary.merges)}};
  return std::make_shared<ClipBpe>(vocabulary, std::move(files), where);
}

std::vector<std::pair<std::string, GgufOut>> gguf_tokenizer_keys(const Tokenizer& tokenizer) {
  const auto& files = tokenizer.files();
  const auto file = [&](const char* name) -> const TokenizerFile* {
    const auto found = std::ranges::find(files, name, &TokenizerFile::name);
    return found == files.end() ? nullptr : &*found;
  };
  if (files.size() == 1 && files[0].name.ends_with(".model")) {
    return {{kSentencePiece, std::vector<uint8_t>(files[0].bytes.begin(), files[0].bytes.end())}};
  }
  const auto* vocab = file("vocab.json");
  const auto* merges_file = file("merges.txt");
  const BpeVocabulary vocabulary = vocab != nullptr && merges_file != nullptr
                                       ? parse_bpe_vocabulary(*vocab, *merges_file)
                                       : parse_bpe_merges(files.at(0));
  std::vector<std::string> tokens(static_cast<size_t>(tokenizer.vocab_size()));
  for (const auto& [token, id] : vocabulary.ids) tokens.at(static_cast<size_t>(id)) = token;
  std::vector<std::string> merges;
  for (const auto& [left, right] : vocabulary.merges) merges.push_back(left + ' ' + right);
  return {{"tokenizer.ggml.model", std::string("gpt2")},
          {kTokens, tokens},
          {kMerges, merges},
          {"tokenizer.ggml.bos_token_id",
           static_cast<uint32_t>(tokenizer.start_id().value_or(tokenizer.end_id()))},
          {"tokenizer.ggml.eos_token_id", static_cast<uint32_t>(tokenizer.end_id())}};
}

}  // namespace opencloc
