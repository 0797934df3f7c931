/* tests/kvcache/test_pool.c - page accounting and the page counts both sides derive. */
#include "tests/test.h"

#include "kvcache/params.h"
#include "kvcache/pool.h"

static struct kv_pool *new_pool(uint32_t n_pages)
{
    struct kv_pool *pool = NULL;
    ASSERT_OK(kv_pool_create(n_pages, &pool, NULL));
    return pool;
}

TEST(a_pool_of_the_padding_page_alone_is_refused)
{
    struct kv_pool *pool = NULL;
    struct error err = {0};
    ASSERT_EQ(kv_pool_create(1, &pool, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "n_pages=1");
    ASSERT(pool == NULL);
}

TEST(each_page_is_lent_once_and_page_0_never)
{
    struct kv_pool *pool = new_pool(9);
    uint32_t pages[8];
    ASSERT_OK(kv_pool_take(pool, 8, pages));
    bool seen[9] = {false};
    for (int i = 0; i < 8; i++) {
        ASSERT(pages[i] > 0 && pages[i] < 9 && !seen[pages[i]]);
        seen[pages[i]] = true;
    }
    ASSERT_EQ(kv_pool_free_pages(pool), 0);
    ASSERT(kv_pool_verify(pool));
    kv_pool_destroy(pool);
}

TEST(pages_are_taken_all_or_none)
{
    struct kv_pool *pool = new_pool(4);
    uint32_t pages[4] = {0};
    ASSERT_EQ(kv_pool_take(pool, 4, pages), STATUS_RESOURCE_EXHAUSTED);
    ASSERT_EQ(pages[0], 0);
    ASSERT_EQ(kv_pool_free_pages(pool), 3);
    ASSERT_OK(kv_pool_take(pool, 0, pages));
    ASSERT_OK(kv_pool_take(pool, 3, pages));
    kv_pool_destroy(pool);
}

TEST(a_shared_page_is_free_only_after_its_last_reference)
{
    struct kv_pool *pool = new_pool(4);
    uint32_t pages[3];
    ASSERT_OK(kv_pool_take(pool, 3, pages));
    kv_pool_ref(pool, pages[0]);
    kv_pool_drop(pool, pages[0]);
    ASSERT_EQ(kv_pool_free_pages(pool), 0);
    kv_pool_drop(pool, pages[0]);
    ASSERT_EQ(kv_pool_free_pages(pool), 1);
    ASSERT(kv_pool_verify(pool));
    kv_pool_destroy(pool);
}

TEST(the_page_dropped_last_is_lent_next)
{
    struct kv_pool *pool = new_pool(6);
    uint32_t pages[5];
    ASSERT_OK(kv_pool_take(pool, 5, pages));
    kv_pool_drop(pool, pages[1]);
    kv_pool_drop(pool, pages[3]);
    uint32_t again;
    ASSERT_OK(kv_pool_take(pool, 1, &again));
    ASSERT_EQ(again, pages[3]);
    kv_pool_destroy(pool);
}

TEST(a_pool_stays_whole_under_random_use)
{
    uint64_t random = 7;
    struct kv_pool *pool = new_pool(40);
    uint32_t held[200];
    uint32_t n_held = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t what = test_random_in(&random, 0, 2);
        if (what == 0 && n_held < 150) {
            uint32_t n = (uint32_t)test_random_in(&random, 0, 8);
            if (kv_pool_take(pool, n, held + n_held) == STATUS_OK)
                n_held += n;
        } else if (what == 1 && n_held > 0 && n_held < 200) {
            uint32_t page = held[test_random_in(&random, 0, n_held - 1)];
            kv_pool_ref(pool, page);
            held[n_held++] = page;
        } else if (n_held > 0) {
            uint64_t at = test_random_in(&random, 0, n_held - 1);
            kv_pool_drop(pool, held[at]);
            held[at] = held[--n_held];
        }
        if (i % 100 == 0)
            ASSERT(kv_pool_verify(pool));
    }
    while (n_held > 0)
        kv_pool_drop(pool, held[--n_held]);
    ASSERT(kv_pool_verify(pool));
    ASSERT_EQ(kv_pool_free_pages(pool), kv_pool_lendable_pages(pool));
    kv_pool_destroy(pool);
}

static const struct kv_params params = {
    .page_tokens = 16,
    .element_bytes = 2,
    .n_groups = 2,
    .groups = {{.n_layers = 5, .n_kv_heads = 4, .head_dim = 256, .k_dim = 256, .window = 100},
               {.n_layers = 1, .n_kv_heads = 2, .head_dim = 512, .k_dim = 128, .k_from_v = true}},
};

TEST(page_bytes_count_the_stored_part_of_k_and_all_of_v)
{
    ASSERT_EQ(kv_layer_page_bytes(&params, 0, 2), 2 * 16 * (256 + 256) * 2);
    ASSERT_EQ(kv_page_bytes(&params, 0, 2), 5 * 2 * 16 * (256 + 256) * 2);
    ASSERT_EQ(kv_page_bytes(&params, 1, 2), 2 * 16 * (128 + 512) * 2);
}

// The most pages that positions [first - (window - 1), first + step) touch, over all alignments.
static uint32_t counted_pages(uint32_t window, uint32_t n_tokens, uint32_t step)
{
    uint32_t most = 0;
    for (uint32_t first = 0; first < n_tokens; first++) {
        uint32_t low = window == 0 || first < window - 1 ? 0 : first - (window - 1);
        uint32_t high = first + step < n_tokens ? first + step - 1 : n_tokens - 1;
        uint32_t n = high / 16 - low / 16 + 1;
        most = n > most ? n : most;
    }
    return most;
}

TEST(the_pages_of_a_sequence_are_what_its_rows_can_see)
{
    struct kv_params p = params;
    uint32_t windows[] = {1, 2, 15, 16, 17, 32, 100};
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
        p.groups[0].window = windows[w];
        for (uint32_t step = 1; step < 40; step++) {
            ASSERT_EQ(kv_sequence_pages(&p, 0, 600, step), counted_pages(windows[w], 600, step));
            ASSERT_EQ(kv_sequence_pages(&p, 0, 5, step), 1);
        }
    }
    ASSERT_EQ(kv_sequence_pages(&p, 1, 600, 1), 38);
    ASSERT_EQ(kv_sequence_pages(&p, 1, UINT32_MAX, 1), UINT32_C(1) << 28);
}
