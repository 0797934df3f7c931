/* text/grammar/regex_parser.h - what the files of the parser of patterns share; nothing else
 * includes this. */
#ifndef GEMMAD_TEXT_GRAMMAR_REGEX_PARSER_H
#define GEMMAD_TEXT_GRAMMAR_REGEX_PARSER_H

#include "text/grammar/regex.h"
#include "text/grammar/regex_class.h"
#include "text/grammar/regex_part.h"

#define REGEX_N_MADE 64

struct regex_made_set {
    struct code_point_set set; /* as written */
    bool json_string, ignore_case, negated;
    uint32_t expression;
};

struct regex_memo {
    struct regex_made_set made[REGEX_N_MADE]; /* the last ones; n_made counts all */
    size_t n_made;
    size_t cost; /* of all that were made, in ranges */
};

struct regex_parser {
    struct expression_pool *pool;
    const char *text;
    size_t n, at;
    bool json_string, ignore_case, dot_all;
    uint32_t depth, n_unions;
    struct regex_part *parts; /* of sequences and alternations that are being read */
    size_t n_parts, capacity;
    struct regex_memo *memo;
    size_t max_cost; /* of the memo, for this pattern */
    struct error *err;
};

/* Words an error at a byte of the pattern: "regex, character 7: why". */
enum status regex_refuse(struct regex_parser *p, size_t at, const char *why);
bool regex_next_is(const struct regex_parser *p, char c);
bool regex_skip(struct regex_parser *p, const char *token);

/* One code point of the set, which is finished; as the flags say. */
struct regex_part regex_set_part(struct regex_parser *p, struct code_point_set *set, bool negated);
/* p->at is behind the bracket. */
enum status regex_parse_class(struct regex_parser *p, struct regex_part *out);
/* p->at is behind the backslash. */
enum status regex_parse_escape(struct regex_parser *p, struct regex_part *out, bool *out_is_anchor);

#endif
