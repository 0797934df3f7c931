/* client/detokenize.c - gemmactl detokenize: the text of token ids. */
#include "client/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/input.h"
#include "client/message_json.h"
#include "client/request_options.h"

static const struct option detokenize_table[] = {
    {"show-special", 0, OPTION_FLAG, OPTION_FIELD(response, skip_special_tokens), NULL, 0, 0,
     "special tokens such as <turn|> are part of the text"},
};
static const struct option_group detokenize_options = OPTION_GROUP("How", detokenize_table);
// The argument is checked and stored like a flag's value.
static const struct option ids_option = {
    "IDS", 0, OPTION_TOKEN_IDS, OPTION_LIST(prompt_ids, ids), "IDS", 0, 0, ""};

static enum exit_code run(struct invocation *invocation)
{
    struct settings *settings = invocation->settings;
    struct error err = {0};
    struct text_buffer text = {0};
    enum status st = input_read(invocation->argument, &text, &err);
    if (st == STATUS_OK && memchr(text.length ? text.data : "", '\0', text.length))
        st = error_set(&err, STATUS_INVALID_ARGUMENT, "IDS: a NUL byte");
    if (st == STATUS_OK)
        st = option_set(&ids_option, settings, text.length ? text.data : "", &err);
    text_buffer_finish(&text);
    if (st != STATUS_OK)
        return wrong_usage(invocation->command, &err);

    Gemmad__V1__DetokenizeRequest request = GEMMAD__V1__DETOKENIZE_REQUEST__INIT;
    request.n_token_ids = settings->prompt_ids.n_ids;
    request.token_ids = settings->prompt_ids.ids;
    request.has_skip_special_tokens = settings->response.has_skip_special_tokens;
    request.skip_special_tokens = settings->response.skip_special_tokens;
    struct client_method detokenize = {&gemmad__v1__inference__descriptor, "Detokenize"};
    ProtobufCMessage *answer;
    if (client_call(invocation->client, detokenize, &request.base, settings->timeout_ns, &answer,
                    &err) != STATUS_OK)
        return call_failed(&err);
    const Gemmad__V1__DetokenizeResponse *response = (Gemmad__V1__DetokenizeResponse *)answer;
    if (settings->json)
        message_print(answer);
    else
        fwrite(response->text.data, 1, response->text.len, stdout);
    if (!settings->json && isatty(STDOUT_FILENO))
        putchar('\n');
    client_free_message(answer);
    return EXIT_OK;
}

static const struct option_group *const groups[] = {&detokenize_options, &json_option, NULL};

const struct command detokenize_command = {
    .name = "detokenize",
    .argument = "[IDS]",
    .summary = "the text of token ids",
    .description = "Prints the text of token ids, which have commas, blanks or line ends between. "
                   "Without IDS it reads standard input.",
    .examples = "    gemmactl detokenize 2,1059,10 --show-special\n"
                "    gemmactl tokenize Hello | gemmactl detokenize\n",
    .groups = groups,
    .run = run,
};
