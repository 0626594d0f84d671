#include "opencloc/label/word_lists.h"

#include <algorithm>
#include <cctype>
#include <unordered_set>

namespace opencloc::words {
namespace {

using Set = std::unordered_set<std::string_view>;

}  // namespace

bool is_web(std::string_view word) {
  static const Set kWords = {
      "image",        "images",     "photo",    "photos",       "photograph",   "photographs",
      "photography",  "picture",    "pictures", "pic",          "pics",         "stock",
      "wallpaper",    "wallpapers", "download", "downloads",    "free",         "www",
      "com",          "http",       "https",    "jpg",          "jpeg",         "png",
      "gif",          "pdf",        "html",     "sale",         "shipping",     "buy",
      "price",        "prices",     "discount", "online",       "shop now",     "royalty",
      "royalty-free", "copyright",  "getty",    "shutterstock", "alamy",        "istock",
      "flickr",       "pinterest",  "vector",   "clipart",      "illustration", "illustrations",
      "rendering",    "render",     "3d",       "hd",           "4k",           "thumbnail",
      "screenshot",   "logo",       "icon",     "template",     "background",   "backgrounds",
      "foreground",   "closeup",    "close-up", "close",        "view",         "views",
      "shot",         "scene",      "footage",  "untitled",     "size",         "new"};
  return word != "new" && kWords.contains(word);
}

bool is_place(std::string_view word) {
  static const Set kWords = {"front",   "top",   "middle", "center",    "centre",    "back",
                             "bottom",  "left",  "right",  "side",      "sides",     "edge",
                             "edges",   "end",   "ends",   "inside",    "outside",   "distance",
                             "way",     "other", "others", "one",       "ones",      "midair",
                             "mid-air", "rear",  "midst",  "direction", "directions"};
  return kWords.contains(word);
}

bool is_stop(std::string_view word) {
  static const Set kWords = {"something", "someone", "somebody", "anything", "anyone", "everything",
                             "everyone",  "nothing", "thing",    "things",   "lot",    "lots",
                             "bit",       "kind",    "kinds",    "type",     "types",  "sort",
                             "sorts",     "part",    "parts",    "rest",     "time",   "times",
                             "while",     "order",   "home",     "each",     "own",    "same",
                             "such",      "day",     "today",    "place",    "use",    "i",
                             "ii",        "fun",     "motion",   "progress"};
  return kWords.contains(word) || is_place(word);
}

bool is_group(std::string_view word) {
  static const Set kWords = {
      "group",  "groups",    "bunch", "bunches",    "couple",     "pair",    "pairs",   "crowd",
      "herd",   "flock",     "row",   "rows",       "pile",       "piles",   "stack",   "stacks",
      "lot",    "lots",      "set",   "sets",       "series",     "variety", "number",  "kind",
      "type",   "line",      "lines", "assortment", "collection", "array",   "handful", "dozens",
      "plenty", "selection", "fleet", "range",      "amount",     "lineup"};
  return kWords.contains(word);
}

bool is_determiner(std::string_view word) {
  static const Set kWords = {
      "a",        "an",   "the",   "this", "these", "those",   "his",     "her",     "its",
      "their",    "my",   "your",  "our",  "some",  "many",    "several", "few",     "all",
      "both",     "each", "every", "any",  "no",    "another", "other",   "various", "numerous",
      "multiple", "more", "most",  "what", "which", "whose",   "either",  "own"};
  return kWords.contains(word);
}

bool is_pronoun(std::string_view word) {
  static const Set kWords = {
      "he",         "she",    "it",         "they",  "we",      "you",       "i",
      "him",        "them",   "us",         "me",    "who",     "whom",      "himself",
      "herself",    "itself", "themselves", "there", "someone", "something", "everyone",
      "everything", "that",   "here",       "one's", "yourself"};
  return kWords.contains(word);
}

bool is_preposition(std::string_view word) {
  static const Set kWords = {
      "of",     "in",     "on",     "at",      "by",      "with",       "from",      "to",
      "into",   "onto",   "over",   "under",   "above",   "below",      "beside",    "besides",
      "behind", "near",   "next",   "between", "among",   "amongst",    "through",   "throughout",
      "across", "along",  "around", "against", "beneath", "underneath", "upon",      "off",
      "out",    "up",     "down",   "about",   "toward",  "towards",    "for",       "without",
      "within", "during", "past",   "atop",    "inside",  "outside",    "per",       "via",
      "amid",   "aboard", "beyond", "like",    "away",    "together",   "alongside", "opposite",
      "after",  "before", "until",  "since",   "except",  "than"};
  return kWords.contains(word);
}

bool is_conjunction(std::string_view word) {
  static const Set kWords = {"and",   "or",   "but",     "while", "as",      "when",
                             "where", "nor",  "yet",     "&",     "because", "if",
                             "so",    "then", "whereas", "plus",  "with"};
  return kWords.contains(word) && word != "with";
}

bool is_auxiliary(std::string_view word) {
  static const Set kWords = {
      "is",     "are",    "was",   "were", "be",  "been",  "being",  "am",   "has",    "have",
      "had",    "having", "do",    "does", "did", "can",   "could",  "will", "would",  "shall",
      "should", "may",    "might", "must", "not", "isn't", "aren't", "it's", "there's"};
  return kWords.contains(word);
}

bool is_number(std::string_view word) {
  static const Set kWords = {"two",    "three",    "four",    "five",      "six",
                             "seven",  "eight",    "nine",    "ten",       "eleven",
                             "twelve", "thirteen", "fifteen", "twenty",    "thirty",
                             "fifty",  "hundred",  "dozen",   "half-dozen"};
  if (kWords.contains(word)) return true;
  return !word.empty() && word.size() <= 4 &&
         std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c); });
}

