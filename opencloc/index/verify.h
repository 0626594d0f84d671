// Is everything in an index as it should be?
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace opencloc {

struct IndexFaults {
  std::vector<std::string> faults;  // one line each, naming the file
  std::vector<std::string> debris;  // files that count for nothing: a killed writer's, cleared by
                                    // the next one
  int64_t segments = 0, rows = 0, pictures = 0;
};

// Reads all of it: checksums and contents of every segment, the catalog by SQLite's own check, and
// that both agree: every picture's rows are there, once. A compaction meanwhile may look like a
// fault. `read` hears of bytes. Throws Error (input) where there is no index.
IndexFaults verify_index(const std::filesystem::path& path,
                         const std::function<void(uint64_t bytes)>& read = {});

}  // namespace opencloc
