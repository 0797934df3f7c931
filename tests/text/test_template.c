/* tests/text/test_template.c - the template language, feature by feature; expectations are what
 * Jinja2 3.1.6 gives in transformers' environment. */
#include "tests/text/templates.h"

static const char variables[] =
    "{\"s\":\" H\xC3\xA9llo \",\"n\":3,\"f\":2.5,\"whole\":2.0,\"big\":12345678901234567890123,"
    "\"l\":[3,1,2],\"d\":{\"b\":1,\"B2\":[1,null,true],\"_z\":\"q\"},\"z\":null,\"yes\":true,"
    "\"e\":\"\",\"q\":\"it's \\\"q\\\"\\n\","
    "\"ms\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"model\",\"content\":null}]}";

struct template_case {
    const char *source, *want;
};

static void expect(const struct template_case *cases, size_t n)
{
    struct json_document *document = parse_json_text(variables);
    for (size_t i = 0; i < n; i++) {
        struct template *template = compile_text(cases[i].source);
        struct template_output output;
        struct error err = {0};
        if (template_render(template, json_root(document), NULL, NULL, &output, &err) != STATUS_OK)
            test_fail(__FILE__, __LINE__, "%s: %s", cases[i].source, err.message);
        if (strcmp(output.text, cases[i].want) != 0)
            test_fail(__FILE__, __LINE__, "%s\ngives \"%s\"\nwant  \"%s\"", cases[i].source,
                      output.text, cases[i].want);
        template_output_finish(&output);
        template_destroy(template);
    }
    json_document_destroy(document);
}

#define EXPECT(...)                                                 \
    do {                                                            \
        static const struct template_case cases_[] = {__VA_ARGS__}; \
        expect(cases_, sizeof cases_ / sizeof *cases_);             \
    } while (0)

static void expect_errors(const struct template_case *cases, size_t n, bool when_compiling)
{
    struct json_document *document = parse_json_text(variables);
    for (size_t i = 0; i < n; i++) {
        struct template *template = NULL;
        struct error err = {0};
        const char *source = cases[i].source;
        enum status st = template_compile(source, strlen(source), "test.jinja", &template, &err);
        ASSERT_EQ(st == STATUS_OK, !when_compiling);
        if (!when_compiling) {
            struct template_output output;
            st = template_render(template, json_root(document), NULL, NULL, &output, &err);
        }
        ASSERT_EQ(st, STATUS_INVALID_ARGUMENT);
        ASSERT_EQ(err.status, STATUS_INVALID_ARGUMENT);
        ASSERT_STR_EQ(err.message, cases[i].want);
        template_destroy(template);
    }
    json_document_destroy(document);
}

#define EXPECT_ERRORS(when_compiling, ...)                                     \
    do {                                                                       \
        static const struct template_case cases_[] = {__VA_ARGS__};            \
        expect_errors(cases_, sizeof cases_ / sizeof *cases_, when_compiling); \
    } while (0)

TEST(white_space_around_tags_goes_as_in_jinja)
{
    EXPECT({"a\n  {% if true %}\n b\n  {% endif %}\nc\n", "a\n b\nc"},
           {"a  {% if true %} b {% endif %}  c", "a   b   c"}, {"a\n {{ n }}\n b", "a\n 3\n b"},
           {"a \n {{- n -}} \n b", "a3b"}, {"a\n  {%+ if true %}b{% endif +%}\nc", "a\n  b\nc"},
           {"a \xC2\xA0{%- if true -%}\xE3\x80\x80 b{%- endif %}", "ab"},
           {"a\n  {# note #}\nb{#- note -#} c", "a\nbc"}, {"a\r\nb\rc\r\n", "a\nb\nc"},
           {"{% raw %} {{ x }} {% if {% endraw %}!", " {{ x }} {% if !"},
           {"{{ '}}' }}{{ {'a': {'b': 1}}.a.b }}", "}}1"}, {"a\n\n", "a\n"});
}

