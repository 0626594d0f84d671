#include "opencloc/data/look/contact_sheet_card.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <vector>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/html.h"
#include "opencloc/data/look/label_output.h"
#include "opencloc/data/look/phrase_fates.h"
#include "opencloc/image/encode.h"
#include "opencloc/image/resize.h"

namespace opencloc {
namespace {

// Eight hues that differ from each other on light and dark pictures.
constexpr std::array kColours = {"#ff3b30", "#00c853", "#2979ff", "#ffab00",
                                 "#d500f9", "#00e5ff", "#c6ff00", "#ff6d9e"};

const char* colour_of(size_t region) { return kColours[region % kColours.size()]; }

std::string score_of(const Region& region) {
  return region.score != 1 ? fmt::format(" {:.2f}", region.score) : "";
}

// The picture as it goes onto the page: no longer than `size`.
Image thumbnail(const Image& image, int size) {
  const int longest = std::max(image.width, image.height);
  if (longest <= size) return image;
  const auto scaled = [&](int side) {
    return std::max(1, static_cast<int>(int64_t{side} * size / longest));
  };
  return resize(image, {.width = scaled(image.width), .height = scaled(image.height)});
}

std::string rectangle(const Region& region, std::string_view attributes) {
  const Box& box = region.box;
  return fmt::format(
      "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" {}>"
      "<title>{}{}</title></rect>",
      box.x0 * 100, box.y0 * 100, box.width() * 100, box.height() * 100, attributes,
      html_escape(region.text), score_of(region));
}

std::string picture_html(const Record& record, const std::string& where, int size) {
  const Image image = thumbnail(Image::decode(record.image, where), size);
  std::string boxes, tags;
  for (size_t i = 0; i < record.regions.size(); ++i) {
    const Region& region = record.regions[i];
    boxes += rectangle(region, fmt::format("stroke=\"{}\"", colour_of(i)));
    tags += fmt::format(
        "<span class=\"tag\" style=\"left:{:.2f}%;top:{:.2f}%;background:{}\">{}{}</span>",
        region.box.x0 * 100, region.box.y0 * 100, colour_of(i), html_escape(region.text),
        score_of(region));
  }
  for (const auto& candidate : readable_candidates(record)) {
    boxes += rectangle(candidate, "class=\"candidate\"");
  }
  // Small pictures are drawn larger, by whole factors.
  const int zoom = std::clamp(size / std::max(image.width, image.height), 1, 4);
  return fmt::format(
      "<div class=\"picture\"><img alt=\"\" loading=\"lazy\" width=\"{}\" height=\"{}\" "
      "src=\"data:image/jpeg;base64,{}\"><svg viewBox=\"0 0 100 100\" "
      "preserveAspectRatio=\"none\">{}</svg>{}</div>\n",
      image.width * zoom, image.height * zoom, base64(encode_jpeg(image, 85)), boxes, tags);
}

std::string text_html(std::string_view css_class, std::string_view text) {
  if (text.empty()) return {};
  return fmt::format("<p class=\"{}\" data-find>{}</p>\n", css_class, html_escape(text));
}

// The record's texts; of a labelled one, with the one that the phrases came from marked.
std::string texts_html(const Record& record, bool labelled) {
  std::string source = labelled ? chosen_text(record).text : "";
  const auto line = [&source](const std::string& css_class, const std::string& text) {
    if (text.empty() || text != source) return text_html(css_class, text);
    source.clear();
    return fmt::format(
        "<p class=\"{} from\" title=\"the phrases came from this text\" data-find>{}</p>\n",
        css_class, html_escape(text));
  };
  std::string html = line("caption", record.caption);
  for (const auto& caption : record.captions) {
    if (caption != record.caption) html += line("caption", caption);
  }
  return "<div class=\"texts\">" + html + line("alt", record.alt_text) + "</div>\n";
}

std::string list_html(const char* css_class, std::string_view title, const std::string& items) {
  if (items.empty()) return {};
  return fmt::format("{}<ul class=\"{}\">{}</ul>\n",
                     title.empty() ? "" : fmt::format("<h2>{}</h2>", title), css_class, items);
}

std::string region_item(const Record& record, size_t i) {
  const Region& region = record.regions[i];
  return fmt::format(
      "<li data-i=\"{}\" title=\"{}\" style=\"border-color:{}\" data-find>{}<small>{}</small></li>",
      i, html_escape(region.source), colour_of(i), html_escape(region.text), score_of(region));
}

struct PhraseLists {
  std::string kept, dropped, not_asked;
  size_t number_dropped = 0;
  std::set<size_t> regions;  // that a phrase has
};

PhraseLists phrase_lists(const Record& record) {
  PhraseLists lists;
  for (const auto& fate : phrase_fates(record)) {
    const std::string phrase = html_escape(fate.phrase);
    if (fate.state == PhraseFate::State::kNotAsked) {
      lists.not_asked += fmt::format("<li data-find>{}</li>", phrase);
    } else if (fate.state == PhraseFate::State::kDropped) {
      const std::string box =
          fate.candidate ? fmt::format(" data-i=\"{}\"", record.regions.size() + *fate.candidate)
                         : "";
      lists.dropped += fmt::format("<li data-find{}>{}<small>{}</small></li>", box, phrase,
                                   html_escape(fate.why));
      ++lists.number_dropped;
    } else {
      std::string scores;
      for (const size_t i : fate.regions) scores += score_of(record.regions[i]);
      lists.kept += fmt::format(
          "<li data-i=\"{}\" style=\"border-color:{}\" data-find>{}<small>{}</small></li>",
          fmt::join(fate.regions, " "), colour_of(fate.regions.front()), phrase, scores);
      lists.regions.insert(fate.regions.begin(), fate.regions.end());
    }
  }
  return lists;
}

// What came of a stage, where it can be counted.
std::string output_html(const Record& record, const std::string& stage) {
  const auto count = [](const char* what, size_t number) {
    return fmt::format("<dt>{}</dt><dd>{}</dd>", what, number);
  };
  if (stage == "phrases") return count("phrases", readable_phrases(record).size());
  if (stage == "detect" && record.extra.contains(kCandidatesKey)) {
    return count("candidates", readable_candidates(record).size());
  }
  if (stage == "select") return count("regions, all", record.regions.size());
  return {};
}

// Every stage with its settings and its output, side by side.
std::string stages_html(const Record& record) {
  const auto all = record.extra.find(kProvenanceKey);
  if (all == record.extra.end() || !all->is_object()) return {};
  std::string html;
  for (const auto& [stage, how] : all->items()) {
    html += "<section><h2>" + html_escape(stage) + "</h2><dl>";
    if (how.is_object()) {
      for (const auto& [key, value] : how.items()) {
        html += fmt::format(
            "<dt>{}</dt><dd>{}</dd>", html_escape(key),
            html_escape(value.is_string() ? value.get<std::string>() : dump_json(value)));
      }
    }
    html += output_html(record, stage) + "</dl></section>";
  }
  return "<div class=\"stages\">" + html + "</div>\n";
}

}  // namespace

std::string contact_sheet_card(const Record& record, const std::string& where, int size) {
  const std::string picture = picture_html(record, where, size);
  const PhraseLists lists = phrase_lists(record);
  const std::string stages = stages_html(record);
  const bool labelled = !stages.empty() || !lists.not_asked.empty() || !lists.kept.empty();
  std::string others;
  for (size_t i = 0; i < record.regions.size(); ++i) {
    if (!lists.regions.contains(i)) others += region_item(record, i);
  }
  return fmt::format("<article{} data-regions=\"{}\" data-dropped=\"{}\">",
                     labelled ? " class=\"labelled\"" : "", record.regions.size(),
                     lists.number_dropped) +
         picture + "<div>" + texts_html(record, labelled) +
         text_html("key", record.key + (record.label ? " \xc2\xb7 " + *record.label : "")) +
         list_html("kept", "phrases with a region", lists.kept) +
         list_html("dropped", "dropped phrases", lists.dropped) +
         list_html("open", "phrases, no detector has been asked", lists.not_asked) +
         list_html("regions", labelled ? "other regions" : "", others) + stages +
         "</div></article>\n";
}

}  // namespace opencloc
