// Tar members grouped into samples by key, as webdataset does. Used by ShardReader and ShardFile.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/shard/record.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/tar_stream.h"

namespace opencloc {

// All members of one key, raw.
struct RawSample {
  std::string key;
  uint64_t offset = 0;  // of its first header in the uncompressed tar
  uint64_t end = 0;     // where the next sample may start at the earliest
  std::vector<Member> members;
  std::string_view problem;  // one of skip::k*, empty when the sample may be used
  std::string detail;
};

// Not thread-safe.
class SampleStream {
 public:
  enum class Data { kRead, kPass };

  // `max_bytes` bounds the members of one sample together.
  SampleStream(TarStream& tar, uint64_t max_bytes) : tar_(tar), max_bytes_(max_bytes) {}

  // False at the end. With kPass no data is read and `members` stays empty. A tar that stops early
  // gives a last sample with the problem kCutShort. Throws Error (input) for damaged tars.
  bool next(RawSample& sample, Data data);

 private:
  bool fetch();  // makes pending_ the next member that belongs to a sample
  void add(RawSample& sample, Data data);

  TarStream& tar_;
  const uint64_t max_bytes_;
  TarMember pending_;
  std::string pending_key_;
  std::string pending_extension_;
  uint64_t held_ = 0;  // bytes of the sample that is being read
  bool has_pending_ = false;
  bool cut_short_ = false;
  bool done_ = false;
};

// Turns a raw sample into a record; `shard` is for messages. Throws BadSample.
Record make_record(RawSample&& sample, std::string_view shard, const ShardOptions& options);

}  // namespace opencloc
