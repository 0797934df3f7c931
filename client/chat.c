/* client/chat.c - gemmactl chat: a conversation. The history is kept here as chat messages and sent
 * whole with each turn; the server's template renders it.
 * With thinking, special tokens are shown: they mark what was thought, for the reader and for the
 * template, which drops the thoughts of earlier turns. */
#include "client/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "client/answer.h"
#include "client/interrupt.h"
#include "client/media_files.h"
#include "client/request_options.h"

static const struct option chat_table[] = {
    {"system", 0, OPTION_TEXT, OPTION_PLAIN(system), "TEXT", 0, 0,
     "instructions that stand before the conversation"},
    {"thinking", 0, OPTION_FLAG, OPTION_PLAIN(thinking), NULL, 1, 1,
     "lets the model think first, and shows it"},
    {"once", 0, OPTION_TEXT, OPTION_PLAIN(once), "TEXT", 0, 0,
     "says this, prints the answer, ends"},
};
static const struct option_group chat_options = OPTION_GROUP("The conversation", chat_table);

struct chat {
    const struct invocation *invocation;
    char *system;               // NULL: none
    struct text_buffer history; // {"role":...},{"role":...}: the messages, without the system's
    bool interactive;
};

static void append_message(struct text_buffer *out, const char *role, const char *text, size_t n)
{
    text_buffer_append_format(out, "%s{\"role\":\"%s\",\"content\":", out->length ? "," : "", role);
    json_write_string(out, text, n);
    text_buffer_append_text(out, "}");
}

// The user's first message brings the media.
static void append_user_message(struct chat *chat, const char *text, size_t n)
{
    struct text_buffer *out = &chat->history;
    const struct settings *settings = chat->invocation->settings;
    if (out->length > 0 || settings->request.n_media == 0) {
        append_message(out, "user", text, n);
        return;
    }
    text_buffer_append_text(out, "{\"role\":\"user\",\"content\":[");
    media_files_write_parts(settings, out);
    text_buffer_append_text(out, "{\"type\":\"text\",\"text\":");
    json_write_string(out, text, n);
    text_buffer_append_text(out, "}]}");
}

static void render(const struct chat *chat, struct text_buffer *out)
{
    struct text_buffer messages = {0};
    if (chat->system)
        append_message(&messages, "system", chat->system, strlen(chat->system));
    if (messages.length)
        text_buffer_append_text(&messages, ",");
    text_buffer_append(&messages, chat->history.data, chat->history.length);
    text_buffer_append_text(out, "{\"messages\":[");
    text_buffer_append(out, messages.data, messages.length);
    text_buffer_append_format(out, "],\"enable_thinking\":%s}",
                              chat->invocation->settings->thinking ? "true" : "false");
    text_buffer_finish(&messages);
}

// The user says text. A turn that brings no answer is taken back.
static enum exit_code say(struct chat *chat, const char *text, size_t n)
{
    if (!utf8_valid(text, n, NULL)) {
        complain("that is not well-formed UTF-8");
        return EXIT_REQUEST_FAILED;
    }
    size_t before = chat->history.length;
    append_user_message(chat, text, n);
    struct text_buffer json = {0};
    render(chat, &json);
    Gemmad__V1__GenerateRequest *request = &chat->invocation->settings->request;
    request->prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_CHAT_JSON;
    request->chat_json = (ProtobufCBinaryData){json.length, (uint8_t *)json.data};

    struct text_buffer answer = {0};
    struct error err = {0};
    enum status st = answer_print(chat->invocation, &answer, &err);
    enum exit_code code = EXIT_OK;
    if (st != STATUS_OK)
        code = call_failed(&err);
    else if (!chat->invocation->settings->json && !isatty(STDOUT_FILENO) &&
             (!answer.length || answer.data[answer.length - 1] != '\n'))
        putchar('\n'); // an answer a line, for whoever reads the pipe
    fflush(stdout);
    if (answer.length > 0 && utf8_valid(answer.data, answer.length, NULL)) {
        append_message(&chat->history, "assistant", answer.data, answer.length);
    } else if (st != STATUS_OK) {
        chat->history.length = before;
    }
    text_buffer_finish(&answer);
    text_buffer_finish(&json);
    return code;
}

static void set_system(struct chat *chat, const char *text)
{
    free(chat->system);
    chat->system = NULL;
    if (*text && utf8_valid(text, strlen(text), NULL))
        chat->system = mem_strdup(text);
}

// A line that begins with a slash. False: the conversation ends.
static bool obey(struct chat *chat, const char *line)
{
    if (strcmp(line, "/exit") == 0)
        return false;
    if (strcmp(line, "/reset") == 0)
        text_buffer_clear(&chat->history);
    else if (strcmp(line, "/system") == 0 || strncmp(line, "/system ", 8) == 0)
        set_system(chat, line[7] ? line + 8 : "");
    else
        fprintf(stderr, "/exit ends, /reset forgets what was said, /system TEXT sets the "
                        "instructions\n");
    return true;
}

static enum exit_code converse(struct chat *chat)
{
    char *line = NULL;
    size_t capacity = 0;
    enum exit_code code = EXIT_OK;
    for (;;) {
        interrupt_forget();
        if (chat->interactive) {
            fputs("> ", stdout);
            fflush(stdout);
        }
        ssize_t n = getline(&line, &capacity, stdin);
        if (n < 0)
            break;
        if (n > 0 && line[n - 1] == '\n')
            line[--n] = '\0';
        if (n == 0)
            continue;
        if (line[0] == '/') {
            if (!obey(chat, line))
                break;
            continue;
        }
        enum exit_code said = say(chat, line, (size_t)n);
        if (said != EXIT_OK && !chat->interactive) {
            code = said;
            break;
        }
    }
    if (chat->interactive && feof(stdin))
        putchar('\n');
    free(line);
    return code;
}

static enum exit_code run(struct invocation *invocation)
{
    struct settings *settings = invocation->settings;
    struct chat chat = {.invocation = invocation,
                        .interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
    if (settings->system)
        set_system(&chat, settings->system);
    if (settings->thinking) {
        settings->response.has_skip_special_tokens = true;
        settings->response.skip_special_tokens = false;
    }
    struct error err = {0};
    if (media_files_read(settings, &err) != STATUS_OK) {
        complain("%s", err.message);
        free(chat.system);
        return EXIT_USAGE;
    }
    enum exit_code code = settings->once ? say(&chat, settings->once, strlen(settings->once))
                                         : converse(&chat);
    free(chat.system);
    text_buffer_finish(&chat.history);
    return code;
}

static const struct option_group *const groups[] = {
    &chat_options,    &media_options, &sampling_options, &stopping_options, &json_option,
    &request_options, NULL,
};

const struct command chat_command = {
    .name = "chat",
    .summary = "a conversation in the terminal",
    .description =
        "Each line is said to the model, which answers. /exit or Ctrl-D ends, /reset forgets what "
        "was said, /system TEXT sets the instructions. Ctrl-C ends an answer, and at the prompt "
        "the "
        "program. Lines may also come from a pipe.",
    .examples = "    gemmactl chat --system \"Answer briefly.\"\n"
                "    gemmactl chat --once \"What is a group in algebra?\" --temperature 0\n"
                "    gemmactl chat --image plan.png --max-soft-tokens 1120\n"
                "    printf 'Hello!\\nWhat did I say?\\n' | gemmactl chat\n",
    .groups = groups,
    .run = run,
};
