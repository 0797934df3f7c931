/* client/tokenize.c - gemmactl tokenize: a text's token ids. */
#include "client/command.h"

#include <stdio.h>

#include "client/input.h"
#include "client/message_json.h"
#include "client/request_options.h"

static const struct option tokenize_table[] = {
    {"plain", 0, OPTION_FLAG, offsetof(struct settings, parse_special),
     offsetof(struct settings, has_parse_special), NULL, 0, 0,
     "special tokens in the text are text like any other"},
};
static const struct option_group tokenize_options = OPTION_GROUP("How", tokenize_table);

static void print(const struct invocation *invocation, const ProtobufCMessage *answer)
{
    const Gemmad__V1__TokenizeResponse *response = (const Gemmad__V1__TokenizeResponse *)answer;
    if (invocation->settings->json) {
        message_print(answer);
        return;
    }
    for (size_t i = 0; i < response->n_token_ids; i++)
        printf("%s%u", i ? "," : "", response->token_ids[i]);
    putchar('\n');
}

static enum status check(const struct invocation *invocation, struct error *err)
{
    const struct settings *settings = invocation->settings;
    int n_texts = (invocation->argument != NULL) + (settings->file != NULL) +
                  (settings->chat_json != NULL);
    if (n_texts > 1)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "one of TEXT, --file and --chat-json, not several");
    return STATUS_OK;
}

static enum exit_code run(struct invocation *invocation)
{
    const struct settings *settings = invocation->settings;
    struct error err = {0};
    struct text_buffer text = {0};
    if (input_read_prompt(settings, invocation->argument, &text, &err) != STATUS_OK) {
        text_buffer_finish(&text);
        complain("%s", err.message);
        return EXIT_USAGE;
    }
    Gemmad__V1__TokenizeRequest request = GEMMAD__V1__TOKENIZE_REQUEST__INIT;
    ProtobufCBinaryData bytes = {text.length, (uint8_t *)text.data};
    if (settings->chat_json) {
        request.input_case = GEMMAD__V1__TOKENIZE_REQUEST__INPUT_CHAT_JSON;
        request.chat_json = bytes;
    } else {
        request.input_case = GEMMAD__V1__TOKENIZE_REQUEST__INPUT_TEXT;
        request.text = bytes;
    }
    request.has_parse_special = settings->has_parse_special;
    request.parse_special = settings->parse_special;

    struct client_method tokenize = {&gemmad__v1__inference__descriptor, "Tokenize"};
    ProtobufCMessage *answer;
    enum status st = client_call(invocation->client, tokenize, &request.base, settings->timeout_ns,
                                 &answer, &err);
    text_buffer_finish(&text);
    if (st != STATUS_OK)
        return call_failed(&err);
    print(invocation, answer);
    client_free_message(answer);
    return EXIT_OK;
}

static const struct option_group *const groups[] = {
    &text_options,
    &tokenize_options,
    &json_option,
    NULL,
};

const struct command tokenize_command = {
    .name = "tokenize",
    .argument = "[TEXT]",
    .summary = "the token ids of a text",
    .description = "Prints the ids with commas between, as gemmactl detokenize and generate "
                   "--token-ids take them; with --json also the text as the model sees it. Without "
                   "TEXT it reads standard input.",
    .examples = "    gemmactl tokenize \"Hello, world\"\n"
                "    gemmactl tokenize --chat-json chat.json --json | jq -r .text\n"
                "    gemmactl detokenize \"$(gemmactl tokenize Hello)\"\n",
    .groups = groups,
    .check = check,
    .run = run,
};
