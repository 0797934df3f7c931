/* text/float_repr.c - tries one digit more until the text reads back. */
#include "text/float_repr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The fewest digits that read back; sets where the decimal point stands: 0.DIGITS * 10^point.
static size_t shortest_digits(double number, char digits[20], int *out_point)
{
    char text[40];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, number);
        if (precision == 16 || strtod(text, NULL) == number)
            break;
    }
    size_t n = 0;
    char *exponent = strchr(text, 'e');
    for (const char *c = text; c < exponent; c++)
        if (*c >= '0' && *c <= '9')
            digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    *out_point = atoi(exponent + 1) + 1;
    return n;
}

size_t float_repr(double number, char out[32])
{
    if (isnan(number))
        return (size_t)snprintf(out, 32, "nan");
    if (isinf(number))
        return (size_t)snprintf(out, 32, "%s", number < 0 ? "-inf" : "inf");
    const char *sign = signbit(number) ? "-" : "";
    char digits[20] = "0";
    int point;
    int n = (int)shortest_digits(fabs(number), digits, &point);
    if (number == 0)
        point = 1;
    if (point > 16 || point < -3) {
        int exponent = point - 1;
        return (size_t)snprintf(out, 32, "%s%c%s%.*se%c%02d", sign, digits[0], n > 1 ? "." : "",
                                n - 1, digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
    }
    static const char zeros[] = "0000000000000000";
    if (point <= 0)
        return (size_t)snprintf(out, 32, "%s0.%.*s%.*s", sign, -point, zeros, n, digits);
    if (n <= point)
        return (size_t)snprintf(out, 32, "%s%.*s%.*s.0", sign, n, digits, point - n, zeros);
    return (size_t)snprintf(out, 32, "%s%.*s.%.*s", sign, point, digits, n - point, digits + point);
}
