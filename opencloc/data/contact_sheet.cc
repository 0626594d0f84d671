#include "opencloc/data/contact_sheet.h"

#include <algorithm>
#include <array>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/files.h"
#include "opencloc/base/html.h"
#include "opencloc/base/rng.h"
#include "opencloc/base/thread_pool.h"
#include "opencloc/image/encode.h"
#include "opencloc/image/resize.h"

namespace opencloc {
namespace {

// Eight hues that differ from each other on light and dark pictures.
constexpr std::array kColours = {"#ff3b30", "#00c853", "#2979ff", "#ffab00",
                                 "#d500f9", "#00e5ff", "#c6ff00", "#ff6d9e"};

constexpr const char* kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #888; --card: #8881; }}
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 0 1rem 2rem; }}
header {{ position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .6rem 1rem;
  align-items: center; padding: .6rem 0; background: Canvas; border-bottom: 1px solid var(--line); }}
h1 {{ font-size: 1rem; margin: 0; }}
header input[type=search] {{ flex: 1 1 14rem; max-width: 30rem; padding: .35rem .6rem; font: inherit; }}
main {{ display: grid; gap: 1rem; padding-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax({size}px, 1fr)); align-items: start; }}
article {{ background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .6rem; }}
.picture {{ position: relative; width: fit-content; margin: 0 auto .5rem; }}
.picture img {{ display: block; max-width: 100%; height: auto; }}
.picture svg {{ position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }}
rect {{ fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }}
.no-boxes svg {{ display: none; }}
.picture.one rect {{ opacity: .12; }} .picture.one rect.on {{ opacity: 1; stroke-width: 4; }}
p {{ margin: .25rem 0; overflow-wrap: anywhere; }}
.key, .alt {{ color: var(--soft); font-size: 12px; }}
ul {{ list-style: none; margin: .4rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem; }}
li {{ border-left: 4px solid; border-radius: 3px; background: var(--card); padding: 0 .4rem;
  cursor: default; overflow-wrap: anywhere; }}
li small {{ color: var(--soft); }}
[hidden] {{ display: none; }}
</style></head><body>
<header><h1>{title}</h1>
<input type="search" id="q" placeholder="search keys, captions, labels, regions" autofocus>
<label><input type="checkbox" id="b" checked> boxes</label>
<span id="n">{count} samples</span></header>
<main>
)";

constexpr const char* kTail = R"(</main>
<script>
const cards = [...document.querySelectorAll('article')];
const texts = cards.map(c => c.textContent.toLowerCase());
const q = document.getElementById('q'), n = document.getElementById('n');
q.addEventListener('input', () => {
  const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  cards.forEach((c, i) => { c.hidden = !words.every(w => texts[i].includes(w)); shown += !c.hidden; });
  n.textContent = shown + ' of ' + cards.length + ' samples';
});
document.getElementById('b').addEventListener('change', e =>
  document.body.classList.toggle('no-boxes', !e.target.checked));
document.querySelectorAll('li').forEach(li => {
  const picture = li.closest('article').querySelector('.picture');
  const rect = picture.querySelectorAll('rect')[li.dataset.i];
  const set = on => { picture.classList.toggle('one', on); rect.classList.toggle('on', on); };
  li.addEventListener('mouseenter', () => set(true));
  li.addEventListener('mouseleave', () => set(false));
});
</script></body></html>
)";

// The picture as it goes onto the page: no longer than `size`.
Image thumbnail(const Image& image, int size) {
  const int longest = std::max(image.width, image.height);
  if (longest <= size) return image;
  const auto scaled = [&](int side) {
    return std::max(1, static_cast<int>(int64_t{side} * size / longest));
  };
  return resize(image, {.width = scaled(image.width), .height = scaled(image.height)});
}

std::string paragraph(std::string_view css_class, std::string_view text) {
  if (text.empty()) return {};
  return fmt::format("<p class=\"{}\">{}</p>\n", css_class, html_escape(text));
}

