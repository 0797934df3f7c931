#!/usr/bin/env python3
"""What our grammars say of texts is what others say: random JSON Schemas and instances against the
jsonschema package, random patterns against re, random Lark grammars against the lark package. Also
what a random walk under masks writes belongs to the language, and no mask is a dead end.

    test_differential.py JUDGE_TEXTS [SEED [COUNT [CLASS]]]
"""
import collections
import decimal
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile

try:
    import jsonschema
    import lark
except ImportError as error:
    print(f"skipped: {error}; tools/setup --tests installs what is missing")
    sys.exit(77)

SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 200
WANTED = sys.argv[4] if len(sys.argv) > 4 else None
R = random.Random(SEED)
KEYS = ["a", "b", "ab", "é", 'q"', "x1"]
MAX_ORDERS = 60


def maybe(p):
    return R.random() < p


# Patterns that mean the same to re and to us, once python_pattern has translated them.
def random_pattern(depth=0, anchors=True):
    def atom():
        kind = R.randrange(9 if depth < 3 else 6)
        if kind < 3:
            return R.choice(["a", "b", "1", "é", "x", "\\.", '"', "\\\\", "/", "\\n"])
        if kind == 3:
            return R.choice(["[ab]", "[^a]", "[a-c1]", "[^a-z]", "\\d", "\\w", ".", "\\D", "\\W",
                             "[\\d_]", "\\s", "[é-ü]"])
        if kind == 4:
            return R.choice(["\\x61", "\\u00e9", "[\\x61-\\x63]", "\\S"])
        if kind == 5:
            return R.choice(["ab", "ba", "1"])
        return R.choice(["(%s)", "(?:%s)"]) % random_pattern(depth + 1, anchors)

    def part():
        text = atom()
        if maybe(0.4):
            text = ("(?:%s)" % text) if len(text) > 1 and text[0] not in "([\\" else text
            text += R.choice(["*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "*?", "+?", "??"])
        if anchors and maybe(0.08):
            text = R.choice(["^%s", "%s$"]) % text
        return text

    return "|".join("".join(part() for _ in range(R.randrange(0 if maybe(0.1) else 1, 4)))
                    for _ in range(R.choice([1, 1, 1, 2, 3])))


CLASSES = {"d": "0-9", "w": "A-Za-z0-9_",
           "s": "\\t-\\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"}
CLASSES.update({name.upper(): CLASSES[name] for name in CLASSES})


def python_pattern(pattern):
    out, at, inside = "", 0, False
    while at < len(pattern):
        two = pattern[at:at + 2]
        if two[0] == "\\" and two[1] in CLASSES:
            name = CLASSES[two[1].lower()]
            out += name if inside else "[" + ("^" if two[1].isupper() else "") + name + "]"
            at += 2
            continue
        if two[0] == "\\":
            out += two
            at += 2
            continue
        inside = (inside or two[0] == "[") and two[0] != "]"
        out += "\\Z" if two[0] == "$" and not inside else two[0]
        at += 1
    return out


def random_text(most=5):
    return "".join(R.choice("aaabbc11xé._\"\\/ \n😀Z") for _ in range(R.randrange(most + 1)))


def near(text):
    for _ in range(R.randrange(1, 3)):
        at = R.randrange(len(text) + 1)
        text = text[:at] + R.choice(["", random_text(1)]) + text[at + R.randrange(2):]
    return text


# ---- JSON Schemas
def random_number():
    return R.choice([R.randrange(-3, 13), R.randrange(-30, 120), R.randrange(-20, 20) + 0.5,
                     R.randrange(-5, 5) + 0.25, 0])


def random_value(depth=0):
    kind = R.randrange(8 if depth < 2 else 5)
    if kind < 5:
        return [None, R.choice([True, False]), random_number(), random_text(), random_text(2)][kind]
    if kind == 5:
        return [random_value(depth + 1) for _ in range(R.randrange(4))]
    return {key: random_value(depth + 1) for key in R.sample(KEYS, R.randrange(4))}


def string_keywords(schema, depth):
    if maybe(0.4):
        schema["minLength"] = R.randrange(4)
    if maybe(0.4):
        schema["maxLength"] = R.randrange(6)
    if maybe(0.4):
        schema["pattern"] = random_pattern(1)
    if maybe(0.1):
        schema["format"] = R.choice(["date", "ipv4", "uuid", "unknown"])


def number_keywords(schema, depth):
    for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if maybe(0.3):
            schema[name] = random_number()
    if maybe(0.25):
        schema["multipleOf"] = R.choice([1, 2, 3, 5, 7, 10, 0.5, 0.25])


def array_keywords(schema, depth):
    if maybe(0.6):
        schema["items"] = random_schema(depth + 1)
    if maybe(0.3):
        schema["prefixItems"] = [random_schema(depth + 1) for _ in range(R.randrange(1, 3))]
    if maybe(0.3):
        schema["minItems"] = R.randrange(4)
    if maybe(0.3):
        schema["maxItems"] = R.randrange(4)


def object_keywords(schema, depth):
    if maybe(0.8):
        schema["properties"] = {key: random_schema(depth + 1) for key in R.sample(KEYS, R.randrange(1, 4))}
    if maybe(0.4):
        schema["required"] = R.sample(KEYS, R.randrange(3))
    if maybe(0.5):
        schema["additionalProperties"] = R.choice([False, False, True, random_schema(depth + 1)])
    if maybe(0.2):
        schema["patternProperties"] = {R.choice(["^a", "b", "1$", "^.$", "x"]): random_schema(depth + 1)
                                       for _ in range(2)}
    if maybe(0.15):
        schema["minProperties"] = R.randrange(3)
    if maybe(0.15):
        schema["maxProperties"] = R.randrange(4)


FAMILIES = {"string": string_keywords, "number": number_keywords, "integer": number_keywords,
            "array": array_keywords, "object": object_keywords, "null": lambda *_: None, "boolean": lambda *_: None}


def random_schema(depth=0, like=None):
    if maybe(0.06):
        return R.choice([True, True, False, {}])
    if depth and maybe(0.12):
        return {"$ref": R.choice(["#/$defs/one", "#/$defs/two", "#"])}
    schema = {}
    types = R.sample(list(FAMILIES), 1 if maybe(0.75) else 2)
    if like and maybe(0.9):
        types = like
    elif depth > 2:
        types = [R.choice(["string", "integer", "boolean", "number", "null"])]
    if maybe(0.85):
        schema["type"] = types[0] if len(types) == 1 else types
    for name in types:
        FAMILIES[name](schema, depth)
    if maybe(0.08):
        schema["enum"] = [like_schema(schema) for _ in range(R.randrange(1, 5))]
    elif maybe(0.04):
        schema["const"] = like_schema(schema)
    if depth < 3:
        for name, p in (("anyOf", 0.12), ("oneOf", 0.05), ("allOf", 0.12)):
            if maybe(p):
                schema[name] = [random_schema(depth + 1, types) for _ in range(R.randrange(1, 4))]
        if maybe(0.05):
            schema["$ref"] = R.choice(["#/$defs/one", "#/$defs/two"])
    return schema


def like_schema(schema):
    if maybe(0.2):
        return random_value(1)
    return instance_of(schema, {"$defs": {"one": True, "two": True}}, 2)


def whole_schema():
    schema = random_schema()
    if isinstance(schema, dict):
        schema["$defs"] = {"one": random_schema(1), "two": random_schema(1)}
    return schema


# An instance that follows the schema as far as this can see at once.
def instance_of(schema, root, depth=0):
    if schema is True or schema == {} or schema is False or depth > 4:
        return random_value(1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return R.choice(schema["enum"])
    merged = dict(schema)
    for name in ("anyOf", "oneOf", "allOf"):
        for branch in [R.choice(schema[name])] if name in schema and name != "allOf" else schema.get(name, []):
            if isinstance(branch, dict):
                merged = {**branch, **merged}
    if "$ref" in merged:
        target = root if merged["$ref"] == "#" else root["$defs"][merged["$ref"][8:]]
        if isinstance(target, dict):
            merged = {**target, **{k: v for k, v in merged.items() if k != "$ref"}}
    kind = merged.get("type", R.choice(list(FAMILIES)))
    kind = R.choice(kind) if isinstance(kind, list) else kind
    if kind == "object":
        members = {}
        for key, value in merged.get("properties", {}).items():
            if maybe(0.6) or key in merged.get("required", []):
                members[key] = instance_of(value, root, depth + 1)
        for key in merged.get("required", []):
            members.setdefault(key, random_value(2))
        if merged.get("additionalProperties") is not False and maybe(0.3):
            members.setdefault(R.choice(KEYS), random_value(2))
        return members
    if kind == "array":
        n = max(merged.get("minItems", 0), min(R.randrange(4), merged.get("maxItems", 4)))
        prefix = merged.get("prefixItems", [])
        return [instance_of(prefix[i] if i < len(prefix) else merged.get("items", True), root, depth + 1)
                for i in range(n)]
    if kind in ("number", "integer"):
        low = merged.get("minimum", merged.get("exclusiveMinimum", -5))
        high = merged.get("maximum", merged.get("exclusiveMaximum", low + 9))
        number = low + (high - low) * R.randrange(9) / 8
        step = merged.get("multipleOf", 1 if kind == "integer" or maybe(0.5) else 0.125)
        number = number // step * step
        return int(number) if number == int(number) else number
    if kind == "string":
        return R.choice([random_text(max(merged.get("maxLength", 5), 1)), "2024-02-29", "1.2.3.4", "ab", "a1é"])
    return {"null": None, "boolean": maybe(0.5)}[kind]


def mutated(value):
    if isinstance(value, dict) and value and maybe(0.8):
        key = R.choice(list(value))
        out = dict(value)
        if maybe(0.4):
            del out[key]
        else:
            out[key] = mutated(value[key])
        return out
    if isinstance(value, list) and value and maybe(0.8):
        at = R.randrange(len(value))
        return value[:at] + R.choice([[], [mutated(value[at])], [value[at], value[at]]]) + value[at + 1:]
    if isinstance(value, str) and maybe(0.8):
        return near(value)
    if isinstance(value, int) and not isinstance(value, bool) and maybe(0.7):
        return value + R.choice([-1, 1, 10, 0.5])
    return random_value(1)


# The value with its members in every order; nothing when they are too many.
def orders(value):
    if isinstance(value, list):
        choices = [orders(item) for item in value]
        return [list(items) for items in capped(itertools.product(*choices))]
    if isinstance(value, dict):
        choices = {key: orders(item) for key, item in value.items()}
        return [dict(zip(keys, items)) for keys in itertools.permutations(value)
                for items in capped(itertools.product(*(choices[key] for key in keys)))]
    return [value]


def capped(things):
    return itertools.islice(things, MAX_ORDERS + 1)


def judged_schema(schema):
    """As jsonschema is to read it: oneOf is anyOf, patterns are Python's."""
    if isinstance(schema, list):
        return [judged_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out, extra = {}, []
    for key, value in schema.items():
        if key in ("enum", "const", "required"):
            out[key] = value
        elif key in ("properties", "$defs"):
            out[key] = {name: judged_schema(item) for name, item in value.items()}
        elif key == "patternProperties":
            out[key] = {python_pattern(name): judged_schema(item) for name, item in value.items()}
        elif key == "pattern":
            out[key] = python_pattern(value)
        elif key == "oneOf":
            extra.append({"anyOf": judged_schema(value)})
        else:
            out[key] = judged_schema(value)
    if extra:
        out["allOf"] = out.get("allOf", []) + extra
    return out


class SchemaCase:
    kind = "schema"

    def __init__(self):
        self.schema = whole_schema()
        self.text = json.dumps(self.schema, ensure_ascii=maybe(0.5))
        cls = jsonschema.Draft202012Validator
        self.validator = cls(judged_schema(self.schema), format_checker=cls.FORMAT_CHECKER)
        self.groups, self.texts = [], []
        for _ in range(8):
            value = instance_of(self.schema, self.schema)
            for _ in range(R.choice([0, 0, 1, 2])):
                value = mutated(value)
            every = orders(value)
            if len(every) > MAX_ORDERS:
                continue
            valid = said_by(self, json.dumps(value))
            if valid is None:
                continue
            for ascii_only in (True, False):
                begin = len(self.texts)
                self.texts += [json.dumps(one, ensure_ascii=ascii_only) for one in every]
                self.groups.append((begin, len(self.texts), valid))

    def differences(self, takes):
        for begin, end, valid in self.groups:
            if any(takes[begin:end]) != valid:
                yield f"{'valid but refused' if valid else 'invalid but taken'}: {self.texts[begin]}"

    def accepts(self, text):
        value = json.loads(text, object_pairs_hook=unique, parse_float=exact)
        return self.validator.is_valid(value)


class CannotSay(Exception):
    pass


def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise CannotSay  # the last one counts there; here all do
    return dict(pairs)


def exact(text):
    if decimal.Decimal(repr(float(text))) != decimal.Decimal(text):
        raise CannotSay  # for a float is all that Python sees
    return float(text)


def give_up(*_):
    raise CannotSay


signal.signal(signal.SIGALRM, give_up)


def said_by(case, text):
    """The other implementation's word; None when it takes too long, or is out of its depth."""
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            return case.accepts(text)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except (CannotSay, RecursionError, OverflowError):
        return None


# ---- patterns
class RegexCase:
    kind = "regex"

    def __init__(self):
        self.text = random_pattern()
        self.oracle = re.compile(python_pattern(self.text))
        self.texts = [random_text() for _ in range(10)]
        self.texts += [near(text) for text in self.texts]

    def differences(self, takes):
        for text, taken in zip(self.texts, takes):
            if said_by(self, text) not in (None, bool(taken)):
                yield f"{'refused' if not taken else 'taken'}: {text!r}"

    def accepts(self, text):
        return self.oracle.fullmatch(text) is not None


class SearchCase(RegexCase):
    kind = "schema"

    def __init__(self):
        super().__init__()
        self.strings = self.texts
        self.texts = [json.dumps(text, ensure_ascii=i % 2 == 0) for i, text in enumerate(self.strings)]
        self.text = json.dumps({"type": "string", "pattern": self.text})

    def accepts(self, text):
        return self.oracle.search(json.loads(text)) is not None


# ---- Lark, and the same as GBNF
NAMES = ["start", "one", "two", "three"]


# Small, because the lark package writes every optional part out.
def random_rules():
    def atom(groups):
        kind = R.randrange(8)
        if kind < 3:
            return R.choice(['"a"', '"b"', '"ab"', '"c"'])
        if kind == 3:
            return "[a-b]"
        if kind < 7 or not groups:
            return R.choice(NAMES)
        return "(" + choices(False) + ")"

    def sequence(groups):
        return " ".join(atom(groups) + (R.choice(["*", "+", "?", "{1,2}", "{2}"]) if maybe(0.2) else "")
                        for _ in range(R.choice([1, 2, 2, 3])))

    def choices(groups):
        return " | ".join(sequence(groups) for _ in range(R.choice([1, 2, 2])))

    return {name: choices(True) + R.choice(["", ' | "b"', ' | "c"', ' | ""']) for name in NAMES}


class LarkCase:
    kind = "lark"
    gbnf = False

    def __init__(self):
        rules = random_rules()
        plain = "\n".join(f"{name}: {body}" for name, body in rules.items())
        their = re.sub(r"\{(\d),(\d)\}", r"~\1..\2", re.sub(r"\{(\d)\}", r"~\1", plain))
        their = their.replace("[a-b]", "/[a-b]/")
        self.text = their if not self.gbnf else "\n".join(
            f"{name} ::= {body}" for name, body in rules.items()).replace("start", "root")
        self.oracle = lark.Lark(their.replace('""', ""), parser="earley", lexer="dynamic_complete")
        self.texts = ["".join(R.choice("aabbc") for _ in range(R.randrange(7))) for _ in range(15)]

    def differences(self, takes):
        for text, taken in zip(self.texts, takes):
            if said_by(self, text) not in (None, bool(taken)):
                yield f"{'refused' if not taken else 'taken'}: {text!r}"

    def accepts(self, text):
        if len(text) > 12:
            return True  # too slow to ask
        try:
            self.oracle.parse(text)
            return True
        except lark.exceptions.LarkError:
            return False


class GbnfCase(LarkCase):
    gbnf = True


CLASSES_OF_CASES = (SchemaCase, RegexCase, SearchCase, LarkCase, GbnfCase)


def judge(program, cases):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for case in cases:
            file.write(json.dumps({"kind": case.kind, "text": case.text, "texts": case.texts}) + "\n")
        file.flush()
        result = subprocess.run([program], env=dict(os.environ, JUDGE_CASES=file.name), stdout=subprocess.PIPE,
                                text=True, check=False)
    lines = [line for line in result.stdout.splitlines() if line.startswith(('{"takes"', '{"error"'))]
    if len(lines) < len(cases):
        print(f"the judge gave up on {cases[len(lines)].text}\n{result.stdout[-600:]}")
    return [json.loads(line) for line in lines]


def walk_faults(case, walks):
    for result, text in walks:
        text = bytes.fromhex(text)
        if result == 0:
            yield f"a dead end: {text!r}"
        if result == 1:
            try:
                if said_by(case, text.decode()) is False:
                    yield f"written under masks: {text!r}"
            except ValueError as error:
                yield f"written under masks: {text!r}: {error}"


def run(cls, counts):
    cases = []
    while len(cases) < COUNT:
        try:
            cases.append(cls())
        except (re.error, lark.exceptions.LarkError):
            pass
    answers = judge(sys.argv[1], cases)
    n_faults = len(cases) - len(answers)
    for case, answer in zip(cases, answers):
        counts["texts"] += len(case.texts)
        if "error" in answer:
            counts["refused"] += 1
            faults = [f"{answer['error']}; but {fault}" for fault in case.differences([0] * len(case.texts))]
        else:
            faults = [*case.differences(answer["takes"]), *walk_faults(case, answer["walks"])]
            counts["walks"] += sum(result == 1 for result, _ in answer["walks"])
            counts["walks without an end"] += sum(result < 0 for result, _ in answer["walks"])
        for fault in faults[:3]:
            print(f"{cls.__name__}: {case.text}\n    {fault[:400]}")
        n_faults += len(faults)
    return n_faults


def main():
    n_faults = 0
    for cls in CLASSES_OF_CASES:
        if WANTED in (None, cls.__name__):
            counts = collections.Counter()
            n_faults += run(cls, counts)
            print(f"{cls.__name__}: {COUNT} cases: {dict(counts)}")
    print(f"{n_faults} differences")
    return n_faults > 0


if __name__ == "__main__":
    sys.exit(main())
