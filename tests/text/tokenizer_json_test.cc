#include "opencloc/text/tokenizer_json.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/text/bpe_vocabulary.h"
#include "opencloc/text/clip_bpe.h"
#include "tests/base/temp_folder.h"
#include "tests/error_of.h"
#include "tests/text/small_vocabulary.h"

namespace opencloc {
namespace {

using fixtures::error_of;
using fixtures::TestFolder;
using ::testing::HasSubstr;

// The small vocabulary as the `tokenizers` library writes it; merges as pairs or as texts.
Json small_tokenizer_json(bool pairs) {
  const BpeVocabulary vocabulary = parse_bpe_merges({"small", small_merges()});
  Json vocab = Json::object(), merges = Json::array();
  for (const auto& [symbol, id] : vocabulary.ids) {
    if (!symbol.starts_with("<|")) vocab[symbol] = id;
  }
  for (const auto& [left, right] : vocabulary.merges)
    merges.push_back(pairs ? Json::array({left, right}) : Json(left + ' ' + right));
  Json added = Json::array();
  for (const char* name : {"<|startoftext|>", "<|endoftext|>"})
    added.push_back({{"id", vocabulary.ids.at(name)}, {"content", name}, {"special", true}});
  return {
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "Lowercase"}}}}}},
      {"model",
       {{"type", "BPE"}, {"end_of_word_suffix", "</w>"}, {"vocab", vocab}, {"merges", merges}}}};
}

TEST(TokenizerJson, AloneInAFolderGivesTheSameIds) {
  const ClipBpe wanted(parse_bpe_merges({"small", small_merges()}), {}, "small");
  for (const bool pairs : {false, true}) {
    const TestFolder folder;
    write_file(folder / "tokenizer.json", dump_json(small_tokenizer_json(pairs)));
    for (const auto& path : {folder.path(), folder / "tokenizer.json"}) {
      const auto found = load_tokenizer(path);
      EXPECT_EQ(found->encode("Lower lo aaaa!"), wanted.encode("Lower lo aaaa!"));
      EXPECT_EQ(found->end_id(), wanted.end_id());
      EXPECT_EQ(found->start_id(), wanted.start_id());
    }
    // Written beside a model it stands alone, in the files more programs read as well.
    std::filesystem::create_directories(folder / "out");
    save_tokenizer(*load_tokenizer(folder.path()), folder / "out");
    EXPECT_TRUE(std::filesystem::exists(folder / "out/merges.txt"));
    EXPECT_EQ(load_tokenizer(folder / "out")->encode("lower"), wanted.encode("lower"));
  }
}

TEST(TokenizerJson, OtherTokenizersAreRefused) {
  const TestFolder folder;
  const auto path = folder / "tokenizer.json";
  const auto error = [&](const Json& json) {
    write_file(path, dump_json(json));
    return error_of([&] { load_tokenizer(path); });
  };
  Json json = small_tokenizer_json(false);
  json["normalizer"] = {{"type", "NFC"}};
  EXPECT_THAT(error(json), HasSubstr("lower case"));
  json = small_tokenizer_json(false);
  json["model"]["type"] = "Unigram";
  EXPECT_THAT(error(json), HasSubstr("no BPE"));
  json["model"]["type"] = "BPE";
  json["model"].erase("end_of_word_suffix");  // GPT-2's
  EXPECT_THAT(error(json), HasSubstr("no BPE"));
  json = small_tokenizer_json(false);
  json["model"]["merges"][0] = "a b c";
  EXPECT_THAT(error(json), HasSubstr("no pair"));
  json["model"]["merges"] = "none";
  EXPECT_THAT(error(json), HasSubstr("merges are missing"));
  EXPECT_THAT(error(Json::array()), HasSubstr("no BPE"));
  EXPECT_FALSE(is_clip_tokenizer_json(path));
  EXPECT_FALSE(is_clip_tokenizer_json(folder / "absent.json"));
}

}  // namespace
}  // namespace opencloc
