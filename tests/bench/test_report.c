/* tests/bench/test_report.c - reports of known measurements. */
#include "bench/serve/report.h"

#include "base/clock.h"
#include "base/json.h"
#include "tests/test.h"

// 100 requests in 10 s, whose times are 1 to 100 ms; the last was sent after 8 s. 4 have failed.
static struct load_result known_result(void)
{
    struct load_result result = {.n_short = 1, .most_at_once = 5, .most_late_ns = NS_PER_MS / 2};
    for (uint64_t i = 1; i <= 100; i++) {
        samples_add(&result.ttft, i * NS_PER_MS, 1);
        samples_add(&result.inter_token, i * NS_PER_MS / 10, 2);
        samples_add(&result.end_to_end, i * NS_PER_S, 1);
    }
    result.n_by_status[STATUS_OK] = 100;
    result.n_by_status[STATUS_RESOURCE_EXHAUSTED] = 3;
    result.n_by_status[STATUS_UNAVAILABLE] = 1;
    result.prompt_tokens = 1000;
    result.answer_tokens = 500;
    result.begin = (struct load_mark){.ns = NS_PER_S,
                                      .n_ended = 10,
                                      .prompt_tokens = 100,
                                      .answer_tokens = 50,
                                      .client_seconds = 1,
                                      .cpu = {2, 20}};
    result.last_sent = (struct load_mark){.ns = 9 * NS_PER_S,
                                          .n_ended = 90,
                                          .prompt_tokens = 1060,
                                          .answer_tokens = 450,
                                          .client_seconds = 1.08,
                                          .cpu = {2.4, 28}};
    result.end = (struct load_mark){.ns = 11 * NS_PER_S,
                                    .n_ended = 110,
                                    .prompt_tokens = 1100,
                                    .answer_tokens = 550,
                                    .client_seconds = 1.1,
                                    .cpu = {2.5, 30}};
    return result;
}

static const struct serve_options options = {.concurrency = 5, .lengths = "10:5", .pid = 7};

static struct json_document *json_of(const struct serve_options *which, struct load_result *result)
{
    struct text_buffer text = {0};
    report_json(which, result, &text);
    struct json_document *document;
    struct error err = {0};
    ASSERT_OK_ERR(json_parse(text.data, text.length, NULL, &document, &err), err);
    text_buffer_finish(&text);
    return document;
}

static void expect_number(const struct json_document *document, const char *object,
                          const char *name, double want)
{
    double got;
    ASSERT(json_double(json_get(json_get(json_root(document), object), name), &got));
    ASSERT_NEAR(got, want, 1e-6 * (fabs(want) + 1));
}

TEST(json_has_the_percentiles_and_the_rates_of_both_windows)
{
    struct load_result result = known_result();
    struct json_document *document = json_of(&options, &result);
    expect_number(document, "ttft_ms", "p50", 50);
    expect_number(document, "ttft_ms", "p90", 90);
    expect_number(document, "ttft_ms", "p99", 99);
    expect_number(document, "ttft_ms", "max", 100);
    expect_number(document, "ttft_ms", "mean", 50.5);
    expect_number(document, "inter_token_ms", "n", 200);
    expect_number(document, "end_to_end_ms", "p99", 99000);
    expect_number(document, "tpot_ms", "p99", 0);
    expect_number(document, "run", "seconds", 10);
    expect_number(document, "run", "requests_per_second", 10);
    expect_number(document, "run", "prompt_tokens_per_second", 100);
    expect_number(document, "run", "answer_tokens_per_second", 50);
    expect_number(document, "run", "coordinator_cores", 0.05);
    expect_number(document, "run", "workers_cores", 1);
    expect_number(document, "run", "client_cores", 0.01);
    expect_number(document, "full_load", "seconds", 8);
    expect_number(document, "full_load", "prompt_tokens_per_second", 120);
    expect_number(document, "full_load", "coordinator_cores", 0.05);
    json_document_destroy(document);
    load_result_finish(&result);
}

TEST(requests_are_counted_by_status)
{
    struct load_result result = known_result();
    ASSERT_EQ(load_failed(&result), 4);
    struct json_document *document = json_of(&options, &result);
    expect_number(document, "requests", "ok", 100);
    expect_number(document, "requests", "short", 1);
    const struct json_value *failed = json_get(json_get(json_root(document), "requests"), "failed");
    int64_t n;
    ASSERT_EQ(failed->n, 2);
    ASSERT(json_int64(json_get(failed, "RESOURCE_EXHAUSTED"), &n) && n == 3);
    ASSERT(json_int64(json_get(failed, "UNAVAILABLE"), &n) && n == 1);
    json_document_destroy(document);
    load_result_finish(&result);
}

TEST(what_is_not_known_is_null)
{
    struct load_result result = known_result();
    result.last_sent.ns = result.begin.ns + NS_PER_S - 1; // under a tenth of the run
    result.end.cpu = (struct process_cpu){NAN, NAN};      // the server has gone
    struct json_document *document = json_of(&options, &result);
    ASSERT_EQ(json_get(json_root(document), "full_load")->type, JSON_NULL);
    const struct json_value *run = json_get(json_root(document), "run");
    ASSERT_EQ(json_get(run, "coordinator_cores")->type, JSON_NULL);
    json_document_destroy(document);
    load_result_finish(&result);
}

TEST(no_measurement_at_all_makes_whole_reports)
{
    struct load_result result = {0};
    struct json_document *document = json_of(&options, &result);
    ASSERT_EQ(json_get(json_root(document), "run")->type, JSON_NULL);
    json_document_destroy(document);
    struct text_buffer text = {0};
    report_table(&options, &result, &text);
    report_plot(&options, &result, &text);
    ASSERT_CONTAINS(text.data, "</svg>");
    ASSERT(!strstr(text.data, "nan") && !strstr(text.data, "inf"));
    text_buffer_finish(&text);
}

TEST(the_table_says_it_for_people)
{
    struct load_result result = known_result();
    struct text_buffer text = {0};
    report_table(&options, &result, &text);
    ASSERT_CONTAINS(text.data, "100 OK, 3 RESOURCE_EXHAUSTED, 1 UNAVAILABLE (1 with too few");
    ASSERT_CONTAINS(text.data, "answer tokens/s             50.0          50.0\n");
    ASSERT_CONTAINS(text.data, "coordinator, cores        0.0500        0.0500\n");
    ASSERT_CONTAINS(text.data, "TTFT                  50.50      50.00      90.00      99.00");
    text_buffer_finish(&text);
    load_result_finish(&result);
}

TEST(a_curve_of_the_plot_ends_at_its_panels_right_edge_or_before)
{
    struct load_result result = known_result();
    samples_add(&result.ttft, NS_PER_S * 1000, 1); // an outlier beyond p99
    struct text_buffer text = {0};
    report_plot(&options, &result, &text);
    const char *curve = strstr(text.data, "class=\"curve\"");
    ASSERT(curve);
    const char *end = strchr(curve + 30, '/');
    double most = 0;
    for (const char *at = curve; at < end; at++) {
        if (*at == 'L')
            most = fmax(most, strtod(at + 1, NULL));
    }
    ASSERT(most > 100 && most <= 56 + 360);
    ASSERT_CONTAINS(text.data, "max 1000000.0 ms");
    text_buffer_finish(&text);
    load_result_finish(&result);
}
