/* tests/gateway/test_metrics.c - what is counted of requests, and the page that says it. */
#include "tests/test.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "gateway/generation.h"
#include "gateway/metrics_page.h"
#include "tests/engine/engine_world.h"

static struct gateway_state state;

static void open_state(void)
{
    gateway_state_init(&state);
    state.version = "1 \"quoted\"";
}

static void open_loaded_state(void)
{
    open_state();
    open_engine(100, 4);
    const struct gateway_model model = {
        .name = "a\\b", .compute = "f32", .kernels = "twin", .world_size = 2};
    gateway_state_set_model(&state, &model, engine);
}

static char *page(void)
{
    struct text_buffer text = {0};
    metrics_write(&state, &text);
    return text_buffer_release(&text);
}

// The value behind "gemmad_SAMPLE ".
static double sample(const char *text, const char *name)
{
    char line[256];
    snprintf(line, sizeof line, "\ngemmad_%s ", name);
    const char *found = strstr(text, line);
    if (!found)
        test_fail(__FILE__, __LINE__, "no sample %s in\n%s", name, text);
    return strtod(found + strlen(line), NULL);
}

#define ASSERT_SAMPLE(text, name, want) ASSERT_NEAR(sample(text, name), want, 1e-9)

// A client that only waits for the end.
struct waiting_client {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t n_refs;
};

static void wake(void *context)
{
    (void)context;
}

static void ref(void *context)
{
    struct waiting_client *client = context;
    pthread_mutex_lock(&client->lock);
    client->n_refs++;
    pthread_mutex_unlock(&client->lock);
}