bool joins_noun(std::string_view word) {
  static const Set kWords = {"covered",  "filled", "lined", "shaped", "capped", "topped", "colored",
                             "coloured", "themed", "sized", "styled", "made",   "based",  "clad"};
  return kWords.contains(word);
}

bool is_rarely_verb(std::string_view word) {
  static const Set kWords = {
      "people", "person", "man",        "men",       "woman",     "women",    "child",  "children",
      "boy",    "boys",   "girl",       "girls",     "kid",       "kids",     "dog",    "dogs",
      "brown",  "black",  "white",      "red",       "blue",      "green",    "yellow", "pink",
      "gray",   "grey",   "purple",     "golden",    "tan",       "hand",     "hands",  "head",
      "heads",  "arm",    "arms",       "bus",       "water",     "fire",     "air",    "snow",
      "sand",   "street", "skateboard", "surfboard", "snowboard", "bottle",   "table",  "chair",
      "plate",  "bowl",   "stone",      "wood",      "field",     "market",   "store",  "garden",
      "tree",   "trees",  "flower",     "flowers",   "baby",      "babies",   "lady",   "cat",
      "cats",   "bird",   "birds",      "horse",     "horses",    "elephant", "ball",   "book",
      "books",  "box",    "boxes",      "hat",       "coat",      "pot",      "light",  "lights",
      "mirror", "wave",   "mountain",   "beach",     "path",      "track",    "tracks", "bench",
      "corner", "bridge", "boat",       "boats",     "truck",     "trucks",   "train",  "plane",
      "bike",   "bikes",  "cart",       "clock",     "phone",     "cell",     "mouth",  "face",
      "faces",  "eye",    "eyes",       "nose",      "back",      "front",    "top",    "ground",
      "floor",  "wall",   "window",     "room",      "bed",       "toilet",   "sink",   "counter",
      "oven",   "picnic", "piece",      "pieces",    "cake",      "sandwich", "pizza",  "onion",
      "crowd",  "team",   "group",      "bunch",     "pair",      "couple",   "line",   "row",
      "pile",   "stack",  "set",        "mother",    "father",    "sky",      "cloud",  "clouds",
      "rain",   "ice",    "grass",      "mud",       "rock",      "rocks",    "hill",   "shirt",
      "pants",  "shorts", "glasses",    "leaves",    "leash",     "collar",   "stick",  "rope",
      "toy",    "toys",   "tent",       "stage",     "guard",     "pet",      "pool",   "slide",
      "old",    "young",  "little",     "clear",     "open",      "dry",      "wet",    "dirty",
      "empty",  "calm",   "narrow",     "thin",      "smooth",    "rough",    "warm",   "cool",
      "tank",   "paper",  "branch",     "shelf",     "lamp",      "salmon",   "honey",  "ship"};
  return kWords.contains(word);
}

