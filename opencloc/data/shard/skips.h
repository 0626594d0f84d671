// Counts of what was skipped, by reason, with the first names in the log: a broken sample is never
// fatal and never silent.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/data/shard/record.h"

namespace opencloc {

// One case, kept for whoever counts it later.
struct SkipCase {
  bool doubt = false;  // of note()
  std::string reason;
  std::string name;  // as first_names() gives it
  std::string line;  // for the log
};

// Thread-safe.
class SkipCounter {
 public:
  // The first `names_logged` of every reason are logged by name as warnings.
  explicit SkipCounter(int names_logged = 3) : names_logged_(names_logged) {}

  // `name`: "shard.tar#key", a path, ...; `detail` (may be empty) goes to the log only.
  void add(std::string_view reason, std::string_view name, std::string_view detail = {});
  // `bad` was caught at a skip point.
  void add(const BadSample& bad);

  // What is used all the same, though something about it is doubtful: counted apart.
  void note(std::string_view doubt, std::string_view name, std::string_view detail = {});

  // From now on cases are neither counted nor logged, but kept for take().
  void hold();
  // The cases since the last call, in order; none without hold().
  std::vector<SkipCase> take();
  // A case that another counter held.
  void add(SkipCase one);
  // What other processes counted, and logged themselves.
  void add_counts(const std::map<std::string, int64_t>& counts);

  int64_t total() const;
  int64_t count(std::string_view reason) const;
  std::map<std::string, int64_t> counts() const;
  // {"bad JSON": 2, ...}
  Json json() const;
  // "3 skipped (2 bad JSON, 1 no image)"; empty when nothing was.
  std::string summary() const;
  // The first three cases of a reason or doubt: the names, with what was wrong where that differs.
  std::vector<std::string> first_names(std::string_view reason) const;
  std::map<std::string, int64_t> notes() const;

 private:
  const int names_logged_;
  mutable std::mutex mutex_;
  bool holds_ = false;
  std::vector<SkipCase> held_;
  std::map<std::string, int64_t> counts_;
  std::map<std::string, int64_t> notes_;
  std::map<std::string, std::vector<std::string>, std::less<>> names_;
};

}  // namespace opencloc
