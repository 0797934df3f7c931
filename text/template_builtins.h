/* text/template_builtins.h - the filters, tests and methods that templates may use, by name, with
 * the parameters that each takes; the parser refuses what is not here. Part of the template
 * engine. */
#ifndef GEMMAD_TEXT_TEMPLATE_BUILTINS_H
#define GEMMAD_TEXT_TEMPLATE_BUILTINS_H

#include "text/template_value.h"

#define MAX_PARAMETERS 5

struct arguments {
    uint32_t n, n_keywords;
    const struct value *items; /* [n] */
    const char *const *names;  /* [n_keywords] */
    const struct value *named; /* [n_keywords] */
};

/* The argument at a position or by keyword; NULL: not given. */
const struct value *argument_get(const struct arguments *arguments, uint32_t position,
                                 const char *name);

/* "the filter 'x' takes ..." if the counts or names do not fit; else NULL. */
const char *parameters_problem(const char *const parameters[MAX_PARAMETERS], uint32_t n,
                               const char *const *names, uint32_t n_names);

struct template_filter {
    const char *name;
    struct value (*apply)(struct budget *budget, struct value subject,
                          const struct arguments *arguments);
    uint32_t n_required;
    const char *parameters[MAX_PARAMETERS]; /* keywords; "/": by position alone; "*": any number */
};
const struct template_filter *filter_find(const char *name); /* NULL: there is none */

struct template_test {
    const char *name;
    bool (*holds)(struct budget *budget, struct value subject, const struct arguments *arguments);
    uint32_t n_arguments;
};
const struct template_test *test_find(const char *name);

struct method_entry {
    enum value_type type; /* VALUE_STRING or VALUE_DICT */
    const char *name;
    struct value (*call)(struct budget *budget, struct value object,
                         const struct arguments *arguments);
    uint32_t n_required;
    const char *parameters[MAX_PARAMETERS];
};
/* True if a type has such a method here. */
bool method_is_known(const char *name);
/* object.name as Python's attribute look-up does for built-in types; undefined if it has none.
 * Methods that Python has and this engine has not give a value that cannot be called. */
struct value value_builtin_attribute(struct budget *budget, struct value object, const char *name);
/* object[index] and object.name by Jinja's rules. */
struct value value_item(struct budget *budget, struct value object, struct value index);
struct value value_attribute(struct budget *budget, struct value object, const char *name);
/* object[start:stop:step]; undefined or none bounds are open. */
struct value value_slice(struct budget *budget, struct value object, struct value start,
                         struct value stop, struct value step);

/* Text forms: str(), repr() and json.dumps(). */
struct cord *value_str(struct budget *budget, struct value value);
struct cord *value_repr(struct budget *budget, struct value value);
struct json_style {
    int64_t indent; /* -1: on one line */
    bool sort_keys, ensure_ascii;
    struct cord *item_separator, *key_separator; /* NULL: ", " or "," before a line break; ": " */
};
struct cord *value_json(struct budget *budget, struct value value, const struct json_style *style);

/* String work that filters and methods share. */
struct cord *string_trim(struct budget *budget, struct cord *text, struct cord *characters,
                         bool left, bool right); /* characters NULL: white space */
enum letter_case { CASE_UPPER, CASE_LOWER, CASE_CAPITAL, CASE_TITLE };
struct cord *string_case(struct budget *budget, struct cord *text, enum letter_case to);
struct cord *string_replace(struct budget *budget, struct cord *text, struct cord *from,
                            struct cord *to, int64_t max);
/* Integers from arguments; INVALID_ARGUMENT: another type. */
int64_t value_as_integer(struct budget *budget, struct value value, const char *what);

#endif
