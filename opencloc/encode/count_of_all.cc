#include "opencloc/encode/count_of_all.h"

namespace opencloc {

void count_of_all(dist::Group& group, SkipCounter& skips) {
  if (group.size() == 1) return;
  const auto all = dist::gather(group, dump_json(skips.json()));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (static_cast<int>(rank) == group.rank()) continue;
    const Json counts = parse_json(all[rank], "rank " + std::to_string(rank));
    skips.add_counts(counts.get<std::map<std::string, int64_t>>());
  }
}

}  // namespace opencloc
