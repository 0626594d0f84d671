#include "opencloc/data/look/contact_sheet.h"

#include <algorithm>

#include "opencloc/base/files.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/rng.h"
#include "opencloc/data/look/contact_sheet_card.h"
#include "opencloc/data/look/contact_sheet_page.h"

namespace opencloc {
namespace {

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
        cards[static_cast<size_t>(i)] = contact_sheet_card(record, reader.name(), options.size);
      } catch (const Error& error) {
        skips.add(skip::kBadImage, reader.name(), error.what());
      }
      if (options.progress) options.progress();
    }
  });
  const int64_t shown = std::count_if(cards.begin(), cards.end(),
                                      [](const std::string& html) { return !html.empty(); });
  file.write(contact_sheet_head(options.title, options.size, shown));
  for (const auto& html : cards) file.write(html);
  file.write(contact_sheet_tail());
  file.commit();
  return shown;
}

}  // namespace opencloc
