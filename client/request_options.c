/* client/request_options.c - one row for each field. Ranges are the fields' types: the server knows
 * which values it takes. */
#include "client/request_options.h"

#include <stdlib.h>

static const struct option global_table[] = {
    {"address", 0, OPTION_TEXT, OPTION_PLAIN(address), "ADDRESS", 0, 0,
     "where the server listens: HOST:PORT, [IPV6]:PORT or unix:PATH. Default: GEMMAD_ADDRESS from "
     "the environment, else 127.0.0.1:8431"},
    {"api-key", 0, OPTION_TEXT, OPTION_PLAIN(api_key), "KEY", 0, 0,
     "the key that a server with api_keys_file wants. Default: GEMMAD_API_KEY from the "
     "environment, "
     "which other users of this machine cannot see, unlike a flag"},
    {"timeout", 0, OPTION_SECONDS, OPTION_PLAIN(timeout_ns), "SECONDS", 0, 0,
     "the longest that a call may take. Default: no limit (5 seconds to connect)"},
    {"help", 'h', OPTION_FLAG, OPTION_PLAIN(help), NULL, 1, 1, "this text"},
};
const struct option_group global_options = OPTION_GROUP("Flags of every command", global_table);

static const struct option text_table[] = {
    {"file", 'f', OPTION_TEXT, OPTION_PLAIN(file), "FILE", 0, 0,
     "the text is in this file; -: standard input"},
    {"chat-json", 0, OPTION_TEXT, OPTION_PLAIN(chat_json), "FILE|TEXT", 0, 0,
     "a conversation instead of a text, {\"messages\": [...], \"tools\": [...], "
     "\"enable_thinking\": bool}, rendered by the model's chat template"},
};
const struct option_group text_options = OPTION_GROUP("The text", text_table);

static const struct option json_table[] = {
    {"json", 0, OPTION_FLAG, OPTION_PLAIN(json), NULL, 1, 1,
     "for scripts: one JSON object a line, with the names of the .proto files"},
};
const struct option_group json_option = OPTION_GROUP("Output", json_table);

static const struct option sampling_table[] = {
    {"temperature", 0, OPTION_REAL, OPTION_FIELD(sampling, temperature), "T", 0, 0,
     "0 is greedy: always the likeliest token; higher is more varied, up to 2"},
    {"top-p", 0, OPTION_REAL, OPTION_FIELD(sampling, top_p), "P", 0, 0,
     "only the likeliest tokens that have this probability together, 0 to 1"},
    {"min-p", 0, OPTION_REAL, OPTION_FIELD(sampling, min_p), "P", 0, 0,
     "only tokens at least this part as likely as the best one, 0 to 1"},
    {"top-k", 0, OPTION_NUMBER, OPTION_FIELD(sampling, top_k), "K", INT32_MIN, INT32_MAX,
     "only the K likeliest tokens; 0: all"},
    {"repetition-penalty", 0, OPTION_REAL, OPTION_FIELD(sampling, repetition_penalty), "X", 0, 0,
     "above 1 makes tokens of the prompt and the answer less likely to come again"},
    {"frequency-penalty", 0, OPTION_REAL, OPTION_FIELD(sampling, frequency_penalty), "X", 0, 0,
     "lowers tokens of the answer by how often they came, -2 to 2"},
    {"presence-penalty", 0, OPTION_REAL, OPTION_FIELD(sampling, presence_penalty), "X", 0, 0,
     "lowers tokens of the answer that came at all, -2 to 2"},
    {"seed", 0, OPTION_SEED, OPTION_FIELD(sampling, seed), "N", 0, 0,
     "the same seed and request give the same answer. Default: random"},
    {"logit-bias", 0, OPTION_BIASES, OPTION_LIST(sampling, logit_bias), "ID=V", 0, 0,
     "adds V (-100 to 100) to the score of token ID; may be repeated"},
};
const struct option_group sampling_options =
    OPTION_GROUP("Sampling (default: the model's generation_config.json)", sampling_table);

static const struct option stopping_table[] = {
    {"max-tokens", 0, OPTION_COUNT, OPTION_FIELD(stopping, max_tokens), "N", 0, UINT32_MAX,
     "the longest answer. Default: the rest of the context"},
    {"min-tokens", 0, OPTION_COUNT, OPTION_FIELD(stopping, min_tokens), "N", 0, UINT32_MAX,
     "nothing stops the answer before"},
    {"stop", 0, OPTION_TEXTS, OPTION_LIST(stopping, stop), "TEXT", 0, 0,
     "ends the answer before this text; may be repeated, up to 16 times"},
    {"stop-token-id", 0, OPTION_TOKEN_IDS, OPTION_LIST(stopping, stop_token_ids), "ID", 0, 0,
     "ends the answer at this token; may be repeated, or be a list 1,2"},
    {"ignore-eos", 0, OPTION_FLAG, OPTION_FIELD(stopping, ignore_eos), NULL, 1, 1,
     "the model's own end tokens do not end the answer"},
    {"include-stop", 0, OPTION_FLAG, OPTION_FIELD(stopping, include_stop), NULL, 1, 1,
     "keeps what ended the answer in it"},
    {"time-limit-ms", 0, OPTION_COUNT, OPTION_FIELD(stopping, time_limit_ms), "MS", 0, UINT32_MAX,
     "ends the answer after this time, and keeps what is there"},
};
const struct option_group stopping_options = OPTION_GROUP("Where it ends", stopping_table);

static const struct option request_table[] = {
    {"priority", 0, OPTION_NUMBER, OPTION_FIELD(request, priority), "N", INT32_MIN, INT32_MAX,
     "lower runs first. Default: 0"},
    {"request-id", 0, OPTION_BYTES, OPTION_FIELD(request, request_id), "ID", 0, 0,
     "a name for the request, by which gemmactl abort finds it. Default: made up"},
    {"cache-salt", 0, OPTION_BYTES, OPTION_FIELD(request, cache_salt), "TEXT", 0, 0,
     "requests share cached prompt beginnings only with the same salt"},
};
const struct option_group request_options = OPTION_GROUP("The request", request_table);

void settings_init(struct settings *settings)
{
    *settings = (struct settings){
        .request = GEMMAD__V1__GENERATE_REQUEST__INIT,
        .sampling = GEMMAD__V1__SAMPLING__INIT,
        .stopping = GEMMAD__V1__STOPPING__INIT,
        .response = GEMMAD__V1__RESPONSE_OPTIONS__INIT,
        .prompt_ids = GEMMAD__V1__TOKEN_IDS__INIT,
    };
    settings->request.sampling = &settings->sampling;
    settings->request.stopping = &settings->stopping;
    settings->request.response = &settings->response;
}

void settings_finish(struct settings *settings)
{
    for (size_t i = 0; i < settings->sampling.n_logit_bias; i++)
        free(settings->sampling.logit_bias[i]);
    free(settings->sampling.logit_bias);
    free(settings->stopping.stop);
    free(settings->stopping.stop_token_ids);
    free(settings->prompt_ids.ids);
    for (size_t i = 0; i < settings->request.n_media; i++) {
        free(settings->request.media[i]->data.data);
        free(settings->request.media[i]);
    }
    free(settings->request.media);
    free(settings->media.images);
    free(settings->media.videos);
    free(settings->media.clips);
}
