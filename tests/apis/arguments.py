"""Random arguments that match a schema. It covers what API descriptions use, which is more than libraries do: they
support neither 2020-12 nor recursive schemas."""

import base64
import string

WORDS = ["a", "Rex", "two words", "50% & more", "a+b=c", "ünïcode ☃", 'quote"s', "semi;colon", "comma,s", "q?#[]", "x" * 40]


class NoArguments(Exception):
    """No value can match the schema."""


class Maker:
    def __init__(self, chance, schema):
        self.chance, self.root = chance, schema

    def make(self):
        return self.value(self.root, 0)

    def resolved(self, schema):
        while isinstance(schema, dict) and "$ref" in schema:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            found = self.root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                found = found[step.replace("~1", "/").replace("~0", "~")]
            schema = {**found, **rest}
        return {} if schema is True else schema

    def value(self, schema, depth):
        schema = self.resolved(schema)
        if schema is False:
            raise NoArguments("nothing fits 'false'")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.chance.choice(schema["enum"])
        for several in ("oneOf", "anyOf"):
            if several in schema:
                rest = {key: value for key, value in schema.items() if key not in ("oneOf", "anyOf")}
                return self.value(merged(rest, self.resolved(self.chance.choice(schema[several]))), depth)
        if "allOf" in schema:
            whole = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                whole = merged(whole, self.resolved(part))
            return self.value(whole, depth)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self.chance.choice([one for one in kind if one != "null"] or ["null"])
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        return getattr(self, f"of_{kind}")(schema, depth)

    def of_object(self, schema, depth):
        members = schema.get("properties", {})
        required = set(schema.get("required", []))
        made = {}
        for name, member in members.items():
            # Limit the depth of recursive schemas.
            if name in required or (depth < 4 and self.chance.random() < 0.7 / (depth + 1)):
                made[name] = self.value(member, depth + 1)
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and depth < 3:
            for number in range(self.chance.randrange(3)):
                made.setdefault(f"more{number}", self.value(more, depth + 1))
        return made

    def of_array(self, schema, depth):
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", least + 3), least + 3)
        if depth > 4 and least == 0:
            return []
        count = self.chance.randint(least, max(least, most))
        made = []
        while len(made) < count:
            one = self.value(schema.get("items", {"type": "string"}), depth + 1)
            if not (schema.get("uniqueItems") and one in made) or self.chance.random() < 0.01:
                made.append(one)
        return made

    def of_string(self, schema, _depth):
        if schema.get("contentEncoding") == "base64":
            return base64.b64encode(self.chance.randbytes(self.chance.randrange(1, 64))).decode()
        known = {
            "date": "2026-11-22",
            "date-time": "2026-11-22T10:00:00Z",
            "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "email": "rex@example.com",
            "uri": "https://example.com/x?y=z",
            "byte": "aGk=",
        }
        if schema.get("format") in known:
            return known[schema["format"]]
        least, most = schema.get("minLength", 1), schema.get("maxLength", 60)
        text = self.chance.choice(WORDS)[:most]
        return text + "".join(self.chance.choice(string.ascii_letters) for _ in range(least - len(text)))

    def of_integer(self, schema, _depth):
        step = schema.get("multipleOf", 1)
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1000) if "exclusiveMinimum" not in schema else schema["exclusiveMinimum"] + 1)
        high = schema.get("maximum", schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else max(low, 0) + 100000)
        return self.chance.randint(int(low), int(high)) // step * step

    def of_number(self, schema, depth):
        return self.of_integer(schema, depth) + (0 if "multipleOf" in schema else self.chance.choice([0, 0.5]))

    def of_boolean(self, _schema, _depth):
        return self.chance.choice([True, False])

    def of_null(self, _schema, _depth):
        return None


def merged(one, other):
    """Combines two schemas, as far as they do not contradict each other."""
    whole = {**one, **other}
    if "properties" in one or "properties" in other:
        whole["properties"] = {**one.get("properties", {}), **other.get("properties", {})}
    if "required" in one or "required" in other:
        whole["required"] = [*one.get("required", []), *other.get("required", [])]
    if "allOf" in one and "allOf" in other:
        whole["allOf"] = [*one["allOf"], *other["allOf"]]
    return whole
