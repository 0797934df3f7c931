/* text/grammar/vocabulary_prefix.c - questions about beginnings of tokens, down the trie. */
#include "text/grammar/vocabulary_tables.h"

const struct tokenizer *vocabulary_tokenizer(const struct vocabulary *vocabulary)
{
    return vocabulary->tokenizer;
}

bool vocabulary_has_longer(const struct vocabulary *vocabulary, const char *bytes, size_t n)
{
    const struct trie *trie = &vocabulary->all;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t child = trie->first_child[node], end = trie->first_child[node + 1];
        while (child < end && trie->bytes[child] != (uint8_t)bytes[i])
            child++;
        if (child == end)
            return false;
        node = child;
    }
    return trie->first_child[node] < trie->first_child[node + 1];
}