TEST(undefined_is_empty_and_false_until_something_is_asked_of_it)
{
    EXPECT({"[{{ nothing }}]", "[]"}, {"{{ 1 if nothing else 2 }}", "2"},
           {"{{ d.nothing is defined }}{{ d['nothing'] is undefined }}", "FalseTrue"},
           {"{{ nothing | trim + ' ' }}|", " |"}, {"{{ nothing | default('x') }}", "x"},
           {"{{ nothing | length }}{% for x in nothing %}x{% endfor %}", "0"},
           {"{{ 'x' if false }}|{{ l[9] }}|", "||"}, {"{{ e | default('x', true) }}", "x"});
    EXPECT_ERRORS(false, {"\n{{ nothing.x }}", "test.jinja:2: 'nothing' is undefined"},
                  {"{{ 'a' + nothing }}", "test.jinja:1: 'nothing' is undefined"},
                  {"{{ d.nothing.x }}", "test.jinja:1: 'nothing' is undefined"});
}

TEST(values_print_as_in_python)
{
    EXPECT(
        {"{{ [1, 2.0, none, true, 'a', s] }}", "[1, 2.0, None, True, 'a', ' H\xC3\xA9llo ']"},
        {"{{ d }}", "{'b': 1, 'B2': [1, None, True], '_z': 'q'}"},
        {"{{ whole }} {{ n }} {{ big }}", "2.0 3 12345678901234567890123"},
        {"{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.5e300 }}",
         "1e+16 1000000000000000.0 0.0001 1e-05 1.5e+300"},
        {"{{ 0.1 + 0.2 }} {{ 1 / 3 }} {{ -0.0 }}", "0.30000000000000004 0.3333333333333333 -0.0"},
        {"{{ (1,) }}{{ () }}{{ (1, 2) }}{{ [q] }}", "(1,)()(1, 2)['it\\'s \"q\"\\n']"},
        {"{{ [\"it's\", '\\x00\\u200b'] }}", "[\"it's\", '\\x00\\u200b']"},
        {"{{ range(3) }}{{ d.keys() }}", "range(0, 3)dict_keys(['b', 'B2', '_z'])"},
        {"{{ ['string', 'null'] | upper }}", "['STRING', 'NULL']"}, {"{{ z }}", "None"});
}

TEST(operators_follow_pythons_rules)
{
    EXPECT({"{{ 7 // 2 }}{{ -7 // 2 }}{{ -7 % 3 }}{{ 7.5 // 2 }}{{ 4 / 2 }}", "3-423.02.0"},
           {"{{ 1 + 2 * 3 - 4 }}{{ (1 + 2) * 3 }}{{ 'ab' * 2 }}{{ [1] + [2] }}", "39abab[1, 2]"},
           {"{{ 1 ~ 'a' ~ none }}", "1aNone"}, {"{{ 1 < 2 < 3 }}{{ 3 > 2 > 2 }}", "TrueFalse"},
           {"{{ 1 == 1.0 }}{{ true == 1 }}{{ '1' == 1 }}", "TrueTrueFalse"},
           {"{{ 'a' in 'cat' }}{{ 'b' in d }}{{ 9 not in l }}", "TrueTrueTrue"},
           {"{{ '' or 'x' }}{{ 1 and 0 }}{{ not 1 }}", "x0False"},
           {"{{ 'a' if n > 2 else 'b' }}{{ -n }}{{ - n | abs }}", "a-33"},
           {"{{ 9007199254740993 == 9007199254740992.0 }}", "False"}, {"{{ 'a' 'b' }}", "ab"});
    EXPECT_ERRORS(false, {"{{ 1 + 'a' }}", "test.jinja:1: unsupported operands: 'int' and 'str'"},
                  {"{{ 1 < 'a' }}", "test.jinja:1: 'int' and 'str' have no order"},
                  {"{{ 1 // 0 }}", "test.jinja:1: a division by zero"},
                  {"{{ 9223372036854775807 + 1 }}", "test.jinja:1: an integer beyond 64 bits"});
}

TEST(items_attributes_and_slices_reach_into_values)
{
    EXPECT({"{{ ms[0].role }}{{ ms[-1]['role'] }}{{ ms.1.role }}", "usermodelmodel"},
           {"{{ l[1:] }}{{ l[:-1] }}{{ l[::-1] }}{{ l[5:] }}", "[1, 2][3, 1][2, 1, 3][]"},
           {"{{ s[2] }}{{ s[1:4] }}{{ 'abc'[::-1] }}{{ 'abc'[-2:] }}", "\xC3\xA9H\xC3\xA9lcbabc"},
           {"{{ range(9)[2:6:2] }}", "range(2, 6, 2)"},
           {"{{ d.get('b') }}{{ d.get('x') }}{{ d.get('x', 7) }}", "1None7"},
           {"{{ d['items'] is mapping }}{{ 1 if d['items'] }}", "False1"},
           {"{{ {'items': 5}['items'] }}", "5"}, {"{{ d.pop is defined }}", "False"});
}

