/* tests/text/grammar/test_matcher.c - masks against trying every token, over small grammars whose
 * texts are listed by other means, and over the real vocabulary. */
#include "tests/test.h"
#include "tests/text/tokenizers.h"
#include "text/grammar/matcher.h"

static const char *const entries[] = {"ab", "aab", "ba", "bb", "aaaa", "xy", "\"a", "abab"};
#define N_ENTRIES (sizeof entries / sizeof *entries)
// The ids of the small vocabulary; the last two are specials.
#define N_SMALL (256 + N_ENTRIES + 2)
#define SPECIAL_ONE (256 + N_ENTRIES)
#define SPECIAL_TWO (256 + N_ENTRIES + 1)

static struct tokenizer *small_tokenizer(void)
{
    char added[256];
    snprintf(added, sizeof added,
             "{\"id\":%zu,\"content\":\"<one>\",\"special\":true},"
             "{\"id\":%zu,\"content\":\"<two>\",\"special\":true}",
             (size_t)SPECIAL_ONE, (size_t)SPECIAL_TWO);
    char *json = write_tokenizer(entries, N_ENTRIES, "", added);
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "small", &tokenizer, &err), err);
    free(json);
    return tokenizer;
}

static bool has_bit(const uint32_t *bits, uint32_t id)
{
    return bits[id >> 5] >> (id & 31) & 1;
}

// The mask is what accept says, and matcher_allows too; nothing is a dead end.
static void check_mask(struct matcher *matcher, uint32_t n_ids)
{
    uint32_t *bits = calloc((n_ids + 31) / 32, sizeof *bits);
    ASSERT(bits != NULL);
    uint32_t n = matcher_mask(matcher, bits), n_accepted = 0;
    for (uint32_t id = 0; id < n_ids; id++) {
        bool allowed = matcher_allows(matcher, id);
        if (allowed != has_bit(bits, id))
            test_fail(__FILE__, __LINE__, "token %u is %s but the mask says otherwise", id,
                      allowed ? "allowed" : "not allowed");
        n_accepted += allowed;
    }
    ASSERT_EQ(n, n_accepted);
    ASSERT(n > 0 || matcher_is_complete(matcher));
    ASSERT_EQ(matcher_is_over(matcher), n == 0);
    free(bits);
}

#define MAX_BYTES 5
#define N_TEXTS 63 // texts of at most MAX_BYTES over {a, b}, by length, then value

static size_t number_of(const char *bytes, size_t n)
{
    size_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value * 2 + (bytes[i] == 'b');
    return ((size_t)1 << n) - 1 + value;
}

static uint64_t concat_texts(uint64_t x, uint64_t y)
{
    uint64_t result = 0;
    for (size_t a = 0; a <= MAX_BYTES; a++)
        for (size_t b = 0; a + b <= MAX_BYTES; b++)
            for (size_t i = 0; i < (size_t)1 << a; i++)
                for (size_t k = 0; k < (size_t)1 << b; k++)
                    if (x >> (((size_t)1 << a) - 1 + i) & 1 && y >> (((size_t)1 << b) - 1 + k) & 1)
                        result |= UINT64_C(1) << (((size_t)1 << (a + b)) - 1 + (i << b | k));
    return result;
}

#define N_RULES 4
#define N_CHOICES 3
#define N_PARTS 3

struct random_part {
    int rule; // or -1: the text
    const char *text;
    bool is_repeated;
};

struct random_grammar {
    struct random_part parts[N_RULES][N_CHOICES][N_PARTS];
    int n_choices[N_RULES], n_parts[N_RULES][N_CHOICES];
};