static void drop(void *context)
{
    struct waiting_client *client = context;
    pthread_mutex_lock(&client->lock);
    client->n_refs--;
    pthread_cond_signal(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

static enum status generate(const struct request *request)
{
    struct waiting_client waiting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    struct generation_client client = {&waiting, wake, ref, drop, &state.metrics};
    struct generation *generation = NULL;
    struct error err = {0};
    enum status st = generation_start(engine, request, 1 << 20, &client, &generation, &err);
    pthread_mutex_lock(&waiting.lock);
    while (waiting.n_refs > 0)
        pthread_cond_wait(&waiting.changed, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
    generation_destroy(generation);
    return st;
}

// The engine's figures are there once it did something.
static void use_engine(void)
{
    struct request request = request_of("r", 7, 2);
    ASSERT_OK(generate(&request));
    check_pages_are_whole();
}

TEST(requests_are_counted_and_timed_by_their_events)
{
    open_loaded_state();
    struct request request = request_of("r", 7, 12);
    request.n = 2;
    request.want_token_ids = true;
    ASSERT_OK(generate(&request));
    request.id = "s";
    request.n = 1;
    request.max_tokens = 1;
    ASSERT_OK(generate(&request));
    check_pages_are_whole();
    char *text = page();
    ASSERT_SAMPLE(text, "requests_total", 2);
    ASSERT_SAMPLE(text, "prompt_tokens_total", 2 * N_PROMPT);
    ASSERT_SAMPLE(text, "generation_tokens_total", 25);
    ASSERT_SAMPLE(text, "request_success_total{finished_reason=\"length\"}", 3);
    ASSERT_SAMPLE(text, "request_success_total{finished_reason=\"stop\"}", 0);
    ASSERT_SAMPLE(text, "time_to_first_token_seconds_count", 2);
    ASSERT_SAMPLE(text, "e2e_request_latency_seconds_count", 2);
    ASSERT_SAMPLE(text, "request_queue_time_seconds_count", 2);
    ASSERT_SAMPLE(text, "inter_token_latency_seconds_count", 22);
    ASSERT_SAMPLE(text, "request_time_per_output_token_seconds_count", 2);
    ASSERT_SAMPLE(text, "request_prompt_tokens_sum", 2 * N_PROMPT);
    ASSERT_SAMPLE(text, "request_generation_tokens_sum", 25);
    ASSERT_SAMPLE(text, "request_generation_tokens_bucket{le=\"1\"}", 1);
    ASSERT_SAMPLE(text, "request_generation_tokens_bucket{le=\"10\"}", 1);
    ASSERT_SAMPLE(text, "request_generation_tokens_bucket{le=\"20\"}", 3);
    ASSERT_SAMPLE(text, "request_generation_tokens_bucket{le=\"+Inf\"}", 3);
    ASSERT_SAMPLE(text, "prefix_cache_queries_total", 2 * N_PROMPT);
    ASSERT_SAMPLE(text, "prefix_cache_hits_total", 0);
    ASSERT_SAMPLE(text, "num_requests_running", 0);
    ASSERT_SAMPLE(text, "kv_pages{group=\"1\"}", 99);
    ASSERT_SAMPLE(text, "kv_pages_used{group=\"1\"}", 0);
    ASSERT(sample(text, "e2e_request_latency_seconds_sum") >=
           sample(text, "time_to_first_token_seconds_sum"));
    ASSERT(sample(text, "time_to_first_token_seconds_sum") >=
           sample(text, "request_queue_time_seconds_sum"));
    ASSERT(sample(text, "step_seconds_total{part=\"prepare\"}") > 0);
    free(text);
    close_engine();
    gateway_state_finish(&state);
}

TEST(what_the_engine_refuses_is_a_failure)
{
    open_loaded_state();
    struct request request = request_of("r", 7, 10000);
    ASSERT_EQ(generate(&request), STATUS_INVALID_ARGUMENT);
    char *text = page();
    ASSERT_SAMPLE(text, "request_failure_total{status=\"INVALID_ARGUMENT\"}", 1);
    ASSERT_SAMPLE(text, "e2e_request_latency_seconds_count", 0);
    free(text);
    close_engine();
    gateway_state_finish(&state);
}

TEST(times_fall_into_the_buckets_of_their_bounds)
{
    open_state();
    struct request_times times;
    request_times_init(&times, 1, NS_PER_S);
    struct engine_event event = {.type = ENGINE_EVENT_DELTA};
    metrics_take_event(&state.metrics, &times, &event, NS_PER_S + 25 * NS_PER_MS); // a bound's own
    metrics_take_event(&state.metrics, &times, &event, NS_PER_S + 26 * NS_PER_MS);
    event = (struct engine_event){.type = ENGINE_EVENT_FINISH,
                                  .reason = FINISH_STOP,
                                  .completion_tokens = 5,
                                  .prompt_tokens = 3,
                                  .cached_tokens = 2,
                                  .queue_ns = 9000 * NS_PER_S,
                                  .last = true};
    metrics_take_event(&state.metrics, &times, &event, NS_PER_S + 65 * NS_PER_MS);
    request_times_finish(&times);
    char *text = page();
    ASSERT_SAMPLE(text, "time_to_first_token_seconds_bucket{le=\"0.01\"}", 0);
    ASSERT_SAMPLE(text, "time_to_first_token_seconds_bucket{le=\"0.025\"}", 1);
    ASSERT_SAMPLE(text, "time_to_first_token_seconds_sum", 0.025);
    ASSERT_SAMPLE(text, "inter_token_latency_seconds_bucket{le=\"0.001\"}", 1);
    ASSERT_SAMPLE(text, "request_time_per_output_token_seconds_sum", 0.01);
    ASSERT_SAMPLE(text, "request_queue_time_seconds_bucket{le=\"2560\"}", 0);
    ASSERT_SAMPLE(text, "request_queue_time_seconds_bucket{le=\"+Inf\"}", 1);
    ASSERT_SAMPLE(text, "e2e_request_latency_seconds_sum", 0.065);
    ASSERT_SAMPLE(text, "prefix_cache_hits_total", 2);
    free(text);
    gateway_state_finish(&state);
}

TEST(a_request_that_ends_while_it_waits_has_no_queue_time)
{
    open_state();
    struct request_times times;
    request_times_init(&times, 1, NS_PER_S);
    struct engine_event event = {
        .type = ENGINE_EVENT_FINISH, .reason = FINISH_ABORT, .prompt_tokens = 3, .last = true};
    metrics_take_event(&state.metrics, &times, &event, 2 * NS_PER_S);
    request_times_finish(&times);
    char *text = page();
    ASSERT_SAMPLE(text, "request_queue_time_seconds_count", 0);
    ASSERT_SAMPLE(text, "time_to_first_token_seconds_count", 0);
    ASSERT_SAMPLE(text, "request_success_total{finished_reason=\"abort\"}", 1);
    ASSERT_SAMPLE(text, "e2e_request_latency_seconds_sum", 1);
    free(text);
    gateway_state_finish(&state);
}

TEST(restarts_are_counted_when_the_workers_are_back)
{
    open_state();
    gateway_state_set_serving(&state, false);
    char *text = page();
    ASSERT_SAMPLE(text, "worker_restarts_total", 0);
    ASSERT_SAMPLE(text, "serving", 0);
    free(text);
    gateway_state_set_serving(&state, true);
    gateway_state_set_serving(&state, true);
    text = page();
    ASSERT_SAMPLE(text, "worker_restarts_total", 1);
    free(text);
    gateway_state_finish(&state);
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// One line of the format that is no comment: gemmad_NAME[{LABELS}] NUMBER.
static void check_sample(const char *line, size_t n, const char *family, size_t n_family)
{
    ASSERT(n > n_family && strncmp(line, family, n_family) == 0);
    size_t at = n_family;
    while (is_name_character(line[at]))
        at++;
    size_t n_suffix = at - n_family;
    ASSERT(n_suffix == 0 || strncmp(line + n_family, "_bucket", n_suffix) == 0 ||
           strncmp(line + n_family, "_sum", n_suffix) == 0 ||
           strncmp(line + n_family, "_count", n_suffix) == 0);
    bool quoted = false;
    if (line[at] == '{') {
        while (at < n && (quoted || line[at] != '}')) {
            if (quoted && line[at] == '\\')
                at++;
            else if (line[at] == '"')
                quoted = !quoted;
            at++;
        }
        at++;
    }
    ASSERT(at < n && line[at] == ' ');
    char *end;
    ASSERT(strtod(line + at + 1, &end) >= 0);
    ASSERT(end == line + n);
}

TEST(every_sample_stands_behind_the_head_of_its_family)
{
    open_loaded_state();
    use_engine();
    char *text = page();
    const char *family = NULL;
    size_t n_family = 0;
    uint32_t n_samples = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        size_t n = strcspn(line, "\n");
        ASSERT(line[n] == '\n');
        if (strncmp(line, "# HELP ", 7) == 0) {
            family = line + 7;
            n_family = strcspn(family, " ");
            char head[256];
            snprintf(head, sizeof head, "# TYPE %.*s ", (int)n_family, family);
            ASSERT(strncmp(line + n + 1, head, strlen(head)) == 0);
        } else if (line[0] != '#') {
            ASSERT(family);
            check_sample(line, n, family, n_family);
            n_samples++;
        }
    }
    ASSERT(n_samples > 150);
    ASSERT_CONTAINS(text, "version=\"1 \\\"quoted\\\"\",model_name=\"a\\\\b\"");
    free(text);
    close_engine();
    gateway_state_finish(&state);
}

// Every gemmad_NAME in the text is a sample of the page.
static uint32_t check_names(const char *expression, const char *text)
{
    uint32_t n = 0;
    while ((expression = strstr(expression, "gemmad_"))) {
        size_t length = 0;
        while (is_name_character(expression[length]))
            length++;
        char with_labels[128], plain[128];
        snprintf(with_labels, sizeof with_labels, "\n%.*s{", (int)length, expression);
        snprintf(plain, sizeof plain, "\n%.*s ", (int)length, expression);
        if (!strstr(text, with_labels) && !strstr(text, plain))
            test_fail(__FILE__, __LINE__, "no metric %.*s", (int)length, expression);
        expression += length;
        n++;
    }
    return n;
}

TEST(the_dashboard_asks_for_metrics_that_exist)
{
    open_loaded_state();
    use_engine();
    char *text = page();
    struct json_document *document = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(
        json_parse_file(test_path("../deploy/grafana-dashboard.json"), NULL, &document, &err), err);
    const struct json_value *panels = json_get(json_root(document), "panels");
    ASSERT(panels && panels->type == JSON_ARRAY);
    uint32_t n_names = 0;
    for (uint32_t i = 0; i < panels->n; i++) {
        const struct json_value *targets = json_get(&panels->items[i], "targets");
        ASSERT(targets && targets->type == JSON_ARRAY && targets->n > 0);
        for (uint32_t j = 0; j < targets->n; j++) {
            uint32_t n = check_names(json_get(&targets->items[j], "expr")->text, text);
            ASSERT(n > 0);
            n_names += n;
        }
    }
    ASSERT(n_names > 30);
    json_document_destroy(document);
    free(text);
    close_engine();
    gateway_state_finish(&state);
}
