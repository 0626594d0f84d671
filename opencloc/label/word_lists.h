// The closed lists of the phrase stage. All in lower case.
#pragma once

#include <string_view>

namespace opencloc::words {

// Of the web rather than of the picture: image, photo, stock, wallpaper, download, ... (the paper
// drops about 60 such words).
bool is_web(std::string_view word);
// Nouns that name no thing that could be boxed when they stand alone: day, thing, lot, ...
bool is_stop(std::string_view word);
// Those that name none with an adjective either: (left) side, (far) end, front, middle.
bool is_place(std::string_view word);
// Nouns that only count what follows their "of": group, pair, bunch, ...
bool is_group(std::string_view word);

bool is_determiner(std::string_view word);   // the, his, some, many, ...
bool is_pronoun(std::string_view word);      // he, who, it, ...
bool is_preposition(std::string_view word);  // of, on, beside, ...
bool is_conjunction(std::string_view word);  // and, while, ...
bool is_auxiliary(std::string_view word);    // is, has, can, ...
bool is_number(std::string_view word);       // two, twelve, 2015
// Participles that take a noun before them to an attribute: (snow) covered, (star) shaped.
bool joins_noun(std::string_view word);
// Words written like verbs that pictures hold as things or qualities far more often (stop, hand,
// people, brown, play), so that a lone reading as a verb needs good reason.
bool is_rarely_verb(std::string_view word);
// Words the dictionary knows as nouns too, which captions use as verbs almost always (wears,
// holds).
bool is_mostly_verb(std::string_view word);
// Nouns in -ing: building, painting, wedding.
bool is_mostly_noun(std::string_view word);
// What the dictionary has as a noun or a verb alone, and captions use as an attribute too.
bool is_also_adjective(std::string_view word);
// Participles the dictionary does not tell from base forms: fallen, worn, knit.
bool is_irregular_participle(std::string_view word);
bool is_color(std::string_view word);
bool is_plural(std::string_view noun);
// "dogs" -> "dog", "boxes" -> "box"; what is no plural stays. For comparing, not for reading.
std::string_view singular(std::string_view noun);

}  // namespace opencloc::words
