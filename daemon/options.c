/* daemon/options.c - the table, and what is done with a row other than reading its value
 * (daemon/option_value.c). The order is the help's order. */
#include "daemon/options.h"

#include <string.h>

#include "daemon/nearest.h"
#include "gateway/gateway.h"

static const char *const compute_names[] = {"auto", "f32", "bf16", NULL};
static const char *const weights_names[] = {"auto", "bf16", "int8", "int4", NULL};
static const char *const cache_words[] = {"auto", "off", NULL};
static const char *const special_names[] = {"literal", "parse", NULL};
static const char *const media_names[] = {"auto", "off", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};

#define FIELD(name) offsetof(struct daemon_config, name)
#define SECONDS INT64_C(1000000000)

const struct option options[] = {
    {"model", OPTION_PATH, FIELD(model), "Model", "DIR", NULL, 0, 0, NULL,
     "folder of a Hugging Face checkpoint: config.json, *.safetensors, tokenizer.json. Also the "
     "argument MODEL_DIR. Without one: the default model that came with gemmad"},
    {"served_model_name", OPTION_TEXT, FIELD(served_model_name), NULL, "NAME", NULL, 1, 256, NULL,
     "the name that clients see; without one, the folder's"},
    {"chat_template", OPTION_PATH, FIELD(chat_template), NULL, "FILE", NULL, 0, 0, NULL,
     "a Jinja template instead of the checkpoint's own"},
    {"special_tokens_in_content", OPTION_CHOICE, FIELD(special_tokens_in_content), NULL,
     "literal|parse", "literal", 0, 0, special_names,
     "special tokens that a user typed stay plain text, or become tokens"},

    {"listen", OPTION_ADDRESSES, FIELD(listen), "Network", "ADDRESS", GATEWAY_DEFAULT_ADDRESS, 0, 0,
     NULL,
     "HOST:PORT, [IPV6]:PORT or unix:PATH; port 0 picks a free one and logs it. May be repeated"},
    {"http_listen", OPTION_TEXT, FIELD(http_listen), NULL, "ADDRESS|off",
     GATEWAY_DEFAULT_HTTP_ADDRESS, 1, 256, NULL,
     "where the OpenAI API and the chat page are served over HTTP: HOST:PORT or [IPV6]:PORT; "
     "port 0 picks a free one and logs it. off: no HTTP"},
    {"api_keys_file", OPTION_PATH, FIELD(api_keys_file), NULL, "FILE", NULL, 0, 0, NULL,
     "who may call: a line NAME:sha256:HEX for each API key, as `gemmactl key NAME` makes it. "
     "Every "
     "method but health needs one of the keys. Without a file everybody who reaches an address may "
     "call"},

    {"tp", OPTION_POWER, FIELD(tp), "Workers", "N", "1", 1, 8, NULL,
     "workers that share the model by tensor parallelism: 1, 2, 4 or 8"},
    {"threads", OPTION_COUNT, FIELD(threads), NULL, "N", "0", 0, 256, NULL,
     "threads of each worker; 0: this machine's cores, shared out"},
    {"compute", OPTION_CHOICE, FIELD(compute), NULL, "auto|f32|bf16", "auto", 0, 0, compute_names,
     "the type of activations; auto: bf16 where the CPU has bf16 dot products, else f32"},
    {"weights", OPTION_CHOICE, FIELD(weights), NULL, "auto|bf16|int8|int4", "auto", 0, 0,
     weights_names,
     "what the weights become in memory. auto: as stored when compute is f32, else bf16. int8: "
     "half "
     "of bf16's memory and time for a token, nearly the same answers. int4: little more than a "
     "quarter, and answers that differ a little; the vocabulary stays int8"},
    {"weights_cache", OPTION_PATH, FIELD(weights_cache), NULL, "auto|off|DIR", "auto", 0, 0,
     cache_words,
     "where the packed weights of each worker are kept in a file, as large as they are, which the "
     "next start maps instead of packing again. auto: the model's folder, in .gemmad, or, where it "
     "cannot be written, $CACHE_DIRECTORY, $XDG_CACHE_HOME/gemmad or ~/.cache/gemmad. Nobody but "
     "gemmad's user and root may be able to write there"},
    {"step_timeout", OPTION_DURATION, FIELD(step_timeout_ns), NULL, "TIME", "60s", SECONDS / 10,
     3600 * SECONDS, NULL, "how long a worker waits for its peers before they count as lost"},
    {"load_timeout", OPTION_DURATION, FIELD(load_timeout_ns), NULL, "TIME", "5m", SECONDS,
     86400 * SECONDS, NULL, "how long a worker that loads may make no progress"},
    {"max_restarts", OPTION_COUNT, FIELD(max_restarts), NULL, "N", "5", 0, 1000, NULL,
     "gemmad gives up when the workers died more often than this within restart_window"},
    {"restart_window", OPTION_DURATION, FIELD(restart_window_ns), NULL, "TIME", "10m", SECONDS,
     86400 * SECONDS, NULL, "see max_restarts"},

    {"max_seqs", OPTION_COUNT, FIELD(max_seqs), "Batching", "N", "64", 1, 4096, NULL,
     "sequences that run at once"},
    {"max_step_tokens", OPTION_COUNT, FIELD(max_step_tokens), NULL, "N", "512", 1, 65536, NULL,
     "tokens in one step, of all sequences together"},
    {"max_chunk_tokens", OPTION_COUNT, FIELD(max_chunk_tokens), NULL, "N", "0", 0, 65536, NULL,
     "prompt tokens of one sequence in a step; 0: max_step_tokens"},
    {"max_context", OPTION_COUNT, FIELD(max_context), NULL, "N", "0", 0, 1 << 24, NULL,
     "tokens of a sequence, prompt and answer; 0: what the model allows"},
    {"max_queued", OPTION_COUNT, FIELD(max_queued), NULL, "N", "1024", 0, 1000000, NULL,
     "requests that may wait; one more is refused"},

    {"max_step_stretch", OPTION_COUNT, FIELD(max_step_stretch), NULL, "N", "3", 0, 1000, NULL,
     "while answers are generated, a step takes on prompts and images only until it lasts so many "
     "times as long as without them: streams stay even, prompts wait. 0: max_step_tokens alone "
     "limits a step"},

    {"media", OPTION_CHOICE, FIELD(media), "Images, video, audio", "auto|off", "auto", 0, 0,
     media_names,
     "auto: what the checkpoint has encoders for. off: text alone, which saves their memory"},
    {"media_tokens", OPTION_COUNT, FIELD(media_tokens), NULL, "N", "0", 0, 1120, NULL,
     "soft tokens that an image becomes at most unless its request says otherwise: 70, 140, 280, "
     "560 or 1120; 0: what the checkpoint says"},
    {"encoder_cache", OPTION_BYTES, FIELD(encoder_cache), NULL, "SIZE", "256MiB", 1 << 20,
     INT64_C(1) << 40, NULL,
     "memory of each worker for what was encoded: an image that comes again costs no encoding"},
    {"media_processes", OPTION_COUNT, FIELD(media_processes), NULL, "N", "0", 0, 64, NULL,
     "sandboxed processes that decode files; 0: as many as cores, at most 8"},
    {"media_max_file", OPTION_BYTES, FIELD(media_max_file), NULL, "SIZE", "64MiB", 1024,
     INT64_C(1) << 30, NULL, "largest file of a request"},
    {"media_max_pixels", OPTION_COUNT, FIELD(media_max_pixels), NULL, "N", "67108864", 1, 1 << 30,
     NULL, "width times height of the largest image or video"},
    {"media_max_seconds", OPTION_COUNT, FIELD(media_max_seconds), NULL, "N", "3600", 1, 1 << 20,
     NULL, "longest video or clip"},
    {"media_timeout", OPTION_DURATION, FIELD(media_timeout_ns), NULL, "TIME", "20s", SECONDS / 10,
     3600 * SECONDS, NULL, "how long decoding one file may take"},

    {"page_tokens", OPTION_POWER, FIELD(page_tokens), "Memory", "N", "32", 16, 256, NULL,
     "tokens in a page of the KV cache: a power of two"},
    {"kv_pages", OPTION_COUNT, FIELD(kv_pages), NULL, "N", "0", 0, 1 << 30, NULL,
     "pages of each group of the KV cache; 0: as many as kv_memory gives"},
    {"kv_memory", OPTION_BYTES, FIELD(kv_memory), NULL, "SIZE", "0", 0, INT64_C(1) << 50, NULL,
     "memory of the KV cache, all workers together (8GiB); 0: what memory_fraction leaves"},
    {"memory_fraction", OPTION_FRACTION, FIELD(memory_fraction), NULL, "F", "0.9", 0, 0, NULL,
     "part of the available memory that gemmad may use in all"},

    {"drain_timeout", OPTION_DURATION, FIELD(drain_timeout_ns), "Process", "TIME", "30s", 0,
     86400 * SECONDS, NULL, "after SIGTERM, how long running requests may take to finish"},
    {"log_level", OPTION_CHOICE, FIELD(log_level), NULL, "LEVEL", "info", 0, 0, level_names,
     "debug, info, warn or error"},
    {"ready_fd", OPTION_NUMBER, FIELD(ready_fd), NULL, "FD", "-1", -1, 1 << 20, NULL,
     "when ready, write the addresses, one a line, to this descriptor and close it"},
};

