/* tests/text/grammar/test_compile.c - requests of every kind, what is shared between them, and that
 * malformed ones are refused in bounded time. */
#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/text/grammar/follow.h"
#include "text/grammar/grammar_cache.h"

#define TEXT(text)            \
    {                         \
        text, sizeof text - 1 \
    }

static struct grammar *compile(const struct grammar_request *request,
                               const struct tokenizer *tokenizer)
{
    struct grammar *grammar = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(grammar_compile(request, tokenizer, &grammar, &err), err);
    return grammar;
}

TEST(each_kind_of_request_becomes_its_grammar)
{
    static const struct grammar_text choices[] = {TEXT("yes"), TEXT("no"), TEXT("yes!")};
    static const char tools[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
        "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},"
        "\"required\":[\"n\"]}}}]";
    static const struct {
        struct grammar_request request;
        const char *yes, *no;
    } cases[] = {
        {{.kind = GRAMMAR_JSON_OBJECT}, "{\"a\":[1,null]}", "[1]"},
        {{.kind = GRAMMAR_JSON_SCHEMA, .text = TEXT("{\"type\":\"integer\"}")}, "12", "1.5"},
        {{.kind = GRAMMAR_JSON_SCHEMA,
          .text = TEXT("{\"properties\":{\"a\":true},\"type\":\"object\"}"),
          .strict = true},
         "{\"a\": 1}",
         "{\"b\":1}"},
        {{.kind = GRAMMAR_REGEX, .text = TEXT("a+b")}, "aab", "xab"},
        {{.kind = GRAMMAR_CHOICE, .choices = choices, .n_choices = 3}, "yes!", "yesno"},
        {{.kind = GRAMMAR_EBNF, .text = TEXT("start: \"x\"")}, "x", "y"},
        {{.kind = GRAMMAR_ANY_TEXT, .tools = TEXT(tools), .tool_choice = TEXT("\"required\"")},
         "<|tool_call>call:f{n:1}<tool_call|>",
         "hello"},
        {{.kind = GRAMMAR_REGEX, .text = TEXT("a"), .tools = TEXT(tools)}, "a", "b"},
        {{.kind = GRAMMAR_REGEX, .text = TEXT("a"), .tools = TEXT(tools)},
         "<|tool_call>call:f{n:1}<tool_call|>",
         "<|tool_call>call:g{}<tool_call|>"},
    };
    struct tokenizer *tokenizer = bytes_tokenizer();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *grammar = compile(&cases[i].request, tokenizer);
        if (!grammar_takes(grammar, tokenizer, cases[i].yes))
            test_fail(__FILE__, __LINE__, "case %zu does not take %s", i, cases[i].yes);
        if (grammar_takes(grammar, tokenizer, cases[i].no))
            test_fail(__FILE__, __LINE__, "case %zu takes %s", i, cases[i].no);
        grammar_drop(grammar);
    }
    tokenizer_destroy(tokenizer);
}

