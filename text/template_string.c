/* text/template_string.c - Python's string operations on cords: each result byte keeps the origin
 * of the byte it was made from. */
#include <string.h>

#include "base/utf8.h"
#include "text/template_builtins.h"
#include "text/unicode.h"

static bool is_trimmed(struct budget *budget, const struct cord *set, const char *character,
                       size_t n, uint32_t code_point)
{
    if (!set)
        return unicode_is_space(code_point);
    struct cord needle = {.length = n, .bytes = character};
    return cord_find(budget, set, 0, &needle) != SIZE_MAX;
}

struct cord *string_trim(struct budget *budget, struct cord *text, struct cord *characters,
                         bool left, bool right)
{
    const struct cord *flat = cord_flatten(budget, text);
    const struct cord *set = characters ? cord_flatten(budget, characters) : NULL;
    budget_charge(budget, flat->length / 64);
    size_t start = 0;
    size_t end = flat->length;
    uint32_t code_point;
    while (left && start < end) {
        size_t n = utf8_decode(flat->bytes + start, end - start, &code_point);
        if (!is_trimmed(budget, set, flat->bytes + start, n, code_point))
            break;
        start += n;
    }
    while (right && start < end) {
        size_t last = end - 1;
        while (last > start && ((unsigned char)flat->bytes[last] & 0xC0) == 0x80)
            last--;
        size_t n = utf8_decode(flat->bytes + last, end - last, &code_point);
        if (!is_trimmed(budget, set, flat->bytes + last, n, code_point))
            break;
        end = last;
    }
    return cord_slice(budget, flat, start, end - start);
}

// A sigma is final after a cased letter and before none, case-ignorable ones not counted. after
// says whether the former holds.
static bool is_final_sigma(struct budget *budget, const struct cord *flat, size_t behind,
                           bool after_cased)
{
    while (after_cased && behind < flat->length) {
        uint32_t code_point;
        behind += utf8_decode(flat->bytes + behind, flat->length - behind, &code_point);
        budget_charge(budget, 1);
        if (!unicode_is_case_ignorable(code_point))
            return !unicode_is_cased(code_point);
    }
    return after_cased;
}

// One character's mapping; word_start: it begins the text, or for titles a word.
static size_t map_character(enum letter_case to, bool word_start, uint32_t code_point,
                            uint32_t out[UNICODE_MAX_MAPPED])
{
    if (to == CASE_UPPER)
        return unicode_upper(code_point, out);
    if (to == CASE_CAPITAL && word_start)
        return unicode_title(code_point, out);
    if (to == CASE_TITLE && word_start)
        return unicode_upper(code_point, out);
    return unicode_lower(code_point, out);
}

// Jinja's title filter splits words at these.
static bool splits_title(uint32_t c)
{
    return unicode_is_space(c) || (c < 0x80 && c && strchr("-({[<", (int)c));
}

static void write_code_points(struct cord_writer *writer, const uint32_t *mapped, size_t n,
                              bool from_client)
{
    for (size_t i = 0; i < n; i++) {
        char bytes[UTF8_MAX_BYTES];
        cord_writer_add(writer, bytes, utf8_encode(mapped[i], bytes), from_client);
    }
}

struct cord *string_case(struct budget *budget, struct cord *text, enum letter_case to)
{
    const struct cord *flat = cord_flatten(budget, text);
    struct cord_writer writer;
    cord_writer_init(&writer, budget, flat->length * 3); // no mapping grows more
    bool word_start = true;
    bool after_cased = false;
    for (size_t at = 0; at < flat->length;) {
        uint32_t c;
        uint32_t mapped[UNICODE_MAX_MAPPED];
        size_t n = utf8_decode(flat->bytes + at, flat->length - at, &c);
        size_t n_mapped = map_character(to, word_start, c, mapped);
        if (c == 0x3A3 && mapped[0] == 0x3C3 && is_final_sigma(budget, flat, at + n, after_cased))
            mapped[0] = 0x3C2;
        write_code_points(&writer, mapped, n_mapped, cord_byte_is_client(flat, at));
        if (!unicode_is_case_ignorable(c))
            after_cased = unicode_is_cased(c);
        if (to == CASE_TITLE && word_start)
            after_cased = false; // Jinja lowers the rest of a word by itself
        word_start = to == CASE_TITLE && splits_title(c);
        at += n;
    }
    return cord_writer_finish(&writer, budget);
}

// Before each character and at the end, as Python does for an empty needle.
static struct cord *replace_empty(struct budget *budget, const struct cord *flat, struct cord *to,
                                  int64_t max)
{
    struct cord *result = cord_text(budget, "");
    size_t at = 0;
    for (; max != 0; max--) {
        budget_charge(budget, 1);
        result = cord_join(budget, result, to);
        if (at == flat->length)
            return result;
        uint32_t c;
        size_t n = utf8_decode(flat->bytes + at, flat->length - at, &c);
        result = cord_join(budget, result, cord_slice(budget, flat, at, n));
        at += n;
    }
    return cord_join(budget, result, cord_slice(budget, flat, at, flat->length - at));
}

struct cord *string_replace(struct budget *budget, struct cord *text, struct cord *from,
                            struct cord *to, int64_t max)
{
    const struct cord *flat = cord_flatten(budget, text);
    const struct cord *needle = cord_flatten(budget, from);
    if (needle->length == 0)
        return replace_empty(budget, flat, to, max);
    struct cord *result = cord_text(budget, "");
    size_t at = 0;
    for (; max != 0; max--) {
        size_t found = cord_find(budget, flat, at, needle);
        if (found == SIZE_MAX)
            break;
        budget_charge(budget, 1);
        result = cord_join(budget, result, cord_slice(budget, flat, at, found - at));
        result = cord_join(budget, result, to);
        at = found + needle->length;
    }
    return cord_join(budget, result, cord_slice(budget, flat, at, flat->length - at));
}
