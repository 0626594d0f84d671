#include "opencloc/index/transfer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <optional>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/sha256.h"
#include "opencloc/index/npy.h"
#include "opencloc/index/pending.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVectorsFile = "vectors.npy";
constexpr const char* kRowsFile = "rows.jsonl";
constexpr int64_t kPicturesAChunk = 500, kCommitEvery = 5000;

Json box_list(const Box& box) { return Json::array({box.x0, box.y0, box.x1, box.y1}); }

Json row_json(const PictureEntry& entry, const StoredRow& stored) {
  const int64_t region = stored.region;
  Json row;
  row["id"] = entry.picture.id;
  row["region"] = region;
  row["name"] = entry.names.empty() ? "" : entry.names.front().name;
  if (region == 0) {
    row["names"] = Json::array();
    for (const PictureName& name : entry.names) row["names"].push_back(name.name);
    row["sample"] = entry.names.empty() ? int64_t{-1} : entry.names.front().sample;
    row["sha256"] = entry.picture.digest;
    row["width"] = entry.picture.width;
    row["height"] = entry.picture.height;
  }
  row["box"] = box_list(stored.box);
  if (stored.quality) row["quality"] = *stored.quality;
  for (const RegionText& text : entry.texts) {
    if (text.region == region) row["text"] = text.text;
  }
  if (!entry.picture.caption.empty()) row["caption"] = entry.picture.caption;
  return row;
}

// visit(row's JSON, vector) for every row, picture by picture.
template <typename Visit>
int64_t for_each_row(IndexStore& index, const RowProgress& progress, const Visit& visit) {
  int64_t rows = 0, after = 0;
  for (;;) {
    std::vector<int64_t> ids;
    for (const auto& picture : index.catalog().pictures_after(after, kPicturesAChunk))
      ids.push_back(picture.id);
    if (ids.empty()) return rows;
    const auto entries = index.catalog().pictures(ids);
    auto entry = entries.begin();
    int64_t some = 0;
    for (const PictureRows& picture : index.rows_of(ids)) {
      while (entry != entries.end() && entry->picture.id < picture.picture) ++entry;
      if (entry == entries.end() || entry->picture.id != picture.picture) continue;  // removed
      for (const StoredRow& row : picture.rows) {
        visit(row_json(*entry, row), row.vector);
        ++some;
      }
    }
    rows += some;
    if (progress) progress(some);
    after = ids.back();
  }
}

void bring_to_unit_length(std::vector<float>& vector, const std::string& where) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  if (!(squares > 0) || !std::isfinite(squares)) {
    throw Error::input("a vector has no direction (all zeros, or numbers that are not finite)",
                       where, "leave it out");
  }
  const auto factor = static_cast<float>(1 / std::sqrt(squares));
  // Stored vectors come back as they are, so that export and import change no bit.
  if (std::abs(factor - 1) < 0.005f) return;
  for (float& x : vector) x *= factor;
}

Box box_from(const Json& line, const std::string& where) {
  if (!line.contains("box")) return {0, 0, 1, 1};
  const Json& sides = line["box"];
  bool sound = sides.is_array() && sides.size() == 4;
  for (size_t i = 0; sound && i < 4; ++i) sound = sides[i].is_number();
  if (!sound) throw Error::input("'box' is not four numbers", where, "write [x0, y0, x1, y1]");
  return clip_to_unit(
      {sides[0].get<float>(), sides[1].get<float>(), sides[2].get<float>(), sides[3].get<float>()});
}

std::optional<float> quality_from(const Json& line, const std::string& where) {
  if (!line.contains("quality")) return std::nullopt;
  const Json& quality = line["quality"];
  if (!quality.is_number() || !(quality.get<float>() >= 0 && quality.get<float>() <= 1))
    throw Error::input("'quality' is not a number in [0, 1]", where, "correct it, or leave it out");
  return quality.get<float>();
}