TEST(a_request_that_cannot_be_is_refused)
{
    static const struct grammar_text bad_choice[] = {TEXT("a"), TEXT("\xFF")};
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";
    static const struct {
        struct grammar_request request;
        enum status status;
        const char *message;
    } cases[] = {
        {{.kind = GRAMMAR_ANY_TEXT}, STATUS_INVALID_ARGUMENT, "neither a form of the answer"},
        {{.kind = GRAMMAR_JSON_SCHEMA, .text = TEXT("{")}, STATUS_INVALID_ARGUMENT, "json_schema"},
        {{.kind = GRAMMAR_JSON_SCHEMA, .text = TEXT("{\"type\":7}")},
         STATUS_INVALID_ARGUMENT,
         "type"},
        {{.kind = GRAMMAR_REGEX, .text = TEXT("(")}, STATUS_INVALID_ARGUMENT, "regex, character 1"},
        {{.kind = GRAMMAR_REGEX, .text = TEXT("a^b")}, STATUS_INVALID_ARGUMENT, "no text"},
        {{.kind = GRAMMAR_CHOICE}, STATUS_INVALID_ARGUMENT, "choice: there are none"},
        {{.kind = GRAMMAR_CHOICE, .choices = bad_choice, .n_choices = 2},
         STATUS_INVALID_ARGUMENT,
         "choice[1]: not UTF-8"},
        {{.kind = GRAMMAR_CHOICE, .choices = bad_choice, .n_choices = GRAMMAR_MAX_CHOICES + 1},
         STATUS_INVALID_ARGUMENT,
         "choice: 16385 texts, at most 16384"},
        {{.kind = GRAMMAR_EBNF, .text = TEXT("start: b")}, STATUS_INVALID_ARGUMENT, "line 1"},
        {{.kind = GRAMMAR_REGEX, .text = {"", GRAMMAR_MAX_BYTES + 1}},
         STATUS_INVALID_ARGUMENT,
         "more than 262144 bytes"},
        {{.kind = GRAMMAR_ANY_TEXT, .tools = TEXT("[")}, STATUS_FAILED_PRECONDITION, "no tokens"},
        {{.kind = GRAMMAR_ANY_TEXT, .tools = TEXT(tools)}, STATUS_FAILED_PRECONDITION, "no tokens"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *grammar = NULL;
        struct error err = {0};
        ASSERT_EQ(grammar_compile(&cases[i].request, NULL, &grammar, &err), cases[i].status);
        ASSERT_CONTAINS(err.message, cases[i].message);
    }
}

static struct grammar *get(struct grammar_cache *cache, const char *pattern)
{
    const struct grammar_request request = {.kind = GRAMMAR_REGEX,
                                            .text = {pattern, strlen(pattern)}};
    struct grammar *grammar = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(grammar_cache_get(cache, &request, &grammar, &err), err);
    return grammar;
}

TEST(the_same_request_gets_the_same_grammar)
{
    struct grammar_cache *cache = grammar_cache_create(NULL, 0);
    struct grammar *first = get(cache, "a+"), *again = get(cache, "a+"), *other = get(cache, "a*");
    ASSERT(first == again && first != other);
    const struct grammar_request as_lark = {.kind = GRAMMAR_EBNF, .text = TEXT("a+")};
    struct grammar *none = NULL;
    struct error err = {0};
    ASSERT_EQ(grammar_cache_get(cache, &as_lark, &none, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "grammar, line 1");
    ASSERT_EQ(grammar_cache_get(cache, &as_lark, &none, &err), STATUS_INVALID_ARGUMENT);
    grammar_drop(first);
    grammar_drop(again);
    grammar_cache_destroy(cache);
    ASSERT(grammar_n_bytes(other) > 0); // what was handed out stays
    grammar_drop(other);
}

TEST(grammars_used_long_ago_make_room)
{
    struct grammar_cache *cache = grammar_cache_create(NULL, 0);
    grammar_drop(get(cache, "x00"));
    size_t one = grammar_cache_n_bytes(cache);
    grammar_cache_destroy(cache);
    cache = grammar_cache_create(NULL, one * 3 + one / 2);
    struct grammar *kept = get(cache, "x00"), *left = get(cache, "x01");
    for (int i = 2; i < 20; i++) {
        char pattern[16];
        snprintf(pattern, sizeof pattern, "x%02d", i);
        grammar_drop(get(cache, pattern));
        struct grammar *again = get(cache, "x00");
        ASSERT(again == kept);
        grammar_drop(again);
        ASSERT(grammar_cache_n_bytes(cache) <= one * 3 + one / 2);
    }
    struct grammar *anew = get(cache, "x01");
    ASSERT(anew != left);
    grammar_drop(kept);
    grammar_drop(left);
    grammar_drop(anew);
    grammar_cache_destroy(cache);
}

TEST(what_following_a_grammar_adds_is_counted)
{
    struct tokenizer *tokenizer = bytes_tokenizer();
    struct grammar_cache *cache = grammar_cache_create(NULL, 0);
    struct grammar *followed = get(cache, "([a-m]|[f-z]x){1,200}");
    size_t before = grammar_cache_n_bytes(cache);
    grammar_drop(get(cache, "b"));
    size_t one = grammar_cache_n_bytes(cache) - before;
    ASSERT(grammar_takes(followed, tokenizer, "abcfghxyxaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    grammar_drop(get(cache, "c"));
    ASSERT(grammar_cache_n_bytes(cache) > before + 2 * one);
    grammar_drop(followed);
    grammar_cache_destroy(cache);
    tokenizer_destroy(tokenizer);
}

TEST(a_grammar_larger_than_the_cache_is_handed_out_all_the_same)
{
    struct grammar_cache *cache = grammar_cache_create(NULL, 1);
    struct grammar *grammar = get(cache, "abc");
    ASSERT_EQ(grammar_cache_n_bytes(cache), 0);
    grammar_drop(grammar);
    grammar_cache_destroy(cache);
}

struct getter {
    pthread_t thread;
    struct grammar_cache *cache;
    uint64_t seed;
    uint32_t n_failed;
};

static void *get_many(void *argument)
{
    struct getter *getter = argument;
    for (int i = 0; i < 300; i++) {
        char pattern[32];
        int kind = (int)test_random_in(&getter->seed, 0, 9);
        snprintf(pattern, sizeof pattern, kind == 0 ? "a(" : "[a-%c]{%d}", 'b' + kind, kind + 1);
        const struct grammar_request request = {.kind = GRAMMAR_REGEX,
                                                .text = {pattern, strlen(pattern)}};
        struct grammar *grammar = NULL;
        struct error err = {0};
        enum status st = grammar_cache_get(getter->cache, &request, &grammar, &err);
        getter->n_failed += kind == 0 ? st != STATUS_INVALID_ARGUMENT || !err.message[0]
                                      : st != STATUS_OK || !grammar;
        grammar_drop(grammar);
    }
    return NULL;
}

TEST(threads_share_what_one_of_them_compiles)
{
    struct grammar_cache *cache = grammar_cache_create(NULL, 40000);
    struct getter getters[4];
    for (int i = 0; i < 4; i++) {
        getters[i] = (struct getter){.cache = cache, .seed = (uint64_t)i + 1};
        ASSERT_EQ(pthread_create(&getters[i].thread, NULL, get_many, &getters[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        ASSERT_EQ(pthread_join(getters[i].thread, NULL), 0);
        ASSERT_EQ(getters[i].n_failed, 0);
    }
    grammar_cache_destroy(cache);
}

/* ---- malformed requests ---- */

static const struct {
    enum grammar_kind kind;
    const char *text;
} good[] = {
    {GRAMMAR_REGEX, "^(?:[A-Z][a-z]+ ){2,5}\\d{1,3}(\\.[0-9]+)?$"},
    {GRAMMAR_REGEX, "(?i)(foo|ba[rz]{3,}|[^\\s\"\\\\]*?)+\\u00e9"},
    {GRAMMAR_REGEX, "((((a*)*)*)*)*[\\w.-]+@([\\w-]+\\.)+[a-z]{2,}"},
    {GRAMMAR_EBNF, "start: sum\nsum: sum (\"+\" | \"-\") atom | atom\n"
                   "atom: NUMBER | \"(\" sum \")\"\n%import common.NUMBER\n%ignore / +/\n"},
    {GRAMMAR_EBNF, "root ::= \"{\" (pair (\",\" pair)*)? \"}\"\npair ::= str \":\" value\n"
                   "str ::= \"\\\"\" [^\"\\\\]* \"\\\"\"\nvalue ::= str | root | [0-9]{1,5}\n"},
    {GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"^x+$\"},"
     "\"b\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"},\"maxItems\":3}},"
     "\"required\":[\"a\"],\"$defs\":{\"n\":{\"type\":\"number\",\"minimum\":0.5}}}"},
    {GRAMMAR_JSON_SCHEMA,
     "{\"anyOf\":[{\"enum\":[\"x\",1,null]},{\"type\":\"string\",\"format\":\"date\","
     "\"minLength\":2},{\"$ref\":\"#\"},{\"type\":\"integer\",\"multipleOf\":7}]}"},
};

// One to four small changes: a byte less, another byte, a piece twice, a piece of another text.
static char *mutate(const char *text, uint64_t *seed)
{
    static const char signs[] = "()[]{}|*+?\\^$.,:\"'/<>%#0a9-~&!= \n\xC3";
    struct text_buffer out = {0};
    text_buffer_append_text(&out, text);
    for (uint64_t left = test_random_in(seed, 1, 4); left > 0 && out.length > 1; left--) {
        size_t at = (size_t)test_random_in(seed, 0, out.length - 1);
        size_t n = (size_t)test_random_in(seed, 1, out.length - at > 12 ? 12 : out.length - at);
        char *rest = mem_copy(out.data + at, out.length - at);
        size_t n_rest = out.length - at;
        char sign = signs[test_random_in(seed, 0, sizeof signs - 2)];
        switch (test_random_in(seed, 0, 3)) {
        case 0: // cut
            out.length = at;
            text_buffer_append(&out, rest + n, n_rest - n);
            break;
        case 1: // another byte
            out.data[at] = sign;
            break;
        case 2: // one more byte
            out.length = at;
            text_buffer_append(&out, &sign, 1);
            text_buffer_append(&out, rest, n_rest);
            break;
        default: // twice
            text_buffer_append(&out, rest, n);
            break;
        }
        free(rest);
    }
    return text_buffer_release(&out);
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

#define N_MALFORMED 10000

TEST(ten_thousand_malformed_requests_are_refused_quickly)
{
    struct tokenizer *tokenizer = bytes_tokenizer();
    struct grammar_cache *cache = grammar_cache_create(tokenizer, 1 << 20);
    uint64_t *ns = mem_zeroed(N_MALFORMED, sizeof *ns), seed = 5;
    size_t n = 0, n_good = 0;
    while (n < N_MALFORMED) {
        size_t i = (size_t)test_random_in(&seed, 0, sizeof good / sizeof *good - 1);
        char *text = mutate(good[i].text, &seed);
        const struct grammar_request request = {.kind = good[i].kind,
                                                .text = {text, strlen(text)},
                                                .strict = test_random_in(&seed, 0, 1)};
        struct grammar *grammar = NULL;
        struct error err = {0};
        uint64_t start = clock_now_ns();
        enum status st = grammar_cache_get(cache, &request, &grammar, &err);
        uint64_t took = clock_now_ns() - start;
        if (st == STATUS_OK) {
            n_good++;
        } else {
            ASSERT_EQ(st, STATUS_INVALID_ARGUMENT);
            ASSERT(err.message[0]);
            ns[n++] = took;
        }
        grammar_drop(grammar);
        free(text);
    }
    qsort(ns, n, sizeof *ns, by_time);
    printf("%zu refused, %zu good; us: p50 %" PRIu64 " p99 %" PRIu64 " most %" PRIu64 "\n", n,
           n_good, ns[n / 2] / 1000, ns[n * 99 / 100] / 1000, ns[n - 1] / 1000);
    ASSERT(ns[n * 99 / 100] < 20 * NS_PER_MS);
    free(ns);
    grammar_cache_destroy(cache);
    tokenizer_destroy(tokenizer);
}
