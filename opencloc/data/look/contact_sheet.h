// A collection as one HTML page: pictures with their boxes and texts, and what the data engine made
// of them (contact_sheet_card.h), searchable. The page stands alone (no network, no other file) and
// shows hostile texts as text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"

namespace opencloc {

struct ContactSheetOptions {
  int64_t count = 100;                          // samples shown; all when there are fewer
  std::optional<uint64_t> seed = std::nullopt;  // chosen at random; without it the first ones
  int size = 320;                               // longest side of a picture on the page, in pixels
  std::string title = "Contact sheet";
  int threads = 1;
  ShardOptions shards = {};
  std::function<void()> progress = {};  // called once a sample, from any thread
};

// Writes `page` whole or not at all. Returns the number of samples shown.
int64_t write_contact_sheet(const std::vector<std::string>& shards,
                            const std::filesystem::path& page, const ContactSheetOptions& options,
                            SkipCounter& skips);

}  // namespace opencloc
