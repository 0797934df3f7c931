/* text/grammar/vocabulary_prefix.c - questions about beginnings of tokens, down the trie. */
#include "text/grammar/vocabulary_tables.h"

const struct tokenizer *vocabulary_tokenizer(const struct vocabulary *vocabulary)
{
    return vocabulary->tokenizer;
}

bool vocabulary_has_longer(const struct vocabulary *vocabulary, const char *bytes, size_t n)
{
    bool is_spaced = n > 0 && bytes[0] == ' ';
    const struct trie *trie = &vocabulary->parts[is_spaced ? PART_SPACED : PART_PLAIN].all;
    uint32_t at = 0, end = trie->n_nodes; // the nodes that are still possible
    for (size_t i = is_spaced; i < n; i++) {
        while (at < end && trie->nodes[at].byte != (uint8_t)bytes[i])
            at = trie->nodes[at].end;
        if (at >= end)
            return false;
        end = trie->nodes[at++].end;
    }
    return at < end;
}
