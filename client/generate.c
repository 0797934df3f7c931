/* client/generate.c - gemmactl generate: one request, its answer on stdout. */
#include "client/command.h"

#include "client/answer.h"
#include "client/input.h"
#include "client/media_files.h"
#include "client/request_options.h"

static const struct option tokens_table[] = {
    {"token-ids", 0, OPTION_TOKEN_IDS, OPTION_LIST(prompt_ids, ids), "1,2,3", 0, 0,
     "the prompt is these tokens, taken as they are"},
};
static const struct option answer_table[] = {
    {"n", 'n', OPTION_COUNT, OPTION_FIELD(sampling, n), "N", 1, 128, "this many answers"},
    {"show-special", 0, OPTION_FLAG, OPTION_FIELD(response, skip_special_tokens), NULL, 0, 0,
     "special tokens such as <turn|> are part of the text"},
    {"json", 0, OPTION_FLAG, OPTION_PLAIN(json), NULL, 1, 1,
     "for scripts: one JSON object for each event, with the names of the .proto files"},
    {"logprobs", 0, OPTION_COUNT, OPTION_FIELD(response, logprobs), "K", 0, UINT32_MAX,
     "with --json: each token's log-probability, and those of the K likeliest (up to 20)"},
    {"prompt-logprobs", 0, OPTION_NUMBER, OPTION_FIELD(response, prompt_logprobs), "K", INT32_MIN,
     INT32_MAX, "with --json: the same of the prompt's tokens"},
    {"return-token-ids", 0, OPTION_FLAG, OPTION_FIELD(response, token_ids), NULL, 1, 1,
     "with --json: the answer's token ids"},
    {"return-prompt-token-ids", 0, OPTION_FLAG, OPTION_FIELD(response, prompt_token_ids), NULL, 1,
     1, "with --json: the prompt's token ids"},
    {"no-text", 0, OPTION_FLAG, OPTION_FIELD(response, text), NULL, 0, 0,
     "with --json: leaves the text out"},
};
static const struct option_group tokens_options = OPTION_GROUP("Or tokens", tokens_table);
static const struct option_group answer_options = OPTION_GROUP("The answer", answer_table);

static enum status check(const struct invocation *invocation, struct error *err)
{
    const struct settings *settings = invocation->settings;
    int n_prompts = (invocation->argument != NULL) + (settings->file != NULL) +
                    (settings->chat_json != NULL) + (settings->prompt_ids.n_ids > 0);
    if (n_prompts > 1)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "one of PROMPT, --file, --chat-json and --token-ids, not several");
    const Gemmad__V1__ResponseOptions *response = &settings->response;
    if (!settings->json &&
        (response->has_logprobs || response->has_prompt_logprobs || response->has_token_ids ||
         response->has_prompt_token_ids || response->has_text))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "logprobs, token ids and --no-text need --json: text does not show them");
    return STATUS_OK;
}

// Sets the request's prompt; text keeps its bytes.
static enum status set_prompt(const struct invocation *invocation, struct text_buffer *text,
                              struct error *err)
{
    struct settings *settings = invocation->settings;
    Gemmad__V1__GenerateRequest *request = &settings->request;
    if (settings->prompt_ids.n_ids > 0) {
        request->prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS;
        request->token_ids = &settings->prompt_ids;
        return STATUS_OK;
    }
    enum status st = input_read_prompt(settings, invocation->argument, text, err);
    ProtobufCBinaryData bytes = {text->length, (uint8_t *)text->data};
    if (settings->chat_json) {
        request->prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_CHAT_JSON;
        request->chat_json = bytes;
    } else {
        request->prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TEXT;
        request->text = bytes;
    }
    return st;
}

static enum exit_code run(struct invocation *invocation)
{
    struct error err = {0};
    struct text_buffer text = {0};
    enum exit_code code = EXIT_OK;
    if (set_prompt(invocation, &text, &err) != STATUS_OK ||
        media_files_read(invocation->settings, &err) != STATUS_OK) {
        complain("%s", err.message);
        code = EXIT_USAGE;
    } else if (answer_print(invocation, NULL, &err) != STATUS_OK) {
        code = call_failed(&err);
    }
    text_buffer_finish(&text);
    return code;
}

static const struct option_group *const groups[] = {
    &text_options,     &tokens_options, &media_options,   &sampling_options,
    &stopping_options, &answer_options, &request_options, NULL,
};

const struct command generate_command = {
    .name = "generate",
    .argument = "[PROMPT]",
    .summary = "streams the answer to a prompt",
    .description =
        "Sends a prompt as it is, without a chat template, and prints the answer while it is made. "
        "The prompt is the argument, a file, a conversation or token ids; with none of them, "
        "standard input. Ctrl-C ends the answer.",
    .examples = "    gemmactl generate \"Once upon a time\" --max-tokens 100\n"
                "    gemmactl generate -f story.txt --temperature 0 >answer.txt\n"
                "    gemmactl generate --chat-json '{\"messages\": [{\"role\": \"user\", "
                "\"content\": \"Hi\"}]}'\n"
                "    gemmactl generate --image cat.jpg \"<|image|>A picture of\"\n"
                "    gemmactl generate --token-ids 2,1059 --json --logprobs 5 | jq .delta\n",
    .groups = groups,
    .check = check,
    .run = run,
};
