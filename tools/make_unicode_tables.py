#!/usr/bin/env python3
"""Writes text/unicode_tables.h: the case mappings and white space of this Python's Unicode.

The chat templates' filters upper, lower, trim and dictsort are Python's string methods, so Python is
asked for every code point. Run by hand when the Unicode version should change:

    tools/make_unicode_tables.py > text/unicode_tables.h
"""
import sys
import unicodedata

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def mappings(convert):
    """Ranges (first, last, stride, delta) of one-to-one mappings, and the one-to-many ones."""
    ranges, special = [], []
    for c in CODE_POINTS:
        mapped = convert(chr(c))
        if mapped == chr(c):
            continue
        if len(mapped) > 1:
            special.append((c, [ord(m) for m in mapped]))
            continue
        delta = ord(mapped) - c
        if ranges:
            first, last, stride, of = ranges[-1]
            step = c - last
            if of == delta and step <= 2 and (first == last or step == stride):
                ranges[-1] = (first, c, step, delta)
                continue
        ranges.append((c, c, 1, delta))
    return ranges, special


def runs(predicate):
    out = []
    for c in CODE_POINTS:
        if predicate(c):
            if out and out[-1][1] == c - 1:
                out[-1][1] = c
            else:
                out.append([c, c])
    return out


def is_cased(c):
    return chr(c).isupper() or chr(c).islower() or chr(c).istitle()


def is_case_ignorable(c):
    """Sigma is final after a cased letter, whatever case-ignorable characters stand between."""
    if is_cased(c):
        return (chr(c) + "\u03a3").lower()[-1] == "\u03c3"
    return ("A" + chr(c) + "\u03a3").lower()[-1] == "\u03c2"


def print_table(kind, name, rows):
    print(f"static const struct {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        entry = " {" + ", ".join(row) + "},"
        if len(line) + len(entry) > 100:
            print(line)
            line = "   "
        line += entry
    print(line + "\n};\n")


def print_mapping(name, convert):
    ranges, special = mappings(convert)
    print_table("case_range", f"{name}_ranges",
                [(f"0x{a:X}", f"0x{b:X}", str(s), str(d)) for a, b, s, d in ranges])
    print_table("case_special", f"{name}_specials",
                [(f"0x{c:X}", "{" + ", ".join(f"0x{m:X}" for m in ms) + "}") for c, ms in special])


def main():
    print(f"""/* text/unicode_tables.h - made by tools/make_unicode_tables.py from Unicode {unicodedata.unidata_version}.
 * Included by text/unicode.c alone. */
#ifndef GEMMAD_TEXT_UNICODE_TABLES_H
#define GEMMAD_TEXT_UNICODE_TABLES_H

#include <stdint.h>

/* Every stride-th code point from first to last maps to itself + delta. */
struct case_range {{
    uint32_t first, last, stride;
    int32_t delta;
}};

struct case_special {{
    uint32_t code_point;
    uint32_t mapped[3]; /* zeros behind */
}};

struct code_point_range {{
    uint32_t first, last;
}};

/* clang-format off */""")
    print_mapping("upper", str.upper)
    print_mapping("lower", lambda c: c.lower())
    print_mapping("title", str.title)
    for name, predicate in (("cased", is_cased), ("case_ignorable", is_case_ignorable),
                            ("space", lambda c: chr(c).isspace()),
                            ("unprintable", lambda c: not chr(c).isprintable())):
        print_table("code_point_range", f"{name}_ranges",
                    [(f"0x{a:X}", f"0x{b:X}") for a, b in runs(predicate)])
    print("/* clang-format on */\n\n#endif")


if __name__ == "__main__":
    sys.exit(main())
