#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/data/entities/classes.h"
#include "opencloc/data/entities/entity_base.h"
#include "opencloc/data/entities/make_entities.h"
#include "opencloc/data/scenes/alias_text.h"
#include "opencloc/data/scenes/scenes.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/text/clean_text.h"
#include "tests/data/tar_maker.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Entities : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& bytes) { write_file(folder_ / name, bytes); }
  MadeEntities make(const std::string& format, const std::string& source = "in") {
    MakeEntitiesOptions options;
    options.format = format;
    options.source = folder_ / source;
    options.wordnet = wordnet_;
    return make_entities(options, folder_ / "out");
  }
  std::string problem(const std::string& format, const std::string& source = "in") {
    const std::string error = fixtures::error_of([&] { make(format, source); });
    EXPECT_FALSE(fs::exists(folder_ / "out")) << "half a base is left";
    return error;
  }
  static std::vector<std::string> ids_of(const EntityBase& base, std::string_view alias) {
    std::vector<std::string> ids;
    for (const auto& one : base.find(alias)) ids.emplace_back(base[one.entity].id);
    return ids;
  }
  void put_wordnet() {
    put("in/data.noun",
        "  1 licence text\n"
        "02330245 05 n 01 mouse 0 001 @ 02329401 n 0000 | any of numerous small rodents  \n"
        "03793489 06 n 02 mouse 4 computer_mouse 0 000 | a hand-operated electronic device  \n"
        "09762509 15 n 02 Rome 0 Eternal_City 0 000 | capital of Italy\n"
        "02374451 05 n 01 horse 0 000 | solid-hoofed quadruped\n");
    put("in/index.noun",
        "  1 licence text\n"
        "computer_mouse n 1 1 @ 1 0 03793489  \n"
        "eternal_city n 1 0 1 0 09762509\n"
        "horse n 1 1 @ 1 1 02374451\n"
        "mouse n 2 3 @ ~ + 2 1 02330245 03793489  \n"
        "rome n 1 0 1 0 09762509\n");
    put("in/cntlist.rev", "mouse%1:05:00:: 1 6\nmouse%2:05:00:: 1 50\n");
    put("in/noun.exc", "mice mouse\nlice louse\n");
  }
  TempFolder folder_;
  fs::path wordnet_;
};

constexpr const char* kHeader = "id\tname\ttype\tpopularity\tdescription\n";

TEST_F(Entities, WordNetsSensesKeepTheirOrderAndCounts) {
  put_wordnet();
  const MadeEntities made = make("wordnet");
  EXPECT_EQ(made.entities, 4);
  const EntityBase base(folder_ / "out");
  EXPECT_THAT(ids_of(base, "mouse"), ElementsAre("02330245", "03793489"));
  // (6 + 1) / (6 + 1 + 1 / 2)
  EXPECT_NEAR(base.find("mouse")[0].prior, 7 / 7.5, 1e-5);
  EXPECT_THAT(ids_of(base, "mice"), ElementsAre("02330245", "03793489"));
  EXPECT_THAT(ids_of(base, "computer mouse"), ElementsAre("03793489"));
  EXPECT_THAT(ids_of(base, "Eternal City"), ElementsAre("09762509"));
  EXPECT_THAT(ids_of(base, "eternal city"), ElementsAre());
  EXPECT_THAT(ids_of(base, "lice"), ElementsAre());
  const auto& rome = base[*base.row_of("09762509")];
  EXPECT_EQ(rome.name, "Rome");
  EXPECT_EQ(rome.type, "noun.location");
  EXPECT_EQ(rome.description, "capital of Italy");
  EXPECT_EQ(base.row_of("1"), std::nullopt);
  const Json about = read_json(folder_ / "out" / kEntitiesAbout);
  EXPECT_EQ(about["format"], "wordnet");
  EXPECT_EQ(about["entities"], 4);
  EXPECT_EQ(about["sha256"][kEntitiesTable],
            sha256_hex(read_file(folder_ / "out" / kEntitiesTable)));
}

TEST_F(Entities, BrokenWordNetIsNamedByLine) {
  EXPECT_THAT(problem("wordnet"), HasSubstr("wordnet-base"));
  put_wordnet();
  put("in/index.noun", "mouse n 2 0 2 1 02330245 11111111\n");
  EXPECT_THAT(problem("wordnet"), HasSubstr("index.noun line 1"));
  put("in/data.noun", "02330245 05 n 09 mouse 0 | too few words\n");
  EXPECT_THAT(problem("wordnet"), HasSubstr("data.noun line 1"));
  put("in/data.noun", "02330245 33 v 01 run 0 | a verb\n");
  EXPECT_THAT(problem("wordnet"), HasSubstr("noun"));
}

