/* text/template_filter.c - the filters of single values; those of lists are in
 * template_sequence.c. Jinja's names, parameters and defaults. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/template_builtins.h"
#include "text/template_sequence.h"

const struct value *argument_get(const struct arguments *arguments, uint32_t position,
                                 const char *name)
{
    if (position < arguments->n)
        return &arguments->items[position];
    for (uint32_t i = 0; i < arguments->n_keywords; i++)
        if (strcmp(arguments->names[i], name) == 0)
            return &arguments->named[i];
    return NULL;
}

const char *parameters_problem(const char *const parameters[MAX_PARAMETERS], uint32_t n,
                               const char *const *names, uint32_t n_names)
{
    uint32_t n_parameters = 0;
    while (n_parameters < MAX_PARAMETERS && parameters[n_parameters])
        n_parameters++;
    bool any_number = n_parameters && strcmp(parameters[0], "*") == 0;
    if (!any_number && n > n_parameters)
        return "too many arguments";
    for (uint32_t i = 0; i < n_names; i++) {
        uint32_t at = 0;
        while (at < n_parameters && strcmp(parameters[at], names[i]) != 0)
            at++;
        if (at == n_parameters)
            return "no such keyword argument";
        if (!any_number && at < n)
            return "an argument is given twice";
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(names[j], names[i]) == 0)
                return "an argument is given twice";
    }
    return NULL;
}

static struct cord *subject_text(struct budget *budget, struct value subject)
{
    return value_str(budget, subject);
}

static struct value filter_upper(struct budget *budget, struct value subject,
                                 const struct arguments *arguments)
{
    (void)arguments;
    return value_string(string_case(budget, subject_text(budget, subject), CASE_UPPER));
}

static struct value filter_lower(struct budget *budget, struct value subject,
                                 const struct arguments *arguments)
{
    (void)arguments;
    return value_string(string_case(budget, subject_text(budget, subject), CASE_LOWER));
}

static struct value filter_capitalize(struct budget *budget, struct value subject,
                                      const struct arguments *arguments)
{
    (void)arguments;
    return value_string(string_case(budget, subject_text(budget, subject), CASE_CAPITAL));
}

static struct value filter_title(struct budget *budget, struct value subject,
                                 const struct arguments *arguments)
{
    (void)arguments;
    return value_string(string_case(budget, subject_text(budget, subject), CASE_TITLE));
}

static struct value filter_trim(struct budget *budget, struct value subject,
                                const struct arguments *arguments)
{
    const struct value *characters = argument_get(arguments, 0, "chars");
    struct cord *set = NULL;
    if (characters && characters->type != VALUE_NONE)
        set = value_str(budget, *characters);
    return value_string(string_trim(budget, subject_text(budget, subject), set, true, true));
}

static struct value filter_string(struct budget *budget, struct value subject,
                                  const struct arguments *arguments)
{
    (void)arguments;
    return value_string(subject_text(budget, subject));
}

static struct value filter_replace(struct budget *budget, struct value subject,
                                   const struct arguments *arguments)
{
    const struct value *from = argument_get(arguments, 0, "old");
    const struct value *to = argument_get(arguments, 1, "new");
    const struct value *count = argument_get(arguments, 2, "count");
    int64_t max = -1;
    if (!from || !to)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "replace takes the old and the new text");
    if (count && count->type != VALUE_NONE)
        max = value_as_integer(budget, *count, "count");
    return value_string(string_replace(budget, subject_text(budget, subject),
                                       value_str(budget, *from), value_str(budget, *to), max));
}

static struct value filter_default(struct budget *budget, struct value subject,
                                   const struct arguments *arguments)
{
    const struct value *fallback = argument_get(arguments, 0, "default_value");
    const struct value *falsy_too = argument_get(arguments, 1, "boolean");
    bool missing = subject.type == VALUE_UNDEFINED ||
                   (falsy_too && value_truth(*falsy_too) && !value_truth(subject));
    if (!missing)
        return subject;
    return fallback ? *fallback : value_text(budget, "");
}

static struct value filter_length(struct budget *budget, struct value subject,
                                  const struct arguments *arguments)
{
    (void)arguments;
    size_t n;
    if (!value_length(budget, subject, &n))
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "a value of type '%s' has no length",
                    value_type_name(subject));
    return value_integer((int64_t)n);
}

static struct value filter_abs(struct budget *budget, struct value subject,
                               const struct arguments *arguments)
{
    (void)arguments;
    if (subject.type == VALUE_FLOAT)
        return value_float(fabs(subject.number));
    int64_t number = value_as_integer(budget, subject, "the argument of abs");
    if (number == INT64_MIN)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "an integer beyond 64 bits");
    return value_integer(number < 0 ? -number : number);
}

// To the nearest, halves to even, as Python's round(): by the decimal form of the double.
static double round_to(double number, int precision)
{
    char text[400];
    snprintf(text, sizeof text, "%.*f", precision, number);
    return strtod(text, NULL);
}

static struct value filter_round(struct budget *budget, struct value subject,
                                 const struct arguments *arguments)
{
    const struct value *precision_argument = argument_get(arguments, 0, "precision");
    const struct value *method = argument_get(arguments, 1, "method");
    int64_t precision = precision_argument
                            ? value_as_integer(budget, *precision_argument, "precision")
                            : 0;
    if (precision < 0 || precision > 15)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "round() to %lld digits is unsupported",
                    (long long)precision);
    if (!value_is_number(subject) || subject.type == VALUE_BIG_INTEGER)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "round() takes a number, not '%s'",
                    value_type_name(subject));
    double number = value_as_double(subject);
    if (!method || (method->type == VALUE_STRING && cord_is(budget, method->text, "common"))) {
        if (subject.type != VALUE_FLOAT)
            return value_integer(value_as_integer(budget, subject, "the number"));
        return value_float(isfinite(number) ? round_to(number, (int)precision) : number);
    }
    double scale = pow(10, (double)precision);
    if (method->type == VALUE_STRING && cord_is(budget, method->text, "ceil"))
        return value_float(ceil(number * scale) / scale);
    if (method->type == VALUE_STRING && cord_is(budget, method->text, "floor"))
        return value_float(floor(number * scale) / scale);
    budget_fail(budget, STATUS_INVALID_ARGUMENT, "the method of round() is common, ceil or floor");
}

// What int() and float() read: a JSON number with blanks around it, and a leading '+'.
static bool parse_number(struct budget *budget, struct value subject, struct value *out)
{
    struct cord *trimmed = string_trim(budget, subject.text, NULL, true, true);
    const struct cord *flat = cord_flatten(budget, trimmed);
    if (flat->length == 0 || flat->length > 4000 || memchr(flat->bytes, 0, flat->length))
        return false;
    const char *text = cord_copy(budget, flat->bytes, flat->length, false)->bytes;
    size_t sign = text[0] == '-';
    text += text[0] == '+';
    size_t digits = strspn(text + sign, "0123456789");
    size_t n = sign + digits;
    if (text[n] == '.')
        n += 1 + strspn(text + n + 1, "0123456789");
    if (digits && (text[n] == 'e' || text[n] == 'E')) {
        size_t exponent = n + 1 + (text[n + 1] == '-' || text[n + 1] == '+');
        size_t n_exponent = strspn(text + exponent, "0123456789");
        n = n_exponent ? exponent + n_exponent : n;
    }
    if (digits == 0 || text[n] != 0)
        return false;
    size_t zeros = strspn(text + sign, "0");
    bool negative = sign && zeros < digits; // -0 is the integer 0
    if (n == sign + digits) {               // an integer: no zeros in front, which JSON has not
        const char *magnitude = text + sign + (zeros < digits ? zeros : digits - 1);
        char *plain = budget_take(budget, strlen(magnitude) + 2, 1);
        plain[0] = '-';
        memcpy(plain + negative, magnitude, strlen(magnitude) + 1);
        text = plain;
    }
    struct json_value json = {.type = JSON_NUMBER, .length = strlen(text), .text = text};
    *out = value_from_json(budget, &json, false, 1);
    return true;
}

static struct value truncated(struct budget *budget, double number)
{
    if (!(fabs(number) < 9.2e18))
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "a number too large for an integer");
    return value_integer((int64_t)number);
}

static struct value filter_int(struct budget *budget, struct value subject,
                               const struct arguments *arguments)
{
    const struct value *fallback = argument_get(arguments, 0, "default");
    const struct value *base = argument_get(arguments, 1, "base");
    if (base && !value_equal(budget, *base, value_integer(10)))
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "int() with a base is unsupported");
    struct value number = subject;
    if (subject.type == VALUE_STRING && !parse_number(budget, subject, &number))
        return fallback ? *fallback : value_integer(0);
    if (number.type == VALUE_FLOAT)
        number = truncated(budget, number.number);
    else if (number.type == VALUE_BOOL)
        number = value_integer(number.boolean);
    else if (!value_is_number(number))
        return fallback ? *fallback : value_integer(0);
    number.from_client = subject.from_client || subject.type == VALUE_STRING;
    return number;
}

static struct value filter_float(struct budget *budget, struct value subject,
                                 const struct arguments *arguments)
{
    const struct value *fallback = argument_get(arguments, 0, "default");
    struct value number = subject;
    if (subject.type == VALUE_STRING && !parse_number(budget, subject, &number))
        return fallback ? *fallback : value_float(0);
    if (number.type == VALUE_BIG_INTEGER) // its text has a NUL behind
        return value_float(strtod(number.text->bytes, NULL));
    if (!value_is_number(number))
        return fallback ? *fallback : value_float(0);
    return value_float(value_as_double(number));
}

static struct value filter_items(struct budget *budget, struct value subject,
                                 const struct arguments *arguments)
{
    if (subject.type == VALUE_UNDEFINED)
        return value_list(list_new(budget, LIST_GENERATOR, 0));
    if (subject.type != VALUE_DICT)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "items takes a mapping, not '%s'",
                    value_type_name(subject));
    struct value method = value_builtin_attribute(budget, subject, "items");
    struct value view = method.method->entry->call(budget, subject, arguments);
    view.list->kind = LIST_GENERATOR;
    return view;
}

static bool json_flag(const struct arguments *arguments, uint32_t position, const char *name)
{
    const struct value *flag = argument_get(arguments, position, name);
    return flag && value_truth(*flag);
}

static struct cord *separator_text(struct budget *budget, const struct list *pair, size_t i)
{
    if (pair->n != 2 || pair->items[i].type != VALUE_STRING)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "separators must be two strings");
    return pair->items[i].text;
}

// Transformers' tojson: json.dumps, not Jinja's, which escapes HTML.
static struct value filter_tojson(struct budget *budget, struct value subject,
                                  const struct arguments *arguments)
{
    struct json_style style = {.indent = -1,
                               .ensure_ascii = json_flag(arguments, 0, "ensure_ascii"),
                               .sort_keys = json_flag(arguments, 3, "sort_keys")};
    const struct value *indent = argument_get(arguments, 1, "indent");
    if (indent && indent->type != VALUE_NONE)
        style.indent = value_as_integer(budget, *indent, "indent");
    if (style.indent > 100)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "an indent of more than 100");
    if (indent && indent->type != VALUE_NONE && style.indent < 0)
        style.indent = 0;
    const struct value *separators = argument_get(arguments, 2, "separators");
    if (separators && separators->type != VALUE_NONE) {
        const struct list *pair = value_items(budget, *separators);
        style.item_separator = separator_text(budget, pair, 0);
        style.key_separator = separator_text(budget, pair, 1);
    }
    return value_string(value_json(budget, subject, &style));
}

static struct value filter_indent(struct budget *budget, struct value subject,
                                  const struct arguments *arguments)
{
    const struct value *width = argument_get(arguments, 0, "width");
    if (subject.type != VALUE_STRING)
        budget_fail(budget, STATUS_INVALID_ARGUMENT, "indent takes a string, not '%s'",
                    value_type_name(subject));
    bool first = json_flag(arguments, 1, "first");
    bool blank = json_flag(arguments, 2, "blank");
    struct cord *margin;
    if (width && width->type == VALUE_STRING) {
        margin = width->text;
    } else {
        int64_t n = width ? value_as_integer(budget, *width, "width") : 4;
        if (n > 1000)
            budget_fail(budget, STATUS_INVALID_ARGUMENT, "an indent of more than 1000");
        n = n < 0 ? 0 : n;
        char *blanks = budget_take(budget, (size_t)n + 1, 1);
        memset(blanks, ' ', (size_t)n);
        margin = cord_of(budget, blanks, (size_t)n, false);
    }
    const struct cord *flat = cord_flatten(budget, subject.text);
    struct cord *text = first ? margin : cord_text(budget, "");
    for (size_t at = 0; at <= flat->length;) {
        const char *newline = memchr(flat->bytes + at, '\n', flat->length - at);
        size_t end = newline ? (size_t)(newline - flat->bytes) : flat->length;
        if (at > 0 && (blank || end > at))
            text = cord_join(budget, text, margin);
        text = cord_join(budget, text, cord_slice(budget, flat, at, end - at + (newline != NULL)));
        budget_charge(budget, 1 + (end - at) / 64);
        at = end + 1;
    }
    return value_string(text);
}

static const struct template_filter filters[] = {
    {"abs", filter_abs, 0, {0}},
    {"capitalize", filter_capitalize, 0, {0}},
    {"count", filter_length, 0, {0}},
    {"d", filter_default, 0, {"default_value", "boolean"}},
    {"default", filter_default, 0, {"default_value", "boolean"}},
    {"float", filter_float, 0, {"default"}},
    {"indent", filter_indent, 0, {"width", "first", "blank"}},
    {"int", filter_int, 0, {"default", "base"}},
    {"items", filter_items, 0, {0}},
    {"length", filter_length, 0, {0}},
    {"lower", filter_lower, 0, {0}},
    {"replace", filter_replace, 2, {"old", "new", "count"}},
    {"round", filter_round, 0, {"precision", "method"}},
    {"string", filter_string, 0, {0}},
    {"title", filter_title, 0, {0}},
    {"tojson", filter_tojson, 0, {"ensure_ascii", "indent", "separators", "sort_keys"}},
    {"trim", filter_trim, 0, {"chars"}},
    {"upper", filter_upper, 0, {0}},
};

const struct template_filter *filter_find(const char *name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (strcmp(filters[i].name, name) == 0)
            return &filters[i];
    return sequence_filter_find(name);
}
