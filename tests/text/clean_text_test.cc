#include "opencloc/text/clean_text.h"

#include <gtest/gtest.h>

namespace opencloc {
namespace {

// Expected values are Python's html.unescape.
TEST(HtmlUnescape, NamedNumericAndAlmost) {
  EXPECT_EQ(html_unescape("&lt;b&gt; &amp;amp; &eacute;"), "<b> &amp; é");
  EXPECT_EQ(html_unescape("&#65;&#x42;&#X43;&#68"), "ABCD");
  EXPECT_EQ(html_unescape("&notit; &notin;"), "¬it; ∉");
  EXPECT_EQ(html_unescape("&ampx &unknown; & &; &#; &#x;"), "&x &unknown; & &; &#; &#x;");
  EXPECT_EQ(html_unescape("&#0;&#xD800;&#x110000;&#99999999999;"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(html_unescape("&#150;&#x80;"), "–€");
  EXPECT_EQ(html_unescape("a&#1;b&#xFFFF;c&#11;"), "abc");
  EXPECT_EQ(html_unescape("&acE;"), "\u223e\u0333");
  EXPECT_EQ(html_unescape("&"), "&");
  EXPECT_EQ(html_unescape(""), "");
}

TEST(CleanClipText, FoldsWhiteSpaceAndCase) {
  EXPECT_EQ(clean_clip_text("  A\tRED \n bus\r\n"), "a red bus");
  EXPECT_EQ(clean_clip_text("caf\u00c9\u00a0\u3000NOIR"), "café noir");
  EXPECT_EQ(clean_clip_text("ΟΔΟΣ İ"), "οδος i̇");
  EXPECT_EQ(clean_clip_text("&amp;lt;B&amp;gt;"), "<b>");
  EXPECT_EQ(clean_clip_text("a&nbsp;&nbsp;b"), "a b");
}

// Expected values are transformers' SiglipTokenizer.canonicalize_text after lower().
TEST(CanonicalText, DropsPunctuationAndFoldsWhiteSpace) {
  EXPECT_EQ(canonical_text("  A photo, of a CAT!\t(x_y)\n"), "a photo of a cat xy");
  EXPECT_EQ(canonical_text("caf\u00c9 \u2014 l\u2019\u00e9t\u00e9\u00a0..."), "café — l’été");
  EXPECT_EQ(canonical_text("...!?"), "");
}

TEST(CleanClipText, MakesTypographyPlain) {
  EXPECT_EQ(clean_clip_text("the man’s “hat”"), "the man's \"hat\"");
  EXPECT_EQ(clean_clip_text("oﬃce ＡＢＣ"), "office abc");
  EXPECT_EQ(clean_clip_text("cafe\u0301"), "caf\u00e9");
  EXPECT_EQ(clean_clip_text(std::string("a\0b\x7f\xef\xbb\xbf", 7)), "ab");
}

// The shortcut for plain ASCII must be the general rule.
TEST(CleanClipText, ShortcutAgreesWithTheGeneralRule) {
  const std::string general = "é";
  for (int c = 1; c < 128; ++c) {
    const std::string text = {'x', static_cast<char>(c), 'Y', ' ', static_cast<char>(c)};
    const std::string full = clean_clip_text(general + text + general);
    std::string expected = full.substr(general.size());
    expected.resize(expected.size() - general.size());
    while (expected.ends_with(' ')) expected.pop_back();
    EXPECT_EQ(clean_clip_text(text), expected) << c;
  }
}

TEST(WithoutSigns, KeepsLettersAndDigitsOfAnyScript) {
  EXPECT_EQ(without_signs(" a_red,  bus-3! "), "a_red bus3");
  EXPECT_EQ(without_signs("\u201C\u00E9t\u00E9\u201D \u2014 \u0416\u0443\u043A \u00B2"),
            "\u00E9t\u00E9 \u0416\u0443\u043A \u00B2");
  EXPECT_EQ(without_signs("a\u00A0b\u3000c"), "a b c");
  EXPECT_EQ(without_signs("a\xff"), "a");
  EXPECT_EQ(without_signs("?!"), "");
}

TEST(LowerCase, AsciiAndUnicode) {
  EXPECT_EQ(lower_case("A Red BUS 3"), "a red bus 3");
  EXPECT_EQ(lower_case("ÀÉ ЖУК"), "àé жук");
  EXPECT_EQ(lower_case("\xff"), "\uFFFD");
}

}  // namespace
}  // namespace opencloc
