/* text/grammar/json_keyword.c - the keywords of one schema: their types, and which of them are
 * enforced. What has no meaning for validity (title, default, examples) is in no table here. */
#include <stdlib.h>
#include <string.h>

#include "text/grammar/json_compiler.h"

const struct json_value *json_keyword(struct json_compiler *compiler, const struct json_part *part,
                                      const char *name, enum json_type type)
{
    if (part->kind != JSON_PART_SCHEMA)
        return NULL;
    const struct json_value *value = json_get(part->value, name);
    if (!value || value->type == type)
        return value;
    static const char *const types[] = {"null",     "a boolean", "a boolean", "a number",
                                        "a string", "a list",    "an object"};
    json_fail(compiler, part->value, "%s must be %s", name, types[type]);
    return NULL;
}

// Counts are written 2, 2.0 or 2e3 by some.
static bool read_count(struct json_compiler *compiler, const struct json_part *part,
                       const char *name, uint32_t *out)
{
    const struct json_value *value = json_keyword(compiler, part, name, JSON_NUMBER);
    if (!value)
        return false;
    double number;
    if (!json_double(value, &number) || number < 0 ||
        (number <= JSON_MAX_COUNT && number != (double)(uint32_t)number)) {
        json_fail(compiler, part->value, "%s must be a count", name);
        return false;
    }
    *out = number > JSON_MAX_COUNT ? JSON_MAX_COUNT + 1 : (uint32_t)number;
    return true;
}

void json_keyword_min(struct json_compiler *compiler, const struct json_part *part,
                      const char *name, uint32_t *bound)
{
    uint32_t count;
    if (!read_count(compiler, part, name, &count))
        return;
    if (count > JSON_MAX_COUNT)
        json_fail(compiler, part->value, "%s is over %u", name, JSON_MAX_COUNT);
    else if (count > *bound)
        *bound = count;
}

void json_keyword_max(struct json_compiler *compiler, const struct json_part *part,
                      const char *name, uint32_t *bound)
{
    uint32_t count;
    if (read_count(compiler, part, name, &count) && count <= JSON_MAX_COUNT && count < *bound)
        *bound = count;
}

bool json_keyword_restricts(const struct json_part *part)
{
    static const struct {
        const char *name;
        uint32_t done;
    } keywords[] = {
        {"type", 0},
        {"properties", 0},
        {"items", 0},
        {"enum", JSON_DONE_ENUM},
        {"anyOf", JSON_DONE_ANY_OF},
        {"oneOf", JSON_DONE_ONE_OF},
        {"required", 0},
        {"additionalProperties", 0},
        {"patternProperties", 0},
        {"minProperties", 0},
        {"maxProperties", 0},
        {"prefixItems", 0},
        {"minItems", 0},
        {"maxItems", 0},
        {"pattern", 0},
        {"minLength", 0},
        {"maxLength", 0},
        {"format", 0},
        {"minimum", 0},
        {"maximum", 0},
        {"exclusiveMinimum", 0},
        {"exclusiveMaximum", 0},
        {"multipleOf", 0},
    };
    if (part->kind != JSON_PART_SCHEMA)
        return true;
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        if (!(part->done & keywords[i].done) && json_get(part->value, keywords[i].name))
            return true;
    }
    return false;
}

static void check_strict(struct json_compiler *compiler, const struct json_value *schema)
{
    static const char *const refused[] = {"not",
                                          "if",
                                          "then",
                                          "else",
                                          "dependencies",
                                          "uniqueItems",
                                          "contains",
                                          "minContains",
                                          "maxContains",
                                          "dependentRequired",
                                          "$dynamicRef",
                                          "propertyNames",
                                          "dependentSchemas",
                                          "$recursiveRef",
                                          "unevaluatedItems",
                                          "unevaluatedProperties"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const struct json_value *value = json_get(schema, refused[i]);
        bool says_nothing = value && value->type == JSON_FALSE &&
                            !strcmp(refused[i], "uniqueItems");
        if (value && !says_nothing)
            json_fail(compiler, schema, "%s is not supported", refused[i]);
    }
}

void json_check_schema(struct json_compiler *compiler, const struct json_value *schema)
{
    if (schema->type == JSON_TRUE || schema->type == JSON_FALSE)
        return;
    if (schema->type != JSON_OBJECT)
        json_fail(compiler, schema, "a schema is an object or a boolean");
    else if (compiler->options->strict)
        check_strict(compiler, schema);
}