static struct random_grammar random_rules(uint64_t *seed)
{
    static const char *const texts[] = {"a", "b", "ab", "", "bb"};
    struct random_grammar g = {0};
    for (int r = 0; r < N_RULES; r++) {
        g.n_choices[r] = (int)test_random_in(seed, 1, N_CHOICES);
        for (int c = 0; c < g.n_choices[r]; c++) {
            g.n_parts[r][c] = (int)test_random_in(seed, 0, N_PARTS);
            for (int p = 0; p < g.n_parts[r][c]; p++) {
                struct random_part *part = &g.parts[r][c][p];
                part->rule = (int)test_random_in(seed, 0, 2 * N_RULES) - N_RULES - 1;
                part->rule = part->rule < 0 ? -1 : part->rule;
                part->text = texts[test_random_in(seed, 0, 4)];
                part->is_repeated = test_random_in(seed, 0, 5) == 0;
            }
        }
    }
    return g;
}

// The texts of rule 0, by adding what follows from what is known until nothing new does.
static uint64_t list_texts(const struct random_grammar *g)
{
    uint64_t texts[N_RULES] = {0};
    for (bool changed = true; changed;) {
        changed = false;
        for (int r = 0; r < N_RULES; r++)
            for (int c = 0; c < g->n_choices[r]; c++) {
                uint64_t all = 1;
                for (int p = 0; p < g->n_parts[r][c]; p++) {
                    const struct random_part *part = &g->parts[r][c][p];
                    uint64_t one = part->rule >= 0
                                       ? texts[part->rule]
                                       : UINT64_C(1) << number_of(part->text, strlen(part->text));
                    uint64_t many = 1;
                    for (int i = 0; i < MAX_BYTES; i++)
                        many = 1 | concat_texts(many, one);
                    all = concat_texts(all, part->is_repeated ? many : one);
                }
                changed |= (all & ~texts[r]) != 0;
                texts[r] |= all;
            }
    }
    return texts[0];
}

static enum status build_rules(const struct random_grammar *g, struct grammar **out,
                               struct error *err)
{
    struct grammar_builder *b = grammar_builder_create(NULL);
    grammar_symbol rules[N_RULES];
    for (int r = 0; r < N_RULES; r++)
        rules[r] = grammar_rule(b, "rule");
    for (int r = 0; r < N_RULES; r++) {
        grammar_symbol choices[N_CHOICES];
        for (int c = 0; c < g->n_choices[r]; c++) {
            grammar_symbol parts[N_PARTS];
            for (int p = 0; p < g->n_parts[r][c]; p++) {
                const struct random_part *part = &g->parts[r][c][p];
                parts[p] = part->rule >= 0 ? rules[part->rule]
                                           : grammar_text(b, part->text, strlen(part->text));
                if (part->is_repeated)
                    parts[p] = grammar_repeat(b, parts[p], 0, EXPRESSION_UNLIMITED);
            }
            choices[c] = grammar_sequence(b, parts, (size_t)g->n_parts[r][c]);
        }
        grammar_define(b, rules[r], grammar_choice(b, choices, (size_t)g->n_choices[r]));
    }
    return grammar_build(b, rules[0], out, err);
}

static void check_texts(struct matcher *matcher, uint64_t texts, char *bytes, size_t n)
{
    bool want = texts >> number_of(bytes, n) & 1;
    if (matcher_is_complete(matcher) != want)
        test_fail(__FILE__, __LINE__, "text '%.*s' is %s", (int)n, bytes,
                  want ? "not complete" : "complete");
    for (char byte = 'a'; n < MAX_BYTES && byte <= 'b'; byte++) {
        bytes[n] = byte;
        if (matcher_accept(matcher, (uint32_t)byte)) {
            check_texts(matcher, texts, bytes, n + 1);
            matcher_rollback(matcher, 1);
            continue;
        }
        for (size_t i = 0; i < N_TEXTS; i++) { // no text may begin so
            size_t length = 0;
            while (i >= ((size_t)1 << (length + 1)) - 1)
                length++;
            size_t value = i - (((size_t)1 << length) - 1);
            if (length > n &&
                value >> (length - n - 1) == number_of(bytes, n + 1) - (((size_t)1 << (n + 1)) - 1))
                ASSERT(!(texts >> i & 1));
        }
    }
}

