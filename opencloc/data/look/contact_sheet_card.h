// One sample on a contact sheet. Left: the picture with its boxes, phrases and scores. Right, for a
// record that the data engine was at: its texts and the one the phrases came from, the phrases that
// have regions, those that do not and why, and how each stage was run.
#pragma once

#include <string>

#include "opencloc/data/shard/record.h"

namespace opencloc {

// An <article> with data-regions and data-dropped (counts to filter by); what can be searched for
// is marked data-find; a <li data-i="0 3"> belongs to the picture's rectangles of these numbers,
// first the regions, then the candidates. `where` names the sample; `size`: longest side of the
// picture in pixels. Throws Error when the picture does not decode.
std::string contact_sheet_card(const Record& record, const std::string& where, int size);

}  // namespace opencloc
