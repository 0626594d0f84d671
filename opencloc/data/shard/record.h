// One training sample as it lies in a shard: KEY.jpg|png|webp + KEY.txt + KEY.json (spec: shards
// and records). Boxes are in [0, 1] of the stored image.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/image/box.h"

namespace opencloc {

struct Region {
  Box box;
  std::string text;
  float score = 1;
  std::string source;           // "human", "owlv2", "cloc", "scenes", ...
  Json extra = Json::object();  // unknown keys, kept when the record is rewritten
};

// A member of the sample that is neither its picture, its text nor its JSON, e.g. KEY.cls.
struct Member {
  std::string extension;  // all after the first dot of the file name
  std::string bytes;
};

// What of a sample could not be used, while the rest of it is: counted by the reader.
struct RecordProblem {
  std::string_view reason;  // one of skip::k*
  std::string detail;
};

struct Record {
  std::string key;                    // e.g. "000000012"
  std::string extension;              // of the picture: "jpg", "png", "webp"
  std::string image;                  // the encoded picture's bytes
  std::string alt_text;               // KEY.txt, or "alt_text" of the JSON
  std::string caption;                // "caption" of the JSON
  std::vector<std::string> captions;  // "captions" of the JSON: alternatives of `caption`
  std::vector<Region> regions;
  std::optional<std::string> label;  // class name for zero-shot classification
  Json extra = Json::object();       // every other key of KEY.json, in order
  std::vector<Member> others;        // filled only with ShardOptions::keep_other_members
  std::vector<RecordProblem> problems;
};

// The text that stands for the whole image: caption, else the first of captions, else alt_text.
// Empty when the record has none.
std::string_view image_text(const Record& record);

// Why a sample is skipped: a few fixed names, which SkipCounter counts.
namespace skip {
inline constexpr std::string_view kBadImage = "image does not decode";
inline constexpr std::string_view kBadJson = "bad JSON";
inline constexpr std::string_view kBadBox = "box is not four numbers";
inline constexpr std::string_view kEmptyBox = "box with no area";
inline constexpr std::string_view kCutShort = "member cut short";
inline constexpr std::string_view kNoImage = "no image";
inline constexpr std::string_view kNoText = "no text";
inline constexpr std::string_view kNoEntity = "no entity";
inline constexpr std::string_view kTooLarge = "member too large";
inline constexpr std::string_view kNotPlain = "link or special file";
inline constexpr std::string_view kBadShard = "shard cannot be read";
inline constexpr std::string_view kMissingImage = "image file missing";
inline constexpr std::string_view kBadAnnotation = "annotation cannot be used";
inline constexpr std::string_view kNotUtf8 = "text is not UTF-8";
inline constexpr std::string_view kBadText = "text of unknown form";
inline constexpr std::string_view kOtherSize = "size contradicts the picture";
inline constexpr std::string_view kOfMissing = "annotation of a missing picture";
}  // namespace skip

// A sample that cannot be used. Thrown wherever that is found (reading, parsing, decoding) and
// caught where samples are skipped and counted.
class BadSample : public Error {
 public:
  // `reason` is one of skip::k*; `detail` and `where` say more for the log.
  BadSample(std::string_view reason, std::string_view detail, std::string_view where);
  const std::string& reason() const { return reason_; }

 private:
  std::string reason_;
};

// Fills caption, captions, alt_text (unless KEY.txt gave it), label, regions and extra from the
// text of KEY.json (base/text_file.h). Boxes that stick out of the image are clipped. A region or a
// text that cannot be used is left out and told in Record::problems. Throws BadSample (kBadJson)
// naming `where` when the text is no JSON object; the record is then unfinished.
void parse_record_json(std::string_view text, std::string_view where, Record& record);
// KEY.txt as alt_text: UTF-8 without a byte order mark and the blanks behind; what is in another
// encoding is left out and told in Record::problems.
void set_alt_text(std::string bytes, Record& record);
// KEY.json: the known keys in a fixed order, then `extra` in its own order. Numbers are written as
// the shortest that read back the same, so parse(dump(record)) changes nothing.
Json record_json(const Record& record);

// Extensions a picture may have in a shard, lower case without the dot.
bool is_picture_extension(std::string_view extension);

// A name from outside (tar member, path) as a key: '/'-separated, without "..", ".", leading '/',
// control characters; dots of the last part become '_'. Never empty.
std::string safe_key(std::string_view name);

// Splits a member name as webdataset does: the key ends at the first dot of the base name.
// False for names that belong to no sample (no dot, hidden, folders).
bool split_member_name(std::string_view name, std::string& key, std::string& extension);

}  // namespace opencloc