TEST(string_methods_are_pythons)
{
    EXPECT(
        {"{{ 'a,b,,c'.split(',') }}{{ ' a  b '.split() }}", "['a', 'b', '', 'c']['a', 'b']"},
        {"{{ 'a b c'.split(' ', 1) }}{{ 'a b c'.split(maxsplit=1) }}", "['a', 'b c']['a', 'b c']"},
        {"{{ s.strip() }}|{{ s.lstrip() }}|{{ s.rstrip() }}|{{ 'xax'.strip('x') }}",
         "H\xC3\xA9llo|H\xC3\xA9llo | H\xC3\xA9llo|a"},
        {"{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}", "TrueTrue"},
        {"{{ 'aXbX'.replace('X', '--') }}{{ 'aXbX'.replace('X', '', 1) }}", "a--b--abX"},
        {"{{ s.upper() }}{{ s.lower() }}{{ 'aB c'.capitalize() }}",
         " H\xC3\x89LLO  h\xC3\xA9llo Ab c"},
        {"{{ '-'.join(['a', 'b']) }}{{ 'h\xC3\xA9h'.find('h') }}{{ 'aaa'.count('a') }}", "a-b03"},
        {"{{ 'a\\nb\\r\\nc'.splitlines() }}{{ '12'.isdigit() }}", "['a', 'b', 'c']True"});
}

TEST(case_and_white_space_are_unicodes)
{
    EXPECT({"{{ '\xC3\x9F\xEF\xAC\x81' | upper }}", "SSFI"},
           {"{{ '\xCE\x91\xCE\xA3 \xCE\xA3' | lower }}", "\xCE\xB1\xCF\x82 \xCF\x83"},
           {"{{ '\\u00a0\\u3000\\x1c\\x85a\\u2003' | trim }}|", "a|"},
           {"{{ 'ab cd-ef' | title }}{{ '\xC7\x86' | capitalize }}", "Ab Cd-Ef\xC7\x85"});
}

TEST(filters_work_as_in_jinja)
{
    EXPECT({"{{ d | dictsort }}", "[('_z', 'q'), ('b', 1), ('B2', [1, None, True])]"},
           {"{{ {'a': 2, 'b': 1} | dictsort(by='value') }}", "[('b', 1), ('a', 2)]"},
           {"{{ l | sort }}{{ l | sort(reverse=true) }}{{ ['b', 'A'] | sort }}",
            "[1, 2, 3][3, 2, 1]['A', 'b']"},
           {"{{ ms | map(attribute='role') | join(', ') }}", "user, model"},
           {"{{ ['a', 'b'] | map('upper') | list }}", "['A', 'B']"},
           {"{{ ms | selectattr('role', 'equalto', 'user') | list | length }}", "1"},
           {"{{ ms | rejectattr('content') | map(attribute='role') | first }}", "model"},
           {"{{ [1, 2, 3] | select('odd') | list }}{{ [0, 1] | reject | list }}", "[1, 3][0]"},
           {"{{ [1, 'a', 1, 'A'] | unique | list }}", "[1, 'a']"},
           {"{{ l | first }}{{ l | last }}{{ l | max }}{{ l | min }}{{ l | length }}", "32313"},
           {"{{ 'a' | replace('a', 'b') }}{{ '7' | int + 1 }}{{ 'x' | int(5) }}", "b85"},
           {"{{ '-007' | int }} {{ '00' | int }} {{ ' +12 ' | int }} {{ '-0' | int }} {{ '1.9' | "
            "int }}",
            "-7 0 12 0 1"},
           {"{{ '2.5' | float }}{{ 2.567 | round(1) }}{{ 2.5 | round }}{{ 3 | string }}",
            "2.52.62.03"},
           {"{{ 'a\\nb' | indent }}{{ l | reverse | list }}{{ d | items | list | length }}",
            "a\n    b[2, 1, 3]3"},
           {"{{ [1, [2]] | join('-') }}{{ 'abc' | list }}", "1-[2]['a', 'b', 'c']"});
}

