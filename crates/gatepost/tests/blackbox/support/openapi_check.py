"""Checks an OpenAPI document and its examples, and that the API answers as it says.

usage: openapi_check.py BASE_ADDRESS TOKEN PATH_OF_DOCUMENT TEMPLATE PATH [TEMPLATE PATH]…
"""

import json
import sys
import urllib.request

from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate

base, token, document_path, *samples = sys.argv[1:]


def fetch(path, headers):
    request = urllib.request.Request(base + path, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def check(schema, value):
    schema = schema | {"components": document["components"]}
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)


# Nobody needs a token for the document.
document = fetch(document_path, {})
validate(document)
checked = 0
for template, path in zip(samples[::2], samples[1::2], strict=True):
    content = document["paths"][template]["get"]["responses"]["200"]["content"]
    check(content["application/json"]["schema"], fetch(path, {"Authorization": "Bearer " + token}))
    checked += 1
examples = 0
for path, methods in document["paths"].items():
    for method, operation in methods.items():
        assert {"400", "401", "403", "500", "503"} <= operation["responses"].keys(), (method, path)
        bodies = [response.get("content", {}) for response in operation["responses"].values()]
        bodies.append(operation.get("requestBody", {}).get("content", {}))
        contents = [content for body in bodies for content in body.values()] + operation["parameters"]
        for content in contents:
            if "example" in content:
                check(content["schema"], content["example"])
                examples += 1
print(json.dumps({
    "checked": checked,
    "examples": examples,
    "operations": sorted(f"{method} {path}" for path, methods in document["paths"].items() for method in methods),
}))