// Of a picture whose own bytes are not known: of its name and all that is stored of it, so that the
// same name with other contents is another picture.
std::string digest_of(const NewPicture& picture) {
  std::string bytes = picture.name.name + '\0';
  const auto add = [&](const auto& values) {
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof values[0]);
  };
  add(picture.vector);
  for (const NewRegion& region : picture.regions) {
    add(std::array{region.box.x0, region.box.y0, region.box.x1, region.box.y1});
    add(region.vector);
  }
  return sha256_hex(bytes);
}

// Collects rows to pictures, and pictures to an index.
class Importing {
 public:
  Importing(const std::string& index, int64_t commit_every)
      : writer_(open_store_writer(index)), commit_every_(commit_every) {}

  // A row that begins a picture.
  void whole(NewPicture picture, std::vector<PictureName> others) {
    finish();
    others_ = std::move(others);
    open_ = std::move(picture);
  }
  void region(NewRegion region, const std::string& where) {
    if (!open_) {
      throw Error::input("a region comes before its whole picture", where,
                         "write the line with \"region\": 0 first");
    }
    open_->regions.push_back(std::move(region));
  }
  Imported end() {
    finish();
    writer_->commit();
    return done_;
  }

 private:
  void finish() {
    if (!open_) return;
    if (open_->digest.empty()) open_->digest = digest_of(*open_);
    if (writer_->has(open_->digest)) {
      writer_->add_name(open_->name, open_->digest);
      ++done_.aliases;
    } else {
      writer_->add(*open_);
      ++done_.pictures;
      done_.vectors += static_cast<int64_t>(open_->regions.size()) + 1;
    }
    for (const PictureName& name : others_) writer_->add_name(name, open_->digest);
    open_.reset();
    if (writer_->pending() >= commit_every_) writer_->commit();
  }

  const std::unique_ptr<IndexStoreWriter> writer_;
  const int64_t commit_every_;
  std::optional<NewPicture> open_;
  std::vector<PictureName> others_;
  Imported done_;
};

void import_rows(const fs::path& folder, Importing& importing, const RowProgress& progress) {
  const NpyRows vectors(folder / kVectorsFile);
  std::ifstream lines(folder / kRowsFile);
  const std::string file = (folder / kRowsFile).string();
  int64_t number = 0;
  for (std::string text; std::getline(lines, text); ++number) {
    const std::string where = file + ":" + std::to_string(number + 1);
    if (number >= vectors.rows())
      throw Error::input("more lines than vectors", where, "export both again");
    const Json line = parse_json(text, where);
    auto vector = vectors.row(number);
    bring_to_unit_length(vector, where);
    if (json_int(line, "region", where, 0) != 0) {
      importing.region({box_from(line, where), json_string(line, "text", where, ""), vector,
                        quality_from(line, where)},
                       where);
    } else {
      NewPicture picture;
      picture.name.name = json_string(line, "name", where, "");
      if (picture.name.name.empty())
        throw Error::input("a picture without 'name'", where, "give every picture one");
      picture.name.sample = json_int(line, "sample", where, -1);
      picture.digest = json_string(line, "sha256", where, "");
      picture.width = json_int(line, "width", where, 0);
      picture.height = json_int(line, "height", where, 0);
      picture.caption = json_string(line, "caption", where, "");
      picture.vector = std::move(vector);
      std::vector<PictureName> others;
      for (const Json& name : line.value("names", Json::array())) {
        if (name.is_string() && name.get<std::string>() != picture.name.name) {
          others.push_back(picture.name);
          others.back().name = name.get<std::string>();
        }
      }
      importing.whole(std::move(picture), std::move(others));
    }
    if (progress) progress(1);
  }
  if (number != vectors.rows()) {
    throw Error::input(
        std::to_string(number) + " lines for " + std::to_string(vectors.rows()) + " vectors", file,
        "export both again");
  }
}

void import_plain(const std::vector<fs::path>& files, Importing& importing,
                  const RowProgress& progress) {
  for (const fs::path& file : files) {
    const NpyRows vectors(file);
    for (int64_t row = 0; row < vectors.rows(); ++row) {
      NewPicture picture;
      picture.name.name =
          fs::absolute(file).lexically_normal().string() + "#" + std::to_string(row);
      picture.vector = vectors.row(row);
      bring_to_unit_length(picture.vector, picture.name.name);
      importing.whole(std::move(picture), {});
      if (progress) progress(1);
    }
  }
}