bool is_mostly_verb(std::string_view word) {
  static const Set kWords = {
      "wears",    "holds",    "stands",   "sits",    "runs",     "jumps",    "rides",   "walks",
      "plays",    "looks",    "leaps",    "swings",  "pulls",    "pushes",   "throws",  "catches",
      "carries",  "shows",    "watches",  "poses",   "rests",    "hangs",    "leans",   "points",
      "climbs",   "swims",    "dives",    "eats",    "drinks",   "stares",   "smiles",  "jump",
      "run",      "sit",      "stand",    "walk",    "hold",     "look",     "ride",    "wear",
      "features", "displays", "captures", "holding", "wearing",  "standing", "sitting", "riding",
      "runs",     "sleeps",   "chases",   "kicks",   "hits",     "talks",    "reaches", "races",
      "drives",   "passes",   "turns",    "moves",   "performs", "prepares", "waits",   "lies",
      "lays",     "tries",    "gets",     "makes",   "takes",    "gives",    "puts",    "uses",
      "stops",    "rises",    "splashes", "paddles", "shakes",   "chews",    "digs",    "flies"};
  return kWords.contains(word);
}

bool is_mostly_noun(std::string_view word) {
  static const Set kWords = {"building", "painting", "clothing", "ceiling",  "crossing", "landing",
                             "drawing",  "railing",  "awning",   "king",     "ring",     "spring",
                             "string",   "wing",     "swing",    "evening",  "morning",  "wedding",
                             "pudding",  "thing",    "frosting", "dressing", "stuffing", "lighting",
                             "seating",  "icing",    "bedding",  "railing",  "siding",   "earring",
                             "bowling",  "parking",  "living",   "dining",   "shopping", "swimming",
                             "wiring",   "topping",  "stocking", "kitchen",  "vending",  "racing"};
  return kWords.contains(word);
}

bool is_also_adjective(std::string_view word) {
  static const Set kWords = {"vintage",     "retro",    "antique",   "stainless", "teenage",
                             "outdoor",     "indoor",   "overhead",  "adult",     "junior",
                             "senior",      "male",     "female",    "asian",     "african",
                             "european",    "italian",  "french",    "chinese",   "japanese",
                             "indian",      "american", "mexican",   "german",    "brand-new",
                             "picturesque", "upscale",  "makeshift", "grassy",    "pastel"};
  return kWords.contains(word);
}

bool is_irregular_participle(std::string_view word) {
  static const Set kWords = {"fallen",    "broken", "worn",      "frozen",   "hidden", "torn",
                             "woven",     "grown",  "swollen",   "thrown",   "drawn",  "written",
                             "beaten",    "driven", "eaten",     "taken",    "stolen", "sunken",
                             "shrunken",  "knit",   "lit",       "bent",     "burnt",  "blown",
                             "shown",     "given",  "seen",      "done",     "built",  "made",
                             "held",      "hung",   "overgrown", "handmade", "mown",   "sewn",
                             "forgotten", "ridden", "cut",       "caught",   "unmade"};
  return kWords.contains(word);
}

bool is_color(std::string_view word) {
  static const Set kWords = {"white",  "black", "brown",  "red",  "blue",   "green",
                             "yellow", "pink",  "gray",   "grey", "purple", "tan",
                             "golden", "teal",  "maroon", "beige"};
  return kWords.contains(word);
}

bool is_plural(std::string_view noun) {
  static const Set kIrregular = {"people", "men",  "women",  "children", "geese", "sheep", "feet",
                                 "teeth",  "mice", "police", "fish",     "deer",  "cattle"};
  if (kIrregular.contains(noun) || noun.ends_with("men")) return true;
  return noun.size() > 3 && noun.ends_with('s') && !noun.ends_with("ss") && !noun.ends_with("us") &&
         !noun.ends_with("is");
}

std::string_view singular(std::string_view noun) {
  if (noun.size() <= 3 || !noun.ends_with('s') || noun.ends_with("ss")) return noun;
  for (const std::string_view end : {"ches", "shes", "xes", "sses", "zes"}) {
    if (noun.ends_with(end)) return noun.substr(0, noun.size() - 2);
  }
  return noun.substr(0, noun.size() - 1);
}

}  // namespace opencloc::words
