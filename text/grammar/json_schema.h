/* text/grammar/json_schema.h - a JSON Schema (draft 2020-12, and what drafts 4 to 7 share with it)
 * as a grammar of the instances that are valid under it. gemma4-text.md section 5.
 *
 * Exact for: type, properties, required, additionalProperties, patternProperties, minProperties,
 * maxProperties, items, prefixItems (and items as a list with additionalItems), minItems, maxItems,
 * enum, const, anyOf, allOf, $ref (JSON pointers, $id and $anchor of the same document, recursion),
 * pattern (a search), minLength, maxLength (code points), format (date, time, date-time, uuid,
 * email, ipv4, ipv6, uri, hostname; others are ignored), minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum, multipleOf, boolean schemas. Keywords without a meaning for validity are
 * ignored.
 * What a reader should know:
 * - members come in the order of the schema, other keys behind them; a key is written as json.dumps
 *   writes it, and no other spelling of a declared key passes as an additional one;
 * - oneOf is anyOf; a repeated additional key counts twice for minProperties and maxProperties;
 * - an integer is written without fraction and exponent (1.0 is none); a number that is limited has
 *   no exponent or is in scientific notation (one digit other than 0 before the point), under
 *   multipleOf no exponent;
 * - not, if/then/else, dependent*, unevaluated*, uniqueItems, propertyNames, contains, $dynamicRef
 *   and multipleOf with a fraction that does not divide 1, or above 50000 (all that apply to a
 *   number together), are refused under strict, else ignored;
 * - more than 500 optional members in a row are refused.
 */
#ifndef GEMMAD_TEXT_GRAMMAR_JSON_SCHEMA_H
#define GEMMAD_TEXT_GRAMMAR_JSON_SCHEMA_H

#include "base/json.h"
#include "text/grammar/grammar.h"

struct json_schema_options {
    bool strict;    /* OpenAI's: objects are closed unless they say otherwise, and keywords that
                       cannot be enforced are refused */
    bool compact;   /* at most one space behind ',' and ':'; else up to 20 of space, tab, CR, LF
                       wherever JSON allows them */
    bool call_form; /* not JSON, but an object in a tool call's wire form (gemma4-text.md 3.1): raw
                       strings between quote_token, bare keys, no blanks; objects that declare
                       properties are closed unless they say otherwise */
    uint32_t quote_token; /* <|"|> */
};

/* schema NULL: any JSON object (response_format json_object). The schema must live until then only.
 * INVALID_ARGUMENT: a keyword is malformed, or cannot be enforced under strict, a reference leads
 * nowhere, or the schema is too large or too deep; names the place, "#/properties/a: ...". */
NODISCARD enum status json_schema_symbol(struct grammar_builder *builder,
                                         const struct json_value *schema,
                                         const struct json_schema_options *options,
                                         grammar_symbol *out, struct error *err);

#endif