TEST_F(Entities, TablesComeBackAsTheyWere) {
  put("in/entities.tsv",
      std::string(kHeader) + "Q1\ta\\tb\tkind\t3\tline\\none \\\\ two\nQ2\tcat\t\t1\t\n");
  put("in/aliases.tsv",
      "alias\tid\tprior\ntom\tQ1\t\ntom\tQ2\t\nkitty\tQ2\t0.5\nkitty\tQ1\t0.25\n");
  make("tsv");
  const EntityBase base(folder_ / "out");
  EXPECT_EQ(base[0].name, "a\tb");
  EXPECT_EQ(base[0].description, "line\none \\ two");
  EXPECT_EQ(read_file(folder_ / "out" / kEntitiesTable), read_file(folder_ / "in/entities.tsv"));
  // By popularity where no prior is given, else by the priors' shares.
  EXPECT_THAT(ids_of(base, "tom"), ElementsAre("Q1", "Q2"));
  EXPECT_NEAR(base.find("tom")[0].prior, 0.75, 1e-6);
  EXPECT_THAT(ids_of(base, "kitty"), ElementsAre("Q2", "Q1"));
  EXPECT_NEAR(base.find("kitty")[0].prior, 2.0 / 3, 1e-6);
}

TEST_F(Entities, BadTablesAreNamedByFileAndLine) {
  const std::string good = std::string(kHeader) + "Q1\tdog\t\t\t\nQ2\tcat\t\t\t\n";
  const auto with = [&](const std::string& entities, const std::string& aliases) {
    put("in/entities.tsv", entities);
    put("in/aliases.tsv", aliases);
    return problem("tsv");
  };
  EXPECT_THAT(with(good, "alias\tid\ndog\tQ1\ncat Q2\n"), HasSubstr("aliases.tsv line 3"));
  EXPECT_THAT(with(good, "alias\tid\ndog\tQ1\n"), HasSubstr("'Q2' has no alias, "));
  EXPECT_THAT(with(good, "alias\tid\ndog\tQ1\n"), HasSubstr("entities.tsv line 3"));
  EXPECT_THAT(with(good, "alias\tid\ndog\tQ7\n"), HasSubstr("no entity 'Q7'"));
  EXPECT_THAT(with(good + "Q1\tagain\t\t\t\n", "alias\tid\ndog\tQ1\n"),
              AllOf(HasSubstr("'Q1' is there twice"), HasSubstr("line 4")));
  EXPECT_THAT(with(good, "alias\tid\tprior\ndog\tQ1\t1.5\n"), HasSubstr("above 1"));
  EXPECT_THAT(with(good, "alias\tid\tprior\ndog\tQ1\tx\n"), HasSubstr("'x'"));
  EXPECT_THAT(with("Q1\tdog\n", "alias\tid\ndog\tQ1\n"), HasSubstr("no column 'id'"));
  EXPECT_THAT(with(std::string(kHeader) + "Q1\tdog\t\tmany\t\n", "alias\tid\ndog\tQ1\n"),
              HasSubstr("popularity 'many'"));
  EXPECT_THAT(with(std::string(kHeader) + "Q1\t\t\t\t\n", "alias\tid\ndog\tQ1\n"),
              HasSubstr("no name"));
  EXPECT_THAT(with(good, "alias\tid\nd\\og\tQ1\n"), HasSubstr("backslash"));
  EXPECT_THAT(with(good, "alias\tid\nd\xffog\tQ1\n"), HasSubstr("aliases.tsv"));
}

TEST_F(Entities, ADamagedBaseIsNoBase) {
  put("in/entities.tsv", std::string(kHeader) + "Q1\tdog\t\t\t\n");
  put("in/aliases.tsv", "alias\tid\ndog\tQ1\n");
  make("tsv");
  const auto error = [&] { return fixtures::error_of([&] { EntityBase(folder_ / "out"); }); };
  put("out/entities.tsv", std::string(kHeader) + "Q1\tdog\t\t\t\nQ1\tcat\t\t\t\n");
  EXPECT_THAT(error(), HasSubstr("twice"));
  put("out/entities.tsv", std::string(kHeader) + "Q1\tdog\t\t\t\nQ2\tcat\t\t\t\n");
  EXPECT_THAT(error(), HasSubstr("'Q2' has no alias"));
  put("out/aliases.tsv", "alias\tid\ndog\n");
  EXPECT_THAT(error(), HasSubstr("aliases.tsv line 2"));
  put("out/entities.json", "{\"format_version\": 9}");
  EXPECT_THAT(error(), HasSubstr("another version"));
  fs::remove(folder_ / "out" / "entities.json");
  EXPECT_THAT(error(), HasSubstr("opencloc data entities"));
}

