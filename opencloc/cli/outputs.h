// Results are looked at before the work: hours of it must not end at a name that cannot be written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace opencloc::cli {

// What is written, for messages and for endings.
struct OutputKind {
  const char* name;                       // "a safetensors file"
  std::vector<std::string_view> endings;  // its own; those of other formats are refused
};

inline const OutputKind kSafetensorsOutput{"a safetensors file", {".safetensors", ".st"}};
inline const OutputKind kJsonOutput{"JSON", {".json"}};
inline const OutputKind kJsonLinesOutput{"JSON lines", {".jsonl"}};
inline const OutputKind kPageOutput{"a web page", {".html", ".htm"}};

inline const OutputKind kTableOutput{"a table", {".tsv"}};

// The file that `flag` names; an empty path is none. Error (input) when a folder lies there, when
// the ending is another format's, or when it is one of `inputs` (empty ones are none); Error
// (failed) when it cannot be written. Creates nothing.
void check_output_file(const std::string& flag, const std::string& path, const OutputKind& kind,
                       const std::vector<std::string>& inputs = {});
// The same for a folder: Error (input) when a file lies there, or for a file's ending.
void check_output_folder(const std::string& flag, const std::string& path,
                         const std::vector<std::string>& inputs = {});
// Makes the folders above a file.
void make_parents(const std::string& path);

}  // namespace opencloc::cli