std::vector<fs::path> npy_files(const fs::path& folder) {
  const fs::path inner = fs::exists(folder / "img_emb") ? folder / "img_emb" : folder;
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(inner)) {
    if (file.path().extension() == ".npy") files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// A number of its own for each row, the same in every export and below 2^63.
uint64_t row_number(const Json& row) {
  return row["id"].get<uint64_t>() << 20 | row["region"].get<uint64_t>();
}

// One line of JSON for each row: line_of(row's JSON, vector).
template <typename LineOf>
int64_t export_lines(IndexStore& index, const fs::path& file, const RowProgress& progress,
                     const LineOf& line_of) {
  int64_t rows = 0;
  write_folder(file.parent_path(), [&](const fs::path& staged) {
    AtomicFile lines(staged / file.filename());
    rows = for_each_row(index, progress, [&](const Json& row, const std::vector<float>& vector) {
      lines.write(dump_json(line_of(row, vector)) + '\n');
    });
    lines.commit();
  });
  return rows;
}

}  // namespace

int64_t export_npy(IndexStore& index, const fs::path& folder, const RowProgress& progress) {
  int64_t rows = 0;
  write_folder(folder, [&](const fs::path& staged) {
    NpyWriter vectors(staged / kVectorsFile, index.searched(SearchUnit::kBoth), index.info().width);
    AtomicFile lines(staged / kRowsFile);
    rows = for_each_row(index, progress, [&](const Json& row, const std::vector<float>& vector) {
      vectors.add(vector);
      lines.write(dump_json(row) + '\n');
    });
    vectors.commit();
    lines.commit();
    write_file(staged / "index.json", dump_json(index_info_json(index.info()), 2) + "\n");
  });
  return rows;
}

int64_t export_qdrant(IndexStore& index, const fs::path& folder, const RowProgress& progress) {
  return export_lines(index, folder / "points.jsonl", progress,
                      [](const Json& row, const std::vector<float>& vector) {
                        return Json{{"id", row_number(row)}, {"vector", vector}, {"payload", row}};
                      });
}

int64_t export_milvus(IndexStore& index, const fs::path& folder, const RowProgress& progress) {
  return export_lines(index, folder / "rows.jsonl", progress,
                      [](const Json& row, const std::vector<float>& vector) {
                        Json line = {{"id", row_number(row)}, {"vector", vector}};
                        for (const auto& [key, value] : row.items())
                          line[key == "id" ? "picture" : key] = value;
                        return line;
                      });
}

Imported import_vectors(const fs::path& folder, const std::string& index, IndexInfo info,
                        const RowProgress& progress) {
  if (!fs::is_directory(folder))
    throw Error::input("no such folder", folder.string(), "check the path");
  const bool ours = fs::exists(folder / kRowsFile);
  const auto files = ours ? std::vector<fs::path>{folder / kVectorsFile} : npy_files(folder);
  if (files.empty()) {
    throw Error::input("no .npy files", folder.string(),
                       "name a folder with vectors.npy and rows.jsonl, or with img_emb/*.npy");
  }
  const int64_t width = NpyRows(files.front()).width();
  if (ours && fs::exists(folder / "index.json")) {
    const IndexInfo exported = read_index_info(folder);
    if (info.fingerprint.empty()) info = exported;
    if (info.fingerprint == exported.fingerprint)
      info.inverse_temperature = exported.inverse_temperature;
  }
  info.width = width;
  if (!store_exists(index)) create_store(index, info);
  const IndexInfo there = read_store_info(index);
  if (there.width != width || there.fingerprint != info.fingerprint) {
    throw Error::input("the index holds vectors of " + std::to_string(there.width) +
                           " numbers of the model '" + there.model + "', the files " +
                           std::to_string(width) + " of '" + info.model + "'",
                       shown_place(index), "make another index");
  }
  Importing importing(index, kCommitEvery);
  ours ? import_rows(folder, importing, progress) : import_plain(files, importing, progress);
  return importing.end();
}

}  // namespace opencloc