TEST_F(Entities, SpacysFiles) {
  put("in/entities.jsonl",
      "{\"id\": \"a1\", \"name\": \"Machine learning\", \"description\": \"a field\"}\n"
      "{\"id\": 7, \"name\": \"ML\"}\n");
  put("in/aliases.jsonl",
      "{\"alias\": \"ML\", \"entities\": [\"a1\", 7], \"probabilities\": [0.9, 0.1]}\n");
  make("spacy");
  const EntityBase base(folder_ / "out");
  EXPECT_THAT(ids_of(base, "ML"), ElementsAre("a1", "7"));
  EXPECT_NEAR(base.find("ML")[0].prior, 0.9, 1e-6);
  fs::remove_all(folder_ / "out");
  put("in/aliases.jsonl", "{\"alias\": \"ML\", \"entities\": [\"a1\", 8]}\n");
  EXPECT_THAT(problem("spacy"), AllOf(HasSubstr("aliases.jsonl line 1"), HasSubstr("'8'")));
  put("pairs.csv", "WD_id|alias\nQ144|dog\nQ144|hound\nQ146|cat\n");
  EXPECT_EQ(make("spacy", "pairs.csv").aliases, 3);
  EXPECT_EQ(EntityBase(folder_ / "out")[0].name, "dog");
  fs::remove_all(folder_ / "out");
  put("pairs.csv", "Q144|dog\nQ146 cat\n");
  EXPECT_THAT(problem("spacy", "pairs.csv"), HasSubstr("pairs.csv line 2"));
}

TEST_F(Entities, WikidatasDumpALineAnEntity) {
  put("in",
      "[\n"
      "{\"type\":\"item\",\"id\":\"Q144\",\"labels\":{\"en\":{\"value\":\"dog\"}},"
      "\"descriptions\":{\"en\":{\"value\":\"domestic animal\"}},"
      "\"aliases\":{\"en\":[{\"value\":\"hound\"},{\"value\":\"dog\"}]},"
      "\"claims\":{\"P31\":[{\"mainsnak\":{\"datavalue\":{\"value\":{\"id\":\"Q55983715\"}}}}]},"
      "\"sitelinks\":{\"enwiki\":{},\"dewiki\":{}}},\n"
      "{\"type\":\"property\",\"id\":\"P31\",\"labels\":{}},\n"
      "{\"type\":\"item\",\"id\":\"Q2\",\"labels\":{\"de\":{\"value\":\"Erde\"}}}\n]\n");
  const MadeEntities made = make("wikidata");
  EXPECT_EQ(made.entities, 1);
  EXPECT_EQ(made.aliases, 2);
  EXPECT_EQ(made.left_out.at("no items"), 1);
  EXPECT_EQ(made.left_out.at("without a name in the language"), 1);
  const EntityBase base(folder_ / "out");
  EXPECT_EQ(base[0].type, "Q55983715");
  EXPECT_EQ(base[0].popularity, 2);
  fs::remove_all(folder_ / "out");
  put("in", "[\n{\"id\": \"Q1\"\n");
  EXPECT_THAT(problem("wikidata"), HasSubstr("line 2"));
  put("in", "[\n]\n");
  EXPECT_THAT(problem("wikidata"), HasSubstr("no entity"));
}

constexpr const char* kEmoji =
    "# group: Animals & Nature\n# subgroup: animal-mammal\n"
    "1F401 ; fully-qualified # x E1.0 mouse\n"
    "1F42D ; fully-qualified # x E1.0 mouse face\n"
    "1F40E ; fully-qualified # x E1.0 horse\n"
    "# group: Objects\n# subgroup: computer\n"
    "1F5B1 ; fully-qualified # x E1.0 computer mouse\n";

TEST_F(Entities, EmojiTakeWordNetsWordsForTheSameKindOfThing) {
  put_wordnet();
  put("emoji.txt", kEmoji);
  wordnet_ = folder_ / "in";
  make("emoji", "emoji.txt");
  const EntityBase base(folder_ / "out");
  EXPECT_THAT(ids_of(base, "mouse"), testing::UnorderedElementsAre("U+1F401", "U+1F5B1"));
  EXPECT_THAT(ids_of(base, "face"), ElementsAre("U+1F42D"));
  EXPECT_THAT(std::string(base[*base.row_of("U+1F401")].description), StartsWith("any of"));
  EXPECT_THAT(std::string(base[*base.row_of("U+1F5B1")].description), StartsWith("a hand"));
  EXPECT_TRUE(base[*base.row_of("U+1F42D")].description.empty());
}

