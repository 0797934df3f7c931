/* client/parse.c - gemmactl parse: what models generated, parsed again as the server parses it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "client/command.h"
#include "client/input.h"
#include "client/parse_line.h"

static const struct option parse_table[] = {
    {"split", 0, OPTION_TEXT, OPTION_PLAIN(split), "1|random:SEED|all", 0, 0,
     "how a text is fed to the parser: every byte apart, in random pieces, all at once (the "
     "default); what comes out is the same"},
};
static const struct option_group parse_options = OPTION_GROUP("How", parse_table);

static enum status read_split(const char *text, struct parse_split *out, struct error *err)
{
    static const char random[] = "random:";
    const char *end = "";
    *out = (struct parse_split){0};
    if (!text || strcmp(text, "all") == 0)
        return STATUS_OK;
    out->random = strncmp(text, random, sizeof random - 1) == 0;
    out->piece_bytes = !out->random;
    if (out->random ? number_read_digits(text + sizeof random - 1, &out->state, &end) && !*end
                    : strcmp(text, "1") == 0)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "--split: \"%.80s\": expected 1, random:SEED or all", text);
}

static enum status check(const struct invocation *invocation, struct error *err)
{
    struct parse_split split;
    return read_split(invocation->settings->split, &split, err);
}

static enum status take_line(const char *bytes, size_t n, struct parse_split *split,
                             struct text_buffer *out, struct error *err)
{
    const struct json_limits limits = {.max_bytes = INPUT_MAX_BYTES, .max_depth = 1024};
    struct json_document *document = NULL;
    enum status st = json_parse(bytes, n, &limits, &document, err);
    if (st == STATUS_OK)
        st = parse_line(json_root(document), split, out, err);
    json_document_destroy(document);
    return st;
}

static enum exit_code take_lines(FILE *input, struct parse_split *split)
{
    enum exit_code code = EXIT_OK;
    struct text_buffer out = {0};
    char *line = NULL;
    size_t capacity = 0;
    uint64_t number = 0;
    for (ssize_t n; code == EXIT_OK && (n = getline(&line, &capacity, input)) >= 0;) {
        struct error err = {0};
        number++;
        if (line[strspn(line, " \t\r\n")] == '\0' && strlen(line) == (size_t)n)
            continue;
        text_buffer_clear(&out);
        if (take_line(line, (size_t)n, split, &out, &err) == STATUS_OK) {
            text_buffer_append(&out, "\n", 1);
            fwrite(out.data, 1, out.length, stdout);
        } else {
            complain("line %llu: %s", (unsigned long long)number, err.message);
            code = EXIT_REQUEST_FAILED;
        }
    }
    if (ferror(input)) {
        complain("standard input: %s", strerror(errno));
        code = EXIT_REQUEST_FAILED;
    }
    free(line);
    text_buffer_finish(&out);
    return code;
}

static enum exit_code run(struct invocation *invocation)
{
    struct error err = {0};
    struct parse_split split;
    if (read_split(invocation->settings->split, &split, &err) != STATUS_OK)
        return wrong_usage(invocation->command, &err);
    return take_lines(stdin, &split);
}

static const struct option_group *const groups[] = {&parse_options, NULL};

const struct command parse_command = {
    .name = "parse",
    .connects_itself = true,
    .summary = "reads tool calls and reasoning out of raw answers; no server is asked",
    .description =
        "Reads JSON lines from standard input and prints an object for each. A line {\"text\": "
        "\"..\"} gives content, stream_content (as it is streamed), tool_calls and malformed; a "
        "line "
        "{\"prompt_tokens\": [..], \"tokens\": [..]} of token texts gives start_state, spans, "
        "reasoning, content, still_reasoning and stopped. Other members, such as an id, are "
        "carried "
        "through. A line that is neither ends it with exit code 1.",
    .examples = "    jq -c '{id, text}' answers.jsonl | gemmactl parse | jq .tool_calls\n"
                "    gemmactl parse --split random:7 < answers.jsonl\n",
    .groups = groups,
    .check = check,
    .run = run,
};
