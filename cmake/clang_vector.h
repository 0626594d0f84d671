// Included before every file by clang 14 and 15. They instantiate the bodies of libstdc++ 12's
// constexpr std::vector at once, also for the incomplete types that libtorch's headers keep in
// vectors; without constexpr they wait until the type is complete.
#pragma once

#include <string>

#pragma push_macro("_GLIBCXX20_CONSTEXPR")
#undef _GLIBCXX20_CONSTEXPR
#define _GLIBCXX20_CONSTEXPR
// <string> has declared this one function of vector<bool> constexpr: give ours another name in the
// source and the expected one in the object file.
#define __fill_a1 __attribute__((weak, used)) __fill_a1_bits
namespace std {
struct _Bit_iterator;
void __fill_a1_bits(_Bit_iterator, _Bit_iterator,
                    const bool&) __asm__("_ZSt9__fill_a1St13_Bit_iteratorS_RKb");
}  // namespace std
#include <vector>
#undef __fill_a1
#pragma pop_macro("_GLIBCXX20_CONSTEXPR")
