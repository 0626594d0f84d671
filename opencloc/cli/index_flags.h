// What the verbs of `opencloc index` share.
#pragma once

#include <string>

#include "opencloc/base/json.h"
#include "opencloc/cli/verb.h"
#include "opencloc/index/store.h"

namespace opencloc::cli {

struct IndexFlags {
  CommonFlags common;
  std::string index;
  bool json = false;

  std::string shown() const;  // without a password
};

inline constexpr const char* kIndexFolder = "the index's folder";
inline constexpr const char* kIndexPlace =
    "the index's folder, or postgres://USER@HOST/DB?index=NAME";
inline constexpr const char* kMadeIndexPlace =
    "the index's folder, or postgres://USER@HOST/DB?index=NAME; made where there is none";

void add_index_argument(CLI::App& app, IndexFlags& flags, const char* what = kIndexPlace);
void print_line_or_json(const IndexFlags& flags, const Json& json, const std::string& line);

// The verbs.
void add_index_add(CLI::App& app);
void add_index_stats(CLI::App& app);
void add_index_verify(CLI::App& app);
void add_index_compact(CLI::App& app);
void add_index_remove(CLI::App& app);
void add_index_calibrate(CLI::App& app);
void add_index_export(CLI::App& app);
void add_index_import(CLI::App& app);

}  // namespace opencloc::cli
