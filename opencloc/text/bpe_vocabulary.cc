#include "opencloc/text/bpe_vocabulary.h"

#include <algorithm>
#include <array>

#include <unicode/utf8.h>
#include <zlib.h>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"

namespace opencloc {
namespace {

constexpr size_t kMaxMerges = 49152 - 256 - 2;  // what OpenAI's code reads of a longer file
constexpr size_t kMaxVocabularyBytes = size_t{256} << 20;  // of an unpacked vocabulary

std::string gunzip(const TokenizerFile& file) {
  z_stream stream = {};
  inflateInit2(&stream, 15 + 16);  // 16 = gzip only
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.bytes.data()));
  stream.avail_in = static_cast<uInt>(file.bytes.size());
  std::string out;
  std::array<char, 1 << 16> block = {};
  int result = Z_OK;
  while (result == Z_OK && out.size() < kMaxVocabularyBytes) {
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = block.size();
    result = inflate(&stream, Z_NO_FLUSH);
    out.append(block.data(), block.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END) {
    throw Error::input("the gzipped vocabulary is damaged or cut short", file.name,
                       "copy the file again");
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> parse_merges(std::string_view text,
                                                              std::string_view name) {
  std::vector<std::pair<std::string, std::string>> merges;
  size_t line_number = 0;
  for (size_t at = 0; at < text.size() && merges.size() < kMaxMerges;) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (++line_number == 1 || line.empty()) continue;  // the first line is a title
    const size_t blank = line.find(' ');
    if (blank == 0 || blank >= line.size() - 1 || line.find(' ', blank + 1) != line.npos) {
      throw Error::input("line " + std::to_string(line_number) + " is not a pair of symbols", name,
                         "give a CLIP merges file: a title, then two symbols a line");
    }
    merges.emplace_back(line.substr(0, blank), line.substr(blank + 1));
  }
  if (merges.empty()) {
    throw Error::input("no merges in the vocabulary", name,
                       "give a CLIP merges file: a title, then two symbols a line");
  }
  return merges;
}

bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

std::string utf8_of(int code) {
  std::string out;
  uint8_t bytes[U8_MAX_LENGTH];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, code);
  out.assign(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
  return out;
}

}  // namespace

std::vector<std::string> bpe_byte_symbols() {
  std::vector<std::string> symbols(256);
  int stand_in = 256;
  for (int byte = 0; byte < 256; ++byte) {
    symbols[static_cast<size_t>(byte)] = utf8_of(is_printable(byte) ? byte : stand_in++);
  }
  return symbols;
}

BpeVocabulary parse_bpe_merges(const TokenizerFile& merges) {
  const bool gzipped = merges.bytes.starts_with("\x1f\x8b");
  BpeVocabulary vocabulary;
  vocabulary.merges = parse_merges(gzipped ? gunzip(merges) : merges.bytes, merges.name);
  // Ids: the printable bytes, then the others; the same with "</w>"; the merges; start and end.
  const std::vector<std::string> bytes = bpe_byte_symbols();
  std::vector<std::string> order;
  for (const bool printable : {true, false}) {
    for (int byte = 0; byte < 256; ++byte) {
      if (is_printable(byte) == printable) order.push_back(bytes[static_cast<size_t>(byte)]);
    }
  }
  for (size_t i = 0; i < 256; ++i) order.push_back(order[i] + "</w>");
  for (const auto& [left, right] : vocabulary.merges) order.push_back(left + right);
  order.emplace_back("<|startoftext|>");
  order.emplace_back("<|endoftext|>");
  for (size_t id = 0; id < order.size(); ++id) {
    vocabulary.ids[order[id]] = static_cast<int32_t>(id);
  }
  return vocabulary;
}

BpeVocabulary parse_bpe_vocabulary(const TokenizerFile& vocab_json,
                                   const TokenizerFile& merges_txt) {
  BpeVocabulary vocabulary;
  vocabulary.merges = parse_merges(merges_txt.bytes, merges_txt.name);
  const SortedJson ids = parse_sorted_json(vocab_json.bytes, vocab_json.name);
  if (!ids.is_object()) {
    throw Error::input("not an object of symbols and ids", vocab_json.name,
                       "give a CLIP tokenizer's vocab.json");
  }
  constexpr int64_t kMaxId = 1 << 24;
  for (const auto& [symbol, id] : ids.items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > kMaxId) {
      throw Error::input("the id of '" + symbol + "' is not a small whole number", vocab_json.name,
                         "give a CLIP tokenizer's vocab.json");
    }
    vocabulary.ids[symbol] = id.get<int32_t>();
  }
  return vocabulary;
}

std::string merges_text(const std::vector<std::pair<std::string, std::string>>& merges) {
  std::string text = "#version: 0.2\n";
  for (const auto& [left, right] : merges) text += left + ' ' + right + '\n';
  return text;
}

std::vector<TokenizerFile> bpe_pair_files(const Tokenizer& tokenizer) {
  const auto& files = tokenizer.files();
  if (files.size() != 1 || !files[0].name.starts_with("bpe_simple_vocab")) return {};
  const BpeVocabulary vocabulary = parse_bpe_merges(files[0]);
  std::vector<std::pair<int32_t, std::string>> symbols;  // in the order of their ids
  for (const auto& [symbol, id] : vocabulary.ids) symbols.emplace_back(id, symbol);
  std::ranges::sort(symbols);
  std::string json = "{";
  for (const auto& [id, symbol] : symbols)
    json += (json.size() == 1 ? "" : ", ") + dump_json(symbol) + ": " + std::to_string(id);
  return {{"vocab.json", json + "}\n"}, {"merges.txt", merges_text(vocabulary.merges)}};
}

}  // namespace opencloc
