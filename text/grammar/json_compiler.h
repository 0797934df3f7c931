/* text/grammar/json_compiler.h - what the files of the JSON Schema compiler share; nothing else
 * includes this.
 *
 * The compiler works on conjunctions: lists of parts that one value must satisfy at once. $ref and
 * allOf add parts, anyOf, oneOf and enum of containers split a conjunction into several, and what
 * is left is merged type by type: strings and numbers as intersections of regular expressions,
 * objects and arrays by conjunctions of their members. A conjunction is compiled once; meeting it
 * again inside itself makes it a rule, which is all that recursion takes.
 * Errors stick: after the first, functions return the symbol of nothing and the rest runs dry. */
#ifndef GEMMAD_TEXT_GRAMMAR_JSON_COMPILER_H
#define GEMMAD_TEXT_GRAMMAR_JSON_COMPILER_H

#include "text/grammar/json_schema.h"
#include "text/grammar/regex.h"

#define JSON_MAX_PARTS 48U          /* of a conjunction */
#define JSON_MAX_DEPTH 128U         /* conjunctions within conjunctions */
#define JSON_MAX_CONJUNCTIONS 8192U /* of a schema */
#define JSON_MAX_STEPS (1U << 17)   /* times that one is asked for */
#define JSON_MAX_SECONDS 2U         /* intersections can be costly where their number is not */
#define JSON_MAX_PATTERNS 64U       /* of one object's patternProperties */
#define JSON_MAX_COUNT 65535U       /* minLength, maxItems and the like; larger maxima mean none */

enum json_part_kind {
    JSON_PART_SCHEMA,
    JSON_PART_VALUE,   /* the value itself: const, or a container of an enum */
    JSON_PART_SCALARS, /* one of an array's members that are no containers */
};

enum { /* what other parts already stand for */
       JSON_DONE_ANY_OF = 1,
       JSON_DONE_ONE_OF = 2,
       JSON_DONE_ENUM = 4,
       JSON_DONE_FLAT = 8 /* $ref, allOf and const */
};

struct json_part {
    const struct json_value *value;
    enum json_part_kind kind;
    uint32_t done;
};

struct json_parts {
    struct json_part items[JSON_MAX_PARTS];
    uint32_t n;
    bool is_nothing;   /* a part is false */
    bool is_truncated; /* more than JSON_MAX_PARTS */
};

struct json_conjunction; /* json_schema.c */

struct json_compiler {
    struct grammar_builder *builder;
    struct expression_pool *pool;
    const struct json_schema_options *options;
    const struct json_value *root;
    enum status status;
    struct error *err;
    struct json_conjunction **buckets;
    uint32_t n_conjunctions, n_steps, depth;
    uint64_t deadline_ns;
    bool knows_resources, has_resources; /* is there an $id below the root? */
    grammar_symbol nothing; /* symbols that match nothing are this one, as far as is known */
    grammar_symbol open_object, open_array, comma;
    grammar_symbol close_object, close_array;             /* behind a member */
    grammar_symbol close_empty_object, close_empty_array; /* behind the opening */
    grammar_symbol quote;                                 /* call form */
    uint32_t colon;                                       /* an expression */
    uint32_t character, string_body, plain_key;           /* expressions */
    struct regex_memo *memo;
    uint32_t spellings[128]; /* of ASCII characters inside JSON strings, 0: not yet made */
};

/* json_schema.c */
grammar_symbol json_compile(struct json_compiler *compiler, const struct json_parts *parts);
/* Notes the first error; where is a value of the schema, named by its path. */
void json_fail(struct json_compiler *compiler, const struct json_value *where, const char *format,
               ...) PRINTF_LIKE(3, 4);
void json_parts_add(struct json_parts *parts, const struct json_value *value,
                    enum json_part_kind kind);
/* The expression, or EXPRESSION_NOTHING if it matches nothing. */
uint32_t json_checked(struct json_compiler *compiler, uint32_t expression);
grammar_symbol json_terminal(struct json_compiler *compiler, uint32_t expression);
uint32_t json_regex(struct json_compiler *compiler, const char *pattern);
bool json_is_nothing(const struct json_compiler *compiler, grammar_symbol symbol);
/* A sequence, or nothing if a part of it is nothing. */
grammar_symbol json_sequence(struct json_compiler *compiler, const grammar_symbol *symbols,
                             size_t n);
/* Of those that are not nothing; symbols is reordered. */
grammar_symbol json_choice(struct json_compiler *compiler, grammar_symbol *symbols, size_t n);
extern const struct json_value json_false_schema;

/* json_flatten.c: $ref, allOf and const become parts; parts that say nothing vanish. */
void json_flatten(struct json_compiler *compiler, const struct json_parts *parts,
                  struct json_parts *out);

/* json_reference.c */
const struct json_value *json_resolve(struct json_compiler *compiler,
                                      const struct json_value *reference);
/* Appends "#/properties/a", or "#" if value is not found under root. */
void json_path(const struct json_value *root, const struct json_value *value,
               struct text_buffer *out);

/* json_keyword.c: typed access; a member of the wrong type is an error. NULL or false: absent. */
const struct json_value *json_keyword(struct json_compiler *compiler, const struct json_part *part,
                                      const char *name, enum json_type type);
/* Takes the tighter of *bound and the keyword (a count, cut at JSON_MAX_COUNT + 1). */
void json_keyword_min(struct json_compiler *compiler, const struct json_part *part,
                      const char *name, uint32_t *bound);
void json_keyword_max(struct json_compiler *compiler, const struct json_part *part,
                      const char *name, uint32_t *bound);
/* Does the schema restrict instances by more than what other parts stand for? */
bool json_keyword_restricts(const struct json_part *part);
/* Refuses what is no schema and, under strict, what cannot be enforced. */
void json_check_schema(struct json_compiler *compiler, const struct json_value *schema);

/* json_string.c: expressions of what stands between the quotes. */
void json_string_begin(struct json_compiler *compiler);
uint32_t json_string_parts(struct json_compiler *compiler, const struct json_parts *parts);
/* A text, as json.dumps writes it with ensure_ascii or without; in every spelling. */
uint32_t json_literal(struct json_compiler *compiler, const char *text, size_t n);
uint32_t json_spellings(struct json_compiler *compiler, const char *text, size_t n);
/* pattern as a search; raw: over plain text, else as it stands in a string. */
uint32_t json_pattern(struct json_compiler *compiler, const struct json_value *where,
                      const char *pattern, size_t n, bool raw);
/* EXPRESSION_NOTHING and false: the format is unknown. */
bool json_format(struct json_compiler *compiler, const struct json_value *name, uint32_t *out);

/* json_number.c: an expression. */
uint32_t json_number_parts(struct json_compiler *compiler, const struct json_parts *parts,
                           bool integer);

/* json_array.c, json_object.c */
grammar_symbol json_array_parts(struct json_compiler *compiler, const struct json_parts *parts);
grammar_symbol json_object_parts(struct json_compiler *compiler, const struct json_parts *parts);

#endif
