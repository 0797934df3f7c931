/* base/utf8.c - by the table of well-formed byte sequences (Unicode, table 3-7): the first byte
 * fixes the length and the range of the second, all further bytes are 80..BF. */
#include "base/utf8.h"

size_t utf8_decode(const char *bytes, size_t n, uint32_t *out_code_point)
{
    const unsigned char *b = (const unsigned char *)bytes;
    *out_code_point = UTF8_REPLACEMENT;
    if (b[0] < 0x80) {
        *out_code_point = b[0];
        return 1;
    }
    size_t length;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (b[0] >= 0xC2 && b[0] <= 0xDF) {
        length = 2;
    } else if (b[0] >= 0xE0 && b[0] <= 0xEF) {
        length = 3;
        low = b[0] == 0xE0 ? 0xA0 : 0x80;
        high = b[0] == 0xED ? 0x9F : 0xBF;
    } else if (b[0] >= 0xF0 && b[0] <= 0xF4) {
        length = 4;
        low = b[0] == 0xF0 ? 0x90 : 0x80;
        high = b[0] == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 1;
    }
    uint32_t code_point = b[0] & (0xFFU >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (i >= n || b[i] < low || b[i] > high)
            return i;
        code_point = code_point << 6 | (b[i] & 0x3FU);
        low = 0x80;
        high = 0xBF;
    }
    *out_code_point = code_point;
    return length;
}

size_t utf8_encode(uint32_t c, char out[UTF8_MAX_BYTES])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[length] | c);
    return length;
}

bool utf8_valid(const char *bytes, size_t n, size_t *out_bad_offset)
{
    size_t at = 0;
    while (at < n) {
        uint32_t c;
        size_t length = utf8_decode(bytes + at, n - at, &c);
        if (c == UTF8_REPLACEMENT &&
            !(length == 3 && (unsigned char)bytes[at] == 0xEF &&
              (unsigned char)bytes[at + 1] == 0xBF && (unsigned char)bytes[at + 2] == 0xBD)) {
            if (out_bad_offset)
                *out_bad_offset = at;
            return false;
        }
        at += length;
    }
    return true;
}
