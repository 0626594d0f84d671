#include "opencloc/data/shard/shard_reader.h"

#include <utility>

#include "opencloc/data/remote/local_shard.h"
#include "opencloc/data/shard/sample_stream.h"
#include "opencloc/data/shard/tar_stream.h"

namespace opencloc {

struct ShardReader::Open {
  explicit Open(const std::string& path, uint64_t max_bytes)
      : file(path), tar(TarStream::open(file.path(), path)), samples(tar, max_bytes) {}
  LocalShard file;
  TarStream tar;
  SampleStream samples;
};

ShardReader::ShardReader(std::string path, SkipCounter& skips, ShardOptions options)
    : path_(std::move(path)), skips_(skips), options_(options) {
  guarded([this] {
    open_ = std::make_unique<Open>(path_, options_.max_member_bytes);
    return true;
  });
}

ShardReader::~ShardReader() = default;

// Runs one reading step; with skip_bad_shards a damaged shard is counted and left.
template <typename Step>
bool ShardReader::guarded(const Step& step) {
  try {
    return step();
  } catch (const Error& e) {
    open_.reset();
    if (!options_.skip_bad_shards) throw;
    skips_.add(skip::kBadShard, path_, e.what());
    return false;
  }
}

bool ShardReader::next(Record& record, int64_t end) {
  RawSample sample;
  while (open_ && position_ < end &&
         guarded([&] { return open_->samples.next(sample, SampleStream::Data::kRead); })) {
    ++position_;
    try {
      name_ = path_ + "#" + sample.key;
      record = make_record(std::move(sample), path_, options_);
      for (const auto& problem : record.problems) {
        skips_.add(problem.reason, name_, problem.detail);
      }
      return true;
    } catch (const BadSample& bad) {
      skips_.add(bad);
    }
  }
  return false;
}

void ShardReader::skip(int64_t count) {
  RawSample sample;
  while (count-- > 0 && open_ &&
         guarded([&] { return open_->samples.next(sample, SampleStream::Data::kPass); })) {
    ++position_;
  }
}

}  // namespace opencloc