const size_t n_options = sizeof options / sizeof *options;

const struct option *option_find(const char *name, size_t n)
{
    for (size_t i = 0; i < n_options; i++) {
        const char *own = options[i].name;
        size_t at = 0;
        while (at < n && own[at] && (own[at] == name[at] || (own[at] == '_' && name[at] == '-')))
            at++;
        if (at == n && !own[at])
            return &options[i];
    }
    return NULL;
}

const char *option_nearest(const char *word, size_t n)
{
    char plain[NEAREST_MAX_BYTES];
    if (n > sizeof plain)
        return NULL;
    for (size_t i = 0; i < n; i++)
        plain[i] = word[i] == '-' ? '_' : word[i];
    struct nearest nearest;
    nearest_begin(&nearest, plain, n);
    for (size_t i = 0; i < n_options; i++)
        nearest_offer(&nearest, options[i].name);
    return nearest_best(&nearest);
}

void option_flag(const struct option *option, struct text_buffer *out)
{
    text_buffer_append_text(out, "--");
    for (const char *c = option->name; *c; c++)
        text_buffer_append(out, *c == '_' ? "-" : c, 1);
}

// Words of text, wrapped at 100 columns with 8 blanks before each line.
static void append_wrapped(struct text_buffer *out, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column == 0 || column + 1 + word > 100) {
            text_buffer_append_text(out, column ? "\n        " : "        ");
            column = 8;
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

void options_describe(struct text_buffer *out)
{
    for (size_t i = 0; i < n_options; i++) {
        const struct option *option = &options[i];
        if (option->section)
            text_buffer_append_format(out, "\n%s\n", option->section);
        text_buffer_append_text(out, "    ");
        option_flag(option, out);
        text_buffer_append_format(out, " %s", option->metavar);
        if (option->initial)
            text_buffer_append_format(out, "  (default: %s)", option->initial);
        text_buffer_append_text(out, "\n");
        append_wrapped(out, option->help);
    }
}
