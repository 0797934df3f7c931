/* text/grammar/regex.h - regular expressions as people write them, made into expressions over
 * bytes.
 *
 * The syntax that Python, ECMAScript and Rust share: classes, groups of every naming, alternation,
 * counted repeats, lazy quantifiers (the language is the same), anchors, \d \w (ASCII), \s (with
 * Unicode's spaces), \xHH, \uXXXX, \u{H}, \p{Lu} (general categories), flags (?i) and (?s). Where
 * they differ: "]" right behind "[" or "[^" is itself, "{" that begins no repeat is itself, {,n} is
 * {0,n}, "." is any code point but U+000A, $ is the very end. Case is ignored below U+0590 only.
 * What no regular language has (look-around, back references) or no set of whole texts needs (word
 * boundaries, multi-line anchors, atomic groups) is refused by name.
 * Thread: the pool's. */
#ifndef GEMMAD_TEXT_GRAMMAR_REGEX_H
#define GEMMAD_TEXT_GRAMMAR_REGEX_H

#include "base/status.h"
#include "text/grammar/expression.h"

#define REGEX_MAX_BYTES (64U << 10)
#define REGEX_MAX_DEPTH 200U          /* nested groups */
#define REGEX_MAX_REPEAT 65535U       /* in {m,n} */
#define REGEX_MAX_RANGES 32768U       /* in all its different classes; \p{L} has 600 */
#define REGEX_MAX_MEMO_RANGES 262144U /* the same, of all patterns with one memo */
#define REGEX_MAX_UNIONS 512U         /* what anchors cost where they need not hold: (^|a)b?c */

/* Classes that were made lately, for who parses many patterns into one pool. Of no use once a
 * pattern was refused. */
struct regex_memo;
struct regex_memo *regex_memo_create(void);
void regex_memo_destroy(struct regex_memo *memo); /* NULL is fine */

struct regex_options {
    bool json_string; /* code points as they stand inside a JSON string, see regex_json_code_points
                       */
    bool search;      /* anything may stand before and behind, unless anchored: JSON Schema's
                         pattern. Else the whole text must match */
    bool ignore_case; /* as if it began with (?i) */
    bool dot_all;     /* as if it began with (?s) */
    struct regex_memo *memo; /* of this pool, or NULL: the pattern's own */
};

/* options may be NULL. INVALID_ARGUMENT: "regex, character 7: ..."; also for a limit above, or when
 * the pool has overflowed. A pattern that no text matches gives EXPRESSION_NOTHING and no error. */
NODISCARD enum status regex_parse(struct expression_pool *pool, const char *pattern, size_t n,
                                  const struct regex_options *options, uint32_t *out,
                                  struct error *err);

/* One code point of the ranges (any order, may overlap; surrogates are skipped) as it may stand
 * inside a JSON string: its UTF-8, unless JSON wants it escaped; \" \\ \/ \b \f \n \r \t; \uXXXX
 * with digits of both cases, as a pair of surrogates from U+10000 on. */
uint32_t regex_json_code_points(struct expression_pool *pool, const struct code_point_range *ranges,
                                size_t n);

#endif
