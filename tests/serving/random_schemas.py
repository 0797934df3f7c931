"""Random JSON Schemas, bounded so that a model of random weights comes to the end of an instance."""

WORDS = ["a", "id", "name", "größe", "two words", 'x"y', "$ref", "tags", "日本", "back\\slash"]
PATTERNS = ["^[a-c]{2,4}$", "x", "^\\d{3}-\\d{2}$", "^(yes|no|maybe)$", "[äöü]$", "^\\S\\s?\\S$"]
FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "email"]


def _integer(rng):
    step = rng.choice([1, 1, 1, 2, 3, 7])
    low = rng.randint(-1000, 1000)
    made = {"type": "integer", "multipleOf": step} if step > 1 else {"type": "integer"}
    if rng.random() < 0.7:
        made[rng.choice(["minimum", "exclusiveMinimum"])] = low
    if rng.random() < 0.7:
        made[rng.choice(["maximum", "exclusiveMaximum"])] = low + 2 * step + rng.randint(0, 500)
    return made


def _string(rng):
    kind = rng.random()
    if kind < 0.2:
        return {
            "type": "string",
            "pattern": rng.choice(PATTERNS),
            **({} if rng.random() < 0.5 else {"maxLength": 12}),
        }
    if kind < 0.35:
        return {"type": "string", "format": rng.choice(FORMATS)}
    low = rng.randint(0, 4)
    return {"type": "string", "minLength": low, "maxLength": low + rng.randint(0, 12)}


def _array(rng, depth):
    if rng.random() < 0.3:
        return {
            "type": "array",
            "prefixItems": [random_schema(rng, depth + 1) for _ in range(rng.randint(1, 3))],
            "items": False,
            "minItems": 1,
        }
    low = rng.randint(0, 2)
    return {
        "type": "array",
        "items": random_schema(rng, depth + 1),
        "minItems": low,
        "maxItems": low + rng.randint(0, 3),
    }


def _object(rng, depth):
    names = rng.sample(WORDS, rng.randint(0, 5))
    made = {
        "type": "object",
        "properties": {name: random_schema(rng, depth + 1) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
        "additionalProperties": False,
    }
    if not names:
        made["additionalProperties"] = random_schema(rng, depth + 1)
        made["maxProperties"] = 3
    return made


def random_schema(rng, depth=0):
    """At most four containers deep. rng: random.Random."""
    kind = rng.random() if depth < 4 else rng.random() * 0.5
    if kind < 0.15:
        return _integer(rng)
    if kind < 0.3:
        return _string(rng)
    if kind < 0.38:
        return {
            "enum": rng.sample(
                [1, -2.5, "a", "ü\n", None, True, [1, {"b": 2}], {}], rng.randint(1, 4)
            )
        }
    if kind < 0.43:
        return {"const": rng.choice(["x", 7, False, [None], {"k": "v"}])}
    if kind < 0.5:
        return {
            "type": rng.choice(["boolean", "null", ["integer", "null"], ["boolean", "integer"]])
        }
    if kind < 0.6:
        return {"anyOf": [random_schema(rng, depth + 1) for _ in range(rng.randint(1, 3))]}
    return _array(rng, depth) if kind < 0.75 else _object(rng, depth)