TEST(tojson_is_json_dumps_of_transformers)
{
    EXPECT({"{{ d | tojson }}", "{\"b\": 1, \"B2\": [1, null, true], \"_z\": \"q\"}"},
           {"{{ {'a': '<\xC3\xA9\\n\"'} | tojson }}", "{\"a\": \"<\xC3\xA9\\n\\\"\"}"},
           {"{{ '\xC3\xA9\\U0001F600' | tojson(ensure_ascii=true) }}", "\"\\u00e9\\ud83d\\ude00\""},
           {"{{ {'b': [1, {}], 'a': []} | tojson(indent=2, sort_keys=true) }}",
            "{\n  \"a\": [],\n  \"b\": [\n    1,\n    {}\n  ]\n}"},
           {"{{ [1, 2] | tojson(separators=(',', ':')) }}", "[1,2]"},
           {"{{ whole | tojson }}", "2.0"});
}

TEST(tests_tell_types_apart)
{
    EXPECT({"{{ s is string }}{{ d is mapping }}{{ l is sequence }}{{ d is sequence }}"
            "{{ s is sequence }}{{ n is sequence }}",
            "TrueTrueTrueTrueTrueFalse"},
           {"{{ z is none }}{{ yes is boolean }}{{ 1 is boolean }}{{ n is number }}{{ f is float }}"
            "{{ n is integer }}{{ big is integer }}",
            "TrueTrueFalseTrueTrueTrueTrue"},
           {"{{ 4 is even }}{{ 4 is divisibleby 2 }}{{ 3 is in l }}{{ 3 is not none }}",
            "TrueTrueTrueTrue"});
}