TEST(random_grammars_match_the_texts_that_follow_from_their_rules)
{
    struct tokenizer *tokenizer = small_tokenizer();
    struct vocabulary *vocabulary = vocabulary_create(tokenizer, N_SMALL);
    uint64_t seed = 11;
    int n_built = 0;
    for (int round = 0; round < 2000; round++) {
        struct random_grammar rules = random_rules(&seed);
        uint64_t texts = list_texts(&rules);
        struct grammar *grammar = NULL;
        struct error err = {0};
        enum status st = build_rules(&rules, &grammar, &err);
        if (texts)
            ASSERT_OK_ERR(st, err);
        if (st != STATUS_OK)
            continue;
        n_built++;
        struct matcher *matcher = matcher_create(grammar, vocabulary);
        char bytes[MAX_BYTES];
        check_texts(matcher, texts, bytes, 0);
        for (int i = 0; i < 12 && !matcher_is_over(matcher); i++) { // a walk with ways back
            check_mask(matcher, N_SMALL);
            uint32_t token;
            do
                token = (uint32_t)test_random_in(&seed, 0, N_SMALL - 1);
            while (!matcher_accept(matcher, token));
            if (test_random_in(&seed, 0, 3) == 0)
                matcher_rollback(matcher, 1);
        }
        ASSERT(!matcher_failed(matcher));
        matcher_destroy(matcher);
        grammar_drop(grammar);
    }
    ASSERT(n_built > 1000);
    vocabulary_destroy(vocabulary);
    tokenizer_destroy(tokenizer);
}

static struct grammar *build(struct grammar_builder *b, grammar_symbol root)
{
    struct grammar *grammar = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(grammar_build(b, root, &grammar, &err), err);
    return grammar;
}

static grammar_symbol text(struct grammar_builder *b, const char *bytes)
{
    return grammar_text(b, bytes, strlen(bytes));
}

TEST(special_tokens_are_allowed_where_the_grammar_names_them_alone)
{
    struct tokenizer *tokenizer = small_tokenizer();
    struct vocabulary *vocabulary = vocabulary_create(tokenizer, N_SMALL + 64);
    struct grammar_builder *b = grammar_builder_create(NULL);
    uint32_t one = SPECIAL_ONE, both[] = {SPECIAL_TWO, SPECIAL_ONE};
    grammar_symbol inner[] = {grammar_tokens(b, &one, 1), text(b, "ab"),
                              grammar_tokens(b, both, 2)};
    struct grammar *grammar =
        build(b, grammar_repeat(b, grammar_sequence(b, inner, 3), 1, EXPRESSION_UNLIMITED));
    struct matcher *matcher = matcher_create(grammar, vocabulary);
    check_mask(matcher, N_SMALL + 64);
    ASSERT(!matcher_accept(matcher, 'a'));
    ASSERT(!matcher_accept(matcher, SPECIAL_TWO));
    char forced[8];
    ASSERT_EQ(matcher_forced_bytes(matcher, forced, sizeof forced), 0);
    ASSERT(matcher_accept(matcher, SPECIAL_ONE));
    ASSERT_EQ(matcher_forced_bytes(matcher, forced, sizeof forced), 2);
    ASSERT(memcmp(forced, "ab", 2) == 0);
    ASSERT_EQ(matcher_forced_bytes(matcher, forced, 1), 1);
    check_mask(matcher, N_SMALL + 64);
    ASSERT(!matcher_accept(matcher, 257)); // "aab"
    ASSERT(matcher_accept(matcher, 256));  // "ab"
    ASSERT(!matcher_is_complete(matcher));
    check_mask(matcher, N_SMALL + 64);
    ASSERT(matcher_accept(matcher, SPECIAL_TWO));
    ASSERT(matcher_is_complete(matcher) && !matcher_is_over(matcher));
    matcher_rollback(matcher, 3);
    ASSERT(matcher_accept(matcher, SPECIAL_ONE));
    matcher_destroy(matcher);
    grammar_drop(grammar);
    vocabulary_destroy(vocabulary);
    tokenizer_destroy(tokenizer);
}

