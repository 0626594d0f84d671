#include "opencloc/data/look/contact_sheet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/base/html.h"
#include "opencloc/data/look/contact_sheet_card.h"
#include "opencloc/data/shard/shard_writer.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

using fixtures::make_test_record;
using fixtures::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(ContactSheet, ShowsPicturesBoxesAndTextsSafely) {
  const TempFolder folder;
  std::vector<std::string> shards;
  for (int s = 0; s < 2; ++s) {
    shards.push_back((folder / (std::to_string(s) + ".tar")).string());
    ShardWriter writer(shards.back());
    for (int i = 0; i < 3; ++i) {
      Record record = make_test_record(std::to_string(s * 10 + i), "<script>alert(1)</script>");
      record.image = i == 1 ? "broken" : fixtures::tiny_ppm(600, 300);
      record.alt_text = "\" onerror=\"x";
      record.regions.push_back({{0.25f, 0.5f, 0.75f, 1}, "<b>&", 0.5f, "owlv2", Json::object()});
      writer.write(record);
    }
    writer.commit();
  }
  SkipCounter skips(0);
  const auto page = folder / "page.html";
  EXPECT_EQ(write_contact_sheet(shards, page, {.size = 100, .threads = 2}, skips), 4);
  EXPECT_EQ(skips.count(skip::kBadImage), 2);
  const std::string html = read_file(page);
  EXPECT_EQ(count_of(html, "<article"), 4);
  EXPECT_EQ(count_of(html, "src=\"data:image/jpeg;base64,/9j/"), 4);
  EXPECT_THAT(html, HasSubstr("width=\"100\" height=\"50\""));
  EXPECT_THAT(html, HasSubstr("x=\"25.00\" y=\"50.00\" width=\"50.00\" height=\"50.00\""));
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;&amp;"));
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(html, Not(HasSubstr("\" onerror")));
  EXPECT_THAT(html, Not(HasSubstr("http://")));
  EXPECT_THAT(html, Not(HasSubstr("https://")));
  EXPECT_EQ(count_of(html, "<article"), count_of(html, "</article>"));
}

// The parts of `html` between `begin` and the next `end`, without tags.
std::vector<std::string> texts_between(const std::string& html, const std::string& begin,
                                       const std::string& end) {
  std::vector<std::string> found;
  for (size_t at = html.find(begin); at != std::string::npos; at = html.find(begin, at + 1)) {
    const size_t inside = html.find('>', at) + 1;
    std::string text;
    bool in_tag = false;
    for (const char c : html.substr(inside, html.find(end, inside) - inside)) {
      in_tag = c == '<' || (in_tag && c != '>');
      if (!in_tag && c != '>') text += c;
    }
    found.push_back(text);
  }
  return found;
}

Record labelled_record() {
  Record record = make_test_record("k1");
  record.image = fixtures::tiny_ppm(40, 20);
  parse_record_json(R"({"captions": ["a first one", "a red bus and <b>dogs</b>"], "alt_text": "alt",
    "regions": [{"box": [0, 0, 0.5, 0.5], "text": "red bus", "score": 0.83, "source": "owlv2"},
                {"box": [0.5, 0, 1, 1], "text": "man", "source": "human"}],
    "phrases": ["red bus", "<b>dogs</b>"],
    "candidates": [{"box": [0, 0, 0.5, 0.5], "text": "red bus", "score": 0.83},
                   {"box": [0.25, 0.5, 0.75, 1], "text": "<b>dogs</b>", "score": 0.07}],
    "vesl": {"caption": {"from": "captions", "number": 1},
             "detect": {"detector": "owlv2", "resolution": 448, "model": "<i>"},
             "select": {"threshold": 0.1}}})",
                    "k1", record);
  return record;
}

