// Pictures that are taken and shown.
#pragma once

#include <string>

#include "opencloc/index/catalog.h"
#include "opencloc/serve/service.h"

namespace opencloc::serve {

// The bytes of a request's picture: its body, or the part "image" of a form. Throws Refused.
std::string take_picture(HttpRequest& request);

// Answers with a JPEG that we have made, so that the pixels are those the boxes are of: decoded,
// as stored (EXIF turns nothing), at most as large as the request's `size` says (256 to 1600).
// `tag` stands for the content, so that it is sent once. Call it on `decoding`. Throws Refused.
void answer_picture(Service& service, const CallPtr& call, const std::string& bytes,
                    const std::string& tag);
// Answers 304 when the client has it already. True when that was all.
bool answer_unchanged(const CallPtr& call, const std::string& tag);

// A picture of an index, by its number. Throws Refused where there is none.
HttpError no_such_picture();
PictureEntry indexed_picture(ServedIndex& index, int64_t id);
// The bytes of a picture of an index, where its file, or a sample of its shard, is still what was
// indexed. Nothing but files on this machine that the catalog names is opened. Throws Refused.
std::string read_indexed_picture(const PictureEntry& entry);

}  // namespace opencloc::serve
