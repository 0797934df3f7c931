/* tests/gateway/server.c - the real gateway and engine over a fake device, for test_grpc.py: a
 * model that makes up tokens, the tokenizer and template of a fixture.
 *
 *     gateway_test_server CHECKPOINT_FOLDER UNIX_SOCKET [API_KEYS]
 *
 * Says "listening ADDRESS ADDRESS HTTP_ADDRESS" and then does what lines on its input say,
 * answering each with "done": load, serving 0|1, drain, hold, allow N, go, quit (shuts down with a
 * grace of N ms).
 * Its end says whether every page came back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/gateway.h"
#include "tests/engine/fake_backend.h"

#define VOCAB 1024
#define MAX_QUEUED_BYTES (64 << 10)

struct test_server {
    struct gateway *gateway;
    struct engine *engine;
    struct fake_backend backend;
    struct tokenizer *tokenizer;
    struct template *template;
    char *template_source;
    struct grammar_cache *grammars;
    struct vocabulary *vocabulary;
};

static void must(enum status st, const struct error *err)
{
    if (st == STATUS_OK)
        return;
    fprintf(stderr, "%s: %s\n", status_name(st), err->message);
    exit(1);
}

static char *read_file(const char *folder, const char *name, size_t *out_n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    CHECK(file);
    char *bytes = mem_zeroed(1 << 20, 1);
    *out_n = fread(bytes, 1, (1 << 20) - 1, file);
    fclose(file);
    return bytes;
}

static void create_engine(struct test_server *s)
{
    enum { N_PAGES = 200, PAGE_TOKENS = 8, MAX_POSITIONS = 1000 };
    struct kv_params kv = {.page_tokens = PAGE_TOKENS,
                           .element_bytes = 2,
                           .n_groups = 2,
                           .groups = {{.window = 20}, {.window = 0}},
                           .n_pages = {N_PAGES, N_PAGES}};
    struct step_limits limits = {.max_slots = 32,
                                 .max_rows = 64,
                                 .max_positions = MAX_POSITIONS,
                                 .vocab_size = VOCAB,
                                 .n_groups = 2,
                                 .page_tokens = PAGE_TOKENS,
                                 .n_pages = {N_PAGES, N_PAGES},
                                 .max_blob_bytes = 8192};
    fake_backend_init(&s->backend, &limits, &kv);
    struct engine_config config = {.limits = limits,
                                   .kv = kv,
                                   .backend = fake_backend_for_engine(&s->backend),
                                   .tokenizer = s->tokenizer,
                                   .vocabulary = s->vocabulary,
                                   .max_queued = 100};
    struct error err = {0};
    must(engine_create(&config, &s->engine, &err), &err);
}

static void load(struct test_server *s, const char *folder)
{
    static const uint32_t stop_ids[] = {1, 9, 16};
    static const uint32_t soft_token_ids[] = {1019, 1022, 1023};
    struct error err = {0};
    size_t n;
    char *json = read_file(folder, "tokenizer.json", &n);
    must(tokenizer_parse(json, n, "tokenizer.json", &s->tokenizer, &err), &err);
    free(json);
    char *source = read_file(folder, "chat_template.jinja", &n);
    must(template_compile(source, n, "chat_template.jinja", &s->template, &err), &err);
    s->template_source = source;
    s->grammars = grammar_cache_create(s->tokenizer, 0);
    s->vocabulary = vocabulary_create(s->tokenizer, VOCAB);
    create_engine(s);
    struct gateway_model model = {.name = "fixture",
                                  .folder = folder,
                                  .model_type = "gemma4",
                                  .tokenizer = s->tokenizer,
                                  .chat_template = s->template,
                                  .grammars = s->grammars,
                                  .chat_template_source = source,
                                  .n_chat_template_source = n,
                                  .bos_id = 2,
                                  .stop_ids = stop_ids,
                                  .n_stop_ids = 3,
                                  .soft_token_ids = soft_token_ids,
                                  .n_soft_token_ids = 3,
                                  .vocab_size = VOCAB,
                                  .max_positions = 1000,
                                  .n_layers = 6,
                                  .hidden_size = 64,
                                  .world_size = 1,
                                  .compute = "f32",
                                  .kernels = "none",
                                  .max_seqs = 32,
                                  .max_step_tokens = 64,
                                  .page_tokens = 8};
    gateway_set_model(s->gateway, &model, s->engine);
}

// False: the end.
static bool obey(struct test_server *s, const char *folder, const char *line)
{
    unsigned n = 0;
    if (strcmp(line, "load\n") == 0)
        load(s, folder);
    else if (sscanf(line, "serving %u", &n) == 1)
        gateway_set_serving(s->gateway, n);
    else if (strcmp(line, "drain\n") == 0)
        gateway_drain(s->gateway, NULL, NULL);
    else if (strcmp(line, "hold\n") == 0)
        fake_backend_hold(&s->backend);
    else if (sscanf(line, "allow %u", &n) == 1)
        fake_backend_allow(&s->backend, n);
    else if (strcmp(line, "go\n") == 0)
        fake_backend_go_on(&s->backend);
    else if (sscanf(line, "quit %u", &n) == 1) {
        gateway_shutdown(s->gateway, n * NS_PER_MS);
        return false;
    } else
        CHECK(!"a known command");
    return true;
}

static bool pages_are_whole(struct engine *engine)
{
    struct engine_stats stats;
    for (int i = 0; i < 2000; i++) { // what was aborted at the end is let go a moment later
        engine_get_stats(engine, &stats);
        if (stats.n_running == 0 && stats.n_waiting == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    bool whole = stats.n_running == 0 && stats.n_waiting == 0;
    for (uint32_t g = 0; g < stats.n_groups; g++)
        whole &= stats.n_free_pages[g] == stats.n_pages[g];
    return whole;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3 || argc == 4);
    log_set_level(LOG_ERROR);
    struct test_server s = {0};
    const char *listen[] = {"127.0.0.1:0", argv[2]};
    struct gateway_config config = {.listen = listen,
                                    .n_listen = 2,
                                    .http_listen = "127.0.0.1:0",
                                    .n_threads = 3,
                                    .max_queued_bytes = MAX_QUEUED_BYTES,
                                    .version = "test"};
    struct error err = {0};
    struct auth *auth = NULL;
    if (argc == 4)
        must(auth_parse(argv[3], strlen(argv[3]), "API_KEYS", &auth, &err), &err);
    config.auth = auth;
    must(gateway_create(&config, &s.gateway, &err), &err);
    printf("listening %s %s %s\n", gateway_address(s.gateway, 0), gateway_address(s.gateway, 1),
           gateway_http_address(s.gateway));
    fflush(stdout);
    char line[128];
    bool more = true;
    while (more && fgets(line, sizeof line, stdin)) {
        more = obey(&s, argv[1], line);
        printf("done\n");
        fflush(stdout);
    }
    gateway_destroy(s.gateway);
    auth_destroy(auth);
    bool whole = true;
    if (s.engine) {
        whole = pages_are_whole(s.engine);
        engine_destroy(s.engine);
        fake_backend_finish(&s.backend);
    }
    grammar_cache_destroy(s.grammars);
    vocabulary_destroy(s.vocabulary);
    tokenizer_destroy(s.tokenizer);
    template_destroy(s.template);
    free(s.template_source);
    printf(whole ? "pages whole\n" : "pages lost\n");
    return whole ? 0 : 1;
}