TEST(a_match_that_is_over_allows_nothing)
{
    struct tokenizer *tokenizer = small_tokenizer();
    struct vocabulary *vocabulary = vocabulary_create(tokenizer, N_SMALL);
    struct grammar_builder *b = grammar_builder_create(NULL);
    struct grammar *grammar = build(b, text(b, "aab"));
    struct matcher *matcher = matcher_create(grammar, vocabulary);
    ASSERT(matcher_accept(matcher, 257));
    ASSERT(matcher_is_complete(matcher) && matcher_is_over(matcher));
    uint32_t bits[(N_SMALL + 31) / 32];
    ASSERT_EQ(matcher_mask(matcher, bits), 0);
    ASSERT(!matcher_failed(matcher));
    matcher_destroy(matcher);
    grammar_drop(grammar);
    vocabulary_destroy(vocabulary);
    tokenizer_destroy(tokenizer);
}

// S: S S | "a" | "b": every way of cutting the text is one.
TEST(an_ambiguous_match_ends_as_failed_and_not_in_a_long_wait)
{
    struct tokenizer *tokenizer = small_tokenizer();
    struct vocabulary *vocabulary = vocabulary_create(tokenizer, N_SMALL);
    struct grammar_builder *b = grammar_builder_create(NULL);
    grammar_symbol s = grammar_rule(b, "s");
    grammar_symbol pair[] = {s, text(b, "("), s, text(b, ")"), s};
    grammar_symbol choices[] = {grammar_sequence(b, pair, 5), grammar_sequence(b, pair, 1),
                                grammar_sequence(b, (grammar_symbol[]){s, s}, 2), text(b, "a")};
    grammar_define(b, s, grammar_choice(b, choices, 4));
    struct grammar *grammar = build(b, s);
    struct matcher *matcher = matcher_create(grammar, vocabulary);
    for (int i = 0; i < 3000; i++)
        if (!matcher_accept(matcher, 'a'))
            break;
    ASSERT(matcher_failed(matcher) || matcher_is_complete(matcher));
    matcher_destroy(matcher);
    grammar_drop(grammar);
    vocabulary_destroy(vocabulary);
    tokenizer_destroy(tokenizer);
}