std::string card(const Record& record, const std::string& name, int size) {
  const Image image = thumbnail(Image::decode(record.image, name), size);
  std::string boxes, chips;
  for (size_t i = 0; i < record.regions.size(); ++i) {
    const Region& region = record.regions[i];
    const char* colour = kColours[i % kColours.size()];
    boxes += fmt::format(
        "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" stroke=\"{}\">"
        "<title>{}</title></rect>",
        region.box.x0 * 100, region.box.y0 * 100, region.box.width() * 100,
        region.box.height() * 100, colour, html_escape(region.text));
    chips += fmt::format(
        "<li data-i=\"{}\" title=\"{}\" style=\"border-color:{}\">{}<small>{}</small></li>", i,
        html_escape(region.source), colour, html_escape(region.text),
        region.score != 1 ? fmt::format(" {:.2f}", region.score) : "");
  }
  // Small pictures are drawn larger, by whole factors.
  const int zoom = std::clamp(size / std::max(image.width, image.height), 1, 4);
  std::string html = fmt::format(
      "<article><div class=\"picture\"><img alt=\"\" loading=\"lazy\" width=\"{}\" height=\"{}\" "
      "src=\"data:image/jpeg;base64,{}\"><svg viewBox=\"0 0 100 100\" "
      "preserveAspectRatio=\"none\">{}</svg></div>\n",
      image.width * zoom, image.height * zoom, base64(encode_jpeg(image, 85)), boxes);
  html += paragraph("caption", record.caption);
  for (const auto& caption : record.captions) {
    if (caption != record.caption) html += paragraph("caption", caption);
  }
  html += paragraph("alt", record.alt_text);
  html += paragraph("key", record.key + (record.label ? " \xc2\xb7 " + *record.label : ""));
  if (!chips.empty()) html += "<ul>" + chips + "</ul>";
  return html + "</article>\n";
}

// Global numbers of the samples to show, ascending.
std::vector<int64_t> choose(const ShardIndex& index, const ContactSheetOptions& options) {
  std::vector<int64_t> all(static_cast<size_t>(index.size()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  if (options.seed) Rng(*options.seed).shuffle(all);
  all.resize(std::min(all.size(), static_cast<size_t>(std::max<int64_t>(0, options.count))));
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

int64_t write_contact_sheet(const std::vector<std::string>& shards,
                            const std::filesystem::path& page, const ContactSheetOptions& options,
                            SkipCounter& skips) {
  SkipCounter seen_again(0);  // the reading below counts bad shards
  const ShardIndex index(shards, options.threads, seen_again, options.shards);
  const auto chosen = choose(index, options);
  AtomicFile file(page);
  std::vector<std::string> cards(chosen.size());
  std::vector<int64_t> by_shard(static_cast<size_t>(index.shards()) + 1);
  for (int64_t s = 0; s <= index.shards(); ++s) {
    const int64_t first = s == index.shards() ? index.size() : index.first_of(s);
    by_shard[static_cast<size_t>(s)] =
        std::lower_bound(chosen.begin(), chosen.end(), first) - chosen.begin();
  }
  parallel_for(index.shards(), options.threads, [&](int64_t s) {
    const auto shard = static_cast<size_t>(s);
    ShardReader reader(index.paths()[shard], skips, options.shards);
    Record record;
    int64_t got = -1;  // number of `record`: next() passes over broken samples
    for (int64_t i = by_shard[shard]; i < by_shard[shard + 1]; ++i) {
      const int64_t wanted = chosen[static_cast<size_t>(i)] - index.first_of(s);
      if (got < wanted) {
        reader.skip(wanted - reader.position());
        if (!reader.next(record)) break;
        got = reader.position() - 1;
      }
      if (got != wanted) continue;
      try {
        cards[static_cast<size_t>(i)] = card(record, reader.name(), options.size);
      } catch (const Error& error) {
        skips.add(skip::kBadImage, reader.name(), error.what());
      }
      if (options.progress) options.progress();
    }
  });
  const int64_t shown = std::count_if(cards.begin(), cards.end(),
                                      [](const std::string& html) { return !html.empty(); });
  file.write(fmt::format(kHead, fmt::arg("title", html_escape(options.title)),
                         fmt::arg("size", options.size + 20), fmt::arg("count", shown)));
  for (const auto& html : cards) file.write(html);
  file.write(kTail);
  file.commit();
  return shown;
}

}  // namespace opencloc