TEST(loops_know_where_they_are)
{
    EXPECT(
        {"{% for x in l %}{{ loop.index0 }}{{ loop.index }}{{ loop.revindex }}{{ loop.first }}"
         "{{ loop.last }}{{ x }};{% endfor %}",
         "013TrueFalse3;122FalseFalse1;231FalseTrue2;"},
        {"{% for k, v in d.items() %}{{ k }}={{ v }} {% endfor %}", "b=1 B2=[1, None, True] _z=q "},
        {"{% for x in l if x > 1 %}{{ x }}/{{ loop.length }} {% endfor %}", "3/2 2/2 "},
        {"{% for x in [] %}x{% else %}none{% endfor %}", "none"},
        {"{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "32"},
        {"{% for x in l %}{{ x }}{% if x == 1 %}{% break %}{% endif %}{% endfor %}", "31"},
        {"{% for x in range(1, 4) %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
         "<1>2 1<2>3 2<3> "},
        {"{% for c in 'h\xC3\xA9' %}{{ c }}.{% endfor %}", "h.\xC3\xA9."});
}

TEST(names_set_in_a_loop_stay_there_and_a_namespace_carries_them_out)
{
    EXPECT({"{% set x = 0 %}{% for i in l %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "3120"},
           {"{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}"
            "{{ ns.x }}",
            "6"},
           {"{% if true %}{% set x = 1 %}{% endif %}{{ x }}", "1"},
           {"{% set a, b = 1, 2 %}{{ a }}{{ b }}", "12"},
           {"{% set n = n | default(9) %}{{ n }}{% set m = m | default(9) %}{{ m }}", "39"},
           {"{% set t %} a {{ n }} {% endset %}[{{ t }}]{% set t | trim | upper %} a {% endset %}"
            "{{ t }}",
            "[ a 3 ]A"},
           {"{% filter upper | trim %} ab {% endfilter %}", "AB"});
    EXPECT_ERRORS(false,
                  {"{% set d.x = 1 %}", "test.jinja:1: an attribute of a 'dict' cannot be set, "
                                        "only one of a namespace"});
}

TEST(macros_have_defaults_recursion_and_the_names_around_them)
{
    EXPECT({"{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, b=3) }}{{ m() }}",
            "12132"},
           {"{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
            "3210"},
           {"{% macro m() %}{{ later }}{% endmacro %}{% set later = 5 %}{{ m() }}", "5"},
           {"{% macro m() %} x {% endmacro %}{{ m() | trim }}|{{ m() | length }}", "x|3"},
           {"{% generation %}a{% endgeneration %}", "a"});
}

TEST(what_is_not_supported_is_refused_by_line_and_name)
{
    EXPECT_ERRORS(
        true, {"a\n\n{{ 1 | foo }}", "test.jinja:3: unknown filter 'foo'"},
        {"{{ 1 is foo }}", "test.jinja:1: unknown test 'foo'"},
        {"\n{{ strftime_now('%d') }}", "test.jinja:2: unknown function 'strftime_now'"},
        {"{{ s.encode() }}", "test.jinja:1: unsupported method 'encode'"},
        {"{% include 'x' %}", "test.jinja:1: unsupported tag 'include'"},
        {"{% for x in l recursive %}{% endfor %}", "test.jinja:1: unsupported: 'recursive' loops"},
        {"{{ m(*l) }}", "test.jinja:1: unsupported: '*' in a call"},
        {"{{ 2 ** 3 }}", "test.jinja:1: unsupported operator '**'"},
        {"{% macro m() %}{{ caller() }}{% endmacro %}", "test.jinja:1: unsupported name 'caller'"},
        {"{{ l | map('foo') }}", "test.jinja:1: unknown filter 'foo'"},
        {"{{ s | trim(1, 2) }}", "test.jinja:1: filter 'trim': too many arguments"},
        {"{{ 0x10 }}", "test.jinja:1: unsupported number '0'"});
}

TEST(broken_syntax_is_refused_by_line)
{
    EXPECT_ERRORS(true, {"{% if x %}a", "test.jinja:1: the template ends where 'endif' is missing"},
                  {"a\n{{ 1 +", "test.jinja:2: expected an expression"},
                  {"{{ (1 }}", "test.jinja:1: unexpected '}'"},
                  {"{{ 'abc }}", "test.jinja:1: a string without an end"},
                  {"a {# b", "test.jinja:1: missing end of comment tag"},
                  {"{% set 5 = 1 %}", "test.jinja:1: expected a name, found '5'"},
                  {"{% break %}", "test.jinja:1: 'break' outside of a loop"},
                  {"{{ a ! b }}", "test.jinja:1: unexpected character '!'"},
                  {"{% endif %}", "test.jinja:1: unsupported tag 'endif'"},
                  {"\xFF", "test.jinja: not UTF-8 at byte 0"});
}

TEST(raise_exception_ends_the_render_with_its_message)
{
    EXPECT_ERRORS(false, {"\n{{ raise_exception('roles ' ~ n) }}", "test.jinja:2: roles 3"},
                  {"{{ raise_exception('a'\n 'b') }}", "test.jinja:1: ab"});
}

TEST(every_byte_of_the_client_is_marked)
{
    static const struct template_case cases[] = {
        {"<{{ a }}>", "<\xC2\xAB X<b>y \xC2\xBB>"},
        {"{{ '[' + a | trim + ']' }}", "[\xC2\xABX<b>y\xC2\xBB]"},
        {"{{ a.split('<b>')[1] ~ '!' }}", "\xC2\xABy \xC2\xBB!"},
        {"{{ a | upper | trim }}{{ 'a' | upper }}", "\xC2\xABX<B>Y\xC2\xBB"
                                                    "A"},
        {"{{ a | replace('<b>', '<c>') }}", "\xC2\xAB X\xC2\xBB<c>\xC2\xABy \xC2\xBB"},
        {"{{ 'x-x' | replace('x', k) }}", "\xC2\xABkk\xC2\xBB-\xC2\xABkk\xC2\xBB"},
        {"{{ a[1:3] }}{{ ('-' ~ k ~ '-')[1:-1] }}", "\xC2\xABX<kk\xC2\xBB"},
        {"{{ [k, k] | join('+') }}", "\xC2\xABkk\xC2\xBB+\xC2\xABkk\xC2\xBB"},
        {"{% set t %}({{ k }}){% endset %}{{ t | upper }}", "(\xC2\xABKK\xC2\xBB)"},
        {"{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(k) | trim }}", "<\xC2\xABkk\xC2\xBB>"},
        {"{% for key, value in o | dictsort %}{{ key }}={{ value }};{% endfor %}",
         "\xC2\xABp\xC2\xBB=\xC2\xAB"
         "1\xC2\xBB;\xC2\xABq\xC2\xBB=\xC2\xABTrue\xC2\xBB;"},
        {"{{ o }}", "{'\xC2\xABq\xC2\xBB': \xC2\xABTrue\xC2\xBB, '\xC2\xABp\xC2\xBB': "
                    "\xC2\xAB"
                    "1\xC2\xBB}"},
        {"{{ o | tojson }}", "{\"\xC2\xABq\xC2\xBB\": \xC2\xABtrue\xC2\xBB, \"\xC2\xABp\xC2\xBB\": "
                             "\xC2\xAB"
                             "1\xC2\xBB}"},
        {"{{ 'kk' if k == 'kk' }}", "kk"},
        {"{{ 'k' * 2 }}{{ k * 2 }}", "kk\xC2\xABkkkk\xC2\xBB"},
        {"{{ t }}", "<bos>"},
    };
    struct json_document *client = parse_json_text(
        "{\"a\":\" X<b>y \",\"k\":\"kk\",\"o\":{\"q\":true,\"p\":1},\"t\":\"overridden\"}");
    struct json_document *trusted = parse_json_text("{\"t\":\"<bos>\"}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct template *template = compile_text(cases[i].source);
        struct template_output output;
        struct error err = {0};
        ASSERT_OK_ERR(
            template_render(template, json_root(client), json_root(trusted), NULL, &output, &err),
            err);
        char *marked = marked_text(&output);
        ASSERT_STR_EQ(marked, cases[i].want);
        free(marked);
        template_output_finish(&output);
        template_destroy(template);
    }
    json_document_destroy(client);
    json_document_destroy(trusted);
}

static void expect_exhausted(const char *source, const char *json,
                             const struct template_limits *limits, const char *part)
{
    struct json_document *document = parse_json_text(json);
    struct template *template = compile_text(source);
    struct template_output output;
    struct error err = {0};
    ASSERT_EQ(template_render(template, json_root(document), NULL, limits, &output, &err),
              STATUS_RESOURCE_EXHAUSTED);
    ASSERT_CONTAINS(err.message, part);
    template_destroy(template);
    json_document_destroy(document);
}

TEST(limits_end_a_render_that_would_take_too_much)
{
    const struct template_limits limits = {.max_steps = 100000, .max_output_bytes = 10000};
    expect_exhausted(
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "{}",
        &limits, "runs too long");
    expect_exhausted("{% for i in range(2000) %}0123456789{% endfor %}", "{}", &limits,
                     "more than 10000 bytes of output");
    expect_exhausted("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{}", &limits,
                     "more than 128 macro calls");
    expect_exhausted("{% set ns = namespace(s='x') %}{% for i in range(99) %}"
                     "{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
                     "{}", &limits, "a text gets too long");
    expect_exhausted("{% set ns = namespace(l=[1]) %}{% for i in range(99) %}"
                     "{% set ns.l = ns.l + ns.l %}{% endfor %}",
                     "{}", &limits, "");
    expect_exhausted("{{ ('x' * 900000000) | upper }}", "{}", &limits, "");
    expect_exhausted("{% for i in range(99999) %}{{ (s | upper)[:0] }}{% endfor %}",
                     "{\"s\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
                     &limits, "");
    expect_exhausted("{% set ns = namespace(a=1) %}{% set ns.l = [ns.l] %}"
                     "{% for i in range(5000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
                     "{}", NULL, "nested too deeply");
}

TEST(client_values_nested_deeper_than_allowed_are_refused)
{
    const struct template_limits limits = {.max_depth = 4};
    expect_exhausted("{{ x }}", "{\"x\":[[[[[1]]]]]}", &limits, "nested too deeply");
    struct json_document *document = parse_json_text("{\"x\":[[[[1]]]]}");
    struct template *template = compile_text("{{ x }}");
    struct template_output output;
    struct error err = {0};
    ASSERT_OK_ERR(template_render(template, json_root(document), NULL, &limits, &output, &err),
                  err);
    ASSERT_STR_EQ(output.text, "[[[[1]]]]");
    template_output_finish(&output);
    template_destroy(template);
    json_document_destroy(document);
}

TEST(a_source_nested_without_end_is_refused)
{
    static const char *const openings[] = {"{{ (", "{{ [",       "{{ not ",
                                           "{{ -", "{% if a %}", "{% if a %}{% elif b %}"};
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        struct text_buffer source = {0};
        size_t skip = i < 4 ? 3 : 0;
        text_buffer_append(&source, openings[i], skip);
        for (int n = 0; n < 5000; n++)
            text_buffer_append_text(&source, openings[i] + skip);
        struct template *template = NULL;
        struct error err = {0};
        ASSERT_EQ(template_compile(source.data, source.length, "deep", &template, &err),
                  STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, "nested too deeply");
        text_buffer_finish(&source);
    }
}
