// GRIT's boxes (Peng et al., "Kosmos-2", 2023), as img2dataset leaves them in KEY.json:
// "noun_chunks" and "ref_exps", lists of [begin, end, x0, y0, x1, y1, score]: letters of the
// caption, and a box in [0, 1].
#pragma once

#include "opencloc/data/shard/record.h"

namespace opencloc {

// Makes regions of record.extra's "ref_exps" and "noun_chunks", which stay where they are. The same
// words with the same box are one region. For records without regions of their own; what cannot be
// used is told in Record::problems.
void add_grit_regions(Record& record);

}  // namespace opencloc
