/* text/grammar/json_format.c - formats of strings as regular expressions: RFC 3339 for dates (with
 * the days that a month has, and leap years; no leap seconds), RFC 5321 for addresses (no quoted
 * local part), RFC 1123 for host names, RFC 3986 for URIs, RFC 4291 for IPv6 (no zone). They are
 * ASCII and written without escapes, so they are the same inside JSON and outside. */
#include <string.h>

#include "text/grammar/json_compiler.h"

#define YEAR "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
#define BY_FOUR "(?:0[48]|[2468][048]|[13579][26])" /* but 00 */
#define LEAP_YEAR "(?:[0-9]{2}" BY_FOUR "|" BY_FOUR "00)"
#define MONTH_DAY                                      \
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])" \
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"           \
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
#define DATE "(?:" YEAR "-" MONTH_DAY "|" LEAP_YEAR "-02-29)"
#define HOUR_MINUTE "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
#define TIME HOUR_MINUTE ":[0-5][0-9](?:\\.[0-9]+)?(?:[Zz]|[+-]" HOUR_MINUTE ")"

#define HEX "[0-9A-Fa-f]"
#define UUID HEX "{8}-" HEX "{4}-" HEX "{4}-" HEX "{4}-" HEX "{12}"

#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 "(?:" OCTET "\\.){3}" OCTET
#define PIECE HEX "{1,4}"
#define LAST_32_BITS "(?:" PIECE ":" PIECE "|" IPV4 ")"
#define UP_TO(n) "(?:(?:" PIECE ":){0," n "}" PIECE ")?::"
#define IPV6                                                                             \
    "(?:(?:" PIECE ":){6}" LAST_32_BITS "|::(?:" PIECE ":){5}" LAST_32_BITS "|(?:" PIECE \
    ")?::(?:" PIECE ":){4}" LAST_32_BITS                                                 \
    "|" UP_TO("1") "(?:" PIECE ":){3}" LAST_32_BITS                                      \
                   "|" UP_TO("2") "(?:" PIECE ":){2}" LAST_32_BITS "|" UP_TO("3") PIECE  \
        ":" LAST_32_BITS "|" UP_TO("4") LAST_32_BITS "|" UP_TO("5") PIECE "|" UP_TO("6") ")"

#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOSTNAME LABEL "(?:\\." LABEL ")*"
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
#define EMAIL ATOM "(?:\\." ATOM ")*@" HOSTNAME

#define ESCAPED "%" HEX HEX
#define NAME_CHARACTER "(?:[A-Za-z0-9._~!$&'()*+,;=-]|" ESCAPED ")"
#define PATH_CHARACTER "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|" ESCAPED ")"
#define AUTHORITY                                                                         \
    "(?:(?:" NAME_CHARACTER "|:)*@)?"                                                     \
    "(?:" NAME_CHARACTER "*|\\[(?:" IPV6 "|v" HEX "+\\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\\])" \
    "(?::[0-9]*)?"
#define SEGMENTS "(?:/" PATH_CHARACTER "*)*"
#define URI                                                                              \
    "[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY SEGMENTS "|/?" PATH_CHARACTER "+" SEGMENTS \
    "|/?)(?:\\?(?:" PATH_CHARACTER "|[/?])*)?(?:#(?:" PATH_CHARACTER "|[/?])*)?"

bool json_format(struct json_compiler *compiler, const struct json_value *name, uint32_t *out)
{
    static const struct {
        const char *name, *pattern;
        uint32_t max_bytes;
    } formats[] = {
        {"date", DATE, 0},
        {"time", TIME, 0},
        {"uuid", UUID, 0},
        {"date-time", DATE "[Tt]" TIME, 0},
        {"ipv4", IPV4, 0},
        {"ipv6", IPV6, 0},
        {"uri", URI, 0},
        {"email", EMAIL, 0},
        {"hostname", HOSTNAME, 253},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (!json_string_is(name, formats[i].name))
            continue;
        *out = json_regex(compiler, formats[i].pattern);
        if (formats[i].max_bytes) {
            uint32_t length = expression_repeat(compiler->pool, json_regex(compiler, "[ -~]"), 1,
                                                formats[i].max_bytes);
            *out = expression_both(compiler->pool, *out, length);
        }
        return true;
    }
    return false;
}