TEST(ContactSheetCard, ShowsWhatTheDataEngineMadeOfASample) {
  const std::string html = contact_sheet_card(labelled_record(), "k1", 100);
  EXPECT_THAT(html,
              HasSubstr("<article class=\"labelled\" data-regions=\"2\" data-dropped=\"1\">"));
  EXPECT_THAT(texts_between(html, "<span class=\"tag\"", "</span>"),
              ElementsAre("red bus 0.83", "man"));
  EXPECT_THAT(texts_between(html, "<p class=\"caption from\"", "</p>"),
              ElementsAre("a red bus and &lt;b&gt;dogs&lt;/b&gt;"));
  EXPECT_THAT(texts_between(html, "<p class=\"caption\"", "</p>"),
              ElementsAre("a caption", "a first one"));
  EXPECT_THAT(texts_between(html, "<ul class=\"kept\"", "</ul>"), ElementsAre("red bus 0.83"));
  EXPECT_THAT(texts_between(html, "<ul class=\"dropped\"", "</ul>"),
              ElementsAre("&lt;b&gt;dogs&lt;/b&gt;score 0.07 under 0.10"));
  EXPECT_THAT(texts_between(html, "<ul class=\"regions\"", "</ul>"), ElementsAre("man"));
  EXPECT_THAT(texts_between(html, "<section>", "</section>"),
              ElementsAre("captionfromcaptionsnumber1",
                          "detectdetectorowlv2resolution448model&lt;i&gt;candidates2",
                          "selectthreshold0.1regions, all2"));
  // Regions are rectangles 0 and 1, candidates 2 and 3.
  EXPECT_EQ(count_of(html, "<rect "), 4);
  EXPECT_THAT(html, HasSubstr("<li data-find data-i=\"3\">"));
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
  EXPECT_THAT(html, Not(HasSubstr("<i>")));
}

TEST(ContactSheetCard, MarksPhrasesThatNoDetectorSawAndLeavesOthersPlain) {
  Record record = make_test_record("k", "two dogs");
  EXPECT_THAT(contact_sheet_card(record, "k", 100),
              HasSubstr("<article data-regions=\"0\" data-dropped=\"0\">"));
  record.extra["phrases"] = Json::array({"two dogs"});
  const std::string html = contact_sheet_card(record, "k", 100);
  EXPECT_THAT(texts_between(html, "<ul class=\"open\"", "</ul>"), ElementsAre("two dogs"));
  EXPECT_THAT(html, HasSubstr("class=\"caption from\""));
}

// What the page's script searches: keys, texts and phrases, not the stages' settings.
TEST(ContactSheetCard, CanBeFoundByKeyTextsAndPhrases) {
  const std::string html = contact_sheet_card(labelled_record(), "k1", 100);
  const auto searched = [&html](const std::string& tag) {
    int count = 0;
    for (size_t at = html.find("<" + tag + " "); at != std::string::npos;
         at = html.find("<" + tag + " ", at + 1)) {
      count += html.substr(at, html.find('>', at) - at).ends_with("data-find") ||
               html.substr(at, html.find('>', at) - at).find(" data-find ") != std::string::npos;
    }
    return count;
  };
  EXPECT_EQ(searched("p"), 5) << "three captions, the alt-text, the key";
  EXPECT_EQ(searched("li"), 3);
  EXPECT_EQ(count_of(html, "data-find"), 8);
}

TEST(ContactSheet, ChoosesFirstOrRandomSamplesAroundBrokenOnes) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  std::vector<fixtures::TarEntry> entries;
  for (int i = 0; i < 40; ++i) {
    entries.push_back({"k" + std::to_string(i) + "k.ppm", fixtures::tiny_ppm(4, 4)});
    if (i % 4 == 1) entries.push_back({"k" + std::to_string(i) + "k.json", "{"});
  }
  fixtures::write_tar(path, entries);
  const auto shown = [&](const ContactSheetOptions& options) {
    SkipCounter skips(0);
    write_contact_sheet({path}, folder / "page.html", options, skips);
    const std::string html = read_file(folder / "page.html");
    std::vector<int> keys;
    for (int i = 0; i < 40; ++i) {
      if (html.find(">k" + std::to_string(i) + "k<") != std::string::npos) keys.push_back(i);
    }
    return keys;
  };
  EXPECT_THAT(shown({.count = 5}), ::testing::ElementsAre(0, 2, 3, 4));
  const auto one = shown({.count = 10, .seed = 1});
  EXPECT_EQ(one, shown({.count = 10, .seed = 1}));
  EXPECT_NE(one, shown({.count = 10, .seed = 2}));
  EXPECT_EQ(shown({.count = 1000}).size(), 30u);
  EXPECT_TRUE(shown({.count = 0}).empty());
}

TEST(Html, EscapesAndEncodes) {
  EXPECT_EQ(html_escape("a<b>&\"'\x01\nz"), "a&lt;b&gt;&amp;&quot;&#39; \nz");
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64(std::string("\xff\xfe\x00\x01", 4)), "//4AAQ==");
}

}  // namespace
}  // namespace opencloc
