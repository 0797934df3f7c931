/* client/options.c - finding flags and describing them; values are option_value.c's. */
#include "client/options.h"

#include <stdbool.h>
#include <string.h>

// The value behind the name: "" at its end, behind '=', or NULL when it is another name.
static const char *behind_name(const char *argument, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(argument, name, n) != 0 || (argument[n] && argument[n] != '='))
        return NULL;
    return argument + n;
}

const struct option *option_find(const struct option_group *const *groups, const char *argument,
                                 const char **out_value)
{
    bool is_long = argument[0] == '-' && argument[1] == '-';
    for (; *groups; groups++) {
        for (size_t i = 0; i < (*groups)->n; i++) {
            const struct option *option = &(*groups)->options[i];
            const char *rest = is_long ? behind_name(argument + 2, option->name) : NULL;
            bool short_form = !is_long && option->letter && argument[0] == '-' &&
                              argument[1] == option->letter && !argument[2];
            if (!rest && !short_form)
                continue;
            *out_value = rest && *rest ? rest + 1 : NULL;
            return option;
        }
    }
    return NULL;
}

void append_wrapped(struct text_buffer *out, size_t indent, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column == 0 || column + 1 + word > 80) {
            text_buffer_append_format(out, "%s%*s", column ? "\n" : "", (int)indent, "");
            column = indent;
        } else {
            text_buffer_append_text(out, " ");
            column++;
        }
        text_buffer_append(out, text, word);
        column += word;
        text += word + strspn(text + word, " ");
    }
    text_buffer_append_text(out, "\n");
}

void option_group_describe(const struct option_group *group, struct text_buffer *out)
{
    text_buffer_append_format(out, "\n%s\n", group->title);
    for (size_t i = 0; i < group->n; i++) {
        const struct option *option = &group->options[i];
        text_buffer_append_text(out, "    ");
        if (option->letter)
            text_buffer_append_format(out, "-%c, ", option->letter);
        text_buffer_append_format(out, "--%s", option->name);
        if (option->type != OPTION_FLAG)
            text_buffer_append_format(out, " %s", option->metavar);
        text_buffer_append_text(out, "\n");
        append_wrapped(out, 8, option->help);
    }
}
