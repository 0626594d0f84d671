#include "opencloc/data/shard/sample_stream.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace opencloc {

bool SampleStream::fetch() {
  while (!done_) {
    switch (tar_.next(pending_)) {
      case TarStream::Status::kEnd:
        done_ = true;
        return false;
      case TarStream::Status::kCutShort:
        done_ = cut_short_ = true;
        return false;
      case TarStream::Status::kMember:
        break;
    }
    if (pending_.is_folder) continue;
    if (split_member_name(pending_.name, pending_key_, pending_extension_)) return true;
  }
  return false;
}

void SampleStream::add(RawSample& sample, Data data) {
  Member member{pending_extension_, {}};
  bool whole = true;
  if (!pending_.is_plain) {
    sample.problem = skip::kNotPlain;
    sample.detail = "." + pending_extension_;
    whole = tar_.skip();
  } else if (pending_.size > max_bytes_ - std::min(held_, max_bytes_)) {
    sample.problem = skip::kTooLarge;
    sample.detail = "." + pending_extension_ + " has " + std::to_string(pending_.size) + " bytes";
    whole = tar_.skip();
  } else if (data == Data::kRead) {
    whole = tar_.read(member.bytes);
    held_ += member.bytes.size();
    sample.members.push_back(std::move(member));
  } else {
    whole = tar_.skip();
  }
  sample.end = tar_.position();
  if (!whole) done_ = cut_short_ = true;
}

bool SampleStream::next(RawSample& sample, Data data) {
  sample = RawSample{};
  if (!has_pending_ && !fetch()) return false;
  has_pending_ = false;
  sample.key = pending_key_;
  sample.offset = pending_.offset;
  std::unordered_set<std::string> seen;
  held_ = 0;
  do {
    seen.insert(pending_extension_);
    add(sample, data);
    if (!done_ && fetch()) {
      sample.end = pending_.offset;
      // The same extension again: another sample of the same name, as in appended tars.
      has_pending_ = pending_key_ != sample.key || seen.contains(pending_extension_);
    }
  } while (!done_ && !has_pending_);
  if (cut_short_ && !has_pending_) {
    sample.problem = skip::kCutShort;
    sample.detail = "the shard stops here";
  }
  return true;
}

Record make_record(RawSample&& sample, std::string_view shard, const ShardOptions& options) {
  const std::string where = std::string(shard) + "#" + sample.key;
  if (!sample.problem.empty()) throw BadSample(sample.problem, sample.detail, where);
  Record record;
  record.key = std::move(sample.key);
  const Member* json = nullptr;
  for (auto& member : sample.members) {
    if (record.extension.empty() && is_picture_extension(member.extension)) {
      record.extension = std::move(member.extension);
      record.image = std::move(member.bytes);
    } else if (member.extension == "txt") {
      set_alt_text(std::move(member.bytes), record);
    } else if (member.extension == "json") {
      json = &member;
    } else if (options.keep_other_members) {
      record.others.push_back(std::move(member));
    }
  }
  if (record.image.empty()) {
    throw BadSample(
        skip::kNoImage,
        record.extension.empty() ? "no .jpg, .png or .webp member" : "picture of 0 bytes", where);
  }
  if (json != nullptr) parse_record_json(json->bytes, where, record);
  return record;
}

}  // namespace opencloc
