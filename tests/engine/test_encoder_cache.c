/* tests/engine/test_encoder_cache.c - which soft tokens stay, and which go. */
#include "tests/test.h"

#include "engine/encoder_cache.h"
#include "engine/step.h"

static struct media_part part_of(uint64_t key, uint32_t n_tokens)
{
    return (struct media_part){.key = {key, key * 31}, .n_tokens = n_tokens};
}

static struct encoder_entry *take(struct encoder_cache *cache, uint64_t key, uint32_t n_tokens)
{
    struct media_part part = part_of(key, n_tokens);
    return encoder_cache_take(cache, &part);
}

static void encode(struct encoder_cache *cache, struct encoder_entry *entry)
{
    encoder_cache_begin(entry);
    encoder_cache_complete(cache, entry);
}

static void take_and_encode(struct encoder_cache *cache, uint64_t key, uint32_t n_tokens)
{
    struct encoder_entry *entry = take(cache, key, n_tokens);
    ASSERT(entry && entry->state == ENCODER_ENTRY_WANTED);
    encode(cache, entry);
    encoder_cache_drop(cache, entry);
}

TEST(a_part_is_encoded_once_for_all_who_want_it)
{
    struct encoder_cache *cache = encoder_cache_create(64);
    struct encoder_entry *a = take(cache, 1, 20);
    ASSERT(take(cache, 1, 20) == a); // before it is encoded
    ASSERT_EQ(a->state, ENCODER_ENTRY_WANTED);
    encoder_cache_begin(a);
    ASSERT(take(cache, 1, 20) == a); // while it is
    encoder_cache_complete(cache, a);
    for (int i = 0; i < 3; i++)
        encoder_cache_drop(cache, a);
    ASSERT(take(cache, 1, 20) == a); // and after
    ASSERT_EQ(a->state, ENCODER_ENTRY_READY);
    struct encoder_cache_counts counts;
    encoder_cache_get_counts(cache, &counts);
    ASSERT_EQ(counts.n_hits, 3);
    ASSERT_EQ(counts.n_misses, 1);
    ASSERT_EQ(counts.n_used_rows, 32);
    ASSERT_EQ(counts.n_held_rows, 32);
    ASSERT(encoder_cache_verify(cache, 1));
    encoder_cache_destroy(cache);
}

TEST(the_same_key_with_another_length_is_another_part)
{
    struct encoder_cache *cache = encoder_cache_create(64);
    ASSERT(take(cache, 1, 20) != take(cache, 1, 21));
    ASSERT(encoder_cache_verify(cache, 2));
    encoder_cache_destroy(cache);
}

TEST(the_longest_unused_part_goes_first_and_a_held_one_never)
{
    struct encoder_cache *cache = encoder_cache_create(64);
    take_and_encode(cache, 1, 16);
    take_and_encode(cache, 2, 16);
    take_and_encode(cache, 3, 16);
    struct encoder_entry *first = take(cache, 1, 16); // used again
    encoder_cache_drop(cache, first);
    struct encoder_entry *held = take(cache, 3, 16);
    struct encoder_entry *large = take(cache, 4, 32); // a free page, and that of 2
    ASSERT(large != NULL);
    ASSERT_EQ(take(cache, 1, 16)->state, ENCODER_ENTRY_READY);
    ASSERT_EQ(held->state, ENCODER_ENTRY_READY);
    ASSERT(take(cache, 2, 16) == NULL); // all is held
    ASSERT(encoder_cache_verify(cache, 3));
    encoder_cache_destroy(cache);
}

TEST(nothing_goes_for_a_part_that_does_not_fit_anyway)
{
    struct encoder_cache *cache = encoder_cache_create(48);
    take_and_encode(cache, 1, 16);
    ASSERT(take(cache, 2, 16) != NULL);
    ASSERT(take(cache, 3, 48) == NULL);
    ASSERT_EQ(take(cache, 1, 16)->state, ENCODER_ENTRY_READY);
    encoder_cache_destroy(cache);
}

TEST(what_nobody_wants_any_more_goes_at_once_unless_it_is_being_encoded)
{
    struct encoder_cache *cache = encoder_cache_create(32);
    encoder_cache_drop(cache, take(cache, 1, 32));
    struct encoder_cache_counts counts;
    encoder_cache_get_counts(cache, &counts);
    ASSERT_EQ(counts.n_used_rows, 0);
    struct encoder_entry *entry = take(cache, 1, 32);
    encoder_cache_begin(entry);
    encoder_cache_drop(cache, entry);
    ASSERT(take(cache, 2, 1) == NULL);
    ASSERT(encoder_cache_verify(cache, 0));
    encoder_cache_complete(cache, entry);
    ASSERT(encoder_cache_verify(cache, 0));
    ASSERT(take(cache, 1, 32) == entry);
    encoder_cache_destroy(cache);
}

TEST(pages_need_not_be_neighbours_and_runs_of_them_are_told_together)
{
    struct encoder_cache *cache = encoder_cache_create(80);
    uint32_t n;
    struct encoder_entry *whole = take(cache, 1, 75);
    ASSERT_EQ(encoder_cache_row(cache, whole, 3, 72, &n), 3);
    ASSERT_EQ(n, 72);
    ASSERT_EQ(encoder_cache_row(cache, whole, 20, 5, &n), 20);
    ASSERT_EQ(n, 5);
    encoder_cache_drop(cache, whole);
    struct encoder_entry *ones[5];
    for (uint64_t i = 0; i < 5; i++)
        ones[i] = take(cache, 10 + i, 16);
    encoder_cache_drop(cache, ones[1]);
    encoder_cache_drop(cache, ones[3]);
    struct encoder_entry *split = take(cache, 2, 20);
    ASSERT(split != NULL);
    bool seen[80] = {false};
    uint32_t n_runs = 0;
    for (uint32_t token = 0; token < 20; token += n, n_runs++) {
        uint32_t row = encoder_cache_row(cache, split, token, 20 - token, &n);
        for (uint32_t i = row; i < row + n; i++) {
            ASSERT((i >= 16 && i < 32) || (i >= 48 && i < 64));
            ASSERT(!seen[i]);
            seen[i] = true;
        }
    }
    ASSERT_EQ(n_runs, 2);
    ASSERT(encoder_cache_verify(cache, 4));
    encoder_cache_destroy(cache);
}

TEST(after_a_reset_nothing_is_there)
{
    struct encoder_cache *cache = encoder_cache_create(32);
    take_and_encode(cache, 1, 16);
    encoder_cache_begin(take(cache, 2, 16));
    encoder_cache_reset(cache);
    ASSERT(encoder_cache_verify(cache, 0));
    ASSERT_EQ(take(cache, 1, 32)->state, ENCODER_ENTRY_WANTED);
    encoder_cache_destroy(cache);
}

TEST(a_cache_without_rows_takes_nothing)
{
    struct encoder_cache *cache = encoder_cache_create(0);
    ASSERT(take(cache, 1, 1) == NULL);
    ASSERT(encoder_cache_verify(cache, 0));
    encoder_cache_destroy(cache);
}