// A JSON value, with objects of any keys: nested without limit.
static grammar_symbol json_value(struct grammar_builder *b)
{
    struct expression_pool *pool = grammar_builder_pool(b);
    static const struct code_point_range safe[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}};
    uint32_t escapes[9];
    for (size_t i = 0; i < 8; i++)
        escapes[i] = expression_text(pool, &"\"\\/bfnrt"[i], 1);
    static const struct code_point_range hex[] = {{'0', '9'}, {'a', 'f'}, {'A', 'F'}};
    escapes[8] =
        expression_concat(pool, expression_text(pool, "u", 1),
                          expression_repeat(pool, expression_code_points(pool, hex, 3), 4, 4));
    uint32_t chars[] = {expression_code_points(pool, safe, 3),
                        expression_concat(pool, expression_text(pool, "\\", 1),
                                          expression_any_of(pool, escapes, 9))};
    uint32_t quote = expression_text(pool, "\"", 1);
    uint32_t string = expression_concat(
        pool, quote,
        expression_concat(
            pool,
            expression_repeat(pool, expression_any_of(pool, chars, 2), 0, EXPRESSION_UNLIMITED),
            quote));
    static const struct code_point_range digit = {'0', '9'};
    grammar_symbol value = grammar_rule(b, "value"), str = grammar_terminal(b, string);
    grammar_symbol number = grammar_terminal(
        b,
        expression_repeat(pool, expression_code_points(pool, &digit, 1), 1, EXPRESSION_UNLIMITED));
    static const struct code_point_range blank[] = {{' ', ' '}, {'\n', '\n'}, {'\t', '\t'}};
    grammar_symbol space =
        grammar_terminal(b, expression_repeat(pool, expression_code_points(pool, blank, 3), 0, 20));
    grammar_symbol comma = grammar_sequence(b, (grammar_symbol[]){space, text(b, ","), space}, 3);
    grammar_symbol member =
        grammar_sequence(b, (grammar_symbol[]){str, space, text(b, ":"), space, value}, 5);
    grammar_symbol members = grammar_sequence(
        b,
        (grammar_symbol[]){
            member, grammar_repeat(b, grammar_sequence(b, (grammar_symbol[]){comma, member}, 2), 0,
                                   EXPRESSION_UNLIMITED)},
        2);
    grammar_symbol items = grammar_sequence(
        b,
        (grammar_symbol[]){
            value, grammar_repeat(b, grammar_sequence(b, (grammar_symbol[]){comma, value}, 2), 0,
                                  EXPRESSION_UNLIMITED)},
        2);
    grammar_symbol object[] = {text(b, "{"), space, grammar_repeat(b, members, 0, 1), space,
                               text(b, "}")};
    grammar_symbol array[] = {text(b, "["), space, grammar_repeat(b, items, 0, 1), space,
                              text(b, "]")};
    grammar_symbol choices[] = {str,
                                number,
                                text(b, "true"),
                                text(b, "null"),
                                grammar_sequence(b, object, 5),
                                grammar_sequence(b, array, 5)};
    grammar_define(b, value, grammar_choice(b, choices, 6));
    return value;
}

static void check_real(const struct vocabulary *vocabulary, const struct tokenizer *tokenizer,
                       struct grammar *grammar, const char *sample)
{
    struct matcher *matcher = matcher_create(grammar, vocabulary);
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    struct id_list ids = {0};
    encode_with(encoder, sample, strlen(sample), false, &ids);
    for (size_t i = 0; i < ids.n; i++) {
        check_mask(matcher, vocabulary_n_ids(vocabulary));
        if (!matcher_accept(matcher, ids.ids[i]))
            test_fail(__FILE__, __LINE__, "token %zu of %s is refused", i, sample);
    }
    check_mask(matcher, vocabulary_n_ids(vocabulary));
    ASSERT(matcher_is_complete(matcher));
    matcher_rollback(matcher, (uint32_t)ids.n);
    check_mask(matcher, vocabulary_n_ids(vocabulary));
    free(ids.ids);
    tokenizer_encoder_destroy(encoder);
    matcher_destroy(matcher);
    grammar_drop(grammar);
}

static struct grammar *repeat_of(const struct code_point_range *ranges, size_t n, uint32_t min,
                                 uint32_t max, const char *end)
{
    struct grammar_builder *b = grammar_builder_create(NULL);
    struct expression_pool *pool = grammar_builder_pool(b);
    uint32_t body = expression_repeat(pool, expression_code_points(pool, ranges, n), min, max);
    return build(b, grammar_terminal(
                        b, expression_concat(pool, body, expression_text(pool, end, strlen(end)))));
}

