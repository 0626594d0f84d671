// Indexes out of and into files that other programs read and write.
//
// export: vectors.npy, float32 [N, E], and rows.jsonl with a line for each of its rows:
//   {"id": 7, "region": 0, "name": "a.jpg", "names": [...], "sha256": "...", "width": 640,
//    "height": 480, "box": [x0, y0, x1, y1], "quality": 0.71, "text": "...",
//    "caption": "..."}
// region 0 is the whole picture; only regions of a model that predicts it have a quality.
// index.json comes along, so that import makes the same index again.
// export_qdrant: points.jsonl, a line for each row as Qdrant's `PUT /collections/C/points` takes
// them: {"id": N, "vector": [...], "payload": {...}}.
// export_milvus: rows.jsonl, a line for each row as Milvus' bulk import reads them: {"id": N,
//   "vector": [...], "picture": 7, "region": 0, "name": ...}; all but id and vector are dynamic
//   fields.
// import: what export writes; or clip-retrieval's img_emb/*.npy, or any folder of .npy files, whose
// rows are whole pictures named "FILE.npy#ROW".
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "opencloc/index/store.h"

namespace opencloc {

using RowProgress = std::function<void(int64_t rows)>;

// The folder appears whole or not at all. Returns how many rows it holds.
int64_t export_npy(IndexStore& index, const std::filesystem::path& folder,
                   const RowProgress& progress = {});
int64_t export_qdrant(IndexStore& index, const std::filesystem::path& folder,
                      const RowProgress& progress = {});
int64_t export_milvus(IndexStore& index, const std::filesystem::path& folder,
                      const RowProgress& progress = {});

struct Imported {
  int64_t pictures = 0, vectors = 0, aliases = 0;
};
// Into a new index, or one of the same width and fingerprint. Vectors are brought to unit length.
// `index`: its place (store.h). `info` says what the files do not: the model, its fingerprint.
// Throws Error (input) for files that do not fit together, naming the line.
Imported import_vectors(const std::filesystem::path& folder, const std::string& index,
                        IndexInfo info, const RowProgress& progress = {});

}  // namespace opencloc