TEST_F(Entities, ScenesNameThingsByAliasesAndTellTheTruth) {
  const SceneOptions plain = {.size = 48, .seed = 5, .names = 60};
  const fs::path list = plain.emoji_list;
  make_entities({.format = "emoji", .source = list}, folder_ / "out");
  SceneOptions options = plain;
  options.entities = folder_ / "out";
  const EntityBase base(folder_ / "out");
  const SceneGenerator scenes(options), web(plain);
  int64_t visible = 0, absent = 0, short_names = 0;
  for (uint64_t i = 0; i < 150; ++i) {
    const Record record = scenes.make(i);
    const Record same = web.make(i);
    EXPECT_EQ(record.image, same.image);
    EXPECT_EQ(record.caption, same.caption);
    for (const Json& mention : record.extra.at("mentions")) {
      const auto begin = mention["span"][0].get<size_t>(), end = mention["span"][1].get<size_t>();
      const std::string text = record.alt_text.substr(begin, end - begin);
      const std::string id = mention["id"];
      EXPECT_THAT(ids_of(base, text), testing::Contains(id)) << record.alt_text;
      const std::string name(base[*base.row_of(id)].name);
      short_names += text != name;
      const bool is_there = std::ranges::any_of(
          record.regions, [&](const Region& region) { return region.text == name; });
      EXPECT_EQ(is_there, mention["visible"].get<bool>());
      ++(is_there ? visible : absent);
    }
  }
  EXPECT_GT(visible, 150);
  EXPECT_NEAR(static_cast<double>(absent) / static_cast<double>(visible + absent), 0.3, 0.07);
  EXPECT_GT(short_names, 20);
  put("in/entities.tsv", std::string(kHeader) + "Q1\tdog\t\t\t\n");
  put("in/aliases.tsv", "alias\tid\ndog\tQ1\n");
  make_entities({.format = "tsv", .source = folder_ / "in"}, folder_ / "other");
  options.entities = folder_ / "other";
  EXPECT_THAT(fixtures::error_of([&] { SceneGenerator made(options); }), HasSubstr("no name"));
}

TEST_F(Entities, SpansOfScenesCountCharacters) {
  put("in/entities.tsv",
      std::string(kHeader) + "E1\tpi\u00f1ata\tObjects\t\t\nE2\tdog\tObjects\t\t\n");
  put("in/aliases.tsv", "alias\tid\tprior\npi\u00f1ata\tE1\t\ndog\tE2\t\n");
  make_entities({.format = "tsv", .source = folder_ / "in"}, folder_ / "out");
  const AliasTexts texts(folder_ / "out", {{U'\U0001FA85', "pi\u00f1ata", "Objects"},
                                           {U'\U0001F415', "dog", "Objects"}});
  std::vector<SceneObject> objects(2);
  objects[1].name = 1;
  int64_t behind = 0;  // dogs that the two-byte letter stands before
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Rng rng(seed);
    const auto written = texts.write(objects, rng);
    for (const Json& mention : written.mentions) {
      const bool dog = mention["id"] == "E2";
      const auto begin = mention["span"][0].get<size_t>(), end = mention["span"][1].get<size_t>();
      EXPECT_EQ(end - begin, dog ? 3U : 6U) << written.text;
      const size_t at = written.text.find(dog ? "dog" : "pi\u00f1ata");
      EXPECT_EQ(begin, utf8_characters(std::string_view(written.text).substr(0, at)));
      behind += dog && begin != at;
    }
  }
  EXPECT_GT(behind, 0);
}

TEST_F(Entities, ClassesAreNeitherRareNorEverywhere) {
  ShardWriter writer(folder_ / "a.tar");
  for (int i = 0; i < 10; ++i) {
    Record record = fixtures::make_test_record("k" + std::to_string(i), "x");
    Json all = Json::array();
    all.push_back({{"id", "everywhere"}, {"name", "sky"}});
    if (i < 4) all.push_back({{"id", "b"}, {"name", "tab\there"}});
    if (i < 4) all.push_back({{"id", "b"}, {"name", "tab\there"}});  // once a picture
    if (i < 3) all.push_back({{"id", "c"}, {"name", "cat"}});
    if (i < 1) all.push_back({{"id", "rare"}, {"name", "okapi"}});
    record.extra["entities"] = all;
    if (i == 9) record.extra["entities"] = "none";
    writer.write(record);
  }
  writer.commit();
  SkipCounter skips;
  const auto classes = count_entity_classes({(folder_ / "a.tar").string()},
                                            {.min_images = 3, .max_share = 0.9}, skips);
  EXPECT_EQ(skips.total(), 1);
  EXPECT_EQ(classes.common, 1);
  EXPECT_EQ(classes.rare, 1);
  EXPECT_EQ(classes.kept_labels, 7);
  write_entity_classes(classes, folder_ / "classes.tsv");
  EXPECT_EQ(read_file(folder_ / "classes.tsv"),
            "class\tid\tname\timages\n0\tb\ttab\\there\t4\n1\tc\tcat\t3\n");
}

}  // namespace
}  // namespace opencloc