TEST(masks_over_the_real_vocabulary_are_what_accept_says)
{
    struct tokenizer *tokenizer = load_built_tokenizer("gemma4-tokenizer.json");
    struct vocabulary *vocabulary = vocabulary_create(tokenizer, 262144 + 64);
    struct grammar_builder *b = grammar_builder_create(NULL);
    check_real(
        vocabulary, tokenizer, build(b, json_value(b)),
        "{\"name\": \"J\xC3\xBCrgen \\\"x\\\" \\u00e4\",\n  \"list\":[1,22,[true,null,{}]]}");
    static const struct code_point_range safe[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}};
    check_real(vocabulary, tokenizer, repeat_of(safe, 3, 0, 20, "\""), "some text, 20 at m\"");
    check_real(vocabulary, tokenizer, repeat_of(safe, 3, 5, EXPRESSION_UNLIMITED, "\""), "hello\"");
    static const struct code_point_range lower = {'a', 'z'};
    check_real(vocabulary, tokenizer, repeat_of(&lower, 1, 3, 10, "!"), "lowercase!");
    static const struct code_point_range all = {0, 0x10FFFF};
    check_real(vocabulary, tokenizer, repeat_of(&all, 1, 0, EXPRESSION_UNLIMITED, ""),
               "any text\n\xE4\xBD\xA0\xE5\xA5\xBD\n");
    static const struct code_point_range no_digit[] = {{0, '/'}, {':', 0x10FFFF}};
    check_real(vocabulary, tokenizer, repeat_of(no_digit, 2, 1, 5, ""), " b\xC3\xA9 c");
    b = grammar_builder_create(NULL); // any text in which no digit stands behind another
    struct expression_pool *pool = grammar_builder_pool(b);
    static const struct code_point_range digit = {'0', '9'};
    uint32_t any = expression_repeat(pool, expression_code_points(pool, &all, 1), 0,
                                     EXPRESSION_UNLIMITED);
    uint32_t pair = expression_repeat(pool, expression_code_points(pool, &digit, 1), 2, 2);
    uint32_t with_pair = expression_concat(pool, any, expression_concat(pool, pair, any));
    check_real(vocabulary, tokenizer,
               build(b, grammar_terminal(b, expression_not(pool, with_pair))), "a1 b2 c");
    static const struct code_point_range no_at[] = {{0, '?'}, {'A', 0x10FFFF}};
    check_real(vocabulary, tokenizer, repeat_of(no_at, 2, 1, 12, "@x"), "someone@x");
    vocabulary_destroy(vocabulary);
    tokenizer_destroy(tokenizer);
}

// Nesting has a new state for each depth; the tables are cut down while matchers are at work.
TEST(a_grammar_forgets_states_but_no_matcher_loses_its_place)
{
    struct tokenizer *tokenizer = small_tokenizer();
    struct vocabulary *vocabulary = vocabulary_create(tokenizer, N_SMALL);
    struct grammar_builder *b = grammar_builder_create(NULL);
    struct grammar *grammar = build(b, json_value(b));
    struct matcher *other = matcher_create(grammar, vocabulary);
    for (const char *at = "[[{\"ab\":[1,"; *at; at++)
        ASSERT(matcher_accept(other, (uint32_t)(unsigned char)*at));
    size_t before = 0;
    bool is_cut = false;
    for (uint64_t seed = 1; seed < 60 && !is_cut; seed++) {
        struct matcher *matcher = matcher_create(grammar, vocabulary);
        uint64_t random = seed;
        for (int depth = 0; depth < 1500; depth++) { // arrays and objects in an order of its own
            const char *text = test_random_in(&random, 0, 1) ? "[" : "{\"a\":";
            for (; *text; text++)
                ASSERT(matcher_accept(matcher, (uint32_t)(unsigned char)*text));
            if (depth % 100 == 0)
                check_mask(matcher, N_SMALL);
        }
        is_cut = grammar_n_bytes(grammar) < before;
        before = grammar_n_bytes(grammar);
        check_mask(other, N_SMALL);
        matcher_destroy(matcher);
    }
    ASSERT(is_cut);
    for (const char *at = "2]}]]"; *at; at++)
        ASSERT(matcher_accept(other, (uint32_t)(unsigned char)*at));
    ASSERT(matcher_is_complete(other));
    matcher_rollback(other, 6);
    ASSERT(matcher_accept(other, '5'));
    matcher_destroy(other);
    grammar_drop(grammar);
    vocabulary_destroy(vocabulary);
    tokenizer_destroy(tokenizer);
}
