#include "opencloc/text/sentence_piece_json.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "opencloc/base/html.h"
#include "opencloc/base/protobuf.h"
#include "opencloc/text/sentence_piece_pieces.h"

namespace opencloc {
namespace {

constexpr const char* kModelFile = "tokenizer.model";
constexpr const char* kMarkKey = "opencloc_made_from";
constexpr const char* kBlank = "\u2581";

// What of a model's settings decides whether it can be written.
struct PieceSettings {
  bool bpe = false, plain = true;
  std::string_view characters;  // precompiled normalisation
};

// sentencepiece_model.proto: ModelProto.trainer_spec = 2, normalizer_spec = 3.
PieceSettings piece_settings(std::string_view model) {
  constexpr uint64_t kBpe = 2;
  PieceSettings settings;
  protobuf::Fields fields(model, {.where = kModelFile});
  for (protobuf::Field field; fields.next(field);) {
    protobuf::Fields inner(field.bytes, {.where = kModelFile});
    protobuf::Field part;
    while (field.number == 2 && inner.next(part)) {
      if (part.number == 3) settings.bpe = part.value == kBpe;  // model_type
      // treat_whitespace_as_suffix, split_digits, byte_fallback
      if (part.number == 24 || part.number == 25 || part.number == 35)
        settings.plain = settings.plain && part.value == 0;
    }
    while (field.number == 3 && inner.next(part)) {
      if (part.number == 2) settings.characters = part.bytes;
      // add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces
      if (part.number >= 3 && part.number <= 5) settings.plain = settings.plain && part.value == 1;
    }
  }
  return settings;
}

// Pairs of pieces in the order in which they are joined: by the score of what they make.
Json merges_of(const std::vector<SentencePiecePiece>& pieces) {
  std::unordered_map<std::string_view, int64_t> ids;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].kind == PieceKind::kNormal) ids.emplace(pieces[i].text, i);
  }
  std::vector<std::tuple<float, int64_t, int64_t>> merges;  // minus the score, left, right
  for (const auto& piece : pieces) {
    if (piece.kind != PieceKind::kNormal) continue;
    const std::string_view text = piece.text;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = ids.find(text.substr(0, cut)), right = ids.find(text.substr(cut));
      if (left != ids.end() && right != ids.end())
        merges.emplace_back(-piece.score, left->second, right->second);
    }
  }
  std::ranges::sort(merges);
  Json list = Json::array();
  for (const auto& [score, left, right] : merges) {
    list.push_back(
        {pieces[static_cast<size_t>(left)].text, pieces[static_cast<size_t>(right)].text});
  }
  return list;
}

// [start] text end
Json template_of(const std::vector<SentencePiecePiece>& pieces, const Tokenizer& tokenizer) {
  Json single = Json::array(), tokens = Json::object();
  const auto put = [&](int32_t id) {
    const std::string& text = pieces[static_cast<size_t>(id)].text;
    single.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
    tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
  };
  if (const auto start = tokenizer.start_id()) put(*start);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  put(tokenizer.end_id());
  Json pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 0}}}});
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(tokens)}};
}

Json blanks_json() {
  return {{"type", "Metaspace"},
          {"replacement", kBlank},
          {"prepend_scheme", "always"},
          {"split", true}};
}

Json tokenizer_json(const std::vector<SentencePiecePiece>& pieces, std::string_view characters,
                    const Tokenizer& tokenizer, const std::string& unknown) {
  Json added = Json::array(), vocabulary = Json::object();
  for (size_t i = 0; i < pieces.size(); ++i) {
    vocabulary[pieces[i].text] = i;
    if (pieces[i].kind == PieceKind::kNormal) continue;
    added.push_back({{"id", i},
                     {"content", pieces[i].text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  Json normalizers = Json::array();
  normalizers.push_back({{"type", "Lowercase"}});
  if (!characters.empty())
    normalizers.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", base64(characters)}});
  normalizers.push_back({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
  normalizers.push_back(
      {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", kBlank}});
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", unknown},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", true},
                {"byte_fallback", false},
                {"ignore_merges", false},
                {"vocab", std::move(vocabulary)},
                {"merges", merges_of(pieces)}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}}},
          {"pre_tokenizer", blanks_json()},
          {"post_processor", template_of(pieces, tokenizer)},
          {"decoder", blanks_json()},
          {"model", std::move(model)}};
}

}  // namespace

std::vector<TokenizerFile> transformers_tokenizer_files(const Tokenizer& tokenizer) {
  const auto& files = tokenizer.files();
  if (files.size() != 1 || files[0].name != kModelFile) return {};
  const PieceSettings settings = piece_settings(files[0].bytes);
  if (!settings.bpe || !settings.plain) return {};
  const auto pieces = sentence_piece_pieces(files[0].bytes, kModelFile);
  std::string unknown;
  for (const auto& piece : pieces) {
    if (piece.kind == PieceKind::kUnknown) unknown = piece.text;
    if (piece.kind != PieceKind::kNormal && piece.kind != PieceKind::kUnknown &&
        piece.kind != PieceKind::kControl)
      return {};
  }
  if (unknown.empty()) return {};
  const auto text_of = [&](int32_t id) { return pieces[static_cast<size_t>(id)].text; };
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"eos_token", text_of(tokenizer.end_id())},
                 {"pad_token", text_of(tokenizer.pad_id())},
                 {"unk_token", unknown},
                 {kMarkKey, kModelFile}};
  if (const auto start = tokenizer.start_id()) config["bos_token"] = text_of(*start);
  return {{"tokenizer.json",
           dump_json(tokenizer_json(pieces, settings.characters, tokenizer, unknown)) + '\n'},
          {"tokenizer_config.json", dump_json(config, 2) + '\n'}};
}

bool is_transformers_copy(const Json& tokenizer_config) {
  return tokenizer_config.is_object() && tokenizer_config.contains(kMarkKey);
}

}  // namespace opencloc
