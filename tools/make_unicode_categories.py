#!/usr/bin/env python3
"""Writes text/grammar/unicode_categories.h: the general category of every code point, for \\p{Lu} in
patterns, as this Python's Unicode has it. Run by hand when the Unicode version should change:

    tools/make_unicode_categories.py > text/grammar/unicode_categories.h
"""
import sys
import unicodedata

CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp "
              "Cc Cf Cs Co Cn").split()


def main():
    print(f"""/* text/grammar/unicode_categories.h - made by tools/make_unicode_categories.py from Unicode {unicodedata.unidata_version}.
 * Included by text/grammar/regex_category.c alone. */
#ifndef GEMMAD_TEXT_GRAMMAR_UNICODE_CATEGORIES_H
#define GEMMAD_TEXT_GRAMMAR_UNICODE_CATEGORIES_H

#include <stdint.h>

static const char category_names[][3] = {{
    {", ".join(f'"{name}"' for name in CATEGORIES[:15])},
    {", ".join(f'"{name}"' for name in CATEGORIES[15:])},
}};

/* Where runs of one category begin: first code point * 32 + index of the name; in order. */
/* clang-format off */
static const uint32_t category_runs[] = {{""")
    line, last = "   ", None
    for c in range(0x110000):
        category = unicodedata.category(chr(c))
        if category == last:
            continue
        last = category
        entry = f" {c * 32 + CATEGORIES.index(category):#X},".replace("0X", "0x")
        if len(line) + len(entry) > 100:
            print(line)
            line = "   "
        line += entry
    print(line + "\n};\n/* clang-format on */\n\n#endif")


if __name__ == "__main__":
    sys.exit(main())
